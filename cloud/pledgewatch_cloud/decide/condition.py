"""Condition: a channel outside its limit for longer than its grace breaches the condition of a lot.

Only good values count. Outside begins with the first good value outside and ends with the first good value inside; the
breach is found by the reading that shows it to have lasted the grace, and restored by the first good value inside
after.
"""

from typing import NamedTuple

from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.book import Limit
from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_wire.reading import Channel

Key = tuple[int, str, int, int]


class Condition(NamedTuple):
    """How one channel of one lot stands at its newest good value (`key`). `outside_since_ms` None: within its limit."""

    key: Key
    outside_since_ms: int | None
    breached: bool


def advance(
    asset: str, lot: str, limit: Limit, before: Condition | None, one: AssetReading, value: int
) -> tuple[Condition, list[Event]]:
    """The condition after one more good value of the limit's channel, and the event that it shows, if any."""
    at_ms = one.measured_at_ms
    outside = not limit.low <= value <= limit.high
    since_ms = before.outside_since_ms if before else None
    breached = before.breached if before else False
    about: dict[str, int | str] = {
        "lot": lot,
        "channel": Channel(limit.channel).name.lower(),
        "value": value,
        "device": one.device,
        "epoch": one.epoch,
        "sequence": one.sequence,
    }
    if not outside:
        events = [event(EventType.CONDITION_RESTORED, at_ms, asset, **about)] if breached else []
        return Condition(one.key, None, breached=False), events
    since_ms = at_ms if since_ms is None else since_ms
    if breached or at_ms - since_ms < limit.grace_s * 1_000:
        return Condition(one.key, since_ms, breached), []
    bounds = {"low": limit.low, "high": limit.high, "since_ms": since_ms}
    return Condition(one.key, since_ms, breached=True), [
        event(EventType.CONDITION_BREACHED, at_ms, asset, **about, **bounds)
    ]
