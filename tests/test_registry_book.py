"""A registry's book of claims: no mark in two live claims, nothing said of others; the same journal, the same book."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pledgewatch_cloud.decide.registry import claim_book, request
from pledgewatch_cloud.decide.registry.claim_book import (
    CLAIMS_MAX,
    CLASHES_MAX,
    HOUR_MS,
    WITHDRAWN_MAX,
    Answer,
    ClaimBook,
    FullError,
    State,
    Tally,
    apply,
    lacking,
)
from pledgewatch_cloud.decide.registry.request import (
    TURN_MAX,
    Claiming,
    Dropping,
    KeptRequest,
    ListingClaims,
    ListingClashes,
    OvertakenError,
    RequestError,
    UsingKeys,
    Withdrawing,
)

OLD, NEW, OTHER = "a" * 16, "b" * 16, "c" * 16
ONE, TWO, THREE = "bank-one", "bank-two", "bank-three"
NOON_MS = 1_767_268_800_000


def digits(number: int) -> str:
    """A reference or a mark."""
    return f"{number:064x}"


class Registry:
    """A book, and the requests that it was made of."""

    def __init__(self, *keys: str) -> None:
        self.book = ClaimBook("the-registry")
        self.kept: list[tuple[str, KeptRequest, int]] = []
        self.now_ms = NOON_MS
        self.say("", UsingKeys(*keys or (OLD, "")))

    def say(self, member: str, asked: KeptRequest) -> Answer:
        """A request is taken."""
        self.book, answer = apply(self.book, member, asked, len(self.kept) + 1, self.now_ms)
        self.kept.append((member, asked, self.now_ms))
        return answer

    def claim(self, member: str, reference: int, *marks: int, keys: tuple[str, ...] = (OLD,), turn: int = 0) -> Answer:
        """A member claims marks under a reference, in its next turn or another."""
        return self.say(member, claiming(reference, *marks, keys=keys, turn=turn or self.turn(member)))

    def withdraw(self, member: str, reference: int, turn: int = 0) -> Answer:
        """A member claims nothing under a reference any more."""
        return self.say(member, Withdrawing(turn or self.turn(member), digits(reference)))

    def turn(self, member: str) -> int:
        """A member's next turn."""
        return self.book.turns.get(member, 0) + 1

    def refuse(self, member: str, asked: KeptRequest) -> RequestError:
        """A request is not taken, and nothing has changed by it."""
        before = self.book
        with pytest.raises(RequestError) as caught:
            self.say(member, asked)
        assert self.book is before
        assert str(caught.value) == f"{caught.value.why}; {caught.value.cure}"
        return caught.value

    def live(self) -> set[tuple[str, str]]:
        """What is live."""
        return {one.name for one in self.book.live()}


def claiming(reference: int, *marks: int, keys: tuple[str, ...] = (OLD,), turn: int = 1_000) -> Claiming:
    """Marks of goods under each key: another key makes other marks of the same goods."""
    return Claiming(
        turn, digits(reference), {key: tuple(digits(int(key, 16) + mark) for mark in sorted(marks)) for key in keys}
    )


CLAIMED, AGAIN = Answer("claimed", is_changed=True), Answer("claimed")
WITHDRAWN, NOTHING = Answer("withdrawn", is_changed=True), Answer("withdrawn")


def test_a_claim_lives_until_it_is_withdrawn_and_goods_can_be_claimed_anew() -> None:
    registry = Registry()
    assert registry.claim(ONE, 1, 10, 11) == CLAIMED
    assert registry.withdraw(ONE, 1) == WITHDRAWN
    assert registry.claim(TWO, 7, 11, 12) == CLAIMED
    assert registry.live() == {(TWO, digits(7))}
    known = registry.book.get(ONE, digits(1))
    assert known is not None
    assert (known.state, known.marks) == (State.WITHDRAWN, ())


