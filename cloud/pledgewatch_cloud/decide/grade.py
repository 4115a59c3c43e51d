"""What a value is worth as evidence: its doubt, if there is one, and the grade that the doubt leaves it.

A doubt comes with the reading, where the device knew better (wire's Quality), or is found here, where only the story
shows it. A rule names the lowest grade that it takes; what is below never satisfies it.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum

from pledgewatch_wire.reading import Channel, Clock, Quality, Reading


class Grade(IntEnum):
    """How much a value may decide, from nothing to everything."""

    NONE = 0
    POOR = 1
    FAIR = 2
    GOOD = 3


class Doubt(StrEnum):
    """What speaks against a value. The first group comes from devices, the second is found by the fold."""

    NO_TIME = "no_time"
    SIMULATED = "simulated"
    ESTIMATED = "estimated"
    MANUAL = "manual"
    FEW_SATELLITES = "few_satellites"
    HIGH_HDOP = "high_hdop"
    POWER_ON_VALUE = "power_on_value"
    OUT_OF_RANGE = "out_of_range"
    CLOCK_UNSET = "clock_unset"
    SPOOFED = "spoofed"
    JAMMED = "jammed"
    NO_FIX = "no_fix"
    CHECKSUM_FAILED = "checksum_failed"
    SENSOR_GONE = "sensor_gone"
    NOT_REPORTED = "not_reported"
    UNKNOWN_CODE = "unknown_code"

    BACKDATED = "backdated"
    BACKDATED_ROUGHLY = "backdated_roughly"
    IMPOSSIBLE_SPEED = "impossible_speed"
    FROZEN_POSITION = "frozen_position"
    STUCK_VALUE = "stuck_value"
    CALIBRATION_EXPIRED = "calibration_expired"
    CLOCK_BACKWARDS = "clock_backwards"
    WEEK_ROLLOVER = "week_rollover"
    BEFORE_FITTED = "before_fitted"
    IN_THE_FUTURE = "in_the_future"


GRADES: Mapping[Doubt, Grade] = {
    Doubt.FEW_SATELLITES: Grade.FAIR,
    Doubt.HIGH_HDOP: Grade.FAIR,
    Doubt.ESTIMATED: Grade.FAIR,
    Doubt.CALIBRATION_EXPIRED: Grade.FAIR,
    Doubt.BACKDATED: Grade.FAIR,
    Doubt.BACKDATED_ROUGHLY: Grade.POOR,
    Doubt.NO_TIME: Grade.POOR,
    Doubt.MANUAL: Grade.POOR,
    Doubt.JAMMED: Grade.POOR,
    Doubt.STUCK_VALUE: Grade.POOR,
    Doubt.FROZEN_POSITION: Grade.POOR,
    Doubt.IMPOSSIBLE_SPEED: Grade.POOR,
}
"""What a doubt leaves of a value's worth; nothing for those not named."""

BACKDATED_WITHIN_MS = 300_000
BACKDATED_ROUGHLY_WITHIN_MS = 3_600_000
"""How far off a moment that was reckoned back may be, to be of that doubt; one that may be further off is no date."""

# These are told as events when they begin and when they end, so that each can raise an alert. The others say nothing
# about the value that they stand at (how it was come by), or are told by the half that leaves the reading out.
TOLD: frozenset[Doubt] = frozenset(
    {
        Doubt.SPOOFED,
        Doubt.JAMMED,
        Doubt.SIMULATED,
        Doubt.IMPOSSIBLE_SPEED,
        Doubt.FROZEN_POSITION,
        Doubt.STUCK_VALUE,
        Doubt.OUT_OF_RANGE,
        Doubt.CALIBRATION_EXPIRED,
        Doubt.CLOCK_BACKWARDS,
        Doubt.SENSOR_GONE,
        Doubt.NO_FIX,
        Doubt.FEW_SATELLITES,
        Doubt.HIGH_HDOP,
        Doubt.POWER_ON_VALUE,
        Doubt.CHECKSUM_FAILED,
    }
)

GRADE_NAMES: Mapping[str, Grade] = {grade.name.lower(): grade for grade in Grade if grade is not Grade.NONE}

_OF_QUALITY = {quality.value: Doubt(quality.name.lower()) for quality in Quality if quality is not Quality.GOOD}


def grade_of(doubt: Doubt | None) -> Grade:
    """The grade that a doubt leaves."""
    return Grade.GOOD if doubt is None else GRADES.get(doubt, Grade.NONE)


def doubt_of_quality(code: int) -> Doubt | None:
    """What a device's own quality code says against a value; an unknown code is a doubt too."""
    return _OF_QUALITY.get(code, Doubt.UNKNOWN_CODE) if code else None


def doubt_of_clock(reading: Reading) -> Doubt | None:
    """What speaks against a reading's moment, by the clock that told it. CLOCK_UNSET: it is no evidence of anything."""
    if reading.clock == Clock.BACKDATED:
        uncertainty_ms = reading.good(Channel.CLOCK_UNCERTAINTY_MS)
        if uncertainty_ms is None or not 0 <= uncertainty_ms <= BACKDATED_ROUGHLY_WITHIN_MS:
            return Doubt.CLOCK_UNSET
        return Doubt.BACKDATED if uncertainty_ms <= BACKDATED_WITHIN_MS else Doubt.BACKDATED_ROUGHLY
    return Doubt.CLOCK_UNSET if reading.clock == Clock.UNSET else None
