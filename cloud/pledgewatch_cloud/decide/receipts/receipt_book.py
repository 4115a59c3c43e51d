"""All receipts there are, what the live ones claim, and how much of which stock.

A book is a value: an act makes another, which shares almost all with the one before. What is kept beside the receipts
follows from them and is only there to be found quickly: by mark, the live receipts that are found by it; by stock key,
the quantity of live receipts; by warehouse, SKU and unit, the stock keys of those.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pledgewatch_cloud.decide.receipts.claims import kept_of
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.shelves import Shelves
from pledgewatch_cloud.decide.stock.rows import StockKey

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

    def keys(self, warehouse: str, sku: str, unit: str) -> tuple[StockKey, ...]:
        """The stock keys of an SKU in a warehouse that live receipts claim, of all owners and bins, in order."""
        return self._keys.get(_text((warehouse, sku, unit))) or ()

    def found_by(self, text: str) -> tuple[str, ...]:
        """The ids of live receipts that are found by a mark, in order."""
        return self._found_by.get(text) or ()

    def put(self, changed: Iterable[Receipt]) -> "ReceiptBook":
        """The book with some receipts more, or as they are now."""
        after = {one.id: one for one in changed}
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
            beside = keys.setdefault(_beside(key), set(self.keys(key.warehouse, key.sku, key.unit)))
            (beside.add if quantity else beside.discard)(key)
        return ReceiptBook(
            self._receipts.put(after),
            _shelved(self._found_by, {text: tuple(sorted(some)) for text, some in ids.items()}),
            _shelved(self._live, {_text(key): quantity for key, quantity in quantities.items()}),
            _shelved(self._keys, {text: tuple(sorted(some)) for text, some in keys.items()}),
        )

    def as_json(self) -> list[list[Any]]:
        """The book as JSON, by id; equal books give equal JSON."""
        return [one.as_row() for one in sorted(self._receipts.values(), key=lambda one: one.id)]

    @staticmethod
    def from_json(rows: Iterable[list[Any]]) -> "ReceiptBook":
        """The book behind its JSON."""
        return ReceiptBook().put([Receipt.from_row(row) for row in rows])


def _shelved(shelves: Shelves[_Value], changed: Mapping[str, _Value]) -> Shelves[_Value]:
    """Shelves with what has changed; what has come to nothing is taken off them."""
    kept = {key: value for key, value in changed.items() if value}
    return shelves.put(kept).without(frozenset(changed.keys() - kept.keys()))


def _claimed(one: Receipt | None) -> tuple[object, ...]:
    """All that its marks and quantities follow from; nothing where it claims nothing."""
    if one is None or not one.is_live:
        return ()
    return one.warehouse, one.depositor, one.goods, one.received_ms, one.received_until_ms


def _marks(one: Receipt) -> set[str]:
    return {claim.text for claim in kept_of(one.warehouse, one.goods, one.received)}


def _beside(key: StockKey) -> str:
    return _text((key.warehouse, key.sku, key.unit))


def _text(parts: tuple[str, ...]) -> str:
    """Some words as one, each with its length before it, so that no others make the same."""
    return "".join(f"{len(part)}:{part}" for part in parts)
