"""The terms in the book: what each fault is called, what is filled in, and that what is read can be written again."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from builders import NOON_MS, Device, book_document

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.collateral.loss import LifeCurve, OutsideCurve, Point
from pledgewatch_cloud.decide.collateral.policies import PLAIN, PRESETS
from pledgewatch_cloud.decide.collateral.products import Appraisal, Product
from pledgewatch_cloud.decide.collateral.terms import (
    Band,
    Covenants,
    EvidencePolicy,
    Policy,
    Reserve,
    SubLimit,
    Swing,
)
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.items.facilities import Interest, Movement
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.items.papers import LotReceipt, Paper
from pledgewatch_cloud.decide.stretches import NEVER

Change = Callable[[dict[str, Any]], object]
NOON = "2026-01-01T12:00:00Z"
OUTSIDE = {"kind": "outside", "points": [{"minutes": 60, "bp": 0}, {"minutes": 720, "bp": 5_000}]}
LIFE = {
    "kind": "life",
    "life_h": 720,
    "reference_mc": 5_000,
    "q10_milli": 2_000,
    "points": [{"consumed_bp": 9_000, "bp": 10_000}],
}
EVERYTHING: dict[str, Any] = {
    "id": "everything",
    "advance_bp": {"in_transit": 5_000, "warehouse": 7_000},
    "evidence": {"by": "fix", "fresh_s": 60, "stale_s": 600, "ageing_bp": 50, "dark": "fresh"},
    "price_stale_days": 3,
    "rate_stale_days": 4,
    "appraisal": 1,
    "receipt": 1,
    "count": 1,
    "count_stale_s": 86_400,
    "fences": ["shanghai", "los-angeles"],
    "countries": ["US", "CN"],
    "breach": "ineligible",
    "papers": ["insurance", "bill_of_lading"],
    "age_max_days": 300,
    "expiry_min_days": 30,
    "age_bands": [{"from_days": 0, "bp": 10}, {"from_days": 90, "bp": 0}],
    "on_hand_max_days": 120,
    "on_hand_bands": [{"from_days": 60, "bp": 700}],
    "fx": {"window": 60, "horizon_days": 10, "z_milli": 2_326},
    "price": {"bp": 300},
    "cap_bp": {"buyer": 0, "vessel": 2_500},
    "reserves": [{"id": "rent", "kind": "rent", "amount_minor": 100}, {"id": "dilution", "kind": "dilution", "bp": 90}],
    "sub_limits": [
        {"id": "sea", "classes": ["in_transit"], "limit_minor": 0, "within": "all"},
        {"id": "all", "classes": ["warehouse", "at_port"], "limit_minor": 500},
    ],
    "covenants": {
        "warning_bp": 6_000,
        "call_bp": 7_000,
        "default_bp": 9_000,
        "clear_bp": 100,
        "cure_s": 3_600,
        "minimum": [{"sku": "anything", "quantity": 5}],
    },
}
AS_READ = Policy(
    "everything",
    (5_000, 0, 0, 7_000),
    EvidencePolicy("fix", 60, 600, 50, "fresh"),
    3,
    4,
    True,  # noqa: FBT003
    True,  # noqa: FBT003
    True,  # noqa: FBT003
    86_400,
    ("los-angeles", "shanghai"),
    ("CN", "US"),
    "ineligible",
    ("bill_of_lading", "insurance"),
    300,
    30,
    (Band(0, 10), Band(90, 0)),
    120,
    (Band(60, 700),),
    Swing(0, 60, 10, 2_326),
    Swing(300),
    (10_000, 0, 10_000, 2_500, 10_000),
    (Reserve("rent", "rent", 100, 0), Reserve("dilution", "dilution", 0, 90)),
    (SubLimit("sea", "all", ("in_transit",), 0), SubLimit("all", "", ("at_port", "warehouse"), 500)),
    Covenants(6_000, 7_000, 9_000, 100, 3_600, (("anything", 5),)),
)


def base() -> dict[str, Any]:
    """A book with every term in it."""
    document = book_document(Device(), policies=[copy.deepcopy(EVERYTHING)])
    document["products"] = [{"sku": "sofa", "loss": [copy.deepcopy(OUTSIDE)]}, {"sku": "beans", "series": "coffee"}]
    document["appraisals"] = [{"sku": "sofa", "nolv_bp": 8_000, "until": NOON}]
    document["facilities"][0] |= {
        "policy": "everything",
        "limit_minor": 9_000,
        "interest": {"rate_bp": 725, "day_count": "act_360", "since": NOON},
        "movements": [
            {"id": "back", "kind": "repayment", "at": "2026-01-02T12:00:00Z", "amount_minor": 5},
            {"id": "out", "kind": "drawdown", "at": "2026-01-02T12:00:00Z", "amount_minor": 7},
            {"id": "first", "kind": "repayment", "at": NOON, "amount_minor": 1},
        ],
    }
    document["lots"][0] |= {
        "cost_minor": 18_000,
        "cost_per": 12,
        "cost_currency": "EUR",
        "counted": 0,
        "counted_at": NOON,
        "receipt": {"id": "receipt-1", "state": "frozen", "until": NOON},
        "papers": [{"kind": "insurance", "id": "policy-77", "until": NOON}, {"kind": "customs", "id": "T1"}],
        "received_at": NOON,
        "expires_at": "2027-01-01T12:00:00.250Z",
        "sold_milli_per_day": 0,
        "buyer": "shop",
        "country": "NL",
        "vessel": "IMO9321483",
        "warehouse": "hall-3",
        "corridor": "pacific-lane",
    }
    return document


def taken(document: dict[str, Any]) -> Book:
    return book_module.amend(book_module.empty(), document)


def refused(document: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(BookError) as caught:
        taken(document)
    return caught.value.errors


def policy(**terms: Any) -> Change:
    """The policy with other terms."""
    return lambda document: document["policies"][0].update(terms)


def limits(*some: tuple[str, str, str]) -> Change:
    """Sub-limits as (id, within, class)."""
    return policy(
        sub_limits=[
            {"id": one, "classes": [held], "limit_minor": 1} | ({"within": within} if within else {})
            for one, within, held in some
        ]
    )


def curve(**keys: Any) -> Change:
    """A product with one curve of these keys."""
    return lambda document: document["products"][0].update(loss=[keys])


def lot(**keys: Any) -> Change:
    return lambda document: document["lots"][0].update(keys)


def facility(**keys: Any) -> Change:
    return lambda document: document["facilities"][0].update(keys)


def points(*some: tuple[int, int]) -> list[dict[str, int]]:
    return [{"minutes": minutes, "bp": bp} for minutes, bp in some]


MOVED = {"id": "m", "kind": "drawdown", "at": "2026-01-02T12:00:00Z", "amount_minor": 1}
FAULTS: list[tuple[Change, str]] = [
    (policy(advance_bp={"bonded": 10_001}), "policies[0].advance_bp.bonded: 10001 is not a whole number from 0 to"),
    (policy(advance_bp={"moon": 1}), "policies[0].advance_bp.moon: no such key"),
    (policy(advance_bp=5_000), "policies[0].advance_bp: an object is needed"),
    (policy(evidence={"fresh_s": 61, "stale_s": 60}), "policies[0].evidence.fresh_s: 61 is above stale_s 60"),
    (policy(evidence={"by": "hearsay"}), "policies[0].evidence.by: 'hearsay' is none of reading, fix"),
    (policy(preset="gold"), "policies[0].preset: 'gold' is none of inventory_finance, order_finance, receivable"),
    (policy(receipt=2), "policies[0].receipt: 2 is not a whole number from 0 to 1"),
    (policy(breach="fine"), "policies[0].breach: 'fine' is none of loss, ineligible"),
    (policy(fences=["atlantis"]), "policies everything.fences: there is no 'atlantis' among fences"),
    (policy(countries=["UK"]), "policies[0].countries: 'UK' is no country of ISO 3166-1"),
    (policy(papers=["napkin"]), "policies[0].papers: 'napkin' is none of bill_of_lading,"),
    (policy(papers="insurance"), "policies[0].papers: a list is needed"),
    (
        policy(age_bands=[{"from_days": 30, "bp": 1}, {"from_days": 30, "bp": 2}]),
        "policies[0].age_bands[1].from_days: 30 is not above the 30 of the band before",
    ),
    (policy(on_hand_bands=[{"from_days": 30}]), "policies[0].on_hand_bands[0].bp: is missing"),
    (policy(fx={"bp": 5, "window": 9}), "policies[0].fx.bp: a haircut is either fixed, by bp, or taken from history"),
    (policy(fx={}), "policies[0].fx.bp: a haircut is either fixed"),
    (policy(fx={"bp": 5, "z_milli": 9}), "policies[0].fx.z_milli: no such key"),
    (
        policy(price={"window": 2, "horizon_days": 1, "z_milli": 1}),
        "policies[0].price.window: 2: at least 3 quotes are needed",
    ),
    (policy(price={"window": 3, "horizon_days": 1}), "policies[0].price.z_milli: is missing"),
    (policy(cap_bp={"buyer": -1}), "policies[0].cap_bp.buyer: -1 is not"),
    (policy(reserves=[{"id": "a", "kind": "rent"}] * 2), "policies[0].reserves[1].id: 'a' comes twice"),
    (policy(reserves=[{"id": "a", "kind": "tea"}]), "policies[0].reserves[0].kind: 'tea' is none of freight,"),
    (limits(("a", "b", "at_port"), ("b", "a", "bonded")), "policies[0].sub_limits: a is within b, b within a"),
    (limits(("a", "a", "at_port")), "policies[0].sub_limits: a is within a"),
    (
        limits(("x", "a", "warehouse"), ("a", "b", "at_port"), ("b", "c", "bonded"), ("c", "a", "in_transit")),
        "policies[0].sub_limits: a is within b, b within c, c within a",
    ),
    (
        limits(("a", "", "at_port"), ("b", "top", "bonded")),
        "policies[0].sub_limits[1].within: there is no 'top' among sub_limits",
    ),
    (
        limits(("a", "", "at_port"), ("b", "", "at_port")),
        "policies[0].sub_limits[1].classes: at_port is in a already; a class is in one sub-limit at most",
    ),
    (limits(("a", "", "at_port"), ("a", "", "bonded")), "policies[0].sub_limits[1].id: 'a' comes twice"),
    (limits(("a", "", "moon")), "policies[0].sub_limits[0].classes: 'moon' is none of in_transit,"),
    (policy(sub_limits=[{"id": "a", "classes": [], "limit_minor": 1}]), "policies[0].sub_limits[0].classes: name one"),
    (policy(covenants={"warning_bp": 7_000, "call_bp": 7_000}), "covenants.call_bp: 7000 is not above warning_bp 7000"),
    (policy(covenants={"warning_bp": 7_000, "default_bp": 6_000}), "default_bp: 6000 is not above warning_bp 7000"),
    (policy(covenants={"call_bp": 500, "clear_bp": 500}), "covenants.clear_bp: 500 is not below call_bp 500"),
    (policy(covenants={"clear_bp": 500}), "covenants.clear_bp: there is no level that it could be below"),
    (policy(covenants={"minimum": [{"sku": "a", "quantity": 1}] * 2}), "covenants.minimum[1].sku: 'a' comes twice"),
    (policy(covenants={"minimum": [{"sku": "a", "quantity": -1}]}), "covenants.minimum[0].quantity: -1 is not"),
    (
        lambda d: d["policies"].append({"id": "everything"}),
        "policies[1].id: 'everything' comes twice in this amendment",
    ),
    (
        lambda d: d["products"][0].update(series="sofas"),
        "products sofa.series: sofa has an agreed price among prices as well; it is valued by the one or by the other",
    ),
    (lambda d: d.update(prices=[]), "lots lot-container-1.sku: there is no 'sofa' among prices, nor a product of that"),
    (curve(kind="magic"), "products[0].loss[0].kind: 'magic' is none of outside, life"),
    (curve(kind="outside", points=[]), "products[0].loss[0].points: at least one is needed"),
    (curve(kind="outside", points=points((0, 1))), "products[0].loss[0].points[0].minutes: 0 is not a whole number"),
    (
        curve(kind="outside", points=points((5, 1), (5, 2))),
        "products[0].loss[0].points[1].minutes: 5 is not above the 5 of the point before",
    ),
    (
        curve(kind="outside", points=points((5, 2), (6, 1))),
        "products[0].loss[0].points[1].bp: 1 is below the 2 of the point before: nothing heals",
    ),
    (curve(**OUTSIDE, unknown="fine"), "products[0].loss[0].unknown: 'fine' is none of inside, outside"),
    (curve(**OUTSIDE, life_h=5), "products[0].loss[0].life_h: no such key"),
    (
        curve(**OUTSIDE, limit="frozen"),
        "lots lot-container-1.limits: there is no limit 'frozen', and the loss of sofa goes by it",
    ),
    (lot(limits=[]), "lots lot-container-1.limits: there is no limit, and the loss of sofa goes by it"),
    (curve(**LIFE), "lots lot-container-1.mkt: is missing; the loss of sofa goes by it"),
    (curve(**LIFE, activation_j_mol=5_000), "products[0].loss[0].q10_milli: how much faster it ages is said by"),
    (
        curve(kind="life", life_h=1, reference_mc=0, points=[]),
        "products[0].loss[0].q10_milli: how much faster it ages is said by",
    ),
    (curve(**LIFE | {"life_h": 0}), "products[0].loss[0].life_h: 0 is not"),
    (lambda d: d["appraisals"][0].update(nolv_bp=10_001), "appraisals[0].nolv_bp: 10001 is not"),
    (lambda d: d["appraisals"][0].pop("until"), "appraisals[0].until: is missing"),
    (facility(policy="generous"), "facilities facility-1.policy: there is no 'generous' among policies"),
    (facility(limit_minor=-1), "facilities[0].limit_minor: -1 is not"),
    (facility(movements=[MOVED, MOVED]), "facilities[0].movements[1].id: 'm' comes twice"),
    (facility(movements=[MOVED | {"kind": "gift"}]), "facilities[0].movements[0].kind: 'gift' is none of drawdown,"),
    (facility(movements=[MOVED | {"amount_minor": 0}]), "facilities[0].movements[0].amount_minor: 0 is not"),
    (facility(movements=[MOVED | {"amount_minor": 10**15}]), "facilities[0].movements: draw more than 10^15"),
    (
        facility(movements=[MOVED | {"at": "2026-01-01T11:59:59Z"}]),
        "facilities[0].movements: m is before interest.since: what was drawn by then is in outstanding_minor",
    ),
    (facility(movements=[MOVED | {"id": f"m-{n}"} for n in range(10_001)]), "movements: at most 10000; add older ones"),
    (facility(interest={"rate_bp": 1, "day_count": "act_act", "since": NOON}), "interest.day_count: 'act_act' is none"),
    (facility(interest={"rate_bp": 1, "day_count": "act_360"}), "facilities[0].interest.since: is missing"),
    (lot(cost_minor=-1), "lots[0].cost_minor: -1 is not"),
    (lot(cost_per=0), "lots[0].cost_per: 0 is not"),
    (lot(cost_currency="QQQ"), "lots[0].cost_currency: 'QQQ' is no currency of ISO 4217"),
    (lambda d: d["lots"][0].pop("cost_minor"), "lots[0].cost_per: there is no cost_minor that it could be about"),
    (lot(counted=-1), "lots[0].counted: -1 is not"),
    (lambda d: d["lots"][0].pop("counted_at"), "lots[0].counted_at: is missing: a count is a number and its moment"),
    (lambda d: d["lots"][0].pop("counted"), "lots[0].counted: is missing: a count is a number and its moment"),
    (lot(receipt={"id": "r", "state": "shiny"}), "lots[0].receipt.state: 'shiny' is none of valid, frozen, lost,"),
    (lot(receipt={"id": "r", "state": "valid", "until": "soon"}), "lots[0].receipt.until: 'soon' is not a time"),
    (lot(papers=[{"kind": "other", "id": "a"}] * 2), "lots[0].papers[1].id: 'a' comes twice among papers of the kind"),
    (lot(expires_at=NOON), "lots[0].expires_at: 2026-01-01T12:00:00Z is not after received_at"),
    (lot(sold_milli_per_day=-1), "lots[0].sold_milli_per_day: -1 is not"),
    (lot(country="nl"), "lots[0].country: 'nl' does not match"),
    (lot(country="ZZ"), "lots[0].country: 'ZZ' is no country of ISO 3166-1"),
    (lot(buyer=""), "lots[0].buyer: '' is no id"),
]


@pytest.mark.parametrize(("change", "text"), FAULTS, ids=[row[1][:60] for row in FAULTS])
def test_each_fault_is_named_with_its_place(change: Change, text: str) -> None:
    document = base()
    change(document)
    errors = refused(document)
    assert any(text in one for one in errors), errors


def test_everything_is_read() -> None:
    book = taken(base())
    assert book.policies["everything"] == AS_READ
    assert all(said != plain for said, plain in zip(AS_READ, PLAIN, strict=True)), "every term is another than plainly"
    assert book.policy_of("facility-1") is book.policies["everything"]
    assert book.products["sofa"] == Product(
        "sofa", "", (OutsideCurve("", "inside", (Point(60, 0), Point(720, 5_000))),)
    )
    assert book.products["beans"] == Product("beans", "coffee", ())
    assert book.appraisals["sofa"] == Appraisal("sofa", 8_000, NOON_MS)
    facility = book.facilities["facility-1"]
    assert (facility.limit_minor, facility.interest) == (9_000, Interest(725, "act_360", NOON_MS))
    assert facility.movements == (
        Movement("first", "repayment", NOON_MS, 1),
        Movement("out", "drawdown", NOON_MS + 86_400_000, 7),
        Movement("back", "repayment", NOON_MS + 86_400_000, 5),
    )
    lot = book.lots["lot-container-1"]
    assert (
        lot[8:]
        == Lot(
            *lot[:8],
            18_000,
            12,
            "EUR",
            0,
            NOON_MS,
            LotReceipt("receipt-1", "frozen", NOON_MS),
            (Paper("insurance", "policy-77", NOON_MS), Paper("customs", "T1", NEVER)),
            NOON_MS,
            NOON_MS + 365 * 86_400_000 + 250,
            0,
            "shop",
            "NL",
            "IMO9321483",
            "hall-3",
            "pacific-lane",
        )[8:]
    )


@pytest.mark.parametrize("until", [{}, {"until": NOON}])
def test_a_receipt_without_a_state_is_one_of_the_receipt_book(until: dict[str, str]) -> None:
    document = book_document(Device())
    document["lots"][0]["receipt"] = {"id": "la-1:0001", **until}
    book = taken(document)
    receipt = book.lots["lot-container-1"].receipt
    assert receipt == LotReceipt("la-1:0001", "", NOON_MS if until else NEVER)
    assert receipt.is_electronic
    written = book_module.as_document(book)
    assert written["lots"][0]["receipt"] == document["lots"][0]["receipt"]
    assert taken(written).lots == book.lots
    assert not LotReceipt("la-1:0001", "valid", NEVER).is_electronic


def test_what_a_book_does_not_say_is_not_asked() -> None:
    book = taken(book_document(Device()))
    assert book.policy_of("facility-1") == Policy("")
    lot, facility = book.lots["lot-container-1"], book.facilities["facility-1"]
    assert lot[8:] == (-1, 1, "", -1, -NEVER, None, (), -NEVER, NEVER, -1, "", "", "", "", "", ())
    assert facility[5:] == ("", 0, (), None, (), 1_826)
    written = book_module.as_document(book)
    assert set(written["lots"][0]) == {"id", "asset", "facility", "sku", "quantity", "haircut_bp", "limits"}
    assert set(written["facilities"][0]) == {"id", "lender", "borrower", "currency", "outstanding_minor"}
    assert (written["policies"], written["products"], written["appraisals"]) == ([], [], [])


@pytest.mark.parametrize(
    ("said", "found"),
    [({}, (10_000,) * 4), ({"advance_bp": {}}, (0,) * 4), ({"advance_bp": {"bonded": 5}}, (0, 0, 5, 0))],
)
def test_an_absent_class_is_lent_nothing_and_absent_rates_lend_all(
    said: dict[str, Any], found: tuple[int, ...]
) -> None:
    policies = taken({"policies": [{"id": "one", **said}]}).policies
    assert policies["one"].advance_bp == found


@pytest.mark.parametrize(
    ("preset", "advance_bp"), [("inventory_finance", 5_000), ("order_finance", 6_000), ("receivable", 8_500)]
)
def test_a_preset_fills_what_is_not_said(preset: str, advance_bp: int) -> None:
    book = taken({"policies": [{"id": "one", "preset": preset}]})
    assert book.policies["one"] == PRESETS[preset]._replace(id="one")
    assert book.policies["one"].advance_bp == (advance_bp,) * 4
    (written,) = book_module.as_document(book)["policies"]
    assert "preset" not in written
    assert written["advance_bp"]["bonded"] == advance_bp
    own = {
        "advance_bp": {"warehouse": 4_000},
        "evidence": {"fresh_s": 60},
        "covenants": {"cure_s": 5},
        "breach": "loss",
    }
    found = taken({"policies": [{"id": "one", "preset": preset, **own, "price_stale_days": 0}]}).policies["one"]
    base = PRESETS[preset]
    assert found == base._replace(
        id="one",
        advance_bp=(0, 0, 0, 4_000),
        evidence=base.evidence._replace(fresh_s=60),
        covenants=base.covenants._replace(cure_s=5),
        price_stale_days=0,
    )


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_preset_warns_only_beyond_what_it_lends(preset: str) -> None:
    """Drawn to the full advance, loan to value is the advance rate: no level may be reached by that."""
    terms = PRESETS[preset]
    levels = (max(terms.advance_bp), terms.covenants.warning_bp, terms.covenants.call_bp, terms.covenants.default_bp)
    assert sorted(set(levels)) == list(levels)
    assert levels[1] - terms.covenants.clear_bp > levels[0], "what was reached can be left"


def test_terms_are_their_document() -> None:
    document = base()
    document["products"].append(
        {"sku": "milk", "series": "milk", "loss": [OUTSIDE | {"limit": "a", "unknown": "outside"}]}
    )
    document["products"].append({"sku": "fish", "loss": [LIFE, LIFE | {"reference_mc": 0}]})
    document["policies"] += [{"id": "plain"}, {"id": "none", "advance_bp": {}}]
    document["policies"] += [{"id": preset, "preset": preset} for preset in PRESETS]
    book = taken(document)
    written = book_module.as_document(book)
    assert book_module.is_same(taken(written), book)
    assert book_module.as_document(taken(written)) == written
    assert book.products["fish"].loss[1] == LifeCurve(720, 0, 2_000, 0, (Point(9_000, 10_000),))


def test_the_document_says_what_was_said() -> None:
    written = book_module.as_document(taken(base()))
    ordered = EVERYTHING | {
        "fences": ["los-angeles", "shanghai"],
        "countries": ["CN", "US"],
        "papers": ["bill_of_lading", "insurance"],
    }
    ordered["sub_limits"] = [
        EVERYTHING["sub_limits"][0],
        EVERYTHING["sub_limits"][1] | {"classes": ["at_port", "warehouse"]},
    ]
    assert written["policies"] == [ordered]
    given, (lot,) = base()["lots"][0], written["lots"]
    assert {key: lot[key] for key in given if key != "limits"} == {key: given[key] for key in given if key != "limits"}


def test_from_an_agreed_price_to_a_series_in_one_amendment() -> None:
    book = taken(book_document(Device()))
    series = [{"sku": "sofa", "series": "sofas"}]
    with pytest.raises(BookError, match=r"products sofa\.series"):
        book_module.amend(book, {"products": series})
    after = book_module.amend(book, {"products": series, "remove": {"prices": ["sofa"]}})
    assert (after.products["sofa"].series, dict(after.prices)) == ("sofas", {})


def test_another_currency_than_the_facility_lends_in_is_taken() -> None:
    document = book_document(Device())
    document["prices"][0]["currency"] = "EUR"
    assert taken(document).prices["sofa"].currency == "EUR"


def test_a_policy_in_use_is_not_removed() -> None:
    with pytest.raises(BookError, match="there is no 'everything' among policies"):
        book_module.amend(taken(base()), {"remove": {"policies": ["everything"]}})
