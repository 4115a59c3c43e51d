"""What is lent: facilities, lots and what their amounts rest on, milestones, the market."""

from typing import Any, NotRequired, TypedDict

from pledgewatch_cloud.answers.document import Document
from pledgewatch_cloud.answers.places import LotCondition, MeanKineticTemperature


class Base(TypedDict):
    """A borrowing base. Ratios are -1 where there is nothing to divide by."""

    gross_minor: int
    ineligible: dict[str, int]
    eligible_minor: int
    advance: dict[str, int]
    held_back: dict[str, int]
    reserves: dict[str, int]
    base_minor: int
    limit_minor: int
    outstanding_minor: int
    availability_minor: int
    headroom_minor: int
    ltv_bp: int
    cover_bp: int
    lots: int
    unvalued: int


class Told(TypedDict):
    """A sentence as its code and what stands in its places."""

    code: str
    given: dict[str, Any]


class ToldOfStep(TypedDict):
    """The same, of a step of the waterfall; a ground that no sentence is known for has the step alone."""

    step: str
    code: NotRequired[str]
    given: NotRequired[dict[str, Any]]


class Line(TypedDict):
    """What became of a lot on its way to the base."""

    id: str
    value_minor: int
    ineligible: dict[str, int]
    eligible_minor: int
    advance_minor: int
    in_class: str | None
    is_unvalued: bool
    grounds: list[str]
    told: list[ToldOfStep]


class BaseAt(TypedDict):
    """The base of a moment by what was known at another."""

    facility: str
    as_of: str
    known_at: str
    entry: int
    currency: str
    base: Base
    lines: list[Line]


class LotOfFacility(TypedDict):
    """A lot in short."""

    id: str
    asset: str | None
    sku: str


class Milestone(TypedDict):
    """A milestone and where it stands."""

    id: str
    facility: str
    shipment: str
    lot: str
    payee: str
    state: str
    met_ms: int | None
    released_ms: int | None
    expires_ms: int | None
    amount_minor: int
    waived_by: str
    waived_why: str
    unbooked: bool


class Proof(TypedDict):
    """What shows a fact, without what is not known."""

    kind: str
    id: NotRequired[str]
    grade: NotRequired[str]
    at_ms: NotRequired[int]


class Fact(TypedDict):
    """A fact that a milestone asks for, and what holds of it."""

    fact: dict[str, Any]
    words: str
    holds: bool
    may_hold: bool
    since_ms: int | None
    proofs: list[Proof]
    missing: str
    missing_told: Told | None
    if_lost: str
    if_lost_told: Told | None


class MilestoneListed(Milestone):
    """A milestone, and when it stood so, by the journal's clock."""

    as_of_ms: int


class MilestoneExplained(MilestoneListed):
    """A milestone, and why it stands as it does."""

    currency: str
    at_odds: str
    facts: list[Fact]


class Facility(TypedDict):
    """A facility as it stands."""

    id: str
    lender: str
    borrower: str
    currency: str
    policy: str
    base: Base | None
    cover: str
    call_minor: int
    cure_by_ms: int | None
    lots: list[LotOfFacility]
    alerts: dict[str, str]
    milestones: list[Milestone]
    messages_sent: int | None


class FacilityWithLines(Facility):
    """A facility, with what became of each of its lots."""

    lines: list[Line]


class LtvLevels(TypedDict):
    """The levels of a policy, None where it has none."""

    warning_bp: int | None
    call_bp: int | None
    default_bp: int | None


class LtvBase(TypedDict):
    """A base, and until when it held."""

    at_ms: int
    until_ms: int
    base_minor: int
    outstanding_minor: int
    headroom_minor: int
    ltv_bp: int | None


class MarginCall(TypedDict):
    """A margin call."""

    at_ms: int
    call_minor: int


class Ltv(TypedDict):
    """The loan to value over time."""

    facility: str
    currency: str | None
    levels: LtvLevels
    until_ms: int
    bases: list[LtvBase]
    calls: list[MarginCall]


class ReadingName(TypedDict):
    """Which reading."""

    device: str
    epoch: int
    sequence: int


class Evidence(TypedDict):
    """What stands for a lot, how old it is, and what it counts as."""

    lot: str
    asset: str | None
    quantity: int
    measured_ms: int | None
    age_ms: int | None
    reading: ReadingName | None
    by: str
    counts_as: str
    is_dark: bool
    fresh_ms: int | None
    stale_ms: int | None
    dark_counts_as: str


