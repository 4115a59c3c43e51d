"""A new life of the spool while the agent is killed, or the disk refuses: nothing whole is lost, or there twice."""

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edge_support import DEVICE, WIDE, new_spool, sample, samples
from test_edge_undated import NOW_MS, Machine, numbers

from pledgewatch_edge import identity
from pledgewatch_edge import undated as undated_module
from pledgewatch_edge.spool.errors import SpoolError
from pledgewatch_edge.spool.file import open_spool, status, whose_spool
from pledgewatch_edge.spool.log import content_of, runs_in
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_edge.spool.whole import whole
from pledgewatch_edge.undated import UNDATED_FILE, Undated

OLD = range(1, 31)
UNDATED = range(1_001, 1_041)
WAITING = range(1_041, 1_046)  # kept after the others were handed over
REFUSED = 7


class GoneError(BaseException):
    """The agent was killed here."""


class Disk:
    """Each call that changes or reads the disk is a step; at one of them something happens, once."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, how: str) -> None:
        self._at, self._how = at, how
        self.taken = 0
        self.is_gone = False
        for name in ("pwrite", "fdatasync", "fsync", "open", "ftruncate", "replace", "unlink", "rmdir", "mkdir"):
            patch.setattr(os, name, self._step(getattr(os, name), is_write=name == "pwrite"))
        patch.setattr(Path, "read_bytes", self._step(Path.read_bytes))

    @property
    def is_over(self) -> bool:
        """Whether it did not come to the step."""
        return self.taken <= self._at

    def _step(self, do: Callable[..., Any], *, is_write: bool = False) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if self.is_gone:
                raise GoneError
            self.taken += 1
            if self.taken - 1 != self._at:
                return do(*arguments, **named)
            if self._how in {"EIO", "ENOSPC"}:
                number = getattr(errno, self._how)
                raise OSError(number, os.strerror(number))
            if self._how == "killed halfway" and is_write:
                do(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2], *arguments[2:])
            if self._how == "killed after":
                do(*arguments, **named)
            self.is_gone = True  # nothing that cleans up comes to the disk any more
            raise GoneError

        return wrapped


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder as of `half_handed`."""
    folder = tmp_path_factory.mktemp("broken")
    half_handed(folder)
    return folder


def half_handed(folder: Path, segment_readings: int = 1_024) -> None:
    """Make a state folder: what was undated is numbered in part, and not yet removed; a frame of it and one of before
    are broken, two logs were moved aside before."""
    machine = Machine()
    for number in (1, 2):
        (folder / f"spool.broken-{number}").mkdir()
        (folder / f"spool.broken-{number}" / "some").write_bytes(b"evidence")
    with pytest.MonkeyPatch.context() as patch, new_spool(folder) as spool:
        patch.setattr(undated_module, "AT_ONCE", 12)
        patch.setattr(undated_module, "_FRAME_READINGS", 5)
        patch.setattr("pledgewatch_edge.spool.frames.FRAME_READINGS", 5)
        patch.setattr("pledgewatch_edge.spool.spool.SEGMENT_READINGS", segment_readings)
        for number in OLD:
            spool.append([sample(number)])
        spool.refuse(REFUSED)
        machine.undated(folder).keep([machine.marked(number, is_urgent=number % 3 == 0) for number in UNDATED])
        machine.clock.set_by_fix(NOW_MS)
        patch.setattr(Undated, "_remove", _gone)
        with pytest.raises(GoneError):
            machine.undated(folder).hand_over(spool)
        assert numbers(spool) == [*OLD, *UNDATED]
        machine.undated(folder).keep([machine.marked(number) for number in WAITING])


def _gone(_: Undated) -> None:
    raise GoneError


