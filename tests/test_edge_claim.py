"""Claiming a device: what it makes, what it asks and writes, and that a try that was cut off can be made again."""

import base64
import contextlib
import datetime as dt
import io
import json
import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edge_support import new_spool, samples
from enrolling import CODE, OPERATOR, Enrolling, enrolling

from pledgewatch_edge import claim_steps, config_file, identity, tls_identity
from pledgewatch_edge.__main__ import main
from pledgewatch_edge.claim_steps import ClaimFailedError
from pledgewatch_edge.claiming import carry_out
from pledgewatch_edge.clock import AgentClock, system_ms
from pledgewatch_edge.cloud_api import CloudApi, CloudError
from pledgewatch_edge.identity import read_epoch
from pledgewatch_edge.past import PAST_FILE
from pledgewatch_edge.tls_identity import TlsIdentity, standing_of
from pledgewatch_wire.claims import Claim, ClaimError, claim_text, read_claim
from pledgewatch_wire.settings import SettingsError

DEVICE = "cont-0417"


class Device:
    """A Pi: a folder for its state, one for its configuration."""

    def __init__(self, folder: Path) -> None:
        self.state, self.config = folder / "state", folder / "edge.toml"
        self.said: list[str] = []

    def claim(
        self, text: str, *, replace: bool = False, ca_file: Path | None = None, now_ms: Callable[[], int] | None = None
    ) -> None:
        """Claim it."""
        more: dict[str, Any] = {} if now_ms is None else {"now_ms": now_ms}
        carry_out(
            text,
            config=self.config,
            state_folder=self.state,
            ca_file=ca_file,
            replace=replace,
            say=self.said.append,
            **more,
        )

    def document(self) -> dict[str, Any]:
        """The configuration."""
        return tomllib.loads(self.config.read_text(encoding="utf-8"))


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


@pytest.fixture
def cloud(tmp_path: Path) -> Any:
    with enrolling(tmp_path / "cloud") as one:
        yield one


def test_a_new_device_has_keys_certificate_and_configuration(cloud: Enrolling, device: Device) -> None:
    cloud.settings = "[host]\ninterval_s = 600.0\n"
    device.claim(cloud.invite(DEVICE))
    files = {path.name: path.stat().st_mode & 0o777 for path in device.state.iterdir()}
    assert {name: files[name] for name in ("device.key", "tls.key", "claimed.json")} == {
        "device.key": 0o600,
        "tls.key": 0o600,
        "claimed.json": 0o600,
    }
    assert {"tls.crt", "broker-ca.crt", "care.pub", "epoch"} <= files.keys()
    assert not [name for name in files if name.endswith((".new", ".part"))]
    state = str(device.state)
    assert device.document() == {
        "device": {"operator": OPERATOR, "name": DEVICE, "state_folder": state, "cloud_url": cloud.url},
        "broker": {
            "host": "127.0.0.1",
            "port": 8_883,
            "ca_file": f"{state}/broker-ca.crt",
            "certificate_file": f"{state}/tls.crt",
            "key_file": f"{state}/tls.key",
        },
        "host": {"interval_s": 600.0},
    }
    assert TlsIdentity(device.state).is_whole()
    [(_, asked)] = cloud.asked
    assert asked["public_key"] == identity.public_key_hex(identity.load_or_create_key(device.state))
    assert "PRIVATE" not in json.dumps(asked)
    assert standing_of(device.state)["wrong"] == []


def test_the_code_is_kept_nowhere(cloud: Enrolling, device: Device) -> None:
    text = cloud.invite(DEVICE)
    device.claim(text)
    kept = b"".join(path.read_bytes() for path in [*device.state.iterdir(), device.config] if path.is_file())
    assert CODE.encode() not in kept
    assert text.partition(".")[2].encode() not in kept
    assert CODE not in "".join(device.said)


def test_what_a_person_wrote_stays_as_it_was_written(cloud: Enrolling, device: Device) -> None:
    device.config.write_text(
        f'# the yard\'s\n[device]\nname = "{DEVICE}"  # on the lid\n\n[gps]   # a stick\nport = "/dev/ttyUSB0"\n'
        "[host]\ninterval_s = 60\n",
        encoding="utf-8",
    )
    cloud.settings = "[host]\ninterval_s = 600.0\n"
    device.claim(cloud.invite(DEVICE))
    text = device.config.read_text(encoding="utf-8")
    for line in ("# the yard's", f'name = "{DEVICE}"  # on the lid', "[gps]   # a stick", "interval_s = 60\n"):
        assert line in text
    assert device.document()["device"]["operator"] == OPERATOR
    assert device.document()["broker"]["port"] == 8_883
    assert any("[host]: left as you wrote it" in line for line in device.said)


