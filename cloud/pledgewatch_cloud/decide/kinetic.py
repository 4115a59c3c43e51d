"""Mean kinetic temperature: the one steady temperature that would have done a product as much harm as its real story.

    T_K = (dH / R) / -ln( sum(w_i * dt_i) / sum(dt_i) ),   w = exp(-dH / (R * T)),  T in kelvin

after Haynes (Journal of Pharmaceutical Sciences 60, 1971, 927-929), as USP <1079.2> and ICH Q1A give it, with
dH = 83.144 kJ/mol where nothing better is known of the product and R = 8.3144 J/(mol K). Weighted by time: between two
good values no further apart than `max_gap_s` the mean of their two weights counts, for as long as they are apart, so
how often was measured changes nothing. Longer gaps are unknown and are counted with the two worst cases that the rule
declares, so a story with a gap has a lower and an upper figure. A gap that is still open counts as well: the moment at
which the upper figure may have passed what is borne is a deadline, which time alone can reach.

Goods may be in an asset for some time only. Then values from before and after are none of theirs; a stay is open from
its beginning to its first value, and from its last value to its end, as a gap is. Of several stays in one asset the
sums go on.

Weights are whole numbers, scaled so that 20 °C weighs 2**40; they come from `decimal` at a fixed precision, so that
every machine has the same. The voyage is summed as a whole, and hour by hour for the moving window.
"""

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import NamedTuple

from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_cloud.decide.stretches import ALWAYS, NEVER, Stretches

Key = tuple[int, str, int, int]

GAS_CONSTANT = Decimal("8.3144")
_GAS_CONSTANT = float(GAS_CONSTANT)
SURE_MC = 1e-4
"""How near the middle between two whole numbers a float must not be to say which of them is nearer. Its relative error
is some 1e-15 of the logarithm and of each quotient: below 1e-7 of a thousandth of a degree up to _ANY_CARGO_MK."""
_ANY_CARGO_MK = 2_000_000
ZERO_CELSIUS_MK = 273_150
REFERENCE_MK = ZERO_CELSIUS_MK + 20_000
SCALE = 2**40
HOUR_MS = 3_600_000
WINDOW_MAX_H = 2_160
ACTIVATION_J_MOL = 83_144


class KineticRule(NamedTuple):
    """What a lot's mean kinetic temperature may be, in thousandths of a degree Celsius.

    Over the last `window_h` hours of the clock, the one under way included, or over the voyage where that is 0. Gaps
    longer than `max_gap_s` count from `worst_low_mc` to `worst_high_mc`. `judged`: when the lot is there.
    """

    channel: int
    high_mc: int
    worst_low_mc: int
    worst_high_mc: int
    activation_j_mol: int = ACTIVATION_J_MOL
    window_h: int = 0
    max_gap_s: int = 3_600
    judged: Stretches = ALWAYS


class Sum(NamedTuple):
    """A stretch of time: weight times milliseconds, doubled to stay whole, and how much of it is known and not."""

    doubled: int = 0
    known_ms: int = 0
    unknown_ms: int = 0


class Unseen(NamedTuple):
    """Time of the story without a value, [since_ms, until_ms). `is_held`: the newest value was measured where it
    begins, and holds for as long as a gap may be."""

    since_ms: int
    until_ms: int
    is_held: bool


class Kinetic(NamedTuple):
    """A lot's story up to its newest good value. `hours` by number since 1970, ascending, of the window only."""

    key: Key
    value_mc: int
    voyage: Sum = Sum()
    hours: Mapping[int, Sum] = {}
    level: str = "kept"


@lru_cache(maxsize=65_536)
def weight(temperature_mc: int, activation_j_mol: int = ACTIVATION_J_MOL) -> int:
    """exp(-dH/R * (1/T - 1/T_0)), scaled by SCALE and rounded half to even; T_0 is 20 °C. From -200 °C up."""
    kelvin_m = temperature_mc + ZERO_CELSIUS_MK
    if kelvin_m < 73_150:
        raise ValueError(f"{temperature_mc} thousandths of a degree is colder than any cargo")
    with localcontext() as context:
        context.prec = 40
        slope = Decimal(activation_j_mol) / GAS_CONSTANT * 1_000
        exponent = slope * (Decimal(1) / REFERENCE_MK - Decimal(1) / kelvin_m)
        return int((exponent.exp() * SCALE).to_integral_value())


