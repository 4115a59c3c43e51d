"""Which sequences of one epoch are there: all up to a mark, and ranges beyond it.

The cloud keeps one such set for each device and epoch; `committed` is that set said aloud, or part of it
where it has very many ranges. The same arithmetic serves
the device, which forgets what the set covers.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Marks(NamedTuple):
    """Sequences 1 to `contiguous`, and each (first, last) of `ranges`: ascending, apart, all beyond contiguous + 1."""

    contiguous: int = 0
    ranges: tuple[tuple[int, int], ...] = ()

    def __contains__(self, sequence: object) -> bool:
        if not isinstance(sequence, int):
            return False
        if 1 <= sequence <= self.contiguous:
            return True
        place = bisect_left(self.ranges, (sequence + 1, 0)) - 1
        return place >= 0 and self.ranges[place][0] <= sequence <= self.ranges[place][1]

    def overlaps(self, first: int, last: int) -> bool:
        """Whether any sequence of first to last is there."""
        return first <= self.contiguous or any(low <= last and first <= high for low, high in self.ranges)

    def covers(self, first: int, last: int) -> bool:
        """Whether all sequences of first to last are there."""
        return next(self.missing_of(first, last), None) is None

    def missing_of(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What of first to last is not there, as (first, last), ascending."""
        first = max(first, self.contiguous + 1)
        place = max(0, bisect_left(self.ranges, (first, 0)) - 1)
        while first <= last:
            low, high = self.ranges[place] if place < len(self.ranges) else (last + 1, last + 1)
            if first < low:
                yield first, min(last, low - 1)
            first = max(first, high + 1)
            place += 1

    def add(self, first: int, last: int) -> "Marks":
        """The set with first to last in it as well."""
        return self.add_all([(first, last)])

    def add_all(self, spans: Iterable[tuple[int, int]]) -> "Marks":
        """The set with some spans, (first, last), in it as well; they may overlap, in any order."""
        added = sorted(spans)
        if not added:
            return self
        if len(added) == 1 and not self.ranges and added[0][0] <= self.contiguous + 1:
            return self if added[0][1] <= self.contiguous else Marks(added[0][1])
        merged: list[tuple[int, int]] = []
        for low, high in sorted([(0, self.contiguous), *self.ranges, *added]):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return Marks(merged[0][1], tuple(merged[1:]))

    @property
    def total(self) -> int:
        """How many sequences are there."""
        return self.contiguous + sum(last - first + 1 for first, last in self.ranges)

    def total_up_to(self, last: int) -> int:
        """How many sequences of 1 to `last` are there."""
        ranges = ((1, self.contiguous), *self.ranges)
        return sum(max(0, min(high, last) - low + 1) for low, high in ranges)

    @property
    def newest(self) -> int:
        """The highest sequence that is there, 0 for none."""
        return self.ranges[-1][1] if self.ranges else self.contiguous

    @property
    def missing(self) -> tuple[tuple[int, int], ...]:
        """The gaps below the highest sequence, as (first, last)."""
        gaps = []
        before = self.contiguous
        for first, last in self.ranges:
            gaps.append((before + 1, first - 1))
            before = last
        return tuple(gaps)
