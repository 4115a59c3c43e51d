"""The `api` measurement: how long the ten commonest reads take while ingest goes on.

A cloud process of its own over 30 days of 1,000 assets (api_store.py), 5,000 messages a second through Mosquitto, and a
client in a process of its own that asks 100 times a second with a bank's key, each read in turn. The client is an open
loop: a request is due at its moment whether or not the ones before it were answered, and what is measured is from that
moment on, so a service that stands still is not spared. Nothing is asked conditionally: each answer is sent whole.

Ingest and reads begin together, some seconds before what is counted: what is worked out once after a start (half a
second of the map) is told apart, as the slowest read of those seconds.

The ten are what the console's pages ask for, and what a bank's own programs follow:

    fleet       the map: assets in clusters, of a part of the world
    assets      the first hundred assets, as the overview lists them
    asset       one of them
    series      the day's temperatures of one, a hundred points
    last        the newest point of each of its channels
    facilities  facilities with their bases
    facility    one, with each of its hundred lots' way through the waterfall
    lot         one lot, with its own
    alerts      the alerts' inbox
    events      events of the newest entries, as who follows them by asking does
"""

import asyncio
import json
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from api_cloud import shown
from api_store import ASSETS, BANK_KEY, KEEPER, READINGS_EACH, api_store
from brokers import BrokerProcess
from station import Station, opened

from pledgewatch_sim.fleet import Fleet
from pledgewatch_sim.publisher import Published, packets_of, publish

RATE = 5_000
ASKED = 100
SECONDS = 30
AIM_MS = 50
_WARM_S = 5
_FACILITIES = ASSETS // 100
_CONNECTIONS_MAX = 512
_BROKER = "listener %d 127.0.0.1\nallow_anonymous true"
_INGEST = "committed_after_s = 21600.0\n"
Row = dict[str, Any]
Found = dict[str, list[float]]


def reads(turn: int, entry: int) -> dict[str, str]:
    """The ten, each with a path of its own in each turn. `entry`: where the journal stands."""
    asset, facility = f"unit-{turn * 37 % ASSETS}", f"facility-{turn % _FACILITIES}"
    west = -180 + turn * 45 % 270
    return {
        "fleet": f"/clusters?bbox={west},-60,{west + 90},60&zoom=4",
        "assets": "/assets?limit=100",
        "asset": f"/assets/{asset}",
        "series": f"/assets/{asset}/series/temperature_mc?limit=100",
        "last": f"/assets/{asset}/last",
        "facilities": "/facilities",
        "facility": f"/facilities/{facility}",
        "lot": f"/lots/lot-{turn * 37 % ASSETS}",
        "alerts": "/alerts",
        "events": f"/events?after_entry={max(0, entry - 100)}&limit=100",
    }


def api(seconds: int = SECONDS) -> list[Row]:
    """Milliseconds of the ten, each alone and all together, so long without ingest and so long beside it."""
    kept = api_store()
    rounds, step_ms = (seconds + _WARM_S) * RATE // ASSETS, 1_000 * ASSETS // RATE
    until_ms = time.time_ns() // 1_000_000 + rounds * step_ms
    fleet = Fleet(range(ASSETS), rounds=rounds, until_ms=until_ms, epoch=2, said=READINGS_EACH, step_ms=step_ms)
    packets = packets_of((one.topic, one.payload) for one in fleet.live())
    with _station(kept) as station:
        station.until(lambda: station.status().get("broker_connected"), "the cloud to subscribe")
        station.until(lambda: not station.status()["counts"]["outbox_pending"], "the month's messages to be delivered")
        entry = station.status()["entry"]
        _asked(station, entry, _WARM_S)  # the first commit reads the newest entries of the journal again
        station.until(lambda: station.status()["entry"] > entry, "the first commit")
        used_s = station.cloud.processor_s
        quiet = _asked(station, entry, seconds)[1]
        used_s = station.cloud.processor_s - used_s
        before = station.status()["readings"]
        ours, theirs = multiprocessing.Pipe()
        sender = multiprocessing.Process(target=_send, args=(station.broker.port, packets, theirs))
        start = time.perf_counter()
        sender.start()
        theirs.close()
        at_s, before_s = time.perf_counter(), station.cloud.processor_s
        begun, busy = _asked(station, entry, seconds - 1, _WARM_S)
        of_a_core = (station.cloud.processor_s - before_s) / (time.perf_counter() - at_s)
        held = station.status()["readings"] - before
        ingest = held / (time.perf_counter() - start)
        sent: Published = ours.recv()
        sender.join()
    rows = [_row(f"api-{name}", found) for name, found in busy.items()]
    rows += [_row("api-all", _all(busy)), _row("api-all-no-ingest", _all(quiet))]
    each = round(1_000 * used_s / len(_all(quiet)), 2)
    unit = "ms of the service's processor a read, no ingest"
    rows.append({"name": "api-processor", "value": each, "unit": unit, "baseline": 10, "ratio": each / 10, "runs": 1})
    said = {"sent": sent.report(), "committed_a_second": round(ingest), "of_a_core_meanwhile": round(of_a_core, 2)}
    said["slowest_ms_of_the_first_seconds"] = round(max(_all(begun)), 1)
    print(json.dumps(said), flush=True)
    return rows


