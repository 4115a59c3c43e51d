"""Streams of changes that are open: how many there may be, and that they end when the service does."""

import asyncio
from collections import Counter
from http import HTTPStatus

from pledgewatch_cloud.api.problems import Problem

STREAMS_MAX = 200
"""Streams that are open at once, of everybody."""
OF_ONE_MAX = 10
"""Streams of one user; who is known by no name is one."""
OF_PARTY_MAX = 100
"""Streams of all users of one party, so that none has all places."""
READING_MAX = 4
"""Streams that read the journal at once: the others' turn comes, and commits are not kept waiting."""
_AGAIN_S = "15"


class Streams:
    """The places for streams, by whose they are. `ending` is set when the service stops; who reads from disk for
    one holds `reading`."""

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        self.reading = asyncio.Semaphore(READING_MAX)
        self._of: Counter[str] = Counter()
        self._of_party: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many are taken."""
        return self._of.total()

    def take(self, user: str, party: str) -> None:
        """Take a place. Raises Problem: 429 where a user or their party has too many; 503 where there is none, or no
        more."""
        again = {"retry-after": _AGAIN_S}
        if self._of[user] >= OF_ONE_MAX:
            text = f"{OF_ONE_MAX} streams of yours are open; end one of them"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, headers=again)
        if self._of_party[party] >= OF_PARTY_MAX:
            text = f"{OF_PARTY_MAX} streams of {party or 'the keeper'} are open; end one of them"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, headers=again)
        if self.ending.is_set() or len(self) >= STREAMS_MAX:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "there is no place for another stream now", headers=again)
        self._of[user] += 1
        self._of_party[party] += 1

    def leave(self, user: str, party: str) -> None:
        """Give a place back."""
        for places, name in ((self._of, user), (self._of_party, party)):
            places[name] -= 1
            if not places[name]:
                del places[name]

    def end(self) -> None:
        """End them all, and let nobody begin another."""
        self.ending.set()
