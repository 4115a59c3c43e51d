"""The borrowing base as it is lived, entry by entry: cases that a banker can work out on paper.

A row: the hour after noon on Thursday, 1 January 2026 (UTC), what happens, and the figures after it. Amounts are US
cents. Every entry of every case is held to the laws of sums as well (lending.assert_sums).
"""

from typing import Any

import pytest
from builders import IN_LOS_ANGELES, IN_SHANGHAI, position, temperature
from lending import (
    BY_SERIES,
    CLASSES,
    HALF,
    INVENTORY,
    LINE,
    MS,
    SERIES,
    Bench,
    Row,
    amended,
    assert_figures,
    backlog,
    heard,
    lends,
    lot,
    moment,
    passes,
    price,
    quoted,
    rate,
)

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.collateral.policies import PRESETS
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.market import MarketError
from pledgewatch_wire.reading import Cell, Channel, Quality

# 1. A thousand sofas in a warehouse in the United States, lent on at one half.


def test_a_thousand_sofas_at_an_agreed_price() -> None:
    bench = Bench(policy=INVENTORY)
    assert_figures(
        bench,
        [
            # Nothing was heard of the warehouse yet: 1,000 × 200.00, and not a cent of it is lent.
            (0, passes, {"gross": 20_000_000, "evidence": 20_000_000, "eligible": 0, "base": 0}),
            (1, heard(), {"gross": 20_000_000, "eligible": 20_000_000, "base": 10_000_000, "availability": 5_000_000}),
            # 5,000,000 are drawn: 25 % of the eligible, which covers it four times.
            (1, passes, {"outstanding": 5_000_000, "ltv_bp": 2_500, "cover_bp": 40_000, "evidence": 0}),
        ],
    )


def test_a_thousand_sofas_quoted_in_yuan_for_a_line_in_dollars() -> None:
    """1 EUR = 1.17 USD = 8.19 CNY: a fen is 1.17 ÷ 8.19 = 0.142857142857… cents, of which nine digits are kept."""
    bench = Bench(policy=INVENTORY, **BY_SERIES)
    assert_figures(
        bench,
        [
            (0, heard(), {"gross": 0, "unvalued": 1, "base": 0}),
            (0, quoted(price("sofa-index", "2026-01-01", "1400.00", "CNY")), {"gross": 0, "unvalued": 1}),
            (
                0,
                quoted(rate("USD", "2026-01-01", "1.17"), rate("CNY", "2026-01-01", "8.19")),
                # ⌊140,000,000 fen × 0.142857142⌋ = ⌊19,999,999.88⌋; ⌊19,999,999 ÷ 2⌋; ltv rounds up, cover down.
                {
                    "gross": 19_999_999,
                    "unvalued": 0,
                    "base": 9_999_999,
                    "availability": 4_999_999,
                    "ltv_bp": 2_501,
                    "cover_bp": 39_999,
                    "changes": {"fx": 9_999_999},
                },
            ),
        ],
    )


def test_goods_that_must_be_in_the_united_states_and_in_the_warehouse() -> None:
    """A device that was fitted inside the warehouse never enters it, and is there."""
    policy = HALF | {"fences": ["los-angeles"], "countries": ["US"]}
    bench = Bench(policy=policy, lots=[lot(country="US")], kinds={"store": "trailer"})
    assert_figures(
        bench,
        [
            (0, heard(), {"place": 20_000_000, "base": 0}),
            (1, heard("store", *position(IN_LOS_ANGELES)), {"place": 0, "changes": {"place": 10_000_000}}),
            (2, amended(lots=[lot(country="CN")]), {"place": 20_000_000, "base": 0}),
            (3, amended(lots=[lot(country="US")]), {"place": 0, "base": 10_000_000}),
            (9, heard("store", *position(IN_SHANGHAI)), {"place": 0, "changes": {}}),  # nobody is there so soon
            (500, heard("store", *position(IN_SHANGHAI)), {"place": 20_000_000, "changes": {"place": -10_000_000}}),
        ],
    )


# 2. A device is killed: fresh for 6 hours, ageing (a tenth less) for 24, then stale.

WHOLE = {"evidence_ageing": 0, "evidence": 0, "eligible": 20_000_000, "base": 10_000_000}
AGEING = {"evidence_ageing": 2_000_000, "evidence": 0, "eligible": 18_000_000, "base": 9_000_000}
STALE = {"evidence_ageing": 0, "evidence": 20_000_000, "eligible": 0, "base": 0, "headroom": -5_000_000}


def test_a_device_is_killed_and_its_backlog_brings_everything_back() -> None:
    bench = Bench(policy=INVENTORY)
    assert_figures(
        bench,
        [
            (0, heard(), WHOLE),
            (6, passes, WHOLE | {"changes": {}}),
            (6 + MS, passes, AGEING | {"changes": {"evidence": -1_000_000}, "availability": 4_000_000}),
            (24, passes, AGEING | {"changes": {}, "said": []}),
            (24 + MS, passes, STALE | {"changes": {"evidence": -9_000_000}, "availability": 0}),
            (30, passes, STALE | {"changes": {}, "said": []}),
            # What comes first is 25 hours old, what comes next 7, the newest half an hour.
            (30, backlog("store", 5), STALE | {"changes": {}}),
            (30, backlog("store", 6, 12, 23), AGEING | {"changes": {"evidence": 9_000_000}}),
            (30, backlog("store", 29.5), WHOLE | {"changes": {"evidence": 1_000_000}, "availability": 5_000_000}),
            (35.5, passes, WHOLE | {"changes": {}}),
            (35.5 + MS, passes, AGEING | {"changes": {"evidence": -1_000_000}}),
            # Old news that comes again, or late, makes nothing younger.
            (36, heard(), WHOLE),
            (37, backlog("store", 20), WHOLE | {"changes": {}}),
        ],
    )


