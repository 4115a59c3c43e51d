"""The contract of the Subscriber, for every implementation against every broker that it fits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random

import mqtt5
import paho.mqtt.client as paho
import pytest
from brokers import BrokerProcess, started
from fault_proxy import FaultProxy
from paho.mqtt.enums import CallbackAPIVersion

from pledgewatch_cloud.ingest import lifecycle
from pledgewatch_cloud.ingest.connect import AutoSubscriber, connect_subscriber
from pledgewatch_cloud.ingest.mqtt5_subscriber import PACKET_MAX_BYTES, Mqtt5Subscriber, _Link
from pledgewatch_cloud.ingest.paho_subscriber import PahoSubscriber
from pledgewatch_cloud.ingest.subscriber import BrokerAddress, Message, Subscriber
from pledgewatch_wire.codec import MAX_PAYLOAD_BYTES

PAIRS = [("5", "mosquitto"), ("3.1.1", "mosquitto"), ("3.1.1", "amqtt"), ("auto", "mosquitto"), ("auto", "amqtt")]
# amqtt delivers nothing again and keeps nothing for who is away: devices send again what was not committed. What the
# contract says of that is held with a broker that does it.
REDELIVERING = PAIRS
TOPIC = "pw/1/harbour-line/container-1/up"


class Case:
    """A broker, and a way to make subscribers to it."""

    def __init__(self, protocol: str, broker: BrokerProcess) -> None:
        self.protocol = protocol
        self.broker = broker

    def subscriber(self, *, port: int | None = None, receive_maximum: int = 50, keep_alive_s: int = 30) -> Subscriber:
        """A subscriber to everything of devices, of one session."""
        address = BrokerAddress(
            "127.0.0.1",
            port or self.broker.port,
            "cloud-under-test",
            receive_maximum=receive_maximum,
            keep_alive_s=keep_alive_s,
            reconnect_max_s=0.2,
        )
        return connect_subscriber(address, ["pw/1/+/+/up", "pw/1/+/+/status"], self.protocol)

    def publish(self, *payloads: bytes, topic: str = TOPIC, retain: bool = False) -> None:
        """Publish with QoS 1 and wait until the broker has them."""
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="device")
        client.connect("127.0.0.1", self.broker.port)
        client.loop_start()
        for one in payloads:
            client.publish(topic, one, qos=1, retain=retain).wait_for_publish(60)
        client.disconnect()
        client.loop_stop()


redelivering = pytest.mark.parametrize(
    "case", REDELIVERING, ids=["-".join(pair) for pair in REDELIVERING], indirect=True
)


@pytest.fixture(params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    protocol, kind = request.param
    broker = started(kind, tmp_path / "broker")
    yield Case(protocol, broker)
    broker.kill()


async def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    """Wait for something that another process does."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


async def received(subscriber: Subscriber, count: int, timeout_s: float = 60) -> list[Message]:
    """Exactly so many messages."""
    found: list[Message] = []
    async with asyncio.timeout(timeout_s):
        while len(found) < count:
            found += await subscriber.receive(count - len(found))
    return found


@contextlib.asynccontextmanager
async def connected(subscriber: Subscriber) -> AsyncIterator[Subscriber]:
    """The subscriber, once its subscription stands."""
    async with subscriber:
        await until(lambda: subscriber.connected)
        yield subscriber


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [f"{number}".encode() for number in range(start, start + count)]


async def test_messages_come_in_order_with_their_topics(case: Case) -> None:
    async with connected(case.subscriber()) as subscriber:
        await asyncio.to_thread(case.publish, *numbered(40))
        found = await received(subscriber, 40)
        assert [one.payload for one in found] == numbered(40)
        assert {one.topic for one in found} == {TOPIC}
        tokens = [one.token for one in found]
        assert tokens == sorted(set(tokens))
        subscriber.acknowledge(found)
        assert subscriber.counts.acknowledged == 40


async def test_receive_takes_no_more_than_its_limit(case: Case) -> None:
    async with connected(case.subscriber()) as subscriber:
        await asyncio.to_thread(case.publish, *numbered(10))
        await until(lambda: subscriber.counts.received == 10)
        assert [len(await subscriber.receive(4)) for _ in range(3)] == [4, 4, 2]


