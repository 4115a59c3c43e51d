"""Certificates from a journal: what each ineligible rests on, the same files twice, and what is refused."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from builders import AT_SEA, IN_LOS_ANGELES, MINUTE_MS, NOON_MS, Device, ManualClock, fence, position, temperature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.certificate import build
from pledgewatch_cloud.certificate.model import Certificate, Stated, check
from pledgewatch_cloud.certificate.stated_file import StatedError, read_stated
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.moments import moment_ms
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.spine.base_at import base_at
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_wire.reading import Quality

KEY = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
PUBLIC_KEY = KEY.public_key().public_bytes_raw().hex()
QUOTES = {
    "prices": [
        {"series": "steel", "date": "2025-12-31", "price": "10.00", "currency": "USD"},
        {"series": "old-steel", "date": "2025-12-20", "price": "10.00", "currency": "USD"},
    ],
    "rates": [
        {"currency": "USD", "date": "2025-12-30", "rate": "1.25"},
        {"currency": "JPY", "date": "2025-12-30", "rate": "200"},
    ],
}
POLICY = {
    "id": "strict",
    "advance_bp": {"in_transit": 5_000, "at_port": 8_000},
    "evidence": {"by": "reading", "fresh_s": 600, "stale_s": 3_600, "ageing_bp": 1_000, "dark": "stale"},
    "receipt": 1,
    "papers": ["bill_of_lading", "insurance"],
    "countries": ["NL"],
    "breach": "ineligible",
}


def lot(name: str, asset: int = 1, **changes: Any) -> dict[str, Any]:
    """100 units of steel, with all that the policy asks for."""
    made = {
        "id": f"lot-{name}",
        "asset": f"asset-{asset}",
        "facility": "facility-1",
        "sku": "steel",
        "quantity": 100,
        "country": "NL",
        "receipt": {"id": f"R-{name}", "state": "valid"},
        "papers": [{"kind": kind, "id": f"{kind[0].upper()}-{name}"} for kind in ("bill_of_lading", "insurance")],
    }
    return {**made, **changes}


def book(devices: list[Device]) -> dict[str, Any]:
    """Steel in three containers and sofas, each lot with one fault but one."""
    facility = {"id": "facility-1", "lender": "bank", "borrower": "exporter", "currency": "EUR"}
    papers = [{"kind": "insurance", "id": "I-9", "until": "2026-01-01T13:00:00Z"}]
    limits = [{"channel": "temperature_mc", "low": 2_000, "high": 8_000, "grace_s": 600}]
    ring = [[-118.8, 33.2], [-117.8, 33.2], [-117.8, 34.2], [-118.8, 34.2], [-118.8, 33.2]]
    fences = [fence("los-angeles", ring), fence("rotterdam", [[x + 122.0, y + 18.0] for x, y in ring])]
    return {
        "fences": {"type": "FeatureCollection", "features": fences},
        "installations": [
            {
                "device": one.name,
                "operator": "harbour-line",
                "asset": f"asset-{number}",
                "public_key": one.public_key,
            }
            for number, one in enumerate(devices, 1)
        ],
        "policies": [POLICY],
        "products": [{"sku": "steel", "series": "steel"}],
        "prices": [{"sku": "sofa", "unit_price_minor": 20_000, "currency": "EUR"}],
        "facilities": [{**facility, "policy": "strict", "outstanding_minor": 200_000}],
        "lots": [
            lot("abroad", country="CN"),
            lot("ageing", 3),
            lot("breached", limits=limits),
            lot("frozen", receipt={"id": "R-7", "state": "frozen"}),
            lot("good", sku="sofa", quantity=10),
            lot("papers", papers=papers),
            lot("short", counted=90, counted_at="2026-01-01T11:00:00Z"),
            lot("stale", 2),
        ],
    }


class Journal:
    """A journal in the making; its clock is set by hand."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = ManualClock()
        self.spine = Spine(store, self.clock)
        self.devices = [Device(f"container-{number}", seed=number) for number in (1, 2, 3)]

    def at(self, clock: str) -> int:
        """A time of the day."""
        hours, minutes = (int(one) for one in clock.split(":"))
        self.clock.at_ms = NOON_MS + ((hours - 12) * 60 + minutes) * MINUTE_MS
        return self.clock.at_ms

    def measure(self, device: int, clock: str, *cells: Any) -> None:
        """A reading, which comes in at once."""
        one = self.devices[device - 1]
        reading = one.measure(self.at(clock), *cells)
        self.spine.take([one.arrival([reading], received_at_ms=self.clock.at_ms)])

    def tell(self) -> None:
        """Until 14:00: the second container is silent since 12:02 and the third since 13:30; the first is too warm from
        12:10 on, which is borne until 12:20."""
        self.spine.amend(book(self.devices))
        self.at("12:01")
        self.spine.quote(QUOTES)
        self.measure(1, "12:02", *position(AT_SEA), temperature(5_000))
        self.measure(2, "12:02", *position(AT_SEA))
        self.measure(1, "12:10", temperature(9_000))
        self.measure(3, "13:30", *position(AT_SEA))
        self.measure(1, "13:58", *position(IN_LOS_ANGELES), temperature(9_100))
        self.at("14:00")
        self.spine.tick()

    def id_of(self, event_type: str) -> str:
        """The id of the only event of a type."""
        (found,) = [one.id for one in self.store.events(limit=10_000) if one.event.type == event_type]
        return found


