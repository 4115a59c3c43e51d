"""The whole way of a reading, in one process, from one seed: spool, broker, journal, outbox, core, and everything that
can go wrong between them.

The spool, the spine and the relay are the real ones, the store is the one in memory. The broker keeps, loses, repeats,
reorders and forgets messages as the dice say; any of the programs is killed at any of its crash points: before a
commit, after it and before the acknowledgement, between an answer and its note. Time is a number.
"""

import asyncio
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from builders import AT_SEA, IN_LOS_ANGELES, NOON_MS, ManualClock, book_document, position, temperature

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.admission import committed_of
from pledgewatch_cloud.ingest.decode import Decoder
from pledgewatch_cloud.ingest.subscriber import Message
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import DeliveryRecord, OutboxMessage
from pledgewatch_cloud.outbox.endpoint import Answer, Attempt, IsWithdrawn
from pledgewatch_cloud.outbox.relay import Relay, RelaySettings
from pledgewatch_cloud.spine.spine import Spine, recover
from pledgewatch_edge.budget import Budget
from pledgewatch_edge.config import UplinkSettings
from pledgewatch_edge.identity import load_or_create_key, public_key_hex
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sending import Sending
from pledgewatch_edge.spool.errors import SpoolCorruptError
from pledgewatch_edge.spool.file import open_spool
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_wire import topics
from pledgewatch_wire.codec import Committed
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Clock
from pledgewatch_wire.topics import Kind

OPERATOR = "harbour-line"


class Killed(Exception):  # noqa: N818 - not an error of the program's
    """The program that was running is gone."""


class Dice:
    """Chance from a seed, and the crash points that it strikes."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.is_calm = False
        self.kills = 0

    def __call__(self, share: float) -> bool:
        """Whether something of this likelihood happens now."""
        return not self.is_calm and self.random.random() < share

    def crash_point(self) -> None:
        """The program may die here."""
        if self(0.04):
            self.kills += 1
            raise Killed


class DyingStore(MemoryStore):
    """A store whose process may be killed before and after every commit. What is committed outlives it."""

    def __init__(self, dice: Dice) -> None:
        super().__init__("simulation")
        self._dice = dice

    def append(self, *arguments: Any, **named: Any) -> None:
        self._dice.crash_point()
        super().append(*arguments, **named)
        self._dice.crash_point()

    def delivered(self, message: OutboxMessage, record: DeliveryRecord) -> None:
        self._dice.crash_point()
        super().delivered(message, record)


class Edge:
    """A device: the real spool in a folder, and what the real uplink chooses to send of it: alarms, then what is live,
    then the backlog, so that readings arrive out of order though nothing goes wrong."""

    def __init__(self, folder: Path, name: str, dice: Dice) -> None:
        self.folder, self.name, self.dice = folder, name, dice
        self._topic = topics.topic(OPERATOR, name, Kind.UP)
        folder.mkdir()
        self.key = load_or_create_key(folder)
        self.public_key = public_key_hex(self.key)
        self.spool = self._open()
        self.connect()
        self.clock_ms = NOON_MS
        self.measured: list[int] = []  # the moments, each once

    def _open(self) -> Spool:
        return open_spool(self.folder, self.name, self.key, Limits(2**26, 7, 1e9), lambda: 0.0)

    def connect(self) -> None:
        """A new connection, on which nothing counts as sent."""
        settings = UplinkSettings(readings_per_payload=5, in_flight_readings=40)
        self.sending = Sending(settings, self.spool, Budget(self.folder, 0), self._topic, lambda: 0.0)
        self.sending.begin(0)

    def restart(self) -> None:
        """Killed and started again: nothing but the disk is left."""
        self.spool.close()
        self.spool = self._open()
        self.connect()

    def measure(self) -> None:
        """Some readings, spooled."""
        samples = []
        for _ in range(self.dice.random.randrange(1, 6)):
            self.clock_ms += self.dice.random.randrange(1, 30) * 60_000
            place = AT_SEA if self.dice.random.random() < 0.7 else IN_LOS_ANGELES
            cells = (*position(place), temperature(self.dice.random.choice([5_000, 5_100, 9_000])))
            is_urgent = self.dice.random.random() < 0.1
            samples.append(Sample(self.clock_ms, Clock.GPS, tuple(sorted(cells)), is_urgent))
        self.spool.append(samples)
        self.measured += [one.measured_at_ms for one in samples]

    def copy(self, folder: Path) -> None:
        """A copy of the state folder, made while the agent is stopped."""
        self.spool.close()
        shutil.copytree(self.folder, folder)
        self.spool = self._open()
        self.connect()

    def put_back(self, folder: Path) -> None:
        """The copy takes the place of the state folder."""
        self.spool.close()
        shutil.rmtree(self.folder)
        folder.rename(self.folder)
        self.spool = self._open()
        self.connect()

    def send(self) -> Iterator[Message]:
        """The next payload, if there is something to send."""
        if payload := self.sending.next():
            yield Message(self._topic, payload.data, False, 0, 0.0)  # noqa: FBT003

    def hear(self, committed: Committed) -> None:
        """The cloud's word. Where it says that the counter was put back, the agent ends and is started again."""
        try:
            self.sending.hear(committed, 0)
        except SpoolCorruptError:
            self.restart()


