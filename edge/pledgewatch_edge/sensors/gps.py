"""A serial GPS receiver as samples: one for each fix, or one each interval.

What becomes of a fix is told in fix_sampler.py.

The port may vanish and come back, also under the same name as another device (a USB plug, a new pseudo-terminal behind
a link), and so may a receiver on a line that stays: what one receiver has said (a date, that it is deceived) is nothing
that the next one has said, so each opening and each silence that is a loss begins with a new assembler.

A line that falls silent in the middle of its rhythm has ended its cycle, so the fix is taken from the assembler without
waiting for the sentence that would begin the next. Otherwise it is that sentence that ends the cycle, so a fix comes
when it is one cycle old; the agent's clock is told when its first bytes were heard, and a fix that the agent dates is
dated as of then.

The speed of the line is the configuration's, or is searched for (baud_search.py).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_edge.fixes import FixAssembler
from pledgewatch_edge.logs import World
from pledgewatch_edge.sample import FIX_CHANNELS, Sample
from pledgewatch_edge.sensors import SensorSettings
from pledgewatch_edge.sensors.baud_search import USUAL, BaudSearch
from pledgewatch_edge.sensors.fix_sampler import Absence, FixSampler
from pledgewatch_edge.sensors.serial_port import PortLostError, SerialPort
from pledgewatch_wire.reading import Channel

AUTO: Final = "auto"
FIRST_CYCLE_S: Final = 1.0
SHORTEST_IDLE_S: Final = 0.3
LONGEST_IDLE_S: Final = 15.0
IDLE_CYCLES: Final = 1.5
REOPEN_FIRST_S: Final = 0.1
REOPEN_MAX_S: Final = 5.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpsSettings(SensorSettings):
    """A serial GPS receiver. `baud` is a speed, or `auto`: it is searched for. `interval_s` 0 takes every fix."""

    port: Path
    baud: int | str = AUTO
    interval_s: float = 0.0

    def __post_init__(self) -> None:
        require_within("interval_s", self.interval_s, 0.0, DAY_S)
        if self.baud != AUTO and self.baud not in USUAL:
            usual = ", ".join(map(str, sorted(USUAL)))
            raise ValueError(f'baud {self.baud!r} is no usual speed; use one of {usual}, or "{AUTO}"')

    @property
    def channels(self) -> frozenset[Channel]:
        """See SensorSettings."""
        return FIX_CHANNELS

    def sensor(self, clock: AgentClock) -> "GpsSensor":
        """The receiver."""
        return GpsSensor(self, clock)


class GpsSensor:
    """The receiver of a device."""

    name = "gps"

    def __init__(
        self,
        settings: GpsSettings,
        clock: AgentClock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._world = World(log, f"gps port {settings.port}")
        self._search = BaudSearch() if settings.baud == AUTO else None
        self._assembler = FixAssembler()
        self._sampler = FixSampler(clock, settings.interval_s)
        self._absence = Absence(clock, self._world, settings.interval_s, LONGEST_IDLE_S, monotonic)
        self._cycle_s = FIRST_CYCLE_S
        self._fixed_at: float | None = None
        self._heard_at: int | None = None  # when the first bytes of the cycle under way came

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """A sample for each fix that is due, and what is due while there is no receiver. Opens the port, and opens it
        again for as long as it takes."""
        wait_s = REOPEN_FIRST_S
        self._absence.begin()
        while True:
            try:
                with SerialPort(self._settings.port, self._baud) as port:
                    async with contextlib.aclosing(self._port_samples(port)) as samples:
                        async for sample in samples:
                            wait_s = REOPEN_FIRST_S
                            yield sample
            except PortLostError as error:
                self._world.lost(str(error))
            for sample in self._end_cycle() + self._absence.samples():
                yield sample
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, REOPEN_MAX_S)

    async def _port_samples(self, port: SerialPort) -> AsyncGenerator[Sample, None]:
        """The samples of an open port, each as soon as its cycle is over. Raises PortLostError."""
        silent_since: float | None = None
        self._fixed_at = None
        self._assembler = FixAssembler()
        if self._search is not None:
            self._search.opened(self._monotonic())
        while True:
            came = await port.read(self._idle_s)
            data = self._at_its_speed(came, port)
            if data:
                silent_since = None
                self._world.back()
                samples = self._hear(data) + self._absence.fixless()
            elif came:
                silent_since, samples = None, []
            else:
                samples = self._end_cycle()
                silent_since = silent_since or self._monotonic()
                if not port.is_still_there():
                    raise PortLostError(f"{self._settings.port}: now leads to another device, or nowhere")
                if self._monotonic() - silent_since > LONGEST_IDLE_S:
                    self._world.lost("is silent")
                    self._assembler = FixAssembler()
            for sample in samples + self._absence.samples():
                yield sample

    @property
    def _baud(self) -> int:
        return self._search.baud if self._search is not None else int(self._settings.baud)

    def _at_its_speed(self, data: bytes, port: SerialPort) -> bytes:
        """What of some bytes was heard at the receiver's speed; sets the line to another where it is none. Raises
        PortLostError."""
        search = self._search
        if search is None:
            return data
        was_found, was = search.is_found, search.baud
        if data and self._heard_at is None:
            self._heard_at = self._clock.mark()  # though it may be given on later
        heard = search.hear(data, self._monotonic())
        if search.is_found and not was_found:
            log.info("gps port %s speaks at baud=%d", self._settings.port, search.baud)
        elif was_found and not search.is_found:
            log.warning("gps port %s says nothing right any more at baud=%d, searching", self._settings.port, was)
        if search.baud != was:
            port.set_baud(search.baud)
            self._heard_at = None
            if search.rounds:
                self._world.lost("says nothing right at any usual speed")
        return heard

    def _hear(self, data: bytes) -> list[Sample]:
        """The samples whose cycle these bytes end."""
        now = self._clock.mark()
        samples = []
        fixes = self._assembler.feed(data)
        for fix in fixes:
            self._absence.told()
            samples += self._sampler.take(fix, now if self._heard_at is None else self._heard_at)
            self._heard_at = now  # the same bytes began the next cycle
        if self._heard_at is None:
            self._heard_at = now
        self._learn_cycle(len(fixes))
        return samples

    def _end_cycle(self) -> list[Sample]:
        """The sample of the cycle under way: nothing more of it will come."""
        heard_at, self._heard_at = self._heard_at, None
        fixes = self._assembler.flush()
        if fixes:
            self._absence.told()
        return [sample for fix in fixes for sample in self._sampler.take(fix, heard_at)]

    @property
    def _idle_s(self) -> float:
        return min(max(IDLE_CYCLES * self._cycle_s, SHORTEST_IDLE_S), LONGEST_IDLE_S)

    def _learn_cycle(self, fixes: int) -> None:
        """Follow the receiver's rhythm; several fixes at once are a backlog and have none."""
        if not fixes:
            return
        now = self._monotonic()
        if self._fixed_at is not None and fixes == 1:
            self._cycle_s += (now - self._fixed_at - self._cycle_s) / 4
        self._fixed_at = now
