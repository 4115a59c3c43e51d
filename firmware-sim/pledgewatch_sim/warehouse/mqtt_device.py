"""A device's own connection to a broker, as bytes: MQTT 3.1.1, one direction, QoS 0, with a last will.

That is how ESPHome and Tasmota speak, and all that there is to it: CONNECT, then PUBLISH after PUBLISH. A device whose
connection breaks (`cut`) says nothing more itself; the broker says its last will.
"""

import asyncio
import contextlib
import struct
from typing import Final

from pledgewatch_sim.warehouse.payloads import Message

_PATIENCE_S: Final = 10.0
_AGAIN_S: Final = 0.5
_CONNECT, _CONNACK, _PUBLISH = 0x10, 0x20, 0x30


class MqttDevice:
    """One device. `will` is what the broker says when its connection breaks."""

    def __init__(self, name: str, host: str, port: int, will: Message) -> None:
        self.name = name
        self._host = host
        self._port = port
        self._will = will
        self._writer: asyncio.StreamWriter | None = None

    async def say(self, messages: list[Message]) -> None:
        """Publish, and wait for a broker as long as it takes."""
        for message in messages:
            while True:
                try:
                    writer = self._writer or await self._connected()
                    writer.write(publish(message))
                    await writer.drain()
                    break
                except OSError:
                    self.cut()
                    await asyncio.sleep(_AGAIN_S)

    def cut(self) -> None:
        """The power is gone: no farewell."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.transport.abort()

    async def _connected(self) -> asyncio.StreamWriter:
        """Raises OSError where there is no broker, or it refuses."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                writer.write(connect(self.name, self._will))
                answer = await reader.readexactly(4)
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            raise ConnectionError(f"the broker at {self._host}:{self._port} does not answer") from error
        if answer[0] != _CONNACK or answer[3] != 0:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            raise ConnectionError(f"the broker at {self._host}:{self._port} refuses: {answer.hex()}")
        self._writer = writer
        return writer


def connect(client: str, will: Message | None) -> bytes:
    """CONNECT: a clean session without keep-alive, and the last will, if there is one, QoS 0."""
    flags = 0x02 | (0 if will is None else 0x04 | (0x20 if will.retain else 0))
    body = text("MQTT") + bytes([4, flags]) + struct.pack(">H", 0) + text(client)
    if will is not None:
        body += text(will.topic) + struct.pack(">H", len(will.payload)) + will.payload
    return packet(_CONNECT, body)


def publish(message: Message) -> bytes:
    """PUBLISH, QoS 0."""
    return packet(_PUBLISH | message.retain, text(message.topic) + message.payload)


def text(words: str) -> bytes:
    """A text with its length before it."""
    data = words.encode()
    return struct.pack(">H", len(data)) + data


def packet(kind: int, body: bytes) -> bytes:
    """The fixed header, with the length in groups of seven bits, and what follows."""
    length, size = bytearray(), len(body)
    while True:
        size, low = divmod(size, 128)
        length.append(low | (0x80 if size else 0))
        if not size:
            return bytes([kind]) + bytes(length) + body
