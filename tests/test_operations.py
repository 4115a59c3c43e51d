"""What an operator looks at: metrics, readiness, logs as objects, and the doctor."""

import asyncio
import contextlib
import json
import logging
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from api_cloud import client_over
from asking import AppClient
from brokers import BrokerProcess, started
from builders import NOON_MS, Device, ManualClock, book_document, temperature
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from needed import system_program
from pwdlib import PasswordHash  # comes with amqtt
from pwdlib.hashers.argon2 import Argon2Hasher
from test_ingest_loop import Bench

from pledgewatch_cloud import doctor, logs
from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.broker import EmbeddedBroker
from pledgewatch_cloud.config import CloudSettings
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.doctor import Finding
from pledgewatch_cloud.histogram import Histogram
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_cloud.journal.sqlite import FILE_NAME, SqliteStore
from pledgewatch_cloud.progress import Progress
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_sim.programs import free_port
from pledgewatch_wire.codec import Status, encode_status
from pledgewatch_wire.settings import load
from pledgewatch_wire.topics import Kind


def client_for(folder: Path, bench: Bench) -> AppClient:
    """The API over what the ingest loop of a bench has done."""
    return client_over(
        bench.store,
        bench.writer,
        EmbeddedSeries(folder, bench.store.journal),
        metrics=bench.metrics,
        broker_connected=lambda: bench.broker.connected,
        broker_counts=lambda: bench.broker.counts,
    )


def samples(text: str) -> dict[str, float]:
    """The samples of a scrape by name and labels."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_metrics_say_what_has_gone_through_and_how_far_everything_lies_behind(tmp_path: Path) -> None:
    bench = Bench()
    for _ in range(3):
        bench.measure()
    bench.device.measure(NOON_MS + 3, temperature(5_000))  # is lost on its way
    bench.measure()
    bench.broker.put(Kind.UP, bench.device.name, b"\xff")
    status = Status(online=True, epoch=1, head_sequence=9, spooled_readings=17, agent_version="0.1.0")
    bench.broker.put(Kind.STATUS, bench.device.name, encode_status(status))
    await bench.run_until(lambda: len(bench.broker.acknowledged) == 6)
    client = client_for(tmp_path, bench)
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = samples(answer.text)
    assert found["pledgewatch_received_messages_total"] == 6
    assert found["pledgewatch_committed_readings_total"] == 4
    assert sum(value for name, value in found.items() if name.startswith("pledgewatch_unreadable_payloads_total")) == 1
    assert (found["pledgewatch_gap_readings"], found["pledgewatch_gap_epochs"]) == (1, 1)
    assert found["pledgewatch_spooled_readings"] == found["pledgewatch_deepest_spool_readings"] == 17
    assert found["pledgewatch_batch_messages_count"] == found['pledgewatch_batch_messages_bucket{le="1.0"}'] == 6
    assert found["pledgewatch_measured_to_committed_seconds_count"] == 4
    assert found['pledgewatch_measured_to_committed_seconds_bucket{le="300.0"}'] == 0, "they are an hour old"
    assert found["pledgewatch_series_lag_entries"] == bench.writer.state.entry
    assert found["pledgewatch_quarantined"] == 1
    assert (found["pledgewatch_state_epochs"], found["pledgewatch_state_unjoined_leaves"]) == (1, 1)
    assert found["pledgewatch_refused_messages_total"] == 0


def test_ready_is_who_can_take_readings(tmp_path: Path) -> None:
    bench = Bench()
    client = client_for(tmp_path, bench)
    assert client.get("/readyz").json() == {"status": "ready"}
    bench.broker.connected = False
    bench.writer._disk.lost("full")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the broker is away; the disk takes no commits"


def test_a_histogram_counts_at_or_below_each_bound() -> None:
    histogram = Histogram((1, 10))
    for value in (0.5, 1, 2, 10, 11):
        histogram.add(value)
    assert (histogram.counts, histogram.total) == ([2, 2, 1], 24.5)


def test_spool_depths_are_remembered_for_so_many_devices_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from pledgewatch_cloud.ingest import metrics as module  # noqa: PLC0415 - its bound is changed
    from pledgewatch_cloud.ingest.decode import DeviceStatus  # noqa: PLC0415

    monkeypatch.setattr(module, "DEVICES_MAX", 2)
    metrics = Metrics()
    for depth, device in enumerate("abca"):
        status = Status(online=True, epoch=1, head_sequence=9, spooled_readings=depth, agent_version="")
        metrics.note(metrics.hear([DeviceStatus("o", device, status)]))
    assert {device: one.spooled_readings for device, one in metrics.said.items()} == {"c": 2, "a": 3}


def test_logs_for_machines_are_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    formatter = logs._JsonFormatter()
    record = logging.LogRecord("where", logging.WARNING, __file__, 1, "%d\nlines", (2,), None)
    line = json.loads(formatter.format(record))
    assert {name: line[name] for name in ("level", "logger", "message")} == {
        "level": "warning",
        "logger": "where",
        "message": "2\nlines",
    }
    assert datetime.fromisoformat(line["time"]).tzinfo is not None


def test_progress_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("entries", 10)
    progress(5)
    assert capsys.readouterr().err == ""


def findings(folder: Path, text: str) -> dict[str, Finding]:
    """What the doctor finds under a configuration."""
    path = folder / "cloud.toml"
    path.write_text(text, encoding="utf-8")
    return {one.what: one for one in asyncio.run(doctor.examine(load(path, CloudSettings)))}


def certificate(path: Path, days: int) -> None:
    """A certificate that is valid for so many days more."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(now - timedelta(days=90)).not_valid_after(now + timedelta(days=days))
    path.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))


