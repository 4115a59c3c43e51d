"""What one connection may make the server hold, and for how long what it is told may wait to be taken.

    what comes, READ_MAX at once ─► parsed by pieces ─► a head ─► answered, or behind one that is being answered
                                 │                      ├► longer than HEAD_MAX, more than HEADERS_MAX fields: 431
                                 │                      └► no HTTP: 400
                                 └► while a request waits for its turn: kept unparsed, and no more is read
                                 └► while nothing is read: has it hung up? looked at every GONE_S
    what is told ─► the kernel has no room for all of it: the rest waits ─► nothing taken within TAKEN_S: cut off
                                                                └► more than UNTAKEN_MAX of all: the slowest is cut off

The server parses whatever has come, bounds no head, queues each request that it finds, and waits for ever for who does
not take an answer. Here it holds of one connection: a head, or twice READ_MAX of a body that nobody asks for; READ_MAX
unparsed; the requests of one PIECE (57 of the shortest, of about 2 KiB each); the answer that is being taken. The next
one is not begun before that has left. What waits so of all connections together has a bound, for one answer may be
megabytes: beyond it who takes least is cut off.

Who takes an answer slowly is not cut off: what the other side has acknowledged is what it has taken, and the kernel's
queue counts as not taken, for that alone may be megabytes. A kernel that does not tell has none. The other side's
acknowledges by half a buffer at worst, so TAKEN_S is no matter of seconds.

Whoever is turned away is first answered what they asked before. Then the connection is at its end, but what still
comes is read for LINGER_S and dropped: to close at once would make the other side's kernel throw the answer away.
"""

import asyncio
import fcntl
import json
import select
import socket
import struct
import termios
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pledgewatch_cloud.seldom import Seldom

READ_MAX = 2**16
PIECE = 2**10
"""What is parsed at once; the requests in it are queued, however many."""
HEAD_MAX = 2**16
HEADERS_MAX = 100
"""Fields of a head and of what comes after a body; the shortest cost the process twenty times their length."""
TAKEN_S = 60.0
UNTAKEN_MAX = 2**28
BEGUN_S = 1.0
LINGER_S = 2.0
GONE_S = 1.0
_HUNG_UP = getattr(select, "POLLRDHUP", 0)
"""That the other side says no more, behind whatever it has said; where the kernel tells."""


def problem(status: HTTPStatus, detail: str, *heads: str) -> bytes:
    """A whole answer, the last of its connection, as problem details (RFC 9457)."""
    said = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    body = json.dumps(said, separators=(",", ":"))
    lines = [
        f"HTTP/1.1 {status} {status.phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        *heads,
        "connection: close",
    ]
    return "".join(f"{one}\r\n" for one in (*lines, "", body))[:-2].encode("ascii")


