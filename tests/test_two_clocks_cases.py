"""Two clocks, by hand: what was true of a moment by what was known at another, and what it rests on.

The sofas of tests/support/lending.py: 1,000 at 200.00 agreed are 20,000,000 cents. Hours are after noon on 1 January
2026.
"""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from builders import temperature
from lending import BY_SERIES, EVIDENCE, HALF, INVENTORY, LINE, Bench, at_ms, lends, lot, moment, price, rate

from pledgewatch_cloud.certificate.build import certificate_of
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral import goods as goods_module
from pledgewatch_cloud.decide.collateral import sheet as sheet_module
from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.collateral.terms import Line, Policy
from pledgewatch_cloud.decide.market import empty
from pledgewatch_cloud.spine.base_at import BaseAt, BaseAtError, amendments, base_at
from pledgewatch_cloud.spine.spine import recover

COLD = {"id": "cold", "channel": "temperature_mc", "low": 2_000, "high": 8_000, "max_gap_s": 86_400}


def product(bp: int) -> dict[str, Any]:
    return {"sku": "sofa", "loss": [{"kind": "outside", "points": [{"minutes": 60, "bp": bp}]}]}


def asked(bench: Bench, hour: float, known: float | None = None, facility: str = LINE) -> BaseAt:
    return base_at(bench.store, facility, at_ms(hour), None if known is None else at_ms(known))


def line(**terms: Any) -> dict[str, Any]:
    return {
        "id": LINE,
        "lender": "bank",
        "borrower": "exporter",
        "currency": "USD",
        "outstanding_minor": 5_000_000,
        "policy": "terms",
        **terms,
    }


def warm(**terms: Any) -> Bench:
    """Sofas that were too warm from the beginning on; it is three o'clock and said so."""
    bench = Bench(lots=[lot(limits=[COLD])], **terms)
    bench.measure("store", temperature(20_000))
    bench.come_to(3)
    bench.measure("store", temperature(20_000))
    bench.tick()
    return bench


# Terms are those of then. A row: the terms of then, what becomes of them at 30:00, a figure, and what it was at 3:00.

LATER: list[tuple[str, dict[str, Any], dict[str, Any], str, int]] = [
    ("policy", {"policy": HALF}, {"policies": [{"id": "terms", "advance_bp": lends(9_000)}]}, "base_minor", 10_000_000),
    ("loss curve", {"products": [product(1_000)]}, {"products": [product(5_000)]}, "eligible_minor", 18_000_000),
    ("first loss curve", {}, {"products": [product(5_000)]}, "eligible_minor", 20_000_000),
    (
        "loss curve gone",
        {"products": [product(1_000)]},
        {"remove": {"products": ["sofa"]}},
        "eligible_minor",
        18_000_000,
    ),
    (
        "agreed price",
        {},
        {"prices": [{"sku": "sofa", "unit_price_minor": 1, "currency": "USD"}]},
        "gross_minor",
        20_000_000,
    ),
    (
        "a series instead of an agreed price",
        {},
        {"products": [{"sku": "sofa", "series": "index"}], "remove": {"prices": ["sofa"]}},
        "gross_minor",
        20_000_000,
    ),
    (
        "an agreed price instead of a series",
        BY_SERIES | {"products": [{"sku": "sofa", "series": "index"}]},
        {
            "prices": [{"sku": "sofa", "unit_price_minor": 1, "currency": "USD"}],
            "remove": {"products": ["sofa"]},
        },
        "gross_minor",
        15_000_000,
    ),
    (
        "appraisal",
        {"appraisals": [{"sku": "sofa", "nolv_bp": 6_000, "until": moment(99)}]},
        {"appraisals": [{"sku": "sofa", "nolv_bp": 1, "until": moment(99)}]},
        "gross_minor",
        12_000_000,
    ),
    (
        "first appraisal",
        {},
        {"appraisals": [{"sku": "sofa", "nolv_bp": 1, "until": moment(99)}]},
        "gross_minor",
        20_000_000,
    ),
    (
        "appraisal gone",
        {"appraisals": [{"sku": "sofa", "nolv_bp": 6_000, "until": moment(99)}]},
        {"remove": {"appraisals": ["sofa"]}},
        "gross_minor",
        12_000_000,
    ),
    ("limit of the line", {}, {"facilities": [line(limit_minor=1)]}, "limit_minor", 0),
    (
        "policy of the line",
        {"policy": HALF},
        {"policies": [{"id": "more"}], "facilities": [line(policy="more")]},
        "base_minor",
        10_000_000,
    ),
    ("account of the line", {}, {"facilities": [line(outstanding_minor=9)]}, "outstanding_minor", 5_000_000),
]


