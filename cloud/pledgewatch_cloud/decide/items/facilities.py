"""Facilities: credit lines, the money that has moved on them, and the interest on it.

Amounts are minor units of the facility's currency, rates basis points a year. Who speaks of a facility's terms need not
speak of its movements: money has moved whatever the terms become.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.item import Item
from pledgewatch_cloud.decide.items.sections import Sections, absent, said
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.money import AMOUNT_MAX_MINOR

MAX_RATE_BP = 100_000
MAX_MOVEMENTS = 10_000
MOVEMENT_KINDS = ("drawdown", "repayment")
RETENTION_DAYS = 1_826
"""How long what a lender could see of goods stays seen once they are released, where the book says nothing else: five
years, as FATF's Recommendation 11 asks of records on transactions at least."""
MAX_RETENTION_DAYS = 36_525
DAY_COUNTS = ("act_360", "act_365", "thirty_360")


class Movement(NamedTuple):
    """Money drawn or paid back at a moment. `kind` is one of MOVEMENT_KINDS."""

    id: str
    kind: str
    at_ms: int
    amount_minor: int


class Interest(NamedTuple):
    """Simple interest a year on what is drawn, from `since_ms` on. `day_count` is one of DAY_COUNTS; see loan."""

    rate_bp: int
    day_count: str
    since_ms: int


class Facility(NamedTuple):
    """A credit line. `outstanding_minor` is what was drawn before the movements and, where there is interest, as of its
    beginning; what is owed at a moment is for loan to say. `policy` is the id of one, empty: the plain policy.
    `limit_minor` 0: none. Movements ascend in time; of one moment drawdowns come first. `payees`: the parties that its
    milestones may pay, none: any. `retention_days`: how long what its lender saw of a lot stays seen after release.
    """

    id: str
    lender: str
    borrower: str
    currency: str
    outstanding_minor: int
    policy: str = ""
    limit_minor: int = 0
    movements: tuple[Movement, ...] = ()
    interest: Interest | None = None
    payees: tuple[str, ...] = ()
    retention_days: int = RETENTION_DAYS


def _facility(item: Item) -> Facility:
    facility = Facility(
        item.text("id"),
        item.text("lender"),
        item.text("borrower"),
        item.currency("currency"),
        item.integer("outstanding_minor", 0, AMOUNT_MAX_MINOR, 0),
        item.word("policy"),
        item.integer("limit_minor", 0, AMOUNT_MAX_MINOR, 0),
        read_movements(item),
        _interest(item.item("interest")),
        item.ids("payees"),
        item.integer("retention_days", 0, MAX_RETENTION_DAYS, RETENTION_DAYS),
    )
    drawn = [one.amount_minor for one in facility.movements if one.kind == "drawdown"]
    if facility.outstanding_minor + sum(drawn) > AMOUNT_MAX_MINOR:
        raise item.error("movements", "draw more than 10^15 minor units in all")
    for one in facility.movements:
        if facility.interest and one.at_ms < facility.interest.since_ms:
            text = f"{one.id} is before interest.since: what was drawn by then is in outstanding_minor"
            raise item.error("movements", text)
    return facility


def read_movements(item: Item) -> tuple[Movement, ...]:
    """The movements of an item, in order. Raises BookError."""
    movements: dict[str, Movement] = {}
    for one in item.items("movements"):
        movement = Movement(
            one.text("id"),
            one.one_of("kind", MOVEMENT_KINDS),
            one.moment("at"),
            one.integer("amount_minor", 1, AMOUNT_MAX_MINOR),
        )
        if movement.id in movements:
            raise one.error("id", f"{movement.id!r} comes twice")
        movements[movement.id] = movement
        one.end()
    if len(movements) > MAX_MOVEMENTS:
        raise item.error("movements", f"at most {MAX_MOVEMENTS}; add older ones to outstanding_minor")
    return tuple(sorted(movements.values(), key=lambda one: (one.at_ms, one.kind, one.id)))


def _interest(item: Item | None) -> Interest | None:
    if item is None:
        return None
    interest = Interest(
        item.integer("rate_bp", 0, MAX_RATE_BP), item.one_of("day_count", DAY_COUNTS), item.moment("since")
    )
    item.end()
    return interest


READERS: dict[str, Callable[[Item], Any]] = {"facilities": _facility}
"""How an item of each section is read."""


def as_document(_section: str, facility: Facility) -> dict[str, Any]:
    """A facility as an amendment says it."""
    written = said(facility)
    if facility.movements:
        written["movements"] = [
            {"id": one.id, "kind": one.kind, "at": iso(one.at_ms), "amount_minor": one.amount_minor}
            for one in facility.movements
        ]
    if facility.interest:
        rate_bp, day_count, since_ms = facility.interest
        written["interest"] = {"rate_bp": rate_bp, "day_count": day_count, "since": iso(since_ms)}
    return written


def with_movements(facilities: Mapping[str, Facility], one: object) -> object:
    """A facility's document with the movements that it has, where an amendment says nothing of them: money has moved
    whoever speaks of the terms."""
    if not isinstance(one, dict) or "movements" in one or not isinstance(one.get("id"), str):
        return one
    before = facilities.get(one["id"])
    return {**one, "movements": as_document("facilities", before).get("movements", [])} if before else one


def faults(sections: Sections) -> Iterator[str]:
    """What only the whole book can show: policies and payees that nobody knows."""
    for facility in sections["facilities"].values():
        if facility.policy:
            yield from absent(sections, f"facilities {facility.id}.policy", "policies", facility.policy)
        for payee in facility.payees:
            yield from absent(sections, f"facilities {facility.id}.payees", "parties", payee)
