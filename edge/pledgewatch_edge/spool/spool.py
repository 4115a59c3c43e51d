"""The spool: every reading, on disk, until the cloud says *committed*; and what is dropped where there is no more room.

What lies on the disk is told in spool/log.py. When `append` returns, the readings survive a power cut: they were
written behind each other and the disk has been waited for, once for a batch. A batch that was not whole on the disk
when the power went is not there at the next start; nobody has heard its numbers, for nothing is sent before it is safe.

A checkpoint is born with its reading, and travels in the same payload. Only one that is signed because time has passed
or the agent stops is born *late*, when its reading may already have been sent; that one travels with the reading that
follows, and is kept until that one is committed.

`committed` carries marks of the cloud's chain. Where they differ from ours the counter has been put back (a state
folder from an older copy) and numbers were given twice: what the cloud has under them is not what is here, so nothing
is let go, and the spool stops and begins a new epoch when it is opened again.

The spool is bounded, in bytes and in time. At either bound the oldest segments are *thinned*, by a rule that anybody
can check: of the readings that are not urgent the first of each `thin_to_s` is kept of each set of channels, and where
that is not enough the first of each SECOND_TURN times as long; what is older than it may be goes whole. Urgent readings
and the last of each segment always stay; neighbours that are too old become one, so of them one such last stays. A
segment goes when its newest moment is too old, by clocks that were set
alone (spool/age.py); it is closed in time, so that one of a device that measures seldom comes to that as well.

What was dropped is declared and signed (pledgewatch_wire.codec.Thinned), and that travels with the last reading of the
segment, so the cloud knows what will not come. A segment that was thinned is there at once; until the disk has the
folder as well, nothing more is taken, so whatever a power cut brings back is whole. Where nothing is left to be
thinned, the newest reading that is not urgent is refused and counted; it gets no number, so it leaves no gap. The count
is a reading too (spool/refusals.py), for which there is room however full the spool is.
A disk that is full before the bound is reached is at its bound: what the spool held then is the bound for FULL_FOR_S.
All methods may be called from any thread; they take turns.
"""

import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from itertools import compress, islice
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_edge.identity import Tally, flush_folder
from pledgewatch_edge.sample import Sample, is_sound
from pledgewatch_edge.spool.age import Ages
from pledgewatch_edge.spool.answers import Appended, Forgotten
from pledgewatch_edge.spool.contents import Contents
from pledgewatch_edge.spool.errors import SpoolCorruptError, SpoolError, disk_errors, is_for_want_of_room
from pledgewatch_edge.spool.frames import Stand, framed
from pledgewatch_edge.spool.log import (
    SEGMENT_BYTES,
    SEGMENT_READINGS,
    Head,
    Kind,
    committed_frame,
    frame,
    late_frame,
    put_back_frame,
    thinned_in,
    write_durably,
)
from pledgewatch_edge.spool.looking import checkpoints_with, here_of, runs_beyond, urgent_beyond
from pledgewatch_edge.spool.marks import OwnMarks, with_word
from pledgewatch_edge.spool.places import has_room_for_life
from pledgewatch_edge.spool.put_back import PutBack, counter_put_back, lacking
from pledgewatch_edge.spool.refusals import Refusals
from pledgewatch_edge.spool.reserve import Reserve, write_if_room
from pledgewatch_edge.spool.segment import Segment, begin_segment
from pledgewatch_edge.spool.thinning import Rest, rest_of, rest_of_both, rewrite
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Checkpoint, Committed, Thinned
from pledgewatch_wire.ended import Ended
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Reading

URGENT_RESERVE: Final = 1.125  # of the bound, urgent readings may fill so much
SECOND_TURN: Final = 24
_TURNS: Final = 2
FULL_FOR_S: Final = 3_600.0  # then it is tried whether others have left more room
log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """How many bytes the spool may hold and for how long, to what it is thinned, and after how many readings or seconds
    the chain is signed. `age_s` 0: for ever."""

    bytes_max: int
    every_readings: int
    every_s: float
    thin_to_s: float = 3_600.0
    age_s: float = 0.0


