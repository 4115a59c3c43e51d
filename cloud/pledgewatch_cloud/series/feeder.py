"""Carries the journal's readings into the series, behind the commits and never in their way."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable

from pledgewatch_cloud.decide.batch import AssetReading, Readings
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.store import Store, StoreError, readings_of
from pledgewatch_cloud.series.embedded import EmbeddedSeries

log = logging.getLogger(__name__)

_ENTRIES_AT_ONCE = 200
_PAUSE_S = 0.5
_REST = 4  # times as long as it worked: under load the commits have the processor, and the series catches up later


class Feeder:
    """Moves the series' cursor after the journal."""

    def __init__(self, store: Store, series: EmbeddedSeries, state: Callable[[], State]) -> None:
        self._store = store
        self._series = series
        self._state = state

    async def run(self) -> None:
        """Follow the journal until cancelled. A series that cannot be written waits; the journal does not."""
        lost = False
        while True:
            began = time.monotonic()
            try:
                moved = await asyncio.to_thread(self.advance)
                if lost:
                    log.info("the series can be written again")
                lost = False
            except (sqlite3.Error, StoreError, form.DamagedError) as error:
                if not lost:
                    log.error("the series cannot be written, trying on: %s", error)
                lost, moved = True, False
            took_s = time.monotonic() - began
            await asyncio.sleep(took_s * _REST if moved else _PAUSE_S)

    def advance(self) -> bool:
        """Carry over some entries. Returns whether there were any."""
        cursor = self._series.cursor
        last = cursor
        points: list[tuple[str, AssetReading]] = []
        for written in self._store.entries(cursor):
            entry = form.read_entry(written)
            # Taken after the entry was there: whoever it names had been installed before it was taken.
            installations = self._state().book.installations
            if isinstance(entry.content, Readings):
                readings = readings_of(entry.content.arrivals).values()
                points += [(installations[one.device].asset, one) for one in readings]
            last = entry.number
            if last - cursor >= _ENTRIES_AT_ONCE:
                break
        if last > cursor:
            self._series.add(last, points)
        return last > cursor
