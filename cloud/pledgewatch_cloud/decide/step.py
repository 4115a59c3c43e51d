"""`step`: one journal entry and the state before it, in; the state after it, events and messages, out. Pure.

    readings ─► asset half ─► facts that stand ─► alerts and facility half ─► messages

`prepare` begins the asset half (`asset_half.py`) and names the assets that the entry folds again and since when; what
their devices said since then and what was said about them is fetched from disk and given to `step`, for the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from pledgewatch_cloud.decide import admission as admission_module
from pledgewatch_cloud.decide import alert_half, asset_half, care, movements
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import causes as causes_module
from pledgewatch_cloud.decide import facility as facility_module
from pledgewatch_cloud.decide import identity_acts as acts
from pledgewatch_cloud.decide.access import pledges
from pledgewatch_cloud.decide.admission import Admission, Fleet
from pledgewatch_cloud.decide.asset_half import AssetHistory, Work
from pledgewatch_cloud.decide.batch import (
    Amending,
    Amendment,
    DeviceClaim,
    DeviceConfirmation,
    DeviceInvitation,
    DeviceMisuse,
    DeviceRenewal,
    DeviceRevocation,
    Entry,
    Moved,
    Quotation,
    Readings,
    SignedAct,
    StockReport,
    Submission,
    Suspicion,
    Tick,
    batch_of_readings,
)
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral import desk as desk_module
from pledgewatch_cloud.decide.collateral.covenants import Covenant
from pledgewatch_cloud.decide.collateral.desk import Desk, Known
from pledgewatch_cloud.decide.collateral.goods import DAY_MS
from pledgewatch_cloud.decide.collateral.sheet import Sheet
from pledgewatch_cloud.decide.events import Event, EventType, SaidEvent, event
from pledgewatch_cloud.decide.facility import FacilityState, Finding, Valued
from pledgewatch_cloud.decide.identity_book import IdentityBook
from pledgewatch_cloud.decide.log import Log
from pledgewatch_cloud.decide.market import AHEAD_MAX_DAYS, Market
from pledgewatch_cloud.decide.messages import Message
from pledgewatch_cloud.decide.milestones import half, judge
from pledgewatch_cloud.decide.milestones.lifecycle import Memo
from pledgewatch_cloud.decide.milestones.shown import known_of
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.trade import submission
from pledgewatch_cloud.decide.trade.notice import Notice
from pledgewatch_cloud.decide.warehouse import ceilings, handed_in, heard, held
from pledgewatch_cloud.decide.warehouse import half as warehouse_half


class Outcome(NamedTuple):
    """What an entry led to. `withdrawn`: ids of messages of earlier entries that must not be sent any more."""

    state: State
    events: tuple[SaidEvent, ...]
    messages: tuple[Message, ...]
    withdrawn: tuple[str, ...] = ()


_NO_FACTS = AssetFacts()
NO_ADMISSION = Admission((), (), (), (), {}, batch_of_readings(()))


def admission_of(state: State, entry: Entry) -> Admission:
    """The admission of an entry that is read back from the journal."""
    if not isinstance(entry.content, Readings):
        return NO_ADMISSION
    content = entry.content
    fleet = Fleet(state.book.installations, state.identities)
    return admission_module.replayed(state.devices, fleet, content.arrivals, content.suspicions)


WorkedOut = Book | handed_in.WorkedOut


class Prepared(NamedTuple):
    """An entry that is ready for `step`. `work.wanted` names the assets whose history `step` must be given; `fresh`
    are the notices that it brings, `after` what stands of stock and receipts after it, `identities` what stands of
    devices."""

    entry: Entry
    admission: Admission
    book: Book
    market: Market
    work: Work
    fresh: tuple[Notice, ...]
    after: handed_in.AfterEntry
    identities: IdentityBook


def prepare(
    state: State, entry: Entry, admission: Admission = NO_ADMISSION, worked_out: WorkedOut | None = None
) -> Prepared:
    """What can be decided about an entry without its history, and which history that is.

    `admission` is the entry's (NO_ADMISSION where it holds no readings); `worked_out` is what the entry comes to, where
    that is known already: the book, the report that is taken, the receipts or the count. Raises BookError for an
    amendment that the book refuses, MarketError for quotes that the market does, NoticeError for a submission that
    cannot be read, StockError, ActError and CountError for what is refused of stock, of receipts and of counts,
    IdentityError for what is refused of a device.
    """
    book, market, assets, now_ms = state.book, state.market, state.assets, entry.recorded_at_ms
    fresh: Sequence[Notice] = ()
    match entry.content:
        case Readings():
            work = asset_half.share_out(book, assets, admission.readings, now_ms)
        case Amendment(document=document) | DeviceClaim(document=document):
            book = worked_out if isinstance(worked_out, Book) else book_module.amend(book, document)
            facility_module.check_amended(state.book, book, state.facilities, now_ms)
            judge.check_amended(state.book, book, state.milestones)
            held.check_stated(book, state.receipts)
            work = asset_half.amended(state, book)
        case Moved(facility, document):
            book = worked_out if isinstance(worked_out, Book) else movements.moved(book, facility, document)
            work = asset_half.nothing(assets)
        case Tick():
            work = asset_half.time_come(assets, now_ms)
        case Quotation(document=document):
            market = market.quoted(document, now_ms // DAY_MS + AHEAD_MAX_DAYS)
            work = asset_half.nothing(assets)
        case Submission(sender, form, text):
            fresh = state.notices.fresh(submission.read(form, sender, text))
            work = asset_half.nothing(assets)
        case _:
            work = asset_half.nothing(assets)
    after = handed_in.after_entry(state, entry, None if isinstance(worked_out, Book) else worked_out)
    return Prepared(entry, admission, book, market, work, tuple(fresh), after, _identities(state, entry, book))


def _identities(state: State, entry: Entry, book: Book) -> IdentityBook:
    """Devices' identities after an entry. Raises IdentityError."""
    return acts.followed(state.book, book, _acted(state, entry, book), entry.recorded_at_ms)


