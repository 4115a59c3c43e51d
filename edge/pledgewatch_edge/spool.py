"""The spool: every reading, on disk, until the cloud says *committed*.

One SQLite file in WAL mode with synchronous=FULL: when `append` returns, the readings survive a power cut. One
transaction gives the numbers, stores the readings, extends the running hash of the chain and writes the checkpoints
that are due, so there is no moment at which one of them is known without the others.

A reading is stored in its canonical form (pledgewatch_wire.chain), the very bytes that were hashed, with a CRC-32
behind it because a flash card flips bits where SQLite does not look.

A checkpoint is born with its reading, and travels in the same payload. Only one that is signed because time has passed
or the agent stops is born *late*, when its reading may already have been sent; that one travels with the reading that
follows, and is kept until that one is committed.

Beside each reading lies the mark of the running hash after it, and `committed` carries the cloud's. Where they differ,
the counter has been put back (a state folder from an older copy) and numbers were given twice: what the cloud has under
them is not what is here, so nothing is let go, and the spool stops and begins a new epoch when it is opened again.

When the spool is full, the newest reading is refused and counted; it gets no number, so it leaves no gap.

All methods may be called from any thread; they take turns.
"""

import contextlib
import hashlib
import os
import sqlite3
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_edge.identity import Tally
from pledgewatch_edge.sample import Sample
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Checkpoint, Committed
from pledgewatch_wire.reading import Cell, Reading

RESERVE_FILE: Final = "spool.reserve"
RESERVE_BYTES: Final = 256 * 1024
SPOOL_FILE: Final = "spool.db"
_HEAD: Final = struct.Struct(">QqBQ")  # the fixed head of chain.canonical
_CRC: Final = struct.Struct(">I")
_CORRUPT_CODES: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_TABLES: Final = (
    "CREATE TABLE readings (sequence INTEGER PRIMARY KEY, reading BLOB NOT NULL, mark BLOB)",
    "CREATE TABLE checkpoints (sequence INTEGER PRIMARY KEY, signature BLOB NOT NULL, late INTEGER NOT NULL)",
    """CREATE TABLE meta (
        one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, device TEXT NOT NULL,
        epoch INTEGER NOT NULL, head_sequence INTEGER NOT NULL, chain_hash BLOB NOT NULL,
        signed_sequence INTEGER NOT NULL, committed_contiguous INTEGER NOT NULL, ended TEXT NOT NULL DEFAULT ''
    )""",
)
_FORMAT: Final = 2
# From format 1, whose readings have no mark: they are let go without being compared.
_RAISE: Final = (
    "ALTER TABLE readings ADD COLUMN mark BLOB",
    "ALTER TABLE meta ADD COLUMN ended TEXT NOT NULL DEFAULT ''",
    "UPDATE meta SET format = 2",
)


class SpoolError(RuntimeError):
    """The disk does not do what it should (full, input/output error). Nothing has changed; try again later."""


class SpoolCorruptError(RuntimeError):
    """The spool's file is broken. The next opening moves it aside and begins a new epoch."""


class Limits(NamedTuple):
    """How many readings the spool may hold, and after how many readings or seconds the chain is signed."""

    readings_max: int
    every_readings: int
    every_s: float


class Appended(NamedTuple):
    """What became of a batch: its first `accepted` samples are on disk, the other `refused` are gone for good."""

    accepted: int
    refused: int


class Forgotten(NamedTuple):
    """What a `committed` did: how many readings left the spool; `ignored` says why it was not believed, else None."""

    readings: int
    ignored: str | None = None


class Meta(NamedTuple):
    """The spool's one row about itself. `ended`: why no number may be given in this epoch any more; empty: they may."""

    device: str
    epoch: int
    head_sequence: int
    chain_hash: bytes
    signed_sequence: int
    committed_contiguous: int
    ended: str


def pack(reading: Reading) -> bytes:
    """A reading as it is stored."""
    plain = chain.canonical(reading)
    return plain + _CRC.pack(zlib.crc32(plain))


def leaf_of(stored: bytes) -> bytes:
    """The chain's leaf of a stored reading."""
    return hashlib.sha256(stored[: -_CRC.size]).digest()


