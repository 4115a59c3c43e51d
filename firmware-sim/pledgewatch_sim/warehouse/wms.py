"""The stock system: what people have scanned, in the order in which it was booked. It knows nothing else.

A booking has a number, which a reader of the feed goes on from, and an id, which stays. `at_ms` is when it happened,
`booked_ms` when it was keyed in, which may be a day later. What was booked is never changed: a later booking cancels
it.
"""

from typing import NamedTuple

SIGNS = {"received": 1, "returned": 1, "sold": -1, "shipped": -1}
"""How each kind changes what is in its bin. This system has no others: goods stay in their bin until they leave."""
UNIT = "EA"


class Booking(NamedTuple):
    """One movement of stock as it was booked. A `kind` that is empty takes another back (`cancels`) and says no more;
    `number` is given by the system."""

    kind: str
    at_ms: int
    booked_ms: int
    owner: str = ""
    sku: str = ""
    bin: str = ""
    pieces: int = 0
    lot: str = ""
    cancels: str = ""
    number: int = 0

    @property
    def id(self) -> str:
        """What it is known by."""
        return f"M-{self.number:06d}"


class StockSystem:
    """All bookings, by number from 1, and what they add up to."""

    def __init__(self) -> None:
        self._bookings: list[Booking] = []
        self._on_hand: dict[tuple[str, str, str], int] = {}

    def book(self, booking: Booking) -> Booking:
        """Book it under the next number. Returns it with that."""
        kept = booking._replace(number=self.newest + 1)
        if kept.cancels:
            self._count(self._bookings[int(kept.cancels.removeprefix("M-")) - 1], -1)
        else:
            self._count(kept, 1)
        self._bookings.append(kept)
        return kept

    def after(self, number: int, limit: int) -> list[Booking]:
        """The bookings after a number, in order."""
        return self._bookings[max(0, number) : max(0, number) + limit]

    @property
    def newest(self) -> int:
        """The number of the newest booking, 0 where there is none."""
        return len(self._bookings)

    def on_hand(self) -> dict[tuple[str, str, str], int]:
        """How many pieces it believes to be there, by owner, bin and SKU, of all that was booked."""
        return {key: pieces for key, pieces in sorted(self._on_hand.items()) if pieces}

    def _count(self, booking: Booking, sign: int) -> None:
        key = booking.owner, booking.bin, booking.sku
        self._on_hand[key] = self._on_hand.get(key, 0) + sign * SIGNS[booking.kind] * booking.pieces
