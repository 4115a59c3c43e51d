"""Fixes as samples, whoever has heard them: a serial receiver, or gpsd.

The receiver's own time is the time of the sample (clock GPS). Fixes with a position also set the agent's clock, from
the FIXES_BEFORE_TIME-th in a row on of which each tells a time that follows from the one before: a receiver that has
just woken may tell one wild date, and by it all that waits for its date would be dated back for ever.

A fix without a time, or with one decades ahead (clock.py), is stamped by the agent's clock and marked NO_TIME. A
receiver without a position may still tell a time, from a small clock of its own. It is no better than the agent's, so
the agent's stamps as it stamps all else meanwhile (a payload has one clock, and under deck a receiver has no position
for weeks); where that was never set, the receiver's is believed from this program's release on. For FIX_HOLDS_MS after
a fix with a place, whose date follows from that of another before it, it is the fix that dates, and what has passed
since: at the edge of the sky places come and go each other second, and were each dated by another clock than the one
before, each would be a first one.

With an interval a fix is due when it is over; and at once where somebody begins to meddle, or ends (`is_of_meddling`),
which does not shift the grid of the others.

What is wrong with a fix is marked where it matters: a position that is not there holds 0 and NO_FIX, and what the
receiver says of itself (satellites, HDOP, dimensions) stays good then. A channel that the receiver does not report is
left out.

A receiver that is not there is a reading as well: its place is SENSOR_GONE, first when it has been lost for
GONE_AFTER_S, which is longer than a plug takes that is put back, then each interval, but at the oftenest each
GONE_AGAIN_S. One that speaks, and for as long as silence would be a loss says nothing of a fix, not even that there is
none (satellites alone, say), is there and has no fix: NO_FIX, and again as often.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from pledgewatch_edge.clock import BELIEVED_UNTIL_MS, RELEASED_MS, AgentClock
from pledgewatch_edge.fixes import Fix, FixKind, FixQuality
from pledgewatch_edge.logs import World
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.wavering import LONGEST_STAY_MS, is_of_meddling
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality

FIXES_BEFORE_TIME: Final = 3
FIX_HOLDS_MS: Final = LONGEST_STAY_MS  # then a change of clocks is seldom enough to be told each time
AGREEING_WITHIN_MS: Final = 2 * 86_400_000  # wild dates are weeks to decades off; a simulation may run hours ahead
GONE_AFTER_S: Final = 10.0  # a report that is asked for waits 15
GONE_AGAIN_S: Final = 60.0
_GONE: Final = tuple(Cell(one, 0, Quality.SENSOR_GONE) for one in (Channel.LATITUDE_E7, Channel.LONGITUDE_E7))
NOTHING_SAID: Final = Fix(None, None, None, None, None, None, None, None, FixKind.NONE, FixQuality.NO_FIX)
_DIMENSIONS: Final = {"none": 0, "2d": 2, "3d": 3}
_UNTRUE: Final = frozenset({Quality.SIMULATED, Quality.ESTIMATED, Quality.MANUAL, Quality.NO_TIME, Quality.SPOOFED})


def quality_of(fix: Fix) -> Quality:
    """The wire's code for what was found wrong with a fix; the two have the same names."""
    return Quality[fix.quality.upper()]


def has_position(fix: Fix) -> bool:
    """Whether the fix says where we are; a place that the receiver itself calls void is none."""
    return fix.latitude_e7 is not None and fix.longitude_e7 is not None and quality_of(fix) != Quality.NO_FIX


def cells_of(fix: Fix) -> tuple[Cell, ...]:
    """A fix as cells, ascending by channel. Without a position there is no speed, course or altitude either."""
    unmarked = Quality.NO_TIME if fix.time_ms is None else Quality.GOOD
    found = quality_of(fix)
    if fix.latitude_e7 is None or fix.longitude_e7 is None or not has_position(fix):
        own = unmarked
        cells = [Cell(channel, 0, Quality.NO_FIX) for channel in (Channel.LATITUDE_E7, Channel.LONGITUDE_E7)]
    else:
        own = found if found in _UNTRUE else unmarked
        place = {
            Channel.LATITUDE_E7: fix.latitude_e7,
            Channel.LONGITUDE_E7: fix.longitude_e7,
            Channel.SPEED_MMPS: fix.speed_mmps,
            Channel.COURSE_CDEG: fix.course_cdeg,
            Channel.ALTITUDE_MM: fix.altitude_mm,
        }
        cells = _reported(place, unmarked if found == Quality.GOOD else found)
    receiver = {
        Channel.SATELLITES: fix.satellites,
        Channel.HDOP_CENTI: fix.hdop_centi,
        Channel.FIX_DIMENSIONS: _DIMENSIONS[fix.fix],
    }
    return tuple(sorted(cells + _reported(receiver, own)))


def _reported(values: dict[Channel, int | None], quality: Quality) -> list[Cell]:
    return [Cell(channel, value, quality) for channel, value in values.items() if value is not None]


