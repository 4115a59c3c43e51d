"""Events told as GS1 EPCIS 2.0 tells them, in JSON that its schema accepts.

    fence entered, left             ObjectEvent: arriving, departing
    condition, mean kinetic temp.   ObjectEvent: sensor_reporting, with what the sensor said
    milestone                       TransactionEvent: the goods are tied to the transaction, observed, or let go
    notice of a container           ObjectEvent
    notice of a paper or of stock   TransactionEvent with the papers' numbers, where it names any
    notice captured as EPCIS        the event as it was captured

What is taken back is told as the standard has it: the same event again, under its id, with an `errorDeclaration` that
names the events in its stead. So nothing that was told is ever missing, and who reads on knows what still counts.

Only what has happened is told: a notice of what is planned is none. Of our own events those are told that are about
goods and money; what is said of devices, alerts and bases is read elsewhere. What the standard has no word for has one
of ours: `pledgewatch:` in a document is `urn:pledgewatch:`.

Two senders may call different events by the same id. So what was captured is told under an id of ours; the sender's own
is in `pledgewatch:eventID`, and finds it as well.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.identifiers import is_container
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.trade import fields
from pledgewatch_cloud.decide.trade.epcis import CLASS_LISTS, EPC_LISTS, Captured
from pledgewatch_cloud.decide.trade.epcis_rules import bare, is_uri
from pledgewatch_cloud.decide.trade.notice import Notice
from pledgewatch_cloud.decide.trade.telling import URN, Telling, degrees, urn
from pledgewatch_cloud.decide.trade.vocabulary import NOTICE_KINDS

CONTEXT: list[Any] = [
    "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
    {"pledgewatch": URN},
]
SCHEMA_VERSION = "2.0"

Document = dict[str, Any]


class Measure(NamedTuple):
    """What a channel is, as EPCIS names it: the kind of measurement, its unit, and how many of ours make one of it."""

    type: str
    unit: str = ""
    scale: int = 1


_TEMPERATURE = Measure("Temperature", "CEL", 1_000)
_MEASURES: Mapping[str, Measure] = {
    "temperature_mc": _TEMPERATURE,
    **{f"temperature_{probe}_mc": _TEMPERATURE for probe in range(1, 8)},
    "humidity_cpercent": Measure("RelativeHumidity", "P1", 100),
    "battery_mv": Measure("Voltage", "VLT", 1_000),
    "speed_mmps": Measure("Speed", "MTS", 1_000),
    "altitude_mm": Measure("Altitude", "MTR", 1_000),
    "light_mlx": Measure("Illuminance", "LUX", 1_000),
    "shock_mg": Measure("Acceleration", "K40", 1_000),
}
# Units are those of UN/ECE Recommendation 20: degree Celsius, percent, volt, metre a second, metre, lux, free fall.

_CONDITIONS = {
    EventType.CONDITION_BREACHED: "ALARM_CONDITION",
    EventType.CONDITION_RESTORED: "",
    EventType.CONDITION_UNKNOWN: "ERROR_CONDITION",
    EventType.CONDITION_KNOWN_AGAIN: "",
    EventType.MKT_EXCEEDED: "ALARM_CONDITION",
    EventType.MKT_UNCERTAIN: "ERROR_CONDITION",
    EventType.MKT_RESTORED: "",
}
_FENCES = {
    EventType.FENCE_ENTERED: "arriving",
    EventType.FENCE_LEFT: "departing",
    EventType.FENCE_CONFIRMED: "sensor_reporting",
}
_MILESTONES = {
    EventType.MILESTONE_MET: "ADD",
    EventType.MILESTONE_RELEASED: "OBSERVE",
    EventType.MILESTONE_HELD: "OBSERVE",
    EventType.MILESTONE_RETRACTED: "DELETE",
    EventType.MILESTONE_RESUMED: "ADD",
    EventType.MILESTONE_QUESTIONED: "OBSERVE",
    EventType.MILESTONE_REAFFIRMED: "OBSERVE",
    EventType.MILESTONE_EXPIRED: "DELETE",
    EventType.MILESTONE_WAIVED: "ADD",
}
_STEPS = {
    "empty_out": "departing",
    "full_in": "arriving",
    "vessel_loaded": "loading",
    "departed": "departing",
    "arrived": "arriving",
    "discharged": "unloading",
    "available_for_pickup": "staging_outbound",
    "full_out": "departing",
    "empty_return": "arriving",
    "hold_placed": "holding",
    "goods_received": "receiving",
    "goods_counted": "stock_taking",
}
"""By kind of notice the nearest word there is. `pledgewatch:kind` says which kind it is."""
_PAPERS = {
    "bill_of_lading": "bol",
    "invoice": "inv",
    **{kind: urn("transaction", kind) for kind in ("booking", "shipment", "customs", "insurance", "receipt")},
}
_THINGS = frozenset({"container", "vessel", "lot", "epc"})
_CLASS = re.compile(r"urn:epc:(?:class|idpat):.*|https?://.*/01/[0-9]{14}(?:/10/[^/]+)?")
"""What names a class of goods and not one thing: a URN of the standard, or a Digital Link to a GTIN or a lot of it."""
_IMO = re.compile(r"[0-9]{7}")
_GIVEN = (EventType.NOTICE_TAKEN, EventType.NOTICE_WITHDRAWN)


def event_id(journal: str, said_id: str) -> str:
    """The world-wide id of an event of ours."""
    return urn("event", f"{journal}:{said_id}")


def notice_id(key: str) -> str:
    """The world-wide id of what a sender said."""
    return urn("notice", key)


def epc(asset: str) -> str:
    """The world-wide name of an asset: the container's number where its id is one."""
    return f"urn:epc:id:bic:{asset}" if is_container(asset) else urn("asset", asset)


