"""Events, in the order in which they were said; and one with what said it."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api.access import StateViewOf, ViewOf
from pledgewatch_cloud.api.paging import JournalPagingOf
from pledgewatch_cloud.api.plain import plain
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide.events import FOLDED_TYPES, SaidEvent

router = APIRouter(prefix="/events", tags=["events"])


@router.get("", response_model=dict[str, Any])
async def list_events(view: StateViewOf, paging: JournalPagingOf) -> Any:
    """Events of the entries beyond `after_entry`, whole entries only, about `limit` of them. Go on from
    `next_after_entry`; `Link` names the next page."""
    page = view.page_at_once(paging.after_entry, paging.limit)
    if page is None:
        page = await run_in_threadpool(view.page, paging.after_entry, paging.limit)
    next_after_entry = paging.go_on(page.last_entry, view.state.entry)
    found = {"events": [written(one) for one in page.events], "next_after_entry": next_after_entry}
    return plain(found, paging.headers)


@router.get("/{event}")
async def read_event(view: ViewOf, event: str) -> dict[str, Any]:
    """One event, when its entry was recorded, and what said it: the reading that it names, with the payload that
    brought that first, as far as readings are seen. `said_by` is null where no reading said it: time alone has, or
    somebody. `stands` is whether what was found of an asset still holds, or later news took it back; null for events
    that are never taken back."""
    found = await run_in_threadpool(_with_what_said_it, view, event)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no event {event!r}")
    return found


def _with_what_said_it(view: View, name: str) -> dict[str, Any] | None:
    said = view.event(name)
    if said is None:
        return None
    payload, entry = view.payload(said), int(said.id.partition(".")[0])
    is_folded = said.event.type in FOLDED_TYPES
    return {
        **written(said),
        "entry": entry,
        "recorded_ms": view.recorded_at_ms(entry),
        "said_by": payload and payload._asdict(),
        "stands": any(one.id == name for one in view.standing(said.event.subject)) if is_folded else None,
    }


def written(one: SaidEvent) -> dict[str, Any]:
    """An event with its id; where there is one, the id of the event in whose stead it stands, and why it was said."""
    marks = {"replaces": one.replaces, "because": one.because}
    return {"id": one.id, **one.event.as_json()} | {name: mark for name, mark in marks.items() if mark}
