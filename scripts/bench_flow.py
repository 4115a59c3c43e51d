"""The `latency` and `backlog` measurements: how soon a reading is on disk and at the bank, how fast the past comes in.

`latency`: 5,000 messages a second at a steady rate, every stage of `step` on. When an entry is on disk is seen by
another process that reads the journal. Some devices speak for the first time and are too warm: their alerts are looked
for in the sandbox core's ledger.

`backlog`: 1,000 devices come back with 30 days of readings each while 2,000 others go on; then the journal is replayed
and its series are built again.
"""

import json
import multiprocessing
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from brokers import BrokerProcess
from station import Station, opened

from pledgewatch_cloud.decide.batch import Readings
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_sim.fleet import Fleet, Sent, book
from pledgewatch_sim.publisher import packets_of, publish

RATE = 5_000
SECONDS = 20
STEADY = 3_000
WARM_ONES = 200
BACK_DEVICES = 1_000
BACK_DAYS = 30
LIVE_DEVICES = 2_000
LIVE_RATE = 200
FENCES = 10_000
_BROKER = "listener %d 127.0.0.1\nallow_anonymous true"
_INGEST = "committed_after_s = 21600.0\n"
_PATIENCE_S = 900
Row = dict[str, Any]


def latency() -> list[Row]:
    """Milliseconds from publish to the disk, and to the bank, at a steady rate."""
    rounds = RATE * SECONDS // STEADY
    until_ms = time.time_ns() // 1_000_000
    steady = list(Fleet(range(STEADY), rounds=1 + rounds, until_ms=until_ms).live())
    warm_ones = list(Fleet(range(STEADY, STEADY + WARM_ONES), rounds=1, until_ms=until_ms).live())
    document = book(range(STEADY + WARM_ONES), FENCES)
    for lot in document["lots"][STEADY:]:
        lot["limits"] = [{"channel": "temperature_mc", "low": 0, "high": 1_000}]
    known, told = steady[:STEADY], steady[STEADY:]
    every = len(told) // WARM_ONES
    for place, one in enumerate(warm_ones):
        told.insert((place + 1) * every, one)
    with _station(document) as station:
        publish("127.0.0.1", station.broker.port, packets_of((one.topic, one.payload) for one in known))
        _until_committed(station, len(known))
        time.sleep(2)
        with _watched(station) as watched:
            sent = publish(
                "127.0.0.1", station.broker.port, packets_of((one.topic, one.payload) for one in told), rate=RATE
            )
            _until_committed(station, len(steady) + WARM_ONES)
            time.sleep(2)
        on_disk = _on_disk(station, watched, told, sent.sent_at_s)
        at_the_bank = _at_the_bank(station, told, sent.sent_at_s)
    rows = [_latency_row("latency-committed", on_disk, 150), _latency_row("latency-bank", at_the_bank, 300)]
    print(json.dumps({"late_ms": sent.report()["late_ms"], "measured": [len(on_disk), len(at_the_bank)]}))
    return rows


