"""Money at the sandbox core: a release is paid once whatever is said of it, loans move, calls are answered."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from banks import PAYABLE, PAYEE, RELEASE, Bank, about_release, assert_problem, booked, event
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pledgewatch_sim.bank.ledger import Ledger
from pledgewatch_sim.bank.message import TYPES
from pledgewatch_sim.bank.releases import ABOUT_A_RELEASE

AMOUNT_MINOR = 2_500_000
ASKING = {"release_disbursement", "resume_release", "reaffirm_release"}


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(tmp_path)
    yield made
    made.ledger.close()


def released(bank: Bank) -> dict[str, Any]:
    """The one release, as it is shown."""
    found: dict[str, Any] = bank.facility()["releases"][RELEASE]
    return found


# What was sent, in the order of arrival; the answer to each; whether it is paid and how it stands in the end.
# R release, S resume, F reaffirm, H hold, X retract, Q question, E expiry; the number is the sequence,
# and what stands after "-" is withdrawn by it.
LIVES = [
    ("R1", "booked", True, "released"),
    ("R1 R1", "booked booked", True, "released"),
    ("R1 H2", "booked booked", True, "held"),
    ("R1 Q2", "booked booked", True, "in question"),
    ("R1 Q2 F3", "booked booked booked", True, "released"),
    ("H2-1", "none", False, "held"),
    ("X2-1", "none", False, "retracted"),
    ("E1", "none", False, "expired"),
    ("Q1", "none", False, "in question"),
    ("F1", "none", False, "waiting"),
    ("H2-1 R1", "none none", False, "held"),
    ("H2-1 S3", "none booked", True, "released"),
    ("H2-1 S3 S3 R1", "none booked booked booked", True, "released"),
    ("S3 H2-1", "booked booked", True, "released"),
    ("H2-1 X4-3 S3", "none none none", False, "retracted"),
    ("H2-1 H4-3 S5", "none none booked", True, "released"),
    ("Q2 R1", "none none", False, "in question"),
    ("Q2 R1 F3", "none none booked", True, "released"),
    ("F3 Q2 R1", "none none booked", True, "released"),
    ("H2-1 R1 F3", "none none none", False, "waiting"),
    ("R1 X2 S3", "booked booked booked", True, "released"),
]
NAMES = {
    "R": "release_disbursement",
    "S": "resume_release",
    "F": "reaffirm_release",
    "H": "hold_release",
    "X": "retract_release",
    "Q": "question_release",
    "E": "record_expiry",
}


def spelled(word: str) -> dict[str, Any]:
    """The message that a word of the table stands for."""
    number, _, withdraws = word[1:].partition("-")
    return about_release(int(number), NAMES[word[0]], withdraws=int(withdraws or 0))


@pytest.mark.parametrize(("sent", "answers", "is_paid", "status"), LIVES, ids=[life[0] for life in LIVES])
def test_lives_of_a_release(bank: Bank, sent: str, answers: str, is_paid: bool, status: str) -> None:
    said = [bank.send(spelled(word)).json() for word in sent.split()]
    assert " ".join(one["release"] for one in said) == answers
    assert [one["id"] for one in said] == [spelled(word)["id"] for word in sent.split()]
    found = released(bank)
    assert (found["booked"], found["status"]) == (is_paid, status)
    assert found["amount_minor"] == (AMOUNT_MINOR if is_paid else None)
    assert bank.facility()["outstanding_minor"] == (AMOUNT_MINOR if is_paid else 0)
    assert bank.counts().get("payments", 0) == is_paid
    assert bank.moved == answers.split().count("booked")


def test_every_message_about_a_release_is_answered_with_the_word_and_no_other_is(bank: Bank) -> None:
    assert set(NAMES.values()) == ABOUT_A_RELEASE, "the lives above have all of them"
    for number, name in enumerate(sorted(TYPES), start=1):
        for _ in range(2):
            said = bank.send(event(number, name, data={**PAYABLE, "release": f"journal.{name}"})).json()
            assert said.get("release") in ({"booked", "none"} if name in ABOUT_A_RELEASE else {None}), name


def test_a_release_is_shown_with_what_was_paid(bank: Bank) -> None:
    bank.send(about_release(1, "question_release"))
    bank.send(about_release(2, "resume_release"))
    assert released(bank) == {
        "milestone": "gated-in",
        "status": "released",
        "booked": True,
        "booked_by": "journal.2",
        "booked_at_ms": bank.now_ms,
        "amount_minor": AMOUNT_MINOR,
        "currency": "USD",
        "payee": PAYEE,
        "messages": ["journal.1", "journal.2"],
    }


def test_a_second_release_message_pays_nothing_and_is_counted(bank: Bank) -> None:
    bank.send(about_release(1, "release_disbursement"))
    answer = bank.send(about_release(2, "release_disbursement", amount_minor=9))
    assert answer.json() == {"id": "journal.2", "release": "booked"}
    assert bank.counts()["double_releases"] == 1
    assert bank.counts()["payments"] == 1
    assert bank.facility()["drawn_minor"] == AMOUNT_MINOR


def test_a_release_without_an_id_of_its_own_goes_by_its_milestone(bank: Bank) -> None:
    data = {"amount_minor": 7, "currency": "USD", "payee": "exporter"}
    for number, name in enumerate(["release_disbursement", "question_release", "reaffirm_release"], start=1):
        bank.send(event(number, name, subject="sold", data=data))
    assert bank.facility()["releases"]["sold"]["status"] == "released"
    assert bank.facility()["releases"]["sold"]["booked_by"] == "journal.1"
    assert bank.facility()["outstanding_minor"] == 7


@pytest.mark.parametrize("number", ["", 5, None, {}])
def test_a_release_id_must_be_one(bank: Bank, number: object) -> None:
    assert_problem(bank.send(about_release(1, "hold_release", release=number)), 422, "data.release")


@pytest.mark.parametrize("name", ["release_disbursement", "resume_release", "reaffirm_release"])
@pytest.mark.parametrize(
    "wrong",
    [{"amount_minor": one} for one in (0, -5, 1.5, True, "5", 10**15 + 1)]
    + [{"amount_minor": 5, "currency": one} for one in ("", "usd", "USDX", None, 5)],
    ids=str,
)
def test_no_amount_or_no_currency_is_no_release(bank: Bank, name: str, wrong: dict[str, Any]) -> None:
    assert_problem(bank.send(about_release(1, name, **wrong)), 422)
    assert bank.counts() == {"received": 1, "rejected": 1}


def test_a_release_in_another_currency_is_refused_and_not_booked(bank: Bank) -> None:
    bank.send(about_release(1, "release_disbursement"))
    other = about_release(2, "release_disbursement", release="journal.sold", currency="EUR")
    assert_problem(bank.send(other), 422, "data.currency is EUR; facility 'facility-1' is in USD")
    assert [one["id"] for one in bank.read("/ledger/messages")] == ["journal.1"]
    assert list(bank.facility()["releases"]) == [RELEASE]


@pytest.mark.parametrize("milestone", ["m" * 128, "Größe", "with blank"])
def test_what_pledgewatch_is_told_has_an_id_that_it_takes(bank: Bank, milestone: str) -> None:
    bank.send(about_release(1, "release_disbursement", release=f"journal.{milestone}"))
    (movement,) = bank.facility()["movements"]
    assert len(movement["id"]) <= 128
    assert movement["id"].startswith("drawdown:")
    assert set(movement["id"]) <= set("abcdefghijklmnopqrstuvwxyz0123456789:")
    assert movement["release"] == f"journal.{milestone}"


class _Witness:
    """What a careful reader expects of the core: told apart from how the core decides it."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, Any]] = {}
        self.payments: list[str] = []

    def told(self, one: dict[str, Any]) -> str:
        """What the answer must be."""
        self.seen[one["id"]] = one
        in_order = sorted(self.seen.values(), key=lambda seen: int(seen["sequence"]))
        withdrawn = {seen["data"].get("release_message") for seen in in_order}
        payable = [seen["id"] for seen in in_order if "amount_minor" in seen["data"] and seen["id"] not in withdrawn]
        asks = in_order[-1]["type"].split(".")[2] in ASKING
        if asks and payable and not self.payments:
            self.payments.append(payable[-1])
        return "booked" if self.payments else "none"


