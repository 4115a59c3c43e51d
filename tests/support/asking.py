"""A client of an application in the test's own process.

Starlette's TestClient starts a thread and an event loop for each request, and goes to and fro between threads some
twenty times until it is answered; the API's tests ask tens of thousands of times. Here one loop in one thread answers
them all, so who asks may be in a loop of their own, or in several threads at once. Who asks hundreds of things in a row
asks by `answers`, which makes no client at all.
"""

import asyncio
import functools
import threading
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import httpx2
from answers_checked import check_write


class AppClient(httpx2.Client):
    """Asks `app`; `headers` go with every request, `host` is where they come from. What the application raises, the
    request raises."""

    def __init__(self, app: Any, *, headers: Mapping[str, str] | None = None, host: str = "testclient") -> None:
        super().__init__(
            transport=_InProcess(app, host), base_url="http://127.0.0.1:8420", headers=headers, follow_redirects=True
        )
        self.app = app


class _InProcess(httpx2.BaseTransport):
    def __init__(self, app: Any, host: str) -> None:
        self._app, self._inner = app, httpx2.ASGITransport(app, client=(host, 50_000))

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return asyncio.run_coroutine_threadsafe(self._answer(request), _loop()).result()

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._inner.handle_async_request(request)
        body = await answer.aread()
        check_write(self._app, request.method, request.url.path, answer.status_code, body)
        return httpx2.Response(answer.status_code, headers=answer.headers, content=body)


class Got(NamedTuple):
    """An answer as it was sent."""

    status: int
    headers: dict[str, str]
    body: bytes


def http_scope(method: str, path: str, headers: Mapping[str, str], *, host: str = "127.0.0.1") -> dict[str, Any]:
    """A request as a server hands it to an application; `path` with its query, `host` is whose it is."""
    route, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(route),
        "raw_path": route.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": (host, 1),
        "server": ("127.0.0.1", 8420),
    }


def answers(app: Any, requests: Iterable[tuple[str, Mapping[str, str]]]) -> list[Got]:
    """What an application answers to GETs, by their paths and headers, one after the other."""
    return asyncio.run(_answers(app, requests))


async def _answers(app: Any, requests: Iterable[tuple[str, Mapping[str, str]]]) -> list[Got]:
    return [await _got(app, path, headers) for path, headers in requests]


async def _got(app: Any, path: str, headers: Mapping[str, str]) -> Got:
    sent: list[Any] = []
    said = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in said:
            return message
        await asyncio.Event().wait()  # who asks stays until they are answered
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(http_scope("GET", path, headers, host="testclient"), receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Got(sent[0]["status"], found, b"".join(one.get("body", b"") for one in sent))


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="asking", daemon=True).start()
    return loop
