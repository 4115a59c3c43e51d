"""Departures: goods of live receipts that have left a warehouse although nobody has surrendered them for delivery.

Only what there is once can be followed: a line that is known by its container, its seal or a device in it. It has left

- by a gate of the warehouse that has read one of these names on its way out, since the goods began to come in, and none
  of whose gates has read that name on its way in after that;
- or by its place: the asset of its device, or its container, is outside of all of the warehouse's fences by a fix since
  the receipt was issued. When it was issued the warehouse said that the goods are there.

A line of which all is surrendered may leave, and a receipt that has ended claims nothing. Where a fence cannot be told
yet nothing has left; a gate's word counts all the same.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.grade import GRADE_NAMES, Grade
from pledgewatch_cloud.decide.presence import Presence
from pledgewatch_cloud.decide.receipts.goods import Goods
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook, tag_mark
from pledgewatch_cloud.decide.warehouse.signals import Passage, Signals
from pledgewatch_cloud.decide.warehouse.terms import Warehouse
from pledgewatch_wire.reading import tag_number

_number = lru_cache(65_536)(tag_number)


class Departure(NamedTuple):
    """A line of a receipt that has left. `gate` is the gate that it passed; empty where it was seen outside. `at_ms` is
    when it passed, or its newest fix outside, so it is not what departures are told apart by."""

    receipt: str
    line: int
    gate: str
    at_ms: int


def left(
    book: Book,
    receipts: ReceiptBook,
    signals: Signals,
    assets: Mapping[str, AssetState],
    names: Iterable[str] | None = None,
) -> tuple[Departure, ...]:
    """The lines that have left, in order: of the receipts `names`, or of all."""
    some = receipts.receipts() if names is None else map(receipts.get, set(names))
    found = []
    for one in some:
        warehouse = book.warehouses.get(one.warehouse) if one is not None and one.is_live else None
        if one is not None and warehouse is not None:
            found += _left(book, warehouse, one, signals, assets)
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
    book: Book, warehouse: Warehouse, receipt: Receipt, signals: Signals, assets: Mapping[str, AssetState]
) -> list[Departure]:
    found = []
    for line, goods in enumerate(receipt.goods):
        if receipt.ordered_milli[line] >= goods.quantity_milli:  # also where all of it is delivered
            continue
        gate, passage = _passed(warehouse, goods, receipt.received_ms, signals)
        if passage is not None:
            found.append(Departure(receipt.id, line, gate, passage.at_ms))
        elif (at_ms := _seen_outside(book, warehouse, goods, receipt.issued_ms, assets)) is not None:
            found.append(Departure(receipt.id, line, "", at_ms))
    return found


def _passed(warehouse: Warehouse, goods: Goods, since_ms: int, signals: Signals) -> tuple[str, Passage | None]:
    """By which gate goods have left, and how; the earliest, where several of their names have."""
    found: list[tuple[Passage, str]] = []
    for name in filter(None, (goods.container, goods.seal, goods.device)):
        known = [(signals.passage(gate, _number(name)), gate) for gate in warehouse.gates]
        newest = max(((one, gate) for one, gate in known if one is not None), default=None)
        if newest is not None and newest[0].is_out and newest[0].at_ms >= since_ms:
            found.append(newest)
    passage, gate = min(found, default=(None, ""))
    return gate, passage


def _seen_outside(
    book: Book, warehouse: Warehouse, goods: Goods, since_ms: int, assets: Mapping[str, AssetState]
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
