"""Alarms that a sensor raises by itself, again and again: what is urgent is never dropped, so a loose screw that shakes
an accelerometer four times a second would fill the spool.

Alarms that come each less than CALM_S after the one before are a bout. Of a bout the first FIRST_MAX go at once, and
after those each that comes when none has gone for PAUSE_S, and each that is greater by half than the greatest that has
gone without such a pause. So one that does not go comes less than PAUSE_S after another, and hardly greater than what
is known; what comes seldom always goes. What becomes of those that do not go is said by who asks.
"""

from dataclasses import dataclass
from typing import Final

FIRST_MAX: Final = 12
PAUSE_S: Final = 60.0
CALM_S: Final = 600.0


@dataclass(slots=True)
class Bout:
    """Of alarms of one kind how many have gone in this bout, when the last one went, and how great they were."""

    _count: int = 0
    _heard_s: float = 0.0
    _went_s: float = 0.0
    _greatest: int = 0

    def hear(self, size: int, now_s: float) -> bool:
        """Take in an alarm, by a clock that never goes back. Returns whether it goes at once."""
        is_news = self.is_news(size, now_s)
        if is_news:
            self.goes(size, now_s)
        return is_news

    def is_news(self, size: int, now_s: float) -> bool:
        """Take in an alarm; whether it is one that goes at once. It has not gone by that."""
        if now_s - self._heard_s >= CALM_S:
            self._count = 0
        self._heard_s = now_s
        is_greater = 2 * size >= 3 * max(1, self._greatest)
        return self._count < FIRST_MAX or is_greater or self._is_later(now_s)

    def goes(self, size: int, now_s: float) -> None:
        """One that was taken in goes, for whatever reason."""
        self._greatest = size if self._is_later(now_s) else max(size, self._greatest)
        self._count += 1
        self._went_s = now_s

    def _is_later(self, now_s: float) -> bool:
        return not self._count or now_s - self._went_s >= PAUSE_S
