"""How many connections the API has at once, and how long one may be there without asking anything.

    a connection ─► there is room: as the server does it ─► nothing is asked within HEAD_S: it is closed
                 ├► there is none: 503 with Retry-After to what it asks, and it is closed
                 └► its address has its share: 429 likewise

Each costs the process a file and up to 64 KiB, whatever it asks, and a stream of changes is one for as long as somebody
looks. Those that are refused wait to be answered, REFUSED_MAX at once for REFUSED_S at most; of more each is cut off.
The server's own `limit_concurrency` counts only those that ask, so who says nothing could have all files there are.

An address (of IPv6 its first 64 bits) holds a share of them at most, so that none has them all. Behind a proxy all come
from one address, and whom it asks for is known only once it does: so a trusted proxy may have all, and must itself see
to it how many it lets one address have.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pledgewatch_cloud.addresses import counted_as, is_among

HEAD_S = 10.0
"""How long a connection may take to say what it asks, from when it is there or from when it begins to ask again."""
REFUSED_S = 2.0
REFUSED_MAX = 100
RETRY_AFTER_S = 5


def _answer(status: int, title: str, detail: str) -> bytes:
    body = f'{{"title":"{title}","status":{status},"detail":"{detail}; try again later"}}'
    head = f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}retry-after: {RETRY_AFTER_S}\r\nconnection: close\r\n\r\n{body}".encode()


FULL = _answer(503, "Service Unavailable", "there are too many connections")
SHARED = _answer(429, "Too Many Requests", "there are too many connections from your address")

log = logging.getLogger(__name__)


def bounded(connections_max: int, per_address: int, trusted_proxies: Iterable[str] = ()) -> type[HttpToolsProtocol]:
    """What speaks HTTP over one connection, of which there are no more at once, and of one address no more than its
    share unless it is one of the proxies."""

    class Bounded(_Bounded):
        most = connections_max
        share = per_address
        proxies = tuple(trusted_proxies)
        held: Counter[str] = Counter()  # noqa: RUF012 - those of this server
        refused: set[_Bounded] = set()  # noqa: RUF012
        told: set[str] = set()  # noqa: RUF012

    return Bounded


class _Bounded(HttpToolsProtocol):
    """A connection that counts. `held` are how many each address has, `refused` those that wait to be told so, `told`
    whose bound was said to be reached: an address, or (empty) that of all."""

    most: int
    share: int
    proxies: tuple[str, ...]
    held: Counter[str]
    refused: "set[_Bounded]"
    told: set[str]

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._timer: asyncio.TimerHandle | None = None
        self._address = ""
        self._refusal = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes it on where there is room."""
        host = str((transport.get_extra_info("peername") or ("",))[0])
        address = "" if is_among(host, self.proxies) else counted_as(host)
        if len(self.connections) >= self.most:
            text = "the API has %d connections, the most that there may be ([api] connections_max): more get 503"
            self._refuse(transport, FULL, "", text, self.most)
        elif address and self.held[address] >= self.share:
            text = "%s has %d connections, the most of one address ([api] connections_per_address): more get 429"
            self._refuse(transport, SHARED, address, text, address, self.share)
        else:
            if "" in self.told:
                self.told.remove("")
                log.info("the API has room for connections again")
            if address:
                self._address = address
                self.held[address] += 1
            super().connection_made(transport)
            self._await_head()

    def _refuse(self, transport: asyncio.Transport, refusal: bytes, whose: str, text: str, *given: object) -> None:
        """Says so once, and waits to tell whoever asks."""
        if whose not in self.told:
            self.told.add(whose)
            log.warning(text, *given)
        self.transport, self._refusal = transport, refusal
        if len(self.refused) >= REFUSED_MAX:
            transport.abort()
            return
        self.refused.add(self)
        self._timer = self.loop.call_later(REFUSED_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        """What is asked, or begun to be."""
        if self in self.refused:
            self.transport.write(self._refusal)
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
        if self._address:
            self.held[self._address] -= 1
            if not self.held[self._address]:  # none is kept of who has gone
                del self.held[self._address]
            self.told.discard(self._address)
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_S, self.transport.close)

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
