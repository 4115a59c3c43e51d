"""The spool: what was appended is there, whatever happens, and leaves only on `committed`."""

import contextlib
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from edge_support import DEVICE, WIDE, new_spool, sample, samples
from hypothesis import given, settings
from hypothesis import strategies as st

from pledgewatch_edge.identity import StateError, load_or_create_key
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool import Appended, Limits, Spool, SpoolCorruptError, SpoolError, pack, unpack
from pledgewatch_edge.spool_file import EVIDENCE_KEPT, open_spool, status
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Checkpoint, Committed
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality, Reading

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


@given(st.integers(1, 2**53), st.integers(-(2**47), 2**47), st.sampled_from(Clock), cells)
def test_a_stored_reading_comes_back(sequence: int, time_ms: int, clock: Clock, row: tuple[Cell, ...]) -> None:
    reading = Reading(sequence, time_ms, clock, row)
    assert unpack(pack(reading)) == reading


@given(st.binary(max_size=200))
def test_bytes_that_were_never_stored_are_refused(data: bytes) -> None:
    with pytest.raises(SpoolCorruptError):
        unpack(data)


def test_numbers_chain_and_checkpoints(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.head_sequence, spool.spooled) == (1, 0, 0)
        for start in range(1, 151, 10):
            assert spool.append(samples(10, start)) == Appended(10, 0)
        readings = spool.read(0, 1_000)
        assert readings == [Reading(number, *sample(number)) for number in range(1, 151)]
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
    with new_spool(tmp_path, Limits(1_000, 60, 300), monotonic=lambda: now) as spool:
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
        spool.forget(Committed(1, 65))
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.head_sequence, spool.spooled, spool.committed_contiguous) == (1, 70, 5, 65)
        spool.append(samples(60, 71))
        assert spool.chain_hash == chained([Reading(number, *sample(number)) for number in range(1, 131)], 1)
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


def damage_header(folder: Path) -> None:
    data = bytearray((folder / "spool.db").read_bytes())
    data[:100] = b"\xa5" * 100
    (folder / "spool.db").write_bytes(data)


def damage_by_truncation(folder: Path) -> None:
    data = (folder / "spool.db").read_bytes()
    (folder / "spool.db").write_bytes(data[: len(data) // 2 - 100])


def damage_page(folder: Path) -> None:
    data = bytearray((folder / "spool.db").read_bytes())
    data[-4096:] = b"\0" * 4096
    data[4096 * 2 : 4096 * 2 + 50] = b"\xff" * 50
    (folder / "spool.db").write_bytes(data)


def damage_one_bit(folder: Path) -> None:
    stored = pack(Reading(500, *sample(500)))
    data = bytearray((folder / "spool.db").read_bytes())
    place = data.index(stored)
    data[place + 30] ^= 4
    (folder / "spool.db").write_bytes(data)


def replace_by_another_database(folder: Path) -> None:
    (folder / "spool.db").unlink()
    with sqlite3.connect(folder / "spool.db") as connection:
        connection.execute("CREATE TABLE something (else_ TEXT)")
    connection.close()


def go_back_in_time(folder: Path) -> None:
    connection = sqlite3.connect(folder / "spool.db")
    connection.execute("DELETE FROM readings WHERE sequence > 900")
    connection.execute("UPDATE meta SET head_sequence = 900")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("damage", "rescued"),
    [
        (damage_header, 0),
        (damage_by_truncation, 0),
        (damage_page, 947),
        (damage_one_bit, 999),
        (replace_by_another_database, 0),
        (go_back_in_time, 900),
    ],
)
def test_a_broken_spool_is_moved_aside_and_begins_a_new_epoch(
    tmp_path: Path,
    damage: Callable[[Path], None],
    rescued: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(1_000))
    damage(tmp_path)
    before = (tmp_path / "spool.db").read_bytes()
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.head_sequence, spool.spooled) == (2, rescued, rescued)
        assert spool.measured_total == 1_000
        whole = {one.measured_at_ms: one for one in spool.read(0, 1_000)}
        assert set(whole) <= {one.measured_at_ms for one in samples(1_000)}
        spool.append(samples(3))
        assert spool.measured_total == 1_003
        assert spool.chain_hash == chained(spool.read(0, 2_000), 2)
    assert (tmp_path / "spool.db.broken-1").read_bytes() == before
    assert [record.levelname for record in caplog.records if "spool broken" in record.getMessage()] == ["ERROR"]


