"""Fitting a board: what is found, shown, chosen and written, and that it ends with readings that the cloud has."""

import asyncio
import contextlib
import io
import os
import pwd
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from boards import DOOR, PROBES, STICK, SimulatedBoard, one_probe, setup
from edge_support import DEVICE, OPERATOR, running_broker
from enrolling import enrolling
from screens import Screen
from station import Station

from pledgewatch_edge.__main__ import main
from pledgewatch_edge.agent import load
from pledgewatch_edge.identity import load_or_create_key, public_key_hex, sole_use
from pledgewatch_edge.install import finding, live, unit
from pledgewatch_edge.install.finding import Board, Found, find, header_chip, serial_ports
from pledgewatch_edge.install.live import Table
from pledgewatch_edge.install.self_test import Step, in_words, passed, self_test
from pledgewatch_edge.install.unit import NAME
from pledgewatch_edge.install.values import cell_words, sample_words
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors.gpsd import GpsdSettings
from pledgewatch_edge.spool.file import status
from pledgewatch_sim.gpsd import Gpsd
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality

WHO = ["--operator", OPERATOR, "--device", DEVICE]
STICK_PLACE = "/dev/serial/by-id/usb-u-blox_AG_-_www.u-blox.com_u-blox_7_-_GPS_GNSS_Receiver-if00"
FIX = "33.73000°, -118.26000°, satellites 12"


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedBoard]:
    one = SimulatedBoard(tmp_path, monkeypatch)
    one.start()
    yield one
    one.close()


@pytest.fixture
def bare(tmp_path: Path) -> list[str]:
    return one_probe(tmp_path)


def fitted(folder: Path, *options: str, port: int = 1) -> int:
    """Run it without a question and without the test, for a device with a name."""
    quick = ["--yes", "--watch", "0", "--no-self-test", "--state-folder", str(folder / "state")]
    return setup(folder, *quick, *WHO, "--broker", f"127.0.0.1:{port}", *options)


@contextlib.contextmanager
def cloud_of(station: Station) -> Iterator[None]:
    """The cloud alone: nothing here has money in it."""
    try:
        station.cloud.start()
        station.until(lambda: station.answers(station.api_port), "the cloud to answer")
        yield
    finally:
        station.close()


def document(folder: Path) -> dict[str, Any]:
    """The configuration."""
    return tomllib.loads((folder / "edge.toml").read_text(encoding="utf-8"))


