"""The cloud service's configuration; samples/cloud.toml shows every section."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from urllib.parse import urlsplit

from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_cloud.decide.milestones.lifecycle import RELEASING
from pledgewatch_cloud.identity.settings import DevicesSettings
from pledgewatch_cloud.journal.outbox import CORE, Begin
from pledgewatch_cloud.logs import LogFormat
from pledgewatch_cloud.loopback import is_loopback
from pledgewatch_cloud.outbox import pain001
from pledgewatch_cloud.receipts.issuer import check_base_url
from pledgewatch_cloud.serving_settings import ServingSettings
from pledgewatch_wire import topics
from pledgewatch_wire.hosts import require_host
from pledgewatch_wire.mqtt_settings import MqttProtocol, require_tls_files

SECRETS_MAX = 2
_CORE_PLACE = "[core]"


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
        if self.host:
            require_host("host", self.host)
        if not 0 <= self.port <= 65_535 or (self.port == 0 and not self.embedded):
            raise ValueError(f"port is {self.port}; use 1 to 65535 (0 only with embedded = true)")
        if self.embedded and self.accounts_file is None and not is_loopback(self.host):
            raise ValueError(f"host is {self.host}, which others can reach: name an accounts_file of those who may")
        require_tls_files(self.ca_file, self.certificate_file, self.key_file)
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
class RoleRates:
    """How many requests a minute each user of a role may make; 0: as many as anybody."""

    keeper: int = 0
    lender: int = 0
    borrower: int = 0
    operator: int = 0
    warehouse: int = 0
    insurer: int = 0
    auditor: int = 0

    def __post_init__(self) -> None:
        for role in Role:
            if getattr(self, role) < 0:
                raise ValueError(f"{role} is {getattr(self, role)}; it must not be below 0")

    def set_ones(self) -> dict[Role, int]:
        """Those that are set, by role."""
        return {role: getattr(self, role) for role in Role if getattr(self, role)}


@dataclass(frozen=True, slots=True)
class ApiSettings(ServingSettings):
    """Where API and console are served, and to how many. Who shows the token in `token_file` is a keeper; beyond this
    machine one is required. `requests_per_minute`: of each user, and of each address from which nobody is known;
    `requests_per_minute_of` says otherwise for users of some roles. `body_s`: how long the body of a request may take
    to come. `state_stands_s`: how long an answer may lack readings that led to no event."""

    token_file: Path | None = None
    requests_per_minute: int = 12_000
    requests_per_minute_of: RoleRates = field(default_factory=RoleRates)
    body_s: float = 60.0
    state_stands_s: float = 0.5

    def __post_init__(self) -> None:
        ServingSettings.__post_init__(self)  # super() knows the class as it was before it had slots
        if self.requests_per_minute < 1:
            raise ValueError(f"requests_per_minute is {self.requests_per_minute}; it must be above 0")
        if not 0 <= self.state_stands_s <= 10:
            raise ValueError(f"state_stands_s is {self.state_stands_s}; it must be 0 to 10")
        if self.body_s <= 0:
            raise ValueError(f"body_s is {self.body_s}; it must be above 0")
        if self.token_file is None and not is_loopback(self.host):
            raise ValueError(f"host is {self.host}, which others can reach: name a token_file for its keepers")


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """The demo's stage: where the console's banner asks what has just happened, and what may be broken. It may ask
    nobody else, so this is an address of this machine. Without this section there is no banner."""

    stage: str

    def __post_init__(self) -> None:
        check_url(self.stage, "https", "http", allow_private=True)
        parts = urlsplit(self.stage)
        if self.stage != f"http://{parts.netloc}" or not is_loopback(parts.hostname or ""):
            raise ValueError(f"stage is {self.stage!r}; use http:// and an address of this machine with its port")


class EndpointForm(StrEnum):
    """How an endpoint is spoken to: signed events over HTTPS, a broker's topic, or payment files in a folder."""

    WEBHOOK = "webhook"
    MQTT = "mqtt"
    PAIN001 = "pain001"


