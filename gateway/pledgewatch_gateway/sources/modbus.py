"""A Modbus TCP device: its registers, read in turn, each a field of one sensor.

What a register's bytes are is told in pledgewatch_edge/registers.py; what the numbers count is the roster's to say
(`scale`, `unit`).

A register that the device refuses is a value that is not reported; the others are read all the same. A device that is
not there is asked again each interval, and each of its fields is then one whose sensor is gone. One connection serves
the reading of registers and the setting of switches, one request at a time, as many devices take only one.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from pledgewatch_edge.config import DAY_S, require_name, require_within
from pledgewatch_edge.logs import World
from pledgewatch_edge.modbus_client import ModbusClient, ModbusLostError, ModbusRefusedError, over_tcp
from pledgewatch_edge.registers import Register, number_of
from pledgewatch_gateway.sources import Listener, Value, gone
from pledgewatch_wire.hosts import require_host
from pledgewatch_wire.reading import Quality

REGISTERS_MAX: Final = 64
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterSettings(Register):
    """One value of a device. `name` is its field."""

    name: str

    def __post_init__(self) -> None:
        Register.__post_init__(self)
        if not self.name.strip():
            raise ValueError("name is empty; name what the register holds")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusSettings:
    """A device. `name` is what the roster calls both source and sensor; `unit` is its number behind a converter to RTU,
    and mostly 1 or 255 where there is none."""

    name: str
    host: str
    port: int = 502
    unit: int = 1
    interval_s: float = 10.0
    timeout_s: float = 3.0
    registers: tuple[RegisterSettings, ...] = ()

    def __post_init__(self) -> None:
        require_name("name", self.name)
        if not self.host:
            raise ValueError("host is empty; name the device")
        require_host("host", self.host)
        require_within("port", self.port, 1, 65_535)
        require_within("unit", self.unit, 0, 255)
        require_within("interval_s", self.interval_s, 0.05, DAY_S)
        require_within("timeout_s", self.timeout_s, 0.05, 60.0)
        if len(self.registers) > REGISTERS_MAX:
            raise ValueError(f"registers has {len(self.registers)}; a device has {REGISTERS_MAX} at most")
        names = [one.name for one in self.registers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"registers has {twice[0]!r} more than once; give each a name of its own")


class ModbusSource:
    """One device."""

    def __init__(self, settings: ModbusSettings, listener: Listener) -> None:
        self.name = settings.name
        self._settings = settings
        self._listener = listener
        self._world = World(log, f"modbus device {settings.name}")
        self._turn = asyncio.Lock()
        self._client: ModbusClient | None = None

    async def run(self) -> None:
        """Read for ever, once each interval; an interval that was slept through is not made up for."""
        due = time.monotonic()
        try:
            while True:
                if self._settings.registers:
                    await self._read_all()
                now = time.monotonic()
                due = max(due + self._settings.interval_s, now)
                await asyncio.sleep(due - now)
        finally:
            self._close()

    async def write_coil(self, address: int, *, is_on: bool) -> None:
        """Switch a coil. Raises ModbusLostError or ModbusRefusedError."""
        async with self._turn, self._connected() as client:
            await client.write_coil(address, is_on=is_on)

    async def write_register(self, address: int, value: int) -> None:
        """Set a holding register, as `write_coil`."""
        async with self._turn, self._connected() as client:
            await client.write_register(address, value)

    async def _read_all(self) -> None:
        values: list[Value] = []
        try:
            for register in self._settings.registers:
                async with self._turn, self._connected() as client:  # a switch waits for one register, not for all
                    values.append(await self._read(client, register))
        except ModbusLostError as error:
            self._world.lost(str(error))
            values += [gone(self.name, one.name) for one in self._settings.registers[len(values) :]]
        else:
            self._world.back()
        self._listener.hear(self.name, values)

    async def _read(self, client: ModbusClient, register: RegisterSettings) -> Value:
        try:
            if register.is_bit:
                return Value(self.name, register.name, await client.read_bit(register))
            data = await client.read_words(register)
        except ModbusRefusedError as error:
            self._listener.complain(self.name, register.name, str(error))
            return Value(self.name, register.name, None, None, Quality.NOT_REPORTED)
        number = number_of(register, data)
        return Value(self.name, register.name, number, None, Quality.NOT_REPORTED if number is None else Quality.GOOD)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[ModbusClient]:
        """The connection, opened if there is none; closed where it is lost, or given up in the middle of a request."""
        settings = self._settings
        if self._client is not None and self._client.is_hung_up:
            self._close()
        if self._client is None:
            host, port, timeout_s = settings.host, settings.port, settings.timeout_s
            self._client = await ModbusClient.open(lambda: over_tcp(host, port, timeout_s), settings.unit, timeout_s)
        try:
            yield self._client
        except ModbusRefusedError:
            raise
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
