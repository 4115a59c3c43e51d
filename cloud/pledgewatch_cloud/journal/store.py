"""The Store: what the rest of the cloud asks of the disk.

One `append` is one transaction: the entry, what it led to and what was quarantined with it, all or nothing. When it
returns, it is on disk. Snapshots only save work and are kept apart. Everything else is reading, or what is noted of
deliveries (journal/outbox.py).

Implementations are safe to call from several threads. Any of them passes tests/test_store_contract.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from pledgewatch_cloud.decide.batch import Arrival, AssetReading, Entry, asset_reading
from pledgewatch_cloud.decide.events import FOLDED_TYPES, EventType, SaidEvent
from pledgewatch_cloud.decide.step import Outcome
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.journal.form import WrittenEntry
from pledgewatch_cloud.journal.outbox import Outbox
from pledgewatch_cloud.journal.spans import Span
from pledgewatch_wire.codec import Status

QUARANTINE_ROWS_MAX = 10_000
QUARANTINE_RAW_MAX_BYTES = 256 * 1024
SNAPSHOTS_KEPT = 3
Said = Mapping[str, Sequence[Status]]
"""What devices said of themselves, by device: its last status, then the ends of epochs. Empty: nothing is kept."""
NOTHING_SAID: Said = MappingProxyType({})


class StoreError(Exception):
    """The disk did not do it: full, gone or locked. Nothing was written; the caller may try again."""


class Quarantined(NamedTuple):
    """Bytes that could not be taken. `times` is how often the same bytes came for the same reason."""

    topic: str
    received_at_ms: int
    reason: str
    detail: str
    raw: bytes
    times: int = 1
    number: int = 0
    """Where it is among all, as the store counts them."""


class Counts(NamedTuple):
    """What the store holds. `outbox_*` are the financing core's: what it has still to be sent, how often it took
    something, and how many dead letters it has."""

    entries: int
    events: int
    outbox_pending: int
    outbox_delivered: int
    outbox_dead: int
    quarantined: int


class Store(Outbox, Protocol):
    """The journal and all that is committed with it. Any method may raise StoreError."""

    @property
    def journal(self) -> str:
        """The name of this journal, unique for ever."""
        ...

    def append(
        self, entry: Entry, outcome: Outcome, quarantined: Iterable[Quarantined] = (), said: Said = NOTHING_SAID
    ) -> None:
        """Commit an entry that follows the last one, with its outcome, and what devices said as `keep_said` does.
        Durable when it returns."""
        ...

    def keep_snapshot(self, entry: int, pieces: Iterable[bytes]) -> None:
        """Keep the state after an entry that is committed, and the newest SNAPSHOTS_KEPT in all.

        `pieces` may take their time; nobody waits for them. Where they raise, nothing is kept.
        """
        ...

    def quarantine(self, items: Iterable[Quarantined]) -> None:
        """Commit bytes that could not be taken, where no entry goes with them."""
        ...

    def keep_said(self, said: Said) -> None:
        """Commit what devices said of themselves, in place of what each had said before. Nothing is decided by it."""
        ...

    def said(self) -> dict[str, list[Status]]:
        """What is kept of what devices said of themselves."""
        ...

    def entries(self, after: int = 0) -> Iterator[WrittenEntry]:
        """The entries beyond number `after`, in order. Reading on is safe while others append."""
        ...

    def entries_of(self, kind: str, after: int = 0, limit: int = 100) -> list[WrittenEntry]:
        """The first `limit` entries of a kind beyond number `after`, in order; the kind as form.kind_of writes it."""
        ...

    def events(self, after_entry: int = 0, limit: int = 1_000, subject: str = "") -> list[SaidEvent]:
        """Events of the entries beyond `after_entry`, whole entries only, about `limit` of them; of one subject where
        it is named."""
        ...

    def events_of(self, entry: int) -> list[SaidEvent]:
        """Events of one entry."""
        ...

    def spans(self, device: str, epoch: int, first: int, last: int) -> list[Span]:
        """The spans of a device's epoch that overlap first to last."""
        ...

    def leaves(self, wanted: Iterable[tuple[str, int, int, int]]) -> dict[tuple[str, int, int], bytes]:
        """The leaves of committed readings in (device, epoch, first, last) ranges, by (device, epoch, sequence)."""
        ...

    def readings(self, devices: Iterable[str], before_entry: int, since_ms: int = -NEVER) -> list[AssetReading]:
        """The devices' readings measured after `since_ms` that entries below `before_entry` hold, each once."""
        ...

    def standing(self, asset: str, before_entry: int, since_ms: int = -NEVER) -> list[SaidEvent]:
        """What stands of the FOLDED_TYPES about the asset: said below `before_entry`, first found after `since_ms`
        of the fold's time, and not retracted below `before_entry`."""
        ...

    def snapshots(self) -> Iterator[tuple[int, bytes]]:
        """Snapshots as (entry, bytes), newest first."""
        ...

    def quarantined(self, limit: int = 100, before: int | None = None) -> list[Quarantined]:
        """What is in quarantine, newest first; only what has a lower number than `before`."""
        ...

    def quarantine_counts(self) -> dict[str, int]:
        """How much was ever quarantined, by reason."""
        ...

    def counts(self) -> Counts:
        """What the store holds."""
        ...

    def close(self) -> None:
        """Let go of the disk."""
        ...


def readings_of(arrivals: Iterable[Arrival], since_ms: int = -NEVER) -> dict[tuple[str, int, int], AssetReading]:
    """Payloads' readings measured after a moment, by identity; where two hold one identity, their content is equal."""
    return {
        (one.device, one.epoch, reading.sequence): asset_reading(one.device, one.epoch, reading)
        for one in arrivals
        for reading in one.readings
        if reading.measured_at_ms > since_ms
    }


def leaves_of(arrivals: Iterable[Arrival]) -> dict[tuple[str, int, int], bytes]:
    """The leaves of payloads' readings by identity."""
    return {
        (one.device, one.epoch, sequence): leaf
        for one in arrivals
        for sequence, leaf in enumerate(one.leaves, one.first_sequence)
    }


def standing_of(said: Iterable[SaidEvent], since_ms: int) -> list[SaidEvent]:
    """Of an asset's events in the order in which they were said, the folded ones first found after a moment that no
    later one retracts."""
    stand: dict[str, SaidEvent] = {}
    for one in said:
        if one.event.type is EventType.EVENT_RETRACTED:
            stand.pop(str(one.event.fact("retracted")), None)
        elif one.event.type in FOLDED_TYPES and one.told_ms > since_ms:
            stand[one.id] = one
    return list(stand.values())
