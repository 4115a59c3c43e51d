"""HEAD of what GET answers is what GET answers, without its body (RFC 9110, 9.3.2).

Inside it is a GET, so no route, right or bound knows another one: status and headers are those of GET, with the length
of the body that is not sent. Only a stream has no HEAD, for it has no end. What was asked is what the audit notes.
"""

from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STREAMS = frozenset({"/live"})


class Heads:
    """An application that is asked for the heads of its answers too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] in STREAMS:
            await self._app(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == HTTPStatus.METHOD_NOT_ALLOWED:
                    _allow(message)
            elif is_head:
                if message.get("more_body", False):
                    return
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET", "asked": "HEAD"} if is_head else scope, receive, sent)


def asked_method(scope: Scope) -> str:
    """The method that a request was asked by."""
    found: str = scope.get("asked", scope["method"])
    return found


def _allow(start: Message) -> None:
    """Where GET is allowed HEAD is."""
    headers = MutableHeaders(raw=start["headers"])
    some = [one.strip() for one in headers.get("allow", "").split(",")]
    if "GET" in some and "HEAD" not in some:
        headers["allow"] = ", ".join([*some, "HEAD"])
