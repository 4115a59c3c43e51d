"""`step`: one journal entry and the state before it, in; the state after it, events and messages, out. Pure.

What a step needs from disk is fetched before it and passed in: `wanted_history` names the assets that the entry folds
again, and `step` is given all that their devices ever said and what was said about them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from pledgewatch_cloud.decide import admission as admission_module
from pledgewatch_cloud.decide import asset as asset_module
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import facility as facility_module
from pledgewatch_cloud.decide.admission import Admission
from pledgewatch_cloud.decide.asset import AssetState, Placed
from pledgewatch_cloud.decide.batch import Amendment, AssetReading, Entry, Readings, Suspicion, Tick
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.events import Event, EventType, SaidEvent, difference, event, retraction
from pledgewatch_cloud.decide.facility import AssetFacts, FacilityState, Finding
from pledgewatch_cloud.decide.messages import Message, message
from pledgewatch_cloud.decide.state import State


class AssetHistory(NamedTuple):
    """All committed readings of an asset's devices in any order, and the events about it that stand."""

    readings: tuple[AssetReading, ...]
    said: tuple[SaidEvent, ...]


class Outcome(NamedTuple):
    """What an entry led to."""

    state: State
    events: tuple[SaidEvent, ...]
    messages: tuple[Message, ...]


NO_ADMISSION = Admission((), (), (), (), {}, ())


def admission_of(state: State, entry: Entry) -> Admission:
    """The admission of an entry that is read back from the journal."""
    if not isinstance(entry.content, Readings):
        return NO_ADMISSION
    content = entry.content
    return admission_module.replayed(state.devices, state.book, content.arrivals, content.suspicions)


def wanted_history(state: State, entry: Entry, admission: Admission) -> frozenset[str]:
    """The assets whose history `step` must be given for this entry."""
    match entry.content:
        case Readings():
            grouped = _by_asset(state.book, admission.readings)
            return frozenset(
                asset
                for asset, readings in grouped.items()
                if not asset_module.in_order(state.assets.get(asset, AssetState()), asset, state.book, readings)
            )
        case Amendment(document):
            return _amended_assets(state, book_module.amend(state.book, document))
        case Tick():
            return frozenset()


def step(state: State, entry: Entry, admission: Admission, history: Mapping[str, AssetHistory]) -> Outcome:
    """Decide what an entry means.

    `admission` is the entry's (NO_ADMISSION where it holds no readings); `history` holds every asset that
    `wanted_history` named. Raises AssertionError where the entry does not follow the state: a broken invariant.
    """
    assert entry.number == state.entry + 1, f"entry {entry.number} does not follow {state.entry}"
    assert entry.recorded_at_ms >= state.recorded_at_ms, f"entry {entry.number} was recorded before the last one"
    book, horizon_ms = state.book, state.horizon_ms
    match entry.content:
        case Amendment(document):
            book = book_module.amend(book, document)
        case Tick():
            horizon_ms = max(horizon_ms, entry.recorded_at_ms)
        case Readings():
            pass
    state = replace(
        state,
        entry=entry.number,
        recorded_at_ms=entry.recorded_at_ms,
        horizon_ms=horizon_ms,
        book=book,
        devices={**state.devices, **admission.devices} if admission.devices else state.devices,
    )
    log = _Log(entry)
    state = _asset_half(state, entry, admission, history, log)
    state = _facility_half(state, entry, log)
    return Outcome(state, tuple(log.said), tuple(log.messages))


