"""The whole way of money, in one process, from one seed: readings, papers and waivers come in as they like, a release
goes out, the core pays it and says so, and everything that can go wrong between these does.

The spine and the relays are the real ones, and so is the sandbox core's ledger, behind an adapter of the endpoint's
port that misbehaves. The store may be the one in memory or the one on disk. Whoever hands something in does so again
until it is acknowledged. The cloud dies at the crash points that are named here, each of them counted, or between any
two turns of the event loop; the store, the ledger and what is under way to the core outlive it. Time is a number.

    facts ─► spine ─► store ─► relay ─► core's ledger ─► answer ─► spine, store
                                   └──► other endpoints: slow, dead for long, gone and resumed
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from builders import MINUTE_MS, ManualClock
from release_story import FACILITIES, Act, Story
from simulation import Dice, Killed

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.messages import Message
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import CORE, Begin, OutboxMessage, Wanted
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import Store, StoreError
from pledgewatch_cloud.outbox.endpoint import UNCLEAR, WITHDRAWN, Answer, Attempt, Endpoint, Failure, IsWithdrawn
from pledgewatch_cloud.outbox.relay import Relay, RelaySettings
from pledgewatch_cloud.spine.spine import Spine, repeat
from pledgewatch_sim.bank import message as core_message
from pledgewatch_sim.bank.ledger import Ledger, Movement
from pledgewatch_sim.bank.message import RejectedError

CRASH_SHARE = 0.01
SCALE = 0.05
"""How much shorter schedule and outages are than in life."""
TURNS = 8
"""Turns of the event loop in a round, after the last act; what is not done by then goes on in the next round."""
SETTLING_ROUNDS = 3_000
Result = TypeVar("Result")


class CrashPoint(StrEnum):
    """Where the cloud may die between a fact and its acknowledgement."""

    BEFORE_APPEND = "before an entry is appended"
    AFTER_APPEND = "after an entry was appended, before anybody knows"
    BEFORE_SNAPSHOT = "before a snapshot is kept"
    BEFORE_DELIVERY = "before a message is handed over"
    UNDER_WAY = "while a message is under way"
    BEFORE_ANSWER = "after the core has booked, before its answer is seen"
    BEFORE_BOOKED = "after the answer, before the journal is told"
    AFTER_BOOKED = "after the journal was told, before the delivery is noted"
    BEFORE_NOTE = "before a delivery is noted"
    AFTER_NOTE = "after a delivery was noted"
    BEFORE_FAILURE_NOTED = "before a failure is noted"
    AFTER_FAILURE_NOTED = "after a failure was noted"
    BEFORE_HEARD = "after a fact was committed, before whoever handed it in hears so"
    ANYWHERE = "between two turns of the event loop"


class Crashes(Dice):
    """Chance from a seed, and how often each crash point was struck. Once it is struck the cloud does nothing more."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.struck: Counter[CrashPoint] = Counter()
        self.is_dead = False

    def crash(self, point: CrashPoint, share: float = CRASH_SHARE) -> None:
        """The cloud may die here."""
        if not self.is_dead and self(share):
            self.struck[point] += 1
            self.kills += 1
            self.is_dead = True
        if self.is_dead:
            raise Killed


class Inline(Executor):
    """Does at once what it is given, so that the same seed gives the same run."""

    def submit(self, call: Callable[..., Result], /, *arguments: Any, **named: Any) -> Future[Result]:
        done: Future[Result] = Future()
        try:
            done.set_result(call(*arguments, **named))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
            done.set_exception(error)
        return done


