"""What is on its way: sent, and not yet committed.

The window bounds how many readings may be in that state. It knows flights, not messages: a flight is a run of readings
that left together, and it has landed when the cloud's `committed` covers all of it, whichever payload carried them.
"""

from bisect import bisect_right
from collections import deque
from typing import NamedTuple

from pledgewatch_wire.codec import Committed


class Flight(NamedTuple):
    """Readings first to last, sent at a moment of the monotonic clock."""

    first: int
    last: int
    sent_at: float


class Window:
    """Flights in the order sent. `limit` readings at most; each flight holds at least one, so flights are bounded."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self._flights: deque[Flight] = deque()

    @property
    def room(self) -> int:
        """How many more readings may be sent."""
        return max(0, self.limit - self.in_flight)

    @property
    def oldest_sent_at(self) -> float | None:
        """When the flight that has been away longest was sent; None where none is."""
        return self._flights[0].sent_at if self._flights else None

    def send(self, first: int, last: int, sent_at: float) -> None:
        """Note a flight."""
        self._flights.append(Flight(first, last, sent_at))
        self.in_flight += last - first + 1

    def land(self, committed: Committed) -> None:
        """Let go of what is committed. A flight of which some is missing stays, and counts what is missing."""
        ranges = sorted(committed.ranges)
        left = [
            (flight, missing)
            for flight in self._flights
            if (missing := _missing(flight, committed.contiguous, ranges)) > 0
        ]
        self._flights = deque(flight for flight, _ in left)
        self.in_flight = sum(missing for _, missing in left)

    def clear(self) -> None:
        """Count nothing as being on its way: the connection is gone, or all is to be sent again."""
        self._flights.clear()
        self.in_flight = 0


def _missing(flight: Flight, contiguous: int, ranges: list[tuple[int, int]]) -> int:
    """How many of a flight's readings are neither up to `contiguous` nor in the ranges (ascending, apart)."""
    first = max(flight.first, contiguous + 1)
    missing = max(0, flight.last - first + 1)
    place = max(0, bisect_right(ranges, (first, 0)) - 1)
    for low, high in ranges[place:]:
        if low > flight.last or not missing:
            break
        missing -= max(0, min(high, flight.last) - max(low, first) + 1)
    return missing
