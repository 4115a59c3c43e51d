"""Milestones after an entry: how each that the entry may have touched stands now, and what must be said of it.

A clause tells when it held, in the goods' own time; a milestone is met from the first such moment on, up to now and
before it expires. That moment depends on what is known alone, never on the order in which it became known.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.items.parties import account_of
from pledgewatch_cloud.decide.messages import MessageType
from pledgewatch_cloud.decide.milestones import clauses, facts
from pledgewatch_cloud.decide.milestones import terms as terms_module
from pledgewatch_cloud.decide.milestones.clauses import AllOf, Clause, Fact, Held
from pledgewatch_cloud.decide.milestones.lifecycle import (
    ANOTHER_ACCOUNT,
    MOVES,
    ON_ITS_WAY,
    RELEASING,
    TAKEN_BACK,
    UNMET,
    Memo,
    Move,
    News,
    Sight,
)
from pledgewatch_cloud.decide.milestones.shown import Known, Proof, Shown, as_asked
from pledgewatch_cloud.decide.milestones.terms import Milestone
from pledgewatch_cloud.decide.sentences import Sentence, say
from pledgewatch_cloud.decide.stretches import NEVER, Stretches, first_ms, shared, stretch_at

ValueOf = Callable[[str, tuple[str, ...]], int | None]
"""What some lots of a facility are worth in its currency's minor units; None where that is not known."""
_GONE = "the milestone is not in the book any more"


class Verdict(NamedTuple):
    """How a clause stands: when it holds and may hold up to now, what shows each fact, and when that may change."""

    held: Held
    shown: tuple[tuple[Fact, Shown], ...]
    turns_ms: int

    @property
    def met_ms(self) -> int | None:
        """The first moment at which it holds."""
        return first_ms(self.held.surely)


class Found(NamedTuple):
    """What must be said of a milestone: an event, and the message that carries it to the core, if one does.

    `withdrawn`: the message that must not be sent any more.
    """

    milestone: str
    facility: str
    event: Event
    message: MessageType | None
    data: dict[str, Any]
    withdrawn: str = ""


def verdict_of(known: Known, milestone: Milestone, memo: Memo) -> Verdict:
    """How a milestone's clause stands now."""
    whole = asked_of(milestone)
    found = {fact: facts.show(known, milestone, memo, fact) for fact in clauses.facts(whole)}
    held = clauses.evaluate(whole, lambda fact: found[fact].held)
    now_ms = known.now_ms
    so_far = up_to_now(known, milestone, held)
    every = (held.surely, held.maybe, *(one.held.surely for one in found.values()))
    edges = [edge for some in every for stretch in some for edge in stretch]
    turns_ms = min((edge for edge in (*edges, milestone.expires_ms) if edge > now_ms), default=NEVER)
    if not so_far.surely and so_far.maybe:
        turns_ms = min(turns_ms, max(now_ms + 1, min(_grows_ms(fact, shown) for fact, shown in found.items())))
    return Verdict(so_far, tuple(found.items()), turns_ms)


def up_to_now(known: Known, milestone: Milestone, held: Held) -> Held:
    """What counts of when a clause holds: up to now, and before the milestone expires."""
    until: Stretches = ((-NEVER, min(known.now_ms + 1, milestone.expires_ms)),)
    return Held(shared(held.surely, until), shared(held.maybe, until))


def asked_of(milestone: Milestone) -> Clause:
    """All that a milestone asks for: its clause, and the milestones that come before it; what is denied is marked."""
    before = (Fact("milestone_released", milestone=one) for one in milestone.after)
    whole = AllOf((milestone.when, *before)) if milestone.after else milestone.when
    return clauses.with_denials(whole)


