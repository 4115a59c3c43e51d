"""The stream of changes: what is committed is told at once to who may see it, is taken up where it was cut off without
loss or repeat, and ends with the key, the client and the service."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from api_cloud import assert_problem, shown
from keeping import LINE
from receipting import BANK, FIRST, OTHER_BANK
from seeing import OTHER_LINE, USERS, Seeing
from streaming import Served, Told, messages, told_until_quiet
from warehouses import BOX

from pledgewatch_cloud.api import live, streams
from pledgewatch_cloud.api.access import Service
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.stretches import NEVER


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Seeing]:
    made = Seeing(tmp_path)
    yield made
    made.close()


@pytest.fixture
def served(seeing: Seeing, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.2)
    with Served(seeing.client.app) as one:
        yield one
        one.server.should_exit = True
        service_of(seeing).streams.end()


def service_of(seeing: Seeing) -> Service:
    """The service behind the API."""
    found: Service = seeing.client.app.state.service
    return found


class Reader:
    """A client of the stream."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        self._messages = messages(answer.iter_lines())
        self.begins = next(self._messages).id

    def until(self, entry: int) -> list[Told]:
        """The events that are told until the stream stands at an entry, or has told one of it."""
        found = []
        for one in self._messages:
            if one.data:
                found.append(one)
            elif one.id and int(one.id.partition(".")[0]) >= entry:
                return found
        raise AssertionError("the stream has ended")

    def rest(self) -> list[Told]:
        """What is told until it ends, by itself."""
        return [one for one in self._messages if one.data]


