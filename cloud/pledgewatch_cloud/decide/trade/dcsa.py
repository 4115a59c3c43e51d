"""DCSA Track & Trace: what carriers say of containers, vessels and papers, as versions 2.2 and 3.0 write it.

The flat events of 2.2, the events of 3.0.0-Beta-1 (`metadata` and `payload`, with `retractedEventID`) and those of
3.0.0 (`eventClassification`, editions by `eventUpdatedDateTime`, `isRetracted`) are first brought into one shape, with
the codes of 2.2; then tables say which notices an event makes. An event that says nothing of our vocabulary, a code
that is not known here among them, is kept as `other`. Version 2.2 has no word for taking back: a carrier that must,
hands in a withdrawal in the plain form.

Field names and codes: DCSA, Track & Trace 2.2.0, 3.0.0-Beta-1 and 3.0.0 (OpenAPI), and the reference data of its
information model.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.trade import fields
from pledgewatch_cloud.decide.trade.fields import Faults
from pledgewatch_cloud.decide.trade.notice import Notice, NoticeError
from pledgewatch_cloud.decide.trade.vocabulary import OTHER

_CLASSIFIERS = {
    "ACT": "actual",
    "ACTUAL": "actual",
    "EST": "estimated",
    "ESTIMATED": "estimated",
    "PLN": "planned",
    "PLANNED": "planned",
}
_CODES = {
    "LOADED": "LOAD",
    "DISCHARGED": "DISC",
    "GATED_IN": "GTIN",
    "GATED_OUT": "GTOT",
    "ARRIVED": "ARRI",
    "DEPARTED": "DEPA",
    "RECEIVED": "RECE",
    "SUBMITTED": "SUBM",
    "APPROVED": "APPR",
    "REJECTED": "REJE",
    "DECLINED": "REJE",
    "ISSUED": "ISSU",
    "SURRENDERED": "SURR",
    "SURRENDERED_FOR_DELIVERY": "SURR",
    "VOIDED": "VOID",
    "ON_HOLD": "HOLD",
    "RELEASED": "RELS",
}
"""The words of 3.0.0 as the codes of 2.2. What is surrendered for amendment is not surrendered for the goods."""
_DOCUMENTS = {
    "TRD": "bill_of_lading",
    "TRANSPORT_DOCUMENT": "bill_of_lading",
    "BKG": "booking",
    "BOOKING": "booking",
    "CBR": "booking",
    "CARRIER_BOOKING_REQUEST": "booking",
    "CUS": "customs",
    "CUSTOMS_CLEARANCE": "customs",
    "INVOICE": "invoice",
}
_REFERENCES = {"EQ": "container", "EQUIPMENT_REFERENCE": "container", "CUSTOMER_SHIPMENT_ID": "shipment"}

_GATES = {
    ("GTOT", "EMPTY"): ("empty_out", ("IMPORT", "TRANSSHIPMENT")),
    ("GTIN", "LADEN"): ("full_in", ("IMPORT", "TRANSSHIPMENT")),
    ("GTOT", "LADEN"): ("full_out", ("EXPORT", "TRANSSHIPMENT")),
    ("GTIN", "EMPTY"): ("empty_return", ("EXPORT", "TRANSSHIPMENT")),
}
"""By code and whether the container is empty: the kind, and the phases of transport in which it is not meant."""
_LIFTS = {"LOAD": "vessel_loaded", "DISC": "discharged"}
_CALLS = {"ARRI": "arrived", "DEPA": "departed"}
_PAPERS = {
    ("bill_of_lading", "ISSU"): ("bill_of_lading_issued",),
    ("bill_of_lading", "SURR"): ("bill_of_lading_surrendered",),
    ("bill_of_lading", "VOID"): ("bill_of_lading_voided",),
    ("customs", "SUBM"): ("customs_declared",),
    ("customs", "RECE"): ("customs_declared",),
    ("customs", "APPR"): ("customs_cleared",),
    ("customs", "RELS"): ("customs_cleared", "hold_lifted"),
    ("customs", "REJE"): ("customs_refused",),
}
_HOLDS = {"HOLD": ("hold_placed",), "RELS": ("hold_lifted",)}


class _Told(NamedTuple):
    """An event of any version: its fields as they came, each with where it stands in the document."""

    type: tuple[str, Any]
    code: tuple[str, Any]
    classifier: tuple[str, Any]
    happened_at: tuple[str, Any]
    document: tuple[str, Any]
    empty: Any
    phase: Any
    mode: Any
    facility: Any
    vessel: tuple[str, Any]
    places: tuple[tuple[str, Any], ...]
    references: list[tuple[str, Any, Any]]


def read(sender: str, text: str) -> list[Notice]:
    """The notices in one event, a list of events, or {"events": [...]}. Raises NoticeError with every fault's place."""
    document = fields.document(text)
    where = ""
    if isinstance(document, dict) and "events" in document:
        document, where = document["events"], "events"
    if isinstance(document, dict):
        events = [("event", document)]
    elif isinstance(document, list):
        events = [(f"{where}[{number}]", one) for number, one in enumerate(fields.listed("events", document))]
    else:
        raise NoticeError(['the document: an event, a list of events or {"events": [...]} is needed'])
    faults = Faults()
    found = [notice for place, one in events for notice in faults.gathered([], _notices, sender, place, one)]
    faults.end()
    return found


