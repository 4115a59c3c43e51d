"""The stock book: rolled forward from raw rows, whatever order they come in; counts against movements; bounds."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stocking import CHAIR, DAY_MS, NOON_MS, SOFA, assert_faults, book, cancelling, counted, row, said

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.stock import stock_book
from pledgewatch_cloud.decide.stock.periods import Period
from pledgewatch_cloud.decide.stock.rows import KINDS, SIGNS, Snapshot, StockError, StockKey, StockRow
from pledgewatch_cloud.decide.stock.stock_book import StockBook, StockLot, horizon_ms

Said = StockRow | Snapshot
MOVES = ("received", "shipped", "sold", "returned", "adjusted", "moved", "unreconciled")
OUTSIDE = {"shipped", "sold"}
HOUR_MS = 3_600_000


def figures(period: Period) -> dict[str, int]:
    """What is not nothing of a period, in whole units."""
    names = ("opening", *MOVES, "closing")
    return {name: getattr(period, name) // 1_000 for name in names if getattr(period, name)}


def days(known: StockBook, key: StockKey = SOFA) -> list[dict[str, int]]:
    return [figures(one) for one in known.periods(key, "day")]


def test_movements_of_stock_roll_forward_by_day_and_month() -> None:
    known = book(
        row("1", "received", 40),
        row("2", "sold", 3, NOON_MS + HOUR_MS),
        row("3", "shipped", 10, NOON_MS + DAY_MS),
        row("4", "returned", 1, NOON_MS + DAY_MS),
        row("5", "adjusted", -2, NOON_MS + 40 * DAY_MS, reason="broken"),
    )
    assert days(known) == [
        {"received": 40, "sold": 3, "closing": 37},
        {"opening": 37, "shipped": 10, "returned": 1, "closing": 28},
        {"opening": 28, "adjusted": -2, "closing": 26},
    ]
    months = known.periods(SOFA, "month")
    assert [(one.name, iso(one.from_ms), iso(one.until_ms)) for one in months] == [
        ("2026-03", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        ("2026-04", "2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"),
    ]
    assert figures(months[0]) == {"received": 40, "sold": 3, "shipped": 10, "returned": 1, "closing": 28}
    assert known.on_hand_milli(SOFA, NOON_MS + HOUR_MS - 1) == 40_000
    assert known.on_hand_milli(SOFA, NOON_MS + HOUR_MS) == 37_000
    with pytest.raises(ValueError, match="a day or a month, not 'week'"):
        known.periods(SOFA, "week")


def test_what_moves_leaves_one_bin_and_comes_to_another() -> None:
    there = SOFA._replace(bin="B-07")
    known = book(row("1", "received", 40), row("2", "moved", 15, to_bin="B-07"))
    assert days(known) == [{"received": 40, "moved": -15, "closing": 25}]
    assert days(known, there) == [{"moved": 15, "closing": 15}]
    assert known.keys_of("la-1", "exporter", "SOFA-3", "piece") == (SOFA, there)


def test_what_a_count_finds_more_or_less_is_a_line_of_its_own_and_shrinks_when_a_late_row_explains_it() -> None:
    known = book(row("1", "received", 40), counted("S1", NOON_MS + DAY_MS, {SOFA: 36}))
    assert days(known) == [{"received": 40, "closing": 40}, {"opening": 40, "unreconciled": -4, "closing": 36}]
    known = known.taken(said(row("late", "sold", 3, NOON_MS + HOUR_MS)))
    assert days(known) == [
        {"received": 40, "sold": 3, "closing": 37},
        {"opening": 37, "unreconciled": -1, "closing": 36},
    ]
    known = known.taken(said(row("later", "adjusted", -1, NOON_MS + 2 * HOUR_MS, reason="broken")))
    assert known.unreconciled_milli(SOFA) == 0
    assert known.on_hand_milli(SOFA) == 36_000


def test_a_count_holds_what_happened_at_its_moment() -> None:
    known = book(row("1", "received", 40), counted("S1", NOON_MS, {SOFA: 40}), row("2", "sold", 5, NOON_MS + 1))
    assert (known.unreconciled_milli(SOFA), known.on_hand_milli(SOFA)) == (0, 35_000)


def test_stock_that_no_row_brought_is_unreconciled_in_full() -> None:
    assert days(book(counted("S1", NOON_MS, {SOFA: 40}))) == [{"unreconciled": 40, "closing": 40}]


def test_a_complete_snapshot_counts_nothing_of_what_it_leaves_out() -> None:
    other_owner = CHAIR._replace(owner="other")
    rows = [row("1", "received", 9, key=CHAIR), row("2", "received", 5, key=other_owner), row("3", "received", 40)]
    partial = book(*rows, counted("S1", NOON_MS + DAY_MS, {SOFA: 40}))
    complete = book(*rows, counted("S1", NOON_MS + DAY_MS, {SOFA: 40}, complete=True))
    assert (partial.on_hand_milli(CHAIR), partial.unreconciled_milli(CHAIR)) == (9_000, 0)
    assert (complete.on_hand_milli(CHAIR), complete.unreconciled_milli(CHAIR)) == (0, -9_000)
    assert (complete.on_hand_milli(SOFA), complete.on_hand_milli(other_owner)) == (40_000, 5_000)
    later = complete.taken(said(row("4", "received", 2, NOON_MS + 2 * DAY_MS, CHAIR._replace(bin="Z"))))
    assert [figures(one) for one in later.periods(CHAIR._replace(bin="Z"), "day")] == [{"received": 2, "closing": 2}]


def test_what_is_cancelled_never_counts_again_and_a_correction_stands_in_its_place() -> None:
    slip = row("1", "received", 400)
    assert book(slip, cancelling("2", "1")).on_hand_milli(SOFA) == 0
    assert book(slip, row("2", "received", 40, cancels="1")).on_hand_milli(SOFA) == 40_000
    twice = book(slip, row("2", "received", 40, cancels="1"), cancelling("3", "2"))
    assert twice.on_hand_milli(SOFA) == 0
    assert book(slip, cancelling("2", "1"), cancelling("3", "2")).on_hand_milli(SOFA) == 0


def test_only_its_source_takes_back_what_a_source_said() -> None:
    known = book(row("1", "received", 40)).taken(said(cancelling("2", "1"), source="other"))
    assert known.on_hand_milli(SOFA) == 40_000
    assert [(source, one.id) for source, one in known.unmatched()] == [("other", "2")]


def test_a_snapshot_is_cancelled_as_a_whole() -> None:
    wrong = counted("S1", NOON_MS, {SOFA: 1, CHAIR: 1})
    known = book(row("1", "received", 40), wrong, counted("S2", NOON_MS, {SOFA: 40}, cancels="S1"))
    assert (known.on_hand_milli(SOFA), known.on_hand_milli(CHAIR), known.unreconciled_milli(SOFA)) == (40_000, 0, 0)
    empty = counted("S3", NOON_MS + 1, {}, complete=True)
    assert known.taken(said(empty)).on_hand_milli(SOFA) == 0
    assert known.taken(said(empty, cancelling("4", "S3"))).on_hand_milli(SOFA) == 40_000


@pytest.mark.parametrize(
    ("other", "part"),
    [
        (row("1", "received", 41), "another quantity_milli"),
        (row("1", "sold", 40), "another kind"),
        (row("1", "received", 40, NOON_MS + 1), "another at_ms"),
        (counted("1", NOON_MS, {SOFA: 40}), "another kind"),
    ],
)
def test_a_known_id_with_other_content_is_refused_and_changes_nothing(other: Said, part: str) -> None:
    known = book(row("1", "received", 40, line=1))
    with pytest.raises(StockError, match=part) as error:
        known.taken(said(row("2", "received", 1), other))
    assert "a correction has an id of its own and says what it cancels" in str(error.value)
    assert (len(known), known.on_hand_milli(SOFA)) == (1, 40_000)


def test_a_complete_snapshot_cannot_be_added_to_and_another_can() -> None:
    first, more = {SOFA: 40}, {SOFA: 40, CHAIR: 9}
    part, whole = (counted("S1", NOON_MS, counts, cancels="S0") for counts in (first, more))
    assert book(part).taken(said(whole)) == book(whole)
    with pytest.raises(StockError, match="another set of rows"):
        book(counted("S1", NOON_MS, first, complete=True)).taken(said(counted("S1", NOON_MS, more, complete=True)))


def test_lots_add_up_to_what_is_on_hand_and_counts_are_put_to_none() -> None:
    named: dict[str, Any] = {"lot": "L7", "expiry_ms": NOON_MS + 90 * DAY_MS, "cost_minor": 12_50, "currency": "USD"}
    known = book(
        row("1", "received", 40, **named),
        row("2", "sold", 3, NOON_MS + HOUR_MS, lot="L7"),
        row("3", "received", 10, NOON_MS + DAY_MS, lot="L8"),
        row("4", "sold", 10, NOON_MS + DAY_MS, lot="L8"),
        row("5", "received", 6, NOON_MS + DAY_MS),
        counted("S1", NOON_MS + 2 * DAY_MS, {SOFA: 41}),
    )
    assert known.lots(SOFA) == [
        StockLot("", 4_000),
        StockLot("L7", 37_000, NOON_MS, NOON_MS + 90 * DAY_MS, 12_50, "USD"),
    ]
    assert known.lots(SOFA, NOON_MS) == [StockLot("L7", 40_000, NOON_MS, NOON_MS + 90 * DAY_MS, 12_50, "USD")]
    assert known.folded(NOON_MS + 3 * DAY_MS).lots(SOFA) == known.lots(SOFA)


def test_a_lot_that_is_gone_and_comes_again_begins_anew() -> None:
    known = book(
        row("1", "received", 40, lot="L7", expiry_ms=NOON_MS + 90 * DAY_MS),
        row("2", "sold", 40, NOON_MS + DAY_MS, lot="L7"),
        row("3", "received", 1, NOON_MS + 2 * DAY_MS, lot="L7"),
    )
    assert known.lots(SOFA, NOON_MS + DAY_MS) == []
    assert known.lots(SOFA) == [StockLot("L7", 1_000, NOON_MS + 2 * DAY_MS)]


def test_what_is_sold_a_day_is_rounded_down_over_all_bins_and_never_below_nothing() -> None:
    other_bin = SOFA._replace(bin="B-07")
    until_ms = NOON_MS + 7 * DAY_MS
    known = book(
        row("1", "sold", 10, NOON_MS + DAY_MS),
        row("2", "sold", 7, NOON_MS + 2 * DAY_MS, other_bin),
        row("3", "returned", 2, NOON_MS + 3 * DAY_MS),
        row("4", "shipped", 99, NOON_MS + 3 * DAY_MS),
        row("5", "sold", 1, NOON_MS),
    )
    assert known.sold_milli_per_day("la-1", "exporter", "SOFA-3", "piece", until_ms, 7) == 15_000 // 7
    assert known.sold_milli_per_day("la-1", "exporter", "SOFA-3", "piece", NOON_MS + 3 * DAY_MS, 1) == 0
    assert known.sold_milli_per_day("la-1", "exporter", "SOFA-3", "carton", until_ms, 7) == 0


# Random histories: few keys, few moments and few ids, so that rows meet, cancel one another and fall together.

KEYS = [SOFA, CHAIR, SOFA._replace(bin="B-07"), SOFA._replace(owner="other")]
MOMENTS = st.integers(0, 12).map(lambda number: NOON_MS + number * DAY_MS // 2)


@st.composite
def histories(draw: st.DrawFn) -> list[Said]:
    """Rows and snapshots with an id each, of which some cancel others."""
    found: list[Said] = []
    for number in range(draw(st.integers(0, 14))):
        name = f"R{number}"
        at_ms = draw(MOMENTS)
        cancels = draw(st.sampled_from(["", "", "", *(f"R{other}" for other in range(14) if other != number)]))
        what = draw(st.sampled_from([*KINDS, "counted", "complete", ""]))
        if what in {"counted", "complete"}:
            counts = draw(st.dictionaries(st.sampled_from(KEYS[:3]), st.integers(0, 9), max_size=3))
            if counts or what == "complete":
                found.append(counted(name, at_ms, counts, complete=what == "complete", cancels=cancels))
        elif what:
            low = -9 if what == "adjusted" else 0
            key = draw(st.sampled_from(KEYS))
            to_bin = (
                draw(st.sampled_from([one for one in ("A-01", "B-07", "C-02") if one != key.bin]))
                if what == "moved"
                else ""
            )
            lot = draw(st.sampled_from(["", "L7", "L8"]))
            found.append(
                row(name, what, draw(st.integers(low, 9)), at_ms, key, to_bin=to_bin, cancels=cancels, lot=lot)
            )
        elif cancels:
            found.append(cancelling(name, cancels, at_ms))
    return found


def rolled_forward(some: Sequence[Said], key: StockKey, until_ms: int) -> Counter[str]:
    """A key's columns from raw rows: all that counts, sorted by moment, counts last; from the rules alone."""
    taken_back = {one.cancels for one in some if one.cancels}
    standing = [one for one in some if one.id not in taken_back and one.at_ms <= until_ms]
    total = Counter[str]()
    level = 0
    for one in sorted(standing, key=lambda one: (one.at_ms, isinstance(one, Snapshot), one.id)):
        if isinstance(one, Snapshot):
            said = {line.key: line.quantity_milli for line in one.rows}
            if key in said or (one.complete and (key.warehouse, key.owner) == (one.warehouse, one.owner)):
                total["unreconciled"] += said.get(key, 0) - level
                level = said.get(key, 0)
        elif one.kind:
            change = SIGNS[one.kind] * one.quantity_milli if one.key == key else 0
            if one.kind == "moved" and one.key._replace(bin=one.to_bin) == key:
                change += one.quantity_milli
            total[one.kind] += -change if one.kind in OUTSIDE else change
            level += change
    total["closing"] = level
    return total


