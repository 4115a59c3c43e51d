"""Errors as problem details (RFC 9457)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pledgewatch_cloud.journal.store import StoreError


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """An answer that is an error. `errors` holds one sentence for each fault, `kind` is what a standard calls it, and
    `more` are members of its own."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[str] = (),
        kind: str = "about:blank",
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.kind = kind
        self.more = more or {}


def problem_response(
    status: int,
    detail: str,
    errors: Sequence[str] = (),
    kind: str = "about:blank",
    more: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """The problem as an answer."""
    content = {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **(more or {})}
    if errors:
        content["errors"] = list(errors)
    return JSONResponse(content, status_code=status, media_type="application/problem+json")


async def on_problem(_: Request, error: Exception) -> JSONResponse:
    """Turn a Problem, a disk that does not do it, or what the framework raises, into problem details."""
    match error:
        case Problem():
            return problem_response(error.status, error.detail, error.errors, error.kind, error.more)
        case StoreError():
            return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, f"the journal cannot be used now: {error}")
        case HTTPException():
            return problem_response(error.status_code, str(error.detail))
        case RequestValidationError():
            places = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
            return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, "the request does not fit", places)
        case _:
            raise error
