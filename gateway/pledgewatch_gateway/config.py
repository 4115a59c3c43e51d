"""The gateway's configuration: who it is, its zones, and what their stations share. See pledgewatch_edge.config.

A zone is a part of the warehouse that the book knows as an asset, and one device is fitted to it: the device's name,
key, counters and spool are of the zone. All zones speak through one gateway and to one broker, each with a connection
of its own, so what lets the gateway into the broker must let it into the topics of all its devices.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pledgewatch_edge.config import DeviceSettings, SharedSettings, StationSettings, require_name
from pledgewatch_edge.station import Station
from pledgewatch_wire.settings import load as load_settings

ZONES_MAX: Final = 100  # each has a connection, a spool and threads of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayName:
    """Who the gateway is. `name` is what the book's installations of its devices have as `gateway`; `state_folder` is
    where the folders of its zones are."""

    operator: str
    name: str
    state_folder: Path

    def __post_init__(self) -> None:
        require_name("operator", self.operator)
        require_name("name", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSettings:
    """A zone: its name as people call it, the device that stands for it, and the folder of that device's key and spool
    (none: one below the gateway's, by the device's name). Which asset the device is fitted to is the book's to say;
    `asset` is told to people and believed by nobody."""

    name: str
    device: str
    asset: str = ""
    folder: Path | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name is empty; name the zone as people call it")
        require_name("device", self.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings(SharedSettings):
    """The whole configuration of a gateway."""

    gateway: GatewayName
    zones: tuple[ZoneSettings, ...] = ()

    def __post_init__(self) -> None:
        if not self.zones:
            raise ValueError("names no zone; add a section [[zones]] for each")
        if len(self.zones) > ZONES_MAX:
            raise ValueError(f"names {len(self.zones)} zones; a gateway has {ZONES_MAX} at most, so set up another")
        for key, values in (
            ("name", [zone.name for zone in self.zones]),
            ("device", [zone.device for zone in self.zones]),
            ("folder", [os.path.normpath(self.folder_of(zone)) for zone in self.zones]),
        ):
            if twice := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"[[zones]] {key} {twice[0]!r} is there more than once; give each zone its own")

    def folder_of(self, zone: ZoneSettings) -> Path:
        """Where a zone's key, counters and spool are."""
        return zone.folder or self.gateway.state_folder / zone.device


def load(file: Path) -> GatewaySettings:
    """The gateway's configuration. Raises SettingsError; needs nothing but the file itself."""
    return load_settings(file, GatewaySettings)


def stations_of(settings: GatewaySettings) -> list[Station]:
    """A station for each zone, in the order of the configuration. They have no sensors."""
    return [
        Station(
            StationSettings(
                device=DeviceSettings(
                    operator=settings.gateway.operator, name=zone.device, state_folder=settings.folder_of(zone)
                ),
                broker=settings.broker,
                uplink=settings.uplink,
                checkpoint=settings.checkpoint,
                spool=settings.spool,
            ),
            list,
            {"gateway": settings.gateway.name, "zone": zone.name, "asset": zone.asset},
        )
        for zone in settings.zones
    ]
