"""An endpoint that is a topic of an MQTT broker: CloudEvents in structured JSON, QoS 1, MQTT 5 or 3.1.1.

A message counts as taken when the broker has said PUBACK. That is the broker's word and not the reader's: whoever needs
the proof that a message was acted on uses a webhook. MQTT carries no signature; the broker admits and TLS proves.

paho-mqtt works in a thread of its own. Whatever goes wrong ends the connection and with it everything that paho would
send again by itself: a message that was given up here may have been withdrawn when it would go. Where the broker says
with MQTT 5 that it does not want a message, the message waits for its next attempt.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from pledgewatch_cloud.journal.outbox import OutboxMessage
from pledgewatch_cloud.outbox.addresses import ForbiddenAddressError, look_up
from pledgewatch_cloud.outbox.aside import aside
from pledgewatch_cloud.outbox.endpoint import WITHDRAWN, Answer, Attempt, Failure, IsWithdrawn
from pledgewatch_cloud.outbox.webhook import CONTENT_TYPE, Tls

TOPIC = "pw/1/bank/{endpoint}/{facility}"
_KEEP_ALIVE_S = 30
_LET_GO_S = 2.0
_REFUSED_FROM = 128


class MqttPlace(NamedTuple):
    """Where an MQTT endpoint's broker is, and who we are there. `tls` None: in the clear."""

    host: str
    port: int
    topic: str
    client_id: str
    is_v5: bool = True
    username: str = ""
    password: str = ""
    tls: Tls | None = None


class MqttTopic:
    """An Endpoint behind a broker. Connects when there is something to say. Use as an async context manager."""

    def __init__(self, endpoint: str, place: MqttPlace, *, timeout_s: float, allow_private: bool) -> None:
        """Raises OSError where a file of `place.tls` cannot be used."""
        self._topic = place.topic.replace("{endpoint}", endpoint)
        self._place = place
        self._timeout_s = timeout_s
        self._allow_private = allow_private
        self._context = None if place.tls is None else place.tls.context()
        self._connecting = asyncio.Lock()
        self._link: _Link | None = None
        self._ends: set[asyncio.Task[None]] = set()  # links that are being let go of

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._link is not None:
            self._link.end("this service ends")
        if self._ends:
            await asyncio.wait(self._ends, timeout=_LET_GO_S)

    async def deliver(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> Attempt:
        """See Endpoint."""
        link: _Link | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                link = await self._connected()
                if is_withdrawn():
                    return WITHDRAWN
                code = await link.publish(self._topic.replace("{facility}", message.facility), message.body)
        except TimeoutError:
            if link is not None:
                link.end("a message was not answered in time")
            text = f"no answer of the broker within {self._timeout_s:g} s"
            return Attempt(Answer.LATER, text, failure=Failure.TIMEOUT)
        except ForbiddenAddressError as error:
            return Attempt(Answer.LATER, str(error), failure=Failure.FORBIDDEN_ADDRESS)
        except OSError as error:
            return Attempt(Answer.LATER, str(error)[:200] or type(error).__name__, failure=Failure.CONNECTION)
        if code >= _REFUSED_FROM:
            return Attempt(Answer.LATER, f"the broker says {code}", failure=Failure.CLIENT_ERROR, status=code)
        return Attempt(Answer.TAKEN, status=code)

    async def _connected(self) -> "_Link":
        async with self._connecting:
            if self._link is None or self._link.has_ended:
                link = _Link(self._place, self._context, self._ends, allow_private=self._allow_private)
                try:
                    await link.begin(self._timeout_s)
                except BaseException:
                    link.end("it did not come about")
                    raise
                self._link = link
            return self._link


class _Link:
    """One connection. What it waits for is settled on the event loop, whatever paho's thread does meanwhile."""

    def __init__(
        self, place: MqttPlace, context: ssl.SSLContext | None, ends: set[asyncio.Task[None]], *, allow_private: bool
    ) -> None:
        self.has_ended = False
        self._ends = ends
        self._place = place
        self._loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[None] = self._loop.create_future()
        self._waiting: dict[int, asyncio.Future[int]] = {}
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=place.client_id,
            protocol=paho.MQTTv5 if place.is_v5 else paho.MQTTv311,
            clean_session=None if place.is_v5 else True,
            reconnect_on_failure=False,
        )
        client.allow_private = allow_private
        if place.username:
            client.username_pw_set(place.username, place.password)
        if context is not None:
            client.tls_set_context(context)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        self._client = client

    async def begin(self, timeout_s: float) -> None:
        """Until the broker has let us in. Raises OSError."""
        self._client.connect_timeout = timeout_s
        await aside(self._connect)
        self._client.loop_start()
        await self._greeted

    def _connect(self) -> None:
        self._client.connect(self._place.host, self._place.port, keepalive=_KEEP_ALIVE_S)
        if self.has_ended:  # nobody waited so long
            self._client.let_go()

    async def publish(self, topic: str, body: bytes) -> int:
        """The broker's reason code; 0 is well. Raises OSError where the connection is lost."""
        properties = None
        if self._place.is_v5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's own gap
            properties.ContentType = CONTENT_TYPE
        said = self._client.publish(topic, body, qos=1, properties=properties)
        if said.rc != paho.MQTT_ERR_SUCCESS:
            raise ConnectionError(paho.error_string(said.rc))
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting[said.mid] = future
        try:
            return await future
        finally:
            self._waiting.pop(said.mid, None)

    def end(self, why: str) -> None:
        """Let go of the connection; whoever waits for an answer is told."""
        if self.has_ended:
            return
        self.has_ended = True
        waiting: list[asyncio.Future[Any]] = [self._greeted, *self._waiting.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(ConnectionError(why))
        if self._greeted.done() and not self._greeted.cancelled():
            self._greeted.exception()  # it may be that nobody came to wait for it
        task = asyncio.create_task(aside(self._client.let_go), name="let go of a broker")
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    def _settle(self, call: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    def _on_connect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        if reason.is_failure:
            self._settle(self.end, f"the broker says {reason}")
        else:
            self._settle(self._greet)

    def _greet(self) -> None:
        if not self._greeted.done():
            self._greeted.set_result(None)

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        self._settle(self.end, f"the connection to the broker is lost: {reason}")

    def _on_publish(self, _: Any, __: Any, mid: int, reason: Any, ___: Any) -> None:
        self._settle(self._answered, mid, int(reason.value))

    def _answered(self, mid: int, code: int) -> None:
        future = self._waiting.get(mid)
        if future is not None and not future.done():
            future.set_result(code)


class _Client(paho.Client):
    """paho's client, connecting to an address that was judged, and letting go of all of its sockets."""

    allow_private = False

    def let_go(self) -> None:
        """Say goodbye if anybody listens, end the thread, and close what it spoke and was woken by."""
        self.disconnect()
        self.loop_stop()
        self._reset_sockets()

    def _create_socket_connection(self) -> socket.socket:
        last: OSError = ConnectionError("no address")
        for address in look_up(self._host, self._port, allow_private=self.allow_private):
            try:
                return socket.create_connection((address, self._port), timeout=self._connect_timeout)
            except OSError as error:
                last = error
        raise last
