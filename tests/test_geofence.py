"""Which places lie in a fence, and how far its edge is, judged by computations of the test's own."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from geofences import CUT, HOLE, MAJOR_M, SQUARE, Place, ahead, columns, feature, haversine_m, index, inside
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from pledgewatch_cloud.decide import geodesy
from pledgewatch_cloud.decide.geofence import E7, FenceError, FenceIndex

THREAD = feature("MultiLineString", [[[0, 0], [1, 1]], [[1, 1], [2, 0]]], half_width_m=1)


def cast(ring: list[list[int]], longitude: int, latitude: int) -> bool:
    """Ray casting in Python's unbounded integers, the edge counted in."""
    odd = False
    for (x1, y1), (x2, y2) in pairwise(ring):
        cross = (longitude - x1) * (y2 - y1) - (x2 - x1) * (latitude - y1)
        if cross == 0 and min(x1, x2) <= longitude <= max(x1, x2) and min(y1, y2) <= latitude <= max(y1, y2):
            return True
        if (y1 > latitude) != (y2 > latitude) and (cross < 0) == (y2 > y1):
            odd = not odd
    return odd


BELT = [[[-180, -5], [180, -5], [180, 5], [-180, 5], [-180, -5]]]
ROUND_NORTH = [[-150, 80], [-30, 80], [90, 80], [-150, 80]]
MEMBERSHIP = [
    # shape, places inside, places outside
    (
        "square, its edge belongs to it",
        feature("Polygon", [SQUARE]),
        [(5, 5), (0, 5), (10, 10), (5, 10)],
        [(5, 10.0000001), (-0.0000001, 5)],
    ),
    (
        "hole, its edge belongs to the fence",
        feature("Polygon", [SQUARE, HOLE]),
        [(4, 5), (5, 6), (4, 4), (1, 1)],
        [(5, 5), (4.0000001, 5)],
    ),
    (
        "cut at 180",
        feature("MultiPolygon", CUT),
        [(0, 180), (0, -180), (0, 175), (0, -175), (10, 170)],
        [(0, 169.9), (0, -169.9), (11, 180)],
    ),
    (
        "uncut over 180",
        feature("Polygon", [[[170, -10], [-170, -10], [-170, 10], [170, 10], [170, -10]]]),
        [(0, 180), (0, -180), (0, 175), (0, -175), (10, 170)],
        [(0, 169.9), (0, -169.9), (0, 0), (11, 180)],
    ),
    (
        "uncut, turning the other way",
        feature("Polygon", [[[-170, -10], [170, -10], [170, 10], [-170, 10], [-170, -10]]]),
        [(0, 180), (0, 175), (0, -175)],
        [(0, 169.9), (0, 0)],
    ),
    (
        "uncut with a hole over 180, written from the east",
        feature(
            "Polygon",
            [
                [[170, -10], [-170, -10], [-170, 10], [170, 10], [170, -10]],
                [[-178, -2], [-178, 2], [178, 2], [178, -2], [-178, -2]],
            ],
        ),
        [(0, 175), (0, -175), (2, 180), (0, 178)],
        [(0, 180), (0, -180), (0, 179), (0, -179)],
    ),
    (
        "uncut with positions on 180 and -180",
        feature(
            "Polygon",
            [[[170, 0], [180, 0], [-180, 0], [-170, 0], [-170, 10], [-180, 10], [180, 10], [170, 10], [170, 0]]],
        ),
        [(5, 180), (5, 175), (5, -175), (0, 180)],
        [(5, 0), (-1, 180)],
    ),
    (
        "up to 180 only",
        feature("Polygon", [[[170, 0], [180, 0], [180, 10], [170, 10], [170, 0]]]),
        [(5, 180), (5, -180)],
        [(5, -179.9999999)],
    ),
    (
        "from -180 only",
        feature("Polygon", [[[-180, 0], [-170, 0], [-170, 10], [-180, 10], [-180, 0]]]),
        [(5, 180), (5, -180)],
        [(5, 179.9999999)],
    ),
    (
        "half the Earth is not turned over",
        feature("Polygon", [[[-90, -5], [90, -5], [90, 5], [-90, 5], [-90, -5]]]),
        [(0, 0)],
        [(0, 180)],
    ),
    (
        "a belt round the Earth",
        feature("Polygon", BELT),
        [(0, 0), (0, 180), (0, -180), (5, 77)],
        [(6, 0), (-6, 180), (90, 0)],
    ),
    (
        "the world",
        feature("Polygon", [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]),
        [(0, 0), (90, 7), (-90, 7), (0, 180), (89, -180)],
        [],
    ),
    (
        "round the north pole",
        feature("Polygon", [ROUND_NORTH]),
        [(90, 0), (90, 123), (85, 0), (80, 10), (80, 180), (81, -180)],
        [(79.9, 0), (-85, 0)],
    ),
    (
        "round the north pole, clockwise",
        feature("Polygon", [ROUND_NORTH[::-1]]),
        [(90, 0), (85, 180), (80, -150)],
        [(79.9, 0), (-90, 0)],
    ),
    (
        "round the south pole",
        feature("Polygon", [[[0, -70], [120, -60], [-120, -60], [0, -70]]]),
        [(-90, 5), (-80, 180), (-65, 60), (-60, 180)],
        [(-64.9, 60), (-69, 0), (90, 0)],
    ),
    (
        "round a pole, beginning at 180",
        feature("Polygon", [[[180, 80], [-60, 80], [60, 80], [180, 80]]]),
        [(85, 180), (85, -180), (80, 180), (90, 1)],
        [(79, 180)],
    ),
    (
        "round a pole as RFC 7946 has it",
        feature("Polygon", [[[-180, 66], [0, 60], [180, 66], [180, 90], [-180, 90], [-180, 66]]]),
        [(90, 3), (66, 180), (66, -180), (70, 180), (63, 90)],
        [(62.9, 90), (65.9, 180)],
    ),
    (
        "the same in many steps along the pole",
        feature("Polygon", [[[-180, 66], [0, 66], [180, 66], [180, 90], [60, 90], [-60, 90], [-180, 90], [-180, 66]]]),
        [(90, 3), (70, 180)],
        [(65.9, 180)],
    ),
    (
        "the same at the south",
        feature("Polygon", [[[-180, -90], [180, -90], [180, -84], [0, -60], [-180, -84], [-180, -90]]]),
        [(-90, 3), (-85, 180), (-61, 0)],
        [(-83, 180), (-59, 0)],
    ),
    (
        "a ring of sea round the pole",
        feature("Polygon", [ROUND_NORTH, [[0, 85], [120, 85], [-120, 85], [0, 85]]]),
        [(82, 0), (85, 7), (82, 180), (80, 1)],
        [(90, 0), (90, 99), (86, 180), (86, -180), (79, 0)],
    ),
    (
        "a hole in a cap, over 180",
        feature("Polygon", [ROUND_NORTH, [[170, 82], [-170, 82], [-170, 84], [170, 84], [170, 82]]]),
        [(81, 180), (82, 180), (85, 180), (90, 0), (83, -160)],
        [(83, 180), (83, -180), (83, 171), (83, -171)],
    ),
    (
        "a hole in a cap, over the ring's beginning",
        feature("Polygon", [ROUND_NORTH, [[-160, 82], [-140, 82], [-140, 84], [-160, 84], [-160, 82]]]),
        [(81, -150), (85, -150), (90, 0)],
        [(83, -150), (83, -155), (83, -145)],
    ),
    (
        "touching a pole",
        feature("Polygon", [[[10, 80], [50, 80], [30, 90], [10, 80]]]),
        [(90, 30), (90, 0), (90, -180), (85, 30), (85, 20)],
        [(85, 19.9), (89, 100), (-90, 30)],
    ),
    (
        "with an edge along the pole",
        feature("Polygon", [[[10, 80], [50, 80], [50, 90], [10, 90], [10, 80]]]),
        [(90, 0), (90, 200 - 360), (89, 10)],
        [(89, 9.9)],
    ),
    (
        "a hole touching the pole",
        feature("Polygon", [ROUND_NORTH, [[10, 85], [50, 85], [30, 90], [10, 85]]]),
        [(90, 30), (90, -100), (89, 120)],
        [(87, 30)],
    ),
    (
        "circle",
        feature("Point", [0, 0], radius_m=111_000),
        [(0, 0), (1, 0), (0, 0.997)],
        [(1.004, 0), (0, 0.9972), (1, 1)],
    ),
    (
        "circle over 180",
        feature("Point", [179.9, 10], radius_m=50_000),
        [(10, 180), (10, -180), (10, -179.7), (10, 179.5)],
        [(10, -179.5), (10, 179.4), (10, 0)],
    ),
    (
        "circle round a pole",
        feature("Point", [45, 90], radius_m=100_000),
        [(90, 0), (90, -77), (89.2, 180), (89.2, -100), (89.2, 45)],
        [(89, 45), (89, 180), (-90, 0)],
    ),
    (
        "circle over a pole",
        feature("Point", [0, 89.5], radius_m=100_000),
        [(90, 50), (89.7, 180), (89.5, 0), (89.65, -180)],
        [(89.5, 180), (88.5, 0)],
    ),
    (
        "corridor over the Pacific",
        feature("LineString", [[170, 0], [-170, 0]], half_width_m=10_000),
        [(0.09, 180), (0.09, -180), (0, 175), (-0.09, -175), (0, 169.92)],
        [(0.091, 180), (0.1, -175), (0, 169.9), (0, 0)],
    ),
    (
        "corridor cut at 180",
        feature("MultiLineString", [[[170, 0], [180, 5]], [[-180, 5], [-170, 0]]], half_width_m=10_000),
        [(5, 180), (5, -180), (2.5, -175), (5.09, 180)],
        [(5.2, 180), (2.5, 170)],
    ),
    (
        "corridor straight in the plane, not by the great circle",
        feature("LineString", [[-60, 50], [0, 50]], half_width_m=1_000),
        [(50, -30), (50, -15), (50.008, -30)],
        [(54, -30), (50.01, -30)],
    ),
    (
        "corridor to a pole",
        feature("LineString", [[20, 85], [20, 90]], half_width_m=5_000),
        [(90, 100), (89.97, -160), (88, 20)],
        [(89.9, -160), (88, 30)],
    ),
]