@redelivering
async def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(case: Case) -> None:
    async with connected(case.subscriber()) as first:
        await asyncio.to_thread(case.publish, *numbered(10))
        found = await received(first, 10)
        first.acknowledge(found[:6])
        await asyncio.sleep(0.2)  # amqtt loses acknowledgements right before the end of a link, and says of none
    async with connected(case.subscriber()) as second:
        again = await received(second, 4)
        assert [one.payload for one in again] == numbered(4, 6)
        second.acknowledge(again)
        await asyncio.to_thread(case.publish, b"new")
        assert [one.payload for one in await received(second, 1)] == [b"new"]


@redelivering
async def test_what_is_on_disk_out_of_order_is_acknowledged_in_order(case: Case) -> None:
    async with connected(case.subscriber()) as first:
        await asyncio.to_thread(case.publish, *numbered(6))
        found = await received(first, 6)
        first.acknowledge([found[4], found[1]])
        assert first.counts.acknowledged == 0
        first.acknowledge(found[:1])
        assert first.counts.acknowledged == 2, "the first two; the fifth waits for what is before it"
        await asyncio.sleep(0.2)  # amqtt loses acknowledgements right before the end of a link, and says of none
    async with connected(case.subscriber()) as second:
        assert [one.payload for one in await received(second, 4)] == numbered(4, 2)


@redelivering
async def test_messages_sent_while_nobody_listened_are_delivered(case: Case) -> None:
    async with connected(case.subscriber()):
        pass
    await asyncio.to_thread(case.publish, *numbered(5))
    async with connected(case.subscriber()) as subscriber:
        assert [one.payload for one in await received(subscriber, 5)] == numbered(5)


async def test_no_more_than_the_maximum_is_held_unacknowledged(case: Case) -> None:
    async with connected(case.subscriber(receive_maximum=8)) as subscriber:
        publishing = asyncio.create_task(asyncio.to_thread(case.publish, *numbered(100)))
        await until(lambda: subscriber.counts.received >= 8)
        await asyncio.sleep(0.3)
        # A 3.1.1 broker sends what is in one read of the socket before it can be held back.
        slack = 0 if case.protocol == "5" else 60
        assert subscriber.counts.received <= 8 + slack or case.protocol == "auto"
        found: list[Message] = []
        async with asyncio.timeout(60):
            while len(found) < 100:
                some = await subscriber.receive(8)
                subscriber.acknowledge(some)
                found += some
        assert [one.payload for one in found] == numbered(100)
        await publishing


async def test_a_killed_broker_is_waited_for(case: Case) -> None:
    async with connected(case.subscriber()) as subscriber:
        case.broker.kill()
        await until(lambda: not subscriber.connected)
        assert await subscriber.publish("pw/1/harbour-line/container-1/committed", b"word") is False
        await asyncio.to_thread(case.broker.start)
        await until(lambda: subscriber.connected)
        await asyncio.to_thread(case.publish, b"after")
        assert [one.payload for one in await received(subscriber, 1)] == [b"after"]


