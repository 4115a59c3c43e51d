"""The Subscriber for MQTT 3.1.1: paho-mqtt with manual acknowledgement, its socket driven by our event loop.

MQTT 3.1.1 has no receive maximum, so back-pressure is TCP's: while `receive_maximum` messages are unacknowledged the
socket is not read. The session outlives the connection, so what was not acknowledged comes again, unless the broker
gave up on it (amqtt does after five seconds); then the device sends it again.
"""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from pledgewatch_cloud.ingest.lifecycle import QueueingSubscriber
from pledgewatch_cloud.ingest.subscriber import OUTGOING_MAX, BrokerAddress, Message, asking_client_id
from pledgewatch_wire.backoff import jittered_backoff

log = logging.getLogger(__name__)

CONNECT_PATIENCE_S = 10
_HOUSEKEEPING_S = 0.5
_REFUSED_FROM = 128
_READS_MAX = 100  # packets in one turn of the event loop; others have theirs


class PahoSubscriber(QueueingSubscriber):
    """See pledgewatch_cloud.ingest.subscriber.Subscriber for the contract."""

    _TASK = "paho"

    def __init__(self, address: BrokerAddress, filters: Sequence[str], random: Random, *, after_token: int = 0) -> None:
        """See QueueingSubscriber."""
        super().__init__(address, filters, random, after_token=after_token)
        self._subscribed = False
        self._ended = asyncio.Event()
        self._why = ""
        self._reading: Callable[[], None] | None = None
        self._client: paho.Client | None = None

    @property
    def connected(self) -> bool:
        """Whether the subscription stands."""
        return self._subscribed

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """See Subscriber."""
        if self._client is None:
            return
        for _, _, packet_id, qos in self._settle(messages):
            self._client.ack(packet_id, qos)
        self._read_if_room()

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """See Subscriber."""
        client = self._client
        if client is None or not self._subscribed:
            return False
        # paho refuses by itself, with ERR_QUEUE_SIZE, what would exceed OUTGOING_MAX.
        said = client.publish(topic, payload, qos=1, retain=retain)
        if said.rc != paho.MQTT_ERR_SUCCESS:
            return False
        self.counts.published += 1
        return True

    async def _keep(self) -> None:
        """Connect, again and again. Says once that the broker is away and once that it is back."""
        attempt, away = 0, False
        while True:
            self._ended.clear()
            self._why = "the connection is lost"
            try:
                await self._connection(was_away=away)
            except OSError as error:
                self._why = str(error)
            if self._subscribed:
                attempt, away, self._subscribed = 0, False, False
            if not away:
                log.warning("the broker at %s:%d is away: %s", self._address.host, self._address.port, self._why)
            away = True
            await asyncio.sleep(jittered_backoff(attempt, maximum_s=self._address.reconnect_max_s, random=self._random))
            attempt += 1

    async def _connection(self, *, was_away: bool) -> None:
        """One connection, from its beginning to its end."""
        client = self._make_client(was_away=was_away)
        self._forget()
        try:
            self._client = client
            await asyncio.to_thread(
                client.connect, self._address.host, self._address.port, keepalive=self._address.keep_alive_s
            )
            self._drive(client)
            while not self._ended.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_HOUSEKEEPING_S):
                        await self._ended.wait()
                if client.loop_misc() != paho.MQTT_ERR_SUCCESS:
                    self._ended.set()
        finally:
            self._client = None
            self._reading = None
            _let_go(client)

    def _make_client(self, *, was_away: bool) -> paho.Client:
        address = self._address
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=address.client_id,
            clean_session=False,
            protocol=paho.MQTTv311,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_PATIENCE_S
        client.max_queued_messages_set(OUTGOING_MAX)
        client.max_inflight_messages_set(OUTGOING_MAX)
        if address.username is not None:
            client.username_pw_set(address.username, address.password())
        tls = address.tls()
        if tls is not None:
            client.tls_set_context(tls)

        def on_connect(_: paho.Client, __: Any, flags: Any, reason: Any, ___: Any) -> None:
            if reason.is_failure:
                self._why = f"it says {reason}"
                self._ended.set()
                return
            if self.counts.connections and not flags.session_present:
                log.warning("the broker has forgotten our session: devices send again what it may have lost")
            self.counts.connections += 1
            client.subscribe([(one, 1) for one in self._filters])

        def on_subscribe(_: paho.Client, __: Any, ___: int, reasons: list[Any], ____: Any) -> None:
            if any(one.value >= _REFUSED_FROM for one in reasons):
                self._why = "it does not grant the subscription"
                self._ended.set()
                return
            self._subscribed = True
            if was_away:
                log.info("the broker is back")

        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = lambda *_: self._ended.set()
        return client

    def _drive(self, client: paho.Client) -> None:
        """Let the event loop say when the socket can be read and written."""
        loop = asyncio.get_running_loop()
        sock = client.socket()
        if sock is None:
            self._ended.set()
            return
        descriptor = sock.fileno()

        def write() -> None:
            if client.loop_write() != paho.MQTT_ERR_SUCCESS:
                self._ended.set()
            if not client.want_write():
                loop.remove_writer(descriptor)

        def end_writing(*_: Any) -> None:
            with contextlib.suppress(ValueError):
                loop.remove_writer(descriptor)

        def end(*_: Any) -> None:
            self._reading = None  # the descriptor may be somebody else's by the time there is room again
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)

        self._reading = lambda: self._watch(client, descriptor)
        client.on_socket_register_write = lambda *_: loop.add_writer(descriptor, write)
        client.on_socket_unregister_write = end_writing
        client.on_socket_close = end
        self._reading()
        if client.want_write():
            loop.add_writer(descriptor, write)

    def _watch(self, client: paho.Client, descriptor: int) -> None:
        """Read when the socket can be read, and once soon: TLS may hold bytes that the socket no longer tells of."""
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, self._read, client, descriptor)
        loop.call_soon(self._read, client, descriptor)

    def _read(self, client: paho.Client, descriptor: int) -> None:
        """Take what has come, packet by packet, until there is no more or no more room."""
        loop = asyncio.get_running_loop()
        for _ in range(_READS_MAX):
            if self._client is not client or client.socket() is None:
                return
            if self._holds(self._address.receive_maximum):
                loop.remove_reader(descriptor)
                return
            before = self.counts.received
            if client.loop_read() != paho.MQTT_ERR_SUCCESS:
                loop.remove_reader(descriptor)
                self._ended.set()
                return
            if self.counts.received == before and not _is_pending(client):
                return
        loop.call_soon(self._read, client, descriptor)

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        said = Message(message.topic, bytes(message.payload), message.retain, self._token + 1, time.monotonic())
        if message.qos:
            self._hold(said, message.mid, message.qos)
        else:
            self._hold(said)

    def _read_if_room(self) -> None:
        if self._reading is not None and not self._holds(self._address.receive_maximum):
            self._reading()


