"""What stands in the spool's segments, read from the disk when somebody asks.

Each lane of the sending looks into a segment of its own again and again, so those that were read last are kept as
bytes, and the runs that were decoded last as readings; both are bounded. Every method may raise SpoolError, and
SpoolCorruptError where a file is not as it was written.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from pledgewatch_edge.spool.errors import SpoolCorruptError, disk_errors, readable
from pledgewatch_edge.spool.log import (
    Content,
    Frame,
    Run,
    content_of,
    payload_of,
    runs_in,
)
from pledgewatch_edge.spool.segment import Segment
from pledgewatch_wire.codec import Checkpoint
from pledgewatch_wire.reading import Reading

_SEGMENTS_KEPT: Final = 3  # one for each lane (sending.py)
_RUNS_KEPT: Final = 32


class Readings(NamedTuple):
    """What a run holds."""

    readings: tuple[Reading, ...]
    checkpoints: tuple[Checkpoint, ...]


class Contents:
    """Reads segments. One thread at a time."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], Content]] = {}
        self._runs: dict[Path, tuple[Sequence[Frame], list[Run]]] = {}
        self._decoded = lru_cache(_RUNS_KEPT)(payload_of)

    def frames(self, segment: Segment) -> Sequence[Frame]:
        """A segment's frames, read now or, where its file is as it was, before."""
        path = segment.path
        with disk_errors(path):
            try:
                found = path.stat()
                as_it_was = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, segment.end)
                known = self._known.pop(path, None)
                if known is not None and known[0] == as_it_was:
                    self._known[path] = known
                    return known[1].frames
                data = readable(path, Path.read_bytes)[: segment.end]  # beyond it may stand what was not to be
            except FileNotFoundError:
                raise SpoolCorruptError(f"{path} is gone") from None
        content = content_of(data)
        if content.is_holed or content.end < segment.end:
            raise SpoolCorruptError(f"{path} has changed on the disk")
        self._known[path] = as_it_was, content
        if len(self._known) > _SEGMENTS_KEPT:
            del self._known[next(iter(self._known))]
        return content.frames

    def runs(self, segment: Segment) -> list[Run]:
        """The runs in a segment's frames, ascending."""
        frames = self.frames(segment)
        known = self._runs.pop(segment.path, None)
        if known is None or known[0] is not frames:
            known = frames, [*runs_in(frames)]
        self._runs[segment.path] = known
        if len(self._runs) > _SEGMENTS_KEPT:
            del self._runs[next(iter(self._runs))]
        return known[1]

    def readings(self, run: Run) -> Readings:
        """What is in a run."""
        try:
            payload = self._decoded(run)
        except ValueError as error:
            raise SpoolCorruptError(str(error)) from None
        return Readings(payload.readings, payload.checkpoints)
