"""A tally that the disk cannot read stops no agent: it begins a new epoch, and repeats no number."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edge_support import new_spool, samples
from test_edge_undated import numbers

from pledgewatch_edge.identity import TALLY_FILE
from pledgewatch_edge.spool.file import status


class BadSectors:
    """Some blocks of a state folder's tally can be neither read nor written; a new file in its place can."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, blocks: tuple[int, ...], *, is_opened: bool) -> None:
        self._file = (folder / TALLY_FILE).stat().st_ino
        os.link(folder / TALLY_FILE, folder / "held")  # else the disk gives its number to the next file
        self._blocks, self._is_opened = blocks, is_opened
        self._path = folder / TALLY_FILE
        self._open = os.open
        patch.setattr(os, "open", self._opened)
        patch.setattr(os, "pread", self._at_place(os.pread))
        patch.setattr(os, "pwrite", self._at_place(os.pwrite))

    def _opened(self, path: Any, *arguments: Any, **named: Any) -> int:
        if path == self._path and not self._is_opened and self._path.stat().st_ino == self._file:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._open(path, *arguments, **named)

    def _at_place(self, do: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(descriptor: int, what: Any, at: int) -> Any:
            if os.fstat(descriptor).st_ino == self._file and at // 4_096 in self._blocks:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return do(descriptor, what, at)

        return wrapped


@pytest.mark.parametrize(
    ("blocks", "is_opened"), [((0,), True), ((1,), True), ((0, 1), True), ((), False)], ids=["0", "1", "both", "file"]
)
def test_the_agent_comes_up_in_a_new_epoch(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    blocks: tuple[int, ...],
    *,
    is_opened: bool,
) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(2_000))
        spool.append(samples(3, 2_001))
        spool.refuse(5)
        spool.refuse(2)
    # The end of the log is gone as well, which only the tally could have told.
    [*_, last] = sorted((tmp_path / "spool").glob("*.log"))
    os.truncate(last, last.stat().st_size - 1)
    BadSectors(monkeypatch, tmp_path, blocks, is_opened=is_opened)
    assert status(tmp_path)["spooled"] == 2_000
    for _ in range(2):
        with new_spool(tmp_path) as spool:
            assert (spool.epoch, numbers(spool)[:2_000]) == (2, list(range(1, 2_001)))
            assert (spool.measured_total - spool.head_sequence, spool.broken_total) == (0, 0), "it invents nothing"
            assert spool.refused_total == 0, "the cloud adds what it heard before to a count that begins anew"
            if spool.head_sequence == 2_000:
                spool.append(samples(1, 2_001))
                assert spool.tell_refused()
                [ended] = [one for one in spool.read(2_001, 9) if len(one.cells) == 5]
                assert [cell.value for cell in ended.cells] == [1, 2_000, 2_000, 0, 0]
    assert sum("tally cannot be read" in record.message for record in caplog.records) == 1
    assert len(list(tmp_path.glob("spool.broken-1/*.log"))) >= 1


def test_what_the_other_block_tells_of_the_epochs_before_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(2_000))
    for log in (tmp_path / "spool").glob("*.log"):
        log.write_bytes(bytes(100))
    with new_spool(tmp_path) as spool:
        spool.append(samples(50, 2_001))
        assert (spool.epoch, spool.measured_total) == (2, 2_050)
    BadSectors(monkeypatch, tmp_path, (1,), is_opened=True)
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.measured_total, spool.spooled) == (3, 2_050, 50)


def test_a_disk_that_refuses_once_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
        spool.refuse(5)
    once, pread = [OSError(errno.EIO, os.strerror(errno.EIO))], os.pread

    def read(descriptor: int, length: int, at: int) -> bytes:
        if once:
            raise once.pop()
        return pread(descriptor, length, at)

    monkeypatch.setattr(os, "pread", read)
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.head_sequence, spool.refused_total) == (1, 10, 5)
    assert not once
