"""The waterfall: from the value of every lot to what its facility may draw. docs/BORROWING_BASE.md is what it computes.

All lots of all facilities are valued at once, a column a step. When something changes for a few lots, only those are
valued anew: a `Sheet` keeps what each lot came to and each facility's totals, and `refreshed` gives the sheet after the
change, with the same numbers as if everything had been computed again (tests/test_base_laws.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.collateral import goods as goods_module
from pledgewatch_cloud.decide.collateral.goods import DAY_MS, PASSED, TEST, Columns, Goods, Groups, Shares
from pledgewatch_cloud.decide.collateral.result import CONCENTRATIONS, HAIRCUTS, STEPS, TESTS, Base, LotLine
from pledgewatch_cloud.decide.collateral.terms import CLASSES, DIMENSIONS, SubLimit
from pledgewatch_cloud.decide.columns import Numbers, Truths, between
from pledgewatch_cloud.decide.market import Cross, MarketError, PriceQuote


class Takes(Protocol):
    """Told of each step and what it takes of lots."""

    def take(self, step: str, amounts: Numbers) -> None:
        """A step and what it takes of each lot."""
        ...

    def fail(self, tests: Numbers, rows: Numbers, amounts: Numbers) -> None:
        """Lots that a test takes whole: the place of the test, the row, the amount."""
        ...


_STEP = {name: place for place, name in enumerate(STEPS)}
_STOCK = TEST["stock"]
_BLOCK = 32_768
_FREE = 2**62
Shape = TypeVar("Shape", Columns, Shares)


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


class Worth(NamedTuple):
    """What lots are worth and what of that is left after the tests, by row; `unvalued` are worth 0 for a reason."""

    fails: Numbers
    value: Numbers
    unvalued: Truths
    left: Numbers


class Sheet(NamedTuple):
    """Every lot and every facility at a moment.

    `capped` is what is left before the first dimension of concentration and after each; `group_left` what each group of
    a dimension has before its cap, `keeping` the groups' rows in the order in which they keep. `eligible` is what
    haircuts have left. By line: `value`, `taken` by step, `left` and `eligible` in all, `advance` by class, and how
    many lots are `unvalued`. `costs` as `_costs` has them.
    """

    goods: Goods
    day: int
    shares: Shares
    quotes: Quotes
    worth: Worth
    capped: tuple[Numbers, ...]
    group_left: tuple[Numbers, ...]
    keeping: tuple[Numbers, ...]
    eligible: Numbers
    advance: Numbers
    line_value: Numbers
    line_taken: Numbers
    line_left: Numbers
    line_eligible: Numbers
    line_advance: Numbers
    line_unvalued: Numbers
    costs: Numbers


def revalued(goods: Goods, market: Prices, now_ms: int) -> Sheet:
    """Every lot anew."""
    day = now_ms // DAY_MS
    shares = goods_module.shares(goods.columns, goods, now_ms)
    keeping = tuple(_keeping(groups, shares.advance_bp) for groups in goods.groups)
    quotes = quotes_of(goods, market, day)
    return _settled(goods, shares, keeping, quotes, _costs(goods.columns, quotes), day)


def repriced(sheet: Sheet, quotes: Quotes, day: int) -> Sheet:
    """Every lot at other quotes; nothing else has changed since the sheet, nor has a moment come."""
    if quotes.same_as(sheet.quotes):
        return sheet._replace(day=day)
    return _settled(sheet.goods, sheet.shares, sheet.keeping, quotes, _costs_at(sheet, quotes), day)


def _costs_at(sheet: Sheet, quotes: Quotes) -> Numbers:
    """The costs at other quotes, which are the same where no rate has changed."""
    was, now = sheet.quotes, quotes
    if np.array_equal(was.cost_mantissa, now.cost_mantissa) and np.array_equal(was.cost_ten, now.cost_ten):
        return sheet.costs
    return _costs(sheet.goods.columns, quotes)


def shocked(sheet: Sheet, ware_bp: Numbers, pair_bp: Numbers, lost: Numbers) -> Sheet:
    """The sheet as it would be if what each ware and each cost comes to were so many basis points of what it is, and
    some rows were lost."""
    quotes = sheet.quotes
    mantissa, ten = _scaled(quotes.mantissa, quotes.ten, ware_bp)
    cost_mantissa, cost_ten = _scaled(quotes.cost_mantissa, quotes.cost_ten, pair_bp)
    quotes = quotes._replace(mantissa=mantissa, ten=ten, cost_mantissa=cost_mantissa, cost_ten=cost_ten)
    goods = sheet.goods
    if len(lost):
        quantity = goods.columns.quantity.copy()
        quantity[lost] = 0
        goods = goods._replace(columns=goods.columns._replace(quantity=quantity))
    return _settled(goods, sheet.shares, sheet.keeping, quotes, _costs_at(sheet, quotes), sheet.day)


def _scaled(mantissa: Numbers, ten: Numbers, share_bp: Numbers) -> tuple[Numbers, Numbers]:
    """Ways into a currency times a share. What is one to one has no digits to spare, so it gets some."""
    is_same = (mantissa == 1) & (ten == 1)
    scaled = money.share_down(mantissa, share_bp, money.BASIS_POINTS)
    return np.where(is_same, share_bp, scaled), np.where(is_same, money.BASIS_POINTS, ten)


def _settled(
    goods: Goods, shares: Shares, keeping: tuple[Numbers, ...], quotes: Quotes, costs: Numbers, day: int
) -> Sheet:
    columns, count, lines = goods.columns, len(goods.columns.line), len(goods.lines)
    tally = _Tally(goods.first, columns.line)
    worth = Worth._make(np.zeros(count, dtype=kind) for kind in (np.int64, np.int64, np.bool_, np.int64))
    for block in _blocks(count):
        tally.begin(block)
        part = _worth(_cut(columns, block), _cut(shares, block), quotes, costs[block], goods.most_minor, tally)
        for column, some in zip(worth, part, strict=True):
            column[block] = some
    tally.begin(slice(0, count))
    line_left = tally.sums(worth.left)
    capped, group_left = [worth.left], []
    for place, name in enumerate(CONCENTRATIONS):
        groups, left = goods.groups[place], capped[-1]
        total = _group_totals(groups, left)
        after = _capped(goods, place, keeping[place], left, total, line_left)
        if after is not left:
            tally.take(name, left - after)
        capped.append(after)
        group_left.append(total)
    eligible, advance = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    line_advance = np.zeros(lines * len(CLASSES), dtype=np.int64)
    for block in _blocks(count):
        tally.begin(block)
        part_columns, part_shares = _cut(columns, block), _cut(shares, block)
        eligible[block] = _haircut(part_columns, part_shares, quotes, capped[-1][block], tally)
        advance[block] = money.share_bp_down(eligible[block], part_shares.advance_bp)
        in_class = part_columns.line * len(CLASSES) + part_columns.in_class
        line_advance += money.totals(in_class, advance[block], len(line_advance))
    tally.begin(slice(0, count))
    return Sheet(
        goods=goods,
        day=day,
        shares=shares,
        quotes=quotes,
        worth=worth,
        capped=tuple(capped),
        group_left=tuple(group_left),
        keeping=keeping,
        eligible=eligible,
        advance=advance,
        line_value=tally.sums(worth.value),
        line_taken=tally.taken,
        line_left=line_left,
        line_eligible=tally.sums(eligible),
        line_advance=line_advance.reshape(lines, len(CLASSES)),
        line_unvalued=tally.sums(worth.unvalued.astype(np.int64)),
        costs=costs,
    )


def _blocks(count: int) -> Iterator[slice]:
    """Rows, so many at a time that what is made of them on the way stays near the processor."""
    return (slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))


def _cut(columns: Shape, rows: slice | Numbers) -> Shape:
    """Some rows of columns."""
    return type(columns)._make(column[rows] for column in columns)


def refreshed(sheet: Sheet, rows: Numbers, columns: Columns, now_ms: int) -> Sheet:
    """The sheet after some rows stand as `columns` say, and the others as before, on the same day.

    What a lot shares with others (its facility, ware, pair and the words of its dimensions) must be as before.
    """
    if not len(rows):
        return sheet
    goods = sheet.goods._replace(columns=sheet.goods.columns.with_rows(rows, columns))
    fresh = goods_module.shares(columns, goods, now_ms)
    shares = Shares._make(
        goods_module.with_rows(column, rows, other) for column, other in zip(sheet.shares, fresh, strict=True)
    )
    return _resettled(sheet, goods, shares, rows)


def _resettled(sheet: Sheet, goods: Goods, shares: Shares, rows: Numbers) -> Sheet:
    """The sheet with the shares and columns of some rows as they are now."""
    was, now = sheet.goods.columns.rows(rows), goods.columns.rows(rows)
    change = _Change(sheet, now.line)
    worth = sheet.worth
    _worth(was, _cut(sheet.shares, rows), sheet.quotes, sheet.costs[rows], goods.most_minor, change.signed(-1))
    costs = _costs(now, sheet.quotes)
    fresh = _worth(now, _cut(shares, rows), sheet.quotes, costs, goods.most_minor, change.signed(1))
    costs = goods_module.with_rows(sheet.costs, rows, costs)
    line_value = sheet.line_value + change.sums(fresh.value - worth.value[rows])
    line_left = sheet.line_left + change.sums(fresh.left - worth.left[rows])
    line_unvalued = sheet.line_unvalued + change.sums(fresh.unvalued.astype(np.int64) - worth.unvalued[rows])
    worth = Worth._make(goods_module.with_rows(column, rows, other) for column, other in zip(worth, fresh, strict=True))
    keeping = sheet.keeping
    if shares.advance_bp is not sheet.shares.advance_bp:
        pairs = zip(goods.groups, keeping, strict=True)
        keeping = tuple(_kept_anew(groups, before, shares.advance_bp, rows) for groups, before in pairs)
    lines = np.unique(now.line)
    capped, group_left = [worth.left], []
    moved = rows
    for place, name in enumerate(CONCENTRATIONS):
        groups, left, left_before, after_before = goods.groups[place], capped[-1], *sheet.capped[place : place + 2]
        total = sheet.group_left[place].copy()
        np.add.at(total, groups.of[moved], left[moved] - left_before[moved])
        touched = np.flatnonzero(np.isin(groups.line, lines))
        over = _over(goods, place, sheet.group_left[place], sheet.line_left, touched)
        over = np.union1d(over, _over(goods, place, total, line_left, touched))
        if not len(over) and after_before is left_before:
            after = left
        else:
            after = goods_module.with_rows(after_before, moved, left[moved])
        if len(over):
            after = after.copy() if after is after_before else after
            cut = _rows_of(groups, keeping[place], over)
            after[cut] = left[cut]
            after = _capped(goods, place, keeping[place], after, total, line_left, touched)
            moved = np.union1d(moved, cut[after[cut] != after_before[cut]])
            change.line = goods.columns.line[moved]
        taken = (left[moved] - after[moved]) - (left_before[moved] - after_before[moved])
        change.signed(1).take(name, taken)
        capped.append(after)
        group_left.append(total)
    rows = moved
    was, now = sheet.goods.columns.rows(rows), goods.columns.rows(rows)
    _haircut(was, _cut(sheet.shares, rows), sheet.quotes, sheet.capped[-1][rows], change.signed(-1))
    eligible = _haircut(now, _cut(shares, rows), sheet.quotes, capped[-1][rows], change.signed(1))
    advance = money.share_bp_down(eligible, shares.advance_bp[rows])
    return sheet._replace(
        goods=goods,
        shares=shares,
        worth=worth,
        capped=tuple(capped),
        group_left=tuple(group_left),
        keeping=keeping,
        eligible=goods_module.with_rows(sheet.eligible, rows, eligible),
        advance=goods_module.with_rows(sheet.advance, rows, advance),
        line_value=line_value,
        line_taken=change.taken,
        line_left=line_left,
        line_eligible=sheet.line_eligible + change.sums(eligible - sheet.eligible[rows]),
        line_advance=sheet.line_advance + change.by_class(now, advance) - change.by_class(was, sheet.advance[rows]),
        line_unvalued=line_unvalued,
        costs=costs,
    )


class _Change:
    """How the lines' totals change with some rows, whose lines are `line`."""

    def __init__(self, sheet: Sheet, line: Numbers) -> None:
        self.taken = sheet.line_taken.copy()
        self.line = line
        self._lines = len(sheet.goods.lines)

    def sums(self, changes: Numbers) -> Numbers:
        """The sum of each line's changes, which may be negative."""
        found = np.zeros(self._lines, dtype=np.int64)
        np.add.at(found, self.line, changes)
        return found

    def by_class(self, lots: Columns, advance: Numbers) -> Numbers:
        """Advances by line and class."""
        found = np.zeros((self._lines, len(CLASSES)), dtype=np.int64)
        np.add.at(found, (lots.line, lots.in_class), advance)
        return found

    def signed(self, sign: int) -> "_Signed":
        """Takes what steps take now (1), or gives back what they took (-1)."""
        return _Signed(self, sign)


