"""A relay: takes from the outbox what is due for one endpoint, hands it over, and forgets it only on its 2xx.

Each facility's messages go in order, one at a time; facilities go side by side, and a slow answer to one keeps no other
waiting. Each endpoint has a relay of its own, and what relays ask of the disk goes through one thread of theirs, so
that no endpoint holds up another, or ingest. What the endpoint refuses for good, and what the schedule has no more
attempts for, goes to the dead letters and holds those behind it until a person sends it again or passes it over.

    taken ─► the journal is told what the core has booked ─► the delivery is noted

A crash between any two of these sends the message once more; the endpoint knows it by its id, and the journal knows
what it has been told.

What is withdrawn after it was taken from the outbox, while a name is looked up or a connection is made, is not sent
either: `wake` brings the ids with it, and the endpoint asks before its first byte goes out. They are remembered for as
long as a message that was taken before may be under way.

A payer, an endpoint whose word moves milestones, must say of a taken-back release whether its money has moved. A plain
2xx says nothing of that, so it is no answer; nor is one to a release that breaks off, or has a word that nobody knows.
What another payer has booked, a payer is not asked for: whoever takes over from another one, or has a filter widened,
would pay it once more.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_cloud.decide.milestones.lifecycle import RELEASING, TAKEN_BACK
from pledgewatch_cloud.journal.outbox import CORE, DeliveryRecord, Outbox, OutboxMessage
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.outage import Outage
from pledgewatch_cloud.outbox import circuit as circuit_module
from pledgewatch_cloud.outbox import schedule
from pledgewatch_cloud.outbox.circuit import Circuit, CircuitState
from pledgewatch_cloud.outbox.endpoint import UNCLEAR, Answer, Attempt, Endpoint, Failure
from pledgewatch_cloud.outbox.metrics import EndpointMetrics

log = logging.getLogger(__name__)

HEARD_OUT_S = 2.0
LOOK_S = 10.0
_NO_WORD = (
    "it was taken, and the answer does not say what has become of the release, so nobody knows whether its money has"
    ' moved; answer {"release": "booked"} or {"release": "none"}'
)
_ELSEWHERE = Attempt(Answer.TAKEN, said=b"not sent: somebody else has booked its release", release="none")
_ASKING = RELEASING | {MessageType.REAFFIRM_RELEASE}
"""What a payer books, unless it has."""

Booked = Callable[[OutboxMessage, str], Awaitable[object]]
PayerOf = Callable[[str], str | None]
"""Which endpoint has booked a milestone's release: None: nobody has; empty: a person said so for it."""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """`retry_scale` shortens schedule and circuit for simulations; `circuit_failures`: after how many about the
    endpoint in a row it is given time; `lag_alert_s`: how old the oldest message may be before somebody is told."""

    side_by_side: int = 16
    retry_scale: float = 1.0
    circuit_failures: int = 5
    lag_alert_s: float = 900.0
    poll_s: float = 1.0


class Relay:
    """Delivers an outbox to one endpoint. `wake` may be called whenever a commit has put something there.

    `lag_s`: how old the oldest message is that it has still to be sent.
    """

    def __init__(
        self,
        outbox: Outbox,
        endpoint: Endpoint,
        clock: Clock,
        random: Random,
        *,
        name: str = CORE,
        settings: RelaySettings = RelaySettings(),
        journal_clock: Clock | None = None,
        booked: Booked | None = None,
        payer_of: PayerOf | None = None,
        executor: Executor | None = None,
    ) -> None:
        """`clock` says when to try again, `journal_clock` (the same, where it is None) how old messages are.

        `booked` is awaited with a message and what the endpoint said of its release before the delivery is noted; None:
        the endpoint is no payer. `payer_of` says who has booked a milestone's release.
        `executor` is where the disk is asked; None: in the event loop's own pool.
        """
        self.name = name
        self.metrics = EndpointMetrics()
        self.circuit = Circuit()
        self.lag_s = 0.0
        self.settings = settings
        self._outbox = outbox
        self._endpoint = endpoint
        self._clock = clock
        self._random = random
        self._journal_clock = journal_clock or clock
        self._booked = booked
        self._payer_of = payer_of or (lambda _: None)
        self._executor = executor
        self._news = asyncio.Event()
        self._away = Outage(
            log,
            f"endpoint {name} does not take messages, trying on",
            f"endpoint {name} takes messages again",
            level=logging.WARNING,
        )
        self._disk_outage = Outage(
            log,
            f"the outbox cannot be read or written for endpoint {name}, trying on",
            f"the outbox can be read and written again for endpoint {name}",
        )
        self._lag = Outage(log, f"endpoint {name} lags", f"endpoint {name} lags no more", level=logging.WARNING)
        self._under_way: dict[str, asyncio.Task[bool]] = {}
        self._early: set[str] = set()  # the message of a probe before its time
        self._begun: set[str] = set()  # the messages that are being handed over
        self._withdrawn: set[str] = set()
        self._asking_to_wait = 0  # answers that ask for it and are not noted yet

    @property
    def is_lagging(self) -> bool:
        """Whether it was told that the oldest message is too old."""
        return self._lag.is_lost

    @property
    def is_payer(self) -> bool:
        """Whether what the endpoint says of releases moves milestones."""
        return self._booked is not None

    def wake(self, withdrawn: Iterable[str] = ()) -> None:
        """There may be something to send; `withdrawn` are ids of messages that may not be sent any more. To be called
        when that is committed, on the event loop."""
        self._withdrawn.update(withdrawn)
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        look_at_s = time.monotonic()
        try:
            while True:
                self._news.clear()
                try:
                    await self._start()
                    if time.monotonic() >= look_at_s:
                        await self.look()
                        look_at_s = time.monotonic() + LOOK_S
                    self._disk_outage.back()
                except StoreError as error:
                    self._disk_outage.lost(error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.settings.poll_s):
                        await self._news.wait()
        finally:
            # What is being answered just now is heard out: else it would be sent again after the next start.
            tasks = list(self._under_way.values())
            if tasks:
                await asyncio.wait(tasks, timeout=HEARD_OUT_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def deliver_due(self) -> int:
        """One round: the next message of each facility that is due. Returns how many were taken."""
        room = self.circuit.room(self._clock.now_ms(), self.settings.side_by_side)
        due = await self._due(room)
        return sum(await asyncio.gather(*(self._deliver(message) for message in due)))

    async def look(self) -> None:
        """See how far the endpoint lies behind; say it once when that is too far, and once when it is no more."""
        oldest_ms = await self._disk(self._outbox.oldest_pending_ms, self.name)
        self.lag_s = 0.0 if oldest_ms is None else max(0, self._journal_clock.now_ms() - oldest_ms) / 1_000
        if self.lag_s > self.settings.lag_alert_s:
            self._lag.lost(f"its oldest message is {self.lag_s:.0f} s old")
        else:
            self._lag.back()

    async def _start(self) -> None:
        """Begin to deliver what is due of facilities that nothing is under way for. Raises what a delivery raised."""
        for facility in [one for one, task in self._under_way.items() if task.done()]:
            self._under_way.pop(facility).result()
        free = self.settings.side_by_side - len(self._under_way)
        for message in await self._due(self.circuit.room(self._clock.now_ms(), free)):
            task = asyncio.create_task(self._deliver(message), name=f"deliver {message.id} to {self.name}")
            task.add_done_callback(lambda _: self._news.set())
            self._under_way[message.facility] = task

    async def _due(self, room: int) -> list[OutboxMessage]:
        """What is due, as much as there is room for; each counts as begun."""
        if room <= 0:
            return []
        besides = frozenset(self._under_way)
        now_ms = self._clock.now_ms()
        self._withdrawn &= self._begun  # of what was withdrawn before now, the disk gives no more
        due = await self._disk(lambda: self._outbox.due(self.name, now_ms, besides=besides, limit=room))
        room = self._room(now_ms, room)  # which an answer may have changed meanwhile
        due, self._early = due[:room], set()
        if room and not due and self.circuit.state is CircuitState.OPEN:
            due = await self._disk(lambda: self._outbox.due(self.name, now_ms, besides=besides, limit=1, ahead=True))
            due = due[: self._room(now_ms, room)]
            self._early = {one.id for one in due}
        for one in due:
            self.circuit = self.circuit.begun()
            self._begun.add(one.id)
        return due

    def _room(self, now_ms: int, room: int) -> int:
        return 0 if self._asking_to_wait else self.circuit.room(now_ms, room)

    async def _deliver(self, message: OutboxMessage) -> bool:
        began_s = time.monotonic()
        try:
            attempt = _ELSEWHERE if self._is_booked_elsewhere(message) else None
            attempt = attempt or await self._endpoint.deliver(message, lambda: message.id in self._withdrawn)
        except BaseException:
            self.circuit = self.circuit.not_begun()
            raise
        finally:
            self._begun.discard(message.id)
        if attempt.answer is Answer.TAKEN and self.is_payer and _is_unsaid(message, attempt):
            attempt = attempt._replace(answer=Answer.LATER, reason=_NO_WORD, failure=Failure.NO_WORD)
        self.metrics.tried(attempt, time.monotonic() - began_s)
        if attempt.answer is Answer.WITHDRAWN:
            self.circuit = self.circuit.not_begun()
            return False
        is_outage_over = self._move(attempt)
        if attempt.answer is Answer.TAKEN and self._booked is not None:
            await self._booked(message, attempt.release)
        asks_to_wait = int(attempt.retry_after_s > 0)
        self._asking_to_wait += asks_to_wait
        try:
            await self._disk(self._note, message, attempt)
        finally:
            self._asking_to_wait -= asks_to_wait
        if is_outage_over:
            await self._disk(self._outbox.hurry, self.name, self._clock.now_ms())
        if attempt.answer is Answer.LATER:
            self._away.lost(attempt.reason)
        else:
            self._away.back()
        return attempt.answer is Answer.TAKEN

    def _is_booked_elsewhere(self, message: OutboxMessage) -> bool:
        """Whether a message asks a payer for what somebody else has booked."""
        if not self.is_payer or message.type not in _ASKING:
            return False
        payer = self._payer_of(str(json.loads(message.body)["data"].get("milestone", "")))
        return payer is not None and payer != self.name

    def _move(self, attempt: Attempt) -> bool:
        """Move the circuit on; whether an outage has ended."""
        now_ms, settings = self._clock.now_ms(), self.settings
        moved = circuit_module.after(
            self.circuit,
            now_ms,
            failed=attempt.is_about_the_endpoint,
            failures_max=settings.circuit_failures,
            scale=settings.retry_scale,
        )
        self.circuit = moved.circuit
        return moved.is_outage_over

    def _note(self, message: OutboxMessage, attempt: Attempt) -> None:
        now_ms, tried = self._clock.now_ms(), message.attempts + 1
        if attempt.retry_after_s:
            self._outbox.leave_alone(self.name, now_ms + round(1_000 * attempt.retry_after_s))
        if attempt.is_about_the_endpoint and message.id in self._early:
            return
        match attempt.answer:
            case Answer.TAKEN:
                record = DeliveryRecord(
                    self.name, message.id, now_ms, tried, attempt.status, attempt.said, attempt.keys
                )
                self._outbox.delivered(message, record)
            case Answer.GONE:
                self._outbox.stop(self.name, attempt.reason, now_ms)
                log.error("endpoint %s wants nothing more, it is stopped: %s", self.name, attempt.reason)
            case Answer.REFUSED:
                self._bury(message, attempt)
            case Answer.LATER:
                pause_ms = schedule.pause_ms(
                    tried, attempt.retry_after_s, scale=self.settings.retry_scale, random=self._random
                )
                if pause_ms is None:
                    self._bury(message, attempt)
                else:
                    self._outbox.failed(self.name, message, attempt.reason, now_ms + pause_ms)

    def _bury(self, message: OutboxMessage, attempt: Attempt) -> None:
        self._outbox.buried(self.name, message, attempt.reason)
        self.metrics.buried += 1
        why = f"{message.id} goes to the dead letters of endpoint {self.name}: {attempt.reason}"
        log.error("message %s; those behind it for facility %s wait", why, message.facility)

    async def _disk(self, call: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, *arguments)


def _is_unsaid(message: OutboxMessage, attempt: Attempt) -> bool:
    """Whether a payer's answer leaves open what has become of the release."""
    if message.type in TAKEN_BACK:
        return attempt.release in ("", UNCLEAR)
    return message.type in RELEASING and attempt.release == UNCLEAR
