"""The edge agent: one station with the sensors that its configuration names.

Its configuration is a station's and the table of sensors: each row of EdgeSettings that holds a sensor's settings is a
section that may be left out. A new kind of sensor is a module in `sensors/` and a row here.
"""

from dataclasses import dataclass, field
from pathlib import Path

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import StationSettings
from pledgewatch_edge.sensors import sections, sensors_of
from pledgewatch_edge.sensors.gps import GpsSettings
from pledgewatch_edge.sensors.onewire import OneWireSettings
from pledgewatch_edge.station import Station
from pledgewatch_wire.settings import load as load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSettings:
    """Whether the computer's own clock may be believed until a receiver tells the time. On a board without a battery
    for its clock it may not: what is measured before the first fix is then kept as evidence of nothing."""

    trust_system: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings(StationSettings):
    """The whole configuration of an edge agent."""

    clock: ClockSettings = field(default_factory=ClockSettings)
    gps: GpsSettings | None = None
    onewire: OneWireSettings | None = None

    def __post_init__(self) -> None:
        table = sections(type(self))
        if all(getattr(self, section) is None for section in table):
            raise ValueError(f"names no sensor; add a section {' or '.join(f'[{section}]' for section in table)}")


def load(file: Path) -> EdgeSettings:
    """The edge agent's configuration. Raises SettingsError; needs nothing but the file itself."""
    return load_settings(file, EdgeSettings)


def station_of(settings: EdgeSettings) -> Station:
    """The agent's one station."""
    clock = AgentClock(trust_system=settings.clock.trust_system)
    return Station(settings, lambda: sensors_of(settings, clock), {})
