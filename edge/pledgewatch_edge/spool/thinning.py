"""Thinning: what of a segment stays where there is no more room, by a rule that anybody can check, and its declaration.

Of the readings that are not urgent the first of each stretch of time stays, of each set of channels, so that no
sensor's readings push out another's. Urgent readings and the last of the segment always stay. What was dropped is
declared and signed (pledgewatch_wire.codec.Thinned); that travels with the last reading. Neighbours of which nothing
more can be dropped become one, so that of what is too old only one such reading stays and not one of each.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_edge.spool.contents import Contents
from pledgewatch_edge.spool.errors import disk_errors
from pledgewatch_edge.spool.log import (
    SEGMENT_READINGS,
    Head,
    head_frame,
    last_word,
    readings_frame,
    runs_in,
    thinned_frame,
    thinned_in,
    write_durably,
)
from pledgewatch_edge.spool.segment import Segment
from pledgewatch_wire import chain
from pledgewatch_wire.codec import MAX_READINGS, Thinned
from pledgewatch_wire.reading import Reading


class Rest(NamedTuple):
    """What stays of a segment, each with whether it is urgent, and what is said of the others; and the frame of the
    last word in it of what the cloud has, for an older segment may hold one that does not hold any more."""

    kept: tuple[tuple[Reading, bool], ...]
    thinned: Thinned
    word: bytes


def rest_of(segment: Segment, contents: Contents, key: Ed25519PrivateKey, keep_every_ms: int | None) -> Rest | None:
    """What stays of a segment, at most one reading in so long (None: none) of each set of channels; None where all
    does, or more than one declaration can name. Raises SpoolError, SpoolCorruptError."""
    frames = contents.frames(segment)
    before = thinned_in(frames)
    head = segment.head
    running = head.chain_hash
    kept: list[tuple[Reading, bool]] = []
    buckets: dict[int, int | None] = {}  # of each set of channels
    count = 0
    for run in runs_in(frames):
        for reading in contents.readings(run).readings:
            count += 1
            running = chain.extend(running, chain.leaf(reading))
            of_bucket = None if keep_every_ms is None else reading.measured_at_ms // keep_every_ms
            is_first = keep_every_ms is not None and not run.is_urgent and of_bucket != buckets.get(reading.channels)
            if run.is_urgent or is_first or reading.sequence == segment.last:
                kept.append((reading, run.is_urgent))
            if is_first:
                buckets[reading.channels] = of_bucket
    if len(kept) == count or len(kept) > MAX_READINGS:
        return None
    return _declared(head, kept, running if before is None else before.chain_hash, key, last_word(frames))


def rest_of_both(segment: Segment, following: Segment, contents: Contents, key: Ed25519PrivateKey) -> Rest | None:
    """What stays of two segments of which all was dropped that may be, as one: what is urgent, and the last of the one
    that follows. None where nothing would be dropped by that, or more stay than one segment holds. Raises SpoolError,
    SpoolCorruptError."""
    is_last_urgent = bool(segment.urgent) and segment.urgent[-1][1] == segment.last
    if is_last_urgent or segment.kept() + following.kept() > SEGMENT_READINGS:
        return None
    kept: list[tuple[Reading, bool]] = []
    running = following.head.chain_hash
    for one in (segment, following):
        for run in runs_in(contents.frames(one)):
            for reading in contents.readings(run).readings:
                if run.is_urgent or reading.sequence == following.last:
                    kept.append((reading, run.is_urgent))
                if one is following:
                    running = chain.extend(running, chain.leaf(reading))
    before = thinned_in(contents.frames(following))
    word = last_word([*contents.frames(segment), *contents.frames(following)])
    return _declared(segment.head, kept, running if before is None else before.chain_hash, key, word)


def _declared(
    head: Head, kept: Sequence[tuple[Reading, bool]], running: bytes, key: Ed25519PrivateKey, word: bytes
) -> Rest:
    """Readings that stay, and the signed word that up to the last of them all others will not come."""
    last = kept[-1][0].sequence
    digest = chain.kept_digest(chain.leaf(reading) for reading, _ in kept)
    text = chain.thinned_text(head.device, head.epoch, head.first, last, len(kept), running, digest)
    sequences = tuple(reading.sequence for reading, _ in kept)
    return Rest(tuple(kept), Thinned(head.first, last, sequences, running, digest, key.sign(text)), word)


def rewrite(segment: Segment, rest: Rest) -> None:
    """Put a thinned segment in the place of a whole one. Raises SpoolError, and then nothing has changed.

    A power cut may bring the whole one back until the folder has been flushed, which is the caller's to do."""
    data = head_frame(segment.head)
    runs: list[tuple[int, int, bool]] = []
    for readings, is_urgent in _consecutive(rest.kept):
        data += readings_frame(segment.head.epoch, readings, (), is_urgent=is_urgent)
        runs.append((readings[0].sequence, readings[-1].sequence, is_urgent))
    data += thinned_frame(rest.thinned) + rest.word
    fresh = segment.path.with_suffix(".new")
    with disk_errors(segment.path):
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_durably(descriptor, data, 0)
        finally:
            os.close(descriptor)
        fresh.replace(segment.path)
    segment.end, segment.dropped = len(data), rest.thinned.dropped
    segment.runs, segment.urgent = [], []
    for first, last, is_urgent in runs:
        segment.add(first, last, is_urgent=is_urgent)


def _consecutive(kept: Iterable[tuple[Reading, bool]]) -> Iterator[tuple[list[Reading], bool]]:
    """Readings in runs that one frame can hold: consecutive, of one clock, all urgent or none."""
    run: list[Reading] = []
    of_run = (0, False)
    for reading, is_urgent in kept:
        if run and (reading.sequence != run[-1].sequence + 1 or (reading.clock, is_urgent) != of_run):
            yield run, of_run[1]
            run = []
        of_run = reading.clock, is_urgent
        run.append(reading)
    if run:
        yield run, of_run[1]
