"""The composition root: wires the service together and runs it until it is told to stop.

broker ─ subscriber ─ ingest loop ─ writer (spine, store) ─ relays ─ endpoints
                                      └ ticks, API        (series: a process of its own, follower.py)
"""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pledgewatch_cloud import delivery
from pledgewatch_cloud.api.access import Service
from pledgewatch_cloud.api.app import create_app
from pledgewatch_cloud.book_at_start import BookFileError, amend_from_files
from pledgewatch_cloud.broker import EmbeddedBroker
from pledgewatch_cloud.clock import Clock, SystemClock
from pledgewatch_cloud.config import BrokerSettings, CloudSettings, DropSettings, LoginSettings, MembershipSettings
from pledgewatch_cloud.configured import broker_address, clock_of, series_of
from pledgewatch_cloud.credentials import (
    CredentialError,
    authority_of,
    care_key_of,
    member_keys,
    sender_keys,
    signer_of,
    token_in,
)
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.drop_folder import DropFolder, Taker
from pledgewatch_cloud.follower import keep_following
from pledgewatch_cloud.identity.broker_files import BrokerFiles, files_of
from pledgewatch_cloud.identity.carer import Carer
from pledgewatch_cloud.identity.registrar import Registrar
from pledgewatch_cloud.ingest.answers import Answers
from pledgewatch_cloud.ingest.caring import Caring
from pledgewatch_cloud.ingest.connect import connect_subscriber
from pledgewatch_cloud.ingest.hearing import Hearing
from pledgewatch_cloud.ingest.loop import IngestLoop
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_cloud.ingest.subscriber import Subscriber, client_ids
from pledgewatch_cloud.journal.outbox import OutboxMessage
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.login.login import Login
from pledgewatch_cloud.login.tokens import Terms
from pledgewatch_cloud.login_provider import provider_of
from pledgewatch_cloud.membership.client import Client
from pledgewatch_cloud.membership.membership import Membership
from pledgewatch_cloud.notices.drop import NoticeFiles
from pledgewatch_cloud.notices.intake import Intake
from pledgewatch_cloud.notices.metrics import Submissions
from pledgewatch_cloud.notices.senders import Senders
from pledgewatch_cloud.outbox.relay import Relay
from pledgewatch_cloud.outbox.webhook import Tls
from pledgewatch_cloud.receipts.signer import Signer
from pledgewatch_cloud.series.series import Series, SeriesError
from pledgewatch_cloud.serving import Server, ServingError, at_the_address, listen, sole_use
from pledgewatch_cloud.spine.snapshots import Snapshots
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_cloud.stock.drop import StockFiles
from pledgewatch_cloud.stock.intake import StockIntake
from pledgewatch_cloud.stock.reports import StockReports
from pledgewatch_wire import topics
from pledgewatch_wire.settings import unreadable
from pledgewatch_wire.topics import Kind

_COLLECT_AFTER = 100_000, 50, 100
_SWITCH_S = 0.001
_FILTERS = tuple(topics.topic_filter(kind) for kind in (Kind.UP, Kind.STATUS, Kind.ANSWER))
log = logging.getLogger(__name__)


class ServiceError(Exception):
    """The service cannot start; the sentence says why and what to do."""


class _Open(NamedTuple):
    """What is open for as long as the service runs."""

    listener: socket.socket
    token: str | None
    senders: Senders
    signer: Signer | None
    clock: Clock
    store: SqliteStore
    writer: Writer
    relays: dict[str, Relay]
    series: Series
    subscriber: Subscriber
    membership: Membership | None
    login: Login | None
    registrar: Registrar | None
    carer: Carer | None
    broker_files: BrokerFiles | None
    metrics: Metrics
    submissions: Submissions
    stock_reports: StockReports


