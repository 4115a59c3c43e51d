"""The financing core's port: what the relay asks of whoever is on the other side."""

from enum import StrEnum
from typing import NamedTuple, Protocol

from pledgewatch_cloud.journal.store import OutboxMessage


class Answer(StrEnum):
    """What came of an attempt. TAKEN is for ever; REFUSED will be refused again; LATER may go better."""

    TAKEN = "taken"
    LATER = "later"
    REFUSED = "refused"


class Attempt(NamedTuple):
    """The answer to one attempt, the reason where it was not taken, and how long the core asks to be left alone."""

    answer: Answer
    reason: str = ""
    retry_after_s: float = 0.0


class FinancingCore(Protocol):
    """A financing core. It may be sent one message more than once and must book it once, by its id."""

    async def deliver(self, message: OutboxMessage) -> Attempt:
        """Hand over one message. TAKEN only when the core has said that it has it; never raises on its account."""
        ...