def _acted(state: State, entry: Entry, book: Book) -> IdentityBook:
    known = state.identities
    match entry.content:
        case DeviceInvitation() as one:
            return acts.invited(state.book, known, one)
        case DeviceClaim() as one:
            return acts.claimed(state.book, known, one)
        case DeviceRenewal() | DeviceConfirmation() | DeviceMisuse() as one:
            return acts.shown(state.book, known, one)
        case DeviceRevocation() as one:
            return acts.revoked(state.book, known, one)
        case Amendment():
            return acts.amended(state.book, book, known, entry.recorded_at_ms)
        case _:
            return known


def step(state: State, prepared: Prepared, history: Mapping[str, AssetHistory]) -> Outcome:
    """Decide what an entry means.

    `prepared` is the entry's for this state; `history` holds every asset that it wants. Raises AssertionError where the
    entry does not follow the state: a broken invariant.
    """
    entry, admission, book = prepared.entry, prepared.admission, prepared.book
    assert entry.number == state.entry + 1, f"entry {entry.number} does not follow {state.entry}"
    assert entry.recorded_at_ms >= state.recorded_at_ms, f"entry {entry.number} was recorded before the last one"
    heard_until_ms, files = state.horizon_ms, state.files
    match entry.content:
        case Tick(until_ms):
            heard_until_ms = max(heard_until_ms, min(until_ms, entry.recorded_at_ms))
        case Amendment(_, file, sha256) if file:
            files = {**files, file: sha256}
        case _:
            pass
    before, fresh = state, prepared.fresh
    state = replace(
        state,
        entry=entry.number,
        recorded_at_ms=entry.recorded_at_ms,
        horizon_ms=heard_until_ms,
        book=book,
        market=prepared.market,
        files=files,
        notices=state.notices.taken(fresh) if fresh else state.notices,
        stock=prepared.after.stock,
        receipts=prepared.after.receipts,
        identities=prepared.identities,
        care=care.followed(state.care, entry.content, entry.number),
        watch=ceilings.carried(state.watch, state.receipts, state.stock, prepared.after.stock.horizon_ms),
        devices={**state.devices, **admission.devices} if admission.devices else state.devices,
    )
    log = Log(state.journal, entry, state.facilities)
    for suspicion in admission.suspicions:
        log.say(_tampering(book, suspicion))
    if isinstance(entry.content, DeviceMisuse | DeviceRenewal):
        kind = acts.suspicion(before.identities, state.identities, entry.content)
        if kind:
            log.say(_two_are(book, entry.content.device, kind, entry.recorded_at_ms))
    state = replace(state, assets=asset_half.judge(state, prepared.work, history, entry, log))
    _say_handed_in(before, prepared, log)
    is_amended = isinstance(entry.content, Amending)
    state = warehouse_half.judge(
        state, admission.readings, prepared.work.wanted.keys(), prepared.after.counted, is_amended, log
    )
    state = heard.followed(before, state)
    touched = {said.event.subject for said in log.said}
    facts = _absorbed(state.facts, log.said, entry.recorded_at_ms) if touched else state.facts
    alerts = alert_half.judge(book, facts, state.alerts, entry, touched, log)
    state = replace(state, facts=facts, alerts=alerts)
    desk, valued = _followed(before, state, prepared, touched)
    revalued = _facility_half(before.book, state, entry, touched, valued, log)
    _close(before.book, state, valued, log)
    for one in fresh:
        log.say(_given(book, one))
    reheld = desk_module.held_otherwise(before.held, state.held)
    milestones = _milestone_half(state, prepared, touched, revalued, reheld, valued.now, log)
    losses = state.losses if valued.before is valued.now else desk_module.losses_of(valued.now)
    at = entry.number, entry.recorded_at_ms
    was, now = (before.book, before.receipts), (book, state.receipts)
    ties = pledges.followed(before.pledges, was, now, at, before.recorded_at_ms)
    return Outcome(
        replace(state, facilities=log.facilities, milestones=milestones, losses=losses, pledges=ties, desk=desk),
        tuple(log.said),
        tuple(log.messages),
        tuple(log.withdrawn),
    )


