"""`pledgewatch-cloud devices`, against an API that is served, and as files that are made; the section [devices]."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import book_document
from claiming import Claimant, ClaimCloud, said_in
from streaming import Served

from pledgewatch_cloud import signing_key
from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.config import CloudSettings
from pledgewatch_cloud.credentials import CredentialError, authority_of
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.identity import authority
from pledgewatch_cloud.identity.settings import DevicesSettings
from pledgewatch_cloud.ingest.subscriber import client_ids
from pledgewatch_wire.claims import read_claim
from pledgewatch_wire.settings import SettingsError, load

OPERATOR, DEVICE, ASSET = "harbour-line", "container-1", "asset-container-1"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ClaimCloud]:
    one = ClaimCloud(tmp_path)
    one.cloud.spine.commit(drafts.amend, book_document(one.cloud.device))
    yield one
    one.cloud.close()


def test_invite_prints_a_claim_that_opens_once(
    cloud: ClaimCloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, picture = tmp_path / "more.toml", tmp_path / "claim.svg"
    settings.write_text("[sampling]\n", encoding="utf-8")
    picture.write_bytes(b"x" * 1_000_000)
    picture.chmod(0o644)
    with Served(cloud.client.app) as served:
        at = ["--url", served.url]
        new = ["tracker-2", "--operator", OPERATOR, "--asset", ASSET, "--svg", str(picture)]
        assert main(["devices", "invite", *new, "--settings", str(settings), *at]) == 0
        out, err = capsys.readouterr()
        square, claim = out.rstrip("\n").rsplit("\n", 1)
        assert "█" in square
        assert f"for tracker-2 of {OPERATOR} at {ASSET}, once, until 2026-03-04T12:00:00Z" in err
        assert said_in(claim)["device"] == "tracker-2"
        assert read_claim(claim).code not in err
        assert picture.read_bytes().startswith(b"<?xml")
        assert picture.read_bytes().rstrip().endswith(b"</svg>"), "nothing of what was there before"
        assert stat.S_IMODE(picture.stat().st_mode) == 0o600, "a claim is a secret"
        assert cloud.claimed(Claimant("tracker-2"), read_claim(claim).code)["settings"] == "[sampling]\n"
        assert main(["devices", "invite", "tracker-3", "--replaces", "nobody", *at]) == 2
        assert "there is no 'nobody' whose place could be taken" in capsys.readouterr().err
        assert main(["devices", "invite", DEVICE, "--valid-h", "1", *at]) == 0
        capsys.readouterr()
        assert main(["devices", "revoke", "tracker-2", "--why", "stolen", *at]) == 0
        out, err = capsys.readouterr()
        assert out == "tracker-2: revoked\n"
        assert "devices invite NEW --replaces tracker-2" in err
        assert main(["devices", "revoke", "tracker-2", "--why", "stolen", *at]) == 0
        assert capsys.readouterr().out == "tracker-2: it was revoked before\n"
        assert main(["devices", "revoke", "nobody", "--why", "stolen", *at]) == 1
        cloud.invite("tracker-4", operator=OPERATOR, asset=ASSET)
        assert main(["devices", "revoke", "tracker-4", "--why", "photographed", *at]) == 0
        assert "tracker-4" not in cloud.cloud.writer.state.identities.invitations
        assert "there is no device" in capsys.readouterr().err
        assert main(["devices", "list", *at]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{DEVICE}  {OPERATOR}  {ASSET}  invited until 2026-03-01T13:00:00Z",
        f"tracker-2  {OPERATOR}  {ASSET}  revoked 2026-03-01T12:00:00Z: stolen",
    ]
    assert main(["devices", "list", *at]) == 2
    assert main(["devices", "invite", "x", "--settings", str(tmp_path / "none"), *at]) == 2


def made(folder: Path) -> dict[str, Any]:
    """The section [devices] with the files that the commands make."""
    files = {"authority_certificate_file": "ca.pem", "authority_key_file": "ca.key", "care_key_file": "care.key"}
    assert main(["devices", "authority", "--certificate", str(folder / "ca.pem"), "--key", str(folder / "ca.key")]) == 0
    assert main(["devices", "keys", "--care", str(folder / "care.key")]) == 0
    return {**files, "public_url": "https://cloud.example:8420", "broker_host": "broker", "broker_ca_file": "ca.pem"}


def configured(folder: Path, section: dict[str, Any]) -> CloudSettings:
    """What a configuration with this section says."""
    path = folder / "cloud.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in section.items()]
    path.write_text('[service]\ndata_folder = "data"\n[devices]\n' + "\n".join(lines) + "\n", encoding="utf-8")
    return load(path, CloudSettings)


def test_files_are_made_once_and_are_what_the_service_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = made(tmp_path)
    known = capsys.readouterr().out.split()[-1]
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    settings = configured(tmp_path, section | {"public_ca_file": "ca.pem"}).devices
    assert settings is not None
    signs, terms = authority_of(settings, client_ids("pledgewatch-cloud"))
    assert terms.own_users == {"cloud", "pledgewatch-cloud", "pledgewatch-cloud-asks"}
    assert signs.certificate.subject.rfc4514_string() == "CN=pledgewatch devices"
    assert terms.care_public_key == known
    assert signing_key.load(tmp_path / "care.key").public_key().public_bytes_raw().hex() == known
    assert terms.ca_sha256 is not None
    assert len(bytes.fromhex(terms.ca_sha256)) == 32
    again = ["devices", "authority", "--certificate", str(tmp_path / "ca.pem"), "--key", str(tmp_path / "new.key")]
    assert main(again) == 2
    assert "is there already" in capsys.readouterr().err
    assert not (tmp_path / "new.key").exists()
    assert main(["devices", "keys", "--care", str(tmp_path / "care.key")]) == 2
    assert main([*again, "--days", "0"]) == 2


def test_what_no_certificate_can_be_signed_with_is_said(tmp_path: Path) -> None:
    section = made(tmp_path)
    settings = configured(tmp_path, section).devices
    assert settings is not None

    def said() -> str:
        with pytest.raises(CredentialError) as raised:
            authority_of(settings, ["pledgewatch-cloud"])
        return str(raised.value)

    other = authority.create(tmp_path / "o.pem", tmp_path / "o.key", "other", 10, 1_772_366_400_000)
    key = (tmp_path / "ca.key").read_bytes()
    (tmp_path / "ca.key").write_bytes((tmp_path / "o.key").read_bytes())
    assert "is not the key of the first certificate" in said()
    (tmp_path / "ca.key").write_bytes((tmp_path / "care.key").read_bytes())
    assert "is no P-256 key" in said()
    (tmp_path / "ca.key").write_text("nothing", encoding="ascii")
    assert "is no certificate or key in PEM" in said()
    (tmp_path / "ca.key").chmod(0o644)
    assert "other users may read the authority's key" in said()
    (tmp_path / "ca.key").write_bytes(key)
    (tmp_path / "ca.key").chmod(0o600)
    assert authority_of(settings, ["pledgewatch-cloud"])[0].certificate != other.certificate


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"public_url": "http://cloud.example"}, "codes need https:// beyond this machine"),
        ({"public_url": "cloud"}, "public_url"),
        ({"public_url": "http://127.0.0.1:8420", "public_ca_file": "ca.pem"}, "public_ca_file says nothing"),
        ({"broker_port": 0}, "broker_port is 0"),
        ({"broker_host": ""}, "broker_host is empty"),
        ({"certificate_days": 0}, "certificate_days is 0"),
        ({"broker_told_every_s": 29}, "broker_told_every_s is 29; use 30 to 86400"),
        ({"broker_pid_file": "pid", "broker_reload": ["true"], "broker_files_folder": "."}, "two ways to one end"),
        ({"broker_pid_file": "pid"}, "broker_files_folder is missing"),
        ({"health_user": "cloud"}, "cloud_user and health_user are the same"),
        ({"cloud_user": "The Cloud"}, "cloud_user is 'The Cloud'"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    section = {"authority_certificate_file": "c", "authority_key_file": "k", "care_key_file": "k"}
    section |= {"public_url": "https://cloud.example", "broker_host": "broker", "broker_ca_file": "c"}
    assert isinstance(configured(tmp_path, section).devices, DevicesSettings)
    with pytest.raises(SettingsError, match=said):
        configured(tmp_path, section | changed)
