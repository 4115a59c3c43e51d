"""What time it is, and who says so.

A container's computer may boot in 1970, or with the time at which it was last switched off. So the agent never hands
out a time without the name of the clock that told it:

- GPS: a fix with a time was heard. Now is the receiver's time plus what a monotonic clock has counted since.
- NTP: the kernel says that its clock is synchronised, or said so; since then the monotonic clock is counted.
- RTC: the system's clock shows a time at which this program could have existed, and the machine has a clock that goes
  on while it is off.
- UNSET: none of these tells it well enough to be stamped by. A machine without such a clock, or one of which the
  configuration says that it has no battery, may show the time as of when it was switched off; a time service counts all
  the same.

Where several tell the time, the one in the least doubt is gone by, and of equals the one that is named first above.
What a receiver or a time service has told is held on by the count, and is in doubt by DRIFT_PPM of it. For HOLDOVER_MS
a fix is as good as any (ten seconds); after that a time service is better. Without either the time that is held goes on
until an RTC would be in no more doubt (STAMPED_WITHIN_MS, which is twenty days). A machine that has none stamps no more
then, but what it measures is dated with the doubt that there is by then (`dated`).

The system's clock is never gone by where it contradicts the time that is held, or where it did so when the two were
last compared before the machine was started anew (unless a time service has set it since). A time service stands for
it, so only a receiver contradicts that one. Nor is an RTC that shows a time more than a day before what is known to be
past (`not_before`), nor a receiver's time beyond HOLDOVER_MS that does; but a time service, which is asked each time,
is: it has told most of what is known to be past, and one that was ahead for an hour would not be believed for months.
What is held is good in this start of the machine alone; past.py keeps it over a restart of the agent.

Under GPS the clock does not run backwards: sentences arrive with jitter, so a fix may tell a time a little before what
was already handed out, and then the clock stands still until the receiver has caught up. A step of more than STEP_MS
back is no jitter but a correction, and is followed; standing still for years because of one wild fix would be worse.
Forward steps of any size are followed. Where what `now` tells has leapt against the monotonic clock by more than
STEP_MS, whoever made it leap, that is said in the log, once in JUMP_SAID_EVERY_MS.

Where the receiver's time and the system's clock are more than a day apart and no time service keeps that one, a
certificate is judged by both (`judged_at`), however long ago the receiver told it: by the one alone a board whose clock
is years ahead would have no link, and by the other one whose receiver is deceived. But a receiver that tells a time
more than a day before what is known to be past (`not_before`, past.py) is not gone by there: who leads it back would
bring back certificates that have ended.

`dated` tells when a moment was that was marked while the clock was not set, and how far off that may be: as far as the
clock that is now known may be off (UNCERTAINTY_MS), and what the monotonic clock may have drifted between the two.
"""

import ctypes
import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

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
# Of the crystal that the monotonic clock counts by, from the Arctic to a deck in the sun: what data sheets of the plain
# crystals that boards carry allow in sum (30 in a million as made, 50 from -40 to 85 degrees, 5 a year of ageing).
DRIFT_PPM: Final = 100
LEAP_MS: Final = 1_000  # a second may have been put in at the end of a June or December, and no count knows of it
STAMPED_WITHIN_MS: Final = UNCERTAINTY_MS[Clock.RTC]
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
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