def told(one: Telling, captured: Captured | None = None) -> Document | None:
    """An event as EPCIS has it, but for when it was recorded; None where it is not told, or is a retraction (see
    `declared_wrong`). For `captured` see `notice_told`."""
    kind = one.event.type
    if kind in _FENCES:
        return _fence(one)
    if kind in _CONDITIONS:
        return _condition(one)
    if kind in _MILESTONES:
        return _milestone(one)
    if kind in _GIVEN and one.notice is not None:
        return notice_told(one.notice, captured)
    return None


def declared_wrong(document: Document, in_its_stead: Sequence[str]) -> Document:
    """An event that was told, as it is told again once it is known to be wrong; `in_its_stead`: the ids of the events
    that replace it."""
    if not in_its_stead:
        return document | {"errorDeclaration": {"reason": "did_not_occur"}}
    return document | {"errorDeclaration": {"reason": "incorrect_data", "correctiveEventIDs": list(in_its_stead)}}


def recorded(document: Document, at_ms: int) -> Document:
    """An event with when it was recorded here, which is when its error was declared, if it was. Nobody may be told it
    without."""
    document = document | {"recordTime": iso(at_ms)}
    if "errorDeclaration" in document:
        document["errorDeclaration"] = {"declarationTime": iso(at_ms)} | document["errorDeclaration"]
    return document


def query_document(events: Sequence[Document], made_ms: int) -> Document:
    """What a query is answered with."""
    return {
        "@context": CONTEXT,
        "type": "EPCISQueryDocument",
        "schemaVersion": SCHEMA_VERSION,
        "creationDate": iso(made_ms),
        "epcisBody": {
            "queryResults": {"queryName": "SimpleEventQuery", "resultsBody": {"eventList": list(events)}},
        },
    }


def capture_document(events: Sequence[Document], made_ms: int) -> Document:
    """The same events as they would be captured elsewhere."""
    return {
        "@context": CONTEXT,
        "type": "EPCISDocument",
        "schemaVersion": SCHEMA_VERSION,
        "creationDate": iso(made_ms),
        "epcisBody": {"eventList": list(events)},
    }


def _event(kind: str, identity: str, at_ms: int, action: str) -> Document:
    return {
        "type": kind,
        "eventID": identity,
        "eventTime": iso(at_ms),
        "eventTimeZoneOffset": "+00:00",
        "action": action,
    }


