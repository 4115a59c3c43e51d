"""Goods that left by name stay away when their receipt ends or loses the name, and no receipt begins, is given other
goods or becomes a pledge while goods of it are missing, or would be."""

import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from builders import AT_SEA, IN_LOS_ANGELES, position
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import Keeping, key, lot, sofas, weight_of
from receipting import BANK, DEPOSITOR, FIRST, RECEIVED, WAREHOUSE, signed, stated, window
from warehouses import DOCK, TRACKER

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts import act as act_module
from pledgewatch_cloud.decide.receipts.act import ActError
from pledgewatch_cloud.decide.receipts.receipt import Receipt, State
from pledgewatch_cloud.decide.warehouse import handed_in, signals, watch
from pledgewatch_cloud.decide.warehouse.counting import CountError
from pledgewatch_cloud.spine.spine import recover
from pledgewatch_wire.reading import Cell, Channel, tag_number

CONTAINER = "MSKU1234565"
SECOND, THIRD = f"{WAREHOUSE}:0002", f"{WAREHOUSE}:0003"
DAY = 24 * 60
MISSING = "would be missing, by the stock book or by what was counted, measured or seen"
Tells = Callable[[Keeping], object]


def issued(keeping: Keeping, name: str = SECOND, *goods: dict[str, Any], **more: Any) -> Receipt:
    return keeping.act(WAREHOUSE, "issue", name, **stated(*(goods or (sofas(),)), **more))


def away(*, pledged: bool = False, **line: Any) -> Keeping:
    """40 sofas with a tracker have passed the gate, and who controls their receipt has accepted that they have."""
    keeping = Keeping()
    keeping.row("received", 40)
    issued(keeping, FIRST, sofas(**(line or {"device": TRACKER})))
    if pledged:
        keeping.act(DEPOSITOR, "pledge", pledgee=BANK)
    keeping.at(1).passes(1, line.get("container", TRACKER))
    assert keeping.receipt().state is State.FROZEN
    keeping.at(2).act(BANK if pledged else WAREHOUSE, "thaw", reason="it is being looked for")
    return keeping


def stray(**line: Any) -> Keeping:
    """As `away`, and their receipt is cancelled."""
    keeping = away(**line)
    keeping.act(DEPOSITOR, "cancel", reason="nobody lends on it")
    return keeping


def substituted(
    keeping: Keeping, *goods: dict[str, Any], name: str = FIRST, received: dict[str, str] = RECEIVED
) -> Receipt:
    """Goods are put in the place of those of a receipt, as who controls it consents."""
    known, at = keeping.receipt(name), iso(keeping.clock.at_ms)
    said: dict[str, Any] = {"act": "substitute", "receipt": name, "after": known.head, "by": WAREHOUSE, "at": at}
    said |= {"goods": list(goods), "received": received, "reason": "the tracker fell off"}
    by = known.controller
    consent = signed(by, {"act": "consent", "receipt": name, "by": by, "at": at, "to": act_module.says(said)})
    keeping.spine.commit(drafts.act, signed(WAREHOUSE, said | {"consents": [consent]}), keeping.clock.at_ms)
    return keeping.receipt(name)


def assert_restarts(keeping: Keeping) -> None:
    """A state that is read back, and one that is worked out from the journal, are the same."""
    body = state_module.to_bytes(keeping.spine.state)
    assert state_module.to_bytes(state_module.from_bytes(body)) == body
    assert state_module.to_bytes(recover(keeping.store)) == body


def assert_away(keeping: Keeping) -> None:
    """40 sofas of A-01 have left, one case says so, and no receipt is issued on them."""
    assert set(keeping.cases) == {"goods_left"}
    assert (keeping.cases["goods_left"].missing_milli, keeping.cases["goods_left"].keys) == (40_000, (key(),))
    state = keeping.spine.state
    with pytest.raises(ActError, match=f"with this receipt, 39000 thousandths of SOFA-3 {MISSING}"):
        issued(keeping, SECOND, sofas(39))
    assert keeping.spine.state is state
    assert_restarts(keeping)


def test_goods_that_left_are_away_when_their_receipt_is_cancelled_and_none_begins_without_their_name() -> None:
    keeping = away()
    case = keeping.cases["goods_left"].id
    keeping.act(DEPOSITOR, "cancel", reason="nobody lends on it")
    assert keeping.cases["goods_left"].id == case
    assert keeping.missing == {}
    assert EventType.GOODS_ACCOUNTED_FOR.value not in keeping.said()
    assert_away(keeping)
    with pytest.raises(ActError, match=MISSING):
        issued(keeping, SECOND, sofas(device=TRACKER))
    with pytest.raises(ActError, match=MISSING):
        issued(keeping, SECOND, sofas(1))
    keeping.tick(300 * DAY)
    assert_away(keeping)


