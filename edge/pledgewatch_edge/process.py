"""All stations of one process: what there is only one of, and nothing of a single station.

There is one stop (SIGTERM or SIGINT, for all of them), one log, one event loop and one set of threads. A station waits
in threads for its disk, its sensors and its broker, and a broker that does not answer holds one for seconds; so there
are enough for every station, and none waits for another's.

Stations stand alone: one that cannot go on says so in the log and for `status` (ended.py) and ends, and the others
measure on. So does what a program runs beside them (a gateway's sources, its status page). The process ends when it is
told to, or when no station is left. Where systemd has started it, it is told that the process has started once each
station has opened its spool, or has ended (systemd.py). Who keeps all of them from going on is said (standstill.py).
"""

import asyncio
import contextlib
import functools
import logging
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from pledgewatch_edge.ended import goes_on, has_ended, runs, stands_still
from pledgewatch_edge.identity import StateError
from pledgewatch_edge.logs import about_device, leaves
from pledgewatch_edge.spool.errors import SpoolCorruptError, SpoolError
from pledgewatch_edge.standstill import watched
from pledgewatch_edge.station import Station, keep_running
from pledgewatch_edge.systemd import Notifier, keep_told
from pledgewatch_edge.uplink import Uplink

THREADS_EACH: Final = (
    7  # to append, forget and read; to connect; to renew; for two sensors. They are made when they are needed
)
log = logging.getLogger(__name__)


class Beside(NamedTuple):
    """What runs beside the stations, for all of them. `run` goes on until it is cancelled."""

    name: str
    run: Callable[[], Coroutine[Any, Any, None]]


def run(stations: Sequence[Station], beside: Sequence[Beside] = ()) -> bool:
    """Run stations, and others beside them, until SIGTERM or SIGINT, or until all stations have ended. Whether each of
    them ended because it was told to; what ended another is in the log."""
    return asyncio.run(_run_all(stations, beside))


async def _run_all(stations: Sequence[Station], beside: Sequence[Beside] = ()) -> bool:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    threads = THREADS_EACH * (len(stations) + len(beside))
    loop.set_default_executor(ThreadPoolExecutor(threads, thread_name_prefix="station"))
    running: list[Station] = []
    with _stop_signals(loop, stop), _watched(loop, running):
        async with asyncio.TaskGroup() as group:
            helping = [group.create_task(_help(one), name=one.name) for one in beside]
            begun = [asyncio.Event() for _ in stations]
            lives = [
                group.create_task(_live(one, stop, event, running), name=f"station {one.device}")
                for one, event in zip(stations, begun, strict=True)
            ]
            started = functools.partial(_all_set, begun)
            telling = group.create_task(keep_told(Notifier(), started, stop), name="systemd")
            await asyncio.wait(lives)
            for task in (*helping, telling):
                task.cancel()
    return all(life.result() for life in lives)


@contextlib.contextmanager
def _watched(loop: asyncio.AbstractEventLoop, running: Sequence[Station]) -> Iterator[None]:
    """Have those that run known to stand still, where they do."""
    still: list[Station] = []

    def told(why: str) -> None:
        still.extend(running)
        for one in still:
            stands_still(one, why)

    def back() -> None:  # also for those that have ended meanwhile, as all have where the process ends
        while still:
            goes_on(still.pop())

    with watched(loop, told, back):
        yield


async def _help(one: Beside) -> None:
    """The whole life of what runs beside the stations."""
    try:
        await one.run()
    except Exception as error:  # its top: say what ended it, in one line for each cause
        for leaf in leaves(error):
            log.error("%s ended error=%s %s", one.name, type(leaf).__name__, leaf, exc_info=leaf)


async def _all_set(events: Sequence[asyncio.Event]) -> None:
    for one in events:
        await one.wait()


async def _live(station: Station, stop: asyncio.Event, begun: asyncio.Event, running: list[Station]) -> bool:
    """The whole life of a station; `begun` is set once its spool is open, or it has ended, and it is among `running`
    from the one to the other. Whether it was told to end."""

    def opened(_: Uplink) -> None:
        begun.set()
        runs(station)
        if station not in running:
            running.append(station)

    with about_device(station.device):
        try:
            await keep_running(station, stop, opened)
        except (StateError, SpoolError, SpoolCorruptError) as error:
            log.error("ended error=%r", str(error))
            has_ended(station, str(error))
            return False
        except Exception as error:  # the top of a station: say what ended it, in one line for each cause
            for leaf in leaves(error):
                log.error("ended error=%s %s", type(leaf).__name__, leaf, exc_info=leaf)
            has_ended(station, "; ".join(f"{type(leaf).__name__}: {leaf}" for leaf in leaves(error)))
            return False
        finally:
            begun.set()
            with contextlib.suppress(ValueError):
                running.remove(station)
    return True


@contextlib.contextmanager
def _stop_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> Iterator[None]:
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
