"""Scales that are off, dead or beside the point: what a zone is believed to miss does not hang on when it was told."""

import itertools
from collections.abc import Callable

from keeping import Keeping, lot, sofas, weight_of
from receipting import FIRST
from warehouses import ZONE

from pledgewatch_cloud.decide.warehouse import signals
from pledgewatch_wire.reading import Cell, Channel

DAY = 24 * 60
Tells = Callable[[Keeping], object]


def kept(units: int = 40, pledged: int = 40) -> Keeping:
    """Sofas in A-01, of which some are on a pledged receipt."""
    keeping = Keeping(lot(quantity=pledged))
    keeping.row("received", units)
    keeping.pledged(FIRST, sofas(pledged))
    return keeping


def weighs(keeping: Keeping, minute: float, first: int, second: int | None = None) -> None:
    """One scale of the zone, or both, in sofas."""
    cells = [Cell(Channel.WEIGHT_G, weight_of(first))]
    cells += [Cell(Channel.WEIGHT_1_G, weight_of(second))] if second is not None else []
    keeping.at(minute).read(ZONE, minute, *cells)


def test_a_speck_of_unknown_weight_does_not_blind_the_scale() -> None:
    keeping = kept()
    weighs(keeping, 1, 30)
    keeping.tick(30)
    assert keeping.missing == {FIRST: 11_000}
    keeping.at(31).row("received", 1, minute=-5, sku="DUST", quantity="0.001")
    assert (keeping.missing, keeping.ended) == ({FIRST: 11_000}, [])
    weighs(keeping, 40, 10)
    assert keeping.missing == {FIRST: 31_000}


def test_what_scales_say_together_is_as_old_as_the_oldest_of_them() -> None:
    keeping = kept()
    weighs(keeping, 1, 20, 20)
    keeping.at(2 * DAY).row("sold", 20, minute=2 * DAY)
    weighs(keeping, 3 * DAY, 0)  # the second scale is dead, and nobody knows what lies on it
    keeping.tick(4 * DAY)
    assert "weight_below" in keeping.cases
    keeping.at(5 * DAY).count(("A-01", 20))
    assert keeping.missing == {FIRST: 20_000}
    assert "weight_below" not in keeping.cases


def test_a_dead_scale_hides_no_theft_from_the_living_one_beside_it_once_all_was_counted() -> None:
    keeping = kept()
    weighs(keeping, 1, 20, 20)
    weighs(keeping, DAY, 20)
    keeping.at(DAY + 1).count(("A-01", 40))
    weighs(keeping, DAY + 2, 20)
    keeping.tick(DAY + 60)
    assert (keeping.missing, keeping.cases) == ({}, {})
    weighs(keeping, DAY + 61, 8)
    keeping.tick(DAY + 90)
    assert keeping.missing == {FIRST: 13_000}
    weighs(keeping, DAY + 91, 20, 20)
    assert keeping.missing == {}


def test_what_is_sold_from_beside_a_dead_scale_hides_no_theft_after_a_count() -> None:
    keeping = kept(40, 20)
    weighs(keeping, 1, 20, 20)
    keeping.at(DAY).row("sold", 20, minute=DAY)
    weighs(keeping, DAY + 1, 20)
    keeping.at(DAY + 2).count(("A-01", 20))
    weighs(keeping, DAY + 20, 0)
    keeping.tick(DAY + 60)
    assert keeping.missing == {FIRST: 20_000}


def test_a_tare_does_not_hang_on_the_order_in_which_rows_counts_and_values_come() -> None:
    for order in itertools.permutations(range(3)):
        keeping = Keeping()
        keeping.row("received", 40, "C-01")
        keeping.pledged(FIRST, sofas(place="C-01"))
        keeping.row("moved", 10, "C-01", to_bin="B-09")
        keeping.row("moved", 30, "C-01", to_bin="A-01")
        keeping.at(5).weigh(5, weight_of(30))
        steps: list[Tells] = [
            lambda one: one.row("moved", 10, "B-09", minute=10, to_bin="A-01"),
            lambda one: one.count(("A-01", 40), ("B-09", 0), ("C-01", 0), minute=20),
            lambda one: one.weigh(25, weight_of(30)),
        ]
        keeping.at(26)
        for number in order:
            steps[number](keeping)
        keeping.tick(60)
        assert keeping.missing == {FIRST: 11_000}, order


def test_a_tare_is_the_least_that_a_scale_was_off_since_whichever_value_comes_first() -> None:
    for order in itertools.permutations(range(3)):
        keeping = kept()
        weighs(keeping, 1, 35)
        keeping.at(200)
        steps: list[Tells] = [
            lambda one: one.count(("A-01", 40), minute=20),
            lambda one: one.weigh(40, weight_of(40)),  # it was put right
            lambda one: one.weigh(80, weight_of(35)),
        ]
        for number in order:
            steps[number](keeping)
        keeping.tick(300)
        assert keeping.missing == {FIRST: 6_000}, order


def test_a_tare_outlives_the_values_that_showed_it() -> None:
    keeping = kept()
    weighs(keeping, 1, 35)
    keeping.tick(30)
    keeping.at(31).count(("A-01", 40))
    for number in range(1, signals.VALUES_MAX + 5):
        weighs(keeping, 31 + 15 * number, 35)
    keeping.tick(60 + 15 * number)
    assert (keeping.missing, keeping.cases) == ({}, {})


def test_that_a_scale_was_put_right_outlives_the_values_that_showed_it() -> None:
    keeping = kept()
    weighs(keeping, 1, 35)
    keeping.at(2).count(("A-01", 40))
    weighs(keeping, 20, 40)
    for number in range(1, signals.VALUES_MAX + 5):
        weighs(keeping, 31 + 15 * number, 35)
    keeping.tick(60 + 15 * number)
    assert keeping.missing == {FIRST: 6_000}


def test_a_zone_that_is_below_most_of_the_time_is_a_mismatch() -> None:
    keeping = kept()
    for number in range(1, 30):
        weighs(keeping, 5 * number, 39 if number % 3 == 0 else 30)
    assert ("weight_below", "explained") in keeping.ended


def test_a_zone_that_is_seldom_below_for_less_than_the_grace_is_none() -> None:
    keeping = kept()
    for number in range(1, 60):
        weighs(keeping, 5 * number, 30 if number % 3 == 0 else 40)
    assert (keeping.missing, keeping.ended, keeping.cases) == ({}, [], {})
