"""A fence's GeoJSON feature, read strictly: what is not understood is an error, for a rule misspelt is a rule not kept.

Every error is one sentence: which fence, which property or which ring and position, what is wrong and what would be
right.
"""

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import numpy as np

from pledgewatch_cloud.decide import fence_shape
from pledgewatch_cloud.decide.fence_shape import Area, Circle, Corridor, FenceError, Line, Shape
from pledgewatch_cloud.decide.geodesy import E7
from pledgewatch_cloud.decide.moments import ID, ID_IS, MomentError, periods, short

KINDS = ("port", "terminal", "warehouse", "customs_zone", "corridor", "forbidden")
GRADES = ("good", "fair")
MOST_METRES = 2_000_000
MOST_SECONDS = 366 * 86_400
MOST_ITEMS = 10_000
LONGEST_NAME = 200
SIZES = ("radius_m", "half_width_m")
NEEDS = {"Point": "radius_m", "LineString": "half_width_m", "MultiLineString": "half_width_m"}
BOUNDS = (("longitude", 180), ("latitude", 90), ("altitude", 10_000_000))


def members(feature: object) -> tuple[str, Mapping[str, Any], object]:
    """A feature's id, properties and geometry. Raises FenceError."""
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise FenceError("a GeoJSON Feature is needed")
    properties = feature.get("properties")
    properties = {} if properties is None else properties
    if not isinstance(properties, dict):
        raise FenceError("properties must be a JSON object")
    identity = feature.get("id", properties.get("id"))
    if not isinstance(identity, str) or not ID.fullmatch(identity):
        raise FenceError(f"the feature needs an id: {ID_IS}; not {short(identity)}")
    if properties.get("id", identity) != identity:
        raise FenceError(f"{identity}: the property id says {short(properties['id'])}; leave one of the two away")
    for name in feature:
        if name not in {"type", "id", "properties", "geometry", "bbox"}:
            raise FenceError(f"{identity}: the member {short(name)} is unknown; a Feature has id, properties, geometry")
    for name in properties:
        if name not in {"id", *READERS, *SIZES}:
            raise FenceError(f"{identity}: the property {short(name)} is unknown; known are {', '.join(KNOWN)}")
    return identity, properties, feature.get("geometry")


