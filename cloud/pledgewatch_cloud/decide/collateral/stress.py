"""Stress: what would become of every facility if the world were otherwise, over the whole book at once.

A shock is data: prices and rates by so many basis points, goods lost with a vessel, a warehouse or a place. Nothing is
said and nothing changes; what comes back is each facility's base as it would be, and how far it is from the one that
there is. What a lot comes to is multiplied by whole basis points, rounded down, so it may fall short of its value at
other quotes by one basis point of its value without the shock.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.collateral import bases, concentration
from pledgewatch_cloud.decide.collateral import covenants as covenants_module
from pledgewatch_cloud.decide.collateral import sheet as sheet_module
from pledgewatch_cloud.decide.collateral.goods import Goods
from pledgewatch_cloud.decide.collateral.result import Base
from pledgewatch_cloud.decide.collateral.sheet import Sheet, Shocked, Totals
from pledgewatch_cloud.decide.collateral.terms import DIMENSIONS
from pledgewatch_cloud.decide.columns import Numbers
from pledgewatch_cloud.decide.currencies import UnknownCurrencyError, exponent
from pledgewatch_cloud.decide.item import BookError, Item
from pledgewatch_cloud.decide.market import Market
from pledgewatch_cloud.decide.moments import ID, short

SHOCKS_MAX = 1_000
_AT_ONCE = 20
"""How many shocks share the way over the lots: so many totals are held."""
_LEAST_BP = -money.BASIS_POINTS
_MOST_BP = 10 * money.BASIS_POINTS
_SERIES = re.compile(f"=?{ID.pattern}")


class Shock(NamedTuple):
    """What is otherwise, in basis points of what it is: from -10,000 to 100,000.

    `price_bp` of all prices but those of `series_bp`, where `=sofa` is the agreed price of the SKU sofa; `currency_bp`
    of what a currency is worth in euros (of EUR: what the euro is worth in all others), above -10,000, for a currency
    that is worth nothing buys nothing. `lost` by dimension the words whose goods are gone, `lost_fences` the fences.
    """

    id: str
    price_bp: int = 0
    series_bp: Mapping[str, int] = {}
    currency_bp: Mapping[str, int] = {}
    lost: Mapping[str, Collection[str]] = {}
    lost_fences: Collection[str] = ()


class Stressed(NamedTuple):
    """One facility under one shock: its base then, by how much that differs, and the margin that would be called if
    none were called yet. `lots_lost` of its lots are gone; they are still among the base's lots, worth nothing."""

    shock: str
    facility: str
    base: Base
    change_minor: int
    call_minor: int
    lots_lost: int


def shocks_of(document: object) -> list[Shock]:
    """Shocks from a document: `{"shocks": [{"id", "price_bp", "series_bp": {…}, "currency_bp": {…}, "lost": {…},
    "lost_fences": […]}]}`. Raises BookError with the place of every shock's first fault."""
    shocks = document.get("shocks") if isinstance(document, dict) and set(document) == {"shocks"} else None
    if not isinstance(shocks, list) or not 0 < len(shocks) <= SHOCKS_MAX:
        raise BookError([f"stress: an object with a list of 1 to {SHOCKS_MAX} `shocks` is needed, and nothing else"])
    found, errors = [], list[str]()
    for place, one in enumerate(shocks):
        try:
            item = Item(f"shocks[{place}]", one)
            found.append(
                Shock(
                    item.text("id"),
                    item.integer("price_bp", _LEAST_BP, _MOST_BP, 0),
                    _by_word(item, one, "series_bp", _LEAST_BP),
                    _currencies(item, one),
                    _lost(item),
                    item.ids("lost_fences"),
                )
            )
            item.end()
        except BookError as error:
            errors += error.errors
    if len({one.id for one in found}) != len(found):
        errors.append("shocks: two share an id")
    if errors:
        raise BookError(errors)
    return found


def unknown_names(shocks: Sequence[Shock], book: Book, market: Market) -> list[dict[str, Any]]:
    """By shock, the series, agreed prices and fences that it names and nobody knows: it does nothing to them."""
    series = {*market.prices, *(one.series for one in book.products.values()), *(f"={sku}" for sku in book.prices)}
    found = []
    for shock in shocks:
        names = {"series_bp": sorted({*shock.series_bp} - series)}
        names["lost_fences"] = sorted({*shock.lost_fences} - book.fences.keys())
        if any(names.values()):
            found.append({"shock": shock.id, **{key: some for key, some in names.items() if some}})
    return found


