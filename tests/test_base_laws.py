"""The laws of the borrowing base, and the vectorised one held against the reference, to the minor unit."""

from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import pytest
from base_found import (
    BIG,
    SMALL_SEEDS,
    Found,
    anew,
    assert_conserved,
    assert_equal,
    big,
    big_by_lots,
    by_columns,
    by_lots,
    on_sheet,
)
from hypothesis import given
from portfolios import (
    SEEDS,
    TODAY,
    Portfolio,
    frozen,
    lot_of,
    market_of,
    portfolio,
    rarely,
    small_portfolio,
)

from pledgewatch_cloud.decide.collateral import sheet as sheet_module
from pledgewatch_cloud.decide.collateral import worth
from pledgewatch_cloud.decide.collateral.goods import columns_of
from pledgewatch_cloud.decide.collateral.quotes import quotes_of
from pledgewatch_cloud.decide.collateral.result import STEPS
from pledgewatch_cloud.decide.collateral.sheet import Sheet, refreshed, repriced
from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.collateral.terms import (
    DIMENSIONS,
    Band,
    Line,
    Policy,
    Swing,
)
from pledgewatch_cloud.decide.market import Market, PriceQuote

# The two are one.


@given(SEEDS)
def test_columns_say_what_lots_say(seed: int) -> None:
    one = small_portfolio(Random(seed))
    assert_equal(one, by_lots(one))


def test_columns_say_what_lots_say_many_times() -> None:
    for seed in range(SMALL_SEEDS):
        one = small_portfolio(Random(seed))
        assert_equal(one, by_lots(one))


@pytest.mark.parametrize(("seed", "lots"), BIG)
def test_columns_say_what_lots_say_of_thousands(seed: int, lots: int) -> None:
    assert_equal(big(seed, lots), big_by_lots(seed, lots))


def test_every_step_takes_something_somewhere() -> None:
    for seed, lots in BIG:
        found = big_by_lots(seed, lots)
        took = {
            name for base, _ in found.values() for name, amount_minor in base.ineligible.items() if amount_minor > 0
        }
        assert took == set(STEPS)
        assert all(base.unvalued for base, _ in found.values())
        assert any(base.base_minor for base, _ in found.values())
        assert any(amount for base, _ in found.values() for amount in base.held_back.values())
        assert any(amount for base, _ in found.values() for amount in base.reserves.values())


def test_a_facility_without_lots() -> None:
    one = Portfolio((Line("facility", "USD", Policy("policy"), 0, 7),), (), Market({}, {}))
    assert_equal(one, by_lots(one))
    base, lines = by_columns(one)["facility"]
    assert (base.base_minor, base.headroom_minor, base.ltv_bp, base.cover_bp, lines) == (0, -7, -1, 0, [])


def test_ten_thousand_lots_of_the_greatest_worth() -> None:
    """Their sum is all that 64 bits are asked to hold; one unit more and a lot has no value."""
    most = 4 * 10**18 // 10_000 - 7_919  # with digits to the last, as floating numbers could not hold them
    lots = tuple(
        LotStanding(f"lot-{number:05}", "facility", "sku", "gold", 1, haircut_bp=1, buyer="one")
        for number in range(9_999)
    )
    lots += (LotStanding("lot-dear", "facility", "sku", "dearer", 1),)
    policy = Policy("policy", cap_bp=(10_000, 9_999, 10_000, 10_000, 10_000))
    quotes = {"gold": (PriceQuote(TODAY, most, 1, "USD"),), "dearer": (PriceQuote(TODAY, 4 * 10**14 + 1, 1, "USD"),)}
    one = Portfolio((Line("facility", "USD", policy, 0, 0),), lots, Market(quotes, {}))
    base, lines = by_columns(one)["facility"]
    gross = 9_999 * most
    cut = gross - gross * 9_999 // 10_000
    assert (base.gross_minor, base.unvalued) == (gross, 1)
    assert base.ineligible["concentration_buyer"] == cut
    assert base.ineligible.keys() == {"concentration_buyer", "lot_haircut"}
    assert_conserved({"facility": (base, lines)})
    assert_equal(one, by_lots(one))


# Nothing is lost.


@given(SEEDS)
def test_what_there_is_is_eligible_or_has_a_name(seed: int) -> None:
    assert_conserved(by_columns(small_portfolio(Random(seed))))


@pytest.mark.parametrize(("seed", "lots"), BIG)
def test_what_there_is_is_eligible_or_has_a_name_in_thousands(seed: int, lots: int) -> None:
    assert_conserved(by_columns(big(seed, lots)))


PLAIN = Policy("plain")


@given(SEEDS)
def test_what_is_not_counted_and_not_there_is_taken_once(seed: int) -> None:
    """Of what the count and the receipt each say is missing, the more."""
    dice = Random(seed)
    one = with_policies(small_portfolio(dice), lambda _: PLAIN)
    one = one._replace(
        lots=tuple(
            lot._replace(counted=dice.randint(0, lot.quantity), missing=dice.randint(0, lot.quantity))
            for lot in one.lots
        )
    )
    of_both = taken_as_missing(one)
    of_the_count = taken_as_missing(one._replace(lots=tuple(lot._replace(missing=0) for lot in one.lots)))
    of_the_receipt = taken_as_missing(one._replace(lots=tuple(lot._replace(counted=-1) for lot in one.lots)))
    assert of_both == {lot: max(took, of_the_receipt[lot]) for lot, took in of_the_count.items()}
    worse = taken_as_missing(one._replace(lots=tuple(lot._replace(missing=lot.missing + 1) for lot in one.lots)))
    assert all(worse[lot] >= took for lot, took in of_both.items())


