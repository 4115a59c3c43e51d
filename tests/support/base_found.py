"""The borrowing base of a portfolio as each of both ways finds it, and where they differ."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest
from portfolios import (
    Portfolio,
    portfolio,
)
from reference_base import reference

from pledgewatch_cloud.decide.collateral.bases import base_of, lines_of
from pledgewatch_cloud.decide.collateral.goods import goods_of
from pledgewatch_cloud.decide.collateral.result import STEPS, Base, LotLine
from pledgewatch_cloud.decide.collateral.sheet import Sheet, revalued

Found = dict[str, tuple[Base, list[LotLine]]]
BIG = ((1, 5_000), (2, 5_000), (3, 8_000))
SMALL_SEEDS = 500


def by_columns(one: Portfolio) -> Found:
    """What the vectorised base says of each facility."""
    return on_sheet(one, anew(one))


def anew(one: Portfolio) -> Sheet:
    """All of it computed from the start."""
    return revalued(goods_of(one.lines, one.lots), one.market, one.now_ms)


def on_sheet(one: Portfolio, sheet: Sheet) -> Found:
    """What a sheet says of each facility."""
    return {line.id: (base_of(sheet, line.id), lines_of(sheet, line.id)) for line in one.lines}


def by_lots(one: Portfolio) -> Found:
    """What the reference says."""
    return {line.id: reference(line, one.lots_of(line.id), one.market, one.now_ms) for line in one.lines}


@cache
def big(seed: int, lots: int) -> Portfolio:
    return portfolio(seed, lots)


@cache
def big_by_lots(seed: int, lots: int) -> Found:
    return by_lots(big(seed, lots))


BOTH = pytest.mark.parametrize("found_by", [by_columns, by_lots])
FoundBy = Callable[[Portfolio], Found]


def told(one: Base | LotLine) -> dict[str, Any]:
    """What it says, ineligibles in their order and of other amounts by name those that are not nothing; with the types
    of the numbers, so that none is a column's."""
    found: dict[str, Any] = {}
    for key, value in one._asdict().items():
        if key == "ineligible":
            found[key] = [(name, amount, type(amount)) for name, amount in value.items()]
        elif isinstance(value, Mapping):
            found[key] = {name: (amount, type(amount)) for name, amount in value.items() if amount}
        else:
            found[key] = value, type(value)
    return found


def differences(one: Portfolio, expected: Found) -> list[str]:
    """The facilities of which columns and lots do not say the same."""
    found = by_columns(one)
    return [
        facility
        for facility, (base, lines) in expected.items()
        if told(found[facility][0]) != told(base) or list(map(told, found[facility][1])) != list(map(told, lines))
    ]


def fewest(one: Portfolio) -> Portfolio:
    """The same difference in few lots, so that it can be looked at: as many are left out as can be."""
    size = len(one.lots)
    while size := size // 2:
        at = 0
        while at < len(one.lots):
            fewer = one._replace(lots=one.lots[:at] + one.lots[at + size :])
            if differences(fewer, by_lots(fewer)):
                one = fewer
            else:
                at += size
    return one


def assert_equal(one: Portfolio, expected: Found) -> None:
    if differences(one, expected):
        few = fewest(one)
        found, expected = by_columns(few), by_lots(few)
        (facility, *_) = differences(few, expected)
        assert list(map(told, found[facility][1])) == list(map(told, expected[facility][1])), few.lots_of(facility)
        assert told(found[facility][0]) == told(expected[facility][0])


def assert_conserved(found: Found) -> None:
    for base, lines in found.values():
        assert base.gross_minor == base.eligible_minor + sum(base.ineligible.values())
        assert base.gross_minor == sum(one.value_minor for one in lines)
        assert base.eligible_minor == sum(one.eligible_minor for one in lines)
        assert base.lots == len(lines)
        assert base.unvalued == sum(one.is_unvalued for one in lines)
        for name in STEPS:
            assert base.ineligible.get(name, 0) == sum(one.ineligible.get(name, 0) for one in lines)
        for in_class, amount_minor in base.advance.items():
            assert amount_minor == sum(one.advance_minor for one in lines if one.in_class == in_class)
        assert sum(base.advance.values()) == sum(one.advance_minor for one in lines)
        for one in lines:
            assert one.value_minor == one.eligible_minor + sum(one.ineligible.values())
            assert all(amount_minor > 0 for amount_minor in one.ineligible.values())
            assert 0 <= one.advance_minor <= one.eligible_minor
