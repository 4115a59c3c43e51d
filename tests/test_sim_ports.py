"""Bytes over real ptys: the port, the receiver that speaks through it, and recorded logs played over it."""

import asyncio
import contextlib
import errno
import os
import socket
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pynmea2
import pytest
from needed import DATA, needs

from pledgewatch_sim import programs
from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.play import cycles, play
from pledgewatch_sim.programs import free_port
from pledgewatch_sim.pty_port import PtyPort
from pledgewatch_sim.receiver import METRES_PER_DEGREE, Position, Receiver, ReceiverFaults, ReceiverSettings
from pledgewatch_sim.voyage import distance_m

PATIENCE_S = 60.0
GIVEN_TO_WHO_CONNECTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
EVERY_BYTE = bytes(range(256))
BERTH = Position(33.73, -118.26, 0.0, 0.0)


class Reader:
    """Whoever has the port open: everything it has read, and whether the port has hung up."""

    def __init__(self, path: Path) -> None:
        self.data = bytearray()
        self.hung_up = False
        self._news = asyncio.Event()
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._descriptor, self._take)

    def _take(self) -> None:
        try:
            found = os.read(self._descriptor, 1_000)
        except OSError as error:
            if error.errno != errno.EIO:  # how Linux says that the other end is gone
                raise
            found = b""
        if not found:
            self.hung_up = True
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self.data += found
        self._news.set()

    async def until(self, count: int) -> bytes:
        """The first `count` bytes, once they are there; fewer where the port hangs up."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.data) < count and not self.hung_up:
                self._news.clear()
                await self._news.wait()
        return bytes(self.data[:count])

    def mode(self) -> list[int]:
        """Input, output, control and local modes of the port."""
        return [int(flags) for flags in termios.tcgetattr(self._descriptor)[:4]]

    def close(self) -> None:
        """Leave the port."""
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)


@contextlib.asynccontextmanager
async def reading(path: Path) -> AsyncIterator[Reader]:
    """A reader, for as long as it is wanted."""
    reader = Reader(path)
    try:
        yield reader
    finally:
        reader.close()


async def test_every_byte_goes_through_unchanged() -> None:
    async with PtyPort() as port, reading(port.path) as reader:
        input_modes, output_modes, _, local_modes = reader.mode()
        assert not output_modes & termios.OPOST
        assert not input_modes & (termios.ICRNL | termios.IXON | termios.ISTRIP)
        assert not local_modes & (termios.ECHO | termios.ICANON | termios.ISIG)
        port.write(EVERY_BYTE)
        assert await reader.until(256) == EVERY_BYTE


async def test_nothing_is_kept_for_who_comes_late() -> None:
    async with PtyPort() as port:
        port.write(b"before anybody came")
        assert port.dropped_bytes == 19
        async with reading(port.path) as reader:
            port.write(b"first")
            assert await reader.until(5) == b"first"
        port.write(b"after")
        assert port.dropped_bytes == 24
        async with reading(port.path) as reader:
            port.write(b"again")
            assert await reader.until(5) == b"again"


async def test_a_reader_that_stops_reading_loses_bytes_and_stops_nobody() -> None:
    async with PtyPort() as port:
        sleeper = os.open(port.path, os.O_RDWR | os.O_NOCTTY)
        try:
            for _ in range(300):
                port.write(EVERY_BYTE * 4)
            assert 0 < port.dropped_bytes < 300 * 1_024
        finally:
            os.close(sleeper)


async def test_unplugged_and_plugged_in_again(tmp_path: Path) -> None:
    link = tmp_path / "gps"
    async with PtyPort(link) as port:
        assert port.path == link
        first = link.readlink()
        async with reading(port.path) as reader:
            port.write(b"one")
            await reader.until(3)
            port.unplug()
            assert not port.plugged
            assert not link.is_symlink()
            await reader.until(4)
            assert reader.hung_up
            port.write(b"into the air")
            with pytest.raises(OSError, match="unplugged"):
                await port.write_all(b"x")
            port.unplug()  # once is enough, twice does no harm
            port.plug()
            second = link.readlink()
            assert second != first, "the old one is still held open"
            port.plug()
            assert link.readlink() == second, "plugged in twice is plugged in"
        async with reading(port.path) as reader:
            port.write(b"two")
            assert await reader.until(3) == b"two"
    assert not link.is_symlink()
    assert not port.plugged


async def test_waiting_for_a_reader() -> None:
    async with PtyPort() as port:
        waiting = asyncio.create_task(port.wait_for_reader())
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        async with reading(port.path):
            await asyncio.wait_for(waiting, PATIENCE_S)
        waiting = asyncio.create_task(port.wait_for_reader())
        port.unplug()
        with pytest.raises(OSError, match="unplugged"):
            await asyncio.wait_for(waiting, PATIENCE_S)


async def test_drained_is_when_the_last_byte_has_been_read() -> None:
    async with PtyPort() as port:
        slave = os.open(port.path, os.O_RDWR | os.O_NOCTTY)
        try:
            await port.write_all(EVERY_BYTE * 40)  # more than fits into one of the kernel's two places
            draining = asyncio.create_task(port.drain())
            left = 40 * 256
            while left > 1:
                left -= len(os.read(slave, min(left - 1, 500)))
            done, _ = await asyncio.wait([draining], timeout=0.1)
            assert not done, "one byte has not been read"
            os.read(slave, 1)
            await asyncio.wait_for(draining, PATIENCE_S)
        finally:
            os.close(slave)


def receiver(port: PtyPort, settings: ReceiverSettings, seed: int = 1) -> Receiver:
    """A receiver at a berth in Los Angeles, at a clock that stands still."""
    clock = SimulationClock(1_700_000_000_000, 1.0, anchor_ms=0, real_now_ms=lambda: 0)
    return Receiver(clock, lambda _: BERTH, port, Random(seed), settings)


def rmc_of(said: bytes) -> pynmea2.RMC:
    """The RMC sentence of a cycle."""
    sentences = [pynmea2.parse(line, check=True) for line in said.decode("ascii").splitlines()]
    return next(one for one in sentences if one.sentence_type == "RMC")


def test_it_starts_cold() -> None:
    speaker = receiver(PtyPort(), ReceiverSettings(cycles_to_time=2, cycles_to_fix=5))
    said = [rmc_of(speaker.speak(second * 1_000)) for second in range(7)]
    assert [one.timestamp is not None for one in said] == [False, False, True, True, True, True, True]
    assert [one.status for one in said] == ["V", "V", "V", "V", "V", "A", "A"]


def test_its_error_wanders_and_stays_small() -> None:
    speaker = receiver(PtyPort(), ReceiverSettings(cycles_to_fix=0, cycles_to_time=0, spread_m=3.0))
    places = [rmc_of(speaker.speak(second * 1_000)) for second in range(2_000)]
    east = [(one.longitude - BERTH.longitude) * METRES_PER_DEGREE * 0.8317 for one in places]
    north = [(one.latitude - BERTH.latitude) * METRES_PER_DEGREE for one in places]
    for errors in (east, north):
        spread_m = (sum(error**2 for error in errors) / len(errors)) ** 0.5
        assert 2.0 < spread_m < 4.0
        assert max(map(abs, errors)) <= 12.1
        steps = [abs(other - one) for one, other in pairwise(errors)]
        assert sum(steps) / len(steps) < 1.5, "it wanders; it does not leap"


def test_at_180_degrees_it_wanders_to_the_other_side() -> None:
    clock = SimulationClock(0, 1.0, anchor_ms=0, real_now_ms=lambda: 0)
    settings = ReceiverSettings(cycles_to_fix=0, cycles_to_time=0, spread_m=30.0)
    speaker = Receiver(clock, lambda _: Position(10.0, 180.0, 0.0, 0.0), PtyPort(), Random(3), settings)
    places = [rmc_of(speaker.speak(0)) for _ in range(300)]
    assert {one.lon_dir for one in places} == {"E", "W"}
    for one in places:
        assert distance_m((one.longitude, one.latitude), (180.0, 10.0)) < 30.0 * 4 * 1.42


def test_the_same_seed_gives_the_same_bytes() -> None:
    faults = ReceiverFaults(garbage=0.2, flipped_bit=0.2, cut_sentence=0.2, lost_fix=0.05)
    settings = ReceiverSettings(faults=faults)

    def told(seed: int) -> list[bytes]:
        speaker = receiver(PtyPort(), settings, seed)
        return [speaker.speak(second * 1_000) for second in range(100)]

    assert told(1) == told(1)
    assert told(1) != told(2)


def well_formed(lines: Iterator[bytes]) -> int:
    """How many lines a parser takes."""
    count = 0
    for line in lines:
        with contextlib.suppress(pynmea2.ParseError, UnicodeDecodeError):
            pynmea2.parse(line.decode("ascii"), check=True)
            count += 1
    return count


@pytest.mark.parametrize(
    "faults",
    [ReceiverFaults(garbage=1.0), ReceiverFaults(flipped_bit=1.0), ReceiverFaults(cut_sentence=1.0)],
    ids=["garbage", "flipped bit", "cut sentence"],
)
def test_a_fault_spoils_a_sentence_and_not_the_cycle(faults: ReceiverFaults) -> None:
    whole = receiver(PtyPort(), ReceiverSettings(cycles_to_fix=0, cycles_to_time=0))
    settings = ReceiverSettings(cycles_to_fix=0, cycles_to_time=0, faults=faults)
    faulty = receiver(PtyPort(), settings)
    good = len(whole.speak(0).splitlines())
    for _ in range(200):
        count = well_formed(iter(faulty.speak(0).split(b"\r\n")))
        assert good - 3 <= count <= good
    assert well_formed(iter(b"".join(faulty.speak(0) for _ in range(200)).split(b"\r\n"))) < 200 * good


def test_a_lost_fix_comes_back() -> None:
    settings = ReceiverSettings(cycles_to_fix=0, cycles_to_time=0, faults=ReceiverFaults(lost_fix=0.02))
    speaker = receiver(PtyPort(), settings)
    fixes = "".join(rmc_of(speaker.speak(0)).status for _ in range(500))
    runs = [len(run) for run in fixes.strip("V").replace("A", " ").split()]
    assert min(runs) == 5, "a loss may begin while another lasts, but none is shorter than it should be"
    assert fixes.count("A") > fixes.count("V")


async def test_a_receiver_speaks_through_its_port() -> None:
    async with PtyPort() as port, reading(port.path) as reader:
        settings = ReceiverSettings(interval_s=0.01, cycles_to_time=0, cycles_to_fix=0)
        expected = receiver(port, settings)
        speaking = asyncio.create_task(receiver(port, settings).run())
        try:
            wanted = b"".join(expected.speak(1_700_000_000_000) for _ in range(10))
            assert await reader.until(len(wanted)) == wanted
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)


def log_of(cycles_wanted: int) -> bytes:
    """A log with everything in it that a terminal would like to change."""
    lines = [b"\r\n\x03\x11\x13\x04\x7f\xff\x00 noise\n"]
    for second in range(cycles_wanted):
        lines.append(b"$GPRMC,12%02d%02d.00,A,5057.970,N,00146.110,E,1.0,2.0,010124,,,A*00\r\n" % divmod(second, 60))
        lines.append(b"$GPGGA,12%02d%02d.00,5057.970,N,00146.110,E,1,04,1.0,2.0,M,,M,,*00\n" % divmod(second, 60))
    return b"".join(lines) + b"$GPGLL,5057"


def test_a_cycle_is_what_has_one_time_of_day() -> None:
    data = log_of(5)
    found = list(cycles(data))
    assert b"".join(found) == data
    assert [one.count(b"RMC") for one in found] == [1] * 5
    assert list(cycles(b"no time at all")) == [b"no time at all"]
    assert list(cycles(b"")) == [b""]
    gll = b"$GPGLL,5057.970,N,00146.110,E,142451,A*27\r\n$GNGLL,5057.970,N,00146.110,E,142452,A*3A\r\n"
    assert [len(one) for one in cycles(gll)] == [43, 43]
    midnight = b"$GPZDA,235959.00,31,12,2023,00,00*00\n$GPZDA,000000.00,01,01,2024,00,00*00\n"
    assert len(list(cycles(midnight))) == 2


async def test_a_log_arrives_byte_for_byte(tmp_path: Path) -> None:
    data = log_of(3_000)
    log = tmp_path / "log.nmea"
    log.write_bytes(data)
    async with PtyPort() as port, reading(port.path) as reader:
        assert await play(log, port, speed=0) == len(data)
        assert reader.data == data, "all of it has been read when play returns"
        assert not reader.hung_up


async def test_a_log_is_played_cycle_by_cycle(tmp_path: Path) -> None:
    log = tmp_path / "log.nmea"
    log.write_bytes(log_of(11))
    loop = asyncio.get_running_loop()
    async with PtyPort() as port, reading(port.path) as reader:
        began = loop.time()
        await play(log, port, speed=50.0)
        assert loop.time() - began >= 11 / 50
        assert reader.data == log.read_bytes()


def played(log: Path, *options: str) -> tuple[subprocess.Popen[bytes], Path]:
    """`pledgewatch-sim play`, and the port that it says."""
    command = [sys.executable, "-m", "pledgewatch_sim", "play", str(log), *options]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None
    return program, Path(program.stdout.readline().decode().strip())


def read_to_its_end(path: Path) -> bytes:
    """All that a port says until it hangs up."""
    data = bytearray()
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        while found := os.read(descriptor, 65_536):
            data += found
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    finally:
        os.close(descriptor)
    return bytes(data)


@pytest.mark.parametrize(
    ("wait", "capture"),
    [(True, None), pytest.param(False, "nmea-gpsd/bu353s4.log", marks=needs("nmea-gpsd/bu353s4.log"))],
)
def test_the_program_plays_a_log_and_loses_nothing(tmp_path: Path, wait: bool, capture: str | None) -> None:
    log = tmp_path / "log.nmea"
    log.write_bytes(log_of(800) if capture is None else (DATA / capture).read_bytes())
    options = ["--speed", "0", "--link", str(tmp_path / "gps"), *(["--wait"] if wait else [])]
    program, path = played(log, *options)
    with program:
        assert path == tmp_path / "gps"
        assert read_to_its_end(path) == log.read_bytes()
        assert program.wait(PATIENCE_S) == 0
    assert not path.is_symlink()


def test_the_program_says_what_it_cannot_play(tmp_path: Path) -> None:
    program, _ = played(tmp_path / "nowhere.log", "--speed", "0")
    with program:
        assert program.wait(PATIENCE_S) == 2
        assert program.stderr is not None
        assert (
            program.stderr.read().decode()
            == f"{tmp_path / 'nowhere.log'} cannot be played: No such file or directory\n"
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--speed", "nan"), "argument --speed: nan is not from 0 to 1e+06"),
        (("--speed", "-1"), "argument --speed: -1 is not from 0 to 1e+06"),
        (("--link", "{folder}/none/gps"), "{folder}/none/gps cannot be played: No such file or directory"),
    ],
)
def test_an_option_that_cannot_be_is_named(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    log = tmp_path / "some.log"
    log.write_bytes(log_of(1))
    command = [
        sys.executable,
        "-m",
        "pledgewatch_sim",
        "play",
        str(log),
        *(one.format(folder=tmp_path) for one in options),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(words.format(folder=tmp_path) + "\n")
    assert "Traceback" not in done.stderr


def test_a_file_in_the_place_of_the_link_is_not_touched(tmp_path: Path) -> None:
    precious = tmp_path / "gps"
    precious.write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError, match="choose a name that is free"):
        PtyPort(precious).plug()
    assert precious.read_text(encoding="utf-8") == "precious"


def test_a_free_port_is_taken_by_nobody_and_becomes_nobodys_end_of_a_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lowest = int(GIVEN_TO_WHO_CONNECTS.read_text(encoding="ascii").split()[0])
    found = {free_port() for _ in range(50)}
    assert max(found) < lowest
    assert len(found) > 25, "two that ask at once get two"
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(programs, "_PORTS", (taken, min(found)))
        monkeypatch.setattr(programs, "_PORTS_TRIED", 2)
        assert {free_port() for _ in range(10)} == {min(found)}
        monkeypatch.setattr(programs, "_PORTS", (taken, taken))
        with pytest.raises(OSError, match="none of 2 ports"):
            free_port()
