"""The container of a scenario at each moment: where it is, how warm, and what is broken.

All of it follows from the file and the time, so that the same scenario is the same story.
"""

from collections.abc import Iterator
from typing import Final

from pledgewatch_sim.receiver import Position
from pledgewatch_sim.scenario.script import Act, Kind, Scenario
from pledgewatch_sim.voyage import bearing_deg, between, distance_m

_SWITCHES: Final = (Kind.LIGHT, Kind.DOOR, Kind.SKY, Kind.RECEIVER, Kind.LINK, Kind.CARD)


class World:
    """What is so `at_s` into the story."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._acts = sorted(scenario.acts, key=lambda one: one.at_s)
        self._first_on = {
            Kind.LIGHT: False,
            Kind.DOOR: False,
            Kind.SKY: scenario.fitted.sees_sky,
            Kind.RECEIVER: True,
            Kind.LINK: True,
            Kind.CARD: True,
        }

    def is_on(self, kind: Kind, at_s: float) -> bool:
        """Whether light, door, sky, receiver, link or card are on. A link that flaps is off in each first half."""
        found = self._first_on[kind]
        for one in self._until(at_s, kind):
            found = one.is_on is True
        if kind is Kind.LINK:
            for one in self._until(at_s, Kind.FLAP):
                if at_s < one.ends_s and one.every_s:
                    found = (at_s - one.at_s) % one.every_s >= one.every_s / 2
        return found

    def temperature_mc(self, at_s: float) -> int:
        """Thousandths of a degree: it goes evenly to where an act says."""
        found = self._scenario.fitted.at_c
        for one in self._until(at_s, Kind.TEMPERATURE):
            assert one.to_c is not None
            found += (one.to_c - found) * _share(one, at_s)
        return round(found * 1_000)

    def place(self, at_s: float) -> Position:
        """Where it truly is, on the great circle to where an act says."""
        place = self._scenario.place
        here, found = (place.longitude, place.latitude), Position(place.latitude, place.longitude, 0.0, 0.0)
        for one in self._until(at_s, Kind.GO):
            there, share = _aim(one), _share(one, at_s)
            now = between(here, there, share)
            is_under_way = share < 1 and bool(one.over_s)
            speed_mps = distance_m(here, there) / one.over_s if is_under_way and one.over_s else 0.0
            found = Position(now[1], now[0], speed_mps, bearing_deg(here, there) if is_under_way else 0.0)
            here = now
        return found

    def told_place(self, at_s: float) -> Position:
        """Where the receiver believes to be: where somebody makes it believe so, else where it is."""
        spoofs = [one for one in self._until(at_s) if one.kind in {Kind.SPOOF, Kind.TRUTH}]
        if spoofs and spoofs[-1].kind is Kind.SPOOF:
            longitude, latitude = _aim(spoofs[-1])
            return Position(latitude, longitude, 0.0, 0.0)
        return self.place(at_s)

    def powers(self) -> list[float]:
        """When the power goes."""
        return [one.at_s for one in self._acts if one.kind is Kind.POWER]

    def _until(self, at_s: float, kind: Kind | None = None) -> Iterator[Act]:
        return (one for one in self._acts if one.at_s <= at_s and kind in {None, one.kind})


def _share(one: Act, at_s: float) -> float:
    """How much of an act is done."""
    return min(1.0, (at_s - one.at_s) / one.over_s) if one.over_s else 1.0


def _aim(one: Act) -> tuple[float, float]:
    assert one.longitude is not None
    assert one.latitude is not None
    return one.longitude, one.latitude