def _absorbed(facts: Mapping[str, AssetFacts], said: Iterable[SaidEvent], now_ms: int) -> dict[str, AssetFacts]:
    """The facts that stand after what was said about assets."""
    after = dict(facts)
    for one in said:
        asset = one.event.subject
        known = after.get(asset, _NO_FACTS)
        now = causes_module.absorb(known, one, now_ms)
        if now is not known:
            after[asset] = now
    return after


def _say_handed_in(before: State, prepared: Prepared, log: Log) -> None:
    """Say what a report of stock or an act on a receipt has brought."""
    match prepared.entry.content:
        case StockReport(source=source) if prepared.after.report is not None:
            log.say(handed_in.reported(source, prepared.entry.recorded_at_ms, prepared.after.report))
        case SignedAct() as handed:
            for one in handed_in.changed(before.receipts, prepared.after.receipts, handed_in.act_of(handed)):
                log.say(one)
        case _:
            pass


def _followed(before: State, state: State, prepared: Prepared, touched: set[str]) -> tuple[Desk, Valued]:
    """The desk after the entry, and how it came there."""
    was = Known(before.book, before.market, before.facts, before.assets, before.held)
    desk = before.desk or desk_module.opened(was, before.losses, before.recorded_at_ms)
    known = Known(state.book, state.market, state.facts, state.assets, state.held)
    told = touched | prepared.work.wanted.keys()
    after, stages = desk_module.follow(
        desk, was, known, told, prepared.admission.readings.devices, state.recorded_at_ms
    )
    return after, Valued(desk.sheet, after.sheet, stages)


def _facility_half(before: Book, state: State, entry: Entry, touched: set[str], valued: Valued, log: Log) -> set[str]:
    """Judge every facility that the asset half, an amendment or another value touches. Returns those whose base is
    another one than before."""
    book, revalued = state.book, set[str]()
    if isinstance(entry.content, Amending):
        concerned = set(book.facilities)
    else:
        concerned = {lot.facility for asset in touched for lot in book.lots_of_asset(asset)}
        if valued.before is not valued.now:
            concerned.update(desk_module.changed_lines(valued.before, valued.now))
        if isinstance(entry.content, Tick):
            due = facility_module.covenants_due(log.facilities, entry.recorded_at_ms)
            concerned.update(one for one in due if one in book.facilities)
    for facility in sorted(concerned):
        was = log.facilities.get(facility, FacilityState())
        old, new = before.facilities.get(facility), book.facilities[facility]
        is_taken_over = old is not None and (old.lender, old.borrower) != (new.lender, new.borrower)
        now, findings = facility_module.judge(
            book, facility, was, valued, entry.recorded_at_ms, is_taken_over=is_taken_over
        )
        log.facilities[facility] = now
        if now.base != was.base:
            revalued.add(facility)
        _tell(facility, findings, log)
    return revalued


def _close(before: Book, state: State, valued: Valued, log: Log) -> None:
    """Say what must be said of facilities that have left the book. Each is kept: it may come back, and its messages are
    numbered on."""
    for facility in sorted(before.facilities.keys() - state.book.facilities.keys()):
        was, currency = log.facilities.get(facility, FacilityState()), before.facilities[facility].currency
        _tell(facility, facility_module.closed(facility, currency, was, valued, state.recorded_at_ms), log)
        log.facilities[facility] = log.facilities[facility]._replace(base=None, covenant=Covenant())


def _tell(facility: str, findings: Iterable[Finding], log: Log) -> None:
    for one in findings:
        said = log.say(one.event)
        log.send(facility, said.id, one.message_type, one.subject, one.event.at_ms, one.data)


def _milestone_half(
    state: State,
    prepared: Prepared,
    touched: set[str],
    revalued: set[str],
    reheld: Sequence[str],
    sheet: Sheet,
    log: Log,
) -> Mapping[str, Memo]:
    """Judge every milestone that the entry may touch."""
    known = known_of(replace(state, facilities=log.facilities))
    value_of = partial(bases.value_of, sheet)
    memos, fresh = state.milestones, prepared.fresh
    return half.judge(known, prepared.entry, memos, touched, revalued, reheld, fresh, value_of, log)


def _given(book: Book, one: Notice) -> Event:
    """That notice was given of something, or taken back."""
    shipments = {book.milestones[milestone].shipment for milestone in book.milestones_about(one)} - {""}
    about: dict[str, int | str] = {"notice": one.key, "kind": one.kind, "references": " ".join(one.references)}
    for name in ("place", "withdraws", "replaces"):
        if getattr(one, name):
            about[name] = getattr(one, name)
    given = EventType.NOTICE_WITHDRAWN if one.withdraws else EventType.NOTICE_TAKEN
    return event(given, one.happened_ms, min(shipments, default=one.sender), **about)


def _two_are(book: Book, device: str, kind: str, at_ms: int) -> Event:
    """That two seem to be one device: its card was copied, or its key is somebody else's."""
    asset = book.installations[device].asset
    return event(EventType.TAMPER_SUSPECTED, at_ms, asset, device=device, kind=kind)


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
