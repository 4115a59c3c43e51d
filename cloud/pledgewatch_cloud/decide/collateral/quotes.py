"""The market on a day, as goods ask for it: looked up once for each ware and pair, not for each lot."""

from typing import NamedTuple, Protocol

import numpy as np

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.collateral.goods import PASSED, TEST, Goods
from pledgewatch_cloud.decide.columns import Numbers
from pledgewatch_cloud.decide.market import Cross, MarketError, PriceQuote

_EXPONENT_MAX = 18


class Prices(Protocol):
    """What lots are valued by; see pledgewatch_cloud.decide.market.Market, which is one."""

    def price(self, series: str, day: int) -> PriceQuote | None: ...

    def cross(self, source: str, target: str, day: int) -> Cross: ...

    def price_swing_bp(self, series: str, day: int, window: int, horizon_days: int, z_milli: int) -> int: ...

    def rate_swing_bp(
        self, source: str, target: str, day: int, window: int, horizon_days: int, z_milli: int
    ) -> int: ...


class Quotes(NamedTuple):
    """The market on a day, as the goods ask for it. By ware: `price_minor` for `per` units and its way into the
    facility's currency, as `mantissa ÷ ten`; `fails` as in Shares; haircuts; `sources` its currency. By pair: the way
    of a cost, and its `fails`. `per` 0 and `ten` 0: there is no price, or no rate."""

    price_minor: Numbers
    per: Numbers
    mantissa: Numbers
    ten: Numbers
    fails: Numbers
    fx_bp: Numbers
    price_bp: Numbers
    cost_mantissa: Numbers
    cost_ten: Numbers
    cost_fails: Numbers
    sources: tuple[str, ...]

    def same_as(self, other: "Quotes") -> bool:
        """Whether two days' quotes come to the same."""
        columns = zip(self[:-1], other[:-1], strict=True)
        return all(np.array_equal(one, another) for one, another in columns)


def quotes_of(goods: Goods, market: Prices, day: int) -> Quotes:
    """The market on a day, for the wares and pairs of goods."""
    found: list[tuple[int, ...]] = []
    sources = []
    crosses: dict[tuple[str, str], Cross | None] = {}
    swings: dict[tuple[str, str, int], int] = {}
    for series, currency, number in goods.wares:
        policy = goods.policies[number]
        price = market.price(series, day)
        source = price.currency if price else currency
        sources.append(source)
        cross = _cross(crosses, market, source, currency, day)
        if price is None or cross is None:
            found.append((0, 0, 0, 0, PASSED, 0, 0))
            continue
        fails = PASSED
        if policy.rate_stale_days and day - cross.day > policy.rate_stale_days:
            fails = TEST["rate_stale"]
        if policy.price_stale_days and day - price.day > policy.price_stale_days:
            fails = TEST["price_stale"]
        swing, key = policy.price, (source, currency, number)
        price_bp = swing.bp
        if swing.window:
            price_bp = market.price_swing_bp(series, day, swing.window, swing.horizon_days, swing.z_milli)
        if key not in swings:
            swing = policy.fx
            asked = swing.window, swing.horizon_days, swing.z_milli
            swings[key] = market.rate_swing_bp(source, currency, day, *asked) if swing.window else swing.bp
        fx_bp = 0 if source == currency else swings[key]
        limited = (min(one, money.BASIS_POINTS) for one in (fx_bp, price_bp))
        found.append((price.price_minor, price.per, cross.mantissa, 10**cross.exponent, fails, *limited))
    ways = []
    for source, target, number in goods.pairs:
        cross = _cross(crosses, market, source, target, day)
        if cross is None:
            ways.append((0, 0, PASSED))
            continue
        stale_days = goods.policies[number].rate_stale_days
        fails = TEST["rate_stale"] if stale_days and day - cross.day > stale_days else PASSED
        ways.append((cross.mantissa, 10**cross.exponent, fails))
    by_ware = np.array(found, dtype=np.int64).reshape(-1, 7).T
    by_pair = np.array(ways, dtype=np.int64).reshape(-1, 3).T
    return Quotes._make((*by_ware, *by_pair, tuple(sources)))


def _cross(
    known: dict[tuple[str, str], Cross | None], market: Prices, source: str, target: str, day: int
) -> Cross | None:
    """The rate of a pair, looked up once; None where there is none, or none that 64 bits hold."""
    if (source, target) not in known:
        try:
            cross = market.cross(source, target, day)
        except MarketError:
            known[source, target] = None
        else:
            is_held = cross.mantissa <= money.AMOUNT_MAX_MINOR and cross.exponent <= _EXPONENT_MAX
            known[source, target] = cross if is_held else None
    return known[source, target]
