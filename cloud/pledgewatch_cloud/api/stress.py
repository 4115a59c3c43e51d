"""Stress: what would become of every facility if the world were otherwise."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api import examples
from pledgewatch_cloud.api.access import ServiceOf, ViewerOf, for_money
from pledgewatch_cloud.api.body import json_body
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide.collateral import stress
from pledgewatch_cloud.decide.collateral.exposure import lots_by_fence
from pledgewatch_cloud.decide.collateral.stress import Shock, Stressed
from pledgewatch_cloud.decide.item import BookError

router = APIRouter(prefix="/stress", tags=["stress"], dependencies=[Depends(for_money)])


@router.post("", openapi_extra=examples.json_body(examples.SHOCKS))
async def run_stress(service: ServiceOf, viewer: ViewerOf, request: Request) -> dict[str, Any]:
    """Every facility that is seen under every shock, and the names in them that nobody knows; nothing changes."""
    document = await json_body(request)
    try:
        shocks = stress.shocks_of(document)
    except BookError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "the shocks are refused", error.errors) from None
    view = service.views.of(viewer)  # of now, for the body may have taken long
    state = view.state
    found = await run_in_threadpool(_stressed, view, shocks)
    unknown = stress.unknown_names(shocks, state.book, state.market)
    return {"stressed": [stress.as_json(one) for one in found], "unknown": unknown}


def _stressed(view: View, shocks: Sequence[Shock]) -> list[Stressed]:
    return list(stress.stressed(view.sheet, shocks, lots_by_fence(view.state)))
