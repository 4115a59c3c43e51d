"""GS1 EPCIS 2.0 capture: what visibility events say of containers, vessels, papers and goods.

Read are an EPCISDocument, the answer to a query, and an event by itself, in JSON. Business steps are the words of the
Core Business Vocabulary, bare or as its URN or web address. The vocabulary has no gates, customs or titles; a sender
that wants to say them in EPCIS does as `epcis_out` does: the field `pledgewatch:kind` names the kind, or the step is
`urn:pledgewatch:step:customs_cleared`. An event that says nothing of our vocabulary, one with sensor readings among
them, is kept as `other` with what it is about.

An error declaration takes back the event with the same eventID. Where an event has no eventID, it is known by the hash
of all it says but when it was recorded and that it was in error, so that both have one identity.

Field names and words: GS1, EPCIS 2.0 and CBV 2.0.
"""

import re
from typing import Any

from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.trade import fields
from pledgewatch_cloud.decide.trade.fields import Faults
from pledgewatch_cloud.decide.trade.notice import Notice, NoticeError
from pledgewatch_cloud.decide.trade.telling import URN
from pledgewatch_cloud.decide.trade.vocabulary import NOTICE_KINDS, OTHER, REFERENCE_TYPES

_CBV = re.compile(
    r"(?:urn:epcglobal:cbv:(?:bizstep|btt):|https?://(?:ref|ns)\.gs1\.org/cbv/(?:BizStep|BTT)-|cbv:(?:BizStep|BTT)-)"
    r"([a-z_]+)"
)
_LOCODE = re.compile(r"(?i:urn:pledgewatch:place:|.*[:/#.]un-?locode[:/#=])([A-Za-z]{2}[A-Za-z2-9]{3})")
_QUOTED = re.compile(rb"%([0-9A-Fa-f]{2})")
_CONTAINER, _VESSEL = "urn:epc:id:bic:", "urn:epc:id:imovn:"
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
_EPC_LISTS = ("epcList", "childEPCs", "inputEPCList", "outputEPCList")
_CLASS_LISTS = ("quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList")


def read(sender: str, text: str) -> list[Notice]:
    """The notices in a document, the answer to a query, or one event. Raises NoticeError with every fault's place."""
    document = fields.document(text, _LAST_COUNTS)
    if not isinstance(document, dict):
        raise NoticeError(["the document: an object is needed"])
    faults = Faults()
    found = [notice for where, one in _events(document) for notice in faults.gathered([], _notices, sender, where, one)]
    faults.end()
    return found


def _events(document: dict[str, Any]) -> list[tuple[str, Any]]:
    kind = document.get("type")
    if kind == "EPCISDocument":
        path: tuple[str, ...] = ("epcisBody",)
    elif kind == "EPCISQueryDocument":
        path = ("epcisBody", "queryResults", "resultsBody")
    else:
        return [("event", document)]
    body = document
    for depth, name in enumerate(path, 1):
        body = fields.present(".".join(path[:depth]), body.get(name))
    where = ".".join((*path, "eventList"))
    if "eventList" not in body:
        raise NoticeError([f"{where}: is missing"])
    return [(f"{where}[{number}]", one) for number, one in enumerate(fields.listed(where, body["eventList"]))]


def _notices(sender: str, where: str, value: Any) -> list[Notice]:
    event = fields.present(where, value)
    faults = Faults()
    if not faults.gathered("", fields.worded, f"{where}.type", event.get("type")):
        faults.errors.append(f"{where}.type: is missing: an EPCIS event says of which type it is")
    identity = event.get("eventID") or fields.fingerprint(
        event, ("@context", "eventID", "recordTime", "errorDeclaration")
    )
    key = faults.gathered("", fields.own_key, f"{where}.eventID", sender, identity)
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
    faults.end()
    return [found]


def _kind(where: str, event: dict[str, Any], references: tuple[str, ...]) -> str:
    step = fields.worded(f"{where}.bizStep", event.get("bizStep"))
    if event.get("pledgewatch:kind") is not None:
        return fields.one_of(f"{where}.pledgewatch:kind", event["pledgewatch:kind"], NOTICE_KINDS)
    if step.startswith(f"{URN}step:"):
        named = step.removeprefix(f"{URN}step:")
        return named if named in NOTICE_KINDS else OTHER
    word, action = _word(step), fields.worded(f"{where}.action", event.get("action"))
    steps = _STEPS
    if any(one.startswith("vessel:") for one in references):
        steps = _STEPS | _STEPS_OF_VESSELS
    kind, actions = steps.get(word, (OTHER, _SEEN))
    return kind if action in actions else OTHER


def _word(text: str) -> str:
    """The bare word of the Core Business Vocabulary, however it is written; other texts as they are."""
    match = _CBV.fullmatch(text)
    return match[1] if match else text


def _references(faults: Faults, where: str, event: dict[str, Any]) -> tuple[str, ...]:
    some: list[tuple[str, Any]] = [(f"{where}.parentID", event.get("parentID"))]
    for name in _EPC_LISTS:
        listed = faults.gathered([], fields.listed, f"{where}.{name}", event.get(name))
        some += [(f"{where}.{name}[{number}]", one) for number, one in enumerate(listed)]
    for name in _CLASS_LISTS:
        for place, one in _objects(faults, f"{where}.{name}", event.get(name)):
            some.append((f"{place}.epcClass", one.get("epcClass")))
    found: list[tuple[str, str, Any]] = []
    found += [(place, *_object(faults, place, value)) for place, value in some if value is not None]
    for place, one in _objects(faults, f"{where}.bizTransactionList", event.get("bizTransactionList")):
        word = faults.gathered("", fields.worded, f"{place}.type", one.get("type"))
        kind = word.removeprefix(f"{URN}transaction:")
        kind = kind if kind in REFERENCE_TYPES else _TRANSACTIONS.get(_word(word), "")
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