SEA = [{"id": "sea", "kind": "sea", "from": moment(2), "until": moment(40), "signal": "dark"}]
DARK: list[tuple[str, list[Row]]] = [
    # Dark from hour 2 to hour 40; killed at 0. What counts meanwhile is no worse than the policy says.
    ("fresh", [(6 + MS, passes, WHOLE), (24 + MS, passes, WHOLE), (40 - MS, passes, WHOLE), (40, passes, STALE)]),
    ("ageing", [(6 + MS, passes, AGEING), (24 + MS, passes, AGEING), (40 - MS, passes, AGEING), (40, passes, STALE)]),
    ("stale", [(6, passes, WHOLE), (6 + MS, passes, AGEING), (24, passes, AGEING), (24 + MS, passes, STALE)]),
]


@pytest.mark.parametrize(("dark", "rows"), DARK, ids=[name for name, _ in DARK])
def test_a_device_is_killed_at_sea_where_the_plan_says_dark(dark: str, rows: list[Row]) -> None:
    evidence = {"by": "reading", "fresh_s": 6 * 3_600, "stale_s": 24 * 3_600, "ageing_bp": 1_000, "dark": dark}
    voyages = [{"id": "voyage", "asset": "store", "legs": SEA}]
    bench = Bench(kinds={"store": "container"}, policy=HALF | {"evidence": evidence}, voyages=voyages)
    assert_figures(bench, [(0, heard(), WHOLE), *rows, (41, backlog("store", 3, 20, 40.5), WHOLE)])


def test_a_device_that_never_spoke_is_stale_also_in_the_dark() -> None:
    policy = HALF | {"evidence": {"fresh_s": 3_600, "stale_s": 7_200, "dark": "fresh"}}
    bench = Bench(policy=policy, voyages=[{"id": "voyage", "asset": "store", "legs": SEA}])
    assert_figures(bench, [(3, passes, STALE), (50, passes, STALE)])


def test_the_amendment_of_a_voyage_brings_the_dark_forward() -> None:
    evidence = {"fresh_s": 6 * 3_600, "stale_s": 24 * 3_600, "dark": "fresh"}
    bench = Bench(policy=HALF | {"evidence": evidence})
    voyage = {"id": "voyage", "asset": "store", "legs": SEA}
    assert_figures(
        bench, [(0, heard(), WHOLE), (25, passes, STALE), (26, amended(voyages=[voyage]), WHOLE), (40, passes, STALE)]
    )


def test_what_was_fresh_when_the_terms_were_changed_comes_back_as_well() -> None:
    rows: list[Row] = [
        (0, heard(), WHOLE),
        (1, amended(policies=[{"id": "terms", **INVENTORY, "price_stale_days": 9}]), WHOLE),
        (25.5, passes, STALE),
        (26, heard(), WHOLE),
    ]
    assert_figures(Bench(policy=INVENTORY), rows)


# 3. An excursion on three of forty pallets: 40 pallets of 1,000.00 each, three of which bear 2 to 8 °C only.

OUTSIDE = [{"minutes": 60, "bp": 0}, {"minutes": 720, "bp": 5_000}, {"minutes": 1_440, "bp": 10_000}]
TENDER = ("pallet-07", "pallet-21", "pallet-40")


def pallets(**limit: Any) -> list[dict[str, Any]]:
    """Forty pallets in one store, each with its own limit."""
    names = [f"pallet-{number:02}" for number in range(1, 41)]
    robust = {"channel": "temperature_mc", "low": 0, "high": 15_000, "grace_s": 600}
    limits = {name: robust | ({"high": 8_000} | limit if name in TENDER else {}) for name in names}
    return [lot(name, sku="vaccine", quantity=10, limits=[limits[name]]) for name in names]


def store_of_pallets(curve: dict[str, Any], **limit: Any) -> Bench:
    prices = [{"sku": "vaccine", "unit_price_minor": 10_000, "currency": "USD"}]
    products = [{"sku": "vaccine", "loss": [curve]}]
    return Bench(
        policy=HALF, lots=pallets(**limit), prices=prices, products=products, facility={"outstanding_minor": 0}
    )


def losing(bench: Bench) -> dict[str, int]:
    """What each lot loses by its condition."""
    found = {one.id: one.ineligible.get("condition_loss", 0) for one in bench.lines().values()}
    return {name: amount for name, amount in found.items() if amount}


