"""Accumulation: how much of all that is lent on lies in one vessel, one port, one country, over every facility at once.

Amounts of several currencies are added up in one, at the rates of the sheet's day: what each facility has behind a word
is turned once and rounded down.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.collateral import stand
from pledgewatch_cloud.decide.collateral.quotes import Prices
from pledgewatch_cloud.decide.collateral.sheet import Sheet
from pledgewatch_cloud.decide.collateral.terms import DIMENSIONS
from pledgewatch_cloud.decide.columns import Numbers
from pledgewatch_cloud.decide.currencies import UnknownCurrencyError, exponent
from pledgewatch_cloud.decide.market import MarketError
from pledgewatch_cloud.decide.state import State

BY = (*DIMENSIONS, "port", "corridor", "currency")
NOWHERE = ""
_PORTS = ("port", "terminal")


class Exposure(NamedTuple):
    """What lies behind one word, in minor units of the currency that was asked for; empty: lots without that word."""

    word: str
    lots: int
    gross_minor: int
    eligible_minor: int
    advance_minor: int


def exposures(sheet: Sheet, by: str, words: Mapping[str, str], market: Prices, currency: str) -> list[Exposure]:
    """The exposure by a dimension of BY, the greatest advance first.

    `words` gives each lot's port or corridor, where by that. Raises MarketError where a currency is none or has no
    rate. A facility without lots lies behind no word.
    """
    try:
        exponent(currency)
    except UnknownCurrencyError as error:
        raise MarketError([str(error)]) from None
    of, names = _numbered(sheet, by, words)
    goods = sheet.goods
    key = of * max(1, len(goods.lines)) + goods.columns.line
    size = len(names) * max(1, len(goods.lines))
    sums = [money.totals(key, amounts, size) for amounts in (sheet.worth.value, sheet.eligible, sheet.advance)]
    counts = np.bincount(key, minlength=size)
    found: dict[str, list[int]] = {}
    for place in np.flatnonzero(counts).tolist():
        word, line = names[place // len(goods.lines)], goods.lines[place % len(goods.lines)]
        cross = market.cross(line.currency, currency, sheet.day)
        row = found.setdefault(word, [0, 0, 0, 0])
        row[0] += int(counts[place])
        for number, amounts in enumerate(sums, 1):
            row[number] += int(amounts[place]) * cross.mantissa // 10**cross.exponent
    every = [Exposure(word, *row) for word, row in found.items()]
    return sorted(every, key=lambda one: (-one.advance_minor, -one.gross_minor, one.word))


def _numbered(sheet: Sheet, by: str, words: Mapping[str, str]) -> tuple[Numbers, Sequence[str]]:
    """The number of each lot's word, and the words."""
    goods = sheet.goods
    if by == "currency":
        names = sorted({line.currency for line in goods.lines})
        of_line = np.array([names.index(line.currency) for line in goods.lines], dtype=np.int64)
        return of_line[goods.columns.line], names
    if by in DIMENSIONS:
        groups = goods.groups[DIMENSIONS.index(by)]
        names = sorted(set(groups.words))
        number = {word: place for place, word in enumerate(names)}
        return np.array([number[word] for word in groups.words], dtype=np.int64)[groups.of], names
    names = sorted({NOWHERE, *words.values()})
    number = {word: place for place, word in enumerate(names)}
    return np.array([number[words.get(lot, NOWHERE)] for lot in goods.ids], dtype=np.int64), names


def lots_by_fence(state: State) -> dict[str, list[str]]:
    """The lots inside each fence, by the newest fix of each asset."""
    found: dict[str, list[str]] = {}
    for asset, fences in _fences_of(state).items():
        for fence in fences:
            found.setdefault(fence, []).extend(lot.id for lot in state.book.lots_in(asset, state.recorded_at_ms))
    return found


def words_of(state: State, by: str) -> dict[str, str]:
    """Each lot's port (the first fence of that kind that it is in) or corridor, where it has one."""
    book = state.book
    if by == "corridor":
        return {lot.id: lot.corridor for lot in book.lots.values() if lot.corridor}
    found: dict[str, str] = {}
    for asset, fences in _fences_of(state).items():
        ports = [one for one in fences if one in book.fences and book.fences[one].kind in _PORTS]
        found |= {lot.id: ports[0] for lot in book.lots_in(asset, state.recorded_at_ms) if ports}
    return found


def _fences_of(state: State) -> dict[str, tuple[str, ...]]:
    assets = sorted({asset for lot in state.book.lots.values() for asset in lot.assets} & state.assets.keys())
    return {asset: stand.fences_of(state.assets[asset]) for asset in assets}
