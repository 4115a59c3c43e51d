"""Which notices stand: whatever order they come in, however often, and however many there are."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trading import CONTAINER, NOON_MS

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.trade import notice_book
from pledgewatch_cloud.decide.trade.notice import Notice, NoticeError
from pledgewatch_cloud.decide.trade.notice_book import NoticeBook

BOX = f"container:{CONTAINER}"


def said(
    identity: str,
    kind: str = "arrived",
    at_ms: int = NOON_MS,
    sender: str = "carrier",
    classifier: str = "actual",
    **named: str,
) -> Notice:
    """A notice; `withdraws`, `replaces` and `event` name others of its sender."""
    keys: dict[str, Any] = {name: f"{sender}/{other}" for name, other in named.items()}
    return Notice(f"{sender}/{identity}", sender, kind, at_ms, classifier, (BOX,), **keys)


def edition(number: int, kind: str = "arrived", event: str = "E") -> Notice:
    return said(f"{event}@{number}", kind, NOON_MS + number, event=event)._replace(edition_ms=number)


def book(*notices: Notice) -> NoticeBook:
    return NoticeBook().taken(notices)


def fates(known: NoticeBook, *identities: str) -> list[str]:
    return [known.fate(f"carrier/{one}") for one in identities]


def test_a_notice_stands_until_it_is_taken_back() -> None:
    first, second = said("1"), said("2", "discharged")
    known = book(first, second)
    assert known.standing(BOX) == [first, second]
    assert known.taken([said("3", "", withdraws="1")]).standing(BOX) == [second]
    assert known.taken([said("3", "arrived", replaces="1")]).standing(BOX) == [second, said("3", replaces="1")]
    assert known.standing("container:other") == []


def test_what_happened_is_told_in_order_of_time_and_only_what_did_happen() -> None:
    notices = [
        said("late", at_ms=NOON_MS + 1),
        said("b"),
        said("a"),
        said("planned", classifier="planned"),
        said("estimated", classifier="estimated"),
    ]
    known = book(*notices)
    assert [one.key for one in known.standing(BOX)] == ["carrier/a", "carrier/b", "carrier/late"]
    assert len(known.about(BOX)) == 5


def test_a_withdrawal_may_come_before_what_it_withdraws() -> None:
    known = book(said("2", "", withdraws="1"))
    assert known.standing(BOX) == []
    known = known.taken([said("1")])
    assert known.standing(BOX) == []
    assert fates(known, "1", "2") == ["withdrawn", "standing"]
    assert known.against("carrier/1") == [said("2", "", withdraws="1")]


def test_what_was_taken_back_never_stands_again() -> None:
    known = book(said("1"), said("2", replaces="1"), said("3", "", withdraws="2"))
    assert fates(known, "1", "2") == ["replaced", "withdrawn"]
    assert known.standing(BOX) == []
    both = book(said("1", replaces="2"), said("2", replaces="1"))
    assert fates(both, "1", "2") == ["replaced", "replaced"]


def test_withdrawn_counts_for_more_than_replaced() -> None:
    assert fates(book(said("1"), said("2", replaces="1"), said("3", "", withdraws="1")), "1") == ["withdrawn"]


def test_nobody_takes_back_what_another_said() -> None:
    known = book(said("1"), said("2", "", sender="rival", withdraws="1"))
    assert known.fate("carrier/1") == "standing"


def test_of_one_event_the_newest_edition_stands() -> None:
    known = book(edition(1), edition(3, "discharged"), edition(2))
    assert known.standing(BOX) == [edition(3, "discharged")]
    assert fates(known, "E@1", "E@2", "E@3") == ["replaced", "replaced", "standing"]


def test_a_retracted_edition_silences_those_before_it_and_a_newer_one_speaks_again() -> None:
    known = book(edition(1), edition(2, ""))
    assert fates(known, "E@1") == ["withdrawn"]
    assert known.standing(BOX) == []
    assert known.taken([edition(3)]).standing(BOX) == [edition(3)]


def test_editions_override_the_event_under_its_bare_id_and_a_withdrawal_names_all() -> None:
    known = book(said("E"), edition(1))
    assert fates(known, "E", "E@1") == ["replaced", "standing"]
    for kind in ("", "departed"):
        assert fates(known.taken([said("W", kind, withdraws="E")]), "E", "E@1") == ["withdrawn", "withdrawn"]


def test_two_notices_of_one_event_stand_together_and_fall_together() -> None:
    cleared = said("E", "customs_cleared", event="E")
    lifted = said("E#hold_lifted", "hold_lifted", event="E")
    known = book(cleared, lifted)
    assert known.standing(BOX) == [cleared, lifted]
    assert known.taken([said("W", "", withdraws="E")]).standing(BOX) == []
    assert len(known.taken([said("W", "", withdraws="E")]).against("carrier/E")) == 1


def test_what_a_notice_may_change_is_found_from_what_it_takes_back() -> None:
    cleared, lifted = said("C", "customs_cleared", event="C"), said("C#hold_lifted", "hold_lifted", event="C")
    known = book(said("1"), said("3"), said("E"), edition(1), cleared, lifted)
    assert known.touched_by(said("w", "", withdraws="1")) == [said("1")]
    assert known.touched_by(said("4", replaces="3", withdraws="1")) == [said("1"), said("3")]
    assert known.touched_by(edition(9)) == [said("E"), edition(1)]
    assert known.touched_by(said("w", "", withdraws="C")) == [cleared, lifted]
    assert known.touched_by(cleared) == [lifted]
    assert known.touched_by(said("w", "", withdraws="unheard-of")) == known.touched_by(said("5")) == []


def test_the_same_key_with_other_content_is_refused_and_nothing_is_taken() -> None:
    known = book(said("1"))
    assert known.taken([said("1")]) is known
    assert known.fresh([said("1"), said("2"), said("2")]) == [said("2")]
    for some in ([said("2"), said("1", "departed")], [said("2"), said("2", "departed")]):
        with pytest.raises(NoticeError, match="was said before with another kind; a correction has an id of its own"):
            known.taken(some)
    assert len(known) == 1


def test_a_full_book_refuses_and_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice_book, "KEPT_MAX", 2)
    known = book(said("1"), said("2"))
    assert known.taken([said("1")]) is known
    with pytest.raises(NoticeError, match="2 notices are kept and 1 more would be over 2: nothing is taken"):
        known.taken([said("3")])
    assert len(known) == 2


def test_a_full_book_still_takes_words_back_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    known = book(said("1"), said("2"))
    monkeypatch.setattr(notice_book, "KEPT_MAX", 2)
    after = known.taken([said("w", "", withdraws="1")])
    assert (after.fate("carrier/1"), len(after)) == ("withdrawn", 3)
    assert NoticeBook.from_json(after.as_json()) == after
    for more in (said("v", "", withdraws="1"), said("u", "", withdraws="unheard-of"), said("3")):
        with pytest.raises(NoticeError, match="nothing is taken"):
            after.taken([more])
    monkeypatch.setattr(notice_book, "WITHDRAWALS_MAX", 0)
    with pytest.raises(NoticeError, match="nothing is taken"):
        known.taken([said("w", "", withdraws="1")])


def test_a_notice_that_nobody_knows_has_no_fate() -> None:
    for ask in (NoticeBook().fate, NoticeBook().against):
        with pytest.raises(KeyError):
            ask("carrier/1")
    assert NoticeBook().get("carrier/1") is None


def test_a_book_is_never_changed() -> None:
    before = book(said("1"))
    after = before.taken([said("2"), said("3", "", withdraws="1")])
    assert (len(before), len(after)) == (1, 3)
    assert before.standing(BOX) == [said("1")]
    assert before.fate("carrier/1") == "standing"


IDENTITIES = st.sampled_from("12345")


@st.composite
def notices(draw: st.DrawFn) -> list[Notice]:
    """Notices that name one another in every way."""
    found = dict[str, Notice]()
    for number in range(draw(st.integers(1, 9))):
        sender = draw(st.sampled_from(["carrier", "customs"]))
        if draw(st.booleans()):
            one = edition(draw(st.integers(1, 4)), draw(st.sampled_from(["", "arrived"])), draw(IDENTITIES))
        else:
            one = said(str(number), draw(st.sampled_from(["", "arrived", "departed"])), draw(st.integers(0, 3)), sender)
            how = draw(st.sampled_from(["", "withdraws", "replaces"]))
            named = f"{sender}/{draw(IDENTITIES)}"
            one = one._replace(withdraws=named) if how == "withdraws" else one
            one = one._replace(replaces=named) if how == "replaces" else one
        found.setdefault(one.key, one)
    return list(found.values())


@given(notices(), st.randoms(use_true_random=False), st.integers(0, 9))
def test_order_and_repetition_do_not_matter(some: list[Notice], chance: object, cut: int) -> None:
    jumbled = [*some, *some[:cut]]
    chance.shuffle(jumbled)  # type: ignore[attr-defined]
    piecemeal = NoticeBook()
    for one in jumbled:
        piecemeal = piecemeal.taken([one])
    at_once = book(*some)
    assert piecemeal == at_once == NoticeBook().taken(jumbled[:cut]).taken(jumbled)
    assert canonical.encode(piecemeal.as_json()) == canonical.encode(at_once.as_json())
    assert piecemeal.standing(BOX) == at_once.standing(BOX) == standing_by_definition(some)


def standing_by_definition(some: Sequence[Notice]) -> list[Notice]:
    """What stands, worked out notice by notice from all of them."""
    found = []
    for one in some:
        names = {one.key, one.event} - {""}
        is_taken_back = any(other.withdraws in names or other.replaces in names for other in some)
        series = one.event or one.key
        is_old = any(other.event == series and other.edition_ms > one.edition_ms for other in some)
        if one.kind and not is_taken_back and not is_old:
            found.append(one)
    return sorted(found, key=lambda one: (one.happened_ms, one.key))


@given(notices())
def test_a_book_survives_its_json(some: list[Notice]) -> None:
    known = book(*some)
    written = canonical.encode(known.as_json())
    again = NoticeBook.from_json(canonical.decode(written))
    assert again == known
    assert canonical.encode(again.as_json()) == written
    assert again.taken([said("new")]) == known.taken([said("new")])


def test_taking_one_notice_does_not_grow_dear_with_the_many_that_are_kept() -> None:
    many = [said(str(number))._replace(references=(f"lot:{number % 9_973}",)) for number in range(100_000)]
    known = NoticeBook().taken(many)
    best_s = 1.0
    for number in range(20):
        begun_s = time.perf_counter()
        known = known.taken([said(f"more-{number}")])
        best_s = min(best_s, time.perf_counter() - begun_s)
    assert len(known) == 100_020
    assert best_s < 0.002, "an index made anew would take a hundred times as long"