STORIES = st.lists(st.tuples(st.sampled_from(sorted(NAMES.values())), st.booleans()), min_size=1, max_size=7).flatmap(
    lambda words: st.tuples(
        st.just(words),
        st.permutations(range(1, len(words) + 1)),
        st.lists(st.integers(1, len(words)), max_size=6),
    )
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STORIES, st.integers(0, 2**32))
@example(([("release_disbursement", False), ("hold_release", True), ("resume_release", False)], [2, 1, 3], [1, 3]), 0)
def test_a_release_is_paid_at_most_once_whatever_is_said_in_whatever_order(
    tmp_path_factory: pytest.TempPathFactory,
    story: tuple[Sequence[tuple[str, bool]], Sequence[int], Sequence[int]],
    place: int,
) -> None:
    words, order, again = story
    messages = {
        number: about_release(number, name, withdraws=number - 1 if is_withdrawing else 0)
        for number, (name, is_withdrawing) in enumerate(words, start=1)
    }
    arriving = [*order]
    for number in again:  # a repeat at any place, and more than one
        arriving.insert(place % (len(arriving) + 1), number)
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.sqlite", lambda: 1)
    witness = _Witness()
    for number in arriving:
        assert booked(ledger, messages[number]).release == witness.told(messages[number])
        facility = ledger.facilities()["facility-1"]
        drawdowns = [one for one in facility["movements"] if one["kind"] == "drawdown"]
        assert len(drawdowns) == len(witness.payments) <= 1
        assert facility["outstanding_minor"] == AMOUNT_MINOR * len(drawdowns)
        found = facility["releases"][RELEASE]
        assert found["booked"] is bool(drawdowns)
        assert found["booked_by"] == (witness.payments[0] if witness.payments else None)
    counts = ledger.counts()
    assert counts["booked"] == len(messages)
    assert counts["repeats"] == len(again)
    assert counts["payments"] == len(witness.payments)
    ledger.close()


