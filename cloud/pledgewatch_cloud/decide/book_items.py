"""The items of the book, section by section, and the readers that take them from JSON with every fault's place named.

Amounts are integers in minor units, haircuts in basis points, temperatures in thousandths of a degree, moments ISO 8601
with a time zone in documents and Unix milliseconds here. What a document leaves out has a default, and what is at its
default is left out of a document again. The terms on which is lent (policies, products, appraisals) are in book_terms.
"""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.condition import SEVERITIES, Limit
from pledgewatch_cloud.decide.item import CHANNEL_NAMES, Item
from pledgewatch_cloud.decide.kinetic import ACTIVATION_J_MOL, WINDOW_MAX_H, KineticRule
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.silence import Patience
from pledgewatch_cloud.decide.stretches import ALWAYS, NEVER, Stretches, joined
from pledgewatch_cloud.decide.voyage import LEG_KINDS, SIGNALS, Leg, Voyage, overlaps
from pledgewatch_wire import chain

MAX_AMOUNT_MINOR = 10**15
MAX_QUANTITY = 10**9
MAX_SOLD_MILLI = 10**12
MAX_RATE_BP = 100_000
MAX_MOVEMENTS = 10_000
MAX_STAYS = 64
DAY_S = 86_400
AHEAD_S = 60
MAX_WAIT_S = 366 * DAY_S

# The greatest speed that an asset of a kind can have had, in millimetres a second; 0: not judged.
ASSET_KINDS: Mapping[str, int] = {
    "container": 45_000,
    "trailer": 45_000,
    "truck": 45_000,
    "railcar": 60_000,
    "vessel": 25_000,
    "warehouse": 5_000,
    "aircraft": 350_000,
    "other": 0,
}
CAUSES = (
    "condition_breached",
    "condition_unknown",
    "mkt_exceeded",
    "mkt_uncertain",
    "source_silent",
    "source_overdue",
    "evidence_doubted",
    "fence_entered",
    "fence_left",
    "tamper_suspected",
    "clock_doubted",
    "goods_left",
    "stock_short",
)
_OF_A_LOT = ("condition_", "mkt_", "goods_", "stock_")
GROUPINGS = ("lot", "asset", "device", "gateway")
RECEIPT_STATES = ("valid", "frozen", "lost", "cancelled")
PAPER_KINDS = ("bill_of_lading", "insurance", "customs", "invoice", "certificate", "other")
MOVEMENT_KINDS = ("drawdown", "repayment")
DAY_COUNTS = ("act_360", "act_365", "thirty_360")


class Asset(NamedTuple):
    """What a device is fitted to. `max_speed_mmps` 0: its speed is not judged."""

    id: str
    kind: str
    max_speed_mmps: int


class Installation(NamedTuple):
    """Which device is fitted to which asset, and how long it and each of its sensors may be quiet.

    `retired` 1: nothing more is taken from it; what it said stands. Before `fitted_ms` nothing that it says is
    evidence; after `calibrated_until_ms` its values are fair at most. `gateway`: what it speaks through, if anything.
    A reading dated more than `ahead_s` beyond the cloud's own clock waits until time has come to it.
    """

    device: str
    operator: str
    asset: str
    public_key: str
    retired: int
    patience: Patience
    gateway: str
    fitted_ms: int
    calibrated_until_ms: int
    ahead_s: int
    sensors: tuple[tuple[int, Patience], ...]


class Receipt(NamedTuple):
    """The warehouse receipt of a lot, good up to `until_ms`. `state` is one of RECEIPT_STATES; empty: it is electronic,
    and the receipt book says how it stands."""

    id: str
    state: str
    until_ms: int

    @property
    def is_electronic(self) -> bool:
        """Whether it is one of the receipt book."""
        return not self.state


class Paper(NamedTuple):
    """A document of a lot, good up to `until_ms`. `kind` is one of PAPER_KINDS."""

    kind: str
    id: str
    until_ms: int


class EarlierStay(NamedTuple):
    """An asset that a lot has been in, and the moment at which it left it for the next one."""

    asset: str
    until_ms: int


class Stay(NamedTuple):
    """The time of a lot in one asset, [since_ms, until_ms)."""

    asset: str
    since_ms: int
    until_ms: int


