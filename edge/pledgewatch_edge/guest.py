"""A sensor of another package, so that what it does when it is made, named or measures is its own affair.

Whoever installs a package cannot know what is in it, and the agent starts again by itself: one sensor that ended it
would be a device that never measures anything. So it is made here, where what it raises is a fault with a place
(`--check` says it), and where it could not be made it is made again whenever it is to measure.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.sample import OWN_WORDS, Sample
from pledgewatch_wire.reading import Channel

CANNOT: Final = (Exception, SystemExit)
"""What another package may raise that is its own affair. Ctrl-C and a cancellation are the agent's."""


def told(error: BaseException) -> str:
    """What another package has raised, in words."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def channels_of(section: str, package: str, settings: Any) -> frozenset[Channel]:
    """The channels that a sensor of another package may give. Raises ValueError where it does not say so."""
    try:
        found = frozenset(settings.channels)
    except CANNOT as error:
        raise ValueError(f"[{section}] {package} cannot say its channels ({told(error)}); mend the package") from error
    if wrong := [one for one in found if not isinstance(one, Channel)]:
        raise ValueError(f"[{section}] {package} names {wrong[0]!r} as a channel, which is none; mend the package")
    if own := sorted(found & OWN_WORDS):
        raise ValueError(f"[{section}] {package} names {own[0].name.lower()}, the agent's own word; mend the package")
    return found


class Guest:
    """A sensor of another package. `fault` says why it could not be made; None where it was."""

    def __init__(self, section: str, package: str, settings: Any, clock: AgentClock) -> None:
        self._settings, self._clock = settings, clock
        self._made: Any = None
        self.name = section
        self.spooled: Callable[[], int] | None = None  # handed on to one that wants it
        self.fault: str | None = None
        try:
            self._make()
        except CANNOT as error:
            self.fault = f"[{section}] is a sensor of {package}, which cannot be made: {told(error)}; mend the package"

    def _make(self) -> Any:
        made = self._settings.sensor(self._clock)
        name = made.name
        if not isinstance(name, str):
            raise TypeError(f"its name is {name!r}, which is no text")
        if not callable(getattr(made, "samples", None)):
            raise TypeError("it has no samples()")
        self.name, self._made = name, made
        return made

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """See Sensor. What it raises is an Exception, whatever it was."""
        try:
            made = self._made or self._make()
            if hasattr(made, "spooled"):
                made.spooled = self.spooled
            async with contextlib.aclosing(made.samples()) as samples:
                async for sample in samples:
                    yield sample
        except SystemExit as error:
            raise RuntimeError(told(error)) from error
