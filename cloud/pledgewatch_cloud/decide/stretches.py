"""Stretches of time: when something holds, as pieces [from, until) in Unix milliseconds, and how to combine them.

Stretches ascend and lie apart: what touches is one, and what is empty is none. So what holds at the same moments is
always written the same, and two of them can be compared. All time is ALWAYS, from -NEVER to NEVER; nothing lies beyond.
Every function but `joined` takes stretches as they are written here, and every function returns them so.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

NEVER = 2**62  # a moment that never comes, in Unix milliseconds

Stretch = tuple[int, int]
"""A stretch of time, [from, until) in Unix milliseconds."""
Stretches = tuple[Stretch, ...]
"""Stretches that ascend and lie apart."""

ALWAYS: Stretches = ((-NEVER, NEVER),)
NONE: Stretches = ()


def joined(some: Iterable[Stretch]) -> Stretches:
    """When any of some stretches holds; they may come in any order, overlap, touch and be empty."""
    found: list[Stretch] = []
    for since_ms, until_ms in sorted(some):
        if since_ms >= until_ms:
            continue
        if found and since_ms <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], until_ms)
        else:
            found.append((since_ms, until_ms))
    return tuple(found)


def shared(some: Stretches, others: Stretches) -> Stretches:
    """When both hold."""
    return at_least(2, (some, others))


def without(some: Stretches, others: Stretches) -> Stretches:
    """When the first holds and the second does not."""
    return shared(some, complement(others))


def complement(some: Stretches) -> Stretches:
    """When it does not hold."""
    edges = [-NEVER, *chain.from_iterable(some), NEVER]
    return tuple(pair for pair in zip(edges[::2], edges[1::2], strict=True) if pair[0] < pair[1])


def at_least(count: int, several: Sequence[Stretches]) -> Stretches:
    """When so many of several hold at once; ALWAYS where none need to."""
    if count <= 0:
        return ALWAYS
    found: list[Stretch] = []
    holding, since_ms = 0, 0
    # At one moment beginnings come before ends, so that a stretch which takes over where another ends leaves no seam.
    edges = [(edge_ms, place) for some in several for one in some for place, edge_ms in enumerate(one)]
    for edge_ms, is_end in sorted(edges):
        holding += -1 if is_end else 1
        if not is_end and holding == count:
            since_ms = edge_ms
        elif is_end and holding == count - 1 and since_ms < edge_ms:
            found.append((since_ms, edge_ms))
    return tuple(found)


def begun_before(some: Stretches, at_ms: int) -> Stretches:
    """Those that begin before a moment, whole."""
    return tuple(one for one in some if one[0] < at_ms)


def first_ms(some: Stretches) -> int | None:
    """The first moment at which it holds."""
    return some[0][0] if some else None


def covers(some: Stretches, one: Stretch) -> bool:
    """Whether it holds all through a stretch."""
    return any(since_ms <= one[0] and one[1] <= until_ms for since_ms, until_ms in some)


def stretch_at(some: Stretches, at_ms: int) -> Stretch | None:
    """The stretch that a moment lies in."""
    for one in some:  # a loop: this is asked a hundred thousand times a second
        if one[0] <= at_ms < one[1]:
            return one
    return None
