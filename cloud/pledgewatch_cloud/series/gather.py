"""From journal entries to what a series is told: points as columns, and gauges from events and ticks.

A device is fitted to one asset for ever (the book sees to that), so which asset a payload speaks of is known from the
amendments read on the way, and no state is needed. Of what events say, what must be said again at each tick is kept in
series/standing.py: an asset that is silent has its gauge at every tick as one that speaks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from pledgewatch_cloud.decide.batch import Amendment, Arrival, DeviceClaim, Entry, Readings, Tick, batch_of_arrivals
from pledgewatch_cloud.decide.events import EventType, SaidEvent
from pledgewatch_cloud.series.series import Bookmark, Fitted, Gauge, Points, Told
from pledgewatch_cloud.series.shape import GAUGED_EVERY_MS, PIPELINE_EVERY_MS
from pledgewatch_cloud.series.standing import Source, Standing
from pledgewatch_wire.reading import Clock

_ALERT_MOVES = {
    EventType.ALERT_OPENED,
    EventType.ALERT_ACKNOWLEDGED,
    EventType.ALERT_ESCALATED,
    EventType.ALERT_DE_ESCALATED,
    EventType.ALERT_CLEARED,
    EventType.ALERT_WITHDRAWN,
}
# What charts are annotated with; alerts and bases have gauges of their own.
_ANNOTATING = {
    EventType.FENCE_ENTERED,
    EventType.FENCE_LEFT,
    EventType.CONDITION_BREACHED,
    EventType.CONDITION_RESTORED,
    EventType.MKT_EXCEEDED,
    EventType.SOURCE_FELL_SILENT,
    EventType.SOURCE_REPORTED_AGAIN,
    EventType.TAMPER_SUSPECTED,
    EventType.CLOCK_DOUBTED,
    EventType.EVENT_RETRACTED,
    EventType.COVENANT_BREACHED,
    EventType.MARGIN_CALLED,
    EventType.COVER_RESTORED,
    EventType.GOODS_LEFT,
    EventType.GOODS_ACCOUNTED_FOR,
    EventType.SHORTFALL_FOUND,
    EventType.SHORTFALL_ENDED,
    EventType.CASE_OPENED,
    EventType.RECEIPT_CHANGED,
    *(one for one in EventType if one.startswith("milestone_")),
}


class Gathering:
    """What some entries, given one after the other, add to a series that stands at a bookmark."""

    def __init__(self, bookmark: Bookmark) -> None:
        self.entry = bookmark.entry
        self._readings = 0
        self._fitted_before = bookmark.fitted
        self._fitted: dict[str, Fitted] = {}
        self._heard_before = bookmark.heard
        self._heard: dict[str, int] = {}
        self._gauged_ms = bookmark.gauged_ms
        self._pipeline_ms = bookmark.pipeline_ms
        self._standing = Standing(bookmark.standing)
        self._arrivals: list[Arrival] = []
        self._gauges: list[Gauge] = []

    @property
    def size(self) -> int:
        """How many readings and gauges have been gathered."""
        return self._readings + len(self._gauges)

    def add(self, entry: Entry, said: Iterable[SaidEvent]) -> None:
        """Take the next entry with its events."""
        self.entry, now_ms, every = entry.number, entry.recorded_at_ms, list(said)
        is_tick = isinstance(entry.content, Tick)
        match entry.content:
            case Readings():
                self._take_readings(entry.content, now_ms)
            case Amendment(document=document) | DeviceClaim(document=document):
                self._take_fitted(document, now_ms)
                self._standing.amend(document)
            case _:
                pass
        self._standing.count(entries=1)
        self._standing.say(every)
        self._gauges += [gauge for one in every if (gauge := _gauge(one)) is not None]
        is_due = is_tick and now_ms - self._gauged_ms >= GAUGED_EVERY_MS
        self._gauges += self._standing.gauges(entry.number, now_ms, is_every=is_due)
        if is_due:
            self._gauged_ms = now_ms
            self._gauges += self._evidence(entry.number, now_ms)
        if isinstance(entry.content, Tick) and now_ms - self._pipeline_ms >= PIPELINE_EVERY_MS:
            self._gauges.append(self._journal(entry.number, now_ms, entry.content.heard_until_ms))
            self._pipeline_ms = now_ms

    def hold(self, counted: Callable[[], Mapping[str, int]]) -> None:
        """Tell what the store holds, beside the newest gauge of the journal; nothing is counted where none is new."""
        told = next((one for one in reversed(self._gauges) if one.kind == "pipeline"), None)
        if told is not None:
            self._gauges.append(Gauge("pipeline", "store", told.at_ms, told.place, counted()))

    def told(self) -> Told:
        """All of it."""
        return Told(
            self.entry,
            self._points(),
            self._gauges,
            self._fitted,
            self._heard,
            self._gauged_ms,
            self._pipeline_ms,
            self._standing.changes,
        )

    def _asset(self, device: str) -> str:
        return (self._fitted.get(device) or self._fitted_before[device]).asset

    def _take_fitted(self, document: dict[str, Any], now_ms: int) -> None:
        for one in document.get("installations", ()):
            before = self._fitted.get(one["device"]) or self._fitted_before.get(one["device"])
            since_ms = before.since_ms if before else now_ms
            self._fitted[one["device"]] = Fitted(one["asset"], since_ms, bool(one.get("retired", 0)))

    def _take_readings(self, content: Readings, now_ms: int) -> None:
        arrivals = content.arrivals
        self._arrivals += arrivals
        readings = sum(one.count for one in arrivals)
        self._readings += readings
        delay_ms = max((one.received_at_ms - one.until_ms for one in arrivals), default=0)
        self._standing.delayed(delay_ms)
        self._standing.count(payloads=len(arrivals), readings=readings, suspicions=len(content.suspicions))
        self._hear(arrivals, now_ms)

    def _hear(self, arrivals: Iterable[Arrival], now_ms: int) -> None:
        """What each device said last. Nobody has said anything yet of what is still to come, whatever a clock says."""
        heard, is_set = self._heard, dict[int, list[bool]]()
        for one in arrivals:
            columns = one.columns
            told = is_set.get(id(columns))
            if told is None:
                told = is_set[id(columns)] = (columns.clock != Clock.UNSET).tolist()
            until_ms = min(one.until_ms, now_ms)
            if told[one.start] and until_ms > heard.get(one.device, 0):
                heard[one.device] = until_ms

    def _evidence(self, entry: int, now_ms: int) -> Iterator[Gauge]:
        """Of every asset and every device that is not retired, whether they say anything or not."""
        place, facilities = str(entry), self._standing.facilities()
        for asset, devices in self._in_service().items():
            sources = self._standing.sources(asset)
            aged = {device: self._age(device, now_ms) for device in devices}
            for device, about in aged.items():
                level = sources.get(device, Source(0, 0)).level
                more: dict[str, int | str] = {"asset": asset, "level": level}
                yield Gauge("device", device, now_ms, place, {**about, **more, **self._standing.suspected(device)})
            since = [one.since_ms for device, one in sources.items() if device in devices and one.level]
            values: dict[str, int | str] = {
                "age_ms": min(about["age_ms"] for about in _heard_first(aged)),
                "heard": max(about["heard"] for about in aged.values()),
                "level": max((one.level for device, one in sources.items() if device in devices), default=0),
                "overdue_ms": max(0, now_ms - min(since, default=now_ms)),
                "facility": facilities.get(asset, ""),
            }
            yield Gauge("evidence", asset, now_ms, place, values)

    def _in_service(self) -> dict[str, list[str]]:
        """The devices that are not retired, by asset."""
        found: dict[str, list[str]] = {}
        for device, one in sorted({**self._fitted_before, **self._fitted}.items()):
            if not one.is_retired:
                found.setdefault(one.asset, []).append(device)
        return found

    def _age(self, device: str, now_ms: int) -> dict[str, int]:
        """How long ago a device measured its last reading; of one that was never heard, how long ago it was fitted."""
        heard_ms = max(self._heard_before.get(device, 0), self._heard.get(device, 0))
        since_ms = heard_ms or (self._fitted.get(device) or self._fitted_before[device]).since_ms
        return {"age_ms": max(0, now_ms - since_ms), "heard": int(heard_ms > 0)}

    def _journal(self, entry: int, now_ms: int, heard_until_ms: int) -> Gauge:
        in_service = self._in_service()
        levels = [
            one.level
            for asset, devices in in_service.items()
            for device, one in self._standing.sources(asset).items()
            if device in devices
        ]
        values: dict[str, int | str] = {
            **self._standing.counts,
            "delay_max_ms": self._standing.longest_delay_ms(),
            "deaf_ms": max(0, now_ms - heard_until_ms),
            "assets": len(in_service),
            "devices": sum(map(len, in_service.values())),
            "devices_overdue": levels.count(1),
            "devices_silent": levels.count(2),
        }
        return Gauge("pipeline", "journal", now_ms, str(entry), values)

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


def _heard_first(aged: Mapping[str, dict[str, int]]) -> list[dict[str, int]]:
    """Those of devices that were heard, or of all where none was: a new device makes no old evidence young."""
    return [about for about in aged.values() if about["heard"]] or [*aged.values()]


def _gauge(one: SaidEvent) -> Gauge | None:
    facts: dict[str, Any] = dict(one.event.facts)
    kind = one.event.type
    if kind is EventType.BASE_RECOMPUTED:
        return Gauge("facility", one.event.subject, one.event.at_ms, one.id, facts)
    if kind in _ALERT_MOVES:
        state = "withdrawn" if kind is EventType.ALERT_WITHDRAWN else facts["state"]
        is_open = int(state not in ("cleared", "withdrawn"))
        return Gauge("alert", one.event.subject, one.event.at_ms, one.id, {**facts, "state": state, "open": is_open})
    if kind in _ANNOTATING:
        text = ", ".join(f"{name} {value}" for name, value in one.event.facts)
        about = {"type": kind.value, "facts": text, "retracts": str(facts.get("retracted", ""))}
        return Gauge("event", one.event.subject, one.event.at_ms, one.id, about)
    return None
