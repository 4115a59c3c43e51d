"""The market: what was quoted, and more of it."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Request

from pledgewatch_cloud.api import examples
from pledgewatch_cloud.api.access import ViewOf, for_keepers
from pledgewatch_cloud.api.body import commit_body
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.writing import WritingOf
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import market as market_module

router = APIRouter(prefix="/market", tags=["market"])


@router.get("")
async def read_market(view: ViewOf) -> dict[str, Any]:
    """The quotes that are kept, as the document that makes them out of nothing."""
    return market_module.as_document(view.state.market)


@router.get("/prices/{series:path}")
async def read_prices(view: ViewOf, series: str) -> dict[str, Any]:
    """What one series was quoted at: the quotes that are kept, the newest last."""
    return _of_one("series", series, market_module.as_document(view.state.market.only(series=series))["prices"])


@router.get("/rates/{currency}")
async def read_rates(view: ViewOf, currency: str) -> dict[str, Any]:
    """What one euro was worth in a currency: the rates that are kept, the newest last."""
    return _of_one("currency", currency, market_module.as_document(view.state.market.only(currency=currency))["rates"])


def _of_one(what: str, name: str, quotes: list[dict[str, Any]]) -> dict[str, Any]:
    if not quotes:
        raise Problem(HTTPStatus.NOT_FOUND, f"nothing was quoted of {what} {name!r}")
    return {what: name, "quotes": quotes}


@router.post("/quotes", dependencies=[Depends(for_keepers)], openapi_extra=examples.json_body(examples.QUOTES))
async def quote(writing: WritingOf, request: Request) -> dict[str, Any]:
    """Take quotes: all, or none with every fault's place. Says the entry that took them, if they are new."""
    return await commit_body(
        request,
        lambda document: writing.anyhow.commit(drafts.quote, document),
        "the quotes are refused; those in force stay",
    )
