"""The payload codec, the chain, marks and topics: what device and cloud must agree on."""

import zlib
from collections.abc import Callable
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_strategies import payloads

from pledgewatch_wire import chain, payload_pb2, topics
from pledgewatch_wire.backoff import jittered_backoff
from pledgewatch_wire.codec import (
    MAX_READINGS,
    TIME_ZERO_MS,
    Committed,
    Payload,
    PayloadError,
    Reason,
    Status,
    decode,
    decode_committed,
    decode_status,
    encode,
    encode_committed,
    encode_status,
)
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Cell, Channel, Clock, Reading
from pledgewatch_wire.topics import Kind


def read_or_reason(read: Callable[[bytes], object], raw: bytes) -> object:
    """What the bytes say, or why they cannot be read; anything but a PayloadError is a fault of the reader."""
    try:
        return read(raw)
    except PayloadError as error:
        return error.reason


@given(payloads())
@settings(max_examples=200, deadline=None)
def test_what_is_encoded_is_decoded(payload: Payload) -> None:
    assert decode(encode(payload)) == payload


@given(payloads(), st.data())
@settings(max_examples=200, deadline=None)
def test_a_payload_cut_short_or_changed_is_read_or_refused_but_never_crashes(
    payload: Payload, data: st.DataObject
) -> None:
    raw = bytearray(encode(payload))
    place = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        del raw[place:]
    else:
        raw[place] ^= data.draw(st.integers(1, 255))
    found = read_or_reason(decode, bytes(raw))
    assert isinstance(found, Reason) or (isinstance(found, Payload) and decode(encode(found)) == found)


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for read in (decode, decode_committed, decode_status):
        found = read_or_reason(read, raw)
        assert isinstance(found, (Reason, Payload, Committed, Status))


def message(**changes: object) -> bytes:
    """A right payload as protobuf with something changed."""
    fields: dict[str, object] = {
        "epoch": 1,
        "first_sequence": 1,
        "measured_at_ms": [5, 5],
        "groups": [payload_pb2.Group(channels=1 << Channel.TEMPERATURE_MC, values=[4_000, 10])],
    }
    return payload_pb2.Payload(**(fields | changes)).SerializeToString()  # type: ignore[arg-type]


GROUP = payload_pb2.Group
BAD = [
    (message(version=1), Reason.UNKNOWN_VERSION),
    (message(measured_at_ms=[], groups=[]), Reason.EMPTY),
    (message(measured_at_ms=[0] * (MAX_READINGS + 1)), Reason.TOO_LARGE),
    (message(first_sequence=0), Reason.BAD_SEQUENCE),
    (message(first_sequence=2**60), Reason.BAD_SEQUENCE),
    (message(clock=9), Reason.BAD_CLOCK),
    (message(measured_at_ms=[2**62, 0]), Reason.BAD_TIME),
    (message(measured_at_ms=[-TIME_ZERO_MS - 1, 0]), Reason.BAD_TIME),
    (message(groups=[GROUP(channels=1 << 60, values=[1, 1])]), Reason.UNKNOWN_CHANNEL),
    (message(groups=[GROUP(channels=4, values=[1])]), Reason.BAD_COLUMNS),
    (message(groups=[GROUP(channels=0, values=[])]), Reason.BAD_COLUMNS),
    (message(groups=[]), Reason.BAD_COLUMNS),
    (message(groups=[GROUP(channels=4, offsets=[0, 0], values=[1, 1])]), Reason.BAD_COLUMNS),
    (message(groups=[GROUP(channels=4, offsets=[0, 7], values=[1, 1])]), Reason.BAD_COLUMNS),
    (message(groups=[GROUP(channels=4, values=[1, 1], marked_cells=[9], marked_qualities=[3])]), Reason.BAD_COLUMNS),
    (message(groups=[GROUP(channels=4, values=[1, 1], marked_cells=[0], marked_qualities=[300])]), Reason.BAD_COLUMNS),
    (message(groups=[GROUP(channels=4, values=[1, 1], marked_cells=[0], marked_qualities=[129])]), Reason.BAD_COLUMNS),
    (message(checkpoints=[payload_pb2.Checkpoint(sequence=1, signature=b"short")]), Reason.BAD_CHECKPOINT),
    (payload_pb2.Payload(deflated=b"not zlib").SerializeToString(), Reason.BAD_INFLATION),
    (payload_pb2.Payload(deflated=zlib.compress(b"\0" * 2**23)).SerializeToString(), Reason.BAD_INFLATION),
    (payload_pb2.Payload(deflated=zlib.compress(message())[:-4]).SerializeToString(), Reason.BAD_INFLATION),
    (message()[:-3], Reason.NOT_PROTOBUF),
    (b"\xff" * 300_000, Reason.TOO_LARGE),
]