def judge(known: Known, milestone: Milestone, memo: Memo, value_of: ValueOf) -> tuple[Memo, Found | None]:
    """A milestone after what is known now, and what must be said of it."""
    if other_terms(known.book, milestone, memo):
        return moved(known, milestone, memo._replace(turns_ms=NEVER), News.REFUTED)
    if memo.waived_by:
        # It was taken back for its terms, which are the book's again; else this changes nothing.
        return moved(known, milestone, memo._replace(turns_ms=NEVER), News.WAIVED)
    verdict = verdict_of(known, milestone, memo)
    news = _news(known, milestone, memo, verdict)
    if news is News.HOLDS:
        memo = _priced(known, milestone, memo, verdict, value_of)
        # What is not known to be worth anything releases nothing yet.
        news = News.HOLDS if memo.amount_minor else _unmet(known, milestone, News.SOME_IN)
    memo = memo._replace(facility=milestone.facility, turns_ms=verdict.turns_ms)
    memo = memo._replace(sights=_seen(memo, verdict))
    return moved(known, milestone, memo, news, verdict)


def other_terms(book: Book, milestone: Milestone, memo: Memo) -> str:
    """In which way a release that was sent is not the book's any more; empty where it is."""
    if not memo.terms:
        return ""
    terms = terms_module.written(milestone)
    if milestone.facility != memo.facility:
        return f"the release was sent for {memo.facility}, and the book has the milestone with {milestone.facility}"
    if terms != memo.terms:
        return f"the release was sent as {memo.terms}, and the book says {terms}"
    if memo.released_ms != NEVER and not memo.is_disputed:
        return ""  # whoever was paid may bank elsewhere now, and the goods may be sold
    account = account_of(book.parties, milestone.payee)
    if account != memo.account:
        return _other_account(milestone.payee, memo.account, account)
    goods = terms_module.goods_of(milestone, book.scope_of(milestone).lots)
    return "" if goods == memo.goods else f"the release was sent for {memo.goods}, and the book says {goods or 'none'}"


def _other_account(payee: str, sent: str, known: str) -> str:
    if sent == ANOTHER_ACCOUNT:
        return f"the release was sent to another account of {payee} than the book's"
    return f"the release was sent to {sent or 'no account'}, and the book says {known or 'none'}"


def check_amended(before: Book, book: Book, memos: Mapping[str, Memo]) -> None:
    """Hold a book to what is released or may be, also by milestones that it has no more or has otherwise now: what was
    taken back may have been paid until whoever pays has said that it was not.

    Raises BookError where shares of one thing come to more than all of it, and to more than they did before: what has
    come so by somebody's word must not stand in the way of everything else.
    """
    were = terms_module.summed(_shares(before, memos))
    if faults := list(terms_module.shared_out(_shares(book, memos), were)):
        raise BookError(faults)


def _shares(book: Book, memos: Mapping[str, Memo]) -> dict[str, dict[str, int]]:
    """What each milestone takes a share of, in basis points: by the book, and by what was sent and may be paid."""
    shares = {one.id: dict(terms_module.shares_of(one, book.scope_of(one).lots)) for one in book.milestones.values()}
    for name, memo in memos.items():
        if memo.releases and not memo.is_settled:
            said = shares.setdefault(name, {})
            said |= {about: max(share_bp, said.get(about, 0)) for about, share_bp in memo.shares}
    return shares


def moved(
    known: Known, milestone: Milestone, memo: Memo, news: News, verdict: Verdict | None = None
) -> tuple[Memo, Found | None]:
    """A milestone after some news. `verdict` is how its clause stands, worked out where it is not given."""
    move = MOVES.get((memo.state, news))
    if move is None:
        return memo, None
    if move.event is None:
        return memo._replace(state=move.state), None
    if news is News.BOOKED and memo.released_ms == NEVER:
        memo = memo._replace(is_disputed=bool(other_terms(known.book, milestone, memo)))
    verdict = verdict or verdict_of(known, milestone, memo)
    proofs = [proof for _, shown in _holding(verdict, memo.met_ms) for proof in shown.proofs]
    about = {"grounds": " ".join(f"{one.kind}:{one.id}" for one in proofs)}
    data = _data(known, milestone, memo, move, verdict)
    return _after(known, memo, move, news), _found(known, milestone.id, memo, move, about, data)


