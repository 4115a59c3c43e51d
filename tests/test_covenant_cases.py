"""Covenants, sub-limits, reserves, stock and interest as they are lived, entry by entry; see test_base_cases."""

from typing import Any

import pytest
from builders import IN_LOS_ANGELES, position
from lending import (
    BY_SERIES,
    EVIDENCE,
    HALF,
    LINE,
    MS,
    Bench,
    Row,
    amended,
    assert_figures,
    at_ms,
    heard,
    lends,
    lot,
    moment,
    passes,
    price,
    quoted,
)

# 7. A margin call. 1,000 sofas by a series, 80 % lent, 10,000,000 drawn; warned at 60 %, called at 70 %, default at
# 90 %, each left 5 % below; 48 hours to cure. 50 more sofas have no receipt: their value may be mended instead.

MARGIN = {
    "advance_bp": lends(8_000),
    "receipt": 1,
    "covenants": {"warning_bp": 6_000, "call_bp": 7_000, "default_bp": 9_000, "clear_bp": 500, "cure_s": 172_800},
}
WELL = {"receipt": {"id": "r", "state": "valid"}}
BASE, BREACH, CALL, COVER = "record_base", "record_breach", "call_margin", "record_cover"


def margin_bench(**facility: Any) -> Bench:
    lots = [lot("a", **WELL), lot("b", quantity=50)]
    return Bench(policy=MARGIN, lots=lots, facility={"outstanding_minor": 10_000_000} | facility, **BY_SERIES)


def sofa(amount: str) -> Any:
    """The sofa is quoted today."""
    return quoted(price("sofa-index", "2026-01-01", amount))


# Before there is any price, a loan stands on nothing; it is bought for 200.00 first.
COVERED: list[Row] = [(0, sofa("200"), {"ltv_bp": 5_000, "cover": "clear", "told": [BASE, COVER]})]


def test_a_loan_on_goods_without_a_price_is_called_and_covered_by_the_first() -> None:
    bench = margin_bench()
    assert [message_type for message_type, _ in bench.told] == [BASE, BREACH, CALL]
    assert bench.spine.state.facilities[LINE].covenant.cover.name == "CALLED"
    assert_figures(bench, COVERED)


def test_warning_call_cure_by_a_better_price_and_hysteresis() -> None:
    bench = margin_bench()
    rows: list[Row] = [
        *COVERED,
        (1, sofa("166.67"), {"ltv_bp": 6_000, "cover": "warned", "told": [BASE, BREACH]}),
        # 10,000,000 on 14,000,000 are 71.43 %. Cash that brings it below 65 %: 64.99 % may be lent, 9,098,600.
        (2, sofa("140"), {"ltv_bp": 7_143, "cover": "called", "call": 901_400, "told": [BASE, BREACH, CALL]}),
        # It grows, so it is said again: 64.99 % of 13,900,000 are 9,033,610. It shrinks: what was said stands.
        (3, sofa("139"), {"cover": "called", "call": 966_390, "told": [BASE, CALL]}),
        (4, sofa("139.50"), {"cover": "called", "call": 966_390, "told": [BASE]}),
        # Below the level, but not by five per cent.
        (5, sofa("145"), {"ltv_bp": 6_897, "cover": "called", "told": [BASE]}),
        (6, sofa("153.86"), {"ltv_bp": 6_500, "cover": "called", "told": [BASE]}),
        (7, sofa("153.87"), {"ltv_bp": 6_499, "cover": "warned", "call": 0, "told": [BASE, COVER]}),
        (8, sofa("181.85"), {"ltv_bp": 5_500, "cover": "warned", "told": [BASE]}),
        (9, sofa("181.86"), {"ltv_bp": 5_499, "cover": "clear", "told": [BASE, COVER]}),
        # A price that wavers around what was left raises no alarm.
        (10, sofa("170"), {"ltv_bp": 5_883, "cover": "clear", "told": [BASE]}),
    ]
    assert_figures(bench, rows)


