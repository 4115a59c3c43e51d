"""The core's configuration, and the secrets that it names."""

from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes

from pledgewatch_sim.bank.misbehaviour import MisbehaviourSettings
from pledgewatch_wire.settings import SettingsError

_SECRET_BYTES = range(24, 65)  # what Standard Webhooks asks of a secret


@dataclass(frozen=True, slots=True)
class BankSettings:
    """Where the core listens, what it keeps, and whose signatures it knows (several secrets while keys rotate).

    `port` 0: any free one. `port_file`: where the port is written once it is listened on.
    """

    database: Path
    secret_files: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8430
    port_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.secret_files:
            raise ValueError("secret_files is empty; without a secret nothing can be believed")
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port is {self.port}; it must be 0 to 65535")


@dataclass(frozen=True, slots=True)
class PledgewatchSettings:
    """Where pledgewatch's API is, which is told of drawdowns and repayments, and the token for those who write there.

    What is not heard is told again, after a second at first and then after twice as long, up to `retry_max_s`.
    """

    url: str
    token_file: Path | None = None
    timeout_s: float = 15.0
    retry_max_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url is {self.url!r}; it must begin with http:// or https://")
        for name in ("timeout_s", "retry_max_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")


@dataclass(frozen=True, slots=True)
class ClockSettings:
    """A compressed clock, as pledgewatch's `[clock]`: money then moves in simulated time."""

    simulated_start_ms: int
    speed: float
    anchor_ms: int
    simulated_end_ms: int | None = None

    def __post_init__(self) -> None:
        if self.speed <= 0:
            raise ValueError(f"speed is {self.speed}; it must be above 0")


@dataclass(frozen=True, slots=True)
class BankFile:
    """The configuration file."""

    bank: BankSettings
    misbehave: MisbehaviourSettings = field(default_factory=MisbehaviourSettings)
    pledgewatch: PledgewatchSettings | None = None
    clock: ClockSettings | None = None


def make_secret(path: Path) -> None:
    """A new secret, in a file that only its owner may read. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text("whsec_" + b64encode(token_bytes(_SECRET_BYTES.start)).decode(), encoding="ascii")


def read_secrets(files: tuple[Path, ...]) -> list[str]:
    """The secrets in files, one in each: `whsec_` and base64. Raises SettingsError for a file that holds none."""
    secrets = []
    for path in files:
        try:
            secret = path.read_text(encoding="ascii").strip()
            raw = b64decode(secret.removeprefix("whsec_"), validate=True)
        except OSError as error:
            raise SettingsError(path, [f"cannot be read: {error.strerror}"]) from None
        except ValueError:
            raise SettingsError(path, ["is not whsec_ and base64"]) from None
        if len(raw) not in _SECRET_BYTES:
            raise SettingsError(path, [f"holds {len(raw)} bytes; a secret has 24 to 64"])
        secrets.append(secret)
    return secrets


def read_token(path: Path | None) -> str | None:
    """The token in a file, if one is named. Raises SettingsError for a file that holds none."""
    if path is None:
        return None
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise SettingsError(path, [f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsError(path, ["holds a token that is not ASCII"]) from None
    if not token.isprintable() or not token:
        raise SettingsError(path, ["holds no token; a token is one line of text"])
    return token
