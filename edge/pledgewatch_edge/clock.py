"""What time it is, and who says so.

A container's computer may boot in 1970, or with the time at which it was last switched off. So the agent never hands
out a time without the name of the clock that told it:

- GPS: a fix with a time was heard. Now is the receiver's time plus what a monotonic clock has counted since. That
  holds for HOLDOVER_MS without another fix (a crystal drifts about two seconds a day), then falls to the next.
- NTP: the kernel says that its clock is synchronised.
- RTC: the system's clock shows a time at which this program could have existed, and the machine has a clock that goes
  on while it is off.
- UNSET: it shows a time before that, or there is no such clock, or the configuration says that it has no battery, so
  it may be as of when the machine was switched off. A time service counts all the same.

Under GPS the clock does not run backwards: sentences arrive with jitter, so a fix may tell a time a little before what
was already handed out, and then the clock stands still until the receiver has caught up. A step of more than STEP_MS
back is no jitter but a correction, and is followed; standing still for years because of one wild fix would be worse.
Forward steps of any size are followed. Where what `now` tells has leapt against the monotonic clock by more than
STEP_MS, whoever made it leap, that is said in the log, once in JUMP_SAID_EVERY_MS.

Where the receiver's time and the system's clock are more than a day apart and no time service keeps that one, a
certificate is judged by both (`judged_at`): by the one alone a board whose clock is years ahead would have no link, and
by the other one whose receiver is deceived. But a receiver that tells a time more than a day before what is known to be
past (`not_before`, past.py) is not gone by there: who leads it back would bring back certificates that have ended.

`dated` tells when a moment was that was marked while the clock was not set, and how far off that may be: as far as the
clock that is now known may be off (UNCERTAINTY_MS), and what the monotonic clock may have drifted between the two.
"""

import ctypes
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pledgewatch_wire.reading import Clock

RELEASED_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z, before this program was ever built
BELIEVED_UNTIL_MS: Final = RELEASED_MS + 1_024 * 7 * 86_400_000  # 2045: a week count rolled over leads beyond it
RTC_FOLDER: Final = Path("/sys/class/rtc")
HOLDOVER_MS: Final = 24 * 3_600_000
STEP_MS: Final = 10_000
APART_MS: Final = 86_400_000
JUMP_SAID_EVERY_MS: Final = 3_600_000
# Receivers say a time up to a second after it was; a time service without a receiver of its own holds less than that
# over the worst of links; the crystal of an RTC is good to 20 parts in a million, which is under three minutes in a
# hundred days, and nobody knows when it was last set.
UNCERTAINTY_MS: Final[Mapping[Clock, int]] = {Clock.GPS: 1_000, Clock.NTP: 1_000, Clock.RTC: 180_000}
DRIFT_PPM: Final = 100  # of the crystal that the monotonic clock counts by, from the Arctic to a deck in the sun
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES: Final = 512  # struct timex is 208 bytes on 64-bit Linux and smaller elsewhere
log = logging.getLogger(__name__)


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


def machine_keeps_time(clocks: Path = RTC_FOLDER) -> bool:
    """Whether the machine has a clock that may go on while it is off. A kernel that lists none says it has none; one
    that has no such list says nothing, and then it is taken to have one."""
    try:
        return any(clocks.iterdir())
    except OSError:
        return True


class Dated(NamedTuple):
    """When something was (Unix milliseconds UTC), and how far off that may be either way."""

    at_ms: int
    uncertainty_ms: int