def temperature_mc(mean_weight_doubled: int, known_ms: int, activation_j_mol: int = ACTIVATION_J_MOL) -> int:
    """The inverse: the temperature of a mean weight, given as a doubled sum over milliseconds.

    By floats, whose error is far below SURE_MC here on any machine, where that leaves no doubt of the whole number; so
    every machine has the same, and the logarithm at a fixed precision is seldom taken.
    """
    mean = mean_weight_doubled / (2 * known_ms * SCALE)
    if mean:
        slope = activation_j_mol / _GAS_CONSTANT * 1_000
        kelvin_m = 1 / (1 / REFERENCE_MK - math.log(mean) / slope)
        whole = round(kelvin_m)
        if 0 < whole < _ANY_CARGO_MK and abs(kelvin_m - whole) < 0.5 - SURE_MC:
            return whole - ZERO_CELSIUS_MK
    return _exact_temperature_mc(mean_weight_doubled, known_ms, activation_j_mol)


def _exact_temperature_mc(mean_weight_doubled: int, known_ms: int, activation_j_mol: int) -> int:
    with localcontext() as context:
        context.prec = 40
        slope = Decimal(activation_j_mol) / GAS_CONSTANT * 1_000
        mean = Decimal(mean_weight_doubled) / (2 * known_ms * SCALE)
        kelvin_m = 1 / (Decimal(1) / REFERENCE_MK - mean.ln() / slope)
        return int(kelvin_m.to_integral_value()) - ZERO_CELSIUS_MK


def bounds_mc(total: Sum, rule: KineticRule) -> tuple[int, int] | None:
    """The lower and the upper mean kinetic temperature of a stretch of time; None where it has no length."""
    length_ms = total.known_ms + total.unknown_ms
    if not length_ms:
        return None
    if not total.unknown_ms:
        known_mc = temperature_mc(total.doubled, length_ms, rule.activation_j_mol)
        return known_mc, known_mc
    found = []
    for worst_mc in (rule.worst_low_mc, rule.worst_high_mc):
        doubled = total.doubled + 2 * weight(worst_mc, rule.activation_j_mol) * total.unknown_ms
        found.append(temperature_mc(doubled, length_ms, rule.activation_j_mol))
    return found[0], found[1]


def judged(state: Kinetic, rule: KineticRule) -> Sum:
    """The stretch that the rule judges: the window's hours, or the voyage."""
    if not rule.window_h:
        return state.voyage
    total = Sum()
    for one in state.hours.values():
        total = Sum(total.doubled + one.doubled, total.known_ms + one.known_ms, total.unknown_ms + one.unknown_ms)
    return total


def advance(
    asset: str, lot: str, rule: KineticRule, before: Kinetic | None, one: AssetReading, value_mc: int, begun_ms: int
) -> tuple[Kinetic, list[Event]]:
    """The story after one more good value of the rule's channel, measured while it is judged, and what it shows.

    `begun_ms`: when the asset's story began. What is longer than a gap may be is unknown before the first value, too.
    """
    if before is None:
        return _first(asset, lot, rule, one, value_mc, begun_ms)
    from_ms, to_ms = before.key[0], one.measured_at_ms
    if any(from_ms < until_ms <= to_ms for _, until_ms in rule.judged):
        after = _with_unseen(before, rule, unseen(rule, from_ms, to_ms, is_held=True), to_ms)
        return _judged_anew(asset, lot, rule, after._replace(key=one.key, value_mc=value_mc), to_ms)
    is_known = to_ms - from_ms <= rule.max_gap_s * 1_000
    doubled = weight(before.value_mc, rule.activation_j_mol) + weight(value_mc, rule.activation_j_mol)
    if not is_known:
        doubled = 0
    voyage = _added(before.voyage, doubled, to_ms - from_ms, is_known=is_known)
    hours = _by_hour(before.hours, from_ms, to_ms, doubled, rule.window_h, is_known=is_known)
    return _judged_anew(asset, lot, rule, Kinetic(one.key, value_mc, voyage, hours, before.level), to_ms)