@pytest.mark.parametrize("text", ["a = [" + 4_000 * "[", "[uplink" + 4_000 * ".a" + "]\n"], ids=["brackets", "dots"])
def test_a_configuration_that_is_nested_too_deep_is_told_of(cloud: Enrolling, device: Device, text: str) -> None:
    device.config.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="nested more than 32 deep"):
        device.claim(cloud.invite(DEVICE))
    assert not cloud.asked


def test_another_name_in_the_configuration_is_told_of_before_the_code_is_spent(
    cloud: Enrolling, device: Device
) -> None:
    device.config.write_text('[device]\nname = "other"  # mine\n', encoding="utf-8")
    before = device.config.read_bytes()
    with pytest.raises(SettingsError, match=r"\[device\] name is 'other', and 'cont-0417' was wanted; .*--replace"):
        device.claim(cloud.invite(DEVICE))
    assert not cloud.asked
    assert device.config.read_bytes() == before
    device.claim(cloud.invite(DEVICE), replace=True)
    assert device.document()["device"]["name"] == DEVICE
    assert "# mine" in device.config.read_text(encoding="utf-8")


def test_another_broker_in_the_configuration_costs_no_second_code(cloud: Enrolling, device: Device) -> None:
    device.config.write_text('[broker]\nhost = "old.example.org"\n', encoding="utf-8")
    text = cloud.invite(DEVICE)
    with pytest.raises(SettingsError, match=r"\[broker\] host is 'old.example.org'"):
        device.claim(text)
    device.claim(text, replace=True)
    assert len(cloud.asked) == 1
    assert device.document()["broker"]["host"] == "127.0.0.1"


class CutError(BaseException):
    """The power goes."""


def _cut_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> Callable[[], int]:
    """Let the power go after so many steps that change the disk; how many were made."""
    made = 0

    def counted(whole: Callable[..., Any]) -> Callable[..., Any]:
        def acted(*arguments: Any, **named: Any) -> Any:
            nonlocal made
            if made >= steps:
                raise CutError
            made += 1
            return whole(*arguments, **named)

        return acted

    replace = counted(identity.replace_file)
    for module in (identity, claim_steps, tls_identity, config_file):
        monkeypatch.setattr(module, "replace_file", replace)
    monkeypatch.setattr(TlsIdentity, "_rename", counted(TlsIdentity._rename))
    return lambda: made


def test_a_claim_cut_off_anywhere_is_carried_out_by_a_second_try(tmp_path: Path) -> None:
    steps, was_cut = 0, True
    while was_cut:
        with enrolling(tmp_path / f"cloud-{steps}") as cloud, pytest.MonkeyPatch.context() as patch:
            (tmp_path / str(steps)).mkdir()
            device, text = Device(tmp_path / str(steps)), cloud.invite(DEVICE)
            cloud.epochs[DEVICE] = 5
            _cut_after(patch, steps)
            try:
                device.claim(text)
                was_cut = False
            except CutError:
                pass
            patch.undo()
            device.claim(text)
            assert TlsIdentity(device.state).is_whole()
            assert read_epoch(device.state) == 5
            assert device.document()["device"]["name"] == DEVICE
            assert len({asked["csr"] for _, asked in cloud.asked}) == 1
            assert len({asked["public_key"] for _, asked in cloud.asked}) == 1
            assert not [path.name for path in device.state.iterdir() if path.name.endswith(".new")]
        steps += 1
    assert steps > 8


def test_an_answer_lost_on_the_way_is_asked_for_again(cloud: Enrolling, device: Device) -> None:
    text, cloud.fails = cloud.invite(DEVICE), 1
    with pytest.raises(CloudError, match="cannot be reached"):
        device.claim(text)
    device.claim(text)
    assert TlsIdentity(device.state).is_whole()


def test_a_new_claim_works_as_well_after_one_that_was_cut_off(cloud: Enrolling, device: Device) -> None:
    cloud.fails = 1
    with pytest.raises(CloudError):
        device.claim(cloud.invite(DEVICE))
    device.claim(cloud.invite(DEVICE, "A" * 26))
    assert TlsIdentity(device.state).is_whole()


