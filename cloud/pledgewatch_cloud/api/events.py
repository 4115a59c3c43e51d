"""Events, in the order in which they were said."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.api.access import ViewOf
from pledgewatch_cloud.decide.events import SaidEvent

router = APIRouter(prefix="/events", tags=["events"])


@router.get("")
async def list_events(
    view: ViewOf,
    after_entry: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
) -> dict[str, Any]:
    """Events of the entries beyond `after_entry`, whole entries only. Go on from `next_after_entry`."""
    page = await run_in_threadpool(view.page, after_entry, limit)
    return {"events": [written(one) for one in page.events], "next_after_entry": page.last_entry}


def written(one: SaidEvent) -> dict[str, Any]:
    """An event with its id; where there is one, the id of the event in whose stead it stands, and why it was said."""
    marks = {"replaces": one.replaces, "because": one.because}
    return {"id": one.id, **one.event.as_json()} | {name: mark for name, mark in marks.items() if mark}
