"""A segment of the spool as it is known in memory: which numbers stand in its file, and which of them are urgent.

It holds spans and no readings, so what it costs does not grow with what is in the file.
"""

import contextlib
import os
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from pathlib import Path

from pledgewatch_edge.identity import flush_folder
from pledgewatch_edge.spool.errors import SpoolCorruptError, disk_errors
from pledgewatch_edge.spool.log import (
    Content,
    Head,
    committed_frame,
    content_of,
    head_frame,
    head_of,
    payload_of,
    read_around,
    runs_in,
    segment_name,
    thinned_in,
    write_durably,
)
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Clock, Reading


@dataclass(slots=True)
class Segment:
    """A file of the log, and the sequences that it still has (first, last), ascending; `urgent` are those of them that
    are urgent.

    `turns`: how often it was thinned; `newest_ms`: the newest moment in it by a clock that was set, None where no such
    is known; `begun_ms`: when it was begun, None where that is not known.
    """

    path: Path
    head: Head
    end: int
    last: int
    runs: list[tuple[int, int]] = field(default_factory=list)
    urgent: list[tuple[int, int]] = field(default_factory=list)
    turns: int = 0
    dropped: int = 0
    newest_ms: int | None = None
    begun_ms: int | None = None

    def add(self, first: int, last: int, *, is_urgent: bool) -> None:
        """Note that readings stand in it."""
        for spans in (self.runs, self.urgent) if is_urgent else (self.runs,):
            joined = spans.pop()[0] if spans and spans[-1][1] == first - 1 else first
            spans.append((joined, last))
        self.last = max(self.last, last)

    def measured(self, readings: Iterable[Reading], now_ms: int | None) -> None:
        """Note when readings in it were measured: now, or else by their own moments."""
        told = [one.measured_at_ms for one in readings if one.clock != Clock.UNSET]
        if told:
            self.newest_ms = max(self.newest_ms or 0, max(told) if now_ms is None else now_ms)

    def begin(self, readings: Iterable[Reading], now_ms: int | None) -> None:
        """Note when it was begun, if that is not known yet: now, or else by the first moment of some readings."""
        if self.begun_ms is None:
            told = (one.measured_at_ms for one in readings if one.clock != Clock.UNSET)
            self.begun_ms = next(told, None) if now_ms is None else now_ms

    def kept(self) -> int:
        """How many readings stand in it."""
        return sum(last - first + 1 for first, last in self.runs)

    def waiting(self, committed: Marks) -> int:
        """How many of them the cloud is not known to have."""
        if not committed.ranges and not (self.runs and self.runs[0][0] <= committed.contiguous):
            return self.kept()
        return sum(uncovered(first, last, committed) for first, last in self.runs)

    def is_untold(self, committed: Marks) -> bool:
        """Whether readings of it were dropped and the cloud may not have been told."""
        return self.dropped > 0 and committed.contiguous < self.last

    def has_urgent(self, after: int, committed: Marks) -> bool:
        """Whether urgent readings above a sequence wait in it."""
        spans = islice(self.urgent, bisect_left(self.urgent, after + 1, key=itemgetter(1)), None)
        return any(uncovered(max(first, after + 1), last, committed) > 0 for first, last in spans)


def uncovered(first: int, last: int, committed: Marks) -> int:
    """How many of first to last the cloud is not known to have."""
    first = max(first, committed.contiguous + 1)
    ranges = committed.ranges
    covered = 0
    for low, high in ranges[max(0, bisect_left(ranges, (first, 0)) - 1) : bisect_left(ranges, (last + 1, 0))]:
        covered += max(0, min(last, high) - max(first, low) + 1)
    return max(0, last - first + 1) - covered


def begin_segment(folder: Path, head: Head, contiguous: int) -> tuple[Segment, int]:
    """A new segment on the disk, and its descriptor. Raises SpoolError."""
    path = folder / segment_name(head.epoch, head.first)
    data = head_frame(head) + committed_frame(contiguous)
    with disk_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_durably(descriptor, data, 0)
            flush_folder(folder)
        except BaseException:
            os.close(descriptor)
            raise
    return Segment(path, head, len(data), head.first - 1), descriptor


def segment_of(path: Path) -> tuple[Segment, Content]:
    """A segment, and what stands in it. Raises SpoolCorruptError where it does not begin as one, OSError."""
    return _segment_in(path, path.read_bytes())


def _segment_in(path: Path, data: bytes) -> tuple[Segment, Content]:
    content = content_of(data)
    if not content.frames:
        raise SpoolCorruptError(f"{path} holds nothing that is whole")
    try:
        head = head_of(content.frames[0].body)
    except ValueError as error:
        raise SpoolCorruptError(f"{path.name}: {error}") from None
    segment = Segment(path, head, content.end, head.first - 1)
    for run in runs_in(content.frames):
        segment.add(run.first, run.last, is_urgent=run.is_urgent)
    thinned = thinned_in(content.frames)
    # Its last frame tells how old a segment is, without all others being read.
    for run in islice(reversed([*runs_in(content.frames)]), 1):
        with contextlib.suppress(ValueError):
            segment.measured(payload_of(run).readings, None)
    if thinned is not None:
        segment.turns, segment.dropped = 1, thinned.dropped
    return segment, content


def segment_or_bare(path: Path) -> tuple[Segment, Content]:
    """A segment, without what the disk cannot read; one whose head is broken as nobody's, with the epoch of its name.
    Raises OSError."""
    data = read_around(path)
    try:
        return _segment_in(path, data)
    except SpoolCorruptError:
        content = content_of(data)
        epoch = int(path.name.partition("-")[0])
        return Segment(path, Head("", epoch, 1, 0, b""), content.end, 0), content
