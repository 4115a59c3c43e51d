"""Sentences to fixes: what one receiver said in one cycle, put together.

Sentences of one time of day belong to one cycle, as far as the sentence that gives fewer digits of it can tell. The
cycle is over when another time of day comes, when a sentence comes again that this cycle has had (a receiver that does
not know the time gives none), or when `flush` says that nothing more will. Within a cycle the later word counts, but a
void word never takes back a place.

The date comes with RMC, or with ZDA, whose clock may run ahead of the cycle that it stands in and so begins none.
Without either in this cycle the last date known holds, moved on by a day where the time of day has gone back by more
than twelve hours. Before any date is known a fix has no time. Coordinates are computed from their decimal text in whole
numbers.

A u-blox receiver that suspects spoofing or jamming says so in binary frames between the sentences (ubx.py). That holds
for every fix until it says otherwise, but no longer than for WARNED_MS of its fixes: one that has lost its power has
lost with it that it was to say such things, and would be suspected for ever of what it said last.

pynmea2 names the fields; a sentence that it cannot read, or that holds what no receiver may say, is counted as broken
and says nothing.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import pynmea2

from pledgewatch_edge.framing import Framed, LineFramer
from pledgewatch_edge.ubx import UbxFrame, UbxSplitter, Warnings, warnings_of
from pledgewatch_wire.reading import FEW_SATELLITES_BELOW, HIGH_HDOP_ABOVE_CENTI

DAY_MS: Final = 86_400_000
HALF_DAY_MS: Final = DAY_MS // 2
KNOT_MMPS: Final = Decimal(1_852_000) / 3_600
WARNED_MS: Final = 60_000
# How much of that a fix takes at the most, for the time of one who is deceived leaps; and one that tells no time.
LONGEST_CYCLE_MS: Final = 10_000
TIMELESS_CYCLE_MS: Final = 1_000
# Two digits of a year: GPS time begins in 1980.
_FIRST_YEAR: Final = 80
_FOUR_DIGIT_YEARS: Final = range(1_980, 2_200)
_NUMBER: Final = re.compile(r"-?(\d{1,10}(\.\d*)?|\.\d+)")
_VOID_MODES: Final = frozenset("N")


class FixKind(StrEnum):
    """How many dimensions a fix has."""

    NONE = "none"
    TWO = "2d"
    THREE = "3d"


class FixQuality(StrEnum):
    """What is known to be wrong with a fix."""

    GOOD = "good"
    NO_FIX = "no_fix"
    NO_TIME = "no_time"
    SIMULATED = "simulated"
    ESTIMATED = "estimated"
    MANUAL = "manual"
    FEW_SATELLITES = "few_satellites"
    HIGH_HDOP = "high_hdop"
    SPOOFED = "spoofed"
    JAMMED = "jammed"


@dataclass(frozen=True, slots=True)
class Fix:
    """One fix. `time_ms` in Unix milliseconds UTC; what the receiver did not say is None."""

    time_ms: int | None
    latitude_e7: int | None
    longitude_e7: int | None
    altitude_mm: int | None
    speed_mmps: int | None
    course_cdeg: int | None
    satellites: int | None
    hdop_centi: int | None
    fix: FixKind
    quality: FixQuality


@dataclass(frozen=True, slots=True)
class Counts:
    """What has come: sentences with a right checksum, with a wrong or no checksum, unreadable ones, fixes, noise."""

    sentences: int
    bad_checksums: int
    broken_lines: int
    fixes: int
    skipped_bytes: int


@dataclass(frozen=True, slots=True)
class _Cycle:
    """What has been said in this cycle."""

    time_of_day_ms: int | None = None
    time_unit_ms: int = 1
    day: date | None = None
    clock: tuple[date, int] | None = None
    place: tuple[int, int] | None = None
    is_void: bool = False
    altitude_mm: int | None = None
    speed_mmps: int | None = None
    course_cdeg: int | None = None
    satellites: int | None = None
    hdop_centi: int | None = None
    dimensions: int | None = None
    untrue: FixQuality | None = None
    sentences: frozenset[str] = frozenset()


class BrokenError(ValueError):
    """A sentence holds what no receiver may say."""


class FixAssembler:
    """Takes the bytes of one receiver, gives its fixes. Never raises for what the bytes hold."""

    def __init__(self) -> None:
        self._splitter = UbxSplitter()
        self._framer = LineFramer()
        self._spoofed_ms = self._jammed_ms = 0  # for how much longer
        self._cycle = _Cycle()
        self._day: date | None = None
        self._last_time_of_day_ms: int | None = None
        self._dimensions: int | None = None
        self._sentences = self._bad_checksums = self._broken_lines = self._fixes = 0

    @property
    def counts(self) -> Counts:
        """What has come so far."""
        skipped = self._framer.skipped_bytes
        return Counts(self._sentences, self._bad_checksums, self._broken_lines, self._fixes, skipped)

    def feed(self, data: bytes) -> list[Fix]:
        """The fixes whose cycle these bytes end."""
        fixes = []
        for piece in self._splitter.feed(data):
            if isinstance(piece, UbxFrame):
                self._heed(warnings_of(piece))
            else:
                fixes += [fix for framed in self._framer.feed(piece) for fix in self._take(framed)]
        return fixes

    def flush(self) -> list[Fix]:
        """The fix of the cycle that is under way: nothing more will come."""
        rest = [*self._framer.feed(self._splitter.flush()), *self._framer.flush()]
        return [fix for framed in rest for fix in self._take(framed)] + self._close()

    def _heed(self, warnings: Warnings) -> None:
        """What the receiver has noticed holds until it says otherwise, or nothing more of it."""
        if warnings.spoofed is not None:
            self._spoofed_ms = WARNED_MS * warnings.spoofed
        if warnings.jammed is not None:
            self._jammed_ms = WARNED_MS * warnings.jammed

    def _forget_warnings(self, before_ms: int | None, time_of_day_ms: int | None) -> None:
        """A fix is over, at a time of day, after one at another."""
        passed_ms = TIMELESS_CYCLE_MS
        if before_ms is not None and time_of_day_ms is not None:
            passed_ms = min((time_of_day_ms - before_ms) % DAY_MS, LONGEST_CYCLE_MS)
        self._spoofed_ms, self._jammed_ms = max(0, self._spoofed_ms - passed_ms), max(0, self._jammed_ms - passed_ms)

    def _take(self, framed: Framed) -> list[Fix]:
        if not framed.is_sound:
            self._bad_checksums += 1
            return []
        self._sentences += 1
        if framed.body.startswith(b"P"):
            return []
        try:
            message = pynmea2.parse(framed.body.decode("ascii"))
            sentence = str(getattr(message, "sentence_type", ""))
            read = _READERS.get(sentence)
            said = read(message) if read else {}
        except (pynmea2.ParseError, ValueError, ArithmeticError, AttributeError, TypeError, IndexError):
            # pynmea2 lets through whatever its converters raise on fields that are none.
            self._broken_lines += 1
            return []
        return self._hear(sentence, said)

    def _hear(self, sentence: str, said: dict[str, Any]) -> list[Fix]:
        """Add what a sentence said to its cycle, which may not be the one under way."""
        if not said:
            return []
        closed: list[Fix] = []
        if sentence in _BEARERS:
            if _begins_another(self._cycle, sentence, said.get("time_of_day_ms"), said.get("time_unit_ms", 1)):
                closed = self._close()
            said["sentences"] = self._cycle.sentences | {sentence}
        if said.get("is_void") and self._cycle.place is not None:
            said.pop("is_void")
        if "place" in said:
            said["is_void"] = False
        if "dimensions" in said:
            self._dimensions = said["dimensions"]
        self._cycle = replace(self._cycle, **said)
        return closed

    def _close(self) -> list[Fix]:
        cycle, self._cycle = self._cycle, _Cycle()
        if not cycle.sentences:
            # Nothing here bears a fix; what was said (a date, a speed) is for the cycle to come.
            self._cycle = cycle
            return []
        before_ms = self._last_time_of_day_ms
        fix = self._fix(cycle)
        self._forget_warnings(before_ms, cycle.time_of_day_ms)
        self._fixes += 1
        return [fix]

    def _fix(self, cycle: _Cycle) -> Fix:
        time_ms = self._time_ms(cycle)
        place = None if cycle.is_void else cycle.place
        kind = FixKind.NONE
        if place is not None:
            dimensions = cycle.dimensions or self._dimensions
            is_flat = dimensions == 2 or (dimensions is None and cycle.altitude_mm is None)
            kind = FixKind.TWO if is_flat else FixKind.THREE
        return Fix(
            time_ms,
            place[0] if place else None,
            place[1] if place else None,
            cycle.altitude_mm if place else None,
            cycle.speed_mmps if place else None,
            cycle.course_cdeg if place else None,
            cycle.satellites,
            cycle.hdop_centi,
            kind,
            self._suspected(_quality(cycle, place, time_ms)),
        )

    def _suspected(self, quality: FixQuality) -> FixQuality:
        """A place that the receiver itself suspects is worth no more than that, however good it looks otherwise."""
        if quality is FixQuality.NO_FIX:
            return quality
        return FixQuality.SPOOFED if self._spoofed_ms else FixQuality.JAMMED if self._jammed_ms else quality

    def _time_ms(self, cycle: _Cycle) -> int | None:
        """When the cycle was, carrying the date on over midnight."""
        time_of_day_ms, last_ms = cycle.time_of_day_ms, self._last_time_of_day_ms
        if cycle.day is not None:
            self._day = cycle.day
        elif cycle.clock is not None:
            self._day = _day_near(cycle.clock, time_of_day_ms)
        elif self._day is not None and _is_past_midnight(last_ms, time_of_day_ms):
            self._day += timedelta(days=1)
        if time_of_day_ms is None:
            return None
        self._last_time_of_day_ms = time_of_day_ms
        if self._day is None:
            return None
        midnight = datetime(self._day.year, self._day.month, self._day.day, tzinfo=UTC)
        return int(midnight.timestamp()) * 1_000 + time_of_day_ms


def _is_past_midnight(before_ms: int | None, after_ms: int | None) -> bool:
    return before_ms is not None and after_ms is not None and before_ms - after_ms > HALF_DAY_MS


def _begins_another(cycle: _Cycle, sentence: str, time_of_day_ms: int | None, unit_ms: int) -> bool:
    """Whether a sentence belongs to another cycle than the one under way."""
    if time_of_day_ms is None or cycle.time_of_day_ms is None:
        return sentence in cycle.sentences
    apart_ms = abs(time_of_day_ms - cycle.time_of_day_ms)
    return apart_ms >= max(unit_ms, cycle.time_unit_ms) or (apart_ms > 0 and sentence in cycle.sentences)


def _day_near(clock: tuple[date, int], time_of_day_ms: int | None) -> date:
    """The day on which a time of day lies nearest to what a clock said."""
    day, clock_ms = clock
    if _is_past_midnight(time_of_day_ms, clock_ms):
        return day - timedelta(days=1)
    if _is_past_midnight(clock_ms, time_of_day_ms):
        return day + timedelta(days=1)
    return day


def _quality(cycle: _Cycle, place: tuple[int, int] | None, time_ms: int | None) -> FixQuality:
    if place is None:
        return FixQuality.NO_FIX
    if cycle.untrue is not None:
        return cycle.untrue
    if time_ms is None:
        return FixQuality.NO_TIME
    if cycle.satellites is not None and cycle.satellites < FEW_SATELLITES_BELOW:
        return FixQuality.FEW_SATELLITES
    if cycle.hdop_centi is not None and cycle.hdop_centi > HIGH_HDOP_ABOVE_CENTI:
        return FixQuality.HIGH_HDOP
    return FixQuality.GOOD


def _rmc(message: Any) -> dict[str, Any]:
    said = _timed(message.data[0])
    fields = message.data
    day = _date(_at(fields, 8))
    if day is not None:
        said["day"] = day
    mode = _at(fields, 11)
    if _at(fields, 1) != "A" or mode in _VOID_MODES:
        return said | {"is_void": True}
    said |= _place(fields[2:6]) | _untrue_mode(mode)
    return said | _movement(_at(fields, 6), _at(fields, 7))


def _gga(message: Any) -> dict[str, Any]:
    fields = message.data
    said = _timed(fields[0])
    said |= _scaled("satellites", _at(fields, 6), 1)
    quality = _at(fields, 5)
    if quality in {"", "0"}:
        return said | {"is_void": True}
    said |= _scaled("hdop_centi", _at(fields, 7), 100)
    said |= _place(fields[1:5]) | _scaled("altitude_mm", _at(fields, 8), 1_000)
    untrue = {"6": FixQuality.ESTIMATED, "7": FixQuality.MANUAL, "8": FixQuality.SIMULATED}.get(quality)
    return said | ({"untrue": untrue} if untrue else {})


def _gns(message: Any) -> dict[str, Any]:
    fields = message.data
    said = _timed(fields[0])
    modes = set(_at(fields, 5))
    if not modes - _VOID_MODES:
        return said | {"is_void": True}
    said |= _place(fields[1:5]) | _scaled("satellites", _at(fields, 6), 1)
    said |= _scaled("hdop_centi", _at(fields, 7), 100) | _scaled("altitude_mm", _at(fields, 8), 1_000)
    return said | _untrue_mode(modes - _VOID_MODES)


def _gll(message: Any) -> dict[str, Any]:
    fields = message.data
    said = _timed(_at(fields, 4))
    mode = _at(fields, 6)
    if _at(fields, 5) == "V" or mode in _VOID_MODES:
        return said | {"is_void": True}
    return said | _place(fields[0:4]) | _untrue_mode(mode)


def _gsa(message: Any) -> dict[str, Any]:
    fields = message.data
    said: dict[str, Any] = {}
    if _at(fields, 1) in {"2", "3"}:
        said["dimensions"] = int(fields[1])
    return said | _scaled("hdop_centi", _at(fields, 15), 100)


def _vtg(message: Any) -> dict[str, Any]:
    fields = message.data
    return _movement(_at(fields, 4), _at(fields, 0))


def _zda(message: Any) -> dict[str, Any]:
    fields = message.data
    clock_ms = _timed(fields[0]).get("time_of_day_ms")
    numbers = [_at(fields, place) for place in (1, 2, 3)]
    if clock_ms is None or not all(numbers):
        return {}
    if not all(number.isdigit() for number in numbers) or int(numbers[2]) not in _FOUR_DIGIT_YEARS:
        raise BrokenError(f"{numbers} is no date")
    day, month, year = (int(number) for number in numbers)
    return {"clock": (date(year, month, day), clock_ms)}


_READERS: Final = {
    "RMC": _rmc,
    "GGA": _gga,
    "GNS": _gns,
    "GLL": _gll,
    "GSA": _gsa,
    "VTG": _vtg,
    "ZDA": _zda,
}
# The sentences that say where the receiver is, or that it does not know. The others only add to a cycle.
_BEARERS: Final = frozenset({"RMC", "GGA", "GNS", "GLL"})


def _at(fields: list[str], place: int) -> str:
    return fields[place].strip() if place < len(fields) else ""


def _timed(text: str) -> dict[str, Any]:
    """hhmmss.sss as milliseconds of the day, and the unit of its last digit; nothing where the field is empty."""
    if not text:
        return {}
    whole, _, fraction = text.partition(".")
    if len(whole) != 6 or not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise BrokenError(f"{text!r} is no time of day")
    hours, minutes, seconds = int(whole[:2]), int(whole[2:4]), int(whole[4:])
    if hours > 23 or minutes > 59 or seconds > 60:
        raise BrokenError(f"{text!r} is no time of day")
    milliseconds = int(f"{fraction}000"[:3])
    time_of_day_ms = ((hours * 60 + minutes) * 60 + seconds) * 1_000 + milliseconds
    return {"time_of_day_ms": time_of_day_ms, "time_unit_ms": 10 ** (3 - min(len(fraction), 3))}


def _date(text: str) -> date | None:
    """ddmmyy; the two digits of the year lie in 1980 to 2079."""
    if not text:
        return None
    if len(text) != 6 or not text.isdigit():
        raise BrokenError(f"{text!r} is no date")
    year = int(text[4:])
    return date(year + (1_900 if year >= _FIRST_YEAR else 2_000), int(text[2:4]), int(text[:2]))


def _place(fields: list[str]) -> dict[str, Any]:
    """Latitude, N or S, longitude, E or W, as a pair in 1e-7 degrees; nothing where a field is empty."""
    latitude, north, longitude, east = (one.strip() for one in fields)
    if not latitude or not longitude:
        return {}
    if north not in {"N", "S"} or east not in {"E", "W"}:
        raise BrokenError(f"{north!r} and {east!r} are no hemispheres")
    return {"place": (_angle(latitude, 90, south=north == "S"), _angle(longitude, 180, south=east == "W"))}


def _angle(text: str, bound: int, *, south: bool) -> int:
    """(d)ddmm.mmmm as 1e-7 degrees, exact to the last digit and rounded half to even."""
    value = _decimal(text)
    degrees = int(value // 100)
    minutes = value - degrees * 100
    if value < 0 or minutes >= 60 or degrees > bound:
        raise BrokenError(f"{text!r} is no angle")
    angle = round(degrees * 10_000_000 + minutes * 10_000_000 / 60)
    if angle > bound * 10_000_000:
        raise BrokenError(f"{text!r} is no angle")
    return -angle if south else angle


def _movement(knots: str, course: str) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if knots:
        said["speed_mmps"] = round(_decimal(knots) * KNOT_MMPS)
    return said | _scaled("course_cdeg", course, 100)


def _scaled(name: str, text: str, scale: int) -> dict[str, Any]:
    """A number in a unit that makes it whole; nothing where the field is empty."""
    return {name: round(_decimal(text) * scale)} if text else {}


def _decimal(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise BrokenError(f"{text!r} is no number")
    return Decimal(text)


def _untrue_mode(modes: Collection[str]) -> dict[str, Any]:
    """What the mode letters of the systems in use have against the place; of several the best counts."""
    against = {"E": FixQuality.ESTIMATED, "M": FixQuality.MANUAL, "S": FixQuality.SIMULATED}
    if not modes or set(modes) - set(against):
        return {}
    return {"untrue": next(quality for letter, quality in against.items() if letter in modes)}