class Broker:
    """Holds messages for the cloud, badly."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.queue: list[Message] = []

    def publish(self, messages: Iterable[Message]) -> None:
        for one in messages:
            if not self.dice(0.1):
                self.queue.append(one)
            if self.dice(0.1):
                self.queue.append(one)
        if self.dice(0.1):
            self.dice.random.shuffle(self.queue)
        if self.dice(0.02):
            self.queue.clear()

    def take(self) -> list[Message]:
        """Some messages, still in the queue until they are acknowledged."""
        return self.queue[: self.dice.random.randrange(1, 6)]

    def acknowledge(self, messages: list[Message]) -> None:
        del self.queue[: len(messages)]


class Bank:
    """A core that books each id once, answers as the dice say, and outlives everything."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.ledger: dict[str, OutboxMessage] = {}
        self.repeats = 0

    async def deliver(self, message: OutboxMessage, _: IsWithdrawn) -> Attempt:
        if self.dice(0.2):
            return Attempt(Answer.LATER, "HTTP 503")
        self.repeats += message.id in self.ledger
        self.ledger.setdefault(message.id, message)
        return Attempt(Answer.LATER, "the answer was lost") if self.dice(0.2) else Attempt(Answer.TAKEN)


class World:
    """All of it, wired."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = Dice(seed)
        self.edges = [Edge(folder / name, name, self.dice) for name in ("left", "right")]
        self.broker, self.bank, self.clock = Broker(self.dice), Bank(self.dice), ManualClock()
        self.store = DyingStore(self.dice)
        self.dice.is_calm = True
        self.spine = self._start_spine()
        self.spine.commit(drafts.amend, book_document(*self.edges))  # type: ignore[arg-type]  # a name and a public key is all it asks
        self.dice.is_calm = False

    def run(self, rounds: int) -> None:
        """Let everything happen, then let the dice rest until all has arrived."""
        asyncio.run(self._run(rounds))

    def happen(self, rounds: int) -> None:
        """Let everything happen for a while."""
        asyncio.run(self._happen(rounds))

    async def _happen(self, rounds: int) -> None:
        for _ in range(rounds):
            await self._round()

    async def _run(self, rounds: int) -> None:
        await self._happen(rounds)
        self.dice.is_calm = True
        for edge in self.edges:
            edge.spool.checkpoint()
        for turn in range(10_000):
            for edge in self.edges:
                if turn % 40 == 0:
                    edge.connect()
            await self._round(measuring=False)
            if not self.broker.queue and not any(edge.spool.spooled for edge in self.edges) and not self._pending():
                return
        raise AssertionError("it does not come to rest")

    async def _round(self, *, measuring: bool = True) -> None:
        self.clock.at_ms = max(self.clock.at_ms + 60_000, *(edge.clock_ms for edge in self.edges))
        for edge in self.edges:
            if measuring and self.dice.random.random() < 0.5:
                edge.measure()
            if self.dice(0.05):
                edge.restart()
            if self.dice(0.1):
                edge.connect()  # the link was lost: all again that is not committed
            self.broker.publish(edge.send())
        try:
            await self._cloud()
        except Killed:
            self.spine = self._start_spine()

    async def _cloud(self) -> None:
        messages = self.broker.take()
        state = self.spine.state
        decoded = Decoder().decode(messages, self.clock.now_ms(), state.book.installations, state.identities.barred)
        self.spine.take(decoded.arrivals, decoded.unreadable)
        self.dice.crash_point()
        self.broker.acknowledge(messages)
        if self.dice.random.random() < 0.2:
            self.spine.tick()
        for edge in self.edges:
            if self.dice.random.random() < 0.4 and not self.dice(0.3):
                known = self.spine.state.devices.get((edge.name, edge.spool.epoch))
                edge.hear(committed_of(edge.spool.epoch, known))
        for one in self.store.dead_letters():  # ten failures in a row come about; a person sends it again
            self.store.send_again(one.endpoint, one.message.id, self.clock.now_ms())
        relay = Relay(
            self.store,
            self.bank,
            self.clock,
            self.dice.random,
            settings=RelaySettings(retry_scale=0.001),
        )
        await relay.deliver_due()

    def _start_spine(self) -> Spine:
        return Spine(self.store, self.clock, snapshot_every_entries=10)

    def _pending(self) -> int:
        return self.store.counts().outbox_pending


def assert_nothing_is_lost_and_nothing_acts_twice(folder: Path, seed: int) -> None:
    """Laws 1 and 5, of what has become of a world when everything has calmed down."""
    world = World(folder, seed)
    world.run(rounds=120)
    assert world.dice.kills > 3, "a run in which nothing dies proves nothing"

    for edge in world.edges:
        held = sorted(one.sequence for one in world.store.readings([edge.name], 10**9))
        assert held == list(range(1, edge.spool.measured_total + 1))
        state = world.spine.state.devices[edge.name, edge.spool.epoch]
        assert state.marks == Marks(edge.spool.head_sequence)
        assert state.chain_hash == edge.spool.chain_hash
        assert state.suspicions == 0

    sent = sorted(world.store._outbox.values(), key=lambda one: one.sequence)
    booked = list(world.bank.ledger.values())
    assert len(sent) > 2
    assert [one.sequence for one in booked] == list(range(1, len(sent) + 1)), "every message, once, in order"
    assert [one.body for one in booked] == [one.body for one in sent]
    releases = [one.id for one in booked if one.type == "release_disbursement"]
    assert len(releases) <= len(world.edges)

    world.store._snapshots = []
    assert state_module.digest(recover(world.store)) == state_module.digest(world.spine.state)