class _WrongError(Exception):
    """What is asked is turned away."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


def _too_long() -> _WrongError:
    text = (
        f"an address and its headers have at most {HEAD_MAX // 1024} KiB and {HEADERS_MAX} headers: ask with fewer or"
        " shorter ones (cookies that nobody needs, a long query)"
    )
    return _WrongError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)


def _no_request() -> _WrongError:
    return _WrongError(HTTPStatus.BAD_REQUEST, "that is no request of HTTP/1.1: ask by plain HTTP/1.1, without TLS")


def _upgrade_with_body() -> _WrongError:
    # The parser takes the body for the beginning of the other protocol, so it would be read as the next request.
    text = "what asks for another protocol may have no body: there is none here, ask without the header Upgrade"
    return _WrongError(HTTPStatus.BAD_REQUEST, text)


class _Flow(FlowControl):
    """Reads nothing while anything that came waits unparsed, whoever asks for more."""

    is_full = False

    def resume_reading(self) -> None:
        """Read on where there is room."""
        if not self.is_full:
            super().resume_reading()


class Spoken(HttpToolsProtocol, asyncio.BufferedProtocol):
    """HTTP over one connection. `arriving` is where all connections of a server read to, `untaken` are those of them
    whose answers wait to be taken, who was looked at longest ago first; `wrong`, `upgrades` and `crowded` are how it is
    said that somebody asks what is no request, or for a protocol that there is not, and that too much waits."""

    arriving: bytearray
    untaken: "dict[Spoken, None]"
    wrong: Seldom
    upgrades: Seldom
    crowded: Seldom
    flow: _Flow

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._rest = b""
        self._since = 0
        self._is_whole = self._is_headed = False
        self._trailers = 0
        self._running: RequestResponseCycle | None = None
        self._farewell = b""
        self._left, self._looked_s = 0, 0.0
        self._stalled: asyncio.TimerHandle | None = None
        self._listening: asyncio.TimerHandle | None = None
        self._is_turn_due = False

    @property
    def is_answering(self) -> bool:
        """Whether it was asked anything whose answer has not left."""
        return self._is_turn_due or (self._running is not None and not self._running.response_complete)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes it on. What the kernel does not take at once is waited for, so that nothing more is written before."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
        transport.set_write_buffer_limits(high=0)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's own word
        """Where to read to: it is used up before anything else is read. A view, for TLS reads on into slices of it."""
        return memoryview(self.arriving)

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read."""
        self.data_received(bytes(memoryview(self.arriving)[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """What is asked, or begun to be."""
        self._unset_keepalive_if_required()
        self._work_on(data)

    def _work_on(self, data: bytes) -> None:
        """Parse as far as there is room for requests; keep the rest, and read no more until it is parsed."""
        rest = memoryview(self._rest + data)
        while rest and not self.pipeline and not self._is_turn_due and not self._is_over:
            rest = rest[self._parsed(rest[:PIECE]) :]
        self._rest = b"" if self._is_over else bytes(rest)
        self.flow.is_full = bool(self._rest)
        self._listen_later()
        if self._rest:
            self.flow.pause_reading()

    def _listen_later(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        self._listening = self.loop.call_later(GONE_S, self._listen) if self._rest else None

    def _listen(self) -> None:
        """Whoever hangs up is not read to say so while nothing is read. What they asked may take long, and is not to be
        found out for nobody; who only takes an answer yet has TAKEN_S for it."""
        if self.transport.get_write_buffer_size() or not _has_hung_up(self.transport.get_extra_info("socket")):
            self._listen_later()
        else:
            self.transport.abort()

    @property
    def _is_over(self) -> bool:
        return bool(self._farewell) or self.transport.is_closing()

    def _parsed(self, piece: memoryview) -> int:
        """How much of a piece was parsed."""
        self._is_whole = False
        length = len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            # It is answered as if it had not asked for that, and what follows is its next request.
            length = upgrade.args[0]
            text = (
                "%s asks for another protocol by the header Upgrade; there is none here, and it is answered by HTTP/1.1"
            )
            self.upgrades.say(text, self.who)
        except httptools.HttpParserError as error:
            wrong = error.__context__
            self._turn_away(wrong if isinstance(wrong, _WrongError) else _no_request())
            return length
        self._since = 0 if self._is_whole else self._since + length
        if self._since > HEAD_MAX:
            self._turn_away(_too_long())
        return length

    @property
    def who(self) -> str:
        """Where it comes from."""
        return self.client[0] if self.client else "somebody"

    def on_message_begin(self) -> None:
        """It begins to ask."""
        super().on_message_begin()
        self._is_headed, self._trailers = False, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of a head; or one of what comes after a body, which is none (RFC 9110, 6.5.1), so nobody is told."""
        if len(self.headers) + self._trailers >= HEADERS_MAX:
            raise _too_long()
        if self._is_headed:
            self._trailers += 1
        else:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """It has said what it asks."""
        self._is_whole = self._is_headed = True
        self._unset_keepalive_if_required()
        if self.parser.should_upgrade() and any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b" 0"))
            for name, value in self.headers
        ):
            raise _upgrade_with_body()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of what it says."""
        self._is_whole = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """It has said all."""
        self._is_whole = True
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """The next turn, once what was answered has left."""
        self._is_turn_due = self.flow.write_paused and not self.transport.is_closing()
        if not self._is_turn_due:
            self._turn()

    def _turn(self) -> None:
        """That of a request that waits, of what waits to be parsed, or of being turned away."""
        super().on_response_complete()
        self._listen_later()
        if self.transport.is_closing() or self.pipeline:
            return
        if self._farewell:
            if not self.is_answering:
                self._part()
        elif self._rest:
            self.flow.is_full = False
            self.flow.resume_reading()
            self._work_on(b"")

    def _turn_away(self, wrong: _WrongError) -> None:
        """Say so once what was asked before is answered; what was heard in part is not."""
        text = "%s is answered %d and cut off: %s"
        self.wrong.say(text, self.who, wrong.status, wrong.detail)
        self._farewell = problem(wrong.status, wrong.detail)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.more_body and not cycle.response_complete:
            if cycle is not self._running:
                self.pipeline.popleft()
            else:
                _hang_up(cycle)
                if cycle.response_started:
                    self.transport.close()
                else:
                    self._part()
                return
        if not self.is_answering:
            self._part()

    def _part(self) -> None:
        """The last word; what is still to be taken before it has its own time."""
        self.transport.write(self._farewell)
        if self.transport.get_write_buffer_size():
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def pause_writing(self) -> None:
        """Something waits to be taken."""
        super().pause_writing()
        self._watch()
        self._make_way()

    def resume_writing(self) -> None:
        """All that was written has left."""
        self._unwatch()
        super().resume_writing()
        if self._is_turn_due:
            self._is_turn_due = False
            self._turn()

    def _make_way(self) -> None:
        """Cut off others until there is room for what waits to be taken."""
        waits = sum(one.transport.get_write_buffer_size() for one in self.untaken)
        others = [one for one in self.untaken if one is not self] if waits > UNTAKEN_MAX else []
        for one in sorted(others, key=lambda one: one.taken_per_s):
            if waits <= UNTAKEN_MAX:
                return
            text = "answers of more than %d MiB wait to be taken: %s, who takes least, is cut off"
            self.crowded.say(text, UNTAKEN_MAX // 2**20, one.who)
            waits -= one.transport.get_write_buffer_size()
            one.cut_off()

    def cut_off(self) -> None:
        """What waits to be taken is let go with the connection."""
        self._unwatch()
        self.transport.abort()

    @property
    def taken_per_s(self) -> float:
        """How fast the other side has taken what waits since that was last looked at. At first the kernels alone take
        some, which is no pace of anybody's yet."""
        return (self._left - self._untaken()) / (self.loop.time() - self._looked_s + BEGUN_S)

    def _watch(self) -> None:
        self._unwatch()
        self.untaken[self] = None
        self._left, self._looked_s = self._untaken(), self.loop.time()
        self._stalled = self.loop.call_later(TAKEN_S, self._look)

    def _unwatch(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self.untaken.pop(self, None)

    def _look(self) -> None:
        if self._untaken() < self._left:
            self._watch()
        else:
            self.cut_off()

    def _untaken(self) -> int:
        """How many bytes the other side has not acknowledged."""
        own: int = self.transport.get_write_buffer_size()
        try:
            queued = fcntl.ioctl(self.transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
        except OSError:
            return own
        return own + int(struct.unpack("i", queued)[0])

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing waits any more. The server itself hangs up what was asked last, though another may be running."""
        self._unwatch()
        self._rest = b""
        self._listen_later()
        self.pipeline.clear()
        if self._running is not None and self.is_answering:
            _hang_up(self._running)
        super().connection_lost(exc)


def _has_hung_up(one: socket.socket) -> bool:
    poll = select.poll()
    poll.register(one, _HUNG_UP)  # what has broken is told anyhow
    return bool(poll.poll(0))


def _hang_up(cycle: RequestResponseCycle) -> None:
    cycle.disconnected, cycle.waiting_for_100_continue = True, False
    cycle.message_event.set()
