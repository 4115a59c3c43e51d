"""What each test, haircut, cap and step of the borrowing base takes, worked out by hand, in both ways."""

from typing import Any

import pytest
from base_found import BOTH, FoundBy, told
from portfolios import (
    DAY_MS,
    MOST_MINOR,
    NEVER_QUOTED,
    NOW_MS,
    TODAY,
    Portfolio,
)

from pledgewatch_cloud.decide.collateral.result import TESTS, Base, LotLine
from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.collateral.terms import (
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
    ("stock", {"counted": -1, "counted_ms": -NEVER, "is_matched": True}),
    ("shortfall", {"missing": 1_000}),
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
    always: list[tuple[str, dict[str, Any]]] = [
        ("stock", {"counted": 0}),
        ("shortfall", {"missing": 1_000}),
        ("place", {"is_forbidden": True}),
        ("age", {"expires_ms": NOW_MS - 1}),
    ]
    assert line.ineligible == {name: line.value_minor for name, one in always if one == change}


PARTS: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    # what, of the good lot, what is taken; its value is 239,999
    ("one is missing", {"counted": 999}, {"stock": 240}),
    ("one too many is not more", {"counted": 1_001}, {}),
    ("one is not there, by its receipt", {"missing": 1}, {"shortfall": 240}),
    ("one is not counted, and is not there", {"counted": 999, "missing": 1}, {"stock": 240}),
    (
        "of ten that are not there one is not counted",
        {"counted": 999, "missing": 10},
        {"stock": 240, "shortfall": 2_160},
    ),
    ("ten are not counted, one of them is not there", {"counted": 990, "missing": 1}, {"stock": 2_400}),
    ("not one is there", {"counted": 400, "missing": 1_000}, {"stock": 144_000, "shortfall": 95_999}),
    ("more than there ever was is not there", {"missing": 1_001}, {"shortfall": 239_999}),
    ("not there, and slow", {"missing": 500, "sold_milli_per_day": 8_334}, {"shortfall": 120_000, "slow": 60_000}),
    ("nothing was there, and it is missing", {"quantity": 0, "missing": 0}, {}),
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


@BOTH
@pytest.mark.parametrize(("is_matched", "kept"), [(True, 239_999), (False, 0)])
def test_what_the_stock_system_says_of_a_receipt_is_a_count_where_no_age_is_asked(
    found_by: FoundBy, is_matched: bool, kept: int
) -> None:
    policy = STRICT._replace(count_stale_s=0)
    line = of_one(found_by, alone(policy, GOOD._replace(counted=-1, is_matched=is_matched)))
    assert line.eligible_minor == kept


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
