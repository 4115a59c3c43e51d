"""A serial GPS receiver as samples: one for each fix, or one each interval.

The receiver's own time is the time of the sample (clock GPS), and a fix with a position also sets the agent's clock. A
fix without a time is stamped by the agent's clock and marked NO_TIME. A receiver without a position may still tell a
time, from a small clock of its own; before this program was released it is believed no more than a computer's.

What is wrong with a fix is marked where it matters: a position that is not there holds 0 and NO_FIX, and what the
receiver says of itself (satellites, HDOP, dimensions) stays good then. A channel that the receiver does not report is
left out.

The port may vanish and come back, also under the same name as another device (a USB plug, a new pseudo-terminal behind
a link). A line that falls silent in the middle of its rhythm has ended its cycle, so the fix is taken from the
assembler without waiting for the sentence that would begin the next. Otherwise it is that sentence that ends the
cycle, so a fix comes when it is one cycle old; the agent's clock is told when its first bytes were heard.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pledgewatch_edge.clock import RELEASED_MS, AgentClock
from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_edge.fixes import Fix, FixAssembler
from pledgewatch_edge.logs import World
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors import SensorSettings
from pledgewatch_edge.sensors.serial_port import PortLostError, SerialPort
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality

BAUDS: Final = (4_800, 9_600, 19_200, 38_400, 57_600, 115_200)
FIRST_CYCLE_S: Final = 1.0
SHORTEST_IDLE_S: Final = 0.3
LONGEST_IDLE_S: Final = 15.0
IDLE_CYCLES: Final = 1.5
REOPEN_FIRST_S: Final = 0.1
REOPEN_MAX_S: Final = 5.0
_DIMENSIONS: Final = {"none": 0, "2d": 2, "3d": 3}
_UNTRUE: Final = frozenset({Quality.SIMULATED, Quality.ESTIMATED, Quality.MANUAL, Quality.NO_TIME, Quality.SPOOFED})
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpsSettings(SensorSettings):
    """A serial GPS receiver. `interval_s` 0 takes every fix."""

    port: Path
    baud: int = 9_600
    interval_s: float = 0.0

    def __post_init__(self) -> None:
        require_within("interval_s", self.interval_s, 0.0, DAY_S)
        if self.baud not in BAUDS:
            raise ValueError(f"baud {self.baud} is no usual speed; use one of {', '.join(map(str, BAUDS))}")

    def sensor(self, clock: AgentClock) -> "GpsSensor":
        """The receiver."""
        return GpsSensor(self, clock)


def quality_of(fix: Fix) -> Quality:
    """The wire's code for what the assembler found wrong with a fix; the two have the same names."""
    return Quality[fix.quality.upper()]


def has_position(fix: Fix) -> bool:
    """Whether the fix says where we are; a place that the receiver itself calls void is none."""
    return fix.latitude_e7 is not None and fix.longitude_e7 is not None and quality_of(fix) != Quality.NO_FIX


def cells_of(fix: Fix) -> tuple[Cell, ...]:
    """A fix as cells, ascending by channel. Without a position there is no speed, course or altitude either."""
    unmarked = Quality.NO_TIME if fix.time_ms is None else Quality.GOOD
    found = quality_of(fix)
    if fix.latitude_e7 is None or fix.longitude_e7 is None or not has_position(fix):
        own = unmarked
        cells = [Cell(channel, 0, Quality.NO_FIX) for channel in (Channel.LATITUDE_E7, Channel.LONGITUDE_E7)]
    else:
        own = found if found in _UNTRUE else unmarked
        place = {
            Channel.LATITUDE_E7: fix.latitude_e7,
            Channel.LONGITUDE_E7: fix.longitude_e7,
            Channel.SPEED_MMPS: fix.speed_mmps,
            Channel.COURSE_CDEG: fix.course_cdeg,
            Channel.ALTITUDE_MM: fix.altitude_mm,
        }
        cells = _reported(place, unmarked if found == Quality.GOOD else found)
    receiver = {
        Channel.SATELLITES: fix.satellites,
        Channel.HDOP_CENTI: fix.hdop_centi,
        Channel.FIX_DIMENSIONS: _DIMENSIONS[fix.fix],
    }
    return tuple(sorted(cells + _reported(receiver, own)))


