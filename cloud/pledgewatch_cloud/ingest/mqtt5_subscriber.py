"""The Subscriber for MQTT 5: the `mqtt5` package reads and writes packets, this file moves the bytes.

Back-pressure is the protocol's own: the broker may have `receive_maximum` messages unacknowledged with us and sends no
more. Where it sends more all the same (Mosquitto does, taking a session up again), twice as many, or bytes beyond their
bound, are read no further. PUBACKs go out in the order in which the messages came (MQTT 5.0, 4.6), many in one write.
The session outlives the connection, so what was not acknowledged comes again.
"""

import asyncio
import contextlib
import logging
import struct
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any

import mqtt5

from pledgewatch_cloud.ingest.lifecycle import QueueingSubscriber
from pledgewatch_cloud.ingest.subscriber import (
    OUTGOING_MAX,
    BrokerAddress,
    Message,
    asking_client_id,
)
from pledgewatch_wire.backoff import jittered_backoff

log = logging.getLogger(__name__)

CONNECT_PATIENCE_S = 10.0
PROBE_PATIENCE_S = 3.0
UNANSWERED_MEAN_MISFIT = 2  # tries in a row that reached somebody
PACKET_MAX_BYTES = 1024 * 1024  # a payload has at most a quarter of it; of longer packets the rest is passed over
TOPIC_ALIASES_MAX = 65_535
_HIGHEST_PACKET_ID = 65_535
_TAKEN = (mqtt5.PubAckReasonCode.SUCCESS, mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS)  # MQTT 5.0, 3.4.2.1
_PUBACK = 0x4002
_PUBLISH = 3
_LONGEST_HEAD = 5
_ANSWERS_MAX = 16  # a broker that answers what nobody asked is not listened to for long


class RefusedError(Exception):
    """The broker does not want us. `speaks_mqtt5` is False where it gave no answer in MQTT 5 at all."""

    def __init__(self, text: str, *, speaks_mqtt5: bool) -> None:
        super().__init__(text)
        self.speaks_mqtt5 = speaks_mqtt5


class Mqtt5Subscriber(QueueingSubscriber):
    """See pledgewatch_cloud.ingest.subscriber.Subscriber for the contract."""

    _TASK = "mqtt5"

    def __init__(self, address: BrokerAddress, filters: Sequence[str], random: Random, *, after_token: int = 0) -> None:
        """See QueueingSubscriber. `misfit` is set when nobody there has answered in MQTT 5 for some time."""
        super().__init__(address, filters, random, after_token=after_token)
        self.misfit = asyncio.Event()
        self._outgoing: dict[int, mqtt5.PublishPacket] = {}
        self._packet_id = 0
        self._link: _Link | None = None

    @property
    def connected(self) -> bool:
        """Whether the subscription stands."""
        return self._link is not None and self._link.subscribed

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """See Subscriber."""
        if self._link is None:
            return
        ids = [packet_id for _, _, packet_id in self._settle(messages)]
        # Success without properties: 40 02 and the packet id (MQTT 5.0, 3.4).
        self._link.write(struct.pack(f">{2 * len(ids)}H", *(half for one in ids for half in (_PUBACK, one))))
        self._read_if_room()

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """See Subscriber."""
        link = self._link
        if link is None or len(self._outgoing) >= min(OUTGOING_MAX, link.server_receive_maximum):
            return False
        packet_id = self._free_packet_id()
        packet = mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=retain, packet_id=packet_id)
        self._outgoing[packet_id] = packet
        link.write(packet.write())
        self.counts.published += 1
        return True

    async def _keep(self) -> None:
        """Connect, again and again. Says once that the broker is away and once that it is back."""
        attempt, away, unanswered = 0, False, 0
        while True:
            try:
                async with asyncio.timeout(CONNECT_PATIENCE_S):
                    link = await self._open()
                unanswered = 0
                if away:
                    log.info("the broker is back")
                attempt, away = 0, False
                await self._serve(link)
            except (OSError, RefusedError) as error:
                if not away:
                    log.warning("the broker at %s:%d is away: %s", self._address.host, self._address.port, error)
                away = True
                unanswered += not isinstance(error, ConnectionRefusedError)
                if unanswered >= UNANSWERED_MEAN_MISFIT:
                    self.misfit.set()
            await asyncio.sleep(jittered_backoff(attempt, maximum_s=self._address.reconnect_max_s, random=self._random))
            attempt += 1

    def _read_if_room(self) -> None:
        if self._link is not None and not self._holds(self._address.receive_maximum):
            self._link.read_on()

    async def _open(self) -> "_Link":
        """A connection with the subscription granted. Raises OSError or RefusedError."""
        address = self._address
        # What the connection before held comes again, perhaps together with the broker's first answer.
        self._forget()
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: _Link(self._arrived), address.host, address.port, ssl=address.tls()
        )
        try:
            password = address.password()
            link.write(
                mqtt5.ConnectPacket(
                    address.client_id,
                    username=address.username,
                    password=None if password is None else password.encode(),
                    clean_start=False,
                    keep_alive=address.keep_alive_s,
                    session_expiry_interval=address.session_expiry_s,
                    receive_max=address.receive_maximum,
                    topic_alias_max=TOPIC_ALIASES_MAX,
                ).write()
            )
            connack = await link.answer(mqtt5.ConnAckPacket)
            _check_accepted(connack)
            self._begin(link, connack)
            topic_filters = [mqtt5.TopicFilter(one, max_qos=mqtt5.QoS.AT_LEAST_ONCE) for one in self._filters]
            link.write(mqtt5.SubscribePacket(self._free_packet_id(), topic_filters).write())
            suback = await link.answer(mqtt5.SubAckPacket)
            _check_granted(suback)
            link.subscribed = True
        except BaseException:
            self._link = None
            link.abort()
            raise
        return link

    def _begin(self, link: "_Link", connack: mqtt5.ConnAckPacket) -> None:
        """Take up the session, or begin a new one. Send again what the broker may not have had from us."""
        self._link = link
        link.server_receive_maximum = connack.receive_max
        if not connack.session_present:
            self._outgoing.clear()
            if self.counts.connections:
                log.warning("the broker has forgotten our session: devices send again what it may have lost")
        for packet in self._outgoing.values():
            link.write(_repeated(packet).write())
        self.counts.connections += 1

    async def _serve(self, link: "_Link") -> None:
        """Keep the link alive until it is lost (RefusedError), or until cancelled."""
        try:
            await link.keep_alive(self._address.keep_alive_s)
            await link.answer(_Nothing)
        except asyncio.CancelledError:
            link.write(mqtt5.DisconnectPacket().write())
            raise
        finally:
            self._link = None
            link.close()

    def _arrived(self, link: "_Link", packet: Any) -> None:
        """A packet from the broker that is no answer to a question."""
        if isinstance(packet, mqtt5.PublishPacket):
            alias = packet.topic_alias
            topic = packet.topic if alias is None else link.aliased(alias, packet.topic)
            message = Message(topic, packet.payload, packet.retain, self._token + 1, link.heard_at)
            packet_id = packet.packet_id
            if packet_id is None:
                self._hold(message)
            else:
                self._hold(message, packet_id)
            if self._holds(2 * self._address.receive_maximum):
                link.read_no_more()
        elif isinstance(packet, mqtt5.PubAckPacket):
            sent = self._outgoing.pop(packet.packet_id, None)
            if sent is not None and packet.reason_code not in _TAKEN:
                if not self.counts.refused:
                    log.warning("the broker does not let us publish to %s: %s", sent.topic, packet.reason_code.name)
                self.counts.refused += 1

    def _free_packet_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % _HIGHEST_PACKET_ID + 1
            if self._packet_id not in self._outgoing:
                return self._packet_id


