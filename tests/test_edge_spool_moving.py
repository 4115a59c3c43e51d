"""A broken spool on a disk that has no room for two: it goes into the new one segment by segment, or waits."""

import contextlib
import errno
import logging
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from edge_support import DEVICE, WIDE, new_spool, samples
from test_edge_spool_bounds import ROUNDS
from test_edge_spool_rescue import (
    OLD,
    REFUSED,
    UNDATED,
    WAITING,
    Disk,
    GoneError,
    break_frames,
    half_handed,
    opened,
)
from test_edge_undated import numbers

from pledgewatch_edge import identity
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool import moving as spool_moving
from pledgewatch_edge.spool.errors import SpoolError
from pledgewatch_edge.spool.file import open_spool, status, whose_spool
from pledgewatch_edge.spool.log import SEGMENT_READINGS, content_of, runs_in
from pledgewatch_edge.spool.reserve import RESERVE_BYTES, RESERVE_FILE
from pledgewatch_edge.undated import UNDATED_FILE
from pledgewatch_wire.reading import Cell, Channel

COUNT = 20 * SEGMENT_READINGS
SEGMENT_ROOM = 160_000  # enough for a segment and what is beside it, and not for a second log
STRIDE = 1 if ROUNDS >= 1_000 else 4  # of the steps of a rescue
HOW = ("killed before", "killed halfway", "killed after", "EIO", "ENOSPC")


def used(folder: Path) -> int:
    """How many bytes the files of a folder hold."""
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())