def this_boot() -> str:
    """What this start of the computer is called; where the kernel does not say it, a name for this process alone."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return uuid4().hex


class Dated(NamedTuple):
    """When something was (Unix milliseconds UTC), and how far off that may be either way."""

    at_ms: int
    uncertainty_ms: int


class Held(NamedTuple):
    """A time that goes on by the monotonic clock: the time less the monotonic one, when that was last so by that one,
    and who told it (GPS or NTP)."""

    offset_ms: int
    known_at: int
    by: Clock

    def dated(self, marked_at: int) -> Dated:
        """The time at a moment of the monotonic clock."""
        at_ms = marked_at + self.offset_ms
        doubt_ms = UNCERTAINTY_MS[self.by] + abs(marked_at - self.known_at) * DRIFT_PPM // 1_000_000
        is_leap = _half_year(at_ms) != _half_year(self.known_at + self.offset_ms)
        return Dated(at_ms, doubt_ms + is_leap * LEAP_MS)


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
        self._held: Held | None = None  # the best that was told
        self._was_apart = False  # whether the system's clock was found wrong before the machine was started anew
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
        held = self._held
        if held is not None and held.by is Clock.GPS and monotonic_ms - held.known_at <= HOLDOVER_MS:
            return self._not_backwards(monotonic_ms + held.offset_ms), Clock.GPS
        held, system_ms, is_kept = self._usable(monotonic_ms), self._system_ms(), self._is_synchronised()
        is_apart = self._is_contradicted(system_ms, held, monotonic_ms, is_kept=is_kept)
        if is_kept and system_ms >= RELEASED_MS and not is_apart:
            self._held, self._latest_ms = Held(system_ms - monotonic_ms, monotonic_ms, Clock.NTP), system_ms
            return system_ms, Clock.NTP
        is_rtc = self._keeps_time and not is_kept and system_ms >= RELEASED_MS
        is_rtc = is_rtc and not is_apart and not self._is_past(system_ms)
        if held is None:
            return system_ms, Clock.RTC if is_rtc else Clock.UNSET
        at_ms, doubt_ms = held.dated(monotonic_ms)
        if doubt_ms > STAMPED_WITHIN_MS and is_rtc:
            return system_ms, Clock.RTC
        return self._not_backwards(at_ms), held.by if doubt_ms <= STAMPED_WITHIN_MS else Clock.UNSET

    def _not_backwards(self, now_ms: int) -> int:
        self._latest_ms = max(self._latest_ms, now_ms)
        return self._latest_ms

    def _usable(self, monotonic_ms: int) -> Held | None:
        """The time that is held, where it is not a receiver's that is known to be past."""
        held = self._held
        if held is not None and held.by is Clock.GPS and self._is_past(monotonic_ms + held.offset_ms):
            return None
        return held

    def _is_contradicted(self, system_ms: int, held: Held | None, monotonic_ms: int, *, is_kept: bool) -> bool:
        """Whether the system's clock is found wrong, or was when it was last compared; `is_kept`: a time service says
        that it is right, and steers it. One that nothing steers goes by the crystal of the count, and not apart."""
        if held is not None and not (is_kept and held.by is Clock.NTP):
            at_ms, doubt_ms = held.dated(monotonic_ms)
            bound_ms = UNCERTAINTY_MS[Clock.RTC] + UNCERTAINTY_MS[held.by]
            return abs(system_ms - at_ms) > (UNCERTAINTY_MS[Clock.NTP] + doubt_ms if is_kept else bound_ms)
        self._was_apart &= not is_kept  # it has been set since
        return self._was_apart

    def _is_past(self, told_ms: int) -> bool:
        """Whether a time is known to be past; clocks differ, so to a day."""
        return told_ms < self._past_ms - APART_MS

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

    def _receiver_ms(self) -> int | None:
        """The receiver's time, however long ago it was told; None where a time service has told it since, or nobody."""
        held = self._held
        return None if held is None or held.by is not Clock.GPS else self._monotonic_ms() + held.offset_ms

    def apart(self) -> str:
        """How far the system's clock is from the receiver's time, in words; nothing where it is not a day."""
        told_ms = self._receiver_ms()
        off_ms = 0 if told_ms is None else self._system_ms() - told_ms
        if told_ms is None or abs(off_ms) <= APART_MS:
            return ""
        days = round(abs(off_ms) / 86_400_000)
        way = "ahead of" if off_ms > 0 else "behind"
        past = ", which tells a time that is past" if self._is_past(told_ms) else ""
        return f"this computer's clock is {days:,} day{'' if days == 1 else 's'} {way} the receiver's{past}"

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
        told_ms = self._receiver_ms()
        if told_ms is None or not self.apart() or self._is_synchronised() or self._is_past(told_ms):
            return ()
        system_ms = self._system_ms()
        return (told_ms, system_ms) if system_ms >= RELEASED_MS else (told_ms,)

    @property
    def held(self) -> Held | None:
        """The time that goes on in this start of the computer."""
        return self._held

    def hold(self, held: Held) -> None:
        """Hear what an agent of before held in this start of the computer. What cannot be is passed over, and what is
        no newer than what is known."""
        is_newer = self._held is None or held.known_at > self._held.known_at
        is_possible = held.by in {Clock.GPS, Clock.NTP} and 0 <= held.known_at <= self._monotonic_ms()
        if is_newer and is_possible and RELEASED_MS <= held.offset_ms + held.known_at < BELIEVED_UNTIL_MS:
            self._held, self._latest_ms = held, 0

    def is_apart(self) -> bool:
        """Whether the system's clock was found wrong when it was last compared."""
        monotonic_ms, is_kept = self._monotonic_ms(), self._is_synchronised()
        return self._is_contradicted(self._system_ms(), self._usable(monotonic_ms), monotonic_ms, is_kept=is_kept)

    def was_apart(self) -> None:
        """Hear that `is_apart` said so before the computer, or the agent, was started anew."""
        self._was_apart = True

    def mark(self) -> int:
        """This moment, for telling `set_by_fix` later when a time was heard. Only differences mean anything."""
        return self._monotonic_ms()

    def dated(self, marked_at: int) -> Dated | None:
        """When a `mark` was; None where no clock tells the time now, and none has told it."""
        now_ms, clock = self.now()
        monotonic_ms = self._monotonic_ms()
        if clock is Clock.RTC:
            return Held(now_ms - monotonic_ms, monotonic_ms, clock).dated(marked_at)
        held = self._usable(monotonic_ms) if clock is Clock.UNSET else self._held
        return None if held is None else held.dated(marked_at)

    def can_date(self) -> bool:
        """Whether `dated` would tell of a mark of now."""
        return self.dated(self.mark()) is not None

    def set_by_fix(self, time_ms: int, heard_at: int | None = None) -> None:
        """Hear a receiver's time (Unix milliseconds UTC), as of a `mark`, or just now where it is None.

        Give only times of a fix that has a position. One of before this program was released, or of BELIEVED_UNTIL_MS
        or later, is a receiver's week count that has rolled over, or nonsense, and is passed over.
        """
        if not RELEASED_MS <= time_ms < BELIEVED_UNTIL_MS:
            return
        monotonic_ms = self._monotonic_ms()
        was_set = self._held is not None and self._held.by is Clock.GPS
        offset_ms = time_ms - (monotonic_ms if heard_at is None else heard_at)
        self._held = Held(offset_ms, monotonic_ms, Clock.GPS)
        now_ms = monotonic_ms + offset_ms
        is_jitter = was_set and 0 < self._latest_ms - now_ms <= STEP_MS
        if not is_jitter:
            self._latest_ms = now_ms


def _half_year(time_ms: int) -> tuple[int, bool]:
    """Within which no leap second is put in; of a time that cannot be, that of the nearest that can."""
    day = dt.datetime.fromtimestamp(min(max(time_ms, 0), BELIEVED_UNTIL_MS) / 1_000, dt.UTC)
    return day.year, day.month > 6
