"""A running station as it is reached into from afar: its sensors, its spool, its uplink."""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from pledgewatch_edge.care.acts import RefusedError
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import SpoolSettings
from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors import Sensor
from pledgewatch_edge.spool.spool import Spool
from pledgewatch_edge.uplink import Uplink
from pledgewatch_wire.reading import Cell, Channel

REPORT_S: Final = 15.0
CANCEL_AGAIN_S: Final = 5.0
_Answer = TypeVar("_Answer")


class Measuring:
    """The tasks in which a station's sensors measure. Begun anew, each measures at once, whatever its interval is."""

    def __init__(self, group: asyncio.TaskGroup, recorder: Recorder, sensors: Sequence[Sensor]) -> None:
        self._group = group
        self._recorder = recorder
        self._tasks: list[asyncio.Task[None]] = []
        self.sensors = sensors

    def begin(self) -> None:
        """Begin all of them."""
        record, group = self._recorder.record, self._group
        self._tasks = [group.create_task(record(one), name=f"sensor {one.name}") for one in self.sensors]

    async def end(self) -> None:
        """End all of them."""
        await end(self._tasks)


class StationBody:
    """A station that runs. `clock` is that of its sensors (None: the computer's own)."""

    def __init__(
        self,
        spool: Spool,
        uplink: Uplink,
        recorder: Recorder,
        measuring: Measuring,
        clock: AgentClock | None = None,
    ) -> None:
        self._spool = spool
        self._uplink = uplink
        self._recorder = recorder
        self._measuring = measuring
        self._clock = clock or AgentClock()

    @property
    def words(self) -> int:
        """How often a `committed` was heard that covers a reading which no station before this one can have sent."""
        return self._uplink.counts.words_of_new

    async def begin_trial(self) -> None:
        """Give the cloud such a reading to commit, and ask it to say so. Sensors may say nothing for long, or wait for
        a date; so it is one of the agent itself: how many readings wait."""
        self._uplink.want_word()
        now_ms, clock = self._clock.now()
        cells = (Cell(Channel.SPOOL_READINGS, self._spool.spooled),)
        await self._recorder.put_as_it_is(Sample(now_ms, clock, cells, is_urgent=True))

    async def keep_within(self, kept: SpoolSettings) -> None:
        """Have the spool keep to these bounds from now on."""
        await asyncio.to_thread(self._spool.keep_within, kept.bytes_max, kept.thin_to_s, kept.age_s)

    async def answer(self, data: bytes) -> None:
        """Say an answer; returns when the broker has it."""
        await self._uplink.answer(data)

    async def report_now(self) -> str:
        """Have every sensor measure, wait for them for a while, and send all that is spooled."""
        spool, given = self._spool, self._recorder.given
        before, names = spool.head_sequence, {one.name for one in self._measuring.sensors}
        await self._measuring.end()
        self._recorder.ask(names)
        self._measuring.begin()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_S):
                while not names <= given:
                    await self._news()
                self._recorder.hurry()
                while spool.head_sequence == before:
                    await self._news()
        self._recorder.hurry()
        self._uplink.send_now()
        silent = sorted(names - given)
        if spool.head_sequence == before:
            why = f"silent: {', '.join(silent)}" if silent else "the time is not known yet, or the disk takes nothing"
            raise RefusedError(f"no reading came of it within {REPORT_S:g} s; {why}")
        told = f"readings {before + 1} to {spool.head_sequence} of epoch {spool.epoch}"
        return f"{told}; silent: {', '.join(silent)}" if silent else told

    async def _news(self) -> None:
        await self._recorder.news.wait()
        self._recorder.news.clear()

    async def resend(self, epoch: int, first: int, last: int) -> str:
        """Send readings once more. Raises RefusedError where none of them is here."""
        spool = self._spool
        if epoch != spool.epoch:
            raise RefusedError(f"epoch {epoch} is over: its readings are gone; this one is {spool.epoch}")
        if first > spool.head_sequence:
            raise RefusedError(f"the newest reading is {spool.head_sequence}; {first} was not measured yet")
        wanted = last - first + 1
        here = await asyncio.to_thread(spool.here, first, last)
        if not here:
            raise RefusedError(f"readings {first} to {last} are gone: committed and let go, or dropped and declared")
        self._uplink.resend(first, last)
        return f"{here} of {wanted} are here and are sent again"

    def facts(self) -> Mapping[str, Any]:
        """How spool, uplink and sensors stand."""
        spool, counts = self._spool, self._uplink.counts
        return {
            "spool": {
                "epoch": spool.epoch,
                "head_sequence": spool.head_sequence,
                "committed_contiguous": spool.committed.contiguous,
                "spooled": spool.spooled,
                "spooled_bytes": spool.spooled_bytes,
                "measured": spool.measured_total,
                "refused": spool.refused_total,
                "thinned": spool.thinned_total,
            },
            "uplink": {name: getattr(counts, name) for name in counts.__slots__} | {"protocol": self._uplink.protocol},
            "sensors": {one.name: one.name in self._recorder.given for one in self._measuring.sensors},
        }


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they are gone; what went wrong in them is the group's to raise.

    A task may sit in a library that swallows one cancellation, so it is told again.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)


async def to_its_end(work: Coroutine[Any, Any, _Answer]) -> _Answer:
    """What comes of some work, which is done to its end also where who waits for it is cancelled."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()
