"""Events as DCSA's Track & Trace 2.2 tells them: with every field that it requires, and read again as they were said.

What is required and which codes there are: DCSA OpenAPI, tnt/v2 version 2.2.0, put down here from that document; the
document itself is not among our data.
"""

import json
import re
from typing import Any

import pytest
from builders import NOON_MS
from hypothesis import given
from hypothesis import strategies as st
from test_epcis_out import CONTAINER, GATE, NOTICES, notice, telling

from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.trade import dcsa, dcsa_out
from pledgewatch_cloud.decide.trade.dcsa_out import Query
from pledgewatch_cloud.decide.trade.notice import Notice

HEAD = {"eventCreatedDateTime", "eventType", "eventClassifierCode", "eventDateTime"}
REQUIRED = {
    "EQUIPMENT": HEAD | {"equipmentEventTypeCode", "emptyIndicatorCode"},
    "TRANSPORT": HEAD | {"transportEventTypeCode", "transportCall"},
    "SHIPMENT": HEAD | {"shipmentEventTypeCode", "documentID", "documentTypeCode"},
}
CODES = {
    "eventClassifierCode": {"ACT", "PLN", "EST"},
    "equipmentEventTypeCode": {"LOAD", "DISC", "GTIN", "GTOT", "STUF", "STRP", "PICK", "DROP", "INSP", "RSEA", "RMVD"},
    "emptyIndicatorCode": {"EMPTY", "LADEN"},
    "transportEventTypeCode": {"ARRI", "DEPA"},
    "shipmentEventTypeCode": {
        "RECE",
        "DRFT",
        "PENA",
        "PENU",
        "REJE",
        "APPR",
        "ISSU",
        "SURR",
        "SUBM",
        "VOID",
        "CONF",
        "REQS",
        "CMPL",
        "HOLD",
        "RELS",
    },
    "documentTypeCode": {"CBR", "BKG", "SHI", "SRM", "TRD", "ARN", "VGM", "CAS", "CUS", "DGD", "OOG"},
}
LONGEST = {"equipmentReference": 15, "documentTypeCode": 3}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?Z")


def assert_valid(document: dict[str, Any]) -> None:
    assert REQUIRED[document["eventType"]] <= document.keys()
    assert UUID.fullmatch(document["eventID"])
    for name in ("eventCreatedDateTime", "eventDateTime"):
        assert DATE_TIME.fullmatch(document[name])
    for name, codes in CODES.items():
        assert document.get(name) in codes | {None}
    for name, longest in LONGEST.items():
        assert len(document.get(name, "")) <= longest
    location = document.get("eventLocation", {})
    within = {"locationName": 100, "latitude": 10, "longitude": 11, "UNLocationCode": 5}
    assert all(len(value) <= within[name] for name, value in location.items())
    if "transportCall" in document:
        assert {"transportCallID", "modeOfTransport"} <= document["transportCall"].keys()
        assert len(document["transportCall"]["transportCallID"]) <= 100
        assert document["transportCall"]["modeOfTransport"] in {"VESSEL", "RAIL", "TRUCK", "BARGE"}
    for one in document.get("documentReferences", []):
        assert one["documentReferenceType"] in {"BKG", "TRD"}
    for one in document.get("references", []):
        assert one["referenceType"] in {"FF", "SI", "PO", "CR", "AAO", "EQ"}
        assert len(one["referenceValue"]) <= 100


def given_of(one: Notice) -> dict[str, Any] | None:
    told = telling(EventType.NOTICE_TAKEN, "us", notice=one.key)._replace(notice=one)
    document = dcsa_out.told(told, None)
    return None if document is None else dcsa_out.recorded(document, NOON_MS + 5_000)


def gate(kind: EventType = EventType.FENCE_ENTERED, subject: str = CONTAINER, **facts: Any) -> dict[str, Any]:
    document = dcsa_out.told(telling(kind, subject, **GATE | facts), ["bill_of_lading:MAEU7", "invoice:1"])
    assert document is not None
    return dcsa_out.recorded(document, NOON_MS + 5_000)


