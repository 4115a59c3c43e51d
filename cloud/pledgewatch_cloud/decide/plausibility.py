"""Plausibility: what a device's readings are worth when they are seen one after the other.

Each device is judged by its own story, in the order in which it was measured. A value keeps the doubt that the device
itself gave it; a value without one is looked at here:

- a sequence that goes back while time goes on, by more than SHUFFLED_MS or SHUFFLED_READINGS: the clock of that
  reading ran ahead (clock backwards);
- a place from fewer satellites than a fix needs, or with a dilution of precision beyond all use;
- a place that the asset cannot have reached since the last accepted one (impossible speed). One such fix is an outlier;
  three in a row and ten minutes that agree with each other are where the asset now is, and the last place was wrong;
- a place that stays the same to the last digit while the receiver reports a speed (frozen position);
- a value outside what the quantity can be (out of range), DS18B20's 85 °C after something else (power-on value);
- a value that never moves for longer than its limit says that it can (stuck value);
- what its sensors measured after the device's calibration has expired;
- whatever it measured before it knew the time: the moment was reckoned back, and may be off by as much as it says. Such
  a reading was numbered when the time was known, so its number tells nothing of its clock.

Distances here are lower bounds good to a few per cent (plane, with the smaller cosine of the two latitudes), in plain
IEEE arithmetic without library functions, so that every machine decides alike.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_cloud.decide.grade import TOLD, Doubt, Grade, doubt_of_clock, doubt_of_quality, grade_of
from pledgewatch_cloud.decide.silence import DEVICE
from pledgewatch_wire.ended import ENDED_CHANNELS
from pledgewatch_wire.reading import (
    FEW_SATELLITES_BELOW,
    HIGH_HDOP_ABOVE_CENTI,
    TEMPERATURE_CHANNELS,
    WEIGHT_CHANNELS,
    Channel,
    Reading,
)

MM_PER_E7 = 11.132  # a degree of latitude is 111.32 km on the mean sphere of WGS 84 (to 0.5 %)
AGREEING_FIXES = 3
AGREEING_MS = 600_000
SHUFFLED_MS = 10_000
SHUFFLED_READINGS = 16
"""Within so long, and by so many numbers, a device may number what it measured in another order: a receiver's fix is
heard up to a cycle after its moment, and what other sensors said meanwhile has the lower numbers. One that stands among
much higher numbers was dated ahead, however lately those were measured."""
FROZEN_FIXES = 3
MOVING_MMPS = 2_000
JUMP_SLACK_MM = 200_000  # two fixes of a unit at rest may lie this far apart and mean nothing
# A receiver's error is about 5 m where the geometry is perfect, and grows with the dilution of precision (Kaplan and
# Hegarty, Understanding GPS, on user equivalent range error).
ACCURACY_MM_PER_HDOP = 5_000
ACCURACY_AT_MOST_MM = 5_000_000  # worse than any dilution that receivers report

POWER_ON_MC = 85_000
POWER_ON_NEAR_MC = 10_000
TEMPERATURES = frozenset(TEMPERATURE_CHANNELS)
_PIECES = (Channel.PIECES_IN, Channel.PIECES_OUT, Channel.PIECES_PRESENT)
RANGES: Mapping[int, tuple[int, int]] = {
    **dict.fromkeys(TEMPERATURE_CHANNELS, (-90_000, 150_000)),
    Channel.HUMIDITY_CPERCENT: (0, 10_000),
    Channel.BATTERY_MV: (0, 100_000),
    Channel.LATITUDE_E7: (-900_000_000, 900_000_000),
    Channel.LONGITUDE_E7: (-1_800_000_000, 1_800_000_000),
    Channel.SPEED_MMPS: (0, 400_000),
    Channel.LIGHT_MLX: (0, 200_000_000),
    **dict.fromkeys(WEIGHT_CHANNELS, (-1_000_000_000, 1_000_000_000)),  # a scale that was not set to zero tells less
    **dict.fromkeys((Channel.MOTION, Channel.LEAK, Channel.SMOKE, Channel.LIGHT_PRESENT), (0, 1)),
    **dict.fromkeys((Channel.TAGS_PRESENT, *_PIECES), (0, 1_000_000_000)),
    Channel.ENERGY_WH: (0, 10**15),
    Channel.POWER_W: (-100_000_000, 100_000_000),  # solar panels give back
    Channel.HOST_TEMPERATURE_MC: (-90_000, 150_000),
    Channel.CLOCK_UNCERTAINTY_MS: (0, 10**15),
    **dict.fromkeys((Channel.DISK_FREE_MIB, Channel.SPOOL_READINGS), (0, 10**15)),
    **dict.fromkeys((Channel.REFUSED_READINGS, Channel.BROKEN_READINGS, Channel.FLAPS), (0, 10**15)),
    **dict.fromkeys(ENDED_CHANNELS, (0, 10**15)),
    Channel.FLAPPING: (0, 31),
}
# What a calibration is about; a receiver and a battery have none.
CALIBRATED = TEMPERATURES | {Channel.HUMIDITY_CPERCENT, Channel.LIGHT_MLX, Channel.SHOCK_MG, *WEIGHT_CHANNELS}


class Fix(NamedTuple):
    """A place that a reading gives evidence of, in 1e-7 degrees. `accuracy_mm` 0: the receiver did not say."""

    latitude_e7: int
    longitude_e7: int
    grade: Grade
    accuracy_mm: int


class Spot(NamedTuple):
    """Where and when; `agreed` is how many fixes in a row have, of suspect ones `since_ms` when the first was."""

    at_ms: int
    latitude_e7: int
    longitude_e7: int
    agreed: int
    since_ms: int = 0


class Still(NamedTuple):
    """A value that has not moved since `since_ms`."""

    value: int
    since_ms: int


class Record(NamedTuple):
    """What the fold remembers of one device to judge its next reading.

    `epoch` and `sequence` are the highest number so far, and `number_ms` is when that reading was measured.
    `accepted` is its last accepted place (`agreed`: how often in a row exactly there), `suspect` the places that it
    cannot have reached; `still` by channel; `doubts` are those told of and not over, as (channel, doubt).
    """

    epoch: int = 0
    sequence: int = 0
    number_ms: int = 0
    backwards: int = 0
    accepted: Spot | None = None
    suspect: Spot | None = None
    still: Mapping[int, Still] = {}
    doubts: frozenset[tuple[int, str]] = frozenset()


class Rules(NamedTuple):
    """What a device is judged by. `stuck_after_s` by channel; 0 or absent: not judged."""

    max_speed_mmps: int
    calibrated_until_ms: int
    stuck_after_s: Mapping[int, int]


class Evidence(NamedTuple):
    """What a reading is worth: its place if it gives one, its good values by channel, and its weaker ones."""

    fix: Fix | None
    good: Mapping[int, int]
    fair: Mapping[int, int]


NOTHING = Evidence(None, {}, {})


def judge(asset: str, before: Record, one: AssetReading, rules: Rules) -> tuple[Record, Evidence, list[Event]]:
    """What one more reading of a device is worth, what is remembered of it, and the doubts that began or ended."""
    at_ms, _, epoch, sequence, reading = one
    by_clock = doubt_of_clock(reading)
    number_ms, is_back = at_ms, (epoch, sequence) < (before.epoch, before.sequence)
    is_near = before.sequence - sequence <= SHUFFLED_READINGS and at_ms - before.number_ms <= SHUFFLED_MS
    is_shuffled = is_back and epoch == before.epoch and is_near
    if by_clock is not None or is_shuffled:  # its number tells nothing of the clock
        epoch, sequence, number_ms = before.epoch, before.sequence, before.number_ms
    elif is_back and before.backwards + 1 < AGREEING_FIXES:
        # Numbered before what was measured before it. Three in a row, and the one that ran ahead was the wrong one.
        doubts = before.doubts | {(DEVICE, Doubt.CLOCK_BACKWARDS.value)}
        after = before._replace(backwards=before.backwards + 1, doubts=doubts)
        return after, NOTHING, _told(asset, one, before.doubts, doubts, {})
    good, weak = _by_themselves(reading, expired=at_ms > rules.calibrated_until_ms)
    still = before.still
    if rules.stuck_after_s or before.still or any(_is_near_power_on(*one) for one in good.items()):
        still = _still(before.still, good, weak, at_ms, rules.stuck_after_s)
    accepted, suspect = before.accepted, before.suspect
    fix = _fix(good, weak)
    if fix is not None and by_clock is not None:
        fix = fix._replace(grade=min(fix.grade, grade_of(by_clock)))
    if fix is not None and fix.grade >= Grade.FAIR:
        accepted, suspect, doubt = _placed(accepted, suspect, fix, at_ms, good.get(Channel.SPEED_MMPS, 0), rules)
        if doubt is not None:
            for channel, value in ((Channel.LATITUDE_E7, fix.latitude_e7), (Channel.LONGITUDE_E7, fix.longitude_e7)):
                good.pop(channel, None)
                weak[channel] = (value, doubt)
            fix = None
    else:
        fix = None
    if by_clock is not None:
        weak |= {channel: (value, by_clock) for channel, value in good.items()}
        good = {}
    doubts = before.doubts
    events: list[Event] = []
    if doubts or weak:
        doubts = _standing(doubts, weak, good)
        events = [] if doubts == before.doubts else _told(asset, one, before.doubts, doubts, weak)
    backwards = before.backwards if by_clock is not None else 0
    after = Record(epoch, sequence, number_ms, backwards, accepted, suspect, still, doubts)
    fair = {channel: value for channel, (value, doubt) in weak.items() if grade_of(doubt) is Grade.FAIR}
    return after, Evidence(fix, good, fair), events


def _fix(good: Mapping[int, int], weak: Mapping[int, tuple[int, Doubt]]) -> Fix | None:
    latitude, longitude = good.get(Channel.LATITUDE_E7), good.get(Channel.LONGITUDE_E7)
    grade = Grade.GOOD
    if latitude is None or longitude is None:
        if Channel.LATITUDE_E7 not in weak or Channel.LONGITUDE_E7 not in weak:
            return None
        (latitude, doubt), (longitude, other) = weak[Channel.LATITUDE_E7], weak[Channel.LONGITUDE_E7]
        grade = min(grade_of(doubt), grade_of(other))
    accuracy_mm = good.get(Channel.HDOP_CENTI, 0) * ACCURACY_MM_PER_HDOP // 100
    return Fix(latitude, longitude, grade, max(0, min(accuracy_mm, ACCURACY_AT_MOST_MM)))


def _by_themselves(reading: Reading, *, expired: bool) -> tuple[dict[int, int], dict[int, tuple[int, Doubt]]]:
    """A reading's good values and its weak ones with what speaks against them, whatever came before."""
    good: dict[int, int] = {}
    weak: dict[int, tuple[int, Doubt]] = {}
    for channel, value, quality in reading.cells:
        if quality:
            weak[channel] = (value, doubt_of_quality(quality) or Doubt.UNKNOWN_CODE)
            continue
        bounds = RANGES.get(channel)
        if bounds is not None and not bounds[0] <= value <= bounds[1]:
            weak[channel] = (value, Doubt.OUT_OF_RANGE)
        elif expired and channel in CALIBRATED:
            weak[channel] = (value, Doubt.CALIBRATION_EXPIRED)
        else:
            good[channel] = value
    against = _against_the_fix(good)
    if against is not None:
        for channel in (Channel.LATITUDE_E7, Channel.LONGITUDE_E7):
            if channel in good:
                weak[channel] = (good.pop(channel), against)
    return good, weak


