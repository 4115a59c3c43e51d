"""Fences against real tracks and real ports: storms over 180 degrees, ships of one day in North American waters."""

import csv
import json
from collections import defaultdict
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from needed import DATA, needs

from pledgewatch_cloud.decide.geofence import E7, Fence, FenceError, FenceIndex

Ring = list[tuple[int, int]]


@needs("track-antimeridian")
def test_storms_cross_the_line_as_often_as_known() -> None:
    """Two fences that meet at 180 degrees: each change from one to the other is a crossing."""
    west = [[100, -80], [180, -80], [180, 80], [100, 80], [100, -80]]
    east = [[-180, -80], [-60, -80], [-60, 80], [-180, 80], [-180, -80]]
    fences = _index(
        {"west": {"type": "Polygon", "coordinates": [west]}, "east": {"type": "Polygon", "coordinates": [east]}}
    )
    tracks: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in _rows("track-antimeridian/hurdat2_nepac_crossing_180.csv"):
        tracks[row["id"]].append((_e7(row["lat"]), _e7(row["lon"])))
    answers = {row["id"]: int(row["crossings"]) for row in _rows("track-antimeridian/answers.csv")}
    assert len(answers) == 21
    for storm, crossings in answers.items():
        latitudes, longitudes = np.array(tracks[storm], dtype=np.int64).T
        sides: list[set[str]] = [set() for _ in latitudes]
        for place, fence in zip(*(one.tolist() for one in fences.containing(latitudes, longitudes)), strict=True):
            sides[place].add(fences.ids[fence])
        assert all(sides), storm
        # On the line itself a storm is in both: it has left a side when the other is all it is in.
        clear = [one for one in sides if len(one) == 1]
        assert sum(one != other for one, other in pairwise(clear)) == crossings, storm


@needs("track-antimeridian")
def test_storms_lie_in_an_uncut_fence_over_the_line_as_in_the_cut_one() -> None:
    uncut = [[165, 0], [-165, 0], [-165, 50], [165, 50], [165, 0]]
    parts = [
        [[[165, 0], [180, 0], [180, 50], [165, 50], [165, 0]]],
        [[[-180, 0], [-165, 0], [-165, 50], [-180, 50], [-180, 0]]],
    ]
    fences = _index(
        {"a": {"type": "Polygon", "coordinates": [uncut]}, "b": {"type": "MultiPolygon", "coordinates": parts}}
    )
    rows = _rows("track-antimeridian/hurdat2_nepac_crossing_180.csv")
    latitudes, longitudes = (np.array([_e7(row[name]) for row in rows], dtype=np.int64) for name in ("lat", "lon"))
    places, found = fences.containing(latitudes, longitudes)
    by_hand = np.flatnonzero((np.abs(longitudes) >= 165 * E7) & (latitudes >= 0) & (latitudes <= 50 * E7))
    assert len(by_hand) > 200
    for number in (0, 1):
        assert places[found == number].tolist() == by_hand.tolist()


@needs("places-portpolygons")
@needs("ais-us-2022-01-03")
def test_ships_in_ports_are_counted_as_by_ray_casting() -> None:
    fences, polygons = _ports()
    rows = _rows("ais-us-2022-01-03/cargo_tanker.csv")
    latitudes, longitudes = (np.array([_e7(row[name]) for row in rows], dtype=np.int64) for name in ("LAT", "LON"))
    # The ships alone leave most ports empty: so each port's own surroundings are asked about too.
    rng = np.random.default_rng(7)
    more = [
        np.stack([rng.integers(low, high + 1, 25) for low, high in zip(*_bounds(rings), strict=True)], axis=1)
        for parts in polygons.values()
        for rings in parts
    ]
    longitudes = np.concatenate([longitudes, *(one[:, 0] for one in more)])
    latitudes = np.concatenate([latitudes, *(one[:, 1] for one in more)])
    places, found = fences.containing(latitudes, longitudes)
    ours = set(zip(places.tolist(), found.tolist(), strict=True))
    expected = {
        (place, number)
        for number, identity in enumerate(fences.ids)
        for rings in polygons[identity]
        for place in _cast(rings, longitudes, latitudes).tolist()
    }
    assert ours == expected
    assert len({place for place, _ in ours if place < len(rows)}) > 100
    with_holes = {identity for identity, parts in polygons.items() if any(len(rings) > 1 for rings in parts)}
    assert any(fences.ids[number] in with_holes for _, number in ours)


