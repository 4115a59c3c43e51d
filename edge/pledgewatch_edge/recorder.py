"""From the sensors to the spool: whatever is measured while one batch goes to disk is the next batch.

What is kept at all is sampling.py's to say. Sensors put samples into a short queue and go on; one task takes what is
there and appends it in one write, so a slow flash card makes the batches larger and not the sensors late. A batch waits
`hold_s` for more, unless something in it is urgent: each write costs the card a block, however little is in it. While
the disk refuses, samples are kept in memory up to WAITING_MAX and the append is tried again; beyond that the newest is
refused and counted, unless it is urgent: then the oldest that is not urgent makes room for it. What is measured while
the clock is not set goes to disk as well, but gets its number only with its date (undated.py). Which limits it says to
be passed is kept beside it (beyond.py).

A sensor may be another package's. One that raises or ends is begun again, later each time it does; a sample that cannot
be stored is refused, counted and said. Neither ends the others.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from itertools import count
from typing import Final, NamedTuple, TypeVar

from pledgewatch_edge.beyond import Beyond
from pledgewatch_edge.guest import in_words, told
from pledgewatch_edge.logs import World
from pledgewatch_edge.sample import Sample, Undeclared, is_sound
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.sensors import Sensor
from pledgewatch_edge.spool.answers import Appended
from pledgewatch_edge.spool.errors import SpoolError, is_for_want_of_room
from pledgewatch_edge.spool.spool import Spool
from pledgewatch_edge.undated import Marked, Undated
from pledgewatch_wire.reading import Cell, Channel, Clock

QUEUE_MAX: Final = 1_024
WAITING_MAX: Final = 10_000
BEGIN_AGAIN_S: Final = 1.0
_PATIENCE: Final = 64  # times BEGIN_AGAIN_S is the longest wait, and for so long must one go well
_TICK_S: Final = 1.0
_One = TypeVar("_One", Sample, Marked)
log = logging.getLogger(__name__)


class _Waiting(NamedTuple):
    """What waits to be written, and its place in the order of measuring."""

    place: int
    one: Sample | Marked


class Recorder:
    """Owns the way into a spool. `on_append` is called, in the event loop, after each append. `given` names the sensors
    that have given a sample since they were last asked, `news` is set by each sample and each append.

    `undated` is where samples wait for their date; without it they go as they are. `beyond` knows which limits were
    said to be passed; without it the sampler begins as if none had been.
    """

    def __init__(
        self,
        spool: Spool,
        on_append: Callable[[], None],
        *,
        sampler: Sampler | None = None,
        retry_s: float = 2.0,
        hold_s: float = 0.0,
        waiting_max: int = WAITING_MAX,
        undated: Undated | None = None,
        beyond: Beyond | None = None,
        begin_again_s: float = BEGIN_AGAIN_S,
    ) -> None:
        self._spool = spool
        self._on_append = on_append
        self._sampler = sampler or Sampler()
        self._beyond = beyond
        if beyond is not None:
            if undated is None or not undated.count:
                beyond.waits_no_longer(all_of_them=False)  # nobody knows what became of it
            self._sampler.remember(beyond.told)
        self._retry_s = retry_s
        self._hold_s = hold_s
        self._held_since_s = 0.0
        self._waiting_max = waiting_max
        self._undated = undated
        self._begin_again_s = begin_again_s
        self._queue: asyncio.Queue[Sample | Marked | None] = asyncio.Queue(QUEUE_MAX)
        self._waiting: list[_Waiting] = []
        self._places = count()
        self._is_finishing = False
        self._is_hurried = False
        self._asked: set[str] = set()
        self.given: set[str] = set()
        self.news = asyncio.Event()
        self._disk = World(log, "spool disk")
        self._room = World(log, "spool room")

    async def put(self, sample: Sample) -> None:
        """Hand a sample over. Waits only while a batch is being written."""
        if self._undated is not None and sample.clock == Clock.UNSET:
            await self._queue.put(Marked(sample, self._undated.mark()))
        else:
            await self._queue.put(sample)

    async def put_as_it_is(self, sample: Sample) -> None:
        """Hand over a sample that waits for no date, though its clock be unset."""
        await self._queue.put(sample)

    async def record(self, sensor: Sensor) -> None:
        """Hand over what is kept of a sensor's samples, for ever."""
        async with contextlib.aclosing(self._samples(sensor)) as samples:
            async for sample in samples:
                kept = self._sampler.take(sample)
                if sensor.name in self._asked:
                    self._asked.discard(sensor.name)
                    kept = sample._replace(is_urgent=kept is not None and kept.is_urgent)
                if kept is not None:
                    await self.put(kept)
                self.given.add(sensor.name)
                self.news.set()

    async def _samples(self, sensor: Sensor) -> AsyncGenerator[Sample, None]:
        """A sensor's samples that can be stored, for ever, whatever becomes of the sensor."""
        life, sense = World(log, f"sensor {sensor.name}"), World(log, f"sense of sensor {sensor.name}")
        wait_s, longest_s = self._begin_again_s, _PATIENCE * self._begin_again_s
        while True:
            begun_s = time.monotonic()
            try:
                async with contextlib.aclosing(sensor.samples()) as samples:
                    async for sample in samples:
                        if time.monotonic() - begun_s > longest_s:
                            life.back()
                            wait_s = self._begin_again_s
                        if not is_sound(sample):
                            self._spool.refuse(1)
                            sense.lost(_why_refused(sample))
                            continue
                        sense.back()
                        yield sample
                ended = "it has ended"
            except asyncio.CancelledError as error:
                if _is_being_cancelled():
                    raise
                ended = f"{type(error).__name__}: something that it waited for was cancelled"
            except Exception as error:  # noqa: BLE001 - what another package does when it measures is its own affair
                ended = told(error)
            life.lost(ended)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, longest_s)

    def ask(self, sensors: Iterable[str]) -> None:
        """Keep the next sample of each of these whole, whatever the sampler would keep of it."""
        self.given.clear()
        self._asked = set(sensors)

    def hurry(self) -> None:
        """Hold what waits no longer: it is asked for."""
        self._is_hurried = True

    async def finish(self) -> None:
        """Tell `run` to write what it has and return."""
        await self._queue.put(None)

    async def run(self) -> None:
        """Write for ever, or until `finish`; then sign the head. What cannot be written at the end is refused."""
        while not self._is_finishing:
            await self._collect()
            if not self._is_held() or (self._undated is not None and self._undated.is_due()):
                await self._write()
        self._take_queued()
        await self._write()
        if self._beyond is not None:
            await asyncio.to_thread(self._beyond.settle)
        if self._waiting:
            log.error("spool disk still refuses, samples given up count=%d", len(self._waiting))
            self._spool.give_up(len(self._waiting))
            return
        with contextlib.suppress(SpoolError):  # said already; the next start signs
            await asyncio.to_thread(self._spool.checkpoint)

    def _is_held(self) -> bool:
        """Whether what waits may wait for more."""
        if (
            not self._waiting
            or self._is_finishing
            or self._is_hurried
            or any(one.is_urgent for _, one in self._waiting)
        ):
            return False
        return len(self._waiting) < QUEUE_MAX and time.monotonic() - self._held_since_s < self._hold_s

    async def _collect(self) -> None:
        """Wait for a sample; or for a while, when something is due without one."""
        patience_s = self._retry_s if self._disk.is_lost else _TICK_S
        try:
            async with asyncio.timeout(patience_s):  # wait_for of Python 3.11 may swallow a cancellation
                first = await self._queue.get()
        except TimeoutError:
            return
        self._keep(first)
        self._take_queued()
        if self._disk.is_lost and not self._is_finishing:
            await asyncio.sleep(self._retry_s)
            self._take_queued()

    def _take_queued(self) -> None:
        while not self._queue.empty():
            self._keep(self._queue.get_nowait())

    def _keep(self, sample: Sample | Marked | None) -> None:
        if sample is None:
            self._is_finishing = True
            return
        if len(self._waiting) >= self._waiting_max:
            self._spool.refuse(1)
            routine = (index for index, (_, one) in enumerate(self._waiting) if not one.is_urgent)
            oldest = next(routine, None) if sample.is_urgent else None
            if oldest is None:
                return
            del self._waiting[oldest]
        if not self._waiting:
            self._held_since_s = time.monotonic()
        self._waiting.append(_Waiting(next(self._places), sample))

    async def _write(self) -> None:
        try:
            if self._undated is not None:
                await asyncio.to_thread(self._undated.settle, self._spool)
            try:
                await self._hand_over()
                await self._keep_undated()
            except SpoolError as error:
                if is_for_want_of_room(error):  # some is kept for what is urgent
                    if self._undated is not None and self._undated.may_keep:
                        await self._keep_undated(only_urgent=True)
                    await self._write_dated(only_urgent=True)
                raise
            if await self._write_dated():
                self._disk.back()
            elif self._spool.checkpoint_is_due():
                await asyncio.to_thread(self._spool.checkpoint)
                self._disk.back()
            if self._spool.refusal_is_untold() and await asyncio.to_thread(self._spool.tell_refused):
                log.warning("samples refused ever=%d broken=%d", self._spool.refused_total, self._spool.broken_total)
                self._disk.back()
                self._on_append()
            if self._beyond is not None and self._beyond.is_due:
                await asyncio.to_thread(self._beyond.settle)
        except SpoolError as error:
            self._disk.lost(str(error))

    async def _write_dated(self, *, only_urgent: bool = False) -> bool:
        """Number what waits and has a date; whether anything did. Raises SpoolError."""
        dated, places = _parted(
            (one, place)
            for place, one in self._waiting
            if isinstance(one, Sample) and (one.is_urgent or not only_urgent)
        )
        if not dated:
            return False
        appended = await asyncio.to_thread(self._append, dated, places)
        self._written(places)
        self._say(appended, dated[-1])
        return True

    def _written(self, places: Iterable[int]) -> None:
        """What waited in these places waits no longer."""
        gone = set(places)
        self._waiting = [one for one in self._waiting if one.place not in gone]

    def _append(self, samples: Sequence[Sample], places: Sequence[int]) -> Appended:
        """Store samples, and what they say of limits. Raises SpoolError."""
        if self._beyond is None:
            return self._spool.append(samples)
        limits = self._sampler.limits
        self._beyond.before(samples, limits)
        appended = self._spool.append(samples)
        self._beyond.after(samples, limits, places, all_of_them=not appended.refused)
        return appended

    def _keep_in_undated(self, undated: Undated, marked: Sequence[Marked], places: Sequence[int]) -> tuple[int, int]:
        """Store samples without a date, and what they say of limits; how many were left out, and how many readings were
        thinned for them. Raises SpoolError."""
        if self._beyond is None:
            return self._kept(undated, marked)
        samples, limits = [one.sample for one in marked], self._sampler.limits
        self._beyond.before(samples, limits)
        refused, thinned = self._kept(undated, marked)
        self._beyond.waits(samples, limits, places, all_of_them=not refused)
        return refused, thinned

    def _kept(self, undated: Undated, marked: Sequence[Marked]) -> tuple[int, int]:
        """Store samples without a date. On a disk that is full old readings go for them, as for any other, and where
        all are urgent the room that is kept for these."""
        left_out = 0

        def keep(_: Sequence[bool]) -> Callable[[], None]:
            nonlocal left_out
            left_out = undated.keep(marked)
            return lambda: None

        try:
            return undated.keep(marked), 0
        except SpoolError as error:
            if not is_for_want_of_room(error):
                raise
        thinned = self._spool.append((), keep, is_urgent=all(one.is_urgent for one in marked)).thinned
        return left_out, thinned

    async def _hand_over(self) -> None:
        """Number what waited for its date, where it need not wait any longer. Raises SpoolError."""
        if self._undated is None or not self._undated.is_due():
            return
        handed = await asyncio.to_thread(self._undated.hand_over, self._spool)
        if self._beyond is not None:
            untold = self._beyond.waits_no_longer(all_of_them=handed is not None and handed.is_whole)
            self._sampler.remind(untold)
        if handed is not None:
            told = "dated back" if handed.is_dated else "given up to date"
            log.info("undated samples %s count=%d", told, handed.appended.accepted)
            self._disk.back()
            self._say(handed.appended, handed.newest)

    async def _keep_undated(self, *, only_urgent: bool = False) -> None:
        """Put what has no date to disk without a number; number it where it has one by now. Raises SpoolError."""
        marked, places = _parted(
            (one, place)
            for place, one in self._waiting
            if isinstance(one, Marked) and (one.is_urgent or not only_urgent)
        )
        if self._undated is None or not marked:
            return
        refused, thinned = await asyncio.to_thread(self._keep_in_undated, self._undated, marked, places)
        self._spool.refuse(refused)
        self._written(places)
        if thinned:
            self._say_thinned(thinned, marked[-1])
        if not only_urgent:
            self._disk.back()
            await self._hand_over()

    def _say(self, appended: Appended, newest: Sample) -> None:
        """Make known what became of a batch."""
        self._is_hurried = False
        self.news.set()
        if appended.thinned:
            self._say_thinned(appended.thinned, newest)
        if appended.refused:
            self._room.lost(
                "the newest readings are refused and counted: the spool is full, or no payload can hold them"
            )
        else:
            self._room.back()
        self._on_append()

    def _say_thinned(self, dropped: int, newest: Sample | Marked) -> None:
        """That readings were dropped is a reading too: numbered, chained, signed, and never dropped itself."""
        log.warning("spool thinned dropped=%d ever=%d", dropped, self._spool.thinned_total)
        sample = newest.sample if isinstance(newest, Marked) else newest
        told = sample._replace(cells=(Cell(Channel.THINNED_READINGS, self._spool.thinned_total),), is_urgent=True)
        self._keep(Marked(told, newest.marked_at) if isinstance(newest, Marked) else told)


def _is_being_cancelled() -> bool:
    """Whether a cancellation is meant for the task that runs, and not something of a sensor's own that has come up in
    it: a group takes a task that ends by either for one that was told to."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _why_refused(sample: Sample) -> str:
    if isinstance(sample, Undeclared):
        names = ", ".join(Channel(cell.channel).name.lower() for cell in sample.cells)
        return f"it gives {names}, and its package does not declare all of that"
    return f"no payload can hold {in_words(sample)}"


def _parted(pairs: Iterable[tuple[_One, int]]) -> tuple[list[_One], list[int]]:
    """Samples, and the places of them."""
    found = list(pairs)
    return [one for one, _ in found], [place for _, place in found]
