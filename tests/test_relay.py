"""A relay on its way through an outbox: in order, again until taken, once at the other end; and when it tries again."""

import asyncio
import itertools
import json
import logging
import threading
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from builders import NOON_MS, ManualClock
from hypothesis import given, settings
from hypothesis import strategies as st
from outboxes import BASE, HOLD, RELEASE, RETRACT, Bench

from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import CORE, Begin, DeliveryRecord, OutboxMessage, Wanted
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.outbox import circuit as circuit_module
from pledgewatch_cloud.outbox import schedule
from pledgewatch_cloud.outbox.circuit import OUTAGE_S, PAUSE_FIRST_S, PAUSE_MAX_S, Circuit, CircuitState
from pledgewatch_cloud.outbox.endpoint import UNCLEAR, WITHDRAWN, Answer, Attempt, Failure, IsWithdrawn
from pledgewatch_cloud.outbox.relay import Relay, RelaySettings

TAKEN = Attempt(Answer.TAKEN, status=200, said=b'{"release": "booked"}', keys="0a1b2c3d", release="booked")
LATER = Attempt(Answer.LATER, "HTTP 503", failure=Failure.SERVER_ERROR)
ODD = Attempt(Answer.LATER, "HTTP 404", failure=Failure.CLIENT_ERROR)
REFUSED = Attempt(Answer.REFUSED, "HTTP 422", failure=Failure.REFUSED)
GONE = Attempt(Answer.GONE, "HTTP 410", failure=Failure.GONE)
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


