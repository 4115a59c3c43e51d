"""A connection to the broker: MQTT 5 where it can be had, 3.1.1 where not.

A broker that does not speak MQTT 5 may say so, close, or say nothing at all (amqtt reads the longer header as the
beginning of a name and waits for the rest of it). So with `protocol = "auto"` a connection that MQTT 5 does not bring
about within V5_PATIENCE_S is tried once more with 3.1.1, at once; if that succeeds and MQTT 5 never has, this process
keeps to 3.1.1. Both give the agent what it needs: QoS 1, a persistent session, a last will.

The session never ends, with 5 as with 3.1.1. One that ends is what Mosquitto before 2.1 may die of: told to read its
lists again while the client is away, it notes twice when the session ends, frees the session when the client is back,
and looks at it once more (docs/DEVICES.md). What waits in a session is little: what the cloud has said since.

aiomqtt leaves some ends loose when a connection does not come about: it does not notice that the broker has closed, its
socket stays open, and its thread may still be connecting when the task is cancelled. They are tied up here.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from pledgewatch_edge.clock import RELEASED_MS, AgentClock, system_ms
from pledgewatch_edge.config import BrokerSettings
from pledgewatch_edge.identity import StateError
from pledgewatch_edge.tls import Shown, client_context, is_of_time, why_not
from pledgewatch_wire.mqtt_settings import MqttProtocol
from pledgewatch_wire.named_file import read_named_text

PUBLISHES_MAX: Final = 16  # publishes that wait for their PUBACK at the same time
V5_PATIENCE_S: Final = 3.0
PATIENCE_S: Final = 10.0
GOODBYE_S: Final = 2.0
REFUSAL_S: Final = 0.1
THREAD_S: Final = 6.0  # paho gives up on a TCP connection after 5
NEVER_S: Final = 0xFFFF_FFFF  # as MQTT 5 has it
_INCOMING_MAX: Final = 64
_UNSUPPORTED_PROTOCOL_CODES: Final = (1, 0x84)  # in a CONNACK of 3.1.1, of 5
_NOT_AUTHORIZED: Final = 0x87  # in a PUBACK of 5
_NOT_LET_IN: Final = (
    4,
    5,
    0x86,
    0x87,
    0x8A,
    0x8C,
)  # user or password, not authorized, banned: in a CONNACK of 3.1.1, of 5
_VERSIONS: Final = {MqttProtocol.V5: aiomqtt.ProtocolVersion.V5, MqttProtocol.V311: aiomqtt.ProtocolVersion.V311}
log = logging.getLogger(__name__)
library_log = logging.getLogger(f"{__name__}.library")
# What becomes of a connection is said once by whoever owns it, and not at each try.
library_log.addFilter(lambda record: not str(record.msg).startswith("failed to receive on socket"))


class RefusedError(aiomqtt.MqttError):
    """The broker understood who we are, and does not let us in; the text says why."""


class DoubtError(aiomqtt.MqttError):
    """The broker shows a certificate that we do not believe; the text says why. `is_of_time`: for what time it is."""

    def __init__(self, text: str, *, is_of_time: bool) -> None:
        super().__init__(text)
        self.is_of_time = is_of_time


class Connector:
    """Opens connections to one broker under one client id, and remembers which protocol it speaks. `shown` is what it
    shows of itself, where it does."""

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        shown: Shown | None = None,
        *,
        now_ms: Callable[[], int] = system_ms,
        clock: AgentClock | None = None,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._shown = shown
        self._now_ms = now_ms
        self._clock = clock
        self._refusal: str | None = None  # of the connection that is being opened
        self._doubt: DoubtError | None = None  # why the broker is not believed, of the same
        self._is_denied = False  # what the latest connection has published was not taken
        self._has_said_timeless = self._has_said_apart = False
        self._only: MqttProtocol | None = None if settings.protocol == MqttProtocol.AUTO else settings.protocol
        self._has_spoken_5 = False
        self.protocol: MqttProtocol | None = None  # of the latest connection

    @contextlib.asynccontextmanager
    async def connect(self, will: aiomqtt.Will, shown: Shown | None = None) -> AsyncIterator[aiomqtt.Client]:
        """A connected client; `shown` is what it shows of itself this time, where that is another. Raises
        aiomqtt.MqttError where there is none to be had, or when it is lost; RefusedError where we are not let in."""
        client = await self._open(will, shown or self._shown)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_exit(client.__aexit__)
            try:
                yield client
            finally:
                client.timeout = GOODBYE_S

    def require_heard(self) -> None:
        """Raise RefusedError where the broker has taken nothing of what the latest connection said, for it may not say
        it. MQTT 3.1.1 has no word for that."""
        if self._is_denied:
            raise RefusedError("it may say nothing under its topics any more")

    async def _open(self, will: aiomqtt.Will, shown: Shown | None) -> aiomqtt.Client:
        if self._only is not None:
            return await self._open_with(self._only, will, PATIENCE_S, shown)
        try:
            client = await self._open_with(MqttProtocol.V5, will, V5_PATIENCE_S, shown)
        except RefusedError:
            raise
        except aiomqtt.MqttError as error:
            if isinstance(error, aiomqtt.MqttCodeError) and not _is_unsupported(error):
                raise  # it understood us and does not want us
        else:
            self._has_spoken_5 = True
            return client
        client = await self._open_with(MqttProtocol.V311, will, PATIENCE_S, shown)
        if not self._has_spoken_5:  # else it was the link
            self._only = MqttProtocol.V311
            log.info("broker speaks no MQTT 5, keeping to 3.1.1")
        return client

    async def _open_with(
        self, protocol: MqttProtocol, will: aiomqtt.Will, patience_s: float, shown: Shown | None
    ) -> aiomqtt.Client:
        self._refusal, self._doubt, self._is_denied = None, None, False
        try:
            return await self._opened(self._client(protocol, will, patience_s, await self._tls(shown)), protocol)
        except aiomqtt.MqttError as error:
            if self._refusal is not None:
                raise RefusedError(self._refusal) from error
            if self._doubt is not None:
                raise self._doubt from error
            if isinstance(error, aiomqtt.MqttCodeError) and getattr(error.rc, "value", error.rc) in _NOT_LET_IN:
                raise RefusedError(f"it may not connect ({error})") from error
            raise

    async def _tls(self, shown: Shown | None) -> ssl.SSLContext | None:
        """How to speak TLS; None where it is not spoken. Made anew for each connection, as its files may be new."""
        ca_file = (shown and shown.ca_file) or self._settings.ca_file
        if ca_file is None:
            return None
        judges_time = self._now_ms() >= RELEASED_MS
        judged_at = self._clock.judged_at() if self._clock else ()
        if judged_at and self._clock and not self._has_said_apart:
            self._has_said_apart = True
            log.warning("%s, so the broker's certificate is judged by that too", self._clock.apart())
        if not judges_time and not judged_at and not self._has_said_timeless:
            self._has_said_timeless = True
            log.warning("this computer's clock is not set, so the broker's certificate is not judged by time")
        try:
            return await asyncio.to_thread(
                client_context,
                ca_file=ca_file,
                shown=shown,
                judges_time=judges_time,
                judged_at=judged_at,
                on_refusal=self._note_refusal,
                on_doubt=self._note_doubt,
            )
        except ssl.SSLError as error:
            raise aiomqtt.MqttError(f"the certificates for the broker cannot be used: {error}") from error
        except OSError as error:
            named = error.filename or "a certificate or key for the broker"  # ssl does not say which
            raise aiomqtt.MqttError(f"{named} cannot be read: {error.strerror}") from error
        except StateError as error:
            raise aiomqtt.MqttError(str(error)) from error

    def _note_refusal(self, why: str) -> None:
        self._refusal = why

    def _note_doubt(self, error: ssl.SSLCertVerificationError) -> None:
        apart = self._clock.apart() if self._clock else ""
        more = f" ({apart})" if apart else ""
        why = f"{error.verify_message}: {why_not(error)}{more}"
        text = f"the broker's certificate cannot be believed: {why}"
        self._doubt = DoubtError(text, is_of_time=is_of_time(error))

    def _heed_denials(self, client: aiomqtt.Client) -> None:
        """Note that a publication was denied, which aiomqtt does not tell."""
        paho = client._client  # noqa: SLF001 - aiomqtt shows its callbacks nowhere else
        on_publish: Any = paho.on_publish

        def noted(one: Any, userdata: Any, number: int, code: Any, properties: Any) -> None:
            self._is_denied |= getattr(code, "value", code) == _NOT_AUTHORIZED
            on_publish(one, userdata, number, code, properties)

        paho.on_publish = noted

    async def _opened(self, client: aiomqtt.Client, protocol: MqttProtocol) -> aiomqtt.Client:
        self._heed_denials(client)
        closed = _watch(client)
        opening = asyncio.ensure_future(client.__aenter__())
        closing = asyncio.ensure_future(closed.wait())
        try:
            await asyncio.wait([opening, closing], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([opening], timeout=REFUSAL_S)  # a refusal may have come just before the end
            if not opening.done():
                raise aiomqtt.MqttError("the broker closed the connection before it answered")
            opening.result()
        except asyncio.CancelledError:
            await asyncio.wait([opening], timeout=THREAD_S)
            raise
        except aiomqtt.MqttCodeError as error:
            if _is_unsupported(error) and self._settings.protocol == MqttProtocol.AUTO:
                self._only = None  # another broker stands there now
            raise
        finally:
            closing.cancel()
            if not opening.done() or opening.cancelled() or opening.exception() is not None:
                opening.cancel()
                _close_socket(client)
        client.timeout = max(PATIENCE_S, 1.5 * self._settings.keep_alive_s)
        client.pending_calls_threshold = 2 * PUBLISHES_MAX
        self.protocol = protocol
        return client

    def _client(
        self, protocol: MqttProtocol, will: aiomqtt.Will, patience_s: float, tls: ssl.SSLContext | None
    ) -> aiomqtt.Client:
        settings = self._settings
        is_5 = protocol == MqttProtocol.V5
        return aiomqtt.Client(
            settings.host,
            settings.port,
            username=settings.username,
            password=self._password(),
            identifier=self._client_id,
            protocol=_VERSIONS[protocol],
            will=will,
            clean_session=None if is_5 else False,
            clean_start=False if is_5 else MQTT_CLEAN_START_FIRST_ONLY,  # the value that 3.1.1 asks for
            timeout=patience_s,
            keepalive=settings.keep_alive_s,
            max_queued_incoming_messages=_INCOMING_MAX,
            max_queued_outgoing_messages=2 * PUBLISHES_MAX,
            max_inflight_messages=PUBLISHES_MAX,
            properties=_properties() if is_5 else None,
            tls_context=tls,
            logger=library_log,
        )

    def _password(self) -> str | None:
        path = self._settings.password_file
        if path is None:
            return None
        try:
            return read_named_text(path).rstrip("\r\n")
        except OSError as error:
            raise aiomqtt.MqttError(f"{path}: {error.strerror}") from error


def heed_cancellation() -> None:
    """Raise a cancellation that aiomqtt has swallowed: it waits by wait_for, which up to Python 3.11 may do that."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _is_unsupported(error: aiomqtt.MqttCodeError) -> bool:
    code = getattr(error.rc, "value", error.rc)
    return code in _UNSUPPORTED_PROTOCOL_CODES


def _properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has left it untyped
    properties.SessionExpiryInterval = NEVER_S
    properties.ReceiveMaximum = _INCOMING_MAX
    return properties


def _watch(client: aiomqtt.Client) -> asyncio.Event:
    """An event that is set when the socket is closed. aiomqtt waits for a CONNACK even then, until its time is up."""
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    paho = client._client  # noqa: SLF001 - aiomqtt shows its callbacks nowhere else
    on_close = paho.on_socket_close
    assert on_close is not None

    def on_socket_close(*arguments: Any) -> None:
        on_close(*arguments)
        loop.call_soon_threadsafe(closed.set)

    paho.on_socket_close = on_socket_close
    return closed


def _close_socket(client: aiomqtt.Client) -> None:
    """Close what a connection that did not come about has left open."""
    client._client.disconnect()  # noqa: SLF001 - aiomqtt forgets the socket and offers no other way to it