class Lot(NamedTuple):
    """Goods in an asset, pledged to a facility. `haircut_bp` is taken off its market value.

    `stays` are where it was before, in order. What an asset goes through counts for the lot within its stay there only,
    and what was found in one stay is not undone by the next.

    Numbers of -1, moments of -NEVER (NEVER for `expires_ms`) and empty words are not known. `cost_minor` is of
    `cost_per` units, in `cost_currency`, or in the facility's currency where that is empty; `counted` is what the stock
    system counted at `counted_ms`; `sold_milli_per_day` thousandths of a unit. `country` is a code of ISO 3166-1.
    """

    id: str
    asset: str
    facility: str
    sku: str
    quantity: int
    haircut_bp: int
    limits: tuple[Limit, ...]
    kinetic: KineticRule | None
    cost_minor: int = -1
    cost_per: int = 1
    cost_currency: str = ""
    counted: int = -1
    counted_ms: int = -NEVER
    receipt: Receipt | None = None
    papers: tuple[Paper, ...] = ()
    received_ms: int = -NEVER
    expires_ms: int = NEVER
    sold_milli_per_day: int = -1
    buyer: str = ""
    country: str = ""
    vessel: str = ""
    warehouse: str = ""
    corridor: str = ""
    stays: tuple[EarlierStay, ...] = ()

    @property
    def whereabouts(self) -> tuple[Stay, ...]:
        """Every stay in order: the first since the goods were received, if anybody knows when, the last for ever."""
        found, since_ms = list[Stay](), self.received_ms
        for one in self.stays:
            found.append(Stay(one.asset, since_ms, one.until_ms))
            since_ms = one.until_ms
        return (*found, Stay(self.asset, since_ms, NEVER))

    @property
    def assets(self) -> tuple[str, ...]:
        """What it is and was in, each once, in order."""
        return tuple(dict.fromkeys((*(one.asset for one in self.stays), self.asset)))

    def there(self, asset: str) -> Stretches:
        """When it is in an asset."""
        if not self.stays and self.received_ms == -NEVER:
            return ALWAYS if asset == self.asset else ()
        return joined((one.since_ms, one.until_ms) for one in self.whereabouts if one.asset == asset)

    def stay_at(self, at_ms: int) -> Stay:
        """The stay that a moment lies in; the first one before that has begun."""
        return next(one for one in self.whereabouts if at_ms < one.until_ms)

    def kinetic_in(self, asset: str) -> KineticRule | None:
        """What its mean kinetic temperature may be, judged while it is in an asset."""
        return self.kinetic._replace(judged=self.there(asset)) if self.kinetic else None


class Price(NamedTuple):
    """What one unit of a SKU is worth by agreement: it holds until it is amended. Dated quotes are the market's."""

    sku: str
    unit_price_minor: int
    currency: str


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
    milestones may pay, none: any.
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


class AlertRule(NamedTuple):
    """Which causes make an alert, and when it is raised, repeated and escalated; see alerts. Zero: not done.

    `fences`: only these (for causes that have one). `group_by`: causes that share it share one alert.
    """

    id: str
    on: str
    severity: str
    fences: tuple[str, ...]
    group_by: str
    persist_s: int
    cool_down_s: int
    repeat_s: int
    escalate_after_s: int


def _asset(item: Item) -> Asset:
    identity = item.text("id")
    kind = item.one_of("kind", tuple(ASSET_KINDS))
    return Asset(identity, kind, item.integer("max_speed_mmps", 0, 1_000_000, ASSET_KINDS[kind]))


def _patience(item: Item) -> Patience:
    patience = Patience(
        item.integer("overdue_after_s", 0, MAX_WAIT_S, 0), item.integer("silent_after_s", 0, MAX_WAIT_S, 0)
    )
    if patience.silent_after_s and patience.overdue_after_s >= patience.silent_after_s:
        raise item.error("overdue_after_s", f"{patience.overdue_after_s} is not below silent_after_s")
    return patience


def _installation(item: Item) -> Installation:
    key_text = item.text("public_key", re.compile(r"[0-9a-f]{64}"))
    if not chain.is_public_key(key_text):
        raise item.error("public_key", "is no Ed25519 public key; `pledgewatch-edge identity` prints it")
    sensors = {}
    device, operator = item.name("device"), item.name("operator")
    for one in item.items("sensors"):
        channel = one.channel()
        if channel in sensors:
            raise one.error("channel", "is listed twice")
        sensors[channel] = _patience(one)
        one.end()
    return Installation(
        device,
        operator,
        item.text("asset"),
        key_text,
        item.integer("retired", 0, 1, 0),
        _patience(item),
        item.text("gateway", default=""),
        item.moment("fitted_at", -NEVER),
        item.moment("calibrated_until", NEVER),
        item.integer("ahead_s", 0, MAX_WAIT_S, AHEAD_S),
        tuple(sorted(sensors.items())),
    )


