"""What a certificate says its ineligibles rest on, and with which marks it was reckoned."""

from typing import Any

import pytest
from builders import AT_SEA, IN_LOS_ANGELES, MINUTE_MS, NOON_MS, fence, position, temperature
from certified import Journal, certificate, lot

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_wire.reading import Quality


@pytest.fixture
def journal() -> Journal:
    made = Journal(MemoryStore("journal-1"))
    made.tell()
    return made


# What ineligibles rest on.


def test_a_certificate_says_what_each_ineligible_rests_on(journal: Journal) -> None:
    made = certificate(journal)
    assert made.base.gross_minor == 7 * 80_000 + 200_000
    assert made.base.ineligible == {
        "receipt": 80_000,
        "stock": 8_000,
        "evidence": 80_000,
        "place": 80_000,
        "condition": 80_000,
        "papers": 80_000,
        "evidence_ageing": 8_000,
    }
    assert made.evidence == {
        "lot-abroad": ("place: country CN",),
        "lot-ageing": ("evidence_ageing: container-3 1 1 of 2026-01-01T13:30:00Z",),
        "lot-breached": (f"condition: event {journal.id_of('condition_breached')}",),
        "lot-frozen": ("receipt: R-7 is frozen",),
        "lot-papers": (
            "papers: bill_of_lading is missing",
            "papers: insurance I-9 ended 2026-01-01T13:00:00Z",
        ),
        "lot-short": ("stock: 90 of 100 counted 2026-01-01T11:00:00Z",),
        "lot-stale": ("evidence: container-2 1 1 of 2026-01-01T12:02:00Z",),
    }
    assert made.marks == (
        ("agreed price of sofa", "200.00 EUR", ""),
        ("steel", "10.00 USD", "2025-12-31"),
        ("USD for 1 EUR", "1.25", "2025-12-30"),
    )


def test_a_certificate_names_its_journal_and_what_it_is_about(journal: Journal) -> None:
    made = certificate(journal, "13:00")
    assert (made.journal, made.entry) == ("journal-1", journal.spine.state.entry)
    assert made.state_digest == state_module.digest(journal.spine.state)
    assert (made.as_of_ms, made.known_at_ms) == (NOON_MS + 60 * MINUTE_MS, NOON_MS + 120 * MINUTE_MS)
    assert (made.facility, made.lender, made.borrower) == ("facility-1", "bank", "exporter")
    assert (made.currency, made.exponent, made.stated) == ("EUR", 2, None)


def test_what_ineligibles_rest_on_is_of_the_moment_that_the_base_is_of(journal: Journal) -> None:
    """At 12:15 nothing is breached yet, the insurance is good, and of the third container nothing was heard. What was
    measured at 12:10 stands only for the lot whose limit is about it."""
    made = certificate(journal, "12:15")
    assert {one: texts for one, texts in made.evidence.items() if one not in ("lot-abroad", "lot-frozen")} == {
        "lot-ageing": ("evidence: no good fix and no good value of asset-3",),
        "lot-good": ("evidence_ageing: container-1 1 1 of 2026-01-01T12:02:00Z",),
        "lot-papers": ("papers: bill_of_lading is missing",),
        "lot-short": (
            "stock: 90 of 100 counted 2026-01-01T11:00:00Z",
            "evidence_ageing: container-1 1 1 of 2026-01-01T12:02:00Z",
        ),
        "lot-stale": ("evidence_ageing: container-2 1 1 of 2026-01-01T12:02:00Z",),
    }
    made = certificate(journal, "12:21")
    assert made.evidence["lot-breached"] == (f"condition: event {journal.id_of('condition_breached')}",)


