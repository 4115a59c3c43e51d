"""Concentration: what lots that share a word may keep together, and which of them bear the cut."""

import numpy as np

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.collateral.goods import Goods, Groups
from pledgewatch_cloud.decide.columns import Numbers, between


def group_totals(groups: Groups, amounts: Numbers) -> Numbers:
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


def groups_over(goods: Goods, place: int, total: Numbers, line_left: Numbers, among: Numbers | None = None) -> Numbers:
    """The groups of a dimension that have more than their cap, of all or of some."""
    groups = goods.groups[place]
    room = _room(goods, place, line_left)
    some = np.arange(1, len(groups.line)) if among is None else among[among > 0]
    return some[total[some] > room[groups.line[some]]]


def capped(
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
    over = groups_over(goods, place, total, line_left, among)
    if not len(over):
        return left
    rows = rows_of(groups, keeping, over)
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


def rows_of(groups: Groups, keeping: Numbers, some: Numbers) -> Numbers:
    """The rows of some groups, one group after the other."""
    return keeping[between(groups.first[some], groups.first[some + 1])]


def keeping_order(groups: Groups, advance_bp: Numbers) -> Numbers:
    """The groups' rows in the order in which they keep: what lends most first, then in the order of the rows."""
    rows = groups.rows
    ordered: Numbers = rows[np.lexsort((-advance_bp[rows], groups.of[rows]))]
    return ordered


def kept_anew(groups: Groups, keeping: Numbers, advance_bp: Numbers, rows: Numbers) -> Numbers:
    """The order of keeping after some rows lend otherwise."""
    after = keeping.copy()
    for group in np.unique(groups.of[rows]).tolist():
        own = slice(groups.first[group], groups.first[group + 1])
        members = groups.rows[own]
        after[own] = members[np.argsort(-advance_bp[members], kind="stable")]
    return after