def test_a_claim_carried_out_long_ago_brings_no_old_certificate_back(cloud: Enrolling, device: Device) -> None:
    text = cloud.invite(DEVICE)
    device.claim(text)
    device.claim(cloud.invite(DEVICE, "B" * 26))
    newest = (device.state / "tls.crt").read_bytes()
    kept = json.loads((device.state / "claimed.json").read_text(encoding="utf-8"))
    device.claim(cloud.invite(DEVICE, "B" * 26))
    assert (device.state / "tls.crt").read_bytes() == newest
    assert len(cloud.asked) == 2
    with pytest.raises(CloudError, match="no such claim"):
        device.claim(text)  # its key is not the one that the code was used with
    assert json.loads((device.state / "claimed.json").read_text(encoding="utf-8")) == kept
    assert TlsIdentity(device.state).is_whole()


def test_a_new_claim_forgets_what_was_known_to_be_past_and_an_old_one_does_not(
    cloud: Enrolling, device: Device
) -> None:
    kept = device.state / PAST_FILE
    device.claim(cloud.invite(DEVICE))
    kept.write_text("1900000000000")
    device.claim(cloud.invite(DEVICE))
    assert kept.read_text() == "1900000000000", "its certificate is in force already"
    device.claim(cloud.invite(DEVICE, "B" * 26))
    assert not kept.exists()
    kept.mkdir()
    with pytest.raises(identity.StateError, match="known_past"):
        device.claim(cloud.invite(DEVICE, "C" * 26))
    kept.rmdir()
    device.claim(cloud.invite(DEVICE, "C" * 26))
    assert TlsIdentity(device.state).is_whole()


def test_an_empty_folder_begins_above_what_the_cloud_has_seen(cloud: Enrolling, device: Device) -> None:
    cloud.epochs[DEVICE] = 7
    device.claim(cloud.invite(DEVICE))
    with new_spool(device.state) as spool:
        assert spool.epoch == 8


@pytest.mark.parametrize("seen", [1, 3])  # by the cloud: its own epoch, or the card has lived on since it was copied
def test_a_spool_from_an_older_card_gives_its_readings_under_new_numbers(
    cloud: Enrolling, device: Device, seen: int
) -> None:
    with new_spool(device.state) as spool:
        spool.append(samples(5))
        assert spool.epoch == 1
    cloud.epochs[DEVICE] = seen
    device.claim(cloud.invite(DEVICE))
    with new_spool(device.state) as spool:
        assert spool.epoch > seen
        assert [(one.sequence, one.measured_at_ms) for one in spool.read(0, 10)] == [
            (number, sample.measured_at_ms) for number, sample in enumerate(samples(5), 1)
        ]


def test_a_folder_of_another_device_is_refused_before_anything_is_asked(cloud: Enrolling, device: Device) -> None:
    with new_spool(device.state, device="cont-0001"):
        pass
    with pytest.raises(ClaimFailedError, match="holds readings of 'cont-0001'"):
        device.claim(cloud.invite(DEVICE))
    assert not cloud.asked


def test_a_claim_for_a_gateways_zone_is_told_of_before_the_code_is_spent(cloud: Enrolling, device: Device) -> None:
    with pytest.raises(ClaimFailedError, match="for a zone of gateway site-la-3; there, run pledgewatch-gateway claim"):
        device.claim(cloud.invite(DEVICE, gateway="site-la-3"))
    assert not cloud.asked
    assert not device.config.exists()
    broken = claim_text(Claim(cloud.url, OPERATOR, DEVICE, CODE, None, "Site 3"))
    with pytest.raises(ClaimError, match="the claim's gateway is none"):
        device.claim(broken)


def test_a_code_that_another_device_has_used_lets_nobody_in(cloud: Enrolling, tmp_path: Path) -> None:
    text = cloud.invite(DEVICE)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    Device(tmp_path / "a").claim(text)
    with pytest.raises(CloudError, match="the cloud says: no such claim"):
        Device(tmp_path / "b").claim(text)
    assert not (tmp_path / "b" / "edge.toml").exists()


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"device": "other"}, "for another device"),
        ({"broker": {"host": "", "port": 1}}, "no usable broker"),
        ({"broker": {"host": "h", "port": 99_999}}, "no usable broker"),
        ({"epoch": -1}, "no usable epoch"),
        ({"broker_ca": "none"}, "no usable broker_ca"),
        ({"care_public_key": "00"}, "no usable broker_ca or care_public_key"),
        ({"certificate": ""}, "no usable certificate"),
        ({"certificate": "none"}, "is no certificate"),
        ({"settings": "[[["}, "further settings are not TOML"),
        ({"settings": "uplink = [" + 4_000 * "["}, "further settings are not TOML .*nested more than 32 deep"),
        ({"settings": '[device]\nname = "x"\n'}, "further settings have a section device"),
        (
            {"settings": "[care]\nidentify_command = ['/bin/sh']\n"},
            r"further settings \[care\] may not be set from afar",
        ),
        ({"settings": "clock.trust_system = true\n"}, r"\[clock\] may not be set from afar"),
        ({"settings": "password_file = 'x'\n"}, r"\[password_file\] may not be set from afar"),
    ],
)
def test_an_answer_that_is_none_is_refused(
    cloud: Enrolling, device: Device, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], wrong: str
) -> None:
    answer = cloud.answer
    monkeypatch.setattr(cloud, "answer", lambda path, said: answer(path, said) | change)
    with pytest.raises((ClaimFailedError, identity.StateError), match=wrong):
        device.claim(cloud.invite(DEVICE))
    assert not device.config.exists()


