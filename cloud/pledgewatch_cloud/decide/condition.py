"""Condition: one channel of a lot against one limit.

Three things breach a limit, each told once: a spell outside that has lasted the grace; all time outside added up
(`cumulative_s`); and how far outside, times how long (`budget`, the stability budget). A spell ends with the first good
value inside and restores what its grace breached; what is used up of a total stays used.

Between two good values the first one holds: time is outside from the good value that shows it to the next one inside,
and counts with the excess of the first. So what is borne runs out by time alone: a probe that falls silent outside
breaches its limit at that very moment, not when somebody hears of it again. Where the next good value is later than
`max_gap_s` allows, time is unknown: neither inside nor outside, added up apart, so totals have a lower figure (what is
known) and an upper one (the unknown counted as outside). After a value outside it is unknown from when the gap is too
long, after one inside from the value on: a gap is held against the lot and never for it. Time in an ignore period, or
while the limit's leg is not sailed, counts for nothing and breaks a spell; when the limit is judged again, a value is
waited for as long as after a value, and none from before holds.

The first good value at which the limit is judged makes the condition known. One is waited for from when the asset's
story begins, as long as after any value; then time is unknown, though there never was a value.

All sums are whole numbers: milliseconds, and value units times milliseconds.
"""

from typing import NamedTuple

from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_cloud.decide.stretches import ALWAYS, NEVER, Stretch, stretch_at
from pledgewatch_wire.reading import Channel

Key = tuple[int, str, int, int]
SEVERITIES = ("warning", "critical")


