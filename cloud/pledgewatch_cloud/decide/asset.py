"""The asset half: one asset's readings, in the order in which they were measured, folded into what they mean.

    said(asset) = fold(all its readings in order, the book in force, the newest tick)

always, whatever order they arrived in. A reading that comes in order only carries the fold on by one. A reading from
before something already folded, or an amendment of the asset's rules, folds the whole asset again from its history;
the difference to what had been said is said as retractions and new events. So late news amends and never adds a
phantom.

Readings that are no evidence (a clock that was never set) are left out of every fold.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pledgewatch_cloud.decide import condition, presence, silence
from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.condition import Condition
from pledgewatch_cloud.decide.events import Event
from pledgewatch_cloud.decide.geofence import FenceIndex
from pledgewatch_cloud.decide.presence import Place, Presence
from pledgewatch_cloud.decide.silence import Silence
from pledgewatch_wire.reading import Clock


class AssetState(NamedTuple):
    """What is known of one asset. `conditions` by (lot, channel), `silences` by device."""

    presence: Presence | None = None
    conditions: Mapping[tuple[str, int], Condition] = {}
    silences: Mapping[str, Silence] = {}


class Placed(NamedTuple):
    """A reading with its place and the fences around it, where it gives one."""

    one: AssetReading
    place: Place | None
    inside: frozenset[str]

    @property
    def is_evidence(self) -> bool:
        """Whether the reading may stand for anything: a clock that was never set says nothing."""
        return self.one.reading.clock != Clock.UNSET


def placed(index: FenceIndex, readings: Sequence[AssetReading]) -> list[Placed]:
    """The readings with their fences: one pass for all of them."""
    places = [presence.place_of(one) for one in readings]
    known = [place for place in places if place is not None]
    inside = iter(index.containing([one.latitude_e7 for one in known], [one.longitude_e7 for one in known]))
    nowhere: frozenset[str] = frozenset()
    return [
        Placed(one, place, nowhere if place is None else next(inside))
        for one, place in zip(readings, places, strict=True)
    ]


def in_order(state: AssetState, asset: str, book: Book, readings: Iterable[AssetReading]) -> bool:
    """Whether readings (sorted) can simply carry the fold on, or come from before something already folded."""
    for one in readings:
        if one.reading.clock == Clock.UNSET:
            continue
        if state.presence and one.key < state.presence.key and presence.place_of(one) is not None:
            return False
        quiet_s = book.installations[one.device].silent_after_s
        if silence.disturbs(state.silences.get(one.device), one.measured_at_ms, quiet_s):
            return False
        for lot in book.lots_of_asset(asset):
            for limit in lot.limits:
                before = state.conditions.get((lot.id, limit.channel))
                if before and one.key < before.key and one.reading.good(limit.channel) is not None:
                    return False
    return True


def fold(
    state: AssetState, asset: str, book: Book, readings: Sequence[Placed], said_silences: Mapping[str, str]
) -> tuple[AssetState, list[Event]]:
    """Carry the fold on over readings in order. `said_silences`: device → id of the event that said it silent."""
    if not readings:
        return state, []
    events: list[Event] = []
    where = state.presence
    conditions = dict(state.conditions)
    silences = dict(state.silences)
    lots = book.lots_of_asset(asset)
    for one, place, inside in readings:
        quiet_s = book.installations[one.device].silent_after_s
        before = silences.get(one.device)
        silences[one.device], found = silence.heard(
            asset, one.device, before, one.measured_at_ms, quiet_s, said_silences.get(one.device)
        )
        events += found
        if place is not None:
            where, found = presence.advance(asset, where, one, place, inside)
            events += found
        for lot in lots:
            for limit in lot.limits:
                value = one.reading.good(limit.channel)
                if value is None:
                    continue
                key = (lot.id, limit.channel)
                conditions[key], found = condition.advance(asset, lot.id, limit, conditions.get(key), one, value)
                events += found
    return AssetState(where, conditions, silences), events


def pass_time(state: AssetState, asset: str, book: Book, horizon_ms: int) -> tuple[AssetState, list[Event]]:
    """What the passing of time alone shows: devices that fell silent."""
    events: list[Event] = []
    silences = state.silences
    for device, before in state.silences.items():
        installation = book.installations.get(device)
        if installation is None or installation.asset != asset:
            continue
        after, found = silence.passed(asset, device, before, horizon_ms, installation.silent_after_s)
        if after is not before:
            silences = {**silences, device: after}
            events += found
    return state if silences is state.silences else state._replace(silences=silences), events
