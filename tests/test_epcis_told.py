"""What was captured as EPCIS is told again as it was captured, and is found by what it says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from needed import DATA, needs
from test_epcis_out import CONTAINER, SCHEMA, assert_valid
from test_notices_api import (
    CUSTOMS,
    EPCIS_EXAMPLES,
    OLD,
    NoticeCloud,
    epcis_document,
    epcis_event,
    plain,
    signed,
)

from pledgewatch_cloud.decide.trade import epcis, epcis_out
from pledgewatch_cloud.decide.trade.epcis_out import CONTEXT

LOTS = "urn:epc:class:lgtin:4012345.012345.998877"
OURS = ("eventID", "recordTime", "errorDeclaration", "@context")
FULL: dict[str, Any] = {
    "disposition": "in_progress",
    "quantityList": [{"epcClass": LOTS, "quantity": 7.5, "uom": "KGM"}],
    "sensorElementList": [
        {
            "sensorMetadata": {"deviceID": "urn:epc:id:giai:4000001.111", "rawData": "https://example.org/8002/401"},
            "sensorReport": [{"type": "Temperature", "value": 26.0, "uom": "CEL", "example:probe": "left"}],
        }
    ],
    "readPoint": {"id": "urn:un:unlocode:USLAX", "example:berth": 4},
    "example:colour": {"example:top": "red", "rest": [1, None]},
}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[NoticeCloud]:
    made = NoticeCloud(tmp_path)
    yield made
    made.close()


def said(event: dict[str, Any]) -> dict[str, Any]:
    """What is the sender's own in an event that was told."""
    found = {name: value for name, value in event.items() if name not in OURS and not name.startswith("pledgewatch:")}
    return found | ({"eventID": event["pledgewatch:eventID"]} if "pledgewatch:eventID" in event else {})


@needs(SCHEMA)
def test_all_that_was_captured_comes_back(cloud: NoticeCloud) -> None:
    own = {"example": "https://example.org/"}
    event = epcis_event(**FULL)
    document = epcis_document(event) | {"@context": [CONTEXT[0], own]}
    assert cloud.post("/epcis/capture", document).status_code == 202
    (told,) = cloud.events()
    assert said(told) == {name: value for name, value in event.items() if name != "@context"}
    assert told["@context"] == [own, CONTEXT[1]], "its own words mean what they meant"
    assert told["recordTime"] == "2026-01-01T12:00:00Z"
    assert (told["pledgewatch:kind"], told["pledgewatch:sender"]) == ("goods_received", "carrier")
    assert_valid(told)
    again = cloud.client.get("/epcis/events").content
    (known,) = epcis.read("carrier", json.dumps(document))
    (read,) = epcis.read("carrier", again.decode())
    assert read._replace(key=known.key) == known, "told again it says the same"


@needs(EPCIS_EXAMPLES)
def test_all_of_the_standards_examples_come_back_as_they_were(cloud: NoticeCloud) -> None:
    captured: dict[str, dict[str, Any]] = {}
    for number, path in enumerate(sorted((DATA / EPCIS_EXAMPLES).rglob("*.jsonld"))):
        body = path.read_bytes()
        answer = cloud.post("/epcis/capture", body, signed(OLD, body, identity=f"msg_{number}"))
        assert answer.status_code == 202, answer.text
        for key, one in epcis.captured("carrier", body.decode()).items():
            captured.setdefault(epcis_out.notice_id(key), one.event)
    told = cloud.events()
    assert len(told) >= 40
    assert_valid(*told)
    for document in told:
        event = captured[document["eventID"]]
        assert said(document) == {name: value for name, value in event.items() if name not in OURS or name == "eventID"}


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ({"EQ_eventID": "urn:uuid:7"}, True),
        ({"EQ_eventID": "urn:pledgewatch:notice:carrier/urn:uuid:7"}, True),
        ({"EQ_eventID": "urn:uuid:8"}, False),
        ({"MATCH_epcClass": LOTS}, True),
        ({"MATCH_anyEPCClass": f"{LOTS}|urn:x:y"}, True),
        ({"MATCH_epcClass": f"urn:epc:id:bic:{CONTAINER}"}, False),
        ({"MATCH_epc": LOTS}, False),
        ({"MATCH_epc": f"urn:epc:id:bic:{CONTAINER}"}, True),
        ({"EQ_disposition": "in_progress"}, True),
        ({"EQ_disposition": "urn:epcglobal:cbv:disp:in_progress"}, True),
        ({"EQ_bizStep": "receiving"}, True),
        ({"EQ_bizStep": "urn:epcglobal:cbv:bizstep:receiving"}, True),
        ({"EQ_bizStep": "shipping"}, False),
        ({"EQ_readPoint": "urn:un:unlocode:USLAX"}, True),
        ({"GE_eventTime": "2026-01-01T10:00:00.123Z"}, True),
        ({"LT_eventTime": "2026-01-01T10:00:00.123Z"}, False),
        ({"eventType": "ObjectEvent"}, True),
        ({"EQ_action": "OBSERVE"}, True),
    ],
)
def test_it_is_found_by_what_it_says(cloud: NoticeCloud, query: dict[str, str], is_found: bool) -> None:
    event = epcis_event("urn:uuid:7", **FULL | {"eventTime": "2026-01-01T11:00:00.123456+01:00"})
    assert cloud.post("/epcis/events", event).status_code == 201
    assert len(cloud.events(**query)) == is_found