def stressed(sheet: Sheet, shocks: Sequence[Shock], fences: Mapping[str, Collection[str]]) -> Iterator[Stressed]:
    """Every facility under every shock. `fences` gives for each fence the lots in it."""
    goods = sheet.goods
    before = [base.base_minor for base in _bases(goods, sheet.totals)]
    for start in range(0, len(shocks), _AT_ONCE):
        some = shocks[start : start + _AT_ONCE]
        shocked = [_shocked(sheet, shock, fences) for shock in some]
        for shock, changed, totals in zip(some, shocked, sheet_module.shocked(sheet, shocked), strict=True):
            lots_lost = np.bincount(goods.columns.line[changed.lost], minlength=len(goods.lines)).tolist()
            every = zip(goods.lines, _bases(goods, totals), before, lots_lost, strict=True)
            for line, base, was_minor, gone in every:
                terms = line.policy.covenants
                call_minor = covenants_module.call_minor(base, terms) if covenants_module.is_called(base, terms) else 0
                yield Stressed(shock.id, line.id, base, base.base_minor - was_minor, call_minor, gone)


def _bases(goods: Goods, totals: Totals) -> list[Base]:
    return [bases.base_from(goods, totals, number) for number in range(len(goods.lines))]


def _shocked(sheet: Sheet, shock: Shock, fences: Mapping[str, Collection[str]]) -> Shocked:
    """What a shock means for a sheet."""
    wares = zip(sheet.goods.wares, sheet.quotes.sources, strict=True)
    ware_bp = [
        _way_bp(shock.series_bp.get(series, shock.price_bp), shock, source, currency)
        for (series, currency, _), source in wares
    ]
    pair_bp = [_way_bp(0, shock, source, target) for source, target, _ in sheet.goods.pairs]
    shares_bp = np.array(ware_bp, dtype=np.int64), np.array(pair_bp, dtype=np.int64)
    return Shocked(*shares_bp, _lost_rows(sheet.goods, shock, fences))


def _way_bp(price_bp: int, shock: Shock, source: str, target: str) -> int:
    """What an amount in one currency is multiplied by on its way into another, in basis points, rounded down."""
    source_bp, target_bp = (money.BASIS_POINTS + shock.currency_bp.get(one, 0) for one in (source, target))
    return (money.BASIS_POINTS + price_bp) * source_bp // target_bp


def _lost_rows(goods: Goods, shock: Shock, fences: Mapping[str, Collection[str]]) -> Numbers:
    """The rows of the lots that are gone, each once, ascending."""
    lost = [np.zeros(0, dtype=np.int64)]
    for dimension, words in shock.lost.items():
        groups, wanted = goods.groups[DIMENSIONS.index(dimension)], set(words)
        gone = [number for number, word in enumerate(groups.words) if word in wanted]
        lost.append(concentration.rows_of(groups, groups.rows, np.array(gone, dtype=np.int64)))
    for fence in shock.lost_fences:
        rows = [goods.place[lot] for lot in fences.get(fence, ()) if lot in goods.place]
        lost.append(np.array(rows, dtype=np.int64))
    return np.unique(np.concatenate(lost))


def _by_word(item: Item, written: object, key: str, least_bp: int) -> dict[str, int]:
    inner = item.item(key)
    if inner is None or not isinstance(written, dict):
        return {}
    found = {}
    for word in written[key]:
        if not isinstance(word, str) or not _SERIES.fullmatch(word):
            raise inner.error(short(word), "is no name")
        found[word] = inner.integer(word, least_bp, _MOST_BP)
    return found


def _currencies(item: Item, written: object) -> dict[str, int]:
    found = _by_word(item, written, "currency_bp", _LEAST_BP + 1)
    for currency in found:
        try:
            exponent(currency)
        except UnknownCurrencyError as error:
            raise item.error("currency_bp", str(error)) from None
    return found


def _lost(item: Item) -> dict[str, tuple[str, ...]]:
    inner = item.item("lost")
    if inner is None:
        return {}
    found: dict[str, tuple[str, ...]] = {name: inner.ids(name) for name in DIMENSIONS}
    inner.end()
    return {name: words for name, words in found.items() if words}


def as_json(one: Stressed) -> dict[str, Any]:
    """A result as a JSON object."""
    return {**one._asdict(), "base": one.base._asdict()}
