"""Documents into the book: all or the rest as the book says, nothing half done, and what may not be said refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stocking import (
    CHAIR,
    LATER_MS,
    NOON_MS,
    SOFA,
    TERMS,
    assert_faults,
    interchange,
    json_text,
    moved_in,
    transaction,
)

from pledgewatch_cloud.decide.stock.csv_form import CsvMapping
from pledgewatch_cloud.decide.stock.intake import AHEAD_MAX_MS, COUNT_AHEAD_MAX_MS, admitted, read
from pledgewatch_cloud.decide.stock.rows import Fault, StockError, Terms
from pledgewatch_cloud.decide.stock.stock_book import StockBook

TABLE = CsvMapping({"id": "no", "kind": "kind", "at": "at", "sku": "sku", "unit": "unit", "quantity": "qty"})
CSV = (
    "no,kind,at,sku,unit,qty\n"
    "1,received,2026-03-01T12:00:00Z,SOFA-3,EA,40\n"
    "2,received,2026-03-01T12:00:00Z,SOFA-3,KG,40\n"
    "3,received,2026-03-01T12:00:00Z,CHAIR-1,EA,9\n"
)
JSON = json_text(movements=[moved_in("1"), moved_in("2", unit="KG"), moved_in("3", sku="CHAIR-1", quantity="9")])
X12 = interchange(
    transaction("944", "W17*F*20260301*1***8*1200", "W07*40*EA**SK*SOFA-3", "W14*40", number="0001"),
    transaction("944", "W17*F*20260301*2***8*1200", "W07*40*KG**SK*SOFA-3", "W14*40", number="0002"),
    transaction("944", "W17*F*20260301*3***8*1200", "W07*9*EA**SK*CHAIR-1", "W14*9", number="0003"),
)
UTC = TERMS._replace(utc_offset_minutes=0)
REST = UTC._replace(at_fault="take_rest")
SNAPSHOT = json_text(
    snapshots=[{"id": "S-1", "at": "2026-03-01T12:00:00Z", "rows": [{"sku": "SOFA-3", "unit": "EA", "quantity": "40"}]}]
)


def handed_in(book: StockBook, form: str, text: str, terms: Terms = UTC, at_ms: int = LATER_MS) -> StockBook:
    return book.taken(admitted(terms, read(terms, form, text, TABLE), book, at_ms))


@pytest.mark.parametrize(("form", "text", "line"), [("csv", CSV, 3), ("json", JSON, 3), ("x12", X12, 10)])
def test_a_document_with_a_fault_is_refused_whole_or_the_rest_is_taken_as_the_book_says(
    form: str, text: str, line: int
) -> None:
    before = handed_in(StockBook(), "json", json_text(movements=[moved_in("0", quantity="1")]))
    with pytest.raises(StockError) as error:
        handed_in(before, form, text)
    assert_faults(error.value.faults, (line, "unit: 'KG' is none of CA, EA"))
    rest = handed_in(before, form, text, REST)
    assert (rest.on_hand_milli(SOFA), rest.on_hand_milli(CHAIR)) == (41_000, 9_000)
    assert before.on_hand_milli(SOFA) == 1_000
    assert_faults(admitted(REST, read(REST, form, text, TABLE), before, LATER_MS).faults, (line, "unit: 'KG'"))


@pytest.mark.parametrize(("form", "text"), [("csv", CSV), ("json", JSON), ("x12", X12)])
def test_the_corrected_document_adds_only_what_was_missing(form: str, text: str) -> None:
    rest = handed_in(StockBook(), form, text, REST)
    corrected = text.replace("KG", "EA")
    whole = handed_in(rest, form, corrected)
    assert whole == handed_in(StockBook(), form, corrected)
    assert whole.on_hand_milli(SOFA) == 80_000
    assert handed_in(whole, form, corrected) is whole


def test_a_document_of_which_nothing_is_right_is_refused_even_where_the_rest_is_taken() -> None:
    with pytest.raises(StockError, match="no JSON"):
        handed_in(StockBook(), "json", "{", REST)


@pytest.mark.parametrize(
    ("means", "text", "part"),
    [
        ("adds", SNAPSHOT, "1 snapshots from wms: the book says that its documents add"),
        (
            "sets",
            json_text(movements=[moved_in()]),
            "1 movements of stock from wms: the book says that its documents set",
        ),
    ],
)
def test_what_a_source_may_not_mean_is_refused(means: str, text: str, part: str) -> None:
    for terms in (UTC._replace(means=means), REST._replace(means=means)):
        with pytest.raises(StockError) as error:
            handed_in(StockBook(), "json", text, terms)
        assert_faults(error.value.faults, (2, part))
    other = {"adds": "sets", "sets": "adds"}[means]
    assert len(handed_in(StockBook(), "json", text, UTC._replace(means=other))) > 0


def test_a_movement_may_be_dated_a_day_ahead_and_a_count_some_minutes() -> None:
    text = json_text(movements=[moved_in()])
    assert len(handed_in(StockBook(), "json", text, at_ms=NOON_MS - AHEAD_MAX_MS)) == 1
    with pytest.raises(StockError, match=r"M-1 is about 2026-03-01T12:00:00Z, which is to come"):
        handed_in(StockBook(), "json", text, at_ms=NOON_MS - AHEAD_MAX_MS - 1)
    assert len(handed_in(StockBook(), "json", SNAPSHOT, at_ms=NOON_MS - COUNT_AHEAD_MAX_MS)) == 2
    with pytest.raises(StockError, match=r"S-1 counts what there is at 2026-03-01T12:00:00Z, which is to come"):
        handed_in(StockBook(), "json", SNAPSHOT, at_ms=NOON_MS - COUNT_AHEAD_MAX_MS - 1)


def test_of_a_document_the_rest_is_taken_without_its_count_that_is_dated_ahead() -> None:
    ahead = [{"id": "S-1", "at": "2026-03-02T00:00:00Z", "rows": [{"sku": "SOFA-3", "unit": "EA", "quantity": "7"}]}]
    text = json_text(movements=[moved_in()], snapshots=ahead)
    report = admitted(REST, read(REST, "json", text), StockBook(), NOON_MS)
    assert_faults(report.faults, (3, "hand it in after that"))
    assert ([row.id for row in report.rows], report.snapshots) == (["M-1"], ())
    assert handed_in(StockBook(), "json", text, REST, NOON_MS).on_hand_milli(SOFA) == 40_000


def test_a_count_of_a_day_that_has_not_ended_does_not_bring_back_what_is_sold_that_day() -> None:
    counts = CsvMapping({"on_hand": "qty", "at": "day", "sku": "sku", "unit": "unit"})
    terms = UTC._replace(bare_dates="last")
    report = read(terms, "csv", "day,sku,unit,qty\n2026-03-01,SOFA-3,EA,40\n", counts)
    with pytest.raises(StockError, match=r"at-2026-03-01T23:59:59\.999Z counts what there is at .* which is to come"):
        admitted(terms, report, StockBook(), NOON_MS)
    assert len(admitted(terms, report, StockBook(), NOON_MS + 12 * 3_600_000).snapshots) == 1


def test_another_content_under_a_known_id_is_a_fault_like_any_other() -> None:
    known = handed_in(StockBook(), "json", json_text(movements=[moved_in()]))
    text = json_text(movements=[moved_in(quantity="41"), moved_in("M-2")])
    with pytest.raises(StockError, match="2: M-1: was said before with another quantity_milli"):
        handed_in(known, "json", text)
    assert handed_in(known, "json", text, REST).on_hand_milli(SOFA) == 80_000


def test_a_form_that_is_not_known_or_has_no_mapping_is_refused() -> None:
    assert read(TERMS, "xml", "").faults == (Fault(0, "form: 'xml' is none of json, csv, x12"),)
    assert read(TERMS, "csv", CSV).faults == (Fault(0, "form: the source wms has no mapping"),)


# A shop's documents of every form, in any order and as often as they like.
DOCUMENTS = [
    ("csv", CSV.replace("KG", "EA")),
    ("json", JSON.replace('"KG"', '"CA"').replace('"1"', '"J1"').replace('"2"', '"J2"').replace('"3"', '"J3"')),
    ("x12", X12.replace("KG", "EA")),
    ("json", SNAPSHOT),
    ("json", json_text(movements=[{"id": "undo", "at": "2026-03-03T12:00:00Z", "cancels": "944:2::1"}])),
    ("json", json_text(movements=[moved_in("C-1", cancels="1", quantity="39")])),
]


@given(st.permutations(DOCUMENTS), st.lists(st.sampled_from(DOCUMENTS), max_size=5))
def test_the_order_in_which_documents_come_and_how_often_means_nothing(
    order: list[tuple[str, str]], again: list[tuple[str, str]]
) -> None:
    found, wanted = StockBook(), StockBook()
    for form, text in [*order, *again]:
        found = handed_in(found, form, text)
    for form, text in DOCUMENTS:
        wanted = handed_in(wanted, form, text)
    assert found == wanted
    assert found.as_json() == wanted.as_json()
    # 39 for 40, 40 more, 40 from the first shipment; the second was undone; then counted: 40.
    assert found.unreconciled_milli(SOFA) == 40_000 - (39_000 + 40_000 + 40_000 + 40_000)


def tried(form: str, text: str) -> tuple[StockBook, tuple[Fault, ...]]:
    """The book after a document, and why it was refused."""
    try:
        return handed_in(StockBook(), form, text), ()
    except StockError as error:
        return StockBook(), error.faults


@given(st.data())
def test_whatever_stands_in_a_table_it_is_taken_whole_or_not_at_all(data: st.DataObject) -> None:
    """A cell of a table is damaged: either a fault names its line and the book is as it was, or every row is in it."""
    cells = [line.split(",") for line in CSV.replace("KG", "EA").splitlines()]
    line, column = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 5))
    cells[line][column] = data.draw(st.text(st.characters(exclude_characters='\r\n,"'), max_size=6))
    text = "\n".join(",".join(row) for row in cells)
    book, faults = tried("csv", text)
    assert all(line + 1 <= one.line <= 4 for one in faults)
    assert len(book) == 0 if faults else len(book) in {2, 3}  # two, where a row became another one


@given(st.sampled_from([("json", JSON), ("csv", CSV), ("x12", X12), ("json", SNAPSHOT)]), st.data())
def test_no_text_makes_a_reader_fail(document: tuple[str, str], data: st.DataObject) -> None:
    form, text = document
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    damaged = text[:start] + data.draw(st.text(max_size=8)) + text[end:]
    for terms in (UTC, REST._replace(needs_lot=True, means="adds")):
        for what in (damaged, damaged.encode(), damaged.encode("utf-16")):
            report = read(terms, form, what, TABLE)
            assert all(one.text and one.line >= 0 for one in report.faults)
            assert report.source == "wms"


@given(st.sampled_from(["json", "csv", "x12"]), st.binary(max_size=200))
def test_no_bytes_make_a_reader_fail(form: str, data: bytes) -> None:
    report = read(UTC, form, data, TABLE)
    assert (report.rows, report.snapshots) == ((), ())
