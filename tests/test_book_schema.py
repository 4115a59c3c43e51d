"""The book's JSON Schema: it is the one in docs, it takes what an amendment takes, and what it refuses is refused."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from builders import Device, book_document

from pledgewatch_cloud.book_file import read_book_file
from pledgewatch_cloud.book_schema import SECTIONS, schema
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.item import BookError

ROOT = Path(__file__).resolve().parent.parent
CHECK = jsonschema.Draft202012Validator(schema())


def test_the_schema_in_docs_is_this_one() -> None:
    """Where it differs: write `schema()` to docs/book.schema.json as JSON again."""
    jsonschema.Draft202012Validator.check_schema(schema())
    assert json.loads((ROOT / "docs" / "book.schema.json").read_text(encoding="utf-8")) == schema()
    assert set(SECTIONS) == set(book_module.SECTIONS)


def test_it_takes_what_an_amendment_takes() -> None:
    sample = read_book_file(ROOT / "samples" / "book.yaml").document
    book = book_module.amend(book_module.empty(), sample)
    for document in (sample, book_document(Device()), book_module.as_document(book), {"remove": {"lots": ["a"]}}):
        assert [error.message for error in CHECK.iter_errors(document)] == []


def test_every_key_that_a_reader_takes_is_in_it() -> None:
    """A document with every key that the schema knows is read to its end: no reader says `no such key`."""
    for section, rule in SECTIONS.items():
        if section == "fences":
            continue
        document = {section: [dict.fromkeys(rule["items"]["properties"], None)]}
        with pytest.raises(BookError) as caught:
            book_module.amend(book_module.empty(), document)
        assert not any("no such key" in error for error in caught.value.errors)


def mutations(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Every leaf of a document with something else in its stead, and an unknown key in every object."""
    found: list[tuple[tuple[Any, ...], Any]] = []
    if isinstance(value, dict):
        found += [(path, {**value, "smell": 1})]
        found += [one for key, part in value.items() for one in mutations(part, (*path, key))]
    elif isinstance(value, list):
        found += [one for place, part in enumerate(value) for one in mutations(part, (*path, place))]
    else:
        found += [(path, other) for other in (None, -1, 10**18, "", "no such thing!", 1.5)]
    return found


def parts(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The items of a document, each as an amendment by itself; the fences, which are one value, together."""
    for section, items in document.items():
        yield from ({section: [item]} for item in items) if isinstance(items, list) else [{section: items}]


def test_what_it_refuses_an_amendment_refuses() -> None:
    """Each item by itself over the book that has them all: the whole sample anew each time takes a minute."""
    sample = read_book_file(ROOT / "samples" / "book.yaml").document
    book = book_module.amend(book_module.empty(), sample)
    refused = 0
    for part in parts(sample):
        assert CHECK.is_valid(part)
        book_module.amend(book, part)
        for path, other in mutations(part):
            document = copy.deepcopy(part)
            place: Any = document
            for key in path[:-1]:
                place = place[key]
            if path:
                place[path[-1]] = other
            else:
                document = other
            if not CHECK.is_valid(document):
                refused += 1
                with pytest.raises(BookError):
                    book_module.amend(book, document)
    assert refused > 2_000


@pytest.mark.parametrize("name", ["claims", "confirmations", "identities", "invitations", "renewals"])
def test_what_the_api_has_beside_the_devices_is_no_device_s_name(name: str) -> None:
    document = book_document(Device(name))
    assert [error.json_path for error in CHECK.iter_errors(document)] == ["$.installations[0].device"]
    with pytest.raises(BookError, match=f"name the device otherwise, {name}-1 perhaps"):
        book_module.amend(book_module.empty(), document)
