"""A new life of the spool on a disk that has no room for two of them: the broken log goes into it segment by segment.

    spool             what is not moved yet, and what of the rest is broken: evidence, as long as there is room for it
    spool.moving      the new life: segments, and what is left of `undated.log`
    spool.moving/planned      the tally and the ended lives as they are to be, if all goes on as it was found

All of the log is read first, and what will be counted is put down, with the epoch; from then on every start goes on
with the moving. A segment of the new life is made of one of the old one. It has its name only once it is whole on the
disk, and tells there which was moved last (MOVED, at its begin and its end); what is up to that is removed then, and
passed over where a power cut brings it back. So the disk needs room for one segment more, and a kill or a disk that
refuses, at any step, loses and doubles nothing. Nobody has heard of the new numbers before all is moved. Then what was
found less than planned, for more of the old log broke meanwhile, is counted as broken, and the new life is put in its
place as any other (spool/rescue.py).

A segment of the new life that tells no more what was moved, for the disk has lost that, is put to the evidence: what it
was made of is moved again, or counted as broken where it is not there any more.
"""

import logging
import os
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_edge.identity import Tally, Totals, flush_folder, keep_epoch, next_epoch, read_totals
from pledgewatch_edge.spool.ended import ENDED_FILE, lives_in, write_lives
from pledgewatch_edge.spool.errors import UNREADABLE, disk_errors
from pledgewatch_edge.spool.frames import Stand, framed
from pledgewatch_edge.spool.log import (
    Frame,
    Head,
    Kind,
    committed_frame,
    content_of,
    frame,
    head_frame,
    read_around,
    segment_name,
    segments_in,
    write_durably,
)
from pledgewatch_edge.spool.places import (
    MOVING_FOLDER,
    NEW_FOLDER,
    PART_FOLDER,
    SMALL_BYTES,
    SPOOL_FOLDER,
    needed_to_move,
    with_room,
)
from pledgewatch_edge.spool.segment import begin_segment
from pledgewatch_edge.spool.whole import Numbers, Unit, units, whole
from pledgewatch_edge.undated import UNDATED_FILE, Handing
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Checkpoint
from pledgewatch_wire.ended import Ended

PLANNED: Final = "planned"
_MOVED: Final = struct.Struct(">IQQQ32s")  # epoch and first number of the file that was moved last; then the Stand
log = logging.getLogger(__name__)


class _At(NamedTuple):
    """What was moved last, by the epoch and first number of its name, and how the new life stands after it."""

    moved: tuple[int, int]
    stand: Stand


def plan_move(folder: Path, device: str, totals: Totals) -> None:
    """Find out what is to be moved, and begin it. Raises SpoolError, and then nothing is begun; StateError where the
    epoch counter is lost."""
    with_room(folder, needed_to_move(folder), lambda: _plan(folder, device, totals))
    log.warning("spool has no room for a second one: it goes into the new one segment by segment")


def _plan(folder: Path, device: str, totals: Totals) -> None:
    spool, part = folder / SPOOL_FOLDER, folder / PART_FOLDER
    shutil.rmtree(part, ignore_errors=True)
    handing = Handing(folder, totals.refused)
    numbers = Numbers(spool, totals, handing)
    count = sum(1 for _ in whole(spool, device, numbers))
    epoch = next_epoch(folder, totals.epoch)
    ended, rest = numbers.ended(), handing.rest()
    with disk_errors(part):
        (part / PLANNED).mkdir(parents=True)
        _write_tally(part / PLANNED, numbers.counted(totals, totals.begun_anew(epoch), count, count))
        if rest is not None:
            put_file(part / UNDATED_FILE, rest)
    write_lives(part / PLANNED, [*lives_in(spool), *([] if ended is None else [ended])])
    with disk_errors(part):
        flush_folder(part / PLANNED)
        flush_folder(part)
        keep_epoch(folder, epoch)
        part.replace(folder / MOVING_FOLDER)  # from now on this is what is to be done