def check_url(url: str, safe: str, plain: str, *, allow_private: bool) -> None:
    """Raise ValueError where a URL is none of these two schemes, or plain where only safe is allowed."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")  # UnicodeError is a ValueError: a label that is empty or too long
    except ValueError:
        host = None
    if not url.isprintable() or " " in url:
        raise ValueError(f"url is {url!r}; it holds a blank or a character that cannot be printed")
    if not host or parts.scheme not in (safe, plain):
        raise ValueError(f"url is {url!r}; it must begin with {safe}:// and name a host")
    if parts.scheme == plain and not allow_private:
        raise ValueError(f"url is {url!r}; {plain}:// only with allow_private_networks = true, else {safe}://")
    if parts.username is not None:
        raise ValueError("url holds a name or password; secrets belong into files")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """What any endpoint may be told; docs/DELIVERY.md explains it.

    `message_types` and `facilities` say what it is sent (empty: all); `begin`: where a new one begins. `secret_files`
    hold one Standard Webhooks secret (`whsec_…`) each: one, or two while the endpoint goes over to a new one.
    `circuit_failures`: after how many failures in a row the endpoint is given time. `lag_alert_s`: how old its oldest
    message may be. `retry_scale` shortens the schedule of attempts, for simulations alone.
    """

    secret_files: tuple[Path, ...] = ()
    message_types: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()
    begin: Begin = Begin.NOW
    timeout_s: float = 15.0
    side_by_side: int = 16
    circuit_failures: int = 5
    lag_alert_s: float = 900.0
    retry_scale: float = 1.0
    allow_private_networks: bool = False
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def check(self) -> None:
        """Raise ValueError where values cannot be meant."""
        for name in ("timeout_s", "side_by_side", "circuit_failures", "lag_alert_s", "retry_scale"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if len(self.secret_files) > SECRETS_MAX:
            raise ValueError(f"secret_files names {len(self.secret_files)}; two can be live at once")
        unknown = [one for one in self.message_types if one not in list(MessageType)]
        if unknown:
            raise ValueError(f"message_types has {unknown[0]!r}; there are {', '.join(MessageType)}")
        if self.key_file is not None and self.certificate_file is None:
            raise ValueError("key_file goes with certificate_file; set both, or a certificate_file that holds its key")

    def is_sent_releases(self) -> bool:
        """Whether any message that makes money move goes there."""
        return not self.message_types or not RELEASING.isdisjoint(self.message_types)

    def check_url(self, url: str, safe: str, plain: str) -> None:
        """Raise ValueError; see check_url."""
        check_url(url, safe, plain, allow_private=self.allow_private_networks)

    def secrets(self, place: str) -> dict[str, Path | None]:
        """The files of an endpoint, by their place in the configuration."""
        return {
            **{f"{place} secret_files[{number}]": path for number, path in enumerate(self.secret_files)},
            f"{place} ca_file": self.ca_file,
            f"{place} certificate_file": self.certificate_file,
            f"{place} key_file": self.key_file,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSettings(DeliverySettings):
    """The bank's financing core: the endpoint `core`, a webhook."""

    url: str
    begin: Begin = Begin.FIRST

    def __post_init__(self) -> None:
        self.check()
        self.check_url(self.url, "https", "http")
        if not self.secret_files:
            raise ValueError("secret_files is empty; name the file that holds the secret that messages are signed with")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings(DeliverySettings):
    """One more endpoint. `webhook` needs `url` (https://) and `secret_files`; `mqtt` needs `url` (mqtts://) and may
    have `topic`, `protocol`, `username` and `password_file`; `pain001` needs `folder`."""

    name: str
    form: EndpointForm = EndpointForm.WEBHOOK
    url: str = ""
    folder: Path | None = None
    topic: str = "pw/1/bank/{endpoint}/{facility}"
    protocol: MqttProtocol = MqttProtocol.V5
    username: str = ""
    password_file: Path | None = None

    def __post_init__(self) -> None:
        self.check()
        if not topics.is_name(self.name) or self.name == CORE:
            raise ValueError(f"name is {self.name!r}; use 1 to 64 lower-case letters, digits and hyphens, and not core")
        if self.form is EndpointForm.PAIN001:
            odd = [one for one in self.message_types if one not in pain001.TYPES]
            if odd:
                raise ValueError(f"message_types has {odd[0]!r}; pain001 writes files for {', '.join(pain001.TYPES)}")
            if self.folder is None or self.url or self.secret_files:
                raise ValueError(f"{self.name} needs a folder, and neither url nor secret_files: pain001 writes files")
            return
        if self.folder is not None:
            raise ValueError(f"{self.name} has a folder, which only pain001 writes to")
        if self.form is EndpointForm.WEBHOOK:
            self.check_url(self.url, "https", "http")
            if not self.secret_files:
                raise ValueError(f"{self.name} needs secret_files: a webhook is signed")
            return
        self.check_url(self.url, "mqtts", "mqtt")
        if self.secret_files:
            raise ValueError(f"{self.name} has secret_files; MQTT carries no signature, use username and password_file")
        if not self.topic or any(one in self.topic for one in "+#"):
            raise ValueError(f"topic is {self.topic!r}; it must be without + and #")
        if self.protocol is MqttProtocol.AUTO:
            raise ValueError("protocol is auto; say 5 or 3.1.1, whichever the broker speaks")


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
class SenderSettings:
    """Who may hand in notices or reports of stock over the API, and what it is known by.

    `secret_files` hold one Standard Webhooks secret (`whsec_…`) each: one, or two while the sender goes over from an
    old one to a new one. `token_file` holds a bearer token, for software that cannot sign. `id` is the sender's or the
    stock source's in the book.
    """

    id: str
    secret_files: tuple[Path, ...] = ()
    token_file: Path | None = None

    def __post_init__(self) -> None:
        if not topics.is_name(self.id):
            raise ValueError(f"id is {self.id!r}; use 1 to 64 lower-case letters, digits and hyphens, as in the book")
        if (self.token_file is None) == (not self.secret_files):
            raise ValueError(f"{self.id} needs either secret_files or a token_file")
        if len(self.secret_files) > 2:
            raise ValueError(f"{self.id} has {len(self.secret_files)} secret_files; two can be live at once")


