"""The gateway's configuration: who it is, its zones, what their stations share, and what is measured there by whom. See
pledgewatch_edge.config; each kind of source, the roster and the rules have their sections in their own modules.

A zone is a part of the warehouse that the book knows as an asset, and one device is fitted to it: the device's name,
key, counters and spool are of the zone, and so is its connection. A zone that was claimed is let into the broker by a
certificate of its own, which lies beside its key and is renewed (decision 0036). All others are let in by what
`[broker]` names, which must let the gateway into the topics of all of them.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pledgewatch_edge.config import (
    BrokerSettings,
    DeviceSettings,
    SharedSettings,
    StationSettings,
    broker_files,
    require_name,
    require_within,
)
from pledgewatch_edge.tls_identity import BROKER_CA_FILE, CERTIFICATE_FILE, KEY_FILE
from pledgewatch_gateway.documents.settings import FOLDER, DocumentsSettings, faults_of
from pledgewatch_gateway.roster import RowSettings, check_rows
from pledgewatch_gateway.rules import RuleSettings
from pledgewatch_gateway.sources.modbus import ModbusSettings
from pledgewatch_gateway.sources.mqtt import MqttSettings
from pledgewatch_gateway.sources.serial_lines import SerialSettings
from pledgewatch_gateway.status_page import StatusPageSettings
from pledgewatch_gateway.switches import OutputSettings, time_zone_of
from pledgewatch_wire.hosts import require_host, require_url
from pledgewatch_wire.settings import SettingsError, unreadable
from pledgewatch_wire.settings import load as load_settings

ZONES_MAX: Final = 100  # each has a connection, a spool and threads of its own
SOURCES_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayName:
    """Who the gateway is. `name` is what the book's installations of its devices have as `gateway`; `state_folder` is
    where the folders of its zones are; `time_zone`, by its IANA name, is the one of its rules' hours."""

    operator: str
    name: str
    state_folder: Path
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        require_name("operator", self.operator)
        require_name("name", self.name)
        time_zone_of(self.time_zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSettings:
    """A zone: its name as people call it, the device that stands for it, and the folder of that device's key and spool
    (none: one below the gateway's, by the device's name). Which asset the device is fitted to is the book's to say;
    `asset` is told to people and believed by nobody.

    The rest is written by a claim: `cloud_url` and `cloud_ca_file` as an agent's `[device]` has them, `broker_host` and
    `broker_port` where the zone's broker is another than that of `[broker]`. A zone with a `cloud_url` shows the
    certificate of its own folder."""

    name: str
    device: str
    asset: str = ""
    folder: Path | None = None
    cloud_url: str | None = None
    cloud_ca_file: Path | None = None
    broker_host: str | None = None
    broker_port: int | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name is empty; name the zone as people call it")
        require_name("device", self.device)
        if self.cloud_url is not None:
            require_url("cloud_url", self.cloud_url)
        elif self.cloud_ca_file or self.broker_host is not None or self.broker_port is not None:
            raise ValueError("cloud_ca_file, broker_host and broker_port need a cloud_url; `claim` writes them all")
        if self.broker_host is not None:
            require_host("broker_host", self.broker_host)
        if self.broker_port is not None:
            require_within("broker_port", self.broker_port, 1, 65_535)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings(SharedSettings):
    """The whole configuration of a gateway: its zones, the sources of what is measured there, the roster (`sensors`)
    that says what is what, what is done on the spot, and the documents of the stock system."""

    gateway: GatewayName
    zones: tuple[ZoneSettings, ...] = ()
    mqtt: tuple[MqttSettings, ...] = ()
    modbus: tuple[ModbusSettings, ...] = ()
    serial: tuple[SerialSettings, ...] = ()
    sensors: tuple[RowSettings, ...] = ()
    outputs: tuple[OutputSettings, ...] = ()
    rules: tuple[RuleSettings, ...] = ()
    status_page: StatusPageSettings | None = None
    documents: DocumentsSettings | None = None

    def __post_init__(self) -> None:
        if not self.zones:
            raise ValueError("names no zone; add a section [[zones]] for each")
        if len(self.zones) > ZONES_MAX:
            raise ValueError(f"names {len(self.zones)} zones; a gateway has {ZONES_MAX} at most, so set up another")
        for key, values in (
            ("name", [zone.name for zone in self.zones]),
            ("device", [zone.device for zone in self.zones]),
            ("folder", [os.path.normpath(one) for one in (*map(self.folder_of, self.zones), self.documents_folder)]),
        ):
            _require_once(f"[[zones]] {key}", values, "give each zone its own")
        sources = [one.name for kind in (self.mqtt, self.modbus, self.serial) for one in kind]
        if len(sources) > SOURCES_MAX:
            raise ValueError(f"names {len(sources)} sources; a gateway has {SOURCES_MAX} at most, so set up another")
        _require_once("[[mqtt]], [[modbus]] and [[serial]] name", sources, "give each source its own")
        check_rows(self.sensors, [zone.name for zone in self.zones], sources)
        _require_once("[[outputs]] name", [one.name for one in self.outputs], "give each output its own")
        _require_once("[[rules]] name", [one.name for one in self.rules], "give each rule its own")
        self._check_outputs()
        self._check_rules()

    def _check_outputs(self) -> None:
        brokers, devices = [one.name for one in self.mqtt], [one.name for one in self.modbus]
        for number, output in enumerate(self.outputs):
            named, kind = (brokers, "[[mqtt]]") if output.topic else (devices, "[[modbus]]")
            if output.source not in named:
                raise ValueError(f"[outputs][{number}] source {output.source!r} is no {kind} of this gateway")

    def _check_rules(self) -> None:
        known = {(row.zone, row.channel) for row in self.sensors}
        outputs = {one.name for one in self.outputs}
        for number, rule in enumerate(self.rules):
            if (rule.zone, rule.channel) not in known:
                raise ValueError(
                    f"[rules][{number}] looks at {rule.channel} of {rule.zone!r}, for which [[sensors]] has no row"
                )
            if missing := sorted(set(rule.outputs) - outputs):
                raise ValueError(f"[rules][{number}] outputs: {missing[0]!r} is none of [[outputs]]")

    def folder_of(self, zone: ZoneSettings) -> Path:
        """Where a zone's key, counters and spool are."""
        return zone.folder or self.gateway.state_folder / zone.device

    def station_of(self, zone: ZoneSettings) -> StationSettings:
        """The configuration of a zone's station."""
        device = DeviceSettings(
            operator=self.gateway.operator,
            name=zone.device,
            state_folder=self.folder_of(zone),
            cloud_url=zone.cloud_url,
            cloud_ca_file=zone.cloud_ca_file,
        )
        return StationSettings(
            device=device,
            broker=self._broker_of(zone),
            uplink=self.uplink,
            checkpoint=self.checkpoint,
            spool=self.spool,
        )

    def _broker_of(self, zone: ZoneSettings) -> BrokerSettings:
        if zone.cloud_url is None:
            return self.broker
        folder = self.folder_of(zone)
        return replace(
            self.broker,
            host=zone.broker_host or self.broker.host,
            port=zone.broker_port or self.broker.port,
            username=None,
            password_file=None,
            ca_file=folder / BROKER_CA_FILE,
            certificate_file=folder / CERTIFICATE_FILE,
            key_file=folder / KEY_FILE,
        )

    @property
    def documents_folder(self) -> Path:
        """Where documents wait for the cloud."""
        folder = None if self.documents is None else self.documents.folder
        return folder or self.gateway.state_folder / FOLDER


def load(file: Path, over: Mapping[str, Any] = MappingProxyType({})) -> GatewaySettings:
    """The gateway's configuration, with `over` in the place of what the file says. Raises SettingsError; needs nothing
    but the file itself."""
    return load_settings(file, GatewaySettings, over)


def check_site_files(settings: GatewaySettings, file: Path) -> None:
    """Refuse a configuration whose brokers of the LAN or documents name files that cannot be used, or two of whose
    sources would take from one port or folder, or two of whose zones have one folder by two names (SettingsError)."""
    named: dict[str, Path | None] = {}
    for number, one in enumerate(settings.mqtt):
        named |= broker_files(f"[mqtt][{number}] broker", one.broker)
    errors = [*unreadable(named), *_shared_ports(settings.serial), *_shared_folders(settings)]
    if settings.documents is not None:
        errors += faults_of(settings.documents)
    if errors:
        raise SettingsError(file, errors)


def _shared_ports(ports: Sequence[SerialSettings]) -> list[str]:
    """A sentence for each port that is another one's, by whichever name: each would get a part of the lines."""
    found, taken = [], dict[str, int]()
    for number, one in enumerate(ports):
        first = taken.setdefault(os.path.realpath(one.port), number)
        if first != number:
            found.append(f"[serial][{number}] port {one.port} is that of [serial][{first}]; give each its own")
    return found


def _shared_folders(settings: GatewaySettings) -> list[str]:
    """A sentence for each zone whose folder is another's, by whichever name: one of them could never run."""
    found, taken = [], {os.path.realpath(settings.documents_folder): "that of [documents]"}
    for zone in settings.zones:
        folder = settings.folder_of(zone)
        first = taken.setdefault(os.path.realpath(folder), f"that of zone {zone.name!r}")
        if first != f"that of zone {zone.name!r}":
            found.append(f"[[zones]] folder {folder} of {zone.name!r} is {first}; give each its own")
    return found


def _require_once(place: str, values: Sequence[str], cure: str) -> None:
    if twice := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"{place} {twice[0]!r} is there more than once; {cure}")
