"""GS1 EPCIS 2.0 capture: what visibility events say of containers, vessels, papers and goods.

Read are an EPCISDocument, the answer to a query, and an event by itself, in JSON. Business steps are the words of the
Core Business Vocabulary, bare or as its URN or web address. The vocabulary has no gates, customs or titles; a sender
that wants to say them in EPCIS does as `epcis_out` does: the field `pledgewatch:kind` names the kind, or the step is
`urn:pledgewatch:step:customs_cleared`. An event that says nothing of our vocabulary, one with sensor readings among
them, is kept as `other` with what it is about. So is a count or a receipt of nothing: one that names no goods, or
states a quantity of 0 for any of them. Whether a document is what the standard calls so, epcis_rules says.

An error declaration takes back the event with the same eventID. Where an event has no eventID, it is known by the hash
of all it says but when it was recorded and that it was in error, so that both have one identity.

Field names and words: GS1, EPCIS 2.0 and CBV 2.0.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.trade import epcis_rules, fields
from pledgewatch_cloud.decide.trade.epcis_rules import bare
from pledgewatch_cloud.decide.trade.fields import Faults
from pledgewatch_cloud.decide.trade.notice import Notice, NoticeError
from pledgewatch_cloud.decide.trade.telling import URN
from pledgewatch_cloud.decide.trade.vocabulary import NOTICE_KINDS, OTHER, REFERENCE_TYPES

_LOCODE = re.compile(r"(?i:urn:pledgewatch:place:|.*[:/#.]un-?locode[:/#=])([A-Za-z]{2}[A-Za-z2-9]{3})")
_QUOTED = re.compile(rb"%([0-9A-Fa-f]{2})")
_CONTAINER, _VESSEL = "urn:epc:id:bic:", "urn:epc:id:imovn:"
_TAKING_STOCK = frozenset({"goods_received", "goods_counted"})
"""Kinds that an event says only where there is something that was received or counted."""
_TRANSACTIONS = {"bol": "bill_of_lading", "inv": "invoice"}

_SEEN = frozenset({"OBSERVE", "ADD"})
_GONE = frozenset({"OBSERVE", "DELETE"})
_STEPS = {
    "receiving": ("goods_received", _SEEN),
    "cycle_counting": ("goods_counted", _SEEN),
    "stock_taking": ("goods_counted", _SEEN),
}
"""By step: the kind, and the actions with which it is meant."""
_STEPS_OF_VESSELS = {
    "loading": ("vessel_loaded", _SEEN),
    "unloading": ("discharged", _GONE),
    "departing": ("departed", _SEEN),
    "arriving": ("arrived", _SEEN),
}
"""The same for steps that are those of a ship only where the event names one; a truck is loaded and leaves too."""
_LAST_COUNTS = frozenset({"eventID"})
"""One of the official examples gives its event two ids; as for most readers of JSON it is the last that counts."""
_DOCUMENTS = {"EPCISDocument": ("epcisBody",), "EPCISQueryDocument": ("epcisBody", "queryResults", "resultsBody")}
"""By the type of a document: where its list of events is."""
EPC_LISTS = ("epcList", "childEPCs", "inputEPCList", "outputEPCList")
CLASS_LISTS = ("quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList")


class Captured(NamedTuple):
    """An event as it was captured: its place in the document, the context of that, and what it says."""

    where: str
    context: tuple[Any, ...]
    event: Any


def read(sender: str, text: str) -> list[Notice]:
    """The notices in a document, the answer to a query, or one event. Raises NoticeError with every fault's place."""
    document = fields.document(text, _LAST_COUNTS)
    faults = Faults()
    some = _captured(document)
    if _path(document):
        epcis_rules.check_document(faults, document)
    else:
        epcis_rules.check_context(faults, some[0].where, document)
    found = [notice for one in some for notice in faults.gathered([], _notices, sender, one)]
    faults.end()
    return found


