"""`step`: one journal entry and the state before it, in; the state after it, events and messages, out. Pure.

    readings ─► asset half ─► facts that stand ─► alerts and facility half ─► messages

The asset half has two lanes: calm readings move columns (`calm.py`), the others are folded asset by asset. `prepare`
takes the calm lane and names the assets that the entry folds again and since when; what their devices said since then
and what was said about them is fetched from disk and given to `step`, which does the rest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pledgewatch_cloud.decide import admission as admission_module
from pledgewatch_cloud.decide import alert_half, calm
from pledgewatch_cloud.decide import asset as asset_module
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import causes as causes_module
from pledgewatch_cloud.decide import facility as facility_module
from pledgewatch_cloud.decide.admission import Admission
from pledgewatch_cloud.decide.asset import AssetState, Placed
from pledgewatch_cloud.decide.batch import (
    Acknowledgement,
    Amendment,
    AssetReading,
    Entry,
    Readings,
    Suspicion,
    Tick,
    batch_of_readings,
)
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.calm import Assets
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.events import Because, Event, EventType, Found, SaidEvent, difference, event, retraction
from pledgewatch_cloud.decide.facility import FacilityState
from pledgewatch_cloud.decide.geofence import E7
from pledgewatch_cloud.decide.grade import Doubt
from pledgewatch_cloud.decide.log import Log
from pledgewatch_cloud.decide.messages import Message
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.voyage import NEVER
from pledgewatch_wire.reading import Channel


class AssetHistory(NamedTuple):
    """What an asset's devices have said, measured after `since_ms`, in any order; and the events about it that stand
    and were first found after that moment."""

    since_ms: int
    readings: tuple[AssetReading, ...]
    said: tuple[SaidEvent, ...]


class Outcome(NamedTuple):
    """What an entry led to."""

    state: State
    events: tuple[SaidEvent, ...]
    messages: tuple[Message, ...]


NO_ADMISSION = Admission((), (), (), (), {}, batch_of_readings(()))


def admission_of(state: State, entry: Entry) -> Admission:
    """The admission of an entry that is read back from the journal."""
    if not isinstance(entry.content, Readings):
        return NO_ADMISSION
    content = entry.content
    return admission_module.replayed(state.devices, state.book, content.arrivals, content.suspicions)


class Prepared(NamedTuple):
    """An entry that is ready for `step`.

    `assets` are those after the calm lane, `readings` what it has left, by asset and sorted. `wanted`: the assets whose
    history `step` must be given, and the moment after which it is needed.
    """

    entry: Entry
    admission: Admission
    book: Book
    assets: Assets
    readings: Mapping[str, "_Sorted"]
    wanted: Mapping[str, int]


def prepare(state: State, entry: Entry, admission: Admission = NO_ADMISSION, amended: Book | None = None) -> Prepared:
    """What can be decided about an entry without its history, and which history that is.

    `admission` is the entry's (NO_ADMISSION where it holds no readings), `amended` the book after its amendment, where
    that has been worked out already. Raises BookError for an amendment that the
    book refuses.
    """
    book, assets, now_ms = state.book, state.assets, entry.recorded_at_ms
    found: dict[str, _Sorted] = {}
    wanted: dict[str, int] = {}
    match entry.content:
        case Readings():
            assets, left = calm.fold(assets, book.fence_index, admission.readings, now_ms)
            for asset, told in _by_asset(book, left).items():
                found[asset] = one = _sorted(book, asset, told, now_ms)
                known = assets.get(asset, asset_module.EMPTY)
                is_late = one.evidence and not asset_module.in_order(known, book.plan_of(asset), one.evidence)
                if is_late or known.withheld_ms <= now_ms:
                    # What waits for its time is known to the disk alone: a fold anew begins before it.
                    first_ms = min([known.withheld_ms, *(fresh.measured_at_ms for fresh in one.evidence[:1])])
                    wanted[asset] = asset_module.start_before(known, first_ms)[0]
        case Amendment(document=document):
            book = amended or book_module.amend(book, document)
            wanted = dict.fromkeys(_amended_assets(state, book), -NEVER)
        case Tick():
            waiting = [asset for asset, known in assets.folded.items() if known.withheld_ms <= now_ms]
            for asset in waiting:
                known = assets[asset]
                wanted[asset] = asset_module.start_before(known, known.withheld_ms)[0]
        case Acknowledgement():
            pass
    return Prepared(entry, admission, book, assets, found, wanted)


def step(state: State, prepared: Prepared, history: Mapping[str, AssetHistory]) -> Outcome:
    """Decide what an entry means.

    `prepared` is the entry's for this state; `history` holds every asset that it wants. Raises AssertionError where the
    entry does not follow the state: a broken invariant.
    """
    entry, admission, book = prepared.entry, prepared.admission, prepared.book
    assert entry.number == state.entry + 1, f"entry {entry.number} does not follow {state.entry}"
    assert entry.recorded_at_ms >= state.recorded_at_ms, f"entry {entry.number} was recorded before the last one"
    horizon_ms, files = state.horizon_ms, state.files
    match entry.content:
        case Tick(heard_until_ms):
            horizon_ms = max(horizon_ms, min(heard_until_ms, entry.recorded_at_ms))
        case Amendment(_, file, sha256) if file:
            files = {**files, file: sha256}
        case Readings() | Amendment() | Acknowledgement():
            pass
    state = replace(
        state,
        entry=entry.number,
        recorded_at_ms=entry.recorded_at_ms,
        horizon_ms=horizon_ms,
        book=book,
        files=files,
        devices={**state.devices, **admission.devices} if admission.devices else state.devices,
    )
    log = Log(state.journal, entry, state.facilities)
    state = _asset_half(state, prepared, history, log)
    touched = {said.event.subject for said in log.said}
    facts = _absorbed(state.facts, log.said, entry.recorded_at_ms) if touched else state.facts
    alerts = alert_half.judge(book, facts, state.alerts, entry, touched, log)
    state = replace(state, facts=facts, alerts=alerts)
    facilities = _facility_half(state, entry, touched, log)
    return Outcome(replace(state, facilities=facilities), tuple(log.said), tuple(log.messages))


class _Sorted(NamedTuple):
    """Readings of an asset: evidence, what its time has not come for yet, and what is no evidence with the reason."""

    evidence: list[AssetReading]
    withheld_ms: int
    disregarded: list[tuple[AssetReading, Doubt]]


def _sorted(book: Book, asset: str, readings: Iterable[AssetReading], now_ms: int) -> _Sorted:
    devices = book.plan_of(asset).devices
    evidence: list[AssetReading] = []
    withheld_ms = NEVER
    disregarded = []
    for one in readings:
        fitted = devices[one.device]
        doubt = asset_module.disregarded(one, fitted, now_ms)
        if doubt is not None:
            disregarded.append((one, doubt))
        elif one.measured_at_ms > now_ms + fitted.ahead_ms:
            withheld_ms = min(withheld_ms, one.measured_at_ms)
            disregarded.append((one, Doubt.IN_THE_FUTURE))
        else:
            evidence.append(one)
    return _Sorted(evidence, withheld_ms, disregarded)


def _asset_half(state: State, prepared: Prepared, history: Mapping[str, AssetHistory], log: Log) -> State:
    """Fold the readings of each asset on, or again from before them where history was asked for."""
    entry, assets = prepared.entry, prepared.assets
    for suspicion in prepared.admission.suspicions:
        log.say(_tampering(state.book, suspicion))
    now_ms = entry.recorded_at_ms
    sorted_by_asset = dict(prepared.readings)
    for asset, found in sorted(sorted_by_asset.items()):
        _tell_of_clocks(asset, found.disregarded, entry, log)
    for asset, past in history.items():
        fresh = sorted_by_asset.get(asset, _Sorted([], NEVER, []))
        before = _sorted(state.book, asset, past.readings, now_ms)
        every = {one.key: one for one in (*before.evidence, *fresh.evidence)}
        evidence = [every[key] for key in sorted(every)]
        sorted_by_asset[asset] = _Sorted(evidence, min(before.withheld_ms, fresh.withheld_ms), [])
    placed = _placed(state.book, {asset: one.evidence for asset, one in sorted_by_asset.items()})
    overdue: set[str] = set()
    if isinstance(entry.content, Tick):
        overdue = assets.overdue(state.horizon_ms) | (state.book.assets_waited_for - assets.folded.keys())
    refolded: dict[str, AssetState] = {}
    for asset in sorted({*overdue, *sorted_by_asset}):
        known = assets.get(asset, asset_module.EMPTY)
        past_of = history.get(asset)
        if past_of is not None:
            known = asset_module.start_before(known, past_of.since_ms + 1)[1]._replace(withheld_ms=NEVER)
        plan = state.book.plan_of(asset)
        after, found_events = asset_module.fold(known, asset, plan, placed.get(asset, ()))
        after, passed = asset_module.pass_time(after, asset, plan, state.horizon_ms)
        if asset in sorted_by_asset:
            withheld_ms = min(known.withheld_ms, sorted_by_asset[asset].withheld_ms)
            if withheld_ms != after.withheld_ms:
                after = after._replace(withheld_ms=withheld_ms)
        refolded[asset] = after
        # In the order of the fold's own time, wherever the fold began.
        every_found = sorted((*found_events, *passed), key=_told_ms)
        if past_of is not None:
            is_late = isinstance(entry.content, Readings)
            _say_difference(past_of.said, every_found, Because.LATE_READING if is_late else "", log)
        else:
            for one in every_found:
                log.say(*one)
    return replace(state, assets=assets.refolded(refolded, state.book))


def _told_ms(found: Found) -> int:
    return found.told_ms


def _say_difference(said: Iterable[SaidEvent], found: Iterable[Found], because: str, log: Log) -> None:
    amended = difference(said, found)
    for one in amended.retracted:
        log.say(retraction(one.id, one.event), because=because)
    for one_new, replaces in amended.news:
        log.say(one_new.event, one_new.told_ms, replaces, because)


def _tell_of_clocks(asset: str, disregarded: Iterable[tuple[AssetReading, Doubt]], entry: Entry, log: Log) -> None:
    """One event for each device and doubt of a batch whose readings are no evidence because of their time."""
    told = set()
    for one, doubt in disregarded:
        if (one.device, doubt) in told:
            continue
        told.add((one.device, doubt))
        about: dict[str, int | str] = {"device": one.device, "epoch": one.epoch, "sequence": one.sequence}
        measured = {"measured_at_ms": one.measured_at_ms, "doubt": doubt.value}
        log.say(event(EventType.CLOCK_DOUBTED, entry.recorded_at_ms, asset, **about, **measured))


def _placed(book: Book, evidence: Mapping[str, list[AssetReading]]) -> dict[str, list[Placed]]:
    """Every asset's readings with their fences, from one pass over all of them."""
    latitudes: list[int] = []
    longitudes: list[int] = []
    rows: list[int] = []
    row = 0
    for some in evidence.values():
        for one in some:
            latitude = longitude = None
            for channel, value, _ in one.reading.cells:
                if channel == Channel.LATITUDE_E7:
                    latitude = value
                elif channel == Channel.LONGITUDE_E7:
                    longitude = value
                    break
            if latitude is not None and longitude is not None:
                latitudes.append(latitude)
                longitudes.append(longitude)
                rows.append(row)
            row += 1
    columns = np.array(latitudes, dtype=np.int64), np.array(longitudes, dtype=np.int64)
    inside = {rows[place]: fences for place, fences in calm.fences_at(book.fence_index, *columns)}
    placed = {}
    row = 0
    for asset, some in evidence.items():
        placed[asset] = [Placed(one, inside.get(row + place, ())) for place, one in enumerate(some)]
        row += len(some)
    return placed


