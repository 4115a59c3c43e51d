"""An endpoint's port: what a relay asks of whoever is on the other side, by whatever way."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Protocol

from pledgewatch_cloud.journal.outbox import OutboxMessage

IsWithdrawn = Callable[[], bool]
"""Whether the message that is being handed over has been withdrawn meanwhile; may be asked in any thread."""


class Answer(StrEnum):
    """What came of an attempt. TAKEN is for ever; REFUSED will be refused again; LATER may go better; GONE means that
    the endpoint wants nothing more; WITHDRAWN that nothing was handed over, for the message may not be sent any more.
    """

    TAKEN = "taken"
    LATER = "later"
    REFUSED = "refused"
    GONE = "gone"
    WITHDRAWN = "withdrawn"


class Failure(StrEnum):
    """Why an attempt was not taken, as it is counted."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER_ERROR = "server_error"
    FORBIDDEN_ADDRESS = "forbidden_address"
    DISK = "disk"
    RATE_LIMITED = "rate_limited"
    REDIRECT = "redirect"
    CLIENT_ERROR = "client_error"
    REFUSED = "refused"
    GONE = "gone"
    NO_WORD = "no_word"
    OTHER = "other"


ABOUT_THE_ENDPOINT = frozenset(
    {Failure.TIMEOUT, Failure.CONNECTION, Failure.SERVER_ERROR, Failure.FORBIDDEN_ADDRESS, Failure.DISK}
)
"""Failures that any other message would have met too."""


UNCLEAR = "unclear"
"""What was said of a release where the answer broke off, was too long, or has some other word for it."""


class Attempt(NamedTuple):
    """The answer to one attempt.

    `reason` and `failure` where it was not taken; `retry_after_s`: how long the endpoint asks to be left alone;
    `status` and `said`: what it answered (0: its kind of answer has none) and how that began; `keys`: fingerprints of
    the keys that signed; `release`: what it said of the release that the message is about: `booked`, `none`, nothing or
    UNCLEAR.
    """

    answer: Answer
    reason: str = ""
    retry_after_s: float = 0.0
    failure: Failure = Failure.OTHER
    status: int = 0
    said: bytes = b""
    keys: str = ""
    release: str = ""

    @property
    def is_about_the_endpoint(self) -> bool:
        """Whether any other message would have failed too."""
        return self.answer is Answer.LATER and self.failure in ABOUT_THE_ENDPOINT


WITHDRAWN = Attempt(Answer.WITHDRAWN, "it was withdrawn before it was sent")


class WithdrawnError(Exception):
    """A message was withdrawn before its first byte had gone out."""


class Endpoint(Protocol):
    """One place that messages are delivered to. It may be sent one message more than once and knows it by its id."""

    async def deliver(self, message: OutboxMessage, is_withdrawn: IsWithdrawn) -> Attempt:
        """Hand over one message. TAKEN only when the other side has said that it has it; its faults are not raised.

        `is_withdrawn` is asked right before the first byte goes out, however long the way up to there has taken.
        """
        ...
