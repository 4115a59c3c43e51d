"""A new life of the spool: what is whole in a broken log goes into it, all of it or nothing yet.

It is made in `spool.part`, is called `spool.new` once it is whole and on the disk, and comes to its place in `finish`,
which moves that of before aside as evidence (spool/places.py).

Whole is also what goes with the log and must agree with it: the tally, and what waits for a date (undated.py), without
what of it the new log holds. Both lie in `spool.part` and come to their places with it. So a kill or a disk that
refuses, at any step, leaves the old as it was, or a rescue that the next start finishes; and what was carried over is
judged by what the rescue has read, not by what it might have. The disk holds both logs for that while; it is asked for
that room before anything is written. Where it has none, the evidence of earlier ones goes, the oldest first, if that
helps; else the old log goes into the new one segment by segment (spool/moving.py).

What of the old log the disk cannot read is taken for broken: the frames in those places are lost, and no others. How
many numbers no frame tells of any more, though they were given, is counted, and the new life says it in a reading
(`broken_readings`). What became of all of them, saved, lost or thinned, it says in another (spool/ended.py), so that
whoever had heard of the old life long ago knows how it ended.
"""

import logging
import os
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_edge.identity import TALLY_FILE, Tally, Totals, flush_folder, keep_epoch, next_epoch
from pledgewatch_edge.spool.age import Ages
from pledgewatch_edge.spool.ended import lives_in, write_lives
from pledgewatch_edge.spool.errors import SpoolError, disk_errors, is_for_want_of_room
from pledgewatch_edge.spool.log import SEGMENT_BYTES, Head, segments_in
from pledgewatch_edge.spool.moving import PLANNED, go_on_moving, plan_move, put_file
from pledgewatch_edge.spool.places import (
    BROKEN,
    EVIDENCE_KEPT,
    NEW_FOLDER,
    PART_FOLDER,
    SPOOL_FOLDER,
    broken_logs,
    files_in,
    has_room,
    number_of,
)
from pledgewatch_edge.spool.reserve import RESERVE_BYTES, room_taken
from pledgewatch_edge.spool.segment import begin_segment
from pledgewatch_edge.spool.spool import URGENT_RESERVE, Limits, Spool
from pledgewatch_edge.spool.whole import Numbers, whole
from pledgewatch_edge.undated import UNDATED_FILE, Handing
from pledgewatch_wire import chain

_AT_ONCE: Final = 1_000
log = logging.getLogger(__name__)


def begin_life(
    folder: Path,
    device: str,
    key: Ed25519PrivateKey,
    limits: Limits,
    monotonic: Callable[[], float],
    totals: Totals,
) -> None:
    """Make a spool of a new epoch out of what is whole in the one that is there, if one is, and put it in its place.

    Raises SpoolError where the disk refuses, and then nothing is lost; StateError where the epoch counter is.
    """
    if not (_has_room_for_both(folder, limits) and _was_copied(folder, device, key, limits, monotonic, totals)):
        plan_move(folder, device, totals)
        go_on_moving(folder, device, key, limits.every_readings)
    aside = finish(folder)
    if aside is not None:
        log.info("spool of before moved_to=%s", aside.name)


def _has_room_for_both(folder: Path, limits: Limits) -> bool:
    """Whether the file system says that there is room for a second spool; evidence goes for that where it helps, the
    oldest first. Raises SpoolError."""
    files = [path for _, _, path in segments_in(folder / SPOOL_FOLDER)]
    if not files:
        return True
    undated = [one for one in (folder / UNDATED_FILE,) if one.exists()]
    with disk_errors(folder):
        most = min(room_taken(files), round(URGENT_RESERVE * limits.bytes_max) + SEGMENT_BYTES)
        needed = most + room_taken(undated) + RESERVE_BYTES + SEGMENT_BYTES
    evidence = broken_logs(folder)
    while not has_room(folder, needed):
        if not has_room(folder, needed, [file for one in evidence for file in files_in(one)]):
            return False
        log.warning("spool has no room for a new one, removing evidence=%s", evidence[0].name)
        shutil.rmtree(evidence.pop(0), ignore_errors=True)
    return True


