"""From the book and what is known of an asset to its lots as they stand at a moment."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pledgewatch_cloud.decide import causes as causes_module
from pledgewatch_cloud.decide.asset import EMPTY, AssetState, Key
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.book_items import Lot
from pledgewatch_cloud.decide.causes import AssetFacts, Spell
from pledgewatch_cloud.decide.collateral.loan import outstanding_minor
from pledgewatch_cloud.decide.collateral.loss import Curve, LifeCurve, loss_bp
from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.collateral.terms import Line
from pledgewatch_cloud.decide.condition import is_awaited
from pledgewatch_cloud.decide.market import Cross, Market, PriceQuote
from pledgewatch_cloud.decide.money import BASIS_POINTS
from pledgewatch_cloud.decide.voyage import NEVER, Leg, leg_at

HOUR_MS = 3_600_000
_AGREED = "="
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


def lots_of(book: Book, asset: str, facts: AssetFacts, known: AssetState, now_ms: int) -> list[LotStanding]:
    """The lots in an asset as they stand."""
    lots = book.lots_of_asset(asset)
    if not lots:
        return []
    every = list(causes_module.spells(facts))
    spells = [one for one in every if one.cause.at_ms <= now_ms]
    legs = book.legs_of(asset)
    turns_ms = _turns_ms(legs, every, now_ms)
    return [
        _standing(book, lot, known, spells, facts.forgotten.get(lot.id, NEVER), legs, turns_ms, now_ms) for lot in lots
    ]


def fences_of(known: AssetState) -> tuple[str, ...]:
    """The fences that an asset is in, by its newest fix. Whoever began inside never crossed, and is inside."""
    return known.presence.inside if known.presence else ()


def all_lots(
    book: Book, facts: Mapping[str, AssetFacts], assets: Mapping[str, AssetState], now_ms: int
) -> list[LotStanding]:
    """Every lot of the book as it stands."""
    found: list[LotStanding] = []
    for asset in {lot.asset for lot in book.lots.values()}:
        found += lots_of(book, asset, facts.get(asset, AssetFacts()), assets.get(asset, EMPTY), now_ms)
    return found


def _standing(
    book: Book,
    lot: Lot,
    known: AssetState,
    spells: Sequence[Spell],
    forgotten_ms: int,
    legs: Sequence[Leg],
    turns_ms: int,
    now_ms: int,
) -> LotStanding:
    product = book.products.get(lot.sku)
    appraisal = book.appraisals.get(lot.sku)
    policy = book.policy_of(lot.facility)
    fences = fences_of(known)
    kinds = {book.fences[one].kind for one in fences if one in book.fences}
    leg = leg_at(legs, now_ms)
    own = [one for one in spells if one.cause.lot == lot.id]
    curves = product.loss if product else ()
    # On the hour, so that it is the same whenever within the hour it is looked at.
    hour_ms = now_ms // HOUR_MS * HOUR_MS
    loss = 0
    if curves:
        told = curves, own, known.kinetics.get(lot.id), lot.kinetic, hour_ms
        loss = loss_bp(*told, limits=lot.limits, begun_ms=known.begun_ms, forgotten_ms=forgotten_ms)
    grows = loss < BASIS_POINTS and (forgotten_ms != NEVER or _grows(curves, own, hour_ms))
    evidence = newest_evidence(lot, policy.evidence.by, known)
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
        counted_ms=lot.counted_ms,
        receipt_state=lot.receipt.state if lot.receipt else "",
        receipt_until_ms=lot.receipt.until_ms if lot.receipt else NEVER,
        in_class=_class_of(kinds, book, lot.asset),
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


def newest_evidence(lot: Lot, by: str, known: AssetState) -> Key | None:
    """The newest reading that is good enough to stand for a lot, or None: a good fix; unless the policy asks for one, a
    good value of what the lot's limits and its mean kinetic temperature are about, too.

    Where that fix was not the newest, only its moment is known.
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
    return max(found, default=None)


def _class_of(kinds: set[str], book: Book, asset: str) -> str:
    for kind, in_class in _CLASS_OF_KIND.items():
        if kind in kinds:
            return in_class
    known = book.assets.get(asset)
    return "warehouse" if known and known.kind == "warehouse" else "in_transit"


def _turns_ms(legs: Sequence[Leg], spells: Sequence[Spell], now_ms: int) -> int:
    """When a leg next begins or ends, or a spell that a clock somewhat ahead has dated."""
    moments = [moment for leg in legs for moment in (leg.from_ms, leg.until_ms)]
    moments += [moment for one in spells for moment in (one.cause.at_ms, one.ended_ms or NEVER)]
    return min((moment for moment in moments if moment > now_ms), default=NEVER)


def _grows(curves: Sequence[Curve], spells: Sequence[Spell], hour_ms: int) -> bool:
    """Whether a loss may have grown by the next full hour: shelf life is used up also where nothing is said."""
    return any(isinstance(one, LifeCurve) for one in curves) or any(
        one.cause.kind in _GROWING and (one.ended_ms is None or one.ended_ms > hour_ms) for one in spells
    )
