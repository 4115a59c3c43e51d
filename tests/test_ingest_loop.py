"""The ingest loop: nothing is acknowledged, and nothing said to be committed, before it is on disk."""

import asyncio
import time
from collections.abc import Sequence
from random import Random
from typing import Any, Self

import pytest
from builders import MINUTE_MS, NOON_MS, Device, ManualClock, book_document, temperature

from pledgewatch_cloud.decide import drafts, payloads
from pledgewatch_cloud.decide.batch import Readings
from pledgewatch_cloud.ingest.answers import GAP_AGAIN_S, Answers
from pledgewatch_cloud.ingest.caring import Caring
from pledgewatch_cloud.ingest.hearing import Hearing
from pledgewatch_cloud.ingest.loop import IngestLoop
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_cloud.ingest.subscriber import Message, SubscriberCounts
from pledgewatch_cloud.ingest.waiting import Waiting
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.spine import writer as writer_module
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_wire import topics
from pledgewatch_wire.codec import MAX_RANGES, Committed, Status, decode_committed, encode, encode_status
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Reading
from pledgewatch_wire.topics import Kind


class FailingStore(MemoryStore):
    """A disk that refuses as often as it is told to."""

    failures = 0
    attempts = 0

    def append(self, *arguments: Any, **named: Any) -> None:
        self.attempts += 1
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is full")
        super().append(*arguments, **named)


class Broker:
    """A subscriber whose messages a test puts in, and whose acknowledgements it sees with what was on disk by then."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.counts = SubscriberCounts()
        self.connected = True
        self.waiting_messages: asyncio.Queue[Message] = asyncio.Queue()
        self.acknowledged: list[tuple[int, int]] = []
        self.published: list[tuple[str, bytes]] = []
        self._token = 0
        self.at_once, self.forgotten = 1, 0
        self.refused = 0

    def put(self, kind: Kind, device: str, payload: bytes) -> None:
        self._token += 1
        topic = topics.topic("harbour-line", device, kind)
        self.waiting_messages.put_nowait(
            Message(topic, payload, retained=False, token=self._token, arrived_s=time.monotonic())
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    @property
    def waiting(self) -> int:
        return self.waiting_messages.qsize()

    async def receive(self, limit: int) -> list[Message]:
        found = [await self.waiting_messages.get()]
        while len(found) < min(limit, self.at_once) and self.waiting_messages.qsize():
            found.append(self.waiting_messages.get_nowait())
        return found

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.acknowledged += [(one.token, self.store.counts().entries) for one in messages]

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        self.refused += not self.connected
        if self.connected:
            self.published.append((topic, payload))
        return self.connected


class Bench:
    """The loop over a store that fails and a broker that watches."""

    def __init__(self, *, after_readings: int = 1_000, after_s: float = 1_000) -> None:
        self.device = Device()
        self.store = FailingStore()
        clock = ManualClock(NOON_MS + 60 * MINUTE_MS)
        spine = Spine(self.store, clock)
        spine.commit(drafts.amend, book_document(self.device))
        self.broker = Broker(self.store)
        self.writer = Writer(spine, lambda _: None)
        answers = Answers(after_readings=after_readings, after_s=after_s)
        self.metrics = Metrics()
        self.caring = Caring(self.broker, self.writer, clock)
        self.loop = IngestLoop(
            self.broker, self.writer, clock, answers, Hearing(0), self.metrics, self.caring, batch_age_s=0
        )

    def measure(self, *, wanted: bool = False) -> None:
        at_ms = NOON_MS + len(self.device.readings) * MINUTE_MS
        reading = self.device.measure(at_ms, temperature(5_000))
        self.broker.put(Kind.UP, self.device.name, encode(self.device.payload([reading], wanted=wanted)))

    async def run_until(self, condition: Any) -> None:
        tasks = [asyncio.create_task(self.loop.run()), asyncio.create_task(self.loop.answer())]
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def words(self) -> list[Committed]:
        return [decode_committed(payload) for _, payload in self.broker.published]


async def test_a_message_is_acknowledged_after_its_commit_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_RETRY_S", 0.01)
    bench = Bench()
    bench.store.failures, bench.store.attempts = 3, 0
    bench.measure()
    bench.measure()
    await bench.run_until(lambda: len(bench.broker.acknowledged) == 2)
    # Entry 1 is the book; each message is on disk in an entry of its own when it is acknowledged.
    assert bench.broker.acknowledged == [(1, 2), (2, 3)]
    assert bench.store.attempts == 5
    assert bench.metrics.readings_committed == 2


async def test_what_a_device_says_of_itself_is_not_told_before_the_readings_that_came_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else what waits for the disk would be told as lost."""
    monkeypatch.setattr(writer_module, "_RETRY_S", 0.01)
    bench = Bench()
    bench.broker.at_once = 2
    bench.store.failures, append, said = 3, bench.store.append, []

    def appending(*arguments: Any, **named: Any) -> None:
        said.append(dict(bench.metrics.said))
        append(*arguments, **named)

    monkeypatch.setattr(bench.store, "append", appending)
    bench.measure()
    status = Status(online=True, epoch=1, head_sequence=1, spooled_readings=0, agent_version="1.2")
    bench.broker.put(Kind.STATUS, bench.device.name, encode_status(status))
    await bench.run_until(lambda: bench.metrics.said)
    assert (said, bench.metrics.said) == ([{}] * 4, {bench.device.name: status})
    assert bench.writer.readings == 1


