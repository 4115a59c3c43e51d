"""Stores whose outbox holds what a test wants, without a word about goods."""

from collections.abc import Sequence

from builders import NOON_MS

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.batch import Entry, Tick
from pledgewatch_cloud.decide.messages import Message, MessageType, message
from pledgewatch_cloud.decide.step import Outcome
from pledgewatch_cloud.journal.outbox import CORE, DeliveryRecord, OutboxMessage
from pledgewatch_cloud.journal.store import Store

BASE, RELEASE, ALERT = MessageType.RECORD_BASE, MessageType.RELEASE_DISBURSEMENT, MessageType.RAISE_ALERT
HOLD, RETRACT = MessageType.HOLD_RELEASE, MessageType.RETRACT_RELEASE


class Bench:
    """Puts messages into a store's outbox, an entry at a time, one second apart."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.entry = 0
        self._sequences: dict[str, int] = {}
        self._state = state_module.first(store.journal)

    def put(self, *wanted: tuple[str, MessageType], withdrawn: Sequence[str] = ()) -> list[str]:
        """One entry with these messages, as (facility, type); returns their ids."""
        self.entry += 1
        messages = [self._message(place, *one) for place, one in enumerate(wanted)]
        entry = Entry(self.entry, self.now_ms, Tick(0))
        self.store.append(entry, Outcome(self._state, (), tuple(messages), tuple(withdrawn)))
        return [one.id for one in messages]

    @property
    def now_ms(self) -> int:
        """When the last entry was recorded."""
        return NOON_MS + 1_000 * self.entry

    def _message(self, place: int, facility: str, kind: MessageType) -> Message:
        sequence = self._sequences[facility] = self._sequences.get(facility, 0) + 1
        where = f"{self.entry}.{place}"
        return message(self.store.journal, where, kind, facility, sequence, "lot-1", self.now_ms, {"n": sequence})


def take(store: Store, message: OutboxMessage, endpoint: str = CORE) -> None:
    """The endpoint takes a message."""
    store.delivered(message, DeliveryRecord(endpoint, message.id, NOON_MS, message.attempts + 1, 200, b"{}"))


def drained(store: Store, endpoint: str = CORE) -> list[tuple[str, int]]:
    """What an endpoint is sent until nothing is due, as (facility, sequence); it takes each."""
    found = []
    while due := store.due(endpoint, 2**62):
        for one in due:
            found.append((one.facility, one.sequence))
            take(store, one, endpoint)
    return found


def not_withdrawn() -> bool:
    """Nothing was withdrawn."""
    return False