async def greeted_by_311(address: BrokerAddress) -> str:
    """Why the broker there does not let us in by 3.1.1, empty where it does. Raises OSError where there is none."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=asking_client_id(address.client_id),
        clean_session=True,
        protocol=paho.MQTTv311,
    )
    client.connect_timeout = CONNECT_PATIENCE_S
    if address.username is not None:
        client.username_pw_set(address.username, address.password())
    if (tls := address.tls()) is not None:
        client.tls_set_context(tls)
    said: list[str] = []
    client.on_connect = lambda _, __, ___, reason, ____: said.append(str(reason) if reason.is_failure else "")
    client.on_disconnect = lambda *_: said.append("it closes the connection")

    def ask() -> str:
        client.connect(address.host, address.port, keepalive=address.keep_alive_s)
        try:
            deadline_s = time.monotonic() + CONNECT_PATIENCE_S
            while not said and time.monotonic() < deadline_s:
                client.loop(timeout=_HOUSEKEEPING_S)
        finally:
            _let_go(client)
        return said[0] if said else "it says nothing"

    return await asyncio.to_thread(ask)


def _is_pending(client: paho.Client) -> bool:
    """Whether TLS has decrypted bytes that nobody has read yet."""
    sock = client.socket()
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def _let_go(client: paho.Client) -> None:
    """Say goodbye if anybody listens, and close the socket."""
    client.on_disconnect = None
    with contextlib.suppress(OSError, ValueError):
        client.disconnect()
        client.loop_write()
    sock = client.socket()
    if sock is not None:
        with contextlib.suppress(RuntimeError):  # a thread of its own has no loop, and watches nothing
            loop = asyncio.get_running_loop()
            loop.remove_reader(sock.fileno())
            loop.remove_writer(sock.fileno())
        sock.close()
