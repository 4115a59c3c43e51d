"""The papers of a lot: the warehouse receipt that it is kept on, and documents that come with it, each with its end."""

from typing import Any, NamedTuple

from pledgewatch_cloud.decide.item import Item
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.stretches import NEVER

RECEIPT_STATES = ("valid", "frozen", "lost", "cancelled")
PAPER_KINDS = ("bill_of_lading", "insurance", "customs", "invoice", "certificate", "other")


class LotReceipt(NamedTuple):
    """The warehouse receipt of a lot, good up to `until_ms`. `state` is one of RECEIPT_STATES; empty: it is electronic,
    and the receipt book says how it stands."""

    id: str
    state: str
    until_ms: int

    @property
    def is_electronic(self) -> bool:
        """Whether it is one of the receipt book."""
        return not self.state


class Paper(NamedTuple):
    """A document of a lot, good up to `until_ms`. `kind` is one of PAPER_KINDS."""

    kind: str
    id: str
    until_ms: int


def read_receipt(item: Item | None) -> LotReceipt | None:
    """A receipt, if there is one. Raises BookError."""
    if item is None:
        return None
    state = item.one_of("state", RECEIPT_STATES) if item.has("state") else ""
    receipt = LotReceipt(item.text("id"), state, item.moment("until", NEVER))
    item.end()
    return receipt


def read_papers(item: Item) -> tuple[Paper, ...]:
    """The papers of an item, each once. Raises BookError."""
    papers: dict[tuple[str, str], Paper] = {}
    for one in item.items("papers"):
        paper = Paper(one.one_of("kind", PAPER_KINDS), one.text("id"), one.moment("until", NEVER))
        if paper[:2] in papers:
            raise one.error("id", f"{paper.id!r} comes twice among papers of the kind {paper.kind}")
        papers[paper[:2]] = paper
        one.end()
    return tuple(papers.values())


def paper_document(one: LotReceipt | Paper) -> dict[str, Any]:
    """A receipt or paper as an amendment says it."""
    written = {key: value for key, value in one._asdict().items() if value != ""}
    del written["until_ms"]
    return written if one.until_ms == NEVER else written | {"until": iso(one.until_ms)}