def _own(one: Telling, kind: str, action: str) -> Document:
    return _event(kind, event_id(one.journal, one.said.id), one.event.at_ms, action)


def _fence(one: Telling) -> Document:
    fence = {"id": urn("fence", one.text("fence"))}
    document = _own(one, "ObjectEvent", "OBSERVE") | {
        "bizStep": _FENCES[one.event.type],
        "epcList": [epc(one.event.subject)],
        "readPoint": fence,
        "pledgewatch:grade": one.text("grade"),
    }
    if one.event.type is EventType.FENCE_LEFT:
        document["disposition"] = "in_transit"
    else:
        document["bizLocation"] = fence
    latitude, longitude = one.number("latitude_e7"), one.number("longitude_e7")
    if latitude is not None and longitude is not None:
        document["pledgewatch:position"] = f"geo:{degrees(latitude)},{degrees(longitude)}"
    return document


def _condition(one: Telling) -> Document:
    kind, lot = one.event.type, one.text("lot")
    report = _kinetic_report(one) if one.text("channel") == "" else _report(one)
    if _CONDITIONS[kind]:
        report["exception"] = _CONDITIONS[kind]
    about: Document = {"bizRules": urn("limit", f"{lot}/{one.text('limit') or 'mean_kinetic_temperature'}")}
    if one.text("device"):
        about["deviceID"] = urn("device", one.text("device"))
    since_ms = one.number("since_ms")
    if since_ms is None:
        about["time"] = iso(one.event.at_ms)
    else:
        about |= {"startTime": iso(since_ms), "endTime": iso(one.event.at_ms)}
    document = _own(one, "ObjectEvent", "OBSERVE") | {
        "bizStep": "sensor_reporting",
        "epcList": [epc(one.event.subject), urn("lot", lot)],
        "sensorElementList": [{"sensorMetadata": about, "sensorReport": [report]}],
        "pledgewatch:found": kind.value,
    }
    if _CONDITIONS[kind] == "ALARM_CONDITION":
        document["disposition"] = "non_conformant"
    return document


def _report(one: Telling) -> Document:
    channel = one.text("channel")
    measure = _MEASURES.get(channel, Measure(urn("measurement", channel)))
    report: Document = {"type": measure.type}
    value = one.number("value")
    if value is not None:
        report["value"] = _decimal(value, measure.scale)
        if measure.unit:
            report["uom"] = measure.unit
    return report


def _kinetic_report(one: Telling) -> Document:
    report: Document = {
        "type": _TEMPERATURE.type,
        "uom": _TEMPERATURE.unit,
        "dataProcessingMethod": urn("method", "mean_kinetic_temperature"),
    }
    for name, bound in (("minValue", "lower_mc"), ("maxValue", "upper_mc")):
        value = one.number(bound)
        if value is not None:
            report[name] = _decimal(value, _TEMPERATURE.scale)
    return report


def _decimal(value: int, scale: int) -> int | float:
    """A number of ours in another unit; a JSON number shows all of its digits."""
    return value // scale if value % scale == 0 else value / scale


def _milestone(one: Telling) -> Document:
    kind, lot = one.event.type, one.text("lot")
    milestone = urn("milestone", one.text("milestone"))
    return _own(one, "TransactionEvent", _MILESTONES[kind]) | {
        "bizStep": urn("step", kind.value),
        "bizTransactionList": [{"type": urn("transaction", "milestone"), "bizTransaction": milestone}],
        "epcList": [urn("lot", lot)] if lot else [],
        "pledgewatch:facility": one.event.subject,
    }


