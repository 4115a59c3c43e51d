"""From the book and what is known of assets to lots as they stand at a moment.

Where a lot is and what stands for it is for the asset that it is in just then. What it went through is for every asset
that it was in, each for the time of its stay.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pledgewatch_cloud.decide import causes as causes_module
from pledgewatch_cloud.decide.asset import EMPTY, AssetState, Key
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.causes import AssetFacts, Spell
from pledgewatch_cloud.decide.collateral.loan import outstanding_minor
from pledgewatch_cloud.decide.collateral.loss import Curve, LifeCurve, Part, loss_bp
from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.collateral.terms import Line
from pledgewatch_cloud.decide.condition import is_awaited
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.items.papers import LotReceipt
from pledgewatch_cloud.decide.market import Cross, Market, PriceQuote
from pledgewatch_cloud.decide.money import BASIS_POINTS
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.voyage import Leg, leg_at
from pledgewatch_cloud.decide.warehouse.held import HeldByReceipt

HOUR_MS = 3_600_000
_AGREED = "="
_NO_RECEIPT = LotReceipt("", "", NEVER)
_CLASS_OF_KIND = {
    "customs_zone": "bonded",
    "warehouse": "warehouse",
    "port": "at_port",
    "terminal": "at_port",
}
"""The class of goods inside a fence of some kind, the first that is found counting; goods in none are in transit."""
_BREACHES = frozenset({"condition_breached", "mkt_exceeded"})
_GROWING = frozenset({"condition_breached", "condition_unknown", "mkt_exceeded", "mkt_uncertain"})


class BookPrices(NamedTuple):
    """The market with the prices that are agreed in the book: those hold on every day."""

    market: Market
    book: Book

    def price(self, series: str, day: int) -> PriceQuote | None:
        """See Market.price."""
        if not series.startswith(_AGREED):
            return self.market.price(series, day)
        agreed = self.book.prices.get(series[len(_AGREED) :])
        return PriceQuote(day, agreed.unit_price_minor, 1, agreed.currency) if agreed else None

    def cross(self, source: str, target: str, day: int) -> Cross:
        """See Market.cross."""
        return self.market.cross(source, target, day)

    def price_swing_bp(self, series: str, day: int, window: int, horizon_days: int, z_milli: int) -> int:
        """See Market.price_swing_bp; what is agreed does not swing."""
        if series.startswith(_AGREED):
            return 0
        return self.market.price_swing_bp(series, day, window, horizon_days, z_milli)

    def rate_swing_bp(self, source: str, target: str, day: int, window: int, horizon_days: int, z_milli: int) -> int:
        """See Market.rate_swing_bp."""
        return self.market.rate_swing_bp(source, target, day, window, horizon_days, z_milli)


def line_of(book: Book, facility: str, now_ms: int) -> Line:
    """A facility as the base needs it."""
    one = book.facilities[facility]
    drawn_minor = outstanding_minor(one, now_ms)
    return Line(one.id, one.currency, book.policy_of(facility), one.limit_minor, drawn_minor)


class _Seen(NamedTuple):
    """What is known of an asset at a moment: its state, the legs it sails, the spells that had begun of each lot, from
    when on a lot's doubts were forgotten, and when time alone may next change any of that."""

    known: AssetState
    legs: tuple[Leg, ...]
    spells: Mapping[str, Sequence[Spell]]
    forgotten: Mapping[str, int]
    turns_ms: int


def lots_of(
    book: Book,
    lots: Sequence[Lot],
    facts: Mapping[str, AssetFacts],
    assets: Mapping[str, AssetState],
    held: Mapping[str, HeldByReceipt],
    now_ms: int,
) -> list[LotStanding]:
    """Some lots as they stand. `held` says how those with an electronic receipt stand by it."""
    wanted = {asset for lot in lots for asset in lot.assets}
    seen = {
        asset: _seen(book, asset, facts.get(asset, AssetFacts()), assets.get(asset, EMPTY), now_ms) for asset in wanted
    }
    return [_standing(book, lot, seen, held_by_receipt(lot, held), now_ms) for lot in lots]


def held_by_receipt(lot: Lot, held: Mapping[str, HeldByReceipt]) -> HeldByReceipt | None:
    """How a lot stands by its electronic receipt; None where it has none. One of which nothing is known stands for
    nothing."""
    if lot.receipt is None or not lot.receipt.is_electronic:
        return None
    return held.get(lot.id, HeldByReceipt("unknown", 0, lot.quantity))


def _seen(book: Book, asset: str, facts: AssetFacts, known: AssetState, now_ms: int) -> _Seen:
    every, legs = list(causes_module.spells(facts)), book.legs_of(asset)
    spells: dict[str, list[Spell]] = {}
    for one in every:
        if one.cause.lot and one.cause.at_ms <= now_ms:
            spells.setdefault(one.cause.lot, []).append(one)
    return _Seen(known, legs, spells, facts.forgotten, _turns_ms(legs, every, now_ms))


def _parts_of(lot: Lot, seen: Mapping[str, _Seen]) -> list[Part]:
    """What is known of a lot in each of the assets that it was in."""
    found = []
    for asset in lot.assets:
        known, _, spells, forgotten, _ = seen[asset]
        there = lot.there(asset)
        own = [causes_module.in_stay(one, there) for one in spells.get(lot.id, ())]
        story, begun_ms = known.kinetics.get(lot.id), known.begun_ms
        found.append(Part(own, story, lot.kinetic_in(asset), begun_ms, forgotten.get(lot.id, NEVER), there))
    return found


def fences_of(known: AssetState) -> tuple[str, ...]:
    """The fences that an asset is in, by its newest fix. Whoever began inside never crossed, and is inside."""
    return known.presence.inside if known.presence else ()