def _notices(sender: str, where: str, value: Any) -> list[Notice]:
    event = fields.present(where, value)
    faults = Faults()
    if "metadata" in event:
        found = _beta(faults, sender, where, event)
    elif "eventClassification" in event or "isRetracted" in event:
        found = _edition(faults, sender, where, event)
    else:
        identity = event.get("eventID") or fields.fingerprint(event, ("eventID", "eventCreatedDateTime"))
        key = faults.gathered("", fields.own_key, f"{where}.eventID", sender, identity)
        found = _said(
            faults,
            sender,
            key,
            key,
            0,
            _older(faults, where, event, (f"{where}.eventType", event.get("eventType")), _NAMES_OF_22),
        )
    faults.end()
    return found


def _said(faults: Faults, sender: str, key: str, event: str, edition_ms: int, told: _Told) -> list[Notice]:
    """One notice for each kind that an event says."""
    if not faults.gathered("?", fields.worded, *told.type):
        faults.errors.append(f"{told.type[0]}: is missing")
    happened_ms = faults.gathered(0, fields.moment, *told.happened_at)
    classifier = _CLASSIFIERS.get(faults.gathered("ACT", fields.one_of, *told.classifier, _CLASSIFIERS), "")
    some = [(where, kind, value) for where, kind, value in told.references if kind and value not in (None, "")]
    if told.vessel[1]:
        some.append((told.vessel[0], "vessel", told.vessel[1]))
    references = fields.references(faults, some)
    places = [faults.gathered("", fields.place, where, value) for where, value in told.places]
    kinds = faults.gathered((OTHER,), _kinds, told)
    one = Notice(key, sender, kinds[0], happened_ms, classifier, references, next(filter(None, places), ""))
    if edition_ms or len(kinds) > 1:
        one = one._replace(event=event, edition_ms=edition_ms)
    return [one] + [one._replace(key=f"{key}#{kind}", kind=kind) for kind in kinds[1:]]


def _kinds(told: _Told) -> tuple[str, ...]:
    """What an event says, in the words of our vocabulary; OTHER where there are none for it."""
    word = fields.worded(*told.code)
    code = _CODES.get(word, word)
    match told.type[1]:
        case "EQUIPMENT":
            return (_equipment(told, code),)
        case "TRANSPORT" if _is_by_vessel(told):
            return (_CALLS.get(code, OTHER),)
        case "SHIPMENT":
            name = fields.worded(*told.document)
            kinds = _PAPERS.get((_DOCUMENTS.get(name, ""), code))
            # A shipment release message is the carrier's own word, and lifts nobody's hold.
            return kinds or (_HOLDS.get(code, (OTHER,)) if name != "SRM" else (OTHER,))
    return (OTHER,)


