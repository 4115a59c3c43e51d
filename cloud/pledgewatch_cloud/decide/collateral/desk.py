"""The desk: the sheet of all goods, carried on from entry to entry, with a reason for each step of it.

Whatever an entry changes is put in one kind after the other, a sheet for each, so that what a facility's base has
gained or lost is the sum of its differences, each with its reason. A desk only saves work: made anew from what is
known at a moment it says the same (tests/test_desk_laws.py).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pledgewatch_cloud.decide.asset import EMPTY
from pledgewatch_cloud.decide.book import SECTIONS, Book
from pledgewatch_cloud.decide.book_items import Facility, Lot
from pledgewatch_cloud.decide.calm import Assets
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.collateral import bases, stand
from pledgewatch_cloud.decide.collateral import goods as goods_module
from pledgewatch_cloud.decide.collateral import sheet as sheet_module
from pledgewatch_cloud.decide.collateral.goods import DAY_MS, Columns
from pledgewatch_cloud.decide.collateral.loan import next_change_ms
from pledgewatch_cloud.decide.collateral.quotes import quotes_of
from pledgewatch_cloud.decide.collateral.sheet import Sheet
from pledgewatch_cloud.decide.collateral.stand import BookPrices
from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.market import Cross, Market, PriceQuote
from pledgewatch_cloud.decide.voyage import NEVER

REASONS = ("quantity", "price", "fx", "evidence", "condition", "place", "rule")
"""Why a base changes, in the order in which it is put in. What time brings is put in with the evidence."""
_FIELDS: Mapping[str, Sequence[str]] = {
    "quantity": ("quantity", "counted", "counted_ms", "cost_minor"),
    "evidence": ("evidence_ms", "is_dark", "turns_ms"),
    "condition": ("is_breached", "loss_bp"),
    "place": ("in_class", "is_placed"),
    "rule": Columns._fields,
}
"""What of a lot changes for which reason."""
_TERMS = ("policies", "products", "appraisals", "voyages", "fences", "prices", "facilities")
"""What else but lots a base rests on."""
_SHARED = ("asset", "facility", "sku", "cost_currency", "buyer", "country", "vessel", "warehouse")


class Known(NamedTuple):
    """What goods are valued by."""

    book: Book
    market: Market
    facts: Mapping[str, AssetFacts]
    assets: Assets


class Desk(NamedTuple):
    """The sheet; the assets whose lots have no fresh evidence, so that any word from them may count; when time alone
    may next change a lot, and when a loan."""

    sheet: Sheet
    weak: frozenset[str]
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
    book, lots = known.book, list[str]()
    if book is not before.book:
        some = _lots_that_differ(before.book, book)
        if some is None:
            # What the time since the last entry has brought is no fault of the amendment.
            until = before._replace(facts=known.facts, assets=known.assets)
            _, stages = follow(desk, before, until, touched, devices, now_ms)
            stages = [*stages, *_amended(before.book, known, now_ms)]
            return _desk(known, stages[-1][1], now_ms), stages
        lots += some
    stages = list(_requoted(desk.sheet, before.market, known, now_ms))
    sheet = stages[-1][1] if stages else desk.sheet
    assets = set(touched) | _placed_otherwise(before.assets, known.assets, book, devices)
    if desk.weak and devices:
        assets |= desk.weak & {book.installations[one].asset for one in devices}
    lots += [lot.id for asset in assets for lot in book.lots_of_asset(asset)]
    if desk.due_ms <= now_ms:
        lots += [sheet.goods.ids[row] for row in np.flatnonzero(sheet.shares.due_ms <= now_ms).tolist()]
    weak = desk.weak
    if lots:
        more = _restood(sheet, known, lots, now_ms)
        stages += more
        sheet = more[-1][1]
        weak = _weak(weak, book, sheet, lots)
    loans_due_ms = desk.loans_due_ms
    if loans_due_ms <= now_ms or book is not before.book:
        sheet = _with_loans(sheet, book, now_ms)
        loans_due_ms = _loans_due_ms(book, now_ms)
    due_ms = int(sheet.shares.due_ms.min(initial=NEVER)) if sheet is not desk.sheet else desk.due_ms
    return Desk(sheet, weak, due_ms, loans_due_ms), stages


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


def losses_of(sheet: Sheet) -> dict[str, int]:
    """What lots have lost by their condition, in basis points, where they have."""
    loss_bp = sheet.goods.columns.loss_bp
    return {sheet.goods.ids[row]: int(loss_bp[row]) for row in np.flatnonzero(loss_bp).tolist()}


def _desk(known: Known, sheet: Sheet, now_ms: int) -> Desk:
    stale = [sheet.goods.ids[row] for row in np.flatnonzero(sheet.shares.is_fresh == 0).tolist()]
    weak = frozenset(known.book.lots[lot].asset for lot in stale)
    return Desk(sheet, weak, int(sheet.shares.due_ms.min(initial=NEVER)), _loans_due_ms(known.book, now_ms))


def _valued(known: Known, now_ms: int, losses: Mapping[str, int] | None = None) -> Sheet:
    """All goods by what is known. `losses`: those that lots had when they were last looked at, instead of now's."""
    book = known.book
    lots = stand.all_lots(book, known.facts, known.assets, now_ms)
    if losses is not None:
        lots = [one._replace(loss_bp=losses.get(one.id, 0)) for one in lots]
    lines = [stand.line_of(book, one, now_ms) for one in book.facilities]
    return sheet_module.revalued(goods_module.goods_of(lines, lots), BookPrices(known.market, book), now_ms)