@contextlib.contextmanager
def room_for(
    bytes_more: int, folder: Path, patch: pytest.MonkeyPatch, *, number: int = errno.ENOSPC, is_told: bool = True
) -> Iterator[list[int]]:
    """The disk has room for so much more than lies in the folder, and tells it, or not; how many bytes each write put
    there."""
    pwrite = os.pwrite
    most = used(folder) + bytes_more
    written: list[int] = []

    def write(descriptor: int, data: bytes, at: int) -> int:
        if used(folder) + len(data) > most:
            raise OSError(number, os.strerror(number))
        written.append(len(data))
        return pwrite(descriptor, data, at)

    def statvfs(_: Path) -> SimpleNamespace:
        free = most - used(folder) if is_told else 2**40
        return SimpleNamespace(f_bavail=max(0, free), f_frsize=1, f_blocks=1)

    with patch.context() as inner:
        inner.setattr(os, "pwrite", write)
        inner.setattr(os, "statvfs", statvfs)
        yield written


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a log of twenty segments that is not gone on with."""
    folder = tmp_path_factory.mktemp("made") / "state"
    with new_spool(folder) as spool:
        for start in range(1, COUNT + 1, SEGMENT_READINGS):
            spool.append(scattered(SEGMENT_READINGS, start))
    identity.raise_epoch(folder, 1)
    assert len(list((folder / "spool").glob("*.log"))) == COUNT // SEGMENT_READINGS
    return folder


@pytest.fixture
def state(tmp_path: Path, made: Path) -> Path:
    """That folder, for one test."""
    folder = tmp_path / "state"
    shutil.copytree(made, folder)
    return folder


def scattered(count: int, start: int) -> list[Sample]:
    """Samples that tell their numbers, as many bytes each as one of a chip of many channels."""
    dice = random.Random(start)
    more = (Channel.HUMIDITY_CPERCENT, Channel.BATTERY_MV, Channel.ALTITUDE_MM)
    return [
        one._replace(cells=(*one.cells, *(Cell(channel, dice.randrange(2**30)) for channel in more)))
        for one in samples(count, start)
    ]


def listed(folder: Path) -> list[tuple[str, int, int]]:
    """What lies in a folder, and when it was written."""
    return sorted(
        (str(one.relative_to(folder)), one.stat().st_mtime_ns, one.stat().st_size if one.is_file() else 0)
        for one in folder.rglob("*")
    )


def test_where_there_is_no_room_for_a_segment_it_waits_and_writes_nothing(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / RESERVE_FILE).unlink()
    (state / "spool.broken-1").mkdir()
    (state / "spool.broken-1" / "some").write_bytes(bytes(50_000))
    before = listed(state)
    for _ in range(3):
        with room_for(1_000, state, monkeypatch) as written, pytest.raises(SpoolError, match="waits for room"):
            new_spool(state)
        assert (listed(state), written) == (before, []), "neither evidence nor the reserve goes for nothing"
        assert status(state)["spooled"] == COUNT
    assert identity.read_epoch(state) == 2, "an epoch is not used up by each try"
    with room_for(60_000, state, monkeypatch), new_spool(state) as spool:
        assert (spool.epoch, spool.spooled, spool.measured_total) == (3, COUNT, COUNT)
    assert not (state / "spool.broken-1").exists(), "with it there was room"


def test_where_evidence_has_the_room_for_both_it_goes_the_oldest_first(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = used(state / "spool")
    for number in (1, 2):
        (state / f"spool.broken-{number}").mkdir()
        (state / f"spool.broken-{number}" / "some").write_bytes(bytes(size + 300_000))
    with room_for(size // 2, state, monkeypatch), new_spool(state) as spool:
        assert (spool.epoch, spool.spooled, spool.measured_total) == (3, COUNT, COUNT)
    assert sorted(one.name for one in state.glob("spool.broken-*")) == ["spool.broken-2", "spool.broken-3"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("is_told", [True, False], ids=["told", "quota"])
def test_with_room_for_a_segment_all_is_moved_and_only_what_is_broken_stays(
    state: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, is_told: bool
) -> None:
    logs = sorted((state / "spool").glob("*.log"))
    data = bytearray(logs[5].read_bytes())
    frame = next(one for one in content_of(bytes(data)).frames if list(runs_in([one])))
    [run] = runs_in([frame])
    data[frame.end - 1] ^= 1
    logs[5].write_bytes(data)
    size = used(state)
    with room_for(SEGMENT_ROOM, state, monkeypatch, number=number, is_told=is_told) as written:
        with new_spool(state) as spool:
            left = [one for one in range(1, COUNT + 1) if not run.first <= one <= run.last]
            assert (spool.epoch, numbers(spool)) == (3, left)
            assert spool.broken_total == run.last - run.first + 1
            assert (spool.measured_total, spool.refused_total, spool.thinned_total) == (COUNT, 0, 0)
            spool.append(scattered(100, COUNT + 1))
            assert spool.tell_refused(), "it says what has become of the old life"
        assert used(state) <= size + SEGMENT_ROOM
        assert sum(written) < (1 if is_told else 2) * size, "it is not tried where it has no room"
    assert [one.read_bytes() for one in state.glob("spool.broken-*/*.log")] == [data]
    assert identity.read_epoch(state) == 3, "else the next life would have the same"
    with new_spool(state) as spool:
        assert (spool.epoch, spool.head_sequence) == (3, len(left) + 102)


@pytest.mark.parametrize(("is_told", "room"), [(True, SEGMENT_ROOM - RESERVE_BYTES), (False, 0)], ids=["told", "quota"])
def test_the_room_that_is_kept_for_thinning_is_given_up_for_it(
    state: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, room: int, *, is_told: bool
) -> None:
    assert (state / RESERVE_FILE).stat().st_size == RESERVE_BYTES
    with room_for(room, state, monkeypatch, is_told=is_told), new_spool(state) as spool:
        assert (spool.epoch, spool.spooled) == (3, COUNT)
    assert caplog.text.count(f"removing={RESERVE_FILE}") == 1
    assert (state / RESERVE_FILE).exists() != is_told, "an opened spool takes it again where it is told of room"


def test_what_stays_as_evidence_of_it_goes_where_the_rest_has_no_room_else(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / RESERVE_FILE).unlink()
    logs = sorted((state / "spool").glob("*.log"))
    for path in logs[2:8]:
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            file.write(b"\xff\xff")
    with room_for(125_000, state, monkeypatch), new_spool(state) as spool:
        assert (spool.epoch, spool.measured_total, spool.spooled) == (3, COUNT, COUNT - spool.broken_total)
        assert 6 <= spool.broken_total < 6 * SEGMENT_READINGS
        assert len(set(numbers(spool))) == spool.spooled
    assert len(list(state.glob("spool.broken-*/*.log"))) < 6


def test_a_segment_is_on_the_disk_with_its_name_before_its_old_one_goes(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room(monkeypatch)
    done: list[str] = []
    flush, replace, unlink = identity.flush_folder, Path.replace, Path.unlink

    def flushed(folder: Path) -> None:
        done.append(f"flush {folder.name}")
        flush(folder)

    def replaced(path: Path, target: Path) -> Path:
        done.append(f"put in {target.parent.name}")
        return replace(path, target)

    def unlinked(path: Path, *, missing_ok: bool = False) -> None:
        if path.parent.name == "spool" and path.suffix == ".log":
            done.append("remove")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(spool_moving, "flush_folder", flushed)
    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(Path, "unlink", unlinked)
    new_spool(state).close()
    moved = [what for what in done if what in {"put in spool.moving", "flush spool.moving", "remove"}]
    each = COUNT // SEGMENT_READINGS
    assert moved[: 3 * each] == ["put in spool.moving", "flush spool.moving", "remove"] * each


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As with the rescue of one piece, in segments of a few readings."""
    folder = tmp_path_factory.mktemp("broken")
    half_handed(folder, 12)
    assert len(list((folder / "spool").glob("*.log"))) > 4
    return folder


def no_room(patch: pytest.MonkeyPatch) -> None:
    """The disk says that a second log has no room."""
    patch.setattr("pledgewatch_edge.spool.rescue._has_room_for_both", lambda *_: False)