async def test_a_broker_that_comes_later_is_found(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    case.broker.kill()
    async with case.subscriber() as subscriber:
        await until(lambda: f"the broker at 127.0.0.1:{case.broker.port} is away" in caplog.text)
        assert not subscriber.connected
        await asyncio.to_thread(case.broker.start)
        await until(lambda: subscriber.connected)


@redelivering
async def test_a_link_that_is_cut_is_made_again_and_old_tokens_do_no_harm(case: Case) -> None:
    async with FaultProxy(case.broker.port, Random(1)) as proxy, connected(case.subscriber(port=proxy.port)) as one:
        await asyncio.to_thread(case.publish, *numbered(5))
        old = await received(one, 5)
        proxy.cut()
        again = await received(one, 5)
        assert [message.payload for message in again] == numbered(5)
        one.acknowledge(old)
        assert one.counts.acknowledged == 0
        one.acknowledge(again)
        assert one.counts.acknowledged == 5


async def test_a_link_on_which_nothing_moves_is_given_up(case: Case) -> None:
    async with (
        FaultProxy(case.broker.port, Random(1)) as proxy,
        connected(case.subscriber(port=proxy.port, keep_alive_s=2)) as subscriber,
    ):
        assert subscriber.counts.connections == 1
        proxy.half_open()
        await until(lambda: not subscriber.connected)
        proxy.resume()
        proxy.cut()
        await until(lambda: subscriber.connected)
        assert subscriber.counts.connections >= 2
        await asyncio.to_thread(case.publish, b"after")
        assert [one.payload for one in await received(subscriber, 1)] == [b"after"], "the new link carries"


@redelivering
async def test_a_slow_lossy_link_loses_nothing_that_counts(case: Case) -> None:
    async with (
        FaultProxy(case.broker.port, Random(5)) as proxy,
        connected(case.subscriber(port=proxy.port)) as subscriber,
    ):
        proxy.delay_s, proxy.loss_share = 0.002, 0.05
        await asyncio.to_thread(case.publish, *numbered(200))
        found: set[bytes] = set()
        async with asyncio.timeout(60):
            while len(found) < 200:
                some = await subscriber.receive(10)
                found |= {one.payload for one in some}
                subscriber.acknowledge(some)
        assert found == set(numbered(200))
        assert subscriber.counts.connections > 1, "links were lost on the way, or nothing was shown"


async def test_what_is_published_reaches_others_and_is_retained(case: Case) -> None:
    async with connected(case.subscriber()) as subscriber:
        assert await subscriber.publish("pw/1/harbour-line/container-1/status", b"here", retain=True)
        (own,) = await received(subscriber, 1)
        assert own.payload == b"here"
        subscriber.acknowledge([own])
        async with connected(_other(case)) as other:
            (found,) = await received(other, 1)
            assert (found.payload, found.retained) == (b"here", True)


def _other(case: Case) -> Subscriber:
    address = BrokerAddress("127.0.0.1", case.broker.port, "somebody-else")
    return connect_subscriber(address, ["pw/1/+/+/status"], case.protocol)


async def test_auto_speaks_what_the_broker_speaks(case: Case) -> None:
    if case.protocol != "auto":
        return
    async with connected(case.subscriber()) as subscriber:
        assert isinstance(subscriber, AutoSubscriber)
        wanted = Mqtt5Subscriber if case.broker.kind == "mosquitto" else PahoSubscriber
        assert isinstance(subscriber._chosen, wanted)


async def test_a_broker_that_talks_nonsense_is_left_and_tried_again() -> None:
    visits: list[str] = []

    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append("again")
        writer.write(b"\xff" * 64)
        await writer.drain()
        with contextlib.suppress(OSError):
            await reader.read(100)
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for protocol in ("5", "3.1.1"):
            visits.clear()
            address = BrokerAddress("127.0.0.1", port, "cloud", reconnect_max_s=0.1)
            async with connect_subscriber(address, ["pw/1/+/+/up"], protocol) as subscriber:
                await until(lambda: len(visits) >= 2)
                assert not subscriber.connected


async def test_a_link_that_ends_between_two_calls_is_no_error_of_either(tmp_path: Path) -> None:
    """paho closes its socket at once; what still waits to be taken and acknowledged must not touch it again."""
    broker = started("amqtt", tmp_path / "broker")
    case = Case("3.1.1", broker)
    async with connected(case.subscriber()) as one:
        assert isinstance(one, PahoSubscriber)
        await asyncio.to_thread(case.publish, *numbered(10))
        await until(lambda: one.counts.received == 10)
        assert one._client is not None
        one._client._sock_close()
        found = await one.receive(10)
        one.acknowledge(found)
        await until(lambda: not one.connected)
        await until(lambda: one.connected)
    broker.kill()


async def test_a_shared_subscription_divides_the_messages(tmp_path: Path) -> None:
    broker = started("mosquitto", tmp_path / "broker")
    case = Case("5", broker)
    filters = ["$share/ingestors/pw/1/+/+/up"]
    some = [
        connect_subscriber(BrokerAddress("127.0.0.1", broker.port, f"ingestor-{number}"), filters, "5")
        for number in range(2)
    ]
    try:
        async with some[0], some[1]:
            await until(lambda: all(one.connected for one in some))
            case.publish(*(b"%d" % number for number in range(20)))
            await until(lambda: sum(one.waiting for one in some) == 20)
            taken = [message.payload for one in some for message in await one.receive(20)]
    finally:
        broker.kill()
    assert sorted(taken, key=int) == [b"%d" % number for number in range(20)]
    assert all(0 < one.counts.received < 20 for one in some)


async def test_a_topic_alias_stands_for_the_topic_it_was_given_with() -> None:
    """A broker that sends each topic once and its alias from then on, as one may that is told of our maximum."""
    asked: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connect, _ = mqtt5.read(memoryview(await reader.read(4_096)))
        assert isinstance(connect, mqtt5.ConnectPacket)
        asked.append(connect.topic_alias_max)
        writer.write(mqtt5.ConnAckPacket(session_present=False, reason_code=mqtt5.ConnAckReasonCode.SUCCESS).write())
        subscribe, _ = mqtt5.read(memoryview(await reader.read(4_096)))
        assert isinstance(subscribe, mqtt5.SubscribePacket)
        granted = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]
        writer.write(mqtt5.SubAckPacket(subscribe.packet_id, granted).write())
        sent = [("first", 1), ("second", 2), ("", 1), ("", 2), ("third", 1), ("", 1), ("", 9)]
        for number, (topic, alias) in enumerate(sent, 1):
            qos = mqtt5.QoS.AT_LEAST_ONCE
            packet = mqtt5.PublishPacket(topic, b"%d" % number, qos=qos, packet_id=number, topic_alias=alias)
            writer.write(packet.write())
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = BrokerAddress("127.0.0.1", server.sockets[0].getsockname()[1], "cloud")
    async with server:
        async with Mqtt5Subscriber(address, ["#"], Random(1)) as subscriber:
            await until(lambda: subscriber.waiting == 7)
            topics = [one.topic for one in await subscriber.receive(10)]
        await ended.wait()
    assert topics == ["first", "second", "first", "second", "third", "third", ""]
    assert asked == [65_535]


