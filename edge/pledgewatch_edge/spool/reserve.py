"""Room that is kept on a card that is full for thinning: what is dropped goes only once what stays is written anew; and
where nothing can be thinned, for what is urgent. All but its last block: that is for the words that let go of readings
or end an epoch, which are a few bytes, and without which a full card would stay full of what the cloud has.

state/spool.reserve      RESERVE_BYTES of nothing, given up for that and taken again as far as there is room
"""

import contextlib
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from pledgewatch_edge.spool.errors import NO_ROOM, SpoolError, is_for_want_of_room

RESERVE_FILE: Final = "spool.reserve"
RESERVE_BYTES: Final = 131_072  # two segments
_BLOCK_BYTES: Final = 4_096


def room_doubt(folder: Path, max_mib: float) -> str:
    """What is to be said of a spool's bound where its state folder, made or not, is on too small a partition; else
    nothing. While a broken spool is written anew both lie there."""
    try:
        place = next((one for one in (folder, *folder.absolute().parents) if one.exists()), Path("/"))
        found = os.statvfs(place)
    except OSError:
        return ""
    whole_mib = found.f_blocks * found.f_frsize / 2**20
    if not whole_mib or 2 * max_mib <= whole_mib:
        return ""
    return f"max_mib = {max_mib:g} is more than half of the {whole_mib:.0f} MiB that {place} lies on: make it smaller"


def room_in(folder: Path) -> float:
    """How many bytes the file system of a folder has room for, as far as it says. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize if found.f_blocks else math.inf


def room_taken(paths: Iterable[Path]) -> int:
    """How many bytes files take, or would in copy, on a disk of blocks."""
    return sum(-(-path.stat().st_size // _BLOCK_BYTES) * _BLOCK_BYTES + _BLOCK_BYTES for path in paths)


def write_if_room(do: Callable[[], None]) -> None:
    """Write something that may be passed over where the disk is full for it. Raises SpoolError."""
    try:
        do()
    except SpoolError as error:
        if not is_for_want_of_room(error):
            raise


class Reserve:
    """The room of one state folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RESERVE_FILE
        self._bytes = self._path.stat().st_size if self._path.exists() else 0
        self._was_given_up = 0 < self._bytes < RESERVE_BYTES

    def keep(self) -> None:
        """Take the room, where it is not taken yet and is there; of what was given up as much as there is."""
        if self._bytes >= RESERVE_BYTES:
            return
        is_any_enough = self._was_given_up and self._bytes <= _BLOCK_BYTES
        sizes = range(RESERVE_BYTES, self._bytes, -_BLOCK_BYTES) if is_any_enough else (RESERVE_BYTES,)
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._bytes = next((size for size in sizes if _is_taken(descriptor, size)), self._bytes)
                os.ftruncate(descriptor, self._bytes)  # what a try may have left
            finally:
                os.close(descriptor)
                if not self._bytes:
                    self._path.unlink(missing_ok=True)

    def keep_early(self) -> None:
        """Take it where the file system says that as much is left for others."""
        with contextlib.suppress(OSError):
            if room_in(self._path.parent) >= 2 * RESERVE_BYTES:
                self.keep()

    def keep_again(self) -> None:
        """Take it where it was given up."""
        if self._was_given_up:
            self.keep()

    def give_up(self) -> bool:
        """Give the room to whoever writes next, all but its last block; False where no more than that was kept."""
        if self._bytes <= _BLOCK_BYTES:
            return False
        self._bytes, self._was_given_up = _BLOCK_BYTES, True
        with contextlib.suppress(OSError):
            os.truncate(self._path, _BLOCK_BYTES)
        return True

    def write(self, do: Callable[[], None]) -> None:
        """Write something; where the disk is full for that, with the room that is kept, but its last block. Raises
        SpoolError."""
        self._write_with(self.give_up, do)

    def write_word(self, do: Callable[[], None]) -> None:
        """Write a word; where the disk is full for that, with all the room that is kept. Raises SpoolError."""
        self._write_with(self._give_up_all, do)

    def _give_up_all(self) -> bool:
        was_kept, self._bytes = self._bytes > 0, 0
        self._was_given_up |= was_kept
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        return was_kept

    def _write_with(self, give_up: Callable[[], bool], do: Callable[[], None]) -> None:
        try:
            do()
        except SpoolError as error:
            if not (is_for_want_of_room(error) and give_up()):
                raise
            do()


def _is_taken(descriptor: int, size: int) -> bool:
    """Whether there was room for a file of that size."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        return False
    return True
