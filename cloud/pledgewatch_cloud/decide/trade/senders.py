"""Senders: who may say what, and what it is worth as evidence. A section of the book."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.grade import GRADE_NAMES
from pledgewatch_cloud.decide.item import Item
from pledgewatch_cloud.decide.items.sections import Sections, absent
from pledgewatch_cloud.decide.trade.vocabulary import FACT_KINDS


class Sender(NamedTuple):
    """A carrier, customs, an insurer, a warehouse, an enterprise.

    `kinds` are those that it may say, empty for all; what is no fact it may always say, and take back what it said.
    `grade` is the best that its notices can be as evidence, `facilities` those whose milestones they are evidence for,
    empty for all.
    """

    id: str
    kinds: tuple[str, ...] = ()
    grade: str = "good"
    facilities: tuple[str, ...] = ()


def _sender(item: Item) -> Sender:
    return Sender(
        item.name("id"),
        item.words("kinds", FACT_KINDS),
        item.one_of("grade", tuple(GRADE_NAMES), "good"),
        item.ids("facilities"),
    )


READERS: dict[str, Callable[[Item], Any]] = {"senders": _sender}
"""How an item of each section is read."""


def as_document(_section: str, sender: Sender) -> dict[str, Any]:
    """A sender as an amendment says it."""
    return {key: list(one) if isinstance(one, tuple) else one for key, one in sender._asdict().items() if one}


def faults(sections: Sections) -> Iterator[str]:
    """What only the whole book can show: facilities that nobody knows."""
    for sender in sections["senders"].values():
        for one in sender.facilities:
            yield from absent(sections, f"senders {sender.id}.facilities", "facilities", one)
