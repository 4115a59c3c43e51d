"""Events told as DCSA's Track & Trace 2.2 tells them: only what that standard has a word for.

    EQUIPMENT   a container was gated in or out, loaded or discharged; of our own readings the gates of containers that
                carry pledged goods, since of others nobody here knows whether they are laden, which must be said
    TRANSPORT   a vessel arrived or departed, with the container that the notice is about
    SHIPMENT    a bill of lading or a customs entry, and holds, by the paper's number

Track & Trace 2.2 knows no retraction: what has been taken back is told no more. Who must hear of it reads EPCIS.

`eventCreatedDateTime` is when it was recorded here, so that who asks for what is new since his last question misses
nothing that came late. The standard wants a shipment event's `eventDateTime` to be the same; here it is when the paper
says that it happened, because a bank asks for that.

Names, codes and required fields: DCSA OpenAPI, tnt/v2, version 2.2.0.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.identifiers import is_container
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.trade import epcis_out
from pledgewatch_cloud.decide.trade.notice import Notice
from pledgewatch_cloud.decide.trade.telling import Telling, degrees

VERSION = "2.2.0"
EVENT_TYPES = ("EQUIPMENT", "TRANSPORT", "SHIPMENT")

Document = dict[str, Any]

_GATES = {EventType.FENCE_ENTERED: "GTIN", EventType.FENCE_LEFT: "GTOT"}
_CLASSIFIERS = {"actual": "ACT", "estimated": "EST", "planned": "PLN"}
_GATES_OF_NOTICES: Mapping[str, tuple[str, str]] = {
    "empty_out": ("GTOT", "EMPTY"),
    "full_in": ("GTIN", "LADEN"),
    "full_out": ("GTOT", "LADEN"),
    "empty_return": ("GTIN", "EMPTY"),
}
_LIFTS = {"vessel_loaded": "LOAD", "discharged": "DISC"}
_CALLS = {"departed": "DEPA", "arrived": "ARRI"}
_SHIPMENT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "bill_of_lading_issued": ("ISSU", ("bill_of_lading",)),
    "bill_of_lading_surrendered": ("SURR", ("bill_of_lading",)),
    "bill_of_lading_voided": ("VOID", ("bill_of_lading",)),
    "customs_declared": ("SUBM", ("customs",)),
    "customs_cleared": ("APPR", ("customs",)),
    "customs_refused": ("REJE", ("customs",)),
    "hold_placed": ("HOLD", ("customs", "bill_of_lading", "booking")),
    "hold_lifted": ("RELS", ("bill_of_lading", "booking")),
}
"""By kind: the code, and the papers that it may be about; a customs entry that is released would be cleared as well."""
_DOCUMENTS = {"booking": "BKG", "bill_of_lading": "TRD", "customs": "CUS"}
_RELATED = ("booking", "bill_of_lading")
_GIVEN = (EventType.NOTICE_TAKEN, EventType.NOTICE_WITHDRAWN)
_LOCATION_NAME_MAX = 100
_IMO_DIGITS = 7


def told(one: Telling, carried: Collection[str] | None) -> Document | None:
    """An event as Track & Trace has it, but for when it was recorded; None where it has no word for it.

    `carried`: the references of the shipments that the asset carries lots of; None where it carries no lots.
    """
    if one.event.type in _GATES and carried is not None:
        return _gate(one, carried)
    if one.event.type in _GIVEN and one.notice is not None and one.notice.kind:
        return _notice(one.notice)
    return None


def recorded(document: Document, at_ms: int) -> Document:
    """An event with when it was recorded here; it is none of the standard's without."""
    return document | {"eventCreatedDateTime": iso(at_ms)}


def uuid(name: str) -> str:
    """A UUID that is the same for the same name: the first 122 bits of its SHA-256, as version 8 of RFC 9562."""
    digits = canonical.sha256(name.encode())[:32]
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _event(kind: str, identity: str, classifier: str, at_ms: int) -> Document:
    return {
        "eventID": uuid(identity),
        "eventType": kind,
        "eventClassifierCode": classifier,
        "eventDateTime": iso(at_ms),
    }


def _gate(one: Telling, carried: Collection[str]) -> Document | None:
    if not is_container(one.event.subject):
        return None
    location = {"locationName": one.text("fence")[:_LOCATION_NAME_MAX]}
    latitude, longitude = one.number("latitude_e7"), one.number("longitude_e7")
    if latitude is not None and longitude is not None:
        # The standard allows 10 and 11 characters: five decimals, of about a metre.
        location |= {"latitude": degrees(latitude)[:-2], "longitude": degrees(longitude)[:-2]}
    identity = epcis_out.event_id(one.journal, one.said.id)
    document = _event("EQUIPMENT", identity, "ACT", one.event.at_ms) | {
        "equipmentEventTypeCode": _GATES[one.event.type],
        "equipmentReference": one.event.subject,
        "emptyIndicatorCode": "LADEN",
        "eventLocation": location,
    }
    return document | _related(sorted(carried))


