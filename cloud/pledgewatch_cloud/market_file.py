"""Quotes from files: the tables that banks and agencies publish, made into documents of quotes.

Three forms are read. The European Central Bank's reference rates have a row for each day and a column for each
currency; a hole in a column is a day without a rate, and a column that stays empty is a currency that was given up. A
plain table says in each row what it is about. A table of prices has a column for each kind of goods, and one is picked.
(A document in JSON is taken as it is.)

A table is believed only as far as it is whole: a row of another width than the header has its numbers under the wrong
names, a day that is none or a number that is none is a slip, and every one of them is told with its line. What comes
out is what a market keeps: of each series the newest quotes.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from pledgewatch_cloud.book_file import DocumentError, strict_json
from pledgewatch_cloud.decide.currencies import EXPONENTS
from pledgewatch_cloud.decide.market import (
    QUOTES_KEPT,
    MarketError,
    PriceQuote,
    RateQuote,
    day_of,
    day_text,
    price_quote,
    rate_quote,
)

KINDS = ("ecb", "csv", "json")
MAX_FILE_BYTES = 64 * 1024 * 1024
WITHDRAWN_AFTER_ROWS = 30
"""A currency that has had no rate for so many days is withdrawn; fewer may be a holiday or a pause."""
DECIMALS = 6
"""What is kept of a price in a table of prices: such tables hold averages with digits that nobody quoted."""

_WHOLE = re.compile("[0-9]{1,18}")
"""More digits are no number of units, and are refused as they stand."""
_HOLES = frozenset({"", "N/A"})
_COLUMNS = {
    "prices": ({"date", "series", "price", "currency"}, {"per"}),
    "rates": ({"date", "currency", "rate"}, set[str]()),
}
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

Found = tuple[int, dict[str, Any]]
"""A line and the item of a document in it."""
Reader = Callable[[str, object], tuple[str, PriceQuote | RateQuote]]
_READERS: dict[str, Reader] = {"prices": price_quote, "rates": rate_quote}


class MarketFileError(ValueError):
    """A file that cannot be taken. `errors` holds one sentence for each fault: file, line, what is wrong, the cure."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors[:20]) + (f"; and {len(errors) - 20} more" if len(errors) > 20 else ""))
        self.errors = tuple(errors)


class _Table(NamedTuple):
    """A CSV file: its header and its rows, each with its line."""

    path: Path
    header_line: int
    header: list[str]
    rows: list[tuple[int, list[str]]]


def read_market_file(path: Path, kind: str | None = None, until: str | None = None) -> dict[str, Any]:
    """The document of quotes in a file of one of KINDS; None: as its ending and its header show.

    `until`: only what is dated up to this day, as 2026-01-31 (a table's, not a document's). Raises OSError, or
    MarketFileError with all faults.
    """
    if kind not in (None, *KINDS):
        raise MarketFileError([f"{path}: {kind!r} is no kind of file; there are {', '.join(KINDS)}"])
    if kind == "json" or (kind is None and path.suffix.lower() == ".json"):
        if until is not None:
            raise MarketFileError([f"{path}: a document in JSON is taken whole; leave `until` out"])
        return _json(path)
    table = _table(path)
    if kind == "ecb" or (kind is None and _is_ecb(table.header)):
        return {"rates": _document(table, "rates", _ecb(table), until)}
    section = _section(table)
    return {section: _document(table, section, _plain(table), until)}


def read_price_table(
    path: Path,
    column: str,
    series: str,
    currency: str,
    per: int = 1,
    *,
    decimals: int = DECIMALS,
    until: str | None = None,
) -> dict[str, Any]:
    """The document of quotes in one column of a CSV file that has a column `Date`; empty cells say nothing.

    The column holds the price of `per` units in the currency's major unit. Of its decimals the first `decimals` are
    kept (rounded down). `until`: only what is dated up to this day. Raises OSError, or MarketFileError with all faults.
    """
    table = _table(path)
    places = [[name.casefold() for name in table.header].index("date")] if _has_date(table) else []
    places += [place for place, name in enumerate(table.header) if name == column]
    if len(places) != 2:
        names = ", ".join(table.header)
        text = f"one column Date and one {column!r} are needed; there are {names}"
        raise MarketFileError([f"{path}:{table.header_line}: {text}"])
    at, of = places
    found = (
        (line, {"date": row[at], "series": series, "price": _cut(row[of], decimals), "currency": currency, "per": per})
        for line, row in table.rows
        if row[of] not in _HOLES
    )
    return {"prices": _document(table, "prices", found, until)}


def _cut(number: str, decimals: int) -> str:
    """A number with at most so many decimals, rounded down (no price is below 0); what is no number as it is."""
    whole, _, fraction = number.partition(".")
    if not (fraction.isascii() and fraction.isdigit()):
        return number
    return f"{whole}.{fraction[:decimals]}" if decimals else whole


