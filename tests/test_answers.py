"""The types of answers are what the API answers: no field too few, none too many, none of another kind or name. They
are what the description says, and what the methods of the Python client return."""

import inspect
import json
from collections.abc import Iterator
from typing import Any, NotRequired, TypedDict, get_args, get_origin, get_type_hints, is_typeddict
from urllib.parse import quote, unquote

import httpx2
import pytest
from answers_checked import faults
from api_cloud import ApiCloud, shown
from jsonschema import Draft202012Validator
from seeing import USERS
from test_lists import QUERIES, World

from pledgewatch_cloud.answers.paths import READ, WRITTEN
from pledgewatch_cloud.api import examples
from pledgewatch_cloud.client import Client

KEEPER = "keeper-kim"
OF_OTHERS = {"/dcsa/events", "/epcis/events", "/epcis/capture/{capture_id}"}
"""What answers in the formats of others."""
GENERAL = {"get", "each", "tables", "write", "changes"}
SPANS: dict[str, dict[str, Any]] = {
    "/assets/{asset}/series/{channel}/stretches": {"from_ms": 0, "to_ms": 2**40, "step_ms": 2**35},
    "/devices": {"battery": "true"},
}
ITEMS = {
    "lot": ("/lots", "id"),
    "facility": ("/facilities", "id"),
    "milestone": ("/milestones", "id"),
    "device": ("/devices", "device"),
    "receipt": ("/receipts", "id"),
    "event": ("/events", "id"),
    "asset": ("/assets", "id"),
    "fence": ("/fences", "id"),
    "message_id": ("/outbox/dead", "id"),
    "case": ("/warehouses/la-1/cases?with_closed=true", "case"),
}
"""By what is named in a path: the list that such names are in, and the field."""
NAMES = {
    "warehouse": ["la-1"],
    "by": ["sku", "facility"],
    "series": ["steel"],
    "currency": ["USD"],
    "channel": ["temperature_mc"],
    "command": ["1"],
    "notice": [],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("answers"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def sea(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path_factory.mktemp("sea"))
    made.sail_into_port()
    yield made
    made.close()


def found(document: dict[str, Any], method: str) -> dict[str, dict[str, Any]]:
    """By path: what is answered as JSON where all is well."""
    contents = {
        path: next(one for status, one in methods[method]["responses"].items() if status.startswith("2"))
        for path, methods in document["paths"].items()
        if method in methods
    }
    return {
        path: one["content"]["application/json"]
        for path, one in contents.items()
        if "application/json" in one.get("content", {})
    }


def asked(client: httpx2.Client, headers: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """All that may be read, of all that is listed: paths as described, with their answers."""
    names = dict(NAMES)
    for name, (path, field) in ITEMS.items():
        answer = client.get(path, headers=headers)
        names[name] = [one[field] for one in items(answer.json())[:12]] if answer.is_success else []
    for path in READ:
        for at in filled(path, names):
            query = SPANS.get(path, QUERIES.get(path, {}))
            answer = client.get(at, params=query, headers=headers)
            if answer.is_success:
                yield path, answer.json()


def items(page: Any) -> list[Any]:
    """The items of a list."""
    return page if isinstance(page, list) else next(one for one in page.values() if isinstance(one, list))


def filled(path: str, names: dict[str, list[str]]) -> list[str]:
    """A path with each of the names that there are in its places."""
    some = [path]
    for name, known in names.items():
        if f"{{{name}}}" in path:
            some = [one.replace(f"{{{name}}}", quote(value, safe="")) for one in some for value in known]
    return some


def test_every_answer_is_of_its_type(world: World, sea: ApiCloud) -> None:
    answered = set()
    for user in USERS.values():
        for path, answer in asked(world.client, shown(user.key)):
            assert list(faults(READ[path], answer)) == [], (user.user["id"], path)
            answered.add(path)
    for path, answer in asked(sea.client, {}):
        assert list(faults(READ[path], answer)) == [], path
        answered.add(path)
    assert answered >= READ.keys() - {
        "/devices/{device}/commands/{command}/result",
        "/notices/{notice}",
        "/receipts/issuer",
        "/market/prices/{series}",
        "/market/rates/{currency}",
    }, "others are held to their types by their examples, and by all that schemathesis asks"


def test_the_description_says_the_same(world: World) -> None:
    document = world.get(KEEPER, "/openapi.json")
    assert found(document, "get").keys() - OF_OTHERS == READ.keys()
    assert found(document, "post").keys() == WRITTEN.keys()
    validators = {
        path: Draft202012Validator({**one["schema"], "components": document["components"]})
        for path, one in found(document, "get").items()
    }
    for path, answer in asked(world.client, shown(USERS[KEEPER].key)):
        validators[path].validate(answer)
    for path, example in examples.OF_ANSWERS.items():
        assert list(faults(READ[path], example)) == [], path
        assert found(document, "get")[path]["example"] == example, "also what is null in it"


def test_every_path_has_a_method_that_returns_its_type() -> None:
    went: list[tuple[str, str]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        went.append((request.method, unquote(request.url.path)))
        return httpx2.Response(200, json=[])

    methods = [(name, one) for name, one in inspect.getmembers(Client, inspect.isfunction) if name[0] != "_"]
    with Client("http://testserver", transport=httpx2.MockTransport(answer)) as client:
        returned: dict[tuple[str, str], Any] = {}
        for name, method in methods:
            if name in GENERAL:
                continue
            parameters = list(inspect.signature(method).parameters.values())[1:]
            given = [
                {} if one.name == "document" else f"{{{one.name}}}"
                for one in parameters
                if one.kind is one.POSITIONAL_OR_KEYWORD
            ]
            kind = get_type_hints(method)["return"]
            made = getattr(client, name)(*given)
            if get_origin(kind) is Iterator:
                assert list(made) == []
            returned[went[-1]] = kind
    wanted = {("GET", path): kind for path, kind in READ.items()} | {("POST", path): it for path, it in WRITTEN.items()}
    assert returned.keys() == wanted.keys()
    for key, kind in wanted.items():
        if get_origin(returned[key]) is Iterator:
            (item,) = get_args(returned[key])
            within = get_type_hints(kind).values() if is_typeddict(kind) else ()
            assert list[item] in (kind, *within), key  # type: ignore[valid-type]
        else:
            assert returned[key] == kind, key


class Part(TypedDict):
    """A part."""

    of: str | None


class Whole(TypedDict):
    """A whole."""

    id: str
    parts: list[Part]
    more: NotRequired[int]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ('{"id": "a"}', "answer.parts: is in Whole, and not in the answer"),
        ('{"id": "a", "parts": [], "mroe": 1}', "answer.mroe: is in the answer, and not in Whole"),
        ('{"id": null, "parts": []}', "answer.id: None is no"),
        ('{"id": "a", "parts": [{"of": 5}]}', "answer.parts[0].of: 5 is no"),
        ('{"id": "a", "parts": [], "more": true}', "answer.more: True is no"),
        ('{"id": "a", "parts": {}}', "answer.parts: {} is no"),
        ("[]", "answer: [] is no Whole"),
    ],
)
def test_what_is_not_of_a_type_is_found(answer: str, fault: str) -> None:
    (said,) = faults(Whole, json.loads(answer))
    assert said.startswith(fault)
    assert list(faults(Whole, {"id": "a", "parts": [{"of": None}, {"of": "b"}], "more": 5})) == []
