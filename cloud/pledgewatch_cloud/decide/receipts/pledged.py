"""What of all receipts is pledged, as it is claimed at a registry: by family.

A *family* is a receipt with all that came of it: its parts, what stands in its place. What came of it has the marks of
the whole, so a split or a replacement changes nothing of what the family claims, and the family is claimed under one
reference, by the name of the receipt that it began with. Only receipts that are pledged are in it: who lends nothing on
goods claims nothing of them.
"""

from collections.abc import Iterator, Mapping

from pledgewatch_cloud.decide.receipts.act import ActKind
from pledgewatch_cloud.decide.receipts.claims import Claim, shared_of
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook

CLAIMING = frozenset({ActKind.PLEDGE, ActKind.SUBSTITUTE})
"""Acts after which a family may claim more than before. All others leave it as it is, or less."""


def family_of(receipts: ReceiptBook, name: str) -> str:
    """The receipt that the family of one began with; itself where it began one, or is not known."""
    one = receipts.get(name)
    while one is not None and (before := one.replaces or one.parent):
        name, one = before, receipts.get(before)
    return name


def pledged_of(receipts: ReceiptBook, family: str) -> frozenset[Claim]:
    """What a family claims; nothing where none of it is pledged."""
    return frozenset(claim for one in _members(receipts, family) for claim in _claims(one))


def pledged(receipts: ReceiptBook) -> Mapping[str, frozenset[Claim]]:
    """What each family claims, of those that claim anything."""
    found: dict[str, set[Claim]] = {}
    for one in receipts.receipts():
        if claims := _claims(one):
            found.setdefault(family_of(receipts, one.id), set()).update(claims)
    return {family: frozenset(claims) for family, claims in found.items()}


def families(receipts: ReceiptBook) -> Iterator[str]:
    """Every family there ever was."""
    return (one.id for one in receipts.receipts() if not one.parent and not one.replaces)


def _members(receipts: ReceiptBook, family: str) -> Iterator[Receipt]:
    waiting = [family]
    while waiting:
        one = receipts.get(waiting.pop())
        if one is not None:
            yield one
            waiting += [*one.children, *([one.replaced_by] if one.replaced_by else [])]


def _claims(one: Receipt) -> frozenset[Claim]:
    if not one.is_live or not one.pledgee:
        return frozenset()
    return shared_of(one.warehouse, one.goods, one.received)
