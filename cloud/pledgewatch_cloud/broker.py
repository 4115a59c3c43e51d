"""The embedded MQTT broker: amqtt, for the demo and for small sites that have no other.

It speaks MQTT 3.1.1 and keeps sessions and retained messages in memory: when it ends they are gone, and devices send
again what was not committed. Without a password file it knows no users; then it belongs on the loopback address or a
network of one's own.

amqtt 0.12 left to itself forgets the session of every guest, discards what a client had not acknowledged when its link
ended or five seconds had passed, and delivers nothing to a client that takes over its own older link. `SessionKeeper`
mends these three through what amqtt offers to plugins; `_Broker` keeps retained messages to those who asked for them.
The sockets are ours, so that their number is bounded, port 0 can be asked for, and the kernel finds peers that have
vanished.

What it still cannot do: a client that is silent beyond its keep-alive, on a link that the kernel finds alive, is not
disconnected and its will not sent; what was not acknowledged within five seconds comes again only with the client's
next connection; messages kept for a session are delivered with the retain flag set; what a publisher sends faster than
subscribers take is queued in memory without a bound of its own.
"""

import asyncio
import logging
import signal
import socket
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import ApplicationMessage, OutgoingApplicationMessage, Session

log = logging.getLogger(__name__)

SESSION_EXPIRY_S = 7 * 86_400
CONNECTIONS_MAX = 1_000
KEPT_MESSAGES_MAX = 10_000  # for each session; what comes beyond is dropped, as Mosquitto does
_LISTENER = "default"
_LINKS = "pledgewatch.links"
_LINKS_END_S = 5.0
CONNECT_PATIENCE_S = 10.0
_CONNECT_READS = 3  # the first byte, the length, the rest of the CONNECT
_KERNEL_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # seconds, seconds, probes


class _KeptMessages(asyncio.Queue[ApplicationMessage]):
    """What waits for a client that is away. Drops what exceeds its bound: a `put` that waits would stop all clients."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0

    async def put(self, item: ApplicationMessage) -> None:
        """Keep it, or count it as dropped."""
        self.keep(item)

    def keep(self, item: ApplicationMessage) -> None:
        """The same, at once."""
        if self.qsize() < KEPT_MESSAGES_MAX:
            self.put_nowait(item)
            return
        if not self.dropped:
            log.warning("a client is away and %d messages wait for it: dropping further ones", KEPT_MESSAGES_MAX)
        self.dropped += 1


class _InFlight(OrderedDict[int, OutgoingApplicationMessage]):
    """What is on its way to a client, by packet id. amqtt pops a message when it gives up waiting for its PUBACK too;
    one popped unacknowledged is kept for the client's next connection.
    """

    def __init__(self, kept: _KeptMessages) -> None:
        super().__init__()
        self._kept = kept

    def pop(self, key: int, default: Any = None) -> Any:
        """The message, or the default."""
        message = super().pop(key, default)
        if isinstance(message, OutgoingApplicationMessage) and message.qos and message.puback_packet is None:
            self._kept.keep(message)
        return message


class SessionKeeper(BaseAuthPlugin):  # type: ignore[misc] # amqtt publishes no types
    """Makes sessions outlive connections. Admits guests where no other plugin asks who they are."""

    @dataclass
    class Config:
        """What amqtt hands to this plugin."""

        admits_guests: bool = True

    async def authenticate(self, *, session: Session) -> bool | None:
        """Called with the session of every CONNECT, before anything is delivered to it. None leaves it to others."""
        if not isinstance(session.retained_messages, _KeptMessages):
            kept = _KeptMessages()
            session.retained_messages = kept
            session.inflight_out = _InFlight(kept)
        session.attributes[_LINKS] = session.attributes.get(_LINKS, 0) + 1
        return True if self.config.admits_guests else None

    async def on_broker_client_disconnected(self, *, client_id: str, client_session: Session) -> None:
        """A link has ended. Where a newer one has taken its place, the session they share is still connected."""
        links = client_session.attributes[_LINKS] = max(0, client_session.attributes.get(_LINKS, 1) - 1)
        if links and client_session.transitions.state == "disconnected":
            log.debug("%s has taken over its session", client_id)
            client_session.transitions.connect()


class _Broker(Broker):  # type: ignore[misc] # amqtt publishes no types
    """amqtt's broker, which left to itself sends whoever connects what is retained for the subscriptions of all."""

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        subscribers = self._subscriptions.get(subscription[0], [])
        if any(known.client_id == session.client_id for known, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)


class _Reader(StreamReaderAdapter):  # type: ignore[misc] # amqtt publishes no types
    """What a client says. One that connects and says nothing gives its place to another before long."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._first_reads = _CONNECT_READS

    async def read(self, n: int = -1) -> bytes:
        """The next bytes. Raises TimeoutError (an OSError) where the CONNECT does not come."""
        if self._first_reads:
            self._first_reads -= 1
            async with asyncio.timeout(CONNECT_PATIENCE_S):
                found: bytes = await super().read(n)
            return found
        later: bytes = await super().read(n)
        return later


class EmbeddedBroker:
    """A broker on host and port, from `async with` to its end. Port 0 takes a free one; `port` is then the real one."""

    def __init__(self, host: str, port: int, *, password_file: Path | None = None) -> None:
        """`password_file` holds lines `username:hash` (argon2); without it everybody is admitted."""
        self.port = port
        self._host = host
        self._password_file = password_file
        self._broker: _Broker | None = None
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        """Listen. Raises OSError where that address cannot be had."""
        # amqtt tells of every packet and client; what matters is said by those who use it.
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        plugins: dict[str, dict[str, Any]] = {
            f"{SessionKeeper.__module__}.{SessionKeeper.__qualname__}": {"admits_guests": self._password_file is None}
        }
        if self._password_file is not None:
            plugins["amqtt.plugins.authentication.FileAuthPlugin"] = {"password_file": str(self._password_file)}
        self._server = await asyncio.start_server(self._accept, self._host, self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]
        self._broker = _Broker(
            BrokerConfig(
                listeners={_LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
                session_expiry_interval=SESSION_EXPIRY_S,
                plugins=plugins,
            )
        )
        await self._broker.start()
        log.info("embedded broker listens on %s:%d", self._host, self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is None or self._broker is None:
            return
        self._server.close()
        # The links end first, so that amqtt's readers find their end by themselves: told to stop in the midst of a
        # packet, a reader may miss it (asyncio.wait_for before Python 3.12), and amqtt would wait for it for ever.
        links = dict(self._links)
        for writer in links.values():
            writer.transport.abort()
        if links:
            await asyncio.wait(links, timeout=_LINKS_END_S)
        await self._broker.shutdown()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""
        task = asyncio.current_task()
        if self._broker is None or task is None or len(self._links) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._links[task] = writer
        try:
            _let_the_kernel_ask(writer.get_extra_info("socket"))
            await self._broker.external_connected(_Reader(reader), StreamWriterAdapter(writer), _LISTENER)
        except (OSError, RuntimeError) as error:
            # The peer left in the middle of a handshake, or amqtt met a subscription that came or went while it walked
            # over all of them: this connection ends and its client makes a new one.
            log.debug("a connection ends early: %s", error)
        finally:
            del self._links[task]
            writer.close()


def _let_the_kernel_ask(sock: socket.socket) -> None:
    """Find peers that have vanished: the connection ends when they answer no probe for a minute."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KERNEL_KEEP_ALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def run_alone(host: str, port: int, password_file: Path | None = None) -> None:
    """Be a broker and nothing else until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with EmbeddedBroker(host, port, password_file=password_file):
        await stop.wait()
