"""The sheet: every lot of every facility at a moment. docs/BORROWING_BASE.md is what it computes.

All lots are valued at once. When something changes for a few, only those are valued anew: a sheet keeps what each lot
came to and each facility's totals, and `refreshed` gives the sheet after the change, with the same numbers as if
everything had been computed again (tests/test_base_laws.py).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.collateral import concentration
from pledgewatch_cloud.decide.collateral import goods as goods_module
from pledgewatch_cloud.decide.collateral.goods import DAY_MS, Columns, Goods, Shares, with_rows
from pledgewatch_cloud.decide.collateral.quotes import Prices, Quotes, quotes_of
from pledgewatch_cloud.decide.collateral.result import CONCENTRATIONS, STEPS
from pledgewatch_cloud.decide.collateral.terms import CLASSES
from pledgewatch_cloud.decide.collateral.worth import BLOCK, Worth, blocks, costs_of, haircut, priced_of, worth_of
from pledgewatch_cloud.decide.columns import Numbers

STEP = {name: place for place, name in enumerate(STEPS)}
Shape = TypeVar("Shape", Columns, Shares, Worth)
_NONE = np.zeros(0, dtype=np.int64)


class Totals(NamedTuple):
    """By line: the `value` of its lots, what each step has `taken`, what tests have `left`, what is `eligible`, the
    `advance` by class, and how many lots are `unvalued`."""

    value: Numbers
    taken: Numbers
    left: Numbers
    eligible: Numbers
    advance: Numbers
    unvalued: Numbers


class Sheet(NamedTuple):
    """Every lot and every facility at a moment.

    `priced` and `costs` as `priced_of` and `costs_of` have them. `capped` is what is left before the first dimension of
    concentration and after each; `group_left` what each group of a dimension has before its cap, where any policy has
    one, `keeping` the groups' rows in the order in which they keep. `eligible` is what haircuts have left.
    """

    goods: Goods
    day: int
    shares: Shares
    quotes: Quotes
    priced: Numbers
    costs: Numbers
    worth: Worth
    capped: tuple[Numbers, ...]
    group_left: tuple[Numbers, ...]
    keeping: tuple[Numbers, ...]
    eligible: Numbers
    advance: Numbers
    totals: Totals


def revalued(goods: Goods, market: Prices, now_ms: int) -> Sheet:
    """Every lot anew."""
    day = now_ms // DAY_MS
    shares = goods_module.shares(goods.columns, goods, now_ms)
    keeping = tuple(concentration.keeping_order(groups, shares.advance_bp) for groups in goods.groups)
    quotes = quotes_of(goods, market, day)
    priced, costs = priced_of(goods.columns, quotes), costs_of(goods.columns, quotes)
    return _settled(goods, shares, keeping, quotes, priced, costs, day)


def repriced(sheet: Sheet, quotes: Quotes, day: int) -> Sheet:
    """Every lot at other quotes; nothing else has changed since the sheet, nor has a moment come."""
    was, columns = sheet.quotes, sheet.goods.columns
    if quotes.same_as(was):
        return sheet._replace(day=day)
    priced, costs = sheet.priced, sheet.costs
    if not _same(was, quotes, "price_minor", "per"):
        priced = priced_of(columns, quotes)
    if not _same(was, quotes, "cost_mantissa", "cost_ten"):
        costs = costs_of(columns, quotes)
    return _settled(sheet.goods, sheet.shares, sheet.keeping, quotes, priced, costs, day)


def _same(one: Quotes, other: Quotes, *names: str) -> bool:
    """Whether some columns of quotes are the same."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


class Shocked(NamedTuple):
    """What is otherwise: what each ware and each cost comes to is so many basis points of what it is, and some rows are
    `lost`, which ascend."""

    ware_bp: Numbers
    pair_bp: Numbers
    lost: Numbers


