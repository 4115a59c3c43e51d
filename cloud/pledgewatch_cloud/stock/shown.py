"""The stock book as it is shown: what there is, how it came to that, how fast it sells, and what matches nothing.

Quantities are whole thousandths of the unit throughout.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.stock.periods import Period
from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.stock.stock_book import StockBook

LENGTHS = ("day", "month")
COLUMNS = (*("opening", "received", "shipped", "sold", "returned", "adjusted", "moved", "unreconciled", "closing"),)
"""The lines of a period, which foot: the last is the sum of the others."""
TABLE_COLUMNS = (*StockKey._fields, "period", *(f"{name}_milli" for name in COLUMNS))


class Wanted(NamedTuple):
    """Which goods are asked for; what is empty may be anything."""

    warehouse: str = ""
    owner: str = ""
    sku: str = ""
    bin: str = ""
    unit: str = ""


def keys_of(book: StockBook, wanted: Wanted) -> list[StockKey]:
    """The keys that are asked for, in order."""
    return [
        key for key in book.known_keys() if all(part in ("", found) for part, found in zip(wanted, key, strict=True))
    ]


def on_hand(book: StockBook, key: StockKey, at_ms: int | None) -> dict[str, Any]:
    """What there is of a key, at a moment or after all that is known, by lot; and what counts found beyond the rest."""
    until = () if at_ms is None else (at_ms,)
    return {
        **key._asdict(),
        "on_hand_milli": book.on_hand_milli(key, *until),
        "unreconciled_milli": book.unreconciled_milli(key, *until),
        "lots": [lot._asdict() for lot in book.lots(key, *until)],
    }


def periods(book: StockBook, key: StockKey, length: str) -> dict[str, Any]:
    """The roll-forward of a key by one of LENGTHS. `before` is what was folded, None where nothing was."""
    before = book.before(key)
    return {
        **key._asdict(),
        "before": {"until_ms": before.until_ms, **_lines(before)} if _says_something(before) else None,
        "periods": [
            {"name": one.name, "from_ms": one.from_ms, "until_ms": one.until_ms, **_lines(one)}
            for one in book.periods(key, length)
        ],
    }


def periods_rows(book: StockBook, keys: Iterable[StockKey], length: str) -> Iterator[tuple[object, ...]]:
    """The same as rows of a table of TABLE_COLUMNS, one for each key and period, what was folded under the name
    `before`."""
    for key in keys:
        before = book.before(key)
        for one in [*([before] if _says_something(before) else []), *book.periods(key, length)]:
            yield (*key, one.name, *_lines(one).values())


def sell_through(book: StockBook, keys: Iterable[StockKey], until_ms: int, days: int) -> list[dict[str, Any]]:
    """How much of goods is sold a day, over the days up to a moment, less what came back; and how many days what there
    is then lasts at that, rounded down, None where nothing was sold. Of all bins together."""
    there: dict[tuple[str, str, str, str], int] = {}
    for key in keys:
        goods = (key.warehouse, key.owner, key.sku, key.unit)
        there[goods] = there.get(goods, 0) + book.on_hand_milli(key, until_ms)
    found = []
    for goods, on_hand_milli in there.items():
        warehouse, owner, sku, unit = goods
        sold = book.sold_milli_per_day(warehouse, owner, sku, unit, until_ms, days)
        found.append(
            {
                "warehouse": warehouse,
                "owner": owner,
                "sku": sku,
                "unit": unit,
                "on_hand_milli": on_hand_milli,
                "sold_milli_per_day": sold,
                "lasts_days": max(0, on_hand_milli) // sold if sold else None,
            }
        )
    return found


def unmatched(book: StockBook) -> list[dict[str, Any]]:
    """Rows that take back what is not here; see StockBook.unmatched."""
    return [
        {"source": source, "id": row.id, "at_ms": row.at_ms, "cancels": row.cancels, "reason": row.reason}
        for source, row in book.unmatched()
    ]


def _lines(period: Period) -> dict[str, int]:
    return {f"{name}_milli": getattr(period, name) for name in COLUMNS}


def _says_something(period: Period) -> bool:
    return any(_lines(period).values())