def _judged_anew(asset: str, lot: str, rule: KineticRule, after: Kinetic, at_ms: int) -> tuple[Kinetic, list[Event]]:
    level, bounds = _level(after, rule)
    if level == after.level or bounds is None:
        return after, []
    return after._replace(level=level), [_turned(asset, lot, rule, level, bounds, at_ms, after.key)]


def unseen(rule: KineticRule, from_ms: int, to_ms: int, *, is_held: bool) -> list[Unseen]:
    """What is judged of the time up to a moment since the newest value, or, where there is none that could be held,
    since the story began."""
    found = []
    for since_ms, until_ms in rule.judged:
        begun_ms, ended_ms = max(since_ms, from_ms), min(until_ms, to_ms)
        if begun_ms < ended_ms:
            found.append(Unseen(begun_ms, ended_ms, is_held and since_ms <= from_ms))
    return found


def _with_unseen(story: Kinetic, rule: KineticRule, some: Iterable[Unseen], to_ms: int) -> Kinetic:
    """The sums with time that nobody saw, up to a moment: known where the newest value holds all of it, and else
    unknown; what is no longer than a gap may be and has no value counts for nothing."""
    voyage, hours = story.voyage, story.hours
    for since_ms, until_ms, is_held in some:
        is_known = until_ms - since_ms <= rule.max_gap_s * 1_000
        if is_known and not is_held:
            continue
        doubled = 2 * weight(story.value_mc, rule.activation_j_mol) if is_known else 0
        voyage = _added(voyage, doubled, until_ms - since_ms, is_known=is_known)
        hours = _by_hour(hours, since_ms, until_ms, doubled, rule.window_h, is_known=is_known)
    return story._replace(voyage=voyage, hours=_by_hour(hours, to_ms, to_ms, 0, rule.window_h, is_known=True))


def _first(
    asset: str, lot: str, rule: KineticRule, one: AssetReading, value_mc: int, begun_ms: int
) -> tuple[Kinetic, list[Event]]:
    at_ms = one.measured_at_ms
    about: dict[str, int | str] = {"device": one.device, "epoch": one.epoch, "sequence": one.sequence}
    known = event(EventType.MKT_KNOWN, at_ms, asset, lot=lot, **about)
    some = unseen(rule, begun_ms, at_ms, is_held=False)
    after, events = _judged_anew(asset, lot, rule, _with_unseen(Kinetic(one.key, value_mc), rule, some, at_ms), at_ms)
    return after, [known, *events]


def next_deadline_ms(rule: KineticRule, known: Kinetic) -> int:
    """The last moment up to which time alone shows nothing: at the next, what is borne may have been passed.

    Over a window it is looked for at the full hours.
    """
    if known.level != "kept" or rule.worst_high_mc <= rule.high_mc:
        return NEVER
    for one in unseen(rule, known.key[0], NEVER, is_held=True):
        due_ms = _due_ms(rule, known, one.since_ms)
        if due_ms < one.until_ms or one.until_ms == NEVER:
            return due_ms
        known = _with_unseen(known, rule, [one], one.until_ms)
    return NEVER