def test_a_certificate_for_another_key_or_name_is_not_taken(
    cloud: Enrolling, device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    Device(tmp_path / "other").claim(cloud.invite(DEVICE, "C" * 26))
    others = (tmp_path / "other" / "state" / "tls.crt").read_text(encoding="ascii")
    answer = cloud.answer
    monkeypatch.setattr(cloud, "answer", lambda path, said: answer(path, said) | {"certificate": others})
    with pytest.raises(identity.StateError, match="of another key"):
        device.claim(cloud.invite(DEVICE))
    assert not (device.state / "tls.crt").exists()


@pytest.mark.parametrize("says_ca", [True, False])
def test_the_cloud_is_known_by_the_hash_in_the_claim(tmp_path: Path, device: Device, says_ca: bool) -> None:
    with enrolling(tmp_path / "cloud", tls=True) as cloud:
        device.claim(cloud.invite(DEVICE), ca_file=tmp_path / "cloud" / "ca.pem" if says_ca else None)
        assert device.document()["device"]["cloud_ca_file"] == str(device.state / "cloud-ca.crt")
        assert device.document()["device"]["cloud_url"] == cloud.url


def test_another_cloud_than_the_claim_names_is_told_nothing(tmp_path: Path, device: Device) -> None:
    with enrolling(tmp_path / "cloud", tls=True) as cloud:
        claim = read_claim(cloud.invite(DEVICE))
        for given, ca_file in (("00" * 32, None), ("00" * 32, tmp_path / "cloud" / "ca.pem"), (None, None)):
            with pytest.raises((CloudError, ClaimFailedError), match=r"does not show|is not the certificate|believed"):
                device.claim(claim_text(claim._replace(ca_sha256=given)), ca_file=ca_file)
        with pytest.raises(CloudError, match="for another"):
            device.claim(claim_text(claim._replace(url=cloud.url.replace("127.0.0.1", "localhost"))))
        assert not cloud.asked


def test_a_board_that_does_not_know_the_time_claims_by_the_clouds(
    tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    with enrolling(tmp_path / "cloud", tls=True) as cloud:
        device.claim(cloud.invite(DEVICE), now_ms=lambda: 1_000)
        assert any("clock is not set; certificates were judged by the cloud's" in line for line in device.said)
        cloud.clock_ahead_s = 10 * 86_400.0  # its certificate has ended by its own time
        with pytest.raises(CloudError, match="not good at the time that it says itself"):
            device.claim(cloud.invite(DEVICE, "D" * 26), now_ms=lambda: 1_000)


def test_the_cloud_is_judged_by_the_receiver_where_the_computers_clock_is_days_off(tmp_path: Path) -> None:
    with enrolling(tmp_path, tls=True) as cloud:
        cloud.shows(since=dt.timedelta(days=5), until=-dt.timedelta(days=2))
        clock = AgentClock(is_synchronised=lambda: False)
        for receiver_days, said in (
            (None, "it has ended; or this computer's clock is ahead$"),
            (-3, ""),
            (-9, r"may be behind \(this computer's clock is 9 days ahead of the receiver's\)$"),
        ):
            if receiver_days is not None:
                clock.set_by_fix(system_ms() + receiver_days * 86_400_000)
            api = CloudApi(cloud.url, ca_file=tmp_path / "ca.pem", clock=clock)
            with pytest.raises(CloudError, match=said) if said else contextlib.nullcontext():
                assert api.time_ms() is not None


def test_a_board_at_1970_with_a_receiver_judges_the_cloud_by_that_and_not_by_the_clouds_word(tmp_path: Path) -> None:
    with enrolling(tmp_path, tls=True) as cloud:
        clock = AgentClock(system_ms=lambda: 1_000, is_synchronised=lambda: False)
        api = CloudApi(cloud.url, ca_file=tmp_path / "ca.pem", judges_time=False, clock=clock)
        cloud.clock_ahead_s = 10 * 86_400.0  # its certificate has ended by its own time
        with pytest.raises(CloudError, match="not good at the time that it says itself"):
            api.time_ms()
        clock.set_by_fix(system_ms())
        assert api.time_ms() is not None
        clock.set_by_fix(system_ms() + 10 * 86_400_000)
        with pytest.raises(CloudError, match="it has ended"):
            api.time_ms()


def test_what_time_the_cloud_says_is_past_then_as_far_as_its_certificate_reaches(tmp_path: Path) -> None:
    with enrolling(tmp_path, tls=True) as cloud:
        clock = AgentClock(is_synchronised=lambda: False)
        api = CloudApi(cloud.url, ca_file=tmp_path / "ca.pem", clock=clock)
        cloud.clock_ahead_s = 2 * 86_400.0  # its certificate is good for one day more
        api.time_ms()
        assert clock.past_ms == 0
        cloud.clock_ahead_s = 0.0
        said_ms = api.time_ms()
        assert said_ms is not None
        assert clock.past_ms == said_ms


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"url": "http://cloud.example.org"}, "not https"),
        ({"url": "https://cloud example"}, "url is none"),
        ({"device": "Box 1"}, "device is none"),
        ({"code": "short"}, "code is none"),
        ({"ca_sha256": "AB"}, "ca_sha256 is none"),
    ],
)
def test_a_claim_that_is_none_says_which_part(device: Device, change: dict[str, str], wrong: str) -> None:
    said = {"url": "http://127.0.0.1:1", "operator": OPERATOR, "device": DEVICE, "code": CODE} | change
    text = "pwclaim1." + base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
    with pytest.raises((ClaimError, CloudError), match=wrong):
        device.claim(text)


