"""What is around all that the API does, whatever becomes of it inside.

    who asks? ─► how often? ─► how much is said? ─► routes ─► an answer, or why there is none ─► noted, made safe
                                     └ who asks, still?

Who asks is found out here, before anything of a body is heard: routes take the `Viewer` from the request's state
(api/access.py). A body that is to change something may take long, so once it is whole they are asked again. So nothing
that ends before its route (a path or method that there is not, a body that is none, a write that is said twice) goes
past the bounds and the audit, and nobody who is not known makes us read anything but where they may hand something in
(api/paths.py).

It is the top of the program: what nobody foresaw ends here, in a line of the log with its traceback and an answer that
tells nothing of it.
"""

import logging
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pledgewatch_cloud.api.access import Service, admit, ask_again
from pledgewatch_cloud.api.bounded import Bounded, RefusedBodyError
from pledgewatch_cloud.api.heads import asked_method
from pledgewatch_cloud.api.paths import READING, body_max
from pledgewatch_cloud.api.problems import Problem, on_problem, unforeseen

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
_ANY_PATH = "*"
log = logging.getLogger(__name__)


class Around:
    """An application with these around it."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = Bounded(app, body_max, service.body_s, when_whole=self._ask_again)
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        is_begun = False

        async def sent(message: Message) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                known = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in _SAFE.items() if one[0] not in known)]
                viewer = scope["state"].get("viewer")
                if viewer is not None:
                    path = _noted_path(scope, message["status"])
                    self._service.audit.note(viewer, asked_method(scope), path, message["status"])
            await send(message)

        try:
            await admit(request, self._service)
            await self._app(scope, receive, sent)
        except Exception as error:  # noqa: BLE001 - the top of the program
            if is_begun:  # what was begun cannot be taken back; the server cuts it off
                unforeseen(request, error)
                return
            await (await on_problem(request, error))(scope, receive, sent)

    async def _ask_again(self, scope: Scope) -> None:
        request = Request(scope)
        if request.state.viewer is None or scope["method"] in READING:
            return
        try:
            await ask_again(request, self._service)
        except Problem as error:
            raise RefusedBodyError(error.status, error.detail, headers=dict(error.headers)) from None


def _noted_path(scope: Scope, status: int) -> str:
    """What is noted of the path. What was refused is noted by its route's pattern, `*` where it came to none: there are
    as many paths as who asks can make up, and were each a row, they could fill the disk within their rate."""
    if not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        path: str = scope["path"]
        return path
    return getattr(scope.get("route"), "path_format", _ANY_PATH)
