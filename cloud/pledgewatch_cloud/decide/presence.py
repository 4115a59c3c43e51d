"""Presence is state, crossing is transition.

The first good fix of an asset says where it is and crosses nothing. Each later good fix is compared with the one before
it in time: a fence newly inside was entered, one no longer inside was left. A fix that is not good changes nothing.
"""

from typing import NamedTuple

from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_wire.reading import Channel

Key = tuple[int, str, int, int]


class Place(NamedTuple):
    """A good fix, in 1e-7 degrees."""

    latitude_e7: int
    longitude_e7: int


class Presence(NamedTuple):
    """Where an asset was at its newest good fix (`key`), and the fences that it was in, in order of id."""

    key: Key
    place: Place
    fences: tuple[str, ...]


def place_of(one: AssetReading) -> Place | None:
    """The place that a reading gives evidence of, if it does."""
    latitude = one.reading.good(Channel.LATITUDE_E7)
    longitude = one.reading.good(Channel.LONGITUDE_E7)
    return None if latitude is None or longitude is None else Place(latitude, longitude)


def advance(
    asset: str, before: Presence | None, one: AssetReading, place: Place, inside: frozenset[str]
) -> tuple[Presence, list[Event]]:
    """The presence after one more good fix, which lies in the fences `inside`, and the crossings that it shows."""
    after = Presence(one.key, place, tuple(sorted(inside)))
    if before is None:
        return after, []
    crossings = [(EventType.FENCE_LEFT, fence) for fence in before.fences if fence not in inside]
    crossings += [(EventType.FENCE_ENTERED, fence) for fence in after.fences if fence not in before.fences]
    return after, [
        event(
            kind,
            one.measured_at_ms,
            asset,
            fence=fence,
            device=one.device,
            epoch=one.epoch,
            sequence=one.sequence,
            latitude_e7=place.latitude_e7,
            longitude_e7=place.longitude_e7,
        )
        for kind, fence in crossings
    ]
