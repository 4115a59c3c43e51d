"""The marks of a spool's own readings, against which a `committed` is held.

Each word of a cloud that has very many gaps names 64 readings, most of them known from words before. A number has one
reading for as long as its epoch lasts, so what was worked out once is kept, up to MARKS_KEPT.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from pledgewatch_edge.spool.contents import Contents
from pledgewatch_edge.spool.log import thinned_in
from pledgewatch_edge.spool.segment import Segment
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Committed
from pledgewatch_wire.marks import Marks

MARKS_KEPT: Final = 4_096


class OwnMarks:
    """Works out marks from the segments. One thread at a time; may raise what Contents raises."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._known: dict[tuple[int, bool], bytes] = {}  # those that were asked for last are the last

    def at(self, segments: Sequence[Segment], sequence: int, *, of_chain: bool) -> bytes:
        """The mark of a reading's leaf, or of the running hash after it; empty where that is not known here."""
        key = sequence, of_chain
        found = self._known.pop(key, b"")
        if not found:
            place = bisect_right(segments, sequence, key=lambda one: one.head.first) - 1
            if place >= 0 and sequence <= segments[place].last:
                look = self._of_chain if of_chain else self._of_leaf
                found = look(segments[place], sequence)
        if found:
            self._known[key] = found
            if len(self._known) > MARKS_KEPT:
                del self._known[next(iter(self._known))]
        return found

    def of_word(self, segments: Sequence[Segment], word: Committed) -> list[bytes]:
        """The marks of what a word says, its highest contiguous sequence and its ranges; empty where none is known."""
        lasts = [last for _, last in word.ranges]
        return [
            self.at(segments, word.contiguous, of_chain=True),
            *(self.at(segments, last, of_chain=False) for last in lasts),
        ]

    def _of_leaf(self, segment: Segment, sequence: int) -> bytes:
        runs = self._contents.runs(segment)
        place = bisect_right(runs, sequence, key=lambda one: one.first) - 1
        some = self._contents.readings(runs[place]).readings if place >= 0 else ()
        return next((chain.mark(chain.leaf(one)) for one in some if one.sequence == sequence), b"")

    def _of_chain(self, segment: Segment, sequence: int) -> bytes:
        thinned = thinned_in(self._contents.frames(segment))
        if thinned is not None and sequence == thinned.last:
            return chain.mark(thinned.chain_hash)
        running, following = segment.head.chain_hash, segment.head.first
        for run in self._contents.runs(segment):
            for reading in self._contents.readings(run).readings:
                if reading.sequence != following:
                    return b""  # what was dropped before it is a part of the hash
                following += 1
                running = chain.extend(running, chain.leaf(reading))
                if reading.sequence == sequence:
                    return chain.mark(running)
        return b""


def with_word(known: Marks, head: int, committed: Committed, ours: Sequence[bytes]) -> tuple[Marks, str]:
    """What is committed by a word beside what was, of the numbers up to `head`, and what it says without a mark though
    it is new; empty where nothing. `ours` are our marks of what it says."""
    if committed.contiguous > head and not committed.chain_mark:
        return known, f"it says without a mark that everything up to {committed.contiguous} is committed"
    ranges = ((1, committed.contiguous), *committed.ranges)
    marks = (committed.chain_mark, *committed.range_marks, *(b"" for _ in ranges))
    taken: list[tuple[int, int]] = []
    for (first, last), mark, our in zip(ranges, marks, ours, strict=False):
        if not 1 <= first <= last <= head:
            continue
        if not mark and not known.add_all(taken).covers(first, last):
            return known, f"it says without a mark that {first} to {last} are committed"
        if our:  # without ours it is of a reading that was dropped, or is known already
            taken.append((first, last))
    return known.add_all(taken), ""
