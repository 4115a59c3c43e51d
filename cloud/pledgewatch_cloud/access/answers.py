"""Answers that are given again: what was answered of a state is the answer for as long as that is the state.

    (sight, name) ─► answer, of the one state that stands; with the next state all of them are gone

An answer belongs to the sight that it was made by. A sight is one viewer's, and is made anew whenever what they may see
has changed or has ended; so nobody is given what was made for another, nor what was theirs once.

Reads end in another order than they began: one that was made of a state of before is not kept, and takes nothing of the
newer one away.
"""

from typing import Generic, TypeVar

from pledgewatch_cloud.decide.access.visible import Sight
from pledgewatch_cloud.decide.state import State

BYTES_MAX = 2**25
"""What is kept at once, of all viewers; an answer beyond that is made anew each time."""
_Answer = TypeVar("_Answer")


class Answers(Generic[_Answer]):
    """Answers of one state, by whose sight made them and by what was asked."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._kept: dict[tuple[Sight, str], _Answer] = {}
        self._bytes = 0

    def find(self, state: State, sight: Sight, name: str) -> _Answer | None:
        """What was answered of this state already; None where nothing was."""
        return self._kept.get((sight, name)) if state is self._state else None

    def keep(self, state: State, sight: Sight, name: str, answer: _Answer, size: int) -> None:
        """Keep an answer of so many bytes, with all that is held for it, unless an answer of a newer state is kept."""
        if state is not self._state:
            if self._state is not None and state.entry < self._state.entry:
                return
            self._state, self._kept, self._bytes = state, {}, 0
        if (sight, name) not in self._kept and self._bytes + size <= BYTES_MAX:
            self._kept[sight, name] = answer
            self._bytes += size
