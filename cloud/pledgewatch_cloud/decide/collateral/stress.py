"""Stress: what would become of every facility if the world were otherwise, over the whole book at once.

A shock is data: prices and rates by so many basis points, goods lost with a vessel, a warehouse or a place. Nothing is
said and nothing changes; what comes back is each facility's base as it would be, beside the one it has.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.book_items import BookError, Item
from pledgewatch_cloud.decide.collateral import covenants as covenants_module
from pledgewatch_cloud.decide.collateral import waterfall
from pledgewatch_cloud.decide.collateral.result import Base
from pledgewatch_cloud.decide.collateral.terms import DIMENSIONS
from pledgewatch_cloud.decide.collateral.waterfall import Sheet
from pledgewatch_cloud.decide.columns import Numbers
from pledgewatch_cloud.decide.moments import ID

SHOCKS_MAX = 1_000
_LEAST_BP = -money.BASIS_POINTS
_MOST_BP = 10 * money.BASIS_POINTS


class Shock(NamedTuple):
    """What is otherwise. `price_bp` of all prices, `series_bp` of some; `currency_bp` of the euro's worth of a
    currency; `lost` by dimension the words whose goods are gone; `lost_fences` the places whose goods are."""

    id: str
    price_bp: int = 0
    series_bp: Mapping[str, int] = {}
    currency_bp: Mapping[str, int] = {}
    lost: Mapping[str, Collection[str]] = {}
    lost_fences: Collection[str] = ()


class Stressed(NamedTuple):
    """One facility under one shock: its base then, and the margin that would be called."""

    shock: str
    facility: str
    base: Base
    change_minor: int
    call_minor: int


def shocks_of(document: object) -> list[Shock]:
    """Shocks from a document: `{"shocks": [{"id", "price_bp", "series_bp": {…}, "currency_bp": {…}, "lost": {…},
    "lost_fences": […]}]}`. Raises BookError with every fault's place."""
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
                    _by_word(item, one, "series_bp"),
                    _by_word(item, one, "currency_bp"),
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


def stressed(sheet: Sheet, shocks: Sequence[Shock], fences: Mapping[str, Collection[str]]) -> Iterator[Stressed]:
    """Every facility under every shock. `fences` gives for each fence the lots in it."""
    before = {line.id: waterfall.base_of(sheet, line.id) for line in sheet.goods.lines}
    for shock in shocks:
        then = _under(sheet, shock, fences)
        for line in then.goods.lines:
            base = waterfall.base_of(then, line.id)
            call_minor = max(0, -base.headroom_minor)
            if covenants_module.is_called(base, line.policy.covenants):
                call_minor = covenants_module.call_minor(base, line.policy.covenants)
            yield Stressed(shock.id, line.id, base, base.base_minor - before[line.id].base_minor, call_minor)


def _under(sheet: Sheet, shock: Shock, fences: Mapping[str, Collection[str]]) -> Sheet:
    """The sheet as it would be."""
    goods = sheet.goods
    wares = zip(goods.wares, sheet.quotes.sources, strict=True)
    ware_bp = [
        _way_bp(shock.series_bp.get(series, shock.price_bp), shock, source, currency)
        for (series, currency, _), source in wares
    ]
    pair_bp = [_way_bp(0, shock, source, target) for source, target, _ in goods.pairs]
    shares_bp = np.array(ware_bp, dtype=np.int64), np.array(pair_bp, dtype=np.int64)
    return waterfall.shocked(sheet, *shares_bp, _lost_rows(sheet, shock, fences))


def _way_bp(price_bp: int, shock: Shock, source: str, target: str) -> int:
    """What an amount in one currency is multiplied by on its way into another, in basis points, rounded down."""
    base = money.BASIS_POINTS
    source_bp, target_bp = base + shock.currency_bp.get(source, 0), base + shock.currency_bp.get(target, 0)
    if source == target:
        return base + price_bp
    return (base + price_bp) * source_bp // max(target_bp, 1)


def _lost_rows(sheet: Sheet, shock: Shock, fences: Mapping[str, Collection[str]]) -> Numbers:
    goods = sheet.goods
    lost = np.zeros(len(goods.ids), dtype=np.bool_)
    for dimension, words in shock.lost.items():
        groups, wanted = goods.groups[DIMENSIONS.index(dimension)], set(words)
        gone = np.array([word in wanted for word in groups.words], dtype=np.bool_)
        lost |= gone[groups.of]
    for fence in shock.lost_fences:
        rows = [goods.place[lot] for lot in fences.get(fence, ()) if lot in goods.place]
        lost[rows] = True
    return np.flatnonzero(lost)


def _by_word(item: Item, written: object, key: str) -> dict[str, int]:
    inner = item.item(key)
    if inner is None or not isinstance(written, dict):
        return {}
    found = {}
    for word in written[key]:
        if not isinstance(word, str) or not ID.fullmatch(word):
            raise inner.error(str(word), "is no name")
        found[word] = inner.integer(word, _LEAST_BP, _MOST_BP)
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
