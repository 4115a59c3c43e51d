"""What folds the journal anew is done one after the other, in a thread of its own.

    who asks ─► is it asked already? share it ─► is there a place? wait ─► one thread folds ─► all who asked for it

A refold takes seconds of the processor, so there is never more than one, and it takes no thread from reads that are
short. Where nobody waits for one any more, for their clients have gone, it is given up.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus

from starlette.types import Receive

from pledgewatch_cloud.access.view import Refold
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.spine.base_at import BaseAt

REFOLDS_MAX = 8
"""Different ones that are under way or wait, of everybody."""
OF_ONE_MAX = 3
"""Requests of one user that wait for any; who is known by no name is one."""
OF_PARTY_MAX = 4
"""Different ones that were begun for users of one party, so that none has all places."""
_AGAIN = {"retry-after": "5"}


class _UnderWay:
    """A refold that somebody waits for."""

    def __init__(self, refold: Refold, party: str) -> None:
        self.name, self._make, self.party = refold.name, refold.make, party
        self.waiting = 0
        self.is_given_up = False
        self.found: Future[BaseAt] = Future()

    def fold(self) -> BaseAt:
        """In the thread. Raises Problem where it is given up."""
        self._go_on()
        return self._make(self._go_on)

    def _go_on(self) -> None:
        if self.is_given_up:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the base of another moment was given up", headers=_AGAIN)


class Refolds:
    """Bases that are being found in the journal, by the names of their refolds."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "refold")
        self._under_way: dict[tuple[object, ...], _UnderWay] = {}
        self._of: Counter[str] = Counter()
        self._is_ending = False

    def __len__(self) -> int:
        """How many are under way or wait."""
        return len(self._under_way)

    @property
    def waiting(self) -> int:
        """How many requests wait for any."""
        return self._of.total()

    async def of(self, viewer: Viewer, refold: Refold, receive: Receive) -> BaseAt:
        """What a refold finds, for a request of a user, whose `receive` tells when the client has gone.

        Raises what the refold raises, and Problem: 429 where the user or their party waits for too many; 503 where
        there is no place, or no more.
        """
        with self._waiting(viewer, refold) as one:
            found, gone = asyncio.wrap_future(one.found), asyncio.ensure_future(_gone(receive))
            # An error that nobody is there to hear is no fault.
            found.add_done_callback(lambda done: done.cancelled() or done.exception())
            try:
                await asyncio.wait((found, gone), return_when=asyncio.FIRST_COMPLETED)
                if not found.done():
                    gone.result()
                    raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the client has gone", headers=_AGAIN)
                return found.result()
            finally:
                gone.cancel()

    @contextlib.contextmanager
    def _waiting(self, viewer: Viewer, refold: Refold) -> Iterator[_UnderWay]:
        user = viewer.user
        if self._of[user] >= OF_ONE_MAX:
            text = f"{OF_ONE_MAX} requests of yours wait for bases of other moments; ask again when one is answered"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, headers=_AGAIN)
        one = self._under_way.get(refold.name) or self._begun(refold, viewer.party)
        one.waiting += 1
        self._of[user] += 1
        try:
            yield one
        finally:
            one.waiting -= 1
            self._of[user] -= 1
            if not self._of[user]:
                del self._of[user]
            if not one.waiting:
                del self._under_way[one.name]
                one.is_given_up = True
                one.found.cancel()

    def _begun(self, refold: Refold, party: str) -> _UnderWay:
        if sum(one.party == party for one in self._under_way.values()) >= OF_PARTY_MAX:
            text = f"{OF_PARTY_MAX} bases of other moments are being found for {party or 'the keeper'}; ask again later"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, headers=_AGAIN)
        if self._is_ending or len(self) >= REFOLDS_MAX:
            text = "there is no place for another base of another moment now"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, headers=_AGAIN)
        one = self._under_way[refold.name] = _UnderWay(refold, party)
        one.found = self._thread.submit(one.fold)
        return one

    def end(self) -> None:
        """Give all of them up, and let nobody begin another."""
        self._is_ending = True
        for one in self._under_way.values():
            one.is_given_up = True

    def close(self) -> None:
        """Wait until nothing is folded."""
        self._thread.shutdown()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
