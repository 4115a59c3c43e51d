"""Signals: what is kept of a warehouse's readings depends on which there are, and on nothing else."""

import json
from itertools import permutations
from typing import Any

import pytest
from builders import NOON_MS
from hypothesis import given
from hypothesis import strategies as st
from warehouses import DOCK, GATE, HALL, PLACE, TRACKER, ZONE, batch, book_with, cell, installation, said

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.asset import LATEST_MS
from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.warehouse import signals as signals_module
from pledgewatch_cloud.decide.warehouse.signals import QUARTER_MS, Opening, Passage, Signal, Signals, heard
from pledgewatch_wire.reading import NO_VALUE_FROM, Channel, Clock, Quality, tag_number

BOOK = book_with()
C = Channel
SEAL = tag_number("SEAL-1")
NONE = Signals()
IN, OUT = False, True
LATER_MS = NOON_MS + 3_600_000
"""When all is heard."""


def after(*readings: AssetReading, book: Book = BOOK, known: Signals = NONE, now_ms: int = LATER_MS) -> Signals:
    return heard(known, book, batch(*readings), now_ms)


def weighed(value: int, at_ms: int = NOON_MS, **told: Any) -> AssetReading:
    quality = told.pop("quality", Quality.GOOD)
    channel = told.pop("channel", C.WEIGHT_G)
    device, sequence = told.pop("device", ZONE), told.pop("sequence", 1)
    return said(device, sequence, at_ms, cell(channel, value, quality), **told)


def test_the_newest_value_of_each_channel_of_a_zone_is_kept() -> None:
    found = after(
        said(ZONE, 2, NOON_MS + 1, cell(C.WEIGHT_G, 90), cell(C.WEIGHT_1_G, 40), cell(C.PIECES_PRESENT, 3)),
        said(ZONE, 1, NOON_MS, cell(C.WEIGHT_G, 80), cell(C.TAGS_PRESENT, 7), cell(C.TEMPERATURE_MC, 4_000)),
    )
    assert found.latest(HALL, C.WEIGHT_G) == Signal(NOON_MS + 1, ZONE, 1, 2, 90)
    assert found.latest(HALL, C.WEIGHT_1_G) == Signal(NOON_MS + 1, ZONE, 1, 2, 40)
    assert found.latest(HALL, C.PIECES_PRESENT) == Signal(NOON_MS + 1, ZONE, 1, 2, 3)
    assert found.latest(HALL, C.TAGS_PRESENT) == Signal(NOON_MS, ZONE, 1, 1, 7)
    assert found.latest(HALL, C.TEMPERATURE_MC) is None
    assert found.latest(HALL, C.WEIGHT_2_G) is None
    assert found.latest(GATE, C.WEIGHT_G) is None


@pytest.mark.parametrize("device", [DOCK, TRACKER, "not-in-the-book"])
def test_what_is_no_zone_weighs_nothing(device: str) -> None:
    known = Signals()
    assert after(weighed(80, device=device), known=known) is known


@pytest.mark.parametrize("device", [ZONE, TRACKER, "not-in-the-book"])
def test_what_is_no_gate_reads_no_passage(device: str) -> None:
    known = Signals()
    assert after(said(device, 1, NOON_MS, cell(C.TAG_OUT, SEAL)), known=known) is known


@pytest.mark.parametrize("quality", [one for one in Quality if one is not Quality.GOOD])
def test_only_good_values_say_something(quality: Quality) -> None:
    known, value = after(weighed(80)), 0 if quality >= NO_VALUE_FROM else 5
    assert after(weighed(value, NOON_MS + 1, sequence=2, quality=quality), known=known) is known


def test_a_value_that_cannot_be_says_nothing() -> None:
    known = after(weighed(80))
    assert after(weighed(10**9 + 1, NOON_MS + 1, sequence=2), known=known) is known
    assert after(weighed(-1, NOON_MS + 1, sequence=2, channel=C.PIECES_PRESENT), known=known) is known
    assert after(weighed(2, NOON_MS + 1, sequence=2, channel=C.DOOR_OPEN), known=known) is known
    assert after(weighed(-5, NOON_MS + 1, sequence=2), known=known).latest(HALL, C.WEIGHT_G) == (
        *(NOON_MS + 1, ZONE, 1, 2, -5),
    )


