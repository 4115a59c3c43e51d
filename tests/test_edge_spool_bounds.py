"""The spool at its bounds: what is thinned, by which rule, and what is declared; and files that are torn."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from edge_support import DEVICE, TIME_MS, new_spool, sample, true_word

from pledgewatch_edge.identity import load_or_create_key
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool.errors import SpoolError
from pledgewatch_edge.spool.log import SEGMENT_READINGS
from pledgewatch_edge.spool.spool import SECOND_TURN, Limits, Spool
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Committed, Thinned
from pledgewatch_wire.reading import Cell, Channel, Clock, Reading

MINUTE_MS = 60_000
ROUNDS = int(os.environ.get("PLEDGEWATCH_TORN_ROUNDS", "100"))
"""scripts/laws draws a thousand."""


def measured(count: int, start: int = 1, *, step_ms: int = 5 * MINUTE_MS, urgent_every: int = 0) -> list[Sample]:
    """Readings that scatter as real ones do, `step_ms` apart, one in so many urgent."""
    dice = random.Random(start)
    return [
        Sample(
            TIME_MS + number * step_ms,
            Clock.GPS,
            (
                Cell(Channel.LATITUDE_E7, 337_000_000 + dice.randrange(800)),
                Cell(Channel.LONGITUDE_E7, -1_182_000_000 + dice.randrange(800)),
                Cell(Channel.TEMPERATURE_MC, 4_000 + 63 * dice.randrange(16)),
                Cell(Channel.HUMIDITY_CPERCENT, 6_000 + dice.randrange(80)),
            ),
            is_urgent=bool(urgent_every) and number % urgent_every == 0,
        )
        for number in range(start, start + count)
    ]


def fill(spool: Spool, count: int, *, at_once: int = 64, urgent_every: int = 0) -> None:
    """So many readings more."""
    end = spool.head_sequence + count
    for start in range(spool.head_sequence + 1, end + 1, at_once):
        spool.append(measured(min(at_once, end - start + 1), start, urgent_every=urgent_every))


def all_of(spool: Spool) -> list[Reading]:
    """Every reading that is left."""
    return spool.read(0, 10_000_000)


def declared(spool: Spool) -> list[Thinned]:
    """Everything that is said to be dropped."""
    return spool.thinned(1, spool.head_sequence)


def assert_declared_truly(spool: Spool, folder: Path) -> None:
    """What is left and what is declared are every reading, once; signatures, hashes and digests are right."""
    left = {one.sequence: one for one in all_of(spool)}
    gone: set[int] = set()
    key = load_or_create_key(folder).public_key()
    for one in declared(spool):
        digest = chain.kept_digest(chain.leaf(left[sequence]) for sequence in one.kept)
        text = chain.thinned_text(DEVICE, spool.epoch, one.first, one.last, len(one.kept), one.chain_hash, digest)
        assert one.kept_digest == digest
        assert chain.verifies_text(key, text, one.signature)
        gone |= set(range(one.first, one.last + 1)) - set(one.kept)
    assert not gone & left.keys()
    assert gone | left.keys() == set(range(1, spool.head_sequence + 1))
    assert spool.spooled == len(left)


def test_a_year_of_five_minutes_fits_whole(tmp_path: Path) -> None:
    with new_spool(tmp_path, Limits(64 * 2**20, 288, 1e9)) as spool:
        fill(spool, 105_120, at_once=48)
        assert (spool.spooled, spool.thinned_total, spool.refused_total) == (105_120, 0, 0)
        assert spool.spooled_bytes < 4 * 2**20
    with new_spool(tmp_path) as spool:
        assert spool.spooled == 105_120


def test_at_the_bound_old_readings_are_thinned_by_the_rule(tmp_path: Path) -> None:
    bound = 200_000
    with new_spool(tmp_path, Limits(bound, 60, 1e9)) as spool:
        fill(spool, 20_000, urgent_every=500)
        assert spool.spooled_bytes <= bound
        assert spool.refused_total == 0
        assert spool.thinned_total == 20_000 - spool.spooled
        assert_declared_truly(spool, tmp_path)
        left = [one.sequence for one in all_of(spool)]
        assert set(range(500, 20_001, 500)) <= set(left), "what is urgent stays"
        assert left[-SEGMENT_READINGS:] == list(range(20_001 - SEGMENT_READINGS, 20_001)), "what is new stays"
        (first, *_) = declared(spool)
        hours = [(TIME_MS + sequence * 5 * MINUTE_MS) // 3_600_000 for sequence in first.kept]
        assert len(hours) - len(set(hours)) <= 3, "one an hour, what is urgent and the last beside"
        assert len(set(hours)) >= SEGMENT_READINGS // 12
    with new_spool(tmp_path, Limits(bound, 60, 1e9)) as spool:
        assert_declared_truly(spool, tmp_path)
        fill(spool, 60_000, urgent_every=500)
        assert spool.spooled_bytes <= bound
        assert_declared_truly(spool, tmp_path)
        assert any(len(one.kept) < SEGMENT_READINGS // 12 for one in declared(spool)), "a second turn"
        assert SECOND_TURN == 24


def test_each_sensor_keeps_the_first_of_each_hour(tmp_path: Path) -> None:
    with new_spool(tmp_path, Limits(65_536 + 16_000, 60, 1e9)) as spool:
        for start in range(0, 2_048, 32):
            batch: list[Sample] = []
            for one in measured(32, start, step_ms=MINUTE_MS):
                later = one._replace(measured_at_ms=one.measured_at_ms + 1_000, cells=one.cells[2:])
                batch += [one._replace(cells=one.cells[:2]), later]
            spool.append(batch)
        assert_declared_truly(spool, tmp_path)
        (first, *_) = declared(spool)
        left = [one for one in all_of(spool) if one.sequence <= first.last]
        for channel in (Channel.LATITUDE_E7, Channel.TEMPERATURE_MC):
            hours = {one.measured_at_ms // 3_600_000 for one in left if one.cell(channel) is not None}
            assert len(hours) == SEGMENT_READINGS // 120 + 1, f"{channel.name}: each hour that the segment touches"


def test_where_nothing_is_left_to_be_thinned_the_newest_is_refused_and_what_is_urgent_is_kept(tmp_path: Path) -> None:
    with new_spool(tmp_path, Limits(20_000, 60, 1e9)) as spool:
        for _ in range(4):
            fill(spool, 1_000, urgent_every=1)
        head = spool.head_sequence
        assert spool.spooled_bytes >= 20_000
        assert spool.append(measured(10, head + 1)).refused == 10
        assert spool.head_sequence == head
        with new_spool(tmp_path / "other", Limits(8_000, 60, 1e9)) as other:
            fill(other, 200)
            while other.spooled_bytes < 8_000:
                fill(other, 50, urgent_every=1)
            before = other.refused_total
            assert other.append([sample(1), sample(2)._replace(is_urgent=True)]) == (1, 1, 0)
            assert other.refused_total == before + 1
        assert (spool.thinned_total, declared(spool)) == (0, [])


def test_what_is_too_old_goes_whole_but_what_is_urgent(tmp_path: Path) -> None:
    days = 30
    with new_spool(tmp_path, Limits(2**26, 60, 1e9, age_s=days * 86_400)) as spool:
        fill(spool, 17_000, urgent_every=1_000)
        left = [one.sequence for one in all_of(spool)]
        first_young = 17_000 - days * 288
        (told,) = declared(spool)
        assert first_young - SEGMENT_READINGS < told.last <= first_young
        old = [one for one in left if one < first_young and one <= told.last and one % 1_000]
        assert old == [told.last], "of what is too old the one with which it is told"
        assert set(range(1_000, 17_001, 1_000)) <= set(left)
        assert set(range(first_young, 17_001)) <= set(left)
        assert_declared_truly(spool, tmp_path)


@pytest.mark.parametrize("again", [False, True], ids=["running", "opened again"])
def test_one_wrong_moment_and_a_clock_that_was_never_set_age_nothing(tmp_path: Path, again: bool) -> None:
    limits = Limits(2**26, 60, 1e9, age_s=10 * 86_400)
    unset = [one._replace(clock=Clock.UNSET, measured_at_ms=number) for number, one in enumerate(measured(1_100))]
    wild = measured(1)[0]._replace(measured_at_ms=TIME_MS + 100 * 365 * 86_400_000)
    spool = new_spool(tmp_path, limits)
    spool.append(unset)
    fill(spool, 2_200)
    if again:
        spool.close()
        spool = new_spool(tmp_path, limits)
    with spool:
        for _ in range(5):
            spool.append([wild])
            fill(spool, 10)
        assert (spool.thinned_total, declared(spool)) == (0, [])
        assert spool.spooled == 1_100 + 2_200 + 5 + 50


def test_a_batch_that_the_disk_does_not_take_is_not_there_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large it is: who is told that nothing has changed hands all of it in again."""
    with new_spool(tmp_path) as spool:
        fill(spool, 10)
        writes = iter([True, False])
        pwrite = os.pwrite

        def write(descriptor: int, data: bytes, at: int) -> int:
            if next(writes, False):
                return pwrite(descriptor, data, at)
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr("os.pwrite", write)
        some = measured(3_000, 11)
        first = spool.append(some).accepted
        with pytest.raises(SpoolError):
            spool.append(some)
        monkeypatch.undo()
        assert (first, spool.head_sequence) == (3_000, 3_010)
        assert spool.append(measured(3_000, 3_011)).accepted == 3_000
        assert [one.sequence for one in all_of(spool)] == list(range(1, 6_011))


