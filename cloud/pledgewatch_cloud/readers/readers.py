"""The service's side: readers are started, told where the journal stands, answered, and started again."""

import asyncio
import contextlib
import json
import logging
import socket
import sys
from asyncio.subprocess import Process
from pathlib import Path

from pledgewatch_cloud.access.audit import note_in
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.login.login import Login
from pledgewatch_cloud.readers.line import LINE_MAX_BYTES, Said, written
from pledgewatch_cloud.readers.logins import of_session, of_token
from pledgewatch_cloud.spine.writer import Writer

AGAIN_S = 1.0
_UNHEARD_MAX_BYTES = 2**16
"""Of what a reader has not heard yet; beyond, it is told later where the journal stands."""
_FAREWELL_S = 8.0
log = logging.getLogger(__name__)


class Readers:
    """The processes that answer at `listener`, and what they ask for."""

    def __init__(self, config: Path, listener: socket.socket, count: int, writer: Writer, login: Login | None) -> None:
        self._config, self._listener, self._count = config, listener, count
        self._writer, self._login = writer, login
        self._note = note_in(writer)
        self._lines: set[asyncio.StreamWriter] = set()
        self._is_ending = False

    async def run(self) -> None:
        """Keep them alive until cancelled, or until they have ended (`end`)."""
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell_of_others(), name="told")
            keeping = [group.create_task(self._keep(), name=f"reader {one}") for one in range(self._count)]
            await asyncio.gather(*keeping)
            telling.cancel()

    def stand(self) -> None:
        """An entry was committed."""
        line = written({"stands": self._writer.state.entry})
        for one in self._lines:
            if one.transport.get_write_buffer_size() < _UNHEARD_MAX_BYTES:
                one.write(line)

    def end(self) -> None:
        """Have them answer what is under way, and go."""
        self._is_ending = True
        for one in self._lines:
            one.write(written({"end": True}))

    async def _tell_of_others(self) -> None:
        """Wake who follows changes there as those here are."""
        while True:
            await self._writer.said.next.wait()
            for one in self._lines:
                one.write(written({"told": True}))

    async def _keep(self) -> None:
        while not self._is_ending:
            ours, theirs = socket.socketpair()
            listener = self._listener.fileno()
            arguments = [sys.executable, "-m", "pledgewatch_cloud", "read", "--config", str(self._config)]
            # In a session of its own: Ctrl-C is for us to answer.
            process = await asyncio.create_subprocess_exec(
                *(*arguments, "--listener", str(listener)),
                stdin=theirs.fileno(),
                pass_fds=(listener,),
                start_new_session=True,
            )
            theirs.close()
            try:
                await self._serve(ours)
                code = await process.wait()
            finally:
                await asyncio.shield(_ended(process))
            if not self._is_ending:
                log.error("a process that answers reads has ended (exit code %d); starting another", code)
                await asyncio.sleep(AGAIN_S)

    async def _serve(self, ours: socket.socket) -> None:
        """Answer a reader until its line ends."""
        stream, writer = await asyncio.open_connection(sock=ours, limit=LINE_MAX_BYTES)
        self._lines.add(writer)
        answering: set[asyncio.Task[None]] = set()
        try:
            writer.write(written({"stands": self._writer.state.entry}))
            if self._is_ending:
                writer.write(written({"end": True}))
            with contextlib.suppress(ConnectionError):
                while line := await stream.readline():
                    task = asyncio.create_task(self._answer(json.loads(line), writer))
                    answering.add(task)
                    task.add_done_callback(answering.discard)
        finally:
            self._lines.discard(writer)
            writer.close()
            if answering:
                await asyncio.wait(answering)

    async def _answer(self, said: Said, writer: asyncio.StreamWriter) -> None:
        answer = await self._answer_to(said)
        with contextlib.suppress(ConnectionError):
            writer.write(written({"id": said["id"], **answer}))
            await writer.drain()

    async def _answer_to(self, said: Said) -> Said:
        if said["ask"] == "note":
            try:
                await self._note(said["rows"])
            except StoreError as error:
                return {"failed": str(error)}
            return {}
        assert self._login is not None, "who asks for a session has a login, by the same configuration"
        return await (of_session if said["ask"] == "session" else of_token)(self._login, said)


async def _ended(process: Process) -> None:
    """Let it end, or end it."""
    try:
        async with asyncio.timeout(_FAREWELL_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
