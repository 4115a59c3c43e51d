"""What of limits is known after a restart, whatever ended the agent, and what that costs the disk."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path

import pytest
from edge_support import TIME_MS, new_spool, station, until

from pledgewatch_edge import beyond as beyond_module
from pledgewatch_edge import identity
from pledgewatch_edge.beyond import BEYOND_FILE, SETTLE_S, Beyond
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.sampling_settings import LimitSettings, SamplingSettings
from pledgewatch_edge.spool.answers import Appended
from pledgewatch_edge.spool.errors import SpoolError
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_edge.station import run_station
from pledgewatch_edge.undated import Marked, Undated
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
    clock = AgentClock(system_ms=lambda: 5_000, monotonic_ms=lambda: 5_000, is_synchronised=lambda: False)
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


FULL = Limits(bytes_max=1, every_readings=60, every_s=1e9)
NEVER_SET = AgentClock(system_ms=lambda: 5_000, monotonic_ms=lambda: 5_000, is_synchronised=lambda: False)


def on_disk(folder: Path) -> list[str]:
    path = folder / BEYOND_FILE
    return path.read_text(encoding="ascii").splitlines() if path.exists() else []


def swung(beyond: Beyond, sampler: Sampler, value_mc: int, second: int, channel: int = Channel.TEMPERATURE_MC) -> bool:
    """A value is measured and stored; whether it is urgent."""
    kept = sampler.take(Sample(TIME_MS + 1_000 * second, Clock.GPS, (Cell(channel, value_mc),)))
    assert kept is not None
    beyond.before([kept], sampler.limits)
    beyond.after([kept], sampler.limits)
    if beyond.is_due:
        beyond.settle()
    return kept.is_urgent


async def test_a_disk_that_fails_once_where_it_had_struck_off_names_the_next_excursion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file is in its place when the folder cannot be flushed."""
    now_s = [0.0]
    beyond, sampler = Beyond(tmp_path, lambda: now_s[0]), Sampler(COLD)
    swung(beyond, sampler, 9_000, 0)
    now_s[0] = SETTLE_S

    def fails(folder: Path) -> None:
        raise OSError(5, "Input/output error", str(folder))

    with monkeypatch.context() as failing:
        failing.setattr(identity, "flush_folder", fails)
        assert swung(beyond, sampler, 5_000, 600)
    assert on_disk(tmp_path) == []
    assert swung(beyond, sampler, 9_000, 620)
    assert on_disk(tmp_path) == ["temperature_mc high"]
    assert not beyond.is_due
    swung(beyond, sampler, 5_000, 640)
    now_s[0] += SETTLE_S
    assert beyond.is_due, "nor is it forgotten what is over"


async def test_a_file_that_could_not_be_read_once_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = tuple(LimitSettings(channels=(name,), high=8_000) for name in ("temperature_mc", "humidity_cpercent"))
    settings = SamplingSettings(limits=limits)
    swung(Beyond(tmp_path), Sampler(settings), 9_000, 0)

    def fails(*_: object, **__: object) -> str:
        raise OSError(5, "Input/output error", BEYOND_FILE)

    for damp_first in (False, True):  # written because it is due; because of what is about to be stored
        with monkeypatch.context() as failing:
            failing.setattr(Path, "read_text", fails)
            beyond, sampler = Beyond(tmp_path), Sampler(settings)
        sampler.remember(beyond.told)
        if damp_first:
            damp = Sample(TIME_MS + 30_000, Clock.GPS, (Cell(Channel.HUMIDITY_CPERCENT, 9_000),), is_urgent=True)
            beyond.before([damp], sampler.limits)
        else:
            assert beyond.is_due
            swung(beyond, sampler, 9_100, 30)
            assert swung(beyond, sampler, 9_000, 60, Channel.HUMIDITY_CPERCENT)
        assert "humidity_cpercent high" in on_disk(tmp_path)
        (tmp_path / BEYOND_FILE).write_text("temperature_mc high\n", encoding="ascii")


