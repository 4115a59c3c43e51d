"""DCSA Track & Trace coming in: what each event says, as a table, in the three shapes that the standard has had."""

from typing import Any

import pytest
from trading import CONTAINER, NOON, NOON_MS, errors, read

from pledgewatch_cloud.decide.trade.notice import Notice
from pledgewatch_cloud.decide.trade.notice_book import NoticeBook

BOX = f"container:{CONTAINER}"


def without(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None}


def event(kind: str = "EQUIPMENT", **changes: Any) -> dict[str, Any]:
    """An event of 2.2; a change to None leaves a field out."""
    fields: dict[str, Any] = {
        "eventID": "e-1",
        "eventType": kind,
        "eventCreatedDateTime": "2026-01-01T13:00:00Z",
        "eventClassifierCode": "ACT",
        "eventDateTime": NOON,
    }
    return without(fields | changes)


def equipment(code: Any, empty: str | None = "LADEN", mode: str | None = "VESSEL", **changes: Any) -> dict[str, Any]:
    call = without({"modeOfTransport": mode, "UNLocationCode": "CNSGH"})
    fields = {"equipmentEventTypeCode": code, "equipmentReference": CONTAINER, "emptyIndicatorCode": empty}
    return event(**fields | {"transportCall": call} | changes)


def transport(code: str, mode: str | None = "VESSEL", **changes: Any) -> dict[str, Any]:
    return event(
        "TRANSPORT",
        transportEventTypeCode=code,
        transportCall=without({"modeOfTransport": mode, "UNLocationCode": "USLAX"}) | changes,
        references=[{"referenceType": "EQ", "referenceValue": CONTAINER}],
    )


def shipment(document: str, code: str, number: Any = "D-1") -> dict[str, Any]:
    return event("SHIPMENT", shipmentEventTypeCode=code, documentTypeCode=document, documentID=number)


def newer(kind: str, code: str, **changes: Any) -> dict[str, Any]:
    """An event of 3.0.0."""
    classification = {"eventType": kind, "eventClassifier": "ACTUAL", f"{kind.lower()}EventType": code}
    fields = {
        "eventID": "e-1",
        "eventDateTime": NOON,
        "eventUpdatedDateTime": "2026-01-01T13:00:00Z",
        "eventClassification": classification,
    }
    return fields | changes


def box(empty: str = "LADEN", phase: str | None = None) -> dict[str, Any]:
    return without({"equipmentReference": CONTAINER, "emptyIndicator": empty, "transportPhase": phase})


def by(mode: str) -> dict[str, Any]:
    return {"transportCall": {"modeOfTransport": mode, "vesselTransport": {"vesselIMONumber": "9321483"}}}


def paper(kind: str) -> dict[str, Any]:
    return {"documentReference": {"type": kind, "reference": "D-1"}}