def _against_the_fix(good: Mapping[int, int]) -> Doubt | None:
    """What the receiver's own account of a fix says against it."""
    if good.get(Channel.SATELLITES, FEW_SATELLITES_BELOW) < FEW_SATELLITES_BELOW:
        return Doubt.FEW_SATELLITES
    return None if 0 <= good.get(Channel.HDOP_CENTI, 0) <= HIGH_HDOP_ABOVE_CENTI else Doubt.HIGH_HDOP


def _placed(
    accepted: Spot | None, suspect: Spot | None, fix: Fix, at_ms: int, speed_mmps: int, rules: Rules
) -> tuple[Spot | None, Spot | None, Doubt | None]:
    """The accepted and the suspect place after a fix, and what speaks against it."""
    latitude, longitude = fix.latitude_e7, fix.longitude_e7
    if accepted is None:
        return Spot(at_ms, latitude, longitude, 1), None, None
    if latitude == accepted.latitude_e7 and longitude == accepted.longitude_e7:
        count = accepted.agreed + 1 if speed_mmps >= MOVING_MMPS else 1
        frozen = Doubt.FROZEN_POSITION if count >= FROZEN_FIXES else None
        return Spot(at_ms, latitude, longitude, count), None, frozen
    if is_reachable(accepted, latitude, longitude, at_ms, rules.max_speed_mmps):
        return Spot(at_ms, latitude, longitude, 1), None, None
    count, since_ms = 1, at_ms
    if suspect is not None and is_reachable(suspect, latitude, longitude, at_ms, rules.max_speed_mmps):
        count, since_ms = suspect.agreed + 1, suspect.since_ms
    if count >= AGREEING_FIXES and at_ms - since_ms >= AGREEING_MS:
        return Spot(at_ms, latitude, longitude, 1), None, None
    return accepted, Spot(at_ms, latitude, longitude, count, since_ms), Doubt.IMPOSSIBLE_SPEED


