"""The folders into which the stock system writes its files at the end of each day: `csv` and `x12`.

Both tell the same day, so a source of the book is given one of them and not both. A file appears whole, by rename, and
is never touched again.
"""

from datetime import UTC, datetime
from pathlib import Path

from pledgewatch_sim.warehouse.sales import DAY_MS
from pledgewatch_sim.warehouse.stock_forms import csv_document, x12_document
from pledgewatch_sim.warehouse.wms import StockSystem


class Drop:
    """The folders. `next_ms` is the midnight at which the next files are due."""

    def __init__(self, folder: Path, stock_system: StockSystem, start_ms: int) -> None:
        self._folder = folder
        self._stock_system = stock_system
        self._told = 0
        self._days = 0
        self.next_ms = start_ms + DAY_MS

    def write_until(self, now_ms: int) -> list[Path]:
        """Write the files of all days that have ended. Called before what is booked after them. Raises OSError."""
        found: list[Path] = []
        while self.next_ms <= now_ms:
            found += self._write(self.next_ms)
            self.next_ms += DAY_MS
        return found

    def _write(self, midnight_ms: int) -> list[Path]:
        """What was booked on the day that ends, and what is on hand at its last millisecond."""
        self._days += 1
        bookings = self._stock_system.after(self._told, self._stock_system.newest)
        self._told = self._stock_system.newest
        day = f"{datetime.fromtimestamp(midnight_ms / 1_000 - 1, UTC):%Y-%m-%d}"
        x12 = x12_document(bookings, self._stock_system.on_hand(), midnight_ms - 1, self._days)
        return [
            _replaced(self._folder / "csv" / f"movements-{day}.csv", csv_document(bookings)),
            _replaced(self._folder / "x12" / f"stock-{day}.edi", x12),
        ]


def _replaced(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(data)
    fresh.replace(path)
    return path
