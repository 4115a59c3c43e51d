"""A board with everything plugged in: a receiver, two probes, two chips on a bus, a GPIO chip with a door."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from serial_line import SerialLine

from pledgewatch_edge.__main__ import main
from pledgewatch_sim.contacts import Contacts
from pledgewatch_sim.i2c import Adxl345, FakeSmbus, Sht3x
from pledgewatch_sim.nmea_writer import ReceiverState, cycle
from pledgewatch_sim.onewire import OneWireTree

PROBES = ("28-0316a2794e2f", "28-0316a27956b1")
STICK = "usb-u-blox_AG_u-blox_7-if00"
DOOR = 17


class SimulatedBoard:
    """Its folders, and what is behind them. The receiver speaks at 9600 baud, five times a second."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.devices, self.one_wire = folder / "dev", folder / "w1"
        (self.devices / "serial" / "by-id").mkdir(parents=True)
        self.stick = self.devices / "serial" / "by-id" / STICK
        self.has_fix = True
        self.line = SerialLine(self.stick, 9_600)
        os.set_blocking(self.line._ours, False)
        for name in ("i2c-1", "gpiochip0"):
            (self.devices / name).touch()
        self.one_wire.mkdir()
        self.tree = OneWireTree(self.one_wire, {PROBES[0]: lambda _: 4_062, PROBES[1]: lambda _: -18_500}, lambda: 0)
        self.tree.refresh()
        self.accelerometer = Adxl345()
        self.bus = FakeSmbus({0x44: Sht3x(4_250, 6_000), 0x53: self.accelerometer})
        patch.setattr("smbus2.SMBus", self.bus)
        self.contacts = Contacts({DOOR: True})
        patch.setattr("pledgewatch_edge.sensors.contacts.GpiodLines", self.contacts.open_lines)
        patch.setattr("gpiod.Chip", _chip)
        self._ends = threading.Event()
        self._speaking = threading.Thread(target=self._speak, daemon=True)

    @property
    def options(self) -> list[str]:
        """Where `setup` finds it."""
        return ["--devices", str(self.devices), "--one-wire", str(self.one_wire), "--gpsd", "127.0.0.1:1"]

    def start(self) -> None:
        """The receiver begins to speak, and the container to stand still."""
        self._speaking.start()

    def close(self) -> None:
        """Leave nothing open."""
        self._ends.set()
        self._speaking.join()
        self.line.close()

    def _speak(self) -> None:
        while not self._ends.wait(0.2):
            state = ReceiverState(
                time_ms=time.time_ns() // 1_000_000, has_fix=self.has_fix, latitude=33.7405, longitude=-118.2755,
                altitude_m=1.0, speed_mps=0.0, course_deg=0.0, satellites_used=8, satellites_in_view=9, hdop=0.9,
            )  # fmt: skip
            with contextlib.suppress(BlockingIOError, AssertionError):  # nobody reads now
                self.line.say(cycle(state))
            self.accelerometer.rest(20)


@contextlib.contextmanager
def _chip(path: str) -> Iterator[SimpleNamespace]:
    """What gpiod says of a chip."""
    assert path.endswith("gpiochip0")
    yield SimpleNamespace(get_info=lambda: SimpleNamespace(num_lines=54, label="pinctrl-bcm2835"))


def one_probe(folder: Path) -> list[str]:
    """A board with one probe in a folder: the options of `setup` that find it."""
    (folder / "dev").mkdir()
    probe = folder / "w1" / PROBES[0]
    probe.mkdir(parents=True)
    row = "72 01 4b 46 7f ff 0e 10 57"
    (probe / "w1_slave").write_text(f"{row} : crc=57 YES\n{row} t=4125\n", encoding="ascii")
    return ["--devices", str(folder / "dev"), "--one-wire", str(folder / "w1"), "--gpsd", "127.0.0.1:1"]


def setup(folder: Path, *options: str) -> int:
    """Run `setup` on a board in a folder."""
    where = ["--config", str(folder / "edge.toml"), "--unit-folder", str(folder / "units")]
    (folder / "units").mkdir(exist_ok=True)
    return main(["setup", *where, *options])
