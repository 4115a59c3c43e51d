"""How old what lies in the spool is, by what its own readings say.

A clock may be wrong for a while, and one wrong moment must age nothing. So the time is the middle of the newest moments
that clocks which were set have told, at most one of each minute, each with what has gone by since: a device that
measures a few times a day knows the time between as well. What was read from the disk has nothing gone by; who was off
for long knows how long once most of the newest moments are from after it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from pledgewatch_edge.sample import Sample
from pledgewatch_wire.reading import Clock, Reading

NEWEST: Final = 9
LEAST: Final = 3  # of two nobody knows which is wrong
APART_MS: Final = 60_000
PART: Final = 8
CLOSED_FROM: Final = 8
"""A segment of so many readings is closed where it would span more than this part of the longest age, so that it can
become too old; one of fewer, whose last stays whatever becomes of the others, where it would span more than all of
it."""


class Ages:
    """What time it is for the spool, and so what is too old. `age_s` 0: nothing ever is."""

    def __init__(self, age_s: float, monotonic: Callable[[], float]) -> None:
        self._age_ms = round(1_000 * age_s)
        self._monotonic = monotonic
        self._heard: deque[tuple[int, int]] = deque(maxlen=NEWEST)  # a moment, and the same less the monotonic clock
        self._is_of_before = True

    def keep_for(self, age_s: float) -> None:
        """Another longest age from now on."""
        self._age_ms = round(1_000 * age_s)

    def hear(self, readings: Iterable[Reading], *, from_disk: bool = False) -> None:
        """Take in when readings were measured."""
        counted_ms = round(1_000 * self._monotonic())
        for one in readings:
            if one.clock == Clock.UNSET:
                continue
            self._is_of_before &= from_disk
            if not self._heard or abs(one.measured_at_ms - self._heard[-1][0]) >= APART_MS:
                self._heard.append((one.measured_at_ms, one.measured_at_ms - counted_ms))

    def now_ms(self) -> int | None:
        """What time it is; None where that is not known."""
        if len(self._heard) < LEAST:
            return None
        offsets = sorted(offset for _, offset in self._heard)
        return offsets[(len(offsets) - 1) // 2] + round(1_000 * self._monotonic())

    def too_old_ms(self) -> int | None:
        """What was measured before this moment is too old; None where nothing is."""
        now_ms = self.now_ms()
        return now_ms - self._age_ms if self._age_ms and now_ms is not None else None

    def is_to_be_closed(self, begun_ms: int | None, count: int, more: Iterable[Sample]) -> bool:
        """Whether it is too long since a segment with so many readings was begun for some samples to be put there.

        Of one that was read from the disk the samples themselves tell it, for nobody knows how long the device was off.
        """
        if not self._age_ms or begun_ms is None or not count:
            return False
        told_ms = next((one.measured_at_ms for one in more if one.clock != Clock.UNSET), None)
        at_ms = told_ms if self._is_of_before and told_ms is not None else self.now_ms()
        longest_ms = self._age_ms / PART if count >= CLOSED_FROM else self._age_ms
        return at_ms is not None and at_ms - begun_ms > longest_ms
