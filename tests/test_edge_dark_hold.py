"""Under deck: neither sky nor network for weeks, and what is measured there is evidence all the same."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from builders import NOON_MS, ManualClock
from edge_support import new_spool, station
from folding import spine_for, told_of

from pledgewatch_cloud.decide.grade import Grade, doubt_of_clock, grade_of
from pledgewatch_edge.clock import UNCERTAINTY_MS, AgentClock
from pledgewatch_edge.past import Past
from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.sampling_settings import LimitSettings, SamplingSettings
from pledgewatch_edge.spool.spool import Spool
from pledgewatch_edge.station import run_station
from pledgewatch_edge.undated import Undated
from pledgewatch_wire.reading import Cell, Channel, Clock, Reading

HOUR_MS = 3_600_000
DAY_H = 24
LOW_MC, HIGH_MC = -25_000, -12_000
LIMIT = {"channel": "temperature_mc", "low": LOW_MC, "high": HIGH_MC, "grace_s": 3_600, "max_gap_s": 7_200}
FROZEN = SamplingSettings(limits=(LimitSettings(channels=("temperature_mc",), low=LOW_MC, high=HIGH_MC),))
LINK_H = 72  # when the cloud hears of it all


@dataclass
class Board:
    """A computer whose crystal is 20 in a million too fast; its clock is `off_ms` from the time when it starts."""

    keeps_time: bool = False
    off_ms: int = -NOON_MS
    passed_ms: int = 0
    started_ms: int = 0
    boot: str = "first"
    is_linked: bool = False
    sees_sky: bool = True
    warm: tuple[float, float] = (0, 0)
    moments: list[int] = field(default_factory=list)

    def counted_ms(self) -> int:
        passed_ms = self.passed_ms - self.started_ms
        return passed_ms + passed_ms * 20 // 1_000_000

    def clock(self) -> AgentClock:
        return AgentClock(
            system_ms=lambda: NOON_MS + self.started_ms + self.off_ms + self.counted_ms(),
            monotonic_ms=self.counted_ms,
            is_synchronised=lambda: False,
            keeps_time=self.keeps_time,
        )

    def start_anew(self) -> None:
        """The power goes and comes. Where nothing keeps the time it is 1970 again."""
        self.started_ms, self.boot = self.passed_ms, self.boot + " again"
        self.off_ms -= 0 if self.keeps_time else self.passed_ms


class Probe:
    """Measures each half hour up to an hour of the story, and hears a receiver where there is sky."""

    name = "probe"

    def __init__(self, board: Board, clock: AgentClock, past: Past, until_h: float) -> None:
        self._board, self._clock, self._past, self._until_ms = board, clock, past, until_h * HOUR_MS
        self.is_over = asyncio.Event()

    async def samples(self) -> AsyncGenerator[Sample, None]:
        board = self._board
        while board.passed_ms < self._until_ms:
            board.passed_ms += HOUR_MS // 2
            if board.sees_sky:
                self._clock.set_by_fix(NOON_MS + board.passed_ms)
            self._past.keep()
            board.moments.append(NOON_MS + board.passed_ms)
            is_warm = board.warm[0] * HOUR_MS <= board.passed_ms < board.warm[1] * HOUR_MS
            yield Sample(*self._clock.now(), (Cell(Channel.TEMPERATURE_MC, 8_000 if is_warm else -18_000),))
            await asyncio.sleep(0)
        self.is_over.set()
        await asyncio.Event().wait()


async def live(folder: Path, board: Board, until_h: float) -> list[Reading]:
    """One life of the agent, as a station puts it together; what is in the spool at its end."""
    clock = board.clock()
    past = Past(folder, None, clock, boot=lambda: board.boot)
    past.begin()
    undated = Undated(folder, clock, boot=lambda: board.boot, is_linked=lambda: board.is_linked)
    with new_spool(folder) as spool:
        recorder = Recorder(spool, lambda: None, sampler=Sampler(FROZEN), undated=undated)
        probe = Probe(board, clock, past, until_h)
        async with asyncio.TaskGroup() as group:
            recording = group.create_task(recorder.run())
            measuring = group.create_task(recorder.record(probe))
            await probe.is_over.wait()
            measuring.cancel()
            await recorder.finish()
            await recording
        return everything(spool)


def everything(spool: Spool) -> list[Reading]:
    """In the order of their moments: of one batch what has to be dated is numbered first."""
    readings = [one for one in spool.read(0, 100_000) if one.cell(Channel.TEMPERATURE_MC) is not None]
    return sorted(readings, key=lambda one: one.measured_at_ms)


def found(readings: list[Reading]) -> list[str]:
    """What the cloud makes of it, when the link is there again: types of events, and at which hour."""
    spine, store, device = spine_for(limits=[LIMIT])
    told = [device.measure(one.measured_at_ms, *one.cells, clock=Clock(one.clock)) for one in readings]
    spine._clock = ManualClock(NOON_MS + LINK_H * HOUR_MS)
    spine.take([device.arrival(told)])
    return [f"{one.type} {(one.at_ms - NOON_MS) / HOUR_MS:.1f}" for one in told_of(store)]


def assert_within_doubt(board: Board, readings: list[Reading]) -> None:
    """Each is as of when it was, as far off as it says at most, or as its clock may be."""
    assert len(readings) == len(board.moments), "each once"
    for one, truly_ms in zip(readings, board.moments, strict=True):
        clock = Clock(one.clock)
        doubt_ms = one.good(Channel.CLOCK_UNCERTAINTY_MS) if clock is Clock.BACKDATED else UNCERTAINTY_MS[Clock.RTC]
        assert doubt_ms is not None
        assert abs(one.measured_at_ms - truly_ms) <= doubt_ms


BOARDS = [
    Board(),
    Board(keeps_time=True, off_ms=3 * DAY_H * HOUR_MS),
    Board(keeps_time=True, off_ms=-3 * DAY_H * HOUR_MS),
    Board(keeps_time=True, off_ms=5_000),
]


@pytest.mark.parametrize("is_killed", [False, True], ids=["", "killed"])
@pytest.mark.parametrize("number", range(len(BOARDS)), ids=["no clock", "ahead", "behind", "right"])
async def test_goods_that_get_warm_on_the_second_day_are_found(tmp_path: Path, number: int, *, is_killed: bool) -> None:
    """Dark from hour 8 to 56, warm from 34 to 40, whatever the computer's own clock says; and the agent may have been
    killed in the dark."""
    kind = BOARDS[number]
    board = Board(keeps_time=kind.keeps_time, off_ms=kind.off_ms, warm=(34, 40))
    await live(tmp_path, board, 8)
    board.sees_sky = False
    for hour in (20, 36, 56) if is_killed else (56,):
        await live(tmp_path, board, hour)
    board.sees_sky = True
    readings = await live(tmp_path, board, 60)
    assert_within_doubt(board, readings)
    assert {one.clock for one in readings} == {Clock.GPS}
    assert found(readings) == ["condition_breached 35.0", "condition_restored 40.0"]


async def test_thirty_days_in_the_dark_are_evidence(tmp_path: Path) -> None:
    """After twenty days it is dated as of before, with the doubt that there is; it goes at once, and is fair."""
    board = Board()
    await live(tmp_path, board, 2)
    board.sees_sky = False
    readings = await live(tmp_path, board, 30 * DAY_H)
    assert_within_doubt(board, readings)
    clocks = [one.clock for one in readings]
    assert sorted(clocks) == clocks
    assert set(clocks) == {Clock.GPS, Clock.BACKDATED}
    assert 20.5 < clocks.index(Clock.BACKDATED) / 2 / DAY_H < 21
    assert {grade_of(doubt_of_clock(one)) for one in readings} == {Grade.GOOD, Grade.FAIR}
    doubts = [one.good(Channel.CLOCK_UNCERTAINTY_MS) or 0 for one in readings]
    assert doubts == sorted(doubts), "it grows"


async def test_power_that_goes_in_the_dark_costs_no_evidence(tmp_path: Path) -> None:
    """Nobody knows the time then, until there is sky again; and that comes later than the link does."""
    board = Board()
    await live(tmp_path, board, 8)
    board.sees_sky = False
    await live(tmp_path, board, 12)
    board.start_anew()
    await live(tmp_path, board, 6 * DAY_H)
    board.is_linked = True
    await live(tmp_path, board, 6 * DAY_H + 2)
    board.sees_sky = True
    readings = await live(tmp_path, board, 6 * DAY_H + 4)
    assert_within_doubt(board, readings)
    assert [one.clock for one in readings[24:-4]] == [Clock.BACKDATED] * (2 * 6 * DAY_H + 4 - 24)
    assert {grade_of(doubt_of_clock(one)) for one in readings} == {Grade.GOOD, Grade.FAIR}


@pytest.mark.parametrize(("is_linked", "waits_h"), [(True, 24), (False, 30 * DAY_H)])
async def test_what_gets_no_date_goes_without(tmp_path: Path, waits_h: int, *, is_linked: bool) -> None:
    """Soon where there is a link, for then somebody may wonder; without one when its date would be worth little."""
    board = Board(sees_sky=False, is_linked=is_linked)
    assert await live(tmp_path, board, waits_h) == []
    readings = await live(tmp_path, board, waits_h + 25)
    assert {one.clock for one in readings} == {Clock.UNSET}
    assert len(readings) >= waits_h * 2


async def test_a_station_tells_whether_there_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Callable[[], bool]] = []

    def undated(folder: Path, clock: AgentClock, *, is_linked: Callable[[], bool]) -> Undated:
        asked.append(is_linked)
        return Undated(folder, clock, is_linked=is_linked)

    monkeypatch.setattr("pledgewatch_edge.station.Undated", undated)
    stop = asyncio.Event()
    stop.set()
    await run_station(station(tmp_path, 9), [], stop, clock=Board().clock())
    assert [one() for one in asked] == [False]


async def test_an_agent_that_begins_had_no_link_before(tmp_path: Path) -> None:
    """What waited in the dark waits on, though it is linked as soon as it is there."""
    board = Board(sees_sky=False)
    await live(tmp_path, board, 48)
    board.is_linked = True
    assert await live(tmp_path, board, 60) == []
    board.sees_sky = True
    readings = await live(tmp_path, board, 61)
    assert {one.clock for one in readings[:-2]} == {Clock.BACKDATED}
    assert_within_doubt(board, readings)