@pytest.mark.parametrize("pledged", [False, True])
def test_goods_that_left_are_not_put_in_their_own_place_without_their_name(pledged: bool) -> None:
    keeping = away(pledged=pledged)
    for line in (sofas(), sofas(device=TRACKER), sofas(10, seal="SEAL001")):
        with pytest.raises(ActError, match=MISSING):
            substituted(keeping, line)
    assert keeping.missing == {FIRST: 40_000}


def test_other_goods_take_the_place_of_what_left_and_that_stays_away() -> None:
    keeping = away()
    case = keeping.cases["goods_left"].id
    keeping.row("received", 40, "A-02")
    assert substituted(keeping, sofas(place="A-02")).state is State.ISSUED
    assert keeping.missing == {}
    assert keeping.cases["goods_left"].id == case
    assert_away(keeping)
    keeping.act(DEPOSITOR, "pledge", pledgee=BANK)


def test_a_line_that_leaves_in_its_turn_is_in_the_case_of_its_place() -> None:
    keeping = away()
    keeping.row("received", 40, "A-02")
    substituted(keeping, sofas(place="A-02", container=CONTAINER))
    keeping.at(5).passes(5, CONTAINER)
    assert keeping.cases["goods_left"].missing_milli == 80_000
    assert keeping.missing == {FIRST: 40_000}
    keeping.passes(6, CONTAINER, out=False)
    assert keeping.cases["goods_left"].missing_milli == 40_000
    assert_restarts(keeping)


# What ends it.

ENDS: list[tuple[str, Tells, str]] = [
    ("its name comes in", lambda one: one.passes(10, TRACKER, out=False), "explained"),
    ("booked out", lambda one: one.row("shipped", 40, minute=10), "explained"),
    ("booked as sold", lambda one: one.row("sold", 40, minute=10), "explained"),
    ("counted and there", lambda one: one.count(("A-01", 40)), "counted"),
    ("counted and not there", lambda one: one.count(("A-01", 0)), "counted"),
]


@pytest.mark.parametrize(("what", "tells", "end"), ENDS, ids=[one[0] for one in ENDS])
def test_what_left_is_away_until_it_is_booked_out_counted_or_comes_in(what: str, tells: Tells, end: str) -> None:
    keeping = stray()
    tells(keeping.at(10))
    assert keeping.ended == [("goods_left", end)], what
    assert keeping.cases == {}
    is_there = what in ("its name comes in", "counted and there")
    keeping.at(11)
    if is_there:
        assert issued(keeping).state is State.ISSUED
    else:
        with pytest.raises(ActError):
            issued(keeping)
        keeping.row("received", 40, minute=11)
        keeping.tick(12)
        if end == "counted":  # after a loss that a count has found, what comes in is counted too
            with pytest.raises(ActError):
                issued(keeping, received=window(40, 41))
            keeping.count(("A-01", 40))
        assert issued(keeping, received=window(40, 41)).state is State.ISSUED
    assert keeping.missing == {}
    assert_restarts(keeping)


def test_a_part_that_is_booked_out_leaves_the_rest_away_and_a_row_that_is_taken_back_brings_all_of_it() -> None:
    keeping = stray()
    keeping.at(10).row("shipped", 30, minute=10)
    assert keeping.cases["goods_left"].missing_milli == 10_000
    row = keeping.at(11).row("shipped", 10, minute=11)
    assert keeping.ended == [("goods_left", "explained")]
    keeping.at(12).cancel(row, minute=12)
    assert keeping.cases["goods_left"].missing_milli == 10_000
    assert_restarts(keeping)


def test_rows_from_before_it_left_and_counts_from_before_end_nothing() -> None:
    keeping = stray()
    keeping.at(10).count(("A-01", 40), minute=0.5)
    keeping.passes(0.5, TRACKER, out=False)
    assert_away(keeping)


def test_what_a_count_has_found_is_no_departure_when_its_receipt_ends() -> None:
    keeping = away()
    keeping.at(3).count(("A-01", 40))
    keeping.at(4).act(DEPOSITOR, "cancel", reason="nobody lends on it")
    assert len(keeping.spine.state.watch.strays) == 0
    assert issued(keeping).state is State.ISSUED


