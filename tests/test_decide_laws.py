"""Law 4, order of arrival never changes the outcome; and law 5 over the same random histories, by replay in memory."""

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

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.batch import Arrival
from pledgewatch_cloud.decide.events import Event
from pledgewatch_cloud.ingest.spine import Spine, recover
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Cell, Clock, Quality, Reading

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
STEPS = st.tuples(st.integers(-30, 120), CELLS, st.sampled_from([Clock.GPS, Clock.GPS, Clock.NTP, Clock.UNSET]))


def devices_with(story: list[tuple[int, tuple[int, tuple[Cell, ...], Clock]]]) -> list[Device]:
    """Two devices on one asset; each step is measured by one of them, some minutes after (or before) the last."""
    devices = [Device("left", seed=1), Device("right", seed=2)]
    at_ms = NOON_MS
    for who, (minutes, cells, clock) in story:
        at_ms += minutes * MINUTE_MS
        devices[who].measure(at_ms, *cells, clock=clock)
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


def spine_for(devices: list[Device]) -> tuple[Spine, MemoryStore]:
    """A spine whose book knows the devices, both on one asset."""
    document = book_document(*devices)
    for one in document["installations"]:
        one["asset"] = "asset-left"
    document["lots"] = [one for one in document["lots"] if one["asset"] == "asset-left"]
    document["milestones"] = [one for one in document["milestones"] if one["lot"] == "lot-left"]
    store = MemoryStore()
    spine = Spine(store, ManualClock(), snapshot_every_entries=5)
    spine.amend(document)
    return spine, store


def outcome(
    spine: Spine, store: MemoryStore
) -> tuple[list[Event], str, dict[tuple[str, int], tuple[Marks, bytes, int]]]:
    """What stands at the end: unretracted events, the digest of the assets, the devices' chains."""
    standing = sorted(one.event for one in store.standing("asset-left", 10**9))
    chains = {key: (one.marks, one.chain_hash, one.signed_sequence) for key, one in spine.state.devices.items()}
    return standing, state_module.asset_digest(spine.state), chains


@given(histories(), st.lists(st.integers(1, 4), max_size=8))
def test_order_delay_duplication_and_splitting_change_nothing(
    history: tuple[list[Device], list[Arrival]], sizes: list[int]
) -> None:
    devices, arrivals = history
    ordered, ordered_store = spine_for(devices)
    for device in devices:
        for reading in device.readings:
            last = reading.sequence == device.sequence
            ordered.take([device.arrival([reading], [device.checkpoint()] if last else [])])
    shuffled, shuffled_store = spine_for(devices)
    rest = list(arrivals)
    for size in [*sizes, len(rest)]:
        shuffled.take(rest[:size])
        rest = rest[size:]
    assert outcome(shuffled, shuffled_store) == outcome(ordered, ordered_store)


@given(histories(), st.lists(st.integers(0, 6 * 60), max_size=6))
def test_ticks_in_between_change_nothing_once_time_has_come_as_far(
    history: tuple[list[Device], list[Arrival]], minutes: list[int]
) -> None:
    devices, arrivals = history
    horizon_ms = NOON_MS + 60 * 24 * MINUTE_MS
    plain, plain_store = spine_for(devices)
    plain.take(arrivals)
    ticking, ticking_store = spine_for(devices)
    clock = ManualClock()
    ticking._clock = clock
    for arrival, minute in zip(arrivals, [*minutes, *[0] * len(arrivals)], strict=False):
        clock.at_ms += minute * MINUTE_MS
        ticking.tick()
        ticking.take([arrival])
    for spine in (plain, ticking):
        spine._clock = ManualClock(horizon_ms)
        spine.tick()
    assert outcome(ticking, ticking_store) == outcome(plain, plain_store)


@given(histories())
def test_the_same_journal_gives_the_same_state(history: tuple[list[Device], list[Arrival]]) -> None:
    devices, arrivals = history
    spine, store = spine_for(devices)
    for arrival in arrivals:
        spine.take([arrival])
    assert state_module.to_bytes(recover(store)) == state_module.to_bytes(spine.state)
    store._snapshots = []
    assert state_module.to_bytes(recover(store)) == state_module.to_bytes(spine.state)