def certificate(journal: Journal, as_of: str = "", stated: Stated | None = None) -> Certificate:
    """The certificate by all that is known."""
    as_of_ms = moment_ms("as of", f"2026-01-01T{as_of}:00Z") if as_of else None
    made = build.certificate_of(journal.store, base_at(journal.store, "facility-1", as_of_ms), stated)
    check(made)
    return made


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
    journal.spine.amend(amendment)
    made = certificate(journal)
    assert made.evidence.get(name, ()) == texts
    (line,) = [one for one in made.lines if one.id == name]
    assert line.ineligible or line.is_unvalued


def test_a_forbidden_fence_is_named_with_the_event_of_entering_it(journal: Journal) -> None:
    journal.spine.amend({**FORBIDDEN, "policies": [PLAIN]})
    entered = [one.id for one in journal.store.events(limit=10_000) if ("fence", "no-go") in one.event.facts]
    assert len(entered) == 1
    assert certificate(journal).evidence["lot-good"] == (f"place: in no-go {entered[0]}",)


def test_of_several_stays_in_a_forbidden_fence_the_one_that_lasts_is_named(journal: Journal) -> None:
    journal.spine.amend({**FORBIDDEN, "policies": [PLAIN]})
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
    journal.spine.amend({"policies": [{**PLAIN, "breach": "ineligible"}], "lots": [lot("good", limits=limits)]})
    made, breaches = certificate(journal), dict[str, list[str]]()
    for one in journal.store.events(limit=10_000):
        if one.event.type == "condition_breached":
            breaches.setdefault(str(one.event.fact("lot")), []).append(one.id)
    assert {name: len(ids) for name, ids in breaches.items()} == {"lot-breached": 1, "lot-good": 2}
    for name, ids in breaches.items():
        assert made.evidence[name] == (f"condition: event {' '.join(ids)}",)


