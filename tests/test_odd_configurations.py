"""Configurations as odd as TOML can say them: each is refused with its place and its cure, and none ends a program."""

from pathlib import Path

import pytest
from edge_support import configuration

from pledgewatch_cloud.config import ApiSettings, BrokerSettings
from pledgewatch_cloud.registry.settings import ListenSettings
from pledgewatch_edge import config_file
from pledgewatch_edge.__main__ import main
from pledgewatch_edge.claim_steps import ClaimFailedError
from pledgewatch_edge.claiming import carry_out
from pledgewatch_edge.cloud_api import CloudApi, CloudError
from pledgewatch_gateway.sources.modbus import ModbusSettings
from pledgewatch_gateway.status_page import StatusPageSettings
from pledgewatch_sim.__main__ import main as sim
from pledgewatch_wire.claims import Claim, claim_text
from pledgewatch_wire.hosts import require_host
from pledgewatch_wire.settings import unreadable

HUGE = "1" + "0" * 400
HEX = "0x" + "f" * 5_000
HOST = 'host = "127.0.0.1"'
STATE = 'state_folder = "state"'
LABEL = "between two dots stand 1 to 63 characters"


@pytest.mark.parametrize(
    ("there", "instead", "words"),
    [
        ("interval_s = 1.0", f"interval_s = {HUGE}", "the whole number of interval_s has more than 64 bits"),
        ("port = 1", f"port = {HEX}", "the whole number of port has more than 64 bits"),
        (HOST, f"host = {HEX}", "the whole number of host has more than 64 bits"),
        (
            HOST,
            f'{HOST}\nca_file = "a\\u0000b"',
            "[broker] ca_file is 'a\\x00b'; it must be a path, in which there is no",
        ),
        (STATE, 'state_folder = "st\\u0000ate"', "[device] state_folder is 'st\\x00ate'; it must be a path"),
        (
            STATE,
            'state_folder = "~nobodyhere/x"',
            "[device] state_folder is '~nobodyhere/x'; it must be a path; after ~",
        ),
        (HOST, 'host = "a\\u0000b"', "[broker] host is 'a\\x00b'; it must be a text without the character NUL"),
        (HOST, 'host = " "', "[broker] host ' ' has a blank or control character"),
        (HOST, 'host = "a b"', "[broker] host 'a b' has a blank or control character"),
        (HOST, 'host = "a..b"', f"[broker] host 'a..b' cannot be a computer's name: {LABEL}"),
        (HOST, f'host = "{70 * "a"}.example"', LABEL),
        (
            STATE,
            f'{STATE}\ncloud_url = "https://a..b"',
            f"[device] cloud_url 'a..b' cannot be a computer's name: {LABEL}",
        ),
        (STATE, f'{STATE}\ncloud_url = "https://é.example/é"', "has a character that no address has"),
        (STATE, f'{STATE}\ncloud_url = "https://:word@a"', "is no address; use https://NAME:PORT"),
        (STATE, f'{STATE}\ncloud_url = "https://me@a"', "is no address; use https://NAME:PORT"),
        (STATE, f'{STATE}\ncloud_url = "https://a#part"', "is no address; use https://NAME:PORT"),
        (
            STATE,
            f'{STATE}\ncloud_url = "mqtt://a"',
            "[device] cloud_url 'mqtt://a' is no address; use https://NAME:PORT",
        ),
        ("[onewire]", '[gpsd]\nhost = "a..b"\n[onewire]', f"[gpsd] host 'a..b' cannot be a computer's name: {LABEL}"),
        ("[onewire]", '[modbus]\nmap = "m"\nhost = "a..b"\n[onewire]', "[modbus] host 'a..b' cannot be a computer's"),
    ],
)
def test_the_check_names_the_place_and_the_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str, instead: str, words: str
) -> None:
    file = configuration(tmp_path, interval_s=1.0)
    text = file.read_text(encoding="utf-8")
    assert there in text
    assert main(["run", "--check", "--config", str(file)]) == 0
    file.write_text(text.replace(there, instead), encoding="utf-8")
    assert main(["run", "--check", "--config", str(file)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said) < 1_000


@pytest.mark.parametrize("host", ["::1", "fe80::1%eth0", "bücher.example", "broker.example.com.", "x" * 63, "a_b"])
def test_what_can_be_a_computers_name_is_taken(host: str) -> None:
    require_host("host", host)
    assert BrokerSettings(host=host).host == host


def test_a_cloud_and_a_gateway_read_hosts_as_strictly() -> None:
    for made in (
        lambda: BrokerSettings(host="a..b"),
        lambda: ApiSettings(host="a..b"),
        lambda: ListenSettings(host="a..b"),
        lambda: ModbusSettings(name="scale", host="a..b"),
        lambda: StatusPageSettings(host="a..b"),
    ):
        with pytest.raises(ValueError, match=LABEL):
            made()


def test_a_cloud_whose_name_cannot_be_one_is_asked_for_nothing() -> None:
    with pytest.raises(CloudError, match=LABEL) as refused:
        CloudApi("https://a..b")
    assert refused.value.is_final


def test_a_claim_whose_cloud_has_no_name_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = claim_text(Claim("https://a..b", "harbour-line", "reefer-7", "A" * 26))
    assert main(["claim", claim, "--config", str(tmp_path / "edge.toml"), "--state-folder", str(tmp_path / "s")]) == 1
    assert LABEL in capsys.readouterr().err


def test_a_claim_over_a_state_folder_of_nobody_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('[device]\noperator = "harbour-line"\nname = "reefer-7"\nstate_folder = "~nobodyhere/x"\n', "utf-8")
    claim = claim_text(Claim("https://cloud.example", "harbour-line", "reefer-7", "A" * 26))
    with pytest.raises(ClaimFailedError, match="state_folder '~nobodyhere/x'; it must be a path; after ~ comes a user"):
        carry_out(claim, config=file, state_folder=None, ca_file=None, replace=False, say=print)
    document = config_file.read(file)
    kept = config_file.complete(document, {"device": {"state_folder": "/x"}}, tmp_path, replace=False)
    assert "state_folder" in str(kept)


def test_a_file_that_cannot_have_its_name_is_unreadable() -> None:
    (said,) = unreadable({"[broker] ca_file": Path("a\0b")})
    assert "cannot be read" in said


@pytest.mark.parametrize(("key", "value"), [("lasts_s", HUGE), ("speed", HEX), ("seed", f"-{HUGE}")])
def test_a_story_with_a_number_without_an_end_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: str
) -> None:
    keys = {"about": '"x"', "begins": '"2026-03-01T06:00:00Z"', "lasts_s": "3600", "speed": "60"} | {key: value}
    file = tmp_path / "story.toml"
    place = "[place]\nlongitude = 1.0\nlatitude = 1.0\n"
    file.write_text("".join(f"{one} = {what}\n" for one, what in keys.items()) + place, encoding="utf-8")
    assert sim(["scenario", str(file), "--check"]) == 2
    assert f"the whole number of {key} has more than 64 bits" in capsys.readouterr().err
