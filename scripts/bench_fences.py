"""The `fences` measurement: fixes a second against many fences, beside what is usually done.

The fences stand at ports strewn over the coasts of the world: rough polygons of 8 to 60 corners, some overlapping,
one in ten a circle, one in fifty a corridor between two ports. The fixes come in batches of 5,000, three in four near
a port. Baselines, in the same run and in turn: a loop that asks shapely's STRtree for each fix, and a plain Python
loop over all fences with their boxes and prepared polygons, on a sample of fixes. Both know circles and corridors
only as buffers in degrees, which favours them. All three times begin at the int64 columns of a batch.
"""

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from pledgewatch_cloud.decide.geofence import E7, Fence, FenceIndex

BATCH = 5_000
BATCHES = 20
RUNS = 5
TREE_SAMPLE = 5_000
PLAIN_SAMPLE = 20
METRES_A_DEGREE = 111_195.0
# The corners of coasts that most ships see: latitude, longitude.
COASTS = (
    ((36, 140), (22, 114), (1, 104), (13, 80), (19, 73), (25, 55), (12, 45), (30, 32)),
    (
        (31, 32),
        (36, 28),
        (41, 29),
        (37, 23),
        (44, 9),
        (43, 4),
        (36, -6),
        (39, -9),
        (48, -5),
        (51, 2),
        (54, 8),
        (60, 25),
    ),
    ((45, -64), (40, -74), (32, -80), (25, -80), (30, -90), (19, -96), (9, -80), (4, -77), (-12, -77), (-33, -72)),
    ((9, -79), (19, -104), (34, -118), (47, -123), (61, -150)),
    ((6, 3), (5, -4), (15, -17), (33, -8)),
    ((-6, 12), (-34, 18), (-30, 31), (-4, 40)),
    ((-32, 116), (-38, 145), (-28, 153), (-17, 178), (-37, 175)),
    ((-3, -39), (-23, -43), (-35, -57)),
)
Places = NDArray[np.int64]
Row = dict[str, Any]


