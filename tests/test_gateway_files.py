"""Files of a zone that are there and cannot be used are told of before anything runs, and why a zone has ended."""

import asyncio
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edge_support import new_spool
from test_gateway_claim import BROKER, GATEWAY, Site, cloud, site

from pledgewatch_edge import process
from pledgewatch_edge.command import status_of
from pledgewatch_edge.ended import has_ended
from pledgewatch_edge.identity import sole_use
from pledgewatch_edge.station import Station
from pledgewatch_gateway.__main__ import main
from pledgewatch_gateway.config import load
from pledgewatch_gateway.program import program_of
from pledgewatch_gateway.status_page import Shown, StatusPage, StatusPageSettings

__all__ = ["cloud", "site"]


@pytest.fixture
def claimed(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Site:
    """Both zones are claimed, and all is well."""
    assert site.claim(monkeypatch, site.invite("cold"), site.invite("racks")) == 0
    assert main(["run", "--config", str(site.file), "--check"]) == 0
    capsys.readouterr()
    return site


def empty(name: str) -> Callable[[Path], object]:
    return lambda state: (state / "cold" / name).write_bytes(b"")


def swapped(state: Path) -> None:
    for name in ("tls.key", "tls.crt"):
        shutil.copy(state.parent / "elsewhere" / name, state / "cold" / name)


def anothers_key(state: Path) -> None:
    shutil.copy(state.parent / "elsewhere" / "tls.key", state / "cold" / "tls.key")


def readings_of_another(state: Path) -> None:
    with new_spool(state / "cold", device="racks"):
        pass


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (empty("device.key"), "device.key: is no private key in PEM"),
        (lambda state: (state / "cold" / "device.key").unlink(), "device.key is not there, by which the cloud knows"),
        (empty("tls.key"), "tls.key: is no private key in PEM"),
        (empty("tls.crt"), "tls.crt: is no certificate in PEM"),
        (empty("broker-ca.crt"), "broker-ca.crt has no certificate in PEM that the broker could be known by"),
        (anothers_key, "do not belong together"),
        (swapped, "tls.crt is the certificate of 'racks', not of 'cold'"),
        (readings_of_another, "holds readings of 'racks', not of 'cold'"),
    ],
)
def test_a_file_that_is_there_and_cannot_be_used_is_told_of(
    claimed: Site, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], object], words: str
) -> None:
    spoil(claimed.folder / "state")
    assert main(["run", "--config", str(claimed.file), "--check"]) == 2
    assert words in capsys.readouterr().err
    assert main(["status", "--json", "--config", str(claimed.file)]) == 0
    cold, racks = (json.loads(line)["wrong"] for line in capsys.readouterr().out.splitlines())
    assert [one for one in cold if words in one]
    assert len(cold) == len(set(cold))
    assert racks == []


def test_it_keeps_no_zone_from_running(
    claimed: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (claimed.folder / "state" / "cold", claimed.folder / "elsewhere"):
        (folder / "broker-ca.crt").write_bytes(b"")
    ran: list[str] = []

    def run(stations: Any, beside: Any) -> bool:
        ran.extend(one.device for one in stations)
        return True

    monkeypatch.setattr("pledgewatch_edge.process.run", run)
    assert main(["run", "--config", str(claimed.file)]) == 0
    assert capsys.readouterr().err.count("has no certificate in PEM") == 2
    assert ran == ["cold", "racks"]


def test_a_certificate_made_by_hand_is_looked_at_too(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ca", "crt", "key"):
        (site.folder / name).write_text("x", encoding="ascii")
    site.write(GATEWAY + BROKER + 'ca_file = "ca"\ncertificate_file = "crt"\nkey_file = "key"\n')
    assert main(["run", "--config", str(site.file), "--check"]) == 2
    said = capsys.readouterr().err
    assert said.count("ca has no certificate in PEM that the broker could be known by; put the right file there") == 1
    assert said.count("are no certificate and its key in PEM") == 1
    (site.folder / "ca").unlink()
    assert main(["status", "--config", str(site.file)]) == 0
    assert f"its broker's authority {site.folder}/ca is not there, or cannot be read; put the right file there" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("is_disk_full", [False, True])
async def test_why_a_station_has_ended_is_told_until_it_runs_again(
    claimed: Site, monkeypatch: pytest.MonkeyPatch, *, is_disk_full: bool
) -> None:
    cold = program_of(load(claimed.file)).stations[0]
    folder = cold.settings.device.state_folder
    key = (folder / "device.key").read_bytes()
    stop = asyncio.Event()
    (folder / "device.key").write_bytes(b"")
    with monkeypatch.context() as patch:
        if is_disk_full:
            patch.setattr("pledgewatch_edge.ended.replace_file", refusing)
        assert not await process._live(cold, stop, asyncio.Event(), [])
    (folder / "device.key").write_bytes(key)
    words = "it has ended, and measures no more: "
    of_page = StatusPage(StatusPageSettings(), page_of(cold))._spool(cold)
    assert words in str(of_page["error"])
    again = program_of(load(claimed.file)).stations[0]  # as `status` does in another process
    assert any(one.startswith(words) for one in told(again)) is not is_disk_full
    begun = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        life = group.create_task(process._live(cold, stop, begun, []))
        await begun.wait()
        assert told(cold) == told(again) == []
        stop.set()
        assert await life


def test_a_folder_that_another_uses_is_not_said_to_have_ended(claimed: Site) -> None:
    cold = program_of(load(claimed.file)).stations[0]
    with sole_use(cold.settings.device.state_folder):
        has_ended(cold, "another agent is using this folder")
    assert told(program_of(load(claimed.file)).stations[0]) == []
    assert told(cold) != []


def told(station: Station) -> list[str]:
    wrong = status_of(station)["wrong"]
    assert isinstance(wrong, list)
    return wrong


def page_of(station: Station) -> Shown:
    none: Any = None
    return Shown("site", none, none, [station], status_of)


def refusing(path: Path, *_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.mark.parametrize(
    ("other", "whose"), [("elsewhere", "of zone 'Cold room'"), ("state/stock.documents", "of [documents]")]
)
def test_a_folder_that_is_anothers_by_another_name_is_told_of(
    site: Site, capsys: pytest.CaptureFixture[str], other: str, whose: str
) -> None:
    site.write(GATEWAY + BROKER)
    assert main(["run", "--config", str(site.file), "--check"]) == 0
    folder = site.folder / "state" / "cold" if other == "elsewhere" else site.folder / other
    folder.mkdir(parents=True)
    (site.folder / "elsewhere").symlink_to(folder, target_is_directory=True)
    assert main(["run", "--config", str(site.file), "--check"]) == 2
    words = f"[[zones]] folder {site.folder}/elsewhere of 'Racks' is that {whose}; give each its own"
    assert words in capsys.readouterr().err