def _equipment(told: _Told, code: str) -> str:
    gate = _GATES.get((code, told.empty)) if isinstance(told.empty, str) else None
    if gate:
        return OTHER if told.phase in gate[1] else gate[0]
    if code in _LIFTS and told.empty != "EMPTY" and _is_by_vessel(told):
        return "transshipped" if told.phase == "TRANSSHIPMENT" else _LIFTS[code]
    if code in ("AVPU", "AVAILABLE_FOR_PICKUP") and told.empty != "EMPTY":
        return "available_for_pickup"
    return {"CUSTOMS_RELEASED": "customs_cleared", "HOLD": "hold_placed"}.get(code, OTHER)


def _is_by_vessel(told: _Told) -> bool:
    """Whether it is a ship that loads, leaves or calls: said so, or where no mode is said, shown by ship or port."""
    if not told.mode:
        return bool(told.vessel[1]) or told.facility in ("POTE", "PORT_TERMINAL")
    return bool(told.mode == "VESSEL")


class _Names(NamedTuple):
    """What 2.2 and 3.0.0-Beta-1 call the same things."""

    document: str
    documents: str
    document_type: str
    document_value: str
    reference_type: str
    reference_value: str


_NAMES_OF_22 = _Names(
    "documentID",
    "documentReferences",
    "documentReferenceType",
    "documentReferenceValue",
    "referenceType",
    "referenceValue",
)
_NAMES_OF_BETA = _Names("documentReference", "relatedDocumentReferences", "type", "value", "type", "value")


def _beta(faults: Faults, sender: str, where: str, event: dict[str, Any]) -> list[Notice]:
    """3.0.0-Beta-1. A retraction may come without a payload."""
    head = faults.gathered({}, fields.mapped, f"{where}.metadata", event["metadata"])
    key = faults.gathered("", fields.own_key, f"{where}.metadata.eventID", sender, head.get("eventID"))
    if head.get("retractedEventID") is not None:
        place = f"{where}.metadata.retractedEventID"
        retracted = faults.gathered("", fields.own_key, place, sender, head["retractedEventID"])
        place = f"{where}.metadata.eventCreatedDateTime"
        created_ms = faults.gathered(0, fields.moment, place, head.get("eventCreatedDateTime"))
        return [Notice(key, sender, "", created_ms, withdraws=retracted)]
    payload = faults.gathered({}, fields.present, f"{where}.payload", event.get("payload"))
    kind = (f"{where}.metadata.eventType", head.get("eventType"))
    return _said(faults, sender, key, key, 0, _older(faults, f"{where}.payload", payload, kind, _NAMES_OF_BETA))


def _older(faults: Faults, where: str, body: dict[str, Any], kind: tuple[str, Any], names: _Names) -> _Told:
    """An event as 2.2 and 3.0.0-Beta-1 write it."""
    call = faults.gathered({}, fields.mapped, f"{where}.transportCall", body.get("transportCall"))
    within = f"{where}.transportCall"
    location = faults.gathered({}, fields.mapped, f"{within}.location", call.get("location"))
    own = faults.gathered({}, fields.mapped, f"{where}.eventLocation", body.get("eventLocation"))
    vessel = faults.gathered({}, fields.mapped, f"{within}.vessel", call.get("vessel"))
    references = [
        (f"{where}.equipmentReference", "container", body.get("equipmentReference")),
        (f"{where}.{names.document}", _document_type(body.get("documentTypeCode")), body.get(names.document)),
        *_pairs(faults, where, body, names.documents, names.document_type, names.document_value, _DOCUMENTS),
        *_pairs(faults, where, body, "references", names.reference_type, names.reference_value, _REFERENCES),
    ]
    codes = {"EQUIPMENT": "equipmentEventTypeCode", "TRANSPORT": "transportEventTypeCode"}
    code = codes.get(str(kind[1]), "shipmentEventTypeCode")
    return _Told(
        kind,
        (f"{where}.{code}", body.get(code)),
        (f"{where}.eventClassifierCode", body.get("eventClassifierCode")),
        (f"{where}.eventDateTime", body.get("eventDateTime")),
        (f"{where}.documentTypeCode", body.get("documentTypeCode")),
        body.get("emptyIndicatorCode"),
        "TRANSSHIPMENT" if body.get("isTransshipmentMove") is True else None,
        call.get("modeOfTransport"),
        call.get("facilityTypeCode") or body.get("facilityTypeCode"),
        (f"{within}.vessel.vesselIMONumber", vessel.get("vesselIMONumber")),
        (
            (f"{where}.eventLocation.UNLocationCode", own.get("UNLocationCode")),
            (f"{within}.UNLocationCode", call.get("UNLocationCode")),
            (f"{within}.location.UNLocationCode", location.get("UNLocationCode")),
        ),
        references,
    )