async def test_a_payload_that_is_too_long_is_shortened_and_never_dropped(case: Case) -> None:
    """What it begins with reaches the quarantine, what comes after it is whole, whatever the protocol."""
    async with connected(case.subscriber()) as subscriber:
        case.publish(b"before", b"x" * 3_000_000, b"after", b"y" * 1_200_000, b"last")
        taken: list[bytes] = []
        async with asyncio.timeout(60):
            while len(taken) < 5:
                messages = await subscriber.receive(50)
                taken += [one.payload for one in messages]
                subscriber.acknowledge(messages)
    assert [one[:6] for one in taken] == [b"before", b"xxxxxx", b"after", b"yyyyyy", b"last"]
    assert min(len(taken[1]), len(taken[3])) > MAX_PAYLOAD_BYTES


async def test_auto_asks_again_when_another_broker_takes_the_place(tmp_path: Path) -> None:
    first = started("mosquitto", tmp_path / "first")
    case = Case("auto", first)
    async with connected(case.subscriber()) as subscriber:
        assert isinstance(subscriber, AutoSubscriber)
        case.publish(b"old")
        (old,) = await subscriber.receive(10)
        first.kill()
        case.broker = second = BrokerProcess("amqtt", tmp_path, port=first.port)
        second.start()
        try:
            await until(lambda: subscriber.connected and isinstance(subscriber._chosen, PahoSubscriber), 60)
            case.publish(b"new")
            (new,) = await subscriber.receive(10)
            assert (new.payload, new.token > old.token) == (b"new", True)
            subscriber.acknowledge([old])
            assert subscriber.counts.acknowledged == 0, "what another broker delivered acknowledges nothing here"
            subscriber.acknowledge([new])
            assert subscriber.counts.acknowledged == 1
        finally:
            second.kill()
    assert await subscriber.receive(10) == []


