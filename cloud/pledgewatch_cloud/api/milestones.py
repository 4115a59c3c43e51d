"""Milestones: where each stands, what it waits for and why; waiving it, and saying whether its release is booked."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.api.access import ServiceOf, ViewerOf, ViewOf, by_of
from pledgewatch_cloud.api.paging import PagingOf
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.milestones import explain
from pledgewatch_cloud.decide.milestones.half import nothing_new
from pledgewatch_cloud.decide.milestones.lifecycle import Memo, MilestoneState

router = APIRouter(prefix="/milestones", tags=["milestones"])
Words = Annotated[str, Body(embed=True, min_length=1, max_length=1_000, examples=["as agreed by phone"])]


@router.get("")
async def list_milestones(
    view: ViewOf, paging: PagingOf, facility: str = "", state: MilestoneState | None = None
) -> list[dict[str, Any]]:
    """Milestones of the book as they stand at `as_of_ms`, by id, of a facility or in a state where one is named."""
    book, memos = view.state.book, view.state.milestones
    found = ((key, one, memos.get(key, Memo(one.facility))) for key, one in book.milestones.items())
    page = paging.page(
        (key, (one, memo))
        for key, one, memo in found
        if facility in ("", one.facility) and (state is None or memo.state is state)
    )
    return [{**explain.described(one, memo), "as_of_ms": view.state.recorded_at_ms} for one, memo in page.items]


@router.get("/{milestone:path}")
async def read_milestone(view: ViewOf, milestone: str) -> dict[str, Any]:
    """One milestone: which facts hold, which are missing, what each rests on, and what if one fell away."""
    state = view.state
    if milestone not in state.book.milestones:
        raise Problem(HTTPStatus.NOT_FOUND, explain.unknown(state.book, milestone))
    return explain.as_json(await run_in_threadpool(view.explained, milestone))


@router.post("/{milestone:path}/waiver")
async def waive_milestone(
    service: ServiceOf, view: ViewOf, viewer: ViewerOf, milestone: str, by: Words, why: Words
) -> dict[str, Any]:
    """Let the money move whatever the milestone asks for. `by` says who decides so, `why` says why. It is for its
    facility's lender, and for keepers."""
    book = view.state.book
    if milestone not in book.milestones:
        raise Problem(HTTPStatus.NOT_FOUND, explain.unknown(book, milestone))
    _for_lenders(viewer)
    outcome = await service.writer.commit(drafts.waive, milestone, by_of(viewer, by), why)
    if outcome is None:
        memo = service.writer.state.milestones[milestone]
        text = f"it is {memo.state}, or what it releases is not known or not what was sent: nothing is waived"
        raise Problem(HTTPStatus.CONFLICT, f"milestone {milestone}: {text}")
    return {"entry": outcome.state.entry}


@router.post("/{milestone:path}/booking")
async def say_booked(
    service: ServiceOf,
    view: ViewOf,
    viewer: ViewerOf,
    milestone: str,
    release: Annotated[Literal["booked", "none"], Body(examples=["booked"])],
    by: Words,
    why: Words,
) -> dict[str, Any]:
    """Say for whoever pays that they have booked a milestone's release (`booked`), or that they have not (`none`).

    `by` names who says so, `why` how they know. What is booked is not sent any more, if its message waits still.
    """
    state = view.state
    if milestone not in state.book.milestones and milestone not in state.milestones:
        raise Problem(HTTPStatus.NOT_FOUND, explain.unknown(state.book, milestone))
    _for_lenders(viewer)
    outcome = await service.writer.commit(drafts.say_booked, milestone, release, by_of(viewer, by), why)
    if outcome is None:
        memo = service.writer.state.milestones.get(milestone, Memo(""))
        raise Problem(HTTPStatus.CONFLICT, f"milestone {milestone}: {nothing_new(memo, release)}")
    return {"entry": outcome.state.entry}


def _for_lenders(viewer: Viewer) -> None:
    """Only who lends lets money move, or says that it has. Raises Problem: 403."""
    if viewer.role not in (Role.LENDER, Role.KEEPER):
        raise Problem(HTTPStatus.FORBIDDEN, f"this is for the lender; {viewer.user} asks as {viewer.role}")
