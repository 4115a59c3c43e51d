"""A real shop's four months of sales in the stock book: 142,083 rows of the UCI Online Retail data, every class of them
treated, and every total worked out here again without the book.

What the rows are: sales; returns, under an invoice that begins with C and with a negative quantity; stock written off
(a negative quantity at no price, with or without a word as "damages"); stock booked in (a positive one at no price and
for no customer); goods given to a customer for nothing, which are gone as if sold; bad debt, under an invoice that
begins with A (the whole data has three, these months none); postage, fees, discounts, vouchers, which are no goods;
and rows that say the same as another of the same invoice.
"""

import csv
import gzip
import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from needed import DATA, needs
from stocking import assert_faults

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.moments import moment_ms
from pledgewatch_cloud.decide.stock import csv_form
from pledgewatch_cloud.decide.stock.csv_form import CsvMapping
from pledgewatch_cloud.decide.stock.intake import admitted
from pledgewatch_cloud.decide.stock.rows import Report, Terms
from pledgewatch_cloud.decide.stock.stock_book import StockBook

FOLDER = "retail-uci"
FILE = DATA / FOLDER / "online_retail_2010-12_2011-03.csv.gz"
RECEIVED_MS = moment_ms("received", "2011-04-01T00:00:00Z")
NO_GOODS = "POST|DOT|M|m|D|S|C2|BANK CHARGES|AMAZONFEE|gift_.*"
FREE = r"0(\.0+)?"
FEES, BAD_DEBT = "postage, fees, discounts, samples, vouchers", "bad debt"
RULES = [
    {"when": {"StockCode": NO_GOODS}, "kind": "left_out", "reason": FEES},
    {"when": {"InvoiceNo": "A.*"}, "kind": "left_out", "reason": BAD_DEBT},
    {"when": {"InvoiceNo": "C.*", "Quantity": "-.*"}, "kind": "returned", "turned": 1},
    {"when": {"Quantity": "-.*", "UnitPrice": FREE}, "kind": "adjusted", "reason": "written off"},
    {"when": {"UnitPrice": FREE, "CustomerID": ""}, "kind": "adjusted", "signed": 1, "reason": "booked in"},
    {"when": {}, "kind": "sold"},
]
READ_BY = {
    "columns": {"sku": "StockCode", "quantity": "Quantity", "at": "InvoiceDate", "reason": "Description"},
    "fixed": {"unit": "EA"},
    "rules": RULES,
    "repeats": "each",
}
TERMS = {"warehouse": "uk-1", "means": "adds", "units": {"EA": "piece"}, "owner": "shop", "bin": "FLOOR"}
DOCUMENT: dict[str, Any] = {
    "parties": [{"id": one, "name": one} for one in ("uk-1", "shop")],
    "warehouses": [{"id": "uk-1"}],
    "stock_sources": [{"id": "shop", **TERMS, "utc_offset_minutes": 0, "csv": READ_BY}],
}


def of_the_book() -> tuple[Terms, CsvMapping]:
    """The shop's terms and mapping, as the book has them."""
    source = book_module.amend(book_module.empty(), DOCUMENT).stock_sources["shop"]
    assert source.mapping is not None
    return source.terms, source.mapping


SHOP, MAPPING = of_the_book()
COLUMNS = ("sold", "returned", "adjusted")
TOTALS = {"sold": 1_406_651, "returned": 102_737, "adjusted": -25_018}
"""Units, by three SQL queries over the file: no part of this repository had a hand in them."""
Totals = Mapping[tuple[str, str], Counter[str]]
"""Units by column, of each SKU and period."""

pytestmark = needs(FOLDER)


class Shop(NamedTuple):
    rows: list[dict[str, str]]
    files: list[bytes]
    reports: list[Report]
    book: StockBook


def in_files(lines: list[str]) -> list[bytes]:
    """The data as a file a day, as a shop would send it."""
    header, *rest = lines
    days: dict[str, list[str]] = defaultdict(list)
    for line in rest:
        days[re.findall(r",(\d{4}-\d\d-\d\d) \d\d:\d\d:\d\d,", line)[-1]].append(line)
    return ["".join([header, *days[day]]).encode() for day in sorted(days)]


def read(mapping: CsvMapping, file: bytes, book: StockBook) -> Report:
    report = csv_form.read(SHOP, mapping, file)
    assert report.faults == ()
    return admitted(SHOP, report, book, RECEIVED_MS)


def taken(reports: list[Report]) -> StockBook:
    book = StockBook()
    for one in reports:
        book = book.taken(one)
    return book


@pytest.fixture(scope="module")
def shop() -> Shop:
    lines = gzip.decompress(FILE.read_bytes()).decode().splitlines(keepends=True)
    rows = list(csv.DictReader(lines))
    files = in_files(lines)
    reports = [read(MAPPING, file, StockBook()) for file in files]
    return Shop(rows, files, reports, taken(reports))


def class_of(row: dict[str, str]) -> str:
    """What a row is, told here by other marks than the rules: the price as a number, the code's digits."""
    code, units = row["StockCode"], int(row["Quantity"])
    if not (re.match(r"\d{5}", code) or code.startswith("DCGS")):
        return "no goods"
    if row["InvoiceNo"].startswith("A"):
        return "bad debt"
    if row["InvoiceNo"].startswith("C"):
        return "returned"
    if float(row["UnitPrice"]) == 0 and (units < 0 or not row["CustomerID"]):
        return "adjusted"
    assert units > 0
    return "sold"


