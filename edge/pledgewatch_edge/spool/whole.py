"""What is whole in a log that is broken, and what became of the numbers that were given in it.

It is gone through in units: a segment, with those behind it that have become one with it and are not removed yet, so
that nothing is found twice.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from pledgewatch_edge.identity import Totals
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool.errors import READ_TRIES, SpoolCorruptError
from pledgewatch_edge.spool.log import Content, Frame, Kind, committed_in, payload_of, runs_in, segments_in, thinned_in
from pledgewatch_edge.spool.segment import Segment, segment_or_bare
from pledgewatch_edge.undated import Handing
from pledgewatch_wire.ended import Ended
from pledgewatch_wire.marks import Marks


class Hearer:
    """Is told what becomes of numbers of an epoch; this one does not want to know."""

    def hear(self, epoch: int, first: int, last: int) -> None:
        """These go on into the new life, or have come to their end."""

    def hear_committed(self, epoch: int, last: int) -> None:
        """So far all have come to their end. Told before anything else."""

    def hear_saved(self, epoch: int) -> None:
        """One more goes on."""


NOBODY: Final = Hearer()
_WORDS: Final = frozenset({Kind.COMMITTED, Kind.PUT_BACK})  # of a segment that was thinned either alone may be left


class Numbers(Hearer):
    """What became of the numbers of a life that is over."""

    def __init__(self, spool: Path, totals: Totals, handing: Handing) -> None:
        self._handing = handing
        self._known: dict[int, Marks] = {}
        self._last = {totals.epoch: totals.head_sequence}  # by epoch, as far as anything tells of it
        self._committed: dict[int, int] = {}
        self._saved: Counter[int] = Counter()
        for epoch, first, _ in segments_in(spool):
            self._last[epoch] = max(self._last.get(epoch, 0), first - 1)
            self._known.setdefault(epoch, Marks())

    def hear(self, epoch: int, first: int, last: int) -> None:
        """These go on into the new life, or have come to their end."""
        self._handing.hear(epoch, first, last)
        if last >= first:
            self._known[epoch] = self._known.get(epoch, Marks()).add(first, last)
            self._last[epoch] = max(self._last.get(epoch, 0), last)

    def hear_committed(self, epoch: int, last: int) -> None:
        """So far all have come to their end."""
        self.hear(epoch, 1, last)
        self._committed[epoch] = max(self._committed.get(epoch, 0), last)

    def hear_saved(self, epoch: int) -> None:
        """One more goes on."""
        self._saved[epoch] += 1

    def ended(self) -> Ended | None:
        """What became of the newest epoch that is over; None where there was none."""
        epoch = max(self._last)
        if not epoch:
            return None
        head, known = self._last[epoch], self._known.get(epoch, Marks()).total
        saved, anew = self._saved[epoch], self._handing.numbered_anew({epoch: head})
        thinned = max(0, known - self._committed.get(epoch, 0) - saved)
        return Ended(epoch, head, saved + anew, max(0, head - known - anew), thinned)

    def counted(self, before: Totals, now: Totals, rescued: int, head_sequence: int) -> Totals:
        """The tally `now` of the life that goes on from one `before` it, into which so many came, up to a number. What
        was rescued was measured, and counted, before; and so was what is numbered anew."""
        beyond, anew = self.found_beyond(before), self._handing.numbered_anew({before.epoch: before.head_sequence})
        return now.settled(beyond)._replace(
            head_sequence=head_sequence,
            measured_before=max(0, before.measured + beyond - rescued - anew),
            broken=before.broken + self.lost(),
        )

    def found_beyond(self, totals: Totals) -> int:
        """How many are there that the tally does not know of."""
        known = self._known.get(totals.epoch, Marks())
        return known.total - known.total_up_to(totals.head_sequence)

    def lost(self) -> int:
        """How many nobody knows of, but for those that are numbered anew."""
        gaps = (
            last - self._known[epoch].total_up_to(last) for epoch, last in self._last.items() if epoch in self._known
        )
        return max(0, sum(gaps) - self._handing.numbered_anew(self._last))


class _Found(NamedTuple):
    """A segment, what stands in its file, and whether all of that is whole."""

    segment: Segment
    content: Content
    is_whole: bool


@dataclass(slots=True)
class Unit:
    """Some files of a log, by the epochs and first numbers of their names; what is whole in them and not known to be
    committed; and those of them in which not all is whole."""

    names: list[tuple[int, int]] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    broken: list[Path] = field(default_factory=list)


def whole(spool: Path, device: str, hearer: Hearer = NOBODY) -> Iterator[Sample]:
    """The readings of a broken log that are whole and not known to be committed, each once. `hearer` is told of the
    numbers that are among them, or need not be."""
    for unit in units(spool, device, hearer):
        yield from unit.samples
        unit.samples.clear()  # so that it does not lie in memory while the next segment is read


def units(spool: Path, device: str, hearer: Hearer = NOBODY) -> Iterator[Unit]:
    """The same by the files that it stands in, in order; all files are told, readable or not."""
    contiguous = _contiguous(spool)
    for epoch, last in contiguous.items():
        hearer.hear_committed(epoch, last)
    seen: set[int] = set()
    up_to = (0, 0)
    unit = Unit()
    for name, path, found in _each(spool):
        epoch = found.segment.head.epoch if found is not None else name[0]
        if (epoch, name[1]) > up_to:  # else it may have become one with those before
            if unit.paths:
                yield unit
            seen, unit = set(), Unit()
        unit.names.append(name)
        unit.paths.append(path)
        is_whole = False
        if found is not None and found.segment.head.device in {device, ""}:
            last, is_whole = _take(found, unit.samples, seen, contiguous.get(epoch, 0), hearer)
            up_to = max(up_to, (epoch, last))
        if not is_whole:
            unit.broken.append(path)
    if unit.paths:
        yield unit


def _contiguous(spool: Path) -> dict[int, int]:
    """Up to where each epoch is known to be committed. Where nothing tells of it any more, what is not there was let go
    as committed."""
    said: dict[int, int] = {}
    before: dict[int, int] = {}
    for (epoch, first), _, found in _each(spool):
        before.setdefault(epoch, first - 1)
        if found is not None and any(one.kind in _WORDS for one in found.content.frames):
            own = found.segment.head.epoch
            said[own] = committed_in(found.content.frames, said.get(own, 0))
        del found  # before the next is read
    return before | said


def _take(found: _Found, samples: list[Sample], seen: set[int], committed: int, hearer: Hearer) -> tuple[int, bool]:
    """Take what is whole in a segment; the highest number that is, 0 for none, and whether all is."""
    epoch, highest, is_whole = found.segment.head.epoch, 0, found.is_whole
    for low, high in _dropped_in(found.content.frames):
        hearer.hear(epoch, low, high)
    for run in runs_in(found.content.frames):
        try:
            readings = payload_of(run).readings
        except ValueError:
            is_whole = False
            continue
        hearer.hear(epoch, run.first, run.last)
        for reading in readings:
            if reading.sequence > committed and reading.sequence not in seen:
                seen.add(reading.sequence)
                hearer.hear_saved(epoch)
                samples.append(Sample(reading.measured_at_ms, reading.clock, reading.cells, run.is_urgent))
        highest = max(highest, run.last)
    return highest, is_whole


def _dropped_in(frames: list[Frame]) -> Iterator[tuple[int, int]]:
    """The spans of numbers that were thinned out of a segment."""
    thinned = thinned_in(frames)
    if thinned is not None:
        low = thinned.first
        for kept in (*thinned.kept, thinned.last + 1):
            if low < kept:
                yield low, kept - 1
            low = kept + 1


def _each(spool: Path) -> Iterator[tuple[tuple[int, int], Path, _Found | None]]:
    """The files of a broken log in order, by what their names say; None for what cannot be read."""
    for epoch, first, path in segments_in(spool):
        found = None
        for _ in range(READ_TRIES):
            try:
                segment, content = segment_or_bare(path)
                is_whole = bool(segment.head.device) and not content.is_holed and content.end == path.stat().st_size
            except (SpoolCorruptError, OSError):
                continue
            found = _Found(segment, content, is_whole)
            break
        yield (epoch, first), path, found
