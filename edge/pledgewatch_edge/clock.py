"""What time it is, and who says so.

A container's computer may boot in 1970, or with the time at which it was last switched off. So the agent never hands
out a time without the name of the clock that told it:

- GPS: a fix with a time was heard. Now is the receiver's time plus what a monotonic clock has counted since. That
  holds for HOLDOVER_MS without another fix (a crystal drifts about two seconds a day), then falls to the next.
- NTP: the kernel says that its clock is synchronised.
- RTC: the system's clock shows a time at which this program could have existed.
- UNSET: it shows a time before that, so it is wrong; or the configuration says that it is not to be believed.

Under GPS the clock does not run backwards: sentences arrive with jitter, so a fix may tell a time a little before what
was already handed out, and then the clock stands still until the receiver has caught up. A step of more than STEP_MS
back is no jitter but a correction, and is followed; standing still for years because of one wild fix would be worse.
Forward steps of any size are followed.
"""

import ctypes
import time
from collections.abc import Callable
from typing import Final

from pledgewatch_wire.reading import Clock

RELEASED_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z, before this program was ever built
HOLDOVER_MS: Final = 24 * 3_600_000
STEP_MS: Final = 10_000
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES: Final = 512  # struct timex is 208 bytes on 64-bit Linux and smaller elsewhere


def system_ms() -> int:
    """The system clock, Unix milliseconds."""
    return time.time_ns() // 1_000_000


def boot_ms() -> int:
    """Milliseconds since boot, also counting while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def kernel_is_synchronised() -> bool:
    """Whether the kernel says that a time service keeps its clock (adjtimex(2) with nothing to change)."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return False
    state: int = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return state not in {-1, _TIME_ERROR}


class AgentClock:
    """The agent's one clock. The three sources are arguments so that a test can be any machine on any day."""

    def __init__(
        self,
        *,
        system_ms: Callable[[], int] = system_ms,
        monotonic_ms: Callable[[], int] = boot_ms,
        is_synchronised: Callable[[], bool] = kernel_is_synchronised,
        trust_system: bool = True,
    ) -> None:
        self._system_ms = system_ms
        self._monotonic_ms = monotonic_ms
        self._is_synchronised = is_synchronised
        self._trust_system = trust_system
        self._offset_ms: int | None = None  # GPS time less monotonic time, since the latest fix
        self._fixed_at_ms = 0
        self._latest_ms = 0

    def now(self) -> tuple[int, Clock]:
        """Unix milliseconds UTC, and the clock that tells them."""
        monotonic_ms = self._monotonic_ms()
        if self._offset_ms is not None and monotonic_ms - self._fixed_at_ms <= HOLDOVER_MS:
            self._latest_ms = max(self._latest_ms, monotonic_ms + self._offset_ms)
            return self._latest_ms, Clock.GPS
        self._offset_ms = None
        now_ms = self._system_ms()
        if not self._trust_system:
            return now_ms, Clock.UNSET
        if self._is_synchronised():
            return now_ms, Clock.NTP
        return now_ms, Clock.RTC if now_ms >= RELEASED_MS else Clock.UNSET

    def offset_ms(self) -> int | None:
        """The system's clock less the receiver's time; None where no receiver tells it."""
        now_ms, clock = self.now()
        return self._system_ms() - now_ms if clock is Clock.GPS else None

    def mark(self) -> int:
        """This moment, for telling `set_by_fix` later when a time was heard. Only differences mean anything."""
        return self._monotonic_ms()

    def set_by_fix(self, time_ms: int, heard_at: int | None = None) -> None:
        """Hear a receiver's time (Unix milliseconds UTC), as of a `mark`, or just now where it is None.

        Give only times of a fix that has a position.
        """
        monotonic_ms = self._monotonic_ms()
        was_set = self._offset_ms is not None
        self._offset_ms = time_ms - (monotonic_ms if heard_at is None else heard_at)
        self._fixed_at_ms = monotonic_ms
        now_ms = monotonic_ms + self._offset_ms
        is_jitter = was_set and 0 < self._latest_ms - now_ms <= STEP_MS
        if not is_jitter:
            self._latest_ms = now_ms
