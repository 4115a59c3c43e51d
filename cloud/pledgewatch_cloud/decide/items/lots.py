"""Lots: goods in an asset, pledged to a facility, with what they may go through, their papers and where they have been.

A lot may go on from asset to asset, but where it has been is kept in its stays: what was found of it there is told by
them. Quantities are whole units, haircuts basis points, amounts minor units.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.condition import Limit
from pledgewatch_cloud.decide.item import Item
from pledgewatch_cloud.decide.items.assets import asset_absent, assets_known
from pledgewatch_cloud.decide.items.limits import kinetic_document, limit_document, read_kinetic, read_limit
from pledgewatch_cloud.decide.items.papers import LotReceipt, Paper, paper_document, read_papers, read_receipt
from pledgewatch_cloud.decide.items.sections import Sections, absent, grouped, said
from pledgewatch_cloud.decide.kinetic import KineticRule
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.money import AMOUNT_MAX_MINOR
from pledgewatch_cloud.decide.stretches import ALWAYS, NEVER, Stretches, joined

MAX_QUANTITY = 10**9
MAX_SOLD_MILLI = 10**12
MAX_STAYS = 64


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
    receipt: LotReceipt | None = None
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
        if not self.stays:
            return (self.asset,)
        return tuple(dict.fromkeys((*(one.asset for one in self.stays), self.asset)))

    def there(self, asset: str) -> Stretches:
        """When it is in an asset."""
        if not self.stays and self.received_ms == -NEVER:
            return ALWAYS if asset == self.asset else ()
        return joined((one.since_ms, one.until_ms) for one in self.whereabouts if one.asset == asset)

    def stay_at(self, at_ms: int) -> Stay:
        """The stay that a moment lies in; the first one before that has begun."""
        if not self.stays:
            return Stay(self.asset, self.received_ms, NEVER)
        return next(one for one in self.whereabouts if at_ms < one.until_ms)

    def kinetic_in(self, asset: str) -> KineticRule | None:
        """What its mean kinetic temperature may be, judged while it is in an asset."""
        return self.kinetic._replace(judged=self.there(asset)) if self.kinetic else None


def _lot(item: Item) -> Lot:
    lot = Lot(
        item.text("id"),
        item.text("asset"),
        item.text("facility"),
        item.text("sku"),
        item.integer("quantity", 0, MAX_QUANTITY),
        item.integer("haircut_bp", 0, 10_000, 0),
        tuple(read_limit(one) for one in item.items("limits")),
        read_kinetic(item.item("mkt")),
    )
    names = [limit.id for limit in lot.limits]
    if len(set(names)) != len(names):
        raise item.error("limits", "two limits share an id; a second limit of one channel needs an id of its own")
    lot = lot._replace(
        receipt=read_receipt(item.item("receipt")),
        papers=read_papers(item),
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
    cost_minor = _known(item, "cost_minor", AMOUNT_MAX_MINOR)
    currency = item.currency("cost_currency") if item.has("cost_currency") else ""
    return lot._replace(
        cost_minor=cost_minor, cost_per=item.integer("cost_per", 1, MAX_QUANTITY, 1), cost_currency=currency
    )


def _counted(item: Item, lot: Lot) -> Lot:
    for key, other in (("counted", "counted_at"), ("counted_at", "counted")):
        if item.has(other) and not item.has(key):
            raise item.error(key, "is missing: a count is a number and its moment")
    return lot._replace(counted=_known(item, "counted", MAX_QUANTITY), counted_ms=item.moment("counted_at", -NEVER))


READERS: dict[str, Callable[[Item], Any]] = {"lots": _lot}
"""How an item of each section is read."""


def as_document(_section: str, lot: Lot) -> dict[str, Any]:
    """A lot as an amendment says it."""
    written = said(lot) | {"limits": [limit_document(limit) for limit in lot.limits]}
    if lot.kinetic:
        written["mkt"] = kinetic_document(lot.kinetic)
    if lot.stays:
        written["stays"] = [{"asset": one.asset, "until": iso(one.until_ms)} for one in lot.stays]
    for key, name in (("counted_ms", "counted_at"), ("received_ms", "received_at"), ("expires_ms", "expires_at")):
        if key in written:
            written[name] = iso(written[key])
    if lot.receipt:
        written["receipt"] = paper_document(lot.receipt)
    if lot.papers:
        written["papers"] = [paper_document(one) for one in lot.papers]
    held_otherwise = ("kinetic", "counted_ms", "received_ms", "expires_ms")
    return {key: value for key, value in written.items() if key not in held_otherwise}


def faults(sections: Sections) -> Iterator[str]:
    """What only the whole book can show: assets, facilities, worth and legs that nobody knows."""
    known, voyages = assets_known(sections), grouped(sections["voyages"], "asset")
    for lot in sections["lots"].values():
        yield from asset_absent(known, f"lots {lot.id}.asset", lot.asset)
        for number, one in enumerate(lot.stays):
            yield from asset_absent(known, f"lots {lot.id}.stays[{number}].asset", one.asset)
        yield from absent(sections, f"lots {lot.id}.facility", "facilities", lot.facility)
        product = sections["products"].get(lot.sku)
        if not (product and product.series) and lot.sku not in sections["prices"]:
            text = f"there is no {lot.sku!r} among prices, nor a product of that sku with a series"
            yield f"lots {lot.id}.sku: {text}"
        legs = {leg.id for asset in lot.assets for voyage in voyages.get(asset, ()) for leg in voyage.legs}
        for limit in lot.limits:
            place, assets = f"lots {lot.id}.limits {limit.id}.legs", " or ".join(lot.assets)
            yield from (f"{place}: no voyage of {assets} has a leg {leg!r}" for leg in limit.legs if leg not in legs)


def relocated(before: Mapping[str, Lot], after: Mapping[str, Lot]) -> Iterator[str]:
    """A lot may go on to another asset, but where it has been stays: what was found of it there is told by that."""
    for one, lot in before.items():
        amended = after.get(one, lot)
        if amended is lot:
            continue
        was, now = ([*(stay.asset for stay in some.stays), some.asset] for some in (lot, amended))
        if now[: len(was)] == was:
            continue
        if amended.stays == lot.stays:
            cure = f'{{"asset": "{lot.asset}", "until": …}}'
            yield f"lots {one}.asset: it is in {lot.asset}; add {cure} to its stays, with when it left"
        else:
            told = ", then in ".join(was)
            yield f"lots {one}.stays: it was in {told}; leave those as they are, but for an until to correct"
