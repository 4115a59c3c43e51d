"""Changes as they are committed: server-sent events, which a client that was cut off takes up where it was.

    commit ─► Writer.said wakes every stream ─► who asks, anew ─► what they may see of what is new ─► the client

Nothing is kept for a client between two pages: a stream is a place in the journal, and what is told from there is read
as `/events` reads it. So one that falls behind costs no memory, and a key or a pledge that ends, ends what is told.
Who may see anything is asked at each page and at each heartbeat.

An event's `id` is its own, `entry.place`; where there was nothing to tell, a heartbeat says the entry that was looked
at. `Last-Event-ID` may be either, so nothing is lost and nothing comes twice, however a stream was cut.
"""

import asyncio
import contextlib
import json
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pledgewatch_cloud.access.identify import Shown, UnknownError
from pledgewatch_cloud.api.access import Service, ServiceOf, ViewerOf, shown_by, viewer_showing
from pledgewatch_cloud.api.events import written
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.events import SaidEvent
from pledgewatch_cloud.journal.store import StoreError

router = APIRouter(prefix="/live", tags=["live"])

HEARTBEAT_S = 15.0
GATHERED_S = 0.1
"""What is committed within this time is looked for once: a stream costs the same however many commits there are."""
SEND_MAX_S = 30.0
"""How long a client may take to take a page."""
_PAGE = 500
_WHOLE = 2**53
"""A place after every event of an entry."""
_RETRY_MS = 2_000
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


@router.get(
    "",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def follow_changes(
    request: Request,
    service: ServiceOf,
    viewer: ViewerOf,
    last_event_id: Annotated[str, Header(max_length=40, pattern=r"^([0-9]{1,15}(\.[0-9]{1,15})?)?$")] = "",
    after_entry: Annotated[int | None, Query(ge=0, le=2**53)] = None,
) -> Response:
    """Events as they are committed, as server-sent events: each has its `id`, its type as `event`, and as `data` what
    `/events` has of it.

    It begins after `Last-Event-ID`, else after `after_entry`, else now. A heartbeat comes every 15 s. It ends when the
    service stops, or what was shown (key, session, token) opens no more; ask again with the last `id`.
    """
    stands = service.writer.state.entry
    after = _place(last_event_id) if last_event_id else (stands if after_entry is None else after_entry, _WHOLE)
    if after[0] > stands:
        text = f"the journal stands at entry {stands}, before {after[0]}: it is not the one that was followed"
        raise Problem(HTTPStatus.CONFLICT, text)
    service.streams.take(viewer.user, viewer.party)
    # That a stream is open is no use of a session: who went away from it is to be logged out.
    return _Changes(service, viewer, shown_by(request, service)._replace(is_attended=False), after)


def _place(text: str) -> tuple[int, int]:
    entry, _, place = text.partition(".")
    return int(entry), int(place) if place else _WHOLE


class _Changes(Response):
    """An answer that goes on, after a place in an entry."""

    def __init__(self, service: Service, viewer: Viewer, shown: Shown, after: tuple[int, int]) -> None:
        super().__init__(media_type="text/event-stream", headers=_HEADERS)
        del self.headers["content-length"]
        self._service, self._shown = service, shown
        self._places = viewer.user, viewer.party
        entry, place = after
        self._told = after
        # An entry that was told in part is looked at again, and what was told of it is left out.
        self._after = entry if place == _WHOLE else entry - 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - what an answer is called with
        """Tell until the client goes, the service stops, or who asks is nobody any more."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async with asyncio.TaskGroup() as group:
                waits = (self._tell(send), _gone(receive), self._service.streams.ending.wait())
                tasks = [group.create_task(one, name="live") for one in waits]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._service.streams.leave(*self._places)

    async def _tell(self, send: Send) -> None:
        with contextlib.suppress(UnknownError, StoreError, OSError, TimeoutError):
            await _send(send, f"retry: {_RETRY_MS}\n{self._position()}\n")
            while True:
                turn = self._service.writer.said.next  # before looking, so that nothing comes in between
                while await self._goes_on(send):
                    pass
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await turn.wait()
                except TimeoutError:
                    # Whatever was said that is not for who asks: a stream that is at its end is where the journal is.
                    await self._goes_on(send, looks=True)
                    await _send(send, f": nothing new\n{self._position()}\n")
                else:
                    await asyncio.sleep(GATHERED_S)

    async def _goes_on(self, send: Send, *, looks: bool = False) -> bool:
        """Tell a page of what is new, which is looked for where anything was said, or anyhow; whether the stream has
        come any further. Raises UnknownError where who asks is not let in any more."""
        service = self._service
        viewer = await viewer_showing(service, self._shown)
        if not looks and service.writer.newest.said_entry <= self._after:
            return False
        view = service.views.of(viewer)
        async with service.streams.reading:
            page = await asyncio.to_thread(view.page, self._after, _PAGE)
        if page.last_entry <= self._after:
            return False
        self._after = page.last_entry
        if news := [one for one in page.events if _place(one.id) > self._told]:
            await _send(send, "".join(map(_as_event, news)))
        return True

    def _position(self) -> str:
        """Where the stream is, without an event; nothing where that is within an entry: the client knows it."""
        return "" if self._after < self._told[0] else f"id: {self._after}\n"


def _as_event(said: SaidEvent) -> str:
    # In ASCII: many readers of lines also end one at signs of Unicode that may be in what people wrote.
    data = json.dumps(written(said), separators=(",", ":"))
    return f"id: {said.id}\nevent: {said.event.type.value}\ndata: {data}\n\n"


async def _send(send: Send, text: str) -> None:
    async with asyncio.timeout(SEND_MAX_S):
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
