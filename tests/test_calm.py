"""The calm lane is a way to be fast and no part of what is known: with it and without, everything is the same.

A small fleet lives through days drawn from a seed: mostly calm readings, and everything else now and then. The same
entries go through two spines, one that takes every calm reading by the lane and one that folds all of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
from builders import LOS_ANGELES, MINUTE_MS, NOON_MS, Device, ManualClock, book_document, fence, position
from hypothesis import given, settings
from hypothesis import strategies as st

from pledgewatch_cloud.decide import asset_half, calm, drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.asset import LATEST_MS
from pledgewatch_cloud.decide.batch import Arrival
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_wire.codec import VALUE_LIMIT
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality, Reading

NEVER_WIDE = 10**9
LOS_ANGELES_PIER = (337_000_000, -1_182_700_000)
OPEN_SEA = (200_000_000, -1_500_000_000)
BY_THE_FENCE = (334_000_000, -1_188_000_000)  # on the western edge of Los Angeles' square
DATE_LINE = (100_000_000, 1_799_999_900)


@contextmanager
def lane(readings_min: int) -> Iterator[None]:
    """So many readings go by the lane, and so few are folded before it is tried again."""
    before = calm.READINGS_MIN, asset_half.FEW
    calm.READINGS_MIN, asset_half.FEW = readings_min, readings_min
    try:
        yield
    finally:
        calm.READINGS_MIN, asset_half.FEW = before


COLD = {"channel": "temperature_mc", "low": 2_000, "high": 8_000, "grace_s": 600}
IGNORE: dict[str, Any] = {"ignore": [{"from": "2026-01-01T14:30Z", "until": "2026-01-01T15:30Z"}]}
DRY = {"channel": "humidity_cpercent", "low": 0, "high": 7_000}
MKT = {"channel": "temperature_mc", "high_mc": 6_500, "worst_low_mc": 0, "worst_high_mc": 30_000, "max_gap_s": 7_200}
LEGS = [
    {"id": "road", "kind": "road", "from": "2026-01-01T12:00:00Z", "until": "2026-01-01T18:00:00Z"},
    {"id": "sea", "kind": "sea", "from": "2026-01-01T20:00:00Z", "until": "2026-01-02T06:00:00Z", "signal": "dark"},
]


def book_of(devices: list[Device], dice: Random) -> dict[str, Any]:
    """Every device on an asset of its own, each judged by something else."""
    document = book_document(*devices)
    document["assets"] = []
    document["voyages"] = []
    for one, goods in zip(document["installations"], document["lots"], strict=True):
        asset = one["asset"]
        document["assets"].append({"id": asset, "kind": "other", "max_speed_mmps": dice.choice([0, 30_000, 300_000])})
        device = one
        device |= dice.choice(
            [
                {},
                {"overdue_after_s": 1_800},
                {"silent_after_s": 0},
                {"silent_after_s": 90_000},
                {"fitted_at": "2026-01-01T13:00Z"},
            ]
        )
        if dice.random() < 0.3:
            one["sensors"] = [{"channel": "temperature_mc", "silent_after_s": dice.choice([2_400, 14_400])}]
        if dice.random() < 0.2:
            one["calibrated_until"] = "2026-01-01T20:00:00Z"
        sails = dice.random() < 0.3
        more: list[dict[str, Any]] = [{}, {"max_gap_s": 5_000}, {"stuck_after_s": 9_000}, IGNORE]
        limits = [COLD | dice.choice([*more, {"legs": ["road"]}] if sails else more)]
        limits += dice.choice([[], [DRY], [COLD | {"id": "warm", "high": 7_000, "severity": "warning", "grace_s": 0}]])
        goods["limits"] = dice.choice([limits, [], [limits[0] | {"cumulative_s": 4_000, "max_gap_s": 20_000}]])
        goods.update(dice.choice([{}, {"mkt": MKT}, {"mkt": MKT | {"window_h": 3}}, {"mkt": MKT | {"high_mc": 5_100}}]))
        if sails:
            document["voyages"].append({"id": f"voyage-{asset}", "asset": asset, "legs": LEGS})
    twin = document["lots"][0] | {"id": "twin", "limits": [DRY], "mkt": MKT | {"activation_j_mol": 120_000}}
    document["lots"].append(twin)
    for goods in document["lots"]:
        wander(goods, [one["id"] for one in document["assets"]], dice)
    features = document["fences"]["features"]
    features.append(fence("dwelling", [[x - 0.2, y] for x, y in LOS_ANGELES]))
    features[-1]["properties"] |= {"dwell_s": 1_500, "margin_m": 300}
    features.append(fence("watch", [[-151, 19.9], [-149, 19.9], [-149, 20.1], [-151, 20.1], [-151, 19.9]]))
    features[-1]["properties"]["active"] = [{"from": "2026-01-01T14:00Z", "until": "2026-01-01T17:00Z"}]
    return document


def wander(goods: dict[str, Any], assets: list[str], dice: Random) -> None:
    """Some lots are received later, some come from another asset, and some of those were here before."""
    if dice.random() < 0.3:
        goods["received_at"] = iso(NOON_MS + dice.randrange(300) * MINUTE_MS)
    earlier = [one for one in (goods["asset"], dice.choice(assets)) if one != goods["asset"] or dice.random() < 0.5]
    if dice.random() < 0.4 and earlier and earlier[-1] != goods["asset"]:
        until_ms = sorted(NOON_MS + (300 + dice.randrange(900)) * MINUTE_MS + place for place in range(len(earlier)))
        goods["stays"] = [{"asset": asset, "until": iso(at_ms)} for asset, at_ms in zip(earlier, until_ms, strict=True)]


class Life:
    """What befalls a device. Mostly nothing."""

    def __init__(self, device: Device, dice: Random) -> None:
        self.device, self.dice = device, dice
        self.place = dice.choice([OPEN_SEA, BY_THE_FENCE, DATE_LINE])
        self.at_ms = NOON_MS + dice.randrange(60) * MINUTE_MS
        self.value_mc = 5_000
        self.is_stuck = False
        self.speaks_of = dice.choice([("place", "warmth"), ("place",), ("warmth",), ("place", "warmth", "air")])
        self.mixes = dice.random() < 0.3

    def reading(self) -> Reading:
        """The next one."""
        dice = self.dice
        self.at_ms += dice.choice([1, 5, 5, 15, 15, 15, 29, 31]) * MINUTE_MS
        if dice.random() < 0.015:
            self.at_ms += dice.choice([45, 130, 400, 1_500]) * MINUTE_MS
        luck = dice.random()
        clock = Clock.UNSET if luck < 0.005 else Clock.BACKDATED if luck < 0.007 else Clock.GPS
        told = [Cell(Channel.CLOCK_UNCERTAINTY_MS, 2_000)] if clock == Clock.BACKDATED else []
        at_ms = self.at_ms + (dice.choice([-40, 100_000]) * MINUTE_MS if dice.random() < 0.003 else 0)
        return self.device.measure(at_ms, *self.cells(), *told, clock=clock)

    def arrivals(self, count: int) -> list[Arrival]:
        """The next ones in one payload, or in one each where their clocks differ."""
        told = [self.reading() for _ in range(count)]
        if len({one.clock for one in told}) == 1:
            return [self.device.arrival(told)]
        return [self.device.arrival([one]) for one in told]

    def cells(self) -> list[Cell]:
        dice, found = self.dice, []
        speaks_of = dice.sample(self.speaks_of, dice.randint(1, len(self.speaks_of))) if self.mixes else self.speaks_of
        quality = Quality.HIGH_HDOP if dice.random() < 0.01 else Quality.GOOD
        if "place" in speaks_of:
            drift = dice.choice([0, 60, 60, 200, 2_000, 30_000 if dice.random() < 0.3 else 0])
            drift = drift if dice.random() < 0.99 else 3_000_000
            latitude, longitude = (one + dice.randint(-drift, drift) for one in self.place)
            if dice.random() < 0.05:  # to and fro over what may be an edge
                longitude += 20_000 if longitude < BY_THE_FENCE[1] else -20_000
            self.place = latitude, (longitude + 1_800_000_000) % 3_600_000_000 - 1_800_000_000
            found += [Cell(Channel.LATITUDE_E7, self.place[0], quality)]
            found += [Cell(Channel.LONGITUDE_E7, self.place[1], quality)][: dice.random() > 0.01]
            found += [Cell(Channel.SPEED_MMPS, dice.choice([0, 5_000]))][: dice.random() < 0.5]
            if dice.random() < 0.5:
                found.append(Cell(Channel.SATELLITES, 3 if dice.random() < 0.97 else 2))
                found.append(Cell(Channel.HDOP_CENTI, 2_000 if dice.random() < 0.97 else 2_001))
        if "warmth" in speaks_of:
            self.is_stuck = dice.random() < (0.9 if self.is_stuck else 0.02)
            self.value_mc += (
                0 if self.is_stuck else dice.choice([0, 0, 62, -62, 125, -125, 500 if dice.random() < 0.2 else 0])
            )
            value_mc = (
                self.value_mc
                if dice.random() < 0.985
                else dice.choice([85_000, 85_000, 12_000, -127_000, 8_000, 8_001])
            )
            found.append(Cell(Channel.TEMPERATURE_MC, value_mc))
            found += [Cell(Channel.TEMPERATURE_1_MC, value_mc - 300)][: dice.random() < 0.1]
        if "air" in speaks_of or dice.random() < 0.05:
            found.append(
                Cell(
                    Channel.HUMIDITY_CPERCENT,
                    dice.choice([5_000, 5_100, 6_999, 7_000, 7_001 if dice.random() < 0.1 else 6_000]),
                )
            )
        found.append(Cell(Channel.BATTERY_MV, 3_700, Quality.ESTIMATED if dice.random() < 0.005 else Quality.GOOD))
        return found


CHANGES: list[dict[str, Any]] = [
    {
        "fences": {
            "type": "FeatureCollection",
            "features": [fence("sea", [[-151, 19], [-149, 19], [-149, 21], [-151, 19]])],
        }
    },
    {"prices": [{"sku": "sofa", "unit_price_minor": 19_000, "currency": "USD"}]},
]


def lived(seed: int) -> Iterator[tuple[int, bool, bool]]:
    """Both spines through the days of a seed.

    After every step: how many rows had moved in the one with the lane, whether any had in the other, and whether both
    say and know the same.
    """
    dice = Random(seed)
    devices = [Device(f"unit-{number}", seed=number + 1) for number in range(6)]
    lives = [Life(one, dice) for one in devices]
    document = book_of(devices, dice)
    pairs = [(store := MemoryStore("calm"), Spine(store, ManualClock())) for _ in range(2)]
    for _, spine in pairs:
        spine.commit(drafts.amend, document)
    held: list[Arrival] = []
    for _ in range(dice.randint(4, 40)):
        by_the_lane = 0
        arrivals = [arrival for one in lives for arrival in one.arrivals(dice.choice([1, 1, 1, 2, 9]))]
        late = [one for one in arrivals if dice.random() < 0.03]
        arrivals = [one for one in arrivals if one not in late]
        if held and dice.random() < 0.3:
            arrivals, held = [*held, *arrivals], []
        held += late
        dice.shuffle(arrivals)
        now_ms = max(one.at_ms for one in lives) - dice.choice([0, 0, 0, 30 * MINUTE_MS])
        act, change = dice.random(), dice.choice(CHANGES)
        for width, (_, spine) in zip((1, NEVER_WIDE), pairs, strict=True):
            spine._clock = ManualClock(now_ms)
            with lane(width):
                spine.take(arrivals)
                if width == 1:
                    by_the_lane += int(spine.state.assets.table.moving.moved.sum())
                if act < 0.3:
                    spine.tick()
                elif act < 0.35:
                    spine.commit(drafts.amend, change)
                elif act < 0.4:
                    again = state_module.from_bytes(state_module.to_bytes(spine.state))
                    spine.newest = spine.newest._replace(state=again)
        (one_store, one), (other_store, other) = pairs
        same = state_module.to_bytes(one.state) == state_module.to_bytes(other.state)
        same = same and one_store._events == other_store._events
        yield by_the_lane, bool(other.state.assets.table.moving.moved.any()), same


# A life takes seconds: a third of what other laws draw, here and where `scripts/laws` searches on.
LIVES = settings().max_examples // 3


def test_with_the_lane_and_without_everything_is_the_same() -> None:
    moved: list[int] = []

    @settings(max_examples=LIVES)
    @given(st.integers(0, 2**32))
    def everything_is_the_same(seed: int) -> None:
        for step, (by_the_lane, without_moved, same) in enumerate(lived(seed)):
            assert (without_moved, same) == (False, True), f"step {step}"
            moved.append(by_the_lane)

    everything_is_the_same()
    assert sum(moved) > 10 * min(LIVES, 40), "or the fold would be compared with itself"


@pytest.mark.parametrize("channel", list(Channel))
def test_no_value_that_the_wire_holds_stops_anything(channel: Channel) -> None:
    """Out of all range and of good quality, as a first reading and as a later one; by the lane as by the fold."""
    told = []
    for readings_min in (1, NEVER_WIDE):
        device = Device()
        document = book_document(device) | {"milestones": []}
        document["lots"][0].update(mkt=MKT, limits=[COLD, DRY])
        spine = Spine(MemoryStore("calm"), ManualClock(NOON_MS + 600 * MINUTE_MS))
        spine.commit(drafts.amend, document)
        with lane(readings_min):
            for minute, value in enumerate((1 - VALUE_LIMIT, None, None, VALUE_LIMIT - 1, None, -2_000_000_000, None)):
                cells = {cell.channel: cell for cell in (*position(LOS_ANGELES_PIER), WARM)}
                if value is not None:
                    cells[channel] = Cell(channel, value)
                spine.take([device.arrival([device.measure(NOON_MS + minute * MINUTE_MS, *cells.values())])])
        told.append(state_module.to_bytes(spine.state))
    assert told[0] == told[1]


def test_what_nobody_can_have_kept_for_so_long_is_left_to_the_fold() -> None:
    told = []
    for readings_min in (1, NEVER_WIDE):
        device, clock = Device(), ManualClock(NOON_MS + 60 * MINUTE_MS)
        document = book_document(device) | {"milestones": []}
        document["installations"][0]["silent_after_s"], document["lots"][0]["limits"] = 0, []
        spine = Spine(store := MemoryStore("calm"), clock)
        spine.commit(drafts.amend, document)
        with lane(readings_min):
            for minute in range(6):
                if minute == 5:
                    clock.at_ms = NOON_MS + LATEST_MS + 10 * MINUTE_MS
                spine.take([device.arrival([device.measure(NOON_MS + minute * MINUTE_MS, WARM)])])
        told.append((state_module.to_bytes(spine.state), store._events))
    assert told[0] == told[1]


def test_a_limit_whose_leg_has_ended_is_left_to_the_fold() -> None:
    """The leg ends between two temperatures, with places in between: the second is not judged by it any more."""
    told = []
    for width in (1, NEVER_WIDE):
        device = Device()
        document = book_document(device)
        document["lots"][0]["limits"] = [COLD | {"legs": ["road"]}]
        document["voyages"] = [{"id": "voyage", "asset": "asset-container-1", "legs": LEGS}]
        document["milestones"] = []
        spine = Spine(MemoryStore("calm"), ManualClock(NOON_MS + 600 * MINUTE_MS))
        spine.commit(drafts.amend, document)
        moved, counts = 0, []
        with lane(width):
            # The road ends six hours after noon.
            for minute in (300, 310, 320, 365, 375, 385):
                cells = place(10, -150) if minute in (365, 375) else [WARM]
                spine.take([device.arrival([device.measure(NOON_MS + minute * MINUTE_MS, *cells)])])
                moved += int(spine.state.assets.table.moving.moved.sum())
                ((_, condition),) = spine.state.assets["asset-container-1"].conditions.items()
                counts.append(condition.counts)
        assert bool(moved) == (width == 1), "or the lane was not tried"
        assert counts == [True, True, True, True, True, False]
        told.append(state_module.to_bytes(spine.state))
    assert told[0] == told[1]


def place(latitude: float, longitude: float, quality: Quality = Quality.GOOD) -> list[Cell]:
    """A fix in degrees."""
    return list(position((round(latitude * 1e7), round(longitude * 1e7)), quality))


WARM = Cell(Channel.TEMPERATURE_MC, 5_000)
NORTH_OF_THE_LINE = [[-180.0, 1.0], [-179.0, 1.0], [-179.0, 2.0], [-180.0, 2.0], [-180.0, 1.0]]
STORIES = {
    "power-on value": [[WARM], [WARM], [Cell(Channel.TEMPERATURE_MC, 85_000)], [WARM]],
    "over the date line": [place(0, 179.999), place(0, 179.9995), place(0, -179.9999), place(0, -179.999)],
    "entered by a fair fix": [
        place(1.5, -178.99),
        place(1.5, -178.999),
        place(1.5, -179.01, Quality.HIGH_HDOP),
        place(1.5, -179.011, Quality.HIGH_HDOP),
        place(1.5, -179.011, Quality.HIGH_HDOP),
        place(1.5, -179.012),
    ],
    "once over the edge": [place(1.5, -178.99), place(1.5, -178.99), place(1.5, -179.01), place(1.5, -178.99)],
}


@pytest.mark.parametrize("story", STORIES)
def test_what_comes_seldom_is_the_same_too(story: str) -> None:
    device = Device()
    document = book_document(device)
    document["lots"][0]["limits"] = []
    document["installations"][0]["sensors"] = [{"channel": "temperature_mc", "silent_after_s": 14_400}]
    document["assets"] = [{"id": "asset-container-1", "kind": "other", "max_speed_mmps": 300_000}]
    document["fences"]["features"] = [fence("north", NORTH_OF_THE_LINE)]
    document["fences"]["features"][0]["properties"] |= {"dwell_s": 1_200, "grade": "fair"}
    document["milestones"] = []
    told = []
    for width in (1, NEVER_WIDE):
        store = MemoryStore("calm")
        spine = Spine(store, ManualClock(NOON_MS + 600 * MINUTE_MS))
        spine.commit(drafts.amend, document)
        device.readings.clear()
        moved, states = 0, []
        with lane(width):
            for number, cells in enumerate(STORIES[story] * 3):
                device.sequence = number
                reading = device.measure(NOON_MS + number * 10 * MINUTE_MS, *cells)
                spine.take([device.arrival([reading])])
                moved += int(spine.state.assets.table.moving.moved.sum())
                states.append(state_module.to_bytes(spine.state))
        told.append((states, store._events))
        assert bool(moved) == (width == 1)
    assert told[0] == told[1]


@pytest.mark.parametrize("width", [1, NEVER_WIDE])
def test_an_older_state_stays_what_it_was(width: int) -> None:
    """A commit that fails leaves the state before it in force, so a step must not have touched it."""
    dice = Random(3)
    devices = [Device(f"unit-{number}", seed=number + 1) for number in range(6)]
    lives = [Life(one, dice) for one in devices]
    spine = Spine(MemoryStore("calm"), ManualClock())
    spine.commit(drafts.amend, book_of(devices, dice))
    with lane(width):
        for _ in range(12):
            before, written = spine.state, state_module.to_bytes(spine.state)
            spine._clock = ManualClock(max(one.at_ms for one in lives) + 60 * MINUTE_MS)
            spine.take([arrival for one in lives for arrival in one.arrivals(1)])
            assert state_module.to_bytes(before) == written
