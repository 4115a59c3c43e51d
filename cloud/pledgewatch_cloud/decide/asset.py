"""The asset half: one asset's readings, in the order in which they were measured, folded into what they mean.

    said(asset) = fold(all its readings in order, the book in force, the newest tick)

always, whatever order they arrived in. A reading that comes in order only carries the fold on. A reading from before
what it bears on, or one that shows that time alone did not mean what it seemed to (a silence that was none), folds the
asset again from before it; the difference to what had been said is said as retractions and replacements. So late news
amends and never adds a phantom.

The fold has its own time: it comes to every reading by way of all deadlines before it, so what the passing of time
shows (a silence, a gap) is found at the same place whether a tick or the next reading got there first. Where it begins
again need not be the beginning: states from before long pauses, and some in between, are kept (`saves`). They are a
way to be fast and no part of what is known. Readings that change nothing but what is newest go by as columns, many
assets at once (`calm.py`).

Readings that are no evidence (a clock that was never set, a moment before the device was fitted) are left out of every
fold, and those from the future until time has come to them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pledgewatch_cloud.decide import condition, kinetic, plausibility, presence, silence
from pledgewatch_cloud.decide.batch import AssetReading
from pledgewatch_cloud.decide.condition import Condition, Limit
from pledgewatch_cloud.decide.events import Event, Found
from pledgewatch_cloud.decide.grade import Doubt, doubt_of_clock
from pledgewatch_cloud.decide.kinetic import Kinetic, KineticRule
from pledgewatch_cloud.decide.plausibility import Record, Rules
from pledgewatch_cloud.decide.presence import Ground, Presence
from pledgewatch_cloud.decide.silence import DEVICE, Patience, Source
from pledgewatch_cloud.decide.stretches import NEVER, stretch_at
from pledgewatch_cloud.decide.voyage import Leg
from pledgewatch_wire.reading import Channel

Key = tuple[int, str, int, int]

SAVES_MAX = 8
SAVE_PAUSE_MS = 1_800_000
SAVE_SPACE_MS = 12 * 3_600_000
SAVE_EVERY_READINGS = 512
WEEK_ROLLOVER_MS = 1_024 * 7 * 86_400_000
LATEST_MS = 18 * 365 * 86_400_000


class Fitted(NamedTuple):
    """A device as its asset is judged by it. `sensors` by channel."""

    rules: Rules
    patience: Patience
    sensors: Mapping[int, Patience]
    fitted_ms: int
    ahead_ms: int


class Plan(NamedTuple):
    """What one asset is judged by, prepared once for each book.

    `shortest_ms` is the shortest wait after which time alone may show anything.
    """

    devices: Mapping[str, Fitted]
    limits: Mapping[int, tuple[tuple[str, Limit], ...]]
    kinetics: Mapping[int, tuple[tuple[str, KineticRule], ...]]
    legs: tuple[Leg, ...]
    ground: Ground
    shortest_ms: int


class Heard(NamedTuple):
    """A device in the fold: its newest reading, what it is judged by next, and when its sources were last heard."""

    key: Key
    record: Record
    device: Source
    sensors: Mapping[int, Source] = {}


class Save(NamedTuple):
    """The fold as it was when everything up to `until_ms` had been folded and told, and nothing beyond."""

    until_ms: int
    state: "AssetState"


class AssetState(NamedTuple):
    """What is known of one asset. `conditions` by (lot, limit), `kinetics` by lot, `devices` by name.

    `newest` is the key of the newest reading folded; `begun_ms` when the asset's story begins: with the first device
    fitted to it, or else its first reading; `told_ms` the latest moment of what time alone has shown;
    `withheld_ms` the earliest reading that waits for its time to come. The last three fields only save work: up to
    `due_ms` time alone shows nothing new, `unsaved` readings have been folded since the newest of the `saves`.
    """

    newest: Key | None = None
    begun_ms: int = NEVER
    told_ms: int = -NEVER
    presence: Presence | None = None
    conditions: Mapping[tuple[str, str], Condition] = {}
    kinetics: Mapping[str, Kinetic] = {}
    devices: Mapping[str, Heard] = {}
    withheld_ms: int = NEVER
    due_ms: int = -NEVER
    unsaved: int = 0
    saves: tuple[Save, ...] = ()


EMPTY = AssetState()


class Placed(NamedTuple):
    """A reading with the fences around its place, where it gives one, in order of id."""

    one: AssetReading
    inside: tuple[str, ...]


def disregarded(one: AssetReading, fitted: Fitted, now_ms: int) -> Doubt | None:
    """Why a reading is no evidence at all, whatever it says; None where it is.

    Nobody keeps a reading for LATEST_MS: one that old is of a receiver whose weeks have rolled over, also where nobody
    has said when its device was fitted.
    """
    if doubt_of_clock(one.reading) is Doubt.CLOCK_UNSET:
        return Doubt.CLOCK_UNSET
    if one.measured_at_ms < fitted.fitted_ms:
        if one.measured_at_ms + WEEK_ROLLOVER_MS >= fitted.fitted_ms:
            return Doubt.WEEK_ROLLOVER
        return Doubt.BEFORE_FITTED
    return Doubt.WEEK_ROLLOVER if one.measured_at_ms + LATEST_MS < now_ms else None


def in_order(state: AssetState, plan: Plan, readings: Iterable[AssetReading]) -> bool:
    """Whether readings (sorted) can simply carry the fold on, or bear on something already folded.

    One from before the newest can, where it comes from another device, touches nothing that a later one has touched,
    and sets no deadline that the fold has passed: so two devices on an asset need not arrive in step.
    """
    newest = state.newest
    for one in readings:
        if one.measured_at_ms <= state.told_ms:
            return False
        if newest is None or one.key > newest:
            continue
        known = state.devices.get(one.device)
        if known is None or one.key < known.key or one.measured_at_ms + plan.shortest_ms < newest[0]:
            return False
        for channel, value, _ in one.reading.cells:
            if channel == Channel.LATITUDE_E7 and state.presence is not None and one.key < state.presence.key:
                return False
            for lot, limit in plan.limits.get(channel, ()):
                if not limit.low <= value <= limit.high or _is_past(state, lot, limit.id, one.key):
                    return False
            for lot, _ in plan.kinetics.get(channel, ()):
                kinetic_state = state.kinetics.get(lot)
                if kinetic_state is not None and one.key < kinetic_state.key:
                    return False
    return True


def _is_past(state: AssetState, lot: str, limit: str, key: Key) -> bool:
    known = state.conditions.get((lot, limit))
    return known is not None and key < known.key


def start_before(state: AssetState, at_ms: int) -> tuple[int, AssetState]:
    """Where to begin so as to fold what was measured at `at_ms`: what is folded in the state ends at the moment."""
    for place in range(len(state.saves) - 1, -1, -1):
        save = state.saves[place]
        if save.until_ms < at_ms:
            begun = save.state._replace(saves=state.saves[: place + 1], withheld_ms=state.withheld_ms)
            return save.until_ms, begun
    return -NEVER, EMPTY._replace(withheld_ms=state.withheld_ms)


def fold(state: AssetState, asset: str, plan: Plan, readings: Sequence[Placed]) -> tuple[AssetState, list[Found]]:
    """Carry the fold on over evidence in order."""
    if not readings:
        return state, []
    folding = _Fold(state, asset, plan)
    for placed in readings:
        folding.take(placed)
    return folding.state(), folding.found


def is_waited_for(plan: Plan) -> bool:
    """Whether time alone may show something of an asset of which nothing is known yet."""
    return any(fitted.fitted_ms > -NEVER for fitted in plan.devices.values())


def pass_time(state: AssetState, asset: str, plan: Plan, to_ms: int) -> tuple[AssetState, list[Found]]:
    """What the passing of time alone shows up to `to_ms`."""
    if to_ms <= state.due_ms:
        return state, []
    folding = _Fold(state, asset, plan)
    folding.come_to(to_ms)
    return folding.state(), folding.found


def saved(state: AssetState) -> AssetState:
    """The state with itself among its saves."""
    return state._replace(saves=_with_save(state.saves, state), unsaved=0)


def _with_save(saves: tuple[Save, ...], state: AssetState) -> tuple[Save, ...]:
    """Saves with a state, all of `newest` and before being in it; without the one that is then missed least."""
    if state.newest is None:
        return saves
    until_ms = max(state.newest[0], state.told_ms)
    if saves and saves[-1].until_ms >= until_ms:
        return saves
    more = [*saves, Save(until_ms, state._replace(saves=(), unsaved=0))]
    if len(more) > SAVES_MAX:
        # The denser the saves are for their age, the less one of them is missed.
        densest = min(
            range(1, len(more) - 1),
            key=lambda place: (
                (more[place + 1].until_ms - more[place - 1].until_ms) / (until_ms - more[place].until_ms + 1)
            ),
        )
        del more[densest]
    return tuple(more)


class _Fold:
    """A fold of one asset under way."""

    def __init__(self, state: AssetState, asset: str, plan: Plan) -> None:
        self.found: list[Found] = []
        self._asset, self._plan = asset, plan
        self._newest, self._begun_ms = state.newest, state.begun_ms
        self._due_ms, self._told_ms = state.due_ms, state.told_ms
        self._presence = state.presence
        self._conditions: Mapping[tuple[str, str], Condition] = state.conditions
        self._kinetics: Mapping[str, Kinetic] = state.kinetics
        self._devices: Mapping[str, Heard] = state.devices
        self._withheld_ms, self._unsaved, self._saves = state.withheld_ms, state.unsaved, state.saves

    def state(self) -> AssetState:
        """The state as far as the fold has come."""
        return AssetState(
            self._newest,
            self._begun_ms,
            self._told_ms,
            self._presence,
            self._conditions,
            self._kinetics,
            self._devices,
            self._withheld_ms,
            self._due_ms,
            self._unsaved,
            self._saves,
        )

    def take(self, placed: Placed) -> None:
        """Fold one more reading."""
        one = placed.one
        at_ms, newest = one.measured_at_ms, self._newest
        if newest is not None and one.key < newest:
            self._saves = tuple(save for save in self._saves if save.until_ms < at_ms)
        elif newest is not None and at_ms > newest[0] and self._is_worth_a_save(at_ms, newest[0]):
            self._save(self.state())
        if at_ms > self._due_ms:
            self.come_to(at_ms)
        if self._begun_ms == NEVER:
            self._begin(at_ms)
        fitted = self._plan.devices[one.device]
        known = self._devices.get(one.device)
        record, evidence, events = plausibility.judge(
            self._asset, known.record if known else Record(), one, fitted.rules
        )
        if events:
            self._say(events, at_ms)
        self._hear(one, fitted, known, record, evidence.good)
        if evidence.fix is not None:
            self._presence, events = presence.advance(
                self._asset, self._presence, one, evidence.fix, placed.inside, self._plan.legs, self._plan.ground
            )
            if events:
                self._say(events, at_ms)
        if self._plan.limits or self._plan.kinetics:
            self._weigh(one, evidence.good)
        if newest is None or one.key > newest:
            self._newest = one.key
        self._unsaved += 1

    def _is_worth_a_save(self, at_ms: int, newest_ms: int) -> bool:
        """After many readings; before a pause, where the last save lies some way back."""
        if self._unsaved >= SAVE_EVERY_READINGS:
            return True
        last_ms = self._saves[-1].until_ms if self._saves else -NEVER
        return at_ms - newest_ms > SAVE_PAUSE_MS and newest_ms >= last_ms + SAVE_SPACE_MS

    def come_to(self, to_ms: int) -> None:
        """Tell what time alone shows up to `to_ms`."""
        legs = self._plan.legs
        self._wait_for_the_unheard()
        begun = self.state()
        told = len(self.found)
        for name, known in sorted(self._devices.items()):
            fitted = self._plan.devices.get(name)
            if fitted is None:
                continue
            device, events = silence.passed(self._asset, name, DEVICE, known.device, fitted.patience, legs, to_ms)
            sensors = dict(known.sensors)
            for channel, patience in fitted.sensors.items():
                if channel in sensors:
                    source = sensors[channel]
                    sensors[channel], more = silence.passed(self._asset, name, channel, source, patience, legs, to_ms)
                    events += more
            if events:
                self._tell_of_time(events)
                self._devices = {**self._devices, name: known._replace(device=device, sensors=sensors)}
        self._pass_conditions(to_ms)
        self._due_ms = self._next_due_ms(to_ms)
        if len(self.found) > told:
            # Whoever comes from before these deadlines takes them back, so the way there is kept.
            self._save(begun)

    def _pass_conditions(self, to_ms: int) -> None:
        """What time alone shows of limits and of mean kinetic temperatures."""
        for key, limit in self._limits():
            known_condition = self._conditions.get(key)
            if known_condition is not None:
                after, events = condition.passed(self._asset, key[0], limit, known_condition, to_ms)
                if events:
                    self._tell_of_time(events)
                    self._conditions = {**self._conditions, key: after}
        for lot, rule in self._kinetic_rules():
            story = self._kinetics.get(lot)
            if story is not None:
                story, events = kinetic.passed(self._asset, lot, rule, story, to_ms)
                if events:
                    self._tell_of_time(events)
                    self._kinetics = {**self._kinetics, lot: story}

    def _wait_for_the_unheard(self) -> None:
        """A device that has been fitted is waited for from then on, as if it had been heard at that moment."""
        fitted_ms = [fitted.fitted_ms for fitted in self._plan.devices.values() if fitted.fitted_ms > -NEVER]
        if self._begun_ms == NEVER and fitted_ms:
            self._begin(min(fitted_ms))
        for name, fitted in self._plan.devices.items():
            if name not in self._devices and fitted.fitted_ms > -NEVER:
                key = fitted.fitted_ms, name, 0, 0
                self._devices = {**self._devices, name: Heard(key, Record(), Source(fitted.fitted_ms))}

    def _begin(self, at_ms: int) -> None:
        """The story begins: from now on what limits are about is waited for, as after a value that says nothing."""
        self._begun_ms, self._due_ms = at_ms, -NEVER
        self._conditions = {key: condition.awaited(at_ms) for key, _ in self._limits()}

    def _limits(self) -> Iterator[tuple[tuple[str, str], Limit]]:
        for limits in self._plan.limits.values():
            for lot, limit in limits:
                yield (lot, limit.id), limit

    def _kinetic_rules(self) -> Iterator[tuple[str, KineticRule]]:
        for rules in self._plan.kinetics.values():
            yield from rules

    def _next_due_ms(self, now_ms: int) -> int:
        """The last moment up to which nothing that is known now has a deadline, nor will have by values in time."""
        due_ms = NEVER
        legs = self._plan.legs
        for name, known in self._devices.items():
            fitted = self._plan.devices.get(name)
            if fitted is not None:
                due_ms = min(due_ms, silence.next_deadline_ms(known.device, fitted.patience, legs))
                for channel, patience in fitted.sensors.items():
                    if channel in known.sensors:
                        due_ms = min(due_ms, silence.next_deadline_ms(known.sensors[channel], patience, legs))
        for key, limit in self._limits():
            known_condition = self._conditions.get(key)
            if known_condition is not None:
                due_ms = min(due_ms, condition.next_deadline_ms(limit, known_condition))
        for lot, rule in self._kinetic_rules():
            story = self._kinetics.get(lot)
            if story is not None:
                # Values in time may bring the deadline nearer, but never nearer than the gap that is borne.
                gap_ms = story.key[0] + rule.max_gap_s * 1_000
                due_ms = min(due_ms, gap_ms if gap_ms > now_ms else kinetic.next_deadline_ms(rule, story))
        return due_ms

    def _tell_of_time(self, events: list[Event]) -> None:
        """Say what deadlines showed."""
        for one in events:
            self.found.append(Found(one, one.at_ms + 1))
            self._told_ms = max(self._told_ms, one.at_ms + 1)

    def _say(self, events: list[Event], at_ms: int) -> None:
        self.found += [Found(one, at_ms) for one in events]
        # What was said may have brought something back whose next deadline is nearer than any before.
        self._due_ms = -NEVER

    def _save(self, state: AssetState) -> None:
        """Keep the fold as it was."""
        saves = _with_save(self._saves, state)
        if saves is not self._saves:
            self._saves, self._unsaved = saves, 0

    def _hear(
        self, one: AssetReading, fitted: Fitted, known: Heard | None, record: Record, good: Mapping[int, int]
    ) -> None:
        """The device was heard, and each of its sensors that gave a good value."""
        at_ms = one.measured_at_ms
        if known is None:
            sensors: Mapping[int, Source] = {channel: Source(at_ms) for channel in fitted.sensors}
            heard = Heard(one.key, record, Source(at_ms), sensors)
            self._due_ms = -NEVER
        else:
            device, events = silence.heard(self._asset, one.device, DEVICE, known.device, at_ms)
            sensors = known.sensors
            if fitted.sensors:
                changed = dict(sensors)
                for channel in fitted.sensors:
                    if channel in good or channel not in changed:
                        source = changed.get(channel)
                        if source is None:
                            source, self._due_ms = Source(at_ms), -NEVER
                        changed[channel], more = silence.heard(self._asset, one.device, channel, source, at_ms)
                        events = events + more
                sensors = changed
            if events:
                self._say(events, at_ms)
            heard = Heard(one.key, record, device, sensors)
        devices = dict(self._devices)
        devices[one.device] = heard
        self._devices = devices

    def _weigh(self, one: AssetReading, good: Mapping[int, int]) -> None:
        """Each good value against the limits of its channel."""
        conditions, kinetics = dict(self._conditions), dict(self._kinetics)
        for channel, value in good.items():
            for lot, limit in self._plan.limits.get(channel, ()):
                key = (lot, limit.id)
                known = conditions[key]
                if condition.is_awaited(known):
                    self._due_ms = -NEVER
                conditions[key], events = condition.advance(self._asset, lot, limit, known, one, value)
                if conditions[key].outside_since_ms is not None:
                    self._due_ms = -NEVER  # from now on less is borne than before
                if events:
                    self._say(events, one.measured_at_ms)
            for lot, rule in self._plan.kinetics.get(channel, ()):
                if stretch_at(rule.judged, one.measured_at_ms) is None:
                    continue  # the lot is not there
                story = kinetics.get(lot)
                if story is None or one.measured_at_ms - story.key[0] > rule.max_gap_s * 1_000:
                    self._due_ms = -NEVER
                kinetics[lot], events = kinetic.advance(self._asset, lot, rule, story, one, value, self._begun_ms)
                if events:
                    self._say(events, one.measured_at_ms)
        self._conditions, self._kinetics = conditions, kinetics
