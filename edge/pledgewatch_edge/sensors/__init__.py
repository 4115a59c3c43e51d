"""Sensors: what is outside, as samples.

A sensor owns its piece of the world: it opens it, loses it, says so once, and opens it again. What it cannot measure
is a sample with a quality code, never an exception and never an invented value.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from pledgewatch_edge.sample import Sample


class Sensor(Protocol):
    """One source of samples.

    `name` tells it apart in the log. `samples` yields for ever, one sample at a time, in the order measured, and only
    ends by being closed or cancelled; then everything it has opened is closed. It may wait as long as it likes between
    samples, never blocks the event loop, and may be called again after it was closed.
    """

    @property
    def name(self) -> str:
        """The sensor's name in the log."""
        ...

    def samples(self) -> AsyncGenerator[Sample, None]:
        """All samples from now on."""
        ...
