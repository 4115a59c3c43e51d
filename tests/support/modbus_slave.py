"""A Modbus TCP slave of a few lines, written from the protocol alone, that can also misbehave byte by byte."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

# Takes the whole answer as it would be sent, gives what is sent instead; None hangs up.
Spoil = Callable[[bytes], bytes | None]


class Slave:
    """Registers and bits by address; an address that is not there is refused (exception 2)."""

    def __init__(self, unit: int = 1) -> None:
        self.unit = unit
        self.holding: dict[int, int] = {}
        self.inputs: dict[int, int] = {}
        self.coils: dict[int, bool] = {}
        self.discrete: dict[int, bool] = {}
        self.requests: list[bytes] = []  # unit and PDU
        self.connections = 0
        self.spoil: Spoil = lambda answer: answer
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one master until it hangs up."""
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readexactly(6)
                rest = await reader.readexactly(int.from_bytes(head[4:6], "big"))
                self.requests.append(rest)
                pdu = self._answer(rest[1:])
                answer = self.spoil(head[:4] + (1 + len(pdu)).to_bytes(2, "big") + rest[:1] + pdu)
                if answer is None:
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.transport.abort()

    def _answer(self, pdu: bytes) -> bytes:
        function = pdu[0]
        first, second = struct.unpack(">HH", pdu[1:5])
        if function in {1, 2}:
            bits = self.coils if function == 1 else self.discrete
            packed = sum(bool(bits.get(first + place)) << place for place in range(second))
            answer = packed.to_bytes((second + 7) // 8, "little")
            is_there = all(first + place in bits for place in range(second))
        elif function in {3, 4}:
            registers = self.holding if function == 3 else self.inputs
            answer = b"".join(registers.get(first + place, 0).to_bytes(2, "big") for place in range(second))
            is_there = all(first + place in registers for place in range(second))
        elif function in {5, 6}:
            is_there = first in (self.coils if function == 5 else self.holding)
            if is_there and function == 5:
                self.coils[first] = second == 0xFF00
            elif is_there:
                self.holding[first] = second
            return pdu if is_there else bytes([function | 0x80, 2])
        else:
            return bytes([function | 0x80, 1])
        return bytes([function, len(answer)]) + answer if is_there else bytes([function | 0x80, 2])


@asynccontextmanager
async def slave(unit: int = 1, port: int = 0) -> AsyncIterator[Slave]:
    """A slave that listens on this machine."""
    one = Slave(unit)
    server = await asyncio.start_server(one.serve, "127.0.0.1", port)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        one.hang_up()
        await asyncio.sleep(0)
