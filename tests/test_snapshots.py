"""Snapshots that are written beside the commits."""

import json
import threading
from collections.abc import Iterable, Iterator

import pytest
from builders import AT_SEA, MINUTE_MS, NOON_MS, Device, ManualClock, book_document, position, temperature

from pledgewatch_cloud.decide import canonical, drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.spine.snapshots import Snapshots
from pledgewatch_cloud.spine.spine import Spine, recover


class SlowStore(MemoryStore):
    """A disk that takes the first piece and waits for the test before it takes the others."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.is_full = False

    def keep_snapshot(self, entry: int, pieces: Iterable[bytes]) -> None:
        if self.is_full:
            raise StoreError("the disk is full")
        super().keep_snapshot(entry, self._slowly(pieces))

    def _slowly(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.begun.set()
            self.go_on.wait(60)
            yield piece


def test_commits_go_on_while_a_snapshot_is_written() -> None:
    device, store = Device(), SlowStore()
    snapshots = Snapshots(store)
    spine = Spine(store, ManualClock(NOON_MS), snapshot_every_entries=2, keep=snapshots.keep)
    spine.commit(drafts.amend, book_document(device))
    for minute in range(8):
        reading = device.measure(NOON_MS + minute * MINUTE_MS, *position(AT_SEA), temperature(5_000))
        spine.take([device.arrival([reading])])
    assert store.begun.wait(60)
    assert (spine.state.entry, list(store.snapshots())) == (9, [])
    store.go_on.set()
    assert snapshots._thread is not None
    snapshots._thread.join(60)
    ((entry, body),) = store.snapshots()
    assert entry == 2, "those due meanwhile were passed over"
    assert body == canonical.encode(json.loads(body)), "bit by bit is canonical too"
    assert state_module.to_bytes(recover(store)) == state_module.to_bytes(spine.state)


def test_the_end_of_the_program_gives_up_what_is_being_written() -> None:
    store = SlowStore()
    snapshots = Snapshots(store)
    snapshots.keep(state_module.first(store.journal))
    assert store.begun.wait(60)
    snapshots._ending.set()
    store.go_on.set()
    snapshots.close()
    assert list(store.snapshots()) == []


def test_a_disk_that_keeps_no_snapshot_is_told_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    store = SlowStore()
    store.is_full = True
    snapshots = Snapshots(store)
    snapshots.keep(state_module.first(store.journal))
    snapshots.close()
    assert "no snapshot of entry 0 can be kept: the disk is full" in caplog.text
