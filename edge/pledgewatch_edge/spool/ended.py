"""What became of the lives of the spool that are over, kept beside its segments until the cloud can hear it.

    spool/ended          a frame (spool/log.py) for each, oldest first, the newest LIVES_KEPT

The new life says each of them in an urgent reading (pledgewatch_wire.ended), the first that it measures; so what
happened in a life that ended before it could say anything is said by the next. The file comes to its place with the
new life, and is written to no more. Where it is broken the cloud goes on not knowing how far those epochs went.
"""

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pledgewatch_edge.spool.errors import disk_errors
from pledgewatch_edge.spool.log import Kind, content_of, frame, read_around, write_durably
from pledgewatch_wire.ended import Ended

ENDED_FILE: Final = "ended"
LIVES_KEPT: Final = 16
_LIFE: Final = struct.Struct(">IQQQQ")


def lives_in(spool: Path) -> tuple[Ended, ...]:
    """The lives that a folder tells of. Raises SpoolError."""
    path = spool / ENDED_FILE
    with disk_errors(path):
        frames = content_of(read_around(path)).frames if path.exists() else []
    return tuple(
        Ended(*_LIFE.unpack(one.body)) for one in frames if one.kind == Kind.LIFE and len(one.body) == _LIFE.size
    )


def write_lives(spool: Path, lives: Iterable[Ended]) -> None:
    """Have a folder that has none yet tell of lives. Raises SpoolError."""
    data = b"".join(frame(Kind.LIFE, _LIFE.pack(*one)) for one in [*lives][-LIVES_KEPT:])
    with disk_errors(spool / ENDED_FILE):
        descriptor = os.open(spool / ENDED_FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            write_durably(descriptor, data, 0)
        finally:
            os.close(descriptor)
