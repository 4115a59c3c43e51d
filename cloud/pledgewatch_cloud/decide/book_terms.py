"""The terms on which is lent, in the book: policies, products with their loss curves, appraisals.

A policy may name a preset: the usual terms of one of the three ways in which goods are financed. It fills what the
policy does not say itself, when the amendment is taken; the book in force holds the terms and no presets.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.book_items import MAX_AMOUNT_MINOR, MAX_QUANTITY, MAX_WAIT_S, PAPER_KINDS
from pledgewatch_cloud.decide.collateral.loss import UNKNOWN, USED_MAX_BP, Curve, LifeCurve, OutsideCurve, Point
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
from pledgewatch_cloud.decide.item import Item
from pledgewatch_cloud.decide.market import QUOTES_KEPT
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.money import BASIS_POINTS

MAX_DAYS = 36_600
MAX_LEVEL_BP = 1_000_000
MAX_HORIZON_DAYS = 366
MAX_Z_MILLI = 10_000
WINDOW_MIN_QUOTES = 3
MAX_MINUTES = 10 * 366 * 24 * 60
MAX_LIFE_H = 100 * 366 * 24
MAX_Q10_MILLI = 20_000
CURVE_KINDS = ("outside", "life")
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


class Product(NamedTuple):
    """What holds for every lot of a SKU: the market series that values it (empty: its agreed price), and what its
    condition costs."""

    sku: str
    series: str
    loss: tuple[Curve, ...]


class Appraisal(NamedTuple):
    """Net orderly liquidation value of a SKU as a share of its value, in force until a moment."""

    sku: str
    nolv_bp: int
    until_ms: int


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
            one.integer("amount_minor", 0, MAX_AMOUNT_MINOR, 0),
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
            one.integer("limit_minor", 0, MAX_AMOUNT_MINOR),
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


def _product(item: Item) -> Product:
    return Product(
        item.text("sku"),
        item.text("series") if item.has("series") else "",
        tuple(_curve(one) for one in item.items("loss")),
    )


def _curve(item: Item) -> Curve:
    curve: Curve
    if item.one_of("kind", CURVE_KINDS) == "outside":
        limit = item.text("limit") if item.has("limit") else ""
        curve = OutsideCurve(limit, item.one_of("unknown", UNKNOWN, "inside"), _points(item, "minutes", MAX_MINUTES))
    else:
        if item.has("q10_milli") == item.has("activation_j_mol"):
            raise item.error("q10_milli", "how much faster it ages is said by q10_milli or by activation_j_mol")
        curve = LifeCurve(
            item.integer("life_h", 1, MAX_LIFE_H),
            item.integer("reference_mc", -100_000, 200_000),
            item.integer("q10_milli", 1_000, MAX_Q10_MILLI) if item.has("q10_milli") else 0,
            item.integer("activation_j_mol", 1_000, 1_000_000) if item.has("activation_j_mol") else 0,
            _points(item, "consumed_bp", USED_MAX_BP),
        )
    item.end()
    return curve


def _points(item: Item, key: str, most: int) -> tuple[Point, ...]:
    points: list[Point] = []
    for one in item.items("points"):
        point = Point(one.integer(key, 1, most), one.integer("bp", 0, BASIS_POINTS))
        if points and point.at <= points[-1].at:
            raise one.error(key, f"{point.at} is not above the {points[-1].at} of the point before")
        if points and point.bp < points[-1].bp:
            raise one.error("bp", f"{point.bp} is below the {points[-1].bp} of the point before: nothing heals")
        points.append(point)
        one.end()
    if not points:
        raise item.error("points", "at least one is needed")
    return tuple(points)


def _appraisal(item: Item) -> Appraisal:
    return Appraisal(item.text("sku"), item.integer("nolv_bp", 0, BASIS_POINTS), item.moment("until"))


READERS: dict[str, Callable[[Item], Any]] = {"policies": _policy, "products": _product, "appraisals": _appraisal}
"""How an item of each section is read."""


def as_document(section: str, item: Any) -> dict[str, Any]:
    """An item as an amendment says it: what its reader takes, without what says nothing."""
    if section == "policies":
        return _policy_document(item)
    if section == "products":
        written = {"sku": item.sku, "series": item.series, "loss": [_curve_document(curve) for curve in item.loss]}
        return {key: value for key, value in written.items() if value}
    return {"sku": item.sku, "nolv_bp": item.nolv_bp, "until": iso(item.until_ms)}


def _policy_document(policy: Policy) -> dict[str, Any]:
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


def _curve_document(curve: Curve) -> dict[str, Any]:
    if isinstance(curve, OutsideCurve):
        points = [{"minutes": one.at, "bp": one.bp} for one in curve.points]
        written = {"kind": "outside", "limit": curve.limit, "unknown": curve.unknown, "points": points}
        return {key: value for key, value in written.items() if value}
    fields = {key: value for key, value in curve._asdict().items() if value or key in ("life_h", "reference_mc")}
    return {"kind": "life"} | fields | {"points": [{"consumed_bp": one.at, "bp": one.bp} for one in curve.points]}
