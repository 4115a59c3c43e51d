"""The two sides of the document bridge as HTTP servers: a stock system that is asked, and a cloud that is handed
documents. Both can answer anything, byte by byte."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from pledgewatch_cloud.notices.senders import SenderKeys, Senders
from pledgewatch_cloud.signature import Key
from pledgewatch_gateway.documents import Document, Form, FullError

SECRET = "whsec_" + base64.b64encode(b"the stock system's test secret..").decode()
SOURCE = "wms-la-3"


class Request(NamedTuple):
    """What was asked. Names of headers are in lower case; `asked` has one value for each parameter."""

    method: str
    path: str
    asked: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


Answer = bytes | None
"""The bytes of an answer as they go out; None hangs up."""


def answer(status: int, body: object = b"", **headers: str) -> bytes:
    """An answer; what is no bytes goes as JSON."""
    told = {"content_type": "application/json", "date": formatdate(usegmt=True), **headers}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    told["content_length"] = str(len(data))
    lines = [f"HTTP/1.1 {status} X", *(f"{name.replace('_', '-')}: {value}" for name, value in told.items())]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode() + data


def problem(status: int, detail: str, *errors: str) -> bytes:
    """A refusal as the cloud writes it."""
    body = {"type": "about:blank", "title": "X", "status": status, "detail": detail, "errors": list(errors)}
    return answer(status, body, content_type="application/problem+json")


class Server:
    """A server whose answers are `respond`'s."""

    def __init__(self, respond: Callable[[Request], Answer]) -> None:
        self.respond = respond
        self.requests: list[Request] = []
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            parts = urlsplit(target)
            asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            request = Request(method, parts.path, asked, headers, body)
            self.requests.append(request)
            said = self.respond(request)
            if said is not None:
                writer.write(said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def serving(respond: Callable[[Request], Answer], port: int = 0) -> AsyncIterator[Server]:
    """A server that listens on this machine."""
    one = Server(respond)
    server = await asyncio.start_server(one.serve, "127.0.0.1", port, limit=1 << 20)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        await asyncio.sleep(0)


class StockSystem:
    """A stock system with a list of moves, which gives them by `since` and `page`, or by a cursor."""

    def __init__(self, *, is_tagged: bool = True) -> None:
        """Where `is_tagged`, its answers have an ETag."""
        self.moves: list[dict[str, Any]] = []
        self._is_tagged = is_tagged

    def add(self, count: int) -> None:
        """Some moves more, a minute after each other."""
        for number in range(len(self.moves) + 1, len(self.moves) + count + 1):
            moment = f"2026-03-{1 + number // 1_440:02d}T{number // 60 % 24:02d}:{number % 60:02d}:00Z"
            self.moves.append(
                {"no": number, "what": "IN", "when": moment, "line": {"item": "SOFA-3", "qty": 1.5}, "changed": moment}
            )

    def respond(self, request: Request) -> bytes:
        """A page."""
        if "after" in request.asked or request.path == "/feed":
            first = int(request.asked.get("after", "0"))
            page = self.moves[first : first + 10]
            return answer(200, {"data": {"moves": page}, "next": str(first + len(page))})
        since, number = request.asked.get("since", ""), int(request.asked.get("page", "1"))
        found = [one for one in self.moves if one["changed"] >= since]
        size = int(request.asked.get("limit", "10"))
        body = {"data": {"moves": found[(number - 1) * size : number * size]}}
        if not self._is_tagged:
            return answer(200, body)
        etag = f'"{hash((since, number, len(found)))}"'
        if request.headers.get("if-none-match") == etag:
            return answer(304)
        return answer(200, body, etag=etag)


def changed_from(system: StockSystem, holds: int) -> Callable[[Request], Answer]:
    """A stock system that gives what has changed since, the oldest first, and so many at once; it says how many."""

    def respond(request: Request) -> Answer:
        found = [one for one in system.moves if one["changed"] >= request.asked.get("since", "")][:holds]
        etag = f'"{hash(str(found))}"'
        is_known = request.headers.get("if-none-match") == etag
        return answer(304) if is_known else answer(200, {"data": {"moves": found}}, etag=etag)

    return respond


class CloudDouble:
    """A cloud that takes what is signed by its source, as the real one verifies it, unless it says something else."""

    def __init__(self, secret: str = SECRET) -> None:
        self.taken: list[Document] = []
        self.say: Callable[[Request], Answer] | None = None
        self._senders = Senders([SenderKeys(SOURCE, (Key(secret),))])

    def respond(self, request: Request) -> Answer:
        """Take a document, or answer otherwise."""
        signer = self._senders.of_request(request.headers, request.body, time.time_ns() // 1_000_000)
        assert (request.method, request.path, request.asked["source"]) == ("POST", "/stock/reports", signer)
        if self.say is not None:
            return self.say(request)
        self.taken.append(Document(request.asked["source"], Form(request.asked["form"]), "", request.body))
        return answer(200, {"entry": len(self.taken), "changed": True, "faults": []})


class Shelf:
    """Takes documents as a queue does, and can be full."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.is_full = False

    async def put(self, document: Document) -> None:
        """Take one, or raise FullError."""
        if self.is_full:
            raise FullError("full")
        self.documents.append(document)


def secret_file(folder: Path, secret: str = SECRET) -> Path:
    """The secret in a file."""
    path = folder / "secret"
    path.write_text(f"{secret}\n", encoding="ascii")
    return path
