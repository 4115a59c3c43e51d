"""Logs that were found broken and moved aside: what went from them into the log that followed.

What is whole in one was rescued (spool_file.py), and what the cloud is known to have needed no rescue. So whoever has
written down that something was about to be numbered finds here what became of it, also when that life is over.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pledgewatch_edge.spool_errors import disk_errors
from pledgewatch_edge.spool_log import committed_in, content_of, payload_of, runs_in, segments_in
from pledgewatch_wire.marks import Marks

BROKEN: Final = "spool.broken-"


def broken_logs(folder: Path) -> list[Path]:
    """The logs of a state folder that were moved aside, oldest first."""
    return sorted(folder.glob(f"{BROKEN}*[0-9]"), key=number_of)


def number_of(aside: Path) -> int:
    """Which of them one is."""
    return int(aside.name.rpartition("-")[2])


def taken_over_up_to(folder: Path, epoch: int, first: int) -> int:
    """Up to where the numbers of an epoch that is over, from `first` on, stand whole in what was moved aside, or are
    known to be committed; `first` - 1 where not even that one does. Raises SpoolError."""
    marks = Marks()
    with disk_errors(folder):
        for aside in broken_logs(folder):
            for one, _, path in segments_in(aside):
                if one == epoch:
                    for low, high in _taken_over(path):
                        marks = marks.add(low, high)
    spans = ((1, marks.contiguous), *marks.ranges)
    return next((high for low, high in spans if low <= first <= high), first - 1)


def _taken_over(path: Path) -> Iterator[tuple[int, int]]:
    """The spans of numbers in a file that went on from there. Raises OSError."""
    frames = content_of(path.read_bytes()).frames
    if contiguous := committed_in(frames):
        yield 1, contiguous
    for run in runs_in(frames):
        try:
            payload_of(run)
        except ValueError:
            continue
        yield run.first, run.last