@pytest.mark.parametrize(
    ("terms", "later", "figure", "then"), [row[1:] for row in LATER], ids=[row[0] for row in LATER]
)
def test_the_terms_of_a_moment_are_those_of_then(
    terms: dict[str, Any], later: dict[str, Any], figure: str, then: int
) -> None:
    bench = Bench(lots=[lot(limits=[COLD])], **terms)
    bench.quote({"prices": [price("index", "2026-01-01", "150")]})
    bench.measure("store", temperature(20_000))
    bench.come_to(3)
    bench.measure("store", temperature(20_000))
    bench.tick()
    bench.come_to(30)
    bench.amend(later)
    known_then, known_now = asked(bench, 3, 3), asked(bench, 3)
    assert (getattr(known_then.base, figure), getattr(known_now.base, figure)) == (then, then)
    assert (known_now.base, known_now.lines) == (known_then.base, known_then.lines)
    assert getattr(bench.base(), figure) != then


def test_goods_of_an_sku_that_was_new_later_were_there_without_a_price() -> None:
    bench = warm()
    bench.come_to(30)
    chair = lot("chair", sku="chair", received_at=moment(1))
    bench.amend({"lots": [chair], "prices": [{"sku": "chair", "unit_price_minor": 100, "currency": "USD"}]})
    found = asked(bench, 3)
    assert (found.base.gross_minor, found.base.lots, found.base.unvalued) == (20_000_000, 2, 1)
    assert found.grounds["chair"] == ("unvalued: there is no price of chair on or before 2026-01-01",)


@pytest.mark.parametrize(
    ("document", "figure", "then"),
    [
        ({"lots": [lot(counted=400, counted_at=moment(24))]}, "gross_minor", 20_000_000),
        ({"lots": [lot("more", received_at=moment(24))]}, "gross_minor", 20_000_000),
        ({"lots": [lot("more", received_at=moment(0.5))]}, "gross_minor", 40_000_000),
        ({"remove": {"lots": ["lot"]}}, "gross_minor", 20_000_000),
        ({"facilities": [{"outstanding_minor": 9_000_000}]}, "outstanding_minor", 5_000_000),
    ],
    ids=[
        "a later count",
        "goods that came later",
        "goods that were there unsaid",
        "goods that left",
        "a loan begun anew",
    ],
)
def test_what_came_later_was_not_true_before(document: dict[str, Any], figure: str, then: int) -> None:
    bench = Bench(policy=HALF)
    for facility in document.get("facilities", ()):
        facility.update({**bench.document["facilities"][0], **facility})
    bench.come_to(30)
    bench.spine.commit(drafts.amend, document)
    found = base_at(bench.store, LINE, at_ms(1), at_ms(30))
    assert getattr(found.base, figure) == then


# What has a moment counts by it, as it is known now.


def drawn(identity: str, hour: float, amount: int) -> dict[str, Any]:
    return {"id": identity, "at": moment(hour), "kind": "drawdown", "amount_minor": amount}


