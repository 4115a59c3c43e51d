"""Room that is kept for thinning on a card that is full: what is dropped goes only once what stays is written anew.

state/spool.reserve      RESERVE_BYTES of nothing, given up for that and taken again once there is room
"""

import contextlib
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

RESERVE_FILE: Final = "spool.reserve"
RESERVE_BYTES: Final = 131_072  # two segments
_BLOCK_BYTES: Final = 4_096


def room_doubt(folder: Path, max_mib: float) -> str:
    """What is to be said of a spool's bound where its state folder, made or not, is on too small a partition; else
    nothing. While a broken spool is written anew both lie there."""
    place = next((one for one in (folder, *folder.absolute().parents) if one.exists()), Path("/"))
    try:
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


class Reserve:
    """The room of one state folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RESERVE_FILE
        self._is_kept = self._path.exists()
        self._was_given_up = False

    def keep(self) -> None:
        """Take the room, where it is not taken yet and is there."""
        if self._is_kept:
            return
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
                self._is_kept = True
            finally:
                os.close(descriptor)
                if not self._is_kept:
                    self._path.unlink(missing_ok=True)

    def keep_again(self) -> None:
        """Take it where it was given up."""
        if self._was_given_up:
            self.keep()

    def give_up(self) -> bool:
        """Give the room to whoever writes next; False where none was kept."""
        was_kept, self._is_kept = self._is_kept, False
        self._was_given_up |= was_kept
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        return was_kept