@pytest.mark.parametrize("chunk", [1_000, 65_536, 262_144])
async def test_of_a_packet_that_is_too_long_no_more_is_held_than_may_be(chunk: int) -> None:
    """However it is cut (asyncio reads 262,144 bytes at most), the packets before and after it are whole."""
    qos = mqtt5.QoS.AT_LEAST_ONCE
    payloads = [
        b"before",
        b"x" * 3_000_000,
        b"after",
        b"y" * (PACKET_MAX_BYTES + 1),
        b"z" * (PACKET_MAX_BYTES - 99),
        b"last",
    ]
    text = b"".join(
        mqtt5.PublishPacket(TOPIC, payload, qos=qos, packet_id=number).write()
        for number, payload in enumerate(payloads, 1)
    )
    arrived: list[mqtt5.PublishPacket] = []
    link = _Link(lambda _, packet: arrived.append(packet))
    most = 0
    for start in range(0, len(text), chunk):
        link.data_received(text[start : start + chunk])
        most = max(most, len(link._buffer))
    assert most <= PACKET_MAX_BYTES + chunk
    assert [(one.topic, one.packet_id) for one in arrived] == [(TOPIC, number) for number in range(1, 7)]
    assert [one.payload for one in (arrived[0], arrived[2], *arrived[4:])] == [payloads[0], payloads[2], *payloads[4:]]
    for one, whole in ((arrived[1], payloads[1]), (arrived[3], payloads[3])):
        assert MAX_PAYLOAD_BYTES < len(one.payload) < PACKET_MAX_BYTES
        assert whole.startswith(one.payload)


async def test_an_answer_that_the_broker_does_not_let_through_is_counted_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rights = tmp_path / "rights"
    rights.write_text("topic read #\n", encoding="ascii")
    rights.chmod(0o644)
    extra = f"listener %d 127.0.0.1\nallow_anonymous true\nacl_file {rights}"
    broker = BrokerProcess("mosquitto", tmp_path, extra=extra)
    broker.start()
    try:
        async with connected(Case("5", broker).subscriber()) as subscriber:
            for _ in range(3):
                assert await subscriber.publish("pw/1/harbour-line/container-1/committed", b"word")
            await until(lambda: subscriber.counts.refused == 3)
    finally:
        broker.kill()
    said = [one.getMessage() for one in caplog.records if "does not let us publish" in one.getMessage()]
    assert len(said) == 1


@pytest.mark.parametrize("bound", ["messages", "bytes"])
async def test_a_broker_that_sends_more_than_it_may_is_read_no_further(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 messages of 10 kB where 8 may be on their way, or 100 kB."""
    most = 16
    if bound == "bytes":
        most = 10
        monkeypatch.setattr(lifecycle, "HELD_MAX_BYTES", 100_000)
    read_at_once = 256 * 1024 // 10_000 + 1

    ended = asyncio.Event()

    async def overdo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_024)
        writer.write(mqtt5.ConnAckPacket().write())
        await reader.read(1_024)
        writer.write(mqtt5.SubAckPacket(1, reason_codes=[mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE] * 1).write())
        for number in range(1, 1_001):
            body = f"{number}".encode().ljust(10_000)
            writer.write(mqtt5.PublishPacket(TOPIC, body, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=number).write())
        while await reader.read(1_024):
            pass
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(overdo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        address = BrokerAddress("127.0.0.1", port, "cloud", receive_maximum=8 if bound == "messages" else 5_000)
        async with connected(Mqtt5Subscriber(address, [TOPIC], Random(1))) as subscriber:
            await until(lambda: subscriber.counts.received >= most)
            await asyncio.sleep(0.3)
            assert subscriber.counts.received <= most + read_at_once
            found: list[bytes] = []
            async with asyncio.timeout(60):
                while len(found) < 1_000:
                    some = await subscriber.receive(100)
                    subscriber.acknowledge(some)
                    found += [one.payload.strip() for one in some]
            assert found == numbered(1_000, 1)
        async with asyncio.timeout(60):
            await ended.wait()
