"""Contacts at the seam where the agent asks the kernel for its lines: what gpiod would hand on, and when.

A pipe is what the kernel's file descriptor is: readable while changes wait.
"""

import errno
import os
from collections import deque
from collections.abc import Mapping


class Contacts:
    """Lines of a chip, by offset. `open_lines` is called as the agent's own opener is."""

    def __init__(self, states: Mapping[int, bool]) -> None:
        self.states = dict(states)
        self.is_plugged = True
        self.open_now = 0
        self._opened: list[_Lines] = []

    def open_lines(self, settings: object) -> "_Lines":
        """The lines that settings name. Raises OSError where the chip is not there."""
        if not self.is_plugged:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/dev/gpiochip0")
        lines = _Lines(self, [one.line for one in settings.lines])  # type: ignore[attr-defined]
        self._opened.append(lines)
        self.open_now += 1
        return lines

    def set(self, line: int, *, is_active: bool) -> None:
        """A contact opens or closes."""
        if self.states[line] != is_active:
            self.states[line] = is_active
            for one in self._opened:
                one.tell(line, is_active=is_active)

    def unplug(self) -> None:
        """The chip is gone: whoever has lines of it finds out when it looks."""
        self.is_plugged = False
        for one in self._opened:
            one.wake()

    def closed(self, lines: "_Lines") -> None:
        """Lines are given back."""
        self._opened.remove(lines)
        self.open_now -= 1


class _Lines:
    def __init__(self, contacts: Contacts, offsets: list[int]) -> None:
        self._contacts = contacts
        self._offsets = offsets
        self._told: deque[tuple[int, bool]] = deque()
        self._reader, self._writer = os.pipe()

    def tell(self, line: int, *, is_active: bool) -> None:
        if line in self._offsets:
            self._told.append((line, is_active))
            self.wake()

    def wake(self) -> None:
        os.write(self._writer, b"!")

    def fileno(self) -> int:
        return self._reader

    def changes(self) -> list[tuple[int, bool]]:
        self._require_there()
        if not self._told:
            return []
        os.read(self._reader, len(self._told))
        told = list(self._told)
        self._told.clear()
        return told

    def states(self) -> list[bool]:
        self._require_there()
        return [self._contacts.states[one] for one in self._offsets]

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)
        self._contacts.closed(self)

    def _require_there(self) -> None:
        if not self._contacts.is_plugged:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
