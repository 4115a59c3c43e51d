"""The life of a case: every row of its table by what makes it happen, every other move refused; how urgent it is."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from keeping import Keeping, key, lot, sofas, weight_of
from receipting import BANK, DEPOSITOR, FIRST, WAREHOUSE
from warehouses import BOX, HALL, ZONE

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.warehouse import cases as cases_module
from pledgewatch_cloud.decide.warehouse.cases import (
    CLOSED,
    CLOSED_MAX,
    KINDS,
    LIFE,
    NOT_COUNTED,
    CaseMove,
    CaseState,
    Mismatch,
)
from pledgewatch_cloud.decide.warehouse.watch import Watch
from pledgewatch_wire.reading import Cell, Channel

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
GONE = Mismatch("goods_left", WAREHOUSE, (FIRST, "0"), 40_000, 40_000, (key(),))
HOURS = {
    "utc_offset_minutes": 0,
    "open": [{"days": ["thu"], "from": "06:00", "until": "18:00"}],
}  # noon is of a Thursday


def stocked(*lots: dict[str, Any], **changes: Any) -> Keeping:
    """A warehouse with 40 sofas in A-01, all of them on a pledged receipt."""
    keeping = Keeping(*lots, **changes)
    keeping.row("received", 40)
    keeping.pledged()
    return keeping


def life_of(keeping: Keeping) -> list[tuple[str, str, str]]:
    """What was said of cases: how, of which kind, and the state then."""
    told = keeping.events(EventType.CASE_OPENED, EventType.CASE_AMENDED, EventType.CASE_CLOSED)
    return [(one.type.value, str(one.fact("kind")), str(one.fact("state"))) for one in told]


def test_the_table_leads_out_of_no_end_and_every_state_is_reached() -> None:
    assert {state for state, _ in LIFE}.isdisjoint(CLOSED)
    assert {*LIFE.values()} == {*CaseState} - {CaseState.NONE}
    assert {move for _, move in LIFE} == {*CaseMove}


@pytest.mark.parametrize(("state", "move"), list(itertools.product(CaseState, CaseMove)))
def test_every_move_is_in_the_table_or_refused(state: CaseState, move: CaseMove) -> None:
    if (state, move) in LIFE:
        assert cases_module.after(state, move) is LIFE[state, move]
    else:
        with pytest.raises(ValueError, match=f"a case that is {state} cannot {move}"):
            cases_module.after(state, move)


def test_what_has_ended_is_not_amended_nor_ended_again() -> None:
    case = cases_module.opened(1, GONE, NOT_COUNTED, 0)
    ended = cases_module.closed(case, CaseMove.EXPLAIN, 5)
    forbidden: list[Callable[[], object]] = [
        lambda: cases_module.closed(ended, CaseMove.COUNT, 6),
        lambda: cases_module.amended(ended, GONE, NOT_COUNTED),
        lambda: cases_module.overdue(ended),
    ]
    for again in forbidden:
        with pytest.raises(ValueError, match="a case that is explained cannot"):
            again()


def test_opened_amended_and_explained_by_late_rows_of_the_stock_system() -> None:
    keeping = stocked()
    keeping.at(1).row("sold", 5, minute=1)
    keeping.at(2).row("sold", 2, minute=2)
    assert keeping.cases["stock_below_receipts"].missing_milli == 7_000
    keeping.at(3).row("received", 7, "A-02", minute=1)
    kind = "stock_below_receipts"
    assert life_of(keeping) == [
        ("case_opened", kind, "open"),
        ("case_amended", kind, "open"),
        ("case_closed", kind, "explained"),
        ("case_opened", "misplaced", "open"),
    ]


def test_opened_and_closed_by_a_count_that_finds_all() -> None:
    keeping = stocked()
    keeping.at(1).row("sold", 5, minute=1)
    opened = keeping.cases["stock_below_receipts"]
    keeping.at(2).count(("A-01", 40), case=opened.id)
    assert keeping.ended == [("stock_below_receipts", "counted")]
    assert not keeping.cases
    closed = keeping.spine.state.watch.cases[opened.id]
    taken = keeping.events(EventType.COUNT_TAKEN)[0]
    assert closed.by_count == taken.fact("digest")
    assert (taken.fact("by"), taken.fact("rows"), taken.fact("case")) == ("surveyor", 1, opened.id)


def test_a_count_from_before_a_case_was_opened_does_not_close_it() -> None:
    keeping = stocked()
    keeping.at(5).row("sold", 5, minute=5)
    keeping.at(6).count(("A-01", 37), minute=4)
    assert keeping.ended == []
    assert keeping.cases["stock_below_receipts"].missing_milli == 8_000  # 37, of which 5 were sold


def test_a_count_of_some_of_its_keys_does_not_close_a_case() -> None:
    keeping = stocked()
    keeping.row("received", 10, "A-02")
    keeping.at(1).row("sold", 15, minute=1)
    keeping.at(2).count(("A-01", 25))
    assert keeping.ended == []
    keeping.at(3).count(("A-02", 10), minute=1.5)
    assert keeping.ended == [("stock_below_receipts", "counted")]
    # The count that ended it is the one that was still missing, though it was made before the other.
    ended_by = keeping.events(EventType.COUNT_TAKEN)[-1].fact("digest")
    assert keeping.events(EventType.CASE_CLOSED)[-1].fact("by_count") == ended_by
    assert keeping.cases["count_below"].missing_milli == 5_000


def test_a_count_that_finds_less_opens_a_case_that_asks_for_no_other_count() -> None:
    keeping = stocked()
    keeping.at(1).count(("A-01", 37))
    assert keeping.cases["count_below"].due_ms == 0
    keeping.at(2).count(("A-01", 36))
    assert keeping.cases["count_below"].missing_milli == 4_000
    keeping.at(3).row("sold", 1, minute=3)
    assert keeping.cases["count_below"].missing_milli == 5_000
    keeping.at(4).count(("A-01", 40))
    assert keeping.ended == [("count_below", "counted")]


def test_a_count_that_finds_less_is_explained_when_receipts_claim_less() -> None:
    keeping = stocked()
    keeping.at(1).count(("A-01", 37))
    keeping.act(BANK, "release", quantities_milli=[3_000])
    keeping.act(DEPOSITOR, "surrender", quantities_milli=[3_000])
    assert keeping.ended == [("count_below", "explained")]


def test_overdue_is_said_once_and_the_count_still_closes_it() -> None:
    keeping = stocked()
    keeping.at(1).row("sold", 5, minute=1)
    due_ms = keeping.cases["stock_below_receipts"].due_ms
    minutes = (due_ms - keeping.clock.at_ms) / 60_000 + 1
    keeping.tick(minutes - 0.01)
    assert keeping.cases["stock_below_receipts"].state is CaseState.OPEN
    for minute in (minutes, minutes + 1, minutes + 2):
        keeping.tick(minute)
    keeping.row("sold", 1, minute=minutes + 2)
    keeping.at(minutes + 3).count(("A-01", 34))
    kind = "stock_below_receipts"
    assert life_of(keeping)[:-1] == [
        ("case_opened", kind, "open"),
        ("case_amended", kind, "overdue"),
        ("case_amended", kind, "overdue"),
        ("case_closed", kind, "counted"),
    ]


def test_overdue_and_explained() -> None:
    keeping = stocked()
    keeping.at(1).row("sold", 5, minute=1)
    keeping.tick(4 * 24 * 60)
    keeping.row("returned", 5, minute=2)
    assert keeping.ended == [("stock_below_receipts", "explained")]
    assert life_of(keeping)[1] == ("case_amended", "stock_below_receipts", "overdue")


def test_what_is_so_again_is_another_case() -> None:
    keeping = stocked()
    for minute in (1, 3, 5):
        keeping.at(minute).row("sold", 5, minute=minute)
        keeping.at(minute + 1).row("returned", 5, minute=minute + 1)
    assert keeping.ended == [("stock_below_receipts", "explained")] * 3
    assert sorted(keeping.spine.state.watch.cases) == ["case-1", "case-2", "case-3"]


def test_goods_in_another_bin_than_their_receipt_says_are_misplaced_and_nothing_is_missing() -> None:
    keeping = stocked()
    keeping.at(1).row("moved", 15, minute=1, to_bin="A-02")
    assert keeping.cases["misplaced"].subject == key()[1:]
    assert (keeping.cases["misplaced"].missing_milli, keeping.cases["misplaced"].due_ms) == (15_000, 0)
    assert keeping.held().missing == 0
    keeping.at(2).row("sold", 1, "A-02", minute=2)
    assert keeping.ended == [("misplaced", "explained")]
    assert set(keeping.cases) == {"stock_below_receipts"}
    keeping.at(3).row("returned", 1, "A-02", minute=3)
    keeping.at(4).row("moved", 15, "A-02", minute=4, to_bin="A-01")
    assert not keeping.cases


def test_a_zone_short_of_weight_is_a_case_that_a_count_closes_and_the_scale_is_believed_from_then_on() -> None:
    keeping = stocked()
    keeping.at(1).weigh(1, weight_of(35))
    keeping.tick(20)
    opened = keeping.cases["weight_below"]
    assert (opened.subject, opened.missing_milli, opened.measured) == ((HALL,), 6_000, weight_of(5))
    keeping.at(21).weigh(21, weight_of(35))
    keeping.at(22).count(("A-01", 40))
    assert keeping.ended == [("weight_below", "counted")]
    assert keeping.held().missing == 0
    keeping.at(23).weigh(23, weight_of(35))
    keeping.tick(60)
    assert not keeping.cases  # the scale is off by five sofas
    keeping.at(61).weigh(61, weight_of(31))
    keeping.tick(90)
    assert keeping.cases["weight_below"].missing_milli == 5_000  # four more, and a scale that may be off by one
    assert keeping.held().missing == 5


def test_a_scale_that_was_off_and_is_right_again_is_believed_anew() -> None:
    keeping = stocked()
    keeping.at(1).weigh(1, weight_of(35))
    keeping.tick(20)
    keeping.at(21).count(("A-01", 40), minute=20.5)
    keeping.at(22).weigh(22, weight_of(40))
    keeping.at(31).weigh(31, weight_of(35))  # in another quarter of an hour
    keeping.tick(50)
    assert keeping.cases["weight_below"].missing_milli == 6_000


def test_what_a_scale_says_after_a_count_is_not_put_down_to_the_scale() -> None:
    keeping = stocked()
    keeping.at(1).weigh(1, weight_of(35))
    keeping.tick(20)
    keeping.at(59).weigh(59, weight_of(30))
    keeping.at(60).count(("A-01", 40), minute=21)  # handed in late, 38 minutes before the scale's last word
    assert keeping.ended == [("weight_below", "counted")]
    assert keeping.cases["weight_below"].missing_milli == 6_000  # five more than the five that it was off by then


def test_a_count_that_finds_what_the_scale_said_leaves_nothing_for_the_scale_to_say() -> None:
    keeping = stocked()
    keeping.at(1).weigh(1, weight_of(35))
    keeping.tick(20)
    keeping.at(21).count(("A-01", 35))
    assert keeping.held().missing == 5
    keeping.at(22).weigh(22, weight_of(35))
    keeping.tick(60)
    assert set(keeping.cases) == {"count_below"}
    assert keeping.held().missing == 5
    keeping.at(61).row("adjusted", -5, minute=61)
    keeping.tick(90)
    assert keeping.held().missing == 5
    keeping.at(91).weigh(91, weight_of(33))
    keeping.tick(120)
    assert keeping.held().missing == 8


def test_a_door_that_was_open_out_of_hours_is_a_case_and_nothing_is_missing() -> None:
    keeping = stocked(hours=HOURS)
    keeping.at(60).read(ZONE, 60, Cell(Channel.DOOR_OPEN, 1))
    assert not keeping.cases
    keeping.at(7 * 60).read(ZONE, 7 * 60, Cell(Channel.DOOR_OPEN, 1))
    keeping.at(8 * 60).read(ZONE, 8 * 60, Cell(Channel.DOOR_OPEN, 1))
    opened = keeping.cases["door_out_of_hours"]
    assert (opened.measured, opened.missing_milli) == (2, 0)
    assert keeping.held().missing == 0
    keeping.at(8 * 60 + 1).count(("A-01", 40))
    assert keeping.ended == [("door_out_of_hours", "counted")]
    keeping.at(8 * 60 + 2).read(ZONE, 7 * 60 + 20, Cell(Channel.DOOR_OPEN, 1))  # late, and counted since
    assert not keeping.cases
    keeping.at(9 * 60).read(ZONE, 9 * 60, Cell(Channel.DOOR_OPEN, 1))
    assert keeping.cases["door_out_of_hours"].measured == 1


def test_a_door_that_was_open_where_nothing_lay_is_no_case_and_goods_that_come_later_are_not_asked_for() -> None:
    keeping = Keeping(hours=HOURS)
    night = 7 * 60
    keeping.at(night).read(ZONE, night, Cell(Channel.DOOR_OPEN, 1))
    keeping.at(night + 60).row("received", 40, minute=night + 60)
    assert not keeping.cases
    keeping.at(night + 120).read(ZONE, night + 120, Cell(Channel.DOOR_OPEN, 1))
    keeping.at(night + 180).row("received", 5, "A-02", minute=night + 180)
    keeping.at(night + 240).count(("A-01", 40))
    assert keeping.ended == [("door_out_of_hours", "counted")]
    assert not keeping.cases


def test_a_zone_that_the_book_has_no_more_has_no_cases() -> None:
    keeping = stocked(hours=HOURS)
    keeping.at(7 * 60).read(ZONE, 7 * 60, Cell(Channel.DOOR_OPEN, 1), Cell(Channel.WEIGHT_G, 0))
    keeping.tick(8 * 60)
    assert set(keeping.cases) == {"door_out_of_hours", "weight_below"}
    keeping.amend(warehouses=[{"id": WAREHOUSE, "gates": ["asset-dock"], "fences": ["yard"]}])
    assert sorted(keeping.ended) == [("door_out_of_hours", "explained"), ("weight_below", "explained")]
    assert keeping.held().missing == 0


def test_goods_that_left_are_a_case_until_they_are_counted_or_back() -> None:
    for end, how in (("counted", "count"), ("explained", "back")):
        keeping = Keeping(lot())
        keeping.row("received", 40)
        keeping.pledged(FIRST, sofas(container="MSKU1234565", device="tracker"))
        keeping.at(1).passes(1, "MSKU1234565")
        opened = keeping.cases["goods_left"]
        assert opened.subject == (FIRST, "0")
        assert opened.missing_milli == 40_000
        if how == "count":
            keeping.at(2).count(("A-01", 40))
        else:
            keeping.at(2).passes(2, "MSKU1234565", out=False)
        assert keeping.ended == [("goods_left", end)]
        assert keeping.missing == {}


def test_goods_that_left_and_that_a_count_has_not_found_are_asked_for_once() -> None:
    keeping = Keeping(lot())
    keeping.row("received", 40)
    keeping.pledged(FIRST, sofas(container="MSKU1234565"))
    keeping.at(1).passes(1, "MSKU1234565")
    assert keeping.cases["goods_left"].due_ms
    for minute in (2, 3):
        keeping.at(minute).count(("A-01", 0))
        assert keeping.ended == [("goods_left", "counted")]
        assert keeping.cases["goods_left"].due_ms == 0
        assert keeping.missing == {FIRST: 40_000}
    keeping.tick(60 * 24 * 30)
    assert keeping.cases["goods_left"].state is CaseState.OPEN
    keeping.count(("A-01", 40))
    assert keeping.ended == [("goods_left", "counted")] * 2
    assert keeping.missing == {}


def test_what_is_seen_after_a_count_is_a_case_that_this_count_does_not_close() -> None:
    keeping = Keeping(lot())
    keeping.row("received", 40)
    keeping.pledged(FIRST, sofas(container="MSKU1234565"))
    keeping.at(1).passes(1.5, "MSKU1234565")  # the gate's clock is ahead
    keeping.at(1.2).count(("A-01", 40))
    assert keeping.ended == [("goods_left", "counted")]
    again = keeping.cases["goods_left"].id
    keeping.at(2).passes(2, "MSKU1234565")
    assert keeping.cases["goods_left"].id == again


@pytest.mark.parametrize(
    ("kind", "missing", "of", "days", "risk", "hours"),
    [
        # of a case's goods: how many are missing of how many, and days since the last count (None: never)
        ("goods_left", 40, 40, None, 100, 4),
        ("goods_left", 40, 40, 0, 70, 21),
        ("stock_below_receipts", 5, 40, None, 60, 28),
        ("stock_below_receipts", 5, 40, 2, 30, 50),
        ("stock_below_receipts", 5, 40, 30, 40, 43),
        ("stock_below_receipts", 5, 40, 90, 60, 28),
        ("stock_below_receipts", 5, 40, 4_000, 60, 28),
        ("pieces_below", 1, 1_000, 0, 20, 57),
        ("weight_below", 500, 1_000, 3, 36, 46),
        ("door_out_of_hours", 0, 1_000, 0, 10, 64),
        ("door_out_of_hours", 0, 1_000, None, 40, 43),
        ("door_out_of_hours", 0, 0, None, 40, 43),
    ],
)
def test_risk_and_when_a_count_is_due(
    kind: str, missing: int, of: int, days: int | None, risk: int, hours: int
) -> None:
    now_ms = 5_000 * DAY_MS
    one = Mismatch(kind, WAREHOUSE, ("x",), 1_000 * missing, 1_000 * of, (key(),))
    case = cases_module.opened(1, one, NOT_COUNTED if days is None else now_ms - days * DAY_MS, now_ms)
    assert case.risk == risk
    assert case.due_ms == now_ms + hours * HOUR_MS


def test_no_risk_is_more_than_a_hundred_and_a_worse_case_is_never_due_later() -> None:
    for kind in KINDS:
        worst = Mismatch(kind, WAREHOUSE, ("x",), 10**9, 1_000, (key(),))
        assert cases_module.risk_of(worst, NOT_COUNTED, 0) <= 100
    small, large = (GONE._replace(missing_milli=milli) for milli in (1_000, 39_000))
    case = cases_module.opened(1, large, NOT_COUNTED, 0)
    assert cases_module.amended(case, small, 0).due_ms == case.due_ms
    assert (
        cases_module.amended(cases_module.opened(1, small, 0, 0), large, 0).due_ms
        < cases_module.opened(1, small, 0, 0).due_ms
    )


def test_of_many_closed_cases_the_newest_are_kept_and_open_ones_always() -> None:
    every = [cases_module.opened(number, GONE, NOT_COUNTED, number) for number in range(1, CLOSED_MAX + 20)]
    ended = [cases_module.closed(one, CaseMove.EXPLAIN, 5) for one in every[3:]]
    kept = cases_module.kept([*every[:3], *ended])
    assert len(kept) == CLOSED_MAX + 3
    assert {"case-1", "case-2", "case-3"} <= kept.keys()
    assert "case-4" not in kept
    assert f"case-{CLOSED_MAX + 19}" in kept


def test_a_watch_survives_json() -> None:
    keeping = stocked(lot(), lot("box", FIRST, 5, BOX), hours=HOURS)
    keeping.at(7 * 60).read(ZONE, 7 * 60, Cell(Channel.DOOR_OPEN, 1), Cell(Channel.WEIGHT_G, 10))
    keeping.tick(8 * 60)
    keeping.count(("A-01", 30))
    keeping.row("sold", 1)
    watch = keeping.spine.state.watch
    written = canonical.encode(watch.as_json())
    again = Watch.from_json(json.loads(written))
    assert again == watch
    assert canonical.encode(again.as_json()) == written
    assert watch.cases
    assert watch.shortages
    assert watch.told
    assert watch.counts.of
