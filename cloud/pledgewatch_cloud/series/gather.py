"""From journal entries to what a series is told: points as columns, and gauges from events and ticks.

A device is fitted to one asset for ever (the book sees to that), so which asset a payload speaks of is known from the
amendments read on the way, and no state is needed.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from pledgewatch_cloud.decide.batch import Amendment, Arrival, Entry, Readings, Tick, batch_of_arrivals
from pledgewatch_cloud.decide.events import EventType, SaidEvent
from pledgewatch_cloud.series.series import Bookmark, Gauge, Points, Told
from pledgewatch_wire.reading import Clock

EVIDENCE_EVERY_MS = 900_000
_ALERT_MOVES = {
    EventType.ALERT_OPENED,
    EventType.ALERT_ACKNOWLEDGED,
    EventType.ALERT_ESCALATED,
    EventType.ALERT_DE_ESCALATED,
    EventType.ALERT_CLEARED,
    EventType.ALERT_WITHDRAWN,
}


class Gathering:
    """What some entries, given one after the other, add to a series that stands at a bookmark."""

    def __init__(self, bookmark: Bookmark) -> None:
        self.entry = bookmark.entry
        self._readings = 0
        self._known = bookmark.installed
        self._installed: dict[str, str] = {}
        self._newest_before = bookmark.newest
        self._newest: dict[str, int] = {}
        self._evidence_ms = bookmark.evidence_ms
        self._arrivals: list[Arrival] = []
        self._gauges: list[Gauge] = []

    @property
    def size(self) -> int:
        """How many readings and gauges have been gathered."""
        return self._readings + len(self._gauges)

    def add(self, entry: Entry, said: Iterable[SaidEvent]) -> None:
        """Take the next entry with its events."""
        self.entry = entry.number
        match entry.content:
            case Readings(arrivals):
                self._arrivals += arrivals
                self._readings += sum(one.count for one in arrivals)
                self._hear(arrivals, entry.recorded_at_ms)
            case Amendment(document):
                self._installed |= {one["device"]: one["asset"] for one in document.get("installations", ())}
            case Tick() if entry.recorded_at_ms - self._evidence_ms >= EVIDENCE_EVERY_MS:
                self._gauge_evidence(entry)
            case _:
                pass
        self._gauges += [gauge for one in said if (gauge := _gauge(one)) is not None]

    def told(self) -> Told:
        """All of it."""
        return Told(self.entry, self._points(), self._gauges, self._installed, self._newest, self._evidence_ms)

    def _asset(self, device: str) -> str:
        return self._installed.get(device) or self._known[device]

    def _hear(self, arrivals: Iterable[Arrival], now_ms: int) -> None:
        """What each asset said last. Nobody has said anything yet of what is still to come, whatever its clock says."""
        newest, is_set = self._newest, dict[int, list[bool]]()
        for one in arrivals:
            columns = one.columns
            told = is_set.get(id(columns))
            if told is None:
                told = is_set[id(columns)] = (columns.clock != Clock.UNSET).tolist()
            asset = self._asset(one.device)
            until_ms = min(one.until_ms, now_ms)
            if told[one.start] and until_ms > newest.get(asset, 0):
                newest[asset] = until_ms

    def _gauge_evidence(self, entry: Entry) -> None:
        self._evidence_ms = now_ms = entry.recorded_at_ms
        for asset in sorted({*self._newest_before, *self._newest}):
            age_ms = max(0, now_ms - max(self._newest_before.get(asset, 0), self._newest.get(asset, 0)))
            self._gauges.append(Gauge("evidence", asset, now_ms, str(entry.number), {"age_ms": age_ms}))

    def _points(self) -> Points:
        batch = batch_of_arrivals(self._arrivals, [None] * len(self._arrivals))
        devices = sorted(set(batch.devices))
        assets = sorted({self._asset(one) for one in devices})
        number_of_device = {one: number for number, one in enumerate(devices)}
        number_of_asset = {one: number for number, one in enumerate(assets)}
        asset_of = np.array([number_of_asset[self._asset(one)] for one in devices], dtype=np.int64)
        device = np.array([number_of_device[one] for one in batch.devices], dtype=np.int64)[batch.payload]
        epoch = np.array(batch.epochs, dtype=np.int64)[batch.payload]
        return Points(assets, devices, asset_of[device] if len(device) else device, device, epoch, batch.columns)


def _gauge(one: SaidEvent) -> Gauge | None:
    facts: dict[str, Any] = dict(one.event.facts)
    if one.event.type is EventType.BASE_RECOMPUTED:
        return Gauge("facility", one.event.subject, one.event.at_ms, one.id, facts)
    if one.event.type not in _ALERT_MOVES:
        return None
    state = "withdrawn" if one.event.type is EventType.ALERT_WITHDRAWN else facts["state"]
    is_open = int(state not in ("cleared", "withdrawn"))
    return Gauge("alert", one.event.subject, one.event.at_ms, one.id, {**facts, "state": state, "open": is_open})