MOVED: list[tuple[str, list[dict[str, Any]], dict[str, Any], int]] = [
    ("told late", [], {"movements": [drawn("d", 0.5, 70)]}, 5_000_070),
    ("of later", [], {"movements": [drawn("d", 1.5, 70)]}, 5_000_000),
    ("taken back", [drawn("d", 0.5, 70)], {"movements": []}, 5_000_000),
    ("corrected", [drawn("d", 0.5, 70)], {"movements": [drawn("d", 0.5, 7)]}, 5_000_007),
    ("dated back", [drawn("d", 1.5, 70)], {"movements": [drawn("d", 0.5, 70)]}, 5_000_070),
    # Its 5,000,070 are the beginning of a new account, in which that movement is no more.
    ("begun anew", [drawn("d", 0.5, 70)], {"outstanding_minor": 5_000_070, "movements": []}, 5_000_070),
    (
        "begun anew, with one told late",
        [drawn("d", 0.5, 70)],
        {"outstanding_minor": 5_000_070, "movements": [drawn("e", 0.7, 900)]},
        5_000_970,
    ),
    (
        "begun anew, with one corrected",
        [drawn("d", 0.5, 70), drawn("e", 0.6, 100)],
        {"outstanding_minor": 5_000_070, "movements": [drawn("e", 0.6, 10)]},
        5_000_080,
    ),
    (
        "begun anew with interest",
        [drawn("d", 0.5, 70)],
        {"movements": [], "interest": {"rate_bp": 100, "day_count": "act_360", "since": moment(1)}},
        5_000_070,
    ),
]


@pytest.mark.parametrize(("before", "later", "owed"), [row[1:] for row in MOVED], ids=[row[0] for row in MOVED])
def test_movements_count_as_they_are_known_now(before: list[dict[str, Any]], later: dict[str, Any], owed: int) -> None:
    bench = Bench(facility={"movements": before})
    bench.come_to(2)
    bench.amend({"facilities": [line(**later)]})
    assert asked(bench, 1).base.outstanding_minor == owed


@pytest.mark.parametrize(
    ("counted", "hour", "short"),
    [(800, 0.7, 4_000_000), (800, 1.0, 4_000_000), (800, 1.5, 2_000_000), (800, 0.3, 2_000_000)],
    ids=["a newer count", "of that very moment", "of later", "an older count"],
)
def test_the_newest_count_of_then_counts_whenever_it_was_told(counted: int, hour: float, short: int) -> None:
    """900 were counted at 0:30 and told; another count is told at 2:00."""
    bench = Bench(hour=0.5, lots=[lot(counted=900, counted_at=moment(0.5))])
    bench.come_to(2)
    bench.amend({"lots": [lot(counted=counted, counted_at=moment(hour))]})
    assert asked(bench, 1).base.ineligible == {"stock": short}


def test_what_a_condition_costs_is_that_of_the_full_hour_whenever_it_is_asked() -> None:
    """Outside since 0:00, a ten-thousandth more with each minute: 180 basis points at 3:00, and until 4:00."""
    curve = {"kind": "outside", "points": [{"minutes": 10_000, "bp": 10_000}]}
    bench = warm(products=[{"sku": "sofa", "loss": [curve]}])
    bench.come_to(5)
    bench.tick()
    costs = [asked(bench, hour).base.ineligible["condition_loss"] for hour in (3, 3.5, 3.99, 4)]
    assert costs == [360_000, 360_000, 360_000, 480_000]
    assert asked(bench, 3.5, 3.5).base == asked(bench, 3.5).base


# Facilities that come and go.


