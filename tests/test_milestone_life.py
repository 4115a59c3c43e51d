"""The life of a milestone over the real spine: every move of the table, and money that never moves twice."""

from collections.abc import Callable
from typing import Any

import pytest
from milestoning import (
    COLD,
    FIRST,
    PORT,
    SEA,
    SECOND,
    Trade,
    at,
    data_of,
    fact,
    milestone,
    moment,
)

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.milestones.lifecycle import MOVES, MilestoneState, News
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import CORE, DeliveryRecord, OutboxMessage

CLEARED, LADEN, ARRIVED = fact("customs_cleared"), fact("bill_of_lading_issued"), fact("arrived")
IN_LA = fact("gated_in", fence="los-angeles")
BOTH = milestone({"all": [CLEARED, LADEN]})
Move = tuple[MilestoneState, News]
_S, _N = MilestoneState, News


# How each state is come to, and what each news is. Papers are refuted when they are withdrawn; a paper of a sender who
# has left the book only may be so.


def waiting(trade: Trade) -> None:
    """Nothing has happened."""


def pending(trade: Trade) -> None:
    trade.say(5, "customs_cleared")


def met(trade: Trade) -> None:
    pending(trade)
    trade.say(6, "bill_of_lading_issued", "insurer")


def held(trade: Trade) -> None:
    met(trade)
    make_unknown(trade)


def retracted(trade: Trade) -> None:
    met(trade)
    make_refuted(trade)


def released(trade: Trade) -> None:
    met(trade)
    trade.deliver()


def in_question(trade: Trade) -> None:
    released(trade)
    make_unknown(trade)


def expired(trade: Trade) -> None:
    expire(trade)


def waived(trade: Trade) -> None:
    waive(trade)


def make_unknown(trade: Trade) -> None:
    """The sender of the bill of lading is worth less than was thought."""
    trade.amend(10, senders=[{"id": "insurer", "grade": "poor"}])


def make_refuted(trade: Trade) -> None:
    trade.withdraw(10, "bill_of_lading_issued@6", "insurer")


def make_hold(trade: Trade) -> None:
    """Both papers are there, whatever was before."""
    trade.amend(11, senders=[{"id": "insurer"}])
    trade.say(5, "customs_cleared", id="again-c")
    trade.say(7, "bill_of_lading_issued", "insurer", id="again-b")


def expire(trade: Trade) -> None:
    trade.amend(0, milestones=[BOTH | {"expires_at": moment(20)}])
    trade.tick(20)


def put_off(trade: Trade) -> None:
    trade.amend(21, milestones=[BOTH])


def put_off_with_something_in(trade: Trade) -> None:
    trade.say(25, "customs_cleared", id="late")
    put_off(trade)


def take_back_the_first(trade: Trade) -> None:
    trade.withdraw(6, "customs_cleared@5")


def waive(trade: Trade) -> None:
    assert trade.spine.commit(drafts.waive, "milestone", "head of credit", "seen by own surveyor")


def book_the_newest(trade: Trade, release: str = "booked") -> None:
    """The core answers the newest message that it has booked the release."""
    newest = [one for one in trade.store._outbox.values() if "milestone" in data_of(one)][-1]
    assert trade.spine.commit(drafts.booked, newest, release)


def say_none(trade: Trade) -> None:
    assert trade.spine.commit(drafts.say_booked, "milestone", "none", "payments desk", "asked the bank")


def other_payee(trade: Trade) -> None:
    trade.amend(12, milestones=[BOTH | {"payee": "bank"}])