@pytest.mark.parametrize(("raw", "reason"), BAD, ids=[f"{place}-{row[1].name}" for place, row in enumerate(BAD)])
def test_each_fault_has_its_reason(raw: bytes, reason: Reason) -> None:
    with pytest.raises(PayloadError) as caught:
        decode(raw)
    assert caught.value.reason is reason


def test_the_right_payload_of_the_table_is_right_and_unknown_fields_are_skipped() -> None:
    plain = decode(message())
    assert [reading.cells[0].value for reading in plain.readings] == [4_000, 4_010]
    assert decode(message() + b"\xaa\x06\x03abc") == plain  # field 101, length 3


def test_encode_refuses_what_a_payload_cannot_hold() -> None:
    one = Reading(1, 0, Clock.GPS, (Cell(Channel.TEMPERATURE_MC, 1),))
    for readings in ((), (one, one), (one, one._replace(sequence=2, clock=Clock.RTC))):
        with pytest.raises(ValueError, match="payload"):
            encode(Payload(1, readings))


@given(payloads(), st.data())
@settings(max_examples=100, deadline=None)
def test_the_chain_does_not_see_how_readings_are_grouped(payload: Payload, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(payload.readings)))
    parts = [part for part in (payload.readings[:cut], payload.readings[cut:]) if part]
    regrouped = [reading for part in parts for reading in decode(encode(payload._replace(readings=part))).readings]
    assert [chain.leaf(one) for one in regrouped] == [chain.leaf(one) for one in payload.readings]


@given(payloads())
@settings(max_examples=100, deadline=None)
def test_every_part_of_a_reading_is_in_its_leaf(payload: Payload) -> None:
    one = payload.readings[0]
    cell = one.cells[0]
    others = [
        one._replace(sequence=one.sequence + 1),
        one._replace(measured_at_ms=one.measured_at_ms + 1),
        one._replace(clock=(one.clock + 1) % 5),
        one._replace(cells=(cell._replace(value=cell.value + 1), *one.cells[1:])),
        one._replace(cells=(cell._replace(quality=(cell.quality + 1) % 256), *one.cells[1:])),
    ]
    assert len({chain.leaf(each) for each in (one, *others)}) == 6


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 8)), max_size=30))
def test_marks_hold_exactly_what_was_added(additions: list[tuple[int, int]]) -> None:
    marks, plain = Marks(), set[int]()
    for first, more in additions:
        marks = marks.add(first, first + more)
        plain |= set(range(first, first + more + 1))
    assert {sequence for sequence in range(-2, 80) if sequence in marks} == plain
    assert marks.total == len(plain)
    highest = max(plain, default=0)
    missing = {sequence for first, last in marks.missing for sequence in range(first, last + 1)}
    assert missing == set(range(1, highest + 1)) - plain
    for first in range(1, 70, 7):
        assert marks.overlaps(first, first + 3) == bool(plain & set(range(first, first + 4)))


def test_committed_and_status_come_back_as_they_went() -> None:
    committed = Committed(3, 8_600, ((8_610, 8_641),), b"12345678", (b"abcdefgh",))
    assert decode_committed(encode_committed(committed)) == committed
    assert [committed.covers(sequence) for sequence in (8_600, 8_601, 8_610, 8_642)] == [True, False, True, False]
    status = Status(online=True, epoch=2, head_sequence=9, spooled_readings=4, agent_version="0.1.0")
    assert decode_status(encode_status(status)) == status


