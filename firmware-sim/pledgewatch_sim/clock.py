"""Simulated time: runs from a start, some times as fast as the machine's clock, to an end if there is one."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SimulationClock:
    """At `anchor_ms` of real time it said `start_ms`; it runs `speed` (above 0) times as fast, from `end_ms` on as fast
    as the machine's clock.

    All in Unix milliseconds UTC. The anchor is wall-clock time, so that another process can run by the same clock.
    Raises ValueError for a speed that is not above 0.
    """

    start_ms: int
    speed: float
    anchor_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    end_ms: int | None = None
    real_now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"speed is {self.speed}; simulated time runs forward only")

    def now_ms(self) -> int:
        """Simulated time."""
        now_ms = self.start_ms + round((self.real_now_ms() - self.anchor_ms) * self.speed)
        if self.end_ms is None or now_ms <= self.end_ms:
            return now_ms
        return self.end_ms + round((now_ms - self.end_ms) / self.speed)

    async def sleep_until(self, at_ms: int) -> None:
        """Sleep until simulated time has come to `at_ms`."""
        # Again until it has: the machine's clock may be set back meanwhile, and a sleep may end a moment early.
        while (rest_ms := at_ms - self.now_ms()) > 0:
            await asyncio.sleep(rest_ms / self.speed / 1_000)