TABLE: list[tuple[dict[str, Any], list[str]]] = [
    # an event, and what it says
    (equipment("GTOT", "EMPTY"), ["empty_out"]),
    (equipment("GTIN", "LADEN"), ["full_in"]),
    (equipment("GTOT", "LADEN"), ["full_out"]),
    (equipment("GTIN", "EMPTY"), ["empty_return"]),
    (equipment("GTIN", None), ["other"]),
    (equipment("LOAD"), ["vessel_loaded"]),
    (equipment("LOAD", "EMPTY"), ["other"]),
    (equipment("LOAD", mode="TRUCK"), ["other"]),
    (equipment("LOAD", mode="BARGE"), ["other"]),
    (equipment("LOAD", mode=None), ["other"]),
    (equipment("LOAD", mode=None, transportCall={"vessel": {"vesselIMONumber": "9321483"}}), ["vessel_loaded"]),
    (equipment("LOAD", mode=None, transportCall={"facilityTypeCode": "POTE"}), ["vessel_loaded"]),
    (equipment("LOAD", mode=None, transportCall={"facilityTypeCode": "INTE"}), ["other"]),
    (equipment("DISC"), ["discharged"]),
    (equipment("DISC", mode="RAIL"), ["other"]),
    (equipment("DISC", isTransshipmentMove=True), ["transshipped"]),
    (equipment("LOAD", isTransshipmentMove=True), ["transshipped"]),
    (equipment("LOAD", isTransshipmentMove=False), ["vessel_loaded"]),
    (equipment("AVPU"), ["available_for_pickup"]),
    (equipment("HOLD"), ["hold_placed"]),
    *[(equipment(code), ["other"]) for code in ("STUF", "STRP", "PICK", "DROP", "INSP", "RSEA", "RMVD", "NEWS")],
    (transport("ARRI"), ["arrived"]),
    (transport("DEPA"), ["departed"]),
    (transport("ARRI", "TRUCK"), ["other"]),
    (transport("DEPA", None), ["other"]),
    (transport("DEPA", None, vessel={"vesselIMONumber": "9321483"}), ["departed"]),
    (transport("OMIT"), ["other"]),
    (shipment("TRD", "ISSU"), ["bill_of_lading_issued"]),
    (shipment("TRD", "SURR"), ["bill_of_lading_surrendered"]),
    (shipment("TRD", "VOID"), ["bill_of_lading_voided"]),
    (shipment("TRD", "DRFT"), ["other"]),
    (shipment("TRD", "HOLD"), ["hold_placed"]),
    (shipment("TRD", "RELS"), ["hold_lifted"]),
    (shipment("CUS", "SUBM"), ["customs_declared"]),
    (shipment("CUS", "RECE"), ["customs_declared"]),
    (shipment("CUS", "APPR"), ["customs_cleared"]),
    (shipment("CUS", "RELS"), ["customs_cleared", "hold_lifted"]),
    (shipment("CUS", "REJE"), ["customs_refused"]),
    (shipment("CUS", "HOLD"), ["hold_placed"]),
    (shipment("CUS", "CMPL"), ["other"]),
    (shipment("SRM", "RELS"), ["other"]),
    (shipment("BKG", "CONF"), ["other"]),
    (shipment("SHI", "ISSU"), ["other"]),
    (shipment("ARN", "ISSU"), ["other"]),
    (event("IOT"), ["other"]),
    (newer("EQUIPMENT", "GATED_IN", equipmentDetails=box()), ["full_in"]),
    (newer("EQUIPMENT", "GATED_IN", equipmentDetails=box(phase="EXPORT")), ["full_in"]),
    (newer("EQUIPMENT", "GATED_IN", equipmentDetails=box(phase="IMPORT")), ["other"]),
    (newer("EQUIPMENT", "GATED_OUT", equipmentDetails=box(phase="IMPORT")), ["full_out"]),
    (newer("EQUIPMENT", "GATED_OUT", equipmentDetails=box(phase="EXPORT")), ["other"]),
    (newer("EQUIPMENT", "GATED_OUT", equipmentDetails=box("EMPTY", "EXPORT")), ["empty_out"]),
    (newer("EQUIPMENT", "GATED_IN", equipmentDetails=box("EMPTY", "IMPORT")), ["empty_return"]),
    (newer("EQUIPMENT", "GATED_IN", equipmentDetails=box("EMPTY", "EXPORT")), ["other"]),
    (newer("EQUIPMENT", "LOADED", equipmentDetails=box(), transportDetails=by("VESSEL")), ["vessel_loaded"]),
    (newer("EQUIPMENT", "LOADED", equipmentDetails=box(), transportDetails=by("TRUCK")), ["other"]),
    (newer("EQUIPMENT", "LOADED", eventLocation={"facilityType": "PORT_TERMINAL"}), ["vessel_loaded"]),
    (newer("EQUIPMENT", "LOADED", eventLocation={"facilityType": "DEPOT"}), ["other"]),
    (newer("EQUIPMENT", "DISCHARGED", equipmentDetails=box(phase="TRANSSHIPMENT"), transportDetails=by("VESSEL")),
     ["transshipped"]),
    (newer("EQUIPMENT", "AVAILABLE_FOR_PICKUP", equipmentDetails=box()), ["available_for_pickup"]),
    (newer("EQUIPMENT", "AVAILABLE_FOR_PICKUP", equipmentDetails=box("EMPTY")), ["other"]),
    (newer("EQUIPMENT", "CUSTOMS_RELEASED", equipmentDetails=box()), ["customs_cleared"]),
    (newer("EQUIPMENT", "CUSTOMS_SELECTED_FOR_SCAN", equipmentDetails=box()), ["other"]),
    (newer("TRANSPORT", "ARRIVED", transportDetails=by("VESSEL")), ["arrived"]),
    (newer("TRANSPORT", "DEPARTED", transportDetails=by("VESSEL")), ["departed"]),
    (newer("TRANSPORT", "APPROACHING", transportDetails=by("VESSEL")), ["other"]),
    (newer("SHIPMENT", "ISSUED", shipmentDetails=paper("TRANSPORT_DOCUMENT")), ["bill_of_lading_issued"]),
    (newer("SHIPMENT", "VOIDED", shipmentDetails=paper("TRANSPORT_DOCUMENT")), ["bill_of_lading_voided"]),
    (newer("SHIPMENT", "SURRENDERED", shipmentDetails=paper("TRANSPORT_DOCUMENT")), ["bill_of_lading_surrendered"]),
    (newer("SHIPMENT", "SURRENDERED_FOR_DELIVERY", shipmentDetails=paper("TRANSPORT_DOCUMENT")),
     ["bill_of_lading_surrendered"]),
    (newer("SHIPMENT", "SURRENDERED_FOR_AMENDMENT", shipmentDetails=paper("TRANSPORT_DOCUMENT")), ["other"]),
    (newer("SHIPMENT", "SUBMITTED", shipmentDetails=paper("CUSTOMS_CLEARANCE")), ["customs_declared"]),
    (newer("SHIPMENT", "APPROVED", shipmentDetails=paper("CUSTOMS_CLEARANCE")), ["customs_cleared"]),
    (newer("SHIPMENT", "RELEASED", shipmentDetails=paper("CUSTOMS_CLEARANCE")), ["customs_cleared", "hold_lifted"]),
    (newer("SHIPMENT", "DECLINED", shipmentDetails=paper("CUSTOMS_CLEARANCE")), ["customs_refused"]),
    (newer("SHIPMENT", "ON_HOLD", shipmentDetails=paper("TRANSPORT_DOCUMENT")), ["hold_placed"]),
    (newer("SHIPMENT", "CONFIRMED", shipmentDetails=paper("BOOKING")), ["other"]),
    (newer("REEFER", "MEASURED", equipmentDetails=box()), ["other"]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "kinds"), TABLE)