def test_a_reading_says_nothing_by_a_clock_that_is_not_set_or_before_its_device_was_fitted() -> None:
    known = after(weighed(80))
    assert after(weighed(90, NOON_MS + 1, clock=Clock.UNSET), known=known) is known
    years_ago = NOON_MS - 19 * 366 * 86_400_000
    assert after(weighed(90, years_ago, device=ZONE)).latest(HALL, C.WEIGHT_G) is None
    document = {"installations": [installation(ZONE, 51, fitted_at="2026-01-01T12:00:00Z")]}
    fitted = book_module.amend(BOOK, document)
    assert after(weighed(90, NOON_MS - 1), book=fitted) == Signals()
    assert after(weighed(90, NOON_MS), book=fitted).latest(HALL, C.WEIGHT_G) is not None


def test_a_scale_says_nothing_once_its_calibration_has_expired_and_a_counter_does() -> None:
    document = {"installations": [installation(ZONE, 51, calibrated_until="2026-01-01T12:00:00Z")]}
    book = book_module.amend(BOOK, document)
    found = after(
        weighed(90),
        said(ZONE, 2, NOON_MS + 1, cell(C.WEIGHT_G, 95), cell(C.PIECES_PRESENT, 7)),
        book=book,
    )
    assert found.latest(HALL, C.WEIGHT_G) == Signal(NOON_MS, ZONE, 1, 1, 90)
    assert found.latest(HALL, C.PIECES_PRESENT) == Signal(NOON_MS + 1, ZONE, 1, 2, 7)


def test_a_value_dated_ahead_of_time_keeps_no_later_one_away() -> None:
    ahead_ms = 1_000 * BOOK.installations[ZONE].ahead_s
    assert ahead_ms > 0
    found = after(weighed(1, LATER_MS + ahead_ms + 1, sequence=1), weighed(90, NOON_MS, sequence=2))
    assert found.latest(HALL, C.WEIGHT_G) == Signal(NOON_MS, ZONE, 1, 2, 90)
    borne = after(weighed(1, LATER_MS + ahead_ms, sequence=1))
    assert borne.latest(HALL, C.WEIGHT_G) == Signal(LATER_MS + ahead_ms, ZONE, 1, 1, 1)


def test_a_passage_dated_ahead_of_time_counts_as_of_when_it_was_heard() -> None:
    found = after(said(DOCK, 1, LATER_MS + 10**9, cell(C.TAG_OUT, SEAL)))
    assert found.passages(GATE) == (Passage(LATER_MS, DOCK, 1, 1, OUT, SEAL),)
    back = after(said(DOCK, 2, LATER_MS + 60_000, cell(C.TAG_IN, SEAL)), known=found, now_ms=LATER_MS + 60_000)
    assert back.passages(GATE) == (Passage(LATER_MS + 60_000, DOCK, 1, 2, IN, SEAL),)


def test_a_passage_and_a_door_by_a_clock_that_is_not_set_count_as_of_when_they_were_heard() -> None:
    found = after(said(DOCK, 1, 0, cell(C.TAG_OUT, SEAL), cell(C.DOOR_OPEN, 1), clock=Clock.UNSET))
    assert found.passages(GATE) == (Passage(LATER_MS, DOCK, 1, 1, OUT, SEAL),)
    assert [one.at_ms for one in found.openings(GATE)] == [LATER_MS]
    assert found.latest(GATE, C.DOOR_OPEN) is None
    document = {"installations": [installation(DOCK, 52, asset=GATE, fitted_at="2026-01-01T14:00:00Z")]}
    fitted_later = book_module.amend(BOOK, document)
    assert after(said(DOCK, 1, 0, cell(C.TAG_OUT, SEAL), clock=Clock.UNSET), book=fitted_later) == NONE