def test_an_excursion_takes_its_exact_amount_from_three_pallets_alone() -> None:
    bench = store_of_pallets({"kind": "outside", "points": OUTSIDE})
    warm = (temperature(10_000),)
    rows: list[Row] = [
        (0, heard(), {"gross": 4_000_000, "condition_loss": 0, "base": 2_000_000}),
        (1, heard("store", *warm), {"condition_loss": 0}),
        # Breached at 1:10, when the grace has run out. At 2:00 that is 50 minutes: free.
        (2, passes, {"condition_loss": 0, "base": 2_000_000}),
        # 110 minutes: ⌈5,000 × 50 ÷ 660⌉ = 379 bp of 100,000 is 3,790 for each of three; 96,210 ÷ 2 = 48,105 is lent.
        (3, passes, {"condition_loss": 11_370, "base": 1_994_315, "changes": {"condition": -5_685}}),
        (3.5, passes, {"condition_loss": 11_370, "changes": {}}),
        # Cold again at 4:00: 170 minutes, ⌈5,000 × 110 ÷ 660⌉ = 834 bp; 91,660 ÷ 2 = 45,830.
        (4, heard(), {"condition_loss": 25_020, "base": 1_987_490, "changes": {"condition": -6_825}}),
        (10, passes, {"condition_loss": 25_020, "changes": {}}),
    ]
    assert_figures(bench, rows)
    assert losing(bench) == dict.fromkeys(TENDER, 8_340)


def test_a_backlog_shows_that_the_excursion_was_shorter() -> None:
    bench = store_of_pallets({"kind": "outside", "points": OUTSIDE})
    rows: list[Row] = [
        (0, heard(), {"base": 2_000_000}),
        (1, heard("store", temperature(10_000)), {}),
        (4, passes, {"condition_loss": 25_020}),  # 170 minutes since 1:10, as far as is known
        (5, backlog("store", 2), {"condition_loss": 0, "base": 2_000_000, "changes": {"condition": 12_510}}),
    ]
    assert_figures(bench, rows)


@pytest.mark.parametrize(
    ("unknown", "loss"),
    # The probe is silent after 0:00, and two hours are borne; at 3:00 it is told that nobody knows, since 0:00:
    # 180 minutes at their worst, ⌈5,000 × 120 ÷ 660⌉ = 910 bp; at 4:00 240, ⌈5,000 × 180 ÷ 660⌉ = 1,364 bp.
    [("outside", (3 * 9_100, 3 * 13_640)), ("inside", (0, 0))],
)
def test_minutes_that_nobody_knows_count_as_the_curve_says(unknown: str, loss: tuple[int, int]) -> None:
    curve = {"kind": "outside", "points": OUTSIDE, "unknown": unknown}
    bench = store_of_pallets(curve, max_gap_s=7_200)
    rows: list[Row] = [
        (0, heard(), {"condition_loss": 0}),
        (2, passes, {"condition_loss": 0}),
        (3, passes, {"condition_loss": loss[0]}),
        (4, passes, {"condition_loss": loss[1]}),
        (5, backlog("store", 1, 2, 3, 4), {"condition_loss": 0}),
    ]
    assert_figures(bench, rows)


LIFE = {"kind": "life", "reference_mc": 5_000, "q10_milli": 2_000}
MKT = {"channel": "temperature_mc", "high_mc": 15_000, "worst_low_mc": 0, "worst_high_mc": 15_000, "max_gap_s": 86_400}


def test_shelf_life_is_used_up_though_nothing_is_ever_said_of_it() -> None:
    """720 hours of life at 5 °C, at 15 °C twice as fast: an hour uses 10,000 × 2 ÷ 720 = 27.7… basis points."""
    curve = LIFE | {"life_h": 720, "points": [{"consumed_bp": 1_000, "bp": 0}, {"consumed_bp": 3_000, "bp": 4_000}]}
    bench = Bench(policy=HALF, products=[{"sku": "sofa", "loss": [curve]}], lots=[lot(mkt=MKT)])
    warm = heard("store", temperature(15_000))
    rows: list[Row] = [
        (0, warm, {"condition_loss": 0}),
        (18, warm, {"condition_loss": 0}),
        (36, passes, {"condition_loss": 0}),  # 1,000 bp are used
        (36, warm, {"condition_loss": 0}),
        # 45 hours: 1,250 bp of life, ⌈4,000 × 250 ÷ 2,000⌉ = 500 bp of 20,000,000.
        (45, passes, {"condition_loss": 1_000_000, "changes": {"condition": -500_000}}),
        (54, warm, {"condition_loss": 2_000_000}),
        (72, passes, {"condition_loss": 4_000_000, "base": 8_000_000}),
    ]
    assert_figures(bench, rows)


def test_goods_of_which_nothing_was_ever_heard_age_at_the_declared_worst_case() -> None:
    """100 hours of life at 5 °C, the worst case 15 °C: a day's gap is borne, then 25 hours have used up 50."""
    curve = LIFE | {"life_h": 100, "points": [{"consumed_bp": 2_500, "bp": 0}, {"consumed_bp": 7_500, "bp": 10_000}]}
    fitted = {"store": moment(0)}
    bench = Bench(policy=HALF, products=[{"sku": "sofa", "loss": [curve]}], lots=[lot(mkt=MKT)], fitted=fitted)
    rows: list[Row] = [
        (1, passes, {"condition_loss": 0}),
        (24, passes, {"condition_loss": 0}),
        (25, passes, {"condition_loss": 10_000_000, "base": 5_000_000}),
        (40, passes, {"condition_loss": 20_000_000, "base": 0}),
    ]
    assert_figures(bench, rows)


