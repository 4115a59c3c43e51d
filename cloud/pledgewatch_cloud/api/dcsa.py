"""DCSA Track & Trace 2.2: what is known here of containers and their papers, as carriers tell it."""

from http import HTTPStatus
from typing import Any, NoReturn

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from pledgewatch_cloud.api.access import ViewOf
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.tellings import Tellings
from pledgewatch_cloud.decide.events import SaidEvent
from pledgewatch_cloud.decide.moments import MomentError, moment_ms
from pledgewatch_cloud.decide.trade import dcsa_out
from pledgewatch_cloud.decide.trade.dcsa_out import Document, Query

router = APIRouter(prefix="/dcsa", tags=["dcsa"])

LIMIT, LIMIT_MAX = 100, 1_000
# The query's parameters, by what they ask for: several values of one are divided by a comma.
_LISTS = {
    "eventType": "types",
    "equipmentEventTypeCode": "equipment_codes",
    "transportEventTypeCode": "transport_codes",
    "shipmentEventTypeCode": "shipment_codes",
    "documentTypeCode": "document_codes",
}
_SINGLE = {
    "equipmentReference": "equipment",
    "carrierBookingReference": "booking",
    "transportDocumentReference": "transport_document",
    "documentReference": "document",
    "UNLocationCode": "place",
}
_CREATED = "eventCreatedDateTime"
# What an operator of a moment makes of it: from so many milliseconds behind it, and until.
_OPERATORS: dict[str, tuple[int | None, int | None]] = {
    "": (0, 1),
    ":eq": (0, 1),
    ":gte": (0, None),
    ":gt": (1, None),
    ":lt": (None, 0),
    ":lte": (None, 1),
}
_PARAMETERS = {*_LISTS, *_SINGLE, *(_CREATED + operator for operator in _OPERATORS), "limit", "cursor"}


@router.get("/events")
async def list_events(view: ViewOf, request: Request) -> Response:
    """Events that stand, in the order in which they were recorded; `Next-Page` names the next page.

    Parameters, of which all must hold: eventType, equipmentEventTypeCode, transportEventTypeCode,
    shipmentEventTypeCode, documentTypeCode (several values divided by a comma), equipmentReference,
    carrierBookingReference, transportDocumentReference, documentReference, UNLocationCode, eventCreatedDateTime (with
    :eq, :gte, :gt, :lte or :lt); limit and cursor.
    """
    query = _query(request)
    limit = _limit(request.query_params.get("limit", str(LIMIT)))
    cursor = request.query_params.get("cursor", "")
    from_ms, until_ms = _created(request)
    tellings = Tellings(view)

    def tell(said: SaidEvent) -> list[Document]:
        one = tellings.telling(said)
        document = dcsa_out.told(one, tellings.carried(said.event.subject, said.event.at_ms))
        return [document] if document and dcsa_out.answers(document, query) and tellings.stands(one) else []

    found = await run_in_threadpool(
        lambda: tellings.page(cursor, limit, tellings.entries(from_ms, until_ms), tell, dcsa_out.recorded)
    )
    headers = {"API-Version": dcsa_out.VERSION}
    if found.next_token:
        following = request.url.include_query_params(cursor=found.next_token)
        headers |= {"Next-Page": f"{following.path}?{following.query}"}
    return JSONResponse(found.documents, headers=headers)


def _query(request: Request) -> Query:
    parameters = request.query_params
    unknown = sorted(set(parameters) - _PARAMETERS)
    if unknown:
        _refuse(f"{', '.join(unknown)}: is no parameter here; there are {', '.join(sorted(_PARAMETERS))}")
    asked: dict[str, Any] = {
        field: tuple(value for given in parameters.getlist(name) for value in given.split(",") if value)
        for name, field in _LISTS.items()
    }
    asked |= {field: parameters.get(name, "") for name, field in _SINGLE.items()}
    return Query(**asked)


def _created(request: Request) -> tuple[int | None, int | None]:
    """Between which moments the events were recorded."""
    from_ms: int | None = None
    until_ms: int | None = None
    for operator, (after_ms, before_ms) in _OPERATORS.items():
        written = request.query_params.get(_CREATED + operator)
        if written is None:
            continue
        try:
            at_ms = moment_ms(_CREATED + operator, written.replace(" ", "+"))
        except MomentError as error:
            _refuse(str(error))
        if after_ms is not None:
            from_ms = at_ms + after_ms if from_ms is None else max(from_ms, at_ms + after_ms)
        if before_ms is not None:
            until_ms = at_ms + before_ms if until_ms is None else min(until_ms, at_ms + before_ms)
    return from_ms, until_ms


def _limit(written: str) -> int:
    limit = int(written) if written.isascii() and written.isdigit() and len(written) < 8 else 0
    if not 1 <= limit <= LIMIT_MAX:
        _refuse(f"limit: {written[:20]!r}: a number from 1 to {LIMIT_MAX} is needed")
    return limit


def _refuse(text: str) -> NoReturn:
    raise Problem(HTTPStatus.BAD_REQUEST, text)
