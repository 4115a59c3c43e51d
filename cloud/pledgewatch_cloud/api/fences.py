"""Fences: areas that assets are in or not, as GeoJSON."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter

from pledgewatch_cloud.api.access import ViewOf
from pledgewatch_cloud.api.paging import PagingOf
from pledgewatch_cloud.api.problems import Problem

router = APIRouter(prefix="/fences", tags=["fences"])


@router.get("")
async def list_fences(view: ViewOf, paging: PagingOf, kind: str = "") -> dict[str, Any]:
    """Fences by id as a GeoJSON FeatureCollection, of a kind where one is named: the shape of each and its rules, as an
    amendment says them."""
    page = paging.page((key, one) for key, one in view.state.book.fences.items() if kind in ("", one.kind))
    features = [one.as_feature() for one in page.items]
    return {"type": "FeatureCollection", "features": features, "next_after": page.next_after}


@router.get("/{fence:path}")
async def read_fence(view: ViewOf, fence: str) -> dict[str, Any]:
    """One fence as a GeoJSON Feature, and the assets in it that are seen, as its `assets`."""
    state = view.state
    found = state.book.fences.get(fence)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no fence {fence!r}")
    seen = {one.asset for one in state.book.installations.values()}
    presences = ((asset, known.presence) for asset in sorted(seen) if (known := state.assets.get(asset)) is not None)
    inside = [asset for asset, presence in presences if presence is not None and fence in presence.inside]
    return {**found.as_feature(), "assets": inside}
