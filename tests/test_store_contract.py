"""The contract of the Store, for every implementation."""

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import (
    AT_SEA,
    IN_LOS_ANGELES,
    MINUTE_MS,
    NOON_MS,
    Device,
    ManualClock,
    book_document,
    position,
    temperature,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.batch import Entry, Tick
from pledgewatch_cloud.decide.step import Outcome, prepare, step
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal import spans as spans_module
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import CORE, DeliveryRecord
from pledgewatch_cloud.journal.spans import Span, SpanTail
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import QUARANTINE_ROWS_MAX, Quarantined, Store
from pledgewatch_cloud.replay import replay
from pledgewatch_cloud.spine.spine import Spine, recover
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Status, decode_status

ODD = Quarantined("pw/1/a/b/up", NOON_MS, "unknown version", "version is 9", b"\x01\x02")


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "data")
    yield made
    made.close()


def told(store: Store) -> tuple[Device, Spine]:
    """A store in which a container sails into port and seems to breach its condition: one reading is still to come."""
    device = Device()
    spine = Spine(store, ManualClock(NOON_MS + 60 * MINUTE_MS), snapshot_every_entries=3)
    spine.commit(drafts.amend, book_document(device))
    warm = (temperature(9_000),)
    story = (
        (0, (*position(AT_SEA), temperature(5_000))),
        (1, position(IN_LOS_ANGELES)),
        (2, warm),
        (LATE_MINUTE, (temperature(5_000),)),
        (30, warm),
    )
    for minute, cells in story:
        reading = device.measure(NOON_MS + minute * MINUTE_MS, *cells)
        if minute != LATE_MINUTE:
            spine.take([device.arrival([reading])])
    return device, spine


LATE_MINUTE = 10


def test_an_entry_and_all_that_it_led_to_is_there_when_append_returns(store: Store) -> None:
    device, spine = told(store)
    written = list(store.entries())
    assert [one.number for one in written] == [1, 2, 3, 4, 5]
    assert [one.kind for one in written] == ["amendment", *["readings"] * 4]
    assert [one.event.type for one in store.events()][-1] == "alert_opened"
    assert store.counts()[:3] == (5, len(store.events()), 4)
    assert store.spans(device.name, 1, 2, 3) == [
        Span(device.name, 1, 2, 2, 3, 0, device.readings[1].measured_at_ms),
        Span(device.name, 1, 3, 3, 4, 0, device.readings[2].measured_at_ms),
    ]
    assert spine.state.entry == 5


def test_entries_are_tied_by_their_hashes(store: Store) -> None:
    told(store)
    before = form.first_hash(store.journal)
    for one in store.entries():
        before = form.entry_hash(before, one.number, one.recorded_at_ms, one.kind, one.body, one.outcome)
        assert one.hash == before


def test_an_entry_that_does_not_follow_is_refused_and_nothing_is_written(store: Store) -> None:
    _, spine = told(store)
    later = Entry(7, NOON_MS, Tick(NOON_MS))
    outcome = Outcome(spine.state, (), ())
    with pytest.raises(AssertionError, match="entry 7 does not follow 5"):
        store.append(later, outcome, [ODD])
    assert (store.counts().entries, store.quarantined()) == (5, [])


def test_reading_on_from_an_entry(store: Store) -> None:
    told(store)
    assert [one.number for one in store.entries(after=3)] == [4, 5]
    assert list(store.entries(after=5)) == []


def test_events_come_in_whole_entries(store: Store) -> None:
    told(store)
    everything = store.events()
    pages, after = [], 0
    while page := store.events(after, limit=1):
        entries = {one.id.partition(".")[0] for one in page}
        assert len(entries) == 1
        pages += page
        after = int(page[-1].id.partition(".")[0])
    assert pages == everything


def test_events_of_one_subject_come_in_whole_entries_too(store: Store) -> None:
    device, _ = told(store)
    asset = f"asset-{device.name}"
    wanted = [one for one in store.events() if one.event.subject == asset]
    assert 0 < len(wanted) < len(store.events())
    pages, after = [], 0
    while page := store.events(after, limit=1, subject=asset):
        pages += page
        after = int(page[-1].id.partition(".")[0])
    assert pages == wanted == store.events(subject=asset)
    assert store.events(subject="nobody") == []


