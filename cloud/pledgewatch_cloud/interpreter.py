"""How the interpreter is set where an event loop answers beside threads that work on a large state."""

import gc
import sys

_COLLECT_AFTER = 100_000, 50, 100
_SWITCH_S = 0.001


def attend() -> None:
    """A batch is worked at beside the event loop, which waits so long for the interpreter when it wakes; else 5 ms."""
    sys.setswitchinterval(_SWITCH_S)


def spare_the_collector() -> None:
    """A batch is tens of thousands of small objects that point at nothing behind them: their counts free them. Going
    round them, and round a state that stays, in search of cycles would take longer than the work itself."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