@contextlib.contextmanager
def following(served: Served, user: str, **headers: str) -> Iterator[Reader]:
    """A stream that a user follows."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    with (
        httpx2.Client(base_url=served.url, timeout=10) as client,
        client.stream("GET", "/live", headers=shown(USERS[user].key) | more) as answer,
    ):
        yield Reader(answer)


def commit(served: Served, seeing: Seeing) -> int:
    """What was done since is committed and told; the last entry with events."""
    service = service_of(seeing)
    served.run(service.writer.tick(NEVER))
    return service.writer.newest.said_entry


def test_what_is_committed_is_told_to_who_sees_it_and_to_nobody_else(seeing: Seeing, served: Served) -> None:
    seeing.lend_on_sea(LINE)
    with following(served, "lender-one") as one, following(served, "lender-two") as two:
        begins = int(one.begins)
        assert begins == seeing.keeping.spine.state.entry
        seeing.read()
        seeing.pledge(FIRST, BANK)
        last = commit(served, seeing)
        told = one.until(last)
        wanted = seeing.get("lender-one", f"/events?after_entry={begins}")["events"]
        assert wanted
        assert [found.id for found in told] == [event["id"] for event in wanted]
        assert {found.event for found in told} >= {"receipt_changed", "base_recomputed"}
        assert two.until(last) == []


def test_a_pledge_that_ends_ends_what_is_told(seeing: Seeing, served: Served) -> None:
    seeing.pledge(FIRST, BANK)
    with following(served, "lender-one") as one:
        seeing.release(FIRST)
        released = one.until(commit(served, seeing))
        assert "receipt_changed" in {found.event for found in released}
        seeing.lend_on_sea(OTHER_LINE)
        seeing.pledge(FIRST, OTHER_BANK)
        seeing.read()
        told = one.until(commit(served, seeing))
        assert not [found for found in told if FIRST in found.data or BOX in found.data]


def test_a_stream_that_was_cut_anywhere_goes_on_without_loss_or_repeat(seeing: Seeing) -> None:
    seeing.lend_on_sea(LINE)
    seeing.pledge(FIRST, BANK)
    for _ in range(3):
        seeing.read()
    app, key = seeing.client.app, USERS["keeper-kim"].key
    whole = [one for one in told_until_quiet(app, key) if one.data]
    assert len({one.id for one in whole}) == len(whole) > 5
    assert any(not one.id.endswith(".0") for one in whole)  # an entry of several events can be cut within
    for at, one in enumerate(whole):
        rest = [other for other in told_until_quiet(app, key, last_event_id=one.id) if other.data]
        assert rest == whole[at + 1 :], one.id
    quiet = told_until_quiet(app, USERS["lender-none"].key)
    assert {one.id for one in quiet if not one.data} >= {str(seeing.keeping.spine.state.entry)}


def test_events_that_are_many_come_whole(seeing: Seeing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_PAGE", 1)
    seeing.lend_on_sea(LINE)
    told = [one.id for one in told_until_quiet(seeing.client.app, USERS["keeper-kim"].key) if one.data]
    assert told == [one.id for one in seeing.store.events(0, 100_000)]


def test_a_key_that_ends_ends_the_stream(seeing: Seeing, served: Served) -> None:
    with following(served, "lender-one") as one:
        seeing.keeping.amend(users=[{**USERS["lender-one"].user, "keys": []}])
        seeing.pledge(FIRST, BANK)
        commit(served, seeing)
        assert one.rest() == []
    with httpx2.Client(base_url=served.url, timeout=60) as client:
        assert_problem(client.get("/live", headers=shown(USERS["lender-one"].key)), 401)


def test_the_service_ends_its_streams_when_it_stops(seeing: Seeing, served: Served) -> None:
    with following(served, "lender-one") as one:
        began_s = time.monotonic()
        service = service_of(seeing)

        async def stop() -> None:
            service.streams.end()

        served.run(stop())
        assert one.rest() == []
        assert time.monotonic() - began_s < 2
        served.server.should_exit = True
    with pytest.raises(Exception, match="no place"):
        service.streams.take("somebody", "bank")


def test_a_client_that_goes_leaves_its_place(seeing: Seeing, served: Served) -> None:
    places = service_of(seeing).streams
    with following(served, "lender-one") as one, following(served, "lender-two") as two:
        assert len(places) == 2
        assert one.begins == two.begins
    began_s = time.monotonic()
    while len(places):
        assert time.monotonic() - began_s < 5
        time.sleep(0.01)


def test_streams_are_bounded_of_one_and_of_all(seeing: Seeing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAMS_MAX", 4)
    monkeypatch.setattr(streams, "OF_PARTY_MAX", 3)
    monkeypatch.setattr(streams, "OF_ONE_MAX", 2)
    places = service_of(seeing).streams

    def ask(user: str) -> Any:
        return seeing.client.get("/live", headers=shown(USERS[user].key))

    places.take("lender-one", BANK)
    places.take("lender-one", BANK)
    answer = ask("lender-one")
    assert_problem(answer, 429)
    assert answer.headers["retry-after"]
    places.take("a colleague", BANK)
    places.leave("lender-one", BANK)
    places.take("another", BANK)
    assert f"3 streams of {BANK}" in assert_problem(ask("lender-one"), 429)["detail"]
    places.take("lender-two", OTHER_BANK)
    assert_problem(ask("lender-two"), 503)
    places.leave("lender-two", OTHER_BANK)
    assert len(places) == 3


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [({"last-event-id": "x"}, "", 422), ({"last-event-id": "999999"}, "", 409), ({}, "?after_entry=-1", 422)],
)
def test_a_place_that_is_none_is_refused(seeing: Seeing, headers: dict[str, str], query: str, status: int) -> None:
    assert_problem(seeing.client.get(f"/live{query}", headers=headers), status)


def test_a_stream_is_noted_as_it_is_begun(seeing: Seeing) -> None:
    noted: list[tuple[Viewer, str, str, int]] = []
    service_of(seeing).audit.note = lambda *row: noted.append(row)  # type: ignore[method-assign]
    seeing.pledge(FIRST, BANK)
    told_until_quiet(seeing.client.app, USERS["lender-one"].key)
    assert [(viewer.role, method, path, status) for viewer, method, path, status in noted] == [
        (Role.LENDER, "GET", "/live", 200)
    ]
