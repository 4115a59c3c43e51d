"""Each kind of sensor in a world that can be taken away and given back, for what all sensors must keep."""

import asyncio
import contextlib
import os
import tty
from enum import Enum, auto
from pathlib import Path
from typing import Any

import pytest
from modbus_slave import Slave

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.sensor_contract import SensorWorld
from pledgewatch_edge.sensors import Sensor
from pledgewatch_edge.sensors.adxl345 import Adxl345Settings
from pledgewatch_edge.sensors.contacts import ContactsSensor, ContactsSettings, LineSettings
from pledgewatch_edge.sensors.gps import GpsSettings
from pledgewatch_edge.sensors.gpsd import GpsdSettings
from pledgewatch_edge.sensors.host import HostSettings
from pledgewatch_edge.sensors.modbus import ModbusSettings
from pledgewatch_edge.sensors.onewire import OneWireSettings
from pledgewatch_edge.sensors.sht3x import Sht3xSettings
from pledgewatch_sim.contacts import Contacts
from pledgewatch_sim.gpsd import Gpsd, sky, tpv
from pledgewatch_sim.i2c import Adxl345, FakeSmbus, Sht3x
from pledgewatch_sim.modbus_line import ModbusLine, Unit
from pledgewatch_sim.nmea_writer import ReceiverState, cycle

NOW_MS = 1_790_000_000_000
PROBE = "28-0316a2794e2f"
QUICK_S = 0.05


def clock() -> AgentClock:
    """A clock that the kernel keeps."""
    return AgentClock(system_ms=lambda: NOW_MS, is_synchronised=lambda: True)


class World(SensorWorld):
    """The world of one of the agent's own sensors."""

    section: str


class _Pty:
    def __init__(self, link: Path) -> None:
        self.link = link
        self.ends: list[int] = []

    def plug(self) -> None:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        self.link.symlink_to(os.ttyname(theirs))
        self.ends = [ours, theirs]

    def unplug(self) -> None:
        self.link.unlink(missing_ok=True)
        for one in self.ends:
            os.close(one)
        self.ends = []


class Says(Enum):
    """What a receiver says: where it is, that it does not know, or of satellites alone."""

    FIXES = auto()
    NO_FIX = auto()
    SATELLITES = auto()


class ReceiverWorld(World):
    """A receiver, which may say less than where it is."""

    settings: GpsSettings | GpsdSettings
    says = Says.FIXES


class GpsWorld(ReceiverWorld):
    """A receiver on a serial line."""

    section = "gps"

    def __init__(self, folder: Path, _patch: pytest.MonkeyPatch) -> None:
        self._port = _Pty(folder / "gps")
        self.settings = GpsSettings(port=self._port.link)
        self._turn = 0

    async def plug(self) -> None:
        self._port.plug()

    def unplug(self) -> None:
        self._port.unplug()

    async def stir(self) -> None:
        self._turn += 1
        has_fix = self.says is Says.FIXES
        state = ReceiverState(
            time_ms=NOW_MS + 1_000 * self._turn, has_fix=has_fix, latitude=33.7, longitude=-118.2, altitude_m=1.0,
            speed_mps=0.0, course_deg=0.0, satellites_used=8 * has_fix, satellites_in_view=9, hdop=0.9,
        )  # fmt: skip
        said = cycle(state)
        if self.says is Says.SATELLITES:
            said = b"".join(line for line in said.splitlines(keepends=True) if line.startswith(b"$GPGS"))
        if self._port.ends:
            os.write(self._port.ends[0], said)


class GpsdWorld(ReceiverWorld):
    """A receiver behind gpsd."""

    section = "gpsd"

    def __init__(self, _folder: Path, _patch: pytest.MonkeyPatch) -> None:
        self._gpsd = Gpsd()
        self._turn = 0

    async def begin(self) -> None:
        await self._gpsd.plug()
        self.settings = GpsdSettings(port=self._gpsd.port)

    async def plug(self) -> None:
        await self._gpsd.plug()

    def unplug(self) -> None:
        self._gpsd.unplug()

    async def stir(self) -> None:
        self._turn += 1
        time_ms = NOW_MS + 1_000 * self._turn
        if self.says is Says.FIXES:
            self._gpsd.say(sky(), tpv(time_ms, 33.7, -118.2))
            return
        self._gpsd.say(sky(hdop=99.99, uSat=0))
        if self.says is Says.NO_FIX:
            self._gpsd.say(tpv(time_ms, None, None))


class OneWireWorld(World):
    """A probe in the kernel's tree."""

    section = "onewire"

    def __init__(self, folder: Path, _patch: pytest.MonkeyPatch) -> None:
        self._file = folder / PROBE / "w1_slave"
        self._file.parent.mkdir()
        self.settings = OneWireSettings(probes=(PROBE,), root=folder, interval_s=QUICK_S)

    async def plug(self) -> None:
        row = "72 01 4b 46 7f ff 0e 10 57"
        self._file.write_text(f"{row} : crc=57 YES\n{row} t=4125\n", encoding="ascii")

    def unplug(self) -> None:
        self._file.unlink()


