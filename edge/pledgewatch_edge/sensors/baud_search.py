"""At which speed a receiver speaks: the usual ones are tried until what comes is right by its checksums.

At a wrong speed a line gives bytes, but no sentence whose checksum is right and no u-blox frame whose sums fit. So a
speed is taken at the second such piece; one may come of chance. Each speed is listened to for LISTEN_S, which is two
cycles of a receiver that speaks every second and some more, and then the next one is tried, round and round: a line
that is silent, and one that says nothing right, may do so at any speed. What was heard while a speed was tried is given
on once it is taken, so no fix is lost for the search.

A speed that was taken is kept, also when the port goes away and comes back, until NOISE_BYTES have come without
anything right in them: then somebody has set the receiver to another speed, and it is searched for again.
"""

from typing import Final

from pledgewatch_edge.framing import LineFramer
from pledgewatch_edge.ubx import UbxFrame, UbxSplitter

USUAL: Final = (9_600, 38_400, 115_200, 4_800, 57_600, 19_200)
"""Most used first: nearly every receiver as sold, u-blox since its tenth series, those that speak often, NMEA 0183."""
LISTEN_S: Final = 2.5
RIGHT_WANTED: Final = 2
NOISE_BYTES: Final = 4_096


class BaudSearch:
    """Takes the bytes of a line as they come, says at which speed to hear it. Times are of one monotonic clock."""

    def __init__(self) -> None:
        self._place = 0
        self._is_found = False
        self._since = 0.0
        self._splitter, self._framer = UbxSplitter(), LineFramer()
        self._held = bytearray()
        self._right = self._noise = 0
        self.rounds = 0  # how often all speeds were tried in vain, ever

    @property
    def baud(self) -> int:
        """The speed at which the line is heard, tried or taken."""
        return USUAL[self._place]

    @property
    def is_found(self) -> bool:
        """Whether it is the right one, as far as is known."""
        return self._is_found

    def opened(self, now: float) -> None:
        """The port was opened: what is heard of the line begins."""
        self._begin()
        self._since = now

    def hear(self, data: bytes, now: float) -> bytes:
        """Hear some bytes, or none (b"") where nothing came; what may be given on of this speed. Where `baud` is
        another afterwards, the line must be set to it."""
        right = self._right_in(data)
        self._right += right
        if self._is_found:
            self._noise = 0 if right else self._noise + len(data)
            if self._noise < NOISE_BYTES:
                return data
            self._is_found = False
            self._next(now)
            return b""
        self._held += data
        if self._right >= RIGHT_WANTED:
            self._is_found, self._noise = True, 0
            held, self._held = bytes(self._held), bytearray()
            return held
        if now - self._since >= LISTEN_S:
            self._next(now)
        del self._held[:-NOISE_BYTES]
        return b""

    def _next(self, now: float) -> None:
        self._place = (self._place + 1) % len(USUAL)
        self.rounds += self._place == 0
        self._begin()
        self._since = now

    def _begin(self) -> None:
        self._splitter, self._framer = UbxSplitter(), LineFramer()
        self._held = bytearray()
        self._right = self._noise = 0

    def _right_in(self, data: bytes) -> int:
        """How many sentences and frames end in these bytes and are right."""
        right = 0
        for piece in self._splitter.feed(data):
            right += 1 if isinstance(piece, UbxFrame) else sum(one.is_sound for one in self._framer.feed(piece))
        return right
