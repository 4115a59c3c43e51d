"""Clusters: assets that are near each other on a map as one mark, with how many they are and the worst of them.

    state ─► Fleet (columns, made once for many requests) ─► clusters of a part of the world, at a zoom

Clusters are the cells of a grid in web mercator, a cell being so many pixels wide at whatever zoom is asked for. A cell
is told whole or not at all, so what a cluster counts does not change as a map is moved. It counts what the state holds,
and a view's state holds what its viewer may see and nothing else: counts tell of nothing more.
"""

from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray

from pledgewatch_cloud.api.access import StateViewOf
from pledgewatch_cloud.api.assets import STANDINGS, sources_of, sources_stand_until_ms, standing_of
from pledgewatch_cloud.api.beside import ASSETS, worked_out
from pledgewatch_cloud.api.plain import plain
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide.alerts import LIVE, SEVERITIES
from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.calm import Assets
from pledgewatch_cloud.decide.columns import Numbers
from pledgewatch_cloud.decide.geofence import E7
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.voyage import leg_stands_until_ms

router = APIRouter(prefix="/clusters", tags=["clusters"])
CELL_PX = 44
TILE_PX = 256
ZOOM_MAX = 20
CLUSTERS_MAX = 5_000
"""Of more than these the cells are made wider; an answer says at which zoom its clusters are."""
_POLE_DEG = 85.051_128_78  # where web mercator is as high as it is wide
_ROWS = 2**32
Floats = NDArray[np.float64]


class Fleet(NamedTuple):
    """Assets that have a place, as columns. `standing` is a place in STANDINGS, `severity` one in SEVERITIES; `x` and
    `y` are shares of the world's width, from the north-west."""

    ids: list[str]
    longitude: Floats
    latitude: Floats
    x: Floats
    y: Floats
    standing: Numbers
    severity: Numbers


class Box(NamedTuple):
    """A part of the world in degrees. Where `west` is beyond `east`, it goes over the date line."""

    west: float
    south: float
    east: float
    north: float


@router.get("", response_model=dict[str, Any])
async def read_clusters(
    view: StateViewOf,
    bbox: Annotated[str, Query(max_length=200, examples=["-180,-60,180,75"])] = "-180,-90,180,90",
    zoom: Annotated[int, Query(ge=0, le=ZOOM_MAX)] = 2,
) -> Any:
    """Assets as GeoJSON points, those that would overlap on a map of that zoom as one, whose `count` and `bbox` are of
    all of them, and whose `state` and `severity` (of alerts that are not cleared) are the worst; one that stands alone
    has its id. `bbox` is west, south, east, north in degrees. A second old at most where no event was said since."""
    box = _box(bbox)
    make = view.remembered(Standings).fleet_of
    fleet = view.kept_already(make)
    if fleet is None:
        fleet = await worked_out(view.assets_seen <= ASSETS, lambda: view.kept(make))
    return plain(clusters(fleet, box, zoom))


def _box(text: str) -> Box:
    """Raises Problem: 422."""
    try:
        box = Box(*map(float, text.split(",")))
    except (TypeError, ValueError):
        box = Box(0, 0, 0, -1)
    if not (-90 <= box.south <= box.north <= 90 and -540 <= box.west <= 540 and -540 <= box.east <= 540):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "bbox is west, south, east, north in degrees, with commas")
    return box


class _Stood(NamedTuple):
    """Where an asset was and how it stood, and what that was found by: `folded` is the same object until more is found
    than what is newest, breaches that stand included, and `sequence` the same until something is heard. Up to
    `until_ms` it is so while nothing is; up to `calm_until_ms` calm readings move its place alone."""

    folded: AssetState
    sequence: int
    place: tuple[int, int]
    standing: int
    until_ms: int
    calm_until_ms: int


class Standings:
    """How assets stand, of one sight. It is found out once until something is heard or time changes it; and of those
    that are seen with all that they are judged by and stand calm (decide/calm.py), until more is found than what is
    newest: a reading moves their place, and time the leg that they are on."""

    def __init__(self) -> None:
        self._names: object = None
        self._stood: dict[str, _Stood] = {}

    def fleet_of(self, state: State) -> Fleet:
        """Every asset of a state that has a place."""
        names = None if state.assets.whole is state.assets else state.assets.names
        if self._names is not names:
            self._names, self._stood = names, {}
        worst: dict[str, int] = {}
        for alert in state.alerts.values():
            if alert.state in LIVE:
                for asset in alert.assets:
                    worst[asset] = max(worst.get(asset, 0), SEVERITIES[alert.severity])
        ids, places, marks = [], [], []
        whole, now_ms = state.assets.whole, state.recorded_at_ms
        folded, steady, sequences = whole.folded, whole.steady(now_ms), _sequences(whole)
        for asset in state.assets.names:
            if asset not in folded:
                continue
            by, place = folded[asset], None
            sequence, stood = sequences.get(asset, 0), self._stood.get(asset)
            if stood is not None and stood.folded is by:
                if stood.sequence == sequence and now_ms < stood.until_ms:
                    place = stood.place
                elif now_ms < stood.calm_until_ms:
                    place = steady.get(asset)
            if stood is None or place is None:
                stood = self._stand(state, asset, by, sequence, is_steady=asset in steady)
                if stood is None:
                    continue
                place = stood.place
            ids.append(asset)
            places.append(place)
            marks.append((stood.standing, worst.get(asset, 0)))
        standing, severity = np.array(marks, dtype=np.int64).reshape(-1, 2).T
        return fleet(ids, np.array(places, dtype=np.float64).reshape(-1, 2)[:, ::-1] / E7, standing, severity)

    def _stand(self, state: State, asset: str, folded: AssetState, sequence: int, *, is_steady: bool) -> _Stood | None:
        """How an asset stands now, remembered for as long as it does; None for one without a place."""
        known = state.assets.get(asset)
        if known is None or known.presence is None:
            self._stood.pop(asset, None)
            return None
        place = known.presence.latitude_e7, known.presence.longitude_e7
        standing, calm_until_ms = STANDINGS.index(standing_of(state, asset, known)), -NEVER
        until_ms = sources_stand_until_ms(state, asset, known)
        if is_steady and _is_whole(known, folded) and _is_heard(state, asset, known):
            calm_until_ms = leg_stands_until_ms(state.book.legs_of(asset), state.recorded_at_ms)
        found = self._stood[asset] = _Stood(folded, sequence, place, standing, until_ms, calm_until_ms)
        return found


