"""What lots are worth and what of it the tests and the haircuts leave: all that a lot comes to by itself.

A column a step, some thousand lots at a time, so that what is made on the way stays near the processor.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.collateral.goods import PASSED, TEST, Columns, Shares
from pledgewatch_cloud.decide.collateral.quotes import Quotes
from pledgewatch_cloud.decide.collateral.result import HAIRCUTS
from pledgewatch_cloud.decide.columns import Numbers, Truths

_STOCK = TEST["stock"]
_SHORTFALL = TEST["shortfall"]
BLOCK = 65_536
_FREE = 2**62


class Takes(Protocol):
    """Told of each step and what it takes of lots."""

    def take(self, step: str, amounts: Numbers) -> None:
        """A step and what it takes of each lot."""
        ...

    def test(self, tests: Numbers, rows: Numbers, amounts: Numbers) -> None:
        """What tests take of some lots, of each one test: the place of the test, the row, the amount."""
        ...


class Worth(NamedTuple):
    """What lots are worth and what of that is left after the tests, by row; `unvalued` are worth 0 for a reason."""

    value: Numbers
    unvalued: Truths
    left: Numbers


def blocks(stop: int, start: int = 0) -> Iterator[slice]:
    """Rows, so many at a time that what is made of them on the way stays near the processor."""
    return (slice(one, min(one + BLOCK, stop)) for one in range(start, stop, BLOCK))


def priced_of(lots: Columns, quotes: Quotes) -> Numbers:
    """What lots come to at their quotes, in the quotes' currencies; -1 where there is no quote, or it is beyond what an
    amount may be."""
    found = np.zeros(len(lots.ware), dtype=np.int64)
    for block in blocks(len(found)):
        ware = lots.ware[block]
        found[block], is_beyond = money.shares_down(lots.quantity[block], quotes.price_minor, quotes.per, ware)
        if (quotes.per == 0).any():
            is_beyond |= quotes.per[ware] == 0
        found[block][is_beyond] = -1
    return found


def costs_of(lots: Columns, quotes: Quotes) -> Numbers:
    """What lots cost in their facility's currency; _FREE where they have no cost, -1 where it cannot be turned over."""
    found = np.full(len(lots.pair), _FREE, dtype=np.int64)
    for block in blocks(len(found)):
        has_cost = lots.pair[block] >= 0
        rows = block if has_cost.all() else block.start + np.flatnonzero(has_cost)
        pair, cost = lots.pair[rows], lots.cost_minor[rows]
        turned, is_beyond = money.shares_down(cost, quotes.cost_mantissa, quotes.cost_ten, pair)
        is_beyond |= cost > money.AMOUNT_MAX_MINOR
        if (quotes.cost_ten == 0).any():
            is_beyond |= quotes.cost_ten[pair] == 0
        found[rows] = np.where(is_beyond, -1, turned)
    return found


def worth_of(
    lots: Columns,
    shares: Shares,
    quotes: Quotes,
    priced: Numbers,
    costs: Numbers,
    most_minor: Numbers,
    takes: Takes,
) -> Worth:
    """What lots are worth, and what the tests leave of it. `priced` and `costs` as priced_of and costs_of have them."""
    value, unvalued = _value(lots, shares, quotes, priced, costs, most_minor)
    fails = shares.fails
    if (quotes.fails != PASSED).any():
        fails = np.minimum(fails, quotes.fails[lots.ware])
    if (quotes.cost_fails != PASSED).any():
        of_costs = np.where(lots.pair >= 0, quotes.cost_fails[lots.pair], PASSED)
        fails = np.minimum(fails, of_costs)
    left = value.copy()
    short = np.flatnonzero((shares.counted != lots.quantity) & (fails >= _STOCK))
    if len(short):
        left[short] = money.share_down(value[short], shares.counted[short], np.maximum(lots.quantity[short], 1))
        takes.test(np.full(len(short), _STOCK), short, value[short] - left[short])
    lacking = np.flatnonzero((lots.missing > 0) & (fails >= _SHORTFALL))
    if len(lacking):
        quantity = lots.quantity[lacking]
        there = np.maximum(quantity - lots.missing[lacking], 0)
        # What the count has taken already is missing once, not twice.
        kept = np.minimum(left[lacking], money.share_down(value[lacking], there, np.maximum(quantity, 1)))
        takes.test(np.full(len(lacking), _SHORTFALL), lacking, left[lacking] - kept)
        left[lacking] = kept
    failing = np.flatnonzero(fails != PASSED)
    if len(failing):
        takes.test(fails[failing], failing, left[failing])
        left[failing] = 0
    if (shares.salable != lots.quantity).any():
        after = money.share_down(left, shares.salable, np.maximum(lots.quantity, 1))
        takes.take("slow", left - after)
        left = after
    return Worth(value, unvalued, left)


def _value(
    lots: Columns, shares: Shares, quotes: Quotes, priced: Numbers, costs: Numbers, most_minor: Numbers
) -> tuple[Numbers, Truths]:
    """The value of lots in their facility's currency; those that have none are worth 0."""
    value, unvalued = money.shares_down(priced, quotes.mantissa, quotes.ten, lots.ware)
    unvalued |= priced < 0
    unvalued |= costs < 0
    value = np.minimum(value, costs)
    if (shares.nolv_bp != money.BASIS_POINTS).any():
        value = money.share_bp_down(value, shares.nolv_bp)
    if (most_minor < money.AMOUNT_MAX_MINOR).any():
        unvalued |= value > most_minor[lots.line]
    if unvalued.any():
        value[unvalued] = 0
    return value, unvalued


def haircut(lots: Columns, shares: Shares, quotes: Quotes, kept: Numbers, takes: Takes) -> Numbers:
    """What haircuts leave."""
    left = kept
    for name, haircut_bp in zip(HAIRCUTS, _haircuts_bp(lots, shares, quotes), strict=True):
        if haircut_bp is None:
            continue
        after = money.share_bp_down(left, money.BASIS_POINTS - haircut_bp)
        takes.take(name, left - after)
        left = after
    return left


def _haircuts_bp(lots: Columns, shares: Shares, quotes: Quotes) -> list[Numbers | None]:
    """The haircuts in their order, by row; None where none of the lots has any."""
    by_row = (shares.condition_bp, shares.ageing_bp, shares.age_bp, shares.sell_bp)
    found = [one if one.any() else None for one in by_row]
    found += [one[lots.ware] if one.any() else None for one in (quotes.fx_bp, quotes.price_bp)]
    return [*found, lots.haircut_bp if lots.haircut_bp.any() else None]