def fences() -> list[dict[str, Any]]:
    """Rows for 10,000 and 100,000 fences: fixes a second, against both baselines, and the seconds to load."""
    rows = []
    for count in (10_000, 100_000):
        random = np.random.default_rng(count)
        ports = _ports(random, max(200, count // 10))
        features = _features(random, ports, count)
        batches = [_fixes(random, ports) for _ in range(BATCHES)]
        start = time.perf_counter()
        book = {fence.id: fence for fence in map(Fence.from_feature, features)}
        read = time.perf_counter()
        index = FenceIndex(book)
        built = time.perf_counter()
        rows += _compared(count, index, features, batches)
        rows.append(
            {
                "name": f"fences-load-{count}",
                "value": round(built - start, 2),
                "unit": "seconds to read and prepare",
                "baseline": round(read - start, 2),
                "ratio": round((built - start) / (read - start), 2),
                "runs": [[round(read - start, 2), round(built - read, 2)]],
            }
        )
    return rows


def _compared(count: int, index: FenceIndex, features: list[Row], batches: list[tuple[Places, Places]]) -> list[Row]:
    shapes = np.array([_in_degrees(one) for one in features], dtype=object)
    shapely.prepare(shapes)
    tree = shapely.STRtree(shapes)
    boxes = shapely.bounds(shapes).tolist()
    ours, by_tree, plain = [], [], []
    for run in range(RUNS):
        latitudes, longitudes = batches[run % len(batches)]
        ours.append(_rate(lambda: [index.containing(*one) for one in batches], BATCH * BATCHES))
        sample = latitudes[:TREE_SAMPLE], longitudes[:TREE_SAMPLE]
        by_tree.append(_rate(lambda one=sample: _tree_loop(tree, *one), TREE_SAMPLE))  # type: ignore[misc]
        sample = latitudes[:PLAIN_SAMPLE], longitudes[:PLAIN_SAMPLE]
        plain.append(_rate(lambda one=sample: _plain_loop(boxes, shapes, *one), PLAIN_SAMPLE))  # type: ignore[misc]
    return [
        _row(f"fences-{count}-{name}", ours, base) for name, base in (("tree-loop", by_tree), ("plain-loop", plain))
    ]


def _row(name: str, ours: list[float], base: list[float]) -> Row:
    ratio = statistics.median(one / other for one, other in zip(ours, base, strict=True))
    return {
        "name": name,
        "value": round(statistics.median(ours)),
        "unit": "fixes/s on one core",
        "baseline": round(statistics.median(base)),
        "ratio": round(ratio, 1),
        "runs": [[round(one), round(other)] for one, other in zip(ours, base, strict=True)],
    }


def _rate(work: Callable[[], object], fixes: int) -> float:
    start = time.perf_counter()
    work()
    return fixes / (time.perf_counter() - start)


def _tree_loop(tree: shapely.STRtree, latitudes: Places, longitudes: Places) -> int:
    """Each fix on its own, asked of the tree, as most trackers that have a tree do."""
    found = 0
    for latitude, longitude in zip(latitudes.tolist(), longitudes.tolist(), strict=True):
        found += len(tree.query(shapely.Point(longitude / E7, latitude / E7), predicate="intersects"))
    return found


def _plain_loop(boxes: list[list[float]], shapes: NDArray[Any], latitudes: Places, longitudes: Places) -> int:
    """Each fix asked of each fence, its box first."""
    found = 0
    for latitude, longitude in zip(latitudes.tolist(), longitudes.tolist(), strict=True):
        x, y = longitude / E7, latitude / E7
        for number, (west, south, east, north) in enumerate(boxes):
            if west <= x <= east and south <= y <= north:
                found += bool(shapely.intersects_xy(shapes[number], x, y))
    return found


def _ports(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Places along the coasts, (n, 2): latitude, longitude."""
    legs = np.array([(*one, *other) for coast in COASTS for one, other in pairwise(coast)], float)
    chosen = legs[random.integers(0, len(legs), count)]
    ports: NDArray[np.float64] = chosen[:, :2] + random.uniform(0, 1, (count, 1)) * (chosen[:, 2:] - chosen[:, :2])
    return ports + random.normal(0, 0.5, (count, 2))


def _fixes(random: np.random.Generator, ports: NDArray[np.float64]) -> tuple[Places, Places]:
    """One batch: three in four within some kilometres of a port, one in four anywhere at sea or on land."""
    near = ports[random.integers(0, len(ports), BATCH)] + random.normal(0, 0.03, (BATCH, 2))
    far = np.stack([random.uniform(-60, 70, BATCH), random.uniform(-180, 180, BATCH)], axis=1)
    places = np.where(random.random((BATCH, 1)) < 0.75, near, far)
    e7 = np.rint(places * E7).astype(np.int64)
    return np.ascontiguousarray(e7[:, 0]), np.ascontiguousarray(e7[:, 1])


def _features(random: np.random.Generator, ports: NDArray[np.float64], count: int) -> list[Row]:
    features = []
    for number in range(count):
        latitude, longitude = ports[number % len(ports)] + random.normal(0, 0.03, 2)
        properties: Row = {"kind": "port"}
        if number % 50 == 1:
            other = ports[(number + 1) % len(ports)]
            lines = [[longitude, latitude], [float(other[1]), float(other[0])]]
            geometry: Row = {"type": "LineString", "coordinates": lines}
            properties = {"kind": "corridor", "half_width_m": int(random.integers(500, 5_000))}
            if abs(lines[0][0] - lines[1][0]) + abs(lines[0][1] - lines[1][1]) > 5:
                lines[1] = [longitude + 1.0, latitude + 0.5]
        elif number % 10 == 0:
            geometry = {"type": "Point", "coordinates": [longitude, latitude]}
            properties["radius_m"] = int(random.integers(100, 3_000))
        else:
            corners = int(random.integers(8, 61))
            angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
            reach = random.uniform(0.5, 1.0, corners) * 10 ** random.uniform(-3, -1.3)
            ring = np.stack([longitude + reach * np.cos(angles) * 1.2, latitude + reach * np.sin(angles)], axis=1)
            geometry = {"type": "Polygon", "coordinates": [np.round([*ring, ring[0]], 7).tolist()]}
        features.append({"type": "Feature", "id": f"f{number}", "properties": properties, "geometry": geometry})
    return features


def _in_degrees(feature: Row) -> shapely.Geometry:
    drawn = shapely.geometry.shape(feature["geometry"])
    properties = feature["properties"]
    metres = properties.get("radius_m", properties.get("half_width_m", 0))
    return drawn.buffer(metres / METRES_A_DEGREE, quad_segs=8) if metres else drawn
