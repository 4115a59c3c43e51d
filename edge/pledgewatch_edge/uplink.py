"""The uplink: from the spool to the cloud, until it says *committed*.

A broker's PUBACK proves nothing about a reading, so it is only used to pace the publishes. What counts is the cloud's
`committed`: it slides the windows of readings that are on their way and lets the spool forget. What stays uncommitted
too long is sent again, and so is everything after a new connection; sending twice costs bytes and never harm, because
a reading's identity is its number. Each time that sending again brings no word, the patience doubles, so a cloud that
is away behind a broker that is not does not run up the bill.

On a new connection the device says that it is online, and the cloud answers with `committed`; sending begins then, or
after WORD_PATIENCE_S, so that a long spool is not sent for nothing. What goes first is told in sending.py.

Nothing here keeps readings: payloads are read from the spool when there is room for them, and at most PUBLISHES_MAX of
them are in memory, BACKLOG_PUBLISHES_MAX of a backlog: what is urgent waits for no more than those to get over a slow
link.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from random import SystemRandom
from types import MappingProxyType
from typing import Final, NamedTuple

import aiomqtt

from pledgewatch_edge.budget import Budget, on_the_wire
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import StationSettings
from pledgewatch_edge.connection import PUBLISHES_MAX, Connector, DoubtError, RefusedError, heed_cancellation
from pledgewatch_edge.logs import World, leaves
from pledgewatch_edge.sending import Outgoing, Sending
from pledgewatch_edge.spool.errors import SpoolError
from pledgewatch_edge.spool.spool import Spool
from pledgewatch_edge.tls import Shown, shown_to_broker
from pledgewatch_edge.tls_identity import BROKER, CERTIFICATE_FILE, Standing
from pledgewatch_edge.window import Lane
from pledgewatch_wire import __version__
from pledgewatch_wire.backoff import jittered_backoff
from pledgewatch_wire.codec import PayloadError, Status, decode_committed, encode_status
from pledgewatch_wire.mqtt_settings import MqttProtocol
from pledgewatch_wire.topics import Kind, topic

WORD_PATIENCE_S: Final = 2.0
DRAIN_S: Final = 3.0
OFFLINE_S: Final = 1.5
BACKLOG_PUBLISHES_MAX: Final = 2
CONNECTION_BYTES: Final = 1_000
CONNECTION_TLS_BYTES: Final = 6_000
CANCELLED_AGAIN_S: Final = 5.0
REFUSED_MAX_S: Final = 900.0  # between two tries of one who is not let in; each costs a handshake
_ANSWERS_MAX: Final = 16  # that wait for the broker
log = logging.getLogger(__name__)

# Takes what the cloud has said under one kind, unread. Returns why it was ignored; None where it was not.
Hearer = Callable[[bytes], Awaitable[str | None]]


class _Unsaid(NamedTuple):
    """An answer that waits for the broker."""

    data: bytes
    said: asyncio.Event


@dataclass(slots=True)
class UplinkCounts:
    """What the uplink has done since it was made. `words_of_new` are those words that were said when the cloud had a
    reading that was not there yet when the uplink was made: what a session at the broker has kept is none."""

    connections: int = 0
    payloads: int = 0
    readings: int = 0
    words: int = 0
    words_of_new: int = 0
    words_ignored: int = 0


class Uplink:
    """The uplink of one station. `run` it in a task; `wake` it after an append; `finish` it to end in good order.

    It hears `committed` itself; `hearers` take what the cloud says under its other kinds, in the order said.
    """

    def __init__(
        self,
        settings: StationSettings,
        spool: Spool,
        *,
        hearers: Mapping[Kind, Hearer] = MappingProxyType({}),
        standing: Standing | None = None,
        clock: AgentClock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        device = settings.device
        self._reconnect_max_s = settings.broker.reconnect_max_s
        self._spool = spool
        self._head_before = spool.head_sequence  # any reading beyond was sent by no uplink before this one
        self._monotonic = monotonic
        self._connection_bytes = CONNECTION_TLS_BYTES if settings.broker.ca_file else CONNECTION_BYTES
        self._random = SystemRandom()
        self._topics = {kind: topic(device.operator, device.name, kind) for kind in Kind}
        self._hearers = {Kind.COMMITTED: self._hear_committed, **hearers}
        shown = shown_to_broker(settings.broker, device, device.state_folder / CERTIFICATE_FILE)
        self._connector = Connector(settings.broker, f"{device.operator}.{device.name}", shown, clock=clock)
        self.standing = standing or Standing(device.state_folder)
        self.standing.speaks_to(BROKER, settings.broker.address)
        self._trial: tuple[Shown, asyncio.Future[bool]] | None = None  # what is shown at the next connection instead
        self._tried: asyncio.Future[bool] | None = None  # that of the connection there is
        self._again = asyncio.Event()  # end this connection, and open the next at once
        budget = Budget(device.state_folder, settings.uplink.bytes_per_day, monotonic=monotonic)
        self._sending = Sending(settings.uplink, spool, budget, self._topics[Kind.UP], monotonic)
        self._backlog_publishes = 0
        self._has_said_held = self._is_status_due = False
        self._world = World(log, f"uplink to {settings.broker.host}:{settings.broker.port}")
        self._work = asyncio.Event()
        self._word = asyncio.Event()
        self._finishing = asyncio.Event()
        self._answers: deque[_Unsaid] = deque(maxlen=_ANSWERS_MAX)
        self._said_ignored: str | None = None
        self.counts = UplinkCounts()
        self.is_connected = False

    @property
    def protocol(self) -> MqttProtocol | None:
        """The MQTT version of the latest connection; None before the first."""
        return self._connector.protocol

    @property
    def resends(self) -> int:
        """How often something was taken for lost."""
        return self._sending.resends

    @property
    def is_lost(self) -> bool:
        """Whether the broker could not be reached at the latest try."""
        return self._world.is_lost

    @property
    def lost_reason(self) -> str:
        """Why the broker could not be reached at the latest try; nothing where it could."""
        return self._world.reason

    def wake(self) -> None:
        """The spool has grown."""
        self._work.set()

    def send_now(self) -> None:
        """Send all that is spooled, though its time has not come."""
        self._sending.send_now()
        self._work.set()

    def want_word(self) -> None:
        """Have the cloud asked, with each payload that carries a reading newer than this uplink, what it has; until it
        has said that it has one."""
        self._sending.want_word(self._head_before)

    def resend(self, first: int, last: int) -> None:
        """Send these readings once more, as far as they are still here. Of many such ranges the oldest is forgotten."""
        self._sending.resend(first, last)
        self._work.set()

    async def answer(self, data: bytes) -> None:
        """Say what has become of settings or of a command; returns when the broker has taken it."""
        unsaid = _Unsaid(data, asyncio.Event())
        self._answers.append(unsaid)
        self._work.set()
        await unsaid.said.wait()

    async def try_with(self, shown: Shown) -> bool:
        """Connect anew, showing something else; whether the broker let us in so. That connection is used on; the one
        after it shows what the settings say again."""
        trial: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._trial = shown, trial
        self._again.set()
        return await trial

    def finish(self) -> None:
        """Send what has not been sent, as far as that goes at once, say that the device is offline, and end `run`."""
        self._finishing.set()
        self._work.set()

    async def run(self) -> None:
        """Connect, send, and connect again, until `finish`."""
        attempt = -1
        while not self._finishing.is_set():
            connections = self.counts.connections
            maximum_s, is_trial = self._reconnect_max_s, self._trial is not None
            self._again.clear()
            try:
                await self._connection()
            except* RefusedError as errors:
                self._world.lost(f"it does not let us in{' with the new certificate' if is_trial else ''}")
                if not is_trial:
                    await self.standing.refused(BROKER, str(leaves(errors)[0]))
                    maximum_s = max(maximum_s, REFUSED_MAX_S)
            except* DoubtError as errors:
                self._world.lost(str(leaves(errors)[0]))
                await self.standing.doubted(BROKER, leaves(errors)[0])
            except* (aiomqtt.MqttError, SpoolError) as errors:
                self._world.lost("; ".join(str(error) or repr(error) for error in leaves(errors)))
            self.is_connected = False
            if self._finishing.is_set():
                break
            is_fresh = self.counts.connections > connections and self.standing.by(BROKER) is None
            attempt = 0 if is_fresh else attempt + 1
            wait_s = jittered_backoff(attempt, maximum_s=maximum_s, random=self._random)
            await _wait(self._finishing, wait_s, self._again)

    async def _connection(self) -> None:
        """One connection, from the first word to the last."""
        will = aiomqtt.Will(self._topics[Kind.STATUS], self._status(online=False), qos=1, retain=True)
        shown, self._tried = self._trial or (None, None)
        self._trial = None
        with _told_at_end(self._tried):
            await self._connection_with(will, shown)

    async def _connection_with(self, will: aiomqtt.Will, shown: Shown | None) -> None:
        async with self._connector.connect(will, shown) as client:
            self._begin()
            listening = asyncio.create_task(self._listen(client), name="uplink-listen")
            sending = asyncio.create_task(self._send(client), name="uplink-send")
            again = asyncio.create_task(self._wait_again(), name="uplink-again")
            try:
                await asyncio.wait([listening, sending, again], return_when=asyncio.FIRST_COMPLETED)
            finally:
                errors, cancelled = await _end([listening, sending, again])
                if not errors:
                    await self._say_offline(client)
                if cancelled is not None:
                    raise cancelled
            if errors:
                raise ExceptionGroup("the connection ended", errors)

    async def _wait_again(self) -> None:
        await self._again.wait()

    async def _greet(self, client: aiomqtt.Client) -> None:
        """Ask to hear the cloud's word, and say that the device is online, which makes the cloud say it."""
        for kind in self._hearers:
            granted = await client.subscribe(self._topics[kind], qos=1)
            if any(getattr(code, "value", code) >= 0x80 for code in granted):
                raise aiomqtt.MqttError(f"the broker refuses the subscription to {self._topics[kind]}")
        await self._say_online(client)
        self._connector.require_heard()
        heed_cancellation()
        await self.standing.accepted(BROKER)
        if self._tried is not None:
            self._tried.set_result(True)
        self.is_connected = True
        self._world.back()
        log.info("connected protocol=%s spooled=%d", self.protocol, self._spool.spooled)

    async def _say_online(self, client: aiomqtt.Client) -> None:
        await client.publish(self._topics[Kind.STATUS], self._status(online=True), qos=1, retain=True)

    async def _say_offline(self, client: aiomqtt.Client) -> None:
        """A clean end keeps the last will from being sent, so the device says it itself, if that goes at once."""
        status = self._status(online=False)
        with contextlib.suppress(aiomqtt.MqttError):
            await client.publish(self._topics[Kind.STATUS], status, qos=1, retain=True, timeout=OFFLINE_S)

    def _begin(self) -> None:
        self.counts.connections += 1
        self._word.clear()
        self._backlog_publishes = 0
        self._has_said_held = self._is_status_due = False
        self._sending.begin(self._connection_bytes)

    async def _listen(self, client: aiomqtt.Client) -> None:
        """Hand what the cloud says to whoever hears its kind, for as long as the connection holds."""
        hearers = {self._topics[kind]: hear for kind, hear in self._hearers.items()}
        async for message in client.messages:
            hear = hearers.get(str(message.topic))
            ignored = "nobody hears that topic" if hear is None else await hear(message.payload)
            if ignored is not None:
                self.counts.words_ignored += 1
                if ignored != self._said_ignored:
                    log.warning("word ignored topic=%s reason=%r", message.topic, ignored)
            self._said_ignored = ignored

    async def _hear_committed(self, said: bytes) -> str | None:
        """Let go of what the cloud has on its disk."""
        try:
            committed = decode_committed(said)
            cost = on_the_wire(self._topics[Kind.COMMITTED], len(said))
            forgotten = await asyncio.to_thread(self._sending.hear, committed, cost)
        except PayloadError as error:
            return f"it cannot be read: {error}"
        except SpoolError as error:
            # The cloud says it again; to reconnect for that would only send everything once more.
            return str(error)
        if forgotten.again is not None:
            log.warning("cloud was put back, sent again readings=%d-%d", *forgotten.again)
            self._is_status_due = True  # else it takes for lost what it has been told is with it
        if forgotten.ignored is None:
            self.counts.words += 1
            self.counts.words_of_new += self._spool.committed.newest > self._head_before
        self._word.set()
        self._work.set()
        return forgotten.ignored

    async def _send(self, client: aiomqtt.Client) -> None:
        """Greet, then send as long as the connection holds; return when finishing and all is sent, or time is up."""
        await self._greet(client)
        if self._spool.spooled or self._spool.dropped:
            await _wait(self._word, WORD_PATIENCE_S, self._finishing)
        slots = asyncio.Semaphore(PUBLISHES_MAX)
        async with asyncio.TaskGroup() as publishes:
            deadline = None
            while True:
                if self._finishing.is_set() and deadline is None:
                    deadline = self._monotonic() + DRAIN_S
                    await self._send_last_again()
                if deadline is not None and self._monotonic() > deadline:
                    return
                self._work.clear()
                await self._say_answers(client)
                if self._is_status_due:
                    self._is_status_due = False
                    await self._say_online(client)
                payload = await self._payload()
                if payload is not None:
                    await slots.acquire()
                    publishes.create_task(self._publish(client, payload, slots), name="uplink-publish")
                elif deadline is not None:
                    return
                else:
                    await self._say_held(client)
                    await _wait(self._work, await asyncio.to_thread(self._sending.patience_s))

    async def _say_answers(self, client: aiomqtt.Client) -> None:
        while self._answers:
            await client.publish(self._topics[Kind.ANSWER], self._answers[0].data, qos=1)
            self._answers.popleft().said.set()

    async def _publish(self, client: aiomqtt.Client, payload: Outgoing, slots: asyncio.Semaphore) -> None:
        try:
            await client.publish(self._topics[Kind.UP], payload.data, qos=1)
            self._connector.require_heard()
        finally:
            slots.release()
            if payload.lane == Lane.BACKLOG:
                self._backlog_publishes -= 1
                self._work.set()

    async def _payload(self) -> Outgoing | None:
        """What to send now; None where nothing may be sent yet. Counts it as sent."""
        with_backlog = self._backlog_publishes < BACKLOG_PUBLISHES_MAX
        is_finishing = self._finishing.is_set()
        found = await asyncio.to_thread(self._sending.next, finishing=is_finishing, with_backlog=with_backlog)
        if found is not None:
            self.counts.payloads += 1
            self.counts.readings += found.readings
            self._backlog_publishes += found.lane == Lane.BACKLOG
        return found

    async def _say_held(self, client: aiomqtt.Client) -> None:
        """Tell that the budget holds readings back: once in a connection, for that costs bytes too."""
        if self._sending.is_held and not self._has_said_held:
            self._has_said_held = True
            held = await asyncio.to_thread(self._sending.held_back)
            log.info("backlog held back by bytes_per_day readings=%d", held)
            await self._say_online(client)

    async def _send_last_again(self) -> None:
        """Let the newest reading carry a late checkpoint, if it is still here."""
        head = self._spool.head_sequence
        if await asyncio.to_thread(self._spool.checkpoints, head + 1, head + 1):
            self._sending.resend(head, head)

    def _status(self, *, online: bool) -> bytes:
        spool = self._spool
        return encode_status(
            Status(
                online,
                spool.epoch,
                spool.head_sequence,
                spool.spooled,
                __version__,
                spool.dropped,
                self._sending.held_back(),
                spool.refused_total,
            )
        )


@contextlib.contextmanager
def _told_at_end(trial: asyncio.Future[bool] | None) -> Iterator[None]:
    """A trial of which nothing good was heard by the end has failed."""
    try:
        yield
    finally:
        if trial is not None and not trial.done():
            trial.set_result(False)


async def _wait(event: asyncio.Event, timeout_s: float, other: asyncio.Event | None = None) -> None:
    """Wait for an event, or for another, or for the time to pass."""
    waits = [asyncio.ensure_future(one.wait()) for one in (event, other) if one is not None]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _end(tasks: list[asyncio.Task[None]]) -> tuple[list[Exception], asyncio.CancelledError | None]:
    """Cancel what still runs, wait for it, and return what went wrong. What has swallowed a cancellation (see
    heed_cancellation) is cancelled again. Whoever waits here may be cancelled too, as who ends a station does that
    again and again: it goes on to the end nevertheless, and gives that cancellation back."""
    cancelled: asyncio.CancelledError | None = None
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        try:
            await asyncio.wait(running, timeout=CANCELLED_AGAIN_S)
        except asyncio.CancelledError as error:
            cancelled = error
    errors = [None if task.cancelled() else task.exception() for task in tasks]
    return [error for error in errors if isinstance(error, Exception)], cancelled
