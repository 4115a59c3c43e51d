"""What there is in a bin by when it came into the warehouse: what came first goes first.

Nobody can tell goods of one key apart, so which of them left is a rule and no fact. It is the same for everybody who
hears of the same rows, so two who ask when what is there came in have the same answer:

    came (received, returned)       dated then
    left (shipped, sold)            the earliest dated first
    moved                           takes the earliest dated along, with their dates
    less by a correction            the earliest dated first, as if they had left
    more by an adjustment           the latest dated of what corrections took; beyond that, dated then *or before*
    more by a count                 dated then or before, but after the count before it

Corrections are adjustments and what counts find. An adjustment gives back what corrections took, so a slip that is put
right leaves the dates as they were. A count gives nothing back: one that finds less tells of goods that left, and the
next that finds more tells of others that came, for of a stock system that only counts nothing else tells of either.
What is counted at one moment is one count, so a complete one, which takes all and then counts, leaves the dates as they
were. Where more left than ever came, what comes next fills that gap and is gone at once; what was moved out of nothing
is dated then.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from pledgewatch_cloud.decide.stock.rows import StockKey

_COUNTED = "unreconciled"
CORRECTS = frozenset({"adjusted", _COUNTED})
LONG_AGO_MS = 0
"""Since when goods may have come that nothing tells of."""


class Aged(NamedTuple):
    """Goods that came in, in thousandths: at a moment or before, and at `since_ms` or after."""

    at_ms: int
    since_ms: int
    milli: int


class Step(NamedTuple):
    """What changed a key. The two sides of what was moved come one after the other, what left a bin first."""

    at_ms: int
    key: StockKey
    kind: str
    milli: int


class _Bin:
    """What is in a bin and what corrections took, the earliest first; by how much more left than came; and from when on
    what came has not been counted."""

    __slots__ = ("gap_milli", "there", "took", "uncounted_ms")

    def __init__(self) -> None:
        self.there: list[Aged] = []
        self.took: list[Aged] = []
        self.gap_milli = 0
        self.uncounted_ms = LONG_AGO_MS

    def put(self, some: Iterable[Aged]) -> None:
        """Goods come in, the earliest first."""
        for one in some:
            filled = min(self.gap_milli, one.milli)
            self.gap_milli -= filled
            if filled < one.milli:
                insort(self.there, one._replace(milli=one.milli - filled))

    def take(self, milli: int) -> list[Aged]:
        """The earliest, as far as there are any; the rest is a gap."""
        found, rest = _taken(self.there, milli, latest=False)
        self.gap_milli += rest
        return found

    def count(self, at_ms: int, milli: int) -> None:
        """A count finds so many more, or less."""
        since_ms, self.uncounted_ms = self.uncounted_ms, at_ms + 1
        if milli < 0:
            self.adjust(at_ms, milli)
        elif milli > 0:
            # What is found is not found again by an adjustment.
            _taken(self.took, max(0, milli - self.gap_milli), latest=True)
            self.put([Aged(at_ms, since_ms, milli)])

    def adjust(self, at_ms: int, milli: int) -> None:
        """There are more, or less."""
        if milli < 0:
            for one in self.take(-milli):
                insort(self.took, one)
            return
        found = min(milli, self.gap_milli)
        self.gap_milli -= found
        back, rest = _taken(self.took, milli - found, latest=True)
        self.put([*back, *([Aged(at_ms, LONG_AGO_MS, rest)] if rest else [])])


def _taken(some: list[Aged], milli: int, *, latest: bool) -> tuple[list[Aged], int]:
    """So much of some goods, from the latest or the earliest on; and how much there is too little."""
    found: list[Aged] = []
    for one in reversed(some) if latest else some:
        if not milli:
            break
        taken = min(milli, one.milli)
        milli -= taken
        found.append(one._replace(milli=taken))
    if found:
        count = len(found)
        last = some[-count if latest else count - 1]
        left = [last._replace(milli=last.milli - found[-1].milli)] if last.milli > found[-1].milli else []
        some[slice(-count, None) if latest else slice(count)] = left
    return found, milli


def ages_of(key: StockKey, folded: Mapping[StockKey, int], horizon_ms: int, steps: Iterable[Step]) -> list[Aged]:
    """What there is of a key, the earliest first. `folded` is what there was of it, and of all keys that goods were
    moved there from, before the horizon; `steps` are what has changed them since."""
    bins: defaultdict[StockKey, _Bin] = defaultdict(_Bin)
    for one, milli in folded.items():
        bins[one].adjust(horizon_ms - 1, milli)
    moving: list[Aged] = []
    for at_ms, one, kind, milli in _as_counted(steps):
        place = bins[one]
        if kind == _COUNTED:
            place.count(at_ms, milli)
        elif kind in CORRECTS:
            place.adjust(at_ms, milli)
        elif kind == "moved" and milli > 0:
            place.put(moving)
        elif milli > 0:
            place.put([Aged(at_ms, at_ms, milli)])
        else:
            moving = place.take(-milli)
            rest = -milli - sum(some.milli for some in moving)
            if rest:
                insort(moving, Aged(at_ms, at_ms, rest))
    return bins[key].there


def _as_counted(steps: Iterable[Step]) -> Iterator[Step]:
    """Steps, with all that counts find of a key at one moment as one. They come after all else of that moment."""
    for (at_ms, is_count), some in groupby(steps, lambda one: (one.at_ms, one.kind == _COUNTED)):
        if not is_count:
            yield from some
            continue
        found: defaultdict[StockKey, int] = defaultdict(int)
        for one in some:
            found[one.key] += one.milli
        yield from (Step(at_ms, key, _COUNTED, milli) for key, milli in found.items())