def notice_told(notice: Notice, captured: Captured | None = None) -> Document | None:
    """What a sender said as EPCIS has it, but for when it was recorded; None for what is planned, or says nothing.
    `captured` is the event that it was read from, where it is known and was one of EPCIS: then that is told."""
    if notice.classifier != "actual" or not notice.kind:
        return None
    if captured is not None:
        return _again(notice, captured)
    references = [reference.split(":", 1) for reference in notice.references]
    named = [_thing(kind, value) for kind, value in references if kind in _THINGS]
    classes = [{"epcClass": one} for one in named if _CLASS.fullmatch(one)]
    things = [one for one in named if not _CLASS.fullmatch(one)]
    papers = [
        {"type": _PAPERS[kind], "bizTransaction": urn(kind, value)} for kind, value in references if kind in _PAPERS
    ]
    is_of_papers = bool(papers) and (not named or NOTICE_KINDS[notice.kind].subject == "shipment")
    kind = "TransactionEvent" if is_of_papers else "ObjectEvent"
    document = _event(kind, notice_id(notice.key), notice.happened_ms, "OBSERVE")
    document |= {
        "bizStep": _STEPS.get(notice.kind) or urn("step", notice.kind),
        "epcList": things,
        "pledgewatch:kind": notice.kind,
        "pledgewatch:sender": notice.sender,
    }
    if classes:
        document["quantityList"] = classes
    if papers:
        document["bizTransactionList"] = papers
    if notice.place:
        document["readPoint"] = {"id": urn("place", notice.place)}
    return document


def _again(notice: Notice, captured: Captured) -> Document:
    """An event as it was captured, but for what is said of it here: its id, when it was recorded, and whether it is
    wrong. The context that its own fields need goes with it."""
    said = {name: value for name, value in captured.event.items() if name not in ("@context", "errorDeclaration")}
    document: Document = said | {
        "eventID": notice_id(notice.key),
        "pledgewatch:kind": notice.kind,
        "pledgewatch:sender": notice.sender,
    }
    if "eventID" in said:
        document["pledgewatch:eventID"] = said["eventID"]
    context = [one for one in captured.context if one not in CONTEXT]
    return document | ({"@context": [*context, CONTEXT[-1]]} if context else {})


def _thing(kind: str, value: str) -> str:
    match kind:
        case "epc" if is_uri(value):
            return value
        case "container":
            return epc(value)
        case "vessel":
            return f"urn:epc:id:imovn:{value}" if _IMO.fullmatch(value) else urn(kind, value)
    return urn(kind, value)


class Query(NamedTuple):
    """What is asked for; empty: everything. Moments are Unix milliseconds; until is not included."""

    types: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    dispositions: tuple[str, ...] = ()
    read_points: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    epcs: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    wrong_only: bool = False
    from_ms: int | None = None
    until_ms: int | None = None


def answers(document: Document, query: Query) -> bool:
    """Whether an event is one that is asked for."""
    at_ms = fields.moment("eventTime", document["eventTime"])
    if query.from_ms is not None and at_ms < query.from_ms:
        return False
    if query.until_ms is not None and at_ms >= query.until_ms:
        return False
    if query.wrong_only and "errorDeclaration" not in document:
        return False
    return all(not wanted or not found(document).isdisjoint(wanted) for wanted, found in _asked(query))


def _asked(query: Query) -> tuple[tuple[Iterable[str], Callable[[Document], set[Any]]], ...]:
    """What is wanted, and what an event has of it. Words of the standard are the same however they are written."""
    return (
        (query.types, lambda document: {document["type"]}),
        (query.actions, lambda document: {document.get("action")}),
        ([bare(one) for one in query.steps], lambda document: {bare(document.get("bizStep", ""))}),
        ([bare(one) for one in query.dispositions], lambda document: {bare(document.get("disposition", ""))}),
        (query.read_points, lambda document: {document.get("readPoint", {}).get("id")}),
        (query.locations, lambda document: {document.get("bizLocation", {}).get("id")}),
        (query.epcs, _epcs),
        (query.classes, _classes),
        (query.ids, lambda document: {document["eventID"], document.get("pledgewatch:eventID")}),
    )


def _epcs(document: Document) -> set[Any]:
    return {document.get("parentID"), *(one for name in EPC_LISTS for one in document.get(name, ()))}


def _classes(document: Document) -> set[Any]:
    return {one["epcClass"] for name in CLASS_LISTS for one in document.get(name, ())}