def unpack(stored: bytes) -> Reading:
    """The reading behind stored bytes. Raises SpoolCorruptError where they are not what was stored."""
    plain, crc = stored[: -_CRC.size], stored[-_CRC.size :]
    if len(plain) < _HEAD.size or _CRC.unpack(crc)[0] != zlib.crc32(plain):
        raise SpoolCorruptError("a stored reading has changed on the disk")
    sequence, measured_at_ms, clock, mask = _HEAD.unpack_from(plain)
    channels = [bit for bit in range(mask.bit_length()) if mask >> bit & 1]
    values = struct.unpack_from(f">{len(channels)}q", plain, _HEAD.size)
    qualities = plain[_HEAD.size + 8 * len(channels) :]
    cells = tuple(Cell(*cell) for cell in zip(channels, values, qualities, strict=True))
    return Reading(sequence, measured_at_ms, clock, cells)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """SQLite's errors as ours: a broken file is SpoolCorruptError, a disk that refuses is SpoolError."""
    try:
        yield
    except sqlite3.Error as error:
        primary_code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary_code in _CORRUPT_CODES:
            raise SpoolCorruptError(f"{path}: {error}") from error
        raise SpoolError(f"{path}: {error}") from error


class Spool:
    """An open spool. Made by pledgewatch_edge.spool_file.open_spool; `close` it, or use it as a context manager.

    Every method may raise SpoolError (nothing has changed, try again) and SpoolCorruptError (stop).
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        key: Ed25519PrivateKey,
        tally: Tally,
        limits: Limits,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._path = path
        self._key = key
        self._tally = tally
        self._limits = limits
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._signed_at = monotonic()
        self._reserve = path.with_name(RESERVE_FILE)
        self._keep_reserve()
        with disk_errors(path):
            self._meta = read_meta(connection)
            self._spooled: int = connection.execute("SELECT count(*) FROM readings").fetchone()[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def device(self) -> str:
        """Whose readings these are."""
        return self._meta.device

    @property
    def epoch(self) -> int:
        """This life of the spool."""
        return self._meta.epoch

    @property
    def head_sequence(self) -> int:
        """The newest number given in this epoch, 0 for none."""
        return self._meta.head_sequence

    @property
    def chain_hash(self) -> bytes:
        """The running hash over readings 1 to `head_sequence`."""
        return self._meta.chain_hash

    @property
    def committed_contiguous(self) -> int:
        """The highest sequence of this epoch up to which all is committed, as far as the device has heard."""
        return self._meta.committed_contiguous

    @property
    def spooled(self) -> int:
        """How many readings wait for `committed`."""
        return self._spooled

    @property
    def measured_total(self) -> int:
        """How many readings were given a number, over all epochs."""
        return self._tally.totals.measured_before + self._meta.head_sequence

    @property
    def refused_total(self) -> int:
        """How many samples could not be kept, over all epochs."""
        return self._tally.totals.refused

    def append(self, samples: Sequence[Sample]) -> Appended:
        """Number, store and chain a batch in one transaction. On return it is on the disk.

        Where the spool has no room for all, the first ones are kept and the newest refused.
        """
        with self._lock:
            room = max(0, self._limits.readings_max - self._spooled)
            kept = samples[:room]
            if kept:
                self._store(kept)
            self.refuse(len(samples) - len(kept))
            return Appended(len(kept), len(samples) - len(kept))

    def refuse(self, count: int) -> None:
        """Count samples that were measured and could not be kept."""
        with self._lock:
            if count:
                self._note(self._tally.totals.refused + count)

    def read(self, after_sequence: int, limit: int) -> list[Reading]:
        """The next readings above a sequence, ascending, at most `limit`; numbers already committed are not there."""
        with self._lock, disk_errors(self._path):
            rows = self._connection.execute(
                "SELECT reading FROM readings WHERE sequence > ? ORDER BY sequence LIMIT ?", (after_sequence, limit)
            ).fetchall()
        return [unpack(stored) for (stored,) in rows]

    def checkpoints(self, first: int, last: int) -> list[Checkpoint]:
        """The checkpoints that travel with readings first to last: theirs, and a late one of the reading before."""
        with self._lock, disk_errors(self._path):
            rows = self._connection.execute(
                "SELECT sequence, signature FROM checkpoints"
                " WHERE sequence BETWEEN ? AND ? OR (sequence = ? AND late) ORDER BY sequence",
                (first, last, first - 1),
            ).fetchall()
        return [Checkpoint(sequence, signature) for sequence, signature in rows]

    def checkpoint_is_due(self) -> bool:
        """Whether readings have stayed unsigned for as long as they may."""
        is_unsigned = self._meta.head_sequence > self._meta.signed_sequence
        return is_unsigned and self._monotonic() - self._signed_at >= self._limits.every_s

    def checkpoint(self) -> Checkpoint | None:
        """Sign the head now, unless it is signed already (None)."""
        with self._lock:
            meta = self._meta
            if meta.head_sequence <= meta.signed_sequence:
                return None
            signed = self._sign(meta.head_sequence, meta.chain_hash)
            self._commit([], [signed], meta._replace(signed_sequence=meta.head_sequence), late=True)
            return signed

    def forget(self, committed: Committed) -> Forgotten:
        """Let go of what the cloud has on its disk.

        A word about another epoch is not believed and changes nothing. Ranges beyond the newest reading are somebody
        else's and passed over: the rest of the word holds. Raises SpoolCorruptError where the cloud has other readings
        under our numbers, or more of them: see the head of this file.
        """
        with self._lock:
            meta = self._meta
            if committed.epoch != meta.epoch:
                return Forgotten(0, f"it is about epoch {committed.epoch}, this is {meta.epoch}")
            self._require_ours(committed)
            ranges = [one for one in committed.ranges if one[1] <= meta.head_sequence]
            contiguous = max(meta.committed_contiguous, committed.contiguous)
            try:
                deleted = self._delete(contiguous, ranges)
            except SpoolError:
                # To delete takes room too: where the disk is full, the reserve is what it takes.
                if not self._reserve.exists():
                    raise
                self._reserve.unlink()
                deleted = self._delete(contiguous, ranges)
            self._meta = meta._replace(committed_contiguous=contiguous)
            self._spooled -= deleted
            self._keep_reserve()
            return Forgotten(deleted)

    def _require_ours(self, committed: Committed) -> None:
        """Raise SpoolCorruptError, and have it raised at the next opening too, where a word is about another life."""
        said, head = committed.contiguous, self._meta.head_sequence
        if said > head:
            self._end(f"the cloud has readings up to {said} and the newest here is {head}")
        compared = [(said, self._marks_at(said)[1], committed.chain_mark)]
        for (_, last), mark in zip(committed.ranges, committed.range_marks, strict=False):
            compared.append((last, self._marks_at(last)[0], mark))
        for sequence, ours, theirs in compared:
            if ours and theirs and ours != theirs:
                self._end(f"the cloud has another reading {sequence}")

    def _marks_at(self, sequence: int) -> tuple[bytes, bytes]:
        """The marks of a reading's leaf and of the running hash after it; empty where they are not there."""
        with disk_errors(self._path):
            row = self._connection.execute(
                "SELECT reading, mark FROM readings WHERE sequence = ?", (sequence,)
            ).fetchone()
        return (b"", b"") if row is None else (chain.mark(leaf_of(row[0])), row[1] or b"")

    def _end(self, why: str) -> NoReturn:
        """Give no more numbers in this epoch, and begin another when it is opened again."""
        ended = f"{why}: the counter has been put back"
        with disk_errors(self._path), self._transaction() as connection:
            connection.execute("UPDATE meta SET ended = ?", (ended,))
        raise SpoolCorruptError(ended)

    def _delete(self, contiguous: int, ranges: Sequence[tuple[int, int]]) -> int:
        """Delete what is committed; how many readings that was."""
        with disk_errors(self._path), self._transaction() as connection:
            before = connection.total_changes
            connection.execute("DELETE FROM readings WHERE sequence <= ?", (contiguous,))
            connection.executemany("DELETE FROM readings WHERE sequence BETWEEN ? AND ?", ranges)
            deleted = connection.total_changes - before
            connection.execute(
                "DELETE FROM checkpoints WHERE sequence < ? OR (sequence = ? AND NOT late)",
                (contiguous, contiguous),
            )
            connection.execute("UPDATE meta SET committed_contiguous = ?", (contiguous,))
        return deleted

    def _keep_reserve(self) -> None:
        """Hold room for deletions, if there is any to hold: the log grows before the pages are free."""
        if self._reserve.exists():
            return
        try:
            with self._reserve.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError:
            self._reserve.unlink(missing_ok=True)

    def close(self) -> None:
        """Give the files back, after whoever is using them. May be called again."""
        with self._lock:
            self._connection.close()
            self._tally.close()

    def _store(self, samples: Sequence[Sample]) -> None:
        meta = self._meta
        sequence, running, signed_sequence = meta.head_sequence, meta.chain_hash, meta.signed_sequence
        rows: list[tuple[int, bytes, bytes]] = []
        signed: list[Checkpoint] = []
        for sample in samples:
            sequence += 1
            reading = Reading(sequence, *sample)
            running = chain.extend(running, chain.leaf(reading))
            rows.append((sequence, pack(reading), chain.mark(running)))
            if sequence - signed_sequence >= self._limits.every_readings:
                signed.append(self._sign(sequence, running))
                signed_sequence = sequence
        if sequence > signed_sequence and self._monotonic() - self._signed_at >= self._limits.every_s:
            signed.append(self._sign(sequence, running))
            signed_sequence = sequence
        fresh = meta._replace(head_sequence=sequence, chain_hash=running, signed_sequence=signed_sequence)
        self._commit(rows, signed, fresh, late=False)
        self._note(self._tally.totals.refused)

    def _sign(self, sequence: int, chain_hash: bytes) -> Checkpoint:
        return Checkpoint(sequence, chain.sign(self._key, self._meta.device, self._meta.epoch, sequence, chain_hash))

    def _commit(
        self, rows: Sequence[tuple[int, bytes, bytes]], signed: Sequence[Checkpoint], fresh: Meta, *, late: bool
    ) -> None:
        """Write all of it and only then believe it."""
        with disk_errors(self._path), self._transaction() as connection:
            connection.executemany("INSERT INTO readings VALUES (?, ?, ?)", rows)
            connection.executemany(
                "INSERT INTO checkpoints VALUES (?, ?, ?)", [(*checkpoint, late) for checkpoint in signed]
            )
            connection.execute(
                "UPDATE meta SET head_sequence = ?, chain_hash = ?, signed_sequence = ?",
                (fresh.head_sequence, fresh.chain_hash, fresh.signed_sequence),
            )
        self._meta = fresh
        self._spooled += len(rows)
        if signed:
            self._signed_at = self._monotonic()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _note(self, refused: int) -> None:
        """Bring the tally up to date. The readings are on the disk already, so a tally that cannot be written must
        not make the caller think otherwise; the next one carries the same totals."""
        totals = self._tally.totals._replace(head_sequence=self._meta.head_sequence, refused=refused)
        self._tally.totals = totals
        with contextlib.suppress(OSError):
            self._tally.write(totals)