def test_who_has_left_the_fences_is_named_with_the_event_of_leaving_them(journal: Journal) -> None:
    journal.spine.amend({"policies": [{**PLAIN, "fences": ["los-angeles"]}]})
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
    journal.spine.amend(
        {
            "policies": [PLAIN],
            "products": [{"sku": "steel", "series": "steel", "loss": loss}],
            "remove": {"lots": WITHOUT_LIMITS},
        }
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
    journal.spine.amend(
        {
            "policies": [PLAIN],
            "products": [{"sku": "steel", "series": "steel", "loss": [curve]}],
            "lots": [one],
            "remove": {"lots": WITHOUT_LIMITS},
        }
    )
    journal.measure(1, "15:00", temperature(6_000))
    assert certificate(journal).evidence["lot-breached"] == (
        "condition_loss: temperatures up to container-1 1 4 of 2026-01-01T15:00:00Z",
    )


def test_evidence_by_fix_is_the_newest_good_one(journal: Journal) -> None:
    """A fair fix comes after it, whose place counts and which is no evidence."""
    journal.spine.amend({"policies": [{**PLAIN, "evidence": {"by": "fix", "fresh_s": 1, "stale_s": 2}}]})
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
    journal.spine.quote(later)
    journal.spine.amend(
        {
            "products": [{"sku": "tin", "series": "tin"}],
            "lots": [lot("good", sku="tin", cost_minor=7, cost_currency="JPY")],
        }
    )
    assert certificate(journal).marks == (
        ("steel", "10.00 USD", "2025-12-31"),
        ("tin", "520.47 USD for 100000", "2026-01-01"),
        ("JPY for 1 EUR", "200", "2025-12-30"),
        ("USD for 1 EUR", "1.25", "2025-12-30"),
    )


def test_what_is_turned_into_no_other_currency_has_no_rates(journal: Journal) -> None:
    facility = {"id": "facility-1", "lender": "bank", "borrower": "exporter", "currency": "USD"}
    journal.spine.amend({"facilities": [facility | {"currency": "EUR"}]})  # nothing is owed any more
    journal.spine.amend({"facilities": [facility], "remove": {"lots": ["lot-good"]}})
    assert certificate(journal).marks == (("steel", "10.00 USD", "2025-12-31"),)


# The command.


class Desk:
    """A journal on disk, a key, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.out, self.key = folder / "data", folder / "out", folder / "signing.pem"
        store = SqliteStore(self.data)
        self.journal = Journal(store)
        self.journal.tell()
        self.key.touch(0o600)
        self.key.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def close(self) -> None:
        self.journal.store.close()

    def arguments(self, *more: object, **instead: object) -> list[str]:
        """What makes a certificate."""
        given = {"data": self.data, "facility": "facility-1", "key": self.key, "out": self.out, **instead}
        options = [str(one) for name, value in given.items() for one in (f"--{name.replace('_', '-')}", value)]
        return ["certificate", "make", *options, *map(str, more)]

    def made(self, *more: object, **instead: object) -> dict[str, bytes]:
        """The files that a run makes."""
        assert main(self.arguments(*more, **instead)) == 0
        return files(Path(str(instead.get("out", self.out))))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    made = Desk(tmp_path)
    yield made
    made.close()


def test_six_files_are_made_and_every_one_is_verified(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    made = desk.made()
    said = json.loads(capsys.readouterr().out)
    name = "certificate-facility-1-20260101T140000Z-8"
    assert list(made) == sorted(
        f"{name}.{form}{end}" for form in ("csv", "pdf", "xlsx") for end in ("", ".signature.json")
    )
    assert said == {
        "facility": "facility-1",
        "as_of": "2026-01-01T14:00:00Z",
        "known_at": "2026-01-01T14:00:00Z",
        "entry": 8,
        "public_key": PUBLIC_KEY,
        "files": [
            str(desk.out / f"{name}.{form}{end}") for form in ("csv", "xlsx", "pdf") for end in ("", ".signature.json")
        ],
    }
    for form in ("csv", "xlsx", "pdf"):
        assert main(["certificate", "verify", str(desk.out / f"{name}.{form}"), "--key-of", PUBLIC_KEY]) == 0
        said_so = capsys.readouterr().out
        assert said_so.startswith(
            f"{name}.{form} is unchanged: the base of facility facility-1 as of 2026-01-01T14:00:00Z"
        )
        assert f"signed with the key {PUBLIC_KEY}." in said_so
    assert main(["certificate", "verify", str(desk.out / f"{name}.pdf")]) == 0
    assert "which only the signature file itself names" in capsys.readouterr().out


def test_what_does_not_verify_is_found_wrong_and_what_is_not_there_cannot_be_done(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.made()
    (path,) = desk.out.glob("*.csv")
    other = "ab" * 32
    assert main(["certificate", "verify", str(path), "--key-of", other]) == 1
    path.write_bytes(path.read_bytes().replace(b"7600.00", b"9600.00"))
    assert main(["certificate", "verify", str(path), "--key-of", PUBLIC_KEY]) == 1
    path.with_name(path.name + ".signature.json").unlink()
    assert main(["certificate", "verify", str(path)]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1, "only what the making said"
    assert err.splitlines() == [
        f"the certificate is signed with the key {PUBLIC_KEY}, not with {other}",
        f"the file is not the one that was signed as {path.name}: its SHA-256 is another",
        f"{path}.signature.json cannot be read: No such file or directory",
    ]


def test_the_same_journal_gives_the_same_files(desk: Desk) -> None:
    """In another folder, in another process, from a snapshot, and after more has happened since."""
    first = desk.made()
    assert desk.made() == first
    assert desk.made(out=desk.folder / "again") == first
    program = [sys.executable, "-m", "pledgewatch_cloud", *desk.arguments(out=desk.folder / "process")]
    surroundings = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
    subprocess.run(program, check=True, capture_output=True, env=surroundings)
    assert files(desk.folder / "process") == first
    spine = desk.journal.spine
    desk.journal.store.keep_snapshot(spine.state.entry, state_module.pieces(spine.state))
    assert desk.made(out=desk.folder / "snapshot") == first
    desk.journal.measure(2, "14:20", *position(IN_LOS_ANGELES))
    moments = ("--known-at", "2026-01-01T14:00:00Z")
    assert desk.made(*moments, out=desk.folder / "later") == first
    other = desk.made("--as-of", "2026-01-01T14:00:00Z", out=desk.folder / "other")
    assert not set(other) & set(first), "what is known since has another entry, and other names"


def lines_of(made: Mapping[str, bytes], section: str) -> list[list[str]]:
    (data,) = [data for name, data in made.items() if name.endswith(".csv")]
    return [line[1:] for line in csv.reader(data.decode().splitlines()) if line[0] == section]


def test_the_files_say_what_the_journal_says(desk: Desk) -> None:
    made = desk.made()
    lots = {line[0]: line for line in lines_of(made, "lots")}
    told = {name: " ".join(line) for name, line in lots.items()}
    assert f"condition: event {desk.journal.id_of('condition_breached')}" in told["lot-breached"]
    assert "evidence: container-2 1 1 of 2026-01-01T12:02:00Z" in told["lot-stale"]
    figures = {line[0]: line[2] for line in lines_of(made, "waterfall")}
    assert (figures["gross"], figures["eligible"], figures["outstanding"]) == ("7600.00", "3440.00", "2000.00")
    assert figures["base"] == "2536.00", "80 % of 2,720.00 at port and 50 % of 720.00 at sea"
    facts = dict(line[:2] for line in lines_of(made, "certificate"))
    assert facts["entry"] == "8"
    assert facts["journal"] == desk.journal.store.journal


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("own.json", '{"gross": "8400.00", "outstanding": "2000.00"}'),
        ("own.csv", "figure,amount\ngross,8400\noutstanding,2000.0\n"),
        ("own.txt", "\ufeffFigure, Amount\r\n\r\nGross , 8400.00\r\noutstanding,2000"),
    ],
)
def test_the_borrowers_own_figures_stand_beside_ours(desk: Desk, name: str, text: str) -> None:
    path = desk.folder / name
    path.write_text(text, encoding="utf-8")
    made = desk.made("--stated", path)
    rows = {line[0]: line for line in lines_of(made, "waterfall")}
    assert rows["gross"][4:6] == ["8400.00", "800.00"]
    assert "would explain it exactly" in rows["gross"][6]
    assert rows["outstanding"][6] == "The borrower's outstanding agrees."
    assert rows["base"][4:7] == ["", "", ""]
    assert dict(line[:2] for line in lines_of(made, "certificate"))["stated_in"] == name


HEADER = "figure,amount\n"


@pytest.mark.parametrize(
    ("name", "text", "errors"),
    [
        ("a.json", "{", ["line 1, column 2: Expecting property name enclosed in double quotes"]),
        ("a.json", "[]", ['an object is needed, as {"gross": "1250000.00"}']),
        ("a.json", "{}", ["no figure is there; state one or more of gross, eligible, base, outstanding"]),
        ("a.json", '{"gross": "1", "gross": "2"}', ["the key 'gross' comes twice in one object"]),
        (
            "a.json",
            '{\n "gross": "1,000.00",\n "eligible": 7.5,\n "base": "1.005",\n "loan": "1",\n "outstanding": true\n}',
            [
                ":2: gross: '1,000.00' is not a decimal number from 0, as \"1250000.00\"",
                ':3: eligible: 7.5 is a binary fraction and not what was stated: write "7.5", as text',
                ":4: base: 1.005 has more decimals than EUR, which has 2",
                ":5: 'loan' is no figure; there are gross, eligible, base, outstanding",
                ':6: outstanding: True is not a decimal number from 0, as "1250000.00"',
            ],
        ),
        ("a.csv", "", [":1: a header figure,amount is needed, and a line for each figure"]),
        ("a.csv", "\ngross,1\n", [":2: a header figure,amount is needed, and a line for each figure"]),
        ("a.csv", HEADER, ["no figure is there; state one or more of gross, eligible, base, outstanding"]),
        (
            "a.csv",
            f"{HEADER}gross,1,000.00\nbase\n",
            [
                ":2: 3 cells where figure and amount are needed; write amounts without separators",
                ":3: 1 cells where figure and amount are needed; write amounts without separators",
            ],
        ),
        (
            "a.csv",
            f"{HEADER}gross,-1\nbase,1e3\neligible,007\n\nloan,5\noutstanding,5\noutstanding,5\n",
            [
                ":2: gross: '-1' is not a decimal number from 0, as \"1250000.00\"",
                ":3: base: '1e3' is not a decimal number from 0, as \"1250000.00\"",
                ":4: eligible: '007' is not a decimal number from 0, as \"1250000.00\"",
                ":6: 'loan' is no figure; there are gross, eligible, base, outstanding",
                ":8: outstanding comes twice",
            ],
        ),
        ("a.csv", f'{HEADER}gross,"1', [":2: no CSV: unexpected end of data"]),
    ],
)
def test_figures_that_cannot_be_taken_are_told_by_their_lines(
    tmp_path: Path, name: str, text: str, errors: list[str]
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StatedError) as refused:
        read_stated(path, "EUR")
    assert list(refused.value.errors) == [f"{path}{'' if one.startswith(':') else ': '}{one}" for one in errors]


def test_figures_are_minor_units_of_the_currency(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text('{"gross": "12.5", "base": 7, "outstanding": "0"}', encoding="utf-8")
    assert read_stated(path, "KWD") == Stated(12_500, None, 7_000, 0, "own.json")
    with pytest.raises(StatedError, match=r"gross: 12.5 has more decimals than JPY, which has 0"):
        read_stated(path, "JPY")
    path.write_bytes(b"\xff")
    with pytest.raises(StatedError, match="not UTF-8 at byte 0"):
        read_stated(path, "USD")
    path.write_bytes(b" " * 65_537)
    with pytest.raises(StatedError, match="more than 65536 bytes"):
        read_stated(path, "USD")


def test_what_cannot_be_certified_is_said_in_one_sentence(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    bad = desk.folder / "bad.csv"
    bad.write_text("figure,amount\ngross,x\nbase,y\n", encoding="utf-8")
    shared = desk.folder / "shared.pem"
    shared.write_bytes(desk.key.read_bytes())
    shared.chmod(0o644)
    for arguments, *sentences in (
        (
            desk.arguments(facility="ghost"),
            "there was no facility 'ghost' at 2026-01-01T14:00:00.000Z; there were: facility-1",
        ),
        (
            desk.arguments("--as-of", "noon"),
            "--as-of: 'noon' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z",
        ),
        (
            desk.arguments("--known-at", ""),
            "--known-at: '' is not a time in ISO 8601 with its offset, as 2026-01-31T12:00:00Z",
        ),
        (
            desk.arguments("--as-of", "2026-01-01T13:00:01Z", "--known-at", "2026-01-01T13:00:00Z"),
            "as of 2026-01-01T13:00:01.000Z lies after known at 2026-01-01T13:00:00.000Z: nobody knew then",
        ),
        (
            desk.arguments("--known-at", "2026-01-01T11:00:00Z"),
            "there was no facility 'facility-1' at 2026-01-01T11:00:00.000Z; there were: none",
        ),
        (
            desk.arguments("--known-at", "9999-01-01T00:00:00Z"),
            "9999-01-01T00:00:00Z is still to come: what is known then nobody can sign",
        ),
        (
            desk.arguments("--as-of", "9999-01-01T00:00:00Z"),
            "9999-01-01T00:00:00Z is still to come: what is known then nobody can sign",
        ),
        (
            desk.arguments(key=desk.folder / "none.pem"),
            f"{desk.folder / 'none.pem'}: cannot be read: No such file or directory",
        ),
        (desk.arguments(key=shared), f"{shared}: other users may read the signing key; run chmod 600 on it"),
        (
            desk.arguments("--stated", bad),
            f"{bad}:2: gross: 'x' is not a decimal number from 0, as \"1250000.00\"",
            f"{bad}:3: base: 'y' is not a decimal number from 0, as \"1250000.00\"",
        ),
        (
            desk.arguments("--stated", desk.folder / "none.csv"),
            f"{desk.folder / 'none.csv'} cannot be used: No such file or directory",
        ),
        (desk.arguments(out=bad), f"{bad} cannot be used: File exists"),
        (
            desk.arguments(data=desk.folder / "typo"),
            f"{desk.folder / 'typo' / 'journal.sqlite'}: there is no journal here",
        ),
    ):
        assert main(arguments) == 2, arguments
        out, err = capsys.readouterr()
        assert (out, err.splitlines()) == ("", sentences)
    assert not desk.out.exists(), "nothing was written"


def test_the_command_tells_its_acts(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["certificate", "--help"], ("make", "verify")),
        (["certificate", "make", "--help"], ("--data", "--facility", "--key", "--out", "--as-of", "--stated")),
        (["certificate", "verify", "--help"], ("--key-of",)),
    ):
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert done.value.code == 0
        told = capsys.readouterr().out
        assert all(word in told for word in words)
    with pytest.raises(SystemExit) as done:
        main(["certificate"])
    assert done.value.code == 2
