"""A sensor of another package, so that what it does when it is made, named or measures is its own affair.

Whoever installs a package cannot know what is in it, and the agent starts again by itself: one sensor that ended it
would be a device that never measures anything. So it is made here, where what it raises is a fault with a place
(`--check` says it), and where it could not be made it is made again whenever it is to measure. What it measures is
held against what its package has declared, and what it calls urgent is so as long as it does not do it again and again
(bouts.py).

One thing cannot be kept from the agent: it runs in the agent's event loop, and where it does not give that back, all
stands still. Who that was is said (standstill.py).
"""

import asyncio
import contextlib
import signal
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from pledgewatch_edge.bouts import Bout
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.sample import OWN_WORDS, Sample, Undeclared, is_sound
from pledgewatch_wire.reading import Cell, Channel


class GuestError(Exception):
    """What another package has raised, in words."""


@contextlib.contextmanager
def theirs() -> Iterator[None]:
    """Whatever another package raises within is a GuestError. Ctrl-C is the agent's."""
    try:
        yield
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        raise GuestError(told(error)) from error


def is_ctrl_c(error: BaseException) -> bool:
    """Whether an error may be somebody's Ctrl-C. While the agent runs its event loop takes that (process.py), and what
    looks like one is a package's own."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def told(error: BaseException) -> str:
    """What another package has raised, in words."""
    said = in_words(error, str)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def in_words(thing: object, how: Callable[[Any], str] = repr) -> str:
    """What another package has given or raised, as a text, whatever it does when it is asked for one."""
    try:
        return how(thing)
    except BaseException as error:  # noqa: BLE001 - what another package does is its own affair, also here
        return f"<{type(thing).__name__}, which cannot be said: {type(error).__name__}>"


def channels_of(section: str, package: str, settings: Any) -> frozenset[Channel]:
    """The channels that a sensor of another package may give. Raises ValueError where it does not say so."""
    try:
        with theirs():
            found = frozenset(settings.channels)
    except GuestError as error:
        raise ValueError(f"[{section}] {package} cannot say its channels ({error}); mend the package") from error
    if wrong := [one for one in found if not isinstance(one, Channel)]:
        one = in_words(wrong[0])
        raise ValueError(f"[{section}] {package} names {one} as a channel, which is none; mend the package")
    if own := sorted(found & OWN_WORDS):
        raise ValueError(f"[{section}] {package} names {own[0].name.lower()}, the agent's own word; mend the package")
    return found


class Guest:
    """A sensor of another package. `fault` says why it could not be made; None where it was."""

    def __init__(self, section: str, package: str, settings: Any, clock: AgentClock) -> None:
        self._settings, self._clock = settings, clock
        self._section, self._package = section, package
        self._made: Any = None
        self._channels: frozenset[Channel] = frozenset()
        self._bouts: defaultdict[int, Bout] = defaultdict(Bout)  # by channel
        self.name = section
        self.spooled: Callable[[], int] | None = None  # handed on to one that wants it
        self.fault: str | None = None
        try:
            with theirs():
                self._make()
        except GuestError as error:
            self.fault = f"[{section}] is a sensor of {package}, which cannot be made: {error}; mend the package"

    def _make(self) -> Any:
        made = self._settings.sensor(self._clock)
        name = made.name
        if not isinstance(name, str):
            raise TypeError(f"its name is {in_words(name)}, which is no text")
        if not callable(getattr(made, "samples", None)):
            raise TypeError("it has no samples()")
        self._channels = channels_of(self._section, self._package, self._settings)
        self.name, self._made = name, made
        return made

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """See Sensor. What it raises is an Exception, whatever it was, or a cancellation, whosever it is."""
        is_at_ours = False  # a GeneratorExit is whose turn it is: ours to be closed, or theirs to raise
        try:
            made = self._made or self._make()
            if hasattr(made, "spooled"):
                made.spooled = self.spooled
            async with contextlib.aclosing(made.samples()) as samples:
                async for sample in samples:
                    held = self._held(sample)
                    is_at_ours = True
                    yield held
                    is_at_ours = False
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as error:
            if is_ctrl_c(error) or (is_at_ours and isinstance(error, GeneratorExit)):
                raise
            raise GuestError(told(error)) from error

    def _held(self, sample: Any) -> Sample:
        """A sample as one of the agent's own, or Undeclared. One that is not sound as it came."""
        if not is_sound(sample):
            unsound: Sample = sample
            return unsound
        measured_at_ms, clock, cells, is_urgent = sample
        own = tuple(Cell(Channel(channel), value, quality) for channel, value, quality in cells)
        if not self._channels.issuperset(cell.channel for cell in own):
            return Undeclared(measured_at_ms, clock, own, bool(is_urgent))
        return Sample(measured_at_ms, clock, own, bool(is_urgent) and self._is_news(own, time.monotonic()))

    def _is_news(self, cells: tuple[Cell, ...], now_s: float) -> bool:
        """Whether an urgent sample is not one too many."""
        bouts = [(self._bouts[channel], abs(value)) for channel, value, _ in cells]
        is_news = sum(bout.is_news(size, now_s) for bout, size in bouts) > 0  # each is to hear of it
        for bout, size in bouts if is_news else ():
            bout.goes(size, now_s)
        return is_news
