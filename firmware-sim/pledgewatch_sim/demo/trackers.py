"""Containers' devices as bytes: what is no agent of its own in the demo. They share `wire` with the cloud alone.

A tracker measures, numbers and chains its readings, signs now and then, keeps all that the cloud has not committed, and
sends it again when a broker comes back, or when what was sent first of it has not been committed for a while, whatever
was sent since. All of them speak by one connection, MQTT 3.1.1 with QoS 0: what a PUBLISH loses is not committed, so it
comes again.
"""

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_sim.receiver import Position
from pledgewatch_sim.warehouse.mqtt_device import connect, packet, publish, text
from pledgewatch_sim.warehouse.payloads import Message
from pledgewatch_wire import chain, topics
from pledgewatch_wire.codec import Checkpoint, Payload, decode_committed, encode
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality, Reading
from pledgewatch_wire.topics import Kind

CLIENT = "trackers"
EPOCH = 1
CHECKPOINT_EVERY = 8  # readings
PAYLOAD_MAX = 200  # readings
_AGAIN_S = 0.5
_RESEND_S = 6.0
_PATIENCE_S = 10.0
_BATTERY_MV = 3_900
_POWER_ON_MC = 85_000
_CONNACK, _PUBLISH, _SUBSCRIBE = 0x20, 0x30, 0x82


class Tracker:
    """One device, and all that it has measured."""

    def __init__(
        self,
        device: str,
        operator: str,
        seed: int,
        place: Callable[[int], Position],
        temperature: Callable[[int], int],
    ) -> None:
        self.device = device
        self.topic = topics.topic(operator, device, Kind.UP)
        self.is_linked = True
        self.is_broken = False
        self.committed = 0
        self._key = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))
        self._place, self._temperature = place, temperature
        self._running = chain.genesis(device, EPOCH)
        self._readings: list[Reading] = []
        self._checkpoints: list[Checkpoint] = []
        self._sent = 0
        self._under_way: deque[tuple[int, float]] = deque()  # last sequence of what was sent and is not committed, when

    @property
    def public_key(self) -> str:
        """For the book."""
        return self._key.public_key().public_bytes_raw().hex()

    @property
    def measured(self) -> int:
        """How many readings there are."""
        return len(self._readings)

    def measure(self, now_ms: int) -> None:
        """One more reading. A broken probe says what a DS18B20 says when it has just been powered: 85 °C."""
        place = self._place(now_ms)
        warmth = (_POWER_ON_MC, Quality.POWER_ON_VALUE) if self.is_broken else (self._temperature(now_ms), Quality.GOOD)
        cells = (
            Cell(Channel.LATITUDE_E7, round(place.latitude * 1e7)),
            Cell(Channel.LONGITUDE_E7, round(place.longitude * 1e7)),
            Cell(Channel.TEMPERATURE_MC, *warmth),
            Cell(Channel.BATTERY_MV, _BATTERY_MV),
        )
        sequence = self.measured + 1
        reading = Reading(sequence, now_ms, Clock.GPS, cells)
        self._readings.append(reading)
        self._running = chain.extend(self._running, chain.leaf(reading))
        if sequence % CHECKPOINT_EVERY == 0:
            signature = chain.sign(self._key, self.device, EPOCH, sequence, self._running)
            self._checkpoints.append(Checkpoint(sequence, signature))

    def to_send(self, now_s: float) -> bytes | None:
        """The next payload; None where there is nothing to say, or no link. What is not committed comes again."""
        if not self.is_linked:
            return None
        if self._under_way and now_s - self._under_way[0][1] > _RESEND_S:
            self.forget_sent()
        some = self._readings[self._sent : self._sent + PAYLOAD_MAX]
        if not some:
            return None
        first, last = some[0].sequence, some[-1].sequence
        signed = tuple(one for one in self._checkpoints if first <= one.sequence <= last)
        self._sent = last
        self._under_way.append((last, now_s))
        return encode(Payload(EPOCH, tuple(some), signed))

    def hear_committed(self, sequence: int) -> None:
        """The cloud has all up to here."""
        self.committed = max(self.committed, min(sequence, self.measured))
        self._sent = max(self._sent, self.committed)
        while self._under_way and self._under_way[0][0] <= self.committed:
            self._under_way.popleft()

    def forget_sent(self) -> None:
        """What was under way is lost, as with a broker that has gone."""
        self._sent = self.committed
        self._under_way.clear()


class Trackers:
    """All of them, and their connection."""

    def __init__(self, trackers: Sequence[Tracker], operator: str, port: int, now_ms: Callable[[], int]) -> None:
        self._by_topic = {topics.topic(operator, one.device, Kind.COMMITTED): one for one in trackers}
        self._trackers = trackers
        self._filter = topics.topic(operator, "x", Kind.COMMITTED).replace("/x/", "/+/")
        self._port = port
        self._now_ms = now_ms
        self.is_measuring = True
        self.is_heard = asyncio.Event()  # set once somebody listens: before, QoS 0 would only lose what is sent

    def is_all_committed(self) -> bool:
        """Whether the cloud has everything."""
        return all(one.committed == one.measured for one in self._trackers)

    async def run(self, interval_s: float) -> None:
        """Measure in turn, each once in an interval, and send once `is_heard`, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._measure(interval_s), name="trackers measure")
            group.create_task(self._connected(), name="trackers send")

    async def _measure(self, interval_s: float) -> None:
        while True:
            for one in self._trackers:
                if self.is_measuring:
                    one.measure(self._now_ms())
                await asyncio.sleep(interval_s / len(self._trackers))

    async def _connected(self) -> None:
        """Speak and listen for as long as there is a broker, and wait for the next one."""
        await self.is_heard.wait()
        while True:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(_PATIENCE_S):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    await self._speak(reader, writer)
                finally:
                    writer.transport.abort()
            for one in self._trackers:
                one.forget_sent()
            await asyncio.sleep(_AGAIN_S)

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(connect(CLIENT, None))
        kind, answer = await _packet_from(reader)
        if kind != _CONNACK or answer[1] != 0:
            raise ConnectionError("the broker refuses")
        writer.write(packet(_SUBSCRIBE, struct.pack(">H", 1) + text(self._filter) + b"\0"))
        listening = asyncio.create_task(self._listen(reader), name="trackers listen")
        try:
            while not listening.done():
                for one in self._trackers:
                    payload = one.to_send(asyncio.get_running_loop().time())
                    if payload is not None:
                        writer.write(publish(Message(one.topic, payload)))
                await writer.drain()
                await asyncio.sleep(0.1)
            listening.result()
        finally:
            listening.cancel()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            kind, body = await _packet_from(reader)
            if kind & 0xF0 != _PUBLISH:
                continue
            (length,) = struct.unpack_from(">H", body)
            tracker = self._by_topic.get(body[2 : 2 + length].decode())
            if tracker is not None and tracker.is_linked:
                tracker.hear_committed(decode_committed(body[2 + length :]).contiguous)


async def _packet_from(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The first byte and the body of the next packet. Raises IncompleteReadError where the broker has gone."""
    (kind,) = await reader.readexactly(1)
    length, shift = 0, 0
    while True:
        (digit,) = await reader.readexactly(1)
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return kind, await reader.readexactly(length)
