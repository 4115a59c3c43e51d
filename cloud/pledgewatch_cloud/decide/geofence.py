"""Fences as they are declared: RFC 7946 features, read with every fault named, and written back in one form.

A fence is one of three shapes, in WGS 84 degrees, longitude before latitude:

- polygons, with holes; an outline may cross the antimeridian, cut there as the RFC recommends or not (an edge between
  longitudes more than 180 degrees apart goes the shorter way round), and may touch or go round a pole;
- a circle: a Point and `radius_m`, in true metres;
- a corridor: lines, straight in the plane of longitude and latitude as the RFC has it, `half_width_m` to each side.

The edge belongs to the fence. Coordinates are kept as whole numbers of 1e-7 degrees, so a book has one canonical form
and a fence that did not change compares equal. What lies in which fence is answered by fence_index.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import shapely

from pledgewatch_cloud.decide import outline
from pledgewatch_cloud.decide.grade import GRADE_NAMES
from pledgewatch_cloud.decide.outline import E7, Line, Ring

KINDS = ("port", "terminal", "warehouse", "customs_zone", "corridor", "forbidden")
MAX_WIDTH_M = 2_000_000
MAX_MARGIN_M = 100_000
MAX_WAIT_S = 366 * 86_400
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


class FenceError(ValueError):
    """A feature that cannot be a fence: a sentence that names the place and the fault."""


class Polygons(NamedTuple):
    """Polygons → rings → (longitude, latitude) in 1e-7 degrees, the outer ring first, as they were declared."""

    polygons: tuple[tuple[Ring, ...], ...]


class Circle(NamedTuple):
    """All within `radius_m` of a point in 1e-7 degrees."""

    longitude_e7: int
    latitude_e7: int
    radius_m: int


class Corridor(NamedTuple):
    """All within `half_width_m` of lines in 1e-7 degrees."""

    lines: tuple[Line, ...]
    half_width_m: int


Shape = Polygons | Circle | Corridor


@dataclass(frozen=True, slots=True)
class Fence:
    """A fence and how crossings of it are judged; see presence.

    `margin_m`: left only beyond it. `enter_margin_m`: entered only deeper than it. `dwell_s`, `leave_after_s`: only
    after so long. `accuracy_aware` 1: a fix whose accuracy circle straddles the edge changes nothing. `grade`: the
    least that a fix must be worth. `active`: when it is in force, as [from, until) in Unix milliseconds (none: always).
    `legs`: ids of the legs in which it is (none: in all).
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
        """Read a GeoJSON feature. Raises FenceError."""
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise FenceError("a GeoJSON Feature is needed")
        properties = feature.get("properties") or {}
        if not isinstance(properties, dict):
            raise FenceError("properties: an object is needed")
        identity = feature.get("id", properties.get("id"))
        if not isinstance(identity, str) or not ID.fullmatch(identity):
            raise FenceError(f"the feature needs an id that matches {ID.pattern}, not {identity!r}")
        reader = _Properties(identity, properties)
        shape = _shape(identity, feature.get("geometry"), reader)
        fence = cls(
            identity,
            reader.text("name", identity),
            reader.one_of("kind", KINDS, "port"),
            shape,
            reader.integer("margin_m", 0, MAX_MARGIN_M),
            reader.integer("enter_margin_m", 0, MAX_MARGIN_M),
            reader.integer("dwell_s", 0, MAX_WAIT_S),
            reader.integer("leave_after_s", 0, MAX_WAIT_S),
            reader.integer("accuracy_aware", 0, 1, 1),
            reader.one_of("grade", tuple(GRADE_NAMES), "good"),
            reader.windows("active"),
            reader.ids("legs"),
        )
        reader.end()
        return fence

    @property
    def is_scoped(self) -> bool:
        """Whether there are moments or legs in which it is not in force."""
        return bool(self.active or self.legs)

    def as_feature(self) -> dict[str, Any]:
        """The fence as a GeoJSON feature: the exact inverse of from_feature."""
        geometry, properties = _geometry(self.shape)
        properties |= {"name": self.name, "kind": self.kind, "grade": self.grade, "accuracy_aware": self.accuracy_aware}
        for name in ("margin_m", "enter_margin_m", "dwell_s", "leave_after_s"):
            if getattr(self, name):
                properties[name] = getattr(self, name)
        if self.active:
            properties["active"] = [{"from": iso(since), "until": iso(until)} for since, until in self.active]
        if self.legs:
            properties["legs"] = list(self.legs)
        return {"type": "Feature", "id": self.id, "properties": properties, "geometry": geometry}


