"""Gathering the rows of a document while it is read: what is right, what is wrong, and what is no stock.

A snapshot is one statement. Where a row of it has a fault, what stands beside it is not half a count of something else:
a complete one is refused whole, for what it leaves out would count as gone; so is one that cancels, for the old count
would go and nothing come in its place; of another, the rows of the faulty row's SKU are left out with it, and all of
them where even the SKU cannot be read. Two complete ones of one owner at one moment each say that there is nothing of
what only the other lists, so neither is taken, and none beside one that was refused.

An id that comes a second time in one document is a fault, whatever stands beside it: the same said again in another
document says nothing new, but nobody writes it twice in one unless he means two.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.decide.stock.rows import (
    FAULTS_TOLD_MAX,
    ROWS_IN_ONE_MAX,
    Fault,
    Fields,
    LeftOut,
    Report,
    RowError,
    Snapshot,
    StockError,
    StockKey,
    StockRow,
    Terms,
    count,
    movement,
    sku_of,
)


class Laid(NamedTuple):
    """A row of a snapshot, laid out as texts, with its line; where it is not sound, its faults are told already."""

    fields: Fields
    line: int
    is_sound: bool = True


class Gathering:
    """The report of one document in the making."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.faults: list[Fault] = []
        self.rows: list[StockRow] = []
        self.snapshots: list[Snapshot] = []
        self._left_out: dict[str, int] = {}
        self._lines: dict[str, int] = {}
        self._complete: dict[tuple[str, int], list[int]] = {}
        self._read = 0

    def fault(self, line: int, *texts: str) -> None:
        """Something is wrong with a line."""
        self.faults += [Fault(line, text) for text in texts]

    def leave_out(self, reason: str) -> None:
        """A row is no stock."""
        self._left_out[reason] = self._left_out.get(reason, 0) + 1

    def counts_one(self) -> None:
        """One row more was read. Raises StockError beyond ROWS_IN_ONE_MAX."""
        self._read += 1
        if self._read > ROWS_IN_ONE_MAX:
            raise StockError((Fault(0, f"more than {ROWS_IN_ONE_MAX} rows: hand it in in parts"),))

    def tried(self, line: int, read: Callable[[], StockRow]) -> StockRow | None:
        """A row, or None where it has faults, which are kept."""
        self.counts_one()
        try:
            return read()
        except RowError as error:
            self.fault(line, *error.errors)
            return None

    def movement(self, fields: Fields, line: int, *, is_sound: bool = True) -> None:
        """A movement of stock from its texts; where they were not sound already, only its other faults are found."""
        found = self.tried(line, lambda: movement(self.terms, fields, line))
        if found is not None and is_sound and self._is_first(found.id, line):
            self.rows.append(found)

    def lists_all(self, frame: Snapshot) -> None:
        """Tell of a snapshot before its rows, whether they can be taken or not: it may be complete."""
        if frame.complete:
            self._complete.setdefault((frame.owner, frame.at_ms), []).append(frame.line)

    def snapshot(self, frame: Snapshot, rows: Iterable[Laid]) -> None:
        """A snapshot from the texts of its rows and what frames them; rows of one key are added up.

        Rows of other owners than the frame's are faults where it is complete.
        """
        found: dict[StockKey, StockRow] = {}
        lots: dict[tuple[StockKey, str], int] = {}
        unsound = set[str]()
        for fields, line, is_sound in rows:
            row = self.tried(line, lambda fields=fields, line=line: count(self.terms, fields, line))  # type: ignore[misc]
            if row is not None and frame.complete and row.key.owner != frame.owner:
                self.fault(line, f"owner: {short(row.key.owner)}: the snapshot is complete for {frame.owner} only")
                row = None
            if row is not None and (row.key, row.lot) in lots:
                first = lots[row.key, row.lot]
                self.fault(line, f"the same goods, bin and lot as line {first}: which of the two counts? send one")
                row = None
            if row is None or not is_sound:
                unsound.add(sku_of(fields))
                continue
            lots[row.key, row.lot] = line
            known = found.get(row.key)
            both = 0 if known is None else known.quantity_milli
            found[row.key] = row._replace(
                id=frame.id, at_ms=frame.at_ms, quantity_milli=row.quantity_milli + both, lot="" if known else row.lot
            )
        if unsound and (frame.complete or frame.cancels or "" in unsound):
            why = "of a row not even the SKU can be read"
            if frame.complete or frame.cancels:
                why = "it is complete" if frame.complete else f"it cancels {frame.cancels}"
            self.fault(frame.line, f"snapshot {frame.id}: nothing of it is taken, for {why} and has faults")
            return
        for row in [row for row in found.values() if row.key.sku in unsound]:
            self.fault(row.line, f"{row.key.sku}: is not taken, for another row of its SKU in the snapshot has a fault")
            del found[row.key]
        if (found or frame.complete or frame.cancels) and self._is_first(frame.id, frame.line):
            self.snapshots.append(frame._replace(rows=tuple(found[key] for key in sorted(found))))

    def _is_first(self, identity: str, line: int) -> bool:
        """Whether an id comes for the first time in the document; where not, that is a fault."""
        if identity in self._lines:
            first = self._lines[identity]
            self.fault(line, f"{identity}: is the id of line {first} too: which of the two counts? each has its own")
            return False
        self._lines[identity] = line
        return True

    def report(self) -> Report:
        """What was read."""
        unclear = {whose: lines for whose, lines in self._complete.items() if len(lines) > 1}
        snapshots = (one for one in self.snapshots if not one.complete or (one.owner, one.at_ms) not in unclear)
        faults = sorted([*self.faults, *_told_of(unclear.values())])
        if len(faults) > FAULTS_TOLD_MAX:
            faults[FAULTS_TOLD_MAX:] = [Fault(0, f"and {len(faults) - FAULTS_TOLD_MAX} faults more")]
        left_out = tuple(LeftOut(*one) for one in sorted(self._left_out.items()))
        return Report(self.terms.source, tuple(self.rows), tuple(snapshots), tuple(faults), left_out)


def _told_of(unclear: Iterable[list[int]]) -> Iterator[Fault]:
    """The faults of complete snapshots of one owner and moment, by their lines."""
    cure = "neither is taken: hand in one list of all, or give each the moment at which it was counted"
    for lines in unclear:
        for place, line in enumerate(lines):
            other = lines[1 if place == 0 else 0]
            yield Fault(
                line, f"complete, as that of line {other} for the same owner and moment, which lists others; {cure}"
            )


def refused(terms: Terms, *faults: Fault) -> Report:
    """The report of a document of which nothing can be taken."""
    return Report(terms.source, faults=faults)
