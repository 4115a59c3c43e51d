"""The agent's configuration: what can be set, what it means, and what cannot be.

A section of the TOML file is a dataclass here, a key a field (pledgewatch_wire.settings reads them, strictly). What
cannot be right is refused before anything is opened, with a sentence that names file, section, key and cure, because
the person who reads it stands in a container yard with a laptop.

Reading a configuration touches no network, no device and no state; `check_files` also looks at the files that it names.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from pledgewatch_wire.reading import TEMPERATURE_CHANNELS
from pledgewatch_wire.settings import SettingsError, unreadable
from pledgewatch_wire.settings import load as load_settings
from pledgewatch_wire.topics import is_name

BAUDS: Final = (4_800, 9_600, 19_200, 38_400, 57_600, 115_200)
_DAY_S: Final = 86_400.0
_PROBE: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{12}")


class Protocol(StrEnum):
    """Which MQTT to speak; AUTO is 5 where the broker does, else 3.1.1."""

    AUTO = "auto"
    V5 = "5"
    V311 = "3.1.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """Who the device is, and the folder that holds its key, its counters and its spool."""

    operator: str
    name: str
    state_folder: Path

    def __post_init__(self) -> None:
        for key, value in (("operator", self.operator), ("name", self.name)):
            if not is_name(value):
                raise ValueError(f"{key} {value!r} cannot be a name; use 1 to 64 of a-z, 0-9 and inner hyphens")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where the broker is and how to be let in. TLS is used exactly when `ca_file` is set (usually with port 8883)."""

    host: str
    port: int = 1_883
    protocol: Protocol = Protocol.AUTO
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    keep_alive_s: int = 60
    reconnect_max_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.host:
            raise ValueError("host is empty; name the broker")
        _within("port", self.port, 1, 65_535)
        _within("keep_alive_s", self.keep_alive_s, 1, 65_535)
        _within("reconnect_max_s", self.reconnect_max_s, 0.05, _DAY_S)
        if self.password_file and self.username is None:
            raise ValueError("password_file needs a username; add username")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file goes with key_file; set both or neither")
        if self.certificate_file and self.ca_file is None:
            raise ValueError("certificate_file needs ca_file to know the broker by; add ca_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkSettings:
    """How readings travel. `send_every_s` 0 sends each as soon as it is spooled; `in_flight_readings` are sent and not
    yet committed at most; after `resend_after_s` without `committed` they are sent again. That is for what is lost
    unnoticed, and longer than the cloud's own patience (`committed_after_s`): a gap is answered at once."""

    send_every_s: float = 0.0
    readings_per_payload: int = 60
    in_flight_readings: int = 1_200
    resend_after_s: float = 25_200.0

    def __post_init__(self) -> None:
        _within("send_every_s", self.send_every_s, 0.0, _DAY_S)
        _within("readings_per_payload", self.readings_per_payload, 1, 1_000)
        _within("in_flight_readings", self.in_flight_readings, 1, 100_000)
        _within("resend_after_s", self.resend_after_s, 0.1, _DAY_S)
        if self.in_flight_readings < self.readings_per_payload:
            raise ValueError("in_flight_readings holds not even one payload; use at least readings_per_payload")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSettings:
    """How often the chain is signed: after so many readings or so many seconds, whichever comes first.

    A signature is 64 bytes, twice as long as a reading: one that speaks every quarter of an hour signs twice a day.
    """

    every_readings: int = 60
    every_s: float = 43_200.0

    def __post_init__(self) -> None:
        _within("every_readings", self.every_readings, 1, 4_096)
        _within("every_s", self.every_s, 1.0, _DAY_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """How many readings the spool may hold; at the limit the newest reading is refused and counted."""

    readings_max: int = 1_000_000

    def __post_init__(self) -> None:
        _within("readings_max", self.readings_max, 1, 100_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpsSettings:
    """A serial GPS receiver. `interval_s` 0 takes every fix."""

    port: Path
    baud: int = 9_600
    interval_s: float = 0.0

    def __post_init__(self) -> None:
        _within("interval_s", self.interval_s, 0.0, _DAY_S)
        if self.baud not in BAUDS:
            raise ValueError(f"baud {self.baud} is no usual speed; use one of {', '.join(map(str, BAUDS))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneWireSettings:
    """DS18B20 probes in the kernel's one-wire tree; their order gives TEMPERATURE_CHANNELS."""

    probes: tuple[str, ...]
    root: Path = Path("/sys/bus/w1/devices")
    interval_s: float = 60.0

    def __post_init__(self) -> None:
        _within("interval_s", self.interval_s, 0.01, _DAY_S)
        most = len(TEMPERATURE_CHANNELS)
        if not 1 <= len(self.probes) <= most:
            raise ValueError(f"probes names {len(self.probes)}; name 1 to {most}")
        for probe in self.probes:
            if not _PROBE.fullmatch(probe):
                raise ValueError(f'probes: {probe!r} is none; write it as the kernel does, "28-0123456789ab"')
            if self.probes.count(probe) > 1:
                raise ValueError(f"probes: {probe!r} is named twice; name each probe once")


@dataclass(frozen=True, slots=True, kw_only=True)
class StationSettings:
    """What everything that measures, spools and sends has in common: an edge agent, a gateway."""

    device: DeviceSettings
    broker: BrokerSettings
    uplink: UplinkSettings = field(default_factory=UplinkSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    spool: SpoolSettings = field(default_factory=SpoolSettings)


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
        if self.gps is None and self.onewire is None:
            raise ValueError("names no sensor; add a section [gps] or [onewire]")


def load(file: Path) -> EdgeSettings:
    """The edge agent's configuration. Raises SettingsError; needs nothing but the file itself."""
    return load_settings(file, EdgeSettings)


def check_files(settings: StationSettings, file: Path) -> None:
    """Refuse a configuration whose named files cannot be read (SettingsError). Looks for no device and no network."""
    broker = settings.broker
    named = {
        "[broker] password_file": broker.password_file,
        "[broker] ca_file": broker.ca_file,
        "[broker] certificate_file": broker.certificate_file,
        "[broker] key_file": broker.key_file,
    }
    if errors := unreadable(named):
        raise SettingsError(file, errors)


def _within(key: str, value: float, minimum: float, maximum: float) -> None:
    if not minimum <= value <= maximum:
        raise ValueError(f"{key} {value} is out of range; use {minimum:g} to {maximum:g}")