class _Nothing:
    """What a broker answers that was asked nothing."""


class _Link(asyncio.Protocol):
    """One connection: bytes in, packets out, and whether anybody is still there."""

    def __init__(self, arrived: Any) -> None:
        self.server_receive_maximum = _HIGHEST_PACKET_ID
        self._arrived = arrived
        self._buffer = bytearray()
        self._passing_over = 0  # bytes still to come of a packet that is too long
        self._transport: asyncio.Transport | None = None
        self._answers: deque[Any] = deque(maxlen=_ANSWERS_MAX)
        self._answered = asyncio.Event()
        self._lost = asyncio.Event()
        self.heard_at = asyncio.get_running_loop().time()
        self._paused = False
        self._aliases: dict[int, str] = {}  # at most TOPIC_ALIASES_MAX, which is all that two bytes can say
        self.subscribed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._lost.set()
        self._answer_with(exc or ConnectionResetError("the broker closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Cut packets out of the stream. What is none ends the connection."""
        self.heard_at = asyncio.get_running_loop().time()
        if self._passing_over:
            passed = min(self._passing_over, len(data))
            self._passing_over -= passed
            data = data[passed:]
        self._buffer += data
        self._shorten()
        place = 0
        with memoryview(self._buffer) as view:
            while True:
                try:
                    with view[place:] as rest:
                        packet, length = mqtt5.read(rest)
                except IndexError:
                    break
                except ValueError as error:
                    self._answer_with(RefusedError(f"it does not speak MQTT 5: {error}", speaks_mqtt5=False))
                    self.abort()
                    break
                place += length
                self._dispatch(packet)
        del self._buffer[:place]
        if self._shorten():
            self.data_received(b"")

    def _shorten(self) -> bool:
        """Make a PUBLISH that is too long one of PACKET_MAX_BYTES, and pass over the rest of it as it comes.

        A broker that were told of a maximum would drop it without a word; so its beginning reaches the quarantine. True
        where it has done so.
        """
        length, head = _remaining_length(self._buffer)
        if length <= PACKET_MAX_BYTES or self._buffer[0] >> 4 != _PUBLISH or len(self._buffer) < PACKET_MAX_BYTES:
            return False
        body = self._buffer[head : head + length]
        self._passing_over = length - len(body)
        rest = self._buffer[head + length :]
        kept = body[: PACKET_MAX_BYTES - _LONGEST_HEAD]
        self._buffer = bytearray([self._buffer[0], *_varint(len(kept))]) + kept + rest
        return True

    def _dispatch(self, packet: Any) -> None:
        if isinstance(packet, mqtt5.PublishPacket):
            self._arrived(self, packet)
        elif isinstance(packet, (mqtt5.ConnAckPacket, mqtt5.SubAckPacket)):
            self._answer_with(packet)
        elif isinstance(packet, mqtt5.DisconnectPacket):
            self._answer_with(RefusedError(f"it disconnects: {packet.reason_code}", speaks_mqtt5=True))
            self.abort()
        else:
            self._arrived(self, packet)

    def aliased(self, alias: int, topic: str) -> str:
        """The topic behind an alias, which a packet with a topic gives and one without takes up (MQTT 5.0, 3.3.2.3.4).

        An alias that was never given is no topic, so the message will be set aside.
        """
        if topic:
            self._aliases[alias] = topic
        return self._aliases.get(alias, "")

    def _answer_with(self, found: Any) -> None:
        self._answers.append(found)
        self._answered.set()

    async def answer(self, kind: type[Any]) -> Any:
        """The next packet of a kind. Raises OSError or RefusedError where none comes."""
        while not self._answers:
            self._answered.clear()
            await self._answered.wait()
        found = self._answers.popleft()
        if isinstance(found, Exception):
            raise found
        if not isinstance(found, kind):
            raise RefusedError(f"it answers with {type(found).__name__}", speaks_mqtt5=True)
        return found

    async def keep_alive(self, every_s: int) -> None:
        """Return when the connection is lost or nobody has been heard for one and a half times `every_s`."""
        loop = asyncio.get_running_loop()
        while not self._lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s / 2):
                    await self._lost.wait()
            if not self._paused and loop.time() - self.heard_at > 1.5 * every_s:
                self._answer_with(TimeoutError(f"nothing was heard for {1.5 * every_s:g} s"))
                self.abort()
                return
            self.write(mqtt5.PingReqPacket().write())

    def write(self, data: bytes) -> None:
        """Hand bytes to the transport, if it is there."""
        if self._transport is not None and data and not self._transport.is_closing():
            self._transport.write(data)

    def read_no_more(self) -> None:
        """Let the broker wait."""
        if self._transport is not None and not self._paused:
            self._transport.pause_reading()
            self._paused = True

    def read_on(self) -> None:
        """There is room again."""
        if self._transport is not None and self._paused:
            self._paused = False
            self.heard_at = asyncio.get_running_loop().time()
            self._transport.resume_reading()

    def close(self) -> None:
        """End the connection when what was written has gone."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()


def _remaining_length(buffer: bytearray) -> tuple[int, int]:
    """How long the body of the packet in front is, and where it begins (MQTT 5.0, 2.1.4); (0, 0): not known yet."""
    length = 0
    for place in range(1, min(_LONGEST_HEAD, len(buffer))):
        length |= (buffer[place] & 0x7F) << 7 * (place - 1)
        if buffer[place] < 0x80:
            return length, place + 1
    return 0, 0


def _varint(number: int) -> list[int]:
    found = []
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return [*found, number]


def _check_accepted(connack: mqtt5.ConnAckPacket) -> None:
    if connack.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
        unsupported = connack.reason_code == mqtt5.ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION
        raise RefusedError(f"it says {connack.reason_code}", speaks_mqtt5=not unsupported)


def _check_granted(suback: mqtt5.SubAckPacket) -> None:
    for code in suback.reason_codes:
        if code != mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE:
            raise RefusedError(f"it does not grant the subscription at QoS 1: {code}", speaks_mqtt5=True)


def _repeated(packet: mqtt5.PublishPacket) -> mqtt5.PublishPacket:
    return mqtt5.PublishPacket(
        packet.topic,
        packet.payload,
        qos=packet.qos,
        retain=packet.retain,
        packet_id=packet.packet_id,
        duplicate=True,
    )


async def greeted(address: BrokerAddress) -> str | None:
    """Why the broker there does not let us in, empty where it does; None where it does not speak MQTT 5.

    Raises OSError where there is none. Asked under a client id of its own, with nothing to keep: a broker of 3.1.1 may
    refuse, close (ConnectionError, which may also be a broker that is just going: ask again), or say nothing at all.
    """
    password = address.password()
    _, link = await asyncio.get_running_loop().create_connection(
        lambda: _Link(lambda *_: None), address.host, address.port, ssl=address.tls()
    )
    try:
        link.write(
            mqtt5.ConnectPacket(
                asking_client_id(address.client_id),
                username=address.username,
                password=None if password is None else password.encode(),
                clean_start=True,
                keep_alive=5,
            ).write()
        )
        async with asyncio.timeout(PROBE_PATIENCE_S):
            said = (await link.answer(mqtt5.ConnAckPacket)).reason_code
    except TimeoutError:
        return None
    except RefusedError as error:
        if not error.speaks_mqtt5:
            return None
        raise ConnectionResetError(str(error)) from None
    finally:
        link.abort()
    if said == mqtt5.ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
        return None
    return "" if said == mqtt5.ConnAckReasonCode.SUCCESS else said.name.lower()
