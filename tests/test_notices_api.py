"""What senders hand in over the API, and what is told of it and of our own events as EPCIS and as Track & Trace."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from api_cloud import JSON, ApiCloud, assert_problem
from asking import AppClient
from builders import (
    AT_SEA,
    IN_LOS_ANGELES,
    IN_SHANGHAI,
    MINUTE_MS,
    NOON_MS,
    Device,
    book_document,
    position,
    temperature,
)
from needed import DATA, needs
from standardwebhooks import Webhook
from test_epcis_out import CONTAINER, SCHEMA, assert_valid

from pledgewatch_cloud.api import examples
from pledgewatch_cloud.api import tellings as tellings_module
from pledgewatch_cloud.config import SenderSettings
from pledgewatch_cloud.credentials import CredentialError, sender_keys
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.trade import epcis
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.notices import senders as senders_module
from pledgewatch_cloud.notices.intake import DOCUMENT_MAX_BYTES
from pledgewatch_cloud.notices.metrics import Submissions
from pledgewatch_cloud.notices.senders import SenderKeys, Senders
from pledgewatch_cloud.signature import Key

EPCIS_EXAMPLES = "std-epcis/JSON"
OWNER_TOKEN = "not-a-secret-either"
OLD, NEW, CUSTOMS = (f"whsec_{letter * 40}" for letter in "abc")
TOKEN = "the-warehouse-says-so"


def signed(secret: str, body: bytes, *, minutes_ago: float = 0, identity: str = "msg_1") -> dict[str, str]:
    """The headers of an independent implementation of the scheme."""
    at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return JSON | {
        "webhook-id": identity,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(identity, at, body.decode()),
    }


def plain(identity: str = "1", kind: str = "customs_cleared", **changes: Any) -> dict[str, Any]:
    one = {"id": identity, "kind": kind, "happened_at": "2026-01-01T10:00:00Z", "about": {"container": [CONTAINER]}}
    return {"notices": [one | changes]}


def epcis_event(identity: str = "urn:uuid:1", **changes: Any) -> dict[str, Any]:
    return {
        "@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
        "type": "ObjectEvent",
        "eventID": identity,
        "eventTime": "2026-01-01T10:00:00Z",
        "eventTimeZoneOffset": "+00:00",
        "action": "OBSERVE",
        "bizStep": "receiving",
        "epcList": [f"urn:epc:id:bic:{CONTAINER}"],
    } | changes


def epcis_document(*events: dict[str, Any]) -> dict[str, Any]:
    return {
        "@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-01-01T10:00:00Z",
        "epcisBody": {"eventList": [{key: one[key] for key in one if key != "@context"} for one in events]},
    }


class NoticeCloud(ApiCloud):
    """Three senders in configuration and book."""

    def __init__(self, folder: Path) -> None:
        keys = [
            SenderKeys("carrier", (Key(OLD), Key(NEW))),
            SenderKeys("customs", (Key(CUSTOMS),)),
            SenderKeys("warehouse", token=TOKEN),
        ]
        self.submissions = Submissions()
        super().__init__(folder, token=OWNER_TOKEN, senders=Senders(keys), submissions=self.submissions)
        self.sender = AppClient(self.client.app)  # who shows no token but what a sender shows
        self.device = Device("box-1")
        self.spine.commit(drafts.amend, self.book())

    def book(self) -> dict[str, Any]:
        document = book_document(self.device)
        document["installations"][0]["asset"] = document["lots"][0]["asset"] = CONTAINER
        # It sails in minutes.
        document["assets"] = [{"id": CONTAINER, "kind": "other"}]
        document["milestones"] = []
        document["senders"] = [{"id": one} for one in ("carrier", "customs", "warehouse")]
        return document

    def post(self, path: str, document: Any, headers: dict[str, str] | None = None) -> httpx2.Response:
        """Hand something in, signed by the carrier unless it is said otherwise."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = signed(OLD, body) if headers is None else headers
        answer: httpx2.Response = self.sender.post(path, content=body, headers=headers)
        return answer

    def sail(self) -> None:
        """A container enters Los Angeles, is too warm there, and leaves."""
        story = [(0, (*position(AT_SEA), temperature(5_000))), (1, position(IN_LOS_ANGELES))]
        story += [(2, (temperature(9_000),)), (20, (temperature(9_100),)), (30, position(AT_SEA))]
        for minute, cells in story:
            self.clock.at_ms = NOON_MS + minute * MINUTE_MS
            reading = self.device.measure(self.clock.at_ms, *cells)
            self.spine.take([self.device.arrival([reading], [self.device.checkpoint()])])

    def events(self, **parameters: Any) -> list[dict[str, Any]]:
        """Every event that a query is answered with, page by page."""
        found: list[dict[str, Any]] = []
        url = f"/epcis/events?{httpx2.QueryParams(parameters)}"
        while url:
            answer = self.client.get(url)
            assert answer.status_code == 200, answer.text
            document = answer.json()
            assert document["type"] == "EPCISQueryDocument"
            found += document["epcisBody"]["queryResults"]["resultsBody"]["eventList"]
            link = answer.headers.get("link", "")
            assert not link or link.endswith('>; rel="next"')
            url = link.partition(">")[0].removeprefix("<")
        return found

    def dcsa(self, **parameters: Any) -> list[dict[str, Any]]:
        """The same of Track & Trace; `__` in a name is its colon."""
        found: list[dict[str, Any]] = []
        names = {name.replace("__", ":"): value for name, value in parameters.items()}
        url = f"/dcsa/events?{httpx2.QueryParams(names)}"
        while url:
            answer = self.client.get(url)
            assert answer.status_code == 200, answer.text
            assert answer.headers["api-version"] == "2.2.0"
            found += answer.json()
            url = answer.headers.get("next-page", "")
        return found


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[NoticeCloud]:
    made = NoticeCloud(tmp_path)
    yield made
    made.close()