def _all(found: dict[str, list[float]]) -> list[float]:
    return [one for some in found.values() for one in some]


@contextmanager
def _station(kept: Path) -> Iterator[Station]:
    with tempfile.TemporaryDirectory() as folder:
        broker = BrokerProcess("mosquitto", Path(folder), extra=_BROKER)
        broker.start()
        try:
            station = Station(Path(folder) / "station", broker, ingest=_INGEST, api="", headers=KEEPER)
            shutil.copytree(kept, station.folder / "data")
            station.set_book({})
            with opened(station):
                yield station
        finally:
            broker.kill()


def _send(port: int, packets: Sequence[bytes], pipe: Connection) -> None:
    pipe.send(publish("127.0.0.1", port, packets, rate=RATE))


def _asked(station: Station, entry: int, seconds: int, warm_s: int = 0) -> tuple[Found, Found]:
    """Milliseconds of each read of the first seconds, and of those that count, asked by a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    client = multiprocessing.Process(target=_ask, args=(station.api_port, entry, seconds, warm_s, theirs))
    client.start()
    theirs.close()
    found: tuple[Found, Found] = ours.recv()
    client.join()
    return found


def _ask(port: int, entry: int, seconds: int, warm_s: int, pipe: Connection) -> None:
    pipe.send(asyncio.run(_Client(port).run(entry, seconds, warm_s)))


class _Client:
    """Asks at constant moments, over as many connections as are in use at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._may_open = asyncio.Semaphore(_CONNECTIONS_MAX)
        self._head = "".join(f"{name}: {value}\r\n" for name, value in shown(BANK_KEY).items())

    async def run(self, entry: int, seconds: int, warm_s: int) -> tuple[Found, Found]:
        """Ask for so long, and wait for the last answers. What was asked in the first seconds is told apart."""
        paths = [one for turn in range((warm_s + seconds) * ASKED // 10) for one in reads(turn, entry).items()]
        warm: Found = {}
        found: Found = {}
        start_s = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for place, (name, path) in enumerate(paths):
                due_s = start_s + place / ASKED
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                some = (found if place >= warm_s * ASKED else warm).setdefault(name, [])
                group.create_task(self._one(path, due_s, some))
        for _, writer in self._idle:
            writer.close()
        return warm, found

    async def _one(self, path: str, due_s: float, found: list[float]) -> None:
        async with self._may_open:
            while True:
                reader, writer = await self._connection()
                writer.write(f"GET {path} HTTP/1.1\r\nhost: bench\r\n{self._head}\r\n".encode())
                try:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                    break
                except (ConnectionError, asyncio.IncompleteReadError):
                    writer.close()  # the service has closed it, as long idle, in the moment in which it was used again
            assert head.startswith("http/1.1 200"), f"{path}: {head}"
            size = int(head.partition("content-length:")[2].partition("\r\n")[0])
            await reader.readexactly(size)
            found.append(1_000 * (time.perf_counter() - due_s))
            self._idle.append((reader, writer))

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One that nobody uses. Those that the service has closed, as it does with what is long idle, are let go."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)


def _row(name: str, milliseconds: Sequence[float]) -> Row:
    parts = statistics.quantiles(milliseconds, n=100)
    told = f"ms, p99 of {len(milliseconds)} (p50 {parts[49]:.1f}, p95 {parts[94]:.1f}, most {max(milliseconds):.1f})"
    value = round(parts[98], 1)
    return {
        "name": name,
        "value": value,
        "unit": told,
        "baseline": AIM_MS,
        "ratio": round(value / AIM_MS, 3),
        "runs": 1,
    }