def test_a_passage_dated_longer_ago_than_anybody_keeps_a_reading_counts_as_of_when_it_was_heard() -> None:
    found = after(said(DOCK, 1, LATER_MS - LATEST_MS - 1, cell(C.TAG_OUT, SEAL), cell(C.DOOR_OPEN, 1), clock=Clock.RTC))
    assert found.passages(GATE) == (Passage(LATER_MS, DOCK, 1, 1, OUT, SEAL),)
    assert found.latest(GATE, C.DOOR_OPEN) is None
    late = after(said(DOCK, 1, LATER_MS - LATEST_MS, cell(C.TAG_OUT, SEAL), clock=Clock.RTC))
    assert late.passages(GATE) == (Passage(LATER_MS - LATEST_MS, DOCK, 1, 1, OUT, SEAL),)


def test_of_each_quarter_of_an_hour_the_newest_value_of_a_channel_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals_module, "VALUES_MAX", 3)
    moments = (0, 7, QUARTER_MS - 1, QUARTER_MS, 3 * QUARTER_MS, 2 * QUARTER_MS)
    found = after(*(weighed(at_ms, NOON_MS + at_ms, sequence=9 + at_ms) for at_ms in moments))

    def value(at_ms: int) -> int | None:
        one = found.value_at(HALL, C.WEIGHT_G, NOON_MS + at_ms)
        return one.value if one else None

    assert [value(at_ms) for at_ms in (QUARTER_MS - 1, QUARTER_MS, 2 * QUARTER_MS - 1, 9 * QUARTER_MS)] == [
        *(None, QUARTER_MS, QUARTER_MS, 3 * QUARTER_MS),
    ]
    late = after(weighed(1, NOON_MS + 5, sequence=1), known=found)
    assert late is found


def test_where_a_passage_is_let_go_no_older_one_of_its_tag_is_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals_module, "TAGS_MAX", 1)
    other = installation("dock-b", 61)
    places = [PLACE | {"gates": [GATE, str(other["asset"])]}]
    here = book_module.amend(BOOK, {"installations": [other], "warehouses": places})
    out = after(said(DOCK, 1, NOON_MS, cell(C.TAG_OUT, SEAL)), book=here)
    back = after(said("dock-b", 1, NOON_MS + 1, cell(C.TAG_IN, SEAL)), book=here, known=out)
    assert (back.passage(GATE, SEAL), len(back.passages(str(other["asset"])))) == (out.passage(GATE, SEAL), 1)
    flooded = after(said("dock-b", 2, NOON_MS + 2, cell(C.TAG_IN, 7)), book=here, known=back)
    assert flooded.passage(GATE, SEAL) is None
    assert flooded.tags_since(back) == {7, SEAL}
    newer = after(said(DOCK, 2, NOON_MS + 2, cell(C.TAG_OUT, SEAL)), book=here, known=back)
    kept = after(said("dock-b", 3, NOON_MS + 3, cell(C.TAG_IN, 7)), book=here, known=newer)
    assert kept.passage(GATE, SEAL) == newer.passage(GATE, SEAL)


def test_the_newest_passage_of_each_tag_is_kept() -> None:
    other = tag_number("SEAL-2")
    found = after(
        said(DOCK, 1, NOON_MS, cell(C.TAG_IN, SEAL)),
        said(DOCK, 2, NOON_MS + 5, cell(C.TAG_OUT, SEAL)),
        said(DOCK, 3, NOON_MS + 2, cell(C.TAG_IN, other)),
    )
    assert found.passage(GATE, SEAL) == Passage(NOON_MS + 5, DOCK, 1, 2, OUT, SEAL)
    assert found.passages(GATE) == (
        Passage(NOON_MS + 2, DOCK, 1, 3, IN, other),
        Passage(NOON_MS + 5, DOCK, 1, 2, OUT, SEAL),
    )
    assert found.passage(HALL, SEAL) is None


