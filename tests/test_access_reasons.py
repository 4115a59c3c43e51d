"""Why a milestone stands as it does is told to each by all that is known, and shown by what is theirs alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import shown
from keeping import LINE
from receipting import BANK, DEPOSITOR, FIRST, OTHER_BANK
from seeing import HALL_LOT, OPERATOR, OTHER_LINE, USERS, Seeing
from warehouses import ZONE

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.canonical import encode
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_wire.reading import Cell, Channel

NOT_SHOWN = "of what is not shown here"
MISSING_NOT_SHOWN = {"missing": NOT_SHOWN, "missing_told": {"code": "not_shown", "given": {}}}
KEPT = {"upon": {"fact": "gated_in", "fence": "yard"}, "that": {"fact": "condition_kept"}}


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Seeing]:
    made = Seeing(tmp_path)
    known = next(one for one in made.get("keeper-kim", "/book")["lots"] if one["id"] == HALL_LOT)
    limits = [{"channel": "temperature_mc", "low": 2_000, "high": 30_000}]
    made.keeping.amend(
        parties=[{"id": "exporter", "name": "Exporter"}],
        lots=[known | {"limits": limits}],
        milestones=[milestone("kept", KEPT)],
    )
    yield made
    made.close()


def milestone(name: str, when: dict[str, Any]) -> dict[str, Any]:
    release = {"amount_minor": 5_000}
    return {"id": name, "facility": LINE, "lot": HALL_LOT, "payee": "exporter", "when": when, "release": release}


def measure(seeing: Seeing, value: int) -> None:
    """The hall is as warm as that, a second before it is heard."""
    seeing.tick()
    zone = seeing.keeping.devices[ZONE]
    reading = zone.measure(seeing.keeping.clock.at_ms - 1_000, Cell(Channel.TEMPERATURE_MC, value))
    seeing.keeping.take(zone.arrival([reading], operator=OPERATOR))
    seeing.feeder.catch_up()


def hand_over(seeing: Seeing) -> None:
    seeing.tick()
    seeing.keeping.amend(
        facilities=[{"id": LINE, "lender": OTHER_BANK, "borrower": DEPOSITOR, "currency": "USD", "retention_days": 30}]
    )


def fact(seeing: Seeing, user: str, kind: str = "condition_kept", name: str = "kept") -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in seeing.get(user, f"/milestones/{name}")["facts"] if one["fact"]["fact"] == kind
    )
    return found


def test_a_breach_while_goods_were_free_is_no_condition_kept_for_who_has_them_again(seeing: Seeing) -> None:
    seeing.pledge(FIRST, BANK)
    measure(seeing, 9_000)
    assert fact(seeing, "lender-one") == fact(seeing, "keeper-kim")
    assert fact(seeing, "lender-one")["holds"]
    seeing.release(FIRST)
    measure(seeing, 40_000)
    measure(seeing, 9_100)
    seeing.pledge(FIRST, BANK)
    measure(seeing, 9_200)
    whole, own = fact(seeing, "keeper-kim"), fact(seeing, "lender-one")
    assert (whole["holds"], "breached since" in whole["missing"]) == (False, True)
    assert own == whole | MISSING_NOT_SHOWN
    assert fact(seeing, "borrower-one") == whole


def test_a_notice_shows_a_fact_to_whose_milestone_it_is_and_why_one_does_not_count(seeing: Seeing) -> None:
    """The book's senders are for keepers, and what their word has decided is told all the same."""
    about = {"id": "voyage", "facility": LINE, "lots": [HALL_LOT], "about": {"bill_of_lading": ["BILL-1"]}}
    loaded = milestone("loaded", {"fact": "vessel_loaded"})
    del loaded["lot"]
    seeing.keeping.amend(
        senders=[{"id": "carrier"}, {"id": "broker", "grade": "poor"}, {"id": "elsewhere", "facilities": [OTHER_LINE]}],
        shipments=[about],
        milestones=[loaded | {"shipment": "voyage"}],
    )

    def say(sender: str) -> None:
        one = {"id": "n1", "kind": "vessel_loaded", "happened_at": iso(seeing.keeping.clock.at_ms), "place": "USLAX"}
        text = encode({"notices": [{**one, "about": {"shipment": ["voyage"]}}]}).decode()
        seeing.keeping.spine.commit(drafts.submit, sender, "plain", text)
        seeing.tick()

    for sender, why, many in (
        ("broker", "is of grade poor", 0),
        ("elsewhere", "does not count", 0),
        ("carrier", "", 1),
    ):
        say(sender)
        whole = fact(seeing, "keeper-kim", "vessel_loaded", "loaded")
        assert (why in whole["missing"], len(whole["proofs"]), whole["holds"]) == (True, many, bool(many)), whole
        for user in ("lender-one", "borrower-one"):
            assert fact(seeing, user, "vessel_loaded", "loaded") == whole, (sender, user)
    assert seeing.get("lender-one", "/book").get("senders", []) == []


def test_what_shows_a_fact_in_the_bank_befores_time_is_not_told_to_the_next(seeing: Seeing) -> None:
    seeing.pledge(FIRST, BANK)
    measure(seeing, 9_000)
    hand_over(seeing)
    seeing.release(FIRST)
    seeing.pledge(FIRST, OTHER_BANK)
    measure(seeing, 9_100)
    whole, own = fact(seeing, "keeper-kim"), fact(seeing, "lender-two")
    assert (whole["holds"], len(whole["proofs"]), whole["since_ms"] is None) == (True, 1, False)
    assert own == whole | {"since_ms": None, "proofs": []} | MISSING_NOT_SHOWN


def test_when_a_milestone_was_met_in_anothers_time_and_who_waived_it_is_not_told(seeing: Seeing) -> None:
    seeing.keeping.amend(milestones=[milestone("lent", {"fact": "pledged"}), milestone("waived", KEPT)])
    body = {"by": "x", "why": "seen by our surveyor"}
    headers = shown(USERS["lender-one"].key)
    assert seeing.client.post("/milestones/waived/waiver", json=body, headers=headers).status_code == 200
    by = {name: seeing.get("lender-one", f"/milestones/{name}") for name in ("lent", "waived")}
    assert by["lent"] == seeing.get("keeper-kim", "/milestones/lent")
    assert (by["lent"]["state"], by["lent"]["met_ms"] is None) == ("met", False)
    assert (by["waived"]["waived_by"], by["waived"]["waived_why"]) == ("lender-one", "seen by our surveyor")
    hand_over(seeing)
    listed = {one["id"]: one for one in seeing.get("lender-two", "/milestones")}
    for name, before in by.items():
        after = seeing.get("lender-two", f"/milestones/{name}")
        assert (after["state"], after["amount_minor"], after["met_ms"]) == (before["state"], 5_000, None)
        assert (listed[name]["met_ms"], listed[name]["waived_by"]) == (None, after["waived_by"])
    assert (after["waived_by"], after["waived_why"]) == (NOT_SHOWN, NOT_SHOWN)
    assert "surveyor" not in str(after)
    assert "lender-one" not in str(after)
    (held,) = seeing.get("lender-two", "/milestones/lent")["facts"]
    assert (held["holds"], held["since_ms"], held["missing"]) == (True, None, NOT_SHOWN)
    assert seeing.get("borrower-one", "/milestones/lent")["facts"] == by["lent"]["facts"]