@given(histories())
def test_every_roll_forward_foots_and_is_what_the_raw_rows_add_up_to(some: list[Said]) -> None:
    known = book(*some)
    for key in known.known_keys():
        for length in ("day", "month"):
            closing, total = 0, Counter[str]()
            for period in known.periods(key, length):
                inward = period.received - period.shipped - period.sold + period.returned
                assert period.opening == closing
                assert period.closing == period.opening + inward + period.adjusted + period.moved + period.unreconciled
                assert period.from_ms < period.until_ms
                total.update({name: getattr(period, name) for name in MOVES})
                wanted = rolled_forward(some, key, period.until_ms - 1)
                assert {**total, "closing": period.closing} == {name: wanted[name] for name in (*MOVES, "closing")}
                closing = period.closing
            assert closing == known.on_hand_milli(key) == sum(lot.quantity_milli for lot in known.lots(key))


@given(histories(), st.randoms(use_true_random=False), st.lists(st.integers(0, 13), max_size=6))
def test_order_repetition_and_parting_mean_nothing(some: list[Said], dice: Any, again: list[int]) -> None:
    shuffled = [*some, *(some[number] for number in again if number < len(some))]
    dice.shuffle(shuffled)
    known = StockBook()
    for one in shuffled:
        known = known.taken(said(one))
    assert known == book(*some)
    assert known.as_json() == book(*some).as_json()
    assert known.taken(said(*some)) is known