def assert_nothing_journalled(cloud: NoticeCloud) -> None:
    assert cloud.spine.state.entry == 1
    assert len(cloud.spine.state.notices) == 0


def test_a_signed_notice_is_taken_once(cloud: NoticeCloud) -> None:
    assert cloud.post("/notices", plain()).json() == {"entry": 2, "changed": True}
    assert cloud.post("/notices", plain()).json() == {"entry": None, "changed": False, "detail": "already known"}
    known = cloud.spine.state.notices.get("carrier/1")
    assert known is not None
    assert (known.kind, known.references) == ("customs_cleared", (f"container:{CONTAINER}",))
    assert cloud.submissions.counts == {"taken": 1, "known": 1}
    assert cloud.store.quarantined() == []
    metrics = cloud.client.get("/metrics").text
    assert 'pledgewatch_submissions_total{became="taken"} 1.0' in metrics


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_two_secrets_of_a_sender_are_live_at_once(cloud: NoticeCloud, secret: str) -> None:
    body = json.dumps(plain()).encode()
    assert cloud.post("/notices", body, signed(secret, body)).status_code == 200


def test_whose_secret_it_is_says_who_it_was(cloud: NoticeCloud) -> None:
    body = json.dumps(plain("9")).encode()
    assert cloud.post("/notices", body, signed(CUSTOMS, body)).status_code == 200
    assert cloud.post("/notices", body, JSON | {"authorization": f"Bearer {TOKEN}"}).status_code == 200
    named = signed(OLD, body) | {"x-pledgewatch-sender": "carrier"}
    assert cloud.post("/notices", body, named).status_code == 200
    assert {one[0] for one in cloud.spine.state.notices.as_json()} == {"customs/9", "warehouse/9", "carrier/9"}


BODY = json.dumps(plain()).encode()


def without_time() -> dict[str, str]:
    return {key: value for key, value in signed(OLD, BODY).items() if key != "webhook-timestamp"}


