"""All receipts there are, what the live ones claim, and how much of which stock.

A book is a value: an act makes another, which shares almost all with the one before. What is kept beside the receipts
follows from them and is only there to be found quickly: by mark, the live receipts that are found by it; by stock key,
the quantity of live receipts; by SKU, the stock keys of those; by stock key, what was delivered.

What a live receipt says has a number (Receipt.number), by which others are told whether it still does. Numbers are
given in the order of the acts and never again: a receipt that comes to say something else has the next one, and one
that ends takes its own along.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pledgewatch_cloud.decide.receipts.claims import kept_of
from pledgewatch_cloud.decide.receipts.goods import compared
from pledgewatch_cloud.decide.receipts.receipt import Delivery, Receipt
from pledgewatch_cloud.decide.shelves import Shelves
from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_wire.reading import tag_number

KEPT_MAX = 250_000
"""Receipts in a book. What would begin one more is refused; what is begun can always be brought to its end."""
MARKS_MAX = 4_000_000
"""Marks that live receipts are found by. Over that nothing more is claimed, and all else goes on."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class ReceiptBook:
    """Receipts by id, with what is found of the live ones."""

    _receipts: Shelves[Receipt] = field(default_factory=Shelves[Receipt])
    _found_by: Shelves[tuple[str, ...]] = field(default_factory=Shelves[tuple[str, ...]])
    _live: Shelves[int] = field(default_factory=Shelves[int])
    _keys: Shelves[tuple[StockKey, ...]] = field(default_factory=Shelves[tuple[StockKey, ...]])
    _delivered: Shelves[tuple[tuple[str, Delivery], ...]] = field(
        default_factory=Shelves[tuple[tuple[str, Delivery], ...]]
    )
    numbers: int = 0
    """The last number that was given to what a receipt says; the first is 1."""

    def __len__(self) -> int:
        return self._receipts.count

    @property
    def marks(self) -> int:
        """By how many marks live receipts are found."""
        return self._found_by.count

    def get(self, name: str) -> Receipt | None:
        """The receipt of an id, whether it is live or not."""
        return self._receipts.get(name)

    def receipts(self) -> Iterator[Receipt]:
        """All receipts, in an order that means nothing."""
        return self._receipts.values()

    def live_milli(self, key: StockKey) -> int:
        """What live receipts claim of one stock key."""
        return self._live.get(_text(key)) or 0

    def keys(self, sku: str) -> tuple[StockKey, ...]:
        """The stock keys of an SKU that live receipts claim, however it is spelled: of all warehouses, owners, bins and
        units; in order."""
        return self._keys.get(compared(sku)) or ()

    def delivered(self, key: StockKey) -> tuple[Delivery, ...]:
        """What receipts have delivered of a stock key, ever."""
        return tuple(one for _, one in self._delivered.get(_text(key)) or ())

    def found_by(self, text: str) -> tuple[str, ...]:
        """The ids of live receipts that are found by a mark, in order."""
        return self._found_by.get(text) or ()

    def claiming(self, warehouse: str, owner: str, sku: str, unit: str) -> tuple[str, ...]:
        """The ids of live receipts that claim goods of an owner's SKU in a warehouse, in whichever bin, in order."""
        return self.found_by(_pool_mark(warehouse, owner, sku, unit))

    def changed(self, before: "ReceiptBook") -> Iterator[str]:
        """The ids of the receipts that are not as they were in a book that this one was made of."""
        return self._receipts.changed(before._receipts)  # noqa: SLF001 - a book too

    def put(self, changed: Iterable[Receipt], heard_ms: int = 0) -> "ReceiptBook":
        """The book with some receipts more, or as they are now, by what was heard at a moment. Their numbers are given
        here, whichever they come with, and what was claimed of goods before they left is noted."""
        after, numbers = {}, self.numbers
        for one in changed:
            known = self.get(one.id)
            if known is not None and (not one.is_live or (known.number and known.says == one.says)):
                number, head, at_ms = known.number, known.number_head, known.number_ms
            elif one.is_live:
                numbers += 1
                number, head, at_ms = numbers, one.head, heard_ms
            else:
                number, head, at_ms = 0, "", 0
            deliveries = self._noted(one, known, heard_ms)
            after[one.id] = one._replace(number=number, number_head=head, number_ms=at_ms, deliveries=deliveries)
        return self.kept(after, numbers)

    def _noted(self, one: Receipt, known: Receipt | None, heard_ms: int) -> tuple[Delivery, ...]:
        """Its deliveries, with what was claimed before them. Where an older one has become a part of one, that was
        claimed besides; what leaves at the same moment was claimed all the time."""
        before = {(key, delivery.heard_ms): delivery for key, delivery in _delivered_of(known)}
        found = []
        for key, delivery in _delivered_of(one):
            was = before.get((key, delivery.heard_ms))
            if was is None:
                claimed_milli = self.live_milli(key)
            else:
                joined_milli = delivery.milli - was.milli if delivery.heard_ms < heard_ms else 0
                claimed_milli = was.claimed_milli + joined_milli
            found.append(delivery._replace(claimed_milli=claimed_milli))
        return tuple(found)

    def kept(self, after: Mapping[str, Receipt], numbers: int) -> "ReceiptBook":
        """The book with some receipts more, or as they are now, each with its number."""
        known = {name: self.get(name) for name in after}
        moved = [name for name, one in after.items() if _claimed(known[name]) != _claimed(one)]
        before = [one for one in map(known.get, moved) if one is not None and one.is_live]
        live = [one for one in map(after.__getitem__, moved) if one.is_live]
        ids: dict[str, set[str]] = {}
        quantities: dict[StockKey, int] = {}
        for one, is_there in [*((one, False) for one in before), *((one, True) for one in live)]:
            for text in _marks(one):
                names = ids.setdefault(text, set(self.found_by(text)))
                (names.add if is_there else names.discard)(one.id)
            for key, quantity in one.totals_milli.items():
                live_milli = quantities.get(key, self.live_milli(key))
                quantities[key] = live_milli + (quantity if is_there else -quantity)
        keys: dict[str, set[StockKey]] = {}
        for key, quantity in quantities.items():
            beside = keys.setdefault(compared(key.sku), set(self.keys(key.sku)))
            (beside.add if quantity else beside.discard)(key)
        delivered: dict[str, set[tuple[str, Delivery]]] = {}
        for name, one in after.items():
            before_it = known[name]
            if one.deliveries != (before_it.deliveries if before_it is not None else ()):
                for other, is_there in ((before_it, False), (one, True)):
                    for key, delivery in _delivered_of(other):
                        some = delivered.setdefault(_text(key), set(self._delivered.get(_text(key)) or ()))
                        (some.add if is_there else some.discard)((name, delivery))
        return ReceiptBook(
            self._receipts.put(after),
            _shelved(self._found_by, {text: tuple(sorted(some)) for text, some in ids.items()}),
            _shelved(self._live, {_text(key): quantity for key, quantity in quantities.items()}),
            _shelved(self._keys, {text: tuple(sorted(some)) for text, some in keys.items()}),
            _shelved(self._delivered, {text: tuple(sorted(some)) for text, some in delivered.items()}),
            numbers,
        )

    def as_json(self) -> list[list[Any]]:
        """The book as JSON, by id; equal books give equal JSON."""
        return [one.as_row() for one in sorted(self._receipts.values(), key=lambda one: one.id)]

    @staticmethod
    def from_json(rows: Iterable[list[Any]]) -> "ReceiptBook":
        """The book behind its JSON."""
        receipts = [Receipt.from_row(row) for row in rows]
        # The receipt that was given the last number has it still: one that says something else has a later one.
        numbers = max((one.number for one in receipts), default=0)
        return ReceiptBook().kept({one.id: one for one in receipts}, numbers)


