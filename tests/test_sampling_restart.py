"""What of limits is known after a restart, whatever ended the agent, and what that costs the disk."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path

import pytest
from edge_support import TIME_MS, new_spool, station, until

from pledgewatch_edge import beyond as beyond_module
from pledgewatch_edge.beyond import BEYOND_FILE, SETTLE_S, Beyond
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.sampling_settings import LimitSettings, SamplingSettings
from pledgewatch_edge.spool import Limits
from pledgewatch_edge.station import run_station
from pledgewatch_edge.undated import Undated
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality, Reading

COLD = SamplingSettings(limits=(LimitSettings(channels=("temperature_mc",), low=2_000, high=8_000),))
COLDER = SamplingSettings(limits=(LimitSettings(channels=("temperature_mc",), low=-9_000, high=1_000),))
FREE = SamplingSettings()


def warm(value_mc: int, second: int = 0, clock: Clock = Clock.GPS) -> Sample:
    return Sample(TIME_MS + 1_000 * second, clock, (Cell(Channel.TEMPERATURE_MC, value_mc),))


class Thermometer:
    """A probe that says some values and then waits."""

    name = "thermometer"

    def __init__(self, *samples: Sample) -> None:
        self._samples = samples
        self.is_done = False

    async def samples(self) -> AsyncGenerator[Sample, None]:
        for one in self._samples:
            yield one
        self.is_done = True
        await asyncio.Event().wait()


async def lived(folder: Path, *samples: Sample, settings: SamplingSettings = COLD, is_killed: bool = False) -> None:
    """One life of an agent's recorder, in which some samples come."""
    with new_spool(folder) as spool:
        before = spool.head_sequence
        recorder = Recorder(spool, lambda: None, sampler=Sampler(settings), beyond=Beyond(folder))
        running = asyncio.create_task(recorder.run())
        measuring = asyncio.create_task(recorder.record(Thermometer(*samples)))
        await until(lambda: spool.head_sequence == before + len(samples), "all to be stored")
        measuring.cancel()
        if is_killed:
            running.cancel()
        else:
            await recorder.finish()
        await asyncio.gather(running, measuring, return_exceptions=True)


def urgent(folder: Path) -> list[int]:
    """The values that are urgent, of all lives."""
    with new_spool(folder) as spool:
        return values(spool.read(0, 10_000, urgent=True))


def values(readings: Sequence[Reading]) -> list[int]:
    return [cell.value for one in readings if (cell := one.cell(Channel.TEMPERATURE_MC))]


def _is_done(sensor: Thermometer) -> bool:
    return sensor.is_done


def _has_more(undated: Undated, count: int) -> bool:
    return undated.count > count


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
@pytest.mark.parametrize(
    ("after", "told"),
    [(5_000, [9_000, 5_000]), (7_900, [9_000, 7_900]), (9_100, [9_000, 9_100, 4_000]), (1_000, [9_000, 1_000, 4_000])],
    ids=["ended", "just ended", "goes on", "beyond the other"],
)
async def test_what_ends_while_the_agent_is_away_is_told_at_once(
    tmp_path: Path, after: int, told: list[int], *, is_killed: bool
) -> None:
    await lived(tmp_path, warm(4_000), warm(9_000, 1), warm(9_500, 2), is_killed=is_killed)
    await lived(tmp_path, warm(after, 3), warm(4_000, 4), is_killed=is_killed)
    await lived(tmp_path, warm(4_000, 5), is_killed=is_killed)
    found = urgent(tmp_path)
    assert found[: len(told)] == told
    assert found[len(told) :] in ([], [4_000] if is_killed else []), "once, or twice where a kill came just then"


@pytest.mark.parametrize(
    ("settings", "after", "is_told"),
    [(COLDER, 9_000, True), (COLDER, 500, True), (FREE, 500, False)],
    ids=["still beyond", "inside now", "no limit any more"],
)
async def test_other_settings_are_a_restart_too(
    tmp_path: Path, settings: SamplingSettings, after: int, *, is_told: bool
) -> None:
    await lived(tmp_path, warm(4_000), warm(9_000, 1))
    await lived(tmp_path, warm(after, 2), settings=settings)
    assert urgent(tmp_path) == [9_000, *([after] if is_told else [])]


async def test_settings_without_limits_that_are_rolled_back_forget_none(tmp_path: Path) -> None:
    await lived(tmp_path, warm(9_000))
    await lived(tmp_path, warm(5_000, 1), settings=FREE)
    await lived(tmp_path, warm(5_100, 2))
    assert urgent(tmp_path) == [9_000, 5_100]


async def test_what_is_wrong_says_nothing_of_a_limit(tmp_path: Path) -> None:
    await lived(tmp_path, warm(9_000))
    wrong = Sample(TIME_MS + 1, Clock.GPS, (Cell(Channel.TEMPERATURE_MC, 0, Quality.SENSOR_GONE),), is_urgent=True)
    await lived(tmp_path, wrong)
    await lived(tmp_path, warm(5_000, 2))
    assert urgent(tmp_path)[-1] == 5_000