@given(histories(), st.integers(0, 13))
def test_folding_changes_nothing_from_the_horizon_on_and_hides_nothing_before(some: list[Said], number: int) -> None:
    known = book(*some)
    limit_ms = NOON_MS - DAY_MS // 2 + number * DAY_MS
    folded = known.folded(limit_ms)
    spent = {key for key in known.known_keys() if not known.on_hand_milli(key) and known.newest_ms(key) < limit_ms}
    assert {key for key in known.known_keys() if key not in folded.known_keys()} <= spent
    for key in folded.known_keys():
        earlier = [one for one in known.periods(key, "day") if one.from_ms < limit_ms]
        before = folded.before(key)
        assert folded.periods(key, "day") == [one for one in known.periods(key, "day") if one.from_ms >= limit_ms]
        assert all(getattr(before, name) == sum(getattr(one, name) for one in earlier) for name in MOVES)
        assert folded.on_hand_milli(key) == known.on_hand_milli(key)
        assert folded.unreconciled_milli(key) == known.unreconciled_milli(key)
        assert folded.lots(key) == known.lots(key)
    assert folded.folded(limit_ms) is folded
    assert {(source, one.id) for source, one in folded.unmatched()} == {
        (source, one.id) for source, one in known.unmatched()
    }
    assert StockBook.from_json(folded.as_json()) == folded