def test_the_doctor_names_what_is_missing_and_the_cure(tmp_path: Path) -> None:
    certificate(tmp_path / "ca.pem", 400)
    certificate(tmp_path / "cloud.pem", 3)
    nobody = free_port()
    found = findings(
        tmp_path,
        f'[service]\ndata_folder = "data"\n[broker]\nport = {nobody}\n'
        'ca_file = "ca.pem"\ncertificate_file = "cloud.pem"\nkey_file = "cloud.pem"\n'
        f'[core]\nurl = "http://127.0.0.1:{nobody}/messages"\nsecret_files = ["none.secret"]\n'
        "allow_private_networks = true\n"
        f'[series]\nkind = "influxdb"\nurl = "http://127.0.0.1:{nobody}"\norg = "o"\ntoken_file = "cloud.toml"\n',
    )
    assert found["file"].text.startswith("[core] secret_files[0]: ")
    assert found["ca_file"].is_well
    assert found["certificate_file"].text.endswith("; renew it")
    assert "cannot be spoken to" in found["broker"].text
    assert found["core"].text.endswith("start it, or mend [core] url")
    assert found["influxdb"].text.endswith("nothing is lost meanwhile")
    assert found["disk"].is_well
    assert found["journal"].text.startswith("none yet")
    assert not any(found[what].is_well for what in ("file", "certificate_file", "broker", "core", "influxdb"))


@contextlib.asynccontextmanager
async def guarded(kind: str, folder: Path) -> AsyncIterator[int]:
    """The port of a broker that lets in nobody but `cloud` with the password `its-own`."""
    users = folder / "users"
    if kind == "amqtt":
        users.write_text(f"cloud:{PasswordHash((Argon2Hasher(),)).hash('its-own')}\n", encoding="ascii")
        async with EmbeddedBroker("127.0.0.1", 0, password_file=users) as embedded:
            yield embedded.port
        return
    system_program("mosquitto")
    made = ["mosquitto_passwd", "-b", "-c", str(users), "cloud", "its-own"]
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True)
    users.chmod(0o644)
    broker = BrokerProcess(kind, folder, extra=f"listener %d 127.0.0.1\nallow_anonymous false\npassword_file {users}")
    await asyncio.to_thread(broker.start)
    yield broker.port
    broker.kill()


@pytest.mark.parametrize("kind", ["amqtt", "mosquitto"])
async def test_the_doctor_shows_the_broker_our_name_and_password(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_PATIENCE_S", 60.0)  # one of the brokers works out a slow hash meanwhile
    async with guarded(kind, tmp_path) as port:
        text = f'[broker]\nport = {port}\nusername = "cloud"\npassword_file = "secret"\n'
        (tmp_path / "cloud.toml").write_text(f'[service]\ndata_folder = "data"\n{text}', encoding="ascii")
        said = {}
        for password in ("its-own", "another"):
            (tmp_path / "secret").write_text(password, encoding="ascii")
            found = await doctor.examine(load(tmp_path / "cloud.toml", CloudSettings))
            said[password] = next(one for one in found if one.what == "broker")
    assert said["its-own"].is_well, said
    assert not said["another"].is_well
    assert said["another"].text.endswith("mend [broker] username, password_file")


def test_the_doctor_finds_a_healthy_service_healthy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = SqliteStore(tmp_path / "data")
    Spine(store, ManualClock()).commit(drafts.amend, book_document(Device()))
    store.close()
    broker = started("amqtt", tmp_path / "broker")
    try:
        found = findings(tmp_path, f'[service]\ndata_folder = "data"\n[broker]\nport = {broker.port}\n')
    finally:
        broker.kill()
    assert found["broker"] == Finding(
        "broker", is_well=True, text=f"127.0.0.1:{broker.port} speaks MQTT 3.1.1 and lets us in"
    )
    assert found["journal"].text == "1 entries; `replay` proves them"
    (tmp_path / "data" / FILE_NAME).write_bytes(b"no journal")
    assert main(["doctor", "--config", str(tmp_path / "cloud.toml")]) == 1
    assert "BAD journal: " in capsys.readouterr().out
