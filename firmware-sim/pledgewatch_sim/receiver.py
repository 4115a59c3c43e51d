"""A simulated GPS receiver: bytes on a port, cycle after cycle.

It starts cold: no time and no fix at first, then the time, then a fix. Its fixes drift by some metres around the
truth, as a first-order autoregressive walk: error ← ρ·error + √(1 − ρ²)·σ·noise, so σ is the spread and ρ how slowly
it wanders; it never goes beyond four spreads. Faults come from a seed, byte for byte the same for the same seed.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.nmea_writer import ReceiverState, cycle
from pledgewatch_sim.pty_port import PtyPort

METRES_PER_DEGREE = 111_320.0
_CORRELATION = 0.95
_SPREADS_AT_MOST = 4.0


class Position(NamedTuple):
    """A true place and movement: degrees, metres a second, degrees from north."""

    latitude: float
    longitude: float
    speed_mps: float
    course_deg: float


@dataclass(frozen=True, slots=True)
class ReceiverFaults:
    """How likely each fault is in one cycle."""

    garbage: float = 0.0
    flipped_bit: float = 0.0
    cut_sentence: float = 0.0
    lost_fix: float = 0.0
    lost_fix_cycles: int = 5


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """A receiver's habits. `interval_s` is real time between cycles; cold start is counted in cycles."""

    interval_s: float = 1.0
    cycles_to_time: int = 1
    cycles_to_fix: int = 3
    spread_m: float = 3.0
    faults: ReceiverFaults = field(default_factory=ReceiverFaults)


class Receiver:
    """One receiver at a place that moves."""

    def __init__(
        self,
        clock: SimulationClock,
        place: Callable[[int], Position],
        port: PtyPort,
        random: Random,
        settings: ReceiverSettings | None = None,
    ) -> None:
        self._clock = clock
        self._place = place
        self._port = port
        self._random = random
        self._settings = settings or ReceiverSettings()
        self._error_m = (0.0, 0.0)
        self._sees_again_at_cycle = 0
        self.cycles = 0

    async def run(self) -> None:
        """Speak until cancelled."""
        while True:
            self._port.write(self.speak(self._clock.now_ms()))
            await asyncio.sleep(self._settings.interval_s)

    def speak(self, now_ms: int, *, sees_sky: bool = True) -> bytes:
        """The bytes of one cycle. A receiver that does not see the sky has no fix; the time it keeps."""
        settings, dice = self._settings, self._random
        self.cycles += 1
        if dice.random() < settings.faults.lost_fix:
            self._sees_again_at_cycle = self.cycles + settings.faults.lost_fix_cycles
        has_fix = sees_sky and self.cycles > settings.cycles_to_fix and self.cycles >= self._sees_again_at_cycle
        knows_time = self.cycles > settings.cycles_to_time
        truth = self._place(now_ms)
        east_m, north_m = self._wander()
        latitude = max(-90.0, min(90.0, truth.latitude + north_m / METRES_PER_DEGREE))
        metres_per_degree = METRES_PER_DEGREE * max(0.01, math.cos(math.radians(latitude)))
        longitude = (truth.longitude + east_m / metres_per_degree + 180.0) % 360.0 - 180.0
        state = ReceiverState(
            time_ms=now_ms if knows_time else None,
            has_fix=has_fix,
            latitude=latitude,
            longitude=longitude,
            altitude_m=12.0 + dice.gauss(0, 1),
            speed_mps=truth.speed_mps,
            course_deg=truth.course_deg,
            satellites_used=8 + dice.randrange(4),
            satellites_in_view=14,
            hdop=0.8 + dice.random() / 2,
        )
        return self._spoil(cycle(state))

    def _wander(self) -> tuple[float, float]:
        fresh = math.sqrt(1 - _CORRELATION**2) * self._settings.spread_m
        bound = _SPREADS_AT_MOST * self._settings.spread_m
        walked = (_CORRELATION * one + fresh * self._random.gauss(0, 1) for one in self._error_m)
        east, north = (max(-bound, min(bound, one)) for one in walked)
        self._error_m = (east, north)
        return self._error_m

    def _spoil(self, data: bytes) -> bytes:
        faults, dice = self._settings.faults, self._random
        spoilt = bytearray(data)
        if dice.random() < faults.flipped_bit:
            spoilt[dice.randrange(len(spoilt))] ^= 1 << dice.randrange(7)
        if dice.random() < faults.cut_sentence:
            start = dice.randrange(len(spoilt))
            del spoilt[start : start + dice.randrange(1, 40)]
        if dice.random() < faults.garbage:
            start = dice.randrange(len(spoilt))
            spoilt[start:start] = dice.randbytes(dice.randrange(1, 60))
        return bytes(spoilt)