def test_a_word_of_the_cloud_about_what_is_thinned_is_taken(tmp_path: Path) -> None:
    with new_spool(tmp_path, Limits(100_000, 60, 1e9)) as spool:
        fill(spool, 20_000)
        (first, second, *_) = declared(spool)
        kept = len(first.kept)
        assert spool.forget(Committed(1, first.last, (), chain.mark(first.chain_hash))).readings == kept
        assert declared(spool)[0] == second, "the segment is gone"
        ranges = ((second.kept[0], second.kept[0]), (second.kept[1], second.kept[1]))
        assert spool.forget(true_word(spool, first.last, ranges)).readings == 2
        assert spool.spooled == len(all_of(spool))
        fill(spool, 20_000)
        assert spool.spooled == len(all_of(spool))


def test_a_word_about_what_was_dropped_is_not_believed_before_the_cloud_has_heard_of_it(tmp_path: Path) -> None:
    """A mark of it cannot be compared: it may be of another life of this counter, put back from an older copy."""
    with new_spool(tmp_path, Limits(100_000, 60, 1e9)) as spool:
        fill(spool, 20_000)
        first, second, *_ = declared(spool)
        before = spool.spooled
        gone, also_gone = (min(set(range(one.first, one.last)) - set(one.kept)) for one in (first, second))
        for foreign in (
            Committed(1, gone, (), b"\xee" * 8),
            Committed(1, 0, ((second.first, also_gone),), b"", (b"\xee" * 8,)),
        ):
            assert spool.forget(foreign) == (0, None, None)
            assert (spool.spooled, spool.committed.total) == (before, 0)
        # The hash before what was dropped is known, and so are marks of what stays; all is once the stretch is told.
        running = chain.extend(chain.genesis(DEVICE, 1), chain.leaf(spool.read(0, 1)[0]))
        assert first.kept[:2] != (1, 2)
        assert spool.forget(Committed(1, 1, (), chain.mark(running))).readings == 1
        leaf = chain.mark(chain.leaf(spool.read(second.kept[0] - 1, 1)[0]))
        word = Committed(1, gone, ((second.kept[0], second.kept[0]),), b"\xee" * 8, (leaf,))
        assert spool.forget(word).readings == 1
        assert spool.forget(Committed(1, first.last, (), chain.mark(first.chain_hash))).readings == len(first.kept) - 1


