"""The shapes a fence can have, and the plane they are judged in.

A shape keeps the document's own positions as whole numbers of 1e-7 degrees (`Line`: bytes of int64 pairs, longitude
first), so that two equal documents are equal shapes and nothing is lost or gained by writing one out again.

Judged is in the *plane*: longitude and latitude as flat coordinates, in which an edge is straight (RFC 7946, 3.1.1).

- A ring cut at 180 degrees (RFC 7946, 3.1.9) already lies in the plane and is taken as written.
- In an uncut ring, two successive longitudes that differ by more than 180 degrees mean the shorter way; the ring is
  unrolled and may then reach beyond 180. Whoever asks, asks for its copies a whole turn away too. A step of exactly 360
  degrees is taken as written where the ring then is a ring, as in a band round the Earth, and as no step where not.
- A ring that goes once round a pole has the pole inside: the pole of the hemisphere that most of the ring lies in, for
  orientation is not reliable (RFC 7946, 3.1.6). It is laid out over several turns, so that the domain from -180 to 180
  sees no end of it, and closed beyond the pole, so that the pole is inside and not on an edge. The usual way to write
  such a ring in the plane (down the 180th meridian, along latitude 90, up again) is recognised as the same thing.
- A ring with a position at latitude 90 or -90 touches the pole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from pledgewatch_cloud.decide.geodesy import E7, HALF_TURN_E7, POLE_E7, TURN_E7, Integers

Line = bytes
OUTER_TURNS = 5  # more than a hole's, so that a hole round the same pole lies inside
HOLE_TURNS = 3
BEYOND_POLE_E7 = E7


class FenceError(ValueError):
    """A feature that cannot be a fence: a sentence that names the place and the cure."""


@dataclass(frozen=True, slots=True)
class Area:
    """A Polygon or MultiPolygon: polygons → rings → positions, the outer ring first."""

    polygons: tuple[tuple[Line, ...], ...]

    def geometry(self) -> dict[str, Any]:
        """As GeoJSON."""
        written = [[_written(ring) for ring in polygon] for polygon in self.polygons]
        if len(written) == 1:
            return {"type": "Polygon", "coordinates": written[0]}
        return {"type": "MultiPolygon", "coordinates": written}


@dataclass(frozen=True, slots=True)
class Circle:
    """All places within so many metres of a place, by geodesic."""

    latitude_e7: int
    longitude_e7: int
    radius_m: int

    def geometry(self) -> dict[str, Any]:
        """As GeoJSON."""
        return {"type": "Point", "coordinates": [self.longitude_e7 / E7, self.latitude_e7 / E7]}


@dataclass(frozen=True, slots=True)
class Corridor:
    """All places within so many metres of lines, by geodesic. The lines are straight in the plane."""

    lines: tuple[Line, ...]
    half_width_m: int

    def geometry(self) -> dict[str, Any]:
        """As GeoJSON."""
        written = [_written(line) for line in self.lines]
        if len(written) == 1:
            return {"type": "LineString", "coordinates": written[0]}
        return {"type": "MultiLineString", "coordinates": written}


Shape = Area | Circle | Corridor


@dataclass(frozen=True, slots=True)
class PlaneRing:
    """A ring in the plane. `positions` is (n, 2), closed; `turn` is what of it is real: without copies and closing.

    `pole` is 1 or -1 where the ring goes round the northern or southern pole, else 0.
    """

    positions: Integers
    turn: Integers
    pole: int = 0

    @property
    def touches(self) -> tuple[bool, bool]:
        """Whether a position of it is the southern pole, the northern pole."""
        latitudes = self.turn[:, 1]
        return bool((latitudes == -POLE_E7).any()), bool((latitudes == POLE_E7).any())


def positions(line: Line) -> Integers:
    """The positions of a line as (n, 2): longitude, latitude in 1e-7 degrees."""
    return np.frombuffer(line, dtype="<i8").astype(np.int64, copy=False).reshape(-1, 2)


def line_of(values: Integers) -> Line:
    """Positions, (n, 2), as a line."""
    return values.astype("<i8").tobytes()


def shorter_way(steps_e7: Integers) -> Integers:
    """Steps in longitude of more than half a turn, made the other way round."""
    return np.where(np.abs(steps_e7) > HALF_TURN_E7, steps_e7 - TURN_E7 * np.sign(steps_e7), steps_e7)


def plane_polygon(rings: Sequence[Line]) -> list[PlaneRing]:
    """A polygon's rings in the plane, holes shifted by whole turns to where their outer ring is.

    A hole in a polygon round a pole comes as many times as the domain from -180 to 180 sees it.
    """
    outer = plane_ring(rings[0], OUTER_TURNS)
    placed = [outer]
    west = int(outer.positions[:, 0].min())
    for line in rings[1:]:
        hole = plane_ring(line, HOLE_TURNS)
        shift = 0 if hole.pole else -(-(west - int(hole.positions[:, 0].min())) // TURN_E7) * TURN_E7
        if not outer.pole or hole.pole:
            placed.append(_shifted(hole, 0 if hole.pole else shift))
            continue
        for turns in range(-2, 3):
            copy = _shifted(hole, turns * TURN_E7)
            if copy.positions[:, 0].max() >= -HALF_TURN_E7 and copy.positions[:, 0].min() <= HALF_TURN_E7:
                placed.append(copy)
    return placed


def plane_ring(line: Line, turns: int) -> PlaneRing:
    """A ring in the plane. Raises FenceError when it goes round a pole more than once, or round the equator."""
    ring = positions(line)
    unrolled, pole = _without_seam(ring)
    if not pole:
        steps = np.diff(ring[:, 0])
        wide = np.abs(steps) > HALF_TURN_E7
        if not wide.any() or ((np.abs(steps[wide]) == TURN_E7).all() and _is_ring(ring)):
            return PlaneRing(ring, ring)
        unrolled = _chain(ring, shorter_way(steps))
    wound = int(unrolled[-1, 0] - unrolled[0, 0]) // TURN_E7
    if wound == 0:
        return PlaneRing(unrolled, unrolled)
    if abs(wound) > 1:
        raise FenceError(f"goes round a pole {abs(wound)} times; once is the most")
    if not pole:
        middle = float(np.sum(np.diff(unrolled[:, 0]) * (unrolled[1:, 1] + unrolled[:-1, 1]) / 2.0)) * wound
        if middle == 0:
            raise FenceError("goes round the Earth half north, half south; which side is meant cannot be told")
        pole = 1 if middle > 0 else -1
    return _laid_out(unrolled if wound > 0 else unrolled[::-1], pole, turns)


def check_polygon(place: str, rings: Sequence[Line]) -> list[PlaneRing]:
    """The polygon's rings in the plane. Raises FenceError that names ring and position when it is no polygon."""
    if not _is_odd(rings):
        drawn = [positions(ring) for ring in rings]
        if bool(shapely.is_valid(shapely.Polygon(drawn[0], drawn[1:]))):
            return [PlaneRing(one, one) for one in drawn]
    outer = None
    for number, ring in enumerate(rings):
        where = f"{place}ring {number}"
        try:
            plane = plane_ring(ring, HOLE_TURNS if number else OUTER_TURNS)
        except FenceError as error:
            raise FenceError(f"{where}: {error}") from None
        _check_ring(where, plane)
        if number == 0:
            outer = plane
        elif outer is not None and plane.pole and plane.pole != outer.pole:
            raise FenceError(f"{where}: goes round a pole that its outer ring does not go round")
    placed = plane_polygon(rings)
    shell = shapely.Polygon(placed[0].positions)
    for number, ring in enumerate(rings[1:], 1):
        for part in plane_polygon([rings[0], ring])[1:]:
            if not shell.covers(shapely.Polygon(part.positions)):
                raise FenceError(f"{place}ring {number}: the hole does not lie inside its outer ring (ring 0)")
    polygon = shapely.Polygon(shell.exterior, [one.positions for one in placed[1:]])
    if not polygon.is_valid:
        raise FenceError(
            f"{place}holes must not overlap, nor share edges with each other or with ring 0{_reason(polygon)}"
        )
    return placed


