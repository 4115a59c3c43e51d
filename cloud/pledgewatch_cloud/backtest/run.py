"""The back-test: recorded readings through a book, in memory, by the very spine that the service runs.

Readings of a file arrive one by one at the moment at which they were measured, whatever their order in the file, and
time is journalled every TICK_S as a service would, so alerts persist, escalate and repeat as they would have. Payloads
of a journal arrive as they did, between the ticks that it holds. Devices that the book does not know are named and left
out. At the end time has come to the newest moment, or to the end of the span, and what stands is told.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from pledgewatch_cloud.backtest.readings import Row, read_rows
from pledgewatch_cloud.book_file import read_book_file
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import drafts, payloads
from pledgewatch_cloud.decide.batch import Arrival, Readings, Tick
from pledgewatch_cloud.decide.events import Event, EventType
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.payloads import Received
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_wire.codec import Payload, encode
from pledgewatch_wire.reading import Clock, Reading

TICK_S = 60
_TICKS_MAX = 10_080  # in one pause between two readings; a longer one is told in wider steps
_FUTURE_MS = 86_400_000  # rows may be ahead of this machine's clock by so much
_IDS = ("alert", "arrival")  # facts that are ids of this journal and mean nothing in another


class BacktestError(ValueError):
    """The back-test cannot be done as asked: one sentence for each reason."""


class Told(NamedTuple):
    """What stands at the end, in the order of its time; how many readings were folded, and the devices that were left
    out with their readings."""

    events: tuple[Event, ...]
    readings: int
    left_out: dict[str, int]


class _Clock:
    """Time as the recorded readings have it."""

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms


Span = tuple[int, int]


def from_rows(book: Path, files: Iterable[Path], columns: dict[str, str], device: str | None, span: Span) -> Told:
    """Back-test over files. `span` is [from, until) in Unix milliseconds. Raises BacktestError, RowError, OSError."""
    document, every = _document(book, span), list[Row]()
    latest_ms = time.time_ns() // 1_000_000 + _FUTURE_MS
    for path in files:
        for row in read_rows(path, columns, device):
            if row.measured_at_ms > latest_ms:
                raise BacktestError(f"{path}: a reading of {row.device} is dated {iso(row.measured_at_ms)}: not yet")
            if span[0] <= row.measured_at_ms < span[1]:
                every.append(row)
    every.sort(key=lambda row: row.measured_at_ms)  # those of one moment stay as they were in the files
    spine, store, clock = _spine(document, every[0].measured_at_ms if every else 0)
    rows = [row for row in every if _is_known(spine, row.device)]
    left_out = Counter(row.device for row in every if not _is_known(spine, row.device))
    sequences: Counter[str] = Counter()
    for at_ms, some in groupby(rows, key=lambda row: row.measured_at_ms):
        _let_pass(spine, clock, at_ms)
        spine.take(_arrivals(spine, some, sequences, at_ms))
    spine.tick()
    return Told(_standing(store), len(rows), left_out)


def from_journal(book: Path, folder: Path, span: Span) -> Told:
    """Back-test over a journal's own readings. Raises BacktestError, StoreError, DamagedError.

    Of a span only the readings that were measured in it arrive, what came after its end at its end.
    """
    document, left_out = _document(book, span), Counter[str]()
    journal = SqliteStore(folder, read_only=True)
    count = 0
    try:
        first = next(iter(journal.entries()), None)
        spine, store, clock = _spine(document, min(first.recorded_at_ms, span[1]) if first else 0)
        firsts = _first_sequences(journal, span)
        for written in journal.entries():
            entry = form.read_entry(written)
            clock.at_ms = min(entry.recorded_at_ms, span[1])
            if isinstance(entry.content, Tick):
                if entry.recorded_at_ms <= span[1]:
                    spine.tick()
            elif isinstance(entry.content, Readings):
                known = [one for one in entry.content.arrivals if _is_known(spine, one.device)]
                for one in entry.content.arrivals:
                    if not _is_known(spine, one.device):
                        left_out[one.device] += sum(span[0] <= each.measured_at_ms < span[1] for each in one.readings)
                arrivals = payloads.read_all([cut for one in known for cut in _cut(one, span, firsts, clock.at_ms)])
                count += sum(one.count for one in arrivals)
                spine.take(arrivals)
    finally:
        journal.close()
    spine.tick()
    return Told(_standing(store), count, +left_out)


def _let_pass(spine: Spine, clock: _Clock, to_ms: int) -> None:
    """Let time come to a moment, ticking on the way."""
    step_ms = max(1_000 * TICK_S, -(-(to_ms - clock.at_ms) // _TICKS_MAX))
    at_ms = (max(clock.at_ms, spine.state.horizon_ms) // step_ms + 1) * step_ms
    while at_ms < to_ms:
        clock.at_ms = at_ms
        spine.tick()
        at_ms += step_ms
    clock.at_ms = to_ms


def _is_known(spine: Spine, device: str) -> bool:
    installed = spine.state.book.installations.get(device)
    return installed is not None and not installed.retired


def _first_sequences(journal: SqliteStore, span: Span) -> dict[tuple[str, int], int]:
    """The lowest sequence of each device and epoch in a span."""
    firsts: dict[tuple[str, int], int] = {}
    for written in journal.entries():
        if written.kind == form.READINGS:
            entry = form.read_entry(written)
            assert isinstance(entry.content, Readings)
            for one in entry.content.arrivals:
                for each in one.readings:
                    if span[0] <= each.measured_at_ms < span[1]:
                        key = (one.device, one.epoch)
                        firsts[key] = min(firsts.get(key, each.sequence), each.sequence)
    return firsts


def _cut(arrival: Arrival, span: Span, firsts: dict[tuple[str, int], int], now_ms: int) -> Iterator[Received]:
    """The part of a payload that lies in a span, its sequences counted from the first that does."""
    names = arrival.operator, arrival.device, now_ms
    first = firsts.get((arrival.device, arrival.epoch))
    if first is None:
        return
    inside = [span[0] <= one.measured_at_ms < span[1] for one in arrival.readings]
    if first == 1 and all(inside):
        yield Received(*names, arrival.raw)
        return
    for is_in, some in groupby(zip(inside, arrival.readings, strict=True), key=lambda pair: pair[0]):
        if is_in:
            readings = tuple(one._replace(sequence=one.sequence - first + 1) for _, one in some)
            yield Received(*names, encode(Payload(arrival.epoch, readings)))


def difference(one: Told, other: Told) -> Iterator[tuple[str, Event]]:
    """What only one of two back-tests says: `-` for the first, `+` for the other, in the order of time."""
    first, second = Counter(map(_meaning, one.events)), Counter(map(_meaning, other.events))
    only = list(_beyond("-", one.events, first - second))
    only += _beyond("+", other.events, second - first)
    yield from sorted(only, key=lambda found: (found[1].at_ms, found[1], found[0]))


def _meaning(event: Event) -> Event:
    """An event without what names places in its own journal only."""
    return event._replace(facts=tuple(fact for fact in event.facts if fact[0] not in _IDS))


def _beyond(mark: str, events: Iterable[Event], wanted: Counter[Event]) -> Iterator[tuple[str, Event]]:
    for event in events:
        if wanted[_meaning(event)] > 0:
            wanted[_meaning(event)] -= 1
            yield mark, event


def _document(book: Path, span: Span) -> dict[str, Any]:
    """What the book file says, once it and the span have passed their checks."""
    if span[0] >= span[1]:
        raise BacktestError("--from is not before --to: nothing lies between them")
    file = read_book_file(book)
    try:
        book_module.amend(book_module.empty(), file.document)
    except BookError as error:
        raise BacktestError("\n".join(file.explained(error.errors))) from None
    return file.document


def _spine(document: dict[str, Any], start_ms: int) -> tuple[Spine, MemoryStore, _Clock]:
    """A journal of its own that begins with the book."""
    store, clock = MemoryStore("backtest"), _Clock(start_ms)
    spine = Spine(store, clock, snapshot_every_entries=10**9)
    spine.commit(drafts.amend, document)
    return spine, store, clock


def _arrivals(spine: Spine, rows: Iterable[Row], sequences: Counter[str], now_ms: int) -> list[Arrival]:
    """Payloads of rows: consecutive readings of a device in one, numbered in the order of time."""
    readings: dict[str, list[Reading]] = {}
    for row in rows:
        sequences[row.device] += 1
        reading = Reading(sequences[row.device], row.measured_at_ms, Clock.GPS, row.cells)
        readings.setdefault(row.device, []).append(reading)
    received = [
        Received(spine.state.book.installations[device].operator, device, now_ms, encode(Payload(1, tuple(some))))
        for device, some in readings.items()
    ]
    return payloads.read_all(received)


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
