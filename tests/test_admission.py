"""What is taken, what is known already, what is refused: each refusal by name, and nothing taken in its stead."""

import pytest
from builders import MINUTE_MS, NOON_MS, Device, ManualClock, book_document, temperature

from pledgewatch_cloud.decide import admission as admission_module
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.admission import EpochState, Refusal, committed_of, named_up_to
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.payloads import Received, read_all
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.spine.spine import Spine, recover
from pledgewatch_wire import chain
from pledgewatch_wire.codec import MAX_EPOCH, Checkpoint, Committed, encode
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Reading


def spine_for(*devices: Device) -> tuple[Spine, MemoryStore]:
    store = MemoryStore()
    spine = Spine(store, ManualClock())
    spine.commit(drafts.amend, book_document(*devices))
    return spine, store


def measured(count: int, name: str = "container-1") -> Device:
    device = Device(name)
    for minute in range(count):
        device.measure(NOON_MS + minute * MINUTE_MS, temperature(5_000 + minute))
    return device


def test_a_device_that_is_not_installed_is_quarantined_with_its_bytes() -> None:
    spine, store = spine_for(measured(1))
    stranger = measured(1, "stranger")
    admission = spine.take([stranger.arrival()])
    assert [one.reason for one in admission.refused] == [Refusal.NOT_INSTALLED]
    (kept,) = store.quarantined()
    assert (kept.reason, kept.raw) == ("device is not installed", stranger.arrival().raw)
    assert kept.topic == "pw/1/harbour-line/stranger/up"


def test_another_operator_may_not_speak_for_a_device() -> None:
    device = measured(1)
    spine, _ = spine_for(device)
    admission = spine.take([device.arrival(operator="pirates")])
    assert [one.reason for one in admission.refused] == [Refusal.WRONG_OPERATOR]
    assert spine.state.devices == {}


def test_a_retired_device_is_refused() -> None:
    device = measured(1)
    spine, _ = spine_for(device)
    spine.commit(drafts.amend, {"installations": [book_document(device)["installations"][0] | {"retired": 1}]})
    assert [one.reason for one in spine.take([device.arrival()]).refused] == [Refusal.NOT_INSTALLED]


@pytest.mark.parametrize("epoch", [0, MAX_EPOCH + 1])
def test_an_epoch_out_of_range_is_refused(epoch: int) -> None:
    device = measured(1)
    device.epoch = epoch
    spine, _ = spine_for(device)
    assert [one.reason for one in spine.take([device.arrival()]).refused] == [Refusal.BAD_EPOCH]


def test_sent_again_is_known_and_not_journalled_again() -> None:
    device = measured(5)
    spine, store = spine_for(device)
    assert len(spine.take([device.arrival()]).readings) == 5
    entries = store.counts().entries
    again = spine.take([device.arrival(), device.arrival(device.readings[1:3])])
    assert (len(again.known), len(again.readings), store.counts().entries) == (2, 0, entries)


def test_a_payload_that_is_partly_known_brings_only_what_is_new() -> None:
    device = measured(6)
    spine, _ = spine_for(device)
    spine.take([device.arrival(device.readings[:4])])
    admission = spine.take([device.arrival(device.readings[2:])])
    assert [one.sequence for one in admission.readings] == [5, 6]
    assert spine.state.devices["container-1", 1].chain_hash == device.hash


@pytest.mark.parametrize("same_batch", [True, False])
def test_a_sequence_reused_with_other_content_is_an_alarm_not_an_update(same_batch: bool) -> None:
    device, double = measured(3), Device()
    double.measure(NOON_MS, temperature(-40_000))
    spine, store = spine_for(device)
    if same_batch:
        admission = spine.take([device.arrival(), double.arrival()])
    else:
        spine.take([device.arrival()])
        admission = spine.take([double.arrival()])
    assert [one.reason for one in admission.refused] == [Refusal.SEQUENCE_REUSED]
    (alarm,) = [one.event for one in store.events() if one.event.type is EventType.TAMPER_SUSPECTED]
    assert (alarm.fact("sequence"), alarm.fact("kind")) == (1, "sequence_reused")
    assert [one.reading.cells[0].value for one in store.readings(["container-1"], 10**9)] == [5_000, 5_001, 5_002]
    assert store.quarantine_counts() == {"sequence reused with other content": 1}


def test_a_forged_signature_is_refused_and_the_true_device_still_delivers() -> None:
    device = measured(3)
    spine, store = spine_for(device)
    forged = Checkpoint(3, bytes(64))
    admission = spine.take([device.arrival(checkpoints=[forged])])
    assert [one.reason for one in admission.refused] == [Refusal.FORGED_SIGNATURE]
    assert store.readings(["container-1"], 10**9) == []
    assert len(spine.take([device.arrival(checkpoints=[device.checkpoint()])]).readings) == 3
    state = spine.state.devices["container-1", 1]
    assert (state.signed_sequence, state.marks, state.suspicions) == (3, Marks(3), 1)


