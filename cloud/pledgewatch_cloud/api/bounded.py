"""Bodies have an end: whatever a request says of the length of its body, no more than may come is ever heard.

Routes read without counting. Who would say too much is found out where the body is first asked for, by the length that
the request names, else where the bytes that have come are too many; so what is refused for another reason costs no
reading.
"""

from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LENGTH_DIGITS_MAX = 18


class TooLongError(HTTPException):
    """A body has more bytes than may come. It is the framework's own kind of error, for that reads bodies too, and
    makes 400 of any other."""

    def __init__(self, most: int) -> None:
        super().__init__(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {most} bytes")


class Bounded:
    """An application that hears no more of a body than `most` says for its request."""

    def __init__(self, app: ASGIApp, most: Callable[[Scope], int]) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._most(scope)
        named = Headers(scope=scope).get("content-length", "")
        is_said = named.isascii() and named.isdigit() and len(named) <= _LENGTH_DIGITS_MAX
        length = int(named) if is_said and int(named) > most else 0
        is_begun = False

        async def heard() -> Message:
            nonlocal length
            message: Message | None = await receive() if length <= most else None
            if message is not None:
                length += len(message.get("body", b""))
            if message is not None and length <= most:
                return message
            if is_begun:  # the answer cannot be another any more, and who says so much is not listened to
                return {"type": "http.disconnect"}
            raise TooLongError(most)

        async def sent(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        await self._app(scope, heard, sent)
