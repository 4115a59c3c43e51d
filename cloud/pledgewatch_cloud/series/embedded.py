"""Series in SQLite, beside the journal: what each channel of each asset said over time, clustered by asset and time.

Never the truth: it follows the journal by a cursor that is committed together with the points, so a crash repeats or
loses nothing, and deleting the file builds it again.
"""

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_wire.reading import Channel

FILE_NAME = "series.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cursor (one INTEGER PRIMARY KEY CHECK (one = 1), journal TEXT NOT NULL, entry INTEGER NOT
NULL); CREATE TABLE IF NOT EXISTS point (
    asset TEXT NOT NULL, channel INTEGER NOT NULL, measured_at_ms INTEGER NOT NULL,
    device TEXT NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
    value INTEGER NOT NULL, quality INTEGER NOT NULL,
    PRIMARY KEY (asset, channel, measured_at_ms, device, epoch, sequence)) WITHOUT ROWID;
"""


class Point(NamedTuple):
    """One value of one channel. `value` counts the channel's unit; `quality` is a wire Quality."""

    measured_at_ms: int
    value: int
    quality: int


class EmbeddedSeries:
    """Points by asset and channel. Safe to call from several threads."""

    def __init__(self, folder: Path, journal: str) -> None:
        """Open the series of a journal; those of another journal in the folder are dropped."""
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(folder / FILE_NAME, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)
        row = self._connection.execute("SELECT journal FROM cursor").fetchone()
        if row is not None and row[0] != journal:
            self._connection.executescript("DELETE FROM point; DELETE FROM cursor;")
        self._connection.execute("INSERT OR IGNORE INTO cursor VALUES (1, ?, 0)", (journal,))

    @property
    def cursor(self) -> int:
        """The newest entry whose points are in."""
        with self._lock:
            row: tuple[int] = self._connection.execute("SELECT entry FROM cursor").fetchone()
        return row[0]

    def add(self, entry: int, readings: Iterable[tuple[str, AssetReading]]) -> None:
        """Put in the (asset, reading) pairs of the entries up to `entry` and move the cursor there, in one go."""
        rows = [
            (asset, cell.channel, *one.key, cell.value, cell.quality)
            for asset, one in readings
            for cell in one.reading.cells
        ]
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("INSERT OR IGNORE INTO point VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
                self._connection.execute("UPDATE cursor SET entry = ?", (entry,))
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def points(self, asset: str, channel: Channel, from_ms: int, to_ms: int, limit: int) -> list[Point]:
        """The newest `limit` points with from_ms <= measured_at_ms < to_ms, in order of time."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT measured_at_ms, value, quality FROM point WHERE asset = ? AND channel = ?"
                " AND measured_at_ms >= ? AND measured_at_ms < ? ORDER BY measured_at_ms DESC LIMIT ?",
                (asset, channel, from_ms, to_ms, limit),
            ).fetchall()
        return [Point(*row) for row in reversed(rows)]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
