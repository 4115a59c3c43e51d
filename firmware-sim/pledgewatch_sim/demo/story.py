"""The demo's story: 24 containers on real sea lanes, what is lent on their goods, and what happens to them.

The first part is told in simulated time: twelve days, so compressed that they fit into most of the seconds given. When
they are over it is now, time goes on like everybody's, and the warehouses' part begins (`sites.py`): what a gateway
stamps is stamped by its own clock.

Shares below are of the twelve days. Patience is generous where nothing should happen: at a day a second, a busy machine
is soon half a day late.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pledgewatch_sim.receiver import Position
from pledgewatch_sim.voyage import PORTS, Voyage

STORY_DAYS = 12
DAY_S = 86_400
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
OPERATOR = "harbour-line"
BANK, OTHER_BANK = "bank-one", "bank-two"
FENCE_HALF_DEG = 0.35
COLD_MC, WARM_MC = 4_000, 14_000
LOW_MC, HIGH_MC = -5_000, 8_000  # what the goods bear
BEFORE_DEPARTURE = 0.08
ARRIVAL = 0.74  # of who is not said to arrive at another time
SPOOFED_FIXES = 2  # three in a row that agree would be where the container is
RELEASE_SHARE = 5  # a fifth of the goods' worth is paid when they come in
FASTEST_MMPS, PEARL_MMPS = 45_000, 25_000
"""How fast a container may have been: pearl no faster than a ship, so that its jump is none also on a slow machine."""
LOSS_BP = 2_500
"""What half a day or more outside of its limit costs goods."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container: its goods, its way, and when something is wrong with it. `is_agent`: a real edge agent reads a
    receiver and a probe; the others are devices as bytes (`trackers.py`)."""

    name: str
    line: str
    sku: str
    quantity: int
    unit_price_minor: int
    origin: str
    destination: str
    is_agent: bool = False
    arrives: float = ARRIVAL
    warm: tuple[float, float] | None = None
    dark: tuple[float, float] | None = None  # the leg of its voyage in which nothing need be heard
    powerless: tuple[float, float] | None = None
    spoofed: float | None = None
    unlinked: tuple[float, float] | None = None
    silent_after: float = 0.0  # 0: not judged

    @property
    def device(self) -> str:
        """Its device's name."""
        return f"container-{self.name}"

    @property
    def lot(self) -> str:
        """Its goods."""
        return f"lot-{self.name}"

    @property
    def worth_minor(self) -> int:
        """What its goods are worth by the price at the beginning."""
        return self.quantity * self.unit_price_minor


