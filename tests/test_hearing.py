"""Whose silence it is: while the cloud is deaf nobody is missed; once it hears again everybody is, from event time."""

from builders import MINUTE_MS, NOON_MS, Device, ManualClock, book_document, temperature

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.ingest.hearing import Hearing
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.spine.spine import Spine

# (seconds since the start, connected, connections, took everything, heard up to that second or NEVER)
STORY = [
    (0, False, 0, True, -NEVER),
    (10, True, 1, True, -NEVER),
    (309, True, 1, True, -NEVER),
    (310, True, 1, True, 310),
    (320, True, 1, False, 310),  # more waits with the broker than is taken at once
    (330, True, 1, True, 330),
    (340, False, 1, True, 330),
    (350, True, 2, True, 330),
    (650, True, 2, True, 650),
    (660, True, 3, True, 650),  # gone and back between two ticks
    (960, True, 3, True, 960),
]


def test_the_cloud_hears_after_a_grace_and_while_nothing_waits() -> None:
    hearing = Hearing(300)
    for second, connected, connections, everything, until in STORY:
        hearing.took(everything=everything)
        found = hearing.until_ms(connected=connected, connections=connections, now_ms=second, now_s=second)
        assert found == until, f"at {second} s"


def test_nobody_is_missed_for_what_the_cloud_could_not_hear() -> None:
    device, store, clock = Device(), MemoryStore(), ManualClock(NOON_MS)
    spine = Spine(store, clock)
    document = book_document(device)
    document["installations"][0]["silent_after_s"] = 3_600
    spine.commit(drafts.amend, document)
    spine.take([device.arrival([device.measure(NOON_MS, temperature(5_000))])])
    said = [one.event.type for one in store.events()]
    clock.at_ms = NOON_MS + 300 * MINUTE_MS
    for heard_until_ms in (-NEVER, NOON_MS + 60 * MINUTE_MS, NOON_MS + 30 * MINUTE_MS):
        spine.tick(heard_until_ms)
    assert [one.event.type for one in store.events()] == said
    spine.tick(clock.at_ms)
    (silence,) = [one.event for one in store.events() if one.event.type == "source_fell_silent"]
    assert silence.at_ms == NOON_MS + 60 * MINUTE_MS, "missed from event time, however late that is said"