def _limit(item: Item) -> Limit:
    channel = item.channel()
    limit = Limit(
        item.text("id", default=CHANNEL_NAMES[channel]),
        channel,
        item.integer("low", -(10**9), 10**9),
        item.integer("high", -(10**9), 10**9),
        item.one_of("severity", SEVERITIES, "critical"),
        item.integer("grace_s", 0, MAX_WAIT_S, 0),
        item.integer("cumulative_s", 0, MAX_WAIT_S, 0),
        item.integer("budget", 0, 10**12, 0),
        item.integer("max_gap_s", 0, MAX_WAIT_S, DAY_S),
        item.integer("stuck_after_s", 0, MAX_WAIT_S, 0),
        item.ids("legs"),
        item.windows("ignore"),
    )
    if limit.low > limit.high:
        raise item.error("low", f"{limit.low} is above high {limit.high}")
    item.end()
    return limit


def _kinetic(item: Item | None) -> KineticRule | None:
    if item is None:
        return None
    rule = KineticRule(
        item.channel(),
        item.integer("high_mc", -100_000, 200_000),
        item.integer("worst_low_mc", -100_000, 200_000),
        item.integer("worst_high_mc", -100_000, 200_000),
        item.integer("activation_j_mol", 1_000, 1_000_000, ACTIVATION_J_MOL),
        item.integer("window_h", 0, WINDOW_MAX_H, 0),
        item.integer("max_gap_s", 1, MAX_WAIT_S, 3_600),
    )
    if rule.worst_low_mc > rule.worst_high_mc:
        raise item.error("worst_low_mc", f"{rule.worst_low_mc} is above worst_high_mc {rule.worst_high_mc}")
    if not CHANNEL_NAMES[rule.channel].startswith("temperature"):
        raise item.error("channel", f"{CHANNEL_NAMES[rule.channel]} is no temperature")
    item.end()
    return rule


def _lot(item: Item) -> Lot:
    lot = Lot(
        item.text("id"),
        item.text("asset"),
        item.text("facility"),
        item.text("sku"),
        item.integer("quantity", 0, MAX_QUANTITY),
        item.integer("haircut_bp", 0, 10_000, 0),
        tuple(_limit(one) for one in item.items("limits")),
        _kinetic(item.item("mkt")),
    )
    names = [limit.id for limit in lot.limits]
    if len(set(names)) != len(names):
        raise item.error("limits", "two limits share an id; a second limit of one channel needs an id of its own")
    lot = lot._replace(
        receipt=_receipt(item.item("receipt")),
        papers=_papers(item),
        received_ms=item.moment("received_at", -NEVER),
        expires_ms=item.moment("expires_at", NEVER),
        sold_milli_per_day=_known(item, "sold_milli_per_day", MAX_SOLD_MILLI),
        buyer=item.word("buyer"),
        country=item.country("country"),
        vessel=item.word("vessel"),
        warehouse=item.word("warehouse"),
        corridor=item.word("corridor"),
    )
    lot = lot._replace(stays=_stays(item, lot))
    if lot.expires_ms <= lot.received_ms:
        raise item.error("expires_at", f"{iso(lot.expires_ms)} is not after received_at")
    return _counted(item, _costed(item, lot))


def _stays(item: Item, lot: Lot) -> tuple[EarlierStay, ...]:
    """Where a lot was before it came to its asset."""
    found, since_ms = list[EarlierStay](), lot.received_ms
    for one in item.items("stays"):
        stay = EarlierStay(one.text("asset"), one.moment("until"))
        if stay.until_ms <= since_ms:
            before = "the until of the stay before" if found else "received_at"
            raise one.error("until", f"{iso(stay.until_ms)} is not after {before}, {iso(since_ms)}")
        one.end()
        found.append(stay)
        since_ms = stay.until_ms
    if len(found) > MAX_STAYS:
        raise item.error("stays", f"at most {MAX_STAYS}")
    for place, (here, there) in enumerate(pairwise([*(one.asset for one in found), lot.asset])):
        if here == there:
            raise item.error(f"stays[{place}].asset", f"it stays in {here} after that; leave this stay out")
    return tuple(found)


