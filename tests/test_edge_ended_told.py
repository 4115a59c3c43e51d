"""What became of the numbers of a spool that was broken is told by the next life of it, up to the cloud's words."""

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from edge_support import DEVICE, new_spool, samples, true_word
from test_edge_spool_bounds import fill
from test_thinning import Cloud, payloads_of, thinned_spool

from pledgewatch_cloud.api.completeness import Completeness, completeness
from pledgewatch_cloud.decide.admission import EpochState, committed_of
from pledgewatch_edge.identity import raise_epoch
from pledgewatch_edge.spool import rescue as spool_rescue
from pledgewatch_edge.spool.ended import ENDED_FILE, LIVES_KEPT, lives_in
from pledgewatch_edge.spool.file import status
from pledgewatch_edge.spool.log import Kind, content_of
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_wire.codec import Status
from pledgewatch_wire.ended import ENDED_CHANNELS, Ended, ended_of

NARROW = Limits(90_000, 60, 1e9)


def told_by(spool: Spool) -> list[Ended]:
    values = [{cell.channel: cell.value for cell in one.cells} for one in spool.read(0, 10_000_000, urgent=True)]
    return [told for told in (ended_of(one, spool.epoch) for one in values) if told is not None]


def zero_half(path: Path) -> None:
    data = path.read_bytes()
    quarter = len(data) // 4
    path.write_bytes(data[:quarter] + bytes(len(data) // 2) + data[quarter + len(data) // 2 :])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    runs = [one for one in content_of(bytes(data)).frames if one.kind in {2, 3}]
    data[runs[len(runs) // 3].end - 1] ^= 1
    path.write_bytes(data)


def said_of(cloud: Cloud, spool: Spool, status: Status) -> Completeness:
    epochs = {epoch: one for (_, epoch), one in cloud.devices.items() if isinstance(one, EpochState)}
    now = status_of(spool)
    ends = {status.epoch: status} if status.epoch != now.epoch else {}
    return completeness(epochs, now, ends)


def status_of(spool: Spool) -> Status:
    return Status(True, spool.epoch, spool.head_sequence, spool.spooled, "", spool.dropped)  # noqa: FBT003


def linked(cloud: Cloud, spool: Spool) -> None:
    """All goes to the cloud, and its word comes back."""
    for payload in payloads_of(spool):
        assert not cloud.take(payload).refused
    known = cloud.devices[DEVICE, spool.epoch]
    assert isinstance(known, EpochState)
    spool.forget(committed_of(spool.epoch, known))
    assert (spool.spooled, spool.dropped) == (0, 0)


@pytest.mark.parametrize("break_it", [zero_half, flip_a_bit])
@pytest.mark.parametrize("limits", [Limits(2**26, 60, 1e9), NARROW], ids=["whole", "thinned"])
@pytest.mark.parametrize("is_killed", [False, True], ids=["", "killed before it tells"])
def test_lost_0_is_said_of_nothing_that_a_broken_spool_has_lost(
    tmp_path: Path, break_it: Callable[[Path], None], limits: Limits, *, is_killed: bool
) -> None:
    spool, book = thinned_spool(tmp_path, 1_500, limits)
    cloud = Cloud(book)
    with spool:
        linked(cloud, spool)
        before = status_of(spool)
        thinned_before, measured_before = spool.thinned_total, spool.measured_total
        fill(spool, 4_500, urgent_every=700)
        thinned = spool.thinned_total - thinned_before
        measured = spool.measured_total - measured_before
    break_it(sorted((tmp_path / "spool").glob("*.log"))[-2])
    with new_spool(tmp_path, limits) as spool:
        saved, lost = spool.spooled, spool.broken_total
        linked(cloud, spool)
        found = said_of(cloud, spool, before)
        assert (found.lost, found.unsure) == (None, "ended_epoch"), "it has not told yet"
    if is_killed:
        with contextlib.suppress(FileNotFoundError):
            (tmp_path / "tally").unlink()
    with new_spool(tmp_path, limits) as spool:
        spool.append(samples(1))
        assert spool.tell_refused()
        assert not spool.tell_refused(), "once"
        [told] = told_by(spool)
        assert told == Ended(1, before.head_sequence + measured, saved, measured - saved - told.thinned, told.thinned)
        assert told.thinned <= thinned, "of what was thinned in the segment that is broken no frame tells"
        linked(cloud, spool)
        found = said_of(cloud, spool, before)
        assert (found.lost, found.unsure, found.spooled) == (told.lost, None, 0)
        assert found.expected + found.thinned == spool.measured_total or is_killed
        assert told.lost == lost > 0
    with new_spool(tmp_path, limits) as spool:
        assert not spool.tell_refused(), "nor at the next start"


@pytest.mark.parametrize("is_word_heard", [True, False])
def test_what_was_saved_of_a_thinned_backlog_that_was_on_its_way_is_not_thinned(
    tmp_path: Path, *, is_word_heard: bool
) -> None:
    spool, book = thinned_spool(tmp_path)
    cloud = Cloud(book)
    for place, payload in enumerate(payloads_of(spool)):
        assert not cloud.take(payload).refused
        if place > 100 and payload.thinned:  # else what has come beyond it is saved as well
            break
    with spool:
        before, thinned = status_of(spool), spool.thinned_total
        known = cloud.devices[DEVICE, 1]
        assert isinstance(known, EpochState)
        assert 500 < known.thinned < thinned - 500
        if is_word_heard:
            spool.forget(committed_of(1, known))
    raise_epoch(tmp_path, 1)
    with new_spool(tmp_path) as spool:
        spool.append(samples(1))
        spool.tell_refused()
        [told] = told_by(spool)
        assert told.committed == (known.marks.contiguous if is_word_heard else 0)
        linked(cloud, spool)
        found = said_of(cloud, spool, before)
        assert (found.lost_at_least, found.spooled) == (0, 0)
        if is_word_heard:
            assert (found.lost, found.unsure, found.thinned) == (0, None, thinned)
        else:
            assert found.unsure == "broken"
            assert thinned - 200 < found.thinned <= thinned, "at the least"


@pytest.mark.parametrize("committed", [0, 700, 1_500])
@pytest.mark.parametrize("is_moved", [False, True], ids=["", "segment by segment"])
def test_a_first_segment_that_is_gone_without_having_been_committed_is_lost_and_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: int, *, is_moved: bool
) -> None:
    spool, book = thinned_spool(tmp_path, 0, Limits(2**26, 60, 1e9))
    cloud = Cloud(book)
    with spool:
        for start in range(1, 4_001, 100):
            spool.append(samples(100, start))
        for payload in payloads_of(spool, committed or 1):
            if committed:
                assert not cloud.take(payload).refused
                spool.forget(committed_of(1, cloud.devices[DEVICE, 1]))  # type: ignore[arg-type]
            break
        before = status_of(spool)
    first, second, *_ = sorted((tmp_path / "spool").glob("*.log"))
    first.unlink()
    gone = int(second.name[5:21]) - 1
    lost = max(0, gone - committed)
    assert status(tmp_path)["committed_contiguous"] == committed
    if is_moved:
        monkeypatch.setattr(spool_rescue, "_has_room_for_both", lambda *_: False)
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.broken_total, spool.measured_total) == (2, lost, 4_000)
        spool.append(samples(1))
        spool.tell_refused()
        assert told_by(spool) == [Ended(1, 4_000, 4_000 - committed - lost, lost, 0)]
        linked(cloud, spool)
        found = said_of(cloud, spool, before)
        assert (found.lost, found.unsure) == (lost, None)
        assert spool.broken_total == lost


def test_where_no_word_is_whole_any_more_what_was_let_go_is_not_lost(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        for start in range(1, 1_501, 100):
            spool.append(samples(100, start))
        spool.forget(true_word(spool, 1_400))
    [path] = (tmp_path / "spool").glob("*.log")
    before, data = int(path.name[5:21]) - 1, bytearray(path.read_bytes())
    for one in content_of(bytes(data)).frames:
        if one.kind == Kind.COMMITTED:
            data[one.end - 1] ^= 1
    path.write_bytes(data)
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.broken_total, spool.spooled) == (2, 0, 1_500 - before)
        spool.append(samples(1))
        spool.tell_refused()
        assert told_by(spool) == [Ended(1, 1_500, 1_500 - before, 0, 0)]


def test_what_is_let_go_is_known_to_be_committed_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has the word before a segment goes; one of which none goes need not wait for the disk."""
    waited: list[int] = []
    real = os.fdatasync
    with new_spool(tmp_path) as spool:
        for start in range(1, 4_001, 100):
            spool.append(samples(100, start))
        folder = tmp_path / "spool"
        unlinked = Path.unlink

        def wait(descriptor: int) -> None:
            waited.append(descriptor)
            real(descriptor)

        def unlink(path: Path, missing_ok: bool = False) -> None:
            assert waited, f"{path} goes before the disk has the word"
            unlinked(path, missing_ok=missing_ok)

        monkeypatch.setattr(os, "fdatasync", wait)
        monkeypatch.setattr(Path, "unlink", unlink)
        files = len([*folder.glob("*.log")])
        for contiguous in (100, 200, 300):
            spool.forget(true_word(spool, contiguous))
        assert (waited, len([*folder.glob("*.log")])) == ([], files)
        spool.forget(true_word(spool, 3_900))
        assert (len(waited), len([*folder.glob("*.log")])) == (1, 1)


def test_what_one_life_could_not_tell_any_more_the_next_one_tells(tmp_path: Path) -> None:
    for epoch in range(1, LIVES_KEPT + 4):
        with new_spool(tmp_path) as spool:
            assert spool.epoch == epoch
            spool.append(samples(epoch))
        for path in (tmp_path / "spool").glob("*.log"):
            path.write_bytes(bytes(900))
    with new_spool(tmp_path) as spool:
        spool.append(samples(1))
        assert spool.tell_refused()
        lives = [Ended(epoch, epoch, 0, epoch, 0) for epoch in range(4, LIVES_KEPT + 4)]
        assert told_by(spool) == lives == [*lives_in(tmp_path / "spool")]
    (tmp_path / "spool" / ENDED_FILE).write_bytes(b"nothing that is whole")
    with new_spool(tmp_path) as spool:
        assert not spool.tell_refused()


def test_what_a_life_has_told_is_told_again_by_the_next_for_it_may_be_lost_with_it(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        with new_spool(tmp_path) as spool:
            spool.append(samples(5))
            assert spool.tell_refused() is (epoch > 1)
            assert [told.epoch for told in told_by(spool) if told.lost] == [*range(1, epoch)]
        for path in (tmp_path / "spool").glob("*.log"):
            path.write_bytes(bytes(900))


def test_lives_of_which_the_disk_cannot_read_the_file_at_once_are_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(70))
    raise_epoch(tmp_path, 1)
    new_spool(tmp_path).close()
    real, tries = Path.read_bytes, []

    def read_bytes(path: Path) -> bytes:
        if path.name == ENDED_FILE:
            tries.append(path)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with new_spool(tmp_path) as spool:
        spool.append(samples(1))
        assert spool.tell_refused()
        assert (told_by(spool), bool(tries)) == ([Ended(1, 70, 70, 0, 0)], True)


def test_what_is_known_of_an_ended_epoch_stays_when_the_next_one_declares_what_it_has_thinned(tmp_path: Path) -> None:
    spool, book = thinned_spool(tmp_path, 100, NARROW)
    spool.close()
    raise_epoch(tmp_path, 1)
    cloud = Cloud(book)
    with new_spool(tmp_path, NARROW) as spool:
        spool.append(samples(1))
        spool.tell_refused()
        linked(cloud, spool)
        fill(spool, 6_000)
        linked(cloud, spool)
        known = cloud.devices[DEVICE, spool.epoch]
        assert isinstance(known, EpochState)
        assert (known.thinned > 0, known.ended) == (True, (Ended(1, 100, 100, 0, 0),))


def test_a_folder_that_was_taken_away_has_lost_all_that_the_cloud_has_not(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(70))
    for path in (tmp_path / "spool").iterdir():
        path.unlink()
    with new_spool(tmp_path) as spool:
        spool.append(samples(1))
        spool.tell_refused()
        assert told_by(spool) == [Ended(1, 70, 0, 70, 0)]


@pytest.mark.parametrize(
    "values", [(2, 9, 0, 0, 0), (0, 9, 0, 0, 0), (1, 9, 5, 5, 0), (1, 9, -1, 0, 0), (1, 9, 0, 0), (1, 9, 3, 3, 3)]
)
def test_what_cannot_be_is_not_believed(values: Sequence[int]) -> None:
    found = ended_of(dict(zip(ENDED_CHANNELS, values, strict=False)), 2)
    assert found == (Ended(*values) if values == (1, 9, 3, 3, 3) else None)