def test_what_a_margin_call_says() -> None:
    bench = margin_bench()
    assert_figures(bench, [*COVERED, (1, sofa("140"), {"told": [BASE, BREACH, CALL]})])
    (_, base), (_, breach), (_, call) = bench.told
    assert (base["base_minor"], base["outstanding_minor"], base["currency"]) == (11_200_000, 10_000_000, "USD")
    assert (breach["subject"], breach["cover"], breach["ltv_bp"]) == (LINE, "called", 7_143)
    assert call == {
        "subject": LINE,
        "cover": "called",
        "ltv_bp": 7_143,
        "headroom_minor": 1_200_000,
        "currency": "USD",
        "call_minor": 901_400,
        "cure_by_ms": at_ms(49),
        # 50 sofas at 140.00, 80 % of which would be lent with a receipt.
        "choices": [{"lot": "b", "ineligible": "receipt", "at_most_minor": 560_000}],
    }
    # A call that grows is the same call: its time runs on.
    bench.come_to(20)
    bench.quote({"prices": [price("sofa-index", "2026-01-02", "139")]})
    assert [one["cure_by_ms"] for kind, one in bench.told if kind == CALL] == [at_ms(49)]


def repaid(amount: int, hour: float) -> Any:
    movement = {"id": "cash", "kind": "repayment", "at": moment(hour), "amount_minor": amount}
    line = {"id": LINE, "lender": "bank", "borrower": "exporter", "currency": "USD", "policy": "terms"}
    return amended(facilities=[line | {"outstanding_minor": 10_000_000, "movements": [movement]}])


@pytest.mark.parametrize(("amount", "cover", "told"), [(901_400, "warned", [BASE, COVER]), (901_399, "called", [BASE])])
def test_the_cash_that_was_called_cures_and_a_cent_less_does_not(amount: int, cover: str, told: list[str]) -> None:
    rows: list[Row] = [
        *COVERED,
        (1, sofa("140"), {"cover": "called", "call": 901_400}),
        (3, repaid(amount, 3), {"outstanding": 10_000_000 - amount, "cover": cover, "told": told}),
    ]
    assert_figures(margin_bench(), rows)


def test_cash_that_is_announced_counts_when_its_moment_has_come() -> None:
    rows: list[Row] = [
        *COVERED,
        (1, sofa("140"), {"cover": "called"}),
        (2, repaid(901_400, 5), {"outstanding": 10_000_000, "cover": "called", "told": []}),
        (5 - MS, passes, {"cover": "called", "told": []}),
        (5, passes, {"outstanding": 9_098_600, "cover": "warned", "changes": {}, "told": [BASE, COVER]}),
    ]
    assert_figures(margin_bench(), rows)


def test_the_missing_receipt_cures_as_well() -> None:
    rows: list[Row] = [
        *COVERED,
        (1, sofa("152.9"), {"ltv_bp": 6_541, "cover": "warned"}),
        (2, sofa("140"), {"cover": "called"}),
        (3, sofa("152.9"), {"ltv_bp": 6_541, "cover": "called"}),
        # 1,050 sofas: 10,000,000 on 16,054,500.
        (4, amended(lots=[lot("b", quantity=50, **WELL)]), {"ltv_bp": 6_229, "cover": "warned", "told": [BASE, COVER]}),
    ]
    assert_figures(margin_bench(), rows)


def test_a_call_that_nobody_answers_is_a_default_when_its_time_has_run_out() -> None:
    rows: list[Row] = [
        *COVERED,
        (1, sofa("140"), {"cover": "called"}),
        (49 - MS, passes, {"cover": "called", "told": []}),
        (49, passes, {"cover": "default", "said": ["covenant_breached"], "told": [BREACH]}),
        (50, passes, {"cover": "default", "told": []}),
        # Below the call's level is not enough, and five per cent below it is.
        (51, sofa("153.8"), {"cover": "default", "told": [BASE]}),
        (52, sofa("153.9"), {"cover": "warned", "told": [BASE, COVER]}),
        (53, sofa("140"), {"cover": "called", "call": 901_400, "told": [BASE, BREACH, CALL]}),
        (101, passes, {"cover": "default", "told": [BREACH]}),
    ]
    assert_figures(margin_bench(), rows)


def test_a_price_that_falls_far_is_a_default_at_once() -> None:
    # 10,000,000 on 11,000,000 are 90.91 %; 64.99 % of that may be lent: 7,148,900.
    fallen: Row = (1, sofa("110"), {"ltv_bp": 9_091, "cover": "default", "call": 2_851_100})
    assert_figures(margin_bench(), [*COVERED, fallen, (1, passes, {"told": []})])


