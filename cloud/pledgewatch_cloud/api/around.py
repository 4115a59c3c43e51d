"""What is around every answer: headers that keep browsers safe, and a note of what somebody known by name has asked."""

from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pledgewatch_cloud.access.audit import Audit

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    " object-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# Pages load nothing from elsewhere, are in nobody's frame, and answers are what they say they are.
_SAFE = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"private, no-cache",
}


class Around:
    """An application with these around it."""

    def __init__(self, app: ASGIApp, audit: Audit) -> None:
        self._app, self._audit = app, audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: MutableMapping[str, Any] = scope.setdefault("state", {})

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in _SAFE.items() if one[0] not in known)]
                viewer = state.get("viewer")
                if viewer is not None:
                    self._audit.note(viewer, scope["method"], scope["path"], message["status"])
            await send(message)

        await self._app(scope, receive, sent)