def is_reachable(since: Spot, latitude_e7: int, longitude_e7: int, at_ms: int, max_speed_mmps: int) -> bool:
    """Whether an asset can have come from a place to another at its greatest speed, some slack allowed."""
    if not max_speed_mmps:
        return True
    reach_mm = max_speed_mmps * (at_ms - since.at_ms) // 1_000 + JUMP_SLACK_MM
    north_mm = abs(latitude_e7 - since.latitude_e7) * MM_PER_E7
    around_e7 = abs(longitude_e7 - since.longitude_e7)
    around_e7 = min(around_e7, 3_600_000_000 - around_e7)
    if north_mm + around_e7 * MM_PER_E7 <= reach_mm:
        return True
    east_mm = around_e7 * MM_PER_E7 * _cosine(max(abs(latitude_e7), abs(since.latitude_e7)))
    return north_mm * north_mm + east_mm * east_mm <= reach_mm * reach_mm


def _cosine(angle_e7: int) -> float:
    """The cosine of an angle of 0 to 90 degrees by its power series, to 1e-8."""
    square = (angle_e7 * 1.7453292519943295e-9) ** 2
    total, term = 1.0, 1.0
    for step in range(1, 9):
        term *= -square / ((2 * step - 1) * (2 * step))
        total += term
    return max(total, 0.0)


