"""The sandbox financing core: believes only what is signed, books each message once, and keeps what it has booked."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from banks import OLD_SECRET, PAYABLE, RELEASE, WRONG_SECRET, Bank, about_release, assert_problem, booked, event, signed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_sim.bank.app import MAX_BODY_BYTES
from pledgewatch_sim.bank.ledger import Ledger
from pledgewatch_sim.bank.message import TYPES


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(tmp_path)
    yield made
    made.ledger.close()


def test_a_signed_message_is_booked(bank: Bank) -> None:
    assert bank.send(event(1)).status_code == 200
    assert bank.send(event(2), secret=OLD_SECRET).status_code == 200, "keys rotate: both are known"
    assert bank.counts() == {"received": 2, "verified": 2, "booked": 2}
    assert bank.read()["facilities"]["facility-1"]["base"] == {"value_minor": 200, "currency": "USD"}
    first, second = bank.read()["messages"]
    assert (first["id"], first["type"], first["facility"], first["sequence"]) == (
        "journal.1",
        "record_base",
        "facility-1",
        1,
    )
    assert first["received_at_ms"] <= second["received_at_ms"]
    assert bank.read("/healthz") == {"status": "ok"}


def test_what_is_not_signed_or_not_fresh_is_not_believed(bank: Bank) -> None:
    body = json.dumps(event(1))
    good = signed(body, "journal.1")
    refused = [
        signed(body, "journal.1", secret=WRONG_SECRET),
        signed(body, "journal.1", age_s=301),
        signed(body, "journal.1", age_s=-330),
        signed(body + " ", "journal.1"),
        signed(body, "journal.2") | {"webhook-id": "journal.1"},
        good | {"webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)},
        good | {"webhook-timestamp": "now"},
        good | {"webhook-signature": "v1"},
        good | {"webhook-signature": "v1,!!!"},
        good | {"webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
        *({key: value for key, value in good.items() if key != missing} for missing in good if "webhook" in missing),
    ]
    for headers in refused:
        assert_problem(bank.client.post("/messages", content=body.encode(), headers=headers), 401)
    assert bank.counts() == {"received": len(refused), "rejected": len(refused)}
    assert bank.client.post("/messages", content=body.encode(), headers=good).status_code == 200
    both = good | {"webhook-signature": f"v1,AAAA {good['webhook-signature']}"}
    assert bank.client.post("/messages", content=body.encode(), headers=both).status_code == 200, "one of two is enough"


def test_a_large_body_is_refused_before_it_is_read_whole(bank: Bank) -> None:
    exact = event(1, data={"padding": ""})
    exact["data"]["padding"] = "x" * (MAX_BODY_BYTES - len(json.dumps(exact)))
    assert bank.send(exact).status_code == 200
    exact["data"]["padding"] += "x"
    assert_problem(bank.send(exact | {"id": "journal.2"}), 413)


@pytest.mark.parametrize(
    "wrong",
    [
        *({missing: None} for missing in event(1)),
        {"specversion": "0.3"},
        {"sequence": "-1"},
        {"sequence": "²"},
        {"sequence": "9" * 20},
        {"sequence": 5},
        {"facility": {"id": 1}},
        {"facility": ""},
        {"facility": "\ud800"},
        {"subject": 7},
        {"data": "release"},
        {"data": [1]},
        {"data": {"value_minor": float("inf")}},
        {"data": {"value_minor": float("nan")}},
    ],
    ids=str,
)
def test_what_is_no_message_of_ours_is_refused(bank: Bank, wrong: dict[str, Any]) -> None:
    one = {key: value for key, value in (event(1) | wrong).items() if value is not None}
    answer = bank.send(one)
    if set(wrong) <= {"time", "datacontenttype"}:  # CloudEvents leaves these to the sender
        assert answer.status_code == 200
    else:
        # Signed for the id that it should have.
        assert_problem(answer if "id" in one else bank.send_text(json.dumps(one), "journal.1"), 422)
        assert "booked" not in bank.counts()
    assert bank.client.get("/ledger").status_code == 200


@pytest.mark.parametrize("body", ["", "{", "null", "[]", '"id"', "5", "[" * 100_000, json.dumps([event(1)])])
def test_what_is_no_event_at_all_is_refused(bank: Bank, body: str) -> None:
    assert_problem(bank.send_text(body, "journal.1"), 422)


def test_bytes_that_are_no_text_are_refused(bank: Bank) -> None:
    answer = bank.client.post("/messages", content=b"\xff", headers=signed("x", "journal.1"))
    assert_problem(answer, 422)


def test_the_signed_id_is_the_events_id(bank: Bank) -> None:
    assert_problem(bank.send_text(json.dumps(event(1)), "journal.2"), 422)


def test_a_repeat_is_answered_and_books_nothing(bank: Bank) -> None:
    for _ in range(3):
        assert bank.send(event(1)).status_code == 200
    assert bank.counts() == {"received": 3, "verified": 3, "booked": 1, "repeats": 2}
    assert_problem(bank.send(event(1, data={"value_minor": 5})), 409)
    assert bank.counts()["conflicts"] == 1
    assert bank.read()["facilities"]["facility-1"]["base"]["value_minor"] == 100


def test_order_is_kept_by_facility(bank: Bank) -> None:
    for number, facility in [(1, "a"), (1, "b"), (2, "a"), (5, "a"), (3, "a"), (2, "b")]:
        assert bank.send(event(number, facility=facility, id=f"{facility}.{number}")).status_code == 200
    assert bank.counts() == {"received": 6, "verified": 6, "booked": 6, "gaps": 1, "out_of_order": 1}
    values = {facility: book["base"]["value_minor"] for facility, book in bank.read()["facilities"].items()}
    assert values == {"a": 500, "b": 200}, "the last value by its number, not by its arrival"
    arrived = [(one["facility"], one["sequence"]) for one in bank.read()["messages"]]
    assert arrived == [("a", 1), ("b", 1), ("a", 2), ("a", 5), ("a", 3), ("b", 2)]


def test_alerts_open_and_close(bank: Bank) -> None:
    story = [("raise_alert", "warm"), ("raise_alert", "late"), ("raise_alert", "warm"), ("raise_alert", "wet")]
    story += [("clear_alert", "late"), ("withdraw_alert", "wet"), ("clear_alert", "never raised")]
    for number, (name, subject) in enumerate(story, start=1):
        bank.send(event(number, name, subject=subject, data={}))
    assert bank.read()["facilities"]["facility-1"]["alerts_open"] == ["warm"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "com.pledgewatch.ring_bell.v1"},
        {"type": "com.example.record_base"},
        {"type": "record_base"},
        *({"type": "com.pledgewatch.release_disbursement.v1", "data": {"amount_minor": one}} for one in (-5, 0, 1.5)),
        {"type": "com.pledgewatch.release_disbursement.v1", "data": {}},
        {"type": "com.pledgewatch.release_disbursement.v1", "data": {"amount_minor": True}},
    ],
    ids=str,
)
def test_what_it_does_not_understand_is_not_booked(bank: Bank, wrong: dict[str, Any]) -> None:
    """A 2xx for a message that moves nothing would tell the sender that it had been acted on."""
    assert_problem(bank.send(event(1, **wrong)), 422)
    assert bank.counts() == {"received": 1, "rejected": 1}


def test_the_core_understands_every_message_that_the_cloud_sends_and_no_other(bank: Bank) -> None:
    assert set(MessageType) == TYPES
    for number, name in enumerate(MessageType, start=1):
        assert bank.send(event(number, name, subject="some", data=PAYABLE)).status_code == 200, name


def test_the_ledger_is_paged(bank: Bank) -> None:
    for number in range(1, 504):
        booked(bank.ledger, event(number))
    first = bank.read("/ledger/messages")
    rest = bank.read(f"/ledger/messages?after={first[-1]['arrival']}")
    assert [one["sequence"] for one in (*first, *rest)] == list(range(1, 504))
    assert len(first) == 500
    assert first[0]["data"] == event(1)["data"]
    assert [one["sequence"] for one in bank.read()["messages"]] == list(range(4, 504))
    assert_problem(bank.client.get("/ledger/messages?after=then"), 422)
    assert_problem(bank.client.get("/elsewhere"), 404)


def test_another_core_over_the_same_ledger_goes_on(tmp_path: Path) -> None:
    first = Bank(tmp_path)
    release = about_release(4, "release_disbursement")
    for one in (event(1), event(2, "raise_alert"), event(2, "raise_alert"), release):
        assert first.send(one).status_code == 200
    second = Bank(tmp_path)  # the first was not closed: what was answered is on disk
    assert second.read() == first.read()
    second.send(release)
    expected = {"received": 5, "verified": 5, "booked": 3, "repeats": 2, "gaps": 1, "payments": 1}
    assert second.counts() == expected
    modes = [
        second.ledger._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    ]
    assert modes == ["wal", 2], "written to the disk (FULL) before it is answered"
    first.ledger.close()
    second.ledger.close()


def test_a_ledger_of_another_form_is_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE message (arrival INTEGER PRIMARY KEY)")
    connection.close()
    with pytest.raises(OSError, match="it has form 0, this program's is 2; name another file"):
        Ledger(path)


def test_what_is_withdrawn_is_no_gap(bank: Bank) -> None:
    bank.send(event(1))
    bank.send(event(3))
    assert bank.counts()["gaps"] == 1
    assert bank.facility()["missing"] == [[2, 2]]
    bank.send(about_release(6, "hold_release", withdraws=2))
    assert bank.facility()["missing"] == [[4, 5]], "2 will not come; 4 and 5 may"
    bank.send(event(5))
    bank.send(event(4))
    assert "gaps" not in bank.counts(), "what was late has come"
    assert bank.counts()["out_of_order"] == 2


@pytest.mark.parametrize(
    "named",
    [
        {"release_message": "journal.1"},
        {"release_sequence": 1},
        {"release_message": "", "release_sequence": 1},
        {"release_message": "journal.1", "release_sequence": 2},
        {"release_message": "journal.1", "release_sequence": -1},
        {"release_message": "journal.1", "release_sequence": True},
        {"release_message": "journal.1", "release_sequence": 1.0},
        {"release_message": "journal.1", "release_sequence": "one"},
        {"release_message": None, "release_sequence": None},
    ],
    ids=str,
)
def test_what_is_withdrawn_must_be_an_earlier_message(bank: Bank, named: dict[str, Any]) -> None:
    assert_problem(bank.send(about_release(2, "hold_release", **named)), 422, "data.release_message")
    assert "booked" not in bank.counts()


def test_a_sequence_may_be_named_as_it_is_written(bank: Bank) -> None:
    named: dict[str, Any] = {"release_message": "journal.1", "release_sequence": f"{1:020d}"}
    assert bank.send(about_release(2, "hold_release", **named)).status_code == 200
    assert "gaps" not in bank.counts()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(1, 9)), st.lists(st.integers(1, 8), max_size=6))
def test_order_and_repeats_change_nothing_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], again: list[int]
) -> None:
    story = [event(1, "raise_alert"), event(2, "clear_alert"), event(3, "raise_alert")]
    story += [about_release(4, "release_disbursement"), about_release(5, "question_release"), event(6)]
    story += [about_release(7, "reaffirm_release"), event(8)]
    ended = []
    for numbers in (range(1, 9), [*order, *again]):
        ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.sqlite", lambda: 1)
        for number in numbers:
            booked(ledger, story[number - 1])
        ended.append(ledger.facilities())
        ledger.close()
    assert ended[0] == ended[1]
    assert ended[0]["facility-1"]["releases"][RELEASE]["booked_by"] == "journal.4"