def test_a_breach_takes_everything_where_the_policy_says_so_and_stays_when_it_has_ended() -> None:
    limit = {"channel": "temperature_mc", "low": 2_000, "high": 8_000, "grace_s": 600}
    bench = Bench(policy=HALF | {"breach": "ineligible"}, lots=[lot("a", limits=[limit]), lot("b")])
    rows: list[Row] = [
        (0, heard("store", temperature(10_000)), {"condition": 0, "base": 20_000_000}),
        (1, passes, {"condition": 20_000_000, "base": 10_000_000, "changes": {"condition": -10_000_000}}),
        (2, heard(), {"condition": 20_000_000, "changes": {}}),
        # Late news: it was cold again after five minutes, so there never was a breach.
        (3, backlog("store", 1 / 12), {"condition": 0, "changes": {"condition": 10_000_000}}),
    ]
    assert_figures(bench, rows)


# 4. Concentration. Units of 1.00; no policy lends less than all, unless a case says so.

UNIT_PRICES = [{"sku": sku, "unit_price_minor": 100, "currency": "USD"} for sku in ("sofa", "chair")]
SHARED = [
    ("sku", "sofa", "chair"),
    ("buyer", "retailer", "other"),
    ("country", "US", "CN"),
    ("vessel", "ever-first", "other"),
    ("warehouse", "hall-1", "hall-2"),
]


@pytest.mark.parametrize(("word", "shared", "other"), SHARED, ids=[word for word, *_ in SHARED])
def test_what_shares_a_word_keeps_its_cap_and_the_later_lot_bears_the_cut(word: str, shared: str, other: str) -> None:
    """400,000 and 300,000 share a word, 300,000 have another: 60 % of 1,000,000 may share one, so 100,000 must go."""
    lots = [lot("a", quantity=4_000), lot("b", quantity=3_000), lot("c", quantity=3_000)]
    for one, said in zip(lots, (shared, shared, other), strict=True):
        one[word] = said
    bench = Bench(policy={"cap_bp": {word: 6_000}}, lots=lots, prices=UNIT_PRICES)
    assert dict(bench.base().ineligible) == {f"concentration_{word}": 100_000}
    assert [one.eligible_minor for one in bench.lines().values()] == [400_000, 200_000, 300_000]
    # Less of the other: 60 % of 900,000 are 540,000, so 160,000 must go.
    bench.amend({"lots": [lots[2] | {"quantity": 2_000}]})
    assert dict(bench.base().ineligible) == {f"concentration_{word}": 160_000}
    # Another word for the second: nobody has more than 60 % of 900,000; and back again.
    bench.amend({"lots": [lots[1] | {word: other}]})
    assert dict(bench.base().ineligible) == {}
    bench.amend({"lots": [lots[1]]})
    assert dict(bench.base().ineligible) == {f"concentration_{word}": 160_000}
    # A lot that fails a test is no part of the whole, nor of the group: 60 % of 500,000 are 300,000.
    bench.amend({"policies": [{"id": "terms", "receipt": 1, "cap_bp": {word: 6_000}}]})
    valid = {"receipt": {"id": "r", "state": "valid"}}
    bench.amend({"lots": [lots[1] | valid, lots[2] | {"quantity": 2_000} | valid]})
    assert dict(bench.base().ineligible) == {"receipt": 400_000}


def test_two_caps_bite_at_once_and_the_whole_is_the_same_for_both() -> None:
    lots = [
        lot("a", sku="sofa", buyer="retailer", quantity=4_000),
        lot("b", sku="sofa", buyer="other", quantity=3_000),
        lot("c", sku="chair", buyer="retailer", quantity=3_000),
    ]
    bench = Bench(policy={"cap_bp": {"sku": 6_000, "buyer": 5_000}}, lots=lots, prices=UNIT_PRICES)
    # Sofas: 700,000 of which 600,000 may be, so b keeps 200,000. The retailer's: 700,000 of which 500,000 may be.
    assert dict(bench.base().ineligible) == {"concentration_sku": 100_000, "concentration_buyer": 200_000}
    assert [one.eligible_minor for one in bench.lines().values()] == [400_000, 200_000, 100_000]
    assert (bench.base().eligible_minor, bench.base().base_minor) == (700_000, 700_000)


def test_the_lots_that_lend_least_bear_the_cut_also_after_they_have_moved() -> None:
    """Goods at sea lend 40 %, in the warehouse 60 %: half of 1,000,000 may be one buyer's, who has 700,000."""
    policy = {"advance_bp": {"in_transit": 4_000, "warehouse": 6_000}, "cap_bp": {"buyer": 5_000}}
    lots = [
        lot("a", "box", buyer="retailer", quantity=4_000),
        lot("b", buyer="retailer", quantity=3_000),
        lot("c", quantity=3_000),
    ]
    bench = Bench(assets=("store", "box"), kinds={"box": "container"}, policy=policy, lots=lots, prices=UNIT_PRICES)
    # b keeps 300,000 and a 200,000: 180,000 + 80,000 + 180,000 of c.
    assert [one.eligible_minor for one in bench.lines().values()] == [200_000, 300_000, 300_000]
    assert (dict(bench.base().advance), bench.base().base_minor) == (
        {"in_transit": 80_000, "warehouse": 360_000},
        440_000,
    )
    # The box arrives in the warehouse: both lend 60 %, so a, the first, keeps all of it, and b the last 100,000.
    bench.measure("box", *position(IN_LOS_ANGELES))
    assert [one.eligible_minor for one in bench.lines().values()] == [400_000, 100_000, 300_000]
    assert bench.base().base_minor == 480_000