def _known(item: Item, key: str, most: int) -> int:
    """A whole number, -1 where it is not said."""
    return item.integer(key, 0, most) if item.has(key) else -1


def _costed(item: Item, lot: Lot) -> Lot:
    for key in ("cost_per", "cost_currency"):
        if item.has(key) and not item.has("cost_minor"):
            raise item.error(key, "there is no cost_minor that it could be about")
    cost_minor = _known(item, "cost_minor", MAX_AMOUNT_MINOR)
    currency = item.currency("cost_currency") if item.has("cost_currency") else ""
    return lot._replace(
        cost_minor=cost_minor, cost_per=item.integer("cost_per", 1, MAX_QUANTITY, 1), cost_currency=currency
    )


def _counted(item: Item, lot: Lot) -> Lot:
    for key, other in (("counted", "counted_at"), ("counted_at", "counted")):
        if item.has(other) and not item.has(key):
            raise item.error(key, "is missing: a count is a number and its moment")
    return lot._replace(counted=_known(item, "counted", MAX_QUANTITY), counted_ms=item.moment("counted_at", -NEVER))


def _receipt(item: Item | None) -> Receipt | None:
    if item is None:
        return None
    state = item.one_of("state", RECEIPT_STATES) if item.has("state") else ""
    receipt = Receipt(item.text("id"), state, item.moment("until", NEVER))
    item.end()
    return receipt


def _papers(item: Item) -> tuple[Paper, ...]:
    papers: dict[tuple[str, str], Paper] = {}
    for one in item.items("papers"):
        paper = Paper(one.one_of("kind", PAPER_KINDS), one.text("id"), one.moment("until", NEVER))
        if paper[:2] in papers:
            raise one.error("id", f"{paper.id!r} comes twice among papers of the kind {paper.kind}")
        papers[paper[:2]] = paper
        one.end()
    return tuple(papers.values())


def _price(item: Item) -> Price:
    return Price(item.text("sku"), item.integer("unit_price_minor", 0, MAX_AMOUNT_MINOR), item.currency("currency"))


def _facility(item: Item) -> Facility:
    facility = Facility(
        item.text("id"),
        item.text("lender"),
        item.text("borrower"),
        item.currency("currency"),
        item.integer("outstanding_minor", 0, MAX_AMOUNT_MINOR, 0),
        item.word("policy"),
        item.integer("limit_minor", 0, MAX_AMOUNT_MINOR, 0),
        read_movements(item),
        _interest(item.item("interest")),
        item.ids("payees"),
    )
    drawn = [one.amount_minor for one in facility.movements if one.kind == "drawdown"]
    if facility.outstanding_minor + sum(drawn) > MAX_AMOUNT_MINOR:
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
            one.integer("amount_minor", 1, MAX_AMOUNT_MINOR),
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


def _voyage(item: Item) -> Voyage:
    identity, asset = item.text("id"), item.text("asset")
    legs = []
    for one in item.items("legs"):
        leg = Leg(
            one.text("id"),
            one.one_of("kind", LEG_KINDS),
            one.moment("from"),
            one.moment("until"),
            one.one_of("signal", SIGNALS, "expected"),
        )
        if leg.until_ms <= leg.from_ms:
            raise one.error("until", f"{iso(leg.until_ms)} is not after from {iso(leg.from_ms)}")
        one.end()
        legs.append(leg)
    legs.sort(key=lambda leg: leg.from_ms)
    for first, second in overlaps(legs):
        raise item.error("legs", f"{second.id} begins {iso(second.from_ms)}, before {first.id} ends")
    if len({leg.id for leg in legs}) != len(legs):
        raise item.error("legs", "two legs share an id")
    return Voyage(identity, asset, tuple(legs))


def _alert_rule(item: Item) -> AlertRule:
    rule = AlertRule(
        item.text("id"),
        item.one_of("on", CAUSES),
        item.one_of("severity", SEVERITIES, "critical"),
        item.ids("fences"),
        item.one_of("group_by", GROUPINGS, "asset"),
        item.integer("persist_s", 0, MAX_WAIT_S, 0),
        item.integer("cool_down_s", 0, MAX_WAIT_S, 0),
        item.integer("repeat_s", 0, MAX_WAIT_S, 0),
        item.integer("escalate_after_s", 0, MAX_WAIT_S, 0),
    )
    if rule.group_by == "lot" and not rule.on.startswith(_OF_A_LOT):
        raise item.error("group_by", f"{rule.on} is about no lot; group by asset, device or gateway")
    if rule.fences and not rule.on.startswith("fence_"):
        raise item.error("fences", f"{rule.on} is about no fence; leave them out")
    return rule