CORAL = Container(
    "coral", "cold-line", "vaccine-box", 400, 96_013, "SGSIN", "LKCMB", is_agent=True, arrives=0.85, warm=(0.3, 0.5)
)
JADE = Container("jade", "pacific-line", "bicycle", 1_000, 20_007, "CNSHA", "USLAX", is_agent=True)
ONYX = Container(
    "onyx",
    "atlantic-line",
    "pump",
    300,
    81_000,
    "NLRTM",
    "USNYC",
    is_agent=True,
    arrives=0.9,
    dark=(0.12, 0.78),
    powerless=(0.2, 0.55),
    silent_after=0.33,
)
PEARL = Container("pearl", "asia-europe-line", "phone", 900, 31_000, "HKHKG", "DEHAM", arrives=1.5, spoofed=0.52)
HAZEL = Container(
    "hazel", "coffee-line", "coffee-bag", 500, 18_000, "VNSGN", "USLAX", unlinked=(0.33, 0.64), silent_after=0.12
)
BIRCH = Container("birch", "coffee-line", "coffee-bag", 400, 18_000, "VNSGN", "DEHAM", arrives=1.3)
_COFFEE_WAYS = (("VNSGN", "NLRTM"), ("VNSGN", "USLAX"), ("VNSGN", "USNYC"), ("LKCMB", "GBFXT"))
_LAMP_WAYS = (
    *(("CNSHA", "USLAX"), ("CNNGB", "NLRTM"), ("CNSZX", "USNYC"), ("HKHKG", "LKCMB"), ("CNSHA", "GBFXT")),
    *(("SGSIN", "DEHAM"), ("CNNGB", "USLAX"), ("CNSZX", "SGSIN"), ("NLRTM", "USNYC"), ("DEHAM", "SGSIN")),
    *(("USLAX", "CNSHA"), ("USNYC", "GBFXT"), ("LKCMB", "NLRTM"), ("GBFXT", "HKHKG")),
)
_TREES = (
    *("alder", "ash", "beech", "cedar", "elm", "fir", "larch", "lime", "maple"),
    *("oak", "pine", "rowan", "yew", "teak", "walnut", "willow", "plane", "sorb"),
)
CONTAINERS = (
    *(CORAL, JADE, ONYX, PEARL, HAZEL, BIRCH),
    *(
        Container(name, "coffee-line", "coffee-bag", 300 + 20 * place, 18_000, *way, arrives=0.8 + 0.1 * place)
        for place, (name, way) in enumerate(zip(_TREES[:4], _COFFEE_WAYS, strict=True))
    ),
    *(
        Container(name, "lamp-line", "lamp", 800 + 40 * place, 4_500, *way, arrives=0.8 + 0.09 * place)
        for place, (name, way) in enumerate(zip(_TREES[4:], _LAMP_WAYS, strict=True))
    ),
)
AGENTS = tuple(one for one in CONTAINERS if one.is_agent)
TRACKERS = tuple(one for one in CONTAINERS if not one.is_agent)
SHOCKED_SKU, SHOCKED_LINE = HAZEL.sku, HAZEL.line
"""Whose price the user may shock: no other part of the story is about it."""
OUTSTANDING_BP = {
    "cold-line": 4_500,
    "pacific-line": 2_000,
    "atlantic-line": 2_500,
    "asia-europe-line": 2_500,
    "coffee-line": 4_200,
    "lamp-line": 3_500,
}
"""What is lent on each line at the beginning, in basis points of what its goods are worth. Half may be."""


