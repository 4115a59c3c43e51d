"""Replay: decide a whole journal again from its first entry and compare (law 5).

Every entry's hash, its body, the events, messages and spans written beside it, every snapshot, the seals of what is
noted about deliveries and quarantine, and SQLite's own structure are held against what they must be. The first thing
that is not so is reported with its entry's number.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.batch import Entry, Readings
from pledgewatch_cloud.decide.step import Outcome
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.form import DamagedError, WrittenEntry
from pledgewatch_cloud.journal.spans import SpanRow, SpanTail
from pledgewatch_cloud.journal.sqlite import FILE_NAME, SqliteStore, event_row
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.spine.spine import repeat
from pledgewatch_wire.marks import Marks


class Replayed(NamedTuple):
    """A journal that is whole: how much it holds, and the digest of the state that it leads to.

    `readings` counts what was decided on, `identities` each (device, epoch, sequence) that the payloads hold, once:
    were the first ever the larger, a reading would have acted twice. `by_device` has the identities of each device.
    """

    entries: int
    readings: int
    identities: int
    events: int
    messages: int
    digest: str
    by_device: dict[str, int]


def replay(folder: Path, progress: Callable[[int], None] = lambda _: None) -> Replayed:
    """Decide every entry of the journal in `folder` again.

    Raises DamagedError at the first entry that is not what was written, StoreError where there is no journal.
    """
    try:
        store = SqliteStore(folder, read_only=True)
    except StoreError as error:
        if not (folder / FILE_NAME).exists():
            raise
        raise DamagedError(1, f"the file cannot be opened: {error}") from None
    try:
        return _replay(store, progress)
    finally:
        store.close()


def _replay(store: SqliteStore, progress: Callable[[int], None]) -> Replayed:
    state = state_module.first(store.journal)
    before = form.first_hash(store.journal)
    readings = events = messages = 0
    held: dict[tuple[str, int], Marks] = {}
    tail = SpanTail()
    withdrawn: set[str] = set()
    try:
        snapshots = dict(store.snapshots())
        for written in store.entries():
            before = _check_hash(before, written, state.entry + 1)
            entry = form.read_entry(written)
            admission, outcome = repeat(store, state, entry, written.outcome)
            _check_beside(store, entry, outcome, tail.due(entry.number), withdrawn)
            tail.move_on(entry)
            snapshot = snapshots.pop(written.number, None)
            if snapshot is not None and snapshot != state_module.to_bytes(outcome.state):
                raise DamagedError(written.number, "its snapshot is another state than the entries lead to")
            state = outcome.state
            readings += len(admission.readings)
            if isinstance(entry.content, Readings):
                for one in entry.content.arrivals:
                    key = (one.device, one.epoch)
                    held[key] = held.get(key, Marks()).add(one.first_sequence, one.last_sequence)
            events += len(outcome.events)
            messages += len(outcome.messages)
            progress(written.number)
        for text in (*store.stray_rows(), *(f"snapshot of entry {one} has no entry" for one in snapshots)):
            raise DamagedError(state.entry + 1, text)
        for number, text in store.unsealed():
            raise DamagedError(number or state.entry, text)
        for text in store.integrity():
            raise DamagedError(state.entry, f"the file's own structure is damaged at or before it: {text}")
    except StoreError as error:
        raise DamagedError(state.entry + 1, f"cannot be read: {error}") from None
    by_device: dict[str, int] = {}
    for (device, _), marks in held.items():
        by_device[device] = by_device.get(device, 0) + marks.total
    identities = sum(by_device.values())
    return Replayed(state.entry, readings, identities, events, messages, state_module.digest(state), by_device)


def _check_hash(before: bytes, written: WrittenEntry, number: int) -> bytes:
    """The entry's hash, if it is the one that follows."""
    if written.number != number:
        raise DamagedError(number, f"is missing; the next one is {written.number}")
    kind, body = written.kind, written.body
    expected = form.entry_hash(before, written.number, written.recorded_at_ms, kind, body, written.outcome)
    if expected != written.hash:
        raise DamagedError(number, "its hash does not fit its content: a byte of it, or of the one before, was changed")
    return expected


def _check_beside(
    store: SqliteStore, entry: Entry, outcome: Outcome, index: list[SpanRow], withdrawn: set[str]
) -> None:
    """What is written beside the entry is what it leads to. `withdrawn`, of entries before, grows by its own."""
    events, messages, spans, ids = store.led_to(entry.number)
    if events != [event_row(entry.number, one) for one in outcome.events]:
        raise DamagedError(entry.number, "its events are not those that it leads to")
    if messages != sorted((one.id, one.type, one.facility, one.sequence, one.body) for one in outcome.messages):
        raise DamagedError(entry.number, "its messages are not those that it leads to")
    if ids != sorted(set(outcome.withdrawn) - withdrawn):
        raise DamagedError(entry.number, "the messages that it withdraws are not those that are marked so")
    withdrawn.update(ids)
    if spans != sorted(index):
        raise DamagedError(entry.number, "the index of readings that was written with it is not that of the payloads")