def test_a_gate_of_ours_is_an_equipment_event() -> None:
    document = gate()
    assert_valid(document)
    assert document | {"eventID": ""} == {
        "eventID": "",
        "eventType": "EQUIPMENT",
        "eventClassifierCode": "ACT",
        "eventDateTime": "2026-01-01T12:00:00Z",
        "eventCreatedDateTime": "2026-01-01T12:00:05Z",
        "equipmentEventTypeCode": "GTIN",
        "equipmentReference": CONTAINER,
        "emptyIndicatorCode": "LADEN",
        "eventLocation": {"locationName": "la-dc", "latitude": "33.70000", "longitude": "-118.27000"},
        "documentReferences": [{"documentReferenceType": "TRD", "documentReferenceValue": "MAEU7"}],
    }
    assert gate(EventType.FENCE_LEFT)["equipmentEventTypeCode"] == "GTOT"
    far_west = gate(latitude_e7=-899_999_999, longitude_e7=-1_799_999_999)
    assert_valid(far_west)


def test_what_nobody_knows_to_be_laden_or_is_no_container_is_not_told() -> None:
    assert dcsa_out.told(telling(EventType.FENCE_ENTERED, CONTAINER, **GATE), None) is None
    assert dcsa_out.told(telling(EventType.FENCE_ENTERED, "zone-7", **GATE), []) is None
    told = dcsa_out.told(telling(EventType.FENCE_ENTERED, CONTAINER, **GATE), [])
    assert told is not None
    assert "documentReferences" not in told


@pytest.mark.parametrize("kind", sorted(set(EventType) - {EventType.FENCE_ENTERED, EventType.FENCE_LEFT}))
def test_the_others_are_not_told(kind: EventType) -> None:
    assert dcsa_out.told(telling(kind, CONTAINER, **GATE), []) is None


BOX = f"container:{CONTAINER}"


@pytest.mark.parametrize(
    ("kind", "references", "event_type", "code", "rest"),
    [
        ("empty_out", (BOX,), "EQUIPMENT", "GTOT", "EMPTY"),
        ("full_in", (BOX,), "EQUIPMENT", "GTIN", "LADEN"),
        ("vessel_loaded", (BOX,), "EQUIPMENT", "LOAD", "LADEN"),
        ("discharged", (BOX,), "EQUIPMENT", "DISC", "LADEN"),
        ("full_out", (BOX,), "EQUIPMENT", "GTOT", "LADEN"),
        ("empty_return", (BOX,), "EQUIPMENT", "GTIN", "EMPTY"),
        ("departed", (BOX, "vessel:9321483"), "TRANSPORT", "DEPA", ""),
        ("arrived", (BOX,), "TRANSPORT", "ARRI", ""),
        ("bill_of_lading_issued", ("bill_of_lading:B1",), "SHIPMENT", "ISSU", "TRD B1"),
        ("bill_of_lading_surrendered", ("bill_of_lading:B1",), "SHIPMENT", "SURR", "TRD B1"),
        ("bill_of_lading_voided", ("bill_of_lading:B1",), "SHIPMENT", "VOID", "TRD B1"),
        ("customs_declared", (BOX, "customs:D1"), "SHIPMENT", "SUBM", "CUS D1"),
        ("customs_cleared", (BOX, "customs:D1"), "SHIPMENT", "APPR", "CUS D1"),
        ("customs_refused", ("customs:D1",), "SHIPMENT", "REJE", "CUS D1"),
        ("hold_placed", ("bill_of_lading:B1", "customs:D1"), "SHIPMENT", "HOLD", "CUS D1"),
        ("hold_placed", ("booking:K1",), "SHIPMENT", "HOLD", "BKG K1"),
        ("hold_lifted", ("bill_of_lading:B1", "customs:D1"), "SHIPMENT", "RELS", "TRD B1"),
    ],
)
def test_each_kind_has_its_code_and_is_read_again_as_that_kind(
    kind: str, references: tuple[str, ...], event_type: str, code: str, rest: str
) -> None:
    document = given_of(notice(kind, references=references, place="USLAX"))
    assert document is not None
    assert_valid(document)
    codes = [document[name] for name in CODES if name.endswith("EventTypeCode") and name in document]
    assert (document["eventType"], codes) == (event_type, [code])
    about = " ".join(str(document.get(name, "")) for name in ("documentTypeCode", "documentID")).strip()
    assert document.get("emptyIndicatorCode", about) == rest
    (again,) = dcsa.read("us", json.dumps([document]))
    assert again.kind == kind
    assert again.happened_ms == NOON_MS
    assert again.place == ("" if event_type == "SHIPMENT" else "USLAX")
    assert set(again.references) <= set(references)