def go_on_moving(folder: Path, device: str, key: Ed25519PrivateKey, every_readings: int) -> None:
    """Move what is not moved yet, if that was begun; then the new life only needs its place. Raises SpoolError; to be
    called again then, before anything else looks at the folder."""
    moving, spool = folder / MOVING_FOLDER, folder / SPOOL_FOLDER
    if not moving.exists():
        return
    with disk_errors(moving):
        flush_folder(folder)
        planned = read_totals(moving / PLANNED)
        epochs = [epoch for epoch, _, _ in segments_in(moving)]
        epoch = max([planned.epoch, *epochs]) or next_epoch(folder, 0) - 1
        at = _found_at(moving, spool, device, epoch)

    def sign(sequence: int, chain_hash: bytes) -> Checkpoint:
        return Checkpoint(sequence, chain.sign(key, device, epoch, sequence, chain_hash))

    evidence = [*spool.glob("*.broken")]
    for unit in units(spool, device):
        if unit.names[-1] > at.moved and unit.samples:
            head = Head(device, epoch, at.stand.last + 1, at.stand.signed, at.stand.chain_hash)
            made = framed(unit.samples, epoch, at.stand, sign, every_readings)
            at = _At(unit.names[-1], made.stand)
            _put_segment(folder, head, made.data, at, evidence)
        evidence += _removed(unit)
    with disk_errors(moving):
        if not at.stand.last:
            _, descriptor = begin_segment(moving, Head(device, epoch, 1, 0, chain.genesis(device, epoch)), 0)
            os.close(descriptor)
        if not any(spool.glob("*.log*")):
            (spool / ENDED_FILE).unlink(missing_ok=True)  # what it tells is in the plan
    _settle(folder, planned._replace(epoch=epoch), at.stand.last)


def _found_at(moving: Path, spool: Path, device: str, epoch: int) -> _At:
    """How far the moving has come. Raises OSError."""
    for stale in moving.glob("*.new"):
        stale.unlink()
    for _, _, path in reversed(segments_in(moving)):
        try:
            frames = content_of(read_around(path)).frames
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            frames = []
        for one in reversed(frames):
            if (at := _at_of(one)) is not None:
                return at
        log.error("spool segment that was moved is broken file=%s", path.name)
        path.replace(spool / f"{path.name}.broken")
    return _At((0, 0), Stand(0, chain.genesis(device, epoch), 0))


def _at_of(one: Frame) -> _At | None:
    if one.kind != Kind.MOVED or len(one.body) != _MOVED.size:
        return None
    epoch, first, last, signed, chain_hash = _MOVED.unpack(one.body)
    return _At((epoch, first), Stand(last, chain_hash, signed))


def _put_segment(folder: Path, head: Head, data: bytes, at: _At, spare: Sequence[Path]) -> None:
    """A segment of the new life, all of it or nothing. Raises SpoolError."""
    moved = frame(Kind.MOVED, _MOVED.pack(*at.moved, at.stand.last, at.stand.signed, at.stand.chain_hash))
    whole_data = head_frame(head) + committed_frame(0) + moved + data + moved
    path = folder / MOVING_FOLDER / segment_name(head.epoch, head.first)

    def put() -> None:
        fresh = path.with_suffix(".new")
        with disk_errors(path):
            fresh.unlink(missing_ok=True)
            put_file(fresh, whole_data)
            fresh.replace(path)
            flush_folder(path.parent)

    with_room(folder, len(whole_data) + SMALL_BYTES, put, [one for one in spare if one.exists()])


def _removed(unit: Unit) -> list[Path]:
    """Remove what was moved; what of it is broken stays, as evidence. Raises SpoolError."""
    for path in unit.paths:
        if path not in unit.broken:
            with disk_errors(path):
                path.unlink(missing_ok=True)
    return unit.broken


def _settle(folder: Path, planned: Totals, last: int) -> None:
    """Count what has become of the plan, and have the new life wait for its place. Raises SpoolError."""
    moving = folder / MOVING_FOLDER
    with disk_errors(folder):
        before = read_totals(folder).broken  # in the tally of the old life, which stays until the new one has its place
    less = planned.head_sequence - last
    counted = planned._replace(
        head_sequence=last,
        measured_before=max(0, planned.measured_before + less),
        broken=planned.broken + max(0, less),
    )
    lives = [*lives_in(moving / PLANNED)]
    if lives and less > 0:
        lives[-1] = _with_less(lives[-1], less)

    def put() -> None:
        with disk_errors(moving):
            _write_tally(moving, counted)
            (moving / ENDED_FILE).unlink(missing_ok=True)
        write_lives(moving, lives)

    with_room(folder, SMALL_BYTES, put)
    with disk_errors(moving):
        flush_folder(moving)
        moving.replace(folder / NEW_FOLDER)
        flush_folder(folder)
    log.info("spool moved epoch=%d readings=%d lost=%d", planned.epoch, last, max(0, counted.broken - before))


def _with_less(ended: Ended, less: int) -> Ended:
    """What became of a life of which so many fewer were saved."""
    saved = max(0, ended.saved - less)
    return ended._replace(saved=saved, lost=ended.lost + ended.saved - saved)


def _write_tally(folder: Path, totals: Totals) -> None:
    """Raises OSError."""
    with Tally(folder) as tally:
        for _ in range(2):  # both slots, so that neither holds what is no longer so
            tally.write(totals)
        tally.flush()


def put_file(path: Path, data: bytes) -> None:
    """A new file, on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_durably(descriptor, data, 0)
    finally:
        os.close(descriptor)
