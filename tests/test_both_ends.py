"""What the demo finds when it compares its ends: nothing where they agree, and a sentence for each that does not."""

from copy import deepcopy
from typing import Any

import pytest

from pledgewatch_sim.both_ends import chains, disagreements, money, total

LEDGER: dict[str, Any] = {
    "facilities": {
        "a": {
            "opening_minor": 100,
            "drawn_minor": 50,
            "repaid_minor": 20,
            "movements": [
                {"id": "drawdown:a", "kind": "drawdown", "amount_minor": 50, "told": True},
                {"id": "repayment:a", "kind": "repayment", "amount_minor": 20, "told": True},
            ],
        },
        "b": {"opening_minor": 0, "drawn_minor": 0, "repaid_minor": 0, "movements": []},
    }
}
BOOK: dict[str, Any] = {
    "facilities": [
        {
            "id": "a",
            "outstanding_minor": 100,
            "movements": [
                {"id": "drawdown:a", "kind": "drawdown", "amount_minor": 50},
                {"id": "repayment:a", "kind": "repayment", "amount_minor": 20},
            ],
        },
        {"id": "b", "outstanding_minor": 0},
    ]
}


def report(ledger: dict[str, Any] = LEDGER, book: dict[str, Any] = BOOK, **changes: dict[str, Any]) -> dict[str, Any]:
    """What the demo counted where all agrees, but for `changes`."""
    agreed: dict[str, Any] = {
        "readings": {"measured": 9, "committed": 9, "lost": 0, "duplicated": 0, "refused": 0},
        "messages": {"sent": 5, "delivered": 5, "waiting": 0, "verified": 5, "duplicated": 0},
        "money": money(ledger, book),
        "chains": {"devices": 2, "missing": 0, "unsigned": 3},
        "journal": {"digest": "d", "service_digest": "d"},
    }
    return {name: one | changes.get(name, {}) for name, one in agreed.items()}


@pytest.mark.parametrize("is_ended_early", [False, True])
def test_ends_that_agree(is_ended_early: bool) -> None:
    assert disagreements(report(), is_ended_early=is_ended_early) == []
    assert total(report(), "bank") == total(report(), "pledgewatch") == (100, 50, 20)
    assert total(report(), "bank").outstanding_minor == 130


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"readings": {"committed": 8}}, "9 readings were measured, 8 are in the journal"),
        ({"readings": {"lost": 1}}, "1 readings are lost"),
        ({"readings": {"duplicated": 2}}, "2 readings are duplicated"),
        ({"readings": {"refused": 3}}, "3 readings are refused"),
        ({"chains": {"missing": 1}}, "1 readings are missing between others"),
        ({"messages": {"delivered": 4}}, "not every message has arrived: 5 sent, 4 delivered, 5 booked"),
        ({"messages": {"verified": 4}}, "not every message has arrived: 5 sent, 5 delivered, 4 booked"),
        ({"messages": {"verified": 6}}, "not every message has arrived: 5 sent, 5 delivered, 6 booked"),
        ({"messages": {"duplicated": 1}}, "1 messages are booked twice"),
        ({"journal": {"service_digest": ""}}, "the journal does not lead to the state that the service had"),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_ended_early", [False, True])
def test_what_does_not_agree_is_said(changes: dict[str, Any], words: str, is_ended_early: bool) -> None:
    assert disagreements(report(**changes), is_ended_early=is_ended_early) == [words]


@pytest.mark.parametrize("verified", [3, 4, 5])
def test_what_was_found_while_a_story_that_was_ended_early_is_counted_may_wait(verified: int) -> None:
    """Two wait; the core may have booked them and not been heard."""
    one = report(messages={"delivered": 3, "waiting": 2, "verified": verified})
    assert disagreements(one, is_ended_early=True) == []
    assert len(disagreements(one, is_ended_early=False)) == 1


def test_nothing_measured_is_a_fault_only_where_the_story_was_told_to_its_end() -> None:
    one = report(readings={"measured": 0, "committed": 0})
    assert disagreements(one, is_ended_early=False) == ["nothing was measured"]
    assert disagreements(one, is_ended_early=True) == []


def test_money_that_only_one_end_knows_is_said() -> None:
    book, ledger = deepcopy(BOOK), deepcopy(LEDGER)
    book["facilities"][0]["movements"].pop(0)
    said = "a: the bank has 50 drawn, 20 repaid, 130 outstanding; pledgewatch has 0 drawn, 20 repaid, 80 outstanding"
    assert disagreements(report(book=book), is_ended_early=True) == [f"{said}; 0 movements are not told"]
    ledger["facilities"]["a"]["movements"][1]["told"] = False
    assert disagreements(report(ledger), is_ended_early=True)[0].endswith("1 movements are not told")
    book = deepcopy(BOOK)
    book["facilities"][1]["outstanding_minor"] = 7
    assert disagreements(report(book=book), is_ended_early=True)[0].startswith("b: the bank has 0 drawn")


@pytest.mark.parametrize("end", ["bank", "pledgewatch"])
def test_a_facility_that_one_end_does_not_know_has_nothing_there(end: str) -> None:
    ledger, book = deepcopy(LEDGER), deepcopy(BOOK)
    if end == "bank":
        del ledger["facilities"]["a"]
    else:
        book["facilities"].pop(0)
    found = money(ledger, book)
    assert found["a"][end]["outstanding_minor"] == 0
    assert len(disagreements(report(ledger, book), is_ended_early=True)) == 1


def test_a_hole_and_what_nobody_signed_are_counted_by_device() -> None:
    whole = {"received": 121, "missing": [], "signed": 120}
    holed = {"received": 119, "missing": [[1, 2]], "signed": 0}
    assert chains([{"epochs": [whole]}, {"epochs": []}]) == {"devices": 1, "missing": 0, "unsigned": 1}
    assert chains([{"epochs": [whole]}, {"epochs": [holed]}]) == {"devices": 2, "missing": 2, "unsigned": 120}