class Limit(NamedTuple):
    """What one channel must stay within, in its unit, and what is borne outside. Zero: not judged.

    `budget` is in value units times minutes, `legs` the ids of the legs in which the limit holds (none: in all),
    `ignore` the periods [from, until) in Unix milliseconds in which it does not (loading, defrosting). `judged`: when
    it holds by both, worked out with the voyage plan.
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
    ignore: tuple[Stretch, ...] = ()
    judged: tuple[Stretch, ...] = ALWAYS


class Condition(NamedTuple):
    """How a lot stands to one limit at its newest good value (`key`, `value`), or while the first is awaited.

    `outside_since_ms` None: inside, or not judged then. `counts`: whether the limit was judged at that value;
    `is_known`: whether it ever was at any.
    `is_unknown`: the time since has been told as unknown. Totals in milliseconds, `excess` in value units times ms.
    """

    key: Key
    value: int
    counts: bool = True
    is_known: bool = False
    outside_since_ms: int | None = None
    breached: bool = False
    is_unknown: bool = False
    outside_ms: int = 0
    excess: int = 0
    unknown_ms: int = 0
    cumulative_breached: bool = False
    budget_breached: bool = False


def awaited(begun_ms: int) -> Condition:
    """The condition before any value, of a story that begins at a moment."""
    return Condition((begun_ms, "", 0, 0), 0, counts=False)


def is_awaited(known: Condition) -> bool:
    """Whether there has been no value yet."""
    return not known.key[1]


def advance(
    asset: str, lot: str, limit: Limit, before: Condition, one: AssetReading, value: int
) -> tuple[Condition, list[Event]]:
    """The condition after one more good value, and what it shows. All deadlines before it have been told."""
    judged = stretch_at(limit.judged, one.measured_at_ms)
    is_outside = judged is not None and not limit.low <= value <= limit.high
    if judged and before.is_known and before.counts and not (is_outside or before.is_unknown or _is_out(before)):
        return before._replace(key=one.key, value=value), []
    after, events = _past(asset, lot, limit, before, one, value, judged)
    if is_outside and not _is_out(after):
        after = after._replace(outside_since_ms=one.measured_at_ms)
    if judged and not after.is_known:
        after = after._replace(is_known=True)
        events.append(event(EventType.CONDITION_KNOWN, one.measured_at_ms, asset, **_about(lot, limit, one.key)))
    after, found = _breaches(asset, lot, limit, after, one.measured_at_ms, one.key)
    return after, events + found


def _is_out(known: Condition) -> bool:
    return known.outside_since_ms is not None


def _past(
    asset: str, lot: str, limit: Limit, before: Condition, one: AssetReading, value: int, judged: Stretch | None
) -> tuple[Condition, list[Event]]:
    """What the time since the value before was, now that it has an end; where a spell goes on, it still stands."""
    at_ms, since_ms = one.measured_at_ms, before.key[0]
    events: list[Event] = []
    after = _held(limit, before, at_ms)._replace(key=one.key, value=value, counts=judged is not None, is_unknown=False)
    if before.is_unknown:
        since_ms = max(since_ms, _held_until_ms(limit, before))
        past_ms = sum(max(0, min(until, at_ms) - max(since, since_ms)) for since, until in limit.judged)
        after = after._replace(unknown_ms=before.unknown_ms + past_ms)
        facts = {"since_ms": since_ms, "unknown_ms": after.unknown_ms}
        events.append(event(EventType.CONDITION_KNOWN_AGAIN, at_ms, asset, **_about(lot, limit, one.key), **facts))
    is_inside = judged is None or limit.low <= value <= limit.high
    if is_inside or before.is_unknown or stretch_at(limit.judged, before.key[0]) != judged:
        after = after._replace(outside_since_ms=None)
    if after.breached and is_inside:
        after = after._replace(breached=False)
        reason = "inside" if judged else "not_judged"
        about = {**_about(lot, limit, one.key), "value": value, "reason": reason}
        events.append(event(EventType.CONDITION_RESTORED, at_ms, asset, **about))
    return after, events


def _held_until_ms(limit: Limit, known: Condition) -> int:
    """How long the newest value is held against the lot; it is not where it is inside."""
    stretch = stretch_at(limit.judged, known.key[0])
    if known.outside_since_ms is None or stretch is None:
        return -NEVER
    return min(stretch[1], known.key[0] + limit.max_gap_s * 1_000 if limit.max_gap_s else NEVER)


def _held(limit: Limit, known: Condition, at_ms: int) -> Condition:
    """The condition with the time up to a moment added to its totals, as far as the newest value is held."""
    held_ms = min(_held_until_ms(limit, known), at_ms) - known.key[0]
    if held_ms <= 0:
        return known
    excess = known.excess + _excess(limit, known) * held_ms
    return known._replace(outside_ms=known.outside_ms + held_ms, excess=excess)


def _excess(limit: Limit, known: Condition) -> int:
    return max(limit.low - known.value, known.value - limit.high)


def _breaches(
    asset: str, lot: str, limit: Limit, after: Condition, at_ms: int, key: Key
) -> tuple[Condition, list[Event]]:
    """The breaches that the totals show at a moment; `key` is the reading that shows them."""
    events: list[Event] = []
    since_ms = after.outside_since_ms
    if since_ms is not None and not after.breached and at_ms - since_ms >= limit.grace_s * 1_000:
        after = after._replace(breached=True)
        events.append(_breach(asset, lot, limit, after, at_ms, key, "grace"))
    if limit.cumulative_s and not after.cumulative_breached and after.outside_ms >= limit.cumulative_s * 1_000:
        after = after._replace(cumulative_breached=True)
        events.append(_breach(asset, lot, limit, after, at_ms, key, "cumulative"))
    if limit.budget and not after.budget_breached and after.excess >= limit.budget * 60_000:
        after = after._replace(budget_breached=True)
        events.append(_breach(asset, lot, limit, after, at_ms, key, "budget"))
    return after, events


def next_deadline_ms(limit: Limit, known: Condition) -> int:
    """The last moment up to which time alone shows nothing about the limit."""
    return min(_breach_due_ms(limit, known), _unknown_due_ms(limit, known))


def _breach_due_ms(limit: Limit, known: Condition) -> int:
    """When the next breach comes, if the newest value holds."""
    if known.is_unknown or known.outside_since_ms is None:
        return NEVER
    found, value_ms = [NEVER], known.key[0]
    if not known.breached:
        found.append(known.outside_since_ms + limit.grace_s * 1_000)
    if limit.cumulative_s and not known.cumulative_breached:
        found.append(value_ms + limit.cumulative_s * 1_000 - known.outside_ms)
    if limit.budget and not known.budget_breached:
        found.append(value_ms - (known.excess - limit.budget * 60_000) // _excess(limit, known))
    due_ms = min(found)
    return due_ms if due_ms <= _held_until_ms(limit, known) else NEVER


def _unknown_due_ms(limit: Limit, known: Condition) -> int:
    """When a value has been missed for too long."""
    if not limit.max_gap_s or known.is_unknown:
        return NEVER
    for since_ms, until_ms in limit.judged:
        late_ms = max(since_ms, known.key[0]) + limit.max_gap_s * 1_000
        if late_ms < until_ms:
            return late_ms
    return NEVER


def passed(asset: str, lot: str, limit: Limit, known: Condition, to_ms: int) -> tuple[Condition, list[Event]]:
    """The condition when time has come to `to_ms` without a good value: breached, unknown."""
    events: list[Event] = []
    while (due_ms := _breach_due_ms(limit, known)) < to_ms:
        shown, breaches = _breaches(asset, lot, limit, _held(limit, known, due_ms), due_ms, known.key)
        flags = shown.breached, shown.cumulative_breached, shown.budget_breached
        known = known._replace(breached=flags[0], cumulative_breached=flags[1], budget_breached=flags[2])
        events += breaches
    late_ms = _unknown_due_ms(limit, known)
    if late_ms < to_ms:
        facts = {"lot": lot, "limit": limit.id, "channel": _channel(limit), "severity": limit.severity}
        since_ms = max(known.key[0], _held_until_ms(limit, known))
        events.append(event(EventType.CONDITION_UNKNOWN, late_ms, asset, **facts, since_ms=since_ms))
        known = known._replace(is_unknown=True)
    return known, events


def _breach(asset: str, lot: str, limit: Limit, after: Condition, at_ms: int, key: Key, kind: str) -> Event:
    since_ms = after.outside_since_ms
    return event(
        EventType.CONDITION_BREACHED,
        at_ms,
        asset,
        **_about(lot, limit, key),
        kind=kind,
        value=after.value,
        low=limit.low,
        high=limit.high,
        since_ms=at_ms if since_ms is None else since_ms,
        outside_ms=after.outside_ms,
        outside_ms_at_most=after.outside_ms + after.unknown_ms,
        excess=after.excess // 60_000,
    )


def _about(lot: str, limit: Limit, key: Key) -> dict[str, int | str]:
    _, device, epoch, sequence = key
    return {
        "lot": lot,
        "limit": limit.id,
        "channel": _channel(limit),
        "severity": limit.severity,
        "device": device,
        "epoch": epoch,
        "sequence": sequence,
    }


def _channel(limit: Limit) -> str:
    return Channel(limit.channel).name.lower()