def shocked(sheet: Sheet, shocks: Sequence[Shocked]) -> list[Totals]:
    """The totals as they would be under each of some shocks."""
    goods = sheet.goods
    under = [(_shocked_quotes(sheet.quotes, shock), shock, _Tally(goods)) for shock in shocks]
    # What the lots of a span are stays near the processor while shock after shock goes over it.
    for span in _spans(goods, sheet.shares):
        for quotes, shock, tally in under:
            own = span.rows
            priced, costs = sheet.priced[own], sheet.costs[own]
            if (shock.pair_bp != money.BASIS_POINTS).any():
                costs = costs_of(rows_of(goods.columns, own), quotes)
            lost = shock.lost[slice(*np.searchsorted(shock.lost, (own.start, own.stop)))]
            if len(lost):
                priced = priced.copy()
                priced[lost - own.start] = np.where(quotes.per[goods.columns.ware[lost]] == 0, -1, 0)
            _part(span, _Work(goods, sheet.keeping, quotes, priced, costs), tally)
    return [tally.totals for _, _, tally in under]


def _shocked_quotes(quotes: Quotes, shock: Shocked) -> Quotes:
    mantissa, ten = _scaled(quotes.mantissa, quotes.ten, shock.ware_bp)
    cost_mantissa, cost_ten = _scaled(quotes.cost_mantissa, quotes.cost_ten, shock.pair_bp)
    return quotes._replace(mantissa=mantissa, ten=ten, cost_mantissa=cost_mantissa, cost_ten=cost_ten)


def _scaled(mantissa: Numbers, ten: Numbers, share_bp: Numbers) -> tuple[Numbers, Numbers]:
    """Ways into a currency times a share. What is one to one has no digits to spare, so it gets some."""
    is_same = (mantissa == 1) & (ten == 1)
    scaled = money.share_down(mantissa, share_bp, money.BASIS_POINTS)
    return np.where(is_same, share_bp, scaled), np.where(is_same, money.BASIS_POINTS, ten)


def _settled(
    goods: Goods,
    shares: Shares,
    keeping: tuple[Numbers, ...],
    quotes: Quotes,
    priced: Numbers,
    costs: Numbers,
    day: int,
) -> Sheet:
    """The sheet of lots that come to so much at their quotes, and cost so much."""
    count, tally = len(goods.ids), _Tally(goods)
    worth = Worth._make(np.zeros(count, dtype=kind) for kind in (np.int64, np.bool_, np.int64))
    eligible, advance = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    group_left = tuple(np.zeros(len(groups.line), dtype=np.int64) for groups in goods.groups)
    cuts: list[list[_Cut]] = [[] for _ in CONCENTRATIONS]
    for span in _spans(goods, shares):
        rows = span.rows
        part = _part(span, _Work(goods, keeping, quotes, priced[rows], costs[rows]), tally)
        found = *part.worth, part.eligible, part.advance
        for column, some in zip((*worth, eligible, advance), found, strict=True):
            column[rows] = some
        for cap, cut in zip(span.caps, part.cuts, strict=True):
            group_left[cap.place][cap.groups] = cut.total
            if len(cut.rows):
                cuts[cap.place].append(cut)
    capped = [worth.left]
    for of_dimension in cuts:
        after = capped[-1].copy() if of_dimension else capped[-1]
        for cut in of_dimension:
            after[cut.rows] = cut.kept
        capped.append(after)
    return Sheet(
        goods=goods,
        day=day,
        shares=shares,
        quotes=quotes,
        priced=priced,
        costs=costs,
        worth=worth,
        capped=tuple(capped),
        group_left=group_left,
        keeping=keeping,
        eligible=eligible,
        advance=advance,
        totals=tally.totals,
    )


class _Stretch(NamedTuple):
    """Rows that follow one another: the lines that have any of them, and where those of each start among them."""

    rows: slice
    lines: Numbers
    starts: Numbers


class _Block(NamedTuple):
    """Some rows of a span."""

    stretch: _Stretch
    columns: Columns
    shares: Shares


class _Caps(NamedTuple):
    """A dimension that has caps, for the groups of a span: its place, the groups, which follow one another, the line
    and the cap of each, its rows within the span, those of one group after the other, and where each group starts."""

    place: int
    groups: Numbers
    line: Numbers
    cap_bp: Numbers
    rows: Numbers
    starts: Numbers


class _Span(NamedTuple):
    """The rows of whole lines, as many as stay near the processor, or of one line that has more, block by block."""

    stretch: _Stretch
    blocks: tuple[_Block, ...]
    caps: tuple[_Caps, ...]

    @property
    def rows(self) -> slice:
        return self.stretch.rows


class _Cut(NamedTuple):
    """What a dimension does to the rows of a span: what each group has in `total` before it, and the rows of those that
    have more than their cap, with what they keep."""

    total: Numbers
    rows: Numbers
    kept: Numbers


