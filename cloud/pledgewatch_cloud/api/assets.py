"""Assets: where they are, in what condition, and their series."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query

from pledgewatch_cloud.api.access import Service, ServiceOf
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide.geofence import E7
from pledgewatch_wire.reading import Channel, Quality

router = APIRouter(prefix="/assets", tags=["assets"])


@router.get("")
async def list_assets(service: ServiceOf) -> dict[str, Any]:
    """All assets as a GeoJSON FeatureCollection; one without a fix has no geometry."""
    return {"type": "FeatureCollection", "features": [_feature(service, asset) for asset in _known(service)]}


@router.get("/{asset}")
async def read_asset(service: ServiceOf, asset: str) -> dict[str, Any]:
    """One asset as a GeoJSON Feature."""
    if asset not in _known(service):
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no asset {asset!r}")
    return _feature(service, asset)


@router.get("/{asset}/series/{channel}")
async def read_series(
    service: ServiceOf,
    asset: str,
    channel: str,
    from_ms: int = 0,
    to_ms: int = 2**53,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
) -> dict[str, Any]:
    """The newest points of one channel, in order of time. Behind the journal by as much as `entry` says."""
    names = {one.name.lower(): one for one in Channel}
    if channel not in names:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no channel {channel!r}; there are {', '.join(names)}")
    points = service.series.points(asset, names[channel], from_ms, to_ms, limit)
    return {
        "asset": asset,
        "channel": channel,
        "entry": service.series.cursor,
        "points": [[one.measured_at_ms, one.value, _quality(one.quality)] for one in points],
    }


def _known(service: Service) -> list[str]:
    return sorted({one.asset for one in service.writer.state.book.installations.values()})


def _feature(service: Service, asset: str) -> dict[str, Any]:
    state = service.writer.state
    known = state.assets.get(asset)
    presence = known.presence if known else None
    geometry = None
    if presence:
        place = presence.place
        geometry = {"type": "Point", "coordinates": [place.longitude_e7 / E7, place.latitude_e7 / E7]}
    return {
        "type": "Feature",
        "id": asset,
        "geometry": geometry,
        "properties": {
            "measured_at_ms": presence.key[0] if presence else None,
            "fences": list(presence.fences) if presence else [],
            "breached": [
                {"lot": lot, "channel": Channel(channel).name.lower()}
                for (lot, channel), one in (known.conditions.items() if known else ())
                if one.breached
            ],
            "silent_devices": [device for device, one in (known.silences.items() if known else ()) if one.silent],
            "lots": [lot.id for lot in state.book.lots_of_asset(asset)],
        },
    }


def _quality(code: int) -> str:
    return Quality(code).name.lower() if code in Quality.__members__.values() else f"code_{code}"
