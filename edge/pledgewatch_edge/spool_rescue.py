"""A new life of the spool: what is whole in a broken log goes into it, all of it or nothing yet.

    spool.part        the new life while it is made; cleared at each start, for it is nobody's
    spool.new         the same, whole and on the disk; from now on it is the spool, whatever happens
    spool             that of before, until `finish` moves it aside as evidence (spool.broken-N) and puts the new there

Whole is also what goes with the log and must agree with it: the tally, and what waits for a date (undated.py), without
what of it the new log holds. Both lie in `spool.part` and come to their places with it. So a kill or a disk that
refuses, at any step, leaves the old as it was, or a rescue that the next start finishes; and what was carried over is
judged by what the rescue has read, not by what it might have. The disk holds both logs for that while. Where it has no
room, the evidence of earlier ones goes, the oldest first; where that is not enough, the opening waits for room.

What of the old log the disk cannot read is taken for broken: the frames in those places are lost, and no others. How
many numbers no frame tells of any more, though they were given, is counted, and the new life says it in a reading
(`broken_readings`). What became of all of them, saved, lost or thinned, it says in another (spool_ended.py), so that
whoever had heard of the old life long ago knows how it ended.
"""

import errno
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_edge.identity import TALLY_FILE, Tally, Totals, flush_folder, keep_epoch, next_epoch
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool import SPOOL_FOLDER, Limits, Spool
from pledgewatch_edge.spool_age import Ages
from pledgewatch_edge.spool_ended import lives_in, write_lives
from pledgewatch_edge.spool_errors import SpoolCorruptError, SpoolError, disk_errors
from pledgewatch_edge.spool_log import (
    READ_TRIES,
    Content,
    Frame,
    Head,
    committed_in,
    payload_of,
    runs_in,
    segments_in,
    thinned_in,
    write_durably,
)
from pledgewatch_edge.spool_segment import Segment, begin_segment, segment_or_bare
from pledgewatch_edge.undated import UNDATED_FILE, Handing
from pledgewatch_wire import chain
from pledgewatch_wire.ended import Ended
from pledgewatch_wire.marks import Marks

PART_FOLDER: Final = "spool.part"
NEW_FOLDER: Final = "spool.new"
BROKEN: Final = "spool.broken-"
EVIDENCE_KEPT: Final = 3
_AT_ONCE: Final = 1_000
log = logging.getLogger(__name__)


class Hearer:
    """Is told what becomes of numbers of an epoch; this one does not want to know."""

    def hear(self, epoch: int, first: int, last: int) -> None:
        """These go on into the new life, or have come to their end."""

    def hear_committed(self, epoch: int, last: int) -> None:
        """So far all have come to their end. Told before anything else."""

    def hear_saved(self, epoch: int) -> None:
        """One more goes on."""


_NOBODY: Final = Hearer()


def spool_of(folder: Path) -> Path:
    """Where the spool of a state folder lies: also one that is whole and not yet in its place."""
    fresh = folder / NEW_FOLDER
    return fresh if fresh.exists() else folder / SPOOL_FOLDER


def begin_life(
    folder: Path,
    device: str,
    key: Ed25519PrivateKey,
    limits: Limits,
    monotonic: Callable[[], float],
    totals: Totals,
) -> None:
    """Make a spool of a new epoch out of what is whole in the one that is there, if one is, and put it in its place.

    Raises SpoolError where the disk refuses, and then nothing is lost; StateError where the epoch counter is.
    """
    for old in (*_broken_logs(folder), None):
        try:
            rescued, lost, epoch = _make(folder, device, key, limits, monotonic, totals)
            break
        except SpoolError as error:
            shutil.rmtree(folder / PART_FOLDER, ignore_errors=True)
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            if old is None:
                raise SpoolError(f"{error}; a new spool waits for room, and what is in the old one stays") from cause
            log.warning("spool has no room for a new one, removing evidence=%s", old.name)
            shutil.rmtree(old, ignore_errors=True)
    aside = finish(folder)
    log.info("spool new epoch=%d rescued=%d lost=%d moved_to=%s", epoch, rescued, lost, aside.name if aside else None)


def finish(folder: Path) -> Path | None:
    """Put a new spool that is whole in its place, if one is; where that of before was moved to. Raises SpoolError; to
    be called again then, before anything else looks at the folder."""
    fresh, spool, aside = folder / NEW_FOLDER, folder / SPOOL_FOLDER, None
    with disk_errors(fresh):
        if fresh.exists():
            flush_folder(folder)
            if spool.exists() and any(spool.iterdir()):
                evidence = _broken_logs(folder)
                aside = folder / f"{BROKEN}{_number_of(evidence[-1]) + 1 if evidence else 1}"
                spool.replace(aside)
                flush_folder(folder)
            for name in (TALLY_FILE, UNDATED_FILE):
                if (fresh / name).exists():
                    (fresh / name).replace(folder / name)
            flush_folder(folder)
            flush_folder(fresh)
            fresh.replace(spool)
            flush_folder(folder)
    for old in (folder / PART_FOLDER, *_broken_logs(folder)[:-EVIDENCE_KEPT]):
        shutil.rmtree(old, ignore_errors=True)
    return aside


