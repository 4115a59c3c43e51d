"""How many connections the API has at once, and how long one may be there without asking anything.

    a connection ─► there is room: as the server does it ─► nothing is asked within HEAD_S: it is closed
                 └► there is none: 503 with Retry-After to what it asks, and it is closed

Each costs the process a file and up to 64 KiB, whatever it asks, and a stream of changes is one for as long as somebody
looks. Those that are refused wait to be answered, REFUSED_MAX at once for REFUSED_S at most; of more each is cut off.
The server's own `limit_concurrency` counts only those that ask, so who says nothing could have all files there are.
"""

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_S = 10.0
"""How long a connection may take to say what it asks, from when it is there or from when it begins to ask again."""
REFUSED_S = 2.0
REFUSED_MAX = 100
RETRY_AFTER_S = 5
_BODY = b'{"title":"Service Unavailable","status":503,"detail":"there are too many connections; try again later"}'
ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n"
    b"content-length: %d\r\nretry-after: %d\r\nconnection: close\r\n\r\n%b" % (len(_BODY), RETRY_AFTER_S, _BODY)
)

log = logging.getLogger(__name__)


def bounded(connections_max: int) -> type[HttpToolsProtocol]:
    """What speaks HTTP over one connection, of which there are no more at once."""

    class Bounded(_Bounded):
        most = connections_max
        refused: set[_Bounded] = set()  # noqa: RUF012 - those of this server
        told: list[str] = []  # noqa: RUF012

    return Bounded


class _Bounded(HttpToolsProtocol):
    """A connection that counts. `refused` are those that wait to be told so, `told` whether that was said."""

    most: int
    refused: "set[_Bounded]"
    told: list[str]

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes it on where there is room."""
        if len(self.connections) < self.most:
            if self.told:
                self.told.clear()
                log.info("the API has room for connections again")
            super().connection_made(transport)
            self._await_head()
            return
        if not self.told:
            self.told.append("full")
            text = "the API has %d connections, the most that there may be ([api] connections_max): more get 503"
            log.warning(text, self.most)
        self.transport = transport
        if len(self.refused) >= REFUSED_MAX:
            transport.abort()
            return
        self.refused.add(self)
        self._timer = self.loop.call_later(REFUSED_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        """What is asked, or begun to be."""
        if self in self.refused:
            self.transport.write(ANSWER)
            self.transport.close()
            return
        cycle: RequestResponseCycle | None = self.cycle
        if self._timer is None and (cycle is None or cycle.response_complete):
            self._await_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """It has said what it asks; how long the body may take is for api/bounded.py."""
        self._unset()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Makes room."""
        self._unset()
        self.refused.discard(self)
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_S, self.transport.close)

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