@pytest.mark.parametrize(
    ("member", "reference", "marks"),
    [
        (TWO, 1, (10, 11)),  # another bank, the same goods, even under the same reference
        (TWO, 2, (11, 12)),  # another bank, some of the goods
        (TWO, 2, (9, 10, 11, 12)),  # more than the goods
        (ONE, 2, (11, 12)),  # the same bank, under another reference
    ],
)
def test_goods_are_claimed_once(member: str, reference: int, marks: tuple[int, ...]) -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10, 11)
    answer = registry.claim(member, reference, *marks)
    assert answer.word == "clash"
    assert not answer.is_changed
    assert registry.live() == {(ONE, digits(1))}


def test_other_goods_are_no_clash() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10)
    assert registry.claim(TWO, 1, 11) == CLAIMED
    assert registry.claim(ONE, 2, 12) == CLAIMED


def test_the_same_again_changes_nothing() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10)
    claims = registry.book.claims
    assert registry.claim(ONE, 1, 10) == AGAIN
    assert registry.book.claims is claims
    registry.withdraw(ONE, 1)
    claims = registry.book.claims
    assert registry.withdraw(ONE, 1) == NOTHING
    assert registry.book.claims is claims


def test_a_claim_is_made_anew_with_other_marks_or_stays_as_it_was() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10, 11)
    registry.claim(TWO, 1, 20)
    assert registry.claim(ONE, 1, 11, 20).word == "clash"
    assert registry.claim(THREE, 1, 10).word == "clash"
    assert registry.claim(ONE, 1, 11, 12) == CLAIMED
    assert registry.claim(THREE, 1, 10) == CLAIMED
    assert registry.claim(TWO, 2, 12).word == "clash"


def test_a_question_that_comes_in_after_a_later_one_does_nothing() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10, turn=3)
    late: list[KeptRequest] = [Withdrawing(turn, digits(1)) for turn in (1, 2, 3)]
    late += [claiming(1, 11, turn=2), claiming(2, 11, turn=3)]  # other goods, and under another reference
    for asked in late:
        assert isinstance(registry.refuse(ONE, asked), OvertakenError)
    registry.withdraw(ONE, 1, turn=5)
    assert isinstance(registry.refuse(ONE, claiming(1, 10, turn=4)), OvertakenError)
    assert registry.live() == set()
    assert registry.claim(TWO, 1, 10, turn=1) == CLAIMED  # turns are each member's own
    clash = registry.claim(ONE, 1, 10, turn=6)
    assert clash.word == "clash"
    assert isinstance(registry.refuse(ONE, claiming(1, 10, turn=6)), OvertakenError)  # a refusal had its turn too
    registry.say("", Dropping(ONE))
    assert isinstance(registry.refuse(ONE, claiming(1, 11, turn=6)), OvertakenError)
    assert registry.claim(ONE, 1, 11, turn=TURN_MAX) == CLAIMED


def test_what_is_refused_as_no_question_has_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_book, "CLAIMS_MAX", 1)
    registry = Registry()
    registry.claim(ONE, 1, 10, turn=1)
    assert isinstance(registry.refuse(ONE, claiming(2, 11, turn=9)), FullError)
    assert registry.withdraw(ONE, 1, turn=2) == WITHDRAWN


def test_an_answer_says_that_there_is_a_clash_and_nothing_else() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10, 11, 12)
    registry.claim(THREE, 5, 20)
    answer = registry.claim(TWO, 2, 10, 11, 20).as_json()
    assert set(answer) == {"answer", "clash"}
    alone = registry.claim(TWO, 3, 12).as_json()
    assert set(alone) == {"answer", "clash"}
    assert len(answer["clash"]) == len(alone["clash"]) == 20
    assert not {ONE, THREE, digits(1), digits(5)} & set(answer.values())


