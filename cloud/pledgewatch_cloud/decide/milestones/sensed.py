"""Where devices show that goods are and have been.

It holds on stretches of the time at which it was measured. What a device has not shown, or was not good enough to show,
only may hold. Goods may be in one asset after another; what an asset goes through counts for them while they are in it.
"""

from collections.abc import Sequence

from pledgewatch_cloud.decide import causes as causes_module
from pledgewatch_cloud.decide.asset import EMPTY
from pledgewatch_cloud.decide.causes import Arrival, AssetFacts, Spell
from pledgewatch_cloud.decide.items.lots import Stay
from pledgewatch_cloud.decide.milestones.shown import GRADE, Asked, Proof, Shown, from_moment, held_on
from pledgewatch_cloud.decide.presence import Presence
from pledgewatch_cloud.decide.sentences import Given, say
from pledgewatch_cloud.decide.stretches import NEVER, NONE, Stretch, Stretches, joined, shared, stretch_at


def gated_in(asked: Asked, stay: Stay) -> Shown:
    """It has entered and stayed: from when it had stayed long enough, and a good enough fix had shown it.

    What was inside when it was first seen may have entered before, which nobody saw.
    """
    fact, there = asked.fact, ((stay.since_ms, stay.until_ms),)
    facts, presence = _known(asked, stay.asset)
    spells = _spells(facts, "fence_entered", fact.fence)
    began = _began_inside(facts, presence, fact.fence)
    surely, maybe, proofs = list[Stretch](), _from_then_on(asked, presence, there), list[Proof]()
    if shared(began, there):
        maybe.append((stay.since_ms, NEVER))
    due_ms = NEVER
    for arrival in facts.arrivals.get(fact.fence, ()):
        if not stretch_at(there, arrival.at_ms) or _confirms_a_beginning(arrival, began, spells):
            continue
        if not asked.is_good_enough(arrival.grade):
            maybe.append((arrival.at_ms, NEVER))
            continue
        done_ms, is_shown = _stayed(asked, spells, arrival, presence)
        if done_ms >= stay.until_ms:
            continue
        if is_shown:
            surely += from_moment(done_ms, fact.max_age_s)
            proofs.append(Proof("event", arrival.id, arrival.at_ms, arrival.grade))
        elif is_shown is None:
            due_ms = min(due_ms, done_ms)
            maybe.append((done_ms, NEVER))
    about: dict[str, Given] = {"asset": stay.asset, "grade": fact.grade or GRADE, "fence": fact.fence}
    missing = say("not_stayed", **about, dwell_s=fact.dwell_s) if fact.dwell_s else say("not_entered", **about)
    return Shown(
        held_on(surely, maybe), tuple(proofs), "" if surely else missing, grows_ms=due_ms, denial_grows_ms=-NEVER
    )


def _confirms_a_beginning(arrival: Arrival, began: Stretches, spells: Sequence[Spell]) -> bool:
    """Whether a good fix only confirmed that it was inside from the first, which is no entry."""
    if not stretch_at(began, arrival.at_ms):
        return False
    return not any(
        one.cause.at_ms <= arrival.at_ms and (one.ended_ms is None or arrival.at_ms < one.ended_ms) for one in spells
    )


def _stayed(
    asked: Asked, spells: Sequence[Spell], arrival: Arrival, presence: Presence | None
) -> tuple[int, bool | None]:
    """When an arrival has stayed for as long as is asked, and whether it has: None where that is not known."""
    fact = asked.fact
    if not fact.dwell_s:
        return arrival.at_ms, True
    begun = [one for one in spells if one.cause.at_ms <= arrival.at_ms]
    if not begun:
        return arrival.at_ms, None
    inside = begun[-1]
    done_ms = max(arrival.at_ms, inside.cause.at_ms + 1_000 * fact.dwell_s)
    if inside.ended_ms is not None:
        return done_ms, inside.ended_ms >= done_ms
    # That it is still there, a fix must show that is as good as the one that is asked of its entry.
    return done_ms, True if _newest_shown_ms(asked, presence) >= done_ms else None


def gated_out(asked: Asked, stay: Stay) -> Shown:
    """It has left. A fix of less than the fence's grade shows no crossing, so each that was seen is good enough."""
    fact, there = asked.fact, ((stay.since_ms, stay.until_ms),)
    facts, presence = _known(asked, stay.asset)
    left = [one for one in _spells(facts, "fence_left", fact.fence) if stretch_at(there, one.cause.at_ms)]
    surely = [stretch for one in left for stretch in from_moment(one.cause.at_ms, fact.max_age_s)]
    proofs = tuple(Proof("event", one.id, one.cause.at_ms) for one in left)
    missing = "" if left else say("not_left", asset=stay.asset, fence=fact.fence)
    return Shown(held_on(surely, _from_then_on(asked, presence, there)), proofs, missing, denial_grows_ms=-NEVER)


