"""A Modbus TCP converter with several units behind it, as bytes: holding registers and discrete inputs, only read.

Request and answer are transaction, protocol 0, length, unit, function and data, all big-endian (MODBUS Messaging on
TCP/IP Implementation Guide V1.0b). What a unit does not have is refused (exception 2), another function too (1); a unit
that is not there is answered for by the converter (exception 11).
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

Registers = Callable[[], Mapping[int, Mapping[int, int]]]
"""Registers by unit and address, as they are now; an input is on where its register is not 0."""
_READ_DISCRETE, _READ_HOLDING = 2, 3
_REGISTERS_MAX: Final = 125
_ADU_MAX_BYTES: Final = 260


@asynccontextmanager
async def converter(registers: Registers, port: int = 0) -> AsyncIterator[int]:
    """A converter that listens on this machine. Yields its port. Raises OSError where the port is taken."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while True:
                transaction, protocol, length = struct.unpack(">HHH", await reader.readexactly(6))
                if protocol != 0 or not 2 <= length <= _ADU_MAX_BYTES - 6:
                    return
                request = await reader.readexactly(length)
                answer = request[:1] + answered(request[1:], registers().get(request[0]))
                writer.write(struct.pack(">HHH", transaction, 0, len(answer)) + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writers.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def answered(request: bytes, registers: Mapping[int, int] | None) -> bytes:
    """The answer to a request, function and data; `registers` None: there is no such unit."""
    function = request[0]
    if registers is None:
        return bytes([function | 0x80, 11])
    if function not in {_READ_DISCRETE, _READ_HOLDING}:
        return bytes([function | 0x80, 1])
    if len(request) != 5:
        return bytes([function | 0x80, 3])
    first, count = struct.unpack(">HH", request[1:])
    wanted = range(first, first + count)
    if not 1 <= count <= _REGISTERS_MAX or any(address not in registers for address in wanted):
        return bytes([function | 0x80, 2])
    if function == _READ_DISCRETE:
        bits = sum(bool(registers[address]) << place for place, address in enumerate(wanted))
        return bytes([function, (count + 7) // 8]) + bits.to_bytes((count + 7) // 8, "little")
    return bytes([function, 2 * count]) + b"".join(registers[address].to_bytes(2, "big") for address in wanted)