def newly_said(one: Said) -> Said:
    """The same under an id of its own, taking nothing back."""
    if isinstance(one, StockRow):
        return one._replace(id=f"N{one.id}", cancels="", kind=one.kind or "sold", key=one.key if one.kind else SOFA)
    rows = tuple(line._replace(id=f"N{one.id}") for line in one.rows)
    return one._replace(id=f"N{one.id}", cancels="", rows=rows)


@given(histories(), histories(), st.integers(0, 13))
def test_what_comes_after_folding_gives_what_it_would_have_given_before(
    some: list[Said], more: list[Said], number: int
) -> None:
    limit_ms = NOON_MS - DAY_MS // 2 + number * DAY_MS
    later = [newly_said(one) for one in more if one.at_ms >= limit_ms]
    after = book(*some).folded(limit_ms).taken(said(*later))
    assert after == book(*some).taken(said(*later)).folded(limit_ms)


@given(histories(), st.integers(0, 13))
def test_a_book_comes_back_from_its_bytes(some: list[Said], number: int) -> None:
    for known in (book(*some), book(*some).folded(NOON_MS + number * DAY_MS)):
        data = b"".join(known.pieces())
        assert data == canonical.encode(known.as_json())
        again = StockBook.from_json(canonical.decode(data))
        assert again == known
        assert again.as_json() == known.as_json()
        assert again.taken(said(row("new", "sold", 1, NOON_MS + 99 * DAY_MS))) != known