LIFE: dict[Move, tuple[Callable[[Trade], None], Callable[[Trade], Any]]] = {
    (_S.WAITING, _N.SOME_IN): (waiting, pending),
    (_S.PENDING, _N.NOTHING_IN): (pending, take_back_the_first),
    (_S.WAITING, _N.HOLDS): (
        waiting,
        lambda trade: trade.amend(5, milestones=[BOTH | {"when": {"not": fact("on_hold")}}]),
    ),
    (_S.PENDING, _N.HOLDS): (pending, make_hold),
    (_S.EXPIRED, _N.HOLDS): (expired, make_hold),
    (_S.WAITING, _N.EXPIRED): (waiting, expire),
    (_S.PENDING, _N.EXPIRED): (pending, expire),
    (_S.EXPIRED, _N.NOTHING_IN): (expired, put_off),
    (_S.EXPIRED, _N.SOME_IN): (expired, put_off_with_something_in),
    (_S.MET, _N.UNKNOWN): (met, make_unknown),
    (_S.MET, _N.REFUTED): (met, make_refuted),
    (_S.HELD, _N.REFUTED): (held, make_refuted),
    (_S.HELD, _N.HOLDS): (held, make_hold),
    (_S.RETRACTED, _N.HOLDS): (retracted, make_hold),
    (_S.MET, _N.BOOKED): (met, book_the_newest),
    (_S.WAIVED, _N.BOOKED): (waived, book_the_newest),
    (_S.MET, _N.UNBOOKED): (met, say_none),
    (_S.WAIVED, _N.UNBOOKED): (waived, say_none),
    (_S.HELD, _N.UNBOOKED): (held, say_none),
    (_S.RETRACTED, _N.UNBOOKED): (retracted, say_none),
    (_S.WAIVED, _N.REFUTED): (waived, other_payee),
    (_S.HELD, _N.BOOKED): (held, book_the_newest),
    (_S.RETRACTED, _N.BOOKED): (retracted, book_the_newest),
    (_S.RELEASED, _N.UNKNOWN): (released, make_unknown),
    (_S.RELEASED, _N.REFUTED): (released, make_refuted),
    (_S.IN_QUESTION, _N.HOLDS): (in_question, make_hold),
    (_S.WAITING, _N.WAIVED): (waiting, waive),
    (_S.PENDING, _N.WAIVED): (pending, waive),
    (_S.EXPIRED, _N.WAIVED): (expired, waive),
    (_S.HELD, _N.WAIVED): (held, waive),
    (_S.RETRACTED, _N.WAIVED): (retracted, waive),
    (_S.IN_QUESTION, _N.WAIVED): (in_question, waive),
}


def test_every_move_there_is_has_a_way_to_be_come_to() -> None:
    assert LIFE.keys() == MOVES.keys()


@pytest.mark.parametrize("move", LIFE, ids=lambda move: f"{move[0]}, {move[1]}")
def test_a_move_leads_where_the_table_says_and_tells_the_core(move: Move) -> None:
    come_to, news = LIFE[move]
    trade = Trade(BOTH)
    come_to(trade)
    assert trade.memo().state == move[0]
    before = len(trade.types())
    news(trade)
    expected = MOVES[move]
    assert trade.memo().state == expected.state
    assert trade.types()[before:] == ([expected.message] if expected.message else [])
    told = [one.event.type for one in trade.store.events() if one.event.type.startswith("milestone_")]
    if expected.event:
        assert told[-1] == expected.event
    assert_money_moves_once(trade)
    trade.assert_replays()


def assert_money_moves_once(trade: Trade) -> None:
    """Whatever is said of a release has its one id, amount and payee; its first message is written once, and no two
    that would make it move are on their way to the core together."""
    for name in {one["milestone"] for one in trade.sent()}:
        about = [one for one in trade.sent() if one["milestone"] == name]
        assert {one["release"] for one in about} == {f"memory.{name}"}
        assert len({one["amount_minor"] for one in about if "amount_minor" in one}) <= 1
        assert len({one["payee"]["id"] for one in about if "payee" in one}) <= 1
        assert [one["type"] for one in about].count("release_disbursement") <= 1
        standing = [
            one
            for one in about
            if one["type"] in ("release_disbursement", "resume_release")
            and not one["withdrawn_by"]
            and not trade.store.deliveries(one["id"])
        ]
        assert len(standing) <= 1


JUMP: dict[str, Any] = {"assets": [{"id": name, "kind": "container"} for name in (FIRST, SECOND)]}


def test_the_impossible_jump_onto_the_berth_releases_nothing() -> None:
    trade = Trade(milestone({"upon": IN_LA, "that": fact("condition_kept")}), **JUMP)
    trade.both(0, *SEA, *COLD)
    trade.both(10, *PORT, *COLD)
    trade.both(11, *SEA, *COLD)
    trade.tick(12)
    assert (trade.ends(), trade.types()) == ("pending", []), "the condition is known, and that is all"


