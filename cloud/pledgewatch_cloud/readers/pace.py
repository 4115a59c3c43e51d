"""How far a reader is behind the journal, and when it takes up what is new.

    the service says where the journal stands ─► STEP_S after the last step, or at once where somebody waits ─► a step

In steps, because what is made of a state for one who asks is there for the next, as long as that is the state: beside
ingest a state would live for a batch only. Who has written waits for their own (`reach`), so nobody misses what they
have just done.
"""

import asyncio
import logging
import time

from pledgewatch_cloud.journal.form import DamagedError
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.outage import Outage
from pledgewatch_cloud.spine.current import Turn
from pledgewatch_cloud.spine.following import Following

STEP_S = 0.25
"""How long a state stands where nobody waits for the next."""
BEHIND_MAX_S = 10.0
"""A reader that has been behind for longer answers nothing itself."""
_REACH_S = 5.0
_RETRY_S = 1.0
log = logging.getLogger(__name__)


class Pace:
    """Takes up what the journal has that is new."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self._told, self._users = following.said_entry, following.state.book.users
        self._stands, self._behind_since_s = following.state.entry, 0.0
        self._news, self._hurry, self._step = asyncio.Event(), asyncio.Event(), Turn()
        self._is_damaged = False
        self._disk = Outage(log, "the journal cannot be read, trying on", "the journal can be read again")

    @property
    def is_near(self) -> bool:
        """Whether what is answered of the state is of now, or of at most BEHIND_MAX_S ago."""
        if self._is_damaged:
            return False
        is_there = self._following.state.entry >= self._stands
        return is_there or time.monotonic() - self._behind_since_s <= BEHIND_MAX_S

    def hear(self, stands: int) -> None:
        """The journal stands at an entry."""
        if stands <= self._stands:
            return
        if self._following.state.entry >= self._stands:
            self._behind_since_s = time.monotonic()
        self._stands = stands
        self._news.set()

    async def reach(self, entry: int) -> None:
        """Wait until an entry is taken up; for some seconds, after which `is_near` says what is so."""
        self.hear(entry)
        try:
            async with asyncio.timeout(_REACH_S):
                while self._following.state.entry < entry and not self._is_damaged:
                    turn = self._step.next
                    self._hurry.set()
                    await turn.wait()
        except TimeoutError:
            pass

    async def run(self) -> None:
        """Take up until cancelled, or until an entry is not what it must be: nothing is answered from here then."""
        while not self._is_damaged:
            await self._news.wait()
            self._news.clear()
            self._hurry.clear()
            began_s = time.monotonic()
            try:
                await asyncio.to_thread(self._following.take_up)
            except StoreError as error:
                self._disk.lost(error)
                self._news.set()
                await asyncio.sleep(_RETRY_S)
                continue
            except DamagedError as error:
                self._is_damaged = True
                log.critical("the journal is damaged: %s; everything is asked of the service itself", error)
            self._disk.back()
            if self._following.state.entry < self._stands:
                self._behind_since_s = began_s
                self._news.set()
            self._tell()
            try:
                async with asyncio.timeout(STEP_S):
                    await self._hurry.wait()
            except TimeoutError:
                pass

    def _tell(self) -> None:
        """Wake who waits for a step, and who follows what was said."""
        self._step.tell()
        following, users = self._following, self._following.state.book.users
        if following.said_entry > self._told or users is not self._users:
            self._told, self._users = following.said_entry, users
            following.said.tell()
