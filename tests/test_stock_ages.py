"""What came first goes first: what there is in a bin by when it came into the warehouse, for whoever hears of it."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from receipting import (
    BANK,
    CAME_MS,
    DAY_MS,
    DEPOSITOR,
    FIRST,
    OTHER_BANK,
    SOFAS,
    WAREHOUSE,
    Register,
    counted,
    stated,
    window,
)

from pledgewatch_cloud.decide.receipts.act import ActError
from pledgewatch_cloud.decide.receipts.claims import claims_of
from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.decide.stock.ages import LONG_AGO_MS, Aged
from pledgewatch_cloud.decide.stock.rows import Report, Snapshot, StockKey, StockRow
from pledgewatch_cloud.decide.stock.stock_book import StockBook

A01 = StockKey(WAREHOUSE, DEPOSITOR, "SOFA-3", "A-01", "piece")
B07 = A01._replace(bin="B-07")
C09 = A01._replace(bin="C-09")
LATER_MS = CAME_MS + 30 * DAY_MS
# A row in short: on which day after CAME_MS, by which kind, how many, of which bin, and where to.
Row = tuple[Any, ...]


def stock(*rows: Row) -> StockBook:
    """A stock system's rows; `counted` is a count of the bin, `complete` a snapshot of it alone that is complete."""
    book = StockBook()
    for number, (day, kind, units, *where) in enumerate(rows):
        key, to_bin = where[0] if where else A01, where[1] if len(where) > 1 else ""
        at_ms = CAME_MS + day * DAY_MS
        if kind in {"counted", "complete"}:
            one: Snapshot = counted({key: 1_000 * units}, at_ms)
            report = Report("wms", snapshots=(one._replace(complete=kind == "complete"),))
        else:
            moved = StockRow(f"row-{number}", kind, at_ms, key, 1_000 * units, to_bin, reason="x")
            report = Report("wms", (moved,))
        book = book.taken(report)
    return book


def told(ages: Iterable[Aged]) -> list[tuple[int, int] | tuple[int, int, str]]:
    """Day, units, and where they may have come before that day, words."""
    found: dict[tuple[Any, ...], int] = {}
    for one in ages:
        since = () if one.since_ms == one.at_ms else (f"since {(one.since_ms - CAME_MS) // DAY_MS}",)
        came = (one.at_ms - CAME_MS) // DAY_MS, *(("or before",) if one.since_ms == LONG_AGO_MS else since)
        found[came] = found.get(came, 0) + one.milli // 1_000
    return [(day, units, *words) for (day, *words), units in found.items()]


def move(day: int, units: int, key: StockKey, to_bin: str) -> Row:
    return day, "moved", units, key, to_bin


@pytest.mark.parametrize(
    ("rows", "there"),
    [
        ([(1, "received", 40)], [(1, 40)]),
        ([(1, "received", 40), (3, "sold", 40), (5, "received", 40)], [(5, 40)]),
        ([(1, "received", 40), (2, "received", 40), (3, "shipped", 50)], [(2, 30)]),
        ([(1, "received", 40), (3, "sold", 10), (4, "returned", 10)], [(1, 30), (4, 10)]),
        # Goods take their day along, out of the bin and back, and the earliest are moved.
        ([(1, "received", 40), move(3, 40, A01, "B-07"), move(4, 40, B07, "A-01")], [(1, 40)]),
        (
            [(1, "received", 40, B07), (2, "received", 40), move(3, 40, B07, "A-01"), (4, "sold", 30)],
            [(1, 10), (2, 40)],
        ),
        (
            [(1, "received", 9, C09), move(2, 9, C09, "B-07"), (2, "received", 9, B07), move(3, 9, B07, "A-01")],
            [(1, 9)],
        ),
        # Corrections take the earliest, and give back what they took.
        ([(1, "received", 40), (2, "received", 40), (3, "adjusted", -50)], [(2, 30)]),
        ([(1, "received", 40), (2, "received", 40), (3, "adjusted", -50), (4, "adjusted", 20)], [(1, 10), (2, 40)]),
        ([(1, "received", 40), (3, "adjusted", 5)], [(1, 40), (3, 5, "or before")]),
        ([(1, "received", 40), (3, "counted", 0), (4, "counted", 41)], [(4, 41, "since 3")]),
        ([(1, "received", 40), (2, "received", 40), (3, "complete", 50), (4, "complete", 50)], [(1, 10), (2, 40)]),
        # A count finds what came since the one before; what an adjustment took it finds, or an adjustment gives back.
        (
            [(1, "counted", 40), (3, "counted", 50), (4, "counted", 50), (5, "counted", 60)],
            [(1, 40, "or before"), (3, 10, "since 1"), (5, 10, "since 4")],
        ),
        (
            [(1, "received", 40), (3, "counted", 30), (4, "adjusted", 10), (5, "adjusted", 1)],
            [(1, 40), (5, 1, "or before")],
        ),
        (
            [(1, "received", 40), (3, "adjusted", -9), (4, "counted", 40), (5, "adjusted", 1)],
            [(1, 31), (4, 9, "or before"), (5, 1, "or before")],
        ),
        ([(1, "sold", 9), (3, "counted", 0), (4, "counted", 9)], [(4, 9, "since 3")]),
        # What left before it came is gone when it comes; what was moved out of nothing came then.
        ([(1, "sold", 40), (2, "received", 50)], [(2, 10)]),
        ([(1, "sold", 40), (2, "counted", 0)], []),
        ([move(3, 40, B07, "A-01")], [(3, 40)]),
        ([move(3, 40, B07, "A-01"), (5, "received", 40, B07), move(6, 1, B07, "A-01")], [(3, 40), (6, 1)]),
        # What is told of later has not come.
        ([(40, "received", 40)], []),
    ],
)
def test_what_came_first_goes_first(rows: list[Row], there: list[tuple[int, int]]) -> None:
    book = stock(*rows)
    assert told(book.ages(A01, LATER_MS)) == there
    assert StockBook.from_json(book.as_json()).ages(A01, LATER_MS) == book.ages(A01, LATER_MS)


