"""Which fences places lie in: all places of a batch against all fences in one pass.

A tree of all fences (Sort-Tile-Recursive packing, as shapely's STRtree has it) is built once for each set of fences.
Polygons answer for themselves. A circle or a corridor stands in the tree with a polygon just around it; a second one
just within it settles nearly every place, and only what falls between the two is measured by geodesic.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from pledgewatch_cloud.decide import outline
from pledgewatch_cloud.decide.geofence import Circle, Corridor, Fence, Polygons
from pledgewatch_cloud.decide.outline import E7, Floats
from pledgewatch_cloud.decide.plausibility import ACCURACY_AT_MOST_MM

Integers = NDArray[np.int64]


class FenceIndex:
    """All fences of a book, ready to be asked about many places at once. A fence's number is its place in `ids`."""

    def __init__(self, fences: Mapping[str, Fence]) -> None:
        self.ids = tuple(sorted(fences))
        self.number = {one: number for number, one in enumerate(self.ids)}
        self._fences = [fences[one] for one in self.ids]
        self._tree = shapely.STRtree([_outer(one) for one in self._fences])
        self._round = np.array([not isinstance(one.shape, Polygons) for one in self._fences], dtype=bool)
        self._inner: dict[int, BaseGeometry] = {}
        self._edges: dict[int, Floats] = {}

    def containing(self, latitudes_e7: Sequence[int], longitudes_e7: Sequence[int]) -> tuple[Integers, Integers]:
        """Pairs (place number, fence number) of every place and every fence that holds it, by place, then fence."""
        if not self.ids or not len(latitudes_e7):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        latitudes = np.asarray(latitudes_e7, dtype=np.int64) / E7
        longitudes = np.asarray(longitudes_e7, dtype=np.int64) / E7
        found = self._tree.query(shapely.points(longitudes, latitudes), predicate="intersects")
        on_antimeridian = np.flatnonzero(np.abs(longitudes) == 180.0)
        if len(on_antimeridian):
            other = shapely.points(-longitudes[on_antimeridian], latitudes[on_antimeridian])
            more = self._tree.query(other, predicate="intersects")
            more[0] = on_antimeridian[more[0]]
            found = np.unique(np.hstack([found, more]), axis=1)
        places, fences = found[0], found[1]
        doubtful = np.flatnonzero(self._round[fences])
        if len(doubtful):
            kept = np.ones(len(places), dtype=bool)
            kept[doubtful] = self._held(longitudes[places[doubtful]], latitudes[places[doubtful]], fences[doubtful])
            places, fences = places[kept], fences[kept]
        order = np.lexsort((fences, places))
        return places[order].astype(np.int64), fences[order].astype(np.int64)

    def reach_deg(self, fence: str) -> tuple[float, float, float, float]:
        """What a fence may concern: south, north, west, east of its outline, with its margins around it."""
        known = self._fences[self.number[fence]]
        west, south, east, north = self._tree.geometries[self.number[fence]].bounds
        metres = max(known.margin_m, known.enter_margin_m) + ACCURACY_AT_MOST_MM / 1_000
        width_m, height_m = outline.metres_per_degree(min(max(abs(south), abs(north)), 89.0))
        width, height = metres / width_m, metres / height_m
        return south - height, north + height, west - width, east + width

    def near(self, latitude_e7: int, longitude_e7: int, within_m: float) -> list[int]:
        """The numbers of the fences whose edge lies less than that far from a place, on either side."""
        latitude, longitude = latitude_e7 / E7, longitude_e7 / E7
        east_m, north_m = outline.metres_per_degree(min(max(latitude, -89.0), 89.0))
        width, height = min(within_m / east_m * 1.05, 180.0), within_m / north_m * 1.05
        box = shapely.box(longitude - width, latitude - height, longitude + width, latitude + height)
        found = self._tree.query(outline.within_one_turn(box), predicate="intersects")
        return [
            number
            for number in sorted(found.tolist())
            if self.edge_distance_m(number, latitude_e7, longitude_e7) < within_m
        ]

    def edge_distance_m(self, fence: int, latitude_e7: int, longitude_e7: int) -> float:
        """Metres from a place to a fence's edge, on either side. Cuts at the antimeridian or a pole are no edges."""
        longitude, latitude = longitude_e7 / E7, latitude_e7 / E7
        match self._fences[fence].shape:
            case Circle(middle_longitude, middle_latitude, radius_m):
                away_m = outline.geodesic_m(longitude, latitude, middle_longitude / E7, middle_latitude / E7)
                return abs(away_m - radius_m)
            case Corridor(_, half_width_m):
                return abs(outline.distance_m(self._edges_of(fence), longitude, latitude) - half_width_m)
            case Polygons():
                return outline.distance_m(self._edges_of(fence), longitude, latitude)

    def _held(self, longitudes: Floats, latitudes: Floats, fences: NDArray[np.intp]) -> NDArray[np.bool_]:
        """For pairs of places and round fences, whether the fence holds the place."""
        held = np.zeros(len(fences), dtype=bool)
        for fence in np.unique(fences).tolist():
            asked = np.flatnonzero(fences == fence)
            if fence not in self._inner:
                self._inner[fence] = _inner(self._fences[fence])
                shapely.prepare(self._inner[fence])
            sure = shapely.contains_xy(self._inner[fence], longitudes[asked], latitudes[asked])
            held[asked] = sure
            left = asked[~sure]
            if len(left):
                held[left] = self._measured(fence, longitudes[left], latitudes[left])
        return held

    def _measured(self, fence: int, longitudes: Floats, latitudes: Floats) -> NDArray[np.bool_]:
        shape = self._fences[fence].shape
        count = len(longitudes)
        if isinstance(shape, Circle):
            middle = np.full(count, shape.longitude_e7 / E7), np.full(count, shape.latitude_e7 / E7)
            away_m = outline.ELLIPSOID.inv(longitudes, latitudes, *middle)[2]
            return np.asarray(away_m) <= shape.radius_m
        assert isinstance(shape, Corridor)
        away = partial(outline.distance_m, self._edges_of(fence))
        pairs = zip(longitudes.tolist(), latitudes.tolist(), strict=True)
        return np.array([away(longitude, latitude) <= shape.half_width_m for longitude, latitude in pairs], dtype=bool)

    def _edges_of(self, fence: int) -> Floats:
        edges = self._edges.get(fence)
        if edges is None:
            match self._fences[fence].shape:
                case Polygons(polygons):
                    lines = [ring for rings in polygons for ring in rings]
                case Corridor(given, _):
                    lines = list(given)
                case Circle():
                    lines = []
            edges = np.vstack([outline.segments(line) for line in lines])
            if isinstance(self._fences[fence].shape, Polygons):
                edges = edges[~_is_cut(edges)]
            self._edges[fence] = edges
        return edges


