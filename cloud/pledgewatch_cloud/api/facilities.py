"""Facilities: borrowing base, covenants, alerts and milestones; and each lot's way through the waterfall."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api import examples
from pledgewatch_cloud.api.access import ServiceOf, StateViewOf, ViewerOf, ViewOf, ask_again, for_money
from pledgewatch_cloud.api.beside import LOTS, worked_out
from pledgewatch_cloud.api.body import commit_body
from pledgewatch_cloud.api.paging import PagingOf
from pledgewatch_cloud.api.plain import plain
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.tables import RESPONSES, table, wants_table
from pledgewatch_cloud.api.writing import WritingOf
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.alert_half import alerts_by_facility
from pledgewatch_cloud.decide.alerts import Alert, AlertState
from pledgewatch_cloud.decide.collateral.terms import Covenants
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.facility import FacilityState
from pledgewatch_cloud.decide.milestones import explain
from pledgewatch_cloud.decide.milestones.lifecycle import Memo
from pledgewatch_cloud.decide.moments import MomentError, moment_ms
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import NEVER, Stretches, stretch_at
from pledgewatch_cloud.spine.base_at import BaseAtError

router = APIRouter(prefix="/facilities", tags=["facilities"])
_OF_LTV = frozenset({EventType.BASE_RECOMPUTED, EventType.MARGIN_CALLED})
_BASES_MAX = 5_000
_AMOUNTS = ("base_minor", "outstanding_minor", "headroom_minor")
_AFTER_STEPS = ("eligible_minor", "advance_minor", "in_class", "is_unvalued")


@router.get("", response_model=list[dict[str, Any]])
async def list_facilities(view: StateViewOf, paging: PagingOf, lender: str = "", borrower: str = "") -> Any:
    """Facilities as they stand, by id, of a lender or a borrower where one is named."""
    state = view.state
    page = paging.page(
        (key, key)
        for key, one in state.book.facilities.items()
        if lender in ("", one.lender) and borrower in ("", one.borrower)
    )
    alerts = alerts_by_facility(state.book, state.alerts, state.recorded_at_ms)
    return plain([_described(view, facility, alerts.get(facility, [])) for facility in page.items], paging.headers)


@router.get("/{facility:path}/base")
async def read_base(
    request: Request,
    service: ServiceOf,
    view: ViewOf,
    facility: str,
    as_of: Annotated[str | None, Query()] = None,
    known_at: Annotated[str | None, Query()] = None,
) -> dict[str, Any]:
    """The base as of a moment, by what was known at another; both ISO 8601 with their offset, by default now. Where
    either is given the journal is folded anew, for one question at a time: 503 where too many wait, 429 where one user
    has three requests that do, or their party four questions."""
    try:
        known_at_ms = None if known_at is None else moment_ms("known_at", known_at)
        as_of_ms = None if as_of is None else moment_ms("as_of", as_of)
        if as_of_ms is None and known_at_ms is None:
            return await run_in_threadpool(view.base_now, facility)
        refold = view.refold(facility, as_of_ms, known_at_ms)
        found = await service.refolds.of(view.viewer, refold, request.receive)
        # That may have taken long: it is told to who asks as they are now.
        view = service.views.of(await ask_again(request, service))
        return await run_in_threadpool(view.refolded, refold, found)
    except (BaseAtError, MomentError) as error:
        known = isinstance(error, MomentError) or facility in view.state.book.facilities
        status = HTTPStatus.UNPROCESSABLE_ENTITY if known else HTTPStatus.NOT_FOUND
        raise Problem(status, str(error)) from None


@router.get("/{facility:path}/ltv", dependencies=[Depends(for_money)])
async def read_ltv(view: ViewOf, facility: str) -> dict[str, Any]:
    """The loan to value over time, as each base of the journal was when it was recorded, the newest 5,000: each holds
    until its `until_ms`, which is when the next was, or when the facility went to another: nothing bridges the time in
    which it was another's. `ltv_bp` is null where nothing was eligible, so that there was no ratio. `levels` are those
    of the policy as it is now, null where there is none; `calls` the margin calls. The last base holds until the
    `until_ms` of all. Of a facility that is another's now there is its time with who asks, and neither levels nor
    currency."""
    book, when = view.state.book, view.when_facility(facility)
    if not when:
        raise _unknown(facility)
    said = await run_in_threadpool(view.told_of, facility, _OF_LTV, _BASES_MAX)
    is_own = facility in book.facilities
    terms = book.policy_of(facility).covenants if is_own else Covenants()
    bases = [one.event for one in said if one.event.type is EventType.BASE_RECOMPUTED]
    moments = [*(one.at_ms for one in bases[1:]), view.state.recorded_at_ms]
    return {
        "facility": facility,
        "currency": book.facilities[facility].currency if is_own else None,
        "levels": {name: getattr(terms, name) or None for name in ("warning_bp", "call_bp", "default_bp")},
        "until_ms": min(view.state.recorded_at_ms, when[-1][1]),
        "bases": [
            {"at_ms": one.at_ms, "until_ms": _held_until_ms(when, one.at_ms, next_ms)}
            | {name: one.fact(name) for name in _AMOUNTS}
            | {"ltv_bp": None if int(one.fact("ltv_bp")) < 0 else one.fact("ltv_bp")}
            for one, next_ms in zip(bases, moments, strict=True)
        ],
        "calls": [
            {"at_ms": one.event.at_ms, "call_minor": one.event.fact("call_minor")}
            for one in said
            if one.event.type is EventType.MARGIN_CALLED
        ],
    }


def _held_until_ms(when: Stretches, at_ms: int, next_ms: int) -> int:
    """Until when a base held: the next, or the end of the time in which the facility was theirs who ask. The base that
    is said as it is closed holds no longer."""
    stretch = stretch_at(when, at_ms)
    return min(next_ms, stretch[1]) if stretch else at_ms


@router.get("/{facility:path}/lines", response_model=list[dict[str, Any]], responses=RESPONSES)
async def read_lines(view: ViewOf, request: Request, paging: PagingOf, facility: str) -> Any:
    """What became of each lot of a facility on its way to the base, by lot. As a table where `text/csv` is accepted: a
    column for each step that took anything from a lot of the page, amounts in minor units."""
    _known(view.state, facility)
    page = paging.page((one["id"], one) for one in await run_in_threadpool(view.lines, facility))
    if not wants_table(request):
        return page.items
    steps = list(dict.fromkeys(step for one in page.items for step in one["ineligible"]))
    columns = ["id", "value_minor", *(f"{step}_minor" for step in steps), *_AFTER_STEPS, "grounds"]
    rows = (
        [
            *(one["id"], one["value_minor"]),
            *(one["ineligible"].get(step, 0) for step in steps),
            *(one[name] for name in _AFTER_STEPS),
            "; ".join(one["grounds"]),
        ]
        for one in page.items
    )
    return table(columns, rows, paging.headers)


@router.get("/{facility:path}/evidence")
async def read_evidence(view: ViewOf, paging: PagingOf, facility: str) -> list[dict[str, Any]]:
    """What stands for each lot of a facility that is pledged to who asks, by lot: its newest evidence that counts, how
    old that is against the policy's limits, and what it counts as."""
    _known(view.state, facility)
    return paging.page((one.lot, one.as_json()) for one in await run_in_threadpool(view.evidence, facility)).items


