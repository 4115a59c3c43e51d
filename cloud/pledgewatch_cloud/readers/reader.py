"""A reader: the process that answers what is read, from a state of its own that follows the journal.

It listens at the API's address with its like, and ends when the line to the service does. Until its state is there, it
hands everything on.
"""

import asyncio
import contextlib
import logging
import signal
import socket

from pledgewatch_cloud.access.audit import Audit, Rows
from pledgewatch_cloud.api.access import Reading
from pledgewatch_cloud.api.app import create_app
from pledgewatch_cloud.clock import SystemClock
from pledgewatch_cloud.config import CloudSettings
from pledgewatch_cloud.configured import clock_of, series_of
from pledgewatch_cloud.credentials import token_in
from pledgewatch_cloud.interpreter import attend, spare_the_collector
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.readers.forward import Forward
from pledgewatch_cloud.readers.front import Front, Own
from pledgewatch_cloud.readers.line import LINE_MAX_BYTES, Line, LostError, Said
from pledgewatch_cloud.readers.logins import FarLogins
from pledgewatch_cloud.readers.pace import Pace
from pledgewatch_cloud.readers.socket_path import path_in
from pledgewatch_cloud.serving import Server, at_the_address
from pledgewatch_cloud.spine.following import Following

log = logging.getLogger(__name__)


async def run(settings: CloudSettings, listener: socket.socket, line: socket.socket) -> None:
    """Answer until the service says so, is gone, or SIGTERM comes.

    Raises an ExceptionGroup of what keeps its state from being there: StoreError, DamagedError, SeriesError.
    """
    attend()
    token = token_in(settings.api.token_file)
    reader = _Reader(settings, token)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, reader.ending.set)
    async with contextlib.AsyncExitStack() as stack:
        path = stack.enter_context(path_in(settings.service.data_folder))
        streams = await asyncio.open_connection(sock=line, limit=LINE_MAX_BYTES)
        stack.callback(streams[1].close)
        to_service = Line(*streams, reader.hear)
        forward = Forward(path, reader.reach)
        stack.push_async_callback(forward.close)
        front = Front(forward)
        server = Server(at_the_address(front, settings.api.trusted_proxies))
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(to_service.run(), name="line")
            hearing.add_done_callback(lambda _: reader.ending.set())
            following = group.create_task(reader.follow(front, to_service, stack), name="follow")
            serving = group.create_task(server.serve(sockets=[listener]), name="api")
            serving.add_done_callback(lambda _: reader.ending.set())
            await reader.ending.wait()
            reader.end_streams()
            server.should_exit = True
            await serving
            await reader.note_the_last()
            for task in (following, hearing):
                task.cancel()


class _Reader:
    """What a reader has, once it has it."""

    def __init__(self, settings: CloudSettings, token: str | None) -> None:
        self._settings, self._token = settings, token
        self.ending = asyncio.Event()
        self._stands = 0
        self._reading: Reading | None = None
        self._pace: Pace | None = None

    def hear(self, said: Said) -> None:
        """The service says something of its own accord."""
        if "end" in said:
            self.ending.set()
        elif "told" in said:
            if self._reading is not None:
                self._reading.current.said.tell()
        else:
            self._stands = said["stands"]
            if self._pace is not None:
                self._pace.hear(self._stands)

    async def reach(self, entry: int) -> None:
        """What was answered by the service is known here."""
        if self._pace is not None:
            await self._pace.reach(entry)

    async def follow(self, front: Front, line: Line, stack: contextlib.AsyncExitStack) -> None:
        """Take up the journal where it stands, and go on from there. Raises StoreError, DamagedError, SeriesError."""
        settings, clock = self._settings, clock_of(self._settings)
        store = await asyncio.to_thread(SqliteStore, settings.service.data_folder, read_only=True)
        stack.callback(store.close)
        following = await asyncio.to_thread(Following, store)
        series = series_of(settings, store.journal)
        stack.callback(series.close)

        async def note(rows: Rows) -> None:
            try:
                said = await line.ask("note", rows=rows)
            except LostError as error:
                raise StoreError(str(error)) from None
            if "failed" in said:
                raise StoreError(said["failed"])

        login = None if settings.login is None else FarLogins(line, settings.login.base_url.rstrip("/"))
        reading = Reading(
            store=store,
            current=following,
            series=series,
            audit=Audit(following, note, SystemClock()),
            token=self._token,
            clock=clock,
            login=login,
            requests_per_minute=settings.api.requests_per_minute,
            requests_per_minute_of=settings.api.requests_per_minute_of.set_ones(),
            body_s=settings.api.body_s,
        )
        pace = Pace(following)
        self._reading, self._pace = reading, pace
        pace.hear(self._stands)
        spare_the_collector()
        front.own = Own(create_app(reading), pace)
        log.info("reads are answered from entry %d on", following.state.entry)
        async with asyncio.TaskGroup() as group:
            group.create_task(pace.run(), name="pace")
            group.create_task(reading.audit.run(), name="audit")

    def end_streams(self) -> None:
        """Whoever follows changes is to ask again, elsewhere."""
        if self._reading is not None:
            self._reading.streams.end()

    async def note_the_last(self) -> None:
        """Have the service note what was answered last."""
        if self._reading is not None:
            with contextlib.suppress(StoreError):
                await self._reading.audit.commit()