def dying(store: Store, dice: Crashes) -> Store:
    """A store whose process may be killed before and after what it writes, and whose disk may fail to append."""
    points = {
        "append": (CrashPoint.BEFORE_APPEND, CrashPoint.AFTER_APPEND),
        "keep_snapshot": (CrashPoint.BEFORE_SNAPSHOT, None),
        "delivered": (CrashPoint.BEFORE_NOTE, CrashPoint.AFTER_NOTE),
        "failed": (CrashPoint.BEFORE_FAILURE_NOTED, CrashPoint.AFTER_FAILURE_NOTED),
        "buried": (CrashPoint.BEFORE_FAILURE_NOTED, CrashPoint.AFTER_FAILURE_NOTED),
        "stop": (CrashPoint.BEFORE_FAILURE_NOTED, CrashPoint.AFTER_FAILURE_NOTED),
    }

    def wrapped(name: str, before: CrashPoint, after: CrashPoint | None) -> Callable[..., None]:
        real = getattr(store, name)

        def call(*arguments: Any) -> None:
            dice.crash(before, 3 * CRASH_SHARE if name == "keep_snapshot" else CRASH_SHARE)
            if name == "append" and dice(0.01):
                raise StoreError("the disk is full")
            real(*arguments)
            if after is not None:
                dice.crash(after)

        return call

    for name, (before, after) in points.items():
        setattr(store, name, wrapped(name, before, after))
    return store


class Landing(NamedTuple):
    """A message that is still under way when its sender has given up, and the round in which it comes in."""

    round: int
    message: OutboxMessage