def test_goods_that_are_seen_outside_are_away_until_they_are_seen_inside() -> None:
    keeping = Keeping()
    keeping.row("received", 40)
    issued(keeping, FIRST, sofas(device=TRACKER))
    keeping.at(60).read(TRACKER, 60, *position(AT_SEA))
    keeping.at(61).act(WAREHOUSE, "thaw", reason="it is being looked for")
    keeping.act(DEPOSITOR, "cancel", reason="nobody lends on it")
    assert_away(keeping)
    keeping.at(120).read(TRACKER, 120, *position(AT_SEA))
    assert_away(keeping)
    keeping.at(200).read(TRACKER, 200, *position(IN_LOS_ANGELES))
    assert keeping.ended == [("goods_left", "explained")]
    assert_restarts(keeping)


# What keeps it.


def test_a_flood_of_tags_and_the_stock_books_horizon_bring_nothing_back() -> None:
    with patch.object(signals, "TAGS_MAX", 5):
        keeping = stray()
        for number in range(9):
            keeping.at(2 + number).passes(2 + number, f"carton-{number}")
        assert_away(keeping)
        keeping.tick(410 * DAY)
        keeping.row("sold", 1, "B-09", minute=410 * DAY)
        assert set(keeping.cases) == {"goods_left"}
        goods = stated(received=window(0, 1)) | {"until": iso(keeping.clock.at_ms + 60_000)}
        with pytest.raises(ActError, match=MISSING):
            keeping.act(WAREHOUSE, "issue", SECOND, **goods)
        assert_restarts(keeping)


def test_what_was_booked_out_is_forgotten_beyond_the_stock_books_horizon_and_a_part_of_it_stays() -> None:
    keeping = stray()
    keeping.at(10).row("shipped", 30, minute=10)
    keeping.tick(410 * DAY)
    (one,) = keeping.spine.state.watch.strays.of
    assert (one.milli, one.booked_milli) == (10_000, 30_000)
    assert keeping.cases["goods_left"].missing_milli == 10_000
    keeping.row("shipped", 10, minute=410 * DAY)
    keeping.tick(820 * DAY)
    assert len(keeping.spine.state.watch.strays) == 0
    assert_restarts(keeping)


def test_where_no_more_departures_are_kept_a_receipt_whose_goods_left_keeps_them() -> None:
    keeping = away()
    with patch.object(handed_in, "STRAYS_MAX", 0), pytest.raises(ActError, match="0 departures that no receipt claims"):
        keeping.act(DEPOSITOR, "cancel", reason="nobody lends on it")
    with patch.object(handed_in, "STRAYS_MAX", 1):
        keeping.act(DEPOSITOR, "cancel", reason="nobody lends on it")
    assert watch.STRAYS_MAX == 10_000


# Other places of the same goods.


def given_another_place(keeping: Keeping, how: str) -> str:
    """The name of the receipt that the goods are on by another act, as their first line."""
    if how == "split":
        keeping.row("received", 40, "A-02")
        keeping.act(DEPOSITOR, "split", into_milli=[[0, 40_000], [40_000, 0]])
        return f"{FIRST}.2"
    keeping.act(DEPOSITOR, "lose", reason="a fire")
    keeping.act(WAREHOUSE, "replace", replacement=SECOND, reason="a fire")
    return SECOND


def two_lines() -> Keeping:
    keeping = Keeping()
    keeping.row("received", 40)
    keeping.row("received", 40, "A-02")
    issued(keeping, FIRST, sofas(device=TRACKER), sofas(place="A-02"))
    keeping.at(1).passes(1, TRACKER)
    keeping.at(2).act(WAREHOUSE, "thaw", reason="it is being looked for")
    return keeping


@pytest.mark.parametrize("how", ["split", "replaced"])
@pytest.mark.parametrize("is_found", [False, True])
def test_what_is_known_of_goods_that_left_goes_where_they_go(how: str, is_found: bool) -> None:
    with patch.object(signals, "TAGS_MAX", 2), patch.object(watch, "KEYS_MAX", 1):
        keeping = two_lines()
        if is_found:
            keeping.at(3).count(("A-01", 40))
            keeping.at(4).count(("Z-99", 0))  # of many counts the oldest are let go
        for number in range(4):
            keeping.at(5).passes(5, f"carton-{number}")
        known = keeping.spine.state.watch
        (before,) = (known.found if is_found else known.gone).values()
        name = given_another_place(keeping, how)
        known = keeping.spine.state.watch
        (after,) = (known.found if is_found else known.gone).values()
        assert after.place == (name, 0)
        assert after._replace(receipt=FIRST, line=0) == before
        assert keeping.receipt(name).state is State.ISSUED  # it was frozen for that already
        assert keeping.missing == ({} if is_found else {name: 40_000})
        assert len(known.strays) == 0
        assert_restarts(keeping)