def test_before_it_was_entered_a_facility_had_no_base() -> None:
    bench = Bench()
    bench.come_to(2)
    bench.amend({"facilities": [line(id="later")], "lots": [lot("b", facility="later", received_at=moment(-5))]})
    sentence = "there was no facility 'later' at 2026-01-01T13:00:00Z; it was entered later; there were: line"
    with pytest.raises(BaseAtError, match=re.escape(sentence)):
        asked(bench, 1, facility="later")
    with pytest.raises(BaseAtError, match=r"^there was no facility 'later' at 2026-01-01T13:00:00Z; there were: line"):
        asked(bench, 1, 1, facility="later")
    assert asked(bench, 2, facility="later").base.gross_minor == 20_000_000
    with pytest.raises(
        BaseAtError, match=r"there was no facility 'line' at 2025-.*; it was entered later; there were: none"
    ):
        asked(bench, -24 * 365)


def test_a_facility_that_has_left_since_was_there() -> None:
    bench = warm(facility={"outstanding_minor": 0}, policy={"breach": "ineligible"})
    before = asked(bench, 3, 3)
    bench.come_to(30)
    bench.amend({"remove": {"lots": ["lot"], "facilities": [LINE]}})
    after = asked(bench, 3)
    assert (after.base, after.lines, after.currency) == (before.base, before.lines, "USD")
    made = certificate_of(bench.store, after, None)
    assert (made.lender, made.borrower) == ("bank", "exporter")
    with pytest.raises(BaseAtError, match=r"there was no facility 'line' at 2026-01-02T18:00:00Z; there were: none"):
        asked(bench, 30)


# What was known is a state of the journal, whatever it is asked about.


def test_a_certificate_has_the_digest_of_the_journal_as_it_was_known() -> None:
    bench = Bench(policy=EVIDENCE)
    bench.measure()
    bench.come_to(2)
    bench.amend({"lots": [lot(quantity=500), lot("more", received_at=moment(-5))]})
    bench.come_to(3)
    bench.tick()
    for known in (1, 2, 3, 40):
        state = recover(bench.store, at_ms(known))
        for hour in (0.5, 1, known):
            made = certificate_of(bench.store, asked(bench, hour, known), None)
            assert (made.entry, made.state_digest) == (state.entry, state_module.digest(state))


# What ineligibles rest on, where it is not in the book or not in the journal any more.


def grounds(found: BaseAt) -> Mapping[str, tuple[str, ...]]:
    """By lot; every step that took anything has a line."""
    for one in found.lines:
        told = {text.partition(":")[0] for text in found.grounds.get(one.id, ())}
        assert told >= one.ineligible.keys()
    return found.grounds


def test_goods_that_have_left_since_keep_what_their_ineligibles_rest_on() -> None:
    """The events of a lot that leaves are taken back, so there are none to be looked up."""
    bench = warm(policy={"breach": "ineligible"})
    (said,) = [one.id for one in bench.store.events(limit=100) if one.event.type == "condition_breached"]
    assert grounds(asked(bench, 3)) == {"lot": (f"condition: event {said}",)}
    bench.come_to(4)
    bench.amend({"remove": {"lots": ["lot"]}})
    told = "condition: condition_breached cold since 2026-01-01T12:00:00Z, of which no event stands"
    assert grounds(asked(bench, 3)) == {"lot": (told,)}
    assert grounds(asked(bench, 3, 3)) == {"lot": (f"condition: event {said}",)}


def test_of_a_moment_that_is_to_come_there_is_no_event_yet() -> None:
    limit = COLD | {"max_gap_s": 3_600}
    curve = {"kind": "outside", "unknown": "outside", "points": [{"minutes": 600, "bp": 5_000}]}
    bench = Bench(lots=[lot(limits=[limit])], products=[{"sku": "sofa", "loss": [curve]}])
    bench.measure("store", temperature(5_000))
    bench.tick()
    told = "condition_loss: condition_unknown cold since 2026-01-01T13:00:00Z, of which no event stands"
    assert grounds(asked(bench, 8, 8)) == {"lot": (told,)}


