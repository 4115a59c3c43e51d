"""Sensors: what is outside, as samples.

A sensor owns its piece of the world: it opens it, loses it, says so once, and opens it again. What it cannot measure
is a sample with a quality code, never an exception and never an invented value.

A kind of sensor is one module here: the settings of its section in a configuration, and the sensor that they describe.
A program's table of sensors is the rows of its settings whose type is a SensorSettings: `gps: GpsSettings | None` is
all that the agent knows of receivers.
"""

import dataclasses
import typing
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from pledgewatch_edge.clock import AgentClock
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


class SensorSettings(ABC):
    """The section of one sensor. What it says needs no device to be read; the sensor opens its device itself."""

    __slots__ = ()

    @abstractmethod
    def sensor(self, clock: AgentClock) -> Sensor:
        """The sensor that this section describes, not yet measuring."""


def sections(settings: type) -> list[str]:
    """The sections of a table of sensors: the rows of a dataclass that hold a sensor's settings or None."""
    return [
        name
        for name, hint in typing.get_type_hints(settings).items()
        if any(isinstance(one, type) and issubclass(one, SensorSettings) for one in typing.get_args(hint))
    ]


def sensors_of(settings: Any, clock: AgentClock) -> list[Sensor]:
    """The sensors that a configuration names, in the order of its table."""
    named = (getattr(settings, field.name) for field in dataclasses.fields(settings))
    return [section.sensor(clock) for section in named if isinstance(section, SensorSettings)]
