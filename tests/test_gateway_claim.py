"""A gateway claims for its zones: what it makes and writes, what it refuses; no zone stands in another's way."""

import errno
import io
import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from edge_support import new_spool
from enrolling import OPERATOR, Enrolling, enrolling

from pledgewatch_cloud.identity import claim_code
from pledgewatch_edge.connection import Connector
from pledgewatch_edge.tls import shown_to_broker
from pledgewatch_edge.tls_identity import TlsIdentity
from pledgewatch_gateway.__main__ import main
from pledgewatch_gateway.config import load
from pledgewatch_wire.settings import SettingsError

SITE = "site-la-3"
CODES = {"cold": "A" * 26, "racks": "B" * 26}
GATEWAY = f"""# the yard's
[gateway]
operator = "{OPERATOR}"
name = "{SITE}"
state_folder = "state"

[[zones]]
name = "Cold room"   # the small one
device = "cold"

# The racks stand by the door.
[[zones]]
name = "Racks"
device = "racks"
folder = "elsewhere"
"""
BROKER = """
[broker]
host = "mqtt.example"
keep_alive_s = 5
"""


class Site:
    """A gateway's computer."""

    def __init__(self, folder: Path, cloud: Enrolling) -> None:
        self.folder, self.file, self.cloud = folder, folder / "gateway.toml", cloud
        self.write(GATEWAY)

    def write(self, text: str) -> None:
        """Its configuration."""
        self.file.write_text(text, encoding="utf-8")

    def invite(self, device: str, gateway: str | None = SITE) -> str:
        """A claim."""
        return self.cloud.invite(device, CODES.get(device, "C" * 26), gateway=gateway)

    def claim(self, monkeypatch: pytest.MonkeyPatch, *claims: str, more: tuple[str, ...] = ()) -> int:
        """Give it claims, one a line."""
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{one}\n" for one in claims)))
        return main(["claim", "--config", str(self.file), *more])

    def document(self) -> dict[str, Any]:
        """The configuration."""
        return tomllib.loads(self.file.read_text(encoding="utf-8"))


@pytest.fixture
def cloud(tmp_path: Path) -> Any:
    with enrolling(tmp_path / "cloud") as one:
        yield one


@pytest.fixture
def site(tmp_path: Path, cloud: Enrolling) -> Site:
    return Site(tmp_path, cloud)


