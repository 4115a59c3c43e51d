"""What is committed for what somebody asks: once, and only where it says something new."""

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest
from builders import NOON_MS
from milestoning import Trade, fact, milestone

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.batch import Amendment, Booked, Entry, Moved, Quotation, Submission, Told, Waiver
from pledgewatch_cloud.decide.drafts import Draft
from pledgewatch_cloud.decide.step import Outcome
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.form import WrittenEntry

ONLOOKER: dict[str, Any] = {"parties": [{"id": "onlooker", "name": "Example Onlooker"}]}
DRAWN = {"id": "out-1", "kind": "drawdown", "at": "2026-01-01T12:00:00Z", "amount_minor": 700}
QUOTES = {"prices": [{"series": "sofas", "date": "2026-01-01", "price": "200", "currency": "USD"}]}
CLEARED = {"id": "n-1", "kind": "customs_cleared", "happened_at": DRAWN["at"], "about": {"booking": ["B-1"]}}

Ask = Callable[..., Draft | None]
ASKED: list[tuple[Ask, tuple[Any, ...], type[Told]]] = [
    (drafts.amend, (ONLOOKER,), Amendment),
    (drafts.amend_from_file, ("book.yaml", "a", ONLOOKER), Amendment),
    (drafts.move, ("facility-1", {"movements": [DRAWN]}), Moved),
    (drafts.quote, (QUOTES,), Quotation),
    (drafts.submit, ("customs", "plain", json.dumps({"notices": [CLEARED]})), Submission),
    (drafts.waive, ("milestone", "head of credit", "seen"), Waiver),
]


@pytest.fixture
def trade() -> Trade:
    return Trade(milestone(fact("customs_cleared")))


def journalled(outcome: Outcome | None, trade: Trade) -> list[Any]:
    """The content of the entry that an outcome is of."""
    assert outcome is not None
    assert outcome.state is trade.spine.state
    return [form.read_entry(one).content for one in trade.store.entries(outcome.state.entry - 1)]


@pytest.mark.parametrize(("asked", "words", "kind"), ASKED, ids=[one.__name__ for one, _, _ in ASKED])
def test_what_is_asked_is_committed_once_and_nothing_when_it_is_known(
    trade: Trade, asked: Ask, words: tuple[Any, ...], kind: type[Told]
) -> None:
    (content,) = journalled(trade.spine.commit(asked, *words), trade)
    assert type(content) is kind
    entry = trade.spine.state.entry
    assert trade.spine.commit(asked, *words) is None
    assert trade.spine.state.entry == entry


def test_a_person_s_word_and_a_payer_s_are_committed_once(trade: Trade) -> None:
    trade.spine.commit(drafts.waive, "milestone", "head of credit", "seen")
    ((message, _),) = trade.memo().releases
    said = ("milestone", "none", "payments desk", "asked the bank")
    assert journalled(trade.spine.commit(drafts.say_booked, *said), trade) == [
        Booked(message, "milestone", "none", "payments desk", "asked the bank")
    ]
    assert trade.spine.commit(drafts.say_booked, *said) is None
    sent = trade.store._outbox[message]
    assert journalled(trade.spine.commit(drafts.booked, sent, "booked"), trade) == [
        Booked(message, "milestone", "booked")
    ]
    assert trade.spine.commit(drafts.booked, sent, "booked") is None


def test_an_amended_book_is_worked_out_once(trade: Trade, monkeypatch: pytest.MonkeyPatch) -> None:
    real, documents = book_module.amend, list[object]()

    def counted(book: book_module.Book, document: object) -> book_module.Book:
        documents.append(document)
        return real(book, document)

    monkeypatch.setattr(book_module, "amend", counted)
    assert trade.spine.commit(drafts.amend, ONLOOKER) is not None
    assert documents == [ONLOOKER]
    assert trade.spine.commit(drafts.move, "facility-1", {"movements": [DRAWN]}) is not None
    assert len(documents) == 2
    assert (
        trade.spine.commit(drafts.amend_from_file, "book.yaml", "a", {"remove": {"parties": ["onlooker"]}}) is not None
    )
    assert len(documents) == 3


@pytest.mark.parametrize("kind", get_args(Told), ids=lambda kind: kind.__name__)
def test_every_kind_of_entry_is_read_as_it_was_written(kind: Any) -> None:
    entry = Entry(1, NOON_MS, kind(*(f"the {field}" for field in kind._fields)))
    written = WrittenEntry(1, form.kind_of(entry), NOON_MS, form.write_body(entry), b"", b"")
    again = form.read_entry(written)
    assert (again, type(again.content)) == (entry, kind)
