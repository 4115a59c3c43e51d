"""What is sold: SKU, quantity, time, from a real shop's data or from dice. Both give the same kind of rows.

The real data is the UCI Online Retail set as a CSV (gzip or plain), with the columns InvoiceNo, StockCode, Quantity,
InvoiceDate, UnitPrice. Taken are sales (a price, a positive quantity) and what was brought back (an invoice that begins
with C, a negative quantity); what is no goods by its code (postage, fees, vouchers) or has no price (write-offs) is
left out. The first day of the data becomes the first day of the story, and each time of day stays.

The dice sell on week days and at weekends alike from 8 to 18 o'clock, each SKU at a rate of its own, a few pieces at a
time (geometric), and one in fifty is brought back.
"""

import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

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
    packed = path.read_bytes()
    try:
        text = (gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed).decode("utf-8")
        rows = list(csv.DictReader(text.splitlines()))
        first_day = date.fromisoformat(min(row["InvoiceDate"][:10] for row in rows))
        end = (first_day + timedelta(days)).isoformat()
        told = [_sale(row, first_day) for row in rows if row["InvoiceDate"] < end and _is_goods(row)]
    except (KeyError, ValueError, TypeError, EOFError) as error:
        raise SalesError(f"{path}: is no table of sales as UCI Online Retail ({error!r})") from None
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


def _is_goods(row: dict[str, str]) -> bool:
    code, quantity = row["StockCode"], int(row["Quantity"])
    is_brought_back = row["InvoiceNo"].startswith("C")
    return code[:5].isdigit() and float(row["UnitPrice"]) > 0 and (quantity < 0) == is_brought_back and quantity != 0


def _sale(row: dict[str, str], first_day: date) -> Sale:
    after = datetime.fromisoformat(row["InvoiceDate"]) - datetime.combine(first_day, time())
    return Sale(after // timedelta(milliseconds=1), row["StockCode"], int(row["Quantity"]))


def _most_sold(sales: Iterable[Sale], skus: int) -> set[str]:
    counts = Counter(one.sku for one in sales)
    return set(sorted(counts, key=lambda sku: (-counts[sku], sku))[:skus])
