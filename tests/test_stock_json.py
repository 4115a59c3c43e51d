"""The JSON form: what it takes, and every fault at its line with its cure; what one row may say, in every form."""

import unicodedata
from typing import Any

import pytest
from stocking import NOON_MS, SOFA, TERMS, assert_faults, json_text, moved_in

from pledgewatch_cloud.decide.moments import moment_ms
from pledgewatch_cloud.decide.stock import gathering, json_form, rows, texts
from pledgewatch_cloud.decide.stock.rows import Report, Snapshot, StockRow, Terms

COUNT = {"sku": "SOFA-3", "unit": "EA", "quantity": "38"}


def read(terms: Terms = TERMS, **sections: Any) -> Report:
    return json_form.read(terms, json_text(**sections))


def snapshot(**named: Any) -> dict[str, Any]:
    return {"id": "S-1", "at": "2026-03-01T12:00:00Z", "rows": [COUNT], **named}


def one_row(terms: Terms = TERMS, **named: Any) -> StockRow:
    report = read(terms, movements=[moved_in(**named)])
    assert report.faults == ()
    return report.rows[0]


def test_movements_of_stock_are_read_with_all_they_say() -> None:
    full = moved_in(
        bin="B-07",
        owner="DEP1",
        lot="L7",
        expiry="2027-01-01T00:00:00Z",
        cost="12.50",
        currency="USD",
        warehouse="la-1",
    )
    assert one_row(**full) == StockRow(
        *("M-1", "received", NOON_MS, SOFA._replace(bin="B-07"), 40_000),
        lot="L7",
        expiry_ms=moment_ms("", "2027-01-01T00:00:00Z"),
        cost_minor=12_50,
        currency="USD",
        line=2,
    )
    assert one_row(kind="moved", to_bin="B-07") == StockRow("M-1", "moved", NOON_MS, SOFA, 40_000, "B-07", line=2)
    assert one_row(kind="adjusted", quantity="-0.125", reason="a leg\nbroke").quantity_milli == -125
    assert one_row(kind="adjusted", quantity="+5", reason="a leg\nbroke").reason == "a leg broke"
    assert one_row(quantity=40, unit="CA").key.unit == "carton"
    bare = read(movements=[{"id": "M-2", "at": "2026-03-01T12:00:00Z", "cancels": "M-1", "reason": "slip"}])
    assert bare.rows == (StockRow("M-2", "", NOON_MS, reason="slip", cancels="M-1", line=2),)


def test_snapshots_are_read_and_rows_of_one_key_added_up() -> None:
    lots = [{**COUNT, "lot": "L7"}, {**COUNT, "lot": "L8", "quantity": "2"}, {**COUNT, "sku": "CHAIR-1", "quantity": 0}]
    report = read(snapshots=[snapshot(rows=lots, owner="DEP1", complete=True, cancels="S-0")])
    chair = StockRow("S-1", "counted", NOON_MS, SOFA._replace(sku="CHAIR-1"), 0, line=5)
    sofas = StockRow("S-1", "counted", NOON_MS, SOFA, 40_000, line=4)
    assert report.faults == ()
    assert report.snapshots == (
        Snapshot("S-1", NOON_MS, "la-1", "exporter", (chair, sofas), complete=True, cancels="S-0", line=2),
    )


