"""Senders: who may say what, and what it is worth as evidence. A section of the book."""

from typing import NamedTuple

from pledgewatch_cloud.decide.grade import GRADE_NAMES
from pledgewatch_cloud.decide.item import Item
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


def read_sender(item: Item) -> Sender:
    """A sender as an amendment says it. Raises BookError."""
    return Sender(
        item.name("id"),
        item.words("kinds", FACT_KINDS),
        item.one_of("grade", tuple(GRADE_NAMES), "good"),
        item.ids("facilities"),
    )
