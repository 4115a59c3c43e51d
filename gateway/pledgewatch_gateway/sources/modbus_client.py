"""Modbus TCP, the master's side: one request, one answer, and nothing that is not exactly the answer.

An ADU is transaction (u16), protocol 0 (u16), length of what follows (u16), unit (u8) and the PDU: function and data,
big-endian (MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3; Application Protocol V1.1b3, 6.1 to 6.6).
There is no other way to tell what answers what, so an answer of another transaction, unit, function or length means
that both sides have lost each other: the connection is closed and a new one begins clean. A slave that says no (an
exception) is understood very well, and the connection goes on.
"""

import asyncio
import contextlib
import struct
from enum import IntEnum
from typing import Final, Self

BITS_MAX: Final = 2_000
REGISTERS_MAX: Final = 125
_HEADER: Final = struct.Struct(">HHHB")
_PDU_MAX_BYTES: Final = 253
_COIL: Final = {False: 0x0000, True: 0xFF00}
_REFUSED: Final = 0x80
_EXCEPTIONS: Final = {
    1: "it does not know the function",
    2: "it has no such address",
    3: "it does not take the value",
    4: "it failed",
    5: "it is at it",
    6: "it is busy",
    10: "the gateway has no path to it",
    11: "the gateway hears nothing of it",
}


class Function(IntEnum):
    """The functions of the protocol that are used here."""

    READ_COILS = 1
    READ_DISCRETE_INPUTS = 2
    READ_HOLDING_REGISTERS = 3
    READ_INPUT_REGISTERS = 4
    WRITE_COIL = 5
    WRITE_REGISTER = 6


class ModbusLostError(OSError):
    """The device is not there, does not answer in time, or answers what is no answer. The connection is of no use."""


class ModbusRefusedError(ValueError):
    """The device has understood and says no. `code` is the exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{_EXCEPTIONS.get(code, 'it says no')} (exception {code})")
        self.code = code


class ModbusClient:
    """A connection to one device. Use it from one task at a time, and close it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, unit: int, timeout_s: float) -> None:
        self._reader = reader
        self._writer = writer
        self._unit = unit
        self._timeout_s = timeout_s
        self._transaction = 0

    @classmethod
    async def open(cls, host: str, port: int, unit: int, timeout_s: float) -> Self:
        """Connect. Raises ModbusLostError."""
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            raise ModbusLostError(str(error) or "no connection in time") from error
        return cls(reader, writer, unit, timeout_s)

    @property
    def is_hung_up(self) -> bool:
        """Whether the device has ended the connection, as many do with one that was idle for a minute."""
        return self._reader.at_eof() or self._reader.exception() is not None

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def read_bits(self, function: Function, address: int, count: int) -> list[bool]:
        """Coils or discrete inputs from a zero-based address. Raises ModbusLostError or ModbusRefusedError."""
        assert 1 <= count <= BITS_MAX
        data = await self._counted(function, address, count, (count + 7) // 8)
        return [bool(data[place // 8] >> place % 8 & 1) for place in range(count)]

    async def read_registers(self, function: Function, address: int, count: int) -> bytes:
        """Holding or input registers from a zero-based address, two bytes each as they came. Raises as `read_bits`."""
        assert 1 <= count <= REGISTERS_MAX
        return await self._counted(function, address, count, 2 * count)

    async def write_coil(self, address: int, *, is_on: bool) -> None:
        """Switch one coil; returns when the device has said that it did. Raises as `read_bits`."""
        await self._echoed(Function.WRITE_COIL, struct.pack(">HH", address, _COIL[is_on]))

    async def write_register(self, address: int, value: int) -> None:
        """Set one holding register (0 to 65,535), as `write_coil`."""
        await self._echoed(Function.WRITE_REGISTER, struct.pack(">HH", address, value))

    async def _counted(self, function: Function, address: int, count: int, size: int) -> bytes:
        answer = await self._ask(function, struct.pack(">HH", address, count))
        if len(answer) != 1 + size or answer[0] != size:
            raise ModbusLostError(f"answers {len(answer) - 1} bytes where {size} were asked for")
        return answer[1:]

    async def _echoed(self, function: Function, data: bytes) -> None:
        if await self._ask(function, data) != data:
            raise ModbusLostError("says that it has written something else")

    async def _ask(self, function: Function, data: bytes) -> bytes:
        """The data of the answer."""
        self._transaction = self._transaction % 0xFFFF + 1
        header = _HEADER.pack(self._transaction, 0, 2 + len(data), self._unit)
        try:
            async with asyncio.timeout(self._timeout_s):
                self._writer.write(header + bytes([function]) + data)
                await self._writer.drain()
                length = self._length(await self._reader.readexactly(_HEADER.size))
                answer = await self._reader.readexactly(length - 1)
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            raise ModbusLostError("no answer in time" if isinstance(error, TimeoutError) else "hung up") from error
        except ModbusLostError:
            raise
        except OSError as error:
            raise ModbusLostError(error.strerror or str(error)) from error
        if answer[0] == function | _REFUSED and len(answer) == 2:
            raise ModbusRefusedError(answer[1])
        if answer[0] != function:
            raise ModbusLostError(f"answers function {answer[0]} where {function} was asked")
        return answer[1:]

    def _length(self, header: bytes) -> int:
        """How many bytes of the answer follow its header, the unit counted in. Raises ModbusLostError."""
        transaction, protocol, length, unit = _HEADER.unpack(header)
        if (transaction, protocol, unit) != (self._transaction, 0, self._unit):
            raise ModbusLostError("answers something that was not asked")
        if not 2 <= length <= 1 + _PDU_MAX_BYTES:
            raise ModbusLostError(f"answers {length} bytes, which no answer has")
        return int(length)
