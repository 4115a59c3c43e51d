"""What a spool may raise, and the operating system's errors as that."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


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
