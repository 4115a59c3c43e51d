"""Bases of other moments are found one at a time, beside reads that are short: who asks for the same one shares it, who
comes when too many wait is told to come again, and what nobody waits for any more is given up. The base as it stands
folds nothing."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2
import pytest
from api_cloud import assert_problem, shown
from asking import http_scope
from builders import MINUTE_MS
from keeping import LINE
from receipting import BANK, DEPOSITOR, FIRST, OTHER_BANK
from seeing import USERS, Seeing

from pledgewatch_cloud.api.access import Service
from pledgewatch_cloud.api.refolds import OF_ONE_MAX, OF_PARTY_MAX, REFOLDS_MAX
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.spine import base_at as base_at_module
from pledgewatch_cloud.spine.spine import recover

BASE = f"/facilities/{LINE}/base"
THREAD = "refold"


class Folding:
    """The folding of journals, which goes on when the test says so."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.began = threading.Semaphore(0)
        self.moments: list[int] = []
        self.threads: set[str] = set()
        self.under_way = self.most_at_once = self.given_up = 0

    def recover(self, store: Store, until_ms: int, still: Callable[[], None]) -> State:
        """In the place of the spine's."""
        self.moments.append(until_ms)
        self.threads.add(threading.current_thread().name.partition("_")[0])
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        self.began.release()
        try:
            while not self.go_on.wait(0.01):
                still()
            return recover(store, until_ms, still)
        except Exception:
            self.given_up += 1
            raise
        finally:
            self.under_way -= 1


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Seeing]:
    made = Seeing(tmp_path)
    made.lend_on_sea(LINE)
    made.pledge(FIRST, BANK)
    for _ in range(10):
        made.read()
    yield made
    service_of(made).refolds.end()
    service_of(made).refolds.close()
    made.close()


@pytest.fixture
def folding() -> Iterator[Folding]:
    made = Folding()
    with mock.patch.object(base_at_module, "recover", made.recover):
        yield made
        made.go_on.set()


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64, "asks") as made:
        yield made


def service_of(seeing: Seeing) -> Service:
    found: Service = seeing.client.app.state.service
    return found


def then(seeing: Seeing, minutes: int) -> str:
    """The base as it was known some minutes ago."""
    return f"{BASE}?known_at={iso(seeing.keeping.spine.state.recorded_at_ms - minutes * MINUTE_MS)}"


Ask = Callable[[str, str], "Future[httpx2.Response]"]


@pytest.fixture
def ask(seeing: Seeing, folding: Folding, crowd: ThreadPoolExecutor) -> Iterator[Ask]:
    """Asks as a user, and waits for nothing; at the end everybody is answered."""

    def asked(user: str, path: str) -> "Future[httpx2.Response]":
        return crowd.submit(seeing.client.get, path, headers=shown(USERS[user].key))

    yield asked
    folding.go_on.set()


def waits(seeing: Seeing, many: int) -> None:
    """Until so many requests wait for a base of another moment."""
    until_s = time.monotonic() + 60
    while service_of(seeing).refolds.waiting != many:
        assert time.monotonic() < until_s
        time.sleep(0.005)


def test_the_base_as_it_stands_folds_nothing(seeing: Seeing) -> None:
    with mock.patch.object(base_at_module, "recover", side_effect=AssertionError("folded")):
        for user in ("keeper-kim", "lender-one", "borrower-one"):
            assert seeing.get(user, BASE)["entry"] == seeing.keeping.spine.state.entry
        assert [seeing.get(user, BASE) for user in ("lender-two", "insurer-one")] == [404, 422]


def test_who_asks_for_the_same_base_shares_it_and_each_sees_their_own(
    seeing: Seeing, folding: Folding, ask: Ask
) -> None:
    found = [ask(user, then(seeing, 3)) for user in ("keeper-kim", "lender-one", "borrower-one", "lender-one")]
    waits(seeing, 4)
    assert len(service_of(seeing).refolds) == 1
    folding.go_on.set()
    answers = [one.result(60) for one in found]
    assert [one.status_code for one in answers] == [200] * 4
    assert len(folding.moments) == 1
    assert len({str(one.json()["base"]) for one in answers}) == 1
    assert answers[0].json()["lines"] != answers[1].json()["lines"] == answers[3].json()["lines"]
    assert len(service_of(seeing).refolds) == service_of(seeing).refolds.waiting == 0


