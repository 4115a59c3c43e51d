"""Shipments: goods on their way, and the references by which others speak of them. A section of the book.

A shipment ties what carriers, customs and insurers speak of (containers, bills of lading, invoices and the like) to
lots of a facility. Papers that stand for goods, or for the claim to be paid for them, are lent on once only.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.item import BookError, Item
from pledgewatch_cloud.decide.items.sections import Sections, absent, said
from pledgewatch_cloud.decide.trade import fields
from pledgewatch_cloud.decide.trade.vocabulary import REFERENCE_TYPES

_FINANCED_ONCE = frozenset({"bill_of_lading", "invoice", "receipt"})


class Shipment(NamedTuple):
    """Goods on their way: lots of a facility, and the references by which others speak of them, as `type:value`."""

    id: str
    facility: str
    lots: tuple[str, ...]
    references: tuple[str, ...]


def _shipment(item: Item) -> Shipment:
    shipment = Shipment(item.text("id"), item.text("facility"), item.ids("lots"), _references(item))
    if not shipment.lots:
        raise item.error("lots", "name at least one lot that is in it")
    return shipment


def _references(item: Item) -> tuple[str, ...]:
    """How others speak of a shipment, by type."""
    where, faults = f"{item.place}.about", fields.Faults()
    about = faults.gathered(dict[str, Any](), fields.mapped, where, item.value("about"))
    faults.errors += [
        f"{where}.{key}: no such type of reference; there are {', '.join(REFERENCE_TYPES)}"
        for key in about
        if key not in REFERENCE_TYPES
    ]
    some = [
        (f"{where}.{kind}[{place}]", kind, value)
        for kind in REFERENCE_TYPES
        for place, value in enumerate(faults.gathered(list[Any](), fields.listed, f"{where}.{kind}", about.get(kind)))
    ]
    found = fields.references(faults, some)
    if faults.errors:
        raise BookError(faults.errors)
    return found


READERS: dict[str, Callable[[Item], Any]] = {"shipments": _shipment}
"""How an item of each section is read."""


def as_document(_section: str, shipment: Shipment) -> dict[str, Any]:
    """A shipment as an amendment says it."""
    written = said(shipment)
    written.pop("references", None)
    return written | ({"about": _about_document(shipment.references)} if shipment.references else {})


def _about_document(references: tuple[str, ...]) -> dict[str, list[str]]:
    about: dict[str, list[str]] = {}
    for one in references:
        kind, _, value = one.partition(":")
        about.setdefault(kind, []).append(value)
    return about


def faults(sections: Sections) -> Iterator[str]:
    """What only the whole book can show: references that lead nowhere, and what is lent on twice."""
    for shipment in sections["shipments"].values():
        place = f"shipments {shipment.id}"
        yield from absent(sections, f"{place}.facility", "facilities", shipment.facility)
        for name in shipment.lots:
            yield from absent(sections, f"{place}.lots", "lots", name)
            lot = sections["lots"].get(name)
            if lot and lot.facility != shipment.facility:
                yield f"{place}.lots: {name} is pledged to {lot.facility}, not to {shipment.facility}"
    yield from _financed_twice(sections)


def _financed_twice(sections: Sections) -> Iterator[str]:
    """Papers that stand for goods or claims and are with two facilities: one of both lends on nothing."""
    found = [
        (reference, one.facility, f"shipments {one.id}.about")
        for _, one in sorted(sections["shipments"].items())
        for reference in one.references
        if reference.partition(":")[0] in _FINANCED_ONCE
    ]
    found += [
        (f"receipt:{lot.receipt.id}", lot.facility, f"lots {lot.id}.receipt")
        for _, lot in sorted(sections["lots"].items())
        if lot.receipt
    ]
    first: dict[str, tuple[str, str]] = {}
    for reference, facility, place in found:
        other, other_place = first.setdefault(reference, (facility, place))
        if other != facility:
            yield f"{place}: {reference} is in {other_place} of {other} as well; take it out of one of them"
