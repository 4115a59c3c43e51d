"""What a card has lost is told, and that once: frames that are broken, sectors that cannot be read, and what the agent
gave up when it ended though the disk had it."""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from edge_support import DEVICE, new_spool, sample, samples, true_word, until
from test_edge_recorder import refusals_told
from test_edge_undated import NOW_MS, Machine, numbers

from pledgewatch_edge import undated as undated_module
from pledgewatch_edge.identity import raise_epoch
from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.spool.errors import SpoolCorruptError, SpoolError
from pledgewatch_edge.spool.file import status, whose_spool
from pledgewatch_edge.spool.log import content_of, runs_in
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_edge.status_words import status_words
from pledgewatch_edge.undated import UNDATED_FILE, Handed, Undated, waiting_in
from pledgewatch_wire.reading import Channel

PAGE = 4_096


class GoneError(Exception):
    """The agent was killed here."""


def break_undated(folder: Path, frames: Sequence[int]) -> None:
    """Break some frames of what waits, of which the first is that of the boot."""
    path = folder / UNDATED_FILE
    data = bytearray(path.read_bytes())
    ends = [one.end for one in content_of(bytes(data)).frames]
    for number in frames:
        data[ends[number] - 1] ^= 1
    path.write_bytes(data)


def waiting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Twenty wait in four frames."""
    monkeypatch.setattr(undated_module, "_FRAME_READINGS", 5)
    machine = Machine()
    machine.undated(folder).keep([machine.marked(number) for number in range(1, 21)])
    return machine


def handed_over(folder: Path, machine: Machine, spool: Spool) -> Handed | None:
    undated = machine.undated(folder)
    return undated.hand_over(spool) if undated.is_due() else None


@pytest.mark.parametrize("frames", [(1,), (2, 3), (4,), (3, 4), (1, 2, 3, 4)])
@pytest.mark.parametrize("more", [0, 3])
def test_what_waits_for_a_date_in_a_broken_frame_is_refused_and_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: Sequence[int], more: int
) -> None:
    machine = waiting(tmp_path, monkeypatch)
    break_undated(tmp_path, frames)
    lost = {5 * (frame - 1) + number for frame in frames for number in range(1, 6)}
    left = [one for one in range(1, 21 + more) if one not in lost]
    undated = machine.undated(tmp_path)
    assert undated.count == 20
    if more:
        undated.keep([machine.marked(21 + number) for number in range(more)])
    assert waiting_in(tmp_path) == len(left)
    machine.clock.set_by_fix(NOW_MS)
    with new_spool(tmp_path) as spool:
        handed = undated.hand_over(spool)
        assert handed is not None
        assert (handed.appended.refused, handed.is_whole) == (len(lost), False)
        assert (numbers(spool), spool.refused_total) == (left, len(lost))
    with new_spool(tmp_path) as spool:
        assert handed_over(tmp_path, machine, spool) is None
        assert (numbers(spool), spool.refused_total) == (left, len(lost))


@pytest.mark.parametrize("at_once", [4, 7, 1_000])
@pytest.mark.parametrize("is_over", [False, True], ids=["goes on", "new epoch"])
def test_whoever_is_killed_counts_it_once_and_numbers_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, *, is_over: bool
) -> None:
    """Some of what waits is broken before it is numbered, and the rest after it, where nobody needs it any more."""
    monkeypatch.setattr(undated_module, "AT_ONCE", at_once)
    machine = waiting(tmp_path, monkeypatch)
    break_undated(tmp_path, [2])
    machine.clock.set_by_fix(NOW_MS)
    left = [*range(1, 6), *range(11, 21)]

    def gone(_: Undated) -> None:
        raise GoneError

    with monkeypatch.context() as patch, new_spool(tmp_path) as spool:
        patch.setattr(Undated, "_remove", gone)
        with pytest.raises(GoneError):
            handed_over(tmp_path, machine, spool)
        assert (numbers(spool), spool.refused_total) == (left, 5)
    break_undated(tmp_path, [1, 2])
    if is_over:
        (tmp_path / "epoch").write_text("2\n", encoding="ascii")
    for _ in range(2):
        with new_spool(tmp_path) as spool:
            handed_over(tmp_path, machine, spool)
            assert (numbers(spool), spool.refused_total, spool.measured_total) == (left, 5, 15)


@pytest.mark.parametrize("batch", range(3))
def test_what_is_numbered_anew_was_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(undated_module, "AT_ONCE", 8)
    monkeypatch.setattr("pledgewatch_edge.spool.frames.FRAME_READINGS", 4)
    machine = waiting(tmp_path, monkeypatch)
    machine.clock.set_by_fix(NOW_MS)

    def gone(_: Undated) -> None:
        raise GoneError

    with monkeypatch.context() as patch, new_spool(tmp_path) as spool:
        spool.append([sample(500)])
        patch.setattr(Undated, "_remove", gone)
        with pytest.raises(GoneError):
            handed_over(tmp_path, machine, spool)
        assert spool.measured_total == 21
    [log] = (tmp_path / "spool").iterdir()
    data = bytearray(log.read_bytes())
    runs = [one for one in content_of(bytes(data)).frames if list(runs_in([one]))]
    data[runs[1 + batch].end - 1] ^= 1
    log.write_bytes(data)
    for _ in range(2):
        with new_spool(tmp_path) as spool:
            handed_over(tmp_path, machine, spool)
            assert sorted(numbers(spool)) == [*range(1, 21), 500]
            assert (spool.measured_total, spool.refused_total, spool.broken_total) == (21, 0, 0)
        assert status(tmp_path)["measured"] == 21


class BadSectors:
    """A disk that cannot read some pages of a file, whatever the file is called by then."""

    def __init__(self, patch: pytest.MonkeyPatch, path: Path, pages: Sequence[int]) -> None:
        self._inode, self._pages = path.stat().st_ino, pages
        patch.setattr(Path, "read_bytes", self._whole(Path.read_bytes))
        patch.setattr(os, "pread", self._part(os.pread))

    def _whole(self, do: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
        def read(path: Path) -> bytes:
            if path.stat().st_ino == self._inode:
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            return do(path)

        return read

    def _part(self, do: Callable[[int, int, int], bytes]) -> Callable[[int, int, int], bytes]:
        def read(descriptor: int, length: int, at: int) -> bytes:
            touched = range(at // PAGE, (at + length - 1) // PAGE + 1)
            if os.fstat(descriptor).st_ino == self._inode and any(one in self._pages for one in touched):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return do(descriptor, length, at)

        return read


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder of 3,000 readings, in frames of ten."""
    folder = tmp_path_factory.mktemp("long")
    with new_spool(folder) as spool:
        for start in range(1, 3_001, 10):
            spool.append(samples(10, start))
    return folder


