"""Alerts: what is pending, open, acknowledged, escalated or cleared; and taking one on."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body

from pledgewatch_cloud.api.access import ServiceOf, ViewerOf, ViewOf, by_of
from pledgewatch_cloud.api.paging import PagingOf
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.alert_half import alerts_of_facility, assets_of
from pledgewatch_cloud.decide.alerts import Alert, AlertState
from pledgewatch_cloud.decide.stretches import NEVER

router = APIRouter(prefix="/alerts", tags=["alerts"])


@router.get("")
async def list_alerts(
    view: ViewOf,
    paging: PagingOf,
    state: AlertState | None = None,
    severity: Literal["warning", "critical"] | None = None,
    facility: str = "",
) -> list[dict[str, Any]]:
    """Alerts as they stand, the latest first, of a state, a severity or a facility where one is named. Moments that
    have not come are null."""
    seen = view.state
    some = list(seen.alerts.values())
    if facility:
        some = alerts_of_facility(seen.book, seen.facts, seen.alerts, facility, seen.recorded_at_ms)
    page = paging.page(
        (_place(one), one)
        for one in some
        if (state is None or one.state is state) and (severity is None or one.severity == severity)
    )
    answer = []
    for one in page.items:
        written = {key: None if value == NEVER else value for key, value in one._asdict().items()}
        answer.append({**written, "assets": assets_of(seen.book, seen.facts, one)})
    return answer


def _place(one: Alert) -> str:
    """Where an alert is among all, the latest first; several rules may have been raised by one cause."""
    return f"{NEVER - one.since_ms:020d}.{one.id}.{one.rule}.{one.group}"


@router.post("/{alert}/acknowledgement")
async def acknowledge_alert(
    service: ServiceOf,
    view: ViewOf,
    viewer: ViewerOf,
    alert: str,
    by: Annotated[str, Body(embed=True, min_length=1, max_length=200, examples=["night desk"])],
) -> dict[str, Any]:
    """Take an open alert on. `by` says who does; of a user their own name stands."""
    is_seen = any(one.id == alert for one in view.state.alerts.values())
    outcome = await service.writer.commit(drafts.acknowledge, alert, by_of(viewer, by)) if is_seen else None
    if outcome is None:
        raise Problem(HTTPStatus.CONFLICT, f"there is no open alert {alert!r} that nobody has taken on")
    return {"entry": outcome.state.entry}
