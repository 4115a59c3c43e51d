"""Opening the spool: the file as it was left, or a new life.

After a power cut SQLite finds its own way back. What it cannot mend (a torn page, a file that is something else, a
reading whose bytes have changed) or what has gone back in time (the tally or the cloud has seen higher numbers than the
file has, or other readings under them) is moved aside as evidence, the epoch is raised on disk, and a new spool begins.
The files moved aside are kept, the newest EVIDENCE_KEPT of them.

What is whole in a broken spool is not lost: its readings go into the new one, under new numbers and with the moments at
which they were measured. One that the cloud had already, without the device knowing it yet, it then has twice: told
twice is better than never.
"""

import contextlib
import logging
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_edge.identity import StateError, Tally, Totals, flush_folder, raise_epoch, read_epoch, read_totals
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool import (
    SPOOL_FILE,
    Limits,
    Meta,
    Spool,
    SpoolCorruptError,
    SpoolError,
    begin,
    disk_errors,
    raise_format,
    read_meta,
    unpack,
)

EVIDENCE_KEPT: Final = 4
log = logging.getLogger(__name__)
_BUSY_S: Final = 5.0
_RESCUED_AT_ONCE: Final = 1_000


def open_spool(
    folder: Path,
    device: str,
    key: Ed25519PrivateKey,
    limits: Limits,
    monotonic: Callable[[], float] = time.monotonic,
) -> Spool:
    """The spool of a state folder, which exists and of which the caller has sole use.

    Raises StateError where the spool is another device's or the epoch counter is lost, SpoolError where the disk
    refuses.
    """
    path = folder / SPOOL_FILE
    try:
        tally = Tally(folder)
    except OSError as error:
        raise SpoolError(f"{error.filename}: {error.strerror}") from error
    try:
        connection, broken = _existing(path, device, tally.totals)
        rescued = sum(1 for _ in _whole(broken, device)) if broken else 0
        try:
            connection = connection or _new(path, device, tally.totals)
            spool = Spool(connection, path, key, tally, limits, monotonic)
            _bring_up_to_date(tally, spool, rescued)
            whole = _whole(broken, device) if broken else iter(())
            while some := list(islice(whole, _RESCUED_AT_ONCE)):
                spool.append(some)
        except BaseException:
            if connection is not None:
                connection.close()
            raise
    except BaseException:
        tally.close()
        raise
    if broken:
        log.info("spool rescued readings=%d from=%s", rescued, broken.name)
    return spool


