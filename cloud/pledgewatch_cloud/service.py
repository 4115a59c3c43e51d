"""The composition root: wires the service together and runs it until it is told to stop.

broker ─ subscriber ─ ingest loop ─ writer (spine, store) ─ relays ─ endpoints
                                      └ ticks, API        (series: a process of its own, follower.py)
"""

import asyncio
import contextlib
import fcntl
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import uvicorn

from pledgewatch_cloud import delivery
from pledgewatch_cloud.api.access import Service
from pledgewatch_cloud.api.app import create_app
from pledgewatch_cloud.book_file import BookFile, DocumentError, read_book_file
from pledgewatch_cloud.broker import EmbeddedBroker
from pledgewatch_cloud.clock import Clock, CompressedClock, SystemClock
from pledgewatch_cloud.config import ApiSettings, CloudSettings, SenderSettings
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.step import Outcome
from pledgewatch_cloud.follower import keep_following
from pledgewatch_cloud.ingest.answers import Answers
from pledgewatch_cloud.ingest.connect import connect_subscriber
from pledgewatch_cloud.ingest.hearing import Hearing
from pledgewatch_cloud.ingest.loop import IngestLoop
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_cloud.ingest.subscriber import BrokerAddress
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.notices.drop import Drop
from pledgewatch_cloud.notices.intake import Intake
from pledgewatch_cloud.notices.senders import SenderKeys, Senders
from pledgewatch_cloud.outbox.relay import Relay
from pledgewatch_cloud.outbox.signature import Key
from pledgewatch_cloud.series.series import SeriesError
from pledgewatch_cloud.series_command import opened
from pledgewatch_cloud.spine.snapshots import Snapshots
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_wire import topics
from pledgewatch_wire.settings import unreadable
from pledgewatch_wire.topics import Kind

TOKEN_MIN_CHARACTERS = 16
_COLLECT_AFTER = 100_000, 50, 100
log = logging.getLogger(__name__)

Taken = TypeVar("Taken")

FILTERS = (topics.topic_filter(Kind.UP), topics.topic_filter(Kind.STATUS))


class ServiceError(Exception):
    """The service cannot start; the sentence says why and what to do."""


async def run(settings: CloudSettings, config: Path) -> None:
    """Run until SIGTERM or SIGINT. Raises ServiceError, StoreError or DamagedError where it cannot start."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        await _start(settings, config, stack, stop)
        log.info("stopping")


async def _start(settings: CloudSettings, config: Path, stack: contextlib.AsyncExitStack, stop: asyncio.Event) -> None:
    """Open everything, run everything, and return when `stop` is set and all of it has ended."""
    if faults := unreadable(settings.files()):
        raise ServiceError("\n".join(faults))
    listener = stack.enter_context(_listen(settings.api))
    folder = settings.service.data_folder
    stack.enter_context(_sole_use(folder))
    store = SqliteStore(folder)
    stack.callback(store.close)
    clock = clock_of(settings)
    spine = _spine(settings, store, clock, stack)
    _spare_the_collector()
    log.info("journal %s stands at entry %d", store.journal, spine.state.entry)

    relays: dict[str, Relay] = {}
    writer = Writer(spine, lambda: delivery.wake(relays, spine.withdrawn))
    relays |= await _relays(settings, store, clock, writer, stack)
    try:
        series = opened(settings, store.journal)
    except SeriesError as error:
        raise ServiceError(str(error)) from None
    stack.callback(series.close)
    address = broker_address(settings)
    if settings.broker.embedded:
        try:
            broker = await stack.enter_async_context(
                EmbeddedBroker(settings.broker.host, settings.broker.port, password_file=settings.broker.accounts_file)
            )
        except OSError as error:
            where = f"{settings.broker.host}:{settings.broker.port}"
            raise ServiceError(f"the embedded broker cannot listen on {where}: {error.strerror}") from None
        address = replace(address, port=broker.port)
    filters = [f"$share/{settings.broker.share}/{one}" if settings.broker.share else one for one in FILTERS]
    subscriber = await stack.enter_async_context(connect_subscriber(address, filters, settings.broker.protocol))
    answers = Answers(
        after_readings=settings.ingest.committed_after_readings, after_s=settings.ingest.committed_after_s
    )
    metrics = Metrics()
    ingest = IngestLoop(
        subscriber,
        writer,
        clock,
        answers,
        Hearing(settings.ingest.hearing_grace_s),
        metrics,
        batch_age_s=settings.ingest.batch_age_s,
    )
    app = create_app(
        Service(
            store=store,
            writer=writer,
            series=series,
            metrics=metrics,
            delivery_clock=SystemClock(),
            wake_relay=partial(delivery.wake, relays),
            relays=relays,
            payers=settings.payers(),
            broker_connected=lambda: subscriber.connected,
            broker_counts=lambda: subscriber.counts,
            token=token_in(settings.api.token_file),
            senders=Senders(sender_keys(settings.senders)),
        )
    )
    server = _Server(
        uvicorn.Config(app, host=settings.api.host, port=settings.api.port, log_config=None, access_log=False)
    )
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(ingest.run(), name="ingest"),
            group.create_task(ingest.answer(), name="committed"),
            group.create_task(ingest.ticks(settings.ingest.tick_s), name="ticks"),
            group.create_task(keep_following(config), name="series"),
        ]
        if settings.notices.drop_folder is not None:
            intake = Intake(writer, store, metrics, SystemClock())
            drop = Drop(settings.notices.drop_folder, intake, settings.notices.look_every_s)
            tasks.append(group.create_task(drop.run(), name="notices"))
        tasks += [group.create_task(one.run(), name=f"relay {name}") for name, one in relays.items()]
        api = group.create_task(server.serve(sockets=[listener]), name="api")
        api.add_done_callback(lambda _: stop.set())
        await stop.wait()
        server.should_exit = True
        for task in tasks:
            task.cancel()


def _spine(settings: CloudSettings, store: SqliteStore, clock: Clock, stack: contextlib.AsyncExitStack) -> Spine:
    """The spine as its journal left it, with the book files that are new."""
    snapshots = Snapshots(store)
    stack.callback(snapshots.close)
    every = settings.ingest.snapshot_every_entries
    spine = Spine(store, clock, snapshot_every_entries=every, keep=snapshots.keep)
    stack.callback(_tell_the_end, spine)
    _amend_from_files(spine, settings.book.files)
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


def _listen(api: ApiSettings) -> socket.socket:
    """The API's socket, before anything else is opened: what cannot be reached need not start."""
    try:
        return socket.create_server((api.host, api.port))
    except OSError as error:
        where = f"{api.host}:{api.port}"
        raise ServiceError(f"the API cannot listen on {where} ({error.strerror}); choose another in [api]") from None


