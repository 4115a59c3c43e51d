"""Every list that the API says it has, one by one: it is in pages, in the one way, and the Python client's `each` goes
through all of it. The lists are found in the API's own description, so one that comes later is held to the same."""

import asyncio
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from api_cloud import assert_problem, shown
from builders import LOS_ANGELES, NOON_MS, fence
from hypothesis import given, settings
from hypothesis import strategies as st
from inviting import Inviting
from keeping import LINE, sofas
from receipting import BANK, FIRST, WAREHOUSE, stated
from seeing import OPERATOR, OTHER_LINE, SECOND, USERS, Seeing
from warehouses import BOX

from pledgewatch_cloud.api.paging import LIMIT_MAX, place
from pledgewatch_cloud.client import Client
from pledgewatch_cloud.journal.outbox import CORE, Begin, DeliveryRecord, Wanted
from pledgewatch_cloud.journal.store import Quarantined

KEEPER = "keeper-kim"
OF_STANDARDS = {"/dcsa/events": "limit", "/epcis/events": "perPage"}
"""Lists whose pages are as their standards say; by what they call the number of items."""
NO_LISTS = {"/assets/{asset}/series/{channel}": "a span of time, of which there are the newest points"}
"""What has a `limit` and is no list."""
QUERIES = {"/exposures/{by}": {"currency": "USD"}, "/warehouses/{warehouse}/cases": {"with_closed": "true"}}


class World(Inviting):
    """A journal with two of everything that is listed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        milestone = {"facility": LINE, "when": {"fact": "condition_kept"}, "release": {"amount_minor": 1}}
        self.keeping.amend(
            fences={"type": "FeatureCollection", "features": [fence("quay", LOS_ANGELES)]},
            parties=[{"id": one, "name": one} for one in ("yard-one", "yard-two")],
            milestones=[
                {"id": f"m/{one}", **milestone, "lot": "hall-lot", "payee": "yard-one"} for one in ("one", "two")
            ],
        )
        for name in (CORE, "desk"):
            self.store.declare(name, Wanted(), Begin.FIRST)
        for receipt in (FIRST, SECOND):
            self.pledge(receipt, BANK)
        self.release(SECOND)
        self.pledge(SECOND, BANK)
        self.lend_on_sea(OTHER_LINE)
        self.read()
        self.tick()
        chairs: dict[str, Any] = {"sku": "CHAIR-1"}
        self.keeping.row("received", 40, "B-01", **chairs)
        self.keeping.act(WAREHOUSE, "issue", f"{WAREHOUSE}:0003", **stated(sofas(40, "B-01", **chairs)))
        self.keeping.row("sold", 10, minute=self.minute)
        self.keeping.row("sold", 10, "B-01", minute=self.minute, **chairs)
        for one in ("gone", "lost"):
            self.keeping.cancel(one, self.minute)
        for seed, device in enumerate(("reefer-1", "reefer-2")):
            claimed = self.claim(self.invite(KEEPER, device, operator=OPERATOR, asset=BOX), seed=seed)
            assert claimed.status_code == HTTPStatus.CREATED
        self.tick()
        (first,) = self.store.due(CORE, self.keeping.clock.at_ms, limit=1)
        for attempt in (1, 2):
            self.store.delivered(first, DeliveryRecord(CORE, first.id, NOON_MS, attempt, 200, b"{}"))
        self.delivered = first.id
        for message in self.store.due("desk", self.keeping.clock.at_ms):
            self.store.buried("desk", message, "HTTP 422: no")
        for _ in range(2):
            self.get(KEEPER, "/lots")
            asyncio.run(self.client.app.state.service.audit.commit())
        self.store.quarantine(
            Quarantined("pw/1/a/b/up", NOON_MS, "too large", "", number.to_bytes(2, "big")) for number in range(105)
        )


class Way(httpx2.BaseTransport):
    """The way of a client to an application of this process; how often it was gone."""

    def __init__(self, seeing: Seeing) -> None:
        self._seeing, self.went = seeing, 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Let it be answered."""
        self.went += 1
        found: httpx2.Response = self._seeing.client.request(
            request.method, str(request.url.copy_with(host="testserver")), headers=dict(request.headers)
        )
        return httpx2.Response(found.status_code, headers=found.headers, content=found.content)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("lists"))
    yield made
    made.close()


def lists_of(world: World) -> dict[str, dict[str, Any]]:
    """By path: the parameters of every list that the API describes. A list has a limit, or is an array."""
    found: dict[str, dict[str, Any]] = {}
    for path, methods in world.get(KEEPER, "/openapi.json")["paths"].items():
        if "get" not in methods or path in NO_LISTS:
            continue
        asked = {one["name"]: one["schema"] for one in methods["get"].get("parameters", ()) if one["in"] == "query"}
        content = methods["get"]["responses"]["200"].get("content", {}).get("application/json", {})
        if path in OF_STANDARDS or "limit" in asked or content.get("schema", {}).get("type") == "array":
            found[path] = asked
    return found


