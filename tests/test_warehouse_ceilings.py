"""What a count has missed stays missed, whatever was booked before it was handed in, and whichever count came first."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import pytest
import warehouses
from builders import NOON_MS
from keeping import Keeping, key, lot, sofas, weight_of
from receipting import FIRST

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.stock.periods import DAY_MS
from pledgewatch_cloud.decide.warehouse import ceilings, counting, watch
from pledgewatch_cloud.decide.warehouse.counting import OLDEST_MS, Count
from pledgewatch_cloud.decide.warehouse.course import Ceiling
from pledgewatch_cloud.decide.warehouse.shortfall import Pool
from pledgewatch_cloud.decide.warehouse.watch import Watch

MINUTE_MS = 60_000
DAY = DAY_MS // MINUTE_MS
Tells = Callable[[Keeping], object]


def kept(*more: tuple[int, str]) -> Keeping:
    """40 sofas in A-01 on a pledged receipt, and more of them in other bins."""
    keeping = Keeping(lot())
    for units, place in ((40, "A-01"), *more):
        keeping.row("received", units, place)
    keeping.pledged(FIRST, sofas())
    return keeping


@pytest.mark.parametrize("kind", ["received", "adjusted"])
@pytest.mark.parametrize("is_booked_first", [False, True])
def test_what_is_booked_before_a_count_is_handed_in_cures_nothing(kind: str, is_booked_first: bool) -> None:
    keeping, minutes = kept(), iter((100, 120))
    steps: list[Tells] = [
        lambda one: one.at(next(minutes)).row(kind, 10, "Z-99", minute=59),
        lambda one: one.at(next(minutes)).count(("A-01", 30), minute=60),
    ]

    for step in steps if is_booked_first else reversed(steps):
        step(keeping)
    keeping.tick(300)
    assert keeping.missing == {FIRST: 10_000}
    keeping.row("received", 10, "Z-99", minute=290)  # nor does what comes later, before it was counted
    assert keeping.missing == {FIRST: 10_000}
    keeping.count(("Z-99", 10))
    assert keeping.missing == {}


def test_what_was_heard_before_a_count_was_made_stands() -> None:
    keeping = kept()
    keeping.at(50).row("received", 10, "Z-99", minute=49)
    keeping.at(120).count(("A-01", 30), minute=60)
    assert keeping.missing == {}


def test_of_two_counts_it_does_not_matter_which_is_handed_in_first() -> None:
    for order in itertools.permutations(range(2)):
        keeping = kept((5, "B-09"))
        keeping.at(75).row("adjusted", 5, "D-01", minute=50)  # between the two counts
        keeping.at(100)
        steps: list[Tells] = [
            lambda one: one.count(("A-01", 30), minute=60),
            lambda one: one.count(("B-09", 5), minute=90),
        ]
        for number in order:
            steps[number](keeping)
        keeping.at(101).row("received", 5, "C-01", minute=70)
        assert keeping.missing == {FIRST: 5_000}, order
        keeping.row("received", 5, "C-01", minute=95)
        assert keeping.missing == {FIRST: 5_000}, order
        keeping.count(("C-01", 5))
        assert keeping.missing == {}, order


def test_of_two_counts_of_one_bin_it_does_not_matter_which_is_handed_in_first() -> None:
    for first, then in ((40, 35), (30, 40), (50, 42)):
        found = []
        for order in itertools.permutations(range(2)):
            keeping = kept()
            keeping.at(100)
            for number in order:
                units, minute = ((first, 60), (then, 90))[number]
                keeping.count(("A-01", units), minute=minute)
            keeping.at(101).row("adjusted", 20, "C-01", minute=100)
            keeping.row("sold", 10, minute=100)
            keeping.tick(200)
            found.append((keeping.missing, keeping.spine.state.watch.ceilings[Pool.of(key())].short_ms))
        assert found[0] == found[1], (first, then)
        assert found[0][0] == {FIRST: 1_000 * (40 - then + 10)}


def test_a_ceiling_that_was_worked_out_says_what_it_said() -> None:
    for most in (64, 1):
        with patch.object(ceilings, "MOMENTS_MAX", most):
            keeping = kept((5, "B-09"))
            keeping.at(60).count(("A-01", 30), minute=60)
            keeping.at(61).row("adjusted", 3, "C-01", minute=50)
            for number in range(3):
                keeping.at(70 + number).count(("B-09", 5), minute=70 + number)
            assert keeping.missing == {FIRST: 5_000}
            restarted = state_module.from_bytes(state_module.to_bytes(keeping.spine.state))
            assert restarted.watch == keeping.spine.state.watch
            keeping.at(40 * DAY).count(("B-09", 5))
            keeping.row("received", 2, "C-01", minute=40 * DAY)
            assert keeping.missing == {FIRST: 5_000}  # of the moment of the count itself, heard after it
            keeping.at(40 * DAY + 2).row("received", 2, "C-01", minute=40 * DAY + 1)
            assert keeping.missing == {FIRST: 5_000}
            keeping.count(("C-01", 2))
            assert keeping.missing == {FIRST: 3_000}


def test_what_was_told_late_of_a_time_that_is_folded_stays_out() -> None:
    keeping = kept()
    keeping.at(399 * DAY).count(("A-01", 30), minute=399 * DAY)
    keeping.at(399 * DAY + 1).row("adjusted", 10, "Z-99", minute=5)
    for day in (400, 401, 402):
        keeping.tick(day * DAY)
        assert keeping.missing == {FIRST: 10_000}, day


def test_what_a_zone_missed_is_no_more_than_what_is_kept_there_now() -> None:
    keeping = kept((35, "B-09"))
    keeping.at(1).weigh(1, weight_of(0))
    keeping.tick(30)
    keeping.row("sold", 35, minute=20)
    assert keeping.missing == {FIRST: 5_000}


def test_counts_of_another_warehouse_do_not_let_go_of_what_missed_goods() -> None:
    def count(warehouse: str, number: int, units: int) -> Count:
        one = counting.read(warehouses.count_text([("SOFA-3", f"B-{number}", units)]))
        rows = tuple((each._replace(warehouse=warehouse), milli) for each, milli in one.rows)
        return one._replace(warehouse=warehouse, rows=rows, at_ms=NOON_MS + number, digest=f"{number:064}")

    with patch.object(watch, "KEYS_MAX", 2):
        known = Watch().counted(count("la-1", 0, 30), NOON_MS + OLDEST_MS)
        for number in range(1, 5):
            known = known.counted(count("la-9", number, 0), NOON_MS + OLDEST_MS)
        assert sorted((one.warehouse, one.bin) for one in known.counts.of) == [
            ("la-1", "B-0"),
            ("la-9", "B-3"),
            ("la-9", "B-4"),
        ]
        missed = next(one for one in known.counts.of if one.warehouse == "la-1")
        known = replace(known, ceilings={Pool.of(missed): Ceiling(short_ms=NOON_MS)})
        for number in range(5, 8):
            one = count("la-1", number, 0)
            rows = tuple((each._replace(sku="CHAIR-1"), milli) for each, milli in one.rows)
            known = known.counted(one._replace(rows=rows), NOON_MS + OLDEST_MS)
        assert sorted(one.bin for one in known.counts.of if one.warehouse == "la-1") == ["B-0", "B-7"]