@dataclass(frozen=True, slots=True)
class DropSettings:
    """Documents that come as files: `drop_folder`/<whose>/<name>, looked at every `look_every_s`; see drop_folder."""

    drop_folder: Path | None = None
    look_every_s: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.look_every_s <= 3_600:
            raise ValueError(f"look_every_s is {self.look_every_s}; use above 0, to 3600")


@dataclass(frozen=True, slots=True)
class ReceiptsSettings:
    """Who signs credentials of receipts: the private key in `issuer_key_file` (Ed25519, PEM), and `base_url`, where the
    API can be reached from outside. Both go into every credential, so they stay for good. Without them receipts live as
    well, and none is shown to others as a credential."""

    issuer_key_file: Path | None = None
    base_url: str = ""

    def __post_init__(self) -> None:
        if (self.issuer_key_file is None) != (not self.base_url):
            raise ValueError("issuer_key_file goes with base_url; set both, or neither")
        if self.base_url:
            check_base_url(self.base_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipSettings:
    """A registry that this cloud is a member of, under the name `member`; docs/REGISTRY.md explains it.

    `secret_files` hold one Standard Webhooks secret (`whsec_…`) each, `marks_key_files` a key of all members each: one
    of either, or two while it goes over to another. Every `look_every_s` all claims are held against the receipts, and
    what is missing is claimed, at most `claims_an_hour` of them.
    """

    url: str
    member: str
    secret_files: tuple[Path, ...]
    marks_key_files: tuple[Path, ...]
    timeout_s: float = 5.0
    look_every_s: float = 900.0
    claims_an_hour: int = 300
    allow_private_networks: bool = False
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        check_url(self.url, "https", "http", allow_private=self.allow_private_networks)
        if not topics.is_name(self.member):
            raise ValueError(f"member is {self.member!r}; use the id that the registry has for this cloud")
        for name in ("secret_files", "marks_key_files"):
            if not 0 < len(getattr(self, name)) <= SECRETS_MAX:
                raise ValueError(f"{name} names {len(getattr(self, name))}; one is needed, and two can be live at once")
        for name in ("timeout_s", "look_every_s", "claims_an_hour"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.key_file is not None and self.certificate_file is None:
            raise ValueError("key_file goes with certificate_file; set both, or a certificate_file that holds its key")

    def files(self) -> dict[str, Path | None]:
        """The files that are read at the start, by their place in the configuration."""
        return {
            **{f"[registry] secret_files[{place}]": path for place, path in enumerate(self.secret_files)},
            **{f"[registry] marks_key_files[{place}]": path for place, path in enumerate(self.marks_key_files)},
            "[registry] ca_file": self.ca_file,
            "[registry] certificate_file": self.certificate_file,
            "[registry] key_file": self.key_file,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSettings:
    """The OpenID provider by which people log in; docs/ACCESS.md explains it.

    `issuer` is what it calls itself, as `subjects` of users have it. `base_url` is where browsers reach the console, so
    the provider is to know `base_url`/login/callback. `client_secret_file` holds what the provider gave this client;
    without it PKCE alone ties a code to us. Access tokens of the issuer whose `aud` has `audience` are taken too;
    empty: none. They must call themselves at+jwt, unless `allow_untyped_access_tokens`: some issuers do not say it. A
    session ends `session_idle_s` after it was last used, and `session_s` after it began. `clock_skew_s`:
    how far the issuer's clock may be from this machine's.
    """

    issuer: str
    client_id: str
    base_url: str
    client_secret_file: Path | None = None
    audience: str = ""
    allow_untyped_access_tokens: bool = False
    clock_skew_s: int = 60
    session_idle_s: float = 1_800.0
    session_s: float = 43_200.0
    timeout_s: float = 5.0
    allow_private_networks: bool = False
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        check_url(self.issuer, "https", "http", allow_private=self.allow_private_networks)
        if any(one in self.issuer for one in "?#"):
            raise ValueError(f"issuer is {self.issuer!r}; it is an address without ? and #")
        check_base_url(self.base_url)
        parts = urlsplit(self.base_url)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ValueError(f"base_url is {self.base_url!r}; sessions need https:// beyond this machine")
        if not self.client_id.isprintable() or not self.client_id:
            raise ValueError("client_id is empty; it is what the provider calls this client")
        if self.audience == self.client_id:
            raise ValueError("audience is client_id; an access token for the API must differ from an ID token for it")
        if self.allow_untyped_access_tokens and not self.audience:
            raise ValueError("allow_untyped_access_tokens says nothing without audience: no access token is taken")
        if not 0 <= self.clock_skew_s <= 300:
            raise ValueError(f"clock_skew_s is {self.clock_skew_s}; use 0 to 300")
        for name in ("session_idle_s", "session_s", "timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")

    @property
    def is_public(self) -> bool:
        """Whether browsers of other machines reach us."""
        return not is_loopback(urlsplit(self.base_url).hostname or "")


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """The whole file. Without [core] its messages wait in the outbox; without [clock] the machine's clock counts;
    without [registry] goods are claimed here alone; without [login] who asks shows a key or a token; without [devices]
    no device is given a certificate; without [demo] the console has no banner."""

    service: ServiceSettings
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    book: BookSettings = field(default_factory=BookSettings)
    series: SeriesSettings = field(default_factory=SeriesSettings)
    notices: DropSettings = field(default_factory=DropSettings)
    stock: DropSettings = field(default_factory=DropSettings)
    receipts: ReceiptsSettings = field(default_factory=ReceiptsSettings)
    senders: tuple[SenderSettings, ...] = ()
    core: CoreSettings | None = None
    endpoints: tuple[EndpointSettings, ...] = ()
    registry: MembershipSettings | None = None
    login: LoginSettings | None = None
    devices: DevicesSettings | None = None
    clock: ClockSettings | None = None
    demo: DemoSettings | None = None

    def __post_init__(self) -> None:
        if self.login is not None and self.login.is_public and self.api.token_file is None:
            # What stands before us on this machine would make keepers of its callers until the book has a user.
            raise ValueError("[login] base_url can be reached by others: name [api] token_file for its keepers")
        senders = [one.id for one in self.senders]
        for one in sorted(set(senders)):
            if senders.count(one) > 1:
                raise ValueError(f"[[senders]] has {one} more than once")
        endpoints = [one.name for one in self.endpoints]
        for one in sorted(set(endpoints)):
            if endpoints.count(one) > 1:
                raise ValueError(f"[[endpoints]] has {one} more than once")
        for place, payer in self._payers():
            unheard = [kind for kind in pain001.TYPES if payer.message_types and kind not in payer.message_types]
            if unheard:
                text = "whoever pays must hear all that is said of a release"
                raise ValueError(f"{place} message_types lacks {', '.join(unheard)}; {text}")
        for (place, payer), (other_place, other) in combinations(self._payers(), 2):
            both = _both_of(payer.facilities, other.facilities)
            if both is not None:
                cure = "give them facilities that do not overlap"
                if place == _CORE_PLACE:
                    cure = f"name {place} message_types without {' and '.join(sorted(RELEASING))}, or {cure}"
                raise ValueError(f"{place} and {other_place} would both pay {both}; {cure}")

    def payers(self) -> frozenset[str]:
        """The endpoints that pay, by name: their word about releases moves milestones."""
        return frozenset(one.name if isinstance(one, EndpointSettings) else CORE for _, one in self._payers())

    def _payers(self) -> Iterator[tuple[str, DeliverySettings]]:
        """With their place in the configuration. The core is one unless it is sent no releases."""
        if self.core is not None and self.core.is_sent_releases():
            yield _CORE_PLACE, self.core
        for one in self.endpoints:
            if one.form is EndpointForm.PAIN001:
                yield f"[[endpoints]] {one.name}", one

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
            "[receipts] issuer_key_file": self.receipts.issuer_key_file,
            "[login] client_secret_file": None if self.login is None else self.login.client_secret_file,
            "[login] ca_file": None if self.login is None else self.login.ca_file,
            **({} if self.core is None else self.core.secrets("[core]")),
            **({} if self.registry is None else self.registry.files()),
            **({} if self.devices is None else self.devices.files()),
            **{
                place: path
                for one in self.endpoints
                for place, path in (
                    *one.secrets(f"[[endpoints]] {one.name}").items(),
                    (f"[[endpoints]] {one.name} password_file", one.password_file),
                )
            },
            **{f"[book] files[{place}]": path for place, path in enumerate(self.book.files)},
            **{f"[[senders]] {one.id} token_file": one.token_file for one in self.senders},
            **{
                f"[[senders]] {one.id} secret_files[{place}]": path
                for one in self.senders
                for place, path in enumerate(one.secret_files)
            },
        }


def _both_of(facilities: tuple[str, ...], others: tuple[str, ...]) -> str | None:
    """Which facilities two endpoints are both sent, in words; None where there is none. Empty stands for all."""
    if not facilities or not others:
        return ", ".join(facilities or others) or "every facility"
    return ", ".join(sorted({*facilities} & {*others})) or None
