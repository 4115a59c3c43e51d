"""The section [devices] of the cloud's configuration."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pledgewatch_cloud.loopback import is_loopback
from pledgewatch_cloud.receipts.issuer import check_base_url
from pledgewatch_wire import topics
from pledgewatch_wire.hosts import require_host

OTHERS_EVERY_S = 45
CERTIFICATE_DAYS_MAX = 825


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesSettings:
    """How devices come to certificates; docs/DEVICES.md explains it.

    `authority_certificate_file` and `authority_key_file` sign them, good for `certificate_days`;
    `authority_former_files` are certificates and keys of those that did before, while there are devices with
    certificates of them. `care_key_file` signs settings and commands. `public_url` is where devices reach the API,
    `public_ca_file` whose certificate it shows there, where that is not one that every machine knows. `broker_host` and
    `broker_port` are where they connect, and `broker_ca_file` whose certificate they see. Into `broker_files_folder`
    access list and revocation list are written whenever they change; `broker_reload` (a command) or SIGHUP to the
    process in `broker_pid_file` has the broker read them again. `broker_crl_files`: lists of other authorities, whose
    clients the broker lets in too; they are put beside ours as they are. While somebody is let in by a certificate that
    was not made here the broker is told every `broker_told_every_s`, by which it forgets whom it has let in before.
    `cloud_user` and `health_user` are who is named so in certificates of the broker's own clients.
    """

    authority_certificate_file: Path
    authority_key_file: Path
    care_key_file: Path
    public_url: str
    broker_host: str
    broker_port: int = 8_883
    broker_ca_file: Path
    public_ca_file: Path | None = None
    certificate_days: int = 90
    authority_former_files: tuple[Path, ...] = ()
    broker_files_folder: Path | None = None
    broker_crl_files: tuple[Path, ...] = ()
    broker_pid_file: Path | None = None
    broker_reload: tuple[str, ...] = ()
    broker_told_every_s: int = OTHERS_EVERY_S
    cloud_user: str = "cloud"
    health_user: str = ""

    def __post_init__(self) -> None:
        try:
            check_base_url(self.public_url)
        except ValueError as error:
            raise ValueError(f"public_url: {error}") from None
        parts = urlsplit(self.public_url)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ValueError(f"public_url is {self.public_url!r}; codes need https:// beyond this machine")
        if self.public_ca_file is not None and parts.scheme != "https":
            raise ValueError("public_ca_file says nothing of a public_url that is http://; leave it out")
        if not self.broker_host:
            raise ValueError("broker_host is empty; it is the host that devices connect to")
        require_host("broker_host", self.broker_host)
        bounds = {
            "broker_port": (1, 65_535),
            "certificate_days": (1, CERTIFICATE_DAYS_MAX),
            "broker_told_every_s": (30, 86_400),
        }
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}; use {least} to {most}")
        if self.broker_pid_file is not None and self.broker_reload:
            raise ValueError("broker_pid_file and broker_reload are two ways to one end; set one of them")
        if (self.broker_pid_file is not None or self.broker_reload) and self.broker_files_folder is None:
            raise ValueError("broker_files_folder is missing: there would be nothing new for the broker to read")
        for name in ("cloud_user", "health_user"):
            value = getattr(self, name)
            if (value or name == "cloud_user") and not topics.is_name(value):
                raise ValueError(f"{name} is {value!r}; use 1 to 64 lower-case letters, digits and hyphens")
        if self.cloud_user == self.health_user:
            raise ValueError("cloud_user and health_user are the same; each has a certificate of its own")

    def files(self) -> dict[str, Path | None]:
        """The files that are read at the start, by their place in the configuration."""
        names = (
            "authority_certificate_file",
            "authority_key_file",
            "care_key_file",
            "broker_ca_file",
            "public_ca_file",
        )
        many = {
            f"[devices] {name}[{place}]": path
            for name in ("authority_former_files", "broker_crl_files")
            for place, path in enumerate(getattr(self, name))
        }
        return {f"[devices] {name}": getattr(self, name) for name in names} | many
