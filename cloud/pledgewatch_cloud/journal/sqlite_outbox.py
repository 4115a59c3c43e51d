"""The outbox on SQLite: its tables, and what the relays ask of them. SqliteStore adds the connection.

`due` never walks through the messages: a small table says how far each facility has come, lanes say how far an endpoint
has. Messages that an endpoint does not want are looked at once in the life of a process and then remembered as passed
by; where there are many, they are looked at beside the commits, and that they are passed by is written down, or every
start would look at them again.
"""

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.messages import Message
from pledgewatch_cloud.journal.lane import Lane
from pledgewatch_cloud.journal.outbox import (
    ANSWER_MAX_BYTES,
    PASSED_BY_MAX,
    Begin,
    DeadLetter,
    DeliveryRecord,
    EndpointState,
    OutboxMessage,
    Wanted,
    is_current,
)

SCHEMA = """
CREATE TABLE outbox (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, facility TEXT NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL,
    entry INTEGER NOT NULL, withdrawn_by INTEGER NOT NULL DEFAULT 0, seal TEXT NOT NULL DEFAULT '',
    UNIQUE (facility, sequence)) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_queue ON outbox (facility, sequence, withdrawn_by, type, entry);
CREATE INDEX outbox_by_entry ON outbox (entry);
CREATE INDEX outbox_withdrawn ON outbox (withdrawn_by) WHERE withdrawn_by > 0;
CREATE TABLE outbox_facility (
    facility TEXT PRIMARY KEY, last INTEGER NOT NULL, seal TEXT NOT NULL DEFAULT '') STRICT, WITHOUT ROWID;
CREATE TABLE endpoint (
    name TEXT PRIMARY KEY, begin TEXT NOT NULL, types TEXT NOT NULL, facilities TEXT NOT NULL,
    stopped_at_ms INTEGER NOT NULL, stopped_why TEXT NOT NULL, quiet_until_ms INTEGER NOT NULL, seal TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
CREATE TABLE lane (
    endpoint TEXT NOT NULL, facility TEXT NOT NULL, done INTEGER NOT NULL, tried INTEGER NOT NULL,
    attempts INTEGER NOT NULL, next_attempt_at_ms INTEGER NOT NULL, last_error TEXT NOT NULL,
    is_dead INTEGER NOT NULL, records INTEGER NOT NULL, seal TEXT NOT NULL,
    PRIMARY KEY (endpoint, facility)) STRICT, WITHOUT ROWID;
CREATE INDEX lane_by_facility ON lane (facility, tried);
CREATE TABLE delivery (
    id INTEGER PRIMARY KEY, endpoint TEXT NOT NULL, message TEXT NOT NULL, at_ms INTEGER NOT NULL,
    attempt INTEGER NOT NULL, status INTEGER NOT NULL, answer BLOB NOT NULL, keys TEXT NOT NULL,
    seal TEXT NOT NULL) STRICT;
CREATE INDEX delivery_by_message ON delivery (message);
"""
SEALS = {
    "outbox": "seal(id, type, facility, sequence, body, entry, withdrawn_by)",
    "outbox_facility": "seal(facility, last)",
    "endpoint": "seal(name, begin, types, facilities, stopped_at_ms, stopped_why, quiet_until_ms)",
    "lane": "seal(endpoint, facility, done, tried, attempts, next_attempt_at_ms, last_error, is_dead, records)",
    "delivery": "seal(endpoint, message, at_ms, attempt, status, answer, keys)",
}
KEYS = {
    "outbox": "id",
    "outbox_facility": "facility",
    "endpoint": "name",
    "lane": "endpoint || ' ' || facility",
    "delivery": "id",
}
NEAR = 1_024
"""How many messages of a lane are looked through for one that is wanted while commits wait."""
_FOREVER_MS = 2**62
_ENDPOINT = "begin, types, facilities, stopped_at_ms, stopped_why, quiet_until_ms"
_LANE = "endpoint, facility, done, tried, attempts, next_attempt_at_ms, last_error, is_dead, records"
_MESSAGE = "id, type, facility, sequence, body, entry, withdrawn_by"
_RECORD = "endpoint, message, at_ms, attempt, status, answer, keys"
_PUT_LANE = (
    "INSERT OR REPLACE INTO lane VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, seal(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9))"
)
_PUT_ENDPOINT = "INSERT OR REPLACE INTO endpoint VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, seal(?1, ?2, ?3, ?4, ?5, ?6, ?7))"
_PUT_RECORD = (
    f"INSERT INTO delivery ({_RECORD}, seal)"  # noqa: S608 - constants
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, seal(?1, ?2, ?3, ?4, ?5, ?6, ?7))"
)
# Lanes that an endpoint has something to send in, with what is known of them where nothing is written yet.
_OPEN_LANES = (
    "SELECT f.facility, f.last, coalesce(l.done, 0), coalesce(l.tried, 0), coalesce(l.attempts, 0),"
    " coalesce(l.next_attempt_at_ms, 0) AS waits_until_ms, coalesce(l.last_error, ''), coalesce(l.records, 0)"
    " FROM outbox_facility f LEFT JOIN lane l ON l.endpoint = ? AND l.facility = f.facility"
    " WHERE f.last > coalesce(l.done, 0) AND coalesce(l.is_dead, 0) = 0 AND coalesce(l.next_attempt_at_ms, 0) <= ?"
    " AND (?3 = '[]' OR f.facility IN (SELECT value FROM json_each(?3)))"
    " AND (waits_until_ms, f.facility) > (?4, ?5) ORDER BY waits_until_ms, f.facility LIMIT ?6"
)
# A type is a plain word, so it stands in its list in quotes. (json_each would be gone through again for every message.)
_IS_WANTED = "o.withdrawn_by = 0 AND (:types = '[]' OR instr(:types, '\"' || o.type || '\"'))"
_IS_OF_WANTED = "(:facilities = '[]' OR f.facility IN (SELECT value FROM json_each(:facilities)))"
_FRONT = (
    f"SELECT {_MESSAGE} FROM outbox WHERE facility = ?1 AND sequence = (SELECT o.sequence FROM outbox o"  # noqa: S608 - constants
    " INDEXED BY outbox_queue WHERE o.facility = ?1 AND o.sequence > ?2 AND o.sequence <= ?3"
    f" AND {_IS_WANTED.replace(':types', '?4')} ORDER BY o.sequence LIMIT 1)"
)
_PENDING = (
    "SELECT count(*), min(o.entry) FROM outbox_facility f CROSS JOIN outbox o INDEXED BY outbox_queue LEFT JOIN lane l"  # noqa: S608 - constants
    " ON l.endpoint = :endpoint AND l.facility = f.facility"
    f" WHERE o.facility = f.facility AND o.sequence > coalesce(l.done, 0) AND {_IS_WANTED} AND {_IS_OF_WANTED}"
)
# Of each lane that something is beyond: the entry of the first message that is wanted, among the next few.
_FRONTS = (
    "SELECT f.facility, f.last, coalesce(l.done, 0), (SELECT o.entry FROM outbox o INDEXED BY outbox_queue"  # noqa: S608 - constants
    " WHERE o.facility = f.facility AND o.sequence > coalesce(l.done, 0)"
    f" AND o.sequence <= coalesce(l.done, 0) + {PASSED_BY_MAX} AND {_IS_WANTED} ORDER BY o.sequence LIMIT 1)"
    " FROM outbox_facility f LEFT JOIN lane l ON l.endpoint = :endpoint AND l.facility = f.facility"
    f" WHERE f.last > coalesce(l.done, 0) AND {_IS_OF_WANTED}"
)
_LASTS = "SELECT facility, max(sequence) FROM outbox GROUP BY facility"
_SAID_LASTS = "SELECT facility, last FROM outbox_facility"
_RECORDS = (
    "SELECT d.endpoint, o.facility, count(*) FROM delivery d JOIN outbox o ON o.id = d.message"
    " GROUP BY d.endpoint, o.facility"
)
_SAID_RECORDS = "SELECT endpoint, facility, records FROM lane WHERE records > 0"


