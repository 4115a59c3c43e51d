"""Voyages along real sea lanes between real ports.

The lanes are those of the `searoute` package; between their points a ship follows the great circle. A voyage rests at
the berth of its origin, sails, and rests at the berth of its destination.

Port coordinates are rounded positions of container terminals, checked against the World Port Index (NGA Pub. 150,
public domain) and UN/LOCODE (UNECE). The codes are those that carriers' schedules use; UN/LOCODE itself gives CNSHA,
CNNGB and CNSZX to the cities' airports, and other codes to their ports.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import searoute

from pledgewatch_sim.receiver import Position

EARTH_RADIUS_M = 6_371_008.8  # mean radius R1 of WGS 84
MPS_PER_KNOT = 1_852 / 3_600

Place = tuple[float, float]  # longitude, latitude in degrees


class Port(NamedTuple):
    """A port: UN/LOCODE, name, and where ships lie there."""

    locode: str
    name: str
    longitude: float
    latitude: float


PORTS = {
    port.locode: port
    for port in (
        Port("CNSHA", "Shanghai", 122.06, 30.62),
        Port("CNNGB", "Ningbo", 121.88, 29.93),
        Port("CNSZX", "Shenzhen", 113.90, 22.47),
        Port("HKHKG", "Hong Kong", 114.12, 22.33),
        Port("SGSIN", "Singapore", 103.75, 1.27),
        Port("VNSGN", "Ho Chi Minh City", 106.77, 10.77),
        Port("LKCMB", "Colombo", 79.85, 6.95),
        Port("NLRTM", "Rotterdam", 4.05, 51.95),
        Port("DEHAM", "Hamburg", 9.93, 53.53),
        Port("GBFXT", "Felixstowe", 1.32, 51.95),
        Port("USLAX", "Los Angeles", -118.26, 33.73),
        Port("USNYC", "New York", -74.05, 40.67),
    )
}


def distance_m(one: Place, other: Place) -> float:
    """Great-circle distance by the haversine formula (Sinnott 1984)."""
    longitude_1, latitude_1, longitude_2, latitude_2 = map(math.radians, (*one, *other))
    half = math.sin((latitude_2 - latitude_1) / 2) ** 2
    half += math.cos(latitude_1) * math.cos(latitude_2) * math.sin((longitude_2 - longitude_1) / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(half)))


def between(one: Place, other: Place, share: float) -> Place:
    """The place at a share of the great circle from one to another, by spherical linear interpolation."""
    start, end = _vector(one), _vector(other)
    angle = distance_m(one, other) / EARTH_RADIUS_M
    if angle < 1e-12:
        return one
    near, far = math.sin((1 - share) * angle) / math.sin(angle), math.sin(share * angle) / math.sin(angle)
    x, y, z = (near * a + far * b for a, b in zip(start, end, strict=True))
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


def bearing_deg(one: Place, other: Place) -> float:
    """The course with which the great circle from one to the other begins."""
    longitude_1, latitude_1, longitude_2, latitude_2 = map(math.radians, (*one, *other))
    turn = longitude_2 - longitude_1
    east = math.sin(turn) * math.cos(latitude_2)
    north = math.cos(latitude_1) * math.sin(latitude_2) - math.sin(latitude_1) * math.cos(latitude_2) * math.cos(turn)
    return math.degrees(math.atan2(east, north)) % 360


def sea_lane(origin: Port, destination: Port) -> list[Place]:
    """The places that a ship passes, from berth to berth; longitudes from -180 to 180."""
    start, end = (origin.longitude, origin.latitude), (destination.longitude, destination.latitude)
    found = searoute.searoute(list(start), list(end), append_orig_dest=False)
    middle = [((one[0] + 180) % 360 - 180, one[1]) for one in found["geometry"]["coordinates"]]
    lane = [start]
    for place in (*middle, end):
        if distance_m(lane[-1], place) > 1.0:
            lane.append(place)
    return lane


@dataclass(frozen=True)
class Voyage:
    """One voyage. It leaves at `depart_ms` and keeps `speed_knots`."""

    origin: Port
    destination: Port
    depart_ms: int
    speed_knots: float

    def __post_init__(self) -> None:
        lane = sea_lane(self.origin, self.destination)
        distances = list(accumulate((distance_m(*leg) for leg in pairwise(lane)), initial=0.0))
        object.__setattr__(self, "_lane", lane)
        object.__setattr__(self, "_distances_m", distances)

    @property
    def length_m(self) -> float:
        """How far it is."""
        return self._distances()[-1]

    @property
    def arrive_ms(self) -> int:
        """When it reaches its berth."""
        return self.depart_ms + round(self.length_m / self._speed_mps() * 1_000)

    def position(self, at_ms: int) -> Position:
        """Where the ship is."""
        lane: list[Place] = self._lane  # type: ignore[attr-defined]  # set once in __post_init__
        distances = self._distances()
        sailed_m = (at_ms - self.depart_ms) / 1_000 * self._speed_mps()
        if sailed_m <= 0:
            return Position(lane[0][1], lane[0][0], 0.0, 0.0)
        if sailed_m >= distances[-1]:
            return Position(lane[-1][1], lane[-1][0], 0.0, 0.0)
        leg = bisect_right(distances, sailed_m) - 1
        share = (sailed_m - distances[leg]) / (distances[leg + 1] - distances[leg])
        here = between(lane[leg], lane[leg + 1], share)
        return Position(here[1], here[0], self._speed_mps(), bearing_deg(here, lane[leg + 1]))

    def _distances(self) -> list[float]:
        distances: list[float] = self._distances_m  # type: ignore[attr-defined]  # set once in __post_init__
        return distances

    def _speed_mps(self) -> float:
        return self.speed_knots * MPS_PER_KNOT


def _vector(place: Place) -> tuple[float, float, float]:
    longitude, latitude = map(math.radians, place)
    return math.cos(latitude) * math.cos(longitude), math.cos(latitude) * math.sin(longitude), math.sin(latitude)
