"""The spine behind a lock: asynchronous, one commit at a time, off the event loop, patient with a disk that fails.

A commit that fails has not happened. Batches and ticks are tried again until they succeed (said once when the disk is
lost, once when it is back); an amendment's failure goes to whoever asked for it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pledgewatch_cloud.decide.admission import Admission
from pledgewatch_cloud.decide.batch import Arrival
from pledgewatch_cloud.decide.milestones import lifecycle
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.step import Outcome
from pledgewatch_cloud.journal.outbox import OutboxMessage
from pledgewatch_cloud.journal.store import Quarantined, StoreError
from pledgewatch_cloud.spine.spine import Spine

log = logging.getLogger(__name__)

Result = TypeVar("Result")
_RETRY_S = 1.0


class Writer:
    """The one way into the journal for everything that runs side by side."""

    def __init__(self, spine: Spine, committed: Callable[[], None]) -> None:
        """`committed` is called after every commit, on the event loop. `lost` says whether the disk takes none."""
        self._spine = spine
        self._committed = committed
        self._lock = asyncio.Lock()
        self.lost = False

    @property
    def state(self) -> State:
        """The state after the last commit."""
        return self._spine.state

    @property
    def readings(self) -> int:
        """How many readings the journal holds."""
        return self._spine.readings

    async def take(self, arrivals: Sequence[Arrival], unreadable: Sequence[Quarantined]) -> Admission:
        """Commit a batch; see Spine.take."""
        return await self._patiently(lambda: self._alone(lambda: self._spine.take(arrivals, unreadable)))

    async def tick(self, heard_until_ms: int) -> Outcome:
        """Commit that time has passed; see Spine.tick."""
        return await self._patiently(lambda: self._alone(lambda: self._spine.tick(heard_until_ms)))

    async def amend(self, document: dict[str, Any]) -> Outcome | None:
        """Commit an amendment; see Spine.amend. Raises BookError or StoreError."""
        return await self._alone(lambda: self._spine.amend(document))

    async def move(self, facility: str, document: dict[str, Any]) -> Outcome | None:
        """Commit movements of a loan; see Spine.move. Raises BookError or StoreError.

        What is added to is read behind the same lock, so of two that come at once none is lost.
        """
        return await self._alone(lambda: self._spine.move(facility, document))

    async def quote(self, document: dict[str, Any]) -> Outcome | None:
        """Commit quotes; see Spine.quote. Raises MarketError or StoreError."""
        return await self._alone(lambda: self._spine.quote(document))

    async def acknowledge(self, alert: str, by: str) -> Outcome | None:
        """Commit that somebody has taken an alert on; see Spine.acknowledge. Raises StoreError."""
        return await self._alone(lambda: self._spine.acknowledge(alert, by))

    async def submit(self, sender: str, form: str, text: str) -> Outcome | None:
        """Commit what a sender handed in; see Spine.submit. Raises NoticeError or StoreError."""
        return await self._alone(lambda: self._spine.submit(sender, form, text))

    async def waive(self, milestone: str, by: str, why: str) -> Outcome | None:
        """Commit a waiver; see Spine.waive. Raises StoreError."""
        return await self._alone(lambda: self._spine.waive(milestone, by, why))

    async def booked(self, message: OutboxMessage, release: str, by: str = "", why: str = "") -> Outcome | None:
        """Commit a payer's word about a message; see Spine.booked. Raises StoreError."""
        return await self._alone(lambda: self._spine.booked(message, release, by, why))

    async def say_booked(self, milestone: str, release: str, by: str, why: str) -> Outcome | None:
        """Commit a person's word about a release; see Spine.say_booked. Raises StoreError."""
        return await self._alone(lambda: self._spine.say_booked(milestone, release, by, why))

    async def obstacle(self, milestone: str, message: str) -> str:
        """What stands against paying now what a message asks for; see lifecycle.obstacle. No commit is under way while
        that is found out, so whatever can be read of the outbox is known."""
        async with self._lock:
            return lifecycle.obstacle(milestone, self.state.milestones.get(milestone), message)

    async def _alone(self, work: Callable[[], Result]) -> Result:
        async with self._lock:
            running = asyncio.get_running_loop().run_in_executor(None, work)
            try:
                result = await asyncio.shield(running)
            except asyncio.CancelledError:
                # It goes on in its thread whoever waits for it, and nobody may begin another before it has ended.
                while not running.done():
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.wait([running])
                if running.exception() is None:
                    self._committed()
                raise
        self._committed()
        return result

    async def _patiently(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        while True:
            try:
                result = await attempt()
            except StoreError as error:
                if not self.lost:
                    log.error("nothing can be committed, trying on: %s", error)
                self.lost = True
                await asyncio.sleep(_RETRY_S)
                continue
            if self.lost:
                log.info("commits go through again")
            self.lost = False
            return result
