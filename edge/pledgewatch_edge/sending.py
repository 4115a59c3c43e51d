"""What goes next: alarms first of all, then what is live, then the backlog.

Three lanes, each with a window of its own (window.py):

- URGENT: readings that are urgent, wherever they stand in the spool. They open the gate of `send_every_s`, and go
  together with what is live where one payload holds both. First those beyond the newest that the cloud has: each word
  names that one, so they are news. Where more than ALARM_SPANS wait, as after an outage, news is the newest of them,
  and the others follow it, the oldest first. They, and what a device that was started again has not heard of and may be
  there long since, have half of the window: however much it is, it keeps no news back.
- LIVE: what was measured since, in order. Where more than LIVE_PAYLOADS payloads wait (after an outage, while the cloud
  is away), what is live is the newest payload of it, and what is older is backlog.
- BACKLOG: all the rest, oldest first, in payloads of BACKLOG_FACTOR times as many readings, as far as the budget goes
  (budget.py). What was lost on the way goes here once more.

No lane keeps what it has sent, or a list of what it has to send: each is a place in the spool, from which on it looks
for what is neither committed nor on its way. So readings that are thinned, committed in ranges or sent by another lane
need no further thought; a crash forgets the places, and costs at worst that something is sent again.

The cloud hears of readings beyond what it has, and says so. That is no loss: lost is what was sent before something
that it has (window.py).

What was dropped is declared with the last reading of a stretch, and the cloud takes it once all before is there, or
not at all. So a declaration goes with the backlog, in its order: once all up to there is committed or on its way,
whichever lane has taken it, and nothing beyond before that. It is due until the cloud is known to have heard it,
wherever the places are: one may have passed a stretch before it was thinned, and its last reading may be with the cloud
long since.

All methods may be called from any thread; they take turns. They read the disk.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from itertools import takewhile
from typing import Final, NamedTuple

from pledgewatch_edge.budget import Budget, on_the_wire
from pledgewatch_edge.config import UplinkSettings
from pledgewatch_edge.spool.answers import Forgotten
from pledgewatch_edge.spool.spool import Spool
from pledgewatch_edge.window import Flight, Lane, Window
from pledgewatch_wire.codec import MAX_CELLS, MAX_CHECKPOINTS, Committed, Payload, encode
from pledgewatch_wire.reading import Reading

LIVE_PAYLOADS: Final = 4
ALARM_SPANS: Final = 4
BACKLOG_FACTOR: Final = 8
BACKLOG_READINGS_MAX: Final = 1_000
LOST_AGAIN_S: Final = 60.0  # before the same is taken for lost again: what the cloud refuses never lands
_LOST_MAX: Final = 64
_UNTAKEN_MAX: Final = 3
_ASKED_MAX: Final = 16
_LOOKED_AT: Final = 16
_SPANS_LOOKED_AT: Final = 64
_PATIENCE_DOUBLINGS_MAX: Final = 5


class Outgoing(NamedTuple):
    """A payload to publish, counted as sent."""

    lane: Lane
    data: bytes
    readings: int


def one_clock(readings: list[Reading], last: int) -> list[Reading]:
    """The longest run at the beginning that one payload can carry: consecutive, of one clock, up to `last`."""
    run: list[Reading] = []
    cells = 0
    for reading in readings:
        cells += len(reading.cells)
        if reading.sequence > last or cells > MAX_CELLS:
            break
        if run and (reading.sequence != run[-1].sequence + 1 or reading.clock != run[0].clock):
            break
        run.append(reading)
    return run


class Sending:
    """Chooses from a spool what one uplink sends. `begin` it with each connection."""

    def __init__(
        self,
        settings: UplinkSettings,
        spool: Spool,
        budget: Budget,
        topic: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._budget = budget
        self._topic = topic
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._window = Window(settings.in_flight_readings)
        self._live_max = settings.readings_per_payload
        self._backlog_max = max(
            self._live_max,
            min(BACKLOG_FACTOR * self._live_max, BACKLOG_READINGS_MAX, settings.in_flight_readings // 2),
        )
        self._urgent_after = self._live_after = self._backlog_after = 0  # where each lane looks on
        self._news_after = 0  # and the first, for what the cloud cannot have
        self._released = 0  # the newest reading that may be sent: `send_every_s` holds later ones back
        self._send_due = 0.0
        self._again: deque[tuple[int, int]] = deque(maxlen=_ASKED_MAX)
        self._is_catching_up = self._are_alarms_made_up = False
        self._fruitless_resends = 0
        self._lost: dict[tuple[int, int], float] = {}  # flights by what they carry, and when they were taken for lost
        self._untaken = Counter[int]()  # how often what tells up to where was lost on this connection
        self._has_doubted = False
        self._word_wanted_after: int | None = None  # that the cloud has a reading beyond, is to be said at once
        self._waits_for_bytes = 0  # what the next payload of the backlog costs, while the budget does not allow it
        self.resends = 0

    def held_back(self) -> int:
        """How many readings the budget holds back; noted on disk."""
        with self._lock:
            is_held = self._waits_for_bytes and self._budget.wait_s(self._waits_for_bytes) > 0
            on_their_way = sum(self._window.in_flight(lane) for lane in Lane)
            held = max(0, self._spool.spooled - on_their_way) if is_held else 0
            self._budget.write(held)
            return held

    def begin(self, cost: int) -> None:
        """A connection, of so many bytes. Count nothing as sent: who knows what the one before took with it."""
        with self._lock:
            self._budget.spend(cost)
            self._lost.clear()
            self._again.clear()
            self._untaken.clear()
            self._has_doubted = False
            self._send_due = self._monotonic()
            self._begin_anew()

    def resend(self, first: int, last: int) -> None:
        """Send readings once more, as far as they are here, before all others. Of many such ranges the oldest is
        forgotten."""
        with self._lock:
            self._again.append((first, last))

    def want_word(self, after: int) -> None:
        """Ask with each payload that carries a reading beyond a sequence, until one of these is committed."""
        with self._lock:
            self._word_wanted_after = after

    def send_now(self) -> None:
        """`send_every_s` holds nothing back that is measured already."""
        with self._lock:
            self._send_due = min(self._send_due, self._monotonic())

    def hear(self, committed: Committed, cost: int) -> Forgotten:
        """Let go of what the cloud has on its disk, said in so many bytes, and find out what was lost. Where the cloud
        was put back, nothing that it had said before holds, and all counts anew. Raises what `Spool.forget` raises."""
        with self._lock:
            self._budget.spend(cost)
            forgotten = self._spool.forget(committed)
            if forgotten.ignored is not None:
                return forgotten
            if forgotten.again is not None:
                self._untaken.clear()
                self._has_doubted = False
                self._begin_anew()
            if self._word_wanted_after is not None and self._spool.committed.newest > self._word_wanted_after:
                self._word_wanted_after = None
            if forgotten.readings:
                self._fruitless_resends = 0
            now = self._monotonic()
            landed = self._window.land(committed, self._spool.head_sequence)
            lost = [one for one in landed if self._is_new_loss(one, now)]
            if lost:
                self.resends += 1
                self._doubt_ranges_if_untaken(lost, committed)
                self._lost |= {(one.first, one.tells): now for one in lost[:_LOST_MAX]}
                self._window.drop(lost)
                self._news_after = self._urgent_after = self._backlog_after = 0
                self._is_catching_up = True
            return forgotten

    def next(self, *, finishing: bool = False, with_backlog: bool = True) -> Outgoing | None:
        """What to send now; None where nothing may be sent yet. When `finishing`, windows and `send_every_s` hold
        nothing back."""
        with self._lock:
            self._begin_anew_if_overdue()
            self._release(finishing=finishing)
            found = self._asked() or self._next_urgent(finishing=finishing) or self._next_live(finishing=finishing)
            return found or (self._next_backlog(finishing=finishing) if with_backlog else None)

    @property
    def is_held(self) -> bool:
        """Whether the backlog waits for the budget."""
        return self._waits_for_bytes > 0

    def patience_s(self) -> float:
        """How long nothing will be due unless something happens."""
        with self._lock:
            now = self._monotonic()
            due = [60.0]
            resend_due = self._resend_due()
            if resend_due is not None:
                due.append(resend_due - now)
            if self._settings.send_every_s and self._spool.head_sequence > self._released:
                due.append(self._send_due - now)
            if self._waits_for_bytes:
                due.append(self._budget.wait_s(self._waits_for_bytes))
            return max(0.0, min(due))

    def _doubt_ranges_if_untaken(self, lost: list[Flight], committed: Committed) -> None:
        """Where a declaration is lost again and again, what the cloud has said before it in ranges may be there no
        more: believe it no longer, once on a connection,
        and once more where it turns out to have been put back."""
        self._untaken.update(one.tells for one in lost if one.tells)
        if not self._has_doubted and max(self._untaken.values(), default=0) >= _UNTAKEN_MAX:
            self._has_doubted = True
            self._spool.doubt_ranges()
            self._begin_anew()
            self._window.land(committed, self._spool.head_sequence)

    def _begin_anew(self) -> None:
        self._window.clear()
        self._are_alarms_made_up = False
        self._news_after = self._urgent_after = self._backlog_after = 0
        self._live_after = self._spool.committed.contiguous
        self._released = self._spool.head_sequence
        self._is_catching_up = self._spool.spooled > 0 or self._spool.dropped > 0

    def _begin_anew_if_overdue(self) -> None:
        due = self._resend_due()
        if due is not None and self._monotonic() >= due:
            self.resends += 1
            self._fruitless_resends += 1
            self._begin_anew()

    def _resend_due(self) -> float | None:
        oldest = self._window.oldest_sent_at
        if oldest is None:
            return None
        return oldest + self._settings.resend_after_s * 2.0 ** min(self._fruitless_resends, _PATIENCE_DOUBLINGS_MAX)

    def _is_new_loss(self, flight: Flight, now: float) -> bool:
        """Whether a flight is lost for the first time in a while."""
        self._lost = {what: at for what, at in self._lost.items() if now - at < LOST_AGAIN_S}
        return (flight.first, flight.tells) not in self._lost

    def _release(self, *, finishing: bool) -> None:
        """Let everything measured up to now go, if it is time for that."""
        now = self._monotonic()
        if now < self._send_due and not finishing:
            return
        self._released = self._spool.head_sequence
        if self._settings.send_every_s:
            missed = (now - self._send_due) // self._settings.send_every_s
            self._send_due += (missed + 1) * self._settings.send_every_s

    def _asked(self) -> Outgoing | None:
        """The next piece of what is to be sent once more, whether it is on its way or not."""
        while self._again:
            first, last = self._again[0]
            run = one_clock(self._spool.read(first - 1, self._live_max), last)
            if run:
                payload = self._payload(run)
                self._again[0] = payload.last_sequence + 1, last
                return self._gone(Lane.LIVE, payload)
            self._again.popleft()
        return None

    def _next_urgent(self, *, finishing: bool) -> Outgoing | None:
        span, is_news = self._next_alarms()
        if span is None:
            return None
        first, last = span
        head = self._spool.head_sequence
        self._released = max(self._released, head if first > self._released else 0)
        live = self._live(first)
        if live and live[0].sequence <= first <= live[-1].sequence and self._has_room(Lane.LIVE, live, finishing):
            return self._send_live(live, finishing=finishing)
        room = self._window.room(Lane.URGENT) - (0 if is_news else self._window.limit // 2)
        limit = min(self._live_max, last - first + 1)  # a reading more is a frame more to decode
        limit = limit if finishing else min(limit, room)
        run = one_clock(self._spool.read(first - 1, limit, urgent=True), last) if limit > 0 else []
        if not run:
            return None
        payload = self._payload(run)
        if is_news:
            self._news_after = payload.last_sequence
        else:
            self._urgent_after = payload.last_sequence
        return self._sent(Lane.URGENT, payload, finishing=finishing)

    def _next_alarms(self) -> tuple[tuple[int, int] | None, bool]:
        """The alarms that go next, as (first, last), and whether they are news; None where all are on their way."""
        head = self._spool.head_sequence
        self._news_after = max(self._news_after, self._spool.committed.newest)
        news = self._alarms(self._news_after, head, ALARM_SPANS + 1)
        if len(news) > ALARM_SPANS:
            first, last = self._alarms(self._news_after, head, head)[-1]
            first = max(first, last - self._live_max + 1)
            self._news_after = first - 1
            self._are_alarms_made_up = True
            return (first, last), True
        if news:
            return news[0], True
        self._news_after = head
        older = self._alarms(self._urgent_after, head, 1)
        self._urgent_after = older[0][0] - 1 if older else head
        return (older[0] if older else None), False

    def _alarms(self, after: int, last: int, limit: int) -> list[tuple[int, int]]:
        """The first spans of alarms above `after` and up to `last` that are neither committed nor on their way."""
        found: list[tuple[int, int]] = []
        while len(found) < limit and (spans := self._spool.urgent(after, last, _SPANS_LOOKED_AT)):
            for span in spans:
                found += self._window.free_of(*span)
            after = spans[-1][1]
        return found[:limit]

    def _next_live(self, *, finishing: bool) -> Outgoing | None:
        run = self._live()
        if not run:
            self._live_after = self._released
            return None
        return self._send_live(run, finishing=finishing) if self._has_room(Lane.LIVE, run, finishing) else None

    def _live(self, wanted: int | None = None) -> list[Reading]:
        """What is live and has not been sent, or nothing where one that is `wanted` cannot be in it; what has waited
        too long is backlog from now on."""
        waiting = min(self._released - self._live_after, self._spool.spooled)
        if waiting > LIVE_PAYLOADS * self._live_max:
            self._live_after = self._released - self._live_max
            self._is_catching_up = True
        if wanted is not None and wanted <= self._live_after:
            return []
        return self._unsent(self._live_after, self._released, self._live_max)

    def _send_live(self, run: list[Reading], *, finishing: bool) -> Outgoing:
        payload = self._payload(run)
        self._live_after = payload.last_sequence
        return self._sent(Lane.LIVE, payload, finishing=finishing)

    def _next_backlog(self, *, finishing: bool) -> Outgoing | None:
        if self._waits_for_bytes and self._budget.wait_s(self._waits_for_bytes):
            return None
        self._waits_for_bytes = 0
        untold = self._untold() or self._live_after + 1
        last = min(untold, self._live_after)
        run = self._unsent(self._backlog_after, last, self._backlog_max)
        if not run:
            self._backlog_after = max(self._backlog_after, last)
            run = [one for one in self._spool.read(last - 1, 1) if last == untold == one.sequence]  # sent, or there
        if not run or not self._has_room(Lane.BACKLOG, run, finishing):
            return None
        payload = self._payload(run, tells=untold)
        cost = on_the_wire(self._topic, len(encode(payload)))
        if self._budget.wait_s(cost):
            self._waits_for_bytes = cost
            return None
        self._backlog_after = max(self._backlog_after, payload.last_sequence)
        self._is_catching_up |= bool(payload.thinned)
        return self._sent(Lane.BACKLOG, payload, finishing=finishing)

    def _untold(self) -> int | None:
        """The last reading of the first stretch that is to be declared yet."""
        return self._spool.untold(self._window.tells)

    def _has_room(self, lane: Lane, run: list[Reading], finishing: bool) -> bool:
        return finishing or self._window.room(lane) >= len(run)

    def _unsent(self, after: int, last: int, limit: int) -> list[Reading]:
        """The first run above `after` and up to `last` of what is neither committed nor on its way."""
        carries = self._window.carries
        while after < last:
            rows = self._spool.read(after, limit)
            sent = len(list(takewhile(lambda one: carries(one.sequence), rows)))
            if not sent:
                return one_clock(list(takewhile(lambda one: not carries(one.sequence), rows)), last)
            after = rows[sent - 1].sequence
        return []

    def _payload(self, run: list[Reading], *, tells: int = 0) -> Payload:
        """As much of a run as one payload can carry with the checkpoints that belong to it, and what is declared with a
        reading if it is the last."""
        first, last = run[0].sequence, run[-1].sequence
        checkpoints = self._spool.checkpoints(first, last)
        if len(checkpoints) > MAX_CHECKPOINTS:
            checkpoints = checkpoints[:MAX_CHECKPOINTS]
            last = checkpoints[-1].sequence
            run = run[: last - first + 1]
        thinned = self._spool.thinned(last, last) if last == tells else []
        return Payload(self._spool.epoch, tuple(run), tuple(checkpoints), thinned=tuple(thinned))

    def _sent(self, lane: Lane, payload: Payload, *, finishing: bool) -> Outgoing:
        """Count a payload as sent."""
        known, carries = self._spool.committed, self._window.carries
        missing = sum(one.sequence not in known and not carries(one.sequence) for one in payload.readings)
        tells = max((one.last for one in payload.thinned), default=0)
        first, last = payload.first_sequence, payload.last_sequence
        before = self._window.in_flight(lane)
        self._window.send(Flight(lane, first, last, self._monotonic(), missing, tells))
        is_asked = self._word_wanted_after is not None and last > self._word_wanted_after
        wanted = finishing or is_asked or self._is_full(lane, before) or self._has_caught_up()
        return self._gone(lane, payload._replace(committed_wanted=wanted))

    def _is_full(self, lane: Lane, before: int) -> bool:
        """Whether a lane's window, of `before` until now, is so full that a word is wanted. Of alarms that stand alone
        each word costs more than many, so one is asked for when half of it is reached and when all of it is."""
        limit, now = self._window.limit, self._window.in_flight(lane)
        return 2 * now >= limit and (lane != Lane.URGENT or 2 * before < limit or now >= limit)

    def _has_caught_up(self) -> bool:
        """Whether what just went was the last of a backlog, or of many alarms; said once."""
        if self._are_alarms_made_up and self._next_alarms()[0] is None:
            self._are_alarms_made_up = False
            return True
        if not self._is_catching_up:
            return False
        places = ((self._live_after, self._released), (self._backlog_after, self._live_after))
        is_left = any(self._unsent(after, last, _LOOKED_AT) for after, last in places)
        self._is_catching_up = is_left or self._untold() is not None
        return not self._is_catching_up

    def _gone(self, lane: Lane, payload: Payload) -> Outgoing:
        data = encode(payload)
        self._budget.spend(on_the_wire(self._topic, len(data)))
        return Outgoing(lane, data, len(payload.readings))