def test_readings_changed_on_their_way_do_not_pass_their_checkpoint() -> None:
    device = measured(3)
    spine, _ = spine_for(device)
    changed = [warmed(one) if one.sequence == 2 else one for one in device.readings]
    admission = spine.take([device.arrival(changed, [device.checkpoint()])])
    assert [one.reason for one in admission.refused] == [Refusal.FORGED_SIGNATURE]


def warmed(reading: Reading) -> Reading:
    return reading._replace(cells=(temperature(7_777),))


def test_a_checkpoint_for_what_was_sent_before_counts() -> None:
    """A device that signs by the clock signs readings that have gone already."""
    device = measured(1)
    spine, _ = spine_for(device)
    spine.take([device.arrival()])
    late = device.checkpoint()
    second = device.measure(NOON_MS + MINUTE_MS, temperature(5_000))
    spine.take([device.arrival([second], [late])])
    state = spine.state.devices["container-1", 1]
    assert (state.marks, state.signed_sequence) == (Marks(2), 1)


def test_a_false_checkpoint_for_what_was_sent_before_is_told() -> None:
    device = measured(1)
    spine, store = spine_for(device)
    spine.take([device.arrival()])
    second = device.measure(NOON_MS + MINUTE_MS, temperature(5_000))
    admission = spine.take([device.arrival([second], [Checkpoint(1, bytes(64))])])
    assert [one.reason for one in admission.refused] == [Refusal.FORGED_SIGNATURE]
    state = spine.state.devices["container-1", 1]
    assert (state.marks, state.signed_sequence, state.suspicions) == (Marks(1), 0, 1)
    assert EventType.TAMPER_SUSPECTED in [one.event.type for one in store.events()]
    assert state_module.digest(recover(store)) == state_module.digest(spine.state)


def test_nobody_keeps_the_true_device_from_delivering() -> None:
    """A payload slipped in without a valid signature, with a reading far on and a checkpoint that nobody signed."""
    device = measured(20)
    spine, store = spine_for(device)
    forger = Device("container-1", seed=9)
    for _ in range(15):
        forged = forger.measure(NOON_MS, temperature(99_000))
    spine.take([forger.arrival([forged], [Checkpoint(5, bytes(64))])])
    for first in range(0, 20, 4):
        readings = [one for one in device.readings[first : first + 4] if one.sequence != 15]
        spine.take([device.arrival([one]) for one in readings])
    for _ in range(admission_module.CHAIN_BREAKS_AFTER + 1):  # what is not committed is sent again
        admission = spine.take([device.arrival(device.readings[19:], [device.checkpoint()])])
    state = spine.state.devices["container-1", 1]
    assert (admission.refused, state.marks.contiguous) == ((), 20)
    assert state.suspicions > 0, "somebody forged something, and it is told"
    assert state_module.digest(recover(store)) == state_module.digest(spine.state)


def test_a_sequence_from_nowhere_is_refused() -> None:
    device = measured(1)
    spine, store = spine_for(device)
    far = device.readings[0]._replace(sequence=admission_module.MAX_AHEAD + 1)
    assert [one.reason for one in spine.take([device.arrival([far])]).refused] == [Refusal.TOO_FAR_AHEAD]
    assert store.quarantine_counts() == {"sequence too far ahead": 1}


def test_a_flood_of_forgeries_fills_neither_journal_nor_state() -> None:
    device = measured(1)
    spine, store = spine_for(device)
    for number in range(100):
        signature = number.to_bytes(64, "big")
        spine.take([device.arrival(checkpoints=[Checkpoint(1, signature)])])
    alarms = [one for one in store.events() if one.event.type is EventType.TAMPER_SUSPECTED]
    assert len(alarms) == admission_module.MAX_SUSPICIONS
    assert store.quarantine_counts() == {"signature does not verify": 100}


def test_a_gap_is_kept_open_and_closed_and_the_checkpoint_beyond_it_is_verified_then() -> None:
    device = measured(9)
    spine, _ = spine_for(device)
    spine.take([device.arrival(device.readings[:2])])
    spine.take([device.arrival(device.readings[5:], [device.checkpoint()])])
    state = spine.state.devices["container-1", 1]
    assert (state.marks, state.signed_sequence) == (Marks(2, ((6, 9),)), 0)
    assert state.marks.missing == ((3, 5),)
    spine.take([device.arrival(device.readings[2:5])])
    state = spine.state.devices["container-1", 1]
    assert (state.marks, state.signed_sequence, state.chain_hash) == (Marks(9), 9, device.hash)
    assert (state.leaves, state.waiting) == ((), ())


