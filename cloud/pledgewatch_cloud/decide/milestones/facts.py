"""Facts: when each thing that a clause may ask for held, by all that is known now, and what shows it.

Readings and notices tell of moments, so what they show holds on stretches of the goods' own time, and late news changes
the stretches alone. What goods are worth, whether they are pledged and whether a receipt is valid has no moments in the
book: it counts from when the milestone first saw it so (its sights), and where the book says so no more, it never was.
The value of goods moves by itself, so what was seen of it when the milestone was met stays seen. How goods stand by an
electronic receipt counts until the money has moved: up to then one that is frozen, or goods that are missing, take it
back; later a receipt ends as receipts do, and what was seen stays seen.
"""

from collections.abc import Callable, Mapping

from pledgewatch_cloud.decide.collateral.stand import held_by_receipt
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.milestones import kept, sensed
from pledgewatch_cloud.decide.milestones.clauses import Fact
from pledgewatch_cloud.decide.milestones.lifecycle import UNMET, Memo, MilestoneState, Sight
from pledgewatch_cloud.decide.milestones.noticed import noticed
from pledgewatch_cloud.decide.milestones.shown import (
    NOT,
    PERHAPS,
    Asked,
    Known,
    Proof,
    Shown,
    for_lots,
    for_stays,
    from_moment,
    held_on,
    only,
)
from pledgewatch_cloud.decide.milestones.terms import Milestone
from pledgewatch_cloud.decide.sentences import Given, Ref, say
from pledgewatch_cloud.decide.stretches import ALWAYS, NEVER, joined, shared


def show(known: Known, milestone: Milestone, memo: Memo, fact: Fact) -> Shown:
    """When a fact of a milestone held, and what shows it. `memo` is what is remembered of the milestone."""
    scope = known.book.scope_of(milestone)
    asked = Asked(known, milestone, scope, memo, fact)
    if not asked.lots:
        # The book does not let that happen; if it did, nothing would be known, of what is denied as well.
        return Shown(PERHAPS, (), say("not_in_book"))
    reader = _READERS.get(fact.kind)
    return reader(asked) if reader else noticed(asked)


def _stock_received(asked: Asked, lot: Lot) -> Shown:
    if lot.received_ms == -NEVER:
        return Shown(NOT, (), say("never_received", lot=lot.id))
    held = only(from_moment(lot.received_ms, asked.fact.max_age_s))
    return Shown(held, (Proof("book", f"lots {lot.id}.received_at", lot.received_ms),))


def _stock_counted(asked: Asked, lot: Lot) -> Shown:
    by_receipt = held_by_receipt(lot, asked.known.held)
    if lot.counted < lot.quantity and (lot.counted >= 0 or by_receipt is None):
        if lot.counted < 0:
            return Shown(NOT, (), say("count_unknown", lot=lot.id))
        return Shown(NOT, (), say("counted_few", lot=lot.id, counted=lot.counted, quantity=lot.quantity))
    if by_receipt is not None:
        about: dict[str, Given] = {"lot": lot.id, "missing": by_receipt.missing, "quantity": lot.quantity}
        missing = ""
        if by_receipt.missing and by_receipt.cases:
            missing = say("are_missing_by_case", **about, cases=tuple(Ref("cases", one) for one in by_receipt.cases))
        elif by_receipt.missing:
            missing = say("are_missing", **about)
        return _by_receipt(asked, f"stock_counted {lot.id}", lot, NEVER, missing)
    held = only(from_moment(lot.counted_ms, asked.fact.max_age_s))
    return Shown(held, (Proof("book", f"lots {lot.id}.counted", lot.counted_ms),))


def _receipt_valid(asked: Asked, lot: Lot) -> Shown:
    by_receipt = held_by_receipt(lot, asked.known.held)
    if by_receipt is not None and lot.receipt is not None:
        missing = ""
        if by_receipt.state != "valid":
            receipt = Ref("receipts", lot.receipt.id)
            missing = say("receipt_of_lot_is", receipt=receipt, lot=lot.id, state=by_receipt.state)
        return _by_receipt(asked, f"receipt_valid {lot.id}", lot, by_receipt.until_ms, missing)
    if lot.receipt is None or lot.receipt.state != "valid":
        return Shown(NOT, (), say("no_valid_receipt", lot=lot.id))
    proof = Proof("book", f"lots {lot.id}.receipt {lot.receipt.id}")
    return _as_seen(asked, f"receipt_valid {lot.id}", lot.receipt.until_ms, proof)


def _pledged(asked: Asked, lot: Lot) -> Shown:
    if lot.facility != asked.milestone.facility:
        return Shown(NOT, (), say("pledged_to", lot=lot.id, facility=lot.facility))
    return _as_seen(asked, f"pledged {lot.id}", NEVER, Proof("book", f"lots {lot.id}.facility"))


