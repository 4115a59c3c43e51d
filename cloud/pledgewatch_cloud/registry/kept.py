"""What a registry keeps: every question as it was signed, with its answer, in one SQLite file that only grows.

    a request ─► decided on the book ─► written and on disk ─► the book goes on ─► answered

synchronous=FULL, so what was answered survives a power cut; a kill at any moment loses at most a question that nobody
has had an answer to. Each row holds the hash of the row before it, so that none can be changed or taken out unseen save
from the end. A start folds all rows and holds every answer against the one that is written.

A member's message id comes once: handed in again with the same body it has the same answer again, and nothing is done.
"""

import hashlib
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.registry import claim_book, request
from pledgewatch_cloud.decide.registry.claim_book import Answer, ClaimBook
from pledgewatch_cloud.decide.registry.request import Claiming, KeptRequest, RequestError
from pledgewatch_cloud.journal.form import DamagedError
from pledgewatch_cloud.journal.store import StoreError

FILE_NAME = "registry.sqlite"
FORMAT = 2
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE asked (
    number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, member TEXT NOT NULL, message TEXT NOT NULL,
    signed_at_s INTEGER NOT NULL, signature TEXT NOT NULL, body BLOB NOT NULL, answer TEXT NOT NULL,
    hash BLOB NOT NULL, UNIQUE (member, message)) STRICT;
"""
_ROW = "number, at_ms, member, message, signed_at_s, signature, body, answer, hash"
_ADD = f"INSERT INTO asked ({_ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant of this file
_AFTER = f"SELECT {_ROW} FROM asked WHERE number > ? ORDER BY number"  # noqa: S608 - a constant of this file


class TooManyError(Exception):
    """A member asks too often; `wait_s` until it may again."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"the questions of this hour are used up; ask again in {wait_s} s")
        self.wait_s = wait_s


class Signed(NamedTuple):
    """A request as it came: whose it is, and what shows that."""

    member: str
    message: str
    signed_at_s: int
    signature: str
    body: bytes


class _Row(NamedTuple):
    number: int
    at_ms: int
    member: str
    message: str
    signed_at_s: int
    signature: str
    body: bytes
    answer: str
    hash: bytes

    def hashed(self, before: bytes) -> bytes:
        """What ties the row to the one before it."""
        digest = hashlib.sha256(self.body).hexdigest()
        return hashlib.sha256(before + canonical.encode([*self[:6], digest, self.answer])).digest()


class KeptBook:
    """The book of claims over its file. May be used by several threads."""

    def __init__(self, folder: Path, *, read_only: bool = False, look: Callable[[int], None] = lambda _: None) -> None:
        """Open the file, or begin one. `look` is told now and then how many rows are folded.

        Raises StoreError where it cannot be used, DamagedError where it is not what was written.
        """
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()
        if read_only and not self._path.exists():
            raise StoreError(f"{self._path}: there is no registry here")
        with self._translated():
            mode = "ro" if read_only else "rwc"
            uri = f"{self._path.absolute().as_uri()}?mode={mode}"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            with self._translated():
                name = self._name(read_only=read_only)
                self._last, self._at_ms, self._hash = 0, 0, name.encode()
                self.book = ClaimBook(name)
                self._catch_up(look)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def ask(self, signed: Signed, asked: KeptRequest, now_ms: int, an_hour: int) -> Answer:
        """Decide a request, keep it, and answer. `an_hour` is how many questions the member may ask in an hour.

        Raises RequestError, TooManyError; StoreError where the disk does not do it, and then the same may be asked
        again.
        """
        with self._lock, self._translated():
            self._catch_up()
            known = self._connection.execute(
                "SELECT body, answer FROM asked WHERE member = ? AND message = ?", (signed.member, signed.message)
            ).fetchone()
            if known is not None:
                if known[0] != signed.body:
                    raise RequestError("webhook-id was used for another body", "give each request an id of its own")
                return _answer(known[1])
            at_ms = max(now_ms, self._at_ms)
            if signed.member and self._is_question(signed.member, asked):
                wait_s = self.book.wait_s(signed.member, an_hour, at_ms)
                if wait_s:
                    raise TooManyError(wait_s)
            return self._enter(signed, asked, at_ms)

    def _is_question(self, member: str, asked: KeptRequest) -> bool:
        """Whether it counts as one: what is given up is never kept waiting."""
        known = None if isinstance(asked, Claiming) else self.book.get(member, getattr(asked, "reference", ""))
        return known is None or known.state is claim_book.State.WITHDRAWN

    def _enter(self, signed: Signed, asked: KeptRequest, at_ms: int) -> Answer:
        number = self._last + 1
        book, answer = claim_book.apply(self.book, signed.member, asked, number, at_ms)
        row = _Row(number, at_ms, *signed, canonical.encode(answer.as_json()).decode(), b"")
        row = row._replace(hash=row.hashed(self._hash))
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.execute(_ADD, row)
            self._connection.execute("COMMIT")
        except BaseException:
            # Whether a commit that failed has happened is for the next request to find out: see _catch_up.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self.book, self._last, self._at_ms, self._hash = book, number, at_ms, row.hash
        return answer

    def _catch_up(self, look: Callable[[int], None] = lambda _: None) -> None:
        """Fold what is on disk and not in the book. Raises DamagedError."""
        for row in map(_Row._make, self._connection.execute(_AFTER, (self._last,))):
            if row.number != self._last + 1:
                raise DamagedError(self._last + 1, f"is missing; the next one is {row.number}")
            if row.hash != row.hashed(self._hash):
                raise DamagedError(row.number, "is not what was written")
            try:
                asked = request.read_kept(row.member, row.body)
                book, answer = claim_book.apply(self.book, row.member, asked, row.number, row.at_ms)
            except RequestError as error:
                raise DamagedError(row.number, f"cannot be decided again: {error}") from None
            if canonical.encode(answer.as_json()).decode() != row.answer:
                raise DamagedError(row.number, "leads to another answer than was written")
            self.book, self._last, self._at_ms, self._hash = book, row.number, row.at_ms, row.hash
            if row.number % 10_000 == 0:
                look(row.number)

    def _name(self, *, read_only: bool) -> str:
        connection = self._connection
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
                with closing(connection.cursor()) as cursor:
                    cursor.execute("BEGIN IMMEDIATE")
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        cursor.execute(statement)
                    said = [("format", str(FORMAT)), ("registry", uuid.uuid4().hex)]
                    cursor.executemany("INSERT INTO meta VALUES (?, ?)", said)
                    cursor.execute("COMMIT")
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        if meta.get("format") != str(FORMAT) or not meta.get("registry"):
            raise StoreError(f"{self._path}: format {meta.get('format')}, this program reads {FORMAT}")
        return str(meta["registry"])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error


def _answer(text: str) -> Answer:
    found = canonical.decode(text)
    return Answer(found["answer"], found.get("changed", False), found.get("clash", ""))