@pytest.mark.parametrize(
    ("one", "within", "without"), [case[1:] for case in MEMBERSHIP], ids=[c[0] for c in MEMBERSHIP]
)
def test_what_lies_in_a_shape(one: dict[str, Any], within: list[Place], without: list[Place]) -> None:
    assert inside(one, *within, *without) == [True] * len(within) + [False] * len(without)


@pytest.mark.parametrize(
    ("latitude", "longitude", "radius_m"),
    [
        (0, 0, 50),
        (1.25, 103.85, 5_000),
        (60, 179.99, 20_000),
        (-84.9, -30, 3_000),
        (35, 180, 800_000),
        (70, 10, 2_000_000),
    ],
)
def test_a_circle_is_true_metres_in_every_direction(latitude: float, longitude: float, radius_m: int) -> None:
    slack = 0.02  # 1e-7 degrees are a centimetre
    near = [ahead(latitude, longitude, azimuth, radius_m - slack) for azimuth in range(5, 365, 15)]
    far = [ahead(latitude, longitude, azimuth, radius_m + slack) for azimuth in range(5, 365, 15)]
    circle = feature("Point", [longitude, latitude], radius_m=radius_m)
    assert inside(circle, *near, *far) == [True] * len(near) + [False] * len(far)


@pytest.mark.parametrize(
    ("start", "end", "half_width_m"),
    [
        ((10, 170), (14, -176), 5_000),
        ((60, -150), (61, 170), 30_000),
        ((84, 0), (85, 40), 2_000),
        ((-40, -170), (40, 170), 300_000),
        ((55, 0), (50, 60), 1_000_000),
    ],
)
def test_a_corridor_is_as_wide_as_it_says(start: Place, end: Place, half_width_m: int) -> None:
    """A place a geodesic away from a point of the line, square to it, is that far from the line: in or out."""
    rng = np.random.default_rng(1)
    step = (end[0] - start[0], (end[1] - start[1] + 180) % 360 - 180)
    places, expected = [], []
    for share in rng.uniform(0.3, 0.7, 12):
        latitude, longitude = start[0] + share * step[0], start[1] + share * step[1]
        squeeze = (
            math.cos(math.radians(latitude))
            * MAJOR_M
            / math.sqrt(1 - 0.00669438 * math.sin(math.radians(latitude)) ** 2)
        )
        along = MAJOR_M * (1 - 0.00669438) / (1 - 0.00669438 * math.sin(math.radians(latitude)) ** 2) ** 1.5
        course = math.degrees(math.atan2(step[1] * squeeze, step[0] * along))
        # On the side that the line bends away from, the foot of the perpendicular is the nearest point of the line.
        side = 90 if (step[1] > 0) != (latitude > 0) else -90
        for share_of_width in (0.999, 1.001):
            places.append(ahead(latitude, longitude, course + side, half_width_m * share_of_width))
            expected.append(share_of_width < 1)
    corridor = feature("LineString", [[start[1], start[0]], [end[1], end[0]]], half_width_m=half_width_m)
    assert inside(corridor, *places) == expected


