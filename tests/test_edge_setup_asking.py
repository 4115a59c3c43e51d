"""Set-up asks again where an answer cannot be used, at once, and ends where nobody answers."""

import asyncio
import contextlib
import io
import os
import subprocess
import sys
import termios
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boards import one_probe, setup
from edge_support import DEVICE, OPERATOR
from screens import Screen

from pledgewatch_edge.install import finding
from pledgewatch_edge.install.folding import folded, kept
from pledgewatch_edge.install.self_test import Step, in_words
from pledgewatch_sim.gpsd import Gpsd, sky, tpv

WHO = ["--operator", OPERATOR, "--device", DEVICE, "--broker", "b"]


@pytest.fixture
def bare(tmp_path: Path) -> list[str]:
    return one_probe(tmp_path)


def test_who_it_is_is_asked_again_before_anything_is_looked_for(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ["pwclaim1.!!!!", "", "Harbour Line", OPERATOR, "", DEVICE, "a..b", f"b:{5_000 * '9'}", "mqtt.example.org"]
    lines = "".join(f"{line}\n" for line in [*wrong, "", "yes"])
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert setup(tmp_path, "--watch", "0", "--no-self-test", "--state-folder", str(tmp_path / "state"), *bare) == 0
    said, _, later = capsys.readouterr().out.partition("looking for sensors")
    for complaint in (
        "the claim is not whole; copy it again",
        "'Harbour Line' cannot be a name",
        "device cannot be empty",
        "'a..b' cannot be a computer's name",
        "is no HOST:PORT",
    ):
        assert complaint in said
        assert complaint not in later
    found = tomllib.loads((tmp_path / "edge.toml").read_text(encoding="utf-8"))
    assert found["broker"]["host"] == "mqtt.example.org"


@pytest.mark.parametrize("claim", ["pwclaim1.!!!!", ""])
def test_a_claim_that_is_none_is_said_before_anything_is_looked_for(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str], claim: str
) -> None:
    assert setup(tmp_path, "--yes", "--watch", "0", "--no-self-test", "--claim", claim, *bare) == 1
    said = capsys.readouterr()
    assert "claim" in said.err
    assert "looking for sensors" not in said.out


@pytest.mark.parametrize("option", ["--watch", "--seconds"])
@pytest.mark.parametrize("said", ["nan", "-inf", "inf", "-1", "x"])
def test_a_time_that_is_none_is_refused(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str], option: str, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        setup(tmp_path, "--yes", *WHO, *bare, f"{option}={said}")
    assert ended.value.code == 2
    assert f"argument {option}: " in capsys.readouterr().err


def test_ctrl_d_ends_set_up_at_the_table_too(tmp_path: Path, bare: list[str]) -> None:
    ours, theirs = os.openpty()
    where = ["--config", str(tmp_path / "edge.toml"), "--no-unit", "--no-self-test", *WHO, *bare]
    words = [sys.executable, "-m", "pledgewatch_edge", "setup", "--state-folder", str(tmp_path / "state"), *where]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 4_096):
                said += chunk
                if b"4.12" in chunk:
                    os.write(ours, b"\x04")
        assert process.wait(10) == 2, said
    os.close(ours)
    assert b"nobody answers" in said
    assert b"probes [1]" not in said


