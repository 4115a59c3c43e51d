"""What a release comes to and whom it pays: as it was first sent, whatever the book says afterwards."""

from collections.abc import Callable
from typing import Any

import pytest
from builders import fence
from milestoning import (
    FIRST,
    PORT,
    SEA,
    SECOND,
    SHIPMENT,
    Trade,
    at,
    milestone,
    moment,
)
from test_milestone_life import (
    ARRIVED,
    BOTH,
    CLEARED,
    IN_LA,
    LADEN,
    assert_money_moves_once,
    expired,
    make_hold,
    make_refuted,
    met,
    pending,
    released,
    the_release,
    waiting,
    waive,
)

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.item import BookError

FAR = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]


def test_a_share_of_the_value_is_rounded_down_and_stays_what_it_was() -> None:
    shared = milestone({"all": [CLEARED, LADEN]}, release={"share_bp": 3_333, "of": "value"})
    trade = Trade(shared)
    trade.amend(1, prices=[{"sku": "sofa", "unit_price_minor": 333, "currency": "USD"}])
    met(trade)
    assert trade.memo().amount_minor == 2 * 1_000 * 333 * 3_333 // 10_000 == 221_977
    make_refuted(trade)
    trade.amend(30, prices=[{"sku": "sofa", "unit_price_minor": 999, "currency": "USD"}])
    make_hold(trade)
    assert {one["amount_minor"] for one in trade.sent()} == {221_977}


def test_a_share_of_the_limit() -> None:
    trade = Trade()
    facility = trade.document["facilities"][0] | {"limit_minor": 10_000_001}
    shared = milestone({"all": [CLEARED, LADEN]}, release={"share_bp": 2_500, "of": "limit"})
    trade.amend(0, facilities=[facility], milestones=[shared])
    met(trade)
    assert trade.sent()[0]["amount_minor"] == 2_500_000


def test_what_is_not_known_to_be_worth_anything_waits_for_a_price() -> None:
    products = [{"sku": "sofa", "series": "sofas"}]
    trade = Trade(milestone(CLEARED, release={"share_bp": 5_000, "of": "value"}), prices=[], products=products)
    trade.say(5, "customs_cleared")
    assert (trade.memo().state, trade.types()) == ("pending", [])
    trade.clock.at_ms = at(60)
    price = {"series": "sofas", "date": "2026-01-01", "price": "200", "currency": "USD"}
    trade.spine.commit(drafts.quote, {"prices": [price]})
    assert trade.ends() == "met@5"
    assert trade.sent()[0]["amount_minor"] == 20_000_000


# The book


def test_a_milestone_that_leaves_the_book_takes_its_release_back_and_comes_back_with_it() -> None:
    trade = Trade(BOTH)
    met(trade)
    trade.amend(20, remove={"milestones": ["milestone"]})
    assert trade.memo().state == "retracted"
    (found,) = trade.sent("retract_release")
    assert found["changed"] == [{"missing": "the milestone is not in the book any more"}]
    assert (found["amount_minor"], found["release"]) == (2_500_000, "memory.milestone")
    trade.amend(30, milestones=[BOTH])
    assert trade.memo().state == "met"
    assert trade.deliver() == ["retract_release", "resume_release"]
    assert trade.memo().state == "released"
    trade.assert_replays()


def test_one_that_was_released_may_leave_and_comes_back_released() -> None:
    trade = Trade(BOTH)
    released(trade)
    trade.amend(20, remove={"milestones": ["milestone"]})
    trade.amend(30, milestones=[BOTH])
    trade.say(5, "customs_cleared", id="again")
    assert (trade.memo().state, trade.types()) == ("released", ["release_disbursement"])


def test_one_that_left_while_its_release_was_in_flight_is_in_question_once_that_is_booked() -> None:
    trade = Trade(BOTH)
    met(trade)
    in_flight = the_release(trade)
    trade.amend(20, remove={"milestones": ["milestone"]})
    trade.spine.commit(drafts.booked, in_flight, "")
    assert trade.memo().state == "in_question"
    (found,) = trade.sent("question_release")
    assert found["changed"] == [{"missing": "the milestone is not in the book any more"}]
    assert trade.spine.commit(drafts.booked, in_flight, "") is None
    trade.assert_replays()


