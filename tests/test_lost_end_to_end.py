"""What a worn card has destroyed, up to what the cloud says of it: the agent's own station, a real broker, a cloud in a
process of its own."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from brokers import started
from builders import Device, book_document
from edge_support import DEVICE, new_spool, sample, samples, station
from station import Station, opened
from test_edge_ended_told import zero_half

from pledgewatch_edge.identity import load_or_create_key, public_key_hex
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors import Sensor
from pledgewatch_edge.spool.file import status
from pledgewatch_edge.spool.log import content_of, runs_in
from pledgewatch_edge.station import run_station

ONLINE, OFFLINE = 100, 1_300


class OneReading:
    """A probe that measures once."""

    name = "probe"

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """One, and then none."""
        yield sample(9_000)
        await asyncio.Event().wait()


@asynccontextmanager
async def running(state: Path, port: int, *sensors: Sensor) -> AsyncIterator[None]:
    """One life of the agent, with a link; it ends in good order."""
    stop = asyncio.Event()
    life = asyncio.create_task(run_station(station(state, port, readings_per_payload=60), sensors, stop))
    try:
        yield
    finally:
        stop.set()
        await life


def readings_in(path: Path) -> int:
    return sum(one.last - one.first + 1 for one in runs_in(content_of(path.read_bytes()).frames))


async def test_what_a_card_has_destroyed_is_lost_once_it_is_told_and_unknown_until_then(tmp_path: Path) -> None:
    broker = started("mosquitto", tmp_path / "broker")
    world, state, device = Station(tmp_path / "station", broker), tmp_path / "state", Device(DEVICE)
    device.public_key = public_key_hex(load_or_create_key(state))
    world.set_book(book_document(device))

    def shown() -> dict[str, Any]:
        (one,) = world.get(world.api_port, "/devices")
        return {**one["completeness"], "epoch": (one["said"] or {}).get("epoch")}

    try:
        with opened(world):
            world.until(lambda: world.status().get("broker_connected"), "the cloud to subscribe")
            with new_spool(state) as spool:
                spool.append(samples(ONLINE))
            async with running(state, broker.port):
                await world.until_async(lambda: shown()["received"] == ONLINE, "what was measured online")
                # Else it would go into the next epoch too, and be received twice.
                await world.until_async(
                    lambda: status(state)["committed_contiguous"] == ONLINE, "the device to hear that"
                )
            words = f"received {ONLINE} of {ONLINE}, thinned 0, lost 0"
            await world.until_async(lambda: shown()["words"] == words, "it to be said to be whole")

            with new_spool(state) as spool:
                for first in range(ONLINE + 1, ONLINE + OFFLINE + 1, 100):
                    spool.append(samples(100, first))
            broken = sorted((state / "spool").glob("*.log"))[-2]
            before = readings_in(broken)
            zero_half(broken)
            lost = before - readings_in(broken)
            assert lost > 100

            heard = ONLINE + OFFLINE - lost
            async with running(state, broker.port):  # no sensor: there is nothing that it could be told with
                await world.until_async(lambda: shown()["epoch"] == 2, "the next epoch")
                assert shown()["lost"] is None
                await world.until_async(lambda: shown()["received"] == heard, "what was saved")
            found = shown()
            assert (found["lost"], found["unsure"], found["spooled"]) == (None, "ended_epoch", 0)
            assert "lost 0" not in found["words"]

            async with running(state, broker.port, OneReading()):
                await world.until_async(lambda: shown()["unsure"] is None, "it to be told")
            more = 3  # what was measured, how many are broken, and what became of the epoch
            words = f"received {heard + more:,} of {heard + lost + more:,}, thinned 0, lost {lost:,}"
            await world.until_async(lambda: shown()["words"] == words, f"{words!r}, not {shown()['words']!r}", 20)
    finally:
        broker.kill()
