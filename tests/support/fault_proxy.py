"""A TCP proxy with faults, in user space: delay, loss, half-open links, resets.

Losing bytes inside a TCP stream cannot happen to a program; what does happen is that a connection on which they were
lost is reset. So a lost chunk resets its connection.
"""

import asyncio
import socket
import struct
from random import Random
from types import TracebackType
from typing import Self

_CHUNK = 16 * 1024


class FaultProxy:
    """Listens on `port` of the loopback address and forwards to a port there, as badly as it is told to."""

    def __init__(self, target_port: int, random: Random) -> None:
        self.port = 0
        self.delay_s = 0.0
        self.loss_share = 0.0
        self.refuses = False
        self._target_port = target_port
        self._random = random
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._writers):
            _reset(writer)

    def half_open(self) -> None:
        """Keep every connection and carry nothing."""
        self._flowing.clear()

    def resume(self) -> None:
        """Carry again."""
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            _reset(writer)
            return
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            _reset(writer)
            return
        self._writers |= {writer, there_writer}
        ways = [(reader, there_writer, writer), (there_reader, writer, there_writer)]
        for source, target, other in ways:
            task = asyncio.create_task(self._carry(source, target, other))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, other: asyncio.StreamWriter
    ) -> None:
        try:
            while chunk := await source.read(_CHUNK):
                await self._flowing.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self._random.random() < self.loss_share:
                    break
                target.write(chunk)
                await target.drain()
        except OSError:
            pass
        finally:
            for writer in (target, other):
                _reset(writer)
                self._writers.discard(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN (SO_LINGER with no time)."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
