"""The `ingest` measurement: a fleet's messages through Mosquitto into the cloud, everything committed.

30,000 devices, each with its asset, its lot, two limits with gaps, a mean kinetic temperature, a speed and a patience;
10,000 fences. The generator, the broker and the cloud share the machine. Every device has spoken before the clock
starts, and hears `committed` a few times a day, as one does that reports every quarter of an hour. Baselines, in
the same run and in turn: `mosquitto_sub` taking the same messages from the same generator, and a straightforward
ingestor (bench_baseline.py) taking PLAIN of them as JSON.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bench_baseline import as_json
from brokers import BrokerProcess
from station import Station, opened

from pledgewatch_sim.fleet import Fleet, book
from pledgewatch_sim.publisher import packets_of, publish

DEVICES = int(os.environ.get("BENCH_DEVICES", "30000"))
FENCES = 10_000
WARM_ROUNDS = 2
ROUNDS = 10
PLAIN = 10_000
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
_BROKER = "listener %d 127.0.0.1\nallow_anonymous true"
_PATIENCE_S = 300
Row = dict[str, Any]


def ingest() -> list[Row]:
    """Messages a second, committed, against `mosquitto_sub`."""
    devices = range(DEVICES)
    fleet = Fleet(devices, rounds=WARM_ROUNDS + ROUNDS, until_ms=time.time_ns() // 1_000_000)
    packets = packets_of((one.topic, one.payload) for one in fleet.live())
    warm, measured = packets[: WARM_ROUNDS * DEVICES], packets[WARM_ROUNDS * DEVICES :]
    document = book(devices, FENCES)
    plain = packets_of(as_json(*message) for message in islice(_messages(devices), PLAIN))
    cloud, drain, simple = [], [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            broker = BrokerProcess("mosquitto", Path(folder), extra=_BROKER)
            broker.start()
            try:
                cloud.append(len(measured) / _into_the_cloud(Path(folder), broker, document, warm, measured))
                broker.kill()  # or it would keep for the cloud what the others take
                broker.start()
                drain.append(len(measured) / _into_mosquitto_sub(broker, measured))
                simple.append(len(plain) / _into_the_plain_one(Path(folder), broker, plain))
            finally:
                broker.kill()
    return [_row("ingest", cloud, drain), _row("ingest-plain", cloud, simple)]


def _row(name: str, ours: Sequence[float], theirs: Sequence[float]) -> Row:
    pairs = list(zip(ours, theirs, strict=True))
    return {
        "name": name,
        "value": round(statistics.median(ours)),
        "unit": "messages/s committed",
        "baseline": round(statistics.median(theirs)),
        "ratio": round(statistics.median(one / other for one, other in pairs), 3),
        "runs": [[round(one), round(other)] for one, other in pairs],
    }


def _messages(devices: range) -> Iterator[tuple[str, bytes]]:
    fleet = Fleet(devices, rounds=1, until_ms=time.time_ns() // 1_000_000)
    return ((one.topic, one.payload) for one in fleet.live())


def _into_the_plain_one(folder: Path, broker: BrokerProcess, packets: Sequence[bytes]) -> float:
    """Seconds from the first publish until the straightforward ingestor has the last message on disk."""
    program = Path(__file__).with_name("bench_baseline.py")
    arguments = [sys.executable, str(program), str(broker.port), str(folder / "plain.sqlite"), str(len(packets))]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        start = time.perf_counter()
        publish("127.0.0.1", broker.port, packets, client="plain-fleet")
        process.wait(_PATIENCE_S)
        return time.perf_counter() - start


def _into_the_cloud(
    folder: Path, broker: BrokerProcess, document: Row, warm: Sequence[bytes], measured: Sequence[bytes]
) -> float:
    """Seconds from the first publish until the last message is committed."""
    station = Station(folder / "station", broker, ingest="committed_after_s = 21600.0\n")
    station.set_book(document)
    with opened(station):
        station.until(lambda: station.status().get("broker_connected"), "the cloud to subscribe")
        _send(station, broker, warm, 0)
        return _send(station, broker, measured, len(warm))


def _send(station: Station, broker: BrokerProcess, packets: Sequence[bytes], before: int) -> float:
    start = time.perf_counter()
    publish("127.0.0.1", broker.port, packets)
    while (held := station.status()["readings"]) < before + len(packets):
        time.sleep(0.3)  # asking costs the service something too
        if time.perf_counter() - start > _PATIENCE_S:
            raise SystemExit(f"the cloud does not take it all: {held} of {before + len(packets)}\n{station.logs()}")
    return time.perf_counter() - start


def _into_mosquitto_sub(broker: BrokerProcess, packets: Sequence[bytes]) -> float:
    """Seconds from the first publish until `mosquitto_sub` has printed the last message."""
    program = shutil.which("mosquitto_sub")
    if program is None:
        raise SystemExit("this measurement needs the system package mosquitto-clients")
    arguments = ["-p", str(broker.port), "-V", "5", "-q", "1", "-t", "pw/1/+/+/up", "-C", str(len(packets))]
    listener = subprocess.Popen([program, *arguments, "-F", "%l"], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    start = time.perf_counter()
    publish("127.0.0.1", broker.port, packets)
    listener.wait(_PATIENCE_S)
    return time.perf_counter() - start
