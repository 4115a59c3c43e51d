"""What is measured before the time is known: kept without a date, and dated back once a clock tells it.

A sample whose clock is not set waits in a file of its own, with the moment at which it was measured as the computer
counts it since its start. It has no number yet, for what is numbered and signed never changes. When this start of the
computer comes to know the time, what waits is reckoned back, each with how far off that may be, and goes to the spool
before anything newer does. So does, at once, what is measured when the time was told too long ago to stamp by it.

It goes as it is, by a clock that was never set and so evidence of nothing, where the time does not become known: after
WAIT_MS with a link, when more than READINGS_MAX wait, or when the computer has started anew meanwhile, for then nobody
knows how long it was off. Without a link nobody misses it, as in a hold where the power was off; so it waits for
ALONE_MAX_MS then, as long as its date would be worth something, and the link is often there before the fix. What is
urgent waits too: without a date it would mean nothing to anybody.

On the disk it is frames (spool/log.py): BOOT, then UNDATED, each written and waited for as those of the spool are, so
that a kill loses none of it. UNDATED says at which place in the file its samples are, so what stood in one that is
broken is missed: the spool is given as many samples that no payload can hold, refuses them, and counts them. Before
some of it is numbered, HANDED says which, from which number on, which of it the spool has room for and how many it had
refused before: who is killed between the numbers and the removal of the file finds by it what has been numbered and
counted, and does neither twice. That is found out before anything else gets a number (`settle`): a HANDED that was not
carried out would be taken for carried out by whatever gets the numbers that it speaks of. Where that life of the spool
is over, the rescue has left here only what did not go into the new one (`Handing`; spool/rescue.py). Where the disk
refused the numbers, HANDED is taken back once it has taken that nothing of them stands in the spool, and not before.
"""

import contextlib
import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby, islice, zip_longest
from pathlib import Path
from typing import Final, NamedTuple

from pledgewatch_edge.clock import AgentClock, this_boot
from pledgewatch_edge.identity import flush_folder
from pledgewatch_edge.sample import Sample, is_sound
from pledgewatch_edge.spool import places
from pledgewatch_edge.spool.answers import Appended
from pledgewatch_edge.spool.errors import disk_errors
from pledgewatch_edge.spool.log import (
    Content,
    Frame,
    Kind,
    broken_at,
    content_of,
    frame,
    read_around,
    write_durably,
)
from pledgewatch_edge.spool.spool import Spool
from pledgewatch_wire.codec import Payload, PayloadError, decode, encode
from pledgewatch_wire.reading import Cell, Channel, Clock, Reading

UNDATED_FILE: Final = places.UNDATED_FILE
READINGS_MAX: Final = 10_000
WAIT_MS: Final = 24 * 3_600_000
ALONE_MAX_MS: Final = 30 * 24 * 3_600_000
AT_ONCE: Final = 1_000
# The place of the first, how many, urgent or not; then the mark of each (u64), then a payload. Of none, neither.
_UNDATED: Final = struct.Struct(">IHB")
# Epoch, number of the first; place in the file of the first, how many waited; how many were refused before. Then a byte
# for each: whether it gets a number.
_HANDED: Final = struct.Struct(">IQIIQ")
_FRAME_READINGS: Final = 256
_NOTHING: Final = Appended(0, 0)


class Marked(NamedTuple):
    """A sample without a date, and the clock's mark of when it was measured."""

    sample: Sample
    marked_at: int

    @property
    def is_urgent(self) -> bool:
        """That of the sample."""
        return self.sample.is_urgent


_LOST: Final = Marked(Sample(0, Clock.UNSET, ()), 0)
"""What stood in a frame that is broken."""


class Handed(NamedTuple):
    """What was numbered: what became of it, its newest sample, whether a date was found for it, and whether it is all
    that was kept, none of it refused or numbered by a program of before."""

    appended: Appended
    newest: Sample
    is_dated: bool
    is_whole: bool


