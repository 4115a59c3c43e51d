"""Fences read from GeoJSON: what they say, that they read back, and what is said of bad ones."""

import json
from typing import Any

import pytest
from geofences import CUT, HOLE, SQUARE, feature

from pledgewatch_cloud.decide.geofence import Area, Circle, Corridor, Fence, FenceError

RULES = {
    "name": "Berth 4",
    "kind": "terminal",
    "margin_m": 30,
    "dwell_s": 600,
    "leave_after_s": 120,
    "accuracy_aware": False,
    "grade": "fair",
    "legs": ["sea", "road"],
    "active": [
        {"from": "2026-01-01T00:00:00Z", "until": "2026-02-01T01:00:00+01:00"},
        {"from": "2026-02-01T00:00:00.000Z", "until": "2026-03-01T00:00:00.250Z"},
    ],
}
GOOD = [
    feature("Polygon", [SQUARE]),
    feature("Polygon", [SQUARE, HOLE], **RULES),
    feature("MultiPolygon", CUT),
    feature("MultiPolygon", [[SQUARE, HOLE], [[[20, 0], [30, 0], [25, 9.1234567], [20, 0]]]]),
    feature("Point", [103.85, 1.25], radius_m=500),
    feature("LineString", [[170, 0], [-170, 5]], half_width_m=20_000, kind="corridor"),
    feature("MultiLineString", [[[0, 0], [1, 1]], [[1, 1], [2, 0]]], half_width_m=1),
]


@pytest.mark.parametrize("one", GOOD)
def test_a_fence_reads_back_from_its_own_feature(one: dict[str, Any]) -> None:
    fence = Fence.from_feature(one)
    again = Fence.from_feature(json.loads(json.dumps(fence.as_feature())))
    assert (again, hash(again)) == (fence, hash(fence))
    assert again.as_feature() == fence.as_feature()


def test_rules_are_read_and_have_their_defaults() -> None:
    fence = Fence.from_feature(feature("Polygon", [SQUARE], **RULES))
    assert (fence.name, fence.kind, fence.margin_m, fence.dwell_s) == ("Berth 4", "terminal", 30, 600)
    assert (fence.leave_after_s, fence.accuracy_aware, fence.grade, fence.legs) == (120, 0, "fair", ("sea", "road"))
    assert fence.active == ((1_767_225_600_000, 1_769_904_000_000), (1_769_904_000_000, 1_772_323_200_250))
    plain = Fence.from_feature(feature("Polygon", [SQUARE]))
    assert (plain.margin_m, plain.dwell_s, plain.leave_after_s, plain.accuracy_aware) == (0, 0, 0, 1)
    assert (plain.name, plain.kind, plain.grade, plain.active, plain.legs) == ("f", "port", "good", (), ())


def test_equal_by_what_is_said() -> None:
    one = Fence.from_feature(feature("Polygon", [SQUARE]))
    assert one == Fence.from_feature(feature("Polygon", [[[float(x), y, 7.5] for x, y in SQUARE]]))
    assert one == Fence.from_feature(feature("MultiPolygon", [[SQUARE]]))
    assert one != Fence.from_feature(feature("Polygon", [[*SQUARE[:3], [0, 10.0000001], SQUARE[0]]]))
    assert isinstance(one.shape, Area)
    assert isinstance(Fence.from_feature(GOOD[4]).shape, Circle)
    assert isinstance(Fence.from_feature(GOOD[5]).shape, Corridor)


