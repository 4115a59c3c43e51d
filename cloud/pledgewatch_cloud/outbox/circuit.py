"""An endpoint's circuit: who is away is not knocked at by every facility's message at once.

    state    what happens                                        then
    closed   an answer that is not about the endpoint            closed, nothing counted
    closed   a failure about the endpoint, fewer than the most   closed, one more counted
    closed   the last that is borne in a row                     open for PAUSE_FIRST_S
    open     the pause is over and an attempt begins             probing
    open     a failure of an attempt that had begun before       open
    open     an answer to one                                    closed
    probing  an answer                                           closed
    probing  a failure about the endpoint                        open for twice as long, at most PAUSE_MAX_S

Any answer closes it, also one that refuses the message: somebody is there. While it is open or probing, messages wait
and use up none of their attempts. The probe is an ordinary attempt of a message that is due; where none is, the message
that waits for the nearest attempt is tried before its time, and if that fails nothing is noted of it, so an outage is
over within PAUSE_MAX_S of its end however long the schedule's pauses have become. An endpoint that asks to be left
alone (`Retry-After` of 429 and 503) is not probed before then: for it nothing is due.

After an outage, an open circuit of OUTAGE_S or more, what waits for its next attempt need not wait on: see `Moved`.
A short one does not count as that, or a storm of errors would use up the attempts of what has bad luck.
"""

from enum import StrEnum
from typing import NamedTuple

PAUSE_FIRST_S = 5.0
PAUSE_MAX_S = 300.0
OUTAGE_S = 600.0


class CircuitState(StrEnum):
    """Whether attempts are made as messages are due, not at all, or one to see."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Circuit(NamedTuple):
    """A circuit. `failures`: how many about the endpoint came in a row; `opened_at_ms`: since when it is not closed."""

    state: CircuitState = CircuitState.CLOSED
    failures: int = 0
    opened_at_ms: int = 0
    pause_ms: int = 0
    until_ms: int = 0

    def room(self, now_ms: int, free: int) -> int:
        """How many attempts may begin, where `free` would be possible."""
        if self.state is CircuitState.CLOSED:
            return free
        return int(self.state is CircuitState.OPEN and now_ms >= self.until_ms)

    def begun(self) -> "Circuit":
        """An attempt begins."""
        return self._replace(state=CircuitState.PROBING) if self.state is CircuitState.OPEN else self

    def not_begun(self) -> "Circuit":
        """What was begun came to no answer, for reasons on our side."""
        return self._replace(state=CircuitState.OPEN) if self.state is CircuitState.PROBING else self


class Moved(NamedTuple):
    """A circuit after an attempt, and whether an outage has ended with it."""

    circuit: Circuit
    is_outage_over: bool = False


def after(circuit: Circuit, now_ms: int, *, failed: bool, failures_max: int, scale: float) -> Moved:
    """The circuit after an attempt came to its end; `failed`: by a failure about the endpoint. `scale` shortens every
    pause, for simulations."""
    if not failed:
        is_outage_over = (
            circuit.state is not CircuitState.CLOSED and now_ms - circuit.opened_at_ms >= OUTAGE_S * 1_000 * scale
        )
        return Moved(Circuit(), is_outage_over)
    failures = circuit.failures + 1
    if circuit.state is CircuitState.OPEN or (circuit.state is CircuitState.CLOSED and failures < failures_max):
        return Moved(circuit._replace(failures=failures))
    opened_at_ms, pause_ms = now_ms, round(PAUSE_FIRST_S * 1_000 * scale)
    if circuit.state is CircuitState.PROBING:
        opened_at_ms = circuit.opened_at_ms
        pause_ms = min(2 * circuit.pause_ms, round(PAUSE_MAX_S * 1_000 * scale))
    return Moved(Circuit(CircuitState.OPEN, failures, opened_at_ms, pause_ms, now_ms + pause_ms))
