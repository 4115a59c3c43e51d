"""A folder into which a stock system writes files: CSV tables, X12 interchanges, or the JSON form itself.

    folder/NAME ─► in the queue ─► done/
               └► cannot be one ─► refused/   with NAME.reason.txt beside it

A file is taken when it has not changed for `quiet_s`, and seems to be whole: an interchange has its IEA, JSON is
JSON, a table ends its last line. What does not is given a minute more. Then an interchange and JSON are taken as they
are, for the cloud to refuse with its reasons. A table is not, for nothing else would show that it is cut within its
last number: it is told, and waits until its last line has an end. Of a system that never ends it `open_end` says so.
A writer that gives a file its name (and its ending) only when it is whole needs none of this. What has another ending,
or begins with a point, is not ours. (The cloud watches folders too; a gateway runs without it.)

The move is the last act: whatever moment we are killed at, the next look finds the file where it was and hands the same
bytes on. A file that has grown meanwhile stays, or is moved back, and is handed on again as it is now: the same rows
twice say nothing new. What cannot be read or moved holds nobody else up: it is said once in the log and stands in
`held`, lies where it is, and is tried at every look; what was handed on already is then only moved.
"""

import asyncio
import json
import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from pledgewatch_edge.config import DAY_S, require_name, require_within
from pledgewatch_edge.logs import World
from pledgewatch_gateway.documents import DOCUMENT_MAX_BYTES, AwayError, Document, Form, Put
from pledgewatch_gateway.documents.kept import move

FILES_A_LOOK: Final = 1_000
PATIENCE_S: Final = 60.0
DONE, REFUSED = "done", "refused"
REASON: Final = ".reason.txt"
HELD_TOLD_MAX: Final = 3
NAME_MAX_BYTES: Final = 255 - len(REASON)
"""What most file systems hold of a name, with room for the name of its reason."""
_BLANK: Final = b" \t\r\n\0"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSettings:
    """A folder. `source` is the stock system's id in the book, by which it is a sender of the cloud's too, with the
    secret of `secret_file`; `name` tells it from other sections of the same one (none: as the source). `ending` is that
    of its files, whatever the case; `quiet_s` is how long one has not changed. `open_end`: the last lines of its tables
    have no end, ever."""

    source: str
    secret_file: Path
    folder: Path
    form: Form
    ending: str
    name: str = ""
    every_s: float = 10.0
    quiet_s: float = 10.0
    open_end: bool = False

    def __post_init__(self) -> None:
        require_name("source", self.source)
        require_name("name", self.name or self.source)
        require_within("every_s", self.every_s, 0.05, DAY_S)
        require_within("quiet_s", self.quiet_s, 0.0, 3_600.0)
        if not self.ending.startswith(".") or len(self.ending) < 2:
            raise ValueError(f"ending {self.ending!r} is none; write it as .csv")
        if self.ending.lower() == REASON:
            raise ValueError(f"ending {REASON} is that of our own reasons; take another")

    @property
    def title(self) -> str:
        """What it is called in the log and on the status page."""
        return self.name or self.source


class Shape(NamedTuple):
    """What shows that a file has changed."""

    inode: int
    bytes: int
    changed_ns: int


class Seen(NamedTuple):
    """A file's shape, since when it has it, and whether its content was handed on."""

    shape: Shape
    since: float
    is_handed_on: bool = False


class Stuck(NamedTuple):
    """A file that waits: what tells the log of it, and why it does."""

    world: World
    why: str