def test_leaves_and_readings_come_back(store: Store) -> None:
    device, _ = told(store)
    leaves = store.leaves([(device.name, 1, 2, 3)])
    assert {key: leaves[key] for key in ((device.name, 1, 2), (device.name, 1, 3))} == {
        (device.name, 1, one.sequence): chain.leaf(one) for one in device.readings[1:3]
    }
    assert [one.reading for one in sorted(store.readings([device.name], 5))] == device.readings[:3]
    assert store.readings(["nobody"], 10**9) == []


def test_standing_events_are_those_not_retracted_by_then(store: Store) -> None:
    device, spine = told(store)
    asset = f"asset-{device.name}"
    assert [one.event.type for one in store.standing(asset, 10**9)] == [
        "condition_known",
        "fence_entered",
        "condition_breached",
    ]
    spine.take([device.arrival([device.readings[3]])])
    assert [one.event.type for one in store.standing(asset, 10**9)] == ["condition_known", "fence_entered"]
    assert [one.event.type for one in store.standing(asset, 6)] == [
        "condition_known",
        "fence_entered",
        "condition_breached",
    ]


def test_snapshots_come_newest_first_and_are_few(store: Store) -> None:
    device, spine = told(store)
    for minute in range(31, 50):
        spine.take([device.arrival([device.measure(NOON_MS + minute * MINUTE_MS, temperature(5_000))])])
    entries = [entry for entry, _ in store.snapshots()]
    assert entries == sorted(entries, reverse=True)
    assert len(entries) == 3
    assert state_module.to_bytes(recover(store)) == state_module.to_bytes(spine.state)


def test_the_outbox_gives_each_facility_its_oldest_and_forgets_on_delivery(store: Store) -> None:
    told(store)
    sequence = []
    while due := store.due(CORE, NOON_MS):
        (one,) = due
        sequence.append((one.sequence, one.type))
        store.delivered(one, DeliveryRecord(CORE, one.id, NOON_MS, 1))
    assert [number for number, _ in sequence] == list(range(1, len(sequence) + 1))
    assert (sequence[0][1], sequence[-1][1]) == ("record_base", "raise_alert")
    assert store.counts()[2:5] == (0, len(sequence), 0)


def test_quarantine_keeps_the_same_bytes_once_and_counts_all(store: Store) -> None:
    store.quarantine([ODD, ODD])
    store.quarantine([ODD, ODD._replace(raw=b"other"), ODD._replace(reason="too large")])
    assert [(one.reason, one.raw, one.times) for one in store.quarantined()] == [
        ("too large", b"\x01\x02", 1),
        ("unknown version", b"other", 1),
        ("unknown version", b"\x01\x02", 3),
    ]
    assert store.quarantine_counts() == {"too large": 1, "unknown version": 4}
    assert store.counts().quarantined == 5
    newest, middle, oldest = store.quarantined()
    assert newest.number > middle.number > oldest.number
    assert store.quarantined(1, newest.number) == store.quarantined(2, newest.number)[:1] == [middle]
    assert store.quarantined(10, oldest.number) == []


def test_quarantine_is_bounded_and_still_counts(store: Store) -> None:
    store.quarantine(ODD._replace(raw=number.to_bytes(4, "big")) for number in range(QUARANTINE_ROWS_MAX + 7))
    assert len(store.quarantined(10**9)) == QUARANTINE_ROWS_MAX
    assert store.quarantine_counts() == {"unknown version": QUARANTINE_ROWS_MAX + 7}