def _reported(values: dict[Channel, int | None], quality: Quality) -> list[Cell]:
    return [Cell(channel, value, quality) for channel, value in values.items() if value is not None]


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
        self._assembler = FixAssembler()
        self._cycle_s = FIRST_CYCLE_S
        self._fixed_at: float | None = None
        self._heard_at: int | None = None  # when the first bytes of the cycle under way came
        self._due_ms: int | None = None

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """A sample for each fix that is due. Opens the port, and opens it again for as long as it takes."""
        wait_s = REOPEN_FIRST_S
        while True:
            try:
                with SerialPort(self._settings.port, self._settings.baud) as port:
                    async with contextlib.aclosing(self._port_samples(port)) as samples:
                        async for sample in samples:
                            wait_s = REOPEN_FIRST_S
                            yield sample
            except PortLostError as error:
                self._world.lost(str(error))
            for sample in self._end_cycle():
                yield sample
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, REOPEN_MAX_S)

    async def _port_samples(self, port: SerialPort) -> AsyncGenerator[Sample, None]:
        """The samples of an open port, each as soon as its cycle is over. Raises PortLostError."""
        silent_since: float | None = None
        self._fixed_at = None
        while True:
            data = await port.read(self._idle_s)
            if data:
                silent_since = None
                self._world.back()
                samples = self._hear(data)
            else:
                samples = self._end_cycle()
                silent_since = silent_since or self._monotonic()
                if not port.is_still_there():
                    raise PortLostError(f"{self._settings.port}: now leads to another device, or nowhere")
                if self._monotonic() - silent_since > LONGEST_IDLE_S:
                    self._world.lost("is silent")
            for sample in samples:
                yield sample

    def _hear(self, data: bytes) -> list[Sample]:
        """The samples whose cycle these bytes end."""
        now = self._clock.mark()
        samples = []
        fixes = self._assembler.feed(data)
        for fix in fixes:
            samples += self._due_sample(fix, now if self._heard_at is None else self._heard_at)
            self._heard_at = now  # the same bytes began the next cycle
        if self._heard_at is None:
            self._heard_at = now
        self._learn_cycle(len(fixes))
        return samples

    def _end_cycle(self) -> list[Sample]:
        """The sample of the cycle under way: nothing more of it will come."""
        heard_at, self._heard_at = self._heard_at, None
        return [sample for fix in self._assembler.flush() for sample in self._due_sample(fix, heard_at)]

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

    def _due_sample(self, fix: Fix, heard_at: int | None) -> list[Sample]:
        """The sample of a fix, if one is due. A fix that can be believed sets the agent's clock.

        A date from before this program was made is a receiver's week count that has rolled over: other sensors must not
        be dated by it.
        """
        is_of_now = fix.time_ms is not None and fix.time_ms >= RELEASED_MS
        if fix.time_ms is not None and is_of_now and has_position(fix) and quality_of(fix) not in _UNTRUE:
            self._clock.set_by_fix(fix.time_ms, heard_at)
        sample = self._sample(fix)
        return [sample] if self._is_due(sample.measured_at_ms) else []

    def _sample(self, fix: Fix) -> Sample:
        time_ms = fix.time_ms
        cells = cells_of(fix)
        if time_ms is None or (time_ms < RELEASED_MS and not has_position(fix)):
            return Sample(*self._clock.now(), cells)
        return Sample(time_ms, Clock.GPS, cells)

    def _is_due(self, time_ms: int) -> bool:
        """Whether the interval is over, by the time of the samples; a time that leaps either way begins anew."""
        interval_ms = round(self._settings.interval_s * 1_000)
        due_ms = self._due_ms
        if due_ms is None or not due_ms - interval_ms <= time_ms < due_ms + interval_ms:
            self._due_ms = time_ms + interval_ms
            return True
        if time_ms < due_ms:
            return False
        self._due_ms = due_ms + interval_ms
        return True
