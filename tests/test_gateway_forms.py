"""What devices say, form by form: JSON and text as the projects document it, and what is none of it."""

import contextlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_gateway.sources import MalformedError, Value, chirpstack, esphome, gone, tasmota, zigbee2mqtt
from pledgewatch_gateway.sources.lines import LINE_MAX_BYTES, LineCutter, LineForm
from pledgewatch_gateway.sources.lines import read as read_line
from pledgewatch_gateway.sources.strict_json import flattened, read_object
from pledgewatch_wire.reading import Quality

EUI = "0102030405060708"
UP = f"application/7/device/{EUI}/event/up"
SILENT = Quality.NOT_REPORTED


@pytest.mark.parametrize(
    ("topic", "payload", "values"),
    [
        ("cold-1/sensor/air/state", b"-18.25", [Value("cold-1", "air", Decimal("-18.25"))]),
        ("cold-1/sensor/air/state", b"nan", [Value("cold-1", "air", None, None, SILENT)]),
        ("cold-1/binary_sensor/door/state", b"ON", [Value("cold-1", "door", value=True)]),
        ("cold-1/text_sensor/tag/state", b"E280-1160", [Value("cold-1", "tag", "E280-1160")]),
        ("cold-1/text_sensor/tag/state", b"", []),
        ("cold-1/status", b"offline", [gone("cold-1")]),
        ("cold-1/status", b"online", []),
        ("cold-1/switch/relay/state", b"ON", []),
    ],
)
def test_esphome(topic: str, payload: bytes, values: list[Value]) -> None:
    assert list(esphome.read(topic, payload)) == values


@pytest.mark.parametrize(
    ("topic", "payload", "values"),
    [
        (
            "tele/dock/SENSOR",
            b'{"Time":"2017-02-16T10:13:52","DS18B20":{"Id":"0115","Temperature":20.6},"TempUnit":"C"}',
            [Value("dock", "DS18B20.Id", "0115"), Value("dock", "DS18B20.Temperature", Decimal("20.6"))],
        ),
        (
            "tele/dock/SENSOR",
            b'{"AM2301":{"Temperature":14.0,"Humidity":61.5},"TempUnit":"F"}',
            [Value("dock", "AM2301.Temperature", Decimal(-10)), Value("dock", "AM2301.Humidity", Decimal("61.5"))],
        ),
        ("stat/dock/RESULT", b'{"Switch1":{"Action":"ON"}}', [Value("dock", "Switch1.Action", "ON")]),
        ("tele/dock/LWT", b"Offline", [gone("dock")]),
        ("tele/dock/LWT", b"Online", []),
        ("cmnd/dock/POWER", b"ON", []),
    ],
)
def test_tasmota(topic: str, payload: bytes, values: list[Value]) -> None:
    assert list(tasmota.read(topic, payload)) == values


@pytest.mark.parametrize(
    ("topic", "payload", "values"),
    [
        (
            "z/rack/a",
            b'{"contact":false,"temperature":4.2,"battery":null,"update":{"state":"idle"}}',
            [
                Value("rack/a", "contact", value=False),
                Value("rack/a", "temperature", Decimal("4.2")),
                Value("rack/a", "update.state", "idle"),
            ],
        ),
        ("z/rack/a/availability", b"offline", [gone("rack/a")]),
        ("z/rack/a/availability", b'{"state":"offline"}', [gone("rack/a")]),
        ("z/rack/a/availability", b'{"state":"online"}', []),
        ("z/rack/a/set", b"no JSON", []),
        ("z/bridge/devices", b"[]", []),
        ("other/rack", b"no JSON", []),
    ],
)
def test_zigbee2mqtt(topic: str, payload: bytes, values: list[Value]) -> None:
    assert list(zigbee2mqtt.read("z", topic, payload)) == values


def test_chirpstack_gives_the_decoded_object_with_the_servers_moment() -> None:
    event = (
        b'{"deduplicationId":"5f1d","time":"2026-03-01T12:00:00.123456789+00:00","deviceInfo":{"devEui":"%s"},"fCnt":7,'
        b'"data":"AQ==","object":{"temperature":4.25,"leak":false}}' % EUI.encode()
    )
    at_ms = 1_772_366_400_123
    assert chirpstack.read(UP, event) == (
        "5f1d",
        [Value(EUI, "temperature", Decimal("4.25"), at_ms), Value(EUI, "leak", value=False, at_ms=at_ms)],
    )
    assert chirpstack.read(f"application/7/device/{EUI}/event/log", b'{"code":"OTAA"}') == ("", [])


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b'{"deviceInfo":{"devEui":"ffff"},"object":{}}', "names another device"),
        (b'{"object":{"t":1}}', "names another device"),
        (b'{"deviceInfo":{"devEui":"%s"},"data":"AQ=="}' % EUI.encode(), "give its device profile a codec"),
        (b'{"deviceInfo":{"devEui":"%s"},"time":"noon","object":{}}' % EUI.encode(), "RFC 3339"),
        (b'{"deviceInfo":{"devEui":"%s"},"time":"2026-03-01T12:00:00","object":{}}' % EUI.encode(), "RFC 3339"),
        (b'{"deviceInfo":[],"object":{"t":NaN}}', "number that is none"),
    ],
)
def test_an_event_that_cannot_be_read_says_why(payload: bytes, words: str) -> None:
    with pytest.raises(MalformedError, match=words):
        chirpstack.read(UP, payload)