def _notice(notice: Notice) -> Document | None:
    named = dict(reference.split(":", 1) for reference in reversed(notice.references))
    container = named.get("container", "")
    body: Document
    if container and notice.kind in _GATES_OF_NOTICES:
        code, indicator = _GATES_OF_NOTICES[notice.kind]
        body = _equipment(code, container, indicator)
        if notice.place:
            body["eventLocation"] = {"UNLocationCode": notice.place}
    elif container and notice.kind in _LIFTS:
        body = _equipment(_LIFTS[notice.kind], container, "LADEN") | {"transportCall": _call(notice, named)}
    elif notice.kind in _CALLS:
        body = {
            "eventType": "TRANSPORT",
            "transportEventTypeCode": _CALLS[notice.kind],
            "transportCall": _call(notice, named),
        }
        if container:
            body["references"] = [{"referenceType": "EQ", "referenceValue": container}]
    else:
        code, papers = _SHIPMENT.get(notice.kind, ("", ()))
        paper = next((one for one in papers if one in named), "")
        if not paper:
            return None
        body = {
            "eventType": "SHIPMENT",
            "shipmentEventTypeCode": code,
            "documentTypeCode": _DOCUMENTS[paper],
            "documentID": named[paper],
        }
    if body["eventType"] != "SHIPMENT":
        body |= _related(notice.references)
    classifier = _CLASSIFIERS[notice.classifier]
    return _event(body["eventType"], epcis_out.notice_id(notice.key), classifier, notice.happened_ms) | body


def _equipment(code: str, container: str, indicator: str) -> Document:
    return {
        "eventType": "EQUIPMENT",
        "equipmentEventTypeCode": code,
        "equipmentReference": container,
        "emptyIndicatorCode": indicator,
    }


def _call(notice: Notice, named: Mapping[str, str]) -> Document:
    """A ship's call at a port, by an id that is the same for all that is said of it."""
    vessel = named.get("vessel", "")
    identity = f"{vessel}/{notice.place}" if vessel else epcis_out.notice_id(notice.key)
    call: Document = {"transportCallID": uuid(identity), "modeOfTransport": "VESSEL"}
    if notice.place:
        call["UNLocationCode"] = notice.place
    if len(vessel) == _IMO_DIGITS and vessel.isdigit():
        call["vessel"] = {"vesselIMONumber": vessel}
    return call


def _related(references: Iterable[str]) -> Document:
    pairs = [reference.split(":", 1) for reference in references]
    found = [
        {"documentReferenceType": _DOCUMENTS[kind], "documentReferenceValue": value}
        for kind, value in pairs
        if kind in _RELATED
    ]
    return {"documentReferences": found} if found else {}


class Query(NamedTuple):
    """What is asked for; empty: everything."""

    types: tuple[str, ...] = ()
    equipment_codes: tuple[str, ...] = ()
    transport_codes: tuple[str, ...] = ()
    shipment_codes: tuple[str, ...] = ()
    document_codes: tuple[str, ...] = ()
    equipment: str = ""
    booking: str = ""
    transport_document: str = ""
    document: str = ""
    place: str = ""


_CODES = {
    "equipment_codes": "equipmentEventTypeCode",
    "transport_codes": "transportEventTypeCode",
    "shipment_codes": "shipmentEventTypeCode",
    "document_codes": "documentTypeCode",
}


def answers(document: Document, query: Query) -> bool:
    """Whether an event is one that is asked for. A code that is asked for leaves out the events that have none of its
    sort, as the standard has it."""
    if query.types and document["eventType"] not in query.types:
        return False
    for asked, field in _CODES.items():
        wanted = getattr(query, asked)
        if wanted and document.get(field) not in wanted:
            return False
    if query.equipment and query.equipment not in _containers(document):
        return False
    if query.place and query.place not in _places(document):
        return False
    papers = _papers(document)
    asked_papers = (("BKG", query.booking), ("TRD", query.transport_document))
    if any(value and (kind, value) not in papers for kind, value in asked_papers):
        return False
    return not query.document or query.document in {value for _, value in papers}


def _containers(document: Document) -> set[str]:
    return {document.get("equipmentReference", ""), *(one["referenceValue"] for one in document.get("references", []))}


def _places(document: Document) -> set[str]:
    return {document.get(holder, {}).get("UNLocationCode", "") for holder in ("eventLocation", "transportCall")}


def _papers(document: Document) -> set[tuple[str, str]]:
    found = {
        (one["documentReferenceType"], one["documentReferenceValue"]) for one in document.get("documentReferences", [])
    }
    if "documentID" in document:
        found.add((document["documentTypeCode"], document["documentID"]))
    return found
