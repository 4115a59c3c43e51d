"""The laws of the borrowing base, and the vectorised one held against the reference, to the minor unit."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from portfolios import (
    DAY_MS,
    MOST_MINOR,
    NEVER_QUOTED,
    NOW_MS,
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
from reference_base import reference

from pledgewatch_cloud.decide.collateral import sheet as sheet_module
from pledgewatch_cloud.decide.collateral import worth
from pledgewatch_cloud.decide.collateral.bases import base_of, lines_of
from pledgewatch_cloud.decide.collateral.goods import columns_of, goods_of
from pledgewatch_cloud.decide.collateral.quotes import quotes_of
from pledgewatch_cloud.decide.collateral.result import STEPS, TESTS, Base, LotLine
from pledgewatch_cloud.decide.collateral.sheet import Sheet, refreshed, repriced, revalued
from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.collateral.terms import (
    DIMENSIONS,
    Band,
    EvidencePolicy,
    Line,
    Policy,
    Reserve,
    SubLimit,
    Swing,
)
from pledgewatch_cloud.decide.market import Market, PriceQuote, RateQuote
from pledgewatch_cloud.decide.stretches import NEVER

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


# What fails a test.

# Every quote is of today but the old ones, of nine days ago: a dollar lot in a euro facility.
QUOTES = Market(
    {
        "tea": (PriceQuote(TODAY, 1_000, 3, "USD"),),
        "old-tea": (PriceQuote(TODAY - 9, 1_000, 3, "USD"),),
        "swiss-tea": (PriceQuote(TODAY, 1_000, 3, "CHF"),),
        "home-tea": (PriceQuote(TODAY - 5, 1_000, 3, "EUR"),),
    },
    {"USD": (RateQuote(TODAY, 125, 2),), "CHF": (RateQuote(TODAY - 9, 125, 2),)},
)
STRICT = Policy(
    "strict",
    advance_bp=(8_000, 7_000, 0, 6_000),
    evidence=EvidencePolicy("reading", 600, 3_600, 0, "fresh"),
    price_stale_days=5,
    rate_stale_days=5,
    appraisal=True,
    receipt=True,
    stock_count=True,
    count_stale_s=86_400,
    fences=("hall", "yard"),
    countries=("NL", "BE"),
    breach="ineligible",
    papers=("insurance", "origin"),
    age_max_days=100,
    expiry_min_days=10,
    on_hand_max_days=60,
)
GOOD = LotStanding(
    "lot",
    "facility",
    "tea",
    "tea",
    1_000,
    counted=1_000,
    counted_ms=NOW_MS - 86_400_000,
    receipt_state="valid",
    receipt_until_ms=NOW_MS + 1,
    fences=("street", "yard"),
    evidence_ms=NOW_MS - 600_000,
    papers=(("insurance", NOW_MS), ("insurance", NOW_MS + 1), ("origin", NEVER)),
    received_ms=NOW_MS - 101 * DAY_MS + 1,
    expires_ms=NOW_MS + 10 * DAY_MS + 1,
    sold_milli_per_day=16_667,
    nolv_bp=9_000,
    nolv_until_ms=NOW_MS + 1,
    country="BE",
)
FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("price_stale", {"series": "old-tea"}),
    ("rate_stale", {"series": "swiss-tea"}),
    ("rate_stale", {"cost_minor": 10**6, "cost_currency": "CHF"}),
    ("appraisal", {"nolv_until_ms": NOW_MS}),
    ("appraisal", {"nolv_bp": -1}),
    ("receipt", {"receipt_state": ""}),
    ("receipt", {"receipt_state": "disputed"}),
    ("receipt", {"receipt_until_ms": NOW_MS}),
    ("stock", {"counted": -1}),
    ("stock", {"counted": 0}),
    ("stock", {"counted_ms": NOW_MS - 86_400_001}),
    ("evidence", {"evidence_ms": NOW_MS - 3_600_001}),
    ("evidence", {"evidence_ms": -NEVER}),
    ("evidence", {"evidence_ms": -NEVER, "is_dark": True}),
    ("place", {"is_forbidden": True}),
    ("place", {"fences": ("street",)}),
    ("place", {"country": ""}),
    ("place", {"in_class": "bonded"}),
    ("condition", {"is_breached": True}),
    ("papers", {"papers": (("insurance", NEVER), ("origin", NOW_MS))}),
    ("papers", {"papers": (("origin", NEVER),)}),
    ("age", {"received_ms": NOW_MS - 101 * DAY_MS}),
    ("age", {"received_ms": -NEVER}),
    ("age", {"expires_ms": NOW_MS + 10 * DAY_MS}),
    ("age", {"expires_ms": NOW_MS - 1}),
    ("slow", {"sold_milli_per_day": 0}),
]


def alone(policy: Policy, *lots: LotStanding, currency: str = "EUR", market: Market = QUOTES) -> Portfolio:
    """One facility."""
    return Portfolio((Line("facility", currency, policy, 0, 0),), lots, market)


def of_one(found_by: FoundBy, one: Portfolio) -> LotLine:
    """What became of the only lot; the facility's base says the same."""
    ((base, (line,)),) = found_by(one).values()
    assert (base.gross_minor, base.eligible_minor) == (line.value_minor, line.eligible_minor)
    assert base.ineligible == line.ineligible
    return line