def check_apart(identity: str, polygons: Sequence[list[PlaneRing]]) -> None:
    """Raise FenceError when polygons of one fence overlap or share an edge elsewhere than at 180 degrees."""
    copies, owner = [], []
    for number, rings in enumerate(polygons):
        drawn = shapely.Polygon(rings[0].positions, [one.positions for one in rings[1:]])
        west, _, east, _ = drawn.bounds
        for turns in (0,) if rings[0].pole else range(-2, 3):
            if west + turns * TURN_E7 <= HALF_TURN_E7 and east + turns * TURN_E7 >= -HALF_TURN_E7:
                copies.append(_moved(drawn, turns * TURN_E7))
                owner.append(number)
    for one, other in shapely.STRtree(copies).query(copies, predicate="intersects").T.tolist():
        if one >= other:
            continue
        pattern = shapely.relate(copies[one], copies[other])
        who = f"{identity}: polygon {owner[one]} and polygon {owner[other]}"
        if pattern[0] == "2":
            raise FenceError(f"{who} overlap; join them into one")
        if pattern[4] == "1" and not _at_the_cut(copies[one].boundary.intersection(copies[other].boundary)):
            raise FenceError(f"{who} share an edge; join them into one")


def edges(polygons: Iterable[Sequence[Line]]) -> Integers:
    """The edges of an area as (n, 4): longitude and latitude of the start, the way to the end. 1e-7 degrees.

    Where parts meet at 180 degrees, the cut between them is no edge; nor is a way along a pole.
    """
    found, cuts = [], []
    for rings in polygons:
        for number, line in enumerate(rings):
            plane = plane_ring(line, HOLE_TURNS)
            ring = plane.turn if _interior_is_left(plane) == (number == 0) else plane.turn[::-1]
            both = np.concatenate([ring[:-1], np.diff(ring, axis=0)], axis=1)
            both = both[(np.abs(ring[:-1, 1]) != POLE_E7) | (both[:, 3] != 0)]
            cut = (both[:, 0] % TURN_E7 == HALF_TURN_E7) & (both[:, 2] == 0)
            found.append(both[~cut])
            cuts.append(both[cut])
    return np.concatenate([*found, _uncancelled(np.concatenate(cuts))])