def test_a_reading_that_comes_late_can_show_that_the_berth_was_a_jump() -> None:
    """A week before it was there; a late reading shows it at sea a minute before."""
    trade = Trade(milestone(IN_LA), **JUMP)
    week = 7 * 1_440
    trade.both(-week, *SEA)
    late = [(name, trade.keep(9, *SEA, name=name)) for name in (FIRST, SECOND)]
    trade.both(10, *PORT)
    assert trade.ends() == "met@10"
    for name, reading in late:
        trade.send(reading, name=name)
    assert trade.memo().state == "held"
    assert trade.deliver() == ["hold_release"], "the release was never handed out"
    (hold,) = trade.sent("hold_release")
    (release,) = trade.sent("release_disbursement")
    assert (hold["release_message"], hold["release_sequence"]) == (release["id"], release["sequence"])
    assert release["withdrawn_by"] > 0
    trade.assert_replays()


def test_what_the_core_gets_says_who_is_paid_by_whom_and_on_what_ground() -> None:
    parties = [
        {
            "id": "exporter",
            "name": "Example Exporter",
            "iban": "GB33BUKB20201555555555",
            "bic": "BUKBGB22",
            "country": "GB",
        },
        {"id": "bank", "name": "Example Bank", "lei": "5493001KJTIIGC8Y1R12"},
    ]
    trade = Trade(BOTH, parties=parties)
    met(trade)
    (found,) = trade.sent("release_disbursement")
    names = ("milestone", "release", "facility", "shipment", "lots", "amount_minor", "currency", "met_at_ms")
    assert [found[one] for one in names] == [
        "milestone",
        "memory.milestone",
        "facility-1",
        "shipment-1",
        [f"lot-{FIRST}", f"lot-{SECOND}"] if FIRST < SECOND else [f"lot-{SECOND}", f"lot-{FIRST}"],
        2_500_000,
        "USD",
        at(6),
    ]
    assert (found["payee"], found["payer"]) == (parties[0], parties[1])
    assert found["grounds"] == [
        {
            "fact": CLEARED,
            "proofs": [{"kind": "notice", "id": "carrier/customs_cleared@5", "grade": "good", "at_ms": at(5)}],
        },
        {
            "fact": LADEN,
            "proofs": [{"kind": "notice", "id": "insurer/bill_of_lading_issued@6", "grade": "good", "at_ms": at(6)}],
        },
    ]


def test_a_clearance_that_is_withdrawn_before_the_core_has_booked_takes_the_release_back() -> None:
    trade = Trade(BOTH)
    met(trade)
    outcome = trade.withdraw(9, "customs_cleared@5")
    assert outcome is not None
    assert outcome.withdrawn == (trade.sent("release_disbursement")[0]["id"],)
    assert trade.memo().state == "retracted"
    assert trade.deliver() == ["retract_release"]
    (found,) = trade.sent("retract_release")
    assert found["changed"] == [
        {
            "fact": CLEARED,
            "missing": "no notice counts that says customs_cleared: "
            "carrier/customs_cleared@5 was withdrawn by carrier/no-customs_cleared@5",
            "may_hold": False,
        }
    ]


def test_and_after_that_it_questions_it_and_says_what_changed() -> None:
    trade = Trade(BOTH)
    released(trade)
    outcome = trade.withdraw(9, "customs_cleared@5")
    assert outcome is not None
    assert outcome.withdrawn == (), "nothing that was booked is withdrawn"
    assert trade.memo().state == "in_question"
    (found,) = trade.sent("question_release")
    assert [one["fact"] for one in found["changed"]] == [CLEARED]
    assert trade.types() == ["release_disbursement", "question_release"]
    trade.say(5, "customs_cleared", id="again")
    assert trade.memo().state == "released"
    assert trade.types()[2:] == ["reaffirm_release"]


@pytest.mark.parametrize(("minute", "state"), [(20, "in_question"), (40, "released")])
def test_what_ends_a_paper_before_the_money_has_moved_questions_it_and_after_that_does_not(
    minute: int, state: str
) -> None:
    trade = Trade(BOTH)
    met(trade)
    trade.tick(30)
    trade.deliver()
    assert trade.memo().released_ms == at(30)
    trade.say(minute, "bill_of_lading_voided", "insurer")
    assert trade.memo().state == state


