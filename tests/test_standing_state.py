"""Of which state answers are: the newest, or for a moment one that only readings that lead to nothing have followed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api_cloud import ApiCloud
from builders import IN_LOS_ANGELES, MINUTE_MS, position, temperature

from pledgewatch_cloud.access import view as view_module
from pledgewatch_cloud.access.identify import ANYBODY
from pledgewatch_cloud.access.view import Views
from pledgewatch_cloud.config import ApiSettings
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.ingest.decode import DeviceStatus
from pledgewatch_wire.codec import Status

STANDS_S = 0.5


class HandSet:
    """What views take for time.monotonic."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        """The moment it was set to."""
        return self.now_s


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> HandSet:
    found = HandSet()
    monkeypatch.setattr(view_module, "time", found)
    return found


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path, state_stands_s=STANDS_S)
    made.sail_into_port()
    made.clock.at_ms += 22 * MINUTE_MS
    made.measure(20, temperature(9_100), signed=True)
    made.spine.tick()
    yield made
    made.close()


def views_of(cloud: ApiCloud, stands_s: float = STANDS_S) -> Callable[[], int]:
    """The entry whose state somebody is answered from."""
    views = Views(cloud.store, cloud.writer, cloud.series, cloud.clock, state_stands_s=stands_s)
    return lambda: views.of(ANYBODY).state.entry


def calm(cloud: ApiCloud, minute: int) -> int:
    """A reading that leads to nothing; the entry that took it."""
    said_entry = cloud.spine.newest.said_entry
    cloud.measure(minute, temperature(9_100))
    assert cloud.spine.newest.said_entry == said_entry
    return cloud.spine.state.entry


def test_while_readings_lead_to_nothing_a_state_stands_as_long_as_it_may(cloud: ApiCloud, time: HandSet) -> None:
    entry_of = views_of(cloud)
    first = entry_of()
    for minute in (21, 22):
        calm(cloud, minute)
        assert entry_of() == first < cloud.spine.state.entry
    time.now_s += STANDS_S
    assert entry_of() == cloud.spine.state.entry


def test_a_state_that_nothing_has_followed_stands_longer_and_no_newer_one_waits_for_that(
    cloud: ApiCloud, time: HandSet
) -> None:
    entry_of = views_of(cloud)
    first = entry_of()
    time.now_s += 60
    assert entry_of() == first
    assert calm(cloud, 21) == entry_of()


def test_what_leads_to_events_is_seen_at_once(cloud: ApiCloud, time: HandSet) -> None:
    entry_of = views_of(cloud)
    assert entry_of() < calm(cloud, 21)
    cloud.measure(22, temperature(1_000))
    cloud.measure(40, temperature(1_000))
    assert cloud.spine.newest.said_entry == cloud.spine.state.entry, "else it would show nothing"
    assert entry_of() == cloud.spine.state.entry


def test_time_that_passes_is_seen_at_once(cloud: ApiCloud, time: HandSet) -> None:
    entry_of = views_of(cloud)
    assert entry_of() < calm(cloud, 21)
    assert not cloud.spine.tick().events
    assert entry_of() == cloud.spine.state.entry


def test_what_somebody_writes_is_seen_at_once_also_where_it_leads_to_nothing(cloud: ApiCloud, time: HandSet) -> None:
    entry_of = views_of(cloud)
    assert entry_of() < calm(cloud, 21)
    assert cloud.spine.commit(drafts.note_asked, [[cloud.clock.at_ms, "kim", "GET", "/lots", 200, 1]]) is not None
    assert entry_of() == cloud.spine.state.entry


def test_a_start_begins_with_all_that_the_journal_has(cloud: ApiCloud, time: HandSet) -> None:
    calm(cloud, 21)
    assert views_of(cloud)() == cloud.spine.state.entry == cloud.spine.newest.changed_entry + 1


def test_where_none_is_to_stand_none_does(cloud: ApiCloud, time: HandSet) -> None:
    entry_of = views_of(cloud, 0)
    first = entry_of()
    assert first < calm(cloud, 21) == entry_of()


def test_the_api_answers_from_the_state_that_stands(cloud: ApiCloud, time: HandSet) -> None:
    first = cloud.get("/assets")
    latitude_e7, longitude_e7 = IN_LOS_ANGELES
    cloud.measure(21, *position((latitude_e7 + 10_000, longitude_e7)))
    assert cloud.get("/assets") == first
    time.now_s += STANDS_S
    (seen,) = cloud.get("/assets")["features"]
    assert seen["geometry"]["coordinates"][1] == (latitude_e7 + 10_000) / 10**7


def test_what_a_device_says_of_itself_is_told_beside_the_newest_readings_alone(cloud: ApiCloud, time: HandSet) -> None:
    """Beside those of a state that stands, what has come since would be lost."""
    metrics = cloud.client.app.state.service.metrics
    (device,) = cloud.get("/devices")
    for minute in (21, 22, 23):
        calm(cloud, minute)
    (known,) = cloud.spine.state.devices.values()
    status = Status(online=True, epoch=1, head_sequence=known.marks.total, spooled_readings=0, agent_version="1.2")
    metrics.note(metrics.hear([DeviceStatus("line", device["device"], status)]))
    (found,) = cloud.get("/devices")
    assert found["completeness"]["words"] == f"received {known.marks.total} of {known.marks.total}, thinned 0, lost 0"


def test_what_is_seen_of_a_state_is_worked_out_once_for_each_who_asks(cloud: ApiCloud, time: HandSet) -> None:
    views = Views(cloud.store, cloud.writer, cloud.series, cloud.clock, state_stands_s=STANDS_S)
    first = views.of(ANYBODY).state
    calm(cloud, 21)
    assert views.of(ANYBODY).state is first


@pytest.mark.parametrize("stands_s", [-0.1, 10.5, float("nan")])
def test_a_state_stands_for_moments_only(stands_s: float) -> None:
    with pytest.raises(ValueError, match="it must be 0 to 10"):
        ApiSettings(state_stands_s=stands_s)


def test_the_map_is_a_second_behind_at_most(cloud: ApiCloud, time: HandSet) -> None:
    def latitude() -> float:
        (seen,) = cloud.get("/clusters")["features"]
        return float(seen["geometry"]["coordinates"][1])

    cloud.get("/assets")  # a state begins to stand
    latitude_e7, longitude_e7 = IN_LOS_ANGELES
    cloud.measure(21, *position((latitude_e7 + 10_000, longitude_e7)))
    time.now_s += STANDS_S - 0.01
    before = latitude()  # of the state of before
    time.now_s += 0.52
    assert latitude() != before


def test_what_was_seen_by_who_is_not_kept_any_more_is_let_go(
    cloud: ApiCloud, time: HandSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = Views(cloud.store, cloud.writer, cloud.series, cloud.clock, state_stands_s=STANDS_S)

    def ask(name: str) -> tuple[int, int]:
        """How many sights there are, and how many that are held of the state."""
        views.of(Viewer(name, "", Role.KEEPER)).state  # noqa: B018
        assert views._standing is not None
        return len(views._seeing), len(views._standing.seen)

    assert [ask(name) for name in "aab"] == [(1, 1), (1, 1), (2, 2)]
    time.now_s += view_module.IDLE_S - 1
    assert ask("b") == (2, 2)
    time.now_s += 2
    assert ask("b") == (1, 1), "nobody has asked for the other in a minute"
    monkeypatch.setattr(view_module, "SIGHTS_MAX", 3)
    assert [ask(name) for name in "cdef"] == [(2, 2), (3, 3), (3, 3), (3, 3)]
    monkeypatch.setattr(view_module, "SEEN_MAX", 2)  # the book has one asset
    assert [ask(name) for name in "gh"] == [(2, 2), (2, 2)]
    monkeypatch.setattr(view_module, "SEEN_MAX", 0)
    assert ask("i") == (1, 1), "who asks is answered all the same"
