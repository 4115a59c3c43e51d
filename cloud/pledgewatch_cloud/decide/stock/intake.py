"""Taking what a stock system hands in: read in its form, held against what the book says of the source, and booked.

A document is taken whole where it has no fault. Where it has, the book says of each source which of two things becomes
of it: nothing is taken, or all that has no fault. Either way every fault is told with its line or segment, and either
way what is taken is booked in one act.

What is to come can be planned, and never counted: a movement of stock may be dated ahead, but a count holds all that
happens up to its moment, so one that is dated ahead would bring back what is sold until then.

    report = read(terms, form, data, mapping)
    book = book.taken(admitted(terms, report, book, received_ms))
"""

from collections.abc import Callable, Mapping

from pledgewatch_cloud.decide.moments import iso, short
from pledgewatch_cloud.decide.stock import csv_form, json_form, x12
from pledgewatch_cloud.decide.stock.csv_form import CsvMapping
from pledgewatch_cloud.decide.stock.rows import AT_FAULT, Fault, Report, StockError, Terms
from pledgewatch_cloud.decide.stock.stock_book import StockBook

FORMS = ("json", "csv", "x12")
AHEAD_MAX_MS = 86_400_000
"""How much later than it was handed in a movement of stock may be: a day, for clocks and zones that are off."""
COUNT_AHEAD_MAX_MS = 300_000
"""How much later than it was handed in a snapshot may be: minutes, for clocks that are off."""

_READERS: Mapping[str, Callable[[Terms, bytes | str], Report]] = {"json": json_form.read, "x12": x12.read}


def read(terms: Terms, form: str, data: bytes | str, mapping: CsvMapping | None = None) -> Report:
    """What a document says; all that is wrong with it is in the report. `mapping` is needed for csv."""
    if form == "csv" and mapping is not None:
        return csv_form.read(terms, mapping, data)
    if form in _READERS:
        return _READERS[form](terms, data)
    why = (
        f"the source {terms.source} has no mapping" if form == "csv" else f"{short(form)} is none of {', '.join(FORMS)}"
    )
    return Report(terms.source, faults=(Fault(0, f"form: {why}"),))


def admitted(terms: Terms, report: Report, book: StockBook, received_ms: int) -> Report:
    """What of a report is to be taken into the book: what is new, and may be said. `faults` are those left aside.

    Raises StockError with every fault where there is one and the source's documents are taken whole or not at all,
    and where nothing is left to take beside faults.
    """
    assert terms.at_fault in AT_FAULT
    sayable = _meant(terms, _not_ahead(report, received_ms))
    found = book.fresh(sayable)
    if found.faults and (terms.at_fault == "refuse_all" or not (sayable.rows or sayable.snapshots)):
        raise StockError(found.faults)
    return found


def _meant(terms: Terms, report: Report) -> Report:
    """The report without what the source may not send: movements of stock where it sets, snapshots where it adds."""
    faults = []
    if terms.means == "sets" and report.rows:
        cure = "the book says that its documents set: send snapshots, or amend the book"
        faults.append(Fault(report.rows[0].line, f"{len(report.rows)} movements of stock from {terms.source}: {cure}"))
        report = report._replace(rows=())
    if terms.means == "adds" and report.snapshots:
        cure = "the book says that its documents add: send movements of stock, or amend the book"
        faults.append(Fault(report.snapshots[0].line, f"{len(report.snapshots)} snapshots from {terms.source}: {cure}"))
        report = report._replace(snapshots=())
    return report._replace(faults=(*report.faults, *faults))


def _not_ahead(report: Report, received_ms: int) -> Report:
    """The report without what is about moments that are still to come."""
    rows_ms, counts_ms = received_ms + AHEAD_MAX_MS, received_ms + COUNT_AHEAD_MAX_MS
    to_come = f"which is to come: it was handed in at {iso(received_ms)}"
    faults = [
        Fault(row.line, f"{row.id} is about {iso(row.at_ms)}, {to_come}") for row in report.rows if row.at_ms > rows_ms
    ]
    cure = "write the time at which it was counted, or hand it in after that"
    faults += [
        Fault(one.line, f"{one.id} counts what there is at {iso(one.at_ms)}, {to_come}; {cure}")
        for one in report.snapshots
        if one.at_ms > counts_ms
    ]
    return report._replace(
        rows=tuple(row for row in report.rows if row.at_ms <= rows_ms),
        snapshots=tuple(one for one in report.snapshots if one.at_ms <= counts_ms),
        faults=(*report.faults, *faults),
    )