def iso(at_ms: int) -> str:
    """A moment as ISO 8601 in UTC, to the millisecond where it needs it."""
    seconds, milliseconds = divmod(at_ms, 1_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{milliseconds:03d}Z" if milliseconds else f"{text}Z"


def moment_ms(value: object) -> int:
    """A moment given as ISO 8601 with a time zone, in Unix milliseconds. Raises ValueError with a sentence."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{value!r} is no moment: write it as 2026-01-31T12:00:00Z")
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone: write it as 2026-01-31T12:00:00Z")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MILLISECOND


_MILLISECOND = timedelta(milliseconds=1)


class _Properties:
    """The properties of a feature while they are read; each may be taken once, and none may be left."""

    def __init__(self, identity: str, properties: Mapping[str, Any]) -> None:
        self._identity = identity
        self._left = {key: value for key, value in properties.items() if key != "id"}

    def has(self, name: str) -> bool:
        return name in self._left

    def text(self, name: str, default: str) -> str:
        value = self._left.pop(name, default)
        if not isinstance(value, str) or len(value) > 200:
            raise FenceError(f"{self._identity}: {name} must be a text of at most 200 characters")
        return value

    def one_of(self, name: str, known: tuple[str, ...], default: str) -> str:
        value = self._left.pop(name, default)
        if value not in known:
            raise FenceError(f"{self._identity}: {name} {value!r} is none of {', '.join(known)}")
        return str(value)

    def integer(self, name: str, low: int, high: int, default: int | None = 0) -> int:
        value = self._left.pop(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise FenceError(f"{self._identity}: {name} {value!r} is not a whole number from {low} to {high}")
        return value

    def windows(self, name: str) -> tuple[tuple[int, int], ...]:
        value = self._left.pop(name, [])
        try:
            return read_windows(value)
        except ValueError as error:
            raise FenceError(f"{self._identity}: {name}{error}") from None

    def ids(self, name: str) -> tuple[str, ...]:
        value = self._left.pop(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and ID.fullmatch(one) for one in value):
            raise FenceError(f"{self._identity}: {name} must be a list of ids")
        return tuple(sorted(set(value)))

    def end(self) -> None:
        if self._left:
            raise FenceError(f"{self._identity}: there is no property {sorted(self._left)[0]!r}")


def read_windows(value: object) -> tuple[tuple[int, int], ...]:
    """[{"from": moment, "until": moment}, …] in order and apart. Raises ValueError: its text continues a place."""
    if not isinstance(value, list):
        raise ValueError(": a list of {from, until} is needed")  # noqa: TRY004 - the document is at fault, not a caller
    windows: list[tuple[int, int]] = []
    for place, one in enumerate(value):
        if not isinstance(one, dict) or set(one) != {"from", "until"}:
            raise ValueError(f"[{place}]: an object with from and until is needed")
        try:
            since_ms, until_ms = moment_ms(one["from"]), moment_ms(one["until"])
        except ValueError as error:
            raise ValueError(f"[{place}]: {error}") from None
        if until_ms <= since_ms:
            raise ValueError(f"[{place}]: until {one['until']} is not after from {one['from']}")
        if windows and since_ms < windows[-1][1]:
            raise ValueError(f"[{place}]: begins before the one before it ends")
        windows.append((since_ms, until_ms))
    return tuple(windows)


def _shape(identity: str, geometry: object, reader: _Properties) -> Shape:
    if not isinstance(geometry, dict):
        raise FenceError(f"{identity}: geometry is missing")
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    match kind:
        case "Polygon" | "MultiPolygon":
            return _polygons(identity, [coordinates] if kind == "Polygon" else coordinates)
        case "Point":
            if not reader.has("radius_m"):
                raise FenceError(f"{identity}: a Point is the middle of a circle; radius_m is missing")
            longitude_e7, latitude_e7 = _position(f"{identity}: the point", coordinates)
            return Circle(longitude_e7, latitude_e7, reader.integer("radius_m", 1, MAX_WIDTH_M))
        case "LineString" | "MultiLineString":
            if not reader.has("half_width_m"):
                raise FenceError(f"{identity}: a line is the middle of a corridor; half_width_m is missing")
            lines = [coordinates] if kind == "LineString" else coordinates
            return _corridor(identity, lines, reader.integer("half_width_m", 1, MAX_WIDTH_M))
        case _:
            raise FenceError(
                f"{identity}: geometry {kind!r} is none of Polygon, MultiPolygon, Point, LineString, MultiLineString"
            )


def _polygons(identity: str, polygons: object) -> Polygons:
    if not isinstance(polygons, list) or not polygons:
        raise FenceError(f"{identity}: coordinates are empty")
    result = []
    for number, polygon in enumerate(polygons):
        place = f"{identity}: polygon {number}" if len(polygons) > 1 else f"{identity}:"
        if not isinstance(polygon, list) or not polygon:
            raise FenceError(f"{place} has no rings")
        rings = tuple(_ring(f"{place} ring {ring}", one) for ring, one in enumerate(polygon))
        _check_polygon(place, rings)
        result.append(rings)
    shape = Polygons(tuple(result))
    if len(result) > 1:
        whole = shapely.MultiPolygon([part for one in result for part in outline.plane_parts(one)])
        if not whole.is_valid:
            raise FenceError(f"{identity}: its polygons overlap: {shapely.is_valid_reason(whole)}")
    return shape


def _check_polygon(place: str, rings: tuple[Ring, ...]) -> None:
    polygon = outline.plane_polygon(rings)
    if not polygon.is_valid:
        raise FenceError(f"{place} {shapely.is_valid_reason(polygon)}")
    if polygon.area == 0:
        raise FenceError(f"{place} the fence is empty")


def _ring(place: str, positions: object) -> Ring:
    if not isinstance(positions, list) or len(positions) < 4:
        raise FenceError(f"{place}: a ring has at least four positions")
    ring = tuple(_position(f"{place} position", one, number) for number, one in enumerate(positions))
    if ring[0] != ring[-1]:
        raise FenceError(f"{place}: not closed, its last position must repeat its first")
    return ring


def _corridor(identity: str, lines: object, half_width_m: int) -> Corridor:
    if not isinstance(lines, list) or not lines:
        raise FenceError(f"{identity}: coordinates are empty")
    result = []
    for number, line in enumerate(lines):
        place = f"{identity}: line {number}"
        if not isinstance(line, list) or len(line) < 2:
            raise FenceError(f"{place}: a line has at least two positions")
        found = tuple(_position(f"{place} position", one, position) for position, one in enumerate(line))
        if len(set(found)) == 1:
            raise FenceError(f"{place}: all its positions are one; a Point with radius_m is a circle")
        result.append(found)
    return Corridor(tuple(result), half_width_m)


def _position(place: str, value: object, number: int | None = None) -> tuple[int, int]:
    if type(value) is list and len(value) >= 2:
        longitude, latitude = value[0], value[1]
        if (
            type(longitude) in _NUMBERS
            and type(latitude) in _NUMBERS
            and -180 <= longitude <= 180
            and -90 <= latitude <= 90
        ):
            return round(longitude * E7), round(latitude * E7)
    raise FenceError(_position_fault(place if number is None else f"{place} {number}", value))


_NUMBERS = (int, float)


def _position_fault(place: str, value: object) -> str:
    if not isinstance(value, list) or len(value) < 2:
        return f"{place}: a position is [longitude, latitude]"
    for name, number, bound in (("longitude", value[0], 180), ("latitude", value[1], 90)):
        if type(number) not in _NUMBERS or math.isnan(number) or not -bound <= number <= bound:
            return f"{place}: {name} {number!r} is not from {-bound} to {bound}"
    return f"{place}: a position is [longitude, latitude]"


def _geometry(shape: Shape) -> tuple[dict[str, Any], dict[str, Any]]:
    """The geometry of a shape, and the properties that belong to it."""
    match shape:
        case Polygons(polygons):
            coordinates = [[_degrees(ring) for ring in polygon] for polygon in polygons]
            return {"type": "MultiPolygon", "coordinates": coordinates}, {}
        case Circle(longitude_e7, latitude_e7, radius_m):
            return {"type": "Point", "coordinates": [longitude_e7 / E7, latitude_e7 / E7]}, {"radius_m": radius_m}
        case Corridor(lines, half_width_m):
            geometry = {"type": "MultiLineString", "coordinates": [_degrees(line) for line in lines]}
            return geometry, {"half_width_m": half_width_m}


def _degrees(positions: Iterable[tuple[int, int]]) -> list[list[float]]:
    return [[longitude / E7, latitude / E7] for longitude, latitude in positions]
