"""Local rules: what is done on the spot, with the uplink or without. Pure: facts and moments in, standings out.

A rule looks at one channel of one zone. It is *active* once its condition has held for `for_s`, within its hours if it
has any, and stays so for `hold_s` after it ended. A value that is not there (never heard, or its sensor gone) neither
begins nor ends anything: the rule stays as it stands, and says nothing before it has known a value. That it is not
there is a condition of its own, `missing`: no value for `for_s`.

At a start nobody knows what was before. A condition that holds, and has not done so for `for_s` as far as we know, may
have held for hours; one that does not hold may have ended a moment ago, and be held by `hold_s`. In both the rule says
nothing until it knows.

An output is wanted on where any rule that names it is active, and off where all of them are known not to be; before
that nothing is wanted of it, so a gateway that starts silences no siren.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_gateway.roster import CHANNELS

DAY_MINUTES = 1_440


class When(StrEnum):
    """A rule's condition."""

    ABOVE = "above"
    BELOW = "below"
    IS = "is"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """A rule. `value` counts the channel's unit; `hours` are of the site's time zone, `"18:00-06:00"` over midnight."""

    name: str
    zone: str
    channel: str
    when: When
    outputs: tuple[str, ...]
    value: int | None = None
    for_s: float = 0.0
    hold_s: float = 0.0
    hours: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name is empty; name the rule as people call it")
        if self.channel not in CHANNELS:
            raise ValueError(f"channel {self.channel!r} is none; there are {', '.join(CHANNELS)}")
        if (self.value is None) != (self.when == When.MISSING):
            raise ValueError("value goes with when = above, below and is, and with nothing else")
        if not self.outputs:
            raise ValueError("outputs is empty; name what is to be switched")
        require_within("for_s", self.for_s, 1.0 if self.when == When.MISSING else 0.0, DAY_S)
        require_within("hold_s", self.hold_s, 0.0, DAY_S)
        _ = self.minutes

    @property
    def minutes(self) -> tuple[int, int] | None:
        """From which minute of the day to before which it may act; None for always. Raises ValueError."""
        if not self.hours:
            return None
        first, _, last = self.hours.partition("-")
        found = (_minute(first), _minute(last))
        if found[0] is None or found[1] is None or found[0] == found[1]:
            raise ValueError(f'hours {self.hours!r} are none; write them as "18:00-06:00"')
        return found[0], found[1]


class Fact(NamedTuple):
    """What is known of a channel: its value, None where it has none now, and when it last had one, if ever."""

    value: int | None
    valued_ms: int | None


class Standing(NamedTuple):
    """How a rule stands. `is_active` is None as long as nothing is known; `since_ms` is since when its condition holds,
    `until_ms` up to when it is held at least."""

    is_active: bool | None = None
    since_ms: int | None = None
    until_ms: int = 0


def judge(
    rule: RuleSettings, before: Standing, fact: Fact | None, now_ms: int, minute: int | None, started_ms: int
) -> Standing:
    """How a rule stands now. `minute` of the site's day, None where no clock can be believed: then all hours are its
    hours. `now_ms` and `started_ms` are of the clock that `valued_ms` is of."""
    holds = _holds(rule, fact, now_ms, started_ms)
    hold_ms = round(rule.hold_s * 1_000)
    is_its_hour = minute is None or rule.minutes is None or _within(rule.minutes, minute)
    if holds is None:
        if is_its_hour or before.is_active is None:
            return before
        holds = False
    if not holds or not is_its_hour:
        until_ms = max(before.until_ms, started_ms + hold_ms) if before.is_active is None else before.until_ms
        return Standing(before.is_active if now_ms < until_ms else False, None, until_ms)
    since_ms = now_ms if before.since_ms is None else before.since_ms
    for_ms = 0 if rule.when == When.MISSING else round(rule.for_s * 1_000)
    if now_ms - since_ms < for_ms:
        if before.is_active is None:
            return Standing(None, since_ms, now_ms + hold_ms)
        return Standing(before.is_active and now_ms < before.until_ms, since_ms, before.until_ms)
    return Standing(is_active=True, since_ms=since_ms, until_ms=now_ms + hold_ms)


def wanted(
    outputs: Sequence[str], rules: Sequence[RuleSettings], standings: Mapping[str, Standing]
) -> dict[str, bool | None]:
    """What is wanted of each output, by its name: on, off, or nothing (None)."""
    found: dict[str, bool | None] = {}
    for output in outputs:
        of_it = [standings[rule.name].is_active for rule in rules if output in rule.outputs]
        found[output] = True if True in of_it else (None if None in of_it or not of_it else False)
    return found


def _holds(rule: RuleSettings, fact: Fact | None, now_ms: int, started_ms: int) -> bool | None:
    """Whether the condition holds at this moment; None where nothing is known."""
    if rule.when == When.MISSING:
        valued_ms = None if fact is None else fact.valued_ms
        is_missing = now_ms - (started_ms if valued_ms is None else valued_ms) >= rule.for_s * 1_000
        return None if valued_ms is None and not is_missing else is_missing
    if fact is None or fact.value is None:
        return None
    assert rule.value is not None
    match rule.when:
        case When.ABOVE:
            return fact.value > rule.value
        case When.BELOW:
            return fact.value < rule.value
        case _:
            return fact.value == rule.value


def _within(minutes: tuple[int, int], minute: int) -> bool:
    first, last = minutes
    return first <= minute < last if first < last else minute >= first or minute < last


def _minute(text: str) -> int | None:
    hour, colon, minute = text.strip().partition(":")
    if not colon or not (
        hour.isascii() and hour.isdigit() and len(minute) == 2 and minute.isascii() and minute.isdigit()
    ):
        return None
    found = int(hour) * 60 + int(minute)
    return found if int(minute) < 60 and found < DAY_MINUTES else None