def waived(
    known: Known, milestone: Milestone, memo: Memo, by: str, why: str, value_of: ValueOf
) -> tuple[Memo, Found | None]:
    """A milestone after somebody has waived what it asks for. Nothing where its amount is not known, where there is
    nothing to waive, or where the book says other terms than were sent: those no waiver changes, unless the money has
    moved and it is the payee's account or the goods alone."""
    if (memo.state, News.WAIVED) not in MOVES or other_terms(known.book, milestone, memo._replace(is_disputed=False)):
        return memo, None
    if memo.state in UNMET:
        memo = _with_amount(known, milestone, memo._replace(facility=milestone.facility), known.now_ms, value_of)
        if not memo.amount_minor:
            return memo, None
    return moved(known, milestone, memo._replace(waived_by=by, waived_why=why, is_disputed=False), News.WAIVED)


def without_the_book(known: Known, milestone: str, memo: Memo, news: News) -> tuple[Memo, Found | None]:
    """A milestone that has left the book, after some news: its leaving (REFUTED) takes back what is on its way to the
    core, what the core has booked all the same (BOOKED) is in question, and what it has not (UNBOOKED) is noted."""
    memo = memo._replace(turns_ms=NEVER)
    move = MOVES.get((memo.state, news))
    is_due = news is not News.REFUTED or memo.state in ON_ITS_WAY
    if move is None or move.event is None or not is_due:
        return memo, None
    data = _about(known, milestone, memo)
    data |= {"amount_minor": memo.amount_minor, "currency": memo.currency, "changed": [{"missing": _GONE}]}
    if move.message in TAKEN_BACK:
        data |= _taken_back(memo)
    return _after(known, memo, move, news), _found(known, milestone, memo, move, {}, data)


def _after(known: Known, memo: Memo, move: Move, news: News) -> Memo:
    if news is News.BOOKED and memo.released_ms == NEVER:
        memo = memo._replace(released_ms=known.now_ms)
    return memo._replace(state=move.state)


def _news(known: Known, milestone: Milestone, memo: Memo, verdict: Verdict) -> News:
    if verdict.held.surely:
        return News.HOLDS
    if memo.state not in UNMET:
        return News.UNKNOWN if verdict.held.maybe else News.REFUTED
    some = any(_is_in(fact, shown, known.now_ms) for fact, shown in verdict.shown)
    return _unmet(known, milestone, News.SOME_IN if some else News.NOTHING_IN)


def _unmet(known: Known, milestone: Milestone, news: News) -> News:
    """What it is to a milestone that it is not met, or not known to be worth anything."""
    return News.EXPIRED if known.now_ms >= milestone.expires_ms else news


def _is_in(fact: Fact, shown: Shown, now_ms: int) -> bool:
    """Whether something has happened that the clause asks for; what always holds, or is denied, has not happened."""
    since_ms = first_ms(shown.held.surely)
    return not fact.is_denied and since_ms is not None and -NEVER < since_ms <= now_ms


def _grows_ms(fact: Fact, shown: Shown) -> int:
    """From when on readings that lead to no event may change it for the better."""
    return shown.denial_grows_ms if fact.is_denied else shown.grows_ms


def _seen(memo: Memo, verdict: Verdict) -> tuple[Sight, ...]:
    """What the milestone has seen that still matters: what holds, and what held when it was met."""
    found = {sight for _, shown in verdict.shown for sight in shown.sights}
    return tuple(sorted(one for one in found if one.until_ms == NEVER or one.since_ms <= memo.met_ms < one.until_ms))