def test_one_is_folded_at_a_time_and_short_reads_wait_for_none(seeing: Seeing, folding: Folding, ask: Ask) -> None:
    some = [("keeper-kim", 1), ("keeper-kim", 2), ("lender-one", 3), ("lender-one", 4), ("borrower-one", 5)]
    found = [ask(user, then(seeing, minutes)) for user, minutes in some]
    waits(seeing, len(some))
    short = [ask("keeper-kim", path) for path in (BASE, "/clusters", f"/facilities/{LINE}/lines") for _ in range(5)]
    assert {one.result(60).status_code for one in short} == {200}
    assert not any(one.done() for one in found)
    folding.go_on.set()
    assert [one.result(60).status_code for one in found] == [200] * len(some)
    assert (len(folding.moments), folding.most_at_once, folding.threads) == (len(some), 1, {THREAD})


def test_too_many_that_wait_are_told_when_to_come_again(seeing: Seeing, folding: Folding, ask: Ask) -> None:
    every = [user for user in ("keeper-kim", "lender-one", "borrower-one") for _ in range(OF_ONE_MAX)][:REFOLDS_MAX]
    found = [ask(user, then(seeing, minutes)) for minutes, user in enumerate(every)]
    waits(seeing, REFOLDS_MAX)
    full, own = ask("borrower-one", then(seeing, 9)).result(60), ask("keeper-kim", then(seeing, 9)).result(60)
    assert "no place" in assert_problem(full, 503)["detail"]
    assert f"{OF_ONE_MAX} requests of yours" in assert_problem(own, 429)["detail"]
    assert {full.headers["retry-after"], own.headers["retry-after"]} == {"5"}
    shared = ask("borrower-one", then(seeing, 0))
    folding.go_on.set()
    assert {one.result(60).status_code for one in [*found, shared]} == {200}
    assert ask("borrower-one", then(seeing, 9)).result(60).status_code == 200


def test_one_party_does_not_have_all_places(seeing: Seeing, folding: Folding, ask: Ask) -> None:
    (key,) = USERS["lender-two"].user["keys"]
    seeing.keeping.amend(users=[{**USERS["lender-two"].user, "party": BANK, "keys": [key]}])
    found = [ask("lender-one", then(seeing, minutes)) for minutes in range(OF_ONE_MAX)]
    found += [ask("lender-two", then(seeing, minutes)) for minutes in range(OF_ONE_MAX, OF_PARTY_MAX)]
    waits(seeing, OF_PARTY_MAX)
    assert f"found for {BANK}" in assert_problem(ask("lender-two", then(seeing, 9)).result(60), 429)["detail"]
    found += [ask("lender-two", then(seeing, 0)), ask("borrower-one", then(seeing, 8))]
    waits(seeing, len(found))
    folding.go_on.set()
    assert {one.result(60).status_code for one in found} == {200}
    assert ask("lender-two", then(seeing, 9)).result(60).status_code == 200


def test_what_cannot_be_had_waits_for_nothing(seeing: Seeing, folding: Folding, ask: Ask) -> None:
    held = [ask("keeper-kim", then(seeing, minutes)) for minutes in range(OF_ONE_MAX)]
    waits(seeing, OF_ONE_MAX)
    early, late = then(seeing, 9), then(seeing, 1).replace("?known_at", "&as_of")[len(BASE) :]
    assert "nobody knew then" in assert_problem(ask("keeper-kim", early + late).result(60), 422)["detail"]
    assert_problem(ask("keeper-kim", f"{BASE}?as_of=noon").result(60), 422)
    assert_problem(ask("lender-two", early).result(60), 404)
    folding.go_on.set()
    assert {one.result(60).status_code for one in held} == {200}