def _edition(faults: Faults, sender: str, where: str, event: dict[str, Any]) -> list[Notice]:
    """3.0.0: an edition of an event, which overrides the earlier ones; a retracted one says nothing."""
    key = faults.gathered("", fields.own_key, f"{where}.eventID", sender, event.get("eventID"))
    place = f"{where}.eventUpdatedDateTime"
    edition_ms = faults.gathered(0, fields.moment, place, event.get("eventUpdatedDateTime"))
    edition = f"{key}@{iso(edition_ms)}"
    if event.get("isRetracted") is True:
        return [Notice(edition, sender, "", edition_ms, event=key, edition_ms=edition_ms)]
    return _said(faults, sender, edition, key, edition_ms, _newer(faults, where, event))


def _newer(faults: Faults, where: str, event: dict[str, Any]) -> _Told:
    """An event as 3.0.0 writes it."""

    def inner(outer: Mapping[str, Any], *names: str) -> dict[str, Any]:
        found: dict[str, Any] = dict(outer)
        for depth, name in enumerate(names, 1):
            found = faults.gathered({}, fields.mapped, ".".join((where, *names[:depth])), found.get(name))
        return found

    kinds, location = inner(event, "eventClassification"), inner(event, "eventLocation")
    equipment, shipment = inner(event, "equipmentDetails"), inner(event, "shipmentDetails")
    call = inner(event, "transportDetails", "transportCall")
    vessel = inner(event, "transportDetails", "transportCall", "vesselTransport")
    main = inner(event, "shipmentDetails", "documentReference")
    kind = kinds.get("eventType")
    code = f"{kind.lower()}EventType" if isinstance(kind, str) else "eventType"
    within = f"{where}.shipmentDetails"
    references = [
        (f"{where}.equipmentDetails.equipmentReference", "container", equipment.get("equipmentReference")),
        (f"{within}.documentReference.reference", _document_type(main.get("type")), main.get("reference")),
        *_pairs(faults, within, shipment, "additionalDocumentReferences", "type", "reference", _DOCUMENTS),
        *_pairs(faults, within, shipment, "shipmentReferences", "type", "reference", _REFERENCES),
    ]
    return _Told(
        (f"{where}.eventClassification.eventType", kind),
        (f"{where}.eventClassification.{code}", kinds.get(code)),
        (f"{where}.eventClassification.eventClassifier", kinds.get("eventClassifier")),
        (f"{where}.eventDateTime", event.get("eventDateTime")),
        (f"{within}.documentReference.type", main.get("type")),
        equipment.get("emptyIndicator"),
        equipment.get("transportPhase"),
        call.get("modeOfTransport"),
        location.get("facilityType"),
        (
            f"{where}.transportDetails.transportCall.vesselTransport.vesselIMONumber",
            vessel.get("vesselIMONumber"),
        ),
        ((f"{where}.eventLocation.UNLocationCode", location.get("UNLocationCode")),),
        references,
    )


def _document_type(code: Any) -> str:
    return _DOCUMENTS.get(code, "") if isinstance(code, str) else ""


def _pairs(
    faults: Faults, where: str, body: dict[str, Any], name: str, type_name: str, value_name: str, known: dict[str, str]
) -> list[tuple[str, str, Any]]:
    """References that come as a list of types and values; those of types that are not known here are passed over."""
    found = []
    for number, value in enumerate(faults.gathered([], fields.listed, f"{where}.{name}", body.get(name))):
        place = f"{where}.{name}[{number}]"
        one = faults.gathered({}, fields.present, place, value)
        word = faults.gathered("", fields.worded, f"{place}.{type_name}", one.get(type_name))
        found.append((f"{place}.{value_name}", known.get(word, ""), one.get(value_name)))
    return found