@dataclass(frozen=True, slots=True)
class Script:
    """The story laid out in simulated time, from `start_ms` for `length_ms`."""

    start_ms: int
    length_ms: int

    def at(self, share: float) -> int:
        """The moment at a share of the story."""
        return self.start_ms + round(share * self.length_ms)

    def voyage(self, one: Container) -> Voyage:
        """The container's voyage, at whatever speed brings it there in its time: a story is short, an ocean long."""
        origin, destination = PORTS[one.origin], PORTS[one.destination]
        depart_ms = self.at(BEFORE_DEPARTURE)
        sailing_s = (self.at(one.arrives) - depart_ms) / 1_000
        at_one_knot = Voyage(origin, destination, depart_ms, 1.0)
        return Voyage(origin, destination, depart_ms, (at_one_knot.arrive_ms - depart_ms) / 1_000 / sailing_s)

    def place(self, one: Container) -> Callable[[int], Position]:
        """Where the container's receiver believes it is: as often as SPOOFED_FIXES at its destination, once it is
        spoofed, for somebody nearby sends what satellites would."""
        voyage, port = self.voyage(one), PORTS[one.destination]
        lies_left = SPOOFED_FIXES

        def place(at_ms: int) -> Position:
            nonlocal lies_left
            if one.spoofed is not None and at_ms >= self.at(one.spoofed) and lies_left:
                lies_left -= 1
                return Position(port.latitude, port.longitude, 0.0, 0.0)
            return voyage.position(at_ms)

        return place

    def temperature(self, one: Container) -> Callable[[int], int]:
        """The container's temperature over time, in thousandths of a degree."""
        warm_from, warm_to = (self.at(share) for share in one.warm) if one.warm else (0, 0)

        def measured(at_ms: int) -> int:
            ripple_mc = (at_ms // HOUR_MS * 7_919) % 400 - 200
            return (WARM_MC if warm_from <= at_ms < warm_to else COLD_MC) + ripple_mc

        return measured

    def seconds(self, share: float) -> int:
        """How long a share of the story is, in its own time."""
        return round(share * self.length_ms / 1_000)


def devices_book(script: Script, identities: Mapping[str, str]) -> dict[str, Any]:
    """What the book knows before anybody has spoken: devices by their public keys, fences, voyages."""
    locodes = sorted({one for container in CONTAINERS for one in (container.origin, container.destination)})
    return {
        "fences": {"type": "FeatureCollection", "features": [_fence(locode) for locode in locodes]},
        "assets": [
            {"id": one.name, "kind": "container", "max_speed_mmps": PEARL_MMPS if one is PEARL else FASTEST_MMPS}
            for one in CONTAINERS
        ],
        "installations": [
            {
                "device": one.device,
                "operator": OPERATOR,
                "asset": one.name,
                "public_key": identities[one.device],
                "silent_after_s": script.seconds(one.silent_after),
                "ahead_s": 3 * DAY_S,  # at this speed a moment's difference between clocks is hours
            }
            for one in CONTAINERS
        ],
        "voyages": [_dark_voyage(script, one) for one in CONTAINERS if one.dark],
    }


def trade_book() -> dict[str, Any]:
    """What is lent on which goods. It comes once all have spoken: of whom nothing is known, nothing may be lent on."""
    skus = {one.sku: one.unit_price_minor for one in CONTAINERS}
    lines = dict.fromkeys(one.line for one in CONTAINERS)
    loss = [{"kind": "outside", "points": [{"minutes": 60, "bp": 0}, {"minutes": 720, "bp": LOSS_BP}]}]
    evidence = {"by": "reading", "fresh_s": 30 * DAY_S, "stale_s": 60 * DAY_S, "ageing_bp": 1_000, "dark": "fresh"}
    return {
        "parties": [
            {"id": BANK, "name": "Bank One"},
            *({"id": f"exporter-{line}", "name": f"Exporter of the {line.replace('-', ' ')}"} for line in lines),
        ],
        "policies": [{"id": "at-sea", "preset": "inventory_finance", "evidence": evidence}],
        "products": [{"sku": CORAL.sku, "loss": loss}],
        "prices": [price(sku, minor) for sku, minor in skus.items()],
        "facilities": [
            {
                "id": line,
                "lender": BANK,
                "borrower": f"exporter-{line}",
                "currency": "USD",
                "policy": "at-sea",
                "outstanding_minor": OUTSTANDING_BP[line]
                * sum(one.worth_minor for one in CONTAINERS if one.line == line)
                // 10_000,
            }
            for line in lines
        ],
        "lots": [_lot(one) for one in CONTAINERS],
        "milestones": [_milestone(one) for one in (JADE, PEARL)],
    }


def price(sku: str, minor: int) -> dict[str, Any]:
    """An agreed price, as the book has it."""
    return {"sku": sku, "unit_price_minor": minor, "currency": "USD"}


def milestone_of(one: Container) -> str:
    """The milestone that pays when a container's goods come in."""
    return f"gated-in-{one.name}"


def _milestone(one: Container) -> dict[str, Any]:
    return {
        "id": milestone_of(one),
        "facility": one.line,
        "lot": one.lot,
        "payee": f"exporter-{one.line}",
        "when": {"upon": {"fact": "gated_in", "fence": one.destination}, "that": {"fact": "condition_kept"}},
        "release": {"amount_minor": one.worth_minor // RELEASE_SHARE},
    }


def _dark_voyage(script: Script, one: Container) -> dict[str, Any]:
    assert one.dark is not None
    since, until = (iso(script.at(share)) for share in one.dark)
    leg = {"id": f"ocean-{one.name}", "kind": "sea", "from": since, "until": until, "signal": "dark"}
    return {"id": f"voyage-{one.name}", "asset": one.name, "legs": [leg]}


def _lot(one: Container) -> dict[str, Any]:
    limit = {
        "channel": "temperature_mc",
        "low": LOW_MC,
        "high": HIGH_MC,
        "grace_s": 3_600,
        "max_gap_s": STORY_DAYS * DAY_S,
    }
    return {
        "id": one.lot,
        "asset": one.name,
        "facility": one.line,
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


def iso(at_ms: int) -> str:
    """A moment as documents write it."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat().replace("+00:00", "Z")
