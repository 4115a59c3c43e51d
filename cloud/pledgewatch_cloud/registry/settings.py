"""A registry's configuration; samples/registry.toml shows every section."""

import re
from dataclasses import dataclass
from pathlib import Path

from pledgewatch_cloud.config import SECRETS_MAX, ServiceSettings
from pledgewatch_cloud.loopback import is_loopback
from pledgewatch_cloud.serving_settings import ServingSettings
from pledgewatch_wire import topics

_KEY = re.compile(r"[0-9a-f]{16}")
MEMBERS_MAX = 200


@dataclass(frozen=True, slots=True)
class ListenSettings(ServingSettings):
    """Where members reach it, and how many. Beyond this machine it speaks TLS, with a certificate of its own."""

    port: int = 8440
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        ServingSettings.__post_init__(self)
        if self.certificate_file is None and not is_loopback(self.host):
            raise ValueError(f"host is {self.host}, which others can reach: name a certificate_file")
        if self.key_file is not None and self.certificate_file is None:
            raise ValueError("key_file goes with certificate_file; set both, or a certificate_file that holds its key")


@dataclass(frozen=True, slots=True)
class MarksSettings:
    """Which of the members' keys is in use, by its fingerprint, and which one they are going over to, if any. The keys
    themselves are never here."""

    key: str
    next_key: str = ""

    def __post_init__(self) -> None:
        for name, one in (("key", self.key), ("next_key", self.next_key or self.key)):
            if not _KEY.fullmatch(one):
                raise ValueError(f"{name} is {one!r}; it must be what `pledgewatch-cloud registry key FILE` prints")
        if self.key == self.next_key:
            raise ValueError("key and next_key are the same; leave next_key out while there is no other")


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """A member, by the name that it signs under.

    `secret_files` hold one Standard Webhooks secret (`whsec_…`) each: one, or two while it goes over to a new one.
    `questions_an_hour` is how often it may claim.
    """

    id: str
    secret_files: tuple[Path, ...]
    questions_an_hour: int = 600

    def __post_init__(self) -> None:
        if not topics.is_name(self.id):
            raise ValueError(f"id is {self.id!r}; use 1 to 64 lower-case letters, digits and hyphens")
        if not 0 < len(self.secret_files) <= SECRETS_MAX:
            raise ValueError(f"{self.id} has {len(self.secret_files)} secret_files; one is needed, and two can be live")
        if self.questions_an_hour <= 0:
            raise ValueError(f"questions_an_hour is {self.questions_an_hour}; it must be above 0")


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """The whole file."""

    service: ServiceSettings
    marks: MarksSettings
    members: tuple[MemberSettings, ...]
    listen: ListenSettings = ListenSettings()

    def __post_init__(self) -> None:
        names = [one.id for one in self.members]
        if not 0 < len(names) <= MEMBERS_MAX:
            raise ValueError(f"there are {len(names)} [[members]]; from 1 to {MEMBERS_MAX} can be")
        for one in sorted(set(names)):
            if names.count(one) > 1:
                raise ValueError(f"[[members]] has {one} more than once")

    def files(self) -> dict[str, Path | None]:
        """The files that are read at the start, by their place in the configuration."""
        return {
            "[listen] certificate_file": self.listen.certificate_file,
            "[listen] key_file": self.listen.key_file,
            **{
                f"[[members]] {one.id} secret_files[{place}]": path
                for one in self.members
                for place, path in enumerate(one.secret_files)
            },
        }
