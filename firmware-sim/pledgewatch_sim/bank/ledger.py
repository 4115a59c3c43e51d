"""The ledger: messages that were booked and money that moved, in SQLite, each in one transaction with what follows.

    message ──► release to be paid? ──► drawdown ──┐
    repayment, answer to a margin call ──► part that repays ──┤──► movement ──► told to pledgewatch
                                     └──► the rest is the borrower's: surplus

A drawdown carries the id of its release, and the database takes each release once: whatever decides, nothing is paid
twice. A movement is kept until pledgewatch has said 2xx to it, and is told under an id that never changes. Outstanding
is never stored: it is what was lent before, with all drawdowns, less all repayments.
"""

import errno
import hashlib
import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from pledgewatch_sim.bank import releases, statement
from pledgewatch_sim.bank.message import Message, RejectedError

FORM = 2  # of the file; what an earlier program wrote has no payments in it, and would be paid again
COUNTS = (
    "received",
    "verified",
    "booked",
    "repeats",
    "rejected",
    "conflicts",
    "out_of_order",
    "gaps",
    "double_releases",
    "payments",
    "payments_refused",
    "repayments",
    "movements_told",
)
# What pledgewatch takes as the id of a movement: no part between slashes is empty, `.` or `..`.
_MOVEMENT_ID = re.compile(r"(?!.*/\.{0,2}(?:/|$))[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")