def _is_near_power_on(channel: int, value: int) -> bool:
    return channel in TEMPERATURES and abs(value - POWER_ON_MC) <= POWER_ON_NEAR_MC


def _still(
    before: Mapping[int, Still],
    good: dict[int, int],
    weak: dict[int, tuple[int, Doubt]],
    at_ms: int,
    stuck_after_s: Mapping[int, int],
) -> dict[int, Still]:
    """Since when each watched value has not moved; takes the stuck ones, and 85 °C out of nowhere, from the good."""
    after = dict(before)
    for channel, value in list(good.items()):
        known = before.get(channel)
        is_power_on = channel in TEMPERATURES and value == POWER_ON_MC
        if is_power_on and (known is None or not _is_near_power_on(channel, known.value)):
            weak[channel] = (good.pop(channel), Doubt.POWER_ON_VALUE)
            continue
        is_watched = channel in stuck_after_s or (channel in TEMPERATURES and bool(stuck_after_s))
        # Where nothing may be stuck, only what lies so near that 85 °C may follow it is remembered.
        if not is_watched and not _is_near_power_on(channel, value):
            after.pop(channel, None)
            continue
        if known is None or known.value != value:
            after[channel] = Still(value, at_ms)
        elif channel in stuck_after_s and at_ms - known.since_ms > stuck_after_s[channel] * 1_000:
            weak[channel] = (good.pop(channel), Doubt.STUCK_VALUE)
    return after


def _standing(
    before: frozenset[tuple[int, str]], weak: Mapping[int, tuple[int, Doubt]], good: Mapping[int, int]
) -> frozenset[tuple[int, str]]:
    """The doubts worth telling that stand after a reading: those of channels that it does not have stay."""
    over = {one for one in before if one[0] in good or one[0] in weak or one[0] == DEVICE}
    now = {(channel, doubt.value) for channel, (_, doubt) in weak.items() if doubt in TOLD}
    return frozenset((before - over) | now)


def _told(
    asset: str,
    one: AssetReading,
    before: frozenset[tuple[int, str]],
    after: frozenset[tuple[int, str]],
    weak: Mapping[int, tuple[int, Doubt]],
) -> list[Event]:
    """Events for the doubts that began and those that ended. A place is one thing and is told of once."""
    events = []
    for kind, changed in ((EventType.EVIDENCE_DOUBTED, after - before), (EventType.EVIDENCE_RESTORED, before - after)):
        for channel, doubt in sorted(changed):
            if channel == Channel.LONGITUDE_E7:
                continue
            about: dict[str, int | str] = {"device": one.device, "epoch": one.epoch, "sequence": one.sequence}
            if channel != DEVICE:
                about["channel"] = "position" if channel == Channel.LATITUDE_E7 else Channel(channel).name.lower()
            if channel in weak:
                about["value"] = weak[channel][0]
            events.append(event(kind, one.measured_at_ms, asset, **about, doubt=doubt))
    return events