def test_what_is_about_before_the_horizon_is_refused_with_that_reason() -> None:
    known = book(row("1", "received", 40)).folded(NOON_MS + DAY_MS)
    for late in (row("2", "sold", 1, line=3), counted("S1", NOON_MS, {SOFA: 1}, line=3), cancelling("3", "1")):
        with pytest.raises(StockError, match="what was before 2026-03-02T12:00:00Z is closed"):
            known.taken(said(late))
    assert figures(known.before(SOFA)) == {"received": 40, "closing": 40}
    assert horizon_ms(NOON_MS) == NOON_MS - DAY_MS // 2 - 400 * DAY_MS


def test_a_cancellation_of_what_was_folded_has_no_effect_and_is_shown() -> None:
    known = book(row("1", "received", 40)).folded(NOON_MS + DAY_MS)
    late = known.taken(said(cancelling("2", "1", NOON_MS + 2 * DAY_MS)))
    assert late.on_hand_milli(SOFA) == 40_000
    assert [(source, one.id) for source, one in late.unmatched()] == [("wms", "2")]


def test_a_cancellation_that_was_folded_with_its_row_is_not_shown_as_unmatched() -> None:
    slip, undone = row("1", "received", 400), cancelling("2", "1", NOON_MS + 2 * DAY_MS)
    for horizon in (NOON_MS + DAY_MS, NOON_MS + 3 * DAY_MS):
        folded = book(slip, undone).folded(horizon)
        assert (folded.on_hand_milli(SOFA), folded.unmatched()) == (0, [])
    early = book(slip._replace(at_ms=NOON_MS + 2 * DAY_MS), undone._replace(at_ms=NOON_MS)).folded(NOON_MS + DAY_MS)
    assert (early.on_hand_milli(SOFA), len(early)) == (0, 1)


