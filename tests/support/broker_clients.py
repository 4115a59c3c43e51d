"""Clients of a real broker over TLS, each by its certificate; what is heard, and what the broker says of what is said.

A wait for nothing ends with something that may come: each client hears a word of its own after what it must not hear.
"""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from brokers import BrokerProcess
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from pledgewatch_edge.connection import NEVER_S

NOBODY_LISTENS, NOT_AUTHORIZED = 0x10, 0x87  # reason codes of a PUBACK
PATIENCE_S = 60.0


class Client:
    """Who holds a certificate, connected by MQTT 5."""

    def __init__(
        self,
        broker: BrokerProcess,
        folder: Path,
        name: str,
        *,
        as_client: str = "",
        will: str = "",
        keep: bool = False,
        port: int = 0,
    ) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.ended = 0  # how often the broker or the link has ended a connection
        self.codes: dict[int, int] = {}  # by number, of what was published or asked
        self._news = threading.Condition()
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=as_client or f"{name}-test", protocol=paho.MQTTv5
        )
        self.paho.tls_set(str(folder / "ca.pem"), str(folder / f"{name}.pem"), str(folder / f"{name}.key"))
        if will:
            self.paho.will_set(will, b"gone", qos=1)
        self.refused: int | None = None
        self.paho.on_connect = self._connected
        self.paho.on_disconnect = self._disconnected
        self.paho.on_message = self._message
        self.paho.on_publish = self._published
        self.paho.on_subscribe = self._subscribed
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = NEVER_S if keep else 0
        self._is_connected = False
        self.paho.connect("127.0.0.1", port or broker.port, clean_start=not keep, properties=properties)
        self.paho.loop_start()
        self.until(lambda: self._is_connected or self.refused is not None)

    def say(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> bool:
        """Publish with QoS 1; whether the broker takes it."""
        return self.say_all([topic], payload, retain=retain)[topic]

    def say_all(self, names: Sequence[str], payload: bytes = b"x", *, retain: bool = False) -> dict[str, bool]:
        """Publish under each topic; which of them the broker takes."""
        sent = {name: self.paho.publish(name, payload, qos=1, retain=retain).mid for name in names}
        self.until(lambda: self.codes.keys() >= {*sent.values()})
        assert {self.codes[one] for one in sent.values()} <= {0, NOBODY_LISTENS, NOT_AUTHORIZED}
        return {name: self.codes[one] != NOT_AUTHORIZED for name, one in sent.items()}

    def ask(self, *filters: str) -> None:
        """Subscribe; Mosquitto grants it."""
        for one in filters:
            mid = self.paho.subscribe(one, options=SubscribeOptions(qos=1))[1]
            assert mid is not None
            self.until(lambda mid=mid: mid in self.codes)  # type: ignore[misc]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the broker does."""
        deadline = time.monotonic() + PATIENCE_S
        with self._news:
            while not condition():
                assert self._news.wait(deadline - time.monotonic()), "the broker does not answer"

    def hears(self, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        """Wait until this comes; all that came before it."""
        self.until(lambda: (topic, payload) in self.heard)
        return self.heard[: self.heard.index((topic, payload))]

    def leave(self, *, rudely: bool = False) -> None:
        """End; rudely, so that the last will is said."""
        if rudely:
            sock = self.paho.socket()
            assert sock is not None
            sock.close()
        else:
            self.paho.disconnect()
        self.paho.loop_stop()

    def _connected(self, *arguments: Any) -> None:
        with self._news:
            self._is_connected = arguments[3] == 0
            self.refused = None if arguments[3] == 0 else arguments[3].value
            self._news.notify_all()

    def _disconnected(self, *_: Any) -> None:
        with self._news:
            self.ended += 1
            self._news.notify_all()

    def _message(self, *arguments: Any) -> None:
        with self._news:
            self.heard.append((arguments[2].topic, arguments[2].payload))
            self._news.notify_all()

    def _published(self, *arguments: Any) -> None:
        with self._news:
            self.codes[arguments[2]] = arguments[3].value
            self._news.notify_all()

    def _subscribed(self, *arguments: Any) -> None:
        with self._news:
            self.codes[arguments[2]] = arguments[3][0].value
            self._news.notify_all()