def test_pairs_come_by_place_then_fence_and_only_once() -> None:
    overlapping = [feature("Polygon", [SQUARE]), feature("MultiPolygon", CUT), feature("Polygon", BELT), THREAD]
    fences = index(*overlapping)
    assert fences.ids == ("f0", "f1", "f2", "f3")
    latitudes, longitudes = columns([(0, 180), (1, 1), (50, 50), (0, -180), (5, 5)])
    places, found = fences.containing(latitudes, longitudes)
    assert list(zip(places.tolist(), found.tolist(), strict=True)) == [
        (0, 1), (0, 2), (1, 0), (1, 2), (1, 3), (3, 1), (3, 2), (4, 0), (4, 2),
    ]  # fmt: skip


def test_nothing_in_nothing() -> None:
    empty = FenceIndex({})
    for fences, places in ((empty, [(0.0, 0.0)]), (index(feature("Polygon", [SQUARE])), [])):
        assert [one.tolist() for one in fences.containing(*columns(places))] == [[], []]
    assert empty.near(0, 0, 1_000) == []
    assert inside(feature("Polygon", BELT), (91, 0), (0, 0), (-120, 5)) == [False, True, False]


def test_a_long_column_is_cut_without_a_seam() -> None:
    fences = index(feature("Polygon", [SQUARE]), feature("Polygon", BELT))
    longitudes = np.linspace(-179, 179, 70_001) * E7
    places, found = fences.containing(np.full(70_001, 4 * E7), longitudes.astype(np.int64))
    assert (np.diff(places * 2 + found) > 0).all()
    assert (found == 1).sum() == 70_001
    assert (found == 0).sum() == ((longitudes >= 0) & (longitudes <= 10 * E7)).sum()


