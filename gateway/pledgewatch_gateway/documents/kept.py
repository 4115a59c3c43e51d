"""Small things kept on disk: a file that is replaced whole, so that a power cut leaves the old or the new."""

import contextlib
import os
from pathlib import Path
from typing import Final

from pledgewatch_edge.identity import flush_folder

PART: Final = ".part"


def replace(path: Path, content: bytes) -> None:
    """Put `content` in the place of a file; it survives a power cut when this returns. Raises OSError, and then the
    old one is there. One at a time for each path."""
    part = path.with_name(f".{path.name}{PART}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, durably, where it is not there."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flush_folder(folder.parent)


def move(path: Path, target: Path) -> None:
    """Move a file to another folder of the same file system; it is where it was, or there."""
    path.replace(target)
    flush_folder(target.parent)
    flush_folder(path.parent)