def _amended(before: Book, known: Known, now_ms: int) -> Stages:
    """The stages of an amendment: first other lots, then other agreed prices, then everything else."""
    book = known.book
    if not before.facilities or all(getattr(before, name) == getattr(book, name) for name in _TERMS):
        return [("quantity", _valued(known, now_ms))]
    as_before = replace(
        book,
        policies={**book.policies, **before.policies},
        products={**book.products, **before.products},
        appraisals=before.appraisals,
        voyages=before.voyages,
        fences=before.fences,
        fence_index=before.fence_index,
        prices={**book.prices, **before.prices},
        facilities={one: _on_old_terms(facility, before) for one, facility in book.facilities.items()},
    )
    repriced = replace(as_before, prices=book.prices, products=book.products)
    stages: list[tuple[str, Sheet]] = []
    for reason, terms in (("quantity", as_before), ("price", repriced), ("rule", book)):
        now = _valued(known._replace(book=terms), now_ms)
        if not stages or reason == "rule" or changed_lines(stages[-1][1], now):
            stages.append((reason, now))
    return stages


def _on_old_terms(facility: Facility, before: Book) -> Facility:
    """A facility as it is now, under the policy that it was under."""
    was = before.facilities.get(facility.id)
    return facility if was is None else facility._replace(policy=was.policy, currency=was.currency)


def _lots_that_differ(before: Book, book: Book) -> list[str] | None:
    """The lots that an amendment has changed, where it has changed nothing but lots and loans, and nothing that lots
    share."""
    if any(getattr(before, name) != getattr(book, name) for name in SECTIONS if name not in ("lots", "facilities")):
        return None
    if before.lots.keys() != book.lots.keys() or before.facilities.keys() != book.facilities.keys():
        return None
    for one, facility in book.facilities.items():
        if (facility.policy, facility.currency) != (before.facilities[one].policy, before.facilities[one].currency):
            return None
    found = [one for one, lot in book.lots.items() if lot is not before.lots[one] and lot != before.lots[one]]
    return found if all(_shares_as_before(before.lots[one], book.lots[one]) for one in found) else None


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
    wanted = set(lots)
    standing: list[LotStanding] = []
    for asset in sorted({book.lots[lot].asset for lot in wanted}):
        facts, state = known.facts.get(asset, AssetFacts()), known.assets.get(asset, EMPTY)
        standing += [one for one in stand.lots_of(book, asset, facts, state, now_ms) if one.id in wanted]
    rows = np.array([sheet.goods.place[one.id] for one in standing], dtype=np.int64)
    order = np.argsort(rows)
    rows, standing = rows[order], [standing[place] for place in order.tolist()]
    after = goods_module.columns_of(standing, sheet.goods)
    now = sheet.goods.columns.rows(rows)
    stages = []
    for reason, names in _FIELDS.items():
        changed = now._replace(**{name: getattr(after, name) for name in names})
        if reason == "evidence" or _differ(now, changed):
            sheet = sheet_module.refreshed(sheet, rows, changed, now_ms)
            stages.append((reason, sheet))
        now = changed
    return stages


def _differ(one: Columns, other: Columns) -> bool:
    return any(not np.array_equal(left, right) for left, right in zip(one, other, strict=True))


def _weak(weak: frozenset[str], book: Book, sheet: Sheet, lots: Collection[str]) -> frozenset[str]:
    """The assets without fresh evidence, after those of some lots were looked at again."""
    assets = {book.lots[lot].asset for lot in lots}
    stale = {asset for asset in assets if not all(_is_fresh(sheet, lot.id) for lot in book.lots_of_asset(asset))}
    if stale == weak & assets:
        return weak
    return (weak - assets) | stale


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
    for one, other in (
        (before.line_value, after.line_value),
        (before.line_eligible, after.line_eligible),
        (before.line_unvalued, after.line_unvalued),
    ):
        differ |= one != other
    for one, other in ((before.line_taken, after.line_taken), (before.line_advance, after.line_advance)):
        differ |= (one != other).any(axis=1)
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
