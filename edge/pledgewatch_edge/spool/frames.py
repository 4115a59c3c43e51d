"""Samples as frames of the spool's log: numbered, chained, and signed as often as the settings say."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool.log import readings_frame
from pledgewatch_wire import chain
from pledgewatch_wire.codec import MAX_CHECKPOINTS, Checkpoint
from pledgewatch_wire.reading import Reading

FRAME_READINGS: Final = MAX_CHECKPOINTS  # so that a frame can hold a checkpoint of each of its readings


class Stand(NamedTuple):
    """How a log stands at a place: its newest number, the hash of the chain after it, and up to where it is signed."""

    last: int
    chain_hash: bytes
    signed: int


class Framed(NamedTuple):
    """The frames of some samples, what they are as readings, the last number of each frame with whether it is urgent,
    how many checkpoints they hold, and how the log stands after them."""

    data: bytes
    readings: tuple[Reading, ...]
    spans: tuple[tuple[int, bool], ...]
    checkpoints: int
    stand: Stand


def framed(
    samples: Sequence[Sample],
    epoch: int,
    stand: Stand,
    sign: Callable[[int, bytes], Checkpoint],
    every_readings: int,
    *,
    signs_last: bool = False,
) -> Framed:
    """Samples that follow in a log. Each `every_readings` are signed, and with `signs_last` the last one."""
    sequence, running, signed = stand
    last = sequence + len(samples)
    data, checkpoints = b"", 0
    stored: list[Reading] = []
    spans: list[tuple[int, bool]] = []
    for (clock, is_urgent), some in groupby(samples, lambda one: (one.clock, one.is_urgent)):
        for group in _batched(list(some), FRAME_READINGS):
            readings: list[Reading] = []
            own: list[Checkpoint] = []
            for sample in group:
                sequence += 1
                readings.append(Reading(sequence, sample.measured_at_ms, clock, sample.cells))
                running = chain.extend(running, chain.leaf(readings[-1]))
                if sequence - signed >= every_readings:
                    own.append(sign(sequence, running))
                    signed = sequence
            if signs_last and sequence == last and sequence > signed:
                own.append(sign(sequence, running))
                signed = sequence
            data += readings_frame(epoch, readings, own, is_urgent=is_urgent)
            checkpoints += len(own)
            stored += readings
            spans.append((sequence, is_urgent))
    return Framed(data, tuple(stored), tuple(spans), checkpoints, Stand(sequence, running, signed))


def _batched(samples: list[Sample], size: int) -> Iterator[list[Sample]]:
    return (samples[start : start + size] for start in range(0, len(samples), size))
