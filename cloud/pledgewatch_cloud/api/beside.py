"""Where what an answer takes is worked out: on the event loop, or in a thread beside it.

A thread has the interpreter in turn with the loop and with the batch that is being taken in. What it works out takes
some three times as long as it costs, and everybody's answers are as much slower for all that while. So what costs a few
milliseconds is worked out on the loop: it is over sooner for all. What may cost more would hold the loop up, and goes
to a thread. How much that is, is told by what it is made of.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from fastapi.concurrency import run_in_threadpool

ASSETS: Final = 2_000
"""So many of which how they stand is looked at again: 12 µs each."""
LOTS: Final = 200
"""So many with their ways through a waterfall: 50 µs each."""

_Found = TypeVar("_Found")


async def worked_out(is_little: bool, call: Callable[[], _Found]) -> _Found:
    """What a call answers, and raises."""
    return call() if is_little else await run_in_threadpool(call)
