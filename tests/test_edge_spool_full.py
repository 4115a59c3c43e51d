"""A disk that is full before the spool's own bound is reached: old readings are thinned, and alarms are stored."""

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from edge_support import configuration, new_spool, sample, true_word, until
from test_edge_spool_bounds import assert_declared_truly, fill, measured
from test_edge_undated import NOW_MS, Machine

from pledgewatch_edge import undated as undated_module
from pledgewatch_edge.__main__ import main
from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.spool import segment as spool_segment
from pledgewatch_edge.spool import spool as spool_module
from pledgewatch_edge.spool import thinning as spool_thinning
from pledgewatch_edge.spool.errors import SpoolCorruptError, SpoolError
from pledgewatch_edge.spool.log import SEGMENT_BYTES
from pledgewatch_edge.spool.places import SMALL_BYTES
from pledgewatch_edge.spool.reserve import RESERVE_BYTES, RESERVE_FILE
from pledgewatch_edge.spool.spool import FULL_FOR_S, Limits, Spool
from pledgewatch_edge.undated import waiting_in
from pledgewatch_wire.reading import Channel, Clock

LIMITS = Limits(2**26, 60, 1e9)
BLOCK_BYTES = 4_096


class SmallDisk:
    """A disk that holds so many bytes under a folder."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, bytes_max: int, number: int = errno.ENOSPC) -> None:
        self._folder, self.bytes_max, self._number = folder, bytes_max, number
        for module in (spool_module, spool_segment, spool_thinning, undated_module):
            patch.setattr(module, "write_durably", self._bounded(module.write_durably))
        allocate = os.posix_fallocate

        def bounded(descriptor: int, offset: int, length: int) -> None:
            self._require(max(0, offset + length - os.fstat(descriptor).st_size))  # what it has, it has
            allocate(descriptor, offset, length)

        patch.setattr(os, "posix_fallocate", bounded)

    def fill(self) -> None:
        """It has no room for anything more."""
        self.bytes_max = sum(one.stat().st_size for one in self._folder.rglob("*") if one.is_file())

    def _bounded(self, do: Callable[..., None]) -> Callable[..., None]:
        def write(descriptor: int, data: bytes, at: int) -> None:
            self._require(len(data))
            do(descriptor, data, at)

        return write

    def _require(self, length: int) -> None:
        if sum(one.stat().st_size for one in self._folder.rglob("*") if one.is_file()) + length > self.bytes_max:
            raise OSError(self._number, os.strerror(self._number))


def stored(spool: Spool, some: Callable[[], Any]) -> None:
    """Append once: a disk that is found to be full has old readings thinned for it, then and there."""
    assert spool.append(some()).refused == 0


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> SmallDisk:
    """A disk in whose folder a spool finds room for half a megabyte."""
    return SmallDisk(monkeypatch, tmp_path, 500_000, getattr(request, "param", errno.ENOSPC))


def test_a_disk_that_is_full_is_a_bound(tmp_path: Path, full: SmallDisk) -> None:
    with new_spool(tmp_path, LIMITS) as spool:
        while spool.thinned_total == 0:
            assert (not spool.head_sequence // 2_000) or (tmp_path / RESERVE_FILE).stat().st_size == RESERVE_BYTES
            stored(spool, lambda: measured(200, spool.head_sequence + 1))
        assert spool.spooled_bytes > full.bytes_max // 2
        for _ in range(80):
            stored(spool, lambda: [sample(spool.head_sequence + 1)._replace(is_urgent=True)])
        for _ in range(60):
            stored(spool, lambda: measured(200, spool.head_sequence + 1))
        assert (spool.thinned_total > 1_000, spool.refused_total) == (True, 0)
        assert len(spool.read(0, 1_000_000, urgent=True)) >= 80
        assert_declared_truly(spool, tmp_path)
        assert spool.spooled_bytes <= full.bytes_max
    with new_spool(tmp_path, LIMITS) as spool:
        assert spool.epoch == 1


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], indirect=True)
def test_what_others_have_filled_is_thinned_with_the_room_that_is_kept(tmp_path: Path, full: SmallDisk) -> None:
    with new_spool(tmp_path, LIMITS) as spool:
        fill(spool, 15_000, at_once=200)
        full.fill()
        stored(spool, lambda: [sample(1)._replace(is_urgent=True)])
        assert spool.thinned_total > 0
        stored(spool, lambda: [sample(2)._replace(is_urgent=True)])
        assert (tmp_path / RESERVE_FILE).exists(), "it is taken again"


def test_once_there_is_room_again_the_bound_is_that_of_the_settings(tmp_path: Path, full: SmallDisk) -> None:
    now_s = 0.0
    with new_spool(tmp_path, LIMITS, monotonic=lambda: now_s) as spool:
        while spool.thinned_total == 0:
            fill(spool, 200, at_once=200)
        thinned = spool.thinned_total
        full.bytes_max = 2**26
        now_s = FULL_FOR_S + 1
        fill(spool, 2_000, at_once=200)
        assert spool.thinned_total == thinned


def test_where_nothing_can_be_thinned_samples_wait_as_before(tmp_path: Path, full: SmallDisk) -> None:
    with new_spool(tmp_path, LIMITS) as spool:
        spool.append([sample(1)])
        full.bytes_max = 0
        for _ in range(3):
            with pytest.raises(SpoolError):
                spool.append([sample(2)])
        assert (spool.head_sequence, spool.refused_total, spool.thinned_total) == (1, 0, 0)


def test_an_alarm_is_stored_with_the_room_that_is_kept_where_nothing_can_be_thinned(
    tmp_path: Path, full: SmallDisk
) -> None:
    with new_spool(tmp_path, LIMITS) as spool:
        assert (tmp_path / RESERVE_FILE).stat().st_size == RESERVE_BYTES, "from the beginning on"
        spool.append([sample(1)])
        full.bytes_max = sum(one.stat().st_size for one in tmp_path.rglob("*") if one.is_file())
        alarms = 0
        while (tmp_path / RESERVE_FILE).stat().st_size > BLOCK_BYTES:
            with pytest.raises(SpoolError):
                spool.append([sample(2)])
            assert spool.append([sample(3), sample(4 + alarms)._replace(is_urgent=True)]) == (1, 1, 0)
            alarms += 1
            assert (spool.head_sequence, spool.refused_total) == (1 + alarms, alarms)
            full.bytes_max = sum(one.stat().st_size for one in tmp_path.rglob("*") if one.is_file())  # of a block
        with pytest.raises(SpoolError):
            spool.append([sample(4 + alarms)._replace(is_urgent=True)])
        assert len(spool.read(0, 10_000, urgent=True)) == alarms >= RESERVE_BYTES // BLOCK_BYTES - 1, "a block for each"
        assert (tmp_path / RESERVE_FILE).stat().st_size == BLOCK_BYTES, "one is for the cloud's word"
        full.bytes_max = 500_000
        spool.append([sample(5)])
        assert (tmp_path / RESERVE_FILE).stat().st_size == RESERVE_BYTES, "all of it is taken again"


def test_what_is_committed_goes_also_where_the_disk_has_no_room_for_the_word(tmp_path: Path, full: SmallDisk) -> None:
    with new_spool(tmp_path, LIMITS) as spool:
        fill(spool, 3_000, at_once=200)
        full.bytes_max = sum(one.stat().st_size for one in tmp_path.rglob("*") if one.is_file())
        spool.forget(true_word(spool, 2_900))
        assert spool.spooled == 100
    with new_spool(tmp_path, LIMITS) as spool:
        assert (spool.epoch, spool.committed.contiguous) == (1, 2_900)


def use_up(full: SmallDisk, spool: Spool) -> None:
    """Others fill the disk, and alarms come until one has no room."""
    with contextlib.suppress(SpoolError):
        while True:
            full.fill()
            spool.append([sample(1)._replace(is_urgent=True)])


@pytest.fixture
def used_up(tmp_path: Path, full: SmallDisk) -> Iterator[Spool]:
    """A spool of several segments on a disk that others have filled; alarms have used the room that is kept."""
    spool = new_spool(tmp_path, LIMITS)
    fill(spool, 3_000, at_once=200)
    spool.keep_within(LIMITS.bytes_max, 1e-3, 0)  # nothing can be thinned
    use_up(full, spool)
    assert (spool.thinned_total, (tmp_path / RESERVE_FILE).stat().st_size) == (0, BLOCK_BYTES)
    yield spool
    spool.close()


def test_where_alarms_have_used_the_kept_room_what_is_committed_goes_nevertheless(
    tmp_path: Path, full: SmallDisk, used_up: Spool
) -> None:
    head = used_up.head_sequence
    used_up.forget(true_word(used_up, head))
    assert (used_up.spooled, len([*tmp_path.glob("spool/*.log")])) == (0, 1)
    assert (tmp_path / RESERVE_FILE).stat().st_size >= BLOCK_BYTES, "it is taken again, of what has gone"
    assert used_up.append([sample(1)._replace(is_urgent=True)]).accepted == 1
    used_up.close()
    with new_spool(tmp_path, LIMITS) as spool:
        assert (spool.epoch, spool.committed.contiguous) == (1, head)
    assert full.bytes_max < 500_000


def test_a_word_by_which_nothing_goes_takes_no_kept_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used_up: Spool
) -> None:
    def write(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", write)
        used_up.forget(true_word(used_up, 10))
    assert used_up.committed.contiguous == 10
    assert (tmp_path / RESERVE_FILE).stat().st_size == BLOCK_BYTES


@pytest.mark.parametrize("is_here", [True, False], ids=["sent again", "ended"])
def test_where_alarms_have_used_the_kept_room_a_cloud_that_was_put_back_is_gone_by(
    tmp_path: Path, full: SmallDisk, used_up: Spool, *, is_here: bool
) -> None:
    used_up.forget(true_word(used_up, 10 if is_here else 2_000))
    use_up(full, used_up)
    lacks = true_word(used_up, 5)
    assert used_up.forget(lacks).again is None
    full.bytes_max += 500
    used_up.append([sample(1)._replace(is_urgent=True)])
    full.fill()
    head = used_up.head_sequence
    proves = true_word(used_up, 5, ((head, head),))
    if is_here:
        assert used_up.forget(proves).again == (6, 10)
    else:
        with pytest.raises(SpoolCorruptError):
            used_up.forget(proves)
    used_up.close()
    full.bytes_max = 500_000
    with new_spool(tmp_path, LIMITS) as spool:
        assert (spool.epoch, spool.committed.contiguous) == ((1, 5) if is_here else (2, 0))


@pytest.mark.parametrize("starts_again", [False, True], ids=["", "and the agent is started again"])
def test_where_a_new_epoch_has_no_room_the_old_one_goes_on_though_the_cloud_was_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: SmallDisk, used_up: Spool, *, starts_again: bool
) -> None:
    """Ended, nothing would be measured or sent until somebody makes room."""
    used_up.forget(true_word(used_up, 2_000))
    use_up(full, used_up)
    gone, head = used_up._segments[0].head.first - 1, used_up.head_sequence
    used_up.forget(true_word(used_up, 5))
    full.bytes_max += 2_000
    used_up.append([sample(1)._replace(is_urgent=True)])
    full.fill()
    room = largest = max(one.stat().st_size for one in tmp_path.glob("spool/*.log"))
    monkeypatch.setattr("pledgewatch_edge.spool.places.room_in", lambda _: room)
    has = (gone + 1, gone + 10), (gone + 16, 2_450), (head + 1, head + 1)
    assert used_up.forget(true_word(used_up, 5, has)).again == (gone + 11, gone + 15)
    assert (used_up.epoch, used_up.committed) == (1, (gone + 10, has[1:])), "what it lacks and is here is sent again"
    if starts_again:
        used_up.close()
        used_up = new_spool(tmp_path, LIMITS)
    assert used_up.forget(true_word(used_up, 5, ((gone + 1, 2_450), has[2]))).again is None
    assert used_up._segments[0].head.first > gone + 1, "what it has makes room"
    assert used_up.append([sample(1)._replace(is_urgent=True)]).accepted == 1
    used_up.forget(true_word(used_up, 5))
    used_up.append([sample(1)._replace(is_urgent=True)])
    room = max(largest, SEGMENT_BYTES) + 2 * SMALL_BYTES
    with pytest.raises(SpoolCorruptError, match="it has been put back"):
        used_up.forget(true_word(used_up, 5, ((head + 3, head + 3),)))
    waiting = used_up.head_sequence - used_up._segments[0].head.first + 1
    used_up.close()
    full.bytes_max = 1_000_000
    with new_spool(tmp_path, LIMITS) as spool:
        assert (spool.epoch, spool.spooled) == (2, waiting)


def test_what_waited_for_its_date_is_numbered_on_a_full_disk(tmp_path: Path, full: SmallDisk) -> None:
    """What the hand-over notes first needs room as well."""
    machine = Machine()
    undated = machine.undated(tmp_path)
    undated.keep([machine.marked(number) for number in range(1, 501)])
    machine.clock.set_by_fix(NOW_MS)
    with new_spool(tmp_path, LIMITS) as spool:
        fill(spool, 15_000, at_once=200)
        full.fill()
        handed = undated.hand_over(spool)
        assert handed is not None
        assert (handed.appended.accepted, handed.appended.refused) == (500, 0)
        assert (spool.head_sequence, spool.thinned_total > 0) == (15_500, True)


async def test_what_waits_for_its_date_has_old_readings_thinned_for_it(tmp_path: Path, full: SmallDisk) -> None:
    """Else it would wait in memory, and all that is newer behind it."""
    machine = Machine()
    with new_spool(tmp_path, LIMITS) as spool:
        fill(spool, 15_000, at_once=200)
        undated = machine.undated(tmp_path)
        recorder = Recorder(spool, lambda: None, retry_s=0.01, undated=undated)
        full.fill()
        async with asyncio.TaskGroup() as group:
            group.create_task(recorder.run())
            await recorder.put(machine.marked(1).sample)
            await until(lambda: undated.count == 2, "it, and that readings were thinned for it, to wait on the disk")
            machine.clock.set_by_fix(NOW_MS)
            await recorder.put(sample(2))
            await until(lambda: spool.head_sequence == 15_003, "all of it to be numbered")
            await recorder.finish()
        first, told, second = spool.read(15_000, 9)
        assert (first.cells[1].value, second.cells[1].value) == (1, 2)
        assert (told.clock, first.clock) == (Clock.BACKDATED, Clock.BACKDATED)
        said, uncertain = told.cells
        assert (said.channel, uncertain.channel) == (Channel.THINNED_READINGS, Channel.CLOCK_UNCERTAINTY_MS)
        assert 0 < said.value <= spool.thinned_total
        assert spool.refused_total == 0
        assert_declared_truly(spool, tmp_path)


async def test_where_nothing_can_be_thinned_what_has_no_date_waits_in_memory(tmp_path: Path, full: SmallDisk) -> None:
    machine = Machine()
    with new_spool(tmp_path, LIMITS) as spool:
        spool.append([sample(1)])
        undated = machine.undated(tmp_path)
        recorder = Recorder(spool, lambda: None, retry_s=0.01, undated=undated)
        full.bytes_max = 0
        async with asyncio.TaskGroup() as group:
            group.create_task(recorder.run())
            await recorder.put(machine.marked(2).sample)
            await until(lambda: recorder._disk.is_lost, "the disk to refuse it")
            full.bytes_max = 500_000
            await until(lambda: undated.count == 1, "it to be stored")
            await recorder.finish()
        assert (spool.head_sequence, spool.refused_total, spool.thinned_total) == (1, 0, 0)


@pytest.mark.parametrize("is_on_disk", [True, False], ids=["on the disk", "in memory"])
async def test_where_nothing_can_be_thinned_alarms_are_stored_whatever_waits_for_its_date(
    tmp_path: Path, full: SmallDisk, *, is_on_disk: bool
) -> None:
    machine = Machine()
    with new_spool(tmp_path, LIMITS) as spool:
        spool.append([sample(1)])
        undated = machine.undated(tmp_path)
        recorder = Recorder(spool, lambda: None, retry_s=0.01, undated=undated)
        if is_on_disk:
            undated.keep([machine.marked(number) for number in range(2, 402)])
        full.fill()
        assert (tmp_path / RESERVE_FILE).stat().st_size == RESERVE_BYTES
        async with asyncio.TaskGroup() as group:
            group.create_task(recorder.run())
            if not is_on_disk:
                await recorder.put(machine.marked(2).sample)
                await until(lambda: recorder._disk.is_lost, "the disk to refuse it")
            else:
                machine.clock.set_by_fix(NOW_MS)
            await recorder.put(sample(1_000)._replace(is_urgent=True))
            await until(lambda: spool.head_sequence > 1, "the alarm to be stored")
            await recorder.finish()
        assert 1_000 in [one.cells[1].value for one in spool.read(0, 1_000)]
        assert spool.refused_total == 0


async def test_an_alarm_of_this_boot_is_put_beside_nothing_of_another(tmp_path: Path, full: SmallDisk) -> None:
    """What waits there has no date for good, and nothing that is beside it would."""
    machine = Machine()
    with new_spool(tmp_path, LIMITS) as spool:
        spool.append([sample(1)])
        machine.undated(tmp_path, boot="before").keep([machine.marked(number) for number in range(2, 202)])
        machine = Machine()
        recorder = Recorder(spool, lambda: None, retry_s=0.01, undated=machine.undated(tmp_path))
        full.fill()
        async with asyncio.TaskGroup() as group:
            group.create_task(recorder.run())
            await recorder.put(machine.marked(1_000, is_urgent=True).sample)
            await until(lambda: recorder._disk.is_lost, "the disk to refuse it")
            full.bytes_max = 500_000
            await until(lambda: spool.head_sequence == 201, "what waited to be numbered")
            machine.clock.set_by_fix(NOW_MS)
            await until(lambda: spool.head_sequence == 202, "the alarm to be numbered")
            await recorder.finish()
        assert [one.clock for one in spool.read(200, 9)] == [Clock.UNSET, Clock.BACKDATED]


async def test_where_nothing_can_be_thinned_an_alarm_without_a_date_is_stored(tmp_path: Path, full: SmallDisk) -> None:
    machine = Machine()
    with new_spool(tmp_path, LIMITS) as spool:
        spool.append([sample(1)])
        undated = machine.undated(tmp_path)
        recorder = Recorder(spool, lambda: None, retry_s=0.01, undated=undated)
        full.fill()
        async with asyncio.TaskGroup() as group:
            group.create_task(recorder.run())
            await recorder.put(machine.marked(2).sample)
            await until(lambda: recorder._disk.is_lost, "the disk to refuse it")
            await recorder.put(machine.marked(3, is_urgent=True).sample)
            await until(lambda: undated.count == 2, "the alarm, and what there is room for then, to be stored")
            await recorder.finish()
        assert waiting_in(tmp_path) == 2, "on the disk"
        assert (spool.head_sequence, spool.refused_total) == (1, 0)


@pytest.mark.parametrize(("whole_mib", "is_small"), [(127, True), (128, False), (0, False)])
def test_a_partition_that_has_no_room_for_two_spools_is_said_by_check(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    whole_mib: int,
    *,
    is_small: bool,
) -> None:
    config = configuration(tmp_path, interval_s=1.0)
    asked: list[Path] = []

    def statvfs(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(f_blocks=whole_mib * 256, f_frsize=4_096)

    monkeypatch.setattr("pledgewatch_edge.spool.reserve.os.statvfs", statvfs)
    assert main(["run", "--config", str(config), "--check"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{config}: can be used\n"
    doubt = f"{config}: max_mib = 64 is more than half of the 127 MiB that {tmp_path} lies on: make it smaller\n"
    assert shown.err == (doubt if is_small else "")
    assert asked == [tmp_path], "the state folder is not there yet"