def _apart(some: str, others: str) -> str:
    return f"SELECT count(*) FROM (SELECT * FROM ({some} EXCEPT {others}) UNION SELECT * FROM ({others} EXCEPT {some}))"  # noqa: S608 - constants


# What the seals cannot tell, for a row that is gone has none.
_STRAYS = (
    ("rows of outbox_facility do not say which message was the last", _apart(_LASTS, _SAID_LASTS)),
    (
        "rows of lane are beyond their facility's messages",
        "SELECT count(*) FROM lane l LEFT JOIN outbox_facility f USING (facility) WHERE l.done > coalesce(f.last, 0)",
    ),
    (
        "rows of delivery speak of no message",
        "SELECT count(*) FROM delivery WHERE message NOT IN (SELECT id FROM outbox)",
    ),
    ("rows of lane do not count the deliveries that are there", _apart(_RECORDS, _SAID_RECORDS)),
)


class _Declared(NamedTuple):
    """An endpoint's row; one that was never declared has the defaults."""

    begin: Begin = Begin.FIRST
    wanted: Wanted = Wanted()
    stopped_at_ms: int = 0
    stopped_why: str = ""
    quiet_until_ms: int = 0

    def row(self, name: str) -> tuple[object, ...]:
        """As it is written."""
        return name, self.begin, json.dumps(self.wanted.types), json.dumps(self.wanted.facilities), *self[2:]


