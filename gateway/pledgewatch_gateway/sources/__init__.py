"""Sources: what other people's devices say, as values by name.

A source is one place where a site's devices speak: a broker of the LAN, a Modbus device, a serial line. It owns its
piece of the world as a sensor of the edge does: it opens it, loses it, says so once, and opens it again. It knows names
only; which zone, bin and channel a value is of is the roster's to say (`roster.py`).

What cannot be read is not an error of the program: it is told to the listener, which counts it and says it once.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple, Protocol

from pledgewatch_wire.reading import Quality

EVERY_FIELD: Final = "*"
NAME_MAX: Final = 200


class Value(NamedTuple):
    """What one field of one sensor says.

    `value` is in the sensor's own unit; None where there is none, and `quality` then says why (NOT_REPORTED,
    SENSOR_GONE). The field EVERY_FIELD stands for all that the roster knows of the sensor. `at_ms` is the moment that
    the message itself names (Unix milliseconds UTC), None where it names none that can be believed.
    """

    sensor: str
    field: str
    value: Decimal | bool | str | None
    at_ms: int | None = None
    quality: Quality = Quality.GOOD


class MalformedError(ValueError):
    """What was heard cannot be read. A short sentence without what was heard in full."""


class Listener(Protocol):
    """Who takes what sources read. Neither waits, so a source is never held up by what becomes of its values."""

    def hear(self, source: str, values: Sequence[Value]) -> None:
        """Take what was said at one moment."""
        ...

    def complain(self, source: str, about: str, reason: str) -> None:
        """Count something that cannot be read or used. The same reason about the same thing is said once."""
        ...


def gone(sensor: str, field: str = EVERY_FIELD) -> Value:
    """The word that a sensor does not answer."""
    return Value(sensor, field, None, None, Quality.SENSOR_GONE)
