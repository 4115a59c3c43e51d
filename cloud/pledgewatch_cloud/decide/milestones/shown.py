"""What a fact is asked of, and what it answers: when it held, what shows that, and what is missing."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.collateral.result import Base
from pledgewatch_cloud.decide.grade import GRADE_NAMES, Grade
from pledgewatch_cloud.decide.items.lots import Lot, Stay
from pledgewatch_cloud.decide.milestones.clauses import Fact, Held
from pledgewatch_cloud.decide.milestones.lifecycle import UNMET, Memo, Sight
from pledgewatch_cloud.decide.milestones.terms import Milestone, Scope
from pledgewatch_cloud.decide.sentences import together
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import ALWAYS, NEVER, NONE, Stretch, Stretches, complement, joined, shared
from pledgewatch_cloud.decide.trade.notice_book import NoticeBook
from pledgewatch_cloud.decide.warehouse.held import HeldByReceipt

GRADE = "good"
"""What is asked for where nothing else is said."""
SURE = Held(ALWAYS, ALWAYS)
NOT = Held(NONE, NONE)
PERHAPS = Held(NONE, ALWAYS)


class Proof(NamedTuple):
    """What shows a fact. `kind`: event, reading, notice, book, receipt, value or milestone; `id` names it there."""

    kind: str
    id: str
    at_ms: int = -NEVER
    grade: str = ""


class Shown(NamedTuple):
    """When a fact held, what shows that, and what is missing where it does not hold, in a sentence.

    `sights` are what was seen of it that has no history elsewhere. From `grows_ms` on readings that lead to no event
    may show it for longer, from `denial_grows_ms` on that it does not hold; NEVER: they may not.
    """

    held: Held
    proofs: tuple[Proof, ...] = ()
    missing: str = ""
    sights: tuple[Sight, ...] = ()
    grows_ms: int = NEVER
    denial_grows_ms: int = NEVER


class Known(NamedTuple):
    """What facts are read from. `journal` names it; `bases` by facility, `memos` by milestone; `held` says how each lot
    with an electronic receipt stands by it."""

    journal: str
    book: Book
    facts: Mapping[str, AssetFacts]
    assets: Mapping[str, AssetState]
    notices: NoticeBook
    bases: Mapping[str, Base | None]
    memos: Mapping[str, Memo]
    held: Mapping[str, HeldByReceipt]
    now_ms: int


def known_of(state: State) -> Known:
    """What facts are read from in a state."""
    states = {facility: one.base for facility, one in state.facilities.items()}
    return Known(
        *(state.journal, state.book, state.facts, state.assets, state.notices, states, state.milestones),
        state.held,
        state.recorded_at_ms,
    )


class Asked(NamedTuple):
    """A fact of a milestone that is asked for, and what is remembered of the milestone."""

    known: Known
    milestone: Milestone
    scope: Scope
    memo: Memo
    fact: Fact

    @property
    def lots(self) -> tuple[Lot, ...]:
        """The lots that the fact is about."""
        return tuple(lot for lot in self.scope.lots if self.fact.lot in ("", lot.id))

    @property
    def as_of_ms(self) -> int:
        """The moment that counts: now, or, once the milestone was met, then."""
        return self.known.now_ms if self.memo.state in UNMET else self.memo.met_ms

    @property
    def moves_ms(self) -> int:
        """When the money moved, as far as that is known; now, where it has not."""
        return self.known.now_ms if self.memo.released_ms == NEVER else self.memo.released_ms

    def is_good_enough(self, grade: str) -> bool:
        """Whether a grade is what the fact asks for, or more."""
        return GRADE_NAMES.get(grade, Grade.NONE) >= GRADE_NAMES[self.fact.grade or GRADE]

    def seen(self, key: str) -> list[Sight]:
        """What the milestone has seen before of what has no history elsewhere."""
        return [one for one in self.memo.sights if one.key == key]


def for_all(shown: Sequence[Shown]) -> Shown:
    """What holds where each of several does."""
    held = SURE
    for one in shown:
        held = Held(shared(held.surely, one.held.surely), shared(held.maybe, one.held.maybe))
    return _together(held, shown)


def for_any(shown: Sequence[Shown]) -> Shown:
    """What holds where one of several does."""
    surely = joined(stretch for one in shown for stretch in one.held.surely)
    maybe = joined(stretch for one in shown for stretch in one.held.maybe)
    found = _together(Held(surely, maybe), shown)
    return found._replace(missing="") if surely else found


def _together(held: Held, shown: Sequence[Shown]) -> Shown:
    missing = together([one.missing for one in shown])
    proofs = dict.fromkeys(proof for one in shown for proof in one.proofs)
    sights = tuple(sight for one in shown for sight in one.sights)
    grows_ms = min((one.grows_ms for one in shown), default=NEVER)
    denial_grows_ms = min((one.denial_grows_ms for one in shown), default=NEVER)
    return Shown(held, tuple(proofs), missing, sights, grows_ms, denial_grows_ms)


def for_stays(show_one: Callable[[Asked, Stay], Shown]) -> Callable[[Asked], Shown]:
    """A fact of every lot, in any of the assets that it was in; of any lot, where it is denied."""

    def show(asked: Asked) -> Shown:
        ways = dict.fromkeys(lot.whereabouts for lot in asked.lots)
        return _for_each(asked, [for_any([show_one(asked, stay) for stay in way]) for way in ways])

    return show


def for_lots(show_one: Callable[[Asked, Lot], Shown]) -> Callable[[Asked], Shown]:
    """A fact of every lot; of any, where it is denied."""
    return lambda asked: _for_each(asked, [show_one(asked, lot) for lot in asked.lots])


def _for_each(asked: Asked, shown: Sequence[Shown]) -> Shown:
    return for_any(shown) if asked.fact.is_denied else for_all(shown)


def as_asked(fact: Fact, held: Held) -> Held:
    """When what is asked for holds: the fact, or that it does not, where it is denied."""
    return Held(complement(held.maybe), complement(held.surely)) if fact.is_denied else held


def from_moment(at_ms: int, for_s: int) -> Stretches:
    """From a moment on, as long as it stands."""
    return ((at_ms, at_ms + 1_000 * for_s if for_s else NEVER),)


def held_on(surely: Sequence[Stretch], maybe: Sequence[Stretch]) -> Held:
    """What surely holds on some stretches, and may on some more."""
    sure = joined(surely)
    return Held(sure, joined((*sure, *maybe)))


def only(surely: Stretches) -> Held:
    """What holds on some stretches and surely on no others."""
    return Held(surely, surely)
