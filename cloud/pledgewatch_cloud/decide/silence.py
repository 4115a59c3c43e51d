"""Silence, judged from when readings were measured, never from when they arrived.

A device fell silent when two successive readings lie further apart than its installation allows, or when its newest
reading lies that far behind a tick. A backlog that arrives later and fills the gap shows that there was no silence, and
the event is retracted. Only a tick judges how far the newest reading lies behind, so a backlog that comes in over many
entries takes a silence back once and not with every entry.
"""

from typing import NamedTuple

from pledgewatch_cloud.decide.events import Event, EventType, event, retraction


class Silence(NamedTuple):
    """One device's readings as a span of time.

    `judged_until_ms` is the end of the latest silence that was found; a reading from before it may change what was
    found, one from after it cannot.
    """

    first_ms: int
    last_ms: int
    silent: bool = False
    judged_until_ms: int | None = None


def disturbs(before: Silence | None, at_ms: int, silent_after_s: int) -> bool:
    """Whether a reading measured at `at_ms` may change silences that were found already."""
    if before is None:
        return False
    if at_ms >= before.last_ms:
        return False
    if at_ms < before.first_ms:
        return before.first_ms - at_ms > silent_after_s * 1_000 or before.judged_until_ms is not None
    return before.judged_until_ms is not None and at_ms < before.judged_until_ms


def heard(
    asset: str, device: str, before: Silence | None, at_ms: int, silent_after_s: int, said: str | None
) -> tuple[Silence, list[Event]]:
    """The silence after one more reading of the device. `said` is the id of the event that said that it is silent."""
    if before is None:
        return Silence(at_ms, at_ms), []
    if at_ms <= before.last_ms:
        return before._replace(first_ms=min(before.first_ms, at_ms)), []
    if before.silent and not _too_long(before.last_ms, at_ms, silent_after_s):
        assert said is not None, f"{device} is silent and nobody said so"
        fell_silent = _fell_silent(asset, device, before.last_ms, silent_after_s)
        return before._replace(last_ms=at_ms, silent=False), [retraction(said, fell_silent)]
    events = []
    if not before.silent and _too_long(before.last_ms, at_ms, silent_after_s):
        events.append(_fell_silent(asset, device, before.last_ms, silent_after_s))
    if not before.silent and not events:
        return before._replace(last_ms=at_ms), []
    events.append(event(EventType.DEVICE_REPORTED_AGAIN, at_ms, asset, device=device, since_ms=before.last_ms))
    return Silence(before.first_ms, at_ms, silent=False, judged_until_ms=at_ms), events


def passed(
    asset: str, device: str, before: Silence, horizon_ms: int, silent_after_s: int
) -> tuple[Silence, list[Event]]:
    """The silence when time has come to `horizon_ms`."""
    if before.silent or not _too_long(before.last_ms, horizon_ms, silent_after_s):
        return before, []
    return before._replace(silent=True), [_fell_silent(asset, device, before.last_ms, silent_after_s)]


def _too_long(from_ms: int, to_ms: int, silent_after_s: int) -> bool:
    return silent_after_s > 0 and to_ms - from_ms > silent_after_s * 1_000


def _fell_silent(asset: str, device: str, last_ms: int, silent_after_s: int) -> Event:
    at_ms = last_ms + silent_after_s * 1_000
    return event(EventType.DEVICE_FELL_SILENT, at_ms, asset, device=device, last_ms=last_ms)
