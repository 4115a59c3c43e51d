"""A file that a configuration names, read so that whatever stands there ends nobody.

Settings come from afar too, and a path may be a serial line that was mistaken for a file, a pipe, or a device that
gives octets for ever. Whoever opens a pipe waits until somebody writes; whoever opens some devices has them do
something. So it is looked at before it is opened, and what is no plain file is not read, and neither is one that is
larger than any that a configuration means.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Final

FILE_MAX: Final = 1024 * 1024
_HOW: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read_named(path: Path, most: int = FILE_MAX) -> bytes:
    """What is in a file that a configuration names. Raises OSError, also where it is no plain file or holds more than
    `most` octets, and ValueError where no file can have such a name."""
    with os.fdopen(_opened(path), "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} octets", str(path))
    return data


def read_named_text(path: Path, encoding: str = "utf-8") -> str:
    """The same as text, with line ends as Python has them. Raises OSError, and ValueError where it is none."""
    return read_named(path).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def look_at_named(path: Path) -> None:
    """Raise OSError where such a file cannot be read, however large it is, and ValueError as `read_named` does."""
    with os.fdopen(_opened(path), "rb") as file:
        file.read(1)


def _opened(path: Path) -> int:
    _require_plain(path.stat(), path)
    descriptor = os.open(path, _HOW)
    try:
        _require_plain(os.fstat(descriptor), path)  # another may stand there since
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _require_plain(found: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is a device, a pipe or a socket, and no plain file", str(path))