# 5. A shock to the rate, to the price, to both.


def in_yuan() -> list[Row]:
    """1 EUR = 1.17 USD = 8.19 CNY, a sofa 1,400.00 CNY: gross 19,999,999, base 9,999,999 (see above)."""
    quotes = rate("USD", "2026-01-01", "1.17"), rate("CNY", "2026-01-01", "8.19")
    return [(0, quoted(*quotes, price("sofa-index", "2026-01-01", "1400", "CNY")), {"base": 9_999_999})]


def test_a_change_of_rate_is_explained_by_it_and_one_of_price_by_that() -> None:
    rows: list[Row] = [
        # 1.17 ÷ 9 = 0.13: 140,000,000 fen are 18,200,000 cents.
        (1, quoted(rate("CNY", "2026-01-01", "9")), {"gross": 18_200_000, "changes": {"fx": 9_100_000 - 9_999_999}}),
        (
            2,
            quoted(price("sofa-index", "2026-01-01", "1500", "CNY")),
            {"base": 9_750_000, "changes": {"price": 650_000}},
        ),
        # Both: 1,200.00 at the old rate are 15,600,000, and 7,800,000 lent; at 1.17 ÷ 7.8 = 0.15 then 18,000,000.
        (
            3,
            quoted(price("sofa-index", "2026-01-01", "1200", "CNY"), rate("CNY", "2026-01-01", "7.8")),
            {"base": 9_000_000, "changes": {"price": -1_950_000, "fx": 1_200_000}},
        ),
    ]
    assert_figures(Bench(policy=HALF, **BY_SERIES), [*in_yuan(), *rows])


def test_quotes_of_tomorrow_count_from_midnight_each_for_its_reason() -> None:
    tomorrow = price("sofa-index", "2026-01-02", "1500", "CNY"), rate("CNY", "2026-01-02", "9")
    rows: list[Row] = [
        (1, quoted(*tomorrow), {"base": 9_999_999, "changes": {}, "said": []}),
        (12 - MS, passes, {"base": 9_999_999, "changes": {}}),
        # 150,000,000 × 0.142857142 = 21,428,571.3: 10,714,285 are lent; at 0.13 then 19,500,000.
        (12, passes, {"base": 9_750_000, "changes": {"price": 714_286, "fx": -964_285}}),
        # What is said late of a day that is over changes nothing of today.
        (13, quoted(price("sofa-index", "2026-01-01", "1", "CNY")), {"base": 9_750_000, "changes": {}}),
    ]
    assert_figures(Bench(policy=HALF, **BY_SERIES), [*in_yuan(), *rows])


def test_an_agreed_price_in_another_currency_moves_with_the_rate_and_by_amendment() -> None:
    agreed = {"sku": "sofa", "unit_price_minor": 20_000, "currency": "EUR"}
    rows: list[Row] = [
        (0, quoted(rate("USD", "2026-01-01", "1.10")), {"gross": 22_000_000, "changes": {"fx": 11_000_000}}),
        (1, quoted(rate("USD", "2026-01-01", "1.20")), {"gross": 24_000_000, "changes": {"fx": 1_000_000}}),
        (2, amended(prices=[agreed | {"unit_price_minor": 15_000}]), {"changes": {"price": -3_000_000}}),
        (3, amended(policies=[{"id": "terms", "advance_bp": lends(4_000)}]), {"changes": {"rule": -1_800_000}}),
        (4, amended(lots=[lot(quantity=1_100)]), {"base": 7_920_000, "changes": {"quantity": 720_000}}),
        (5, amended(lots=[lot(quantity=1_100, haircut_bp=1_000)]), {"changes": {"rule": -792_000}}),
        (6, amended(lots=[lot(quantity=1_000, haircut_bp=1_000), lot("b")]), {"changes": {"quantity": 6_552_000}}),
    ]
    assert_figures(Bench(policy=HALF, prices=[agreed]), rows)


def test_an_amendment_is_not_charged_with_what_midnight_and_the_hours_have_brought() -> None:
    """It is the first to be heard of since noon: the price of the new day, evidence that has aged, then the goods."""
    quotes = price("sofa-index", "2026-01-01", "200"), price("sofa-index", "2026-01-02", "100")
    rows: list[Row] = [
        (0, quoted(*quotes), {}),
        (0, heard(), {"base": 10_000_000}),
        # 100.00 now, and a tenth less: 5,000,000 and 4,500,000; a hundred more sofas: 450,000.
        (
            13,
            amended(lots=[lot(), lot("b", quantity=100)]),
            {"base": 4_950_000, "changes": {"price": -5_000_000, "evidence": -500_000, "quantity": 450_000}},
        ),
    ]
    assert_figures(Bench(policy=INVENTORY, **BY_SERIES), rows)


def test_the_lower_of_cost_or_market_in_two_currencies() -> None:
    """A sofa costs 100.00 GBP; 1 EUR = 1.20 USD = 0.80 GBP, so a penny is 1.5 cents."""
    lots = [lot(cost_minor=10_000, cost_currency="GBP")]
    rows: list[Row] = [
        (0, passes, {"gross": 0, "unvalued": 1}),
        (0, quoted(rate("USD", "2026-01-01", "1.2"), rate("GBP", "2026-01-01", "0.8")), {"gross": 15_000_000}),
        (1, quoted(rate("GBP", "2026-01-01", "0.5")), {"gross": 20_000_000, "changes": {"fx": 2_500_000}}),
        (2, amended(lots=[lot(cost_minor=50, cost_per=4)]), {"gross": 12_500, "unvalued": 0}),
    ]
    assert_figures(Bench(policy=HALF, lots=lots), rows)


