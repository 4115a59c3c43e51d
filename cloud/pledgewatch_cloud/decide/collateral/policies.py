"""Policies as the book says them: what a facility asks of its goods, read and written.

A policy may name a preset: the usual terms of one of the three ways in which goods are financed. It fills what the
policy does not say itself, when the amendment is taken; the book in force holds the terms and no presets.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from pledgewatch_cloud.decide.collateral.terms import (
    BREACH,
    CLASSES,
    DARK,
    DIMENSIONS,
    EVIDENCE_BY,
    RESERVE_KINDS,
    Band,
    Covenants,
    EvidencePolicy,
    Policy,
    Reserve,
    SubLimit,
    Swing,
)
from pledgewatch_cloud.decide.countries import COUNTRIES
from pledgewatch_cloud.decide.item import MAX_WAIT_S, Item
from pledgewatch_cloud.decide.items.lots import MAX_QUANTITY
from pledgewatch_cloud.decide.items.papers import PAPER_KINDS
from pledgewatch_cloud.decide.items.sections import Sections, absent
from pledgewatch_cloud.decide.market import QUOTES_KEPT
from pledgewatch_cloud.decide.money import AMOUNT_MAX_MINOR, BASIS_POINTS

MAX_DAYS = 36_600
MAX_LEVEL_BP = 1_000_000
MAX_HORIZON_DAYS = 366
MAX_Z_MILLI = 10_000
WINDOW_MIN_QUOTES = 3
HOUR_S = 3_600
DAY_S = 24 * HOUR_S

PLAIN = Policy("")
PRESETS: Mapping[str, Policy] = {
    # Goods in a warehouse or on their way to one, lent on until they are sold.
    "inventory_finance": Policy(
        "",
        advance_bp=(5_000,) * len(CLASSES),
        evidence=EvidencePolicy("reading", 6 * HOUR_S, DAY_S, 1_000, "ageing"),
        price_stale_days=7,
        rate_stale_days=7,
        covenants=Covenants(5_500, 6_000, 7_500, 250, 3 * DAY_S),
    ),
    # Goods that are ordered and on their way to a buyer: dark at sea for weeks, and where they are is what counts.
    "order_finance": Policy(
        "",
        advance_bp=(6_000,) * len(CLASSES),
        evidence=EvidencePolicy("fix", 12 * HOUR_S, 3 * DAY_S, 1_000, "ageing"),
        price_stale_days=7,
        rate_stale_days=7,
        covenants=Covenants(6_500, 7_000, 8_500, 250, 3 * DAY_S),
    ),
    # Goods that are invoiced: the claim against the buyer is lent on. 8,000 to 9,000 is the field's range.
    "receivable": Policy(
        "",
        advance_bp=(8_500,) * len(CLASSES),
        evidence=EvidencePolicy("reading", DAY_S, 7 * DAY_S, 500, "ageing"),
        price_stale_days=31,
        rate_stale_days=7,
        covenants=Covenants(9_000, 9_500, 10_000, 250, 3 * DAY_S),
    ),
}
"""What a preset fills in, for each kind of financing."""


def _policy(item: Item) -> Policy:
    identity = item.text("id")
    base = PRESETS[item.one_of("preset", tuple(PRESETS))] if item.has("preset") else PLAIN
    return Policy(
        identity,
        _shares(item.item("advance_bp"), CLASSES, base.advance_bp, 0),
        _evidence(item.item("evidence"), base.evidence),
        item.integer("price_stale_days", 0, MAX_DAYS, base.price_stale_days),
        item.integer("rate_stale_days", 0, MAX_DAYS, base.rate_stale_days),
        bool(item.integer("appraisal", 0, 1, 0)),
        bool(item.integer("receipt", 0, 1, 0)),
        bool(item.integer("count", 0, 1, 0)),
        item.integer("count_stale_s", 0, MAX_WAIT_S, 0),
        item.ids("fences"),
        _countries(item),
        item.one_of("breach", BREACH, PLAIN.breach),
        item.words("papers", PAPER_KINDS),
        item.integer("age_max_days", 0, MAX_DAYS, 0),
        item.integer("expiry_min_days", 0, MAX_DAYS, 0),
        _bands(item, "age_bands"),
        item.integer("on_hand_max_days", 0, MAX_DAYS, 0),
        _bands(item, "on_hand_bands"),
        _swing(item.item("fx")),
        _swing(item.item("price")),
        _shares(item.item("cap_bp"), DIMENSIONS, PLAIN.cap_bp, BASIS_POINTS),
        _reserves(item),
        _sub_limits(item),
        _covenants(item.item("covenants"), base.covenants),
    )


def _shares(item: Item | None, names: tuple[str, ...], otherwise: tuple[int, ...], absent_bp: int) -> tuple[int, ...]:
    if item is None:
        return otherwise
    found = tuple(item.integer(name, 0, BASIS_POINTS, absent_bp) for name in names)
    item.end()
    return found


def _evidence(item: Item | None, base: EvidencePolicy) -> EvidencePolicy:
    if item is None:
        return base
    evidence = EvidencePolicy(
        item.one_of("by", EVIDENCE_BY, base.by),
        item.integer("fresh_s", 0, MAX_WAIT_S, base.fresh_s),
        item.integer("stale_s", 0, MAX_WAIT_S, base.stale_s),
        item.integer("ageing_bp", 0, BASIS_POINTS, base.ageing_bp),
        item.one_of("dark", DARK, base.dark),
    )
    if evidence.fresh_s > evidence.stale_s:
        raise item.error("fresh_s", f"{evidence.fresh_s} is above stale_s {evidence.stale_s}")
    item.end()
    return evidence


def _countries(item: Item) -> tuple[str, ...]:
    codes = item.ids("countries")
    for code in codes:
        if code not in COUNTRIES:
            raise item.error("countries", f"{code!r} is no country of ISO 3166-1")
    return codes


def _bands(item: Item, key: str) -> tuple[Band, ...]:
    bands: list[Band] = []
    for one in item.items(key):
        band = Band(one.integer("from_days", 0, MAX_DAYS), one.integer("bp", 0, BASIS_POINTS))
        if bands and band.from_days <= bands[-1].from_days:
            raise one.error("from_days", f"{band.from_days} is not above the {bands[-1].from_days} of the band before")
        bands.append(band)
        one.end()
    return tuple(bands)


def _swing(item: Item | None) -> Swing:
    """A fixed haircut or one from history. A standard deviation needs two changes, and so three quotes."""
    if item is None:
        return Swing()
    if item.has("bp") == item.has("window"):
        raise item.error("bp", "a haircut is either fixed, by bp, or taken from history, by window")
    if item.has("bp"):
        swing = Swing(item.integer("bp", 0, BASIS_POINTS))
    else:
        swing = Swing(
            0,
            item.integer("window", 1, QUOTES_KEPT),
            item.integer("horizon_days", 1, MAX_HORIZON_DAYS),
            item.integer("z_milli", 1, MAX_Z_MILLI),
        )
        if swing.window < WINDOW_MIN_QUOTES:
            raise item.error("window", f"{swing.window}: at least {WINDOW_MIN_QUOTES} quotes are needed")
    item.end()
    return swing


def _reserves(item: Item) -> tuple[Reserve, ...]:
    reserves: dict[str, Reserve] = {}
    for one in item.items("reserves"):
        reserve = Reserve(
            one.text("id"),
            one.one_of("kind", RESERVE_KINDS),
            one.integer("amount_minor", 0, AMOUNT_MAX_MINOR, 0),
            one.integer("bp", 0, BASIS_POINTS, 0),
        )
        if reserve.id in reserves:
            raise one.error("id", f"{reserve.id!r} comes twice")
        reserves[reserve.id] = reserve
        one.end()
    return tuple(reserves.values())


def _sub_limits(item: Item) -> tuple[SubLimit, ...]:
    """A tree over the classes, or several."""
    limits: dict[str, SubLimit] = {}
    owner: dict[str, str] = {}
    read = item.items("sub_limits")
    for one in read:
        limit = SubLimit(
            one.text("id"),
            one.text("within") if one.has("within") else "",
            one.words("classes", CLASSES),
            one.integer("limit_minor", 0, AMOUNT_MAX_MINOR),
        )
        if limit.id in limits:
            raise one.error("id", f"{limit.id!r} comes twice")
        if not limit.classes:
            raise one.error("classes", f"name one or more of {', '.join(CLASSES)}")
        for name in limit.classes:
            if name in owner:
                raise one.error("classes", f"{name} is in {owner[name]} already; a class is in one sub-limit at most")
            owner[name] = limit.id
        limits[limit.id] = limit
        one.end()
    for one, limit in zip(read, limits.values(), strict=True):
        if limit.within and limit.within not in limits:
            raise one.error("within", f"there is no {limit.within!r} among sub_limits")
    circle = _circle({limit.id: limit.within for limit in limits.values()})
    if circle:
        first, *rest = [f"{one} within {other}" for one, other in pairwise(circle)]
        raise item.error("sub_limits", ", ".join([first.replace(" within ", " is within "), *rest]))
    return tuple(limits.values())


def _circle(within: Mapping[str, str]) -> list[str]:
    """Names of which each is within the next, the last being the first again; none where there is no circle."""
    for start in within:
        path = [start]
        while parent := within[path[-1]]:
            if parent in path:
                return [*path[path.index(parent) :], parent]
            path.append(parent)
    return []


def _covenants(item: Item | None, base: Covenants) -> Covenants:
    if item is None:
        return base
    names = ("warning_bp", "call_bp", "default_bp")
    levels = {name: item.integer(name, 0, MAX_LEVEL_BP, getattr(base, name)) for name in names}
    clear_bp = item.integer("clear_bp", 0, MAX_LEVEL_BP, base.clear_bp)
    given = [name for name in names if levels[name]]
    for lower, higher in pairwise(given):
        if levels[higher] <= levels[lower]:
            raise item.error(higher, f"{levels[higher]} is not above {lower} {levels[lower]}")
    if given and clear_bp >= levels[given[0]]:
        raise item.error("clear_bp", f"{clear_bp} is not below {given[0]} {levels[given[0]]}")
    minimum: dict[str, int] = {}
    for one in item.items("minimum"):
        sku = one.text("sku")
        if sku in minimum:
            raise one.error("sku", f"{sku!r} comes twice")
        minimum[sku] = one.integer("quantity", 1, MAX_QUANTITY)
        one.end()
    if clear_bp and not given and not minimum:
        text = f"there is no level that it could be below; set one of {', '.join(names)}, or a minimum"
        raise item.error("clear_bp", text)
    cure_s = item.integer("cure_s", 0, MAX_WAIT_S, base.cure_s)
    item.end()
    return Covenants(**levels, clear_bp=clear_bp, cure_s=cure_s, minimum=tuple(minimum.items()))


READERS: dict[str, Callable[[Item], Any]] = {"policies": _policy}
"""How an item of each section is read."""


def as_document(_section: str, policy: Policy) -> dict[str, Any]:
    """A policy as an amendment says it."""
    written = {key: value for key, value in policy._asdict().items() if value != getattr(PLAIN, key)}
    for key, value in written.items():
        match value:
            case bool():
                written[key] = int(value)
            case Swing():
                written[key] = {"bp": value.bp} if not value.window else _said(value)
            case Covenants():
                written[key] = _said(value)
                if value.minimum:
                    written[key]["minimum"] = [{"sku": sku, "quantity": least} for sku, least in value.minimum]
            case EvidencePolicy():
                written[key] = value._asdict()
            case tuple():
                written[key] = [_said(one) if hasattr(one, "_asdict") else one for one in value]
    if "stock_count" in written:
        written["count"] = written.pop("stock_count")
    for key, names, absent_bp in (("advance_bp", CLASSES, 0), ("cap_bp", DIMENSIONS, BASIS_POINTS)):
        if key in written:
            written[key] = {name: bp for name, bp in zip(names, getattr(policy, key), strict=True) if bp != absent_bp}
    return written


def _said(part: Any) -> dict[str, Any]:
    """The fields of a part, without what says nothing; what is 0 in a band or a limit says something."""
    always = ("from_days", "bp", "limit_minor") if isinstance(part, Band | SubLimit) else ()
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in part._asdict().items()
        if value not in ("", (), 0) or key in always
    }


def faults(sections: Sections) -> Iterator[str]:
    """What only the whole book can show: fences that nobody knows."""
    for policy in sections["policies"].values():
        for fence in policy.fences:
            yield from absent(sections, f"policies {policy.id}.fences", "fences", fence)
