"""The outbox: endpoints and how they stand, dead letters, sending again, and the evidence of what was delivered."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.api.access import ServiceOf, for_keepers
from pledgewatch_cloud.api.paging import PagingOf, place
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.writing import WritingOf
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.journal.outbox import CORE
from pledgewatch_cloud.outbox import shown
from pledgewatch_cloud.outbox.dead_letters import that_lets_money_move
from pledgewatch_cloud.outbox.point import PointError, replay_from

router = APIRouter(prefix="/outbox", tags=["outbox"], dependencies=[Depends(for_keepers)])
_WHO_AND_WHY = (
    "{id} lets money move, and {endpoint} pays: the body must say who passes it over (`by`) and why (`why`), for the"
    " journal is told that its release is not booked"
)


@router.get("/endpoints")
async def list_endpoints(service: ServiceOf, paging: PagingOf) -> list[dict[str, Any]]:
    """Endpoints: what each wants, what it has still to be sent, how it answers, whether it lags or is stopped."""
    page = paging.page((one.name, one) for one in await run_in_threadpool(service.store.endpoints))
    return [{**shown.endpoint_as_json(one), **shown.relay_as_json(service.relays.get(one.name))} for one in page.items]


@router.post("/endpoints/{endpoint}/replay")
async def replay(
    service: ServiceOf,
    endpoint: str,
    point: Annotated[str, Body(embed=True, examples=["812", "2026-03-01T09:30:00Z", "autumn-line:7"])],
) -> dict[str, Any]:
    """Send an endpoint everything once more from `point` on: an entry's number, a moment, or facility:sequence."""
    try:
        facilities = await run_in_threadpool(replay_from, service.store, endpoint, point)
    except PointError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    service.wake_relay()
    return {"endpoint": endpoint, "facilities": facilities}


@router.post("/endpoints/{endpoint}/resume")
async def resume(service: ServiceOf, endpoint: str) -> dict[str, Any]:
    """Lift the stop of an endpoint that had answered 410, and send what waits for its next attempt now."""
    if not await run_in_threadpool(service.store.resume, endpoint, service.delivery_clock.now_ms()):
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no endpoint {endpoint!r}")
    service.wake_relay()
    return {"endpoint": endpoint, "stopped_at_ms": None}


@router.get("/dead")
async def list_dead_letters(service: ServiceOf, paging: PagingOf, endpoint: str = "") -> list[dict[str, Any]]:
    """What endpoints refused or were offered too often, oldest first. Each holds the later ones of its facility at its
    endpoint. `endpoint` empty: of all."""
    found = await run_in_threadpool(service.store.dead_letters, endpoint)
    page = paging.page((place(one.message.entry, one.message.facility, one.endpoint), one) for one in found)
    return [shown.dead_letter_as_json(one) for one in page.items]


@router.post("/dead/{message_id}/send")
async def send_again(service: ServiceOf, message_id: str, endpoint: str = CORE) -> dict[str, str]:
    """Put a dead letter back among the messages to be sent."""
    now_ms = service.delivery_clock.now_ms()
    if not await run_in_threadpool(service.store.send_again, endpoint, message_id, now_ms):
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no dead letter {message_id!r} of endpoint {endpoint!r}")
    service.wake_relay()
    return {"id": message_id, "endpoint": endpoint, "state": "pending"}


@router.post("/dead/{message_id}/pass-over")
async def pass_over(
    service: ServiceOf,
    writing: WritingOf,
    message_id: str,
    endpoint: str = CORE,
    by: Annotated[str, Body(max_length=1_000, examples=["night desk"])] = "",
    why: Annotated[str, Body(max_length=1_000, examples=["as agreed by phone"])] = "",
) -> dict[str, str]:
    """Give a dead letter up, so that those behind it go. If it would have made a payer pay, the journal is told first
    that its release is not booked: then `by` must name who says so, and `why` say why. Else neither is asked for."""
    message = await run_in_threadpool(that_lets_money_move, service.store, endpoint, message_id)
    if message is not None and endpoint in service.payers:
        if not (by and why):
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, _WHO_AND_WHY.format(id=message_id, endpoint=endpoint))
        await writing.anyhow.commit(drafts.booked, message, "none", by, why)
    if not await run_in_threadpool(service.store.pass_over, endpoint, message_id):
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no dead letter {message_id!r} of endpoint {endpoint!r}")
    service.wake_relay()
    return {"id": message_id, "endpoint": endpoint, "state": "passed_over"}


@router.get("/{message_id}/deliveries")
async def list_deliveries(service: ServiceOf, paging: PagingOf, message_id: str) -> list[dict[str, Any]]:
    """Who has taken a message: when, at which attempt, signed by which keys, and how each answer began."""
    # They are only ever added to, so their number is their place.
    found = enumerate(await run_in_threadpool(service.store.deliveries, message_id))
    page = paging.page((place(number), one) for number, one in found)
    return [shown.record_as_json(one) for one in page.items]
