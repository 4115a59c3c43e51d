"""The outbox's part of the Store: messages on their way to endpoints, and what each endpoint has had.

Messages are in it from the entry that led to them, once each, whatever endpoints there are. An endpoint is known from
when it was declared; it has a lane for each facility (journal/lane.py). Nothing here reads a clock.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from pledgewatch_cloud.decide.messages import Message
from pledgewatch_cloud.journal.lane import Lane

CORE = "core"
"""The endpoint that the financing core is."""
ANSWER_MAX_BYTES = 2_048
PASSED_BY_MAX = 256
"""How many messages that an endpoint does not want may lie beyond `done` before that is written down."""


class Begin(StrEnum):
    """Where an endpoint that is new begins: with what is sent from now on, or with the first message of all."""

    NOW = "now"
    FIRST = "first"


class Wanted(NamedTuple):
    """What an endpoint is sent: these types, these facilities; empty means every one."""

    types: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()

    def facility(self, name: str) -> bool:
        """Whether anything of this facility is wanted."""
        return not self.facilities or name in self.facilities

    def message(self, one: "OutboxMessage") -> bool:
        """Whether this message is wanted, of a facility that is, and not withdrawn."""
        return one.withdrawn_by == 0 and (not self.types or one.type in self.types)


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A message as it is stored, and what a delivery must know: `attempts` at this endpoint so far, and the lane's
    `done` when it was taken. `withdrawn_by`: the entry that withdrew it, or 0.
    """

    id: str
    type: str
    facility: str
    sequence: int
    body: bytes
    entry: int = 0
    withdrawn_by: int = 0
    attempts: int = 0
    done: int = 0


class DeliveryRecord(NamedTuple):
    """Evidence that an endpoint has taken a message: when, at which attempt, with which status (0: none is said there),
    and how its answer began. `keys` names the keys that signed it, by their fingerprints, with a blank between."""

    endpoint: str
    message: str
    at_ms: int
    attempt: int
    status: int = 0
    answer: bytes = b""
    keys: str = ""


class DeadLetter(NamedTuple):
    """A message that an endpoint refused for good or was offered too often. It holds its lane."""

    endpoint: str
    message: OutboxMessage
    error: str


class EndpointState(NamedTuple):
    """An endpoint as the disk knows it. `oldest_pending_ms`: when the oldest message that it has still to be sent was
    put out, in the journal's time, or None. `stopped_why` is empty where it is not stopped; it asks to be left alone
    until `quiet_until_ms` (0: it does not); `records` counts what it has taken, `errors` names what facilities were
    answered last, where the message in front has failed."""

    name: str
    begin: Begin
    wanted: Wanted
    stopped_at_ms: int
    stopped_why: str
    quiet_until_ms: int
    pending: int
    dead: int
    records: int
    oldest_pending_ms: int | None
    errors: dict[str, str]


class Outbox(Protocol):
    """What the relays ask of the disk. Any method may raise StoreError. What is noted is durable on return.

    An endpoint that was never declared wants everything, from the first message on.
    """

    def declare(self, endpoint: str, wanted: Wanted, begin: Begin) -> None:
        """There is such an endpoint, and this is what it wants. `begin` counts the first time only.

        Where it wants something else than before, what lies before the first message that it has still to be sent is
        passed by for good, and what lies behind that is judged by what it wants now.
        """
        ...

    def due(
        self,
        endpoint: str,
        now_ms: int,
        *,
        besides: frozenset[str] = frozenset(),
        limit: int = 1_000,
        ahead: bool = False,
    ) -> list[OutboxMessage]:
        """The message in front of each lane that is neither dead nor waiting, those that wait longest first; none where
        the endpoint is stopped or asks to be left alone. `besides`: facilities to leave out; `ahead`: also what waits
        for its next attempt."""
        ...

    def delivered(self, message: OutboxMessage, record: DeliveryRecord) -> None:
        """The endpoint has taken it: keep the record, and move its lane on unless that was set back meanwhile."""
        ...

    def failed(self, endpoint: str, message: OutboxMessage, error: str, next_attempt_at_ms: int) -> None:
        """The endpoint has not taken it; try again then. Nothing where it was withdrawn, or its lane set back."""
        ...

    def buried(self, endpoint: str, message: OutboxMessage, error: str) -> None:
        """Nobody there will take it as things are: a dead letter. Nothing where `failed` notes nothing."""
        ...

    def hurry(self, endpoint: str, now_ms: int) -> None:
        """The endpoint is back after an outage: what waits for its next attempt is due."""
        ...

    def stop(self, endpoint: str, why: str, now_ms: int) -> None:
        """The endpoint wants nothing more (410): nothing is due until somebody resumes it."""
        ...

    def leave_alone(self, endpoint: str, until_ms: int) -> None:
        """The endpoint asks to be left alone (429, 503): nothing is due until then, or a later moment noted before."""
        ...

    def resume(self, endpoint: str, now_ms: int) -> bool:
        """Lift the stop, if there is one, leave it alone no longer, and make due what waits. False where no such
        endpoint is known."""
        ...

    def dead_letters(self, endpoint: str = "") -> list[DeadLetter]:
        """Dead letters of an endpoint, or of all, oldest first: of each facility one at most at each endpoint."""
        ...

    def send_again(self, endpoint: str, message_id: str, now_ms: int) -> bool:
        """Make a dead letter due again. False where the endpoint has no dead letter of that id."""
        ...

    def pass_over(self, endpoint: str, message_id: str) -> bool:
        """Give a dead letter up, so that those behind it go. False where the endpoint has none of that id."""
        ...

    def set_back(self, endpoint: str, facility: str, sequence: int) -> bool:
        """Send a facility's messages again from `sequence` on. False where that facility has sent none."""
        ...

    def set_back_to_entry(self, endpoint: str, entry: int) -> int:
        """Send again what entries from `entry` on led to. Returns how many facilities that is."""
        ...

    def entry_at(self, at_ms: int) -> int:
        """The first entry recorded at or after a moment; the next one, where there is none yet."""
        ...

    def endpoints(self) -> list[EndpointState]:
        """Every endpoint that was declared, by name."""
        ...

    def endpoint(self, name: str) -> EndpointState:
        """One endpoint, declared or not. Counts all that it has still to be sent, which takes its time."""
        ...

    def oldest_pending_ms(self, endpoint: str) -> int | None:
        """As EndpointState has it, without counting."""
        ...

    def deliveries(self, message_id: str) -> list[DeliveryRecord]:
        """Who has taken a message, in the order in which it was noted."""
        ...


def outbox_message(one: Message, entry: int) -> OutboxMessage:
    """A message as an entry puts it out."""
    return OutboxMessage(one.id, one.type, one.facility, one.sequence, one.body, entry)


def is_current(lane: Lane, message: OutboxMessage) -> bool:
    """Whether what came of an attempt still moves the lane."""
    return lane.done == message.done
