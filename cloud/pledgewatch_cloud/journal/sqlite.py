"""The Store on SQLite: one file, write-ahead log, synchronous=FULL, so a commit that returned survives a power cut.

Beside it lies the anchor (journal/anchor.py), which tells a journal that has become shorter from one that is whole.

One connection under one lock does the writing and the short reads; long reads (entries) open their own, so that they
see one consistent moment and hold nobody up.
"""

import sqlite3
import threading
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.batch import Arrival, AssetReading, Entry
from pledgewatch_cloud.decide.events import SaidEvent, from_json
from pledgewatch_cloud.decide.step import Outcome
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.journal import anchor, form, sqlite_outbox
from pledgewatch_cloud.journal.anchor import Anchor, AnchorError, Head
from pledgewatch_cloud.journal.form import WrittenEntry
from pledgewatch_cloud.journal.outbox import CORE
from pledgewatch_cloud.journal.spans import (
    SEQUENCES_MAX,
    Span,
    SpanRow,
    SpanTail,
    overlapping,
    spans_in,
)
from pledgewatch_cloud.journal.sqlite_outbox import SqliteOutbox, put_out
from pledgewatch_cloud.journal.store import (
    NOTHING_SAID,
    QUARANTINE_RAW_MAX_BYTES,
    QUARANTINE_ROWS_MAX,
    SNAPSHOTS_KEPT,
    Counts,
    Quarantined,
    Said,
    StoreError,
    leaves_of,
    readings_of,
    standing_of,
)
from pledgewatch_wire.codec import MAX_READINGS, Status, decode_status, encode_status

FORMAT = 15
FILE_NAME = "journal.sqlite"

