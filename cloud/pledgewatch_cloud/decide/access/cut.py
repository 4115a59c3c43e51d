"""What is known of an asset, cut to what a scope shows of it at a moment.

Of how things are, only what was measured since the viewer's time of it began: an older fix is no place of theirs, and
an older value no condition. A spell that began before and goes on is seen as what stands, with its beginning. Sums over
time that lie partly before tell of it, so they are not seen at all.
"""

from pledgewatch_cloud.decide import causes as causes_module
from pledgewatch_cloud.decide.access.scope import Scope
from pledgewatch_cloud.decide.asset import AssetState, Heard
from pledgewatch_cloud.decide.causes import Arrival, AssetFacts, Cause
from pledgewatch_cloud.decide.condition import Condition, awaited, is_awaited
from pledgewatch_cloud.decide.kinetic import HOUR_MS, Kinetic, Sum
from pledgewatch_cloud.decide.plausibility import Record
from pledgewatch_cloud.decide.presence import Presence
from pledgewatch_cloud.decide.sentences import say
from pledgewatch_cloud.decide.stretches import NEVER, Stretches, shared, stretch_at

NOT_SHOWN = say("not_shown")
"""What is said of something that is known and not seen."""
_OF_GOODS = frozenset({"goods_left", "stock_short"})


def asset_at(scope: Scope, asset: str, one: AssetState, facts: AssetFacts, at_ms: int) -> AssetState:
    """An asset's state of a moment at which it is seen; `facts` is all that stands for it then."""
    since_ms, devices = scope.asset_since_ms(asset, at_ms), scope.devices(at_ms)
    conditions, kinetics, heard = {}, {}, {}
    for key, condition in one.conditions.items():
        if (seen := _condition(condition, scope.lot_since_ms(key[0], at_ms))) is not None:
            conditions[key] = seen
    for lot, story in one.kinetics.items():
        if (told := _kinetic(scope, lot, story, facts, scope.lot_since_ms(lot, at_ms))) is not None:
            kinetics[lot] = told
    for name, device in one.devices.items():
        if name in devices and (known := _heard(device, since_ms)) is not None:
            heard[name] = known
    return AssetState(
        newest=one.newest if one.newest is not None and one.newest[0] >= since_ms else None,
        begun_ms=max(one.begun_ms, since_ms),
        told_ms=one.told_ms,
        presence=_presence(one.presence, since_ms) if one.presence is not None else None,
        conditions=conditions,
        kinetics=kinetics,
        devices=heard,
    )


def _presence(one: Presence, since_ms: int) -> Presence | None:
    if since_ms <= one.first_ms:
        return one
    if one.key[0] < since_ms:
        return None
    latitude, longitude = one.latitude_e7, one.longitude_e7
    return Presence(
        key=one.key,
        latitude_e7=latitude,
        longitude_e7=longitude,
        inside=one.inside,
        pending=tuple((fence, max(shown_ms, since_ms)) for fence, shown_ms in one.pending),
        unknown=one.unknown,
        fair=one.fair,
        good_ms=one.good_ms if one.good_ms >= since_ms else -NEVER,
        box=(latitude, latitude, longitude, longitude),
        first_ms=max(one.first_ms, since_ms),
        begun=tuple((fence, max(inside_ms, since_ms)) for fence, inside_ms in one.begun),
    )


def _condition(one: Condition, since_ms: int) -> Condition | None:
    """Without its totals, which may be of before."""
    if since_ms == NEVER:
        return None
    if is_awaited(one):
        return awaited(max(one.key[0], since_ms))._replace(is_unknown=one.is_unknown)
    if one.key[0] < since_ms:
        return None
    return Condition(
        key=one.key,
        value=one.value,
        counts=one.counts,
        is_known=one.is_known,
        outside_since_ms=one.outside_since_ms,
        breached=one.breached,
        is_unknown=one.is_unknown,
        cumulative_breached=one.cumulative_breached,
        budget_breached=one.budget_breached,
    )


def _kinetic(scope: Scope, lot: str, one: Kinetic, facts: AssetFacts, since_ms: int) -> Kinetic | None:
    """The story of a lot where none of what it judges was measured before: the whole of it, or of a rule with a window
    its hours."""
    known = scope.book.lots.get(lot)
    if since_ms == NEVER or known is None or known.kinetic is None:
        return None
    measured_ms = [at_ms for of, limit, at_ms in facts.known.values() if of == lot and not limit]
    if since_ms <= min(measured_ms, default=-NEVER):
        return one
    if known.kinetic.window_h and since_ms <= min(one.hours, default=0) * HOUR_MS:
        return Kinetic(one.key, one.value_mc, Sum(), one.hours, one.level)
    return None


def _heard(one: Heard, since_ms: int) -> Heard | None:
    if since_ms == -NEVER:
        return one
    if one.key[0] < since_ms:
        return None
    sensors = {channel: source for channel, source in one.sensors.items() if source.last_ms >= since_ms}
    return Heard(key=one.key, record=Record(), device=one.device, sensors=sensors)


def facts_of(scope: Scope, asset: str, one: AssetFacts, at_ms: int) -> AssetFacts:
    """What stands for an asset, of the viewer's lots and time: what began before and goes on in it, too. Of the lots,
    those that are the viewer's at a moment."""
    when = scope.when_asset(asset)
    names = {
        *(cause.lot for cause in one.causes.values()),
        *(lot for lot, _, _ in one.known.values()),
        *one.forgotten,
    }
    lots = {lot: shared(when, scope.when_lot(lot)) for lot in names if stretch_at(scope.when_lot(lot), at_ms)}
    spells = {
        spell.id: spell.cause
        for spell in causes_module.spells(one)
        if _goes_on(spell.cause, spell.ended_ms, _when(spell.cause, when, lots))
    }
    abouts = {(cause.kind, cause.about): _when(cause, when, lots) for cause in spells.values()}
    return AssetFacts(
        arrivals={fence: some for fence, every in one.arrivals.items() if (some := _within(every, when))},
        causes=spells,
        ends={
            key: end
            for key, end in one.ends.items()
            if any(stretch_at(abouts.get((kind, end.about), ()), end.at_ms) for kind in end.kinds)
        },
        known={key: known for key, known in one.known.items() if stretch_at(lots.get(known[0], ()), known[2])},
        forgotten={
            lot: since_ms
            for lot, of_ms in one.forgotten.items()
            if (since_ms := _from(lots.get(lot, ()), of_ms)) != NEVER
        },
    )


def _when(cause: Cause, when: Stretches, lots: dict[str, Stretches]) -> Stretches:
    """When a cause is seen: what is about goods in the time of the lot, what is not in that of the asset."""
    if cause.lot:
        return lots.get(cause.lot, ())
    return () if cause.kind in _OF_GOODS else when


def _goes_on(cause: Cause, ended_ms: int | None, when: Stretches) -> bool:
    """Whether a spell begins in some time, or goes on in it."""
    return any(
        since_ms <= cause.at_ms < until_ms or (cause.at_ms < since_ms and (ended_ms is None or ended_ms > since_ms))
        for since_ms, until_ms in when
    )


def _from(when: Stretches, at_ms: int) -> int:
    """The first moment of some time that is not before another; NEVER where there is none. What was forgotten while
    goods were another's is told of from where they are one's own again."""
    return next((max(at_ms, since_ms) for since_ms, until_ms in when if until_ms > at_ms), NEVER)


def _within(arrivals: tuple[Arrival, ...], when: Stretches) -> tuple[Arrival, ...]:
    return tuple(one for one in arrivals if stretch_at(when, one.at_ms))
