"""In whose hands what an alert about no goods is about is: who can mend it.

A silent device is for its operator, what an asset as a whole does for the operators of the devices there, and at a
warehouse's site for the warehouse, too. Causes that are in the same hands share an alert and no others do
(alert_half.py), so what one of them does about it moves nothing of another's, and nobody reads in theirs what is
another's.
"""

from pledgewatch_cloud.decide.book import Book


def hands_of(book: Book, asset: str, device: str) -> frozenset[str]:
    """The parties who can mend what a cause about no goods is about, of those that the book has: the operator of its
    device, or where it names none (empty) of those at the asset that are not retired, and the warehouse whose site the
    asset is at."""
    fitted = [one.device for one in book.devices_of_asset(asset) if not one.retired]
    about = map(book.installations.get, [device] if device else fitted)
    found = {one.operator for one in about if one is not None}
    found |= {book.zones[asset][0].id} if asset in book.zones else set()
    found |= {one.id for one in book.warehouses.values() if asset in one.gates}
    return frozenset(found)
