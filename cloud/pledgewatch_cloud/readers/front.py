"""What a reader answers itself, and what it hands on.

    GET or HEAD of what is read (api/app.py, `is_read`), and the state is of now ─► answered here
    everything else ─► the service

What is answered here goes through the same routes, views, bounds and notes as in the service: it is the same
application, over a state of its own.
"""

from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from pledgewatch_cloud.api.app import is_read
from pledgewatch_cloud.readers.pace import Pace

_METHODS = frozenset({"GET", "HEAD"})


class Own(NamedTuple):
    """What a reader answers by itself, while its pace is near."""

    app: ASGIApp
    pace: Pace


class Front:
    """A reader's application. `own` is set once its state is there."""

    def __init__(self, forward: ASGIApp) -> None:
        self._forward = forward
        self.own: Own | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        own = self.own
        is_own = own is not None and scope["method"] in _METHODS and is_read(scope["path"]) and own.pace.is_near
        await (own.app if own is not None and is_own else self._forward)(scope, receive, send)
