"""Alerts: what is pending, open, acknowledged, escalated or cleared; and taking one on."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body

from pledgewatch_cloud.api.access import ServiceOf, ViewerOf, ViewOf, by_of
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.alert_half import assets_of
from pledgewatch_cloud.decide.stretches import NEVER

router = APIRouter(prefix="/alerts", tags=["alerts"])


@router.get("")
async def list_alerts(view: ViewOf) -> list[dict[str, Any]]:
    """Every alert as it stands, the latest first. Moments that have not come are null."""
    state = view.state
    answer = []
    for one in sorted(state.alerts.values(), key=lambda alert: (-alert.since_ms, alert.id)):
        written = {key: None if value == NEVER else value for key, value in one._asdict().items()}
        answer.append({**written, "assets": assets_of(state.book, state.facts, one)})
    return answer


@router.post("/{alert}/acknowledgement")
async def acknowledge_alert(
    service: ServiceOf,
    view: ViewOf,
    viewer: ViewerOf,
    alert: str,
    by: Annotated[str, Body(embed=True, min_length=1, max_length=200)],
) -> dict[str, Any]:
    """Take an open alert on. `by` says who does; of a user their own name stands."""
    is_seen = any(one.id == alert for one in view.state.alerts.values())
    outcome = await service.writer.commit(drafts.acknowledge, alert, by_of(viewer, by)) if is_seen else None
    if outcome is None:
        raise Problem(HTTPStatus.CONFLICT, f"there is no open alert {alert!r} that nobody has taken on")
    return {"entry": outcome.state.entry}
