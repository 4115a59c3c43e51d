"""A year of a device in a minute, with the real cloud, the real agent and a real Mosquitto: invited, claimed, heard,
renewed, flashed anew, replaced by other hardware, revoked.

The files of the broker are those that the service writes, and the claims those that its command prints.
"""

import asyncio
import contextlib
import io
import json
import os
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from authority import Authority
from brokers import BrokerProcess
from builders import book_document
from cryptography import x509
from station import IMPATIENT_INGEST, Process

from pledgewatch_cloud.__main__ import main as cloud_main
from pledgewatch_edge.__main__ import main as edge_main
from pledgewatch_edge.agent import load
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.connection import Connector, RefusedError
from pledgewatch_edge.renewal import Renewal
from pledgewatch_edge.tls import Shown, shown_to_broker
from pledgewatch_edge.tls_identity import BROKER, CLOUD, Standing, TlsIdentity
from pledgewatch_sim.programs import free_port

LINE = "harbour-line"
REFUSED_WITHIN_S = 60.0
WILL = aiomqtt.Will(f"pw/1/{LINE}/box-1/status", b"", qos=1)


class Harbour:
    """Cloud and broker as processes, and boards in folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = BrokerProcess("mosquitto", folder)
        self.devices_port = free_port()
        self.url = f"http://127.0.0.1:{free_port()}"
        self.boards: dict[str, Process] = {}
        self.own = Authority(folder)  # of whoever is no device
        for name in ("server", "cloud"):
            self.own.issue(name)
        files = ("--certificate", str(folder / "devices.pem"), "--key", str(folder / "devices.key"))
        assert cloud_main(["devices", "authority", *files]) == 0
        assert cloud_main(["devices", "keys", "--care", str(folder / "care.key")]) == 0
        (folder / "book.json").write_text(json.dumps(book_document()), encoding="utf-8")
        (folder / "cloud.toml").write_text(self._cloud_file(), encoding="utf-8")
        words = ["pledgewatch_cloud", "run", "--config", str(folder / "cloud.toml")]
        self.cloud = Process("cloud", words, folder)

    def start(self) -> None:
        """The cloud, which writes what the broker reads; then the broker."""
        self.cloud.start()
        self.until(lambda: (self.folder / "acl").exists() and bool(self.get("/healthz")), "the cloud")
        conf = self.folder / "mosquitto.conf"
        files = {"ca": "ca.pem", "certificate": "server.pem", "key": "server.key", "acl": "acl"}
        files |= {"devices-ca": "devices.pem", "devices-crl": "crl.pem"}
        named = [word for key, file in files.items() for word in (f"--{key}-file", str(self.folder / file))]
        named += ["--persistence-folder", str(self.folder / "mosquitto-store"), "--output", str(conf)]
        named += ["--devices-port", str(self.devices_port)]
        assert cloud_main(["broker", "conf", "--port", str(self.broker.port), *named]) == 0
        with conf.open("a", encoding="ascii") as file:
            file.write(f"pid_file {self.folder / 'pid'}\n")
            if os.geteuid() == 0:
                file.write("user root\n")
        self.broker.start()

    def stop(self) -> None:
        """End whatever runs."""
        for one in (*self.boards.values(), self.cloud):
            if one.alive:
                one.kill()
        self.broker.kill()

    def invite(self, capsys: pytest.CaptureFixture[str], device: str, *more: str) -> str:
        """The claim that the command prints."""
        capsys.readouterr()
        assert cloud_main(["devices", "invite", device, "--url", self.url, *more]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    def claim(self, monkeypatch: pytest.MonkeyPatch, board: str, claim: str) -> int:
        """Claim on a board; the exit code."""
        folder = self.folder / board
        folder.mkdir(exist_ok=True)
        config = folder / "edge.toml"
        if not config.exists():
            config.write_text("[host]\ninterval_s = 0.2\n[checkpoint]\nevery_s = 2.0\n", encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", io.StringIO(claim + "\n"))
        return edge_main(["claim", "--config", str(config), "--state-folder", str(folder / "state")])

    def run(self, board: str) -> None:
        """Start the agent of a board."""
        words = ["pledgewatch_edge", "run", "--config", str(self.folder / board / "edge.toml")]
        self.boards[board] = Process(board, words, self.folder)
        self.boards[board].start()

    def status(self, board: str) -> dict[str, Any]:
        """What `pledgewatch-edge status` prints."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert edge_main(["status", "--json", "--config", str(self.folder / board / "edge.toml")]) == 0
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    def get(self, path: str) -> Any:
        """What the API has there."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            return json.load(answer)

    def contiguous(self, device: str) -> dict[int, int]:
        """Up to where the cloud has each epoch of a device, nothing of which is suspicious."""
        [one] = [one for one in self.get("/devices") if one["device"] == device]
        assert not any(epoch["suspicions"] for epoch in one["epochs"]), one
        return {epoch["epoch"]: epoch["contiguous"] for epoch in one["epochs"]}

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = 60) -> float:
        """Wait for what other processes do; how long it took."""
        begun = time.monotonic()
        while True:
            try:
                if condition():
                    return time.monotonic() - begun
            except OSError:
                pass
            if time.monotonic() - begun > timeout_s:
                logs = [f"--- {one.name}\n{one.log()[-2_000:]}" for one in (self.cloud, *self.boards.values())]
                raise AssertionError(f"waited {timeout_s} s for {what}\n" + "\n".join(logs))
            time.sleep(0.1)

    def _cloud_file(self) -> str:
        own, port = self.folder, self.url.rpartition(":")[2]
        return (
            '[service]\ndata_folder = "data"\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {self.broker.port}\nreconnect_max_s = 0.3\n'
            f'ca_file = "{own}/ca.pem"\ncertificate_file = "{own}/cloud.pem"\nkey_file = "{own}/cloud.key"\n'
            f"[ingest]\n{IMPATIENT_INGEST}[api]\nport = {port}\n"
            '[book]\nfiles = ["book.json"]\n'
            f'[devices]\nauthority_certificate_file = "{own}/devices.pem"\nauthority_key_file = "{own}/devices.key"\n'
            f'care_key_file = "{own}/care.key"\npublic_url = "{self.url}"\n'
            f'broker_host = "127.0.0.1"\nbroker_port = {self.devices_port}\nbroker_ca_file = "{own}/ca.pem"\n'
            f'broker_files_folder = "{own}"\nbroker_pid_file = "{own}/pid"\n'
        )


@pytest.fixture
def harbour(tmp_path: Path) -> Iterator[Harbour]:
    one = Harbour(tmp_path)
    try:
        one.start()
        yield one
    finally:
        one.stop()


async def refused(connector: Connector, shown: Shown) -> None:
    """Connect until the broker has read its lists again. Raises RefusedError then."""
    async with asyncio.timeout(REFUSED_WITHIN_S):
        while True:
            async with connector.connect(WILL, shown):
                await asyncio.sleep(0.2)


async def assert_speaks_for_itself(connector: Connector) -> None:
    """The broker hears the device under its own topic, and under nobody else's."""
    async with connector.connect(WILL) as client:
        await client.publish(f"pw/1/{LINE}/box-1/up", b"x", qos=1)
        connector.require_heard()
        await client.publish(f"pw/1/{LINE}/box-2/up", b"x", qos=1)
        with pytest.raises(RefusedError):
            connector.require_heard()


