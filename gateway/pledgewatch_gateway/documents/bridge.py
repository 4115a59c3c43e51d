"""The bridge from a warehouse-management system to the cloud: its sources, the queue and the delivery, put together.

Each source and the delivery is a task of its own beside the stations: one that fails by a fault of the program ends
with its error in the log, and the others go on. What is merely away (a stock system, a folder, the cloud, the disk) is
said once and tried again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from pledgewatch_edge.logs import World
from pledgewatch_edge.process import Beside
from pledgewatch_gateway.documents import Document, DocumentSource, FullError
from pledgewatch_gateway.documents.deliver import Delivery
from pledgewatch_gateway.documents.document_queue import Queue
from pledgewatch_gateway.documents.drop_folder import DropSource
from pledgewatch_gateway.documents.rest_poll import RestSource
from pledgewatch_gateway.documents.settings import DocumentsSettings
from pledgewatch_wire.backoff import jittered_backoff

TROUBLE_MAX_S: Final = 600.0
log = logging.getLogger(__name__)


class Watcher:
    """One source, looked at again and again, and how that went."""

    def __init__(self, source: DocumentSource, queue: Queue, stirred: asyncio.Event, now_ms: Callable[[], int]) -> None:
        self.name = source.name
        self.handed_on = 0
        self.looked_ms: int | None = None  # when a look last went well
        self.trouble = ""  # what is in its way, empty where nothing is
        self._source = source
        self._queue = queue
        self._stirred = stirred
        self._now_ms = now_ms
        self._world = World(log, f"document source {source.name}")

    @property
    def error(self) -> str:
        """What is in its way or in that of one of its documents, empty where nothing is."""
        return "; ".join(one for one in (self.trouble, self._source.held) if one)

    async def run(self) -> None:
        """Look for ever."""
        random, attempts = Random(), 0  # noqa: S311 - jitter
        while True:
            asked_s = await self.look()
            wait_s = self._source.every_s
            if self.trouble:
                backoff_s = jittered_backoff(attempts, maximum_s=TROUBLE_MAX_S, random=random)
                wait_s, attempts = max(wait_s, backoff_s, asked_s), attempts + 1
            else:
                attempts = 0
            await asyncio.sleep(wait_s)

    async def look(self) -> float:
        """Look once; how many seconds the source asks us to wait. `trouble` says what is in the way."""
        try:
            await self._source.look(self._put)
        except (OSError, FullError) as error:
            self.trouble = str(error)
            self._world.lost(self.trouble)
            return getattr(error, "asked_s", 0.0)
        self.looked_ms, self.trouble = self._now_ms(), ""
        self._world.back()
        return 0.0

    async def _put(self, document: Document) -> None:
        is_new = await asyncio.to_thread(self._queue.put, document)
        self.handed_on += 1
        log.info("%r of %s %s", document.name, document.source, "waits for the cloud" if is_new else "waits already")
        self._stirred.set()


class Bridge:
    """All of it."""

    def __init__(self, settings: DocumentsSettings, folder: Path, now_ms: Callable[[], int]) -> None:
        """`folder` keeps queue and cursors. Opens nothing."""
        self.queue = Queue(folder, settings.documents_max, settings.bytes_max, len(settings.secrets))
        self.delivery = Delivery(settings, self.queue, now_ms)
        cursors = folder / "cursors"
        sources: list[DocumentSource] = [RestSource(one, cursors, now_ms) for one in settings.rest]
        sources += [DropSource(one) for one in settings.drop]
        self.watchers = [Watcher(one, self.queue, self.delivery.stirred, now_ms) for one in sources]

    def beside(self) -> Sequence[Beside]:
        """What runs beside the stations."""
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells of every request
        looking = [Beside(f"document source {one.name}", one.run) for one in self.watchers]
        return [*looking, Beside("document delivery", self.delivery.run)]

    def status(self) -> dict[str, Any]:
        """How the queue stands, for the status page. Reads the disk; moments are Unix milliseconds."""
        try:
            standing = self.queue.standing()
        except OSError as error:
            return {"waiting": None, "error": str(error)}
        last = standing.last
        return {
            "waiting": standing.waiting,
            "bytes": standing.bytes,
            "refused": standing.refused,
            "taken": self.delivery.taken,
            "last_taken": self.delivery.taken_ms,
            "last_refused": None if last is None else last.at_ms,
            "last_refusal": None if last is None else "; ".join(last.reasons[:3]),
            "error": "; ".join(one for one in (self.delivery.trouble, self.delivery.held) if one),
        }

    def sources(self) -> list[dict[str, Any]]:
        """How each source stands, as `status`."""
        return [
            {"source": one.name, "handed_on": one.handed_on, "last_look": one.looked_ms, "error": one.error}
            for one in self.watchers
        ]
