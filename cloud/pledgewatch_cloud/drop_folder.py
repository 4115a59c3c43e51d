"""Documents that come as files: `<folder>/<whose>/<name>`, taken when they are whole.

The folder's name says whose they are: who may write there is for the system's own rights to say. A file is looked at
when it has not changed from one look to the next, so that one that is still being written is not taken half; and one
that may still grow is given a minute more. What has an ending that nobody takes (in small letters or capitals), or
begins with a point, is not ours to take: that is how a careful writer names a file before it is whole. A file whose
ending nobody takes is told of once, when it has lain there for a minute as it is: it may have been meant for us.

    lies there ─► taken ───► taken/       with NAME.reason.txt beside it where something of it was left aside
               └► refused ─► refused/     with NAME.reason.txt beside it

The move is the last act, and every act before it may be done twice: whatever moment we are killed at, the next look
finds the file where it was and comes to the same. A file that has grown meanwhile stays, or is moved back, and is
handed in again as it is now.

What cannot be read or moved holds nobody else up: it is said once, lies where it is, and is tried at every look. What
was handed in already is then only moved.

The gateway watches folders too (`pledgewatch_gateway/documents/drop_folder.py`), and by itself: it runs where there is
no cloud and neither may import the other, its files are nobody's in particular, and it judges nothing of what they
hold.
"""

import asyncio
import errno
import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.outage import Outage

FILES_A_LOOK = 1_000
WAITS_FOR_S = 60.0
"""For how long a file that may still grow is waited for."""
TAKEN, REFUSED = "taken", "refused"
REASON = ".reason.txt"
NAME_MAX_BYTES = 255 - len(REASON)
"""What most file systems hold of a name, with room for the name of its reason."""
log = logging.getLogger(__name__)


class Shape(NamedTuple):
    """What shows that a file has changed."""

    inode: int
    bytes: int
    modified_ns: int


class Became(NamedTuple):
    """What became of a file that was handed in: in which folder it goes, TAKEN or REFUSED, a line for each of its
    faults, and all of that in words."""

    folder: str
    faults: tuple[str, ...]
    said: str


class NotYetError(Exception):
    """A file that may still grow."""


class Taker(Protocol):
    """Who takes the files of a folder: what they hold, `endings` of their names, and how many bytes at most."""

    noun: str
    endings: tuple[str, ...]  # in small letters
    max_bytes: int

    async def take(self, whose: str, name: str, raw: bytes, /, *, is_final: bool) -> Became:
        """Hand in a file's bytes; one that is too long has one byte more than `max_bytes`. It may be handed in again.

        Raises NotYetError where it may still grow, unless it is to be judged as it is (`is_final`); StoreError where
        nothing can be committed now.
        """
        ...


class Seen(NamedTuple):
    """A file's shape and for how many looks it has had it; and what became of it, None where it was not handed in
    yet."""

    shape: Shape
    looks: int = 0
    became: Became | None = None


class Found(NamedTuple):
    """The files that are ours to take, in order of their names, those whose endings nobody takes, and what could not be
    looked at."""

    shapes: dict[Path, Shape]
    strange: dict[Path, Shape]
    failed: dict[Path, OSError]


class DropFolder:
    """A folder that is watched. One of them for a folder."""

    def __init__(self, folder: Path, taker: Taker, look_every_s: float) -> None:
        self._folder = folder
        self._taker = taker
        self._look_every_s = look_every_s
        self._patient_looks = max(1, round(WAITS_FOR_S / look_every_s))
        self._seen: dict[Path, Seen] = {}
        self._strange: dict[Path, Seen] = {}
        self._stuck: dict[Path, Outage] = {}
        noun = taker.noun
        self._world = Outage(log, f"{noun} wait in {folder}, trying on", f"{noun} are taken from {folder} again")

    async def run(self) -> None:
        """Look again and again, for ever; a folder or a disk that fails is said once, and tried on."""
        log.info("%s are taken from %s", self._taker.noun, self._folder)
        while True:
            try:
                await self.look()
            except OSError as error:
                self._world.lost(f"{error.filename or self._folder}: {error.strerror}")
            except StoreError as error:
                self._world.lost(error)
            else:
                self._world.back()
            await asyncio.sleep(self._look_every_s)

    async def look(self) -> None:
        """Take what is whole. What was not come to is come to at the next look.

        Raises StoreError, and OSError where the drop folder itself fails.
        """
        found = await asyncio.to_thread(_looked, self._folder, self._taker.endings)
        self._seen = _seen_again(self._seen, found.shapes)
        self._strange = _seen_again(self._strange, found.strange)
        self._keep_stuck(found)
        for path, seen in self._strange.items():
            if seen.looks == self._patient_looks:
                name, endings = path.relative_to(self._folder), ", ".join(self._taker.endings)
                log.warning("%s is not taken, for its name ends in none of %s", name, endings)
        for path, seen in list(self._seen.items()):
            if seen.looks:
                await self._take(path, seen)

    def _keep_stuck(self, found: Found) -> None:
        """Say what cannot be looked at, and forget what is gone or can be looked at again."""
        for path in self._stuck.keys() - found.shapes.keys() - found.failed.keys():
            self._stuck.pop(path).back()
        for path, error in found.failed.items():
            self._say_stuck(path, error)

    def _say_stuck(self, path: Path, error: OSError) -> None:
        name = path.relative_to(self._folder)
        world = Outage(log, f"{name} waits, trying on", f"{name} waits no more")
        where = Path(error.filename2 or error.filename or path).name
        self._stuck.setdefault(path, world).lost(f"{where}: {error.strerror}")

    async def _take(self, path: Path, seen: Seen) -> None:
        try:
            raw = await asyncio.to_thread(_content, path, seen.shape, self._taker.max_bytes)
            if raw is None:
                return
            became = await self._judge(path, seen, raw) if seen.became is None else seen.became
            if became is None:
                return
            self._seen[path] = seen._replace(became=became)
            if not await asyncio.to_thread(_move, path, seen.shape, raw, became):
                return
        except OSError as error:
            self._say_stuck(path, error)
            return
        del self._seen[path]
        if path in self._stuck:
            self._stuck.pop(path).back()

    async def _judge(self, path: Path, seen: Seen, raw: bytes) -> Became | None:
        """Hand in a file: what became of it, None while it may still grow."""
        whose = os.fsencode(path.parent.name).decode("utf-8", "replace")
        try:
            is_final = seen.looks >= self._patient_looks
            became = await self._taker.take(whose, path.name, raw, is_final=is_final)
        except NotYetError:
            return None
        level = logging.WARNING if became.faults else logging.INFO
        log.log(level, "%s/%s %s", whose, path.name, became.said)
        return became


