"""Products and appraisals: what holds for every lot of a SKU. Sections of the book.

A product names the market series that values its lots and what their condition costs; an appraisal says what share of
their value an orderly sale would bring.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.collateral.loss import (
    UNKNOWN,
    USED_MAX_BP,
    Curve,
    LifeCurve,
    OutsideCurve,
    Point,
    least_activation_j_mol,
)
from pledgewatch_cloud.decide.item import Item
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.items.sections import Sections
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.money import BASIS_POINTS

MAX_MINUTES = 10 * 366 * 24 * 60
MAX_LIFE_H = 100 * 366 * 24
MAX_Q10_MILLI = 20_000
CURVE_KINDS = ("outside", "life")


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


READERS: dict[str, Callable[[Item], Any]] = {"products": _product, "appraisals": _appraisal}
"""How an item of each section is read."""


def as_document(section: str, item: Any) -> dict[str, Any]:
    """An item as an amendment says it."""
    if section == "products":
        written = {"sku": item.sku, "series": item.series, "loss": [_curve_document(curve) for curve in item.loss]}
        return {key: value for key, value in written.items() if value}
    return {"sku": item.sku, "nolv_bp": item.nolv_bp, "until": iso(item.until_ms)}


def _curve_document(curve: Curve) -> dict[str, Any]:
    if isinstance(curve, OutsideCurve):
        points = [{"minutes": one.at, "bp": one.bp} for one in curve.points]
        written = {"kind": "outside", "limit": curve.limit, "unknown": curve.unknown, "points": points}
        return {key: value for key, value in written.items() if value}
    fields = {key: value for key, value in curve._asdict().items() if value or key in ("life_h", "reference_mc")}
    return {"kind": "life"} | fields | {"points": [{"consumed_bp": one.at, "bp": one.bp} for one in curve.points]}


def faults(sections: Sections) -> Iterator[str]:
    """What only the whole book can show: goods with two prices, and curves that have nothing to go by."""
    for product in sections["products"].values():
        if product.series and product.sku in sections["prices"]:
            text = f"{product.sku} has an agreed price among prices as well; it is valued by the one or by the other"
            yield f"products {product.sku}.series: {text}"
    for lot in sections["lots"].values():
        if lot.sku in sections["products"]:
            yield from _lost_by_nothing(lot, sections["products"][lot.sku])


def _lost_by_nothing(lot: Lot, product: Product) -> Iterator[str]:
    """Loss curves of a lot's product that have nothing to go by, or what cannot carry them."""
    known = {"": bool(lot.limits), **{limit.id: True for limit in lot.limits}}
    for curve in product.loss:
        if isinstance(curve, OutsideCurve) and not known.get(curve.limit):
            missing = f"no limit {curve.limit!r}" if curve.limit else "no limit"
            yield f"lots {lot.id}.limits: there is {missing}, and the loss of {lot.sku} goes by it"
        if isinstance(curve, LifeCurve) and not lot.kinetic:
            yield f"lots {lot.id}.mkt: is missing; the loss of {lot.sku} goes by it"
        if isinstance(curve, LifeCurve) and lot.kinetic:
            least, asked = lot.kinetic.activation_j_mol, least_activation_j_mol(curve, lot.kinetic)
            if least < asked:
                text = f"{least} is too little for the loss of {lot.sku}, which asks for {asked} or more"
                yield f"lots {lot.id}.mkt.activation_j_mol: {text}"