def all_lots(
    book: Book,
    facts: Mapping[str, AssetFacts],
    assets: Mapping[str, AssetState],
    held: Mapping[str, HeldByReceipt],
    now_ms: int,
) -> list[LotStanding]:
    """Every lot of the book as it stands."""
    return lots_of(book, [*book.lots.values()], facts, assets, held, now_ms)


def _standing(book: Book, lot: Lot, seen: Mapping[str, _Seen], held: HeldByReceipt | None, now_ms: int) -> LotStanding:
    stay, parts = lot.stay_at(now_ms), _parts_of(lot, seen)
    known = seen[stay.asset].known
    product = book.products.get(lot.sku)
    appraisal = book.appraisals.get(lot.sku)
    policy = book.policy_of(lot.facility)
    fences = fences_of(known)
    kinds = {book.fences[one].kind for one in fences if one in book.fences}
    leg = leg_at(seen[stay.asset].legs, now_ms)
    own = [one for part in parts for one in part.spells]
    curves = product.loss if product else ()
    # On the hour, so that it is the same whenever within the hour it is looked at.
    hour_ms = now_ms // HOUR_MS * HOUR_MS
    loss = loss_bp(curves, parts, hour_ms, lot.limits) if curves else 0
    is_forgotten = any(part.forgotten_ms != NEVER for part in parts)
    grows = loss < BASIS_POINTS and (is_forgotten or _grows(curves, own, hour_ms))
    evidence = newest_evidence(lot, policy.evidence.by, known, now_ms)
    turns_ms = min([moment for one in lot.whereabouts for moment in one[1:] if moment > now_ms])
    turns_ms = min(turns_ms, *(seen[asset].turns_ms for asset in lot.assets))
    receipt = held or lot.receipt or _NO_RECEIPT
    return LotStanding(
        id=lot.id,
        facility=lot.facility,
        sku=lot.sku,
        series=product.series if product and product.series else _AGREED + lot.sku,
        quantity=lot.quantity,
        haircut_bp=lot.haircut_bp,
        cost_minor=lot.cost_minor,
        cost_per=lot.cost_per,
        cost_currency=lot.cost_currency or book.facilities[lot.facility].currency,
        counted=lot.counted,
        counted_ms=max(lot.counted_ms, held.heard_ms) if held else lot.counted_ms,
        receipt_state=receipt.state,
        receipt_until_ms=receipt.until_ms,
        missing=held.missing if held else 0,
        is_matched=held is not None,
        in_class=_class_of(kinds, book, stay.asset),
        fences=fences,
        is_forbidden="forbidden" in kinds,
        evidence_ms=evidence[0] if evidence else -NEVER,
        is_dark=leg is not None and leg.signal == "dark",
        is_breached=any(one.cause.kind in _BREACHES for one in own),
        loss_bp=loss,
        papers=tuple((one.kind, one.until_ms) for one in lot.papers),
        received_ms=lot.received_ms,
        expires_ms=lot.expires_ms,
        sold_milli_per_day=lot.sold_milli_per_day,
        nolv_bp=appraisal.nolv_bp if appraisal else -1,
        nolv_until_ms=appraisal.until_ms if appraisal else NEVER,
        buyer=lot.buyer,
        country=lot.country,
        vessel=lot.vessel,
        warehouse=lot.warehouse,
        turns_ms=min(turns_ms, hour_ms + HOUR_MS if curves and grows else NEVER),
    )


def newest_evidence(lot: Lot, by: str, known: AssetState, at_ms: int) -> Key | None:
    """The newest reading that is good enough to stand for a lot, or None: a good fix; unless the policy asks for one, a
    good value of what the lot's limits and its mean kinetic temperature are about, too.

    `known` is the asset that the lot is in at the moment asked for; what was measured there before it came does not
    stand for it. Where that fix was not the newest, only its moment is known.
    """
    found = []
    fix = known.presence
    if fix is not None and fix.good_ms != -NEVER:
        found.append(fix.key if fix.key[0] == fix.good_ms else (fix.good_ms, "", 0, 0))
    if by == "reading":
        conditions = [known.conditions.get((lot.id, limit.id)) for limit in lot.limits]
        found += [one.key for one in conditions if one is not None and not is_awaited(one)]
        kinetic = known.kinetics.get(lot.id)
        found += [kinetic.key] if kinetic else []
    since_ms = lot.stay_at(at_ms).since_ms
    return max((key for key in found if key[0] >= since_ms), default=None)


def _class_of(kinds: set[str], book: Book, asset: str) -> str:
    for kind, in_class in _CLASS_OF_KIND.items():
        if kind in kinds:
            return in_class
    known = book.assets.get(asset)
    return "warehouse" if known and known.kind == "warehouse" else "in_transit"


def _turns_ms(legs: Sequence[Leg], spells: Sequence[Spell], now_ms: int) -> int:
    """When a leg next begins or ends, or a spell begins that a clock somewhat ahead has dated. The end of one counts by
    what the lot's condition costs alone, which is looked at on the hour."""
    moments = [moment for leg in legs for moment in (leg.from_ms, leg.until_ms)]
    moments += [one.cause.at_ms for one in spells]
    return min((moment for moment in moments if moment > now_ms), default=NEVER)


def _grows(curves: Sequence[Curve], spells: Sequence[Spell], hour_ms: int) -> bool:
    """Whether a loss may have grown by the next full hour: shelf life is used up also where nothing is said."""
    return any(isinstance(one, LifeCurve) for one in curves) or any(
        one.cause.kind in _GROWING and (one.ended_ms is None or one.ended_ms > hour_ms) for one in spells
    )