class _Signed:
    """What steps take of the rows of a change."""

    def __init__(self, change: _Change, sign: int) -> None:
        self._change, self._sign = change, sign

    def take(self, step: str, amounts: Numbers) -> None:
        """See Takes."""
        np.add.at(self._change.taken[:, _STEP[step]], self._change.line, self._sign * amounts)

    def fail(self, tests: Numbers, rows: Numbers, amounts: Numbers) -> None:
        """See Takes."""
        np.add.at(self._change.taken, (self._change.line[rows], tests), self._sign * amounts)


class _Tally:
    """Sums by line, of rows that are sorted by it: of those between the bounds that `begin` gives."""

    def __init__(self, first: Numbers, line: Numbers) -> None:
        self.taken = np.zeros((len(first) - 1, len(STEPS)), dtype=np.int64)
        self._first, self._line = first, line

    def begin(self, rows: slice) -> None:
        """What follows is of these rows."""
        bounds = np.clip(self._first, rows.start, rows.stop) - rows.start
        self._filled = np.flatnonzero(bounds[1:] > bounds[:-1])
        self._starts = bounds[self._filled]
        self._begun = rows.start

    def sums(self, amounts: Numbers) -> Numbers:
        """The sum of each line."""
        found = np.zeros(len(self._first) - 1, dtype=np.int64)
        if len(self._filled):
            found[self._filled] = np.add.reduceat(amounts, self._starts)
        return found

    def take(self, step: str, amounts: Numbers) -> None:
        """See Takes."""
        self.taken[self._filled, _STEP[step]] += np.add.reduceat(amounts, self._starts)

    def fail(self, tests: Numbers, rows: Numbers, amounts: Numbers) -> None:
        """See Takes."""
        np.add.at(self.taken, (self._line[self._begun + rows], tests), amounts)


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