class Undated:
    """The file of a station. `keep` and `hand_over` may raise SpoolError, and may be called again then."""

    def __init__(
        self,
        folder: Path,
        clock: AgentClock,
        *,
        boot: Callable[[], str] = this_boot,
        is_linked: Callable[[], bool] = lambda: True,
        readings_max: int = READINGS_MAX,
        wait_ms: int = WAIT_MS,
    ) -> None:
        """Look at what waits in a state folder, of which the caller has sole use. `is_linked`: whether what is numbered
        could go to the cloud now."""
        self._path = folder / UNDATED_FILE
        self._clock = clock
        self._boot = boot()
        self._readings_max = readings_max
        self._wait_ms = wait_ms
        self._is_linked = is_linked
        self._alone_at = clock.mark()  # when there was no link last; there was none for an agent that has just begun
        with disk_errors(self._path):
            data = _read(self._path)
        content = content_of(data)
        waiting = _marked_in(content.frames)
        at_end = _lost_at_end(data, content, len(waiting))
        waiting += at_end
        self._found = len(waiting) if at_end else 0  # so many, though the file does not say so once it is written to
        self._end = content.end if waiting else 0
        self._count = len(waiting)
        self._since = next((one.marked_at for one in waiting if one is not _LOST), clock.mark())
        self._place: int | None = None  # how many of the file have been numbered or refused; None: the file says it
        self._settled: int | None = None  # the same as it was found at the start, whether the file says it or not
        self._handed = _NOTHING  # what became of them
        self._newest: tuple[Sample, bool] | None = None
        self._is_whole = False  # whether all that was kept has been numbered
        self._is_settled = True  # whether the disk has the folder without the file
        self._is_of_another_boot = bool(waiting) and _boot_in(content.frames) != self._boot

    @property
    def may_keep(self) -> bool:
        """Whether nothing waits here since another boot."""
        return not self._is_of_another_boot

    @property
    def count(self) -> int:
        """How many wait."""
        return self._count

    def mark(self) -> int:
        """The clock's mark of this moment."""
        return self._clock.mark()

    def is_due(self) -> bool:
        """Whether what waits need not, or may not, wait any longer."""
        if not self._count:
            return not self._is_settled
        return self._is_of_another_boot or self._is_over() or self._clock.can_date()

    def _is_over(self) -> bool:
        """Whether it has waited for long enough, and the time has not become known."""
        now = self._clock.mark()
        if not self._is_linked():
            self._alone_at = now
        is_too_long = now - max(self._since, self._alone_at) >= self._wait_ms or now - self._since >= ALONE_MAX_MS
        return is_too_long or self._count >= self._readings_max

    def keep(self, some: Sequence[Marked]) -> int:
        """Store samples. On return they are on the disk; what waited since another boot must have been handed over.

        Tells how many were left out because no payload can hold them.
        """
        given, some = len(some), [one for one in some if is_sound(one.sample)]
        if not some:
            return given
        data = b"" if self._end else frame(Kind.BOOT, self._boot.encode())
        data += _frames_of(some, self._count)
        with disk_errors(self._path):
            self._write(data)
        if not self._count:
            self._since = some[0].marked_at
        self._count += len(some)
        return given - len(some)

    def settle(self, spool: Spool) -> None:
        """Find out what of the file has been numbered; to be asked before the spool numbers anything, and again where
        it raises SpoolError. Where it is not all that the file says, the file says so first, or a later start would
        look at numbers that are others'."""
        if self._place is not None:
            return
        frames = self._frames()
        if self._settled is None:
            self._settled, uncounted = _numbered(frames, spool)
            spool.refuse(uncounted)
        place, handed = self._settled, _notes_of(frames, spool.epoch)
        if handed and place < handed[-1].place + len(handed[-1].is_kept):
            self._add(spool.append((), partial(self._say_nothing, spool, place), is_urgent=True))
        self._place = place

    def hand_over(self, spool: Spool) -> Handed | None:
        """Number and store everything that waits, and forget it here; None where all of it had been numbered.

        What was numbered before a SpoolError is told by the call that comes to the end.
        """
        is_dated = not self._is_of_another_boot and self._clock.can_date()
        self.settle(spool)
        waiting = _marked_in(self._frames())
        waiting += [_LOST] * (self._found - len(waiting))
        assert self._place is not None
        while some := waiting[self._place : self._place + AT_ONCE]:
            samples = [self._dated(one) if is_dated else one.sample for one in some]
            appended = self._append(spool, samples, self._place)
            self._place += len(samples)
            self._add(appended)
            self._newest = next((one for one in reversed(samples) if one.cells), samples[-1]), is_dated
        if self._count:
            self._is_whole = self._handed.accepted == self._count
        self._remove()
        handed, newest, self._handed, self._newest = self._handed, self._newest, _NOTHING, None
        return None if newest is None else Handed(handed, *newest, self._is_whole)

    def _append(self, spool: Spool, samples: Sequence[Sample], place: int) -> Appended:
        """Give samples to the spool, having noted which of them it takes. Raises SpoolError, and then it took none."""

        def note(is_kept: Sequence[bool]) -> Callable[[], None]:
            before = self._end
            first, refused = spool.head_sequence + 1, spool.refused_total
            with disk_errors(self._path):
                said = _HANDED.pack(spool.epoch, first, place, self._count, refused) + bytes(is_kept)
                self._write(frame(Kind.HANDED, said))
            return partial(self._take_back, before, self._end, self._nothing(spool, place))

        return spool.append(samples, note)

    def _add(self, appended: Appended) -> None:
        self._handed = Appended(*map(sum, zip(self._handed, appended, strict=True)))

    def _say_nothing(self, spool: Spool, place: int, _: Sequence[bool]) -> Callable[[], None]:
        with disk_errors(self._path):
            self._write(self._nothing(spool, place))
        return lambda: None

    def _nothing(self, spool: Spool, place: int) -> bytes:
        """The word that from a place in the file on nothing has been numbered."""
        return frame(
            Kind.HANDED,
            _HANDED.pack(spool.epoch, spool.head_sequence + 1, place, self._count, spool.refused_total),
        )

    def _frames(self) -> Sequence[Frame]:
        """Those of the file; beyond its end is what the caller still has."""
        with disk_errors(self._path):
            return content_of(_read(self._path)[: self._end]).frames

    def _take_back(self, before: int, after: int, nothing: bytes) -> None:
        """Let the HANDED that lies between two places not be the last word: cut it off, or where more has been kept
        since, say after it that nothing was numbered. Raises SpoolError."""
        with disk_errors(self._path):
            if self._end != after:
                self._write(nothing)
                return
            with contextlib.suppress(FileNotFoundError):
                os.truncate(self._path, before)
            self._end = before

    def _remove(self) -> None:
        """Remove the file, and wait until the disk has that. Raises SpoolError; then the rest is to be done yet."""
        with disk_errors(self._path):
            self._path.unlink(missing_ok=True)
            self._end = self._count = 0
            self._place = self._found = 0
            self._is_of_another_boot = self._is_settled = False
            flush_folder(self._path.parent)
            self._is_settled = True

    def _dated(self, one: Marked) -> Sample:
        """A sample at the moment that its mark was, if the time is still known."""
        dated = None if one is _LOST else self._clock.dated(one.marked_at)
        if dated is None:
            return one.sample
        told = Cell(Channel.CLOCK_UNCERTAINTY_MS, dated.uncertainty_ms)
        return one.sample._replace(measured_at_ms=dated.at_ms, clock=Clock.BACKDATED, cells=(*one.sample.cells, told))

    def _write(self, data: bytes) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, self._end)  # what a power cut has torn
            if not self._end:
                flush_folder(self._path.parent)
            write_durably(descriptor, data, self._end)
        finally:
            os.close(descriptor)
        self._end += len(data)


