"""The spine behind a lock: asynchronous, one commit at a time, off the event loop, patient with a disk that fails.

A commit that fails has not happened. Batches and ticks are tried again until they succeed (said once when the disk is
lost, once when it is back); what somebody asks for is tried once, and they are told.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.admission import Admission
from pledgewatch_cloud.decide.batch import Arrival, CareAnswer
from pledgewatch_cloud.decide.drafts import Draft
from pledgewatch_cloud.decide.milestones import lifecycle
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.step import Outcome
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.journal.store import NOTHING_SAID, Quarantined, Said, StoreError
from pledgewatch_cloud.outage import Outage
from pledgewatch_cloud.spine.spine import Newest, Spine

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
_RETRY_S = 1.0


class Turn:
    """What many wait for on the event loop: each `tell` wakes all who took `next` before it, at once."""

    def __init__(self) -> None:
        self.next = asyncio.Event()

    def tell(self) -> None:
        """Wake everybody."""
        told, self.next = self.next, asyncio.Event()
        told.set()


class Commits(Protocol):
    """What commits: the writer itself, or what holds a write to who asks for it."""

    async def commit(
        self,
        asked: Callable[Concatenate[State, Arguments], Draft | None],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Outcome | None:
        """See Writer.commit."""
        ...


class Writer:
    """The one way into the journal for everything that runs side by side."""

    def __init__(self, spine: Spine, outbox_changed: Callable[[Sequence[str]], None]) -> None:
        """`outbox_changed` is called on the event loop after a commit that put messages into the outbox or withdrew
        some, with the ids of those; `said` is told of commits that led to events or let somebody in or out."""
        self._spine = spine
        self._outbox_changed = outbox_changed
        self.said = Turn()
        self._told = spine.newest.said_entry, spine.state.book.users
        self._lock = asyncio.Lock()
        self._disk = Outage(log, "nothing can be committed, trying on", "commits go through again")

    @property
    def is_lost(self) -> bool:
        """Whether the disk takes no commits."""
        return self._disk.is_lost

    @property
    def state(self) -> State:
        """The state after the last commit."""
        return self._spine.state

    @property
    def readings(self) -> int:
        """How many readings the journal holds."""
        return self._spine.readings

    @property
    def newest(self) -> Newest:
        """The same, with what the last entries were."""
        return self._spine.newest

    async def take(
        self, arrivals: Sequence[Arrival], unreadable: Sequence[Quarantined], said: Said = NOTHING_SAID
    ) -> Admission:
        """Commit a batch; see Spine.take."""
        return await self._patiently(lambda: self._alone(lambda: self._spine.take(arrivals, unreadable, said)))

    async def hear(self, answer: CareAnswer) -> None:
        """Commit what a device says has become of settings or of a command; see drafts.hear_answer."""
        await self._patiently(lambda: self.commit(drafts.hear_answer, answer))

    async def tick(self, heard_until_ms: int) -> Outcome:
        """Commit that time has passed; see Spine.tick."""
        return await self._patiently(lambda: self._alone(lambda: self._spine.tick(heard_until_ms)))

    async def commit(
        self,
        asked: Callable[Concatenate[State, Arguments], Draft | None],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Outcome | None:
        """Commit what somebody asks for; see Spine.commit. Raises what that does, or StoreError.

        What it says is new is found out behind the same lock, so of two that come at once none is lost.
        """
        return await self._alone(lambda: self._spine.commit(asked, *args, **kwargs))

    async def commit_where(
        self,
        check: Callable[[], None],
        asked: Callable[Concatenate[State, Arguments], Draft | None],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Outcome | None:
        """The same where `check` lets it through: it is called on the event loop, behind the same lock, so what it
        finds in the state is so when the entry is decided. Raises what it raises."""
        return await self._alone(lambda: self._spine.commit(asked, *args, **kwargs), check)

    async def obstacle(self, milestone: str, message: str) -> str:
        """What stands against paying now what a message asks for; see lifecycle.obstacle. No commit is under way while
        that is found out, so whatever can be read of the outbox is known."""
        async with self._lock:
            return lifecycle.obstacle(milestone, self.state.milestones.get(milestone), message)

    def payer_of(self, milestone: str) -> str | None:
        """The endpoint that has booked a milestone's release, by the last commit; None where nobody has."""
        memo = self.state.milestones.get(milestone)
        return None if memo is None or memo.released_ms == NEVER else memo.payer

    async def _alone(self, work: Callable[[], Result], check: Callable[[], None] = lambda: None) -> Result:
        async with self._lock:
            check()
            running = asyncio.get_running_loop().run_in_executor(None, work)
            try:
                result = await asyncio.shield(running)
            except asyncio.CancelledError:
                # It goes on in its thread whoever waits for it, and nobody may begin another before it has ended.
                while not running.done():
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.wait([running])
                if running.exception() is None:
                    self._wake()
                raise
        self._wake()
        return result

    def _wake(self) -> None:
        if self._spine.has_posted or self._spine.withdrawn:
            self._outbox_changed(self._spine.withdrawn)
        newest = self._spine.newest
        told = newest.said_entry, newest.state.book.users
        if told[0] != self._told[0] or told[1] is not self._told[1]:
            self._told = told
            self.said.tell()

    async def _patiently(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        while True:
            try:
                result = await attempt()
            except StoreError as error:
                self._disk.lost(error)
                await asyncio.sleep(_RETRY_S)
                continue
            self._disk.back()
            return result