async def test_committed_is_said_of_what_is_on_disk_when_it_is_asked_for() -> None:
    bench = Bench()
    bench.measure()
    bench.measure()
    bench.measure(wanted=True)
    await bench.run_until(lambda: bench.broker.published)
    known = bench.writer.state.devices["container-1", 1]
    assert bench.words() == [Committed(1, 3, (), known.chain_hash[:8])]
    assert bench.broker.published[0][0] == "pw/1/harbour-line/container-1/committed"


async def test_what_comes_while_a_word_is_published_is_told_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    publish = bench.broker.publish

    async def slow(topic: str, payload: bytes, *, retain: bool = False) -> bool:
        if not bench.broker.published:
            bench.measure(wanted=True)
            while len(bench.broker.acknowledged) < 2:
                await asyncio.sleep(0.01)
        return await publish(topic, payload, retain=retain)

    monkeypatch.setattr(bench.broker, "publish", slow)
    bench.measure(wanted=True)
    await bench.run_until(lambda: len(bench.words()) == 2)
    assert [one.contiguous for one in bench.words()] == [1, 2]


async def test_committed_is_said_after_so_many_readings_and_after_a_while() -> None:
    many = Bench(after_readings=2)
    many.measure()
    many.measure()
    await many.run_until(lambda: many.broker.published)
    assert [one[:3] for one in many.words()] == [(1, 2, ())]
    late = Bench(after_s=0.3)
    late.measure()
    await late.run_until(lambda: late.broker.published)
    assert [one[:3] for one in late.words()] == [(1, 1, ())]


async def test_a_gap_is_answered_at_once_and_once() -> None:
    bench = Bench()
    told = [bench.device.measure(NOON_MS + minute * MINUTE_MS, temperature(5_000)) for minute in range(7)]

    async def hear(words: int, *readings: Reading) -> None:
        for one in readings:
            bench.broker.put(Kind.UP, bench.device.name, encode(bench.device.payload([one])))
        received = len(bench.broker.acknowledged) + len(readings)
        await bench.run_until(lambda: len(bench.broker.acknowledged) == received and len(bench.words()) == words)

    await hear(1, told[0], told[2])
    assert bench.words()[-1][:3] == (1, 1, ((3, 3),))
    await hear(1, told[3], told[4])
    await hear(2, told[6])
    assert bench.words()[-1][:3] == (1, 1, ((3, 5), (7, 7)))
    await hear(2, told[1])
    await hear(2, told[5])


async def test_a_device_with_very_many_gaps_hears_of_all_that_is_there_over_words() -> None:
    bench = Bench()
    told = [bench.device.measure(NOON_MS + minute * MINUTE_MS, temperature(5_000)) for minute in range(310)]
    for one in told[1:300:2]:
        bench.broker.put(Kind.UP, bench.device.name, encode(bench.device.payload([one])))
    await bench.run_until(lambda: len(bench.broker.acknowledged) == 150)
    bench.broker.published.clear()
    heard: set[tuple[int, int]] = set()
    for words, one in enumerate((told[301], told[303], told[305]), 1):
        bench.broker.put(Kind.UP, bench.device.name, encode(bench.device.payload([one], wanted=True)))
        await bench.run_until(lambda words=words: len(bench.words()) == words)
        word = bench.words()[-1]
        assert (len(word.ranges), word.ranges[-1]) == (MAX_RANGES, (one.sequence, one.sequence)), "the newest each time"
        heard |= set(word.ranges)
    assert heard == set(bench.writer.state.devices["container-1", 1].marks.ranges)