def _seen_again(before: dict[Path, Seen], shapes: dict[Path, Shape]) -> dict[Path, Seen]:
    """Files as they are seen now, each with the number of looks for which it has been as it is."""
    found = {}
    for path, shape in shapes.items():
        seen = before.get(path)
        found[path] = seen._replace(looks=seen.looks + 1) if seen and seen.shape == shape else Seen(shape)
    return found


def _looked(folder: Path, endings: tuple[str, ...]) -> Found:
    """What lies in the folder, of each as many files as are taken at one look."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Found({}, {}, {})
    for whose in _listed(folder):
        try:
            if whose.is_dir(follow_symlinks=False):
                _look_at(Path(whose.path), endings, found)
        except OSError as error:
            found.failed[Path(whose.path)] = error
    return found


def _look_at(whose: Path, endings: tuple[str, ...], found: Found) -> None:
    """Find the files in one folder."""
    counts = {True: 0, False: 0}
    for one in _listed(whose):
        shapes = found.shapes if one.name.lower().endswith(endings) else found.strange
        try:
            about = one.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        except OSError as error:
            found.failed[Path(one.path)] = error
            continue
        if stat.S_ISREG(about.st_mode):
            counts[shapes is found.shapes] += 1
            if counts[shapes is found.shapes] <= FILES_A_LOOK:
                shapes[Path(one.path)] = _shape_of(about)
        if counts[True] == FILES_A_LOOK:
            return


def _listed(folder: Path) -> Sequence["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        return sorted((one for one in entries if not one.name.startswith(".")), key=lambda one: one.name)


def _content(path: Path, shape: Shape, max_bytes: int) -> bytes | None:
    """A file's bytes, of one that is too long so many that it shows; None where it is gone or has changed."""
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
            about = os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    return raw if _shape_of(about) == shape else None


def _shape_of(about: os.stat_result) -> Shape:
    return Shape(about.st_ino, about.st_size, about.st_mtime_ns)


def _move(path: Path, shape: Shape, raw: bytes, became: Became) -> bool:
    """Move a file to where it goes; what is wrong with it is there before it. False where it has changed, and is where
    it was: whoever writes it may do so until the move, and under any name."""
    if _shape_of(path.lstat()) != shape:
        return False
    target = _target(path, raw, became.folder)
    if became.faults:
        reason = target.with_name(target.name + REASON)
        reason.write_text("".join(f"{one}\n" for one in became.faults), encoding="utf-8")
    path.replace(target)
    if _shape_of(target.lstat()) != shape and not os.path.lexists(path):
        target.replace(path)
        return False
    return True


def _target(path: Path, raw: bytes, folder: str) -> Path:
    """Where a file goes: its own name, or, where another has that or it is too long, one that tells its content."""
    target = path.parent / folder / path.name
    try:
        target.parent.mkdir(exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, "is no folder: move it away", str(target.parent)) from None
    if len(os.fsencode(path.name)) <= NAME_MAX_BYTES and not target.exists():
        return target
    end = f".{canonical.sha256(raw)[:12]}{path.suffix}"
    start = os.fsencode(path.stem)[: NAME_MAX_BYTES - len(end)].decode("utf-8", "ignore")
    return target.with_name(start + end)