class _I2cWorld(World):
    def __init__(self, patch: pytest.MonkeyPatch, chips: dict[int, Any]) -> None:
        self._bus = FakeSmbus(chips)
        patch.setattr("smbus2.SMBus", self._bus)

    async def plug(self) -> None:
        self._bus.is_plugged = True

    def unplug(self) -> None:
        self._bus.is_plugged = False

    def open_now(self) -> int:
        return self._bus.open_now


class Sht3xWorld(_I2cWorld):
    """A temperature and humidity chip."""

    section = "sht3x"

    def __init__(self, _folder: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch, {0x44: Sht3x(4_250, 6_000)})
        self.settings = Sht3xSettings(interval_s=QUICK_S)


class Adxl345World(_I2cWorld):
    """An accelerometer."""

    section = "adxl345"

    def __init__(self, _folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._chip = Adxl345()
        super().__init__(patch, {0x53: self._chip})
        patch.setattr("pledgewatch_edge.sensors.adxl345.EMPTY_EVERY_S", 0.02)
        self.settings = Adxl345Settings(interval_s=0.25)

    async def stir(self) -> None:
        self._chip.rest(5)


class ModbusTcpWorld(World):
    """A reefer's controller by TCP."""

    section = "modbus"

    def __init__(self, folder: Path, _patch: pytest.MonkeyPatch) -> None:
        self._slave = Slave()
        self._slave.inputs = {4: 45}
        self._folder = folder
        self._server: asyncio.Server | None = None

    async def begin(self) -> None:
        await self.plug()
        path = self._folder / "map.toml"
        path.write_text('[[registers]]\nchannel = "temperature_mc"\naddress = 4\ntable = "input"\nscale = 100\n')
        self.settings = ModbusSettings(
            map=path, host="127.0.0.1", port=self._slave.port, interval_s=QUICK_S, timeout_s=0.5
        )

    async def plug(self) -> None:
        self._server = await asyncio.start_server(self._slave.serve, "127.0.0.1", self._slave.port)
        self._slave.port = self._server.sockets[0].getsockname()[1]

    def unplug(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._slave.hang_up()


class ModbusRtuWorld(World):
    """A weighing head on a serial line."""

    section = "modbus"

    def __init__(self, folder: Path, _patch: pytest.MonkeyPatch) -> None:
        self._port = _Pty(folder / "rs485")
        self.line = ModbusLine({7: Unit(holding={0: 1, 1: 0x86A0})})
        path = folder / "map.toml"
        path.write_text('[[registers]]\nchannel = "weight_g"\naddress = 0\ntype = "uint32"\nscale = 10\n')
        self.settings = ModbusSettings(map=path, line=self._port.link, unit=7, interval_s=QUICK_S, timeout_s=0.3)

    async def plug(self) -> None:
        self._port.plug()
        asyncio.get_running_loop().add_reader(self._port.ends[0], self._answer)

    def _answer(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._port.ends[0], self.line.hear(os.read(self._port.ends[0], 256)))

    def unplug(self) -> None:
        if self._port.ends:
            asyncio.get_running_loop().remove_reader(self._port.ends[0])
        self._port.unplug()


class ContactsWorld(World):
    """A door and a light contact."""

    section = "contacts"

    settings: ContactsSettings

    def __init__(self, _folder: Path, _patch: pytest.MonkeyPatch) -> None:
        self.contacts = Contacts({17: False, 27: False})
        lines = (LineSettings(line=17, channel="door_open"), LineSettings(line=27, channel="light_present"))
        self.settings = ContactsSettings(lines=lines, interval_s=QUICK_S)

    async def plug(self) -> None:
        self.contacts.is_plugged = True

    def unplug(self) -> None:
        self.contacts.unplug()

    def sensor(self, clock: AgentClock) -> Sensor:
        return ContactsSensor(self.settings, clock, self.contacts.open_lines)

    def open_now(self) -> int:
        return self.contacts.open_now


class HostWorld(World):
    """The computer itself, whose disk may be gone."""

    section = "host"

    def __init__(self, folder: Path, _patch: pytest.MonkeyPatch) -> None:
        self._disk = folder / "disk"
        (folder / "temp").write_text("48312\n", encoding="ascii")
        (folder / "throttled").write_text("50005\n", encoding="ascii")
        self.settings = HostSettings(
            disk=self._disk, thermal=folder / "temp", throttling=folder / "throttled", interval_s=QUICK_S
        )

    async def plug(self) -> None:
        self._disk.mkdir()

    def unplug(self) -> None:
        self._disk.rmdir()


WORLDS = (
    GpsWorld,
    GpsdWorld,
    OneWireWorld,
    Sht3xWorld,
    Adxl345World,
    ModbusTcpWorld,
    ModbusRtuWorld,
    ContactsWorld,
    HostWorld,
)
