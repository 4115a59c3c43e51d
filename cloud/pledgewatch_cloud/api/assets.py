"""Assets: where they are, in what condition, and their series."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api.access import StateViewOf, ViewOf
from pledgewatch_cloud.api.paging import PagingOf
from pledgewatch_cloud.api.plain import plain
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.tables import RESPONSES, table, wants_table
from pledgewatch_cloud.decide import kinetic
from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.condition import Condition
from pledgewatch_cloud.decide.geofence import E7
from pledgewatch_cloud.decide.item import CHANNEL_NAMES
from pledgewatch_cloud.decide.silence import Patience, Source, standing, stands_until_ms
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_wire.reading import Channel, Quality

router = APIRouter(prefix="/assets", tags=["assets"])
_STRETCHES_MAX = 10_000
STANDINGS = ("live", "dark", "bad")
"""How an asset stands, the worst last."""
_COLUMNS = ("id", "longitude", "latitude", "measured_at_ms", "fences", "lots", "breached", "unknown")


@router.get("", response_model=dict[str, Any], responses=RESPONSES)
async def list_assets(
    view: StateViewOf,
    request: Request,
    paging: PagingOf,
    fence: str = "",
    facility: str = "",
    state: Literal["kept", "breached", "unknown"] | None = None,
    find: Annotated[str, Query(max_length=128)] = "",
) -> Any:
    """Assets by id as a GeoJSON FeatureCollection; one without a fix has no geometry. `measured_at_ms` is the fix's,
    `newest_ms` that of the newest reading of any channel. Those in a fence, with goods of a
    facility in them, with goods whose condition is so, or whose id has `find` in it, where that is asked; `count` is
    how many there are on all pages. As a table where `text/csv` is accepted.
    """
    seen = view.state
    known = [asset for asset in _known(view) if find.lower() in asset.lower()]
    if fence or facility or state:
        known = [asset for asset in known if _fits(seen, asset, fence, facility, state)]
    page = paging.page((asset, asset) for asset in known)
    features = [_feature(seen, asset) for asset in page.items]
    if wants_table(request):
        return table(_COLUMNS, map(_row, features), paging.headers)
    found = {"type": "FeatureCollection", "features": features, "count": len(known), "next_after": page.next_after}
    return plain(found, paging.headers)


@router.get("/{asset:path}/series/{channel}", response_model=dict[str, Any], responses=RESPONSES)
async def read_series(
    view: ViewOf,
    request: Request,
    asset: str,
    channel: str,
    from_ms: Annotated[int, Query(ge=-(2**53), le=2**53)] = 0,
    to_ms: Annotated[int, Query(ge=-(2**53), le=2**53)] = 2**53,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
) -> Any:
    """The newest points of one channel, in order of time, and in which stretches [from, to) of the time that is asked
    for the asset is `seen` by who asks: between two of them it was another's, and nothing is to be joined over that.
    Of several devices the points are those of all: `device_of` has a number for each point, its place among `devices`.
    Behind the journal by as much as `entry` says. As a table where `text/csv` is accepted."""
    _check_known(view, asset)
    points = view.points(asset, _channel(channel), from_ms, to_ms, limit)
    if wants_table(request):
        columns = ("measured_at_ms", "value", "quality", "device")
        return table(columns, ((one.measured_at_ms, one.value, _quality(one.quality), one.device) for one in points))
    devices = {device: number for number, device in enumerate(sorted({one.device for one in points}))}
    found = {
        "asset": asset,
        "channel": channel,
        "entry": view.series_entry,
        "seen": [list(one) for one in view.when_asset(asset, from_ms, to_ms)],
        "points": [[one.measured_at_ms, one.value, _quality(one.quality)] for one in points],
        "devices": list(devices),
        "device_of": [devices[one.device] for one in points],
    }
    return plain(found)


@router.get("/{asset:path}/series/{channel}/stretches")
async def read_stretches(
    view: ViewOf,
    asset: str,
    channel: str,
    from_ms: Annotated[int, Query(ge=0, le=2**53)],
    to_ms: Annotated[int, Query(ge=0, le=2**53)],
    step_ms: Annotated[int, Query(ge=1_000, le=2**40)] = 3_600_000,
) -> dict[str, Any]:
    """One channel's good values in steps: count, least, mean and most of each step that has any."""
    _check_known(view, asset)
    code = _channel(channel)
    if (to_ms - from_ms) // step_ms > _STRETCHES_MAX:
        raise Problem(HTTPStatus.BAD_REQUEST, f"more than {_STRETCHES_MAX} steps; ask for longer ones or less time")
    found = view.stretches(asset, code, from_ms, to_ms, step_ms)
    return {
        "asset": asset,
        "channel": channel,
        "entry": view.series_entry,
        "stretches": [one._asdict() for one in found],
    }