_SCHEMA = """
CREATE TABLE message (
    arrival INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, facility TEXT NOT NULL,
    sequence INTEGER NOT NULL, subject TEXT NOT NULL, release TEXT NOT NULL, received_at_ms INTEGER NOT NULL,
    body TEXT NOT NULL);
CREATE INDEX message_by_sequence ON message (facility, sequence);
CREATE INDEX message_by_release ON message (release) WHERE release != '';
CREATE TABLE withdrawn (
    facility TEXT NOT NULL, sequence INTEGER NOT NULL, message TEXT NOT NULL, said_by TEXT NOT NULL,
    PRIMARY KEY (facility, sequence)) WITHOUT ROWID;
CREATE TABLE facility (
    id TEXT PRIMARY KEY, currency TEXT NOT NULL, opening_minor INTEGER NOT NULL, is_opened INTEGER NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE movement (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, facility TEXT NOT NULL, kind TEXT NOT NULL,
    amount_minor INTEGER NOT NULL, at_ms INTEGER NOT NULL, release TEXT UNIQUE, message TEXT,
    told INTEGER NOT NULL DEFAULT 0, fault TEXT NOT NULL DEFAULT '', UNIQUE (facility, id));
CREATE INDEX movement_untold ON movement (facility, number) WHERE told = 0;
CREATE TABLE repayment (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, facility TEXT NOT NULL, amount_minor INTEGER NOT NULL,
    repaid_minor INTEGER NOT NULL, surplus_minor INTEGER NOT NULL, reference TEXT NOT NULL, at_ms INTEGER NOT NULL);
CREATE TABLE answer (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, facility TEXT NOT NULL, margin_call TEXT NOT NULL,
    at_ms INTEGER NOT NULL, content TEXT NOT NULL);
CREATE TABLE count (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class Booking(NamedTuple):
    """What became of a message. `release` is "booked" where the release that it is about is paid, "none" where it is
    not, and empty where it is about none; `is_conflict`: its id is known with another body, and nothing was booked."""

    release: str
    is_conflict: bool = False


class Repayment(NamedTuple):
    """Money that has come in, as from the sale of goods; `reference` says for what."""

    id: str
    facility: str
    amount_minor: int
    reference: str = ""


class Movement(NamedTuple):
    """Money drawn or paid back at a moment, as pledgewatch is told of it."""

    number: int
    id: str
    kind: str
    at_ms: int
    amount_minor: int


class Ledger:
    """The core's books, on disk. Safe to call from several threads."""

    def __init__(self, path: Path, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        """Open the ledger, or make it; `now_ms` is when money moves. Raises OSError for a file that is none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._now_ms = now_ms
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            form = self._begin()
        except sqlite3.Error as error:
            raise OSError(errno.EIO, str(error), str(path)) from None
        if form != FORM:
            self._connection.close()
            raise OSError(errno.EIO, f"it has form {form}, this program's is {FORM}; name another file", str(path))

    def _begin(self) -> int:
        """Make the tables where there are none. Returns the form of the file."""
        with self._transaction() as connection:
            if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None:
                for command in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(command)
                connection.execute(f"PRAGMA user_version = {FORM}")
            return int(connection.execute("PRAGMA user_version").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def count(self, *names: str) -> None:
        """One more of each."""
        with self._transaction() as connection:
            _count(connection, names)

    def book(self, message: Message) -> Booking:
        """Book a verified message, and pay the release that it is about if it is to be paid now.

        Raises RejectedError, with nothing booked, where the release is in another currency than its facility.
        """
        with self._transaction() as connection:
            known = connection.execute("SELECT body FROM message WHERE id = ?", (message.id,)).fetchone()
            if known is not None:
                is_conflict = known[0] != message.body
                _count(connection, ["conflicts" if is_conflict else "repeats"])
                return Booking(_paid(connection, message.release), is_conflict)
            oddities = _oddities(connection, message)
            connection.execute("INSERT OR IGNORE INTO facility VALUES (?, '', 0, 0)", (message.facility,))
            connection.execute(
                "INSERT INTO message (id, type, facility, sequence, subject, release, received_at_ms, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*message[:5], message.release, time.time_ns() // 1_000_000, message.body),
            )
            if message.withdrawn is not None:
                connection.execute(
                    "INSERT OR IGNORE INTO withdrawn VALUES (?, ?, ?, ?)",
                    (message.facility, message.withdrawn.sequence, message.withdrawn.message, message.id),
                )
            if message.release:
                oddities += self._pay(connection, message)
            _count(connection, ["booked", *oddities])
            return Booking(_paid(connection, message.release))

    def open_facility(self, facility: str, currency: str, outstanding_minor: int) -> None:
        """Know a facility, and what was lent on it before. Raises RejectedError where it was opened otherwise."""
        with self._transaction() as connection:
            known = connection.execute("SELECT * FROM facility WHERE id = ?", (facility,)).fetchone()
            if known is None:
                known = (facility, currency, 0, 0)
                connection.execute("INSERT INTO facility VALUES (?, ?, ?, ?)", known)
            _, was, opening_minor, is_opened = known
            if (was and was != currency) or (is_opened and opening_minor != outstanding_minor):
                text = f"facility {facility!r} is known in {was}, with {opening_minor} lent before"
                raise RejectedError(HTTPStatus.CONFLICT, text)
            connection.execute(
                "UPDATE facility SET currency = ?, opening_minor = ?, is_opened = 1 WHERE id = ?",
                (currency, outstanding_minor, facility),
            )

    def repay(self, wanted: Repayment) -> dict[str, Any]:
        """Take money that has come in: what is outstanding is repaid, the rest is the borrower's. Told again, it is
        answered again. Raises RejectedError for an id with other content or a facility that nobody has spoken of."""
        with self._transaction() as connection:
            return self._repaid(connection, wanted)

    def answer_call(self, identity: str, facility: str, answer: dict[str, Any]) -> dict[str, Any]:
        """Take the borrower's answer to the margin call that is open: `kind` "repayment" with `amount_minor`, or
        "substitution" with the `lots` that are brought in; those enter pledgewatch by its own ways.

        Raises RejectedError for an id with other content, or where no call is open.
        """
        content = json.dumps(answer, sort_keys=True)
        with self._transaction() as connection:
            _must_be_known(connection, facility)
            known = connection.execute("SELECT facility, content FROM answer WHERE id = ?", (identity,)).fetchone()
            if known is not None and known != (facility, content):
                raise RejectedError(HTTPStatus.CONFLICT, f"answer {identity!r} is known with other content")
            if known is None:
                newest = connection.execute(
                    "SELECT id, type FROM message WHERE facility = ? AND type IN ('call_margin', 'record_cover')"
                    " ORDER BY sequence DESC, id DESC LIMIT 1",
                    (facility,),
                ).fetchone()
                if newest is None or newest[1] != "call_margin":
                    raise RejectedError(HTTPStatus.CONFLICT, f"no margin call is open on facility {facility!r}")
                connection.execute(
                    "INSERT INTO answer (id, facility, margin_call, at_ms, content) VALUES (?, ?, ?, ?, ?)",
                    (identity, facility, newest[0], self._now_ms(), content),
                )
            if answer["kind"] != "repayment":
                return {"id": identity, "facility": facility, **answer}
            return self._repaid(connection, Repayment(identity, facility, answer["amount_minor"], "margin call"))

    def untold(self, limit: int) -> dict[str, list[Movement]]:
        """Movements of each facility, oldest first and at most so many, that pledgewatch has not heard of."""
        found: dict[str, list[Movement]] = {}
        with self._lock:
            waiting = self._connection.execute("SELECT DISTINCT facility FROM movement WHERE told = 0").fetchall()
            for (facility,) in waiting:
                rows = self._connection.execute(
                    "SELECT number, id, kind, at_ms, amount_minor FROM movement"
                    " WHERE facility = ? AND told = 0 ORDER BY number LIMIT ?",
                    (facility, limit),
                )
                found[facility] = [Movement(*row) for row in rows]
        return found

    def heard(self, movements: Sequence[Movement]) -> None:
        """Pledgewatch has these."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE movement SET told = 1, fault = '' WHERE number = ?", [(one.number,) for one in movements]
            )
            _count(connection, ["movements_told"] * len(movements))

    def not_heard(self, movements: Sequence[Movement], fault: str) -> None:
        """Pledgewatch has not taken these; `fault` is shown with them."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE movement SET fault = ? WHERE number = ?", [(fault, one.number) for one in movements]
            )

    def counts(self) -> dict[str, int]:
        """All counts since the ledger began; `gaps` are the holes that there are now in the facilities' sequences."""
        with self._lock:
            found = dict(self._connection.execute("SELECT name, value FROM count"))
            found["gaps"] = sum(len(holes) for holes in statement.missing(self._connection).values())
        return {name: found.get(name, 0) for name in COUNTS}

    def messages(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Messages beyond an arrival number, in order of arrival."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT arrival, id, type, facility, sequence, subject, received_at_ms, body FROM message"
                " WHERE arrival > ? ORDER BY arrival LIMIT ?",
                (after, limit),
            ).fetchall()
        names = ("arrival", "id", "type", "facility", "sequence", "subject", "received_at_ms")
        return [{**dict(zip(names, row[:-1], strict=True)), "data": json.loads(row[-1])["data"]} for row in rows]

    def latest(self, limit: int) -> list[dict[str, Any]]:
        """The last messages to arrive, in order of arrival, without what they say."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT id, type, facility, sequence, received_at_ms FROM message ORDER BY arrival DESC LIMIT ?",
                (limit,),
            ).fetchall()
        names = ("id", "type", "facility", "sequence", "received_at_ms")
        return [dict(zip(names, row, strict=True)) for row in reversed(rows)]

    def facilities(self) -> dict[str, dict[str, Any]]:
        """Every facility as it stands; see statement."""
        with self._lock:
            return statement.facilities(self._connection)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _pay(self, connection: sqlite3.Connection, message: Message) -> list[str]:
        """Pay the release of a message that has just been booked, if it is to be paid. Returns what to count."""
        if _paid(connection, message.release) == "booked":
            return []
        words = statement.words(connection, message.facility, message.release)
        word = releases.payment(words, _withdrawn(connection, message.facility))
        if word is None:
            return ["payments_refused"] if message.name in releases.ASKING else []
        amount_minor, currency = word.data["amount_minor"], word.data["currency"]
        (known,) = connection.execute("SELECT currency FROM facility WHERE id = ?", (message.facility,)).fetchone()
        if known not in {"", currency}:
            text = f"data.currency is {currency}; facility {message.facility!r} is in {known}"
            raise RejectedError(HTTPStatus.UNPROCESSABLE_ENTITY, text)
        connection.execute("UPDATE facility SET currency = ? WHERE id = ?", (currency, message.facility))
        self._move(connection, message.facility, "drawdown", amount_minor, (message.release, word.message))
        return ["payments"]

    def _repaid(self, connection: sqlite3.Connection, wanted: Repayment) -> dict[str, Any]:
        _must_be_known(connection, wanted.facility)
        asked = "SELECT id, facility, amount_minor, reference, repaid_minor, surplus_minor FROM repayment WHERE id = ?"
        known = connection.execute(asked, (wanted.id,)).fetchone()
        if known is None:
            outstanding_minor = statement.outstanding_minor(connection, wanted.facility)
            repaid_minor = min(wanted.amount_minor, outstanding_minor)
            known = (*wanted, repaid_minor, wanted.amount_minor - repaid_minor)
            connection.execute(
                "INSERT INTO repayment (id, facility, amount_minor, reference, repaid_minor, surplus_minor, at_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*known, self._now_ms()),
            )
            if repaid_minor:
                self._move(connection, wanted.facility, "repayment", repaid_minor, (wanted.id, None))
            _count(connection, ["repayments"])
        elif Repayment(*known[:4]) != wanted:
            raise RejectedError(HTTPStatus.CONFLICT, f"repayment {wanted.id!r} is known with other content")
        return {**wanted._asdict(), "repaid_minor": known[4], "surplus_minor": known[5]}

    def _move(
        self,
        connection: sqlite3.Connection,
        facility: str,
        kind: str,
        amount_minor: int,
        cause: tuple[str, str | None],
    ) -> None:
        """Book a movement, not before the last one of its facility, so that nothing is repaid before it is drawn.

        `cause`: a release and the message by which it is paid, or a repayment and None.
        """
        about, message = cause
        identity = f"{kind}:{about}"
        if not _MOVEMENT_ID.fullmatch(identity):
            identity = f"{kind}:{hashlib.sha256(about.encode()).hexdigest()}"
        (last_ms,) = connection.execute(
            "SELECT coalesce(max(at_ms), 0) FROM movement WHERE facility = ?", (facility,)
        ).fetchone()
        connection.execute(
            "INSERT INTO movement (id, facility, kind, amount_minor, at_ms, release, message)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                identity,
                facility,
                kind,
                amount_minor,
                max(self._now_ms(), last_ms),
                about if kind == "drawdown" else None,
                message,
            ),
        )


def _paid(connection: sqlite3.Connection, release: str) -> str:
    """What is answered about a release."""
    if not release:
        return ""
    found = connection.execute("SELECT 1 FROM movement WHERE release = ?", (release,)).fetchone()
    return "none" if found is None else "booked"


def _withdrawn(connection: sqlite3.Connection, facility: str) -> set[str]:
    rows = connection.execute("SELECT message FROM withdrawn WHERE facility = ?", (facility,))
    return {message for (message,) in rows}


def _oddities(connection: sqlite3.Connection, message: Message) -> list[str]:
    """What is odd about a message that is new. A second release message for one release is the sender's mistake."""
    (last,) = connection.execute(
        "SELECT coalesce(max(sequence), 0) FROM message WHERE facility = ?", (message.facility,)
    ).fetchone()
    oddities = ["out_of_order"] if message.sequence <= last else []
    if message.name == "release_disbursement":
        asked = "SELECT 1 FROM message WHERE release = ? AND type = 'release_disbursement' LIMIT 1"
        if connection.execute(asked, (message.release,)).fetchone():
            oddities.append("double_releases")
    return oddities


def _must_be_known(connection: sqlite3.Connection, facility: str) -> None:
    if connection.execute("SELECT 1 FROM facility WHERE id = ?", (facility,)).fetchone() is None:
        text = f"there is no facility {facility!r}; open it at /facilities, or wait for a message about it"
        raise RejectedError(HTTPStatus.NOT_FOUND, text)


def _count(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    connection.executemany(
        "INSERT INTO count VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
        [(name,) for name in names],
    )
