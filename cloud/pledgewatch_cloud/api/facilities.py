"""Facilities: value, loan to value, alerts and milestones."""

from typing import Any

from fastapi import APIRouter

from pledgewatch_cloud.api.access import ServiceOf
from pledgewatch_cloud.decide.alert_half import alerts_of_facility
from pledgewatch_cloud.decide.alerts import AlertState
from pledgewatch_cloud.decide.facility import FacilityState
from pledgewatch_cloud.decide.valuation import lot_value_minor

router = APIRouter(prefix="/facilities", tags=["facilities"])


@router.get("")
async def list_facilities(service: ServiceOf) -> list[dict[str, Any]]:
    """Every facility as it stands."""
    state = service.writer.state
    answer = []
    for key, facility in sorted(state.book.facilities.items()):
        known = state.facilities.get(key, FacilityState())
        answer.append(
            {
                **facility._asdict(),
                "value": known.value._asdict() if known.value else None,
                "lots": [
                    {"id": lot.id, "asset": lot.asset, "sku": lot.sku, "value_minor": lot_value_minor(state.book, lot)}
                    for lot in state.book.lots_of_facility(key)
                ],
                "alerts": {
                    one.id: one.state
                    for one in alerts_of_facility(state.book, state.facts, state.alerts, key)
                    if one.state is not AlertState.PENDING
                },
                "milestones": [
                    {**one._asdict(), "state": known.milestone_states.get(one.id, "waiting")}
                    for one in state.book.milestones_of_facility(key)
                ],
                "messages_sent": known.messages_sent,
            }
        )
    return answer