def test_each_zone_has_keys_and_certificate_of_its_own(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.claim(monkeypatch, site.invite("cold"), "", site.invite("racks")) == 0
    said = capsys.readouterr().out
    assert "cold of harbour-line is claimed" in said
    assert f"to begin: pledgewatch-gateway run --config {site.file}" in said
    folders = {"cold": site.folder / "state" / "cold", "racks": site.folder / "elsewhere"}
    for device, folder in folders.items():
        assert TlsIdentity(folder).is_whole()
        assert {path.stat().st_mode & 0o777 for path in (folder / "tls.key", folder / "device.key")} == {0o600}
        [asked] = [asked for _, asked in site.cloud.asked if asked["device"] == device]
        assert "PRIVATE" not in str(asked)
    assert len({asked["csr"] for _, asked in site.cloud.asked}) == 2
    assert site.document()["broker"] == {"host": "127.0.0.1", "port": 8_883}
    zones = [{"name": "Cold room", "device": "cold"}, {"name": "Racks", "device": "racks", "folder": "elsewhere"}]
    assert site.document()["zones"] == [one | {"cloud_url": site.cloud.url} for one in zones]
    for line in ("# the yard's", 'name = "Cold room"   # the small one', "# The racks stand by the door."):
        assert line in site.file.read_text(encoding="utf-8").splitlines()
    settings = load(site.file)
    for zone in settings.zones:
        station, folder = settings.station_of(zone), folders[zone.device]
        assert (station.broker.ca_file, station.broker.key_file) == (folder / "broker-ca.crt", folder / "tls.key")
        assert station.broker.certificate_file == folder / "tls.crt"
        assert (station.device.cloud_url, station.device.name) == (site.cloud.url, zone.device)
    assert main(["run", "--config", str(site.file), "--check"]) == 0


def test_what_the_cloud_has_printed_may_be_given_as_it_is_however_many_lines_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cold, racks = site.invite("cold"), site.invite("racks")
    square = claim_code.as_square(cold).splitlines()
    assert len(square) > 30
    assert site.claim(monkeypatch, *(6 * [*square, "", cold, "", ""]), *square, racks) == 0
    assert all(zone.cloud_url for zone in load(site.file).zones)
    assert len(site.cloud.asked) == 2
    assert capsys.readouterr().err == ""


def test_claims_beyond_what_a_gateway_can_be_are_not_dropped_without_a_word(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cold, racks = site.invite("cold"), site.invite("racks")
    assert site.claim(monkeypatch, *(200 * [cold, ""])) == 0
    capsys.readouterr()
    assert site.claim(monkeypatch, *(200 * [cold]), racks) == 1
    said = capsys.readouterr()
    assert said.err == "only the first 200 claims were looked at; give the others by themselves\n"
    assert "zone 'Racks' (racks) has not been claimed" in said.out
    assert len(site.cloud.asked) == 1


class Endless(io.StringIO):
    """Says nothing for ever, after what it has."""

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]  # IOBase reads bytes
        return super().readline(size) or "-\n"


@pytest.mark.parametrize("is_typed", [False, True])
def test_lines_without_end_that_hold_no_claim_are_not_read_for_ever(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_typed: bool
) -> None:
    typed = Endless(f"{site.invite('cold')}\n")
    monkeypatch.setattr(typed, "isatty", lambda: is_typed)
    monkeypatch.setattr(sys, "stdin", typed)
    assert main(["claim", "--config", str(site.file)]) == 1
    asked = "claim (an empty line ends): " * (20_001 if is_typed else 0)
    ends = "only the first 20000 lines were looked at; give the others by themselves\n"
    assert capsys.readouterr().err == f"{asked}{ends}"
    assert [zone.cloud_url is not None for zone in load(site.file).zones] == [True, False]


def test_as_many_lines_as_are_looked_at_are_not_too_many(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.claim(monkeypatch, *(19_999 * [""]), site.invite("cold")) == 0
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def test_who_types_claims_is_asked_for_each_and_ends_by_an_empty_line(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = Terminal(f"{site.invite('cold')}\n\n{site.invite('racks')}\n")
    monkeypatch.setattr(sys, "stdin", typed)
    assert main(["claim", "--config", str(site.file)]) == 0
    assert capsys.readouterr().err == 2 * "claim (an empty line ends): "
    assert [zone.cloud_url is not None for zone in load(site.file).zones] == [True, False]


def test_a_broker_that_is_there_stays_for_the_zones_that_are_not_claimed(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write(GATEWAY + BROKER + 'username = "site"\n')
    assert site.claim(monkeypatch, site.invite("cold")) == 0
    assert "- zone 'Racks' (racks) has not been claimed" in capsys.readouterr().out
    assert site.document()["broker"] == {"host": "mqtt.example", "keep_alive_s": 5, "username": "site"}
    settings = load(site.file)
    cold, racks = (settings.station_of(zone).broker for zone in settings.zones)
    assert (cold.host, cold.port, cold.username, cold.keep_alive_s) == ("127.0.0.1", 8_883, None, 5)
    assert (racks.host, racks.port, racks.username, racks.ca_file) == ("mqtt.example", 1_883, "site", None)
    site.write(
        site.file.read_text(encoding="utf-8").replace('host = "mqtt.example"', 'host = "127.0.0.1"\nport = 8883')
    )
    assert site.claim(monkeypatch, site.cloud.invite("cold", "D" * 26, gateway=SITE)) == 0
    assert site.document()["zones"][0] == {"name": "Cold room", "device": "cold", "cloud_url": site.cloud.url}


def test_a_broker_at_its_usual_port_is_that_of_all_zones(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.write(GATEWAY + BROKER.replace("mqtt.example", "127.0.0.1"))
    site.cloud.broker_port = 1_883
    assert site.claim(monkeypatch, site.invite("cold")) == 0
    assert site.document()["zones"][0] == {"name": "Cold room", "device": "cold", "cloud_url": site.cloud.url}


def test_zones_that_are_written_in_one_line_are_completed_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    head = GATEWAY.partition("[[zones]]")[0]
    site.write('zones = [{ name = "Cold", device = "cold" }]\n' + head + BROKER)
    assert site.claim(monkeypatch, site.invite("cold")) == 0
    [zone] = load(site.file).zones
    assert (zone.cloud_url, zone.broker_port) == (site.cloud.url, 8_883)


def test_a_cloud_that_was_known_by_its_hash_is_known_by_its_file_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with enrolling(tmp_path / "cloud", tls=True) as cloud:
        site = Site(tmp_path, cloud)
        assert site.claim(monkeypatch, site.invite("cold"), more=("--ca-file", str(tmp_path / "cloud/ca.pem"))) == 0
        [cold, _] = load(site.file).zones
        assert cold.cloud_ca_file == tmp_path / "state" / "cold" / "cloud-ca.crt"
        assert cold.cloud_ca_file.exists()


def test_a_claim_that_fails_keeps_no_other_from_being_carried_out(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost, good = site.invite("cold"), site.invite("racks")
    site.cloud.invited.clear()
    site.invite("racks")
    assert site.claim(monkeypatch, "no claim", lost, good) == 1
    said = capsys.readouterr()
    assert "claim 1: a claim begins with pwclaim1." in said.err
    assert "claim 2: the cloud says: no such claim" in said.err
    assert "zone 'Cold room' (cold) has not been claimed" in said.out
    assert site.document()["zones"][1]["cloud_url"] == site.cloud.url
    asked = len(site.cloud.asked)
    site.invite("cold")
    assert site.claim(monkeypatch, lost, good) == 0, "the same lines again do what was left"
    assert len(site.cloud.asked) == asked + 1
    assert site.claim(monkeypatch) == 1


@pytest.mark.parametrize(
    ("device", "gateway", "words"),
    [
        ("cold", None, "for a device that speaks for itself; have cold invited with --gateway site-la-3"),
        ("cold", "site-9", "for gateway site-9 of harbour-line, and this is site-la-3 of harbour-line"),
        ("hall", SITE, r"no zone here has the device hall; write its [[zones]]"),
    ],
)
def test_a_claim_for_somebody_else_is_told_of_before_the_code_is_spent(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    device: str,
    gateway: str | None,
    words: str,
) -> None:
    before = site.file.read_bytes()
    assert site.claim(monkeypatch, site.invite(device, gateway)) == 1
    assert words in capsys.readouterr().err
    assert not site.cloud.asked
    assert site.file.read_bytes() == before
    assert not (site.folder / "state").exists()


def test_a_configuration_with_a_fault_is_told_of_before_the_code_is_spent(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = 'source = "nowhere"\nfield = "x"\nzone = "Racks"\nchannel = "door_open"\n'
    site.write(f"{GATEWAY}[[sensors]]\n{row}")
    assert site.claim(monkeypatch, site.invite("cold")) == 2
    assert "nowhere" in capsys.readouterr().err
    site.file.unlink()
    assert site.claim(monkeypatch, site.invite("cold")) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not site.cloud.asked


def test_settings_that_an_invitation_brings_are_none_of_a_zone(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.cloud.settings = "[uplink]\nsend_every_s = 60.0\n"
    assert site.claim(monkeypatch, site.invite("cold")) == 1
    assert "a gateway's are in its own file" in capsys.readouterr().err
    assert not (site.folder / "state" / "cold" / "tls.crt").exists()


def test_a_folder_of_another_device_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with new_spool(site.folder / "elsewhere", device="cold"):
        pass
    assert site.claim(monkeypatch, site.invite("racks")) == 1
    assert "holds readings of 'cold', not of 'racks'" in capsys.readouterr().err
    assert not site.cloud.asked


def test_a_zone_whose_certificate_is_gone_is_told_of_and_keeps_no_other_from_running(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.claim(monkeypatch, site.invite("cold"), site.invite("racks")) == 0
    (site.folder / "elsewhere" / "tls.crt").unlink()
    words = f"racks has no key or no certificate in {site.folder / 'elsewhere'} that can be read; claim it"
    assert main(["run", "--config", str(site.file), "--check"]) == 2
    assert words in capsys.readouterr().err
    ran: list[str] = []

    def run(stations: Any, beside: Any) -> bool:
        ran.extend(one.device for one in stations)
        return True

    monkeypatch.setattr("pledgewatch_edge.process.run", run)
    assert main(["run", "--config", str(site.file)]) == 0
    assert words in capsys.readouterr().err
    assert ran == ["cold", "racks"]
    assert main(["status", "--json", "--config", str(site.file)]) == 0
    cold, racks = (json.loads(line)["wrong"] for line in capsys.readouterr().out.splitlines())
    assert cold == []
    assert racks == [f"its certificate {site.folder}/elsewhere/tls.crt is not there, or cannot be read; claim it again"]
    (site.folder / "state" / "cold" / "tls.key").unlink()
    assert main(["run", "--config", str(site.file)]) == 2, "nothing of it can be of use"


async def test_who_has_lost_its_certificate_says_so_at_each_try(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert site.claim(monkeypatch, site.invite("cold")) == 0
    settings = load(site.file)
    station, state = settings.station_of(settings.zones[0]), site.folder / "state" / "cold"
    (state / "tls.crt").unlink()
    connector = Connector(station.broker, "cold", shown_to_broker(station.broker, station.device, state / "tls.crt"))
    with pytest.raises(aiomqtt.MqttError, match="a certificate or key for the broker cannot be read: No such file"):
        async with connector.connect(aiomqtt.Will("x", b"")):
            pass


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('broker_host = "x"', "need a cloud_url; `claim` writes them all"),
        ("broker_port = 1", "need a cloud_url; `claim` writes them all"),
        ('cloud_ca_file = "x"', "need a cloud_url; `claim` writes them all"),
        ('cloud_url = "cloud"', "cloud_url 'cloud' is no address"),
        ('cloud_url = "https://cloud"\nbroker_port = 0', "broker_port 0 is out of range"),
        ('cloud_url = "https://cloud"\nbroker_host = "a..b"', "broker_host 'a..b' cannot be a computer's name"),
    ],
)
def test_a_zone_that_cannot_be_is_refused_with_the_cure(site: Site, lines: str, words: str) -> None:
    site.write(GATEWAY + lines + BROKER)
    with pytest.raises(SettingsError, match="zones") as refused:
        load(site.file)
    assert words in str(refused.value)


@pytest.mark.parametrize("writes", range(9))
def test_a_disk_that_is_full_is_told_of_and_keeps_no_other_claim_from_being_carried_out(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], writes: int
) -> None:
    """So many writes of files into the one zone's folder succeed."""
    claims, left = (site.invite("cold"), site.invite("racks")), [writes]
    fsync = os.fsync

    def full(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.parent.name == "cold":
            if not left[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left[0] -= 1
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert site.claim(monkeypatch, *claims) == 1
    said = capsys.readouterr().err
    assert f"claim 1: {site.folder}/state/cold/" in said
    assert "No space left on device" in said
    assert site.document()["zones"][1]["cloud_url"] == site.cloud.url
    assert site.claim(monkeypatch, *claims) == 0