@pytest.mark.parametrize(
    ("named", "part"),
    [
        ({"id": None}, "id: is missing"),
        ({"id": "M 1"}, "id: 'M 1' is no id"),
        ({"id": "M/./1"}, "id: 'M/./1' has a part that addresses leave out; give it another id"),
        ({"cancels": "M//1"}, "cancels: 'M//1' has a part that addresses leave out"),
        ({"kind": "counted"}, "kind: 'counted' is none of received, shipped"),
        ({"kind": None}, "kind: '' is none of"),
        ({"at": None}, "at: is missing"),
        ({"at": "2026-03-01T12:00:00"}, "has no offset from UTC: write one, as Z"),
        ({"at": "2026-03-01"}, "is a date without a time: write one"),
        ({"at": "20260301"}, "is no time in ISO 8601"),
        ({"at": "2026-03-01T25:00:00Z"}, "is no time in ISO 8601"),
        ({"at": "2026-03-01T12:00:00.0001Z"}, "finer than a millisecond"),
        ({"warehouse": "la-2"}, "warehouse: 'la-2': wms speaks of la-1 only"),
        ({"owner": "rival"}, "owner: 'rival' is none that wms may speak of; it may speak of DEP1, exporter"),
        ({"sku": None}, "sku: is missing"),
        ({"sku": " SOFA"}, "without spaces at the ends"),
        ({"sku": "S" * 129}, "1 to 128 characters"),
        ({"unit": "KG"}, "unit: 'KG' is none of CA, EA"),
        ({"unit": None}, "unit: is missing; there are CA, EA"),
        ({"quantity": None}, "quantity: is missing"),
        ({"quantity": "1,000"}, "is no number, as 12 or 0.75: no separators"),
        ({"quantity": "1e3"}, "is no number"),
        ({"quantity": "0.0001"}, "finer than a thousandth of its unit"),
        ({"quantity": "1000000000001"}, "at most 1000000000000"),
        ({"quantity": 0.5}, 'quantity: 0.5 is a binary fraction: write "0.5", as text'),
        ({"quantity": "-40"}, "received has no sign: a sale that came back is returned, a slip is cancelled"),
        ({"kind": "sold", "quantity": "+4"}, "sold has no sign"),
        ({"kind": "adjusted", "reason": "found"}, "an adjustment needs its sign: write +5 for found, -5 for gone"),
        ({"kind": "adjusted", "quantity": "+4"}, "reason: is missing: an adjustment says why"),
        ({"kind": "moved"}, "to_bin: goods that moved went to another bin"),
        ({"kind": "moved", "to_bin": "A-01"}, "to_bin: goods that moved went to another bin"),
        ({"to_bin": "B-07"}, "to_bin: only what moved has one"),
        ({"cancels": "M-1"}, "cancels: names the row itself"),
        ({"lot": "L7\t"}, "lot: 'L7\\t'"),
        ({"cost": "1.005", "currency": "USD"}, "is no amount of USD with at most 2 decimals"),
        ({"cost": "1"}, "currency: is missing"),
        ({"cost": "1", "currency": "DOL"}, "'DOL' is no currency"),
        ({"quanttiy": "4"}, "quanttiy: no such key"),
        ({"lot": True}, "lot: a text is needed, not True"),
        ({"kind": None, "cancels": "M-0", "at": None}, "at: is missing"),
    ],
)
def test_a_row_that_cannot_be_read_has_its_line_and_its_cure_and_the_others_are_read(
    named: dict[str, Any], part: str
) -> None:
    report = read(movements=[moved_in("M-0"), moved_in(**named), moved_in("M-2")])
    assert {one.line for one in report.faults} == {3}
    assert any(part in one.text for one in report.faults), report.faults
    assert [one.id for one in report.rows] == ["M-0", "M-2"]


def test_a_row_that_only_cancels_says_nothing_of_goods() -> None:
    report = read(movements=[{"id": "2", "at": "2026-03-01T12:00:00Z", "cancels": "1", "quantity": "4"}])
    assert_faults(
        report.faults, (2, "quantity: a row that only cancels says nothing of goods: give its kind, or leave this")
    )


def test_what_the_book_says_of_a_source_is_held() -> None:
    in_cartons = TERMS._replace(sku_units={"SOFA-3": "carton"})
    assert_faults(
        read(in_cartons, movements=[moved_in()]).faults, (2, "'EA' is piece, but SOFA-3 is counted in carton")
    )
    with_lots = TERMS._replace(needs_lot=True)
    assert_faults(
        read(with_lots, movements=[moved_in()]).faults, (2, "lot: is missing: wms names the lot of every row")
    )
    nobody = TERMS._replace(owner="", bin="")
    assert_faults(read(nobody, movements=[moved_in()]).faults, (2, "bin: is missing"), (2, "owner: is missing"))
    local = TERMS._replace(utc_offset_minutes=-480)
    assert one_row(local, at="2026-03-01T04:00:00").at_ms == NOON_MS
    assert one_row(local, at="2026-03-01 04:00").at_ms == NOON_MS
    assert one_row(local._replace(bare_dates="first"), at="2026-03-01").at_ms == NOON_MS - 4 * 3_600_000
    assert one_row(local._replace(bare_dates="last"), at="2026-03-01").at_ms == NOON_MS + 20 * 3_600_000 - 1