# 6. What ends by time alone: at the moment, and not a millisecond before.

RECEIPT = {"id": "receipt-1", "state": "valid", "until": moment(10)}
BILL = {"kind": "bill_of_lading", "id": "bl-1", "until": moment(10)}
RECEIVED = {"received_at": moment(-24 * 29)}
ENDING: list[tuple[str, dict[str, Any], dict[str, Any], float, str, int]] = [
    # name                        policy                         lot                              hour        takes
    ("receipt", {"receipt": 1}, {"receipt": RECEIPT}, 10, "receipt", 20_000_000),
    ("papers", {"papers": ["bill_of_lading"]}, {"papers": [BILL]}, 10, "papers", 20_000_000),
    ("expired", {}, {"expires_at": moment(10)}, 10, "age", 20_000_000),
    ("expires soon", {"expiry_min_days": 5}, {"expires_at": moment(240)}, 120, "age", 20_000_000),
    # Received 29 days ago: 30 days old in 24 hours; more than 31 days, that is 32, in 72.
    ("age band", {"age_bands": [{"from_days": 30, "bp": 500}]}, RECEIVED, 24, "age_haircut", 1_000_000),
    ("too old", {"age_max_days": 31}, RECEIVED, 72, "age", 20_000_000),
    # A count of 48 hours ago is good enough; one of a millisecond more is not.
    ("count", {"count_stale_s": 172_800}, {"counted": 1_000, "counted_at": moment(0)}, 48 + MS, "stock", 20_000_000),
]