@contextlib.contextmanager
def _sole_use(folder: Path) -> Iterator[None]:
    """A journal has one writer: a lock on a file beside it, let go of by the kernel however we end."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((folder / "lock").open("w", encoding="ascii"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError(f"{folder} is in use by another pledgewatch-cloud") from None
        except OSError as error:
            text = f"{error.filename or folder} cannot be used ({error.strerror}); choose another [service] data_folder"
            raise ServiceError(text) from None
        yield


async def _relays(
    settings: CloudSettings, store: SqliteStore, clock: Clock, writer: Writer, stack: contextlib.AsyncExitStack
) -> dict[str, Relay]:
    if settings.core is None:
        log.warning("no [core] is configured: what it is to have waits in the outbox")
    try:
        return await delivery.relays_of(settings, store, clock, stack, writer.booked, writer.obstacle)
    except delivery.DeliveryError as error:
        raise ServiceError(str(error)) from None


def clock_of(settings: CloudSettings) -> Clock:
    """The journal's clock, as configured."""
    if settings.clock is None:
        return SystemClock()
    one = settings.clock
    return CompressedClock(one.simulated_start_ms, one.speed, one.anchor_ms, one.simulated_end_ms)


def broker_address(settings: CloudSettings) -> BrokerAddress:
    """Where the broker is, as configured."""
    broker = settings.broker
    return BrokerAddress(
        host=broker.host,
        port=broker.port,
        client_id=broker.client_id,
        username=broker.username,
        password_file=broker.password_file,
        ca_file=broker.ca_file,
        certificate_file=broker.certificate_file,
        key_file=broker.key_file,
        keep_alive_s=broker.keep_alive_s,
        receive_maximum=broker.receive_maximum,
        session_expiry_s=broker.session_expiry_s,
        reconnect_max_s=broker.reconnect_max_s,
    )


def book_faults(files: tuple[Path, ...]) -> list[str]:
    """What is wrong in the book files that are there, as the first that a journal takes, in their order."""
    book, faults = book_module.empty(), list[str]()
    for path in files:
        if path.exists():  # what is not is told with the other files that are missing
            try:
                book = _taken(path, partial(_amended, book))
            except ServiceError as error:
                faults.append(str(error))
    return faults


def _amended(book: Book, file: BookFile) -> Book:
    return book_module.amend(book, file.document)


def _amend_from_files(spine: Spine, files: tuple[Path, ...]) -> None:
    """Take the book files that are new. A fault in one stops only a service that has no book yet."""
    for path in files:
        try:
            outcome = _taken(path, partial(_journalled, spine))
        except ServiceError as error:
            if not spine.state.entry:
                raise
            log.error("the book in force stays in force: %s", error)
            continue
        if outcome is not None:
            log.info("%s amended the book in entry %d", path.name, outcome.state.entry)


def _journalled(spine: Spine, file: BookFile) -> Outcome | None:
    return spine.amend_from_file(file.path.name, canonical.sha256(file.text.encode()), file.document)


def _taken(path: Path, take: Callable[[BookFile], Taken]) -> Taken:
    """What `take` makes of a book file. Raises ServiceError with file, line and reason where that cannot be."""
    try:
        file = read_book_file(path)
    except OSError as error:
        raise ServiceError(f"{path} cannot be read: {error.strerror}") from None
    except DocumentError as error:
        raise ServiceError(str(error)) from None
    try:
        return take(file)
    except BookError as error:
        raise ServiceError("\n".join(file.explained(error.errors))) from None


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ServiceError(f"{path} cannot be read: {error.strerror}") from None


def token_in(path: Path | None) -> str | None:
    """Who writes must show this; None where whoever reaches the address may."""
    if path is None:
        return None
    token = _secret(path)
    if len(token) < TOKEN_MIN_CHARACTERS:
        raise ServiceError(f"{path} holds no token of at least {TOKEN_MIN_CHARACTERS} characters")
    return token


def sender_keys(senders: Sequence[SenderSettings]) -> list[SenderKeys]:
    """What each sender is known by. Raises ServiceError where that is no secret, or two senders have the same."""
    found = []
    for one in senders:
        keys = []
        token = token_in(one.token_file) or ""
        secrets = {path: _secret(path) for path in one.secret_files}
        for path, secret in secrets.items():
            try:
                keys.append(Key(secret))
            except ValueError as error:
                raise ServiceError(f"{path} holds no Standard Webhooks secret: {error}") from None
        found.append(SenderKeys(one.id, tuple(keys), token))
    try:
        Senders(found)
    except ValueError as error:
        raise ServiceError(f"[[senders]] {error}") from None
    return found


class _Server(uvicorn.Server):
    """The service answers to signals itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield
