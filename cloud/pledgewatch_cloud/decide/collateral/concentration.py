"""Concentration: what lots that share a word may keep together, and which of them bear the cut."""

import numpy as np

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.collateral.goods import Goods, Groups
from pledgewatch_cloud.decide.columns import Numbers, between

_NO_CAP = np.iinfo(np.int64).max


def has_caps(goods: Goods, place: int) -> bool:
    """Whether any policy caps a dimension."""
    return any(one.cap_bp[place] < money.BASIS_POINTS for one in goods.policies)


def groups_of(groups: Groups, lines: Numbers) -> Numbers:
    """The groups of some lines. Those of one line follow one another, after those of the lines before it."""
    line = groups.line[1:]
    return between(1 + np.searchsorted(line, lines), 1 + np.searchsorted(line, lines, side="right"))


def caps_bp(goods: Goods, place: int, some: Numbers) -> Numbers:
    """The cap of each of some groups of a dimension."""
    by_policy = np.array([one.cap_bp[place] for one in goods.policies], dtype=np.int64)
    found: Numbers = by_policy[goods.policy[goods.groups[place].line[some]]]
    return found


def room(cap_bp: Numbers, line_left: Numbers) -> Numbers:
    """What groups may keep, by the cap of each and by what tests have left of its line."""
    whole, rest = np.divmod(line_left, money.BASIS_POINTS)  # a line's sum is beyond what share_down may be given
    found: Numbers = whole * cap_bp + rest * cap_bp // money.BASIS_POINTS
    found[cap_bp == money.BASIS_POINTS] = _NO_CAP
    return found


def kept(groups: Groups, some: Numbers, amounts: Numbers, room: Numbers) -> Numbers:
    """What is kept of the amounts of some groups' rows, which are in the order of `rows_of`, with so much `room` for
    each group."""
    sizes = groups.first[some + 1] - groups.first[some]
    before = np.cumsum(amounts)
    before -= amounts
    # What came before a row within its group: what came before it, less what came before its group. Sums over several
    # facilities may wrap round; their differences do not.
    left: Numbers = np.repeat(room + before[np.cumsum(sizes) - sizes], sizes)
    left -= before
    np.clip(left, 0, amounts, out=left)
    return left


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
