"""The voyage plan: where signal is expected and where dark is normal, and what that makes of a silence.

A leg covers [from_ms, until_ms) of an asset's time. Signal is expected wherever no leg says `dark`: without a plan,
always. A source (a device, or one sensor of it) that last reported at t is late once signal has been expected for a
threshold without a break since t: a dark leg in between starts the waiting anew at its end, since only then could the
source be heard again.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from pledgewatch_cloud.decide import stretches
from pledgewatch_cloud.decide.stretches import ALWAYS, NEVER, Stretch, Stretches

LEG_KINDS = ("road", "rail", "port", "sea", "air", "warehouse")
SIGNALS = ("expected", "dark")


class Leg(NamedTuple):
    """One part of a voyage; `kind` is one of LEG_KINDS, `signal` one of SIGNALS."""

    id: str
    kind: str
    from_ms: int
    until_ms: int
    signal: str


class Voyage(NamedTuple):
    """The plan of an asset's voyage. Legs ascend in time and do not overlap."""

    id: str
    asset: str
    legs: tuple[Leg, ...]


def leg_at(legs: Sequence[Leg], at_ms: int) -> Leg | None:
    """The leg that a moment lies in, of legs that ascend in time."""
    place = bisect_right(legs, at_ms, key=lambda leg: leg.from_ms) - 1
    return legs[place] if place >= 0 and at_ms < legs[place].until_ms else None


def leg_stands_until_ms(legs: Sequence[Leg], at_ms: int) -> int:
    """Up to when the leg of a moment, or that there is none, is that of the moments after it; NEVER without an end."""
    place = bisect_right(legs, at_ms, key=lambda leg: leg.from_ms)
    edges = [legs[place].from_ms] if place < len(legs) else []
    edges += [legs[place - 1].until_ms] if place and at_ms < legs[place - 1].until_ms else []
    return min(edges, default=NEVER)


def deadline_ms(legs: Sequence[Leg], last_ms: int, threshold_s: int) -> int:
    """The last moment at which a source that reported at `last_ms` is not late yet; NEVER where 0 s are allowed."""
    if not threshold_s:
        return NEVER
    waiting_since_ms = last_ms
    for leg in legs:
        if leg.signal != "dark" or leg.until_ms <= waiting_since_ms:
            continue
        if leg.from_ms - waiting_since_ms > threshold_s * 1_000:
            break
        waiting_since_ms = leg.until_ms
    return waiting_since_ms + threshold_s * 1_000


@lru_cache(maxsize=4_096)
def in_force(
    legs: tuple[Leg, ...], ids: tuple[str, ...], within: tuple[Stretch, ...] = (), without: tuple[Stretch, ...] = ()
) -> Stretches:
    """When something holds that is tied to legs by id (none: to no leg), to periods `within` (none: to none) and not
    `without` some."""
    found = ALWAYS
    if ids:
        found = stretches.joined((leg.from_ms, leg.until_ms) for leg in legs if leg.id in ids)
    if within:
        found = stretches.shared(found, stretches.joined(within))
    return stretches.without(found, stretches.joined(without))


def overlaps(legs: Sequence[Leg]) -> list[tuple[Leg, Leg]]:
    """Pairs of successive legs of which the second begins before the first ends."""
    return [(one, two) for one, two in pairwise(legs) if two.from_ms < one.until_ms]
