"""What proves settings from afar: only what could not have waited at the broker since before they were tried."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from caring import cared_for, command, settings
from edge_support import DEVICE, OPERATOR, Cloud, cloud, running_broker, until

from pledgewatch_edge.agent import load, station_of
from pledgewatch_edge.care.ledger import Ledger, read
from pledgewatch_edge.clock import system_ms
from pledgewatch_edge.station import keep_running
from pledgewatch_wire.reading import Channel, Clock

SLOWER = "[uplink]\nsend_every_s = 900\n"
FAR_MS = 2**42


@asynccontextmanager
async def running(file: Path) -> AsyncIterator[None]:
    """An agent as its program runs it."""
    stop = asyncio.Event()
    task = asyncio.create_task(keep_running(station_of(load(file), file), stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


async def say(one: Cloud, kind: str, data: bytes) -> None:
    await one.client.publish(f"pw/1/{OPERATOR}/{DEVICE}/{kind}", data, qos=1)


def found(folder: Path) -> Ledger:
    return read(folder / "state")


@pytest.fixture(params=["a word", "a command"])
def waiting(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_what_has_waited_at_the_broker_proves_no_trial(tmp_path: Path, waiting: str) -> None:
    """The cloud hears the last of the old station, answers when it is gone, and then no more."""
    with running_broker("mosquitto", tmp_path / "broker") as broker:
        file = cared_for(tmp_path, broker.port, rollback_after_s=3.0)
        async with cloud(broker.port, commits=False) as listener, running(file):
            await until(lambda: bool(listener.readings), "the old station to be heard")
            await say(listener, "settings", settings(4, SLOWER, ends_ms=FAR_MS))
            await until(lambda: not listener.statuses[-1].online, "the old station to be gone")
            if waiting == "a word":
                await listener.commit(1)
            else:
                await say(listener, "command", command(1, ends_ms=FAR_MS))
            await until(lambda: found(tmp_path).trial is not None, "the trial to begin")
            await until(lambda: found(tmp_path).trial is None, "the trial to be over")
            assert found(tmp_path).good.version == 0
            assert found(tmp_path).refused == "rolled back: the cloud was not heard within 3 s"
            if waiting == "a command":
                assert dict(found(tmp_path).ids)[1].startswith("done"), "it was heard, and carried out"


@pytest.mark.parametrize("shown", ["", "no answer"], ids=["a probe", "no sensor says anything"])
async def test_a_reading_of_the_trial_that_the_cloud_has_proves_it(tmp_path: Path, shown: str) -> None:
    """Whatever the sensors say, and however seldom is sent with the new settings."""
    with running_broker("mosquitto", tmp_path / "broker") as broker:
        file = cared_for(tmp_path, broker.port, rollback_after_s=10.0)
        text = file.read_text(encoding="utf-8").replace("interval_s = 0.5", "interval_s = 3600")
        never_set = f"[clock]\nsimulated_start_ms = 0\nanchor_ms = {system_ms()}\n"
        file.write_text(text + (never_set if shown else ""), encoding="utf-8")
        async with cloud(broker.port) as listener, running(file):
            await until(lambda: any(one.online for one in listener.statuses), "the old station to be heard")
            await say(listener, "settings", settings(4, SLOWER, ends_ms=FAR_MS))
            await until(lambda: found(tmp_path).good.version == 4, "the settings to be in force")
            own = [one for one in listener.readings.values() if one.cell(Channel.SPOOL_READINGS)]
            assert len(own) == 1
            assert (own[0].clock == Clock.UNSET) == bool(shown)
            assert any(one.committed_wanted for one in listener.payloads)
