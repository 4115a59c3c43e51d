"""The sheet: every lot of every facility at a moment. docs/BORROWING_BASE.md is what it computes.

All lots are valued at once. When something changes for a few, only those are valued anew: a sheet keeps what each lot
came to and each facility's totals, and `refreshed` gives the sheet after the change, with the same numbers as if
everything had been computed again (tests/test_base_laws.py).
"""

from typing import NamedTuple, TypeVar

import numpy as np

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.collateral import concentration
from pledgewatch_cloud.decide.collateral import goods as goods_module
from pledgewatch_cloud.decide.collateral.goods import DAY_MS, Columns, Goods, Shares
from pledgewatch_cloud.decide.collateral.quotes import Prices, Quotes, quotes_of
from pledgewatch_cloud.decide.collateral.result import CONCENTRATIONS, STEPS
from pledgewatch_cloud.decide.collateral.terms import CLASSES
from pledgewatch_cloud.decide.collateral.worth import Worth, blocks, costs_of, haircut, worth_of
from pledgewatch_cloud.decide.columns import Numbers

STEP = {name: place for place, name in enumerate(STEPS)}
Shape = TypeVar("Shape", Columns, Shares)


class Sheet(NamedTuple):
    """Every lot and every facility at a moment.

    `capped` is what is left before the first dimension of concentration and after each; `group_left` what each group of
    a dimension has before its cap, `keeping` the groups' rows in the order in which they keep. `eligible` is what
    haircuts have left. By line: `value`, `taken` by step, `left` and `eligible` in all, `advance` by class, and how
    many lots are `unvalued`. `costs` as `costs_of` has them.
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
    keeping = tuple(concentration.keeping_order(groups, shares.advance_bp) for groups in goods.groups)
    quotes = quotes_of(goods, market, day)
    return _settled(goods, shares, keeping, quotes, costs_of(goods.columns, quotes), day)


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
    return costs_of(sheet.goods.columns, quotes)


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
    for block in blocks(count):
        tally.begin(block)
        part = worth_of(rows_of(columns, block), rows_of(shares, block), quotes, costs[block], goods.most_minor, tally)
        for column, some in zip(worth, part, strict=True):
            column[block] = some
    tally.begin(slice(0, count))
    line_left = tally.sums(worth.left)
    capped, group_left = [worth.left], []
    for place, name in enumerate(CONCENTRATIONS):
        groups, left = goods.groups[place], capped[-1]
        total = concentration.group_totals(groups, left)
        after = concentration.capped(goods, place, keeping[place], left, total, line_left)
        if after is not left:
            tally.take(name, left - after)
        capped.append(after)
        group_left.append(total)
    eligible, advance = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    line_advance = np.zeros(lines * len(CLASSES), dtype=np.int64)
    for block in blocks(count):
        tally.begin(block)
        part_columns, part_shares = rows_of(columns, block), rows_of(shares, block)
        eligible[block] = haircut(part_columns, part_shares, quotes, capped[-1][block], tally)
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


def rows_of(columns: Shape, rows: slice | Numbers) -> Shape:
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
    worth_of(was, rows_of(sheet.shares, rows), sheet.quotes, sheet.costs[rows], goods.most_minor, change.signed(-1))
    costs = costs_of(now, sheet.quotes)
    fresh = worth_of(now, rows_of(shares, rows), sheet.quotes, costs, goods.most_minor, change.signed(1))
    costs = goods_module.with_rows(sheet.costs, rows, costs)
    line_value = sheet.line_value + change.sums(fresh.value - worth.value[rows])
    line_left = sheet.line_left + change.sums(fresh.left - worth.left[rows])
    line_unvalued = sheet.line_unvalued + change.sums(fresh.unvalued.astype(np.int64) - worth.unvalued[rows])
    worth = Worth._make(goods_module.with_rows(column, rows, other) for column, other in zip(worth, fresh, strict=True))
    keeping = sheet.keeping
    if shares.advance_bp is not sheet.shares.advance_bp:
        pairs = zip(goods.groups, keeping, strict=True)
        keeping = tuple(concentration.kept_anew(groups, before, shares.advance_bp, rows) for groups, before in pairs)
    lines = np.unique(now.line)
    capped, group_left = [worth.left], []
    moved = rows
    for place, name in enumerate(CONCENTRATIONS):
        groups, left, left_before, after_before = goods.groups[place], capped[-1], *sheet.capped[place : place + 2]
        total = sheet.group_left[place].copy()
        np.add.at(total, groups.of[moved], left[moved] - left_before[moved])
        touched = np.flatnonzero(np.isin(groups.line, lines))
        over = concentration.groups_over(goods, place, sheet.group_left[place], sheet.line_left, touched)
        over = np.union1d(over, concentration.groups_over(goods, place, total, line_left, touched))
        if not len(over) and after_before is left_before:
            after = left
        else:
            after = goods_module.with_rows(after_before, moved, left[moved])
        if len(over):
            after = after.copy() if after is after_before else after
            cut = concentration.rows_of(groups, keeping[place], over)
            after[cut] = left[cut]
            after = concentration.capped(goods, place, keeping[place], after, total, line_left, touched)
            moved = np.union1d(moved, cut[after[cut] != after_before[cut]])
            change.line = goods.columns.line[moved]
        taken = (left[moved] - after[moved]) - (left_before[moved] - after_before[moved])
        change.signed(1).take(name, taken)
        capped.append(after)
        group_left.append(total)
    rows = moved
    was, now = sheet.goods.columns.rows(rows), goods.columns.rows(rows)
    haircut(was, rows_of(sheet.shares, rows), sheet.quotes, sheet.capped[-1][rows], change.signed(-1))
    eligible = haircut(now, rows_of(shares, rows), sheet.quotes, capped[-1][rows], change.signed(1))
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
        np.add.at(self._change.taken[:, STEP[step]], self._change.line, self._sign * amounts)

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
        self.taken[self._filled, STEP[step]] += np.add.reduceat(amounts, self._starts)

    def fail(self, tests: Numbers, rows: Numbers, amounts: Numbers) -> None:
        """See Takes."""
        np.add.at(self.taken, (self._line[self._begun + rows], tests), amounts)
