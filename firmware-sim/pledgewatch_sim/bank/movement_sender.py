"""Tells pledgewatch of drawdowns and repayments, from the ledger, until it has said 2xx to each.

    untold in the ledger ──► POST /facilities/{facility}/movements ──► 2xx ──► told
            ▲                                                            │
            └────────────────── anything else: later, again ─────────────┘

Each facility's movements go in their order, some at a time; one facility's trouble holds no other's. A movement's id
makes a repeat harmless, so what was taken and not answered is told again. What pledgewatch refuses is told again too:
the money has moved, and somebody will mend what keeps it out of the book; the ledger shows what was answered.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote

import httpx2

from pledgewatch_sim.bank.ledger import Ledger, Movement

log = logging.getLogger(__name__)

AT_ONCE = 100
_FIRST_WAIT_S = 1.0
_FAULT_MAX = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Trouble(NamedTuple):
    """How long was waited last, and until when by the monotonic clock nothing more is tried."""

    wait_s: float
    until_s: float


class MovementSender:
    """Whoever tells pledgewatch. `wake` says that there is something new."""

    def __init__(
        self, ledger: Ledger, client: httpx2.AsyncClient, *, retry_first_s: float = _FIRST_WAIT_S, retry_max_s: float
    ) -> None:
        """`client` has pledgewatch's address, its token if there is one, and a timeout."""
        self._ledger = ledger
        self._client = client
        self._retry_first_s = min(retry_first_s, retry_max_s)
        self._retry_max_s = retry_max_s
        self._wanted = asyncio.Event()
        self._troubles: dict[str, _Trouble] = {}

    def wake(self) -> None:
        """Money has moved."""
        self._wanted.set()

    async def run(self) -> None:
        """Tell, until cancelled."""
        while True:
            self._wanted.clear()
            wait_s = await self.tell()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wanted.wait()

    async def tell(self) -> float | None:
        """Tell what may be told now. Returns after how many seconds there is more to do; None: when woken."""
        try:
            waiting = await asyncio.to_thread(self._ledger.untold, AT_ONCE)
            for facility, movements in waiting.items():
                if self._wait_s(facility) == 0:
                    await self._tell(facility, movements)
            left = await asyncio.to_thread(self._ledger.untold, 1)
        except sqlite3.Error as error:
            log.error("the ledger cannot be used, trying on: %s", error)
            return self._retry_max_s
        return min((self._wait_s(facility) for facility in left), default=None)

    def _wait_s(self, facility: str) -> float:
        trouble = self._troubles.get(facility)
        return max(0.0, trouble.until_s - time.monotonic()) if trouble else 0.0

    async def _tell(self, facility: str, movements: list[Movement]) -> None:
        document = {"movements": [_as_document(one) for one in movements]}
        try:
            answer = await self._client.post(f"/facilities/{quote(facility, safe='')}/movements", json=document)
            fault = "" if answer.is_success else f"HTTP {answer.status_code}: {answer.text}"[:_FAULT_MAX]
        except httpx2.HTTPError as error:
            fault = f"{type(error).__name__}: {error}"[:_FAULT_MAX]
        if not fault:
            await asyncio.to_thread(self._ledger.heard, movements)
            if self._troubles.pop(facility, None):
                log.info("pledgewatch hears of %s's movements again", facility)
            return
        await asyncio.to_thread(self._ledger.not_heard, movements, fault)
        before = self._troubles.get(facility)
        if before is None:
            log.warning("pledgewatch does not hear of %s's movements, trying on: %s", facility, fault)
        wait_s = min(2 * before.wait_s, self._retry_max_s) if before else self._retry_first_s
        self._troubles[facility] = _Trouble(wait_s, time.monotonic() + wait_s)


def _as_document(one: Movement) -> dict[str, str | int]:
    at = (_EPOCH + timedelta(milliseconds=one.at_ms)).isoformat(timespec="milliseconds")
    return {"id": one.id, "kind": one.kind, "at": at, "amount_minor": one.amount_minor}
