"""The outbox: dead letters, sending them again and passing them over."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.api.access import ServiceOf
from pledgewatch_cloud.api.problems import Problem

router = APIRouter(prefix="/outbox", tags=["outbox"])


@router.get("/dead")
async def list_dead_letters(service: ServiceOf) -> list[dict[str, Any]]:
    """What the core refused or was offered too often, oldest first. Each holds the later ones of its facility."""
    return [
        {"id": one.id, "type": one.type, "facility": one.facility, "attempts": one.attempts, "error": one.last_error}
        for one in await run_in_threadpool(service.store.dead_letters)
    ]


@router.post("/dead/{message_id}/send")
async def send_again(service: ServiceOf, message_id: str) -> dict[str, str]:
    """Put a dead letter back among the messages to be sent."""
    now_ms = service.delivery_clock.now_ms()
    if not await run_in_threadpool(service.store.send_again, message_id, now_ms):
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no dead letter {message_id!r}")
    service.wake_relay()
    return {"id": message_id, "state": "pending"}


@router.post("/dead/{message_id}/pass-over")
async def pass_over(service: ServiceOf, message_id: str) -> dict[str, str]:
    """Give a dead letter up, so that those behind it go."""
    if not await run_in_threadpool(service.store.pass_over, message_id):
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no dead letter {message_id!r}")
    service.wake_relay()
    return {"id": message_id, "state": "passed_over"}