def test_both_find_the_clash_beside_their_own_reference_and_nobody_else_does() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10)
    registry.claim(THREE, 5, 20)
    clash = registry.claim(TWO, 2, 10, 30).clash
    (first,), (second,) = registry.book.clashes_of(ONE), registry.book.clashes_of(TWO)
    assert (first.id, first.reference, first.is_refused) == (clash, digits(1), False)
    assert (second.id, second.reference, second.is_refused) == (clash, digits(2), True)
    assert registry.book.clashes_of(THREE) == ()


def test_the_same_clash_has_the_same_id_and_is_counted() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10)
    first = registry.claim(TWO, 2, 10)
    registry.now_ms += 5
    assert registry.claim(TWO, 2, 10, 11) == first
    (seen,) = registry.book.clashes_of(ONE)
    assert (seen.times, seen.first_ms, seen.newest_ms) == (2, NOON_MS, NOON_MS + 5)
    assert registry.claim(TWO, 3, 10) != first
    registry.withdraw(ONE, 1)
    registry.claim(ONE, 1, 10)
    assert registry.claim(TWO, 2, 10) != first  # that claim was another


def test_a_member_that_clashes_with_itself_finds_both_its_references() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10)
    clash = registry.claim(ONE, 2, 10).clash
    assert [(one.id, one.reference) for one in registry.book.clashes_of(ONE)] == [
        (clash, digits(1)),
        (clash, digits(2)),
    ]


def test_an_unknown_reference_and_somebody_elses_are_answered_alike() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10)
    assert registry.withdraw(TWO, 1) == registry.withdraw(TWO, 999) == NOTHING
    assert registry.live() == {(ONE, digits(1))}


def test_questions_are_counted_by_the_hour_and_what_is_given_up_is_not_one() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10)
    registry.claim(TWO, 1, 10)
    assert registry.book.wait_s(ONE, 1, registry.now_ms) == 3_600
    assert registry.book.wait_s(ONE, 1, registry.now_ms + HOUR_MS - 1) == 1
    assert registry.book.wait_s(ONE, 1, registry.now_ms + HOUR_MS) == 0
    assert registry.book.wait_s(ONE, 2, registry.now_ms) == 0
    assert registry.book.wait_s(THREE, 1, registry.now_ms) == 0
    registry.withdraw(ONE, 1)
    hour = NOON_MS // HOUR_MS
    assert registry.book.tallies == {ONE: Tally(1, hour, 1, 0, 1), TWO: Tally(1, hour, 1, 1, 0)}


def test_what_is_withdrawn_late_is_no_probe() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10)
    registry.now_ms += HOUR_MS
    registry.withdraw(ONE, 1)
    assert registry.book.tallies[ONE].brief == 0


def test_a_claim_has_marks_under_the_key_in_use() -> None:
    registry = Registry()
    error = registry.refuse(ONE, claiming(1, 10, keys=(NEW,)))
    assert OLD in error.why
    assert registry.claim(ONE, 1, 10, keys=(OLD, NEW)) == CLAIMED
    known = registry.book.get(ONE, digits(1))
    assert known is not None
    assert [key for key, _ in known.marks] == [OLD]  # marks under a key that is not in use are not kept


def test_members_go_over_to_a_next_key_one_by_one_and_goods_stay_claimed_once() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10)
    registry.claim(TWO, 1, 20)
    registry.say("", UsingKeys(OLD, NEW))
    assert registry.claim(ONE, 1, 10, keys=(OLD, NEW)) == CLAIMED
    assert registry.claim(TWO, 2, 10).word == "clash"  # a member that has no next key yet
    assert registry.claim(ONE, 2, 20, keys=(OLD, NEW)).word == "clash"  # by the old key of the one that has none
    assert lacking(registry.book, NEW) == {TWO: 1}
    error = registry.refuse("", UsingKeys(NEW, ""))
    assert "1 of bank-two" in error.why
    registry.claim(TWO, 1, 20, keys=(OLD, NEW))
    registry.say("", UsingKeys(NEW, ""))
    assert registry.claim(TWO, 2, 10, keys=(NEW,)).word == "clash"
    assert registry.claim(ONE, 2, 20, keys=(OLD, NEW)).word == "clash"
    assert {key for one in registry.book.live() for key, _ in one.marks} == {NEW}
    assert registry.claim(ONE, 1, 10, keys=(NEW,)) == AGAIN