def test_what_an_event_says(document: dict[str, Any], kinds: list[str]) -> None:
    assert [one.kind for one in read("dcsa", document)] == kinds


def test_an_equipment_event_of_2_2_is_read_whole() -> None:
    document = equipment(
        "LOAD",
        eventClassifierCode="EST",
        eventDateTime="2026-01-01T20:30:00+08:30",
        eventLocation={"UNLocationCode": "CNYSN"},
        transportCall={
            "modeOfTransport": "VESSEL",
            "UNLocationCode": "CNSGH",
            "location": {"UNLocationCode": "CNNGB"},
            "vessel": {"vesselIMONumber": "9321483"},
        },
        documentReferences=[
            {"documentReferenceType": "BKG", "documentReferenceValue": "B-1"},
            {"documentReferenceType": "TRD", "documentReferenceValue": "T-1"},
            {"documentReferenceType": "NEW", "documentReferenceValue": "N-1"},
        ],
        references=[
            {"referenceType": "EQ", "referenceValue": "CSQU3054383"},
            {"referenceType": "FF", "referenceValue": "string"},
        ],
        seals=[{"sealNumber": "S"}],
    )
    assert read("dcsa", [document]) == [
        Notice(
            "carrier/e-1",
            "carrier",
            "vessel_loaded",
            NOON_MS,
            "estimated",
            ("bill_of_lading:T-1", "booking:B-1", "container:CSQU3054383", BOX, "vessel:9321483"),
            "CNYSN",
        )
    ]


def test_the_place_is_that_of_the_event_or_else_of_the_call() -> None:
    assert read("dcsa", equipment("LOAD"))[0].place == "CNSGH"
    within = {"modeOfTransport": "VESSEL", "location": {"UNLocationCode": "CNNGB"}}
    assert read("dcsa", equipment("LOAD", transportCall=within))[0].place == "CNNGB"
    assert read("dcsa", equipment("GTIN", transportCall=None))[0].place == ""