def hit(path: Path, pages: Sequence[int]) -> set[int]:
    """The numbers of the readings in frames that lie in some pages of a file."""
    gone, begin = set[int](), 0
    for one in content_of(path.read_bytes()).frames:
        if any(begin < PAGE * (page + 1) and one.end > PAGE * page for page in pages):
            for run in runs_in([one]):
                gone |= set(range(run.first, run.last + 1))
        begin = one.end
    return gone


@pytest.mark.parametrize("segment", range(3))
@pytest.mark.parametrize("pages", [(0,), (1,), (1, 2), range(100)], ids=["first", "second", "two", "all"])
async def test_a_bad_sector_costs_the_readings_in_it_and_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: Path, segment: int, pages: Sequence[int]
) -> None:
    folder = tmp_path / "state"
    shutil.copytree(long, folder)
    logs = sorted((folder / "spool").iterdir())
    assert len(logs) == 3
    lost = hit(logs[segment], pages)
    assert lost
    BadSectors(monkeypatch, logs[segment], pages)
    assert whose_spool(folder)[1] == 1
    left = [one for one in range(1, 3_001) if one not in lost]
    for start in range(2):
        with new_spool(folder) as spool:
            assert (spool.epoch, spool.device) == (2, DEVICE), "once, and then it goes on"
            assert numbers_but_told(spool) == left + [4_000] * start
            assert spool.broken_total == len(lost)
            recorder = Recorder(spool, lambda: None)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(recorder.run())
                if not start:
                    await recorder.put(sample(4_000))
                    await until(lambda: bool(broken_told(spool)), "it to be said")
                await recorder.finish()
                await running
            assert broken_told(spool) == [len(lost)]
            assert spool.checkpoints(spool.head_sequence, spool.head_sequence), "and signed"
            assert refusals_told(spool) == []
    assert status(folder)["broken"] == len(lost)
    assert len(list(folder.glob("spool.broken-1/*.log"))) == 3


def test_a_bad_sector_that_shows_while_the_agent_runs_has_the_spool_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: Path
) -> None:
    folder = tmp_path / "state"
    shutil.copytree(long, folder)
    first = min((folder / "spool").iterdir())
    lost = hit(first, (1,))
    with monkeypatch.context() as patch, new_spool(folder) as spool:
        once = [OSError(errno.EIO, "Input/output error")]
        read_bytes = Path.read_bytes

        def read(path: Path) -> bytes:
            if once:
                raise once.pop()
            return read_bytes(path)

        patch.setattr(Path, "read_bytes", read)
        assert spool.read(0, 1)[0].sequence == 1, "what the disk refuses once costs nothing"
    with new_spool(folder) as spool:
        BadSectors(monkeypatch, first, (1,))
        with pytest.raises(SpoolCorruptError, match="cannot be read: Input/output error"):
            spool.read(0, 1)
    with new_spool(folder) as spool:
        assert (spool.epoch, spool.broken_total) == (2, len(lost))
        assert numbers(spool) == [one for one in range(1, 3_001) if one not in lost]


