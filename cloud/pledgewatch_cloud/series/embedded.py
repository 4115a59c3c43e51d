"""Series in SQLite, beside the journal, so that nothing else need be installed.

Points are clustered by asset and time, in one table for each week of measurement, so that retention drops whole tables.
A row is a chunk: readings of one device within one day, as columns end to end. Points, gauges and the cursor move in
one transaction, so a crash repeats or loses nothing, and deleting the file builds it again.

The newest points of an asset lie in one row, one for each channel: channel, measured_at_ms, sequence, value, quality,
each i64.

    body = 0 | 1 (deflated) ‖ u32 readings ‖ measured_at_ms ‖ sequence ‖ channels (each i64 by reading) ‖ value (i64 by
    cell) ‖ quality (u8 by cell)                                                              all little-endian
"""

import json
import logging
import sqlite3
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pledgewatch_cloud.decide.columns import Numbers, starts_of
from pledgewatch_cloud.series import bookmark
from pledgewatch_cloud.series.series import Bookmark, Gauge, Point, Points, SeriesError, Stretch, Told

log = logging.getLogger(__name__)

FILE_NAME = "series.sqlite"
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
_DEFLATED_FROM_BYTES = 512
_HEAD = struct.Struct("<BI")
_NEWEST_WIDTH = 5
_SHAPE = 2
_NEWEST = "CREATE TABLE IF NOT EXISTS newest_points (asset TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID"