def test_a_gap_that_stands_is_told_of_again_after_a_while() -> None:
    device, answers = Device(), Answers(after_readings=1_000, after_s=1_000.0)
    told = [device.measure(NOON_MS + minute * MINUTE_MS, temperature(5_000)) for minute in range(8)]
    spine = Spine(MemoryStore(), ManualClock(NOON_MS + 60 * MINUTE_MS))
    spine.commit(drafts.amend, book_document(device))
    due = []
    # The first gap opens; it stands; it closes as another opens; that one stands, and still does ten minutes again.
    for at_s, some in ((0, told[:1]), (1, told[2:3]), (2, told[3:4]), (3, [told[1]]), (4, told[5:6]), (5, told[6:7])):
        answers.took(spine.take([device.arrival(some)]), at_s)
        due.append(len(answers.due(at_s)))
        for one in answers.due(at_s):
            answers.word(one, spine.state.devices[one.device, one.epoch])
    again = [len(answers.due(at_s)) for at_s in (603.5, 604.5)]
    for one in answers.due(604.5):
        answers.word(one, spine.state.devices[one.device, one.epoch])
    assert (due, again) == ([0, 1, 0, 0, 1, 0], [0, 1])
    assert [len(answers.due(at_s)) for at_s in (1_803.5, 1_805.5)] == [0, 1], "and then after twice as long"


def test_where_a_word_cannot_name_all_alarms_bring_one_in_a_while_and_it_names_what_is_new() -> None:
    device, answers = Device(), Answers(after_readings=10_000, after_s=10_000.0)
    told = [device.measure(NOON_MS + minute * MINUTE_MS, temperature(5_000)) for minute in range(500)]
    spine = Spine(MemoryStore(), ManualClock(NOON_MS + 600 * MINUTE_MS))
    spine.commit(drafts.amend, book_document(device))

    def words(at_s: float, *numbers: int, wanted: bool = False) -> list[tuple[tuple[int, int], ...]]:
        """The ranges of each word that some readings bring, one after the other."""
        found = []
        for number in numbers or (0,):
            if number:
                arrival = device.arrival([told[number - 1]])
                arrival.committed_wanted = wanted
                answers.took(spine.take([arrival]), at_s)
            found += [answers.word(one, spine.state.devices[one.device, one.epoch]).ranges for one in answers.due(at_s)]
        return found

    assert len(words(0.0, *range(2, 2 + 3 * MAX_RANGES, 3))) == MAX_RANGES, "as long as a word names all"
    assert len(words(1.0, *range(200, 300, 3))) == 0
    assert words(GAP_AGAIN_S - 1.0) == [], "the last was told of at 0"
    (word,) = words(GAP_AGAIN_S)
    assert set(word) >= {(one, one) for one in range(200, 300, 3)}, "all that has come since"
    assert words(2 * GAP_AGAIN_S - 1) == [], "nothing is new"
    assert len(words(2 * GAP_AGAIN_S, 400)) == 1, "at once, where none was for a while"
    new = [301, 304, 307]
    assert words(2 * GAP_AGAIN_S, *new) == [], "below the newest no gap opens"
    (word,) = words(2 * GAP_AGAIN_S, 310, wanted=True)
    assert set(word) > {(one, one) for one in [*new, 310]}, "whose turn it is or not"


def past_and_live() -> tuple[Bench, Device]:
    """A device that comes back with a large payload and says one thing more, and another one that is live."""
    bench, other = Bench(), Device("container-2", seed=2)
    bench.broker.at_once = 10
    bench.writer._spine.commit(drafts.amend, book_document(bench.device, other))
    told = [
        bench.device.measure(NOON_MS + second * 1_000, temperature(Random(second).randrange(2_500, 7_500)))
        for second in range(1_700)
    ]
    newest = bench.device.measure(NOON_MS + 30 * MINUTE_MS, temperature(5_000))
    for some in (told[:1_000], told[1_000:], [newest]):
        bench.broker.put(Kind.UP, bench.device.name, encode(bench.device.payload(some)))
    live = other.measure(NOON_MS, temperature(5_000))
    bench.broker.put(Kind.UP, other.name, encode(other.payload([live])))
    return bench, other