class _Work(NamedTuple):
    """What the rows of a span are valued by: what they come to at their quotes and what they cost."""

    goods: Goods
    keeping: tuple[Numbers, ...]
    quotes: Quotes
    priced: Numbers
    costs: Numbers


class _Part(NamedTuple):
    """What becomes of the rows of a span; a cut for each of its caps. See Sheet."""

    worth: Worth
    cuts: list[_Cut]
    eligible: Numbers
    advance: Numbers


def _spans(goods: Goods, shares: Shares) -> Iterator[_Span]:
    """All rows."""
    capped = [place for place in range(len(CONCENTRATIONS)) if concentration.has_caps(goods, place)]
    first, lines, start = goods.first, len(goods.lines), 0
    while start < lines:
        stop = max(start + 1, int(np.searchsorted(first, first[start] + BLOCK, side="right")) - 1)
        own, begun, end = np.arange(start, stop), int(first[start]), int(first[stop])
        start = stop
        if begun == end:
            continue
        yield _Span(
            _stretch(first, slice(begun, end)),
            tuple(
                _Block(_stretch(first, block), rows_of(goods.columns, block), rows_of(shares, block))
                for block in blocks(end, begun)
            ),
            tuple(_caps(goods, place, own, begun) for place in capped),
        )


def _stretch(first: Numbers, rows: slice) -> _Stretch:
    bounds = np.clip(first, rows.start, rows.stop) - rows.start
    lines = np.flatnonzero(bounds[1:] > bounds[:-1])
    return _Stretch(rows, lines, bounds[lines])


def _caps(goods: Goods, place: int, lines: Numbers, begun: int) -> _Caps:
    groups = goods.groups[place]
    some = concentration.groups_of(groups, lines)
    starts = groups.first[some]
    rows = groups.rows[starts[0] : groups.first[some[-1] + 1]] if len(some) else _NONE
    line, cap_bp = groups.line[some], concentration.caps_bp(goods, place, some)
    return _Caps(place, some, line, cap_bp, rows - begun, starts - starts[:1])


def _part(span: _Span, work: _Work, tally: "_Tally") -> _Part:
    """The waterfall, for the rows of a span. The tally is told of all of it."""
    worth = Worth._make(map(_joined, zip(*_worths(span, work, tally), strict=True)))
    cuts, left = [], worth.left
    tally.begin(span.stretch)
    for caps in span.caps:
        cut = _cut(caps, work, span.rows.start, left, tally.totals.left)
        if len(cut.rows):
            before, left = left, left.copy()
            left[cut.rows - span.rows.start] = cut.kept
            tally.take(CONCENTRATIONS[caps.place], before - left)
        cuts.append(cut)
    eligible, advance = map(_joined, zip(*_lent(span, work, left, tally), strict=True))
    return _Part(worth, cuts, eligible, advance)


