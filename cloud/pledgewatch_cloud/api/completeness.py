"""Whether all that a device has measured is here, or why not: received, thinned, lost, or still with the device.

A device says with its status how far it has counted in its epoch, how many of those its spool holds, and how many it
has dropped without our having been told. What is missing beyond that is lost. So is what is missing of an epoch that
has ended: its spool is gone, and what could be saved of it has come under new numbers.

A status is older than what has come since, so of what is missing as much counts as spooled as the device may still
have.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pledgewatch_cloud.decide.admission import EpochState
from pledgewatch_wire.codec import Status


class Completeness(NamedTuple):
    """Counts of a device's readings over all epochs. `lost` and `spooled` None: the device has not said what it has."""

    received: int
    thinned: int
    lost: int | None
    spooled: int | None
    missing: int

    @property
    def expected(self) -> int:
        """How many were measured and not thinned, as far as is known."""
        return self.received + self.missing

    @property
    def words(self) -> str:
        """It as a sentence."""
        told = f"received {self.received:,} of {self.expected:,}, thinned {self.thinned:,}"
        if self.lost is None or self.spooled is None:
            return f"{told}, {self.missing:,} missing; the device has not said what it holds"
        return f"{told}, lost {self.lost:,}" + (f", still spooled {self.spooled:,}" if self.spooled else "")


def completeness(epochs: Mapping[int, EpochState], said: Status | None) -> Completeness:
    """How complete a device's epochs are, by what it last said of itself."""
    received = sum(one.marks.total - one.thinned for one in epochs.values())
    thinned = sum(one.thinned for one in epochs.values())
    gaps = {epoch: sum(last - first + 1 for first, last in one.marks.missing) for epoch, one in epochs.items()}
    if said is None:
        missing = sum(gaps.values())
        return Completeness(received, thinned, None if missing else 0, None if missing else 0, missing)
    now = epochs.get(said.epoch)
    gaps[said.epoch] = max(gaps.get(said.epoch, 0), said.head_sequence - (now.marks.total if now else 0))
    spooled = min(gaps[said.epoch], said.spooled_readings)
    dropped = min(gaps[said.epoch] - spooled, said.dropped_readings)
    # An epoch that is newer than the device's word has a spool of which nothing was said yet.
    spooled += sum(gap for epoch, gap in gaps.items() if epoch > said.epoch)
    missing = sum(gaps.values()) - dropped
    return Completeness(received, thinned + dropped, missing - spooled, spooled, missing)
