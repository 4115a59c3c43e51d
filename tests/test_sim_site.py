"""The simulated site: a warehouse and the real gateway in one program, with keys that were made elsewhere."""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import BrokerProcess, started
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_sim.__main__ import main
from pledgewatch_sim.programs import free_port
from pledgewatch_sim.warehouse import layout

DEVICES = [zone.device for zone in layout.ZONES]


def pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    one = started("amqtt", tmp_path / "broker")
    yield one
    one.kill()


class Site:
    """Its files in a folder, and its process."""

    def __init__(self, folder: Path, broker_port: int) -> None:
        self.folder = folder
        self.page_port = free_port()
        self.keys = {device: ed25519.Ed25519PrivateKey.generate() for device in DEVICES}
        (folder / "keys").mkdir()
        for device, key in self.keys.items():
            (folder / "keys" / f"{device}.key").write_bytes(pem(key))
        self.file = folder / "site.toml"
        self.file.write_text(
            '[site]\nfolder = "data"\ngateway_file = "gateway.toml"\nkeys_folder = "keys"\nevery_s = 0.5\n'
            f"lan_port = {broker_port}\nwms_port = {free_port()}\nmodbus_port = {free_port()}\n",
            encoding="utf-8",
        )
        (folder / "data").mkdir()
        (folder / "gateway.toml").write_text(
            f'[gateway]\noperator = "harbour-line"\nname = "site"\nstate_folder = "{folder / "data" / "gateway"}"\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {broker_port}\n[status_page]\nport = {self.page_port}\n',
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Start it."""
        command = [sys.executable, "-m", "pledgewatch_sim", "site", "--config", str(self.file)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return self._process

    def close(self) -> None:
        """End whatever still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def values(self) -> dict[tuple[str, str], Any]:
        """What the gateway's page shows."""
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self.page_port}/status.json"
            with urllib.request.urlopen(url, timeout=60) as answer:
                return {(one["zone"], one["channel"]): one["value"] for one in json.load(answer)["sensors"]}
        return {}

    def gateway_pid(self) -> int:
        """The process that it has started."""
        assert self._process is not None
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        (pid,) = path.read_text(encoding="ascii").split()
        return int(pid)


@pytest.fixture
def site(tmp_path: Path, broker: BrokerProcess) -> Iterator[Site]:
    one = Site(tmp_path, broker.port)
    yield one
    one.close()


def wait_for_every_sensor(site: Site) -> None:
    """All but the gate's, past which nothing goes."""
    deadline = time.monotonic() + 60
    while {zone for (zone, _), value in site.values().items() if value is None} != {"Gate"}:
        assert time.monotonic() < deadline, site.values()
        time.sleep(0.1)


def test_the_gateway_measures_the_warehouse_under_the_keys_that_were_laid(site: Site) -> None:
    process = site.start()
    wait_for_every_sensor(site)
    for device, key in site.keys.items():
        kept = site.folder / "data" / "gateway" / device / "device.key"
        assert kept.read_bytes() == pem(key)
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    gateway = site.gateway_pid()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not Path(f"/proc/{gateway}").exists()


def test_where_the_gateway_ends_the_site_ends(site: Site) -> None:
    process = site.start()
    wait_for_every_sensor(site)
    os.kill(site.gateway_pid(), signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"the gateway has ended with -9" in said


@pytest.fixture
def still(tmp_path: Path) -> Site:
    """One that is only asked, not started."""
    return Site(tmp_path, 1_884)


def test_its_book_names_its_keys_and_can_be_taken(still: Site, tmp_path: Path) -> None:
    assert main(["site", "--config", str(still.file), "--book", str(tmp_path / "book.json")]) == 0
    document = json.loads((tmp_path / "book.json").read_text(encoding="utf-8"))
    book = book_module.amend(book_module.empty(), document)
    assert {one.device: one.public_key for one in book.installations.values()} == {
        device: key.public_key().public_bytes_raw().hex() for device, key in still.keys.items()
    }
    assert {(one.operator, one.gateway) for one in book.installations.values()} == {("harbour-line", "site")}
    assert book.warehouses.keys() == {layout.WAREHOUSE}


@pytest.mark.parametrize(
    ("file", "was", "now", "said"),
    [
        ("site.toml", "every_s = 0.5", "every_s = 0", "every_s is 0.0; use 0.1 to 3600"),
        ("site.toml", "lan_port = 1884", "lan_port = 0", "lan_port is 0; use 1 to 65535"),
        ("gateway.toml", 'name = "site"', "", "[gateway] name is missing"),
        ("gateway.toml", 'state_folder = "/', 'state_folder = "', "state_folder must be absolute"),
        ("gateway.toml", "[status_page]", "[status]", "[status] is no key of this program"),
        ("gateway.toml", "[status_page]", "[status", "is not TOML"),
    ],
)
def test_the_check_finds_what_cannot_be(
    file: str, was: str, now: str, said: str, still: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["site", "--config", str(still.file), "--check"]) == 0
    path = still.folder / file
    text = path.read_text(encoding="utf-8")
    assert was in text
    path.write_text(text.replace(was, now), encoding="utf-8")
    assert main(["site", "--config", str(still.file), "--check"]) in {1, 2}
    assert said in capsys.readouterr().err


def test_a_key_that_is_none_makes_no_book(still: Site, capsys: pytest.CaptureFixture[str]) -> None:
    path = still.folder / "keys" / f"{DEVICES[1]}.key"
    for data, said in ((b"none", "holds no key"), (pem(ec.generate_private_key(ec.SECP256R1())), "no Ed25519 key")):
        path.write_bytes(data)
        assert main(["site", "--config", str(still.file), "--book", str(still.folder / "book.json")]) == 1
        assert said in capsys.readouterr().err
    path.unlink()
    assert main(["site", "--config", str(still.file), "--book", str(still.folder / "book.json")]) == 2
    assert not (still.folder / "book.json").exists()
