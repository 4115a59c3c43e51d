"""What the tests of the gateway's sources share: a listener that keeps what it hears, and rows of a roster."""

from collections.abc import Sequence
from typing import Any

from pledgewatch_gateway.roster import RowSettings
from pledgewatch_gateway.sources import Value


class Heard:
    """Keeps what sources say."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.complaints: list[tuple[str, str]] = []  # what about, why

    def hear(self, _: str, values: Sequence[Value]) -> None:
        """Keep values."""
        self.values += values

    def complain(self, _: str, about: str, reason: str) -> None:
        """Keep a complaint."""
        self.complaints.append((about, reason))


def row(channel: str, **changes: Any) -> RowSettings:
    """A row of a roster: the field `x` of the sensor `probe` of the source `hall`, in the cold room."""
    told = {"source": "hall", "sensor": "probe", "field": "x", "zone": "Cold room", "channel": channel, **changes}
    return RowSettings(**told)
