"""DS18B20 thermometers through the kernel's one-wire tree (w1_therm, `<root>/<probe>/w1_slave`).

The file has two lines: nine hexadecimal bytes of the probe's scratchpad with `crc=.. YES` or `NO`, and the bytes again
with `t=` and thousandths of a degree. What it says is not always a temperature:

- `NO`: the bytes were damaged on the wire; the kernel still shows the value before in `t=`. CHECKSUM_FAILED.
- exactly 85000: what the probe holds from power-on until its first conversion. It may also be 85 °C, so the value is
  kept, as POWER_ON_VALUE.
- beyond -55 to 125 °C, the data sheet's range: OUT_OF_RANGE, the value kept.
- nine zero bytes: their checksum is zero as well, so a wire shorted to ground reads as a perfect 0 °C. SENSOR_GONE, as
  when the file is empty, unreadable or not there.
- nothing at all: a bus that hangs. All its probes are SENSOR_GONE until the reading that hangs has returned.
"""

import contextlib
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_edge.logs import World
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors import SensorSettings
from pledgewatch_edge.sensors.own_thread import OwnThread
from pledgewatch_edge.sensors.polling import moments
from pledgewatch_wire.reading import TEMPERATURE_CHANNELS, Cell, Channel, Quality

ANSWER_S: Final = 5.0  # of one probe; the kernel tries a conversion of 0.75 s up to five times
POWER_ON_MC: Final = 85_000
COLDEST_MC: Final = -55_000
HOTTEST_MC: Final = 125_000
_PROBE: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{12}")
_MAX_BYTES: Final = 512  # the kernel writes 75
_VERDICT: Final = re.compile(r"^((?:[0-9a-f]{2} ){9}): crc=[0-9a-f]{2} (YES|NO)$", re.MULTILINE)
_TEMPERATURE: Final = re.compile(r"\bt=(-?[0-9]{1,6})\s*\Z")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneWireSettings(SensorSettings):
    """DS18B20 probes in the kernel's one-wire tree; their order gives TEMPERATURE_CHANNELS."""

    probes: tuple[str, ...]
    root: Path = Path("/sys/bus/w1/devices")
    interval_s: float = 60.0

    def __post_init__(self) -> None:
        require_within("interval_s", self.interval_s, 0.01, DAY_S)
        most = len(TEMPERATURE_CHANNELS)
        if not 1 <= len(self.probes) <= most:
            raise ValueError(f"probes names {len(self.probes)}; name 1 to {most}")
        for probe in self.probes:
            if not _PROBE.fullmatch(probe):
                raise ValueError(f'probes: {probe!r} is none; write it as the kernel does, "28-0123456789ab"')
            if self.probes.count(probe) > 1:
                raise ValueError(f"probes: {probe!r} is named twice; name each probe once")

    @property
    def channels(self) -> frozenset[Channel]:
        """See SensorSettings."""
        return frozenset(TEMPERATURE_CHANNELS[: len(self.probes)])

    def sensor(self, clock: AgentClock) -> "OneWireSensor":
        """The probes."""
        return OneWireSensor(self, clock)


def parse(text: str) -> tuple[int, Quality]:
    """Thousandths of a degree Celsius and what is known to be wrong with them; 0 where there is no value."""
    if not text.strip():
        return 0, Quality.SENSOR_GONE
    verdict, temperature = _VERDICT.search(text), _TEMPERATURE.search(text)
    if verdict is None or temperature is None or verdict[2] == "NO":
        return 0, Quality.CHECKSUM_FAILED
    if not verdict[1].strip("0 "):
        return 0, Quality.SENSOR_GONE
    value = int(temperature[1])
    if value == POWER_ON_MC:
        return value, Quality.POWER_ON_VALUE
    if not COLDEST_MC <= value <= HOTTEST_MC:
        return value, Quality.OUT_OF_RANGE
    return value, Quality.GOOD


def read_probe(path: Path) -> tuple[int, Quality]:
    """One probe's `w1_slave`, read now. Takes up to 0.75 s on a real bus."""
    try:
        with path.open("rb") as file:
            return parse(file.read(_MAX_BYTES).decode("ascii", "replace"))
    except OSError:
        return 0, Quality.SENSOR_GONE


class OneWireSensor:
    """All probes of a device: one sample each interval, one cell for each probe, stamped when the last was read."""

    name = "onewire"

    def __init__(
        self,
        settings: OneWireSettings,
        clock: AgentClock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._worlds = [World(log, f"probe {probe}") for probe in settings.probes]
        self._bus = OwnThread("onewire", self._read_all, ANSWER_S * len(settings.probes))

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """One sample each interval, the first at once. An interval that was slept through is not made up for."""
        async with contextlib.aclosing(moments(self._settings.interval_s, self._monotonic)) as due:
            async for _ in due:
                found = await self._bus.ask()
                yield self._sample(found or [(0, Quality.SENSOR_GONE)] * len(self._settings.probes))

    def _read_all(self) -> list[tuple[int, Quality]]:
        return [read_probe(self._settings.root / probe / "w1_slave") for probe in self._settings.probes]

    def _sample(self, found: list[tuple[int, Quality]]) -> Sample:
        for world, (_, quality) in zip(self._worlds, found, strict=True):
            if quality == Quality.SENSOR_GONE:
                world.lost("does not answer")
            else:
                world.back()
        cells = sorted(
            Cell(channel, value, quality)
            for channel, (value, quality) in zip(TEMPERATURE_CHANNELS, found, strict=False)
        )
        return Sample(*self._clock.now(), tuple(cells))
