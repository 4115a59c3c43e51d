"""Fences: which of them many places lie in, and how far a place is from an edge.

A fence is a GeoJSON feature (RFC 7946, WGS 84 degrees): a Polygon or MultiPolygon with holes, a Point with `radius_m`
(a circle), a LineString or MultiLineString with `half_width_m` (a corridor). Metres are true metres: geodesics on the
ellipsoid. An edge belongs to its fence. A fix at longitude 180 is one at -180, and a fix at a pole has every
longitude. What crosses 180 degrees or holds a pole is told in `fence_shape`.

All places of a batch are asked about in one pass. Boxes round the shapes, in a grid prepared once for each set of
fences, give the few pairs of place and shape worth a look. Polygons are then judged in whole numbers, exactly.
Circles and corridors are judged by the chord through the Earth, which bounds the geodesic closely, and by the
geodesic itself where a place is so near the edge that the bounds leave it open.

How a fence is to be read over time (margin, dwell, accuracy, hours, legs) is carried here and applied elsewhere.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from pledgewatch_cloud.decide import fence_feature, fence_shape, geodesy
from pledgewatch_cloud.decide.fence_feature import GRADES, KINDS
from pledgewatch_cloud.decide.fence_grid import BoxGrid, Rings
from pledgewatch_cloud.decide.fence_shape import Area, Circle, Corridor, FenceError, Line, Shape
from pledgewatch_cloud.decide.geodesy import E7, HALF_TURN_E7, POLE_E7, TURN_E7, Floats, Integers, Pieces
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.plausibility import ACCURACY_AT_MOST_MM

__all__ = ["E7", "GRADES", "KINDS", "Area", "Circle", "Corridor", "Fence", "FenceError", "FenceIndex", "Shape"]

Rows = NDArray[np.intp]
PLACES_PER_PASS = 32_768  # bounds the memory that the pairs of a pass take
OUTLINES_KEPT = 4_096
_SHORT_M = 10_000.0
METRES_A_DEGREE = 111_000
PIECE_PER_WIDTH = 4
SUBDIVISIONS = 32  # of a piece that is drawn in a local map; its bow over the chord is then centimetres
DIRECTIONS = 240
NARROWINGS = 4
STEPS_OUT = 200
_FEW = 16
"""Pieces that are sooner looked at one by one than as columns."""
WORLD = (-HALF_TURN_E7, HALF_TURN_E7 - 1)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fence and its own rules; equal when the documents say the same.

    `margin_m`: outside only beyond so many metres; `enter_margin_m`: inside only deeper than so many. `dwell_s`: inside
    only after so long; `leave_after_s`: outside only after so long. `accuracy_aware`: 1 when a fix whose accuracy
    circle straddles the edge changes nothing. `grade`: the least quality of a fix that may move an asset in or out.
    `active`: when the fence holds, (from, until) in Unix milliseconds, ordered, until not included; empty means always.
    `legs`: the voyage legs it holds for, or all if none.
    """

    id: str
    name: str
    kind: str
    shape: Shape
    margin_m: int = 0
    enter_margin_m: int = 0
    dwell_s: int = 0
    leave_after_s: int = 0
    accuracy_aware: int = 1
    grade: str = "good"
    active: tuple[tuple[int, int], ...] = ()
    legs: tuple[str, ...] = ()

    @classmethod
    def from_feature(cls, feature: object) -> "Fence":
        """Read a GeoJSON feature. Raises FenceError, which names the fence, the place in it and the cure."""
        identity, properties, geometry = fence_feature.members(feature)
        shape = fence_feature.shape(identity, geometry, properties)
        return cls(id=identity, shape=shape, **fence_feature.rules(identity, properties))

    @property
    def is_scoped(self) -> bool:
        """Whether there are moments or legs in which it does not hold."""
        return bool(self.active or self.legs)

    def as_feature(self) -> dict[str, Any]:
        """The fence as a GeoJSON feature with every rule written out; `from_feature` reads the same fence from it."""
        properties: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "margin_m": self.margin_m,
            "enter_margin_m": self.enter_margin_m,
            "dwell_s": self.dwell_s,
            "leave_after_s": self.leave_after_s,
            "accuracy_aware": self.accuracy_aware,
            "grade": self.grade,
            "active": [{"from": iso(start), "until": iso(end)} for start, end in self.active],
            "legs": list(self.legs),
        }
        if isinstance(self.shape, Circle):
            properties["radius_m"] = self.shape.radius_m
        elif isinstance(self.shape, Corridor):
            properties["half_width_m"] = self.shape.half_width_m
        return {"type": "Feature", "id": self.id, "properties": properties, "geometry": self.shape.geometry()}