def test_a_lost_or_empty_spool_begins_a_new_epoch(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(5))
    (tmp_path / "spool.db").unlink()
    with new_spool(tmp_path) as spool:
        assert spool.epoch == 2
    (tmp_path / "spool.db").write_bytes(b"")
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.measured_total) == (3, 5)


def test_the_evidence_is_bounded(tmp_path: Path) -> None:
    for _ in range(EVIDENCE_KEPT + 3):
        (tmp_path / "spool.db").write_bytes(b"not a database, and long enough to look like one" * 20)
        new_spool(tmp_path).close()
    kept = sorted(path.name for path in tmp_path.glob("spool.db.broken-*"))
    assert kept == [f"spool.db.broken-{number}" for number in range(4, 8)]


def test_the_spool_of_another_device_is_not_touched(tmp_path: Path) -> None:
    new_spool(tmp_path).close()
    with pytest.raises(StateError, match="another state_folder"):
        open_spool(tmp_path, "cont-9", load_or_create_key(tmp_path), WIDE)
    with new_spool(tmp_path) as spool:
        assert spool.epoch == 1


def test_forget_takes_what_is_covered_and_nothing_else(tmp_path: Path) -> None:
    with new_spool(tmp_path, Limits(1_000, 10, 1e9)) as spool:
        spool.append(samples(50))
        assert spool.forget(Committed(1, 12, ((20, 25), (31, 31)))).readings == 12 + 6 + 1
        left = [reading.sequence for reading in spool.read(0, 100)]
        assert left == [*range(13, 20), *range(26, 31), *range(32, 51)]
        assert spool.spooled == len(left)
        assert [one.sequence for one in spool.checkpoints(1, 50)] == [20, 30, 40, 50]
        assert spool.forget(Committed(1, 5)).readings == 0  # an older word, come late
        assert spool.committed_contiguous == 12
        assert spool.forget(Committed(1, 40)).readings == 7 + 5 + 9
        assert [one.sequence for one in spool.checkpoints(1, 50)] == [50]
        assert spool.forget(Committed(1, 50)).readings == 10
        assert spool.checkpoints(1, 60) == []


def test_a_late_checkpoint_stays_until_it_has_travelled(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(5))
        late = spool.checkpoint()
        spool.forget(Committed(1, 5))
        assert spool.checkpoints(6, 6) == [late]
        spool.append(samples(1, 6))
        spool.forget(Committed(1, 6))
        assert spool.checkpoints(1, 10) == []


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
        assert (spool.spooled, spool.committed_contiguous) == (10, 0)


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
    assert (tmp_path / "copy" / "spool.db.broken-1").exists()


def test_a_word_that_is_about_what_is_here_is_taken_with_its_mark_or_without(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(30))
        assert spool.forget(true_word(spool, 12)).readings == 12
        assert spool.forget(Committed(1, 15, (), b"")).readings == 3
        leaf = chain.leaf(spool.read(19, 1)[0])
        assert spool.forget(Committed(1, 15, ((18, 20),), b"\xff" * 8, (chain.mark(leaf),))).readings == 3
        # What was let go before is not there to be compared.
        assert spool.forget(Committed(1, 20, ((20, 20),), b"\xff" * 8, (b"\xff" * 8,))).readings == 2


def test_a_range_of_another_life_stops_the_spool_too(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(30))
        with pytest.raises(SpoolCorruptError, match="the cloud has another reading 21: the counter has been put back"):
            spool.forget(Committed(1, 0, ((11, 12), (18, 21)), b"", (b"", chain.mark(b"\xff" * 32))))
        assert spool.spooled == 30


def test_a_spool_of_the_format_before_is_taken_up(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
    with contextlib.closing(sqlite3.connect(tmp_path / "spool.db")) as connection:
        connection.executescript(
            "ALTER TABLE readings DROP COLUMN mark; ALTER TABLE meta DROP COLUMN ended; UPDATE meta SET format = 1"
        )
    assert status(tmp_path)["spooled"] == 10
    for _ in range(2):
        with new_spool(tmp_path) as spool:
            assert (spool.epoch, spool.spooled) == (1, 10)
    with new_spool(tmp_path) as spool:
        assert spool.forget(Committed(1, 5, (), b"\xff" * 8)).readings == 5  # nothing to compare it with
        spool.append(samples(5, 11))
        assert spool.forget(true_word(spool, 15)).readings == 10


def copy_of(folder: Path, other: Path) -> None:
    """A state folder as it would come from a backup: SQLite's own copy of the spool, and the other files."""
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("spool.db*"))
    with (
        contextlib.closing(sqlite3.connect(folder / "spool.db")) as here,
        contextlib.closing(sqlite3.connect(other / "spool.db")) as there,
    ):
        here.backup(there)