NOT_OF_THIS = "is not that of this body"
FALSE: list[tuple[str, Callable[[], dict[str, str]], str]] = [
    ("of another secret", lambda: signed(f"whsec_{'d' * 40}", BODY), NOT_OF_THIS),
    ("too old", lambda: signed(OLD, BODY, minutes_ago=6), " s ago, "),
    ("not yet", lambda: signed(OLD, BODY, minutes_ago=-7), "s in the future"),
    ("of another text", lambda: signed(OLD, BODY + b" "), NOT_OF_THIS),
    ("under another id", lambda: signed(OLD, BODY) | {"webhook-id": "msg_2"}, NOT_OF_THIS),
    ("under no id", lambda: signed(OLD, BODY, identity=""), "webhook-id is missing"),
    ("without a time", without_time, "webhook-timestamp is missing"),
    ("at no time", lambda: signed(OLD, BODY) | {"webhook-timestamp": "1e9"}, "no whole number of seconds"),
    ("that is none", lambda: signed(OLD, BODY) | {"webhook-signature": "v1"}, NOT_OF_THIS),
    ("that is no base64", lambda: signed(OLD, BODY) | {"webhook-signature": "v1,??"}, NOT_OF_THIS),
    ("of an older scheme", lambda: signed(OLD, BODY) | {"webhook-signature": "v0,aaaa"}, NOT_OF_THIS),
    ("of another sender", lambda: signed(OLD, BODY) | {"x-pledgewatch-sender": "customs"}, NOT_OF_THIS),
    ("of nobody", lambda: signed(OLD, BODY) | {"x-pledgewatch-sender": "nobody"}, "may hand in nothing here"),
    ("of one who shows a token", lambda: signed(OLD, BODY) | {"x-pledgewatch-sender": "warehouse"}, NOT_OF_THIS),
    ("missing", lambda: JSON, "needs a signature"),
    ("a false token", lambda: JSON | {"authorization": "Bearer the-warehouse-says-no"}, "no sender's"),
    ("an empty token", lambda: JSON | {"authorization": "Bearer "}, "no sender's"),
    ("the owner's token", lambda: JSON | {"authorization": f"Bearer {OWNER_TOKEN}"}, "no sender's"),
]


@pytest.mark.parametrize("path", ["/notices", "/notices/dcsa", "/epcis/capture", "/epcis/events"])
@pytest.mark.parametrize(("headers", "text"), [one[1:] for one in FALSE], ids=[one[0] for one in FALSE])
def test_a_false_signature_is_refused_and_the_bytes_are_kept(
    cloud: NoticeCloud, headers: Callable[[], dict[str, str]], text: str, path: str
) -> None:
    answer = assert_problem(cloud.post(path, BODY, headers()), 401)
    assert text in answer["detail"]
    assert_nothing_journalled(cloud)
    (kept,) = cloud.store.quarantined()
    assert (kept.reason, kept.raw, kept.topic) == ("sender_unauthenticated", BODY, "notices/")
    assert cloud.submissions.counts == {"sender_unauthenticated": 1}


def test_bytes_that_no_signature_can_be_made_for_are_kept_too(cloud: NoticeCloud) -> None:
    assert_problem(cloud.post("/notices", b'{"notices": "\xff"}', signed(OLD, b"{}")), 401)
    assert [one.raw for one in cloud.store.quarantined()] == [b'{"notices": "\xff"}']


def test_a_stranger_cannot_drive_everything_out_of_quarantine(
    cloud: NoticeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders_module, "KEPT_AN_HOUR", 3)
    for number in range(5):
        assert_problem(cloud.post("/notices", plain(str(number)), JSON), 401)
    assert len(cloud.store.quarantined()) == 3
    assert cloud.submissions.counts == {"sender_unauthenticated": 5}
    senders = Senders([])
    kept = [senders.may_keep(at_ms) for at_ms in (0, 1, 2, 3, 3_600_000)]
    assert kept == [True, True, True, False, True]


REFUSED = [
    ("no JSON", b"{", "no JSON"),
    ("not UTF-8", b'"\xff"', "byte 1: is not UTF-8"),
    ("no notices", b"{}", 'the one key "notices"'),
    ("an unknown kind", json.dumps(plain(kind="eaten")).encode(), "notices[0].kind"),
    ("a wrong check digit", json.dumps(plain(about={"container": ["MSKU1234566"]})).encode(), "should be 5"),
    ("no time", json.dumps(plain(happened_at="yesterday")).encode(), "notices[0].happened_at"),
]