def _uncancelled(cuts: Integers) -> Integers:
    """Of edges on the 180th meridian, the stretches that have the fence on one side only."""
    if not len(cuts):
        return cuts
    marks = np.unique(np.concatenate([cuts[:, 1], cuts[:, 1] + cuts[:, 3]]))
    weight = np.zeros(len(marks), dtype=np.int64)
    for start, step in cuts[:, (1, 3)].tolist():
        first, last = np.searchsorted(marks, sorted((start, start + step)))
        weight[first:last] += np.sign(step)
    kept = np.flatnonzero(weight[:-1])
    column = np.full(len(kept), HALF_TURN_E7)
    return np.stack([column, marks[kept], np.zeros_like(column), np.diff(marks)[kept]], axis=1)


def _interior_is_left(plane: PlaneRing) -> bool:
    """Of a ring round a pole, which runs eastward, the pole's side; of any other, by its signed area."""
    return plane.pole > 0 if plane.pole else _doubled_area(plane.positions) > 0


def _doubled_area(ring: Integers) -> float:
    """Twice the signed area in the plane (shoelace formula), positive when counter-clockwise."""
    x, y = (ring - ring[0]).astype(np.float64).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))


def _shifted(ring: PlaneRing, shift_e7: int) -> PlaneRing:
    shift = np.array([shift_e7, 0])
    return PlaneRing(ring.positions + shift, ring.turn + shift, ring.pole)


def _moved(drawn: shapely.Polygon, shift_e7: int) -> shapely.Polygon:
    shift = np.array([shift_e7, 0])
    return shapely.transform(drawn, lambda xy: xy + shift)


