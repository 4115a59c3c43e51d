"""Errors as problem details (RFC 9457).

A client that hangs up before it has said all is an error as well, though there is nobody left to hear it: it is one
line of the log, whoever was reading the body.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.journal.store import StoreError

log = logging.getLogger(__name__)

PROBLEM: dict[str, Any] = {
    "description": "Why it is not answered, as problem details (RFC 9457)",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "errors": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                },
            }
        }
    },
}
"""What every route says of answers that are errors."""


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """An answer that is an error. `errors` holds one sentence for each fault, `kind` is what a standard calls it,
    `more` are members of its own, and `headers` what goes with it."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[str] = (),
        kind: str = "about:blank",
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.kind = kind
        self.more = more or {}
        self.headers = headers or {}


def problem_response(
    status: int,
    detail: str,
    errors: Sequence[str] = (),
    kind: str = "about:blank",
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The problem as an answer."""
    content = {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **(more or {})}
    if errors:
        content["errors"] = list(errors)
    return JSONResponse(content, status_code=status, media_type="application/problem+json", headers=headers)


def answer_problems(app: FastAPI) -> None:
    """Have an API answer by problem details for all that `on_problem` knows."""
    for kind in (Problem, StoreError, HTTPException, RequestValidationError, ClientDisconnect):
        app.add_exception_handler(kind, on_problem)


async def on_problem(request: Request, error: Exception) -> JSONResponse:
    """Turn a Problem, a disk that does not do it, what the framework raises, or what nobody foresaw, into problem
    details."""
    if isinstance(error, ClientDisconnect) or isinstance(error.__cause__, ClientDisconnect):
        log.info(
            "a client hung up before it had said all that it wanted of %s %s",
            request.method,
            short(request.scope["path"]),
        )
        return problem_response(HTTPStatus.BAD_REQUEST, "the connection was closed before the body was whole")
    match error:
        case Problem():
            return problem_response(error.status, error.detail, error.errors, error.kind, error.more, error.headers)
        case StoreError():
            return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, f"the journal cannot be used now: {error}")
        case HTTPException():
            return problem_response(error.status_code, str(error.detail), headers=error.headers)
        case RequestValidationError():
            places = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
            return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, "the request does not fit", places)
        case _:
            return unforeseen(request, error)


def unforeseen(request: Request, error: Exception) -> JSONResponse:
    """Log what nobody foresaw, with where it happened; the answer to it, which tells nothing of it."""
    text = "%s %s could not be answered for a fault of this program"
    log.error(text, request.method, short(request.scope["path"]), exc_info=error)
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of this program; its log has what happened")
