"""EPCIS 2.0 coming in: every official example is captured, what each step says as a table, errors take back."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from needed import DATA, needs
from trading import CONTAINER, NOON, NOON_MS, errors, read

from pledgewatch_cloud.decide.events import EventType, SaidEvent
from pledgewatch_cloud.decide.events import event as event_of
from pledgewatch_cloud.decide.trade import epcis_out, submission
from pledgewatch_cloud.decide.trade.notice import Notice, NoticeError
from pledgewatch_cloud.decide.trade.notice_book import NoticeBook
from pledgewatch_cloud.decide.trade.senders import Sender
from pledgewatch_cloud.decide.trade.telling import Telling
from pledgewatch_cloud.decide.trade.vocabulary import NOTICE_KINDS

SCHEMA = "std-epcis/EPCIS-JSON-Schema.json"
EXAMPLES = sorted((DATA / "std-epcis" / "JSON").rglob("*.jsonld"))
BOX, SHIP = f"urn:epc:id:bic:{CONTAINER}", "urn:epc:id:imovn:9176187"
PALLET = "urn:epc:id:sscc:0614141.1234567890"
CLASS = "urn:epc:class:lgtin:4012345.012345.998877"
MADE: dict[str, Any] = {"action": None, "epcList": None, "inputEPCList": [PALLET], "outputEPCList": [BOX]}
SENDERS = {"carrier": Sender("carrier")}


def event(step: str | None = "receiving", kind: str = "ObjectEvent", **changes: Any) -> dict[str, Any]:
    """An event by itself; a change to None leaves a field out."""
    fields: dict[str, Any] = {
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
        "type": kind,
        "eventID": "urn:uuid:1",
        "eventTime": NOON,
        "eventTimeZoneOffset": "+00:00",
        "epcList": [BOX],
        "action": "OBSERVE",
        "bizStep": step,
    }
    return {key: value for key, value in (fields | changes).items() if value is not None}


def document_of(*events: Any) -> dict[str, Any]:
    return {
        "@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": NOON,
        "epcisBody": {"eventList": list(events)},
    }


def lots(quantity: float) -> dict[str, Any]:
    return {"epcClass": CLASS, "quantity": quantity}


def kinds(*documents: dict[str, Any]) -> list[str]:
    return [one.kind for document in documents for one in read("epcis", document)]


def events_of(path: Path) -> list[dict[str, Any]]:
    body = json.loads(path.read_text(encoding="utf-8"))["epcisBody"]
    events: list[dict[str, Any]] = body.get("eventList") or body["queryResults"]["resultsBody"]["eventList"]
    return events


@needs("std-epcis")
def test_all_official_examples_are_there() -> None:
    assert len(EXAMPLES) == 47


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_official_example_is_captured(path: Path) -> None:
    found = read("epcis", path.read_text(encoding="utf-8"))
    events = events_of(path)
    assert len(found) == len(events) > 0
    submission.check(SENDERS, "carrier", found, NoticeBook())
    for one, document in zip(found, events, strict=True):
        if "errorDeclaration" in document:
            assert one.kind == ""
            assert one.withdraws.startswith(f"carrier/{document.get('eventID', 'sha-256:')}")
        elif document.get("bizStep") == "receiving" and document.get("action") in ("OBSERVE", "ADD"):
            assert one.kind == "goods_received"
        else:
            assert one.kind == "other"
        if "eventID" in document and "errorDeclaration" not in document:
            assert one.key == f"carrier/{document['eventID']}"
        named = {*document.get("epcList", []), *document.get("childEPCs", []), *document.get("inputEPCList", [])}
        assert {f"epc:{epc}" for epc in named} <= set(one.references)


@needs("std-epcis")
def test_the_same_examples_again_are_nothing_new() -> None:
    path = DATA / "std-epcis" / "JSON" / "WithErrorDeclaration" / "ErrorDeclarationAndCorrectiveEvent.jsonld"
    known = NoticeBook().taken(read("epcis", path.read_text(encoding="utf-8")))
    assert len(known) == 2
    assert known.fresh(read("epcis", path.read_text(encoding="utf-8"))) == []


def onto_ship(step: str, action: str) -> dict[str, Any]:
    """A ship that takes a container up or lets it go."""
    return event(step, "AggregationEvent", action=action, parentID=SHIP, epcList=None, childEPCs=[BOX])


TABLE: list[tuple[dict[str, Any], str]] = [
    # an event, and what it says
    (event("receiving"), "goods_received"),
    (event("urn:epcglobal:cbv:bizstep:receiving"), "goods_received"),
    (event("https://ref.gs1.org/cbv/BizStep-receiving"), "goods_received"),
    (event("https://ns.gs1.org/cbv/BizStep-receiving"), "goods_received"),
    (event("cbv:BizStep-receiving"), "goods_received"),
    (event("https://example.org/BizStep-receiving"), "other"),
    (event("receiving", action="ADD"), "goods_received"),
    (event("receiving", action="DELETE"), "other"),
    (event("receiving", "TransformationEvent", **MADE), "other"),
    (event("cycle_counting"), "goods_counted"),
    (event("stock_taking"), "goods_counted"),
    (event("cycle_counting", epcList=[], quantityList=[lots(7)]), "goods_counted"),
    (event("cycle_counting", epcList=None, quantityList=[lots(0.5)]), "goods_counted"),
    (event("cycle_counting", epcList=None, quantityList=[{"epcClass": CLASS}]), "goods_counted"),
    (event("cycle_counting", epcList=[]), "other"),
    (event("cycle_counting", epcList=[], bizTransactionList=[{"type": "bol", "bizTransaction": "urn:x:1"}]), "other"),
    (event("cycle_counting", epcList=[], quantityList=[lots(0)]), "other"),
    (event("cycle_counting", quantityList=[lots(7), lots(0)]), "other"),
    (event("receiving", quantityList=[lots(-1)]), "other"),
    (event("urn:pledgewatch:step:goods_counted", quantityList=[lots(0)]), "other"),
    (event("stock_taking", quantityList=[lots(0)], **{"pledgewatch:kind": "goods_received"}), "other"),
    (event("inspecting", quantityList=[lots(0)], **{"pledgewatch:kind": "customs_cleared"}), "customs_cleared"),
    (event("loading"), "other"),
    (event("departing"), "other"),
    (event("loading", epcList=[BOX, SHIP]), "vessel_loaded"),
    (onto_ship("loading", "ADD"), "vessel_loaded"),
    (onto_ship("loading", "DELETE"), "other"),
    (onto_ship("unloading", "DELETE"), "discharged"),
    (onto_ship("unloading", "ADD"), "other"),
    (event("departing", epcList=[BOX, SHIP]), "departed"),
    (event("arriving", epcList=[BOX, SHIP]), "arrived"),
    (event("sensor_reporting", epcList=[]), "other"),
    (event(None), "other"),
    (event("urn:pledgewatch:step:customs_cleared"), "customs_cleared"),
    (event("urn:pledgewatch:step:milestone_met"), "other"),
    (event("arriving", **{"pledgewatch:kind": "full_in"}), "full_in"),
    (event("arriving", **{"pledgewatch:vessel": "9176187"}), "arrived"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "kind"), TABLE)
def test_what_an_event_says(document: dict[str, Any], kind: str) -> None:
    assert kinds(document) == [kind]


@pytest.mark.parametrize("kind", NOTICE_KINDS)
def test_every_kind_can_be_said_by_a_step_or_a_field_of_ours(kind: str) -> None:
    assert kinds(event(f"urn:pledgewatch:step:{kind}"), event(**{"pledgewatch:kind": kind})) == [kind, kind]


def test_an_event_is_read_whole() -> None:
    document = event(
        "loading",
        "AggregationEvent",
        action="ADD",
        parentID=SHIP,
        epcList=None,
        childEPCs=[BOX, PALLET],
        childQuantityList=[{"epcClass": "urn:epc:class:lgtin:4012345.012345.998877", "quantity": 200.5, "uom": "KGM"}],
        bizTransactionList=[
            {"type": "bol", "bizTransaction": "urn:epcglobal:cbv:bt:0614141073467:B-1"},
            {"type": "urn:epcglobal:cbv:btt:inv", "bizTransaction": "urn:x:I-1"},
            {"type": "https://ref.gs1.org/cbv/BTT-bol", "bizTransaction": "urn:x:B-2"},
            {
                "type": "urn:pledgewatch:transaction:customs",
                "bizTransaction": "urn:pledgewatch:customs:26DE%2F1%20%C3%A9",
            },
            {"type": "po", "bizTransaction": "http://transaction.acme.com/po/12345678"},
            {"bizTransaction": "urn:epc:id:gdti:95252084.0001.0003555480001000"},
        ],
        readPoint={"id": "urn:epc:id:sgln:0614141.07346.1234"},
        bizLocation={"id": "https://vocabulary.uncefact.org/unlocode#CNSGH"},
        sensorElementList=[{"sensorReport": [{"type": "Temperature", "value": 26.0, "uom": "CEL"}]}],
    )
    assert read("epcis", document) == [
        Notice(
            "carrier/urn:uuid:1",
            "carrier",
            "vessel_loaded",
            NOON_MS,
            references=(
                "bill_of_lading:urn:epcglobal:cbv:bt:0614141073467:B-1",
                "bill_of_lading:urn:x:B-2",
                f"container:{CONTAINER}",
                "customs:26DE/1 é",
                "epc:urn:epc:class:lgtin:4012345.012345.998877",
                f"epc:{PALLET}",
                "invoice:urn:x:I-1",
                "vessel:9176187",
            ),
            place="CNSGH",
        )
    ]


def test_our_own_names_are_read_back_as_what_they_stand_for() -> None:
    named = event(epcList=["urn:pledgewatch:lot:lot%2D7", "urn:pledgewatch:asset:truck-1"])
    assert read("epcis", named)[0].references == ("epc:urn:pledgewatch:asset:truck-1", "lot:lot-7")


@pytest.mark.parametrize(
    ("identity", "place"),
    [
        ("urn:un:unlocode:USLAX", "USLAX"),
        ("https://vocabulary.uncefact.org/unlocode#uslax", "USLAX"),
        ("https://example.org/UN-LOCODE/USLAX", "USLAX"),
        ("urn:pledgewatch:place:USLAX", "USLAX"),
        ("urn:epc:id:sgln:0614141.07346.1234", ""),
        ("urn:epc:id:sgln:USLAX", ""),
        ("geo:33.7,-118.2", ""),
    ],
)
def test_a_place_is_only_what_says_that_it_is_one(identity: str, place: str) -> None:
    assert read("epcis", event(readPoint={"id": identity}))[0].place == place


def test_an_error_declaration_takes_back_the_event_of_the_same_id() -> None:
    declaration = {
        "declarationTime": "2026-01-02T12:00:00Z",
        "reason": "incorrect_data",
        "correctiveEventIDs": ["urn:x:1"],
    }
    (said,) = read("epcis", event())
    (taken_back,) = read("epcis", event(errorDeclaration=declaration))
    assert taken_back.key == "carrier/urn:uuid:1#error-2026-01-02T12:00:00Z"
    assert (taken_back.kind, taken_back.withdraws, taken_back.happened_ms) == ("", said.key, NOON_MS + 86_400_000)
    for order in ([said, taken_back], [taken_back, said]):
        known = NoticeBook().taken(order[:1]).taken(order[1:])
        assert known.standing(f"container:{CONTAINER}") == []
        assert known.fate(said.key) == "withdrawn"


def test_without_an_id_an_event_and_its_error_declaration_have_one_identity() -> None:
    bare = event(eventID=None)
    (said,) = read("epcis", bare)
    assert said.key.startswith("carrier/sha-256:")
    assert read("epcis", bare | {"recordTime": "2026-01-03T00:00:00Z"}) == [said]
    jumbled = dict(reversed(bare.items()))
    assert read("epcis", jumbled) == [said]
    (taken_back,) = read("epcis", bare | {"errorDeclaration": {"declarationTime": NOON}, "recordTime": NOON})
    assert taken_back.withdraws == said.key
    assert read("epcis", bare | {"disposition": "in_transit"})[0].key != said.key


def test_a_document_tells_the_place_of_each_fault() -> None:
    wrong = event(epcList=["urn:epc:id:bic:MSKU1234560"], eventTime="yesterday")
    when, what, nothing = errors("epcis", document_of(event(), wrong, None))
    assert when.startswith("epcisBody.eventList[1].eventTime: 'yesterday' is not a time in ISO 8601")
    assert what == "epcisBody.eventList[1].epcList[0]: 'MSKU1234560': the check digit is 0 and should be 5 (ISO 6346)"
    assert nothing == "epcisBody.eventList[2]: an object is needed"


def report(**changes: Any) -> dict[str, Any]:
    one = {"type": "Temperature", "value": 26.0, "uom": "CEL"} | changes
    return {"sensorElementList": [{"sensorReport": [{key: value for key, value in one.items() if value != ""}]}]}


def one_of(name: str, **said: Any) -> dict[str, Any]:
    return {name: [said]}


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"@context": ""}, "event.@context: is missing"),
    ({"@context": "gs1"}, "event.@context: 'gs1' is no URI"),
    ({"type": ""}, "event.type: is missing"),
    ({"type": 5}, "event.type: is missing"),
    ({"type": {}}, "event.type: is missing"),
    ({"type": "NoSuchEvent"}, "event.type: 'NoSuchEvent' is no type of event; one of your own has a prefix"),
    ({"eventID": 5}, "event.eventID: 5 is no URI"),
    ({"eventID": "4711"}, "event.eventID: '4711' is no URI"),
    ({"eventTime": ""}, "event.eventTime: is missing"),
    ({"recordTime": "today"}, "event.recordTime: 'today' is not a time"),
    ({"eventTimeZoneOffset": ""}, "event.eventTimeZoneOffset: is missing"),
    ({"eventTimeZoneOffset": "CET"}, "event.eventTimeZoneOffset: 'CET' is not an offset from UTC, as +01:00"),
    ({"eventTimeZoneOffset": "+14:30"}, "event.eventTimeZoneOffset: '+14:30' is not an offset"),
    ({"action": ""}, "event.action: is missing"),
    ({"action": "FOO"}, "event.action: 'FOO' is none of OBSERVE, ADD, DELETE"),
    ({"action": 7}, "event.action: 7 is none of OBSERVE, ADD, DELETE"),
    ({"bizStep": 5}, "event.bizStep: 5 is neither a URI of your own"),
    ({"bizStep": "recieving"}, "event.bizStep: 'recieving' is neither a URI of your own, as urn:example:word, nor one"),
    ({"bizStep": "urn:epcglobal:cbv:bizstep:recieving"}, "event.bizStep: 'urn:epcglobal:cbv:bizstep:recieving' is"),
    ({"disposition": 4}, "event.disposition: 4 is neither"),
    ({"disposition": None}, "event.disposition: is null: say what it is, or leave it out"),
    ({"persistentDisposition": {}}, "event.persistentDisposition: says nothing: give set or unset"),
    ({"persistentDisposition": {"set": []}}, "event.persistentDisposition.set: is empty: name at least 1"),
    ({"persistentDisposition": {"x:y": []}}, "event.persistentDisposition: 'x:y' is no field here"),
    ({"pledgewatch:kind": "arrivd"}, "event.pledgewatch:kind: 'arrivd' is none of"),
    ({"epcList": {}}, "event.epcList: a list is needed"),
    ({"epcList": [7]}, "event.epcList[0]: 7 is no URI"),
    ({"epcList": [BOX, PALLET, BOX]}, f"event.epcList[2]: '{BOX}' stands at event.epcList[0] already"),
    ({"epcList": ["urn:epc:id:bic:MSKU1234560"]}, "event.epcList[0]: 'MSKU1234560': the check digit is 0"),
    ({"epcList": ""}, "event: give epcList (it may be empty), quantityList, or sensorElementList with its readPoint"),
    ({"ilmd": {}}, "event: ilmd describes what is new: it goes with the action ADD alone"),
    ({"ilmd": {"lot": 1}, "action": "ADD"}, "event.ilmd: 'lot' is no field here"),
    ({"colour": "red"}, "event: 'colour' is no field here; there are @context, type"),
    ({"childEPCs": [PALLET]}, "event: 'childEPCs' is no field here"),
    ({"quantityList": 5}, "event.quantityList: a list is needed, not 5"),
    ({"quantityList": [7]}, "event.quantityList[0]: an object is needed"),
    (one_of("quantityList", quantity=7), "event.quantityList[0].epcClass: is missing"),
    (one_of("quantityList", epcClass=CLASS, quantity="lots"), "event.quantityList[0].quantity: 'lots' is no number"),
    (one_of("quantityList", epcClass=CLASS, quantity=True), "event.quantityList[0].quantity: True is no number"),
    (one_of("quantityList", epcClass=CLASS, uom="kilos"), "event.quantityList[0].uom: 'kilos' is not a unit of two or"),
    (one_of("quantityList", epcClass=CLASS, **{"x:y": 1}), "event.quantityList[0]: 'x:y' is no field here"),
    (one_of("bizTransactionList", type="bol"), "event.bizTransactionList[0].bizTransaction: is missing"),
    (one_of("bizTransactionList", type=5, bizTransaction="urn:x:1"), "event.bizTransactionList[0].type: 5 is neither"),
    (one_of("bizTransactionList", type="bol", bizTransaction="B 1"), "event.bizTransactionList[0].biz"),
    (one_of("sourceList", source="urn:x:1"), "event.sourceList[0].type: is missing"),
    (one_of("destinationList", type="owner", destination="urn:x:1"), "event.destinationList[0].type: 'owner' is"),
    ({"readPoint": "here"}, "event.readPoint: an object is needed"),
    ({"readPoint": {}}, "event.readPoint.id: is missing"),
    ({"readPoint": {"id": "urn:un:unlocode:UKLON"}}, "event.readPoint.id: 'UKLON': UK is no country"),
    ({"sensorElementList": 5}, "event.sensorElementList: a list is needed, not 5"),
    ({"sensorElementList": [{}]}, "event.sensorElementList[0].sensorReport: is missing"),
    ({"sensorElementList": [{"sensorReport": []}]}, "event.sensorElementList[0].sensorReport: is empty"),
    (one_of("sensorElementList", sensorMetadata={"time": "now"}, sensorReport=[]), "event.sensorElementList[0].sensor"),
    (report(type=""), "event.sensorElementList[0].sensorReport[0].type: is missing"),
    (report(type="Warmth"), "event.sensorElementList[0].sensorReport[0].type: 'Warmth' is neither"),
    (report(value="hot"), "event.sensorElementList[0].sensorReport[0].value: 'hot' is no number: write it without"),
    (report(maxValue=[]), "event.sensorElementList[0].sensorReport[0].maxValue: [] is no number"),
    (report(uom=7), "event.sensorElementList[0].sensorReport[0].uom: a text is needed"),
    (report(booleanValue="yes"), "event.sensorElementList[0].sensorReport[0].booleanValue: 'yes' is neither true nor"),
    (report(hexBinaryValue="xyz"), "event.sensorElementList[0].sensorReport[0].hexBinaryValue: 'xyz' is not hex"),
    (report(component="up"), "event.sensorElementList[0].sensorReport[0].component: 'up' is neither"),
    (report(exception="ALARM"), "event.sensorElementList[0].sensorReport[0].exception: 'ALARM' is neither"),
    (report(valeu=1), "event.sensorElementList[0].sensorReport[0]: 'valeu' is no field here"),
    ({"certificationInfo": ["x"]}, "event.certificationInfo[0]: 'x' is no URI"),
    ({"errorDeclaration": {}}, "event.errorDeclaration.declarationTime: is missing"),
    ({"errorDeclaration": {"declarationTime": NOON, "reason": "oops"}}, "event.errorDeclaration.reason: 'oops' is"),
    ({"errorDeclaration": True}, "event.errorDeclaration: an object is needed"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "fault"), FAULTS, ids=[fault[:60] for _, fault in FAULTS])
def test_a_fault_is_told_once_with_its_place(changes: dict[str, Any], fault: str) -> None:
    """A field that is changed to "" is left out."""
    found = errors("epcis", {key: value for key, value in (event() | changes).items() if value != ""})
    assert any(one.startswith(fault) for one in found), found
    places = [one.partition(": ")[0] for one in found if not one.startswith("event: ")]
    assert len(places) == len(set(places)), found


OTHER_KINDS: list[tuple[dict[str, Any], str]] = [
    (event(kind="AggregationEvent", epcList=None), "event: give childEPCs or childQuantityList"),
    (event(kind="AssociationEvent", epcList=None, childEPCs=[PALLET]), "event.parentID: is missing"),
    (event(kind="TransactionEvent"), "event.bizTransactionList: is missing"),
    (event(kind="TransactionEvent", bizTransactionList=[]), "event.bizTransactionList: is empty"),
    (
        event(kind="TransactionEvent", epcList=None, bizTransactionList=[{"bizTransaction": "urn:x:1"}]),
        "event: give epcList (it may be empty) or quantityList",
    ),
    (event(kind="TransformationEvent", **MADE | {"action": "ADD"}), "event: 'action' is no field here"),
    (
        event(kind="TransformationEvent", epcList=None, action=None, inputEPCList=[PALLET]),
        "event: give what went in and what came out, or one of both and the transformationID",
    ),
    (event(kind="example:Sealing", eventTime=None), "event.eventTime: is missing"),
    (document_of() | {"schemaVersion": "two"}, "schemaVersion: 'two' is not a version"),
    (document_of() | {"colour": "red"}, "the document: 'colour' is no field here"),
    (document_of() | {"creationDate": None}, "creationDate: is null"),
    (document_of() | {"epcisBody": {}}, "epcisBody.eventList: is missing"),
    (document_of() | {"epcisBody": {"eventList": {}}}, "epcisBody.eventList: a list is needed"),
    (
        {
            "@context": [],
            "type": "EPCISQueryDocument",
            "epcisBody": {"queryResults": {"resultsBody": {"eventList": []}}},
        },
        "epcisBody.queryResults.queryName: is missing",
    ),
    *(
        ({key: value for key, value in document_of().items() if key != name}, f"{name}: ")
        for name in ("@context", "schemaVersion", "creationDate", "epcisBody")
    ),
]


@pytest.mark.parametrize(("document", "fault"), OTHER_KINDS, ids=[fault[:60] for _, fault in OTHER_KINDS])
def test_each_kind_says_what_it_must(document: dict[str, Any], fault: str) -> None:
    (found,) = errors("epcis", document)
    assert found.startswith(fault)


ALSO_TAKEN: list[dict[str, Any]] = [
    event("urn:example:step:blessing", disposition="https://example.org/Disp-blessed"),
    event() | {"example:colour": {"anything": [1, None, "x"]}, "urn:example:size": None},
    event(kind="example:Sealing", action="SEAL", epcList=None, seal={"number": 7}),
    event(action="ADD", ilmd={"example:bestBefore": "2026-05-01"}),
    event(readPoint={"id": "geo:33.7,-118.2", "name": "berth 4"}),
    event(epcList=None, readPoint={"id": "urn:x:1"}, **report(type="https://example.org/Smell", value=-1e3)),
    event(**report(**{"example:probe": 7}, uom="")),
    event(kind="AggregationEvent", epcList=None, parentID=PALLET, action="DELETE"),
    event(
        kind="TransformationEvent",
        epcList=None,
        action=None,
        inputQuantityList=[lots(1)],
        transformationID="urn:x:1",
    ),
    event(eventTimeZoneOffset="-14:00", certificationInfo="https://example.org/c"),
    event(disposition="urn:epcglobal:cbv:disp:in_transit"),
]


@pytest.mark.parametrize("document", ALSO_TAKEN)
def test_what_the_standard_leaves_to_others_is_taken(document: dict[str, Any]) -> None:
    assert len(read("epcis", document)) == 1
    assert len(read("epcis", document_of(document))) == 1


@needs(SCHEMA)
@pytest.mark.parametrize(
    "document",
    [
        *(event() | changes for changes, fault in FAULTS if "check digit" not in fault and "no country" not in fault),
        *(document for document, _ in OTHER_KINDS),
        *ALSO_TAKEN,
        *(document for document, _ in TABLE),
        document_of(*ALSO_TAKEN),
    ],
)
def test_the_standards_own_schema_says_the_same(document: dict[str, Any]) -> None:
    """But for words in full, which older software writes, and kinds of ours that are none."""
    text = json.dumps({key: value for key, value in document.items() if value != ""})
    is_older = re.search(r"(urn:epcglobal:cbv|ns.gs1.org/cbv)[^\"]*(receiving|in_transit)", text)
    if "arrivd" in text or is_older:
        assert not list(validator().iter_errors(json.loads(is_older.re.sub("urn:x:y", text) if is_older else text)))
        return
    assert bool(list(validator().iter_errors(json.loads(text)))) == bool(faults(text))


def faults(text: str) -> list[str]:
    try:
        submission.read("epcis", "carrier", text)
    except NoticeError as error:
        return list(error.errors)
    return []


def matches(pattern: str, value: object) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch(pattern, value))


@cache
def validator() -> jsonschema.Draft7Validator:
    """By the schema itself, with URIs and times looked at as well."""
    formats = jsonschema.FormatChecker(formats=())
    formats.checks("uri")(lambda value: matches(r"[A-Za-z][\w+.-]*:\S+", value))
    formats.checks("date-time")(lambda value: matches(r"\d{4}-\d\d-\d\dT.*", value))
    return jsonschema.Draft7Validator(json.loads((DATA / SCHEMA).read_text(encoding="utf-8")), format_checker=formats)


def test_an_id_given_twice_is_the_last_one_and_nothing_else_may_come_twice() -> None:
    text = json.dumps(event())
    assert read("epcis", text.replace('"action"', '"eventID": "urn:uuid:2", "action"'))[0].key == "carrier/urn:uuid:2"
    (fault,) = errors("epcis", text.replace('"action"', '"type": "ObjectEvent", "action"'))
    assert fault == "no JSON: the key 'type' comes twice in one object"


@pytest.mark.parametrize("kind", NOTICE_KINDS)
def test_a_notice_that_is_told_outside_is_read_back_as_it_was_said(kind: str) -> None:
    references = (
        "bill_of_lading:B 1/é",
        f"container:{CONTAINER}",
        "customs:C-1",
        "invoice:I-1",
        "lot:7",
        "vessel:9176187",
    )
    said = Notice("customs/7", "customs", kind, NOON_MS, references=references, place="USLAX")
    taken = SaidEvent("1", event_of(EventType.NOTICE_TAKEN, NOON_MS, "customs"))
    document = epcis_out.told(Telling("journal", taken, said))
    assert document is not None
    (back,) = read("epcis", epcis_out.capture_document([document], NOON_MS))
    assert (back.kind, back.happened_ms, back.references, back.place) == (kind, NOON_MS, references, "USLAX")
