"""Departures: goods of live receipts that have left a warehouse although nobody has surrendered them for delivery.

Only what there is once can be followed: a line that is known by its container, its seal or a device in it. It has left

- by a gate of the warehouse that has read one of these names on its way out, since the goods began to come in, and none
  of whose gates has read that name on its way in after that;
- or by its place: the asset of its device, or its container, is outside of all of the warehouse's fences by a fix since
  the receipt was issued. When it was issued the warehouse said that the goods are there.

A gate's word stays known once it was found (`outs`), whatever becomes of the signals that it was found by: it is taken
back by a newer passage of that name on its way in, and by nothing else that is read. What is seen outside is not, for
later fixes may show that it never was. Of all that shows a line to have left the newest says when that was: an older
one may have been answered by a count since.

A line of which all is surrendered may leave. What had left before that stays away, and in full: a paper that asks for
it, or says that it was delivered, does not say that it was there. Where a fence cannot be told yet nothing has left; a
gate's word counts all the same.

A departure belongs to its goods: to their stock key, and the names by which they are known. Where an act gives a line
another place, as a split or a replacement does, its departure goes along. Where it ends the receipt, or takes the line
its names, what has left is a *stray*: it is away all the same, until one of its names comes in again, or it is seen
inside.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.grade import GRADE_NAMES, Grade
from pledgewatch_cloud.decide.presence import Presence
from pledgewatch_cloud.decide.receipts.goods import GoodsLine
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook, tag_mark
from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.warehouse.signals import Passage, Signals
from pledgewatch_cloud.decide.warehouse.terms import Warehouse
from pledgewatch_wire.reading import tag_number

_number = lru_cache(65_536)(tag_number)


class Out(NamedTuple):
    """The newest passage of a name, which was on its way out, and its gate."""

    passage: Passage
    gate: str


class Line(NamedTuple):
    """A line of a receipt as it is followed: whose goods it is about, and since when they came in and were said to be
    there. The goods are as many as nobody has surrendered; of what has left, as many as nobody had when that was found.
    """

    warehouse: str
    owner: str
    goods: GoodsLine
    received_ms: int
    issued_ms: int

    @property
    def key(self) -> StockKey:
        """What the stock book counts its goods under."""
        return self.goods.key(self.warehouse, self.owner)

    @property
    def names(self) -> frozenset[str]:
        """What its goods are known by, each of which there is once."""
        return frozenset(filter(None, (self.goods.container, self.goods.seal, self.goods.device)))

    def at_least(self, milli: int) -> "Line":
        """The line with at least so many goods."""
        goods = self.goods
        return self._replace(goods=goods._replace(quantity_milli=max(milli, goods.quantity_milli)))

    def is_about(self, other: "Line") -> bool:
        """Whether both are about the same goods, which came in once."""
        return (self.key, self.received_ms) == (other.key, other.received_ms) and not self.names.isdisjoint(other.names)


class Departure(NamedTuple):
    """A line of a receipt that has left. `of` is the line as it was followed last. `gate` is the gate that it passed;
    empty where it was seen outside after that. `at_ms` is the newest of when its names passed and its fixes outside, so
    it is not what departures are told apart by. `outs` are the names that passed, one each. `since_ms` is the first
    moment of it that is known. `by_count` is the digest of the count that was asked last whether it finds the goods,
    and `counted_ms` its moment; empty and 0 where none was. `booked_milli` is what the stock system had booked out of
    it before its horizon."""

    receipt: str
    line: int
    of: Line
    gate: str
    at_ms: int
    outs: tuple[Out, ...] = ()
    since_ms: int = 0
    by_count: str = ""
    counted_ms: int = 0
    booked_milli: int = 0

    @property
    def place(self) -> tuple[str, int]:
        """The receipt and its line."""
        return self.receipt, self.line

    @property
    def milli(self) -> int:
        """How much has left, in thousandths, as far as the stock system had not booked it out before its horizon."""
        return max(0, self.of.goods.quantity_milli - self.booked_milli)

    def as_row(self) -> list[Any]:
        """As JSON."""
        warehouse, owner, goods, *since = self.of
        of, outs = [warehouse, owner, [*goods], *since], [[*one.passage, one.gate] for one in self.outs]
        return [self.receipt, self.line, of, self.gate, self.at_ms, outs, *self[6:]]

    @staticmethod
    def from_row(row: list[Any]) -> "Departure":
        """The departure behind its JSON."""
        receipt, number, (warehouse, owner, goods, *since), gate, at_ms, outs, *rest = row
        line = Line(warehouse, owner, GoodsLine(*goods), *since)
        passed = tuple(Out(Passage(*one[:-1]), one[-1]) for one in outs)
        return Departure(receipt, number, line, gate, at_ms, passed, *rest)


class Strays:
    """Departures of goods that no live receipt claims by their names any more; a value. They are found by what they are
    known by, and by their stock key."""

    __slots__ = ("_by_key", "_by_name", "_by_receipt", "_by_tag", "of")

    def __init__(self, of: Iterable[Departure] = ()) -> None:
        self.of = tuple(sorted(of))
        self._by_key: dict[StockKey, list[Departure]] = {}
        self._by_name: dict[str, list[Departure]] = {}
        self._by_receipt: dict[str, list[Departure]] = {}
        self._by_tag: dict[int, list[Departure]] = {}
        for one in self.of:
            self._by_key.setdefault(one.of.key, []).append(one)
            self._by_receipt.setdefault(one.receipt, []).append(one)
            for name in one.of.names:
                self._by_name.setdefault(name, []).append(one)
            for tag in {*map(_number, one.of.names), *(out.passage.tag for out in one.outs)}:
                self._by_tag.setdefault(tag, []).append(one)

    def of_keys(self, keys: Iterable[StockKey]) -> set[Departure]:
        """Those of some stock keys."""
        return {one for key in keys for one in self._by_key.get(key, ())}

    def of_receipt(self, name: str) -> list[Departure]:
        """Those that a receipt claimed, in order."""
        return self._by_receipt.get(name, [])

    def concerned(self, book: Book, tags: Iterable[int], assets: Iterable[str]) -> set[Departure]:
        """Those of which something new may be said, once such tags have passed and such assets have moved."""
        found = {one for tag in tags for one in self._by_tag.get(tag, ())}
        for asset in assets if self._by_name else ():
            for name in (asset, *(one.device for one in book.devices_of_asset(asset))):
                found.update(self._by_name.get(name, ()))
        return found

    def __len__(self) -> int:
        return len(self.of)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Strays) and self.of == other.of

    def __hash__(self) -> int:
        return hash(self.of)


def left(
    book: Book,
    receipts: ReceiptBook,
    signals: Signals,
    assets: Mapping[str, AssetState],
    names: Iterable[str] | None = None,
    known: Mapping[tuple[str, int], Departure] | None = None,
) -> tuple[Departure, ...]:
    """The lines that have left, in order: of the receipts `names`, or of all. `known` are departures that were found
    before, by receipt and line."""
    some = receipts.receipts() if names is None else map(receipts.get, set(names))
    found = []
    for one in some:
        if one is not None and one.is_live:
            found += _left(book, one, signals, assets, known or {})
    return tuple(sorted(found))


def concerned(book: Book, receipts: ReceiptBook, tags: Iterable[int], assets: Iterable[str]) -> set[str]:
    """The live receipts that `left` may say something new of, once such tags have passed and such assets have moved."""
    found = {name for tag in tags for name in receipts.found_by(tag_mark(tag))}
    for asset in assets:
        found.update(receipts.found_by(f"container:{asset}"))
        for one in book.devices_of_asset(asset):
            found.update(receipts.found_by(f"device:{one.device}"))
    return found


def _left(
    book: Book,
    receipt: Receipt,
    signals: Signals,
    assets: Mapping[str, AssetState],
    known: Mapping[tuple[str, int], Departure],
) -> list[Departure]:
    found = []
    for number in range(len(receipt.goods)):
        line, before = line_of(receipt, number), known.get((receipt.id, number))
        if before is not None:  # a line that is known by a name is never divided
            line = line.at_least(before.of.goods.quantity_milli)
        if line.goods.quantity_milli > 0:  # else all of it was surrendered, or delivered, before any of it left
            outs = before.outs if before else ()
            one = gone(book, Departure(receipt.id, number, line, "", 0, outs), signals, assets)
            found += [one] if one is not None else []
    return found


def followed(
    receipts: ReceiptBook, names: Iterable[str], known: Iterable[Departure]
) -> dict[tuple[str, int], Departure]:
    """Departures that were found before, by the receipts and lines that their goods are on now, of receipts `names`.
    One whose goods are on none of them by its names is left out."""
    by_key: dict[StockKey, list[Departure]] = {}
    for one in sorted(known):
        by_key.setdefault(one.of.key, []).append(one)
    found = {}
    for name in names if by_key else ():
        receipt = receipts.get(name)
        if receipt is None or not receipt.is_live:
            continue
        for number in range(len(receipt.goods)):
            line = line_of(receipt, number)
            some = [one for one in by_key.get(line.key, ()) if one.of.is_about(line)]
            if some:
                found[name, number] = some[0]
    return found


def line_of(receipt: Receipt, number: int) -> Line:
    """A line of a receipt as it is followed."""
    goods = receipt.goods[number]
    goods = goods._replace(quantity_milli=goods.quantity_milli - receipt.ordered_milli[number])
    return Line(receipt.warehouse, receipt.depositor, goods, receipt.received_ms, receipt.issued_ms)


def gone(book: Book, known: Departure, signals: Signals, assets: Mapping[str, AssetState]) -> Departure | None:
    """How goods have left, of which there is known so much; None where they have not, or are back."""
    line = known.of
    warehouse = book.warehouses.get(line.warehouse)
    outs = _outs(warehouse.gates if warehouse else (), line, signals, known.outs)
    seen_ms = _seen_outside(book, warehouse, line, assets) if warehouse else None
    newest = max(outs, default=None)
    if newest is not None and (seen_ms is None or seen_ms <= newest.passage.at_ms):
        return known._replace(gate=newest.gate, at_ms=newest.passage.at_ms, outs=outs)
    return known._replace(gate="", at_ms=seen_ms, outs=outs) if seen_ms is not None else None


def went_out(
    book: Book, receipts: ReceiptBook, names: Iterable[str], before: Signals, signals: Signals
) -> tuple[Departure, ...]:
    """The lines of receipts `names`, in order, of whose names a gate is newly heard to have read one on its way out,
    whether they are back by now or not. A passage that is older than what was known of the line is no news: they were
    away then, as was heard."""
    found = []
    for name in sorted(names) if signals.went_out is not before.went_out else ():
        receipt = receipts.get(name)
        warehouse = book.warehouses.get(receipt.warehouse) if receipt is not None and receipt.is_live else None
        if receipt is None or warehouse is None:
            continue
        for number in range(len(receipt.goods)):
            line = line_of(receipt, number)
            known, newest = (_newest_out(warehouse.gates, line, one) for one in (before, signals))
            if newest is not None and newest != known and line.goods.quantity_milli > 0:  # else it may leave
                found.append(Departure(name, number, line, newest.gate, newest.passage.at_ms))
    return tuple(found)


def _newest_out(gates: Iterable[str], line: Line, signals: Signals) -> Out | None:
    """The newest passage of any name of a line on its way out, since its goods began to come in."""
    every = ((signals.out(gate, tag), gate) for gate in gates for tag in map(_number, line.names))
    return max((Out(one, gate) for one, gate in every if one and one.at_ms >= line.received_ms), default=None)


def _outs(gates: Iterable[str], line: Line, signals: Signals, known: tuple[Out, ...]) -> tuple[Out, ...]:
    """How goods have left by gates, one for each of the names that they have or have had."""
    found = []
    for tag in sorted({*map(_number, line.names), *(one.passage.tag for one in known)}):
        some = [Out(one, gate) for gate in gates if (one := signals.passage(gate, tag)) is not None]
        newest = max([*some, *(one for one in known if one.passage.tag == tag)], default=None)
        if newest is not None and newest.passage.is_out and newest.passage.at_ms >= line.received_ms:
            found.append(newest)
    return tuple(sorted(found))


def _seen_outside(book: Book, warehouse: Warehouse, line: Line, assets: Mapping[str, AssetState]) -> int | None:
    """The newest fix of goods that are outside; None where they are not, or nobody can tell."""
    device = book.installations.get(line.goods.device)
    names = {device.asset if device else "", line.goods.container}
    known = [state.presence for state in map(assets.get, names) if state is not None and state.presence is not None]
    told = [_outside(book, warehouse, presence) for presence in known] if warehouse.fences else []
    return max((at_ms for at_ms in told if at_ms is not None and at_ms >= line.issued_ms), default=None)


def _outside(book: Book, warehouse: Warehouse, presence: Presence) -> int | None:
    """The newest fix that shows an asset outside every fence; None where it is inside, about to enter, too near to an
    edge to tell, or where a fence has not let it in only because no fix was good or deep enough."""
    fences = {*warehouse.fences}
    if fences & {*presence.inside, *presence.unknown, *(fence for fence, _ in presence.pending)}:
        return None
    place = np.array([presence.latitude_e7]), np.array([presence.longitude_e7])
    _, around = book.fence_index.containing(*place)
    if fences & {book.fence_index.ids[one] for one in around.tolist()}:
        return None
    # A fence is judged by fixes of its grade only: a weaker one shows nothing.
    return min(
        presence.good_ms if GRADE_NAMES[book.fences[fence].grade] is Grade.GOOD else presence.key[0] for fence in fences
    )
