"""The edge agent: one station with the sensors that its configuration names.

Its configuration is a station's and the table of sensors: each row of EdgeSettings that holds a sensor's settings is a
section that may be left out. A new kind of sensor is a module in `sensors/` and a row here, or a package of its own.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pledgewatch_edge.care import overlay
from pledgewatch_edge.care.care import Care
from pledgewatch_edge.clock import AgentClock, machine_keeps_time, system_ms
from pledgewatch_edge.config import StationSettings, check_files, require_within
from pledgewatch_edge.guest import is_ctrl_c, told
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.sampling_settings import SamplingSettings
from pledgewatch_edge.sensors import clashes, faults_of, given_by, sections, sensors_of, with_sections_of_others
from pledgewatch_edge.sensors.adxl345 import Adxl345Settings
from pledgewatch_edge.sensors.contacts import ContactsSettings
from pledgewatch_edge.sensors.gps import GpsSettings
from pledgewatch_edge.sensors.gpsd import GpsdSettings
from pledgewatch_edge.sensors.host import HostSettings
from pledgewatch_edge.sensors.modbus import ModbusSettings
from pledgewatch_edge.sensors.onewire import OneWireSettings
from pledgewatch_edge.sensors.sht3x import Sht3xSettings
from pledgewatch_edge.station import Station
from pledgewatch_wire.named_file import read_named_text
from pledgewatch_wire.settings import SettingsError
from pledgewatch_wire.settings import load as load_settings
from pledgewatch_wire.toml_text import read_toml

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSettings:
    """Whether the computer's own clock may be believed until a receiver or a time service tells the time. On a board
    without a battery for its clock it may not: what is measured before that then waits for its date (undated.py). Where
    `trust_system` is left out, the machine is asked whether it has a clock of its own.

    A simulation gives the computer another clock: it shows `simulated_start_ms` at the machine's `anchor_ms`, and runs
    `speed` times as fast for `simulated_for_s` of its own seconds (None: for ever), then as fast as the machine's."""

    trust_system: bool | None = None
    simulated_start_ms: int | None = None
    speed: float = 1.0
    anchor_ms: int = 0
    simulated_for_s: float | None = None

    def __post_init__(self) -> None:
        require_within("speed", self.speed, 1e-3, 1e9)
        if self.simulated_start_ms is None and (self.speed != 1.0 or self.anchor_ms or self.simulated_for_s):
            raise ValueError("speed, anchor_ms and simulated_for_s are of a simulation; they need simulated_start_ms")

    def clock(self) -> AgentClock:
        """The clock that this describes."""
        start_ms = self.simulated_start_ms
        if start_ms is None:
            keeps_time = machine_keeps_time() if self.trust_system is None else self.trust_system
            if not keeps_time and self.trust_system is None:
                log.info(
                    "no clock of its own on this computer: the time is known once a receiver or time service tells it"
                )
            return AgentClock(keeps_time=keeps_time)
        return AgentClock(
            system_ms=lambda: start_ms + self._counted_ms(),
            monotonic_ms=self._counted_ms,
            is_synchronised=lambda: False,
            keeps_time=self.trust_system is not False,
        )

    def _counted_ms(self) -> int:
        counted_ms = (system_ms() - self.anchor_ms) * self.speed
        if self.simulated_for_s is not None:
            end_ms = self.simulated_for_s * 1_000
            counted_ms = min(counted_ms, end_ms + (counted_ms - end_ms) / self.speed)
        return round(counted_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings(StationSettings):
    """The whole configuration of an edge agent."""

    clock: ClockSettings = field(default_factory=ClockSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    gps: GpsSettings | None = None
    gpsd: GpsdSettings | None = None
    onewire: OneWireSettings | None = None
    sht3x: Sht3xSettings | None = None
    modbus: ModbusSettings | None = None
    contacts: ContactsSettings | None = None
    adxl345: Adxl345Settings | None = None
    host: HostSettings | None = None

    def __post_init__(self) -> None:
        table = sections(type(self))
        if all(getattr(self, section) is None for section in table):
            raise ValueError(f"names no sensor; add a section {' or '.join(f'[{section}]' for section in table)}")
        given = {channel for section in table for channel in given_by(self, section)}
        if found := [*clashes(self), *self.sampling.faults(given)]:
            raise ValueError("; ".join(found))


def load(file: Path, over: Mapping[str, Any] = MappingProxyType({})) -> EdgeSettings:
    """The edge agent's configuration, with what was set from afar over it. Raises SettingsError; needs nothing but the
    file itself."""
    try:
        named = read_toml(read_named_text(file)).keys() | over.keys()
    except (OSError, ValueError):
        named = set()  # what is wrong with the file is told below
    try:
        settings = with_sections_of_others(EdgeSettings, named)
    except ValueError as error:
        raise SettingsError(file, [str(error)]) from None
    try:
        found: EdgeSettings = load_settings(file, settings, over)
    except SettingsError:
        raise
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        guests = {one.name for one in fields(settings)} - {one.name for one in fields(EdgeSettings)}
        if not guests:
            raise
        sections_named = " or ".join(f"[{name}]" for name in sorted(guests))
        raise SettingsError(
            file, [f"{sections_named} cannot be read by its own package: {told(error)}; mend it"]
        ) from error
    return found


def station_of(settings: EdgeSettings, file: Path) -> Station:
    """The agent's one station, cared for from afar. Its configuration is read again for each overlay, its clock is the
    same for all: what a receiver has told is known when the station is run anew."""
    clock = settings.clock.clock()

    def made(found: EdgeSettings, care: Care | None = None) -> Station:
        return Station(found, lambda: sensors_of(found, clock), {}, lambda: Sampler(found.sampling), clock, care)

    return made(settings, Care(settings, lambda toml: made(with_overlay(file, toml)), clock.now))


def with_overlay(file: Path, toml: str) -> EdgeSettings:
    """The configuration with settings from afar over it, held to all that `run --check` asks. Raises ValueError.

    Without any it is the file's alone, and a sensor that cannot be made keeps no agent from running (guest.py)."""
    over = overlay.read(toml)
    table = with_sections_of_others(EdgeSettings, over.keys())
    overlay.check(over, sections(table))
    found = load(file, over)
    check_files(found, file)
    if over and (faults := faults_of(sensors_of(found, AgentClock()))):
        raise SettingsError(file, faults)
    return found
