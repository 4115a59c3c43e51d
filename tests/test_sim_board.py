"""A board to practise set-up on, as whoever has no Pi uses it: the simulator in one process, set-up beside it."""

import asyncio
import contextlib
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from sensor_worlds import clock

from pledgewatch_edge.__main__ import main
from pledgewatch_edge.sensors.modbus import ModbusSettings
from pledgewatch_sim.__main__ import main as sim
from pledgewatch_sim.board import PROBES, STICK
from pledgewatch_wire.reading import Channel

WHO = ["--operator", "harbour-line", "--device", "cont-0417", "--broker", "127.0.0.1:1"]


@contextlib.asynccontextmanager
async def played(folder: Path, *options: str, ending: signal.Signals = signal.SIGINT) -> AsyncIterator[str]:
    """The board, and what it says of itself; begun as by a shell that runs it beside itself."""
    program = [sys.executable, "-m", "pledgewatch_sim", "board", str(folder), *options]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            said = (await process.stdout.readuntil(b"is light in it.\n")).decode()
        yield said
        process.send_signal(ending)
        async with asyncio.timeout(60):
            assert await process.wait() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def leads_to(line: Path) -> str:
    return str(line.readlink()) if line.is_symlink() else ""


async def there(line: Path) -> str:
    """Where a line leads to, once it is there."""
    async with asyncio.timeout(20):
        while not (port := leads_to(line)):
            await asyncio.sleep(0.02)
    return port


@pytest.mark.parametrize("has_gpsd", [False, True], ids=["line", "gpsd"])
async def test_set_up_finds_what_the_board_says_it_has(tmp_path: Path, *, has_gpsd: bool) -> None:
    folder = tmp_path / "board"
    async with played(folder, *(["--has-gpsd"] if has_gpsd else [])) as said:
        command, controller = said.split("\n\n")[1], said.split("\n\n")[3]
        program, *options = command.replace("\\\n", "").split()
        assert program == "pledgewatch-edge"
        unasked = ["--yes", "--no-self-test", "--watch", "2", *WHO]
        assert await asyncio.to_thread(main, [*options, *unasked]) == 0
        file = folder / "edge.toml"
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        assert document["onewire"]["probes"] == list(PROBES)
        assert ("gps" in document, "gpsd" in document) == (not has_gpsd, has_gpsd)
        assert has_gpsd or document["gps"]["port"].endswith(STICK)
        file.write_text(f"{file.read_text(encoding='utf-8')}\n{controller}\n", encoding="utf-8")
        assert main(["run", "--check", "--config", str(file)]) == 0
        one = tomllib.loads(controller)["modbus"]
        settings = ModbusSettings(map=folder / one["map"], host=one["host"], port=one["port"], interval_s=0.05)
        async with asyncio.timeout(60), aclosing(settings.sensor(clock()).samples()) as samples:
            for is_open in (False, True, False):
                (folder / "door").touch() if is_open else (folder / "door").unlink(missing_ok=True)
                await anext(samples)
                found = {cell.channel: cell.value for cell in (await anext(samples)).cells}
                assert (found[Channel.DOOR_OPEN], found[Channel.LIGHT_PRESENT]) == (is_open, 0)
                assert 4_400 <= found[Channel.TEMPERATURE_7_MC] <= 5_600


def test_a_folder_that_cannot_be_one_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert sim(["board", str(tmp_path / "file" / "board")]) == 2
    assert "cannot be used: Not a directory" in capsys.readouterr().err


async def test_a_second_board_in_a_folder_is_refused_and_the_first_keeps_its_line(
    tmp_path: Path,
) -> None:
    line = tmp_path / "dev" / "serial" / "by-id" / STICK
    async with played(tmp_path):
        port = await there(line)
        for options in ([], ["--has-gpsd"]):
            program = [sys.executable, "-m", "pledgewatch_sim", "board", str(tmp_path), *options]
            second = await asyncio.to_thread(subprocess.run, program, capture_output=True, text=True, timeout=20)
            assert second.returncode == 2
            assert f"{tmp_path} cannot be used: another board is in it" in second.stderr
        assert leads_to(line) == port
    async with played(tmp_path, ending=signal.SIGTERM):
        assert await there(line), "who was there before is gone"
    assert not leads_to(line)


async def test_what_it_says_can_be_pasted_whatever_the_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "my board's $HOME"
    async with played(folder) as said:
        words = shlex.split(said.split("\n\n")[1].replace("\\\n", ""))
        named = dict(zip(words[2::2], words[3::2], strict=False))
        assert named["--devices"] == f"{folder}/dev"
        assert named["--one-wire"] == f"{folder}/w1"
        assert named["--config"] == f"{folder}/edge.toml"
        assert named["--state-folder"] == f"{folder}/state"
        touch, remove = (shlex.split(part) for part in said.split("`")[1::2])
        assert (touch, remove) == (["touch", f"{folder}/door"], ["rm", f"{folder}/door"])


def ports(said: str) -> list[str]:
    """What somebody pastes: gpsd's address, and the section of the controller."""
    return [word for word in said.split() if word.startswith("127.0.0.1:")] + [said.split("\n\n")[3]]


@pytest.mark.parametrize("spoiled", [None, b"", b"1 -7", b"\xff 99999999"])
async def test_what_was_pasted_holds_after_the_next_start(tmp_path: Path, spoiled: bytes | None) -> None:
    async with played(tmp_path) as said:
        before = ports(said)
        (tmp_path / "reefer.toml").write_text("# mine\n", encoding="utf-8")
    if spoiled is not None:
        (tmp_path / "board.ports").write_bytes(spoiled)
    async with played(tmp_path) as said:
        assert (ports(said) == before) == (spoiled is None)
    assert (tmp_path / "reefer.toml").read_text(encoding="utf-8") == "# mine\n"


async def test_a_port_that_another_program_has_taken_meanwhile_is_another(tmp_path: Path) -> None:
    async with played(tmp_path) as said:
        gpsd, controller = ports(said)
    with socket.create_server(("127.0.0.1", int(gpsd.split(":")[1]))):
        async with played(tmp_path) as said:
            assert ports(said)[0] != gpsd
            assert ports(said)[1] == controller
