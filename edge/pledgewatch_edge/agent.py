"""The edge agent: one station with the sensors that its configuration names.

Its configuration is a station's and the table of sensors: each row of EdgeSettings that holds a sensor's settings is a
section that may be left out. A new kind of sensor is a module in `sensors/` and a row here, or a package of its own.
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import StationSettings
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.sampling_settings import SamplingSettings
from pledgewatch_edge.sensors import clashes, sections, sensors_of, with_sections_of_others
from pledgewatch_edge.sensors.adxl345 import Adxl345Settings
from pledgewatch_edge.sensors.contacts import ContactsSettings
from pledgewatch_edge.sensors.gps import GpsSettings
from pledgewatch_edge.sensors.gpsd import GpsdSettings
from pledgewatch_edge.sensors.host import HostSettings
from pledgewatch_edge.sensors.modbus import ModbusSettings
from pledgewatch_edge.sensors.onewire import OneWireSettings
from pledgewatch_edge.sensors.sht3x import Sht3xSettings
from pledgewatch_edge.station import Station
from pledgewatch_wire.settings import SettingsError
from pledgewatch_wire.settings import load as load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSettings:
    """Whether the computer's own clock may be believed until a receiver tells the time. On a board without a battery
    for its clock it may not: what is measured before the first fix then waits for its date (undated.py)."""

    trust_system: bool = True


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
        given = {channel for section in table if (one := getattr(self, section)) for channel in one.channels}
        if found := [*clashes(self), *self.sampling.faults(given)]:
            raise ValueError("; ".join(found))


def load(file: Path) -> EdgeSettings:
    """The edge agent's configuration. Raises SettingsError; needs nothing but the file itself."""
    try:
        named = tomllib.loads(file.read_text(encoding="utf-8")).keys()
    except (OSError, ValueError):
        named = {}.keys()  # what is wrong with the file is told below
    try:
        settings = with_sections_of_others(EdgeSettings, named)
    except ValueError as error:
        raise SettingsError(file, [str(error)]) from None
    found: EdgeSettings = load_settings(file, settings)
    return found


def station_of(settings: EdgeSettings) -> Station:
    """The agent's one station."""
    clock = AgentClock(trust_system=settings.clock.trust_system)
    return Station(settings, lambda: sensors_of(settings, clock), {}, lambda: Sampler(settings.sampling), clock)
