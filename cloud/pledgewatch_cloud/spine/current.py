"""Where a journal stands, for those who read it: the writer knows (writer.py), and so does who follows it
(following.py)."""

import asyncio
from typing import Protocol

from pledgewatch_cloud.decide.state import State


class Turn:
    """What many wait for on the event loop: each `tell` wakes all who took `next` before it, at once."""

    def __init__(self) -> None:
        self.next = asyncio.Event()

    def tell(self) -> None:
        """Wake everybody."""
        told, self.next = self.next, asyncio.Event()
        told.set()


class Current(Protocol):
    """The newest that is known of a journal. `said` is told of entries that led to events or let somebody in or out."""

    said: Turn

    @property
    def state(self) -> State:
        """The state after the last entry."""
        ...

    @property
    def said_entry(self) -> int:
        """The last entry that led to events, or where the journal stood at the start."""
        ...