@router.get("/{facility:path}", response_model=dict[str, Any])
async def read_facility(view: StateViewOf, facility: str) -> Any:
    """One facility as it stands, with what became of each of its lots, and what that rests on."""
    _known(view.state, facility)
    state = view.state
    is_little = view.has_desk and len(state.book.lots_of_facility(facility)) <= LOTS
    lines = await worked_out(is_little, lambda: view.lines(facility))
    alerts = alerts_by_facility(state.book, state.alerts, state.recorded_at_ms)
    return plain({**_described(view, facility, alerts.get(facility, [])), "lines": lines})


@router.post("/{facility:path}/movements", openapi_extra=examples.json_body(examples.MOVEMENTS))
async def move(writing: WritingOf, view: ViewOf, viewer: ViewerOf, facility: str, request: Request) -> dict[str, Any]:
    """Take drawdowns and repayments into the book: all, or none with every fault's place. What is known already changes
    nothing, so they may be told until they are heard. Says the entry that took them, if any is new."""
    _known(view.state, facility)
    if viewer.role not in (Role.LENDER, Role.KEEPER):
        raise Problem(
            HTTPStatus.FORBIDDEN, f"what has moved is for the lender to say; {viewer.user} asks as {viewer.role}"
        )
    return await commit_body(
        request,
        lambda document: writing.where(lambda now: _known(now.state, facility)).commit(drafts.move, facility, document),
        "the movements are refused; the loan stays",
    )


def _known(state: State, facility: str) -> None:
    if facility not in state.book.facilities:
        raise _unknown(facility)


def _unknown(facility: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, f"there is no facility {facility!r}")


def _described(view: View, facility: str, alerts: list[Alert]) -> dict[str, Any]:
    state = view.state
    book, one = state.book, state.book.facilities[facility]
    known = state.facilities.get(facility, FacilityState())
    called_ms = known.covenant.cure_by_ms
    return {
        **{name: getattr(one, name) for name in ("id", "lender", "borrower", "currency", "policy")},
        "base": known.base._asdict() if known.base else None,
        "cover": known.covenant.cover.name.lower(),
        "call_minor": known.covenant.call_minor,
        "cure_by_ms": None if called_ms == NEVER else called_ms,
        "lots": [{"id": lot.id, "asset": lot.asset or None, "sku": lot.sku} for lot in book.lots_of_facility(facility)],
        "alerts": {one.id: one.state for one in alerts if one.state is not AlertState.PENDING},
        "milestones": [
            explain.described(milestone, state.milestones.get(milestone.id, Memo(facility)))
            for milestone in book.milestones_of_facility(facility)
        ],
        # The core is told of goods that are not pledged to the lender, too, and was by the lender before.
        "messages_sent": known.messages_sent if view.is_keeper else None,
    }
