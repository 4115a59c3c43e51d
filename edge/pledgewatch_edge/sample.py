"""What a sensor hands on: a reading that has no number yet.

The spool gives the number in the transaction that stores the reading, so a number exists only for what is on disk.
"""

from typing import Final, NamedTuple

from pledgewatch_wire.reading import Cell, Channel

FIX_CHANNELS: Final = frozenset(
    {
        Channel.LATITUDE_E7,
        Channel.LONGITUDE_E7,
        Channel.SPEED_MMPS,
        Channel.COURSE_CDEG,
        Channel.ALTITUDE_MM,
        Channel.SATELLITES,
        Channel.HDOP_CENTI,
        Channel.FIX_DIMENSIONS,
    }
)
"""What a receiver may say of one fix."""


class Sample(NamedTuple):
    """A moment (Unix milliseconds UTC), the clock that told it, and cells ascending by channel, never empty.

    `is_urgent`: an alarm or a change of state, which goes first and is never dropped.
    """

    measured_at_ms: int
    clock: int
    cells: tuple[Cell, ...]
    is_urgent: bool = False
