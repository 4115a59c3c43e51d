"""The process that feeds the series: alive beside the service, started again, and gone with it."""

import contextlib
import os
import signal
import time
from pathlib import Path

from brokers import started
from builders import Device, book_document
from station import Station, opened


def followers(station: Station) -> list[int]:
    """The processes that feed this station's series."""
    wanted = b"\0".join([b"series", b"follow", b"--config", bytes(station.folder / "cloud.toml")])
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def has_followed(station: Station) -> bool:
    status = station.status()
    return bool(status) and status["series_entry"] == status["entry"] >= 1


def test_the_series_follow_and_their_process_ends_with_the_service(tmp_path: Path) -> None:
    broker = started("amqtt", tmp_path / "broker")
    station = Station(tmp_path / "station", broker, ingest="tick_s = 60.0\n")
    station.set_book(book_document(Device()))
    try:
        with opened(station):
            station.until(lambda: has_followed(station), "the series to follow")
            (first,) = followers(station)
            os.kill(first, signal.SIGKILL)
            station.until(lambda: followers(station) not in ([], [first]), "the follower to be started again")
            assert station.cloud.end() == 0
            assert followers(station) == []
            station.cloud.start()
            station.until(lambda: station.answers(station.api_port) and followers(station) != [], "the service again")
            station.cloud.kill()
            deadline = time.monotonic() + 60
            while followers(station):
                assert time.monotonic() < deadline, "it outlives the service"
                time.sleep(0.1)
    finally:
        broker.kill()