def test_a_loan_above_its_limit_or_its_base_is_called_whatever_the_ratio() -> None:
    bench = margin_bench(limit_minor=9_600_000)
    rows: list[Row] = [
        # 50 %, but 400,000 above the limit.
        (0, sofa("200"), {"ltv_bp": 5_000, "headroom": -400_000, "cover": "called"}),
        (1, repaid(400_000, 1), {"limit_minor": 0, "cover": "clear"}),
    ]
    assert_figures(bench, rows)
    tight = Bench(policy={"advance_bp": lends(4_000)}, facility={"outstanding_minor": 9_000_000})
    assert (tight.base().ltv_bp, tight.base().headroom_minor) == (4_500, -1_000_000)
    assert [kind for kind, _ in tight.told] == [BASE, BREACH, CALL]
    assert tight.told[2][1]["call_minor"] == 1_000_000
    assert "cure_by_ms" not in tight.told[2][1]


# 8. Sub-limits, reserves, minimum stock, interest.


def test_sub_limits_form_a_tree_and_reserves_come_after() -> None:
    """10,000,000 each in the warehouse and in a box. On the box 4,000,000 may be lent, on all together 12,000,000."""
    policy = HALF | {
        "sub_limits": [
            {"id": "all", "classes": ["warehouse"], "limit_minor": 12_000_000},
            {"id": "sea", "within": "all", "classes": ["in_transit"], "limit_minor": 4_000_000},
        ],
        "reserves": [
            {"id": "freight", "kind": "freight", "amount_minor": 250_000},
            {"id": "dilution", "kind": "dilution", "bp": 3},
        ],
    }
    lots = [lot("a"), lot("b", "box")]
    bench = Bench(assets=("store", "box"), kinds={"box": "container"}, policy=policy, lots=lots)
    rows: list[Row] = [
        (
            0,
            passes,
            {
                "advance": {"in_transit": 10_000_000, "warehouse": 10_000_000},
                # 6,000,000 too much on the box; the 4,000,000 that are left and 10,000,000 are 2,000,000 too much.
                "held_back": {"sub_limit_sea": 6_000_000, "sub_limit_all": 2_000_000},
                # ⌈40,000,000 × 3 ÷ 10,000⌉ = 12,000.
                "reserves": {"freight": 250_000, "dilution": 12_000},
                "base": 20_000_000 - 8_000_000 - 262_000,
            },
        ),
        # Half of what is in the warehouse is gone: 5,000,000 and 4,000,000 fit in; ⌈30,000,000 × 3 ÷ 10,000⌉.
        (
            1,
            amended(lots=[lot("a", quantity=500)]),
            {
                "held_back": {"sub_limit_sea": 6_000_000},
                "base": 9_000_000 - 259_000,
                "changes": {"quantity": -2_997_000},
            },
        ),
        # The box comes into the warehouse: 15,000,000 of one class are 3,000,000 too much.
        (
            2,
            heard("box", *position(IN_LOS_ANGELES)),
            {"held_back": {"sub_limit_all": 3_000_000}, "base": 12_000_000 - 259_000, "changes": {"place": 3_000_000}},
        ),
    ]
    assert_figures(bench, rows)


def test_too_little_stock_is_a_warning_and_so_is_stock_that_does_not_count() -> None:
    policy = HALF | {"covenants": {"minimum": [{"sku": "sofa", "quantity": 1_000}]}} | EVIDENCE
    rows: list[Row] = [
        (0, heard(), {"cover": "clear"}),
        (1, amended(lots=[lot(quantity=999)]), {"cover": "warned", "told": [BASE, BREACH]}),
        (2, amended(lots=[lot()]), {"cover": "clear", "told": [BASE, COVER]}),
        (3, amended(lots=[lot(counted=999, counted_at=moment(3))]), {"cover": "warned", "told": [BASE, BREACH]}),
        (4, amended(lots=[lot(counted=1_000, counted_at=moment(4))]), {"cover": "clear", "told": [BASE, COVER]}),
    ]
    assert_figures(Bench(policy=policy), rows)


# 100,000,000 drawn at 725 bp since 1 January; 1,000,000 sofas at 200.00.
DAYS = [
    # day count, interest at the midnight that ends the 30th of January, and at the one that ends the 31st
    ("act_360", 604_167, 624_306),  # 30 and 31 × 20,138.88…
    ("act_365", 595_891, 615_754),  # 30 and 31 × 19,863.01…
    ("thirty_360", 604_167, 604_167),  # the 31st of a month bears none
]


