"""The embedded broker, with real clients: what it keeps, for whom, and that it goes without a trace."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from brokers import started
from paho.mqtt.enums import CallbackAPIVersion

from pledgewatch_cloud import broker as broker_module
from pledgewatch_cloud.broker import EmbeddedBroker
from pledgewatch_sim.programs import free_port

TOPIC = "pw/1/harbour-line/container-1/status"
_WITH_WILL = f"""
import sys
import paho.mqtt.client as paho
client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="container-1")
client.will_set("{TOPIC}", b"gone", qos=1, retain=True)
client.on_connect = lambda *_: print("connected", flush=True)
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
"""


class Client:
    """A client of 3.1.1 whose session outlives it, and that acknowledges only where it is told to."""

    def __init__(
        self,
        port: int,
        name: str,
        *,
        acknowledges: bool = True,
        user: tuple[str, str] | None = None,
        topics: str = "pw/1/+/+/status",
    ) -> None:
        self.received: list[tuple[bytes, bool]] = []
        self.subscribed = False
        self.refused = False
        self.found_session = False
        self._port = port
        self._topics = topics
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            clean_session=False,
            manual_ack=not acknowledges,
            reconnect_on_failure=False,
        )
        if user is not None:
            self._client.username_pw_set(*user)
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._granted
        self._client.on_message = self._arrived

    async def open(self) -> "Client":
        """Connect, and wait until the subscription stands or the broker has refused."""
        await asyncio.to_thread(self._client.connect, "127.0.0.1", self._port)
        self._client.loop_start()
        await until(lambda: self.subscribed or self.refused)
        return self

    async def say(self, *payloads: bytes, retain: bool = False) -> None:
        """Publish with QoS 1; the broker has them when this returns."""
        for payload in payloads:
            said = self._client.publish(TOPIC, payload, qos=1, retain=retain)
            await asyncio.to_thread(said.wait_for_publish, 60)

    async def vanish(self) -> None:
        """End without a DISCONNECT, as a killed process does."""
        await asyncio.to_thread(self._client.loop_stop)
        self._client._reset_sockets()

    async def leave(self) -> None:
        """End with a DISCONNECT."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        self._client._reset_sockets()

    def payloads(self) -> list[bytes]:
        """What has come, in order."""
        return [payload for payload, _ in self.received]

    def _connected(self, client: paho.Client, _: object, flags: paho.ConnectFlags, reason: object, __: object) -> None:
        self.refused = bool(getattr(reason, "is_failure", False))
        self.found_session = flags.session_present
        if not self.refused:
            client.subscribe(self._topics, 1)

    def _granted(self, *_: object) -> None:
        self.subscribed = True

    def _arrived(self, _: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        self.received.append((bytes(message.payload), message.retain))


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker("127.0.0.1", free_port()) as one:
        yield one


async def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    """Wait for something that a client's thread does."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_is_retained_meets_those_who_come_later(broker: EmbeddedBroker) -> None:
    first = await Client(broker.port, "first").open()
    await first.say(b"here", retain=True)
    second = await Client(broker.port, "second").open()
    await until(lambda: second.received == [(b"here", True)])
    await first.say(b"", retain=True)
    third = await Client(broker.port, "third").open()
    await first.say(b"live")
    await until(lambda: bool(third.received))
    assert second.received[:2] == [(b"here", True), (b"", False)]
    assert third.received == [(b"live", False)], "what was taken back meets nobody"
    for client in (first, second, third):
        await client.leave()


async def test_what_is_retained_is_for_those_who_asked_for_it(broker: EmbeddedBroker) -> None:
    """Another's subscription is no reason to send a device what a third one said."""
    first = await Client(broker.port, "first").open()
    await first.say(b"here", retain=True)
    other = await Client(broker.port, "other", topics="pw/1/harbour-line/container-2/#").open()
    await other.leave()
    other = await Client(broker.port, "other", topics="pw/1/harbour-line/container-2/#").open()
    assert other.found_session
    last = await Client(broker.port, "last").open()
    await until(lambda: last.received == [(b"here", True)])
    assert other.received == []
    for client in (first, other, last):
        await client.leave()


async def test_the_will_of_a_killed_client_is_sent_and_retained(broker: EmbeddedBroker) -> None:
    watcher = await Client(broker.port, "watcher").open()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WITH_WILL, str(broker.port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"connected"
    process.kill()
    await process.communicate()
    await until(lambda: watcher.payloads() == [b"gone"])
    later = await Client(broker.port, "later").open()
    await until(lambda: set(later.received) == {(b"gone", True)})
    await watcher.leave()
    await later.leave()


async def test_no_will_is_sent_for_a_client_that_says_goodbye(broker: EmbeddedBroker) -> None:
    watcher = await Client(broker.port, "watcher").open()
    leaving = Client(broker.port, "leaving")
    leaving._client.will_set(TOPIC, b"gone", qos=1)
    await leaving.open()
    await leaving.leave()
    await watcher.say(b"after")
    await until(lambda: bool(watcher.received))
    assert watcher.payloads() == [b"after"]
    await watcher.leave()


async def test_what_was_not_acknowledged_comes_again_with_what_was_missed(broker: EmbeddedBroker) -> None:
    sender = await Client(broker.port, "sender").open()
    first = await Client(broker.port, "cloud", acknowledges=False).open()
    await sender.say(b"1", b"2", b"3")
    await until(lambda: len(first.received) == 3)
    await first.vanish()
    await asyncio.sleep(1.5)  # amqtt looks for sessions to forget once a second
    await sender.say(b"4", b"5")
    again = await Client(broker.port, "cloud").open()
    await until(lambda: len(again.received) == 5)
    assert again.found_session
    assert again.payloads() == [b"1", b"2", b"3", b"4", b"5"]
    await again.leave()
    third = await Client(broker.port, "cloud").open()
    await sender.say(b"6")
    await until(lambda: bool(third.received))
    assert third.payloads() == [b"6"], "what was acknowledged does not come again"
    await sender.leave()
    await third.leave()


async def test_who_takes_over_an_older_link_receives(broker: EmbeddedBroker) -> None:
    sender = await Client(broker.port, "sender").open()
    old = await Client(broker.port, "container-1").open()
    new = await Client(broker.port, "container-1").open()
    await asyncio.sleep(0.2)  # the old link's end is on its way
    await sender.say(b"to the new one")
    await until(lambda: new.payloads() == [b"to the new one"])
    assert old.received == []
    for client in (old, new, sender):
        await client.vanish()


async def test_what_waits_for_a_client_is_bounded(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "KEPT_MESSAGES_MAX", 3)
    sender = await Client(broker.port, "sender").open()
    away = await Client(broker.port, "away").open()
    await away.vanish()
    await asyncio.sleep(0.2)  # the broker reads the end of the link
    await sender.say(*(f"{number}".encode() for number in range(6)))
    await until(lambda: len(sender.received) == 6)  # all have been handed round, so nothing stopped at the bound
    back = await Client(broker.port, "away").open()
    await sender.say(b"last")
    await until(lambda: b"last" in back.payloads())
    assert sorted(back.payloads()) == [b"0", b"1", b"2", b"last"]
    await back.leave()
    await sender.leave()


async def test_connections_are_bounded(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "CONNECTIONS_MAX", 1)
    only = await Client(broker.port, "only").open()
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    try:
        answer = await reader.read(1)
    except ConnectionResetError:
        answer = b""
    assert answer == b"", "one more is turned away"
    writer.close()
    await only.leave()


async def test_who_connects_and_says_nothing_gives_its_place_to_another(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "CONNECT_PATIENCE_S", 0.1)
    mute = [await asyncio.open_connection("127.0.0.1", broker.port) for _ in range(3)]
    mute[1][1].write(b"\x10")
    for reader, writer in mute:
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()


async def test_port_0_becomes_a_real_one() -> None:
    async with EmbeddedBroker("127.0.0.1", 0) as one:
        assert one.port > 0
        client = await Client(one.port, "client").open()
        assert client.subscribed
        await client.leave()


async def test_an_address_that_is_taken_is_an_os_error(broker: EmbeddedBroker) -> None:
    with pytest.raises(OSError, match="address already in use"):
        async with EmbeddedBroker("127.0.0.1", broker.port):
            pass


async def test_a_password_file_keeps_others_out(tmp_path: Path) -> None:
    from pwdlib import PasswordHash  # noqa: PLC0415 - comes with amqtt
    from pwdlib.hashers.argon2 import Argon2Hasher  # noqa: PLC0415

    users = tmp_path / "users"
    users.write_text(f"cloud:{PasswordHash((Argon2Hasher(),)).hash('right')}\n", encoding="ascii")
    async with EmbeddedBroker("127.0.0.1", 0, password_file=users) as one:
        known = await Client(one.port, "a", user=("cloud", "right")).open()
        wrong = await Client(one.port, "b", user=("cloud", "wrong")).open()
        guest = await Client(one.port, "c").open()
        assert [client.refused for client in (known, wrong, guest)] == [False, True, True]
        for client in (known, wrong, guest):
            await client.vanish()


async def test_nothing_is_left_when_it_ends() -> None:
    before = asyncio.all_tasks()
    port = free_port()
    async with EmbeddedBroker("127.0.0.1", port):
        client = await Client(port, "client").open()
        await client.say(b"something")
    await client.vanish()
    await until(lambda: asyncio.all_tasks() == before)
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
        pass


def test_alone_it_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    process = started("amqtt", tmp_path / "broker")
    process.stop()
    assert (tmp_path / "broker" / "broker.log").read_bytes() == b"", "it says nothing, and warns of nothing"
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", process.port), 1):
        pass
