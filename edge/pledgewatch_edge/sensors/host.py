"""The computer itself: room on its disk, its temperature, whether it is slowed down, its spool, and its clock.

| channel | from | where it is not there |
|---|---|---|
| `disk_free_mib` | the file system of `disk` | SENSOR_GONE |
| `host_temperature_mc` | `thermal`, the kernel's first thermal zone | left out |
| `throttled` | `throttling`, the firmware's bits as a Pi's kernel shows them, in hexadecimal | left out |
| `spool_readings` | how many readings wait for `committed` | left out before the spool is open |
| `clock_offset_ms` | the system's clock less the receiver's time, where a receiver has told it | left out |

The bits of `throttled`: 0 under-voltage, 1 frequency capped, 2 throttled, 3 soft temperature limit; the same from bit
16 on for what has been so since the start (vcgencmd get_throttled).

A disk may be on a network, and asking for its room may never return; so it is asked in a thread of its own, and what
else there is in another. Without an answer in ANSWER_S the disk is SENSOR_GONE, and the rest is left out.
"""

import asyncio
import contextlib
import logging
import os
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
from pledgewatch_wire.reading import Cell, Channel, Quality

ANSWER_S: Final = 5.0
_MIB = 1_048_576
_VALUE_MAX_BYTES = 64
_GONE: Final = Cell(Channel.DISK_FREE_MIB, 0, Quality.SENSOR_GONE)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings(SensorSettings):
    """What of the computer is looked at. `disk` is a folder on the disk whose room counts: that of the spool."""

    disk: Path = Path("/")
    thermal: Path = Path("/sys/class/thermal/thermal_zone0/temp")
    throttling: Path = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
    interval_s: float = 3_600.0

    def __post_init__(self) -> None:
        require_within("interval_s", self.interval_s, 0.05, DAY_S)

    @property
    def channels(self) -> frozenset[Channel]:
        """See SensorSettings."""
        return frozenset(
            {
                Channel.DISK_FREE_MIB,
                Channel.HOST_TEMPERATURE_MC,
                Channel.THROTTLED,
                Channel.SPOOL_READINGS,
                Channel.CLOCK_OFFSET_MS,
            }
        )

    def sensor(self, clock: AgentClock) -> "HostSensor":
        """The computer."""
        return HostSensor(self, clock)


class HostSensor:
    """The computer: one sample each interval. `spooled` is set by the station whose spool it is."""

    name = "host"

    def __init__(
        self, settings: HostSettings, clock: AgentClock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._world = World(log, f"disk {settings.disk}")
        self._disk = OwnThread("host disk", self._room, ANSWER_S)
        self._others = OwnThread("host", self._read, ANSWER_S)
        self.spooled: Callable[[], int] | None = None

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """One sample each interval, the first at once."""
        async with contextlib.aclosing(moments(self._settings.interval_s, self._monotonic)) as due:
            async for _ in due:
                disk, others = await asyncio.gather(self._disk_cell(), self._others.ask())
                yield Sample(*self._clock.now(), tuple(sorted([disk, *(others or ())])))

    def _read(self) -> list[Cell]:
        found = {
            Channel.HOST_TEMPERATURE_MC: _number(self._settings.thermal, 10),
            Channel.THROTTLED: _number(self._settings.throttling, 16),
            Channel.SPOOL_READINGS: self.spooled() if self.spooled else None,
            Channel.CLOCK_OFFSET_MS: self._clock.offset_ms(),
        }
        return [Cell(channel, value) for channel, value in found.items() if value is not None]

    async def _disk_cell(self) -> Cell:
        try:
            room_mib = await self._disk.ask()
        except OSError as error:
            self._world.lost(error.strerror or str(error))
            return _GONE
        if room_mib is None:
            self._world.lost("does not answer")
            return _GONE
        self._world.back()
        return Cell(Channel.DISK_FREE_MIB, room_mib)

    def _room(self) -> int:
        room = os.statvfs(self._settings.disk)
        return room.f_bavail * room.f_frsize // _MIB


def _number(path: Path, base: int) -> int | None:
    """The whole number that a file of the kernel holds; None where it is not there, or holds none."""
    try:
        with path.open("rb") as file:
            return int(file.read(_VALUE_MAX_BYTES).decode("ascii", "replace").strip(), base)
    except (OSError, ValueError):
        return None