async def test_a_whole_station_that_is_set_anew(tmp_path: Path) -> None:
    """As the agent runs it: a stop, other settings, a start."""
    for settings, value in ((COLD, 9_000), (COLDER, 500), (COLD, 3_000), (COLD, 3_001)):
        stop = asyncio.Event()
        sensor = Thermometer(warm(value))
        running = asyncio.create_task(run_station(station(tmp_path, 1), [sensor], stop, sampler=Sampler(settings)))
        await until(partial(_is_done, sensor), "the sensor to have measured")
        stop.set()
        await running
    assert urgent(tmp_path) == [9_000, 500]


async def test_what_waits_for_its_date_counts_too(tmp_path: Path) -> None:
    clock = AgentClock(system_ms=lambda: 5_000, monotonic_ms=lambda: 5_000, trust_system=False)
    with new_spool(tmp_path) as spool:
        for value in (9_000, 5_000, 5_100):
            undated, beyond = Undated(tmp_path, clock, boot=lambda: "one"), Beyond(tmp_path)
            recorder = Recorder(spool, lambda: None, sampler=Sampler(COLD), undated=undated, beyond=beyond)
            running = asyncio.create_task(recorder.run())
            measuring = asyncio.create_task(recorder.record(Thermometer(warm(value, clock=Clock.UNSET))))
            await until(partial(_has_more, undated, undated.count), "the sample to wait")
            measuring.cancel()
            await recorder.finish()
            await asyncio.gather(running, measuring, return_exceptions=True)
        undated = Undated(tmp_path, clock, boot=lambda: "another")
        undated.hand_over(spool)
        assert values(spool.read(0, 10, urgent=True)) == [9_000, 5_000]


async def test_a_file_that_cannot_be_read_tells_once_too_often(tmp_path: Path) -> None:
    (tmp_path / BEYOND_FILE).write_bytes(b"temperature_mc hi\xff")
    await lived(tmp_path, warm(5_000))
    await lived(tmp_path, warm(5_000, 1))
    assert urgent(tmp_path) == [5_000]


async def test_a_disk_that_does_not_take_the_file_keeps_no_alarm_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    beyond = Beyond(tmp_path, lambda: now_s[0])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "beyond")

    limits = Sampler(COLD).limits
    alarm = [warm(9_000)._replace(is_urgent=True)]
    with monkeypatch.context() as refusing:
        refusing.setattr(beyond_module, "replace_file", full)
        beyond.before(alarm, limits)
        beyond.after(alarm, limits)
    found = [beyond.is_due]
    assert not Beyond(tmp_path).told
    now_s[0] += 60.0
    assert [*found, beyond.is_due] == [False, True]
    beyond.settle()
    assert [one.channel for one in Beyond(tmp_path).told] == [Channel.TEMPERATURE_MC]


async def test_of_a_batch_that_was_refused_in_part_nothing_is_taken_to_be_over(tmp_path: Path) -> None:
    await lived(tmp_path, warm(9_000))
    with new_spool(tmp_path, Limits(bytes_max=1, every_readings=60, every_s=1e9)) as spool:
        beyond = Beyond(tmp_path)
        recorder = Recorder(spool, lambda: None, sampler=Sampler(COLD), beyond=beyond)
        running = asyncio.create_task(recorder.run())
        measuring = asyncio.create_task(recorder.record(Thermometer(warm(5_000, 1))))
        await until(lambda: spool.refused_total > 0, "it to be refused")
        measuring.cancel()
        await recorder.finish()
        await asyncio.gather(running, measuring, return_exceptions=True)
    await lived(tmp_path, warm(5_100, 2))
    assert urgent(tmp_path)[-1] == 5_100


@pytest.mark.parametrize("step_s", [1, 10])
def test_a_probe_that_swings_all_day_wears_no_card_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: int
) -> None:
    now_s, written = [0.0], [0]

    def noted(path: Path, content: bytes) -> None:
        written[0] += 1
        path.write_bytes(content)

    monkeypatch.setattr(beyond_module, "replace_file", noted)
    beyond, sampler = Beyond(tmp_path, lambda: now_s[0]), Sampler(COLD)
    for second in range(0, 86_400, step_s):
        now_s[0] = second
        kept = sampler.take(warm(9_000 if second // step_s % 2 else 5_000, second))
        assert kept is not None
        beyond.before([kept], sampler.limits)
        beyond.after([kept], sampler.limits)
        if beyond.is_due:
            beyond.settle()
    assert 1 <= written[0] <= 2 * 86_400 / SETTLE_S + 2


def test_what_passes_no_limit_writes_nothing(tmp_path: Path) -> None:
    beyond, sampler = Beyond(tmp_path), Sampler(COLD)
    for second in range(1_000):
        kept = sampler.take(warm(5_000 + second, second))
        assert kept is not None
        beyond.before([kept], sampler.limits)
        beyond.after([kept], sampler.limits)
        assert not beyond.is_due
    assert not (tmp_path / BEYOND_FILE).exists()
