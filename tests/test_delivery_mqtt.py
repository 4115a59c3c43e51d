"""Endpoints that are topics of a broker: a real one, in a process of its own."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import paho.mqtt.client as paho
import pytest
from brokers import BrokerProcess
from outboxes import ALERT, BASE, Bench, not_withdrawn
from paho.mqtt.enums import CallbackAPIVersion

from pledgewatch_cloud.clock import SystemClock
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import Begin, OutboxMessage, Wanted
from pledgewatch_cloud.outbox.endpoint import WITHDRAWN, Answer, Failure
from pledgewatch_cloud.outbox.mqtt import TOPIC, MqttPlace, MqttTopic
from pledgewatch_cloud.outbox.relay import Relay
from pledgewatch_sim.programs import free_port

MESSAGE = OutboxMessage("j.1.0", "record_base", "facility-1", 1, b'{"id":"j.1.0"}')
# amqtt speaks MQTT 3.1.1 alone; Mosquitto both.
BROKERS = [("amqtt", False), ("mosquitto", False), ("mosquitto", True)]


@pytest.fixture(params=BROKERS, ids=["amqtt-3.1.1", "mosquitto-3.1.1", "mosquitto-5"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[BrokerProcess, MqttPlace]]:
    kind, is_v5 = request.param
    one = BrokerProcess(kind, tmp_path)
    one.start()
    yield one, MqttPlace("127.0.0.1", one.port, TOPIC, "pledgewatch-bus", is_v5=is_v5)
    one.kill()


@contextlib.asynccontextmanager
async def reader(port: int, topic: str) -> AsyncIterator[list[paho.MQTTMessage]]:
    """What comes to a topic while this is open."""
    heard: list[paho.MQTTMessage] = []
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="reader", protocol=paho.MQTTv311)
    client.on_message = lambda _, __, message: heard.append(message)

    def on_subscribe(*_: Any) -> None:
        loop.call_soon_threadsafe(ready.set)

    client.on_subscribe = on_subscribe
    await asyncio.to_thread(client.connect, "127.0.0.1", port)
    client.subscribe(topic, qos=1)
    client.loop_start()
    async with asyncio.timeout(60):
        await ready.wait()
    yield heard
    client.disconnect()
    await asyncio.to_thread(client.loop_stop)


def endpoint(place: MqttPlace, *, timeout_s: float = 60, allow_private: bool = True) -> MqttTopic:
    return MqttTopic("bus", place, timeout_s=timeout_s, allow_private=allow_private)


async def test_messages_come_to_the_topic_of_their_facility(place: tuple[BrokerProcess, MqttPlace]) -> None:
    broker, where = place
    store = MemoryStore()
    Bench(store).put(("facility-1", BASE), ("facility-2", ALERT), ("facility-1", ALERT))
    store.declare("bus", Wanted(), Begin.FIRST)
    async with reader(broker.port, "pw/1/bank/#") as heard, endpoint(where) as one:
        relay = Relay(store, one, SystemClock(), Random(1), name="bus")
        while store.endpoint("bus").pending:
            assert await relay.deliver_due()
        async with asyncio.timeout(60):
            while len(heard) < 3:
                await asyncio.sleep(0.05)
    sent = {(one.topic, json.loads(one.payload)["id"]) for one in heard}
    assert sent == {(f"pw/1/bank/bus/{one.facility}", one.id) for one in store._outbox.values()}
    of_first = [one.payload for one in heard if one.topic.endswith("facility-1")]
    assert of_first == [one.body for one in store._outbox.values() if one.facility == "facility-1"]


async def test_a_broker_that_goes_and_comes_back(place: tuple[BrokerProcess, MqttPlace]) -> None:
    broker, where = place
    async with endpoint(where, timeout_s=5) as one:
        assert (await one.deliver(MESSAGE, not_withdrawn)).answer is Answer.TAKEN
        broker.kill()
        lost = await one.deliver(MESSAGE, not_withdrawn)
        assert (lost.answer, lost.is_about_the_endpoint) == (Answer.LATER, True)
        assert (await one.deliver(MESSAGE, not_withdrawn)).failure is Failure.CONNECTION
        broker.start()
        async with asyncio.timeout(60):
            while (await one.deliver(MESSAGE, not_withdrawn)).answer is not Answer.TAKEN:
                await asyncio.sleep(0.1)


async def test_many_at_once_are_each_answered(place: tuple[BrokerProcess, MqttPlace]) -> None:
    _, where = place
    async with endpoint(where) as one:
        attempts = await asyncio.gather(*(one.deliver(MESSAGE, not_withdrawn) for _ in range(15)))
    assert {attempt.answer for attempt in attempts} == {Answer.TAKEN}


async def test_a_broker_that_says_nothing_is_given_up() -> None:
    async def silent(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stream.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with endpoint(MqttPlace("127.0.0.1", port, TOPIC, "x"), timeout_s=0.5) as one:
            attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert (attempt.answer, attempt.failure) == (Answer.LATER, Failure.TIMEOUT)


async def test_what_was_given_up_is_not_sent_later_by_itself() -> None:
    """A broker that lets us in and never says PUBACK: with the message its connection is given up."""
    links: list[asyncio.Task[bytes]] = []

    async def greets(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stream.readexactly(2)
        writer.write(b"\x20\x02\x00\x00")  # CONNACK of MQTT 3.1.1: accepted
        links.append(asyncio.create_task(stream.read(-1)))
        await links[-1]
        writer.close()

    async with await asyncio.start_server(greets, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with endpoint(MqttPlace("127.0.0.1", port, TOPIC, "x", is_v5=False), timeout_s=0.5) as one:
            attempts = [await one.deliver(MESSAGE, not_withdrawn) for _ in range(2)]
            async with asyncio.timeout(60):
                heard = await asyncio.gather(*links)
    assert [attempt.failure for attempt in attempts] == [Failure.TIMEOUT, Failure.TIMEOUT]
    assert [one.count(MESSAGE.body) for one in heard] == [1, 1]


async def test_what_is_withdrawn_while_the_broker_greets_is_not_published() -> None:
    withdrawn, asked, heard = asyncio.Event(), asyncio.Event(), list[bytes]()

    async def greets(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stream.readexactly(2)
        asked.set()
        await withdrawn.wait()
        writer.write(b"\x20\x02\x00\x00")  # CONNACK of MQTT 3.1.1: accepted
        heard.append(await stream.read(-1))
        writer.close()

    async with await asyncio.start_server(greets, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with endpoint(MqttPlace("127.0.0.1", port, TOPIC, "x", is_v5=False)) as one:
            attempt = asyncio.create_task(one.deliver(MESSAGE, withdrawn.is_set))
            await asked.wait()
            withdrawn.set()
            assert await attempt == WITHDRAWN
        async with asyncio.timeout(60):
            while not heard:
                await asyncio.sleep(0.01)
    assert MESSAGE.body not in heard[0]


async def test_a_broker_in_a_private_network_is_not_reached_unless_it_is_allowed() -> None:
    async with endpoint(MqttPlace("localhost", free_port(), TOPIC, "x"), allow_private=False) as one:
        attempt = await one.deliver(MESSAGE, not_withdrawn)
    assert (attempt.answer, attempt.failure) == (Answer.LATER, Failure.FORBIDDEN_ADDRESS)
    assert attempt.reason.startswith("localhost is at ")


async def test_a_broker_that_is_not_there_is_tried_later() -> None:
    async with endpoint(MqttPlace("127.0.0.1", free_port(), TOPIC, "x")) as one:
        assert (await one.deliver(MESSAGE, not_withdrawn)).failure is Failure.CONNECTION