NAN, INFINITE = float("nan"), float("inf")
BAD = [
    (
        feature("Polygon", [[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]]),
        "f: ring 0: crosses or touches itself: the edge from position 0 to 1 meets the edge from position 2 to 3",
    ),
    (
        feature("MultiPolygon", [[SQUARE], [[[20, 0], [30, 10], [30, 0], [20, 10], [20, 0]]]]),
        "f: polygon 1 ring 0: crosses",
    ),
    (
        feature("Polygon", [[[175, 0], [-175, 10], [-175, 0], [175, 10], [175, 0]]]),
        "position 0 to 1 meets the edge from position 2 to 3 at [-180, 5]",
    ),
    (
        feature("Polygon", [[[0, 80], [120, 80], [-120, 80], [0, 80], [120, 80], [-120, 80], [0, 80]]]),
        "ring 0: goes round a pole 2 times",
    ),
    (
        feature("Polygon", [[[0, 80], [120, 80], [60, 85], [90, 70], [-120, 80], [0, 80]]]),
        "ring 0: crosses or touches itself",
    ),
    (
        feature("Polygon", [[[0, 0], [120, 0], [-120, 0], [0, 0]]]),
        "ring 0: goes round the Earth half north, half south",
    ),
    (feature("Polygon", [SQUARE[:-1]]), "f: ring 0: not closed; its last position must repeat its first"),
    (feature("Polygon", [[[0, 0], [1, 1], [0, 0]]]), "f: ring 0: 3 positions are too few; it needs at least 4"),
    (
        feature("Polygon", [[[0, 0], [10, 0], [10, 91], [0, 0]]]),
        "f: ring 0 position 2: latitude 91 is not from -90 to 90",
    ),
    (
        feature("Polygon", [[[0, 0], [181, 0], [10, 9], [0, 0]]]),
        "f: ring 0 position 1: longitude 181 is not from -180 to 180",
    ),
    (
        feature("MultiPolygon", [[SQUARE], [SQUARE, [[0, 0], [1, NAN], [1, 1], [0, 0]]]]),
        "f: polygon 1 ring 1 position 1: latitude nan is not from",
    ),
    (feature("Polygon", [[[0, 0], [INFINITE, 0], [10, 9], [0, 0]]]), "position 1: longitude inf is not from"),
    (feature("Polygon", [[[0, 0], [10**400, 0], [10, 9], [0, 0]]]), "position 1: longitude 1000"),
    (feature("Polygon", [[[0, 0], [True, 0], [10, 9], [0, 0]]]), "position 1: longitude True is not a number"),
    (feature("Polygon", [[[0, 0], ["10", 0], [10, 9], [0, 0]]]), "position 1: longitude '10' is not a number"),
    (feature("Polygon", [[[0, 0], [None, 0], [10, 9], [0, 0]]]), "position 1: longitude None is not a number"),
    (feature("Polygon", [[[0, 0], [1, 2, 3, 4], [10, 9], [0, 0]]]), "position 1: [1, 2, 3, 4] is no position"),
    (feature("Polygon", [[[0, 0], 5, [10, 9], [0, 0]]]), "position 1: 5 is no position"),
    (feature("Polygon", []), "f: coordinates: the fence is empty"),
    (feature("Polygon", [[]]), "f: ring 0: the fence is empty"),
    (feature("MultiPolygon", [[]]), "f: polygon 0 coordinates: the fence is empty"),
    (feature("Polygon", None), "f: coordinates: a list of rings is needed, not None"),
    (feature("Polygon", [[[0, 0], [1, 1], [2, 2], [0, 0]]]), "f: ring 0: encloses nothing; its area is zero"),
    (feature("Polygon", [[[3, 3], [3, 3], [3, 3], [3, 3]]]), "f: ring 0: encloses nothing; its area is zero"),
    (
        feature("Polygon", [SQUARE, [[20, 4], [26, 4], [26, 6], [20, 4]]]),
        "f: ring 1: the hole does not lie inside its outer ring",
    ),
    (
        feature("Polygon", [SQUARE, HOLE, [[9, 4], [11, 4], [11, 6], [9, 4]]]),
        "f: ring 2: the hole does not lie inside its outer ring",
    ),
    (feature("Polygon", [SQUARE, HOLE, [[5, 5], [8, 5], [8, 8], [5, 5]]]), "f: holes must not overlap"),
    (
        feature("Polygon", [SQUARE, [[0, 80], [120, 80], [-120, 80], [0, 80]]]),
        "f: ring 1: goes round a pole that its outer ring does not",
    ),
    (feature("MultiPolygon", [[SQUARE], [[[5, 5], [15, 5], [15, 15], [5, 5]]]]), "f: polygon 0 and polygon 1 overlap"),
    (
        feature("MultiPolygon", [[SQUARE], [[[10, 0], [15, 5], [10, 10], [10, 0]]]]),
        "f: polygon 0 and polygon 1 share an edge",
    ),
    (
        feature(
            "MultiPolygon",
            [[[[175, 0], [-175, 0], [-175, 9], [175, 9], [175, 0]]], [[[-178, 1], [-170, 1], [-170, 2], [-178, 1]]]],
        ),
        "f: polygon 0 and polygon 1 overlap",
    ),
    (feature("Point", [0, 0]), "f: a Point needs the property radius_m, whole metres from 1 to 2000000"),
    (feature("Point", [], radius_m=5), "f: the fence is empty; a Point"),
    (feature("Point", [0, 95], radius_m=5), "f: position: latitude 95"),
    (feature("Point", [0, 0], radius_m=-5), "f: radius_m: -5 is not a whole number from 1 to 2000000"),
    (feature("Point", [0, 0], radius_m=0), "f: radius_m: 0 is not"),
    (feature("Point", [0, 0], radius_m=2_000_001), "f: radius_m: 2000001 is not"),
    (feature("Point", [0, 0], radius_m=1.5), "f: radius_m: 1.5 is not"),
    (feature("Point", [0, 0], radius_m=NAN), "f: radius_m: nan is not"),
    (feature("Point", [0, 0], radius_m=True), "f: radius_m: True is not"),
    (feature("Point", [0, 0], radius_m="5"), "f: radius_m: '5' is not"),
    (feature("Polygon", [SQUARE], radius_m=5), "f: radius_m belongs to a Point, not to a Polygon"),
    (
        feature("Point", [0, 0], half_width_m=5),
        "f: half_width_m belongs to a LineString or MultiLineString, not to a Point",
    ),
    (feature("LineString", [[0, 0], [1, 1]]), "f: a LineString needs the property half_width_m"),
    (feature("LineString", [[0, 0]], half_width_m=5), "f: line: 1 positions are too few"),
    (feature("LineString", [], half_width_m=5), "f: line: the fence is empty"),
    (feature("MultiLineString", [], half_width_m=5), "f: coordinates: the fence is empty"),
    (feature("MultiLineString", [[[0, 0], [1, 0]], [[180, 1], [-180, 1]]], half_width_m=5), "f: line 1: has no length"),
    (feature("LineString", [[0, 0], [1, 99]], half_width_m=5), "f: line position 1: latitude 99"),
    (feature("GeometryCollection", []), "f: the geometry type 'GeometryCollection' cannot be a fence"),
    ({**feature("Polygon", [SQUARE]), "geometry": None}, "f: a geometry is needed"),
    (feature("Polygon", [SQUARE], kind="harbour"), "f: kind 'harbour' is none of port, terminal"),
    (feature("Polygon", [SQUARE], grade="poor"), "f: grade 'poor' is none of good, fair"),
    (feature("Polygon", [SQUARE], margin_m=-1), "f: margin_m: -1 is not a whole number from 0"),
    (feature("Polygon", [SQUARE], dwell_s=-1), "f: dwell_s: -1 is not"),
    (feature("Polygon", [SQUARE], leave_after_s="1"), "f: leave_after_s: '1' is not"),
    (feature("Polygon", [SQUARE], accuracy_aware=2), "f: accuracy_aware: 2 is not"),
    (feature("Polygon", [SQUARE], name=""), "f: name: '' is not a text"),
    (feature("Polygon", [SQUARE], dwel_s=5), "f: the property 'dwel_s' is unknown; known are id, name, kind"),
    (feature("Polygon", [SQUARE], legs="sea"), "f: legs: a list"),
    (feature("Polygon", [SQUARE], legs=["sea", ""]), "f: legs[1]: '' is not the id of a leg"),
    (feature("Polygon", [SQUARE], legs=["sea", "sea"]), "f: legs[1]: sea is named twice"),
    (
        feature("Polygon", [SQUARE], active=[{"from": "2026-01-01T00:00:00", "until": "2026-01-02T00:00:00Z"}]),
        "f: active[0].from: '2026-01-01T00:00:00' is not a time",
    ),
    (
        feature("Polygon", [SQUARE], active=[{"from": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"}]),
        "f: active[0]: from must be before until",
    ),
    (
        feature("Polygon", [SQUARE], active=[{"from": "2026-01-02T00:00:00Z"}]),
        "f: active[0]: a window is {from, until}",
    ),
    (
        feature(
            "Polygon",
            [SQUARE],
            active=[
                {"from": "2026-01-01T00:00:00Z", "until": "2026-01-03T00:00:00Z"},
                {"from": "2026-01-02T00:00:00Z", "until": "2026-01-04T00:00:00Z"},
            ],
        ),
        "f: active[1]: begins before the window ahead of it ends",
    ),
    (
        feature("Polygon", [SQUARE], active=[{"from": "2026-01-01T00:00:00.0001Z", "until": "2026-01-03T00:00:00Z"}]),
        "f: active[0].from: '2026-01-01T00:00:00.0001Z' is finer than a millisecond",
    ),
    ({**feature("Polygon", [SQUARE]), "id": "-f"}, "the feature needs an id: 1 to 128 letters"),
    ({**feature("Polygon", [SQUARE]), "id": "f\n"}, "the feature needs an id"),
    ({**feature("Polygon", [SQUARE]), "id": "f" * 129}, "the feature needs an id"),
    ({**feature("Polygon", [SQUARE], id="g")}, "f: the property id says 'g'"),
    ({**feature("Polygon", [SQUARE]), "crs": {}}, "f: the member 'crs' is unknown"),
    ({**feature("Polygon", [SQUARE]), "properties": []}, "properties must be a JSON object"),
    ({"type": "Polygon", "coordinates": [SQUARE]}, "a GeoJSON Feature is needed"),
]


@pytest.mark.parametrize(("one", "says"), BAD)
def test_bad_input_is_told_with_its_place(one: dict[str, Any], says: str) -> None:
    with pytest.raises(FenceError) as caught:
        Fence.from_feature(one)
    assert str(caught.value).startswith(says) or says in str(caught.value), str(caught.value)
