"""Movements that a bank tells of, one by one or some at once: which are new, and the book with them.

A movement is known by its id within its facility. Told again with the same content it changes nothing, so whoever tells
may tell until it is heard; told with other content it is refused, for one of the two must be wrong.
"""

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.item import BookError, Item
from pledgewatch_cloud.decide.items import facilities
from pledgewatch_cloud.decide.items.facilities import Movement
from pledgewatch_cloud.decide.moments import iso

_PLACE = "body"


def moved(book: Book, facility: str, document: object) -> Book:
    """The book with the movements of `{"movements": […]}` on a facility; the very same where all of them are known.

    Raises BookError: no such facility, no such document, or a movement whose id is known with other content.
    """
    line = book.facilities.get(facility)
    if line is None:
        raise BookError([f"there is no facility {facility!r} in the book"])
    item = Item(_PLACE, document)
    if not item.has("movements"):
        raise item.error("movements", "is missing")
    told = facilities.read_movements(item)
    item.end()
    known = {one.id: one for one in line.movements}
    errors = [_said(known[one.id]) for one in told if known.get(one.id, one) != one]
    if errors:
        raise BookError(errors)
    fresh = [one for one in told if one.id not in known]
    if not fresh:
        return book
    after = line._replace(movements=(*line.movements, *fresh))
    return book_module.amend(book, {"facilities": [facilities.as_document("facilities", after)]})


def _said(known: Movement) -> str:
    what = f"a {known.kind} of {known.amount_minor} at {iso(known.at_ms)}"
    return f"{_PLACE}.movements: {known.id!r} is known as {what}; give another movement an id of its own"
