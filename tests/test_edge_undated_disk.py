"""What waits for a date while the disk refuses, or the agent is killed: all is numbered or refused, and once."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edge_support import new_spool, sample, true_word, until
from test_edge_lost_told import refuse_all
from test_edge_spool_full import SmallDisk
from test_edge_undated import NOW_MS, Machine, numbers

from pledgewatch_edge import identity
from pledgewatch_edge import undated as undated_module
from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.spool.answers import Appended
from pledgewatch_edge.spool.errors import SpoolError
from pledgewatch_edge.spool.frames import FRAME_READINGS
from pledgewatch_edge.spool.log import Kind, content_of, frame
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_edge.undated import UNDATED_FILE, Undated, waiting_in

FULL = Limits(16_000, 60, 1e9)
OTHERS = 1_000_000  # the numbers of what waits begin here
URGENT = range(40, 40 + FRAME_READINGS + 30)  # in two frames of the spool
COUNT = URGENT.stop + 40


class GoneError(Exception):
    """The agent was killed here."""


class Steps:
    """Each thing that is done to the disk is a step; at one of them something happens, once."""

    def __init__(self, patch: pytest.MonkeyPatch, spool: Spool, undated: Undated, at: int, how: str) -> None:
        self._at, self._how = at, how
        self.taken = 0
        write = spool._write
        for owner, name in ((undated, "_write"), (undated_module, "flush_folder"), (spool._tally, "write")):
            patch.setattr(owner, name, self._step(getattr(owner, name)))
        patch.setattr(Path, "unlink", self._step(Path.unlink))
        patch.setattr(spool, "_write", self._step(write, lambda data: write(data[: 2 * len(data) // 3])))

    @property
    def is_over(self) -> bool:
        """Whether it did not come to the step."""
        return self.taken <= self._at

    def _step(self, do: Callable[..., Any], halfway: Callable[..., Any] | None = None) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.taken += 1
            if self.taken - 1 != self._at:
                return do(*arguments, **named)
            if self._how == "the disk refuses":
                if halfway is not None:
                    raise SpoolError("Input/output error")
                raise OSError(5, "Input/output error")
            if self._how == "killed halfway" and halfway is not None:
                halfway(*arguments, **named)
            if self._how == "killed after":
                do(*arguments, **named)
            raise GoneError

        return wrapped


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder whose spool is full of what is urgent."""
    folder = tmp_path_factory.mktemp("full")
    with new_spool(folder, FULL) as spool:
        while spool.spooled_bytes < FULL.bytes_max:
            spool.append([sample(number)._replace(is_urgent=True) for number in range(60)])
    return folder


@pytest.mark.parametrize("at_once", [1_000, 100])
@pytest.mark.parametrize("how", ["killed before", "killed halfway", "killed after", "the disk refuses"])
def test_in_a_full_spool_each_is_numbered_or_refused_once_whatever_happens_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: Path, how: str, at_once: int
) -> None:
    monkeypatch.setattr(undated_module, "AT_ONCE", at_once)
    for at in range(40):
        folder = tmp_path / str(at)
        shutil.copytree(full, folder)
        machine = Machine()
        machine.undated(folder).keep(
            [machine.marked(OTHERS + number, is_urgent=number in URGENT) for number in range(COUNT)]
        )
        machine.clock.set_by_fix(NOW_MS)
        steps, refused = handed_over(folder, machine, monkeypatch, at, how)
        assert refused == COUNT - len(URGENT), at
        with new_spool(folder, FULL) as spool:
            assert [one for one in numbers(spool) if one >= OTHERS] == [OTHERS + number for number in URGENT], at
            assert not (folder / UNDATED_FILE).exists()
        if steps.is_over:
            break
    assert steps.is_over
    assert steps.taken >= 4


def handed_over(
    folder: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch, at: int, how: str
) -> tuple[Steps, int]:
    """Hand over to the end, by as many agents as it takes; how many were refused then."""
    with new_spool(folder, FULL) as spool, monkeypatch.context() as patch:
        undated = machine.undated(folder)
        steps = Steps(patch, spool, undated, at, how)
        try:
            undated.hand_over(spool)
        except SpoolError:
            handed = undated.hand_over(spool)
            assert handed is not None
            assert handed.appended == Appended(len(URGENT), COUNT - len(URGENT))
            return steps, spool.refused_total
        except GoneError:
            pass
        else:
            return steps, spool.refused_total
    with new_spool(folder, FULL) as spool:
        undated = machine.undated(folder)
        if undated.is_due():
            undated.hand_over(spool)
        return steps, spool.refused_total


