"""What is measured before the time is known: it waits, is dated back, and is neither lost nor numbered twice."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from edge_support import PROBE, Cloud, cloud, configuration, new_spool, running_broker, sample, until

from pledgewatch_edge.clock import DRIFT_PPM, RELEASED_MS, UNCERTAINTY_MS, AgentClock
from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool.answers import Appended
from pledgewatch_edge.spool.errors import SpoolError
from pledgewatch_edge.spool.spool import Spool
from pledgewatch_edge.undated import AT_ONCE, UNDATED_FILE, Marked, Undated, waiting_in
from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.onewire import scratchpad, w1_slave
from pledgewatch_sim.pty_port import PtyPort
from pledgewatch_sim.receiver import Position, Receiver, ReceiverSettings
from pledgewatch_wire.reading import Channel, Clock, Reading

NOW_MS = RELEASED_MS + 10_000_000_000
UNCERTAINTY = Channel.CLOCK_UNCERTAINTY_MS


class Machine:
    """A computer that has just started, in 1970, and its clock."""

    def __init__(self) -> None:
        self.since_start_ms = 20_000
        self.clock = AgentClock(
            system_ms=lambda: self.since_start_ms,
            monotonic_ms=lambda: self.since_start_ms,
            is_synchronised=lambda: False,
        )

    def marked(self, number: int, *, is_urgent: bool = False) -> Marked:
        """A sample, a second after the one before."""
        self.since_start_ms += 1_000
        undated = sample(number)._replace(measured_at_ms=self.since_start_ms, clock=Clock.UNSET, is_urgent=is_urgent)
        return Marked(undated, self.clock.mark())

    def undated(self, folder: Path, *, boot: str = "first") -> Undated:
        return Undated(folder, self.clock, boot=lambda: boot)


def numbers(spool: Spool) -> list[int]:
    return [one.cells[1].value for one in spool.read(0, 100_000)]


def test_it_is_dated_back_and_says_how_far_off_that_may_be(tmp_path: Path) -> None:
    machine = Machine()
    with new_spool(tmp_path) as spool:
        undated = machine.undated(tmp_path)
        undated.keep([machine.marked(1), machine.marked(2, is_urgent=True)])
        assert not undated.is_due()
        machine.since_start_ms += 10_000_000
        undated.keep([machine.marked(3)])
        assert (waiting_in(tmp_path), spool.head_sequence) == (3, 0)
        machine.clock.set_by_fix(NOW_MS)
        assert undated.is_due()
        handed = undated.hand_over(spool)
        assert handed is not None
        assert (handed.appended, handed.is_dated) == (Appended(3, 0), True)
        readings = spool.read(0, 10)
    drift_ms = 10_001_000 * DRIFT_PPM // 1_000_000
    told = [(one.clock, NOW_MS - one.measured_at_ms, one.good(UNCERTAINTY)) for one in readings]
    assert told == [
        (Clock.BACKDATED, 10_002_000, UNCERTAINTY_MS[Clock.GPS] + drift_ms),
        (Clock.BACKDATED, 10_001_000, UNCERTAINTY_MS[Clock.GPS] + drift_ms),
        (Clock.BACKDATED, 0, UNCERTAINTY_MS[Clock.GPS]),
    ]
    assert not (tmp_path / UNDATED_FILE).exists()
    assert not undated.is_due()
    assert waiting_in(tmp_path) == 0


def test_what_no_payload_can_hold_spoils_nothing_that_waits(tmp_path: Path) -> None:
    machine = Machine()
    some = [machine.marked(1), machine.marked(2), machine.marked(3)]
    some[1] = some[1]._replace(sample=some[1].sample._replace(cells=()))
    undated = machine.undated(tmp_path)
    assert undated.keep(some[1:2]) == 1
    assert undated.keep(some) == 1
    assert (undated.count, waiting_in(tmp_path)) == (2, 2)
    machine.clock.set_by_fix(NOW_MS)
    with new_spool(tmp_path) as spool:
        undated.hand_over(spool)
        assert numbers(spool) == [1, 3]


def test_what_others_were_numbered_meanwhile_counts_for_none_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refuses between two of its batches, and what is newer is numbered before it is called again."""
    monkeypatch.setattr("pledgewatch_edge.undated.AT_ONCE", 2)
    machine = Machine()
    undated = machine.undated(tmp_path)
    undated.keep([machine.marked(number) for number in range(1, 7)])
    machine.clock.set_by_fix(NOW_MS)
    with new_spool(tmp_path) as spool:
        write, written = undated._write, list[bytes]()

        def refusing(data: bytes) -> None:
            if written:
                raise OSError(5, "Input/output error")
            written.append(data)
            write(data)

        monkeypatch.setattr(undated, "_write", refusing)
        with pytest.raises(SpoolError):
            undated.hand_over(spool)
        spool.append([sample(number) for number in range(101, 106)])
        monkeypatch.undo()
        handed = undated.hand_over(spool)
        assert handed is not None
        assert handed.appended == Appended(6, 0), "also of those before the disk refused"
        assert numbers(spool) == [1, 2, *range(101, 106), 3, 4, 5, 6]


