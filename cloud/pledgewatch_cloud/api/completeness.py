"""Whether all that a device has measured is here, or why not: received, thinned, lost, or still with the device.

A device says with its status how far it has counted in its epoch, how many of those its spool holds, and how many it
has dropped without our having been told. What is missing beyond that is lost.

Of an epoch that has ended the device tells in the next one, in a reading that is in the journal, how far it went and
how many of its numbers were saved under new ones, were lost, or were thinned. Until that has come nothing says that
nothing more was lost: what the device said of it while it lasted, which the store keeps (decision 0032), is as old as
the connection, and so the least. It tells of each number beyond those that it knew to be committed: of one of those
that is not here nothing is anywhere, as where the journal came from an older copy. Of what was saved, lost or thinned
it counts also what we had heard and it did not know of; so where we have some of it, and some was lost or thinned,
there is a least and a most of either.

What is lost are numbers. Of an epoch whose spool was saved from one before, and broke in its turn, a reading may be
among them that had come under its number of before.

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
from pledgewatch_wire.ended import Ended
from pledgewatch_wire.marks import Marks


class Unsure(StrEnum):
    """Why it is not known how much was lost."""

    NOT_SAID = "not_said"
    ENDED_EPOCH = "ended_epoch"
    BROKEN = "broken"


_WHY = {
    Unsure.NOT_SAID: "the device has not said what it holds",
    Unsure.ENDED_EPOCH: "how far an epoch that has ended went is not known",
    Unsure.BROKEN: "some of what a broken spool has lost or thinned may have come before",
}


class Completeness(NamedTuple):
    """Counts of a device's readings over all epochs. `lost` and `thinned` are at the least where that is not known:
    `unsure` says why.
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
            case Unsure.ENDED_EPOCH | Unsure.BROKEN:
                lost = f", lost at least {self.lost_at_least:,}{refused}" if self.lost_at_least else ""
                return f"{told}{lost}{spooled}; {_WHY[self.unsure]}"


class _Fate(NamedTuple):
    """What became of the readings of an epoch that are not here: how many are with the device, and how many it dropped
    and how many are lost, at the least and at the most."""

    spooled: int
    dropped: int
    dropped_at_most: int
    lost_at_least: int
    lost_at_most: int


def completeness(
    epochs: Mapping[int, EpochState], said: Status | None, ends: Mapping[int, Status] | None = None
) -> Completeness:
    """How complete a device's epochs are, by what it last said of itself; `ends`: by what it said of others before."""
    received = sum(one.marks.total - one.thinned for one in epochs.values())
    thinned = sum(one.thinned for one in epochs.values())
    words = _by_epoch(said, ends or {})
    reports = {told.epoch: told for epoch in sorted(epochs) for told in epochs[epoch].ended}
    newest = max((*epochs, *words), default=0)
    fates = {
        epoch: _fate(
            epochs[epoch].marks if epoch in epochs else Marks(),
            words.get(epoch),
            reports.get(epoch),
            is_newest=epoch == newest,
        )
        for epoch in {*epochs, *words, *reports}
    }
    sums = (sum(column) for column in zip(*fates.values(), strict=True)) if fates else (0,) * 5
    spooled, dropped, dropped_high, low, high = sums
    missing = spooled + high
    refused = _refused(epochs, words)
    if said is None:
        return Completeness(received, thinned + dropped, low + refused, None, missing, Unsure.NOT_SAID, refused)
    unsure = None if low == high and dropped == dropped_high else Unsure.BROKEN
    if any(epoch not in reports for epoch in fates if epoch != newest):
        unsure = Unsure.ENDED_EPOCH
    return Completeness(received, thinned + dropped, low + refused, spooled, missing, unsure, refused)


def _fate(marks: Marks, word: Status | None, told: Ended | None, *, is_newest: bool) -> _Fate:
    """What became of what is missing of an epoch, by the device's word of it and by what it told once it was over."""
    head = max(marks.newest, word.head_sequence if word else 0, told.head_sequence if told else 0)
    gap = head - marks.total
    if is_newest:
        # Of what is newer than the device's word nothing was said yet: its spool has it.
        said = word.head_sequence if word else 0
        unsaid = max(0, marks.newest - said) - (marks.total - marks.total_up_to(said)) if word else gap
        spooled = unsaid + min(gap - unsaid, word.spooled_readings if word else 0)
        dropped = min(gap - spooled, word.dropped_readings) if word else 0
        lost = gap - spooled - dropped
        return _Fate(spooled, dropped, dropped, lost, lost)
    if told is None:
        dropped = min(gap, word.dropped_readings) if word else 0
        return _Fate(0, dropped, dropped, gap - dropped, gap - dropped)
    here = marks.total_up_to(told.committed)
    missing = told.head_sequence - told.committed - (marks.total_up_to(told.head_sequence) - here)
    untold = gap - missing  # what it took to be here, and what it gave a number and knew nothing of afterwards
    return _Fate(
        0,
        max(0, missing - told.saved - told.lost),
        min(missing, told.thinned),
        max(0, missing - told.saved - told.thinned) + untold,
        min(missing, told.lost) + untold,
    )


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
