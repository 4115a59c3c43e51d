"""The anchor: one short line beside the journal that says how far it had come when a change was last committed.

SQLite reads its log up to the first frame that does not check, and takes what stands there for the end. One changed
byte in the log of a killed process therefore makes a journal shorter, not unreadable, and so does whoever deletes the
last entries. The anchor tells both: it is written after each commit, so it may lag behind the journal (by one change
after a kill, by what the kernel had not written back after a power cut) and can never be ahead of it.

    changes (20 digits) ‖ entry (20 digits) ‖ hash of that entry (64 hex digits) ‖ CRC-32 of all before (8 hex digits)

with a blank between and a newline at the end: 116 bytes, overwritten in place, within one sector.
"""

import contextlib
import os
import zlib
from pathlib import Path
from typing import NamedTuple

FILE_NAME = "journal.anchor"

_LENGTH = 116
_TRIES = 3


class AnchorError(Exception):
    """The line is not one that this program wrote."""


class Head(NamedTuple):
    """How far a journal has come: its changes of any kind, its last entry and that entry's hash."""

    changes: int
    entry: int
    hash: bytes


def read(path: Path) -> Head | None:
    """What the anchor says, or None where there is none. Raises AnchorError."""
    for _ in range(_TRIES):  # a reader may meet the line half overwritten, but not three times
        try:
            line = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AnchorError(f"{path} cannot be read: {error.strerror}") from None
        with contextlib.suppress(ValueError):
            changes, entry, digest, _ = line.split()
            head = Head(int(changes), int(entry), bytes.fromhex(digest.decode("ascii")))
            if _line(head) == line:
                return head
    raise AnchorError(f"{path} is not as it was written")


class Anchor:
    """The line, held open for writing."""

    def __init__(self, path: Path, head: Head) -> None:
        """Open it, or make the file, and write. Once this returns an anchor is on disk. Raises OSError."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.write(head)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fdatasync(self._file)
            os.fsync(folder)
        finally:
            os.close(folder)

    def write(self, head: Head) -> None:
        """Overwrite the line. Where the disk does not take it, the one before stands, which guards less but is true;
        such a disk does not take the next commit either, and that is told."""
        with contextlib.suppress(OSError):
            os.pwrite(self._file, _line(head), 0)

    def close(self) -> None:
        """Wait for the disk and let go of the file."""
        with contextlib.suppress(OSError):
            os.fdatasync(self._file)
        os.close(self._file)


def _line(head: Head) -> bytes:
    text = f"{head.changes:020d} {head.entry:020d} {head.hash.hex()} ".encode()
    line = text + f"{zlib.crc32(text):08x}\n".encode()
    assert len(line) == _LENGTH
    return line
