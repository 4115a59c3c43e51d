"""Set-up on a board, in a network or by a hand that is not as it should be: what is said, and what stays whole."""

import asyncio
import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from boards import DOOR, PROBES, SimulatedBoard, one_probe, setup
from edge_support import DEVICE, OPERATOR
from enrolling import enrolling

from pledgewatch_edge.__main__ import main
from pledgewatch_edge.identity import KEY_FILE, load_or_create_key
from pledgewatch_edge.install import finding
from pledgewatch_edge.install.finding import Board, find
from pledgewatch_edge.install.unit import NAME
from pledgewatch_edge.spool.file import open_spool
from pledgewatch_edge.spool.spool import Limits

WHO = ["--operator", OPERATOR, "--device", DEVICE]
PAGE = (Path(__file__).resolve().parent.parent / "docs" / "INSTALL.md").read_text(encoding="utf-8")
QUICK = ["--yes", "--watch", "0", "--no-self-test"]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedBoard]:
    one = SimulatedBoard(tmp_path, monkeypatch)
    one.start()
    yield one
    one.close()


@pytest.fixture
def bare(tmp_path: Path) -> list[str]:
    return one_probe(tmp_path)


def fitted(folder: Path, *options: str) -> int:
    return setup(folder, *QUICK, "--state-folder", str(folder / "state"), *WHO, "--broker", "127.0.0.1:1", *options)


def document(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "edge.toml").read_text(encoding="utf-8"))


