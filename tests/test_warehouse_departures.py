"""Goods that leave more than once, by more than one name, by a gate and by a place, or are back before it is heard:
each time that is newer than what has answered for them freezes their receipt."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from builders import AT_SEA, IN_LOS_ANGELES, position
from keeping import Keeping, lot, sofas
from receipting import BANK, DEPOSITOR, FIRST, NOON_MS, WAREHOUSE
from warehouses import BOX, DOCK, GATE, HALL, TRACKER

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.batch import Arrival
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.spine.spine import recover
from pledgewatch_wire.reading import Cell, Channel, tag_number

CONTAINER, SEAL = "MSKU1234565", "SEAL001"
DAY = 24 * 60
TOLD = EventType.GOODS_LEFT, EventType.GOODS_ACCOUNTED_FOR
LEFT, BACK = (one.value for one in TOLD)


def pledged(asset: str = HALL, **line: Any) -> Keeping:
    """40 sofas that are known by names are pledged."""
    keeping = Keeping(lot(asset=asset))
    keeping.row("received", 40)
    keeping.pledged(FIRST, sofas(**line))
    return keeping


def accepted(keeping: Keeping, minute: float = 10) -> None:
    """All are there by a count, and who lends accepts them again."""
    assert keeping.receipt().state is State.FROZEN
    keeping.at(minute).count(("A-01", 40))
    assert keeping.act(BANK, "thaw", reason="they were counted").state is State.PLEDGED
    assert keeping.missing == {}


def passage(keeping: Keeping, minute: float, name: str = CONTAINER, *, out: bool = True) -> Arrival:
    return keeping.measured(DOCK, minute, Cell(Channel.TAG_OUT if out else Channel.TAG_IN, tag_number(name)))


def is_seen(keeping: Keeping, minute: float, place: tuple[int, int]) -> None:
    keeping.at(minute).read(TRACKER, minute, *position(place))


def assert_away(keeping: Keeping) -> None:
    assert keeping.receipt().state is State.FROZEN
    assert keeping.missing == {FIRST: 40_000}
    assert set(keeping.cases) == {"goods_left"}
    assert_restarts(keeping)


def assert_restarts(keeping: Keeping) -> None:
    """A state that is read back, and one that is worked out from the journal, are the same."""
    body = state_module.to_bytes(keeping.spine.state)
    assert state_module.to_bytes(state_module.from_bytes(body)) == body
    assert state_module.to_bytes(recover(keeping.store)) == body


@pytest.mark.parametrize("second", [CONTAINER, SEAL])
def test_goods_of_two_names_that_were_found_by_a_count_leave_again_by_either(second: str) -> None:
    keeping = pledged(container=CONTAINER, seal=SEAL)
    keeping.at(1).passes(1, CONTAINER)
    keeping.at(2).passes(2, SEAL)
    accepted(keeping)
    keeping.at(20).passes(20, second)
    assert_away(keeping)
    assert keeping.said(*TOLD) == [LEFT, BACK, LEFT]
    (departure,) = keeping.spine.state.watch.gone.values()
    assert (departure.gate, departure.at_ms, departure.since_ms) == (GATE, NOON_MS + 20 * 60_000, NOON_MS + 60_000)


def test_names_that_are_heard_at_once_have_left_since_the_first_of_them() -> None:
    keeping = pledged(container=CONTAINER, seal=SEAL)
    keeping.at(5).take(passage(keeping, 3), passage(keeping, 2, SEAL))
    (departure,) = keeping.spine.state.watch.gone.values()
    assert (departure.at_ms, departure.since_ms) == (NOON_MS + 180_000, NOON_MS + 120_000)


def test_goods_that_a_count_found_after_a_gate_are_seen_outside() -> None:
    keeping = pledged(BOX, container=CONTAINER, device=TRACKER)
    is_seen(keeping, 0.5, IN_LOS_ANGELES)
    keeping.at(1).passes(1, CONTAINER)
    accepted(keeping)
    for hour in range(24, 40):
        is_seen(keeping, 60 * hour, AT_SEA)
    assert_away(keeping)
    assert keeping.said(*TOLD) == [LEFT, BACK, LEFT]
    keeping.at(3 * DAY).passes(3 * DAY, CONTAINER, out=False)
    assert keeping.missing == {FIRST: 40_000}  # a tag has come in, and the tracker has not


def _one_by_one(keeping: Keeping, arrivals: tuple[Arrival, ...]) -> None:
    for one in arrivals:
        keeping.take(one)


def _at_once(keeping: Keeping, arrivals: tuple[Arrival, ...]) -> None:
    keeping.take(*arrivals)


@pytest.mark.parametrize("heard", [_one_by_one, _at_once])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_goods_that_were_away_freeze_their_receipt_in_whatever_order_that_is_heard(
    order: tuple[int, ...], heard: Callable[[Keeping, tuple[Arrival, ...]], None]
) -> None:
    keeping = pledged(container=CONTAINER)
    keeping.at(200)
    arrivals = passage(keeping, 10), passage(keeping, 11), passage(keeping, 190, out=False)
    heard(keeping, tuple(arrivals[one] for one in order))
    keeping.tick(300)
    assert keeping.receipt().state is State.FROZEN
    assert (keeping.missing, keeping.cases) == ({}, {})
    said = keeping.said(*TOLD)
    assert said == [LEFT, BACK] * (len(said) // 2)
    assert said
    assert keeping.events(EventType.GOODS_LEFT)[0].fact("gate") == GATE
    assert keeping.said(EventType.ALERT_OPENED)
    assert_restarts(keeping)


def test_what_was_over_freezes_once_and_what_is_older_than_what_was_heard_does_not_again() -> None:
    keeping = pledged(container=CONTAINER, seal=SEAL)
    keeping.at(200).take(passage(keeping, 190, out=False))
    keeping.take(passage(keeping, 10))
    assert keeping.receipt().state is State.FROZEN
    keeping.act(BANK, "thaw", reason="they are back")
    for late in (passage(keeping, 9), passage(keeping, 191, SEAL, out=False), passage(keeping, 8, SEAL)):
        keeping.take(late)
    keeping.amend(prices=[{"sku": "SOFA-3", "unit_price_minor": 11_000, "currency": "USD"}])
    assert keeping.receipt().state is State.PLEDGED
    keeping.at(300).take(passage(keeping, 290), passage(keeping, 299, out=False))
    assert keeping.receipt().state is State.FROZEN
    assert keeping.missing == {}
    assert_restarts(keeping)


def test_what_was_surrendered_or_of_before_the_goods_came_in_and_is_back_freezes_nothing() -> None:
    keeping = pledged(container=CONTAINER)
    keeping.at(200).take(passage(keeping, 190, out=False))
    keeping.take(passage(keeping, -70 * DAY))
    keeping.act(BANK, "release")
    keeping.act(DEPOSITOR, "surrender")
    keeping.take(passage(keeping, 10))
    keeping.act(DEPOSITOR, "surrender", quantities_milli=[0])
    assert keeping.receipt().state is State.RELEASED
    assert keeping.said(*TOLD) == []
    keeping.act(WAREHOUSE, "freeze", reason="it is being looked at")
    keeping.take(passage(keeping, 20))
    assert keeping.said(*TOLD) == [LEFT, BACK]


def test_a_gate_whose_clock_is_where_nobody_keeps_readings_is_heard_as_of_now_and_one_that_is_slow_as_it_says() -> None:
    keeping = pledged(container=CONTAINER)
    keeping.at(10 * DAY).take(passage(keeping, -60 * DAY))  # nothing tells it from an earlier trip
    assert keeping.receipt().state is State.PLEDGED
    keeping.take(passage(keeping, -20 * 366 * DAY))
    assert_away(keeping)