def _laid_out(turn: Integers, pole: int, turns: int) -> PlaneRing:
    """A chain that goes round a pole once, eastward, repeated to both sides and closed beyond the pole."""
    turn = turn - ((turn[0, 0] + HALF_TURN_E7) // TURN_E7 * TURN_E7, 0)
    first = -(turns // 2)
    copies = [turn[:-1] + np.array([number * TURN_E7, 0]) for number in range(first, first + turns)]
    west, east = int(turn[0, 0]) + first * TURN_E7, int(turn[0, 0]) + (first + turns) * TURN_E7
    beyond = pole * (POLE_E7 + BEYOND_POLE_E7 * (2 if turns == OUTER_TURNS else 1))
    closing = np.array([[east, turn[0, 1]], [east, beyond], [west, beyond], [west, turn[0, 1]]])
    return PlaneRing(np.concatenate([*copies, closing]), turn, pole)


def _without_seam(ring: Integers) -> tuple[Integers, int]:
    """A ring that comes to a pole on one side of the 180th meridian and leaves it on the other: without that way.

    Gives the rest, unrolled and back to its start a turn away, and the pole; the ring and 0 when it is another kind.
    """
    corners = ring[:-1]
    for pole in (1, -1):
        at_pole = corners[:, 1] == pole * POLE_E7
        begins = np.flatnonzero(at_pole & ~np.roll(at_pole, 1))
        if len(begins) != 1 or at_pole.all():
            continue
        turned = np.roll(corners, -int(begins[0]), axis=0)
        length = int(at_pole.sum())
        arrives, leaves, rest = int(turned[0, 0]), int(turned[length - 1, 0]), turned[length:]
        if len(rest) < 2 or abs(arrives - leaves) != TURN_E7 or rest[-1, 0] != arrives or rest[0, 0] != leaves:
            continue
        steps = np.diff(rest[:, 0])
        steps = np.append(np.where(np.abs(steps) == TURN_E7, steps, shorter_way(steps)), 0)
        if abs(int(steps.sum())) == TURN_E7:
            return _chain(np.concatenate([rest, rest[:1]]), steps), pole
    return ring, 0


def _chain(values: Integers, steps_e7: Integers) -> Integers:
    """Positions whose longitudes follow each other by these steps."""
    longitudes = values[0, 0] + np.concatenate(([0], np.cumsum(steps_e7)))
    return np.stack([longitudes, values[:, 1]], axis=1)


def _is_odd(rings: Sequence[Line]) -> bool:
    """Whether a polygon needs more than to be read as written."""
    for ring in rings:
        values = positions(ring)
        if np.abs(values[1:, 0] - values[:-1, 0]).max() > HALF_TURN_E7 or np.abs(values[:, 1]).max() == POLE_E7:
            return True
    return False


def _is_ring(ring: Integers) -> bool:
    return bool(shapely.LinearRing(ring).is_simple) and _doubled_area(ring) != 0


def _check_ring(where: str, plane: PlaneRing) -> None:
    if shapely.MultiPoint(plane.positions).convex_hull.area == 0:
        raise FenceError(f"{where}: encloses nothing; its area is zero")
    drawn = shapely.Polygon(plane.positions)
    if not drawn.is_valid:
        raise FenceError(f"{where}: crosses or touches itself{_crossing(plane.turn) or _reason(drawn)}")
    if not plane.pole and np.ptp(plane.positions[:, 0]) > TURN_E7:
        again = _moved(drawn, TURN_E7)
        if shapely.relate(drawn, again)[0] == "2":
            raise FenceError(f"{where}: crosses itself on its way round the Earth")


def _crossing(ring: Integers) -> str:
    """Which two edges of a ring have more in common than neighbours do; empty when none has."""
    sides = [shapely.LineString(ring[number : number + 2]) for number in range(len(ring) - 1)]
    tree = shapely.STRtree(sides)
    for one, other in sorted(tree.query(sides, predicate="intersects").T.tolist()):
        if one >= other or np.array_equal(ring[one], ring[one + 1]) or np.array_equal(ring[other], ring[other + 1]):
            continue
        shared = sides[one].intersection(sides[other])
        if shared.length == 0 and (other - one == 1 or (one == 0 and other == len(sides) - 1)):
            continue
        place = shared.representative_point()
        return (
            f": the edge from position {one} to {one + 1} meets the edge from position {other} to {other + 1}"
            f" at [{_degrees(place.x)}, {_degrees(place.y)}]"
        )
    return ""


def _reason(drawn: shapely.Geometry) -> str:
    """Where the plane finds fault, in degrees."""
    _, _, place = str(shapely.is_valid_reason(drawn)).partition("[")
    numbers = [_degrees(float(one)) for one in place.rstrip("]").split()]
    return f" near [{', '.join(numbers)}]" if numbers else ""


def _degrees(value_e7: float) -> str:
    return f"{(value_e7 + HALF_TURN_E7) % TURN_E7 / E7 - 180:.7g}"


def _at_the_cut(shared: shapely.Geometry) -> bool:
    """Whether all that two boundaries share, single points apart, lies on the 180th meridian."""
    stretches = [one for one in shapely.get_parts(shared) if one.length]
    return all(one.bounds[0] == one.bounds[2] and one.bounds[0] % TURN_E7 == HALF_TURN_E7 for one in stretches)


def _written(line: Line) -> list[list[float]]:
    written: list[list[float]] = (positions(line) / E7).tolist()
    return written
