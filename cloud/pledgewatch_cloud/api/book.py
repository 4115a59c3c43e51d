"""The book: read it, amend it."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request

from pledgewatch_cloud.api.access import ServiceOf
from pledgewatch_cloud.api.body import json_body
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.book_file import MAX_FILE_BYTES
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.book_items import BookError
from pledgewatch_cloud.journal.store import StoreError

router = APIRouter(prefix="/book", tags=["book"])


@router.get("")
async def read_book(service: ServiceOf) -> dict[str, Any]:
    """The book in force, as the amendment that makes it out of nothing."""
    return book_module.as_document(service.writer.state.book)


@router.post("/amendments")
async def amend_book(service: ServiceOf, request: Request) -> dict[str, Any]:
    """Amend the book: taken whole, or refused whole with every fault's place. Says the entry that took it, if any."""
    document = await json_body(request, MAX_FILE_BYTES)
    try:
        outcome = await service.writer.amend(document)
    except BookError as error:
        detail = "the amendment is refused; the book in force stays"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, error.errors) from None
    except StoreError as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"nothing can be committed now: {error}") from None
    return {"entry": None if outcome is None else outcome.state.entry, "changed": outcome is not None}
