"""What there is in a bin by when it came into the warehouse: what came first goes first.

Nobody can tell goods of one key apart, so which of them left is a rule and no fact. It is the same for everybody who
hears of the same rows, so two who ask when what is there came in have the same answer:

    came (received, returned)       dated then
    left (shipped, sold)            the earliest dated first
    moved                           takes the earliest dated along, with their dates
    less by a correction            the earliest dated first, as if they had left
    more by a correction            the latest dated of what corrections took; beyond that, dated then *or before*

Corrections are adjustments and what counts find. They give back what they took, so a slip that is put right and a
complete count, which takes all and gives back what it counts, leave the dates as they were. Where more left than ever
came, what comes next fills that gap and is gone at once; what was moved out of nothing is dated then.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pledgewatch_cloud.decide.stock.rows import StockKey

CORRECTS = frozenset({"adjusted", "unreconciled"})


class Aged(NamedTuple):
    """Goods that came in, in thousandths: at a moment, or, where not `is_exact`, then or before."""

    at_ms: int
    is_exact: bool
    milli: int


class Step(NamedTuple):
    """What changed a key. The two sides of what was moved come one after the other, what left a bin first."""

    at_ms: int
    key: StockKey
    kind: str
    milli: int


class _Bin:
    """What is in a bin and what corrections took, the earliest first; and by how much more left than came."""

    __slots__ = ("gap_milli", "there", "took")

    def __init__(self) -> None:
        self.there: list[Aged] = []
        self.took: list[Aged] = []
        self.gap_milli = 0

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

    def correct(self, at_ms: int, milli: int) -> None:
        """There are more, or less."""
        if milli < 0:
            for one in self.take(-milli):
                insort(self.took, one)
            return
        found = min(milli, self.gap_milli)
        self.gap_milli -= found
        back, rest = _taken(self.took, milli - found, latest=True)
        self.put([*back, *([Aged(at_ms, is_exact=False, milli=rest)] if rest else [])])


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
        bins[one].correct(horizon_ms - 1, milli)
    moving: list[Aged] = []
    for at_ms, one, kind, milli in steps:
        place = bins[one]
        if kind in CORRECTS:
            place.correct(at_ms, milli)
        elif kind == "moved" and milli > 0:
            place.put(moving)
        elif milli > 0:
            place.put([Aged(at_ms, is_exact=True, milli=milli)])
        else:
            moving = place.take(-milli)
            rest = -milli - sum(some.milli for some in moving)
            if rest:
                insort(moving, Aged(at_ms, is_exact=True, milli=rest))
    return bins[key].there