def test_a_time_of_the_battery_is_more_doubtful(tmp_path: Path) -> None:
    machine = Machine()
    undated = machine.undated(tmp_path)
    undated.keep([machine.marked(1)])
    machine.clock._system_ms = lambda: NOW_MS
    with new_spool(tmp_path) as spool:
        undated.hand_over(spool)
        assert [one.good(UNCERTAINTY) for one in spool.read(0, 9)] == [UNCERTAINTY_MS[Clock.RTC]]


@pytest.mark.parametrize("why", ["too many", "too long", "started anew"])
def test_where_the_time_does_not_become_known_it_goes_as_it_is(tmp_path: Path, why: str) -> None:
    machine = Machine()
    first = Undated(tmp_path, machine.clock, boot=lambda: "first", readings_max=4, wait_ms=60_000)
    some = [machine.marked(number) for number in range(1, 4)]
    first.keep(some)
    assert not first.is_due()
    if why == "too many":
        first.keep([machine.marked(4)])
    elif why == "too long":
        machine.since_start_ms += 60_000
    else:
        machine.clock.set_by_fix(NOW_MS)  # of another start than theirs
        first = machine.undated(tmp_path, boot="second")
    assert first.is_due()
    with new_spool(tmp_path) as spool:
        handed = first.hand_over(spool)
        assert handed is not None
        assert not handed.is_dated
        found = spool.read(0, 9)[:3]
        assert [(one.measured_at_ms, one.clock) for one in found] == [
            (one.sample.measured_at_ms, Clock.UNSET) for one in some
        ]
    fresh = [machine.marked(9)]
    first.keep(fresh)  # and what comes after it waits anew
    assert first.count == 1
    assert not machine.undated(tmp_path, boot="second" if why == "started anew" else "first")._is_of_another_boot