def _json(path: Path) -> dict[str, Any]:
    try:
        document = strict_json(_text(path))
    except DocumentError as error:
        raise MarketFileError([f"{path}: {error}"]) from None
    if not isinstance(document, dict):
        raise MarketFileError([f"{path}: an object with prices, rates or both is needed"])
    return document


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise MarketFileError([f"{path}: more than {MAX_FILE_BYTES} bytes: split it"])
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MarketFileError([f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8"]) from None


def _table(path: Path) -> _Table:
    """A CSV file whose rows are all as wide as its header; cells are stripped, a comma at the end is no column."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        rows = list(_rows(reader))
    except csv.Error as error:
        raise MarketFileError([f"{path}:{reader.line_num}: no CSV: {error}"]) from None
    if not rows:
        raise MarketFileError([f"{path}: empty; a header with the names of columns is needed"])
    (header_line, header), *rest = rows
    faults = [
        f"{path}:{line}: {len(row)} columns where the header has {len(header)}: each number needs its name"
        for line, row in rest
        if len(row) != len(header)
    ]
    if not header[-1]:
        header = header[:-1]
        faults += [f"{path}:{line}: {row[-1]!r} stands in a column without a name" for line, row in rest if row[-1]]
        rest = [(line, row[:-1]) for line, row in rest]
    if faults:
        raise MarketFileError(faults)
    return _Table(path, header_line, header, rest)


def _rows(reader: Any) -> Iterator[tuple[int, list[str]]]:
    for row in reader:
        if row:
            yield reader.line_num, [cell.strip() for cell in row]


def _has_date(table: _Table) -> bool:
    return [name.casefold() for name in table.header].count("date") == 1


def _is_ecb(header: list[str]) -> bool:
    first, *others = header
    return first.casefold() == "date" and bool(others) and all(len(one) == 3 and one.isupper() for one in others)


def _ecb(table: _Table) -> Iterator[Found]:
    """Every rate in the table, and the end of every currency that was given up."""
    _, *currencies = _ecb_header(table)
    rows = _by_day(table)
    for place, currency in enumerate(currencies, start=1):
        newest = -1
        for number, (day, line, cells) in enumerate(rows):
            if cells[place] not in _HOLES:
                newest = number
                yield line, {"currency": currency, "date": day, "rate": cells[place]}
        if 0 <= newest < len(rows) - WITHDRAWN_AFTER_ROWS:
            day, line, _ = rows[newest + 1]
            yield line, {"currency": currency, "date": day, "withdrawn": True}


def _by_day(table: _Table) -> list[tuple[str, int, list[str]]]:
    """The rows of the table with their days, oldest first."""
    rows = sorted((_iso(cells[0]), line, cells) for line, cells in table.rows)
    faults = [
        f"{table.path}:{line}: date: {day!r} is not a day, as 2026-01-31"
        for day, line, _ in rows
        if day_of(day) is None
    ]
    faults += [
        f"{table.path}:{line}: {day} comes twice, first in line {line_before}"
        for (day_before, line_before, _), (day, line, _) in pairwise(rows)
        if day == day_before
    ]
    if faults:
        raise MarketFileError(faults)
    return rows


def _ecb_header(table: _Table) -> list[str]:
    where = f"{table.path}:{table.header_line}"
    if not _is_ecb(table.header):
        raise MarketFileError([f"{where}: a header like Date,USD,JPY is needed, currencies by their ISO 4217 codes"])
    faults = [f"{where}: {one} is no currency of ISO 4217" for one in table.header[1:] if one not in EXPONENTS]
    faults += [f"{where}: {one} has two columns" for one in EXPONENTS if table.header.count(one) > 1]
    if faults:
        raise MarketFileError(faults)
    return table.header


def _iso(text: str) -> str:
    """A day as 2026-01-31. The file of one day writes 31 January 2026; what is neither is left as it is."""
    day, _, rest = text.partition(" ")
    month, _, year = rest.partition(" ")
    return f"{year}-{_MONTHS.index(month) + 1:02}-{day.zfill(2)}" if month in _MONTHS else text


def _section(table: _Table) -> str:
    """What a plain table is about, by its header."""
    names = [name.casefold() for name in table.header]
    for section, (needed, allowed) in _COLUMNS.items():
        if needed <= set(names) <= needed | allowed and len(set(names)) == len(names):
            return section
    text = "a header date,series,price,currency (and per) or date,currency,rate is needed"
    cure = "read one column of a table of prices by its name; separate columns by commas"
    raise MarketFileError([f"{table.path}:{table.header_line}: {text}; {cure}"])


def _plain(table: _Table) -> Iterator[Found]:
    names = [name.casefold() for name in table.header]
    for line, cells in table.rows:
        item: dict[str, Any] = {name: cell for name, cell in zip(names, cells, strict=True) if cell}
        if _WHOLE.fullmatch(item.get("per", "")):
            item["per"] = int(item["per"])
        yield line, item


def _document(table: _Table, section: str, found: Iterable[Found], until: str | None) -> list[dict[str, Any]]:
    """A section of a document: by name and day, up to `until`, the newest QUOTES_KEPT of each name."""
    last = None if until is None else day_of(until)
    if until is not None and last is None:
        raise MarketFileError([f"{table.path}: until: {until!r} is not a day, as 2026-01-31"])
    faults: list[str] = []
    by_name: dict[str, dict[int, Found]] = {}
    for line, item in found:
        where = f"{table.path}:{line}: "
        try:
            name, quote = _READERS[section]("", item)
        except MarketError as error:
            faults += [where + one.removeprefix(".") for one in error.errors]
            continue
        of_name = by_name.setdefault(name, {})
        if quote.day in of_name:
            faults.append(f"{where}{name} comes twice on {day_text(quote.day)}, first in line {of_name[quote.day][0]}")
        of_name[quote.day] = line, item
    if faults:
        raise MarketFileError(faults)
    return [
        of_name[day][1]
        for _, of_name in sorted(by_name.items())
        for day in sorted(day for day in of_name if last is None or day <= last)[-QUOTES_KEPT:]
    ]
