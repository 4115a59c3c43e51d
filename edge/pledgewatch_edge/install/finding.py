"""What is on a board: receivers on serial lines, probes, chips on I²C, GPIO chips, gpsd.

Whatever answers is asked in the words of its own sensor: a serial line is a receiver's when what comes has right
checksums at one of the usual speeds (baud_search.py), an SHT3x is what gives a measurement with right CRCs, an ADXL345
what calls itself one. Nothing is asked at other addresses than those that these chips can have.

A serial line is named by what is plugged in (`serial/by-id`), where the kernel knows that: ttyUSB0 is another stick
after the next power cut. Left alone are the kernel's console, on which somebody may be logged in, what a Pi calls
serial1, which is its Bluetooth, and what another program has: gpsd is asked for its lines before any is opened, and a
program that has one for itself (TIOCEXCL) is seen, for root is let in all the same. Looking leaves a line at the speed
at which it was.
"""

import asyncio
import contextlib
import errno
import fcntl
import importlib
import os
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pledgewatch_edge.install import cures
from pledgewatch_edge.sensors import SensorSettings, needed
from pledgewatch_edge.sensors.adxl345 import DEVICE_ID, Adxl345Settings, identity_at
from pledgewatch_edge.sensors.baud_search import LISTEN_S, BaudSearch
from pledgewatch_edge.sensors.gps import GpsSettings
from pledgewatch_edge.sensors.gpsd import LINE_MAX_BYTES, GpsdSettings, report_of
from pledgewatch_edge.sensors.i2c import ANSWER_S, I2cBus, SmbusBus
from pledgewatch_edge.sensors.onewire import OneWireSettings
from pledgewatch_edge.sensors.own_thread import OwnThread
from pledgewatch_edge.sensors.serial_port import PortLostError, SerialPort
from pledgewatch_edge.sensors.sht3x import Sht3xSettings, measured_once
from pledgewatch_wire.reading import Quality

THERMOMETERS: Final = ("10", "22", "28", "3b", "42")
"""Families of one-wire thermometers that the kernel's w1_therm reads."""
SHT3X_AT: Final = (0x44, 0x45)
ADXL345_AT: Final = (0x53, 0x1D)
GPSD_WAIT_S: Final = 2.0
HELD: Final = "another program has the line"
_PORTS: Final = ("serial/by-id/*", "serial0", "ttyUSB*", "ttyACM*", "ttyAMA*")
_TIOCGEXCL: Final = 0x80045440  # asm-generic; Python 3.11 has no name for it


class Board(NamedTuple):
    """Where the devices of a board are."""

    devices: Path = Path("/dev")
    one_wire: Path = Path("/sys/bus/w1/devices")
    consoles: Path = Path("/sys/class/tty/console/active")
    gpsd_host: str = "127.0.0.1"
    gpsd_port: int = 2_947
    lines_of_others: frozenset[Path] = frozenset()
    """Serial lines that are known to be no receiver's, where their links lead."""


class Found(NamedTuple):
    """Something that is there: the section of a configuration that it would be, what tells it apart, and the settings
    that measure it; None where nothing can be measured yet, and `note` says why. `lines` is how many a GPIO chip
    has."""

    section: str
    place: str
    settings: SensorSettings | None
    note: str = ""
    lines: int | None = None


async def find(board: Board) -> list[Found]:
    """All that is on a board. Takes as long as a serial line is silent at all usual speeds, and two seconds at most
    where none is; GPSD_WAIT_S more where gpsd's port is silent, and ANSWER_S more where a bus hangs in the kernel."""
    gpsd, its_lines = await _gpsd(board.gpsd_host, board.gpsd_port)
    others = its_lines | board.lines_of_others
    lines = await asyncio.to_thread(lambda: [one for one in serial_ports(board) if one.resolve() not in others])
    ports = await asyncio.gather(*(_heard(one) for one in lines))
    chips = await _chips(_buses(board.devices))
    probes, gpio = await asyncio.to_thread(lambda: (list(_probes(board.one_wire)), list(_gpio(board.devices))))
    return [*ports, *gpsd, *probes, *chips, *gpio]