def test_too_far_beyond_a_gap_is_left_with_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_module, "MAX_BEYOND_GAP", 3)
    device = measured(8)
    spine, store = spine_for(device)
    admission = spine.take([device.arrival(device.readings[2:5]), device.arrival(device.readings[5:])])
    assert [one.reason for one in admission.refused] == [Refusal.TOO_FAR_BEYOND_GAP]
    assert store.quarantine_counts() == {}
    spine.take([device.arrival(device.readings[:5])])
    spine.take([device.arrival(device.readings[5:])])
    assert spine.state.devices["container-1", 1].marks == Marks(8)


def test_a_new_epoch_is_a_new_count() -> None:
    first, second = measured(2), measured(2)
    second = in_epoch(second, 2)
    spine, _ = spine_for(first)
    spine.take([first.arrival(), second.arrival(checkpoints=[second.checkpoint()])])
    assert {key: one.marks for key, one in spine.state.devices.items()} == {
        ("container-1", 1): Marks(2),
        ("container-1", 2): Marks(2),
    }


def in_epoch(device: Device, epoch: int) -> Device:
    other = Device(device.name, epoch=epoch)
    for reading in device.readings:
        other.measure(reading.measured_at_ms, *reading.cells)
    return other


def test_the_journal_keeps_payloads_as_they_came() -> None:
    device = measured(2)
    spine, store = spine_for(device)
    raw = encode(device.payload()) + b"\xaa\x06\x03abc"  # a field of a later version
    spine.take(read_all([Received("harbour-line", device.name, NOON_MS, raw)]))
    (written,) = [one for one in store.entries() if one.kind == "readings"]
    assert raw in written.body


def test_what_waits_for_a_gap_to_close_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_module, "MAX_BEYOND_GAP", 5)
    device = measured(3)
    spine, _ = spine_for(device)
    false = [Checkpoint(sequence, bytes(64)) for sequence in range(10, 30)]
    spine.take([device.arrival(device.readings[2:], false)])
    assert [sequence for sequence, _ in spine.state.devices["container-1", 1].waiting] == [10, 11, 12, 13, 14]


def test_a_device_is_told_of_the_ranges_beyond_a_gap() -> None:
    spans = tuple((10 * number, 10 * number + 4) for number in range(1, 100))
    leaves = tuple((sequence, sequence.to_bytes(32)) for first, last in spans for sequence in range(first, last + 1))
    word = committed_of(7, EpochState(Marks(3, spans), b"h" * 32, leaves=tuple(leaves)))
    assert word[:2] == (7, 3)
    assert (len(word.ranges), word.ranges[:2]) == (64, ((10, 14), (20, 24)))
    assert word.chain_mark == b"h" * 8
    assert len(word.range_marks) == 64
    assert committed_of(7, None) == Committed(7, 0)
    assert committed_of(7, EpochState(Marks(), b"h" * 32)) == Committed(7, 0)


def test_of_very_many_ranges_a_word_names_the_newest_and_the_others_in_turn() -> None:
    """While alarms come, gaps close and ranges grow together."""
    spans = [(10 * number, 10 * number + 4) for number in range(1, 301)]
    heard: set[tuple[int, int]] = set()
    after = 0
    for turn in range(6):
        leaves = tuple((last, last.to_bytes(32)) for _, last in spans)
        word = committed_of(7, EpochState(Marks(3, tuple(spans)), b"h" * 32, leaves=leaves), after)
        assert (len(word.ranges), word.ranges[-1], word.names_all) == (64, spans[-1], False)
        assert list(word.ranges) == sorted(set(word.ranges)), "ascending, none twice"
        assert word.range_marks == tuple(last.to_bytes(32)[:8] for _, last in word.ranges)
        heard |= set(word.ranges)
        after = named_up_to(word, after)
        spans += [(5_000 + 10 * turn, 5_001 + 10 * turn)]
        spans[2 * turn : 2 * turn + 2] = [(spans[2 * turn][0], spans[2 * turn + 1][1])]
    assert {first for first, _ in spans[:-1]} <= {first for first, _ in heard}


def test_the_marks_of_a_word_are_those_of_the_devices_own_chain() -> None:
    device = measured(9)
    spine, _ = spine_for(device)
    for some in (device.readings[:3], device.readings[5:7], device.readings[8:]):
        spine.take([device.arrival(some)])
    word = committed_of(1, spine.state.devices["container-1", 1])
    running = chain.genesis("container-1", 1)
    for reading in device.readings[:3]:
        running = chain.extend(running, chain.leaf(reading))
    marks = tuple(chain.mark(chain.leaf(device.readings[place])) for place in (6, 8))
    assert word == Committed(1, 3, ((6, 7), (9, 9)), chain.mark(running), marks)
