"""Condition: one channel of a lot against one limit.

Three things breach a limit, each told once: a spell outside that has lasted the grace; all time outside added up
(`cumulative_s`); and how far outside, times how long (`budget`, the stability budget). A spell ends with the first good
value inside and restores what its grace breached; what is used up of a total stays used.

Between two good values the first one holds: time is outside from the good value that shows it to the next one inside,
and counts with the excess of the first. Where the next good value is later than `max_gap_s` allows, the time between is
unknown: neither inside nor outside, added up apart, so totals have a lower figure (what is known) and an upper one
(the unknown counted as outside). Time in an ignore period, or while the limit's leg is not sailed, counts for nothing
and breaks a spell.

The first good value makes the condition known; before it nothing is.

All sums are whole numbers: milliseconds, and value units times milliseconds.
"""

from typing import NamedTuple

from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_cloud.decide.voyage import NEVER
from pledgewatch_wire.reading import Channel

Key = tuple[int, str, int, int]
SEVERITIES = ("warning", "critical")


class Limit(NamedTuple):
    """What one channel must stay within, in its unit, and what is borne outside. Zero: not judged.

    Where the book does not say, a gap of more than a day is unknown: a gap is not in range by itself.

    `budget` is in value units times minutes, `legs` the ids of the legs in which the limit holds (none: in all),
    `ignore` the periods [from, until) in Unix milliseconds in which it does not (loading, defrosting).
    """

    id: str
    channel: int
    low: int
    high: int
    severity: str = "critical"
    grace_s: int = 0
    cumulative_s: int = 0
    budget: int = 0
    max_gap_s: int = 0
    stuck_after_s: int = 0
    legs: tuple[str, ...] = ()
    ignore: tuple[tuple[int, int], ...] = ()


class Condition(NamedTuple):
    """How a lot stands to one limit at its newest good value (`key`, `value`).

    `outside_since_ms` None: inside, or not judged then. `counts`: whether the limit was judged at that value.
    `is_unknown`: the time since has been told as unknown. Totals in milliseconds, `excess` in value units times ms.
    """

    key: Key
    value: int
    counts: bool = True
    outside_since_ms: int | None = None
    breached: bool = False
    is_unknown: bool = False
    outside_ms: int = 0
    excess: int = 0
    unknown_ms: int = 0
    cumulative_breached: bool = False
    budget_breached: bool = False


def advance(
    asset: str, lot: str, limit: Limit, before: Condition | None, one: AssetReading, value: int, in_force: bool
) -> tuple[Condition, list[Event]]:
    """The condition after one more good value, and what it shows. All deadlines before it have been told."""
    at_ms = one.measured_at_ms
    counts = in_force and not (limit.ignore and any(since <= at_ms < until for since, until in limit.ignore))
    inside = limit.low <= value <= limit.high
    if before is None:
        since_ms = None if inside or not counts else at_ms
        known = event(EventType.CONDITION_KNOWN, at_ms, asset, **_about(lot, limit, one))
        fresh, events = _spell(asset, lot, limit, Condition(one.key, value, counts, since_ms), one)
        return fresh, [known, *events]
    if inside and counts and before.outside_since_ms is None and before.counts and not before.is_unknown:
        return before._replace(key=one.key, value=value), []
    return _turned(asset, lot, limit, before, one, value, counts)


