"""What a milestone waits for, in plain words: which facts hold and which are missing, what each rests on, and what
would become of the release if one fell away.

The same code that decides is asked again; nothing here decides by itself.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral.as_of import sheet_now
from pledgewatch_cloud.decide.currencies import exponent
from pledgewatch_cloud.decide.milestones import clauses
from pledgewatch_cloud.decide.milestones.clauses import Fact
from pledgewatch_cloud.decide.milestones.judge import (
    Verdict,
    amount_of,
    asked_of,
    fact_document,
    other_terms,
    proof_document,
    up_to_now,
    verdict_of,
    why_not,
)
from pledgewatch_cloud.decide.milestones.lifecycle import MOVES, UNMET, Memo, MilestoneState, News
from pledgewatch_cloud.decide.milestones.shown import NOT, SURE, Known, Proof, Shown, as_asked, known_of
from pledgewatch_cloud.decide.milestones.terms import Milestone
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.money import Amount
from pledgewatch_cloud.decide.sentences import as_told, say
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import NEVER, first_ms, stretch_at

_LOST = frozenset({MilestoneState.HELD, MilestoneState.RETRACTED, MilestoneState.IN_QUESTION})
_NAMED_MAX = 20
"""How many milestones are named where there is not the one that was asked for."""
_SECONDS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


class Explained(NamedTuple):
    """One fact as a milestone asks for it, or for its not being so. `holds`: it does at the moment that counts, now or,
    once met, then; `may_hold`: it is not known. `since_ms` is when it came to hold, NEVER where it does not; `if_lost`
    what would happen without it."""

    fact: Fact
    words: str
    holds: bool
    may_hold: bool
    since_ms: int
    proofs: tuple[Proof, ...]
    missing: str
    if_lost: str


class Explanation(NamedTuple):
    """A milestone, where it stands, and each of its facts. `amount_minor` -1: not known. `at_odds`: how the release
    that was sent is not the book's any more."""

    milestone: Milestone
    memo: Memo
    amount_minor: int
    currency: str
    as_of_ms: int
    at_odds: str
    facts: tuple[Explained, ...]


def explain(state: State, milestone_id: str) -> Explanation:
    """A milestone as it stands. Raises KeyError where the book has none of that name."""
    milestone, known = state.book.milestones[milestone_id], known_of(state)
    memo = state.milestones.get(milestone_id, Memo(milestone.facility))
    verdict = verdict_of(known, milestone, memo)
    amount_minor: int | None = memo.amount_minor
    if memo.state in UNMET:
        amount_minor = amount_of(state.book, milestone, partial(bases.value_of, sheet_now(state, known.now_ms)))
    as_of_ms = known.now_ms if memo.state in UNMET else memo.met_ms
    facts = tuple(_explained(known, milestone, memo, verdict, fact, shown, as_of_ms) for fact, shown in verdict.shown)
    currency = memo.currency or state.book.facilities[milestone.facility].currency
    money = -1 if amount_minor is None else amount_minor, currency
    return Explanation(milestone, memo, *money, known.now_ms, other_terms(state.book, milestone, memo), facts)


def _explained(
    known: Known, milestone: Milestone, memo: Memo, verdict: Verdict, fact: Fact, shown: Shown, as_of_ms: int
) -> Explained:
    held = as_asked(fact, shown.held)
    stretch = stretch_at(held.surely, as_of_ms)
    return Explained(
        fact,
        words_of(fact),
        stretch is not None,
        stretch is None and stretch_at(held.maybe, as_of_ms) is not None,
        stretch[0] if stretch else NEVER,
        shown.proofs if stretch and not fact.is_denied else (),
        "" if stretch else why_not(fact, shown, as_of_ms),
        _if_lost(known, milestone, memo, verdict, fact) if stretch else "",
    )


def _if_lost(known: Known, milestone: Milestone, memo: Memo, verdict: Verdict, lost: Fact) -> str:
    """What would happen if a fact that holds had never held, or one that is denied always had."""
    shown, without = dict(verdict.shown), SURE if lost.is_denied else NOT
    held = clauses.evaluate(asked_of(milestone), lambda fact: without if fact == lost else shown[fact].held)
    still = up_to_now(known, milestone, held)
    if first_ms(still.surely) is not None:
        return say("met_all_the_same")
    if memo.state in UNMET:
        return say("not_met")
    if memo.waived_by:
        return say("waived_already", user=memo.waived_by)
    move = MOVES.get((memo.state, News.UNKNOWN if still.maybe else News.REFUTED))
    return say(_CONSEQUENCES[move.state]) if move else say("nothing_more", milestone_state=str(memo.state))


_CONSEQUENCES = {
    MilestoneState.HELD: "would_hold",
    MilestoneState.RETRACTED: "would_retract",
    MilestoneState.IN_QUESTION: "would_question",
}


