"""Handing a request on to the service, as it is, and its answer back.

    client ─► reader ─► service: who asks, how often, the answer, what is noted of it
                  ◄── the answer, with the entry at which the journal stood

The answer is handed on once the reader has come to that entry, so whoever has written, or has been told of something,
reads nothing older from here afterwards.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from http import HTTPStatus

import httpx2
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pledgewatch_cloud.api.around import SAFE
from pledgewatch_cloud.api.problems import problem_response
from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.spine.current import Current

ENTRY = b"x-pledgewatch-entry"
CONNECTIONS_MAX = 512
# Of a connection, not of what is said on it (RFC 9110, 7.6.1); and what only the reader itself may say of a client.
_OF_THE_WAY = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"expect", b"x-forwarded-for", b"x-forwarded-proto", b"forwarded"),
    }
)
log = logging.getLogger(__name__)


class Forward:
    """An application that asks the service, at a Unix socket. Each answer's entry is handed to `reach` first."""

    def __init__(self, path: str, reach: Callable[[int], Awaitable[None]]) -> None:
        limits = httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=16, keepalive_expiry=2.0)
        self._service = httpx2.AsyncHTTPTransport(uds=path, limits=limits, retries=0)
        self._reach = reach

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand one request on."""
        body = _Body(receive)
        asking = asyncio.create_task(self._ask(scope, body, send))
        leaving = asyncio.create_task(body.gone())
        try:
            await asyncio.wait((asking, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                asking.cancel()  # nobody hears the answer
        finally:
            leaving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking

    async def close(self) -> None:
        """Let go of the connections."""
        await self._service.aclose()

    async def _ask(self, scope: Scope, body: "_Body", send: Send) -> None:
        is_begun = False
        try:
            answer = await self._answer(scope, body)
            try:
                headers = [(name.lower(), value) for name, value in answer.headers.raw]
                stands = next((int(value) for name, value in headers if name == ENTRY), 0)
                await self._reach(stands)
                kept = [one for one in headers if one[0] not in _OF_THE_WAY and one[0] != ENTRY]
                await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
                is_begun = True
                async for piece in _pieces(answer):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            finally:
                await answer.aclose()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (httpx2.TransportError, OSError) as error:
            if is_begun:
                raise  # what was begun cannot be taken back; the server cuts it off
            log.warning("%s %s could not be handed on: %s", scope["method"], short(scope["path"]), error)
            text = "the service does not answer; ask again"
            refusal = problem_response(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"retry-after": "2"})
            refusal.raw_headers.extend(SAFE.items())
            await refusal(scope, Request(scope).receive, send)

    async def _answer(self, scope: Scope, body: "_Body") -> httpx2.Response:
        """The answer's head. What only reads is asked once more: a kept connection may have ended meanwhile."""
        try:
            return await self._service.handle_async_request(_asked(scope, body))
        except httpx2.TransportError:
            if scope["method"] not in ("GET", "HEAD"):
                raise
            return await self._service.handle_async_request(_asked(scope, body))


class _Body(httpx2.AsyncByteStream):
    """What a client says, as it comes; and that it has gone."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._whole, self._left = asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._whole.is_set():
            said = await self._receive()
            if said["type"] == "http.disconnect":
                self._left.set()
                await asyncio.Event().wait()  # until we are ended for it: half of a body is none
            if not said.get("more_body", False):
                self._whole.set()
            if piece := said.get("body", b""):
                yield piece

    async def gone(self) -> None:
        """Wait until nobody hears the answer."""
        waiting = [asyncio.create_task(one.wait()) for one in (self._whole, self._left)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
        while not self._left.is_set():
            if (await self._receive())["type"] == "http.disconnect":
                return


def _asked(scope: Scope, body: _Body) -> httpx2.Request:
    headers = [one for one in scope["headers"] if one[0] not in _OF_THE_WAY]
    names = {name for name, _ in scope["headers"]}
    if b"transfer-encoding" in names:
        headers.append((b"transfer-encoding", b"chunked"))
    client = scope.get("client")
    if client:
        headers.append((b"x-forwarded-for", client[0].encode()))
    headers.append((b"x-forwarded-proto", scope["scheme"].encode()))
    raw_path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    url = httpx2.URL(scheme="http", host="service", raw_path=raw_path)
    return httpx2.Request(scope["method"], url, headers=headers, stream=body)


async def _pieces(answer: httpx2.Response) -> AsyncIterator[bytes]:
    assert isinstance(answer.stream, httpx2.AsyncByteStream)
    async for piece in answer.stream:
        yield piece


class Placed:
    """The service's side: an application each of whose answers says at which entry the journal stands."""

    def __init__(self, app: ASGIApp, current: Current) -> None:
        self._app, self._current = app, current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: Iterable[tuple[bytes, bytes]] = message.get("headers", ())
                message = {**message, "headers": [*headers, (ENTRY, b"%d" % self._current.state.entry)]}
            await send(message)

        await self._app(scope, receive, sent)
