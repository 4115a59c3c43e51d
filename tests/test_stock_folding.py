"""What a stock book keeps of what it folds: room for other goods, and what was taken back."""

from unittest.mock import patch

import pytest

from pledgewatch_cloud.decide.stock import stock_book
from pledgewatch_cloud.decide.stock.periods import DAY_MS
from pledgewatch_cloud.decide.stock.rows import COUNTED, Report, Snapshot, StockFullError, StockKey, StockRow
from pledgewatch_cloud.decide.stock.stock_book import StockBook

SOURCE, KEY = "wms", StockKey("la-1", "sofa-works", "SOFA-3", "A-01", "piece")


def row(identity: str, kind: str = "received", day: int = 1, key: StockKey = KEY, cancels: str = "") -> Report:
    """A row about a day, of one unit."""
    return Report(SOURCE, (StockRow(identity, kind, day * DAY_MS, key, 1_000 if kind else 0, cancels=cancels),))


def snapshot(identity: str, units: int, day: int) -> Report:
    """A snapshot of the key."""
    rows = (StockRow(identity, COUNTED, day * DAY_MS, KEY, 1_000 * units),)
    return Report(SOURCE, snapshots=(Snapshot(identity, day * DAY_MS, KEY.warehouse, KEY.owner, rows),))


def test_bins_that_are_empty_make_room_once_they_are_folded() -> None:
    with patch.object(stock_book, "KEYS_MAX", 3):
        book = StockBook()
        for number in range(3):
            book = book.taken(row(f"in-{number}", key=KEY._replace(bin=f"B-{number}")))
        for number in range(2):
            book = book.taken(row(f"out-{number}", "shipped", 2 + number, KEY._replace(bin=f"B-{number}")))
        later = row("another", day=10, key=KEY._replace(bin="Z-1"))
        with pytest.raises(StockFullError):
            book.folded(2 * DAY_MS).taken(later)
        folded = book.folded(3 * DAY_MS)
        assert [one.bin for one in folded.known_keys()] == ["B-1", "B-2"]
        assert folded.keys_in(KEY.warehouse, "B-0") == ()
        assert [one.bin for one in folded.keys_of("la-1", "sofa-works", "SOFA-3", "piece")] == ["B-1", "B-2"]
        assert folded.changed_keys(book) >= {KEY._replace(bin="B-0")}
        assert StockBook.from_json(folded.as_json()) == folded
        assert folded.taken(later).on_hand_milli(KEY._replace(bin="Z-1")) == 1_000


@pytest.mark.parametrize("kind", ["", "received"])
def test_what_was_taken_back_before_it_came_counts_never_though_what_did_so_is_folded(kind: str) -> None:
    back, late = row("C", kind, 10, cancels="X"), row("X", day=20)
    folded = StockBook().taken(late, 1).taken(back, 1).folded(15 * DAY_MS)
    kept = StockBook().taken(back, 18 * DAY_MS).folded(11 * DAY_MS).folded(15 * DAY_MS)
    assert [one.id for _, one in kept.unmatched()] == ["C"]
    after = StockBook.from_json(kept.as_json()).taken(late, 21 * DAY_MS)
    assert after.on_hand_milli(KEY) == folded.on_hand_milli(KEY) == (1_000 if kind else 0)
    assert after.folded(30 * DAY_MS).on_hand_milli(KEY) == folded.folded(30 * DAY_MS).on_hand_milli(KEY)


def test_what_takes_back_a_row_that_never_comes_is_folded_with_the_time_at_which_it_was_heard() -> None:
    book = StockBook().taken(row("C", "", 10, cancels="X"), 18 * DAY_MS)
    assert len(book.folded(18 * DAY_MS)) == 1
    assert len(book.folded(18 * DAY_MS + 1)) == 0
    assert book.folded(18 * DAY_MS + 1).unmatched() == []


def test_what_is_known_at_a_moment_is_what_was_heard_before_it() -> None:
    book = StockBook().taken(row("R-1"), 5).taken(row("R-2"), 9).taken(row("C", "", 2, cancels="R-1"), 12)
    book = book.taken(snapshot("S", 7, 3), 20)
    for restarted in (book, StockBook.from_json(book.as_json())):
        level = {known_ms: sum(one[2] for one in restarted.story(KEY, known_ms)[1]) for known_ms in (5, 6, 10, 13, 21)}
        assert level == {5: 0, 6: 1_000, 10: 2_000, 13: 1_000, 21: 7_000}
        assert sum(one[2] for one in restarted.story(KEY)[1]) == 7_000
    assert book.heard_of_before(KEY, DAY_MS + 1) == 12
    assert book.heard_of_before(KEY, 4 * DAY_MS) == 20


def test_what_is_dated_ahead_was_spoken_when_it_was_heard() -> None:
    book = StockBook().taken(row("R-1"), 2 * DAY_MS).taken(row("R-2", day=4), 3 * DAY_MS)
    assert book.newest_ms(KEY) == 3 * DAY_MS
    assert book.taken(row("R-3", day=3), 5 * DAY_MS).newest_ms(KEY) == 3 * DAY_MS
    assert book.taken(row("R-4", day=4), 5 * DAY_MS).newest_ms(KEY) == 4 * DAY_MS


def test_taking_back_a_snapshot_touches_the_keys_that_it_counted() -> None:
    before = StockBook().taken(row("R-1")).taken(snapshot("S", 7, 3))
    after = before.taken(row("C", "", 4, cancels="S"))
    assert after.on_hand_milli(KEY) == 1_000
    assert KEY in after.changed_keys(before)


def test_a_row_that_takes_back_and_moves_goods_finds_no_room_where_only_taking_back_does() -> None:
    with patch.object(stock_book, "ROWS_MAX", 1):
        book = StockBook().taken(row("R-1"))
        with pytest.raises(StockFullError):
            book.taken(row("R-2", cancels="R-1"))
        assert book.taken(row("C", "", cancels="R-1")).on_hand_milli(KEY) == 0
