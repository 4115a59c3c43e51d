"""That samples were refused is a reading too: when it is said, and how often.

What the spool cannot take (it is full of what is urgent, the disk refused for too long, no payload can hold it) gets no
number, so it leaves no gap that anybody would miss. It is counted, and the count is said as an urgent reading. The
spool takes that one however full it is; so that it stays few bytes, it is said at most once in TELL_S, and while the
spool is full each time after twice as long as the time before: in a year fourteen times. A start of the agent counts
as a time, so that one which starts again and again does not fill the disk with it.

How many were numbered and not to be found in a broken spool (spool_rescue.py) is said likewise, once for each new life.
"""

import math
from collections.abc import Callable
from typing import Final

TELL_S: Final = 3_600.0


class Refusals:
    """How many samples were refused, ever, and of how many of them a reading tells."""

    def __init__(
        self, refused: int, told: int, monotonic: Callable[[], float], *, broken: int = 0, broken_told: int = 0
    ) -> None:
        self.refused = refused
        self.told = told
        self.broken, self.broken_told = broken, broken_told
        self._monotonic = monotonic
        self._told_at = monotonic() if told else -math.inf
        self._wait_s = TELL_S

    def is_due(self, *, is_full: bool) -> bool:
        """Whether there is something to say, and it may be said by now."""
        wait_s = self._wait_s if is_full else TELL_S
        return self.refused > self.told and self._monotonic() - self._told_at >= wait_s

    @property
    def is_broken_untold(self) -> bool:
        """Whether more were lost in a broken spool than was said."""
        return self.broken > self.broken_told

    def say(self, told: int, *, is_full: bool) -> None:
        """So many have been said."""
        if self.told:
            self._wait_s = 2 * self._wait_s if is_full else TELL_S
        self.told, self._told_at = told, self._monotonic()
