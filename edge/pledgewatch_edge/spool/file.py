"""Opening the spool: the log as it was left, or a new life.

After a power cut the newest segment may end in a frame that is not whole; it is cut off, for its numbers were given to
nobody. What cannot be explained so (a hole, a segment that is missing or belongs to another device, a sequence that the
tally or the cloud has seen and the log has not) is not gone on with: a new epoch begins, into which goes what is whole
(spool/rescue.py), and what was there is kept as evidence, the newest EVIDENCE_KEPT times. So it is with a segment that
the disk cannot read: what of it can be read goes on.

What is rescued has new numbers and the moments at which it was measured. What the cloud had already, without the device
knowing it yet, it then has twice: told twice is better than never.

The segments are gone through one after the other, and of one that was gone through only its spans stay: how much memory
it takes to open a spool does not grow with what is in it.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_edge.identity import TALLY_FILE, StateError, Tally, Totals, read_epoch, read_totals
from pledgewatch_edge.spool.age import Ages
from pledgewatch_edge.spool.ended import lives_in
from pledgewatch_edge.spool.errors import UNREADABLE, SpoolCorruptError, SpoolError, disk_errors, readable
from pledgewatch_edge.spool.log import (
    Content,
    committed_in,
    content_of,
    ended_in,
    late_of,
    payload_of,
    runs_in,
    segment_name,
    segments_in,
)
from pledgewatch_edge.spool.moving import PLANNED, go_on_moving
from pledgewatch_edge.spool.places import MOVING_FOLDER, SPOOL_FOLDER, spool_of
from pledgewatch_edge.spool.rescue import begin_life, finish
from pledgewatch_edge.spool.segment import Segment, segment_of, segment_or_bare
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_edge.undated import waiting_in
from pledgewatch_wire import chain

log = logging.getLogger(__name__)


class _Found(NamedTuple):
    """A log that is whole: its segments, and how the chain stands at its end."""

    segments: list[Segment]
    chain_hash: bytes
    signed: int
    contiguous: int


def open_spool(
    folder: Path,
    device: str,
    key: Ed25519PrivateKey,
    limits: Limits,
    monotonic: Callable[[], float] = time.monotonic,
) -> Spool:
    """The spool of a state folder, which exists and of which the caller has sole use.

    Raises StateError where the spool is another device's or the epoch counter is lost, SpoolError where the disk
    refuses.
    """
    finish(folder)
    go_on_moving(folder, device, key, limits.every_readings)
    finish(folder)
    tally = _tally(folder)
    try:
        ages = Ages(limits.age_s, monotonic)
        try:
            found = _existing(folder / SPOOL_FOLDER, device, tally.totals, ages)
        except SpoolCorruptError as error:
            found = None
            log.error("spool broken reason=%r", str(error))
        totals = tally.totals
        if not tally.is_readable:
            found = None  # it may have known of higher numbers than the log has
            epochs = [epoch for epoch, _, _ in segments_in(folder / SPOOL_FOLDER)]
            totals = totals.unsure(max(epochs, default=0))
            log.error("tally cannot be read: what was refused, thinned and broken before is not known any more")
        if found is None:
            begin_life(folder, device, key, limits, monotonic, totals)
            tally.close()
            tally = _tally(folder)
            ages = Ages(limits.age_s, monotonic)
            found = _new(folder / SPOOL_FOLDER, device, tally.totals, ages)
        spool = Spool(
            folder / SPOOL_FOLDER,
            found.segments,
            key,
            tally,
            limits,
            monotonic,
            chain_hash=found.chain_hash,
            signed=found.signed,
            contiguous=found.contiguous,
            ages=ages,
            ended=lives_in(folder / SPOOL_FOLDER),
        )
        try:
            _bring_up_to_date(tally, spool)
            spool.keep_reserve()
        except BaseException:
            spool.close()
            raise
    except BaseException:
        tally.close()
        raise
    return spool


def status(folder: Path) -> dict[str, int | str | None]:
    """How the spool stands, read from the disk only, also while an agent uses it. Raises SpoolError; SpoolCorruptError
    where a file of it is none."""
    moving = folder / MOVING_FOLDER
    spool_of(folder)  # says it where we may not look into the folder
    with disk_errors(folder / TALLY_FILE):
        totals = read_totals(moving / PLANNED if moving.exists() else folder)
        epoch = read_epoch(folder)
    found: dict[str, int | str | None] = {
        "epoch": epoch,
        "measured": totals.measured,
        "head_sequence": 0,
        "spooled": 0,
        "undated": waiting_in(folder),
        "spooled_bytes": 0,
        "refused": totals.settled(0).refused,
        "thinned": totals.thinned,
        "broken": totals.broken,
        "committed_contiguous": 0,
        "signed_sequence": 0,
        "oldest_spooled": None,
    }
    try:
        segments, signed, contiguous = _looked_at(spool_of(folder))
        left = [path for _, _, path in segments_in(folder / SPOOL_FOLDER)] if spool_of(folder) == moving else []
        left_bytes = sum(path.stat().st_size for path in left)
    except OSError as error:
        raise SpoolError(f"{error.filename}: {error.strerror}") from error
    if not segments:
        return found
    epoch, head_sequence = segments[-1].head.epoch, segments[-1].last
    runs = [run for one in segments for run in one.runs if run[1] > contiguous]
    before = totals.measured_before if totals.epoch == epoch else totals.measured
    beyond = max(0, head_sequence - totals.head_sequence) if totals.epoch == epoch else 0
    to_move = max(0, totals.head_sequence - head_sequence) if spool_of(folder) == moving else 0
    measured = totals.measured if moving.exists() else before + head_sequence  # what is moved was measured before
    return found | {
        "refused": totals.settled(beyond).refused,
        "epoch": epoch,
        "measured": measured,
        "head_sequence": head_sequence,
        "spooled": sum(last - max(first, contiguous + 1) + 1 for first, last in runs) + to_move,
        "spooled_bytes": sum(one.end for one in segments) + left_bytes,
        "committed_contiguous": contiguous,
        "signed_sequence": signed,
        "oldest_spooled": max(runs[0][0], contiguous + 1) if runs else None,
    }


def whose_spool(folder: Path) -> tuple[str, int]:
    """Whose the spool of a state folder is, and its epoch; empty and 0 where there is none. One that is broken at its
    beginning is nobody's. Raises SpoolError."""
    with disk_errors(folder):
        paths = [path for _, _, path in segments_in(spool_of(folder))]
    if not paths:
        return "", 0
    with disk_errors():
        segment, _ = segment_or_bare(paths[-1])
    return segment.head.device, segment.head.epoch


