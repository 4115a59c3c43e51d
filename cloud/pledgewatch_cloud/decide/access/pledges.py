"""Pledges as they were: which goods were tied to which lender, from when to when.

A lot is pledged to its facility's lender for as long as the book has it there; where its receipt is electronic, only
while that receipt is pledged to this lender. A receipt may be pledged without the book having a lot of it. A pledge
begins and ends with the entry that makes it so, by when that was recorded. What somebody may see of goods rests on it
(see visible.py), so an ended pledge stays known for as long as its facility's records must be kept.

Two more ties are kept in the same way, for they decide who sees what, too: a facility to its lender and its borrower,
and a lot with an electronic receipt to the borrower who has it in a facility, whether it is pledged or not.

Where the goods of a pledge are is told by the lot while it runs, and kept with it once it has ended: the book may then
say something else of the lot, or nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.items.facilities import RETENTION_DAYS
from pledgewatch_cloud.decide.items.lots import Lot, Stay
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.shelves import Shelves
from pledgewatch_cloud.decide.stretches import NEVER

DAY_MS = 86_400_000
ENDED_MAX = 200_000
"""Ended pledges that are kept; of more, those that ended longest ago are let go, and nobody sees what they showed."""


_About = tuple[str, str, str, str, str]


class Pledge(NamedTuple):
    """A pledge: the lender and the borrower (of a receipt alone, its holder), what is pledged (`facility` and `lot`
    are empty for a receipt alone, `receipt` where there is no electronic one), [from_ms, until_ms) and the entries that
    began and ended it, until when it stays known, and once it has ended, where the goods were.

    `came_from`: of a facility by itself, whose lender and borrower it was until it began, if anybody's; of a lot, the
    other facility that had it until then. `is_followed`: of a facility that has gone to others. They are kept with it,
    for the ties of before and after may be forgotten first.

    Of a facility by itself both `lot` and `receipt` are empty; a borrower's lot that need not be pledged has no
    `lender`."""

    lender: str
    borrower: str
    facility: str
    lot: str
    receipt: str
    from_ms: int
    from_entry: int
    until_ms: int = NEVER
    until_entry: int = NEVER
    keep_until_ms: int = NEVER
    came_from: tuple[str, ...] = ()
    is_followed: bool = False
    stays: tuple[Stay, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.until_ms == NEVER

    @property
    def is_facility(self) -> bool:
        """Whether it is of a facility by itself."""
        return not (self.lot or self.receipt)

    @property
    def about(self) -> _About:
        """What tells it from every other that runs."""
        return self[:5]

    @property
    def name(self) -> str:
        """What tells it from every other ever; no id holds the sign between them."""
        return "\x1f".join((*self.about, str(self.from_entry)))


@dataclass(frozen=True, slots=True)
class Pledges:
    """All pledges that are known: those that run, by what they are of, and those that have ended. A value."""

    running: Shelves[Pledge] = field(default_factory=Shelves[Pledge])
    ended: Shelves[Pledge] = field(default_factory=Shelves[Pledge])

    def __iter__(self) -> Iterator[Pledge]:
        """Every one of them, in an order that means nothing."""
        yield from self.running.values()
        yield from self.ended.values()

    def as_json(self) -> list[list[Any]]:
        """As JSON; equal pledges give equal JSON."""
        return [list(one) for one in sorted(self)]

    @staticmethod
    def from_json(rows: Iterable[list[Any]]) -> "Pledges":
        """The pledges behind their JSON."""
        return Pledges.of([_from_row(row) for row in rows])

    @staticmethod
    def of(some: Collection[Pledge]) -> "Pledges":
        """Some pledges as a value."""
        running = {_text(one.about): one for one in some if one.runs}
        ended = {one.name: one for one in some if not one.runs}
        return Pledges(Shelves[Pledge]().put(running), Shelves[Pledge]().put(ended))


def followed(
    known: Pledges,
    before: tuple[Book, ReceiptBook],
    now: tuple[Book, ReceiptBook],
    at: tuple[int, int],
    before_ms: int,
) -> Pledges:
    """The pledges after an entry, by its number and when it was recorded (`at`), and by the book and the receipts
    before and after it; the entry before it was recorded at `before_ms`."""
    entry, at_ms = at
    after = known
    if before[0] is not now[0] or before[1] is not now[1]:
        wanted = _Concerned.between(before, now)
        were = {one.about: one for some in _running(before, wanted) if (one := known.running.get(_text(some.about)))}
        are = {one.about: one for one in _running(now, wanted)}
        ended = {one.name: _followed_by(one, now[0]) for one in _ended(were, are, before, at)}
        begun = {
            _text(about): one._replace(from_ms=at_ms, from_entry=entry, came_from=_came_from(one, before[0]))
            for about, one in are.items()
            if about not in were
        }
        gone = frozenset(_text(about) for about in were.keys() - are.keys())
        if ended or begun or gone:
            after = Pledges(after.running.without(gone).put(begun), _bounded(after.ended.put(ended)))
    if at_ms // DAY_MS != before_ms // DAY_MS:
        old = frozenset(name for name, one in after.ended.items() if one.keep_until_ms <= at_ms)
        after = Pledges(after.running, after.ended.without(old)) if old else after
    return after


def _came_from(one: Pledge, before: Book) -> tuple[str, ...]:
    """What there was in the place of a pledge that begins, by the book before it."""
    facility, lot = before.facilities.get(one.facility), before.lots.get(one.lot)
    if one.is_facility:
        return (facility.lender, facility.borrower) if facility is not None else ()
    return (lot.facility,) if lot is not None and one.facility not in ("", lot.facility) else ()


def _followed_by(one: Pledge, now: Book) -> Pledge:
    return one._replace(is_followed=one.is_facility and one.facility in now.facilities)


def whereabouts(one: Pledge, book: Book, receipts: ReceiptBook) -> tuple[Stay, ...]:
    """Where the goods of a pledge are and were, within the time of the pledge."""
    if not one.runs:
        return one.stays
    lot, receipt = book.lots.get(one.lot), receipts.get(one.receipt)
    some = lot.whereabouts if lot is not None else _named(book, receipt) if receipt is not None else ()
    return _within(some, one.from_ms, NEVER)


class _Concerned(NamedTuple):
    """The lots, receipts and facilities of which pledges may be others."""

    lots: set[str]
    receipts: set[str]
    facilities: set[str]

    @staticmethod
    def between(before: tuple[Book, ReceiptBook], now: tuple[Book, ReceiptBook]) -> "_Concerned":
        """Those that differ between two books and receipts."""
        names, facilities = set(now[1].changed(before[1])), set[str]()
        lots = {lot.id for book, _ in (before, now) for name in names for lot in book.lots_on_receipt(name)}
        if before[0] is not now[0]:
            olds, news = before[0], now[0]
            lots |= {key for key in olds.lots.keys() | news.lots.keys() if olds.lots.get(key) is not news.lots.get(key)}
            facilities = {
                key
                for key in olds.facilities.keys() | news.facilities.keys()
                if olds.facilities.get(key) is not news.facilities.get(key)
            }
            lots |= {lot.id for book in (olds, news) for key in facilities for lot in book.lots_of_facility(key)}
            electronic = {*olds.electronic_receipts, *news.electronic_receipts}
            names |= {name for name in electronic if olds.lots_on_receipt(name) != news.lots_on_receipt(name)}
        return _Concerned(lots, names, facilities)


def _running(at: tuple[Book, ReceiptBook], concerned: _Concerned) -> Iterator[Pledge]:
    """The pledges of what is concerned that the book and the receipts say there are; since when, they do not."""
    book, receipts = at
    for name in concerned.lots:
        lot = book.lots.get(name)
        if lot is not None:
            yield from _of_lot(book, receipts, lot)
    for name in concerned.receipts:
        receipt = receipts.get(name)
        if receipt is not None and receipt.is_live and receipt.pledgee:
            yield Pledge(receipt.pledgee, receipt.holder, "", "", name, 0, 0)
    for name in concerned.facilities:
        facility = book.facilities.get(name)
        if facility is not None:
            yield Pledge(facility.lender, facility.borrower, name, "", "", 0, 0)


def _of_lot(book: Book, receipts: ReceiptBook, lot: Lot) -> Iterator[Pledge]:
    facility = book.facilities[lot.facility]
    name = lot.receipt.id if lot.receipt is not None and lot.receipt.is_electronic else ""
    receipt = receipts.get(name) if name else None
    if name:
        yield Pledge("", facility.borrower, facility.id, lot.id, "", 0, 0)
    if not name or (receipt is not None and receipt.is_live and receipt.pledgee == facility.lender):
        yield Pledge(facility.lender, facility.borrower, facility.id, lot.id, name, 0, 0)


def _ended(
    were: Mapping[_About, Pledge],
    are: Mapping[_About, Pledge],
    before: tuple[Book, ReceiptBook],
    at: tuple[int, int],
) -> Iterator[Pledge]:
    (book, receipts), (entry, at_ms) = before, at
    for about in sorted(were.keys() - are.keys()):
        one = were[about]
        facility = book.facilities.get(one.facility)
        days = facility.retention_days if facility is not None else RETENTION_DAYS
        stays = _within(whereabouts(one, book, receipts), one.from_ms, at_ms)
        yield one._replace(until_ms=at_ms, until_entry=entry, keep_until_ms=at_ms + days * DAY_MS, stays=stays)


def _named(book: Book, receipt: Receipt) -> tuple[Stay, ...]:
    """The assets that a receipt names its goods by: containers, devices, and the zones of its bins."""
    found = set[str]()
    for line in receipt.goods:
        device = book.installations.get(line.device)
        zone = book.zone_of_bin.get((receipt.warehouse, line.bin))
        found |= {one for one in (line.container, device.asset if device else "", zone) if one}
    return tuple(Stay(one, -NEVER, NEVER) for one in sorted(found))


def _within(stays: Iterable[Stay], from_ms: int, until_ms: int) -> tuple[Stay, ...]:
    found = (Stay(one.asset, max(one.since_ms, from_ms), min(one.until_ms, until_ms)) for one in stays)
    return tuple(one for one in found if one.since_ms < one.until_ms)


def _bounded(ended: Shelves[Pledge]) -> Shelves[Pledge]:
    if ended.count <= ENDED_MAX:
        return ended
    oldest = sorted(ended.items(), key=lambda one: (one[1].until_ms, one[0]))[: ended.count - ENDED_MAX]
    return ended.without(frozenset(name for name, _ in oldest))


def _text(about: Iterable[str]) -> str:
    return "\x1f".join(about)


def _from_row(row: list[Any]) -> Pledge:
    one = Pledge(*row)
    return one._replace(came_from=tuple(one.came_from), stays=tuple(Stay(*stay) for stay in one.stays))