def test_the_newest_passage_on_the_way_out_is_kept_beside_whatever_was_heard_first() -> None:
    readings = [
        said(DOCK, 1, NOON_MS, cell(C.TAG_OUT, SEAL)),
        said(DOCK, 2, NOON_MS + 5, cell(C.TAG_OUT, SEAL)),
        said(DOCK, 3, NOON_MS + 9, cell(C.TAG_IN, SEAL)),
    ]
    for order in permutations(readings):
        found = NONE
        for one in order:
            before, found = found, after(one, known=found)
            is_news = found.out(GATE, SEAL) != before.out(GATE, SEAL)
            assert (SEAL in found.tags_since(before)) >= is_news
        assert found.out(GATE, SEAL) == Passage(NOON_MS + 5, DOCK, 1, 2, OUT, SEAL)
        assert found.passages(GATE) == (Passage(NOON_MS + 9, DOCK, 1, 3, IN, SEAL),)
    assert found.out(HALL, SEAL) is None
    assert found.within(book_with(gates=[])).out(GATE, SEAL) is None
    assert Signals.from_json(found.as_json()) == found


@pytest.mark.parametrize("channels", [(C.TAG_IN, C.TAG_OUT), (C.TAG_OUT, C.TAG_IN)])
def test_where_a_reading_says_in_and_out_the_tag_is_out(channels: tuple[Channel, Channel]) -> None:
    found = after(said(DOCK, 1, NOON_MS, *(cell(one, SEAL) for one in channels)))
    assert found.passage(GATE, SEAL) == Passage(NOON_MS, DOCK, 1, 1, OUT, SEAL)


def test_the_tags_that_have_passed_since_are_told() -> None:
    before = after(said(DOCK, 1, NOON_MS, cell(C.TAG_IN, SEAL)))
    now = after(said(DOCK, 2, NOON_MS + 1, cell(C.TAG_OUT, 7)), known=before)
    assert before.tags_since(Signals()) == {SEAL}
    assert now.tags_since(before) == {7}
    assert now.tags_since(now) == frozenset()


def test_the_first_reading_of_each_quarter_of_an_hour_in_which_a_door_is_open_is_kept() -> None:
    """12:00 is the beginning of a quarter."""
    assert NOON_MS % QUARTER_MS == 0
    opened = [(3, 1), (1, 1), (0, 0), (QUARTER_MS - 1, 1), (QUARTER_MS, 1)]
    found = after(
        *(weighed(value, NOON_MS + at_ms, sequence=at_ms + 1, channel=C.DOOR_OPEN) for at_ms, value in opened)
    )
    assert found.openings(HALL) == (
        Opening(NOON_MS + 1, ZONE, 1, 2),
        Opening(NOON_MS + QUARTER_MS, ZONE, 1, QUARTER_MS + 1),
    )
    assert found.latest(HALL, C.DOOR_OPEN) == Signal(NOON_MS + QUARTER_MS, ZONE, 1, QUARTER_MS + 1, 1)
    assert after(weighed(1, channel=C.DOOR_OPEN, device=DOCK)).openings(GATE) == (Opening(NOON_MS, DOCK, 1, 1),)


def test_an_earlier_opening_of_a_quarter_takes_the_place_of_a_later_one_that_came_before_it() -> None:
    late = weighed(1, NOON_MS + 9, sequence=9, channel=C.DOOR_OPEN)
    early = weighed(1, NOON_MS + 5, sequence=5, channel=C.DOOR_OPEN)
    for one, other in ((late, early), (early, late)):
        found = after(other, known=after(one))
        assert found.openings(HALL) == (Opening(NOON_MS + 5, ZONE, 1, 5),)


def test_of_one_moment_the_later_epoch_counts_then_the_later_sequence() -> None:
    readings = [weighed(1, epoch=2, sequence=1), weighed(2, epoch=1, sequence=9), weighed(3, epoch=2, sequence=3)]
    assert after(*readings).latest(HALL, C.WEIGHT_G) == Signal(NOON_MS, ZONE, 2, 3, 3)
    assert after(*readings[:2]).latest(HALL, C.WEIGHT_G) == Signal(NOON_MS, ZONE, 2, 1, 1)