def true_word(spool: Spool, contiguous: int) -> Committed:
    """What a cloud says that has the spool's readings up to a number."""
    with contextlib.closing(sqlite3.connect(spool._path)) as connection:
        (mark,) = connection.execute("SELECT mark FROM readings WHERE sequence = ?", (contiguous,)).fetchone()
    return Committed(spool.epoch, contiguous, (), mark)


def test_a_range_that_somebody_else_put_there_does_not_hide_the_rest(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
        assert spool.forget(Committed(1, 4, ((6, 7), (1_000_000, 1_000_000)))).readings == 6
        assert (spool.spooled, spool.committed_contiguous) == (4, 4)


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
    with new_spool(tmp_path_factory.mktemp("spool"), Limits(1_000, 7, 1e9)) as spool:
        for step in steps:
            if isinstance(step, int):
                spool.append(samples(step, spool.head_sequence + 1))
                expected |= set(range(spool.head_sequence - step + 1, spool.head_sequence + 1))
                continue
            assert isinstance(step, tuple)
            contiguous, ranges = min(step[0], spool.head_sequence), step[1]
            said = [(first, first + more) for first, more in ranges]
            spool.forget(Committed(1, contiguous, tuple(said)))
            believed = Committed(1, contiguous, tuple(one for one in said if one[1] <= spool.head_sequence))
            expected = {sequence for sequence in expected if not believed.covers(sequence)}
        assert [reading.sequence for reading in spool.read(0, 1_000)] == sorted(expected)
        assert spool.spooled == len(expected)


def test_at_the_limit_the_newest_is_refused(tmp_path: Path) -> None:
    with new_spool(tmp_path, Limits(10, 60, 1e9)) as spool:
        assert spool.append(samples(8)) == Appended(8, 0)
        assert spool.append(samples(5, 9)) == Appended(2, 3)
        assert spool.append(samples(1, 11)) == Appended(0, 1)
        assert (spool.head_sequence, spool.refused_total, spool.measured_total) == (10, 4, 10)
        spool.forget(Committed(1, 1))
        assert spool.append(samples(2, 11)) == Appended(1, 1)
    with new_spool(tmp_path) as spool:
        assert (spool.head_sequence, spool.refused_total) == (11, 5)


def test_a_disk_that_refuses_changes_nothing(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
        before = spool.chain_hash
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "spool.db-wal").stat().st_size, hard))
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
        other = sqlite3.connect(tmp_path / "spool.db")
        other.execute("UPDATE readings SET reading = x'00' || substr(reading, 2) WHERE sequence = 4")
        other.execute("UPDATE readings SET reading = x'0102' WHERE sequence = 5")
        other.commit()
        other.close()
        with pytest.raises(SpoolCorruptError):
            spool.read(4, 10)


def test_status_reads_beside_a_running_agent(tmp_path: Path) -> None:
    assert status(tmp_path)["head_sequence"] == 0
    with new_spool(tmp_path, Limits(20, 10, 1e9)) as spool:
        spool.append(samples(25))
        spool.forget(Committed(1, 12))
        expected = {
            "epoch": 1,
            "measured": 20,
            "head_sequence": 20,
            "spooled": 8,
            "refused": 5,
            "committed_contiguous": 12,
            "signed_sequence": 20,
            "oldest_spooled": 13,
        }
        assert json.loads(json.dumps(status(tmp_path))) == expected
        spool.append([Sample(1, Clock.UNSET, (Cell(Channel.TEMPERATURE_MC, 1),))])
    assert status(tmp_path)["head_sequence"] == 21


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_frees_itself_once_the_cloud_has_spoken(tmp_path: Path) -> None:
    """What is committed leaves even a disk without a byte of room, and new readings have room again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("needs a kernel that lets tests mount a small disk")
    try:
        with new_spool(disk) as spool:
            try:
                for start in range(0, 100_000, 50):
                    spool.append(samples(50, start + 1))
            except SpoolError:
                head = spool.head_sequence
            with (disk / "filler").open("wb") as filler, contextlib.suppress(OSError):
                filler.write(b"x" * 10**6)
            assert spool.forget(Committed(1, head)).readings == head
            spool.append(samples(10, head + 1))
            assert (spool.spooled, spool.committed_contiguous) == (10, head)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_append_waits_for_the_disk(tmp_path: Path) -> None:
    """synchronous = FULL (2) in write-ahead mode: what append returned from survives a power cut."""
    with new_spool(tmp_path) as spool:
        assert spool._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert spool._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
