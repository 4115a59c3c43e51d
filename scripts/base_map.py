"""Makes the console's base map out of Natural Earth's land (public domain) as the npm package world-atlas ships it.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    .venv/bin/python scripts/base_map.py package/land-50m.json

TopoJSON in: arcs of differences on a grid, which polygons name by number, backwards where it is negative. GeoJSON out,
with two places behind the point and without what is smaller than a ship sees. What crosses the 180th meridian is cut
there, and Antarctica, which is around a pole, is closed along its latitude.
"""

import json
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

from shapely import unary_union
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon, box, mapping
from shapely.geometry.base import BaseGeometry

OUT = Path(__file__).resolve().parent.parent / "cloud" / "pledgewatch_cloud" / "console" / "vendor" / "land.json"
COARSE_DEG = 0.05
LEAST_DEG2 = 0.015


def arcs_of(topology: dict[str, Any]) -> list[list[tuple[float, float]]]:
    """Each arc as longitudes and latitudes."""
    (scale_x, scale_y), (from_x, from_y) = topology["transform"]["scale"], topology["transform"]["translate"]
    found = []
    for arc in topology["arcs"]:
        xs, ys = accumulate(one[0] for one in arc), accumulate(one[1] for one in arc)
        found.append([(x * scale_x + from_x, y * scale_y + from_y) for x, y in zip(xs, ys, strict=True)])
    return found


def ring_of(arcs: list[list[tuple[float, float]]], numbers: list[int]) -> list[tuple[float, float]]:
    """A ring out of its arcs; each begins where the one before it ends."""
    ring: list[tuple[float, float]] = []
    for number in numbers:
        arc = arcs[number] if number >= 0 else arcs[~number][::-1]
        ring += arc[1:] if ring else arc
    return ring


def straight(ring: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The ring without jumps from one side of the world to the other."""
    found = [ring[0]]
    for east, north in ring[1:]:
        found.append((east - 360 * round((east - found[-1][0]) / 360), north))
    if abs(found[-1][0] - found[0][0]) > 180:
        found += [(found[-1][0], -90.0), (found[0][0], -90.0)]
    return found


def cut(shape: BaseGeometry) -> BaseGeometry:
    """The shape within the world, what lies beyond an edge brought in at the other."""
    world = box(-180, -90, 180, 90)
    return unary_union([translate(shape, turn).intersection(world) for turn in (-360, 0, 360)])


def land_of(topology: dict[str, Any]) -> dict[str, Any]:
    """The land as one GeoJSON feature."""
    arcs, polygons = arcs_of(topology), []
    for geometry in topology["objects"]["land"]["geometries"]:
        for rings in geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]:
            shell, *holes = (straight(ring_of(arcs, one)) for one in rings)
            simple = cut(Polygon(shell, holes).buffer(0)).simplify(COARSE_DEG)
            polygons += [
                one for one in getattr(simple, "geoms", [simple]) if isinstance(one, Polygon) and one.area >= LEAST_DEG2
            ]
    return {
        "type": "Feature",
        "properties": {"source": "Natural Earth land 1:50m, public domain, by way of world-atlas 2.0.2"},
        "geometry": _rounded(mapping(MultiPolygon(polygons))),
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return round(value, 2) if isinstance(value, float) else value


if __name__ == "__main__":
    land = land_of(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    OUT.write_text(json.dumps(land, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")