def taken_as_missing(one: Portfolio) -> dict[str, int]:
    """What both tests take of each lot, in minor units."""
    lines = [line for _, some in by_columns(one).values() for line in some]
    return {line.id: sum(line.ineligible.get(name, 0) for name in ("stock", "shortfall")) for line in lines}


# More taken off never lends more, whatever the caps, sub-limits and reserves.


def more(dice: Random, bp: int) -> int:
    return min(10_000, bp + dice.choice((1, 40, 2_500)))


def with_policies(one: Portfolio, change: Callable[[Policy], Policy]) -> Portfolio:
    return one._replace(lines=tuple(line._replace(policy=change(line.policy)) for line in one.lines))


def with_lots(dice: Random, one: Portfolio, change: Callable[[LotStanding], LotStanding]) -> Portfolio:
    return one._replace(lots=tuple(change(lot) if dice.random() < 0.6 else lot for lot in one.lots))


def bands_worse(dice: Random, bands: Sequence[Band]) -> tuple[Band, ...]:
    return tuple(one._replace(bp=more(dice, one.bp)) for one in bands)


def swing_worse(dice: Random, swing: Swing) -> Swing:
    return swing._replace(bp=more(dice, swing.bp), z_milli=swing.z_milli + dice.randint(1, 900))


def lower_advance(dice: Random, policy: Policy) -> Policy:
    """Lower rates in the same order, and none of them lowered to nothing: which lots bear the cut stays as it is."""
    rates = sorted(set(policy.advance_bp) - {0})
    lower: dict[int, int] = {0: 0}
    for place, rate in enumerate(rates):
        lower[rate] = max(place + 1, rate - dice.choice((0, 1, 900)), lower[rates[place - 1]] + 1 if place else 0)
    return policy._replace(advance_bp=tuple(lower[rate] for rate in policy.advance_bp))


HAIRCUTS_WORSE: dict[str, Callable[[Random, Portfolio], Portfolio]] = {
    "lot haircut": lambda dice, one: with_lots(
        dice, one, lambda lot: lot._replace(haircut_bp=more(dice, lot.haircut_bp))
    ),
    "loss": lambda dice, one: with_lots(dice, one, lambda lot: lot._replace(loss_bp=more(dice, lot.loss_bp))),
    "ageing": lambda dice, one: with_policies(
        one,
        lambda policy: policy._replace(
            evidence=policy.evidence._replace(ageing_bp=more(dice, policy.evidence.ageing_bp))
        ),
    ),
    "age bands": lambda dice, one: with_policies(
        one, lambda policy: policy._replace(age_bands=bands_worse(dice, policy.age_bands))
    ),
    "on-hand bands": lambda dice, one: with_policies(
        one, lambda policy: policy._replace(on_hand_bands=bands_worse(dice, policy.on_hand_bands))
    ),
    "fx": lambda dice, one: with_policies(one, lambda policy: policy._replace(fx=swing_worse(dice, policy.fx))),
    "price": lambda dice, one: with_policies(
        one, lambda policy: policy._replace(price=swing_worse(dice, policy.price))
    ),
}
TERMS_WORSE: dict[str, Callable[[Random, Portfolio], Portfolio]] = {
    "advance rate": lambda dice, one: with_policies(one, lambda policy: lower_advance(dice, policy)),
    "reserve": lambda dice, one: with_policies(
        one,
        lambda policy: policy._replace(
            reserves=tuple(
                item._replace(amount_minor=item.amount_minor + dice.randint(0, 900), bp=more(dice, item.bp))
                for item in policy.reserves
            )
        ),
    ),
}


@pytest.mark.parametrize("name", HAIRCUTS_WORSE)
@given(SEEDS)
def test_a_greater_haircut_never_lends_more(name: str, seed: int) -> None:
    dice = Random(seed)
    one = small_portfolio(dice)
    before, after = by_columns(one), by_columns(HAIRCUTS_WORSE[name](dice, one))
    for line in one.lines:
        base, less = before[line.id][0], after[line.id][0]
        assert less.eligible_minor <= base.eligible_minor
        assert less.base_minor <= base.base_minor


@pytest.mark.parametrize("name", TERMS_WORSE)
@given(SEEDS)
def test_worse_terms_never_lend_more(name: str, seed: int) -> None:
    dice = Random(seed)
    one = small_portfolio(dice)
    before, after = by_columns(one), by_columns(TERMS_WORSE[name](dice, one))
    assert all(after[facility][0].base_minor <= base.base_minor for facility, (base, _) in before.items())


