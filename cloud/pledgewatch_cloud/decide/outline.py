"""Outlines on the round earth, laid out in the plane of longitude and latitude so that plane geometry holds.

A ring is unrolled: each edge goes the shorter way round, so longitudes run on past 180 where it crosses the
antimeridian. A ring that comes back 360 degrees away goes round a pole, and is closed over it. What lies beyond
-180…180 is cut off there and moved in, so a place has one longitude (±180 is one meridian). A fence that reaches a pole
holds it at every longitude.

Metres come from the ellipsoid of WGS 84: near a place from its two radii of curvature (a plane that is true to the
second order), over any distance by Karney's geodesic (PROJ).
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Geod
from shapely.geometry.base import BaseGeometry

E7 = 10_000_000
Ring = tuple[tuple[int, int], ...]
Line = tuple[tuple[int, int], ...]
Floats = NDArray[np.float64]

ELLIPSOID = Geod(ellps="WGS84")
_SEMI_MAJOR_M = 6_378_137.0
_ECCENTRICITY_2 = 0.00669437999014
_PIECE_DEG = 0.25
_OUTLINE_POINTS = 96
# Towards a pole the plane of longitude and latitude says too little; whatever reaches beyond is taken as a whole band.
_POLAR_DEG = 88.0


def unrolled(positions: Sequence[tuple[int, int]]) -> Floats:
    """Positions in degrees, shape (n, 2), longitudes running on where an edge crosses the antimeridian."""
    points = np.asarray(positions, dtype=np.float64) / E7
    steps = np.diff(points[:, 0])
    crossing = (np.abs(steps) > 180) & (np.abs(steps) < 360)
    if crossing.any():
        # Whole turns are added to what was given, so that a ring that comes back comes back exactly.
        points[1:, 0] += np.cumsum(np.where(crossing, -np.copysign(360.0, steps), 0.0))
    return points


def closed(ring: Sequence[tuple[int, int]]) -> Floats:
    """A ring unrolled, and led over the pole that it goes round, if it does."""
    points = unrolled(ring)
    if abs(points[-1, 0] - points[0, 0]) < 180:
        return points
    pole = math.copysign(90.0, float(points[:, 1].mean()))
    over = [[points[-1, 0], pole], [points[0, 0], pole], points[0]]
    return np.vstack([points, over])


def plane_polygon(rings: Sequence[Ring]) -> shapely.Polygon:
    """A polygon of rings, unrolled; its holes moved to where its outer ring lies."""
    outer = closed(rings[0])
    if len(rings) == 1:
        return shapely.Polygon(outer)
    holes = []
    for ring in rings[1:]:
        hole = closed(ring)
        turns = np.floor((hole[:, 0].min() - outer[:, 0].min()) / 360.0)
        if hole[:, 0].min() < outer[:, 0].min() or hole[:, 0].max() > outer[:, 0].max():
            hole[:, 0] -= 360.0 * turns
        holes.append(hole)
    return shapely.Polygon(outer, holes)


def plane_parts(rings: Sequence[Ring]) -> list[shapely.Polygon]:
    """A polygon cut at the antimeridian, its parts within -180…180."""
    return [part for part in shapely.get_parts(within_one_turn(plane_polygon(rings))) if part.geom_type == "Polygon"]


def within_one_turn(shape: BaseGeometry) -> BaseGeometry:
    """An unrolled shape cut at the antimeridian and moved within -180…180; with its poles, if it reaches them."""
    west, south, east, north = shape.bounds
    parts = [shape]
    if west < -180 or east > 180:
        parts = []
        for turn in range(math.floor((west + 180) / 360), math.ceil((east - 180) / 360) + 1):
            middle = 360.0 * turn
            part = shape.intersection(shapely.box(middle - 180, -90, middle + 180, 90))
            if not part.is_empty:
                parts.append(shapely.transform(part, _shifted(-middle)))
    for pole, reached in ((-90.0, south <= -90), (90.0, north >= 90)):
        if reached:
            parts.append(shapely.LineString([(-180, pole), (180, pole)]))
    return parts[0] if len(parts) == 1 else shapely.union_all(parts)


def _shifted(degrees: float) -> Callable[[Floats], Floats]:
    return lambda points: points + np.array([degrees, 0.0])


def circle(longitude: float, latitude: float, radius_m: float, *, outside: bool) -> BaseGeometry:
    """A polygon just around a circle, or just within it; empty where none within can be told."""
    factor = 1.012 if outside else 0.988
    height = math.degrees(radius_m * 1.02 / 6_335_000)
    if abs(latitude) + height > _POLAR_DEG:
        return _band(latitude - height, latitude + height) if outside else shapely.Polygon()
    bearings = np.linspace(0.0, 360.0, _OUTLINE_POINTS, endpoint=False)
    count = len(bearings)
    east, north, _ = ELLIPSOID.fwd(
        np.full(count, longitude), np.full(count, latitude), bearings, np.full(count, radius_m * factor)
    )
    ring = [(round(x * E7), round(y * E7)) for x, y in zip(east, north, strict=True)]
    return within_one_turn(shapely.Polygon(unrolled([*ring, ring[0]])))


def corridor(lines: Sequence[Line], half_width_m: float, *, outside: bool) -> BaseGeometry:
    """A polygon just around a corridor, or just within it."""
    pieces = []
    for line in lines:
        points = unrolled(line)
        for start, end in pairwise(points):
            count = max(1, math.ceil(abs(end[1] - start[1]) / _PIECE_DEG))
            stations = np.linspace(start, end, count + 1)
            pieces += [_broad(one, two, half_width_m, outside=outside) for one, two in pairwise(stations)]
    return within_one_turn(shapely.union_all(pieces))


def _broad(start: Floats, end: Floats, half_width_m: float, *, outside: bool) -> BaseGeometry:
    """What lies around a short piece of a line. The plane errs with the change of the cosine over the width."""
    latitude = float(start[1] + end[1]) / 2
    height = math.degrees(half_width_m / 6_335_000)
    far = abs(latitude) + height + _PIECE_DEG
    if far > _POLAR_DEG:
        low, high = sorted((float(start[1]), float(end[1])))
        return _band(low - 1.1 * height, high + 1.1 * height) if outside else shapely.Polygon()
    doubt = 0.01 + 1.3 * math.tan(math.radians(far)) * math.radians(height + _PIECE_DEG)
    if not outside and doubt >= 1:
        return shapely.Polygon()
    east_m, north_m = metres_per_degree(latitude)
    scale = np.array([east_m, north_m])
    width_m = half_width_m * (1 + doubt if outside else 1 - doubt)
    plane = (
        shapely.LineString([start * scale, end * scale]) if tuple(start) != tuple(end) else shapely.Point(start * scale)
    )
    return shapely.transform(plane.buffer(width_m, quad_segs=16), lambda points: points / scale)


def _band(south: float, north: float) -> BaseGeometry:
    """All longitudes between two latitudes."""
    return within_one_turn(shapely.box(-180.0, max(south, -90.0), 180.0, min(north, 90.0)))


def metres_per_degree(latitude: float) -> tuple[float, float]:
    """Metres of a degree of longitude and of one of latitude at a latitude, from the radii of curvature there."""
    sine = math.sin(math.radians(latitude))
    bulge = 1 - _ECCENTRICITY_2 * sine * sine
    prime_vertical_m = _SEMI_MAJOR_M / math.sqrt(bulge)
    meridian_m = _SEMI_MAJOR_M * (1 - _ECCENTRICITY_2) / bulge**1.5
    degree = math.pi / 180
    return prime_vertical_m * math.cos(math.radians(latitude)) * degree, meridian_m * degree


def segments(positions: Sequence[tuple[int, int]]) -> Floats:
    """The edges of a ring or line as rows (longitude, latitude, longitude, latitude); edges at a pole are points."""
    points = unrolled(positions)
    edges = np.hstack([points[:-1], points[1:]])
    at_pole = (np.abs(edges[:, 1]) == 90) & (np.abs(edges[:, 3]) == 90)
    kept: Floats = edges[~at_pole]
    return kept


def distance_m(edges: Floats, longitude: float, latitude: float) -> float:
    """Metres from a place to the nearest of some edges: found in the plane about the place, measured by geodesic."""
    east_m, north_m = metres_per_degree(min(max(latitude, -89.9), 89.9))
    best = (math.inf, 0.0, 0.0)
    middle = (edges[:, 0].min() + edges[:, 2].max()) / 2
    nearest_turn = 360.0 * round((middle - longitude) / 360.0)
    for turn in (nearest_turn - 360.0, nearest_turn, nearest_turn + 360.0):
        start = (edges[:, 0:2] - [longitude + turn, latitude]) * [east_m, north_m]
        along = (edges[:, 2:4] - edges[:, 0:2]) * [east_m, north_m]
        length_2 = np.maximum((along**2).sum(axis=1), 1e-12)
        share = np.clip(-(start * along).sum(axis=1) / length_2, 0.0, 1.0)
        away_2 = ((start + along * share[:, None]) ** 2).sum(axis=1)
        place = int(away_2.argmin())
        if away_2[place] < best[0]:
            found = edges[place, 0:2] + share[place] * (edges[place, 2:4] - edges[place, 0:2])
            best = (float(away_2[place]), float(found[0]), float(found[1]))
    return geodesic_m(longitude, latitude, best[1], best[2])


def geodesic_m(longitude: float, latitude: float, other_longitude: float, other_latitude: float) -> float:
    """Metres of the geodesic between two places."""
    return float(ELLIPSOID.inv(longitude, latitude, other_longitude, other_latitude)[2])