def _looked_at(folder: Path) -> tuple[list[Segment], int, int]:
    """The segments of the newest epoch as far as they can be read, up to where it is signed and committed. One that the
    agent removes meanwhile is passed over."""
    found: list[Segment] = []
    signed = contiguous = 0
    for epoch, _, path in segments_in(folder):
        with contextlib.suppress(FileNotFoundError):
            segment, content = segment_of(path)
            if found and epoch > found[-1].head.epoch:
                found, signed, contiguous = [], 0, 0
            if found and segment.last <= found[-1].last:
                continue  # it has become one with the one before
            found.append(segment)
            signed = max(signed, _signed_in(segment, content))
            contiguous = committed_in(content.frames, contiguous)
    return found, signed, min(contiguous, found[-1].last if found else 0)


def _existing(folder: Path, device: str, totals: Totals, ages: Ages) -> _Found | None:
    """The log that is there, if one is; its torn end is cut off. Raises SpoolCorruptError where it is broken."""
    with disk_errors():
        paths = _tidied(folder)
        if not paths:
            return None
        segments: list[Segment] = []
        content = Content([], 0, is_holed=False)
        contiguous = torn = 0
        for path in paths:
            segment, content = readable(path, segment_of)
            if segments and segments[-1].turns and segment.last <= segments[-1].last:
                path.unlink()  # it has become one with the one before
                continue
            _require_follows(segment, content, segments[-1] if segments else None, device)
            torn = path.stat().st_size - content.end
            if content.is_holed or (torn and path != paths[-1]):
                raise SpoolCorruptError(f"{path.name} has a hole")
            contiguous = committed_in(content.frames, contiguous)
            segments.append(segment)
    last = segments[-1]
    with disk_errors():
        counter = read_epoch(folder.parent) or 0
    if counter > last.head.epoch:
        raise SpoolCorruptError(f"it is of epoch {last.head.epoch}, and the counter is at {counter}")
    if totals.epoch == last.head.epoch and totals.head_sequence > last.last:
        raise SpoolCorruptError(f"it ends at {last.last}, but {totals.head_sequence} was given before")
    if segments[0].head.first - 1 > contiguous:
        raise SpoolCorruptError(f"{segments[0].path.name} is the first, and no more than {contiguous} was committed")
    if torn:  # only now: what is broken is evidence, and is not written to
        with disk_errors():
            os.truncate(last.path, last.end)
        log.warning("spool end torn cut_bytes=%d of=%s", torn, last.path.name)
    running = last.head.chain_hash
    try:
        for run in runs_in(content.frames):
            readings = payload_of(run).readings
            last.begin(readings, None)
            ages.hear(readings, from_disk=True)
            for reading in readings:
                running = chain.extend(running, chain.leaf(reading))
    except ValueError as error:
        raise SpoolCorruptError(str(error)) from None
    return _Found(segments, running, _signed_in(last, content), min(contiguous, last.last))