class SqliteOutbox(ABC):
    """See pledgewatch_cloud.journal.outbox.Outbox for the contract."""

    def __init__(self) -> None:
        # By endpoint and facility: the lane's `done` then, and up to where nothing beyond it is wanted.
        self._passed_by: dict[tuple[str, str], tuple[int, int]] = {}

    @abstractmethod
    def _rows(self, statement: str, *values: object) -> list[Any]:
        """The rows of a short read."""

    @abstractmethod
    def _rows_aside(self, statement: str, values: dict[str, object] | tuple[object, ...]) -> list[Any]:
        """The rows of a read that may take its time, on a connection of its own."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """All of it or nothing, alone."""

    def declare(self, endpoint: str, wanted: Wanted, begin: Begin) -> None:
        """There is such an endpoint; see Outbox."""
        is_known = bool(self._rows("SELECT 1 FROM endpoint WHERE name = ?", endpoint))
        before = self._declared(endpoint)
        if is_known and before.wanted == wanted:
            return
        with self._transaction() as connection:
            had = connection.execute("SELECT facility, last FROM outbox_facility").fetchall()
            if is_known:
                lanes = [
                    self._refiltered(_lane(connection, endpoint, one), last, before.wanted, wanted) for one, last in had
                ]
                connection.executemany(_PUT_LANE, lanes)
                connection.execute(_PUT_ENDPOINT, before._replace(wanted=wanted).row(endpoint))
            else:
                connection.execute(_PUT_ENDPOINT, _Declared(begin, wanted).row(endpoint))
                if begin is Begin.NOW:
                    connection.executemany(_PUT_LANE, [Lane(endpoint, *one) for one in had])
            self._passed_by = {key: one for key, one in self._passed_by.items() if key[0] != endpoint}

    def _refiltered(self, lane: Lane, last: int, before: Wanted, wanted: Wanted) -> Lane:
        """A lane of an endpoint that wants other messages than before."""
        is_of_it = before.facility(lane.facility)
        front, upto = self._front(lane, last, before) if is_of_it else (None, last)
        is_front_wanted = front is not None and wanted.facility(lane.facility) and wanted.message(front)
        return lane.refiltered(upto, is_front_wanted=is_front_wanted)

    def due(
        self,
        endpoint: str,
        now_ms: int,
        *,
        besides: frozenset[str] = frozenset(),
        limit: int = 1_000,
        ahead: bool = False,
    ) -> list[OutboxMessage]:
        """The message in front of each lane, if due; see Outbox."""
        # The lock is let go of between one lane and the next: commits go on, however much there is to look through.
        declared = self._declared(endpoint)
        if declared.stopped_at_ms or now_ms < declared.quiet_until_ms:
            return []
        wanted = declared.wanted
        found: list[OutboxMessage] = []
        passed: list[tuple[Lane, int]] = []
        for lane, last in self._open_lanes(endpoint, wanted, _FOREVER_MS if ahead else now_ms, limit + len(besides)):
            if len(found) == limit:
                break
            facility, done = lane.facility, lane.done
            if facility in besides:
                continue
            message, upto = self._front(lane, last, wanted)
            is_moved = upto - done >= PASSED_BY_MAX
            if is_moved:
                passed.append((lane, upto))
                self._passed_by[endpoint, facility] = upto, upto
            if message is not None:
                found.append(replace(message, done=upto) if is_moved else message)
        if passed:
            with self._transaction() as connection:
                for lane, upto in passed:
                    # Another process may have set it back since it was read.
                    if _lane(connection, endpoint, lane.facility) == lane:
                        connection.execute(_PUT_LANE, lane._replace(done=upto))
        return found

    def _open_lanes(self, endpoint: str, wanted: Wanted, until_ms: int, at_once: int) -> Iterator[tuple[Lane, int]]:
        """Lanes that something may be due of by then, with their facility's last sequence, those that wait longest
        first; as few are read at once as are asked for, and then more and more."""
        after: tuple[int, str] = (-_FOREVER_MS, "")
        while True:
            rows = self._rows(_OPEN_LANES, endpoint, until_ms, json.dumps(wanted.facilities), *after, at_once)
            for facility, last, done, tried, attempts, waits_until_ms, error, records in rows:
                yield Lane(endpoint, facility, done, tried, attempts, waits_until_ms, error, False, records), last  # noqa: FBT003
            if len(rows) < at_once:
                return
            after, at_once = (rows[-1][5], rows[-1][0]), 4 * at_once

    def _front(self, lane: Lane, last: int, wanted: Wanted) -> tuple[OutboxMessage | None, int]:
        """The first message of a lane that is to be sent, and up to where nothing is."""
        key = lane.endpoint, lane.facility
        done, upto = self._passed_by.get(key, (lane.done, lane.done))
        upto = upto if done == lane.done else lane.done
        row: Any = None
        if upto < last:
            near, types = min(last, upto + NEAR), json.dumps(wanted.types)
            rows = self._rows(_FRONT, lane.facility, upto, near, types)
            if not rows and near < last:
                rows = self._rows_aside(_FRONT, (lane.facility, near, last, types))
            row = rows[0] if rows else None
            upto = row[3] - 1 if row else last
        self._passed_by[key] = lane.done, upto
        if row is None:
            return None, upto
        return replace(OutboxMessage(*row), attempts=lane.attempts_at(row[3]), done=lane.done), upto

    def delivered(self, message: OutboxMessage, record: DeliveryRecord) -> None:
        """The endpoint has taken it; see Outbox."""
        with self._transaction() as connection:
            lane = _lane(connection, record.endpoint, message.facility)
            after = lane.taken(message.sequence, record.at_ms) if is_current(lane, message) else lane
            connection.execute(_PUT_RECORD, record._replace(answer=record.answer[:ANSWER_MAX_BYTES]))
            connection.execute(_PUT_LANE, after._replace(records=lane.records + 1))

    def failed(self, endpoint: str, message: OutboxMessage, error: str, next_attempt_at_ms: int) -> None:
        """Try again later; see Outbox."""
        with self._transaction() as connection:
            lane = _lane(connection, endpoint, message.facility)
            if _counts(connection, lane, message):
                connection.execute(_PUT_LANE, lane.failed(message.sequence, error, next_attempt_at_ms))

    def buried(self, endpoint: str, message: OutboxMessage, error: str) -> None:
        """To the dead letters; see Outbox."""
        with self._transaction() as connection:
            lane = _lane(connection, endpoint, message.facility)
            if _counts(connection, lane, message):
                connection.execute(_PUT_LANE, lane.buried(message.sequence, error))

    def hurry(self, endpoint: str, now_ms: int) -> None:
        """What waits is due; see Outbox."""
        # A few at a time, so that commits go on between them.
        condition = f"endpoint = ? AND is_dead = 0 AND next_attempt_at_ms > ? LIMIT {NEAR}"
        while waiting := self._lanes(condition, endpoint, now_ms):
            with self._transaction() as connection:
                lanes = [_lane(connection, endpoint, one.facility) for one in waiting]
                due = [one._replace(next_attempt_at_ms=min(one.next_attempt_at_ms, now_ms)) for one in lanes]
                connection.executemany(_PUT_LANE, due)

    def stop(self, endpoint: str, why: str, now_ms: int) -> None:
        """The endpoint wants nothing more; see Outbox."""
        with self._transaction() as connection:
            declared = self._declared(endpoint)._replace(stopped_at_ms=now_ms, stopped_why=why)
            connection.execute(_PUT_ENDPOINT, declared.row(endpoint))

    def leave_alone(self, endpoint: str, until_ms: int) -> None:
        """Nothing is due until then; see Outbox."""
        with self._transaction() as connection:
            declared = self._declared(endpoint)
            quiet_until_ms = max(until_ms, declared.quiet_until_ms)
            connection.execute(_PUT_ENDPOINT, declared._replace(quiet_until_ms=quiet_until_ms).row(endpoint))

    def resume(self, endpoint: str, now_ms: int) -> bool:
        """Lift the stop; see Outbox."""
        if not self._rows("SELECT 1 FROM endpoint WHERE name = ?", endpoint):
            return False
        with self._transaction() as connection:
            declared = self._declared(endpoint)._replace(stopped_at_ms=0, stopped_why="", quiet_until_ms=0)
            connection.execute(_PUT_ENDPOINT, declared.row(endpoint))
        self.hurry(endpoint, now_ms)
        return True

    def dead_letters(self, endpoint: str = "") -> list[DeadLetter]:
        """Dead letters, oldest first; see Outbox."""
        rows = self._rows(
            "SELECT l.endpoint, l.done, l.attempts, l.last_error, o.id, o.type, o.facility, o.sequence, o.body, o.entry"
            " FROM lane l JOIN outbox o ON o.facility = l.facility AND o.sequence = l.tried"
            " WHERE l.is_dead = 1 AND (? = '' OR l.endpoint = ?) ORDER BY o.entry, o.facility, l.endpoint",
            *(endpoint, endpoint),
        )
        return [
            DeadLetter(name, replace(OutboxMessage(*message), attempts=attempts, done=done), error)
            for name, done, attempts, error, *message in rows
        ]

    def send_again(self, endpoint: str, message_id: str, now_ms: int) -> bool:
        """Make a dead letter due again; see Outbox."""
        with self._transaction() as connection:
            lane = _dead(connection, endpoint, message_id)
            if lane is not None:
                connection.execute(_PUT_LANE, lane.sent_again(now_ms))
            return lane is not None

    def pass_over(self, endpoint: str, message_id: str) -> bool:
        """Give a dead letter up; see Outbox."""
        with self._transaction() as connection:
            lane = _dead(connection, endpoint, message_id)
            if lane is not None:
                connection.execute(_PUT_LANE, lane.passed_over())
            return lane is not None

    def set_back(self, endpoint: str, facility: str, sequence: int) -> bool:
        """Send a facility's messages again; see Outbox."""
        with self._transaction() as connection:
            known = connection.execute("SELECT 1 FROM outbox_facility WHERE facility = ?", (facility,)).fetchall()
            if known:
                connection.execute(_PUT_LANE, _lane(connection, endpoint, facility).set_back(max(0, sequence - 1)))
            return bool(known)

    def set_back_to_entry(self, endpoint: str, entry: int) -> int:
        """Send again what entries from there on led to; see Outbox."""
        with self._transaction() as connection:
            firsts = connection.execute(
                "SELECT facility, min(sequence) FROM outbox WHERE entry >= ? GROUP BY facility", (entry,)
            ).fetchall()
            lanes = [(_lane(connection, endpoint, facility), first - 1) for facility, first in firsts]
            after = [lane.set_back(done) for lane, done in lanes if lane.is_behind(done)]
            connection.executemany(_PUT_LANE, after)
            return len(after)

    def entry_at(self, at_ms: int) -> int:
        """The first entry recorded at or after a moment; see Outbox."""
        # Entries are recorded in the order of time, so the number is found by halving.
        ((low, high),) = self._rows("SELECT 1, coalesce(max(number), 0) + 1 FROM entry")
        while low < high:
            middle = (low + high) // 2
            ((recorded_at_ms,),) = self._rows("SELECT recorded_at_ms FROM entry WHERE number = ?", middle)
            low, high = (low, middle) if recorded_at_ms >= at_ms else (middle + 1, high)
        return int(low)

    def endpoints(self) -> list[EndpointState]:
        """Every endpoint that was declared; see Outbox."""
        return [self.endpoint(name) for (name,) in self._rows("SELECT name FROM endpoint ORDER BY name")]

    def endpoint(self, name: str) -> EndpointState:
        """One endpoint; see Outbox."""
        declared = self._declared(name)
        lanes = self._lanes("endpoint = ?", name)
        ((pending, oldest),) = self._rows_aside(_PENDING, _filters(name, declared.wanted))
        return EndpointState(
            name,
            *declared,
            pending - sum(one.is_dead for one in lanes),
            sum(one.is_dead for one in lanes),
            sum(one.records for one in lanes),
            self._recorded_at_ms(oldest),
            {one.facility: one.last_error for one in lanes if one.tried},
        )

    def oldest_pending_ms(self, endpoint: str) -> int | None:
        """How far it lies behind; see Outbox."""
        wanted = self._declared(endpoint).wanted
        entries: list[int] = []
        for facility, last, done, near in self._rows_aside(_FRONTS, _filters(endpoint, wanted)):
            far, _ = (None, None) if near else self._front(Lane(endpoint, facility, done), last, wanted)
            entries += [near] if near else [far.entry] if far else []
        return self._recorded_at_ms(min(entries, default=None))

    def _recorded_at_ms(self, entry: int | None) -> int | None:
        rows = self._rows("SELECT recorded_at_ms FROM entry WHERE number = ?", entry)
        return int(rows[0][0]) if rows else None

    def deliveries(self, message_id: str) -> list[DeliveryRecord]:
        """Who has taken a message; see Outbox."""
        rows = self._rows(f"SELECT {_RECORD} FROM delivery WHERE message = ? ORDER BY id", message_id)  # noqa: S608 - constants
        return [DeliveryRecord(*row) for row in rows]

    def _declared(self, endpoint: str) -> "_Declared":
        rows = self._rows(f"SELECT {_ENDPOINT} FROM endpoint WHERE name = ?", endpoint)  # noqa: S608 - constants
        if not rows:
            return _Declared()
        ((begin, types, facilities, *rest),) = rows
        return _Declared(Begin(begin), Wanted(tuple(json.loads(types)), tuple(json.loads(facilities))), *rest)

    def _lanes(self, condition: str, *values: object) -> list[Lane]:
        return [_read(row) for row in self._rows(f"SELECT {_LANE} FROM lane WHERE {condition}", *values)]  # noqa: S608 - constants of this file

    def _stray_lanes(self) -> list[str]:
        """What is missing or too much of lanes and deliveries: a sentence each."""
        return [f"{count} {text}" for text, query in _STRAYS for (count,) in self._rows(query) if count]


