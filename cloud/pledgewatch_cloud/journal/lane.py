"""A lane: one facility's messages on their way to one endpoint, in order.

A message is stored once, whoever gets it. What an endpoint has had of a facility is one number, `done`: all up to that
sequence is delivered, passed over, withdrawn or not wanted there. Of the message in front only this is remembered, and
only once it was tried: how often, when again, what was said last, and whether it is a dead letter.

    waiting ─► waiting      an attempt failed; the next one is not before `next_attempt_at_ms`
            ├► (behind)     2xx: `done` moves up to it, and the next message is in front
            └► dead ─► waiting     a person sends it again, or sets the lane back
                    └► (behind)    a person passes it over; or it is withdrawn, or not wanted any more

A lane that was set back while a message of it was under way must not be moved on by what comes of that attempt, so
each message carries the `done` that it was taken at.
"""

from typing import NamedTuple


class Lane(NamedTuple):
    """How an endpoint stands with a facility. `tried` is the sequence that what follows is about; 0: none was tried.

    `records` counts the delivery records of this lane, so that one that is gone shows.
    """

    endpoint: str
    facility: str
    done: int = 0
    tried: int = 0
    attempts: int = 0
    next_attempt_at_ms: int = 0
    last_error: str = ""
    is_dead: bool = False
    records: int = 0

    def taken(self, sequence: int, now_ms: int) -> "Lane":
        """The endpoint has said 2xx of `sequence`."""
        return self._cleared(now_ms)._replace(done=max(self.done, sequence))

    def failed(self, sequence: int, error: str, next_attempt_at_ms: int) -> "Lane":
        """It has not taken `sequence`; try again then."""
        attempts = self.attempts_at(sequence) + 1
        return self._replace(
            tried=sequence, attempts=attempts, last_error=error, next_attempt_at_ms=next_attempt_at_ms, is_dead=False
        )

    def buried(self, sequence: int, error: str) -> "Lane":
        """Nobody there will take `sequence` as things are."""
        return self.failed(sequence, error, self.next_attempt_at_ms)._replace(is_dead=True)

    def sent_again(self, now_ms: int) -> "Lane":
        """Its dead letter waits as if it had never been tried."""
        return self._replace(attempts=0, next_attempt_at_ms=now_ms, is_dead=False)

    def passed_over(self) -> "Lane":
        """Its dead letter is given up."""
        return self._cleared(0)._replace(done=self.tried)

    def is_behind(self, done: int) -> bool:
        """Whether setting it back to `done` sends anything again: what was done of it, or its dead letter."""
        return self.done > done or (self.is_dead and self.tried > done)

    def set_back(self, done: int) -> "Lane":
        """All beyond `done` is sent, whatever was sent of it before. A lane is never set forward."""
        return self._cleared(0)._replace(done=min(self.done, done))

    def refiltered(self, done: int, *, is_front_wanted: bool) -> "Lane":
        """The endpoint wants other messages than before: all up to `done` is passed by, and what was noted about the
        message in front is nothing any more where that is not wanted now."""
        after = self if is_front_wanted else self._cleared(0)
        return after._replace(done=max(self.done, done))

    def without_front(self) -> "Lane":
        """The message in front is withdrawn: what was noted about it is nothing any more."""
        return self._cleared(0)

    def attempts_at(self, sequence: int) -> int:
        """How often a message was tried."""
        return self.attempts if self.tried == sequence else 0

    def _cleared(self, next_attempt_at_ms: int) -> "Lane":
        return Lane(self.endpoint, self.facility, self.done, 0, 0, next_attempt_at_ms, "", False, self.records)  # noqa: FBT003
