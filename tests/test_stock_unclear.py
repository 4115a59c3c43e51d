"""What a document leaves open is refused, for whoever guesses counts goods twice or loses them: whether an 846 lists
all that there is, which of two rows that bear one id counts, and which row a reference is about."""

import unicodedata

import pytest
from stocking import (
    CHAIR,
    DAY_MS,
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

from pledgewatch_cloud.decide.stock import csv_form, intake
from pledgewatch_cloud.decide.stock.csv_form import CsvMapping
from pledgewatch_cloud.decide.stock.rows import Report, Terms
from pledgewatch_cloud.decide.stock.stock_book import StockBook

UTC = TERMS._replace(utc_offset_minutes=0)
REST = UTC._replace(at_fault="take_rest")
COMPLETE = UTC._replace(inventory_advice="complete")
TABLE = CsvMapping({"id": "no", "kind": "kind", "at": "at", "sku": "sku", "unit": "unit", "quantity": "qty"})
THERE = SOFA._replace(bin="B-07")


def read(text: str | bytes, terms: Terms = UTC, form: str = "x12") -> Report:
    return intake.read(terms, form, text, TABLE)


def handed_in(book: StockBook, text: str, terms: Terms = UTC, at_ms: int = LATER_MS, form: str = "x12") -> StockBook:
    return book.taken(intake.admitted(terms, read(text, terms, form), book, at_ms))


def advice(number: str, day: str, *rows: tuple[str, str, int], owner: str = "DEP1") -> list[str]:
    """An 846 of what lies in bins."""
    loops = [
        (f"LIN*{place}*SK*{sku}", f"REF*WS*{where}", f"QTY*17*{units}*EA")
        for place, (sku, where, units) in enumerate(rows, 1)
    ]
    head = (f"BIA*00*SI*{number}*{day}*1200", f"N1*DE*EXPORTER*92*{owner}")
    return transaction("846", *head, *(one for loop in loops for one in loop), f"CTT*{len(rows)}")


MONDAY = interchange(advice("I-1", "20260301", ("SOFA-3", "A-01", 40), ("CHAIR-1", "A-01", 9)))
TUESDAY = interchange(advice("I-2", "20260302", ("SOFA-3", "B-07", 40)))


def test_an_846_of_all_that_there_is_counts_goods_that_changed_bins_once() -> None:
    book = handed_in(handed_in(StockBook(), MONDAY, COMPLETE), TUESDAY, COMPLETE)
    assert [book.on_hand_milli(key) for key in (SOFA, THERE, CHAIR)] == [0, 40_000, 0]
    assert [book.on_hand_milli(key, NOON_MS + DAY_MS - 1) for key in (SOFA, THERE, CHAIR)] == [40_000, 0, 9_000]


def test_an_846_of_a_part_says_nothing_of_the_rest() -> None:
    book = handed_in(handed_in(StockBook(), MONDAY), TUESDAY)
    assert [book.on_hand_milli(key) for key in (SOFA, THERE, CHAIR)] == [40_000, 40_000, 9_000]


def test_an_846_of_all_that_there_is_is_about_its_owner_only() -> None:
    terms = COMPLETE._replace(owners={"DEP1": "exporter", "DEP2": "rival"})
    book = handed_in(StockBook(), MONDAY, terms)
    book = handed_in(book, interchange(advice("I-2", "20260302", ("SOFA-3", "B-07", 7), owner="DEP2")), terms)
    assert (book.on_hand_milli(SOFA), book.on_hand_milli(THERE._replace(owner="rival"))) == (40_000, 7_000)


def test_an_846_of_all_that_there_is_with_a_fault_in_a_row_is_refused_whole() -> None:
    report = read(MONDAY.replace("9*EA", "9*KG"), COMPLETE)
    assert_faults(report.faults, (4, "nothing of it is taken, for it is complete"), (9, "unit: 'KG' is none of"))
    assert report.snapshots == ()


def test_an_846_is_refused_where_the_book_does_not_say_what_it_leaves_out_and_no_other_set_is() -> None:
    received = transaction("944", "W17*F*20260301*R-17*PO-9**8*1200", "W07*40*EA**SK*SOFA-3", "W14*40")
    report = read(interchange(received) + MONDAY, UTC._replace(inventory_advice=""))
    cure = "goods that it does not list are gone cannot be told: say it in the book, by inventory_advice: complete or"
    assert_faults(report.faults, (13, cure))
    assert (len(report.rows), report.snapshots) == (1, ())


def shipped(order: str, shipment: str = "SH-77", number: str = "0001", units: int = 2) -> list[str]:
    """A 945 of one row."""
    head = (f"W06*F*{order}*20260301*{shipment}", "G62*11*20260301*4*1230*UT")
    return transaction("945", *head, f"W12*CC*{units}*{units}*0*EA**SK*SOFA-3", f"W03*{units}", number=number)


def received(order: str, number: str = "0001", units: int = 40) -> list[str]:
    """A 944 of one row."""
    head = f"W17*F*20260301*R-17*{order}**8*1200"
    return transaction("944", head, f"W07*{units}*EA**SK*SOFA-3", f"W14*{units}", number=number)


def test_two_orders_of_one_shipment_or_receipt_count_both() -> None:
    went = handed_in(StockBook(), interchange(shipped("ORD-5"), shipped("ORD-6", number="0002")))
    assert went.on_hand_milli(SOFA) == -4_000
    again = handed_in(went, interchange(shipped("ORD-6")))
    assert again is went
    came = handed_in(StockBook(), interchange(received("PO-1"), received("PO-2", "0002"), received("", "0003")))
    assert came.on_hand_milli(SOFA) == 120_000


ONE_ROW = "1,received,2026-03-01T12:00:00Z,SOFA-3,EA,40\n"
COUNT = {"id": "S-1", "at": "2026-03-01T12:00:00Z", "rows": [{"sku": "SOFA-3", "unit": "EA", "quantity": "40"}]}
TWICE = [
    ("x12", interchange(shipped("ORD-5"), shipped("ORD-5", number="0002")), 12, "SH-77:ORD-5:1: is the id of line 6"),
    ("x12", interchange(shipped("ORD-5"), shipped("ORD-5", number="0002", units=3)), 12, "is the id of line 6"),
    ("x12", MONDAY + MONDAY, 19, "846:I-1: is the id of line 4 too: which of the two counts? each has its own"),
    ("json", json_text(movements=[moved_in(), moved_in()]), 3, "M-1: is the id of line 2 too"),
    ("json", json_text(movements=[moved_in(), moved_in()]).replace("\n", ""), 1, "M-1: is the id of line 1 too"),
    ("json", json_text(movements=[moved_in("S-1")], snapshots=[COUNT]), 3, "S-1: is the id of line 2 too"),
    ("csv", f"no,kind,at,sku,unit,qty\n{ONE_ROW}{ONE_ROW}", 3, "1: is the id of line 2 too"),
]


@pytest.mark.parametrize(("form", "text", "line", "part"), TWICE)
def test_an_id_that_comes_twice_in_one_document_is_a_fault(form: str, text: str, line: int, part: str) -> None:
    report = read(text, REST, form)
    assert_faults(report.faults, (line, part))
    assert len(report.rows) + len(report.snapshots) == 1


@pytest.mark.parametrize(
    ("sku", "part"),
    [
        ("Café-3", "3: Café-3: is not taken, for another row of its SKU in the snapshot has a fault"),
        (unicodedata.normalize("NFD", "Café-3"), "3: Café-3: is not taken, for another row of its SKU"),
        (" Café-3", "2: snapshot S-1: nothing of it is taken, for of a row not even the SKU can be read"),
    ],
)
def test_no_half_of_a_count_is_taken_however_its_sku_is_written(sku: str, part: str) -> None:
    rows = [
        {"sku": "Café-3", "unit": "EA", "quantity": "40", "lot": "L1"},
        {"sku": sku, "unit": "EA", "quantity": "4O", "lot": "L2"},
    ]
    report = read(json_text(snapshots=[COUNT | {"rows": rows}]), REST, "json")
    assert any(f"{one.line}: {one.text}".startswith(part) for one in report.faults), report.faults
    assert report.snapshots == ()


HEAD_846 = "BIA*00*SI*I-1*20260301*1200"
HEAD_944, HEAD_945 = "W17*F*20260301*R-17*PO-9**8*1200", "W06*F*ORD-5*20260301*SH-77"
SHIPPED = "G62*11*20260301*4*1230*UT"
REFERENCES = [
    ("944", [HEAD_944, "W07*40*EA**SK*SOFA-3", "N9*WS*B-07", "N9*WS*B-08", "W14*40"], 7, "N9 with WS comes 2 times"),
    ("944", [HEAD_944, "W07*40*EA**SK*SOFA-3", "N9*LT*L1", "N9*LT*L1", "W14*40"], 7, "N9 with LT comes 2 times"),
    ("944", [HEAD_944, "W07*40*EA**SK*SOFA-3***L1", "N9*LT*L2", "W14*40"], 6, "lot: 'L2' here, and 'L1' before"),
    ("944", [HEAD_944, "W07*40*EA**SK*SOFA-3*SK*SOFA-4", "W14*40"], 5, "W07 says SK twice"),
    ("944", [HEAD_944, "N9*WS*B-07", "W07*40*EA**SK*SOFA-3", "W14*40"], 5, "N9 with WS stands in no loop of W07"),
    ("944", [HEAD_944, "W07*40*EA**SK*SOFA-3", "W14*40", "N9*LT*L1"], 7, "N9 with LT stands in no loop of W07"),
    (
        "945",
        [HEAD_945, SHIPPED, "LX*1", "N9*WS*B-07", "W12*CC*2*2*0*EA**SK*SOFA-3", "W03*2"],
        7,
        "N9 with WS stands in no loop of W12: which of them it is about cannot be told: nothing of the set is taken",
    ),
    ("945", [HEAD_945, SHIPPED, "W12*CC*2*2*0*EA**SK*SOFA-3*L1", "N9*LT*L2", "W03*2"], 7, "lot: 'L2' here, and 'L1'"),
    ("846", [HEAD_846, "LIN**SK*SOFA-3*LT*L1*LT*L2", "QTY*17*4*EA", "CTT*1"], 5, "LIN says LT twice"),
    (
        "846",
        [HEAD_846, "LIN**SK*SOFA-3*LT*L1", "REF*LT*L2", "QTY*17*4*EA", "CTT*1"],
        6,
        "lot: 'L2' here, and 'L1' before: which of them is it?",
    ),
    (
        "846",
        [HEAD_846, "LIN**SK*SOFA-3", "DTM*036*20270101", "DTM*036*20280101", "QTY*17*4*EA", "CTT*1"],
        5,
        "expiry: '20270101 or 20280101' is no time",
    ),
    ("846", [HEAD_846, "REF*WS*B-07", "LIN**SK*SOFA-3", "QTY*17*4*EA", "CTT*1"], 5, "no loop of LIN"),
]


@pytest.mark.parametrize(("code", "body", "segment", "part"), REFERENCES)
def test_a_reference_is_refused_where_it_is_not_clear_which_row_it_is_about_or_which_of_two_counts(
    code: str, body: list[str], segment: int, part: str
) -> None:
    report = read(interchange(transaction(code, *body)), REST)
    assert (segment, True) in [(one.line, part in one.text) for one in report.faults], report.faults
    assert (report.rows, report.snapshots) == ((), ())


def test_references_that_say_the_same_as_their_row_and_others_in_a_heading_are_no_fault() -> None:
    body = (HEAD_944, "N9*PO*9", "W07*40*EA**SK*SOFA-3***L1", "N9*LT*L1", "N9*WS*B-07", "W14*40")
    (row,) = read(interchange(transaction("944", *body))).rows
    assert (row.key, row.lot) == (THERE, "L1")


@pytest.mark.parametrize("end", ["\x1a", "\r\n\x1a", "\x1a\x1a"])
def test_the_sign_with_which_dos_ended_files_is_no_part_of_them(end: str) -> None:
    assert read((MONDAY + end).encode()) == read(MONDAY)
    assert read(("\ufeff" + MONDAY + end).encode("utf-16-le")) == read(MONDAY)
    assert_faults(read("\x1a" + MONDAY).faults, (1, "holds the control character '\\x1a'"))


@pytest.mark.parametrize("terms", [UTC, REST])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
def test_a_table_whose_last_line_has_no_end_is_refused_whole(terms: Terms, encoding: str, end: str) -> None:
    cut = f"no,kind,at,sku,unit,qty\n{ONE_ROW}2{ONE_ROW[1:-2]}"
    report = read((cut + end).encode(encoding), terms, "csv")
    if end:
        assert report.faults == ()
        assert [row.quantity_milli for row in report.rows] == [40_000, 4_000]
    else:
        assert_faults(
            report.faults, (3, "the last line has no end: was it cut? end the line, or have the source write a")
        )
        assert report.rows == ()


def test_a_trailer_shows_by_itself_that_a_table_is_whole() -> None:
    text = f"no,kind,at,sku,unit,qty\n{ONE_ROW}SUM,1,40"
    assert len(csv_form.read(UTC, TABLE._replace(trailer="SUM"), text).rows) == 1
    for cut in (text[:-1], text[: text.index("SUM")]):
        assert csv_form.read(UTC, TABLE._replace(trailer="SUM"), cut).rows == ()


def test_a_trailer_is_held_against_rows_that_are_too_short_for_their_quantity() -> None:
    text = f"no,kind,at,sku,unit,qty\n{ONE_ROW}2,received\nSUM,2,40\n"
    report = csv_form.read(REST, TABLE._replace(trailer="SUM"), text)
    assert_faults(report.faults, (3, "2 cells where the header has 6: is a delimiter unquoted?"))
    assert [row.id for row in report.rows] == ["1"]


def test_a_control_number_of_a_group_that_comes_twice_is_refused_whole() -> None:
    group = interchange(received("PO-1")).splitlines()[1:-1]
    head, end = interchange(received("PO-1")).splitlines()[0], "IEA*2*000000001~"
    again = [one.replace("R-17", "R-18") for one in group]
    other = [one.replace("*7*X*", "*8*X*").replace("GE*1*7", "GE*1*8") for one in again]
    assert len(read("\n".join([head, *group, *other, end])).rows) == 2
    twice = read("\n".join([head, *group, *again, end]))
    assert_faults(twice.faults, (9, "GS06 7 is another group's: which one counts?"))
    assert twice.rows == ()