def break_frames(folder: Path, chance: random.Random) -> set[int]:
    """Break some frames, of what was undated too; what is in them."""
    logs = sorted((folder / "spool").glob("*.log"))
    data = {log: bytearray(log.read_bytes()) for log in logs}
    frames = [(log, one) for log in logs for one in content_of(bytes(data[log])).frames if list(runs_in([one]))]
    gone: set[int] = set()
    for log, one in chance.sample(frames[:-1], 4):
        data[log][one.end - 1] ^= 1
        [run] = runs_in([one])
        gone |= set(range(run.first, run.last + 1))
    for log in logs:
        log.write_bytes(data[log])
    return {[*OLD, *UNDATED][number - 1] for number in gone}


def opened(folder: Path) -> tuple[list[int], int, int]:
    """What is there when another agent has opened it and handed over what waits; what was refused; the epoch."""
    machine = Machine()
    machine.clock.set_by_fix(NOW_MS)
    with new_spool(folder) as spool:
        undated = machine.undated(folder)
        if undated.is_due():
            undated.hand_over(spool)
        return numbers(spool), spool.refused_total, spool.epoch


@pytest.mark.parametrize("how", ["killed before", "killed halfway", "killed after", "EIO", "ENOSPC"])
def test_whatever_happens_at_any_step_all_that_is_whole_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Path, how: str
) -> None:
    at = 0
    while True:
        folder = tmp_path / str(at)
        shutil.copytree(broken, folder)
        gone = break_frames(folder, random.Random(at))
        expected = sorted({*OLD, *UNDATED, *WAITING} - (gone & {*OLD}))
        before = (folder / "spool").iterdir().__next__().read_bytes()
        key = identity.load_or_create_key(folder)
        with monkeypatch.context() as patch:
            disk = Disk(patch, at, how)
            with contextlib.suppress(GoneError, SpoolError):
                open_spool(folder, DEVICE, key, WIDE, lambda: 0.0).close()
        status(folder)
        assert whose_spool(folder)[0] == DEVICE
        for _ in range(2):
            found, refused, epoch = opened(folder)
            assert sorted(found) == expected, (at, how)
            assert (refused, 2 <= epoch <= 3) == (REFUSED, True), (at, how)
        evidence = sorted(folder.glob("spool.broken-*/*.log"))
        assert [one.read_bytes() for one in evidence] == [before], (at, how)
        assert not any((folder / name).exists() for name in ("spool.part", "spool.new", UNDATED_FILE))
        shutil.rmtree(folder)
        if disk.is_over:
            break
        at += 1
    assert at > 30


def test_in_a_small_spool_what_was_thinned_or_refused_in_the_rescue_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_spool(tmp_path / "old") as spool:
        for start in range(1, 6_001, 60):
            spool.append([one._replace(is_urgent=True) for one in samples(60, start)])
    identity.raise_epoch(tmp_path / "old", 1)
    limits = Limits(4_000, 60, 1e9)
    told = []
    for at in (None, 15, 25, 35):
        folder = tmp_path / str(at)
        shutil.copytree(tmp_path / "old", folder)
        if at is not None:
            with monkeypatch.context() as patch, contextlib.suppress(GoneError):
                Disk(patch, at, "killed before")
                new_spool(folder, limits).close()
        with new_spool(folder, limits) as spool:
            told.append((spool.spooled, spool.refused_total, spool.thinned_total, spool.measured_total))
    assert told[0][1] > 0
    assert told[0][0] + told[0][1] == 6_000
    assert len(set(told)) == 1


_KILLED = """
import os, signal
from edge_support import *
folder, open_file = Path({0!r}), os.open

def opened(*arguments, **named):
    if len(list((folder / "spool.part").glob("*.log"))) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return open_file(*arguments, **named)

os.open = opened
new_spool(folder)
"""


