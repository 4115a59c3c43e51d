"""The zones of a gateway get the life of an edge device, with the real cloud, the real gateway and a real Mosquitto:
invited, claimed, heard, renewed, copied by a thief, revoked, claimed anew. Beside them a zone is let in as ever, by a
certificate that somebody has made for the gateway.
"""

import contextlib
import io
import json
import os
import shutil
import sys
import threading
import tty
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from builders import book_document
from cryptography import x509
from station import Process
from test_devices_end_to_end import LINE, REFUSED_WITHIN_S, Harbour, refused

from pledgewatch_cloud.__main__ import main as cloud_main
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import StationSettings
from pledgewatch_edge.connection import Connector, RefusedError
from pledgewatch_edge.identity import load_or_create_key, public_key_hex
from pledgewatch_edge.renewal import Renewal
from pledgewatch_edge.tls import Shown, shown_to_broker
from pledgewatch_edge.tls_identity import BROKER, CLOUD, Standing, TlsIdentity
from pledgewatch_gateway.__main__ import main as gateway_main
from pledgewatch_gateway.config import load
from pledgewatch_sim.programs import free_port

SITE = "site-la-3"
FIELDS = {"hall": "T", "dock": "A", "gate": "B"}
SPEAKS_S = 0.1
TRIES = 5


