"""In what condition goods are and were, by what devices show in each asset that they were in.

A condition is known from the first good value that a limit is about; what was unknown later, or too much, speaks
against the goods. What no limit asks for need not be known.
"""

from collections.abc import Iterator, Sequence

from pledgewatch_cloud.decide import causes as causes_module
from pledgewatch_cloud.decide.asset import EMPTY
from pledgewatch_cloud.decide.causes import DOUBTS, AssetFacts, Spell
from pledgewatch_cloud.decide.collateral import stand
from pledgewatch_cloud.decide.condition import Limit
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.milestones.clauses import Held
from pledgewatch_cloud.decide.milestones.shown import GRADE, NOT, Asked, Proof, Shown
from pledgewatch_cloud.decide.sentences import Given, say
from pledgewatch_cloud.decide.stretches import (
    ALWAYS,
    NEVER,
    NONE,
    Stretch,
    Stretches,
    complement,
    joined,
    shared,
    stretch_at,
    without,
)
from pledgewatch_cloud.decide.voyage import in_force

_UNTIL_SETTLED = frozenset({"mkt_uncertain"})
"""What was uncertain of the mean kinetic temperature is settled by values; what was unknown of a limit is not."""


def condition_kept(asked: Asked, lot: Lot) -> Shown:
    """It is known by each of its limits, and since it began nothing has spoken against it."""
    doubts, refuted = list[Stretch](), list[Stretch]()
    for one in _doubts(asked, lot):
        doubts.append((one.cause.at_ms, _end_ms(one) if one.cause.kind in _UNTIL_SETTLED else NEVER))
        if _refutes(one):
            refuted.append((one.cause.at_ms, NEVER))
    return _fresh(asked, lot, _of_condition(asked, lot, doubts, refuted))


def no_open_breach(asked: Asked, lot: Lot) -> Shown:
    """It is known by each of its limits, and nothing that speaks against it goes on."""
    doubts = [(one.cause.at_ms, _end_ms(one)) for one in _doubts(asked, lot)]
    refuted = [(one.cause.at_ms, _end_ms(one)) for one in _doubts(asked, lot) if _refutes(one)]
    return _fresh(asked, lot, _of_condition(asked, lot, doubts, refuted))


def mkt_below(asked: Asked, lot: Lot) -> Shown:
    """The mean kinetic temperature is known, and known to be below its limit."""
    if lot.kinetic is None:
        return Shown(NOT, (), say("no_mkt_limit", lot=lot.id))
    some = [one for one in _doubts(asked, lot) if one.cause.kind.startswith("mkt_")]
    doubts = [(one.cause.at_ms, _end_ms(one)) for one in some]
    refuted = [(one.cause.at_ms, _end_ms(one)) for one in some if _refutes(one)]
    surely = without(_mkt_known(asked, lot), joined((*doubts, *_forgotten(asked, lot))))
    held = Held(surely, complement(joined(refuted)))
    missing = "" if surely else say("mkt_not_below", lot=lot.id)
    return _fresh(asked, lot, Shown(held, _proofs(asked, lot), missing))


def _of_condition(asked: Asked, lot: Lot, doubts: Sequence[Stretch], refuted: Sequence[Stretch]) -> Shown:
    surely = without(_known(asked, lot), joined((*doubts, *_forgotten(asked, lot))))
    held = Held(surely, complement(joined(refuted)))
    missing = ""
    if not stretch_at(surely, asked.as_of_ms):
        against = [one for one in _doubts(asked, lot) if one.cause.at_ms <= asked.as_of_ms]
        why = tuple(say("cause_since", cause=one.cause.kind, at_ms=one.cause.at_ms) for one in against)
        missing = say("against", lot=lot.id, why=why) if why else say("limits_unknown", lot=lot.id)
    return Shown(held, _proofs(asked, lot), missing)


def _known(asked: Asked, lot: Lot) -> Stretches:
    """When the condition is known by each limit that is in force."""
    found = ALWAYS
    for limit in lot.limits:
        if asked.fact.limit in ("", limit.id):
            found = shared(found, _known_by(asked, lot, limit))
    if lot.kinetic and not asked.fact.limit:
        found = shared(found, _mkt_known(asked, lot))
    return found


def _known_by(asked: Asked, lot: Lot, limit: Limit) -> Stretches:
    """When the condition is known by a limit: anew in each asset, and before its first leg there it need not be."""
    found = list[Stretch]()
    for asset in lot.assets:
        judged = in_force(asked.known.book.legs_of(asset), limit.legs, without=limit.ignore)
        begins_ms = min((since_ms for since_ms, _ in judged), default=NEVER)
        known = _after(_known_since_ms(asked, lot, asset, limit.id))
        if begins_ms != -NEVER:
            known = joined(((-NEVER, begins_ms + 1), *known))
        found += shared(known, lot.there(asset))
    return joined(found)


