"""Departures: goods of live receipts that have left a warehouse although nobody has surrendered them for delivery.

Only what there is once can be followed: a line that is known by its container, its seal or a device in it. It has left

- by a gate of the warehouse that has read one of these names on its way out, since the goods began to come in, and none
  of whose gates has read that name on its way in after that;
- or by its place: the asset of its device, or its container, is outside of all of the warehouse's fences by a fix since
  the receipt was issued. When it was issued the warehouse said that the goods are there.

A gate's word stays known once it was found (`outs`), whatever becomes of the signals that it was found by: it is taken
back by a newer passage of that name on its way in, and by nothing else that is read. What is seen outside is not, for
later fixes may show that it never was.

A line of which all is surrendered may leave, and a receipt that has ended claims nothing. Where a fence cannot be told
yet nothing has left; a gate's word counts all the same.
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
from pledgewatch_cloud.decide.warehouse.signals import Passage, Signals
from pledgewatch_cloud.decide.warehouse.terms import Warehouse
from pledgewatch_wire.reading import tag_number

_number = lru_cache(65_536)(tag_number)


class Out(NamedTuple):
    """The newest passage of a name, which was on its way out, and its gate."""

    passage: Passage
    gate: str


class Departure(NamedTuple):
    """A line of a receipt that has left. `gate` is the gate that it passed; empty where it was seen outside. `at_ms` is
    when it passed, or its newest fix outside, so it is not what departures are told apart by. `outs` are the names that
    passed, one each. `since_ms` is the first moment of it that is known. `by_count` is the digest of the count that was
    asked last whether it finds the goods, and `counted_ms` its moment; empty and 0 where none was. `booked_milli` is
    what the stock system had booked out of it before its horizon."""

    receipt: str
    line: int
    gate: str
    at_ms: int
    outs: tuple[Out, ...] = ()
    since_ms: int = 0
    by_count: str = ""
    counted_ms: int = 0
    booked_milli: int = 0

    def as_row(self) -> list[Any]:
        """As JSON."""
        return [*self[:4], [[*one.passage, one.gate] for one in self.outs], *self[5:]]

    @staticmethod
    def from_row(row: list[Any]) -> "Departure":
        """The departure behind its JSON."""
        receipt, line, gate, at_ms, outs, *rest = row
        return Departure(receipt, line, gate, at_ms, tuple(Out(Passage(*one[:-1]), one[-1]) for one in outs), *rest)


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
    warehouse, found = book.warehouses.get(receipt.warehouse), []
    for line, goods in enumerate(receipt.goods):
        if receipt.ordered_milli[line] >= goods.quantity_milli:  # also where all of it is delivered
            continue
        before = known.get((receipt.id, line))
        gates = warehouse.gates if warehouse else ()
        outs = _outs(gates, goods, receipt.received_ms, signals, before.outs if before else ())
        if outs:
            first = min(outs)
            found.append(Departure(receipt.id, line, first.gate, first.passage.at_ms, outs))
        elif warehouse and (at_ms := _seen_outside(book, warehouse, goods, receipt.issued_ms, assets)) is not None:
            found.append(Departure(receipt.id, line, "", at_ms))
    return found


def _outs(
    gates: Iterable[str], goods: GoodsLine, since_ms: int, signals: Signals, known: tuple[Out, ...]
) -> tuple[Out, ...]:
    """How goods have left by gates, one for each of their names."""
    found = []
    for name in sorted({*filter(None, (goods.container, goods.seal, goods.device))}):
        tag = _number(name)
        some = [Out(one, gate) for gate in gates if (one := signals.passage(gate, tag)) is not None]
        newest = max([*some, *(one for one in known if one.passage.tag == tag)], default=None)
        if newest is not None and newest.passage.is_out and newest.passage.at_ms >= since_ms:
            found.append(newest)
    return tuple(sorted(found))


def _seen_outside(
    book: Book, warehouse: Warehouse, goods: GoodsLine, since_ms: int, assets: Mapping[str, AssetState]
) -> int | None:
    """The newest fix of goods that are outside; None where they are not, or nobody can tell."""
    device = book.installations.get(goods.device)
    names = {device.asset if device else "", goods.container}
    known = [state.presence for state in map(assets.get, names) if state is not None and state.presence is not None]
    told = [_outside(book, warehouse, presence) for presence in known] if warehouse.fences else []
    return max((at_ms for at_ms in told if at_ms is not None and at_ms >= since_ms), default=None)


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
