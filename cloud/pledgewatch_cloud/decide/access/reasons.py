"""Why a milestone stands as it does: by all that is known, with what shows it only as far as that is seen.

What is seen alone may say otherwise than what is known: a breach of before somebody's pledge is not in it. So whether a
fact holds is told as it was decided; the events, readings and moments behind it are cut to the viewer's time, as those
of amounts are (lines.py).
"""

from dataclasses import replace

from pledgewatch_cloud.decide.access.cut import NOT_SHOWN
from pledgewatch_cloud.decide.access.scope import Scope
from pledgewatch_cloud.decide.milestones import explain
from pledgewatch_cloud.decide.milestones.clauses import Fact
from pledgewatch_cloud.decide.milestones.explain import Explained, Explanation
from pledgewatch_cloud.decide.milestones.lifecycle import Memo
from pledgewatch_cloud.decide.milestones.shown import Proof
from pledgewatch_cloud.decide.milestones.terms import Milestone
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import NEVER, stretch_at

_OF_LOTS = frozenset({"gated_in", "gated_out", "inside", "condition_kept", "no_open_breach", "mkt_below"})
"""Facts that are of what was measured; their moments are of the lots' time."""
_OF_FACILITY = frozenset({"stock_counted", "receipt_valid", "pledged", "ltv_below", "milestone_released"})
"""Facts that count from when the milestone saw them. Moments of all others stand in the book or in a notice."""


def explained(scope: Scope, whole: State, seen: State, milestone_id: str) -> Explanation:
    """A milestone that is seen, as it stands by the whole state."""
    if scope.is_all:
        return explain.explain(whole, milestone_id)
    milestone = seen.book.milestones[milestone_id]
    told = seen.milestones.get(milestone_id, Memo(milestone.facility))
    known = whole.milestones.get(milestone_id, told)
    asked = {milestone_id: known._replace(account=told.account, waived_by=told.waived_by, waived_why=told.waived_why)}
    by_all = explain.explain(replace(whole, milestones={**whole.milestones, **asked}), milestone_id)
    # How good a sender's word is no book as it is seen has, and without it no notice shows anything: with it what is
    # told of the notices that are seen is what was decided by.
    book = replace(seen.book, senders=whole.book.senders)
    by_seen = explain.explain(replace(seen, book=book, milestones={**seen.milestones, **asked}), milestone_id)
    own = {one.fact: one for one in by_seen.facts}
    facts = tuple(_told(scope, milestone, one, own[one.fact]) for one in by_all.facts)
    # Accounts are not in the book as it is seen.
    return by_all._replace(milestone=milestone, memo=told, at_odds=by_seen.at_odds, facts=facts)


def _told(scope: Scope, milestone: Milestone, one: Explained, own: Explained) -> Explained:
    """A fact with those of its proofs that what is seen has, too; `missing` says where something is left out."""
    proofs = tuple(proof for proof in one.proofs if proof in own.proofs and _shows(scope, milestone, one.fact, proof))
    is_whole = proofs == one.proofs and one.missing == own.missing
    is_since_told = one.since_ms == NEVER or _is_own(scope, milestone, one.fact, one.since_ms)
    return one._replace(
        since_ms=one.since_ms if is_since_told else NEVER,
        proofs=proofs,
        missing=one.missing if is_whole and is_since_told else NOT_SHOWN,
    )


def _shows(scope: Scope, milestone: Milestone, fact: Fact, proof: Proof) -> bool:
    if proof.kind in ("event", "reading"):
        return any(scope.sees_lot(lot, proof.at_ms) for lot in _lots(scope, milestone, fact))
    return proof.kind not in ("value", "milestone") or _is_own(scope, milestone, fact, proof.at_ms)


def _is_own(scope: Scope, milestone: Milestone, fact: Fact, at_ms: int) -> bool:
    """Whether a moment of a fact is of the viewer's time of what it is about."""
    if fact.kind in _OF_LOTS:
        return all(scope.sees_lot(lot, at_ms) for lot in _lots(scope, milestone, fact))
    return fact.kind not in _OF_FACILITY or stretch_at(scope.when_facility(milestone.facility), at_ms) is not None


def _lots(scope: Scope, milestone: Milestone, fact: Fact) -> list[str]:
    return [lot.id for lot in scope.book.scope_of(milestone).lots if fact.lot in ("", lot.id)]
