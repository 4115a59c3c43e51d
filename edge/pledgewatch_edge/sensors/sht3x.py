"""A Sensirion SHT3x (SHT30, 31, 35): temperature and humidity over I²C.

One measurement of high repeatability each interval, without stretching the clock, which not every bus of a Pi survives:
the command 0x2400, 15 ms for the chip to measure (16 here), six bytes back: temperature, its CRC, humidity, its CRC.
The CRC is of 8 bits, polynomial 0x31, begun with 0xFF; a value whose CRC is wrong is none. With the 16 bits S of each
(data sheet, "Conversion of Signal Output"): T = -45 + 175 · S / 65535 in °C, RH = 100 · S / 65535 in %.
"""

import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_edge.logs import World
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors import SensorSettings, needed, temperature_channel
from pledgewatch_edge.sensors.i2c import ANSWER_S, HeldBus, I2cBus, SmbusBus
from pledgewatch_edge.sensors.own_thread import OwnThread
from pledgewatch_edge.sensors.polling import moments
from pledgewatch_wire.reading import Cell, Channel, Quality

MEASURE: Final = b"\x24\x00"
MEASURE_S: Final = 0.016
_FULL_SCALE: Final = 65_535
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sht3xSettings(SensorSettings):
    """A chip on the bus `/dev/i2c-<bus>`. `temperature` is the channel that its temperature goes to."""

    bus: int = 1
    address: int = 0x44
    temperature: str = "temperature_mc"
    interval_s: float = 60.0

    def __post_init__(self) -> None:
        needed("smbus2", "i2c", "sht3x")
        require_within("bus", self.bus, 0, 255)
        if self.address not in {0x44, 0x45}:
            raise ValueError(f"address {self.address} is none that the chip can have; use 0x44, or 0x45 with ADDR high")
        require_within("interval_s", self.interval_s, 0.05, DAY_S)
        temperature_channel(self.temperature)

    @property
    def channels(self) -> frozenset[Channel]:
        """See SensorSettings."""
        return frozenset({temperature_channel(self.temperature), Channel.HUMIDITY_CPERCENT})

    def sensor(self, clock: AgentClock) -> "Sht3xSensor":
        """The chip."""
        return Sht3xSensor(self, clock, lambda: SmbusBus(self.bus))


def crc(data: bytes) -> int:
    """The CRC that the chip gives behind two bytes."""
    found = 0xFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = (found << 1) ^ 0x31 if found & 0x80 else found << 1
        found &= 0xFF
    return found


def parse(data: bytes) -> tuple[tuple[int, Quality], tuple[int, Quality]]:
    """Thousandths of a degree and hundredths of a percent, each with what is known to be wrong with it."""
    values: list[int | None] = [
        int.from_bytes(data[start : start + 2], "big") if crc(data[start : start + 2]) == data[start + 2] else None
        for start in (0, 3)
    ]
    temperature, humidity = values
    return (
        (0, Quality.CHECKSUM_FAILED) if temperature is None else (_scaled(temperature, 175_000) - 45_000, Quality.GOOD),
        (0, Quality.CHECKSUM_FAILED) if humidity is None else (_scaled(humidity, 10_000), Quality.GOOD),
    )


def _scaled(signal: int, full: int) -> int:
    """A signal as a share of its full scale, rounded half up."""
    return (2 * signal * full + _FULL_SCALE) // (2 * _FULL_SCALE)


def measured_once(bus: I2cBus, address: int) -> tuple[tuple[int, Quality], tuple[int, Quality]]:
    """One measurement, as `parse` tells it. Takes MEASURE_S; raises OSError where nobody answers."""
    bus.write(address, MEASURE)
    time.sleep(MEASURE_S)
    return parse(bus.read(address, 6))


class Sht3xSensor:
    """The chip: one sample each interval."""

    name = "sht3x"

    def __init__(
        self,
        settings: Sht3xSettings,
        clock: AgentClock,
        open_bus: Callable[[], I2cBus],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._world = World(log, f"sht3x at {settings.address:#04x} of i2c-{settings.bus}")
        self._held = HeldBus(open_bus, self._world, lambda _: None)
        self._bus = OwnThread("sht3x", self._measured, ANSWER_S)

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """One sample each interval, the first at once."""
        try:
            async with contextlib.aclosing(moments(self._settings.interval_s, self._monotonic)) as due:
                async for _ in due:
                    found = await self._bus.ask()
                    if found is None:
                        self._world.lost("does not answer")
                    yield self._sample(*found or ((0, Quality.SENSOR_GONE), (0, Quality.SENSOR_GONE)))
        finally:
            self._bus.afterwards(self._held.let_go)

    def _measured(self) -> tuple[tuple[int, Quality], tuple[int, Quality]]:
        try:
            with self._held.used() as bus:
                return measured_once(bus, self._settings.address)
        except OSError:  # said already
            return (0, Quality.SENSOR_GONE), (0, Quality.SENSOR_GONE)

    def _sample(self, temperature: tuple[int, Quality], humidity: tuple[int, Quality]) -> Sample:
        channel = temperature_channel(self._settings.temperature)
        return Sample(
            *self._clock.now(), tuple(sorted((Cell(channel, *temperature), Cell(Channel.HUMIDITY_CPERCENT, *humidity))))
        )