@pytest.mark.parametrize("come_to", [waiting, pending, expired])
def test_one_of_which_nothing_was_sent_is_forgotten_when_it_leaves_the_book(come_to: Callable[[Trade], None]) -> None:
    trade = Trade(BOTH)
    come_to(trade)
    trade.amend(30, remove={"milestones": ["milestone"]})
    assert trade.spine.state.milestones == {}
    trade.amend(40, milestones=[BOTH])
    met(trade)
    assert trade.memo().state == "met"
    assert_money_moves_once(trade)
    trade.assert_replays()


def test_one_that_was_waived_and_leaves_the_book_takes_its_release_back() -> None:
    trade = Trade(BOTH)
    waive(trade)
    trade.amend(20, remove={"milestones": ["milestone"]})
    assert (trade.memo().state, trade.deliver()) == ("retracted", ["retract_release"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"payee": "bank"}, "2500000 minor units to bank"),
        ({"release": {"amount_minor": 2_500_001}}, "2500001 minor units to exporter"),
        ({"release": {"share_bp": 1, "of": "value"}}, "1 bp of the value to exporter"),
    ],
)
def test_other_terms_than_were_sent_take_the_release_back_and_never_send_another(
    change: dict[str, Any], reason: str
) -> None:
    trade = Trade(BOTH)
    met(trade)
    trade.amend(20, milestones=[BOTH | change])
    assert trade.memo().state == "retracted"
    (found,) = trade.sent("retract_release")
    assert found["changed"] == [
        {"missing": f"the release was sent as 2500000 minor units to exporter, and the book says {reason}"}
    ]
    make_hold(trade)
    assert trade.spine.commit(drafts.waive, "milestone", "head of credit", "all the same") is None
    assert trade.deliver() == ["retract_release"]
    trade.amend(30, milestones=[BOTH])
    assert trade.deliver() == ["resume_release"]
    assert_money_moves_once(trade)


def test_other_terms_than_the_core_has_booked_are_in_question() -> None:
    trade = Trade(BOTH)
    released(trade)
    trade.amend(20, milestones=[BOTH | {"payee": "bank"}])
    assert (trade.memo().state, trade.types()[-1]) == ("in_question", "question_release")
    trade.amend(30, milestones=[BOTH])
    assert (trade.memo().state, trade.types()[-1]) == ("released", "reaffirm_release")


def test_a_milestone_that_comes_back_with_another_facility_moves_nothing_there() -> None:
    trade = Trade(BOTH)
    met(trade)
    trade.amend(20, remove={"milestones": ["milestone"]})
    other = trade.document["facilities"][0] | {"id": "facility-2"}
    lots = [trade.lot(name, facility="facility-2") for name in (FIRST, SECOND)]
    shipments = [SHIPMENT | {"facility": "facility-2"}]
    moved = BOTH | {"facility": "facility-2"}
    trade.amend(30, facilities=[other], lots=lots, shipments=shipments, milestones=[moved])
    make_hold(trade)
    assert trade.memo().state == "retracted"
    assert {one["facility"] for one in trade.sent()} == {"facility-1"}


def test_terms_may_change_until_they_are_sent() -> None:
    trade = Trade(BOTH)
    pending(trade)
    trade.amend(6, milestones=[BOTH | {"release": {"amount_minor": 7}, "payee": "bank"}])
    met(trade)
    (found,) = trade.sent()
    assert (found["amount_minor"], found["payee"]["id"]) == (7, "bank")


def test_a_clause_that_asks_for_more_takes_the_ground_away() -> None:
    trade = Trade(BOTH)
    met(trade)
    trade.amend(20, milestones=[milestone({"all": [CLEARED, LADEN, ARRIVED]})])
    assert trade.memo().state == "retracted"
    assert [one["fact"] for one in trade.sent("retract_release")[0]["changed"]] == [ARRIVED]
    trade.say(21, "arrived")
    assert trade.memo().state == "met"


def test_a_fence_that_is_drawn_anew_takes_the_ground_away() -> None:
    trade = Trade(milestone(IN_LA))
    trade.both(0, *SEA)
    trade.both(10, *PORT)
    features = [fence("los-angeles", FAR), *trade.document["fences"]["features"][1:]]
    trade.amend(20, fences={"type": "FeatureCollection", "features": features})
    assert (trade.memo().state, trade.types()[-1]) == ("held", "hold_release")


OLD, NEW = "GB33BUKB20201555555555", "DE75512108001245126199"


def exporter(iban: str) -> dict[str, Any]:
    return {"id": "exporter", "name": "Example Exporter", "iban": iban, "bic": "BUKBGB22"}


