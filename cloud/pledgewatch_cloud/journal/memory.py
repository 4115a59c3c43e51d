"""The Store in memory: for the simulation of the whole system in one process, and to hold the contract to its word."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from pledgewatch_cloud.decide.batch import Arrival, AssetReading, Entry
from pledgewatch_cloud.decide.events import SaidEvent
from pledgewatch_cloud.decide.step import Outcome
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.form import WrittenEntry
from pledgewatch_cloud.journal.memory_outbox import MemoryOutbox
from pledgewatch_cloud.journal.outbox import CORE
from pledgewatch_cloud.journal.spans import Span, overlapping, spans_of
from pledgewatch_cloud.journal.store import (
    NOTHING_SAID,
    QUARANTINE_ROWS_MAX,
    SNAPSHOTS_KEPT,
    Counts,
    Quarantined,
    Said,
    StoreError,
    leaves_of,
    readings_of,
    standing_of,
)
from pledgewatch_wire.codec import Status


class MemoryStore(MemoryOutbox):
    """See pledgewatch_cloud.journal.store.Store for the contract; durable as long as the object lives."""

    def __init__(self, journal: str = "memory") -> None:
        super().__init__()
        self._journal = journal
        self._events: list[tuple[int, SaidEvent]] = []
        self._spans: list[Span] = []
        self._numbers: set[tuple[str, int]] = set()
        self._snapshots: list[tuple[int, bytes]] = []
        self._quarantine: dict[tuple[str, str, bytes], Quarantined] = {}
        self._quarantine_counts: dict[str, int] = {}
        self._said: dict[str, list[Status]] = {}

    @property
    def journal(self) -> str:
        """The name of this journal."""
        return self._journal

    def close(self) -> None:
        """Nothing is held."""

    def append(
        self, entry: Entry, outcome: Outcome, quarantined: Iterable[Quarantined] = (), said: Said = NOTHING_SAID
    ) -> None:
        """Commit an entry; see Store."""
        assert entry.number == len(self._entries) + 1, f"entry {entry.number} does not follow {len(self._entries)}"
        numbers = {(one.facility, one.sequence) for one in outcome.messages}
        if len(numbers) < len(outcome.messages) or numbers & self._numbers:
            raise StoreError("a message's number was given before")
        self._numbers |= numbers
        before = self._entries[-1].hash if self._entries else form.first_hash(self._journal)
        body, kind = form.write_body(entry), form.kind_of(entry)
        digest = form.outcome_digest(outcome.events, outcome.messages, outcome.withdrawn)
        new_hash = form.entry_hash(before, entry.number, entry.recorded_at_ms, kind, body, digest)
        self._entries.append(WrittenEntry(entry.number, kind, entry.recorded_at_ms, body, digest, new_hash))
        self._events += [(entry.number, one) for one in outcome.events]
        self._spans += spans_of(entry)
        self._put_out(entry.number, outcome.messages, outcome.withdrawn)
        self.quarantine(quarantined)
        self.keep_said(said)

    def keep_snapshot(self, entry: int, pieces: Iterable[bytes]) -> None:
        """Keep a snapshot; see Store."""
        self._snapshots = [(entry, b"".join(pieces)), *self._snapshots][:SNAPSHOTS_KEPT]

    def quarantine(self, items: Iterable[Quarantined]) -> None:
        """Commit what could not be taken; see Store."""
        for one in items:
            key = (one.reason, one.topic, one.raw)
            before = self._quarantine.get(key)
            number = next(iter(reversed(self._quarantine.values())), one).number + 1
            self._quarantine[key] = (
                one._replace(number=number) if before is None else before._replace(times=before.times + 1)
            )
            self._quarantine_counts[one.reason] = self._quarantine_counts.get(one.reason, 0) + 1
            if len(self._quarantine) > QUARANTINE_ROWS_MAX:
                del self._quarantine[next(iter(self._quarantine))]

    def keep_said(self, said: Said) -> None:
        """Commit what devices said of themselves; see Store."""
        for device, words in said.items():
            if words:
                self._said[device] = list(words)
            else:
                self._said.pop(device, None)

    def said(self) -> dict[str, list[Status]]:
        """What devices said of themselves; see Store."""
        return {device: list(words) for device, words in self._said.items()}

    def entries(self, after: int = 0) -> Iterator[WrittenEntry]:
        """The entries beyond `after`; see Store."""
        yield from self._entries[after:]

    def entries_of(self, kind: str, after: int = 0, limit: int = 100) -> list[WrittenEntry]:
        """The first entries of a kind beyond `after`; see Store."""
        return [one for one in self._entries[after:] if one.kind == kind][:limit]

    def events(self, after_entry: int = 0, limit: int = 1_000, subject: str = "") -> list[SaidEvent]:
        """Events of the entries beyond `after_entry`; see Store."""
        start = bisect_right(self._events, after_entry, key=lambda one: one[0])
        beyond = [one for one in self._events[start:] if subject in ("", one[1].event.subject)]
        if len(beyond) < limit:
            return [said for _, said in beyond]
        last = beyond[limit - 1][0]
        return [said for entry, said in beyond if entry <= last]

    def events_of(self, entry: int) -> list[SaidEvent]:
        """Events of one entry; see Store."""
        return [one for number, one in self._events if number == entry]

    def spans(self, device: str, epoch: int, first: int, last: int) -> list[Span]:
        """Overlapping spans; see Store."""
        return overlapping((one for one in self._spans if one[:2] == (device, epoch)), first, last)

    def leaves(self, wanted: Iterable[tuple[str, int, int, int]]) -> dict[tuple[str, int, int], bytes]:
        """Leaves of committed readings; see Store."""
        return leaves_of(self._arrivals({span for one in wanted for span in self.spans(*one)}))

    def readings(self, devices: Iterable[str], before_entry: int, since_ms: int = -NEVER) -> list[AssetReading]:
        """The devices' readings since then; see Store."""
        wanted = set(devices)
        spans = [
            one for one in self._spans if one.device in wanted and one.entry < before_entry and one.until_ms > since_ms
        ]
        return list(readings_of(self._arrivals(spans), since_ms).values())

    def standing(self, asset: str, before_entry: int, since_ms: int = -NEVER) -> list[SaidEvent]:
        """Events about the asset that stand; see Store."""
        said = (one for entry, one in self._events if entry < before_entry and one.event.subject == asset)
        return standing_of(said, since_ms)

    def snapshots(self) -> Iterator[tuple[int, bytes]]:
        """Snapshots, newest first; see Store."""
        yield from self._snapshots

    def quarantined(self, limit: int = 100, before: int | None = None) -> list[Quarantined]:
        """What is in quarantine; see Store."""
        found = reversed(self._quarantine.values())
        return [one for one in found if before is None or one.number < before][:limit]

    def quarantine_counts(self) -> dict[str, int]:
        """How much was ever quarantined; see Store."""
        return dict(sorted(self._quarantine_counts.items()))

    def counts(self) -> Counts:
        """What the store holds; see Store."""
        core = self.endpoint(CORE)
        return Counts(
            len(self._entries),
            len(self._events),
            core.pending,
            core.records,
            core.dead,
            sum(self._quarantine_counts.values()),
        )

    def _arrivals(self, spans: Iterable[Span]) -> Iterator[Arrival]:
        for span in sorted(spans, key=lambda one: (one.entry, one.place)):
            yield from form.read_arrivals(self._entries[span.entry - 1].body, [span.place])
