"""How moments are written: one spelling for people and documents, and the fixed one of messages. Which ids there may
be: none that an address could not have as its end."""

import json
from typing import Any
from urllib.parse import urljoin

import jsonschema
import pytest

from pledgewatch_cloud.book_schema import SECTIONS, schema
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.messages import MessageType, message
from pledgewatch_cloud.decide.moments import ID, is_of_parts, iso, moment_ms

WRITTEN = [
    (0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
    (1, "1970-01-01T00:00:00.001Z", "1970-01-01T00:00:00.001Z"),
    (-1, "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
    (1_767_268_800_000, "2026-01-01T12:00:00Z", "2026-01-01T12:00:00.000Z"),
    (-62_000_000_000_000, "0005-04-19T09:46:40Z", "0005-04-19T09:46:40.000Z"),
]


@pytest.mark.parametrize(("at_ms", "short", "full"), WRITTEN)
def test_a_moment_is_written_in_one_way_and_read_back(at_ms: int, short: str, full: str) -> None:
    assert (iso(at_ms), iso(at_ms, always_milliseconds=True)) == (short, full)
    assert (moment_ms("at", short), moment_ms("at", full)) == (at_ms, at_ms)


@pytest.mark.parametrize(("at_ms", "full"), [(at_ms, full) for at_ms, _, full in WRITTEN])
def test_a_message_always_tells_its_time_to_the_millisecond(at_ms: int, full: str) -> None:
    sent = message("journal-1", "7.0", MessageType.RECORD_BASE, "facility-1", 3, "facility-1", at_ms, {})
    assert json.loads(sent.body)["time"] == full


LOST = ["a/.", "a/..", "a/../b", "a/./b", "a//b", "a/", "x/../asset-coral", "a/b/..", "a:b/.."]
KEPT = ["a", "a/b", "a/.b", "a/b.", "a/...", "a..b", "a/..b/c", "a:..", "la-3:0001.1", "urn:epc:id:sgtin:1.2.3", "a/-"]


@pytest.mark.parametrize("text", LOST)
def test_an_id_has_no_part_that_an_address_would_leave_out(text: str) -> None:
    assert not ID.fullmatch(text)
    assert not is_of_parts(text)


@pytest.mark.parametrize("text", KEPT)
def test_an_id_comes_through_an_address_as_it_is(text: str) -> None:
    assert ID.fullmatch(text)
    assert is_of_parts(text)
    assert urljoin("http://h/assets/other", f"/assets/{text}") == f"http://h/assets/{text}"


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ("https://example.org/a", True),
        ("ni:///sha-256;ab?ver=CBV2.0", True),
        ("urn:uuid:1", True),
        ("https://example.org//a", False),
        ("https:////a", False),
        ("https://example.org/../a", False),
        ("//a", False),
        ("/a", False),
        ("..", False),
    ],
)
def test_what_a_uri_begins_with_is_no_empty_part(text: str, is_taken: bool) -> None:
    assert is_of_parts(text) is is_taken


WITH_AN_ID = sorted(
    name for name, one in schema()["properties"].items() if "id" in one.get("items", {}).get("properties", {})
)


@pytest.mark.parametrize("section", WITH_AN_ID)
def test_no_section_of_the_book_takes_an_id_of_another_address(section: str) -> None:
    first: dict[str, dict[str, Any]] = {
        "milestones": {"when": {"fact": "condition_kept"}},
        "users": {"role": "auditor"},
    }
    # What is read before an id has to be there.
    document = {section: [{"id": "x/../asset-coral", **first.get(section, {})}]}
    with pytest.raises(BookError, match=rf"{section}\[0\].id: .*(no part between slashes|lower-case letters)"):
        book_module.amend(book_module.empty(), document)
    checked = jsonschema.Draft202012Validator(schema())
    assert any([*error.path] == [section, 0, "id"] for error in checked.iter_errors(document))


def test_a_fence_has_no_id_of_another_address() -> None:
    feature: dict[str, object] = {"type": "Feature", "id": "x/../USLAX", "properties": {}, "geometry": None}
    with pytest.raises(BookError, match="no part between slashes"):
        book_module.amend(book_module.empty(), {"fences": {"type": "FeatureCollection", "features": [feature]}})
    assert len(WITH_AN_ID) >= 10
    assert set(WITH_AN_ID) < set(SECTIONS)
