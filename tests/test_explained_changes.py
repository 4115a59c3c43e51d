"""Why a base has changed: amendments of the book, alone and together, each with the reasons that are said and what they
come to. Amounts are US cents."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pytest
from builders import IN_LOS_ANGELES, LOS_ANGELES, fence, position, temperature
from lending import ANY_WARMTH, LINE, SERIES, Bench, figure, lends, lot, moment, price, rate

from pledgewatch_cloud.decide.collateral import amended
from pledgewatch_cloud.decide.collateral.amended import STAGES

# A thousand sofas in each of two lots, at 200.00 agreed, one half lent. The second lot was too warm for two hours and a
# half, and loses a tenth: 10,000,000 and 9,000,000 are lent. No buyer may have more than 70 % of what passes the tests.

COLD = {"id": "cold", "channel": "temperature_mc", "low": 2_000, "high": 8_000, "max_gap_s": 86_400}
WELL: dict[str, Any] = {
    "receipt": {"id": "r", "state": "valid"},
    "papers": [{"kind": "insurance", "id": "p"}],
}
A = lot("a", buyer="x", **WELL)
B = lot("b", buyer="y", **WELL) | {"limits": [COLD]}
TERMS: dict[str, Any] = {
    "id": "terms",
    "advance_bp": lends(5_000),
    "receipt": 1,
    "papers": ["insurance"],
    "cap_bp": {"buyer": 7_000},
    "evidence": {"fresh_s": 36_000, "stale_s": 72_000},
}
BASE_MINOR = 19_000_000


def curve(bp: int) -> dict[str, Any]:
    return {"loss": [{"kind": "outside", "points": [{"minutes": 60, "bp": bp}]}]}


def bench() -> Bench:
    made = Bench(assets=("store", "other"), lots=[A, B], policy=TERMS, products=[{"sku": "sofa", **curve(1_000)}])
    made.quote({"prices": [price("index", "2026-01-01", "150")]})
    made.measure("store", temperature(5_000))
    made.come_to(0.5)
    made.measure("store", temperature(20_000))
    made.come_to(3)
    made.measure("store", temperature(20_000))
    made.tick()
    assert made.base().base_minor == BASE_MINOR
    return made


def changes_by(made: Bench, *documents: Mapping[str, Any]) -> dict[str, int]:
    """What is said of one amendment that says all that some documents say."""
    whole: dict[str, Any] = {}
    for document in documents:
        for section, items in document.items():
            if section == "remove":
                whole[section] = {**whole.get(section, {}), **items}
            else:
                whole[section] = [*whole.get(section, []), *items]
    made.amend(whole)
    found = figure(made, "changes")
    assert isinstance(found, dict)
    return found


def line_under(policy: str) -> dict[str, Any]:
    line = {"id": LINE, "lender": "bank", "borrower": "exporter", "currency": "USD", "outstanding_minor": 5_000_000}
    return line | {"policy": policy}


ALONE: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    # Quantity: which goods there are, and how many.
    "fewer": ({"lots": [A | {"quantity": 500}]}, {"quantity": -5_000_000}),
    "counted short": ({"lots": [A | {"counted": 800, "counted_at": moment(3)}]}, {"quantity": -2_000_000}),
    "more goods": ({"lots": [lot("c", quantity=100, buyer="z", **WELL)]}, {"quantity": 1_000_000}),
    # 20,000,000 are left, of which one buyer keeps 14,000,000: (14,000,000 - a tenth) ÷ 2.
    "goods leave": ({"remove": {"lots": ["a"]}}, {"quantity": -12_700_000}),
    # Price: what is agreed, or which series says so.
    "agreed price": (
        {"prices": [{"sku": "sofa", "unit_price_minor": 10_000, "currency": "USD"}]},
        {"price": -9_500_000},
    ),
    "a series instead": (
        {"products": [{"sku": "sofa", "series": "index", **curve(1_000)}], "remove": {"prices": ["sofa"]}},
        {"price": -4_750_000},
    ),
    # Place: which asset they are in. Of the other one nothing was ever heard, so what is left is as if they had gone.
    "goods go elsewhere": (
        {"lots": [A | {"asset": "other", "stays": [{"asset": "store", "until": moment(3)}]}]},
        {"place": -12_700_000},
    ),
    # Rule: everything else.
    "loss curve": ({"products": [{"sku": "sofa", **curve(5_000)}]}, {"rule": -4_000_000}),
    "no loss curve": ({"products": [{"sku": "sofa"}]}, {"rule": 1_000_000}),
    "receipt frozen": ({"lots": [A | {"receipt": {"id": "r", "state": "frozen"}}]}, {"rule": -12_700_000}),
    "papers dropped": ({"lots": [A | {"papers": []}]}, {"rule": -12_700_000}),
    # Of 40,000,000 one buyer keeps 28,000,000, and the later lot bears the cut: (8,000,000 - a tenth) ÷ 2.
    "a buyer who has much": ({"lots": [A | {"buyer": "y"}]}, {"rule": -5_400_000}),
    "haircut": ({"lots": [A | {"haircut_bp": 500}]}, {"rule": -500_000}),
    # It cost 5,000,000. Of 25,000,000 one buyer keeps 17,500,000: 7,875,000 and 2,500,000 are lent.
    "cost": ({"lots": [A | {"cost_minor": 5_000}]}, {"rule": 10_375_000 - 19_000_000}),
    "advance rate": ({"policies": [TERMS | {"advance_bp": lends(4_000)}]}, {"rule": -3_800_000}),
    "another policy": (
        {"policies": [TERMS | {"id": "less", "advance_bp": lends(4_000)}], "facilities": [line_under("less")]},
        {"rule": -3_800_000},
    ),
    "appraisal": ({"appraisals": [{"sku": "sofa", "nolv_bp": 7_000, "until": moment(99)}]}, {"rule": -5_700_000}),
    "limit": ({"lots": [B | {"limits": [COLD | {"high": 25_000}]}]}, {"rule": 1_000_000}),
    "nothing of it": ({"assets": [{"id": "unrelated", "kind": "warehouse"}]}, {}),
}


@pytest.mark.parametrize("name", ALONE)
def test_each_amendment_has_its_reason(name: str) -> None:
    document, changes = ALONE[name]
    assert changes_by(bench(), document) == changes


@pytest.mark.parametrize("name", ALONE)
def test_each_keeps_its_reason_beside_something_that_has_nothing_to_do_with_it(name: str) -> None:
    """Whatever else is in the amendment: an asset that nobody needs, a lot without value, a policy that nobody has."""
    document, changes = ALONE[name]
    beside = {
        "assets": [{"id": "yard", "kind": "warehouse"}],
        "lots": [lot("none", quantity=0, **WELL)],
        "policies": [{"id": "idle", "advance_bp": lends(1)}],
    }
    assert changes_by(bench(), beside, document) == changes


def is_apart(one: str, other: str) -> bool:
    """Whether two amendments say nothing of the same thing."""
    said: list[set[tuple[str, str]]] = []
    for document, _ in (ALONE[one], ALONE[other]):
        items = [
            (section, item.get("id") or item["sku"])
            for section in document.keys() - {"remove"}
            for item in document[section]
        ]
        gone = [(section, name) for section, names in document.get("remove", {}).items() for name in names]
        said.append({*items, *gone})
    return not said[0] & said[1]


PAIRS = [pair for pair in combinations(ALONE, 2) if is_apart(*pair)]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_amendments_in_one_have_the_reasons_of_both(one: str, other: str) -> None:
    found = changes_by(bench(), ALONE[one][0], ALONE[other][0])
    assert found.keys() == ALONE[one][1].keys() | ALONE[other][1].keys()


TOGETHER: list[tuple[str, list[dict[str, Any]], dict[str, int]]] = [
    (
        "half the goods at half as much again",
        [
            {"lots": [A | {"quantity": 500}]},
            {"prices": [{"sku": "sofa", "unit_price_minor": 30_000, "currency": "USD"}]},
        ],
        {"quantity": -5_000_000, "price": 7_000_000},
    ),
    (
        # 500 at 200.00 are 10,000,000, and cost 5,000,000. Of 25,000,000 one buyer keeps 17,500,000.
        "fewer goods that cost less, in one lot",
        [{"lots": [A | {"quantity": 500, "cost_minor": 10_000}]}],
        {"quantity": -5_000_000, "rule": -2_500_000 + 7_875_000 - 9_000_000},
    ),
    (
        "fewer goods with a frozen receipt, in one lot",
        [{"lots": [A | {"quantity": 500, "receipt": {"id": "r", "state": "frozen"}}]}],
        {"quantity": -5_000_000, "rule": 6_300_000 - 14_000_000},
    ),
    (
        "a new lot and a receipt",
        [{"lots": [lot("c", quantity=100, buyer="z", **WELL), A | {"receipt": {"id": "r", "state": "lost"}}]}],
        # Of 22,000,000 one buyer keeps 15,400,000.
        {"quantity": 1_000_000, "rule": 6_930_000 - 19_000_000},
    ),
    (
        "fewer goods, an appraisal, another policy",
        [
            {"lots": [A | {"quantity": 500}]},
            {"appraisals": [{"sku": "sofa", "nolv_bp": 7_000, "until": moment(99)}]},
            ALONE["another policy"][0],
        ],
        # 14,000,000 of advance are left, then 70 % of that at 4,000 for 5,000.
        {"quantity": -5_000_000, "rule": 7_840_000 - 14_000_000},
    ),
    (
        "a series, and the loss curve beside it",
        [{"products": [{"sku": "sofa", "series": "index", **curve(5_000)}], "remove": {"prices": ["sofa"]}}],
        {"price": -4_750_000, "rule": -3_000_000},
    ),
    (
        "goods of an SKU that nobody had",
        [
            {"lots": [lot("c", sku="chair", quantity=100, buyer="z", **WELL)]},
            {"products": [{"sku": "chair", "series": "index"}]},
            {"appraisals": [{"sku": "chair", "nolv_bp": 5_000, "until": moment(99)}]},
        ],
        {"quantity": 375_000},
    ),
]


@pytest.mark.parametrize(("documents", "changes"), [row[1:] for row in TOGETHER], ids=[row[0] for row in TOGETHER])
def test_amendments_together(documents: list[dict[str, Any]], changes: dict[str, int]) -> None:
    assert changes_by(bench(), *documents) == changes


def test_from_a_series_back_to_an_agreed_price_is_a_price() -> None:
    made = Bench(prices=[], products=SERIES, policy={"advance_bp": lends(5_000)})
    made.quote({"prices": [price("sofa-index", "2026-01-01", "150")]})
    agreed = {"prices": [{"sku": "sofa", "unit_price_minor": 30_000, "currency": "USD"}]}
    assert changes_by(made, agreed, {"remove": {"products": ["sofa"]}}) == {"price": 7_500_000}


def test_what_time_has_brought_is_no_fault_of_an_amendment() -> None:
    """Ageing for an hour, and nobody has said so yet."""
    policy = {"advance_bp": lends(5_000), "evidence": {"fresh_s": 3_600, "stale_s": 36_000, "ageing_bp": 1_000}}
    made = Bench(policy=policy)
    made.measure()
    made.come_to(2)
    assert changes_by(made, {"lots": [lot(quantity=500)]}) == {"evidence": -1_000_000, "quantity": -4_500_000}


def test_a_breach_whose_grace_has_run_out_is_no_fault_of_goods_that_join() -> None:
    """At 0:30; the asset is told anew at 1:00, for another lot has come, and time is told by the tick after it."""
    limit = COLD | {"grace_s": 1_800}
    made = Bench(policy={"advance_bp": lends(5_000), "breach": "ineligible"}, lots=[lot("a", limits=[limit])])
    made.measure("store", temperature(20_000))
    made.tick()
    made.come_to(1)
    assert changes_by(made, {"lots": [lot("b")]}) == {"quantity": 10_000_000}
    made.tick()
    assert figure(made, "changes") == {"condition": -10_000_000}


def test_what_was_sent_back_for_a_limit_that_is_another_is_a_rule_also_for_its_neighbour() -> None:
    """A limit that finds a value stuck after ten minutes takes the evidence of the whole asset, of both lots."""
    policy = {"advance_bp": lends(5_000), "evidence": {"fresh_s": 900, "stale_s": 900}}
    made = Bench(policy=policy, lots=[lot("a"), lot("b")])
    for minute in range(0, 60, 5):
        made.come_to(minute / 60)
        made.measure()
    doubted = changes_by(made, {"lots": [lot("a", limits=[ANY_WARMTH | {"stuck_after_s": 600}])]})
    assert doubted == {"rule": -20_000_000}


LEG = {"id": "sea", "kind": "sea", "from": moment(0), "until": moment(48)}
SEA, DARK = ({"id": "v", "asset": "store", "legs": [leg]} for leg in (LEG, LEG | {"signal": "dark"}))


def test_a_voyage_that_is_planned_otherwise_is_a_rule_also_beside_fewer_goods() -> None:
    """Stale at 5:00, as long as the sea is not said to be dark."""
    evidence = {"fresh_s": 3_600, "stale_s": 7_200, "dark": "fresh"}
    made = Bench(kinds={"store": "container"}, policy={"advance_bp": lends(5_000), "evidence": evidence}, voyages=[SEA])
    made.measure()
    made.come_to(5)
    made.tick()
    assert changes_by(made, {"voyages": [DARK], "lots": [lot(quantity=500)]}) == {"rule": 5_000_000}
    assert changes_by(made, {"voyages": [SEA], "lots": [lot()]}) == {"quantity": 5_000_000, "rule": -10_000_000}


def test_a_fence_that_is_forbidden_now_is_a_rule_also_beside_fewer_goods() -> None:
    made = Bench(kinds={"store": "container"}, policy={"advance_bp": lends(5_000)})
    made.measure("store", *position(IN_LOS_ANGELES))
    forbidden = {"type": "FeatureCollection", "features": [fence("los-angeles", LOS_ANGELES, "forbidden")]}
    made.amend({"fences": forbidden, "lots": [lot(quantity=500)]})
    assert figure(made, "changes") == {"quantity": -5_000_000, "rule": -5_000_000}


def test_swings_of_rates_are_those_of_their_own_day_when_other_prices_are_put_in() -> None:
    """A rate for tomorrow is known, and no other price: at midnight the haircut from history is due to it alone."""
    policy = {"advance_bp": lends(5_000), "fx": {"window": 5, "horizon_days": 1, "z_milli": 1_000}}
    made = Bench(policy=policy, prices=[{"sku": "sofa", "unit_price_minor": 20_000, "currency": "EUR"}])
    days = [("2025-12-29", "1.10"), ("2025-12-30", "1.11"), ("2025-12-31", "1.10"), ("2026-01-02", "1.35")]
    made.quote({"rates": [rate("USD", day, amount) for day, amount in days]})
    before = made.base()
    made.come_to(12)
    made.tick()
    changes = figure(made, "changes")
    assert changes.keys() == {"fx"}
    assert made.base().ineligible["fx_haircut"] > 10 * before.ineligible["fx_haircut"]


def test_the_table_ends_with_the_whole_book() -> None:
    """Whatever is not put in by then is by the last stage; so a stage added behind it would have nothing to do."""
    made = bench()
    before = made.spine.state.book
    made.amend(ALONE["another policy"][0])
    after = made.spine.state.book
    assert STAGES[-1].of_book(before, after) is after
    assert [reason for reason, _ in amended.stages_of(before, after, after.lots)] == ["rule"]
