"""A broker of the LAN: what devices and network servers say there, read by the forms that it is said to hold.

One connection for each broker, opened again for as long as it takes. Subscriptions are of QoS 1 for ChirpStack, whose
words name their moment, and of QoS 0 for all others: what a broker would keep for us while we are away could not be
dated any more. For the same reason a retained message is no news, except of a device that is gone.

The handling of a message waits for nothing, so that the client's short queue is empty again before the next one; a
flood is bounded where its values go (`site.py`). Switches of the LAN are set by the same connection (`say`).
"""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

import aiomqtt

from pledgewatch_edge.config import BrokerSettings, require_name
from pledgewatch_edge.connection import Connector, heed_cancellation
from pledgewatch_edge.logs import World
from pledgewatch_gateway.sources import Listener, MalformedError, Value, chirpstack, esphome, tasmota, zigbee2mqtt
from pledgewatch_wire.backoff import jittered_backoff
from pledgewatch_wire.reading import Quality

KNOWN_UPLINKS_MAX: Final = 1_000
REFUSED: Final = range(0x80, 0x100)  # in a SUBACK of 3.1.1 and of 5
FAREWELL_S: Final = 1.5
STEADY_S: Final = 10.0  # a connection that held so long was a good one
log = logging.getLogger(__name__)


class Form(StrEnum):
    """How devices say what they say."""

    ESPHOME = "esphome"
    TASMOTA = "tasmota"
    ZIGBEE2MQTT = "zigbee2mqtt"
    CHIRPSTACK = "chirpstack"


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """A broker of the LAN and the forms of what is said there. `name` is what the roster calls it."""

    name: str
    broker: BrokerSettings
    forms: tuple[Form, ...]
    zigbee2mqtt_base: str = "zigbee2mqtt"

    def __post_init__(self) -> None:
        require_name("name", self.name)
        if not self.forms:
            raise ValueError(f"forms is empty; name those of {', '.join(Form)} that are spoken there")
        base = self.zigbee2mqtt_base
        if not base or base[0] in "/$" or base[-1] == "/" or set(base) & {"+", "#"}:
            raise ValueError(f"zigbee2mqtt_base {base!r} is no topic; write it as Zigbee2MQTT's base_topic")


class SayError(OSError):
    """What was to be said to the broker was not."""


class MqttSource:
    """The devices behind one broker."""

    def __init__(self, settings: MqttSettings, client_id: str, listener: Listener) -> None:
        self.name = settings.name
        self._settings = settings
        self._client_id = client_id
        self._listener = listener
        self._world = World(log, f"broker of {settings.name}")
        self._client: aiomqtt.Client | None = None
        self._uplinks: OrderedDict[str, None] = OrderedDict()

    async def run(self) -> None:
        """Listen for ever."""
        connector = Connector(self._settings.broker, self._client_id)
        will = aiomqtt.Will(f"pledgewatch/{self._client_id}/status", b"offline", qos=1, retain=True)
        random, attempts = Random(), 0  # noqa: S311 - jitter
        while True:
            since = time.monotonic()
            try:
                async with connector.connect(will) as client:
                    await self._listen(client, str(will.topic))
            except aiomqtt.MqttError as error:
                self._world.lost(str(error))
            finally:
                self._client = None
            attempts = 0 if time.monotonic() - since > STEADY_S else attempts + 1
            maximum_s = self._settings.broker.reconnect_max_s
            await asyncio.sleep(jittered_backoff(attempts, maximum_s=maximum_s, random=random))

    async def say(self, topic: str, payload: str, *, retain: bool) -> None:
        """Publish, and wait until the broker has it. Raises SayError."""
        client = self._client
        if client is None:
            raise SayError(f"the broker of {self.name} is not there")
        try:
            await client.publish(topic, payload.encode("utf-8"), qos=1, retain=retain, timeout=5.0)
        except aiomqtt.MqttError as error:
            raise SayError(f"the broker of {self.name}: {error}") from error

    async def _listen(self, client: aiomqtt.Client, status_topic: str) -> None:
        subscriptions = self._subscriptions()
        for (asked, _), code in zip(subscriptions, await client.subscribe(subscriptions), strict=True):
            if getattr(code, "value", code) in REFUSED:
                self._listener.complain(self.name, asked, "may not be heard; let the gateway's account read it")
        await client.publish(status_topic, b"online", qos=1, retain=True)
        self._client = client
        self._world.back()
        try:
            heed_cancellation()
            async for message in client.messages:
                self._take(str(message.topic), message.payload, is_retained=message.retain)
        except asyncio.CancelledError:  # a last will is only for those who end otherwise
            with contextlib.suppress(aiomqtt.MqttError):
                await client.publish(status_topic, b"offline", qos=1, retain=True, timeout=FAREWELL_S)
            raise

    def _subscriptions(self) -> list[tuple[str, int]]:
        filters: list[tuple[str, int]] = []
        for form in dict.fromkeys(self._settings.forms):
            match form:
                case Form.ESPHOME:
                    filters += [(one, 0) for one in esphome.FILTERS]
                case Form.TASMOTA:
                    filters += [(one, 0) for one in tasmota.FILTERS]
                case Form.ZIGBEE2MQTT:
                    filters += [(one, 0) for one in zigbee2mqtt.filters(self._settings.zigbee2mqtt_base)]
                case Form.CHIRPSTACK:
                    filters += [(one, 1) for one in chirpstack.FILTERS]
        return filters

    def _take(self, topic: str, payload: bytes, *, is_retained: bool) -> None:
        """Read one message and hand it on. Topics of the forms do not overlap, so one of them has it, or none."""
        for form in self._settings.forms:
            try:
                values = self._read(form, topic, payload)
            except MalformedError as error:
                if not is_retained:
                    self._listener.complain(self.name, topic, str(error))
                return
            if is_retained:
                values = [one for one in values if one.quality == Quality.SENSOR_GONE]
            if values:
                self._listener.hear(self.name, values)
                return

    def _read(self, form: Form, topic: str, payload: bytes) -> Sequence[Value]:
        match form:
            case Form.ESPHOME:
                return esphome.read(topic, payload)
            case Form.TASMOTA:
                return tasmota.read(topic, payload)
            case Form.ZIGBEE2MQTT:
                return zigbee2mqtt.read(self._settings.zigbee2mqtt_base, topic, payload)
            case Form.CHIRPSTACK:
                uplink = chirpstack.read(topic, payload)
                return [] if self._is_known(uplink.id) else uplink.values

    def _is_known(self, uplink: str) -> bool:
        """Whether this uplink was told before; from now on it was."""
        if not uplink:
            return False
        if uplink in self._uplinks:
            return True
        self._uplinks[uplink] = None
        if len(self._uplinks) > KNOWN_UPLINKS_MAX:
            self._uplinks.popitem(last=False)
        return False
