"""That samples were refused is a reading too: when it is said, and how often.

What the spool cannot take (it is full of what is urgent, the disk refused for too long, no payload can hold it) gets no
number, so it leaves no gap that anybody would miss. It is counted, and the count is said as an urgent reading. The
spool takes that one however full it is; so that it stays few bytes, it is said at most once in TELL_S, and while the
spool is full each time after twice as long as the time before: in a year fourteen times. A start of the agent counts
as a time, so that one which starts again and again does not fill the disk with it. Where the cloud may have been put
back (spool/put_back.py), and nothing was measured since that could prove it, the next is due after TELL_S: nothing else
finds room.

How many were numbered and not to be found in a broken spool (spool/rescue.py) is said likewise, once for each new life;
and so is what became of the numbers of each life that is over (spool/ended.py).
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Self

from pledgewatch_edge.identity import Totals
from pledgewatch_wire.ended import Ended, ended_cells
from pledgewatch_wire.reading import Cell, Channel

TELL_S: Final = 3_600.0


class Told(NamedTuple):
    """What readings tell, each of some cells, and what is told by them."""

    readings: tuple[tuple[Cell, ...], ...]
    refused: int
    broken: int
    ended: int


class Refusals:
    """How many samples were refused, ever, and of how many of them a reading tells; and the same of what was broken."""

    def __init__(
        self, refused: int, told: int, monotonic: Callable[[], float], *, broken: int = 0, broken_told: int = 0
    ) -> None:
        self.refused = refused
        self.told = told
        self.broken, self.broken_told = broken, broken_told
        self.ended: Sequence[Ended] = ()
        self.ended_told = 0
        self._monotonic = monotonic
        self._told_at = monotonic() if told else -math.inf
        self._wait_s = TELL_S

    @classmethod
    def of(cls, totals: Totals, ended: Sequence[Ended], monotonic: Callable[[], float]) -> Self:
        """By a tally. What an epoch before this one has told is in none (Totals.begun_anew): it may have been lost with
        that, so it is told again."""
        found = cls(
            totals.refused, totals.refused_told, monotonic, broken=totals.broken, broken_told=totals.broken_told
        )
        found.ended, found.ended_told = ended, totals.ended_told
        return found

    def is_due(self, *, waits_longer: bool) -> bool:
        """Whether there is something to say, and it may be said by now: after TELL_S, or twice as long as before."""
        wait_s = self._wait_s if waits_longer else TELL_S
        return self.refused > self.told and self._monotonic() - self._told_at >= wait_s

    @property
    def is_broken_untold(self) -> bool:
        """Whether more were lost in a broken spool than was said."""
        return self.broken > self.broken_told

    @property
    def is_any_untold(self) -> bool:
        """Whether a broken spool has something to tell that was not told."""
        return self.is_broken_untold or any(one.epoch > self.ended_told for one in self.ended)

    def due(self, *, waits_longer: bool) -> Told:
        """What is to be said now."""
        is_due = self.is_due(waits_longer=waits_longer)
        refused = [Cell(Channel.REFUSED_READINGS, self.refused)] if is_due else []
        broken = [Cell(Channel.BROKEN_READINGS, self.broken)] if self.is_broken_untold else []
        ended = [one for one in self.ended if one.epoch > self.ended_told]
        counts = [tuple(refused + broken)] if refused or broken else []
        return Told(
            (*map(ended_cells, ended), *counts),
            self.refused if refused else self.told,
            self.broken,
            max((one.epoch for one in ended), default=self.ended_told),
        )

    def note(self, told: Told, *, is_full: bool) -> None:
        """So much has been said."""
        if told.refused > self.told:
            self.say(told.refused, is_full=is_full)
        self.broken_told, self.ended_told = told.broken, told.ended

    def say(self, told: int, *, is_full: bool) -> None:
        """So many have been said."""
        if self.told:
            self._wait_s = 2 * self._wait_s if is_full else TELL_S
        self.told, self._told_at = told, self._monotonic()
