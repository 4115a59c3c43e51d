"""Fences and which of them a place lies in.

A fence is a polygon or multipolygon of RFC 7946 (longitude before latitude, WGS 84 degrees). Its edge belongs to it.
All places of a batch are asked about in one pass through a tree of all fences (Sort-Tile-Recursive packing, as
shapely's STRtree has it); the tree is built once for each set of fences.

Coordinates stay the document's own numbers, written as text with their decimals, so that a book has one canonical form.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

E7 = 10_000_000
KINDS = ("port", "terminal", "warehouse", "customs_zone", "corridor", "forbidden")


class FenceError(ValueError):
    """A feature that cannot be a fence: a sentence that names the place and the fault."""


@dataclass(frozen=True, slots=True)
class Fence:
    """A fence. `rings_e7` is polygons → rings → (longitude, latitude) in 1e-7 degrees, outer ring first."""

    id: str
    name: str
    kind: str
    rings_e7: tuple[tuple[tuple[tuple[int, int], ...], ...], ...]

    @classmethod
    def from_feature(cls, feature: object) -> "Fence":
        """Read a GeoJSON feature. Raises FenceError."""
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise FenceError("a GeoJSON Feature is needed")
        properties = feature.get("properties") or {}
        identity = feature.get("id", properties.get("id"))
        if not isinstance(identity, str) or not identity:
            raise FenceError("the feature needs an id, a non-empty text")
        kind = properties.get("kind", "port")
        if kind not in KINDS:
            raise FenceError(f"{identity}: kind {kind!r} is none of {', '.join(KINDS)}")
        rings = _rings(identity, feature.get("geometry"))
        polygon = _polygon(rings)
        if not polygon.is_valid:
            raise FenceError(f"{identity}: {shapely.is_valid_reason(polygon)}")
        if polygon.area == 0:
            raise FenceError(f"{identity}: the fence is empty")
        return cls(identity, str(properties.get("name", identity)), kind, rings)

    def as_feature(self) -> dict[str, Any]:
        """The fence as a GeoJSON feature."""
        coordinates = [
            [[[longitude / E7, latitude / E7] for longitude, latitude in ring] for ring in polygon]
            for polygon in self.rings_e7
        ]
        return {
            "type": "Feature",
            "id": self.id,
            "properties": {"name": self.name, "kind": self.kind},
            "geometry": {"type": "MultiPolygon", "coordinates": coordinates},
        }


class FenceIndex:
    """All fences of a book, ready to be asked about many places at once."""

    def __init__(self, fences: Mapping[str, Fence]) -> None:
        self._ids = sorted(fences)
        self._tree = shapely.STRtree([_polygon(fences[one].rings_e7) for one in self._ids])

    def containing(self, latitudes_e7: Sequence[int], longitudes_e7: Sequence[int]) -> list[frozenset[str]]:
        """For each place, the ids of the fences that it lies in."""
        inside: list[set[str]] = [set() for _ in latitudes_e7]
        if self._ids and inside:
            points = shapely.points(
                np.asarray(longitudes_e7, dtype=np.float64) / E7, np.asarray(latitudes_e7, dtype=np.float64) / E7
            )
            pairs: NDArray[np.intp] = self._tree.query(points, predicate="intersects")
            for place, fence in zip(pairs[0].tolist(), pairs[1].tolist(), strict=True):
                inside[place].add(self._ids[fence])
        return [frozenset(one) for one in inside]


def _polygon(rings_e7: Sequence[Sequence[Sequence[tuple[int, int]]]]) -> shapely.MultiPolygon:
    polygons = []
    for outer, *holes in rings_e7:
        scaled = [[(longitude / E7, latitude / E7) for longitude, latitude in ring] for ring in (outer, *holes)]
        polygons.append(shapely.Polygon(scaled[0], scaled[1:]))
    return shapely.MultiPolygon(polygons)


def _rings(identity: str, geometry: object) -> tuple[tuple[tuple[tuple[int, int], ...], ...], ...]:
    if not isinstance(geometry, dict) or geometry.get("type") not in {"Polygon", "MultiPolygon"}:
        raise FenceError(f"{identity}: geometry must be a Polygon or a MultiPolygon")
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if geometry["type"] == "Polygon" else coordinates
    if not isinstance(polygons, list) or not polygons:
        raise FenceError(f"{identity}: coordinates are empty")
    result = []
    for number, polygon in enumerate(polygons):
        if not isinstance(polygon, list) or not polygon:
            raise FenceError(f"{identity}: polygon {number} has no rings")
        result.append(
            tuple(_ring(f"{identity}: polygon {number} ring {place}", one) for place, one in enumerate(polygon))
        )
    return tuple(result)


def _ring(place: str, positions: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(positions, list) or len(positions) < 4:
        raise FenceError(f"{place}: a ring has at least four positions")
    ring = tuple(_position(f"{place} position {number}", one) for number, one in enumerate(positions))
    if ring[0] != ring[-1]:
        raise FenceError(f"{place}: not closed, its last position must repeat its first")
    return ring


def _position(place: str, value: object) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) < 2:
        raise FenceError(f"{place}: a position is [longitude, latitude]")
    numbers = []
    for name, number, bound in (("longitude", value[0], 180), ("latitude", value[1], 90)):
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not -bound <= number <= bound:
            raise FenceError(f"{place}: {name} {number!r} is not from {-bound} to {bound}")
        numbers.append(round(number * E7))
    return numbers[0], numbers[1]
