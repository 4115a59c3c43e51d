"""The section [sampling]: of what the sensors give, what is kept.

A rule is about some channels, each of which keeps it by itself, or about `position`, which is everything that a
receiver says of one fix and stands or falls together. What no rule is about is kept whole. What a rule can mean is
checked here; what it does is sampling.py's.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_edge.sample import FIX_CHANNELS
from pledgewatch_edge.sensors import channel_named
from pledgewatch_wire.ended import ENDED_CHANNELS
from pledgewatch_wire.reading import PASSAGE_CHANNELS, STATE_CHANNELS, Channel

POSITION: Final = "position"
NEAREST_M: Final = 10
FARTHEST_M: Final = 1_000_000
WEEK_S: Final = 7 * DAY_S
# Any difference is a change of these: they are no measure of anything.
STATES: Final = frozenset({*STATE_CHANNELS, Channel.THROTTLED})
_ALWAYS_KEPT: Final = frozenset(
    {
        *PASSAGE_CHANNELS,
        *(Channel.THINNED_READINGS, Channel.REFUSED_READINGS, Channel.BROKEN_READINGS),
        *(Channel.FLAPPING, Channel.FLAPS),
        *ENDED_CHANNELS,
    }
)
_BANDS: Final = {"mc": 300, "cpercent": 200}  # by unit: how far beyond a limit may be a tremble
_BAND_PART: Final = 100  # of other units: this part of the limit
_TOTALS: Final = frozenset({Channel.ENERGY_WH, Channel.PIECES_IN, Channel.PIECES_OUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """What is kept of some channels. `interval_s`: no oftener than this. `change`: only what differs by more from what
    was kept last, in the channel's unit, of `position` in metres; it needs `max_silence_s`, after which the unchanged
    is kept too. `average_s`: the mean of so long stands for what was measured in it, and the least and the most go to
    `least_channel` and `most_channel` where these are named. 0 or left out: not so."""

    channels: tuple[str, ...]
    interval_s: float = 0.0
    change: int | None = None
    max_silence_s: float = 0.0
    average_s: float = 0.0
    least_channel: str | None = None
    most_channel: str | None = None

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError(f"channels is empty; name a channel, or {POSITION}")
        for name in self.channels:
            _require_rule_fits(name, self)
        require_within("interval_s", self.interval_s, 0.0, DAY_S)
        require_within("max_silence_s", self.max_silence_s, 0.0, WEEK_S)
        require_within("average_s", self.average_s, 0.0, DAY_S)
        if self.change is not None and not self.max_silence_s:
            raise ValueError("change needs max_silence_s: what has not changed must be proven now and then")
        if not (self.interval_s or self.max_silence_s or self.average_s):
            raise ValueError("says nothing; give interval_s, change with max_silence_s, or average_s")
        if self.interval_s and self.average_s:
            raise ValueError("has interval_s and average_s; leave interval_s out, there is one mean each average_s")
        if self.max_silence_s and self.max_silence_s < max(self.interval_s, self.average_s):
            raise ValueError("max_silence_s is shorter than interval_s or average_s; use one that is not")
        self._require_extremes_fit()

    def _require_extremes_fit(self) -> None:
        for key, name in self.extremes:
            if not self.average_s or len(self.channels) > 1:
                raise ValueError(f"{key} needs average_s and a rule about one channel alone")
            channel, of = channel_named(name), channel_named(self.channels[0])
            if channel is of or _unit(channel) != _unit(of):
                raise ValueError(f"{key} {name!r} does not fit; use another channel that counts {_unit(of)}")

    @property
    def extremes(self) -> list[tuple[str, str]]:
        """The channels for the least and the most that are named, each with its key."""
        named = (("least_channel", self.least_channel), ("most_channel", self.most_channel))
        return [(key, name) for key, name in named if name is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """Bounds of some channels. A value that passes one is urgent; within `margin` of one, or beyond, it is near."""

    channels: tuple[str, ...]
    low: int | None = None
    high: int | None = None
    margin: int = 0

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError("channels is empty; name a channel")
        for name in self.channels:
            if channel_named(name) in STATES | _ALWAYS_KEPT:
                raise ValueError(f"{name} has no limits; leave it out")
        if self.low is None and self.high is None:
            raise ValueError("has neither low nor high; give one of them")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        require_within("margin", self.margin, 0, 2**53)


@dataclass(frozen=True, slots=True, kw_only=True)
class NearSettings:
    """What tightens the rules while something may be about to happen: while one of the states `while_on` is 1 or a
    value is near a limit, and `near_for_s` after that or after a hard shock. No channel with a rule is then quiet for
    longer than `interval_s`, as far as its sensor measures so often, and nothing is averaged."""

    interval_s: float = 60.0
    near_for_s: float = 1_800.0
    while_on: tuple[str, ...] = ("door_open", "light_present")

    def __post_init__(self) -> None:
        require_within("interval_s", self.interval_s, 0.0, DAY_S)
        require_within("near_for_s", self.near_for_s, 0.0, DAY_S)
        for name in self.while_on:
            if channel_named(name) not in STATE_CHANNELS:
                states = ", ".join(one.name.lower() for one in STATE_CHANNELS)
                raise ValueError(f"while_on: {name} is no state; use some of {states}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSettings:
    """The whole section. Without rules everything is kept."""

    rules: tuple[RuleSettings, ...] = ()
    limits: tuple[LimitSettings, ...] = ()
    near: NearSettings | None = None

    def __post_init__(self) -> None:
        if self.near is not None and not self.rules:
            raise ValueError("near tightens rules, and there are none; add [[sampling.rules]] or leave it out")
        ruled = [name for one in self.rules for name in (*one.channels, *(name for _, name in one.extremes))]
        bounded = [name for one in self.limits for name in one.channels]
        for what, named in (("rules", ruled), ("limits", bounded)):
            for name in dict.fromkeys(named):
                if named.count(name) > 1:
                    raise ValueError(f"{what} name {name} twice; leave one out")

    def band_of(self, name: str, limit: LimitSettings) -> int:
        """How far from a limit a channel's value may lie and still tremble: what its rule calls no change; without such
        a rule _BANDS, or a hundredth of the limit."""
        change = next((one.change for one in self.rules if name in one.channels), None)
        if change:
            return change
        farthest = max(abs(one) for one in (limit.low, limit.high) if one is not None)
        return _BANDS.get(_unit(channel_named(name)), farthest // _BAND_PART)

    def faults(self, given: Collection[Channel]) -> Iterator[str]:
        """A sentence for each channel that is named and that no sensor gives, or that one gives and must not."""
        for place, some in (("rules", self.rules), ("limits", self.limits)):
            for name in (name for one in some for name in one.channels):
                wanted = FIX_CHANNELS if name == POSITION else {channel_named(name)}
                if wanted.isdisjoint(given):
                    yield f"[sampling] {place} name {name}, which no section gives; leave it out, or add its sensor"
        for key, name in (named for one in self.rules for named in one.extremes):
            if channel_named(name) in given:
                yield f"[sampling] {key} {name} is given by a sensor; name a channel that none gives"


def _require_rule_fits(name: str, rule: RuleSettings) -> None:
    """Raise ValueError where a channel cannot have such a rule."""
    is_state = name != POSITION and channel_named(name) in STATES
    if rule.change is None and rule.max_silence_s and not is_state:
        raise ValueError(f"max_silence_s of {name} needs change; to keep one each so long use interval_s")
    if name == POSITION:
        if rule.average_s:
            raise ValueError("position has no average_s: a mean is a place where nobody was; use interval_s or change")
        if rule.change is not None:
            require_within("change of position, in metres,", rule.change, NEAREST_M, FARTHEST_M)
        return
    channel = channel_named(name)
    if channel in FIX_CHANNELS:
        raise ValueError(f"{name} goes with the place; write {POSITION}")
    if channel in _ALWAYS_KEPT:
        raise ValueError(f"{name} is kept always; leave it out")
    if channel in STATES:
        if rule.average_s or rule.change is not None:
            raise ValueError(
                f"{name} is a state, of which any change is kept; give it interval_s or max_silence_s only"
            )
        return
    if rule.average_s and channel in _TOTALS:
        raise ValueError(f"{name} is a running total, of which there is no mean; use interval_s or change")
    require_within("change", rule.change or 0, 0, 2**53)


def _unit(channel: Channel) -> str:
    """What a channel counts, as its name ends."""
    return channel.name.lower().rsplit("_", 1)[-1]