def test_a_wrong_signature_on_the_air_is_complained_about() -> None:
    with pytest.raises(MalformedError, match="UPLINK_MIC"):
        chirpstack.read(f"application/7/device/{EUI}/event/log", b'{"code":"UPLINK_MIC"}')


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "no JSON object"),
        (b'{"a":NaN}', "number that is none"),
        (b'{"a":-Infinity}', "number that is none"),
        (b'{"a":1e99}', "number that is none"),
        (b'{"a":1,"a":2}', "key twice"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":' + b"1" * 5_000 + b"}", "number that is none"),
        (b'{"a":' * 100_000, "longer than"),
        (b"[" * 60_000, "not JSON"),
        (b'{"a":' * 20 + b"1" + b"}" * 20, "8 deep"),
        (b"{" + b",".join(b'"k%d":1' % one for one in range(257)) + b"}", "more than 256 values"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else None,
)
def test_json_that_cannot_be_used_is_refused_with_its_reason(payload: bytes, words: str) -> None:
    with pytest.raises(MalformedError, match=words):
        flattened(read_object(payload))


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(payload: bytes) -> None:
    readers: list[Callable[[], Sequence[Value]]] = [
        lambda: esphome.read("a/sensor/b/state", payload),
        lambda: tasmota.read("tele/a/SENSOR", payload),
        lambda: zigbee2mqtt.read("z", "z/a", payload),
        lambda: chirpstack.read(UP, payload).values,
        *[partial(read_line, form, "port", payload) for form in LineForm],
    ]
    for read in readers:
        values: list[Value] = []
        with contextlib.suppress(MalformedError):
            values = list(read())
        assert all(isinstance(one, Value) for one in values)


@pytest.mark.parametrize(
    ("form", "line", "fields"),
    [
        ("pairs", b"T=4.25;H=60.1", {"T": Decimal("4.25"), "H": Decimal("60.1")}),
        ("pairs", b" temp: -18.2, door: open ", {"temp": Decimal("-18.2"), "door": "open"}),
        ("number", b"ST,GS,+  12.345 kg", {"value_kg": Decimal("12.345")}),
        ("number", b"- 7.5LB", {"value_lb": Decimal("-7.5")}),
        ("number", b"1234", {"value": Decimal(1_234)}),
        ("number", b"US,GS,+  11.002 kg", {}),
        ("number", b"S D     100.00 kg", {}),
        ("number", b"S S     100.00 kg", {"value_kg": Decimal(100)}),
        ("number", b"100.00 kg US", {}),
        ("number", b"100.00 US", {}),
        ("number", b"+  12.345 kg  M", {}),
        ("number", b"OL", {}),
        ("number", b"G O 99999 lb", {}),
        ("number", b"1.25 m", {"value_m": Decimal("1.25")}),
        ("number", b"1.25 M", {"value_m": Decimal("1.25")}),
        ("tags", b"E280 1160 6000", {"tag": "E280 1160 6000"}),
    ],
)
def test_lines(form: str, line: bytes, fields: dict[str, Decimal | str]) -> None:
    values = read_line(LineForm(form), "port", line)
    assert {one.field: one.value for one in values} == fields
    assert {one.sensor for one in values} <= {"port"}


@pytest.mark.parametrize(
    ("form", "line", "words"),
    [
        ("pairs", b"T=4;T=5", "each name once"),
        ("pairs", b"T=nan", "number that is none"),
        ("pairs", b"T=4.2.1", "number that is none"),
        ("pairs", b"nothing here", "each name once"),
        ("number", b"12,345 kg", "more than one"),
        ("number", b"1234567890123456 kg", "has no number"),
        ("number", b"12.3.4 kg", "has no number"),
        ("number", b"error", "has no number"),
        ("tags", b"\xf8\x00\xf8", "look at the speed of the port"),
        ("tags", b"x" * 129, "which no tag is"),
    ],
)
def test_a_line_that_cannot_be_read_says_why(form: str, line: bytes, words: str) -> None:
    with pytest.raises(MalformedError, match=words):
        read_line(LineForm(form), "port", line)


@given(
    st.lists(st.binary(min_size=1, max_size=30).filter(lambda line: not set(line) & set(b"\r\n\x02\x03"))), st.data()
)
def test_lines_are_the_same_however_their_bytes_are_split(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"\n" + b"".join(line + data.draw(st.sampled_from([b"\r\n", b"\n", b"\r", b"\x03\x02"])) for line in lines)
    cutter, found, place = LineCutter(), list[bytes](), 0
    while place < len(stream):
        step = data.draw(st.integers(1, 40))
        found += cutter.feed(stream[place : place + step])
        place += step
    assert found == lines
    assert cutter.too_long == 0


def test_a_line_that_never_ends_is_counted_and_the_next_one_read() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"\n" + b"x" * (LINE_MAX_BYTES + 1)) == []
    assert cutter.feed(b"x" * 100_000 + b"\nT=1\n") == [b"T=1"]
    assert cutter.too_long == 1


@pytest.mark.parametrize(
    ("stream", "lines", "is_cut_off"),
    [
        (b"345 kg\r\n12.345 kg\r\n", [b"12.345 kg"], True),
        (b"\r\n12.345 kg\r\n", [b"12.345 kg"], False),
        (b"\n12.345 kg\r\n", [b"12.345 kg"], False),
        (b"\x02E280\x03", [b"E280"], False),
        (b"80\x03\x02E280\x03", [b"E280"], True),
        (b"x" * 2 * LINE_MAX_BYTES + b"\nT=1\n", [b"T=1"], True),
        (b"345 kg", [], False),
    ],
)
def test_what_comes_before_the_first_end_of_a_line_may_be_a_rest_and_is_let_go(
    stream: bytes, lines: list[bytes], is_cut_off: bool
) -> None:
    for step in (1, len(stream)):
        cutter, found = LineCutter(), list[bytes]()
        for place in range(0, len(stream), step):
            found += cutter.feed(stream[place : place + step])
        assert (found, cutter.cut_off, cutter.too_long) == (lines, is_cut_off, 0)
