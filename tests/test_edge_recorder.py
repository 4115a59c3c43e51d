"""The recorder: sampling goes on whatever the disk does, and what could not be kept is counted."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest
from edge_support import new_spool, sample, samples, until

from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.sampling_settings import RuleSettings, SamplingSettings
from pledgewatch_edge.spool.answers import Appended
from pledgewatch_edge.spool.errors import SpoolError
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_wire.codec import MAX_TIME_MS
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality


class Disk(Spool):
    """A spool whose disk refuses while told to."""

    refuses = False
    tries = 0

    def append(
        self,
        samples: Sequence[Sample],
        note: Callable[[Sequence[bool]], Callable[[], None]] | None = None,
        *,
        is_urgent: bool = False,
    ) -> Appended:
        self.tries += 1
        if self.refuses:
            raise SpoolError("database or disk is full")
        return super().append(samples, note, is_urgent=is_urgent)


def disk(folder: Path) -> Disk:
    spool = new_spool(folder)
    spool.__class__ = Disk
    assert isinstance(spool, Disk)
    return spool


def kept(spool: Spool) -> list[int]:
    """The numbers that the samples of a spool tell, without what it says of itself."""
    told = [one.cell(Channel.TEMPERATURE_MC) for one in spool.read(0, 10_000)]
    return [one.value for one in told if one is not None]


def refusals_told(spool: Spool) -> list[int]:
    """What a spool has said of refused samples."""
    told = [one.cell(Channel.REFUSED_READINGS) for one in spool.read(0, 10_000, urgent=True)]
    return [one.value for one in told if one is not None]


class Counter:
    """A sensor that counts to a number and then waits."""

    name = "counter"

    def __init__(self, count: int) -> None:
        self._count = count
        self.closed = False

    async def samples(self) -> AsyncGenerator[Sample, None]:
        try:
            for number in range(1, self._count + 1):
                yield sample(number)
            await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_a_sensor_is_recorded_in_batches(tmp_path: Path) -> None:
    appended = asyncio.Event()
    with disk(tmp_path) as spool:
        recorder = Recorder(spool, appended.set)
        sensor = Counter(3_000)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(recorder.run())
            measuring = group.create_task(recorder.record(sensor))
            await until(lambda: spool.head_sequence == 3_000, "all to be recorded")
            await asyncio.wait_for(appended.wait(), 5)
            measuring.cancel()
            await recorder.finish()
            await running
        assert sensor.closed
        assert spool.tries < 300
        assert [reading.cells[1].value for reading in spool.read(0, 5_000)] == list(range(1, 3_001))
        assert spool.checkpoints(3_000, 3_000)  # the head is signed at the end


class Thermometer(Counter):
    """A counter of temperatures alone."""

    async def samples(self) -> AsyncGenerator[Sample, None]:
        async with aclosing(super().samples()) as counted:
            async for one in counted:
                yield one._replace(cells=one.cells[1:])


async def test_what_the_sampler_drops_gets_no_number(tmp_path: Path) -> None:
    rule = RuleSettings(channels=("temperature_mc",), interval_s=100.0)
    with disk(tmp_path) as spool:
        recorder = Recorder(spool, lambda: None, sampler=Sampler(SamplingSettings(rules=(rule,))))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(recorder.run())
            measuring = group.create_task(recorder.record(Thermometer(1_000)))
            await until(lambda: spool.head_sequence == 10, "all that is kept")
            measuring.cancel()
            await recorder.finish()
            await running
        kept = [one.cells[0].value for one in spool.read(0, 100)]
        assert (kept, spool.refused_total) == (list(range(1, 1_001, 100)), 0)


def has_read(spool: Spool, count: int) -> bool:
    return spool.head_sequence == count


async def test_what_is_asked_for_is_kept_whatever_the_sampler_says_and_held_no_longer(tmp_path: Path) -> None:
    rule = RuleSettings(channels=("temperature_mc",), interval_s=3_600.0)
    with new_spool(tmp_path) as spool:
        recorder = Recorder(spool, lambda: None, sampler=Sampler(SamplingSettings(rules=(rule,))), hold_s=3_600.0)
        running = asyncio.create_task(recorder.run())
        for asked, kept in (((), 1), ((), 1), (("counter",), 2)):
            recorder.ask(asked)
            measuring = asyncio.create_task(recorder.record(Thermometer(1)))
            await until(lambda: recorder.given == {"counter"}, "the sensor")
            recorder.hurry()
            await until(partial(has_read, spool, kept), "the reading")
            measuring.cancel()
        await recorder.finish()
        await running
        assert spool.head_sequence == 2


class Weak:
    """A sensor that gives one sample and then raises, or ends, some times; then it measures on."""

    name = "weak"

    def __init__(self, error: Exception | None) -> None:
        self._error = error
        self.begun = 0

    async def samples(self) -> AsyncGenerator[Sample, None]:
        self.begun += 1
        yield sample(self.begun)
        if self.begun > 2:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize(
    ("error", "reason"), [(RuntimeError("the bus"), "RuntimeError: the bus"), (None, "it has ended")]
)
async def test_a_sensor_that_raises_or_ends_is_begun_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception | None, reason: str
) -> None:
    with new_spool(tmp_path) as spool:
        recorder = Recorder(spool, lambda: None, begin_again_s=0.01)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(recorder.run())
            measuring = group.create_task(recorder.record(Weak(error)))
            await until(lambda: spool.head_sequence == 3, "it to measure again")
            measuring.cancel()
            await recorder.finish()
            await running
    said = [one.getMessage() for one in caplog.records]
    assert said == [f"sensor weak lost reason={reason!r}"]


HALF: int = 1.5  # type: ignore[assignment]  # what nobody's type checker has seen
FAULTS = {
    "no cells": sample(1)._replace(cells=()),
    "a fraction": sample(1)._replace(cells=(Cell(Channel.TEMPERATURE_MC, HALF),)),
    "too large": sample(1)._replace(cells=(Cell(Channel.TEMPERATURE_MC, 2**70),)),
    "a value of nothing": sample(1)._replace(cells=(Cell(Channel.TEMPERATURE_MC, 1, Quality.SENSOR_GONE),)),
    "a quality that is none": sample(1)._replace(cells=(Cell(Channel.TEMPERATURE_MC, 1, 256),)),
    "a channel twice": sample(1)._replace(cells=(Cell(Channel.TEMPERATURE_MC, 1),) * 2),
    "a channel that is none": sample(1)._replace(cells=(Cell(max(Channel) + 1, 1),)),
    "no cell": sample(1)._replace(cells=(None,)),  # type: ignore[arg-type]
    "too late": sample(1)._replace(measured_at_ms=MAX_TIME_MS + 1),
    "too early": sample(1)._replace(measured_at_ms=-1),
    "a clock that is none": sample(1)._replace(clock=max(Clock) + 1),
}


@pytest.mark.parametrize("bad", FAULTS.values(), ids=FAULTS)
async def test_what_cannot_be_stored_is_refused_and_its_sensor_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: Sample
) -> None:
    class Odd(Counter):
        async def samples(self) -> AsyncGenerator[Sample, None]:
            for one in (sample(1), bad, bad, sample(2)):
                yield one
            await asyncio.Event().wait()

    caplog.set_level("INFO")
    with new_spool(tmp_path) as spool:
        recorder = Recorder(spool, lambda: None)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(recorder.run())
            measuring = group.create_task(recorder.record(Odd(0)))
            await until(lambda: kept(spool) == [1, 2], "both that are sound")
            measuring.cancel()
            await recorder.finish()
            await running
        assert spool.refused_total == 2
        assert kept(spool) == [1, 2]
        assert refusals_told(spool)
    lost, back = (one.getMessage() for one in caplog.records if "sense" in one.getMessage())
    assert "no payload can hold Sample(" in lost
    assert back.endswith("back")


async def test_a_disk_that_refuses_for_a_while(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with disk(tmp_path) as spool:
        spool.refuses = True
        recorder = Recorder(spool, lambda: None, retry_s=0.01, waiting_max=50)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(recorder.run())
            for one in samples(80):
                await recorder.put(one)
            await until(lambda: spool.tries >= 3 and spool.refused_total == 30, "the memory to be full")
            spool.refuses = False
            await until(lambda: len(kept(spool)) == 50, "the disk to be back")
            await recorder.finish()
            await running
        assert kept(spool) == list(range(1, 51))
        assert refusals_told(spool) == [30]
    said = [record.getMessage().split(" reason")[0] for record in caplog.records if "disk" in record.getMessage()]
    assert said == ["spool disk lost", "spool disk back"]


async def test_while_the_disk_refuses_an_alarm_takes_the_place_of_the_oldest_that_is_none(tmp_path: Path) -> None:
    with disk(tmp_path) as spool:
        spool.refuses = True
        recorder = Recorder(spool, lambda: None, retry_s=0.01, waiting_max=5)
        alarms = [sample(number)._replace(is_urgent=True) for number in range(21, 28)]
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            running = group.create_task(recorder.run())
            for one in (*samples(6), *alarms[:3]):
                await recorder.put(one)
            await until(lambda: spool.tries >= 3 and spool.refused_total == 4, "three to have made room")
            for one in alarms[3:]:  # more alarms than there is room for
                await recorder.put(one)
            await until(lambda: spool.refused_total == 8, "the memory to be full of alarms")
            spool.refuses = False
            await until(lambda: len(kept(spool)) == 5, "the disk to be back")
            await recorder.finish()
            await running
        assert kept(spool) == list(range(21, 26))
        assert refusals_told(spool) == [8]


async def test_a_disk_that_refuses_to_the_end(tmp_path: Path) -> None:
    with disk(tmp_path) as spool:
        spool.refuses = True
        recorder = Recorder(spool, lambda: None, retry_s=0.01)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(recorder.run())
            for one in samples(7):
                await recorder.put(one)
            await recorder.finish()
        assert (spool.head_sequence, spool.refused_total) == (0, 7)


async def test_a_full_spool_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(5))
    with new_spool(tmp_path, Limits(1, 60, 1e9)) as spool:
        recorder = Recorder(spool, lambda: None)
        async with asyncio.TaskGroup() as group:
            group.create_task(recorder.run())
            for number in range(1, 6):
                await recorder.put(sample(number))
                await until(lambda: spool.refused_total == number, "it")  # noqa: B023 - awaited here
            await recorder.finish()
        assert (len(kept(spool)), spool.refused_total) == (5, 5)
        assert refusals_told(spool) == [1], "at once, and the rest an hour later"
        assert spool.head_sequence == 6
    assert sum("spool is full" in record.getMessage() for record in caplog.records) == 1