def waiting_in(folder: Path) -> int:
    """How many samples wait for a date, read from the disk only. Raises SpoolError."""
    path = folder / UNDATED_FILE
    with disk_errors(path):
        return sum(one is not _LOST for one in _marked_in(content_of(_read(path)).frames))


class Handing:
    """What of a state folder's file was about to be numbered or refused, and is found to be so in a life of the spool
    that is over."""

    def __init__(self, folder: Path, refused: int) -> None:
        """Look at the file; `refused` were counted, ever. Raises SpoolError."""
        path = folder / UNDATED_FILE
        with disk_errors(path):
            data = _read(path)
        content = content_of(data)
        self._frames = content.frames
        self._waiting = _marked_in(content.frames)
        self._waiting += _lost_at_end(data, content, len(self._waiting))
        handed = [one for one in map(_note_of, self._frames) if one is not None]
        self._is_any = bool(handed)
        self._done: set[int] = set()  # places in the file
        self._places: dict[tuple[int, int], int] = {}  # by epoch and number
        self._last_kept: set[int] = set()  # places of the last note; nothing but these tells whether it was carried out
        self._last_refused: set[int] = set()
        for one, following in zip_longest(handed, handed[1:]):
            end = one.place + len(one.is_kept) if following is None else following.place  # it begins where one ended
            number = one.first
            kept, left_out = set[int](), set[int]()
            for place, is_kept in enumerate(one.is_kept, one.place):
                if place < end and is_kept:
                    self._places[one.epoch, number] = place
                if place < end:
                    (kept if is_kept else left_out).add(place)
                number += is_kept
            if refused < one.refused_before + len(left_out):
                continue  # others may have been counted since, and these not
            if following is None:
                self._last_kept, self._last_refused = kept, left_out
            else:
                self._done |= left_out
        told = [number for _, number in self._places]
        self._lowest, self._highest = min(told, default=1), max(told, default=0)

    def hear(self, epoch: int, first: int, last: int) -> None:
        """These numbers of an epoch go on into the new life, or have come to their end."""
        for number in range(max(first, self._lowest), min(last, self._highest) + 1):
            place = self._places.get((epoch, number))
            if place is not None:
                self._done.add(place)

    def numbered_anew(self, last: Mapping[int, int]) -> int:
        """How many of those that wait yet had a number in the life that is over, of which `last` says by epoch how far
        it went."""
        done = self._done
        return sum(
            place not in done and number <= last.get(epoch, 0) and self._waiting[place] is not _LOST
            for (epoch, number), place in self._places.items()
            if place < len(self._waiting)
        )

    def rest(self) -> bytes | None:
        """The file with what waits yet; None where it may stay as it is, for nothing of it was handed over."""
        if not self._is_any:
            return None
        is_carried_out = not self._last_kept or not self._last_kept.isdisjoint(self._done)
        done = self._done | self._last_refused if is_carried_out else self._done
        left = [one for place, one in enumerate(self._waiting) if place not in done]
        return frame(Kind.BOOT, _boot_in(self._frames).encode()) + _frames_of(left) if left else b""