# No pledge on what is missing.


def counted_short(keeping: Keeping) -> None:
    keeping.at(1).count(("A-01", 39))


def weighed_short(keeping: Keeping) -> None:
    keeping.at(1).weigh(1, weight_of(20))
    keeping.tick(60)


def booked_short(keeping: Keeping) -> None:
    keeping.row("adjusted", -1, minute=1)


def passed(keeping: Keeping) -> None:
    keeping.at(1).passes(1, TRACKER)
    keeping.at(2).act(WAREHOUSE, "thaw", reason="it is being looked for")


IS_MISSING, IS_GONE = f"goods of {FIRST} are missing", f"not all that {FIRST} claims is still there"
SHORTS = [
    *((counted_short, IS_MISSING), (weighed_short, IS_MISSING), (booked_short, IS_GONE), (passed, IS_MISSING)),
]


@pytest.mark.parametrize(("falls_short", "why"), SHORTS)
def test_while_goods_of_a_receipt_are_missing_nobody_is_given_it_as_a_pledge(falls_short: Tells, why: str) -> None:
    keeping = Keeping()
    keeping.row("received", 40)
    issued(keeping, FIRST, sofas(device=TRACKER))
    falls_short(keeping.at(1))
    assert keeping.missing
    state = keeping.spine.state
    with pytest.raises(ActError, match=why) as refused:
        keeping.act(DEPOSITOR, "pledge", pledgee=BANK)
    assert keeping.spine.state is state
    said = str(refused.value) + refused.value.cure
    assert not any(sign.isdigit() for sign in said.replace(FIRST, ""))  # how much is others' business too
    assert "counted" in refused.value.cure
    keeping.at(90).row("adjusted", 1, minute=80)
    keeping.at(91).count(("A-01", 40))
    assert keeping.missing == {}
    assert keeping.act(DEPOSITOR, "pledge", pledgee=BANK).state is State.PLEDGED
    assert_restarts(keeping)


def test_what_is_missing_of_others_alone_stops_no_pledge() -> None:
    keeping = Keeping(lot(), lot("other", SECOND))
    keeping.row("received", 40)
    keeping.row("received", 40, "A-02")
    issued(keeping, FIRST, sofas(device=TRACKER))
    issued(keeping, SECOND, sofas(place="A-02"))
    keeping.at(1).passes(1, TRACKER)
    assert keeping.missing == {FIRST: 40_000}
    assert keeping.act(DEPOSITOR, "pledge", SECOND, pledgee=BANK).state is State.PLEDGED


# No receipt on what would be missing.


def test_a_receipt_is_refused_for_what_a_gate_has_seen_leave_before_it_was_issued() -> None:
    keeping = Keeping()
    keeping.row("received", 40)
    keeping.at(1).passes(1, TRACKER)
    with pytest.raises(ActError, match=MISSING):
        issued(keeping, FIRST, sofas(device=TRACKER))
    assert issued(keeping, FIRST).state is State.ISSUED


@pytest.mark.parametrize("falls_short", [counted_short, weighed_short])
def test_a_receipt_is_refused_for_what_was_counted_or_weighed_short_when_there_was_none(falls_short: Tells) -> None:
    keeping = Keeping()
    keeping.row("received", 40)
    issued(keeping, FIRST)
    falls_short(keeping)
    keeping.act(DEPOSITOR, "cancel", reason="nobody lends on it")
    assert keeping.missing == {}
    with pytest.raises(ActError, match=MISSING):
        issued(keeping)
    few = sofas(39 if falls_short is counted_short else 18)
    assert issued(keeping, SECOND, few).state is State.ISSUED
    assert keeping.missing == {}
    with pytest.raises(ActError, match=MISSING):
        substituted(keeping, sofas(), name=SECOND)


def test_a_draft_is_held_against_what_is_there_when_it_is_issued() -> None:
    keeping = Keeping()
    keeping.row("received", 40)
    keeping.act(WAREHOUSE, "draft", FIRST, **stated(sofas()))
    keeping.at(1).count(("A-01", 0))
    with pytest.raises(ActError, match=MISSING):
        keeping.act(WAREHOUSE, "issue", FIRST)


def test_what_has_left_of_anothers_is_missing_whatever_a_receipt_gives_up() -> None:
    keeping = Keeping(lot(), lot("other", SECOND))
    keeping.row("received", 40)
    keeping.row("received", 80, "A-02")
    issued(keeping, FIRST, sofas(device=TRACKER))
    issued(keeping, SECOND, sofas(80, "A-02"))
    keeping.at(1).passes(1, TRACKER)
    with pytest.raises(ActError, match="live receipts of SOFA-3 are short by 40000"):
        substituted(keeping, sofas(20, "A-02"), name=SECOND)
    keeping.at(2).passes(2, TRACKER, out=False)
    assert substituted(keeping, sofas(20, "A-02"), name=SECOND).quantities_milli == (20_000,)