def _sequences(assets: Assets) -> dict[str, int]:
    """By name the newest sequence of each asset with a row: that of another reading tells that it has moved."""
    table = assets.table
    return dict(zip(table.assets, table.moving.sequence.tolist(), strict=False))  # columns have room for more


def _is_whole(known: AssetState, folded: AssetState) -> bool:
    """Whether everything that an asset is judged by is seen: what is seen once stays so, for it only gets newer."""
    return known.conditions.keys() == folded.conditions.keys() and {
        name: one.sensors.keys() for name, one in known.devices.items()
    } == {name: one.sensors.keys() for name, one in folded.devices.items()}


def _is_heard(state: State, asset: str, known: AssetState) -> bool:
    """Whether there is a source, and none is missed."""
    words = {one["state"] for one in sources_of(state, asset, known)}
    return bool(words) and words <= {"live", "expected_dark"}


def fleet(ids: list[str], places: Floats, standing: Numbers, severity: Numbers) -> Fleet:
    """Assets by their places, rows of longitude and latitude in degrees."""
    longitude, latitude = places.T
    sine = np.sin(np.radians(np.clip(latitude, -_POLE_DEG, _POLE_DEG)))
    y = 0.5 - np.log((1 + sine) / (1 - sine)) / (4 * np.pi)
    return Fleet(ids, longitude, latitude, longitude / 360 + 0.5, y, standing, severity)


def clusters(fleet: Fleet, box: Box, zoom: int) -> dict[str, Any]:
    """The clusters whose middle is in a part of the world, as GeoJSON; one of a single asset has its id."""
    while True:
        found = _Cells.of(fleet, zoom)
        some = found.within(box)
        if len(some) <= CLUSTERS_MAX or not zoom:
            return {"type": "FeatureCollection", "zoom": zoom, "features": found.features(fleet, some)}
        zoom -= 1


class _Cells(NamedTuple):
    """The cells of a grid that have assets in them: cell n has `order[starts[n] : starts[n] + counts[n]]`."""

    order: Numbers
    starts: Numbers
    counts: Numbers
    longitude: Floats
    latitude: Floats

    @classmethod
    def of(cls, fleet: Fleet, zoom: int) -> "_Cells":
        """Put assets into cells."""
        wide = TILE_PX * 2**zoom / CELL_PX
        cell = np.floor(fleet.x * wide).astype(np.int64) * _ROWS + np.floor(fleet.y * wide).astype(np.int64)
        order = np.argsort(cell, kind="stable")
        starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
        counts = np.diff(starts, append=len(order))
        return cls(
            order, starts, counts, *(_mean(one[order], starts, counts) for one in (fleet.longitude, fleet.latitude))
        )

    def within(self, box: Box) -> Numbers:
        """The numbers of those whose middle is in a part of the world."""
        wide = 360.0 if box.east - box.west >= 360 else (box.east - box.west) % 360
        is_in = (self.longitude - box.west) % 360 <= wide
        return np.flatnonzero(is_in & (box.south <= self.latitude) & (self.latitude <= box.north))

    def features(self, fleet: Fleet, some: Numbers) -> list[dict[str, Any]]:
        """Some of them as GeoJSON."""
        if not len(some):
            return []
        order, starts = self.order, self.starts
        lows = [np.minimum.reduceat(one[order], starts)[some] for one in (fleet.longitude, fleet.latitude)]
        highs = [
            np.maximum.reduceat(one[order], starts)[some]
            for one in (fleet.longitude, fleet.latitude, fleet.standing, fleet.severity)
        ]
        columns = (order[starts[some]], self.counts[some], self.longitude[some], self.latitude[some], *lows, *highs)
        return [_feature(fleet, *one) for one in zip(*(column.tolist() for column in columns), strict=True)]


def _mean(values: Floats, starts: Numbers, counts: Numbers) -> Floats:
    return np.add.reduceat(values, starts) / counts if len(starts) else values


def _feature(
    fleet: Fleet,
    first: int,
    count: int,
    longitude: float,
    latitude: float,
    west: float,
    south: float,
    east: float,
    north: float,
    standing: int,
    severity: int,
) -> dict[str, Any]:
    named = {"id": fleet.ids[first]} if count == 1 else {"bbox": [west, south, east, north]}
    return {
        "type": "Feature",
        **named,
        "geometry": {"type": "Point", "coordinates": [round(longitude, 7), round(latitude, 7)]},
        "properties": {"count": count, "state": STANDINGS[standing], "severity": _SEVERITY_WORDS[severity] or None},
    }


_SEVERITY_WORDS = {rank: word for word, rank in SEVERITIES.items()}
