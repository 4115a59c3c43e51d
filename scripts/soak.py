"""A long run at a steady rate: `.venv/bin/python scripts/soak.py [--minutes 15] [--rate 10000] [--devices 30000]`.

The fleet speaks through Mosquitto into the cloud, each device as often as the rate asks for, of the moment at which it
speaks. Every half minute a line says how much memory the cloud holds and how far it and its series lie behind. Exits
with 1 where memory has grown by more than a tenth since the first quarter, or the cloud has fallen more than ten
seconds of messages behind.
"""

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from brokers import BrokerProcess
from station import Station, opened

from pledgewatch_sim.fleet import Fleet, book
from pledgewatch_sim.publisher import packets_of, publish

EVERY_S = 30
_BROKER = "listener %d 127.0.0.1\nallow_anonymous true"


def main() -> int:
    """Run, and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--devices", type=int, default=30_000)
    options = parser.parse_args()
    seen: list[tuple[int, int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        broker = BrokerProcess("mosquitto", Path(folder), extra=_BROKER)
        broker.start()
        try:
            station = Station(Path(folder) / "station", broker, ingest="committed_after_s = 21600.0\n")
            station.set_book(book(range(options.devices), 10_000))
            with opened(station):
                station.until(lambda: station.status().get("broker_connected"), "the cloud to subscribe")
                sender = _Sender(broker.port, options)
                sending = threading.Thread(target=sender.run)
                sending.start()
                deadline = time.monotonic() + 60 * options.minutes
                while time.monotonic() < deadline and sending.is_alive():
                    time.sleep(min(EVERY_S, max(0.0, deadline - time.monotonic())))
                    seen.append(_look(station, sender))
                sender.ended.set()
                sending.join()
        finally:
            broker.kill()
    first = max(memory for memory, _, _ in seen[: max(1, len(seen) // 4)])
    last, lag, series_lag = seen[-1]
    grown = last > 1.1 * first or lag > 10 * options.rate
    print(f"memory {first} to {last} MiB, {lag} messages and {series_lag} entries behind: {'BAD' if grown else 'flat'}")
    return int(grown)


def _prepare(options: argparse.Namespace, ready: "multiprocessing.Queue[list[bytes]]") -> None:
    """Seconds of packets, one after the other, in a process of its own: signing costs more than sending."""
    rounds = int(60 * options.minutes * options.rate / options.devices) + 2
    step_ms = 1_000 * options.devices // options.rate
    until_ms = time.time_ns() // 1_000_000 + rounds * step_ms
    messages = Fleet(range(options.devices), rounds=rounds, until_ms=until_ms, step_ms=step_ms).live()
    while piece := [(one.topic, one.payload) for one in islice(messages, options.rate)]:
        ready.put(packets_of(piece))


class _Sender:
    """Sends a second's packets each second, or as soon as they go."""

    def __init__(self, port: int, options: argparse.Namespace) -> None:
        self.sent = 0
        self.ended = threading.Event()
        self._port, self._rate = port, options.rate
        self._ready: multiprocessing.Queue[list[bytes]] = multiprocessing.Queue(maxsize=3)
        self._preparing = multiprocessing.Process(target=_prepare, args=(options, self._ready), daemon=True)

    def run(self) -> None:
        self._preparing.start()
        while not self.ended.is_set():
            packets = self._ready.get()
            publish("127.0.0.1", self._port, packets, rate=self._rate)
            self.sent += len(packets)
        self._preparing.kill()


def _look(station: Station, sender: _Sender) -> tuple[int, int, int]:
    sent, status = sender.sent, station.status()
    memory = station.cloud.memory_kib // 1024
    lag = max(0, sent - status["readings"])
    behind = status["entry"] - status["series_entry"]
    print(f"{memory} MiB, {status['readings']} readings, {lag} messages behind, series {behind} entries", flush=True)
    return memory, lag, behind


if __name__ == "__main__":
    sys.exit(main())
