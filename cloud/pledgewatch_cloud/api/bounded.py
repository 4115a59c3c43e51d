"""Bodies have an end: whatever a request says of the length of its body, no more than may come is ever heard, and no
longer; nor are more bodies held at once than there is room for.

Routes read without counting. Who would say too much is found out where the body is first asked for, by the length that
the request names, else where the bytes that have come are too many; so what is refused for another reason costs no
reading. What was heard of a body counts until its request is answered, for whoever reads it holds it whole. Where
anybody may hand something in there is a room apart, so that strangers take none from users.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pledgewatch_cloud.api.paths import is_open

HELD_MAX = 2**29
"""One amendment of the longest kind, and as much again."""
HELD_OPEN_MAX = 2**26
"""Four reports of stock of the longest kind, or 256 of what else anybody may hand in."""
WAIT_S = 5
_LENGTH_DIGITS_MAX = 18
# What goes on to say a body that is not listened to is cut off.
_CLOSE = {"connection": "close"}


class RefusedBodyError(HTTPException):
    """No more of a body is heard. It is the framework's own kind of error, for that reads bodies too, and makes 400 of
    any other."""


def _too_long(most: int) -> RefusedBodyError:
    text = f"the body is longer than {most} bytes"
    return RefusedBodyError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, headers=_CLOSE)


def _too_slow(within_s: float) -> RefusedBodyError:
    text = f"the body was not whole within {within_s:g} s"
    return RefusedBodyError(HTTPStatus.REQUEST_TIMEOUT, text, headers=_CLOSE)


def _no_room() -> RefusedBodyError:
    text = "more bodies are being heard than there is room for; send it again"
    headers = _CLOSE | {"retry-after": str(WAIT_S)}
    return RefusedBodyError(HTTPStatus.SERVICE_UNAVAILABLE, text, headers=headers)


class _Room:
    """How many bytes of bodies are held at once."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0


class Bounded:
    """An application that hears no more of a body than `most` says for its request, and a whole one within
    `within_s`. `when_whole` is asked before the last of it is handed on, and may raise RefusedBodyError."""

    def __init__(
        self,
        app: ASGIApp,
        most: Callable[[Scope], int],
        within_s: float,
        held_max: int | None = None,
        when_whole: Callable[[Scope], Awaitable[None]] | None = None,
    ) -> None:
        self._app, self._most, self._within_s, self._when_whole = app, most, within_s, when_whole
        self._users, self._open = _Room(held_max or HELD_MAX), _Room(HELD_OPEN_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        room = self._open if is_open(scope["method"], scope["path"]) else self._users
        body = _Body(room, self._most(scope), self._within_s, receive)
        named = Headers(scope=scope).get("content-length", "")
        is_said = named.isascii() and named.isdigit() and len(named) <= _LENGTH_DIGITS_MAX
        body.is_named_too_long = is_said and int(named) > body.most
        is_begun = False

        async def heard() -> Message:
            return await (receive() if body.is_whole else more())

        async def more() -> Message:
            try:
                message = await body.more()
                if body.is_whole and self._when_whole is not None:
                    await self._when_whole(scope)
                return message  # noqa: TRY300 - what is asked when it is whole may refuse it
            except RefusedBodyError:
                if is_begun:  # the answer cannot be another any more, and who says so much is not listened to
                    return {"type": "http.disconnect"}
                raise

        async def sent(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, heard, sent)
        finally:
            room.held -= body.held


class _Body:
    """A body on its way. Its time begins where it is first asked for."""

    def __init__(self, room: _Room, most: int, within_s: float, receive: Receive) -> None:
        self.most, self._room, self._within_s, self._receive = most, room, within_s, receive
        self.is_named_too_long = self.is_whole = False
        self.held = 0
        self._until_s: float | None = None
        self._refused: RefusedBodyError | None = None

    async def more(self) -> Message:
        """What comes next of it. Raises RefusedBodyError, from then on whenever it is asked for."""
        if self._refused is None:
            try:
                return await self._next()
            except RefusedBodyError as error:
                self._refused = error
        raise self._refused

    async def _next(self) -> Message:
        if self.is_named_too_long:
            raise _too_long(self.most)
        if self._until_s is None:
            self._until_s = asyncio.get_running_loop().time() + self._within_s
        try:
            async with asyncio.timeout_at(self._until_s):
                message = await self._receive()
        except TimeoutError:
            raise _too_slow(self._within_s) from None
        length = len(message.get("body", b""))
        if self.held + length > self.most:
            raise _too_long(self.most)
        if self._room.held + length > self._room.most:
            raise _no_room()
        self._room.held += length
        self.held += length
        self.is_whole = not message.get("more_body", False)
        return message