class Core:
    """The financing core: the sandbox's own ledger behind an endpoint's port. It outlives everything.

    `order` is how messages were first booked; `landed` are those that came in after their sender had given them up,
    and `said` is what the cloud has heard of it.
    """

    def __init__(self, world: "World") -> None:
        self.world, self.dice = world, world.dice
        self.ledger = Ledger(Path(":memory:"), world.clock.now_ms)
        for facility, (currency, outstanding_minor) in FACILITIES.items():
            self.ledger.open_facility(facility, currency, outstanding_minor)
        self.order: list[tuple[str, int, str]] = []
        self.landed: set[str] = set()
        self.said: list[tuple[OutboxMessage, str]] = []
        self.storm_until = self.outage_until = 0
        self.under_way: list[Landing] = []

    async def deliver(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> Attempt:
        """One attempt; its faults are answers. The first pause is that of looking up and connecting."""
        self.dice.crash(CrashPoint.BEFORE_DELIVERY)
        await self.world.pause(0.1)
        self.world.assert_known_to_be_withdrawn(message, is_withdrawn)
        if is_withdrawn():
            return WITHDRAWN
        obstacle = self._obstacle()
        if obstacle is not None:
            return obstacle
        if self.dice(0.06):
            landing_round = self.world.round + self.dice.random.randrange(1, 8)
            self.under_way.append(Landing(landing_round, message))
            self.dice.crash(CrashPoint.UNDER_WAY, 0.2)
            await self.world.pause(0.5)
            return Attempt(Answer.LATER, "no answer in time", failure=Failure.TIMEOUT)
        release = self._book(message)
        if self.dice(0.08):
            release = self._book(message)
        self.dice.crash(CrashPoint.BEFORE_ANSWER, 0.03)
        await self.world.pause(0.25)
        if self.dice(0.3 if release else 0.15):
            if self.dice(0.3):
                self.outage_until = self.world.round + self.dice.random.randrange(3, 9)
            return Attempt(Answer.LATER, "the answer was lost", failure=Failure.TIMEOUT)
        if release and self.dice(0.05):
            # It breaks off, or a proxy answers in the core's stead.
            return Attempt(Answer.TAKEN, status=200, release=UNCLEAR)
        return Attempt(Answer.TAKEN, status=200, said=json.dumps({"release": release}).encode(), release=release)

    def weather(self) -> None:
        """Storms and outages begin, and what was under way comes in."""
        if self.dice(0.03):
            self.storm_until = self.world.round + 3
        if self.dice(0.04):
            self.outage_until = self.world.round + self.dice.random.randrange(5, 15)
        if self.dice.is_calm:
            self.storm_until = self.outage_until = 0
        due = [one for one in self.under_way if one.round <= self.world.round]
        self.under_way = [one for one in self.under_way if one.round > self.world.round]
        self.dice.random.shuffle(due)
        for one in due:
            self._book(one.message, is_late=True)

    def _obstacle(self) -> Attempt | None:
        if self.world.round < self.outage_until:
            return Attempt(Answer.LATER, "HTTP 503", failure=Failure.SERVER_ERROR, status=503)
        if self.world.round < self.storm_until and self.dice(0.8):
            return Attempt(Answer.LATER, "HTTP 500", failure=Failure.SERVER_ERROR, status=500)
        if self.dice(0.03):
            return Attempt(Answer.LATER, "HTTP 429", 30.0, Failure.RATE_LIMITED, 429)
        return None

    def _book(self, message: OutboxMessage, *, is_late: bool = False) -> str:
        """Book a message. Returns what the ledger says of its release."""
        try:
            booking = self.ledger.book(core_message.read(message.body.decode()))
        except RejectedError as error:
            raise AssertionError(f"the core refuses {message.id}: {error}") from None
        assert not booking.is_conflict, f"{message.id} was sent with two bodies"
        if all(known != message.id for _, _, known in self.order):
            self.order.append((message.facility, message.sequence, message.id))
            if is_late:
                self.landed.add(message.id)
        return booking.release


class Taker:
    """Another endpoint: it keeps what it has, in the order in which it first came."""

    def __init__(self, world: "World", *, slow: float = 0.0) -> None:
        self.world, self.dice, self.slow = world, world.dice, slow
        self.dead_until = self.gone_until = 0
        self.order: list[tuple[str, int, str]] = []

    async def deliver(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> Attempt:
        """One attempt."""
        await self.world.pause(self.slow)
        self.world.assert_known_to_be_withdrawn(message, is_withdrawn)
        if is_withdrawn():
            return WITHDRAWN
        if self.world.round < self.dead_until:
            return Attempt(Answer.LATER, "nobody there", failure=Failure.CONNECTION)
        if self.world.round < self.gone_until:
            return Attempt(Answer.GONE, "HTTP 410", failure=Failure.GONE, status=410)
        if all(known != message.id for _, _, known in self.order):
            self.order.append((message.facility, message.sequence, message.id))
        if self.dice(0.1):
            return Attempt(Answer.LATER, "the answer was lost", failure=Failure.TIMEOUT)
        return Attempt(Answer.TAKEN, status=204)


WANTED: dict[str, Wanted] = {
    CORE: Wanted(),
    "auditor": Wanted(),
    "payments": Wanted(types=("hold_release", "release_disbursement", "resume_release", "retract_release")),
    "insurer": Wanted(facilities=("facility-1",)),
}


class World:
    """All of it, wired. `folder`: where the journal is kept; None: in memory."""

    def __init__(self, seed: int, folder: Path | None = None) -> None:
        self.dice = Crashes(seed)
        self.clock = ManualClock()
        self.round = 0
        self._withdrawn: set[str] = set()
        self._folder = folder
        self.core = Core(self)
        self.others = {
            "auditor": Taker(self, slow=0.5),
            "payments": Taker(self),
            "insurer": Taker(self, slow=0.1),
        }
        self.endpoints: dict[str, Endpoint] = {CORE: self.core, **self.others}
        self.story = Story(self.dice.random)
        self.acts: list[Act] = []
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []
        self.dice.is_calm = True
        self.store = dying(MemoryStore("simulation"), self.dice) if folder is None else self._opened(folder)
        for name, wanted in WANTED.items():
            self.store.declare(name, wanted, Begin.FIRST)
        self._start()
        self.spine.commit(drafts.amend, self.story.book())
        self.dice.is_calm = False

    def run(self, rounds: int) -> None:
        """Let everything happen, then let the dice rest until all has come to rest."""
        self.acts = self.story.acts(rounds)
        self.others["payments"].dead_until = self.dice.random.randrange(rounds)
        gone_from = self.dice.random.randrange(rounds)
        asyncio.run(self._run(rounds, gone_from))

    def close(self) -> None:
        """Let go of the disk."""
        self.store.close()
        self.core.ledger.close()

    async def pause(self, share: float) -> None:
        """A turn of the event loop, and by chance some rounds."""
        await asyncio.sleep(0)
        if self.dice(share):
            sleeper = asyncio.get_running_loop().create_future()
            self._sleepers.append((self.round + self.dice.random.randrange(1, 5), sleeper))
            await sleeper

    async def _run(self, rounds: int, gone_from: int) -> None:
        for number in range(rounds):
            if number == gone_from:
                self.others["insurer"].gone_until = number + 5
            await self._round(self.dice.random.choice((1, 5, 20, 60)))
        self.dice.is_calm = True
        for taker in self.others.values():
            taker.dead_until = taker.gone_until = 0
        for _ in range(SETTLING_ROUNDS):
            await self._round(30, is_ticking=False)
            if self._is_at_rest() and not self.spine.tick().messages:
                return
        raise AssertionError(f"it does not come to rest: {self.store.endpoints()}")

    def _is_at_rest(self) -> bool:
        waiting = self._under_way() or self._sleepers or self.acts or self.core.under_way or self.core.ledger.untold(1)
        return not waiting and not any(one.pending + one.dead for one in self.store.endpoints())

    def _under_way(self) -> list[asyncio.Task[bool]]:
        return [task for relay in self.relays.values() for task in relay._under_way.values()]

    async def _round(self, minutes: int, *, is_ticking: bool | None = None) -> None:
        self.round += 1
        self.clock.at_ms += minutes * MINUTE_MS
        self.core.weather()
        for due_round, sleeper in self._sleepers:
            if due_round <= self.round and not sleeper.done():
                sleeper.set_result(None)
        self._sleepers = [one for one in self._sleepers if not one[1].done()]
        try:
            for relay in self.relays.values():
                relay.wake()
            for act in [one for one in self.acts if one.round <= self.round]:
                await self._turn(self.dice.random.randrange(3))
                self._act(act)
            if self.dice.random.random() < 0.1 if is_ticking is None else is_ticking:
                self._patiently(self.spine.tick)
            self._tell_movements()
            self._operate()
            await self._turn(TURNS)
        except Killed:
            await self._restart()

    async def _turn(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
            self.dice.crash(CrashPoint.ANYWHERE, 0.001)
            for relay in self.relays.values():
                if relay._news.is_set():
                    relay._news.clear()
                    await self._started(relay)

    async def _started(self, relay: Relay) -> None:
        """What the relay's own loop does whenever there is news."""
        with contextlib.suppress(StoreError):
            await relay._start()

    def _act(self, act: Act) -> None:
        """Somebody hands something in, and does so again in the next round where nothing is heard."""
        if self._patiently(lambda: act.do(self.spine)):
            self.dice.crash(CrashPoint.BEFORE_HEARD)
            self.acts.remove(act)

    def _patiently(self, call: Callable[[], object]) -> bool:
        """Whether it could be done; where the disk has failed it is for a later time."""
        try:
            call()
        except StoreError:
            return False
        self._withdrawn.update(self.spine.withdrawn)
        for relay in self.relays.values():
            relay.wake(self.spine.withdrawn)
        return True

    def assert_known_to_be_withdrawn(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> None:
        """What the journal has withdrawn is not handed over any more, though it was under way by then."""
        assert is_withdrawn() or message.id not in self._withdrawn, f"{message.id} was withdrawn and is sent"

    def _tell_movements(self) -> None:
        """The core tells of money that has moved, until it is heard."""
        if not self.dice.is_calm and self.dice.random.random() < 0.7:
            return
        for facility, movements in self.core.ledger.untold(100).items():
            document = {"movements": [_movement(one) for one in movements]}
            if self._patiently(lambda: self.spine.commit(drafts.move, facility, document)):  # noqa: B023 - called at once
                self.dice.crash(CrashPoint.BEFORE_HEARD)
                self.core.ledger.heard(movements)

    def _operate(self) -> None:
        """What people do: send dead letters again, lift stops, send again from somewhere, and an answer comes twice."""
        now_ms = self.clock.now_ms()
        if self.dice.is_calm or self.dice(0.1):
            for letter in self.store.dead_letters():
                self.store.send_again(letter.endpoint, letter.message.id, now_ms)
            self.store.resume("insurer", now_ms)
        if self.dice(0.02):
            name = self.dice.random.choice(list(WANTED))
            self.store.set_back(name, self.dice.random.choice(list(FACILITIES)), self.dice.random.randrange(1, 9))
        if self.core.said and self.dice(0.1):
            message, release = self.dice.random.choice(self.core.said)
            self._patiently(lambda: self.spine.commit(drafts.booked, message, release, payer=CORE))

    def _start(self) -> None:
        self.spine = Spine(self.store, self.clock, snapshot_every_entries=4)
        self.relays = {
            name: Relay(
                self.store,
                endpoint,
                self.clock,
                self.dice.random,
                name=name,
                settings=RelaySettings(retry_scale=SCALE),
                booked=self._booked if name == CORE else None,
                payer_of=self._payer_of,
                executor=Inline(),
            )
            for name, endpoint in self.endpoints.items()
        }

    def _payer_of(self, milestone: str) -> str | None:
        memo = self.spine.state.milestones.get(milestone)
        return None if memo is None or memo.released_ms == NEVER else memo.payer

    async def _booked(self, message: OutboxMessage, release: str) -> None:
        """What the relay of the core tells the journal, as the writer does it."""
        await asyncio.sleep(0)
        share = 0.04 if release else CRASH_SHARE
        self.dice.crash(CrashPoint.BEFORE_BOOKED, share)
        self.spine.commit(drafts.booked, message, release, payer=CORE)
        self.dice.crash(CrashPoint.AFTER_BOOKED, share)
        self.core.said.append((message, release))
        await asyncio.sleep(0)

    async def _restart(self) -> None:
        """The cloud is dead: nothing but the store, the core and what is under way is left. It is started again."""
        tasks = self._under_way()
        for task in tasks:
            task.cancel()
        for came_of in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(came_of, AssertionError):
                raise came_of
        self._sleepers = []
        self.dice.is_dead = False
        calm, self.dice.is_calm = self.dice.is_calm, True
        if self._folder is not None:
            self.store.close()
            self.store = self._opened(self._folder)
        self._start()
        self.dice.is_calm = calm

    def _opened(self, folder: Path) -> Store:
        return dying(SqliteStore(folder), self.dice)


class Told(NamedTuple):
    """What a journal comes to, read from its first entry: the state, every message, and what was withdrawn."""

    state: State
    messages: dict[str, Message]
    withdrawn: set[str]


def told(store: Store) -> Told:
    """Decide every entry again. Raises DamagedError where that leads to something else than was recorded."""
    state = state_module.first(store.journal)
    messages: dict[str, Message] = {}
    withdrawn: set[str] = set()
    for written in store.entries():
        _, outcome = repeat(store, state, form.read_entry(written), written.outcome)
        state = outcome.state
        assert not messages.keys() & {one.id for one in outcome.messages}, "an id was given twice"
        messages |= {one.id: one for one in outcome.messages}
        assert messages.keys() >= set(outcome.withdrawn), "what was never sent is withdrawn"
        withdrawn |= set(outcome.withdrawn)
    return Told(state, messages, withdrawn)


def by_facility(order: list[tuple[str, int, str]]) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """What an endpoint has, facility by facility, in the order in which it came."""
    for facility in sorted({one[0] for one in order}):
        yield facility, [(sequence, identity) for name, sequence, identity in order if name == facility]


def _movement(one: Movement) -> dict[str, str | int]:
    return {"id": one.id, "kind": one.kind, "at": iso(one.at_ms), "amount_minor": one.amount_minor}