_SCHEMA = (
    """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL, seal TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE entry (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, recorded_at_ms INTEGER NOT NULL,
    body BLOB NOT NULL, outcome BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE INDEX entry_of_kind ON entry (kind, number) WHERE kind != 'readings' AND kind != 'tick';
CREATE TABLE event (
    entry INTEGER NOT NULL, place INTEGER NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL,
    told_ms INTEGER NOT NULL, replaces TEXT NOT NULL, because TEXT NOT NULL,
    PRIMARY KEY (entry, place)) STRICT, WITHOUT ROWID;
CREATE INDEX event_by_subject ON event (subject, entry, place);
CREATE TABLE span (
    device TEXT NOT NULL, epoch INTEGER NOT NULL, first INTEGER NOT NULL, entry INTEGER NOT NULL,
    last INTEGER NOT NULL, until_ms INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (device, epoch, first, entry)) STRICT, WITHOUT ROWID;
CREATE INDEX span_by_entry ON span (entry);
CREATE TABLE snapshot (entry INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, received_at_ms INTEGER NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, raw BLOB NOT NULL, raw_sha256 TEXT NOT NULL, count INTEGER NOT NULL DEFAULT 1,
    seal TEXT NOT NULL DEFAULT '', UNIQUE (reason, topic, raw_sha256)) STRICT;
CREATE TABLE quarantine_count (
    reason TEXT PRIMARY KEY, count INTEGER NOT NULL, seal TEXT NOT NULL DEFAULT '') STRICT, WITHOUT ROWID;
CREATE TABLE said (device TEXT PRIMARY KEY, body TEXT NOT NULL, seal TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""
    + sqlite_outbox.SCHEMA
)
_NAMED = "SELECT name, sql FROM sqlite_schema"
# What is written again and again, or belongs to no entry, is in no entry's hash: each such row has a seal of its own.
_SEALS = {
    "meta": "seal(name, value)",
    "quarantine": "seal(id, topic, received_at_ms, reason, detail, raw, raw_sha256, count)",
    "quarantine_count": "seal(reason, count)",
    "said": "seal(device, body)",
    **sqlite_outbox.SEALS,
}
_KEYS = {
    "meta": "name",
    "quarantine": "id",
    "quarantine_count": "reason",
    "said": "device",
    **sqlite_outbox.KEYS,
}
_COUNT_CHANGE = (
    "UPDATE meta SET value = CAST(value + 1 AS TEXT), seal = seal(name, CAST(value + 1 AS TEXT))"
    " WHERE name = 'changes' RETURNING value"
)
_EVENT = "entry, place, body, told_ms, replaces, because"
_SPAN = "device, epoch, first, entry, last, until_ms, body"
_ENTRY_TYPES = (int, str, int, bytes, bytes, bytes)


class SqliteStore(SqliteOutbox):
    """The Store in `folder`/journal.sqlite; see pledgewatch_cloud.journal.store.Store for the contract."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Open the journal, or begin one.

        Raises StoreError where the file is no journal of this format, DamagedError where it lacks what was committed.
        """
        super().__init__()
        self._path = folder / FILE_NAME
        self._lock = threading.RLock()
        self._anchor: Anchor | None = None
        self._last, self._hash = 0, b""
        self._tail: SpanTail | None = None
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._is_closed = False
        if read_only and not self._path.exists():
            raise StoreError(f"{self._path}: there is no journal here")
        held = _anchored(folder)  # before the journal is looked at, which may grow meanwhile
        if not read_only:
            if held is not None:
                # Closing what was opened for writing moves the log into the file and deletes it. A log that does not
                # check still holds what was committed, so it must be found out before.
                SqliteStore(folder, read_only=True).close()
            _make(folder)
        self._connection = self._connect(read_only=read_only)
        try:
            with self._translated():
                self._open(held, read_only=read_only)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, held: Head | None, *, read_only: bool) -> None:
        if not read_only:
            self._begin()
        meta = dict(self._connection.execute("SELECT name, value FROM meta"))
        if not {"journal", "changes"} <= meta.keys():
            raise StoreError(f"{self._path}: it does not say which journal it is")
        if meta.get("format") != str(FORMAT):
            raise StoreError(f"{self._path}: format {meta.get('format')}, this program reads {FORMAT}")
        for _, text in self._unsealed("meta"):
            raise form.DamagedError(0, text)
        self._journal = str(meta["journal"])
        row = self._connection.execute("SELECT number, hash FROM entry ORDER BY number DESC LIMIT 1").fetchone()
        self._last, self._hash = row or (0, form.first_hash(self._journal))
        self._hold_against(held, int(meta["changes"]))
        if not read_only:
            head = Head(int(meta["changes"]), self._last, self._hash)
            path = self._path.with_name(anchor.FILE_NAME)
            try:
                self._anchor = Anchor(path, head)
            except OSError as error:
                raise StoreError(f"{path} cannot be written: {error.strerror}") from None

    def _hold_against(self, held: Head | None, changes: int) -> None:
        """Raise DamagedError where the journal is not one that the anchor can lie beside."""
        if held is None:
            if self._last:
                text = (
                    f"{anchor.FILE_NAME} is missing, so it cannot be told whether any follow; put back both from backup"
                )
                raise form.DamagedError(self._last, text)
            return
        if held.entry > self._last:
            text = (
                f"is missing: {anchor.FILE_NAME} says that entry {held.entry} was committed, and the file ends before"
            )
            raise form.DamagedError(self._last + 1, text)
        row = self._connection.execute("SELECT hash FROM entry WHERE number = ?", (held.entry,)).fetchone()
        if (row[0] if row else form.first_hash(self._journal)) != held.hash:
            raise form.DamagedError(held.entry, f"is not the one that {anchor.FILE_NAME} says was committed")
        if held.changes > changes:
            text = "what was noted after it, of deliveries or of quarantine, is missing"
            raise form.DamagedError(self._last, f"{text}: {changes} changes of {held.changes} are there")

    @property
    def journal(self) -> str:
        """The name of this journal."""
        return self._journal

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
            with self._idle_lock:
                self._is_closed = True
                while self._idle:
                    self._idle.pop().close()
            if self._anchor is not None:
                self._anchor.close()
                self._anchor = None

    def append(
        self, entry: Entry, outcome: Outcome, quarantined: Iterable[Quarantined] = (), said: Said = NOTHING_SAID
    ) -> None:
        """Commit an entry; see Store."""
        body, kind = form.write_body(entry), form.kind_of(entry)
        digest = form.outcome_digest(outcome.events, outcome.messages, outcome.withdrawn)
        tail = self._unwritten()
        with self._transaction() as connection:
            assert entry.number == self._last + 1, f"entry {entry.number} does not follow {self._last}"
            new_hash = form.entry_hash(self._hash, entry.number, entry.recorded_at_ms, kind, body, digest)
            connection.execute(
                "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)",
                (entry.number, kind, entry.recorded_at_ms, body, digest, new_hash),
            )
            connection.executemany(
                f"INSERT INTO span ({_SPAN}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant of this file
                tail.due(entry.number),
            )
            connection.executemany(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)",
                [event_row(entry.number, one) for one in outcome.events],
            )
            put_out(connection, entry.number, outcome.messages, outcome.withdrawn)
            _put_aside(connection, quarantined)
            _put_said(connection, said)
            self._last, self._hash = entry.number, new_hash
        with self._lock:
            tail.move_on(entry)

    def keep_snapshot(self, entry: int, pieces: Iterable[bytes]) -> None:
        """Keep a snapshot; see Store."""
        packer = zlib.compressobj(1)
        body = b"".join([*map(packer.compress, pieces), packer.flush()])
        with self._transaction() as connection:
            connection.execute("INSERT INTO snapshot VALUES (?, ?)", (entry, body))
            connection.execute(
                "DELETE FROM snapshot WHERE entry NOT IN (SELECT entry FROM snapshot ORDER BY entry DESC LIMIT ?)",
                (SNAPSHOTS_KEPT,),
            )

    def quarantine(self, items: Iterable[Quarantined]) -> None:
        """Commit what could not be taken; see Store."""
        with self._transaction() as connection:
            _put_aside(connection, items)

    def keep_said(self, said: Said) -> None:
        """Commit what devices said of themselves; see Store."""
        with self._transaction() as connection:
            _put_said(connection, said)

    def said(self) -> dict[str, list[Status]]:
        """What devices said of themselves; see Store."""
        with self._lock, self._translated():
            for _, text in self._unsealed("said"):
                raise form.DamagedError(0, text)
            rows = self._rows("SELECT device, body FROM said")
        return {device: [decode_status(bytes.fromhex(one)) for one in body.split(" ")] for device, body in rows}

    def entries(self, after: int = 0) -> Iterator[WrittenEntry]:
        """The entries beyond `after`; see Store."""
        with self._translated(), closing(self._connect(read_only=True)) as connection:
            for row in connection.execute("SELECT * FROM entry WHERE number > ? ORDER BY number", (after,)):
                after += 1
                if tuple(map(type, row)) != _ENTRY_TYPES:
                    raise form.DamagedError(after, "a column holds another type than was written")
                yield WrittenEntry(*row)

    def entries_of(self, kind: str, after: int = 0, limit: int = 100) -> list[WrittenEntry]:
        """The first entries of a kind beyond `after`; see Store."""
        wanted = "SELECT * FROM entry WHERE kind = ? AND number > ? ORDER BY number LIMIT ?"
        found = self._rows_aside(wanted, (kind, after, limit))
        if wrong := [row[0] for row in found if tuple(map(type, row)) != _ENTRY_TYPES]:
            raise form.DamagedError(wrong[0], "a column holds another type than was written")
        return [WrittenEntry(*row) for row in found]

    def events(self, after_entry: int = 0, limit: int = 1_000, subject: str = "") -> list[SaidEvent]:
        """Events of the entries beyond `after_entry`; see Store."""
        which, of = ("subject = ? AND", [subject]) if subject else ("", [])
        beyond = f"FROM event WHERE {which} entry > ?"
        last = self._rows_aside(
            f"SELECT entry {beyond} ORDER BY entry, place LIMIT 1 OFFSET ?", (*of, after_entry, limit - 1)
        )
        until = last[0][0] if last else NEVER
        return _said(
            self._rows_aside(
                f"SELECT {_EVENT} {beyond} AND entry <= ? ORDER BY entry, place", (*of, after_entry, until)
            )
        )

    def events_of(self, entry: int) -> list[SaidEvent]:
        """Events of one entry; see Store."""
        return _said(self._rows_aside(f"SELECT {_EVENT} FROM event WHERE entry = ? ORDER BY place", (entry,)))  # noqa: S608 - a constant of this file

    def spans(self, device: str, epoch: int, first: int, last: int) -> list[Span]:
        """Overlapping spans; see Store."""
        rows = self._rows(
            "SELECT body FROM span WHERE device = ? AND epoch = ? AND first > ? AND first <= ? AND last >= ?",
            *(device, epoch, first - MAX_READINGS - SEQUENCES_MAX, last, first),
        )
        written = [span for (body,) in rows for span in spans_in(device, epoch, body)]
        return overlapping((*written, *self._unwritten_of(device, epoch)), first, last)

    def leaves(self, wanted: Iterable[tuple[str, int, int, int]]) -> dict[tuple[str, int, int], bytes]:
        """Leaves of committed readings; see Store."""
        spans = {span for one in wanted for span in self.spans(*one)}
        return leaves_of(self._arrivals(spans))

    def readings(self, devices: Iterable[str], before_entry: int, since_ms: int = -NEVER) -> list[AssetReading]:
        """The devices' readings since then; see Store."""
        spans: list[Span] = []
        for device in devices:
            rows = self._rows("SELECT epoch, body FROM span WHERE device = ? AND until_ms > ?", device, since_ms)
            spans += [span for epoch, body in rows for span in spans_in(device, epoch, body)]
            spans += self._unwritten_of(device)
        spans = [span for span in spans if span.entry < before_entry and span.until_ms > since_ms]
        return list(readings_of(self._arrivals(spans), since_ms).values())

    def standing(self, asset: str, before_entry: int, since_ms: int = -NEVER) -> list[SaidEvent]:
        """Events about the asset that stand; see Store."""
        rows = self._rows(
            f"SELECT {_EVENT} FROM event WHERE subject = ? AND entry < ? ORDER BY entry, place",  # noqa: S608 - a constant
            asset,
            before_entry,
        )
        return standing_of(_said(rows), since_ms)

    def snapshots(self) -> Iterator[tuple[int, bytes]]:
        """Snapshots, newest first; see Store. One that does not decompress is empty, so nobody takes it for a state."""
        for entry, body in self._rows("SELECT entry, body FROM snapshot ORDER BY entry DESC"):
            try:
                snapshot = zlib.decompress(body)
            except (zlib.error, TypeError):  # a byte says of which type a body is, too
                snapshot = b""
            yield entry, snapshot

    def quarantined(self, limit: int = 100, before: int | None = None) -> list[Quarantined]:
        """What is in quarantine; see Store."""
        rows = self._rows(
            "SELECT topic, received_at_ms, reason, detail, raw, count, id FROM quarantine"
            " WHERE id < ? ORDER BY id DESC LIMIT ?",
            *(2**63 - 1 if before is None else before, limit),
        )
        return [Quarantined(*row) for row in rows]

    def quarantine_counts(self) -> dict[str, int]:
        """How much was ever quarantined; see Store."""
        return dict(self._rows("SELECT reason, count FROM quarantine_count ORDER BY reason"))

    def counts(self) -> Counts:
        """What the store holds; see Store."""
        core = self.endpoint(CORE)
        (events,) = self._rows("SELECT count(*) FROM event")[0]
        return Counts(self._last, events, core.pending, core.records, core.dead, sum(self.quarantine_counts().values()))

    def led_to(
        self, number: int
    ) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]], list[SpanRow], list[str]]:
        """What stands on disk beside an entry: event rows, outbox rows (id, type, facility, sequence, body), the rows
        of the index that were written with it, and the messages that it withdrew."""
        events = self._rows(
            "SELECT entry, place, subject, body, told_ms, replaces, because FROM event WHERE entry = ? ORDER BY place",
            number,
        )
        messages = self._rows("SELECT id, type, facility, sequence, body FROM outbox WHERE entry = ?", number)
        spans = self._rows(f"SELECT {_SPAN} FROM span WHERE entry = ?", number)  # noqa: S608 - a constant of this file
        withdrawn = self._rows("SELECT id FROM outbox WHERE withdrawn_by = ? ORDER BY id", number)
        return events, sorted(messages), sorted(SpanRow(*row) for row in spans), [one for (one,) in withdrawn]

    def stray_rows(self) -> list[str]:
        """Rows of events, messages or spans that belong to no entry, and what does not fit of deliveries: a sentence
        each."""
        found = [
            f"{count} rows of {table} belong to no entry"
            for table in ("event", "outbox", "span")
            for (count,) in self._rows(f"SELECT count(*) FROM {table} WHERE entry NOT IN (SELECT number FROM entry)")  # noqa: S608 - constants
            if count
        ]
        return found + self._stray_lanes()

    def unsealed(self) -> list[tuple[int, str]]:
        """Rows outside the entries' hashes that are not as they were written: (entry, or 0 for none; a sentence)."""
        with self._lock, self._translated():
            return [found for table in _SEALS for found in self._unsealed(table)]

    def _unsealed(self, table: str) -> list[tuple[int, str]]:
        # The row may be damaged in the very column that names its entry.
        entry = "CASE WHEN entry IN (SELECT number FROM entry) THEN entry ELSE 0 END" if table == "outbox" else "0"
        rows = self._connection.execute(f"SELECT {entry}, {_KEYS[table]} FROM {table} WHERE seal != {_SEALS[table]}")  # noqa: S608 - constants
        return [(number, f"the row of {table} that is called {name} is not as it was written") for number, name in rows]

    def integrity(self) -> list[str]:
        """What is wrong with the file's own structure; empty where it is whole."""
        with closing(sqlite3.connect(":memory:")) as fresh:
            _make_tables(fresh)
            wanted = dict(fresh.execute(_NAMED))
        found = dict(self._rows(_NAMED))
        odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        checked = [text for (text,) in self._rows("PRAGMA integrity_check(20)") if text != "ok"]
        return [f"{name} is not declared as it was made" for name in odd] + checked

    def _begin(self) -> None:
        """Make the tables of a new journal."""
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        tables = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables == (0,):
            with self._transaction() as connection:
                _make_tables(connection)
                said = [("format", str(FORMAT)), ("journal", uuid.uuid4().hex), ("changes", "0")]
                connection.executemany("INSERT INTO meta VALUES (?1, ?2, seal(?1, ?2))", said)

    def _connect(self, *, read_only: bool) -> sqlite3.Connection:
        mode = "ro" if read_only else "rwc"
        with self._translated():
            connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=30,
            )
            connection.create_function("seal", -1, form.seal, deterministic=True)
            return connection

    def _unwritten(self) -> SpanTail:
        """The spans of the last entries that stand in no row yet, read again where that was not done."""
        with self._lock:
            if self._tail is None:
                self._tail = SpanTail()
                for written in self.entries(max(0, self._last - SpanTail.BUCKETS)):
                    if written.number <= self._last:
                        self._tail.take_up(form.read_entry(written), self._last)
            return self._tail

    def _unwritten_of(self, device: str, epoch: int | None = None) -> list[Span]:
        with self._lock:
            return list(self._unwritten().of(device, epoch))

    def _arrivals(self, spans: Iterable[Span]) -> Iterator[Arrival]:
        by_entry: dict[int, list[int]] = {}
        for span in spans:
            by_entry.setdefault(span.entry, []).append(span.place)
        for entry, places in sorted(by_entry.items()):
            (body,) = self._rows("SELECT body FROM entry WHERE number = ?", entry)[0]
            yield from form.read_arrivals(body, places)

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with self._lock, self._translated():
            return self._connection.execute(statement, values).fetchall()

    def _rows_aside(self, statement: str, values: dict[str, object] | tuple[object, ...]) -> list[Any]:
        with self._translated(), self._aside() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def _aside(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else reads with meanwhile, so that it waits for no commit, and none for it. It is
        kept for the next; there are as many as were ever wanted at once."""
        with self._idle_lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect(read_only=True)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._idle_lock:
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing, counted, and anchored once it is on disk."""
        with self._lock, self._translated():
            head = self._last, self._hash
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                ((changes,),) = self._connection.execute(_COUNT_CHANGE).fetchall()
                self._connection.execute("COMMIT")
            except BaseException:
                self._last, self._hash = head
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            if self._anchor is not None:
                self._anchor.write(Head(int(changes), self._last, self._hash))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter for a damaged file's own words
            raise StoreError(f"{self._path}: {error}") from error


def _anchored(folder: Path) -> Head | None:
    """What the anchor says. Raises DamagedError where it, or the journal that it belongs to, cannot be had."""
    try:
        held = anchor.read(folder / anchor.FILE_NAME)
    except AnchorError as error:
        raise form.DamagedError(0, f"{error}; put back both files from backup") from None
    if held is not None and not (folder / FILE_NAME).exists():
        raise form.DamagedError(0, f"{folder / FILE_NAME} is gone; {anchor.FILE_NAME} says that it held {held.entry}")
    return held


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: no folder can be made here: {error.strerror}") from None


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _SCHEMA.split(";")):
        connection.execute(statement)