def typing(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


@pytest.mark.parametrize(
    ("is_synchronised", "said"),
    [(True, "ok clock a time service keeps it"), (False, "MISSING clock not known; readings wait without a number")],
)
def test_a_time_service_is_a_clock_on_a_board_without_one_and_without_a_fix(
    tmp_path: Path,
    board: SimulatedBoard,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_synchronised: bool,
    said: str,
) -> None:
    """A Pi in a steel hall with a network."""
    board.has_fix = False
    told = SimpleNamespace(adjtimex=lambda _: 0 if is_synchronised else 5)
    ctypes = SimpleNamespace(CDLL=lambda _: told, create_string_buffer=lambda _: None)
    monkeypatch.setattr("pledgewatch_edge.clock.ctypes", ctypes)
    monkeypatch.setattr("pledgewatch_edge.agent.machine_keeps_time", lambda: False)
    assert fitted(tmp_path, *board.options) == 0
    assert document(tmp_path)["gps"], "it has a receiver"
    assert main(["self-test", "--config", str(tmp_path / "edge.toml"), "--seconds", "2"]) == 1
    assert said in [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]


FITTING = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # else it is ignored wherever the tests are run with nohup
signal.signal(signal.SIGINT, signal.default_int_handler)  # and this where a shell runs them beside itself
from pledgewatch_edge.__main__ import main
from pledgewatch_edge.install import unit
unit.is_of_this_machine = lambda _: True
sys.exit(main(sys.argv[1:]))
"""


def systemctl(folder: Path, state: str) -> Path:
    """A systemctl that notes what it is asked for, and says that the service is in that state."""
    (folder / "bin").mkdir()
    script, asked = folder / "bin" / "systemctl", folder / "asked"
    script.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n[ $1 != is-active ] || echo {state}\n', encoding="ascii")
    script.chmod(0o755)
    return asked


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_service_is_begun_again_though_set_up_is_ended_from_outside(
    tmp_path: Path, bare: list[str], number: signal.Signals
) -> None:
    """As by an SSH session that drops, or a kernel without memory."""
    asked = systemctl(tmp_path, "active")
    words = ["setup", "--config", str(tmp_path / "edge.toml"), "--yes", "--watch", "600", *WHO, "--broker", "b", *bare]
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    with subprocess.Popen(
        [sys.executable, "-c", FITTING, *words], env={**os.environ, **path}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        while b"looking" not in process.stdout.readline():
            assert process.poll() is None
        assert asked.read_text(encoding="ascii").splitlines()[-1] == f"stop {NAME}"
        process.send_signal(number)
        try:
            process.wait(60)
        finally:
            process.kill()  # else a process that goes on would be waited for without end
    until = time.monotonic() + 20
    while asked.read_text(encoding="ascii").splitlines()[-1] != f"start --no-block {NAME}":
        assert time.monotonic() < until, asked.read_text(encoding="ascii")
        time.sleep(0.02)
    assert asked.read_text(encoding="ascii").count("start --no-block") == 1


@pytest.mark.parametrize(
    ("state", "is_stopped"),
    [("active", True), ("activating", True), ("deactivating", True), ("reloading", True),
     ("inactive", False), ("failed", False), ("unknown", False)],
)  # fmt: skip
def test_a_service_that_begins_or_waits_to_be_begun_again_is_stopped_too(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, state: str, *, is_stopped: bool
) -> None:
    asked = systemctl(tmp_path, state)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr("pledgewatch_edge.install.unit.is_of_this_machine", lambda _: True)
    assert fitted(tmp_path, *bare, "--gps", "nowhere") == 2
    pair = [f"stop {NAME}", f"start --no-block {NAME}"]
    assert asked.read_text(encoding="ascii").splitlines() == [f"is-active {NAME}", *(pair if is_stopped else [])]


def test_a_program_that_the_services_user_may_not_run_is_said(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where it was installed with a umask of 077."""
    systemctl(tmp_path, "inactive")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    for name in ("is_of_this_machine", "make_user", "give_away", "require_reachable"):
        monkeypatch.setattr(f"pledgewatch_edge.install.unit.{name}", lambda *_: True)
    real_run = subprocess.run

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if command[0] != "systemctl":
            raise PermissionError(13, os.strerror(13), command[0])
        return real_run(command, **options)

    monkeypatch.setattr("pledgewatch_edge.install.setup_command.subprocess.run", run)
    options = ["--yes", "--watch", "0", "--state-folder", str(tmp_path / "state"), *WHO, "--broker", "b"]
    assert setup(tmp_path, *options, *bare) == 1
    assert f"Permission denied; let others read it: chmod -R a+rX {sys.prefix}" in capsys.readouterr().err


def test_another_state_folder_is_named_and_taken_once_the_keys_are_there(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fitted(tmp_path, *bare) == 0
    text = (tmp_path / "edge.toml").read_text(encoding="utf-8")
    old, new = tmp_path / "state", tmp_path / "data" / "pledgewatch"
    load_or_create_key(old)
    (old / "broker-ca.pem").write_text("a certificate", encoding="ascii")
    text = text.replace("[broker]\n", f'[broker]\nca_file = "{old / "broker-ca.pem"}"\n')
    (tmp_path / "edge.toml").write_text(text, encoding="utf-8")
    again = [*QUICK, *bare, "--state-folder", str(new)]
    assert setup(tmp_path, *again) == 2
    said = capsys.readouterr().err
    assert f"[device] state_folder is '{old}', and '{new}' was wanted; correct it, or run the same with --repl" in said
    assert setup(tmp_path, *again, "--replace") == 1
    assert f"mv {old} {new}" in capsys.readouterr().err
    assert (tmp_path / "edge.toml").read_text(encoding="utf-8") == text
    new.parent.mkdir()
    old.rename(new)
    assert setup(tmp_path, *again, "--replace") == 0
    assert document(tmp_path)["device"]["state_folder"] == str(new)
    assert document(tmp_path)["broker"]["ca_file"] == str(new / "broker-ca.pem")
    assert str(new) in (tmp_path / "units" / NAME).read_text(encoding="utf-8")
    assert setup(tmp_path, *again) == 0, "the same again is no difference"
    assert (new / KEY_FILE).exists()


def test_another_device_leaves_the_keys_of_the_one_before(tmp_path: Path, bare: list[str]) -> None:
    assert fitted(tmp_path, *bare) == 0
    load_or_create_key(tmp_path / "state")
    assert fitted(tmp_path, *bare, "--device", "cont-0002", "--state-folder", str(tmp_path / "2"), "--replace") == 0
    assert document(tmp_path)["device"]["state_folder"] == str(tmp_path / "2")


def of_another(folder: Path) -> None:
    """A state folder with the spool of another device."""
    key = load_or_create_key(folder)
    open_spool(folder, "cont-0001", key, Limits(bytes_max=2**20, every_readings=60, every_s=60.0)).close()


def test_the_readings_of_another_device_are_seen_before_anything_is_written(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    of_another(tmp_path / "state")
    assert fitted(tmp_path, *bare) == 1
    assert f"{tmp_path / 'state'} holds readings of 'cont-0001', not of '{DEVICE}'" in capsys.readouterr().err
    assert not (tmp_path / "edge.toml").exists()
    assert not (tmp_path / "units" / NAME).exists()


def test_no_sensor_is_blamed_where_the_spool_cannot_be_opened(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pledgewatch_edge.agent.machine_keeps_time", lambda: False)
    assert fitted(tmp_path, *bare) == 0
    of_another(tmp_path / "state")
    assert main(["self-test", "--config", str(tmp_path / "edge.toml"), "--seconds", "5"]) == 1
    rows = capsys.readouterr().out.splitlines()
    told = {name: next(row for row in rows if f"  {name}  " in row) for name in ("sensor onewire", "sensor host")}
    for row in told.values():
        assert row.split()[0] == "-", row
        assert row.endswith("could not be tried")
    assert not any("wiring" in row or "view of the sky" in row for row in rows)
    [spool] = [row for row in rows if "MISSING  spool" in row]
    assert "the spool is that of device 'cont-0001'" in spool


@pytest.mark.parametrize(
    ("said", "host", "port"),
    [
        ("mqtt.example.org", "mqtt.example.org", 1_883),
        ("mqtt.example.org:8883", "mqtt.example.org", 8_883),
        ("10.0.0.1:8883", "10.0.0.1", 8_883),
        ("[::1]", "::1", 1_883),
        ("[fd00::1]:8883", "fd00::1", 8_883),
    ],
)
def test_a_broker_is_a_host_and_a_port(tmp_path: Path, bare: list[str], said: str, host: str, port: int) -> None:
    assert setup(tmp_path, *QUICK, *WHO, "--state-folder", str(tmp_path / "s"), *bare, "--broker", said) == 0
    assert document(tmp_path)["broker"] == {"host": host, "port": port}


@pytest.mark.parametrize(
    "said", ["::1", "fd00::1", "[::1", "::1]", "1:2:3", "a]:5", "[a:5", "[a]:5", "[::1]5", "[]:5", ":5", "a:", "[1:2]"]
)
def test_what_is_no_host_and_port_is_no_other_broker(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str], said: str
) -> None:
    assert setup(tmp_path, *QUICK, *WHO, "--state-folder", str(tmp_path / "s"), *bare, f"--broker={said}") == 2
    assert "--broker" in capsys.readouterr().err
    assert not (tmp_path / "edge.toml").exists()


def test_an_address_of_ipv6_without_brackets_is_told_how_to_be_written(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fitted(tmp_path, *bare, "--broker", "fd00::1") == 2
    assert "in brackets, such as [fd00::1]:1883" in capsys.readouterr().err


def test_a_bus_that_hangs_hangs_nobody_and_is_named(
    tmp_path: Path, board: SimulatedBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    (board.devices / "i2c-7").touch()
    goes_on = threading.Event()

    def bus(number: int) -> object:
        if number == 7:
            goes_on.wait(60)
            raise OSError("the bus is gone")
        return board.bus(number)

    monkeypatch.setattr("smbus2.SMBus", bus)
    monkeypatch.setattr(finding, "ANSWER_S", 0.3)
    began = time.monotonic()
    found = asyncio.run(find(Board(board.devices, board.one_wire, gpsd_port=1)))
    took_s = time.monotonic() - began
    goes_on.set()
    assert took_s < 20
    chips = {one.place: one for one in found if one.section in {"sht3x", "adxl345"}}
    assert chips.keys() == {"1:0x44", "1:0x53", "i2c-7"}
    assert chips["i2c-7"].settings is None
    assert chips["i2c-7"].note.startswith("hangs, and nothing on it is found")


@pytest.mark.parametrize(
    ("contacts", "said"),
    [
        (["99999=door_open"], "--contacts: line 99999 is out of range; use 0 to 1023"),
        (["54=door_open"], "--contacts: line 54 is not there; "),
        ([f"{DOOR}=door_open", "27=door_open"], "--contacts: door_open is named twice; give each contact a channel of"),
        ([f"{5_000 * '9'}=door_open"], "is none; write LINE=CHANNEL"),
    ],
)
def test_a_contact_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, board: SimulatedBoard, capsys: pytest.CaptureFixture[str], contacts: list[str], said: str
) -> None:
    assert fitted(tmp_path, *board.options, "--contacts", *contacts) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "edge.toml").exists()


def test_a_contact_that_cannot_be_is_asked_for_again_and_probes_stand_with_what_they_said(
    tmp_path: Path, board: SimulatedBoard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ["99999=door_open", "54=door_open", "17=door_open 27=door_open"]
    typing(monkeypatch, "1", "1 2", "y", "y", *wrong, "53=door_open", "yes")
    options = ["--watch", "1.5", "--no-self-test", "--state-folder", str(tmp_path / "state"), *board.options]
    assert setup(tmp_path, *options, *WHO, "--broker", "b") == 0
    said = capsys.readouterr().out
    for complaint in ("line 99999 is out of range", "lines 0 to 53", "door_open is named twice"):
        assert complaint in said
    assert f"  1 {PROBES[0]}  4.06 °C\n  2 {PROBES[1]}  -18.50 °C\nprobes [1 2]" in said
    assert document(tmp_path)["contacts"]["lines"] == [{"line": 53, "channel": "door_open"}]


def test_a_claim_is_not_spent_on_a_configuration_that_the_agent_cannot_use(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "edge.toml").write_text("[spool]\nmax_mib = 0.001\n", encoding="utf-8")
    with enrolling(tmp_path / "cloud") as cloud:
        typing(monkeypatch, cloud.invite(DEVICE))
        assert setup(tmp_path, *QUICK, "--claim", "--state-folder", str(tmp_path / "state"), *bare) == 2
        assert not cloud.asked
    assert f"{tmp_path / 'edge.toml'}: [spool] max_mib 0.001 is out of range" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("with_claim", [False, True])
def test_the_services_user_reads_the_configuration_whatever_the_umask(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, *, with_claim: bool
) -> None:
    config = tmp_path / "etc" / "pledgewatch" / "edge.toml"
    (tmp_path / "etc").mkdir()
    options = [*QUICK, "--no-unit", "--state-folder", str(tmp_path / "state"), *bare, "--config", str(config)]
    with enrolling(tmp_path / "cloud") as cloud:
        before = os.umask(0o077)
        try:
            if with_claim:
                typing(monkeypatch, cloud.invite(DEVICE))
            assert main(["setup", *options, *(["--claim"] if with_claim else [*WHO, "--broker", "b"])]) == 0
        finally:
            os.umask(before)
    assert config.stat().st_mode & 0o777 == 0o644
    assert config.parent.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "state").exists() == with_claim
    if with_claim:
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700, "what is secret stays so"


def test_what_a_person_has_closed_to_others_stays_closed(tmp_path: Path, bare: list[str]) -> None:
    (tmp_path / "edge.toml").write_text("# mine\n", encoding="utf-8")
    (tmp_path / "edge.toml").chmod(0o600)
    assert fitted(tmp_path, *bare) == 0
    assert (tmp_path / "edge.toml").stat().st_mode & 0o777 == 0o600


def test_the_status_that_the_page_prints_has_the_lines_that_it_has(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fitted(tmp_path, *bare) == 0
    capsys.readouterr()
    assert main(["status", "--config", str(tmp_path / "edge.toml")]) == 0
    _, _, shown = PAGE.partition(" --config /etc/pledgewatch/edge.toml\n    journalctl")
    printed = shown.split("```\n")[1].splitlines()
    said = capsys.readouterr().out.splitlines()
    assert printed[0] == said[0] == f"{DEVICE} of {OPERATOR}"

    def names(rows: list[str]) -> list[str]:
        return [row[2:16].strip() for row in rows[1:]]

    assert names(printed) == names(said)


async def test_brackets_in_brackets_at_gpsds_port_are_no_gpsd(tmp_path: Path) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"[" * 60_000 + b"\n")
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await find(Board(tmp_path, tmp_path, gpsd_port=port)) == []


def test_eight_probes_and_an_sht3x_are_told_what_to_leave_out(
    tmp_path: Path, board: SimulatedBoard, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        shutil.copytree(board.one_wire / PROBES[0], board.one_wire / f"28-0316a279{number:04x}")
    assert fitted(tmp_path, *board.options) == 2
    said = capsys.readouterr().err
    assert "8 probes leave the sht3x no channel for its temperature; leave one out with --probes, or the chip" in said
    assert fitted(tmp_path, *board.options, "--without", "sht3x") == 0
    assert len(document(tmp_path)["onewire"]["probes"]) == 8