def serial_ports(board: Board) -> list[Path]:
    """The lines on which a receiver may be, each once, by the best of its names."""
    left_alone = {(board.devices / "serial1").resolve()}
    with contextlib.suppress(OSError):
        names = board.consoles.read_text(encoding="ascii").split()
        left_alone |= {(board.devices / name).resolve() for name in names}
    found: dict[Path, Path] = {}
    for pattern in _PORTS:
        for port in sorted(board.devices.glob(pattern)):
            with contextlib.suppress(OSError):
                device = port.resolve(strict=True)
                if device not in left_alone:
                    found.setdefault(device, port)
    return list(found.values())


async def speed_of(port: Path) -> int | None:
    """The speed at which a receiver speaks on a line; None where nothing right is heard at any. Raises
    PortLostError, also where another program has the line for itself."""
    search = BaudSearch()
    with _kept(port), SerialPort(port, search.baud) as line:
        search.opened(time.monotonic())
        while not search.rounds:
            was = search.baud
            search.hear(await line.read(LISTEN_S), time.monotonic())
            if search.is_found:
                return search.baud
            if search.baud != was:
                line.set_baud(search.baud)
    return None


@contextlib.contextmanager
def _kept(port: Path) -> Iterator[None]:
    """Hold a line that no other program has for itself, and leave its settings as they were. Raises PortLostError."""
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise PortLostError(error.errno, error.strerror) from error
    try:
        if _is_held(descriptor):
            raise PortLostError(errno.EBUSY, os.strerror(errno.EBUSY))
        before = termios.tcgetattr(descriptor) if os.isatty(descriptor) else None
        try:
            yield
        finally:
            if before is not None:
                with contextlib.suppress(termios.error):  # it is gone
                    termios.tcsetattr(descriptor, termios.TCSANOW, before)
    finally:
        os.close(descriptor)


def _is_held(descriptor: int) -> bool:
    """Whether a program has a line for itself, which keeps others out of it, but not root."""
    try:
        return any(fcntl.ioctl(descriptor, _TIOCGEXCL, bytes(4)))
    except OSError:  # no terminal
        return False


async def _heard(port: Path) -> Found:
    try:
        baud = await speed_of(port)
    except PortLostError as error:
        is_held = error.errno in (errno.EBUSY, errno.EWOULDBLOCK)
        said = HELD if is_held else f"cannot be opened: {cures.in_words(error).removeprefix(f'{port}: ')}"
        return Found("gps", str(port), None, said)
    if baud is None:
        return Found("gps", str(port), None, "no receiver is heard at any usual speed")
    return Found("gps", str(port), GpsSettings(port=port), f"a receiver at {baud} baud")


async def _gpsd(host: str, port: int) -> tuple[list[Found], set[Path]]:
    """gpsd, where it is, and the lines of this computer that are its own."""
    version: Mapping[str, Any] = {}
    lines: set[Path] = set()
    # RecursionError is raised by brackets in brackets.
    with contextlib.suppress(OSError, TimeoutError, ValueError, RecursionError):
        async with asyncio.timeout(GPSD_WAIT_S):
            reader, writer = await asyncio.open_connection(host, port, limit=LINE_MAX_BYTES)
            try:
                version = report_of(await reader.readline())
                if version.get("class") == "VERSION":
                    lines = await _lines_of_gpsd(reader, writer)
            finally:
                writer.close()
    if version.get("class") != "VERSION":
        return [], set()
    note = f"gpsd {version.get('release', '')}".strip()
    return [Found("gpsd", f"{host}:{port}", GpsdSettings(host=host, port=port), note)], lines