@pytest.mark.parametrize("text", ["", "hello", "pwclaim1.", "pwclaim1.!!!", "pwclaim1.W10", "pwclaim1." + "A" * 5_000])
def test_a_text_that_is_no_claim(device: Device, text: str) -> None:
    with pytest.raises(ClaimError):
        device.claim(text)
    assert not device.state.exists()


def test_a_claim_may_be_broken_over_lines() -> None:
    claim = Claim("https://cloud.example:8420", OPERATOR, DEVICE, CODE, "ab" * 32)
    text = claim_text(claim)
    assert read_claim(f" {text[:40]}\n{text[40:]}\n") == claim
    assert claim_text(claim).startswith("pwclaim1.")


def test_the_command_reads_the_claim_and_says_what_is_missing(
    cloud: Enrolling, device: Device, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["claim", "--config", str(device.config), "--state-folder", str(device.state)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("nonsense\n"))
    assert main(words) == 1
    assert "a claim begins with pwclaim1." in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.StringIO(cloud.invite(DEVICE) + "\n"))
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"{DEVICE} of {OPERATOR} is claimed, fitted to asset-{DEVICE}" in said
    assert "names no sensor" in said
    with device.config.open("a", encoding="utf-8") as file:
        file.write("\n[host]\n")
    assert main(["run", "--check", "--config", str(device.config)]) == 0
    capsys.readouterr()
    assert main(["status", "--json", "--config", str(device.config)]) == 0
    status = json.loads(capsys.readouterr().out)
    ends = dt.datetime.fromisoformat(status["certificate_ends"])
    assert abs(ends - cloud.end) < dt.timedelta(seconds=2)
    assert status["wrong"] == []


def test_a_pipe_that_an_invitation_names_for_a_file_is_told_of_and_not_waited_for(
    cloud: Enrolling, device: Device, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = device.config.parent / "pipe"
    os.mkfifo(pipe)
    cloud.settings = f'[modbus]\nmap = "{pipe}"\nhost = "127.0.0.1"\n'
    monkeypatch.setattr(sys, "stdin", io.StringIO(cloud.invite(DEVICE) + "\n"))
    assert main(["claim", "--config", str(device.config), "--state-folder", str(device.state)]) == 0
    assert "[modbus] map: cannot be read: it is a device, a pipe or a socket" in capsys.readouterr().out


def test_what_a_person_saves_while_the_cloud_is_asked_stays(
    cloud: Enrolling, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = claim_steps._asked

    def slow(*given: Any, **named: Any) -> Any:
        device.config.write_text("[host]\ninterval_s = 600.0 # often\n", encoding="utf-8")
        return asked(*given, **named)

    monkeypatch.setattr(claim_steps, "_asked", slow)
    device.claim(cloud.invite(DEVICE))
    assert "interval_s = 600.0 # often" in device.config.read_text(encoding="utf-8")
    assert device.document()["broker"]["port"] == 8_883
