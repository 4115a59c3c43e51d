"""Documents of the warehouse-management system, on their way to the cloud (docs/STOCK.md).

    DocumentSource (REST poll, drop folder) -> Queue, on disk -> Delivery -> the cloud's /stock/reports

The pattern is that of readings: append, hand on, forget only when the next hop says that it has it. A source moves on
(its cursor, its file) after its document is on the queue's disk; the queue lets go after the cloud's 2xx. Whatever is
killed in between, a document is then handed on twice and never not at all, and the same rows twice say nothing new.

Nothing here judges goods. What a document means is for the book to say and for the cloud to refuse with its reasons; a
gateway that corrected rows would be a witness that has been told what to say.
"""

import hashlib
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

DOCUMENT_MAX_BYTES: Final = 16 * 1024 * 1024
"""What the cloud takes."""


class Form(StrEnum):
    """How a document is written: a form of docs/STOCK.md, under the cloud's name for it."""

    JSON = "json"
    CSV = "csv"
    X12 = "x12"


class Document(NamedTuple):
    """What a stock system says, as bytes. `source` is its id in the book; `name` is for people."""

    source: str
    form: Form
    name: str
    data: bytes

    @property
    def digest(self) -> str:
        """The same for the same bytes of the same source and form: 64 hexadecimal digits."""
        return hashlib.sha256(f"{self.source}\n{self.form}\n".encode() + self.data).hexdigest()


class AwayError(OSError):
    """The other side is not there, or what it answers is no answer. `asked_s`: how long it asks us to wait, or 0."""

    def __init__(self, reason: str, asked_s: float = 0.0) -> None:
        super().__init__(reason)
        self.asked_s = asked_s


class FullError(Exception):
    """No more documents are kept; nothing was taken. A sentence that says of what there are too many."""


Put = Callable[[Document], Awaitable[None]]
"""Takes a document; it is on disk when this returns. Raises FullError or OSError, and then it is not taken."""


class DocumentSource(Protocol):
    """Where documents of a stock system are to be had. tests/test_documents_contract.py holds each to this:

    - A look hands on what is there and was not handed on, the oldest first, none longer than DOCUMENT_MAX_BYTES.
    - The source moves on when `put` has returned, never before, and durably: a source made anew, by another process
      too, goes on from there. Where it is stopped between the two, it hands the same bytes on again.
    - Where `put` raises, the look ends with that error, and the next begins with the same document.
    - What is handed on once and has not changed is not handed on again in the life of this object, even where the
      moving on fails.
    """

    name: str
    every_s: float  # between two looks

    @property
    def held(self) -> str:
        """Which documents wait at the source, and why; empty where none do."""
        ...

    async def look(self, put: Put) -> None:
        """Hand on what is new. Raises AwayError where there is nothing to look at, and what `put` raises."""
        ...
