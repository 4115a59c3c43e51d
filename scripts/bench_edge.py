"""The `edge` measurement: what the agent needs of a small computer, with one fix a second and two probes every ten.

The real agent, in a process of its own, reads a receiver on a pty and a one-wire tree, keeps, signs and sends through
Mosquitto to a real cloud, all as at a container: sent each minute, written each half minute. Twice:

- `edge-processor`: five minutes as they are. What it used of the processor is what it uses of a core.
- `edge-day`: 24 hours, a hundred times as fast: receiver, probes and the agent's own intervals. Memory is the most that
  was resident, and what was written is what the kernel counted of the process (write_bytes, whole blocks).

Then three hours of the same with nobody to send to: what the spool holds a reading. Both baselines of bytes are a
reading as compact JSON; those of processor and memory are the aims.
"""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from brokers import BrokerProcess
from station import OPERATOR, Process, Station, opened

from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.onewire import OneWireTree
from pledgewatch_sim.pty_port import PtyPort
from pledgewatch_sim.receiver import Position, Receiver

DEVICE = "container-1"
DAY_S = 86_400
SPEED = 100
ALONE_S = 10_800
REAL_S = 300
SETTLE_S = 20
PROCESSOR_AIM = 2.0
MEMORY_AIM_MB = 60
JSON_BYTES = 174
PROBES = ("28-0000000a0001", "28-0000000a0002")
Row = dict[str, Any]


def edge() -> list[Row]:
    """Share of a core, resident memory, bytes a reading in the spool and on the card."""
    with _stationed(1) as (station, agent):
        share = asyncio.run(_played(station.folder, agent, 1, SETTLE_S + REAL_S))
        agent.end()
    with _stationed(SPEED) as (station, agent):
        asyncio.run(_played(station.folder, agent, SPEED, DAY_S))
        day_share = 100 * agent.processor_s / DAY_S
        memory_mb, written = agent.most_memory_kib * 1_024 / 1e6, agent.written_bytes
        agent.end()
        readings = int(station.edge_says(DEVICE, "status")["measured"])
    with _stationed(SPEED, has_cloud=False) as (station, agent):
        asyncio.run(_played(station.folder, agent, SPEED, ALONE_S))
        agent.end()
        kept = station.edge_says(DEVICE, "status")
    spooled, held = int(kept["spooled_bytes"]), int(kept["spooled"])
    return [
        _row("edge-processor", share, f"% of a core over {REAL_S} s as they are", PROCESSOR_AIM),
        _row("edge-day", day_share, f"% of a core over 24 hours, {SPEED} times as fast", PROCESSOR_AIM),
        _row("edge-memory", memory_mb, "MB resident at most in those 24 hours", MEMORY_AIM_MB),
        _row("edge-written", written / readings, f"bytes handed to the disk a reading, of {readings}", JSON_BYTES),
        _row("edge-spool", spooled / held, f"bytes in the spool a reading, of {held} kept", JSON_BYTES),
    ]


def _row(name: str, value: float, unit: str, baseline: float) -> Row:
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "baseline": baseline,
        "ratio": round(value / baseline, 3),
        "runs": 1,
    }


@contextlib.contextmanager
def _stationed(speed: int, *, has_cloud: bool = True) -> Iterator[tuple[Station, Process]]:
    """A station with its agent, not started. Without a cloud nobody listens at the broker's port either."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = BrokerProcess("mosquitto", folder)
        station = Station(folder / "station", broker, ingest="")
        key = station.add_device(
            DEVICE,
            sensors=f'[gps]\nport = "{station.folder / "gps"}"\n'
            f"[onewire]\nprobes = {list(PROBES)!r}\nroot = '{station.folder / 'w1'}'\ninterval_s = {10 / speed}\n"
            f"[spool]\nhold_s = {30 / speed}\n",
            uplink=f"send_every_s = {60 / speed}",
        )
        station.set_book(_book(key))
        with contextlib.ExitStack() as stack:
            stack.callback(station.close)
            if has_cloud:
                broker.start()
                stack.callback(broker.kill)
                stack.enter_context(opened(station))
            yield station, station.agents[DEVICE]


def _book(public_key: str) -> dict[str, Any]:
    fitted = {"device": DEVICE, "operator": OPERATOR, "asset": "asset-1", "public_key": public_key}
    return {"installations": [{**fitted, "silent_after_s": 3_600}]}


async def _played(folder: Path, agent: Process, speed: int, seconds: int) -> float:
    """Play receiver and probes for so many simulated seconds, which end now, beside the agent. Returns what it used of
    a core meanwhile, in percent, without its first SETTLE_S seconds."""
    start_ms = time.time_ns() // 1_000_000 - seconds * 1_000 + round(seconds * 1_000 / speed)
    clock = SimulationClock(start_ms, speed)
    (folder / "w1").mkdir()
    tree = OneWireTree(folder / "w1", dict.fromkeys(PROBES, lambda now_ms: 4_000 + now_ms // 1_000 % 997), clock.now_ms)
    async with PtyPort(folder / "gps") as port, asyncio.TaskGroup() as group:
        tree.refresh()
        probing = group.create_task(tree.run(10 / speed))
        receiver = Receiver(clock, lambda _: Position(33.7, -118.27, 0.0, 0.0), port, Random(1))
        agent.start()
        used_s, since_s = 0.0, 0.0
        for second in range(seconds):
            await clock.sleep_until(start_ms + second * 1_000)
            port.write(receiver.speak(start_ms + second * 1_000))
            if second == SETTLE_S:
                used_s, since_s = agent.processor_s, time.monotonic()
        share = 100 * (agent.processor_s - used_s) / (time.monotonic() - since_s)
        print(json.dumps({"speed": speed, "bytes that the agent did not read in time": port.dropped_bytes}), flush=True)
        probing.cancel()
    return share