def test_a_status_says_a_version_and_no_more() -> None:
    status = Status(online=True, epoch=2, head_sequence=9, spooled_readings=4, agent_version="ö" * 64)
    assert decode_status(encode_status(status)) == status
    assert decode_status(encode_status(status._replace(agent_version="ö" * 64 + "x"))) == status, "the device cuts"
    foreign = payload_pb2.Status(online=True, epoch=2, agent_version="9" * 65).SerializeToString()
    with pytest.raises(PayloadError, match="too large: agent_version has 65 characters; at most 64"):
        decode_status(foreign)


@given(payloads())
@settings(max_examples=50, deadline=None)
def test_no_kind_of_message_says_anything_when_it_is_read_as_another(payload: Payload) -> None:
    status = encode_status(Status(online=True, epoch=1, head_sequence=5, spooled_readings=5, agent_version="0.1.0"))
    committed = encode_committed(Committed(1, 5, ((7, 9),)))
    for raw in (status, encode(payload)):
        assert decode_committed(raw) == Committed(0, 0, ())
    for raw in (committed, encode(payload)):
        assert decode_status(raw) == Status(
            online=False, epoch=0, head_sequence=0, spooled_readings=0, agent_version=""
        )
    for raw in (committed, status):
        assert read_or_reason(decode, raw) is Reason.EMPTY


def test_topics_name_one_device_and_nothing_else() -> None:
    assert topics.topic("harbour-line", "container-1", Kind.UP) == "pw/1/harbour-line/container-1/up"
    assert topics.parse("pw/1/harbour-line/container-1/up") == ("harbour-line", "container-1", Kind.UP)
    bad = ["pw/2/a/b/up", "pw/1/a/b", "pw/1/a/b/c/up", "pw/1/A/b/up", "pw/1/a/+/up", "pw/1/a//up", "pw/1/a/b/down", ""]
    for text in bad:
        with pytest.raises(ValueError, match=r"pw/1|no known kind"):
            topics.parse(text)
    for name in ("", "-a", "a-", "Ä", "a" * 65, "a/b", "#"):
        with pytest.raises(ValueError, match="cannot be a name"):
            topics.topic(name, "b", Kind.UP)


def test_a_few_bytes_may_not_stand_for_very_many_cells() -> None:
    """What inflates to more cells than a payload may hold is refused before any of them is made."""
    count = 4_096
    group = payload_pb2.Group(channels=(1 << 14) - 1, values=[0] * (14 * count))
    plain = payload_pb2.Payload(epoch=1, first_sequence=1, measured_at_ms=[0] * count, groups=[group])
    deflated = payload_pb2.Payload(deflated=zlib.compress(plain.SerializeToString(), 9)).SerializeToString()
    assert len(deflated) < 300
    with pytest.raises(PayloadError, match="57344 cells") as caught:
        decode(deflated)
    assert caught.value.reason == Reason.TOO_LARGE
    cells = tuple(Cell(channel, 0) for channel in range(14))
    with pytest.raises(ValueError, match="cells"):
        encode(Payload(1, tuple(Reading(one + 1, 0, 0, cells) for one in range(count))))


WEAK_KEYS = [
    # the points of small order (the torsion of Curve25519 in Edwards form), a y that is none, and one off the curve
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0200000000000000000000000000000000000000000000000000000000000000",
]


@pytest.mark.parametrize("text", WEAK_KEYS)
def test_a_key_that_anybody_can_sign_for_is_none(text: str) -> None:
    assert not chain.is_public_key(text)


@given(st.binary(min_size=32, max_size=32))
def test_every_true_key_is_one(seed: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex()
    assert chain.is_public_key(key)


@given(st.integers(0, 10_000), st.sampled_from([0.5, 1.0, 7.0]), st.integers())
def test_waits_double_to_their_maximum_less_up_to_half(attempts: int, first_s: float, seed: int) -> None:
    wait = jittered_backoff(attempts, first_s=first_s, maximum_s=300, random=Random(seed))
    whole = min(300.0, first_s * 2.0 ** min(attempts, 20))
    assert whole / 2 <= wait <= whole