@pytest.mark.parametrize("committed", [0, 1_490, 4_005])
def test_what_was_thinned_or_committed_is_not_lost(tmp_path: Path, committed: int) -> None:
    limits = Limits(100_000, 60, 1e9, 60.0)
    with new_spool(tmp_path, limits) as spool:
        for start in range(1, 12_001, 60):
            some = samples(60, start)
            spool.append([one._replace(is_urgent=place % 20 == 0) for place, one in enumerate(some)])
            if start < committed <= start + 60:
                spool.forget(true_word(spool, committed, ((committed + 3, committed + 6),)))
        assert spool.thinned_total > 1_000
        assert spool.committed.contiguous == committed
        left, thinned = spool.spooled, spool.thinned_total
    raise_epoch(tmp_path, 1)
    with new_spool(tmp_path, Limits(2**24, 60, 1e9)) as spool:
        assert spool.spooled >= left
        assert (spool.broken_total, spool.thinned_total, spool.measured_total) == (0, thinned, 12_000)
    assert "broken" not in " ".join(status_words({"operator": "o", "device": DEVICE, **status(tmp_path)}))


def numbers_but_told(spool: Spool) -> list[int]:
    cells = [one.cell(Channel.TEMPERATURE_MC) for one in spool.read(0, 100_000)]
    return [one.value for one in cells if one is not None]


def broken_told(spool: Spool) -> list[int]:
    cells = [one.cell(Channel.BROKEN_READINGS) for one in spool.read(0, 100_000, urgent=True)]
    return [one.value for one in cells if one is not None]


def test_a_bad_sector_in_what_waits_for_a_date_costs_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undated_module, "_FRAME_READINGS", 5)
    machine = Machine()
    machine.undated(tmp_path).keep([machine.marked(number) for number in range(1, 1_001)])
    machine.clock.set_by_fix(NOW_MS)
    BadSectors(monkeypatch, tmp_path / UNDATED_FILE, [1])
    with new_spool(tmp_path) as spool:
        handed = handed_over(tmp_path, machine, spool)
        assert handed is not None
        assert 0 < handed.appended.refused < 500
        assert len(numbers(spool)) + spool.refused_total == 1_000


@pytest.mark.parametrize("whole", [6, 5, 4, 3])
@pytest.mark.parametrize("waiting_max", [1_000, 70])
async def test_what_was_given_up_and_is_there_at_the_next_start_is_not_counted_as_refused(
    tmp_path: Path, whole: int, waiting_max: int
) -> None:
    """The disk neither takes the batch nor undoes it, and the agent ends: of the file's frames, of which three are of
    before, so many are whole at the next start."""
    with pytest.MonkeyPatch.context() as patch, new_spool(tmp_path, Limits(2**20, 1_000, 1e9)) as spool:
        spool.append([sample(1)])
        refuse_all(patch, spool)
        recorder = Recorder(spool, lambda: None, retry_s=0.01, hold_s=60.0, waiting_max=waiting_max)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(recorder.run())
            for number in range(60):
                await recorder.put(sample(2 + number)._replace(is_urgent=20 <= number < 40))
            await until(lambda: spool._torn_samples == 60, "the write that fails")
            for number in range(60, 100):
                await recorder.put(sample(2 + number))
            await recorder.finish()
            await running
        assert spool.refused_total == 40, "what stands nowhere"
    [log] = (tmp_path / "spool").iterdir()
    data = log.read_bytes()
    frames = content_of(data).frames
    assert len(frames) == 6
    log.write_bytes(data[: frames[whole - 1].end + (20 if whole < 6 else 0)])
    found = 20 * (whole - 3)
    assert status(tmp_path)["refused"] == 100 - found
    for _ in range(2):
        with new_spool(tmp_path) as spool:
            assert (spool.spooled, spool.refused_total, spool.epoch) == (1 + found, 100 - found, 1)


def test_so_it_is_where_a_new_epoch_begins_then(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, new_spool(tmp_path) as spool:
        spool.append(samples(201))
        spool.forget(true_word(spool, 200))
        refuse_all(patch, spool)
        with pytest.raises(SpoolError, match="Input/output"):
            spool.append(samples(50, 202))
        spool.give_up(70)
        assert spool.refused_total == 20
    (tmp_path / "epoch").write_text("2\n", encoding="ascii")
    for _ in range(2):
        with new_spool(tmp_path) as spool:
            assert (spool.spooled, spool.refused_total, spool.measured_total) == (51, 20, 251)


def refuse_all(patch: pytest.MonkeyPatch, spool: Spool) -> None:
    """The disk does not take what the spool writes, and neither that it is cut off again."""

    def refusing(do: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(descriptor: int, *more: int) -> Any:
            if descriptor == spool._descriptor:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return do(descriptor, *more)

        return wrapped

    patch.setattr(os, "fdatasync", refusing(os.fdatasync))
    patch.setattr(os, "ftruncate", refusing(os.ftruncate))