def rules(identity: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties that are a fence's rules, by the name of the fence's field. Raises FenceError."""
    found: dict[str, Any] = {"name": identity, "kind": KINDS[0]}
    for name, read in READERS.items():
        if name in properties:
            found[name] = read(f"{identity}: {name}", properties[name])
    return found


def shape(identity: str, geometry: object, properties: Mapping[str, Any]) -> Shape:
    """The shape of a geometry and its size in metres. Raises FenceError."""
    if not isinstance(geometry, dict):
        raise FenceError(f"{identity}: a geometry is needed, a JSON object")
    kind = geometry.get("type")
    if kind not in {"Polygon", "MultiPolygon", *NEEDS}:
        raise FenceError(
            f"{identity}: the geometry type {short(kind)} cannot be a fence; use Polygon, MultiPolygon, Point with"
            " radius_m, LineString or MultiLineString with half_width_m"
        )
    for name in geometry:
        if name not in {"type", "coordinates", "bbox"}:
            raise FenceError(f"{identity}: the geometry's member {short(name)} is unknown; positions are WGS 84")
    needed = NEEDS.get(kind)
    for name in SIZES:
        if name in properties and name != needed:
            fits = "a Point" if name == "radius_m" else "a LineString or MultiLineString"
            raise FenceError(f"{identity}: {name} belongs to {fits}, not to a {kind}")
    if needed is not None and needed not in properties:
        raise FenceError(f"{identity}: a {kind} needs the property {needed}, whole metres from 1 to {MOST_METRES}")
    coordinates = geometry.get("coordinates")
    if kind in {"Polygon", "MultiPolygon"}:
        return _area(identity, kind, coordinates)
    size = _whole(f"{identity}: {needed}", properties[str(needed)], 1, MOST_METRES)
    if kind == "Point":
        if coordinates == []:
            raise FenceError(f"{identity}: the fence is empty; a Point has coordinates [longitude, latitude]")
        longitude, latitude = _position(f"{identity}: position", coordinates)
        return Circle(latitude, longitude, size)
    return _corridor(identity, kind, coordinates, size)


def _area(identity: str, kind: str, coordinates: object) -> Area:
    polygons = _list(f"{identity}: coordinates", [coordinates] if kind == "Polygon" else coordinates, "polygons")
    read, drawn = [], []
    for number, polygon in enumerate(polygons):
        where = f"{identity}: " if kind == "Polygon" else f"{identity}: polygon {number} "
        rings = tuple(
            _ring(f"{where}ring {place}", one)
            for place, one in enumerate(_list(f"{where}coordinates", polygon, "rings"))
        )
        read.append(rings)
        drawn.append(fence_shape.check_polygon(where, rings))
    if len(drawn) > 1:
        fence_shape.check_apart(identity, drawn)
    return Area(tuple(read))


def _corridor(identity: str, kind: str, coordinates: object, half_width_m: int) -> Corridor:
    lines = _list(f"{identity}: coordinates", [coordinates] if kind == "LineString" else coordinates, "lines")
    read = []
    for number, one in enumerate(lines):
        where = f"{identity}: line" if kind == "LineString" else f"{identity}: line {number}"
        line = _line(where, one, 2)
        steps = np.diff(fence_shape.positions(line), axis=0)
        if not (fence_shape.shorter_way(steps[:, 0]) | steps[:, 1]).any():
            raise FenceError(f"{where}: has no length; a circle is a Point with radius_m")
        read.append(line)
    return Corridor(tuple(read), half_width_m)


def _ring(where: str, value: object) -> Line:
    line = _line(where, value, 4)
    if line[:16] != line[-16:]:
        raise FenceError(f"{where}: not closed; its last position must repeat its first")
    return line


def _line(where: str, value: object, least: int) -> Line:
    listed = _list(where, value, "positions")
    if len(listed) < least:
        raise FenceError(f"{where}: {len(listed)} positions are too few; it needs at least {least}")
    # Positions of two plain numbers, which nearly all are, are read as one column. Whatever it does not take, and
    # whatever is out of bounds, is read one by one to say which it is.
    plain = set(map(type, listed)) == {list} and set(map(len, listed)) == {2}
    if plain and set(map(type, chain.from_iterable(listed))) <= {int, float}:
        try:
            values = np.array(listed, dtype=np.float64)
        except OverflowError:
            values = np.full((1, 2), np.inf)
        if bool((np.abs(values) <= (180, 90)).all()):
            return fence_shape.line_of(np.rint(values * E7).astype(np.int64))
    read = [_position(f"{where} position {number}", one) for number, one in enumerate(listed)]
    return fence_shape.line_of(np.array(read, dtype=np.int64))


def _position(where: str, value: object) -> tuple[int, int]:
    """[longitude, latitude] and perhaps an altitude, which a fence does not have."""
    if not isinstance(value, list) or not 2 <= len(value) <= 3:
        raise FenceError(f"{where}: {short(value)} is no position; it must be [longitude, latitude]")
    numbers = []
    for (name, bound), number in zip(BOUNDS, value, strict=False):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise FenceError(f"{where}: {name} {short(number)} is not a number")
        if not -bound <= number <= bound:  # which no NaN is
            raise FenceError(f"{where}: {name} {short(number)} is not from {-bound} to {bound}")
        numbers.append(number)
    return round(numbers[0] * E7), round(numbers[1] * E7)


def _list(where: str, value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise FenceError(f"{where}: a list of {what} is needed, not {short(value)}")
    if not value:
        raise FenceError(f"{where}: the fence is empty; a list of {what} is needed")
    return value


def _whole(where: str, value: object, least: int, most: int) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or value != value // 1
        or not least <= value <= most
    ):
        raise FenceError(f"{where}: {short(value)} is not a whole number from {least} to {most}")
    return int(value)


def _whole_between(least: int, most: int) -> Callable[[str, object], int]:
    return lambda where, value: _whole(where, value, least, most)


def _yes_or_no(where: str, value: object) -> int:
    if isinstance(value, bool):
        return int(value)
    return _whole(where, value, 0, 1)


def _name(where: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NAME:
        raise FenceError(f"{where}: {short(value)} is not a text of 1 to {LONGEST_NAME} characters")
    return value


def _one_of(known: tuple[str, ...]) -> Callable[[str, object], str]:
    def read(where: str, value: object) -> str:
        if not isinstance(value, str) or value not in known:
            raise FenceError(f"{where} {short(value)} is none of {', '.join(known)}")
        return value

    return read


def _legs(where: str, value: object) -> tuple[str, ...]:
    listed = _bounded(where, value)
    for number, one in enumerate(listed):
        if not isinstance(one, str) or not ID.fullmatch(one):
            raise FenceError(f"{where}[{number}]: {short(one)} is not the id of a leg")
        if one in listed[:number]:
            raise FenceError(f"{where}[{number}]: {one} is named twice")
    return tuple(listed)


def _active(where: str, value: object) -> tuple[tuple[int, int], ...]:
    try:
        return periods(where, value)
    except MomentError as error:
        raise FenceError(str(error)) from None


def _bounded(where: str, value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        raise FenceError(f"{where}: a list of at most {MOST_ITEMS} is needed")
    return value


READERS: Mapping[str, Callable[[str, object], Any]] = {
    "name": _name,
    "kind": _one_of(KINDS),
    "margin_m": _whole_between(0, MOST_METRES),
    "enter_margin_m": _whole_between(0, MOST_METRES),
    "dwell_s": _whole_between(0, MOST_SECONDS),
    "leave_after_s": _whole_between(0, MOST_SECONDS),
    "accuracy_aware": _yes_or_no,
    "grade": _one_of(GRADES),
    "active": _active,
    "legs": _legs,
}
KNOWN = ("id", *READERS, *SIZES)