async def test_a_device_from_its_invitation_to_its_end(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Fitted: the technician types the claim, and the cloud commits readings.
    claim = harbour.invite(capsys, "box-1", "--operator", LINE, "--asset", "reefer-1")
    assert harbour.claim(monkeypatch, "first", claim) == 0
    assert "box-1 of harbour-line is claimed, fitted to reefer-1" in capsys.readouterr().out
    assert harbour.claim(monkeypatch, "thief", claim) == 1
    assert "the cloud says: there is no such invitation" in capsys.readouterr().err
    settings = load(harbour.folder / "first" / "edge.toml")
    state = settings.device.state_folder
    connector = Connector(
        settings.broker, "probe", shown_to_broker(settings.broker, settings.device, state / "tls.crt")
    )
    await assert_speaks_for_itself(connector)  # at once: what it was given is good where it connects

    # Renewed, as the broker's list was out of date once; the broker takes the new one. Somebody has a copy of the card.
    copy = shutil.copytree(state, harbour.folder / "copy")
    identity = TlsIdentity(state)
    before = identity.certificate()

    async def tries(shown: Shown) -> bool:
        async with connector.connect(WILL, shown):
            return True

    standing = Standing(state)
    await standing.refused(BROKER, "its list of revocations has ended")
    assert await Renewal(settings.device, identity, standing, tries, AgentClock()).step() == 0.0
    await standing.accepted(BROKER)
    renewed = identity.certificate()
    assert before is not None
    assert renewed is not None
    assert renewed != before
    [known] = harbour.get("/devices/identities")
    assert known["certificate"] == f"{x509.load_pem_x509_certificate(renewed).serial_number:x}"
    harbour.run("first")
    harbour.until(lambda: harbour.contiguous("box-1").get(1, 0) > 5, "readings of epoch 1")
    assert harbour.status("first")["wrong"] == []
    harbour.boards["first"].end()
    await assert_speaks_for_itself(connector)
    reached = harbour.contiguous("box-1")[1]
    harbour.run("first")
    harbour.until(lambda: harbour.contiguous("box-1")[1] > reached, "readings by the new certificate")

    # The copy gets in no more and renews nothing, and the keeper is told; the device goes on.
    assert harbour.get("/alerts") == []
    with pytest.raises(RefusedError):
        await refused(connector, Shown(copy / "tls.crt", copy / "tls.key"))
    standing = Standing(copy)
    await standing.refused(BROKER, "it is revoked")
    late = Renewal(settings.device, TlsIdentity(copy), standing, tries, AgentClock())
    assert await late.step() > 3_600
    assert "was replaced or revoked" in str(standing.by(CLOUD))
    [alert] = harbour.get("/alerts")
    assert (alert["rule"], alert["assets"]) == ("tamper-suspected", ["reefer-1"])
    reached = harbour.contiguous("box-1")[1]
    harbour.until(lambda: harbour.contiguous("box-1")[1] > reached, "readings of the one that has the new one")
    harbour.boards["first"].end()

    # Flashed anew: nothing is left of its state, and nothing collides.
    shutil.rmtree(state)
    reached = harbour.contiguous("box-1")[1]
    assert harbour.claim(monkeypatch, "first", harbour.invite(capsys, "box-1")) == 0
    given = TlsIdentity(state).certificate()
    harbour.run("first")
    harbour.until(lambda: harbour.contiguous("box-1").get(2, 0) > 5, "readings of epoch 2")
    assert TlsIdentity(state).certificate() == given, "it was let in at once, and has renewed nothing"
    assert harbour.contiguous("box-1")[1] == reached

    # Other hardware takes its place: the old one is refused, says so once, and keeps what it measures.
    claim = harbour.invite(capsys, "box-2", "--replaces", "box-1")
    assert harbour.claim(monkeypatch, "second", claim) == 0
    harbour.run("second")
    took_s = harbour.until(lambda: len(harbour.status("first")["wrong"]) == 2, "the refusal of box-1")
    assert took_s < REFUSED_WITHIN_S
    wrong = harbour.status("first")["wrong"]
    assert any("the broker refuses this device" in one for one in wrong), wrong
    assert any("the cloud refuses this device: the cloud says: box-1 is retired" in one for one in wrong), wrong
    harbour.until(lambda: harbour.status("first")["spooled"] > 5, "what box-1 keeps")
    assert harbour.boards["first"].log().count("this device is refused by=cloud") == 1
    harbour.until(lambda: harbour.contiguous("box-2").get(1, 0) > 5, "readings of box-2")
    places = {one["device"]: one["asset"] for one in harbour.get("/devices")}
    assert places["box-2"] == "reefer-1"

    # Revoked: refused within a minute, and it knows.
    assert cloud_main(["devices", "revoke", "box-2", "--why", "stolen", "--url", harbour.url]) == 0
    took_s = harbour.until(lambda: len(harbour.status("second")["wrong"]) == 2, "the refusal of box-2")
    assert took_s < REFUSED_WITHIN_S
    assert any("was revoked" in one for one in harbour.status("second")["wrong"])
    assert not harbour.broker.revive(), "all that on one run of the broker"


async def test_a_journal_that_is_put_back_knows_who_has_renewed_and_lets_in_nobody_who_was_revoked(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    boards = {"first": "box-1", "second": "box-2"}
    for board, device in boards.items():
        claim = harbour.invite(capsys, device, "--operator", LINE, "--asset", "reefer-1")
        assert harbour.claim(monkeypatch, board, claim) == 0
    settings = load(harbour.folder / "first" / "edge.toml")
    state = settings.device.state_folder
    identity, standing = TlsIdentity(state), Standing(state)
    connector = Connector(
        settings.broker, "probe", shown_to_broker(settings.broker, settings.device, state / "tls.crt")
    )

    async def tries(shown: Shown) -> bool:
        async with connector.connect(WILL, shown):
            return True

    renewal = Renewal(settings.device, identity, standing, tries, AgentClock())
    data, copy = harbour.folder / "data", harbour.folder / "older"

    def begin_anew(*, put_back: bool) -> None:
        harbour.cloud.end()
        if put_back:
            shutil.rmtree(data)
        shutil.copytree(*((copy, data) if put_back else (data, copy)))
        harbour.cloud.start()
        harbour.until(lambda: bool(harbour.get("/healthz")), "the cloud")

    begin_anew(put_back=False)
    known = {one["device"]: one["certificate"] for one in harbour.get("/devices/identities")}
    await standing.refused(BROKER, "its list of revocations has ended")
    assert await renewal.step() == 0.0
    await renewal.step()  # by which it is confirmed
    renewed = identity.certificate()
    assert renewed is not None
    assert cloud_main(["devices", "revoke", "box-2", "--why", "stolen", "--url", harbour.url]) == 0

    def listed() -> set[str]:
        found = x509.load_pem_x509_crl((harbour.folder / "crl.pem").read_bytes())
        return {f"{one.serial_number:x}" for one in found}

    harbour.until(lambda: listed() == set(known.values()), "the broker's list")
    begin_anew(put_back=True)
    assert "renewed or revoked since: box-1, box-2 (" in harbour.cloud.log()
    assert {one["device"]: one["certificate"] for one in harbour.get("/devices/identities")} == known

    # The agent of the one goes on and is known again once it asks; the other hears why it is refused.
    for board in boards:
        harbour.run(board)
    harbour.until(lambda: len(harbour.status("second")["wrong"]) == 2, "the refusal of box-2")
    assert any("by the list that the broker had" in one for one in harbour.status("second")["wrong"])
    harbour.until(lambda: harbour.contiguous("box-1").get(1, 0) > 5, "readings of box-1")
    harbour.boards["first"].end()
    assert listed() == set(known.values())
    await standing.refused(BROKER, "it may say nothing")
    await renewal.step()
    found = {one["device"]: one["certificate"] for one in harbour.get("/devices/identities")}
    assert found["box-1"] == f"{x509.load_pem_x509_certificate(renewed).serial_number:x}"
    [alert] = harbour.get("/alerts")
    assert (alert["rule"], alert["assets"]) == ("tamper-suspected", ["reefer-1"])