def _shelved(shelves: Shelves[_Value], changed: Mapping[str, _Value]) -> Shelves[_Value]:
    """Shelves with what has changed; what has come to nothing is taken off them."""
    kept = {key: value for key, value in changed.items() if value}
    return shelves.put(kept).without(frozenset(changed.keys() - kept.keys()))


def _claimed(one: Receipt | None) -> tuple[object, ...]:
    """All that its marks and quantities follow from; nothing where it claims nothing."""
    if one is None or not one.is_live:
        return ()
    return one.warehouse, one.depositor, one.goods, one.received_ms, one.received_until_ms


def _delivered_of(one: Receipt | None) -> Iterator[tuple[StockKey, Delivery]]:
    if one is None:
        return
    for delivery in one.deliveries:
        key = StockKey(one.warehouse, one.depositor, delivery.sku, delivery.bin, delivery.unit)
        yield key, delivery


def _marks(one: Receipt) -> set[str]:
    """By what it is found; also by the numbers of its tags, as a gate says no more of what passes, and with all other
    receipts whose goods cannot be told from its own."""
    named = {name for line in one.goods if line.quantity_milli for name in (line.container, line.seal, line.device)}
    tags = {tag_mark(tag_number(name)) for name in named if name}
    pools = {_pool_mark(key.warehouse, key.owner, key.sku, key.unit) for key in one.totals_milli}
    return tags | pools | {claim.text for claim in kept_of(one.warehouse, one.goods, one.received)}


def tag_mark(number: int) -> str:
    """The mark of a tag by its number on the wire."""
    return f"tag:{number}"


def _pool_mark(warehouse: str, owner: str, sku: str, unit: str) -> str:
    return f"pool:{_text((warehouse, owner, sku, unit))}"


def _text(parts: tuple[str, ...]) -> str:
    """Some words as one, each with its length before it, so that no others make the same."""
    return "".join(f"{len(part)}:{part}" for part in parts)