FORBIDDEN = {
    "fences": {
        "type": "FeatureCollection",
        "features": [
            fence(
                "no-go", [[-119.0, 33.0], [-117.0, 33.0], [-117.0, 35.0], [-119.0, 35.0], [-119.0, 33.0]], "forbidden"
            )
        ],
    }
}
PLAIN = {"id": "strict"}
WITHOUT_LIMITS = [f"lot-{name}" for name in ("abroad", "ageing", "frozen", "papers", "short", "stale")]
CASES: list[tuple[str, dict[str, Any], str, tuple[str, ...]]] = [
    (
        "no receipt",
        {"lots": [{key: value for key, value in lot("good").items() if key != "receipt"}]},
        "lot-good",
        ("receipt: none",),
    ),
    (
        "a receipt that has ended",
        {"lots": [lot("good", receipt={"id": "R-1", "state": "valid", "until": "2026-01-01T14:00:00Z"})]},
        "lot-good",
        ("receipt: R-1 ended 2026-01-01T14:00:00Z",),
    ),
    (
        "not counted",
        {"policies": [{**PLAIN, "count": 1}]},
        "lot-good",
        ("stock: no count",),
    ),
    (
        "a price that is too old",
        {"policies": [{**PLAIN, "price_stale_days": 1}], "products": [{"sku": "steel", "series": "old-steel"}]},
        "lot-stale",
        ("price_stale: quote of old-steel of 2025-12-20",),
    ),
    (
        "a rate that is too old",
        {"policies": [{**PLAIN, "rate_stale_days": 1}]},
        "lot-stale",
        ("rate_stale: USD for 1 EUR of 2025-12-30",),
    ),
    (
        "no appraisal",
        {"policies": [{**PLAIN, "appraisal": 1}]},
        "lot-stale",
        ("appraisal: none of steel",),
    ),
    (
        "an appraisal that has ended",
        {
            "policies": [{**PLAIN, "appraisal": 1}],
            "appraisals": [{"sku": "steel", "nolv_bp": 9_000, "until": "2026-01-01T13:00:00Z"}],
        },
        "lot-stale",
        ("appraisal: of steel, ended 2026-01-01T13:00:00Z",),
    ),
    (
        "evidence by fix, and the newest fix is good",
        {"policies": [{**PLAIN, "evidence": {"by": "fix", "fresh_s": 1, "stale_s": 2}}]},
        "lot-good",
        ("evidence: container-1 1 3 of 2026-01-01T13:58:00Z",),
    ),
    (
        "in none of the fences, nor ever",
        {"policies": [{**PLAIN, "fences": ["rotterdam"]}]},
        "lot-good",
        ("place: in none of rotterdam",),
    ),
    (
        "where nothing is lent",
        {"policies": [{**PLAIN, "advance_bp": {"at_port": 1}}], "lots": [lot("stale", 2, country="CN")]},
        "lot-stale",
        ("place: nothing is lent on in_transit",),
    ),
    (
        "country not known",
        {"lots": [{key: value for key, value in lot("good").items() if key != "country"}]},
        "lot-good",
        ("place: country not known",),
    ),
    (
        "too old and too near its end",
        {
            "policies": [{**PLAIN, "age_max_days": 30}],
            "lots": [lot("good", received_at="2025-01-01T00:00:00Z", expires_at="2026-02-01T00:00:00Z")],
        },
        "lot-good",
        ("age: received 2025-01-01T00:00:00Z", "age: expires 2026-02-01T00:00:00Z"),
    ),
    (
        "a haircut for age",
        {
            "policies": [{**PLAIN, "age_bands": [{"from_days": 30, "bp": 100}]}],
            "lots": [lot("good", received_at="2025-01-01T00:00:00Z")],
        },
        "lot-good",
        ("age_haircut: received 2025-01-01T00:00:00Z",),
    ),
    (
        "slow sales",
        {
            "policies": [
                {**PLAIN, "on_hand_max_days": 30, "on_hand_bands": [{"from_days": 10, "bp": 500}]},
            ],
            "lots": [lot("good", sold_milli_per_day=1_500)],
        },
        "lot-good",
        ("slow: 1.500 sold a day", "sell_through: 1.500 sold a day"),
    ),
    (
        "too much on one vessel",
        {"policies": [{**PLAIN, "cap_bp": {"vessel": 100}}], "lots": [lot("good", vessel="ever-given")]},
        "lot-good",
        ("concentration_vessel: ever-given",),
    ),
    (
        "a haircut that the terms bring by themselves",
        {"policies": [{**PLAIN, "fx": {"bp": 100}, "price": {"bp": 100}}], "lots": [lot("good", haircut_bp=100)]},
        "lot-good",
        (
            "fx_haircut: priced in USD, lent in EUR",
            "volatility: swings of steel, by the policy",
            "lot_haircut: 100 basis points, by the book",
        ),
    ),
    (
        "no price",
        {
            "policies": [PLAIN],
            "products": [{"sku": "steel", "series": "steel"}, {"sku": "tin", "series": "tin"}],
            "lots": [lot("good", sku="tin")],
        },
        "lot-good",
        ("unvalued: there is no price of tin on or before 2026-01-01",),
    ),
    (
        "no rate",
        {"policies": [PLAIN], "lots": [lot("good", cost_minor=1, cost_currency="GBP")]},
        "lot-good",
        ("unvalued: GBP: there is no exchange rate on or before 2026-01-01",),
    ),
    (
        "beyond all amounts",
        {
            "policies": [PLAIN],
            "prices": [{"sku": "sofa", "unit_price_minor": 10**15, "currency": "EUR"}],
            "lots": [lot("good", sku="sofa")],
        },
        "lot-good",
        ("unvalued: its value is more than an amount may be",),
    ),
]