def inside(asked: Asked, stay: Stay) -> Shown:
    """It is inside: from the first fix of the grade that is asked for which showed it there, up to the newest such fix,
    and for as long as that stands. Where it was before the first is unknown."""
    fact, there = asked.fact, joined([(stay.since_ms, stay.until_ms)])
    facts, presence = _known(asked, stay.asset)
    newest_ms = _newest_shown_ms(asked, presence)
    surely, maybe, proofs = list[Stretch](), [(newest_ms, NEVER)], list[Proof]()
    if presence is not None:
        maybe.append((-NEVER, presence.first_ms))
    for spell in _spells(facts, "fence_entered", fact.fence):
        until_ms = spell.ended_ms if spell.ended_ms is not None else newest_ms + 1
        until_ms = max(until_ms, spell.cause.at_ms + 1)
        maybe.append((spell.cause.at_ms, until_ms))
        shown = _from_when_shown(asked, facts, (spell.cause.at_ms, until_ms))
        surely += shown
        if shown and stretch_at(there, spell.cause.at_ms):
            proofs.append(Proof("event", spell.id, spell.cause.at_ms))
    fence = asked.known.book.fences.get(fact.fence)
    for since_ms, until_ms in _began_inside(facts, presence, fact.fence):
        # A fence that comes and goes with its windows and legs ends without a word, so only that moment is sure.
        ends_ms = min(until_ms, newest_ms + 1) if fence and not fence.is_scoped else since_ms + 1
        surely += _from_when_shown(asked, facts, (since_ms, ends_ms))
        maybe.append((since_ms, until_ms))
    is_now = presence is not None and fact.fence in presence.inside
    if presence is not None and is_now and (fact.fence not in presence.fair or asked.is_good_enough("fair")):
        surely.append((newest_ms, newest_ms + 1 + 1_000 * fact.max_age_s))
        at_ms, device, epoch, sequence = presence.key
        if at_ms == newest_ms and stretch_at(there, newest_ms):
            proofs.append(Proof("reading", f"{device}/{epoch}/{sequence}", newest_ms))
    held = held_on(shared(joined(surely), there), shared(joined(maybe), there))
    missing = "" if held.surely else say("not_inside", asset=stay.asset, fence=fact.fence)
    # A first sight of a fence leads to no event.
    is_unseen = presence is None or presence.good_ms == -NEVER or fact.fence in presence.unknown
    may_be_seen = is_unseen or bool(fence and fence.is_scoped)
    grows_ms = -NEVER if is_now or may_be_seen else NEVER
    denial_grows_ms = -NEVER if not is_now or may_be_seen else NEVER
    return Shown(held, tuple(proofs), missing, grows_ms=grows_ms, denial_grows_ms=denial_grows_ms)


def _newest_shown_ms(asked: Asked, presence: Presence | None) -> int:
    """When the newest fix was measured that shows what is asked for: of that grade, and of the fence's."""
    if presence is None or asked.is_good_enough("fair"):
        return _newest_judged_ms(asked, presence)
    return presence.good_ms


def _newest_judged_ms(asked: Asked, presence: Presence | None) -> int:
    """When the newest fix was measured that tells of the fence; one that is weaker than it asks for does not."""
    fence = asked.known.book.fences.get(asked.fact.fence)
    if presence is None or fence is None:
        return -NEVER
    return presence.good_ms if fence.grade == GRADE else presence.key[0]


def _from_when_shown(asked: Asked, facts: AssetFacts, inside: Stretch) -> list[Stretch]:
    """The part of a time inside that begins with a fix of the grade that is asked for; a fence that asks for that grade
    itself is entered by no other."""
    fence = asked.known.book.fences.get(asked.fact.fence)
    if fence is not None and asked.is_good_enough(fence.grade):
        return [inside]
    arrivals = facts.arrivals.get(asked.fact.fence, ())
    shown = [one.at_ms for one in arrivals if asked.is_good_enough(one.grade) and stretch_at((inside,), one.at_ms)]
    return [(min(shown), inside[1])] if shown else []


def _known(asked: Asked, asset: str) -> tuple[AssetFacts, Presence | None]:
    return asked.known.facts.get(asset, AssetFacts()), asked.known.assets.get(asset, EMPTY).presence


def _from_then_on(asked: Asked, presence: Presence | None, there: Stretches) -> list[Stretch]:
    """From when on something that is never undone may have happened, for all that the newest fix shows."""
    unseen = shared(((_newest_judged_ms(asked, presence), NEVER),), there)
    return [(unseen[0][0], NEVER)] if unseen else []


def _spells(facts: AssetFacts, kind: str, fence: str) -> list[Spell]:
    return [one for one in causes_module.spells_of_kinds(facts, {kind}) if one.cause.fence == fence]


def _began_inside(facts: AssetFacts, presence: Presence | None, fence: str) -> Stretches:
    """From when it was first seen, if it was inside then, up to when it left."""
    since_ms = dict(presence.begun).get(fence) if presence else None
    if since_ms is None:
        return NONE
    left_ms = (one.cause.at_ms for one in _spells(facts, "fence_left", fence) if one.cause.at_ms > since_ms)
    return ((since_ms, min(left_ms, default=NEVER)),)