class _Note(NamedTuple):
    """What HANDED says."""

    epoch: int
    first: int
    place: int
    refused_before: int
    is_kept: tuple[bool, ...]


def _note_of(one: Frame) -> _Note | None:
    if one.kind != Kind.HANDED or len(one.body) < _HANDED.size:
        return None
    epoch, first, place, _, refused_before = _HANDED.unpack_from(one.body)
    return _Note(epoch, first, place, refused_before, tuple(map(bool, one.body[_HANDED.size :])))


def _notes_of(frames: Iterable[Frame], epoch: int) -> list[_Note]:
    return [one for one in map(_note_of, frames) if one is not None and one.epoch == epoch]


def _read(path: Path) -> bytes:
    """The bytes of the file, with zeros for what the disk cannot read; none where there is no file. Raises OSError."""
    return read_around(path) if path.exists() else b""


def _frames_of(some: Iterable[Marked], place: int = 0) -> bytes:
    """Samples as frames, the first of them at a place in the file."""
    data, is_told = b"", True
    for (is_lost, is_urgent), group in groupby(some, lambda one: (one is _LOST, one.is_urgent)):
        while part := list(islice(group, _FRAME_READINGS)):
            if not is_lost:
                data += _frame_of(part, place, is_urgent=is_urgent)
            place, is_told = place + len(part), not is_lost
    return data if is_told else data + frame(Kind.UNDATED, _UNDATED.pack(place, 0, 0))