def star(draw: st.DrawFn, reach_e7: int) -> list[list[int]]:
    """A ring in whole 1e-7 degrees round 0, 0: no two corners in the same direction, so it never crosses itself."""
    count = draw(st.integers(3, 40))
    turns = sorted(draw(st.sets(st.integers(0, 359), min_size=count, max_size=count)))
    assume(max(b - a for a, b in pairwise([*turns, turns[0] + 360])) < 180)
    lengths = draw(st.lists(st.integers(reach_e7 // 10, reach_e7), min_size=count, max_size=count))
    ring = [
        [round(length * math.cos(math.radians(turn))), round(length * math.sin(math.radians(turn)))]
        for turn, length in zip(turns, lengths, strict=True)
    ]
    return [*ring, ring[0]]


@st.composite
def rings_and_places(draw: st.DrawFn) -> tuple[list[list[int]], list[tuple[int, int]]]:
    reach = draw(st.sampled_from([50, 10_000, 3 * E7, 60 * E7]))
    ring = star(draw, reach)
    beside = st.tuples(st.integers(-reach, reach), st.integers(-reach, reach))
    corner = st.sampled_from([tuple(one) for one in ring])
    middle = st.sampled_from([((a + c) // 2, (b + d) // 2) for (a, b), (c, d) in pairwise(ring)])
    level = st.tuples(st.integers(-reach, reach), st.sampled_from([one[1] for one in ring]))
    return ring, draw(st.lists(st.one_of(beside, corner, middle, level), min_size=1, max_size=40))


@settings(deadline=None, max_examples=200)
@given(rings_and_places(), st.integers(-180, 180), st.integers(-25, 25))
def test_membership_equals_ray_casting_wherever_the_ring_is_moved(
    drawn: tuple[list[list[int]], list[tuple[int, int]]], east: int, north: int
) -> None:
    ring, places = drawn
    expected = [cast(ring, *place) for place in places]

    def wrapped(value: int) -> int:
        return (value + east * E7 + 180 * E7) % (360 * E7) - 180 * E7

    written = [[wrapped(x) / E7, (y + north * E7) / E7] for x, y in ring]
    latitudes = np.array([y + north * E7 for _, y in places], dtype=np.int64)
    longitudes = np.array([wrapped(x) for x, _ in places], dtype=np.int64)
    try:
        fences = index(feature("Polygon", [written]))
    except FenceError:
        reject()  # rounding to whole 1e-7 degrees can make a tiny star cross itself
    found, _ = fences.containing(latitudes, longitudes)
    assert [number in set(found.tolist()) for number in range(len(places))] == expected


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_many_fences_at_once_equal_each_on_its_own(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = []
    for _ in range(30):
        x, y, size = rng.uniform(-180, 180), rng.uniform(-80, 80), 10 ** rng.uniform(-3, 1.5)
        ring = [
            [(x + dx * size + 180) % 360 - 180, max(-89.0, min(89.0, y + dy * size))]
            for dx, dy in ((-1, -1), (1, -1), (0, 1), (-1, -1))
        ]
        choice = rng.integers(0, 3)
        if choice == 0:
            features.append(feature("Polygon", [ring]))
        elif choice == 1:
            features.append(feature("Point", [x, y], radius_m=int(min(2_000_000, size * 50_000) + 1)))
        else:
            features.append(feature("LineString", ring[:2], half_width_m=int(min(500_000, size * 20_000) + 1)))
    places = [(rng.uniform(-90, 90), rng.uniform(-180, 180)) for _ in range(60)]
    places += [
        (one["geometry"]["coordinates"][1], one["geometry"]["coordinates"][0])
        for one in features
        if one["geometry"]["type"] == "Point"
    ]
    together = index(*features)
    found = set(zip(*(one.tolist() for one in together.containing(*columns(places))), strict=True))
    alone = {
        (place, number)
        for number, one in enumerate(features)
        for place, held in enumerate(inside(one, *places))
        if held
    }
    assert {(place, int(together.ids[number][1:])) for place, number in found} == alone


# Distance -----------------------------------------------------------------------------------------------------------


def distance(one: dict[str, Any], place: Place) -> float:
    return index(one).edge_distance_m(0, round(place[0] * E7), round(place[1] * E7))


def by_sampling(line: list[list[float]], place: Place, parts: int = 4_000) -> float:
    """The least haversine to many points of a line in the plane: an upper bound, good to the sphere's half per cent."""
    return min(
        haversine_m(place, (a[1] + (b[1] - a[1]) * t / parts, a[0] + ((b[0] - a[0] + 180) % 360 - 180) * t / parts))
        for a, b in pairwise(line)
        for t in range(parts + 1)
    )


ANGLE = st.floats(-1, 1)


@given(ANGLE, ANGLE, ANGLE, ANGLE, st.sampled_from([1e-8, 1e-4, 0.01, 1.0]), ANGLE, ANGLE)
def test_one_place_is_as_near_as_a_column_of_it(
    longitude: float, latitude: float, along: float, up: float, off: float, aside: float, above: float
) -> None:
    line = longitude * math.pi, latitude * 1.5, along * geodesy.RADIANS_E7 * E7, up * geodesy.RADIANS_E7 * E7
    place = line[0] + along * 0.01 + off * aside, max(-1.57, min(1.57, line[1] + up * 0.01 + off * above))
    lines = geodesy.Pieces(*(np.array([value]) for value in line))
    found = geodesy.nearest(np.array(place[:1]), np.array(place[1:]), lines)
    one = geodesy.nearest_of_one(*place, line)
    assert one[2] == pytest.approx(float(found[2][0]), rel=1e-12, abs=1e-6)
    assert geodesy.chord_of_one_m(*place, *one[:2]) == pytest.approx(one[2], abs=1e-9)


@pytest.mark.parametrize("latitude", [0, 30, -55, 70, 85])
@pytest.mark.parametrize("metres", [20, 700, 5_000])
def test_metres_to_an_edge_are_true_at_every_latitude(latitude: float, metres: int) -> None:
    west, east, south, north = 20.0, 24.0, latitude - 1.0, float(latitude)
    square = feature("Polygon", [[[west, south], [east, south], [east, north], [west, north], [west, south]]])
    # From the western edge, a meridian and so a geodesic, square to it, both ways.
    for azimuth in (90, 270):
        place = ahead(latitude - 0.5, west, azimuth, metres)
        assert distance(square, place) == pytest.approx(metres, rel=0.002, abs=0.02)
    # From a corner, slantwise and outwards.
    assert distance(square, ahead(north, west, 315, metres)) == pytest.approx(metres, rel=0.002, abs=0.02)


@pytest.mark.parametrize(
    ("one", "place", "line"),
    [
        (feature("Polygon", [SQUARE, HOLE]), (5, 5.2), [[6, 4], [6, 6]]),
        (feature("Polygon", [SQUARE, HOLE]), (5, 3.5), [[4, 4], [4, 6]]),
        (feature("MultiPolygon", CUT), (8, 180), [[-175, 10], [180, 10], [175, 10]]),
        (feature("MultiPolygon", CUT), (0, 179.999), [[170, -10], [170, 10]]),
        (
            feature("Polygon", [[[170, -10], [-170, -10], [-170, 10], [170, 10], [170, -10]]]),
            (0, -179),
            [[-170, -10], [-170, 10]],
        ),
        (feature("Polygon", BELT), (3, 180), [[175, 5], [-175, 5]]),
        (feature("Polygon", [[[170, 0], [180, 0], [180, 10], [170, 10], [170, 0]]]), (5, -179), [[180, 0], [180, 10]]),
        (feature("Polygon", [ROUND_NORTH]), (82, -150), [[-150, 80], [-149, 80]]),
        (
            feature("Polygon", [[[-180, 66], [0, 60], [180, 66], [180, 90], [-180, 90], [-180, 66]]]),
            (80, 180),
            [[-180, 66], [0, 60], [180, 66]],
        ),
        (feature("Polygon", [ROUND_NORTH]), (90, 5), [[-150, 80], [-30, 80]]),
        (feature("Polygon", [[[10, 80], [50, 80], [30, 90], [10, 80]]]), (90, -77), [[30, 90], [30, 90]]),
        (
            feature("MultiPolygon", [CUT[0], [[[-180, -2], [-170, -2], [-170, 2], [-180, 2], [-180, -2]]]]),
            (5, -179),
            [[180, 2], [180, 10]],
        ),
        (feature("LineString", [[170, 0], [-170, 0]], half_width_m=1), (1, -179.5), [[170, 0], [-170, 0]]),
    ],
)
def test_the_cut_and_the_way_to_a_pole_are_no_edges(one: dict[str, Any], place: Place, line: list[list[float]]) -> None:
    assert distance(one, place) == pytest.approx(by_sampling(line, place), rel=0.006, abs=2)


def test_the_world_has_no_edge() -> None:
    world = feature("Polygon", [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]])
    assert distance(world, (10, 10)) == math.inf


@pytest.mark.parametrize("length_m", [0, 100, 4_990, 5_010, 9_000])
def test_metres_to_a_circles_edge(length_m: int) -> None:
    circle = feature("Point", [179.99, 60], radius_m=5_000)
    assert distance(circle, ahead(60, 179.99, 77, length_m)) == pytest.approx(abs(5_000 - length_m), abs=0.02)


def test_metres_to_a_corridors_edge() -> None:
    line = feature("LineString", [[10, 0], [12, 0]], half_width_m=1_000)  # the equator is a geodesic
    for length in (0, 1, 400, 990, 1_010, 4_000):
        assert distance(line, ahead(0, 11, 0, length)) == pytest.approx(abs(1_000 - length), abs=0.02)
    # Beyond an end it is round.
    assert distance(line, ahead(0, 12, 60, 1_500)) == pytest.approx(500, abs=0.02)


def test_inside_a_bend_the_way_out_is_to_the_inner_corner() -> None:
    """East and then north along the equator and a meridian: the inner edges meet half a width from both legs."""
    bend = feature("LineString", [[9, 0], [10, 0], [10, 1]], half_width_m=1_000)
    place = ahead(*ahead(0, 10, 270, 800), 0, 800)
    assert distance(bend, place) == pytest.approx(math.hypot(200, 200), rel=0.002)
    assert distance(bend, ahead(0, 10, 135, 400)) == pytest.approx(600, abs=0.02)  # at the outer side it is round
    # Beside one leg, where the other leg covers the straight way out.
    assert distance(bend, ahead(*ahead(0, 10, 270, 800), 0, 300)) == pytest.approx(math.hypot(200, 700), rel=0.002)


def test_near_finds_edges_from_both_sides() -> None:
    fences = index(
        feature("Polygon", [[[179, 0], [-179, 0], [-179, 2], [179, 2], [179, 0]]]),
        feature("Point", [180, 1], radius_m=50_000),
        feature("LineString", [[178, 0.5], [178.5, 0.5]], half_width_m=100),
        feature("Polygon", BELT),
    )
    at = (1 * E7, round(178.95 * E7))
    inland = fences.edge_distance_m(0, *at)
    assert inland == pytest.approx(0.05 * 111_303, rel=0.001)
    assert fences.near(*at, 5_000) == []
    assert fences.near(*at, 6_000) == [0]
    assert fences.near(1 * E7, -180 * E7, 50_001) == [1]
    assert fences.near(1 * E7, 180 * E7, 111_500) == [0, 1]
    assert fences.near(*at, 100_000) == [0, 1, 2]
    for place in (at, (E7, 180 * E7), (4 * E7, -178 * E7)):
        for within in (1_000, 70_000, 300_000, 600_000):
            expected = [one for one in range(4) if fences.edge_distance_m(one, *place) <= within]
            assert fences.near(*place, within) == expected
