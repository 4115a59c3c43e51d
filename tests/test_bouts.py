"""Alarms that a sensor raises again and again: which go at once, what becomes of the others, what a day of it costs.

A row is what an accelerometer finds: a second and thousandths of g, or a stretch `first-last/count` of so many alike at
even distances. Behind it what is told: `!` so many urgent ones, `*` so many routine ones, and the last of them.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_edge.bouts import CALM_S, FIRST_MAX, PAUSE_S
from pledgewatch_edge.sensors.adxl345 import EMPTY_EVERY_S, Adxl345Settings, Blows

ROOT = Path(__file__).resolve().parent.parent
DAY_S, HOUR_S = 86_400, 3_600
DEFAULTS: dict[str, Any] = {one.name: one.default for one in fields(Adxl345Settings)}
ALERT_MG, INTERVAL_S = int(DEFAULTS["alert_mg"]), float(DEFAULTS["interval_s"])

TABLES = {
    "so many go one by one, then the hardest of a minute": (
        "0-11/12 2600=12! 2600, 12-30/73 2700=, 31 3100=, 32-70/153 2400=, 71 2400=! 3100, 72-130/59 2100=, "
        "131 50=! 2100"
    ),
    "one that is harder by half goes at once, and what waited with it": (
        "0-11/12 2600=12! 2600, 12 2900=, 13 3899=, 14 3900=! 3900, 15 5849=, 16 5850=! 5850, 17 8774=, 76 10=! 8774"
    ),
    "than the hardest that has gone without a minute between": (
        "0-10/11 2600=11! 2600, 11 9000=! 9000, 12 2000=, 71 2000=! 2000, 72 2999=, 73 3000=! 3000"
    ),
    "what comes seldom always goes": "0-7200/121 2600=121! 2600, 7201 2600=",
    "after ten minutes of calm they are told one by one": (
        "0-11/12 2600=12! 2600, 12 2600=, 71 10=! 2600, 670 2600=! 2600, 671 2600=, 730 10=! 2600, "
        "1330-1341/12 2600=12! 2600, 1342 2600="
    ),
    "what waits is told though nothing is measured any more": "0-11/12 2600=12! 2600, 12 2700=, 20 -1=, 71 -1=! 2700",
}


@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES)
def test_which_blows_go_at_once(rows: str) -> None:
    blows = Blows(DAY_S, ALERT_MG, 0.0)
    for row in rows.split(", "):
        said, _, wanted = row.partition("=")
        moment, _, mg = said.partition(" ")
        seconds = [float(moment)] if "/" not in moment else list(spread(moment))
        told = [one for second in seconds if (one := blows.take(int(mg), second, is_whole=True)) is not None]
        assert all(is_urgent for _, is_urgent in told), row
        found = f"{len(told) if len(told) > 1 else ''}! {told[-1][0].mg}" if told else ""
        assert found == wanted, row


def spread(said: str) -> Iterator[float]:
    """`first-last/count` as moments."""
    span, _, count = said.partition("/")
    first, last = map(float, span.split("-"))
    return (first + (last - first) * place / (int(count) - 1) for place in range(int(count)))


def test_the_readings_of_the_intervals_are_as_ever_while_it_is_shaken() -> None:
    blows, routine = Blows(10.0, ALERT_MG, 0.0), []
    for turn in range(1, 4 * HOUR_S):
        told = blows.take(2_100 + turn % 400, turn / 4, is_whole=turn != 1_000)
        if told is not None and not told[1]:
            routine.append((turn, told[0]))
    assert len(routine) > 290, "but for those that an urgent one stands for"
    assert all(2_100 + turn % 400 <= most.mg < 2_500 for turn, most in routine)
    assert [turn for turn, most in routine if not most.is_whole] == [1_000], "it is of its own time alone"


def test_what_waits_and_was_told_in_an_interval_is_urgent_all_the_same() -> None:
    blows = Blows(20.0, ALERT_MG, 0.0)
    for second in range(12):
        blows.take(2_600, second, is_whole=True)
    assert blows.take(3_000, 15, is_whole=False) is None
    rows = [(second, blows.take(10, second, is_whole=True)) for second in range(16, 100)]
    told = [(second, one[0].mg, one[0].is_whole, one[1]) for second, one in rows if one is not None]
    assert told == [(20, 3_000, False, False), (40, 10, True, False), (60, 10, True, False), (71, 3_000, False, True),
                    (80, 10, True, False)]  # fmt: skip


blows_of = st.tuples(
    st.sampled_from((0.25, 0.25, 0.25, 1.0, 7.0, 59.75, 60.0, 599.75, 600.0)),
    st.sampled_from((-1, 0, 1_999, 2_000, 2_000, 2_600, 2_999, 3_000, 4_500, 9_000, 26_000)),
)


@given(st.lists(blows_of, max_size=150), st.sampled_from((1.0, 300.0)))
def test_no_blow_waits_but_for_a_minute_behind_one_that_was_hardly_softer(
    walk: list[tuple[float, int]], interval_s: float
) -> None:
    blows, now_s = Blows(interval_s, ALERT_MG, 0.0), 0.0
    went: list[tuple[float, int]] = []
    waits_since: float | None = None
    hardest = 0  # of what waits
    for gap_s, mg in walk:
        now_s += gap_s
        told = blows.take(mg, now_s, is_whole=True)
        is_hard = mg >= ALERT_MG
        hardest = max(hardest, mg) if is_hard else hardest
        if told is not None and told[1]:
            assert told[0].mg == hardest, "the hardest of all that waited, and nothing that is not hard"
            went.append((now_s, hardest))
            waits_since, hardest = None, 0
        elif is_hard:
            assert len(went) >= FIRST_MAX
            assert now_s - went[-1][0] < PAUSE_S
            assert mg < 1.5 * max(one for _, one in went)
            waits_since = now_s if waits_since is None else waits_since
        assert waits_since is None or now_s - waits_since < PAUSE_S


def day(mg_of: Callable[[int, Random], int], turns: int = 4 * DAY_S) -> int:
    """How many urgent ones there are of a day of turns."""
    blows, dice, count = Blows(INTERVAL_S, ALERT_MG, 0.0), Random(1), 0
    for turn in range(turns):
        told = blows.take(mg_of(turn, dice), turn * EMPTY_EVERY_S, is_whole=True)
        count += told is not None and told[1]
    return count


COSTS: dict[str, tuple[Callable[[int, Random], int], int]] = {
    "2.6 g at every turn": (lambda _, __: 2_600, 4 * DAY_S),
    "anything from rest to 16 g at every turn, by chance": (lambda _, dice: dice.randrange(16_000), 4 * DAY_S),
    "a blow of 2.6 g every ten seconds": (lambda turn, _: 0 if turn % 40 else 2_600, 4 * DAY_S),
    "a blow of 2.6 g each minute": (lambda turn, _: 0 if turn % 240 else 2_600, 4 * DAY_S),
    "an hour of a road where each fifth turn is a blow of 2 to 4 g, by chance": (
        lambda _, dice: dice.randrange(2_000, 4_000) if dice.random() < 0.2 else 300,
        4 * HOUR_S,
    ),
}


@pytest.mark.parametrize("what", COSTS)
def test_a_day_of_it_costs_what_the_docs_say(what: str) -> None:
    text = (ROOT / "docs" / "SAMPLING.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^\| ([^|]+) \| ([\d,]+) \|$", text, re.MULTILINE))
    assert COSTS.keys() == said.keys()
    assert f"{day(*COSTS[what]):,}" == said[what]
    words = f"first {FIRST_MAX} go at once", "ten minutes after the one before", f"of {4 * DAY_S:,} turns"
    assert all(one in text for one in words)
    assert (PAUSE_S, CALM_S, EMPTY_EVERY_S) == (60, 600, 0.25)