def _worth(lots: Columns, shares: Shares, quotes: Quotes, costs: Numbers, most_minor: Numbers, takes: Takes) -> Worth:
    """What lots are worth, and what the tests leave of it."""
    value, unvalued = _value(lots, shares, quotes, costs, most_minor)
    fails = shares.fails
    if (quotes.fails != PASSED).any():
        fails = np.minimum(fails, quotes.fails[lots.ware])
    if (quotes.cost_fails != PASSED).any():
        of_costs = np.where(lots.pair >= 0, quotes.cost_fails[lots.pair], PASSED)
        fails = np.minimum(fails, of_costs)
    left = value
    if (shares.counted != lots.quantity).any():
        left = np.where(fails < _STOCK, value, money.share_down(value, shares.counted, np.maximum(lots.quantity, 1)))
        takes.take("stock", value - left)
    failing = np.flatnonzero(fails != PASSED)
    if len(failing):
        takes.fail(fails[failing], failing, left[failing])
        left = left.copy()
        left[failing] = 0
    if (shares.salable != lots.quantity).any():
        after = money.share_down(left, shares.salable, np.maximum(lots.quantity, 1))
        takes.take("slow", left - after)
        left = after
    return Worth(fails, value, unvalued, left)


def _cross(
    known: dict[tuple[str, str], Cross | None], market: Prices, source: str, target: str, day: int
) -> Cross | None:
    """The rate of a pair, looked up once; None where there is none."""
    if (source, target) not in known:
        try:
            known[source, target] = market.cross(source, target, day)
        except MarketError:
            known[source, target] = None
    return known[source, target]


