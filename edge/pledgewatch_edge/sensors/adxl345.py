"""An Analog Devices ADXL345 accelerometer over I²C: the hardest shock of each interval.

The chip measures a hundred times a second in full resolution up to 16 g (3.9 mg a step, its data sheet's scale factor)
and keeps the newest 32 in its own queue, which is emptied four times a second; so no blow of a hundredth of a second is
missed between two readings. A shock is how far the whole acceleration is from that at rest, which is 1 g however the
container lies: |√(x² + y² + z²) - 1 g|, of each measurement, and of an interval the most.

A blow of `alert_mg` or more is an urgent sample at once and not at the interval's end. Where such blows do not end (a
bad road, a loose screw, a chip gone mad) those that say nothing new are held back, and the hardest of them goes when a
minute is over, as urgent as they (bouts.py); the samples of the intervals have them as ever.

A queue that was full when it was read has lost some: the most of the others is then marked ESTIMATED.
"""

import contextlib
import logging
import math
import struct
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from pledgewatch_edge.bouts import Bout
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_edge.logs import World
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors import SensorSettings, needed
from pledgewatch_edge.sensors.i2c import ANSWER_S, HeldBus, I2cBus, SmbusBus
from pledgewatch_edge.sensors.own_thread import OwnThread
from pledgewatch_edge.sensors.polling import moments
from pledgewatch_wire.reading import Cell, Channel, Quality

DEVICE_ID: Final = 0xE5
QUEUE: Final = 32
EMPTY_EVERY_S: Final = 0.25
STEP_MG: Final = 3.9
REST_MG: Final = 1_000.0
_ID, _RATE, _POWER, _FORMAT, _DATA, _FIFO, _FIFO_STATUS = 0x00, 0x2C, 0x2D, 0x31, 0x32, 0x38, 0x39
# 100 measurements a second; full resolution, ±16 g; the queue as a stream; measure.
_SETUP: Final = ((_POWER, 0x00), (_RATE, 0x0A), (_FORMAT, 0x0B), (_FIFO, 0x80), (_POWER, 0x08))
_AXES: Final = struct.Struct("<hhh")
_GONE: Final = Cell(Channel.SHOCK_MG, 0, Quality.SENSOR_GONE)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adxl345Settings(SensorSettings):
    """A chip on the bus `/dev/i2c-<bus>`. `alert_mg` is a blow that is told at once."""

    bus: int = 1
    address: int = 0x53
    interval_s: float = 300.0
    alert_mg: int = 2_000

    def __post_init__(self) -> None:
        needed("smbus2", "i2c", "adxl345")
        require_within("bus", self.bus, 0, 255)
        if self.address not in {0x53, 0x1D}:
            raise ValueError(f"address {self.address} is none that the chip can have; use 0x53, or 0x1D with SDO high")
        require_within("interval_s", self.interval_s, EMPTY_EVERY_S, DAY_S)
        require_within("alert_mg", self.alert_mg, 1, 32_000)

    @property
    def channels(self) -> frozenset[Channel]:
        """See SensorSettings."""
        return frozenset({Channel.SHOCK_MG})

    def sensor(self, clock: AgentClock) -> "Adxl345Sensor":
        """The chip."""
        return Adxl345Sensor(self, clock, lambda: SmbusBus(self.bus))


def identity_at(bus: I2cBus, address: int) -> int:
    """What the chip there calls itself; an ADXL345 DEVICE_ID. Raises OSError where nobody answers."""
    return bus.ask(address, bytes([_ID]), 1)[0]


def shock_mg(axes: bytes) -> int:
    """How far six bytes of the three axes are from rest, in thousandths of g."""
    x, y, z = _AXES.unpack(axes)
    return round(abs(STEP_MG * math.sqrt(x * x + y * y + z * z) - REST_MG))


