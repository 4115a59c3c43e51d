"""The spool: what was appended is there, whatever happens, and leaves only on `committed`."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from edge_support import DEVICE, WIDE, new_spool, sample, samples, true_word
from hypothesis import given, settings
from hypothesis import strategies as st

from pledgewatch_edge.identity import StateError, load_or_create_key
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool.answers import Appended
from pledgewatch_edge.spool.errors import SpoolCorruptError, SpoolError
from pledgewatch_edge.spool.file import open_spool, status
from pledgewatch_edge.spool.log import content_of, payload_of, readings_frame, runs_in, segment_name
from pledgewatch_edge.spool.places import EVIDENCE_KEPT
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Checkpoint, Committed
from pledgewatch_wire.reading import NO_VALUE_FROM, Cell, Channel, Clock, Quality, Reading

APPENDER = """
import sys
from collections.abc import Callable
from collections.abc import Callable
from pathlib import Path
from edge_support import new_spool, samples
spool = new_spool(Path(sys.argv[1]))
number = spool.head_sequence
while True:
    spool.append(samples(7, number + 1))
    number += 7
    print(spool.head_sequence, flush=True)
"""


def chained(readings: list[Reading], epoch: int) -> bytes:
    """The running hash, computed anew."""
    running = chain.genesis(DEVICE, epoch)
    for reading in readings:
        running = chain.extend(running, chain.leaf(reading))
    return running


def verifies(spool: Spool, folder: Path, checkpoint: Checkpoint, readings: list[Reading]) -> bool:
    return chain.verifies(
        load_or_create_key(folder).public_key(),
        DEVICE,
        spool.epoch,
        checkpoint.sequence,
        chained(readings[: checkpoint.sequence], spool.epoch),
        checkpoint.signature,
    )


cells = st.dictionaries(
    st.sampled_from(Channel), st.tuples(st.integers(-(2**62) + 1, 2**62 - 1), st.sampled_from(Quality)), min_size=1
).map(lambda found: tuple(Cell(channel, *found[channel]) for channel in sorted(found)))


@given(st.integers(1, 2**52), st.integers(0, 2**42), st.sampled_from(Clock), cells, st.booleans())
def test_a_stored_reading_comes_back(
    sequence: int, time_ms: int, clock: Clock, row: tuple[Cell, ...], is_urgent: bool
) -> None:
    row = tuple(one._replace(value=0) if one.quality >= NO_VALUE_FROM else one for one in row)
    reading = Reading(sequence, time_ms, clock, row)
    data = readings_frame(1, [reading], [], is_urgent=is_urgent)
    (run,) = runs_in(content_of(data).frames)
    assert (run.first, run.last, run.is_urgent) == (sequence, sequence, is_urgent)
    assert payload_of(run).readings == (reading,)


@given(st.binary(max_size=200), st.integers(0, 2), st.integers(0, 7))
def test_damage_costs_the_frames_that_it_touches_and_no_others(noise: bytes, which: int, bit: int) -> None:
    frames = [readings_frame(1, [Reading(number, *sample(number)[:3])], [], is_urgent=False) for number in (1, 2, 3)]
    spoilt = bytearray(frames[which])
    spoilt[(len(noise) * 7) % len(spoilt)] ^= 1 << bit
    data = b"".join(bytes(spoilt) if place == which else one for place, one in enumerate(frames))
    assert [run.first for run in runs_in(content_of(data).frames)] == [n for n in (1, 2, 3) if n != which + 1]
    assert content_of(data).is_holed == (which != 2)
    whole = content_of(frames[0] + noise + frames[1])
    assert [run.first for run in runs_in(whole.frames)][:1] == [1]
    assert content_of(noise).frames == [], "bytes that were never stored are nothing"


SOUND = sample(1)
UNSOUND = {
    "year 9999": SOUND._replace(measured_at_ms=253_370_764_800_000),
    "year 1": SOUND._replace(measured_at_ms=-62_135_596_800_000),
    "no whole time": SOUND._replace(measured_at_ms=1.5),  # type: ignore[arg-type]
    "no clock": SOUND._replace(clock=9),
    "no cells": SOUND._replace(cells=()),
    "not ascending": SOUND._replace(cells=SOUND.cells[::-1]),
    "a channel twice": SOUND._replace(cells=(SOUND.cells[0], SOUND.cells[0])),
    "no channel": SOUND._replace(cells=(Cell(2**40, 1),)),
    "below all channels": SOUND._replace(cells=(Cell(-1, 1),)),
    "too large": SOUND._replace(cells=(Cell(Channel.TEMPERATURE_MC, 2**62),)),
    "too small": SOUND._replace(cells=(Cell(Channel.TEMPERATURE_MC, -(2**62)),)),
    "no whole value": SOUND._replace(cells=(Cell(Channel.TEMPERATURE_MC, 1.5),)),  # type: ignore[arg-type]
    "no quality": SOUND._replace(cells=(Cell(Channel.TEMPERATURE_MC, 1, 999),)),
    "a value where there is none": SOUND._replace(cells=(Cell(Channel.TEMPERATURE_MC, 1, NO_VALUE_FROM),)),
}


@pytest.mark.parametrize("why", UNSOUND)
def test_what_no_payload_can_hold_is_refused_and_spoils_nothing(why: str, tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        assert spool.append([*samples(5), UNSOUND[why], *samples(5, 6)]) == Appended(10, 1)
        assert spool.append([UNSOUND[why]._replace(is_urgent=True)]) == Appended(0, 1)
        assert [one.cells[1].value for one in spool.read(0, 100)] == [*range(1, 11)]
        assert spool.refused_total == 2
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.spooled) == (1, 10)


def test_numbers_chain_and_checkpoints(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.head_sequence, spool.spooled) == (1, 0, 0)
        for start in range(1, 151, 10):
            assert spool.append(samples(10, start)) == Appended(10, 0)
        readings = spool.read(0, 1_000)
        assert readings == [Reading(number, *sample(number)[:3]) for number in range(1, 151)]
        assert spool.read(20, 3) == readings[20:23]
        assert spool.chain_hash == chained(readings, 1)
        signed = spool.checkpoints(1, 150)
        assert [checkpoint.sequence for checkpoint in signed] == [60, 120]
        assert all(verifies(spool, tmp_path, checkpoint, readings) for checkpoint in signed)
        late = spool.checkpoint()
        assert late is not None
        assert late.sequence == 150
        assert verifies(spool, tmp_path, late, readings)
        assert spool.checkpoint() is None
        assert spool.checkpoints(1, 149) == signed
        assert spool.checkpoints(151, 160) == [late]  # it travels with the reading that follows


def test_time_makes_a_checkpoint_due(tmp_path: Path) -> None:
    now = 0.0
    with new_spool(tmp_path, Limits(2**20, 60, 300), monotonic=lambda: now) as spool:
        spool.append(samples(2))
        assert not spool.checkpoint_is_due()
        now = 300.0
        assert spool.checkpoint_is_due()
        spool.append(samples(1, 3))
        assert [one.sequence for one in spool.checkpoints(1, 3)] == [3]
        assert not spool.checkpoint_is_due()
        now = 700.0
        assert not spool.checkpoint_is_due()  # all is signed


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(70))
        spool.forget(true_word(spool, 65))
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.head_sequence, spool.spooled, spool.committed.contiguous) == (1, 70, 5, 65)
        spool.append(samples(60, 71))
        assert spool.chain_hash == chained([Reading(number, *sample(number)[:3]) for number in range(1, 131)], 1)
        assert [one.sequence for one in spool.checkpoints(66, 130)] == [120]
        assert spool.measured_total == 130


@pytest.mark.parametrize("round_number", range(3))
def test_it_survives_kill_9(tmp_path: Path, round_number: int) -> None:
    said = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(Path(__file__).parent / "support"), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(5 + 17 * round_number)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines()
        child.stdout.close()
        child.wait()
        said = int(lines[-1])
    with new_spool(tmp_path) as spool:
        readings = spool.read(0, 1_000_000)
        assert [reading.sequence for reading in readings] == list(range(1, spool.head_sequence + 1))
        assert spool.head_sequence >= said > 0
        assert spool.epoch == 1
        assert [reading.cells[1].value for reading in readings] == [reading.sequence for reading in readings]
        assert spool.chain_hash == chained(readings, 1)
        assert spool.measured_total == spool.head_sequence
        assert all(verifies(spool, tmp_path, one, readings) for one in spool.checkpoints(1, spool.head_sequence))


def log_of(folder: Path, place: int = 0) -> Path:
    """A segment of the log, the oldest first."""
    return sorted((folder / "spool").glob("*.log"))[place]


def damage_head(folder: Path) -> None:
    data = bytearray(log_of(folder).read_bytes())
    data[:100] = b"\xa5" * 100
    log_of(folder).write_bytes(data)


def damage_by_truncation(folder: Path) -> None:
    data = log_of(folder, -1).read_bytes()
    log_of(folder, -1).write_bytes(data[: len(data) // 2])


def damage_by_zeroes(folder: Path) -> None:
    data = bytearray(log_of(folder).read_bytes())
    data[400:410] = bytes(10)
    log_of(folder).write_bytes(data)


def damage_one_bit(folder: Path) -> None:
    data = bytearray(log_of(folder, 1).read_bytes())
    data[len(data) // 2] ^= 4
    log_of(folder, 1).write_bytes(data)


def replace_by_something_else(folder: Path) -> None:
    log_of(folder).write_bytes(b"not a log, and long enough to look like one" * 20)


def lose_a_segment(folder: Path) -> None:
    log_of(folder, 1).unlink()


def go_back_in_time(folder: Path) -> None:
    log_of(folder, -1).unlink()


@pytest.mark.parametrize(
    ("damage", "rescued"),
    [
        (damage_head, 3_000),
        (damage_by_truncation, 2_550),
        (damage_by_zeroes, 2_950),
        (damage_one_bit, 2_950),
        (replace_by_something_else, 1_950),
        (lose_a_segment, 1_950),
        (go_back_in_time, 2_100),
    ],
)
def test_a_broken_spool_is_moved_aside_and_begins_a_new_epoch(
    tmp_path: Path,
    damage: Callable[[Path], None],
    rescued: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with new_spool(tmp_path) as spool:
        for start in range(1, 3_001, 50):
            spool.append(samples(50, start))
        assert len(list((tmp_path / "spool").glob("*.log"))) == 3
    damage(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "spool").iterdir()}
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.spooled) == (2, spool.head_sequence)
        assert abs(spool.head_sequence - rescued) <= 100
        assert spool.measured_total == 3_000
        whole = {one.measured_at_ms: one for one in spool.read(0, 3_000)}
        assert set(whole) <= {one.measured_at_ms for one in samples(3_000)}
        spool.append(samples(3))
        assert spool.measured_total == 3_003
        assert spool.chain_hash == chained(spool.read(0, 4_000), 2)
    aside = tmp_path / "spool.broken-1"
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == before
    assert [record.levelname for record in caplog.records if "spool broken" in record.getMessage()] == ["ERROR"]


def test_an_end_that_is_torn_was_never_there(tmp_path: Path) -> None:
    """What a power cut leaves of a write that had not ended: its numbers are given again, for nobody has heard them."""
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
    whole = log_of(tmp_path).read_bytes()
    torn = readings_frame(1, [Reading(11, *sample(11)[:3])], [], is_urgent=False)
    for end in (torn[:5], torn[:-1], bytes(4_096)):
        log_of(tmp_path).write_bytes(whole + end)
        with new_spool(tmp_path) as spool:
            assert (spool.epoch, spool.head_sequence) == (1, 10)
        assert log_of(tmp_path).read_bytes() == whole
    (tmp_path / "spool" / segment_name(1, 11)).write_bytes(torn[:9])
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.append(samples(1, 11)).accepted, spool.head_sequence) == (1, 1, 11)


def test_a_lost_or_empty_spool_begins_a_new_epoch(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(5))
    shutil.rmtree(tmp_path / "spool")
    with new_spool(tmp_path) as spool:
        assert spool.epoch == 2
    log_of(tmp_path).write_bytes(b"")
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.measured_total) == (3, 5)


def test_the_evidence_is_bounded(tmp_path: Path) -> None:
    for _ in range(EVIDENCE_KEPT + 3):
        new_spool(tmp_path).close()
        replace_by_something_else(tmp_path)
    new_spool(tmp_path).close()
    kept = sorted(path.name for path in tmp_path.glob("spool.broken-*"))
    assert kept == [
        f"spool.broken-{number}" for number in range(EVIDENCE_KEPT + 3 - EVIDENCE_KEPT + 1, EVIDENCE_KEPT + 4)
    ]


def test_the_spool_of_another_device_is_not_touched(tmp_path: Path) -> None:
    new_spool(tmp_path).close()
    with pytest.raises(StateError, match="another state_folder"):
        open_spool(tmp_path, "cont-9", load_or_create_key(tmp_path), WIDE)
    with new_spool(tmp_path) as spool:
        assert spool.epoch == 1


def test_forget_takes_what_is_covered_and_nothing_else(tmp_path: Path) -> None:
    with new_spool(tmp_path, Limits(2**20, 10, 1e9)) as spool:
        spool.append(samples(50))
        assert spool.forget(true_word(spool, 12, ((20, 25), (31, 31)))).readings == 12 + 6 + 1
        left = [reading.sequence for reading in spool.read(0, 100)]
        assert left == [*range(13, 20), *range(26, 31), *range(32, 51)]
        assert spool.spooled == len(left)
        assert [one.sequence for one in spool.checkpoints(1, 50)] == [20, 30, 40, 50]
        assert spool.forget(true_word(spool, 5)).readings == 0  # an older word, come late
        assert spool.committed.contiguous == 12
        assert spool.forget(true_word(spool, 40)).readings == 7 + 5 + 9
        assert [one.sequence for one in spool.checkpoints(1, 50)] == [50]
        assert spool.forget(true_word(spool, 50)).readings == 10
        assert spool.checkpoints(1, 60) == []


def test_a_late_checkpoint_stays_until_it_has_travelled(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(5))
        late = spool.checkpoint()
        spool.forget(true_word(spool, 5))
        assert spool.checkpoints(6, 6) == [late]
        spool.append(samples(1, 6))
        spool.forget(true_word(spool, 6))
        assert spool.checkpoints(1, 10) == []


MARK, LEAF_20 = b"M" * 8, b"L" * 8
"""They stand for the marks of a true cloud, which are not known before the spool is there."""


@pytest.mark.parametrize(
    ("committed", "reason"),
    [
        (Committed(2, 3), "epoch 2, this is 1"),
        (Committed(0, 3), "epoch 0, this is 1"),
    ],
)
def test_a_word_that_cannot_be_true_changes_nothing(tmp_path: Path, committed: Committed, reason: str) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
        forgotten = spool.forget(committed)
        assert forgotten.readings == 0
        assert forgotten.ignored is not None
        assert reason in forgotten.ignored
        assert (spool.spooled, spool.committed.contiguous) == (10, 0)


@pytest.mark.parametrize("more", [0, 5, 40], ids=["at the copy's head", "below the cloud's", "beyond the cloud's"])
def test_a_state_folder_that_was_put_back_lets_nothing_go_and_begins_a_new_epoch(tmp_path: Path, more: int) -> None:
    """Numbers are given a second time; what the cloud has under them is not what is here."""
    with new_spool(tmp_path / "device") as spool:
        spool.append(samples(10))
        copy_of(tmp_path / "device", tmp_path / "copy")
        spool.append(samples(20, 11))
        word = Committed(1, 30, (), chain.mark(spool.chain_hash))
        assert Committed(1, 25, (), chain.mark(chained(spool.read(0, 25), 1))) == true_word(spool, 25)
    with new_spool(tmp_path / "copy") as spool:
        if more:
            spool.append(samples(more, 101))
        with pytest.raises(SpoolCorruptError, match="the counter has been put back"):
            spool.forget(word)
        assert spool.spooled == 10 + more
    with new_spool(tmp_path / "copy") as spool:
        assert (spool.epoch, spool.head_sequence, spool.spooled, spool.measured_total) == (2, *[10 + more] * 3)
        moments = [one.measured_at_ms for one in spool.read(0, 100)]
        assert moments == [one.measured_at_ms for one in (*samples(10), *samples(more, 101))]
        assert spool.forget(word).ignored == "it is about epoch 1, this is 2"
    assert (tmp_path / "copy" / "spool.broken-1").exists()


def test_a_word_that_is_about_what_is_here_is_taken_with_its_mark(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(30))
        assert spool.forget(true_word(spool, 12)).readings == 12
        assert spool.forget(true_word(spool, 15)).readings == 3
        leaf = chain.leaf(spool.read(19, 1)[0])
        assert spool.forget(Committed(1, 15, ((18, 20),), b"", (chain.mark(leaf),))).readings == 3
        for start in range(31, 3_031, 500):
            spool.append(samples(500, start))
        assert spool.forget(true_word(spool, 3_000)).readings == 3_000 - 18
        # What was let go before, by whole segments, is not there to be compared.
        assert spool.forget(Committed(1, 900, (), b"\xff" * 8)).readings == 0


@pytest.mark.parametrize(
    ("word", "readings", "unmarked"),
    [
        (Committed(1, 15), 0, "1 to 15 are"),
        (Committed(1, 12), 0, None),  # nothing new
        (Committed(1, 12, ((18, 20),)), 0, "18 to 20 are"),
        (Committed(1, 15, ((18, 20),), MARK, ()), 0, "18 to 20 are"),
        (Committed(1, 12, ((18, 20), (25, 30)), b"", (LEAF_20,)), 0, "25 to 30 are"),
        (Committed(1, 12, ((18, 20), (25, 30)), b"", (LEAF_20, b"")), 0, "25 to 30 are"),
        (Committed(1, 12, ((18, 20),), b"", (LEAF_20, MARK)), 3, None),
        (Committed(1, 12, ((0, 20),), b"", (LEAF_20,)), 0, None),
        (Committed(1, 31), 0, "everything up to 31 is"),
        (Committed(1, 2**40, ((18, 20),), b"", (LEAF_20,)), 0, "everything up to 1099511627776 is"),
    ],
)
def test_what_is_new_needs_its_mark(tmp_path: Path, word: Committed, readings: int, unmarked: str | None) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(30))
        spool.forget(true_word(spool, 12))
        leaf_20 = chain.mark(chain.leaf(spool.read(19, 1)[0]))
        mark_15 = true_word(spool, 15).chain_mark
        word = word._replace(
            chain_mark=mark_15 if word.chain_mark else b"",
            range_marks=tuple(leaf_20 if one == LEAF_20 else one for one in word.range_marks),
        )
        said = f"it says without a mark that {unmarked} committed" if unmarked else None
        assert spool.forget(word) == (readings, said, None)
        assert (spool.spooled, spool.committed.contiguous, spool.epoch) == (18 - readings, 12, 1)


def test_a_range_of_another_life_stops_the_spool_too(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(30))
        mark_12 = chain.mark(chain.leaf(spool.read(11, 1)[0]))
        with pytest.raises(SpoolCorruptError, match="the cloud has another reading 21: the counter has been put back"):
            spool.forget(true_word(spool, 0, ((11, 12), (18, 21)))._replace(range_marks=(mark_12, b"\xff" * 8)))
        assert spool.spooled == 30


def copy_of(folder: Path, other: Path) -> None:
    """A state folder as it would come from a backup."""
    shutil.copytree(folder, other)


def test_a_range_that_begins_before_the_first_reading_lets_nothing_go(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
        assert spool.forget(true_word(spool, 0, ((0, 10),))).readings == 0
        assert (spool.spooled, spool.committed.contiguous) == (10, 0)


def test_a_range_that_somebody_else_put_there_does_not_hide_the_rest(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
        assert spool.forget(true_word(spool, 4, ((6, 7), (1_000_000, 1_000_000)))).readings == 6
        assert (spool.spooled, spool.committed.contiguous) == (4, 4)


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.integers(1, 30),
            st.tuples(st.integers(0, 60), st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=3)),
        ),
        max_size=12,
    )
)
def test_what_is_left_is_what_was_not_committed(tmp_path_factory: pytest.TempPathFactory, steps: list[object]) -> None:
    expected: set[int] = set()
    with new_spool(tmp_path_factory.mktemp("spool"), Limits(2**20, 7, 1e9)) as spool:
        for step in steps:
            if isinstance(step, int):
                spool.append(samples(step, spool.head_sequence + 1))
                expected |= set(range(spool.head_sequence - step + 1, spool.head_sequence + 1))
                continue
            assert isinstance(step, tuple)
            contiguous, ranges = min(step[0], spool.head_sequence), step[1]
            said = [(first, first + more) for first, more in ranges]
            spool.forget(true_word(spool, contiguous, tuple(said)))
            believed = Committed(1, contiguous, tuple(one for one in said if one[1] <= spool.head_sequence))
            expected = {sequence for sequence in expected if not believed.covers(sequence)}
        assert [reading.sequence for reading in spool.read(0, 1_000)] == sorted(expected)
        assert spool.spooled == len(expected)


def test_a_disk_that_refuses_changes_nothing(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
        before = spool.chain_hash
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (log_of(tmp_path).stat().st_size + 100, hard))
            with pytest.raises(SpoolError):
                spool.append(samples(2_000, 11))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
        assert (spool.head_sequence, spool.spooled, spool.chain_hash) == (10, 10, before)
        spool.append(samples(2_000, 11))
        assert spool.chain_hash == chained(spool.read(0, 10_000), 1)


def test_corruption_while_running_stops(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
        data = bytearray(log_of(tmp_path).read_bytes())
        data[-10] ^= 1
        log_of(tmp_path).write_bytes(data)
        with pytest.raises(SpoolCorruptError, match="has changed on the disk"):
            spool.read(4, 10)
        log_of(tmp_path).unlink()
        with pytest.raises(SpoolCorruptError, match="is gone"):
            spool.read(4, 10)


def test_status_reads_beside_a_running_agent(tmp_path: Path) -> None:
    assert status(tmp_path)["head_sequence"] == 0
    with new_spool(tmp_path, Limits(2**20, 10, 1e9)) as spool:
        spool.append(samples(20))
        spool.refuse(5)
        spool.forget(true_word(spool, 12))
        expected = {
            "epoch": 1,
            "measured": 20,
            "head_sequence": 20,
            "spooled": 8,
            "undated": 0,
            "spooled_bytes": spool.spooled_bytes,
            "refused": 5,
            "thinned": 0,
            "broken": 0,
            "committed_contiguous": 12,
            "signed_sequence": 20,
            "oldest_spooled": 13,
        }
        assert json.loads(json.dumps(status(tmp_path))) == expected
        spool.append([Sample(1, Clock.UNSET, (Cell(Channel.TEMPERATURE_MC, 1),))])
    assert status(tmp_path)["head_sequence"] == 21


def test_status_takes_no_segment_for_committed_because_another_follows_it(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        for _ in range(3):
            spool.append(samples(1_000))
        assert len(list((tmp_path / "spool").iterdir())) > 1
        told = status(tmp_path)
        assert (told["committed_contiguous"], told["spooled"], told["oldest_spooled"]) == (0, 3_000, 1)
        spool.forget(true_word(spool, 2_900))
        told = status(tmp_path)
        assert (told["committed_contiguous"], told["spooled"], told["oldest_spooled"]) == (2_900, 100, 2_901)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_frees_itself_once_the_cloud_has_spoken(tmp_path: Path) -> None:
    """What is committed leaves even a disk without a byte of room, and new readings have room again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("needs a kernel that lets tests mount a small disk")
    try:
        with new_spool(disk) as spool:
            try:
                for start in range(0, 1_000_000, 50):
                    spool.append([one._replace(is_urgent=True) for one in samples(50, start + 1)])
            except SpoolError:
                head = spool.head_sequence
            with (disk / "filler").open("wb") as filler, contextlib.suppress(OSError):
                filler.write(b"x" * 10**6)
            assert spool.forget(true_word(spool, head)).readings == head
            spool.append(samples(10, head + 1))
            assert (spool.spooled, spool.committed.contiguous) == (10, head)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_append_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What append returned from survives a power cut: the file is waited for, once, after all was written."""
    done: list[str] = []
    pwrite, fdatasync = os.pwrite, os.fdatasync

    def write(descriptor: int, data: bytes, at: int) -> int:
        done.append("write")
        return pwrite(descriptor, data, at)

    def wait(descriptor: int) -> None:
        done.append("wait")
        fdatasync(descriptor)

    monkeypatch.setattr("os.pwrite", write)
    monkeypatch.setattr("os.fdatasync", wait)
    with new_spool(tmp_path) as spool:
        done.clear()
        spool.append([*samples(500), sample(501, clock=Clock.NTP)])
        assert [one for one in done if one == "wait"] == ["wait"]
        assert done.index("wait") > done.index("write")