def typing(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Somebody who answers."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_from_what_is_plugged_in_to_what_the_cloud_has_committed(
    tmp_path: Path, board: SimulatedBoard, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    with running_broker("mosquitto", tmp_path / "broker") as broker:
        cloud = Station(tmp_path / "station", broker)
        key = public_key_hex(load_or_create_key(state))
        cloud.set_book({"installations": [
            {"device": DEVICE, "operator": OPERATOR, "asset": "container-1", "public_key": key}
        ]})  # fmt: skip
        with cloud_of(cloud):
            options = [*WHO, "--broker", f"127.0.0.1:{broker.port}", "--state-folder", str(state), "--watch", "1.5"]
            code = setup(tmp_path, "--yes", *options, *board.options, "--contacts", f"{DOOR}=door_open")
            said = capsys.readouterr().out
            assert code == 0, said
            kept = status(state)
            [one] = cloud.get(cloud.api_port, "/devices")
            contiguous = kept["committed_contiguous"]
            assert isinstance(contiguous, int)
            assert contiguous >= 5
            assert one["device"] == DEVICE
            assert one["epochs"][0]["contiguous"] >= contiguous
    assert f"has committed all readings up to {contiguous} of epoch 1, {contiguous} of them just now" in said
    assert f"{DEVICE} of {OPERATOR} is fitted\n" in said
    assert "MISSING" not in said
    for row in ("33.74050°", "4.06 °C", "-18.50 °C", "humidity 60.0 %", "door open yes", "54 lines, pinctrl-bcm2835"):
        assert row in said, row
    assert document(tmp_path)["gps"] == {"port": str(board.stick), "interval_s": 60.0}
    assert "clock" not in document(tmp_path), "the agent asks the machine, and a time service counts"
    assert document(tmp_path)["sht3x"]["temperature"] == "temperature_2_mc", "the probes have the two before"
    assert document(tmp_path)["adxl345"]["address"] == 0x53
    assert document(tmp_path)["contacts"]["chip"] == str(board.devices / "gpiochip0")
    assert (tmp_path / "units" / NAME).exists()
    assert main(["run", "--check", "--config", str(tmp_path / "edge.toml")]) == 0


def test_each_thing_on_the_board_is_found_by_its_best_name(board: SimulatedBoard) -> None:
    found = asyncio.run(find(Board(board.devices, board.one_wire, gpsd_port=1)))
    assert [(one.section, one.place) for one in found] == [
        ("gps", str(board.stick)),
        ("onewire", PROBES[0]),
        ("onewire", PROBES[1]),
        ("sht3x", "1:0x44"),
        ("adxl345", "1:0x53"),
        ("contacts", str(board.devices / "gpiochip0")),
    ]
    assert found[0].note == "a receiver at 9600 baud"
    assert board.bus.open_now == 0


def test_a_line_has_one_name_and_console_and_bluetooth_are_left_alone(tmp_path: Path) -> None:
    by_id = tmp_path / "serial" / "by-id"
    by_id.mkdir(parents=True)
    for name in ("ttyUSB0", "ttyUSB1", "ttyACM0", "ttyS0", "ttyAMA0", "ttyAMA10"):
        (tmp_path / name).touch()
    (by_id / STICK).symlink_to("../../ttyUSB1")
    (tmp_path / "serial0").symlink_to("ttyS0")
    (tmp_path / "serial1").symlink_to("ttyAMA0")
    (tmp_path / "ttyUSB7").symlink_to("gone")
    consoles = tmp_path / "active"
    consoles.write_text("tty1 ttyAMA10\n", encoding="ascii")
    found = serial_ports(Board(devices=tmp_path, consoles=consoles))
    assert [str(one.relative_to(tmp_path)) for one in found] == [
        f"serial/by-id/{STICK}",
        "serial0",
        "ttyUSB0",
        "ttyACM0",
    ]


def test_a_silent_line_and_one_that_is_held_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "LISTEN_S", 0.01)
    monkeypatch.setattr("pledgewatch_edge.sensors.baud_search.LISTEN_S", 0.01)
    ours, theirs = os.openpty()
    (tmp_path / "ttyUSB0").symlink_to(os.ttyname(theirs))
    (tmp_path / "ttyUSB1").symlink_to("/dev/full")
    found = asyncio.run(find(Board(tmp_path, tmp_path, gpsd_port=1)))
    os.close(ours)
    os.close(theirs)
    notes = {Path(one.place).name: one.note for one in found}
    assert notes["ttyUSB0"] == "no receiver is heard at any usual speed"
    assert all(one.settings is None for one in found)


async def test_gpsd_is_found_by_its_first_word(tmp_path: Path) -> None:
    async with Gpsd() as gpsd:
        [found] = await find(Board(tmp_path, tmp_path, gpsd_port=gpsd.port))
    assert (found.section, found.settings) == ("gpsd", GpsdSettings(port=gpsd.port))


async def test_another_program_at_gpsds_port_is_none(tmp_path: Path) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await find(Board(tmp_path, tmp_path, gpsd_port=port)) == []


def test_the_chip_of_the_header_is_taken_before_others() -> None:
    chips = [
        Found("contacts", place, None, f"8 lines, {label}") for place, label in (("a", "exp"), ("b", "pinctrl-rp1"))
    ]
    assert header_chip(chips) == chips[1]
    assert header_chip(chips[:1]) == chips[0]
    assert header_chip([]) is None


