"""What is noted of who asked: every request of a user that is known by name, in the journal.

Notes are gathered and committed together, at most INTERVAL_S after the first of them; like requests within that time
are one row with their count. A process that is killed loses the notes of its last moment, never more; where the disk
takes no commits they wait, and once MAX of them do, nobody is answered until it does again.
"""

import asyncio
import logging
from typing import NamedTuple

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.outage import Outage
from pledgewatch_cloud.spine.writer import Writer

INTERVAL_S = 1.0
MAX = 10_000
PATH_MAX_BYTES = 512
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
log = logging.getLogger(__name__)


class Asked(NamedTuple):
    """What was asked, by whom, and how it was answered. `entry`: where it may have changed something, the last entry of
    the journal when it was answered, so what it changed is that one or shortly before; else 0."""

    user: str
    party: str
    role: str
    method: str
    path: str
    status: int
    entry: int


class Audit:
    """Notes of requests on their way into the journal."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer, self._clock = writer, clock
        self._notes: dict[Asked, list[int]] = {}
        self._wanted = asyncio.Event()
        self._disk = Outage(log, "what was asked cannot be noted, trying on", "what was asked is noted again")

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be noted, so that nobody may be answered."""
        return len(self._notes) >= MAX

    def note(self, viewer: Viewer, method: str, path: str, status: int) -> None:
        """Note a request. One of nobody in particular is not noted: it would name nobody."""
        if not viewer.user:
            return
        entry = 0 if method in _READING else self._writer.state.entry
        begin = path.encode("utf-8", "replace")[:PATH_MAX_BYTES].decode("utf-8", "ignore")
        asked = Asked(viewer.user, viewer.party, viewer.role.value, method, begin, status, entry)
        found = self._notes.setdefault(asked, [self._clock.now_ms(), 0])
        found[1] += 1
        self._wanted.set()

    async def run(self) -> None:
        """Commit notes until cancelled."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(INTERVAL_S)
            try:
                await self.commit()
            except StoreError as error:
                self._disk.lost(error)
            else:
                self._disk.back()

    async def commit(self) -> None:
        """Commit what was noted so far. Raises StoreError, and nothing is forgotten then."""
        notes, self._notes = self._notes, {}
        self._wanted.clear()
        if not notes:
            return
        try:
            await self._writer.commit(
                drafts.note_asked, [[at_ms, *asked, count] for asked, (at_ms, count) in notes.items()]
            )
        except StoreError:
            later, self._notes = self._notes, notes
            for asked, (at_ms, count) in later.items():
                self._notes.setdefault(asked, [at_ms, 0])[1] += count
            self._wanted.set()
            raise
