"""Reads that say the state and nothing else are answered once for each state (access/answers.py).

A console asks for the same few lists over and over, and so do many of one bank: between two commits the answer is the
same to the byte. A route says that it is such a one by the view that it takes (`StateViewOf`, api/access.py). What is
kept is found after who asks is known, counted and noted, so an answer that is given again is a request like any other.
"""

import sys
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pledgewatch_cloud.access.answers import Answers
from pledgewatch_cloud.access.view import Views

LENGTH_MAX = 2**20
"""An answer that is longer is not kept."""
_PLACE_BYTES = 256
"""What an answer takes beside its bytes: the key and the place that it has."""


class _Answer(NamedTuple):
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Kept:
    """An application that is not asked twice for what it says of one state."""

    def __init__(self, app: ASGIApp, views: Views) -> None:
        self._app, self._views, self._answers = app, views, Answers[_Answer]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_read = scope["type"] == "http" and scope["method"] == "GET"
        viewer = scope["state"]["viewer"] if is_read else None
        if viewer is None:
            await self._app(scope, receive, send)
            return
        view = scope["state"]["view"] = self._views.of(viewer)
        name = _name(scope)
        known = self._answers.find(*view.made_of, name)
        if known is not None:
            await send({"type": "http.response.start", "status": 200, "headers": list(known.headers)})
            await send({"type": "http.response.body", "body": known.body, "more_body": False})
            return
        begun: list[tuple[tuple[bytes, bytes], ...]] = []

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == 200 and scope["state"].get("is_of_state", False):
                    begun.append(tuple(message["headers"]))
            elif begun:
                headers, body = begun.pop(), message.get("body", b"")
                if not message.get("more_body", False) and len(body) <= LENGTH_MAX and view.is_exact:
                    answer = _Answer(headers, body)
                    self._answers.keep(*view.made_of, name, answer, _size(name, answer))
            await send(message)

        await self._app(scope, receive, sent)


def _size(name: str, answer: _Answer) -> int:
    """How many bytes are held for an answer: a small one is mostly headers."""
    parts = (name, answer.headers, answer.body, *answer.headers, *(part for pair in answer.headers for part in pair))
    return sum(sys.getsizeof(one) for one in parts) + _PLACE_BYTES


def _name(scope: Scope) -> str:
    """What is asked: the answer is by nothing else of a request."""
    accept = Headers(scope=scope).getlist("accept")
    return "\n".join((scope["path"], scope["query_string"].decode("latin-1"), *accept))