def _costs(lots: Columns, quotes: Quotes) -> Numbers:
    """What lots cost in their facility's currency; _FREE where they have no cost, -1 where it cannot be turned over."""
    found = np.full(len(lots.pair), _FREE, dtype=np.int64)
    for block in _blocks(len(found)):
        has_cost = lots.pair[block] >= 0
        rows = block if has_cost.all() else block.start + np.flatnonzero(has_cost)
        pair, cost = lots.pair[rows], lots.cost_minor[rows]
        turned, is_beyond = money.shares_down(cost, quotes.cost_mantissa, quotes.cost_ten, pair)
        is_beyond |= (quotes.cost_ten[pair] == 0) | (cost > money.AMOUNT_MAX_MINOR)
        found[rows] = np.where(is_beyond, -1, turned)
    return found


def _value(
    lots: Columns, shares: Shares, quotes: Quotes, costs: Numbers, most_minor: Numbers
) -> tuple[Numbers, Truths]:
    """The value of lots in their facility's currency; those that have none are worth 0."""
    value, unvalued = money.shares_down(lots.quantity, quotes.price_minor, quotes.per, lots.ware)
    value, is_beyond = money.shares_down(value, quotes.mantissa, quotes.ten, lots.ware)
    unvalued |= is_beyond
    unvalued |= costs < 0
    if (quotes.per == 0).any():
        unvalued |= quotes.per[lots.ware] == 0
    value = np.minimum(value, costs)
    if (shares.nolv_bp != money.BASIS_POINTS).any():
        value = money.share_bp_down(value, shares.nolv_bp)
    if (most_minor < money.AMOUNT_MAX_MINOR).any():
        unvalued |= value > most_minor[lots.line]
    if unvalued.any():
        value[unvalued] = 0
    return value, unvalued


