"""What a document leaves open is refused, for whoever guesses counts goods twice or loses them: whether an 846 lists
all that there is."""

from stocking import CHAIR, DAY_MS, LATER_MS, NOON_MS, SOFA, TERMS, assert_faults, interchange, transaction

from pledgewatch_cloud.decide.stock import intake
from pledgewatch_cloud.decide.stock.rows import Report, Terms
from pledgewatch_cloud.decide.stock.stock_book import StockBook

UTC = TERMS._replace(utc_offset_minutes=0)
REST = UTC._replace(at_fault="take_rest")
COMPLETE = UTC._replace(inventory_advice="complete")
THERE = SOFA._replace(bin="B-07")


def read(text: str | bytes, terms: Terms = UTC) -> Report:
    return intake.read(terms, "x12", text)


def handed_in(book: StockBook, text: str, terms: Terms = UTC, at_ms: int = LATER_MS) -> StockBook:
    return book.taken(intake.admitted(terms, read(text, terms), book, at_ms))


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