@BOTH
def test_a_lot_that_passes_every_test_is_lent_all_of_it(found_by: FoundBy) -> None:
    line = of_one(found_by, alone(STRICT, GOOD))
    assert (line.value_minor, line.ineligible, line.eligible_minor) == (239_999, {}, 239_999)
    assert line.advance_minor == 143_999  # 143,999.4


@BOTH
@pytest.mark.parametrize(("name", "change"), FAULTS)
def test_a_lot_that_fails_a_test_gives_all_of_it_to_that_name(
    found_by: FoundBy, name: str, change: dict[str, Any]
) -> None:
    line = of_one(found_by, alone(STRICT, GOOD._replace(**change)))
    assert line.value_minor > 200_000
    assert (line.ineligible, line.eligible_minor, line.advance_minor) == ({name: line.value_minor}, 0, 0)


@BOTH
@pytest.mark.parametrize(("name", "change"), FAULTS)
def test_what_failed_one_test_gives_nothing_to_the_later_ones(
    found_by: FoundBy, name: str, change: dict[str, Any]
) -> None:
    later = {
        key: value
        for one, changed in FAULTS[::-1]
        if TESTS.index(one) > TESTS.index(name)
        for key, value in changed.items()
    }
    line = of_one(found_by, alone(STRICT, GOOD._replace(**{**later, **change})))
    assert line.ineligible == {name: line.value_minor}


@BOTH
@pytest.mark.parametrize(("name", "change"), FAULTS)
def test_what_is_not_counted_is_taken_and_then_the_rest(found_by: FoundBy, name: str, change: dict[str, Any]) -> None:
    line = of_one(found_by, alone(STRICT, GOOD._replace(**{"counted": 300, "sold_milli_per_day": -1, **change})))
    not_counted = line.value_minor - line.value_minor * 300 // 1_000
    if TESTS.index(name) < TESTS.index("stock") or name == "stock":
        assert line.ineligible == {name: line.value_minor}
    else:
        assert list(line.ineligible.items()) == [("stock", not_counted), (name, line.value_minor - not_counted)]


@BOTH
@pytest.mark.parametrize("change", [change for _, change in FAULTS])
def test_what_a_policy_does_not_ask_is_not_tested(found_by: FoundBy, change: dict[str, Any]) -> None:
    """But what is not there, is where it must not be or has ended is nothing to lend on under any policy."""
    line = of_one(found_by, alone(Policy("lenient"), GOOD._replace(**change)))
    always = (("stock", {"counted": 0}), ("place", {"is_forbidden": True}), ("age", {"expires_ms": NOW_MS - 1}))
    assert line.ineligible == {name: line.value_minor for name, one in always if one == change}


PARTS: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    # what, of the good lot, what is taken; its value is 239,999
    ("one is missing", {"counted": 999}, {"stock": 240}),
    ("one too many is not more", {"counted": 1_001}, {}),
    ("sixty days of sales are one less than there are", {"sold_milli_per_day": 16_666}, {"slow": 240}),
    ("missing and slow", {"counted": 500, "sold_milli_per_day": 8_334}, {"stock": 120_000, "slow": 60_000}),
    ("no sales known", {"sold_milli_per_day": -1}, {}),
    ("dark, and so fresh", {"evidence_ms": NOW_MS - 30 * DAY_MS, "is_dark": True}, {}),
    ("nothing there", {"quantity": 0}, {}),
]


