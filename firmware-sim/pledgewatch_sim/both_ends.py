"""What the demo counts at its two ends, and whether they agree.

    readings    devices' own counters        journal
    messages    journal, outbox              core's ledger
    money       core's ledger                facilities of the book

Where the story was told to its end, all has arrived. Where it was ended before, simulated time still runs fast while it
is counted, so pledgewatch may have found something more to say: that message waits in the outbox, and is not lost.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Loan(NamedTuple):
    """What one end knows of a facility's money."""

    opening_minor: int
    drawn_minor: int
    repaid_minor: int

    @property
    def outstanding_minor(self) -> int:
        """What is lent now, without interest."""
        return self.opening_minor + self.drawn_minor - self.repaid_minor


def money(ledger: Mapping[str, Any], book: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every facility that an end knows, as each knows it: `ledger` as the core shows it, `book` as the cloud does."""
    bank = {
        name: Loan(one["opening_minor"], one["drawn_minor"], one["repaid_minor"])
        for name, one in ledger["facilities"].items()
    }
    cloud = {one["id"]: _loan(one) for one in book["facilities"]}
    nothing = Loan(0, 0, 0)
    return {
        name: {
            "bank": _as_json(bank.get(name, nothing)),
            "pledgewatch": _as_json(cloud.get(name, nothing)),
            "untold": len(untold(ledger["facilities"].get(name, {}))),
        }
        for name in sorted({*bank, *cloud})
    }


def chains(devices: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How whole the devices' numbered readings are, as the cloud has them: `unsigned` are those that no signature
    covers, of which each device has some at its end."""
    epochs = [epoch for one in devices for epoch in one["epochs"]]
    return {
        "devices": sum(bool(one["epochs"]) for one in devices),
        "missing": sum(last - first + 1 for epoch in epochs for first, last in epoch["missing"]),
        "unsigned": sum(epoch["received"] - min(epoch["signed"], epoch["received"]) for epoch in epochs),
    }


def untold(facility: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Movements that the core has not told pledgewatch of yet."""
    return [one for one in facility.get("movements", []) if not one["told"]]


def disagreements(report: Mapping[str, Any], *, is_ended_early: bool) -> list[str]:
    """What does not agree between the ends, in sentences; none where all does."""
    readings, messages, journal = report["readings"], report["messages"], report["journal"]
    found = [
        *(f"{readings[name]} readings are {name}" for name in ("lost", "duplicated", "refused") if readings[name]),
        *(_money_said(name, one) for name, one in report["money"].items() if not _is_equal(one)),
    ]
    if missing := report["chains"]["missing"]:
        found.append(f"{missing} readings are missing between others")
    if readings["committed"] != readings["measured"]:
        found.append(f"{readings['measured']} readings were measured, {readings['committed']} are in the journal")
    if not readings["measured"] and not is_ended_early:
        found.append("nothing was measured")
    if not _all_arrived(messages, is_ended_early=is_ended_early):
        found.append(
            "not every message has arrived: {sent} sent, {delivered} delivered, {verified} booked".format(**messages)
        )
    if messages["duplicated"]:
        found.append(f"{messages['duplicated']} messages are booked twice")
    if journal["digest"] != journal["service_digest"]:
        found.append("the journal does not lead to the state that the service had")
    return found


def _loan(facility: Mapping[str, Any]) -> Loan:
    moved = {"drawdown": 0, "repayment": 0}
    for one in facility.get("movements", []):
        moved[one["kind"]] += one["amount_minor"]
    return Loan(facility.get("outstanding_minor", 0), moved["drawdown"], moved["repayment"])


def _as_json(loan: Loan) -> dict[str, int]:
    return {**loan._asdict(), "outstanding_minor": loan.outstanding_minor}


def _is_equal(facility: Mapping[str, Any]) -> bool:
    return bool(facility["bank"] == facility["pledgewatch"] and not facility["untold"])


def _money_said(name: str, facility: Mapping[str, Any]) -> str:
    said = "; ".join(
        f"{end} has {one['drawn_minor']} drawn, {one['repaid_minor']} repaid, {one['outstanding_minor']} outstanding"
        for end, one in (("the bank", facility["bank"]), ("pledgewatch", facility["pledgewatch"]))
    )
    return f"{name}: {said}; {facility['untold']} movements are not told"


def _all_arrived(messages: Mapping[str, int], *, is_ended_early: bool) -> bool:
    """Whether every message is booked; ended early, some may wait, of which the core may have booked one unheard."""
    sent, delivered, verified, waiting = (messages[name] for name in ("sent", "delivered", "verified", "waiting"))
    if is_ended_early:
        return sent == delivered + waiting and delivered <= verified <= sent
    return sent == delivered == verified


def total(report: Mapping[str, Any], end: str) -> Loan:
    """All facilities of an end together; they are in one currency in the demo's story."""
    loans: Sequence[Mapping[str, int]] = [one[end] for one in report["money"].values()]
    return Loan(*(sum(one[name] for one in loans) for name in Loan._fields))