@pytest.mark.parametrize(("body", "text"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_what_cannot_be_read_is_refused_with_its_place_and_kept(cloud: NoticeCloud, body: bytes, text: str) -> None:
    answer = assert_problem(cloud.post("/notices", body, JSON | {"authorization": f"Bearer {TOKEN}"}), 422)
    assert any(text in one for one in answer["errors"])
    assert_nothing_journalled(cloud)
    (kept,) = cloud.store.quarantined()
    assert (kept.reason, kept.topic, kept.raw) == ("notice_refused", "notices/warehouse", body)
    assert text in kept.detail


def test_every_fault_of_a_document_is_told_at_once(cloud: NoticeCloud) -> None:
    document = {"notices": [*plain(kind="eaten")["notices"], *plain("2", place="XX")["notices"]]}
    errors = assert_problem(cloud.post("/notices", document), 422)["errors"]
    assert [one.partition(":")[0] for one in errors] == ["notices[0].kind", "notices[1].place"]


def test_a_sender_that_the_book_does_not_know_is_refused(cloud: NoticeCloud) -> None:
    cloud.spine.commit(drafts.amend, {"remove": {"senders": ["carrier"]}})
    answer = assert_problem(cloud.post("/notices", plain()), 422)
    assert "carrier" in answer["errors"][0]
    assert len(cloud.spine.state.notices) == 0


def test_the_same_id_with_other_content_is_refused(cloud: NoticeCloud) -> None:
    assert cloud.post("/notices", plain()).status_code == 200
    answer = assert_problem(cloud.post("/notices", plain(kind="customs_refused")), 422)
    assert "carrier/1: was said before with another kind" in answer["errors"][0]


def test_what_is_too_long_or_no_json_by_its_own_word_is_not_read(cloud: NoticeCloud) -> None:
    long = json.dumps(plain(place=" " * DOCUMENT_MAX_BYTES)).encode()
    assert_problem(cloud.post("/notices", long, signed(OLD, long)), 413)
    assert_problem(cloud.post("/notices", BODY, signed(OLD, BODY) | {"content-type": "text/plain"}), 415)
    assert_nothing_journalled(cloud)


def test_a_disk_that_takes_nothing_is_said_and_nothing_is_lost(
    cloud: NoticeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(cloud.store, "append", full)
    monkeypatch.setattr(cloud.store, "quarantine", full)
    assert_problem(cloud.post("/notices", plain()), 503)
    assert_problem(cloud.post("/notices", b"{", JSON | {"authorization": f"Bearer {TOKEN}"}), 503)
    assert_problem(cloud.post("/notices", plain(), JSON), 503)
    monkeypatch.undo()
    assert cloud.post("/notices", plain()).json() == {"entry": 2, "changed": True}


def test_carriers_events_are_taken(cloud: NoticeCloud) -> None:
    event = {
        "eventID": "3cecb101-7a1a-43a4-9d62-e88a131651e2",
        "eventType": "EQUIPMENT",
        "eventClassifierCode": "ACT",
        "eventDateTime": "2026-01-01T09:00:00+01:00",
        "eventCreatedDateTime": "2026-01-01T09:05:00+01:00",
        "equipmentEventTypeCode": "GTIN",
        "equipmentReference": CONTAINER,
        "emptyIndicatorCode": "LADEN",
    }
    assert cloud.post("/notices/dcsa", [event]).json() == {"entry": 2, "changed": True}
    assert cloud.post("/notices/dcsa", event).json()["detail"] == "already known"
    assert [one.kind for one in cloud.spine.state.notices.standing(f"container:{CONTAINER}")] == ["full_in"]
    assert assert_problem(cloud.post("/notices/dcsa", [event | {"eventDateTime": "?"}]), 422)["errors"]


def test_only_senders_hand_in_and_senders_only_hand_in(cloud: NoticeCloud) -> None:
    body = json.dumps({"remove": {"lots": ["lot-box-1"]}}).encode()
    for headers in (signed(OLD, body), JSON | {"authorization": f"Bearer {TOKEN}"}):
        assert_problem(cloud.post("/book/amendments", body, headers), 401)
    assert_nothing_journalled(cloud)


def test_a_capture_is_a_job_that_has_ended(cloud: NoticeCloud) -> None:
    answer = cloud.post("/epcis/capture", epcis_document(epcis_event()))
    assert (answer.status_code, answer.headers["location"]) == (202, "/epcis/capture/2")
    assert answer.headers["gs1-epcis-version"] == "2.0"
    job = cloud.client.get(answer.headers["location"])
    assert job.json() == {
        "captureID": "2",
        "createdAt": "2026-01-01T12:00:00Z",
        "finishedAt": "2026-01-01T12:00:00Z",
        "running": False,
        "success": True,
        "captureErrorBehaviour": "rollback",
        "errors": [],
    }
    again = cloud.post("/epcis/capture", epcis_document(epcis_event()))
    assert (again.status_code, again.json()["detail"]) == (202, "already known")
    assert cloud.client.get(again.headers["location"]).json()["success"] is True
    assert cloud.spine.state.entry == 2


@pytest.mark.parametrize("job", ["1", "0", "3", "known.3", "known.0", "known.", "x", "-1", "2.0", "9" * 30])
def test_a_job_that_there_was_not_is_none(cloud: NoticeCloud, job: str) -> None:
    assert cloud.post("/epcis/capture", epcis_document(epcis_event())).status_code == 202
    answer = assert_problem(cloud.client.get(f"/epcis/capture/{job}"), 404)
    assert answer["type"] == "epcisException:NoSuchResourceException"


def test_a_plain_notice_is_no_capture(cloud: NoticeCloud) -> None:
    assert cloud.post("/notices", plain()).json()["entry"] == 2
    assert_problem(cloud.client.get("/epcis/capture/2"), 404)


def test_a_document_is_captured_whole_or_not_at_all(cloud: NoticeCloud) -> None:
    document = epcis_document(epcis_event(), epcis_event("urn:uuid:2", eventTime="?"))
    answer = assert_problem(cloud.post("/epcis/capture", document), 400)
    assert answer["type"] == "epcisException:ValidationException"
    assert answer["errors"][0].startswith("epcisBody.eventList[1].eventTime")
    assert_nothing_journalled(cloud)
    assert [one.reason for one in cloud.store.quarantined()] == ["notice_refused"]
    body = json.dumps(epcis_document(epcis_event())).encode()
    headers = signed(OLD, body) | {"gs1-capture-error-behaviour": "proceed"}
    assert_problem(cloud.post("/epcis/capture", body, headers), 501)
    assert_nothing_journalled(cloud)


def test_one_event_is_captured_and_found_where_the_answer_says(cloud: NoticeCloud) -> None:
    answer = cloud.post("/epcis/events", epcis_event("urn:uuid:1%2F"))
    assert answer.status_code == 201
    found = cloud.client.get(answer.headers["location"]).json()["epcisBody"]["queryResults"]["resultsBody"]["eventList"]
    assert [one["eventID"] for one in found] == [answer.json()["eventID"]]
    assert found[0]["pledgewatch:kind"] == "goods_received"
    assert cloud.post("/epcis/events", epcis_event("urn:uuid:1%2F")).json()["detail"] == "already known"


@needs(EPCIS_EXAMPLES)
def test_all_of_the_standards_examples_are_captured_and_told_again(cloud: NoticeCloud) -> None:
    examples = sorted((DATA / EPCIS_EXAMPLES).rglob("*.jsonld"))
    assert len(examples) > 40
    for number, path in enumerate(examples):
        body = path.read_bytes()
        answer = cloud.post("/epcis/capture", body, signed(OLD, body, identity=f"msg_{number}"))
        assert answer.status_code == 202, f"{path.name}: {answer.text}"
    told = cloud.events()
    assert len(told) >= 40
    assert_valid(*told)


@needs(SCHEMA)
def test_our_events_are_told_in_their_order_and_captured_again(cloud: NoticeCloud) -> None:
    cloud.sail()
    cloud.post("/notices", plain())
    told = cloud.events()
    assert [(one["bizStep"], one["eventTime"][11:16]) for one in told] == [
        ("arriving", "12:01"),
        ("sensor_reporting", "12:12"),
        ("departing", "12:30"),
        ("urn:pledgewatch:step:customs_cleared", "10:00"),
    ]
    assert {one["epcList"][0] for one in told} == {f"urn:epc:id:bic:{CONTAINER}"}
    assert_valid(*told)
    assert told == cloud.events(perPage=1)
    answer = cloud.client.get("/epcis/events").content
    captured = cloud.post("/epcis/capture", answer, signed(CUSTOMS, answer))
    assert captured.status_code == 202, captured.text
    assert len(epcis.read("customs", answer.decode())) == len(told)


@needs(SCHEMA)
def test_a_late_reading_declares_what_was_told_wrong(cloud: NoticeCloud) -> None:
    """The jump onto the berth was none: a reading that comes late says that the container was elsewhere."""
    first = cloud.device.measure(NOON_MS, *position(AT_SEA))
    late = cloud.device.measure(NOON_MS + MINUTE_MS, *position(IN_SHANGHAI))
    last = cloud.device.measure(NOON_MS + 2 * MINUTE_MS, *position(IN_SHANGHAI))
    cloud.clock.at_ms = NOON_MS + 5 * MINUTE_MS
    for reading in (first, last, late):
        cloud.spine.take([cloud.device.arrival([reading], [cloud.device.checkpoint()] if reading is late else [])])
    told = cloud.events()
    entered, wrong, stead = told
    assert wrong["eventID"] == entered["eventID"]
    assert wrong["errorDeclaration"]["reason"] == "incorrect_data"
    assert wrong["errorDeclaration"]["correctiveEventIDs"] == [stead["eventID"]]
    assert (entered["eventTime"][14:16], stead["eventTime"][14:16]) == ("02", "01")
    assert_valid(*told)
    assert cloud.events(EXISTS_errorDeclaration="") == [wrong]
    gates = cloud.dcsa()
    assert [one["eventDateTime"][14:16] for one in gates] == ["01"], "Track & Trace tells what stands"


@needs(SCHEMA)
def test_what_a_sender_takes_back_is_declared_wrong_whatever_came_first(cloud: NoticeCloud) -> None:
    withdrawal = {"notices": [{"id": "w", "withdraws": "2"}]}
    for document in (plain("1"), plain("3", replaces="1"), withdrawal, plain("2", "full_in")):
        assert cloud.post("/notices", document).status_code == 200
    told = cloud.events()
    assert_valid(*told)
    wrong = {one["eventID"]: one["errorDeclaration"] for one in told if "errorDeclaration" in one}
    assert wrong.keys() == {"urn:pledgewatch:notice:carrier/1", "urn:pledgewatch:notice:carrier/2"}
    assert wrong["urn:pledgewatch:notice:carrier/1"]["correctiveEventIDs"] == ["urn:pledgewatch:notice:carrier/3"]
    assert wrong["urn:pledgewatch:notice:carrier/2"]["reason"] == "did_not_occur"
    last = [one for one in told if one["eventID"] == "urn:pledgewatch:notice:carrier/2"][-1]
    assert "errorDeclaration" in last
    assert cloud.dcsa() == []


def test_a_query_by_each_of_its_parameters(cloud: NoticeCloud) -> None:
    cloud.sail()
    cloud.post("/notices", plain(place="USLAX"))
    every = cloud.events()
    assert len(every) == 4
    assert cloud.events(eventType="ObjectEvent") == every
    assert cloud.events(eventType="TransactionEvent|AggregationEvent") == []
    assert cloud.events(EQ_bizStep="arriving|departing") == [every[0], every[2]]
    assert cloud.events(MATCH_epc=f"urn:epc:id:bic:{CONTAINER}", MATCH_anyEPC=f"urn:epc:id:bic:{CONTAINER}") == every
    assert cloud.events(MATCH_anyEPC="urn:pledgewatch:lot:lot-box-1") == [every[1]]
    assert cloud.events(GE_eventTime="2026-01-01T12:12:00Z", LT_eventTime="2026-01-01T13:30:00+01:00") == [every[1]]
    assert cloud.events(GE_recordTime="2026-01-01T12:20:00Z", LT_recordTime="2026-01-01T12:30:00Z") == [every[1]]
    assert cloud.events(GE_recordTime="2027-01-01T00:00:00Z") == []
    assert cloud.events(LT_recordTime="2025-01-01T00:00:00Z") == []
    assert cloud.events(EQ_readPoint="urn:pledgewatch:place:USLAX") == [every[3]]
    assert cloud.events(EQ_bizLocation="urn:pledgewatch:fence:los-angeles") == [every[0]]
    assert cloud.events(EQ_disposition="non_conformant") == [every[1]]
    assert cloud.events(EQ_action="ADD") == []
    assert cloud.events(EQ_eventID=f"{every[1]['eventID']}|{every[2]['eventID']}") == every[1:3]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("EQ_bizstep=arriving", "EQ_bizstep: is no parameter here; there are EQ_action, EQ_bizLocation, EQ_bizStep"),
        ("perPage=0", "perPage: '0': a number from 1 to 1000 is needed"),
        ("perPage=1001", "perPage: '1001': a number from 1 to 1000 is needed"),
        ("perPage=many", "perPage: 'many': a number from 1 to 1000 is needed"),
        ("GE_eventTime=noon", "GE_eventTime: 'noon' is not a time in ISO 8601"),
        ("nextPageToken=x", "'x' is no token that was given here"),
        ("nextPageToken=1.", "'1.' is no token that was given here"),
        ("MATCH_epc=urn:a:b&MATCH_anyEPC=urn:c:d", "MATCH_epc and MATCH_anyEPC have no value in common"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused(cloud: NoticeCloud, query: str, why: str) -> None:
    found = assert_problem(cloud.client.get(f"/epcis/events?{query}"), 400)
    assert found["detail"].startswith(why)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("eventtype=EQUIPMENT", "eventtype: is no parameter here; there are UNLocationCode"),
        ("limit=0", "limit: '0': a number from 1 to 1000 is needed"),
        ("cursor=%00", "'\\x00' is no token that was given here"),
        ("eventCreatedDateTime:gte=x", "eventCreatedDateTime:gte: 'x' is not a time in ISO 8601"),
    ],
)
def test_a_track_and_trace_query_that_cannot_be_answered_is_refused(cloud: NoticeCloud, query: str, why: str) -> None:
    found = assert_problem(cloud.client.get(f"/dcsa/events?{query}"), 400)
    assert found["detail"].startswith(why)


def test_track_and_trace_by_each_of_its_parameters(cloud: NoticeCloud) -> None:
    cloud.sail()
    issued = plain("b", "bill_of_lading_issued", about={"bill_of_lading": ["MAEU7"], "container": [CONTAINER]})
    cloud.post("/notices", issued)
    cloud.post("/notices", plain("e", "arrived", classifier="estimated", place="USLAX"))
    entered, left, paper, call = every = cloud.dcsa()
    assert [one["eventType"] for one in every] == ["EQUIPMENT", "EQUIPMENT", "SHIPMENT", "TRANSPORT"]
    assert call["eventClassifierCode"] == "EST"
    assert cloud.dcsa(limit=1) == every
    assert cloud.dcsa(eventType="EQUIPMENT") == [entered, left]
    assert cloud.dcsa(eventType="SHIPMENT,TRANSPORT") == [paper, call]
    assert cloud.dcsa(equipmentEventTypeCode="GTOT") == [left]
    assert cloud.dcsa(equipmentReference=CONTAINER) == [entered, left, call]
    assert cloud.dcsa(transportDocumentReference="MAEU7") == [paper]
    assert cloud.dcsa(carrierBookingReference="MAEU7") == []
    assert cloud.dcsa(documentReference="MAEU7", documentTypeCode="TRD") == [paper]
    assert cloud.dcsa(UNLocationCode="USLAX") == [call]
    at = left["eventCreatedDateTime"]
    assert at == "2026-01-01T12:30:00Z"
    assert cloud.dcsa(eventCreatedDateTime=at) == cloud.dcsa(eventCreatedDateTime__eq=at) == [left, paper, call]
    assert cloud.dcsa(eventCreatedDateTime__gte=at) == [left, paper, call]
    assert cloud.dcsa(eventCreatedDateTime__gt=at) == []
    assert cloud.dcsa(eventCreatedDateTime__lt=at) == [entered]
    assert cloud.dcsa(eventCreatedDateTime__lte=at) == every


def test_a_shipments_papers_are_those_of_its_containers_gates(cloud: NoticeCloud) -> None:
    shipment = {"id": "s-1", "facility": "facility-1", "lots": ["lot-box-1"], "about": {"bill_of_lading": ["MAEU7"]}}
    cloud.spine.commit(drafts.amend, {"shipments": [shipment]})
    cloud.sail()
    found = cloud.dcsa(transportDocumentReference="MAEU7")
    assert [one["equipmentEventTypeCode"] for one in found] == ["GTIN", "GTOT"]


def test_a_page_looks_at_so_many_events_and_no_more(cloud: NoticeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.sail()
    cloud.post("/notices", plain())
    monkeypatch.setattr(tellings_module, "LOOKED_AT_MAX", 2)
    monkeypatch.setattr(tellings_module, "_AT_ONCE", 1)
    first = cloud.client.get("/epcis/events?EQ_bizStep=departing")
    assert first.json()["epcisBody"]["queryResults"]["resultsBody"]["eventList"] == []
    assert 'rel="next"' in first.headers["link"]
    assert [one["bizStep"] for one in cloud.events(EQ_bizStep="departing")] == ["departing"]


def test_nothing_is_told_of_an_empty_journal(tmp_path: Path) -> None:
    cloud = NoticeCloud(tmp_path)
    assert cloud.events() == []
    assert cloud.dcsa(eventCreatedDateTime__gte="2026-01-01T00:00:00Z") == []
    cloud.close()


def settings(folder: Path, **files: str) -> SenderSettings:
    for name, text in files.items():
        (folder / name).write_text(text)
    return SenderSettings("carrier", tuple(folder / name for name in files))


def test_secrets_are_read_from_their_files(tmp_path: Path) -> None:
    (one,) = sender_keys([settings(tmp_path, old=OLD, new=NEW + "\n")])
    assert (one.id, len(one.keys), one.token) == ("carrier", 2, "")
    (tmp_path / "token").write_text(TOKEN)
    assert sender_keys([SenderSettings("a", token_file=tmp_path / "token")])[0].token == TOKEN


@pytest.mark.parametrize(
    ("secret", "text"),
    [("abc", "begins with whsec_"), ("whsec_YWJj", "3 bytes"), ("whsec_??", "not base64"), ("whsec_", "0 bytes")],
)
def test_what_is_no_secret_is_refused_at_the_start(tmp_path: Path, secret: str, text: str) -> None:
    with pytest.raises(CredentialError, match=text):
        sender_keys([settings(tmp_path, secret=secret)])


def test_two_senders_cannot_have_one_secret(tmp_path: Path) -> None:
    one = settings(tmp_path, secret=OLD)
    with pytest.raises(CredentialError, match="carrier and customs have the same secret"):
        sender_keys([one, SenderSettings("customs", one.secret_files)])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (SenderKeys("carrier", (Key(OLD), Key(NEW))), SenderKeys("customs", (Key(NEW),))),
        (SenderKeys("carrier", token=TOKEN), SenderKeys("customs", token=TOKEN)),
        (SenderKeys("carrier", (Key(OLD),)), SenderKeys("customs", token=OLD)),
    ],
)
def test_two_senders_who_are_known_by_the_same_are_refused(one: SenderKeys, other: SenderKeys) -> None:
    with pytest.raises(ValueError, match="carrier and customs have the same secret: give each its own"):
        Senders((one, other))
    assert Senders((one, SenderKeys("port", token="another-token-of-tests"))).may_keep(0)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"id": "No Name"}, "lower-case letters"),
        ({}, "either secret_files or a token_file"),
        ({"secret_files": (Path("a"),), "token_file": Path("b")}, "either secret_files or a token_file"),
        ({"secret_files": (Path("a"), Path("b"), Path("c"))}, "two can be live"),
    ],
)
def test_a_sender_is_configured_as_it_can_be_known(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SenderSettings(**{"id": "carrier"} | changes)


def test_a_notice_is_read_as_it_was_taken_with_what_became_of_it(tmp_path: Path) -> None:
    cloud = NoticeCloud(tmp_path)
    assert cloud.post("/notices", plain("1")).status_code == 200
    found = cloud.get("/notices/carrier/1")
    assert (found["kind"], found["sender"], found["fate"], found["against"]) == (
        "customs_cleared",
        "carrier",
        "standing",
        [],
    )
    assert sorted(found) == sorted(examples.NOTICE)
    assert cloud.post("/notices", {"notices": [{"id": "2", "withdraws": "1"}]}).status_code == 200
    found = cloud.get("/notices/carrier/1")
    assert (found["fate"], found["against"]) == ("withdrawn", ["carrier/2"])
    assert_problem(cloud.client.get("/notices/carrier/3"), 404)
    assert_problem(cloud.sender.get("/notices/carrier/1"), 401)
    cloud.close()
