"""What all sections of the book share: how their items are found, written and seen to lead somewhere.

A module of a section has `READERS`, by section how an item is read from JSON with every fault's place named;
`as_document`, which writes an item as an amendment says it: what its reader takes, without what says nothing; and, if
its items speak of others, `faults`: what only the whole book can show. Moments are ISO 8601 with a time zone in
documents and Unix milliseconds in items.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

Sections = Mapping[str, Mapping[str, Any]]
"""A whole book while it is checked: its sections by name, their items by id."""
Kind = TypeVar("Kind")


def absent(sections: Sections, place: str, section: str, key: str) -> Iterator[str]:
    """The fault of a place that names an item of a section, where there is none."""
    if key not in sections[section]:
        yield f"{place}: there is no {key!r} among {section}"


def grouped(section: Mapping[str, Kind], key: str) -> dict[str, list[Kind]]:
    """The items of a section by what one of their fields holds, each group in order of id."""
    found: dict[str, list[Kind]] = {}
    for _, one in sorted(section.items()):
        found.setdefault(getattr(one, key), []).append(one)
    return found


def said(item: Any) -> dict[str, Any]:
    """The fields of an item, without what says nothing and what is at its default."""
    defaults = type(item)._field_defaults
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in item._asdict().items()
        if value not in ("", ()) and not (key in defaults and value == defaults[key])
    }
