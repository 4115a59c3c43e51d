"""What an asset's state is to the calm lane: a row of numbers, and the way back.

A row stands for an asset that is judged by one device and about which nothing is open: no doubt, nothing pending at a
fence, every value inside its limits, nobody missed. Of such an asset a calm reading moves only what is newest. `shape`
says what of a plan the row needs, `row_of` writes an asset's state down in it, `state_of` puts the row's numbers back
into the state that it was made from.

Sums of weights (kinetic.py) need more than 64 bits: they are kept as `high * 2**24 + low`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pledgewatch_cloud.decide.asset import SAVE_SPACE_MS, AssetState, Fitted, Heard, Plan
from pledgewatch_cloud.decide.condition import Condition, is_awaited
from pledgewatch_cloud.decide.kinetic import Kinetic, KineticRule, Sum, weight
from pledgewatch_cloud.decide.plausibility import TEMPERATURES, Record, Spot, Still
from pledgewatch_cloud.decide.presence import Presence
from pledgewatch_cloud.decide.silence import Level, Patience, Source
from pledgewatch_cloud.decide.stretches import NEVER, Stretches, stretch_at
from pledgewatch_wire.reading import Channel

Key = tuple[int, str, int, int]
SLOTS = 6
KINETICS = 2
LOW_BITS = 24
LOW_MASK = 2**LOW_BITS - 1
WEIGHT_MAX = 2**55  # two of them, shared out over high and low, times twelve days, stay within 64 bits
PLACE_MASK = 1 << Channel.LATITUDE_E7 | 1 << Channel.LONGITUDE_E7
_NOBODY_WAITS = NEVER // 2
LEVELS = ("kept", "uncertain", "exceeded")


class Slot(NamedTuple):
    """A channel that something is known of: the narrowest of its limits, and how long it may be quiet or still."""

    channel: int
    low: int = -NEVER
    high: int = NEVER
    patience_ms: int = NEVER
    stuck_ms: int = NEVER


class Shape(NamedTuple):
    """What a plan asks of a row. `kinetics` as (slot, lot, rule)."""

    plan: Plan
    device: str
    fitted: Fitted
    patience_ms: int
    slots: tuple[Slot, ...]
    kinetics: tuple[tuple[int, str, KineticRule], ...]


class SlotRow(NamedTuple):
    """The newest good value of a slot's channel, and since when it has not moved."""

    at_ms: int
    sequence: int
    value: int
    since_ms: int


class KineticRow(NamedTuple):
    """A voyage's sum so far (`high`, `low`, `known_ms`) and the weight of its newest value. The rest does not move."""

    slot: int
    gap_ms: int
    activation_j_mol: int
    level: int
    unknown_ms: int
    bounds: tuple[float, float, float]
    high: int
    low: int
    known_ms: int
    weight: int


class Row(NamedTuple):
    """A calm asset as numbers. `fix_ms` and the place are 0 where `unready` says that no place is known."""

    epoch: int
    newest_ms: int
    sequence: int
    floor_ms: int
    leg_from_ms: int
    leg_until_ms: int
    save_after_ms: int
    unsaved: int
    unready: int
    fix_ms: int
    fix_sequence: int
    latitude_e7: int
    longitude_e7: int
    box: tuple[int, int, int, int]
    inside: tuple[str, ...]
    slots: tuple[SlotRow, ...]
    kinetics: tuple[KineticRow, ...]


def shape(plan: Plan, state: AssetState) -> Shape | None:
    """What the plan asks of a row; None where the asset is no matter for the calm lane."""
    if len(plan.devices) != 1:
        return None
    ((device, fitted),) = plan.devices.items()
    if any(limit.ignore for some in plan.limits.values() for _, limit in some):
        return None
    at_ms = state.newest[0] if state.newest else -NEVER
    rules = [
        (channel, lot, rule)
        for channel, some in plan.kinetics.items()
        for lot, rule in some
        if stretch_at(rule.judged, at_ms)
    ]
    if len(rules) > KINETICS or any(rule.window_h for _, _, rule in rules):
        return None
    heard, stuck = state.devices.get(device), fitted.rules.stuck_after_s
    tracked = {*heard.record.still, *stuck} if heard and stuck else set()
    channels = sorted({*plan.limits, *plan.kinetics, *fitted.sensors, *tracked})
    if len(channels) > SLOTS:
        return None
    slots = tuple(_slot(channel, plan, fitted, at_ms) for channel in channels)
    place = {slot.channel: number for number, slot in enumerate(slots)}
    kinetics = tuple((place[channel], lot, rule) for channel, lot, rule in rules)
    return Shape(plan, device, fitted, _shortest_ms(fitted.patience), slots, kinetics)


