"""Exposures: how much of all that is lent on lies in one vessel, one port, one country."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api.access import ViewOf, for_money
from pledgewatch_cloud.api.paging import PagingOf, place
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide.collateral import exposure
from pledgewatch_cloud.decide.collateral.exposure import Exposure
from pledgewatch_cloud.decide.collateral.stand import BookPrices
from pledgewatch_cloud.decide.market import MarketError

router = APIRouter(prefix="/exposures", tags=["exposures"], dependencies=[Depends(for_money)])


@router.get("/{by}")
async def read_exposures(view: ViewOf, paging: PagingOf, by: str, currency: Annotated[str, Query()]) -> dict[str, Any]:
    """What lies behind each word of a dimension, over every facility that is seen, in minor units of one currency, the
    greatest advance first."""
    if by not in exposure.BY:
        raise Problem(HTTPStatus.NOT_FOUND, f"exposure is by one of {', '.join(exposure.BY)}, not by {by!r}")
    try:
        found = await run_in_threadpool(_exposures, view, by, currency)
    except MarketError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "the amounts cannot be added up", error.errors) from None
    page = paging.page((place(-one.advance_minor, -one.gross_minor, one.word), one) for one in found)
    return {
        "by": by,
        "currency": currency,
        "exposures": [one._asdict() for one in page.items],
        "next_after": page.next_after,
    }


def _exposures(view: View, by: str, currency: str) -> list[Exposure]:
    state, market = view.state, BookPrices(view.state.market, view.state.book)
    return exposure.exposures(view.sheet, by, exposure.words_of(state, by), market, currency)
