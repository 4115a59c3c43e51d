"""A Modbus device, asked one thing at a time, by TCP or on a serial line. pymodbus speaks the protocol.

What pymodbus takes for an answer is held once more against what was asked: another function, another number of
registers, an echo of something else mean that both sides have lost each other. Then, and where nobody answers in time,
the connection is of no use, and a new one begins clean. A device that says no (an exception) is understood very well,
and the connection goes on.

The library is imported when a device is opened, so a program without such devices needs none.
"""

import asyncio
import importlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from pledgewatch_edge.registers import Register, Table

_READS: Final = {
    Table.COIL: "read_coils",
    Table.DISCRETE: "read_discrete_inputs",
    Table.HOLDING: "read_holding_registers",
    Table.INPUT: "read_input_registers",
}
_FUNCTIONS: Final = {Table.COIL: 1, Table.DISCRETE: 2, Table.HOLDING: 3, Table.INPUT: 4}
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


class ModbusLostError(OSError):
    """The device is not there, does not answer in time, or answers what is no answer. The connection is of no use."""


class ModbusRefusedError(ValueError):
    """The device has understood and says no. `code` is the exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{_EXCEPTIONS.get(code, 'it says no')} (exception {code})")
        self.code = code


def over_tcp(host: str, port: int, timeout_s: float) -> Any:
    """pymodbus' client of a device behind an address, not yet connected."""
    return _library().AsyncModbusTcpClient(host, port=port, **_patience(timeout_s))


def over_line(line: Path, baud: int, parity: str, stop_bits: int, timeout_s: float) -> Any:
    """pymodbus' client of the devices on a serial line (RTU), not yet connected."""
    return _library().AsyncModbusSerialClient(
        str(line), baudrate=baud, parity=parity, stopbits=stop_bits, **_patience(timeout_s)
    )


class ModbusClient:
    """A connection to one device. Use it from one task at a time, and close it."""

    def __init__(self, client: Any, unit: int) -> None:
        self._client = client
        self._unit = unit
        self._lost = importlib.import_module("pymodbus.exceptions").ModbusException

    @classmethod
    async def open(cls, make: Callable[[], Any], unit: int, timeout_s: float) -> Self:
        """Connect by what `over_tcp` or `over_line` gives. Raises ModbusLostError."""
        client = make()
        try:
            async with asyncio.timeout(timeout_s):
                is_there = await client.connect()
        except TimeoutError as error:
            client.close()
            raise ModbusLostError("no connection in time") from error
        except OSError as error:
            client.close()
            raise ModbusLostError(error.strerror or str(error)) from error
        if not is_there:
            client.close()
            raise ModbusLostError("cannot be reached")
        return cls(client, unit)

    @property
    def is_hung_up(self) -> bool:
        """Whether the device has ended the connection, as many do with one that was idle for a minute."""
        return not self._client.connected

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    async def read_bit(self, register: Register) -> bool:
        """A coil or a discrete input. Raises ModbusLostError or ModbusRefusedError."""
        answer = await self._read(register)
        if not answer.bits:
            raise ModbusLostError("answers no bit where one was asked for")
        return bool(answer.bits[0])

    async def read_words(self, register: Register) -> bytes:
        """The bytes of a value in holding or input registers, two each as they came. Raises as `read_bit`."""
        answer = await self._read(register)
        if len(answer.registers) != register.words:
            raise ModbusLostError(f"answers {len(answer.registers)} registers where {register.words} were asked for")
        return b"".join(word.to_bytes(2, "big") for word in answer.registers)

    async def write_coil(self, address: int, *, is_on: bool) -> None:
        """Switch one coil; returns when the device has said that it did. Raises as `read_bit`."""
        answer = await self._asked(5, self._client.write_coil, address, is_on)
        if (answer.address, answer.bits[:1]) != (address, [is_on]):
            raise ModbusLostError("says that it has written something else")

    async def write_register(self, address: int, value: int) -> None:
        """Set one holding register (0 to 65,535), as `write_coil`."""
        answer = await self._asked(6, self._client.write_register, address, value)
        if (answer.address, answer.registers) != (address, [value]):
            raise ModbusLostError("says that it has written something else")

    async def _read(self, register: Register) -> Any:
        ask = getattr(self._client, _READS[register.table])
        return await self._asked(_FUNCTIONS[register.table], ask, register.address, count=register.words)

    async def _asked(self, function: int, ask: Callable[..., Any], *about: object, **more: object) -> Any:
        """The answer to one request."""
        try:
            answer = await ask(*about, device_id=self._unit, **more)
        except self._lost as error:
            raise ModbusLostError("hung up" if self.is_hung_up else "no answer in time") from error
        except OSError as error:
            raise ModbusLostError(error.strerror or str(error)) from error
        if answer.isError() and answer.function_code == function | 0x80:
            raise ModbusRefusedError(answer.exception_code)
        if answer.isError() or answer.function_code != function:
            raise ModbusLostError(f"answers function {answer.function_code} where {function} was asked")
        return answer


def _library() -> Any:
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # it says at each request what a World says once
    return importlib.import_module("pymodbus.client")


def _patience(timeout_s: float) -> dict[str, Any]:
    """It neither tries again nor connects again by itself: whoever owns the device does."""
    return {"timeout": timeout_s, "retries": 0, "reconnect_delay": 0}