def _is_cut(edges: Floats) -> NDArray[np.bool_]:
    """Edges along the antimeridian of a fence that lies on both sides of it: there it was only cut in two."""
    east = (edges[:, 0] == 180) & (edges[:, 2] == 180)
    west = (edges[:, 0] == -180) & (edges[:, 2] == -180)
    return east | west if east.any() and west.any() else np.zeros(len(edges), dtype=bool)


def _outer(fence: Fence) -> BaseGeometry:
    match fence.shape:
        case Polygons(polygons):
            parts = [outline.within_one_turn(outline.plane_polygon(rings)) for rings in polygons]
            return parts[0] if len(parts) == 1 else shapely.union_all(parts)
        case Circle(longitude_e7, latitude_e7, radius_m):
            return outline.circle(longitude_e7 / E7, latitude_e7 / E7, radius_m, outside=True)
        case Corridor(lines, half_width_m):
            return outline.corridor(lines, half_width_m, outside=True)


def _inner(fence: Fence) -> BaseGeometry:
    match fence.shape:
        case Circle(longitude_e7, latitude_e7, radius_m):
            return outline.circle(longitude_e7 / E7, latitude_e7 / E7, radius_m, outside=False)
        case Corridor(lines, half_width_m):
            return outline.corridor(lines, half_width_m, outside=False)
        case Polygons():
            return shapely.Polygon()