class EmbeddedSeries:
    """The Series in `folder`/series.sqlite; see pledgewatch_cloud.series.series.Series for the contract."""

    def __init__(self, folder: Path, journal: str, *, retention_days: int = 0) -> None:
        """Open the series of a journal; those of another journal in the folder are dropped.

        Weeks that ended more than `retention_days` before the newest point are dropped as it moves on; 0: none are.
        """
        self._journal = journal
        self._retention_ms = retention_days * DAY_MS
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        with self._translated():
            try:
                self._open(folder / FILE_NAME)
            except sqlite3.OperationalError:
                raise  # the disk's trouble, not the file's
            except sqlite3.DatabaseError as error:
                log.warning("%s is damaged (%s); the series are built again", folder / FILE_NAME, error)
                self._connection.close()
                for suffix in ("", "-wal", "-shm"):
                    (folder / f"{FILE_NAME}{suffix}").unlink(missing_ok=True)
                self._open(folder / FILE_NAME)

    def _open(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        with self._transaction() as connection:
            (shape,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(_NEWEST)
            if not bookmark.is_of(connection, self._journal) or shape != _SHAPE:
                self._clear(connection)
            connection.execute("DROP TABLE IF EXISTS last")  # of shape 1
            connection.execute(f"PRAGMA user_version = {_SHAPE}")

    @property
    def cursor(self) -> int:
        """The newest entry whose points are in."""
        return int(self._rows("SELECT entry FROM place")[0][0])

    def bookmark(self) -> Bookmark:
        """Where the feeder goes on; see Series."""
        with self._lock, self._translated():
            return bookmark.read(self._connection)

    def write(self, told: Told) -> None:
        """Put in what entries add; see Series."""
        chunks: dict[int, list[tuple[Any, ...]]] = {}
        for one in _chunks(told.points, told.entry):
            chunks.setdefault(one[1] // WEEK_MS, []).append(one)
        gauges: dict[int, list[tuple[Any, ...]]] = {}
        for gauge in told.gauges:
            row = gauge.kind, gauge.subject, gauge.at_ms, gauge.place, json.dumps(dict(gauge.values))
            gauges.setdefault(gauge.at_ms // WEEK_MS, []).append(row)
        with self._lock, self._translated(), self._transaction() as connection:
            for week in sorted(chunks.keys() | gauges.keys()):
                _make_week(connection, week)
                connection.executemany(
                    f"INSERT OR REPLACE INTO chunk_{week} VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a number
                    chunks.get(week, ()),
                )
                connection.executemany(
                    f"INSERT OR REPLACE INTO gauge_{week} VALUES (?, ?, ?, ?, ?)",  # noqa: S608 - a number
                    gauges.get(week, ()),
                )
            _keep_newest(connection, told.points)
            bookmark.move(connection, told)
            self._forget_old(connection)

    def points(self, asset: str, channel: int, from_ms: int, to_ms: int, limit: int) -> list[Point]:
        """The newest points in a span; see Series."""
        found: list[Point] = []
        for values in self._days_back(asset, channel, from_ms, to_ms):
            found = [*values.points()[max(0, len(found) - limit) :], *found]
            if len(found) >= limit:
                break
        return found[-limit:]

    def stretches(self, asset: str, channel: int, from_ms: int, to_ms: int, step_ms: int) -> list[Stretch]:
        """Good values in steps; see Series."""
        found: dict[int, Stretch] = {}
        for week in self._weeks_of(from_ms, to_ms):
            rows = self._rows(
                f"SELECT device, epoch, body FROM chunk_{week}"  # noqa: S608 - a number
                " WHERE asset = ? AND from_ms > ? AND from_ms < ? AND until_ms >= ?",
                *(asset, from_ms - DAY_MS, to_ms, from_ms),
            )
            for one in _values(rows, channel, from_ms, to_ms).stretches(step_ms):
                found[one.from_ms] = _merged(found[one.from_ms], one) if one.from_ms in found else one
        return [found[from_ms] for from_ms in sorted(found)]

    def last(self, asset: str, until_ms: int) -> dict[int, Point]:
        """The newest point of each channel; see Series."""
        found = {}
        for (body,) in self._rows("SELECT body FROM newest_points WHERE asset = ?", asset):
            for channel, at_ms, _, value, quality in _newest_of(body).tolist():
                if at_ms <= until_ms:
                    found[channel] = Point(at_ms, value, quality)
                elif before := self.points(asset, channel, 0, until_ms + 1, 1):  # a clock that runs ahead
                    found[channel] = before[0]._replace(device="")
        return found

    def gauges(self, kind: str, subject: str, from_ms: int, to_ms: int) -> list[Gauge]:
        """Gauges in a span; see Series."""
        found: list[Gauge] = []
        with self._lock, self._translated():
            for week in self._weeks(from_ms, to_ms):
                rows = self._connection.execute(
                    f"SELECT at_ms, place, body FROM gauge_{week} WHERE kind = ? AND subject = ?"  # noqa: S608 - a number
                    " AND at_ms >= ? AND at_ms < ? ORDER BY at_ms, place",
                    (kind, subject, from_ms, to_ms),
                )
                found += [Gauge(kind, subject, at_ms, place, json.loads(body)) for at_ms, place, body in rows]
        return found

    def init(self) -> str:
        """Nothing more is needed than the file; see Series."""
        kept = f"for {self._retention_ms // DAY_MS} days" if self._retention_ms else "for ever"
        return f"{FILE_NAME} is there; points are kept {kept}"

    def clear(self) -> None:
        """Forget everything; see Series."""
        with self._lock, self._translated(), self._transaction() as connection:
            self._clear(connection)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _days_back(self, asset: str, channel: int, from_ms: int, to_ms: int) -> Iterator["_Values"]:
        """A channel's values in a span, a day at a time, the newest first: of devices that speak now each reading is a
        row of its own, so a week has thousands of which who asks for the newest wants a few. No row reaches over the
        end of a day."""
        for week in reversed(self._weeks_of(from_ms, to_ms)):
            end_ms = to_ms
            while True:
                ((newest_ms,),) = self._rows(
                    f"SELECT max(from_ms) FROM chunk_{week}"  # noqa: S608 - a number
                    " WHERE asset = ? AND from_ms > ? AND from_ms < ?",
                    *(asset, from_ms - DAY_MS, end_ms),
                )
                if newest_ms is None:
                    break
                day_ms = newest_ms // DAY_MS * DAY_MS
                rows = self._rows(
                    f"SELECT device, epoch, body FROM chunk_{week}"  # noqa: S608 - a number
                    " WHERE asset = ? AND from_ms >= ? AND from_ms < ? AND until_ms >= ?",
                    *(asset, day_ms, end_ms, from_ms),
                )
                yield _values(rows, channel, from_ms, to_ms)
                end_ms = day_ms

    def _weeks_of(self, from_ms: int, to_ms: int) -> list[int]:
        with self._lock, self._translated():
            return self._weeks(from_ms, to_ms)

    def _weeks(self, from_ms: int = -(2**62), to_ms: int = 2**62) -> list[int]:
        names = self._connection.execute("SELECT name FROM sqlite_schema WHERE name GLOB 'chunk_*'").fetchall()
        weeks = sorted(int(name.partition("_")[2]) for (name,) in names)
        return [week for week in weeks if week * WEEK_MS < to_ms and (week + 1) * WEEK_MS > from_ms]

    def _forget_old(self, connection: sqlite3.Connection) -> None:
        newest_ms = connection.execute("SELECT max(at_ms) FROM heard").fetchone()[0]
        if self._retention_ms and newest_ms is not None:
            for week in self._weeks(to_ms=newest_ms - self._retention_ms - WEEK_MS + 1):
                _drop_week(connection, week)

    def _clear(self, connection: sqlite3.Connection) -> None:
        for week in self._weeks():
            _drop_week(connection, week)
        connection.execute("DELETE FROM newest_points")
        bookmark.clear(connection, self._journal)

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with self._lock, self._translated():
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise SeriesError(f"{FILE_NAME}: {error}") from error


def _make_week(connection: sqlite3.Connection, week: int) -> None:
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS chunk_{week} (asset TEXT NOT NULL, from_ms INTEGER NOT NULL, until_ms INTEGER NOT"
        " NULL, device TEXT NOT NULL, epoch INTEGER NOT NULL, first INTEGER NOT NULL, entry INTEGER NOT NULL,"
        " body BLOB NOT NULL, PRIMARY KEY (asset, from_ms, device, epoch, first, entry)) STRICT, WITHOUT ROWID"
    )
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS gauge_{week} (kind TEXT NOT NULL, subject TEXT NOT NULL, at_ms INTEGER NOT NULL,"
        " place TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, subject, at_ms, place)) STRICT, WITHOUT ROWID"
    )


def _drop_week(connection: sqlite3.Connection, week: int) -> None:
    connection.execute(f"DROP TABLE chunk_{week}")
    connection.execute(f"DROP TABLE gauge_{week}")


def _chunks(points: Points, entry: int) -> Iterator[tuple[str, int, int, str, int, int, int, bytes]]:
    """Rows of chunks, in order of asset and time."""
    told = points.columns
    if not len(told):
        return
    day = told.measured_at_ms // DAY_MS
    order = np.lexsort((told.sequence, told.measured_at_ms, points.epoch, points.device, day, points.asset))
    columns = told.rows(order)
    asset, device, epoch, day = (one[order] for one in (points.asset, points.device, points.epoch, day))
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = False
    for one in (asset, device, epoch, day):
        is_first[1:] |= one[1:] != one[:-1]
    starts = np.flatnonzero(is_first)
    heads = np.stack([columns.measured_at_ms, columns.sequence, columns.mask]).astype("<i8")
    value, quality = columns.value.astype("<i8"), columns.quality.astype(np.uint8)
    bounds = [*starts.tolist(), len(order)]
    cells = columns.cell_from[bounds].tolist()
    assets, devices, epochs = asset[starts].tolist(), device[starts].tolist(), epoch[starts].tolist()
    for number, start in enumerate(bounds[:-1]):
        end, first_cell, end_cell = bounds[number + 1], cells[number], cells[number + 1]
        parts = (
            heads[:, start:end].tobytes(),
            value[first_cell:end_cell].tobytes(),
            quality[first_cell:end_cell].tobytes(),
        )
        yield (
            points.assets[assets[number]],
            int(heads[0, start]),
            int(heads[0, end - 1]),
            points.devices[devices[number]],
            epochs[number],
            int(heads[1, start]),
            entry,
            _body(end - start, b"".join(parts)),
        )


def _keep_newest(connection: sqlite3.Connection, points: Points) -> None:
    """Put in the newest value of each channel of each asset, where it is newer than what is there."""
    told, names = points.columns, points.assets
    one = "SELECT body FROM newest_points WHERE asset = ?"
    bodies = [connection.execute(one, (name,)).fetchone() or (b"",) for name in names]
    before = _newest_of(b"".join(body for (body,) in bodies))
    lengths = np.array([len(body) // (8 * _NEWEST_WIDTH) for (body,) in bodies], dtype=np.int64)
    row = np.repeat(np.arange(len(told)), np.diff(told.cell_from))
    fresh = np.stack([told.channel, told.measured_at_ms[row], told.sequence[row], told.value, told.quality], axis=1)
    every = np.concatenate([before, fresh])
    place = np.concatenate([np.repeat(np.arange(len(names)), lengths), points.asset[row]])
    order = np.lexsort((every[:, 2], every[:, 1], every[:, 0], place))
    every, place = every[order], place[order]
    is_last = np.ones(len(order), dtype=np.bool_)
    is_last[:-1] = (place[1:] != place[:-1]) | (every[1:, 0] != every[:-1, 0])
    every, place = every[is_last], place[is_last]
    bounds = starts_of(np.bincount(place, minlength=len(names))).tolist()
    text, size = every.astype("<i8").tobytes(), 8 * _NEWEST_WIDTH
    connection.executemany(
        "INSERT OR REPLACE INTO newest_points VALUES (?, ?)",
        ((name, text[size * start : size * end]) for name, start, end in zip(names, bounds, bounds[1:], strict=False)),
    )


def _newest_of(body: bytes) -> Numbers:
    """Rows of channel, measured_at_ms, sequence, value, quality."""
    return np.frombuffer(body, "<i8").reshape(-1, _NEWEST_WIDTH).astype(np.int64)


def _body(readings: int, text: bytes) -> bytes:
    if len(text) < _DEFLATED_FROM_BYTES:
        return _HEAD.pack(0, readings) + text
    return _HEAD.pack(1, readings) + zlib.compress(text, 1)


def _columns_of(body: bytes) -> tuple[int, tuple[bytes, ...]]:
    """How many readings a row has, and its columns as they lie in it."""
    is_deflated, readings = _HEAD.unpack_from(body)
    text = zlib.decompress(body[_HEAD.size :]) if is_deflated else body[_HEAD.size :]
    size, heads = 8 * readings, 24 * readings
    cells_end = heads + 8 * ((len(text) - heads) // 9)
    columns = text[:size], text[size : 2 * size], text[2 * size : heads], text[heads:cells_end], text[cells_end:]
    return readings, columns


class _Values(NamedTuple):
    """One channel's values in order of time, each reading once."""

    measured_at_ms: Numbers
    value: Numbers
    quality: Numbers
    device: Numbers
    devices: list[str]

    def points(self) -> list[Point]:
        columns = self.measured_at_ms, self.value, self.quality, self.device
        at_ms, value, quality, device = (one.tolist() for one in columns)
        return list(map(Point, at_ms, value, quality, map(self.devices.__getitem__, device)))

    def stretches(self, step_ms: int) -> list[Stretch]:
        good = self.quality == 0
        at_ms, value = self.measured_at_ms[good], self.value[good]
        if not len(at_ms):
            return []
        step = at_ms // step_ms
        starts = np.flatnonzero(np.concatenate([[True], step[1:] != step[:-1]]))
        counts = np.diff([*starts.tolist(), len(step)])
        low, high = np.minimum.reduceat(value, starts), np.maximum.reduceat(value, starts)
        means = np.add.reduceat(value, starts) / counts
        columns = (step[starts] * step_ms).tolist(), counts.tolist(), low.tolist(), high.tolist(), means.tolist()
        return list(map(Stretch, *columns))


def _merged(one: Stretch, other: Stretch) -> Stretch:
    """Two halves of a step that a week's end cuts."""
    readings = one.readings + other.readings
    mean = (one.mean * one.readings + other.mean * other.readings) / readings
    return Stretch(one.from_ms, readings, min(one.low, other.low), max(one.high, other.high), mean)


def _values(rows: list[tuple[str, int, bytes]], channel: int, from_ms: int, to_ms: int) -> _Values:
    """One channel's values of some rows (device, epoch, body), laid end to end first: there may be thousands, of one
    reading each."""
    if not rows:
        none = np.zeros(0, dtype=np.int64)
        return _Values(none, none, none, none, [])
    names = {name: number for number, name in enumerate(sorted({row[0] for row in rows}))}
    found = [_columns_of(body) for *_, body in rows]
    readings = [count for count, _ in found]
    *heads, quality_text = (b"".join(column) for column in zip(*(columns for _, columns in found), strict=True))
    at_ms, sequence, mask, value = (np.frombuffer(text, "<i8") for text in heads)
    has = np.flatnonzero(mask >> channel & 1)
    cell = starts_of(_bits(mask))[has] + _bits(mask[has] & ((1 << channel) - 1))
    device = np.repeat([names[name] for name, *_ in rows], readings)
    epoch = np.repeat([epoch for _, epoch, _ in rows], readings)
    keys = [one[has] for one in (at_ms, device, epoch, sequence)]
    order = np.lexsort(keys[::-1])
    keys = [one[order] for one in keys]
    fresh = np.ones(len(order), dtype=np.bool_)
    if len(order):
        fresh[1:] = np.logical_or.reduce([one[1:] != one[:-1] for one in keys])
    fresh &= (keys[0] >= from_ms) & (keys[0] < to_ms)
    kept = cell[order[fresh]]
    quality = np.frombuffer(quality_text, np.uint8)[kept].astype(np.int64)
    return _Values(keys[0][fresh], value[kept], quality, keys[1][fresh], list(names))


def _bits(masks: Numbers) -> Numbers:
    """How many channels each mask has."""
    return np.bitwise_count(masks).astype(np.int64)