class Absence:
    """The samples of a receiver that is lost, or says nothing of a fix."""

    def __init__(
        self, clock: AgentClock, world: World, interval_s: float, silent_s: float, monotonic: Callable[[], float]
    ) -> None:
        """`silent_s` is how long a silence is none yet."""
        self._clock, self._world, self._monotonic = clock, world, monotonic
        self._again_s = max(interval_s, GONE_AGAIN_S)
        self._silent_s = silent_s
        self._due_s: float | None = None
        self._fixless_due_s: float | None = None

    def begin(self) -> None:
        """Forget what was told: it is asked anew."""
        self._due_s = self._fixless_due_s = None

    def told(self) -> None:
        """The receiver has said something of a fix, if only that there is none."""
        self._fixless_due_s = None

    def samples(self) -> list[Sample]:
        """The sample that says so, if it is lost and that is due. To be asked every few seconds."""
        now = self._monotonic()
        if not self._world.is_lost:
            self._due_s = None
            return []
        self._fixless_due_s = None
        if self._due_s is None:
            self._due_s = now + GONE_AFTER_S
        elif now >= self._due_s:
            self._due_s = now + self._again_s
            return [Sample(*self._clock.now(), _GONE)]
        return []

    def fixless(self, known: Fix = NOTHING_SAID) -> list[Sample]:
        """The sample that says that there is no fix, if that is due. To be asked whenever the receiver has spoken;
        `known` is what else is known of it."""
        now = self._monotonic()
        if self._fixless_due_s is None:
            self._fixless_due_s = now + self._silent_s
        elif now >= self._fixless_due_s:
            self._fixless_due_s = now + self._again_s
            return [Sample(*self._clock.now(), cells_of(known))]
        return []


class FixSampler:
    """The samples of one receiver's fixes: each, or one each interval. `interval_s` 0 takes every fix."""

    def __init__(self, clock: AgentClock, interval_s: float) -> None:
        self._clock = clock
        self._interval_ms = round(interval_s * 1_000)
        self._due_ms: int | None = None
        self._before = Quality.GOOD
        self._dating: tuple[int, int] | None = None  # the date of the latest fix with one, and the mark of when
        self._is_dating = False  # whether it follows from the one before
        self._believed: tuple[int, int] | None = None  # the latest time that may be believed, and the mark of when
        self._agreeing = 0

    def take(self, fix: Fix, heard_at: int | None, *, is_of_use_as_time: bool = True) -> list[Sample]:
        """The sample of a fix that was heard at the clock's mark `heard_at` (None: just now), if one is due. A fix that
        can be believed, and agrees with those before it, sets the agent's clock as of then.

        A date that the clock passes over (clock.py) dates no other sensor either; one so far ahead is no time.
        """
        if fix.time_ms is not None and fix.time_ms >= BELIEVED_UNTIL_MS:
            fix = replace(fix, time_ms=None)
        is_believed = is_of_use_as_time and has_position(fix) and quality_of(fix) not in _UNTRUE
        now_at = self._clock.mark()
        heard_at = now_at if heard_at is None else heard_at
        if fix.time_ms is None or not is_believed:
            self._believed, self._agreeing = None, 0
        elif self._agrees(fix.time_ms, heard_at):
            self._clock.set_by_fix(fix.time_ms, heard_at)
        before, self._before = self._before, quality_of(fix)
        sample = self._sample(fix, heard_at, now_at - heard_at)
        is_due = self._is_due(sample.measured_at_ms)
        return [sample] if is_due or is_of_meddling(before, self._before) else []

    def _agrees(self, time_ms: int, heard_at: int) -> bool:
        """Whether enough times in a row agree, this one being the newest. One that is told twice counts once."""
        before, self._believed = self._believed, (time_ms, heard_at)
        if before is not None and not _follows(self._believed, before):
            self._agreeing = 1
        elif before is None or time_ms != before[0]:
            self._agreeing += 1
        return self._agreeing >= FIXES_BEFORE_TIME

    def _sample(self, fix: Fix, heard_at: int, ago_ms: int) -> Sample:
        cells = cells_of(fix)
        if fix.time_ms is not None and has_position(fix):
            if fix.time_ms >= RELEASED_MS and quality_of(fix) not in _UNTRUE:
                before, self._dating = self._dating, (fix.time_ms, heard_at)
                self._is_dating = before is not None and _follows(self._dating, before)
            return Sample(fix.time_ms, Clock.GPS, cells)
        if self._dating is not None and self._is_dating and not has_position(fix):
            passed_ms = heard_at - self._dating[1]
            if passed_ms <= FIX_HOLDS_MS:
                return Sample(self._dating[0] + passed_ms, Clock.GPS, cells)
        now_ms, clock = self._clock.now()
        if clock is Clock.UNSET and fix.time_ms is not None and fix.time_ms >= RELEASED_MS:
            return Sample(fix.time_ms, Clock.GPS, cells)
        return Sample(now_ms - ago_ms, clock, cells)

    def _is_due(self, time_ms: int) -> bool:
        """Whether the interval is over, by the time of the samples; a time that leaps either way begins anew."""
        due_ms = self._due_ms
        if due_ms is None or not due_ms - self._interval_ms <= time_ms < due_ms + self._interval_ms:
            self._due_ms = time_ms + self._interval_ms
            return True
        if time_ms < due_ms:
            return False
        self._due_ms = due_ms + self._interval_ms
        return True


def _follows(now: tuple[int, int], before: tuple[int, int]) -> bool:
    """Whether a time agrees with one before it: as much has passed as between the marks of when they were heard."""
    return abs((now[0] - before[0]) - (now[1] - before[1])) <= AGREEING_WITHIN_MS