def _group_totals(groups: Groups, amounts: Numbers) -> Numbers:
    """What each group has."""
    found = np.zeros(len(groups.line), dtype=np.int64)
    if len(groups.rows):
        found[1:] = np.add.reduceat(amounts[groups.rows], groups.first[1:-1])
    return found


def _room(goods: Goods, place: int, line_left: Numbers) -> Numbers:
    """What a group of each line may keep in a dimension."""
    cap_bp = np.array([one.cap_bp[place] for one in goods.policies], dtype=np.int64)[goods.policy]
    whole, rest = np.divmod(line_left, money.BASIS_POINTS)  # a line's sum is beyond what share_down may be given
    room = whole * cap_bp + rest * cap_bp // money.BASIS_POINTS
    room[cap_bp == money.BASIS_POINTS] = np.iinfo(np.int64).max
    return room


def _over(goods: Goods, place: int, total: Numbers, line_left: Numbers, among: Numbers | None = None) -> Numbers:
    """The groups of a dimension that have more than their cap, of all or of some."""
    groups = goods.groups[place]
    room = _room(goods, place, line_left)
    some = np.arange(1, len(groups.line)) if among is None else among[among > 0]
    return some[total[some] > room[groups.line[some]]]


def _capped(
    goods: Goods,
    place: int,
    keeping: Numbers,
    left: Numbers,
    total: Numbers,
    line_left: Numbers,
    among: Numbers | None = None,
) -> Numbers:
    """What the caps of a dimension leave; the same where they take nothing. `total` is what each group has."""
    groups = goods.groups[place]
    over = _over(goods, place, total, line_left, among)
    if not len(over):
        return left
    rows = _rows_of(groups, keeping, over)
    amounts = left[rows]
    ends = np.cumsum(groups.first[over + 1] - groups.first[over])
    running = np.cumsum(amounts)
    # What came before a row within its group: the running sum without that of the groups before.
    earlier = np.concatenate([[0], running[ends[:-1] - 1]])
    sizes = np.diff(ends, prepend=0)
    before = running - amounts - np.repeat(earlier, sizes)
    room = np.repeat(_room(goods, place, line_left)[groups.line[over]], sizes)
    after = left.copy()
    after[rows] = np.clip(room - before, 0, amounts)
    return after