MKT = {"channel": "temperature_mc", "high_mc": 15_000, "worst_low_mc": 0, "worst_high_mc": 15_000, "max_gap_s": 3_600}
LIFE = {
    "kind": "life",
    "life_h": 100,
    "reference_mc": 5_000,
    "q10_milli": 2_000,
    "points": [{"consumed_bp": 9_000, "bp": 9_000}],
}
MISSING: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    (
        "shelf life of an asset that was never heard",
        {"fitted": {"store": moment(0)}, "lots": [lot(mkt=MKT)], "products": [{"sku": "sofa", "loss": [LIFE]}]},
        ("condition_loss: no temperature of store since 2026-01-01T12:00:00Z, which counts at its worst",),
    ),
    ("age", {"policy": {"age_max_days": 5}}, ("age: nobody knows when it was received",)),
    (
        "age by bands",
        {"policy": {"age_bands": [{"from_days": 0, "bp": 100}]}},
        ("age_haircut: nobody knows when it was received",),
    ),
    (
        "age, and what has expired",
        {"policy": {"age_max_days": 5}, "lots": [lot(expires_at=moment(1))]},
        ("age: nobody knows when it was received", "age: expires 2026-01-01T13:00:00Z"),
    ),
    ("expired", {"lots": [lot(expires_at=moment(1))]}, ("age: expires 2026-01-01T13:00:00Z",)),
    ("evidence", {"policy": INVENTORY}, ("evidence: no good fix and no good value of store",)),
]


@pytest.mark.parametrize(("terms", "texts"), [row[1:] for row in MISSING], ids=[row[0] for row in MISSING])
def test_what_is_missing_is_said(terms: dict[str, Any], texts: tuple[str, ...]) -> None:
    bench = Bench(**terms)
    bench.come_to(3)
    bench.tick()
    bench.come_to(5)
    bench.tick()
    assert [grounds(asked(bench, 3, known)) for known in (3, 5)] == [{"lot": texts}] * 2


# What makes the difference between two answers.


def test_news_of_the_very_moment_and_of_its_day_makes_a_difference() -> None:
    """As of 1:00: measured just then, and quoted for that day; a millisecond or a day later bears on nothing."""
    bench = Bench(policy=EVIDENCE)
    bench.keep("store", 1)
    bench.keep("store", 1 + 1 / 3_600_000)
    bench.come_to(3)
    bench.send("store")
    bench.quote({"rates": [rate("CNY", "2026-01-01", "8"), rate("JPY", "2026-01-02", "160")]})
    earlier, later = asked(bench, 1, 1), asked(bench, 1)
    found = [one for one in amendments(bench.store, earlier, later) if "id" not in one]
    known_at = "2026-01-01T15:00:00Z"
    assert found == [
        {"entry": 2, "known_at": known_at, "readings": {"store": 1}},
        {"entry": 3, "known_at": known_at, "quotes": ["CNY"]},
    ]
    assert (earlier.base.eligible_minor, later.base.eligible_minor) == (0, 20_000_000)


# The most that one of very many lots may be worth.


@pytest.mark.parametrize(
    ("amount", "worth", "unvalued"), [("8000000000000.00", 8 * 10**14, 0), ("8000000000000.01", 0, 1)]
)
def test_a_lot_may_be_worth_its_share_of_the_whole_and_not_a_cent_more(amount: str, worth: int, unvalued: int) -> None:
    """Of 5,000 lots each may be worth 4 × 10^18 ÷ 5,000 = 8 × 10^14."""
    market = empty().quoted({"prices": [price("most", "2026-01-01", amount)]})
    lots = [LotStanding(f"lot-{number}", "line", "sofa", "most", quantity=int(number == 0)) for number in range(5_000)]
    lots[1:] = [one._replace(series="none") for one in lots[1:]]
    goods = goods_module.goods_of([Line("line", "USD", Policy("all"), 0, 0)], lots)
    base = bases.base_of(sheet_module.revalued(goods, market, at_ms(0)), "line")
    assert (base.gross_minor, base.unvalued - 4_999) == (worth, unvalued)