def test_another_account_of_the_payee_takes_back_what_has_not_been_booked() -> None:
    trade = Trade(BOTH, parties=[exporter(OLD), {"id": "bank", "name": "Example Bank"}])
    met(trade)
    trade.amend(20, parties=[exporter(NEW)])
    (found,) = trade.sent("retract_release")
    assert found["changed"] == [
        {"missing": f"the release was sent to {OLD} at BUKBGB22, and the book says {NEW} at BUKBGB22"}
    ]
    assert trade.spine.commit(drafts.waive, "milestone", "head of credit", "all the same") is None
    assert trade.deliver() == ["retract_release"], "the old account was never paid"
    trade.amend(30, parties=[exporter(OLD)])
    assert trade.deliver() == ["resume_release"]
    assert {one["payee"]["iban"] for one in trade.sent() if "payee" in one} == {OLD}
    trade.assert_replays()


def test_another_account_is_no_matter_once_the_old_one_was_paid() -> None:
    trade = Trade(BOTH, parties=[exporter(OLD), {"id": "bank", "name": "Example Bank"}])
    released(trade)
    trade.amend(20, parties=[exporter(NEW)])
    assert (trade.memo().state, trade.types()) == ("released", ["release_disbursement"])


def test_what_was_paid_to_the_old_account_all_the_same_is_in_question_until_a_person_accepts_it() -> None:
    trade = Trade(BOTH, parties=[exporter(OLD), {"id": "bank", "name": "Example Bank"}])
    met(trade)
    trade.amend(20, parties=[exporter(NEW)])
    trade.deliver("booked", of="retract_release")
    trade.say(25, "customs_cleared", id="again")
    assert trade.memo().state == "in_question"
    assert trade.spine.commit(drafts.waive, "milestone", "head of credit", "the supplier confirms it")
    assert (trade.memo().state, trade.types()[-1]) == ("released", "reaffirm_release")


SHARE = milestone(CLEARED, release={"share_bp": 6_000, "of": "value"})


@pytest.mark.parametrize("gone", ["removed", "a smaller share"])
def test_what_was_released_counts_against_the_whole_whatever_the_book_says_now(gone: str) -> None:
    trade = Trade(SHARE)
    trade.say(5, "customs_cleared")
    trade.deliver()
    if gone == "removed":
        trade.amend(20, remove={"milestones": ["milestone"]})
    else:
        trade.amend(20, milestones=[SHARE | {"release": {"share_bp": 1, "of": "value"}}])
    second = SHARE | {"id": "second", "release": {"share_bp": 4_001, "of": "value"}}
    with pytest.raises(BookError, match="milestones milestone, second: release 10001 bp of the value of lot-"):
        trade.amend(21, milestones=[second])
    assert trade.amend(22, milestones=[second | {"release": {"share_bp": 4_000, "of": "value"}}])
    trade.assert_replays()


def test_a_share_counts_from_when_it_is_met() -> None:
    trade = Trade(SHARE)
    trade.say(5, "customs_cleared")
    assert trade.memo().state == "met"
    smaller = SHARE | {"release": {"share_bp": 1, "of": "value"}}
    second = SHARE | {"id": "second", "release": {"share_bp": 4_001, "of": "value"}}
    with pytest.raises(BookError, match="milestones milestone, second: release 10001 bp"):
        trade.amend(20, milestones=[smaller, second])


# What it is about

ONE_LOT = [SHIPMENT | {"lots": [f"lot-{FIRST}"]}]
OTHER_GOODS = {
    "a lot leaves the shipment": {"shipments": ONE_LOT},
    "it is about one lot now": {"milestones": [BOTH | {"shipment": None, "lot": f"lot-{FIRST}"}]},
}


def without_none(amended: dict[str, Any]) -> dict[str, Any]:
    """A change to None leaves a key out."""
    return {
        section: [{key: value for key, value in one.items() if value is not None} for one in items]
        for section, items in amended.items()
    }


@pytest.mark.parametrize("amended", OTHER_GOODS.values(), ids=OTHER_GOODS)
def test_other_goods_take_back_what_has_not_been_booked(amended: dict[str, Any]) -> None:
    trade = Trade(BOTH)
    met(trade)
    trade.amend(20, **without_none(amended))
    (found,) = trade.sent("retract_release")
    (changed,) = found["changed"]
    assert changed["missing"].startswith("the release was sent for lot-")
    assert trade.spine.commit(drafts.waive, "milestone", "head of credit", "all the same") is None
    assert trade.deliver() == ["retract_release"]
    trade.amend(30, shipments=[SHIPMENT], milestones=[BOTH])
    assert trade.deliver() == ["resume_release"]
    assert_money_moves_once(trade)
    trade.assert_replays()


