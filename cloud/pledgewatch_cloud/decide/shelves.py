"""A mapping that never changes, of which a changed copy is cheap.

Items lie on shelves by the hash of their key; a copy shares all shelves but those that it changes. So what a change
costs does not grow with how many items there are, and whoever holds the mapping of before still holds it unchanged.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Generic, TypeVar

_SHELVES = 1_024
_Value = TypeVar("_Value")


class Shelves(Generic[_Value]):
    """Values by text; `count` how many there are."""

    __slots__ = ("_shelves", "count")

    def __init__(self, shelves: tuple[dict[str, _Value], ...] = ({},) * _SHELVES, count: int = 0) -> None:
        self._shelves = shelves
        self.count = count

    def get(self, key: str) -> _Value | None:
        """The value of a key, None where there is none."""
        return self._shelves[hash(key) % _SHELVES].get(key)

    def put(self, items: Mapping[str, _Value]) -> "Shelves[_Value]":
        """The mapping with some values more, or others."""
        shelves = list(self._shelves)
        copied = set()
        count = self.count
        for key, value in items.items():
            number = hash(key) % _SHELVES
            if number not in copied:
                shelves[number] = dict(shelves[number])
                copied.add(number)
            count += key not in shelves[number]
            shelves[number][key] = value
        return Shelves(tuple(shelves), count)

    def without(self, keys: frozenset[str]) -> "Shelves[_Value]":
        """The mapping without some keys, of which each may be there or not."""
        shelves = list(self._shelves)
        gone = [key for key in keys if key in shelves[hash(key) % _SHELVES]]
        for number in {hash(key) % _SHELVES for key in gone}:
            shelves[number] = {key: value for key, value in shelves[number].items() if key not in keys}
        return Shelves(tuple(shelves), self.count - len(gone))

    def changed(self, before: "Shelves[_Value]") -> Iterator[str]:
        """The keys under which there is another thing than before; what lies on a shelf that both share is not looked
        at. A key may have an equal value and be among them."""
        others = before._shelves  # noqa: SLF001 - shelves too
        if self._shelves is others:
            return
        for mine, other in zip(self._shelves, others, strict=True):
            if mine is not other:
                yield from (key for key in mine.keys() | other.keys() if mine.get(key) is not other.get(key))

    def items(self) -> Iterator[tuple[str, _Value]]:
        """All keys with their values, in an order that means nothing."""
        return chain.from_iterable(map(dict.items, filter(None, self._shelves)))

    def values(self) -> Iterator[_Value]:
        """All values, in an order that means nothing."""
        return chain.from_iterable(map(dict.values, filter(None, self._shelves)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shelves) and self._shelves == other._shelves

    def __hash__(self) -> int:
        return hash(self.count)