def asked_until(seeing: Seeing, user: str, path: str, leaves: asyncio.Event, statuses: list[int]) -> Any:
    """A request of who goes away when `leaves` is set; what it is answered by then goes to `statuses`."""
    heard = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in heard:
            return message
        await leaves.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    return seeing.client.app(http_scope("GET", path, shown(USERS[user].key)), receive, send)


def test_what_nobody_waits_for_any_more_is_given_up(seeing: Seeing, folding: Folding) -> None:
    left, stays = list[int](), list[int]()

    async def go_away() -> None:
        leaves, never = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            shared = [
                group.create_task(asked_until(seeing, "keeper-kim", then(seeing, 1), event, statuses))
                for event, statuses in ((leaves, left), (never, stays))
            ]
            alone = group.create_task(asked_until(seeing, "lender-one", then(seeing, 2), leaves, left))
            await asyncio.to_thread(waits, seeing, 3)
            leaves.set()
            await asyncio.gather(shared[0], alone)
            assert (len(service_of(seeing).refolds), folding.given_up) == (1, 0), "one waits still for the first"
            folding.go_on.set()
        assert (stays, len(folding.moments)) == ([200], 1), "the second was never begun"
        folding.go_on.clear()
        leaves.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(asked_until(seeing, "lender-one", then(seeing, 3), leaves, left))
            await asyncio.to_thread(waits, seeing, 1)
            while len(folding.moments) < 2:
                await asyncio.sleep(0.005)
            leaves.set()

    asyncio.run(go_away())
    until_s = time.monotonic() + 60
    while not folding.given_up or folding.under_way or len(service_of(seeing).refolds):
        assert time.monotonic() < until_s, (folding.given_up, folding.under_way, len(service_of(seeing).refolds))
        time.sleep(0.005)


def test_what_was_found_is_told_to_who_asks_as_they_are_by_then(seeing: Seeing, folding: Folding, ask: Ask) -> None:
    found = [ask(user, then(seeing, 3)) for user in ("lender-one", "borrower-one", "keeper-kim")]
    waits(seeing, 3)
    seeing.keeping.amend(users=[{**USERS["lender-one"].user, "keys": []}])
    seeing.keeping.amend(users=[{**USERS["borrower-one"].user, "party": OTHER_BANK}])
    folding.go_on.set()
    revoked, moved, keeper = [one.result(60) for one in found]
    assert "nobody is known by this key" in assert_problem(revoked, 401)["detail"]
    assert "has changed" in assert_problem(moved, 403)["detail"]
    assert keeper.status_code == 200


def test_what_was_found_is_told_as_long_as_its_records_are_kept(seeing: Seeing, folding: Folding, ask: Ask) -> None:
    found = [ask("lender-one", then(seeing, 3)) for _ in range(2)]
    waits(seeing, 2)
    goes = {"id": LINE, "lender": OTHER_BANK, "borrower": DEPOSITOR, "currency": "USD", "retention_days": 30}
    seeing.tick()
    seeing.keeping.amend(facilities=[goes])
    seeing.tick(31 * 24 * 60)
    seeing.keeping.tick()
    folding.go_on.set()
    assert [assert_problem(one.result(60), 404)["detail"] for one in found] == [f"there is no facility '{LINE}'"] * 2


def test_a_service_that_ends_gives_them_up(seeing: Seeing, folding: Folding, ask: Ask) -> None:
    found = [ask("keeper-kim", then(seeing, minutes)) for minutes in (1, 2)]
    waits(seeing, 2)
    service_of(seeing).refolds.end()
    for one in (*found, ask("keeper-kim", then(seeing, 3))):
        assert_problem(one.result(60), 503)
    service_of(seeing).refolds.close()
    assert (folding.under_way, len(service_of(seeing).refolds)) == (0, 0)


def test_a_fold_that_is_given_up_ends_before_its_next_entry(seeing: Seeing) -> None:
    looked = 0

    def still() -> None:
        nonlocal looked
        looked += 1
        if looked == 5:
            raise TimeoutError

    with contextlib.suppress(TimeoutError):
        base_at_module.base_at(seeing.store, LINE, still=still)
    assert looked == 5
