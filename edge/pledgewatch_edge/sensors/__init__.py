"""Sensors: what is outside, as samples.

A sensor owns its piece of the world: it opens it, loses it, says so once, and opens it again. What it cannot measure
is a sample with a quality code, never an exception and never an invented value.

A kind of sensor is one module here: the settings of its section in a configuration, and the sensor that they describe.
A program's table of sensors is the rows of its settings whose type is a SensorSettings: `gps: GpsSettings | None` is
all that the agent knows of receivers. Another package's sensor is a row as soon as a configuration names its section:
its SensorSettings is an entry point of the group ENTRY_POINTS, and the entry point's name is the section's. Whatever
such a package does, the agent outlives it (guest.py).

What a sensor needs that not every device has (a library, a bus) it asks for when it is configured, by `needed`, and not
when this package is imported.
"""

import dataclasses
import importlib
import inspect
import typing
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Final, Protocol, runtime_checkable

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.guest import Guest, GuestError, channels_of, theirs
from pledgewatch_edge.sample import Sample
from pledgewatch_wire.reading import TEMPERATURE_CHANNELS, Channel

ENTRY_POINTS: Final = "pledgewatch.sensors"
_PACKAGE: Final = "package"  # a row's, where it is of another one


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

    @property
    @abstractmethod
    def channels(self) -> frozenset[Channel]:
        """The channels that it may give. No two sensors of a device give the same."""

    @abstractmethod
    def sensor(self, clock: AgentClock) -> Sensor:
        """The sensor that this section describes, not yet measuring."""


@runtime_checkable
class WatchesSpool(Protocol):
    """A sensor that tells of the station's own spool. `spooled` says how many readings wait there; None before it is
    open."""

    spooled: Callable[[], int] | None


def needed(module: str, extra: str, section: str) -> ModuleType:
    """A library that a section of the configuration needs. Raises ValueError where it is not installed: what to do."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ValueError(f"[{section}] needs {module}; install it with pip install 'pledgewatch[{extra}]'") from None


def channel_named(name: str) -> Channel:
    """A channel by its name in small letters. Raises ValueError where there is none."""
    found = Channel.__members__.get(name.upper()) if name.islower() else None
    if found is None:
        raise ValueError(f"channel {name!r} is none; there are {', '.join(one.name.lower() for one in Channel)}")
    return found


def temperature_channel(name: str) -> Channel:
    """A channel of temperatures by its name. Raises ValueError where it is none."""
    names = {one.name.lower(): one for one in TEMPERATURE_CHANNELS}
    if name not in names:
        raise ValueError(f"temperature {name!r} is no channel for one; use one of {', '.join(names)}")
    return names[name]


def with_sections_of_others(settings: type, named: typing.Iterable[str]) -> type:
    """A table of sensors with rows for those of `named` that other packages have as entry points. Raises ValueError
    where such a package cannot be loaded, or gives something else than a sensor's settings."""
    own = {field.name for field in dataclasses.fields(settings)}
    rows: list[Any] = []
    for one in entry_points(group=ENTRY_POINTS):
        if one.name in own or one.name not in named:
            continue
        try:
            with theirs():
                found = one.load()
                is_settings = isinstance(found, type) and issubclass(found, SensorSettings)
        except GuestError as error:
            raise ValueError(f"[{one.name}] is a sensor of {one.value}, which cannot be loaded: {error}") from error
        if not is_settings:
            raise ValueError(f"[{one.name}] is {one.value}, which is no SensorSettings; mend the package")
        if not dataclasses.is_dataclass(found) or inspect.isabstract(found):
            is_not = "lacks something of SensorSettings" if dataclasses.is_dataclass(found) else "is no dataclass"
            raise ValueError(f"[{one.name}] is {one.value}, which {is_not}; mend the package")
        row = dataclasses.field(default=None, metadata={_PACKAGE: one.value})
        kind: Any = found
        rows.append((one.name, kind | None, row))
    if not rows:
        return settings
    return dataclasses.make_dataclass(settings.__name__, rows, bases=(settings,), frozen=True, kw_only=True)


def clashes(settings: Any) -> list[str]:
    """A sentence for each channel that two sections would give."""
    found: list[str] = []
    givers: dict[Channel, str] = {}
    for section in sections(type(settings)):
        for channel in sorted(given_by(settings, section)):
            if channel in givers:
                found.append(
                    f"[{givers[channel]}] and [{section}] would both give {channel.name.lower()}; "
                    "choose another channel in one of them, or leave one out"
                )
            givers[channel] = section
    return found


def given_by(settings: Any, section: str) -> frozenset[Channel]:
    """The channels that a section may give; none where it is left out. Raises ValueError where another package cannot
    say."""
    one: SensorSettings | None = getattr(settings, section)
    if one is None:
        return frozenset()
    package = _package(settings, section)
    return one.channels if package is None else channels_of(section, package, one)


def _package(settings: Any, section: str) -> str | None:
    """Whose sensor a section describes, if it is another package's."""
    found: str | None = type(settings).__dataclass_fields__[section].metadata.get(_PACKAGE)
    return found


def sections(settings: type) -> list[str]:
    """The sections of a table of sensors: the rows of a dataclass that hold a sensor's settings or None."""
    return [
        name
        for name, hint in typing.get_type_hints(settings).items()
        if any(isinstance(one, type) and issubclass(one, SensorSettings) for one in typing.get_args(hint))
    ]


def sensors_of(settings: Any, clock: AgentClock) -> list[Sensor]:
    """The sensors that a configuration names, in the order of its table."""
    found: list[Sensor] = []
    for field in dataclasses.fields(settings):
        section = getattr(settings, field.name)
        if isinstance(section, SensorSettings):
            package = _package(settings, field.name)
            found.append(section.sensor(clock) if package is None else Guest(field.name, package, section, clock))
    return found


def faults_of(sensors: typing.Iterable[Sensor]) -> list[str]:
    """A sentence for each sensor of another package that could not be made."""
    return [one.fault for one in sensors if isinstance(one, Guest) and one.fault is not None]
