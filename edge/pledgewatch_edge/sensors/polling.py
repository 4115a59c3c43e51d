"""What is asked again and again: moments at an interval, and what a call in a thread found at each."""

import asyncio
from collections.abc import AsyncGenerator, Callable


async def moments(interval_s: float, monotonic: Callable[[], float]) -> AsyncGenerator[None, None]:
    """The first at once, then one each interval. One that was slept through is not made up for."""
    due = monotonic()
    while True:
        yield
        now = monotonic()
        due = max(due + interval_s, now)
        await asyncio.sleep(due - now)