class _Outline(NamedTuple):
    """What an area's edge consists of, or a corridor's lines; where each piece starts (n, 3), and how long it is at
    most."""

    pieces: Pieces
    starts: Floats
    lengths: Floats


class FenceIndex:
    """All fences of a book, ready to be asked about many places at once. A fence's number is its place in `ids`."""

    def __init__(self, fences: Mapping[str, Fence]) -> None:
        self.ids: tuple[str, ...] = tuple(sorted(fences))
        self.number = {one: number for number, one in enumerate(self.ids)}
        self._margins_m = [max(fences[one].margin_m, fences[one].enter_margin_m) for one in self.ids]
        self._shapes: list[Shape] = [fences[one].shape for one in self.ids]
        self._outlines: dict[int, _Outline] = {}
        self._areas = _Areas(self._of(Area))
        self._circles = _Circles(self._of(Circle))
        self._corridors = _Corridors(self._of(Corridor))
        kinds: tuple[_Areas | _Circles | _Corridors, ...] = (self._areas, self._circles, self._corridors)
        self._by_kind = kinds
        boxes, items, shifts = zip(*(_copies(one.boxes) for one in kinds), strict=True)
        self._boxes = np.concatenate(boxes)
        self._items = np.concatenate(items)
        self._shifts = np.concatenate(shifts)
        self._kinds = np.repeat(np.arange(len(kinds)), [len(one) for one in items])
        self._owners = np.concatenate([one.fences[rows] for one, rows in zip(kinds, items, strict=True)])
        self._grid = BoxGrid(self._boxes)

    def containing(self, latitudes_e7: Integers, longitudes_e7: Integers) -> tuple[Rows, Rows]:
        """All pairs (place number, fence number) of which the place lies in the fence, by place, then fence.

        Both columns are int64 in 1e-7 degrees, longitudes from -180 to 180. A place beyond a pole lies nowhere.
        """
        latitudes, longitudes = np.asarray(latitudes_e7, dtype=np.int64), np.asarray(longitudes_e7, dtype=np.int64)
        passes = [
            self._pass(latitudes[first : first + PLACES_PER_PASS], longitudes[first : first + PLACES_PER_PASS])
            + first * len(self.ids)
            for first in range(0, len(latitudes) if self.ids else 0, PLACES_PER_PASS)
        ]
        if not passes:
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
        places, fences = np.divmod(passes[0] if len(passes) == 1 else np.concatenate(passes), len(self.ids))
        return places, fences

    def reach_deg(self, fence: str) -> tuple[float, float, float, float]:
        """South, north, west and east of all that a fence may bear on, margins and accuracies counted in.

        West and east lie beyond ±180 for one that crosses the antimeridian: it may bear on every longitude.
        """
        number = self.number[fence]
        boxes = self._boxes[self._owners == number]
        if not len(boxes):
            return -90.0, 90.0, -360.0, 360.0
        metres = np.full(len(boxes), self._margins_m[number] + ACCURACY_AT_MOST_MM / 1_000)
        grown = geodesy.grown(boxes, metres) / E7
        south, north = float(grown[:, 1].min()), float(grown[:, 3].max())
        west, east = float(grown[:, 0].min()), float(grown[:, 2].max())
        return (south, north, west, east) if west >= -180 and east <= 180 else (south, north, -360.0, 360.0)

    def near(self, latitude_e7: int, longitude_e7: int, within_m: float) -> list[int]:
        """The fences whose edge lies within so many metres of a place that may be inside or outside, by number."""
        place = np.array([[longitude_e7, latitude_e7, longitude_e7, latitude_e7]], dtype=np.int64)
        west, south, east, north = geodesy.grown(place, np.array([float(within_m)]))[0]
        hit = np.zeros(len(self._boxes), dtype=np.bool_)
        for shift in (-TURN_E7, 0, TURN_E7):
            hit |= (self._boxes[:, 0] <= east + shift) & (self._boxes[:, 2] >= west + shift)
        hit &= (self._boxes[:, 1] <= north) & (self._boxes[:, 3] >= south)
        found = np.unique(self._owners[hit]).tolist()
        return [one for one in found if self.edge_distance_m(one, latitude_e7, longitude_e7) <= within_m]

    def edge_distance_m(self, fence: int, latitude_e7: int, longitude_e7: int) -> float:
        """Metres over the surface from a place to the fence's edge, never negative; infinite where it has no edge.

        Exact to the millimetre, but for places inside a corridor whose nearest edge is the inner corner of a bend:
        those to a thousandth. The cut at 180 degrees and the way to a pole are no edges.
        """
        shape = self._shapes[fence]
        longitude, latitude = longitude_e7 * geodesy.RADIANS_E7, latitude_e7 * geodesy.RADIANS_E7
        if isinstance(shape, Circle):
            centre = shape.longitude_e7 * geodesy.RADIANS_E7, shape.latitude_e7 * geodesy.RADIANS_E7
            return abs(_geodesic_m(longitude, latitude, *centre) - shape.radius_m)
        if fence not in self._outlines:
            if len(self._outlines) >= OUTLINES_KEPT:
                self._outlines.clear()
            self._outlines[fence] = _outline(shape)
        outline = self._outlines[fence]
        pieces = outline.pieces
        if not len(pieces.latitude):
            return math.inf
        near_longitude, near_latitude = _nearest_place(longitude, latitude, outline)
        distance = _geodesic_m(longitude, latitude, near_longitude, near_latitude)
        if isinstance(shape, Area):
            return distance
        if distance >= shape.half_width_m:
            return distance - shape.half_width_m
        return _way_out_m(longitude, latitude, pieces, distance, shape.half_width_m)

    def _of(self, kind: type) -> list[tuple[int, Any]]:
        return [(number, shape) for number, shape in enumerate(self._shapes) if isinstance(shape, kind)]

    def _pass(self, latitudes: Integers, longitudes: Integers) -> Integers:
        """The pairs as place number times the number of fences plus fence number, sorted."""
        longitudes = np.where(longitudes == HALF_TURN_E7, -HALF_TURN_E7, longitudes)
        extreme = np.flatnonzero(np.abs(latitudes) >= POLE_E7)
        if (np.abs(latitudes[extreme]) > POLE_E7).any():
            real = np.flatnonzero(np.abs(latitudes) <= POLE_E7)
            found, count = self._pass(latitudes[real], longitudes[real]), len(self.ids)
            return real[found // count] * count + found % count
        place, entry = self._grid.candidates(latitudes, longitudes)
        kind, item = self._kinds[entry], self._items[entry]
        y, x = latitudes[place], longitudes[place] - self._shifts[entry]
        held = np.empty(len(place), dtype=np.bool_)
        for number, one in enumerate(self._by_kind):
            rows = np.flatnonzero(kind == number)
            if len(rows):
                held[rows] = one.holding(item[rows], x[rows], y[rows])
        keys = place[held] * len(self.ids) + self._owners[entry[held]]
        for pole, fences in self._areas.touching.items():
            at_pole = extreme[latitudes[extreme] == pole]
            keys = np.concatenate([keys, np.add.outer(at_pole * len(self.ids), fences).ravel()])
        keys.sort()
        different: Integers = keys[np.flatnonzero(np.diff(keys, prepend=-1))]
        return different


class _Areas:
    """Polygons of areas, one item each. `touching` is the fences that have a corner at a pole, by its latitude."""

    def __init__(self, areas: Iterable[tuple[int, Area]]) -> None:
        polygons = [(number, rings) for number, area in areas for rings in area.polygons]
        self.fences: Rows = np.array([number for number, _ in polygons], dtype=np.intp)
        ends, owner, odd = _edges_as_written([rings for _, rings in polygons])
        touching: dict[int, set[int]] = {POLE_E7: set(), -POLE_E7: set()}
        more_ends, more_owners, all_round = [ends], [owner], []
        for polygon in odd.tolist():
            number, rings = polygons[polygon]
            for ring in fence_shape.plane_polygon(rings):
                more_ends.append(np.concatenate([ring.positions[:-1], ring.positions[1:]], axis=1))
                more_owners.append(np.full(len(ring.positions) - 1, polygon))
                for pole, touches in zip((-POLE_E7, POLE_E7), ring.touches, strict=True):
                    if touches:
                        touching[pole].add(number)
                if ring.pole:
                    all_round.append(polygon)
        ends, owner = np.concatenate(more_ends), np.concatenate(more_owners)
        self.touching = {pole: np.array(sorted(fences), dtype=np.int64) for pole, fences in touching.items()}
        self.boxes = np.zeros((len(polygons), 4), dtype=np.int64)
        self.boxes[:, :2], self.boxes[:, 2:] = np.iinfo(np.int64).max, np.iinfo(np.int64).min
        for column, value in enumerate((np.minimum(ends[:, 0], ends[:, 2]), np.minimum(ends[:, 1], ends[:, 3]))):
            np.minimum.at(self.boxes[:, column], owner, value)
        for column, value in enumerate((np.maximum(ends[:, 0], ends[:, 2]), np.maximum(ends[:, 1], ends[:, 3])), 2):
            np.maximum.at(self.boxes[:, column], owner, value)
        self.boxes[np.ix_(all_round, (0, 2))] = WORLD
        self._rings = Rings(ends, owner, len(polygons))

    def holding(self, items: Rows, longitudes_e7: Integers, latitudes_e7: Integers) -> NDArray[np.bool_]:
        """Whether each place, within the polygon's box, lies in the polygon."""
        return self._rings.holding(items, longitudes_e7, latitudes_e7)


class _Circles:
    """Circles, one item each."""

    def __init__(self, circles: Iterable[tuple[int, Circle]]) -> None:
        rows = [(number, one.longitude_e7, one.latitude_e7, one.radius_m) for number, one in circles]
        columns = np.array(rows, dtype=np.int64).reshape(-1, 4)
        self.fences: Rows = columns[:, 0].astype(np.intp)
        self._longitude, self._latitude = geodesy.radians(columns[:, 1:3]).T
        self._radius = columns[:, 3].astype(np.float64)
        self.boxes = geodesy.grown(columns[:, (1, 2, 1, 2)], self._radius)

    def holding(self, items: Rows, longitudes_e7: Integers, latitudes_e7: Integers) -> NDArray[np.bool_]:
        """Whether each place lies in the circle."""
        longitude, latitude = geodesy.radians(longitudes_e7), geodesy.radians(latitudes_e7)
        return _within(longitude, latitude, self._longitude[items], self._latitude[items], self._radius[items])


class _Corridors:
    """Pieces of corridors, one item each."""

    def __init__(self, corridors: Iterable[tuple[int, Corridor]]) -> None:
        lines = [(number, line, one.half_width_m) for number, one in corridors for line in one.lines]
        starts, steps, owner = _steps([line for _, line, _ in lines])
        half_width = np.array([width for _, _, width in lines], dtype=np.float64)[owner]
        # Short pieces of narrow corridors have close boxes; a long segment is cut no finer than it takes to be quick.
        tight = np.maximum(
            half_width * PIECE_PER_WIDTH * E7 / METRES_A_DEGREE, np.abs(steps).max(axis=1, initial=0) / 200
        )
        self._pieces, row = geodesy.pieces(starts, steps, np.maximum(tight, E7 // 32).astype(np.int64))
        self.fences: Rows = np.array([number for number, _, _ in lines], dtype=np.intp)[owner[row]]
        self._half_width = half_width[row]
        pieces = self._pieces
        first = np.stack([pieces.longitude, pieces.latitude], axis=1)
        last = first + np.stack([pieces.along_longitude, pieces.along_latitude], axis=1)
        low, high = np.minimum(first, last) / geodesy.RADIANS_E7, np.maximum(first, last) / geodesy.RADIANS_E7
        boxes = np.concatenate([np.floor(low), np.ceil(high)], axis=1).astype(np.int64)
        self.boxes = geodesy.grown(boxes, self._half_width)

    def holding(self, items: Rows, longitudes_e7: Integers, latitudes_e7: Integers) -> NDArray[np.bool_]:
        """Whether each place lies within the half width of the piece."""
        longitude, latitude = geodesy.radians(longitudes_e7), geodesy.radians(latitudes_e7)
        return _within(
            longitude,
            latitude,
            *geodesy.nearest(longitude, latitude, self._pieces.at(items))[:2],
            self._half_width[items],
        )


def _within(
    longitude: Floats, latitude: Floats, other_longitude: Floats, other_latitude: Floats, limit_m: Floats
) -> NDArray[np.bool_]:
    """Whether the geodesic between two places is at most so long: by the chord, and only where that is open, by it."""
    least, most = geodesy.geodesic_bounds_m(geodesy.chord_m(longitude, latitude, other_longitude, other_latitude))
    within: NDArray[np.bool_] = most <= limit_m
    rows = np.flatnonzero((least <= limit_m) & ~within)
    if len(rows):
        length = geodesy.geodesic_m(longitude[rows], latitude[rows], other_longitude[rows], other_latitude[rows])
        within[rows] = length <= limit_m[rows]
    return within


def _edges_as_written(polygons: list[tuple[Line, ...]]) -> tuple[Integers, Rows, Rows]:
    """The edges of polygons that can be read as written, (n, 4), the polygon of each, and which polygons cannot."""
    lines = [line for rings in polygons for line in rings]
    polygon = np.repeat(np.arange(len(polygons)), [len(rings) for rings in polygons])
    places, line = _joined(lines)
    inner = np.flatnonzero(line[1:] == line[:-1])
    ends = np.concatenate([places[inner], places[inner + 1]], axis=1)
    owner = polygon[line[inner]]
    strange = (np.abs(ends[:, 2] - ends[:, 0]) > HALF_TURN_E7) | (np.abs(ends[:, 1]) == POLE_E7)
    odd = np.zeros(len(polygons), dtype=np.bool_)
    odd[owner[strange]] = True
    plain = ~odd[owner]
    return ends[plain], owner[plain], np.flatnonzero(odd)


def _steps(lines: list[Line]) -> tuple[Integers, Integers, Rows]:
    """The segments of lines: start (n, 2), way to the end (n, 2) the shorter way round, and the line of each."""
    places, line = _joined(lines)
    inner = np.flatnonzero(line[1:] == line[:-1])
    steps = places[inner + 1] - places[inner]
    steps[:, 0] = fence_shape.shorter_way(steps[:, 0])
    return places[inner], steps, line[inner]


def _joined(lines: list[Line]) -> tuple[Integers, Rows]:
    """The positions of all lines, (n, 2), and the line of each."""
    places = fence_shape.positions(b"".join(lines))
    return places, np.repeat(np.arange(len(lines)), [len(line) // 16 for line in lines])


def _copies(boxes: Integers) -> tuple[Integers, Rows, Integers]:
    """Boxes moved by whole turns to wherever the domain sees them: the boxes, their rows, how far each was moved."""
    turns = np.arange(-2, 3) * TURN_E7
    seen = (boxes[:, 2, None] + turns >= WORLD[0]) & (boxes[:, 0, None] + turns <= WORLD[1])
    row, column = np.nonzero(seen)
    shift = turns[column]
    moved = boxes[row].copy()
    moved[:, (0, 2)] += shift[:, None]
    return moved, row, shift


def _outline(shape: Area | Corridor) -> _Outline:
    if isinstance(shape, Area):
        edges = fence_shape.edges(shape.polygons)
        pieces = geodesy.pieces(edges[:, :2], edges[:, 2:])[0]
    else:
        starts, steps, _ = _steps(list(shape.lines))
        pieces = geodesy.pieces(starts, steps)[0]
    lengths = geodesy.LARGEST_RADIUS_M * np.hypot(pieces.along_longitude, pieces.along_latitude)
    return _Outline(pieces, np.stack(geodesy.cartesian(pieces.longitude, pieces.latitude), axis=1), lengths)


def _geodesic_m(longitude_a: float, latitude_a: float, longitude_b: float, latitude_b: float) -> float:
    chord = geodesy.chord_of_one_m(longitude_a, latitude_a, longitude_b, latitude_b)
    if chord < _SHORT_M:  # the bounds lie hundredths of a millimetre apart
        least, most = geodesy.geodesic_bounds_m(np.array(chord))
        return float(least + most) / 2
    a, b, c, d = (np.array([one]) for one in (longitude_a, latitude_a, longitude_b, latitude_b))
    return float(geodesy.geodesic_m(a, b, c, d)[0])


def _nearest_place(longitude: float, latitude: float, outline: _Outline) -> tuple[float, float]:
    """The place of an outline nearest to this one."""
    place = np.array(geodesy.cartesian(longitude, latitude, math))
    chords = np.sqrt(((outline.starts - place) ** 2).sum(axis=1))
    close = outline.pieces.at(np.flatnonzero(chords - outline.lengths <= chords.min()))
    if len(close.latitude) <= _FEW:
        rows = zip(*(column.tolist() for column in close), strict=True)
        return min((geodesy.nearest_of_one(longitude, latitude, row) for row in rows), key=lambda one: one[2])[:2]
    column = np.ones_like(close.latitude)
    longitudes, latitudes, chords = geodesy.nearest(longitude * column, latitude * column, close)
    best = int(chords.argmin())
    return float(longitudes[best]), float(latitudes[best])


def _way_out_m(longitude: float, latitude: float, pieces: Pieces, distance_m: float, half_width_m: int) -> float:
    """Metres from a place inside a corridor to its edge.

    It is the half width less the distance to the line, unless a bend covers the edge there. Then it is looked for in a
    map of equal distances and directions from the place (azimuthal equidistant: J. Snyder, Map Projections, USGS 1395,
    1987, section 25), which is true where it counts: along each way out. On each way the gap to the half width is safe
    to go, for the distance to the line grows no faster than the way; so the edge is never overstepped.
    """
    reach, straight = 3.0 * half_width_m, half_width_m - distance_m
    while True:
        drawn, all_drawn = _local_map(longitude, latitude, pieces, reach)
        toward = shapely.shortest_line(drawn, shapely.Point(0, 0)).coords[0]
        away = math.hypot(*toward)
        if away > 0 and reach == 3.0 * half_width_m:
            edge = shapely.Point(*(-straight / away * one for one in toward))
            if drawn.distance(edge) >= half_width_m * (1 - 1e-6) - 0.01:
                return straight
        middle, width, best = 0.0, math.pi, math.inf
        for _ in range(NARROWINGS):
            angles = middle + np.linspace(-width, width, DIRECTIONS + 1)
            ways = _ways_out(drawn, angles, half_width_m)
            middle, width = float(angles[ways.argmin()]), 2 * width / DIRECTIONS
            best = min(best, float(ways.min()))
        if all_drawn or best + half_width_m <= reach:
            break
        reach *= 2
    return straight if best <= straight * 1.0005 + 0.01 else best


def _ways_out(drawn: shapely.MultiLineString, angles: Floats, half_width_m: int) -> Floats:
    ways = np.zeros_like(angles)
    for _ in range(STEPS_OUT):
        gaps = half_width_m - shapely.distance(drawn, shapely.points(ways * np.cos(angles), ways * np.sin(angles)))
        ways += np.maximum(gaps, 0)
        if gaps.max() < 1e-3:
            break
    return ways


def _local_map(
    longitude: float, latitude: float, pieces: Pieces, reach_m: float
) -> tuple[shapely.MultiLineString, bool]:
    """The pieces within reach drawn around a place, metres east and north; and whether these are all."""
    chords = geodesy.chord_m(np.array(longitude), np.array(latitude), pieces.longitude, pieces.latitude)
    lengths = geodesy.LARGEST_RADIUS_M * np.hypot(pieces.along_longitude, pieces.along_latitude)
    rows = np.flatnonzero(chords - lengths <= reach_m)
    close = pieces.at(rows)
    share = np.linspace(0, 1, SUBDIVISIONS + 1)
    longitudes = close.longitude[:, None] + share * close.along_longitude[:, None]
    latitudes = close.latitude[:, None] + share * close.along_latitude[:, None]
    x, y, z = geodesy.cartesian(longitudes, latitudes)
    x0, y0, z0 = (float(one) for one in geodesy.cartesian(np.array(longitude), np.array(latitude)))
    x, y, z = x - x0, y - y0, z - z0
    east = y * math.cos(longitude) - x * math.sin(longitude)
    north = z * math.cos(latitude) - (x * math.cos(longitude) + y * math.sin(longitude)) * math.sin(latitude)
    flat = np.hypot(east, north)
    here = np.full_like(longitudes, longitude), np.full_like(latitudes, latitude)
    scale = geodesy.geodesic_m(*here, longitudes, latitudes) / np.where(flat > 0, flat, 1)
    drawn = np.stack([east * scale, north * scale], axis=-1)
    return shapely.MultiLineString(list(drawn)), len(rows) == len(pieces.latitude)
