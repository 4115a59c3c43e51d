"""What is looked up in the segments of a spool: what of them waits, and what travels with it. `known`: what is known to
be committed."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from operator import itemgetter

from pledgewatch_edge.spool.contents import Contents
from pledgewatch_edge.spool.log import Run, late_of
from pledgewatch_edge.spool.segment import Segment, uncovered
from pledgewatch_wire.codec import Checkpoint
from pledgewatch_wire.marks import Marks


def runs_beyond(
    segments: Sequence[Segment], contents: Contents, known: Marks, after: int, *, urgent: bool
) -> Iterator[tuple[Segment, Run]]:
    """The runs that reach beyond a sequence and hold anything that `Spool.read` gives, with their segments."""
    firsts = [one.head.first for one in segments]
    place = max(0, bisect_left(firsts, after + 2) - 1)
    for segment in islice(segments, place, None):
        is_untold = not urgent and segment.is_untold(known)
        is_wanted = segment.has_urgent(after, known) if urgent else is_untold or segment.waiting(known)
        if segment.last <= after or not is_wanted:
            continue
        runs = contents.runs(segment)
        for run in islice(runs, bisect_left(runs, after + 1, key=lambda one: one.last), None):
            if urgent and not run.is_urgent:
                continue
            if uncovered(run.first, run.last, known) or (is_untold and run.last == segment.last):
                yield segment, run


def urgent_beyond(segments: Sequence[Segment], known: Marks, after: int, last: int) -> Iterator[tuple[int, int]]:
    """The spans of urgent readings above `after` and up to `last` that are not committed; no file is read for it."""
    place = bisect_left(segments, after + 1, key=lambda one: one.last)
    spans = (
        span
        for segment in islice(segments, place, None)
        for low, high in islice(segment.urgent, bisect_left(segment.urgent, after + 1, key=itemgetter(1)), None)
        for span in known.missing_of(max(low, after + 1), min(high, last))
    )
    return takewhile(lambda one: one[0] <= last, spans)


def here_of(segments: Sequence[Segment], known: Marks, first: int, last: int) -> int:
    """How many of readings first to last `Spool.read` would give; no file is read for it."""
    telling = [one.last for one in segments if one.is_untold(known) and one.last in known]
    return sum(first <= one <= last for one in telling) + sum(
        uncovered(max(first, low), min(last, high), known)
        for segment in segments
        if segment.head.first <= last and segment.last >= first
        for low, high in segment.runs
    )


def checkpoints_with(
    segments: Sequence[Segment], contents: Contents, known: Marks, first: int, last: int
) -> list[Checkpoint]:
    """The checkpoints that travel with readings first to last: theirs, and a late one of the reading before."""
    found: list[Checkpoint] = []
    above = known.contiguous
    for segment in segments:
        # A late one may stand in the segment after its reading's.
        if segment.head.first > last + 1 or segment.last < first - 1:
            continue
        late = [one for one in map(late_of, contents.frames(segment)) if one is not None]
        found += [one for one in late if max(first - 1, above) <= one.sequence <= last]
        runs = contents.runs(segment)
        for run in islice(runs, bisect_left(runs, first, key=lambda one: one.last), None):
            if run.first > last:
                break
            own = contents.readings(run).checkpoints
            found += [one for one in own if max(first, above + 1) <= one.sequence <= last]
    return sorted(found)