def read_meta(connection: sqlite3.Connection) -> Meta:
    """The row about the spool itself. Raises sqlite3.Error, or SpoolCorruptError where the row is not there."""
    found = connection.execute("SELECT * FROM meta")
    names, row = [column[0] for column in found.description], found.fetchone()
    if row is None:
        raise SpoolCorruptError("the spool has no row about itself")
    values = {"ended": "", **dict(zip(names, row, strict=True))}  # format 1 does not know it
    if not values.keys() >= set(Meta._fields):
        raise SpoolCorruptError("the row about itself is not one of a spool")
    return Meta(*(values[name] for name in Meta._fields))


def raise_format(connection: sqlite3.Connection) -> None:
    """Bring a spool of format 1 up to this one, whole or not at all. Raises sqlite3.Error."""
    if connection.execute("SELECT format FROM meta").fetchone() == (_FORMAT,):
        return
    connection.execute("BEGIN IMMEDIATE")
    for change in _RAISE:
        connection.execute(change)
    connection.execute("COMMIT")


def begin(connection: sqlite3.Connection, device: str, epoch: int) -> None:
    """Lay out an empty spool, whole or not at all. Raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    for table in _TABLES:
        connection.execute(table)
    connection.execute(
        "INSERT INTO meta VALUES (1, ?, ?, ?, 0, ?, 0, 0, '')", (_FORMAT, device, epoch, chain.genesis(device, epoch))
    )
    connection.execute("COMMIT")
