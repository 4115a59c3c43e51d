"""Who claims which goods among the members of a registry, by blinded marks, and what clashed.

A claim is one member's, under a reference that only that member can read. No mark is in two live claims, whosever they
are: so of two members that claim the same goods the second is refused, and so is a member that claims them twice. A
claim may be made anew with other marks; it is then judged as if it had not been there.

All that a refusal says is that there is a clash, and its id. Everybody whose claims are in a clash finds the same id
beside the own reference, so that they can talk if they wish; nobody is told who else that is, nor what it is about. The
same clash met again has the same id.

Marks are made under a key. One key is in use, which every live claim must have marks under, or two claims of the same
goods could pass each other; while the members go over to a next key, claims may have marks under that one too.

What a member asks comes in its own order or does nothing: a question whose turn is not after the newest that was taken
of that member is refused, whatever it asks. So a claim or a withdrawal that was long on its way undoes nothing newer.

A book is a value: a request makes another, which shares almost all with the one before. It is a fold of what was kept,
so the same requests at the same moments give the same book and the same answers.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.registry.request import (
    Claiming,
    Dropping,
    KeptRequest,
    OvertakenError,
    RequestError,
    UsingKeys,
    Withdrawing,
)
from pledgewatch_cloud.decide.shelves import Shelves

HOUR_MS = 3_600_000
CLAIMS_MAX = 250_000
"""Live claims of one member."""
MARKS_MAX = 4_000_000
"""Marks of live claims, under all keys."""
WITHDRAWN_MAX = 10_000
"""Claims of one member that are remembered after they were withdrawn, without their marks; the oldest go first."""
CLASHES_MAX = 1_000
"""Clashes that are remembered of the questions of one member; the oldest go first."""
_CLASH_DIGITS = 20


class FullError(RequestError):
    """There is no room for what is claimed."""


class State(StrEnum):
    """States of a claim."""

    CLAIMED = "claimed"
    WITHDRAWN = "withdrawn"


class Claim(NamedTuple):
    """What a member claims under a reference. `marks` by key, in order; none once it is withdrawn.

    `number` is that of the request that it is live by, `claimed_ms` when it became so, `changed_ms` when its marks or
    its state last changed.
    """

    member: str
    reference: str
    state: State
    marks: tuple[tuple[str, tuple[str, ...]], ...]
    number: int
    claimed_ms: int
    changed_ms: int

    @property
    def name(self) -> tuple[str, str]:
        """What it is found by."""
        return self.member, self.reference


class Clash(NamedTuple):
    """A question that was refused: who asked, under which reference, and whose claims were in the way."""

    id: str
    asker: str
    reference: str
    others: tuple[tuple[str, str], ...]
    first_ms: int
    newest_ms: int
    times: int


class Seen(NamedTuple):
    """A clash as one member may see it: its own reference, and whether it was the one that was refused."""

    id: str
    reference: str
    is_refused: bool
    first_ms: int
    newest_ms: int
    times: int


class Tally(NamedTuple):
    """How a member has asked: in all, in the newest `hour` (of UTC, since 1970), how often it was refused for a clash,
    and how often it withdrew within an hour what it had claimed."""

    asked: int = 0
    hour: int = 0
    asked_in_hour: int = 0
    clashed: int = 0
    brief: int = 0


class Answer(NamedTuple):
    """What is answered to a question. `clash` is the id of one, and empty where there is none."""

    word: str
    is_changed: bool = False
    clash: str = ""

    def as_json(self) -> dict[str, Any]:
        """The answer as it is sent."""
        if self.clash:
            return {"answer": self.word, "clash": self.clash}
        return {"answer": self.word, "changed": self.is_changed}


class ClaimBook(NamedTuple):
    """Claims by member and reference, what finds the live ones, and what is remembered of the members.

    `registry` is the registry's own name, which is told to nobody. `of_members` counts live claims. `turns` has the
    turn of each member's newest question, for good: also of members that have gone, who may come back.
    """

    registry: str
    keys: UsingKeys = UsingKeys("", "")
    claims: Shelves[Claim] = Shelves[Claim]()
    claimed_by: Shelves[tuple[str, str]] = Shelves[tuple[str, str]]()
    of_members: Mapping[str, int] = {}
    withdrawn: Mapping[str, tuple[str, ...]] = {}
    clashes: Mapping[str, tuple[Clash, ...]] = {}
    tallies: Mapping[str, Tally] = {}
    turns: Mapping[str, int] = {}

    def get(self, member: str, reference: str) -> Claim | None:
        """A member's claim under a reference, live or withdrawn."""
        return self.claims.get(_text(member, reference))

    def live(self, member: str = "") -> Iterator[Claim]:
        """Live claims of a member, or of all, in an order that means nothing."""
        return (one for one in self.claims.values() if one.state is State.CLAIMED and member in ("", one.member))

    def wait_s(self, member: str, an_hour: int, at_ms: int) -> int:
        """How long a member has to wait before it may ask again; 0 where it may. `an_hour` questions are let pass in
        each hour of UTC."""
        tally = self.tallies.get(member, Tally())
        if tally.hour != at_ms // HOUR_MS or tally.asked_in_hour < an_hour:
            return 0
        return -(-(HOUR_MS - at_ms % HOUR_MS) // 1_000)

    def clashes_of(self, member: str) -> tuple[Seen, ...]:
        """The clashes that a member has a part in, the newest first."""
        found = [
            Seen(one.id, reference, is_refused, one.first_ms, one.newest_ms, one.times)
            for some in self.clashes.values()
            for one in some
            for who, reference, is_refused in (
                (one.asker, one.reference, True),
                *((other, theirs, False) for other, theirs in one.others),
            )
            if who == member
        ]
        return tuple(sorted(found, key=lambda one: (-one.newest_ms, one)))


def apply(book: ClaimBook, member: str, request: KeptRequest, number: int, at_ms: int) -> tuple[ClaimBook, Answer]:
    """The book after a request, and the answer; `member` is empty for the operator's.

    Raises RequestError where it is not even a question, and then nothing has changed and nothing is to be kept.
    """
    if isinstance(request, Claiming | Withdrawing):
        book = _turned(book, member, request.turn)
    match request:
        case Claiming():
            return _claim(book, member, request, number, at_ms)
        case Withdrawing():
            return _withdraw(book, member, request.reference, at_ms)
        case UsingKeys():
            return _use(book, request)
        case Dropping():
            return _drop(book, request.member, at_ms)


def lacking(book: ClaimBook, key: str) -> Mapping[str, int]:
    """How many live claims of each member have no marks under a key."""
    return Counter(one.member for one in book.live() if key not in dict(one.marks))


def _turned(book: ClaimBook, member: str, turn: int) -> ClaimBook:
    newest = book.turns.get(member, 0)
    if turn <= newest:
        raise OvertakenError(
            f"turn: {turn} comes in after {newest}", "look at the claims as they are, and ask anew what is still wanted"
        )
    return book._replace(turns={**book.turns, member: turn})


def _claim(book: ClaimBook, member: str, asked: Claiming, number: int, at_ms: int) -> tuple[ClaimBook, Answer]:
    if book.keys.key not in asked.marks:
        raise RequestError(
            f"marks: there are none under the key {book.keys.key}, which is the one in use",
            "name its file in marks_key_files; `pledgewatch-cloud registry key FILE` shows what a file holds",
        )
    marks = tuple(sorted((key, some) for key, some in asked.marks.items() if key in book.keys))
    known = book.get(member, asked.reference)
    mine = (member, asked.reference)
    found = [book.claimed_by.get(text) for text in _texts(marks)]
    others = tuple(sorted({one for one in found if one is not None and one != mine}))
    if others:
        clash = _clash(book, mine, others, at_ms)
        tallies = _asked(book, member, at_ms, clashed=1)
        return book._replace(clashes=_remembered(book, clash), tallies=tallies), Answer("clash", clash=clash.id)
    book = book._replace(tallies=_asked(book, member, at_ms))
    is_live = known is not None and known.state is State.CLAIMED
    if known is not None and known.marks == marks:
        return book, Answer(State.CLAIMED)
    _check_room(book, member, marks, known)
    new = Claim(
        member,
        asked.reference,
        State.CLAIMED,
        marks,
        known.number if known is not None and is_live else number,
        known.claimed_ms if known is not None and is_live else at_ms,
        at_ms,
    )
    return _put(book, new), Answer(State.CLAIMED, is_changed=True)


def _withdraw(book: ClaimBook, member: str, reference: str, at_ms: int) -> tuple[ClaimBook, Answer]:
    known = book.get(member, reference)
    if known is None or known.state is State.WITHDRAWN:
        return book, Answer(State.WITHDRAWN)
    if at_ms - known.claimed_ms < HOUR_MS:
        tally = book.tallies.get(member, Tally())
        book = book._replace(tallies={**book.tallies, member: tally._replace(brief=tally.brief + 1)})
    after = _put(book, known._replace(state=State.WITHDRAWN, marks=(), changed_ms=at_ms))
    return after, Answer(State.WITHDRAWN, is_changed=True)


def _use(book: ClaimBook, keys: UsingKeys) -> tuple[ClaimBook, Answer]:
    """Go over to other keys; marks under keys that are in use no more are forgotten."""
    if missing := lacking(book, keys.key):
        told = ", ".join(f"{count} of {member}" for member, count in sorted(missing.items()))
        raise RequestError(
            f"claims have no marks under the key {keys.key}: {told}",
            "let it be next_key until all members have it and have claimed anew under it",
        )
    changed = [one._replace(marks=tuple(pair for pair in one.marks if pair[0] in keys)) for one in book.live()]
    changed = [one for one in changed if (known := book.get(*one.name)) is not None and known.marks != one.marks]
    return _put(book._replace(keys=keys), *changed), Answer("keys", is_changed=keys != book.keys)


def _drop(book: ClaimBook, member: str, at_ms: int) -> tuple[ClaimBook, Answer]:
    gone = [one._replace(state=State.WITHDRAWN, marks=(), changed_ms=at_ms) for one in book.live(member)]
    return _put(book, *gone), Answer(State.WITHDRAWN, is_changed=bool(gone))


def _put(book: ClaimBook, *changed: Claim) -> ClaimBook:
    """The book with some claims as they are now, and all that follows from them."""
    before = [one for one in (book.get(*new.name) for new in changed) if one is not None]
    old = frozenset(text for one in before for text in _texts(one.marks))
    new = {text: one.name for one in changed for text in _texts(one.marks)}
    lives, withdrawn = Counter(book.of_members), dict(book.withdrawn)
    lives.subtract(one.member for one in before if one.state is State.CLAIMED)
    lives.update(one.member for one in changed if one.state is State.CLAIMED)
    forgotten: set[str] = set()
    for one in changed:
        rest = tuple(name for name in withdrawn.get(one.member, ()) if name != one.reference)
        if one.state is State.WITHDRAWN:
            rest = (*rest, one.reference)
            forgotten.update(_text(one.member, name) for name in rest[:-WITHDRAWN_MAX])
            rest = rest[-WITHDRAWN_MAX:]
        withdrawn[one.member] = rest
    return book._replace(
        claims=book.claims.put({_text(*one.name): one for one in changed}).without(frozenset(forgotten)),
        claimed_by=book.claimed_by.without(old - new.keys()).put(new),
        of_members={member: count for member, count in lives.items() if count},
        withdrawn={member: names for member, names in withdrawn.items() if names},
    )


def _check_room(
    book: ClaimBook, member: str, marks: tuple[tuple[str, tuple[str, ...]], ...], known: Claim | None
) -> None:
    is_live = known is not None and known.state is State.CLAIMED
    if not is_live and book.of_members.get(member, 0) >= CLAIMS_MAX:
        raise FullError(f"{CLAIMS_MAX} claims of one member are the most", "withdraw what is pledged no more")
    held = sum(1 for _ in _texts(known.marks)) if known is not None else 0
    if book.claimed_by.count - held + sum(1 for _ in _texts(marks)) > MARKS_MAX:
        raise FullError(f"the registry holds {MARKS_MAX} marks and no more", "ask whoever runs it")


def _clash(book: ClaimBook, mine: tuple[str, str], others: tuple[tuple[str, str], ...], at_ms: int) -> Clash:
    member, reference = mine
    told = [[*other, claim.number] for other in others if (claim := book.get(*other)) is not None]
    identity = canonical.digest([book.registry, member, reference, told])[:_CLASH_DIGITS]
    known = next((one for one in book.clashes.get(member, ()) if one.id == identity), None)
    if known is not None:
        return known._replace(newest_ms=at_ms, times=known.times + 1)
    return Clash(identity, member, reference, others, at_ms, at_ms, 1)


def _remembered(book: ClaimBook, clash: Clash) -> dict[str, tuple[Clash, ...]]:
    rest = (one for one in book.clashes.get(clash.asker, ()) if one.id != clash.id)
    return {**book.clashes, clash.asker: (*rest, clash)[-CLASHES_MAX:]}


def _asked(book: ClaimBook, member: str, at_ms: int, clashed: int = 0) -> dict[str, Tally]:
    known, hour = book.tallies.get(member, Tally()), at_ms // HOUR_MS
    in_hour = known.asked_in_hour if known.hour == hour else 0
    tally = Tally(known.asked + 1, hour, in_hour + 1, known.clashed + clashed, known.brief)
    return {**book.tallies, member: tally}


def _texts(marks: Iterable[tuple[str, tuple[str, ...]]]) -> Iterator[str]:
    return (f"{key}:{one}" for key, some in marks for one in some)


def _text(member: str, reference: str) -> str:
    return f"{reference}{member}"