# Whatever happens, in whatever order.


def tried(by: str, kind: str, name: str, body: dict[str, Any], keeping: Keeping) -> None:
    with suppress(ActError):
        keeping.act(by, kind, name, **body)


def exchanged(name: str, line: dict[str, Any], keeping: Keeping) -> None:
    known = keeping.spine.state.receipts.get(name)
    if known is not None and known.is_live:
        with suppress(ActError):
            substituted(keeping, line, name=name)


def counted(place: str, units: int, keeping: Keeping) -> None:
    with suppress(CountError):  # where the table is full of counts that something missing rests on
        keeping.count((place, units))


def read(channel: Channel, name: str, minute: float, keeping: Keeping) -> None:
    keeping.read(DOCK, minute, Cell(channel, tag_number(name)))


def happening(dice: random.Random, now: float) -> Tells:
    name = dice.choice((FIRST, FIRST, FIRST, SECOND, THIRD, f"{FIRST}.1", f"{FIRST}.2"))
    tag, place = dice.choice((CONTAINER, TRACKER)), dice.choice(("A-01", "A-02"))
    line = sofas(dice.choice((10, 40)), place, **dice.choice(({}, {"device": TRACKER}, {"container": CONTAINER})))
    acts: list[tuple[str, str, dict[str, Any]]] = [
        *[(WAREHOUSE, "thaw", {"reason": "x"})] * 3,
        *[(DEPOSITOR, "cancel", {"reason": "x"})] * 4,
        *[(WAREHOUSE, "issue", stated(line))] * 2,
        (DEPOSITOR, "split", {"into_milli": [[40_000, 0], [0, 40_000]]}),
        (DEPOSITOR, "lose", {"reason": "x"}),
        (WAREHOUSE, "replace", {"replacement": THIRD, "reason": "x"}),
        (DEPOSITOR, "surrender", {}),
        (DEPOSITOR, "surrender", {"quantities_milli": [0]}),
        (WAREHOUSE, "deliver", {}),
        (DEPOSITOR, "pledge", {"pledgee": BANK}),
    ]
    by, kind, body = dice.choice(acts)
    several: list[Tells] = [
        *[partial(tried, by, kind, name, body)] * 6,
        *[partial(read, Channel.TAG_OUT, tag, now - dice.choice((0, 3)))] * 3,
        partial(read, Channel.TAG_IN, tag, now - dice.choice((0, 3))),
        partial(exchanged, name, line),
        partial(counted, place, dice.randrange(45)),
        lambda one: one.row(dice_kind, 10, place, now) and None,
        lambda one: one.read(TRACKER, now, *position(where)),
        lambda one: one.tick(),
    ]
    dice_kind, where = dice.choice(("sold", "received", "shipped")), dice.choice((AT_SEA, IN_LOS_ANGELES))
    return dice.choice(several)


@given(st.randoms(use_true_random=False))
@settings(max_examples=6, deadline=None)
def test_a_restart_after_every_entry_changes_nothing_of_goods_that_left_and_what_becomes_of_them(
    dice: random.Random,
) -> None:
    minutes = [0.0]
    for _ in range(20):
        minutes.append(minutes[-1] + dice.choice((1, 5, 30, 300, 200 * DAY if dice.random() < 0.1 else 2)))
    told = [(minute, happening(dice, minute)) for minute in minutes]
    keepings = []
    with patch.object(signals, "TAGS_MAX", 2), patch.object(watch, "KEYS_MAX", 1):
        for is_restarted in (False, True):
            keeping = Keeping()
            keeping.row("received", 40)
            keeping.row("received", 40, "A-02")
            issued(keeping, FIRST, sofas(device=TRACKER), sofas(place="A-02", container=CONTAINER))
            keeping.passes(0, TRACKER)
            keeping.act(WAREHOUSE, "thaw", reason="it is being looked for")
            for minute, tell in told:
                tell(keeping.at(minute))
                if is_restarted:
                    again = state_module.from_bytes(state_module.to_bytes(keeping.spine.state))
                    keeping.spine.newest = keeping.spine.newest._replace(state=again)
            keepings.append(keeping)
        straight, restarted = keepings
        assert restarted.events() == straight.events()
        assert state_module.to_bytes(restarted.spine.state) == state_module.to_bytes(straight.spine.state)
        assert_restarts(straight)
