"""What is where, physically: the floor. Nobody's word counts here, and nothing comes from or goes to nowhere.

Every move takes pieces from one place and puts them in another, and the world outside the gate is a place too. So the
pieces of a SKU, outside counted in, are the same before and after (outside is below nothing by what came in).

A floor and a scene are values: what happens makes another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

OUTSIDE = ""
"""The place of all that has not come in yet, or has left."""


class Load(NamedTuple):
    """Cartons under one seal, each known by its tag."""

    seal: str
    sku: str
    tags: tuple[str, ...]

    @property
    def pieces(self) -> int:
        """How many cartons."""
        return len(self.tags)


class Move(NamedTuple):
    """Goods go from a bin to another, in from outside or out. Of a load it is all, else `pieces` loose ones."""

    sku: str
    pieces: int
    origin: str
    destination: str
    load: Load | None = None


class ImpossibleError(ValueError):
    """A move of goods that are not there."""


@dataclass(frozen=True, slots=True)
class Floor:
    """Goods by place. `loose` counts pieces by place and SKU, `places` says where each load stands."""

    loose: Mapping[tuple[str, str], int] = field(default_factory=dict)
    loads: Mapping[str, Load] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    def moved(self, move: Move) -> "Floor":
        """The floor after a move. Raises ImpossibleError, and then nothing has moved."""
        if move.pieces <= 0 or move.origin == move.destination:
            raise ImpossibleError(f"{move} moves nothing")
        return self._with_loose(move) if move.load is None else self._with_load(move, move.load)

    def pieces(self, place: str, sku: str) -> int:
        """Pieces of a SKU in a place, those in loads counted in; outside it is below nothing by what came in."""
        in_loads = sum(self._balance(seal, place) for seal, load in self.loads.items() if load.sku == sku)
        return self.loose.get((place, sku), 0) + in_loads

    def stock(self) -> dict[tuple[str, str], int]:
        """Pieces by bin and SKU, of all that is inside."""
        found = {key: pieces for key, pieces in self.loose.items() if key[0] != OUTSIDE and pieces}
        for seal, place in self.places.items():
            load = self.loads[seal]
            if place != OUTSIDE:
                found[place, load.sku] = found.get((place, load.sku), 0) + load.pieces
        return found

    def loads_in(self, bins: tuple[str, ...]) -> list[Load]:
        """The loads that stand in some bins, in order of their seals."""
        return [self.loads[seal] for seal in sorted(self.places) if self.places[seal] in bins]

    def weight_g(self, bins: tuple[str, ...], unit_weights_g: Mapping[str, int]) -> int:
        """What all goods of some bins weigh."""
        return sum(pieces * unit_weights_g[sku] for (place, sku), pieces in self.stock().items() if place in bins)

    def _balance(self, seal: str, place: str) -> int:
        """The pieces of a load as a place counts them: it is where it stands, and came from outside."""
        here = self.loads[seal].pieces if self.places[seal] == place else 0
        return here - self.loads[seal].pieces if place == OUTSIDE else here

    def _with_loose(self, move: Move) -> "Floor":
        loose = dict(self.loose)
        left = loose.get((move.origin, move.sku), 0) - move.pieces
        if left < 0 and move.origin != OUTSIDE:
            raise ImpossibleError(f"{move.origin} holds too little for {move}")
        loose[move.origin, move.sku] = left
        loose[move.destination, move.sku] = loose.get((move.destination, move.sku), 0) + move.pieces
        return Floor(loose, self.loads, self.places)

    def _with_load(self, move: Move, load: Load) -> "Floor":
        if (load.sku, load.pieces) != (move.sku, move.pieces):
            raise ImpossibleError(f"a load is not divided, and has no other goods: {move}")
        if self.places.get(load.seal, OUTSIDE) != move.origin:
            raise ImpossibleError(f"{load.seal} is not in {move.origin or 'the world outside'}")
        loads = {**self.loads, load.seal: load}
        return Floor(self.loose, loads, {**self.places, load.seal: move.destination})


@dataclass(frozen=True, slots=True)
class Scene:
    """All that sensors can measure: the floor, until when doors stand open and somebody moves in a zone (by name, Unix
    milliseconds), and which devices are dead."""

    floor: Floor = field(default_factory=Floor)
    open_until_ms: Mapping[str, int] = field(default_factory=dict)
    stirred_until_ms: Mapping[str, int] = field(default_factory=dict)
    dead: frozenset[str] = frozenset()

    def is_open(self, door: str, at_ms: int) -> bool:
        """Whether a door stands open."""
        return at_ms < self.open_until_ms.get(door, 0)

    def is_stirred(self, zone: str, at_ms: int) -> bool:
        """Whether somebody moves in a zone."""
        return at_ms < self.stirred_until_ms.get(zone, 0)