async def _lines_of_gpsd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> set[Path]:
    """The devices that gpsd has, open or not; none where it runs on another computer, whose they are."""
    if writer.get_extra_info("peername")[0] != writer.get_extra_info("sockname")[0]:
        return set()
    writer.write(b"?DEVICES;\n")
    report: Mapping[str, Any] = {}
    while report.get("class") not in ("DEVICES", "ERROR"):
        report = report_of(await reader.readline())  # ValueError at its end
    return _paths(report.get("devices"))


def _paths(devices: object) -> set[Path]:
    """The paths that gpsd names, where their links lead."""
    found: set[Path] = set()
    for one in devices if isinstance(devices, list) else ():
        path = one.get("path") if isinstance(one, dict) else None
        if isinstance(path, str):
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # no path, or a ring of links
                found.add(Path(path).resolve())
    return found


def _probes(root: Path) -> Iterator[Found]:
    for family in THERMOMETERS:
        for path in sorted(root.glob(f"{family}-*")):
            with contextlib.suppress(ValueError):  # another thing of a like name
                yield Found("onewire", path.name, OneWireSettings(probes=(path.name,), root=root))


def _buses(devices: Path) -> list[int]:
    """The numbers of the I²C buses."""
    return sorted(int(name) for one in devices.glob("i2c-*") if (name := one.name.removeprefix("i2c-")).isdigit())


async def _chips(numbers: Sequence[int]) -> list[Found]:
    """The known chips on all buses. A bus that hangs in the kernel hangs a thread of its own, and is told."""
    try:
        if numbers:
            needed("smbus2", "i2c", "sht3x")
    except ValueError as error:
        return [Found("sht3x", f"i2c-{numbers[0]}", None, str(error))]
    return [one for some in await asyncio.gather(*map(_chips_of, numbers)) for one in some]


async def _chips_of(number: int) -> list[Found]:
    found = await OwnThread(f"i2c-{number}", lambda: list(_asked(number)), ANSWER_S).ask()
    if found is None:
        return [Found("sht3x", f"i2c-{number}", None, "hangs, and nothing on it is found; is SDA or SCL held to GND?")]
    return found


def _asked(number: int) -> Iterator[Found]:
    try:
        bus = SmbusBus(number)
    except OSError as error:
        yield Found("sht3x", f"i2c-{number}", None, f"cannot be opened: {cures.in_words(error)}")
        return
    with contextlib.closing(bus):
        yield from _chips_on(bus, number)


def _chips_on(bus: I2cBus, number: int) -> Iterator[Found]:
    for address in SHT3X_AT:
        with contextlib.suppress(OSError):
            if all(quality == Quality.GOOD for _, quality in measured_once(bus, address)):
                yield Found("sht3x", f"{number}:{address:#04x}", Sht3xSettings(bus=number, address=address))
    for address in ADXL345_AT:
        with contextlib.suppress(OSError):
            if identity_at(bus, address) == DEVICE_ID:
                yield Found("adxl345", f"{number}:{address:#04x}", Adxl345Settings(bus=number, address=address))


def _gpio(devices: Path) -> Iterator[Found]:
    """The GPIO chips. What is at their lines cannot be asked."""
    for path in sorted(devices.glob("gpiochip*")):
        try:
            needed("gpiod", "gpio", "contacts")
            gpiod: Any = importlib.import_module("gpiod")
            with gpiod.Chip(str(path)) as chip:
                about = chip.get_info()
        except ValueError as error:
            yield Found("contacts", str(path), None, str(error))
            return
        except OSError as error:
            yield Found("contacts", str(path), None, f"cannot be opened: {cures.in_words(error)}")
            continue
        yield Found("contacts", str(path), None, f"{about.num_lines} lines, {about.label}", about.num_lines)


def header_chip(found: Sequence[Found]) -> Found | None:
    """The chip that has a Pi's header, else the first; None where there is none."""
    chips = [one for one in found if one.section == "contacts"]
    return next((one for one in chips if ", pinctrl-" in one.note), chips[0] if chips else None)