@pytest.mark.parametrize("name", [*HAIRCUTS_WORSE, *TERMS_WORSE])
def test_what_is_worse_does_lend_less(name: str) -> None:
    """In a big portfolio without sub-limits, where nothing else is in the way."""
    one = with_policies(portfolio(4, 2_000), lambda policy: policy._replace(sub_limits=()))
    worse = {**HAIRCUTS_WORSE, **TERMS_WORSE}[name](Random(4), one)
    before, after = by_columns(one), by_columns(worse)
    for facility, (base, lines) in before.items():
        less, less_lines = after[facility]
        assert less.base_minor <= base.base_minor
        assert all(this.eligible_minor <= that.eligible_minor for this, that in zip(less_lines, lines, strict=True))
    assert sum(base.base_minor for base, _ in after.values()) < sum(base.base_minor for base, _ in before.values())


# Order is nothing.


@given(SEEDS)
def test_the_order_of_lots_and_facilities_makes_no_difference(seed: int) -> None:
    dice = Random(seed)
    one = small_portfolio(dice)
    lots, lines = list(one.lots), list(one.lines)
    dice.shuffle(lots)
    dice.shuffle(lines)
    assert by_columns(one._replace(lots=tuple(lots), lines=tuple(lines))) == by_columns(one)


def test_the_order_of_thousands_makes_no_difference() -> None:
    one = big(*BIG[0])
    found = by_columns(one)
    for lots in (sorted(one.lots), sorted(one.lots, reverse=True)):
        assert by_columns(one._replace(lots=tuple(lots), lines=one.lines[::-1])) == found


# How many rows are taken at once makes no difference: several lines together, a line alone, a line in pieces.


def by_columns_in_pieces(one: Portfolio, rows: int, patch: pytest.MonkeyPatch) -> Found:
    for module in (worth, sheet_module):
        patch.setattr(module, "BLOCK", rows)
    return by_columns(one)


@given(SEEDS)
def test_how_many_rows_are_taken_at_once_makes_no_difference(seed: int) -> None:
    one = small_portfolio(Random(seed))
    whole = by_columns(one)
    with pytest.MonkeyPatch.context() as patch:
        for rows in (1, 2, 3, 5, 8):
            assert by_columns_in_pieces(one, rows, patch) == whole, rows


@pytest.mark.parametrize("rows", [97, 1_000, 3_000])
def test_how_many_of_thousands_are_taken_at_once_makes_no_difference(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = big(*BIG[0])
    whole = by_columns(one)
    assert by_columns_in_pieces(one, rows, monkeypatch) == whole


# A little at a time is the same as all of it anew.


def otherwise(dice: Random, one: Portfolio, lot: LotStanding) -> LotStanding:
    """The lot as it may stand a moment later: nothing is other that it shares with others."""
    (line,) = (line for line in one.lines if line.id == lot.facility)
    drawn = lot_of(dice, lot.id, line, 1, 0.1)
    cost_minor = dice.randint(0, 60_000) if lot.cost_minor >= 0 else -1
    shared = ("facility", "series", "cost_currency", *DIMENSIONS)
    return drawn._replace(cost_minor=cost_minor, **{name: getattr(lot, name) for name in shared})


def later(dice: Random, one: Portfolio, sheet: Sheet, often: float) -> tuple[Portfolio, Sheet]:
    """A moment later on the same day: some lots stand otherwise, and for others a moment has come."""
    lots = sorted(one.lots, key=lambda lot: sheet.goods.place[lot.id])
    changed = [otherwise(dice, one, lot) if dice.random() < often else lot for lot in lots]
    after = one._replace(lots=tuple(changed), now_ms=one.now_ms + dice.choice((0, 1, 2, 3_600_000)))
    rows = np.array(
        [
            row
            for row, (lot, was) in enumerate(zip(changed, lots, strict=True))
            if lot is not was or sheet.shares.due_ms[row] <= after.now_ms
        ],
        dtype=np.int64,
    )
    columns = columns_of([changed[row] for row in rows], sheet.goods)
    return after, refreshed(sheet, rows, columns, after.now_ms)


def requoted(dice: Random, one: Portfolio, sheet: Sheet) -> tuple[Portfolio, Sheet]:
    """Other quotes for the same series and currencies."""
    after = one._replace(market=market_of(dice, len(one.market.prices), 5))
    return after, repriced(sheet, quotes_of(sheet.goods, after.market, TODAY), TODAY)


def assert_as_anew(dice: Random, one: Portfolio, often: float) -> None:
    """No sheet is changed by what is made of it: none may be written to."""
    sheet = anew(one)
    for _ in range(4):
        frozen(sheet)
        one, sheet = requoted(dice, one, sheet) if rarely(dice, 0.3) else later(dice, one, sheet, often)
        assert on_sheet(one, sheet) == by_columns(one)


@given(SEEDS)
def test_a_little_at_a_time_is_all_of_it_anew(seed: int) -> None:
    dice = Random(seed)
    assert_as_anew(dice, small_portfolio(dice), 0.2)


def test_a_few_of_thousands_at_a_time_are_all_of_them_anew() -> None:
    for seed, lots in BIG[:2]:
        assert_as_anew(Random(seed), big(seed, lots), 0.004)