def test_a_member_that_has_gone_claims_nothing() -> None:
    registry = Registry()
    registry.claim(ONE, 1, 10)
    registry.claim(ONE, 2, 11)
    registry.claim(TWO, 1, 20)
    assert registry.say("", Dropping(ONE)).is_changed
    assert registry.live() == {(TWO, digits(1))}
    assert registry.claim(TWO, 2, 10, 11) == CLAIMED


def test_there_is_an_end_to_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    assert min(CLAIMS_MAX, CLASHES_MAX, WITHDRAWN_MAX) > 0
    for name, most in (("CLAIMS_MAX", 2), ("MARKS_MAX", 5), ("WITHDRAWN_MAX", 2), ("CLASHES_MAX", 2)):
        monkeypatch.setattr(claim_book, name, most)
    registry = Registry()
    registry.claim(ONE, 1, 10)
    registry.claim(ONE, 2, 11, 12)
    assert isinstance(registry.refuse(ONE, claiming(3, 13)), FullError)
    assert registry.claim(ONE, 1, 10, 13) == CLAIMED
    assert isinstance(registry.refuse(TWO, claiming(1, 20, 21)), FullError)
    assert registry.claim(TWO, 1, 20) == CLAIMED
    clashes = [registry.claim(TWO, number, 10).clash for number in (2, 3, 4)]
    assert sorted(one.id for one in registry.book.clashes_of(TWO)) == sorted(clashes[1:])
    registry.withdraw(ONE, 1)
    registry.withdraw(ONE, 2)
    registry.claim(ONE, 3, 30)
    registry.withdraw(ONE, 3)
    assert registry.book.get(ONE, digits(1)) is None
    assert registry.book.get(ONE, digits(2)) is not None
    registry.claim(ONE, 2, 30)
    registry.withdraw(ONE, 2)
    assert registry.book.withdrawn[ONE] == (digits(3), digits(2))


class Naive:
    """The book once more: a list of claims, each held against all others."""

    def __init__(self) -> None:
        self.live: dict[tuple[str, int], frozenset[int]] = {}

    def claim(self, member: str, reference: int, marks: frozenset[int]) -> tuple[str, bool]:
        """The answer's word, and whether anything has changed."""
        mine = (member, reference)
        if any(marks & others for name, others in self.live.items() if name != mine):
            return "clash", False
        changed = self.live.get(mine) != marks
        self.live[mine] = marks
        return "claimed", changed

    def withdraw(self, member: str, reference: int) -> tuple[str, bool]:
        """The same."""
        return "withdrawn", self.live.pop((member, reference), None) is not None


asked = st.tuples(
    st.sampled_from((ONE, TWO, THREE)),
    st.integers(1, 4),
    st.frozensets(st.integers(0, 12), min_size=1, max_size=4) | st.none(),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(asked, max_size=40))
def test_any_history_has_the_answers_of_a_naive_book(history: list[tuple[str, int, frozenset[int] | None]]) -> None:
    registry, naive = Registry(), Naive()
    for member, reference, marks in history:
        registry.now_ms += 1
        if marks is None:
            answer, expected = registry.withdraw(member, reference), naive.withdraw(member, reference)
        else:
            answer, expected = registry.claim(member, reference, *marks), naive.claim(member, reference, marks)
        assert (answer.word, answer.is_changed) == expected
        assert bool(answer.clash) is (answer.word == "clash")
    assert registry.live() == {(member, digits(reference)) for member, reference in naive.live}
    held = [mark for one in registry.book.live() for _, some in one.marks for mark in some]
    assert len(held) == len(set(held)) == registry.book.claimed_by.count
    for one in registry.book.live():
        assert {registry.book.claimed_by.get(f"{key}:{mark}") for key, some in one.marks for mark in some} == {one.name}