def _as_seen(asked: Asked, key: str, until_ms: int, proof: Proof) -> Shown:
    """What the book says now: it holds since the milestone first saw it, and may have held before. It grows old from
    then on, too."""
    since_ms = next((one.since_ms for one in asked.seen(key) if one.until_ms == NEVER), asked.known.now_ms)
    until_ms = min(until_ms, from_moment(since_ms, asked.fact.max_age_s)[0][1])
    held = held_on([(since_ms, until_ms)], [(-NEVER, until_ms)])
    return Shown(held, (proof,), sights=(Sight(key, since_ms),))


def _by_receipt(asked: Asked, key: str, lot: Lot, until_ms: int, missing: str) -> Shown:
    """What the receipt book and the warehouse say now; `missing` is empty where it is so."""
    seen = asked.seen(key) if asked.memo.released_ms != NEVER else []
    if missing:
        past = [one._replace(until_ms=min(one.until_ms, asked.known.now_ms)) for one in seen]
        return Shown(only(joined((one.since_ms, one.until_ms) for one in past)), (), missing, tuple(past))
    assert lot.receipt is not None, f"{lot.id} has no receipt"
    now = _as_seen(asked, key, until_ms, Proof("receipt", lot.receipt.id))
    past = [one for one in seen if one.until_ms < NEVER]
    surely = [*((one.since_ms, one.until_ms) for one in past), *now.held.surely]
    return now._replace(held=held_on(surely, now.held.maybe), sights=(*past, *now.sights))


def _ltv_below(asked: Asked) -> Shown:
    """It is below since the milestone first saw it so; what it saw when it was met stays seen."""
    now_ms, key = asked.known.now_ms, f"ltv_below {asked.fact.ltv_bp}"
    base = asked.known.bases.get(asked.milestone.facility)
    is_known = base is not None and base.ltv_bp >= 0
    if base is not None and is_known and base.ltv_bp < asked.fact.ltv_bp:
        since_ms = next((one.since_ms for one in asked.seen(key) if one.until_ms == NEVER), now_ms)
        seen, maybe, missing = _seen_still(asked, key, since_ms), ALWAYS, ""
    else:
        seen, maybe = _seen_before(asked, key), ALWAYS
        missing = say("ltv_unknown", facility=asked.milestone.facility)
        if base is not None and is_known:
            maybe = ((-NEVER, now_ms),)
            missing = say("ltv_not_below", ltv_bp=base.ltv_bp, below_bp=asked.fact.ltv_bp)
    proofs = tuple(Proof("value", f"{key} of {asked.milestone.facility}", one.since_ms) for one in seen)
    held = held_on([(one.since_ms, one.until_ms) for one in seen], maybe)
    return Shown(held, proofs, missing, tuple(seen))


def _milestone_released(asked: Asked) -> Shown:
    """It is released; where that is in question now, what was met while it was not rests on it, and nothing else."""
    name = asked.fact.milestone
    memo, key = asked.known.memos.get(name, Memo("")), f"milestone_released {name}"
    if memo.released_ms == NEVER:
        return Shown(NOT, (), say("milestone_not_released", milestone=name, milestone_state=str(memo.state)))
    since = from_moment(memo.released_ms, asked.fact.max_age_s)
    if memo.state is MilestoneState.RELEASED:
        seen, missing = _seen_still(asked, key, memo.released_ms), ""
    else:
        seen = _seen_before(asked, key)
        missing = say("milestone_is", milestone=name, milestone_state=str(memo.state))
    surely = shared(since, joined((one.since_ms, one.until_ms) for one in seen))
    proofs = (Proof("milestone", name, memo.released_ms),) if surely else ()
    return Shown(held_on(surely, since), proofs, missing, tuple(seen))


def _seen_still(asked: Asked, key: str, since_ms: int) -> list[Sight]:
    """What the milestone has seen of something that is so now."""
    past = [one for one in asked.seen(key) if one.until_ms < NEVER and asked.memo.state not in UNMET]
    return [*past, Sight(key, since_ms)]


def _seen_before(asked: Asked, key: str) -> list[Sight]:
    """What the milestone has seen of something that is so no more: it counts for what was met by it alone."""
    if asked.memo.state in UNMET:
        return []
    return [one._replace(until_ms=min(one.until_ms, asked.known.now_ms)) for one in asked.seen(key)]


def _date_reached(asked: Asked) -> Shown:
    at_ms = asked.fact.at_ms
    missing = "" if asked.known.now_ms >= at_ms else say("not_come", at_ms=at_ms)
    return Shown(only(from_moment(at_ms, 0)), (), missing)


_READERS: Mapping[str, Callable[[Asked], Shown]] = {
    "gated_in": for_stays(sensed.gated_in),
    "gated_out": for_stays(sensed.gated_out),
    "inside": for_stays(sensed.inside),
    "condition_kept": for_lots(kept.condition_kept),
    "no_open_breach": for_lots(kept.no_open_breach),
    "mkt_below": for_lots(kept.mkt_below),
    "stock_received": for_lots(_stock_received),
    "stock_counted": for_lots(_stock_counted),
    "receipt_valid": for_lots(_receipt_valid),
    "pledged": for_lots(_pledged),
    "ltv_below": _ltv_below,
    "milestone_released": _milestone_released,
    "date_reached": _date_reached,
}
"""How each kind of fact is read; every other kind is a kind of notice."""
