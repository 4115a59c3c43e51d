"""What others have given notice of: carriers, customs, insurers, enterprises.

It holds from when they say that it happened until it ends, is ended by another notice, or is too old. What nobody has
given notice of has not happened; what a sender says whose word is not good enough only may have, and may have ended.

A notice stands for what it names. One that names a container says nothing of the other containers of the shipment, nor
one about a lot of the other lots; one that names the shipment, or the very paper that its kind is about, says it of all
that goes with it. Whatever is asked for must hold of all the goods, but what speaks against them (a hold, a refusal)
holds where it does of any.

Whoever gives notice against a paper ends it, but a hold is lifted by whoever placed it (see holds).

Words that speak against what was said (a paper that is voided, a hold) count up to when the money has moved, not only
up to when the milestone was met: until then it would be paid on a paper that is void.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.milestones import holds
from pledgewatch_cloud.decide.milestones.shown import GRADE, Asked, Proof, Shown, for_all, for_any, held_on
from pledgewatch_cloud.decide.milestones.terms import containers_of, references_of_lots
from pledgewatch_cloud.decide.sentences import Ref, say
from pledgewatch_cloud.decide.stretches import NEVER, Stretch, stretch_at
from pledgewatch_cloud.decide.trade.notice import Notice
from pledgewatch_cloud.decide.trade.vocabulary import NOTICE_KINDS

_PAPERS = ("bill_of_lading", "customs", "insurance", "invoice", "receipt")
_PARTS = frozenset({"container", "booking", "lot", *_PAPERS})
"""The types of reference that a shipment may have several of, each for a part of its goods."""
_ADVERSE = frozenset({"hold_placed", *(end for kind in NOTICE_KINDS.values() for end in kind.ended_by)}) - {
    "hold_lifted"
}
"""Kinds that speak against the goods."""
_TOLD_MAX = 5
"""How many notices are named that do not count."""


class _Part(NamedTuple):
    """A part of the goods, by what notices may call it: one reference, or the containers that `lot` was in one after
    the other; none: all of the goods."""

    references: tuple[str, ...]
    lot: Lot | None = None


class _Given(NamedTuple):
    """The notices of a fact's kind that stand, and those that end what they say, each in order of time; `parts` are the
    parts of the goods that some of them speak of, or all of the goods."""

    kind: str
    notices: Sequence[Notice]
    ends: Sequence[Notice]
    references: frozenset[str]
    parts: Sequence[_Part]


def noticed(asked: Asked) -> Shown:
    """Notice was given of it."""
    kind = "hold_placed" if asked.fact.kind == "on_hold" else asked.fact.kind
    given = _given(asked, kind)
    each = [_noticed_of(asked, part, given) for part in given.parts]
    shown = for_any(each) if asked.fact.is_denied or kind in _ADVERSE else for_all(each)
    if stretch_at(shown.held.surely, asked.as_of_ms):
        return shown._replace(missing="")
    why = [*_uncounted(asked, given), *(part.missing for part in each if part.missing)]
    kind = asked.fact.kind
    missing = say("no_notice_for", kind=kind, why=tuple(dict.fromkeys(why))) if why else say("no_notice", kind=kind)
    return shown._replace(missing=missing)


def _given(asked: Asked, kind: str) -> _Given:
    references = frozenset(_references(asked))
    notices = _of_kinds(asked, references, (kind,))
    ends = _of_kinds(asked, references, NOTICE_KINDS[kind].ended_by) if notices else []
    spoken_of = {_type(one) for notice in (*notices, *ends) for one in notice.references} & _PARTS
    parts = [_Part(containers, lot) for lot in asked.lots if len(containers := tuple(containers_of(lot))) > 1]
    grouped = {one for part in parts for one in part.references}
    parts = parts if "container" in spoken_of else []
    parts += [_Part((one,)) for one in sorted(references - grouped) if _type(one) in spoken_of]
    return _Given(kind, notices, ends, references, parts or [_Part(())])


def _references(asked: Asked) -> Iterator[str]:
    """How others may speak of what the fact is about: where that is one lot, in no way that means another."""
    others = [lot for lot in asked.scope.lots if lot not in asked.lots]
    of_others = {*references_of_lots(others)} - {*references_of_lots(asked.lots)}
    return (one for one in asked.scope.references if one not in of_others)


def _of_kinds(asked: Asked, references: Iterable[str], kinds: Sequence[str]) -> list[Notice]:
    """The notices of some kinds that stand, each once, without those that are of another facility's senders."""
    notices = asked.known.notices
    found = {
        one.key: one
        for reference in references
        for one in notices.standing(reference)
        if one.kind in kinds and not _is_of_elsewhere(asked, one)
    }
    return sorted(found.values(), key=lambda one: (one.happened_ms, one.key))


