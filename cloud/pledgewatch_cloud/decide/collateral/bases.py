"""From the sheet to what a bank reads: a facility's borrowing base, and what became of each of its lots."""

from collections.abc import Mapping, Sequence

import numpy as np

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.collateral.goods import Goods
from pledgewatch_cloud.decide.collateral.result import CONCENTRATIONS, HAIRCUTS, STEPS, TESTS, Base, LotLine
from pledgewatch_cloud.decide.collateral.sheet import STEP, Sheet, Totals, rows_of
from pledgewatch_cloud.decide.collateral.terms import CLASSES, DIMENSIONS, SubLimit
from pledgewatch_cloud.decide.collateral.worth import haircut, worth_of
from pledgewatch_cloud.decide.columns import Numbers


def base_of(sheet: Sheet, facility: str) -> Base:
    """The borrowing base of a facility. Raises KeyError where there is none of that name."""
    return base_from(sheet.goods, sheet.totals, sheet.goods.number[facility])


def base_from(goods: Goods, totals: Totals, number: int) -> Base:
    """The borrowing base of the line of some number, whose lots come to what the totals say."""
    line = goods.lines[number]
    taken = totals.taken[number].tolist()
    eligible_minor = int(totals.eligible[number])
    before_haircuts_minor = eligible_minor + sum(taken[STEP[name]] for name in HAIRCUTS)
    advance = {name: one for name, one in zip(CLASSES, totals.advance[number].tolist(), strict=True) if one}
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
        gross_minor=int(totals.value[number]),
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
        lots=int(goods.first[number + 1] - goods.first[number]),
        unvalued=int(totals.unvalued[number]),
    )


def lines_of(sheet: Sheet, facility: str, lot: str = "") -> list[LotLine]:
    """What became of each lot of a facility, by lot id, or of one of its lots alone, nothing where that is none of its.
    Raises KeyError where there is no facility of that name."""
    number = sheet.goods.number[facility]
    goods = sheet.goods
    rows = np.arange(goods.first[number], goods.first[number + 1])
    if lot:
        rows = rows[rows == goods.place.get(lot, -1)]
    detail = _Detail(len(rows))
    columns = goods.columns.rows(rows)
    shares = rows_of(sheet.shares, rows)
    priced, costs = sheet.priced[rows], sheet.costs[rows]
    worth = worth_of(columns, shares, sheet.quotes, priced, costs, goods.most_minor, detail)
    for name, before, after in zip(CONCENTRATIONS, sheet.capped, sheet.capped[1:], strict=False):
        if after is not before:
            detail.take(name, (before - after)[rows])
    eligible = haircut(columns, shares, sheet.quotes, sheet.capped[-1][rows], detail)
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

    def test(self, tests: Numbers, rows: Numbers, amounts: Numbers) -> None:
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
    """How many units of a SKU stand behind what is eligible: of each lot the share that the tests and the caps leave of
    its value, rounded down."""
    goods = sheet.goods
    number = goods.number[facility]
    groups = goods.groups[DIMENSIONS.index("sku")]
    own = np.flatnonzero(groups.line == number)
    for group in own[own > 0].tolist():
        rows = groups.rows[groups.first[group] : groups.first[group + 1]]
        if groups.words[group] == sku:
            value = np.maximum(sheet.worth.value[rows], 1)
            return int(money.share_down(goods.columns.quantity[rows], sheet.capped[-1][rows], value).sum())
    return 0


def value_of(sheet: Sheet, facility: str, lots: Sequence[str]) -> int | None:
    """What some lots of a facility are worth in all; None where one of them is no such lot or cannot be valued."""
    goods, value_minor = sheet.goods, 0
    for lot in lots:
        row = goods.place.get(lot)
        if row is None or goods.lines[int(goods.columns.line[row])].id != facility or sheet.worth.unvalued[row]:
            return None
        value_minor += int(sheet.worth.value[row])
    return value_minor