def _turned(
    asset: str, lot: str, limit: Limit, before: Condition, one: AssetReading, value: int, counts: bool
) -> tuple[Condition, list[Event]]:
    """What is not simply one more value inside."""
    at_ms = one.measured_at_ms
    events: list[Event] = []
    past_ms = at_ms - before.key[0]
    after = before._replace(key=one.key, value=value, counts=counts, is_unknown=False)
    if before.is_unknown:
        after = after._replace(unknown_ms=before.unknown_ms + past_ms)
        since = {"since_ms": before.key[0], "unknown_ms": after.unknown_ms}
        events.append(event(EventType.CONDITION_KNOWN_AGAIN, at_ms, asset, **_about(lot, limit, one), **since))
    elif before.outside_since_ms is not None and before.counts:
        excess = max(limit.low - before.value, before.value - limit.high) * past_ms
        after = after._replace(outside_ms=before.outside_ms + past_ms, excess=before.excess + excess)
    is_outside = counts and not limit.low <= value <= limit.high
    if is_outside:
        spell_goes_on = before.outside_since_ms is not None and not before.is_unknown
        after = after._replace(outside_since_ms=before.outside_since_ms if spell_goes_on else at_ms)
    else:
        after = after._replace(outside_since_ms=None)
        if before.breached:
            after = after._replace(breached=False)
            reason = "inside" if counts else "not_judged"
            about = {**_about(lot, limit, one), "value": value, "reason": reason}
            events.append(event(EventType.CONDITION_RESTORED, at_ms, asset, **about))
    after, found = _spell(asset, lot, limit, after, one)
    return after, events + found


def _spell(asset: str, lot: str, limit: Limit, after: Condition, one: AssetReading) -> tuple[Condition, list[Event]]:
    """The breaches that the totals show now."""
    events: list[Event] = []
    at_ms, since_ms = one.measured_at_ms, after.outside_since_ms
    if since_ms is not None and not after.breached and at_ms - since_ms >= limit.grace_s * 1_000:
        after = after._replace(breached=True)
        events.append(_breach(asset, lot, limit, after, one, "grace"))
    if limit.cumulative_s and not after.cumulative_breached and after.outside_ms >= limit.cumulative_s * 1_000:
        after = after._replace(cumulative_breached=True)
        events.append(_breach(asset, lot, limit, after, one, "cumulative"))
    if limit.budget and not after.budget_breached and after.excess >= limit.budget * 60_000:
        after = after._replace(budget_breached=True)
        events.append(_breach(asset, lot, limit, after, one, "budget"))
    return after, events


def next_deadline_ms(limit: Limit, known: Condition) -> int:
    """The last moment up to which time alone shows nothing about the limit."""
    if not limit.max_gap_s or known.is_unknown or not known.counts:
        return NEVER
    return known.key[0] + limit.max_gap_s * 1_000


def passed(asset: str, lot: str, limit: Limit, known: Condition, to_ms: int) -> tuple[Condition, list[Event]]:
    """The condition when time has come to `to_ms` without a good value: unknown since the newest one."""
    late_ms = next_deadline_ms(limit, known)
    if late_ms >= to_ms:
        return known, []
    facts = {"lot": lot, "limit": limit.id, "channel": _channel(limit), "severity": limit.severity}
    said = event(EventType.CONDITION_UNKNOWN, late_ms, asset, **facts, since_ms=known.key[0])
    return known._replace(is_unknown=True), [said]


def _breach(asset: str, lot: str, limit: Limit, after: Condition, one: AssetReading, kind: str) -> Event:
    since_ms = after.outside_since_ms
    return event(
        EventType.CONDITION_BREACHED,
        one.measured_at_ms,
        asset,
        **_about(lot, limit, one),
        kind=kind,
        value=after.value,
        low=limit.low,
        high=limit.high,
        since_ms=one.measured_at_ms if since_ms is None else since_ms,
        outside_ms=after.outside_ms,
        outside_ms_at_most=after.outside_ms + after.unknown_ms,
        excess=after.excess // 60_000,
    )


def _about(lot: str, limit: Limit, one: AssetReading) -> dict[str, int | str]:
    return {
        "lot": lot,
        "limit": limit.id,
        "channel": _channel(limit),
        "severity": limit.severity,
        "device": one.device,
        "epoch": one.epoch,
        "sequence": one.sequence,
    }


def _channel(limit: Limit) -> str:
    return Channel(limit.channel).name.lower()
