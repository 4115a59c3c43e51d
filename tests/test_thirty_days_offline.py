"""Thirty days offline, ten minutes of link, offline again, link: real spool, uplink, broker and cloud in one process.

The thirty days are in the readings and in the cloud's clock, which is set by hand. The link is a proxy that is cut.
Both sides are killed once: nothing of them is left but their folders.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from api_cloud import client_over
from builders import NOON_MS, Device, ManualClock, book_document
from edge_support import DEVICE, OPERATOR, Cloud, cloud, new_spool, station, until
from fault_proxy import FaultProxy

from pledgewatch_cloud.broker import EmbeddedBroker
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.ingest.answers import Answers
from pledgewatch_cloud.ingest.caring import Caring
from pledgewatch_cloud.ingest.connect import connect_subscriber
from pledgewatch_cloud.ingest.hearing import Hearing
from pledgewatch_cloud.ingest.loop import IngestLoop
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_cloud.ingest.subscriber import BrokerAddress
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_edge.identity import load_or_create_key, public_key_hex
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool.spool import Limits
from pledgewatch_edge.uplink import Uplink
from pledgewatch_wire import topics
from pledgewatch_wire.codec import Payload
from pledgewatch_wire.reading import Cell, Channel, Clock
from pledgewatch_wire.topics import Kind

STEP_MS = 5 * 60_000
DAY = 288  # readings
LIMITS = Limits(95_000, 60, 1e9, thin_to_s=12 * 3_600.0)


def measured(first: int, count: int, *, urgent: frozenset[int] = frozenset()) -> list[Sample]:
    """Readings `first` on, five minutes apart, that scatter as real ones do."""
    dice = random.Random(first)
    return [
        Sample(
            NOON_MS + number * STEP_MS,
            Clock.GPS,
            (
                Cell(Channel.TEMPERATURE_MC, 5_000 + 63 * dice.randrange(4)),
                Cell(Channel.HUMIDITY_CPERCENT, 6_000 + dice.randrange(80)),
            ),
            number in urgent,
        )
        for number in range(first, first + count)
    ]


class RealCloud:
    """Journal, spine, ingest and API over a folder."""

    def __init__(self, folder: Path, port: int, clock: ManualClock) -> None:
        self.store = SqliteStore(folder)
        self.spine = Spine(self.store, clock)
        self.writer = Writer(self.spine, lambda _: None)
        self.metrics = Metrics.of(self.store.said())
        self.series = EmbeddedSeries(folder, self.store.journal)
        self._clock = clock
        self._address = BrokerAddress("127.0.0.1", port, "cloud")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Running until it is killed: nothing is finished, nobody is told."""
        filters = [topics.topic_filter(Kind.UP), topics.topic_filter(Kind.STATUS)]
        answers = Answers(after_readings=1_000, after_s=1_000.0)
        async with connect_subscriber(self._address, filters, "3.1.1") as subscriber:
            caring = Caring(subscriber, self.writer, self._clock)
            loop = IngestLoop(subscriber, self.writer, self._clock, answers, Hearing(0), self.metrics, caring)
            tasks = [asyncio.create_task(one) for one in (loop.run(), loop.answer())]
            try:
                yield
                assert not any(one.done() for one in tasks)
            finally:
                for one in tasks:
                    one.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        self.store.close()
        self.series.close()

    @property
    def contiguous(self) -> int:
        """Up to where everything is told."""
        known = self.writer.state.devices.get((DEVICE, 1))
        return known.marks.contiguous if known else 0

    def words(self) -> str:
        """What /devices says in words of how complete the device's readings are."""
        answer = client_over(self.store, self.writer, self.series, metrics=self.metrics).get("/devices")
        (device,) = answer.json()
        found: str = device["completeness"]["words"]
        return found


@asynccontextmanager
async def linked(uplink: Uplink, link: FaultProxy) -> AsyncIterator[None]:
    """A link, until it is cut in the midst of what goes over it and the agent is killed."""
    task = asyncio.create_task(uplink.run())
    try:
        yield
    finally:
        link.cut()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ExceptionGroup):
            await task


async def all_heard(ear: Cloud) -> int:
    """How many payloads there are once what the broker had when the link was cut has come, too: its last will does
    after them."""
    await until(lambda: bool(ear.statuses) and not ear.statuses[-1].online, "the last will")
    return len(ear.payloads)