def test_it_survives_kill_9_while_a_new_epoch_begins(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        for start in range(1, 20_001, 1_000):
            spool.append(samples(1_000, start))
    identity.raise_epoch(tmp_path, 1)
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{_KILLED.format(str(tmp_path))}"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert len(list((tmp_path / "spool.part").glob("*.log"))) == 3
    for _ in range(2):
        with new_spool(tmp_path) as spool:
            assert (spool.spooled, spool.measured_total, spool.refused_total) == (20_000, 20_000, 0)
            assert numbers(spool)[:20_000] == [one.cells[1].value for one in samples(20_000)]


def test_what_became_one_with_others_is_rescued_once(tmp_path: Path) -> None:
    """Killed between the two of them being one and the removal of the second; then a new epoch begins."""
    with new_spool(tmp_path, Limits(2**20, 60, 1e9)) as spool:
        for start in range(1, 2_101, 60):
            spool.append([one._replace(is_urgent=True) for one in samples(60, start)])
    first, second, *_ = sorted((tmp_path / "spool").glob("*.log"))
    frames = content_of(second.read_bytes()).frames
    assert first.name < second.name
    first.write_bytes(first.read_bytes() + second.read_bytes()[frames[1].end :])
    assert sorted(one.cells[1].value for one in whole(tmp_path / "spool", DEVICE)) == [
        one.cells[1].value for one in samples(2_100)
    ]


@pytest.mark.parametrize("count", [30, 40])
@pytest.mark.parametrize("batch", range(4))
def test_of_what_was_undated_what_is_broken_in_any_batch_is_numbered_anew_and_only_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, count: int
) -> None:
    monkeypatch.setattr(undated_module, "AT_ONCE", 12)
    monkeypatch.setattr("pledgewatch_edge.spool.frames.FRAME_READINGS", 4)
    machine = Machine()
    tmp_path.joinpath("state").mkdir()
    folder = tmp_path / "state"
    machine.undated(folder).keep([machine.marked(number) for number in range(1, count + 1)])
    machine.clock.set_by_fix(NOW_MS)
    with monkeypatch.context() as patch, new_spool(folder) as spool:
        patch.setattr(Undated, "_remove", _gone)
        with pytest.raises(GoneError):
            machine.undated(folder).hand_over(spool)
    [log] = (folder / "spool").iterdir()
    data = bytearray(log.read_bytes())
    runs = [one for one in content_of(bytes(data)).frames if list(runs_in([one]))]
    data[runs[2 * batch].end - 1] ^= 1
    log.write_bytes(data)
    found, refused, _ = opened(folder)
    [run] = runs_in([runs[2 * batch]])
    anew = list(range(run.first, run.last + 1))
    assert (found, refused) == ([*(one for one in range(1, count + 1) if one not in anew), *anew], 0)


def test_what_was_undated_and_thinned_away_since_is_not_numbered_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, limits = Machine(), Limits(200_000, 60, 1e9)
    machine.undated(tmp_path).keep([machine.marked(number) for number in range(1, 1_101)])
    machine.clock.set_by_fix(NOW_MS)
    with monkeypatch.context() as patch, new_spool(tmp_path, limits) as spool:
        patch.setattr(Undated, "_remove", _gone)
        with pytest.raises(GoneError):
            machine.undated(tmp_path).hand_over(spool)
        urgent: list[Any] = []
        while spool.thinned_total == 0:
            urgent += (more := [one._replace(is_urgent=True) for one in samples(60, 5_001 + len(urgent))])
            spool.append(more)
        thinned, left = spool.thinned_total, spool.spooled
    identity.raise_epoch(tmp_path, 1)
    with new_spool(tmp_path, Limits(2**24, 60, 1e9)) as spool:
        undated = machine.undated(tmp_path)
        assert (undated.count, spool.spooled, spool.thinned_total) == (0, left, thinned)


def test_a_spool_takes_its_place_before_anything_is_asked_of_it(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(3))
    (tmp_path / "spool").rename(tmp_path / "spool.new")
    assert whose_spool(tmp_path) == (DEVICE, 1)
    assert status(tmp_path)["spooled"] == 3
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.spooled) == (1, 3)
    assert isinstance(spool, Spool)
