"""The outbox in memory; MemoryStore adds the journal."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from pledgewatch_cloud.decide.messages import Message
from pledgewatch_cloud.journal.form import WrittenEntry
from pledgewatch_cloud.journal.lane import Lane
from pledgewatch_cloud.journal.outbox import (
    ANSWER_MAX_BYTES,
    Begin,
    DeadLetter,
    DeliveryRecord,
    EndpointState,
    OutboxMessage,
    Wanted,
    is_current,
    outbox_message,
)


class MemoryOutbox:
    """See pledgewatch_cloud.journal.outbox.Outbox for the contract."""

    def __init__(self) -> None:
        self._entries: list[WrittenEntry] = []
        self._outbox: dict[str, OutboxMessage] = {}
        self._order: dict[str, list[tuple[int, str]]] = {}  # by facility: sequences and ids
        self._declared: dict[str, tuple[Begin, Wanted]] = {}
        self._stopped: dict[str, tuple[int, str]] = {}
        self._quiet_until_ms: dict[str, int] = {}
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._records: list[DeliveryRecord] = []

    def declare(self, endpoint: str, wanted: Wanted, begin: Begin) -> None:
        """There is such an endpoint; see Outbox."""
        known = self._declared.get(endpoint)
        fronts = [(lane, next(self._waiting(lane), None)) for lane in self._lanes_of(endpoint)] if known else []
        self._declared[endpoint] = known[0] if known else begin, wanted
        for lane, front in fronts if known and known[1] != wanted else ():
            done = front.sequence - 1 if front else self._order[lane.facility][-1][0]
            is_front_wanted = front is not None and wanted.facility(lane.facility) and wanted.message(front)
            self._put(lane.refiltered(done, is_front_wanted=is_front_wanted))
        if known is None and begin is Begin.NOW:
            for facility, order in self._order.items():
                self._put(Lane(endpoint, facility, order[-1][0]))

    def due(
        self,
        endpoint: str,
        now_ms: int,
        *,
        besides: frozenset[str] = frozenset(),
        limit: int = 1_000,
        ahead: bool = False,
    ) -> list[OutboxMessage]:
        """The message in front of each lane, if due; see Outbox."""
        if endpoint in self._stopped or now_ms < self._quiet_until_ms.get(endpoint, 0):
            return []
        lanes = [self._lane(endpoint, one) for one in sorted(self._order) if one not in besides]
        ready = [one for one in lanes if not one.is_dead and (ahead or one.next_attempt_at_ms <= now_ms)]
        ready.sort(key=lambda one: one.next_attempt_at_ms)
        fronts = ((lane, next(self._waiting(lane), None)) for lane in ready)
        found = islice(((lane, one) for lane, one in fronts if one is not None), limit)
        return [replace(one, attempts=lane.attempts_at(one.sequence), done=lane.done) for lane, one in found]

    def delivered(self, message: OutboxMessage, record: DeliveryRecord) -> None:
        """The endpoint has taken it; see Outbox."""
        lane = self._lane(record.endpoint, message.facility)
        after = lane.taken(message.sequence, record.at_ms) if is_current(lane, message) else lane
        self._records.append(record._replace(answer=record.answer[:ANSWER_MAX_BYTES]))
        self._put(after._replace(records=lane.records + 1))

    def failed(self, endpoint: str, message: OutboxMessage, error: str, next_attempt_at_ms: int) -> None:
        """Try again later; see Outbox."""
        lane = self._lane(endpoint, message.facility)
        if self._counts(lane, message):
            self._put(lane.failed(message.sequence, error, next_attempt_at_ms))

    def buried(self, endpoint: str, message: OutboxMessage, error: str) -> None:
        """To the dead letters; see Outbox."""
        lane = self._lane(endpoint, message.facility)
        if self._counts(lane, message):
            self._put(lane.buried(message.sequence, error))

    def hurry(self, endpoint: str, now_ms: int) -> None:
        """What waits is due; see Outbox."""
        for lane in list(self._lanes.values()):
            if lane.endpoint == endpoint and not lane.is_dead and lane.next_attempt_at_ms > now_ms:
                self._put(lane._replace(next_attempt_at_ms=now_ms))

    def stop(self, endpoint: str, why: str, now_ms: int) -> None:
        """The endpoint wants nothing more; see Outbox."""
        self._declared.setdefault(endpoint, (Begin.FIRST, Wanted()))
        self._stopped[endpoint] = now_ms, why

    def leave_alone(self, endpoint: str, until_ms: int) -> None:
        """Nothing is due until then; see Outbox."""
        self._declared.setdefault(endpoint, (Begin.FIRST, Wanted()))
        self._quiet_until_ms[endpoint] = max(until_ms, self._quiet_until_ms.get(endpoint, 0))

    def resume(self, endpoint: str, now_ms: int) -> bool:
        """Lift the stop; see Outbox."""
        if endpoint not in self._declared:
            return False
        self._stopped.pop(endpoint, None)
        self._quiet_until_ms.pop(endpoint, None)
        self.hurry(endpoint, now_ms)
        return True

    def dead_letters(self, endpoint: str = "") -> list[DeadLetter]:
        """Dead letters, oldest first; see Outbox."""
        found = []
        for lane in self._lanes.values():
            if lane.is_dead and endpoint in ("", lane.endpoint):
                one = self._outbox[dict(self._order[lane.facility])[lane.tried]]
                message = replace(one, attempts=lane.attempts, done=lane.done)
                found.append(DeadLetter(lane.endpoint, message, lane.last_error))
        found.sort(key=lambda one: (one.message.entry, one.message.facility, one.endpoint))
        return found

    def send_again(self, endpoint: str, message_id: str, now_ms: int) -> bool:
        """Make a dead letter due again; see Outbox."""
        lane = self._dead(endpoint, message_id)
        if lane is not None:
            self._put(lane.sent_again(now_ms))
        return lane is not None

    def pass_over(self, endpoint: str, message_id: str) -> bool:
        """Give a dead letter up; see Outbox."""
        lane = self._dead(endpoint, message_id)
        if lane is not None:
            self._put(lane.passed_over())
        return lane is not None

    def set_back(self, endpoint: str, facility: str, sequence: int) -> bool:
        """Send a facility's messages again; see Outbox."""
        if facility not in self._order:
            return False
        self._put(self._lane(endpoint, facility).set_back(max(0, sequence - 1)))
        return True

    def set_back_to_entry(self, endpoint: str, entry: int) -> int:
        """Send again what entries from there on led to; see Outbox."""
        firsts: dict[str, int] = {}
        for one in self._outbox.values():
            if one.entry >= entry:
                firsts[one.facility] = min(one.sequence, firsts.get(one.facility, one.sequence))
        lanes = [(self._lane(endpoint, facility), first - 1) for facility, first in firsts.items()]
        moved = [lane.set_back(done) for lane, done in lanes if lane.is_behind(done)]
        for lane in moved:
            self._put(lane)
        return len(moved)

    def entry_at(self, at_ms: int) -> int:
        """The first entry recorded at or after a moment; see Outbox."""
        return next((one.number for one in self._entries if one.recorded_at_ms >= at_ms), len(self._entries) + 1)

    def endpoints(self) -> list[EndpointState]:
        """Every endpoint that was declared; see Outbox."""
        return [self.endpoint(name) for name in sorted(self._declared)]

    def endpoint(self, name: str) -> EndpointState:
        """One endpoint; see Outbox."""
        begin, wanted = self._declared.get(name, (Begin.FIRST, Wanted()))
        stopped_at_ms, why = self._stopped.get(name, (0, ""))
        lanes = self._lanes_of(name)
        waiting = [one for lane in lanes for one in self._waiting(lane)]
        dead = sum(one.is_dead for one in lanes)
        return EndpointState(
            name,
            begin,
            wanted,
            stopped_at_ms,
            why,
            self._quiet_until_ms.get(name, 0),
            len(waiting) - dead,
            dead,
            sum(one.records for one in lanes),
            self.oldest_pending_ms(name),
            {one.facility: one.last_error for one in lanes if one.tried},
        )

    def oldest_pending_ms(self, endpoint: str) -> int | None:
        """How far it lies behind; see Outbox."""
        fronts = [next(self._waiting(lane), None) for lane in self._lanes_of(endpoint)]
        oldest = min((one.entry for one in fronts if one is not None), default=None)
        return None if oldest is None else self._entries[oldest - 1].recorded_at_ms

    def deliveries(self, message_id: str) -> list[DeliveryRecord]:
        """Who has taken a message; see Outbox."""
        return [one for one in self._records if one.message == message_id]

    def _put_out(self, entry: int, messages: Iterable[Message], withdrawn: Iterable[str]) -> None:
        """An entry's messages, and what it withdraws."""
        for one in messages:
            self._outbox[one.id] = outbox_message(one, entry)
            self._order.setdefault(one.facility, []).append((one.sequence, one.id))
        for message_id in withdrawn:
            message = self._outbox[message_id]
            self._outbox[message_id] = replace(message, withdrawn_by=message.withdrawn_by or entry)
            for lane in list(self._lanes.values()):
                if (lane.facility, lane.tried) == (message.facility, message.sequence):
                    self._put(lane.without_front())

    def _waiting(self, lane: Lane) -> Iterator[OutboxMessage]:
        """What a lane has still to send, in order."""
        wanted = self._declared[lane.endpoint][1] if lane.endpoint in self._declared else Wanted()
        if not wanted.facility(lane.facility):
            return
        order = self._order[lane.facility]
        for place in range(bisect_right(order, lane.done, key=lambda one: one[0]), len(order)):
            one = self._outbox[order[place][1]]
            if wanted.message(one):
                yield one

    def _lanes_of(self, endpoint: str) -> list[Lane]:
        return [self._lane(endpoint, facility) for facility in self._order]

    def _lane(self, endpoint: str, facility: str) -> Lane:
        return self._lanes.get((endpoint, facility), Lane(endpoint, facility))

    def _put(self, lane: Lane) -> None:
        self._lanes[lane.endpoint, lane.facility] = lane

    def _dead(self, endpoint: str, message_id: str) -> Lane | None:
        message = self._outbox.get(message_id)
        if message is None:
            return None
        lane = self._lane(endpoint, message.facility)
        return lane if lane.is_dead and lane.tried == message.sequence else None

    def _counts(self, lane: Lane, message: OutboxMessage) -> bool:
        return self._outbox[message.id].withdrawn_by == 0 and is_current(lane, message)
