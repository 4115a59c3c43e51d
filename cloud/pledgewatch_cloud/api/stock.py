"""Stock: reports of stock systems in; the stock book out, and what sells."""

import json
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api import examples, tables
from pledgewatch_cloud.api.access import ServiceOf, ViewOf
from pledgewatch_cloud.api.paging import Paging, PagingOf, place
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.sender import sender_of
from pledgewatch_cloud.decide.moments import MomentError, moment_ms
from pledgewatch_cloud.decide.stock.rows import Fault, StockError, StockKey
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.stock import shown
from pledgewatch_cloud.stock.intake import StockIntake, told
from pledgewatch_cloud.stock.shown import Wanted

router = APIRouter(prefix="/stock", tags=["stock"])

SALES_DAYS = 28
"""The days that sales are looked at where nobody says it."""
_GOODS = ("warehouse", "owner", "sku", "unit")
"""What goods are called by where bins do not count."""


async def _asked(
    warehouse: str = "",
    owner: str = "",
    sku: str = "",
    bin: str = "",  # noqa: A002 - what it is called everywhere
    unit: str = "",
) -> Wanted:
    """What the query says; what is empty may be anything."""
    return Wanted(warehouse, owner, sku, bin, unit)


AskedFor = Annotated[Wanted, Depends(_asked)]


@router.post(
    "/reports",
    openapi_extra=examples.body(
        {
            "application/json": ({"type": "object"}, examples.STOCK),
            tables.CSV: ({"type": "string"}, examples.STOCK_CSV),
            "application/edi-x12": ({"type": "string"}, "ISA*00*…~"),
        }
    ),
)
async def report(
    service: ServiceOf, request: Request, source: str, form: Literal["json", "csv", "x12"]
) -> dict[str, Any]:
    """Take a document of a stock system (docs/STOCK.md), signed by it: all, all that has no fault, or nothing, as the
    book says of the source. Every fault is told with its line; what was not taken is in quarantine."""
    intake = StockIntake(service.writer, service.store, service.stock_reports, service.clock)
    raw = await request.body()
    signer = await sender_of(service, request, raw, intake.aside)
    if signer != source:
        text = f"this is signed by {signer}, who cannot report for {source}: name the source that signs"
        await intake.refuse(signer, form, raw, (Fault(0, text),))
        raise Problem(HTTPStatus.FORBIDDEN, text)
    try:
        entry, found = await intake.hand_in(source, form, raw)
    except StockError as error:
        text = "nothing of the document is taken; it is kept in quarantine"
        faults = [one._asdict() for one in error.faults]
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        raise Problem(status, text, told(form, error.faults), more={"faults": faults}) from None
    return {
        "entry": entry,
        "changed": entry is not None,
        "rows": len(found.rows),
        "snapshots": len(found.snapshots),
        "faults": [one._asdict() for one in found.faults],
        "left_out": [one._asdict() for one in found.left_out],
    }


@router.get("", response_model=dict[str, Any])
async def read_stock(view: ViewOf, paging: PagingOf, asked: AskedFor, at: str | None = None) -> Response:
    """What there is, by key, with what is unreconciled of it: after all that is known, or at a moment."""
    at_ms = _moment(at)
    return await _listed(view, paging, asked, lambda book, key: shown.on_hand(book, key, at_ms))


@router.get("/periods", responses=tables.RESPONSES, response_model=dict[str, Any])
async def read_periods(
    view: ViewOf, request: Request, paging: PagingOf, asked: AskedFor, by: Literal["day", "month"] = "month"
) -> Response:
    """How it came to that: the roll-forward of each key by days or months of UTC. As a table where `text/csv` is
    accepted."""
    if not tables.wants_table(request):
        return await _listed(view, paging, asked, lambda book, key: shown.periods(book, key, by))
    book = view.state.stock

    def table() -> Response:
        # Before its headers are asked for: the page puts the `Link` among them.
        keys = paging.page(_by_place(shown.keys_of(book, asked))).items
        return tables.table(shown.TABLE_COLUMNS, shown.periods_rows(book, keys, by), paging.headers)

    return await run_in_threadpool(table)


@router.get("/sell-through")
async def read_sell_through(
    view: ViewOf,
    paging: PagingOf,
    asked: AskedFor,
    days: Annotated[int, Query(ge=1, le=3_660)] = SALES_DAYS,
    until: str | None = None,
) -> dict[str, Any]:
    """How fast goods sell: units a day over some days up to a moment, by default up to now, and how long the rest
    lasts. Of all bins together, so `bin` says nothing here."""
    state = view.state
    until_ms = _moment(until)
    wanted = asked._replace(bin="")

    def goods() -> list[dict[str, Any]]:
        keys = shown.keys_of(state.stock, wanted)
        return shown.sell_through(state.stock, keys, state.recorded_at_ms if until_ms is None else until_ms, days)

    found = await run_in_threadpool(goods)
    page = paging.page((place(*(one[name] for name in _GOODS)), one) for one in found)
    return {"count": len(found), "goods": page.items, "next_after": page.next_after}


@router.get("/unmatched")
async def read_unmatched(view: ViewOf, paging: PagingOf) -> list[dict[str, Any]]:
    """Rows that take back what is not here: it has yet to come, was folded before them, or never was."""
    found = await run_in_threadpool(shown.unmatched, view.state.stock)
    return paging.page((place(one["at_ms"], one["source"], one["id"]), one) for one in found).items


def _by_place(keys: list[StockKey]) -> Iterator[tuple[str, StockKey]]:
    return ((place(*key), key) for key in keys)


async def _listed(
    view: View, paging: Paging, asked: Wanted, describe: Callable[[StockBook, StockKey], dict[str, Any]]
) -> Response:
    """The goods that are asked for, each described, and how many there are of them in all. There may be megabytes of
    it, so it is also written beside the event loop."""
    book = view.state.stock

    def goods() -> bytes:
        keys = shown.keys_of(book, asked)
        page = paging.page(_by_place(keys))
        described = [describe(book, key) for key in page.items]
        found = {"count": len(keys), "goods": described, "next_after": page.next_after}
        return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()

    # Made before its headers are asked for: the page puts the `Link` among them.
    body = await run_in_threadpool(goods)
    return Response(body, media_type="application/json", headers=paging.headers)


def _moment(written: str | None) -> int | None:
    try:
        return None if written is None else moment_ms("the moment", written)
    except MomentError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
