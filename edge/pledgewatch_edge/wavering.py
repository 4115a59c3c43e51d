"""Qualities that tremble: a probe whose checksum fails every other time, a receiver whose HDOP lies at the limit. Each
change of quality is told at once, so one that never rests would be kept as often as it is measured.

Each quality but GOOD is watched by itself, as a bound is (passing.py): a value that has it lies beyond. Its first nine
changes are told, those of another quality beside it as well; then a stay in it is told once it is no short one any
more, and so is a stay out of it where what was said last has it. Of GOOD a stay out of it is watched: two that are not
good and take turns have short stays alone, and nothing is good meanwhile. A change of what says that somebody meddles
(MEDDLED) is told always: there is no short one.

Short is a tenth of the time after which a rule proves what has not changed, a minute at least and five at most; what
has not changed for ten times as long has ended to tremble.
"""

from typing import Final

from pledgewatch_edge.passing import CALM_MS, STAY_MS, Bound
from pledgewatch_wire.reading import Quality

MEDDLED: Final = frozenset({Quality.SPOOFED, Quality.JAMMED})
LONGEST_STAY_MS: Final = 5 * STAY_MS
_CALM_STAYS: Final = CALM_MS // STAY_MS
_BAND: Final = 1  # a quality lies never farther beyond itself


def is_of_meddling(before: int | None, quality: int) -> bool:
    """Whether somebody has begun to meddle, or has ended, between two values of these qualities."""
    return before != quality and not MEDDLED.isdisjoint((before, quality))


class Wavering:
    """Of one channel, or of the fix, which changes of its quality are to be told at once."""

    def __init__(self, proven_ms: int) -> None:
        """`proven_ms`: after so long its rule keeps a value though it has not changed."""
        self.stay_ms = min(max(proven_ms // _CALM_STAYS, STAY_MS), LONGEST_STAY_MS)
        self._bounds: dict[int, Bound] = {}
        self._add(Quality.GOOD)
        self._before: int | None = None

    def hear(self, quality: int, at_ms: int) -> bool:
        """Take in a value's quality. Returns whether it is to be told."""
        if quality not in self._bounds:
            self._add(quality)
        is_told = is_of_meddling(self._before, quality)
        self._before = quality
        for one, bound in self._bounds.items():
            is_told |= bound.hear(_BAND if _lies_beyond(one, quality) else 0, at_ms)
        return is_told

    def told(self, quality: int) -> None:
        """A value of this quality was kept, for whatever reason."""
        for one, bound in self._bounds.items():
            bound.remember(says_out=_lies_beyond(one, quality))

    def _add(self, quality: int) -> None:
        self._bounds[quality] = Bound(_BAND, self.stay_ms, _CALM_STAYS * self.stay_ms)


def _lies_beyond(one: int, quality: int) -> bool:
    """Whether a value of a quality lies beyond the bound of one: whoever has it does, and of GOOD who has it not."""
    return (one == quality) != (one == Quality.GOOD)
