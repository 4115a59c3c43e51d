"""The ingest loop: receive, decode, commit, acknowledge, answer. Nothing is acknowledged before it is on disk.

A batch is whatever arrived while the last commit was on its way, up to a bound: under load batches grow and the disk's
cost is shared, at rest a reading waits for nobody. While the disk does not commit, the loop waits and the broker holds
the messages, at most `receive_maximum` of them here.
"""

import asyncio
import logging
import time

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide.admission import committed_of
from pledgewatch_cloud.ingest.answers import Answers
from pledgewatch_cloud.ingest.decode import Decoded, Decoder
from pledgewatch_cloud.ingest.hearing import Hearing
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_cloud.ingest.subscriber import Subscriber
from pledgewatch_cloud.ingest.writer import Writer
from pledgewatch_wire import topics
from pledgewatch_wire.codec import Committed, encode_committed
from pledgewatch_wire.topics import Kind

log = logging.getLogger(__name__)

BATCH_MESSAGES_MAX = 2_000
_ANSWER_EVERY_S = 0.25


class IngestLoop:
    """Feeds the writer from a subscriber, and tells devices what is committed."""

    def __init__(
        self,
        subscriber: Subscriber,
        writer: Writer,
        clock: Clock,
        answers: Answers,
        hearing: Hearing,
        metrics: Metrics,
    ) -> None:
        self._subscriber = subscriber
        self._writer = writer
        self._clock = clock
        self._answers = answers
        self._hearing = hearing
        self._metrics = metrics
        self._decoder = Decoder()

    async def run(self) -> None:
        """Take batches until cancelled."""
        while True:
            messages = await self._subscriber.receive(BATCH_MESSAGES_MAX)
            is_all = len(messages) < BATCH_MESSAGES_MAX
            while messages:
                installations = self._writer.state.book.installations
                # Off the event loop: what devices send decides how long it takes.
                decoded = await asyncio.to_thread(self._decoder.decode, messages, self._clock.now_ms(), installations)
                await self._take(decoded)
                self._subscriber.acknowledge(messages[: decoded.messages])
                self._metrics.messages += decoded.messages
                self._answers.connected(decoded.statuses)
                messages = messages[decoded.messages :]
            self._hearing.took(everything=is_all)

    async def answer(self) -> None:
        """Tell devices what is committed, until cancelled. What the broker does not take now is said later."""
        while True:
            await asyncio.sleep(_ANSWER_EVERY_S)
            for stream in self._answers.due(time.monotonic()):
                known = self._writer.state.devices.get((stream.device, stream.epoch))
                payload = encode_committed(Committed(stream.epoch, *committed_of(known)))
                topic = topics.topic(stream.operator, stream.device, Kind.COMMITTED)
                if not await self._subscriber.publish(topic, payload):
                    break
                self._answers.said(stream)

    async def ticks(self, every_s: float) -> None:
        """Journal the passing of time, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            heard_until_ms = self._hearing.until_ms(
                connected=self._subscriber.connected,
                connections=self._subscriber.counts.connections,
                now_ms=self._clock.now_ms(),
                now_s=time.monotonic(),
            )
            await self._writer.tick(heard_until_ms)

    async def _take(self, decoded: Decoded) -> None:
        admission = await self._writer.take(decoded.arrivals, decoded.unreadable)
        self._answers.took(admission, time.monotonic())
        self._metrics.took(admission, decoded)