def worked_out(rows: list[dict[str, str]], length: int) -> Totals:
    """Units by class, of each SKU and period; the period is so many characters of the time."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        kind = class_of(row)
        if kind in COLUMNS:
            units = int(row["Quantity"])
            found[row["StockCode"], row["InvoiceDate"][:length]][kind] += -units if kind == "returned" else units
    return found


def assert_foots(book: StockBook, wanted: Totals, length: str) -> None:
    found = dict[tuple[str, str], Counter[str]]()
    for key in book.known_keys():
        closing = 0
        for period in book.periods(key, length):
            assert period.opening == closing
            moves = -period.sold + period.returned + period.adjusted
            assert (period.received, period.shipped, period.moved, period.unreconciled) == (0, 0, 0, 0)
            assert period.closing == period.opening + moves
            closing = period.closing
            found[key.sku, period.name] = Counter({name: getattr(period, name) // 1_000 for name in COLUMNS})
        assert closing == book.on_hand_milli(key)
    assert found == wanted  # a Counter without a name counts nothing of it


def test_every_class_of_rows_is_there_as_told(shop: Shop) -> None:
    classes = Counter(class_of(row) for row in shop.rows)
    assert classes == {"sold": 138_043, "returned": 2_437, "adjusted": 775, "no goods": 828}
    assert sum(classes.values()) == 142_083


def test_every_row_is_booked_or_left_out_with_its_reason(shop: Shop) -> None:
    classes = Counter(class_of(row) for row in shop.rows)
    kinds = Counter(row.kind for one in shop.reports for row in one.rows)
    left_out = Counter[str]()
    for one in shop.reports:
        left_out.update({some.reason: some.rows for some in one.left_out})
    assert kinds == {name: classes[name] for name in COLUMNS}
    assert left_out == {FEES: classes["no goods"]}
    assert len(shop.book) == sum(kinds.values())
    assert shop.book.unmatched() == []


@pytest.mark.parametrize(("length", "characters"), [("day", 10), ("month", 7)])
def test_the_roll_forward_foots_to_what_the_raw_rows_add_up_to(shop: Shop, length: str, characters: int) -> None:
    assert_foots(shop.book, worked_out(shop.rows, characters), length)


def test_the_grand_totals_are_what_another_tool_found(shop: Shop) -> None:
    months = [period for key in shop.book.known_keys() for period in shop.book.periods(key, "month")]
    totals = {name: sum(getattr(one, name) for one in months) // 1_000 for name in COLUMNS}
    assert totals == TOTALS
    assert sum(shop.book.on_hand_milli(key) for key in shop.book.known_keys()) == 1_000 * (
        TOTALS["returned"] + TOTALS["adjusted"] - TOTALS["sold"]
    )


def test_reading_the_same_files_again_changes_nothing(shop: Shop) -> None:
    for file, report in zip(shop.files[:12], shop.reports, strict=False):
        again = read(MAPPING, file, shop.book)
        assert (again.rows, again.left_out) == ((), report.left_out)
    for one in shop.reports:
        assert shop.book.taken(one) is shop.book


def test_the_order_of_files_means_nothing(shop: Shop) -> None:
    some = shop.reports[:30]
    order = [*some, *some[::7]]
    random.Random(7).shuffle(order)
    assert order[: len(some)] != some
    assert taken(order) == taken(some)


def test_rows_that_repeat_count_as_the_mapping_says_and_are_refused_where_it_does_not(shop: Shop) -> None:
    """A day with repeats: each is another line of the invoice, or all are one, or the second is a fault at its line."""
    file = next(one for one in shop.files if len(set(one.splitlines())) < len(one.splitlines()))
    lines = file.decode().splitlines(keepends=True)
    rows = list(csv.DictReader(lines))
    once = list(csv.DictReader(dict.fromkeys(lines)))
    assert len(once) < len(rows)
    assert_foots(StockBook().taken(read(MAPPING, file, StockBook())), worked_out(rows, 10), "day")
    report = read(MAPPING._replace(repeats="once"), file, StockBook())
    assert_foots(StockBook().taken(report), worked_out(once, 10), "day")
    assert {one.reason: one.rows for one in report.left_out}["repeats another row"] == len(rows) - len(once)
    seen = dict[str, int]()
    wanted = []
    for number, line in enumerate(lines[1:], 2):
        if line in seen and class_of(rows[number - 2]) in COLUMNS:
            wanted.append((number, f"says the same as line {seen[line]}: "))
        seen.setdefault(line, number)
    assert_faults(csv_form.read(SHOP, MAPPING._replace(repeats="refused"), file).faults, *wanted)


def test_a_file_that_is_cut_off_is_refused_whole(shop: Shop) -> None:
    report = csv_form.read(SHOP, MAPPING, shop.files[0][:-20])
    assert [(one.line, "has no end" in one.text) for one in report.faults] == [(len(shop.files[0].splitlines()), True)]
    assert report.rows == ()


def test_folding_two_months_leaves_the_others_as_they_were(shop: Shop) -> None:
    horizon_ms = moment_ms("horizon", "2011-02-01T00:00:00Z")
    folded = shop.book.folded(horizon_ms)
    for key in shop.book.known_keys()[::10]:
        later = [one for one in shop.book.periods(key, "month") if one.from_ms >= horizon_ms]
        assert folded.periods(key, "month") == later
        before = [one for one in shop.book.periods(key, "month") if one.from_ms < horizon_ms]
        assert folded.before(key).sold == sum(one.sold for one in before)
        assert folded.on_hand_milli(key) == shop.book.on_hand_milli(key)
    assert 0 < len(folded) < len(shop.book)
