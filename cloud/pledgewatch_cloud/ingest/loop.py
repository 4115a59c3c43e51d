"""The ingest loop: receive, decode, commit, acknowledge, answer. Nothing is acknowledged before it is on disk.

A batch is whatever arrived while the last commit was on its way, up to a bound: under load batches grow and the disk's
cost is shared, at rest a reading waits for nobody. In between, where small batches would follow each other without a
pause, the next one is waited for three times as long as the last one took, up to `batch_age_s`. Of a backlog one piece
is taken in turn with what is live (`waiting.py`). While the disk does not commit, the loop waits and the broker holds
the messages, at most `receive_maximum` of them here.
"""

import asyncio
import logging
import time

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.ingest.answers import Answers
from pledgewatch_cloud.ingest.caring import Caring
from pledgewatch_cloud.ingest.decode import Decoded, Decoder
from pledgewatch_cloud.ingest.hearing import Hearing
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_cloud.ingest.subscriber import Message, Subscriber
from pledgewatch_cloud.ingest.waiting import Waiting
from pledgewatch_cloud.journal.store import Said
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_wire import topics
from pledgewatch_wire.codec import encode_committed
from pledgewatch_wire.topics import Kind

log = logging.getLogger(__name__)

BATCH_MESSAGES_MAX = 4_000
_HELD_MAX = 65_536  # at QoS 1 the broker holds back long before
_PATIENCE = 3  # times as long as the last batch took
_ANSWER_EVERY_S = 0.1


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
        caring: Caring,
        *,
        batch_age_s: float = 0.05,
    ) -> None:
        """`batch_age_s`: the longest that a message waits for others."""
        self._batch_age_s = batch_age_s
        self._subscriber = subscriber
        self._writer = writer
        self._clock = clock
        self._answers = answers
        self._hearing = hearing
        self._metrics = metrics
        self._caring = caring
        self._decoder = Decoder()
        self._waiting = Waiting()

    async def run(self) -> None:
        """Take batches until cancelled."""
        ended_s, took_s, forgotten = -self._batch_age_s, 0.0, 0
        while True:
            waiting = self._waiting
            if self._subscriber.forgotten > forgotten:
                forgotten = self._subscriber.forgotten
                waiting.forget(forgotten)
            if not waiting or (self._subscriber.waiting and len(waiting) < _HELD_MAX):
                waiting.add(await self._subscriber.receive(_HELD_MAX))
            began_s = time.monotonic()
            is_small = len(waiting) < BATCH_MESSAGES_MAX and not waiting.has_past
            if is_small and began_s - ended_s < self._batch_age_s:
                await asyncio.sleep(min(_PATIENCE * took_s, self._batch_age_s))
                if self._subscriber.waiting:
                    waiting.add(await self._subscriber.receive(_HELD_MAX))
            work_s = time.monotonic()
            live = waiting.live(BATCH_MESSAGES_MAX)
            while live:
                live = live[await self._commit(live) :]
            if past := waiting.past(BATCH_MESSAGES_MAX):
                waiting.done(await self._commit(past))
            self._hearing.took(everything=not waiting)
            ended_s = time.monotonic()
            took_s = ended_s - work_s

    async def _commit(self, messages: list[Message]) -> int:
        """Decode, commit and acknowledge the first of some messages; how many."""
        state = self._writer.state
        # Off the event loop: what devices send decides how long it takes.
        decoded = await asyncio.to_thread(
            self._decoder.decode, messages, self._clock.now_ms(), state.book.installations, state.identities.barred
        )
        heard = self._metrics.hear(decoded.statuses)
        await self._take(decoded, heard.kept)
        self._metrics.note(heard)
        for one in decoded.answers:
            await self._caring.heard(one)
        self._subscriber.acknowledge(messages[: decoded.messages])
        self._metrics.messages += decoded.messages
        self._metrics.waited_s.add(time.monotonic() - messages[0].arrived_s)
        self._answers.connected(decoded.statuses)
        self._caring.connected(decoded.statuses)
        return decoded.messages

    async def answer(self) -> None:
        """Tell devices what is committed, until cancelled. What the broker does not take now is said later."""
        while True:
            await asyncio.sleep(_ANSWER_EVERY_S)
            for stream in self._answers.due(time.monotonic()):
                known = self._writer.state.devices.get((stream.device, stream.epoch))
                word = self._answers.word(stream, known)  # it counts as told, for what comes meanwhile is news
                topic = topics.topic(stream.operator, stream.device, Kind.COMMITTED)
                if not await self._subscriber.publish(topic, encode_committed(word)):
                    self._answers.not_taken(stream, word)
                    break

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

    async def _take(self, decoded: Decoded, said: Said) -> None:
        began_s = time.monotonic()
        admission = await self._writer.take(decoded.arrivals, decoded.unreadable, said)
        now_s = time.monotonic()
        self._metrics.commit_s.add(now_s - began_s)
        self._answers.took(admission, now_s)
        self._metrics.took(admission, decoded, self._clock.now_ms())
