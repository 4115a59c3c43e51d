"""The demo's story: three containers at sea, what each is worth to the bank, and what will happen to them.

It is told in simulated time: a few days before three arrivals, so compressed that they fit into the seconds given. The
amber container keeps cold; the coral one loses its cooling on the way; the jade one's device
loses its power for a while. Two of them are paid for on arrival, and the buyer of the amber one's goods pays a part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pledgewatch_sim.voyage import PORTS, Voyage

OPERATOR = "harbour-line"
FENCE_HALF_DEG = 0.35
HOUR_S = 3_600
HOUR_MS = 3_600_000
COLD_MC = 4_000
WARM_MC = 14_000
BEFORE_DEPARTURE = 0.12  # shares of the story
UNDER_WAY = 0.62
SILENT_AFTER = 0.12


@dataclass(frozen=True, slots=True)
class Character:
    """One container: its device, its goods, its way, and when (shares of the story) something is wrong with it."""

    name: str
    sku: str
    goods: str
    quantity: int
    unit_price_minor: int
    origin: str
    destination: str
    warm: tuple[float, float] | None = None
    unplugged: tuple[float, float] | None = None
    powerless: tuple[float, float] | None = None
    instalment: float | None = None  # when its buyer pays a part of the price

    @property
    def device(self) -> str:
        """Its device's name."""
        return f"container-{self.name}"

    @property
    def instalment_minor(self) -> int:
        """What its buyer pays: a tenth of the price."""
        return self.quantity * self.unit_price_minor // 10


CHARACTERS = (
    Character(
        "amber",
        "salmon-20kg",
        "frozen salmon",
        1_800,
        14_500,
        "NLRTM",
        "USNYC",
        unplugged=(0.55, 0.6),
        instalment=0.88,
    ),
    Character("coral", "vaccine-box", "vaccines", 400, 96_000, "SGSIN", "LKCMB", warm=(0.35, 0.55)),
    Character("jade", "sofa-3seat", "sofas", 1_000, 20_000, "CNSHA", "USLAX", powerless=(0.3, 0.5)),
)


@dataclass(frozen=True, slots=True)
class Script:
    """The story laid out in simulated time, from `start_ms` for `length_ms`."""

    start_ms: int
    length_ms: int

    def at(self, share: float) -> int:
        """The moment at a share of the story."""
        return self.start_ms + round(share * self.length_ms)

    def voyage(self, one: Character) -> Voyage:
        """The container's voyage, at whatever speed brings it there in its time: a story is short, an ocean long."""
        origin, destination = PORTS[one.origin], PORTS[one.destination]
        sailing_s = self.length_ms * UNDER_WAY / 1_000
        depart_ms = self.at(BEFORE_DEPARTURE)
        at_one_knot = Voyage(origin, destination, depart_ms, 1.0)
        speed_knots = (at_one_knot.arrive_ms - depart_ms) / 1_000 / sailing_s
        return Voyage(origin, destination, depart_ms, speed_knots)

    def temperature(self, one: Character) -> Callable[[int], int]:
        """The container's temperature over time, in thousandths of a degree."""
        warm_from, warm_to = (self.at(share) for share in one.warm) if one.warm else (0, 0)

        def measured(at_ms: int) -> int:
            ripple_mc = (at_ms // HOUR_MS * 7_919) % 400 - 200
            return (WARM_MC if warm_from <= at_ms < warm_to else COLD_MC) + ripple_mc

        return measured


def book(identities: dict[str, str], silent_after_s: int) -> dict[str, Any]:
    """The book of the story: `identities` is each device's public key."""
    locodes = sorted({one for character in CHARACTERS for one in (character.origin, character.destination)})
    return {
        "fences": {"type": "FeatureCollection", "features": [_fence(locode) for locode in locodes]},
        "installations": [
            {
                "device": one.device,
                "operator": OPERATOR,
                "asset": one.name,
                "public_key": identities[one.device],
                "silent_after_s": silent_after_s,
                "ahead_s": 86_400,  # at this speed a moment's difference between clocks is hours
            }
            for one in CHARACTERS
        ],
        "facilities": [
            {
                "id": f"facility-{one.name}",
                "lender": "sandbox-bank",
                "borrower": f"exporter-{one.name}",
                "currency": "USD",
                "policy": "cold-chain",
                "outstanding_minor": one.quantity * one.unit_price_minor // 4,
            }
            for one in CHARACTERS
        ],
        # Half of what the goods are worth is lent, less once they were not heard of for long, nothing for too long.
        "policies": [
            {
                "id": "cold-chain",
                "preset": "inventory_finance",
                "evidence": {"fresh_s": 12 * HOUR_S, "stale_s": 36 * HOUR_S, "ageing_bp": 1_000, "dark": "ageing"},
            }
        ],
        # Half a day outside its limit costs goods a quarter of their worth.
        "products": [
            {
                "sku": one.sku,
                "loss": [{"kind": "outside", "points": [{"minutes": 720, "bp": 2_500}]}],
            }
            for one in CHARACTERS
        ],
        "prices": [{"sku": one.sku, "unit_price_minor": one.unit_price_minor, "currency": "USD"} for one in CHARACTERS],
        "lots": [_lot(one) for one in CHARACTERS],
        "milestones": [
            {
                "id": f"gated-in-{one.name}",
                "facility": f"facility-{one.name}",
                "lot": f"lot-{one.name}",
                "payee": f"exporter-{one.name}",
                "when": {"upon": {"fact": "gated_in", "fence": one.destination}, "that": {"fact": "condition_kept"}},
                "release": {"amount_minor": one.quantity * one.unit_price_minor // 5},
            }
            for one in CHARACTERS
        ],
        "parties": [
            {"id": "sandbox-bank", "name": "Sandbox Bank"},
            *({"id": f"exporter-{one.name}", "name": f"Exporter of {one.name}"} for one in CHARACTERS),
        ],
    }


def _lot(one: Character) -> dict[str, Any]:
    limit = {
        "channel": "temperature_mc",
        "low": -5_000,
        "high": 8_000,
        "grace_s": HOUR_MS // 1_000,
        "max_gap_s": 5 * 86_400,
    }
    return {
        "id": f"lot-{one.name}",
        "asset": one.name,
        "facility": f"facility-{one.name}",
        "sku": one.sku,
        "quantity": one.quantity,
        "limits": [limit],
    }


def _fence(locode: str) -> dict[str, Any]:
    port = PORTS[locode]
    west, east = port.longitude - FENCE_HALF_DEG, port.longitude + FENCE_HALF_DEG
    south, north = port.latitude - FENCE_HALF_DEG, port.latitude + FENCE_HALF_DEG
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "id": locode,
        "properties": {"name": port.name, "kind": "port"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