class Spool:
    """An open spool. Made by pledgewatch_edge.spool.file.open_spool; `close` it, or use it as a context manager.

    Every method may raise SpoolError (nothing has changed, try again) and SpoolCorruptError (stop).
    """

    def __init__(
        self,
        folder: Path,
        segments: list[Segment],
        key: Ed25519PrivateKey,
        tally: Tally,
        limits: Limits,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        chain_hash: bytes,
        signed: int,
        contiguous: int,
        ages: Ages,
        ended: Sequence[Ended] = (),
    ) -> None:
        """Go on with the last of some segments, of one epoch and whole. `chain_hash` and `signed` are at its end,
        `ages` has heard it, and `ended` are the lives before."""
        self._folder = folder
        self._segments = segments
        self._key = key
        self._tally = tally
        self._limits = limits
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._signed_at = monotonic()
        self._chain_hash, self._signed = chain_hash, signed
        self._committed = Marks(contiguous)
        self._said = self._going = contiguous  # as far as one word alone has said so; as far as the last one does
        self._spooled = sum(one.waiting(self._committed) for one in segments)
        self._bytes = sum(one.end for one in segments)
        self.refused_at_opening = tally.totals.refused  # as the disk had it
        self._refusals = Refusals.of(tally.totals, ended, monotonic)
        self._newest: Sample | None = None
        self._is_settled = True  # whether the disk has the folder as it is
        self._is_torn = False  # whether more may stand in the newest file than was written
        self._torn_samples = 0  # how many of these are samples that the caller still has
        self._take_back: Callable[[], None] | None = None  # the note of what was not stored
        self._joined: list[Path] = []  # files that have become one with others, and go once it has
        self._thinned_uncounted = self._thinned_untold = 0
        self._full_at, self._full_since_s = 0, -math.inf  # how many bytes the disk had room for, and when
        self._reserve = Reserve(folder.parent)
        self._ages = ages
        self._contents = Contents()
        self._marks = OwnMarks(self._contents)
        self._put_back, self._has_put_off = PutBack(), False
        with disk_errors(folder):
            self._descriptor = os.open(segments[-1].path, os.O_RDWR | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def device(self) -> str:
        """Whose readings these are."""
        return self._segments[-1].head.device

    @property
    def epoch(self) -> int:
        """This life of the spool."""
        return self._segments[-1].head.epoch

    @property
    def head_sequence(self) -> int:
        """The newest number given in this epoch, 0 for none."""
        return self._segments[-1].last

    @property
    def chain_hash(self) -> bytes:
        """The running hash over readings 1 to `head_sequence`."""
        return self._chain_hash

    @property
    def committed(self) -> Marks:
        """The sequences of this epoch that are committed, as far as the device has heard."""
        return self._committed

    @property
    def dropped(self) -> int:
        """How many readings of this epoch will not come, of which the cloud is not known to have been told."""
        with self._lock:
            return self.head_sequence - self._committed.total - self._spooled

    @property
    def spooled(self) -> int:
        """How many readings wait for `committed`."""
        return self._spooled

    @property
    def spooled_bytes(self) -> int:
        """How many bytes the files hold."""
        return self._bytes

    @property
    def measured_total(self) -> int:
        """How many readings were given a number, over all epochs."""
        return self._tally.totals.measured_before + self.head_sequence

    @property
    def refused_total(self) -> int:
        """How many samples could not be kept, over all epochs."""
        return self._tally.totals.refused

    @property
    def broken_total(self) -> int:
        """How many readings were numbered and not to be found in a broken spool, over all epochs."""
        return self._tally.totals.broken

    @property
    def thinned_total(self) -> int:
        """How many readings were dropped for want of room, over all epochs."""
        return self._tally.totals.thinned

    def append(
        self,
        samples: Sequence[Sample],
        note: Callable[[Sequence[bool]], Callable[[], None]] | None = None,
        *,
        is_urgent: bool = False,
    ) -> Appended:
        """Number, store and chain a batch in one write. On return it is on the disk.

        Where there is no room for it, old readings are thinned first; where that is not enough, the urgent samples are
        kept and the others refused. So it is where the disk is full and nothing is left to be thinned: the room that is
        kept for that goes to what is urgent. A sample that no payload can hold is refused whatever room there is: one
        such would make a whole frame unreadable.

        `note` is told which of them will be kept, before any is; where it raises SpoolError, none is. It gives what
        takes its word back, which is called where none was kept: once what may stand of them in the file is cut off,
        and before anything else is written. Who is closed before that leaves both as they are: they belong together.
        `is_urgent`: what it writes is, as an urgent sample is.
        """
        with self._lock:
            try:
                return self._append_once(samples, note)
            except SpoolError as error:
                if not (is_for_want_of_room(error) and self._bytes <= self._full_at):
                    raise
                with contextlib.suppress(SpoolError):  # now that the disk is known to be full, old readings go first
                    return self._append_once(samples, note)
                if not ((is_urgent or any(one.is_urgent for one in samples)) and self._reserve.give_up()):
                    raise
                return self._append_once(samples, note, only_urgent=True)

    def append_once(self, samples: Sequence[Sample]) -> Appended:
        """The same, but where the disk turns out to be full nothing is thinned for it."""
        with self._lock:
            return self._append_once(samples, None)

    def _append_once(
        self,
        samples: Sequence[Sample],
        note: Callable[[Sequence[bool]], Callable[[], None]] | None,
        *,
        only_urgent: bool = False,
    ) -> Appended:
        """Raises SpoolError."""
        self._undo()
        self._settle()
        self._make_room()
        self._settle()
        self._newest = next((one for one in reversed(samples) if is_sound(one)), self._newest)
        limit = self._limits.bytes_max
        has_room, is_over = self._bytes < limit and not only_urgent, self._bytes >= URGENT_RESERVE * limit
        is_kept = [not is_over and (has_room or one.is_urgent) and is_sound(one) for one in samples]
        kept = list(compress(samples, is_kept))
        take_back = None
        try:
            take_back = note(is_kept) if note is not None else None
            if kept:
                self._store(kept)
        except SpoolError as error:
            if is_for_want_of_room(error):
                self._full_at, self._full_since_s = self._bytes, self._monotonic()
            self._take_back, self._torn_samples = take_back, 0 if note is not None else len(kept)
            with contextlib.suppress(SpoolError):  # it is done before the next write
                self._undo()
            raise
        if kept:
            self._reserve.keep_again()
        self._note(refused=len(samples) - len(kept))
        thinned, self._thinned_untold = self._thinned_untold, 0
        return Appended(len(kept), len(samples) - len(kept), thinned)

    def keep_within(self, bytes_max: int, thin_to_s: float, age_s: float) -> None:
        """Other bounds from the next append on."""
        with self._lock:
            self._limits = self._limits._replace(bytes_max=bytes_max, thin_to_s=thin_to_s, age_s=age_s)
            self._ages.keep_for(age_s)

    def refuse(self, count: int) -> None:
        """Count samples that were measured and could not be kept."""
        with self._lock:
            if count:
                self._note(refused=count)

    def give_up(self, count: int) -> None:
        """Count samples that waited for the disk when the agent ends. Those of them that may stand in the file, which
        it has neither taken nor undone, are counted by the next opening, unless it finds them there."""
        with self._lock:
            doubtful = min(count, self._torn_samples) if self._is_torn else 0
            self._note(refused=count - doubtful, doubtful=doubtful)

    def keep_reserve(self) -> None:
        """Take the room that is kept for a full disk, where there is enough and it was not taken before."""
        self._reserve.keep_early()

    def heed_tally(self) -> None:
        """Go by the tally as it is now, which whoever opens the spool has brought up to date."""
        with self._lock:
            self._refusals.refused = self._tally.totals.refused

    def refusal_is_untold(self) -> bool:
        """Whether `tell_refused` has something to say."""
        is_any = self._refusals.is_due(waits_longer=self._waits_longer) or self._refusals.is_any_untold
        return self._newest is not None and is_any

    @property
    def _waits_longer(self) -> bool:
        """Whether that samples were refused is said ever more seldom: the spool is full of it else. But where nothing
        can be proven without a reading that is newer than a word, it is this one."""
        is_full = self._bytes >= self._limits.bytes_max
        return is_full and not self._put_back.waits_for_more_than(self.head_sequence)

    def tell_refused(self) -> bool:
        """Store urgent readings of how many samples were refused, or lost in a broken spool, and of what became of one
        that was broken, if any is due; whether one was.

        There is room for it however full the spool is; it is dated as the newest sample that was handed in.
        """
        with self._lock:
            if self._newest is None or not self.refusal_is_untold():
                return False
            self._settle()
            is_full = self._bytes >= self._limits.bytes_max
            told = self._refusals.due(waits_longer=self._waits_longer)
            self._store([self._newest._replace(cells=cells, is_urgent=True) for cells in told.readings])
            self._refusals.note(told, is_full=is_full)
            self._note()
            return True

    def read(self, after_sequence: int, limit: int, *, urgent: bool = False) -> list[Reading]:
        """The next readings above a sequence, ascending, at most `limit`; what is committed or dropped is not there.

        The last reading of a thinned segment is there, though it be committed, until the cloud has everything up to it:
        what was dropped is declared with it. With `urgent` only urgent readings, and none that is committed.
        """
        found: list[Reading] = []
        with self._lock:
            for segment, run in runs_beyond(
                self._segments, self._contents, self._committed, after_sequence, urgent=urgent
            ):
                if len(found) >= limit:
                    break
                telling = segment.last if not urgent and segment.is_untold(self._committed) else 0
                found += [
                    one
                    for one in self._contents.readings(run).readings
                    if one.sequence > after_sequence
                    and (one.sequence == telling or one.sequence not in self._committed)
                ]
        return found[:limit]

    def urgent(self, after: int, last: int, limit: int) -> list[tuple[int, int]]:
        """The first spans of urgent readings above `after` and up to `last` that are not committed, at most `limit`;
        no file is read for it."""
        with self._lock:
            return [*islice(urgent_beyond(self._segments, self._committed, after, last), limit)]

    def here(self, first: int, last: int) -> int:
        """How many of readings first to last `read` would give; no file is read for it."""
        with self._lock:
            return here_of(self._segments, self._committed, first, last)

    def checkpoints(self, first: int, last: int) -> list[Checkpoint]:
        """The checkpoints that travel with readings first to last: theirs, and a late one of the reading before."""
        with self._lock:
            return checkpoints_with(self._segments, self._contents, self._committed, first, last)

    def thinned(self, first: int, last: int) -> list[Thinned]:
        """The declarations that travel with readings first to last."""
        with self._lock:
            some = [one for one in self._segments if one.turns and first <= one.last <= last]
            found = [thinned_in(self._contents.frames(one)) for one in some]
        return [one for one in found if one is not None]

    def untold(self, is_told: Callable[[int], bool]) -> int | None:
        """The last reading of the first stretch of which the cloud is not known to have heard what was dropped, but of
        those that are told; None where there is none. No file is read for it."""
        with self._lock:
            known = self._committed
            lasts = (one.last for one in self._segments if one.is_untold(known)) if self.dropped else ()
            return next((one for one in lasts if not is_told(one)), None)

    def checkpoint_is_due(self) -> bool:
        """Whether readings have stayed unsigned for as long as they may."""
        is_unsigned = self.head_sequence > self._signed
        return is_unsigned and self._monotonic() - self._signed_at >= self._limits.every_s

    def checkpoint(self) -> Checkpoint | None:
        """Sign the head now, unless it is signed already (None)."""
        with self._lock:
            if self.head_sequence <= self._signed:
                return None
            signed = self._sign(self.head_sequence, self._chain_hash)
            self._write(late_frame(signed))
            self._signed, self._signed_at = signed.sequence, self._monotonic()
            return signed

    def forget(self, committed: Committed) -> Forgotten:
        """Let go of what the cloud has on its disk.

        A word about another epoch is not believed and changes nothing, and neither is one that says something new
        without its mark: anybody could say it. Ranges beyond the newest reading are somebody else's and passed over:
        the rest of the word holds. So does it where a mark is of a reading that was dropped, which nobody here can
        compare: that part is passed over, and is said again once the cloud has heard what was dropped. Raises
        SpoolCorruptError where the cloud has other readings under our numbers, or more of them: see the head of this
        file; and where it was put back, and has no more what was let go (spool/put_back.py).
        """
        with self._lock:
            if committed.epoch != self.epoch:
                return Forgotten(0, f"it is about epoch {committed.epoch}, this is {self.epoch}")
            ours = self._marks.of_word(self._segments, committed)
            known, unmarked = with_word(self._committed, self.head_sequence, committed, ours)
            if unmarked:
                return Forgotten(0, unmarked)
            if why := counter_put_back(committed, ours, self.head_sequence):
                self._end(why)
            is_back = self._put_back.is_proven(committed, ours, self._committed, self.head_sequence)
            here = Marks(committed.contiguous)  # by this word alone, of what is here
            if is_back or committed.contiguous < self._gone:
                base = max(self._gone, min(committed.contiguous, self._committed.contiguous))
                here, _ = with_word(Marks(base), self.head_sequence, committed, ours)
            up_to = max(committed.contiguous, here.contiguous)
            return (self._go_back(committed, here) if is_back else None) or self._know(known, up_to)

    def doubt_ranges(self) -> None:
        """Count nothing as committed in ranges before it is said again."""
        with self._lock:
            self._know(Marks(self._said), self._going)

    def close(self) -> None:
        """Give the files back, after whoever is using them. May be called again."""
        with self._lock:
            if self._descriptor >= 0:
                with contextlib.suppress(SpoolError):  # the next opening removes what is left
                    self._settle()
                with contextlib.suppress(SpoolError):  # or finds it with its note
                    self._undo()
                os.close(self._descriptor)
                self._descriptor = -1
            self._tally.close()

    @property
    def _gone(self) -> int:
        """The last number before all that is here."""
        return self._segments[0].head.first - 1

    def _know(self, known: Marks, up_to: int) -> Forgotten:
        """Go by what is committed from now on; by the last word alone all that is here is, `up_to` there. What words
        say together may be of a cloud of before and of one that was put back: nothing goes by that. Raises SpoolError,
        and then nothing has changed."""
        said = max(self._said, min(known.contiguous, up_to))
        self._say_committed(said, min(said, up_to))
        self._said, self._going = said, up_to
        before, self._committed = self._spooled, known
        self._spooled = sum(one.waiting(known) for one in self._segments)
        self._let_go()
        return Forgotten(max(0, before - self._spooled))

    def _say_committed(self, contiguous: int, going: int) -> None:
        """Write how far the cloud has everything; durably where segments go, for one that is gone otherwise is lost.
        Raises SpoolError."""
        goes = any(one.last <= going for one in self._segments[:-1])
        if goes or contiguous > self._said:
            write = self._reserve.write_word if goes else write_if_room  # where nothing goes by it, it is said again
            write(lambda: self._write(committed_frame(contiguous), is_durable=goes))

    def _let_go(self) -> None:
        """Remove the segments of which the cloud has everything, all but the one that is written to. That it has is on
        the disk by then."""
        done = [one for one in self._segments[:-1] if one.last <= min(self._said, self._going)]
        for one in done:
            with contextlib.suppress(FileNotFoundError), disk_errors(one.path):
                one.path.unlink()
            self._segments.remove(one)
            self._bytes -= one.end
        if done:
            self._reserve.keep()

    def _go_back(self, word: Committed, here: Marks) -> Forgotten | None:
        """Go by what the cloud has `here`, where all that it lacks is; else end the epoch, and what is here goes on. So
        long as a new one has no room, it goes on in this one, and what goes makes room; None where it is not gone by
        then, for a word that cannot name all does not show what is missing."""
        said, before, gone = word.contiguous, self._committed, self._gone
        missing, is_here = [*lacking(word, before)], said >= gone
        if not is_here:
            why = f"the cloud had readings up to {self._said} and has them up to {said}: it has been put back"
            if has_room_for_life(self._folder.parent, max(one.end for one in self._segments)):
                self._end(why, put_back_frame(gone))
            log.log(logging.DEBUG if self._has_put_off else logging.WARNING, "%s, and a new epoch has no room", why)
            self._has_put_off = True
            if not word.names_all:
                return None
            missing = [one for low, high in missing for one in here.missing_of(low, high)]
        if here.contiguous < self._said:
            self._reserve.write_word(lambda: self._write(put_back_frame(here.contiguous)))
            self._said = here.contiguous
        again = (missing[0][0], missing[-1][1]) if missing else None
        return self._know(here, here.contiguous)._replace(again=again)

    def _end(self, why: str, also: bytes = b"") -> NoReturn:
        """Give no more numbers in this epoch, and begin another when it is opened again: raises SpoolCorruptError."""
        self._reserve.write_word(lambda: self._write(also + frame(Kind.ENDED, why.encode())))
        raise SpoolCorruptError(why)

    def _store(self, samples: Sequence[Sample]) -> None:
        """Number and write some samples. Raises SpoolError, and then nothing has changed."""
        self._undo()  # before another file may become the newest
        active = self._segments[-1]
        count = active.last - active.head.first + 1
        is_full = count >= SEGMENT_READINGS or active.end >= SEGMENT_BYTES
        if is_full or self._ages.is_to_be_closed(active.begun_ms, count, samples):
            active = self._next_segment()
        stand = Stand(self.head_sequence, self._chain_hash, self._signed)
        is_time = self._monotonic() - self._signed_at >= self._limits.every_s
        stored = framed(samples, self.epoch, stand, self._sign, self._limits.every_readings, signs_last=is_time)
        self._write(stored.data)
        for last, is_urgent in stored.spans:
            active.add(active.last + 1, last, is_urgent=is_urgent)
        self._ages.hear(stored.readings)
        now_ms = self._ages.now_ms()
        active.begin(stored.readings, now_ms)
        active.measured(stored.readings, now_ms)
        self._chain_hash, self._signed = stored.stand.chain_hash, stored.stand.signed
        self._spooled += len(samples)
        if stored.checkpoints:
            self._signed_at = self._monotonic()

    def _write(self, data: bytes, *, is_durable: bool = True) -> None:
        """Write at the end of the newest segment. Raises SpoolError, and then nothing has changed, but that something
        may stand beyond its end until `_undo` has cut it off."""
        self._undo()
        active = self._segments[-1]
        with disk_errors(active.path):
            self._is_torn = True
            if is_durable:
                write_durably(self._descriptor, data, active.end)
            elif os.pwrite(self._descriptor, data, active.end) < len(data):
                return  # it is said again when there is room
        self._is_torn = False
        active.end += len(data)
        self._bytes += len(data)

    def _undo(self) -> None:
        """Cut off what a write that failed may have left, then have its note taken back. Raises SpoolError; then the
        same is to be done yet."""
        if self._is_torn:
            active = self._segments[-1]
            with disk_errors(active.path):
                os.ftruncate(self._descriptor, active.end)
                os.fdatasync(self._descriptor)  # what comes back after a power cut would stand there without its note
            self._is_torn, self._torn_samples = False, 0
        if self._take_back is not None:
            self._take_back()
            self._take_back = None

    def _next_segment(self) -> Segment:
        """Begin another segment. Raises SpoolError, and then nothing has changed."""
        head = Head(self.device, self.epoch, self.head_sequence + 1, self._signed, self._chain_hash)
        segment, descriptor = begin_segment(self._folder, head, self._said)
        self._reserve.keep()
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._segments.append(segment)
        self._bytes += segment.end
        self._let_go()
        return segment

    def _make_room(self) -> None:
        """Thin old segments until there is room for more. To be settled then, also after a SpoolError."""
        limits = self._limits
        too_old_ms = self._ages.too_old_ms()
        if too_old_ms is not None:
            for one in self._segments[:-1]:
                if one.newest_ms is not None and one.newest_ms < too_old_ms and one.turns <= _TURNS:
                    self._thin(one, _TURNS + 1, None)
            self._join_neighbours()
        is_full = self._monotonic() - self._full_since_s < FULL_FOR_S
        bytes_max = min(limits.bytes_max, self._full_at) if is_full else limits.bytes_max
        for turn, keep_every_s in ((1, limits.thin_to_s), (2, limits.thin_to_s * SECOND_TURN)):
            for one in self._segments[:-1]:
                if self._bytes + SEGMENT_BYTES < bytes_max:
                    return
                if one.turns < turn:
                    self._thin(one, turn, round(1_000 * keep_every_s))

    def _thin(self, segment: Segment, turn: int, keep_every_ms: int | None) -> None:
        """Drop readings of a segment. `keep_every_ms` None: all that may be."""
        rest = rest_of(segment, self._contents, self._key, keep_every_ms)
        if rest is not None:
            self._rewrite([segment], rest)
        segment.turns = turn

    def _join_neighbours(self) -> None:
        """Make one of neighbouring segments that are too old."""
        place = 0
        while place + 2 < len(self._segments):
            one, following = self._segments[place : place + 2]
            is_due = one.turns > _TURNS < following.turns
            rest = rest_of_both(one, following, self._contents, self._key) if is_due else None
            if rest is None:
                place += 1
                continue
            self._rewrite([one, following], rest)
            one.newest_ms = following.newest_ms

    def _rewrite(self, segments: Sequence[Segment], rest: Rest) -> None:
        """Put what stays of some neighbours in the place of the first. Raises SpoolError, and then nothing has
        changed."""
        waiting = sum(one.waiting(self._committed) for one in segments)
        end = sum(one.end for one in segments)
        self._reserve.write(lambda: rewrite(segments[0], rest))
        self._is_settled = False
        for one in segments[1:]:
            self._segments.remove(one)
            self._joined.append(one.path)
        self._bytes += segments[0].end - end
        dropped = waiting - segments[0].waiting(self._committed)  # what the cloud has is no loss
        self._spooled -= dropped
        self._thinned_uncounted += dropped

    def _settle(self) -> None:
        """Wait until the disk has the folder as it is, remove what has become one with others, and count what was
        dropped. Raises SpoolError; then the same is to be done yet."""
        if self._is_settled:
            return
        with disk_errors(self._folder):
            flush_folder(self._folder)
            while self._joined:
                self._joined[-1].unlink(missing_ok=True)
                self._joined.pop()
        self._is_settled = True
        dropped, self._thinned_uncounted = self._thinned_uncounted, 0
        self._thinned_untold += dropped
        self._note(thinned=dropped)

    def _sign(self, sequence: int, chain_hash: bytes) -> Checkpoint:
        return Checkpoint(sequence, chain.sign(self._key, self.device, self.epoch, sequence, chain_hash))

    def _note(self, *, refused: int = 0, thinned: int = 0, doubtful: int = 0) -> None:
        """Bring the tally up to date. The readings are on the disk already, so a tally that cannot be written must
        not make the caller think otherwise; the next one carries the same totals."""
        totals = self._tally.totals
        totals = totals._replace(
            head_sequence=self.head_sequence,
            refused=totals.refused + refused,
            thinned=totals.thinned + thinned,
            refused_told=self._refusals.told,
            broken_told=self._refusals.broken_told,
            ended_told=self._refusals.ended_told,
            doubtful=totals.doubtful + doubtful,
        )
        self._refusals.refused = totals.refused
        self._tally.totals = totals
        with contextlib.suppress(OSError):
            self._tally.write(totals)