def _was_copied(
    folder: Path,
    device: str,
    key: Ed25519PrivateKey,
    limits: Limits,
    monotonic: Callable[[], float],
    totals: Totals,
) -> bool:
    """Make the new spool beside the old one; False where there was no room, whatever the file system says. Raises
    SpoolError, StateError."""
    try:
        rescued, lost, epoch = _make(folder, device, key, limits, monotonic, totals)
    except SpoolError as error:
        shutil.rmtree(folder / PART_FOLDER, ignore_errors=True)
        if not is_for_want_of_room(error):
            raise
        return False
    log.info("spool new epoch=%d rescued=%d lost=%d", epoch, rescued, lost)
    return True


def finish(folder: Path) -> Path | None:
    """Put a new spool that is whole in its place, if one is; where that of before was moved to. Raises SpoolError; to
    be called again then, before anything else looks at the folder."""
    fresh, spool, aside = folder / NEW_FOLDER, folder / SPOOL_FOLDER, None
    with disk_errors(fresh):
        if fresh.exists():
            flush_folder(folder)
            if spool.exists() and any(spool.iterdir()):
                evidence = broken_logs(folder)
                aside = folder / f"{BROKEN}{number_of(evidence[-1]) + 1 if evidence else 1}"
                spool.replace(aside)
                flush_folder(folder)
            for name in (TALLY_FILE, UNDATED_FILE):
                if (fresh / name).exists():
                    (fresh / name).replace(folder / name)
            flush_folder(folder)
            flush_folder(fresh)
            fresh.replace(spool)
            flush_folder(folder)
    for old in (folder / PART_FOLDER, spool / PLANNED, *broken_logs(folder)[:-EVIDENCE_KEPT]):
        shutil.rmtree(old, ignore_errors=True)
    return aside


def _make(
    folder: Path,
    device: str,
    key: Ed25519PrivateKey,
    limits: Limits,
    monotonic: Callable[[], float],
    totals: Totals,
) -> tuple[int, int, int]:
    """Make the new spool, all but its name on the disk; how many readings it was given, how many are lost, and its
    epoch."""
    part = folder / PART_FOLDER
    handing = Handing(folder, totals.refused)
    numbers = Numbers(folder / SPOOL_FOLDER, totals, handing)
    with disk_errors(part):
        epoch = next_epoch(folder, totals.epoch)
        part.mkdir()
        tally = Tally(part)
    with tally:
        tally.totals = totals.begun_anew(epoch)
        genesis = chain.genesis(device, epoch)
        segment, descriptor = begin_segment(part, Head(device, epoch, 1, 0, genesis), 0)
        os.close(descriptor)
        ages = Ages(limits.age_s, monotonic)
        rescued = 0
        with Spool(
            part, [segment], key, tally, limits, monotonic, chain_hash=genesis, signed=0, contiguous=0, ages=ages
        ) as spool:
            samples = whole(folder / SPOOL_FOLDER, device, numbers)
            while some := list(islice(samples, _AT_ONCE)):
                spool.append_once(some)  # what is whole goes on whole, or the rescue goes another way
                rescued += len(some)
            counted = numbers.counted(totals, tally.totals, rescued, spool.head_sequence)
            with disk_errors(part / TALLY_FILE):
                for _ in range(2):  # both slots, so that neither holds what is no longer so
                    tally.write(counted)
                tally.flush()
    ended = numbers.ended()
    if ended is not None:
        write_lives(part, [*lives_in(folder / SPOOL_FOLDER), ended])
    rest = handing.rest()
    with disk_errors(part):
        if rest is not None:
            put_file(part / UNDATED_FILE, rest)
        flush_folder(part)
        keep_epoch(folder, epoch)
        part.replace(folder / NEW_FOLDER)  # the last thing: what fails after it is for `finish`, not to be made anew
    return rescued, counted.broken - totals.broken, epoch
