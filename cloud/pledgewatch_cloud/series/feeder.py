"""Carries the journal into the series, behind the commits and never in their way.

It is a process of its own (`pledgewatch-cloud series follow`), so that neither decoding everything again nor a server
that is slow takes time from the ingestor. It reads the journal as anybody may and ends when whoever started it does.
"""

import logging
import time
from collections.abc import Callable

from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.store import Store, StoreError
from pledgewatch_cloud.series.gather import Gathering
from pledgewatch_cloud.series.series import Series, SeriesError

log = logging.getLogger(__name__)

POINTS_AT_ONCE = 200_000  # readings and gauges
_HELD = ("outbox_pending", "outbox_delivered", "outbox_dead", "quarantined")
_PAUSE_S = 1.0
_RETRY_MAX_S = 60.0


class Feeder:
    """Moves the series' cursor after the journal."""

    def __init__(self, store: Store, series: Series) -> None:
        self._store = store
        self._series = series

    def advance(self) -> int:
        """Carry over some entries. Returns how far the cursor has come.

        Raises SeriesError, StoreError, DamagedError.
        """
        gathering = Gathering(self._series.bookmark())
        before = gathering.entry
        for written in self._store.entries(before):
            said = self._store.events_of(written.number)
            gathering.add(form.read_entry(written), said)
            if gathering.size >= POINTS_AT_ONCE:
                break
        else:
            gathering.hold(self._held)
        if gathering.entry > before:
            self._series.write(gathering.told())
        return gathering.entry

    def _held(self) -> dict[str, int]:
        counts = self._store.counts()._asdict()
        return {name: counts[name] for name in _HELD}

    def catch_up(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Carry over all that is there. Returns the cursor."""
        before = -1
        while (cursor := self.advance()) > before:
            before = cursor
            progress(cursor)
        return before

    def follow(self, is_wanted: Callable[[float], bool]) -> None:
        """Follow the journal while `is_wanted`, which waits that many seconds first.

        A series that cannot be written waits, its cursor with it: said once when it is lost, once when it is back.
        """
        lost, wait_s, before = False, 0.0, -1
        while is_wanted(wait_s):
            try:
                began = time.monotonic()
                cursor = self.advance()
                took_s = time.monotonic() - began
            except (SeriesError, StoreError, form.DamagedError) as error:
                if not lost:
                    log.error("the series cannot be carried on, trying again: %s", error)
                lost, wait_s = True, min(max(2 * wait_s, _PAUSE_S), _RETRY_MAX_S)
                continue
            if lost:
                log.info("the series is carried on again")
            # Large pieces cost less: what came while the last one was written is the next.
            lost, wait_s = False, max(_PAUSE_S, took_s) if cursor > before >= 0 else _PAUSE_S
            before = cursor