def no_folder_to_disk(descriptor: int) -> None:
    raise OSError(5, os.strerror(5))


def test_a_folder_that_the_disk_does_not_take_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thinned segments are there, the disk may not have them yet: nothing is broken, lost, or counted twice."""
    with new_spool(tmp_path, Limits(200_000, 60, 1e9)) as spool:
        while spool.spooled_bytes + 65_536 < 195_000:
            fill(spool, 64)
        failures = 0
        for _ in range(40):
            head = spool.head_sequence
            some = measured(64, head + 1)
            monkeypatch.setattr("os.fsync", no_folder_to_disk)
            for _ in range(3):
                try:
                    appended = spool.append(some)
                except SpoolError:
                    failures += 1
                    assert spool.head_sequence == head
                    continue
                break
            else:
                assert_declared_truly(spool, tmp_path)
                thinned = spool.thinned_total
                monkeypatch.undo()
                appended = spool.append(some)
                assert appended.thinned == spool.thinned_total - thinned
            monkeypatch.undo()
            assert appended.accepted == 64
        assert failures > 3
        assert spool.thinned_total
        assert spool.head_sequence - spool.thinned_total == spool.spooled
        assert_declared_truly(spool, tmp_path)
        left = all_of(spool)
    with new_spool(tmp_path, Limits(200_000, 60, 1e9)) as spool:
        assert (spool.epoch, all_of(spool)) == (1, left)


def test_a_turn_of_thinning_that_the_disk_refused_is_made_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_spool(tmp_path, Limits(200_000, 60, 1e9)) as spool:
        while spool.spooled_bytes + 65_536 < 200_000:
            fill(spool, 64)

        def no_room(descriptor: int, data: bytes, at: int) -> int:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr("os.pwrite", no_room)
        with pytest.raises(SpoolError):
            spool.append(measured(64, spool.head_sequence + 1))
        monkeypatch.undo()
        fill(spool, 64)
        (first,) = declared(spool)
        assert (first.first, first.last) == (1, SEGMENT_READINGS)
        assert len(first.kept) > SEGMENT_READINGS // 24, "one an hour, not one a day"


def test_what_becomes_one_segment_goes_only_once_the_disk_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(2**26, 60, 1e9, age_s=30 * 86_400)
    with new_spool(tmp_path, limits) as spool:
        while spool.thinned_total == 0:
            fill(spool, 64)
        fill(spool, 1_024 - 128)
        monkeypatch.setattr("os.fsync", no_folder_to_disk)
        while True:
            try:
                fill(spool, 64)
            except SpoolError:
                if len(declared(spool)) == 1 and declared(spool)[0].last > 1_100:
                    break
                monkeypatch.undo()
                fill(spool, 64)
                monkeypatch.setattr("os.fsync", no_folder_to_disk)
        files = sorted((tmp_path / "spool").glob("*.log"))
        assert_declared_truly(spool, tmp_path)
        shutil.copytree(tmp_path, tmp_path.with_name("cut"))
        left = all_of(spool)
        monkeypatch.undo()
        fill(spool, 64)
        assert len(sorted((tmp_path / "spool").glob("*.log"))) < len(files)
        assert_declared_truly(spool, tmp_path)
    with new_spool(tmp_path.with_name("cut"), limits) as spool:
        assert (spool.epoch, all_of(spool)) == (1, left)


WRITER = """
import random, sys
from pathlib import Path
from edge_support import new_spool
from test_edge_spool_bounds import measured
from pledgewatch_edge.spool.spool import Limits
spool = new_spool(Path(sys.argv[1]), Limits(150_000, 20, 1e9))
dice = random.Random(int(sys.argv[2]))
while True:
    count = dice.randrange(1, 60)
    spool.append(measured(count, spool.head_sequence + 1, urgent_every=97))
    print(spool.epoch, spool.head_sequence, flush=True)