def _type(reference: str) -> str:
    return reference.partition(":")[0]


def _own_type(kind: str) -> str:
    """The type of reference by which what a kind is about goes itself, if there is one."""
    if NOTICE_KINDS[kind].subject == "container":
        return "container"
    return next((one for one in _PAPERS if kind.startswith(one)), "")


def _speaks_of(one: Notice, part: _Part, given: _Given) -> bool:
    """Whether a notice speaks of a part of the goods."""
    named = [reference for reference in part.references if reference in one.references]
    if named or not part.references:
        return part.lot is None or any(_was_there(part.lot, reference, one.happened_ms) for reference in named)
    of_type, own = _type(part.references[0]), _own_type(given.kind)
    if not any(_type(other) == of_type for other in one.references):
        return True
    whole = {other for other in one.references if _type(other) in ("shipment", own)}
    return of_type != own and bool(whole & given.references)


def _was_there(lot: Lot, reference: str, at_ms: int) -> bool:
    """Whether a lot was in a container at a moment, that at which it left included."""
    asset = reference.partition(":")[2]
    return any(since_ms <= at_ms <= until_ms for since_ms, until_ms in lot.there(asset))


def _noticed_of(asked: Asked, part: _Part, given: _Given) -> Shown:
    """What was said of a part of the goods."""
    surely, maybe, proofs = list[Stretch](), list[Stretch](), list[Proof]()
    notices = [one for one in given.notices if _speaks_of(one, part, given) and not _is_of_others(asked, one)]
    ends = [one for one in given.ends if _speaks_of(one, part, given) and not _is_at_another_place(asked, one)]
    ended = _ended(given.kind, notices, ends, [one for one in ends if _may_end(asked, one)])
    is_against = given.kind in _ADVERSE
    for one in notices:
        at_ms, last_ms = one.happened_ms, _until_ms(asked, one)
        # Whoever ends it makes it uncertain; it is over once one has who may be believed.
        ended_ms, over_ms = ended(one)
        maybe += _counted(asked, (at_ms, over_ms), last_ms, is_against=is_against)
        if not _disbelief(asked, one):
            counted = _counted(asked, (at_ms, ended_ms), last_ms, is_against=is_against)
            if not counted:
                continue
            surely += counted
            proofs.append(Proof("notice", one.key, at_ms, asked.known.book.senders[one.sender].grade))
    missing = say("nothing_of", references=tuple(part.references)) if part.references and not maybe else ""
    return Shown(held_on(surely, maybe), tuple(proofs), missing)


def _ended(
    kind: str, notices: Sequence[Notice], ends: Sequence[Notice], believed: Sequence[Notice]
) -> Callable[[Notice], tuple[int, int]]:
    """From when on what a notice says may be ended, and surely is."""
    if kind == "hold_placed":
        return holds.lifted(notices, ends, believed).since
    ends_ms, believed_ms = [one.happened_ms for one in ends], [one.happened_ms for one in believed]
    return lambda one: (holds.first(ends_ms, one.happened_ms), holds.first(believed_ms, one.happened_ms + 1))


def _counted(asked: Asked, stretch: Stretch, last_ms: int, *, is_against: bool) -> list[Stretch]:
    """What a notice counts for that was ended at the end of a stretch (NEVER: by nobody), and counts up to `last_ms` by
    itself."""
    since_ms, ended_ms = stretch
    moves_ms, until_ms = asked.moves_ms, min(ended_ms, last_ms)
    if is_against:
        # Where it is denied, and stands when the money would move and still, it was never not so.
        stands = asked.fact.is_denied and since_ms <= moves_ms and until_ms > asked.known.now_ms
        return [(-NEVER if stands else since_ms, until_ms)]
    # What is denied is not helped by being ended later.
    return [] if ended_ms <= moves_ms and not asked.fact.is_denied else [(since_ms, until_ms)]


