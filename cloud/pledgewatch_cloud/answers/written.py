"""What a write became."""

from typing import NotRequired, TypedDict

from pledgewatch_cloud.answers.trade import Receipt


class Written(TypedDict):
    """What a write became: the entry, None where all was known already."""

    entry: int | None
    changed: bool


class Said(TypedDict):
    """The entry that something said became."""

    entry: int


class Noticed(Written):
    """What notices became; `detail` says so where they were known already."""

    detail: NotRequired[str]


class Captured(TypedDict):
    """The job of an EPCIS document; `detail` says so where it was known already."""

    captureID: str
    detail: NotRequired[str]


class CapturedEvent(TypedDict):
    """What an EPCIS event is called here; `detail` says so where it was known already."""

    eventID: str
    detail: NotRequired[str]


class ReportFault(TypedDict):
    """What is wrong with a line or segment of a report, from 1; 0: with all of it."""

    line: int
    text: str


class ReportLeftOut(TypedDict):
    """Rows that are no stock, and why."""

    reason: str
    rows: int


class Reported(Written):
    """What a report of stock became: rows and snapshots that were taken, and what was not."""

    rows: int
    snapshots: int
    faults: list[ReportFault]
    left_out: list[ReportLeftOut]


class ActTaken(Written):
    """What an act became, with its receipt as it stands; none where its signer has no part in that any more."""

    receipt: Receipt | None


class CountTaken(Written):
    """What a count became: its digest, and the cases that it has ended."""

    count: str
    ended: list[str]
