"""Sampling: of what the sensors give, what is kept. Samples in, samples out; the only time is that of the samples.

Each channel with a rule keeps it by itself, and a fix is one value. A value is kept when

- it is the first of its channel, or the first that another clock has stamped, or that is dated more than STEP_MS before
  the last kept (what is dated before it by less comes late, and counts as if it came with that one);
- its quality differs from that of the value before: what is wrong is told at once, and so is what is right again,
  unless the quality trembles (wavering.py); then values are held against the last one kept of their own quality, which
  may be none yet;
- `interval_s` is over since the last one kept, on a grid where values come regularly, and it differs from that one by
  more than `change`, or no change is asked for;
- the next one would come later than `max_silence_s` after the last one kept, if values keep the rhythm of this one. So
  what is not kept because it has not changed is proven by one that is.

With `average_s` it is the mean of a stretch of values that is judged so, dated by the last of them, rounded half up.
Whatever is kept at once ends the stretch under way, and while the quality trembles each has a stretch of its own. So
all values of a stretch have one quality, which is the mean's; a value that is none is no part of a mean.

A fix has changed its place when it lies farther than `change` from the last one kept, and the receiver says that it
moves or AWAY_FIXES in a row do so: a receiver at rest wanders, and now and then leaps and comes back.

Urgent are what a sensor calls so (a hard shock), a change of a state that does not flap (flapping.py), a value that
passes a limit and does not tremble about it (passing.py), and what begins the near time
(sampling_settings.NearSettings). An urgent sample is kept whole.

What time it is differs from clock to clock, so the end of the near time is held for each clock by itself.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, Protocol

from pledgewatch_edge.clock import STEP_MS
from pledgewatch_edge.flapping import Flapping, is_of_states
from pledgewatch_edge.passing import Limit, Passing
from pledgewatch_edge.sample import FIX_CHANNELS, Sample
from pledgewatch_edge.sampling_settings import POSITION, STATES, RuleSettings, SamplingSettings
from pledgewatch_edge.sensors import channel_named
from pledgewatch_edge.wavering import Wavering
from pledgewatch_wire.reading import STATE_CHANNELS, Cell, Channel, Quality

AWAY_FIXES: Final = 3
MOVING_MMPS: Final = 2_000
_M_PER_E7: Final = 0.011132  # a degree of latitude is 111.32 km on the mean sphere of WGS 84 (to 0.5 %)
_TURN_E7: Final = 3_600_000_000


class Sampler:
    """What is kept of one device's samples. Across a restart it knows which limits were passed if `remember` tells it,
    and nothing else, so the first of all are kept."""

    def __init__(self, settings: SamplingSettings | None = None) -> None:
        settings = settings or SamplingSettings()
        self._risks = _Risks(settings)
        self._place: _Track | None = None
        self._tracks: dict[int, _Track] = {}
        for rule in settings.rules:
            for name in rule.channels:
                if name == POSITION:
                    self._place = _Track(rule, partial(_Places, rule.change))
                else:
                    channel = channel_named(name)
                    change = 0 if channel in STATES else rule.change
                    self._tracks[channel] = _Track(rule, partial(_Numbers, change))

    @property
    def limits(self) -> Mapping[int, Limit]:
        """Those that a value may pass, by channel."""
        return {channel: passing.limit for channel, passing in self._risks.limits.items()}

    def remember(self, told: Collection[tuple[int, bool]]) -> None:
        """Before the first sample: which limits were last said to be passed, as channel and whether it is the high."""
        for channel, passing in self._risks.limits.items():
            passing.remember(low=(channel, False) in told, high=(channel, True) in told)

    def remind(self, untold: Collection[tuple[int, bool]]) -> None:
        """At any time: of which limits, as with `remember`, what said that they are no longer passed was not kept. It
        is said again with the first value that lies inside."""
        for channel, passing in self._risks.limits.items():
            passing.remind(low=(channel, False) in untold, high=(channel, True) in untold)

    def take(self, sample: Sample) -> Sample | None:
        """What is kept of a sample: all of it, some cells, or None. A cell may be a mean, with its extremes beside."""
        is_urgent = self._risks.hear(sample)
        told = self._risks.flapping.told(sample, is_urgent=is_urgent)
        if told is None:
            return None
        asked = Asked(sample.measured_at_ms, sample.clock, is_urgent, self._risks.near_ms(sample))
        kept = self._kept_of_fix(sample, asked)
        for cell in sample.cells:
            if track := self._tracks.get(cell.channel):
                kept += track.kept_of(cell, asked)
            elif self._place is None or cell.channel not in FIX_CHANNELS:
                kept.append(cell)
        if told:
            kept = [*(sample.cells if is_of_states(sample) else kept), *told]
        return sample._replace(cells=tuple(sorted(kept)), is_urgent=is_urgent) if kept else None

    def _kept_of_fix(self, sample: Sample, asked: "Asked") -> list[Cell]:
        """All that is said of the fix, or nothing of it. What is said without a place is kept."""
        if self._place is None:
            return []
        fix = {cell.channel: cell for cell in sample.cells if cell.channel in FIX_CHANNELS}
        latitude, longitude = fix.get(Channel.LATITUDE_E7), fix.get(Channel.LONGITUDE_E7)
        if latitude is None or longitude is None:
            return list(fix.values())
        speed = fix.get(Channel.SPEED_MMPS)
        values = latitude.value, longitude.value, speed.value if speed else 0
        is_kept = self._place.judge(values, max(latitude.quality, longitude.quality), asked) is not None
        return list(fix.values()) if is_kept else []


class Asked(NamedTuple):
    """When a value was measured, by which clock, whether it must be kept; and how long any may be quiet near (None: it
    is not near)."""

    at_ms: int
    clock: int
    is_urgent: bool
    near_ms: int | None


class _Difference(Protocol):
    """How far values are from those kept last."""

    def is_beyond(self, kept: tuple[int, ...], now: tuple[int, ...]) -> bool:
        """Whether they have changed. Asked once for each value."""
        ...

    def begin(self) -> None:
        """Others have been kept."""
        ...


class _Numbers:
    """Values that change by themselves. Without `change` every one has."""

    def __init__(self, change: int | None) -> None:
        self._change = change

    def is_beyond(self, kept: tuple[int, ...], now: tuple[int, ...]) -> bool:
        """See _Difference. Where the extremes of what was kept last are not known, those of now are news."""
        if self._change is None or len(kept) != len(now):
            return True
        return any(abs(one - other) > self._change for one, other in zip(kept, now, strict=True))

    def begin(self) -> None:
        """See _Difference."""


class _Places:
    """Places as latitude, longitude, speed."""

    def __init__(self, change_m: int | None) -> None:
        self._change_m = change_m
        self._away = 0

    def is_beyond(self, kept: tuple[int, ...], now: tuple[int, ...]) -> bool:
        """See _Difference."""
        if self._change_m is None:
            return True
        self._away = self._away + 1 if metres(kept, now) > self._change_m else 0
        return self._away >= AWAY_FIXES or (self._away > 0 and now[2] >= MOVING_MMPS)

    def begin(self) -> None:
        """See _Difference."""
        self._away = 0


def metres(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """How far two places are apart, good to a few per cent over some kilometres (plane, over the antimeridian)."""
    north = other[0] - one[0]
    east = (other[1] - one[1] + _TURN_E7 // 2) % _TURN_E7 - _TURN_E7 // 2
    return _M_PER_E7 * math.hypot(north, east * math.cos(math.radians((one[0] + other[0]) / 2e7)))


@dataclass(slots=True)
class _Stretch:
    """Values that one mean will stand for."""

    count: int = 0
    total: int = 0
    least: int = 0
    most: int = 0

    def add(self, value: int) -> None:
        """One more."""
        self.least = min(self.least, value) if self.count else value
        self.most = max(self.most, value) if self.count else value
        self.count += 1
        self.total += value

    @property
    def mean(self) -> int:
        """The mean, rounded half up."""
        return (2 * self.total + self.count) // (2 * self.count)


@dataclass(slots=True)
class _Last:
    """What was kept last of one quality (no values: nothing yet), when, when the next is due, and the stretch since."""

    difference: _Difference
    values: tuple[int, ...] = ()
    at_ms: int = 0
    due_ms: int = 0
    stretch: _Stretch = field(default_factory=_Stretch)


class _Track:
    """One channel, or the fix, with its rule: what was kept of it last, and when the next is due. That there is more
    than one quality of which something was kept is so only while qualities tremble."""

    def __init__(self, rule: RuleSettings, difference: Callable[[], _Difference]) -> None:
        self._difference = difference
        self._average_ms = _ms(rule.average_s)
        self._pause_ms = _ms(rule.interval_s) or self._average_ms
        self._silence_ms = _ms(rule.max_silence_s) or None
        self._extremes = [(_EXTREMES[key], channel_named(name)) for key, name in rule.extremes]
        self._wavering = Wavering(self._silence_ms or self._pause_ms)
        self._lasts: dict[int, _Last] = {}
        self._clock = 0  # of the one before, kept or not; they do not differ in it
        self._kept_ms = self._seen_ms = 0

    def kept_of(self, cell: Cell, asked: Asked) -> list[Cell]:
        """The cells to keep for one."""
        found = self.judge((cell.value,), cell.quality, asked)
        if found is None:
            return []
        value, *extremes = found
        beside = zip(self._extremes, extremes, strict=False)  # of a value that is no mean there are none
        return [cell._replace(value=value), *(Cell(channel, one, cell.quality) for (_, channel), one in beside)]

    def judge(self, values: tuple[int, ...], quality: int, asked: Asked) -> tuple[int, ...] | None:
        """What is kept: the values, a mean with its extremes, or None."""
        is_apart = self._is_apart(asked)
        at_ms = asked.at_ms if is_apart else max(asked.at_ms, self._kept_ms)
        asked = asked._replace(at_ms=at_ms)
        step_ms, self._seen_ms = max(0, at_ms - self._seen_ms), at_ms
        is_told = self._wavering.hear(quality, at_ms)
        last = self._lasts.get(quality) or _Last(self._difference())
        if is_told or asked.is_urgent or is_apart:
            self._lasts = {}  # no mean goes on behind what is told, and what was before it is no measure any more
            return self._keep(last, values, quality, asked)
        if not last.values:
            return self._keep(last, values, quality, asked)
        next_ms = at_ms + step_ms
        if self._average_ms and asked.near_ms is None:
            last.stretch.add(values[0])
            if at_ms < last.due_ms:
                return None
            values = last.stretch.mean, *(pick(last.stretch) for pick, _ in self._extremes)
            wait_ms = self._due_after(last, at_ms) - at_ms
            next_ms = at_ms + (-(-wait_ms // step_ms) * step_ms if step_ms else wait_ms)
        else:
            last.stretch = _Stretch()
        is_changed = last.difference.is_beyond(last.values, values)
        if (is_changed and at_ms >= last.due_ms) or self._is_too_late(last, next_ms, asked.near_ms):
            return self._keep(last, values, quality, asked)
        if self._average_ms and at_ms >= last.due_ms:
            self._begin(last, at_ms)
        return None

    def _is_apart(self, asked: Asked) -> bool:
        """Whether a value has little to do with the one before."""
        return asked.clock != self._clock or asked.at_ms < self._kept_ms - STEP_MS

    def _is_too_late(self, last: _Last, next_ms: int, near_ms: int | None) -> bool:
        """Whether the next, at this moment, would come after too long a silence."""
        waits = [wait for wait in (self._silence_ms, near_ms) if wait is not None]
        return bool(waits) and next_ms > last.at_ms + min(waits)

    def _keep(self, last: _Last, values: tuple[int, ...], quality: int, asked: Asked) -> tuple[int, ...]:
        self._lasts[quality] = last
        self._clock, self._kept_ms = asked.clock, asked.at_ms
        self._wavering.told(quality)
        last.values, last.at_ms = values, asked.at_ms
        last.difference.begin()
        self._begin(last, asked.at_ms)
        return values

    def _begin(self, last: _Last, at_ms: int) -> None:
        """A pause, and a stretch."""
        last.due_ms = self._due_after(last, at_ms)
        last.stretch = _Stretch()

    def _due_after(self, last: _Last, at_ms: int) -> int:
        """When a pause that begins is over: on the grid of those before, where values come regularly."""
        is_regular = last.due_ms <= at_ms < last.due_ms + self._pause_ms
        return (last.due_ms if is_regular else at_ms) + self._pause_ms


_EXTREMES: Final[Mapping[str, Callable[[_Stretch], int]]] = {
    "least_channel": lambda stretch: stretch.least,
    "most_channel": lambda stretch: stretch.most,
}


class _Risks:
    """What is urgent, and since when something may be about to happen. Of states and limits, only what is good counts;
    what a contact said last holds while it says nothing."""

    def __init__(self, settings: SamplingSettings) -> None:
        self._near = settings.near
        self._while_on = {channel_named(name) for name in settings.near.while_on} if settings.near else set()
        self.limits: dict[int, Passing] = {
            channel_named(name): Passing(Limit(one.low, one.high, one.margin, settings.band_of(name, one)))
            for one in settings.limits
            for name in one.channels
        }
        self._states: dict[int, int] = {}
        self.flapping = Flapping()
        self._close: set[int] = set()  # channels whose newest value is near a limit
        self._until_ms: dict[int, int] = {}  # by clock

    def hear(self, sample: Sample) -> bool:
        """Take in a sample. Returns whether it is urgent."""
        was_near, was_risky = self.near_ms(sample) is not None, self._is_risky()
        is_urgent = self.flapping.hear(sample) or sample.is_urgent
        for channel, value, quality in sample.cells:
            if quality != Quality.GOOD:
                continue
            if channel in STATE_CHANNELS:
                self._states[channel] = value
            if passing := self.limits.get(channel):
                is_urgent |= passing.hear(value, sample.measured_at_ms)
                limit = passing.limit
                self._close = self._close - {channel} | ({channel} if limit.side(value, limit.margin) else set())
        is_shock = sample.is_urgent and any(cell.channel == Channel.SHOCK_MG for cell in sample.cells)
        if self._near is not None and (is_shock or was_risky or self._is_risky()):
            self._until_ms = {sample.clock: sample.measured_at_ms + _ms(self._near.near_for_s)}
            is_urgent |= not was_near
        return is_urgent

    def _is_risky(self) -> bool:
        """Whether something lasts that makes the near time, as far as is known."""
        return bool(self._close) or any(self._states.get(channel) for channel in self._while_on)

    def near_ms(self, sample: Sample) -> int | None:
        """How long a channel may be quiet, if a sample is of the near time; else None."""
        if self._near is None or not self._until_ms:
            return None
        # A clock that had not been heard, or that went back, counts the whole time anew.
        whole_ms = sample.measured_at_ms + _ms(self._near.near_for_s)
        until_ms = min(self._until_ms.get(sample.clock, whole_ms), whole_ms)
        self._until_ms[sample.clock] = until_ms
        if sample.measured_at_ms > until_ms and not self._is_risky():
            self._until_ms.clear()
            return None
        return _ms(self._near.interval_s)


def _ms(seconds: float) -> int:
    return round(1_000 * seconds)
