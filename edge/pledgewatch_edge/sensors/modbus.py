"""A Modbus device: a reefer's controller, an energy meter, a weighing head; by RTU on a serial line or by TCP.

pymodbus speaks the protocol (`pip install pledgewatch[modbus]`). What stands where is told by a map, a TOML file beside
the configuration that many devices of one make share, as no two makes agree and no open map of reefers exists:

    [[registers]]
    channel = "temperature_mc"
    address = 4
    table = "input"
    type = "int16"
    scale = 100          # the register counts tenths of a degree
    absent = -32768

Each register is asked for by itself. What a device answers within TOGETHER_S is one sample, dated when the last of it
was answered; a device that takes longer gives several, so a value is dated less than TOGETHER_S after its own answer.

A register that the device refuses, or in which it says that it has no value, is NOT_REPORTED, and the others are read
all the same. A device that does not answer is SENSOR_GONE in all that it has not told.
"""

import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_edge.logs import World
from pledgewatch_edge.modbus_client import ModbusClient, ModbusLostError, ModbusRefusedError, over_line, over_tcp
from pledgewatch_edge.registers import Register, number_of
from pledgewatch_edge.sample import FIX_CHANNELS, OWN_WORDS, Sample
from pledgewatch_edge.sensors import SensorSettings, channel_named, needed
from pledgewatch_edge.sensors.polling import moments
from pledgewatch_wire.hosts import require_host
from pledgewatch_wire.reading import PASSAGE_CHANNELS, STATE_CHANNELS, Cell, Channel, Quality
from pledgewatch_wire.settings import SettingsError
from pledgewatch_wire.settings import load as load_settings

REGISTERS_MAX: Final = 64
VALUE_MAX: Final = 2**53
SCALE_LEAST: Final = 1e-12  # what is less makes all values one
TOGETHER_S: Final = 1.0
PARITIES: Final = ("N", "E", "O")
NOT_MAPPED: Final = frozenset(
    {
        *(*OWN_WORDS, *PASSAGE_CHANNELS),
        *(Channel.DISK_FREE_MIB, Channel.HOST_TEMPERATURE_MC, Channel.THROTTLED, Channel.SPOOL_READINGS),
        Channel.CLOCK_OFFSET_MS,
    }
)
"""What no device behind a bus can know: words of the agent about itself and its computer, and passages, each of which
is a reading of its own."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedRegister(Register):
    """A register, and the channel that it is. The channel's unit is the register's number × `scale` + `offset`."""

    channel: str
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        Register.__post_init__(self)
        channel = channel_named(self.channel)
        if channel in NOT_MAPPED:
            raise ValueError(f"channel {self.channel!r} is a word of the agent's own, or a passage; name a quantity")
        if channel in FIX_CHANNELS:
            raise ValueError(f"channel {self.channel!r} is of a fix, which registers do not say at one moment; use gps")
        if abs(self.scale) < SCALE_LEAST:
            raise ValueError(f"scale {self.scale:g} makes every value the same; use one that is not 0")
        if self.is_bit != (channel in STATE_CHANNELS):
            raise ValueError(
                f"channel {self.channel!r} and table {self.table!r} do not fit: bits are states, no others"
            )

    def value_of(self, number: Decimal) -> int | None:
        """What the channel holds; None where no channel can."""
        value = round(number * Decimal(str(self.scale)) + Decimal(str(self.offset)))
        return value if abs(value) <= VALUE_MAX else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterMap:
    """A map's file."""

    registers: tuple[MappedRegister, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.registers) <= REGISTERS_MAX:
            raise ValueError(f"names {len(self.registers)} registers; name 1 to {REGISTERS_MAX}")
        channels = [one.channel for one in self.registers]
        if twice := sorted({one for one in channels if channels.count(one) > 1}):
            raise ValueError(f"registers has the channel {twice[0]!r} more than once; give each a channel of its own")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusSettings(SensorSettings):
    """A device: at `host` by TCP, or on the serial `line` by RTU; `unit` is its number there. `map` is the file that
    says what its registers are."""

    map: Path
    host: str = ""
    port: int = 502
    line: Path | None = None
    baud: int = 9_600
    parity: str = "N"
    stop_bits: int = 1
    unit: int = 1
    interval_s: float = 60.0
    timeout_s: float = 3.0

    def __post_init__(self) -> None:
        needed("pymodbus", "modbus", "modbus")
        if bool(self.host) == (self.line is not None):
            raise ValueError("name either host (Modbus TCP) or line (Modbus RTU)")
        if self.host:
            require_host("host", self.host)
        require_within("port", self.port, 1, 65_535)
        require_within("baud", self.baud, 300, 115_200)
        require_within("stop_bits", self.stop_bits, 1, 2)
        require_within("unit", self.unit, 0, 255)
        require_within("interval_s", self.interval_s, 0.05, DAY_S)
        require_within("timeout_s", self.timeout_s, 0.05, 60.0)
        if self.parity not in PARITIES:
            raise ValueError(f"parity {self.parity!r} is none; use one of {', '.join(PARITIES)}")
        self.registers()

    @property
    def channels(self) -> frozenset[Channel]:
        """See SensorSettings."""
        return frozenset(channel_named(one.channel) for one in self.registers())

    def registers(self) -> tuple[MappedRegister, ...]:
        """What the map says. Raises ValueError where it cannot be used."""
        try:
            return load_settings(self.map, RegisterMap).registers
        except SettingsError as error:
            raise ValueError(f"map: {'; '.join(error.errors)} ({self.map})") from None

    def sensor(self, clock: AgentClock) -> "ModbusSensor":
        """The device."""
        return ModbusSensor(self, clock, lambda: client_of(self))