def _frame_of(some: Sequence[Marked], place: int, *, is_urgent: bool) -> bytes:
    readings = tuple(
        Reading(number, one.sample.measured_at_ms, Clock.UNSET, one.sample.cells) for number, one in enumerate(some, 1)
    )
    marks = struct.pack(f">{len(some)}Q", *(one.marked_at for one in some))
    return frame(Kind.UNDATED, _UNDATED.pack(place, len(some), is_urgent) + marks + encode(Payload(1, readings)))


def _marked_in(frames: Sequence[Frame]) -> list[Marked]:
    """The samples of a file, each at its place; _LOST where its frame is not there, or cannot be read."""
    found: list[Marked] = []
    for one in frames:
        if one.kind == Kind.HANDED and len(one.body) >= _HANDED.size:
            found += [_LOST] * (_HANDED.unpack_from(one.body)[3] - len(found))
        if one.kind != Kind.UNDATED:
            continue
        with contextlib.suppress(PayloadError, struct.error):
            place, count, is_urgent = _UNDATED.unpack_from(one.body)
            marks = struct.unpack_from(f">{count}Q", one.body, _UNDATED.size)
            payload = decode(one.body[_UNDATED.size + 8 * count :]) if count else Payload(1, ())
            found += [_LOST] * (place - len(found))
            for reading, marked_at in zip(payload.readings, marks, strict=False):
                sample = Sample(reading.measured_at_ms, Clock.UNSET, reading.cells, bool(is_urgent))
                found.append(Marked(sample, marked_at))
    return found


def _lost_at_end(data: bytes, content: Content, place: int) -> list[Marked]:
    """What stood in broken frames behind the last that is whole, where they tell. What a power cut has torn is shorter
    than it says, and was never acknowledged."""
    found: list[Marked] = []
    end = content.end
    while (one := broken_at(data, end)) is not None and one.kind == Kind.UNDATED and len(one.body) >= _UNDATED.size:
        first, count, _ = _UNDATED.unpack_from(one.body)
        if first != place + len(found) or not 0 < count <= _FRAME_READINGS or len(one.body) < _UNDATED.size + 8 * count:
            break
        found += [_LOST] * count
        end = one.end
    return found


def _boot_in(frames: Sequence[Frame]) -> str:
    return next((one.body.decode("utf-8", "replace") for one in frames if one.kind == Kind.BOOT), "")


def _numbered(frames: Sequence[Frame], spool: Spool) -> tuple[int, int]:
    """How many of a file's samples have been numbered or refused, and how many of these refusals were not counted.

    By the last word of the file, by where the spool's numbers end, and by what it had refused when it was opened: the
    spool numbers what it takes first and counts the rest then. Where the disk took nothing, others may have been
    refused since; so the rest counts as counted only where the count has room for all of it. Of a part as many were not
    as the count lacks: an earlier start may have counted them, and been killed before it could say so. A word about an
    epoch that is over is not there any more.
    """
    handed = _notes_of(frames, spool.epoch)
    if not handed:
        return 0, 0
    last = handed[-1]
    kept = [number for number, is_kept in enumerate(last.is_kept, 1) if is_kept]
    done = max(0, min(spool.head_sequence - last.first + 1, len(kept)))
    is_counted = spool.refused_at_opening >= last.refused_before + len(last.is_kept) - len(kept)
    is_done = done == len(kept) and (bool(kept) or is_counted)
    passed = len(last.is_kept) if is_done else kept[done - 1] if done else 0
    return last.place + passed, max(0, last.refused_before + passed - done - spool.refused_at_opening)