def _mkt_known(asked: Asked, lot: Lot) -> Stretches:
    found = list[Stretch]()
    for asset in lot.assets:
        found += shared(_after(_known_since_ms(asked, lot, asset, "")), lot.there(asset))
    return joined(found)


def _known_since_ms(asked: Asked, lot: Lot, asset: str, limit: str) -> int | None:
    """Since when a lot is known in an asset by a limit (empty: by its mean kinetic temperature)."""
    known = asked.known.facts.get(asset, AssetFacts()).known.values()
    return min((at_ms for lot_id, of, at_ms in known if (lot_id, of) == (lot.id, limit)), default=None)


def _after(since_ms: int | None) -> Stretches:
    return NONE if since_ms is None else ((since_ms, NEVER),)


def _forgotten(asked: Asked, lot: Lot) -> Stretches:
    """From the earliest doubt on that there was no room for."""
    found = [asked.known.facts.get(asset, AssetFacts()).forgotten.get(lot.id, NEVER) for asset in lot.assets]
    return joined(((min(found), NEVER),))


def _doubts(asked: Asked, lot: Lot) -> Iterator[Spell]:
    """What speaks against a lot's condition, or against what one limit asks of it, in each asset that it was in."""
    limit = asked.fact.limit
    for asset in lot.assets:
        there = lot.there(asset)
        for one in causes_module.spells_of_kinds(asked.known.facts.get(asset, AssetFacts()), DOUBTS):
            if one.cause.lot == lot.id and (not limit or _is_about(one, limit)):
                yield causes_module.in_stay(one, there)


def _is_about(one: Spell, limit: str) -> bool:
    return one.cause.kind.startswith("condition_") and one.cause.about.split("|")[1] == limit


def _refutes(one: Spell) -> bool:
    """Whether it shows that the condition was bad, and not only that it was unknown."""
    return one.cause.kind in ("condition_breached", "mkt_exceeded")


def _end_ms(one: Spell) -> int:
    return NEVER if one.ended_ms is None else one.ended_ms


def _fresh(asked: Asked, lot: Lot, shown: Shown) -> Shown:
    """What holds only as long as the newest reading that stands for the lot is young enough, where that is asked."""
    if not asked.fact.max_age_s:
        return shown
    newest_ms = _newest_ms(asked, lot)
    until_ms = -NEVER if newest_ms is None else newest_ms + 1_000 * asked.fact.max_age_s
    held = Held(shared(shown.held.surely, ((-NEVER, until_ms),)), shown.held.maybe)
    missing = shown.missing
    if not missing and until_ms <= asked.as_of_ms:
        missing = say("no_reading", lot=lot.id, grade=asked.fact.grade or GRADE)
        if newest_ms is not None:
            about: dict[str, Given] = {"lot": lot.id, "at_ms": newest_ms, "age_s": asked.fact.max_age_s}
            missing = say("reading_old", **about)
            if asked.fact.grade:
                missing = say("reading_old_of_grade", **about, grade=asked.fact.grade)
    return shown._replace(held=held, missing=missing, grows_ms=-NEVER)


def _newest_ms(asked: Asked, lot: Lot) -> int | None:
    """When the newest reading was measured that stands for a lot, in any of its stays: of the grade that is asked for.

    A condition is judged by good values alone, so a weaker reading is a fix.
    """
    found = []
    for stay in lot.whereabouts:
        known = asked.known.assets.get(stay.asset, EMPTY)
        key = stand.newest_evidence(lot, "reading", known, stay.until_ms - 1)
        moments = [key[0]] if key else []
        if known.presence and asked.is_good_enough("fair") and known.presence.key[0] >= stay.since_ms:
            moments.append(known.presence.key[0])
        found += [min(max(moments), stay.until_ms - 1)] if moments else []
    return max(found, default=None)


def _proofs(asked: Asked, lot: Lot) -> tuple[Proof, ...]:
    """Since when it is known, and what speaks against it."""
    known = [
        Proof("event", key, at_ms)
        for asset in lot.assets
        for key, (lot_id, _, at_ms) in asked.known.facts.get(asset, AssetFacts()).known.items()
        if lot_id == lot.id
    ]
    return (*known, *(Proof("event", one.id, one.cause.at_ms) for one in _doubts(asked, lot)))
