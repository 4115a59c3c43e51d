"""A station: one device's readings from its sensors to the broker.

    sensors -> sampler -> recorder -> spool -> uplink -> broker

Beside the uplink its certificate is renewed, where the device was claimed (renewal.py).

Everything open is a context manager, everything running is a named task of one group. Three things end a station: a
stop, a task that fails, a state folder that cannot be used. After a stop the sensors end first, then the recorder has
written and signed what it has, then the uplink has sent what it can and has said that the device is offline, then the
spool is closed. A task that fails takes the station down with its error; what was appended is on the disk, so the next
start goes on from there. A spool that is found broken, or to have been put back, is opened anew at once and begins a
new epoch; a disk that breaks it again within the hour is a person's matter.

A station holds nothing of the process: signals, the log and threads are process.py's, so one process may run many. What
may take long to read (all of a spool, when it is opened) is read in a thread, or it would keep the other stations from
their sensors and from the broker.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_edge.beyond import Beyond
from pledgewatch_edge.body import Measuring, StationBody, end
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import StationSettings
from pledgewatch_edge.identity import StateError, load_or_create_key, public_key_hex, sole_use
from pledgewatch_edge.logs import leaves
from pledgewatch_edge.past import Past
from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.renewal import Renewal
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.sensors import Sensor, WatchesSpool
from pledgewatch_edge.spool.errors import SpoolCorruptError, SpoolError
from pledgewatch_edge.spool.file import open_spool
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_edge.tls import shown_to_broker
from pledgewatch_edge.tls_identity import TlsIdentity
from pledgewatch_edge.undated import Undated
from pledgewatch_edge.uplink import Hearer, Uplink
from pledgewatch_wire.topics import Kind

FAREWELL_S: Final = 8.0
OPEN_AGAIN_AFTER_S: Final = 3_600.0
log = logging.getLogger(__name__)

# Called each time that a station has opened its spool and begins, with what sends its readings.
Opened = Callable[[Uplink], None]


class Caring(Protocol):
    """Who cares for a station from afar (care/care.py): gives the station to run next, hears the cloud, and says when
    another is to be run."""

    changed: asyncio.Event

    @property
    def hearers(self) -> Mapping[Kind, Hearer]:
        """Who takes what the cloud says of care."""
        ...

    def next_station(self) -> "Station":
        """The station to run now. Raises ValueError where none can be."""
        ...

    def go_back(self, why: str, *, is_of_disk: bool = False) -> bool:
        """Give up the settings that the station was run with, as it cannot run: at once where they are on trial, and
        good ones when that has been so too often, and not for its disk. Whether another station is to be run."""
        ...

    async def run(self, body: StationBody) -> None:
        """Care for a station that runs, until cancelled."""
        ...


class Station(NamedTuple):
    """One station of a program. `make_sensors` and `make_sampler` make theirs anew for each opening of the spool;
    `about` is what the program says of it beside its device; `clock` stamps its samples (None: the computer's own).
    Where it is cared for from afar, `care` says which station is run in its place. `ended` takes why it has ended where
    its program goes on without it (ended.py)."""

    settings: StationSettings
    make_sensors: Callable[[], Sequence[Sensor]]
    about: Mapping[str, str]
    make_sampler: Callable[[], Sampler] = Sampler
    clock: AgentClock | None = None
    care: Caring | None = None
    ended: list[str] | None = None

    @property
    def device(self) -> str:
        """Whose readings it gives."""
        return self.settings.device.name


async def run_station(
    settings: StationSettings,
    sensors: Sequence[Sensor],
    stop: asyncio.Event,
    *,
    sampler: Sampler | None = None,
    clock: AgentClock | None = None,
    care: Caring | None = None,
    opened: Opened | None = None,
    retry_s: float = 2.0,
) -> None:
    """Measure, spool and send until `stop` is set, or until whoever cares for the station wants another. Without a
    sampler of its own all samples are kept; `clock` is that of the sensors; `opened` is called once its spool is open.

    Raises StateError or SpoolError where the state folder cannot be used, and an ExceptionGroup where a task fails.
    """
    key = load_or_create_key(settings.device.state_folder)
    with sole_use(settings.device.state_folder):
        async with _opened(settings, key) as spool:
            log.info(
                "start epoch=%d head=%d spooled=%d public_key=%s",
                spool.epoch,
                spool.head_sequence,
                spool.spooled,
                public_key_hex(key),
            )
            identity = TlsIdentity(settings.device.state_folder, settings.device.pkcs11)
            await asyncio.to_thread(identity.mend)
            clock = clock or AgentClock()
            past = _past_of(settings, identity, clock)
            await asyncio.to_thread(past.begin)
            uplink = Uplink(settings, spool, hearers={} if care is None else care.hearers, clock=clock)
            if opened is not None:
                opened(uplink)
            renewal = Renewal(settings.device, identity, uplink.standing, uplink.try_with, clock)
            undated = Undated(settings.device.state_folder, clock, is_linked=lambda: uplink.is_connected)
            hold_s = settings.spool.hold_s
            beyond = Beyond(settings.device.state_folder)
            recorder = Recorder(
                spool,
                uplink.wake,
                sampler=sampler,
                retry_s=retry_s,
                hold_s=hold_s,
                undated=undated,
                beyond=beyond,
            )
            for one in sensors:
                if isinstance(one, WatchesSpool):
                    one.spooled = lambda: spool.spooled
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(uplink.run(), name="uplink")
                recording = group.create_task(recorder.run(), name="recorder")
                renewing = [group.create_task(renewal.run(), name="renewal")] if settings.device.cloud_url else []
                keeping = group.create_task(past.run(), name="past")
                measuring = Measuring(group, recorder, sensors)
                measuring.begin()
                body = StationBody(spool, uplink, recorder, measuring, clock)
                caring = [] if care is None else [group.create_task(care.run(body), name="care")]
                await _any_of(stop, *(() if care is None else (care.changed,)))
                log.info("stopping")
                for task in renewing:  # what it has begun goes to its end meanwhile
                    task.cancel()
                await end(caring)
                await measuring.end()
                await recorder.finish()
                await recording
                uplink.finish()
                await asyncio.wait([sending], timeout=FAREWELL_S if uplink.is_connected else 0.0)
                await end([sending, *renewing, keeping])
            log.info(
                "stopped head=%d spooled=%d measured=%d refused=%d",
                spool.head_sequence,
                spool.spooled,
                spool.measured_total,
                spool.refused_total,
            )


def _past_of(settings: StationSettings, identity: TlsIdentity, clock: AgentClock) -> Past:
    """What a station's clock is to know to be past."""
    shown = shown_to_broker(settings.broker, settings.device, identity.certificate_file)
    return Past(settings.device.state_folder, shown and shown.certificate_file, clock)


async def keep_running(station: Station, stop: asyncio.Event, opened: Opened | None = None) -> None:
    """`run_station`, and again where the spool was given up or other settings came from afar, until `stop` is set.

    Raises what it raises; but settings that are on trial are given up where a station cannot run with them."""
    last_given_up = -math.inf
    while not stop.is_set():
        try:
            one = station if station.care is None else station.care.next_station()
            await run_station(
                one.settings,
                one.make_sensors(),
                stop,
                sampler=one.make_sampler(),
                clock=one.clock,
                care=station.care,
                opened=opened,
            )
        except ExceptionGroup as errors:
            broken, others = errors.split(SpoolCorruptError)
            now = time.monotonic()
            if broken is None or others is not None or now - last_given_up < OPEN_AGAIN_AFTER_S:
                if _is_cured(station, errors, f"the station ended: {leaves(errors)[0]}"):
                    continue
                raise
            last_given_up = now
            log.error("spool given up, opening anew error=%r", str(broken.exceptions[0]))
        except Exception as error:  # such as of a sensor that cannot be made of its settings
            # Whatever it is: the broker has the settings ready again at the next start, so nothing else would end them.
            if not _is_cured(station, error, f"the station cannot run: {_named(error)}"):
                raise


def _is_cured(station: Station, error: Exception, why: str) -> bool:
    """Whether a station that has ended by itself is to be run with other settings."""
    is_of_disk = all(isinstance(one, StateError | SpoolError | SpoolCorruptError) for one in leaves(error))
    return station.care is not None and station.care.go_back(why, is_of_disk=is_of_disk)


def _named(error: Exception) -> str:
    """What went wrong: our own sentence, or the name of what nobody has foreseen too."""
    return str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"


@contextlib.asynccontextmanager
async def _opened(settings: StationSettings, key: Ed25519PrivateKey) -> AsyncIterator[Spool]:
    """The spool of a station, whose folder is ours alone. Whoever is cancelled while it opens leaves it closed."""
    kept, signed = settings.spool, settings.checkpoint
    limits = Limits(kept.bytes_max, signed.every_readings, signed.every_s, kept.thin_to_s, kept.age_s)
    device = settings.device
    opening = asyncio.ensure_future(asyncio.to_thread(open_spool, device.state_folder, device.name, key, limits))
    try:
        spool = await asyncio.shield(opening)
    except asyncio.CancelledError:
        (await opening).close()
        raise
    with spool:
        yield spool


async def _any_of(*events: asyncio.Event) -> None:
    """Wait for any of some events."""
    waits = [asyncio.ensure_future(one.wait()) for one in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