def test_a_hold_that_was_there_when_the_money_moved_questions_it_until_it_is_lifted() -> None:
    trade = Trade(milestone({"all": [CLEARED, {"not": fact("on_hold")}]}))
    trade.say(5, "customs_cleared")
    trade.tick(30)
    trade.deliver()
    trade.say(20, "hold_placed", "customs")
    assert trade.memo().state == "in_question"
    trade.say(50, "hold_lifted", "customs")
    assert trade.memo().state == "released"


def test_a_hold_that_is_placed_after_the_money_has_moved_is_no_matter() -> None:
    trade = Trade(milestone({"all": [CLEARED, {"not": fact("on_hold")}]}))
    trade.say(5, "customs_cleared")
    trade.tick(30)
    trade.deliver()
    trade.say(40, "hold_placed", "customs")
    assert (trade.memo().state, trade.types()) == ("released", ["release_disbursement"])


def the_release(trade: Trade) -> OutboxMessage:
    return next(one for one in trade.store._outbox.values() if one.type == "release_disbursement")


def test_a_release_that_was_in_flight_when_it_was_taken_back_and_is_booked_is_in_question() -> None:
    trade = Trade(BOTH)
    met(trade)
    in_flight = the_release(trade)
    make_refuted(trade)
    assert trade.memo().state == "retracted"
    trade.spine.commit(drafts.booked, in_flight, "")
    trade.store.delivered(in_flight, DeliveryRecord(CORE, in_flight.id, 0, 1))
    assert trade.memo().state == "in_question"
    assert trade.types() == ["release_disbursement", "retract_release", "question_release"]
    assert trade.memo().released_ms == trade.clock.at_ms
    trade.assert_replays()


@pytest.mark.parametrize(("answer", "state"), [("booked", "in_question"), ("none", "retracted"), ("", "retracted")])
def test_the_core_may_say_of_what_was_taken_back_whether_it_has_booked_it(answer: str, state: str) -> None:
    trade = Trade(BOTH)
    retracted(trade)
    trade.deliver(answer, of="retract_release")
    assert trade.memo().state == state


@pytest.mark.parametrize(("answer", "state"), [("booked", "released"), ("none", "met"), ("", "released")])
def test_the_core_may_take_a_release_and_not_book_it(answer: str, state: str) -> None:
    trade = Trade(BOTH)
    met(trade)
    trade.deliver(answer, of="release_disbursement")
    assert trade.memo().state == state


def test_a_word_about_something_else_books_no_release() -> None:
    trade = Trade(BOTH)
    met(trade)
    other = next(one for one in trade.store._outbox.values() if one.type == "record_base")
    assert trade.spine.commit(drafts.booked, other, "") is None
    assert trade.spine.commit(drafts.booked, other, "booked") is None
    assert trade.memo().state == "met"


def test_the_core_says_twice_that_it_has_booked() -> None:
    trade = Trade(BOTH)
    released(trade)
    entries = trade.spine.state.entry
    assert trade.spine.commit(drafts.booked, the_release(trade), "") is None
    assert trade.spine.state.entry == entries


def test_taken_back_and_given_again_it_is_resumed_under_the_same_id_and_never_sent_as_new() -> None:
    trade = Trade(BOTH)
    for minute in range(3):
        trade.say(6, "bill_of_lading_issued", id=f"bill-{minute}")
        trade.say(5, "customs_cleared", id=f"clearance-{minute}")
        trade.withdraw(9, f"clearance-{minute}")
        assert_money_moves_once(trade)
    trade.say(5, "customs_cleared", id="last")
    taken_back = ["retract_release", "resume_release"] * 3
    assert trade.types() == ["release_disbursement", *taken_back]
    assert trade.deliver() == [*["retract_release"] * 3, "resume_release"]
    assert trade.memo().state == "released"
    first, *others = (one for one in trade.sent() if one["type"] in ("release_disbursement", "resume_release"))
    for one in others:
        same = ("release", "amount_minor", "currency", "payee", "payer", "lots", "facility", "met_at_ms")
        assert [one[name] for name in same] == [first[name] for name in same]


def test_the_first_message_is_booked_after_the_release_was_resumed() -> None:
    trade = Trade(BOTH)
    retracted(trade)
    in_flight = the_release(trade)
    make_hold(trade)
    trade.spine.commit(drafts.booked, in_flight, "")
    assert trade.memo().state == "released"
    assert trade.deliver()[-1] == "resume_release", "which the core has booked already, and knows by its id"
    assert trade.memo().state == "released"
    assert_money_moves_once(trade)


