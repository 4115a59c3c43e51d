"""The ledger of truth: what went wrong, by how much, and what of it the stock system was told since.

It is what nobody in the warehouse knows. A test holds against it what pledgewatch has found; and it explains to the
piece in what the stock system and the floor differ:

    booked − there, by bin and SKU  =  the sum of `excess` over all mishaps
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple


class Kind(StrEnum):
    """What can go wrong."""

    MISSED_SCAN = "missed_scan"
    """Goods were sold and left, and nobody scanned them."""
    DOUBLE_IMPORT = "double_import"
    """A delivery was booked twice, under two ids."""
    THEFT = "theft"
    """Goods left without a booking, past the gate's reader or around it."""
    WRONG_BIN = "wrong_bin"
    """Goods were put into another bin than was booked."""
    DEAD_SENSOR = "dead_sensor"
    """A device says nothing any more."""


class Mishap(NamedTuple):
    """One thing that went wrong.

    `bin` is where the stock system has the goods, `other_bin` where they really are (WRONG_BIN). `seal` is the load's,
    empty where loose pieces are meant; `is_read` says whether the gate's reader saw it leave. `device` is the dead one.
    `righted_ms` is when the stock system is told the truth of it, None where it never is.
    """

    kind: Kind
    at_ms: int
    sku: str = ""
    pieces: int = 0
    bin: str = ""
    other_bin: str = ""
    seal: str = ""
    is_read: bool = False
    device: str = ""
    righted_ms: int | None = None

    def excess(self, at_ms: int) -> dict[tuple[str, str], int]:
        """Of how many pieces the stock system knows too many (too few: negative) because of it, by bin and SKU, at a
        moment."""
        is_righted = self.righted_ms is not None and at_ms >= self.righted_ms
        if at_ms < self.at_ms or is_righted or not self.pieces:
            return {}
        if self.kind is Kind.WRONG_BIN:
            return {(self.bin, self.sku): self.pieces, (self.other_bin, self.sku): -self.pieces}
        return {(self.bin, self.sku): self.pieces}

    def as_json(self) -> dict[str, Any]:
        """The mishap as JSON, without what says nothing."""
        return {name: value for name, value in self._asdict().items() if value not in ("", 0, None) or name == "at_ms"}


def excess(mishaps: Iterable[Mishap], at_ms: int) -> dict[tuple[str, str], int]:
    """In what the stock system and the floor differ at a moment, by bin and SKU; what does not differ is left out."""
    found: dict[tuple[str, str], int] = {}
    for one in mishaps:
        for key, pieces in one.excess(at_ms).items():
            found[key] = found.get(key, 0) + pieces
    return {key: pieces for key, pieces in found.items() if pieces}