@pytest.mark.parametrize(
    ("named", "line", "part"),
    [
        ({"at": None}, 2, "at: "),
        ({"id": ""}, 2, "id: is missing"),
        ({"id": True}, 2, "id: a text is needed, not True"),
        ({"id": 1.5}, 2, "id: 1.5 is a binary fraction"),
        ({"cancels": False}, 2, "cancels: a text is needed, not False"),
        ({"owner": True}, 2, "owner: a text is needed, not True"),
        ({"owner": "rival", "complete": True}, 2, "owner: 'rival' is none"),
        ({"complete": 1}, 2, "complete: 1 is neither true nor false"),
        ({"cancels": "S-1"}, 2, "cancels: names the snapshot itself"),
        ({"count": 1}, 2, "count: no such key"),
        ({"rows": [{**COUNT, "id": "7"}]}, 3, "id: no such key"),
        ({"rows": [COUNT, COUNT]}, 4, "the same goods, bin and lot as line 3: which of the two counts?"),
        ({"rows": [{**COUNT, "quantity": "+38"}]}, 3, "a count has no plus sign: is this what was added?"),
        ({"rows": [{**COUNT, "quantity": "-1"}]}, 3, "nobody counts less than nothing"),
    ],
)
def test_a_snapshot_that_is_unclear_is_not_taken(named: dict[str, Any], line: int, part: str) -> None:
    report = read(snapshots=[snapshot(**named)])
    assert any((one.line, part in one.text) == (line, True) for one in report.faults), report.faults
    assert report.snapshots == ()
    beside = read(snapshots=[snapshot(**named)], movements=[moved_in()])
    assert (beside.snapshots, len(beside.rows)) == ((), 1)


def test_without_its_moment_a_snapshot_is_refused_for_it_may_be_what_was_added() -> None:
    report = read(snapshots=[{"id": "S-1", "rows": [COUNT]}])
    assert "at: is missing: without its moment nobody can tell a count from what was added" in report.faults[0].text


def test_a_fault_in_a_snapshot_takes_the_rows_of_its_sku_with_it_or_all_of_them() -> None:
    bad = {**COUNT, "unit": "KG", "lot": "L8"}
    others = [COUNT, {**COUNT, "sku": "CHAIR-1"}]
    part = read(snapshots=[snapshot(rows=[*others, bad])])
    assert_faults(part.faults, (3, "SOFA-3: is not taken, for another row of its SKU"), (5, "unit: 'KG'"))
    assert [one.key.sku for one in part.snapshots[0].rows] == ["CHAIR-1"]
    unknown = read(snapshots=[snapshot(rows=[*others, {**COUNT, "sku": ""}])])
    assert_faults(unknown.faults, (2, "not even the SKU can be read"), (5, "sku: is missing"))
    complete = read(snapshots=[snapshot(rows=[*others, bad], complete=True)])
    assert_faults(complete.faults, (2, "nothing of it is taken, for it is complete and has faults"), (5, "unit: 'KG'"))
    stranger = read(
        TERMS._replace(owners={"B": "b"}), snapshots=[snapshot(rows=[{**COUNT, "owner": "B"}], complete=True)]
    )
    assert_faults(stranger.faults, (2, "it is complete"), (3, "owner: 'b': the snapshot is complete for exporter only"))
    assert unknown.snapshots == complete.snapshots == stranger.snapshots == ()


