"""Two clocks: what was true of goods at one moment, by what was known at another.

What is known is the journal up to a moment. What was true is told anew from it: each asset's readings up to the other
moment, folded from the beginning, with the book and the market as they are known. The two differ by late readings,
corrections and amendments, which `spine/base_at.py` lists.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pledgewatch_cloud.decide import asset_half
from pledgewatch_cloud.decide import causes as causes_module
from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.collateral import desk as desk_module
from pledgewatch_cloud.decide.collateral import goods as goods_module
from pledgewatch_cloud.decide.collateral import sheet as sheet_module
from pledgewatch_cloud.decide.collateral import stand
from pledgewatch_cloud.decide.collateral.desk import Known
from pledgewatch_cloud.decide.collateral.sheet import Sheet
from pledgewatch_cloud.decide.collateral.stand import BookPrices
from pledgewatch_cloud.decide.events import SaidEvent
from pledgewatch_cloud.decide.items.facilities import Facility
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse.held import HeldByReceipt


def sheet_now(state: State, now_ms: int) -> Sheet:
    """The goods by what a state knows, at its last entry or at a moment after it up to which nothing more was heard."""
    known = Known(state.book, state.market, state.facts, state.assets, state.held)
    desk = state.desk or desk_module.opened(known, state.losses, state.recorded_at_ms)
    return desk_module.follow(desk, known, known, (), (), now_ms)[0].sheet


def book_of(then: Book, now: Book, as_of_ms: int) -> Book:
    """The book as it was true at a moment: `then` was known at it, `now` is.

    What has a date counts by it: loans' movements, counts, goods that were received, and what they were in when. What
    has none was true when it was entered: lots that have left since were there, and lots that have come since, without
    saying when, were not; terms, prices and appraisals are those of then, and what came later counts from its entry.
    How assets are told (fences, limits, devices, voyages) is as it is known now, as everywhere.
    """
    lots = {one: _lot_of(lot, now.lots.get(one), as_of_ms) for one, lot in then.lots.items()}
    lots |= {
        one: lot
        for one, lot in now.lots.items()
        if one not in lots and lot.received_ms != -NEVER and lot.received_ms <= as_of_ms
    }
    facilities = dict(now.facilities)
    for one, facility in then.facilities.items():
        facilities[one] = _facility_of(facility, now.facilities.get(one))
    return replace(
        now,
        lots=lots,
        facilities=facilities,
        policies={**now.policies, **then.policies},
        products=then.products,
        appraisals=then.appraisals,
        prices=then.prices,
        assets={**then.assets, **now.assets},
        installations={**then.installations, **now.installations},
    )


def held_of(then: State, now: State) -> Mapping[str, HeldByReceipt]:
    """How lots stood by their electronic receipts at a moment: `then` was known at it, `now` is. Acts on receipts and
    what is found missing count from their entry, so it is as it was known then; goods that nobody had said were there
    are as they are known now."""
    return {**now.held, **then.held}


def _lot_of(then: Lot, now: Lot | None, as_of_ms: int) -> Lot:
    if now is None:
        return then
    told = {name: getattr(now, name) for name in ("asset", "stays", "received_ms", "limits", "kinetic")}
    lot = then._replace(**told)
    if then.counted_ms <= now.counted_ms <= as_of_ms:
        lot = lot._replace(counted=now.counted, counted_ms=now.counted_ms)
    return lot


def _facility_of(then: Facility, now: Facility | None) -> Facility:
    """A facility on the terms of then, with the movements that are known now: one that was taken back never was. Where
    its account was begun anew since, those of then stand behind the amount that it begins with, so they count too."""
    if now is None:
        return then
    movements = {one.id: one for one in now.movements}
    if _account_of(now) != _account_of(then):
        movements = {one.id: one for one in then.movements} | movements
    return then._replace(movements=tuple(sorted(movements.values(), key=lambda one: (one.at_ms, one.kind, one.id))))


def _account_of(facility: Facility) -> tuple[int, int]:
    """What a facility's account begins with, and when."""
    return facility.outstanding_minor, facility.interest.since_ms if facility.interest else -NEVER


def sheet_of(
    state: State,
    book: Book,
    held: Mapping[str, HeldByReceipt],
    facility: str,
    readings: Mapping[str, Iterable[AssetReading]],
    as_of_ms: int,
    known_at_ms: int,
) -> tuple[Sheet, dict[str, AssetFacts], dict[str, AssetState]]:
    """A facility's goods as they were at a moment, by what a state knows, with the facts and the assets that they rest
    on. `book` and `held` are those that were true then (see book_of and held_of), `readings` are all of each asset's.
    """
    assets, facts = dict[str, AssetState](), dict[str, AssetFacts]()
    own = book.lots_of_facility(facility)
    for asset in sorted({asset for lot in own for asset in lot.assets}):
        told = _told(book, asset, readings[asset], state.horizon_ms, as_of_ms, known_at_ms)
        assets[asset], facts[asset] = told
    lots = stand.lots_of(book, own, facts, assets, held, as_of_ms)
    goods = goods_module.goods_of([stand.line_of(book, facility, as_of_ms)], lots)
    return sheet_module.revalued(goods, BookPrices(state.market, book), as_of_ms), facts, assets


def _told(
    book: Book, asset: str, readings: Iterable[AssetReading], horizon_ms: int, as_of_ms: int, known_at_ms: int
) -> tuple[AssetState, AssetFacts]:
    known, found = asset_half.story(book, asset, readings, horizon_ms, as_of_ms, known_at_ms)
    facts = AssetFacts()
    for number, one in enumerate(found):
        facts = causes_module.absorb(facts, SaidEvent(f"0.{number}", one.event, one.told_ms), one.told_ms)
    return known, facts
