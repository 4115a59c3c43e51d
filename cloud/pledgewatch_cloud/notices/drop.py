"""Notices that come as files: `<folder>/<sender>/<name>.json`, taken when they are whole.

The folder's name is the sender: who may write there is for the system's own rights to say. A file is looked at when it
has not changed from one look to the next, so that one that is still being written is not taken half; and one that is
not JSON yet is given a minute more, because the beginning of a document never is. What has another ending than .json,
or begins with a point, is not ours to take: that is how a careful writer names a file before it is whole.

    lies there ─► committed ─► taken/        known already is committed too
               └► set aside ─► refused/      with NAME.reason.txt beside it

The move is the last act, and every act before it may be done twice: whatever moment we are killed at, the next look
finds the file where it was and comes to the same.
"""

import asyncio
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.strict_json import JsonError
from pledgewatch_cloud.decide.trade.notice import NoticeError
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.notices.intake import DOCUMENT_MAX_BYTES, Intake, RefusedError, form_of

FILES_A_LOOK = 1_000
UNREADABLE_FOR_S = 60.0
TAKEN, REFUSED = "taken", "refused"
log = logging.getLogger(__name__)


class Shape(NamedTuple):
    """What shows that a file has changed."""

    inode: int
    bytes: int
    modified_ns: int


class Seen(NamedTuple):
    """A file's shape and for how many looks it has had it."""

    shape: Shape
    looks: int


class _NotYetError(Exception):
    """A file that may still become JSON."""


class Drop:
    """The drop folder. One of them for a folder."""

    def __init__(self, folder: Path, intake: Intake, look_every_s: float) -> None:
        self._folder = folder
        self._intake = intake
        self._look_every_s = look_every_s
        self._patient_looks = max(1, round(UNREADABLE_FOR_S / look_every_s))
        self._seen: dict[Path, Seen] = {}
        self._said = ""

    async def run(self) -> None:
        """Look again and again, for ever; a folder or a disk that fails is said once, and tried on."""
        log.info("notices are taken from %s", self._folder)
        while True:
            try:
                await self.look()
            except OSError as error:
                self._say(f"notices cannot be taken from {error.filename or self._folder}: {error.strerror}")
            except StoreError as error:
                self._say(f"notices wait in {self._folder}: {error}")
            else:
                if self._said:
                    log.info("notices are taken from %s again", self._folder)
                self._said = ""
            await asyncio.sleep(self._look_every_s)

    async def look(self) -> None:
        """Take what is whole. Raises OSError or StoreError; what was not come to is come to at the next look."""
        shapes = await asyncio.to_thread(lambda: dict(_files(self._folder)))
        before, self._seen = self._seen, {}
        for path, shape in shapes.items():
            seen = before.get(path)
            looks = seen.looks + 1 if seen is not None and seen.shape == shape else 0
            self._seen[path] = Seen(shape, looks)
        for path, seen in list(self._seen.items()):
            if seen.looks:
                await self._take(path, seen)

    async def _take(self, path: Path, seen: Seen) -> None:
        raw = await asyncio.to_thread(_content, path, seen.shape)
        if raw is None:
            return
        sender = path.parent.name
        try:
            entry = await self._hand_in(sender, raw, is_final=seen.looks >= self._patient_looks)
        except _NotYetError:
            return
        except RefusedError as error:
            await asyncio.to_thread(_refuse, path, raw, error.errors)
            log.warning("%s/%s is refused: %s", sender, path.name, error)
        else:
            await asyncio.to_thread(_move, path, raw)
            log.info("%s/%s %s", sender, path.name, f"is in entry {entry}" if entry else "was known already")
        del self._seen[path]

    async def _hand_in(self, sender: str, raw: bytes, *, is_final: bool) -> int | None:
        """See Intake.hand_in. Raises _NotYetError for what is no JSON, unless it is to be judged as it is."""
        if len(raw) > DOCUMENT_MAX_BYTES:
            raise RefusedError([f"the file has more than {DOCUMENT_MAX_BYTES} bytes: split it"])
        try:
            form = form_of(raw)
        except JsonError as error:
            if not is_final:
                raise _NotYetError from None
            await self._intake.refuse(sender, raw, [str(error)])
        except NoticeError as error:
            await self._intake.refuse(sender, raw, error.errors)
        return await self._intake.hand_in(sender, form, raw)

    def _say(self, text: str) -> None:
        if text != self._said:
            log.error("%s", text)
        self._said = text


def _files(folder: Path) -> Iterator[tuple[Path, Shape]]:
    """The files that are ours to take, in order of their names, of each sender as many as are taken at one look."""
    folder.mkdir(parents=True, exist_ok=True)
    for sender in _listed(folder):
        if sender.is_dir(follow_symlinks=False):
            yield from _files_of(Path(sender.path))


def _files_of(sender: Path) -> Iterator[tuple[Path, Shape]]:
    found = 0
    for one in _listed(sender):
        if not one.name.endswith(".json"):
            continue
        try:
            about = one.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(about.st_mode):
            found += 1
            yield Path(one.path), Shape(about.st_ino, about.st_size, about.st_mtime_ns)
        if found == FILES_A_LOOK:
            return


def _listed(folder: Path) -> Iterable["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        return sorted((one for one in entries if not one.name.startswith(".")), key=lambda one: one.name)


def _content(path: Path, shape: Shape) -> bytes | None:
    """A file's bytes, of one that is too long so many that it shows; None where it is gone or has changed."""
    try:
        with path.open("rb") as file:
            raw = file.read(DOCUMENT_MAX_BYTES + 1)
            about = os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    return raw if Shape(about.st_ino, about.st_size, about.st_mtime_ns) == shape else None


def _refuse(path: Path, raw: bytes, errors: Iterable[str]) -> None:
    """Move a file to those that are refused; what is wrong with it is there before it."""
    target = _target(path, raw, REFUSED)
    reason = target.with_name(target.name + ".reason.txt")
    reason.write_text("".join(f"{one}\n" for one in errors), encoding="utf-8")
    path.replace(target)


def _move(path: Path, raw: bytes) -> None:
    path.replace(_target(path, raw, TAKEN))


def _target(path: Path, raw: bytes, folder: str) -> Path:
    """Where a file goes: its own name, or, where another has that, one that tells its content."""
    target = path.parent / folder / path.name
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        target = target.with_name(f"{path.stem}.{canonical.sha256(raw)[:12]}{path.suffix}")
    return target
