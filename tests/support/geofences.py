"""Fences to test with, and a geodesy of the tests' own to judge them by."""

import math
from typing import Any

import numpy as np

from pledgewatch_cloud.decide.geofence import E7, Fence, FenceIndex

Place = tuple[float, float]  # latitude, longitude, as people say it
SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
CUT = [
    [[[170, -10], [180, -10], [180, 10], [170, 10], [170, -10]]],
    [[[-180, -10], [-170, -10], [-170, 10], [-180, 10], [-180, -10]]],
]
HOLE = [[4, 4], [6, 4], [6, 6], [4, 6], [4, 4]]
MAJOR_M, MINOR_M = 6_378_137.0, 6_356_752.314245


def feature(shape: str, coordinates: object, /, **properties: object) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": "f",
        "properties": properties,
        "geometry": {"type": shape, "coordinates": coordinates},
    }


def index(*features: dict[str, Any]) -> FenceIndex:
    fences = [Fence.from_feature({**one, "id": f"f{number}"}) for number, one in enumerate(features)]
    return FenceIndex({one.id: one for one in fences})


def columns(places: list[Place]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    e7 = np.array([[round(latitude * E7), round(longitude * E7)] for latitude, longitude in places], dtype=np.int64)
    return e7.reshape(-1, 2)[:, 0], e7.reshape(-1, 2)[:, 1]


def inside(one: dict[str, Any], *places: Place) -> list[bool]:
    found, _ = index(one).containing(*columns(list(places)))
    return [number in set(found.tolist()) for number in range(len(places))]


def ahead(latitude: float, longitude: float, azimuth: float, length_m: float) -> Place:
    """Where one arrives: the geodesic's own differential equations (Clairaut), by fourth-order Runge and Kutta."""
    squared = 1 - (MINOR_M / MAJOR_M) ** 2

    def rates(state: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        phi, _, alpha = state
        root = 1 - squared * math.sin(phi) ** 2
        across, along = MAJOR_M / math.sqrt(root), MAJOR_M * (1 - squared) / root**1.5
        turn = math.sin(alpha) / (across * math.cos(phi))
        return np.array([math.cos(alpha) / along, turn, turn * math.sin(phi)])

    state = np.array([math.radians(latitude), math.radians(longitude), math.radians(azimuth)])
    steps = 400
    h = length_m / steps
    for _ in range(steps):
        a = rates(state)
        b = rates(state + h / 2 * a)
        c = rates(state + h / 2 * b)
        d = rates(state + h * c)
        state = state + h / 6 * (a + 2 * b + 2 * c + d)
    return math.degrees(state[0]), (math.degrees(state[1]) + 180) % 360 - 180


def haversine_m(one: Place, other: Place) -> float:
    a, b = map(math.radians, one), map(math.radians, other)
    (p, q), (r, s) = a, b
    h = math.sin((r - p) / 2) ** 2 + math.cos(p) * math.cos(r) * math.sin((s - q) / 2) ** 2
    return 2 * 6_371_008.8 * math.asin(math.sqrt(h))