READERS: dict[str, Callable[[Item], Any]] = {
    "assets": _asset,
    "installations": _installation,
    "lots": _lot,
    "prices": _price,
    "facilities": _facility,
    "voyages": _voyage,
    "alert_rules": _alert_rule,
}
"""How an item of each section is read; fences are GeoJSON and have their own reader."""


def as_document(section: str, item: Any) -> dict[str, Any]:
    """An item as an amendment says it: what its reader takes, without what says nothing."""
    defaults = type(item)._field_defaults
    written = {
        key: value
        for key, value in item._asdict().items()
        if value not in ("", ()) and not (key in defaults and value == defaults[key])
    }
    match section:
        case "installations":
            written |= _installation_document(item, written)
        case "lots":
            written |= _lot_document(item, written)
        case "facilities":
            written |= _facility_document(item)
        case "voyages":
            written["legs"] = [
                {
                    "id": leg.id,
                    "kind": leg.kind,
                    "signal": leg.signal,
                    "from": iso(leg.from_ms),
                    "until": iso(leg.until_ms),
                }
                for leg in item.legs
            ]
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in written.items()
        if key not in _HELD_OTHERWISE.get(section, ())
    }


_HELD_OTHERWISE = {
    "installations": ("patience", "fitted_ms", "calibrated_until_ms"),
    "lots": ("kinetic", "counted_ms", "received_ms", "expires_ms"),
}
"""The fields that have another name, or none, in a document."""


def _installation_document(one: Installation, written: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = one.patience._asdict()
    for key, name in (("fitted_ms", "fitted_at"), ("calibrated_until_ms", "calibrated_until")):
        if abs(written[key]) != NEVER:
            changed[name] = iso(written[key])
    if one.sensors:
        changed["sensors"] = [
            {"channel": CHANNEL_NAMES[channel], **patience._asdict()} for channel, patience in one.sensors
        ]
    return changed


def _lot_document(lot: Lot, written: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {"limits": [_limit_document(limit) for limit in lot.limits]}
    if lot.kinetic:
        changed["mkt"] = {**lot.kinetic._asdict(), "channel": CHANNEL_NAMES[lot.kinetic.channel]}
        del changed["mkt"]["judged"]
    if lot.stays:
        changed["stays"] = [{"asset": one.asset, "until": iso(one.until_ms)} for one in lot.stays]
    for key, name in (("counted_ms", "counted_at"), ("received_ms", "received_at"), ("expires_ms", "expires_at")):
        if key in written:
            changed[name] = iso(written[key])
    if lot.receipt:
        changed["receipt"] = _with_end(lot.receipt)
    if lot.papers:
        changed["papers"] = [_with_end(one) for one in lot.papers]
    return changed


def _facility_document(facility: Facility) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    if facility.movements:
        changed["movements"] = [
            {"id": one.id, "kind": one.kind, "at": iso(one.at_ms), "amount_minor": one.amount_minor}
            for one in facility.movements
        ]
    if facility.interest:
        rate_bp, day_count, since_ms = facility.interest
        changed["interest"] = {"rate_bp": rate_bp, "day_count": day_count, "since": iso(since_ms)}
    return changed


def _with_end(one: Receipt | Paper) -> dict[str, Any]:
    written = {key: value for key, value in one._asdict().items() if value != ""}
    del written["until_ms"]
    return written if one.until_ms == NEVER else written | {"until": iso(one.until_ms)}


def _limit_document(limit: Limit) -> dict[str, Any]:
    always = ("low", "high", "max_gap_s")
    written = {key: value for key, value in limit._asdict().items() if value not in ((), 0) or key in always}
    del written["judged"]
    written["channel"] = CHANNEL_NAMES[limit.channel]
    if limit.legs:
        written["legs"] = list(limit.legs)
    if limit.ignore:
        written["ignore"] = [{"from": iso(since), "until": iso(until)} for since, until in limit.ignore]
    return written
