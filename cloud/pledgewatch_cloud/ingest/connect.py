"""Which Subscriber fits a broker: MQTT 5 where it is spoken, 3.1.1 where not, found out when the broker is there."""

import asyncio
import logging
from collections.abc import Sequence
from random import SystemRandom

from pledgewatch_cloud.ingest.lifecycle import OneTask
from pledgewatch_cloud.ingest.mqtt5_subscriber import Mqtt5Subscriber, greeted
from pledgewatch_cloud.ingest.paho_subscriber import PahoSubscriber
from pledgewatch_cloud.ingest.subscriber import (
    BrokerAddress,
    Message,
    Subscriber,
    SubscriberCounts,
)
from pledgewatch_wire.backoff import jittered_backoff

log = logging.getLogger(__name__)

_CLOSES_MEAN_311 = 3  # in a row; one may be a broker that is just going


def connect_subscriber(address: BrokerAddress, filters: Sequence[str], protocol: str) -> Subscriber:
    """A subscriber that speaks `protocol`: 5, 3.1.1, or auto. Open it with `async with`."""
    match protocol:
        case "5":
            return Mqtt5Subscriber(address, filters, SystemRandom())
        case "3.1.1":
            return PahoSubscriber(address, filters, SystemRandom())
        case "auto":
            return AutoSubscriber(address, filters)
        case _:
            raise ValueError(f"protocol is {protocol!r}; it must be auto, 5 or 3.1.1")


class AutoSubscriber(OneTask):
    """Asks the broker what it speaks as soon as it is there, and hands everything on to the one that fits.

    Asks again where nobody answers in MQTT 5 any more: another broker may have taken the place.
    """

    _TASK = "mqtt version"

    def __init__(self, address: BrokerAddress, filters: Sequence[str]) -> None:
        super().__init__()
        self._address = address
        self._filters = filters
        self._chosen: Subscriber | None = None
        self._none = SubscriberCounts()
        self._newest_token = 0

    @property
    def counts(self) -> SubscriberCounts:
        """Those of the one that fits."""
        return self._chosen.counts if self._chosen else self._none

    @property
    def connected(self) -> bool:
        """Whether the subscription stands."""
        return self._chosen is not None and self._chosen.connected

    @property
    def waiting(self) -> int:
        """See Subscriber."""
        return self._chosen.waiting if self._chosen else 0

    @property
    def forgotten(self) -> int:
        """See Subscriber."""
        return self._chosen.forgotten if self._chosen else 0

    async def receive(self, limit: int) -> list[Message]:
        """See Subscriber."""
        while not self._closed:
            await self._news.wait()
            if self._chosen is not None and (messages := await self._chosen.receive(limit)):
                self._newest_token = messages[-1].token
                return messages
        return []

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """See Subscriber."""
        if self._chosen is not None:
            self._chosen.acknowledge(messages)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """See Subscriber."""
        return self._chosen is not None and await self._chosen.publish(topic, payload, retain=retain)

    async def _keep(self) -> None:
        """Find the one that fits, and again when it does not fit any more."""
        while True:
            is_5 = await self._ask()
            log.info("the broker speaks MQTT %s", "5" if is_5 else "3.1.1")
            # Tokens go on ascending: what the one before gave out acknowledges nothing of the next.
            token = self._newest_token
            if not is_5:
                async with PahoSubscriber(self._address, self._filters, SystemRandom(), after_token=token) as chosen:
                    self._chosen = chosen
                    self._news.set()
                    await asyncio.Event().wait()
            async with Mqtt5Subscriber(self._address, self._filters, SystemRandom(), after_token=token) as fitting:
                self._chosen = fitting
                self._news.set()
                await fitting.misfit.wait()
                self._news.clear()
                self._chosen = None
            log.warning("nobody answers in MQTT 5 any more; asking again")

    async def _ask(self) -> bool:
        """Whether the broker speaks MQTT 5, as soon as there is one."""
        random, attempt, closed = SystemRandom(), 0, 0
        while True:
            try:
                return await greeted(self._address) is not None
            except ConnectionResetError:
                closed += 1
                if closed >= _CLOSES_MEAN_311:
                    return False
            except OSError as error:
                if attempt == 0:
                    log.warning("the broker at %s:%d is away: %s", self._address.host, self._address.port, error)
            await asyncio.sleep(jittered_backoff(attempt, maximum_s=self._address.reconnect_max_s, random=random))
            attempt += 1