def test_the_papers_of_a_shipment_event_are_references() -> None:
    for code, reference in (("TRD", "bill_of_lading:D-1"), ("BKG", "booking:D-1"), ("CUS", "customs:D-1")):
        assert read("dcsa", shipment(code, "RELS"))[0].references == (reference,)
    assert read("dcsa", shipment("VGM", "RECE"))[0].references == ()


def test_what_carriers_leave_empty_is_not_there() -> None:
    empty = equipment("LOAD", equipmentReference="", references=None, documentReferences=[], eventLocation=None)
    assert read("dcsa", empty)[0].references == ()


def test_events_come_alone_in_a_list_or_under_a_name() -> None:
    one, other = equipment("LOAD"), transport("ARRI") | {"eventID": "e-2"}
    assert read("dcsa", one) == read("dcsa", [one])
    assert [notice.key for notice in read("dcsa", {"events": [one, other]})] == ["carrier/e-1", "carrier/e-2"]
    assert read("dcsa", []) == []


def test_an_event_without_an_id_is_known_by_what_it_says() -> None:
    one = equipment("LOAD", eventID=None)
    (first,) = read("dcsa", one)
    assert first.key.startswith("carrier/sha-256:")
    assert read("dcsa", one | {"eventCreatedDateTime": "2026-01-05T00:00:00Z"}) == [first]
    assert read("dcsa", one | {"ISOEquipmentCode": "22GP"})[0].key != first.key


def test_the_beta_of_3_0_is_read_and_its_retraction_withdraws() -> None:
    head = {"eventID": "b-1", "eventCreatedDateTime": "2026-01-01T13:00:00Z", "eventType": "SHIPMENT"}
    payload = {
        "eventClassifierCode": "ACT",
        "eventDateTime": NOON,
        "shipmentEventTypeCode": "RELS",
        "documentTypeCode": "CUS",
        "documentReference": "C-1",
        "relatedDocumentReferences": [{"type": "BKG", "value": "B-1"}],
        "references": [{"type": "EQ", "value": CONTAINER}],
    }
    said = read("dcsa", {"metadata": head, "payload": payload})
    assert [one.kind for one in said] == ["customs_cleared", "hold_lifted"]
    assert said[0].references == ("booking:B-1", BOX, "customs:C-1")
    retraction = head | {"eventID": "b-2", "retractedEventID": "b-1"}
    taken_back = read("dcsa", {"metadata": retraction})
    assert taken_back == [Notice("carrier/b-2", "carrier", "", NOON_MS + 3_600_000, withdraws="carrier/b-1")]
    known = NoticeBook().taken(said)
    assert len(known.standing(BOX)) == 2
    assert known.taken(taken_back).standing(BOX) == []


def test_3_0_is_read_whole() -> None:
    details = paper("TRANSPORT_DOCUMENT") | {
        "additionalDocumentReferences": [
            {"type": "BOOKING", "reference": "B-1"},
            {"type": "INVOICE", "reference": "I-1"},
            {"type": "ARRIVAL_NOTICE", "reference": "A-1"},
        ],
        "shipmentReferences": [
            {"type": "CUSTOMER_SHIPMENT_ID", "reference": "S-1"},
            {"type": "EQUIPMENT_REFERENCE", "reference": "CSQU3054383"},
            {"type": "PURCHASE_ORDER_REFERENCE", "reference": "P-1"},
        ],
    }
    document = newer(
        "TRANSPORT",
        "ARRIVED",
        shipmentDetails=details,
        equipmentDetails=box(),
        transportDetails=by("VESSEL"),
        eventLocation={"UNLocationCode": "USLAX"},
    )
    assert read("dcsa", {"events": [document]}) == [
        Notice(
            "carrier/e-1@2026-01-01T13:00:00Z",
            "carrier",
            "arrived",
            NOON_MS,
            references=("bill_of_lading:D-1", "booking:B-1", "container:CSQU3054383", BOX, "invoice:I-1",
                        "shipment:S-1", "vessel:9321483"),
            place="USLAX",
            event="carrier/e-1",
            edition_ms=NOON_MS + 3_600_000,
        )
    ]  # fmt: skip