def _new(folder: Path, device: str, totals: Totals, ages: Ages) -> _Found:
    """The log that was just put there."""
    found = _existing(folder, device, totals, ages)
    if found is None:
        raise SpoolError(f"{folder}: it was put there, and is gone")
    return found


def _tidied(folder: Path) -> list[Path]:
    """The files of the log, without what a power cut has left half begun."""
    for stale in folder.glob("*.new"):
        stale.unlink()
    paths = [path for _, _, path in segments_in(folder)]
    if len(paths) > 1 and _is_empty(paths[-1]):
        paths.pop().unlink()  # a segment in which nothing stood yet
    return paths


def _is_empty(path: Path) -> bool:
    """Whether nothing whole stands in a file. Of one that the disk cannot read nobody knows it."""
    try:
        return not content_of(path.read_bytes()).frames
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        return False


def _require_follows(segment: Segment, content: Content, before: Segment | None, device: str) -> None:
    """Raise StateError where a segment is another device's, SpoolCorruptError where it is not the next of a log."""
    head = segment.head
    if head.device != device:
        raise StateError(
            f"the spool is that of device {head.device!r}, not {device!r}; use another state_folder, or the old name"
        )
    if segment_name(head.epoch, head.first) != segment.path.name:
        raise SpoolCorruptError(f"{segment.path.name} is another than it says")
    if before is not None and (head.epoch, head.first) != (before.head.epoch, before.last + 1):
        raise SpoolCorruptError(f"{segment.path.name} does not follow {before.path.name}")
    if ended := ended_in(content.frames):
        raise SpoolCorruptError(ended)


def _signed_in(segment: Segment, content: Content) -> int:
    """Up to where the chain is signed at a segment's end."""
    signed = segment.head.signed
    for one in content.frames:
        late = late_of(one)
        if late is not None:
            signed = max(signed, late.sequence)
    for run in runs_in(content.frames):
        if run.last > signed:
            with contextlib.suppress(ValueError):
                signed = max([signed, *(one.sequence for one in payload_of(run).checkpoints)])
    return signed


def _tally(folder: Path) -> Tally:
    with disk_errors(folder / TALLY_FILE):
        return Tally(folder)


def _bring_up_to_date(tally: Tally, spool: Spool) -> None:
    """Let the tally count from this spool on. Raises SpoolError where it cannot be written."""
    totals = tally.totals
    before = totals.measured_before if totals.epoch == spool.epoch else totals.measured
    found = spool.head_sequence - totals.head_sequence if totals.epoch == spool.epoch else 0
    fresh = totals.settled(found)._replace(epoch=spool.epoch, measured_before=before, head_sequence=spool.head_sequence)
    try:
        for _ in range(2):  # both slots, so that neither holds what is no longer so
            tally.write(fresh)
        tally.flush()
    except OSError as error:
        raise SpoolError(f"the tally cannot be written: {error.strerror}") from error
    spool.heed_tally()
