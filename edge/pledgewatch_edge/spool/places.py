"""Where a spool lies in its state folder, and what lies there while a new life of it is made.

    spool             the log
    spool.part        a new life while it is made; cleared at each start, for it is nobody's
    spool.moving      a new life into which the old log goes segment by segment (spool/moving.py)
    spool.new         a new life, whole and on the disk; from now on it is the spool, whatever happens
    spool.broken-N    what was moved aside as evidence

A new life needs room. The file system is asked for it before anything is written, and what is kept beside the log goes
for it only where that helps: a start that has to wait for room wears out nothing.
"""

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from pledgewatch_edge.spool.errors import SpoolError, cure_of_refusal, disk_errors, is_for_want_of_room
from pledgewatch_edge.spool.log import SEGMENT_BYTES, segments_in
from pledgewatch_edge.spool.reserve import RESERVE_FILE, room_in, room_taken

SPOOL_FOLDER: Final = "spool"
PART_FOLDER: Final = "spool.part"
MOVING_FOLDER: Final = "spool.moving"
NEW_FOLDER: Final = "spool.new"
BROKEN: Final = "spool.broken-"
EVIDENCE_KEPT: Final = 3
UNDATED_FILE: Final = "undated.log"
SMALL_BYTES: Final = 32_768  # for files of a block each, and folders
_Made = TypeVar("_Made")
log = logging.getLogger(__name__)


def spool_of(folder: Path) -> Path:
    """Where the spool of a state folder lies: also one that is whole, or has readings, and is not yet in its place.
    Raises SpoolError."""
    fresh, moving = folder / NEW_FOLDER, folder / MOVING_FOLDER
    try:
        if fresh.exists():
            return fresh
        return moving if segments_in(moving) else folder / SPOOL_FOLDER
    except PermissionError as error:
        raise SpoolError(f"{folder}: {error.strerror}; {cure_of_refusal(folder)}") from error
    except OSError as error:
        raise SpoolError(f"{error.filename or folder}: {error.strerror}") from error


def broken_logs(folder: Path) -> list[Path]:
    """The logs of a state folder that were moved aside, oldest first."""
    return sorted(folder.glob(f"{BROKEN}*[0-9]"), key=number_of)


def number_of(aside: Path) -> int:
    """Which of them one is."""
    return int(aside.name.rpartition("-")[2])


def files_in(place: Path) -> list[Path]:
    """The files of a folder."""
    return [one for one in place.rglob("*") if one.is_file()]


def has_room(folder: Path, needed: int, files: Iterable[Path] = ()) -> bool:
    """Whether the file system says that so many bytes have room, if some files were removed. Raises SpoolError."""
    with disk_errors(folder):
        return room_in(folder) + room_taken(files) >= needed


def with_room(folder: Path, needed: int, make: Callable[[], _Made], spare: Iterable[Path] = ()) -> _Made:
    """Make something that needs so many bytes; where they are not there, the room that is kept for it is given up, then
    evidence goes, the oldest first, then `spare` files. Nothing is removed, and nothing made, where all of that would
    not be enough by what the file system says. Raises SpoolError."""
    ways = [partial(_remove, one) for one in (*_reserve_in(folder), *broken_logs(folder), *spare)]
    if not has_room(folder, needed, [*_may_go(folder), *spare]):
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise SpoolError(f"{folder}: {needed:,} bytes have no room; {_WAITS}") from full
    for way in ways:
        if has_room(folder, needed):
            break
        way()
    else:
        ways = []
    while True:
        try:
            return make()
        except SpoolError as error:  # a quota, or a limit to the length of files, of which the file system says nothing
            if not is_for_want_of_room(error):
                raise
            if not ways:
                raise SpoolError(f"{error}; {_WAITS}") from error.__cause__
            ways.pop(0)()


def needed_to_move(folder: Path) -> int:
    """How many bytes a new life needs into which the old log goes segment by segment. Raises SpoolError."""
    undated = folder / UNDATED_FILE
    with disk_errors(undated):
        return SMALL_BYTES + SEGMENT_BYTES + (undated.stat().st_size if undated.exists() else 0)


def has_room_for_life(folder: Path, largest: int) -> bool:
    """Whether a log whose largest segment has so many bytes would find room for its new life, with all that may go for
    it, and what is planned written. Raises SpoolError."""
    return has_room(folder, needed_to_move(folder) + SMALL_BYTES + max(0, largest - SEGMENT_BYTES), _may_go(folder))


def _reserve_in(folder: Path) -> list[Path]:
    return [one for one in (folder / RESERVE_FILE,) if one.exists()]


def _may_go(folder: Path) -> list[Path]:
    """The files that may go for a new life."""
    return [*_reserve_in(folder), *(file for one in broken_logs(folder) for file in files_in(one))]


_WAITS: Final = "a new spool waits for room, and what is in the old one stays"


def _remove(place: Path) -> None:
    log.warning("spool has no room for a new one, removing=%s", place.name)
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with disk_errors(place):
            place.unlink(missing_ok=True)
