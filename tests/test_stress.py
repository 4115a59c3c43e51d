"""Stress and accumulation: figures worked out by hand, and the shocked world built and valued for itself."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from portfolios import SEEDS, TODAY, Portfolio, frozen, portfolio

from pledgewatch_cloud.decide.collateral import exposure, stress, worth
from pledgewatch_cloud.decide.collateral import sheet as sheet_module
from pledgewatch_cloud.decide.collateral.bases import base_of
from pledgewatch_cloud.decide.collateral.exposure import Exposure, exposures
from pledgewatch_cloud.decide.collateral.goods import DAY_MS, goods_of
from pledgewatch_cloud.decide.collateral.result import Base
from pledgewatch_cloud.decide.collateral.sheet import Sheet, revalued
from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.collateral.stress import Shock, Stressed, shocks_of, stressed
from pledgewatch_cloud.decide.collateral.terms import DIMENSIONS, Covenants, Line, Policy
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.market import Market, MarketError, PriceQuote, RateQuote
from pledgewatch_cloud.decide.moments import ID_IS

# A world that can be worked out by hand: 1 EUR = 1.25 USD = 200 JPY, so a cent of a dollar is 0.8 of a euro's and a yen
# 0.625 cents of a dollar. Every lot is lent 80 %; a margin is called at a loan to value of 90 %.

POLICY = Policy("policy", advance_bp=(8_000,) * 4, covenants=Covenants(call_bp=9_000))
LINES = (
    Line("dollar", "USD", POLICY, 0, 650_000),
    Line("euro", "EUR", POLICY, 0, 600_000),
    Line("yen", "JPY", POLICY, 0, 480_000),
)
LOTS = (
    LotStanding("d-steel", "dollar", "steel", "steel", 500, vessel="ever-given", warehouse="hall-1"),
    LotStanding("d-tea", "dollar", "tea", "tea", 100, vessel="emma"),
    LotStanding("d-tin", "dollar", "tin", "tin", 1_000, cost_minor=200, cost_currency="EUR", warehouse="hall-1"),
    LotStanding("e-steel", "euro", "steel", "steel", 1_000, vessel="ever-given"),
    LotStanding("y-tea", "yen", "tea", "tea", 300, country="JP"),
)
MARKET = Market(
    {
        "steel": (PriceQuote(TODAY, 1_000, 1, "USD"),),
        "tea": (PriceQuote(TODAY, 2_000, 1, "JPY"),),
        "tin": (PriceQuote(TODAY, 400, 1, "USD"),),
    },
    {"USD": (RateQuote(TODAY, 125, 2),), "JPY": (RateQuote(TODAY, 200, 0),), "CHF": (RateQuote(TODAY, 1, 0),)},
)
FENCES = {"rotterdam": ["d-tea", "e-steel", "of-nobody"], "empty": []}


def sheet_of(lots: tuple[LotStanding, ...] = LOTS, lines: tuple[Line, ...] = LINES, market: Market = MARKET) -> Sheet:
    return revalued(goods_of(lines, lots), market, TODAY * DAY_MS)


def under(shock: Shock, sheet: Sheet | None = None) -> dict[str, Stressed]:
    return {one.facility: one for one in stressed(sheet or sheet_of(), [shock], FENCES)}


def test_the_world_without_a_shock() -> None:
    """Steel 500 × 10.00 USD; tea 100 × 2,000 JPY × 0.625; tin 1,000 × 4.00 USD, but cost 2,000.00 EUR × 1.25."""
    found = under(Shock("none"))
    assert {one: (it.base.gross_minor, it.base.base_minor) for one, it in found.items()} == {
        "dollar": (500_000 + 125_000 + 250_000, 700_000),
        "euro": (800_000, 640_000),
        "yen": (600_000, 480_000),
    }
    assert [(it.change_minor, it.call_minor, it.lots_lost) for it in found.values()] == [(0, 0, 0)] * 3


# By shock and facility: gross and base as they would be, headroom, what is called, and how many lots are gone.
HANDED = [
    (
        Shock("all prices", price_bp=-2_000),
        {
            "dollar": (400_000 + 100_000 + 250_000, 600_000, -50_000, 50_000, 0),  # tin 320,000, but its cost is less
            "euro": (640_000, 512_000, -88_000, 88_000, 0),
            "yen": (480_000, 384_000, -96_000, 96_000, 0),
        },
    ),
    (
        Shock("tin is worth less than it cost", price_bp=-5_000),
        {
            "dollar": (250_000 + 62_500 + 200_000, 410_000, -240_000, 240_000, 0),
            "euro": (400_000, 320_000, -280_000, 280_000, 0),
            "yen": (300_000, 240_000, -240_000, 240_000, 0),
        },
    ),
    (
        Shock("one series", series_bp={"steel": -2_000}),
        {
            "dollar": (400_000 + 125_000 + 250_000, 620_000, -30_000, 30_000, 0),
            "euro": (640_000, 512_000, -88_000, 88_000, 0),
            "yen": (600_000, 480_000, 0, 0, 0),
        },
    ),
    (
        Shock("all but one series", price_bp=-2_000, series_bp={"steel": 0}),
        {
            "dollar": (500_000 + 100_000 + 250_000, 680_000, 30_000, 0, 0),
            "euro": (800_000, 640_000, 40_000, 0, 0),
            "yen": (480_000, 384_000, -96_000, 96_000, 0),
        },
    ),
    (
        # Steel is sold for dollars that buy 5 % fewer euros. Yen and euros buy 10,000 ÷ 9,500 = 1.0526 as many dollars.
        Shock("dollar down", currency_bp={"USD": -500}),
        {
            "dollar": (500_000 + 131_575 + 263_150, 400_000 + 105_260 + 210_520, 65_780, 0, 0),
            "euro": (760_000, 608_000, 8_000, 0, 0),
            "yen": (600_000, 480_000, 0, 0, 0),
        },
    ),
    (
        # 10,000 ÷ 10,500 = 0.9523: ⌊200,000 × 0.625 × 0.9523⌋ = 119,037, of which ⌊0.8⌋ is 95,229.
        Shock("dollar up", currency_bp={"USD": 500}),
        {
            "dollar": (500_000 + 119_037 + 238_075, 400_000 + 95_229 + 190_460, 35_689, 0, 0),
            "euro": (840_000, 672_000, 72_000, 0, 0),
            "yen": (600_000, 480_000, 0, 0, 0),
        },
    ),
    (
        Shock("euro down", currency_bp={"EUR": -500}),
        {
            "dollar": (500_000 + 125_000 + 237_500, 690_000, 40_000, 0, 0),  # what tin cost, in euros
            "euro": (842_080, 673_664, 73_664, 0, 0),
            "yen": (600_000, 480_000, 0, 0, 0),
        },
    ),
    (
        Shock("euro up", currency_bp={"EUR": 500}),
        {
            "dollar": (500_000 + 125_000 + 262_500, 710_000, 60_000, 0, 0),
            "euro": (761_840, 609_472, 9_472, 0, 0),
            "yen": (600_000, 480_000, 0, 0, 0),
        },
    ),
    (
        Shock("yen down", currency_bp={"JPY": -500}),
        {
            "dollar": (500_000 + 118_750 + 250_000, 695_000, 45_000, 0, 0),
            "euro": (800_000, 640_000, 40_000, 0, 0),
            "yen": (600_000, 480_000, 0, 0, 0),
        },
    ),
    (
        Shock("dollar and euro up alike", currency_bp={"USD": 500, "EUR": 500}),
        {
            "dollar": (500_000 + 119_037 + 250_000, 400_000 + 95_229 + 200_000, 45_229, 0, 0),
            "euro": (800_000, 640_000, 40_000, 0, 0),
            "yen": (600_000, 480_000, 0, 0, 0),
        },
    ),
    (
        Shock("prices and the dollar down", price_bp=-1_000, currency_bp={"USD": -1_000}),
        {
            "dollar": (450_000 + 125_000 + 277_775, 360_000 + 100_000 + 222_220, 32_220, 0, 0),
            "euro": (648_000, 518_400, -81_600, 81_600, 0),
            "yen": (540_000, 432_000, -48_000, 48_000, 0),
        },
    ),
    (
        Shock("port closed", lost_fences=["rotterdam", "empty", "unheard-of"]),
        {
            "dollar": (500_000 + 250_000, 600_000, -50_000, 50_000, 1),
            "euro": (0, 0, -600_000, 600_000, 1),
            "yen": (600_000, 480_000, 0, 0, 0),
        },
    ),
    (
        Shock("warehouse lost", lost={"warehouse": ["hall-1", "hall-9"]}),
        {
            "dollar": (125_000, 100_000, -550_000, 550_000, 2),
            "euro": (800_000, 640_000, 40_000, 0, 0),
            "yen": (600_000, 480_000, 0, 0, 0),
        },
    ),
    (
        Shock("vessel lost, which is in port", lost={"vessel": ["ever-given"]}, lost_fences=["rotterdam"]),
        {
            "dollar": (250_000, 200_000, -450_000, 450_000, 2),
            "euro": (0, 0, -600_000, 600_000, 1),
            "yen": (600_000, 480_000, 0, 0, 0),
        },
    ),
    (
        Shock("a country lost while prices rise", price_bp=1_000, lost={"country": ["JP"], "sku": ["tin"]}),
        {
            "dollar": (550_000 + 137_500, 550_000, -100_000, 100_000, 1),
            "euro": (880_000, 704_000, 104_000, 0, 0),
            "yen": (0, 0, -480_000, 480_000, 1),
        },
    ),
]


@pytest.mark.parametrize(("shock", "expected"), HANDED, ids=lambda one: one.id if isinstance(one, Shock) else "")
def test_shocks_by_hand(shock: Shock, expected: Mapping[str, tuple[int, ...]]) -> None:
    found = under(shock)
    before = under(Shock("none"))
    for facility, (gross, base, headroom, called, lost) in expected.items():
        it = found[facility]
        told = (it.base.gross_minor, it.base.base_minor, it.base.headroom_minor, it.call_minor, it.lots_lost)
        assert told == (gross, base, headroom, called, lost), facility
        assert it.change_minor == base - before[facility].base.base_minor
        assert it.shock == shock.id


def test_a_call_brings_the_ratio_below_its_level_and_what_is_below_the_level_calls_nothing() -> None:
    """Lent 100 %, called at 90 % and well again below 85 %: at an eligible of 660,000 a loan of 600,000 has a ratio of
    9,091 basis points, and 84.99 % may stay, 560,934. At 672,000 the ratio is 8,929, and nothing is called."""
    line = LINES[1]._replace(policy=Policy("all", covenants=Covenants(call_bp=9_000, clear_bp=500)))
    sheet = sheet_of((LOTS[3],), (line,))
    it = under(Shock("price", price_bp=-1_750), sheet)["euro"]
    assert (it.base.ltv_bp, it.base.headroom_minor, it.call_minor) == (9_091, 60_000, 39_066)
    it = under(Shock("price", price_bp=-1_600), sheet)["euro"]
    assert (it.base.ltv_bp, it.call_minor) == (8_929, 0)


def test_limits_and_caps_are_those_of_the_shocked_world() -> None:
    """A cap of 40 % on a vessel: with 1,000,000 in all, 500,000 on one vessel are cut to 400,000. When 200,000 of the
    others are lost, 40 % of 800,000 are left of them."""
    policy = Policy("cap", cap_bp=(10_000, 10_000, 10_000, 4_000, 10_000))
    lots = (
        LOTS[0],
        LotStanding("other-1", "dollar", "steel", "steel", 300, warehouse="hall-2"),
        LotStanding("other-2", "dollar", "steel", "steel", 200, warehouse="hall-3"),
    )
    sheet = sheet_of(lots, (Line("dollar", "USD", policy, 700_000, 0),))
    assert base_of(sheet, "dollar").ineligible == {"concentration_vessel": 100_000}
    it = under(Shock("lost", lost={"warehouse": ["hall-3"]}), sheet)["dollar"]
    assert it.base.ineligible == {"concentration_vessel": 500_000 - 320_000}
    assert (it.base.base_minor, it.base.headroom_minor) == (620_000, 620_000)
    assert it.change_minor == 620_000 - 900_000


def test_what_is_lost_is_worth_nothing_and_unvalued_only_where_it_has_no_quote() -> None:
    """Of 10^15 minor units for each of 1,000 of gold there is too much to be valued, until they are lost."""
    market = Market({"gold": (PriceQuote(TODAY, 10**15, 1, "USD"),), **MARKET.prices}, {})
    lots = (LotStanding("g", "dollar", "gold", "gold", 1_000), LotStanding("n", "dollar", "none", "none", 1), LOTS[0])
    sheet = sheet_of(lots, LINES[:1], market)
    assert base_of(sheet, "dollar").unvalued == 2
    it = under(Shock("lost", lost={"sku": ["gold", "none", "steel"]}), sheet)["dollar"]
    assert (it.base.gross_minor, it.base.unvalued, it.base.lots, it.lots_lost) == (0, 1, 3, 3)


def test_an_agreed_price_is_a_series_by_its_sku() -> None:
    (shock,) = shocks_of({"shocks": [{"id": "one", "series_bp": {"=sofa": -2_000}}]})
    market = Market({"=sofa": (PriceQuote(TODAY, 100, 1, "USD"),), "sofa": (PriceQuote(TODAY, 7, 1, "USD"),)}, {})
    lots = tuple(LotStanding(name, "dollar", "sofa", name, 1_000) for name in ("=sofa", "sofa"))
    assert under(shock, sheet_of(lots, LINES[:1], market))["dollar"].base.gross_minor == 80_000 + 7_000


def test_nothing_changes_and_every_shock_begins_from_the_same_world() -> None:
    """Also where there are more shocks than share one way over the lots."""
    sheet, again = frozen(sheet_of()), sheet_of()
    shocks = [shock for shock, _ in HANDED] * 3
    every = list(stressed(sheet, shocks, FENCES))
    assert [(one.shock, one.facility) for one in every] == [
        (shock.id, line.id) for shock in shocks for line in LINES
    ], "in their order"
    assert every == [one for shock in shocks for one in stressed(again, [shock], FENCES)]
    for line in LINES:
        assert base_of(sheet, line.id) == base_of(again, line.id)


@pytest.mark.parametrize("rows", [1, 97, 400])
def test_how_many_rows_are_taken_at_once_makes_no_difference(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shocks = [
        Shock("one", -1_000, {}, {"USD": 700}, {"sku": ["sku-1", "sku-2"], "country": ["DE"]}),
        Shock("other", 0, {"series-1": -9_999}, {}, {"buyer": ["buyer-a"]}),
    ]
    sheet = frozen(value_of(BIG))
    whole = list(stressed(sheet, shocks, {}))
    assert sum(one.lots_lost for one in whole) > 0
    for module in (worth, sheet_module):
        monkeypatch.setattr(module, "BLOCK", rows)
    assert list(stressed(sheet, shocks, {})) == whole


def test_a_result_is_plain_json() -> None:
    (one,) = stressed(sheet_of(LOTS[3:4], LINES[1:2]), [HANDED[0][0]], FENCES)
    found = stress.as_json(one)
    assert {key: value for key, value in found.items() if key != "base"} == {
        "shock": "all prices",
        "facility": "euro",
        "change_minor": -128_000,
        "call_minor": 88_000,
        "lots_lost": 0,
    }
    assert found["base"]["gross_minor"] == 640_000
    assert all(type(found[key]) is int for key in ("change_minor", "call_minor", "lots_lost"))


# The shocked world, built and valued for itself.


def repriced(one: Portfolio, factor: Callable[[str], tuple[int, int]]) -> Portfolio:
    """Every quote of a series times a ratio, exactly."""
    prices = {}
    for series, quotes in one.market.prices.items():
        above, below = factor(series)
        prices[series] = tuple(it._replace(price_minor=it.price_minor * above, per=it.per * below) for it in quotes)
    return one._replace(market=Market(prices, one.market.rates))


def revalued_currency(one: Portfolio, currency: str, above: int, below: int) -> Portfolio:
    """The euro's rates of a currency that is worth above ÷ below of what it was: below ÷ above units for a euro."""
    rates = dict(one.market.rates)
    rates[currency] = tuple(
        it._replace(digits=it.digits * 10**9 * below // above, scale=it.scale + 9) for it in rates[currency]
    )
    return one._replace(market=Market(one.market.prices, rates))


def value_of(one: Portfolio) -> Sheet:
    return revalued(goods_of(one.lines, one.lots), one.market, one.now_ms)


def assert_near(found: Base, expected: Base, share: float) -> None:
    """Amounts agree but for the rounding of the shares: so much of the gross, and two minor units for each lot."""
    slack = share * max(found.gross_minor, expected.gross_minor) + 2 * expected.lots
    amounts = ("gross_minor", "eligible_minor", "base_minor", "headroom_minor")
    for name in amounts:
        assert abs(getattr(found, name) - getattr(expected, name)) <= slack, name
    for name in ("ineligible", "advance", "held_back"):
        one, other = getattr(found, name), getattr(expected, name)
        for key in {*one, *other}:
            assert abs(one.get(key, 0) - other.get(key, 0)) <= slack, (name, key)


BIG = portfolio(7, 1_500)
# Nine significant digits are kept of each of two rates.
EXACT_SHARE = 1e-7
# And a basis point of the share, of what a facility has without the shock.
ROUNDED_SHARE = 1.2e-4


@pytest.mark.parametrize("price_bp", [-2_000, -9_900, 3_000])
def test_other_prices_are_as_other_quotes(price_bp: int) -> None:
    there = value_of(repriced(BIG, lambda _: (10_000 + price_bp, 10_000)))
    for it in stressed(value_of(BIG), [Shock("one", price_bp=price_bp)], {}):
        assert_near(it.base, base_of(there, it.facility), EXACT_SHARE if price_bp > -9_900 else ROUNDED_SHARE)
        assert it.base.gross_minor != base_of(value_of(BIG), it.facility).gross_minor


def test_one_series_is_as_its_other_quotes() -> None:
    wanted = {f"series-{number}": -2_000 + 500 * number for number in range(9)}
    there = value_of(repriced(BIG, lambda series: (10_000 + wanted.get(series, 0), 10_000)))
    for it in stressed(value_of(BIG), [Shock("some", series_bp=wanted)], {}):
        assert_near(it.base, base_of(there, it.facility), EXACT_SHARE)


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD", "GBP", "CLP"])
@pytest.mark.parametrize(("bp", "share"), [(-2_000, EXACT_SHARE), (-500, ROUNDED_SHARE), (500, ROUNDED_SHARE)])
def test_another_currency_is_as_its_other_rates(currency: str, bp: int, share: float) -> None:
    there = value_of(revalued_currency(BIG, currency, 10_000 + bp, 10_000))
    for it in stressed(value_of(BIG), [Shock("one", currency_bp={currency: bp})], {}):
        assert_near(it.base, base_of(there, it.facility), share)


def test_currencies_of_the_big_portfolio_are_sources_targets_and_of_costs() -> None:
    goods = value_of(BIG).goods
    assert len({line.currency for line in BIG.lines}) > 3
    assert len({(source, target) for source, target, _ in goods.pairs if source != target}) > 3


@settings(max_examples=25)
@given(SEEDS)
def test_lost_goods_are_as_if_they_had_never_been(seed: int) -> None:
    """To the minor unit; only the count of lots is as before."""
    book = portfolio(seed, 60, 3)
    lost = {"vessel": ["ever-given"], "warehouse": ["hall-2", "hall-3"], "sku": ["sku-1"]}
    in_port = [lot.id for lot in book.lots[::9]]

    def is_lost(lot: LotStanding) -> bool:
        return lot.id in in_port or any(getattr(lot, name) in words for name, words in lost.items())

    left = book._replace(lots=tuple(lot for lot in book.lots if not is_lost(lot)))
    there = value_of(left)
    shock = Shock("lost", lost=lost, lost_fences=["port"])
    for it in stressed(value_of(book), [shock], {"port": in_port}):
        expected = base_of(there, it.facility)
        assert it.base._replace(lots=0, unvalued=0) == expected._replace(lots=0, unvalued=0)
        assert it.lots_lost == it.base.lots - expected.lots


# Documents.


def test_a_document_says_all_that_a_shock_can_be() -> None:
    document = {
        "shocks": [
            {"id": "quiet"},
            {
                "id": "all",
                "price_bp": -10_000,
                "series_bp": {"steel": 100_000, "=sofa": -1},
                "currency_bp": {"USD": -9_999, "EUR": 5},
                "lost": {"vessel": ["b", "a"], "sku": []},
                "lost_fences": ["rotterdam"],
            },
        ]
    }
    assert shocks_of(document) == [
        Shock("quiet"),
        Shock(
            "all",
            -10_000,
            {"steel": 100_000, "=sofa": -1},
            {"USD": -9_999, "EUR": 5},
            {"vessel": ("a", "b")},
            ("rotterdam",),
        ),
    ]


WHOLE = "stress: an object with a list of 1 to 1000 `shocks` is needed, and nothing else"


@pytest.mark.parametrize(
    ("document", "errors"),
    [
        (None, [WHOLE]),
        ([], [WHOLE]),
        ({}, [WHOLE]),
        ({"shocks": []}, [WHOLE]),
        ({"shocks": {}}, [WHOLE]),
        ({"shocks": [{"id": "a"}], "more": 1}, [WHOLE]),
        ({"shocks": [{"id": str(number)} for number in range(1_001)]}, [WHOLE]),
        ({"shocks": [{"id": "a"}, {"id": "a"}]}, ["shocks: two share an id"]),
        (
            {
                "shocks": [
                    7,
                    {},
                    {"id": "a", "price_bp": -10_001},
                    {"id": "b", "price_bp": 0.5},
                    {"id": "c", "price_bp": True},
                    {"id": "d", "series_bp": []},
                    {"id": "e", "series_bp": {"steel": 100_001}},
                    {"id": "f", "series_bp": {"not a name": 1}},
                    {"id": "g", "currency_bp": {"USD": -10_000}},
                    {"id": "h", "currency_bp": {"ABC": 1}},
                    {"id": "i", "lost": {"port": ["a"]}},
                    {"id": "j", "lost": {"vessel": "a"}},
                    {"id": "k", "lost_fences": [1]},
                    {"id": "l", "price": 1},
                    {"id": "fine"},
                ]
            },
            [
                "shocks[0]: an object is needed, not int",
                "shocks[1].id: is missing",
                "shocks[2].price_bp: -10001 is not a whole number from -10000 to 100000",
                "shocks[3].price_bp: 0.5 is not a whole number from -10000 to 100000",
                "shocks[4].price_bp: True is not a whole number from -10000 to 100000",
                "shocks[5].series_bp: an object is needed, not list",
                "shocks[6].series_bp.steel: 100001 is not a whole number from -10000 to 100000",
                "shocks[7].series_bp.'not a name': is no name",
                "shocks[8].currency_bp.USD: -10000 is not a whole number from -9999 to 100000",
                "shocks[9].currency_bp: 'ABC' is no currency of ISO 4217 that has a minor unit",
                "shocks[10].lost.port: no such key",
                f"shocks[11].lost.vessel: a list of ids is needed, each {ID_IS}",
                f"shocks[12].lost_fences: a list of ids is needed, each {ID_IS}",
                "shocks[13].price: no such key",
            ],
        ),
    ],
)
def test_a_document_that_is_none_is_refused_with_every_shocks_place(document: Any, errors: list[str]) -> None:
    with pytest.raises(BookError) as refused:
        shocks_of(document)
    assert list(refused.value.errors) == errors


@pytest.mark.parametrize("least_bp", [-10_000, 100_000])
def test_the_utmost_shocks_can_be_worked_out(least_bp: int) -> None:
    currencies = dict.fromkeys(("USD", "JPY", "EUR"), max(least_bp, -9_999))
    for shock in (
        Shock("all", least_bp, currency_bp=currencies),
        Shock("source", least_bp, currency_bp={"USD": 100_000}),
        Shock("target", least_bp, currency_bp={"EUR": -9_999}),
    ):
        for it in under(shock).values():
            assert min(it.base.gross_minor, it.base.eligible_minor, it.base.base_minor) >= 0
            assert least_bp > 0 or it.base.gross_minor == 0


# Accumulation.


PORTS = {"d-tea": "rotterdam", "e-steel": "rotterdam", "y-tea": "kobe"}
# In euro cents: a dollar's cent is 0.8, a yen 0.5.
EXPOSED = {
    "sku": [
        Exposure("steel", 2, 400_000 + 800_000, 1_200_000, 320_000 + 640_000),
        Exposure("tea", 2, 100_000 + 300_000, 400_000, 80_000 + 240_000),
        Exposure("tin", 1, 200_000, 200_000, 160_000),
    ],
    "buyer": [Exposure("", 5, 1_800_000, 1_800_000, 1_440_000)],
    "country": [
        Exposure("", 4, 1_500_000, 1_500_000, 1_200_000),
        Exposure("JP", 1, 300_000, 300_000, 240_000),
    ],
    "vessel": [
        Exposure("ever-given", 2, 1_200_000, 1_200_000, 960_000),
        Exposure("", 2, 500_000, 500_000, 400_000),
        Exposure("emma", 1, 100_000, 100_000, 80_000),
    ],
    "warehouse": [
        Exposure("", 3, 100_000 + 800_000 + 300_000, 1_200_000, 960_000),
        Exposure("hall-1", 2, 600_000, 600_000, 480_000),
    ],
    "port": [
        Exposure("rotterdam", 2, 900_000, 900_000, 720_000),
        Exposure("", 2, 600_000, 600_000, 480_000),
        Exposure("kobe", 1, 300_000, 300_000, 240_000),
    ],
    "corridor": [Exposure("", 5, 1_800_000, 1_800_000, 1_440_000)],
    "currency": [
        Exposure("EUR", 1, 800_000, 800_000, 640_000),
        Exposure("USD", 3, 700_000, 700_000, 560_000),
        Exposure("JPY", 1, 300_000, 300_000, 240_000),
    ],
}


def test_exposures_by_hand() -> None:
    assert set(EXPOSED) == set(exposure.BY)
    for by, expected in EXPOSED.items():
        words = PORTS if by == "port" else {}
        assert exposures(sheet_of(), by, words, MARKET, "EUR") == expected, by


@pytest.mark.parametrize("by", exposure.BY)
@pytest.mark.parametrize("currency", ["EUR", "JPY", "KWD"])
def test_exposures_add_up_to_what_is_lent_on(by: str, currency: str) -> None:
    """What each facility has behind a word is rounded down once, and by no more than its rate's ninth digit."""
    sheet = value_of(BIG)
    words = {lot.id: f"word-{number % 7}" for number, lot in enumerate(BIG.lots) if number % 3}
    found = exposures(sheet, by, words, BIG.market, currency)
    assert [one.advance_minor for one in found] == sorted((one.advance_minor for one in found), reverse=True)
    assert len({one.word for one in found}) == len(found)
    assert sum(one.lots for one in found) == len(BIG.lots)
    for name in ("gross_minor", "eligible_minor", "advance_minor"):
        expected = 0
        for line in BIG.lines:
            base = base_of(sheet, line.id)
            amount = sum(base.advance.values()) if name == "advance_minor" else getattr(base, name)
            cross = BIG.market.cross(line.currency, currency, TODAY)
            expected += amount * cross.mantissa // 10**cross.exponent
        assert 0 <= expected - sum(getattr(one, name) for one in found) <= len(found) * len(BIG.lines)
        assert all(type(getattr(one, name)) is int for one in found)


@pytest.mark.parametrize("by", DIMENSIONS)
def test_what_lies_behind_a_word_is_that_of_its_lots(by: str) -> None:
    one = portfolio(3, 200, 1)
    sheet = value_of(one)
    number = {lot.id: place for place, lot in enumerate(sorted(one.lots, key=lambda lot: lot.id))}
    for found in exposures(sheet, by, {}, one.market, one.lines[0].currency):
        rows = np.array([number[lot.id] for lot in one.lots if getattr(lot, by) == found.word])
        assert found.lots == len(rows)
        assert found.gross_minor == int(sheet.worth.value[rows].sum())
        assert found.eligible_minor == int(sheet.eligible[rows].sum())
        assert found.advance_minor == int(sheet.advance[rows].sum())


@pytest.mark.parametrize(
    ("currency", "error"),
    [
        ("QQQ", "'QQQ' is no currency of ISO 4217 that has a minor unit"),
        ("usd", "'usd' is no currency of ISO 4217 that has a minor unit"),
        ("", "'' is no currency of ISO 4217 that has a minor unit"),
        ("GBP", "GBP: there is no exchange rate on or before 2026-06-15"),
    ],
)
def test_a_currency_that_is_none_or_has_no_rate_is_an_error(currency: str, error: str) -> None:
    with pytest.raises(MarketError) as refused:
        exposures(sheet_of(), "vessel", {}, MARKET, currency)
    assert refused.value.errors == (error,)


def test_no_goods_are_no_exposure() -> None:
    for lines in ((), LINES):
        for by in exposure.BY:
            assert exposures(sheet_of((), lines), by, {}, MARKET, "EUR") == []
    with pytest.raises(MarketError):
        exposures(sheet_of((), ()), "vessel", {}, MARKET, "QQQ")
