"""Composition: settings into a running station.

    sensors -> recorder -> spool -> uplink -> broker

Everything open is a context manager, everything running is a named task of one group. Three things end a station: a
stop (SIGTERM or SIGINT), a task that fails, a state folder that cannot be used. After a stop the sensors end first,
then the recorder has written and signed what it has, then the uplink has sent what it can and has said that the device
is offline, then the spool is closed. A task that fails takes the station down with its error; what was appended is on
the disk, so the next start goes on from there. A spool that is found broken, or to have been put back, is opened anew
at once and begins a new epoch; a disk that breaks it again within the hour is a person's matter.
"""

import asyncio
import contextlib
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import EdgeSettings, StationSettings
from pledgewatch_edge.identity import load_or_create_key, public_key_hex, sole_use
from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.sensors import Sensor
from pledgewatch_edge.sensors.gps import GpsSensor
from pledgewatch_edge.sensors.onewire import OneWireSensor
from pledgewatch_edge.spool import Limits, SpoolCorruptError
from pledgewatch_edge.spool_file import open_spool
from pledgewatch_edge.uplink import Uplink

FAREWELL_S: Final = 8.0
OPEN_AGAIN_AFTER_S: Final = 3_600.0
CANCEL_AGAIN_S: Final = 5.0
_LOGGER: Final = logging.getLogger(__name__)


def edge_sensors(settings: EdgeSettings, clock: AgentClock) -> list[Sensor]:
    """The sensors that a configuration names."""
    sensors: list[Sensor] = []
    if settings.gps is not None:
        sensors.append(GpsSensor(settings.gps, clock))
    if settings.onewire is not None:
        sensors.append(OneWireSensor(settings.onewire, clock))
    return sensors


async def run_station(
    settings: StationSettings, sensors: Sequence[Sensor], stop: asyncio.Event, *, retry_s: float = 2.0
) -> None:
    """Measure, spool and send until `stop` is set.

    Raises StateError or SpoolError where the state folder cannot be used, and an ExceptionGroup where a task fails.
    """
    key = load_or_create_key(settings.device.state_folder)
    limits = Limits(settings.spool.readings_max, settings.checkpoint.every_readings, settings.checkpoint.every_s)
    with (
        sole_use(settings.device.state_folder),
        open_spool(settings.device.state_folder, settings.device.name, key, limits) as spool,
    ):
        _LOGGER.info(
            "start device=%s epoch=%d head=%d spooled=%d public_key=%s",
            settings.device.name,
            spool.epoch,
            spool.head_sequence,
            spool.spooled,
            public_key_hex(key),
        )
        uplink = Uplink(settings, spool)
        recorder = Recorder(spool, uplink.wake, retry_s=retry_s)
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(uplink.run(), name="uplink")
            recording = group.create_task(recorder.run(), name="recorder")
            measuring = [group.create_task(recorder.record(one), name=f"sensor {one.name}") for one in sensors]
            await stop.wait()
            _LOGGER.info("stopping")
            await _end(measuring)
            await recorder.finish()
            await recording
            uplink.finish()
            await asyncio.wait([sending], timeout=FAREWELL_S if uplink.is_connected else 0.0)
            await _end([sending])
        _LOGGER.info("stopped head=%d spooled=%d", spool.head_sequence, spool.spooled)


def run(settings: StationSettings, make_sensors: Callable[[], Sequence[Sensor]]) -> None:
    """`run_station` in an event loop of its own, until SIGTERM or SIGINT."""
    asyncio.run(_until_signalled(settings, make_sensors))


async def _until_signalled(settings: StationSettings, make_sensors: Callable[[], Sequence[Sensor]]) -> None:
    stop = asyncio.Event()
    last_given_up = -math.inf
    with _stop_signals(stop):
        while not stop.is_set():
            try:
                await run_station(settings, make_sensors(), stop)
            except ExceptionGroup as errors:
                broken, others = errors.split(SpoolCorruptError)
                now = time.monotonic()
                if broken is None or others is not None or now - last_given_up < OPEN_AGAIN_AFTER_S:
                    raise
                last_given_up = now
                _LOGGER.error("spool given up, opening anew error=%r", str(broken.exceptions[0]))


@contextlib.contextmanager
def _stop_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they are gone; what went wrong in them is the group's to raise.

    A task may sit in a library that swallows one cancellation, so it is told again.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
