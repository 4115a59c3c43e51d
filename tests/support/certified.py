"""A journal of goods of every kind, and what is certified of it."""

from typing import Any

from builders import AT_SEA, IN_LOS_ANGELES, MINUTE_MS, NOON_MS, Device, ManualClock, fence, position, temperature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_cloud.certificate import build
from pledgewatch_cloud.certificate.model import Certificate, Stated, check
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.moments import moment_ms
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.spine.base_at import base_at
from pledgewatch_cloud.spine.spine import Spine

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
        self.spine.commit(drafts.amend, book(self.devices))
        self.at("12:01")
        self.spine.commit(drafts.quote, QUOTES)
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
