"""Limits that are passed: each time is urgent, and what is urgent is never dropped, so a value that trembles about one
is not.

A value trembles once it has passed limits PASSES_MAX times and once more, each time less than CALM_MS after the time
before. From then on that it passes one is not urgent, unless it goes farther beyond than twice as far as it has been
while it trembled, or beyond the other limit: that is no trembling. It has ended when the value lies on one side for
CALM_MS, which is urgent once, and the next time is urgent as ever. So what is urgent is at most one in each CALM_MS and
one for each doubling. Which values are kept is not said here: sampling.py's rules do as always.

Moments are the samples' own; one that goes back begins the rest anew.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

PASSES_MAX: Final = 8
CALM_MS: Final = 600_000


class Limit(NamedTuple):
    """Bounds of one channel."""

    low: int | None
    high: int | None
    margin: int

    def side(self, value: int, margin: int = 0) -> int:
        """-1 below, 1 above, 0 between, of bounds that are narrower by a margin."""
        if self.high is not None and value > self.high - margin:
            return 1
        return -1 if self.low is not None and value < self.low + margin else 0

    def beyond(self, value: int) -> int:
        """How far beyond its bounds a value is, 0 between."""
        above = 0 if self.high is None else value - self.high
        below = 0 if self.low is None else self.low - value
        return max(0, above, below)


@dataclass(slots=True)
class Passing:
    """Of one channel where its value lies, and how often it has passed a limit without rest. It remembers nothing
    across a restart, so a value that lies beyond then has passed one."""

    limit: Limit
    _side: int = 0
    _passes: int = 0
    _passed_ms: int | None = None
    _farthest: dict[int, int] = field(default_factory=dict)  # how far beyond each side, since it passes without rest

    def hear(self, value: int, at_ms: int) -> bool:
        """Take in a value. Returns whether it is urgent."""
        if self._passed_ms is None:
            self._passed_ms = at_ms
        self._passed_ms = min(self._passed_ms, at_ms)
        is_urgent = False
        if at_ms - self._passed_ms >= CALM_MS:
            is_urgent = self._passes > PASSES_MAX
            self._passes = 0
            self._farthest.clear()
        side = self.limit.side(value)
        if side != self._side:
            self._side, self._passed_ms = side, at_ms
            self._passes += 1
            is_urgent |= self._passes <= PASSES_MAX + 1
        if side:
            before, beyond = self._farthest.get(side, 0), self.limit.beyond(value)
            is_farther = beyond > 2 * before
            if is_farther or self._passes <= PASSES_MAX:
                self._farthest[side] = max(before, beyond)
            is_urgent |= is_farther and self._passes > PASSES_MAX
        return is_urgent