def put_out(connection: sqlite3.Connection, entry: int, messages: Iterable[Message], withdrawn: Iterable[str]) -> None:
    """Write an entry's messages, and that it withdraws others."""
    rows = [(one.id, one.type, one.facility, one.sequence, one.body, entry, 0) for one in messages]
    connection.executemany(
        "INSERT INTO outbox VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, seal(?1, ?2, ?3, ?4, ?5, ?6, ?7))", rows
    )
    lasts: dict[str, int] = {}
    for _, _, facility, sequence, *_ in rows:
        lasts[facility] = max(sequence, lasts.get(facility, 0))
    connection.executemany(
        "INSERT INTO outbox_facility VALUES (?1, ?2, seal(?1, ?2))"
        " ON CONFLICT DO UPDATE SET last = excluded.last, seal = excluded.seal",
        list(lasts.items()),
    )
    for one in withdrawn:
        _withdraw(connection, entry, one)


def _withdraw(connection: sqlite3.Connection, entry: int, message_id: str) -> None:
    found = connection.execute("SELECT facility, sequence FROM outbox WHERE id = ?", (message_id,)).fetchall()
    assert found, f"entry {entry} withdraws {message_id}, which was never put out"
    connection.execute(
        "UPDATE outbox SET withdrawn_by = ?1, seal = seal(id, type, facility, sequence, body, entry, ?1)"
        " WHERE id = ?2 AND withdrawn_by = 0",
        (entry, message_id),
    )
    rows = connection.execute(f"SELECT {_LANE} FROM lane WHERE facility = ? AND tried = ?", found[0]).fetchall()  # noqa: S608 - constants
    connection.executemany(_PUT_LANE, [_read(row).without_front() for row in rows])


