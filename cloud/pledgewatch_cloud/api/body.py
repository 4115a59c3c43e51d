"""Bodies of requests: JSON, in which nothing comes twice and no number is none. How long one may be is seen to around
all routes (api/bounded.py)."""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import Request

from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.book_file import DocumentError, strict_json
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.market import MarketError
from pledgewatch_cloud.decide.step import Outcome

_SIGNED = ("text/plain", "application/jose")


async def raw_json_body(request: Request) -> bytes:
    """The bytes that a request brings and says are JSON. Raises Problem: of another type."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send application/json, not {kind or 'nothing'}")
    return await request.body()


async def signed_text(request: Request) -> str:
    """The JWS in compact form that a request brings, without a line end after it. Raises Problem: of another type, or
    no text of one."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _SIGNED:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {' or '.join(_SIGNED)}, not {kind or 'nothing'}")
    raw = await request.body()
    try:
        return re.sub(r"\r?\n\Z", "", raw.decode("ascii"))
    except UnicodeDecodeError as error:
        text = f"byte {error.start} of the body is none of a JWS in compact form"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{text}; send the text as it was signed") from None


async def json_body(request: Request) -> Any:
    """The JSON that a request brings. Raises Problem: of another type, or no such JSON."""
    raw = await raw_json_body(request)
    try:
        return strict_json(raw)
    except DocumentError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"the body is no JSON: {error}") from None


async def commit_body(
    request: Request, commit: Callable[[dict[str, Any]], Awaitable[Outcome | None]], refused: str
) -> dict[str, Any]:
    """Commit the document that a request brings: whole, or refused whole with every fault's place, and `refused` says
    what that means. Answers with the entry that took it, if it changes anything."""
    document = await json_body(request)
    try:
        outcome = await commit(document)
    except (BookError, MarketError) as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, refused, error.errors) from None
    return {"entry": None if outcome is None else outcome.state.entry, "changed": outcome is not None}