@pytest.mark.parametrize(("day_count", "thirtieth", "thirty_first"), DAYS, ids=[row[0] for row in DAYS])
def test_interest_moves_what_is_available_at_midnight(day_count: str, thirtieth: int, thirty_first: int) -> None:
    interest = {"rate_bp": 725, "day_count": day_count, "since": "2026-01-01T00:00:00Z"}
    facility = {"outstanding_minor": 100_000_000, "interest": interest}
    bench = Bench(policy=HALF, lots=[lot(quantity=100_000)], facility=facility)
    end = 12 + 24 * 29  # midnight at the end of the 30th
    last = ["base_recomputed"] if thirty_first != thirtieth else []
    rows: list[Row] = [
        (0, passes, {"outstanding": 100_000_000, "base": 1_000_000_000, "availability": 900_000_000}),
        (12 - MS, passes, {"outstanding": 100_000_000, "said": []}),
        (end - MS, passes, {}),
        (end, passes, {"outstanding": 100_000_000 + thirtieth, "changes": {}, "base": 1_000_000_000}),
        (end + 24 - MS, passes, {"availability": 900_000_000 - thirtieth, "said": []}),
        (end + 24, passes, {"availability": 900_000_000 - thirty_first, "changes": {}, "said": last}),
    ]
    assert_figures(bench, rows)


def test_interest_alone_may_call_a_margin() -> None:
    """9,999,900 drawn on a base of 10,000,000: a day's interest at 10 % is ⌈2,777.75⌉."""
    interest = {"rate_bp": 1_000, "day_count": "act_360", "since": "2026-01-01T00:00:00Z"}
    bench = Bench(policy=HALF, facility={"outstanding_minor": 9_999_900, "interest": interest})
    rows: list[Row] = [
        (12 - MS, passes, {"headroom": 100, "cover": "clear"}),
        (12, passes, {"headroom": -2_678, "cover": "called", "call": 2_678, "told": [BASE, BREACH, CALL]}),
        (36, passes, {"cover": "called", "call": 5_456, "told": [BASE, CALL]}),
    ]
    assert_figures(bench, rows)


def test_a_call_that_was_paid_in_part_is_said_again_when_more_is_needed() -> None:
    rows: list[Row] = [
        *COVERED,
        (1, sofa("140"), {"cover": "called", "call": 901_400}),
        (2, repaid(901_390, 2), {"cover": "called", "told": [BASE]}),
        # 64.99 % of 13,000,000 are 8,448,700, and 9,098,610 are drawn: 649,910 are needed, and 10 of the call unpaid.
        (3, sofa("130"), {"cover": "called", "call": 649_910, "told": [BASE, CALL]}),
    ]
    assert_figures(margin_bench(), rows)


def test_a_call_for_a_default_names_the_cash_that_ends_it() -> None:
    """Less than 75 % of 20,000,000 may be lent before it is a default, 74.99 %, and 80 % are drawn."""
    bench = Bench(policy={"covenants": {"default_bp": 7_500}}, facility={"outstanding_minor": 16_000_000})
    assert bench.spine.state.facilities[LINE].covenant.cover.name == "DEFAULT"
    assert bench.told[-1][1]["call_minor"] == 1_002_000


def test_a_price_that_wavers_around_the_loan_calls_once() -> None:
    policy = HALF | {"covenants": {"warning_bp": 9_000, "call_bp": 9_500, "clear_bp": 500}}
    bench = Bench(policy=policy, facility={"outstanding_minor": 10_000_000}, **BY_SERIES)
    rows: list[Row] = [
        (0, sofa("210"), {"cover": "clear"}),
        (1, sofa("199.99"), {"cover": "called", "told": [BASE, BREACH, CALL]}),
        (2, sofa("200"), {"cover": "called", "told": [BASE]}),
        (3, sofa("199.99"), {"cover": "called", "told": [BASE]}),
        # Five per cent more than the loan: 10,500,000.
        (4, sofa("209.99"), {"cover": "called", "told": [BASE]}),
        (5, sofa("210"), {"cover": "clear", "told": [BASE, COVER]}),
    ]
    assert_figures(bench, rows)


def test_goods_that_a_cap_takes_are_no_stock() -> None:
    policy = {"cap_bp": {"sku": 5_000}, "covenants": {"minimum": [{"sku": "sofa", "quantity": 501}]}}
    bench = Bench(policy=policy)
    assert bench.spine.state.facilities[LINE].covenant.cover.name == "WARNED", "500 of 1,000 are left by the cap"
