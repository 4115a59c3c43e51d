"""What time it is, for those who may ask: the service asks and hands the answer on, `decide` never does."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """The service's clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """The machine's time."""
        return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class CompressedClock:
    """A clock for simulations: it said `start_ms` at `anchor_ms` of machine time and runs `speed` times as fast, up to
    `end_ms` if there is one and as the machine's clock from there."""

    start_ms: int
    speed: float
    anchor_ms: int
    end_ms: int | None = None

    def now_ms(self) -> int:
        """Simulated time."""
        elapsed_ms = time.time_ns() // 1_000_000 - self.anchor_ms
        now_ms = self.start_ms + round(elapsed_ms * self.speed)
        if self.end_ms is None or now_ms <= self.end_ms:
            return now_ms
        return self.end_ms + round((now_ms - self.end_ms) / self.speed)
