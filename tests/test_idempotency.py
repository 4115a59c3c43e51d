"""A write that is said twice with a key is done once, by the same viewer, at the same path, with the same body."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from api_cloud import assert_problem, client_over, shown
from builders import NOON_MS
from keeping import LINE
from receipting import BANK, DEPOSITOR, FIRST, OTHER_BANK
from seeing import OTHER_LINE, USERS, Seeing

from pledgewatch_cloud.api import examples, idempotency
from pledgewatch_cloud.api.access import Service
from pledgewatch_cloud.api.app import create_app
from pledgewatch_cloud.decide.moments import iso

KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'
PATH = f"/facilities/{LINE}/movements"


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Seeing]:
    made = Seeing(tmp_path)
    yield made
    made.close()


def moved(name: str) -> dict[str, Any]:
    """A drawdown as a body."""
    return {"movements": [{"id": name, "kind": "drawdown", "at": iso(NOON_MS), "amount_minor": 5}]}


def post(
    seeing: Seeing, body: object, *, user: str = "lender-one", path: str = PATH, key: str = KEY
) -> httpx2.Response:
    """What a user is answered to a write with a key."""
    headers = shown(USERS[user].key) | ({"idempotency-key": key} if key else {})
    return seeing.client.post(path, json=body, headers=headers)


def test_the_first_answer_is_given_again_and_nothing_is_done_again(seeing: Seeing) -> None:
    first = post(seeing, moved("m1"))
    assert first.json() == {"entry": seeing.keeping.spine.state.entry, "changed": True}
    assert "idempotency-replayed" not in first.headers
    for key in (KEY, KEY.strip('"')):
        again = post(seeing, moved("m1"), key=key)
        assert (again.status_code, again.json()) == (200, first.json())
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["x-content-type-options"] == "nosniff"
    assert seeing.keeping.spine.state.entry == first.json()["entry"]
    assert post(seeing, moved("m1"), key="").json() == {"entry": None, "changed": False}


def test_a_key_with_something_else_is_refused(seeing: Seeing) -> None:
    assert post(seeing, moved("m1")).status_code == 200
    entry = seeing.keeping.spine.state.entry
    assert "another body" in assert_problem(post(seeing, moved("m2")), 422)["detail"]
    assert seeing.keeping.spine.state.entry == entry
    assert post(seeing, moved("m2"), key='"another"').json()["changed"]


def test_a_key_is_of_its_viewer_and_path(seeing: Seeing) -> None:
    assert post(seeing, moved("m1")).json()["changed"]
    assert_problem(post(seeing, moved("m1"), user="lender-two"), 404)
    other = f"/facilities/{OTHER_LINE}/movements"
    assert post(seeing, moved("m2"), user="lender-two", path=other).json()["changed"]
    assert post(seeing, moved("m1"), user="keeper-kim").json() == {"entry": None, "changed": False}


def test_an_answer_is_not_given_again_to_who_may_do_less_now(seeing: Seeing) -> None:
    assert post(seeing, moved("m1")).json()["changed"]
    (key,) = USERS["lender-one"].user["keys"]
    seeing.keeping.amend(users=[{**USERS["lender-one"].user, "keys": [{**key, "scope": "read"}]}])
    assert_problem(post(seeing, moved("m1")), 403)
    seeing.keeping.amend(users=[{**USERS["lender-one"].user, "keys": []}])
    assert_problem(post(seeing, moved("m1")), 401)


def test_what_is_refused_leaves_the_key_free(seeing: Seeing) -> None:
    seeing.pledge(FIRST, BANK)
    assert_problem(post(seeing, {"movements": [{"id": "m1"}]}), 422)
    assert post(seeing, moved("m1")).json()["changed"]


@pytest.mark.parametrize("key", ['""', '"a', "a b", "\u00e9", "x" * 256])
def test_a_key_that_is_none_is_refused(seeing: Seeing, key: str) -> None:
    raw = [(b"authorization", f"Bearer {USERS['lender-one'].key}".encode()), (b"idempotency-key", key.encode("latin1"))]
    assert_problem(seeing.client.post(PATH, json=moved("m1"), headers=raw), 400)


def test_what_stress_shows_is_told_as_it_is_seen_then(seeing: Seeing) -> None:
    assert post(seeing, examples.SHOCKS, path="/stress").json()["stressed"] != []
    goes = {"id": LINE, "lender": OTHER_BANK, "borrower": DEPOSITOR, "currency": "USD", "retention_days": 30}
    seeing.keeping.amend(facilities=[goes])
    again = post(seeing, examples.SHOCKS, path="/stress")
    assert (again.json()["stressed"], "idempotency-replayed" in again.headers) == ([], False)


def test_an_answer_that_is_given_again_is_noted_and_counted(seeing: Seeing) -> None:
    service: Service = seeing.client.app.state.service
    noted: list[object] = []
    service.audit.note = lambda *row: noted.append(row[2:])  # type: ignore[method-assign]
    post(seeing, moved("m1"))
    post(seeing, moved("m1"))
    assert noted == [(PATH, 200)] * 2
    others = {"clock": seeing.keeping.clock, "token": "not-a-secret", "requests_per_minute": 2}
    client = client_over(seeing.store, seeing.writer, seeing.series, **others)
    headers = {"idempotency-key": KEY}
    assert [client.post(PATH, json=moved("m3"), headers=headers).status_code for _ in range(3)] == [200, 200, 429]


def test_a_second_while_the_first_is_under_way_is_told_so(seeing: Seeing) -> None:
    service: Service = seeing.client.app.state.service

    async def both() -> tuple[int, int, str]:
        is_under_way, may_go, commit = asyncio.Event(), asyncio.Event(), service.writer.commit_where

        async def slow(*asked: Any, **more: Any) -> Any:
            is_under_way.set()
            await may_go.wait()
            return await commit(*asked, **more)

        service.writer.commit_where = slow  # type: ignore[method-assign]
        transport = httpx2.ASGITransport(create_app(service))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = shown(USERS["lender-one"].key) | {"idempotency-key": KEY}
            first = asyncio.create_task(client.post(PATH, json=moved("m1"), headers=headers))
            await is_under_way.wait()
            second = await client.post(PATH, json=moved("m1"), headers=headers)
            may_go.set()
            return (await first).status_code, second.status_code, second.headers["retry-after"]

    assert asyncio.run(both()) == (200, 409, "1")


def test_what_is_kept_is_bounded_in_time_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "KEPT_MAX", 2)
    now_s = [0.0]
    answers = idempotency.Answers(lambda: now_s[0])

    def name(key: str) -> Any:
        return idempotency._Name(("viewer",), "/path", key)  # type: ignore[arg-type]

    def write(key: str, length: int = 2) -> None:
        assert answers.begin(name(key), b"of") is None
        start = {"type": "http.response.start", "status": 200, "headers": []}
        answers.end(name(key), [start, {"type": "http.response.body", "body": b"x" * length}])

    for key in ("a", "b", "c"):
        write(key)
    assert answers.begin(name("c"), b"of") is not None
    write("a")  # it was let go of
    write("long", idempotency.ANSWER_MAX + 1)
    write("long", idempotency.ANSWER_MAX + 1)
    now_s[0] = idempotency.KEPT_S + 1
    write("c")
    monkeypatch.setattr(idempotency, "KEPT_BYTES_MAX", 3)
    write("d")
    write("c")  # both have no room


def test_a_write_that_was_cut_off_leaves_the_key_free() -> None:
    answers = idempotency.Answers(lambda: 0.0)
    name: Any = ("viewer", "/path", "key")
    assert answers.begin(name, b"of") is None
    answers.end(name, [])
    assert answers.begin(name, b"of") is None
    start = {"type": "http.response.start", "status": 200, "headers": []}
    answers.end(name, [start, {"type": "http.response.body", "body": b"x", "more_body": True}])
    assert answers.begin(name, b"of") is None
