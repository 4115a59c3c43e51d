"""A real Mosquitto with the configuration that the cloud makes: one device cannot fill the memory of all.

What a device asks it to keep (subscriptions, which it grants whatever they are) and what waits for the cloud (messages)
both have an end; who goes beyond is disconnected and named in the log, and the others go on.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from broker_clients import Client
from letting_in import BESIDE, LOOK_S, MINE, WITHIN_S, World, let_in
from paho.mqtt.subscribeoptions import SubscribeOptions

from pledgewatch_cloud.__main__ import main
from pledgewatch_wire.codec import MAX_PAYLOAD_BYTES

MEMORY_MB = 32
FAR = "/".join(["x" * 40] * 20)
PAYLOAD = bytes(200_000)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with let_in(tmp_path_factory.mktemp("world"), apart=True, memory_mb=MEMORY_MB) as one:
        yield one


@pytest.fixture
def client(world: World) -> Iterator[Callable[..., Client]]:
    with world.clients() as connected:
        yield connected


def filled_mb(world: World) -> int:
    """What the broker has of the machine."""
    number = (world.folder / "pid").read_text(encoding="ascii").strip()
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{number}/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) // 1_024


def filling(world: World, one: Client) -> None:
    """Subscribe to what nobody else does until the broker has had enough of it."""
    for number in count():
        filters = [(f"{FAR}/{number}-{place}/{FAR}", SubscribeOptions(qos=1)) for place in range(100)]
        _, asked = one.paho.subscribe(filters)
        while asked not in one.codes and not one.ended:
            time.sleep(0.001)
        if one.ended:
            return
        assert filled_mb(world) < 4 * MEMORY_MB


def test_who_fills_the_memory_is_ended_and_named_and_the_others_go_on(
    world: World, client: Callable[..., Client]
) -> None:
    cloud, other, one = client("cloud"), client("box-2"), client("box-1", keep=True)
    cloud.ask(f"{BESIDE}/up")
    filling(world, one)
    assert filled_mb(world) < 2 * MEMORY_MB
    one.leave()
    assert other.say(f"{BESIDE}/up", b"go on")
    assert cloud.hears(f"{BESIDE}/up", b"go on") == []
    assert other.ended == cloud.ended == 0
    assert not world.refused("box-2")
    # Revoked, it is let in no more, and what the broker keeps for it is gone: there is room for as much again.
    assert world.cloud.post("/devices/box-1/revocation", {"why": "stolen"}).status_code == 200
    deadline = time.monotonic() + WITHIN_S
    while not world.refused("box-1"):
        asyncio.run(world.files.keep())
        assert time.monotonic() < deadline
        time.sleep(LOOK_S)
    asyncio.run(world.files.keep())
    again = client("box-2", keep=True)
    again.ask(*(f"{FAR}/{number}/{FAR}" for number in range(500)))
    assert again.ended == 0
    world.broker.stop()  # it writes its log in blocks, and the last one now
    assert "Client box-1 disconnected due to out of memory" in (world.folder / "broker.log").read_text(encoding="utf-8")
    world.broker.start()


def test_what_waits_for_the_cloud_leaves_room_for_the_cloud(world: World, client: Callable[..., Client]) -> None:
    world.claimed("box-3")
    asyncio.run(world.files.keep())
    sender, beside, topic = client("box-3"), client("box-2"), f"{MINE[:-1]}3/up"
    deadline = time.monotonic() + WITHIN_S
    while not sender.say(topic, b"first"):
        assert time.monotonic() < deadline, "the access list has the new device"
    kept = client("cloud", keep=True)
    kept.ask("pw/1/+/+/up")
    kept.leave()
    for _ in range(6 * MEMORY_MB):
        assert sender.say(topic, PAYLOAD), "and sends it again, where the cloud does not commit it"
    assert sender.ended == 0
    assert filled_mb(world) < 2 * MEMORY_MB
    assert beside.say(f"{BESIDE}/up", b"while it is away")
    back = client("cloud", keep=True)
    back.until(lambda: bool(back.heard))
    assert beside.say(f"{BESIDE}/up", b"once it is back")
    waited = back.hears(f"{BESIDE}/up", b"once it is back")
    assert MEMORY_MB < sum(said == PAYLOAD for _, said in waited) < 2 * MEMORY_MB, "a quarter, in fifths of a megabyte"


def test_a_packet_that_no_device_would_send_ends_the_connection(world: World, client: Callable[..., Client]) -> None:
    one = client("box-2")
    assert one.say(f"{BESIDE}/up", bytes(MAX_PAYLOAD_BYTES))
    one.paho.publish(f"{BESIDE}/up", bytes(2 * MAX_PAYLOAD_BYTES), qos=1)
    one.until(lambda: one.ended > 0)
    world.broker.stop()
    assert "Client box-2 disconnected due to oversize packet" in (world.folder / "broker.log").read_text("utf-8")
    world.broker.start()


def test_what_it_may_fill_is_said_to_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for more, limit in ([], 1_024), (["--memory-mb", "128"], 128):
        assert main(["broker", "conf", *more]) == 0
        said = capsys.readouterr().out.splitlines()
        assert f"memory_limit {limit * 2**20}" in said
        assert f"max_queued_bytes {limit * 2**18}" in said
        assert f"max_queued_messages {limit * 2**9}" in said
    for wrong in ("0", "31", "-1", "1 GB", "2000000"):
        with pytest.raises(SystemExit):
            main(["broker", "conf", "--memory-mb", wrong])
