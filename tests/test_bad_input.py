"""Bad input against the running service, over a real broker and real HTTP: each gets its name, nothing stops."""

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from brokers import started
from builders import NOON_MS, Device, book_document, temperature
from paho.mqtt.enums import CallbackAPIVersion
from station import Process, Station, opened

from pledgewatch_sim.programs import free_port
from pledgewatch_wire import payload_pb2
from pledgewatch_wire.codec import Checkpoint, Status, encode, encode_status

BROKERS = ["mosquitto", "amqtt"]


@pytest.fixture(params=BROKERS)
def station(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Station]:
    with listening(request.param, tmp_path) as made:
        yield made


@pytest.fixture(scope="module", params=BROKERS)
def standing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """One for all tests that send it nothing over the broker."""
    with listening(request.param, tmp_path_factory.mktemp("standing")) as made:
        yield made


@contextlib.contextmanager
def listening(kind: str, folder: Path) -> Iterator[Station]:
    """A station whose cloud hears its broker."""
    broker = started(kind, folder / "broker")
    made = Station(folder / "station", broker)
    made.set_book(book_document(Device()))
    try:
        with opened(made):
            made.until(lambda: made.status().get("broker_connected"), "the cloud to subscribe")
            yield made
    finally:
        broker.kill()


def send(station: Station, *messages: tuple[str, bytes]) -> None:
    """Publish as some client of the broker."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="anybody")
    client.connect("127.0.0.1", station.broker.port)
    client.loop_start()
    for topic, payload in messages:
        client.publish(topic, payload, qos=1).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def post(station: Station, document: Any) -> tuple[int, dict[str, Any]]:
    """Amend the book."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{station.api_port}/book/amendments",
        data=json.dumps(document).encode(),
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_each_kind_of_bad_payload_has_its_reason_and_good_ones_go_on(station: Station) -> None:
    device, double, stranger = Device(), Device(), Device("stranger")
    for minute in range(4):
        device.measure(NOON_MS + minute * 60_000, temperature(5_000))
    double.measure(NOON_MS, temperature(-40_000))
    stranger.measure(NOON_MS, temperature(5_000))
    up = "pw/1/harbour-line/container-1/up"
    good = [encode(device.payload([one])) for one in device.readings]
    unknown_channel = payload_pb2.Payload(
        epoch=1,
        first_sequence=9,
        measured_at_ms=[1],
        groups=[payload_pb2.Group(channels=1 << 60, values=[1])],
    )
    forged = encode(device.payload([device.readings[3]], [Checkpoint(4, bytes(64))]))
    send(
        station,
        (up, good[0]),
        (up, good[1][:-4]),
        (up, unknown_channel.SerializeToString()),
        ("pw/1/harbour-line/stranger/up", encode(stranger.payload())),
        ("pw/1/pirates/container-1/up", good[1]),
        (up, encode(double.payload())),
        (up, b""),
        (up, b"\xff" * 1_000),
        (up, good[1]),
        (up, good[2]),
        (up, forged),
        (up, encode(device.payload([device.readings[3]], [device.checkpoint()]))),
        (up, good[0]),
    )
    station.until(lambda: station.status()["readings"] == 4, "the good readings")
    station.until(lambda: sum(counts(station).values()) == 8, "everything bad to be set aside")
    assert counts(station) == {
        "device belongs to another operator": 1,
        "device is not installed": 1,
        "no readings": 1,
        "sequence reused with other content": 1,
        "signature does not verify": 1,
        "truncated or not a payload": 2,
        "unknown channel": 1,
    }
    # The good signature comes after all that is bad, and maybe in a batch of its own.
    station.until(lambda: epoch_of(station)["signed"], "the signature")
    assert (epoch_of(station)["contiguous"], epoch_of(station)["signed"]) == (4, 4)
    kinds = [one["facts"]["kind"] for one in events(station) if one["type"] == "tamper_suspected"]
    assert kinds == ["sequence_reused", "signature"]
    assert station.cloud.alive


