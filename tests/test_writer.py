"""The writer: one commit at a time, also where whoever waited for one does not wait any more."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from builders import MINUTE_MS, NOON_MS, Device, ManualClock, book_document, temperature

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_cloud.spine.writer import Writer


class SlowStore(MemoryStore):
    """A store that takes its time, and knows how many commits were under way at once."""

    def __init__(self) -> None:
        super().__init__("slow")
        self.under_way = self.at_once = 0

    def append(self, *arguments: Any, **named: Any) -> None:
        self.under_way += 1
        self.at_once = max(self.at_once, self.under_way)
        time.sleep(0.05)
        super().append(*arguments, **named)
        self.under_way -= 1


async def test_a_commit_that_nobody_waits_for_any_more_is_ended_before_the_next_begins() -> None:
    store = SlowStore()
    spine = Spine(store, ManualClock())
    told: list[int] = []
    writer = Writer(spine, lambda _: told.append(spine.state.entry))
    document = book_document(Device())
    left = asyncio.create_task(writer.commit(drafts.amend, document))
    await asyncio.sleep(0.01)
    left.cancel()
    left.cancel()
    parties = {"parties": [{"id": "onlooker", "name": "Example Onlooker"}]}
    next_one = asyncio.create_task(writer.commit(drafts.amend, parties))
    with pytest.raises(asyncio.CancelledError):
        await left
    assert await next_one is not None
    assert store.at_once == 1
    assert told == [1], "what follows from a commit does not depend on who waits for it; the second posts nothing"
    assert [entry.number for entry in store.entries()] == [1, 2]
    assert "onlooker" in spine.state.book.parties


async def test_whether_a_payment_may_be_made_is_said_of_what_is_committed() -> None:
    """What a commit has put out can be read before its state is known: whoever asks then waits for that."""
    store = SlowStore()
    spine = Spine(store, ManualClock())
    writer = Writer(spine, lambda _: None)
    committing = asyncio.create_task(writer.commit(drafts.amend, book_document(Device())))
    await asyncio.sleep(0.01)
    assert await writer.obstacle("loaded", "j.1.0") == "milestone loaded has released nothing"
    assert (store.under_way, spine.state.entry) == (0, 1)
    await committing


async def test_who_delivers_is_woken_by_what_changes_the_outbox_and_by_nothing_else() -> None:
    """Thousands of readings a second lead to nothing that is sent, and each look at the outbox is one at the disk."""
    device = Device()
    spine = Spine(MemoryStore("woken"), ManualClock(NOON_MS + 60 * MINUTE_MS))
    woken: list[tuple[int, Sequence[str]]] = []
    writer = Writer(spine, lambda withdrawn: woken.append((spine.state.entry, withdrawn)))
    await writer.commit(drafts.amend, book_document(device))
    for minute in range(3):
        await writer.take([device.arrival([device.measure(NOON_MS + minute * MINUTE_MS, temperature(5_000))])], [])
    assert (woken, spine.state.entry) == ([(1, ())], 4)