class _Numbers(Hearer):
    """What became of the numbers of a life that is over."""

    def __init__(self, spool: Path, totals: Totals, handing: Handing) -> None:
        self._handing = handing
        self._known: dict[int, Marks] = {}
        self._last = {totals.epoch: totals.head_sequence}  # by epoch, as far as anything tells of it
        self._committed: dict[int, int] = {}
        self._saved: Counter[int] = Counter()
        for epoch, first, _ in segments_in(spool):
            self._last[epoch] = max(self._last.get(epoch, 0), first - 1)
            if epoch not in self._known:  # what comes before the first segment was committed
                self._known[epoch] = Marks(first - 1)
                self._committed[epoch] = first - 1

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


def whole(spool: Path, device: str, hearer: Hearer = _NOBODY) -> Iterator[Sample]:
    """The readings of a broken log that are whole and not known to be committed, each once. `hearer` is told of the
    numbers that are among them, or need not be."""
    contiguous: dict[int, int] = {}
    for _, segment, content in _readable(spool):
        epoch = segment.head.epoch
        contiguous[epoch] = max(contiguous.get(epoch, 0), committed_in(content.frames))
    for epoch, last in contiguous.items():
        hearer.hear_committed(epoch, last)
    seen: set[int] = set()
    up_to = (0, 0)
    for first, segment, content in _readable(spool):
        epoch = segment.head.epoch
        if segment.head.device not in {device, ""}:
            continue
        if (epoch, first) > up_to:  # else it may have become one with those before
            seen = set()
        for low, high in _dropped_in(content.frames):
            hearer.hear(epoch, low, high)
        for run in runs_in(content.frames):
            try:
                readings = payload_of(run).readings
            except ValueError:
                continue
            hearer.hear(epoch, run.first, run.last)
            for reading in readings:
                if reading.sequence > contiguous.get(epoch, 0) and reading.sequence not in seen:
                    seen.add(reading.sequence)
                    hearer.hear_saved(epoch)
                    yield Sample(reading.measured_at_ms, reading.clock, reading.cells, run.is_urgent)
            up_to = max(up_to, (epoch, run.last))


def _make(
    folder: Path,
    device: str,
    key: Ed25519PrivateKey,
    limits: Limits,
    monotonic: Callable[[], float],
    totals: Totals,
) -> tuple[int, int, int]:
    """Make the new spool, all but its name on the disk; how many readings it was given, how many are lost, and its
    epoch."""
    part = folder / PART_FOLDER
    handing = Handing(folder, totals.refused)
    numbers = _Numbers(folder / SPOOL_FOLDER, totals, handing)
    with disk_errors(part):
        epoch = next_epoch(folder, totals.epoch)
        part.mkdir()
        tally = Tally(part)
    with tally:
        untold = totals._replace(refused_told=0, broken_told=0, ended_told=0)
        tally.totals = untold._replace(epoch=epoch, measured_before=0, head_sequence=0)
        genesis = chain.genesis(device, epoch)
        segment, descriptor = begin_segment(part, Head(device, epoch, 1, 0, genesis), 0)
        os.close(descriptor)
        ages = Ages(limits.age_s, monotonic)
        rescued = 0
        with Spool(
            part, [segment], key, tally, limits, monotonic, chain_hash=genesis, signed=0, contiguous=0, ages=ages
        ) as spool:
            samples = whole(folder / SPOOL_FOLDER, device, numbers)
            while some := list(islice(samples, _AT_ONCE)):
                spool.append(some)
                rescued += len(some)
            # What was rescued was measured, and counted, before; and so was what is numbered anew.
            beyond, anew = numbers.found_beyond(totals), handing.numbered_anew({totals.epoch: totals.head_sequence})
            counted = tally.totals.settled(beyond)._replace(
                head_sequence=spool.head_sequence,
                measured_before=max(0, totals.measured + beyond - rescued - anew),
                broken=totals.broken + numbers.lost(),
            )
            with disk_errors(part / TALLY_FILE):
                for _ in range(2):  # both slots, so that neither holds what is no longer so
                    tally.write(counted)
                tally.flush()
    ended = numbers.ended()
    if ended is not None:
        write_lives(part, [*lives_in(folder / SPOOL_FOLDER), ended])
    rest = handing.rest()
    with disk_errors(part):
        if rest is not None:
            _put(part / UNDATED_FILE, rest)
        flush_folder(part)
        keep_epoch(folder, epoch)
        part.replace(folder / NEW_FOLDER)  # the last thing: what fails after it is for `finish`, not to be made anew
    return rescued, counted.broken - totals.broken, epoch


def _put(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_durably(descriptor, data, 0)
    finally:
        os.close(descriptor)


def _dropped_in(frames: list[Frame]) -> Iterator[tuple[int, int]]:
    """The spans of numbers that were thinned out of a segment."""
    thinned = thinned_in(frames)
    if thinned is not None:
        low = thinned.first
        for kept in (*thinned.kept, thinned.last + 1):
            if low < kept:
                yield low, kept - 1
            low = kept + 1


def _readable(spool: Path) -> Iterator[tuple[int, Segment, Content]]:
    """The segments of a broken log that can be read, one at a time, with the first sequence of their names."""
    for _, first, path in segments_in(spool):
        for _ in range(READ_TRIES):
            try:
                segment, content = segment_or_bare(path)
            except (SpoolCorruptError, OSError):
                continue
            yield first, segment, content
            break


def _broken_logs(folder: Path) -> list[Path]:
    """The logs of a state folder that were moved aside, oldest first."""
    return sorted(folder.glob(f"{BROKEN}*[0-9]"), key=_number_of)


def _number_of(aside: Path) -> int:
    """Which of them one is."""
    return int(aside.name.rpartition("-")[2])
