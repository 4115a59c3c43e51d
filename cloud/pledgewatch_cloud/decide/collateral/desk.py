"""The desk: the sheet of all goods, carried on from entry to entry, with a reason for each step of it.

Whatever an entry changes is put in one kind after the other, a sheet for each, so that what a facility's base has
gained or lost is the sum of its differences, each with its reason. An amendment of the book has a table of its own
(amended.py). A desk only saves work: made anew from what is known at a moment it says the same
(tests/test_desk_laws.py).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pledgewatch_cloud.decide.asset import EMPTY
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.calm import Assets
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.collateral import amended, bases, stand
from pledgewatch_cloud.decide.collateral import goods as goods_module
from pledgewatch_cloud.decide.collateral import sheet as sheet_module
from pledgewatch_cloud.decide.collateral.goods import DAY_MS, Columns
from pledgewatch_cloud.decide.collateral.loan import next_change_ms
from pledgewatch_cloud.decide.collateral.quotes import quotes_of
from pledgewatch_cloud.decide.collateral.sheet import Sheet
from pledgewatch_cloud.decide.collateral.stand import BookPrices
from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.columns import Numbers, Truths
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.market import Cross, Market, PriceQuote
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse.held import HeldByReceipt

_FIELDS: Mapping[str, Sequence[str]] = {
    "evidence": ("evidence_ms", "is_dark", "turns_ms"),
    "condition": ("is_breached", "loss_bp"),
    "place": ("in_class", "is_placed"),
    "receipt": ("receipt_until_ms",),
    "stock": ("missing", "counted_ms"),
}
"""What of a lot changes for which reason while the book stays as it is. What time brings comes with the evidence."""
_SHARED = ("asset", "facility", "sku", "cost_currency", "buyer", "country", "vessel", "warehouse")


class Known(NamedTuple):
    """What goods are valued by. `held` says how each lot with an electronic receipt stands by it."""

    book: Book
    market: Market
    facts: Mapping[str, AssetFacts]
    assets: Assets
    held: Mapping[str, HeldByReceipt]


class Desk(NamedTuple):
    """The sheet; by the `place` of each asset that has lots, whether any of them lacks fresh evidence, so that any word
    from the asset may count; when time alone may next change a lot, and when a loan."""

    sheet: Sheet
    place: Mapping[str, int]
    is_weak: Truths
    due_ms: int
    loans_due_ms: int


Stages = Sequence[tuple[str, Sheet]]
"""Reasons, each with the sheet after it was put in."""


def opened(known: Known, losses: Mapping[str, int], now_ms: int) -> Desk:
    """A desk made anew. `losses` are those that the lots had when they were last looked at, where they had any."""
    return _desk(known, _valued(known, now_ms, losses), now_ms)


def follow(
    desk: Desk, before: Known, known: Known, touched: Collection[str], devices: Collection[str], now_ms: int
) -> tuple[Desk, Stages]:
    """The desk after an entry, with the stages that lead there.

    `touched` are the assets of which something was said or that were told anew, `devices` those that were heard.
    """
    if known.book is not before.book:
        return _amended(desk, before, known, touched, now_ms)
    book = known.book
    stages = list(_requoted(desk.sheet, before.market, known, now_ms))
    sheet = stages[-1][1] if stages else desk.sheet
    assets = set(touched) | _placed_otherwise(before.assets, known.assets, book, devices)
    assets |= _weak_of(desk, {book.installations[one].asset for one in devices})
    lots = [lot.id for asset in assets for lot in book.lots_of_asset(asset)]
    lots += held_otherwise(before.held, known.held)
    if desk.due_ms <= now_ms:
        lots += [sheet.goods.ids[row] for row in np.flatnonzero(sheet.shares.due_ms <= now_ms).tolist()]
    is_weak = desk.is_weak
    if lots:
        more = _restood(sheet, known, lots, now_ms)
        stages += more
        sheet = more[-1][1]
        is_weak = _weak(desk, book, sheet, lots)
    loans_due_ms = desk.loans_due_ms
    if loans_due_ms <= now_ms:
        sheet = _with_loans(sheet, book, now_ms)
        loans_due_ms = _loans_due_ms(book, now_ms)
    due_ms = int(sheet.shares.due_ms.min(initial=NEVER)) if sheet is not desk.sheet else desk.due_ms
    return Desk(sheet, desk.place, is_weak, due_ms, loans_due_ms), stages


def _placed_otherwise(before: Assets, assets: Assets, book: Book, devices: Collection[str]) -> set[str]:
    """The assets that were heard and are in other fences than before. A first fix says so and crosses nothing; what
    is calm never does."""
    if assets.folded is before.folded:
        return set()
    heard = {book.installations[one].asset for one in devices}
    return {
        asset
        for asset in heard
        if stand.fences_of(assets.folded.get(asset, EMPTY)) != stand.fences_of(before.folded.get(asset, EMPTY))
    }


def held_otherwise(before: Mapping[str, HeldByReceipt], held: Mapping[str, HeldByReceipt]) -> list[str]:
    """The lots that stand otherwise by their electronic receipts, by id."""
    if held is before:
        return []
    return [lot for lot in sorted(held.keys() | before.keys()) if held.get(lot) != before.get(lot)]


def losses_of(sheet: Sheet) -> dict[str, int]:
    """What lots have lost by their condition, in basis points, where they have."""
    loss_bp = sheet.goods.columns.loss_bp
    return {sheet.goods.ids[row]: int(loss_bp[row]) for row in np.flatnonzero(loss_bp).tolist()}


def _desk(known: Known, sheet: Sheet, now_ms: int) -> Desk:
    lots = known.book.lots
    assets = dict.fromkeys(asset for lot in lots.values() for asset in lot.assets)
    place = {asset: number for number, asset in enumerate(assets)}
    stale = [sheet.goods.ids[row] for row in np.flatnonzero(sheet.shares.is_fresh == 0).tolist()]
    is_weak = np.zeros(len(place), dtype=np.bool_)
    is_weak[[place[asset] for lot in stale for asset in lots[lot].assets]] = True
    due_ms = int(sheet.shares.due_ms.min(initial=NEVER))
    return Desk(sheet, place, is_weak, due_ms, _loans_due_ms(known.book, now_ms))


def _valued(known: Known, now_ms: int, losses: Mapping[str, int] | None = None) -> Sheet:
    """All goods by what is known. `losses`: those that lots had when they were last looked at, instead of now's."""
    lots = stand.all_lots(known.book, known.facts, known.assets, known.held, now_ms)
    if losses is not None:
        lots = [one._replace(loss_bp=losses.get(one.id, 0)) for one in lots]
    return _sheet_of(known, lots, now_ms)