def assert_all_there(folder: Path, gone: set[int], said: object) -> None:
    """What is whole is there once, and nothing is left of the moving."""
    status(folder)
    assert whose_spool(folder)[0] == DEVICE
    expected = sorted({*OLD, *UNDATED, *WAITING} - (gone & {*OLD}))
    for _ in range(2):
        found, refused, epoch = opened(folder)
        assert sorted(found) == expected, said
        assert (refused, 2 <= epoch <= 6) == (REFUSED, True), said
    names = ("spool.part", "spool.new", "spool.moving", "spool/planned", UNDATED_FILE)
    assert not any((folder / name).exists() for name in names), said


@pytest.mark.parametrize("how", HOW)
def test_whatever_happens_at_any_step_of_the_moving_all_that_is_whole_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Path, how: str
) -> None:
    no_room(monkeypatch)
    at, is_over = HOW.index(how) % STRIDE, False
    while not is_over:
        folder = tmp_path / str(at)
        shutil.copytree(broken, folder)
        gone = break_frames(folder, random.Random(at))
        key = identity.load_or_create_key(folder)
        with monkeypatch.context() as patch:
            disk = Disk(patch, at, how)
            with contextlib.suppress(GoneError, SpoolError):
                open_spool(folder, DEVICE, key, WIDE, lambda: 0.0).close()
        assert_all_there(folder, gone, (at, how))
        shutil.rmtree(folder)
        is_over = disk.is_over
        at += STRIDE
    assert at > 60


def test_failures_in_a_row_at_any_steps_lose_and_double_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Path
) -> None:
    no_room(monkeypatch)
    for number in range(40):
        chance = random.Random(number)
        folder = tmp_path / str(number)
        shutil.copytree(broken, folder)
        gone = break_frames(folder, chance)
        key = identity.load_or_create_key(folder)
        said = []
        for _ in range(chance.randrange(2, 5)):
            at, how = chance.randrange(90), chance.choice(HOW)
            said.append((at, how))
            with monkeypatch.context() as patch, contextlib.suppress(GoneError, SpoolError):
                Disk(patch, at, how)
                open_spool(folder, DEVICE, key, WIDE, lambda: 0.0).close()
        assert_all_there(folder, gone, (number, said))
        shutil.rmtree(folder)


def _stopped_after(count: int, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The moving is killed when so many segments are moved, and before the old ones of the last are removed."""
    put: Callable[..., None] = spool_moving._put_segment
    left = iter(range(count))

    def stop(*arguments: object) -> None:
        put(*arguments)
        if next(left, None) == count - 1:
            raise GoneError

    with patch.context() as inner:
        inner.setattr(spool_moving, "_put_segment", stop)
        with pytest.raises(GoneError):
            new_spool(folder)


@pytest.mark.parametrize("is_source_left", [True, False])
def test_a_moved_segment_that_breaks_is_moved_again_or_counted(
    state: Path, monkeypatch: pytest.MonkeyPatch, *, is_source_left: bool
) -> None:
    no_room(monkeypatch)
    _stopped_after(3, state, monkeypatch)
    assert (status(state)["spooled"], status(state)["measured"]) == (COUNT, COUNT)
    [*_, third] = sorted((state / "spool.moving").glob("*.log"))
    third.write_bytes(bytes(third.stat().st_size))
    if not is_source_left:
        min((state / "spool").glob("*.log")).unlink()
    with new_spool(state) as spool:
        found = spool.spooled
        assert spool.broken_total == COUNT - found
        assert (found == COUNT) is is_source_left
        assert found >= COUNT - SEGMENT_READINGS
        assert (spool.epoch, spool.measured_total, len(set(numbers(spool)))) == (3, COUNT, found)
        spool.append(samples(1, COUNT + 1))
        spool.tell_refused()
        [ended] = [one for one in spool.read(found, 9) if len(one.cells) == 5]
        assert [cell.value for cell in ended.cells] == [1, COUNT, found, COUNT - found, 0]
    assert len(list(state.glob("spool.broken-*/*.broken"))) == 1


def test_what_more_of_the_old_log_breaks_while_it_is_moved_is_counted(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room(monkeypatch)
    _stopped_after(3, state, monkeypatch)
    [*_, last] = sorted((state / "spool").glob("*.log"))
    last.write_bytes(last.read_bytes()[:200] + bytes(last.stat().st_size - 200))
    with new_spool(state) as spool:
        assert (spool.measured_total, spool.broken_total) == (COUNT, COUNT - spool.spooled)
        assert 0 < spool.broken_total <= SEGMENT_READINGS


def test_what_is_said_to_be_lost_is_what_this_moving_lost(
    state: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pledgewatch_edge.spool.moving")
    no_room(monkeypatch)
    [*_, last] = sorted((state / "spool").glob("*.log"))
    last.write_bytes(last.read_bytes()[:200] + bytes(last.stat().st_size - 200))
    with new_spool(state) as spool:
        found = spool.spooled
        identity.keep_epoch(state, spool.epoch + 1)
    with new_spool(state) as spool:
        assert (spool.spooled, spool.broken_total) == (found, COUNT - found)
    said = [one.getMessage().partition("readings=")[2] for one in caplog.records if "moved epoch" in one.getMessage()]
    assert said == [f"{found} lost={COUNT - found}", f"{found} lost=0"]
