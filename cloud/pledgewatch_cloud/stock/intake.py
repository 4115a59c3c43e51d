"""Taking what a stock system hands in, whichever way it came: commit it in one act, or set it aside and say why.

    nothing of it is taken ─► all of it is in quarantine, with every fault and its line
    all but some is taken  ─► all of it is in the entry as it came; that, and every fault with its line, in quarantine
    nothing of it is new   ─► no entry

The faults of what was taken in part are set aside after the entry is there, and again when the same is handed in again:
whatever moment we are killed at, they are there once it was.
"""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.drafts import Draft
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stock.rows import DOCUMENT_MAX_BYTES, Fault, Report, StockError, StockFullError
from pledgewatch_cloud.decide.warehouse import handed_in
from pledgewatch_cloud.decide.warehouse.handed_in import Document
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.notices.aside import Aside
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_cloud.stock.reports import StockReports

REFUSED = "stock_refused"
LEFT_ASIDE = "stock_left_aside"


class Taken(NamedTuple):
    """What became of a document: the entry that took it, None where nothing of it was new; what of it was new, and what
    was left aside."""

    entry: int | None
    report: Report


class StockIntake:
    """The way into the journal for what stock systems hand in."""

    def __init__(self, writer: Writer, store: Store, reports: StockReports, clock: Clock) -> None:
        """`clock` is the journal's: it says when a document came, and nothing is taken that is too far ahead of it."""
        self._writer = writer
        self._clock = clock
        self._room = reports.room
        self.aside = Aside("stock", store, reports, clock)

    async def hand_in(self, source: str, form: str, raw: bytes) -> Taken:
        """Commit what a stock system hands in.

        Raises StockError, with every fault, where nothing of it is taken and it is in quarantine; StoreError where
        nothing can be committed now.
        """
        if len(raw) > DOCUMENT_MAX_BYTES:
            raise await self.refuse(
                source, form, raw, (Fault(0, f"it has more than {DOCUMENT_MAX_BYTES} bytes: split it"),)
            )
        handed = drafts.handed_report(source, form, raw, self._clock.now_ms())
        found: list[Report] = []

        def reported(state: State, document: Document) -> Draft | None:
            draft, report = drafts.reported(state, handed, document)
            found.append(report)
            return draft

        try:
            # Read beside the journal: a large one takes seconds, and readings go on.
            document = await asyncio.to_thread(handed_in.read, self._writer.state.book, handed)
            outcome = await self._writer.commit(reported, document)
        except StockError as error:
            if isinstance(error, StockFullError):
                self._room.lost(error)
            raise await self.refuse(source, form, raw, error.faults) from None
        taken = Taken(None if outcome is None else outcome.state.entry, found[-1])
        if outcome is not None and _needs_room(taken.report):
            self._room.back()
        if taken.report.faults:
            await self.aside.keep(source, LEFT_ASIDE, "\n".join(told(form, taken.report.faults)), raw)
        self.aside.became("known" if taken.entry is None else "taken")
        return taken

    async def refuse(self, source: str, form: str, raw: bytes, faults: tuple[Fault, ...]) -> StockError:
        """Set aside all of what was handed in; the error to raise when that is done. Raises StoreError."""
        await self.aside.keep(source, REFUSED, "\n".join(told(form, faults)), raw)
        return StockError(faults)


def _needs_room(report: Report) -> bool:
    """Whether a report says more than that others count no longer: for those there is room where there is none."""
    return bool(report.snapshots) or any(row.kind for row in report.rows)


def told(form: str, faults: Iterable[Fault]) -> tuple[str, ...]:
    """Faults as sentences, each with its line or segment."""
    place = "segment" if form == "x12" else "line"
    return tuple(f"{place} {one.line}: {one.text}" if one.line else one.text for one in faults)
