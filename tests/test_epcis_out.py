"""Events as EPCIS 2.0 tells them: valid by its schema, captured again without a fault, and saying what was said."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import pytest
from builders import NOON_MS
from hypothesis import given
from hypothesis import strategies as st
from needed import DATA, needs

from pledgewatch_cloud.decide.events import Event, EventType, SaidEvent, event
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.trade import epcis, epcis_out
from pledgewatch_cloud.decide.trade.epcis import CLASS_LISTS, EPC_LISTS
from pledgewatch_cloud.decide.trade.epcis_out import Query
from pledgewatch_cloud.decide.trade.notice import Notice
from pledgewatch_cloud.decide.trade.telling import Telling, degrees, urn
from pledgewatch_cloud.decide.trade.vocabulary import CLASSIFIERS, NOTICE_KINDS, REFERENCE_TYPES

SCHEMA = "std-epcis/EPCIS-JSON-Schema.json"

JOURNAL = "0b5e"
CONTAINER = "MSKU1234565"
# RFC 3986: a scheme, and behind it what a URI may hold.
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#@!$&'()*+,;=-]|%[0-9A-F]{2})+")

Facts = dict[str, int | str]
PLACED: Facts = {"grade": "good", "device": "d-1", "epoch": 1, "sequence": 3, "since_ms": NOON_MS}
GATE: Facts = {**PLACED, "fence": "la-dc", "latitude_e7": 337_000_000, "longitude_e7": -1_182_700_000}
LIMIT: Facts = {"lot": "lot-1", "limit": "cold", "channel": "temperature_mc", "severity": "critical", "device": "d-1"}
BREACH: Facts = {**LIMIT, "kind": "grace", "value": 9_100, "low": 2_000, "high": 8_000, "since_ms": NOON_MS - 600_000}
KINETIC: Facts = {"lot": "lot-1", "device": "d-1", "lower_mc": 8_120, "upper_mc": 9_000, "high_mc": 8_000}
MONEY: Facts = {"milestone": "gate-in", "amount_minor": 2_500_000, "grounds": "gated_in:3.0"}


def telling(kind: EventType, subject: str = CONTAINER, /, **facts: int | str) -> Telling:
    return Telling(JOURNAL, SaidEvent("7.2", event(kind, NOON_MS, subject, **facts)))


def notice(kind: str = "customs_cleared", **changes: Any) -> Notice:
    references = (f"container:{CONTAINER}", "customs:26DE 1/ä")
    return Notice("broker/4711", "broker", kind, NOON_MS, references=references)._replace(**changes)


TOLD: dict[EventType, Facts] = {
    EventType.FENCE_ENTERED: GATE,
    EventType.FENCE_LEFT: GATE,
    EventType.FENCE_CONFIRMED: GATE,
    EventType.CONDITION_BREACHED: BREACH,
    EventType.CONDITION_RESTORED: {**LIMIT, "value": 5_000, "reason": "inside"},
    EventType.CONDITION_UNKNOWN: {**LIMIT, "since_ms": NOON_MS - 60_000},
    EventType.CONDITION_KNOWN_AGAIN: {**LIMIT, "since_ms": NOON_MS - 60_000, "unknown_ms": 60_000},
    EventType.MKT_EXCEEDED: KINETIC,
    EventType.MKT_UNCERTAIN: KINETIC,
    EventType.MKT_RESTORED: KINETIC,
    EventType.MILESTONE_MET: MONEY,
    EventType.MILESTONE_RELEASED: MONEY,
    EventType.MILESTONE_HELD: MONEY,
    EventType.MILESTONE_RETRACTED: MONEY,
    EventType.MILESTONE_RESUMED: MONEY,
    EventType.MILESTONE_QUESTIONED: MONEY,
    EventType.MILESTONE_REAFFIRMED: MONEY,
    EventType.MILESTONE_EXPIRED: MONEY,
    EventType.MILESTONE_WAIVED: {**MONEY, "waived_by": "Ms Chen"},
}


def told(one: Telling) -> dict[str, Any]:
    document = epcis_out.told(one)
    assert document is not None
    return epcis_out.recorded(document, NOON_MS + 5_000)


def assert_valid(*events: dict[str, Any]) -> None:
    """By the schema as the answer to a query and as a document to capture, and with URIs where it wants them."""
    for document in (epcis_out.query_document(events, NOON_MS), epcis_out.capture_document(events, NOON_MS)):
        faults = [f"{list(one.absolute_path)}: {one.message}" for one in validator().iter_errors(document)]
        assert not faults, faults
    for one in events:
        for uri in uris(one):
            assert URI.fullmatch(uri), uri


@cache
def validator() -> jsonschema.Draft7Validator:
    schema = json.loads((DATA / SCHEMA).read_text(encoding="utf-8"))
    assert schema["definitions"]["ObjectEvent"], "it is the schema itself"
    return jsonschema.Draft7Validator(schema)


def uris(one: dict[str, Any]) -> Iterator[str]:
    yield one["eventID"]
    yield from (epc for name in EPC_LISTS for epc in one.get(name, ()))
    yield from (each["epcClass"] for name in CLASS_LISTS for each in one.get(name, ()))
    for holder in ("readPoint", "bizLocation"):
        if holder in one:
            yield one[holder]["id"]
    for paper in one.get("bizTransactionList", []):
        yield paper["bizTransaction"]
    for element in one.get("sensorElementList", []):
        about = element.get("sensorMetadata", {})
        yield from (about[name] for name in ("deviceID", "bizRules") if name in about)
    yield from one.get("errorDeclaration", {}).get("correctiveEventIDs", [])


def captured(*events: dict[str, Any]) -> list[Notice]:
    return epcis.read("us", json.dumps(epcis_out.capture_document(events, NOON_MS)))


@needs(SCHEMA)
@pytest.mark.parametrize("kind", TOLD)
def test_what_is_told_is_valid_and_captured_again_as_what_is_no_fact(kind: EventType) -> None:
    document = told(telling(kind, **TOLD[kind]))
    again = epcis_out.recorded(epcis_out.declared_wrong(document, [epcis_out.event_id(JOURNAL, "9.1")]), NOON_MS)
    assert_valid(document, again)
    first, taken_back = captured(document, again)
    assert (first.kind, first.happened_ms) == ("other", NOON_MS)
    assert (taken_back.kind, taken_back.withdraws) == ("", first.key)


@pytest.mark.parametrize("kind", sorted(set(EventType) - TOLD.keys()))
def test_the_others_are_not_told(kind: EventType) -> None:
    assert epcis_out.told(telling(kind, retracted="3.1", notice="nobody/1")) is None


def test_a_gate_says_where_and_when() -> None:
    entered, left = (told(telling(kind, **GATE)) for kind in (EventType.FENCE_ENTERED, EventType.FENCE_LEFT))
    assert entered == {
        "type": "ObjectEvent",
        "eventID": "urn:pledgewatch:event:0b5e:7.2",
        "eventTime": "2026-01-01T12:00:00Z",
        "eventTimeZoneOffset": "+00:00",
        "recordTime": "2026-01-01T12:00:05Z",
        "action": "OBSERVE",
        "bizStep": "arriving",
        "epcList": ["urn:epc:id:bic:MSKU1234565"],
        "readPoint": {"id": "urn:pledgewatch:fence:la-dc"},
        "bizLocation": {"id": "urn:pledgewatch:fence:la-dc"},
        "pledgewatch:grade": "good",
        "pledgewatch:position": "geo:33.7000000,-118.2700000",
    }
    assert (left["bizStep"], left["disposition"], "bizLocation" in left) == ("departing", "in_transit", False)


def test_a_breach_says_what_the_sensor_said() -> None:
    document = told(telling(EventType.CONDITION_BREACHED, **BREACH))
    (element,) = document["sensorElementList"]
    assert element == {
        "sensorMetadata": {
            "bizRules": "urn:pledgewatch:limit:lot-1/cold",
            "deviceID": "urn:pledgewatch:device:d-1",
            "startTime": "2026-01-01T11:50:00Z",
            "endTime": "2026-01-01T12:00:00Z",
        },
        "sensorReport": [{"type": "Temperature", "value": 9.1, "uom": "CEL", "exception": "ALARM_CONDITION"}],
    }
    assert document["disposition"] == "non_conformant"
    assert document["epcList"] == ["urn:epc:id:bic:MSKU1234565", "urn:pledgewatch:lot:lot-1"]


@pytest.mark.parametrize(
    ("channel", "value", "report"),
    [
        ("humidity_cpercent", 8_550, {"type": "RelativeHumidity", "value": 85.5, "uom": "P1"}),
        ("temperature_7_mc", -18_000, {"type": "Temperature", "value": -18, "uom": "CEL"}),
        ("shock_mg", 2_500, {"type": "Acceleration", "value": 2.5, "uom": "K40"}),
        ("door_open", 1, {"type": "urn:pledgewatch:measurement:door_open", "value": 1}),
    ],
)
def test_each_channel_has_its_measure(channel: str, value: int, report: dict[str, Any]) -> None:
    document = told(telling(EventType.CONDITION_RESTORED, **{**LIMIT, "channel": channel, "value": value}))
    assert document["sensorElementList"][0]["sensorReport"] == [report]


def test_a_mean_kinetic_temperature_is_told_by_its_bounds() -> None:
    (element,) = told(telling(EventType.MKT_EXCEEDED, **KINETIC))["sensorElementList"]
    assert element["sensorReport"][0] == {
        "type": "Temperature",
        "uom": "CEL",
        "dataProcessingMethod": "urn:pledgewatch:method:mean_kinetic_temperature",
        "minValue": 8.12,
        "maxValue": 9,
        "exception": "ALARM_CONDITION",
    }


def test_a_milestone_ties_goods_to_money_and_lets_them_go() -> None:
    met, retracted = (
        told(telling(kind, "facility-1", **MONEY)) for kind in (EventType.MILESTONE_MET, EventType.MILESTONE_RETRACTED)
    )
    assert (met["type"], met["action"], retracted["action"]) == ("TransactionEvent", "ADD", "DELETE")
    assert met["bizTransactionList"] == [
        {"type": "urn:pledgewatch:transaction:milestone", "bizTransaction": "urn:pledgewatch:milestone:gate-in"}
    ]
    assert met["pledgewatch:facility"] == "facility-1"


@pytest.mark.parametrize(
    ("asset", "name"),
    [
        (CONTAINER, "urn:epc:id:bic:MSKU1234565"),
        ("MSKU1234566", "urn:pledgewatch:asset:MSKU1234566"),
        ("msku1234565", "urn:pledgewatch:asset:msku1234565"),
        ("trailer 7/ä", "urn:pledgewatch:asset:trailer%207/%C3%A4"),
    ],
)
def test_only_a_container_is_called_by_its_number(asset: str, name: str) -> None:
    assert epcis_out.epc(asset) == name


def test_a_retraction_says_whether_it_happened_otherwise_or_not_at_all() -> None:
    document = told(telling(EventType.FENCE_ENTERED, **GATE))
    gone = epcis_out.recorded(epcis_out.declared_wrong(document, []), NOON_MS + 9_000)
    moved = epcis_out.recorded(epcis_out.declared_wrong(document, ["urn:x:1"]), NOON_MS + 9_000)
    assert gone["errorDeclaration"] == {"declarationTime": "2026-01-01T12:00:09Z", "reason": "did_not_occur"}
    assert moved["errorDeclaration"]["reason"] == "incorrect_data"
    assert moved["errorDeclaration"]["correctiveEventIDs"] == ["urn:x:1"]
    same = {key: value for key, value in gone.items() if key not in ("errorDeclaration", "recordTime")}
    assert same.items() <= document.items()


def test_what_is_planned_or_says_nothing_is_not_told() -> None:
    assert epcis_out.notice_told(notice(classifier="estimated")) is None
    assert epcis_out.notice_told(notice("", withdraws="broker/1")) is None
    assert epcis_out.notice_told(notice()) is not None


NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12)
VALUES = {
    "container": st.just(CONTAINER),
    "vessel": st.just("9321483") | NAMES,
    "epc": st.sampled_from(["urn:epc:id:sgtin:4012345.011111.9876", "urn:epc:class:lgtin:4012345.012345.998877"])
    | NAMES,
}
NOTICES = st.tuples(
    # No part between slashes is empty, . or ..: an address would leave it out.
    st.lists(st.text("abc:#@0-9", min_size=1, max_size=6), min_size=1, max_size=3).map(
        lambda parts: "/".join(["us", *parts])
    ),
    st.just("us"),
    st.sampled_from(sorted(NOTICE_KINDS)),
    st.integers(0, 4_000_000_000_000),
    st.sampled_from(CLASSIFIERS),
    st.sets(
        st.sampled_from(REFERENCE_TYPES).flatmap(
            lambda kind: VALUES.get(kind, NAMES).map(lambda value: f"{kind}:{value}")
        ),
        min_size=1,
        max_size=5,
    ).map(lambda some: tuple(sorted(some))),
    st.sampled_from(["", "USLAX", "DEHAM"]),
).map(lambda some: Notice(*some))


@needs(SCHEMA)
@given(NOTICES)
def test_whatever_a_sender_says_is_valid_and_comes_back_as_it_was_said(one: Notice) -> None:
    document = epcis_out.notice_told(one)
    assert (document is None) == (one.classifier != "actual")
    if document is None:
        return
    document = epcis_out.recorded(document, NOON_MS)
    wrong = epcis_out.recorded(epcis_out.declared_wrong(document, [epcis_out.notice_id("us/x")]), NOON_MS)
    assert_valid(document, wrong)
    first, taken_back = captured(document, wrong)
    assert first._replace(key=one.key) == one
    assert taken_back.withdraws == first.key


FACTS = st.dictionaries(
    st.sampled_from(sorted({name for facts in TOLD.values() for name in facts})),
    NAMES | st.integers(-(2**40), 2**40),
)


@needs(SCHEMA)
@given(st.sampled_from(sorted(EventType)), NAMES, st.integers(0, NEVER // 2**24), FACTS)
def test_no_event_is_told_as_what_the_schema_refuses(kind: EventType, subject: str, at_ms: int, extra: Any) -> None:
    facts = TOLD.get(kind, {}) | {name: value for name, value in extra.items() if name != "since_ms"}
    said = SaidEvent("7.2", Event(kind, at_ms, subject, tuple(sorted(facts.items()))))
    document = epcis_out.told(Telling(JOURNAL, said))
    assert (document is None) == (kind not in TOLD)
    if document is not None:
        assert_valid(epcis_out.recorded(document, NOON_MS))
        (again,) = captured(epcis_out.recorded(document, NOON_MS))
        assert again.happened_ms == at_ms


@given(st.integers(-1_800_000_000, 1_800_000_000))
def test_degrees_are_exact(value_e7: int) -> None:
    written = degrees(value_e7)
    assert round(float(written) * 10_000_000) == value_e7
    assert re.fullmatch(r"-?\d{1,3}\.\d{7}", written)


@given(st.text(max_size=20), st.text(max_size=20))
def test_names_are_uris_and_differ_where_ids_do(one: str, other: str) -> None:
    some = [text.encode("utf-8", "ignore").decode() for text in (one, other)]
    names = [urn("asset", text) for text in some]
    assert (names[0] == names[1]) == (some[0] == some[1])
    assert all(URI.fullmatch(name + "x") for name in names)


@pytest.mark.parametrize(
    ("query", "is_asked_for"),
    [
        (Query(), True),
        (Query(types=("ObjectEvent", "TransactionEvent")), True),
        (Query(types=("TransactionEvent",)), False),
        (Query(steps=("arriving",)), True),
        (Query(steps=("departing",)), False),
        (Query(epcs=("urn:epc:id:bic:MSKU1234565", "urn:x:y")), True),
        (Query(epcs=("urn:x:y",)), False),
        (Query(read_points=("urn:pledgewatch:fence:la-dc",)), True),
        (Query(locations=("urn:pledgewatch:fence:elsewhere",)), False),
        (Query(dispositions=("in_transit",)), False),
        (Query(actions=("OBSERVE",), ids=("urn:pledgewatch:event:0b5e:7.2",)), True),
        (Query(ids=("urn:pledgewatch:event:0b5e:7.3",)), False),
        (Query(from_ms=NOON_MS, until_ms=NOON_MS + 1), True),
        (Query(from_ms=NOON_MS + 1), False),
        (Query(until_ms=NOON_MS), False),
        (Query(wrong_only=True), False),
    ],
)
def test_a_query_asks_for_all_that_it_names(query: Query, is_asked_for: bool) -> None:
    document = told(telling(EventType.FENCE_ENTERED, **GATE))
    assert epcis_out.answers(document, query) is is_asked_for
