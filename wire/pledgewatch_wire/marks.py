"""Which sequences of one epoch are there: all up to a mark, and ranges beyond it.

The cloud keeps one such set for each device and epoch; `committed` is that set said aloud, or part of it
where it has very many ranges. The same arithmetic serves
the device, which forgets what the set covers.
"""

from bisect import bisect_left
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

    def add(self, first: int, last: int) -> "Marks":
        """The set with first to last in it as well."""
        if not self.ranges and first <= self.contiguous + 1:
            return self if last <= self.contiguous else Marks(last)
        merged: list[tuple[int, int]] = []
        for low, high in sorted([(0, self.contiguous), *self.ranges, (first, last)]):
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
