"""Whether all that a device has measured is here, or why not: received, thinned, lost, or still with the device.

A device says with its status how far it has counted in its epoch, how many of those its spool holds, and how many it
has dropped without our having been told. What is missing beyond that is lost. So is what is missing of an epoch that
has ended: its spool is gone, and what could be saved of it has come under new numbers. How far that one went is what it
said of it while it lasted, which the store keeps (decision 0032). Of one of which it never said anything that is not
known; then nothing says that nothing was lost.

What the device could not keep got no number, so nothing of it is missing: it tells how many those were, with its status
and as a reading that is in the journal. They are lost. The count goes on over epochs; where it falls, the device's card
was written anew, and what was refused before that counts as well.

A status is older than what has come since, so of what is missing as much counts as spooled as the device may still
have. Of what was measured after it the device has said nothing yet: what is missing of that waits in its spool, and
nothing of it is lost before the device says how far it has counted without having it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from pledgewatch_cloud.decide.admission import EpochState
from pledgewatch_wire.codec import Status


class Unsure(StrEnum):
    """Why it is not known how much was lost."""

    NOT_SAID = "not_said"
    ENDED_EPOCH = "ended_epoch"


_WHY = {
    Unsure.NOT_SAID: "the device has not said what it holds",
    Unsure.ENDED_EPOCH: "how far an epoch that has ended went is not known",
}


class Completeness(NamedTuple):
    """Counts of a device's readings over all epochs. `lost` is at the least where it is not known: `unsure` says why.
    `refused` of them are lost because the device could not keep them. `spooled` None: the device has not said what it
    has."""

    received: int
    thinned: int
    lost_at_least: int
    spooled: int | None
    missing: int
    unsure: Unsure | None = None
    refused: int = 0

    @property
    def lost(self) -> int | None:
        """How many are lost; None where that is not known."""
        return None if self.unsure else self.lost_at_least

    @property
    def expected(self) -> int:
        """How many were measured and not thinned, as far as is known."""
        return self.received + self.missing + self.refused

    @property
    def words(self) -> str:
        """It as a sentence."""
        told = f"received {self.received:,} of {self.expected:,}, thinned {self.thinned:,}"
        refused = f" ({self.refused:,} of them refused by the device)" if self.refused else ""
        spooled = f", still spooled {self.spooled:,}" if self.spooled else ""
        match self.unsure:
            case None:
                return f"{told}, lost {self.lost_at_least:,}{refused}{spooled}"
            case Unsure.NOT_SAID:
                lost = f", lost at least {self.lost_at_least:,}{refused}" if self.refused else ""
                return f"{told}, {self.missing:,} missing{lost}; {_WHY[self.unsure]}"
            case Unsure.ENDED_EPOCH:
                lost = f", lost at least {self.lost_at_least:,}{refused}" if self.lost_at_least else ""
                return f"{told}{lost}{spooled}; {_WHY[self.unsure]}"


def completeness(
    epochs: Mapping[int, EpochState], said: Status | None, ends: Mapping[int, Status] | None = None
) -> Completeness:
    """How complete a device's epochs are, by what it last said of itself; `ends`: by what it said of others before."""
    received = sum(one.marks.total - one.thinned for one in epochs.values())
    thinned = sum(one.thinned for one in epochs.values())
    gaps = {epoch: sum(last - first + 1 for first, last in one.marks.missing) for epoch, one in epochs.items()}
    words = _by_epoch(said, ends or {})
    for epoch, word in words.items():
        total = epochs[epoch].marks.total if epoch in epochs else 0
        gaps[epoch] = max(gaps.get(epoch, 0), word.head_sequence - total)
    newest = max(gaps, default=0)
    spooled = dropped = 0
    for epoch, gap in gaps.items():
        found = words.get(epoch)
        if epoch == newest:
            # Of what is newer than the device's word nothing was said yet: its spool has it.
            unsaid = _missing_beyond(epochs.get(epoch), found.head_sequence) if found else gap
            spooled = unsaid + min(gap - unsaid, found.spooled_readings if found else 0)
        if found:
            dropped += min(gap - (spooled if epoch == newest else 0), found.dropped_readings)
    missing = sum(gaps.values()) - dropped
    refused = _refused(epochs, words)
    if said is None:
        lost = sum(gap for epoch, gap in gaps.items() if epoch != newest)
        return Completeness(received, thinned, lost + refused, None, missing, Unsure.NOT_SAID, refused)
    is_known = all(epoch in words for epoch in epochs if epoch != newest)
    unsure = None if is_known else Unsure.ENDED_EPOCH
    lost = missing - spooled + refused
    return Completeness(received, thinned + dropped, lost, spooled, missing, unsure, refused)


def _missing_beyond(epoch: EpochState | None, sequence: int) -> int:
    gaps = () if epoch is None else epoch.marks.missing
    return sum(last - max(first, sequence + 1) + 1 for first, last in gaps if last > sequence)


def _refused(epochs: Mapping[int, EpochState], words: Mapping[int, Status]) -> int:
    """How many samples the device could not keep, as far as its readings and statuses tell."""
    total = before = 0
    for epoch in sorted(epochs.keys() | words.keys()):
        said = words[epoch].refused_readings if epoch in words else 0
        told = max(said, epochs[epoch].refused if epoch in epochs else 0)
        if told:
            total += told - before if told >= before else told
            before = told
    return total


def _by_epoch(said: Status | None, ends: Mapping[int, Status]) -> dict[int, Status]:
    """Of each epoch the device's word that went farthest, of those the last: one that counts less is an older one that
    came late, as a last will does."""
    words = dict(ends)
    if said is not None:
        before = words.get(said.epoch)
        if before is None or said.head_sequence >= before.head_sequence:
            words[said.epoch] = said
    return words
