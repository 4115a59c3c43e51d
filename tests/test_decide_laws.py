"""Law 4, order of arrival never changes the outcome; and law 5 over the same random histories, by replay in memory."""

from typing import Any

from builders import (
    AT_SEA,
    IN_LOS_ANGELES,
    IN_SHANGHAI,
    MINUTE_MS,
    NOON_MS,
    Device,
    ManualClock,
    book_document,
    position,
    temperature,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.batch import Arrival
from pledgewatch_cloud.decide.events import Event
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.spine.spine import Spine, recover
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality, Reading

CELLS = st.sampled_from(
    [
        position(AT_SEA),
        position(IN_LOS_ANGELES),
        position(IN_SHANGHAI),
        position(IN_LOS_ANGELES, Quality.HIGH_HDOP),
        (temperature(5_000),),
        (temperature(9_000),),
        (*position(AT_SEA), temperature(9_000)),
        (temperature(0, Quality.SENSOR_GONE),),
    ]
)
CLOCKS = st.sampled_from([Clock.GPS, Clock.GPS, Clock.NTP, Clock.UNSET, Clock.BACKDATED])
STEPS = st.tuples(st.integers(-30, 120), CELLS, CLOCKS, st.sampled_from([1_000, 400_000, 10**8]))


def devices_with(story: list[tuple[int, tuple[int, tuple[Cell, ...], Clock, int]]]) -> list[Device]:
    """Two devices on one asset; each step is measured by one of them, some minutes after (or before) the last."""
    devices = [Device("left", seed=1), Device("right", seed=2)]
    at_ms = NOON_MS
    for who, (minutes, cells, clock, uncertainty_ms) in story:
        at_ms += minutes * MINUTE_MS
        told = (Cell(Channel.CLOCK_UNCERTAINTY_MS, uncertainty_ms),) if clock == Clock.BACKDATED else ()
        devices[who].measure(at_ms, *cells, *told, clock=clock)
    return devices


@st.composite
def histories(draw: DrawFn) -> tuple[list[Device], list[Arrival]]:
    """Devices with their readings, and arrivals of them: split anyhow, some twice, in any order."""
    story = draw(st.lists(st.tuples(st.integers(0, 1), STEPS), min_size=1, max_size=24))
    devices = devices_with(story)
    pieces: list[Arrival] = []
    for device in devices:
        run: list[Reading] = []
        for reading in device.readings:
            if run and (run[-1].clock != reading.clock or draw(st.booleans())):
                pieces.append(device.arrival(run))
                run = []
            run.append(reading)
        if run:
            pieces.append(device.arrival(run, [device.checkpoint()]))
    again = draw(st.lists(st.sampled_from(pieces), max_size=4))
    return devices, draw(st.permutations([*pieces, *again]))


def spine_for(devices: list[Device]) -> tuple[Spine, MemoryStore, ManualClock]:
    """A spine whose book knows the devices, both on one asset, with every stage of the fold switched on."""
    document = book_document(*devices)
    for one in document["installations"]:
        one |= {"asset": "asset-left", "overdue_after_s": 1_800, "gateway": "gateway-1"}
    sensor = {"channel": "temperature_mc", "overdue_after_s": 1_200, "silent_after_s": 5_400}
    document["installations"][0]["sensors"] = [sensor]
    if len(devices[0].readings) % 2:  # else the story begins with the first reading, whichever comes first
        document["installations"][0]["fitted_at"] = "2026-01-01T12:00:00Z"
    document["installations"][1]["calibrated_until"] = "2026-01-02T00:00:00Z"
    document["assets"] = [{"id": "asset-left", "kind": "other", "max_speed_mmps": 500_000}]
    document["voyages"] = [{"id": "voyage-1", "asset": "asset-left", "legs": LEGS}]
    (document["lots"][0],) = [one for one in document["lots"] if one["asset"] == "asset-left"]
    del document["lots"][1:]
    document["lots"][0] |= {"limits": LIMITS, "mkt": MKT}
    document["alert_rules"] = ALERT_RULES
    document["milestones"] = [one for one in document["milestones"] if one["lot"] == "lot-left"]
    rules = {"dwell_s": 3_600, "leave_after_s": 1_800, "margin_m": 500, "grade": "fair"}
    document["fences"]["features"][0]["properties"] |= rules
    document["fences"]["features"][1]["properties"] |= {"legs": ["sea"], "enter_margin_m": 200}
    store, clock = MemoryStore(), ManualClock()
    spine = Spine(store, clock, snapshot_every_entries=5)
    spine.commit(drafts.amend, document)
    return spine, store, clock


LEGS = [
    {"id": "road", "kind": "road", "from": "2026-01-01T12:00:00Z", "until": "2026-01-01T18:00:00Z"},
    {"id": "sea", "kind": "sea", "from": "2026-01-01T20:00:00Z", "until": "2026-01-02T06:00:00Z", "signal": "dark"},
]
LIMITS = [
    {"channel": "temperature_mc", "low": 2_000, "high": 8_000, "grace_s": 600, "max_gap_s": 7_200, "budget": 100_000},
    {
        "id": "at-sea",
        "channel": "temperature_mc",
        "low": 0,
        "high": 6_000,
        "severity": "warning",
        "cumulative_s": 5_000,
        "stuck_after_s": 10_800,
        "legs": ["sea"],
        "ignore": [{"from": "2026-01-01T22:00:00Z", "until": "2026-01-01T23:00:00Z"}],
    },
]
ALERT_RULES = [
    {"id": "warm", "on": "condition_breached", "group_by": "lot"},
    {"id": "warm-for-long", "on": "condition_breached", "group_by": "asset", "persist_s": 1_800},
    {"id": "unknown", "on": "condition_unknown", "group_by": "lot", "cool_down_s": 10_800},
    {"id": "silent", "on": "source_silent", "group_by": "gateway", "severity": "warning"},
    {"id": "in-port", "on": "fence_entered", "group_by": "asset", "cool_down_s": 3_600},
]
MKT = {
    "channel": "temperature_mc",
    "high_mc": 7_000,
    "worst_low_mc": 0,
    "worst_high_mc": 20_000,
    "window_h": 6,
    "max_gap_s": 7_200,
}


def outcome(
    spine: Spine, store: MemoryStore
) -> tuple[list[Event], tuple[str, list[Any]], dict[tuple[str, int], tuple[Marks, bytes, int]]]:
    """What stands at the end: unretracted events, the digest of the assets with the alerts, the devices' chains."""
    said = store.standing("asset-left", 10**9)
    standing = sorted(one.event for one in said)
    # An alert is known by what it rests on; ids tell in which entry that was said.
    causes = {one.id: one.event for one in said}
    alerts = [
        (
            key,
            one.state,
            one.severity,
            one.since_ms,
            one.opened_ms,
            one.cleared_ms,
            sorted(causes[cause] for cause in one.causes),
        )
        for key, one in sorted(spine.state.alerts.items())
    ]
    chains = {key: (one.marks, one.chain_hash, one.signed_sequence) for key, one in spine.state.devices.items()}
    return standing, (state_module.asset_digest(spine.state), alerts), chains


LONG_AFTER_MS = NOON_MS + 70 * 24 * 60 * MINUTE_MS
DAY_MS = 24 * 60 * MINUTE_MS
DELAYS = st.integers(0, 60 * 24 * 60)


@given(histories(), st.lists(st.tuples(st.integers(1, 4), DELAYS, st.booleans()), max_size=8))
def test_order_delay_duplication_and_splitting_change_nothing(
    history: tuple[list[Device], list[Arrival]], batches: list[tuple[int, int, bool]]
) -> None:
    """The story told as it happened, and in any order, any batches, up to 60 days late, with ticks in between."""
    devices, arrivals = history
    ordered, ordered_store, clock = spine_for(devices)
    alone = sorted(
        ((reading, device) for device in devices for reading in device.readings),
        key=lambda one: (one[0].measured_at_ms, one[1].name, one[0].sequence),
    )
    for reading, device in alone:
        clock.at_ms = max(clock.at_ms, reading.measured_at_ms)
        ordered.take([device.arrival([reading])])
    for device in devices:
        if device.readings:
            ordered.take([device.arrival(device.readings[-1:], [device.checkpoint()])])
    shuffled, shuffled_store, clock = spine_for(devices)
    rest = list(arrivals)
    for size, minutes, ticks in [*batches, (len(rest), 0, True)]:
        clock.at_ms = max(clock.at_ms, NOON_MS + minutes * MINUTE_MS)
        if ticks:
            shuffled.tick()
        shuffled.take(rest[:size])
        rest = rest[size:]
    for spine in (ordered, shuffled):
        for at_ms in (LONG_AFTER_MS, LONG_AFTER_MS + DAY_MS):  # what was said late has lasted long enough a day later
            spine._clock = ManualClock(at_ms)
            spine.tick()
    assert outcome(shuffled, shuffled_store)[:2] == outcome(ordered, ordered_store)[:2]
    assert_chains(shuffled, devices)


def assert_chains(spine: Spine, devices: list[Device]) -> None:
    """Every reading of every device is there, and signed."""
    for device in devices:
        if device.readings:
            known = spine.state.devices[device.name, device.epoch]
            assert (known.marks, known.chain_hash) == (Marks(device.sequence), device.hash)
            assert known.signed_sequence == device.sequence


@given(histories())
def test_the_same_journal_gives_the_same_state(history: tuple[list[Device], list[Arrival]]) -> None:
    devices, arrivals = history
    spine, store, _ = spine_for(devices)
    for arrival in arrivals:
        spine.take([arrival])
    assert state_module.to_bytes(recover(store)) == state_module.to_bytes(spine.state)
    store._snapshots = []
    assert state_module.to_bytes(recover(store)) == state_module.to_bytes(spine.state)