def test_what_says_nothing_new_leaves_the_same_signals() -> None:
    known = after(
        said(ZONE, 2, NOON_MS + 1, cell(C.WEIGHT_G, 80), cell(C.DOOR_OPEN, 1)),
        said(DOCK, 2, NOON_MS + 1, cell(C.TAG_OUT, SEAL)),
    )
    older = said(ZONE, 1, NOON_MS, cell(C.WEIGHT_G, 70)), said(DOCK, 1, NOON_MS, cell(C.TAG_IN, SEAL))
    assert after(*older, known=known) is known
    assert after(said(ZONE, 2, NOON_MS + 1, cell(C.WEIGHT_G, 80), cell(C.DOOR_OPEN, 1)), known=known) is known
    assert after(said(TRACKER, 1, NOON_MS + 9, cell(C.TEMPERATURE_MC, 1)), known=known) is known
    assert after(known=known) is known


def test_of_many_tags_and_quarters_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals_module, "TAGS_MAX", 3)
    monkeypatch.setattr(signals_module, "OPENINGS_MAX", 2)
    found = after(*(said(DOCK, one, NOON_MS + one, cell(C.TAG_OUT, one)) for one in (5, 1, 4, 2, 3)))
    assert [one.tag for one in found.passages(GATE)] == [3, 4, 5]
    assert [one.tag for one in after(said(DOCK, 9, NOON_MS, cell(C.TAG_IN, 9)), known=found).passages(GATE)] == [
        3,
        4,
        5,
    ]
    doors = [weighed(1, NOON_MS + one * QUARTER_MS, sequence=9 + one, channel=C.DOOR_OPEN) for one in (1, 3, 0, 2)]
    assert [one.at_ms - NOON_MS for one in after(*doors).openings(HALL)] == [2 * QUARTER_MS, 3 * QUARTER_MS]


def test_what_is_no_zone_and_no_gate_any_more_is_let_go() -> None:
    known = after(
        weighed(80),
        weighed(1, channel=C.DOOR_OPEN, sequence=2),
        said(DOCK, 2, NOON_MS + 1, cell(C.TAG_OUT, SEAL)),
    )
    assert known.within(BOOK) == known
    only_gates = known.within(book_with(zones=[]))
    assert only_gates.latest(HALL, C.WEIGHT_G) is None
    assert only_gates.openings(HALL) == ()
    assert only_gates.passages(GATE) == known.passages(GATE)
    assert known.within(book_with(gates=[])).passages(GATE) == ()


DEVICES = (ZONE, DOCK, TRACKER, "zone-b")
HERE = book_module.amend(
    BOOK,
    {
        "installations": [
            installation("zone-b", 61, asset=HALL, calibrated_until="2026-01-01T12:00:00.005Z"),
            installation(ZONE, 51, fitted_at="2026-01-01T12:00:00.002Z"),
        ]
    },
)
CHANNELS = (C.WEIGHT_G, C.WEIGHT_1_G, C.PIECES_PRESENT, C.TAGS_PRESENT, C.DOOR_OPEN, C.TAG_IN, C.TAG_OUT, C.BATTERY_MV)
NOW_MS = NOON_MS + 4 * QUARTER_MS