def client_of(settings: ModbusSettings) -> Any:
    """pymodbus' client for a device, not yet connected."""
    if settings.line is None:
        return over_tcp(settings.host, settings.port, settings.timeout_s)
    return over_line(settings.line, settings.baud, settings.parity, settings.stop_bits, settings.timeout_s)


class ModbusSensor:
    """The device: one sample each interval; of one that is slow, several."""

    name = "modbus"

    def __init__(
        self,
        settings: ModbusSettings,
        clock: AgentClock,
        make_client: Callable[[], Any],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._registers = settings.registers()
        self._clock = clock
        self._make_client = make_client
        self._monotonic = monotonic
        self._client: ModbusClient | None = None
        self._world = World(log, f"modbus device {settings.host or settings.line} unit {settings.unit}")

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """All registers each interval, the first time at once."""
        try:
            async with contextlib.aclosing(moments(self._settings.interval_s, self._monotonic)) as due:
                async for _ in due:
                    async with contextlib.aclosing(self._blocks()) as blocks:
                        async for sample in blocks:
                            yield sample
        finally:
            self._let_go()

    async def _blocks(self) -> AsyncGenerator[Sample, None]:
        """What all registers hold, as samples of what was answered together."""
        cells: list[Cell] = []
        begun_s, moment = 0.0, self._clock.now()
        async with contextlib.aclosing(self._cells()) as found:
            async for cell in found:
                now_s = self._monotonic()
                if cells and now_s - begun_s > TOGETHER_S:
                    yield Sample(*moment, tuple(sorted(cells)))
                    cells = []
                begun_s = begun_s if cells else now_s
                cells.append(cell)
                moment = self._clock.now()
        yield Sample(*moment, tuple(sorted(cells)))

    async def _cells(self) -> AsyncGenerator[Cell, None]:
        """What each register holds, as it is answered; of a device that is lost, that the rest is gone."""
        answered, asked = 0, ""
        try:
            client = await self._connected()
            for register in self._registers:
                asked = f" at {register.channel} ({register.table} {register.address})"
                cell = await self._read(client, register)
                answered += 1
                yield cell
        except ModbusLostError as error:
            self._let_go()
            self._world.lost(f"{error}{asked}")
            for register in self._registers[answered:]:
                yield Cell(channel_named(register.channel), 0, Quality.SENSOR_GONE)
            return
        self._world.back()

    async def _connected(self) -> ModbusClient:
        """Raises ModbusLostError."""
        if self._client is not None and self._client.is_hung_up:
            self._let_go()
        if self._client is None:
            self._client = await ModbusClient.open(self._make_client, self._settings.unit, self._settings.timeout_s)
        return self._client

    async def _read(self, client: ModbusClient, register: MappedRegister) -> Cell:
        """Raises ModbusLostError."""
        channel = channel_named(register.channel)
        try:
            if register.is_bit:
                return Cell(channel, int(await client.read_bit(register)))
            number = number_of(register, await client.read_words(register))
        except ModbusRefusedError:
            return Cell(channel, 0, Quality.NOT_REPORTED)
        value = None if number is None else register.value_of(number)
        return Cell(channel, 0, Quality.NOT_REPORTED) if value is None else Cell(channel, value)

    def _let_go(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
