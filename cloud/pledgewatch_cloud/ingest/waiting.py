"""What waits to be committed: what is live goes first, however much of the past waits beside it.

A device that comes back sends days in payloads of hundreds of readings, and a thousand such devices must not keep
another one's newest reading waiting for a minute. So large payloads stand aside, and with them whatever the same device
said after one of them: each device is heard in its own order. How much waits here is bounded by what the broker may
have unacknowledged with us, and by the loop where that is no bound.
"""

from collections import Counter, deque
from collections.abc import Iterable
from itertools import islice

from pledgewatch_cloud.ingest.subscriber import Message

LIVE_MAX_BYTES = 256  # some readings; an agent's backlog comes sixty at a time, in 400 bytes


class Waiting:
    """Messages in two rows."""

    def __init__(self) -> None:
        self._live: deque[Message] = deque()
        self._past: deque[Message] = deque()
        self._aside: Counter[str] = Counter()  # topics that have messages in the second row

    def __len__(self) -> int:
        return len(self._live) + len(self._past)

    @property
    def has_past(self) -> bool:
        """Whether anything stands in the second row."""
        return bool(self._past)

    def add(self, messages: Iterable[Message]) -> None:
        """Put messages, as they arrived, behind those of their row."""
        live, past, aside = self._live, self._past, self._aside
        for one in messages:
            if len(one.payload) <= LIVE_MAX_BYTES and one.topic not in aside:
                live.append(one)
            else:
                past.append(one)
                aside[one.topic] += 1

    def forget(self, token: int) -> None:
        """Without the messages up to a token."""
        kept = [one for one in (*self._live, *self._past) if one.token > token]
        self._live.clear()
        self._past.clear()
        self._aside.clear()
        self.add(sorted(kept, key=lambda one: one.token))

    def live(self, limit: int) -> list[Message]:
        """The first of the first row. They are out of it."""
        return [self._live.popleft() for _ in range(min(limit, len(self._live)))]

    def past(self, limit: int) -> list[Message]:
        """The first of the second row. They stay in it until they are `done`."""
        return list(islice(self._past, limit))

    def done(self, count: int) -> None:
        """So many of the second row are committed."""
        for _ in range(count):
            topic = self._past.popleft().topic
            self._aside[topic] -= 1
            if not self._aside[topic]:
                del self._aside[topic]
