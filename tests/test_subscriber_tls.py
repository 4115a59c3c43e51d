"""Subscribers over TLS with client certificates, against Mosquitto; the certificates are made here."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from authority import Authority
from brokers import BrokerProcess
from paho.mqtt.enums import CallbackAPIVersion

from pledgewatch_cloud.ingest.connect import connect_subscriber
from pledgewatch_cloud.ingest.subscriber import BrokerAddress, Message, Subscriber

_LISTENER = """listener %d 127.0.0.1
cafile {0}/ca.pem
certfile {0}/server.pem
keyfile {0}/server.key
require_certificate true
use_identity_as_username true
"""
TOPIC = "pw/1/harbour-line/container-1/up"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    one = Authority(tmp_path)
    one.issue("server")
    one.issue("cloud")
    return one


@pytest.fixture
def broker(authority: Authority, tmp_path: Path) -> Iterator[BrokerProcess]:
    folder = tmp_path / "broker"
    folder.mkdir()
    one = BrokerProcess("mosquitto", folder, extra=_LISTENER.format(authority.folder))
    one.start()
    yield one
    one.kill()


def subscriber(broker: BrokerProcess, folder: Path, protocol: str, name: str | None) -> Subscriber:
    """With the certificate of that name, or with none."""
    address = BrokerAddress(
        "127.0.0.1",
        broker.port,
        "cloud-under-test",
        ca_file=folder / "ca.pem",
        certificate_file=None if name is None else folder / f"{name}.pem",
        key_file=None if name is None else folder / f"{name}.key",
        reconnect_max_s=0.2,
    )
    return connect_subscriber(address, ["pw/1/+/+/up"], protocol)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def publish_burst(broker: BrokerProcess, folder: Path, count: int) -> None:
    """All at once, so that the broker puts many messages into one record of TLS."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="device")
    client.max_inflight_messages_set(0)
    client.tls_set(str(folder / "ca.pem"), str(folder / "cloud.pem"), str(folder / "cloud.key"))
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    said = [client.publish(TOPIC, f"{number}".encode(), qos=1) for number in range(count)]
    for one in said:
        one.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


@pytest.mark.parametrize("protocol", ["5", "3.1.1", "auto"])
async def test_messages_come_over_tls_with_a_client_certificate(
    protocol: str, broker: BrokerProcess, authority: Authority
) -> None:
    async with subscriber(broker, authority.folder, protocol, "cloud") as one:
        await until(lambda: one.connected)
        found: list[Message] = []
        publishing = asyncio.create_task(asyncio.to_thread(publish_burst, broker, authority.folder, 500))
        async with asyncio.timeout(60):
            while len(found) < 500:
                found += await one.receive(500 - len(found))
        one.acknowledge(found)
        assert [message.payload for message in found] == [f"{number}".encode() for number in range(500)]
        await publishing


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_without_a_client_certificate_the_broker_stays_away(
    protocol: str, broker: BrokerProcess, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with subscriber(broker, authority.folder, protocol, None) as one:
        await until(lambda: f"the broker at 127.0.0.1:{broker.port} is away" in caplog.text)
        assert not one.connected
        assert one.counts.received == 0


# paho leaves the socket of a handshake that failed to the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_broker_of_another_authority_is_not_believed(
    protocol: str, broker: BrokerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Authority(elsewhere).issue("cloud")
    async with subscriber(broker, elsewhere, protocol, "cloud") as one:
        await until(lambda: f"the broker at 127.0.0.1:{broker.port} is away" in caplog.text)
        assert "certificate verify failed" in caplog.text
        assert not one.connected