def test_what_is_folded_came_before_the_horizon() -> None:
    book = stock((1, "received", 40), (2, "received", 40, B07), move(6, 40, B07, "A-01"), (7, "sold", 10))
    folded = book.folded(CAME_MS + 5 * DAY_MS)
    assert told(folded.ages(A01, LATER_MS)) == [(4, 70, "or before")]
    assert folded.ages(A01, LATER_MS)[0].at_ms == folded.horizon_ms - 1


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 12),
            st.sampled_from(["received", "sold", "returned", "adjusted", "moved", "counted", "complete"]),
            st.integers(0, 9),
            st.sampled_from([A01, B07, C09]),
        ),
        max_size=12,
    ),
    st.integers(0, 12),
)
def test_ages_come_to_what_is_on_hand(drawn: list[tuple[int, str, int, StockKey]], fold: int) -> None:
    others = {A01: "B-07", B07: "C-09", C09: "A-01"}
    rows = []
    seen = set()
    for day, kind, units, key in drawn:
        if kind in {"counted", "complete"} and day in seen:
            continue
        seen |= {day} if kind in {"counted", "complete"} else set()
        sign = -1 if kind == "adjusted" and units % 2 else 1
        rows.append((day, kind, sign * units, key, others[key] if kind == "moved" else ""))
    book = stock(*rows)
    for one in (book, book.folded(CAME_MS + fold * DAY_MS)):
        for key in others:
            ages = one.ages(key, LATER_MS)
            assert sum(some.milli for some in ages) == max(0, one.on_hand_milli(key, LATER_MS))
            assert ages == sorted(ages)
            assert all(some.milli > 0 for some in ages)


# Two banks that hear of the same rows, and what their receipts would claim of goods in bulk.

TURNED_OVER = [(1, "received", 40), (3, "sold", 40), (5, "received", 40)]
OUT_AND_BACK = [(1, "received", 40), move(5, 40, A01, "Z-09"), move(5, 40, A01._replace(bin="Z-09"), "A-01")]
PUT_RIGHT = [(1, "received", 40), (5, "adjusted", -40), (6, "adjusted", 40)]
COUNTED_ANEW = [(1, "received", 40), (4, "complete", 40), (5, "complete", 40)]


@pytest.mark.parametrize(("rows", "day"), [(TURNED_OVER, 5), (OUT_AND_BACK, 1), (PUT_RIGHT, 1), (COUNTED_ANEW, 1)])
def test_at_two_banks_the_same_goods_have_the_same_day(rows: list[Row], day: int) -> None:
    marks = []
    for bank in (BANK, OTHER_BANK):
        register = Register()
        register.stock = stock(*rows)
        for other in range(-3, 9):
            if other != day:
                register.refuse(WAREHOUSE, "issue", FIRST, **stated(received=window(other - 0.4, other + 0.4)))
        one = register.issue(received=window(day - 0.4, day + 0.4))
        register.pledge(bank=bank)
        marks.append({claim.text for claim in claims_of(WAREHOUSE, one.goods, one.received)})
    assert marks[0] == marks[1]


def test_what_was_delivered_and_is_not_booked_out_was_the_earliest() -> None:
    register = Register()
    register.stock = stock((1, "received", 40), (5, "received", 40))
    register.issue(received=window(0.6, 1.4))
    register.do(DEPOSITOR, "surrender", FIRST)
    register.do(WAREHOUSE, "deliver", FIRST)
    again = f"{WAREHOUSE}:0002"
    error = register.refuse(WAREHOUSE, "issue", again, **stated(received=window(0.6, 1.4)))
    assert "0 thousandths of a piece of SOFA-3 came in in that window" in error.why
    assert register.issue(again, received=window(4.6, 5.4)).state is State.ISSUED


def test_moved_goods_are_asked_for_in_their_new_bin() -> None:
    """Their day is the same, so they are the same lot."""
    register = Register()
    register.stock = stock((1, "received", 80), move(3, 40, A01, "B-07"))
    register.issue(received=window(0.6, 1.4))
    with pytest.raises(ActError, match="lot"):
        register.issue(f"{WAREHOUSE}:0002", SOFAS | {"bin": "B-07"}, received=window(0.6, 1.4))