def test_other_kinds_of_events_are_told_and_found(cloud: NoticeCloud) -> None:
    made = {
        "inputEPCList": ["urn:x:in"],
        "outputQuantityList": [{"epcClass": "urn:x:out"}],
        "type": "TransformationEvent",
    }
    event = {
        name: value for name, value in epcis_event().items() if name not in ("epcList", "action", "bizStep")
    } | made
    packed = epcis_event("urn:uuid:2", type="AggregationEvent", parentID="urn:x:pallet", childEPCs=["urn:x:box"])
    del packed["epcList"]
    own = epcis_event("urn:uuid:3", type="urn:x:Sealing")
    document = epcis_document(event, packed, own)
    assert cloud.post("/epcis/capture", document).status_code == 202
    assert [one["type"] for one in cloud.events()] == ["TransformationEvent", "AggregationEvent", "urn:x:Sealing"]
    assert [len(cloud.events(MATCH_anyEPC=one)) for one in ("urn:x:in", "urn:x:pallet", "urn:x:box")] == [1, 1, 1]
    assert len(cloud.events(MATCH_anyEPCClass="urn:x:out")) == 1
    assert [one["type"] for one in cloud.events(EQ_bizStep="receiving")] == ["AggregationEvent", "urn:x:Sealing"]


@needs(SCHEMA)
def test_what_is_declared_wrong_is_told_in_full_where_it_was_captured(cloud: NoticeCloud) -> None:
    event = epcis_event(**FULL)
    wrong = event | {"errorDeclaration": {"declarationTime": "2026-01-01T11:00:00Z"}}
    assert cloud.post("/epcis/capture", epcis_document(event)).status_code == 202
    assert cloud.post("/epcis/capture", epcis_document(wrong)).status_code == 202
    told = cloud.events()
    assert_valid(*told)
    assert ["errorDeclaration" in one for one in told] == [False, True, True]
    assert [said(one) == said(told[0]) for one in told] == [True, True, True]
    other = epcis_event("urn:uuid:2", **FULL)
    assert cloud.post("/epcis/capture", epcis_document(other)).status_code == 202
    withdrawal = {"notices": [{"id": "w", "withdraws": "urn:uuid:2"}]}
    assert cloud.post("/notices", withdrawal).status_code == 200
    first, second, third = cloud.events()[3:]
    assert_valid(first, second, third)
    assert said(second) == said(first)
    assert third["errorDeclaration"]["reason"] == "did_not_occur"
    assert third["quantityList"] == [{"epcClass": LOTS}], "where a plain notice takes it back, in short"


@pytest.mark.parametrize("order", [1, -1])
def test_an_event_and_its_declaration_in_one_document_are_told_as_the_event(cloud: NoticeCloud, order: int) -> None:
    event = epcis_event(**FULL)
    wrong = epcis_event(errorDeclaration={"declarationTime": "2026-01-01T11:00:00Z"})
    assert cloud.post("/epcis/capture", epcis_document(*[event, wrong][::order])).status_code == 202
    told = cloud.events()
    assert {"errorDeclaration" in one for one in told} == {True, False}
    assert all(one["disposition"] == "in_progress" for one in told)


@needs(SCHEMA)
def test_two_senders_may_call_their_events_the_same(cloud: NoticeCloud) -> None:
    for secret, step in ((OLD, "receiving"), (CUSTOMS, "inspecting")):
        body = json.dumps(epcis_document(epcis_event("urn:uuid:7", bizStep=step))).encode()
        assert cloud.post("/epcis/capture", body, signed(secret, body)).status_code == 202
    told = cloud.events(EQ_eventID="urn:uuid:7")
    assert [(one["pledgewatch:sender"], one["bizStep"]) for one in told] == [
        ("carrier", "receiving"),
        ("customs", "inspecting"),
    ]
    assert len({one["eventID"] for one in told}) == 2
    assert_valid(*told)


@pytest.mark.parametrize(
    ("epc", "is_class"),
    [
        (LOTS, True),
        ("urn:epc:idpat:sgtin:4012345.066666.*", True),
        ("https://id.gs1.org/01/09521141123454", True),
        ("https://example.com/some/01/09521141123454/10/998877", True),
        ("https://id.gs1.org/01/09521141123454/21/1001", False),
        ("urn:epc:id:sgtin:4012345.011111.9876", False),
        ("pallet 7", False),
    ],
)
@needs(SCHEMA)
def test_a_plain_notice_of_a_class_names_no_thing(cloud: NoticeCloud, epc: str, is_class: bool) -> None:
    assert cloud.post("/notices", plain(kind="goods_counted", about={"epc": [epc]})).status_code == 200
    (told,) = cloud.events()
    assert_valid(told)
    assert told.get("quantityList", []) == ([{"epcClass": epc}] if is_class else [])
    named = epc if epc.startswith(("urn", "https")) else "urn:pledgewatch:epc:pallet%207"
    assert told["epcList"] == ([] if is_class else [named])
    (back,) = epcis.read("carrier", json.dumps(epcis_document(told)))
    assert (back.references, back.kind) == ((f"epc:{epc}",), "goods_counted")
