"""EPCIS 2.0 coming in: every official example is captured, what each step says as a table, errors take back."""

import json
from pathlib import Path
from typing import Any

import pytest
from trading import CONTAINER, DATA, NOON, NOON_MS, errors, needs, read

from pledgewatch_cloud.decide.events import EventType, SaidEvent
from pledgewatch_cloud.decide.events import event as event_of
from pledgewatch_cloud.decide.trade import epcis_out, submission
from pledgewatch_cloud.decide.trade.notice import Notice
from pledgewatch_cloud.decide.trade.notice_book import NoticeBook
from pledgewatch_cloud.decide.trade.senders import Sender
from pledgewatch_cloud.decide.trade.telling import Telling
from pledgewatch_cloud.decide.trade.vocabulary import NOTICE_KINDS

EXAMPLES = sorted((DATA / "std-epcis" / "JSON").rglob("*.jsonld"))
BOX, SHIP = f"urn:epc:id:bic:{CONTAINER}", "urn:epc:id:imovn:9176187"
PALLET = "urn:epc:id:sscc:0614141.1234567890"
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
    (event("receiving", "TransformationEvent", action=None), "other"),
    (event("cycle_counting"), "goods_counted"),
    (event("stock_taking"), "goods_counted"),
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
            {"type": "urn:epcglobal:cbv:btt:inv", "bizTransaction": "I-1"},
            {"type": "https://ref.gs1.org/cbv/BTT-bol", "bizTransaction": "B-2"},
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
                "bill_of_lading:B-2",
                "bill_of_lading:urn:epcglobal:cbv:bt:0614141073467:B-1",
                f"container:{CONTAINER}",
                "customs:26DE/1 é",
                "epc:urn:epc:class:lgtin:4012345.012345.998877",
                f"epc:{PALLET}",
                "invoice:I-1",
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
    declaration = {"declarationTime": "2026-01-02T12:00:00Z", "reason": "incorrect_data", "correctiveEventIDs": ["x"]}
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
    document = {"type": "EPCISDocument", "epcisBody": {"eventList": [event(), wrong, None]}}
    when, what, nothing = errors("epcis", document)
    assert when.startswith("epcisBody.eventList[1].eventTime: 'yesterday' is not a time in ISO 8601")
    assert what == "epcisBody.eventList[1].epcList[0]: 'MSKU1234560': the check digit is 0 and should be 5 (ISO 6346)"
    assert nothing == "epcisBody.eventList[2]: an object is needed"


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"type": None}, "event.type: is missing"),
    ({"eventID": 5}, "event.eventID: 5 is no id"),
    ({"eventTime": None}, "event.eventTime: is missing"),
    ({"bizStep": 5}, "event.bizStep: a text is needed"),
    ({"pledgewatch:kind": "arrivd"}, "event.pledgewatch:kind: 'arrivd' is none of"),
    ({"epcList": {}}, "event.epcList: a list is needed"),
    ({"epcList": [7]}, "event.epcList[0]: a text is needed"),
    ({"epcList": ["urn:epc:id:bic:"]}, "event.epcList[0]: ''"),
    ({"quantityList": [7]}, "event.quantityList[0]: an object is needed"),
    ({"bizTransactionList": [{"type": "bol"}]}, "event.bizTransactionList[0].bizTransaction: ''"),
    ({"bizTransactionList": [{"type": 5}]}, "event.bizTransactionList[0].type: a text is needed"),
    ({"readPoint": "here"}, "event.readPoint: an object is needed"),
    ({"readPoint": {"id": "urn:un:unlocode:UKLON"}}, "event.readPoint.id: 'UKLON': UK is no country"),
    ({"errorDeclaration": {}}, "event.errorDeclaration.declarationTime: is missing"),
    ({"errorDeclaration": True}, "event.errorDeclaration: an object is needed"),
]


@pytest.mark.parametrize(("changes", "fault"), FAULTS, ids=[fault[:60] for _, fault in FAULTS])
def test_a_fault_is_told_with_its_place(changes: dict[str, Any], fault: str) -> None:
    found = errors("epcis", event(**changes) if "type" not in changes else event() | {"type": None})
    assert any(one.startswith(fault) for one in found), found


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