class Held(TypedDict):
    """How a lot is held by an electronic receipt."""

    state: str
    until_ms: int | None
    missing: int
    cases: list[str]
    heard_ms: int | None


class Pledge(TypedDict):
    """To whom a lot is or was pledged."""

    lender: str
    borrower: str
    facility: str
    receipt: str
    from_entry: int
    until_entry: int | None
    from_ms: int | None
    until_ms: int | None


class Lot(TypedDict):
    """A lot as it stands."""

    id: str
    said: Document
    asset: str | None
    is_shown: bool
    conditions: list[LotCondition]
    mean_kinetic_temperature: MeanKineticTemperature | None
    held: Held | None
    evidence_ms: int | None
    evidence_age_ms: int | None
    pledges: list[Pledge]


class LotWithLine(Lot):
    """A lot, with its way through the waterfall."""

    line: Line | None


class Counted(TypedDict):
    """What was counted of a lot, and when."""

    quantity: int
    at_ms: int | None


class Claimed(TypedDict):
    """What a receipt claims of goods, and what of it is released."""

    quantity_milli: int
    released_milli: int
    unit: str


class OnMachine(TypedDict):
    """What a machine counts."""

    channel: str
    value: int
    measured_ms: int


class Quantity(TypedDict):
    """What is said of how much there is of a lot."""

    lot: int
    counted: Counted | None
    receipt: str | None
    claimed: list[Claimed]
    held: Held | None
    asset: str
    machines: list[OnMachine]


class PriceUsed(TypedDict):
    """The price that a lot is valued at."""

    series: str
    sku: str
    is_agreed: bool
    price_minor: int
    per: int
    currency: str
    date: str | None


class RateUsed(TypedDict):
    """A rate that a value is changed by."""

    currency: str
    rate: str
    date: str


class Cost(TypedDict):
    """What goods cost."""

    cost_minor: int
    per: int
    currency: str


class Appraisal(TypedDict):
    """What they would bring in a liquidation."""

    nolv_bp: int
    until_ms: int | None


class Named(TypedDict):
    """A name in a sentence, with the noun under which it is read."""

    noun: str
    id: str


class Value(TypedDict):
    """The value of a lot, and what it rests on."""

    value_minor: int
    quantity: int
    price: PriceUsed | None
    rates: list[RateUsed]
    cost: Cost | None
    appraisal: Appraisal | None
    unvalued: list[list[str | Named]]
    unvalued_told: list[Told | None]


class Ineligible(TypedDict):
    """What a step took, and why."""

    step: str
    taken_minor: int
    grounds: list[list[str | Named]]
    told: list[Told | None]


class Advance(TypedDict):
    """What a lot is lent, and by which rate."""

    advance_minor: int
    advance_bp: int
    in_class: str
    fences: list[str]
    policy: str


class Amounts(TypedDict):
    """The amounts of a lot."""

    currency: str
    value: Value
    ineligible: list[Ineligible]
    eligible_minor: int
    advance: Advance


class Trail(TypedDict):
    """What stands behind each amount of a lot."""

    lot: str
    facility: str
    is_shown: bool
    as_of_ms: int
    evidence: Evidence | None
    quantity: Quantity | None
    amounts: Amounts | None


class Exposure(TypedDict):
    """What lies behind one word."""

    word: str
    lots: int
    gross_minor: int
    eligible_minor: int
    advance_minor: int


class Exposures(TypedDict):
    """A page of exposures."""

    by: str
    currency: str
    exposures: list[Exposure]
    next_after: str


class Stressed(TypedDict):
    """A facility's base under a shock."""

    shock: str
    facility: str
    base: Base
    change_minor: int
    call_minor: int
    lots_lost: int


class UnknownNames(TypedDict):
    """What a shock names and nobody knows."""

    shock: str
    series_bp: NotRequired[list[str]]
    lost_fences: NotRequired[list[str]]


class Stress(TypedDict):
    """What shocks would do."""

    stressed: list[Stressed]
    unknown: list[UnknownNames]


class Price(TypedDict):
    """A quoted price."""

    series: str
    date: str
    price: str
    currency: str
    per: int


class Rate(TypedDict):
    """A quoted rate."""

    currency: str
    date: str
    rate: str


class Market(TypedDict):
    """All quotes."""

    prices: list[Price]
    rates: list[Rate]


class Prices(TypedDict):
    """The prices of a series."""

    series: str
    quotes: list[Price]


class Rates(TypedDict):
    """The rates of a currency."""

    currency: str
    quotes: list[Rate]