def _sheet_of(known: Known, lots: Sequence[LotStanding], now_ms: int) -> Sheet:
    """Lots as they stand, valued anew."""
    lines = [stand.line_of(known.book, one, now_ms) for one in known.book.facilities]
    return sheet_module.revalued(goods_module.goods_of(lines, lots), BookPrices(known.market, known.book), now_ms)


def _amended(
    desk: Desk, before: Known, known: Known, touched: Collection[str], now_ms: int
) -> tuple[Desk, Sequence[tuple[str, Sheet]]]:
    """The desk after an amendment of the book: first what time has brought since the last entry, which is no fault of
    the amendment, then the amendment itself, and last how lots stand by their receipts because of it."""
    desk, found = follow(desk, before, before, (), (), now_ms)
    stages, book = list(found), known.book
    as_held = known._replace(held={**known.held, **before.held})
    reheld = [one for one in held_otherwise(as_held.held, known.held) if one in book.lots]
    lots = _lots_that_differ(before.book, book, touched)
    if lots is None:
        stages += _put_in(before, as_held, now_ms)
        if reheld:
            stages += _restood(stages[-1][1], known, reheld, now_ms)
        return _desk(known, stages[-1][1], now_ms), stages
    sheet, is_weak = desk.sheet, desk.is_weak
    if lots:
        for reason, _, standing in _stages(before, as_held, lots, now_ms):
            rows, columns = _rows_of(sheet, standing)
            sheet = sheet_module.refreshed(sheet, rows, columns, now_ms)
            stages.append((reason, sheet))
    if reheld:
        stages += _restood(sheet, known, reheld, now_ms)
        sheet = stages[-1][1]
    if lots or reheld:
        is_weak = _weak(desk, book, sheet, {*lots, *reheld})
    sheet = _with_loans(sheet, book, now_ms)
    due_ms = int(sheet.shares.due_ms.min(initial=NEVER))
    return Desk(sheet, desk.place, is_weak, due_ms, _loans_due_ms(book, now_ms)), stages