@settings(max_examples=50, deadline=None)
@given(st.lists(asked, max_size=30))
def test_the_same_journal_gives_the_same_book(history: list[tuple[str, int, frozenset[int] | None]]) -> None:
    registry = Registry()
    answers = [
        registry.withdraw(member, reference) if marks is None else registry.claim(member, reference, *marks)
        for member, reference, marks in history
    ]
    again = ClaimBook("the-registry")
    found = []
    for number, (member, kept, at_ms) in enumerate(registry.kept, 1):
        read = request.read_kept(member, request.write(kept))
        assert read == kept
        again, answer = apply(again, member, read, number, at_ms)
        found.append(answer)
    assert found[1:] == answers
    assert again == registry.book


def bad_bodies() -> Iterator[tuple[str, bytes]]:
    """Bodies that are no requests, and what is said of them."""
    mark, reference = f'"{digits(1)}"', f'"turn": 7, "reference": "{digits(2)}"'
    yield "no JSON", b"{"
    yield "no JSON object", b"[]"
    yield "request:", b"{}"
    yield "request:", b'{"request": ["claim"]}'
    yield "request:", b'{"request": "keys", "key": "x", "next_key": ""}'
    yield "request:", b'{"request": "drop", "member": "bank-one"}'
    yield "twice", b'{"request": "clashes", "request": "clashes"}'
    yield "claim: says", b'{"request": "claim"}'
    yield "withdraw: says", f'{{"request": "withdraw", {reference}, "marks": {{}}}}'.encode()
    yield "reference:", b'{"request": "withdraw", "turn": 7, "reference": "la-1:0001"}'
    yield "reference:", f'{{"request": "withdraw", "turn": 7, "reference": "{"A" * 64}"}}'.encode()
    yield "withdraw: says", f'{{"request": "withdraw", "reference": "{digits(2)}"}}'.encode()
    for turn in ("0", "-1", "true", '"7"', "null", "[]", str(TURN_MAX + 1)):
        yield "turn:", f'{{"request": "withdraw", "turn": {turn}, "reference": "{digits(2)}"}}'.encode()
    yield "reference:", b'{"request": "claims", "after": 7}'
    yield "marks:", f'{{"request": "claim", {reference}, "marks": {{}}}}'.encode()
    yield "fingerprint", f'{{"request": "claim", {reference}, "marks": {{"x": [{mark}]}}}}'.encode()
    three = ", ".join(f'"{key}": [{mark}]' for key in (OLD, NEW, OTHER))
    yield "at most 2", f'{{"request": "claim", {reference}, "marks": {{{three}}}}}'.encode()
    yield "no list", f'{{"request": "claim", {reference}, "marks": {{"{OLD}": []}}}}'.encode()
    yield "not all are marks", f'{{"request": "claim", {reference}, "marks": {{"{OLD}": ["MSKU1234565"]}}}}'.encode()
    yield "twice", f'{{"request": "claim", {reference}, "marks": {{"{OLD}": [{mark}, {mark}]}}}}'.encode()
    yield (
        "more under one key",
        (
            f'{{"request": "claim", {reference}, "marks": {{"{OLD}": [{mark}], "{NEW}": [{mark}, "{digits(3)}"]}}}}'
        ).encode(),
    )


@pytest.mark.parametrize(("said", "body"), list(bad_bodies()))
def test_what_is_no_request_is_refused_with_its_place(said: str, body: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        request.read(body)
    assert said in str(caught.value)
    assert caught.value.cure


@pytest.mark.parametrize(
    "one",
    [
        claiming(1, 2, 3, keys=(OLD, NEW)),
        Withdrawing(7, digits(1)),
        ListingClaims(""),
        ListingClaims(digits(1)),
        ListingClashes(),
    ],
)
def test_requests_are_read_as_they_were_written(one: request.Request) -> None:
    assert request.read(request.write(one)) == one
