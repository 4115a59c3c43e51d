"""What pledged lots are worth, and how much of that is lent.

    value of a lot = quantity × unit price × (1 − haircut), rounded down to a minor unit
    loan to value  = outstanding ÷ sum of the values, in basis points rounded up

A lot whose SKU has no price cannot be entered in the book.
"""

from typing import NamedTuple

from pledgewatch_cloud.decide import money
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.book_items import Lot


class FacilityValue(NamedTuple):
    """A facility's collateral. `ltv_bp` is -1 where nothing of value is pledged, for then there is no ratio."""

    value_minor: int
    outstanding_minor: int
    ltv_bp: int
    lots: int


def lot_value_minor(book: Book, lot: Lot) -> int:
    """The collateral value of a lot in its facility's currency."""
    return money.after_haircut_minor(lot.quantity * book.prices[lot.sku].unit_price_minor, lot.haircut_bp)


def facility_value(book: Book, facility: str) -> FacilityValue:
    """The collateral value and the loan to value of a facility."""
    values = [lot_value_minor(book, lot) for lot in book.lots_of_facility(facility)]
    total_minor = sum(values)
    outstanding_minor = book.facilities[facility].outstanding_minor
    ratio_bp = money.ratio_bp(outstanding_minor, total_minor)
    return FacilityValue(total_minor, outstanding_minor, -1 if ratio_bp is None else ratio_bp, len(values))