@needs("places-portpolygons")
def test_the_port_of_los_angeles_reads_back() -> None:
    fences, _ = _ports()
    assert sum(one.startswith("POLA/") for one in fences.ids) == 1
    assert len(fences.ids) > 400


@cache
def _ports() -> tuple[FenceIndex, dict[str, list[list[Ring]]]]:
    """All port polygons as fences, and their rings in whole 1e-7 degrees read on our own."""
    fences: dict[str, Fence] = {}
    polygons: dict[str, list[list[Ring]]] = {}
    refused: dict[str, str] = {}
    for name in ("POLA", "industrial_port_body"):
        document = json.loads((DATA / "places-portpolygons" / f"{name}.geojson").read_text(encoding="utf-8"))
        for number, feature in enumerate(document["features"]):
            geometry = feature["geometry"]
            if geometry["type"] not in {"Polygon", "MultiPolygon"}:
                continue
            identity = f"{name}/{number}"
            try:
                fence = Fence.from_feature({"type": "Feature", "id": identity, "properties": {}, "geometry": geometry})
            except FenceError as error:
                refused[identity] = str(error)
                continue
            assert Fence.from_feature(json.loads(json.dumps(fence.as_feature()))) == fence
            fences[identity] = fence
            parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
            polygons[identity] = [[[(_e7(x), _e7(y)) for x, y in ring] for ring in part] for part in parts]
    # Two of the drawings are at fault: a hole outside its outer ring, and one that shares an edge with it.
    assert list(refused) == ["industrial_port_body/20", "industrial_port_body/21"]
    assert "ring 1: the hole does not lie inside" in refused["industrial_port_body/20"]
    assert "nor share edges" in refused["industrial_port_body/21"]
    return FenceIndex(fences), polygons


def _index(geometries: dict[str, dict[str, Any]]) -> FenceIndex:
    features = [{"type": "Feature", "id": one, "properties": {}, "geometry": it} for one, it in geometries.items()]
    return FenceIndex({one.id: one for one in map(Fence.from_feature, features)})


def _rows(path: str) -> list[dict[str, str]]:
    with (DATA / path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _e7(value: object) -> int:
    return round(float(str(value)) * E7)


def _bounds(rings: list[Ring]) -> tuple[list[int], list[int]]:
    low = [min(one[axis] for one in rings[0]) for axis in (0, 1)]
    return low, [max(one[axis] for one in rings[0]) for axis in (0, 1)]


def _cast(rings: list[Ring], longitudes: Any, latitudes: Any) -> Any:
    """The places in a polygon, edge counted in: even and odd over all its edges, for places in its box."""
    low, high = _bounds(rings)
    in_box = (longitudes >= low[0]) & (longitudes <= high[0]) & (latitudes >= low[1]) & (latitudes <= high[1])
    near = np.flatnonzero(in_box)
    x, y = longitudes[near], latitudes[near]
    odd, edge = np.zeros(len(near), dtype=bool), np.zeros(len(near), dtype=bool)
    for ring in rings:
        for (x1, y1), (x2, y2) in pairwise(ring):
            cross = (x - x1) * (y2 - y1) - (x2 - x1) * (y - y1)
            edge |= (cross == 0) & (x >= min(x1, x2)) & (x <= max(x1, x2)) & (y >= min(y1, y2)) & (y <= max(y1, y2))
            odd ^= ((y1 > y) != (y2 > y)) & ((cross < 0) == (y2 > y1))
    return near[odd | edge]
