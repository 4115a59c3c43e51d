"""What the receipt book and the goods say of a lot whose receipt is electronic: whether the lender has it, and how much
of the lot it stands for.

    covered = what of the lot's SKU the receipt still pledges - what of that is missing

Lots that name one receipt and one SKU share what is covered in proportion to their quantities, so no unit counts twice.
What is missing is taken from what is pledged before what is released: the holder may take the released part away at any
moment, and the lender is left with the rest.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.receipts.receipt import ENDED, Receipt, State
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.stock.rows import MILLI
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse.shortfall import NOTHING_MISSING, Pool, Shortage

STATES = ("valid", "unknown", "unpledged", "elsewhere", "frozen", "lost", "ended")
"""What a lender may have of a receipt: it is pledged to the lender and in force; nobody has issued it; it is pledged to
nobody; it is pledged to somebody else; it is frozen; it is lost; it is at its end."""


class HeldByReceipt(NamedTuple):
    """How a lot stands by its electronic receipt. `state` is one of STATES, and `until_ms` when the receipt or what the
    book says of it ends, whichever comes first (0 where it is unknown). `missing` counts units of the lot that the
    receipt does not cover or that are not there, rounded up; `cases` are the ids of the cases that say so. `heard_ms`
    is the newest moment of which the stock system or a counter has spoken of the lot's pool (see heard.py), -NEVER
    where neither has."""

    state: str
    until_ms: int
    missing: int = 0
    cases: tuple[str, ...] = ()
    heard_ms: int = -NEVER


def held_of(book: Book, receipts: ReceiptBook, shortages: Mapping[Pool, Shortage]) -> dict[str, HeldByReceipt]:
    """How every lot of the book with an electronic receipt stands, by its id."""
    return held_by(book, receipts, shortages, book.electronic_receipts)


def held_by(
    book: Book, receipts: ReceiptBook, shortages: Mapping[Pool, Shortage], names: Iterable[str]
) -> dict[str, HeldByReceipt]:
    """How the lots that name some receipts stand, by the lots' ids."""
    found = {}
    for name in names:
        lots = book.lots_on_receipt(name)
        receipt = receipts.get(name)
        wanted: dict[str, int] = {}
        for lot in lots:
            wanted[lot.sku] = wanted.get(lot.sku, 0) + lot.quantity
        for lot in lots:
            found[lot.id] = _held(book, receipt, shortages, lot, wanted[lot.sku])
    return found


def _held(
    book: Book, receipt: Receipt | None, shortages: Mapping[Pool, Shortage], lot: Lot, wanted: int
) -> HeldByReceipt:
    """`wanted`: what all lots ask of the receipt of the lot's SKU."""
    assert lot.receipt is not None, f"{lot.id} names no receipt"
    if receipt is None:
        return HeldByReceipt("unknown", 0, lot.quantity)
    covered_milli, cases = _covered(receipt, shortages, lot.sku)
    covered = min(lot.quantity, covered_milli * lot.quantity // (MILLI * wanted)) if wanted else 0
    until_ms = min(receipt.until_ms, lot.receipt.until_ms)
    return HeldByReceipt(_state(receipt, book.facilities[lot.facility].lender), until_ms, lot.quantity - covered, cases)


def check_stated(book: Book, receipts: ReceiptBook) -> None:
    """Raises BookError where the book says how a receipt of the receipt book stands: who signs says that."""
    stated = ((lot.id, lot.receipt.id) for lot in book.lots.values() if lot.receipt and not lot.receipt.is_electronic)
    errors = [
        f"lots {lot}.receipt.state: {name} is an electronic receipt, and acts say how it stands; leave the state out"
        for lot, name in stated
        if receipts.get(name) is not None
    ]
    if errors:
        raise BookError(errors)


def _state(receipt: Receipt, lender: str) -> str:
    if receipt.state in ENDED:
        return "ended"
    if receipt.state is State.DRAFTED:
        return "unknown"
    if receipt.pledgee and receipt.pledgee != lender:
        return "elsewhere"
    if receipt.state in (State.FROZEN, State.LOST):
        return str(receipt.state)
    return "valid" if receipt.pledgee else "unpledged"


def _covered(receipt: Receipt, shortages: Mapping[Pool, Shortage], sku: str) -> tuple[int, tuple[str, ...]]:
    """Thousandths of a SKU that a receipt pledges and that are there, and the cases that say what is not.

    A lot names no unit, so where a receipt has the SKU in several, nobody can say which of them it is, and none counts.
    """
    lines = [place for place, one in enumerate(receipt.goods) if one.sku == sku]
    units = {receipt.goods[place].unit for place in lines}
    if not receipt.is_live or len(units) != 1:
        return 0, ()
    released = receipt.released_milli if receipt.pledgee else (0,) * len(receipt.goods)
    pledged_milli = sum(receipt.goods[place].quantity_milli - released[place] for place in lines)
    pool = Pool(receipt.warehouse, receipt.depositor, sku, units.pop())
    shortage = shortages.get(pool, NOTHING_MISSING)
    return max(0, pledged_milli - shortage.of(receipt.id)), shortage.cases if shortage.of(receipt.id) else ()