def test_a_waiver_is_for_the_goods_that_it_was_given_for() -> None:
    trade = Trade(BOTH)
    waive(trade)
    trade.amend(20, remove={"milestones": ["milestone"]})
    trade.amend(30, **without_none({"milestones": [BOTH | {"shipment": None, "lot": f"lot-{SECOND}"}]}))
    assert trade.memo().state == "retracted"
    assert trade.deliver() == ["retract_release"], "what was waived for two lots is not paid for one"


def test_goods_that_were_financed_may_go() -> None:
    trade = Trade(BOTH)
    released(trade)
    trade.amend(20, shipments=ONE_LOT)
    assert (trade.memo().state, trade.types()) == ("released", ["release_disbursement"])
    make_refuted(trade)
    assert trade.memo().state == "in_question"
    make_hold(trade)
    assert trade.memo().state == "released", "that they are gone is no part of the question"


def test_goods_are_not_financed_twice_by_way_of_a_shipment_that_changes() -> None:
    whole = milestone(CLEARED, release={"share_bp": 10_000, "of": "value"})
    alone = milestone(CLEARED, id="second", shipment=None, lot=f"lot-{SECOND}", release=whole["release"])
    trade = Trade(whole)
    trade.say(5, "customs_cleared")
    trade.amend(20, shipments=ONE_LOT)
    with pytest.raises(BookError, match="milestones milestone, second: release 20000 bp"):
        trade.amend(21, milestones=[alone])
    assert trade.deliver("none") == ["retract_release"]
    trade.amend(22, milestones=[alone])
    trade.say(6, "customs_cleared", about={"lot": [f"lot-{SECOND}"]})
    assert trade.deliver().count("release_disbursement") == 1
    assert (trade.memo().state, trade.memo("second").state) == ("retracted", "released")


def test_what_was_taken_back_leaves_its_share_free_once_the_core_says_that_nothing_has_moved() -> None:
    trade = Trade(SHARE)
    trade.say(5, "customs_cleared")
    trade.amend(20, remove={"milestones": ["milestone"]})
    second = SHARE | {"id": "second"}
    with pytest.raises(BookError, match="milestones milestone, second: release 12000 bp"):
        trade.amend(21, milestones=[second])
    assert trade.deliver("none") == ["retract_release"]
    assert (trade.memo().state, trade.memo().is_settled) == ("retracted", True)
    assert trade.amend(22, milestones=[second])
    trade.assert_replays()


def test_a_share_that_a_word_has_pushed_over_the_whole_stands_in_the_way_of_nothing_else() -> None:
    """The core says late that it has booked what it had said that it had not."""
    trade = Trade(SHARE)
    trade.say(5, "customs_cleared")
    release = the_release(trade)
    trade.amend(20, remove={"milestones": ["milestone"]})
    trade.deliver("none")
    second = SHARE | {"id": "second"}
    trade.amend(22, milestones=[second])
    trade.spine.commit(drafts.booked, release, "booked")
    assert (trade.memo().state, trade.memo("second").state) == ("in_question", "met")
    assert trade.amend(23, senders=[{"id": "onlooker"}])
    assert trade.amend(24, remove={"milestones": ["second"]})
    with pytest.raises(BookError, match="third: release 18000 bp"):
        trade.amend(25, milestones=[SHARE | {"id": "third"}])


def test_what_has_no_price_by_then_expires_and_is_met_in_time_all_the_same_once_it_has() -> None:
    products = [{"sku": "sofa", "series": "sofas"}]
    share = milestone(CLEARED, release={"share_bp": 5_000, "of": "value"}, expires_at=moment(30))
    trade = Trade(share, prices=[], products=products)
    trade.say(5, "customs_cleared")
    trade.tick(30)
    assert (trade.memo().state, trade.types()) == ("expired", ["record_expiry"])
    price = {"series": "sofas", "date": "2026-01-01", "price": "200", "currency": "USD"}
    trade.spine.commit(drafts.quote, {"prices": [price]})
    assert (trade.ends(), trade.types()) == ("met@5", ["record_expiry", "release_disbursement"])
