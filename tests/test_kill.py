"""Nothing lost, nothing twice: agent, broker and cloud are killed at random moments while readings flow.

Real processes, SIGKILL, a broker whose own store is wiped in some of the rounds, a core that loses answers.
Afterwards the journal holds every sequence, each decided on once; the chain verifies without a gap; the core's ledger
holds every message once and in order.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random, SystemRandom

import pytest
from brokers import BrokerProcess, started
from builders import fence
from station import OPERATOR, Station, opened

from pledgewatch_cloud.decide.batch import Readings
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.replay import replay
from pledgewatch_edge.spool.file import status
from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.onewire import OneWireTree
from pledgewatch_sim.pty_port import PtyPort
from pledgewatch_sim.receiver import Position, Receiver, ReceiverFaults, ReceiverSettings
from pledgewatch_wire import chain

KILLS_EACH = 20
MESSAGES_AT_LEAST = 25
PATIENCE_S = 300.0  # what is uncommitted is sent again after ever longer pauses while the cloud is away
DEVICES = ("left", "right")
PROBE = "28-0000000000aa"
SEED = SystemRandom().randrange(2**32)  # another each time; a failure prints it
SENSORS = f"""
[gps]
port = "{{0}}/tty"
baud = 115200
[onewire]
root = "{{0}}/w1"
interval_s = 0.2
probes = ["{PROBE}"]
"""


class World:
    """Two devices' surroundings: a receiver on a pty and a probe whose goods are too warm every other second."""

    def __init__(self, station: Station, seed: int) -> None:
        self._station = station
        self._clock = SimulationClock(1_767_268_800_000, 60.0)
        self._random = Random(seed)
        self.ports = {name: PtyPort(station.folder / name / "tty") for name in DEVICES}

    @contextlib.asynccontextmanager
    async def turning(self) -> AsyncIterator[None]:
        """As long as it lasts, there is something to measure."""
        async with contextlib.AsyncExitStack() as stack:
            tasks = []
            for name, port in self.ports.items():
                await stack.enter_async_context(port)
                faults = ReceiverFaults(garbage=0.05, flipped_bit=0.05, cut_sentence=0.05, lost_fix=0.01)
                settings = ReceiverSettings(interval_s=0.1, faults=faults)
                receiver = Receiver(self._clock, _place, port, Random(self._random.random()), settings)
                tree = OneWireTree(self._station.folder / name / "w1", {PROBE: _temperature}, self._clock.now_ms)
                tasks += [asyncio.create_task(receiver.run()), asyncio.create_task(tree.run(0.2))]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def _place(at_ms: int) -> Position:
    return Position(33.7 + (at_ms // 60_000 % 40) / 10, -118.3, 5.0, 0.0)


def _temperature(at_ms: int) -> int:
    return 9_000 if at_ms // 60_000 % 2 else 5_000


def book_of(keys: dict[str, str]) -> dict[str, object]:
    """Each device an asset with a lot that may not be warm at all, and a fence that the asset sails in and out of."""
    limit = {"channel": "temperature_mc", "low": 2_000, "high": 8_000, "grace_s": 0}
    ring = [[-119.0, 33.0], [-118.0, 33.0], [-118.0, 35.0], [-119.0, 35.0], [-119.0, 33.0]]
    facility = {"lender": "bank", "borrower": "exporter", "currency": "USD", "outstanding_minor": 1}
    return {
        "fences": {"type": "FeatureCollection", "features": [fence("harbour", ring)]},
        "installations": [
            {"device": one, "operator": OPERATOR, "asset": one, "public_key": key, "silent_after_s": 600}
            for one, key in keys.items()
        ],
        "facilities": [{"id": f"facility-{one}", **facility} for one in keys],
        "prices": [{"sku": "sofa", "unit_price_minor": 100, "currency": "USD"}],
        "lots": [
            {
                "id": f"lot-{one}",
                "asset": one,
                "facility": f"facility-{one}",
                "sku": "sofa",
                "quantity": 10,
                "limits": [limit],
            }
            for one in keys
        ],
    }


async def kill_in_turn(station: Station, broker: BrokerProcess, dice: Random) -> None:
    """Each of the three at least KILLS_EACH times, in an order that the dice say; the broker forgets now and then."""
    victims = ["agent", "broker", "cloud"] * KILLS_EACH
    dice.shuffle(victims)
    for victim in victims:
        await asyncio.sleep(dice.uniform(0.05, 0.9))
        if victim == "agent":
            agent = station.agents[dice.choice(DEVICES)]
            await asyncio.to_thread(agent.kill)
            await asyncio.sleep(dice.uniform(0, 0.3))
            agent.start()
        elif victim == "cloud":
            # One that is still starting has nothing to lose yet.
            await station.until_async(lambda: has_committed(station), "the cloud to work", PATIENCE_S)
            await asyncio.sleep(dice.uniform(0, 0.3))
            await asyncio.to_thread(station.cloud.kill)
            await asyncio.sleep(dice.uniform(0, 0.3))
            station.cloud.start()
        else:
            await asyncio.to_thread(broker.kill)
            if dice.random() < 0.4:
                broker.wipe()
            await asyncio.to_thread(broker.start)


def has_committed(station: Station) -> bool:
    """Whether the cloud has committed readings since it was started."""
    status = station.status()
    return bool(status) and status["since_start"]["readings_committed"] > 0


def assert_journal(station: Station, measured: dict[str, int]) -> None:
    """Every sequence of every device is there, decided on once, and the chain made again from raw bytes verifies."""
    replayed = replay(station.folder / "data")
    assert replayed.readings == replayed.identities == sum(measured.values())
    store = SqliteStore(station.folder / "data", read_only=True)
    leaves: dict[tuple[str, int, int], bytes] = {}
    checkpoints: dict[tuple[str, int, int], bytes] = {}
    for written in store.entries():
        content = form.read_entry(written).content
        if isinstance(content, Readings):
            assert content.suspicions == ()
            for one in content.arrivals:
                for reading in one.readings:
                    key = (one.device, one.epoch, reading.sequence)
                    assert leaves.setdefault(key, chain.leaf(reading)) == chain.leaf(reading)
                for checkpoint in one.checkpoints:
                    checkpoints[one.device, one.epoch, checkpoint.sequence] = checkpoint.signature
    store.close()
    for name in DEVICES:
        said = station.edge_says(name, "identity")
        public_key, epoch = chain.public_key(said["public_key"]), said["epoch"]
        running, signed = chain.genesis(name, epoch), 0
        for sequence in range(1, measured[name] + 1):
            running = chain.extend(running, leaves.pop((name, epoch, sequence)))
            signature = checkpoints.get((name, epoch, sequence))
            if signature is not None:
                assert chain.verifies(public_key, name, epoch, sequence, running, signature)
                signed = sequence
        assert signed > measured[name] - 20
    assert leaves == {}


def assert_ledger(station: Station, ledger: dict[str, int], booked: list[dict[str, object]]) -> None:
    """The core holds every message of the outbox once, in each facility's order."""
    store = SqliteStore(station.folder / "data", read_only=True)
    sent = [row for number in range(1, store.counts().entries + 1) for row in store.led_to(number)[1]]
    assert store.counts().outbox_pending == store.counts().outbox_dead == 0
    store.close()
    assert len(sent) >= MESSAGES_AT_LEAST
    assert sorted(str(one["id"]) for one in booked) == sorted(str(row[0]) for row in sent)
    for facility in {one["facility"] for one in booked}:
        sequences = [one["sequence"] for one in booked if one["facility"] == facility]
        assert sequences == list(range(1, len(sequences) + 1))
    assert (ledger["conflicts"], ledger["out_of_order"], ledger["gaps"], ledger["rejected"]) == (0, 0, 0, 0)


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
async def test_kills_at_random_moments(tmp_path: Path, kind: str) -> None:
    print(f"seed {SEED}")
    dice = Random(SEED)
    broker = started(kind, tmp_path / "broker", persistent=True)
    station = Station(tmp_path / "station", broker, misbehave="[misbehave]\nlose_answer_share = 0.2\n")
    keys = {name: station.add_device(name, sensors=SENSORS.format(name)) for name in DEVICES}
    station.set_book(book_of(keys))
    world = World(station, SEED)
    try:
        with opened(station):
            async with world.turning():
                for agent in station.agents.values():
                    agent.start()
                await kill_in_turn(station, broker, dice)
                await until_enough_is_booked(station)
            measured = await come_to_rest(station)
            booked = await asyncio.to_thread(all_messages, station)
            ledger = station.get(station.core_port, "/ledger")["counts"]
            assert station.get(station.api_port, "/quarantine")["counts"] == {}
    finally:
        broker.kill()
    assert min(measured.values()) > 200
    assert_journal(station, measured)
    assert_ledger(station, ledger, booked)


async def test_what_the_broker_drops_without_a_word_is_sent_again(tmp_path: Path) -> None:
    """Mosquitto acknowledges a message and drops it where its queue for an absent client is full."""
    broker = BrokerProcess("mosquitto", tmp_path, persistent=True, queued_max=10)
    broker.start()
    station = Station(tmp_path / "station", broker)
    keys = {name: station.add_device(name, sensors=SENSORS.format(name)) for name in DEVICES}
    station.set_book(book_of(keys))
    try:
        with opened(station):
            async with World(station, SEED).turning():
                for agent in station.agents.values():
                    agent.start()
                await station.until_async(
                    lambda: station.status().get("readings", 0) > 20, "the first readings", PATIENCE_S
                )
                await asyncio.to_thread(station.cloud.kill)
                at_the_kill = measured_by(station)
                # One payload for each reading, and for each of them Mosquitto has said PUBACK.
                await station.until_async(
                    lambda: min(measured_by(station)[name] - at_the_kill[name] for name in DEVICES) > 40,
                    "more",
                    PATIENCE_S,
                )
                at_the_start = measured_by(station)
                station.cloud.start()
                # While the agents stay connected: a new connection would begin with all that is uncommitted anyway.
                await station.until_async(
                    lambda: has_without_a_gap(station, at_the_start), "them to arrive", PATIENCE_S
                )
            measured = await come_to_rest(station)
    finally:
        broker.kill()
    assert all(measured[name] >= at_the_start[name] > at_the_kill[name] + 40 for name in DEVICES), measured
    assert_journal(station, measured)


def has_without_a_gap(station: Station, measured: dict[str, int]) -> bool:
    """Whether the cloud has everything up to a number of each device."""
    if not station.status():
        return False
    held = {one["device"]: one["epochs"] for one in station.get(station.api_port, "/devices")}
    return all(held[name] and held[name][0]["contiguous"] >= count for name, count in measured.items())


async def until_enough_is_booked(station: Station) -> None:
    """Readings flow on until they have led to MESSAGES_AT_LEAST: a slow machine takes longer to get there."""
    deadline = time.monotonic() + PATIENCE_S
    while len(await asyncio.to_thread(all_messages, station)) < MESSAGES_AT_LEAST and time.monotonic() < deadline:
        await asyncio.sleep(0.5)


async def come_to_rest(station: Station) -> dict[str, int]:
    """Nothing is measured any more; wait until everything has arrived. Returns what each device measured."""

    def settled() -> bool:
        status = station.status()
        if not status:
            return False
        return bool(
            status["readings"] == sum(measured_by(station).values()) and status["counts"]["outbox_pending"] == 0
        )

    for agent in station.agents.values():
        await asyncio.to_thread(agent.end)
    # What a stopping agent could not send any more, it sends when it runs again; it has nothing new to measure.
    for name in DEVICES:
        path = station.folder / f"{name}.toml"
        text = path.read_text(encoding="utf-8")
        path.write_text(text[: text.index("[onewire]")], encoding="utf-8")
        station.agents[name].start()
    await station.until_async(settled, "everything to arrive", PATIENCE_S)
    for agent in station.agents.values():
        await asyncio.to_thread(agent.end)
    return measured_by(station)


def measured_by(station: Station) -> dict[str, int]:
    """How many readings each device has measured, by its own count on its disk. Asked again and again, so no process is
    started for it."""
    return {name: int(str(status(station.folder / name)["measured"])) for name in DEVICES}


def all_messages(station: Station) -> list[dict[str, object]]:
    """The core's messages, in order of arrival."""
    found: list[dict[str, object]] = []
    after = 0
    while page := station.get(station.core_port, f"/ledger/messages?after={after}"):
        found += page
        after = page[-1]["arrival"]
    return found
