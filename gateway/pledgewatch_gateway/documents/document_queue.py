"""The queue: documents on disk until the cloud has taken them, a file each.

    waiting/000000000017-<source>-<digest>.document    a line of JSON that says what it is, then its bytes
    refused/000000000017-<source>-<digest>.document    what the cloud has refused, with .reason.txt beside it

A file is written whole under another name, flushed, and then renamed, so what has its own name is whole; each later act
is one rename or one removal. Killed at any moment, the queue has a document or does not. The name holds the digest, so
what waits already is not taken twice, and bytes that a disk has changed are noticed.

There is a limit to documents and to bytes: at the limit nothing more is taken, and whoever brings documents keeps them.
Each source has an equal share of it, so that one of which the cloud takes nothing leaves the others their room.
There is one to what is refused of a source, which holds up that source and no other: nothing more is taken of it, and
what waits of it waits on, until somebody has seen to what is refused. All methods may be called from any thread; they
take turns, and wait for the disk.
"""

import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pledgewatch_edge.identity import flush_folder
from pledgewatch_gateway.documents import Document, Form, FullError
from pledgewatch_gateway.documents.kept import PART, make_folder, move, replace

REFUSED_MAX: Final = 1_000
ENDING: Final = ".document"
REASON: Final = ".reason.txt"
_DIGITS: Final = 32  # of the digest, in a name


class DamagedError(Exception):
    """A document that is not what was written."""


class Refused(NamedTuple):
    """A document that was set aside, by its name in the queue; why; and when, as Unix milliseconds."""

    name: str
    reasons: Sequence[str]
    at_ms: int


class Standing(NamedTuple):
    """How much waits and how much was set aside; `last` of them, if any."""

    waiting: int
    bytes: int
    refused: int
    last: Refused | None


