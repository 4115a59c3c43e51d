"""Looking at a board takes no line away from a program that has it, and leaves each as it was."""

import asyncio
import contextlib
import errno
import fcntl
import os
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from boards import SimulatedBoard

from pledgewatch_edge.install import finding
from pledgewatch_edge.install.finding import Board, find
from pledgewatch_edge.sensors.gpsd import GpsdSettings
from pledgewatch_sim.gpsd import Gpsd
from pledgewatch_sim.i2c import Adxl345, FakeSmbus, Sht3x


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedBoard]:
    one = SimulatedBoard(tmp_path, monkeypatch)
    one.start()
    yield one
    one.close()


class Line:
    """A line that nothing speaks on, which somebody has open at 115,200 baud."""

    def __init__(self, link: Path) -> None:
        self.ours, theirs = os.openpty()
        self.device = os.ttyname(theirs)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self.device)
        os.close(theirs)
        self.held = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.held)
        settings = termios.tcgetattr(self.held)
        settings[4] = settings[5] = termios.B115200
        termios.tcsetattr(self.held, termios.TCSANOW, settings)
        self.set_to = termios.tcgetattr(self.held)

    @property
    def is_as_it_was(self) -> bool:
        return termios.tcgetattr(self.held) == self.set_to

    @property
    def unread(self) -> bytes:
        """What came in and nobody else has taken."""
        try:
            return os.read(self.held, 4_096)
        except BlockingIOError:
            return b""


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(finding, "LISTEN_S", 0.01)
    monkeypatch.setattr("pledgewatch_edge.sensors.baud_search.LISTEN_S", 0.01)
    one = Line(tmp_path / "dev" / "ttyACM0")
    yield one
    os.close(one.held)
    os.close(one.ours)


async def test_a_line_of_gpsds_is_left_to_gpsd(tmp_path: Path, line: Line) -> None:
    """By whichever of its names gpsd has it, open or not: it opens a receiver when somebody asks for fixes."""
    os.write(line.ours, b"$GPGGA")
    async with Gpsd(line.device) as gpsd:
        found = await find(Board(tmp_path / "dev", tmp_path, gpsd_port=gpsd.port))
    assert [(one.section, one.settings) for one in found] == [("gpsd", GpsdSettings(port=gpsd.port))]
    assert line.is_as_it_was
    assert line.unread == b"$GPGGA"


async def test_a_line_that_a_program_has_for_itself_is_left_to_it(tmp_path: Path, line: Line) -> None:
    """As gpsd where it is not asked, or a modem's program: the kernel keeps others out, but not root."""
    fcntl.ioctl(line.held, termios.TIOCEXCL)
    os.write(line.ours, b"$GPGGA")
    [found] = await find(Board(tmp_path / "dev", tmp_path, gpsd_port=1))
    assert (found.note, found.settings) == ("another program has the line", None)
    assert line.is_as_it_was
    assert line.unread == b"$GPGGA"


async def test_a_line_that_another_program_of_pyserials_has_is_left_to_it(tmp_path: Path, line: Line) -> None:
    fcntl.flock(line.held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    [found] = await find(Board(tmp_path / "dev", tmp_path, gpsd_port=1))
    assert found.note == "another program has the line"
    assert line.is_as_it_was


async def test_a_silent_line_is_left_at_the_speed_at_which_it_was(tmp_path: Path, line: Line) -> None:
    [found] = await find(Board(tmp_path / "dev", tmp_path, gpsd_port=1))
    assert found.note == "no receiver is heard at any usual speed"
    assert line.is_as_it_was


async def test_a_line_that_may_not_be_opened_says_so_once_and_names_the_cure(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.open

    def refused(path: Path, flags: int, **others: int) -> int:
        if Path(path).name == "ttyACM0":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return really(path, flags, **others)

    monkeypatch.setattr(os, "open", refused)
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    [found] = await find(Board(tmp_path / "dev", tmp_path, gpsd_port=1))
    assert found.note == "cannot be opened: Permission denied; run this as root (sudo)"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nothing\r\n",
        b'{"class":"ERROR","message":"Unrecognized request"}\r\n',
        b'{"class":"DEVICES","devices":[7,{},{"path":"\\u0000"},{"path":"/dev/elsewhere"}]}\r\n',
    ],
)
async def test_a_gpsd_that_does_not_say_its_lines_is_one_all_the_same(
    tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(finding, "GPSD_WAIT_S", 1.0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"class":"VERSION","release":"3.25"}\r\n')
        assert await reader.readline() == b"?DEVICES;\n"
        writer.write(answer)
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await find(Board(tmp_path / "dev", tmp_path, gpsd_port=port))
    assert [one.section for one in found] == ["gps", "gpsd"]
    assert line.is_as_it_was


def test_a_receiver_is_heard_beside_a_gpsd_that_has_another(tmp_path: Path, board: SimulatedBoard) -> None:
    async def looked() -> list[str]:
        async with Gpsd() as gpsd:
            found = await find(Board(board.devices, tmp_path, gpsd_port=gpsd.port))
        return [one.section for one in found if one.section in {"gps", "gpsd"}]

    assert asyncio.run(looked()) == ["gps", "gpsd"]


@pytest.mark.parametrize(("sht3x", "adxl345"), [(0x44, 0x53), (0x45, 0x1D)])
def test_chips_are_found_at_both_of_their_addresses(
    tmp_path: Path, board: SimulatedBoard, monkeypatch: pytest.MonkeyPatch, sht3x: int, adxl345: int
) -> None:
    """The first of each is that of the wiring in docs/INSTALL.md: ADDR and SDO at GND."""
    monkeypatch.setattr("smbus2.SMBus", FakeSmbus({sht3x: Sht3x(4_250, 6_000), adxl345: Adxl345()}))
    found = asyncio.run(find(Board(board.devices, tmp_path, gpsd_port=1)))
    chips = [(one.section, one.place) for one in found if one.section in {"sht3x", "adxl345"}]
    assert chips == [("sht3x", f"1:{sht3x:#04x}"), ("adxl345", f"1:{adxl345:#04x}")]
