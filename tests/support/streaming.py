"""The stream of changes as a client reads it, by a reader of the tests' own: in the test's process until there is
nothing new, or over a server that runs beside it."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any, NamedTuple, Self, TypeVar
from unittest import mock

import uvicorn
from asking import http_scope

from pledgewatch_cloud.api import live
from pledgewatch_cloud.serving import Server
from pledgewatch_sim.programs import free_port

Result = TypeVar("Result")


class Told(NamedTuple):
    """A message of a stream: without `data` it is no event, and says where the stream is at most."""

    id: str
    event: str
    data: str


def messages(lines: Iterable[str]) -> Iterator[Told]:
    """The messages in the lines of a stream, by the rules of the HTML standard as far as they are used."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        yield Told(fields.get("id", ""), fields.get("event", ""), fields.get("data", ""))
        fields = {}


def told_until_quiet(app: Any, key: str, after_entry: int = 0, last_event_id: str = "") -> list[Told]:
    """What a stream tells who shows a key, until there is nothing new. The answer must be one of a stream."""
    sent: list[dict[str, Any]] = []

    async def read() -> None:
        quiet = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await quiet.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if b": nothing new" in message.get("body", b""):
                quiet.set()

        headers = {"authorization": f"Bearer {key}", **({"last-event-id": last_event_id} if last_event_id else {})}
        scope = http_scope("GET", f"/live?after_entry={after_entry}", headers)
        await app(scope, receive, send)

    # Each call has an event loop of its own; what was waited for on another is made anew.
    app.state.service.writer.said.tell()
    app.state.service.streams.ending = asyncio.Event()
    with mock.patch.object(live, "HEARTBEAT_S", 0.01):
        asyncio.run(read())
    assert sent[0]["status"] == 200, sent
    assert dict(sent[0]["headers"])[b"content-type"].startswith(b"text/event-stream")
    text = b"".join(one.get("body", b"") for one in sent).decode()
    return list(messages(text.split("\n")))


class Served:
    """An application at an address of this machine."""

    def __init__(self, app: Any, port: int | None = None) -> None:
        """At a port, or at any that is free."""
        port = free_port() if port is None else port
        self.url = f"http://127.0.0.1:{port}"
        self.server = Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        self._thread.start()
        while not self.server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.server.should_exit = True
        self._thread.join()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run something on the server's loop, and wait for it."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(asyncio.CancelledError):
            await self.server.serve()