def _joined(pieces: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _within(span: _Span, block: _Block) -> slice:
    """The place of a block's rows in those of its span."""
    rows, begun = block.stretch.rows, span.rows.start
    return slice(rows.start - begun, rows.stop - begun)


def _worths(span: _Span, work: _Work, tally: "_Tally") -> Iterator[Worth]:
    """What the rows are worth, block by block."""
    quotes, most_minor, totals = work.quotes, work.goods.most_minor, tally.totals
    for block in span.blocks:
        tally.begin(block.stretch)
        own = _within(span, block)
        worth = worth_of(block.columns, block.shares, quotes, work.priced[own], work.costs[own], most_minor, tally)
        tally.add(totals.value, worth.value)
        tally.add(totals.left, worth.left)
        if worth.unvalued.any():
            tally.add(totals.unvalued, worth.unvalued.astype(np.int64))
        yield worth


def _cut(caps: _Caps, work: _Work, begun: int, left: Numbers, line_left: Numbers) -> _Cut:
    """What a dimension does to the rows of a span, from `begun` on, of which so much is `left`."""
    if not len(caps.groups):
        return _Cut(_NONE, _NONE, _NONE)
    total = np.add.reduceat(left[caps.rows], caps.starts)
    room = concentration.room(caps.cap_bp, line_left[caps.line])
    is_over = total > room
    if not is_over.any():
        return _Cut(total, _NONE, _NONE)
    over, groups = caps.groups[is_over], work.goods.groups[caps.place]
    rows = concentration.rows_of(groups, work.keeping[caps.place], over)
    return _Cut(total, rows, concentration.kept(groups, over, left[rows - begun], room[is_over]))


def _lent(span: _Span, work: _Work, left: Numbers, tally: "_Tally") -> Iterator[tuple[Numbers, Numbers]]:
    """What is eligible of the rows, of which so much is `left`, and the advance on it, block by block."""
    totals = tally.totals
    for block in span.blocks:
        tally.begin(block.stretch)
        columns, shares = block.columns, block.shares
        eligible = haircut(columns, shares, work.quotes, left[_within(span, block)], tally)
        advance = money.share_bp_down(eligible, shares.advance_bp)
        tally.add(totals.eligible, eligible)
        by_class = money.totals(columns.line * len(CLASSES) + columns.in_class, advance, totals.advance.size)
        totals.advance[:] += by_class.reshape(totals.advance.shape)
        yield eligible, advance


def rows_of(columns: Shape, rows: slice | Numbers) -> Shape:
    """Some rows of columns."""
    return type(columns)._make(column[rows] for column in columns)


def refreshed(sheet: Sheet, rows: Numbers, columns: Columns, now_ms: int) -> Sheet:
    """The sheet after some rows stand as `columns` say, and the others as before, on the same day.

    What a lot shares with others (its facility, ware, pair and the words of its dimensions) must be as before.
    """
    if not len(rows):
        return sheet
    goods, quotes, most_minor = sheet.goods, sheet.quotes, sheet.goods.most_minor
    shares = goods_module.shares(columns, goods, now_ms)
    priced, costs = priced_of(columns, quotes), costs_of(columns, quotes)
    change = _Change(sheet.totals, columns.line)
    was, was_shares = rows_of(goods.columns, rows), rows_of(sheet.shares, rows)
    worth_of(was, was_shares, quotes, sheet.priced[rows], sheet.costs[rows], most_minor, change.signed(-1))
    worth = worth_of(columns, shares, quotes, priced, costs, most_minor, change.signed(1))
    change.add(change.totals.value, worth.value - sheet.worth.value[rows])
    change.add(change.totals.left, worth.left - sheet.worth.left[rows])
    change.add(change.totals.unvalued, worth.unvalued.astype(np.int64) - sheet.worth.unvalued[rows])
    after = sheet._replace(
        goods=goods._replace(columns=_with_rows(goods.columns, rows, columns)),
        shares=_with_rows(sheet.shares, rows, shares),
        priced=with_rows(sheet.priced, rows, priced),
        costs=with_rows(sheet.costs, rows, costs),
        worth=_with_rows(sheet.worth, rows, worth),
        totals=change.totals,
    )
    if after.shares.advance_bp is not sheet.shares.advance_bp:
        orders = zip(goods.groups, sheet.keeping, strict=True)
        advance_bp = after.shares.advance_bp
        after = after._replace(
            keeping=tuple(concentration.kept_anew(groups, order, advance_bp, rows) for groups, order in orders)
        )
    after, rows = _capped_anew(sheet, after, rows, change)
    was, columns = rows_of(goods.columns, rows), rows_of(after.goods.columns, rows)
    was_shares, shares = rows_of(sheet.shares, rows), rows_of(after.shares, rows)
    haircut(was, was_shares, quotes, sheet.capped[-1][rows], change.signed(-1))
    eligible = haircut(columns, shares, quotes, after.capped[-1][rows], change.signed(1))
    advance = money.share_bp_down(eligible, shares.advance_bp)
    change.add(change.totals.eligible, eligible - sheet.eligible[rows])
    _add_at(change.totals.advance, was.line, was.in_class, -sheet.advance[rows])
    _add_at(change.totals.advance, columns.line, columns.in_class, advance)
    return after._replace(
        eligible=with_rows(sheet.eligible, rows, eligible), advance=with_rows(sheet.advance, rows, advance)
    )


def _with_rows(columns: Shape, rows: Numbers, others: Shape) -> Shape:
    """Columns with some of their rows changed. What does not change is shared."""
    return type(columns)._make(with_rows(column, rows, other) for column, other in zip(columns, others, strict=True))


def _capped_anew(sheet: Sheet, after: Sheet, rows: Numbers, change: "_Change") -> tuple[Sheet, Numbers]:
    """The sheet after concentration, some rows having come to something else, and the rows that are left otherwise: the
    same and more, and the change's own from here on."""
    goods, moved = sheet.goods, rows
    lines = np.unique(change.line)
    capped, group_left = [after.worth.left], list(sheet.group_left)
    for place, name in enumerate(CONCENTRATIONS):
        groups, left, left_before, after_before = goods.groups[place], capped[-1], *sheet.capped[place : place + 2]
        cut = kept = _NONE
        if concentration.has_caps(goods, place):
            before, total = group_left[place], group_left[place].copy()
            np.add.at(total, groups.of[moved], left[moved] - left_before[moved])
            group_left[place] = total
            some = concentration.groups_of(groups, lines)
            cap_bp, line = concentration.caps_bp(goods, place, some), groups.line[some]
            room = concentration.room(cap_bp, after.totals.left[line])
            was_over = before[some] > concentration.room(cap_bp, sheet.totals.left[line])
            is_over = was_over | (total[some] > room)
            cut = concentration.rows_of(groups, after.keeping[place], some[is_over])
            kept = concentration.kept(groups, some[is_over], left[cut], room[is_over])
        if not len(cut) and after_before is left_before:
            capped.append(left)
            continue
        # Of a row that has moved and is cut, what it keeps counts, which comes last.
        now = with_rows(after_before, np.concatenate([moved, cut]), np.concatenate([left[moved], kept]))
        capped.append(now)
        if len(cut):
            moved = np.union1d(moved, cut[kept != after_before[cut]])
            change.line = goods.columns.line[moved]
        change.signed(1).take(name, (left[moved] - now[moved]) - (left_before[moved] - after_before[moved]))
    return after._replace(capped=tuple(capped), group_left=tuple(group_left)), moved


class _Change:
    """How the lines' totals change with some rows, whose lines are `line`."""

    def __init__(self, totals: Totals, line: Numbers) -> None:
        self.totals = Totals._make(one.copy() for one in totals)
        self.line = line

    def add(self, total: Numbers, changes: Numbers) -> None:
        """Add the rows' changes, which may be negative, to a total by line."""
        np.add.at(total, self.line, changes)

    def signed(self, sign: int) -> "_Signed":
        """Takes what steps take now (1), or gives back what they took (-1)."""
        return _Signed(self, sign)


class _Signed:
    """What steps take of the rows of a change."""

    def __init__(self, change: _Change, sign: int) -> None:
        self._change, self._sign = change, sign

    def take(self, step: str, amounts: Numbers) -> None:
        """See Takes."""
        self._change.add(self._change.totals.taken[:, STEP[step]], self._sign * amounts)

    def test(self, tests: Numbers, rows: Numbers, amounts: Numbers) -> None:
        """See Takes."""
        _add_at(self._change.totals.taken, self._change.line[rows], tests, self._sign * amounts)


class _Tally:
    """Sums by line, of rows that are sorted by it: of those between the bounds that `begin` gives."""

    def __init__(self, goods: Goods) -> None:
        lines = len(goods.lines)
        shapes = {"taken": (lines, len(STEPS)), "advance": (lines, len(CLASSES))}
        self.totals = Totals._make(np.zeros(shapes.get(name, lines), dtype=np.int64) for name in Totals._fields)
        self._line = goods.columns.line

    def begin(self, stretch: _Stretch) -> None:
        """What follows is of these rows."""
        self._stretch = stretch

    def add(self, total: Numbers, amounts: Numbers) -> None:
        """Add amounts of the rows to a total by line."""
        total[self._stretch.lines] += np.add.reduceat(amounts, self._stretch.starts)

    def take(self, step: str, amounts: Numbers) -> None:
        """See Takes."""
        self.add(self.totals.taken[:, STEP[step]], amounts)

    def test(self, tests: Numbers, rows: Numbers, amounts: Numbers) -> None:
        """See Takes."""
        _add_at(self.totals.taken, self._line[self._stretch.rows][rows], tests, amounts)


def _add_at(table: Numbers, rows: Numbers, columns: Numbers, amounts: Numbers) -> None:
    """Add amounts to a table, each in its row and column; numpy is slow at that with two indices."""
    np.add.at(table.reshape(-1), rows * table.shape[1] + columns, amounts)
