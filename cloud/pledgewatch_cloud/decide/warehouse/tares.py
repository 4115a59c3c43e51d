"""Tares: by how much an instrument is off, as a count of all that its zone holds has shown, and is believed less since.

    off then   what it had said last when all of its zone was counted, below what was kept there by then
    off since  the least of that and of all that it has said later: what was put right does not go wrong by itself

It is worked out anew from counts, values and the courses of goods, whatever was heard first, so a row that comes late
says what it would have said in time. Of the values that a quarter of an hour keeps only the newest counts. What is let
go for want of room is remembered: what the channels had said by the count, and the least that they were off since.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse.shortfall import CHANNELS, Deficit, Kept, Said, deficits_by
from pledgewatch_cloud.decide.warehouse.signals import QUARTER_MS, Signals
from pledgewatch_cloud.decide.warehouse.terms import Warehouse, Zone

Off = Callable[[Said], Deficit | None]


class Tare(NamedTuple):
    """By how much an instrument was off, in grams or pieces, when all of its zone was counted.

    `said`: channel, moment and value, what each had measured last by then. `least`: the least that it was off since, by
    values that are not kept any more.
    """

    counted_ms: int
    said: tuple[tuple[int, int, int], ...]
    deficit: int
    least: int = NEVER


def counted_ms(warehouse: Warehouse, zone: Zone, kept: Kept) -> int | None:
    """The newest moment of a count as of which all that was kept in a zone was counted, then or later; None where there
    is none."""
    counted = {key: one.at_ms for key in kept.keys_in(warehouse.id, zone) if (one := kept.counts.get(key))}
    for at_ms in sorted(set(counted.values()), reverse=True):
        if all(counted.get(key, -NEVER) >= at_ms for key in kept.within(warehouse.id, zone, at_ms)):
            return at_ms
    return None


def tare_of(
    known: Tare | None, place: tuple[str, str], said: Said, counted_ms: int, now: Signals, before: Signals, off: Off
) -> tuple[Tare | None, int]:
    """The tare of an instrument, by asset and kind, and how much of it is so still. `known` is what is remembered of
    it, `said` what the zone's channels have said last, `now` what is kept of signals and `before` what was kept before
    this entry, `off` by how much the instrument is off by what it says."""
    asset, kind = place
    channels = [one for one in CHANNELS[kind] if one in said]
    known = known if known is not None and known.counted_ms == counted_ms else None
    then = _said_by(asset, channels, said, now, counted_ms, known)
    if then is None:
        return None, 0
    one = off(then)
    deficit = known.deficit if known else 0
    if one is not None:
        deficit = one.deficit if one.deficit > one.tolerance else 0
    gone = _values(asset, channels, before, counted_ms, without=now)
    least = min([known.least if known else NEVER, *_each(then, gone, off)])
    values = _values(asset, channels, now, counted_ms)
    still = max(0, min([deficit, least, *_each(then, values, off)])) if deficit else 0
    rows = tuple(sorted((channel, *one) for channel, one in then.items()))
    return Tare(counted_ms, rows, deficit, least), still


def offs(warehouse: Warehouse, zone: Zone, kind: str, kept: Kept) -> Off:
    """By how much an instrument is off by what it says: below what was kept in the zone then."""
    within = _within(warehouse, zone, kept)
    return lambda said: deficits_by(said, warehouse, zone, kept, within).get(kind)


def _said_by(
    asset: str, channels: Sequence[int], said: Said, signals: Signals, at_ms: int, known: Tare | None
) -> Said | None:
    """What each of some channels had said last by a moment; None where one has spoken later only, as far as known."""
    remembered = {channel: (then_ms, value) for channel, then_ms, value in known.said} if known else {}
    found: dict[int, tuple[int, int]] = {}
    for channel in channels:
        one = signals.value_at(asset, channel, at_ms)
        oldest = min(signals.quarters.get((asset, channel), {}), default=0)
        some = [each for each in [remembered.get(channel)] if each and each[0] // QUARTER_MS < oldest]  # it was let go
        some += [(one.at_ms, one.value)] if one is not None else []
        some += [said[channel]] if said[channel][0] <= at_ms else []
        if not some:
            return None
        found[channel] = max(some, key=itemgetter(0))
    return found or None


def _values(
    asset: str, channels: Sequence[int], signals: Signals, since_ms: int, *, without: Signals | None = None
) -> Iterator[tuple[int, int, int]]:
    """What some channels have said after a moment, in order: when, channel and value; only of quarters of an hour that
    are kept no more, where others are named."""
    found = []
    for channel in channels:
        place = asset, channel
        still = without.quarters.get(place, {}) if without is not None else {}
        values = signals.quarters.get(place, {}).values()
        found += [
            (one.at_ms, channel, one.value)
            for one in values
            if one.at_ms > since_ms and one.at_ms // QUARTER_MS not in still
        ]
    yield from sorted(found)


def _each(said: Said, values: Iterator[tuple[int, int, int]], off: Off) -> Iterator[int]:
    """By how much an instrument was off after each moment at which it spoke."""
    current = dict(said)
    for at_ms, some in groupby(values, key=itemgetter(0)):
        current.update({channel: (at_ms, value) for _, channel, value in some})
        one = off(current)
        if one is not None:
            yield one.deficit


def _within(warehouse: Warehouse, zone: Zone, kept: Kept) -> Callable[[int], Mapping[StockKey, int]]:
    """What was kept in a zone at a moment; what is between two changes is looked up once."""
    courses = [kept.course(key) for key in kept.keys_in(warehouse.id, zone)]
    changes = sorted({moment for one in courses for moment in one.moments})
    found: dict[int, Mapping[StockKey, int]] = {}

    def within(at_ms: int) -> Mapping[StockKey, int]:
        place = bisect_right(changes, at_ms)
        if place not in found:
            found[place] = kept.within(warehouse.id, zone, at_ms)
        return found[place]

    return within