def _filters(endpoint: str, wanted: Wanted) -> dict[str, object]:
    """What _PENDING and _FRONTS ask for."""
    return {"endpoint": endpoint, "types": json.dumps(wanted.types), "facilities": json.dumps(wanted.facilities)}


def _lane(connection: sqlite3.Connection, endpoint: str, facility: str) -> Lane:
    row = connection.execute(
        f"SELECT {_LANE} FROM lane WHERE endpoint = ? AND facility = ?",  # noqa: S608 - constants
        (endpoint, facility),
    ).fetchone()
    return Lane(endpoint, facility) if row is None else _read(row)


def _read(row: tuple[Any, ...]) -> Lane:
    return Lane(*row)._replace(is_dead=bool(row[7]))


def _dead(connection: sqlite3.Connection, endpoint: str, message_id: str) -> Lane | None:
    """The lane that this dead letter holds."""
    rows = connection.execute("SELECT facility, sequence FROM outbox WHERE id = ?", (message_id,)).fetchall()
    if not rows:
        return None
    lane = _lane(connection, endpoint, rows[0][0])
    return lane if lane.is_dead and lane.tried == rows[0][1] else None


def _counts(connection: sqlite3.Connection, lane: Lane, message: OutboxMessage) -> bool:
    """Whether what came of an attempt is to be noted."""
    ((withdrawn_by,),) = connection.execute("SELECT withdrawn_by FROM outbox WHERE id = ?", (message.id,)).fetchall()
    return withdrawn_by == 0 and is_current(lane, message)
