"""How often somebody may ask: a bucket for each, that fills at a steady rate and holds a minute's worth, or more."""

from collections.abc import Callable
from math import ceil

KEPT_MAX = 10_000
"""Buckets that are kept; of more, those that were asked for longest ago begin full again."""
_MINUTE_S = 60


class Rates:
    """Buckets by who asks, of so many minutes' worth. `now_s` is a clock that only rises."""

    def __init__(self, per_minute: int, now_s: Callable[[], float], *, minutes: int = 1) -> None:
        self.per_minute, self._now_s, self._minutes = per_minute, now_s, minutes
        self._left: dict[str, tuple[float, float]] = {}

    def wait_s(self, name: str) -> int:
        """Take one from a bucket: 0 where there is one, else in how many whole seconds there will be."""
        now_s, most = self._now_s(), float(self.per_minute * self._minutes)
        left, since_s = self._left.pop(name, (most, now_s))
        left = min(most, left + (now_s - since_s) * self.per_minute / _MINUTE_S)
        is_enough = left >= 1
        while len(self._left) >= KEPT_MAX:
            del self._left[next(iter(self._left))]
        self._left[name] = (left - 1 if is_enough else left), now_s
        return 0 if is_enough else max(1, ceil((1 - left) * _MINUTE_S / self.per_minute))