@router.get("/{asset:path}/last")
async def read_last(view: ViewOf, asset: str) -> dict[str, Any]:
    """The newest point of each channel that an asset has. What a clock dates ahead of ours is not yet among them."""
    _check_known(view, asset)
    found = view.last(asset)
    return {
        "asset": asset,
        "entry": view.series_entry,
        "last": {
            CHANNEL_NAMES[channel]: {
                "measured_at_ms": one.measured_at_ms,
                "value": one.value,
                "quality": _quality(one.quality),
            }
            for channel, one in sorted(found.items())
        },
    }


@router.get("/{asset:path}")
async def read_asset(view: StateViewOf, asset: str) -> dict[str, Any]:
    """One asset as a GeoJSON Feature."""
    if not view.state.book.devices_of_asset(asset):
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no asset {asset!r}")
    return _feature(view.state, asset)


def _check_known(view: View, asset: str) -> None:
    if not view.knows_asset(asset):
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no asset {asset!r}")


def _channel(name: str) -> Channel:
    names = {one.name.lower(): one for one in Channel}
    if name not in names:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no channel {name!r}; there are {', '.join(names)}")
    return names[name]


def _known(view: View) -> list[str]:
    return sorted({one.asset for one in view.state.book.installations.values()})


def _fits(state: State, asset: str, fence: str, facility: str, condition: str | None) -> bool:
    """Whether an asset is one of those that are asked for."""
    known = state.assets.get(asset)
    inside = known.presence.inside if known and known.presence else ()
    lots = state.book.lots_in(asset, state.recorded_at_ms) if facility else ()
    return (
        (not fence or fence in inside)
        and (not facility or any(lot.facility == facility for lot in lots))
        and (
            condition is None or any(word_of(one) == condition for one in (known.conditions if known else {}).values())
        )
    )


def _row(feature: dict[str, Any]) -> list[object]:
    """A feature as a row of a table; what is several is one cell, with spaces between."""
    about, place = feature["properties"], feature["geometry"]
    in_state = {
        word: [f"{one['lot']}|{one['limit']}" for one in about["conditions"] if one["state"] == word]
        for word in ("breached", "unknown")
    }
    return [
        feature["id"],
        *(place["coordinates"] if place else (None, None)),
        about["measured_at_ms"],
        *(" ".join(some) for some in (about["fences"], about["lots"], *in_state.values())),
    ]


def _feature(state: State, asset: str) -> dict[str, Any]:
    known = state.assets.get(asset)
    facts = state.facts.get(asset, AssetFacts())
    presence = known.presence if known else None
    geometry = None
    if presence:
        coordinates = [presence.longitude_e7 / E7, presence.latitude_e7 / E7]
        geometry = {"type": "Point", "coordinates": coordinates}
    return {
        "type": "Feature",
        "id": asset,
        "geometry": geometry,
        "properties": {
            "measured_at_ms": presence.key[0] if presence else None,
            "newest_ms": max((one.key[0] for one in known.devices.values()), default=None) if known else None,
            "fences": list(presence.inside) if presence else [],
            "conditions": [
                {"lot": lot, "limit": limit, "state": word_of(one), "breaches": _breaches(facts, lot, limit)}
                for (lot, limit), one in (known.conditions.items() if known else ())
            ],
            "mean_kinetic_temperatures": kinetics_of(state, asset, known),
            "sources": sources_of(state, asset, known),
            "lots": [lot.id for lot in state.book.lots_in(asset, state.recorded_at_ms)],
        },
    }