def event_row(entry: int, one: SaidEvent) -> tuple[int, int, str, str, int, str, str]:
    """The row that an event is written as."""
    place = int(one.id.partition(".")[2])
    body = canonical.encode(one.event.as_json()).decode()
    return entry, place, one.event.subject, body, one.told_ms, one.replaces, one.because


def _said(rows: Iterable[tuple[int, int, str, int, str, str]]) -> list[SaidEvent]:
    return [
        SaidEvent(f"{entry}.{place}", from_json(canonical.decode(body)), told_ms, replaces, because)
        for entry, place, body, told_ms, replaces, because in rows
    ]


def _seal(connection: sqlite3.Connection, table: str, condition: str, *values: object) -> None:
    """Seal rows that have just been written."""
    connection.execute(f"UPDATE {table} SET seal = {_SEALS[table]} WHERE {condition}", values)  # noqa: S608 - constants


def _put_said(connection: sqlite3.Connection, said: Said) -> None:
    """Keep each device's statuses in a row, as hexadecimal words; of none there is no row."""
    connection.executemany("DELETE FROM said WHERE device = ?", [(device,) for device in said])
    connection.executemany(
        "INSERT INTO said VALUES (?1, ?2, seal(?1, ?2))",
        [(device, " ".join(encode_status(one).hex() for one in words)) for device, words in said.items() if words],
    )


def _put_aside(connection: sqlite3.Connection, items: Iterable[Quarantined]) -> None:
    """Keep the bytes once for each (reason, topic, bytes), count every one, and drop the oldest beyond the bound."""
    for one in items:
        raw_sha256 = canonical.sha256(one.raw)
        connection.execute(
            "INSERT INTO quarantine (topic, received_at_ms, reason, detail, raw, raw_sha256) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET count = count + 1",
            (one.topic, one.received_at_ms, one.reason, one.detail, one.raw[:QUARANTINE_RAW_MAX_BYTES], raw_sha256),
        )
        key = (one.reason, one.topic, raw_sha256)
        _seal(connection, "quarantine", "reason = ? AND topic = ? AND raw_sha256 = ?", *key)
        connection.execute(
            "INSERT INTO quarantine_count (reason, count) VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
            (one.reason,),
        )
        _seal(connection, "quarantine_count", "reason = ?", one.reason)
        connection.execute(
            "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?", (QUARANTINE_ROWS_MAX,)
        )
