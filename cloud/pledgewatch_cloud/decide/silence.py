"""Silence: whether a source was heard when it should have been, from when it measured, never from when that arrived.

    live ─► overdue ─► silent          by the passing of time (deadlines from the voyage plan)
      ▲        │          │
      └────────┴──────────┘            by the next reading: reported again

A source is a device, or one sensor of it, so a probe that dies under a living device is missed too. What a source is
follows from the moment it was last heard and from how far time has come; so a restart of the cloud changes nothing, and
a backlog that fills a silence shows that there was none: the fold tells that story anew without it.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.voyage import Leg, deadline_ms, leg_at, leg_stands_until_ms
from pledgewatch_wire.reading import Channel


class Level(IntEnum):
    """How long a source has been missed."""

    LIVE = 0
    OVERDUE = 1
    SILENT = 2


class Patience(NamedTuple):
    """How long a source may be quiet while signal is expected; 0 s: that level is not judged."""

    overdue_after_s: int
    silent_after_s: int


class Source(NamedTuple):
    """A source as it was last heard, and the level that has been told of it since."""

    last_ms: int
    level: Level = Level.LIVE


_TOLD = {Level.OVERDUE: EventType.SOURCE_OVERDUE, Level.SILENT: EventType.SOURCE_FELL_SILENT}
DEVICE = -1  # stands for the device itself where a channel number is asked for


def next_deadline_ms(source: Source, patience: Patience, legs: Sequence[Leg]) -> int:
    """The last moment at which nothing more need be told of the source."""
    if source.level == Level.SILENT:
        return NEVER
    silent_ms = deadline_ms(legs, source.last_ms, patience.silent_after_s)
    if source.level == Level.OVERDUE:
        return silent_ms
    return min(silent_ms, deadline_ms(legs, source.last_ms, patience.overdue_after_s))


def passed(
    asset: str, device: str, channel: int, source: Source, patience: Patience, legs: Sequence[Leg], to_ms: int
) -> tuple[Source, list[Event]]:
    """The source when time has come to `to_ms` without a word from it."""
    events: list[Event] = []
    level = source.level
    for reached, after_s in ((Level.OVERDUE, patience.overdue_after_s), (Level.SILENT, patience.silent_after_s)):
        late_ms = deadline_ms(legs, source.last_ms, after_s)
        if level < reached and late_ms < to_ms:
            events.append(event(_TOLD[reached], late_ms, asset, **_about(device, channel), last_ms=source.last_ms))
            level = reached
    return Source(source.last_ms, level), events


def heard(asset: str, device: str, channel: int, before: Source, at_ms: int) -> tuple[Source, list[Event]]:
    """The source after it was heard; all that time alone shows up to `at_ms` has been told."""
    if before.level == Level.LIVE:
        return Source(at_ms), []
    about = _about(device, channel)
    return Source(at_ms), [event(EventType.SOURCE_REPORTED_AGAIN, at_ms, asset, **about, since_ms=before.last_ms)]


def standing(source: Source, patience: Patience, legs: Sequence[Leg], now_ms: int) -> tuple[str, int]:
    """How a source stands, in a word, and the moment that belongs to it.

    live (last heard), expected_dark (until when), overdue (since when), silent (since when).
    """
    for level, word, after_s in (
        (Level.SILENT, "silent", patience.silent_after_s),
        (Level.OVERDUE, "overdue", patience.overdue_after_s),
    ):
        late_ms = deadline_ms(legs, source.last_ms, after_s)
        if source.level >= level or late_ms < now_ms:
            return word, late_ms
    leg = leg_at(legs, now_ms)
    if leg is not None and leg.signal == "dark":
        return "expected_dark", leg.until_ms
    return "live", source.last_ms


def stands_until_ms(source: Source, patience: Patience, legs: Sequence[Leg], now_ms: int) -> int:
    """Up to when a source of which nothing is heard stands in the word of now; NEVER for as long as there is time."""
    found = leg_stands_until_ms(legs, now_ms)
    for after_s in (patience.overdue_after_s, patience.silent_after_s):
        late_ms = deadline_ms(legs, source.last_ms, after_s)
        found = min(found, late_ms + 1) if now_ms <= late_ms < NEVER else found
    return found


def _about(device: str, channel: int) -> dict[str, int | str]:
    if channel == DEVICE:
        return {"device": device}
    return {"device": device, "channel": Channel(channel).name.lower()}