def _put_in(before: Known, known: Known, now_ms: int) -> Iterator[tuple[str, Sheet]]:
    """The stages of an amendment that concerns more than some lots: at each of them all goods are valued."""
    if not before.book.lots:
        yield "quantity", _valued(known, now_ms)
        return
    for reason, book, standing in _stages(before, known, known.book.lots, now_ms):
        yield reason, _sheet_of(known._replace(book=book), standing, now_ms)


def _stages(
    before: Known, known: Known, lots: Collection[str], now_ms: int
) -> Iterator[tuple[str, Book, list[LotStanding]]]:
    """The stages of an amendment, each with the book as far as it is put in, and how some lots stand by it, with their
    receipts as `known` has them.

    What their assets went through is as it was known before, until the rules are put in by which it is told anew; but
    for lots that came into their asset only now. An amendment alone brings no other news of an asset.
    """
    *earlier, last = amended.stages_of(before.book, known.book, lots)
    for reason, book in earlier:
        came = [one for one in book.lots.values() if _came(before.book.lots.get(one.id), one)]
        rest = book.lots.keys() - {one.id for one in came}
        standing = stand.lots_of(book, came, known.facts, known.assets, known.held, now_ms)
        standing += stand.lots_of(
            book, [book.lots[one] for one in rest], before.facts, before.assets, known.held, now_ms
        )
        yield reason, book, standing
    reason, book = last
    yield reason, book, stand.all_lots(book, known.facts, known.assets, known.held, now_ms)


def _came(was: Lot | None, now: Lot) -> bool:
    return was is None or (was.asset, was.stays) != (now.asset, now.stays)


def _lots_that_differ(before: Book, book: Book, touched: Collection[str]) -> list[str] | None:
    """The lots that an amendment has changed, and those of assets that were told anew, where it has changed nothing
    that a base rests on but lots and loans, and nothing that lots share."""
    if any(getattr(before, name) != getattr(book, name) for name in amended.RESTED_ON):
        return None
    if before.lots.keys() != book.lots.keys() or before.facilities.keys() != book.facilities.keys():
        return None
    for one, facility in book.facilities.items():
        if (facility.policy, facility.currency) != (before.facilities[one].policy, before.facilities[one].currency):
            return None
    found = [one for one, lot in book.lots.items() if lot is not before.lots[one] and lot != before.lots[one]]
    if not all(_shares_as_before(before.lots[one], book.lots[one]) for one in found):
        return None
    return [*dict.fromkeys([*found, *(lot.id for asset in touched for lot in book.lots_of_asset(asset))])]


def _shares_as_before(was: Lot, now: Lot) -> bool:
    """Whether what a lot shares with others is as it was."""
    same_cost = (was.cost_minor < 0) == (now.cost_minor < 0)
    return same_cost and all(getattr(was, name) == getattr(now, name) for name in _SHARED)


def _requoted(sheet: Sheet, before: Market, known: Known, now_ms: int) -> Stages:
    """The stages of other quotes, or of another day: first other prices at the old rates, then other rates."""
    day = now_ms // DAY_MS
    if known.market is before and day == sheet.day:
        return []
    prices = BookPrices(Market(known.market.prices, before.rates), known.book)
    older = _OlderRates(prices, day - sheet.day)
    goods = sheet.goods
    priced = sheet_module.repriced(sheet, quotes_of(goods, older, day), day)
    prices = BookPrices(known.market, known.book)
    turned = sheet_module.repriced(priced, quotes_of(goods, prices, day), day)
    return [("price", priced), ("fx", turned)]


class _OlderRates(NamedTuple):
    """The prices of a day at the rates that were in force some days before, and as old as they were then."""

    prices: BookPrices
    days: int

    def price(self, series: str, day: int) -> PriceQuote | None:
        return self.prices.price(series, day)

    def cross(self, source: str, target: str, day: int) -> Cross:
        found = self.prices.cross(source, target, day - self.days)
        return found._replace(day=found.day + self.days)

    def price_swing_bp(self, series: str, day: int, window: int, horizon_days: int, z_milli: int) -> int:
        return self.prices.price_swing_bp(series, day, window, horizon_days, z_milli)

    def rate_swing_bp(self, source: str, target: str, day: int, window: int, horizon_days: int, z_milli: int) -> int:
        return self.prices.rate_swing_bp(source, target, day - self.days, window, horizon_days, z_milli)


