"""The book: read it, amend it."""

from typing import Any

from fastapi import APIRouter, Depends, Request

from pledgewatch_cloud.api import examples
from pledgewatch_cloud.api.access import ViewOf, for_keepers
from pledgewatch_cloud.api.body import commit_body
from pledgewatch_cloud.api.writing import WritingOf
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import drafts

router = APIRouter(prefix="/book", tags=["book"])


@router.get("")
async def read_book(view: ViewOf) -> dict[str, Any]:
    """The book in force as far as who asks may see it, as the amendment that makes it out of nothing."""
    return book_module.as_document(view.state.book)


@router.post("/amendments", dependencies=[Depends(for_keepers)], openapi_extra=examples.json_body(examples.AMENDMENT))
async def amend_book(writing: WritingOf, request: Request) -> dict[str, Any]:
    """Amend the book: taken whole, or refused whole with every fault's place. Says the entry that took it, if any."""
    return await commit_body(
        request,
        lambda document: writing.anyhow.commit(drafts.amend, document),
        "the amendment is refused; the book in force stays",
    )