def amount_of(book: Book, milestone: Milestone, value_of: ValueOf) -> int | None:
    """What a milestone releases, in minor units of its facility's currency, shares rounded down; None: not known."""
    release, facility = milestone.release, book.facilities[milestone.facility]
    if not release.of:
        return release.amount_minor
    whole_minor: int | None = facility.limit_minor
    if release.of == "value":
        whole_minor = value_of(facility.id, tuple(lot.id for lot in book.scope_of(milestone).lots))
    return None if whole_minor is None else money.portion_minor(whole_minor, release.share_bp)


def _priced(known: Known, milestone: Milestone, memo: Memo, verdict: Verdict, value_of: ValueOf) -> Memo:
    """With since when it is met, and with the amount where there was none: what was sent once is not reckoned again."""
    met_ms = verdict.met_ms
    assert met_ms is not None, "it holds"
    if met_ms == -NEVER:
        # What always holds, holds from when it is looked at.
        met_ms = min(known.now_ms, milestone.expires_ms - 1) if memo.state in UNMET else memo.met_ms
    if memo.state not in UNMET:
        return memo._replace(met_ms=met_ms)
    return _with_amount(known, milestone, memo, met_ms, value_of)


def _with_amount(known: Known, milestone: Milestone, memo: Memo, met_ms: int, value_of: ValueOf) -> Memo:
    """With what is released, and since when; as it was where the amount is not known."""
    amount_minor = amount_of(known.book, milestone, value_of)
    if not amount_minor:
        return memo
    lots = known.book.scope_of(milestone).lots
    return memo._replace(
        met_ms=met_ms,
        amount_minor=amount_minor,
        currency=known.book.facilities[milestone.facility].currency,
        terms=terms_module.written(milestone),
        account=account_of(known.book.parties, milestone.payee),
        goods=terms_module.goods_of(milestone, lots),
        shares=terms_module.shares_of(milestone, lots),
    )


def _found(known: Known, milestone: str, memo: Memo, move: Move, about: dict[str, str], data: dict[str, Any]) -> Found:
    assert move.event is not None, "only what is said is found"
    at_ms = memo.met_ms if move.event is EventType.MILESTONE_MET else known.now_ms
    told: dict[str, int | str] = {"milestone": milestone, "amount_minor": memo.amount_minor, **about}
    if memo.waived_by:
        told["waived_by"] = memo.waived_by
    withdrawn = memo.releases[-1][0] if move.message in TAKEN_BACK and memo.state in ON_ITS_WAY else ""
    said = event(move.event, at_ms, memo.facility, **told)
    return Found(milestone, memo.facility, said, move.message, data, withdrawn)


def _data(known: Known, milestone: Milestone, memo: Memo, move: Move, verdict: Verdict) -> dict[str, Any]:
    """What a message says of the release."""
    data = _about(known, milestone.id, memo)
    if move.message is MessageType.RECORD_EXPIRY:
        return {**data, "missing": missing(verdict, known.now_ms)}
    data |= {"amount_minor": memo.amount_minor, "currency": memo.currency}
    if move.message in RELEASING or move.message is MessageType.REAFFIRM_RELEASE:
        scope = known.book.scope_of(milestone)
        data |= {
            "shipment": milestone.shipment,
            "lots": [lot.id for lot in scope.lots],
            "payee": party_of(known.book, milestone.payee),
            "payer": party_of(known.book, known.book.facilities[milestone.facility].lender),
            "met_at_ms": memo.met_ms,
            "grounds": list(grounds(verdict, memo.met_ms)),
        }
        if memo.waived_by:
            data |= {"waived_by": memo.waived_by, "waived_why": memo.waived_why}
    elif move.message in TAKEN_BACK:
        data |= _taken_back(memo)
    if move.message in TAKEN_BACK or move.message is MessageType.QUESTION_RELEASE:
        data["changed"] = _changed(known.book, milestone, memo, verdict)
    return data


def _about(known: Known, milestone: str, memo: Memo) -> dict[str, Any]:
    return {"milestone": milestone, "facility": memo.facility, "release": release_id(known.journal, milestone)}