def refusing_once(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The disk takes the folder, but not the first time; which folders it took."""
    taken: list[Path] = []
    is_well: list[bool] = []

    def flush(folder: Path) -> None:
        if not is_well:
            is_well.append(True)
            raise OSError(5, "Input/output error")
        taken.append(folder)
        identity.flush_folder(folder)

    monkeypatch.setattr(undated_module, "flush_folder", flush)
    return taken


async def test_after_one_refusal_of_the_folder_all_is_stored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    with new_spool(tmp_path) as spool:
        undated = machine.undated(tmp_path)
        recorder = Recorder(spool, lambda: None, retry_s=0.01, undated=undated)
        async with asyncio.TaskGroup() as group:
            group.create_task(recorder.run())
            await recorder.put(machine.marked(1).sample)
            await until(lambda: undated.count == 1, "one to wait on the disk")
            taken = refusing_once(monkeypatch)
            machine.clock.set_by_fix(NOW_MS)
            await until(lambda: taken == [tmp_path], "the disk to be asked again")
            await recorder.put(sample(2))
            await until(lambda: spool.head_sequence == 2, "what is newer to be stored")
            await recorder.finish()
        assert numbers(spool) == [1, 2]
        assert not undated.is_due()


@pytest.mark.parametrize("is_full", [False, True], ids=["", "on a full disk"])
async def test_a_word_that_was_not_carried_out_is_not_taken_for_it_by_what_gets_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_full: bool
) -> None:
    """Killed between HANDED and the numbers; something that waits for no date is stored before there is one again, by
    this start or by one after it, which is killed in turn."""

    def gone(_: object) -> None:
        raise GoneError

    machine = Machine()
    with new_spool(tmp_path) as spool, monkeypatch.context() as patch, contextlib.suppress(GoneError):
        undated = machine.undated(tmp_path)
        undated.keep([machine.marked(number) for number in (1, 2, 3)])
        machine.clock.set_by_fix(NOW_MS)
        patch.setattr(spool, "_store", gone)
        undated.hand_over(spool)
    disk = SmallDisk(monkeypatch, tmp_path, 500_000)
    if is_full:
        disk.fill()
    for number in (11, 12):
        machine = Machine()
        with new_spool(tmp_path) as spool:
            recorder = Recorder(spool, lambda: None, undated=machine.undated(tmp_path))
            async with asyncio.TaskGroup() as group:
                group.create_task(recorder.run())
                await recorder.put_as_it_is(sample(number)._replace(is_urgent=True))
                await recorder.finish()
    machine.clock.set_by_fix(NOW_MS)
    with new_spool(tmp_path) as spool:
        assert machine.undated(tmp_path).hand_over(spool) is not None
        assert (numbers(spool), spool.refused_total) == ([11, 12, 1, 2, 3], 0)


def test_what_a_start_finds_refused_is_counted_once_though_the_disk_does_not_take_its_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HANDED says of four that two are refused, and the disk has the first number of the two others."""
    machine = Machine()
    with new_spool(tmp_path) as spool:
        undated = machine.undated(tmp_path)
        undated.keep([machine.marked(number) for number in (1, 2, 3, 4)])
        said = undated_module._HANDED.pack(spool.epoch, 1, 0, 4, 0) + bytes([0, 1, 0, 1])
        undated._write(frame(Kind.HANDED, said))
        spool.append([sample(2)])
    disk = SmallDisk(monkeypatch, tmp_path, 0)
    for _ in range(2):
        with new_spool(tmp_path) as spool:
            undated = machine.undated(tmp_path)
            for _ in range(2):
                with pytest.raises(SpoolError):
                    undated.settle(spool)
            assert spool.refused_total == 1
    disk.bytes_max = 500_000
    with new_spool(tmp_path) as spool:
        assert machine.undated(tmp_path).hand_over(spool) is not None
        assert (numbers(spool), spool.refused_total) == ([2, 3, 4], 1)


def test_what_is_gone_from_the_disk_is_handed_over(tmp_path: Path) -> None:
    machine = Machine()
    undated = machine.undated(tmp_path)
    undated.keep([machine.marked(1)])
    (tmp_path / UNDATED_FILE).unlink()
    with new_spool(tmp_path) as spool:
        assert undated.hand_over(spool) is None
        undated.keep([machine.marked(2)])
        assert waiting_in(tmp_path) == 1
        undated.hand_over(spool)
        assert numbers(spool) == [2]


def test_a_new_file_is_safe_when_the_disk_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    taken = refusing_once(monkeypatch)
    undated = machine.undated(tmp_path)
    some = [machine.marked(1), machine.marked(2)]
    with pytest.raises(SpoolError):
        undated.keep(some)
    assert (undated.count, waiting_in(tmp_path)) == (0, 0), "the caller has them yet"
    undated.keep(some)
    assert (undated.count, waiting_in(tmp_path), taken) == (2, 2, [tmp_path])
    undated.keep([machine.marked(3)])
    assert taken == [tmp_path], "once for a file"


def committed_before(spool: Spool) -> None:
    spool.forget(true_word(spool, spool.head_sequence))


def torn(folder: Path) -> None:
    """The disk has only a part of what was numbered."""
    [log] = (folder / "spool").iterdir()
    data = log.read_bytes()
    log.write_bytes(data[: data.rindex(b"\xa5\x5a") + 20])


def put_back(folder: Path) -> None:
    """The spool is that of before."""
    shutil.rmtree(folder / "spool")
    shutil.copytree(folder.parent / "before", folder / "spool")


def holed(folder: Path) -> None:
    """A frame of what was measured before is broken."""
    [log] = (folder / "spool").iterdir()
    data = bytearray(log.read_bytes())
    starts = [place for place in range(len(data)) if data[place : place + 2] == b"\xa5\x5a"]
    data[starts[2] + 20] ^= 255
    log.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("before_the_kill", "after_it", "found"),
    [
        (None, None, [101, 102, 1, 2, 3, 4, 5]),
        (committed_before, None, []),
        (None, torn, [101, 102, 1, 2, 3, 4, 5]),
        (None, put_back, [101, 102, 1, 2, 3, 4, 5]),
        (None, holed, [1, 2, 3, 4, 5]),
    ],
    ids=["whole", "committed", "torn", "put back", "holed"],
)
def test_what_was_numbered_in_an_epoch_that_is_over_is_there_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before_the_kill: Callable[[Spool], None] | None,
    after_it: Callable[[Path], None] | None,
    found: list[int],
) -> None:
    """Killed between the numbers and the removal of the file; then a claim passes the epoch, or the log is broken."""
    folder, machine = tmp_path / "state", Machine()
    folder.mkdir()
    machine.undated(folder).keep([machine.marked(number) for number in range(1, 6)])
    machine.clock.set_by_fix(NOW_MS)
    with new_spool(folder) as spool:
        spool.append([sample(101), sample(102)])
        shutil.copytree(folder / "spool", tmp_path / "before")
        killed_before_the_end(folder, machine, spool, monkeypatch)
        assert numbers(spool) == [101, 102, 1, 2, 3, 4, 5]
        if before_the_kill is not None:
            before_the_kill(spool)
    if after_it is not None:
        after_it(folder)
    if after_it not in {put_back, holed}:
        identity.raise_epoch(folder, 1)
    for _ in range(2):
        with new_spool(folder) as spool:
            assert spool.epoch > 1
            undated = machine.undated(folder)
            if undated.is_due():
                undated.hand_over(spool)
            assert numbers(spool) == found
            assert spool.refused_total == 0


