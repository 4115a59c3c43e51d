"""What `step` is given: one journal entry.

An entry is a batch of payloads as they were received, an amendment of the book, what somebody said about an alert, or a
tick. Nothing else can change an answer: the passing of time is a tick, a price is an amendment.
"""

from typing import Any, NamedTuple

from pledgewatch_wire.codec import Payload
from pledgewatch_wire.reading import Reading


class Arrival(NamedTuple):
    """One payload as it came in: who sent it, when it was received, its bytes, and what they say."""

    operator: str
    device: str
    received_at_ms: int
    raw: bytes
    payload: Payload


class Suspicion(NamedTuple):
    """A payload that was refused because it contradicts what the device said before.

    `kind` is `sequence_reused` or `signature`; the refused bytes are kept in quarantine, their SHA-256 here.
    """

    device: str
    epoch: int
    sequence: int
    kind: str
    raw_sha256: str
    received_at_ms: int


class Readings(NamedTuple):
    """A batch of payloads that were admitted, and what was suspected while admitting them."""

    arrivals: tuple[Arrival, ...]
    suspicions: tuple[Suspicion, ...] = ()


class Amendment(NamedTuple):
    """A change of the book that has passed its checks (pledgewatch_cloud.decide.book.amend)."""

    document: dict[str, Any]


class Acknowledgement(NamedTuple):
    """Somebody has taken an alert on. `alert` is its id, `by` names who."""

    alert: str
    by: str


class Tick(NamedTuple):
    """Time has come this far, and nothing more need have happened."""


Content = Readings | Amendment | Acknowledgement | Tick


class Entry(NamedTuple):
    """A numbered piece of the journal; `recorded_at_ms` never runs backwards from entry to entry."""

    number: int
    recorded_at_ms: int
    content: Content


class AssetReading(NamedTuple):
    """A reading with its identity, ordered as an asset's story is told: by when it was measured, then by identity."""

    measured_at_ms: int
    device: str
    epoch: int
    sequence: int
    reading: Reading

    @property
    def key(self) -> tuple[int, str, int, int]:
        """What the order rests on."""
        return self[:4]


def asset_reading(device: str, epoch: int, reading: Reading) -> AssetReading:
    """A reading under its full identity."""
    return AssetReading(reading.measured_at_ms, device, epoch, reading.sequence, reading)
