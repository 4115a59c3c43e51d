"""What the API says of itself: a whole document, in which every route says what it is for, and every write has an
example that is taken as it stands."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import ApiCloud
from builders import NOON_MS
from jsonschema import Draft202012Validator
from stocking import TERMS
from trading import read

from pledgewatch_cloud.api import examples
from pledgewatch_cloud.decide.stock import json_form

MONTHS_MS = 100 * 86_400_000


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path, at_ms=NOON_MS + MONTHS_MS)
    yield made
    made.close()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation, with its method and path."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def within(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from within(one)


def test_every_route_says_what_it_is_for(cloud: ApiCloud) -> None:
    document = cloud.get("/openapi.json")
    assert re.fullmatch(r"3\.1\.\d", document["openapi"])
    assert document["info"]["version"]
    found = list(operations(document))
    assert len(found) > 60
    names = [one["operationId"] for _, _, one in found]
    assert len(names) == len(set(names))
    for method, path, one in found:
        assert one["summary"], (method, path)
        assert len(one["description"]) > 20, (method, path)
        assert len(one["tags"]) == 1, (method, path)
        assert any(status.startswith("2") for status in one["responses"]), (method, path)
        in_path = re.findall(r"{(\w+)}", path)
        assert sorted(p["name"] for p in one.get("parameters", ()) if p["in"] == "path") == sorted(in_path), path


def test_schemas_are_schemas_and_what_is_referred_to_is_there(cloud: ApiCloud) -> None:
    document = cloud.get("/openapi.json")
    for one in within(document):
        if isinstance(one.get("schema"), dict):
            Draft202012Validator.check_schema(one["schema"])
        if isinstance(ref := one.get("$ref"), str):
            at: Any = document
            for name in ref.removeprefix("#/").split("/"):
                at = at[name]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_write_with_a_body_has_an_example(cloud: ApiCloud) -> None:
    document = cloud.get("/openapi.json")
    without_body = {"/outbox/endpoints/{endpoint}/resume", "/outbox/dead/{message_id}/send"}
    for method, path, one in operations(document):
        if method != "post" or path in without_body:
            continue
        for media, content in one["requestBody"]["content"].items():
            schema = content["schema"]
            if name := schema.get("$ref", "").rpartition("/")[2]:
                fields = document["components"]["schemas"][name]["properties"]
                assert all(field.get("examples") for field in fields.values()), (path, media)
                for field in fields.values():
                    for example in field["examples"]:
                        Draft202012Validator(field).validate(example)
            else:
                Draft202012Validator(schema).validate(content["example"])


def test_examples_are_taken_as_they_stand(cloud: ApiCloud) -> None:
    for path, example in (
        ("/book/amendments", examples.AMENDMENT),
        ("/market/quotes", examples.QUOTES),
        ("/facilities/autumn-line/movements", examples.MOVEMENTS),
    ):
        answer = cloud.client.post(path, json=example)
        assert answer.status_code == 200, answer.text
        assert answer.json()["changed"], path
    answer = cloud.client.post("/stress", json=examples.SHOCKS)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["stressed"]) == len(examples.SHOCKS["shocks"])
    assert [one.kind for one in read("plain", examples.NOTICES)] == ["arrived"]
    assert [one.kind for one in read("dcsa", examples.DCSA)] == ["vessel_loaded"]
    assert [one.kind for one in read("epcis", examples.EPCIS)] == ["goods_received"]
    assert [one.kind for one in read("epcis", examples.EPCIS_EVENT)] == ["goods_received"]
    report = json_form.read(TERMS, json.dumps(examples.STOCK))
    assert (len(report.rows), list(report.faults)) == (1, [])
