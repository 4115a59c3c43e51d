"""The cloud service's configuration; samples/cloud.toml shows every section."""

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pledgewatch_cloud.logs import LogFormat


class MqttProtocol(StrEnum):
    """Which MQTT to speak; auto tries 5 and falls back to 3.1.1 where the broker refuses it."""

    AUTO = "auto"
    V5 = "5"
    V311 = "3.1.1"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Where the journal and all that can be rebuilt from it are, and how logs are written."""

    data_folder: Path
    log_format: LogFormat = LogFormat.TEXT


@dataclass(frozen=True, slots=True)
class ClockSettings:
    """A compressed clock for simulations: `simulated_start_ms` at machine time `anchor_ms`, `speed` times as fast up to
    `simulated_end_ms`, if there is one, and as the machine's from there."""

    simulated_start_ms: int
    speed: float
    anchor_ms: int
    simulated_end_ms: int | None = None

    def __post_init__(self) -> None:
        if self.speed <= 0:
            raise ValueError(f"speed is {self.speed}; it must be above 0")


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """The MQTT broker. `embedded` runs one inside the service on host and port; port 0 takes a free one.

    `share` names a group of subscribers ($share/…) among which the broker divides the messages.

    The embedded broker admits those in `accounts_file` (lines of `name:hash`, argon2); without it everybody on this
    machine, and nobody from elsewhere.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    embedded: bool = False
    accounts_file: Path | None = None
    protocol: MqttProtocol = MqttProtocol.AUTO
    client_id: str = "pledgewatch-cloud"
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    keep_alive_s: int = 30
    receive_maximum: int = 8_000
    share: str = ""
    session_expiry_s: int = 7 * 86_400
    reconnect_max_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535 or (self.port == 0 and not self.embedded):
            raise ValueError(f"port is {self.port}; use 1 to 65535 (0 only with embedded = true)")
        if self.embedded and self.accounts_file is None and not _is_loopback(self.host):
            raise ValueError(f"host is {self.host}, which others can reach: name an accounts_file of those who may")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file goes with key_file; set both or neither")
        if self.certificate_file and self.ca_file is None:
            raise ValueError("certificate_file needs ca_file to know the broker by; add ca_file")
        if not 5 <= self.keep_alive_s <= 65_535:
            raise ValueError(f"keep_alive_s is {self.keep_alive_s}; use 5 to 65535")
        if self.share and (self.embedded or any(one in self.share for one in "/+#")):
            raise ValueError(
                f"share is {self.share!r}; it must be without /, + and #, at a broker that is not embedded"
            )
        if not 1 <= self.receive_maximum <= 65_535:
            raise ValueError(f"receive_maximum is {self.receive_maximum}; use 1 to 65535")


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """How the spine works: how long a reading waits for others to be committed with, when devices hear `committed`, how
    often time is journalled and state is snapshotted, and how long after a start or a lost broker nobody is missed.
    """

    committed_after_readings: int = 500
    committed_after_s: float = 21_600.0
    batch_age_s: float = 0.05
    tick_s: float = 10.0
    hearing_grace_s: float = 300.0
    snapshot_every_entries: int = 4_000

    def __post_init__(self) -> None:
        for name in ("committed_after_readings", "committed_after_s", "tick_s", "snapshot_every_entries"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.batch_age_s <= 10:
            raise ValueError(f"batch_age_s is {self.batch_age_s}; use 0 to 10")
        if self.hearing_grace_s < 0:
            raise ValueError(f"hearing_grace_s is {self.hearing_grace_s}; it must not be below 0")


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Where API and console are served. Writes need the token in `token_file`; beyond this machine one is required."""

    host: str = "127.0.0.1"
    port: int = 8420
    token_file: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port is {self.port}; use 0 to 65535")
        if self.token_file is None and not _is_loopback(self.host):
            raise ValueError(f"host is {self.host}, which others can reach: name a token_file for those who may write")


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """The bank's financing core. `secret_file` holds the Standard Webhooks secret (`whsec_…`)."""

    url: str
    secret_file: Path
    timeout_s: float = 15.0
    retry_first_s: float = 1.0
    retry_max_s: float = 300.0
    attempts_max: int = 100_000

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url is {self.url!r}; it must begin with https:// (or http:// on this machine)")
        for name in ("timeout_s", "retry_first_s", "retry_max_s", "attempts_max"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")


class SeriesKind(StrEnum):
    """Where series go."""

    EMBEDDED = "embedded"
    INFLUXDB = "influxdb"


@dataclass(frozen=True, slots=True)
class SeriesSettings:
    """Series lie beside the journal (`embedded`) or in InfluxDB 2, which needs `url`, `org`, `bucket` and `token_file`.

    What was measured more than `retention_days` before the newest may go; 0: everything is kept.
    """

    kind: SeriesKind = SeriesKind.EMBEDDED
    retention_days: int = 0
    url: str = ""
    org: str = ""
    bucket: str = "pledgewatch"
    token_file: Path | None = None
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if self.retention_days < 0:
            raise ValueError(f"retention_days is {self.retention_days}; it must not be below 0")
        if self.timeout_s <= 0:
            raise ValueError(f"timeout_s is {self.timeout_s}; it must be above 0")
        if self.kind is SeriesKind.INFLUXDB:
            if not self.url.startswith(("http://", "https://")):
                raise ValueError(f"url is {self.url!r}; it must begin with https:// (or http:// on this machine)")
            if not self.org or not self.bucket or self.token_file is None:
                raise ValueError("kind influxdb needs org, bucket and token_file")


@dataclass(frozen=True, slots=True)
class BookSettings:
    """Amendments (JSON, YAML or TOML) to journal at start, in this order, where a file is new or has changed."""

    files: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        names = [path.name for path in self.files]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"files has two files of the name {name}; each needs a name of its own")


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """The whole file. Without [core] messages wait in the outbox; without [clock] the machine's clock counts."""

    service: ServiceSettings
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    book: BookSettings = field(default_factory=BookSettings)
    series: SeriesSettings = field(default_factory=SeriesSettings)
    core: CoreSettings | None = None
    clock: ClockSettings | None = None

    def files(self) -> dict[str, Path | None]:
        """The files that the service reads at its start, by their place in the configuration."""
        broker = self.broker
        return {
            "[broker] accounts_file": broker.accounts_file,
            "[broker] password_file": broker.password_file,
            "[broker] ca_file": broker.ca_file,
            "[broker] certificate_file": broker.certificate_file,
            "[broker] key_file": broker.key_file,
            "[api] token_file": self.api.token_file,
            "[series] token_file": self.series.token_file,
            "[core] secret_file": None if self.core is None else self.core.secret_file,
            **{f"[book] files[{place}]": path for place, path in enumerate(self.book.files)},
        }


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
