"""Limits that are passed: each time is urgent, and what is urgent is never dropped, so a value that trembles about one
is not. Each bound is watched by itself.

A stay beyond a bound is an excursion once its value lies farther beyond than the limit's `band`, or once it has lasted
for more than STAY_MS. Where an excursion begins is urgent, unless the stay was told when it began; where it ends always
is. Any other stay is short and shallow, and may be a tremble: its two passes are counted, each less than CALM_MS after
those before. From pass PASSES_MAX + 2 on they are not urgent. Excursions are never counted, so they bring about no
tremble, and within one they are told as ever.

Where what was urgent last says beyond, and the value has come back without being told, that is urgent once it lies
farther inside than the band, or for more than STAY_MS. The tremble has ended when no stay has been counted for CALM_MS,
which is urgent once if the value lies inside then.

After a start the first value of a bound is urgent where it lies beyond, and also where it lies inside and what was
urgent last before the start did not (beyond.py): what has ended meanwhile is told as well.

So within the band there is at most one urgent value in each STAY_MS on either side and PASSES_MAX + 2 in each CALM_MS;
of what is farther beyond there are as many as there are excursions. Which values are kept is not said here:
sampling.py's rules do as always. Moments are the samples' own; one that goes back begins the rest anew.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

PASSES_MAX: Final = 8
CALM_MS: Final = 600_000
STAY_MS: Final = 60_000


class Limit(NamedTuple):
    """Bounds of one channel. What lies within `band` of one may be a tremble."""

    low: int | None
    high: int | None
    margin: int
    band: int = 0

    def side(self, value: int, margin: int = 0) -> int:
        """-1 below, 1 above, 0 between, of bounds that are narrower by a margin."""
        if self.high is not None and value > self.high - margin:
            return 1
        return -1 if self.low is not None and value < self.low + margin else 0


@dataclass(slots=True)
class Bound:
    """On which side of one bound a channel lies, and how often it has passed it without rest. What is short, and what
    is rest, others than limits say by themselves (wavering.py)."""

    band: int
    stay_ms: int = STAY_MS
    calm_ms: int = CALM_MS
    _is_out: bool = False
    _is_excursion: bool = False  # the stay beyond, where it is out
    _says_out: bool = False  # what was urgent last
    _passes: int = 0  # of short and shallow stays that are over
    _since_ms: int | None = None
    _counted_ms: int = 0

    def remember(self, *, says_out: bool) -> None:
        """What was urgent last of what is kept, or was kept meanwhile for another reason."""
        self._says_out = says_out

    def hear(self, beyond: int, at_ms: int) -> bool:
        """Take in how far beyond the bound a value is, less than 1 inside. Returns whether it is urgent."""
        is_urgent = self._since_ms is None and self._says_out
        if self._since_ms is None:
            self._since_ms = self._counted_ms = at_ms
        self._since_ms, self._counted_ms = min(self._since_ms, at_ms), min(self._counted_ms, at_ms)
        if not self._is_out and at_ms - self._counted_ms >= self.calm_ms:
            is_urgent |= self._passes > PASSES_MAX
            self._passes = 0
        is_out = beyond > 0
        if is_out != self._is_out:
            is_urgent |= self._pass(at_ms - self._since_ms, at_ms)
            self._since_ms = at_ms
        is_sure = abs(beyond) > self.band or at_ms - self._since_ms > self.stay_ms
        if is_out and is_sure and not self._is_excursion:
            self._is_excursion = True
            is_urgent |= self._passes > PASSES_MAX
        is_urgent |= not is_out and is_sure and self._says_out
        if is_urgent:
            self._says_out = is_out
        return is_urgent

    def _pass(self, stay_ms: int, at_ms: int) -> bool:
        """To the other side, after so long on this one."""
        self._is_out = not self._is_out
        if self._is_out:
            self._is_excursion = False
            return self._passes <= PASSES_MAX
        if self._is_excursion or stay_ms > self.stay_ms:
            return True
        self._passes += 2
        self._counted_ms = at_ms
        return self._passes <= PASSES_MAX + 1


@dataclass(slots=True)
class Passing:
    """Of one channel where its value lies, and how often it has passed a limit without rest. Across a restart it knows
    what it is told by `remember`, and a value that lies beyond then has passed a limit."""

    limit: Limit
    _low: Bound = field(init=False)
    _high: Bound = field(init=False)

    def __post_init__(self) -> None:
        self._low, self._high = Bound(self.limit.band), Bound(self.limit.band)

    def remember(self, *, low: bool, high: bool) -> None:
        """Before the first value: whether what was urgent last, before this start, lay below `low`, above `high`."""
        self._low.remember(says_out=low)
        self._high.remember(says_out=high)

    def remind(self, *, low: bool, high: bool) -> None:
        """At any time: what said that the value is no longer below `low`, above `high`, was not kept."""
        if low:
            self._low.remember(says_out=True)
        if high:
            self._high.remember(says_out=True)

    def hear(self, value: int, at_ms: int) -> bool:
        """Take in a value. Returns whether it is urgent."""
        low, high, is_urgent = self.limit.low, self.limit.high, False
        if low is not None:
            is_urgent |= self._low.hear(low - value, at_ms)
        if high is not None:
            is_urgent |= self._high.hear(value - high, at_ms)
        return is_urgent
