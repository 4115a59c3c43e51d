"""Warehouses: cases that are open, the counts they ask for, and counts that are handed in.

Who hands in a count needs no token: its signature shows who has counted, whoever brings it.
"""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api import examples
from pledgewatch_cloud.api.access import ServiceOf, ViewOf
from pledgewatch_cloud.api.body import signed_text
from pledgewatch_cloud.api.paging import PagingOf, place
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.warehouse import counting, shown
from pledgewatch_cloud.decide.warehouse.cases import Case
from pledgewatch_cloud.decide.warehouse.counting import CountError

router = APIRouter(prefix="/warehouses", tags=["warehouses"])


@router.post("/counts", openapi_extra=examples.signed_body(), status_code=HTTPStatus.CREATED)
async def hand_in_count(service: ServiceOf, request: Request, response: Response) -> dict[str, Any]:
    """Take a signed count, a compact JWS (docs/WAREHOUSES.md): 201 where it is taken, 200 where it says nothing new,
    each with the cases that it has ended; 422 where it is refused."""
    text = await signed_text(request)
    try:
        count = counting.read(text)
        outcome = await service.writer.commit(drafts.count, text, service.clock.now_ms())
    except CountError as error:
        more = {"why": error.why, "cure": error.cure}
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), more=more) from None
    if outcome is None:
        response.status_code = HTTPStatus.OK
    cases = service.writer.state.watch.cases.values()
    return {
        "entry": None if outcome is None else outcome.state.entry,
        "changed": outcome is not None,
        "count": count.digest,
        "ended": shown.answered_by(cases, count.digest),
    }


@router.get("/cases/{case}")
async def read_case(view: ViewOf, case: str) -> dict[str, Any]:
    """One case: what each of its keys is claimed, kept and counted as now; the receipts and lots that it bears on."""
    state = view.state
    found = state.watch.cases.get(case)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, shown.unknown(case))
    return shown.in_full(state, found)


@router.get("/{warehouse:path}/cases")
async def list_cases(view: ViewOf, paging: PagingOf, warehouse: str, with_closed: bool = False) -> list[dict[str, Any]]:
    """The open cases of a warehouse, the most urgent first; after them those that are closed, where asked for."""
    state = _state(view, warehouse)
    page = paging.page((_place(one), one) for one in shown.cases_of(state, warehouse, with_closed=with_closed))
    return [shown.as_json(one) for one in page.items]


@router.get("/{warehouse:path}/count-tasks")
async def list_count_tasks(view: ViewOf, paging: PagingOf, warehouse: str, by: str = "") -> list[dict[str, Any]]:
    """The counts that open cases of a warehouse ask for, the most urgent first: each with its risk, until when it is
    due, and the form to fill in and sign, in the name of `by`."""
    state = _state(view, warehouse)
    page = paging.page((_place(one), one) for one in shown.tasks_of(state, warehouse))
    return [
        {"case": one.id, "kind": one.kind, "risk": one.risk, "due": shown.as_json(one)["due"], "state": str(one.state)}
        | {"form": shown.form_of(one, by)}
        for one in page.items
    ]


def _place(one: Case) -> str:
    """Where a case is among all: open ones by their urgency, then the closed ones, the newest first."""
    if one.is_open:
        return place(0, -one.risk, one.opened_ms, *one.about, one.id)
    return place(1, -one.closed_ms, *one.about, one.id)


def _state(view: View, warehouse: str) -> State:
    """The state, in which a warehouse is known: by the book, or by cases of before it left that."""
    state = view.state
    if warehouse not in state.book.warehouses and not shown.cases_of(state, warehouse, with_closed=True):
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no {warehouse!r} among warehouses")
    return state
