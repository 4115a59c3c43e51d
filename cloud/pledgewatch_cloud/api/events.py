"""Events, in the order in which they were said."""

from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.api.access import ViewOf
from pledgewatch_cloud.api.paging import JournalPagingOf
from pledgewatch_cloud.decide.events import SaidEvent

router = APIRouter(prefix="/events", tags=["events"])


@router.get("")
async def list_events(view: ViewOf, paging: JournalPagingOf) -> dict[str, Any]:
    """Events of the entries beyond `after_entry`, whole entries only, about `limit` of them. Go on from
    `next_after_entry`; `Link` names the next page."""
    page = await run_in_threadpool(view.page, paging.after_entry, paging.limit)
    next_after_entry = paging.go_on(page.last_entry, view.state.entry)
    return {"events": [written(one) for one in page.events], "next_after_entry": next_after_entry}


def written(one: SaidEvent) -> dict[str, Any]:
    """An event with its id; where there is one, the id of the event in whose stead it stands, and why it was said."""
    marks = {"replaces": one.replaces, "because": one.because}
    return {"id": one.id, **one.event.as_json()} | {name: mark for name, mark in marks.items() if mark}
