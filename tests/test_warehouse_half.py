"""Receipts, stock systems and what can be seen of goods, held against each other entry by entry over the real spine."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import accumulate
from typing import Any
from unittest.mock import patch

import pytest
import warehouses
from builders import AT_SEA, IN_LOS_ANGELES, NOON_MS, position
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import LOT, Keeping, lot, sofas, weight_of
from receipting import BANK, DEPOSITOR, FIRST, WAREHOUSE
from warehouses import BOX, DOCK, GATE, HALL, TRACKER, ZONE, said

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.batch import Entry, Tick, batch_of_readings
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.log import Log
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.decide.warehouse import case_book, half
from pledgewatch_cloud.spine.spine import recover
from pledgewatch_wire.reading import Cell, Channel, tag_number

CONTAINER = "MSKU1234565"
SECOND, THIRD = f"{WAREHOUSE}:0002", f"{WAREHOUSE}:0003"
LEAVING = (EventType.GOODS_LEFT, EventType.GOODS_ACCOUNTED_FOR)
SHORT = (EventType.SHORTFALL_FOUND, EventType.SHORTFALL_ENDED)


def boxed(*lots: dict[str, Any]) -> Keeping:
    """40 sofas in a container with a tracker, on a pledged receipt."""
    keeping = Keeping(*lots)
    keeping.row("received", 40)
    keeping.pledged(FIRST, sofas(container=CONTAINER, device=TRACKER))
    return keeping


def fix(keeping: Keeping, minute: float, place: tuple[int, int]) -> None:
    """The tracker says where it is."""
    keeping.at(minute).read(TRACKER, minute, *position(place))


def test_goods_that_pass_the_gate_without_a_release_freeze_their_receipt_and_are_said_once() -> None:
    keeping = boxed()
    before = keeping.receipt()
    keeping.at(1).passes(1, CONTAINER)
    frozen = keeping.receipt()
    assert (frozen.state, frozen.frozen_from, frozen.head) == (State.FROZEN, "pledged", before.head)
    assert keeping.held().state == "frozen"
    assert keeping.held().missing == 40
    left = keeping.events(EventType.GOODS_LEFT)
    assert [
        (one.subject, one.fact("lot"), one.fact("receipt"), one.fact("line"), one.fact("gate")) for one in left
    ] == [(HALL, LOT, FIRST, 0, GATE)]
    changed = keeping.events(EventType.RECEIPT_CHANGED)[-1]
    assert (changed.subject, changed.fact("state"), changed.fact("act")) == (FIRST, "frozen", "")
    alerts = keeping.events(EventType.ALERT_OPENED)
    assert {(one.subject, one.fact("severity")) for one in alerts} == {(LOT, "critical")}
    for minute in (1.1, 2, 30):
        keeping.at(minute).passes(minute, CONTAINER)
    keeping.tick(60)
    assert keeping.said(*LEAVING) == ["goods_left"]
    assert keeping.said(EventType.CASE_OPENED) == ["case_opened"]


def test_who_controls_the_receipt_may_thaw_it_and_what_is_known_does_not_freeze_it_again() -> None:
    keeping = boxed()
    keeping.at(1).passes(1, CONTAINER)
    keeping.at(2).act(BANK, "thaw", reason="they are on their way to another hall")
    keeping.at(3).passes(3, CONTAINER)
    keeping.amend(prices=[{"sku": "SOFA-3", "unit_price_minor": 11_000, "currency": "USD"}])
    assert keeping.receipt().state is State.PLEDGED
    assert keeping.said(*LEAVING) == ["goods_left"]
    assert keeping.held().missing == 40  # they are still gone


def test_goods_that_are_back_are_accounted_for_and_the_receipt_stays_frozen_until_they_leave_again() -> None:
    keeping = boxed()
    keeping.at(1).passes(1, CONTAINER)
    keeping.at(2).passes(2, CONTAINER, out=False)
    assert keeping.said(*LEAVING) == ["goods_left", "goods_accounted_for"]
    assert keeping.receipt().state is State.FROZEN
    assert keeping.held().missing == 0
    assert keeping.said(EventType.ALERT_CLEARED)
    keeping.at(3).act(BANK, "thaw", reason="they are back")
    keeping.at(4).passes(4, CONTAINER)
    assert keeping.receipt().state is State.FROZEN
    assert keeping.said(*LEAVING) == ["goods_left", "goods_accounted_for", "goods_left"]


def test_evidence_that_is_taken_back_by_late_readings_does_not_thaw() -> None:
    keeping = boxed()
    late = keeping.measured(DOCK, 3, Cell(Channel.TAG_IN, tag_number(CONTAINER)))
    keeping.at(4).passes(2, CONTAINER)
    assert keeping.receipt().state is State.FROZEN
    keeping.at(5).take(late)
    assert keeping.said(*LEAVING) == ["goods_left", "goods_accounted_for"]
    assert keeping.receipt().state is State.FROZEN
    assert keeping.missing == {}


def test_goods_that_are_surrendered_may_leave() -> None:
    keeping = boxed()
    keeping.act(BANK, "release")
    keeping.act(DEPOSITOR, "surrender")
    keeping.at(1).passes(1, CONTAINER)
    assert keeping.said(*LEAVING) == []
    assert keeping.receipt().state is State.RELEASED


def test_a_surrender_after_they_left_ends_the_claim_and_what_left_stays_a_case_until_it_is_booked_out() -> None:
    keeping = boxed()
    keeping.at(1).passes(1, CONTAINER)
    keeping.act(BANK, "thaw", reason="let it go")
    keeping.act(BANK, "release")
    keeping.act(DEPOSITOR, "surrender")
    assert keeping.missing == {}
    assert set(keeping.cases) == {"goods_left"}
    keeping.at(10).row("shipped", 40, minute=10)
    keeping.act(WAREHOUSE, "deliver")
    assert (keeping.missing, keeping.cases) == ({}, {})
    assert keeping.ended == [("goods_left", "explained")]


def test_goods_that_are_seen_outside_the_fence_have_left() -> None:
    keeping = boxed(lot(asset=BOX))
    fix(keeping, 1, IN_LOS_ANGELES)
    assert keeping.receipt().state is State.PLEDGED
    fix(keeping, 60 * 24, AT_SEA)
    for hour in range(25, 40):
        fix(keeping, 60 * hour, AT_SEA)
    assert keeping.receipt().state is State.FROZEN
    assert [(one.subject, one.fact("gate")) for one in keeping.events(EventType.GOODS_LEFT)] == [(BOX, "")]


def test_goods_without_a_lot_in_the_book_freeze_their_receipt_and_a_lot_that_comes_is_told() -> None:
    keeping = Keeping(lot("other", SECOND))
    keeping.row("received", 40)
    keeping.pledged(FIRST, sofas(container=CONTAINER))
    keeping.at(1).passes(1, CONTAINER)
    assert keeping.receipt().state is State.FROZEN
    assert keeping.said(*LEAVING) == []
    keeping.amend(lots=[lot()])
    assert keeping.said(*LEAVING) == ["goods_left"]
    keeping.amend(remove={"lots": [LOT]})
    assert keeping.said(*LEAVING) == ["goods_left", "goods_accounted_for"]


def test_a_shortfall_is_said_when_it_begins_and_when_it_ends_and_its_alert_follows() -> None:
    keeping = boxed()
    keeping.at(1).row("sold", 5, minute=1)
    keeping.at(2).row("sold", 5, minute=2)
    found = keeping.events(EventType.SHORTFALL_FOUND)
    assert [(one.subject, one.fact("lot"), one.fact("case"), one.fact("missing")) for one in found] == [
        (HALL, LOT, "case-1", 5)
    ]
    assert keeping.held() == keeping.held()._replace(missing=10, cases=("case-1",))
    assert [one.fact("rule") for one in keeping.events(EventType.ALERT_OPENED)] == ["stock-short"]
    keeping.at(3).row("returned", 10, minute=3)
    assert keeping.said(*SHORT) == ["shortfall_found", "shortfall_ended"]
    assert keeping.said(EventType.ALERT_CLEARED) == ["alert_cleared"]


def test_a_lot_that_changes_its_asset_or_leaves_the_book_is_told_of_there() -> None:
    keeping = boxed()
    keeping.at(1).row("sold", 5, minute=1)
    keeping.amend(lots=[{**lot(asset=BOX), "stays": [{"asset": HALL, "until": iso(NOON_MS)}]}])
    keeping.amend(remove={"lots": [LOT]})
    told = [(one.type.value, one.subject) for one in keeping.events(*SHORT)]
    assert told == [
        ("shortfall_found", HALL),
        ("shortfall_ended", HALL),
        ("shortfall_found", BOX),
        ("shortfall_ended", BOX),
    ]


def test_cases_beyond_their_bound_are_not_opened_and_what_is_missing_is_missing_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(case_book, "OPEN_MAX", 0)
    keeping = boxed()
    keeping.at(1).row("sold", 5, minute=1)
    assert keeping.cases == {}
    assert keeping.held().missing == 5
    monkeypatch.setattr(case_book, "OPEN_MAX", 1)
    keeping.at(2).row("sold", 1, minute=2)
    assert keeping.held().cases == ("case-1",)


def test_what_touches_nothing_of_a_warehouse_leaves_the_state_as_it_is() -> None:
    keeping = boxed()
    keeping.at(1).weigh(1, weight_of(35))
    state = keeping.spine.state
    strange = batch_of_readings([said("container-9", 1, NOON_MS, Cell(Channel.WEIGHT_G, 0))])
    for minute, is_same in ((1, True), (15.9, True), (16, False)):
        now = replace(state, recorded_at_ms=NOON_MS + round(minute * 60_000))
        log = Log(now.journal, Entry(now.entry, now.recorded_at_ms, Tick(0)), {})
        after = half.judge(now, strange, (), None, is_amended=False, log=log)
        assert (after is now) is is_same
        assert bool(log.said) is not is_same


class Referee:
    """What is missing of receipts, reckoned from all that was heard, from the beginning, one thing after the other.

    `rows` are (minute, kind, units, bin, other bin, id), `snapshots` (minute, units by bin), `counts` and `weights`
    likewise; `claims` units by receipt. All of it is heard after the last minute of the story. `lost` says of minutes
    whether less was there than is claimed, once a count had missed goods.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, int, str, str, str]] = []
        self.cancelled: set[str] = set()
        self.snapshots: list[tuple[int, dict[str, int]]] = []
        self.counts: list[tuple[int, dict[str, int]]] = []
        self.weights: list[tuple[int, int]] = []
        self.claims: dict[str, int] = {}
        self.lost: dict[int, bool] = {}

    def short(self) -> list[int]:
        """The minutes of counts that missed goods that were known of."""
        return [
            at
            for at, counts in self.counts
            for place, units in counts.items()
            if units < max(self.known(place, at), self.known(place, -(10**9)))
        ]

    def known(self, place: str, minute: int) -> int:
        """What is known of a bin before a count of a minute: the rest of the story is heard later, all of it."""
        had = sum(units for at, _, units, one, _, _ in self.rows if at < -(10**5) and one == place)
        return max(
            ((at, counts[place]) for at, counts in self.counts if place in counts and at < minute), default=(0, had)
        )[1]

    def missed(self) -> int | None:
        """The minute of the newest count, where that one or an earlier one has missed goods that were known of."""
        return max(at for at, _ in self.counts) if self.short() else None

    def moves(self, place: str) -> list[tuple[int, int, str, int]]:
        """What changed a bin: when, whether by a snapshot, by what, and by how much or to how much."""
        found = []
        for minute, kind, units, one, other, name in self.rows:
            if name not in self.cancelled and place in (one, other):
                sign = -1 if kind in ("sold", "shipped") or (kind == "moved" and place == one) else 1
                found.append((minute, 0, kind, sign * units))
        found += [(minute, 1, "snapshot", counts[place]) for minute, counts in self.snapshots if place in counts]
        return sorted(found)

    def level(self, place: str, minute: int) -> int:
        """What the stock system has in a bin."""
        level = 0
        for at, is_snapshot, _, units in self.moves(place):
            if at <= minute:
                level = units if is_snapshot else level + units
        return level

    def between(self, place: str, after: int, until: int) -> tuple[int, int]:
        """What goods changed, and what corrections did."""
        level = goods = corrections = 0
        for at, is_snapshot, kind, units in self.moves(place):
            change = units - level if is_snapshot else units
            level += change
            if after < at <= until and (is_snapshot or kind == "adjusted"):
                corrections += change
            elif after < at <= until:
                goods += change
        return goods, corrections

    def counted(self, place: str) -> tuple[int, int] | None:
        """When a bin was counted last, and how much was there."""
        return max(((minute, counts[place]) for minute, counts in self.counts if place in counts), default=None)

    def counted_ever(self, place: str) -> tuple[int, int]:
        """As `counted`; long ago, and nothing, where a bin never was."""
        return self.counted(place) or (-(10**9), 0)

    def kept(self, place: str, minute: int) -> int:
        """What is in a bin as far as anybody has seen it."""
        most = units = self.uncapped(place, minute)
        counted, since = self.counted_ever(place)[0], self.missed()
        if since is not None and counted < since <= minute:
            most = self.known(place, since) + self.between(place, since, minute)[0]
            most -= self.unseen_of(place, minute) - self.unseen_of(place, since)
        return min(units - self.unseen_of(place, minute), most)

    def is_lost(self, minute: int) -> bool:
        """Whether less was there than is claimed, once a count had missed goods."""
        if minute not in self.lost:
            needed, since = sum(self.claims.values()), min(self.short(), default=10**9)
            self.lost[minute] = since <= minute and sum(self.kept(place, minute) for place in BINS) < needed
        return self.lost[minute]

    def unseen_of(self, place: str, minute: int) -> int:
        """What came into a bin in a loss, and nobody has counted; what went since was there before, if it was."""
        unseen, counted = 0, self.counted_ever(place)[0]
        for at, _, kind, units in self.moves(place):
            if at > minute:
                break
            is_lost = at > counted and self.is_lost(at - 1)
            if is_lost and kind in ("received", "returned", "moved") and units > 0:
                unseen += units
            if is_lost and kind == "moved" and units < 0:
                unseen -= min(unseen, -units)
            if kind in ("sold", "shipped"):
                unseen -= min(unseen, -units, max(0, unseen - self.uncapped(place, at)))
        return unseen

    def uncapped(self, place: str, minute: int) -> int:
        """What is in a bin as far as anybody knows."""
        counted = self.counted(place)
        if counted is None:
            return self.level(place, minute)
        at, units = counted
        if minute < at:
            return units - self.between(place, minute, at)[0]
        goods, corrections = self.between(place, at, minute)
        known_lost = max(0, self.level(place, at) - units)
        more_lost = max(0, -corrections - known_lost)
        return units + goods - more_lost

    def tare(self) -> int:
        """What the scale was off when all of its zone was counted, and since, by the newest value of each quarter."""
        known = {minute // 15: (minute, grams) for minute, grams in sorted(self.weights)}.values()
        for at in sorted({one for one, _ in self.counts}, reverse=True):
            if all(self.counted_ever(place)[0] >= at for place in ZONED if self.kept(place, at) > 0):
                off = [(minute, self.expected(minute) - grams) for minute, grams in known]
                then = max(((minute, grams) for minute, grams in off if minute <= at), default=(0, 0))[1]
                return max(0, min([then, *(one for minute, one in off if minute > at)])) if then > 50_000 else 0
        return 0

    def expected(self, minute: int) -> int:
        """What the zone should weigh."""
        return sum(max(0, self.kept(place, minute)) for place in ZONED) * 42_000

    def unseen(self) -> dict[str, int]:
        """What the scale says is not there, in thousandths, by bin of its zone: whole units, shared by its bins."""
        if not self.weights:
            return {}
        minute, grams = max(self.weights)
        there = {place: max(0, self.kept(place, minute)) for place in ZONED}
        expected = self.expected(minute)
        deficit = expected - grams - self.tare()
        if deficit <= 50_000:
            return {}
        asked = {place: units for place, units in there.items() if units and self.counted_ever(place)[0] <= minute}
        units = sum(asked.values())
        least = math.ceil(Fraction(units * (deficit - 50_000), expected))
        most = math.floor(Fraction(units * (deficit + 50_000), expected))
        shared = 1_000 * min(units, max(least, most))
        upto = [0, *accumulate(asked.values())]
        parts = [math.floor(Fraction(shared * one, units)) for one in upto] if units else []
        return {place: parts[number + 1] - parts[number] for number, place in enumerate(asked)}

    def debt(self) -> int:
        """What was booked out of bins that had less, and that were counted; until all there is was counted since."""
        counts = {place: counted for place in BINS if (counted := self.counted(place))}
        owed = {place: max(0, -self.level(place, at)) for place, (at, _) in counts.items()}
        since = max((counts[place][0] for place, units in owed.items() if units), default=0)
        last = max((at for at, _ in counts.values()), default=0)
        is_all = all(self.counted_ever(place)[0] >= since for place in BINS if self.kept(place, last) > 0)
        return 0 if is_all else sum(owed.values())

    def missing(self) -> dict[str, int]:
        """Thousandths that are missing of each receipt."""
        self.lost = {}
        unseen = self.unseen()
        present = 0
        for place in BINS:
            kept = 1_000 * self.kept(place, 10**6)
            present += kept - min(max(0, kept), unseen.get(place, 0))
        needed = sum(self.claims.values())
        short = 1_000 * needed - max(0, present - 1_000 * self.debt())
        if short <= 0:
            return {}
        return {name: math.ceil(Fraction(short * units, needed)) for name, units in self.claims.items()}


ZONED, BINS = ("A-01", "A-02"), ("A-01", "A-02", "B-09")
Told = Callable[[Keeping], object]
RECEIPTS = {FIRST: 40, SECOND: 25, THIRD: 10}


Hears = Callable[[Referee], object]


def story(dice: random.Random) -> list[tuple[Told, Hears]]:
    """Some minutes of a warehouse, and what each is to a referee; the order in which they are heard may be any."""
    told: list[tuple[Told, Hears]] = []
    minutes = iter(dice.sample(range(1, 62), 40))
    for number in range(dice.randrange(1, 12)):
        kind = dice.choice(["sold", "shipped", "received", "returned", "adjusted", "moved", "moved", "sold"])
        place, units, minute = dice.choice(BINS), dice.randrange(1, 25), next(minutes)
        other = dice.choice([one for one in BINS if one != place]) if kind == "moved" else ""
        units = dice.choice([-1, 1]) * units if kind == "adjusted" else units
        is_cancelled = dice.random() < 0.2
        row = minute, kind, units, place, other, f"R-{number}"
        one = partial(_row, number, kind, units, place, minute, other, is_cancelled)
        told.append((one, partial(_hear_row, row, is_cancelled)))
    for _ in range(dice.randrange(3)):
        minute = next(minutes)
        snapshot = {place: dice.randrange(60) for place in BINS if dice.random() < 0.6}
        if snapshot:
            hears: Hears = partial(lambda said, one: one.snapshots.append(said), (minute, snapshot))
            told.append((partial(_snapshot, minute, snapshot), hears))
    for _ in range(dice.randrange(5)):
        minute = next(minutes)
        counts = {place: dice.randrange(60) for place in BINS if dice.random() < 0.6}
        if counts:
            hears = partial(lambda said, one: one.counts.append(said), (minute, counts))
            told.append((partial(_count, minute, counts), hears))
    for _ in range(dice.randrange(4)):
        minute, grams = next(minutes), weight_of(dice.randrange(90)) + dice.randrange(-20_000, 20_000)
        hears = partial(lambda said, one: one.weights.append(said), (minute, grams))
        told.append((partial(_weight, minute, grams), hears))
    return told


def _hear_row(row: tuple[int, str, int, str, str, str], is_cancelled: bool, referee: Referee) -> None:
    referee.rows.append(row)
    if is_cancelled:
        referee.cancelled.add(row[-1])


def _row(
    number: int, kind: str, units: int, place: str, minute: int, other: str, is_cancelled: bool, keeping: Keeping
) -> None:
    more = {"id": f"R-{number}"} | ({"to_bin": other} if other else {})
    if is_cancelled and number % 2:
        keeping.cancel(f"R-{number}")
    keeping.row(kind, units, place, minute, **more)
    if is_cancelled and not number % 2:
        keeping.cancel(f"R-{number}")


def _snapshot(minute: int, counts: dict[str, int], keeping: Keeping) -> None:
    keeping.snapshot(minute, *counts.items())


def _count(minute: int, counts: dict[str, int], keeping: Keeping) -> None:
    """A count that says nothing new is none."""
    text = warehouses.count_text(
        [("SOFA-3", place, units) for place, units in counts.items()], at=iso(NOON_MS + minute * 60_000)
    )
    keeping.spine.commit(drafts.count, text, keeping.clock.at_ms)


def _weight(minute: int, grams: int, keeping: Keeping) -> None:
    keeping.weigh(minute, grams)


def opened(referee: Referee) -> Keeping:
    """A warehouse with three receipts of goods that are there, in two bins of a zone and one of none."""
    keeping = Keeping(*(lot(name, name, units) for name, units in RECEIPTS.items()))
    for (name, units), place in zip(RECEIPTS.items(), BINS, strict=True):
        had = keeping.row("received", units + 5, place)
        referee.rows.append((-(10**6), "received", units + 5, place, "", had))
        keeping.pledged(name, sofas(units, place))
    referee.claims = {name: 1 * units for name, units in RECEIPTS.items()}
    return keeping.at(62)


@given(st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_what_is_missing_is_what_a_naive_referee_finds_in_whatever_order_it_is_told(dice: random.Random) -> None:
    told = story(dice)
    referees = Referee(), Referee()
    keepings: list[Keeping] = []
    for order, referee in zip((told, dice.sample(told, len(told))), referees, strict=True):
        keeping = opened(referee)
        for one, hears in order:
            one(keeping)
            hears(referee)
        keeping.tick(62 + 16)
        assert keeping.missing == referee.missing()
        keepings.append(keeping)
    straight, other = keepings
    assert other.missing == straight.missing
    assert [other.held(name).missing for name in RECEIPTS] == [straight.held(name).missing for name in RECEIPTS]


@given(st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_a_restart_after_any_entry_changes_nothing_that_is_said(dice: random.Random) -> None:
    straight, restarted = opened(Referee()), opened(Referee())
    told = [one for one, _ in story(dice)]
    places = [dice.choice(("", "restart")) for _ in told]
    with patch.object(case_book, "OPEN_MAX", dice.choice((1, 2, 20_000))):
        _play(told, places, straight, restarted)
        assert restarted.events() == straight.events()
        assert state_module.to_bytes(restarted.spine.state) == state_module.to_bytes(straight.spine.state)
        assert state_module.to_bytes(recover(straight.store)) == state_module.to_bytes(straight.spine.state)


def _play(told: list[Told], places: list[str], straight: Keeping, restarted: Keeping) -> None:
    for keeping, stops in ((straight, [""] * len(told)), (restarted, places)):
        for number, (one, stop) in enumerate(zip(told, stops, strict=True)):
            one(keeping.at(62 + 7 * number))
            if stop:
                again = state_module.from_bytes(state_module.to_bytes(keeping.spine.state))
                keeping.spine.newest = keeping.spine.newest._replace(state=again)
        keeping.tick(1_000)
        keeping.tick(20_000)


def test_a_restart_after_every_entry_changes_nothing_of_goods_that_leave() -> None:
    hours = {"utc_offset_minutes": 0, "open": [{"days": ["fri"], "from": "06:00", "until": "18:00"}]}
    tag, back = (Cell(channel, tag_number(CONTAINER)) for channel in (Channel.TAG_OUT, Channel.TAG_IN))
    told: list[Told] = [
        lambda one: one.row("received", 40),
        lambda one: one.pledged(FIRST, sofas(container=CONTAINER, device=TRACKER)),
        lambda one: one.read(TRACKER, 2, *position(IN_LOS_ANGELES)),
        lambda one: one.read(DOCK, 3, tag),
        lambda one: one.read(ZONE, 4, Cell(Channel.DOOR_OPEN, 1)),
        lambda one: one.act(BANK, "thaw", reason="known to us"),
        lambda one: one.read(DOCK, 6, tag),
        lambda one: one.read(DOCK, 5, back),
        lambda one: one.read(DOCK, 7, back),
        lambda one: one.amend(lots=[lot("other", FIRST, 5, BOX)]),
        lambda one: one.read(TRACKER, 60 * 24, *position(AT_SEA)),
        lambda one: one.tick(60 * 48),
        lambda one: one.count(("A-01", 39)),
        lambda one: one.tick(60 * 24 * 500),
        lambda one: one.row("sold", 1, minute=60 * 24 * 499),
    ]
    straight, restarted = Keeping(hours=hours), Keeping(hours=hours)
    for number, one in enumerate(told):
        for keeping in (straight, restarted):
            one(keeping if number > 10 else keeping.at(number))
        again = state_module.from_bytes(state_module.to_bytes(restarted.spine.state))
        restarted.spine.newest = restarted.spine.newest._replace(state=again)
    assert restarted.events() == straight.events()
    assert state_module.to_bytes(restarted.spine.state) == state_module.to_bytes(straight.spine.state)
    assert straight.said(*LEAVING).count("goods_left") >= 2