def _absorbed(facts: Mapping[str, AssetFacts], said: Iterable[SaidEvent], now_ms: int) -> dict[str, AssetFacts]:
    """The facts that stand after what was said about assets."""
    after = dict(facts)
    for one in said:
        asset = one.event.subject
        after[asset] = causes_module.absorb(after.get(asset, AssetFacts()), one, now_ms)
    return after


def _facility_half(state: State, entry: Entry, touched: set[str], log: Log) -> dict[str, FacilityState]:
    """Judge every facility that the asset half or an amendment touches."""
    book = state.book
    if isinstance(entry.content, Amendment):
        concerned = set(book.facilities)
    else:
        concerned = {lot.facility for asset in touched for lot in book.lots_of_asset(asset)}
    for facility in sorted(concerned):
        before = log.facilities.get(facility, FacilityState())
        log.facilities[facility], findings = facility_module.judge(
            book, facility, state.facts, before, entry.recorded_at_ms
        )
        for one in findings:
            said = log.say(one.event)
            log.send(facility, said.id, one.message_type, one.subject, one.event.at_ms, one.data)
    return {key: one for key, one in log.facilities.items() if key in book.facilities}


def _by_asset(book: Book, readings: Iterable[AssetReading]) -> dict[str, list[AssetReading]]:
    """New readings by the asset that their device is fitted to, each list in the order of measurement."""
    grouped: dict[str, list[AssetReading]] = {}
    for one in sorted(readings, key=lambda one: one.key):
        grouped.setdefault(book.installations[one.device].asset, []).append(one)
    return grouped