def _restood(sheet: Sheet, known: Known, lots: Collection[str], now_ms: int) -> Stages:
    """The stages of lots that stand otherwise, or for which a moment has come; there is one of evidence at least."""
    book = known.book
    some = [book.lots[lot] for lot in set(lots)]
    standing = stand.lots_of(book, some, known.facts, known.assets, known.held, now_ms)
    rows, after = _rows_of(sheet, standing)
    now = sheet.goods.columns.rows(rows)
    stages = []
    for reason, names in _FIELDS.items():
        new = {name: getattr(after, name) for name in names}
        if reason == "evidence" or not all(np.array_equal(getattr(now, name), one) for name, one in new.items()):
            now = now._replace(**new)
            sheet = sheet_module.refreshed(sheet, rows, now, now_ms)
            stages.append((reason, sheet))
    return stages


def _rows_of(sheet: Sheet, lots: Sequence[LotStanding]) -> tuple[Numbers, Columns]:
    """The rows of some lots, ascending, and the lots as columns."""
    rows = np.array([sheet.goods.place[one.id] for one in lots], dtype=np.int64)
    order = np.argsort(rows)
    return rows[order], goods_module.columns_of([lots[place] for place in order.tolist()], sheet.goods)


def _weak_of(desk: Desk, assets: Collection[str]) -> set[str]:
    """Those of some assets that have lots without fresh evidence."""
    some = [asset for asset in assets if asset in desk.place]
    places = np.array([desk.place[asset] for asset in some], dtype=np.int64)
    return {some[number] for number in np.flatnonzero(desk.is_weak[places]).tolist()}


def _weak(desk: Desk, book: Book, sheet: Sheet, lots: Collection[str]) -> Truths:
    """Which assets lack fresh evidence, after some lots were looked at again."""
    assets = list({asset for lot in lots for asset in book.lots[lot].assets})
    is_weak = [not all(_is_fresh(sheet, lot.id) for lot in book.lots_of_asset(asset)) for asset in assets]
    places = np.array([desk.place[asset] for asset in assets], dtype=np.int64)
    return goods_module.with_rows(desk.is_weak, places, np.array(is_weak, dtype=np.bool_))


def _is_fresh(sheet: Sheet, lot: str) -> bool:
    return bool(sheet.shares.is_fresh[sheet.goods.place[lot]])


def _with_loans(sheet: Sheet, book: Book, now_ms: int) -> Sheet:
    """The sheet with what is drawn by now."""
    lines = tuple(stand.line_of(book, one.id, now_ms) for one in sheet.goods.lines)
    return sheet._replace(goods=sheet.goods._replace(lines=lines))


def _loans_due_ms(book: Book, now_ms: int) -> int:
    return min((next_change_ms(one, now_ms) for one in book.facilities.values()), default=NEVER)


def changed_lines(before: Sheet, after: Sheet) -> list[str]:
    """The facilities whose base may be another one."""
    if len(before.goods.lines) != len(after.goods.lines) or before.goods.number != after.goods.number:
        return [one.id for one in after.goods.lines]
    differ = np.zeros(len(after.goods.lines), dtype=np.bool_)
    for one, other in zip(before.totals, after.totals, strict=True):
        differ |= (one != other).any(axis=tuple(range(1, one.ndim)))
    found = {after.goods.lines[number].id for number in np.flatnonzero(differ).tolist()}
    if before.goods.lines is not after.goods.lines:
        every = zip(before.goods.lines, after.goods.lines, strict=True)
        found |= {other.id for one, other in every if one != other}
    return sorted(found)


def changes(before: Sheet, stages: Stages, facility: str) -> dict[str, int]:
    """What each reason has changed of a facility's base, in minor units; only what is not nothing, and nothing at all
    where its currency has changed."""
    found: dict[str, int] = {}
    sheets = [before, *(sheet for _, sheet in stages)]
    numbers = [(sheet, sheet.goods.number.get(facility)) for sheet in sheets]
    if len({sheet.goods.lines[number].currency for sheet, number in numbers if number is not None}) > 1:
        return found
    was = _base_minor(before, facility)
    for reason, sheet in stages:
        now = _base_minor(sheet, facility)
        if now != was:
            found[reason] = found.get(reason, 0) + now - was
        was = now
    return found


def _base_minor(sheet: Sheet, facility: str) -> int:
    return bases.base_of(sheet, facility).base_minor if facility in sheet.goods.number else 0
