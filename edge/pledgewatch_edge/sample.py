"""What a sensor hands on: a reading that has no number yet.

The spool gives the number in the transaction that stores the reading, so a number exists only for what is on disk.
"""

from typing import Final, NamedTuple

from pledgewatch_wire.codec import LAST_CLOCK, MAX_TIME_MS, MIN_TIME_MS, VALUE_LIMIT
from pledgewatch_wire.ended import ENDED_CHANNELS
from pledgewatch_wire.reading import KNOWN_CHANNELS_MASK, NO_VALUE_FROM, Cell, Channel

_LAST_CHANNEL: Final = max(Channel)
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
OWN_WORDS: Final = frozenset(
    {
        *(Channel.THINNED_READINGS, Channel.REFUSED_READINGS, Channel.BROKEN_READINGS),
        *(Channel.FLAPPING, Channel.FLAPS, Channel.CLOCK_UNCERTAINTY_MS),
        *ENDED_CHANNELS,
    }
)
"""What the agent says of its own readings, and no sensor may say in its place."""


class Sample(NamedTuple):
    """A moment (Unix milliseconds UTC), the clock that told it, and cells ascending by channel, never empty.

    `is_urgent`: an alarm or a change of state, which goes first and is never dropped.
    """

    measured_at_ms: int
    clock: int
    cells: tuple[Cell, ...]
    is_urgent: bool = False


class Undeclared(Sample):
    """A sample of another package's sensor, with a channel that this has not declared: another's to give, perhaps."""

    __slots__ = ()


def is_sound(sample: Sample) -> bool:
    """Whether a sample is what a payload can hold (pledgewatch_wire.codec): what is not could be written, and then not
    read any more, with all that stands in its frame. A sensor of another package may hand on anything; one that is
    Undeclared is not sound either."""
    if isinstance(sample, Undeclared):
        return False
    try:
        moment, clock, cells, _ = sample
        return _is_whole(moment, MIN_TIME_MS, MAX_TIME_MS) and _is_whole(clock, 0, LAST_CLOCK) and _are_sound(cells)
    except (TypeError, ValueError):  # it has not the shape of one
        return False


def _are_sound(cells: tuple[Cell, ...]) -> bool:
    before = -1
    for channel, value, quality in cells:
        if not _is_whole(channel, before + 1, _LAST_CHANNEL) or not 1 << channel & KNOWN_CHANNELS_MASK:
            return False
        if not _is_whole(value, 1 - VALUE_LIMIT, VALUE_LIMIT - 1) or not _is_whole(quality, 0, 255):
            return False
        if quality >= NO_VALUE_FROM and value != 0:
            return False
        before = channel
    return before >= 0


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and least <= value <= most