class DropSource:
    """A DocumentSource that watches a folder."""

    def __init__(self, settings: DropSettings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.name = settings.title
        self.every_s = settings.every_s
        self._settings = settings
        self._monotonic = monotonic
        self._seen: dict[str, Seen] = {}
        self._stuck: dict[str, Stuck] = {}

    @property
    def held(self) -> str:
        """See DocumentSource; a few of the files."""
        told = [f"{name!r} waits: {one.why}" for name, one in sorted(self._stuck.items())]
        if len(told) > HELD_TOLD_MAX:
            told[HELD_TOLD_MAX:] = [f"and {len(told) - HELD_TOLD_MAX} files more"]
        return "; ".join(told)

    async def look(self, put: Put) -> None:
        """See DocumentSource. What was not come to is come to at the next look."""
        try:
            shapes = await asyncio.to_thread(_shapes, self._settings.folder, self._settings.ending.lower())
        except OSError as error:
            raise AwayError(f"{self._settings.folder} cannot be looked at: {error.strerror}") from None
        now, before = self._monotonic(), self._seen
        self._seen = {}
        for name, shape in shapes.items():
            seen = before.get(name)
            self._seen[name] = seen if seen is not None and seen.shape == shape else Seen(shape, now)
        for name in self._stuck.keys() - shapes.keys():
            self._stuck.pop(name).world.back()
        for name, seen in list(self._seen.items()):
            if now - seen.since >= self._settings.quiet_s and (name in before or not self._settings.quiet_s):
                await self._take(name, seen, put)

    async def _take(self, name: str, seen: Seen, put: Put) -> None:
        """Hand on a file and move it. Raises what `put` raises; a file that cannot be read or moved is said once."""
        path = self._settings.folder / name
        try:
            data = await asyncio.to_thread(_content, path, seen.shape)
        except OSError as error:
            self._say_stuck(name, error.strerror or str(error))
            return
        if data is None:
            return
        fault = _fault(data)
        if not fault and not seen.is_handed_on:
            is_patient = self._monotonic() - seen.since < self._settings.quiet_s + PATIENCE_S
            if not await asyncio.to_thread(is_whole, self._settings.form, data):
                may_be_cut = self._settings.form is Form.CSV and not self._settings.open_end
                if may_be_cut and not is_patient:
                    self._say_stuck(name, "its last line has no end and may be cut; end it, if it is whole")
                if may_be_cut or is_patient:
                    return
            await put(Document(self._settings.source, self._settings.form, name, data))
            self._seen[name] = seen._replace(is_handed_on=True)
        try:
            is_away = await asyncio.to_thread(_put_away, path, seen.shape, fault)
        except OSError as error:
            self._say_stuck(name, error.strerror or str(error))
            return
        if not is_away:
            return
        del self._seen[name]
        if fault:
            log.warning("%s: %r %s; it is in %s", self.name, name, fault, REFUSED)
        if name in self._stuck:
            self._stuck.pop(name).world.back()

    def _say_stuck(self, name: str, why: str) -> None:
        known = self._stuck.get(name)
        world = World(log, f"{self.name}: {name!r}") if known is None else known.world
        self._stuck[name] = Stuck(world, why)
        world.lost(f"waits, trying on: {why}")


def is_whole(form: Form, data: bytes) -> bool:
    """Whether a file seems to have its end."""
    match form:
        case Form.X12:
            return _has_its_end(data.lstrip(_BLANK))
        case Form.JSON:
            try:
                json.loads(data)
            except (ValueError, RecursionError):
                return False
            return True
        case Form.CSV:
            return data.rstrip(b"\0")[-1:] in {b"\n", b"\r"}


def _has_its_end(data: bytes) -> bool:
    """Whether an interchange ends with a whole IEA. Its segments end with the 106th byte of ISA, which is as long as
    that always (ASC X12.5)."""
    end = data[105:106]
    last = data.rstrip(bytes(set(_BLANK) - set(end)))
    segment = last[:-1].rpartition(end)[2] if end else b""
    return data.startswith(b"ISA") and last.endswith(end) and segment.strip(_BLANK).startswith(b"IEA")


def _fault(data: bytes) -> str:
    """Why a file can be no document; empty where it can."""
    if not data.strip(_BLANK):
        return "is empty"
    if len(data) > DOCUMENT_MAX_BYTES:
        return f"has more than {DOCUMENT_MAX_BYTES} bytes; split it"
    return ""


def _shapes(folder: Path, ending: str) -> dict[str, Shape]:
    """The files that are ours to take, in the order in which they were last changed, as many as for one look."""
    found = {}
    with os.scandir(folder) as entries:
        for one in entries:
            if one.name.startswith(".") or not one.name.lower().endswith(ending):
                continue
            try:
                about = one.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(about.st_mode):
                found[one.name] = _shape_of(about)
    oldest = sorted(found.items(), key=lambda one: (one[1].changed_ns, one[0]))
    return dict(oldest[:FILES_A_LOOK])


def _content(path: Path, shape: Shape) -> bytes | None:
    """A file's bytes, of one that is too long so many that it shows; None where it is gone or has changed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(DOCUMENT_MAX_BYTES + 1)
        about = os.fstat(descriptor)
    return data if _shape_of(about) == shape else None


def _shape_of(about: os.stat_result) -> Shape:
    return Shape(about.st_ino, about.st_size, about.st_mtime_ns)


def _put_away(path: Path, shape: Shape, fault: str) -> bool:
    """Move a file to those that are done or, with the reason there before it, refused. False where it has changed, and
    is where it was: whoever writes it may do so until the move, and under any name."""
    if _shape_of(path.lstat()) != shape:
        return False
    folder = path.parent / (REFUSED if fault else DONE)
    folder.mkdir(exist_ok=True)
    target = _free(folder, path.name)
    if fault:
        target.with_name(target.name + REASON).write_text(f"{fault}\n", encoding="utf-8")
    move(path, target)
    if _shape_of(target.lstat()) != shape and not os.path.lexists(path):
        move(target, path)
        if fault:
            target.with_name(target.name + REASON).unlink(missing_ok=True)
        return False
    return True


def _free(folder: Path, name: str) -> Path:
    """The name in a folder, or one like it that is free."""
    path, kept, number = Path(name), name, 1
    while len(os.fsencode(kept)) > NAME_MAX_BYTES or os.path.lexists(folder / kept):
        number += 1
        end = f".{number}{path.suffix[-20:]}"
        kept = os.fsdecode(os.fsencode(path.stem)[: NAME_MAX_BYTES - len(os.fsencode(end))]) + end
    return folder / kept
