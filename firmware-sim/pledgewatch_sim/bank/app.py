"""The core over HTTP: messages in, money in, and everything to look at. What is refused is said as RFC 9457 has it.

`POST /messages` is for pledgewatch and believes signatures only. Whatever else changes something is for the people and
programs of this machine: a sandbox has no accounts, so it listens to nobody from elsewhere.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from fastapi import Body, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from pledgewatch_sim.bank.ledger import Booking, Ledger, Repayment
from pledgewatch_sim.bank.message import AMOUNT_MAX_MINOR, Message, RejectedError, verified
from pledgewatch_sim.bank.misbehaviour import Misbehaviour, MisbehaviourSettings

MAX_BODY_BYTES = 256 * 1024
MESSAGES_A_PAGE = 500

_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$")]
_Facility = Annotated[str, Field(min_length=1, max_length=200)]
_Amount = Annotated[int, Field(strict=True, ge=1, le=AMOUNT_MAX_MINOR)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Opening(_Asked):
    """A facility, and what was lent on it before."""

    id: _Facility
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    outstanding_minor: Annotated[int, Field(strict=True, ge=0, le=AMOUNT_MAX_MINOR)] = 0


class _Proceeds(_Asked):
    """Money that has come in; `reference` says for what, as an invoice's number."""

    id: _Id
    facility: _Facility
    amount_minor: _Amount
    reference: Annotated[str, Field(max_length=200)] = ""


class _Cash(_Asked):
    """A margin call answered with money."""

    id: _Id
    kind: Literal["repayment"]
    amount_minor: _Amount


class _Goods(_Asked):
    """A margin call answered with more goods."""

    id: _Id
    kind: Literal["substitution"]
    lots: Annotated[list[_Id], Field(min_length=1, max_length=1_000)]


_Answer = Annotated[_Cash | _Goods, Body(discriminator="kind")]


class _Core:
    """What the routes share."""

    def __init__(self, ledger: Ledger, secrets: list[str], misbehaviour: Misbehaviour, moved: Callable[[], None]):
        self.ledger = ledger
        self.secrets = secrets
        self.misbehaviour = misbehaviour
        self.moved = moved

    async def take(self, request: Request) -> JSONResponse:
        """A message of pledgewatch's."""
        obstacle = await self.misbehaviour.before()
        if obstacle is not None:
            return _problem(obstacle.status, obstacle.detail, obstacle.retry_after_s)
        try:
            message, booking = await self._booked(request)
        except RejectedError as error:
            await asyncio.to_thread(self.ledger.count, "rejected")
            return _problem(error.status, error.detail)
        if booking.is_conflict:
            return _problem(HTTPStatus.CONFLICT, f"{message.id} was booked with another body")
        if booking.release == "booked":
            self.moved()
        obstacle = await self.misbehaviour.after(request.is_disconnected)
        if obstacle is not None:
            return _problem(obstacle.status, obstacle.detail)
        answer = {"id": message.id}
        if booking.release and not self.misbehaviour.answers_plainly():
            answer["release"] = booking.release
        answered = await self.misbehaviour.out_of_order()
        return JSONResponse(answer, background=BackgroundTask(answered))

    async def _booked(self, request: Request) -> tuple[Message, Booking]:
        """The message of a request, once it is on disk. Raises RejectedError."""
        await asyncio.to_thread(self.ledger.count, "received")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise RejectedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MAX_BODY_BYTES} bytes")
        message = verified(body, request.headers, self.secrets)
        await asyncio.to_thread(self.ledger.count, "verified")
        booking = await asyncio.to_thread(self.ledger.book, message)
        if self.misbehaviour.takes_twice():
            booking = await asyncio.to_thread(self.ledger.book, message)
        return message, booking


def create_bank(
    ledger: Ledger, secrets: list[str], misbehave: MisbehaviourSettings, moved: Callable[[], None] = lambda: None
) -> FastAPI:
    """The core's HTTP side over a ledger. `moved` is called, on the event loop, when money may have moved."""
    app = FastAPI(title="sandbox financing core", docs_url=None, redoc_url=None)
    core = _Core(ledger, secrets, Misbehaviour(misbehave), moved)
    app.post("/messages")(core.take)
    _add_writers(app, core)
    _add_readers(app, ledger)
    _answer_with_problems(app)
    return app


def _only_from_here(request: Request) -> None:
    """Raises RejectedError for whoever is not on this machine."""
    try:
        is_here = request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        is_here = False
    if not is_here:
        raise RejectedError(HTTPStatus.FORBIDDEN, "only from the machine that the core runs on")


def _add_writers(app: FastAPI, core: _Core) -> None:
    """What the people and programs of this machine may do."""
    here = [Depends(_only_from_here)]

    @app.post("/facilities", dependencies=here)
    async def open_facility(wanted: _Opening) -> dict[str, Any]:
        """Know a facility before its first message, with what was lent on it before; pledgewatch is not told of it."""
        await asyncio.to_thread(core.ledger.open_facility, wanted.id, wanted.currency, wanted.outstanding_minor)
        return wanted.model_dump()

    @app.post("/repayments", dependencies=here)
    async def repay(wanted: _Proceeds) -> dict[str, Any]:
        """Take the proceeds of a sale: first what is outstanding, and the rest is the borrower's."""
        said = await asyncio.to_thread(core.ledger.repay, Repayment(**wanted.model_dump()))
        core.moved()
        return said

    @app.post("/margin-calls/{facility:path}/answers", dependencies=here)
    async def answer_call(facility: str, wanted: _Answer) -> dict[str, Any]:
        """Answer the margin call that is open: with money, or with more goods."""
        answer = wanted.model_dump()
        said = await asyncio.to_thread(core.ledger.answer_call, answer.pop("id"), facility, answer)
        core.moved()
        return said

    @app.post("/misbehave", dependencies=here)
    async def misbehave(changes: dict[str, Any]) -> dict[str, Any]:
        """Misbehave otherwise from now on: the settings named, by the names of the configuration's [misbehave]."""
        try:
            core.misbehaviour.change(changes)
        except ValueError as error:
            raise RejectedError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        return asdict(core.misbehaviour.settings)


def _add_readers(app: FastAPI, ledger: Ledger) -> None:
    """What anybody may look at."""

    @app.get("/ledger")
    async def read_ledger() -> dict[str, Any]:
        return {
            "facilities": await asyncio.to_thread(ledger.facilities),
            "counts": await asyncio.to_thread(ledger.counts),
            "messages": await asyncio.to_thread(ledger.latest, MESSAGES_A_PAGE),
        }

    @app.get("/ledger/messages")
    async def read_messages(after: Annotated[int, Query(ge=0, le=2**62)] = 0) -> list[dict[str, Any]]:
        return await asyncio.to_thread(ledger.messages, after, MESSAGES_A_PAGE)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}


def _answer_with_problems(app: FastAPI) -> None:
    """What the framework refuses by itself is said the same way (RFC 9457)."""

    @app.exception_handler(RejectedError)
    async def rejected(_: Request, error: RejectedError) -> JSONResponse:
        return _problem(error.status, error.detail)

    @app.exception_handler(RequestValidationError)
    async def bad_request(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        detail = "; ".join(faults).encode("ascii", "backslashreplace").decode()
        return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)

    @app.exception_handler(HTTPException)
    async def no_such_thing(_: Request, error: HTTPException) -> JSONResponse:
        return _problem(HTTPStatus(error.status_code), error.detail)


def _problem(status: HTTPStatus, detail: str, retry_after_s: int | None = None) -> JSONResponse:
    content = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    return JSONResponse(content, status_code=status, headers=headers, media_type="application/problem+json")