def _due_ms(rule: KineticRule, known: Kinetic, since_ms: int) -> int:
    """The same, where nobody sees anything from a moment on and all before it is told."""
    late_ms = since_ms + rule.max_gap_s * 1_000
    borne, worst = (2 * weight(one, rule.activation_j_mol) for one in (rule.high_mc, rule.worst_high_mc))
    if not rule.window_h:
        total = known.voyage
        room = borne * (total.known_ms + total.unknown_ms) - total.doubled - worst * total.unknown_ms
        return max(late_ms, since_ms + room // (worst - borne))
    total, hours = judged(known, rule), sorted(known.hours.items())
    dropped = 0
    for hour in range(since_ms // HOUR_MS, since_ms // HOUR_MS + rule.window_h + 1):
        end_ms, oldest = (hour + 1) * HOUR_MS, hour + 1 - rule.window_h + 1
        while dropped < len(hours) and hours[dropped][0] < oldest:
            total = Sum(*(whole - gone for whole, gone in zip(total, hours[dropped][1], strict=True)))
            dropped += 1
        unknown_ms = total.unknown_ms + end_ms - max(since_ms, oldest * HOUR_MS)
        if total.doubled + worst * unknown_ms > borne * (total.known_ms + unknown_ms) and end_ms >= late_ms:
            return end_ms
    return late_ms


def passed(asset: str, lot: str, rule: KineticRule, known: Kinetic, to_ms: int) -> tuple[Kinetic, list[Event]]:
    """The story when time has come to `to_ms` without a good value."""
    late_ms = next_deadline_ms(rule, known)
    if late_ms >= to_ms:
        return known, []
    some = unseen(rule, known.key[0], late_ms + 1, is_held=True)
    bounds = bounds_mc(judged(_with_unseen(known, rule, some, late_ms + 1), rule), rule)
    assert bounds is not None, "an open gap has a length"
    return known._replace(level="uncertain"), [_turned(asset, lot, rule, "uncertain", bounds, late_ms, known.key)]


def _turned(
    asset: str, lot: str, rule: KineticRule, level: str, bounds: tuple[int, int], at_ms: int, key: Key
) -> Event:
    lower_mc, upper_mc = bounds
    about: dict[str, int | str] = {"device": key[1], "epoch": key[2], "sequence": key[3]}
    about |= {"lower_mc": lower_mc, "upper_mc": upper_mc, "high_mc": rule.high_mc}
    return event(_EVENTS[level], at_ms, asset, lot=lot, **about)


_EVENTS = {
    "exceeded": EventType.MKT_EXCEEDED,
    "uncertain": EventType.MKT_UNCERTAIN,
    "kept": EventType.MKT_RESTORED,
}


def _level(after: Kinetic, rule: KineticRule) -> tuple[str, tuple[int, int] | None]:
    """How the story stands to the rule. Compares weights, which ascend with temperature; logarithms only for news."""
    total = judged(after, rule)
    length_ms = total.known_ms + total.unknown_ms
    if not length_ms:
        return after.level, None
    borne = 2 * weight(rule.high_mc, rule.activation_j_mol) * length_ms
    lower = total.doubled + 2 * weight(rule.worst_low_mc, rule.activation_j_mol) * total.unknown_ms
    upper = total.doubled + 2 * weight(rule.worst_high_mc, rule.activation_j_mol) * total.unknown_ms
    level = "exceeded" if lower > borne else "uncertain" if upper > borne else "kept"
    return level, bounds_mc(total, rule) if level != after.level else None


def _added(total: Sum, doubled: int, length_ms: int, *, is_known: bool) -> Sum:
    if is_known:
        return Sum(total.doubled + doubled * length_ms, total.known_ms + length_ms, total.unknown_ms)
    return Sum(total.doubled, total.known_ms, total.unknown_ms + length_ms)


def _by_hour(
    before: Mapping[int, Sum], from_ms: int, to_ms: int, doubled: int, window_h: int, *, is_known: bool
) -> Mapping[int, Sum]:
    """The window's hours with one more stretch shared out over them; hours that have left the window are dropped."""
    if not window_h:
        return before
    newest = to_ms // HOUR_MS
    oldest = newest - window_h + 1
    hours = dict(before)
    if before and next(iter(before)) < oldest:
        hours = {hour: one for hour, one in before.items() if hour >= oldest}
    for hour in range(max(from_ms // HOUR_MS, oldest), newest + 1):
        start_ms, end_ms = max(from_ms, hour * HOUR_MS), min(to_ms, (hour + 1) * HOUR_MS)
        if end_ms > start_ms:
            hours[hour] = _added(hours.get(hour, Sum()), doubled, end_ms - start_ms, is_known=is_known)
    return hours
