"""Entity tags: who has an answer already is told so in a line instead of having it again.

A tag is the hash of what was answered, so it is strong and needs no memory: of two answers with the same tag every byte
is the same. The answer is made all the same; what is saved is the way. What a client has is found out after who asks,
so a tag tells nobody anything that the answer would not.
"""

import hashlib
from base64 import urlsafe_b64encode

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_WITHOUT = frozenset({"/metrics", "/live"})
"""What is never twice the same, and what does not end."""
_NOT_OF_A_304 = ("content-length", "content-type")


class Etags:
    """An application whose answers to GET carry a tag, where they come in one piece."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        begun: list[Message] = []

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                headers.add_vary_header("Authorization, Cookie, Accept")
                if message["status"] == 200 and scope["path"] not in _WITHOUT:
                    begun.append(message)  # until its body is there, of which the tag is
                    return
            elif begun:
                start = begun.pop()
                if not message.get("more_body", False):
                    message = _tagged(Headers(scope=scope).get("if-none-match", ""), start, message)
                await send(start)
            await send(message)

        await self._app(scope, receive, sent)


def tag_of(content_type: str, body: bytes) -> str:
    """The entity tag of an answer."""
    digest = hashlib.sha256(content_type.encode() + b"\n" + body).digest()
    return f'"{urlsafe_b64encode(digest[:18]).decode()}"'


def _tagged(known: str, start: Message, body: Message) -> Message:
    """Put the tag on an answer; where it is known, the answer becomes that. The body is what is to be sent."""
    headers = MutableHeaders(raw=start["headers"])
    tag = tag_of(headers.get("content-type", ""), body.get("body", b""))
    headers["etag"] = tag
    if known.strip() != "*" and tag not in {one.strip().removeprefix("W/") for one in known.split(",")}:
        return body
    start["status"] = 304
    for name in _NOT_OF_A_304:
        del headers[name]
    return {"type": "http.response.body", "body": b"", "more_body": False}
