"""What every sensor keeps, whatever it measures (sensors.Sensor), as a check that any test can call.

`check_sensor` takes a SensorWorld: what a sensor measures, which a test can take away and give back. The agent's own
sensors are held to it so, and one of another package can be (docs/SENSORS.md). What is not kept is an AssertionError in
words.

What no check can see is what a sensor does that blocks: it has the event loop to itself then, this one too.
"""

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from typing import Final

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.guest import channels_of
from pledgewatch_edge.sample import Sample, is_sound
from pledgewatch_edge.sensors import Sensor, SensorSettings
from pledgewatch_wire.reading import NO_VALUE_FROM, Channel, Clock

WITHIN_S: Final = 60.0  # for what comes at once on a machine that has nothing else to do
NEAR_MS: Final = 3_600_000
_STIR_EVERY_S: Final = 0.05
_SAID_AGAIN_S: Final = 0.5


class SensorWorld(ABC):
    """What a sensor measures, in a test. `settings` describe the sensor in it, which is to measure often: a check waits
    for some samples."""

    settings: SensorSettings

    async def begin(self) -> None:
        """Be there, and have settings."""
        await self.plug()

    @abstractmethod
    async def plug(self) -> None:
        """Come back: what is measured can be."""

    @abstractmethod
    def unplug(self) -> None:
        """Go away."""

    def end(self) -> None:
        """Leave nothing open."""
        with contextlib.suppress(OSError):
            self.unplug()

    async def stir(self) -> None:
        """Give the sensor something to measure, where it does not ask for it. Called again and again."""
        await asyncio.sleep(0)

    def sensor(self, clock: AgentClock) -> Sensor:
        """The sensor."""
        return self.settings.sensor(clock)

    def open_now(self) -> int:
        """How much of this world a sensor has open."""
        return 0


async def check_sensor(world: SensorWorld, clock: AgentClock | None = None) -> None:
    """Hold the sensor of a world, which has not begun, to what all sensors keep. `clock` is what it is made with; None:
    the computer's. Raises AssertionError where it does not keep it."""
    clock = clock or AgentClock()
    async with begun(world):
        await check_that_it_opens_again(world, clock)
        await check_that_it_says_what_is_lost(world, clock)


async def check_that_it_opens_again(world: SensorWorld, clock: AgentClock) -> None:
    """That it gives samples, closes all that it has opened where it is closed, and gives samples again."""
    channels = channels_of("settings", type(world.settings).__module__, world.settings)
    sensor = world.sensor(clock)
    assert sensor.name, f"its name is {sensor.name!r}, which is no text"
    for _ in range(2):
        async with _within("three samples"), contextlib.aclosing(sensor.samples()) as samples:
            found = [await anext(samples, None) for _ in range(3)]
        given = [one for one in found if one is not None]
        assert len(given) == len(found), "samples() has ended; it goes on until it is closed"
        for sample in given:
            check_sample(sample, channels)
        latest = given[-1]
        assert has_value(latest), f"nothing is measured of what is there: {latest!r}"
        assert latest.clock in {Clock.GPS, Clock.NTP, clock.now()[1]}, f"no clock of the agent's has told {latest!r}"
        assert abs(latest.measured_at_ms - clock.now()[0]) < NEAR_MS, f"it was not measured just now: {latest!r}"
        assert world.open_now() == 0, "it was closed, and has something open"


async def check_that_it_says_what_is_lost(world: SensorWorld, clock: AgentClock) -> None:
    """That what goes away is said once in the log, and once when it is back (logs.World), by a logger of the package
    that the settings are of; and that all is measured again then."""
    channels = channels_of("settings", type(world.settings).__module__, world.settings)
    with _heard(type(world.settings).__module__.partition(".")[0]) as log:
        async with listening(world.sensor(clock)) as heard:
            async with _within("a sample"):
                await heard.get()
            world.unplug()
            async with _within("'lost' in the log, as what it measures has gone away"):
                await log.has_said_lost.wait()
            await asyncio.sleep(_SAID_AGAIN_S)  # and it is not said again
            while not heard.empty():
                check_sample(heard.get_nowait(), channels)
            await world.plug()
            async with _within("a whole sample, as what it measures is back"):
                while not is_whole(await heard.get()):
                    pass
    lost = [one for one in log.said if "lost" in one]
    back = [one for one in log.said if one.endswith("back")]
    assert len(lost) == 1, f"what was lost is said once: {lost}"
    assert len(back) == 1, f"that it is back is said once: {back}"


def check_sample(sample: Sample, channels: frozenset[Channel]) -> None:
    """A sample as it is to be: some cells, ascending, of the sensor's own channels; none without a value has one."""
    assert isinstance(sample, Sample), f"it gives {sample!r}, which is no Sample"
    named = [cell.channel for cell in sample.cells]
    assert named, "it has no cells"
    assert named == sorted(set(named)), f"its cells do not ascend: {named}"
    assert set(named) <= channels, f"it gives {named}, and its settings declare {sorted(channels)}"
    assert all(cell.value == 0 for cell in sample.cells if cell.quality >= NO_VALUE_FROM), "what has no value has one"
    assert is_sound(sample), f"no payload can hold {sample!r}"


def has_value(sample: Sample) -> bool:
    """Whether anything was measured."""
    return any(cell.quality < NO_VALUE_FROM for cell in sample.cells)


def is_whole(sample: Sample) -> bool:
    """Whether all of it was measured."""
    return all(cell.quality < NO_VALUE_FROM for cell in sample.cells)


@contextlib.asynccontextmanager
async def listening(sensor: Sensor) -> AsyncIterator[asyncio.Queue[Sample]]:
    """What a sensor gives, as it comes."""
    heard: asyncio.Queue[Sample] = asyncio.Queue()

    async def listen() -> None:
        async with contextlib.aclosing(sensor.samples()) as samples:
            async for sample in samples:
                heard.put_nowait(sample)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(listen(), name=f"sensor {sensor.name}")
        yield heard
        task.cancel()


@contextlib.asynccontextmanager
async def begun(world: SensorWorld) -> AsyncIterator[None]:
    """A world that is there, and stirs until its end."""
    await world.begin()

    async def stirring() -> None:
        while True:
            await world.stir()
            await asyncio.sleep(_STIR_EVERY_S)

    task = asyncio.create_task(stirring(), name="stirring")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        world.end()


@contextlib.asynccontextmanager
async def _within(what: str) -> AsyncIterator[None]:
    limit = asyncio.timeout(WITHIN_S)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise AssertionError(f"waited {WITHIN_S:g} s for {what}") from error


class _Log(logging.Handler):
    """What was said, from whichever thread."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.has_said_lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        if "lost" in self.said[-1]:
            self._loop.call_soon_threadsafe(self.has_said_lost.set)


@contextlib.contextmanager
def _heard(name: str) -> Iterator[_Log]:
    """What is said by a logger and all below it meanwhile, from INFO on."""
    logger, log = logging.getLogger(name), _Log()
    before = logger.level
    logger.addHandler(log)
    logger.setLevel(logging.INFO)
    try:
        yield log
    finally:
        logger.removeHandler(log)
        logger.setLevel(before)