class Warehouse(Harbour):
    """A gateway with three zones, whose probes share a serial line, beside cloud and broker. The gate is never
    invited: the book has its key, and the gateway's own certificate lets it in."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.place = folder / SITE
        self.place.mkdir()
        self.file, self.page_port = self.place / "gateway.toml", free_port()
        self.own.issue(SITE)
        gate = {"device": "gate", "operator": LINE, "asset": "reefer-3", "gateway": SITE}
        gate["public_key"] = public_key_hex(load_or_create_key(self.place / "state" / "gate"))
        document = book_document()
        document["installations"].append(gate)
        (folder / "book.json").write_text(json.dumps(document), encoding="utf-8")
        self._line, there = os.openpty()
        tty.setraw(there)
        os.set_blocking(self._line, False)
        self._is_over = threading.Event()
        self._speaking = threading.Thread(target=self._speak)
        self.file.write_text(self._gateway_file(os.ttyname(there)), encoding="utf-8")
        self._speaking.start()

    def close(self) -> None:
        """End whatever runs."""
        self._is_over.set()
        self._speaking.join()
        self.stop()

    def give(self, monkeypatch: pytest.MonkeyPatch, *claims: str) -> int:
        """Give the gateway claims; the exit code."""
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{one}\n" for one in claims)))
        return gateway_main(["claim", "--config", str(self.file)])

    def begin(self) -> None:
        """Start the gateway."""
        self.boards[SITE] = Process(SITE, ["pledgewatch_gateway", "run", "--config", str(self.file)], self.folder)
        self.boards[SITE].start()

    def station(self, device: str) -> StationSettings:
        """The station of a zone."""
        settings = load(self.file)
        return settings.station_of(next(one for one in settings.zones if one.device == device))

    def wrong(self, device: str) -> list[str]:
        """What `pledgewatch-gateway status` says to be wrong with a zone."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert gateway_main(["status", "--json", "--config", str(self.file)]) == 0
        found = {one["device"]: one for one in map(json.loads, out.getvalue().splitlines())}
        said: list[str] = found[device]["wrong"]
        return said

    def page(self, device: str) -> dict[str, Any]:
        """What the gateway's page says of a zone."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page_port}/status.json", timeout=10) as answer:
            zones: list[dict[str, Any]] = json.load(answer)["zones"]
        return next(one for one in zones if one["device"] == device)

    def goes_on(self, *devices: str) -> None:
        """Wait until the cloud has more of each."""
        for device in devices:
            reached = self.contiguous(device)
            self.until(lambda: self.contiguous(device) != reached, f"more of {device}")  # noqa: B023 - waited for at once

    def _speak(self) -> None:
        while not self._is_over.wait(SPEAKS_S):
            with contextlib.suppress(BlockingIOError):
                os.write(self._line, b"T=4.25;A=21.5;B=20\r\n")

    def _gateway_file(self, port: str) -> str:
        zones = "".join(f'[[zones]]\nname = "{one}"\ndevice = "{one}"\n' for one in FIELDS)
        row = '[[sensors]]\nsource = "line"\nchannel = "temperature_mc"\nunit = "C"\n'
        rows = "".join(f'{row}field = "{field}"\nzone = "{zone}"\n' for zone, field in FIELDS.items())
        own = self.folder
        return (
            f'[gateway]\noperator = "{LINE}"\nname = "{SITE}"\nstate_folder = "state"\n{zones}'
            f'[broker]\nhost = "127.0.0.1"\nport = {self.broker.port}\nreconnect_max_s = 1.0\n'
            f'ca_file = "{own}/ca.pem"\n'
            f'certificate_file = "{own}/{SITE}.pem"\nkey_file = "{own}/{SITE}.key"\n'
            f"[checkpoint]\nevery_s = 2.0\n[status_page]\nport = {self.page_port}\n"
            f'[[serial]]\nname = "line"\nport = "{port}"\nform = "pairs"\n{rows}'
        )


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    one = Warehouse(tmp_path)
    try:
        one.start()
        yield one
    finally:
        one.close()


def connector_of(station: StationSettings) -> Connector:
    """What connects as a zone does."""
    state = station.device.state_folder
    return Connector(station.broker, "probe", shown_to_broker(station.broker, station.device, state / "tls.crt"))


def will_of(device: str) -> aiomqtt.Will:
    return aiomqtt.Will(f"pw/1/{LINE}/{device}/status", b"", qos=1)


async def test_zones_of_a_gateway_from_their_invitation_to_their_end(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Fitted: two zones are claimed in one go, the third is let in as before.
    place = ("--operator", LINE, "--gateway", SITE)
    claims = [
        warehouse.invite(capsys, zone, *place, "--asset", asset)
        for zone, asset in {"hall": "reefer-1", "dock": "reefer-2"}.items()
    ]
    assert warehouse.give(monkeypatch, *claims) == 0
    said = capsys.readouterr().out
    assert "hall of harbour-line is claimed, fitted to reefer-1" in said
    assert "- zone 'gate' (gate) has not been claimed" in said
    assert gateway_main(["run", "--config", str(warehouse.file), "--check"]) == 0
    hall = warehouse.station("hall")
    state, connector = hall.device.state_folder, connector_of(hall)
    async with connector.connect(will_of("hall")) as client:  # at once: what it was given is good where it connects
        await client.publish(f"pw/1/{LINE}/hall/up", b"x", qos=1)
        connector.require_heard()
    for other in ("dock", "gate"):
        async with connector.connect(will_of("hall")) as client:
            await client.publish(f"pw/1/{LINE}/{other}/up", b"x", qos=1)
            with pytest.raises(RefusedError):
                connector.require_heard()

    # Renewed by the running gateway, as the broker's list was out of date once. Somebody has a copy of its disk.
    copy = shutil.copytree(state, warehouse.folder / "copy")
    before = TlsIdentity(state).certificate()
    renewed = before
    for _ in range(TRIES):
        await Standing(state).refused(BROKER, "its list of revocations has ended")
        warehouse.begin()
        warehouse.until(lambda: all(warehouse.contiguous(one).get(1, 0) > 5 for one in FIELDS), "readings of all zones")
        warehouse.until(lambda: TlsIdentity(state).is_confirmed() and not warehouse.wrong("hall"), "the renewal")
        renewed = TlsIdentity(state).certificate()
        if renewed != before:
            break
        warehouse.boards[SITE].end()  # the broker let it in before it came to renew, and then there was no cause
    assert renewed is not None
    assert renewed != before
    listed = {one["device"]: one for one in warehouse.get("/devices/identities")}
    assert listed.keys() == {"hall", "dock"}
    assert listed["hall"]["certificate"] == f"{x509.load_pem_x509_certificate(renewed).serial_number:x}"
    assert {one["gateway"] for one in listed.values()} == {SITE}
    warehouse.goes_on(*FIELDS)
    assert warehouse.page("hall")["certificate_ends"]
    assert "error" not in warehouse.page("hall")

    # The copy gets in no more and renews nothing, and the keeper is told of whose asset it is.
    assert warehouse.get("/alerts") == []
    with pytest.raises(RefusedError):
        await refused(connector, Shown(copy / "tls.crt", copy / "tls.key"))

    async def tries(shown: Shown) -> bool:
        raise AssertionError(f"{shown} was given")

    standing = Standing(copy)
    await standing.refused(BROKER, "it is revoked")
    late = Renewal(hall.device, TlsIdentity(copy), standing, tries, AgentClock())
    assert await late.step() > 3_600
    assert "was replaced or revoked" in str(standing.by(CLOUD))
    [alert] = warehouse.get("/alerts")
    assert (alert["rule"], alert["assets"]) == ("tamper-suspected", ["reefer-1"])

    # Revoked: refused within a minute, and it says so. The others go on, in the same process.
    assert cloud_main(["devices", "revoke", "hall", "--why", "stolen", "--url", warehouse.url]) == 0
    took_s = warehouse.until(lambda: len(warehouse.wrong("hall")) == 2, "the refusal of hall")
    assert took_s < REFUSED_WITHIN_S
    assert any("the broker refuses this device" in one for one in warehouse.wrong("hall"))
    assert any("the identity of hall was revoked" in one for one in warehouse.wrong("hall"))
    assert "the identity of hall was revoked" in warehouse.page("hall")["error"]
    warehouse.goes_on("dock", "gate")
    assert warehouse.wrong("dock") == warehouse.wrong("gate") == []

    # Claimed anew, where the rest is left as it is: what it has kept meanwhile comes under a new epoch.
    again = warehouse.invite(capsys, "hall")
    assert warehouse.give(monkeypatch, again) == 1, "the gateway runs, and the folder is in use"
    assert "another agent is using this folder; stop it first" in capsys.readouterr().err
    warehouse.boards[SITE].end()
    assert warehouse.give(monkeypatch, again) == 0
    warehouse.begin()
    warehouse.until(lambda: max(warehouse.contiguous("hall").items()) > (2, 5), "readings of a new epoch")
    warehouse.goes_on(*FIELDS)
    assert warehouse.wrong("hall") == []
    assert not warehouse.broker.revive(), "all that on one run of the broker"
