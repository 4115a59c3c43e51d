"""Notices: what senders hand in, as a plain document or as DCSA Track & Trace events, and how a sender is known; and
one that was taken, as it stands."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request

from pledgewatch_cloud.api import examples
from pledgewatch_cloud.api.access import Service, ServiceOf, ViewOf
from pledgewatch_cloud.api.body import raw_json_body
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.sender import sender_of
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.notices.intake import Intake, RefusedError

router = APIRouter(prefix="/notices", tags=["notices"])

ALREADY_KNOWN = "already known"


@router.post("", openapi_extra=examples.json_body(examples.NOTICES))
async def hand_in_plain(service: ServiceOf, request: Request) -> dict[str, Any]:
    """Take notices in the plain form (docs/TRADE_API.md): all, or none with every fault's place."""
    return await _answer(service, request, "plain")


@router.get("/{notice:path}")
async def read_notice(view: ViewOf, notice: str) -> dict[str, Any]:
    """One notice as it was taken, with what has become of it (`fate`: standing, withdrawn or replaced) and the notices
    that took it back. Those about shipments and milestones of facilities that are seen are."""
    book = view.state.notices
    found = book.get(notice)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no notice {notice!r}")
    until_ms = None if found.until_ms == NEVER else found.until_ms
    against = [one.key for one in book.against(notice)]
    return {**found._asdict(), "until_ms": until_ms, "fate": book.fate(notice), "against": against}


@router.post("/dcsa", openapi_extra=examples.json_body(examples.DCSA))
async def hand_in_dcsa(service: ServiceOf, request: Request) -> dict[str, Any]:
    """Take DCSA Track & Trace 2.2 events, one or a list: all, or none with every fault's place."""
    return await _answer(service, request, "dcsa")


async def _answer(service: Service, request: Request, form: str) -> dict[str, Any]:
    sender, raw = await signed_body(service, request)
    try:
        entry = await hand_in(service, sender, form, raw)
    except RefusedError as error:
        text = "the notices are refused, and kept in quarantine"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, text, error.errors) from None
    if entry is None:
        return {"entry": None, "changed": False, "detail": ALREADY_KNOWN}
    return {"entry": entry, "changed": True}


async def signed_body(service: Service, request: Request) -> tuple[str, bytes]:
    """The sender of a request, and what it brings.

    Raises Problem: 401 where no sender is shown to have made it; the bytes are then in quarantine, as long as there
    are not too many of them.
    """
    raw = await raw_json_body(request)
    return await sender_of(service, request, raw, _intake(service).aside), raw


async def hand_in(service: Service, sender: str, form: str, raw: bytes) -> int | None:
    """Commit what a sender hands in; see Intake.hand_in. Raises RefusedError, StoreError."""
    return await _intake(service).hand_in(sender, form, raw)


def _intake(service: Service) -> Intake:
    return Intake(service.writer, service.store, service.submissions, service.delivery_clock)
