"""The account of a story: what the agent has measured and the cloud has said, against what the file expects."""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

from pledgewatch_sim.scenario.events import EventName
from pledgewatch_sim.scenario.script import Expect
from pledgewatch_sim.voyage import distance_m

STOOD_WITHIN_M: Final = 100.0
"""A receiver at rest is a few metres off to each side; what stands is never so far from where it came to stand."""
_DEGREE_E7: Final = 10_000_000


class Account(NamedTuple):
    """What came of it. `measured` is the agent's own count of readings that got a number, over all its epochs;
    `refused` that of those which it could not keep and which got none."""

    measured: int
    received: int
    thinned: int
    refused: int
    missing: int
    events: dict[str, int]
    wrong: list[str]

    def as_json(self) -> str:
        """In a line."""
        return json.dumps(self._asdict())


class Told(NamedTuple):
    """An event of the cloud: its type, when it was so, and the channel that it is about, if it is about one."""

    kind: str
    at_ms: int
    channel: str = ""


class Counts(NamedTuple):
    """What the cloud has of the device's readings, and what it knows of those that the device could not keep."""

    received: int
    thinned: int
    refused: int
    missing: int

    @classmethod
    def of(cls, device: dict[str, Any]) -> Self:
        """By what its API says."""
        epochs = device["epochs"]
        received, thinned = (sum(int(one[key]) for one in epochs) for key in ("received", "thinned"))
        missing = sum(last - first + 1 for one in epochs for first, last in one["missing"])
        return cls(received, thinned, int(device["completeness"]["refused"]), missing)

    def tells(self, agent: dict[str, Any]) -> bool:
        """Whether it is what the agent has counted, or more."""
        return self.received + self.thinned >= int(agent["measured"]) and self.refused >= int(agent["refused"])


class Fix(NamedTuple):
    """Where the cloud has the container at a moment; ten millionths of a degree."""

    at_ms: int
    longitude_e7: int
    latitude_e7: int


def account(
    expect: Expect, measured: int, refused: int, cloud: Counts, told: Sequence[Told], track: Sequence[Fix] = ()
) -> Account:
    """The account of a story: what its file expects, and what the agent has measured and refused, against the cloud.
    `track`: in order of time, where the file expects that it stood outside."""
    kinds = [one.kind for one in told]
    events = {one: kinds.count(one) for one in sorted(set(kinds))}
    wrong = [f"{name} was expected and never came" for name in expect.events if name not in events]
    wrong += [f"{name} came {events[name]} times" for name in expect.never if name in events]
    if expect.breached_outside:
        wrong += _wrong_of_breaches(expect.breached_outside, told)
    if expect.stood_outside_s is not None and (stood_s := _stood_outside_s(track, told)) < expect.stood_outside_s:
        wrong.append(f"it stood outside of the zone for {stood_s:g} s, and {expect.stood_outside_s:g} s were expected")
    if not measured:
        wrong.append("nothing was measured")
    received, thinned, known, missing = cloud
    if received + thinned != measured or missing:
        wrong.append(f"of {measured} readings {received} came, {thinned} were thinned, {missing} are missing")
    if refused:
        wrong.append(f"{refused} readings were refused by the device and are lost")
    if refused != known:
        wrong.append(f"the device has refused {refused} readings, and the cloud knows of {known}")
    return Account(measured, received, thinned, refused, missing, events, wrong)


def _wrong_of_breaches(expected: Sequence[str], told: Sequence[Told]) -> list[str]:
    """What is wrong with where limits were passed at first."""
    where = dict[str, bool]()
    for one in sorted(told, key=lambda one: one.at_ms):
        if one.kind == EventName.CONDITION_BREACHED:
            where.setdefault(one.channel, _is_outside(one.at_ms, told))
    never = [one for one in expected if one not in where]
    wrong = [f"no limit of {one} was passed, and outside of the zone it was expected" for one in never]
    wrong += [f"a limit of {one} was passed, and none was expected" for one in where if one not in expected]
    return wrong + [f"a limit of {one} was passed inside of the zone" for one in expected if where.get(one) is False]


def _stood_outside_s(track: Sequence[Fix], told: Sequence[Told]) -> float:
    """For how long it stood outside of its zone at the longest: from the first to the last of fixes in turn of which
    none is further than STOOD_WITHIN_M from the first."""
    longest_ms, first = 0, None
    for one in track:
        if not _is_outside(one.at_ms, told):
            first = None
        elif first is None or distance_m(_place(first), _place(one)) > STOOD_WITHIN_M:
            first = one
        else:
            longest_ms = max(longest_ms, one.at_ms - first.at_ms)
    return longest_ms / 1_000


def _is_outside(at_ms: int, told: Sequence[Told]) -> bool:
    """Whether the cloud has it that the container was outside of its zone, by the last crossing before."""
    crossings = [one for one in told if one.kind in {EventName.FENCE_LEFT, EventName.FENCE_ENTERED}]
    before = [one for one in crossings if one.at_ms <= at_ms]
    return bool(before) and max(before, key=lambda one: one.at_ms).kind == EventName.FENCE_LEFT


def _place(fix: Fix) -> tuple[float, float]:
    return fix.longitude_e7 / _DEGREE_E7, fix.latitude_e7 / _DEGREE_E7