def _slot(channel: int, plan: Plan, fitted: Fitted, at_ms: int) -> Slot:
    every = [limit for _, limit in plan.limits.get(channel, ())]
    limits = [limit for limit in every if stretch_at(limit.judged, at_ms)]
    waits = [1_000 * limit.max_gap_s for limit in every if limit.max_gap_s and _goes_on(limit.judged, at_ms)]
    waits += [1_000 * rule.max_gap_s for _, rule in plan.kinetics.get(channel, ()) if _goes_on(rule.judged, at_ms)]
    if channel in fitted.sensors:
        waits.append(_shortest_ms(fitted.sensors[channel]))
    stuck_s = fitted.rules.stuck_after_s.get(channel)
    return Slot(
        channel,
        max((limit.low for limit in limits), default=-NEVER),
        min((limit.high for limit in limits), default=NEVER),
        min(waits, default=NEVER),
        NEVER if stuck_s is None else 1_000 * stuck_s,
    )


def _goes_on(judged: Stretches, at_ms: int) -> bool:
    """Whether something is judged at a moment or after it."""
    return any(until_ms > at_ms for _, until_ms in judged)


def _shortest_ms(patience: Patience) -> int:
    return 1_000 * min((wait for wait in patience if wait), default=NEVER // 1_000)


class _OpenError(Exception):
    """Something about the asset is open: it is not calm."""


def row_of(state: AssetState, of: Shape) -> Row | None:
    """The state as a row; None where something about the asset is open."""
    try:
        return _row(state, of)
    except _OpenError:
        return None


def _row(state: AssetState, of: Shape) -> Row:
    heard = state.devices.get(of.device)
    if heard is None or len(state.devices) != 1 or state.newest != heard.key:
        raise _OpenError
    record, (at_ms, _, epoch, sequence) = heard.record, heard.key
    if record.doubts or record.suspect or (record.epoch, record.sequence) != (epoch, sequence):
        raise _OpenError
    if record.still and not of.fitted.rules.stuck_after_s:
        raise _OpenError  # near 85 °C
    if heard.device != Source(at_ms) or state.withheld_ms != NEVER:
        raise _OpenError
    unready = sum(1 << slot.channel for slot in of.slots if not _is_known(slot.channel, state, heard, of))
    slots = [_slot_row(slot.channel, state, heard, of, unready) for slot in of.slots]
    if of.fitted.rules.stuck_after_s:
        unready |= sum(1 << channel for channel in TEMPERATURES - {slot.channel for slot in of.slots})
    leg_from_ms, leg_until_ms = _stretch(of.plan, at_ms)
    fix_ms, fix_sequence, latitude_e7, longitude_e7, box, inside = _place(state.presence, record, of)
    return Row(
        epoch=epoch,
        newest_ms=at_ms,
        sequence=sequence,
        floor_ms=max(at_ms, state.told_ms),
        leg_from_ms=leg_from_ms,
        leg_until_ms=leg_until_ms,
        save_after_ms=state.saves[-1].until_ms + SAVE_SPACE_MS if state.saves else -NEVER,
        unsaved=state.unsaved,
        unready=unready | (PLACE_MASK if state.presence is None else 0),
        fix_ms=fix_ms,
        fix_sequence=fix_sequence,
        latitude_e7=latitude_e7,
        longitude_e7=longitude_e7,
        box=box,
        inside=inside,
        slots=tuple(slots),
        kinetics=tuple(_kinetic_row(number, lot, rule, state) for number, lot, rule in of.kinetics),
    )


def _place(
    presence: Presence | None, record: Record, of: Shape
) -> tuple[int, int, int, int, tuple[int, int, int, int], tuple[str, ...]]:
    spot = record.accepted
    if presence is None:
        if spot is not None:
            raise _OpenError
        return 0, 0, 0, 0, (0, 0, 0, 0), ()
    if (
        presence.good_ms == -NEVER
        or presence.pending
        or presence.unknown
        or presence.fair
        or not of.plan.ground.scoped.isdisjoint(presence.inside)
    ):
        raise _OpenError
    at_ms, _, epoch, sequence = presence.key
    if spot is None or epoch != record.epoch or spot[:3] != (at_ms, presence.latitude_e7, presence.longitude_e7):
        raise _OpenError
    return at_ms, sequence, presence.latitude_e7, presence.longitude_e7, presence.box, presence.inside


def _is_known(channel: int, state: AssetState, heard: Heard, of: Shape) -> bool:
    """Whether everything that is judged by the channel has had a first value, which is for the fold."""
    stuck = of.fitted.rules.stuck_after_s
    known = [not is_awaited(state.conditions[lot, limit.id]) for lot, limit in of.plan.limits.get(channel, ())]
    known += [lot in state.kinetics for lot, _ in _kinetics_of(channel, of)]
    if any(known) and not all(known):
        raise _OpenError
    if stuck and (channel in TEMPERATURES or channel in stuck) and channel not in heard.record.still:
        return False
    return all(known) and (channel not in of.fitted.sensors or channel in heard.sensors)


def _slot_row(channel: int, state: AssetState, heard: Heard, of: Shape, unready: int) -> SlotRow:
    """What is known of a channel; where it is unready, only since when its sensor is waited for."""
    newest = _newest(channel, state, heard, of)
    at_ms = _last_heard(channel, newest, heard, of)
    if unready >> channel & 1:
        at_ms = at_ms if channel in heard.sensors and channel in of.fitted.sensors else _NOBODY_WAITS
        awaited = [state.conditions[lot, limit.id] for lot, limit in of.plan.limits.get(channel, ())]
        return SlotRow(min([at_ms, *(one.key[0] for one in awaited if not one.is_unknown)]), 0, 0, 0)
    value, since_ms = _still(channel, newest, heard, of)
    return SlotRow(at_ms, newest[0][3] if newest else 0, value, since_ms)


def _newest(channel: int, state: AssetState, heard: Heard, of: Shape) -> tuple[Key, int] | None:
    """Key and value of the channel's newest good value, on which all that is judged by it must agree."""
    found: set[tuple[Key, int]] = set()
    for lot, limit in of.plan.limits.get(channel, ()):
        known = state.conditions[lot, limit.id]
        if not is_awaited(known):
            if known.outside_since_ms is not None or known.is_unknown:
                raise _OpenError
            if stretch_at(limit.judged, known.key[0]) != stretch_at(limit.judged, heard.key[0]):
                raise _OpenError  # since that value a leg or a stay has begun or ended
            found.add((known.key, known.value))
    for lot, rule in _kinetics_of(channel, of):
        story = state.kinetics.get(lot)
        if story is not None:
            if stretch_at(rule.judged, story.key[0]) != stretch_at(rule.judged, heard.key[0]):
                raise _OpenError
            found.add((story.key, story.value_mc))
    if len(found) > 1 or any(key[2] != heard.record.epoch for key, _ in found):
        raise _OpenError
    return found.pop() if found else None


def _kinetics_of(channel: int, of: Shape) -> list[tuple[str, KineticRule]]:
    """The rules of the row that are judged by a channel."""
    return [(lot, rule) for slot, lot, rule in of.kinetics if of.slots[slot].channel == channel]


def _last_heard(channel: int, newest: tuple[Key, int] | None, heard: Heard, of: Shape) -> int:
    at_ms = newest[0][0] if newest else 0
    if channel not in of.fitted.sensors:
        return at_ms
    source = heard.sensors.get(channel)
    if source is None:
        return at_ms
    if source.level != Level.LIVE or (newest and source.last_ms != at_ms):
        raise _OpenError
    return source.last_ms


def _still(channel: int, newest: tuple[Key, int] | None, heard: Heard, of: Shape) -> tuple[int, int]:
    """The value and since when it has not moved, where that is judged."""
    stuck = of.fitted.rules.stuck_after_s
    if not stuck or (channel not in TEMPERATURES and channel not in stuck):
        return newest[1] if newest else 0, 0
    still = heard.record.still[channel]
    if newest and still.value != newest[1]:
        raise _OpenError
    return still


def _kinetic_row(slot: int, lot: str, rule: KineticRule, state: AssetState) -> KineticRow:
    story = state.kinetics.get(lot)
    heaviest = max(rule.high_mc, rule.worst_low_mc, rule.worst_high_mc)
    if weight(heaviest, rule.activation_j_mol) > WEIGHT_MAX:
        raise _OpenError
    sides = rule.high_mc, rule.worst_low_mc, rule.worst_high_mc
    bounds = tuple(2.0 * weight(one, rule.activation_j_mol) for one in sides)
    told = story or Kinetic((0, "", 0, 0), 0)
    newest = weight(told.value_mc, rule.activation_j_mol)
    if newest > WEIGHT_MAX or told.voyage.doubled >> LOW_BITS >= 2**61:
        raise _OpenError
    return KineticRow(
        slot,
        1_000 * rule.max_gap_s,
        rule.activation_j_mol,
        LEVELS.index(told.level),
        told.voyage.unknown_ms,
        (bounds[0], bounds[1], bounds[2]),
        told.voyage.doubled >> LOW_BITS,
        told.voyage.doubled & LOW_MASK,
        told.voyage.known_ms,
        newest,
    )


def _stretch(plan: Plan, at_ms: int) -> tuple[int, int]:
    """The stretch of time around a moment in which the voyage plan says the same, and the same lots are there."""
    judged = [limit.judged for some in plan.limits.values() for _, limit in some]
    judged += [rule.judged for some in plan.kinetics.values() for _, rule in some]
    edges = {edge_ms for leg in plan.legs for edge_ms in (leg.from_ms, leg.until_ms)}
    edges |= {edge_ms for one in {*judged} for stretch in one for edge_ms in stretch}
    since_ms = max((edge_ms for edge_ms in edges if edge_ms <= at_ms), default=-NEVER)
    return since_ms, min((edge_ms for edge_ms in edges if edge_ms > at_ms), default=NEVER)


def state_of(base: AssetState, of: Shape, row: Row) -> AssetState:
    """The state that the row was made from, with the row's numbers in it."""
    device, heard = of.device, base.devices[of.device]
    key = row.newest_ms, device, row.epoch, row.sequence
    accepted, presence = heard.record.accepted, base.presence
    if presence is not None and row.fix_sequence != presence.key[3]:
        place = row.latitude_e7, row.longitude_e7
        accepted = Spot(row.fix_ms, *place, 1)
        fix_key = row.fix_ms, device, row.epoch, row.fix_sequence
        known = presence.first_ms, presence.begun
        presence = Presence(fix_key, *place, presence.inside, (), (), (), row.fix_ms, row.box, *known)
    still: Mapping[int, Still] = heard.record.still
    sensors: Mapping[int, Source] = heard.sensors
    conditions: dict[tuple[str, str], Condition] = dict(base.conditions)
    for slot, one in zip(of.slots, row.slots, strict=True):
        if row.unready >> slot.channel & 1:
            continue
        if slot.channel in sensors and slot.channel in of.fitted.sensors:
            sensors = {**sensors, slot.channel: Source(one.at_ms)}
        if of.fitted.rules.stuck_after_s and slot.channel in still:
            still = {**still, slot.channel: Still(one.value, one.since_ms)}
        slot_key = one.at_ms, device, row.epoch, one.sequence
        for lot, limit in of.plan.limits.get(slot.channel, ()):
            conditions[lot, limit.id] = conditions[lot, limit.id]._replace(key=slot_key, value=one.value)
    kinetics = dict(base.kinetics)
    for (_, lot, _), sums in zip(of.kinetics, row.kinetics, strict=True):
        newest = row.slots[sums.slot]
        if row.unready >> of.slots[sums.slot].channel & 1:
            continue
        total = Sum((sums.high << LOW_BITS) + sums.low, sums.known_ms, sums.unknown_ms)
        slot_key = newest.at_ms, device, row.epoch, newest.sequence
        kinetics[lot] = kinetics[lot]._replace(key=slot_key, value_mc=newest.value, voyage=total)
    record = Record(row.epoch, row.sequence, row.newest_ms, 0, accepted, None, still, frozenset())
    return base._replace(
        newest=key,
        presence=presence,
        conditions=conditions,
        kinetics=kinetics,
        devices={device: Heard(key, record, Source(row.newest_ms), sensors)},
        due_ms=max(base.due_ms, due_ms(of, row)),
        unsaved=row.unsaved,
    )


def due_ms(of: Shape, row: Row) -> int:
    """A moment up to which time alone shows nothing of the asset."""
    waits = [one.at_ms + slot.patience_ms for slot, one in zip(of.slots, row.slots, strict=True)]
    return min([row.newest_ms + of.patience_ms, *waits])
