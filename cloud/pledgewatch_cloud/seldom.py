"""Lines of the log that strangers can bring about: the first is written at once, and after it one a minute at most.

    said ─► written; within EVERY_S after it: counted ─► at the end one line, the last of them with how many there were

So a log tells that it happens and how often, and nobody can fill a disk with it.
"""

import asyncio
import logging

EVERY_S = 60.0


class Seldom:
    """One kind of line. `say` may be called as often as one likes, on an event loop."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._more = 0
        self._text = ""
        self._given: tuple[object, ...] = ()
        self._is_resting = False
        self._is_told = False

    def say(self, text: str, *given: object) -> None:
        """Write it, or count it."""
        if self._is_resting:
            self._more += 1
            self._text, self._given = text, given
        else:
            self._write(text, *given)

    def over(self, text: str) -> None:
        """It is so no more: said where that it was so has been written since."""
        if self._is_told:
            self._is_told = False
            self._logger.info("%s", text)

    def _write(self, text: str, *given: object) -> None:
        self._logger.warning(text, *given)
        self._is_resting = self._is_told = True
        asyncio.get_running_loop().call_later(EVERY_S, self._rested)

    def _rested(self) -> None:
        self._is_resting = False
        if self._more:
            more, self._more = self._more, 0
            self._write(f"{self._text} (the last of %d within %g s)", *self._given, more, EVERY_S)
