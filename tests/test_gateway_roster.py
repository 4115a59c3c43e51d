"""The roster and the site: what a value becomes, whose it is, and what is counted instead."""

import asyncio
import hashlib
import string
from collections.abc import Sequence
from decimal import Decimal

import pytest
from heard import row
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.sample import Sample
from pledgewatch_gateway.presence import TAGS_MAX, Presence
from pledgewatch_gateway.roster import Roster, RowSettings, tag_of
from pledgewatch_gateway.site import INBOX_MAX, PRESENCE_EVERY_MS, READINGS_BURST_MAX, TOLD_MAX, Site, counts_of
from pledgewatch_gateway.sources import MalformedError, Value, gone
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality, tag_number

NOW_MS = 1_780_000_000_000


class Bench:
    """A site with a clock set by hand."""

    def __init__(self, *rows: RowSettings) -> None:
        self.ms = 0
        clock = AgentClock(
            system_ms=lambda: NOW_MS + self.ms, monotonic_ms=lambda: self.ms, is_synchronised=lambda: True
        )
        self.site = Site(Roster(rows), ["Cold room", "Racks"], clock, lambda: self.ms)

    def hear(self, value: object, field: str = "x", sensor: str = "probe", at_ms: int | None = None) -> None:
        self.site.hear("hall", [Value(sensor, field, value, at_ms)])  # type: ignore[arg-type]

    def taken(self, zone: str = "Cold room") -> list[Sample]:
        inbox: asyncio.Queue[Sample] = self.site._inboxes[zone]
        return [inbox.get_nowait() for _ in range(inbox.qsize())]

    def cells(self) -> list[Cell]:
        return [cell for sample in self.taken() for cell in sample.cells]

    @property
    def counts(self) -> dict[str, int]:
        return counts_of(self.site.counts).get("hall", {})


@pytest.mark.parametrize(
    ("channel", "told", "value", "expected"),
    [
        ("temperature_mc", {"unit": "C"}, "-18.25", -18_250),
        ("temperature_mc", {"unit": "F"}, "14", -10_000),
        ("temperature_1_mc", {"unit": "K"}, "273.15", 0),
        ("temperature_mc", {"unit": "C", "scale": 0.1}, "-178", -17_800),
        ("temperature_mc", {"unit": "C", "offset": -0.5}, "4", 3_500),
        ("temperature_mc", {"unit": "C"}, "0.0005", 0),  # half to even
        ("temperature_mc", {"unit": "C"}, "0.0015", 2),
        ("humidity_cpercent", {"unit": "%"}, "61.5", 6_150),
        ("weight_g", {"unit": "kg"}, "12.345", 12_345),
        ("weight_7_g", {"unit": "lb"}, "1000", 453_592),
        ("energy_wh", {"unit": "kWh", "scale": 0.01}, "123456", 1_234_560),
        ("power_w", {"unit": "kW"}, "-1.5", -1_500),
        ("pieces_in", {}, "42", 42),
        ("pieces_out", {"scale": 10}, "4.25", 42),
    ],
)
def test_a_value_is_a_whole_number_of_its_channel(
    channel: str, told: dict[str, object], value: str, expected: int
) -> None:
    one = row(channel, **told)
    assert one.cell(Value("probe", "x", Decimal(value))) == Cell(Channel[channel.upper()], expected)


@pytest.mark.parametrize(
    ("invert", "value", "expected"),
    [
        (False, True, 1), (True, True, 0), (True, False, 1), (False, "OPEN", 1), (False, "off", 0),
        (False, Decimal(1), 1), (True, Decimal(0), 1),
    ],
)  # fmt: skip
def test_a_state_is_one_or_nothing(invert: bool, value: bool | str | Decimal, expected: int) -> None:
    assert row("door_open", invert=invert).cell(Value("probe", "x", value)).value == expected


