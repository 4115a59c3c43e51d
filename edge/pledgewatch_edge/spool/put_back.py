"""Whether the device's counter was put back, or the cloud's journal: which of them came from an older copy.

Where the cloud has other readings under numbers of this log, or more of them, the counter was put back.

Where the cloud was, it lacks what it had said to be committed, and the device has let go of that. So the gap never
closes: the chain stands still, and beyond so many readings the cloud takes no more. Then the epoch ends, and what is
here yet goes into a new one, which has no gap.

A word that says less than one before may be an old one: a broker keeps words for a device that is away, and says again
what was not acknowledged. So it takes two, by which the same reading is missing that was known to be committed when
the first was heard, and of which the second has a reading that was measured after that. That one is not old, and what
a cloud has only grows, but for this.

At all times a segment goes only by one word alone, the last: of two the first may be of the cloud of before, and what
is missing between them would go as committed.

A reading of a range is missing by a word that names all. By one that cannot, only what follows on `contiguous` is.
"""

from collections.abc import Iterator, Sequence

from pledgewatch_wire.codec import Committed
from pledgewatch_wire.marks import Marks


class PutBack:
    """What words tell of the cloud's."""

    def __init__(self) -> None:
        self._missing = 0  # by the word before, though it was committed
        self._head = 0  # when that was heard

    def waits_for_more_than(self, head: int) -> bool:
        """Whether nothing was measured since that could prove it; `head`: the newest number."""
        return self._missing > 0 and self._head >= head

    def is_proven(self, word: Committed, ours: Sequence[bytes], known: Marks, head: int) -> bool:
        """Whether this is the word that proves it. `ours`: our marks of what it says; `known`: what was known to be
        committed before it; `head`: the newest number."""
        missing = next(lacking(word, known), (0, 0))[0]
        if not missing or missing != self._missing:
            self._missing, self._head = missing, head
            return False
        marked = zip(word.ranges, word.range_marks, ours[1:], strict=False)
        return max((last for (_, last), mark, our in marked if our and our == mark), default=0) > self._head


def lacking(word: Committed, known: Marks) -> Iterator[tuple[int, int]]:
    """What a word shows to be missing of what was known to be committed, as (first, last), ascending."""
    after, said = word.contiguous + 1, Marks(word.contiguous, word.ranges)
    for first, last in ((1, known.contiguous), *known.ranges):
        if first <= after <= last:
            yield after, last
        elif word.names_all:
            yield from said.missing_of(first, last)


def counter_put_back(word: Committed, ours: Sequence[bytes], head: int) -> str:
    """What a word shows of a counter that was put back; nothing where it shows none. `ours`: our marks of what it says;
    `head`: the newest number."""
    said, why = word.contiguous, "the counter has been put back"
    if said > head:
        return f"the cloud has readings up to {said} and the newest here is {head}: {why}"
    lasts = (said, *(last for _, last in word.ranges))
    for last, our, mark in zip(lasts, ours, (word.chain_mark, *word.range_marks), strict=False):
        if our and mark and our != mark:
            return f"the cloud has another reading {last}: {why}"
    return ""