def _until_ms(asked: Asked, one: Notice) -> int:
    """Up to when a notice counts by itself."""
    max_age_s = asked.fact.max_age_s
    return min(one.until_ms, one.happened_ms + 1_000 * max_age_s if max_age_s else NEVER)


def _is_of_elsewhere(asked: Asked, one: Notice) -> str:
    """Why what a notice says is no matter to the milestone's facility; empty where it may be."""
    sender, facility = asked.known.book.senders.get(one.sender), asked.milestone.facility
    if sender is None or not sender.facilities or facility in sender.facilities:
        return ""
    return say("no_word_here", sender=one.sender, facility=facility)


def _is_of_others(asked: Asked, one: Notice) -> str:
    """Why a notice is not the one that is asked for; empty where it is."""
    fact = asked.fact
    if fact.sender not in ("", one.sender):
        return say("of_other_sender", sender=one.sender, asked=fact.sender)
    if _is_at_another_place(asked, one):
        return say("at_other_place", place=one.place, asked=fact.place)
    return ""


def _is_at_another_place(asked: Asked, one: Notice) -> bool:
    return bool(asked.fact.place and one.place) and one.place != asked.fact.place


def _disbelief(asked: Asked, one: Notice) -> str:
    """Why a sender's word is not enough to be sure; empty where it is."""
    sender = asked.known.book.senders.get(one.sender)
    if sender is None:
        return say("sender_unknown", sender=one.sender)
    if not asked.is_good_enough(sender.grade):
        return say("sender_grade", grade=sender.grade, asked_grade=asked.fact.grade or GRADE)
    if asked.fact.place and not one.place:
        return say("names_no_place", asked=asked.fact.place)
    return ""


def _may_end(asked: Asked, end: Notice) -> bool:
    """Whether whoever says that it is over may be believed: where a sender is asked for, that one alone."""
    return asked.fact.sender in ("", end.sender) and not _disbelief(asked, end)


def _uncounted(asked: Asked, given: _Given) -> list[str]:
    """Which notices would have counted and do not, by name, and why."""
    found = dict[str, str]()
    for reference in sorted(given.references):
        for one in asked.known.notices.about(reference):
            if one.kind == given.kind and one.key not in found:
                found[one.key] = _why_not(asked, given, one)
    told = [say("notice_so", notice=Ref("notices", key), why=why) for key, why in found.items() if why]
    more = len(told) - _TOLD_MAX
    return [*told[:_TOLD_MAX], *([say("and_more", many=more)] if more > 0 else [])]


def _why_not(asked: Asked, given: _Given, one: Notice) -> str:
    """Why a notice does not count at the moment that counts; empty where it does."""
    notices, at_ms = asked.known.notices, asked.as_of_ms
    fate = notices.fate(one.key)
    if fate != "standing":
        return say("was_undone", fate=str(fate), notice=Ref("notices", notices.against(one.key)[-1].key))
    if one.classifier != "actual":
        return say("is_only", classifier=str(one.classifier))
    elsewhere = _is_of_elsewhere(asked, one)
    return elsewhere or _is_of_others(asked, one) or _disbelief(asked, one) or _not_then(asked, given, one, at_ms)


def _not_then(asked: Asked, given: _Given, one: Notice, at_ms: int) -> str:
    """Why what a notice says is not so at a moment; empty where it is."""
    until_ms = max(at_ms, asked.moves_ms)
    for end in islice(given.ends, bisect_left(given.ends, one.happened_ms, key=lambda end: end.happened_ms), None):
        if end.happened_ms > until_ms:
            break
        if given.kind == "hold_placed" and end.sender != one.sender:
            continue
        if any(_speaks_of(end, part, given) and _speaks_of(one, part, given) for part in given.parts):
            return say("was_ended", notice=Ref("notices", end.key), kind=str(end.kind), at_ms=end.happened_ms)
    if one.happened_ms > at_ms:
        return say("of_moment_only", at_ms=one.happened_ms)
    if one.until_ms <= at_ms:
        return say("ended_at", at_ms=one.until_ms)
    if _until_ms(asked, one) <= at_ms:
        return say("of_moment_old", at_ms=one.happened_ms, age_s=asked.fact.max_age_s)
    return ""