def test_what_was_booked_while_it_was_held_lets_the_next_tranche_go_once_it_is_reaffirmed() -> None:
    second = milestone(ARRIVED, id="second", after=["milestone"])
    trade = Trade(BOTH, second)
    trade.say(5, "arrived")
    held(trade)
    trade.deliver("booked", of="hold_release")
    assert (trade.memo().state, trade.memo("second").state) == ("in_question", "pending")
    make_hold(trade)
    assert (trade.memo().state, trade.memo("second").state) == ("released", "met")
    assert trade.memo("second").met_ms == trade.memo().released_ms


def test_tranches_go_in_their_order_however_the_news_comes() -> None:
    first, second, third = (
        milestone(fact(kind), id=kind, after=after)
        for kind, after in (("arrived", []), ("discharged", ["arrived"]), ("full_out", ["discharged"]))
    )
    trade = Trade(third, second, first)
    for kind in ("full_out", "discharged", "arrived"):
        trade.say(5, kind)
        assert [trade.memo(one).state for one in ("arrived", "discharged", "full_out")] == (
            ["met" if kind == "arrived" else "waiting", *["waiting" if kind == "full_out" else "pending", "pending"]]
        )
    assert trade.deliver() == ["release_disbursement"] * 3
    assert [one["milestone"] for one in trade.sent()] == ["arrived", "discharged", "full_out"]
    assert {trade.memo(one).state for one in ("arrived", "discharged", "full_out")} == {"released"}
    trade.assert_replays()


def test_a_tranche_that_was_met_stays_so_though_the_one_before_it_is_in_question() -> None:
    trade = Trade(BOTH, milestone(ARRIVED, id="second", after=["milestone"]))
    trade.say(5, "arrived")
    released(trade)
    assert trade.memo("second").state == "released"
    make_refuted(trade)
    assert (trade.memo().state, trade.memo("second").state) == ("in_question", "released")


def test_a_tranche_that_was_not_met_waits_while_the_one_before_it_is_in_question() -> None:
    trade = Trade(BOTH, milestone(ARRIVED, id="second", after=["milestone"]))
    in_question(trade)
    trade.say(30, "arrived")
    assert trade.memo("second").state == "pending"
    make_hold(trade)
    assert trade.memo("second").state == "met"


def test_a_release_that_was_never_without_question_lets_no_other_go() -> None:
    first = milestone(CLEARED, id="first")
    second = milestone({"any": [fact("milestone_released", milestone="first"), ARRIVED]}, id="second")
    trade = Trade(first, second)
    trade.say(5, "customs_cleared")
    trade.say(6, "arrived")
    trade.withdraw(7, "arrived@6")
    trade.withdraw(8, "customs_cleared@5")
    trade.deliver("booked", of="retract_release")
    trade.amend(20, senders=[{"id": "onlooker"}])
    assert (trade.memo("first").state, trade.memo("second").state) == ("in_question", "in_question")
    assert "resume_release" not in trade.types()


def test_what_was_met_before_a_release_does_not_rest_on_it_later() -> None:
    first = milestone(CLEARED, id="first")
    second = milestone({"any": [fact("milestone_released", milestone="first"), ARRIVED]}, id="second")
    trade = Trade(first, second)
    trade.say(6, "arrived")
    trade.say(8, "customs_cleared")
    trade.deliver(of="none of these")
    assert (trade.memo("first").state, trade.memo("second").state) == ("released", "released")
    trade.withdraw(20, "customs_cleared@8")
    trade.withdraw(21, "arrived@6")
    assert (trade.memo("first").state, trade.memo("second").state) == ("in_question", "in_question")


# Waivers


def test_a_waiver_says_by_whom_and_why_and_is_not_judged_any_more() -> None:
    trade = Trade(BOTH)
    waive(trade)
    (found,) = trade.sent("release_disbursement")
    assert (found["waived_by"], found["waived_why"]) == ("head of credit", "seen by own surveyor")
    assert (found["amount_minor"], found["met_at_ms"], found["grounds"]) == (2_500_000, trade.clock.at_ms, [])
    met(trade)
    make_refuted(trade)
    trade.tick(60)
    assert trade.memo().state == "waived"
    assert trade.deliver() == ["release_disbursement"]
    make_hold(trade)
    make_unknown(trade)
    assert (trade.memo().state, trade.types()) == ("released", ["release_disbursement"])
    trade.assert_replays()