@pytest.mark.parametrize("seed", range(10))
def test_whoever_is_killed_anywhere_loses_nothing_and_numbers_nothing_twice(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent dies at a write that chance says, of the file or of the spool, again and again, torn ends and all."""
    dice, machine = Random(seed), Machine()
    count = dice.choice([3, 40, AT_ONCE + 300])
    undated = machine.undated(tmp_path)
    kept = 0
    while kept < count:
        size = min(dice.randrange(1, 400), count - kept)
        undated.keep([machine.marked(kept + place + 1, is_urgent=dice.random() < 0.1) for place in range(size)])
        kept += size
        if dice.random() < 0.3:
            with (tmp_path / UNDATED_FILE).open("ab") as file:
                file.write(dice.randbytes(dice.randrange(60)))  # a write that the kill cut short
            undated = machine.undated(tmp_path)
    assert waiting_in(tmp_path) == count
    machine.clock.set_by_fix(NOW_MS)
    for _ in range(4):
        with new_spool(tmp_path) as spool:
            undated = machine.undated(tmp_path)
            if not undated.is_due():
                break
            lives = dice.randrange(8)
            with dying_after(lives, spool, undated, monkeypatch) as is_dead:
                undated.hand_over(spool)
            assert is_dead or waiting_in(tmp_path) == 0
    with new_spool(tmp_path) as spool:
        if waiting_in(tmp_path):
            machine.undated(tmp_path).hand_over(spool)
        assert numbers(spool) == list(range(1, count + 1))
        assert {one.clock for one in spool.read(0, 100_000)} == {Clock.BACKDATED}


class GoneError(Exception):
    """The agent was killed here."""


@contextmanager
def dying_after(writes: int, spool: Spool, undated: Undated, patch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """The disk takes so many writes more, and then the agent is gone; before or after the write, by turns."""
    left = [writes]
    dead: list[bool] = []

    whole = spool._write, undated._write

    def counted(write: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*arguments: Any, **named: Any) -> None:
            left[0] -= 1
            if left[0] < 0 and writes % 2:
                raise GoneError
            write(*arguments, **named)
            if left[0] < 0:
                raise GoneError

        return wrapped

    patch.setattr(spool, "_write", counted(whole[0]))
    patch.setattr(undated, "_write", counted(whole[1]))
    try:
        yield dead
    except GoneError:
        dead.append(True)


def test_a_disk_that_refuses_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    undated = machine.undated(tmp_path)
    undated.keep([machine.marked(number) for number in range(1, 4)])
    machine.clock.set_by_fix(NOW_MS)
    with new_spool(tmp_path) as spool:
        with monkeypatch.context() as patch:
            patch.setattr(spool, "append", refused)
            with pytest.raises(SpoolError):
                undated.hand_over(spool)
        assert waiting_in(tmp_path) == 3
        undated.hand_over(spool)
        assert numbers(spool) == [1, 2, 3]


def refused(*_: object) -> Appended:
    raise SpoolError("no space left on device")


async def test_the_recorder_numbers_them_before_anything_newer(tmp_path: Path) -> None:
    machine = Machine()
    with new_spool(tmp_path) as spool:
        undated = machine.undated(tmp_path)
        recorder = Recorder(spool, lambda: None, undated=undated)
        async with asyncio.TaskGroup() as group:
            group.create_task(recorder.run())
            for number in (1, 2, 3):
                await recorder.put(machine.marked(number, is_urgent=number == 2).sample)
            await until(lambda: undated.count == 3, "three to wait on the disk")
            assert spool.head_sequence == 0, "urgent ones wait too"
            machine.clock.set_by_fix(NOW_MS)
            await recorder.put(Sample(NOW_MS, Clock.GPS, sample(4).cells))
            await until(lambda: spool.head_sequence == 4, "all to be numbered")
            await recorder.finish()
        readings = spool.read(0, 10)
    assert [one.cells[1].value for one in readings] == [1, 2, 3, 4]
    assert [one.clock for one in readings] == [Clock.BACKDATED] * 3 + [Clock.GPS]
    assert [NOW_MS - one.measured_at_ms for one in readings] == [2_000, 1_000, 0, 0]


async def test_what_waits_when_the_agent_stops_waits_for_the_next(tmp_path: Path) -> None:
    machine = Machine()
    for number in (1, 2):
        with new_spool(tmp_path) as spool:
            recorder = Recorder(spool, lambda: None, undated=machine.undated(tmp_path), hold_s=3_600.0)
            async with asyncio.TaskGroup() as group:
                group.create_task(recorder.run())
                await recorder.put(machine.marked(number).sample)
                await recorder.finish()
            assert (spool.head_sequence, waiting_in(tmp_path)) == (0, number)


# A machine whose clock begins at 1970 when it starts, and that no time service keeps: time.time_ns is the machine's.
AT_1970 = """
import sys, time
now_ns, begun_ns = time.time_ns, time.time_ns()
time.time_ns = lambda: now_ns() - begun_ns + 30_000_000_000
from pledgewatch_edge import clock
clock.AgentClock.__init__.__kwdefaults__["is_synchronised"] = lambda: False
from pledgewatch_edge.__main__ import main
sys.exit(main(["run", "--config", sys.argv[1]]))
"""


async def truth_is_shown(probe: Path, truth: SimulationClock) -> None:
    """The probe's temperature tells when it was measured: a thousandth of a degree for each true millisecond, to the
    probe's sixteenth of a degree."""
    while True:
        fresh = probe.with_name("fresh")
        fresh.write_text(w1_slave(scratchpad(truth.now_ms() - NOW_MS)), encoding="ascii")
        fresh.replace(probe)
        await asyncio.sleep(0.01)


@contextmanager
def agent_at_1970(config: Path) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", AT_1970, str(config)], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def warmth(listener: Cloud) -> list[Reading]:
    some = [listener.readings[key] for key in sorted(listener.readings)]
    return [one for one in some if one.good(Channel.TEMPERATURE_MC) is not None]


async def test_a_clock_at_1970_yields_the_right_moments_after_the_first_time_of_gps(tmp_path: Path) -> None:
    """The real agent, killed before it knows the time and started again; then the simulator's receiver wakes up."""
    truth = SimulationClock(start_ms=NOW_MS, speed=1.0)
    with running_broker("mosquitto", tmp_path / "broker") as broker:
        config = configuration(tmp_path, broker.port, interval_s=0.1, shown="", more='[gps]\nport = "gps"\n')
        async with cloud(broker.port) as listener, PtyPort(tmp_path / "gps") as port, asyncio.TaskGroup() as group:
            showing = group.create_task(truth_is_shown(tmp_path / "w1" / PROBE / "w1_slave", truth))
            with agent_at_1970(config):
                await until(lambda: waiting_in(tmp_path / "state") > 10, "what has no date")
                killed_ms = truth.now_ms()
            assert listener.readings == {}, "nothing is numbered before it has a date"
            with agent_at_1970(config):
                still = Position(33.7, -118.2, 0.0, 0.0)
                settings = ReceiverSettings(interval_s=0.2, cycles_to_time=3, cycles_to_fix=6)
                receiver = Receiver(truth, lambda _: still, port, Random(1), settings)
                speaking = group.create_task(receiver.run())
                await until(lambda: any(one.clock == Clock.GPS for one in warmth(listener)), "a measured time")
                speaking.cancel()
            showing.cancel()
        assert listener.conflicts == 0
    found = warmth(listener)
    backdated = [one for one in found if one.clock == Clock.BACKDATED]
    assert {one.clock for one in found} == {Clock.BACKDATED, Clock.GPS}
    assert len([one for one in backdated if one.measured_at_ms < killed_ms]) > 10, "from before the kill"
    for one in found:
        truly_ms = NOW_MS + (one.good(Channel.TEMPERATURE_MC) or 0)
        assert abs(one.measured_at_ms - truly_ms) <= (one.good(UNCERTAINTY) or UNCERTAINTY_MS[Clock.GPS]), one
        assert (one.good(UNCERTAINTY) is not None) == (one.clock == Clock.BACKDATED)
    moments = [one.measured_at_ms for one in found]
    assert moments == sorted(moments), "numbered in the order in which they were measured"
