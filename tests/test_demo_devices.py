"""The demo's devices as bytes: what they send is chained and signed, and comes again until it is committed."""

import asyncio

import aiomqtt

from pledgewatch_cloud.broker import EmbeddedBroker
from pledgewatch_sim.demo.story import CONTAINERS, DAY_MS, PEARL, SPOOFED_FIXES, Script
from pledgewatch_sim.demo.trackers import CHECKPOINT_EVERY, EPOCH, Tracker, Trackers
from pledgewatch_sim.programs import free_port
from pledgewatch_sim.receiver import Position
from pledgewatch_sim.voyage import PORTS
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Committed, decode, encode_committed
from pledgewatch_wire.reading import Channel, Quality

START_MS = 1_770_000_000_000
OPERATOR = "harbour-line"


def tracker(name: str = "container-oak") -> Tracker:
    return Tracker(name, OPERATOR, 7, lambda at_ms: Position(at_ms % 80, 12.5, 0.0, 0.0), lambda _: 4_000)


def test_what_it_sends_is_chained_and_signed() -> None:
    one = tracker()
    for number in range(2 * CHECKPOINT_EVERY):
        one.measure(START_MS + number * 60_000)
    raw = one.to_send(0.0)
    assert raw is not None
    payload = decode(raw)
    assert (payload.epoch, len(payload.readings)) == (EPOCH, 2 * CHECKPOINT_EVERY)
    running = chain.genesis(one.device, EPOCH)
    hashes = chain.hashes(running, [chain.leaf(reading) for reading in payload.readings])
    assert [signed.sequence for signed in payload.checkpoints] == [CHECKPOINT_EVERY, 2 * CHECKPOINT_EVERY]
    for signed in payload.checkpoints:
        key = chain.public_key(one.public_key)
        chain_hash = hashes[signed.sequence - 1]
        assert chain.verifies(key, one.device, EPOCH, signed.sequence, chain_hash, signed.signature)


def test_what_is_not_committed_comes_again_and_what_is_does_not() -> None:
    one = tracker()
    for number in range(5):
        one.measure(START_MS + number)
    assert one.to_send(0.0) is not None
    assert one.to_send(1.0) is None, "it is under way"
    one.hear_committed(3)
    raw = one.to_send(10.0)
    assert raw is not None
    assert [reading.sequence for reading in decode(raw).readings] == [4, 5]
    one.hear_committed(99)
    assert one.committed == one.measured == 5
    assert one.to_send(99.0) is None


def test_what_was_lost_first_comes_again_while_it_measures_on() -> None:
    """Of one connection after the other the first PUBLISH is lost: the cloud had not subscribed."""
    one = tracker()
    heard: set[int] = set()
    signed: set[int] = set()
    for second in range(0, 60, 2):
        one.measure(START_MS + second * 1_000)
        raw = one.to_send(float(second))
        if second == 0 or raw is None:
            continue
        heard |= {reading.sequence for reading in decode(raw).readings}
        signed |= {checkpoint.sequence for checkpoint in decode(raw).checkpoints}
        one.hear_committed(next(number for number in range(100) if number + 1 not in heard))
        if second == 10:
            assert one.committed == one.measured, "it has come again"
    assert heard == set(range(1, one.measured + 1))
    assert signed == {8, 16, 24}
    assert one.committed == one.measured


def test_what_is_committed_is_not_sent_again_for_what_was_sent_before_it() -> None:
    one = tracker()
    for second in range(0, 40, 2):
        one.measure(START_MS + second * 1_000)
        raw = one.to_send(float(second))
        assert raw is not None
        assert [reading.sequence for reading in decode(raw).readings] == [one.measured]
        one.hear_committed(one.measured - 1)  # always one behind


async def test_nothing_is_sent_before_somebody_listens() -> None:
    port = free_port()
    one = tracker()
    trackers = Trackers([one], OPERATOR, port, lambda: START_MS + one.measured)
    running = asyncio.create_task(trackers.run(0.05))
    try:
        async with EmbeddedBroker("127.0.0.1", port), aiomqtt.Client("127.0.0.1", port) as late:
            await asyncio.sleep(0.5)
            await late.subscribe(one.topic)
            assert one.measured
            trackers.is_heard.set()
            first = await anext(aiter(late.messages))
    finally:
        running.cancel()
    assert isinstance(first.payload, bytes)
    assert decode(first.payload).readings[0].sequence == 1


def test_without_a_link_it_measures_on_and_sends_all_of_it_later() -> None:
    one = tracker()
    one.is_linked = False
    for number in range(9):
        one.measure(START_MS + number)
    assert one.to_send(0.0) is None
    one.is_linked = True
    raw = one.to_send(1.0)
    assert raw is not None
    assert len(decode(raw).readings) == 9


def test_a_broken_probe_says_so() -> None:
    one = tracker()
    one.is_broken = True
    one.measure(START_MS)
    raw = one.to_send(0.0)
    assert raw is not None
    (cell,) = [cell for cell in decode(raw).readings[0].cells if cell.channel == Channel.TEMPERATURE_MC]
    assert (cell.value, cell.quality) == (85_000, Quality.POWER_ON_VALUE)


async def test_a_broker_that_goes_and_comes_back_is_found_again() -> None:
    port = free_port()
    one = tracker()
    trackers = Trackers([one], OPERATOR, port, lambda: START_MS + one.measured)
    trackers.is_heard.set()
    running = asyncio.create_task(trackers.run(0.05))
    try:
        for _ in range(2):
            async with EmbeddedBroker("127.0.0.1", port):
                await commit_until(one, port, one.measured + 3)
            without = one.measured
            while one.measured < without + 3:
                await asyncio.sleep(0.02)
            assert one.committed < one.measured
    finally:
        running.cancel()


async def commit_until(one: Tracker, port: int, sequence: int) -> None:
    """Be a cloud that commits all that it hears, until the device knows that so much is."""
    async with asyncio.timeout(60), aiomqtt.Client("127.0.0.1", port) as cloud:
        await cloud.subscribe(one.topic)
        async for message in cloud.messages:
            assert isinstance(message.payload, bytes)
            last = decode(message.payload).readings[-1].sequence
            await cloud.publish(one.topic.replace("/up", "/committed"), encode_committed(Committed(EPOCH, last)), qos=1)
            if one.committed >= sequence:
                return


def test_a_spoofed_receiver_claims_its_port_a_few_times_and_then_tells_the_truth() -> None:
    script = Script(START_MS, 12 * DAY_MS)
    place = script.place(PEARL)
    assert PEARL.spoofed is not None
    at_ms = script.at(PEARL.spoofed) + 1
    port = PORTS[PEARL.destination]
    seen = [place(at_ms) for _ in range(SPOOFED_FIXES + 2)]
    assert [one.latitude == port.latitude for one in seen] == [True] * SPOOFED_FIXES + [False] * 2


def test_every_container_has_another_device_and_sails_in_the_story() -> None:
    script = Script(START_MS, 12 * DAY_MS)
    assert len({one.device for one in CONTAINERS}) == 24
    for one in CONTAINERS:
        assert script.voyage(one).position(script.at(0.5)).speed_mps > 1.0, one.name
        assert script.voyage(one).position(script.at(0.5)).speed_mps < 45.0, "no container is so fast"
