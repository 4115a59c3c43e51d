"""One line for each thing that happened, on one stream, for a person with `grep` and for journald alike.

A line is `time level logger text`, the text ending in `key=value` pairs; the last says of which device it is, as one
process may run many. Nothing is said twice for one cause: what can be lost and come back (a port, a broker, a disk) is
a World, which speaks when it is lost and when it is back.
"""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final, TextIO

# Of the task that speaks, of the tasks that it began and of the threads that they wait for.
_DEVICE: Final = ContextVar("device", default="")


class _OneLine(logging.Formatter):
    """UTC to the millisecond; a traceback is folded into the line."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        said = super().formatMessage(record)
        device = _DEVICE.get()
        return f"{said} device={device}" if device else said

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", " | ")


class LastLines(logging.Handler):
    """The newest lines of the log, for whoever asks from afar. Counts nothing and says nothing itself."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.setFormatter(_one_line())
        self.lines: deque[str] = deque(maxlen=most)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(self.format(record))


def to_stream(stream: TextIO, level: int = logging.INFO) -> None:
    """Send the log to `stream`, replacing whatever was set up before. Called once, at the top of a program."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_one_line())
    logging.basicConfig(handlers=[handler], level=level, force=True)


@contextlib.contextmanager
def about_device(name: str) -> Iterator[None]:
    """What is said within is about this device."""
    token = _DEVICE.set(name)
    try:
        yield
    finally:
        _DEVICE.reset(token)


def _one_line() -> logging.Formatter:
    return _OneLine("%(asctime)s %(levelname)s %(name)s %(message)s")


def leaves(error: BaseException) -> list[BaseException]:
    """The errors in a group of groups, each of which is a cause of its own; of one that is no group, itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


class World:
    """Something outside that may go away and come back. `lost` and `back` may be called as often as one likes."""

    def __init__(self, logger: logging.Logger, name: str) -> None:
        self._logger = logger
        self._name = name
        self._is_lost = False
        self.reason = ""
        """Why it was found lost the last time; nothing while it is there."""

    @property
    def is_lost(self) -> bool:
        """Whether it was lost and has not come back."""
        return self._is_lost

    def lost(self, reason: str) -> None:
        """Say so, if it was not lost already."""
        if not self._is_lost:
            self._logger.warning("%s lost reason=%r", self._name, reason)
        self._is_lost, self.reason = True, reason

    def back(self) -> None:
        """Say so, if it was lost."""
        if self._is_lost:
            self._logger.info("%s back", self._name)
        self._is_lost, self.reason = False, ""