def words_of(fact: Fact) -> str:
    """A fact in words, as it is asked for: its kind, and what else it asks."""
    parts = ["not", fact.kind] if fact.is_denied else [fact.kind]
    for value, words in (
        (fact.fence, f"at {fact.fence}"),
        (fact.place, f"at {fact.place}"),
        (fact.milestone, f"of {fact.milestone}"),
        (fact.lot, f"of lot {fact.lot}"),
        (fact.limit, f"by limit {fact.limit}"),
        (fact.sender, f"by {fact.sender}"),
        (fact.grade, f"of grade {fact.grade} or better"),
        (fact.dwell_s, f"for {duration(1_000 * fact.dwell_s)}"),
        (fact.max_age_s, f"no older than {duration(1_000 * fact.max_age_s)}"),
        (fact.ltv_bp, f"{fact.ltv_bp} bp"),
    ):
        if value:
            parts.append(words)
    if fact.at_ms != NEVER:
        parts.append(iso(fact.at_ms))
    return " ".join(parts)


def duration(span_ms: int) -> str:
    """A span of time in its greatest whole unit, rounded down."""
    seconds = max(span_ms, 0) // 1_000
    size, unit = next((one for one in _SECONDS if seconds >= one[0]), _SECONDS[-1])
    return f"{seconds // size} {unit}"


def heading(milestone: Milestone, memo: Memo) -> str:
    """A milestone and where it stands, in a line."""
    about = f"shipment {milestone.shipment}" if milestone.shipment else f"lot {milestone.lot}"
    state = f"{memo.state}, and not booked" if memo.is_unbooked else memo.state
    return f"milestone {milestone.id} of {milestone.facility}, about {about}: {state}"


def unbooked(milestone: str, memo: Memo) -> str:
    """What to do where a release was sent and is not booked, in a sentence."""
    message, sequence = memo.releases[-1]
    return (
        f"of {message} it was said that it is not booked, so no money moves: mend that and send it again"
        f" (`outbox --replay-from {memo.facility}:{sequence}`), or pay otherwise and say so"
        f" (POST /milestones/{milestone}/booking)"
    )


def unknown(book: Book, milestone_id: str) -> str:
    """That the book has no milestone of that name, and which it has."""
    names = sorted(book.milestones)
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    there = f"there are {', '.join(names[:_NAMED_MAX])}{more}" if names else "the book has none"
    return f"there is no milestone {milestone_id!r}; {there}"


def lines(one: Explanation) -> Iterator[str]:
    """An explanation as text, line by line."""
    milestone, memo = one.milestone, one.memo
    money = "an amount that is not known yet"
    if one.amount_minor >= 0:
        money = f"{Amount(one.amount_minor, exponent(one.currency)).text(grouped=True)} {one.currency}"
    yield heading(milestone, memo)
    yield f"  releases {money} to {milestone.payee}"
    if memo.waived_by:
        yield f"  waived by {memo.waived_by}: {memo.waived_why}"
    if memo.met_ms != NEVER:
        met = "was taken to be met" if memo.state in _LOST else "met"
        yield f"  {met} since {iso(memo.met_ms)}; what counts is how it was then, by all that is known now"
    if memo.is_unbooked:
        yield f"  {unbooked(milestone.id, memo)}"
    if milestone.expires_ms != NEVER:
        yield f"  expires {iso(milestone.expires_ms)}"
    if one.at_odds:
        yield f"  at odds with the book: {one.at_odds}"
    for fact in one.facts:
        if fact.holds:
            since = "always" if fact.since_ms == -NEVER else f"since {iso(fact.since_ms)}"
            yield f"  holds    {fact.words}: {since}"
            for proof in fact.proofs:
                yield f"             by {_proof_words(proof, one.as_of_ms)}"
            yield f"             if it fell away: {fact.if_lost}"
        else:
            yield f"  {'unknown ' if fact.may_hold else 'missing '} {fact.words}: {fact.missing}"


def _proof_words(proof: Proof, as_of_ms: int) -> str:
    grade = f", {proof.grade}" if proof.grade else ""
    age = f", {duration(as_of_ms - proof.at_ms)} old" if proof.at_ms != -NEVER else ""
    return f"{proof.kind} {proof.id}{grade}{age}"


def as_json(one: Explanation) -> dict[str, Any]:
    """An explanation as a JSON object."""
    return {
        **described(one.milestone, one.memo),
        "amount_minor": one.amount_minor,
        "currency": one.currency,
        "as_of_ms": one.as_of_ms,
        "at_odds": one.at_odds,
        "facts": [
            {
                "fact": fact_document(fact.fact),
                "words": fact.words,
                "holds": fact.holds,
                "may_hold": fact.may_hold,
                "since_ms": fact.since_ms if fact.since_ms != NEVER else None,
                "proofs": [proof_document(proof) for proof in fact.proofs],
                "missing": fact.missing,
                "missing_told": as_told(fact.missing),
                "if_lost": fact.if_lost,
                "if_lost_told": as_told(fact.if_lost),
            }
            for fact in one.facts
        ],
    }


def described(milestone: Milestone, memo: Memo) -> dict[str, Any]:
    """A milestone and where it stands, as a JSON object."""
    return {
        "id": milestone.id,
        "facility": milestone.facility,
        "shipment": milestone.shipment,
        "lot": milestone.lot,
        "payee": milestone.payee,
        "state": memo.state,
        "met_ms": None if memo.met_ms == NEVER else memo.met_ms,
        "released_ms": None if memo.released_ms == NEVER else memo.released_ms,
        "expires_ms": None if milestone.expires_ms == NEVER else milestone.expires_ms,
        "amount_minor": memo.amount_minor,
        "waived_by": memo.waived_by,
        "waived_why": memo.waived_why,
        "unbooked": memo.is_unbooked,
    }
