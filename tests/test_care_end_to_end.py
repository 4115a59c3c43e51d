"""Remote care with real processes: Mosquitto, the cloud and an agent that is set, commanded, deceived and killed."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from brokers import started
from caring import OTHER_KEY, command
from paho.mqtt.enums import CallbackAPIVersion
from station import IMPATIENT_INGEST, OPERATOR, Station, opened

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.identity import authority
from pledgewatch_edge.care.care import CARE_KEY_FILE
from pledgewatch_edge.care.ledger import read
from pledgewatch_sim.programs import free_port
from pledgewatch_wire.care import What

DEVICE, PROBE = "reefer-7", "28-000000000001"
_DEVICES = """[devices]
authority_certificate_file = "ca.pem"
authority_key_file = "ca.key"
care_key_file = "care.key"
public_url = "http://127.0.0.1:8420"
broker_host = "127.0.0.1"
broker_ca_file = "ca.pem"
"""


class Bench:
    """A station with one device that may be cared for."""

    def __init__(self, station: Station, capsys: pytest.CaptureFixture[str]) -> None:
        self.station = station
        self.agent = station.agents[DEVICE]
        self._capsys = capsys
        self.commands: list[bytes] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener")
        self.client.on_message = lambda *one: self.commands.append(one[2].payload)
        self.client.connect("127.0.0.1", station.broker.port)
        self.client.subscribe(self.topic, qos=1)
        self.client.loop_start()

    @property
    def topic(self) -> str:
        return f"pw/1/{OPERATOR}/{DEVICE}/command"

    def devices(self, *arguments: str) -> str:
        """What the command `devices` says."""
        code = main(["devices", *arguments, "--url", f"http://127.0.0.1:{self.station.api_port}"])
        said = self._capsys.readouterr()
        assert code == 0, said.err
        return said.out

    def set(self, toml: str) -> None:
        file = self.station.folder / "settings.toml"
        file.write_text(toml, encoding="utf-8")
        self.devices("settings", DEVICE, str(file))

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self.station.get(self.station.api_port, f"/devices/{DEVICE}")
        return found

    def settings_are(self, became: str) -> bool:
        return bool(self.shown()["settings"]["became"] == became)

    def say(self, payload: bytes) -> None:
        """As whoever got at the broker."""
        self.client.publish(self.topic, payload, qos=1).wait_for_publish(60)

    def epochs_measured(self) -> int:
        return int(self.station.edge_says(DEVICE, "status")["measured"])


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    folder = tmp_path / "station"
    folder.mkdir()
    authority.create(folder / "ca.pem", folder / "ca.key", "test", 100, time.time_ns() // 1_000_000)
    assert main(["devices", "keys", "--care", str(folder / "care.key")]) == 0
    care_key = capsys.readouterr().out.split()[-1]
    probe = folder / "w1" / PROBE
    probe.mkdir(parents=True)
    line = "50 01 4b 46 7f ff 0c 10 1c : crc=1c YES\n50 01 4b 46 7f ff 0c 10 1c t=21000\n"
    (probe / "w1_slave").write_text(line, encoding="ascii")
    broker = started("mosquitto", tmp_path / "broker")
    try:
        station = Station(folder, broker, ingest=IMPATIENT_INGEST + _DEVICES)
        sensors = f'[onewire]\nprobes = ["{PROBE}"]\nroot = "w1"\ninterval_s = 3600\n[care]\nrollback_after_s = 3\n'
        key = station.add_device(DEVICE, sensors=sensors)
        (folder / DEVICE / CARE_KEY_FILE).write_text(care_key, encoding="ascii")
        installed = {"device": DEVICE, "operator": OPERATOR, "asset": DEVICE, "public_key": key}
        station.set_book({"installations": [installed]})
        with opened(station):
            station.agents[DEVICE].start()
            one = Bench(station, capsys)
            station.until(lambda: "connected protocol" in one.agent.log(), "the agent to connect")
            yield one
            one.client.loop_stop()
    finally:
        broker.kill()


def test_a_device_is_commanded_and_does_nothing_for_anybody_else(bench: Bench) -> None:
    station, agent = bench.station, bench.agent
    before = bench.epochs_measured()
    assert "command 1 is asked for" in bench.devices("command", "report-now", DEVICE)
    station.until(lambda: bench.shown()["commands"][0]["became"] == "done", "the report")
    assert bench.shown()["commands"][0]["said"] == f"readings {before + 1} to {before + 1} of epoch 1"
    after = bench.epochs_measured()
    assert after == before + 1  # its interval is an hour

    bench.devices("command", "resend-range", DEVICE, "1", "1", "1")
    station.until(lambda: bench.shown()["commands"][0]["became"], "the range")
    assert bench.shown()["commands"][0]["became"] in {"done", "refused"}  # committed by then, or not yet
    bench.devices("command", "identify", DEVICE)
    station.until(lambda: bench.shown()["commands"][0]["became"] == "refused", "no light")
    bench.devices("command", "diagnostics", DEVICE)
    station.until(lambda: bench.shown()["commands"][0]["became"] == "done", "the bundle")
    bundle = json.loads(bench.devices("show", DEVICE, "--result", "4"))["result"]
    assert bundle["spool"]["measured"] == after
    assert bundle["configuration"]["device"]["name"] == DEVICE
    assert any("command id=1 what=report_now" in line for line in bundle["log"])

    bench.say(bench.commands[0])  # the very bytes of the cloud's first command, once more
    station.until(lambda: "replayed: command 1 was taken before (done" in agent.log(), "the replay to be refused")
    bench.say(command(90, What.REPORT_NOW, device=DEVICE, ends_ms=2**42, key=OTHER_KEY))
    station.until(lambda: "not signed by the key" in agent.log(), "the stranger's command to be refused")
    bench.say(b"report now!")
    station.until(lambda: "it cannot be read" in agent.log() or "unsigned" in agent.log(), "rubbish to be refused")
    assert bench.epochs_measured() == after


def test_settings_that_break_the_uplink_go_back_by_themselves_also_after_a_kill(bench: Bench) -> None:
    station, agent = bench.station, bench.agent
    state = station.folder / DEVICE
    bench.set("[onewire]\ninterval_s = 1800\n")
    station.until(lambda: bench.settings_are("done"), "good settings to be in force")

    bench.set(f"[broker]\nport = {free_port()}\n")  # nobody is there
    station.until(lambda: bench.settings_are("refused"), "the device to be back, and to say so")
    assert "rolled back: the cloud was not heard within 3 s" in bench.shown()["settings"]["said"]
    assert read(state).good.toml == "[onewire]\ninterval_s = 1800\n"

    bench.set("[onewire]\ninterval_s = 0\n")
    station.until(lambda: bench.settings_are("refused"), "what fails the check to be refused")
    assert "out of range" in bench.shown()["settings"]["said"]

    bench.set(f"[broker]\nport = {free_port()}\n")
    station.until(lambda: read(state).trial is not None, "the trial to begin")
    agent.kill()
    trial = read(state).trial
    assert trial is not None
    assert trial.version == 4
    agent.start()
    station.until(lambda: bench.settings_are("refused"), "the trial to end after the kill too")
    ledger = read(state)
    assert (ledger.trial, ledger.good.version, ledger.version) == (None, 1, 4)
    bench.devices("command", "report-now", DEVICE)  # and it is well
    station.until(lambda: bench.shown()["commands"][0]["became"] == "done", "a report")