@pytest.mark.parametrize(("amendment", "name", "texts"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_kind_of_ineligible_rests_on_something(
    journal: Journal, amendment: dict[str, Any], name: str, texts: tuple[str, ...]
) -> None:
    journal.spine.commit(drafts.amend, amendment)
    made = certificate(journal)
    assert made.evidence.get(name, ()) == texts
    (line,) = [one for one in made.lines if one.id == name]
    assert line.ineligible or line.is_unvalued


def test_a_forbidden_fence_is_named_with_the_event_of_entering_it(journal: Journal) -> None:
    journal.spine.commit(drafts.amend, {**FORBIDDEN, "policies": [PLAIN]})
    entered = [one.id for one in journal.store.events(limit=10_000) if ("fence", "no-go") in one.event.facts]
    assert len(entered) == 1
    assert certificate(journal).evidence["lot-good"] == (f"place: in no-go {entered[0]}",)


def test_of_several_stays_in_a_forbidden_fence_the_one_that_lasts_is_named(journal: Journal) -> None:
    journal.spine.commit(drafts.amend, {**FORBIDDEN, "policies": [PLAIN]})
    for clock, place in (("14:10", AT_SEA), ("18:00", IN_LOS_ANGELES)):
        journal.measure(1, clock, *position(place))
    told = [
        (one.event.type, one.id) for one in journal.store.events(limit=10_000) if ("fence", "no-go") in one.event.facts
    ]
    assert [kind for kind, _ in told] == ["fence_entered", "fence_left", "fence_entered"]
    assert certificate(journal).evidence["lot-good"] == (f"place: in no-go {told[2][1]}",)
    assert certificate(journal, "14:05").evidence["lot-good"] == (f"place: in no-go {told[0][1]}",)


def test_every_lot_has_its_own_breach(journal: Journal) -> None:
    limits = [{"channel": "temperature_mc", "low": 6_000, "high": 9_050}]
    journal.spine.commit(
        drafts.amend, {"policies": [{**PLAIN, "breach": "ineligible"}], "lots": [lot("good", limits=limits)]}
    )
    made, breaches = certificate(journal), dict[str, list[str]]()
    for one in journal.store.events(limit=10_000):
        if one.event.type == "condition_breached":
            breaches.setdefault(str(one.event.fact("lot")), []).append(one.id)
    assert {name: len(ids) for name, ids in breaches.items()} == {"lot-breached": 1, "lot-good": 2}
    for name, ids in breaches.items():
        assert made.evidence[name] == (f"condition: event {' '.join(ids)}",)


def test_who_has_left_the_fences_is_named_with_the_event_of_leaving_them(journal: Journal) -> None:
    journal.spine.commit(drafts.amend, {"policies": [{**PLAIN, "fences": ["los-angeles"]}]})
    assert "lot-good" not in certificate(journal).evidence
    journal.measure(1, "14:10", *position(AT_SEA))
    left = journal.id_of("fence_left")
    assert certificate(journal).evidence["lot-good"] == (f"place: in none of los-angeles {left}",)
    assert "lot-good" not in certificate(journal, "14:05").evidence
    then = certificate(journal, "13:00").evidence["lot-good"]
    assert not any("place" in one for one in then), "the terms of then asked for no fence"


def test_a_loss_rests_on_all_that_speaks_against_the_condition(journal: Journal) -> None:
    """The breach, and what is unknown from a day later on."""
    loss = [{"kind": "outside", "points": [{"minutes": 600, "bp": 10_000}]}]
    journal.spine.commit(
        drafts.amend,
        {
            "policies": [PLAIN],
            "products": [{"sku": "steel", "series": "steel", "loss": loss}],
            "remove": {"lots": WITHOUT_LIMITS},
        },
    )
    breached = journal.id_of("condition_breached")
    assert certificate(journal).evidence["lot-breached"] == (f"condition_loss: event {breached}",)
    journal.at("39:00")
    journal.spine.tick(journal.clock.at_ms)
    unknown = journal.id_of("condition_unknown")
    assert certificate(journal).evidence["lot-breached"] == (f"condition_loss: event {breached} {unknown}",)


def test_a_loss_of_shelf_life_rests_on_temperatures(journal: Journal) -> None:
    curve = {
        "kind": "life",
        "life_h": 10,
        "reference_mc": 5_000,
        "q10_milli": 2_000,
        "points": [{"consumed_bp": 10_000, "bp": 10_000}],
    }
    mkt = {"channel": "temperature_mc", "high_mc": 30_000, "worst_low_mc": 0, "worst_high_mc": 40_000}
    one = lot("breached", mkt={**mkt, "max_gap_s": 86_400})
    journal.spine.commit(
        drafts.amend,
        {
            "policies": [PLAIN],
            "products": [{"sku": "steel", "series": "steel", "loss": [curve]}],
            "lots": [one],
            "remove": {"lots": WITHOUT_LIMITS},
        },
    )
    journal.measure(1, "15:00", temperature(6_000))
    assert certificate(journal).evidence["lot-breached"] == (
        "condition_loss: temperatures up to container-1 1 4 of 2026-01-01T15:00:00Z",
    )


def test_evidence_by_fix_is_the_newest_good_one(journal: Journal) -> None:
    """A fair fix comes after it, whose place counts and which is no evidence."""
    journal.spine.commit(drafts.amend, {"policies": [{**PLAIN, "evidence": {"by": "fix", "fresh_s": 1, "stale_s": 2}}]})
    journal.measure(1, "14:30", *position(IN_LOS_ANGELES, Quality.FEW_SATELLITES))
    assert certificate(journal).evidence["lot-good"] == ("evidence: good fix of 2026-01-01T13:58:00Z",)
    terms_of_then = ("evidence: no good fix and no good value of asset-1",)
    assert certificate(journal, "12:01").evidence["lot-good"] == terms_of_then


def test_marks_are_those_of_the_day_and_of_what_was_used(journal: Journal) -> None:
    """A price for a thousand, a cost in yen, a later quote, and a currency that nothing is turned out of."""
    later = {
        "prices": [
            {"series": "steel", "date": "2026-01-02", "price": "9.00", "currency": "USD"},
            {"series": "tin", "date": "2026-01-01", "price": "5.2047", "currency": "USD", "per": 1_000},
        ],
        "rates": [{"currency": "GBP", "date": "2025-12-30", "rate": "0.85"}],
    }
    journal.spine.commit(drafts.quote, later)
    journal.spine.commit(
        drafts.amend,
        {
            "products": [{"sku": "tin", "series": "tin"}],
            "lots": [lot("good", sku="tin", cost_minor=7, cost_currency="JPY")],
        },
    )
    assert certificate(journal).marks == (
        ("steel", "10.00 USD", "2025-12-31"),
        ("tin", "520.47 USD for 100000", "2026-01-01"),
        ("JPY for 1 EUR", "200", "2025-12-30"),
        ("USD for 1 EUR", "1.25", "2025-12-30"),
    )


def test_what_is_turned_into_no_other_currency_has_no_rates(journal: Journal) -> None:
    facility = {"id": "facility-1", "lender": "bank", "borrower": "exporter", "currency": "USD"}
    journal.spine.commit(drafts.amend, {"facilities": [facility | {"currency": "EUR"}]})  # nothing is owed any more
    journal.spine.commit(drafts.amend, {"facilities": [facility], "remove": {"lots": ["lot-good"]}})
    assert certificate(journal).marks == (("steel", "10.00 USD", "2025-12-31"),)
