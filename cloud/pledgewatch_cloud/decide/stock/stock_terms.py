"""Stock sources: which stock system speaks of which warehouse, and how what it writes is to be read. A section of the
book.

Everything in which two stock systems may differ, so that a reader would have to guess, is said here once by somebody
who knows the source: whether its documents add or set, whose goods and which units its words stand for, what a time
without an offset means, what is not listed, and what becomes of a document with faults. See `Terms` and `CsvMapping`
for each of them.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.item import BookError, Item
from pledgewatch_cloud.decide.items.sections import Sections, absent
from pledgewatch_cloud.decide.moments import ID, ID_IS
from pledgewatch_cloud.decide.stock import csv_form
from pledgewatch_cloud.decide.stock.csv_form import REPEATS, CsvMapping, Rule
from pledgewatch_cloud.decide.stock.rows import (
    AT_FAULT,
    BARE_DATES,
    INVENTORY_ADVICE,
    KINDS,
    MEANS,
    RowError,
    StockError,
    Terms,
    composed,
    word,
)
from pledgewatch_cloud.decide.stock.texts import ENCODINGS

MAX_NAMES = 10_000
"""Owners, units, SKUs or kinds of one source."""
MAX_RULES = 100
MAX_PATTERN = 256
OFFSET_MAX_MINUTES = 14 * 60
QUALIFIER = re.compile(r"[A-Z0-9]{2,3}")
_ANY_SIGN = re.compile(r".")


class StockSource(NamedTuple):
    """A stock system. `mapping` is how its tables are read; None where it hands in none."""

    id: str
    terms: Terms
    mapping: CsvMapping | None = None


def _source(item: Item) -> StockSource:
    identity = item.name("id")
    terms = Terms(
        identity,
        item.text("warehouse"),
        item.one_of("means", MEANS),
        _names(item, "units"),
        owner=item.word("owner"),
        owners=_names(item, "owners"),
        sku_units=_names(item, "sku_units"),
        bin=_word(item, "bin"),
        needs_lot=bool(item.integer("needs_lot", 0, 1, 0)),
        at_fault=item.one_of("at_fault", AT_FAULT, Terms._field_defaults["at_fault"]),
        bare_dates=item.one_of("bare_dates", BARE_DATES, Terms._field_defaults["bare_dates"]),
        encoding=item.one_of("encoding", ENCODINGS, Terms._field_defaults["encoding"]),
    )
    if item.has("utc_offset_minutes"):
        offset = item.integer("utc_offset_minutes", -OFFSET_MAX_MINUTES, OFFSET_MAX_MINUTES)
        terms = terms._replace(utc_offset_minutes=offset)
    if item.has("sku_qualifiers"):
        terms = terms._replace(sku_qualifiers=_qualifiers(item))
    if item.has("inventory_advice"):
        terms = terms._replace(inventory_advice=item.one_of("inventory_advice", INVENTORY_ADVICE))
    _sound(item, terms)
    return StockSource(identity, terms, _mapping(item.item("csv")))


def _sound(item: Item, terms: Terms) -> None:
    """Whether the terms fit together. Raises BookError."""
    if not terms.units:
        raise item.error("units", "is missing: say what the book calls each unit, as {EA: EA}")
    if not terms.owner and not terms.owners:
        raise item.error("owner", "is missing: say whose goods they are, by owner or by owners")
    known = sorted({*terms.units.values()})
    for sku, unit in terms.sku_units.items():
        if unit not in known:
            raise item.error(f"sku_units.{sku}", f"{unit!r} is none of what units stand for: {', '.join(known)}")
    if terms.bare_dates != "refused" and terms.utc_offset_minutes is None:
        raise item.error("utc_offset_minutes", "is missing: a date is a day of some zone, so its offset is needed")


def _qualifiers(item: Item) -> tuple[str, ...]:
    """By which qualifiers of X12 an SKU is looked for, in the order in which they are preferred."""
    value = item.value("sku_qualifiers")
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise item.error("sku_qualifiers", "a list of qualifiers of X12 is needed, as [SK, VN]")
    for one in value:
        if not QUALIFIER.fullmatch(one) or value.count(one) > 1:
            raise item.error("sku_qualifiers", f"{one!r} is no qualifier of two or three signs, or comes twice")
    return tuple(value)


def _mapping(item: Item | None) -> CsvMapping | None:
    if item is None:
        return None
    mapping = CsvMapping(
        _words(item, "columns"),
        _words(item, "fixed"),
        _words(item, "kinds"),
        tuple(_rule(one) for one in item.items("rules")),
        item.text("delimiter", _ANY_SIGN, CsvMapping._field_defaults["delimiter"]),
        item.text("decimal", _ANY_SIGN, CsvMapping._field_defaults["decimal"]),
        item.one_of("repeats", REPEATS, CsvMapping._field_defaults["repeats"]),
        _word(item, "trailer"),
        bool(item.integer("complete", 0, 1, 0)),
    )
    item.end()
    if len(mapping.rules) > MAX_RULES:
        raise item.error("rules", f"at most {MAX_RULES}")
    for said, kind in mapping.kinds.items():
        if kind not in KINDS:
            raise item.error(f"kinds.{said}", f"{kind!r} is none of {', '.join(KINDS)}")
    try:
        csv_form.check(mapping)
    except StockError as error:
        raise BookError([f"{item.place}: {one.text.removeprefix('mapping: ')}" for one in error.faults]) from None
    return mapping


def _rule(item: Item) -> Rule:
    when = item.value("when")
    if not isinstance(when, dict) or not all(_is_pattern(one) for one in when.values()):
        needed = f"an object from column to a regular expression of at most {MAX_PATTERN} characters is needed"
        raise item.error("when", needed)
    rule = Rule(
        {_checked(item, "when", column): composed(pattern) for column, pattern in when.items()},
        item.one_of("kind", (*KINDS, csv_form.LEFT_OUT)),
        bool(item.integer("turned", 0, 1, 0)),
        bool(item.integer("signed", 0, 1, 0)),
        _word(item, "reason"),
    )
    item.end()
    return rule


def _is_pattern(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_PATTERN


def _names(item: Item, key: str) -> dict[str, str]:
    """What the book calls each of what the source writes: an id."""
    found = _words(item, key)
    for name, text in found.items():
        if not ID.fullmatch(text):
            raise item.error(f"{key}.{name}", f"{text!r} is no id: {ID_IS}")
    return found


def _words(item: Item, key: str) -> dict[str, str]:
    """An object from words to words, empty where there is none."""
    value = item.value(key) if item.has(key) else {}
    if not isinstance(value, dict) or len(value) > MAX_NAMES:
        raise item.error(key, f"an object of at most {MAX_NAMES} words by name is needed")
    return {_checked(item, key, name): _checked(item, f"{key}.{name}", text) for name, text in value.items()}


def _word(item: Item, key: str) -> str:
    """A word as sources write it, empty where it is not said."""
    return _checked(item, key, item.value(key)) if item.has(key) else ""


def _checked(item: Item, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise item.error(key, f"{value!r} is no text: put it in quotes")
    try:
        return word(f"{item.place}.{key}", value)
    except RowError as error:
        raise BookError(list(error.errors)) from None


READERS: dict[str, Callable[[Item], Any]] = {"stock_sources": _source}
"""How an item of each section is read."""


def as_document(_section: str, item: StockSource) -> dict[str, Any]:
    """A source as an amendment says it: what its reader takes, without what is at its default."""
    written = {"id": item.id, **_said(item.terms)}
    del written["source"]
    if item.mapping is not None:
        written["csv"] = _said(item.mapping)
        if item.mapping.rules:
            written["csv"]["rules"] = [_said(one) for one in item.mapping.rules]
    return written


def _said(part: Terms | CsvMapping | Rule) -> dict[str, Any]:
    defaults = part._field_defaults
    return {key: _as_json(value) for key, value in part._asdict().items() if value != defaults.get(key)}


def _as_json(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def faults(sections: Sections) -> Iterator[str]:
    """What only the whole book can show: warehouses and owners that nobody knows, and goods that two sources add to."""
    adding: dict[tuple[str, str], str] = {}
    for _, source in sorted(sections["stock_sources"].items()):
        place, terms = f"stock_sources {source.id}", source.terms
        yield from absent(sections, f"{place}.warehouse", "warehouses", terms.warehouse)
        owners = [("owner", terms.owner)] if terms.owner else []
        for key, owner in [*owners, *(("owners", one) for one in sorted({*terms.owners.values()}))]:
            yield from absent(sections, f"{place}.{key}", "parties", owner)
        for owner in sorted({terms.owner, *terms.owners.values()} - {""}) if terms.means != "sets" else ():
            other = adding.setdefault((terms.warehouse, owner), source.id)
            if other != source.id:
                why = f"{other} adds goods of {owner} in {terms.warehouse} too, and what both report would count twice"
                yield f"{place}.means: {why}: let one of the two set only (means: sets), or give each its own owners"