@dataclass(slots=True)
class Most:
    """The hardest blow of a while (-1: nothing was measured), and whether all of it was measured."""

    mg: int = -1
    is_whole: bool = True

    def add(self, mg: int, *, is_whole: bool) -> None:
        """What a turn has found."""
        self.mg, self.is_whole = max(self.mg, mg), self.is_whole and is_whole


class Blows:
    """Of all blows which are told, and when. Its only time is that of the turns, a clock that never goes back."""

    def __init__(self, interval_s: float, alert_mg: int, now_s: float) -> None:
        self._interval_s, self._alert_mg = interval_s, alert_mg
        self._due_s = now_s + interval_s
        self._bout = Bout()
        self._of_interval, self._untold = Most(), Most()  # since the latest of any kind; since the latest that is told

    def take(self, mg: int, now_s: float, *, is_whole: bool) -> tuple[Most, bool] | None:
        """Take in what a turn has found. Returns what is told now, if anything is, and whether it is urgent."""
        self._of_interval.add(mg, is_whole=is_whole)
        self._untold.add(mg, is_whole=is_whole)
        is_over, is_held = now_s >= self._due_s, self._untold.mg >= self._alert_mg
        if is_over:
            self._due_s = now_s + self._interval_s
        is_urgent = is_held and self._bout.hear(self._untold.mg, now_s)
        if not is_over and not is_urgent:
            return None
        told = self._untold if is_urgent else self._of_interval
        self._of_interval = Most()
        if is_urgent or not is_held:
            self._untold = Most()
        return told, is_urgent


class Adxl345Sensor:
    """The chip: one sample each interval, and one for each hard blow that says something new."""

    name = "adxl345"

    def __init__(
        self,
        settings: Adxl345Settings,
        clock: AgentClock,
        open_bus: Callable[[], I2cBus],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._world = World(log, f"adxl345 at {settings.address:#04x} of i2c-{settings.bus}")
        self._held = HeldBus(open_bus, self._world, self._set_up)
        self._bus = OwnThread("adxl345", self._emptied, ANSWER_S)

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """One sample each interval, and one as soon as a blow is hard, while that is news."""
        blows = Blows(self._settings.interval_s, self._settings.alert_mg, self._monotonic())
        try:
            async with contextlib.aclosing(moments(EMPTY_EVERY_S, self._monotonic)) as turns:
                async for _ in turns:
                    answer = await self._bus.ask()
                    if answer is None:
                        self._world.lost("does not answer")
                    found, is_whole = answer or (-1, False)
                    told = blows.take(found, self._monotonic(), is_whole=is_whole)
                    if told is not None:
                        most, is_urgent = told
                        yield self._sample(most)._replace(is_urgent=is_urgent)
        finally:
            self._bus.afterwards(self._held.let_go)

    def _emptied(self) -> tuple[int, bool]:
        """The most of what is in the chip's queue, -1 for nothing, and whether it is all that was measured."""
        address = self._settings.address
        try:
            with self._held.used() as bus:
                (waiting,) = bus.ask(address, bytes([_FIFO_STATUS]), 1)
                count = min(waiting & 0x3F, QUEUE)
                # Each reading of all six bytes takes one measurement out of the queue.
                blows = [shock_mg(bus.ask(address, bytes([_DATA]), _AXES.size)) for _ in range(count)]
        except OSError:  # said already
            return -1, False
        return max(blows, default=-1), count < QUEUE

    def _set_up(self, bus: I2cBus) -> None:
        """Raises OSError where it is another chip."""
        address = self._settings.address
        found = identity_at(bus, address)
        if found != DEVICE_ID:
            raise OSError(f"is no ADXL345: it calls itself {found:#04x}")
        for register, value in _SETUP:
            bus.write(address, bytes([register, value]))

    def _sample(self, most: Most) -> Sample:
        quality = Quality.GOOD if most.is_whole else Quality.ESTIMATED
        cell = Cell(Channel.SHOCK_MG, most.mg, quality) if most.mg >= 0 else _GONE
        return Sample(*self._clock.now(), (cell,))
