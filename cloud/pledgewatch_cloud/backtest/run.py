"""The back-test: recorded readings through a book, in memory, by the very spine that the service runs.

Readings of a file arrive in the order of the file, as soon as they can have been measured; payloads of a journal arrive
as they did, between the ticks that it holds. Devices that the book does not install are named and left out. At the end
time has come to the newest moment, and what stands is told.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pledgewatch_cloud.backtest.readings import Row, read_rows
from pledgewatch_cloud.book_file import read_book_file
from pledgewatch_cloud.decide import payloads
from pledgewatch_cloud.decide.batch import Arrival, Readings, Tick
from pledgewatch_cloud.decide.book_items import BookError
from pledgewatch_cloud.decide.events import Event, EventType
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.payloads import Received
from pledgewatch_cloud.ingest.spine import Spine
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_wire.codec import Payload, encode
from pledgewatch_wire.reading import Clock, Reading

AT_ONCE = 1_000


class BacktestError(ValueError):
    """The back-test cannot be done as asked: one sentence for each reason."""


class Told(NamedTuple):
    """What stands at the end, in the order of its time, and the devices that were left out with their readings."""

    events: tuple[Event, ...]
    left_out: dict[str, int]


class _Clock:
    """Time as the recorded readings have it."""

    def __init__(self) -> None:
        self.at_ms = 0

    def now_ms(self) -> int:
        return self.at_ms


Span = tuple[int, int]


def from_rows(book: Path, files: Iterable[Path], columns: dict[str, str], device: str | None, span: Span) -> Told:
    """Back-test over files. `span` is [from, until) in Unix milliseconds. Raises BacktestError, RowError, OSError."""
    spine, store, clock = _spine(book)
    sequences: dict[str, int] = {}
    left_out: dict[str, int] = {}
    for path in files:
        rows = (row for row in read_rows(path, columns, device) if span[0] <= row.measured_at_ms < span[1])
        while some := list(islice(rows, AT_ONCE)):
            clock.at_ms = max(clock.at_ms, *(row.measured_at_ms for row in some))
            for row in some:
                if row.device not in spine.state.book.installations:
                    left_out[row.device] = left_out.get(row.device, 0) + 1
            spine.take(_arrivals(spine, some, sequences, clock.at_ms))
    spine.tick()
    return Told(_standing(store), left_out)


def from_journal(book: Path, folder: Path, span: Span) -> Told:
    """Back-test over a journal's own readings. Raises BacktestError, StoreError, DamagedError."""
    spine, store, clock = _spine(book)
    journal = SqliteStore(folder, read_only=True)
    left_out: dict[str, int] = {}
    try:
        for written in journal.entries():
            entry = form.read_entry(written)
            clock.at_ms = entry.recorded_at_ms
            if isinstance(entry.content, Tick):
                spine.tick()
            elif isinstance(entry.content, Readings):
                arrivals = [one for one in entry.content.arrivals if _within(one, span)]
                for one in arrivals:
                    if one.device not in spine.state.book.installations:
                        left_out[one.device] = left_out.get(one.device, 0) + one.count
                spine.take(arrivals)
    finally:
        journal.close()
    spine.tick()
    return Told(_standing(store), left_out)


def difference(one: Told, other: Told) -> Iterator[tuple[str, Event]]:
    """What only one of two back-tests says: `-` for the first, `+` for the other, in the order of time."""
    first, second = set(one.events), set(other.events)
    only = [("-", event) for event in one.events if event not in second]
    only += [("+", event) for event in other.events if event not in first]
    yield from sorted(only, key=lambda found: (found[1].at_ms, found[1], found[0]))


def _spine(book: Path) -> tuple[Spine, MemoryStore, _Clock]:
    file = read_book_file(book)
    store, clock = MemoryStore("backtest"), _Clock()
    spine = Spine(store, clock, snapshot_every_entries=10**9)
    try:
        spine.amend(file.document)
    except BookError as error:
        raise BacktestError("\n".join(file.explained(error.errors))) from None
    return spine, store, clock


def _arrivals(spine: Spine, rows: Iterable[Row], sequences: dict[str, int], now_ms: int) -> list[Arrival]:
    """Payloads of rows: consecutive readings of a device in one, numbered in the order of the file."""
    readings: dict[str, list[Reading]] = {}
    for row in rows:
        if row.device in spine.state.book.installations:
            sequences[row.device] = sequence = sequences.get(row.device, 0) + 1
            reading = Reading(sequence, row.measured_at_ms, Clock.GPS, row.cells)
            readings.setdefault(row.device, []).append(reading)
    received = [
        Received(spine.state.book.installations[device].operator, device, now_ms, encode(Payload(1, tuple(some))))
        for device, some in readings.items()
    ]
    return payloads.read_all(received)


def _within(arrival: Arrival, span: Span) -> bool:
    return any(span[0] <= one.measured_at_ms < span[1] for one in arrival.readings)


def _standing(store: MemoryStore) -> tuple[Event, ...]:
    """Every event that no later one has taken back."""
    stand: dict[str, Event] = {}
    after = 0
    while some := store.events(after):
        for one in some:
            if one.event.type is EventType.EVENT_RETRACTED:
                stand.pop(str(one.event.fact("retracted")), None)
            else:
                stand[one.id] = one.event
        after = int(some[-1].id.partition(".")[0])
    return tuple(sorted(stand.values(), key=lambda one: (one.at_ms, one)))


def as_text(event: Event) -> str:
    """An event as a line for people."""
    facts: dict[str, Any] = dict(event.facts)
    told = " ".join(f"{name}={value}" for name, value in facts.items() if name not in ("epoch", "sequence"))
    return f"{iso(event.at_ms)} {event.subject} {event.type} {told}"
