"""The service with readers, each a process: who writes reads what they wrote, what is read is noted, and readers come
again when they are killed and go when the service does."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from api_cloud import shown
from brokers import started
from keeping import LINE
from receipting import BANK, FIRST
from seeing import USERS, Seeing
from station import Station, opened
from warehouses import BOX

KEEPER, LENDER, LEAVING = (shown(USERS[one].key) for one in ("keeper-kim", "lender-one", "lender-two"))


def readers(station: Station) -> list[int]:
    """The processes that answer this station's reads."""
    wanted = b"\0".join([b"read", b"--config", bytes(station.folder / "cloud.toml")])
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return sorted(found)


def are_there(station: Station, times: int) -> bool:
    """So many readers have come to a state of their own since the start."""
    return station.cloud.log().count("reads are answered from entry") >= times


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Each test leaves it running, with two readers."""
    folder = tmp_path_factory.mktemp("readers")
    broker = started("amqtt", folder / "broker")
    made = Station(folder / "station", broker, headers=KEEPER, readers=2)
    made.set_book({})
    seeing = Seeing(made.folder / "data")
    seeing.pledge(FIRST, BANK)
    seeing.read()
    seeing.close()
    try:
        with opened(made):
            made.until(lambda: are_there(made, 2), "both readers to have a state")
            yield made
    finally:
        broker.kill()


@pytest.fixture
def http(station: Station) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{station.api_port}", headers=KEEPER, timeout=20) as client:
        yield client


def renewed(http: httpx2.Client) -> Iterator[httpx2.Client]:
    """Clients with connections of their own, which come to either reader."""
    while True:
        with httpx2.Client(base_url=http.base_url, headers=KEEPER, timeout=20) as client:
            yield client


def test_who_has_written_reads_it_on_the_next_request(http: httpx2.Client) -> None:
    for turn in range(20):
        document = {"parties": [{"id": "new-bank", "name": f"name {turn}"}]}
        answer = http.post("/book/amendments", json=document)
        assert answer.status_code == 200, answer.text
        (named,) = [one["name"] for one in http.get("/book").json()["parties"] if one["id"] == "new-bank"]
        assert named == f"name {turn}"


def test_who_is_taken_out_of_the_book_reads_nothing_soon_after(station: Station, http: httpx2.Client) -> None:
    assert http.get("/facilities", headers=LEAVING).status_code == 200
    assert http.post("/book/amendments", json={"remove": {"users": ["lender-two"]}}).status_code == 200
    until_s = time.monotonic() + 2
    for other in renewed(http):
        if other.get("/facilities", headers=LEAVING).status_code == 401:
            break
        assert time.monotonic() < until_s, "it is answered still"
    time.sleep(2)
    for _, other in zip(range(10), renewed(http), strict=False):
        assert other.get("/facilities", headers=LEAVING).status_code == 401


def test_what_is_read_is_noted_whichever_process_answers(station: Station, http: httpx2.Client) -> None:
    for path in ("/facilities", "/lots", "/devices"):  # the last is answered by the service
        assert http.get(path, headers=LENDER).status_code == 200
    said = noted(http)
    deadline = time.monotonic() + 20
    while not {"/facilities", "/lots", "/devices"} <= said:
        assert time.monotonic() < deadline, said
        time.sleep(0.2)
        said = noted(http)
    assert http.get("/alerts", headers=LENDER).status_code == 200
    assert station.cloud.end() == 0, "and what was read last is noted before it goes"
    start_again(station)
    assert "/alerts" in noted(http)


def start_again(station: Station) -> None:
    """The service has ended; have it run as before."""
    were = station.cloud.log().count("reads are answered from entry")
    station.cloud.start()
    station.until(lambda: station.answers(station.api_port) and are_there(station, were + 2), "the service again")


def noted(http: httpx2.Client) -> set[str]:
    """Which paths a lender is noted to have asked for."""
    rows = http.get("/audit", params={"limit": 200}).json()["rows"]
    return {one["path"] for one in rows if one["user"] == "lender-one"}


def test_readers_come_again_and_go_with_the_service(station: Station, http: httpx2.Client) -> None:
    first, were = readers(station), station.cloud.log().count("reads are answered from entry")
    assert len(first) == 2
    os.kill(first[0], signal.SIGKILL)
    station.until(lambda: are_there(station, were + 1) and len(readers(station)) == 2, "another reader")
    second = readers(station)
    assert len(set(first) & set(second)) == 1
    for _, other in zip(range(10), renewed(http), strict=False):
        assert other.get("/assets").status_code == 200
    for one in second:
        os.kill(one, signal.SIGKILL)
    assert http.get("/assets").status_code == 200, "who asks meanwhile waits for the next"
    station.until(lambda: len(readers(station)) == 2, "two others")
    station.cloud.kill()
    deadline = time.monotonic() + 20
    while readers(station):
        assert time.monotonic() < deadline, "they outlive the service"
        time.sleep(0.1)
    start_again(station)


def test_changes_are_told_by_a_reader_and_are_there_to_be_read(station: Station, http: httpx2.Client) -> None:
    told: list[dict[str, Any]] = []
    heard = threading.Event()

    def follow() -> None:
        with (
            httpx2.Client(base_url=http.base_url, headers=KEEPER, timeout=20) as client,
            client.stream("GET", "/live") as answer,
        ):
            heard.set()
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    told.append(json.loads(line.removeprefix("data:")))
                    return

    following = threading.Thread(target=follow)
    following.start()
    assert heard.wait(20)
    lot = {"id": "told-lot", "asset": BOX, "facility": LINE, "sku": "SEA-SKU", "quantity": 5}
    answer = http.post("/book/amendments", json={"lots": [lot]})
    assert answer.status_code == 200, answer.text
    following.join(20)
    assert [one["type"] for one in told] == ["base_recomputed"]
