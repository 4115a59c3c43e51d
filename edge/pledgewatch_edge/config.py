"""The configuration of a station: what can be set, what it means, and what cannot be.

A section of the TOML file is a dataclass here, a key a field (pledgewatch_wire.settings reads them, strictly). What
cannot be right is refused before anything is opened, with a sentence that names file, section, key and cure, because
the person who reads it stands in a container yard with a laptop.

Reading a configuration touches no network, no device and no state; `check_files` also looks at the files that it names.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from pledgewatch_edge.spool.errors import cure_of_refusal
from pledgewatch_wire.hosts import require_host, require_url
from pledgewatch_wire.mqtt_settings import MqttProtocol, require_tls_files
from pledgewatch_wire.named_file import look_at_named
from pledgewatch_wire.settings import SettingsError, unreadable
from pledgewatch_wire.topics import is_name

DAY_S: Final = 86_400.0
_LIGHT: Final = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9_:.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Settings:
    """A token that holds the key of TLS: the library that reaches it, the token and the key in it by their labels, and
    the file with its PIN. The key is made in the token when the device is claimed, and never leaves it."""

    module: Path
    token_label: str
    key_label: str
    pin_file: Path

    def __post_init__(self) -> None:
        if not self.token_label or not self.key_label:
            raise ValueError("token_label or key_label is empty; name the token and the key in it")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """Who the device is, and the folder that holds its keys, its counters and its spool. `cloud_url` is where its
    certificate is renewed (none: it is not), `cloud_ca_file` whom to know the cloud by (none: as any computer does)."""

    operator: str
    name: str
    state_folder: Path
    cloud_url: str | None = None
    cloud_ca_file: Path | None = None
    pkcs11: Pkcs11Settings | None = None

    def __post_init__(self) -> None:
        require_name("operator", self.operator)
        require_name("name", self.name)
        if self.cloud_ca_file and self.cloud_url is None:
            raise ValueError("cloud_ca_file needs a cloud_url; add cloud_url")
        if self.cloud_url is not None:
            require_url("cloud_url", self.cloud_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where the broker is and how to be let in. TLS is used exactly when `ca_file` is set (usually with port 8883)."""

    host: str
    port: int = 1_883
    protocol: MqttProtocol = MqttProtocol.AUTO
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
        require_host("host", self.host)
        require_within("port", self.port, 1, 65_535)
        require_within("keep_alive_s", self.keep_alive_s, 1, 65_535)
        require_within("reconnect_max_s", self.reconnect_max_s, 0.05, DAY_S)
        if self.password_file and self.username is None:
            raise ValueError("password_file needs a username; add username")
        require_tls_files(self.ca_file, self.certificate_file, self.key_file)

    @property
    def address(self) -> str:
        """Where it is and whether it is spoken to in TLS, as a URL."""
        return f"{'mqtts' if self.ca_file else 'mqtt'}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkSettings:
    """How readings travel (sending.py). `send_every_s` 0 sends each as soon as it is spooled; urgent ones always go at
    once. Of each lane `in_flight_readings` are sent and not yet committed at most. After `resend_after_s` without
    `committed` they are sent again. That is for what is lost unnoticed, and longer than the cloud's own patience
    (`committed_after_s`): a gap is answered at once. `bytes_per_day` (0: any) is what a backlog waits for (budget.py).
    """

    send_every_s: float = 0.0
    readings_per_payload: int = 60
    in_flight_readings: int = 1_200
    resend_after_s: float = 25_200.0
    bytes_per_day: int = 0

    def __post_init__(self) -> None:
        require_within("send_every_s", self.send_every_s, 0.0, DAY_S)
        require_within("readings_per_payload", self.readings_per_payload, 1, 1_000)
        require_within("in_flight_readings", self.in_flight_readings, 1, 100_000)
        require_within("resend_after_s", self.resend_after_s, 0.1, DAY_S)
        require_within("bytes_per_day", self.bytes_per_day, 0, 10**12)
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
        require_within("every_readings", self.every_readings, 1, 4_096)
        require_within("every_s", self.every_s, 1.0, DAY_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """How large the spool may grow (`max_mib`) and how old what is in it (`max_days`, 0: any age); at either bound old
    readings are thinned to one each `thin_to_s`, and that is declared (spool/spool.py). Samples wait `hold_s` for
    others, so that the flash is written to seldom; urgent ones do not."""

    max_mib: float = 64.0
    max_days: float = 0.0
    thin_to_s: float = 3_600.0
    hold_s: float = 0.0

    def __post_init__(self) -> None:
        require_within("max_mib", self.max_mib, 0.25, 65_536.0)
        require_within("max_days", self.max_days, 0.0, 36_500.0)
        require_within("thin_to_s", self.thin_to_s, 1.0, DAY_S)
        require_within("hold_s", self.hold_s, 0.0, 3_600.0)

    @property
    def bytes_max(self) -> int:
        """`max_mib` in bytes."""
        return round(self.max_mib * 2**20)

    @property
    def age_s(self) -> float:
        """`max_days` in seconds."""
        return self.max_days * DAY_S

    def wide_as(self, other: Self) -> Self:
        """These, with bounds that drop nothing which those of `other` would keep."""
        max_days = max(self.max_days, other.max_days) if self.max_days and other.max_days else 0.0
        max_mib, thin_to_s = max(self.max_mib, other.max_mib), min(self.thin_to_s, other.thin_to_s)
        return replace(self, max_mib=max_mib, max_days=max_days, thin_to_s=thin_to_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSettings:
    """What all stations of a program have in common: the broker, and how readings are kept, signed and sent."""

    broker: BrokerSettings
    uplink: UplinkSettings = field(default_factory=UplinkSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    spool: SpoolSettings = field(default_factory=SpoolSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class CareSettings:
    """How a device lets itself be cared for from afar (docs/CARE.md): after how long settings are rolled back with
    which the cloud is not heard, what it shows itself with (a light of /sys/class/leds, or a command, which is told the
    seconds), and how many lines of the log a diagnostics bundle has at most."""

    rollback_after_s: float = 600.0
    identify_led: str | None = None
    identify_command: tuple[str, ...] = ()
    log_lines: int = 200

    def __post_init__(self) -> None:
        require_within("rollback_after_s", self.rollback_after_s, 1.0, DAY_S)
        require_within("log_lines", self.log_lines, 0, 2_000)
        if self.identify_led is not None and not _LIGHT.fullmatch(self.identify_led):
            raise ValueError(f"identify_led {self.identify_led!r} is no light; name one that stands in /sys/class/leds")
        if self.identify_led is not None and self.identify_command:
            raise ValueError("identify_led and identify_command are two ways to show it; leave one out")


@dataclass(frozen=True, slots=True, kw_only=True)
class StationSettings(SharedSettings):
    """One station: what measures, spools and sends under the name of one device."""

    device: DeviceSettings
    care: CareSettings = field(default_factory=CareSettings)


def check_files(settings: SharedSettings, file: Path) -> None:
    """Refuse a configuration whose named files cannot be read (SettingsError). Looks for no device and no network."""
    named, lost = broker_files("[broker]", settings.broker), list[str]()
    if isinstance(settings, StationSettings):
        device, own = settings.device, dict[str, Path | None]()
        if device.cloud_url is not None:  # it was claimed, and nobody can put there what only a claim makes
            own = {place: path for place, path in named.items() if path and path.parent == device.state_folder}
        if unreadable(own):
            cure = "claim it" if _may_look_for(own.values()) else cure_of_refusal(device.state_folder)
            lost = [f"{device.name} has no key or no certificate in {device.state_folder} that can be read; {cure}"]
        named = {place: path for place, path in named.items() if place not in own}
        named |= {"[device] cloud_ca_file": settings.device.cloud_ca_file}
        if settings.device.pkcs11 is not None:
            named |= {f"[device] pkcs11 {key}": getattr(settings.device.pkcs11, key) for key in ("module", "pin_file")}
    if errors := [*lost, *unreadable(named)]:
        raise SettingsError(file, errors)


def _may_look_for(files: Iterable[Path | None]) -> bool:
    """Whether files are ours to read, there or not."""
    for path in files:
        try:
            if path is not None:
                look_at_named(path)
        except PermissionError:
            return False
        except (OSError, ValueError):
            continue
    return True


def broker_files(place: str, broker: BrokerSettings) -> dict[str, Path | None]:
    """The files that a broker's section names, by their place in the configuration."""
    keys = ("password_file", "ca_file", "certificate_file", "key_file")
    return {f"{place} {key}": getattr(broker, key) for key in keys}


def require_name(key: str, value: str) -> None:
    """Raise ValueError where `value` cannot name a device, an operator or a gateway."""
    if not is_name(value):
        raise ValueError(f"{key} {value!r} cannot be a name; use 1 to 64 of a-z, 0-9 and inner hyphens")


def require_within(key: str, value: float, minimum: float, maximum: float) -> None:
    """Raise ValueError where `value` is not from minimum to maximum."""
    if not minimum <= value <= maximum:
        raise ValueError(f"{key} {value} is out of range; use {minimum:g} to {maximum:g}")
