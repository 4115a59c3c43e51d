"""The market: what was quoted, and more of it."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request

from pledgewatch_cloud.api.access import ServiceOf
from pledgewatch_cloud.api.body import json_body
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.book_file import MAX_FILE_BYTES
from pledgewatch_cloud.decide import market as market_module
from pledgewatch_cloud.decide.market import MarketError
from pledgewatch_cloud.journal.store import StoreError

router = APIRouter(prefix="/market", tags=["market"])


@router.get("")
async def read_market(service: ServiceOf) -> dict[str, Any]:
    """The quotes that are kept, as the document that makes them out of nothing."""
    return market_module.as_document(service.writer.state.market)


@router.post("/quotes")
async def quote(service: ServiceOf, request: Request) -> dict[str, Any]:
    """Take quotes: all, or none with every fault's place. Says the entry that took them, if they are new."""
    document = await json_body(request, MAX_FILE_BYTES)
    try:
        outcome = await service.writer.quote(document)
    except MarketError as error:
        detail = "the quotes are refused; those in force stay"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, list(error.errors)) from None
    except StoreError as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"nothing can be committed now: {error}") from None
    return {"entry": None if outcome is None else outcome.state.entry, "changed": outcome is not None}