def test_what_devices_said_takes_the_place_of_what_they_said_before(store: Store) -> None:
    _, spine = told(store)
    first, second = Status(True, 1, 9, 9, "1.2", 3, 4), Status(True, 2, 0, 0, "")  # noqa: FBT003
    assert store.said() == {}
    store.keep_said({"left": [first], "right": [first]})
    spine.take([], [], {"left": [second, first], "right": [], "nobody": []})
    assert store.said() == {"left": [second, first]}
    device = Device("container-1")
    told_again = [device.measure(NOON_MS, temperature(5_000)) for _ in range(6)]
    entry = spine.state.entry
    spine.take([device.arrival(told_again[5:])], [], {"right": [second]})
    assert (spine.state.entry, store.said()) == (entry + 1, {"left": [second, first], "right": [second]})


def test_a_status_of_no_bytes_is_one(store: Store) -> None:
    nothing, first = decode_status(b""), Status(True, 1, 9, 9, "1.2", 3, 4)  # noqa: FBT003
    store.keep_said({"left": [nothing], "right": [nothing, first, nothing]})
    assert store.said() == {"left": [nothing], "right": [nothing, first, nothing]}


def test_what_goes_with_an_entry_is_committed_with_it(store: Store) -> None:
    state = state_module.first(store.journal)
    tick = Entry(1, NOON_MS, Tick(NOON_MS))
    store.append(tick, step(state, prepare(state, tick), {}), [ODD])
    (kept,) = store.quarantined()
    assert kept._replace(number=ODD.number) == ODD


def test_a_snapshot_comes_in_pieces_and_whole_or_not_at_all(store: Store) -> None:
    def broken() -> Iterator[bytes]:
        yield b"sta"
        raise OSError("unplugged")

    state = state_module.first(store.journal)
    tick = Entry(1, NOON_MS, Tick(NOON_MS))
    store.append(tick, step(state, prepare(state, tick), {}))
    with pytest.raises(OSError, match="unplugged"):
        store.keep_snapshot(1, broken())
    assert list(store.snapshots()) == []
    store.keep_snapshot(1, iter([b"sta", b"te"]))
    assert list(store.snapshots()) == [(1, b"state")]


def test_readers_and_writers_side_by_side(store: Store) -> None:
    device, spine = told(store)
    seen: list[list[int]] = []

    def read() -> None:
        seen.extend([one.number for one in store.entries()] for _ in range(20))

    reader = threading.Thread(target=read)
    reader.start()
    for minute in range(31, 51):
        spine.take([device.arrival([device.measure(NOON_MS + minute * MINUTE_MS, temperature(5_000))])])
    reader.join()
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in seen)
    assert store.counts().entries == 25


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.booleans()), min_size=1, max_size=25), st.data())
@settings(deadline=None, max_examples=60)
def test_the_index_of_readings_is_the_same_after_every_start(
    steps: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    """Devices speak, the journal is closed and opened: what stands in rows and what does not yet make up the whole."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(SpanTail, "BUCKETS", data.draw(st.sampled_from([1, 2, 3, 7])))
        patch.setattr(spans_module, "SEQUENCES_MAX", data.draw(st.sampled_from([1, 4, 65_536])))
        devices = [Device(f"container-{number}") for number in range(4)]
        memory, disk = MemoryStore(), SqliteStore(Path(folder))
        both = [Spine(store, ManualClock(), snapshot_every_entries=4) for store in (memory, disk)]
        for spine in both:  # goods are no matter here
            spine.commit(drafts.amend, book_document(*devices) | {"lots": [], "milestones": []})
        for number, count, closes in steps:
            device = devices[number]
            some = [device.measure(NOON_MS + device.sequence * 1_000, temperature(5_000)) for _ in range(count)]
            for spine in both:
                spine.take([device.arrival(some)])
            if closes:
                disk.close()
                disk = SqliteStore(Path(folder))
                both[1] = Spine(disk, ManualClock(), snapshot_every_entries=4)
        for device in devices:
            assert disk.spans(device.name, 1, 1, 10**6) == memory.spans(device.name, 1, 1, 10**6)
            for first in range(1, device.sequence + 1):
                assert disk.spans(device.name, 1, first, first) == memory.spans(device.name, 1, first, first)
            before = data.draw(st.integers(1, 30))
            assert disk.readings([device.name], before) == memory.readings([device.name], before)
        disk.close()
        assert replay(Path(folder)).entries == len(steps) + 1