def _rows_of(groups: Groups, keeping: Numbers, some: Numbers) -> Numbers:
    """The rows of some groups, one group after the other."""
    return keeping[between(groups.first[some], groups.first[some + 1])]


def _keeping(groups: Groups, advance_bp: Numbers) -> Numbers:
    """The groups' rows in the order in which they keep: what lends most first, then in the order of the rows."""
    rows = groups.rows
    ordered: Numbers = rows[np.lexsort((-advance_bp[rows], groups.of[rows]))]
    return ordered


def _kept_anew(groups: Groups, keeping: Numbers, advance_bp: Numbers, rows: Numbers) -> Numbers:
    """The order of keeping after some rows lend otherwise."""
    after = keeping.copy()
    for group in np.unique(groups.of[rows]).tolist():
        own = slice(groups.first[group], groups.first[group + 1])
        members = groups.rows[own]
        after[own] = members[np.argsort(-advance_bp[members], kind="stable")]
    return after


def _haircut(lots: Columns, shares: Shares, quotes: Quotes, kept: Numbers, takes: Takes) -> Numbers:
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


def base_of(sheet: Sheet, facility: str) -> Base:
    """The borrowing base of a facility. Raises KeyError where there is none of that name."""
    number = sheet.goods.number[facility]
    line = sheet.goods.lines[number]
    taken = sheet.line_taken[number].tolist()
    eligible_minor = int(sheet.line_eligible[number])
    before_haircuts_minor = eligible_minor + sum(taken[_STEP[name]] for name in HAIRCUTS)
    advance = {name: int(one) for name, one in zip(CLASSES, sheet.line_advance[number], strict=True) if one}
    held_back = _held_back(line.policy.sub_limits, advance)
    reserves = {
        one.id: one.amount_minor - (-before_haircuts_minor * one.bp // money.BASIS_POINTS)
        for one in line.policy.reserves
    }
    base_minor = max(0, sum(advance.values()) - sum(held_back.values()) - sum(reserves.values()))
    lendable_minor = min(base_minor, line.limit_minor) if line.limit_minor else base_minor
    headroom_minor = lendable_minor - line.outstanding_minor
    ltv_bp = money.ratio_bp(line.outstanding_minor, eligible_minor)
    outstanding_minor = line.outstanding_minor
    return Base(
        gross_minor=int(sheet.line_value[number]),
        ineligible={name: amount for name, amount in zip(STEPS, taken, strict=True) if amount},
        eligible_minor=eligible_minor,
        advance=advance,
        held_back=held_back,
        reserves=reserves,
        base_minor=base_minor,
        limit_minor=line.limit_minor,
        outstanding_minor=outstanding_minor,
        availability_minor=max(0, headroom_minor),
        headroom_minor=headroom_minor,
        ltv_bp=-1 if ltv_bp is None else ltv_bp,
        cover_bp=eligible_minor * money.BASIS_POINTS // outstanding_minor if outstanding_minor else -1,
        lots=int(sheet.goods.first[number + 1] - sheet.goods.first[number]),
        unvalued=int(sheet.line_unvalued[number]),
    )


def lines_of(sheet: Sheet, facility: str) -> list[LotLine]:
    """What became of each lot of a facility, by lot id. Raises KeyError where there is none of that name."""
    number = sheet.goods.number[facility]
    goods = sheet.goods
    rows = np.arange(goods.first[number], goods.first[number + 1])
    detail = _Detail(len(rows))
    columns = goods.columns.rows(rows)
    shares = _cut(sheet.shares, rows)
    worth = _worth(columns, shares, sheet.quotes, sheet.costs[rows], goods.most_minor, detail)
    for name, before, after in zip(CONCENTRATIONS, sheet.capped, sheet.capped[1:], strict=False):
        if after is not before:
            detail.take(name, (before - after)[rows])
    eligible = _haircut(columns, shares, sheet.quotes, sheet.capped[-1][rows], detail)
    columns_of_steps = [(name, detail.taken[name].tolist()) for name in STEPS if name in detail.taken]
    advance = money.share_bp_down(eligible, shares.advance_bp).tolist()
    return [
        LotLine(
            goods.ids[row],
            value,
            {name: amounts[place] for name, amounts in columns_of_steps if amounts[place]},
            eligible_minor,
            advance_minor,
            CLASSES[in_class],
            is_unvalued,
        )
        for place, (row, value, eligible_minor, advance_minor, in_class, is_unvalued) in enumerate(
            zip(
                rows.tolist(),
                worth.value.tolist(),
                eligible.tolist(),
                advance,
                columns.in_class.tolist(),
                worth.unvalued.tolist(),
                strict=True,
            )
        )
    ]


class _Detail:
    """What each step takes of each lot."""

    def __init__(self, count: int) -> None:
        self.taken: dict[str, Numbers] = {}
        self._count = count

    def take(self, step: str, amounts: Numbers) -> None:
        """See Takes."""
        self.taken[step] = self.taken[step] + amounts if step in self.taken else amounts

    def fail(self, tests: Numbers, rows: Numbers, amounts: Numbers) -> None:
        """See Takes."""
        for number in np.unique(tests).tolist():
            some = tests == number
            taken = np.zeros(self._count, dtype=np.int64)
            taken[rows[some]] = amounts[some]
            self.take(TESTS[number], taken)


def _held_back(sub_limits: Sequence[SubLimit], advance: Mapping[str, int]) -> dict[str, int]:
    """What each sub-limit holds back of the advances of its classes and of what its children let through."""
    children: dict[str, list[SubLimit]] = {}
    for one in sub_limits:
        children.setdefault(one.within, []).append(one)
    held: dict[str, int] = {}

    def let_through(one: SubLimit) -> int:
        amount = sum(advance.get(name, 0) for name in one.classes)
        amount += sum(let_through(child) for child in children.get(one.id, ()))
        if amount > one.limit_minor:
            held[f"sub_limit_{one.id}"] = amount - one.limit_minor
        return min(amount, one.limit_minor)

    for top in children.get("", ()):
        let_through(top)
    return held


def eligible_units(sheet: Sheet, facility: str, sku: str) -> int:
    """How many units of a SKU stand behind what is eligible: of lots of which anything is, those that are counted."""
    goods = sheet.goods
    number = goods.number[facility]
    groups = goods.groups[DIMENSIONS.index("sku")]
    own = np.flatnonzero(groups.line == number)
    for group in own[own > 0].tolist():
        rows = groups.rows[groups.first[group] : groups.first[group + 1]]
        if groups.words[group] == sku:
            return int(sheet.shares.counted[rows][sheet.eligible[rows] > 0].sum())
    return 0
