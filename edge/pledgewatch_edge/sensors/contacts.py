"""Contacts on lines of the kernel's GPIO character device: doors, light, motion, leaks, smoke, as they change.

gpiod (`pip install pledgewatch[gpio]`) asks the kernel for the lines with an edge on either side, and the kernel takes
out what bounces. A change is a sample at once, of all lines; and so is the state of all lines once an interval, so that
a door that nobody opens still proves that somebody looks. Changes are taken as the kernel tells them, one by one, so a
door that was opened and closed before anybody came to read it was open.
"""

import asyncio
import contextlib
import importlib
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_edge.logs import World
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors import SensorSettings, needed
from pledgewatch_wire.reading import STATE_CHANNELS, Cell, Channel, Quality

REOPEN_S: Final = 5.0
CHANGES_AT_ONCE: Final = 64
log = logging.getLogger(__name__)


class Bias(StrEnum):
    """What holds a line where the contact is open."""

    PULL_UP = "pull_up"
    PULL_DOWN = "pull_down"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    """One contact. `line` is its offset on the chip; it says 1 where the line is high, or low where `active_low`. A
    switch between the line and ground that is open while the door is open needs the defaults."""

    line: int
    channel: str
    active_low: bool = False
    bias: Bias = Bias.PULL_UP

    def __post_init__(self) -> None:
        require_within("line", self.line, 0, 1_023)
        if self.channel not in _CHANNELS:
            raise ValueError(f"channel {self.channel!r} is no state; use one of {', '.join(_CHANNELS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsSettings(SensorSettings):
    """The contacts of a device."""

    lines: tuple[LineSettings, ...]
    chip: Path = Path("/dev/gpiochip0")
    interval_s: float = 900.0
    debounce_s: float = 0.05

    def __post_init__(self) -> None:
        needed("gpiod", "gpio", "contacts")
        require_within("interval_s", self.interval_s, 0.05, DAY_S)
        require_within("debounce_s", self.debounce_s, 0.0, 10.0)
        if not self.lines:
            raise ValueError("lines is empty; name a line and its channel")
        for name in ("line", "channel"):
            values = [getattr(one, name) for one in self.lines]
            if len(set(values)) < len(values):
                raise ValueError(f"lines name a {name} twice; give each contact its own")

    @property
    def channels(self) -> frozenset[Channel]:
        """See SensorSettings."""
        return frozenset(_CHANNELS[one.channel] for one in self.lines)

    def sensor(self, clock: AgentClock) -> "ContactsSensor":
        """The contacts."""
        return ContactsSensor(self, clock, GpiodLines)


_CHANNELS: Final = {channel.name.lower(): channel for channel in STATE_CHANNELS}


class Lines(Protocol):
    """Lines that are asked for. Methods raise OSError where the chip is gone."""

    def fileno(self) -> int:
        """Readable when a line has changed."""
        ...

    def changes(self) -> list[tuple[int, bool]]:
        """Take what was told of changes: each line's offset and how it is since then, none where nothing waits."""
        ...

    def states(self) -> list[bool]:
        """How each line is, in the order of the settings."""
        ...

    def close(self) -> None:
        """Give the lines back."""
        ...


class GpiodLines:
    """Lines by gpiod."""

    def __init__(self, settings: ContactsSettings) -> None:
        """Ask for them. Raises OSError."""
        gpiod: Any = importlib.import_module("gpiod")
        line: Any = importlib.import_module("gpiod.line")
        self._offsets = [one.line for one in settings.lines]
        self._active = line.Value.ACTIVE
        self._rising = gpiod.EdgeEvent.Type.RISING_EDGE
        bias = {
            Bias.PULL_UP: line.Bias.PULL_UP,
            Bias.PULL_DOWN: line.Bias.PULL_DOWN,
            Bias.DISABLED: line.Bias.DISABLED,
        }
        config = {
            one.line: gpiod.LineSettings(
                direction=line.Direction.INPUT,
                edge_detection=line.Edge.BOTH,
                bias=bias[one.bias],
                active_low=one.active_low,
                debounce_period=timedelta(seconds=settings.debounce_s),
            )
            for one in settings.lines
        }
        self._request: Any = gpiod.request_lines(str(settings.chip), config=config, consumer="pledgewatch-edge")

    def fileno(self) -> int:
        """See Lines."""
        found: int = self._request.fd
        return found

    def changes(self) -> list[tuple[int, bool]]:
        """See Lines."""
        if not self._request.wait_edge_events(timedelta(0)):
            return []
        told = self._request.read_edge_events(CHANGES_AT_ONCE)
        return [(one.line_offset, one.event_type == self._rising) for one in told]

    def states(self) -> list[bool]:
        """See Lines."""
        return [one == self._active for one in self._request.get_values(self._offsets)]

    def close(self) -> None:
        """See Lines."""
        self._request.release()


class ContactsSensor:
    """The contacts: a sample for each change, and one each interval."""

    name = "contacts"

    def __init__(
        self,
        settings: ContactsSettings,
        clock: AgentClock,
        open_lines: Callable[[ContactsSettings], Lines],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._open_lines = open_lines
        self._monotonic = monotonic
        self._world = World(log, f"contacts at {settings.chip}")

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """Samples for ever; while the chip is not there, one each interval that says so."""
        while True:
            try:
                async with contextlib.aclosing(self._samples_of_lines()) as samples:
                    async for sample in samples:
                        yield sample
            except OSError as error:
                self._world.lost(str(error))
                yield self._sample(None)
            await asyncio.sleep(min(REOPEN_S, self._settings.interval_s))

    async def _samples_of_lines(self) -> AsyncGenerator[Sample, None]:
        """Samples until the chip is gone. Raises OSError."""
        lines, changed, loop = self._open_lines(self._settings), asyncio.Event(), asyncio.get_running_loop()
        try:
            loop.add_reader(lines.fileno(), changed.set)
            places = {one.line: place for place, one in enumerate(self._settings.lines)}
            while True:
                states = lines.states()
                self._world.back()
                yield self._sample(states)
                due = self._monotonic() + self._settings.interval_s
                while self._monotonic() < due:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(max(0.0, due - self._monotonic())):
                            await changed.wait()
                    changed.clear()
                    while some := lines.changes():
                        for line, is_active in some:
                            if states[places[line]] != is_active:
                                states[places[line]] = is_active
                                yield self._sample(states)
        finally:
            loop.remove_reader(lines.fileno())
            lines.close()

    def _sample(self, states: list[bool] | None) -> Sample:
        cells = [
            Cell(_CHANNELS[one.channel], 0 if states is None else int(states[place]), _quality(states))
            for place, one in enumerate(self._settings.lines)
        ]
        return Sample(*self._clock.now(), tuple(sorted(cells)))


def _quality(states: list[bool] | None) -> Quality:
    return Quality.SENSOR_GONE if states is None else Quality.GOOD