class AgentClock:
    """The agent's one clock. The three sources are arguments so that a test can be any machine on any day."""

    def __init__(
        self,
        *,
        system_ms: Callable[[], int] = system_ms,
        monotonic_ms: Callable[[], int] = boot_ms,
        is_synchronised: Callable[[], bool] = kernel_is_synchronised,
        keeps_time: bool = True,
    ) -> None:
        """`keeps_time`: whether the system's clock is believed also where nothing sets it."""
        self._system_ms = system_ms
        self._monotonic_ms = monotonic_ms
        self._is_synchronised = is_synchronised
        self._keeps_time = keeps_time
        self._offset_ms: int | None = None  # GPS time less monotonic time, since the latest fix
        self._fixed_at_ms = 0
        self._latest_ms = 0
        self._told: tuple[int, Clock] | None = None  # what `now` told less monotonic time, and by which clock
        self._jump_said_ms: int | None = None
        self._past_ms = 0
        self._past_until_ms = BELIEVED_UNTIL_MS

    def now(self) -> tuple[int, Clock]:
        """Unix milliseconds UTC, and the clock that tells them."""
        monotonic_ms = self._monotonic_ms()
        now_ms, clock = self._now(monotonic_ms)
        self._notice(now_ms - monotonic_ms, clock, monotonic_ms)
        return now_ms, clock

    def _now(self, monotonic_ms: int) -> tuple[int, Clock]:
        if self._offset_ms is not None and monotonic_ms - self._fixed_at_ms <= HOLDOVER_MS:
            self._latest_ms = max(self._latest_ms, monotonic_ms + self._offset_ms)
            return self._latest_ms, Clock.GPS
        self._offset_ms = None
        now_ms = self._system_ms()
        if self._is_synchronised():
            return now_ms, Clock.NTP
        return now_ms, Clock.RTC if self._keeps_time and now_ms >= RELEASED_MS else Clock.UNSET

    def _notice(self, offset_ms: int, clock: Clock, monotonic_ms: int) -> None:
        """Say that the clock has become known, or has leapt."""
        before, self._told = self._told, (offset_ms, clock)
        if before is None or abs(offset_ms - before[0]) <= STEP_MS:
            return
        if before[1] is Clock.UNSET and clock is not Clock.UNSET:
            log.info("clock known by=%s moved_ms=%d", clock.name, offset_ms - before[0])
        elif self._jump_said_ms is None or monotonic_ms - self._jump_said_ms >= JUMP_SAID_EVERY_MS:
            self._jump_said_ms = monotonic_ms
            log.warning("clock leapt by_ms=%d from=%s to=%s", offset_ms - before[0], before[1].name, clock.name)

    def offset_ms(self) -> int | None:
        """The system's clock less the receiver's time; None where no receiver tells it."""
        now_ms, clock = self.now()
        return self._system_ms() - now_ms if clock is Clock.GPS else None

    def apart(self) -> str:
        """How far the system's clock is from the receiver's time, in words; nothing where it is not a day."""
        off_ms = self.offset_ms()
        if off_ms is None or abs(off_ms) <= APART_MS:
            return ""
        days = round(abs(off_ms) / 86_400_000)
        way = "ahead of" if off_ms > 0 else "behind"
        past = ", which tells a time that is past" if self._is_led_back() else ""
        return f"this computer's clock is {days:,} day{'' if days == 1 else 's'} {way} the receiver's{past}"

    def _is_led_back(self) -> bool:
        """Whether the receiver tells a time that is known to be past."""
        now_ms, clock = self.now()
        return clock is Clock.GPS and now_ms < self._past_ms - APART_MS

    @property
    def past_ms(self) -> int:
        """The newest moment that is known to be past, Unix milliseconds; 0 where none is."""
        return self._past_ms

    def not_before(self, past_ms: int) -> None:
        """Hear of a moment that is past for certain (Unix milliseconds): who tells it could not know it before. It
        counts as far as `past_ends` has said."""
        self._past_ms = max(self._past_ms, min(past_ms, self._past_until_ms))

    def past_ends(self, until_ms: int) -> None:
        """Hear up to where anything may count as past (Unix milliseconds); what was beyond it counts up to there."""
        self._past_until_ms = until_ms
        self._past_ms = min(self._past_ms, until_ms)

    def sure_ms(self) -> int | None:
        """The time now, to a day, where a time service keeps the system's clock or a receiver agrees with it; of two
        the earlier. None where neither is so."""
        now_ms, clock = self.now()
        system_ms = self._system_ms()
        if system_ms < RELEASED_MS or (clock is Clock.GPS and self.apart()):
            return None
        return min(now_ms, system_ms) if clock in {Clock.GPS, Clock.NTP} else None

    def judged_at(self) -> tuple[int, ...]:
        """The moments by any of which a certificate is to be judged; none where the system's clock does that alone."""
        if not self.apart() or self._is_synchronised() or self._is_led_back():
            return ()
        told_ms, system_ms = self.now()[0], self._system_ms()
        return (told_ms, system_ms) if system_ms >= RELEASED_MS else (told_ms,)

    def mark(self) -> int:
        """This moment, for telling `set_by_fix` later when a time was heard. Only differences mean anything."""
        return self._monotonic_ms()

    def dated(self, marked_at: int) -> Dated | None:
        """When a `mark` was; None where no clock tells the time now."""
        now_ms, clock = self.now()
        if clock is Clock.UNSET:
            return None
        monotonic_ms = known_at = self._monotonic_ms()
        offset_ms = now_ms - monotonic_ms
        if clock is Clock.GPS and self._offset_ms is not None:
            offset_ms, known_at = self._offset_ms, self._fixed_at_ms
        drift_ms = abs(known_at - marked_at) * DRIFT_PPM // 1_000_000
        return Dated(marked_at + offset_ms, UNCERTAINTY_MS[clock] + drift_ms)

    def set_by_fix(self, time_ms: int, heard_at: int | None = None) -> None:
        """Hear a receiver's time (Unix milliseconds UTC), as of a `mark`, or just now where it is None.

        Give only times of a fix that has a position. One of before this program was released, or of BELIEVED_UNTIL_MS
        or later, is a receiver's week count that has rolled over, or nonsense, and is passed over.
        """
        if not RELEASED_MS <= time_ms < BELIEVED_UNTIL_MS:
            return
        monotonic_ms = self._monotonic_ms()
        was_set = self._offset_ms is not None
        self._offset_ms = time_ms - (monotonic_ms if heard_at is None else heard_at)
        self._fixed_at_ms = monotonic_ms
        now_ms = monotonic_ms + self._offset_ms
        is_jitter = was_set and 0 < self._latest_ms - now_ms <= STEP_MS
        if not is_jitter:
            self._latest_ms = now_ms