def test_what_is_written_passes_check_and_is_the_same_again(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fitted(tmp_path, *bare) == 0
    before = (tmp_path / "edge.toml").read_bytes()
    assert load(tmp_path / "edge.toml").onewire is not None
    assert fitted(tmp_path, *bare) == 0
    assert (tmp_path / "edge.toml").read_bytes() == before
    assert "is as it should be" in capsys.readouterr().out
    assert sorted(one.name for one in tmp_path.iterdir()) == ["dev", "edge.toml", "units", "w1"], "no draft is left"


def test_a_spool_that_may_grow_too_large_for_its_partition_is_said(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "pledgewatch_edge.install.setup_command.room_doubt", lambda folder, mib: f"{mib:g} MiB in {folder} are too many"
    )
    assert fitted(tmp_path, *bare) == 0
    folder = load(tmp_path / "edge.toml").device.state_folder
    assert f"{tmp_path / 'edge.toml'}: 64 MiB in {folder} are too many\n" in capsys.readouterr().out


def test_what_a_person_wrote_is_replaced_only_when_that_is_asked_for(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    written = f'# the yard\'s\n[onewire]\nprobes = ["{PROBES[1]}"]\n'
    (tmp_path / "edge.toml").write_text(written, encoding="utf-8")
    assert fitted(tmp_path, *bare) == 2
    said = capsys.readouterr().err
    assert "[onewire] is there and says something else than was chosen; correct it, or run the same with --rep" in said
    assert (tmp_path / "edge.toml").read_text(encoding="utf-8") == written
    assert fitted(tmp_path, *bare, "--replace") == 0
    assert document(tmp_path)["onewire"]["probes"] == [PROBES[0]]
    assert "# the yard's" in (tmp_path / "edge.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("section", ["host", "sampling"])
def test_what_nobody_chose_stays_as_it_was(tmp_path: Path, board: SimulatedBoard, section: str) -> None:
    written = {"host": "interval_s = 60.0", "sampling": ""}[section]
    (tmp_path / "edge.toml").write_text(f"[{section}]\n{written}\n", encoding="utf-8")
    before = document(tmp_path)
    assert fitted(tmp_path, *board.options) == 0
    assert document(tmp_path)[section] == before[section]
    assert fitted(tmp_path, *board.options, "--replace") == 0
    assert document(tmp_path)[section] != before[section]


@pytest.mark.parametrize("more", [[], ["--replace"]])
def test_what_is_said_of_the_clock_is_a_persons_and_stays(
    tmp_path: Path, board: SimulatedBoard, more: list[str]
) -> None:
    (tmp_path / "edge.toml").write_text("[clock]\ntrust_system = false\n", encoding="utf-8")
    assert fitted(tmp_path, *board.options, *more) == 0
    assert document(tmp_path)["clock"] == {"trust_system": False}


def test_what_cannot_be_used_is_not_put_in_the_files_place(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    written = "[spool]\nmax_mib = 0.001\n"
    (tmp_path / "edge.toml").write_text(written, encoding="utf-8")
    assert fitted(tmp_path, *bare) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'edge.toml'}: [spool] max_mib 0.001 is out of range" in said
    assert (tmp_path / "edge.toml").read_text(encoding="utf-8") == written
    assert not list(tmp_path.glob(".edge*"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gps", "/dev/ttyUSB9"], "--gps /dev/ttyUSB9: no receiver is heard there; heard were none at all"),
        (["--probes", PROBES[1]], f"--probes {PROBES[1]}: no such probe is here; here are {PROBES[0]}"),
        (["--contacts", "17=lid"], "--contacts: contact '17=lid' is none; write LINE=CHANNEL, such as 17=door_open"),
        (
            ["--contacts", "17=door_open", "017=light_present"],
            "--contacts: line 17 is named twice, as door_open and as light_present; name each line once",
        ),
        (["--contacts", "17=door_open"], "contacts need a GPIO chip, and none is here"),
        (["--gpsd", "localhost:gpsd"], "--gpsd 'localhost:gpsd' is no HOST:PORT"),
        (["--claim", "x"], "--claim says what --operator would say"),
        (["--gpsd", "a..b:2947"], "--gpsd 'a..b' cannot be a computer's name"),
        (["--broker", "a..b:1883"], "--broker 'a..b' cannot be a computer's name"),
        (["--broker", f"127.0.0.1:{5_000 * '9'}"], "is no HOST:PORT"),
        (["--operator", "Harbour Line"], "--operator 'Harbour Line' cannot be a name; use 1 to 64 of a-z, 0-9"),
    ],
)
def test_what_cannot_be_chosen_is_said_before_anything_is_written(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert fitted(tmp_path, *bare, *options) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "edge.toml").exists()


def test_nobody_says_who_it_is(tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert setup(tmp_path, "--yes", "--device", DEVICE, *bare) == 2
    assert "nobody says who this device is; give --claim, or --operator and --broker" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--replace"]])
def test_a_device_is_claimed_on_the_way(
    tmp_path: Path,
    bare: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
) -> None:
    with enrolling(tmp_path / "cloud") as cloud:
        cloud.settings = "[host]\ninterval_s = 600.0\n"
        typing(monkeypatch, cloud.invite(DEVICE))
        options = ["--yes", "--watch", "0", "--no-self-test", "--claim", "--state-folder", str(tmp_path / "state")]
        assert setup(tmp_path, *options, *bare, *more) == 0
    assert f"{DEVICE} of {OPERATOR} is claimed" in capsys.readouterr().out
    found = document(tmp_path)
    assert found["broker"]["port"] == 8_883
    assert found["host"]["interval_s"] == 600.0, "what the inviter gives comes before what set-up gives"
    assert found["onewire"]["probes"] == [PROBES[0]]
    assert setup(tmp_path, "--yes", "--watch", "0", "--no-self-test", *bare) == 0, "claimed once, it is known"


def test_a_claim_is_not_spent_where_the_configuration_stands_against_it(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edge.toml").write_text(f'[onewire]\nprobes = ["{PROBES[1]}"]\n', encoding="utf-8")
    with enrolling(tmp_path / "cloud") as cloud:
        typing(monkeypatch, cloud.invite(DEVICE))
        assert setup(tmp_path, "--yes", "--watch", "0", "--claim", *bare) == 2
        assert not cloud.asked


def test_a_person_is_asked_and_asked_again(
    tmp_path: Path, board: SimulatedBoard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [
        "",
        OPERATOR,
        DEVICE,
        "",
        "mqtt.example.org",
        "7",
        "1",
        "2 2",
        "2 1",
        "maybe",
        "n",
        "y",
        "17",
        "17=motion",
    ]
    typing(monkeypatch, *answers, "yes")
    options = ["--watch", "0", "--no-self-test", "--state-folder", str(tmp_path / "state"), *board.options]
    assert setup(tmp_path, *options) == 0
    found = document(tmp_path)
    assert found["broker"] == {"host": "mqtt.example.org", "port": 1_883}
    assert found["onewire"]["probes"] == [PROBES[1], PROBES[0]]
    assert "sht3x" not in found
    assert found["adxl345"]["address"] == 0x53
    assert found["contacts"]["lines"] == [{"line": 17, "channel": "motion"}]
    said = capsys.readouterr().out
    for complaint in ("'7' is none of them", "one is named twice", "'maybe' is neither", "contact '17' is none"):
        assert complaint in said


@pytest.mark.parametrize(
    ("answers", "code"), [(["no"], 1), ([], 2)], ids=["who does not want it", "who does not answer"]
)
def test_nothing_is_written_for(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, answers: list[str], code: int
) -> None:
    typing(monkeypatch, "", *answers)
    assert setup(tmp_path, "--watch", "0", *WHO, "--broker", "b", *bare) == code
    assert not (tmp_path / "edge.toml").exists()


class FakeSystemd:
    """A board on which the service runs: what systemd was asked for, and how the self-test was begun."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._asked, self._real_run = folder / "asked", subprocess.run
        self.given: list[Path] = []
        script = folder / "bin" / "systemctl"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\necho "$@" >> {self._asked}\n[ $1 != is-active ] || echo active\n', "ascii")
        script.chmod(0o755)
        patch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
        user = pwd.getpwuid(os.geteuid()).pw_name
        patch.setattr(unit, "USER", user)
        patch.setattr(unit, "is_of_this_machine", lambda _: True)
        patch.setattr(unit, "give_away", self.given.append)
        patch.setattr("pledgewatch_edge.install.setup_command.subprocess.run", self._run)
        self.tests: list[tuple[list[str], dict[str, Any]]] = []

    def _run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Only root may become another user, so what would be is noted."""
        if command[0] != "systemctl":
            self.tests.append((command, options))
            return subprocess.CompletedProcess(command, 1)
        return self._real_run(command, **options)

    def asked(self) -> list[str]:
        return self._asked.read_text(encoding="ascii").splitlines()


def test_a_service_that_runs_is_stopped_tested_as_its_user_and_begun_again(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd = FakeSystemd(tmp_path, monkeypatch)
    options = ["--yes", "--watch", "0", "--state-folder", str(tmp_path / "state"), *WHO, "--broker", "b"]
    assert setup(tmp_path, *options, *bare) == 1, "what the test says is what set-up says"
    asked = [f"is-active {NAME}", f"stop {NAME}", "daemon-reload", f"enable {NAME}"]
    assert systemd.asked() == [*asked, f"restart {NAME}", f"start --no-block {NAME}"]
    [(command, how)] = systemd.tests
    assert command[1:] == ["self-test", "--config", str(tmp_path / "edge.toml"), "--seconds", "60.0"]
    assert (how["user"], how["group"], how["extra_groups"]) == (unit.USER, unit.USER, unit.groups_here())
    assert systemd.given[0] == tmp_path / "state"


def test_a_service_is_begun_without_a_self_test_too(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first fitting by a script: nobody comes by to start it."""
    systemd = FakeSystemd(tmp_path, monkeypatch)
    monkeypatch.setattr(unit, "is_up", lambda: False)
    assert fitted(tmp_path, *bare) == 0
    assert systemd.asked() == ["daemon-reload", f"enable {NAME}", f"restart {NAME}"]
    assert not systemd.tests
    assert "the service runs; its log: journalctl -u pledgewatch-edge\n" in capsys.readouterr().out


def test_a_service_is_begun_again_however_set_up_ends(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd = FakeSystemd(tmp_path, monkeypatch)
    assert fitted(tmp_path, *bare, "--gps", "nowhere") == 2
    assert systemd.asked()[-2:] == [f"stop {NAME}", f"start --no-block {NAME}"]


def test_enter_ends_the_table_on_a_terminal(tmp_path: Path, bare: list[str]) -> None:
    """The program itself, on a terminal of its own."""
    ours, theirs = os.openpty()
    where = ["--config", str(tmp_path / "edge.toml"), "--no-unit", "--no-self-test", *WHO, "--broker", "b", *bare]
    words = [sys.executable, "-m", "pledgewatch_edge", "setup", "--state-folder", str(tmp_path / "state"), *where]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        for until, answer in (
            (b"4.12", b"\n"),
            (b"probes [1]", b"\n"),
            (b"[yes]", b"y\n"),
        ):
            while until not in said:
                said += os.read(ours, 4_096)
            os.write(ours, answer)
            said = said.rpartition(until)[2]
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 4_096):
                said += chunk
        assert process.wait(10) == 0, said
    os.close(ours)
    assert document(tmp_path)["onewire"]["probes"] == [PROBES[0]]


def test_the_table_stands_still_on_a_terminal_and_is_said_once_elsewhere() -> None:
    rows = [("gps", "/dev/a", live.WAITING), ("onewire", "28", "4.06 °C")]
    out = io.StringIO()
    table = Table(out, in_place=True)
    table.show(rows)
    table.show([("gps", "/dev/a", "here"), rows[1]])
    first, second = out.getvalue().split("\x1b[2A")
    assert first.count("\n") == second.count("\n") == 2
    assert "here" in second
    out = io.StringIO()
    table = Table(out, in_place=False)
    for _ in range(3):
        table.show(rows)
    table.end(rows)
    assert out.getvalue().splitlines() == ["  onewire  28      4.06 °C", "  gps      /dev/a  has said nothing"]


@pytest.mark.parametrize("height", [2, 3, 5, 6, 7, 24])
def test_a_table_that_is_higher_than_the_terminal_repeats_nothing(monkeypatch: pytest.MonkeyPatch, height: int) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", str(height))
    out = io.StringIO()
    table = Table(out, in_place=True)
    for turn in range(3):
        table.show([("onewire", f"28-{number}", f"{turn}.00 °C") for number in range(5)])
    whole = [f"  onewire  28-{number}  2.00 °C" for number in range(5)]
    seen = Screen(max(height, 3), out.getvalue())
    fits = height > len(whole)
    room = max(height - 1, 2)
    assert seen.shown == (whole if fits else [*whole[: room - 1], f"  and {6 - room} lines more"])
    assert seen.gone == []
    table.end([("onewire", f"28-{number}", "2.00 °C") for number in range(5)])
    seen = Screen(max(height, 3), out.getvalue())
    assert [*seen.gone, *seen.shown] == whole, "at the end all of it stands there once"


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (160, [f"  gps      {STICK_PLACE}  {FIX}", f"  onewire  {PROBES[0]:<82}  5.12 °C"]),
        (80, [f"  gps      ...7_-_GPS_GNSS_Receiver-if00  {FIX}", f"  onewire  {PROBES[0]:<29}  5.12 °C"]),
        (40, ["  gps      ...SS_Receiver-if00", f"  {FIX}", f"  onewire  {PROBES[0]:<19}  5.12 °C"]),
        (
            30,
            [
                *("  gps      ...Receiver-if00", "  33.73000°, -118.26000°,", "  satellites 12"),
                *(f"  onewire  {PROBES[0]}", "  5.12 °C"),
            ],
        ),
    ],
)
def test_no_value_is_cut_however_narrow_the_terminal_is(
    monkeypatch: pytest.MonkeyPatch, columns: int, shown: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [("gps", STICK_PLACE, FIX), ("onewire", PROBES[0], "5.12 °C")]
    out = io.StringIO()
    table = Table(out, in_place=True)
    table.show(rows)
    table.end(rows)
    first, second = out.getvalue().split(f"\x1b[{len(shown)}A")
    assert first == second
    assert first.replace("\r\x1b[K", "").removesuffix("\x1b[J").splitlines() == shown
    assert max(map(len, shown)) < columns


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([Cell(Channel.TEMPERATURE_MC, 4_062), Cell(Channel.TEMPERATURE_1_MC, -5)], "4.06 °C, temperature 1 -0.01 °C"),
        ([Cell(Channel.TEMPERATURE_MC, 85_000, Quality.POWER_ON_VALUE)], "85.00 °C (power on value)"),
        ([Cell(Channel.TEMPERATURE_MC, 0, Quality.SENSOR_GONE)], "sensor gone"),
        ([Cell(Channel.DOOR_OPEN, 1), Cell(Channel.SHOCK_MG, 1_250)], "door open yes, shock 1.25 g"),
        ([Cell(Channel.LATITUDE_E7, 0, Quality.NO_FIX), Cell(Channel.LONGITUDE_E7, 0, Quality.NO_FIX),
          Cell(Channel.SATELLITES, 3)], "speaks, no fix yet, satellites 3"),
        ([Cell(Channel.LATITUDE_E7, 0, Quality.SENSOR_GONE), Cell(Channel.LONGITUDE_E7, 0, Quality.SENSOR_GONE)],
          "sensor gone"),
    ],
)  # fmt: skip
def test_values_in_words(cells: list[Cell], said: str) -> None:
    assert sample_words(Sample(0, Clock.NTP, tuple(cells))) == said


def test_every_channel_can_be_said() -> None:
    for channel in Channel:
        assert "_" not in cell_words(Cell(channel, 1_234))


def test_steps_in_words() -> None:
    steps = [
        Step("clock", is_done=True, said="known"),
        Step("broker b", is_done=False, said="refused", cure="start it"),
        Step("cloud", None, "not tried"),
    ]
    assert in_words(steps) == [
        "  ok       clock     known",
        "  MISSING  broker b  refused",
        "                     cure: start it",
        "  -        cloud     not tried",
    ]
    assert not passed(steps)
    assert passed(steps[:1])


def self_tested(folder: Path, seconds: float) -> int:
    return main(["self-test", "--config", str(folder / "edge.toml"), "--seconds", str(seconds)])


def test_a_broker_that_is_not_there_and_a_probe_that_is_gone(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fitted(tmp_path, *bare) == 0
    (tmp_path / "w1" / PROBES[0] / "w1_slave").unlink()
    assert self_tested(tmp_path, 1.0) == 1
    said = capsys.readouterr().out
    assert "MISSING  sensor onewire" in said
    assert "see its wiring in docs/INSTALL.md" in said
    assert "MISSING  broker 127.0.0.1:1" in said
    assert "Connection refused" in said
    assert "-        cloud" in said
    assert f"{DEVICE} of {OPERATOR} is not fitted yet" in said


def test_one_of_two_probes_that_is_gone_is_missing(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tmp_path / "w1" / PROBES[0], tmp_path / "w1" / PROBES[1])
    assert fitted(tmp_path, *bare) == 0
    shutil.rmtree(tmp_path / "w1" / PROBES[1])
    assert self_tested(tmp_path, 1.0) == 1
    lines = capsys.readouterr().out.splitlines()
    [row] = [one for one in lines if "sensor onewire" in one]
    assert row.split(maxsplit=3) == ["MISSING", "sensor", "onewire", "4.12 °C, temperature 1 sensor gone"]


async def test_what_was_heard_before_it_came_online_again_counts(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent as one that measures in its first life only."""
    assert await asyncio.to_thread(fitted, tmp_path, *bare) == 0
    lives: list[int] = []

    async def life(_: object, sensors: Any, stop: asyncio.Event, **__: object) -> None:
        lives.append(len(lives))
        if len(lives) == 1:
            for one in sensors:
                await anext(one.samples())
        await stop.wait()

    monkeypatch.setattr("pledgewatch_edge.install.self_test.run_station", life)
    steps = await self_test(load(tmp_path / "edge.toml"), 0.4)
    assert lives == [0, 1]
    assert {step.name: step.is_done for step in steps if step.name.startswith("sensor")} == {
        "sensor onewire": True,
        "sensor host": True,
    }


def test_a_folder_that_another_agent_uses(tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert fitted(tmp_path, *bare) == 0
    load_or_create_key(tmp_path / "state")
    with sole_use(tmp_path / "state"):
        assert self_tested(tmp_path, 1.0) == 1
    said = capsys.readouterr().out
    assert "another agent is using this folder; stop it first" in said
    assert "kept" not in said, "nothing is, of what this one measured: it measured nothing"
    assert said.endswith(f"{DEVICE} of {OPERATOR} could not be tested: nothing was measured\n")


class HungUp(ThreadingTCPServer):
    """It hangs up on everybody."""

    daemon_threads = True


def test_what_listens_there_is_no_broker(tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with HungUp(("127.0.0.1", 0), BaseRequestHandler) as other:
        threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        assert fitted(tmp_path, *bare, port=other.server_address[1]) == 0
        assert self_tested(tmp_path, 1.0) == 1
        other.shutdown()
    said = capsys.readouterr().out
    assert "ok       broker 127.0.0.1" in said
    assert "MISSING  let in" in said


def test_a_broker_without_a_cloud(tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with running_broker("mosquitto", tmp_path / "broker") as broker:
        assert fitted(tmp_path, *bare, port=broker.port) == 0
        assert self_tested(tmp_path, 3.0) == 1
    said = capsys.readouterr().out
    assert "MQTT 5, without TLS" in said
    key = public_key_hex(load_or_create_key(tmp_path / "state"))
    assert "MISSING  cloud" in said
    assert f"an installation of {DEVICE} of {OPERATOR} with the public key {key}?" in said