async def run(settings: CloudSettings, config: Path) -> None:
    """Run until SIGTERM or SIGINT. Raises ServiceError, StoreError or DamagedError where it cannot start."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        try:
            opened = await _open(settings, stack)
        except (BookFileError, CredentialError, SeriesError, ServingError, delivery.DeliveryError) as error:
            raise ServiceError(str(error)) from None
        await _work(settings, config, opened, stop)
        log.info("stopping")


async def _open(settings: CloudSettings, stack: contextlib.AsyncExitStack) -> _Open:
    """Open everything; files, secrets, address and folder are looked at before anything is changed."""
    if faults := unreadable(settings.files()):
        raise ServiceError("\n".join(faults))
    token, senders = token_in(settings.api.token_file), Senders(sender_keys(settings.senders))
    signer = signer_of(settings.receipts)
    devices = (
        None if settings.devices is None else authority_of(settings.devices, client_ids(settings.broker.client_id))
    )
    listener = stack.enter_context(listen("the API", settings.api.host, settings.api.port, "[api]"))
    stack.enter_context(sole_use(settings.service.data_folder, "pledgewatch-cloud"))
    store = SqliteStore(settings.service.data_folder)
    stack.callback(store.close)
    clock = clock_of(settings)
    spine = _spine(settings, store, clock, stack)
    _spare_the_collector()
    # A batch is taken in beside the event loop, which waits so long for the interpreter whenever it wakes; else 5 ms.
    sys.setswitchinterval(_SWITCH_S)
    log.info("journal %s stands at entry %d", store.journal, spine.state.entry)
    relays: dict[str, Relay] = {}
    writer = Writer(spine, partial(delivery.wake, relays))
    relays |= await _relays(settings, store, clock, writer, stack)
    series = series_of(settings, store.journal)
    stack.callback(series.close)
    subscriber = await _subscriber(settings, stack)
    membership = await _membership(settings.registry, writer, stack)
    login = await _login(settings.login, stack)
    registrar = broker_files = carer = None
    if settings.devices is not None and devices is not None:
        broker_files = files_of(settings.devices, writer, devices[0], SystemClock(), lambda: subscriber.connected)
        registrar = Registrar(
            *(writer, *devices),
            clock=SystemClock(),
            journal_clock=clock,
            known=None if broker_files is None else broker_files.known,
            forgotten=() if broker_files is None else broker_files.forgotten,
        )
        carer = Carer(care_key_of(settings.devices), SystemClock())
    return _Open(
        *(listener, token, senders, signer, clock, store, writer, relays, series, subscriber, membership, login),
        registrar=registrar,
        carer=carer,
        broker_files=broker_files,
        metrics=Metrics.of(store.said()),
        submissions=Submissions(),
        stock_reports=StockReports(),
    )


async def _work(settings: CloudSettings, config: Path, opened: _Open, stop: asyncio.Event) -> None:
    """Run everything, and return when `stop` is set and all of it has ended."""
    caring = Caring(opened.subscriber, opened.writer, SystemClock())
    ingest, service = _ingest(settings, opened, caring), _service(settings, opened)
    server = _server(settings, service)
    loops = {
        "ingest": ingest.run(),
        "committed": ingest.answer(),
        "care": caring.run(),
        "ticks": ingest.ticks(settings.ingest.tick_s),
        "series": keep_following(config),
        "audit": service.audit.run(),
        **{f"relay {name}": one.run() for name, one in opened.relays.items()},
    }
    notices = NoticeFiles(Intake(opened.writer, opened.store, opened.submissions, SystemClock()))
    stock = StockFiles(StockIntake(opened.writer, opened.store, opened.stock_reports, opened.clock))
    watched: tuple[tuple[DropSettings, Taker], ...] = ((settings.notices, notices), (settings.stock, stock))
    for drop, taker in watched:
        if drop.drop_folder is not None:
            loops[taker.noun] = DropFolder(drop.drop_folder, taker, drop.look_every_s).run()
    if opened.membership is not None:
        loops["registry"] = opened.membership.run()
    if opened.broker_files is not None:
        loops["broker's files"] = opened.broker_files.run()
    if opened.login is not None:
        loops["login"] = opened.login.provider.run()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop, name=name) for name, loop in loops.items()]
        api = group.create_task(server.serve(sockets=[opened.listener]), name="api")
        api.add_done_callback(lambda _: stop.set())
        await stop.wait()
        service.streams.end()
        service.refolds.end()
        server.should_exit = True
        for task in tasks:
            task.cancel()
    service.refolds.close()
    await service.audit.commit()


def _ingest(settings: CloudSettings, opened: _Open, caring: Caring) -> IngestLoop:
    ingest = settings.ingest
    return IngestLoop(
        opened.subscriber,
        opened.writer,
        opened.clock,
        Answers(after_readings=ingest.committed_after_readings, after_s=ingest.committed_after_s),
        Hearing(ingest.hearing_grace_s),
        opened.metrics,
        caring,
        batch_age_s=ingest.batch_age_s,
    )


def _service(settings: CloudSettings, opened: _Open) -> Service:
    """What the API speaks for."""
    return Service(
        store=opened.store,
        writer=opened.writer,
        series=opened.series,
        metrics=opened.metrics,
        delivery_clock=SystemClock(),
        wake_relay=partial(delivery.wake, opened.relays),
        relays=opened.relays,
        payers=settings.payers(),
        broker_connected=lambda: opened.subscriber.connected,
        broker_counts=lambda: opened.subscriber.counts,
        token=opened.token,
        senders=opened.senders,
        signer=opened.signer,
        submissions=opened.submissions,
        stock_reports=opened.stock_reports,
        clock=opened.clock,
        membership=opened.membership,
        login=opened.login,
        registrar=opened.registrar,
        carer=opened.carer,
        requests_per_minute=settings.api.requests_per_minute,
        requests_per_minute_of=settings.api.requests_per_minute_of.set_ones(),
        body_s=settings.api.body_s,
        state_stands_s=settings.api.state_stands_s,
    )


def _server(settings: CloudSettings, service: Service) -> Server:
    """The API, not yet running."""
    app = create_app(service, stage=settings.demo.stage if settings.demo else "")
    return Server(at_the_address(app, settings.api))


async def _subscriber(settings: CloudSettings, stack: contextlib.AsyncExitStack) -> Subscriber:
    """A subscriber at the broker, which is our own where one is embedded."""
    broker, address = settings.broker, broker_address(settings)
    if broker.embedded:
        address = replace(address, port=await _embedded_broker(broker, stack))
    filters = [f"$share/{broker.share}/{one}" if broker.share else one for one in _FILTERS]
    return await stack.enter_async_context(connect_subscriber(address, filters, broker.protocol))


async def _membership(
    one: MembershipSettings | None, writer: Writer, stack: contextlib.AsyncExitStack
) -> Membership | None:
    """Raises CredentialError, ServiceError."""
    if one is None:
        return None
    keys, marks_keys = member_keys(one)
    try:
        client = Client(
            one.url,
            one.member,
            keys,
            SystemClock(),
            timeout_s=one.timeout_s,
            tls=Tls(one.ca_file, one.certificate_file, one.key_file),
            allow_private=one.allow_private_networks,
        )
    except OSError as error:
        raise ServiceError(f"[registry] {error.filename or 'its certificates'}: {error}") from None
    return Membership(
        writer,
        await stack.enter_async_context(client),
        marks_keys,
        clock=SystemClock(),
        look_every_s=one.look_every_s,
        claims_an_hour=one.claims_an_hour,
    )


async def _login(one: LoginSettings | None, stack: contextlib.AsyncExitStack) -> Login | None:
    """Raises CredentialError, ServiceError."""
    if one is None:
        return None
    try:
        found = provider_of(one)
    except OSError as error:
        raise ServiceError(f"[login] ca_file {one.ca_file}: {error}") from None
    return Login(
        await stack.enter_async_context(found),
        Terms(one.issuer, one.client_id, one.audience, one.clock_skew_s, one.allow_untyped_access_tokens),
        one.base_url.rstrip("/"),
        clock=SystemClock(),
        now_s=time.monotonic,
        idle_s=one.session_idle_s,
        whole_s=one.session_s,
    )


async def _embedded_broker(broker: BrokerSettings, stack: contextlib.AsyncExitStack) -> int:
    """Run one; the port at which it listens."""
    embedded = EmbeddedBroker(broker.host, broker.port, password_file=broker.accounts_file)
    try:
        return (await stack.enter_async_context(embedded)).port
    except OSError as error:
        where = f"{broker.host}:{broker.port}"
        raise ServiceError(f"the embedded broker cannot listen on {where}: {error.strerror}") from None


def _spine(settings: CloudSettings, store: SqliteStore, clock: Clock, stack: contextlib.AsyncExitStack) -> Spine:
    """The spine as its journal left it, with the book files that are new. Raises BookFileError."""
    snapshots = Snapshots(store)
    stack.callback(snapshots.close)
    every = settings.ingest.snapshot_every_entries
    spine = Spine(store, clock, snapshot_every_entries=every, keep=snapshots.keep)
    stack.callback(_tell_the_end, spine)
    amend_from_files(spine, settings.book.files)
    return spine


def _tell_the_end(spine: Spine) -> None:
    """What `replay` must come to, said by the one who was there."""
    log.info("stopped at entry %d, state %s", spine.state.entry, state_module.digest(spine.state))


def _spare_the_collector() -> None:
    """A batch is tens of thousands of small objects that point at nothing behind them: their counts free them. Going
    round them, and round a state that stays, in search of cycles would take longer than the work itself."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


async def _relays(
    settings: CloudSettings, store: SqliteStore, clock: Clock, writer: Writer, stack: contextlib.AsyncExitStack
) -> dict[str, Relay]:
    """Raises DeliveryError."""
    if settings.core is None:
        log.warning("no [core] is configured: what it is to have waits in the outbox")

    def booked(payer: str, message: OutboxMessage, release: str) -> Awaitable[object]:
        return writer.commit(drafts.booked, message, release, payer=payer)

    return await delivery.relays_of(settings, store, clock, stack, booked, writer.obstacle, writer.payer_of)
