"""What is taken whole or not at all: a snapshot that takes another back, two lists that each say that they are all, and
the lots of one count."""

from typing import Any

import pytest
from stocking import CHAIR, LATER_MS, SOFA, TERMS, assert_faults, interchange, json_text, moved_in, transaction

from pledgewatch_cloud.decide.stock import intake
from pledgewatch_cloud.decide.stock.csv_form import CsvMapping
from pledgewatch_cloud.decide.stock.rows import Report, StockError, Terms
from pledgewatch_cloud.decide.stock.stock_book import StockBook

OWNERS = {"DEP1": "exporter", "DEP2": "rival"}
REST = TERMS._replace(utc_offset_minutes=0, at_fault="take_rest", inventory_advice="complete", owners=OWNERS)
COUNTS = CsvMapping(
    {"snapshot": "list", "at": "at", "owner": "whose", "sku": "sku", "unit": "unit", "on_hand": "there"}, complete=True
)
SOFAS = {"sku": "SOFA-3", "unit": "EA", "quantity": "30"}
CHAIRS = {"sku": "CHAIR-1", "unit": "EA", "quantity": "5"}
BAD = SOFAS | {"unit": "EAA"}


def read(text: str, form: str = "json", terms: Terms = REST) -> Report:
    return intake.read(terms, form, text, COUNTS)


def handed_in(book: StockBook, text: str, form: str = "json") -> StockBook:
    return book.taken(intake.admitted(REST, read(text, form), book, LATER_MS))


def counted(identity: str, *rows: dict[str, str], **named: Any) -> dict[str, Any]:
    return {"id": identity, "at": "2026-03-01T12:00:00Z", "rows": list(rows), **named}


def there(book: StockBook) -> list[int]:
    return [book.on_hand_milli(key) for key in (SOFA, CHAIR)]


FIRST = handed_in(
    handed_in(StockBook(), json_text(movements=[moved_in(at="2026-03-01T10:00:00Z")])),
    json_text(snapshots=[counted("S-1", SOFAS)]),
)


def test_a_snapshot_that_cancels_and_has_a_fault_takes_nothing_back() -> None:
    wrong = json_text(snapshots=[counted("S-X", BAD, CHAIRS, cancels="S-1")])
    report = read(wrong)
    told = "snapshot S-X: nothing of it is taken, for it cancels S-1 and has faults"
    assert_faults(report.faults, (2, told), (3, "unit: 'EAA' is none of"))
    assert report.snapshots == ()
    with pytest.raises(StockError):
        handed_in(FIRST, wrong)
    beside = json_text(movements=[moved_in("M-2", sku="CHAIR-1")], snapshots=[counted("S-X", BAD, cancels="S-1")])
    assert there(handed_in(FIRST, beside)) == [30_000, 40_000], "what has no fault is taken, and S-1 counts"
    right = json_text(snapshots=[counted("S-X", SOFAS | {"quantity": "29"}, CHAIRS, cancels="S-1")])
    assert there(handed_in(FIRST, right)) == [29_000, 5_000]


def test_a_row_that_cancels_and_has_a_fault_takes_nothing_back() -> None:
    wrong = json_text(movements=[moved_in("M-2", cancels="M-1", unit="EAA"), moved_in("M-3", sku="CHAIR-1")])
    assert there(handed_in(StockBook().taken(read(json_text(movements=[moved_in()]))), wrong)) == [40_000, 40_000]


def test_a_snapshot_without_rows_may_take_another_back() -> None:
    assert there(handed_in(FIRST, json_text(snapshots=[counted("S-X", cancels="S-1")]))) == [40_000, 0]


def advice(number: str, sku: str, *, at: str = "1200", owner: str = "DEP1", total: int = 1) -> list[str]:
    """An 846 of one row."""
    head = (f"BIA*00*SI*{number}*20260301*{at}", f"N1*DE*A*92*{owner}")
    return transaction("846", *head, f"LIN*1*SK*{sku}", "QTY*17*30*EA", f"CTT*{total}", number=number)


def listed(number: str, sku: str, **named: str) -> dict[str, Any]:
    return counted(number, {"sku": sku, "unit": "EA", "quantity": "30"}, complete=True, **named)


HEADER = "list,at,whose,sku,unit,there"
SAME = "2026-03-01T12:00:00Z"
TWO_LISTS = [
    ("x12", interchange(advice("0001", "SOFA-3"), advice("0002", "CHAIR-1")), (4, 11)),
    ("x12", interchange(advice("0001", "SOFA-3", total=2), advice("0002", "CHAIR-1")), (4, 11)),
    ("x12", interchange(advice("0001", "SOFA-3")) + interchange(advice("0002", "CHAIR-1")), (4, 15)),
    ("json", json_text(snapshots=[listed("1", "SOFA-3"), listed("2", "CHAIR-1")]), (2, 4)),
    ("json", json_text(snapshots=[listed("1", "SOFA-3", smell="1"), listed("2", "CHAIR-1")]), (2, 4)),
    ("csv", f"{HEADER}\n1,{SAME},DEP1,SOFA-3,EA,30\n2,{SAME},DEP1,CHAIR-1,EA,30\n", (2, 3)),
]


@pytest.mark.parametrize(("form", "text", "lines"), TWO_LISTS)
def test_of_two_complete_lists_of_one_owner_and_moment_neither_empties_what_the_other_lists(
    form: str, text: str, lines: tuple[int, int]
) -> None:
    report = read(text, form)
    for line, other in (lines, lines[::-1]):
        told = f"complete, as that of line {other} for the same owner and moment, which lists others; neither is taken"
        assert (line, True) in [(one.line, one.text.startswith(told)) for one in report.faults], report.faults
    assert report.snapshots == ()


@pytest.mark.parametrize(
    "second", [advice("0002", "CHAIR-1", at="1201"), advice("0002", "CHAIR-1", owner="DEP2")], ids=["moment", "owner"]
)
def test_complete_lists_of_two_moments_or_owners_are_taken(second: list[str]) -> None:
    report = read(interchange(advice("0001", "SOFA-3"), second), "x12")
    assert (report.faults, len(report.snapshots)) == ((), 2)


def test_partial_lists_of_one_moment_are_taken() -> None:
    text = interchange(advice("0001", "SOFA-3"), advice("0002", "CHAIR-1"))
    report = read(text, "x12", REST._replace(inventory_advice="partial"))
    assert there(StockBook().taken(report)) == [30_000, 30_000]


def test_the_lots_of_one_count_come_in_one_document() -> None:
    one, other = SOFAS | {"lot": "L1"}, SOFAS | {"lot": "L2"}
    book = handed_in(StockBook(), json_text(snapshots=[counted("S-1", one)]))
    (fault,) = book.fresh(read(json_text(snapshots=[counted("S-1", other)]))).faults
    assert fault.text.endswith("; all lots of goods in a bin come in one document, for they are one count")
    whole = json_text(snapshots=[counted("S-2", one, other, cancels="S-1")])
    assert there(handed_in(book, whole)) == [60_000, 0]
    parted = handed_in(book, json_text(snapshots=[counted("S-1", CHAIRS)]))
    assert there(parted) == [30_000, 5_000], "other goods may come in another document"
