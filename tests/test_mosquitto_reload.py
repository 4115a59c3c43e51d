"""A real Mosquitto that is told to read its lists again while somebody's session waits there.

Before 2.1 it notes then a second time when that session ends, and looks once more at what it has freed when the client
is back. It finds there what somebody has published since, laid out here so that Debian's 2.0.11 aborts by it.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest
from authority import Authority
from broker_clients import Client
from brokers import BrokerProcess
from builders import book_document
from claiming import ClaimCloud

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.identity import broker_files
from pledgewatch_cloud.identity.broker_files import BrokerFiles
from pledgewatch_edge.config import BrokerSettings
from pledgewatch_edge.connection import Connector
from pledgewatch_edge.tls import Shown

LISTENER = """listener %s 127.0.0.1
cafile ca.pem
certfile server.pem
keyfile server.key
require_certificate true
use_identity_as_username true
allow_anonymous false"""
SAID = bytearray(630)  # as long as what 2.0.11 keeps of a client, whose session ended long ago by these zeros
SAID[152:160] = b"\x01" * 8  # and whose will waits
WILL = aiomqtt.Will("status", b"offline", qos=1)


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokerProcess]:
    monkeypatch.chdir(tmp_path)
    own = Authority(tmp_path)
    for name in ("server", "cloud", "box-1"):
        own.issue(name)
    one = BrokerProcess("mosquitto", tmp_path, extra=LISTENER)
    one.start()
    yield one
    one.kill()


async def test_a_device_that_was_away_then_ends_no_broker(broker: BrokerProcess, tmp_path: Path) -> None:
    settings = BrokerSettings(host="127.0.0.1", port=broker.port, ca_file=tmp_path / "ca.pem")
    device = Connector(settings, "box-1", Shown(tmp_path / "box-1.pem", tmp_path / "box-1.key"))
    cloud = await asyncio.to_thread(Client, broker, tmp_path, "cloud")
    for attempt in range(3):
        async with device.connect(WILL) as client:
            await client.subscribe("committed", qos=1)
        broker.hang_up()
        await asyncio.sleep(0.5)
        async with device.connect(WILL):
            await asyncio.sleep(0.3)  # what it was before is freed
            for number in range(8):
                assert await asyncio.to_thread(cloud.say, f"{attempt}/{number}", bytes(SAID), retain=True)
            await asyncio.sleep(1.3)  # it looks once a second
            assert not broker.revive(), "the broker has ended"
    cloud.leave()


async def test_the_broker_is_told_while_the_cloud_is_connected_or_has_been_away_for_long(tmp_path: Path) -> None:
    cloud, told, is_connected, now_s = ClaimCloud(tmp_path), list[float](), False, 0.0
    cloud.cloud.spine.commit(drafts.amend, book_document(cloud.cloud.device))

    async def reload() -> None:
        told.append(now_s)

    files = BrokerFiles(
        *(cloud.cloud.writer, cloud.authority, tmp_path, cloud.world, reload),
        cloud="cloud",
        health="",
        patience_s=0.0,
        connected=lambda: is_connected,
        now_s=lambda: now_s,
    )
    await files.keep()
    assert (tmp_path / "acl").exists(), "written all the same"
    assert not await files.known(cloud.cloud.writer.state)
    is_connected = True
    await files.keep()
    await files.keep()
    assert await files.known(cloud.cloud.writer.state)
    assert told == [0.0], "once, and when it is connected again"
    is_connected, now_s = False, 100.0
    await files.keep()
    now_s += broker_files.AWAY_S - 1
    cloud.world.at_ms += broker_files.SIGN_EVERY_MS
    await files.keep()
    assert len(told) == 1
    now_s += 1
    await files.keep()
    assert told == [0.0, now_s], "a list that has ended may be why the cloud is not let in"
    cloud.cloud.close()
