"""What a spool may raise, and the operating system's errors as that."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

UNREADABLE: Final = frozenset({errno.EIO, errno.ENODATA, errno.EILSEQ, errno.EUCLEAN})
"""What a disk says of a place that it cannot read, by its driver and its file system."""
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a full disk says; the second for a user who may have no more, the third where the file may not become larger."""
READ_TRIES: Final = 2  # so that a disk that refuses once costs no readings; one that goes on does not stop the device
_Read = TypeVar("_Read")


class SpoolError(RuntimeError):
    """The disk does not do what it should (full, input/output error). Nothing has changed; try again later."""


class SpoolCorruptError(RuntimeError):
    """The spool's files are broken. The next opening moves them aside and begins a new epoch."""


@contextlib.contextmanager
def disk_errors(path: Path | None = None) -> Iterator[None]:
    """The operating system's errors as ours; `path` names the file where they do not."""
    try:
        yield
    except OSError as error:
        raise SpoolError(f"{error.filename or path}: {error.strerror}") from error


def cure_of_refusal(folder: Path) -> str:
    """What to do where the operating system says that we may not do something in a state folder."""
    with contextlib.suppress(OSError):
        if folder.stat().st_uid == os.geteuid():
            return f"give all that is in {folder} to the user whose folder it is (chown -R)"
    return "run this as the user whose folder it is, or as root (sudo)"


def is_for_want_of_room(error: BaseException) -> bool:
    """Whether a SpoolError says that the disk is full."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_ROOM


def tried(read: Callable[[], _Read]) -> _Read:
    """What a disk gives, tried again where it cannot read the place. Raises OSError: one of UNREADABLE where it cannot
    each time; any other refusal may pass."""
    for _ in range(READ_TRIES - 1):
        try:
            return read()
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
    return read()


def readable(path: Path, read: Callable[[Path], _Read]) -> _Read:
    """What a disk gives of a file. Raises OSError; SpoolCorruptError where it cannot read it, each time: to try on
    would keep all that lies beyond the place from the cloud, and the next opening saves what can be read."""
    try:
        return tried(lambda: read(path))
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        raise SpoolCorruptError(f"{path.name} cannot be read: {error.strerror}") from None