def captured(sender: str, text: str) -> dict[str, Captured]:
    """The events in a text that was read without a fault, by their notices' keys. An error declaration is the event
    that it takes back, said again; where a text has both, the event itself is meant."""
    some = _captured(fields.document(text, _LAST_COUNTS))
    some.sort(key=lambda one: "errorDeclaration" not in one.event)
    return {_key(sender, one.where, one.event): one for one in some}


def _captured(document: Any) -> list[Captured]:
    if not isinstance(document, dict):
        raise NoticeError(["the document: an object is needed"])
    path, context = _path(document), tuple(_contexts(document))
    if not path:
        return [Captured("event", context, document)]
    body = document
    for depth, name in enumerate(path, 1):
        body = fields.present(".".join(path[:depth]), body.get(name))
    where = ".".join((*path, "eventList"))
    if "eventList" not in body:
        raise NoticeError([f"{where}: is missing"])
    return [
        Captured(f"{where}[{number}]", (*context, *_contexts(one)), one)
        for number, one in enumerate(fields.listed(where, body["eventList"]))
    ]


def _path(document: dict[str, Any]) -> tuple[str, ...]:
    """Where a document has what holds its events; empty for an event by itself."""
    kind = document.get("type")
    return _DOCUMENTS.get(kind, ()) if isinstance(kind, str) else ()


def _contexts(value: Any) -> Iterator[Any]:
    found = value.get("@context") if isinstance(value, dict) else None
    if found is not None:
        yield from found if isinstance(found, list) else [found]


def _notices(sender: str, captured: Captured) -> list[Notice]:
    where = captured.where
    event = fields.present(where, captured.event)
    shape, faults = Faults(), Faults()
    epcis_rules.check_event(shape, where, event)
    key = faults.gathered("", _key, sender, where, event)
    happened_ms = faults.gathered(0, fields.moment, f"{where}.eventTime", event.get("eventTime"))
    references = _references(faults, where, event)
    place = _place(faults, where, event)
    if event.get("errorDeclaration") is not None:
        within = f"{where}.errorDeclaration"
        declaration = faults.gathered({}, fields.mapped, within, event["errorDeclaration"])
        place_of_time = f"{within}.declarationTime"
        declared_ms = faults.gathered(0, fields.moment, place_of_time, declaration.get("declarationTime"))
        withdrawal = f"{key}#error-{iso(declared_ms)}"
        found = Notice(withdrawal, sender, "", declared_ms, references=references, place=place, withdraws=key)
    else:
        kind = faults.gathered(OTHER, _kind, where, event, references)
        found = Notice(key, sender, kind, happened_ms, references=references, place=place)
    # What the rules say of a place is not said again by what could not be read there.
    told = {_place_of(one) for one in shape.errors}
    shape.errors += [one for one in faults.errors if _place_of(one) not in told]
    shape.end()
    return [found]


def _place_of(fault: str) -> str:
    return fault.partition(": ")[0]


def _key(sender: str, where: str, event: dict[str, Any]) -> str:
    identity = event.get("eventID") or fields.fingerprint(
        event, ("@context", "eventID", "recordTime", "errorDeclaration")
    )
    return fields.own_key(f"{where}.eventID", sender, identity)


def _kind(where: str, event: dict[str, Any], references: tuple[str, ...]) -> str:
    kind = _said_kind(where, event, references)
    return OTHER if kind in _TAKING_STOCK and _has_none(event) else kind


def _said_kind(where: str, event: dict[str, Any], references: tuple[str, ...]) -> str:
    step = fields.worded(f"{where}.bizStep", event.get("bizStep"))
    if event.get("pledgewatch:kind") is not None:
        return fields.one_of(f"{where}.pledgewatch:kind", event["pledgewatch:kind"], NOTICE_KINDS)
    if step.startswith(f"{URN}step:"):
        named = step.removeprefix(f"{URN}step:")
        return named if named in NOTICE_KINDS else OTHER
    word, action = bare(step), fields.worded(f"{where}.action", event.get("action"))
    steps = _STEPS
    if any(one.startswith("vessel:") for one in references):
        steps = _STEPS | _STEPS_OF_VESSELS
    kind, actions = steps.get(word, (OTHER, _SEEN))
    if kind in _TAKING_STOCK and not any(event.get(name) for name in EPC_LISTS + CLASS_LISTS):
        return OTHER
    return kind if action in actions else OTHER