async def test_it_is_written_down_before_the_reading_and_struck_off_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is killed in between has too many named, and not too few."""
    found: list[list[str]] = []
    append = Spool.append

    def looked(spool: Spool, samples: Sequence[Sample], note: None = None) -> Appended:
        found.append(on_disk(tmp_path))
        return append(spool, samples, note)

    monkeypatch.setattr(Spool, "append", looked)
    await lived(tmp_path, warm(9_000))
    await lived(tmp_path, warm(5_000, 1))
    assert found == [["temperature_mc high"], ["temperature_mc high"]]
    assert on_disk(tmp_path) == []


async def undated_life(
    folder: Path,
    *samples: Sample,
    limits: Limits | None = None,
    boot: str = "one",
    is_killed: bool = False,
) -> None:
    """One life of a recorder whose clock is never set."""
    with new_spool(folder, limits) if limits else new_spool(folder) as spool:
        undated, beyond, sensor = Undated(folder, NEVER_SET, boot=lambda: boot), Beyond(folder), Thermometer(*samples)
        recorder = Recorder(spool, lambda: None, sampler=Sampler(COLD), undated=undated, beyond=beyond, retry_s=0.01)
        running = asyncio.create_task(recorder.run())
        measuring = asyncio.create_task(recorder.record(sensor))
        await until(lambda: sensor.is_done and recorder._queue.empty(), "all to be measured")
        await until(
            lambda: recorder._disk.is_lost or not (recorder._waiting or undated.is_due()), "all to be written, or not"
        )
        measuring.cancel()
        if is_killed:
            running.cancel()
        else:
            await recorder.finish()
        await asyncio.gather(running, measuring, return_exceptions=True)


@pytest.fixture
def at_keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the file says each time that something is about to wait for its date."""
    found: list[list[str]] = []
    keep = Undated.keep

    def looked(undated: Undated, some: Sequence[Marked]) -> int:
        found.append(on_disk(tmp_path))
        return keep(undated, some)

    monkeypatch.setattr(Undated, "keep", looked)
    return found


async def test_of_what_waits_for_its_date_too(tmp_path: Path, at_keeping: list[list[str]]) -> None:
    await undated_life(tmp_path, warm(9_000, clock=Clock.UNSET))
    await undated_life(tmp_path, warm(5_000, clock=Clock.UNSET))
    assert at_keeping == [["temperature_mc high"], ["temperature_mc high"]]


async def test_what_the_disk_did_not_take_without_a_date_is_not_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise SpoolError("No space left on device")

    await undated_life(tmp_path, warm(9_000, clock=Clock.UNSET))
    with monkeypatch.context() as refusing:
        refusing.setattr(Undated, "keep", full)
        await undated_life(tmp_path, warm(5_000, clock=Clock.UNSET))
    assert on_disk(tmp_path) == ["temperature_mc high"]


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
async def test_an_end_that_is_refused_when_it_gets_its_date_is_not_over(tmp_path: Path, *, is_killed: bool) -> None:
    await lived(tmp_path, warm(9_000))
    await undated_life(tmp_path, warm(5_000, clock=Clock.UNSET))
    assert on_disk(tmp_path) == ["temperature_mc high, over once dated"]
    await undated_life(tmp_path, limits=FULL, boot="two", is_killed=is_killed)
    assert not Undated(tmp_path, NEVER_SET).count
    await undated_life(tmp_path, warm(5_100, clock=Clock.UNSET), boot="two")
    await undated_life(tmp_path, boot="three")
    assert urgent(tmp_path) == [9_000, 5_100]


async def test_an_end_that_was_refused_stays_so_while_others_wait(tmp_path: Path, at_keeping: list[list[str]]) -> None:
    """The file says that what waits is the end, and what waits by now is another reading."""
    await lived(tmp_path, warm(9_000))
    await undated_life(tmp_path, warm(5_000, clock=Clock.UNSET))
    await undated_life(tmp_path, warm(5_050, clock=Clock.UNSET), limits=FULL, boot="two")
    assert at_keeping == [["temperature_mc high"], ["temperature_mc high"]]
    assert on_disk(tmp_path) == ["temperature_mc high"]