def killed_before_the_end(folder: Path, machine: Machine, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is numbered, and the file is there yet."""

    def killed(_: Undated) -> None:
        raise GoneError

    undated = machine.undated(folder)
    with monkeypatch.context() as patch:
        patch.setattr(Undated, "_remove", killed)
        with pytest.raises(GoneError):
            undated.hand_over(spool)


def test_what_was_refused_in_an_epoch_that_is_over_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: Path
) -> None:
    folder, machine = tmp_path / "state", Machine()
    shutil.copytree(full, folder)
    machine.undated(folder).keep(
        [machine.marked(OTHERS + number, is_urgent=number in URGENT) for number in range(COUNT)]
    )
    machine.clock.set_by_fix(NOW_MS)
    with new_spool(folder, FULL) as spool:
        killed_before_the_end(folder, machine, spool, monkeypatch)
        refused = spool.refused_total
        assert refused == COUNT - len(URGENT)
    identity.raise_epoch(folder, 1)
    with new_spool(folder) as spool:
        machine.undated(folder).hand_over(spool)
        assert [one for one in numbers(spool) if one >= OTHERS] == [OTHERS + number for number in URGENT]
        assert spool.refused_total == refused


def refuse_twice(patch: pytest.MonkeyPatch, spool: Spool) -> None:
    """The disk does not take what the spool writes, and neither that it is cut off again."""

    def refusing(do: Callable[..., None]) -> Callable[..., None]:
        def wrapped(descriptor: int, *more: int) -> None:
            if descriptor == spool._descriptor:
                raise OSError(5, "Input/output error")
            do(descriptor, *more)

        return wrapped

    patch.setattr(os, "fdatasync", refusing(os.fdatasync))
    patch.setattr(os, "ftruncate", refusing(os.ftruncate))


def waiting_for_a_date(folder: Path) -> Machine:
    """Sixty wait, in three frames, on a machine that knows the time by now."""
    machine = Machine()
    machine.undated(folder).keep([machine.marked(number, is_urgent=20 <= number < 40) for number in range(60)])
    machine.clock.set_by_fix(NOW_MS)
    return machine


@pytest.mark.parametrize("whole", [5, 4, 3, 2])
def test_where_the_disk_does_not_undo_what_it_refused_each_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: int
) -> None:
    """The agent ends then; of the spool's frames, of which two are of before, so many are whole at the next start."""
    machine = waiting_for_a_date(tmp_path)
    with monkeypatch.context() as patch, new_spool(tmp_path) as spool:
        undated = machine.undated(tmp_path)
        refuse_twice(patch, spool)
        for _ in range(2):
            with pytest.raises(SpoolError, match="Input/output"):
                undated.hand_over(spool)
        with pytest.raises(SpoolError, match="Input/output"):
            spool.append([sample(500)])
        assert (spool.head_sequence, numbers(spool), undated.count) == (0, [], 60)
    [log] = (tmp_path / "spool").iterdir()
    data = log.read_bytes()
    frames = content_of(data).frames
    assert len(frames) == 5
    log.write_bytes(data[: frames[whole - 1].end + (20 if whole < 5 else 0)])
    for _ in range(2):
        with new_spool(tmp_path) as spool:
            undated = machine.undated(tmp_path)
            if undated.is_due():
                undated.hand_over(spool)
            assert (numbers(spool), spool.refused_total, spool.epoch) == ([*range(60)], 0, 1)


@pytest.mark.parametrize("more", [0, 2])
def test_what_it_did_not_undo_is_undone_before_anything_else_is_numbered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    machine = waiting_for_a_date(tmp_path)
    with new_spool(tmp_path) as spool:
        spool.append([sample(400)])
        undated = machine.undated(tmp_path)
        with monkeypatch.context() as patch:
            refuse_twice(patch, spool)
            with pytest.raises(SpoolError, match="Input/output"):
                undated.hand_over(spool)
            undated.keep([machine.marked(60 + number) for number in range(more)])
            assert numbers(spool) == [400], "what was refused is not read"
        assert spool.checkpoint() is not None
        spool.append([sample(500)])
        assert numbers(spool) == [400, 500]
    with new_spool(tmp_path) as spool:
        assert (numbers(spool), spool.epoch) == ([400, 500], 1)
        machine.undated(tmp_path).hand_over(spool)
        assert (numbers(spool), spool.refused_total) == ([400, 500, *range(60 + more)], 0)


def test_a_word_that_cannot_be_taken_back_is_taken_back_before_the_next_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = waiting_for_a_date(tmp_path)
    with new_spool(tmp_path) as spool:
        undated = machine.undated(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(spool, "_write", lambda _: refuse())
            patch.setattr(os, "truncate", lambda *_: refuse())
            with pytest.raises(SpoolError, match="Input/output"):
                undated.hand_over(spool)
        with monkeypatch.context() as patch:
            patch.setattr(os, "truncate", lambda *_: refuse())
            with pytest.raises(SpoolError, match="Input/output"):
                spool.append([sample(500)])
        spool.append([sample(500)])
    with new_spool(tmp_path) as spool:
        machine.undated(tmp_path).hand_over(spool)
        assert numbers(spool) == [500, *range(60)]


def refuse() -> None:
    raise SpoolError("Input/output error")


@pytest.mark.parametrize("others", [0, 1, 7])
@pytest.mark.parametrize("is_over", [False, True], ids=["goes on", "new epoch"])
def test_what_else_is_refused_meanwhile_counts_for_nothing_that_waits(
    tmp_path: Path, others: int, *, is_over: bool
) -> None:
    """There is room for what is urgent alone, the disk takes nothing and undoes nothing, and then the power goes."""
    machine = Machine()
    undated = machine.undated(tmp_path)
    with new_spool(tmp_path, Limits(3_000, 60, 1e9)) as spool:
        while spool.spooled_bytes < 3_000:
            spool.append([sample(900)._replace(is_urgent=True)])
        undated.keep([machine.marked(number, is_urgent=number % 2 == 0) for number in range(1, 11)])
        machine.clock.set_by_fix(NOW_MS)
        log, end = spool._segments[-1].path, spool._segments[-1].end
        with pytest.MonkeyPatch.context() as patch:
            refuse_all(patch, spool)
            with pytest.raises(SpoolError):
                undated.hand_over(spool)
            spool.refuse(others)
            spool.close()
    os.truncate(log, end)
    if is_over:
        identity.raise_epoch(tmp_path, 1)
    with new_spool(tmp_path) as spool:
        undated = machine.undated(tmp_path)
        assert undated.is_due()
        undated.hand_over(spool)
        assert [one for one in numbers(spool) if one != 900] == [*range(1, 11)]
        assert spool.refused_total == others
