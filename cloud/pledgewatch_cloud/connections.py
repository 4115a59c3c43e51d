"""How many connections the API has at once, and how long one may be there without asking anything.

    a connection ─► there is room: as spoken.py does it ─► nothing is asked within HEAD_S: it is closed
                 ├► there is none: 503 with Retry-After to what it asks, and it is closed
                 └► its address has its share: 429 likewise

Where it speaks TLS, hands are shaken first, within the same HEAD_S: that counts from when the connection is there.

Each costs the process a file and what spoken.py lets it hold: about 300 KiB of what it says, whatever it asks, and the
answer that it is being told. A stream of changes is one for as long as somebody looks. A place is given back by who
does not ask, and by who does not take what is answered. Those that are refused wait to be told so, REFUSED_MAX at once
for REFUSED_S at most; of more each is cut off. The server's own `limit_concurrency` counts only those that ask, so who
says nothing could have all files there are.

An address (of IPv6 its first 64 bits) holds a share of them at most, so that none has them all. Behind a proxy all come
from one address, and whom it asks for is known only once it does: so a trusted proxy may have all, and must itself see
to it how many it lets one address have. That a bound is reached is said once a minute at most, whoever comes and goes.
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pledgewatch_cloud.addresses import counted_as, is_among
from pledgewatch_cloud.secured import secure
from pledgewatch_cloud.seldom import Seldom
from pledgewatch_cloud.spoken import READ_MAX, Spoken, problem

HEAD_S = 10.0
"""How long a connection may take to say what it asks, from when it is there or from when it begins to ask again."""
REFUSED_S = 2.0
REFUSED_MAX = 100
RETRY_AFTER_S = 5


_AGAIN = f"retry-after: {RETRY_AFTER_S}"
FULL = problem(HTTPStatus.SERVICE_UNAVAILABLE, "there are too many connections; try again later", _AGAIN)
_TEXT = "there are too many connections from your address; try again later"
SHARED = problem(HTTPStatus.TOO_MANY_REQUESTS, _TEXT, _AGAIN)

log = logging.getLogger(__name__)


def bounded(
    connections_max: int,
    per_address: int,
    trusted_proxies: Iterable[str] = (),
    section: str = "[api]",
    tls: ssl.SSLContext | None = None,
) -> type[Spoken]:
    """What speaks HTTP over one connection, of which there are no more at once, and of one address no more than its
    share unless it is one of the proxies. `section` is where that is configured."""

    class Bounded(_Bounded):
        most = connections_max
        share = per_address
        proxies = tuple(trusted_proxies)
        held: Counter[str] = Counter()  # noqa: RUF012 - those of this server
        refused: set[_Bounded] = set()  # noqa: RUF012
        shaking: set[_Bounded] = set()  # noqa: RUF012
        full_text = f"the API has %d connections, the most that there may be ({section} connections_max): more get 503"
        shared_text = (
            f"%s has %d connections, the most of one address ({section} connections_per_address): more get 429"
        )
        secured_by = tls
        full, shared = Seldom(log), Seldom(log)
        wrong, upgrades, crowded = Seldom(log), Seldom(log), Seldom(log)
        untaken: dict[Spoken, None] = {}  # noqa: RUF012
        arriving = bytearray(READ_MAX)

    return Bounded


class _Bounded(Spoken):
    """A connection that counts. `held` are how many each address has, `refused` those that wait to be told so,
    `shaking` those that TLS has yet to begin on, `full` and `shared` how it is said that there is no room, for anybody
    or for an address."""

    most: int
    share: int
    proxies: tuple[str, ...]
    held: Counter[str]
    refused: "set[_Bounded]"
    shaking: "set[_Bounded]"
    full_text: str
    shared_text: str
    secured_by: ssl.SSLContext | None
    full: Seldom
    shared: Seldom

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._timer: asyncio.TimerHandle | None = None
        self._address = ""
        self._refusal = b""
        self._early: bytes | None = b""
        self._shaking: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes it on where there is room."""
        host = str((transport.get_extra_info("peername") or ("",))[0])
        address = "" if is_among(host, self.proxies) else counted_as(host)
        if len(self.connections) + len(self.shaking) >= self.most:
            self.full.say(self.full_text, self.most)
            self._refusal = FULL
        elif address and self.held[address] >= self.share:
            self.shared.say(self.shared_text, address, self.share)
            self._refusal = SHARED
        else:
            self.full.over("the API has room for connections again")
            if address:
                self._address = address
                self.held[address] += 1
        if self._refusal and len(self.refused) >= REFUSED_MAX:
            transport.abort()
            return
        if self._refusal:
            self.refused.add(self)
            self._timer = self.loop.call_later(REFUSED_S, transport.abort)
        if self.secured_by is None:
            self._begin(transport)
        else:
            if not self._refusal:
                self.shaking.add(self)
            self._shaking = self.loop.create_task(self._shake_hands(transport, self.secured_by), name="hands")

    async def _shake_hands(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        """Go over to TLS."""
        secured = await secure(transport, self, context, HEAD_S)
        self.shaking.discard(self)
        if secured is None:
            self._make_room()
        else:
            self._begin(secured)

    def _begin(self, transport: asyncio.Transport) -> None:
        """Hear what is asked; what came with the last of TLS's own words is heard first."""
        if self._refusal:
            self.transport = transport
        else:
            super().connection_made(transport)
            self._await_head()
        early, self._early = self._early, None
        if early:
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        """What is asked, or begun to be."""
        if self._early is not None:
            self._early += data
            return
        if self in self.refused:
            self.transport.write(self._refusal)
            self.transport.close()
            return
        if self._timer is None and not self.is_answering:
            self._await_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """It has said what it asks; how long the body may take is for api/bounded.py."""
        self._unset()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Makes room."""
        self._make_room()
        if self._early is None:
            super().connection_lost(exc)

    def _make_room(self) -> None:
        self._unset()
        self.refused.discard(self)
        self.shaking.discard(self)
        if self._address:
            self.held[self._address] -= 1
            if not self.held[self._address]:  # none is kept of who has gone
                del self.held[self._address]
        self._address = ""

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_S, self.transport.close)

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