class _Log:
    """What an entry has led to so far; numbers events as they are said."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self.said: list[SaidEvent] = []
        self.messages: list[Message] = []

    def say(self, one: Event) -> SaidEvent:
        said = SaidEvent(f"{self._entry.number}.{len(self.said)}", one)
        self.said.append(said)
        return said


def _asset_half(
    state: State, entry: Entry, admission: Admission, history: Mapping[str, AssetHistory], log: _Log
) -> State:
    """Fold the readings of each asset on, or from its start where history was asked for."""
    for suspicion in admission.suspicions:
        log.say(_tampering(state.book, suspicion))
    told = _by_asset(state.book, admission.readings)
    for asset, past in history.items():
        every = {one.key: one for one in (*past.readings, *told.get(asset, ()))}
        told[asset] = sorted(every.values(), key=lambda one: one.key)
    found = _placed(state.book, told)
    is_tick = isinstance(entry.content, Tick)
    assets = dict(state.assets)
    for asset in sorted(assets if is_tick else told):
        known = history.get(asset)
        before = assets.get(asset, AssetState()) if known is None else AssetState()
        silences = {key: said_id for key, (said_id, _) in state.facts.get(asset, AssetFacts()).silences.items()}
        after, events = asset_module.fold(before, asset, state.book, found.get(asset, ()), silences)
        if known is not None or is_tick:
            after, passed = asset_module.pass_time(after, asset, state.book, state.horizon_ms)
            events += passed
        assets[asset] = after
        retracted, news = difference(known.said if known else (), events)
        for one in retracted:
            log.say(retraction(one.id, one.event))
        for one_new in news:
            log.say(one_new)
    return replace(state, assets=assets)


def _placed(book: Book, told: Mapping[str, list[AssetReading]]) -> dict[str, list[Placed]]:
    """Every asset's readings with their fences, from one pass over all of them."""
    rows = iter(asset_module.placed(book.fence_index, [one for some in told.values() for one in some]))
    return {asset: [row for row in islice(rows, len(some)) if row.is_evidence] for asset, some in told.items()}


def _facility_half(state: State, entry: Entry, log: _Log) -> State:
    """Absorb what the asset half said, then judge every facility that it or an amendment touches."""
    facts = dict(state.facts)
    touched: set[str] = set()
    for said in log.said:
        asset = said.event.subject
        facts[asset] = facility_module.absorb(facts.get(asset, AssetFacts()), said)
        touched |= {lot.facility for lot in state.book.lots_of_asset(asset)}
    if isinstance(entry.content, Amendment):
        touched |= set(state.book.facilities)
    facilities = {key: one for key, one in state.facilities.items() if key in state.book.facilities}
    for facility in sorted(touched):
        before = facilities.get(facility, FacilityState())
        after, findings = facility_module.judge(state.book, facility, facts, before, entry.recorded_at_ms)
        facilities[facility] = after
        for place, finding in enumerate(findings):
            _announce(state, finding, facility, before.messages_sent + place + 1, log)
    return replace(state, facts=facts, facilities=facilities)


def _announce(state: State, finding: Finding, facility: str, sequence: int, log: _Log) -> None:
    said = log.say(finding.event)
    log.messages.append(
        message(
            state.journal,
            said.id,
            finding.message_type,
            facility,
            sequence,
            finding.subject,
            finding.event.at_ms,
            finding.data,
        )
    )


def _by_asset(book: Book, readings: Iterable[AssetReading]) -> dict[str, list[AssetReading]]:
    """New readings by the asset that their device is fitted to, each list in the order of measurement."""
    grouped: dict[str, list[AssetReading]] = {}
    for one in sorted(readings, key=lambda one: one.key):
        grouped.setdefault(book.installations[one.device].asset, []).append(one)
    return grouped


def _amended_assets(state: State, after: Book) -> frozenset[str]:
    """Assets whose story an amendment may change: those of fences, limits or silences that differ."""
    before = state.book
    if after.fence_index is not before.fence_index:
        return frozenset(state.assets)
    touched = set()
    for old, new in ((before.lots, after.lots), (before.installations, after.installations)):
        for key in {*old, *new}:
            if old.get(key) != new.get(key):
                touched |= {one[key].asset for one in (old, new) if key in one}
    return frozenset(touched & set(state.assets))


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