def status(folder: Path) -> dict[str, int | str | None]:
    """How the spool stands, read from the disk only, also while an agent uses it. Raises SpoolError."""
    path = folder / SPOOL_FILE
    totals = read_totals(folder)
    found: dict[str, int | str | None] = {
        "epoch": read_epoch(folder),
        "measured": totals.measured,
        "head_sequence": 0,
        "spooled": 0,
        "refused": totals.refused,
        "committed_contiguous": 0,
        "signed_sequence": 0,
        "oldest_spooled": None,
    }
    if not path.exists():
        return found
    with disk_errors(path), contextlib.closing(_connect(path, "rw")) as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            return found  # an agent is about to lay it out
        meta = read_meta(connection)
        spooled, oldest = connection.execute("SELECT count(*), min(sequence) FROM readings").fetchone()
    before = totals.measured_before if totals.epoch == meta.epoch else totals.measured
    return found | {
        "epoch": meta.epoch,
        "measured": before + meta.head_sequence,
        "head_sequence": meta.head_sequence,
        "spooled": spooled,
        "committed_contiguous": meta.committed_contiguous,
        "signed_sequence": meta.signed_sequence,
        "oldest_spooled": oldest,
    }


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _make_durable(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _existing(path: Path, device: str, totals: Totals) -> tuple[sqlite3.Connection | None, Path | None]:
    """The connection to a spool that is there and whole, if one is; and where a broken one was moved to, if one was."""
    if not path.exists():
        return None, None
    try:
        with disk_errors(path):
            connection = _connect(path, "rw")
            try:
                _verify(connection, device, totals)
                _make_durable(connection)  # only now: a broken file is evidence, and is not written to
                raise_format(connection)
            except BaseException:
                connection.close()
                raise
    except SpoolCorruptError as error:
        aside = _move_aside(path)
        log.error("spool broken reason=%r moved_to=%s", str(error), aside.name)
        return None, aside
    return connection, None


def _whole(aside: Path, device: str) -> Iterator[Sample]:
    """The readings of a broken spool that are whole and not known to be committed, up to where the file is torn."""
    with contextlib.suppress(sqlite3.Error, SpoolCorruptError), contextlib.closing(_connect(aside, "ro")) as connection:
        meta = read_meta(connection)
        above = meta.committed_contiguous if meta.device == device else meta.head_sequence
        while True:
            row = connection.execute(
                "SELECT sequence, reading FROM readings WHERE sequence > ? ORDER BY sequence LIMIT 1", (above,)
            ).fetchone()
            if row is None:
                return
            above = row[0]
            with contextlib.suppress(SpoolCorruptError, struct.error, ValueError):
                _, measured_at_ms, clock, cells = unpack(row[1])
                yield Sample(measured_at_ms, clock, cells)


def _verify(connection: sqlite3.Connection, device: str, totals: Totals) -> None:
    """Raise SpoolCorruptError unless everything in the file can be trusted."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise SpoolCorruptError(str(verdict))
    try:
        meta = read_meta(connection)
    except sqlite3.OperationalError as error:  # no such table: the file is a database, but not a spool
        raise SpoolCorruptError(str(error)) from error
    if meta.device != device:
        raise StateError(
            f"the spool is that of device {meta.device!r}, not {device!r}; use another state_folder, or the old name"
        )
    if meta.ended:
        raise SpoolCorruptError(meta.ended)
    if totals.epoch == meta.epoch and totals.head_sequence > meta.head_sequence:
        raise SpoolCorruptError(f"it ends at {meta.head_sequence}, but {totals.head_sequence} was given before")
    _verify_readings(connection, meta)


def _verify_readings(connection: sqlite3.Connection, meta: Meta) -> None:
    newest = 0
    for sequence, stored in connection.execute("SELECT sequence, reading FROM readings ORDER BY sequence"):
        if unpack(stored).sequence != sequence:
            raise SpoolCorruptError(f"reading {sequence} holds another")
        newest = sequence
    if newest > meta.head_sequence:
        raise SpoolCorruptError(f"it holds reading {newest} and says that {meta.head_sequence} is the newest")


def _new(path: Path, device: str, totals: Totals) -> sqlite3.Connection:
    """A spool that begins a new epoch."""
    try:
        epoch = raise_epoch(path.parent, totals.epoch)
    except OSError as error:
        raise SpoolError(f"{error.filename}: {error.strerror}") from error
    with disk_errors(path):
        connection = _connect(path, "rwc")
        try:
            _make_durable(connection)
            begin(connection, device, epoch)
            flush_folder(path.parent)
        except OSError as error:
            connection.close()
            raise SpoolError(f"{path.parent}: {error.strerror}") from error
        except BaseException:
            connection.close()
            raise
    log.info("spool new epoch=%d", epoch)
    return connection


def _bring_up_to_date(tally: Tally, spool: Spool, rescued: int) -> None:
    """Let the tally count from this spool on. Raises SpoolError where it cannot be written.

    `rescued` readings were measured, and counted, before; they are about to be numbered again.
    """
    totals = tally.totals
    before = totals.measured_before if totals.epoch == spool.epoch else max(0, totals.measured - rescued)
    try:
        for _ in range(2):  # both slots, so that neither holds what is no longer so
            tally.write(Totals(spool.epoch, before, spool.head_sequence, totals.refused))
        tally.flush()
    except OSError as error:
        raise SpoolError(f"the tally cannot be written: {error.strerror}") from error


def _move_aside(path: Path) -> Path:
    """Rename the broken spool and what belongs to it; the main file last, so that a crash in between repeats this.

    A journal that stayed behind would be replayed into the next spool.
    """
    evidence = sorted(path.parent.glob(f"{path.name}.broken-*[0-9]"), key=_number)
    number = _number(evidence[-1]) + 1 if evidence else 1
    aside = path.with_name(f"{path.name}.broken-{number}")
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
    for old in evidence[: max(0, len(evidence) + 1 - EVIDENCE_KEPT)]:
        for suffix in ("-wal", "-shm", ""):
            old.with_name(old.name + suffix).unlink(missing_ok=True)
    flush_folder(path.parent)
    return aside


def _number(evidence: Path) -> int:
    return int(evidence.name.rpartition("-")[2])
