"""Stock, receipts, cases of warehouses, and notices."""

from typing import Any, NotRequired, TypedDict


class GoodsOfBins(TypedDict):
    """What goods are called by, of all bins together."""

    warehouse: str
    owner: str
    sku: str
    unit: str


class Goods(GoodsOfBins):
    """What goods are called by."""

    bin: str


class StockLot(TypedDict):
    """A part of what there is that rows name by its lot."""

    name: str
    quantity_milli: int
    received_ms: int
    expiry_ms: int
    cost_minor: int | None
    currency: str


class Stock(Goods):
    """What there is."""

    on_hand_milli: int
    unreconciled_milli: int
    lots: list[StockLot]


class Stocks(TypedDict):
    """A page of it."""

    count: int
    goods: list[Stock]
    next_after: str


class Moved(TypedDict):
    """The lines of a period, which foot."""

    until_ms: int
    opening_milli: int
    received_milli: int
    shipped_milli: int
    sold_milli: int
    returned_milli: int
    adjusted_milli: int
    moved_milli: int
    unreconciled_milli: int
    closing_milli: int


class Period(Moved):
    """A day or a month."""

    name: str
    from_ms: int


class StockPeriods(Goods):
    """How it came to what there is."""

    before: Moved | None
    periods: list[Period]


class Periods(TypedDict):
    """A page of it."""

    count: int
    goods: list[StockPeriods]
    next_after: str


class SellThrough(GoodsOfBins):
    """How fast goods sell."""

    on_hand_milli: int
    sold_milli_per_day: int
    lasts_days: int | None


class SellThroughs(TypedDict):
    """A page of it."""

    count: int
    goods: list[SellThrough]
    next_after: str


class Unmatched(TypedDict):
    """A row that takes back what is not here."""

    source: str
    id: str
    at_ms: int
    cancels: str
    reason: str


class ReceiptGoods(TypedDict):
    """What a receipt is for; what it does not say of goods is left out."""

    sku: str
    quantity_milli: int
    unit: str
    bin: str
    container: NotRequired[str]
    seal: NotRequired[str]
    device: NotRequired[str]
    released_milli: int
    ordered_milli: int
    delivered_milli: int


Received = TypedDict("Received", {"from": str, "until": str})
"""When goods came in."""


class Receipt(TypedDict):
    """A receipt as it stands, and which acts each party may do."""

    id: str
    state: str
    warehouse: str
    depositor: str
    holder: str
    pledgee: str
    controller: str
    goods: list[ReceiptGoods]
    received: Received
    issued: str | None
    until: str
    head: str
    acts: int
    signed: str
    parent: str
    children: list[str]
    replaces: str
    replaced_by: str
    frozen_from: str
    overrides: list[str]
    number: int
    may: dict[str, list[str]]


class Receipts(TypedDict):
    """A page of receipts."""

    receipts: list[Receipt]
    next_after: str


class Act(TypedDict):
    """An event of a receipt, with the text of the act that led to it."""

    entry: int
    recorded: str
    event: str
    at: str
    act: str
    by: str
    controller: NotRequired[str]
    head: str
    state: str
    text: NotRequired[str]


class Acts(TypedDict):
    """A page of acts."""

    acts: list[Act]
    next_after_entry: int


class Register(TypedDict):
    """The register that acts are for."""

    register: str


class Issuer(TypedDict):
    """The key that verifies credentials, as a JWK."""

    kty: str
    crv: str
    x: str
    kid: str


class Case(TypedDict):
    """A case in short."""

    case: str
    kind: str
    warehouse: str
    subject: list[str]
    state: str
    opened: str
    missing_milli: int
    of_milli: int
    measured: int
    risk: int
    due: str | None
    closed: str | None
    by_count: str


class CountOfKey(TypedDict):
    """What was counted last."""

    milli: int
    at: str
    by: str
    count: str


class CaseKey(Goods):
    """What is claimed, kept and counted of a key."""

    claimed_milli: int
    stock_milli: int
    counted: CountOfKey | None


class LotMissing(TypedDict):
    """How much of a lot is missing."""

    lot: str
    missing: int


class CaseInFull(Case):
    """A case with its keys, and the receipts and lots that it bears on."""

    keys: list[CaseKey]
    receipts: list[str]
    lots: list[LotMissing]


class CountTask(TypedDict):
    """A count that is asked for, with the form to fill in."""

    case: str
    kind: str
    risk: int
    due: str | None
    state: str
    form: dict[str, Any]


class Notice(TypedDict):
    """A notice as it was taken, and what has become of it."""

    key: str
    sender: str
    kind: str
    happened_ms: int
    classifier: str
    references: list[str]
    place: str
    until_ms: int | None
    party: str
    withdraws: str
    replaces: str
    event: str
    edition_ms: int
    fate: str
    against: list[str]