@pytest.mark.parametrize(("name", "policy", "terms", "hour", "step", "takes"), ENDING, ids=[row[0] for row in ENDING])
def test_what_ends_takes_its_share_at_its_moment(
    name: str, policy: dict[str, Any], terms: dict[str, Any], hour: float, step: str, takes: int
) -> None:
    bench = Bench(policy=HALF | policy, lots=[lot(**terms)])
    rows: list[Row] = [
        (0, passes, {step: 0, "base": 10_000_000}),
        (hour - MS, passes, {step: 0, "changes": {}, "said": []}),
        (hour, passes, {step: takes, "changes": {"evidence": -takes // 2}}),
        (hour + 1, passes, {step: takes, "changes": {}, "said": []}),
    ]
    assert_figures(bench, rows)


def test_goods_of_which_nobody_knows_the_age_count_as_the_oldest() -> None:
    bands = [{"from_days": 30, "bp": 500}, {"from_days": 60, "bp": 2_000}]
    rows: list[Row] = [
        (0, passes, {"age_haircut": 4_000_000, "base": 8_000_000}),
        (1, amended(lots=[lot(received_at=moment(0))]), {"age_haircut": 0, "changes": {"rule": 2_000_000}}),
        (2, amended(policies=[{"id": "terms", "age_max_days": 90}], lots=[lot()]), {"age": 20_000_000}),
    ]
    assert_figures(Bench(policy=HALF | {"age_bands": bands}), rows)


def test_an_appraisal_ends_at_its_moment() -> None:
    """At 60 % of 20,000,000 until hour 10; afterwards nobody vouches even for that."""
    appraisals = [{"sku": "sofa", "nolv_bp": 6_000, "until": moment(10)}]
    bench = Bench(policy=HALF | {"appraisal": 1}, appraisals=appraisals)
    rows: list[Row] = [
        (10 - MS, passes, {"gross": 12_000_000, "appraisal": 0, "base": 6_000_000}),
        (10, passes, {"gross": 12_000_000, "appraisal": 12_000_000, "base": 0, "changes": {"evidence": -6_000_000}}),
        (11, amended(appraisals=[appraisals[0] | {"nolv_bp": 5_000, "until": moment(99)}]), {"base": 5_000_000}),
    ]
    assert_figures(bench, rows)


def test_a_price_that_is_not_renewed_survives_the_weekend_and_not_the_week() -> None:
    """Quoted on Friday the 2nd; three days are borne: Monday is well, Tuesday's midnight is not."""
    friday = price("sofa-index", "2026-01-02", "200"), price("sofa-index", "2026-01-06", "190")
    rows: list[Row] = [
        (24, quoted(friday[0]), {"price_stale": 0, "base": 10_000_000}),
        (36, passes, {"price_stale": 0, "changes": {}}),
        (84, passes, {"price_stale": 0, "changes": {}}),
        (108 - MS, passes, {"price_stale": 0, "changes": {}, "said": []}),
        (108, passes, {"price_stale": 20_000_000, "base": 0, "changes": {"price": -10_000_000}}),
        (110, quoted(friday[1]), {"price_stale": 0, "gross": 19_000_000, "changes": {"price": 9_500_000}}),
    ]
    assert_figures(Bench(policy=HALF | {"price_stale_days": 3}, **BY_SERIES), rows)


def test_a_rate_that_is_not_renewed_is_no_fault_of_the_price() -> None:
    rows: list[Row] = [
        *in_yuan(),
        (12 + 24, passes, {"rate_stale": 0, "changes": {}}),
        (12 + 48, passes, {"rate_stale": 19_999_999, "base": 0, "changes": {"fx": -9_999_999}}),
        # The older of the two rates counts: a new one for yuan alone helps nothing.
        (61, quoted(rate("CNY", "2026-01-04", "8.19")), {"rate_stale": 19_999_999, "changes": {}}),
        (61, quoted(rate("USD", "2026-01-04", "1.17")), {"rate_stale": 0, "changes": {"fx": 9_999_999}}),
    ]
    assert_figures(Bench(policy=HALF | {"rate_stale_days": 2}, **BY_SERIES), rows)


def test_the_stock_system_counts_fewer_and_a_receipt_is_frozen() -> None:
    valid = {"receipt": {"id": "r", "state": "valid"}}
    short = valid | {"counted": 900, "counted_at": moment(1)}
    frozen = short | {"receipt": {"id": "r", "state": "frozen"}}
    bench = Bench(policy=HALF | {"receipt": 1}, lots=[lot(**valid)])
    rows: list[Row] = [
        (1, amended(lots=[lot(**short)]), {"stock": 2_000_000, "base": 9_000_000, "changes": {"quantity": -1_000_000}}),
        (2, amended(lots=[lot(**frozen)]), {"receipt": 20_000_000, "stock": 0, "changes": {"rule": -9_000_000}}),
        (3, amended(lots=[lot(**short)]), {"receipt": 0, "stock": 2_000_000, "changes": {"rule": 9_000_000}}),
        # More than the book says is no more than the book says.
        (4, amended(lots=[lot(**short | {"counted": 1_200})]), {"stock": 0, "base": 10_000_000}),
    ]
    assert_figures(bench, rows)


def test_slow_goods() -> None:
    """20 are sold a day: of 1,000, which last 50 days, 600 are within 30 days; and from 40 days on a tenth goes."""
    policy = HALF | {"on_hand_max_days": 30, "on_hand_bands": [{"from_days": 40, "bp": 1_000}]}
    bench = Bench(policy=policy, lots=[lot(sold_milli_per_day=20_000)])
    assert_figures(bench, [(0, passes, {"slow": 8_000_000, "sell_through": 1_200_000, "eligible": 10_800_000})])


# 9. What has no value, and what is refused.


def test_goods_without_a_price_a_rate_or_a_currency_that_lives_are_listed() -> None:
    lots = [lot("a"), lot("b", sku="chair", quantity=1)]
    prices = [{"sku": "chair", "unit_price_minor": 100, "currency": "USD"}]
    bench = Bench(policy=HALF, lots=lots, prices=prices, products=SERIES)
    rows: list[Row] = [
        (0, passes, {"gross": 100, "unvalued": 1, "lots": 2}),
        (0, quoted(price("sofa-index", "2026-01-02", "200", "CNY")), {"unvalued": 1}),  # tomorrow's
        (12, passes, {"gross": 100, "unvalued": 1}),  # it has come, and there is no rate
        (13, quoted(rate("CNY", "2026-01-02", "8")), {"gross": 100, "unvalued": 1}),  # nor one for the dollar
        (14, quoted(rate("USD", "2026-01-02", "1")), {"gross": 2_500_100, "unvalued": 0, "changes": {"fx": 1_250_000}}),
        (
            15,
            quoted({"currency": "CNY", "date": "2026-01-03", "withdrawn": True}),
            {"gross": 2_500_100, "unvalued": 0, "changes": {}},
        ),
        (36, passes, {"gross": 100, "unvalued": 1, "changes": {"fx": -1_250_000}}),
    ]
    assert_figures(bench, rows)
    assert [one.id for one in bench.lines().values() if one.is_unvalued] == ["a"]
    # Of what there is nothing it is listed as well, and no longer when a newer rate ends the withdrawal.
    assert_figures(bench, [(36.5, amended(lots=[lot("c", quantity=0)]), {"gross": 100, "unvalued": 2})])
    assert_figures(bench, [(36.6, amended(lots=[lot("a", quantity=0)]), {"gross": 100, "unvalued": 2})])
    assert_figures(bench, [(36.7, quoted(rate("CNY", "2026-01-03", "11")), {"gross": 100, "unvalued": 0})])
    assert_figures(
        bench, [(36.8, amended(lots=[lot("a")]), {"gross": 1_818_281})]
    )  # 20,000,000 fen ÷ 11, and the chair
    assert_figures(bench, [(37, quoted(rate("CNY", "2026-01-03", "10")), {"gross": 2_000_100, "unvalued": 0})])


REFUSED_QUOTES = [
    ({"prices": [price("sofa-index", "2026-01-02", "5", "XXY")]}, "prices[0].currency"),
    (
        {"prices": [price("sofa-index", "2026-01-02", "5"), price("chair-index", "2026-01-32", "5")]},
        "prices[1].date",
    ),
    ({"prices": [price("sofa-index", "2026-01-02", "5", "EUR")]}, "EUR and USD"),
    ({"prices": [price("sofa-index", "2026-01-02", "5")], "rates": [rate("USD", "2026-01-02", "0")]}, "rates[0].rate"),
]


@pytest.mark.parametrize(("document", "fault"), REFUSED_QUOTES)
def test_the_last_good_market_stays_in_force_when_a_document_is_refused(document: dict[str, Any], fault: str) -> None:
    bench = Bench(policy=HALF, **BY_SERIES)
    bench.quote({"prices": [price("sofa-index", "2026-01-01", "200")]})
    before = bench.spine.state
    with pytest.raises(MarketError) as refused:
        bench.spine.commit(drafts.quote, document)
    assert fault in str(refused.value)
    assert bench.spine.state is before
    assert_figures(bench, [(20, passes, {"base": 10_000_000, "changes": {}})])


REFUSED_AMENDMENTS = [
    ({"facilities": [{"id": LINE, "lender": "b", "borrower": "e", "currency": "USD", "policy": "none"}]}, "'none'"),
    ({"lots": [lot(quantity=5), lot("b", sku="unknown")]}, "'unknown'"),
    ({"policies": [{"id": "terms", "advance_bp": {"warehouse": 10_001}}]}, "policies[0].advance_bp.warehouse"),
    ({"lots": [lot(quantity=5)], "remove": {"prices": ["sofa"]}}, "sofa"),
    ({"lots": [lot(cost_minor=5, cost_currency="XXY")]}, "lots[0].cost_currency"),
]


@pytest.mark.parametrize(("document", "fault"), REFUSED_AMENDMENTS)
def test_the_last_good_book_stays_in_force_when_an_amendment_is_refused(document: dict[str, Any], fault: str) -> None:
    bench = Bench(policy=HALF)
    before = bench.spine.state
    with pytest.raises(BookError) as refused:
        bench.spine.commit(drafts.amend, document)
    assert fault in str(refused.value)
    assert bench.spine.state is before
    assert_figures(bench, [(20, passes, {"base": 10_000_000, "changes": {}})])


def test_a_value_beyond_every_bound_is_none() -> None:
    """10^15 minor units are the most that a lot may be worth; a cent more is worth nothing and is listed."""
    bench = Bench(policy=HALF, prices=[{"sku": "sofa", "unit_price_minor": 10**12, "currency": "USD"}])
    rows: list[Row] = [
        (0, passes, {"gross": 10**15, "unvalued": 0}),
        (1, amended(lots=[lot(quantity=1_001)]), {"gross": 0, "unvalued": 1, "base": 0}),
    ]
    assert_figures(bench, rows)


# The presets, and facilities that come and go.


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_each_preset_lends_its_share_on_fresh_goods_with_a_place(preset: str) -> None:
    bench = Bench(policy={"preset": preset})
    bench.measure("store", *position(IN_LOS_ANGELES))
    share_bp = PRESETS[preset].advance_bp[CLASSES.index("warehouse")]
    assert bench.base().base_minor == 20_000_000 * share_bp // 10_000


def test_a_facility_that_leaves_the_book_and_one_that_joins() -> None:
    bench = Bench(policy=HALF)
    other = bench.document["facilities"][0] | {"id": "other", "currency": "EUR", "outstanding_minor": 0}
    bench.quote({"rates": [rate("USD", "2026-01-01", "1.25")]})
    bench.amend({"facilities": [other], "lots": [lot("b", facility="other")]})
    # 20,000,000 cents are 16,000,000 of the euro's.
    assert (bench.base("other").gross_minor, bench.base().gross_minor) == (16_000_000, 20_000_000)
    bench.amend({"lots": [lot("b", facility=LINE)]})
    assert (bench.base("other").gross_minor, bench.base().gross_minor) == (0, 40_000_000)
    bench.amend({"remove": {"facilities": ["other"]}})
    bench.amend({"lots": [lot("b", quantity=1)]})
    assert bench.base().gross_minor == 20_020_000


# 10. What a sceptic tried.

WORTHLESS = [
    temperature(0, Quality.SENSOR_GONE),
    temperature(5_000, Quality.OUT_OF_RANGE),
    temperature(5_000, Quality.SIMULATED),
    Cell(Channel.BATTERY_MV, 3_700),
]


@pytest.mark.parametrize("cell", WORTHLESS, ids=["sensor gone", "out of range", "simulated", "battery"])
def test_what_is_worth_nothing_keeps_no_evidence_fresh(cell: Cell) -> None:
    bench = Bench(policy=HALF | {"evidence": {"fresh_s": 3_600, "stale_s": 7_200, "ageing_bp": 1_000}})
    rows: list[Row] = [
        (1, heard(), {"base": 10_000_000}),
        (2.5, heard("store", cell), {"evidence_ageing": 2_000_000, "base": 9_000_000}),
        (3.5, heard("store", cell), {"evidence": 20_000_000, "base": 0}),
        (4, heard(), {"evidence": 0, "base": 10_000_000}),
    ]
    assert_figures(bench, rows)


def test_a_facility_that_comes_back_begins_anew() -> None:
    bench = Bench(policy=HALF, facility={"outstanding_minor": 0})
    line = bench.document["facilities"][0]
    bench.amend({"remove": {"lots": ["lot"], "facilities": [LINE]}})
    assert bench.spine.state.facilities[LINE].base is None
    bench.amend({"facilities": [line], "lots": [lot(quantity=500)]})
    every = [one.event for entry in (1, 2, 3) for one in bench.store.events_of(entry)]
    said = [(one.fact("base_minor"), one.fact("change_quantity")) for one in every if one.type == "base_recomputed"]
    assert said == [(10_000_000, 10_000_000), (0, -10_000_000), (5_000_000, 5_000_000)]
