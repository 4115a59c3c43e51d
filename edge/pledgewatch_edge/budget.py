"""How many bytes the backlog may still cost: a bucket that fills with `bytes_per_day` and holds a day of them.

Everything that goes over the link is taken out of it, as the provider counts it; the backlog alone waits for it. What
is live and what is urgent goes though it be empty, and what that costs too much the backlog makes up for, a day's
bytes at most.

The bucket lies in the state folder, so a restart fills nothing. It is written when a sixty-fourth of a day's bytes has
gone out of it, so that much may be forgotten when the power goes; it is replaced by rename, so it is whole. While the
program runs the monotonic clock fills it, while it does not the system's: a clock that has gone back fills nothing,
one that has leapt ahead a day's bytes at most. One that cannot be read is empty.

A message costs what MQTT makes of it, and 62 bytes for each segment of SEGMENT_BYTES: 40 of TCP and IPv4, 22 of TLS
1.3 (docs/BENCHMARKS.md, `wire`); and its acknowledgement, which is a segment too.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pledgewatch_edge.config import DAY_S

BUDGET_FILE: Final = "budget"
SEGMENT_BYTES: Final = 1_400
BELOW_MQTT_BYTES: Final = 62
_HEAD_BYTES: Final = 2 + 2 + 2 + 1  # fixed head of a short one, length of the topic, packet id, no properties
_PUBACK_BYTES: Final = 4
_WRITTEN_PARTS: Final = 64


def on_the_wire(topic: str, payload_bytes: int) -> int:
    """What a message at QoS 1 costs, with its acknowledgement."""
    bytes_ = _HEAD_BYTES + len(topic) + payload_bytes
    bytes_ += sum(bytes_ >= limit for limit in (2**7, 2**14, 2**21))  # MQTT's length takes more
    return bytes_ + BELOW_MQTT_BYTES * math.ceil(bytes_ / SEGMENT_BYTES) + _PUBACK_BYTES + BELOW_MQTT_BYTES


class Budget:
    """A bucket of bytes in a state folder. With `bytes_per_day` 0 everything may go, and nothing is written."""

    def __init__(
        self,
        folder: Path,
        bytes_per_day: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._path = folder / BUDGET_FILE
        self._size = float(bytes_per_day)
        self._monotonic = monotonic
        self._wall = wall
        self._filled_at = monotonic()
        self._held = 0
        self._left = 0.0
        if bytes_per_day:
            self._left = min(self._size, self._of_file())
        self._written = self._left

    @property
    def left(self) -> float:
        """The bytes that may still go; less than 0 where more has gone."""
        now = self._monotonic()
        filled = self._left + (now - self._filled_at) * self._size / DAY_S
        self._left, self._filled_at = min(self._size, filled), now
        return self._left

    def wait_s(self, cost: int) -> float:
        """How long until something of that cost may go, 0 where it may go now. What costs more than a day has waits for
        a day's bytes."""
        if not self._size:
            return 0.0
        return max(0.0, (min(cost, self._size) - self.left) * DAY_S / self._size)

    def spend(self, cost: int) -> None:
        """Something of that cost goes."""
        if not self._size:
            return
        self._left = max(-self._size, self.left - cost)
        if abs(self._left - self._written) >= self._size / _WRITTEN_PARTS:
            self.write(self._held)

    def write(self, held: int) -> None:
        """Note on disk what is left, and how many readings it holds back. What the disk does not take now is noted with
        the next."""
        if not self._size:
            return
        self._held = held
        fresh = self._path.with_name(self._path.name + ".new")
        text = json.dumps({"left": round(self.left), "at_s": round(self._wall()), "held": held})
        with contextlib.suppress(OSError):
            fresh.write_text(text + "\n", encoding="ascii")
            fresh.replace(self._path)
            self._written = self._left

    def _of_file(self) -> float:
        if not self._path.exists():
            return self._size
        found = _read(self._path)
        if found is None:
            return 0.0
        return float(found["left"] + max(0.0, self._wall() - found["at_s"]) * self._size / DAY_S)


def budget_status(folder: Path, bytes_per_day: int) -> dict[str, int | None]:
    """What the budget last said of itself, read from the disk only; None where there is none."""
    found = _read(folder / BUDGET_FILE) if bytes_per_day else None
    return {
        "bytes_per_day": bytes_per_day or None,
        "budget_left_bytes": found["left"] if found else bytes_per_day or None,
        "held_back": found["held"] if found else 0,
    }


def _read(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="ascii"))
        if isinstance(found, dict) and all(isinstance(found.get(one), int) for one in ("left", "at_s", "held")):
            return found
    return None