def backlog() -> list[Row]:
    """Readings a second of a backlog, what live devices notice of it, memory; then replay and rebuild."""
    until_ms = time.time_ns() // 1_000_000
    back = list(Fleet(range(BACK_DEVICES), rounds=0, until_ms=until_ms, backlog_days=BACK_DAYS).backlog())
    others = range(BACK_DEVICES, BACK_DEVICES + LIVE_DEVICES)
    live = list(Fleet(others, rounds=LIVE_RATE * 120 // LIVE_DEVICES, until_ms=until_ms).live())
    readings = sum(one.readings for one in back)
    document = book(range(BACK_DEVICES + LIVE_DEVICES), FENCES)
    with _station(document) as station:
        port = station.broker.port
        ready, go = multiprocessing.Pipe()
        other = multiprocessing.Process(target=_send_live, args=(port, live, go))
        packets = packets_of((one.topic, one.payload) for one in back)
        with _watched(station) as watched, _most_memory(station) as memory:
            other.start()
            start = time.perf_counter()
            publish("127.0.0.1", port, packets, client="back")
            _until_committed(station, readings, of="unit-", below=BACK_DEVICES)
            took_s = time.perf_counter() - start
            ready.send("enough")
            sent_at_s = ready.recv()
            other.join()
            time.sleep(2)
        noticed = _on_disk(station, watched, live[: len(sent_at_s)], sent_at_s)
        data = station.folder / "data"
        config = station.folder / "cloud.toml"
        rows = [
            _row(
                "backlog",
                round(readings / took_s),
                f"readings/s of {BACK_DEVICES} devices, {BACK_DAYS} days each",
                100_000,
            ),
            _latency_row("backlog-live", noticed, 2_000),
            _row("backlog-memory", max(memory) // 1024, "MiB resident, at most", 500),
        ]
        station.cloud.end()
        rows.append(_timed("replay", readings + len(sent_at_s), 200_000, "replay", "--data", str(data)))
        rows.append(_timed("rebuild", readings + len(sent_at_s), 100_000, "series", "rebuild", "--config", str(config)))
    return rows


@contextmanager
def _station(document: Row) -> Iterator[Station]:
    with tempfile.TemporaryDirectory() as folder:
        broker = BrokerProcess("mosquitto", Path(folder), extra=_BROKER)
        broker.start()
        try:
            station = Station(Path(folder) / "station", broker, ingest=_INGEST)
            station.set_book(document)
            with opened(station):
                station.until(lambda: station.status().get("broker_connected"), "the cloud to subscribe")
                yield station
        finally:
            broker.kill()


def _send_live(port: int, live: Sequence[Sent], pipe: Connection) -> None:
    """Live devices, a second's messages at a time, until told that it is enough."""
    sent_at_s: list[float] = []
    for start in range(0, len(live), LIVE_RATE):
        packets = packets_of((one.topic, one.payload) for one in live[start : start + LIVE_RATE])
        sent_at_s += publish("127.0.0.1", port, packets, rate=LIVE_RATE, client="live").sent_at_s
        if pipe.poll():
            break
    pipe.send(sent_at_s)


@contextmanager
def _watched(station: Station) -> Iterator[list[tuple[float, int]]]:
    """When each entry was first seen on disk, by another process."""
    found: list[tuple[float, int]] = []
    ours, theirs = multiprocessing.Pipe()
    watcher = multiprocessing.Process(target=_watch, args=(station.folder / "data" / "journal.sqlite", theirs))
    watcher.start()
    try:
        yield found
    finally:
        ours.send("enough")
        found += ours.recv()
        watcher.join()


def _watch(path: Path, pipe: Connection) -> None:
    seen: list[tuple[float, int]] = []
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    last = 0
    while not pipe.poll():
        (newest,) = connection.execute("SELECT max(number) FROM entry").fetchone()
        if newest != last:
            seen.append((time.time(), newest))
            last = newest
        time.sleep(0.002)
    pipe.send(seen)


@contextmanager
def _most_memory(station: Station) -> Iterator[list[int]]:
    found: list[int] = [0]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            found.append(station.cloud.memory_kib)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        ended.set()
        looking.join()


def _until_committed(station: Station, wanted: int, *, of: str = "", below: int = 0) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while (held := _held(station, of, below)) < wanted:
        time.sleep(0.5)
        if time.monotonic() > deadline:
            raise SystemExit(f"the cloud does not take it all: {held} of {wanted}\n{station.logs()}")


def _held(station: Station, of: str, below: int) -> int:
    if not of:
        return int(station.status().get("readings", 0))
    devices = station.get(station.api_port, "/devices")
    return sum(
        epoch["received"] for one in devices for epoch in one["epochs"] if int(one["device"].removeprefix(of)) < below
    )


def _on_disk(
    station: Station, watched: Sequence[tuple[float, int]], told: Sequence[Sent], sent_at_s: Sequence[float]
) -> list[float]:
    """Milliseconds from publish until the entry was seen, for each message."""
    sent_of: dict[tuple[str, bytes], float] = {
        (one.topic, one.payload): at_s for one, at_s in zip(told, sent_at_s, strict=True)
    }
    found = []
    store = SqliteStore(station.folder / "data", read_only=True)
    seen = iter(watched)
    at_s, upto = 0.0, 0
    for written in store.entries():
        while upto < written.number:
            at_s, upto = next(seen)
        entry = form.read_entry(written)
        if isinstance(entry.content, Readings):
            for one in entry.content.arrivals:
                sent_s = sent_of.get((f"pw/1/{one.operator}/{one.device}/up", one.raw))
                if sent_s is not None:
                    found.append(1_000 * (at_s - sent_s))
    store.close()
    return found


def _at_the_bank(station: Station, told: Sequence[Sent], sent_at_s: Sequence[float]) -> list[float]:
    """Milliseconds from publish until the bank had the alert, for each device that was too warm."""
    sent_of = {one.topic.split("/")[3]: at_s for one, at_s in zip(told, sent_at_s, strict=True)}
    found, after = [], 0
    while page := station.get(station.core_port, f"/ledger/messages?after={after}"):
        for one in page:
            after = one["arrival"]
            lots = one["data"]["lots"] if one["type"].endswith("raise_alert") else ()
            units = [f"unit-{lot.removeprefix('lot-')}" for lot in lots]
            found += [one["received_at_ms"] - 1_000 * sent_of[unit] for unit in units]
    return found


def _latency_row(name: str, milliseconds: Sequence[float], aim_ms: int) -> Row:
    parts = statistics.quantiles(milliseconds, n=100)
    told = f"ms, p99 of {len(milliseconds)} (median {parts[49]:.0f}, most {max(milliseconds):.0f})"
    return _row(name, round(parts[98]), told, aim_ms)


def _timed(name: str, readings: int, aim: int, *arguments: str) -> Row:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "pledgewatch_cloud", *arguments], check=True, stdout=subprocess.DEVNULL)
    took_s = time.perf_counter() - start
    return _row(name, round(readings / took_s), f"readings/s, {took_s:.0f} s with the start of the program", aim)


def _row(name: str, value: int, unit: str, aim: int) -> Row:
    return {"name": name, "value": value, "unit": unit, "baseline": aim, "ratio": round(value / aim, 3), "runs": 1}
