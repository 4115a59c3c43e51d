"""What subscribers have in common: one task from `async with` to its end, and a queue that it fills.

The task keeps the connection, and the connection may be lost at any time; it never ends by itself. It lives in no
TaskGroup, for a group would have to be left in the frame in which it was entered, and here that is `async with` itself.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from random import Random
from types import TracebackType
from typing import ClassVar, Self

from pledgewatch_cloud.ingest.subscriber import HELD_MAX_BYTES, BrokerAddress, Message, SubscriberCounts


class OneTask(ABC):
    """Something with a task of its own from `async with` to its end. `_TASK` names it."""

    _TASK: ClassVar[str]

    def __init__(self) -> None:
        self._closed = False
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep(), name=self._TASK)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._news.set()  # whoever waits for it finds the end
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @abstractmethod
    async def _keep(self) -> None:
        """The task. Ends by being cancelled."""


class QueueingSubscriber(OneTask):
    """A Subscriber whose task puts what arrives into a queue."""

    def __init__(self, address: BrokerAddress, filters: Sequence[str], random: Random, *, after_token: int = 0) -> None:
        """Tokens ascend from `after_token`."""
        super().__init__()
        self.counts = SubscriberCounts()
        self._address = address
        self._filters = tuple(filters)
        self._random = random
        self._queue: deque[Message] = deque()
        self._unacknowledged: deque[tuple[int, ...]] = deque()  # token, bytes, packet id and so on, as they arrived
        self._held_bytes = 0  # of those
        self._settled: set[int] = set()  # tokens that are on disk, while some before them are not
        self._token = after_token
        self.forgotten = after_token

    @property
    def waiting(self) -> int:
        """See Subscriber."""
        return len(self._queue)

    async def receive(self, limit: int) -> list[Message]:
        """See Subscriber."""
        while not self._queue:
            if self._closed:
                return []
            self._news.clear()
            await self._news.wait()
        taken = [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]
        self._read_if_room()
        return taken

    def _forget(self) -> None:
        """The connection is another one: what the last one held comes again."""
        self.forgotten = self._token
        self._queue.clear()
        self._unacknowledged.clear()
        self._held_bytes = 0
        self._settled.clear()

    def _hold(self, message: Message, *acknowledged_by: int) -> None:
        """Take a message that has come; `acknowledged_by` is what the broker knows it by, nothing at QoS 0."""
        self._token = message.token
        self._queue.append(message)
        if acknowledged_by:
            size = len(message.payload)
            self._unacknowledged.append((message.token, size, *acknowledged_by))
            self._held_bytes += size
        self.counts.received += 1
        self._news.set()

    def _holds(self, messages: int) -> bool:
        """Whether so many messages are held here, in the queue or unacknowledged, or all the bytes that may be."""
        return max(len(self._queue), len(self._unacknowledged)) >= messages or self._held_bytes >= HELD_MAX_BYTES

    def _settle(self, messages: Sequence[Message]) -> list[tuple[int, ...]]:
        """What may be acknowledged now that these are on disk: all up to the first that is not."""
        waiting, settled = self._unacknowledged, self._settled
        if not waiting:
            return []
        settled.update(one.token for one in messages if one.token >= waiting[0][0])
        found = []
        while waiting and waiting[0][0] in settled:
            settled.discard(waiting[0][0])
            found.append(waiting.popleft())
        self._held_bytes -= sum(one[1] for one in found)
        if len(settled) > len(waiting):  # tokens of QoS 0, which nobody acknowledges
            settled.intersection_update(one[0] for one in waiting)
        self.counts.acknowledged += len(found)
        return found

    @abstractmethod
    def _read_if_room(self) -> None:
        """Read on where reading was put off for want of room and there is room again."""