def test_what_an_earlier_connection_brought_is_forgotten_and_the_rest_keeps_its_order() -> None:
    waiting, large = Waiting(), bytes(1_000)
    told = [("a", large), ("a", b"1"), ("b", b"2"), ("b", large), ("b", b"3"), ("a", b"4")]
    waiting.add(
        Message(topic, payload, retained=False, token=token, arrived_s=0) for token, (topic, payload) in enumerate(told)
    )
    assert [one.token for one in waiting.live(10)] == [2]
    waiting.forget(1)
    assert [one.token for one in waiting.live(10)] == [5], "nothing of its own is before it any more"
    assert [one.token for one in waiting.past(10)] == [3, 4]
    waiting.done(1)
    waiting.add([Message("b", b"6", retained=False, token=6, arrived_s=0)])
    waiting.done(1)
    waiting.add([Message("b", b"7", retained=False, token=7, arrived_s=0)])
    assert ([one.token for one in waiting.past(10)], len(waiting)) == ([6, 7], 2)


async def test_what_is_live_does_not_wait_for_a_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "CELLS_AT_ONCE", 1)  # a payload of the past at once
    bench, other = past_and_live()
    await bench.run_until(lambda: len(bench.broker.acknowledged) == 4)
    told = [form.read_entry(one).content for one in bench.store.entries()]
    taken = [[(one.device, one.count) for one in entry.arrivals] for entry in told if isinstance(entry, Readings)]
    assert taken == [[(other.name, 1)], [("container-1", 1_000)], [("container-1", 700)], [("container-1", 1)]]
    assert bench.writer.state.devices["container-1", 1].marks == Marks(1_701)


async def test_who_comes_online_and_who_repeats_itself_hears_where_it_stands() -> None:
    bench = Bench()
    status = Status(online=True, epoch=1, head_sequence=0, spooled_readings=0, agent_version="0.1.0")
    bench.broker.put(Kind.STATUS, bench.device.name, encode_status(status))
    await bench.run_until(lambda: bench.broker.published)
    assert bench.words() == [Committed(1, 0, ())]
    bench.measure()
    bench.broker.put(Kind.UP, bench.device.name, encode(bench.device.payload()))
    await bench.run_until(lambda: len(bench.broker.published) == 2)
    assert bench.words()[-1][:3] == (1, 1, ())
    offline = status._replace(online=False)
    bench.broker.put(Kind.STATUS, bench.device.name, encode_status(offline))
    await bench.run_until(lambda: len(bench.broker.acknowledged) == 4)
    assert len(bench.broker.published) == 2


async def test_a_word_that_the_broker_does_not_take_is_said_later() -> None:
    bench = Bench()
    bench.broker.connected = False
    bench.measure(wanted=True)
    await bench.run_until(lambda: bench.broker.acknowledged and bench.broker.refused > 1)
    assert bench.broker.published == []
    bench.broker.connected = True
    await bench.run_until(lambda: bench.broker.published)
    assert [one[:3] for one in bench.words()] == [(1, 1, ())]


async def test_ticks_say_how_far_devices_were_heard() -> None:
    bench = Bench()
    bench.broker.connected = False
    ticking = asyncio.create_task(bench.loop.ticks(0.01))
    await bench.run_until(lambda: bench.writer.state.entry >= 3)
    assert bench.writer.state.horizon_ms == 0, "the broker is away"
    bench.broker.connected = True
    await bench.run_until(lambda: bench.writer.state.horizon_ms)
    assert bench.writer.state.horizon_ms == NOON_MS + 60 * MINUTE_MS
    ticking.cancel()


async def test_small_batches_that_follow_each_other_are_waited_for_and_a_lone_message_is_not() -> None:
    bench = Bench()
    bench.broker.at_once = 1_000
    bench.loop._batch_age_s = 10.0
    running = asyncio.create_task(bench.loop.run())
    bench.measure()
    while len(bench.broker.acknowledged) < 1:
        await asyncio.sleep(0.001)
    assert bench.metrics.waited_s.total < 10.0, "nobody had come just before"
    for _ in range(5):
        bench.measure()
        await asyncio.sleep(0.001)
    while len(bench.broker.acknowledged) < 6:
        await asyncio.sleep(0.001)
    running.cancel()
    assert bench.metrics.commits < 6, "they were committed together"
    assert bench.metrics.batch_messages.total == 6


async def test_a_device_that_says_many_epochs_is_told_of_one_and_holds_nobody_up() -> None:
    bench = Bench()
    for epoch in range(1, 2_000):
        status = Status(online=True, epoch=epoch, head_sequence=0, spooled_readings=0, agent_version="0.1.0")
        bench.broker.put(Kind.STATUS, bench.device.name, encode_status(status))
    await bench.run_until(lambda: bench.broker.published)
    assert len(bench.loop._answers.due(0.0)) <= 1
    assert all(one.epoch <= 1_023 for one in bench.words())