def test_a_status_from_elsewhere_is_named_and_not_answered(station: Station) -> None:
    device = Device()
    device.measure(NOON_MS, temperature(5_000))
    status = encode_status(Status(online=True, epoch=1, head_sequence=1, spooled_readings=0, agent_version="1"))
    send(station, ("pw/1/harbour-line/container-1/up", encode(device.payload())))
    send(station, *[(f"pw/1/{who}/status", status) for who in ("pirates/container-1", "harbour-line/stranger")])
    long = payload_pb2.Status(online=True, epoch=1, head_sequence=1, agent_version="1" * 65).SerializeToString()
    send(station, ("pw/1/harbour-line/container-1/status", long))
    station.until(lambda: sum(counts(station).values()) == 3, "all to be set aside")
    reasons = ("device belongs to another operator", "device is not installed", "too large")
    assert counts(station) == dict.fromkeys(reasons, 1)
    assert station.cloud.alive


def epoch_of(station: Station) -> dict[str, int]:
    """Up to where the one device's one epoch is there, and is signed."""
    (known,) = station.get(station.api_port, "/devices")
    found: dict[str, int] = known["epochs"][0]
    return found


def counts(station: Station) -> dict[str, int]:
    found: dict[str, int] = station.get(station.api_port, "/quarantine")["counts"]
    return found


def events(station: Station) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = station.get(station.api_port, "/events")["events"]
    return found


def test_bad_amendments_are_named_and_the_book_in_force_stays(standing: Station) -> None:
    before = standing.get(standing.api_port, "/book")
    ring = [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]
    crossing = {
        "type": "Feature",
        "id": "knot",
        "properties": {},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    rows = [
        ({"fences": {"type": "FeatureCollection", "features": [crossing]}}, "knot: ring 0: crosses or touches itself"),
        ({"fences": {"type": "Nonsense"}}, "a GeoJSON FeatureCollection is needed"),
        ({"prices": [{"sku": "sofa", "unit_price_minor": -1, "currency": "USD"}]}, "prices[0].unit_price_minor: -1"),
        ({"surprise": 1}, "surprise: no such section"),
    ]
    for document, words in rows:
        status, problem = post(standing, document)
        assert status == 422
        assert any(words in one for one in problem["errors"]), problem
    assert standing.get(standing.api_port, "/book") == before
    status, answer = post(standing, {"prices": [{"sku": "sofa", "unit_price_minor": 1, "currency": "USD"}]})
    assert (status, answer["changed"]) == (200, True)


def test_a_taken_port_is_named(tmp_path: Path, standing: Station) -> None:
    other = Station(tmp_path / "other", standing.broker)
    other.set_book({})
    text = (other.folder / "cloud.toml").read_text(encoding="utf-8")
    taken = text.replace(f"port = {other.api_port}", f"port = {standing.api_port}")
    (other.folder / "cloud.toml").write_text(taken, encoding="utf-8")
    other.cloud.start()
    other.until(lambda: not other.cloud.alive, "the second service to give up")
    assert f"the API cannot listen on 127.0.0.1:{standing.api_port}" in other.cloud.log()
    assert "Traceback" not in other.cloud.log()


def test_a_journal_that_is_in_use_is_named(standing: Station) -> None:
    config = standing.folder / "second.toml"
    text = (standing.folder / "cloud.toml").read_text(encoding="utf-8")
    config.write_text(text.replace(f"port = {standing.api_port}", f"port = {free_port()}"), encoding="utf-8")
    second = Process("second", ["pledgewatch_cloud", "run", "--config", str(config)], standing.folder)
    second.start()
    standing.until(lambda: not second.alive, "the second service to give up")
    assert "is in use by another pledgewatch-cloud" in second.log()
    assert "Traceback" not in second.log()