@pytest.mark.parametrize("come_to", [met, released, waived])
def test_there_is_nothing_to_waive_where_the_money_moves_already(come_to: Callable[[Trade], None]) -> None:
    trade = Trade(BOTH)
    come_to(trade)
    entry = trade.spine.state.entry
    assert trade.spine.commit(drafts.waive, "milestone", "head of credit", "again") is None
    assert trade.spine.commit(drafts.waive, "nobody", "head of credit", "again") is None
    assert trade.spine.state.entry == entry


def test_nothing_is_waived_whose_amount_is_not_known() -> None:
    shared = milestone(CLEARED, release={"share_bp": 5_000, "of": "value"})
    trade = Trade(shared, prices=[], products=[{"sku": "sofa", "series": "sofas"}])
    assert trade.spine.commit(drafts.waive, "milestone", "head of credit", "hurry") is None


def test_what_was_waived_comes_back_waived_when_its_terms_do() -> None:
    trade = Trade(BOTH)
    waive(trade)
    other_payee(trade)
    assert trade.memo().state == "retracted"
    trade.amend(13, milestones=[BOTH])
    assert trade.memo().state == "waived"
    assert trade.types() == ["release_disbursement", "retract_release", "resume_release"]
    assert trade.deliver()[-1] == "resume_release"
    assert trade.memo().state == "released"
    assert_money_moves_once(trade)


# Expiry


def test_what_expired_says_what_was_missing_and_late_evidence_undoes_it() -> None:
    trade = Trade(BOTH | {"expires_at": moment(20)})
    pending(trade)
    trade.tick(19)
    assert trade.types() == []
    trade.tick(20)
    (found,) = trade.sent("record_expiry")
    assert [one["fact"] for one in found["missing"]] == [LADEN]
    trade.tick(40)
    assert trade.types() == ["record_expiry"], "once"
    trade.say(19, "bill_of_lading_issued", "insurer")
    assert trade.ends() == "met@19"
    assert trade.types() == ["record_expiry", "release_disbursement"]


def test_what_came_in_the_very_moment_of_expiry_came_too_late() -> None:
    trade = Trade(BOTH | {"expires_at": moment(20)})
    pending(trade)
    trade.say(20, "bill_of_lading_issued", "insurer")
    trade.tick(30)
    assert trade.memo().state == "expired"


def test_a_receipt_that_enters_the_book_after_expiry_is_too_late() -> None:
    trade = Trade(milestone(fact("receipt_valid"), expires_at=moment(20)))
    trade.tick(20)
    receipt = {"receipt": {"id": "wr-1", "state": "valid"}}
    trade.amend(30, lots=[trade.lot(name, **receipt) for name in (FIRST, SECOND)])
    assert trade.memo().state == "expired"


def test_an_end_that_is_put_forward_takes_the_ground_away() -> None:
    trade = Trade(BOTH)
    met(trade)
    trade.amend(20, milestones=[BOTH | {"expires_at": moment(6)}])
    assert trade.memo().state == "retracted"


# Crashes


def test_a_process_that_ends_anywhere_leaves_one_release_of_one_milestone() -> None:
    trade = Trade(BOTH)
    for happened in (pending, met, make_refuted, make_hold, make_unknown, make_hold):
        happened(trade.restarted())
        assert_money_moves_once(trade)
    trade.restarted().deliver()
    assert trade.restarted().memo().state == "released"
    assert trade.types().count("release_disbursement") == 1


def test_a_commit_that_fails_sends_and_remembers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    trade = Trade(BOTH)
    pending(trade)
    before = state_module.digest(trade.spine.state)

    def full(*_: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "append", full)
        with pytest.raises(OSError, match="disk full"):
            trade.say(6, "bill_of_lading_issued")
    assert (state_module.digest(trade.spine.state), trade.types()) == (before, [])
    trade.say(6, "bill_of_lading_issued")
    assert trade.types() == ["release_disbursement"]