def _has_none(event: dict[str, Any]) -> bool:
    """Whether it is said of any goods that there are none: which of them were counted then is not for us to tell."""
    lists = [event[name] for name in CLASS_LISTS if isinstance(event.get(name), list)]
    some = [one.get("quantity") for listed in lists for one in listed if isinstance(one, dict)]
    return any(quantity <= 0 for quantity in some if isinstance(quantity, int | float))


def _references(faults: Faults, where: str, event: dict[str, Any]) -> tuple[str, ...]:
    some: list[tuple[str, Any]] = [(f"{where}.parentID", event.get("parentID"))]
    for name in EPC_LISTS:
        listed = faults.gathered([], fields.listed, f"{where}.{name}", event.get(name))
        some += [(f"{where}.{name}[{number}]", one) for number, one in enumerate(listed)]
    for name in CLASS_LISTS:
        for place, one in _objects(faults, f"{where}.{name}", event.get(name)):
            some.append((f"{place}.epcClass", one.get("epcClass")))
    found: list[tuple[str, str, Any]] = []
    found += [(place, *_object(faults, place, value)) for place, value in some if value is not None]
    for place, one in _objects(faults, f"{where}.bizTransactionList", event.get("bizTransactionList")):
        word = faults.gathered("", fields.worded, f"{place}.type", one.get("type"))
        kind = word.removeprefix(f"{URN}transaction:")
        kind = kind if kind in REFERENCE_TYPES else _TRANSACTIONS.get(bare(word), "")
        if kind:
            value = faults.gathered("", fields.worded, f"{place}.bizTransaction", one.get("bizTransaction"))
            found.append((f"{place}.bizTransaction", kind, _named(value, kind)))
    if event.get("pledgewatch:vessel") is not None:
        found.append((f"{where}.pledgewatch:vessel", "vessel", event["pledgewatch:vessel"]))
    return fields.references(faults, found)


def _object(faults: Faults, where: str, value: Any) -> tuple[str, str]:
    """The type and value of a reference to what an EPC identifies."""
    epc = faults.gathered("", fields.worded, where, value)
    for prefix, kind in ((_CONTAINER, "container"), (_VESSEL, "vessel")):
        if epc.startswith(prefix):
            return kind, epc.removeprefix(prefix)
    for kind in REFERENCE_TYPES:
        if epc.startswith(f"{URN}{kind}:"):
            return kind, _named(epc, kind)
    return "epc", epc


def _named(text: str, kind: str) -> str:
    """What a name of ours, `urn:pledgewatch:<kind>:<value>`, stands for; other texts as they are."""
    prefix = f"{URN}{kind}:"
    if not text.startswith(prefix):
        return text
    plain = _QUOTED.sub(lambda found: bytes([int(found[1], 16)]), text.removeprefix(prefix).encode())
    return plain.decode(errors="replace")


def _objects(faults: Faults, where: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
    listed = faults.gathered([], fields.listed, where, value)
    places = [f"{where}[{number}]" for number in range(len(listed))]
    return [(place, faults.gathered({}, fields.present, place, one)) for place, one in zip(places, listed, strict=True)]


def _place(faults: Faults, where: str, event: dict[str, Any]) -> str:
    """The UN/LOCODE in the read point or else the business location, where one is stated: `urn:un:unlocode:USLAX`."""
    for name in ("readPoint", "bizLocation"):
        location = faults.gathered({}, fields.mapped, f"{where}.{name}", event.get(name))
        text = faults.gathered("", fields.worded, f"{where}.{name}.id", location.get("id"))
        if match := _LOCODE.fullmatch(text):
            return faults.gathered("", fields.place, f"{where}.{name}.id", match[1])
    return ""
