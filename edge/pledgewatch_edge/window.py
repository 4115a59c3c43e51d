"""What is on its way: sent, and not yet committed.

The window bounds how many readings may be in that state, for each lane by itself, so that a backlog that waits for the
cloud's word keeps no alarm back. It knows flights, not messages: a flight is a run of readings that left together, and
it has landed when the cloud's `committed` covers all of it, whichever payload carried them.

Messages of one connection come in order. So a flight that was sent before one that has landed, and has not landed
itself, was lost. What the cloud does not have because it was not sent yet is no flight, and no loss. A word that cannot
name all that the cloud has shows one thing to be missing, what follows on `contiguous`: only that can be a loss then;
and where that was dropped, all of its stretch, for the cloud has heard what tells of it and could not take it.

A declaration of what was dropped is on its way as well, by itself, whichever payload has taken its reading: it has
landed when `contiguous` has passed it. The cloud keeps none that it cannot take yet, so one that was sent before
something that has landed, and beyond which `contiguous` is not, has to come again, whatever the word names.

What the cloud has said that it has is not sent again before `clear`, though the spool cannot tell whether it is ours:
it has no mark of a reading that was dropped. To let go of it is the spool's to decide.
"""

from bisect import bisect_right, insort
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

from pledgewatch_wire.codec import MAX_SEQUENCE, Committed
from pledgewatch_wire.marks import Marks


class Lane(IntEnum):
    """Ways out, the first first."""

    URGENT = 0
    LIVE = 1
    BACKLOG = 2


class Flight(NamedTuple):
    """Readings first to last, sent at a moment of the monotonic clock.

    `missing` of them are not known to be committed. `tells`: that readings up to it were dropped, which the cloud has
    heard when it has everything up to there; 0 for nothing.
    """

    lane: Lane
    first: int
    last: int
    sent_at: float
    missing: int
    tells: int = 0

    @property
    def weight(self) -> int:
        """How many readings it counts for."""
        return max(1, self.missing)


class Window:
    """Flights in the order sent. `limit` readings for each lane; each flight counts for one at least, so flights are
    bounded."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._flights: list[Flight] = []
        self._in_flight = [0 for _ in Lane]
        self._spans: list[tuple[int, int]] = []  # of flights of which some is missing, ascending; no reading is in two
        self._tells: set[int] = set()  # up to where flights tell what was dropped
        self._said = Marks()  # what the cloud has said that it has

    def in_flight(self, lane: Lane) -> int:
        """How many readings of a lane are on their way."""
        return self._in_flight[lane]

    def room(self, lane: Lane) -> int:
        """How many more readings of a lane may be sent."""
        return max(0, self.limit - self._in_flight[lane])

    @property
    def oldest_sent_at(self) -> float | None:
        """When the flight that has been away longest was sent; None where none is."""
        return self._flights[0].sent_at if self._flights else None

    def tells(self, sequence: int) -> bool:
        """Whether it is on its way, or known to the cloud by what it said, what was dropped up to a sequence."""
        return sequence in self._tells or sequence <= self._said.contiguous

    def carries(self, sequence: int) -> bool:
        """Whether a reading is on its way, or there by what the cloud said."""
        if sequence in self._said:
            return True
        place = bisect_right(self._spans, (sequence + 1, 0)) - 1
        return place >= 0 and self._spans[place][0] <= sequence <= self._spans[place][1]

    def free_of(self, first: int, last: int) -> list[tuple[int, int]]:
        """What of first to last is neither on its way nor there by what the cloud said, as (first, last), ascending."""
        found: list[tuple[int, int]] = []
        for begin, end in self._said.missing_of(first, last):
            after = begin
            place = max(0, bisect_right(self._spans, (begin, 0)) - 1)
            for low, high in islice(self._spans, place, None):
                if low > end:
                    break
                if after < low:
                    found.append((after, low - 1))
                after = max(after, high + 1)
            if after <= end:
                found.append((after, end))
        return found

    def send(self, flight: Flight) -> None:
        """Note a flight; none of its readings is on its way already, but where it tells and none is missing."""
        self._flights.append(flight)
        self._in_flight[flight.lane] += flight.weight
        if flight.missing:
            insort(self._spans, (flight.first, flight.last))
        if flight.tells:
            self._tells.add(flight.tells)

    def land(self, committed: Committed, newest: int = MAX_SEQUENCE) -> list[Flight]:
        """Let go of what is committed; which flights were lost. They stay until they are dropped.

        A flight of which some is missing stays, and counts what is missing. A range that goes beyond the newest reading
        is somebody else's.
        """
        ranges = (one for one in committed.ranges if one[1] <= newest)
        self._said = marks = self._said.add_all([(1, committed.contiguous), *ranges])
        left: list[Flight] = []
        before_newest = 0  # so many of those that are left were sent before the newest that has landed
        for flight in self._flights:
            missing = min(flight.missing, missing_of(flight.first, flight.last, marks))
            if missing or flight.tells > marks.contiguous:
                left.append(flight._replace(missing=missing))
            if missing < flight.missing:
                before_newest = len(left)
        self._hold(left)
        lost = left[:before_newest]
        if committed.names_all:
            return lost
        after = marks.contiguous
        told = 0  # up to where all is lost, as what follows on `contiguous` was dropped, and that was told
        if not self.carries(after + 1):
            told = min((one.tells for one in lost if one.tells > after), default=0)
        return [one for one in lost if one.first <= max(after + 1, told) or one.tells > after]

    def drop(self, lost: list[Flight]) -> None:
        """Count flights as never sent."""
        self._hold([one for one in self._flights if one not in lost])

    def clear(self) -> None:
        """Count nothing as being on its way, or as said: the connection is gone, or all is to be sent again."""
        self._said = Marks()
        self._hold([])

    def _hold(self, flights: list[Flight]) -> None:
        self._flights = flights
        self._in_flight = [sum(one.weight for one in flights if one.lane == lane) for lane in Lane]
        self._spans = sorted((one.first, one.last) for one in flights if one.missing)
        self._tells = {one.tells for one in flights if one.tells}


def missing_of(first: int, last: int, marks: Marks) -> int:
    """How many of readings first to last are not in the marks."""
    first = max(first, marks.contiguous + 1)
    missing = max(0, last - first + 1)
    place = max(0, bisect_right(marks.ranges, (first, 0)) - 1)
    for low, high in marks.ranges[place:]:
        if low > last or not missing:
            break
        missing -= max(0, min(high, last) - max(low, first) + 1)
    return missing