@st.composite
def histories(draw: st.DrawFn) -> list[AssetReading]:
    """Readings of several devices, each identity once, near in time, of every quality."""
    found = []
    identities = st.tuples(st.sampled_from(DEVICES), st.integers(1, 2), st.integers(1, 6))
    for device, epoch, sequence in draw(st.lists(identities, unique=True, max_size=24)):
        quarter = draw(st.integers(0, 2)) * QUARTER_MS
        at_ms = NOON_MS + quarter + draw(st.integers(0, 8)) + draw(st.sampled_from((0, 0, 0, 10**9)))
        cells = [
            cell(
                one,
                draw(st.integers(0, 2)),
                draw(st.sampled_from((Quality.GOOD, Quality.GOOD, Quality.GOOD, Quality.ESTIMATED))),
            )
            for one in draw(st.lists(st.sampled_from(CHANNELS), unique=True, min_size=1, max_size=4))
        ]
        clock = draw(st.sampled_from((Clock.NTP, Clock.NTP, Clock.RTC, Clock.UNSET, Clock.BACKDATED)))
        found.append(said(device, sequence, at_ms, *cells, epoch=epoch, clock=clock))
    return found


def by_hand(readings: list[AssetReading]) -> dict[str, Any]:
    """The signals' JSON, one cell at a time, from what is said of them alone."""
    latest: dict[tuple[str, int], Any] = {}
    passages: dict[tuple[str, int], Any] = {}
    outs: dict[tuple[str, int], Any] = {}
    openings: dict[tuple[str, int], Any] = {}
    quarters: dict[tuple[str, int, int], Any] = {}
    for one in readings:
        known = HERE.watched.get(one.device)
        if known is None:
            continue
        is_ahead = one.reading.clock in {Clock.UNSET, Clock.BACKDATED} or one.measured_at_ms > NOW_MS + known.ahead_ms
        if one.measured_at_ms < known.fitted_ms and not is_ahead:
            continue
        at_ms = NOW_MS if is_ahead else one.measured_at_ms
        who = (at_ms, one.device, one.epoch, one.sequence)
        for channel, value, quality in one.reading.cells:
            is_expired = "weight" in C(channel).name.lower() and at_ms > known.calibrated_until_ms
            if quality or is_expired or (channel == C.DOOR_OPEN and value > 1):
                continue
            if channel in (C.TAG_IN, C.TAG_OUT) and known.is_gate:
                passage = (*who, channel == C.TAG_OUT, value)
                key = known.asset, value
                passages[key] = max(passages.get(key, passage), passage)
                if channel == C.TAG_OUT:
                    outs[key] = max(outs.get(key, passage), passage)
            values = {C.WEIGHT_G, C.WEIGHT_1_G, C.PIECES_PRESENT, C.TAGS_PRESENT} if known.is_zone else set()
            if channel in values | {C.DOOR_OPEN} and not is_ahead:
                key = known.asset, channel
                latest[key] = max(latest.get(key, (*who, value)), (*who, value))
                if channel != C.DOOR_OPEN:
                    then = *key, at_ms // QUARTER_MS
                    quarters[then] = max(quarters.get(then, (*who, value)), (*who, value))
            if channel == C.DOOR_OPEN and value == 1:
                key = known.asset, at_ms // QUARTER_MS
                openings[key] = min(openings.get(key, who), who)
    return {
        "latest": [[*key, *one] for key, one in sorted(latest.items())],
        "openings": sorted([asset, *one] for (asset, _), one in openings.items()),
        "outs": sorted([asset, *one] for (asset, _), one in outs.items()),
        "passages": sorted([asset, *one] for (asset, _), one in passages.items()),
        "quarters": [[asset, channel, *one] for (asset, channel, _), one in sorted(quarters.items())],
    }


@given(histories(), st.randoms(use_true_random=False))
def test_the_signals_depend_on_the_set_of_readings_alone(readings: list[AssetReading], dice: Any) -> None:
    found = heard(Signals(), HERE, batch(*readings), NOW_MS)
    shuffled = [*readings, *readings[:3]]  # some come twice
    dice.shuffle(shuffled)
    split = Signals()
    while shuffled:
        size = dice.randint(1, len(shuffled))
        split = heard(split, HERE, batch(*shuffled[:size]), NOW_MS)
        del shuffled[:size]
    assert found == split
    assert found.as_json() == split.as_json() == by_hand(readings)
    assert Signals.from_json(json.loads(json.dumps(found.as_json()))) == found