"""


def test_torn_and_zeroed_files_lose_what_was_hit_and_never_repeat_a_number(tmp_path: Path) -> None:
    """After kill -9, again and again: the log is cut or zeroed at a place that chance says, and opened again.

    Everything outside of the damage that had been written is there, nothing is that was not, and no number that the
    writer ever said is given to another reading.
    """
    folder = tmp_path / "state"
    folder.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), "1"],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(str(Path(__file__).parent / one) for one in ("support", "."))},
    )
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(70)]
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.read().splitlines()
    child.wait()
    child.stdout.close()
    _, said = map(int, lines[-1].split())
    limits = Limits(150_000, 20, 1e9)
    with new_spool(folder, limits) as spool:
        assert (spool.epoch, spool.head_sequence >= said) == (1, True)
        before = {one.measured_at_ms: one for one in all_of(spool)}
        head = spool.head_sequence
    dice = random.Random(20_261_127)
    broken = 0
    for number in range(ROUNDS):
        spoilt = tmp_path / "spoilt"
        shutil.copytree(folder, spoilt)
        files = sorted((spoilt / "spool").glob("*.log"))
        victim = dice.choice(files)
        data = bytearray(victim.read_bytes())
        place = dice.randrange(len(data))
        if dice.random() < 0.5:
            data = data[:place]
            hit = len(victim.read_bytes()) - place
        else:
            hit = min(dice.randrange(1, 4_096), len(data) - place)
            data[place : place + hit] = bytes(hit)
        victim.write_bytes(data)
        with new_spool(spoilt, limits) as spool:
            after = {one.measured_at_ms: one for one in all_of(spool)}
            assert after.keys() <= before.keys(), f"round {number}: something was made up"
            assert all(after[at_ms].cells == before[at_ms].cells for at_ms in after), f"round {number}"
            lost = len(before) - len(after)
            assert lost <= SEGMENT_READINGS + 60, f"round {number}: {lost} lost where {hit} bytes were hit"
            if spool.epoch == 1:
                assert spool.head_sequence == head, f"round {number}: numbers would be given again"
            else:
                broken += 1
                assert spool.epoch == 2
            assert spool.append([sample(1)]).accepted == 1
        shutil.rmtree(spoilt)
    assert broken > ROUNDS // 4


@pytest.mark.parametrize("hold_s", [0.0, 3_600.0])
def test_bytes_are_counted_as_they_lie_on_the_disk(tmp_path: Path, hold_s: float) -> None:
    with new_spool(tmp_path) as spool:
        fill(spool, 5_000, at_once=1 if not hold_s else 500)
        files = sum(path.stat().st_size for path in (tmp_path / "spool").iterdir())
        assert spool.spooled_bytes == files
        assert files / 5_000 < (75 if not hold_s else 12)