def _amended_assets(state: State, after: Book) -> frozenset[str]:
    """Assets whose story an amendment may change: those judged by something else, or that came near a changed fence."""
    before = state.book
    changed = [
        book.fence_index.reach_deg(fence)
        for book, other in ((before, after), (after, before))
        for fence, known in book.fences.items()
        if other.fences.get(fence) != known
    ]
    near = {
        asset
        for asset, known in state.assets.items()
        if known.presence is not None and any(_meets(known.presence.box, reach) for reach in changed)
    }
    return frozenset(near) | frozenset(
        asset
        for asset in state.assets
        if after.plan_of(asset)._replace(ground=state.book.ground)
        != state.book.plan_of(asset)._replace(ground=state.book.ground)
    )


def _meets(box: tuple[int, int, int, int], reach: tuple[float, float, float, float]) -> bool:
    """Whether a box in 1e-7 degrees has anything in common with one in degrees. One beyond ±180 meets all round."""
    south, north, west, east = reach
    if south > box[1] / E7 or north < box[0] / E7:
        return False
    return west < -180 or east > 180 or (west <= box[3] / E7 and east >= box[2] / E7)


def _tampering(book: Book, suspicion: Suspicion) -> Event:
    installation = book.installations.get(suspicion.device)
    subject = installation.asset if installation else suspicion.device
    return event(
        EventType.TAMPER_SUSPECTED,
        suspicion.received_at_ms,
        subject,
        device=suspicion.device,
        epoch=suspicion.epoch,
        sequence=suspicion.sequence,
        kind=suspicion.kind,
        raw_sha256=suspicion.raw_sha256,
    )