@pytest.mark.parametrize(
    ("kind", "references"),
    [
        ("insurance_bound", (BOX, "insurance:P1")),
        ("transshipped", (BOX,)),
        ("available_for_pickup", (BOX,)),
        ("full_in", ("booking:K1",)),
        ("hold_lifted", ("customs:D1",)),
        ("customs_cleared", (BOX,)),
        ("", (BOX,)),
    ],
)
def test_what_the_standard_has_no_word_for_is_not_told(kind: str, references: tuple[str, ...]) -> None:
    assert given_of(notice(kind, references=references)) is None


@given(NOTICES)
def test_whatever_is_told_is_valid_and_read_again(one: Notice) -> None:
    document = given_of(one)
    if document is None:
        return
    assert_valid(document)
    (again,) = dcsa.read("us", json.dumps(document))
    assert (again.kind, again.classifier, again.happened_ms) == (one.kind, one.classifier, one.happened_ms)
    assert set(again.references) <= set(one.references)


@given(st.text(max_size=30), st.text(max_size=30))
def test_an_id_is_a_uuid_that_is_always_the_same(one: str, other: str) -> None:
    some = [text.encode("utf-8", "ignore").decode() for text in (one, other)]
    found = [dcsa_out.uuid(text) for text in some]
    assert all(UUID.fullmatch(each) for each in found)
    assert (found[0] == found[1]) == (some[0] == some[1])


def test_two_events_of_one_call_name_the_same_call() -> None:
    arrived, departed = (
        given_of(notice(kind, references=(BOX, "vessel:9321483"), place="USLAX", key=f"us/{kind}"))
        for kind in ("arrived", "departed")
    )
    assert arrived is not None
    assert departed is not None
    assert arrived["transportCall"] == departed["transportCall"]
    assert arrived["transportCall"]["vessel"] == {"vesselIMONumber": "9321483"}
    assert arrived["eventID"] != departed["eventID"]


@pytest.mark.parametrize(
    ("query", "is_asked_for"),
    [
        (Query(), True),
        (Query(types=("EQUIPMENT", "SHIPMENT")), True),
        (Query(types=("SHIPMENT",)), False),
        (Query(equipment_codes=("GTIN",)), True),
        (Query(equipment_codes=("GTOT",)), False),
        (Query(shipment_codes=("ISSU",)), False),
        (Query(equipment=CONTAINER), True),
        (Query(equipment="MSKU7654321"), False),
        (Query(transport_document="MAEU7"), True),
        (Query(booking="MAEU7"), False),
        (Query(document="MAEU7"), True),
        (Query(document="MAEU8"), False),
        (Query(place="USLAX"), False),
    ],
)
def test_a_query_asks_for_all_that_it_names(query: Query, is_asked_for: bool) -> None:
    assert dcsa_out.answers(gate(), query) is is_asked_for


def test_a_paper_is_found_by_its_own_number_and_a_call_by_its_container() -> None:
    paper = given_of(notice("bill_of_lading_issued", references=("bill_of_lading:B1",)))
    call = given_of(notice("arrived", references=(BOX,), place="USLAX"))
    assert paper is not None
    assert call is not None
    assert dcsa_out.answers(paper, Query(transport_document="B1", shipment_codes=("ISSU",), document_codes=("TRD",)))
    assert dcsa_out.answers(call, Query(equipment=CONTAINER, place="USLAX", transport_codes=("ARRI",)))
    assert not dcsa_out.answers(call, Query(place="DEHAM"))
