"""The `ingest` measurement: a fleet's messages through Mosquitto into the cloud, everything committed.

30,000 devices, each with its asset, its lot, two limits with gaps, a mean kinetic temperature, a speed and a patience;
10,000 fences. The generator, the broker and the cloud share the machine. Every device has spoken before the clock
starts, and hears `committed` a few times a day, as one does that reports every quarter of an hour. Baseline, in the
same run and in turn: `mosquitto_sub` taking the same messages from the same generator.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brokers import BrokerProcess
from station import Station, opened

from pledgewatch_sim.fleet import Fleet, book
from pledgewatch_sim.publisher import packets_of, publish

DEVICES = int(os.environ.get("BENCH_DEVICES", "30000"))
FENCES = 10_000
WARM_ROUNDS = 2
ROUNDS = 10
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
    cloud, drain = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            broker = BrokerProcess("mosquitto", Path(folder), extra=_BROKER)
            broker.start()
            try:
                cloud.append(len(measured) / _into_the_cloud(Path(folder), broker, document, warm, measured))
                drain.append(len(measured) / _into_mosquitto_sub(broker, measured))
            finally:
                broker.kill()
    ratio = statistics.median(ours / theirs for ours, theirs in zip(cloud, drain, strict=True))
    return [
        {
            "name": "ingest",
            "value": round(statistics.median(cloud)),
            "unit": "messages/s committed",
            "baseline": round(statistics.median(drain)),
            "ratio": round(ratio, 3),
            "runs": [[round(ours), round(theirs)] for ours, theirs in zip(cloud, drain, strict=True)],
        }
    ]


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