def at(world: World, path: str) -> str:
    """The path of a list that has something in it."""
    names = {"receipt": FIRST, "facility": LINE, "warehouse": WAREHOUSE, "by": "sku", "message_id": world.delivered}
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", quote(value))
    return path


def test_every_list_of_our_own_is_in_pages_in_the_one_way(world: World) -> None:
    lists = lists_of(world)
    assert len(lists) >= 24
    for path, asked in lists.items():
        if path in OF_STANDARDS:
            continue
        assert len({"after", "after_entry"} & set(asked)) == 1, path
        assert (asked["limit"]["minimum"], asked["limit"]["maximum"]) == (1, LIMIT_MAX), path
        assert not {"offset", "page", "cursor", "skip"} & set(asked), path


def test_the_client_goes_through_all_of_every_list(world: World) -> None:
    """Item by item it is the whole, and there is more than one page of each."""
    with_one_page = set()
    for path in lists_of(world):
        way, query = Way(world), QUERIES.get(path, {})
        with Client("http://testserver", USERS[KEEPER].key, transport=way) as client:
            whole = list(client.each(at(world, path), **query))
            pages = way.went
            assert list(client.each(at(world, path), **query, **{OF_STANDARDS.get(path, "limit"): 1})) == whole, path
            if way.went - pages < 2:
                with_one_page.add(path)
    assert with_one_page == {"/dcsa/events"}, "it has too little in it to show anything"


@pytest.mark.parametrize("path", ["/lots/hall-lot", "/viewer", "/market"])
def test_what_is_no_list_is_not_gone_through(world: World, path: str) -> None:
    with (
        Client("http://testserver", USERS[KEEPER].key, transport=Way(world)) as client,
        pytest.raises(ValueError, match="is no list"),
    ):
        list(client.each(path))


def test_the_pages_of_a_table_are_named_too(world: World) -> None:
    answer = world.client.get("/stock/periods?limit=1", headers={**shown(USERS[KEEPER].key), "accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'rel="next"' in answer.headers["link"]
    assert {one.split(",")[2] for one in answer.text.splitlines()[1:]} == {"CHAIR-1"}


def test_a_page_of_quarantine_is_small_and_goes_on_from_its_last(world: World) -> None:
    first = world.get(KEEPER, "/quarantine?limit=10000")
    rest = world.get(KEEPER, f"/quarantine?after={first['next_after']}")
    assert (len(first["items"]), len(rest["items"]), rest["next_after"]) == (100, 5, "")
    numbers = [one["number"] for one in (*first["items"], *rest["items"])]
    assert numbers == sorted(numbers, reverse=True)
    for odd in ("x", "-1", "1" * 19, "٣"):
        assert_problem(world.client.get("/quarantine", params={"after": odd}, headers=shown(USERS[KEEPER].key)), 422)


def test_a_page_that_is_known_may_have_become_the_last_or_be_it_no_more(world: World) -> None:
    """What it says is the same, so it is not fetched again; what follows it is another matter."""
    with Client("http://testserver", USERS[KEEPER].key, transport=Way(world)) as client:
        (known,) = [one["id"] for one in client.each("/lots", limit=1, asset=BOX)]
        more = {"id": "z-lot", "asset": BOX, "facility": LINE, "sku": "SEA-SKU", "quantity": 1}
        world.keeping.amend(lots=[more])
        assert [one["id"] for one in client.each("/lots", limit=1, asset=BOX)] == [known, "z-lot"]
        world.keeping.amend(remove={"lots": ["z-lot"]})
        assert [one["id"] for one in client.each("/lots", limit=1, asset=BOX)] == [known]


def test_the_pages_of_dcsa_are_followed_by_its_own_header() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if "cursor" in request.url.params:
            return httpx2.Response(200, json=[{"eventID": "2"}])
        return httpx2.Response(200, json=[{"eventID": "1"}], headers={"Next-Page": "/dcsa/events?cursor=1.0"})

    with Client("http://testserver", transport=httpx2.MockTransport(answer)) as client:
        assert [one["eventID"] for one in client.each("/dcsa/events")] == ["1", "2"]


PART = st.one_of(st.integers(-(2**80), 2**80), st.text(st.characters(exclude_categories=["C", "Z"]), max_size=3))


@settings(max_examples=50)
@given(st.lists(st.tuples(PART, PART).filter(lambda pair: type(pair[0]) is type(pair[1])), min_size=1, max_size=3))
def test_places_are_in_the_order_of_what_they_are_made_of(parts: list[tuple[int | str, int | str]]) -> None:
    one, other = zip(*parts, strict=True)
    assert (place(*one) < place(*other)) == (one < other)
    assert (place(*one) == place(*other)) == (one == other)