class Scripted:
    """An endpoint that answers as told, then takes everything; remembers what it was offered."""

    def __init__(self, *answers: Attempt) -> None:
        self.answers = list(answers)
        self.offered: list[str] = []
        self.taken: list[str] = []

    async def deliver(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> Attempt:
        """Answer as told."""
        self.offered.append(message.id)
        answer = self.answers.pop(0) if self.answers else TAKEN
        if answer is TAKEN:
            self.taken.append(message.id)
        return answer


def outbox_of(facilities: int, messages: int) -> MemoryStore:
    """A store whose outbox holds so many messages for each facility."""
    store = MemoryStore()
    bench = Bench(store)
    for _ in range(messages):
        bench.put(*((f"facility-{n + 1}", BASE) for n in range(facilities)))
    return store


def relay_for(store: MemoryStore, endpoint: Scripted, clock: ManualClock, **settings: float) -> Relay:
    return Relay(store, endpoint, clock, Random(1), settings=RelaySettings(**settings))  # type: ignore[arg-type]


async def drain(relay: Relay, clock: ManualClock, store: MemoryStore) -> None:
    """Let time pass until nothing is pending."""
    for _ in range(3_000):
        await relay.deliver_due()
        if store.counts().outbox_pending == 0:
            return
        clock.at_ms += 10 * MINUTE_MS
    raise AssertionError("the outbox does not drain")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def by_facility(store: MemoryStore, ids: list[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for one in ids:
        found.setdefault(store._outbox[one].facility, []).append(store._outbox[one].sequence)
    return found


async def test_each_facility_hears_its_messages_in_order_whatever_fails_between() -> None:
    store, clock = outbox_of(3, 6), ManualClock()
    dice = Random(7)
    endpoint = Scripted(*(dice.choice([TAKEN, LATER, ODD]) for _ in range(60)))
    await drain(relay_for(store, endpoint, clock), clock, store)
    assert len(endpoint.taken) == len(set(endpoint.taken)) == 18
    assert by_facility(store, endpoint.taken) == {f"facility-{n}": [1, 2, 3, 4, 5, 6] for n in (1, 2, 3)}


async def test_attempts_keep_to_the_schedule_and_then_there_are_no_more() -> None:
    """At once, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, each a little longer by chance."""
    store, clock = outbox_of(1, 1), ManualClock()
    endpoint = Scripted(*[ODD] * 99)
    relay = relay_for(store, endpoint, clock)
    attempts_ms = []
    for _ in range(100 * 360):
        before = len(endpoint.offered)
        await relay.deliver_due()
        if len(endpoint.offered) > before:
            attempts_ms.append(clock.at_ms)
        if store.dead_letters():
            break
        clock.at_ms += 10_000 if clock.at_ms - NOON_MS > MINUTE_MS else 1_000
    pauses_s = [(after - before) / 1_000 for before, after in itertools.pairwise(attempts_ms)]
    wanted_s = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert len(pauses_s) == len(wanted_s)
    for pause_s, least_s in zip(pauses_s, wanted_s, strict=True):
        assert least_s <= pause_s <= 1.1 * least_s + 10
    assert [one.error for one in store.dead_letters()] == ["HTTP 404"]


@given(st.integers(1, 9), st.floats(0, 100_000), st.floats(0.001, 1), st.integers())
def test_a_pause_is_never_shorter_than_planned_or_asked_for(
    attempts: int, asked_s: float, scale: float, seed: int
) -> None:
    pause_ms = schedule.pause_ms(attempts, asked_s, scale=scale, random=Random(seed))
    planned_s = schedule.PAUSES_S[attempts - 1] * scale
    assert pause_ms is not None
    assert max(planned_s, asked_s) - 0.001 <= pause_ms / 1_000 <= max(planned_s * 1.1, asked_s) + 0.001
    assert schedule.pause_ms(10, asked_s, scale=scale, random=Random(seed)) is None


async def test_the_endpoint_may_ask_to_be_left_alone_as_a_whole() -> None:
    store, clock = outbox_of(2, 1), ManualClock()
    asks = Attempt(Answer.LATER, "HTTP 429", 7_200.0, Failure.RATE_LIMITED, 429)
    endpoint = Scripted(asks)
    relay = relay_for(store, endpoint, clock, side_by_side=1)
    assert await relay.deliver_due() == 0
    clock.at_ms += 7_199_000
    assert (await relay.deliver_due(), len(endpoint.offered)) == (0, 1), "the other facility waits too"
    relay = relay_for(store, endpoint, clock, side_by_side=1)
    assert (await relay.deliver_due(), len(endpoint.offered)) == (0, 1), "after a restart too"
    clock.at_ms += 1_000
    assert [await relay.deliver_due() for _ in range(2)] == [1, 1]


async def test_a_person_need_not_wait_as_long_as_the_endpoint_asks_for() -> None:
    store, clock = outbox_of(2, 1), ManualClock()
    endpoint = Scripted(Attempt(Answer.LATER, "HTTP 503", 86_400.0, Failure.SERVER_ERROR, 503))
    relay = relay_for(store, endpoint, clock, side_by_side=1)
    assert [await relay.deliver_due() for _ in range(2)] == [0, 0]
    assert store.endpoint(CORE).quiet_until_ms == NOON_MS + 86_400_000
    assert store.resume(CORE, clock.at_ms)
    assert [await relay.deliver_due() for _ in range(2)] == [1, 1]


async def test_an_endpoint_that_asks_to_be_left_alone_is_not_probed() -> None:
    store, clock = outbox_of(2, 1), ManualClock()
    endpoint = Scripted(*[Attempt(Answer.LATER, "HTTP 503", 3_600.0, Failure.SERVER_ERROR, 503)] * 9)
    relay = relay_for(store, endpoint, clock, circuit_failures=1)
    await relay.deliver_due()
    offered = len(endpoint.offered)
    while clock.at_ms < NOON_MS + HOUR_MS - MINUTE_MS:
        clock.at_ms += MINUTE_MS
        await relay.deliver_due()
    assert (len(endpoint.offered), relay.circuit.state) == (offered, CircuitState.OPEN)
    clock.at_ms += MINUTE_MS
    await relay.deliver_due()
    assert len(endpoint.offered) == offered + 1


async def test_nothing_begins_while_the_wish_to_be_left_alone_is_written_down() -> None:
    """The disk has given the next messages already when the answer comes in."""
    store, clock = outbox_of(2, 1), ManualClock()
    endpoint = Scripted(Attempt(Answer.LATER, "HTTP 429", 60.0, Failure.RATE_LIMITED, 429))
    gates = {"due": threading.Event(), "leave_alone": threading.Event()}

    def held(name: str) -> None:
        real = getattr(store, name)

        def call(*arguments: Any, **named: Any) -> Any:
            given = real(*arguments, **named)
            assert gates[name].wait(60)
            return given

        setattr(store, name, call)

    relay = relay_for(store, endpoint, clock, side_by_side=2)
    (first, _) = store.due(CORE, clock.at_ms)
    held("due")
    held("leave_alone")
    starting = asyncio.create_task(relay._start())
    answered = asyncio.create_task(relay._deliver(first))
    await until(lambda: relay.metrics.attempts == 1)
    gates["due"].set()
    await starting
    assert relay._under_way == {}
    gates["leave_alone"].set()
    await answered
    assert (len(endpoint.offered), store.due(CORE, clock.at_ms)) == (1, [])


async def test_what_is_refused_for_good_holds_its_facility_and_no_other() -> None:
    store, clock = outbox_of(2, 3), ManualClock()
    endpoint = Scripted(REFUSED)
    relay = relay_for(store, endpoint, clock)
    for _ in range(5):
        await relay.deliver_due()
    (dead,) = store.dead_letters()
    assert (dead.error, dead.message.facility) == ("HTTP 422", "facility-1")
    assert by_facility(store, endpoint.taken) == {"facility-2": [1, 2, 3]}
    assert (relay.metrics.buried, relay.metrics.failures) == (1, {"refused": 1})
    store.send_again(CORE, dead.message.id, NOON_MS)
    await drain(relay, clock, store)
    assert by_facility(store, endpoint.taken)["facility-1"] == [1, 2, 3]


async def test_an_endpoint_that_is_gone_is_left_alone_until_a_person_resumes_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, clock = outbox_of(1, 2), ManualClock()
    endpoint = Scripted(GONE)
    relay = relay_for(store, endpoint, clock)
    for _ in range(3):
        await relay.deliver_due()
        clock.at_ms += 30 * 24 * HOUR_MS
    assert (len(endpoint.offered), store.endpoint(CORE).stopped_why) == (1, "HTTP 410")
    assert [one.message for one in caplog.records] == ["endpoint core wants nothing more, it is stopped: HTTP 410"]
    assert store.dead_letters() == []
    store.resume(CORE, clock.at_ms)
    await drain(relay, clock, store)
    assert len(endpoint.taken) == 2


async def test_a_delivery_leaves_its_evidence() -> None:
    store, clock = outbox_of(1, 1), ManualClock()
    endpoint = Scripted(ODD)
    relay = relay_for(store, endpoint, clock)
    await drain(relay, clock, store)
    (message_id,) = endpoint.taken
    assert store.deliveries(message_id) == [
        DeliveryRecord(CORE, message_id, clock.at_ms, 2, 200, TAKEN.said, "0a1b2c3d")
    ]


async def test_the_journal_is_told_before_the_delivery_is_noted() -> None:
    store, clock = outbox_of(1, 2), ManualClock()
    told: list[tuple[int, str, int]] = []
    fails = [StoreError("full"), None]

    async def booked(message: OutboxMessage, release: str) -> None:
        told.append((message.sequence, release, len(store.deliveries(message.id))))
        error = fails.pop(0) if fails else None
        if error is not None:
            raise error

    endpoint = Scripted(ODD)
    relay = Relay(store, endpoint, clock, Random(1), booked=booked)
    await relay.deliver_due()
    assert told == [], "what was not taken is not told"
    clock.at_ms += HOUR_MS
    with pytest.raises(StoreError):
        await relay.deliver_due()
    assert store.counts().outbox_delivered == 0, "what the journal does not know is not noted"
    await drain(relay, clock, store)
    assert told == [(1, "booked", 0), (1, "booked", 0), (2, "booked", 0)]
    assert [store._outbox[one].sequence for one in endpoint.taken] == [1, 1, 2]


async def test_a_message_that_is_withdrawn_is_not_sent() -> None:
    store, clock = MemoryStore(), ManualClock()
    bench = Bench(store)
    (release,) = bench.put(("f", RELEASE))
    endpoint = Scripted(ODD)
    relay = relay_for(store, endpoint, clock)
    await relay.deliver_due()
    bench.put(("f", BASE), withdrawn=[release])
    await drain(relay, clock, store)
    assert endpoint.offered.count(release) == 1
    assert by_facility(store, endpoint.taken) == {"f": [2]}


class Connecting(Scripted):
    """An endpoint that takes its time to connect, and asks before its first byte goes out."""

    def __init__(self, *answers: Attempt) -> None:
        super().__init__(*answers)
        self.connected = asyncio.Event()
        self.connecting: list[str] = []

    async def deliver(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> Attempt:
        """Answer as told, unless it is withdrawn."""
        self.connecting.append(message.id)
        await self.connected.wait()
        return WITHDRAWN if is_withdrawn() else await super().deliver(message, is_withdrawn)


async def test_what_is_withdrawn_while_its_endpoint_connects_is_not_sent() -> None:
    store, clock, endpoint = MemoryStore(), ManualClock(), Connecting()
    bench = Bench(store)
    release, other = bench.put(("f", RELEASE), ("g", RELEASE))
    relay = relay_for(store, endpoint, clock)
    running = asyncio.create_task(relay.run())
    await until(lambda: len(endpoint.connecting) == 2)
    (hold,) = bench.put(("f", HOLD), withdrawn=[release])
    relay.wake([release])
    relay.wake()
    await asyncio.sleep(0.05)  # rounds that must not forget it
    endpoint.connected.set()
    await until(lambda: store.counts().outbox_pending == 0)
    running.cancel()
    assert sorted(endpoint.offered) == sorted([other, hold])
    assert store.deliveries(release) == []
    assert (relay.metrics.attempts, relay.metrics.failures, relay.circuit) == (2, {}, Circuit())


async def test_what_is_withdrawn_while_the_disk_gives_it_is_not_sent() -> None:
    """It was read before the entry that withdraws it, and comes to the relay after."""
    store, clock, endpoint = MemoryStore(), ManualClock(), Connecting()
    bench = Bench(store)
    (release,) = bench.put(("f", RELEASE))
    relay = relay_for(store, endpoint, clock)
    due, goes_on = store.due, threading.Event()

    def slow(*arguments: Any, **named: Any) -> list[OutboxMessage]:
        found = due(*arguments, **named)
        assert goes_on.wait(60)
        return found

    store.due = slow  # type: ignore[method-assign]
    endpoint.connected.set()
    starting = asyncio.create_task(relay.deliver_due())
    await asyncio.sleep(0.05)
    bench.put(("f", HOLD), withdrawn=[release])
    relay.wake([release])
    goes_on.set()
    assert await starting == 0
    assert (endpoint.connecting, endpoint.offered) == ([release], [])
    store.due = due  # type: ignore[method-assign]
    assert await relay.deliver_due() == 1
    assert relay._withdrawn == set(), "what the disk gives no more need not be remembered"


async def test_a_probe_that_is_withdrawn_is_made_with_the_next_message() -> None:
    store, clock, endpoint = MemoryStore(), ManualClock(), Connecting(LATER)
    bench = Bench(store)
    (release,) = bench.put(("f", RELEASE))
    relay = relay_for(store, endpoint, clock, circuit_failures=1)
    endpoint.connected.set()
    assert (await relay.deliver_due(), relay.circuit.state) == (0, CircuitState.OPEN)
    clock.at_ms += 6_000
    endpoint.connected.clear()
    probing = asyncio.create_task(relay.deliver_due())
    await until(lambda: len(endpoint.connecting) == 2)
    bench.put(("f", HOLD), withdrawn=[release])
    relay.wake([release])
    endpoint.connected.set()
    assert (await probing, relay.circuit.state) == (0, CircuitState.OPEN)
    assert (await relay.deliver_due(), relay.circuit.state) == (1, CircuitState.CLOSED)


PLAIN = TAKEN._replace(said=b"", release="")
SAID_PLAINLY = [
    # of what, what is said of it, to whom, what counts
    (RELEASE, "", True, "taken"),
    (RELEASE, UNCLEAR, True, "no_word"),
    (HOLD, "", True, "no_word"),
    (HOLD, UNCLEAR, True, "no_word"),
    (RETRACT, "", True, "no_word"),
    (MessageType.QUESTION_RELEASE, "", True, "taken"),
    (MessageType.RESUME_RELEASE, "", True, "taken"),
    (MessageType.RESUME_RELEASE, UNCLEAR, True, "no_word"),
    (BASE, "", True, "taken"),
    (BASE, UNCLEAR, True, "taken"),
    (HOLD, "", False, "taken"),
    (RETRACT, UNCLEAR, False, "taken"),
    (RELEASE, UNCLEAR, False, "taken"),
]


@pytest.mark.parametrize(("kind", "said", "is_payer", "counts"), SAID_PLAINLY)
async def test_a_payer_must_say_whether_what_is_taken_back_has_moved(
    kind: MessageType, said: str, is_payer: bool, counts: str
) -> None:
    store, clock, told = MemoryStore(), ManualClock(), list[str]()
    (message_id,) = Bench(store).put(("f", kind))

    async def booked(message: OutboxMessage, release: str) -> None:
        told.append(f"{message.id} {release}")

    endpoint = Scripted(*[PLAIN._replace(release=said)] * 10)
    relay = Relay(store, endpoint, clock, Random(1), booked=booked if is_payer else None)
    assert relay.is_payer == is_payer
    for _ in range(400):
        await relay.deliver_due()
        clock.at_ms += HOUR_MS
    if counts == "taken":
        assert (len(endpoint.offered), store.dead_letters()) == (1, [])
        assert told == ([f"{message_id} {said}"] if is_payer else [])
        return
    (dead,) = store.dead_letters()
    assert (relay.metrics.failures, told, dead.message.attempts) == ({counts: 10}, [], 10)
    assert dead.error.endswith('answer {"release": "booked"} or {"release": "none"}')
    assert (store.deliveries(message_id), relay.circuit.state) == ([], CircuitState.CLOSED)
    endpoint.answers = [PLAIN._replace(release="none")]
    store.send_again(CORE, message_id, clock.at_ms)
    assert await relay.deliver_due() == 1
    assert told == [f"{message_id} none"]


# The circuit: what happens at which second, and the state after it. Three failures in a row open it.
CIRCUIT = [
    ("one that is never away", "0 ok, 1 ok", "closed"),
    ("two in a row", "0 no, 1 no", "closed"),
    ("an answer between", "0 no, 1 no, 2 ok, 3 no, 4 no", "closed"),
    ("three in a row", "0 no, 1 no, 2 no", "open"),
    ("a late failure of one that had begun before", "0 no, 1 no, 2 no, 3 no", "open"),
    ("and that lengthens nothing", "0 no, 1 no, 2 no, 6 no, 7 try", "probing"),
    ("a late answer to one that had begun before", "0 no, 1 no, 2 no, 3 ok", "closed"),
    ("not before the pause is over", "0 no, 1 no, 2 no, 6 try", "open"),
    ("a probe when it is over", "0 no, 1 no, 2 no, 7 try", "probing"),
    ("one probe at a time", "0 no, 1 no, 2 no, 7 try, 8 try", "probing"),
    ("a probe that is answered", "0 no, 1 no, 2 no, 7 try, 8 ok", "closed"),
    ("a probe that fails", "0 no, 1 no, 2 no, 7 try, 8 no", "open"),
    ("twice the pause then", "0 no, 1 no, 2 no, 7 try, 8 no, 17 try", "open"),
    ("and a probe after it", "0 no, 1 no, 2 no, 7 try, 8 no, 18 try", "probing"),
    ("a probe that came to no end", "0 no, 1 no, 2 no, 7 try, 8 lost", "open"),
]


@pytest.mark.parametrize(("name", "story", "state"), CIRCUIT, ids=[one[0] for one in CIRCUIT])
def test_circuits(name: str, story: str, state: str) -> None:
    circuit = Circuit()
    for moment, _, what in (one.strip().partition(" ") for one in story.split(",")):
        now_ms = NOON_MS + int(moment) * 1_000
        if what == "try":
            circuit = circuit.begun() if circuit.room(now_ms, 16) else circuit
        elif what == "lost":
            circuit = circuit.not_begun()
        else:
            circuit = circuit_module.after(circuit, now_ms, failed=what == "no", failures_max=3, scale=1).circuit
    assert circuit.state == state


def test_pauses_of_a_circuit_grow_to_their_most_and_an_outage_is_told_from_a_moment() -> None:
    circuit, now_ms, pauses_s, opened_ms = Circuit(), NOON_MS, [], 0
    for number in range(14):
        circuit = circuit_module.after(circuit.begun(), now_ms, failed=True, failures_max=1, scale=1).circuit
        opened_ms = opened_ms or now_ms
        pauses_s.append((circuit.until_ms - now_ms) / 1_000)
        now_ms = circuit.until_ms
        back = circuit_module.after(circuit, now_ms, failed=False, failures_max=1, scale=1)
        assert back.is_outage_over == (now_ms - opened_ms >= OUTAGE_S * 1_000), number
        assert back.circuit.state is CircuitState.CLOSED
    assert pauses_s[0] == PAUSE_FIRST_S
    assert pauses_s[-1] == PAUSE_MAX_S
    assert all(after in (2 * before, PAUSE_MAX_S) for before, after in itertools.pairwise(pauses_s))


async def test_who_is_away_is_not_knocked_at_by_every_facility_and_catches_up_when_back() -> None:
    """A day's outage: fifty facilities, and the attempts of one. Nothing becomes a dead letter, nothing waits on."""
    store, clock = outbox_of(50, 2), ManualClock()
    endpoint = Scripted(*[LATER] * 100_000)
    relay = relay_for(store, endpoint, clock, side_by_side=50)
    await relay.deliver_due()
    first = len(endpoint.offered)
    while clock.at_ms < NOON_MS + 24 * HOUR_MS:
        clock.at_ms += MINUTE_MS
        await relay.deliver_due()
    assert first == 50
    assert len(endpoint.offered) < 50 + 24 * 60 / 5 + 20, "one probe in five minutes"
    assert (store.dead_letters(), relay.circuit.state) == ([], CircuitState.OPEN)
    endpoint.answers.clear()
    for _ in range(4):
        clock.at_ms += 5 * MINUTE_MS
        await relay.deliver_due()
    assert store.counts().outbox_pending == 0, "no facility waits for the rest of its pause"
    assert by_facility(store, endpoint.taken) == {f"facility-{n}": [1, 2] for n in range(1, 51)}


async def test_probes_before_their_time_are_no_attempts_of_the_schedule() -> None:
    store, clock = outbox_of(1, 1), ManualClock()
    endpoint = Scripted(*[LATER] * 100_000)
    relay = relay_for(store, endpoint, clock, circuit_failures=1)
    counted = []
    for hours in (1, 3, 9, 24, 100):
        while clock.at_ms < NOON_MS + hours * HOUR_MS:
            await relay.deliver_due()
            clock.at_ms += MINUTE_MS
        waiting = store.due(CORE, 2**62) or [one.message for one in store.dead_letters()]
        counted.append(waiting[0].attempts)
    assert counted == [4, 5, 6, 7, 10], "0 s, 5 s, 5 min, 35 min, 2.6 h, 7.6 h, 17.6 h and so on"
    assert len(store.dead_letters()) == 1
    assert len(endpoint.offered) > 500


async def test_a_storm_of_errors_is_no_outage() -> None:
    """Four of five attempts fail; a short break must not use up the attempts of those that are unlucky."""
    store, clock, dice = outbox_of(5, 20), ManualClock(), Random(3)
    endpoint = Scripted(*(dice.choice([LATER, LATER, TAKEN]) for _ in range(1_000)))
    await drain(relay_for(store, endpoint, clock), clock, store)
    assert store.dead_letters() == []
    assert by_facility(store, endpoint.taken) == {f"facility-{n}": list(range(1, 21)) for n in range(1, 6)}


async def test_an_endpoint_that_lags_is_told_once_and_once_when_it_does_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    store, clock = outbox_of(1, 1), ManualClock()
    clock.at_ms = NOON_MS + 1_000
    relay = relay_for(store, Scripted(), clock, lag_alert_s=60)
    await relay.look()
    clock.at_ms += 60_000
    await relay.look()
    assert (relay.lag_s, relay.is_lagging, caplog.messages) == (60.0, False, [])
    for _ in range(3):
        clock.at_ms += 1_000
        await relay.look()
    assert (relay.lag_s, relay.is_lagging) == (63.0, True)
    await drain(relay, clock, store)
    for _ in range(2):
        await relay.look()
    assert (relay.lag_s, relay.is_lagging) == (0.0, False)
    assert caplog.messages == [
        "endpoint core lags: its oldest message is 61 s old",
        "endpoint core lags no more",
    ]


async def test_the_relay_runs_until_it_is_cancelled_and_wakes_at_once() -> None:
    store, clock = outbox_of(1, 1), ManualClock()
    endpoint = Scripted()
    relay = relay_for(store, endpoint, clock, poll_s=3_600)
    running = asyncio.create_task(relay.run())
    await until(lambda: store.counts().outbox_delivered == 1)
    store.set_back(CORE, "facility-1", 1)
    relay.wake()
    await until(lambda: len(endpoint.taken) == 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_disk_that_fails_is_told_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store, clock = outbox_of(1, 3), ManualClock()
    delivered, fails = store.delivered, [StoreError("full"), StoreError("full")]

    def failing(message: OutboxMessage, record: DeliveryRecord) -> None:
        if fails:
            raise fails.pop()
        delivered(message, record)

    store.delivered = failing  # type: ignore[method-assign]
    endpoint = Scripted()
    relay = relay_for(store, endpoint, clock, poll_s=0.01)
    running = asyncio.create_task(relay.run())
    await until(lambda: store.counts().outbox_pending == 0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [store._outbox[one].sequence for one in endpoint.taken] == [1, 1, 1, 2, 3]
    assert [one for one in caplog.messages if "full" in one] == [
        "the outbox cannot be read or written for endpoint core, trying on: full"
    ] * (2 if "the outbox can be read and written again for endpoint core" in caplog.messages[1:2] else 1)
    assert caplog.messages[-1] == "the outbox can be read and written again for endpoint core"


async def test_what_is_being_answered_when_it_ends_is_heard_out() -> None:
    store, clock = outbox_of(1, 1), ManualClock()
    begun = asyncio.Event()

    class Slow(Scripted):
        async def deliver(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> Attempt:
            begun.set()
            await asyncio.sleep(0.1)
            return await super().deliver(message, is_withdrawn)

    running = asyncio.create_task(relay_for(store, Slow(), clock).run())
    await begun.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert store.counts().outbox_delivered == 1


async def test_a_facility_that_waits_for_its_answer_keeps_no_other_waiting() -> None:
    store = outbox_of(2, 5)
    answered = asyncio.Event()

    class SlowForOne(Scripted):
        async def deliver(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> Attempt:
            if message.facility == "facility-1":
                await answered.wait()
            return await super().deliver(message, is_withdrawn)

    endpoint = SlowForOne()
    running = asyncio.create_task(relay_for(store, endpoint, ManualClock()).run())
    await until(lambda: by_facility(store, endpoint.taken) == {"facility-2": [1, 2, 3, 4, 5]})
    answered.set()
    await until(lambda: store.counts().outbox_pending == 0)
    running.cancel()
    assert len(endpoint.taken) == len(set(endpoint.taken)) == 10


async def test_a_dead_endpoint_keeps_no_other_waiting() -> None:
    store = outbox_of(3, 4)

    class Silent(Scripted):
        async def deliver(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> Attempt:
            self.offered.append(message.id)
            await asyncio.sleep(3_600)
            raise AssertionError("nobody waits so long")

    silent, quick = Silent(), Scripted()
    for name in ("silent", "quick"):
        store.declare(name, Wanted(), Begin.FIRST)
    relays = [
        Relay(store, endpoint, ManualClock(), Random(1), name=name)
        for name, endpoint in (("silent", silent), ("quick", quick))
    ]
    running = [asyncio.create_task(one.run()) for one in relays]
    await until(lambda: store.endpoint("quick").pending == 0)
    assert (len(silent.offered), store.endpoint("silent").pending) == (3, 12)
    for one in running:
        one.cancel()
    await asyncio.wait(running)


async def test_at_most_so_many_facilities_go_side_by_side() -> None:
    store, most, now = outbox_of(9, 3), 0, 0

    class Counting(Scripted):
        async def deliver(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> Attempt:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.001)
            now -= 1
            return await super().deliver(message, is_withdrawn)

    running = asyncio.create_task(relay_for(store, Counting(), ManualClock(), side_by_side=4).run())
    await until(lambda: store.counts().outbox_pending == 0)
    running.cancel()
    assert most == 4


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(deadline=None, max_examples=25)
def test_nothing_is_lost_and_order_is_kept_whatever_is_answered(seed: int, facilities: int) -> None:
    """Answers from dice, a restart now and then, and a person who sends dead letters again and resumes."""
    dice, clock, store = Random(seed), ManualClock(), outbox_of(facilities, 4)
    store.declare(CORE, Wanted(), Begin.FIRST)
    answers = [TAKEN, TAKEN, LATER, ODD, REFUSED, GONE, Attempt(Answer.LATER, "429", 60.0, Failure.RATE_LIMITED)]
    endpoint = Scripted(*(dice.choice(answers) for _ in range(200)))

    async def run() -> None:
        relay = relay_for(store, endpoint, clock)
        for _ in range(5_000):
            await relay.deliver_due()
            clock.at_ms += dice.randrange(1, 6 * HOUR_MS)
            if dice.random() < 0.1:
                relay = relay_for(store, endpoint, clock)
            for one in store.dead_letters():
                store.send_again(CORE, one.message.id, clock.at_ms)
            store.resume(CORE, clock.at_ms)
            if store.counts().outbox_pending == 0:
                return
        raise AssertionError("it does not come to rest")

    asyncio.run(run())
    assert by_facility(store, endpoint.taken) == {f"facility-{n + 1}": [1, 2, 3, 4] for n in range(facilities)}
    assert all(json.loads(store._outbox[one].body)["id"] == one for one in endpoint.taken)