@pytest.mark.parametrize(
    ("totals", "part"),
    [
        ({"rows": 3}, "totals.rows: 3, but there are 2 rows"),
        ({"quantity": "77"}, "totals.quantity: 77, but the rows add up to 78.000"),
        ({"quantity": "x"}, "totals cannot be checked: totals.quantity: 'x' is no number"),
        ({"lines": 2}, 'totals: an object with "rows", "quantity" or both'),
        ({}, 'totals: an object with "rows", "quantity" or both'),
    ],
)
def test_a_document_that_does_not_add_up_is_refused_whole(totals: dict[str, Any], part: str) -> None:
    sections: dict[str, Any] = {"movements": [moved_in()], "snapshots": [snapshot()]}
    right = read(**sections, totals={"rows": 2, "quantity": "78"})
    assert (right.faults, len(right.rows), len(right.snapshots)) == ((), 1, 1)
    report = read(**sections, totals=totals)
    assert_faults(report.faults, (4, part))
    assert (report.rows, report.snapshots) == ((), ())


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("[]", 0, 'an object with "movements" (they add), "snapshots" (they set), or both is needed'),
        ('{"rows": []}', 0, 'an object with "movements"'),
        ('{"movements": [], "rows": []}', 0, "rows: no such key"),
        ('{"movements": {}}', 0, "movements: a list is needed"),
        ('{"movements": [1]}', 0, "movements[0]: an object is needed"),
        ('{"movements": [{"lot": []}]}', 0, "movements[0].lot: a text is needed"),
        ('{"snapshots": [{}]}', 0, "snapshots[0].rows: a list is needed"),
        ('{"snapshots": [{"rows": [{"sku": {}}]}]}', 0, "snapshots[0].rows[0].sku: a text is needed"),
        ('{"movements": [], "movements": []}', 0, "the key 'movements' comes twice"),
        ('{"movements": [}', 0, "no JSON: line 1, column 16"),
        ('{"movements": [\n\x00]}', 2, "holds the control character '\\x00'"),
    ],
)
def test_what_is_no_such_document_is_refused(text: str, line: int, part: str) -> None:
    report = json_form.read(TERMS, text)
    assert [one.line for one in report.faults] == [line]
    assert part in report.faults[0].text
    assert (report.rows, report.snapshots) == ((), ())


def test_lines_are_those_of_the_text_whatever_stands_in_its_texts() -> None:
    text = '{"movements":\n\n[{"id": "{[", "kind":\n"x"},\n{"id": "\\"}]", "kind": "y"}]}'
    assert sorted({one.line for one in json_form.read(TERMS, text).faults}) == [3, 5]


def test_a_document_is_bounded_in_bytes_rows_and_faults_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ROWS_IN_ONE_MAX", 2)
    three = [moved_in(str(number)) for number in range(3)]
    assert_faults(read(movements=three).faults, (0, "more than 2 rows: hand it in in parts"))
    monkeypatch.setattr(gathering, "FAULTS_TOLD_MAX", 1)
    faulty = read(movements=[moved_in(sku=None), moved_in(unit=None)])
    assert_faults(faulty.faults, (2, "sku: is missing"), (0, "and 1 faults more"))
    monkeypatch.setattr(texts, "DOCUMENT_MAX_BYTES", 10)
    assert_faults(read(movements=[]).faults, (0, "16 bytes; at most 10: hand it in in parts"))
    assert rows.ROWS_IN_ONE_MAX > 2


def test_signs_that_are_written_in_two_ways_are_one_name() -> None:
    terms = TERMS._replace(units={"pièce": "piece"}, owners={"Dépôt": "exporter"})
    apart = {name: unicodedata.normalize("NFD", text) for name, text in {"sku": "CAFÉ", "unit": "pièce"}.items()}
    row = one_row(terms, owner=unicodedata.normalize("NFD", "Dépôt"), **apart)
    assert row == one_row(terms, owner="Dépôt", sku="CAFÉ", unit="pièce")
    assert (row.key.sku, row.key.owner, row.key.unit) == ("CAFÉ", "exporter", "piece")
