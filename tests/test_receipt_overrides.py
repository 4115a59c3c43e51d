"""Goods that come close and were passed over: both receipts say so for ever, and nobody lends on either without having
consented to that."""

from typing import Any

import pytest
from receipting import (
    BANK,
    BUYER,
    DEPOSITOR,
    FIRST,
    OTHER_BANK,
    RECEIVED,
    SOFAS,
    WAREHOUSE,
    Register,
    signed,
    stated,
    window,
)

from pledgewatch_cloud.decide.receipts.act import ActError
from pledgewatch_cloud.decide.receipts.receipt import Receipt, State
from pledgewatch_cloud.receipts.credential import facts
from pledgewatch_cloud.receipts.shown import as_json

SECOND, THIRD = f"{WAREHOUSE}:0002", f"{WAREHOUSE}:0003"
BESIDE, LOT = "goods[0] beside", "goods[0] lot"
BOXED = SOFAS | {"container": "MSKU1234565"}
CHEST = {"sku": "CHEST", "quantity_milli": 1_000, "unit": "piece", "bin": "C-01"}


@pytest.fixture
def register() -> Register:
    """The depositor's sofas in a container, and as many beside it: he has consented to his own second receipt."""
    found = Register()
    found.issue(FIRST, BOXED)
    over(found, "issue", SECOND, DEPOSITOR, asks=[BESIDE], **stated(SOFAS))
    return found


def over(register: Register, kind: str, name: str, *consenting: str, asks: list[str], **body: Any) -> Receipt:
    """An act of the warehouse that passes over asks, with consents."""
    says = register.says(WAREHOUSE, kind, name, overrides=asks, **{"reason": "counted apart", **body})
    register.take(signed(WAREHOUSE, says | {"consents": [register.consent(party, says) for party in consenting]}))
    return register.get(name)


def pledging(register: Register, name: str, bank: str, consenting: str, asks: list[str]) -> str:
    """A pledge that names asks, with somebody's consent."""
    says = register.says(register.get(name).holder, "pledge", name, pledgee=bank, overrides=asks, reason="seen")
    return signed(says["by"], says | {"consents": [register.consent(consenting, says)]})


@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_who_lends_on_goods_that_come_close_has_consented_to_that(register: Register, name: str) -> None:
    error = register.refuse(DEPOSITOR, "pledge", name, pledgee=BANK)
    assert BESIDE in error.why
    assert BANK in error.cure
    for consenting, asks in ((DEPOSITOR, [BESIDE]), (WAREHOUSE, [BESIDE]), (OTHER_BANK, [BESIDE]), (BANK, [LOT])):
        error = register.assert_refused(pledging(register, name, BANK, consenting, asks))
        assert f"{BANK} has not consented" in error.why
    register.take(pledging(register, name, BANK, BANK, [BESIDE]))
    assert register.get(name).state is State.PLEDGED
    register.do(BANK, "release", name)
    register.do(DEPOSITOR, "transfer", name, to=BUYER)
    assert OTHER_BANK in register.refuse(BUYER, "pledge", name, pledgee=OTHER_BANK).why


def test_goods_that_come_close_to_none_are_pledged_without_a_word() -> None:
    register = Register()
    register.issue()
    assert register.pledge().state is State.PLEDGED


def test_a_consent_to_a_pledge_that_was_not_asked_for_is_looked_at_all_the_same() -> None:
    register = Register()
    register.issue()
    says = register.says(DEPOSITOR, "pledge", FIRST, pledgee=BANK)
    other = register.consent(BANK, says | {"pledgee": OTHER_BANK})
    assert "something else" in register.assert_refused(signed(DEPOSITOR, says | {"consents": [other]})).why


def test_both_receipts_say_what_was_passed_over_and_so_do_their_extracts(register: Register) -> None:
    for name in (FIRST, SECOND):
        one = register.get(name)
        assert one.overrides == (BESIDE,)
        assert as_json(one)["overrides"] == facts(one)["overrides"] == [BESIDE]
    assert "overrides" not in facts(register.get(FIRST)._replace(overrides=()))


def test_what_was_said_of_a_receipt_before_another_came_close_to_it_is_void() -> None:
    register = Register()
    before = register.issue(FIRST, BOXED)
    over(register, "issue", SECOND, DEPOSITOR, asks=[BESIDE], **stated(SOFAS))
    after = register.get(FIRST)
    assert (after.head, after.acts) == (before.head, before.acts)  # no act of its own
    assert after.number != before.number
    assert register.receipts.numbers == 3


def test_a_pledgee_who_consents_knows_and_keeps_the_pledge() -> None:
    register = Register()
    register.issue(FIRST, BOXED)
    register.pledge()
    over(register, "issue", SECOND, BANK, asks=[BESIDE], **stated(SOFAS))
    assert register.get(FIRST).overrides == (BESIDE,)
    assert register.get(FIRST).state is State.PLEDGED


def test_each_receipt_names_its_own_line() -> None:
    register = Register()
    register.issue(FIRST, CHEST, BOXED)
    over(register, "issue", SECOND, DEPOSITOR, asks=[BESIDE], **stated(SOFAS))
    assert register.get(FIRST).overrides == ("goods[1] beside",)
    assert register.get(SECOND).overrides == (BESIDE,)


def test_what_was_passed_over_stays_whatever_becomes_of_the_goods(register: Register) -> None:
    goods = {"goods": [SOFAS | {"bin": "A-09", "quantity_milli": 7_000}], "received": RECEIVED}
    after = over(register, "substitute", SECOND, DEPOSITOR, asks=[], **goods)
    assert after.overrides == (BESIDE,)
    over(register, "issue", THIRD, DEPOSITOR, asks=[LOT], **stated(SOFAS | {"bin": "A-08", "quantity_milli": 7_000}))
    assert register.get(SECOND).overrides == (BESIDE, LOT)
    register.do(DEPOSITOR, "split", SECOND, into_milli=[[3_000], [4_000]])
    assert register.get(f"{SECOND}.1").overrides == (BESIDE, LOT)
    error = register.assert_refused(pledging(register, f"{SECOND}.1", BANK, BANK, [BESIDE]))
    assert LOT in error.why
    register.take(pledging(register, f"{SECOND}.1", BANK, BANK, [LOT, BESIDE]))


def test_a_pledge_that_was_signed_before_another_receipt_came_close_is_refused(register: Register) -> None:
    register.issue(THIRD, SOFAS | {"bin": "A-07", "quantity_milli": 9_000}, received=window(1, 2))
    text = register.text(DEPOSITOR, "pledge", THIRD, pledgee=BANK)
    near = stated(SOFAS | {"bin": "A-08", "quantity_milli": 9_000}, received=window(1, 2))
    over(register, "issue", f"{WAREHOUSE}:0004", DEPOSITOR, asks=[LOT], **near)
    assert LOT in register.assert_refused(text).why


def test_an_override_at_a_pledge_needs_its_reason(register: Register) -> None:
    with pytest.raises(ActError, match="an override needs its reason"):
        register.do(DEPOSITOR, "pledge", FIRST, pledgee=BANK, overrides=[BESIDE])