@pytest.mark.parametrize(
    ("channel", "told", "value", "words"),
    [
        ("temperature_mc", {"unit": "C"}, True, "is no number, which temperature_mc needs"),
        ("temperature_mc", {"unit": "C"}, "4.2", "is no number"),
        ("temperature_mc", {"unit": "C"}, Decimal("1e20"), "is too large"),
        ("door_open", {}, Decimal(2), "is no state"),
        ("door_open", {}, "ajar", "is no state"),
        ("tag_in", {}, True, "is no name of a tag"),
        ("tag_in", {}, " ", "is no name of a tag"),
        ("tag_out", {}, "a\x00b", "is no name of a tag"),
    ],
)
def test_what_is_none_of_its_channel_is_refused(
    channel: str,
    told: dict[str, object],
    value: bool | str | Decimal,
    words: str,
) -> None:
    with pytest.raises(MalformedError, match=words):
        row(channel, **told).cell(Value("probe", "x", value))


@pytest.mark.parametrize(
    ("channel", "told", "words"),
    [
        ("warmth", {}, "channel 'warmth' is none; there are latitude_e7"),
        ("temperature_mc", {}, "unit '' is none of temperature_mc; say in which the sensor speaks: C, F, K"),
        ("weight_g", {"unit": "stone"}, "unit 'stone' is none of weight_g"),
        ("pieces_in", {"unit": "kg"}, "pieces_in has none; leave it out"),
        ("pieces_in", {"invert": True}, "pieces_in has no opposite"),
        ("door_open", {"scale": 2.0}, "door_open is no quantity"),
        ("power_w", {"unit": "W", "scale": 0.0}, "scale is 0"),
        ("pieces_in", {"field": "*"}, "name one field"),
        ("pieces_in", {"every_s": -1.0}, "every_s -1.0 is out of range"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_the_cure(channel: str, told: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("*", r"\*")):
        row(channel, **told)


@given(st.text(min_size=1, max_size=40))
def test_a_tags_number_is_the_beginning_of_the_digest_of_its_letters_and_digits(name: str) -> None:
    plain = "".join(sign for sign in name if sign in string.ascii_letters + string.digits)
    assert f"{tag_number(name):013x}" == hashlib.sha256(plain.upper().encode()).hexdigest()[:13]


@pytest.mark.parametrize("name", ["E280-1160-6000", " e280 1160 6000", "E28011606000", "e280.1160/6000"])
def test_a_tag_is_the_same_however_it_is_written(name: str) -> None:
    assert tag_number(name) == 3_136_500_735_125_042, "as docs/WIRE.md has it"
    bench = Bench(row("tag_out"))
    assert passing(bench, ["E28011606000", name]) == [tag_number(name)]
    counted = Bench(row("tags_present", window_s=30, own_tags=(name,)))
    assert rounds(counted, ["e280-1160-6000", "A"], 40)[-1] == Cell(Channel.TAGS_PRESENT, 1)


@pytest.mark.parametrize("found", ["", " - ", "号", "A" * 129, "A\tB"])
def test_what_has_no_letter_or_digit_or_is_no_text_is_no_tag(found: str) -> None:
    with pytest.raises(MalformedError, match="no name of a tag"):
        tag_of(found)


def test_what_one_message_says_is_one_sample_of_its_zone() -> None:
    bench = Bench(
        row("humidity_cpercent", field="h", unit="%"),
        row("temperature_mc", field="t", unit="C"),
        row("door_open", field="d", zone="Racks"),
    )
    values = [Value("probe", "h", Decimal(50)), Value("probe", "d", value=True), Value("probe", "t", Decimal(4))]
    bench.site.hear("hall", [*values, Value("probe", "linkquality", Decimal(87))])
    cells = (Cell(Channel.TEMPERATURE_MC, 4_000), Cell(Channel.HUMIDITY_CPERCENT, 5_000))
    assert bench.taken() == [Sample(NOW_MS, Clock.NTP, cells)]
    assert bench.taken("Racks") == [Sample(NOW_MS, Clock.NTP, (Cell(Channel.DOOR_OPEN, 1),))]
    assert bench.counts == {"heard": 1}


def test_an_unknown_sensor_is_said_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(row("pieces_in"))
    for _ in range(50):
        bench.hear(Decimal(1), sensor="stranger\n")
    assert bench.counts == {"heard": 50, "unknown": 50}
    assert [one.getMessage() for one in caplog.records] == [
        r"hall 'stranger\n' is not in the roster; add a [[sensors]] row for it kind=unknown"
    ]
    assert bench.taken() == []


def test_however_many_strangers_there_are_the_log_ends(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(row("pieces_in"))
    for number in range(3 * TOLD_MAX):
        bench.hear(Decimal(1), sensor=f"stranger {number}")
    assert bench.counts["unknown"] == 3 * TOLD_MAX
    assert len(caplog.records) == TOLD_MAX + 1
    assert caplog.records[-1].getMessage() == "more of this is counted and no more said"


def test_a_value_of_the_wrong_type_is_counted_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(row("pieces_in"), row("pieces_out", field="y"))
    for _ in range(3):
        bench.site.hear("hall", [Value("probe", "x", "many"), Value("probe", "y", Decimal(2))])
    assert bench.cells() == [Cell(Channel.PIECES_OUT, 2)] * 3
    assert bench.counts == {"heard": 3, "malformed": 3}
    assert len(caplog.records) == 1
    bench.hear(Decimal(1), field="z")
    assert bench.counts["unused"] == 1


def test_a_flood_is_bounded_and_one_that_ends_is_heard_again(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(row("pieces_in"), row("pieces_out", field="y"))
    for number in range(5_000):
        bench.hear(Decimal(number))
    assert len(bench.taken()) == READINGS_BURST_MAX
    assert bench.counts["flood"] == 5_000 - READINGS_BURST_MAX
    bench.hear(Decimal(7), field="y")
    assert bench.cells() == [Cell(Channel.PIECES_OUT, 7)]
    bench.ms += 1_000
    for number in range(50):
        bench.hear(Decimal(number))
    assert len(bench.taken()) == 10
    assert len(caplog.records) == 1


def test_an_inbox_that_nobody_empties_keeps_what_it_has(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    bench = Bench(row("pieces_in"))
    for number in range(INBOX_MAX + 100):
        bench.ms += 1_000
        bench.hear(Decimal(number))
    assert bench.site.counts["Cold room", "dropped"] == 100
    assert [cell.value for cell in bench.cells()] == list(range(INBOX_MAX))
    bench.hear(Decimal(1))
    assert [one.getMessage().split(" reason")[0] for one in caplog.records] == [
        "room in the inbox of zone Cold room lost",
        "room in the inbox of zone Cold room back",
    ]


def test_readings_are_thinned_and_news_of_a_state_is_not() -> None:
    bench = Bench(row("pieces_in", every_s=60), row("door_open", field="d", every_s=60))
    for second in range(121):
        bench.ms = second * 1_000
        bench.hear(Decimal(second))
        bench.hear(second % 61 == 60, field="d")
    cells = bench.cells()
    assert [cell.value for cell in cells if cell.channel == Channel.PIECES_IN] == [0, 60, 120]
    assert [cell.value for cell in cells if cell.channel == Channel.DOOR_OPEN] == [0, 1, 0]


def test_what_is_thinned_is_known_on_the_spot_all_the_same() -> None:
    bench = Bench(row("pieces_in", every_s=900))
    bench.hear(Decimal(1))
    bench.ms = 5_000
    bench.hear(Decimal(7))
    newest = bench.site.newest["Cold room", Channel.PIECES_IN]
    assert (newest.value, newest.valued_ms) == (7, 5_000)
    assert [cell.value for cell in bench.cells()] == [1]
    bench.ms = 900_000
    bench.hear(Decimal(7))
    assert [cell.value for cell in bench.cells()] == [7]


def test_a_sensor_that_is_gone_and_one_that_is_back_are_told_at_once() -> None:
    bench = Bench(row("pieces_in", every_s=900))
    bench.hear(Decimal(1))
    bench.ms = 5_000
    bench.site.hear("hall", [gone("probe")])
    bench.ms = 10_000
    bench.hear(Decimal(1))
    assert bench.cells() == [
        Cell(Channel.PIECES_IN, 1),
        Cell(Channel.PIECES_IN, 0, Quality.SENSOR_GONE),
        Cell(Channel.PIECES_IN, 1),
    ]


def test_who_listens_is_told_of_each_value_that_becomes_the_newest() -> None:
    bench = Bench(row("door_open", every_s=900))
    told: list[object] = []
    bench.site.hearers.append(lambda zone, channel, newest: told.append((zone, channel, newest.value)))
    for is_open in [False, *[True, False] * READINGS_BURST_MAX]:
        bench.hear(is_open)
    bench.hear(value=True, at_ms=NOW_MS - 5_000)
    values = [0, *[1, 0] * READINGS_BURST_MAX]
    assert told == [("Cold room", Channel.DOOR_OPEN, value) for value in values], (
        "a flood is heard, what is late is not"
    )
    assert bench.counts["flood"] > 0


def test_a_moment_is_the_messages_own_where_that_can_be() -> None:
    bench = Bench(row("pieces_in"))
    bench.hear(Decimal(1), at_ms=NOW_MS - 3_600_000)
    bench.hear(Decimal(2), at_ms=NOW_MS + 5_000)
    bench.hear(Decimal(3), at_ms=NOW_MS + 86_400_000)
    bench.hear(Decimal(4), at_ms=5)
    assert [one.measured_at_ms for one in bench.taken()] == [NOW_MS - 3_600_000, NOW_MS, NOW_MS, NOW_MS]
    assert bench.counts["clock"] == 2


def test_late_news_is_a_reading_and_not_the_newest() -> None:
    bench = Bench(row("pieces_in"))
    bench.hear(Decimal(5))
    bench.hear(Decimal(4), at_ms=NOW_MS - 60_000)
    assert len(bench.taken()) == 2
    assert bench.site.newest["Cold room", Channel.PIECES_IN].value == 5


def test_a_sensor_that_is_gone_is_a_cell_without_a_value_in_each_of_its_channels() -> None:
    bench = Bench(row("pieces_in"), row("temperature_mc", field="t", unit="C"))
    bench.hear(Decimal(5))
    bench.taken()
    bench.site.hear("hall", [gone("probe")])
    assert bench.cells() == [
        Cell(Channel.TEMPERATURE_MC, 0, Quality.SENSOR_GONE),
        Cell(Channel.PIECES_IN, 0, Quality.SENSOR_GONE),
    ]
    newest = bench.site.newest["Cold room", Channel.PIECES_IN]
    assert (newest.value, newest.valued_ms) == (None, 0)


def passing(bench: Bench, tags: Sequence[str]) -> list[int]:
    for tag in tags:
        bench.hear(tag)
    return [cell.value for cell in bench.cells()]


def test_a_tag_that_passes_is_a_reading_and_one_seen_again_is_the_same_passage() -> None:
    bench = Bench(row("tag_out", window_s=10))
    assert passing(bench, ["A", "A", "B", "A"]) == [tag_number("A"), tag_number("B")]
    bench.ms += 9_000
    assert passing(bench, ["A"]) == []
    bench.ms += 9_999
    assert passing(bench, ["A"]) == []
    bench.ms += 10_000
    assert passing(bench, ["A"]) == [tag_number("A")]


def test_tags_that_pass_in_one_message_are_each_a_reading() -> None:
    bench = Bench(row("tag_in", field="0"), row("tag_in", field="1"))
    bench.site.hear("hall", [Value("probe", "0", "A"), Value("probe", "1", "B")])
    assert [one.cells for one in bench.taken()] == [
        (Cell(Channel.TAG_IN, tag_number("A")),),
        (Cell(Channel.TAG_IN, tag_number("B")),),
    ]


def test_passages_are_told_however_many_there_are() -> None:
    bench = Bench(row("tag_out"))
    tags = [f"CARTON-{number}" for number in range(3 * READINGS_BURST_MAX)]
    assert passing(bench, tags) == [tag_number(tag) for tag in tags]
    assert bench.counts["flood"] == 2 * READINGS_BURST_MAX
    assert passing(bench, tags) == []


def test_a_passage_that_finds_no_room_is_told_when_its_tag_is_seen_again() -> None:
    bench = Bench(row("tag_out"), row("pieces_in", field="y"))
    for number in range(INBOX_MAX - 1):
        bench.ms += 1_000
        bench.hear(Decimal(number), field="y")
    bench.hear("SEAL-1")
    bench.hear("SEAL-2")
    assert bench.site.counts["Cold room", "dropped"] == 1
    assert bench.cells()[-1].value == tag_number("SEAL-1")
    assert passing(bench, ["SEAL-1", "SEAL-2"]) == [tag_number("SEAL-2")]


UNCOUNTED = Cell(Channel.TAGS_PRESENT, 0, Quality.NOT_REPORTED)


def rounds(bench: Bench, tags: Sequence[str], until_s: int) -> list[Cell]:
    """What is told while a reader sees some tags once in ten seconds, and the site looks each second."""
    while bench.ms < until_s * 1_000:
        if bench.ms % 10_000 == 0:
            for tag in tags:
                bench.hear(tag)
        bench.site.tick()
        bench.ms += 1_000
    return bench.cells()


def test_no_count_before_a_reader_has_seen_for_a_window_and_none_from_one_that_sees_nothing() -> None:
    bench = Bench(row("tags_present", window_s=30))
    bench.site.tick()
    assert rounds(bench, ["wall", "A", "B"], 30) == [UNCOUNTED]
    bench.site.tick()
    assert bench.cells() == [Cell(Channel.TAGS_PRESENT, 3)]
    assert rounds(bench, ["wall"], 90) == [Cell(Channel.TAGS_PRESENT, 1)], "the others were last seen at 20 s"
    assert rounds(bench, [], 111) == [UNCOUNTED]
    bench.ms += PRESENCE_EVERY_MS - 1_000
    bench.site.tick()
    assert bench.cells() == [UNCOUNTED]


def test_a_reader_that_is_back_counts_again_after_a_window() -> None:
    bench = Bench(row("tags_present", window_s=30))
    assert rounds(bench, ["A", "B"], 40) == [UNCOUNTED, Cell(Channel.TAGS_PRESENT, 2)]
    bench.site.hear("hall", [gone("probe")])
    assert bench.cells() == [Cell(Channel.TAGS_PRESENT, 0, Quality.SENSOR_GONE)]
    assert rounds(bench, [], 100) == []
    bench.site.tick()
    assert bench.cells() == [Cell(Channel.TAGS_PRESENT, 0, Quality.SENSOR_GONE)]
    assert rounds(bench, ["A", "B"], 130) == [UNCOUNTED]
    bench.site.tick()
    assert bench.cells() == [Cell(Channel.TAGS_PRESENT, 2)]


def test_the_tags_of_the_wall_keep_a_reader_alive_and_are_not_counted() -> None:
    bench = Bench(row("tags_present", window_s=30, own_tags=("WALL-1", "WALL-2")))
    cartons = ["A", "B", "C"]
    assert rounds(bench, ["WALL-1", *cartons, "WALL-2"], 40) == [UNCOUNTED, Cell(Channel.TAGS_PRESENT, 3)]
    assert rounds(bench, ["WALL-1", *cartons[:2]], 80) == [Cell(Channel.TAGS_PRESENT, 2)], "one carton is gone"
    assert rounds(bench, ["WALL-1"], 130)[-1] == Cell(Channel.TAGS_PRESENT, 0), "all are gone, and the reader sees"
    assert rounds(bench, [], 160) == [UNCOUNTED], "the reader sees nothing"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channel": "tag_out", "own_tags": ("WALL",)}, "own_tags: tag_out counts no tags"),
        ({"channel": "tags_present", "own_tags": ("WALL-1", "wall 1")}, "own_tags has a tag twice"),
        ({"channel": "tags_present", "own_tags": ("",)}, "own_tags: '' is no name of a tag"),
        ({"channel": "tags_present", "own_tags": (" - ",)}, "own_tags: ' - ' is no name of a tag"),
    ],
)
def test_tags_of_the_wall_that_cannot_be_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        row(**changes)  # type: ignore[arg-type]


def test_no_more_tags_are_remembered_than_can_be() -> None:
    presence = Presence(1_000)
    assert all(presence.see(number, 0) for number in range(TAGS_MAX))
    assert not presence.see(TAGS_MAX, 999)
    assert presence.see(TAGS_MAX, 1_000)
    assert presence.see(TAGS_MAX + 1, 1_999)
    assert presence.count(1_999) is None
    assert presence.count(2_000) == 1