def spans(some: list[Payload]) -> list[tuple[int, int]]:
    return [(one.first_sequence, one.last_sequence) for one in some]


async def test_thirty_days_offline(tmp_path: Path) -> None:
    edge, clock = tmp_path / "edge", ManualClock(NOON_MS + 31 * DAY * STEP_MS)
    edge.mkdir()
    alarms = frozenset({1_000, 4_000, 30 * DAY - 200})
    with new_spool(edge, LIMITS) as spool:
        for first in range(1, 30 * DAY + 1, 48):
            spool.append(measured(first, 48, urgent=alarms))
        spooled, thinned = spool.spooled, spool.thinned_total
    assert thinned > 1_000, "a test in which nothing was thinned shows less"
    async with contextlib.AsyncExitStack() as stack:
        broker = await stack.enter_async_context(EmbeddedBroker("127.0.0.1", 0))
        link = await stack.enter_async_context(FaultProxy(broker.port, Random(1)))
        ear = await stack.enter_async_context(cloud(broker.port, commits=False))
        first_cloud = RealCloud(tmp_path, broker.port, clock)
        document = book_document(Device())
        document["installations"][0] |= {
            "device": DEVICE,
            "operator": OPERATOR,
            "public_key": public_key_hex(load_or_create_key(edge)),
        }
        first_cloud.spine.commit(drafts.amend, document)
        settings = station(edge, link.port, readings_per_payload=60, in_flight_readings=960, resend_after_s=600.0)

        # Ten minutes of link: as long as it takes for some of the backlog to go out.
        head = 30 * DAY
        with new_spool(edge, LIMITS) as spool:
            async with first_cloud.running():
                await until(lambda: ear.client is not None, "the ear")
                uplink = Uplink(settings, spool)
                async with linked(uplink, link):
                    await until(lambda: len(ear.payloads) >= 6, "the first of it", 60)
                    spool.append(measured(head + 1, 2, urgent=frozenset({head + 2})))
                    uplink.wake()
                    overtaken = len(ear.payloads)
                    await until(lambda: any(last > head for _, last in spans(ear.payloads)), "the new alarm", 60)
                    place = next(n for n, (_, last) in enumerate(spans(ear.payloads)) if last > head)
                    assert place - overtaken <= 8, "what is on its way goes first, nothing else"
                    sent = spans(ear.payloads)
                    assert [first for first, _ in sent[:3]] == sorted(alarms), "alarms first of all"
                    assert sent[3][1] == head, "then what is live"
                    assert sent[4][0] == 1 or sent[4][0] < 1_000, "then the backlog, the oldest first"
                    await until(lambda: first_cloud.contiguous > 100, "some of the backlog to be committed", 60)
                    assert uplink.resends == 0, "what was not sent yet is no loss"
                words = first_cloud.words()
                assert ", lost 0, still spooled " in words, words
        assert 0 < first_cloud.contiguous < head

        # Offline again, for a day; both are gone but for their folders.
        with new_spool(edge, LIMITS) as spool:
            spool.append(measured(head + 3, DAY, urgent=frozenset({head + 100})))
            before, stopped = await all_heard(ear), first_cloud.contiguous
            second_cloud = RealCloud(tmp_path, broker.port, clock)
            assert second_cloud.contiguous == stopped
            async with second_cloud.running():
                uplink = Uplink(settings, spool)
                async with linked(uplink, link):
                    await until(lambda: second_cloud.contiguous == spool.head_sequence, "all of it", 90)
                    assert uplink.resends == 0
                again = spans(ear.payloads[before:])
                assert again[0] == (head + 100, head + 100), "the alarm first of all"
                assert again[1][1] == spool.head_sequence, "then what is live"
                assert again[2][0] == min(first for first, _ in again) > stopped, "on from where it stopped"
                assert all(first > stopped for first, _ in again), "nothing that is there goes again"
                kept, dropped = spool.head_sequence - spool.thinned_total, spool.thinned_total
                assert second_cloud.words() == f"received {kept:,} of {kept:,}, thinned {dropped:,}, lost 0"
                assert spooled + dropped <= spool.head_sequence