async def test_an_end_that_got_its_date_is_over(tmp_path: Path) -> None:
    await lived(tmp_path, warm(9_000))
    await undated_life(tmp_path, warm(5_000, clock=Clock.UNSET))
    await undated_life(tmp_path, boot="two")
    assert on_disk(tmp_path) == []
    await lived(tmp_path, warm(5_100, 9))
    assert urgent(tmp_path) == [9_000, 5_000]


@pytest.mark.parametrize(
    "clocks", [(Clock.GPS, Clock.UNSET), (Clock.UNSET, Clock.GPS)], ids=["dated end", "dated begin"]
)
async def test_what_was_measured_last_counts_whichever_is_stored_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clocks: tuple[Clock, Clock]
) -> None:
    """While the disk refuses, one excursion ends and the next begins; the clock is lost or found between."""
    end, begin = warm(5_000, 70, clocks[0]), warm(9_500, 140, clocks[1])

    def full(*_: object) -> Appended:
        raise SpoolError("No space left on device")

    with new_spool(tmp_path) as spool:
        undated, beyond = Undated(tmp_path, NEVER_SET, boot=lambda: "one"), Beyond(tmp_path)
        recorder = Recorder(spool, lambda: None, sampler=Sampler(COLD), undated=undated, beyond=beyond, retry_s=0.01)
        running = asyncio.create_task(recorder.run())
        sensor = Thermometer(warm(9_000), end, begin)
        with monkeypatch.context() as refusing:
            refusing.setattr(spool, "append", full)
            refusing.setattr(undated, "keep", full)
            measuring = asyncio.create_task(recorder.record(sensor))
            await until(lambda: sensor.is_done and len(recorder._waiting) == 3, "all to wait")
        await until(lambda: not recorder._waiting, "all to be stored")
        measuring.cancel()
        await recorder.finish()
        await asyncio.gather(running, measuring, return_exceptions=True)
        assert undated.count == 1
    assert on_disk(tmp_path) == ["temperature_mc high"]


@pytest.mark.parametrize("is_new", [False, True], ids=["of the life before", "of this life"])
async def test_an_end_that_is_refused_when_it_gets_its_date_is_told_in_the_same_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_new: bool
) -> None:
    clock = AgentClock(system_ms=lambda: 5_000, monotonic_ms=lambda: 5_000, is_synchronised=lambda: False)
    await lived(tmp_path, warm(9_000))
    if not is_new:
        await undated_life(tmp_path, warm(5_000, clock=Clock.UNSET))
    with new_spool(tmp_path) as spool:
        undated, beyond = Undated(tmp_path, clock, boot=lambda: "one"), Beyond(tmp_path)
        recorder = Recorder(spool, lambda: None, sampler=Sampler(COLD), undated=undated, beyond=beyond)
        running = asyncio.create_task(recorder.run())
        if is_new:
            ended = recorder._sampler.take(warm(5_000, clock=Clock.UNSET))
            assert ended is not None
            await recorder.put(ended)
        await until(lambda: on_disk(tmp_path) == ["temperature_mc high, over once dated"], "it to wait")
        with monkeypatch.context() as full:
            full.setattr(spool, "_limits", FULL)
            full.setattr(undated, "is_due", lambda: undated.count > 0)
            await until(lambda: not undated.count, "it to be refused")
            await until(lambda: spool.head_sequence == 2, "that to be told")
        assert spool.refused_total == 1
        measuring = asyncio.create_task(recorder.record(Thermometer(warm(5_100, 1), warm(5_200, 2))))
        await until(lambda: spool.head_sequence == 4, "all to be stored")
        measuring.cancel()
        await recorder.finish()
        await asyncio.gather(running, measuring, return_exceptions=True)
    assert urgent(tmp_path) == [9_000, 5_100]
