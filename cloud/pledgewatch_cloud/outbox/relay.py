"""The relay: takes from the outbox what is due, hands it to the core, and forgets it only on the core's 2xx.

Each facility's messages go in order, one at a time; facilities go side by side, and a slow answer to one keeps no other
waiting. What the core refuses for good, and what has failed too often, goes to the dead letters and holds those behind
it until a person sends it again or passes it over. A crash between the core's answer and the outbox's note sends the
message once more; the core knows it by its id.
"""

import asyncio
import contextlib
import logging
from random import Random

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.journal.store import OutboxMessage, Store, StoreError
from pledgewatch_cloud.outbox.core import Answer, Attempt, FinancingCore
from pledgewatch_wire.backoff import jittered_backoff

log = logging.getLogger(__name__)

HEARD_OUT_S = 2.0


class Relay:
    """Delivers a store's outbox. `wake` may be called whenever a commit has put something there."""

    def __init__(
        self,
        store: Store,
        core: FinancingCore,
        clock: Clock,
        random: Random,
        *,
        retry_first_s: float,
        retry_max_s: float,
        attempts_max: int,
        poll_s: float = 1.0,
        side_by_side: int = 16,
    ) -> None:
        self._store = store
        self._core = core
        self._clock = clock
        self._random = random
        self._retry_first_s = retry_first_s
        self._retry_max_s = retry_max_s
        self._attempts_max = attempts_max
        self._poll_s = poll_s
        self._side_by_side = side_by_side
        self._news = asyncio.Event()
        self._core_is_away = False

    def wake(self) -> None:
        """There may be something to send."""
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        under_way: dict[str, asyncio.Task[bool]] = {}
        try:
            while True:
                self._news.clear()
                try:
                    await self._start(under_way)
                except StoreError as error:
                    log.error("the outbox cannot be read or written, trying again: %s", error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._news.wait()
        finally:
            # What the core is answering just now is heard out: else it would be sent again after the next start.
            if under_way:
                await asyncio.wait(under_way.values(), timeout=HEARD_OUT_S)
            for task in under_way.values():
                task.cancel()
            await asyncio.gather(*under_way.values(), return_exceptions=True)

    async def deliver_due(self) -> int:
        """One round: the next message of each facility that is due. Returns how many the core took."""
        due = await asyncio.to_thread(self._store.due, self._clock.now_ms())
        return sum(await asyncio.gather(*(self._deliver(message) for message in due)))

    async def _start(self, under_way: dict[str, asyncio.Task[bool]]) -> None:
        """Begin to deliver what is due of facilities that nothing is under way for. Raises what a delivery raised."""
        for facility in [one for one, task in under_way.items() if task.done()]:
            under_way.pop(facility).result()
        due = await asyncio.to_thread(self._store.due, self._clock.now_ms())
        fresh = [message for message in due if message.facility not in under_way]
        for message in fresh[: self._side_by_side - len(under_way)]:
            task = asyncio.create_task(self._deliver(message), name=f"deliver {message.id}")
            task.add_done_callback(lambda _: self._news.set())
            under_way[message.facility] = task

    async def _deliver(self, message: OutboxMessage) -> bool:
        attempt = await self._core.deliver(message)
        await asyncio.to_thread(self._note, message, attempt)
        self._tell(message, attempt)
        return attempt.answer is Answer.TAKEN

    def _note(self, message: OutboxMessage, attempt: Attempt) -> None:
        now_ms = self._clock.now_ms()
        if attempt.answer is Answer.TAKEN:
            self._store.delivered(message.id, now_ms)
        elif self._is_dead(message, attempt):
            self._store.buried(message.id, attempt.reason)
        else:
            pause_s = jittered_backoff(
                message.attempts, first_s=self._retry_first_s, maximum_s=self._retry_max_s, random=self._random
            )
            pause_s = max(pause_s, attempt.retry_after_s)
            self._store.failed(message.id, attempt.reason, now_ms + round(pause_s * 1_000))

    def _is_dead(self, message: OutboxMessage, attempt: Attempt) -> bool:
        return attempt.answer is Answer.REFUSED or message.attempts + 1 >= self._attempts_max

    def _tell(self, message: OutboxMessage, attempt: Attempt) -> None:
        """Say once when the core goes and once when it is back; every dead letter is said."""
        if attempt.answer is not Answer.TAKEN and self._is_dead(message, attempt):
            why = f"{message.id} goes to the dead letters: {attempt.reason}"
            log.error("message %s; those behind it for facility %s wait", why, message.facility)
        away = attempt.answer is Answer.LATER
        if away and not self._core_is_away:
            log.warning("the financing core does not take messages, trying on: %s", attempt.reason)
        elif self._core_is_away and not away:
            log.info("the financing core takes messages again")
        self._core_is_away = away