@BOTH
@pytest.mark.parametrize(("name", "change", "taken"), PARTS, ids=[row[0] for row in PARTS])
def test_parts(found_by: FoundBy, name: str, change: dict[str, Any], taken: dict[str, int]) -> None:
    assert of_one(found_by, alone(STRICT, GOOD._replace(**change))).ineligible == taken


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


# Worked out by hand.

PLAIN = LotStanding("lot", "facility", "sku", "dollars", 7)
HAND = Market(
    {
        "dollars": (PriceQuote(TODAY - 3, 1_000, 3, "USD"), PriceQuote(TODAY + 1, 9_999, 1, "USD")),
        "euros": (PriceQuote(TODAY, 1_000, 3, "EUR"),),
        "yen": (PriceQuote(TODAY, 12_345_678, 1, "JPY"),),
        "dinars": (PriceQuote(TODAY, 12_345, 1, "KWD"),),
        "gone": (PriceQuote(TODAY, 100, 1, "HRK"),),
        "no-rate": (PriceQuote(TODAY, 100, 1, NEVER_QUOTED),),
        "to-come": (PriceQuote(TODAY + 1, 100, 1, "USD"),),
        "greatest": (PriceQuote(TODAY, MOST_MINOR, 1, "USD"),),
        "dear-yen": (PriceQuote(TODAY, MOST_MINOR, 1, "JPY"),),
        "beyond": (PriceQuote(TODAY, MOST_MINOR, 999, "USD"),),
        "rising": tuple(PriceQuote(TODAY - 9 + day, price, 1, "USD") for day, price in enumerate((500, 100, 110, 99))),
    },
    {
        "USD": (RateQuote(TODAY - 2, 10_843, 4),),
        "JPY": (RateQuote(TODAY - 1, 16_235, 2),),
        "KWD": (RateQuote(TODAY, 334_127, 6),),
        "HRK": (RateQuote(TODAY - 2, 75_345, 4), RateQuote(TODAY - 1, 0, 0)),
    },
)
VALUES: list[tuple[str, str, dict[str, Any], int | None]] = [
    # what, facility's currency, of the plain lot of seven, its value; None: unvalued
    ("7,000 ÷ 3", "USD", {}, 2_333),
    ("2,333 cents at 1 ÷ 1.0843 euros = 0.922253988", "EUR", {}, 2_151),
    ("2,333 cents of euros at 1.0843", "USD", {"series": "euros"}, 2_529),
    ("at 162.35 ÷ 1.0843 ÷ 100 = 1.49727935 yen a cent", "JPY", {}, 3_493),
    ("86,419,746 yen at 100 × 1.0843 ÷ 162.35 = 0.667878041 cents", "USD", {"series": "yen"}, 57_717_850),
    ("86,415 fils at 1.0843 ÷ 0.334127 ÷ 10 = 0.324517324 cents", "USD", {"series": "dinars"}, 28_043),
    ("yen in fils: 1,000 × 0.334127 ÷ 162.35 = 2.05806590", "KWD", {"series": "yen"}, 177_857_532),
    ("cost is lower: 7 × 100 ÷ 4", "USD", {"cost_minor": 100, "cost_per": 4, "cost_currency": "USD"}, 175),
    ("cost is higher", "USD", {"cost_minor": 10**9, "cost_currency": "USD"}, 2_333),
    ("cost in yen: 7 × 100 × 0.667878041", "USD", {"cost_minor": 100, "cost_currency": "JPY"}, 467),
    ("a cost of nothing", "USD", {"cost_minor": 0, "cost_currency": "USD"}, 0),
    ("a cost in what has no rate", "USD", {"cost_minor": 1, "cost_currency": NEVER_QUOTED}, None),
    ("appraised at 90%", "USD", {"nolv_bp": 9_000}, 2_099),
    ("appraised above", "USD", {"nolv_bp": 12_000}, 2_333),
    ("appraised until now", "USD", {"nolv_bp": 9_000, "nolv_until_ms": NOW_MS}, 2_099),
    ("no quote", "USD", {"series": "tea"}, None),
    ("no quote yet", "USD", {"series": "to-come"}, None),
    ("no rate", "USD", {"series": "no-rate"}, None),
    ("but none is needed", NEVER_QUOTED, {"series": "no-rate"}, 700),
    ("withdrawn", "USD", {"series": "gone"}, None),
    ("the most that there is", "USD", {"series": "greatest", "quantity": 1}, MOST_MINOR),
    ("and one more", "USD", {"series": "beyond", "quantity": 1_000}, None),
    ("as many of the dearest as there can be", "USD", {"series": "greatest", "quantity": 10**9}, None),
    ("a yen price that is as dear", "USD", {"series": "dear-yen", "quantity": 1}, 667_878_041_000_000),
    ("beyond at market, though not at cost", "USD",
     {"series": "greatest", "quantity": 2, "cost_minor": 5, "cost_currency": "USD"}, None),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(("name", "currency", "change", "value_minor"), VALUES, ids=[row[0] for row in VALUES])
def test_value(found_by: FoundBy, name: str, currency: str, change: dict[str, Any], value_minor: int | None) -> None:
    line = of_one(found_by, alone(Policy("plain"), PLAIN._replace(**change), currency=currency, market=HAND))
    assert (line.value_minor, line.is_unvalued) == (value_minor or 0, value_minor is None)


LADDER = (Band(10, 100), Band(20, 2_000), Band(1_000_000, 9_000))
HAIRCUTS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, int]]] = [
    # what, of the policy, of the plain lot (7 for 2,333 cents), what is taken
    ("a loss", {}, {"loss_bp": 1}, {"condition_loss": 1}),
    ("more than all", {}, {"loss_bp": 20_000}, {"condition_loss": 2_333}),
    ("ageing", {"evidence": EvidencePolicy("fix", 60, 90, 5_000)}, {"evidence_ms": NOW_MS - 60_001},
     {"evidence_ageing": 1_167}),
    ("fresh still", {"evidence": EvidencePolicy("fix", 60, 90, 5_000)}, {"evidence_ms": NOW_MS - 60_000}, {}),
    ("dark counts as ageing", {"evidence": EvidencePolicy("fix", 60, 90, 5_000, "ageing")},
     {"evidence_ms": 0, "is_dark": True}, {"evidence_ageing": 1_167}),
    ("its age is not asked", {"evidence": EvidencePolicy("fix", 60, 0, 5_000)}, {}, {}),
    ("nine days", {"age_bands": LADDER}, {"received_ms": NOW_MS - 10 * DAY_MS + 1}, {}),
    ("ten days", {"age_bands": LADDER}, {"received_ms": NOW_MS - 10 * DAY_MS}, {"age_haircut": 24}),
    ("twenty days", {"age_bands": LADDER}, {"received_ms": NOW_MS - 25 * DAY_MS}, {"age_haircut": 467}),
    ("nothing is sold", {"on_hand_bands": LADDER}, {"sold_milli_per_day": 0}, {"sell_through": 2_100}),
    ("twenty days of sales", {"on_hand_bands": LADDER}, {"sold_milli_per_day": 350}, {"sell_through": 467}),
    ("not quite", {"on_hand_bands": LADDER}, {"sold_milli_per_day": 351}, {"sell_through": 24}),
    ("no sales known", {"on_hand_bands": LADDER}, {}, {}),
    ("no other currency", {"fx": Swing(500)}, {}, {}),
    ("another one, of 2,529 cents", {"fx": Swing(500)}, {"series": "euros"}, {"fx_haircut": 127}),
    ("a price's own", {"price": Swing(500)}, {}, {"volatility": 117}),
    ("too few quotes", {"price": Swing(500, 5, 1, 1_000)}, {}, {"volatility": 2_333}),
    # up and down a tenth: s = √0.02 a day, √0.04 in two
    ("√0.02, of 693 cents", {"price": Swing(0, 3, 1, 1_000)}, {"series": "rising"}, {"volatility": 99}),
    ("√0.04, of 693 cents", {"price": Swing(0, 3, 2, 1_000)}, {"series": "rising"}, {"volatility": 139}),
    ("one after the other", {"price": Swing(5_000)}, {"haircut_bp": 5_000, "loss_bp": 5_000},
     {"condition_loss": 1_167, "volatility": 583, "lot_haircut": 292}),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(("name", "terms", "change", "taken"), HAIRCUTS, ids=[row[0] for row in HAIRCUTS])
def test_haircuts(
    found_by: FoundBy, name: str, terms: dict[str, Any], change: dict[str, Any], taken: dict[str, int]
) -> None:
    one = alone(Policy("plain")._replace(**terms), PLAIN._replace(**change), currency="USD", market=HAND)
    assert of_one(found_by, one).ineligible == taken


@BOTH
def test_concentration_cuts_those_that_lend_least_and_counts_one_total(found_by: FoundBy) -> None:
    """Of 1,000 in all, a SKU keeps 400 and a buyer 300; the fourth lot has no buyer and no SKU."""
    market = Market({"one": (PriceQuote(TODAY, 1, 1, "USD"),)}, {})
    lots = [
        LotStanding("a", "facility", "tea", "one", 300, in_class="in_transit", buyer="shop"),
        LotStanding("b", "facility", "tea", "one", 200, in_class="warehouse", buyer="shop"),
        LotStanding("c", "facility", "tea", "one", 200, in_class="warehouse", buyer="shop"),
        LotStanding("d", "facility", "", "one", 300),
    ]
    policy = Policy("capped", advance_bp=(5_000, 6_000, 7_000, 8_000), cap_bp=(4_000, 3_000, 10_000, 10_000, 10_000))
    ((base, lines),) = found_by(alone(policy, *lots, currency="USD", market=market)).values()
    assert [(one.id, one.ineligible, one.eligible_minor, one.advance_minor) for one in lines] == [
        ("a", {"concentration_sku": 300}, 0, 0),
        ("b", {}, 200, 160),
        ("c", {"concentration_buyer": 100}, 100, 80),
        ("d", {}, 300, 240),
    ]
    assert base.ineligible == {"concentration_sku": 300, "concentration_buyer": 100}


@BOTH
def test_from_the_eligible_to_the_base(found_by: FoundBy) -> None:
    """1,001 of each class, lent half: 500 each, within a tree of limits, less reserves, within the facility's limit."""
    market = Market({"one": (PriceQuote(TODAY, 1, 1, "USD"),)}, {})
    lots = [
        LotStanding(name, "facility", "tea", "one", 1_001, in_class=name)
        for name in ("in_transit", "at_port", "bonded", "warehouse")
    ]
    policy = Policy(
        "tree",
        advance_bp=(5_000,) * 4,
        reserves=(Reserve("freight", "freight", 50, 0), Reserve("dilution", "dilution", 7, 25)),
        sub_limits=(
            SubLimit("port", "outside", ("at_port",), 100),
            SubLimit("outside", "", ("in_transit",), 450),
            SubLimit("bonded", "", ("bonded",), 500),
        ),
    )
    one = alone(policy, *lots, currency="USD", market=market)
    ((base, _),) = found_by(one._replace(lines=(Line("facility", "USD", policy, 1_300, 1_400),))).values()
    assert told(base) == told(
        Base(
            gross_minor=4_004,
            ineligible={},
            eligible_minor=4_004,
            advance={"in_transit": 500, "at_port": 500, "bonded": 500, "warehouse": 500},
            held_back={"sub_limit_port": 400, "sub_limit_outside": 150, "sub_limit_bonded": 0},
            reserves={"freight": 50, "dilution": 7 + 11},  # 4,004 × 25 ÷ 10,000 = 10.01
            base_minor=2_000 - 550 - 68,
            limit_minor=1_300,
            outstanding_minor=1_400,
            availability_minor=0,
            headroom_minor=-100,
            ltv_bp=3_497,  # 3,496.5
            cover_bp=28_600,
            lots=4,
            unvalued=0,
        )
    )
    ((base, _),) = found_by(one).values()
    assert (base.headroom_minor, base.availability_minor, base.ltv_bp, base.cover_bp) == (1_382, 1_382, 0, -1)