class Silent:
    """A stick that is plugged in and says nothing, on a board with a probe."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(finding, "LISTEN_S", 0.01)
        patch.setattr("pledgewatch_edge.sensors.baud_search.LISTEN_S", 0.01)
        self.folder, self.options = folder, one_probe(folder)
        self.line = folder / "dev" / "ttyACM0"
        self._ends = os.openpty()
        self.line.symlink_to(os.ttyname(self._ends[1]))

    def fitted(self, *options: str) -> int:
        more = ["--watch", "0", "--no-self-test", "--state-folder", str(self.folder / "state"), *WHO]
        return setup(self.folder, *more, *self.options, *options)

    def close(self) -> None:
        for one in self._ends:
            os.close(one)


@pytest.fixture
def silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Silent]:
    one = Silent(tmp_path, monkeypatch)
    yield one
    one.close()


def document(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "edge.toml").read_text(encoding="utf-8"))


def test_a_receiver_that_is_plugged_in_and_silent_is_not_left_out_by_a_script(
    tmp_path: Path, silent: Silent, capsys: pytest.CaptureFixture[str]
) -> None:
    assert silent.fitted("--yes") == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{silent.line}: no receiver is heard at any usual speed; nothing was written.")
    assert "--gps none leaves it out" in said
    assert not (tmp_path / "edge.toml").exists()


@pytest.mark.parametrize("option", [("--gps", "none"), ("--without", "gps")])
def test_a_script_says_that_a_silent_line_is_to_be_left_out(
    tmp_path: Path, silent: Silent, option: tuple[str, str]
) -> None:
    assert silent.fitted("--yes", *option) == 0
    assert "gps" not in document(tmp_path)


def test_a_silent_line_beside_a_receiver_is_none_of_its(tmp_path: Path, silent: Silent) -> None:
    """RS-485 on the header, and a receiver behind gpsd."""

    async def fitted() -> int:
        async with Gpsd() as gpsd:
            return await asyncio.to_thread(silent.fitted, "--yes", "--gpsd", f"127.0.0.1:{gpsd.port}")

    assert asyncio.run(fitted()) == 0
    assert document(tmp_path)["gpsd"]


def test_the_line_of_a_modbus_device_is_none_of_a_receivers(
    tmp_path: Path, silent: Silent, capsys: pytest.CaptureFixture[str]
) -> None:
    registers = '[[registers]]\nchannel = "temperature_mc"\naddress = 0\n'
    (tmp_path / "reefer.toml").write_text(registers, encoding="utf-8")
    modbus = f'[modbus]\nline = "{silent.line}"\nmap = "reefer.toml"\n'
    (tmp_path / "edge.toml").write_text(modbus, encoding="utf-8")
    assert silent.fitted("--yes", "--probes", "none") == 0
    assert str(silent.line) not in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 1)])
def test_somebody_is_asked_whether_a_silent_line_is_left_out(
    tmp_path: Path,
    silent: Silent,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    code: int,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"\n{answer}\n\nyes\n"))
    assert silent.fitted() == code
    said = capsys.readouterr()
    assert "'' is neither; say yes or no" in said.out, "Enter alone leaves nothing out"
    assert ("nothing was written" in said.err) == (code == 1)
    assert (tmp_path / "edge.toml").exists() == (code == 0)


def test_a_bus_that_hangs_is_not_left_out_by_a_script(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dev" / "i2c-7").touch()
    goes_on = threading.Event()

    def bus(_: int) -> object:
        goes_on.wait(60)
        raise OSError("the bus is gone")

    monkeypatch.setattr("smbus2.SMBus", bus)
    monkeypatch.setattr(finding, "ANSWER_S", 0.1)
    options = ["--yes", "--watch", "0", "--no-self-test", "--state-folder", str(tmp_path / "state"), *WHO, *bare]
    without = ["--without", "sht3x", "--without", "adxl345"]
    assert setup(tmp_path, *options) == 1
    said = capsys.readouterr().err
    assert said.startswith("i2c-7: hangs, and nothing on it is found")
    assert f"{' '.join(without)} leaves it out" in said
    assert setup(tmp_path, *options, *without[:2]) == 1
    assert setup(tmp_path, *options, *without) == 0
    goes_on.set()


def test_of_several_receivers_each_stands_with_what_it_said(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n\nyes\n"))

    async def fitted(gpsd: Gpsd) -> int:
        where = ["--gpsd", f"127.0.0.1:{gpsd.port}", "--state-folder", str(tmp_path / "state")]
        done = asyncio.create_task(
            asyncio.to_thread(setup, tmp_path, "--watch", "1.5", "--no-self-test", *WHO, *bare, *where)
        )
        while not done.done():
            gpsd.say(sky(), tpv(time.time_ns() // 1_000_000, 33.7, -118.2, speed=0.0))
            await asyncio.sleep(0.1)
        return await done

    async def told() -> int:
        async with Gpsd() as gpsd:
            code = await fitted(gpsd)
            assert f"  1 127.0.0.1:{gpsd.port}  33.70000°, -118.20000°, satellites 8" in capsys.readouterr().out
            return code

    assert asyncio.run(told()) == 0


def test_contacts_are_asked_for_where_there_is_a_chip_alone(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\nyes\n"))
    options = ["--watch", "0", "--no-self-test", "--state-folder", str(tmp_path / "state"), *WHO]
    assert setup(tmp_path, *options, *bare) == 0
    assert "contacts [" not in capsys.readouterr().out


@pytest.mark.parametrize(("columns", "typed"), [(40, b"\n"), (110, b"what is this\n")])
def test_enter_at_the_table_leaves_each_row_once(tmp_path: Path, bare: list[str], columns: int, typed: bytes) -> None:
    """As one looks at it: what is typed moves no cursor while the table stands, and is seen again afterwards."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    before = termios.tcgetattr(theirs)
    where = ["--config", str(tmp_path / "edge.toml"), "--no-unit", "--no-self-test", *WHO, *bare]
    words = [sys.executable, "-m", "pledgewatch_edge", "setup", "--state-folder", str(tmp_path / "state"), *where]
    size = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=size) as process:
        said = b""
        for until, answer in ((b"4.12", typed), (b"probes [1]", b"\x04")):
            while until not in said:
                said += os.read(ours, 4_096)
            os.write(ours, answer)
        shown = Screen(40, said.decode()).shown
        assert process.wait(30) == 2
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
    assert [row.split() for row in shown if row.startswith("  onewire")] == [
        ["onewire", "28-0316a2794e2f", "4.12", "°C"]
    ]
    assert max(map(len, shown)) < columns


def test_lines_are_parted_between_words_and_values_alone() -> None:
    question = (
        f"Which receiver?\n  1 /dev/serial/by-id/a-receiver-of-a-long-name  {kept('33.74000°, satellites 12', 30)}"
    )
    assert folded(question, 30).splitlines() == [
        "Which receiver?",
        "  1",
        "    /dev/serial/by-id/a-receiver-of-a-long-name",
        "    33.74000°, satellites 12",
    ]
    assert folded(question, None) == question.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (
            60,
            [
                "  ok       sensor host  disk free 58481 MiB,",
                "                        clock offset 6 ms",
                "  MISSING  broker b     Connection refused",
                "                        cure: is the broker b running at",
                "                        this port?",
            ],
        ),
        (
            39,
            [
                "  ok       sensor host",
                "    disk free 58481 MiB,",
                "    clock offset 6 ms",
                "  MISSING  broker b",
                "    Connection refused",
                "    cure: is the broker b running at",
                "    this port?",
            ],
        ),
    ],
)
def test_steps_on_a_narrow_terminal(columns: int, lines: list[str]) -> None:
    steps = [
        Step("sensor host", is_done=True, said="disk free 58481 MiB, clock offset 6 ms"),
        Step("broker b", is_done=False, said="Connection refused", cure="is the broker b running at this port?"),
    ]
    assert in_words(steps, columns) == lines
    assert max(map(len, lines)) <= columns
