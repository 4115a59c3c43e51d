"""Writes of who may no longer write: their right ends while the body comes, or while others commit before them. Nothing
of it is in the journal then, and what is read by a body is told by what its reader may see once it has come."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from api_cloud import shown
from asking import http_scope
from builders import MINUTE_MS, NOON_MS
from inviting import Inviting
from keeping import LINE
from receipting import BANK, DEPOSITOR, FIRST, OTHER_BANK
from seeing import OPERATOR, USERS
from warehouses import BOX, TRACKER, ZONE

from pledgewatch_cloud.api import examples
from pledgewatch_cloud.api.paths import UNKEPT
from pledgewatch_cloud.decide.moments import iso

HOUR_MS = 60 * MINUTE_MS


class Write(NamedTuple):
    """What a user posts."""

    user: str
    path: str
    document: dict[str, Any]


def moved(name: str = "m1") -> dict[str, Any]:
    return {"movements": [{"id": name, "kind": "drawdown", "at": iso(NOON_MS), "amount_minor": 123_456}]}


MOVE = Write("lender-one", f"/facilities/{LINE}/movements", moved())
SETTINGS = Write("operator-one", f"/devices/{TRACKER}/settings", {"toml": "# ours"})


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Inviting]:
    made = Inviting(tmp_path)
    made.lend_on_sea(LINE)
    made.pledge(FIRST, BANK)
    made.fall_silent()
    yield made
    made.close()


def every_write(seeing: Inviting) -> list[Write]:
    """What may be written by whom, as things stand."""
    alert = next(iter(seeing.keeping.spine.state.alerts.values())).id
    said = {"by": "night desk", "why": "as agreed by phone"}
    return [
        MOVE,
        SETTINGS,
        Write("operator-one", f"/devices/{TRACKER}/commands", {"what": "report_now"}),
        Write("operator-one", f"/devices/{ZONE}/revocation", {"why": "stolen"}),
        Write("operator-one", "/devices/invitations", {"device": "fresh", "asset": BOX}),
        Write("operator-one", f"/alerts/{alert}/acknowledgement", {"by": "night desk"}),
        Write("operator-one", f"/alerts/{alert}/comments", {"by": "night desk", "text": "on it"}),
        Write("operator-one", f"/alerts/{alert}/silence", {**said, "until": iso(seeing.keeping.clock.at_ms + HOUR_MS)}),
        Write("lender-one", "/milestones/loaded/waiver", said),
        Write("lender-one", "/milestones/loaded/booking", {**said, "release": "booked"}),
        Write("keeper-kim", "/book/amendments", {"parties": [{"id": "rogue", "name": "Rogue"}]}),
        Write("keeper-kim", "/market/quotes", {"rates": []}),
    ]


async def answered(seeing: Inviting, one: Write, meanwhile: Callable[[], object], *, waits: bool) -> tuple[int, Any]:
    """What a write is answered where something happens before the last of its body has come; or, where it `waits`, once
    it is all there and waits for another commit."""
    lock, body, come = seeing.writer._lock, json.dumps(one.document).encode(), asyncio.Event()
    headers = shown(USERS[one.user].key) | {"content-type": "application/json"}
    begun, sent = asyncio.Event(), list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        if not begun.is_set():
            begun.set()
            return {"type": "http.request", "body": body[:-1], "more_body": True}
        await come.wait()
        return {"type": "http.request", "body": body[-1:], "more_body": False}

    if waits:
        await lock.acquire()
        come.set()
    asking = asyncio.create_task(seeing.client.app(http_scope("POST", one.path, headers), receive, send))
    await begun.wait()
    while waits and not (lock._waiters or asking.done()):
        await asyncio.sleep(0.001)
    seeing.tick()
    meanwhile()
    if waits:
        lock.release()
    come.set()
    await asking
    return sent[0]["status"], json.loads(b"".join(one["body"] for one in sent[1:]))


def kinds(seeing: Inviting) -> list[str]:
    """What the journal has."""
    return [one.kind for one in seeing.store.entries(0)]


def take_out(seeing: Inviting, name: str) -> None:
    seeing.keeping.amend(users=[{**USERS[name].user, "keys": []}])


@pytest.mark.parametrize("waits", [False, True])
async def test_a_key_that_is_taken_out_before_the_entry_writes_nothing(seeing: Inviting, waits: bool) -> None:
    before = kinds(seeing)
    for one in every_write(seeing):
        status, told = await answered(seeing, one, lambda user=one.user: take_out(seeing, user), waits=waits)  # type: ignore[misc]
        assert (status, "nobody is known by this key" in told["detail"]) == (401, True), one
        seeing.keeping.amend(users=[USERS[one.user].user])
        assert kinds(seeing) == (before := [*before, "amendment", "amendment"]), f"{one.path} was written"


@pytest.mark.parametrize("waits", [False, True])
async def test_who_became_another_writes_nothing(seeing: Inviting, waits: bool) -> None:
    reads = [{**USERS["lender-one"].user["keys"][0], "scope": "read"}]
    for change in ({"keys": reads}, {"party": OTHER_BANK}, {"role": "borrower"}):
        changed = {**USERS["lender-one"].user, **change}
        status, told = await answered(seeing, MOVE, lambda to=changed: seeing.keeping.amend(users=[to]), waits=waits)  # type: ignore[misc]
        assert (status, "has changed while you asked" in told["detail"]) == (403, True), change
        seeing.keeping.amend(users=[USERS["lender-one"].user])
    assert "moved" not in kinds(seeing)


@pytest.mark.parametrize("waits", [False, True])
async def test_what_became_anothers_is_not_written_by_who_had_it(seeing: Inviting, waits: bool) -> None:
    goes = {"id": LINE, "lender": OTHER_BANK, "borrower": DEPOSITOR, "currency": "USD", "retention_days": 30}
    status, told = await answered(seeing, MOVE, lambda: seeing.keeping.amend(facilities=[goes]), waits=waits)
    assert (status, told["detail"]) == (404, f"there is no facility '{LINE}'")
    assert "moved" not in kinds(seeing)
    key = seeing.keeping.devices[TRACKER].public_key
    gone = {"device": TRACKER, "operator": OPERATOR, "asset": BOX, "public_key": key, "retired": 1}
    asked = Write("operator-one", "/devices/invitations", {"device": "fresh", "asset": BOX})
    status, told = await answered(seeing, asked, lambda: seeing.keeping.amend(installations=[gone]), waits=waits)
    assert (status, "that is not retired" in told["detail"]) == (403, True), told
    assert seeing.keeping.spine.state.identities.invitations == {}


async def test_a_key_that_is_taken_out_while_the_body_comes_is_told_nothing(seeing: Inviting) -> None:
    one = Write("lender-one", "/stress", examples.SHOCKS)
    status, told = await answered(seeing, one, lambda: take_out(seeing, "lender-one"), waits=False)
    assert (status, set(told)) == (401, {"type", "title", "status", "detail"})


async def test_what_is_kept_of_a_write_tells_what_it_became_and_nothing_of_what_is_seen(seeing: Inviting) -> None:
    for one in every_write(seeing):
        answer = seeing.post(one.user, one.path, **one.document)
        if answer.status_code < 300 and one.path not in UNKEPT:
            assert set(answer.json()) <= {"entry", "changed", "device", "id", "version"}, one.path


async def test_stress_is_told_by_what_is_seen_once_its_body_has_come(seeing: Inviting) -> None:
    one = Write("lender-one", "/stress", examples.SHOCKS)
    assert (await answered(seeing, one, lambda: None, waits=False))[1]["stressed"] != []
    goes = {"id": LINE, "lender": OTHER_BANK, "borrower": DEPOSITOR, "currency": "USD", "retention_days": 30}
    status, told = await answered(seeing, one, lambda: seeing.keeping.amend(facilities=[goes]), waits=False)
    assert (status, told["stressed"]) == (200, [])
