"""Bodies of requests: JSON, in which nothing comes twice and no number is none."""

from http import HTTPStatus
from typing import Any

from fastapi import Request

from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.book_file import DocumentError, strict_json


async def json_body(request: Request, max_bytes: int) -> Any:
    """The JSON that a request brings. Raises Problem: of another type, too long, or no such JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send application/json, not {kind or 'nothing'}")
    pieces, length = [], 0
    async for piece in request.stream():
        length += len(piece)
        if length > max_bytes:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {max_bytes} bytes")
        pieces.append(piece)
    try:
        return strict_json(b"".join(pieces))
    except DocumentError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"the body is no JSON: {error}") from None
