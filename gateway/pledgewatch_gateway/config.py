"""The gateway's configuration: a station's sections and the site's name. See pledgewatch_edge.config."""

from dataclasses import dataclass
from pathlib import Path

from pledgewatch_edge.config import StationSettings
from pledgewatch_wire.settings import load as load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSettings:
    """The warehouse site. `name` is what people call it."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings(StationSettings):
    """The whole configuration of a gateway."""

    site: SiteSettings


def load(file: Path) -> GatewaySettings:
    """The gateway's configuration. Raises SettingsError; needs nothing but the file itself."""
    return load_settings(file, GatewaySettings)
