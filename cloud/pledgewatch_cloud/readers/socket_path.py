"""The socket at which the service answers its readers: a file of the data folder, for its owner alone.

A path of a Unix socket has at most 107 bytes, and a data folder may lie deep: the folder is named by a descriptor of
it, which the kernel shows under /proc.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

_NAME = "api.sock"
_BACKLOG = 2_048  # where it is full, who connects to a Unix socket is refused at once


@contextlib.contextmanager
def path_in(folder: Path) -> Iterator[str]:
    """The socket's path, for as long as this lasts."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{_NAME}"
    finally:
        os.close(descriptor)


def listen_in(folder: Path) -> socket.socket:
    """A socket that listens there. Whoever holds the folder alone is the only one who does."""
    (folder / _NAME).unlink(missing_ok=True)
    one = socket.socket(socket.AF_UNIX)
    try:
        with path_in(folder) as path:
            before = os.umask(0o177)
            try:
                one.bind(path)
            finally:
                os.umask(before)
        one.listen(_BACKLOG)
    except BaseException:
        one.close()
        raise
    return one