def test_a_cancellation_that_matched_nothing_is_folded_with_the_moment_at_which_it_was_heard() -> None:
    known = book(row("1", "received", 40)).taken(said(cancelling("2", "gone")), NOON_MS)
    assert [(source, one.id) for source, one in known.unmatched()] == [("wms", "2")]
    folded = known.folded(NOON_MS + DAY_MS)
    assert (folded.unmatched(), folded.as_json()["cancels"], folded.as_json()["rows"]) == ([], [], [])


def test_what_was_folded_is_counted_like_all_else() -> None:
    folded = book(row("1", "received", 40)).folded(NOON_MS + DAY_MS)
    counted_later = folded.taken(said(counted("S1", NOON_MS + 2 * DAY_MS, {}, complete=True)))
    assert days(counted_later) == [{"opening": 40, "unreconciled": -40}]
    again = counted_later.taken(said(row("2", "received", 1, NOON_MS + 4 * DAY_MS))).folded(NOON_MS + 3 * DAY_MS)
    assert figures(again.before(SOFA)) == {"received": 40, "unreconciled": -40}
    assert (again.on_hand_milli(SOFA), len(again)) == (1_000, 1)


def test_a_full_book_refuses_drops_nothing_and_still_lets_slips_be_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock_book, "ROWS_MAX", 2)
    monkeypatch.setattr(stock_book, "CANCELS_MAX", 1)
    known = book(row("1", "received", 40), row("2", "received", 40))
    with pytest.raises(StockError, match="2 rows are kept and 1 more would be over 2"):
        known.taken(said(row("3", "sold", 1)))
    known = known.taken(said(cancelling("3", "2")))
    assert known.on_hand_milli(SOFA) == 40_000
    with pytest.raises(StockError, match="over 3"):
        known.taken(said(cancelling("4", "1")))
    assert known.taken(said(row("1", "received", 40))) is known


def test_there_are_so_many_keys_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock_book, "KEYS_MAX", 1)
    with pytest.raises(StockError, match="more than 1 goods and bins"):
        book(row("1", "received", 40)).taken(said(row("2", "received", 1, key=CHAIR)))


def test_what_is_fresh_is_each_row_once_with_the_faults_of_the_others_at_their_lines() -> None:
    known = book(row("1", "received", 40)).folded(NOON_MS - DAY_MS)
    report = said(
        row("1", "received", 40, line=1),
        row("2", "sold", 1, line=2),
        row("2", "sold", 1, line=3),
        row("2", "sold", 2, line=4),
        row("3", "sold", 1, NOON_MS - 2 * DAY_MS, line=5),
    )
    fresh = known.fresh(report)
    assert fresh.rows == (row("2", "sold", 1, line=2),)
    assert_faults(
        fresh.faults, (4, "2: was said before with another quantity_milli"), (5, "3 is about 2026-02-27T12:00:00Z")
    )


def test_in_which_lines_rows_came_is_not_kept() -> None:
    rows = (row("M-1", "received", 40, line=2), row("M-2", "sold", 3, NOON_MS + 1, line=3))
    snapshot = counted("S-1", NOON_MS + 2, {SOFA: 36}, line=4)
    snapshot = snapshot._replace(rows=tuple(one._replace(line=5) for one in snapshot.rows))
    bare = [one._replace(line=0) for one in rows]
    first = book(*rows, snapshot)
    assert first.as_json() == book(*bare, counted("S-1", NOON_MS + 2, {SOFA: 36})).as_json()
    assert first.taken(said(*bare)) is first
