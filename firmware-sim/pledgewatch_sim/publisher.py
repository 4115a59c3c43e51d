"""Sends prepared messages to a broker at a given rate, and notes when: MQTT 5, QoS 1, one connection.

Open loop: a message is due at its moment whether or not the ones before it got through; what the broker does not take
in time makes later ones late, which is measured. Packets are written before the first is sent, so that sending costs
next to nothing.
"""

import select
import socket
import time
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import mqtt5

WINDOW_MAX = 60_000
_PACKET_IDS = 65_535
_AT_ONCE = 256
_PATIENCE_S = 60.0
_PUBACK = 0x40


class PublishError(Exception):
    """The broker cannot be spoken to. The sentence says why."""


class Published(NamedTuple):
    """What was sent. `sent_at_s[n]`: when message n was handed to the kernel, by time.time(); `late_s[n]`: how long
    after it was due."""

    sent_at_s: Sequence[float]
    late_s: Sequence[float]
    seconds: float

    def report(self) -> dict[str, Any]:
        """The figures in short."""
        count, late = len(self.sent_at_s), sorted(self.late_s)
        return {
            "sent": count,
            "seconds": round(self.seconds, 3),
            "rate": round(count / self.seconds) if self.seconds else 0,
            "late_ms": {f"p{part}": round(1e3 * late[(count - 1) * part // 100], 1) for part in (50, 99)},
        }


def packets_of(messages: Iterable[tuple[str, bytes]]) -> list[bytes]:
    """PUBLISH packets, their ids in turn."""
    qos = mqtt5.QoS.AT_LEAST_ONCE
    return [
        mqtt5.PublishPacket(topic, payload, qos=qos, packet_id=number % _PACKET_IDS + 1).write()
        for number, (topic, payload) in enumerate(messages)
    ]


def publish(host: str, port: int, packets: Sequence[bytes], *, rate: float = 0.0, client: str = "fleet") -> Published:
    """Send every packet, `rate` a second (0: as fast as the broker takes them), and wait until all are acknowledged.

    Raises PublishError, OSError.
    """
    with socket.create_connection((host, port), timeout=_PATIENCE_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        window = _connected(sock, client)
        published = _sent(sock, packets, rate, window)
        sock.sendall(mqtt5.DisconnectPacket().write())
        return published


def _connected(sock: socket.socket, client: str) -> int:
    """Say who we are. Returns how many messages the broker takes unacknowledged."""
    sock.sendall(mqtt5.ConnectPacket(client, clean_start=True, keep_alive=0).write())
    buffer = b""
    while True:
        data = sock.recv(4_096)
        if not data:
            raise PublishError("the broker closes the connection: does it speak MQTT 5?")
        buffer += data
        try:
            packet, _ = mqtt5.read(memoryview(buffer))
        except IndexError:
            continue
        except ValueError as error:
            raise PublishError(f"the broker does not speak MQTT 5: {error}") from None
        if not isinstance(packet, mqtt5.ConnAckPacket) or packet.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            raise PublishError(f"the broker answers with {packet}")
        return min(WINDOW_MAX, packet.receive_max)


def _sent(sock: socket.socket, packets: Sequence[bytes], rate: float, window: int) -> Published:
    sent_at_s, late_s = array("d"), array("d")
    answers = _Answers()
    total, start = len(packets), time.time()
    heard = start
    while answers.count < total:
        now = time.time()
        due = min(total, int((now - start) * rate) + 1) if rate else total
        until = min(due, answers.count + window, len(sent_at_s) + _AT_ONCE)
        if len(sent_at_s) < until:
            first = len(sent_at_s)
            sock.sendall(b"".join(packets[first:until]))
            now = time.time()
            sent_at_s.extend([now] * (until - first))
            late_s.extend(now - (start + place / rate if rate else now) for place in range(first, until))
        wait_s = 0.0
        if len(sent_at_s) == total or len(sent_at_s) - answers.count >= window:
            wait_s = 1.0
        elif rate and len(sent_at_s) >= due:
            wait_s = max(0.0, start + due / rate - time.time())
        if select.select([sock], [], [], wait_s)[0]:
            data = sock.recv(262_144)
            if not data:
                raise PublishError("the broker closed the connection")
            answers.take(data)
            heard = time.time()
        elif time.time() - heard > _PATIENCE_S:
            raise PublishError(f"the broker has acknowledged nothing for {_PATIENCE_S:g} s")
    return Published(sent_at_s, late_s, time.time() - start)


class _Answers:
    """Counts acknowledgements in a stream of bytes."""

    def __init__(self) -> None:
        self.count = 0
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Raises PublishError for what is none."""
        data = self._rest + data
        place, size = 0, len(data)
        while place + 2 <= size:
            length = data[place + 1]
            if data[place] != _PUBACK or length >= 0x80:
                raise PublishError(f"the broker says 0x{data[place]:02x} where it should acknowledge")
            if place + 2 + length > size:
                break
            if length > 2 and data[place + 4] >= 0x80:
                raise PublishError(f"the broker refuses a message: reason 0x{data[place + 4]:02x}")
            place += 2 + length
            self.count += 1
        self._rest = data[place:]
