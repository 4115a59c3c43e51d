"""What is sold: SKU, quantity, time, from a real shop's data or from dice. Both give the same kind of rows.

The real data is the UCI Online Retail set as a CSV (gzip or plain), with the columns InvoiceNo, StockCode, Quantity,
InvoiceDate, UnitPrice. Taken are sales (a price, a positive quantity) and what was brought back (an invoice that begins
with C, a negative quantity); what is no goods by its code (postage, fees, vouchers) or has no price (write-offs) is
left out. The first day of the data becomes the first day of the story, and each time of day stays.

Where it is beside the working folder or the checkout (REAL), it is taken unless something else is said.

The dice sell on week days and at weekends alike from 8 to 18 o'clock, each SKU at a rate of its own, a few pieces at a
time (geometric), and one in fifty is brought back.
"""

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

DICE = "dice"
REAL = Path("shared") / "data" / "retail-uci"
COLUMNS = ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice")
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
_OPENS_MS, _CLOSES_MS = 8 * HOUR_MS, 18 * HOUR_MS
_BROUGHT_BACK = 0.02
_MORE_OF_IT = 0.6


class Sale(NamedTuple):
    """Pieces of a SKU that somebody buys, or brings back (negative), at a moment counted from the story's begin."""

    after_ms: int
    sku: str
    quantity: int


class SalesError(ValueError):
    """A file of sales that cannot be used: which, why, and what would be right."""


def asked_for(told: str | None) -> Path | None:
    """The table of sales that is meant: by its path, none for `dice`, and where nothing is told the real shop's if it
    is beside the working folder or beside the checkout that this file is in."""
    if told is not None:
        return None if told == DICE else Path(told).resolve()
    places = (Path.cwd(), Path(__file__).resolve().parents[3])
    return next((one for place in places for one in sorted((place.parent / REAL).glob("*.csv*"))), None)


def of_dice(seed: int, days: int, skus: int) -> list[Sale]:
    """Sales of so many SKUs over so many days, in order of time."""
    dice = Random(f"{seed}/sales")
    found = []
    for number in range(skus):
        a_day = dice.randint(2, 12)
        for day in range(days):
            for _ in range(a_day):
                after_ms = day * DAY_MS + dice.randrange(_OPENS_MS, _CLOSES_MS)
                sign = -1 if dice.random() < _BROUGHT_BACK else 1
                found.append(Sale(after_ms, f"G-{1_001 + number}", sign * _some(dice)))
    return sorted(found)


def of_file(path: Path, days: int, skus: int) -> list[Sale]:
    """The sales of the first days of a file, of the SKUs with most rows in them, in order of time.

    Raises SalesError, OSError.
    """
    rows = _rows(path)
    start = datetime.combine(min(row.at for row in rows), time())
    end = start + timedelta(days)
    told = [_sale(row, start) for row in rows if row.at < end and _is_goods(row)]
    taken = _most_sold(told, skus)
    return sorted(one for one in told if one.sku in taken)


def a_day(sales: Sequence[Sale], days: int) -> dict[str, int]:
    """How many pieces of each SKU are sold on a mean day, rounded up, at least one."""
    sold = Counter[str]()
    for one in sales:
        sold[one.sku] += max(0, one.quantity)
    return {sku: max(1, -(-pieces // days)) for sku, pieces in sorted(sold.items())}


def _some(dice: Random) -> int:
    pieces = 1
    while dice.random() < _MORE_OF_IT:
        pieces += 1
    return pieces


class _Row(NamedTuple):
    invoice: str
    code: str
    quantity: int
    at: datetime
    price: float


def _rows(path: Path) -> list[_Row]:
    """The rows of a table, one at least. Raises SalesError, OSError."""
    packed = path.read_bytes()
    what = f"{path}: is no table of sales as UCI Online Retail:"
    try:
        text = (gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed).decode("utf-8")
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SalesError(f"{what} {error}") from None
    lines = csv.DictReader(text.splitlines())
    if missing := [name for name in COLUMNS if name not in (lines.fieldnames or ())]:
        raise SalesError(f"{what} it has no column {missing[0]}; there have to be {', '.join(COLUMNS)}")
    found = []
    try:
        for row in lines:
            invoice, code, quantity, at, price = (row[name] or "" for name in COLUMNS)
            moment = datetime.fromisoformat(at).replace(tzinfo=None)
            found.append(_Row(invoice, code, int(quantity), moment, float(price)))
    except (ValueError, csv.Error) as error:
        raise SalesError(f"{what} line {lines.line_num}: {error}") from None
    if not found:
        raise SalesError(f"{what} it has these columns and no row; name another, or dice")
    return found


def _is_goods(row: _Row) -> bool:
    is_brought_back = row.invoice.startswith("C")
    return row.code[:5].isdigit() and row.price > 0 and (row.quantity < 0) == is_brought_back and row.quantity != 0


def _sale(row: _Row, start: datetime) -> Sale:
    return Sale((row.at - start) // timedelta(milliseconds=1), row.code, row.quantity)


def _most_sold(sales: Iterable[Sale], skus: int) -> set[str]:
    counts = Counter(one.sku for one in sales)
    return set(sorted(counts, key=lambda sku: (-counts[sku], sku))[:skus])
