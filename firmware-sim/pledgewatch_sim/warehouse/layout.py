"""The building: zones, bins, doors, and which device measures what in them. It is the same in every story.

Racks and the cold room hold loose pieces, one SKU to a bin, which are weighed. The hall holds *loads*: cartons under
one seal, each carton with a tag; a load comes, stands and goes as a whole. The gate holds nothing: what leaves passes
the reader there, which is set to seals, as the one in the hall is set to cartons.
"""

from typing import Final, NamedTuple

WAREHOUSE: Final = "la-3"
SHOPKEEPER: Final = "harbour-retail"
DEPOSITOR: Final = "sofa-works"
SOFA: Final = "SOFA-3"
SOFA_WEIGHT_G: Final = 38_000
CARTONS_IN_A_LOAD: Final = 6
WALL_TAG: Final = "WALL-HALL"
"""The tag that the hall's reader always sees."""


class Zone(NamedTuple):
    """A part of the building: its name as people call it, the asset and the device that stand for it, and its bins."""

    name: str
    asset: str
    device: str
    bins: tuple[str, ...] = ()


RACKS: Final = Zone("Racks", "la-3-racks", "site-la-3-racks", tuple(f"R-{number:02d}" for number in range(1, 11)))
COLD: Final = Zone("Cold room", "la-3-cold", "site-la-3-cold", ("C-01", "C-02"))
HALL: Final = Zone("Sofa hall", "la-3-hall", "site-la-3-hall", ("H-01", "H-02", "H-03", "H-04"))
GATE: Final = Zone("Gate", "la-3-gate", "site-la-3-gate")
ZONES: Final = (RACKS, COLD, HALL, GATE)
LOOSE_BINS: Final = (*RACKS.bins, *COLD.bins)
"""Where loose pieces lie: as many SKUs as bins."""

DOCK_DOOR: Final = "dock-door"
COLD_DEVICE: Final = "cold-1"
HALL_DEVICE: Final = "hall-1"
HALL_READER: Final = "hall-reader"
GATE_READER: Final = "gate-reader"
DOCK_SCANNER: Final = "dock-scanner"
SCALE: Final = "rack-scale"
METER: Final = "meter"
COOLING: Final = "cooling"
RACK_PROBE: Final = "a84041000181c001"
COLD_PROBE: Final = "a84041000181c002"
MORTAL: Final = (COLD_DEVICE, HALL_DEVICE, HALL_READER, SCALE, METER, COOLING, RACK_PROBE, COLD_PROBE)
"""Devices that may die in a story. The gate's reader and the doors live: what they see is what tests wait for."""


def zones_of(warehouse: str) -> tuple[Zone, ...]:
    """The same zones in a warehouse of another name, which their assets and devices begin with."""
    return tuple(
        one._replace(asset=one.asset.replace(WAREHOUSE, warehouse), device=one.device.replace(WAREHOUSE, warehouse))
        for one in ZONES
    )


def zone_of(place: str) -> Zone | None:
    """The zone that a bin is in; None for what is no bin."""
    return next((zone for zone in ZONES if place in zone.bins), None)
