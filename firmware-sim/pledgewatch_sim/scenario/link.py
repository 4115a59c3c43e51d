"""The way to the broker, as a TCP port that can be cut: what is under way is reset, and nobody is let in."""

import asyncio
from typing import Self

_CHUNK = 16_384


class Link:
    """Listens on `port` of the loopback address and carries to a port there, while it is up."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.is_up = True
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    async def set(self, *, is_up: bool) -> None:
        """Cut it, or let it carry again."""
        if self.is_up and not is_up:
            self.is_up = False
            await self.cut()
        self.is_up = is_up

    async def cut(self) -> None:
        """End all that is under way."""
        for one in list(self._carrying):
            one.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if not self.is_up:
            writer.transport.abort()
            return
        self._carrying.add(task)
        try:
            await self._carry(reader, writer)
        except OSError:
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()  # cut: nothing of it may reach the other side any more
        finally:
            self._carrying.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        try:
            async with asyncio.TaskGroup() as group:
                ways = [group.create_task(_pump(reader, back)), group.create_task(_pump(there, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for one in ways:
                    one.cancel()
        finally:
            back.transport.abort()
            writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        return
