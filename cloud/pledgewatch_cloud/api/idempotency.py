"""Writes that are said twice and done once: the `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header).

    first ─► under way ─► done: its answer is kept, and given again to the same key, viewer, path and body
                     └──► refused: nothing is kept, for nothing was changed; the key is free again

While the first is under way a second is told so (409), and a key that was shown with something else is refused (422).
Answers are kept in memory: after a restart, or where there are more than are kept, a write is made again. That is
harmless where it says something that is known already, as most do: it answers `"changed": false`.

What is handed in at addresses that ask for no key of the API (notices, reports, acts, counts) has identities and
signatures of its own, and is the same however often it comes. Who asks for such a path as somebody known may use a key
there too. A key is looked at before its route is, so a body is held whole for it; nobody's is who may not write there.
"""

import hashlib
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pledgewatch_cloud.api.paths import FOR_KEEPERS, UNKEPT, is_open
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import UNCHANGING, Role

KEPT_S = 24 * 3_600
KEPT_MAX = 10_000
KEPT_BYTES_MAX = 2**25
ANSWER_MAX = 2**16
"""An answer that is longer is not kept: its write is made again."""
_KEY = re.compile(r'"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,255}"|[!#-\[\]-~]{1,255}')


class _Name(NamedTuple):
    viewer: Viewer
    path: str
    key: str


class _Answer(NamedTuple):
    """What was answered to what, and when (by a clock that only rises); no status while it is under way."""

    of: bytes
    at_s: float
    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


class Answers:
    """Answers by key, those that were given longest ago first. `now_s` is a clock that only rises."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._done: dict[_Name, _Answer] = {}
        self._under_way: dict[_Name, bytes] = {}
        self._bytes = 0

    def begin(self, name: _Name, of: bytes) -> _Answer | None:
        """The answer that there is; None: there is none, and it is under way from now on. Raises Problem."""
        while self._done and next(iter(self._done.values())).at_s <= self._now_s() - KEPT_S:
            self._drop(next(iter(self._done)))
        found = self._done.get(name)
        known = found.of if found else self._under_way.get(name)
        if known is not None and known != of:
            text = "this Idempotency-Key was shown with another body; each write has a key of its own"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, text)
        if found is None and known is not None:
            text = "the write with this Idempotency-Key is under way; ask again"
            raise Problem(HTTPStatus.CONFLICT, text, headers={"retry-after": "1"})
        if found is None:
            self._under_way[name] = of
        return found

    def end(self, name: _Name, answer: list[Message]) -> None:
        """A write has ended with an answer, whole or not."""
        of = self._under_way.pop(name)
        start, body = (answer[0] if answer else {}), b"".join(one.get("body", b"") for one in answer[1:])
        is_whole = len(answer) > 1 and not answer[-1].get("more_body", False)
        if not is_whole or not 200 <= start["status"] < 300 or len(body) > ANSWER_MAX:
            return
        self._done[name] = _Answer(of, self._now_s(), start["status"], tuple(start["headers"]), body)
        self._bytes += len(body)
        while len(self._done) > KEPT_MAX or self._bytes > KEPT_BYTES_MAX:
            self._drop(next(iter(self._done)))

    def _drop(self, name: _Name) -> None:
        self._bytes -= len(self._done.pop(name).body)


class Idempotency:
    """An application whose writes may be said with a key."""

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self._app, self._answers = app, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem."""
        shown = Headers(scope=scope).get("idempotency-key") if scope["type"] == "http" else None
        viewer: Viewer | None = scope["state"]["viewer"] if scope["type"] == "http" else None
        if shown is None or viewer is None or not _is_heard(scope["method"], scope["path"], viewer):
            await self._app(scope, receive, send)
            return
        request, key = Request(scope), _key(shown)
        heard = await _heard(receive)
        name = _Name(viewer, scope["path"], key)
        found = self._answers.begin(name, _fingerprint(request, heard))
        if found is not None:
            again = (b"idempotency-replayed", b"true")
            headers = [*found.headers, again]
            await send({"type": "http.response.start", "status": found.status, "headers": headers})
            await send({"type": "http.response.body", "body": found.body})
            return
        answer: list[Message] = []

        async def replay() -> Message:
            return heard.pop(0) if heard else await receive()

        async def sent(message: Message) -> None:
            answer.append({**message, "headers": list(message["headers"])} if "headers" in message else message)
            await send(message)

        try:
            await self._app(scope, replay, sent)
        finally:
            self._answers.end(name, answer)


def _is_heard(method: str, path: str, viewer: Viewer) -> bool:
    """Whether a body is held for a key. One of who may not write there is not: their route refuses them unheard."""
    if method != "POST" or path in UNKEPT or (path in FOR_KEEPERS and viewer.role is not Role.KEEPER):
        return False
    return is_open(method, path) or (viewer.may_write and viewer.role not in UNCHANGING)


def _key(shown: str) -> str:
    """Raises Problem."""
    if not _KEY.fullmatch(shown):
        raise Problem(HTTPStatus.BAD_REQUEST, "an Idempotency-Key is 1 to 255 printable signs of ASCII, in quotes")
    return shown.strip('"')


async def _heard(receive: Receive) -> list[Message]:
    """A request's body as it comes, whole or until the client hangs up."""
    found: list[Message] = []
    while not found or found[-1].get("more_body", False):
        found.append(await receive())
    return found


def _fingerprint(request: Request, heard: list[Message]) -> bytes:
    """What makes a request the same: what it asks of the path, and its body."""
    made = hashlib.sha256(request.scope.get("query_string", b"") + b"\n")
    made.update(request.headers.get("content-type", "").encode() + b"\n")
    for one in heard:
        made.update(one.get("body", b""))
    return made.digest()