def test_the_database_itself_takes_each_release_once(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    bank.send(about_release(1, "release_disbursement"))
    monkeypatch.setattr("pledgewatch_sim.bank.ledger._paid", lambda _connection, _release: "none")
    with pytest.raises(Exception, match=r"UNIQUE constraint failed: movement"):
        bank.send(about_release(2, "resume_release"))
    assert bank.facility()["drawn_minor"] == AMOUNT_MINOR
    assert [one["id"] for one in bank.read("/ledger/messages")] == ["journal.1"], "nothing of it was booked"


def test_proceeds_repay_what_is_outstanding_and_the_rest_is_the_borrowers(bank: Bank) -> None:
    bank.post("/facilities", {"id": "facility-1", "currency": "USD", "outstanding_minor": 1_000_000})
    bank.send(about_release(1, "release_disbursement"))
    first = {"id": "sale-1", "facility": "facility-1", "amount_minor": 3_000_000, "reference": "invoice 7"}
    bank.now_ms += 1_000
    assert bank.post("/repayments", first).json() == {**first, "repaid_minor": 3_000_000, "surplus_minor": 0}
    second = {"id": "sale-2", "facility": "facility-1", "amount_minor": 800_000}
    said = {**second, "reference": "", "repaid_minor": 500_000, "surplus_minor": 300_000}
    assert bank.post("/repayments", second).json() == said
    assert bank.post("/repayments", second).json() == said, "told again, answered again"
    third = {"id": "sale-3", "facility": "facility-1", "amount_minor": 1}
    assert bank.post("/repayments", third).json()["surplus_minor"] == 1
    found = bank.facility()
    sums = {name: found[f"{name}_minor"] for name in ("opening", "drawn", "repaid", "outstanding", "surplus")}
    assert sums == {
        "opening": 1_000_000,
        "drawn": 2_500_000,
        "repaid": 3_500_000,
        "outstanding": 0,
        "surplus": 300_001,
    }
    assert [(one["id"], one["kind"], one["amount_minor"]) for one in found["movements"]] == [
        (f"drawdown:{RELEASE}", "drawdown", 2_500_000),
        ("repayment:sale-1", "repayment", 3_000_000),
        ("repayment:sale-2", "repayment", 500_000),
    ]
    assert [one["id"] for one in found["repayments"]] == ["sale-1", "sale-2", "sale-3"]
    assert bank.counts()["repayments"] == 3


def test_nothing_is_repaid_before_it_is_drawn_though_the_clock_is_put_back(bank: Bank) -> None:
    bank.send(about_release(1, "release_disbursement"))
    drawn_ms = bank.now_ms
    bank.now_ms -= 60_000
    bank.post("/repayments", {"id": "sale-1", "facility": "facility-1", "amount_minor": 5})
    assert [one["at_ms"] for one in bank.facility()["movements"]] == [drawn_ms, drawn_ms]


SALE = {"id": "sale-1", "facility": "facility-1", "amount_minor": 5}


@pytest.mark.parametrize(
    ("path", "document", "status", "words"),
    [
        ("/repayments", SALE | {"amount_minor": 6}, 409, "repayment 'sale-1' is known with other content"),
        ("/repayments", SALE | {"reference": "other"}, 409, "repayment 'sale-1' is known with other content"),
        ("/repayments", SALE | {"id": "new", "facility": "nobody"}, 404, "there is no facility 'nobody'; open it"),
        ("/repayments", SALE | {"amount_minor": 0}, 422, "body.amount_minor"),
        ("/repayments", SALE | {"amount_minor": 1.0}, 422, "body.amount_minor"),
        ("/repayments", SALE | {"amount_minor": 10**15 + 1}, 422, "body.amount_minor"),
        ("/repayments", SALE | {"amount_minor": True}, 422, "body.amount_minor"),
        ("/repayments", SALE | {"id": "a b"}, 422, "body.id"),
        ("/repayments", SALE | {"id": "x" * 101}, 422, "body.id"),
        ("/repayments", SALE | {"currency": "USD"}, 422, "body.currency"),
        ("/repayments", [], 422, "body"),
        ("/facilities", {"id": "facility-1", "currency": "EUR"}, 409, "known in USD, with 0 lent before"),
        ("/facilities", {"id": "facility-1", "currency": "US"}, 422, "body.currency"),
        ("/facilities", {"id": "facility-1", "currency": "USD", "outstanding_minor": -1}, 422, "outstanding_minor"),
        ("/margin-calls/facility-1/answers", {"id": "a", "kind": "gift"}, 422, "body"),
        ("/margin-calls/facility-1/answers", {"id": "a", "kind": "repayment"}, 422, "amount_minor"),
        ("/margin-calls/facility-1/answers", {"id": "a", "kind": "substitution", "lots": []}, 422, "lots"),
        ("/margin-calls/facility-1/answers", {"id": "a", "kind": "substitution", "lots": ["l"]}, 409, "no margin call"),
        ("/margin-calls/nobody/answers", {"id": "a", "kind": "repayment", "amount_minor": 1}, 404, "no facility"),
    ],
    ids=str,
)
def test_money_that_cannot_be_meant_is_refused(bank: Bank, path: str, document: Any, status: int, words: str) -> None:
    bank.send(about_release(1, "release_disbursement"))
    assert bank.post("/repayments", SALE).status_code == 200
    before = bank.read()
    assert_problem(bank.post(path, document), status, words)
    assert bank.read() == before


def test_text_that_cannot_be_written_again_is_refused(bank: Bank) -> None:
    bank.send(about_release(1, "release_disbursement"))
    body = json.dumps(SALE | {"reference": "\ud800"}).encode()
    answer = bank.client.post("/repayments", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, 422, "body.reference")
    assert bank.facility()["repayments"] == []


def test_a_facility_is_opened_once(bank: Bank) -> None:
    opening = {"id": "facility-1", "currency": "USD", "outstanding_minor": 5}
    assert bank.post("/facilities", opening).json() == opening
    assert bank.post("/facilities", opening).json() == opening
    assert_problem(bank.post("/facilities", opening | {"outstanding_minor": 6}), 409, "known in USD, with 5 lent")
    assert bank.facility()["outstanding_minor"] == 5
    assert bank.facility()["movements"] == [], "pledgewatch's book has it already"


def called(number: int, call_minor: int = 400_000) -> dict[str, Any]:
    """A margin call."""
    return event(number, "call_margin", data={"call_minor": call_minor, "currency": "USD", "cure_by_ms": 9})


def test_a_margin_call_is_answered_with_money_and_with_goods(bank: Bank) -> None:
    bank.send(about_release(1, "release_disbursement"))
    bank.send(called(2))
    cash = {"id": "cash", "kind": "repayment", "amount_minor": 400_000}
    goods = {"id": "goods", "kind": "substitution", "lots": ["lot-8", "lot-9"]}
    for _ in range(2):
        said = bank.post("/margin-calls/facility-1/answers", cash).json()
        assert (said["repaid_minor"], said["surplus_minor"]) == (400_000, 0)
        assert bank.post("/margin-calls/facility-1/answers", goods).json() == {"facility": "facility-1", **goods}
    found = bank.facility()
    assert found["outstanding_minor"] == AMOUNT_MINOR - 400_000
    about = {"margin_call": "journal.2", "at_ms": bank.now_ms}
    assert found["margin_call"] == {
        "message": "journal.2",
        "call_minor": 400_000,
        "currency": "USD",
        "cure_by_ms": 9,
        "answers": [cash | about, goods | about],
    }
    for other in (cash | {"amount_minor": 1}, goods | {"lots": ["lot-8"]}):
        assert_problem(bank.post("/margin-calls/facility-1/answers", other), 409, "known with other content")
    bank.send(event(3, "record_cover", data={"cover": "clear"}))
    assert bank.facility()["margin_call"] is None
    assert bank.facility()["cover"] == "clear"
    assert len(bank.facility()["answers"]) == 2
    assert bank.post("/margin-calls/facility-1/answers", goods).status_code == 200, "a repeat after the end of the call"
    late = {"id": "late", "kind": "repayment", "amount_minor": 1}
    assert_problem(bank.post("/margin-calls/facility-1/answers", late), 409, "no margin call is open")
    bank.send(called(4))
    assert bank.facility()["margin_call"]["answers"] == [], "each call has its own answers"


def test_an_answer_may_not_have_the_id_of_another_repayment(bank: Bank) -> None:
    bank.send(about_release(1, "release_disbursement"))
    bank.send(called(2))
    bank.post("/repayments", SALE)
    answer = {"id": "sale-1", "kind": "repayment", "amount_minor": 5}
    assert_problem(bank.post("/margin-calls/facility-1/answers", answer), 409, "repayment 'sale-1' is known")
    assert bank.facility()["answers"] == []


def test_a_facility_that_has_a_slash_in_its_name_has_calls_too(bank: Bank) -> None:
    bank.send({**called(1), "facility": "bank/line-1"})
    answer = {"id": "goods", "kind": "substitution", "lots": ["lot-8"]}
    assert bank.post("/margin-calls/bank%2Fline-1/answers", answer).json()["facility"] == "bank/line-1"


def test_only_this_machine_moves_money(tmp_path: Path) -> None:
    bank = Bank(tmp_path, client_host="192.0.2.7")
    assert bank.send(about_release(1, "release_disbursement")).status_code == 200
    call = {"id": "a", "kind": "repayment", "amount_minor": 1}
    for path, document in [
        ("/repayments", SALE),
        ("/facilities", {"id": "facility-2", "currency": "USD"}),
        ("/margin-calls/facility-1/answers", call),
        ("/misbehave", {"outage": True}),
    ]:
        assert_problem(bank.post(path, document), 403, "only from the machine that the core runs on")
    assert bank.facility()["repaid_minor"] == 0
    assert list(bank.read()["facilities"]) == ["facility-1"]
    assert bank.send(event(2)).status_code == 200
    bank.ledger.close()
