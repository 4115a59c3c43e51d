"""Qualities that tremble: which values are kept, and that what is wrong for longer is told, and what is right again.

A row is what a probe at 4 °C says, or a receiver at rest: a second and the quality, or a stretch `first-last/count
one|other` of qualities that change from one to the other at even distances. Behind it how many of these are kept: `*`
one, `-` none, `n*` so many.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from edge_support import TIME_MS
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_edge.passing import CALM_MS, PASSES_MAX, STAY_MS
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.sampling_settings import RuleSettings, SamplingSettings
from pledgewatch_edge.wavering import LONGEST_STAY_MS, MEDDLED
from pledgewatch_wire.reading import NO_VALUE_FROM, Cell, Channel, Clock, Quality

HOURLY = {"change": 100, "max_silence_s": 3_600.0}
STAY_S = LONGEST_STAY_MS // 1_000
CALM_S = CALM_MS // STAY_MS * STAY_S


class Probe:
    """A probe, or a receiver, and what a sampler makes of it."""

    def __init__(self, rule: Mapping[str, Any], *, of_place: bool = False) -> None:
        names = ("position",) if of_place else ("temperature_mc",)
        self.sampler = Sampler(SamplingSettings(rules=(RuleSettings(channels=names, **rule),)))
        self.channels = (Channel.LATITUDE_E7, Channel.LONGITUDE_E7) if of_place else (Channel.TEMPERATURE_MC,)

    def say(self, second: float, quality: Quality, value: int = 4_000) -> Sample | None:
        """What is kept of it."""
        said = value if quality < NO_VALUE_FROM else 0
        cells = tuple(Cell(one, said, quality) for one in self.channels)
        return self.sampler.take(Sample(TIME_MS + round(1_000 * second), Clock.GPS, cells))


TREMBLES = "0 good=*, 10-170/17 high_hdop|good=10*"
TABLES = {
    "nine changes are told, and the next of each is its first; then none": f"{TREMBLES}, 180-1800/163 good|high_hdop=-",
    "what is wrong for longer is told, and so is what is right again": (
        f"{TREMBLES}, 180-200/3 good=-, 210-510/31 high_hdop=-, 511 high_hdop=*, 520-3000/100 high_hdop=-, 3010 good=*"
    ),
    "both are proven": f"{TREMBLES}, 180-3680/351 good|high_hdop=-, 3690-7280/360 high_hdop|good=2*",
    "another thing that is wrong is told at once": (
        f"{TREMBLES}, 180 good=-, 190 sensor_gone=*, 200 high_hdop=*, 210 good=*, 220 high_hdop=-, 230 sensor_gone=*"
    ),
    "that somebody meddles is told each time": (
        "0 good=*, 10-1000/100 spoofed|good=100*, 1010-2000/100 jammed|good=100*, 2010 jammed=*, 2020 spoofed=*"
    ),
    "what does not rest for long is told each time": (
        f"0 good=*, {STAY_S + 1}-{20 * (STAY_S + 1)}/20 no_fix|good=20*, {20 * (STAY_S + 1) + CALM_S} no_fix=*"
    ),
    "after it, a change is a change": f"{TREMBLES}, 180-3200/303 good=*, 3210 high_hdop=*, 3220 good=*",
    "a clock that goes back": f"{TREMBLES}, 180 good=-, -4000 good=*, -3990 high_hdop=*, -3980 good=-",
    "three that change places tremble each by itself": (
        "0 good=*, 10-110/11 no_fix|good=10*, 120-220/11 few_satellites|good=10*, 230-400/18 no_fix|few_satellites=*"
    ),
}


@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("of_place", [False, True], ids=["", "place"])
def test_which_are_kept(rows: str, *, of_place: bool) -> None:
    probe = Probe(HOURLY, of_place=of_place)
    for row in rows.split(", "):
        said, _, wanted = row.partition("=")
        moment, _, names = said.partition(" ")
        qualities = [Quality[name.upper()] for name in names.split("|")]
        seconds = [float(moment)] if "/" not in moment else list(spread(moment))
        kept = [probe.say(second, qualities[place % len(qualities)]) for place, second in enumerate(seconds)]
        assert sum(one is not None for one in kept) == {"-": 0, "*": 1}.get(wanted, int(wanted.strip("*-") or 0)), row


def spread(said: str) -> Sequence[float]:
    """`first-last/count` as moments."""
    span, _, count = said.partition("/")
    first, last = map(float, span.split("-"))
    return [first + (last - first) * place / (int(count) - 1) for place in range(int(count))]


def test_a_good_value_that_changes_while_its_quality_trembles_is_known() -> None:
    probe = Probe(HOURLY)
    for number in range(100):
        probe.say(10 * number, (Quality.GOOD, Quality.CHECKSUM_FAILED)[number % 2])
    assert probe.say(1_000, Quality.GOOD, 4_101)
    assert not probe.say(1_010, Quality.CHECKSUM_FAILED)
    assert not probe.say(1_020, Quality.GOOD, 4_050)
    assert probe.say(1_030, Quality.GOOD, 4_000), "held against the good one before"


@pytest.mark.parametrize("rule", [{"interval_s": 900.0}, {"average_s": 900.0}])
def test_a_checksum_that_fails_every_other_minute_is_kept_as_often_as_the_interval_says(rule: dict[str, float]) -> None:
    probe = Probe(rule)
    said = [(Quality.GOOD, Quality.CHECKSUM_FAILED)[minute % 2] for minute in range(1_440)]
    kept = [(one, minute) for minute, one in enumerate(said) if probe.say(60 * minute, one, 4_000 + minute)]
    assert len(kept) <= 2 * 96 + 9 + 2
    for quality in set(said):
        minutes = [minute for one, minute in kept if one == quality]
        assert max(b - a for a, b in pairwise(minutes)) <= 16, "of both, whatever their rhythm is"


def test_a_mean_is_of_values_of_one_quality_also_while_it_trembles() -> None:
    probe = Probe({"average_s": 900.0})
    for minute in range(200):
        is_good = minute % 2 == 0
        kept = probe.say(60 * minute, Quality.GOOD if is_good else Quality.ESTIMATED, 4_000 if is_good else 90_000)
        if kept is not None:
            assert kept.cells[0].value == (4_000 if is_good else 90_000)


QUALITIES = (Quality.GOOD, Quality.HIGH_HDOP, Quality.NO_FIX)
bad = st.sampled_from((Quality.GOOD, *QUALITIES))
quick_s = st.sampled_from((1, 10, 10, 60, 60, 60, 299, 301, 700))
proven = st.sampled_from((300.0, 3_600.0, 86_400.0))


@given(st.lists(st.tuples(quick_s, bad), max_size=120), proven)
def test_what_was_kept_last_says_what_has_lasted(walk: list[tuple[int, Quality]], silence_s: float) -> None:
    probe, second, before, since, last, kept_at = (
        Probe({"change": 100, "max_silence_s": silence_s}),
        0,
        None,
        0,
        None,
        0,
    )
    stay_s = min(max(silence_s / 10, STAY_MS / 1_000), STAY_S)
    changes, told = 0, set[Quality]()
    for gap_s, quality in walk:
        second += gap_s
        if quality != before:
            changes, since, before = changes + 1, second, quality
        if probe.say(second, quality):
            last, kept_at = quality, second
        elif changes <= PASSES_MAX + 1 or quality not in told:
            assert last == quality, "at once, as long as it does not tremble"
        told.add(quality)
        assert last == quality or second - since <= stay_s, "nothing is wrong, or right, for longer without being told"
        assert second - kept_at < silence_s


def test_that_nothing_is_good_is_told_also_where_two_that_are_not_take_turns() -> None:
    probe, second = Probe(HOURLY), 0
    for number in range(101):
        second = 10 * number
        probe.say(second, (Quality.GOOD, Quality.NO_FIX, Quality.GOOD, Quality.FEW_SATELLITES)[number % 4])
    assert probe.say(second, Quality.GOOD, 5_000), "what is kept last is good"
    turns = [
        (later, probe.say(second + later, (Quality.NO_FIX, Quality.FEW_SATELLITES)[later // 10 % 2]))
        for later in range(10, 2 * STAY_S, 10)
    ]
    assert next(later for later, kept in turns if kept) <= STAY_S + 20


turns = st.lists(st.sampled_from(QUALITIES), min_size=1, max_size=4)
stretches = st.tuples(turns, st.integers(1, 40), quick_s, st.sampled_from((4_000, 5_000)))


@given(st.lists(stretches, min_size=1, max_size=8), proven)
def test_what_was_kept_last_was_there_a_stay_ago_at_most(
    walk: list[tuple[list[Quality], int, int, int]], silence_s: float
) -> None:
    """Whatever takes turns meanwhile: of a stretch all are said in turn, so often, so far from each other."""
    probe, second, last = Probe({"change": 100, "max_silence_s": silence_s}), 0, Quality.GOOD
    stay_s = min(max(silence_s / 10, STAY_MS / 1_000), STAY_S)
    missed_since: dict[Quality, int] = {}
    for said, count, gap_s, value in walk:
        for quality in said * count:
            second += gap_s
            missed_since = {one: missed_since.get(one, second) for one in QUALITIES if one != quality}
            if probe.say(second, quality, value):
                last = quality
            assert last == quality or second - missed_since[last] <= stay_s


@given(st.lists(st.tuples(quick_s, st.sampled_from((*MEDDLED, Quality.GOOD, Quality.HIGH_HDOP))), max_size=80))
def test_that_somebody_meddles_never_waits(walk: list[tuple[int, Quality]]) -> None:
    probe, second, before = Probe(HOURLY), 0, Quality.GOOD
    for gap_s, quality in walk:
        second += gap_s
        kept = probe.say(second, quality)
        assert kept or quality == before or MEDDLED.isdisjoint((before, quality))
        before = quality
