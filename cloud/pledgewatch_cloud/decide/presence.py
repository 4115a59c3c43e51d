"""Presence is state, crossing is transition.

For every fence that is in force, an asset is inside or outside, or it is not known yet. The first fix that tells gives
the state and crosses nothing; a crossing is found when a later fix shows the other side, and then only

- by a fix of the grade that the fence asks for (a weaker one changes nothing);
- by a fix whose accuracy circle does not straddle the fence's edge, where the fence is aware of accuracy;
- by a fix deeper inside than `enter_margin_m`, or farther outside than `margin_m` (hysteresis);
- once the other side has been shown by every fix for `dwell_s` (to enter) or `leave_after_s` (to leave).

A fence that is not in force at a moment (a window of time, a leg of the voyage) is not judged then; in force again, it
begins anew with a state, also where no fix fell into the time between. Where an asset was entered by a fix that was
only fair, a good fix inside confirms it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.events import Event, EventType, event
from pledgewatch_cloud.decide.geofence import Fence, FenceIndex
from pledgewatch_cloud.decide.grade import GRADE_NAMES, Grade
from pledgewatch_cloud.decide.plausibility import Fix
from pledgewatch_cloud.decide.stretches import ALWAYS, NEVER, Stretch, stretch_at
from pledgewatch_cloud.decide.voyage import Leg, in_force

Key = tuple[int, str, int, int]


class Presence(NamedTuple):
    """Where an asset was at its newest fix (`key`), and how it stands to fences, each part in order of id.

    `box` holds all of its fixes: least and greatest latitude, least and greatest longitude.
    `inside`: it is in them. `pending`: the other side has been shown since then, not yet for long enough. `unknown`:
    no fix could tell yet. `fair`: of `inside`, those entered by a fair fix only. `good_ms` is when the newest good fix
    was measured, `first_ms` the first of all. `begun`: the fences that it was inside of without having entered them, as
    no fix had told of them before, each since when that was first so.
    """

    key: Key
    latitude_e7: int
    longitude_e7: int
    inside: tuple[str, ...] = ()
    pending: tuple[tuple[str, int], ...] = ()
    unknown: tuple[str, ...] = ()
    fair: tuple[str, ...] = ()
    good_ms: int = -NEVER
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    first_ms: int = NEVER
    begun: tuple[tuple[str, int], ...] = ()


class Ground(NamedTuple):
    """What a fix is judged against: the index that found `inside`, the fences by id, those with windows or legs."""

    tree: FenceIndex
    fences: Mapping[str, Fence]
    scoped: frozenset[str]


def advance(
    asset: str,
    before: Presence | None,
    one: AssetReading,
    fix: Fix,
    inside: tuple[str, ...],
    legs: tuple[Leg, ...],
    ground: Ground,
) -> tuple[Presence, list[Event]]:
    """The presence after one more fix, which lies in the fences `inside`, and the crossings that it shows.

    `legs` are those of the asset's voyages.
    """
    key = one.key
    if (
        before is not None
        and inside == before.inside
        and not (before.pending or before.unknown or before.fair or before.good_ms == -NEVER)
        and ground.scoped.isdisjoint(inside)
    ):
        box, good_ms = _grown(before.box, fix), _good_ms(before, one, fix)
        place = fix.latitude_e7, fix.longitude_e7
        return Presence(key, *place, inside, (), (), (), good_ms, box, before.first_ms, before.begun), []
    judging = _Judging(asset, before, one, fix, frozenset(inside), legs, ground)
    return judging.presence(), judging.events


class _Judging:
    """One fix against every fence that it or the state before it concerns."""

    def __init__(
        self,
        asset: str,
        before: Presence | None,
        one: AssetReading,
        fix: Fix,
        inside: frozenset[str],
        legs: tuple[Leg, ...],
        ground: Ground,
    ) -> None:
        self.events: list[Event] = []
        self._asset, self._one, self._fix, self._legs, self._ground = asset, one, fix, legs, ground
        self._before, self._now_inside = before, inside
        self._inside = set(before.inside) if before else set()
        self._pending = dict(before.pending) if before else {}
        self._unknown = set(before.unknown) if before else set()
        self._fair = set(before.fair) if before else set()
        self._begun = dict(before.begun) if before else {}
        concerned = {*inside, *self._inside, *self._pending, *self._unknown}
        if before is None or before.good_ms == -NEVER or ground.scoped:
            concerned |= self._near_edges()
        # One is left before another is entered.
        left_first = self._inside.copy()
        for fence in sorted(concerned, key=lambda one: (one not in left_first, one)):
            known = ground.fences.get(fence)
            if known is None or not stretch_at(self._in_force(known), one.measured_at_ms):
                self._forget(fence)
            elif fix.grade >= GRADE_NAMES[known.grade]:
                self._judge(known)
            elif self._is_first_sight(known):
                self._forget(fence)
                self._unknown.add(fence)

    def presence(self) -> Presence:
        """The presence after the fix."""
        return Presence(
            self._one.key,
            self._fix.latitude_e7,
            self._fix.longitude_e7,
            tuple(sorted(self._inside)),
            tuple(sorted(self._pending.items())),
            tuple(sorted(self._unknown)),
            tuple(sorted(self._fair)),
            _good_ms(self._before, self._one, self._fix),
            _grown(self._before.box if self._before else None, self._fix),
            self._before.first_ms if self._before else self._one.measured_at_ms,
            tuple(sorted(self._begun.items())),
        )

    def _near_edges(self) -> set[str]:
        """Fences that a first fix outside of them is too near to, to tell."""
        if not self._fix.accuracy_mm:
            return set()
        index = self._ground.tree
        within_m = self._fix.accuracy_mm / 1_000
        return {index.ids[one] for one in index.near(self._fix.latitude_e7, self._fix.longitude_e7, within_m)}

    def _forget(self, fence: str) -> None:
        self._inside.discard(fence)
        self._pending.pop(fence, None)
        self._unknown.discard(fence)
        self._fair.discard(fence)

    def _judge(self, fence: Fence) -> None:
        is_inside = fence.id in self._now_inside
        if self._is_first_sight(fence):
            self._forget(fence.id)
            if self._is_within(fence, self._straddles(fence)):
                self._unknown.add(fence.id)
            elif is_inside:
                self._inside.add(fence.id)
                self._begun.setdefault(fence.id, self._one.measured_at_ms)
                self._note_grade(fence.id)
            return
        if is_inside == (fence.id in self._inside):
            self._pending.pop(fence.id, None)
            if fence.id in self._fair and self._fix.grade is Grade.GOOD:
                self._fair.discard(fence.id)
                self._say(EventType.FENCE_CONFIRMED, fence.id, self._one.measured_at_ms)
            return
        margin_m = fence.enter_margin_m if is_inside else fence.margin_m
        if self._is_within(fence, max(float(margin_m), self._straddles(fence))):
            self._pending.pop(fence.id, None)
            return
        at_ms = self._one.measured_at_ms
        since_ms = self._pending.setdefault(fence.id, at_ms)
        if at_ms - since_ms >= (fence.dwell_s if is_inside else fence.leave_after_s) * 1_000:
            self._cross(fence.id, since_ms, is_inside=is_inside)

    def _cross(self, fence: str, since_ms: int, *, is_inside: bool) -> None:
        del self._pending[fence]
        if is_inside:
            self._inside.add(fence)
            self._note_grade(fence)
        else:
            self._inside.discard(fence)
            self._fair.discard(fence)
        self._say(EventType.FENCE_ENTERED if is_inside else EventType.FENCE_LEFT, fence, since_ms)

    def _note_grade(self, fence: str) -> None:
        if self._fix.grade is not Grade.GOOD:
            self._fair.add(fence)

    def _is_first_sight(self, fence: Fence) -> bool:
        """Whether nothing was known of the fence before: no fix yet, none that could tell, or not in force since."""
        before = self._before
        if before is None or fence.id in before.unknown:
            return True
        seen_ms = before.good_ms if GRADE_NAMES[fence.grade] is Grade.GOOD else before.key[0]
        if seen_ms == -NEVER:
            return True
        stretches = self._in_force(fence)
        return stretch_at(stretches, seen_ms) != stretch_at(stretches, self._one.measured_at_ms)

    def _in_force(self, fence: Fence) -> tuple[Stretch, ...]:
        return in_force(self._legs, fence.legs, fence.active) if fence.is_scoped else ALWAYS

    def _straddles(self, fence: Fence) -> float:
        return self._fix.accuracy_mm / 1_000 if fence.accuracy_aware else 0.0

    def _is_within(self, fence: Fence, metres: float) -> bool:
        """Whether the fix lies less than that far from the fence's edge."""
        if not metres:
            return False
        index = self._ground.tree
        return index.edge_distance_m(index.number[fence.id], self._fix.latitude_e7, self._fix.longitude_e7) < metres

    def _say(self, kind: EventType, fence: str, since_ms: int) -> None:
        one, fix = self._one, self._fix
        self.events.append(
            event(
                kind,
                one.measured_at_ms,
                self._asset,
                fence=fence,
                since_ms=since_ms,
                grade=fix.grade.name.lower(),
                device=one.device,
                epoch=one.epoch,
                sequence=one.sequence,
                latitude_e7=fix.latitude_e7,
                longitude_e7=fix.longitude_e7,
            )
        )


def _grown(box: tuple[int, int, int, int] | None, fix: Fix) -> tuple[int, int, int, int]:
    """The box with one more fix in it."""
    latitude, longitude = fix.latitude_e7, fix.longitude_e7
    if box is None:
        return latitude, latitude, longitude, longitude
    south, north, west, east = box
    if south <= latitude <= north and west <= longitude <= east:
        return box
    return min(south, latitude), max(north, latitude), min(west, longitude), max(east, longitude)


def _good_ms(before: Presence | None, one: AssetReading, fix: Fix) -> int:
    if fix.grade is Grade.GOOD:
        return one.measured_at_ms
    return before.good_ms if before else -NEVER
