"""Stock: reports of stock systems in; the stock book out, and what sells."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api import examples
from pledgewatch_cloud.api.access import ServiceOf, ViewOf
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.sender import sender_of
from pledgewatch_cloud.decide.moments import MomentError, moment_ms
from pledgewatch_cloud.decide.stock.rows import Fault, StockError, StockKey
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.stock import shown
from pledgewatch_cloud.stock.intake import StockIntake, told
from pledgewatch_cloud.stock.shown import Wanted

router = APIRouter(prefix="/stock", tags=["stock"])

GOODS_MAX = 10_000
SALES_DAYS = 28
"""The days that sales are looked at where nobody says it."""
_CSV = "text/csv"


class Asked(NamedTuple):
    """Which goods are asked for, and which of them are shown."""

    wanted: Wanted
    shown: slice


async def _asked(
    warehouse: str = "",
    owner: str = "",
    sku: str = "",
    bin: str = "",  # noqa: A002 - what it is called everywhere
    unit: str = "",
    limit: Annotated[int, Query(ge=1, le=GOODS_MAX)] = 1_000,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Asked:
    """What the query says; what is empty may be anything."""
    return Asked(Wanted(warehouse, owner, sku, bin, unit), slice(offset, offset + limit))


AskedFor = Annotated[Asked, Depends(_asked)]


@router.post(
    "/reports",
    openapi_extra=examples.body(
        {
            "application/json": ({"type": "object"}, examples.STOCK),
            _CSV: ({"type": "string"}, examples.STOCK_CSV),
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
async def read_stock(view: ViewOf, asked: AskedFor, at: str | None = None) -> Response:
    """What there is, by key, with what is unreconciled of it: after all that is known, or at a moment."""
    at_ms = _moment(at)
    return await _listed(view, asked, lambda book, key: shown.on_hand(book, key, at_ms))


@router.get("/periods", responses={200: {"content": {_CSV: {}}}}, response_model=dict[str, Any])
async def read_periods(
    view: ViewOf, request: Request, asked: AskedFor, by: Literal["day", "month"] = "month"
) -> Response:
    """How it came to that: the roll-forward of each key by days or months of UTC. As a table where `text/csv` is
    accepted."""
    if _CSV not in request.headers.get("accept", ""):
        return await _listed(view, asked, lambda book, key: shown.periods(book, key, by))
    book = view.state.stock

    def table() -> str:
        return shown.periods_csv(book, shown.keys_of(book, asked.wanted)[asked.shown], by)

    return Response(await run_in_threadpool(table), media_type=_CSV)


@router.get("/sell-through")
async def read_sell_through(
    view: ViewOf,
    asked: AskedFor,
    days: Annotated[int, Query(ge=1, le=3_660)] = SALES_DAYS,
    until: str | None = None,
) -> dict[str, Any]:
    """How fast goods sell: units a day over some days up to a moment, by default up to now, and how long the rest
    lasts. Of all bins together, so `bin` says nothing here."""
    state = view.state
    until_ms = _moment(until)
    wanted = asked.wanted._replace(bin="")

    def goods() -> list[dict[str, Any]]:
        keys = shown.keys_of(state.stock, wanted)
        return shown.sell_through(state.stock, keys, state.recorded_at_ms if until_ms is None else until_ms, days)

    found = await run_in_threadpool(goods)
    return {"count": len(found), "goods": found[asked.shown]}


@router.get("/unmatched")
async def read_unmatched(view: ViewOf) -> list[dict[str, Any]]:
    """Rows that take back what is not here: it has yet to come, was folded before them, or never was."""
    return await run_in_threadpool(shown.unmatched, view.state.stock)


async def _listed(view: View, asked: Asked, describe: Callable[[StockBook, StockKey], dict[str, Any]]) -> Response:
    """The goods that are asked for, each described, and how many there are of them in all. There may be megabytes of
    it, so it is also written beside the event loop."""
    book = view.state.stock

    def goods() -> bytes:
        keys = shown.keys_of(book, asked.wanted)
        found = {"count": len(keys), "goods": [describe(book, key) for key in keys[asked.shown]]}
        return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()

    return Response(await run_in_threadpool(goods), media_type="application/json")


def _moment(written: str | None) -> int | None:
    try:
        return None if written is None else moment_ms("the moment", written)
    except MomentError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