def _breaches(facts: AssetFacts, lot: str, limit: str) -> int:
    """How many breaches of a limit stand, those that have ended included."""
    about = f"{lot}|{limit}"
    breaches = [one.about for one in facts.causes.values() if one.kind == "condition_breached"]
    return sum(one == about or one.startswith(f"{about}|") for one in breaches)


def word_of(one: Condition) -> str:
    """How goods stand to one limit, in a word."""
    if one.breached or one.cumulative_breached or one.budget_breached:
        return "breached"
    return "kept" if one.is_known and not one.is_unknown else "unknown"


def kinetics_of(state: State, asset: str, known: AssetState | None) -> list[dict[str, Any]]:
    """The mean kinetic temperature of each lot that has a rule on it, between its bounds."""
    found = []
    for lot in state.book.lots_of_asset(asset):
        story = known.kinetics.get(lot.id) if known else None
        bounds = kinetic.bounds_mc(kinetic.judged(story, lot.kinetic), lot.kinetic) if story and lot.kinetic else None
        if story and bounds:
            found.append({"lot": lot.id, "lower_mc": bounds[0], "upper_mc": bounds[1], "state": story.level})
    return found


def sources_of(state: State, asset: str, known: AssetState | None) -> list[dict[str, Any]]:
    """Devices and their sensors: live, expected dark until, overdue since, or silent since; and after how many seconds
    without a word, while signal is expected, that is so by their installation (0: that is not judged)."""
    legs, now_ms = state.book.legs_of(asset), state.recorded_at_ms
    found = []
    for device, channel, source, patience in _watched(state, asset, known):
        word, moment_ms = standing(source, patience, legs, now_ms)
        found.append({"device": device, "channel": channel, "state": word, "at_ms": moment_ms} | patience._asdict())
    return found


def sources_stand_until_ms(state: State, asset: str, known: AssetState) -> int:
    """Up to when each source of an asset of which nothing is heard stands as it does now."""
    legs, now_ms = state.book.legs_of(asset), state.recorded_at_ms
    every = (stands_until_ms(source, patience, legs, now_ms) for *_, source, patience in _watched(state, asset, known))
    return min(every, default=NEVER)


def _watched(state: State, asset: str, known: AssetState | None) -> Iterator[tuple[str, str | None, Source, Patience]]:
    """Of each device that was heard, itself and its sensors: its name, the channel, and how long it is waited for."""
    for one in state.book.devices_of_asset(asset):
        heard = known.devices.get(one.device) if known else None
        if heard is None:
            continue
        yield one.device, None, heard.device, one.patience
        for channel, patience in one.sensors:
            if channel in heard.sensors:
                yield one.device, CHANNEL_NAMES[channel], heard.sensors[channel], patience


def standing_of(state: State, asset: str, known: AssetState) -> str:
    """How an asset stands, in one of STANDINGS: `bad` where a limit is or was breached or a source is silent, `dark`
    where none is heard, as planned."""
    words = {word_of(one) for one in known.conditions.values()}
    heard = {one["state"] for one in sources_of(state, asset, known)}
    if "breached" in words or "silent" in heard:
        return "bad"
    facts = state.facts.get(asset, AssetFacts())
    if "unknown" not in words and any(_breaches(facts, lot, limit) for lot, limit in known.conditions):
        return "bad"
    return "dark" if "expected_dark" in heard and "overdue" not in heard else "live"


def _quality(code: int) -> str:
    return Quality(code).name.lower() if code in Quality.__members__.values() else f"code_{code}"