class Queue:
    """The queue in a folder. One process for a folder, `again` apart."""

    def __init__(self, folder: Path, documents_max: int, bytes_max: int, sources: int = 1) -> None:
        """`sources` is how many share the room."""
        self.waiting_folder = folder / "waiting"
        self.refused_folder = folder / "refused"
        self._documents_max = documents_max
        self._bytes_max = bytes_max
        self._sources = sources
        self._turn = threading.Lock()
        self._sizes: dict[str, int] | None = None  # of what waits, by name

    def put(self, document: Document) -> bool:
        """Take a document; it is on disk when this returns. False where it waits already. Raises FullError, OSError."""
        digest = document.digest
        about = {"source": document.source, "form": document.form, "name": document.name, "digest": digest}
        content = json.dumps(about).encode("ascii") + b"\n" + document.data
        with self._turn:
            sizes = self._known()
            mark = f"-{document.source}-{digest[:_DIGITS]}{ENDING}"
            if any(name.endswith(mark) for name in sizes):
                return False
            self._require_room(document.source)
            own = {name: size for name, size in sizes.items() if source_of(name) == document.source}
            self._require_share(own, len(content), self._sources, f"of {document.source} ")
            self._require_share(sizes, len(content), 1, "")
            number = int(max(sizes, default="0").partition("-")[0]) + 1
            name = f"{number:012d}{mark}"
            replace(self.waiting_folder / name, content)
            sizes[name] = len(content)
        return True

    def waiting(self) -> list[str]:
        """What waits, the oldest first, by its names. Raises OSError."""
        with self._turn:
            return sorted(self._known())

    def read(self, name: str) -> Document:
        """A document that waits. Raises DamagedError; FileNotFoundError where it waits no more."""
        line, _, data = (self.waiting_folder / name).read_bytes().partition(b"\n")
        try:
            about = json.loads(line)
            found = Document(about["source"], Form(about["form"]), about["name"], data)
            is_whole = found.digest == about["digest"]
        except (ValueError, KeyError, TypeError):
            is_whole = False
        if not is_whole:
            raise DamagedError(f"{name} has changed on the disk")
        return found

    def remove(self, name: str) -> None:
        """Let go of a document: the cloud has it. Raises OSError."""
        with self._turn:
            (self.waiting_folder / name).unlink(missing_ok=True)
            flush_folder(self.waiting_folder)
            self._forget(name)

    def require_room(self, name: str) -> None:
        """Raise FullError where so many documents of a document's source are refused that it could not be set aside."""
        self._require_room(source_of(name))

    def set_aside(self, name: str, reasons: Iterable[str]) -> None:
        """Take a document out of what waits, and keep it with the reasons. Raises FullError where too many of its
        source are kept already, and OSError; then it waits on."""
        with self._turn:
            make_folder(self.refused_folder)
            self._require_room(source_of(name))
            target = self.refused_folder / name
            replace(_reason_of(target), "".join(f"{one}\n" for one in reasons).encode("utf-8"))
            move(self.waiting_folder / name, target)
            self._forget(name)

    def refused(self) -> list[Refused]:
        """What was set aside, the oldest of the queue first. Raises OSError."""
        return [_told(self.refused_folder / name) for name in _documents(self.refused_folder)]

    def again(self, name: str) -> None:
        """Let a document that was set aside wait once more. Another process may be delivering meanwhile. Raises
        FileNotFoundError where there is none of that name."""
        path = self.refused_folder / Path(name).name
        make_folder(self.waiting_folder)
        move(path, self.waiting_folder / path.name)
        _reason_of(path).unlink(missing_ok=True)

    def standing(self) -> Standing:
        """How the queue stands. Raises OSError."""
        sizes = _sizes_in(self.waiting_folder, {})
        reasons = [_reason_of(self.refused_folder / name) for name in _documents(self.refused_folder)]
        newest = max(reasons, key=_changed_ms, default=None)
        last = None if newest is None else _told(newest.with_name(newest.name.removesuffix(REASON)))
        return Standing(len(sizes), sum(sizes.values()), len(reasons), last)

    def _require_share(self, sizes: Mapping[str, int], more: int, sharing: int, whose: str) -> None:
        """Raise FullError where what waits, and some bytes more, would be beyond one of some equal shares."""
        total = sum(sizes.values())
        if len(sizes) >= self._documents_max // sharing or total + more > self._bytes_max // sharing:
            share = f", {sharing} sources sharing the room" if sharing > 1 else ""
            raise FullError(f"{len(sizes)} documents {whose}({total} bytes) wait for the cloud, as many as may{share}")

    def _require_room(self, source: str) -> None:
        if sum(source_of(name) == source for name in _documents(self.refused_folder)) >= REFUSED_MAX:
            raise FullError(f"{REFUSED_MAX} documents of {source} are refused: see to {self.refused_folder}")

    def _known(self) -> dict[str, int]:
        """What waits: as remembered, with what another process has put back."""
        make_folder(self.waiting_folder)
        if self._sizes is None:
            for left in self.waiting_folder.glob(f".*{PART}"):  # of a put that was killed: its source still has it
                left.unlink(missing_ok=True)
        self._sizes = _sizes_in(self.waiting_folder, self._sizes or {})
        return self._sizes

    def _forget(self, name: str) -> None:
        if self._sizes is not None:
            self._sizes.pop(name, None)


def source_of(name: str) -> str:
    """The source of a document, by its name in the queue."""
    return name.partition("-")[2].rpartition("-")[0]


def _documents(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(ENDING))  # noqa: PTH208 - names alone
    except FileNotFoundError:
        return []


def _sizes_in(folder: Path, known: Mapping[str, int]) -> dict[str, int]:
    """The sizes of a folder's documents; those that are known are not looked at again."""
    found = {}
    for name in _documents(folder):
        try:
            found[name] = known[name] if name in known else (folder / name).stat().st_size
        except FileNotFoundError:
            continue
    return found


def _told(path: Path) -> Refused:
    reason = _reason_of(path)
    try:
        reasons = reason.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        reasons = []
    return Refused(path.name, reasons, _changed_ms(reason))


def _changed_ms(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return 0


def _reason_of(path: Path) -> Path:
    return path.with_name(path.name + REASON)
