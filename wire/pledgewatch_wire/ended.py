"""What a device says of an epoch that has ended: how far it went, and what became of its numbers.

A device whose spool was broken begins another epoch, and tells in it, as a reading of the five channels here, of that
of before. Nothing that the cloud had heard earlier can tell it: a status is as old as the last connection.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pledgewatch_wire.reading import Cell, Channel

ENDED_CHANNELS = (
    Channel.ENDED_EPOCH,
    Channel.ENDED_READINGS,
    Channel.ENDED_SAVED_READINGS,
    Channel.ENDED_LOST_READINGS,
    Channel.ENDED_THINNED_READINGS,
)


class Ended(NamedTuple):
    """An epoch that is over, and the newest number that was given in it. What of its numbers the device did not know to
    be committed has come under new numbers (`saved`), is gone (`lost`) or was dropped for want of room (`thinned`); the
    cloud may have some of each."""

    epoch: int
    head_sequence: int
    saved: int
    lost: int
    thinned: int

    @property
    def committed(self) -> int:
        """Up to where the device knew all to be committed: what became of each number beyond that it tells."""
        return self.head_sequence - self.saved - self.lost - self.thinned


def ended_cells(ended: Ended) -> tuple[Cell, ...]:
    """It as the cells of a reading."""
    return tuple(Cell(channel, value) for channel, value in zip(ENDED_CHANNELS, ended, strict=True))


def ended_of(values: Mapping[int, int], epoch: int) -> Ended | None:
    """What a reading of an epoch says by its values by channel; None where it says nothing, or what cannot be."""
    if any(channel not in values for channel in ENDED_CHANNELS):
        return None
    found = Ended(*(values[channel] for channel in ENDED_CHANNELS))
    parts = (found.saved, found.lost, found.thinned)
    return found if min(found) >= 0 and 1 <= found.epoch < epoch and sum(parts) <= found.head_sequence else None