def test_a_later_edition_overrides_and_a_retracted_one_takes_back() -> None:
    first = newer("EQUIPMENT", "GATED_IN", equipmentDetails=box())
    moved = first | {"eventUpdatedDateTime": "2026-01-01T14:00:00Z", "eventDateTime": "2026-01-01T11:00:00Z"}
    gone = {"eventID": "e-1", "isRetracted": True, "eventUpdatedDateTime": "2026-01-01T15:00:00Z"}
    back = moved | {"eventUpdatedDateTime": "2026-01-01T16:00:00Z", "isRetracted": False}
    known = NoticeBook().taken(read("dcsa", [moved, first]))
    assert [one.happened_ms for one in known.standing(BOX)] == [NOON_MS - 3_600_000]
    known = known.taken(read("dcsa", gone))
    assert known.standing(BOX) == []
    assert [one.kind for one in known.taken(read("dcsa", back)).standing(BOX)] == ["full_in"]


FAULTS: list[tuple[Any, str]] = [
    (equipment("LOAD", equipmentReference="MSKU1234560"),
     "event.equipmentReference: 'MSKU1234560': the check digit is 0 and should be 5 (ISO 6346)"),
    (equipment("LOAD", equipmentReference="ABC"), "event.equipmentReference: 'ABC' is no container number of ISO 6346"),
    ([equipment("LOAD"), equipment("LOAD", references=[{"referenceType": "EQ", "referenceValue": "MSKU1234560"}])],
     "[1].references[0].referenceValue: 'MSKU1234560': the check digit is 0"),
    ({"events": [transport("ARRI", UNLocationCode="LA")]},
     "events[0].transportCall.UNLocationCode: 'LA' is no UN/LOCODE"),
    (equipment("LOAD", eventDateTime=None), "event.eventDateTime: is missing"),
    (equipment("LOAD", eventDateTime="2026-01-01T12:00:00"), "event.eventDateTime: '2026-01-01T12:00:00' is not"),
    (equipment("LOAD", eventClassifierCode="REQ"), "event.eventClassifierCode: 'REQ' is none of ACT, ACTUAL, EST"),
    (equipment("LOAD", eventClassifierCode=None), "event.eventClassifierCode: is missing"),
    (equipment("LOAD", eventType=None), "event.eventType: is missing"),
    (equipment("LOAD", eventID=5), "event.eventID: 5 is no id"),
    (equipment("LOAD", transportCall=[]), "event.transportCall: an object is needed"),
    (equipment("LOAD", references={}), "event.references: a list is needed"),
    (equipment("LOAD", references=[5]), "event.references[0]: an object is needed"),
    (equipment(["LOAD"]), "event.equipmentEventTypeCode: a text is needed"),
    (shipment("TRD", "ISSU", 7), "event.documentID: 7"),
    ([None], "[0]: an object is needed"),
    ({"metadata": {"eventID": "b"}}, "event.payload: an object is needed"),
    ({"metadata": {"retractedEventID": "b"}}, "event.metadata.eventID: is missing"),
    ({"eventID": "e", "isRetracted": True}, "event.eventUpdatedDateTime: is missing"),
    (newer("EQUIPMENT", "LOADED", eventID=None), "event.eventID: is missing"),
    (newer("EQUIPMENT", "LOADED", equipmentDetails={"equipmentReference": "MSKU1234560"}),
     "event.equipmentDetails.equipmentReference: 'MSKU1234560': the check digit is 0"),
    (newer("EQUIPMENT", "LOADED", transportDetails={"transportCall": 5}),
     "event.transportDetails.transportCall: an object is needed"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "fault"), FAULTS, ids=[fault[:60] for _, fault in FAULTS])
def test_a_fault_is_told_with_its_place(document: Any, fault: str) -> None:
    found = errors("dcsa", document)
    assert any(one.startswith(fault) for one in found), found


def test_every_fault_of_every_event_is_told() -> None:
    wrong = equipment("LOAD", equipmentReference="X", eventDateTime="noon")
    assert [one.partition(": ")[0] for one in errors("dcsa", [wrong, equipment("LOAD"), wrong])] == [
        "[0].eventDateTime", "[0].equipmentReference", "[2].eventDateTime", "[2].equipmentReference",
    ]  # fmt: skip
