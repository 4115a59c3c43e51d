"""What the development issuer is told: where it listens, which clients it serves, and who its people are."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from pledgewatch_wire.settings import SettingsError


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """Where it listens, on this machine alone: whoever reaches it may be anybody. `port` 0: any free one. `port_file`:
    where the port is written once it is listened on.

    `key_file` keeps the signing key, which is made where it is not there; without it each start has a new one.
    `token_s`: how long tokens are good.
    """

    host: str = "127.0.0.1"
    port: int = 8440
    port_file: Path | None = None
    key_file: Path | None = None
    token_s: int = 300

    def __post_init__(self) -> None:
        try:
            is_ours = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            is_ours = False
        if not is_ours:
            raise ValueError(f"host is {self.host!r}; it asks for no password, so use a loopback address: 127.0.0.1")
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port is {self.port}; it must be 0 to 65535")
        if self.token_s < 1:
            raise ValueError(f"token_s is {self.token_s}; it must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Who may have people log in: its id, the secret that it shows (none: it is a public client), the addresses that
    people come back to when they have logged in and when they have logged out, and for whom its access tokens are."""

    id: str
    redirect_urls: tuple[str, ...]
    secret_file: Path | None = None
    audience: str = ""
    logout_urls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.redirect_urls:
            raise ValueError("redirect_urls is empty; name the addresses that people come back to")


@dataclass(frozen=True, slots=True)
class PersonSettings:
    """Somebody who may log in: `subject` is how the book's `subjects` call them."""

    subject: str
    name: str


@dataclass(frozen=True, slots=True)
class IssuerFile:
    """The configuration file."""

    issuer: IssuerSettings
    clients: tuple[ClientSettings, ...]
    people: tuple[PersonSettings, ...]

    def __post_init__(self) -> None:
        for name, ids in (
            ("[[clients]]", [one.id for one in self.clients]),
            ("[[people]]", [one.subject for one in self.people]),
        ):
            if not ids or len(set(ids)) < len(ids):
                raise ValueError(f"{name} needs at least one, and each only once")


def read_secret(path: Path) -> str:
    """The secret of a client. Raises SettingsError for a file that holds none."""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(path, [f"cannot be read: {error.strerror}"]) from None
    if not secret:
        raise SettingsError(path, ["holds no secret"])
    return secret
