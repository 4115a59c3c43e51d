"""Setting aside what was handed in and not taken: it is kept in quarantine as it came, and counted.

Quarantine holds so many bytes of one thing. What is longer is kept in pieces, each with what is wrong, so that all of
it is there.
"""

import asyncio
from collections.abc import Iterator

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.journal.store import QUARANTINE_RAW_MAX_BYTES, Quarantined, Store
from pledgewatch_cloud.notices.metrics import Submissions

UNAUTHENTICATED = "sender_unauthenticated"


class Aside:
    """Where something of a kind is set aside; `noun` is what it is: `notices`, `stock`."""

    def __init__(self, noun: str, store: Store, counts: Submissions, clock: Clock) -> None:
        self._noun = noun
        self._store = store
        self._counts = counts
        self._clock = clock

    def became(self, what: str) -> None:
        """Count what became of something."""
        self._counts.became(what)

    async def keep(self, whose: str, reason: str, detail: str, raw: bytes) -> None:
        """Keep bytes that were not taken, and count them. `whose` is empty for a stranger's. Raises StoreError."""
        now_ms, topic = self._clock.now_ms(), f"{self._noun}/{whose}"
        some = [Quarantined(topic, now_ms, reason, *piece) for piece in _pieces(detail, raw)]
        await asyncio.to_thread(self._store.quarantine, some)
        self.became(reason)


def _pieces(detail: str, raw: bytes) -> Iterator[tuple[str, bytes]]:
    """What is kept of something, a detail and bytes each."""
    starts = range(0, len(raw), QUARANTINE_RAW_MAX_BYTES)
    if len(starts) < 2:
        yield detail, raw
        return
    name = canonical.sha256(raw)
    for number, start in enumerate(starts, 1):
        about = f"piece {number} of {len(starts)} of {name}: {detail}"
        yield about, raw[start : start + QUARANTINE_RAW_MAX_BYTES]
