"""Lots as columns: what the book and the facts say of them, a row for each, and what of it depends on the moment.

Rows are sorted by facility and then by lot, so the lots of a facility follow one another. What lots have in common is
looked up once and stands in a row as a number: a `ware` is a price series with the currency and policy of the facility
that lends on it, a `pair` the currency of a cost with the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.collateral.result import TESTS
from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.collateral.terms import CLASSES, DIMENSIONS, Band, Line, Policy
from pledgewatch_cloud.decide.columns import Numbers, Truths
from pledgewatch_cloud.decide.stretches import NEVER

DAY_MS = 86_400_000
NO_SALES_DAYS = 1_000_000
"""Days on hand of what is not sold at all."""
UNKNOWN_DAYS = 10**9
"""Age of what nobody knows the age of: beyond any bound, for unknown is not fine."""
PASSED = len(TESTS)
"""The place of a test for what passes all of them."""
TEST = {name: place for place, name in enumerate(TESTS)}


def with_rows(column: NDArray[Any], rows: Numbers, others: NDArray[Any]) -> NDArray[Any]:
    """A column with some of its rows changed; the same where none is."""
    if (column[rows] == others).all():
        return column
    after = column.copy()
    after[rows] = others
    return after


class Columns(NamedTuple):
    """Lots, a row for each. Amounts, moments and -1 as in LotStanding; `cost_minor` is that of the whole lot.

    `line` is the facility's place in Goods.lines, `ware` and `pair` those in its lists (`pair` -1: the lot has no
    cost). `receipt_until_ms` and `papers_until_ms` are when what the policy asks for ends, -NEVER where it is missing.
    `is_placed`: the fences and the country are such as the policy takes.
    """

    line: Numbers
    ware: Numbers
    pair: Numbers
    quantity: Numbers
    haircut_bp: Numbers
    cost_minor: Numbers
    counted: Numbers
    counted_ms: Numbers
    receipt_until_ms: Numbers
    missing: Numbers
    is_matched: Truths
    in_class: Numbers
    is_placed: Truths
    evidence_ms: Numbers
    is_dark: Truths
    is_breached: Truths
    loss_bp: Numbers
    papers_until_ms: Numbers
    received_ms: Numbers
    expires_ms: Numbers
    sold_milli_per_day: Numbers
    nolv_bp: Numbers
    nolv_until_ms: Numbers
    turns_ms: Numbers

    def rows(self, rows: Numbers) -> "Columns":
        """Some of the lots."""
        return Columns._make(column[rows] for column in self)


class Groups(NamedTuple):
    """Lots that share a word of a dimension within their facility: `of` each lot (0: of none), the `line` of each
    group, its word, and its rows: `rows[first[g]:first[g + 1]]`, ascending. Group 0 is no group and has no rows."""

    of: Numbers
    line: Numbers
    words: list[str]
    rows: Numbers
    first: Numbers


class Goods(NamedTuple):
    """All lots of all lines. Lots of line l are the rows from `first[l]` up to `first[l + 1]`.

    `number` is the way from a facility's id to its line, `place` from a lot's to its row; `policy` is each line's place
    among the policies. `wares` are series, currency and policy, `pairs` two currencies and policy, with their numbers.
    `most_minor`: by line, what one of its lots may be worth, so that all of them add up.
    """

    lines: tuple[Line, ...]
    number: Mapping[str, int]
    policies: tuple[Policy, ...]
    policy: Numbers
    wares: dict[tuple[str, str, int], int]
    pairs: dict[tuple[str, str, int], int]
    ids: list[str]
    place: Mapping[str, int]
    first: Numbers
    most_minor: Numbers
    groups: tuple[Groups, ...]
    columns: Columns


class Shares(NamedTuple):
    """What of a lot depends on the moment but on no price, by row.

    `fails` is the place of the first test that takes the whole lot, PASSED where none does; `counted` and `salable`
    are of the lot's quantity; haircuts and `nolv_bp` in basis points, `advance_bp` the class's. `is_fresh` 1: its
    evidence is young enough. `due_ms`: the first moment at which any of it may change by time alone.
    """

    fails: Numbers
    counted: Numbers
    salable: Numbers
    nolv_bp: Numbers
    condition_bp: Numbers
    ageing_bp: Numbers
    age_bp: Numbers
    sell_bp: Numbers
    advance_bp: Numbers
    is_fresh: Numbers
    due_ms: Numbers


_NONE = Columns._make(np.zeros(0, dtype=np.int64) for _ in Columns._fields)


def goods_of(lines: Sequence[Line], lots: Sequence[LotStanding]) -> Goods:
    """Put lots, in any order, into columns. Every lot's facility must be among the lines."""
    lines = tuple(sorted(lines, key=lambda one: one.id))
    policies = tuple(dict.fromkeys(one.policy for one in lines))
    policy_number = {one: number for number, one in enumerate(policies)}
    policy = np.array([policy_number[one.policy] for one in lines], dtype=np.int64)
    ordered = sorted(lots, key=lambda one: (one.facility, one.id))
    number = {one.id: place for place, one in enumerate(lines)}
    line = _column([number[one.facility] for one in ordered])
    ids = [one.id for one in ordered]
    place = {lot: row for row, lot in enumerate(ids)}
    first = np.searchsorted(line, np.arange(len(lines) + 1))
    groups = tuple(_groups(ordered, line, dimension) for dimension in DIMENSIONS)
    most_minor = np.minimum(money.AMOUNT_MAX_MINOR, money.TOTAL_MAX_MINOR // np.maximum(np.diff(first), 1))
    goods = Goods(lines, number, policies, policy, {}, {}, ids, place, first, most_minor, groups, _NONE)
    return goods._replace(columns=columns_of(ordered, goods))


def columns_of(lots: Sequence[LotStanding], goods: Goods) -> Columns:
    """Lots as columns. Wares and pairs that are new are added to those of the goods."""
    wares, pairs, policy = goods.wares, goods.pairs, goods.policy.tolist()
    line_of = [goods.number[one.facility] for one in lots]
    ware, pair = [], []
    for lot, number in zip(lots, line_of, strict=True):
        currency = goods.lines[number].currency
        ware.append(wares.setdefault((lot.series, currency, policy[number]), len(wares)))
        key = lot.cost_currency, currency, policy[number]
        pair.append(-1 if lot.cost_minor < 0 else pairs.setdefault(key, len(pairs)))
    both = [(lot, goods.lines[number].policy) for lot, number in zip(lots, line_of, strict=True)]
    cost = [-1 if one.cost_minor < 0 else one.quantity * one.cost_minor // one.cost_per for one in lots]
    return Columns(
        line=_column(line_of),
        ware=_column(ware),
        pair=_column(pair),
        quantity=_column([one.quantity for one in lots]),
        haircut_bp=_column([one.haircut_bp for one in lots]),
        cost_minor=_column([min(one, money.AMOUNT_MAX_MINOR + 1) for one in cost]),
        counted=_column([one.counted for one in lots]),
        counted_ms=_column([one.counted_ms for one in lots]),
        receipt_until_ms=_column([_receipt_until_ms(lot, policy) for lot, policy in both]),
        missing=_column([one.missing for one in lots]),
        is_matched=np.array([one.is_matched for one in lots], dtype=np.bool_),
        in_class=_column([_CLASS_NUMBER[one.in_class] for one in lots]),
        is_placed=np.array([_is_placed(lot, policy) for lot, policy in both], dtype=np.bool_),
        evidence_ms=_column([one.evidence_ms for one in lots]),
        is_dark=np.array([one.is_dark for one in lots], dtype=np.bool_),
        is_breached=np.array([one.is_breached for one in lots], dtype=np.bool_),
        loss_bp=_column([one.loss_bp for one in lots]),
        papers_until_ms=_column([_papers_until_ms(lot, policy) for lot, policy in both]),
        received_ms=_column([one.received_ms for one in lots]),
        expires_ms=_column([one.expires_ms for one in lots]),
        sold_milli_per_day=_column([one.sold_milli_per_day for one in lots]),
        nolv_bp=_column([one.nolv_bp for one in lots]),
        nolv_until_ms=_column([one.nolv_until_ms for one in lots]),
        turns_ms=_column([one.turns_ms for one in lots]),
    )


def shares(columns: Columns, goods: Goods, now_ms: int) -> Shares:
    """What the moment makes of lots that are among the goods."""
    count = len(columns.line)
    found = Shares(*(np.zeros(count, dtype=np.int64) for _ in Shares._fields))
    policy = goods.policy[columns.line]
    for number, terms in enumerate(goods.policies):
        rows = np.flatnonzero(policy == number) if len(goods.policies) > 1 else np.arange(count)
        if len(rows):
            own = columns if len(rows) == count else columns.rows(rows)
            for column, values in zip(found, _shares(own, terms, now_ms), strict=True):
                column[rows] = values
    return found


def _shares(lots: Columns, policy: Policy, now_ms: int) -> Shares:
    """What the moment makes of lots under one policy."""
    due = _Due(lots.turns_ms, now_ms)
    advance_bp = np.array(policy.advance_bp, dtype=np.int64)[lots.in_class]
    fails = np.full(len(lots.line), PASSED, dtype=np.int64)
    evidence = policy.evidence
    is_fresh, is_stale, is_ageing = _bands(lots, policy, due)
    has_appraisal = (lots.nolv_bp >= 0) & due.before(lots.nolv_until_ms)
    # The first test that takes a lot counts, so they are put in from the last to the first.
    is_old = np.zeros(len(fails), dtype=np.bool_)
    age_days = due.days_since(lots.received_ms)
    if policy.age_max_days:
        is_old |= age_days > policy.age_max_days
    if policy.expiry_min_days or (lots.expires_ms != NEVER).any():
        is_old |= ~due.before(lots.expires_ms - policy.expiry_min_days * DAY_MS)
    fails[is_old] = TEST["age"]
    if policy.papers:
        fails[~due.before(lots.papers_until_ms)] = TEST["papers"]
    if policy.breach == "ineligible":
        fails[lots.is_breached] = TEST["condition"]
    fails[~lots.is_placed | (advance_bp == 0)] = TEST["place"]
    fails[is_stale] = TEST["evidence"]
    if policy.stock_count:
        fails[(lots.counted < 0) & ~lots.is_matched] = TEST["stock"]
    if policy.count_stale_s:
        too_old = ~due.before(lots.counted_ms + 1_000 * policy.count_stale_s + 1)
        fails[((lots.counted >= 0) | lots.is_matched) & too_old] = TEST["stock"]
    if policy.receipt or lots.is_matched.any():
        fails[~due.before(lots.receipt_until_ms)] = TEST["receipt"]
    if policy.appraisal:
        fails[~has_appraisal] = TEST["appraisal"]
    counted = np.where(lots.counted >= 0, np.minimum(lots.counted, lots.quantity), lots.quantity)
    salable, sell_bp = _selling(lots, policy)
    return Shares(
        fails,
        counted,
        salable,
        np.where(lots.nolv_bp >= 0, np.minimum(lots.nolv_bp, money.BASIS_POINTS), money.BASIS_POINTS),
        np.minimum(lots.loss_bp, money.BASIS_POINTS),
        np.where(is_ageing, evidence.ageing_bp, 0),
        _banded(age_days, policy.age_bands),
        sell_bp,
        advance_bp,
        is_fresh.astype(np.int64),
        due.moments,
    )


class _Due:
    """Asks what has come, and keeps the first moment at which an answer will be another."""

    def __init__(self, moments: Numbers, now_ms: int) -> None:
        """`moments` are those that are known already."""
        self.now_ms = now_ms
        self.moments = np.where(moments > now_ms, moments, NEVER)

    def before(self, until_ms: Numbers) -> Truths:
        """Whether now is before each of some moments."""
        answer: Truths = self.now_ms < until_ms
        np.minimum(self.moments, np.where(answer, until_ms, NEVER), out=self.moments)
        return answer

    def days_since(self, since_ms: Numbers) -> Numbers:
        """Whole days since each of some moments; none where it is to come, all there are where it is not known."""
        known = since_ms != -NEVER
        days: Numbers = np.where(known, np.maximum(self.now_ms - since_ms, 0) // DAY_MS, UNKNOWN_DAYS)
        np.minimum(self.moments, np.where(known, since_ms + (days + 1) * DAY_MS, NEVER), out=self.moments)
        return days


def evidence_words(lots: Columns, policy: Policy, now_ms: int) -> list[str]:
    """What each lot's evidence counts as at a moment under its policy: fresh, ageing or stale; `not_asked` where the
    policy does not ask how old it is."""
    if not policy.evidence.stale_s:
        return ["not_asked"] * len(lots.line)
    _, is_stale, is_ageing = _bands(lots, policy, _Due(lots.turns_ms, now_ms))
    words: list[str] = np.where(is_stale, "stale", np.where(is_ageing, "ageing", "fresh")).tolist()
    return words


def _bands(lots: Columns, policy: Policy, due: _Due) -> tuple[Truths, Truths, Truths]:
    """Whether evidence is fresh by its age, whether it counts as stale, and whether as ageing."""
    rule = policy.evidence
    nothing = np.zeros(len(lots.line), dtype=np.bool_)
    if not rule.stale_s:
        return ~nothing, nothing, nothing
    known = lots.evidence_ms != -NEVER
    is_fresh = known & due.before(lots.evidence_ms + 1_000 * rule.fresh_s + 1)
    is_stale = ~known | ~due.before(lots.evidence_ms + 1_000 * rule.stale_s + 1)
    is_ageing = ~is_fresh & ~is_stale
    excused = lots.is_dark & ~is_fresh & known
    match rule.dark:
        case "fresh":
            return is_fresh, is_stale & ~excused, is_ageing & ~excused
        case "ageing":
            return is_fresh, is_stale & ~excused, is_ageing | excused
        case _:
            return is_fresh, is_stale, is_ageing


def _selling(lots: Columns, policy: Policy) -> tuple[Numbers, Numbers]:
    """How many units may still be sold in time, and the haircut of the days on hand."""
    sold, known = lots.sold_milli_per_day, lots.sold_milli_per_day >= 0
    salable, sell_bp = lots.quantity, np.zeros(len(lots.line), dtype=np.int64)
    if policy.on_hand_max_days:
        most = sold * policy.on_hand_max_days // 1_000
        salable = np.where(known, np.minimum(most, lots.quantity), lots.quantity)
    if policy.on_hand_bands:
        days = np.where(sold > 0, lots.quantity * 1_000 // np.maximum(sold, 1), NO_SALES_DAYS)
        sell_bp = np.where(known, _banded(days, policy.on_hand_bands), 0)
    return salable, sell_bp


def _banded(days: Numbers, bands: Sequence[Band]) -> Numbers:
    """The haircut of the last band that days have reached."""
    if not bands:
        return np.zeros(len(days), dtype=np.int64)
    starts = np.array([-1, *(one.from_days for one in bands)], dtype=np.int64)
    shares_bp = np.array([0, *(min(one.bp, money.BASIS_POINTS) for one in bands)], dtype=np.int64)
    found: Numbers = shares_bp[np.searchsorted(starts, days, side="right") - 1]
    return found


_CLASS_NUMBER = {name: number for number, name in enumerate(CLASSES)}


def _column(values: Iterable[int]) -> Numbers:
    return np.array(values, dtype=np.int64)


def _receipt_until_ms(lot: LotStanding, policy: Policy) -> int:
    # An electronic receipt is the lender's or is not: goods that another controls count under no policy.
    if not (policy.receipt or lot.is_matched):
        return NEVER
    return lot.receipt_until_ms if lot.receipt_state == "valid" else -NEVER


def _is_placed(lot: LotStanding, policy: Policy) -> bool:
    if lot.is_forbidden or (policy.countries and lot.country not in policy.countries):
        return False
    return not policy.fences or any(fence in policy.fences for fence in lot.fences)


def _papers_until_ms(lot: LotStanding, policy: Policy) -> int:
    if not policy.papers:
        return NEVER
    until: dict[str, int] = {}
    for kind, until_ms in lot.papers:
        until[kind] = max(until_ms, until.get(kind, -NEVER))
    return min(until.get(kind, -NEVER) for kind in policy.papers)


def _groups(lots: Sequence[LotStanding], line: Numbers, dimension: str) -> Groups:
    numbers: dict[tuple[str, str], int] = {}
    of, line_of, words = [], [0], [""]
    for lot, line_number in zip(lots, line.tolist(), strict=True):
        word = getattr(lot, dimension)
        key = lot.facility, word
        if not word:
            of.append(0)
            continue
        if key not in numbers:
            numbers[key] = len(line_of)
            line_of.append(line_number)
            words.append(word)
        of.append(numbers[key])
    group = _column(of)
    rows = np.argsort(group, kind="stable")
    rows = rows[np.searchsorted(group[rows], 1) :]
    first = np.searchsorted(group[rows], np.arange(len(line_of) + 1))
    first[0] = 0
    return Groups(group, _column(line_of), words, rows, first)
