"""When holds are lifted: by whoever placed them, where they were placed, and as often.

A lift says that its sender holds the goods no more; of somebody else's hold, or of one at another place, it says
nothing. Who has placed several holds at a place and lifts one has lifted one of them, nobody knows which: all are over
once none is left. A lift without a hold before it is nothing, and no credit for a hold to come. A hold may end by
itself, and then need not be lifted. Where all of a sender's holds are at one place, a lift that names no place is meant
for that one; else it may be.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.trade.notice import Notice

_Where = tuple[str, str]
"""A sender and a place; the place is empty where none is named."""


class Lifted(NamedTuple):
    """Moments in order at which holds may have been lifted, and at which all of them surely were. `anywhere` is by
    sender, the others by sender and place."""

    maybe: Mapping[_Where, Sequence[int]]
    anywhere: Mapping[str, Sequence[int]]
    surely: Mapping[_Where, Sequence[int]]

    def since(self, hold: Notice) -> tuple[int, int]:
        """From when on a hold may be over, and surely is; NEVER: not."""
        sender, place, at_ms = hold.sender, hold.place, hold.happened_ms
        may = self.maybe.get((sender, place), ()) if place else self.anywhere.get(sender, ())
        may_ms = min(first(may, at_ms), first(self.maybe.get((sender, ""), ()), at_ms))
        return may_ms, first(self.surely.get((sender, place), ()), at_ms + 1)


def lifted(holds: Sequence[Notice], lifts: Sequence[Notice], believed: Sequence[Notice]) -> Lifted:
    """When some holds were lifted, each sequence in order of time. `believed` are the lifts that may be believed."""
    placed, sure = _by_place(holds), _by_place(believed)
    places: dict[str, set[str]] = {}
    for sender, place in placed:
        places.setdefault(sender, set()).add(place)
    surely: dict[_Where, Sequence[int]] = {}
    for (sender, place), some in placed.items():
        counted = sure.get((sender, place), [])
        if len(places[sender]) == 1:
            counted = [one for one in believed if one.sender == sender and (not place or one.place in ("", place))]
        surely[sender, place] = _none_left(some, counted)
    maybe = {where: [one.happened_ms for one in some] for where, some in _by_place(lifts).items()}
    anywhere: dict[str, list[int]] = {}
    for one in lifts:
        anywhere.setdefault(one.sender, []).append(one.happened_ms)
    return Lifted(maybe, anywhere, surely)


def first(moments_ms: Sequence[int], since_ms: int) -> int:
    """The first of some moments in order, from one on; NEVER: there is none."""
    place = bisect_left(moments_ms, since_ms)
    return moments_ms[place] if place < len(moments_ms) else NEVER


def _by_place(notices: Iterable[Notice]) -> dict[_Where, list[Notice]]:
    found: dict[_Where, list[Notice]] = {}
    for one in notices:
        found.setdefault((one.sender, one.place), []).append(one)
    return found


def _none_left(holds: Sequence[Notice], lifts: Sequence[Notice]) -> list[int]:
    """The lifts after which none of the holds is left. What is lifted in the moment in which it is placed, was placed
    after it."""
    happened = [(one.happened_ms, 0, NEVER) for one in lifts] + [(one.happened_ms, 1, one.until_ms) for one in holds]
    left: list[int] = []  # when each that is there ends by itself
    found = []
    for at_ms, is_hold, until_ms in sorted(happened):
        while left and left[0] <= at_ms:
            heappop(left)
        if is_hold:
            heappush(left, until_ms)
            continue
        if left:
            heappop(left)
        if not left:
            found.append(at_ms)
    return found