def release_id(journal: str, milestone: str) -> str:
    """What a release is called for ever, whatever messages speak of it."""
    return f"{journal}.{milestone}"


def _taken_back(memo: Memo) -> dict[str, Any]:
    message, sequence = memo.releases[-1]
    return {"release_message": message, "release_sequence": sequence}


def _changed(book: Book, milestone: Milestone, memo: Memo, verdict: Verdict) -> list[dict[str, Any]]:
    """Why a release has lost its ground: never nothing."""
    if reason := other_terms(book, milestone, memo):
        return [{"missing": reason}]
    if found := missing(verdict, memo.met_ms):
        return found
    return [{"missing": "each fact holds, but not at the time or in the order that is asked for"}]


def missing(verdict: Verdict, at_ms: int) -> list[dict[str, Any]]:
    """What is asked for and does not hold at a moment, and why; what may hold says so."""
    return [
        {
            "fact": fact_document(fact),
            "missing": why_not(fact, shown, at_ms),
            "may_hold": stretch_at(as_asked(fact, shown.held).maybe, at_ms) is not None,
        }
        for fact, shown in verdict.shown
        if not stretch_at(as_asked(fact, shown.held).surely, at_ms)
    ]


def why_not(fact: Fact, shown: Shown, at_ms: int) -> str:
    """Why what is asked for does not hold at a moment, in words."""
    if fact.is_denied:
        held = stretch_at(shown.held.surely, at_ms)
        if not held:
            return shown.missing or say("not_known_not")
        told_ms = min((one.at_ms for one in shown.proofs), default=-NEVER)
        return _by(max(held[0], told_ms), tuple(f"{one.kind} {one.id}" for one in shown.proofs))
    if shown.missing:
        return shown.missing
    before = [one for one in shown.held.surely if one[1] <= at_ms]
    if before:
        since_ms, until_ms = before[-1]
        if since_ms == -NEVER:
            return say("was_so", until_ms=until_ms)
        return say("was_so_since", at_ms=since_ms, until_ms=until_ms)
    coming = [one for one in shown.held.surely if one[0] > at_ms]
    return say("is_so_since_only", at_ms=coming[0][0]) if coming else say("is_not_known")


def _by(since_ms: int, proofs: tuple[str, ...]) -> Sentence:
    if since_ms == -NEVER:
        return say("is_so_by", proofs=proofs) if proofs else say("is_so")
    return say("is_so_since_by", at_ms=since_ms, proofs=proofs) if proofs else say("is_so_since", at_ms=since_ms)


def fact_document(fact: Fact) -> dict[str, Any]:
    """A fact as it is asked for, as a document says it."""
    written = clauses.as_document(fact)
    return {"not": written} if fact.is_denied else written


def _holding(verdict: Verdict, at_ms: int) -> Iterator[tuple[Fact, Shown]]:
    for fact, shown in verdict.shown:
        if not fact.is_denied and stretch_at(shown.held.surely, at_ms):
            yield fact, shown


def grounds(verdict: Verdict, at_ms: int) -> Iterator[dict[str, Any]]:
    """What shows each fact that is asked for and holds at a moment."""
    for fact, shown in _holding(verdict, at_ms):
        if shown.proofs:
            yield {"fact": clauses.as_document(fact), "proofs": [proof_document(one) for one in shown.proofs]}


def proof_document(one: Proof) -> dict[str, Any]:
    """What shows a fact, as a JSON object without what is not known."""
    written = {"kind": one.kind, "id": one.id, "grade": one.grade, "at_ms": one.at_ms}
    return {key: value for key, value in written.items() if value not in ("", -NEVER)}


def party_of(book: Book, identity: str) -> dict[str, str]:
    """Who is paid or pays, with what the book knows of them."""
    party = book.parties.get(identity)
    return {key: value for key, value in party._asdict().items() if value} if party else {"id": identity}
