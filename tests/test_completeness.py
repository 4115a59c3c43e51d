"""How complete a device's readings are, by what is here and what the device says it has."""

import pytest

from pledgewatch_cloud.api.completeness import completeness
from pledgewatch_cloud.decide.admission import EpochState
from pledgewatch_wire.codec import Status
from pledgewatch_wire.marks import Marks

Ranges = tuple[tuple[int, int], ...]


def epoch(contiguous: int, ranges: Ranges = (), thinned: int = 0) -> EpochState:
    return EpochState(Marks(contiguous, ranges), bytes(32), thinned=thinned)


def said(epoch: int, head: int, spooled: int, dropped: int = 0) -> Status:
    return Status(True, epoch, head, spooled, "", dropped)  # noqa: FBT003


@pytest.mark.parametrize(
    ("epochs", "status", "words"),
    [
        ({}, None, "received 0 of 0, thinned 0, lost 0"),
        ({1: epoch(8_641)}, said(1, 8_641, 0), "received 8,641 of 8,641, thinned 0, lost 0"),
        ({1: epoch(8_641)}, None, "received 8,641 of 8,641, thinned 0, lost 0"),
        ({1: epoch(8_640, thinned=1_000)}, said(1, 8_640, 0), "received 7,640 of 7,640, thinned 1,000, lost 0"),
        # Thirty days have been measured, the newest sixty are here; a thousand were dropped and are not declared yet.
        # The word is from before the sixty came, and counts them as spooled.
        (
            {1: epoch(0, ((8_581, 8_640),))},
            said(1, 8_640, 7_640, 1_000),
            "received 60 of 7,700, thinned 940, lost 0, still spooled 7,640",
        ),
        # The word is old: more has come since.
        (
            {1: epoch(5_000, ((8_581, 8_700),))},
            said(1, 8_640, 8_640),
            "received 5,120 of 8,700, thinned 0, lost 0, still spooled 3,580",
        ),
        # What is missing and not with the device is lost.
        ({1: epoch(100, ((201, 300),))}, said(1, 300, 40), "received 200 of 300, thinned 0, lost 60, still spooled 40"),
        # An epoch that has ended sends nothing more.
        ({1: epoch(100, ((111, 300),)), 2: epoch(50)}, said(2, 50, 0), "received 340 of 350, thinned 0, lost 10"),
        # A status of an epoch before says nothing of this one.
        (
            {1: epoch(100), 2: epoch(10, ((21, 30),))},
            said(1, 100, 0),
            "received 120 of 130, thinned 0, lost 0, still spooled 10",
        ),
        (
            {1: epoch(100, ((111, 300),))},
            None,
            "received 290 of 300, thinned 0, 10 missing; the device has not said what it holds",
        ),
    ],
)
def test_in_words(epochs: dict[int, EpochState], status: Status | None, words: str) -> None:
    assert completeness(epochs, status).words == words
