"""Simulated time."""

import asyncio

import pytest

from pledgewatch_sim.clock import SimulationClock


class Hands:
    """A machine's clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


def test_it_runs_as_fast_as_told() -> None:
    hands = Hands()
    clock = SimulationClock(start_ms=5_000, speed=60.0, anchor_ms=hands.now_ms, real_now_ms=hands)
    assert clock.now_ms() == 5_000
    hands.now_ms += 250
    assert clock.now_ms() == 20_000
    slow = SimulationClock(start_ms=0, speed=0.5, anchor_ms=hands.now_ms, real_now_ms=hands)
    hands.now_ms += 1_000
    assert slow.now_ms() == 500


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_it_does_not_stand_still_or_run_back(speed: float) -> None:
    with pytest.raises(ValueError, match="forward only"):
        SimulationClock(start_ms=0, speed=speed)


async def test_sleeping_ends_when_simulated_time_has_come() -> None:
    clock = SimulationClock(start_ms=0, speed=100_000.0)
    await clock.sleep_until(2_000_000)
    assert clock.now_ms() >= 2_000_000
    await asyncio.wait_for(clock.sleep_until(0), 1.0)  # long past


async def test_a_clock_that_is_set_back_does_not_end_a_sleep_early() -> None:
    hands = Hands()
    clock = SimulationClock(start_ms=0, speed=1_000.0, anchor_ms=hands.now_ms, real_now_ms=hands)
    sleeper = asyncio.create_task(clock.sleep_until(20_000))
    done, _ = await asyncio.wait([sleeper], timeout=0.1)
    assert not done, "20 ms of real sleep have passed, but the clock stands still"
    hands.now_ms += 20
    await asyncio.wait_for(sleeper, 1.0)
