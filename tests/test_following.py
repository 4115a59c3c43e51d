"""Who follows a journal comes to the writer's own state, whatever comes late, and stops where an entry is not what it
must be."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_cloud import ApiCloud
from builders import AT_SEA, IN_LOS_ANGELES, MINUTE_MS, NOON_MS, book_document, position, temperature
from seeing import NIGHT, Seeing
from warehouses import TRACKER, ZONE

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.journal.form import DamagedError
from pledgewatch_cloud.journal.spans import SpanTail
from pledgewatch_cloud.journal.sqlite import FILE_NAME, SqliteStore
from pledgewatch_cloud.spine.following import Following


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path)
    made.spine.commit(drafts.amend, book_document(made.device))
    yield made
    made.close()


def follow(folder: Path) -> Following:
    return Following(SqliteStore(folder, read_only=True))


def assert_same(following: Following, cloud: ApiCloud | Seeing) -> None:
    """The one has come to the state of the other."""
    spine = cloud.spine if isinstance(cloud, ApiCloud) else cloud.keeping.spine
    assert following.state.entry == spine.state.entry
    assert state_module.digest(following.state) == state_module.digest(spine.state)


def test_each_entry_is_taken_up_as_it_is_committed(tmp_path: Path) -> None:
    seeing, dice = Seeing(tmp_path), random.Random(5)
    following = follow(tmp_path)
    assert_same(following, seeing)
    for _ in range(60):
        dice.choice(
            (seeing.tick, lambda: seeing.read(TRACKER), lambda: seeing.read(ZONE), lambda: seeing.read(NIGHT))
        )()
        if dice.random() < 0.5:
            following.take_up()
            assert_same(following, seeing)
    seeing.close()


@pytest.mark.parametrize("entries", [3, SpanTail.BUCKETS + 40], ids=["index-in-memory", "index-on-disk"])
@pytest.mark.parametrize("begun_at", [0.0, 0.5, 1.0])
def test_what_comes_late_is_folded_with_what_it_comes_late_to(
    cloud: ApiCloud, tmp_path: Path, entries: int, begun_at: float
) -> None:
    """A breach that is told hours later is found in readings of entries that the follower saw, or did not see."""
    hot = [cloud.device.measure(NOON_MS + one * MINUTE_MS, temperature(9_000)) for one in (5, 30)]
    following = follow(tmp_path) if begun_at == 0 else None
    for turn in range(entries):
        cloud.clock.at_ms = NOON_MS + (61 + turn) * MINUTE_MS
        cloud.measure(60 + turn, *position(AT_SEA), temperature(5_000))
        if following is None and turn == round(begun_at * (entries - 1)):
            following = follow(tmp_path)
    assert following is not None
    following.take_up()
    cloud.clock.at_ms = NOON_MS + (entries + 91) * MINUTE_MS
    cloud.spine.take([cloud.device.arrival(hot)])
    cloud.measure(entries + 90, *position(IN_LOS_ANGELES), temperature(5_000))
    following.take_up()
    assert_same(following, cloud)
    kinds = {one.event.type for one in cloud.store.events(0, 1_000)}
    assert EventType.CONDITION_BREACHED in kinds, kinds
    assert following.said_entry == cloud.spine.said_entry


def test_an_entry_that_leads_to_something_else_is_not_taken_up(cloud: ApiCloud, tmp_path: Path) -> None:
    following = follow(tmp_path)
    cloud.measure(1, *position(AT_SEA))
    stood = following.state
    with sqlite3.connect(tmp_path / FILE_NAME) as other:
        other.execute("UPDATE entry SET outcome = x'00' WHERE number = ?", (cloud.spine.state.entry,))
    with pytest.raises(DamagedError, match="leads to other events"):
        following.take_up()
    assert following.state is stood
