"""A warehouse receipt as it stands: whose it is, who controls it, and what of its goods is where in its life.

It is never changed; an act makes another. `head` is the digest of the act that made it, and the next act must name it:
so an act is always about the receipt as its signer saw it.
"""

import re
from enum import StrEnum
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.receipts.goods import GoodsLine, Window
from pledgewatch_cloud.decide.stock.rows import StockKey

ID_MAX = 128
_LISTS = ("goods", "deliveries")
_OWN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?")


class State(StrEnum):
    """States of a receipt. NONE: there is no such receipt yet."""

    NONE = "none"
    DRAFTED = "drafted"
    ISSUED = "issued"
    PLEDGED = "pledged"
    PARTLY_RELEASED = "partly_released"
    RELEASED = "released"
    SPLIT = "split"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    FROZEN = "frozen"
    LOST = "lost"
    REPLACED = "replaced"


LIVE = frozenset({State.ISSUED, State.PLEDGED, State.PARTLY_RELEASED, State.RELEASED, State.FROZEN, State.LOST})
"""States in which it claims goods."""
ENDED = frozenset({State.SPLIT, State.DELIVERED, State.CANCELLED, State.REPLACED})
"""States that nothing leads out of."""


class Delivery(NamedTuple):
    """Goods that left against surrender: which, how much, when the delivery was heard and since when that was asked
    for; in Unix milliseconds and thousandths of the unit. `claimed_milli` is what live receipts claimed of that stock
    key just before it left, this with it; the book of receipts notes it."""

    sku: str
    unit: str
    bin: str
    heard_ms: int
    ordered_ms: int
    milli: int
    claimed_milli: int = 0


class Receipt(NamedTuple):
    """A receipt.

    `id` is `<warehouse>:<name>`, and of a part of a split `<parent>.<number>`. `goods` are what it claims now: a line
    of which all is delivered stays, with a quantity of 0. By line, in thousandths of the unit: `released_milli` how
    much of it is free while the rest is pledged, `ordered_milli` how much the holder has surrendered for delivery,
    `delivered_milli` how much has left. `received_ms` and `received_until_ms` say when the goods came in, `at_ms` when
    the newest act was signed, and `acts` how many there were. `frozen_from` is what it was before it was frozen or
    lost, and empty at all other times. `overrides` are the asks that were passed over, by its lines as they were
    then, when it claimed goods or another receipt claimed some close to its own; they stay for ever.
    `deliveries` are what has left, by SKU, unit and bin, the newest last: the stock system may book them sooner or
    later; `ordered_ms` is since when goods of it are surrendered, or were last.
    `number` stands for what it says now, and for nothing else ever; 0 before it is issued. `number_head` is the act by
    which it came to say so, `number_ms` when that was heard.
    """

    id: str
    warehouse: str
    depositor: str
    holder: str
    pledgee: str
    state: State
    goods: tuple[GoodsLine, ...]
    released_milli: tuple[int, ...]
    ordered_milli: tuple[int, ...]
    delivered_milli: tuple[int, ...]
    received_ms: int
    received_until_ms: int
    issued_ms: int
    until_ms: int
    head: str
    at_ms: int
    acts: int = 1
    parent: str = ""
    children: tuple[str, ...] = ()
    replaces: str = ""
    replaced_by: str = ""
    frozen_from: str = ""
    overrides: tuple[str, ...] = ()
    ordered_ms: int = 0
    deliveries: tuple[Delivery, ...] = ()
    number: int = 0
    number_head: str = ""
    number_ms: int = 0

    @property
    def says(self) -> tuple[object, ...]:
        """What is shown of it to others, as far as it can change: to freeze or lose it changes none of that."""
        state = self.frozen_from or str(self.state)
        goods = self.goods, self.released_milli, self.ordered_milli
        return self.holder, self.pledgee, state, goods, self.received, self.until_ms, self.overrides

    @property
    def is_live(self) -> bool:
        """Whether it claims goods."""
        return self.state in LIVE

    @property
    def controller(self) -> str:
        """The one party that controls it: who drafted it, then its holder, while it is pledged its pledgee; empty once
        it has ended."""
        if self.state in ENDED:
            return ""
        if self.state is State.DRAFTED:
            return self.warehouse
        return self.pledgee or self.holder

    @property
    def received(self) -> Window:
        """When its goods came in."""
        return Window(self.received_ms, self.received_until_ms)

    @property
    def quantities_milli(self) -> tuple[int, ...]:
        """What it claims, by line."""
        return tuple(one.quantity_milli for one in self.goods)

    @property
    def free_milli(self) -> tuple[int, ...]:
        """What its holder may ask to be delivered, by line."""
        return self.released_milli if self.pledgee else self.quantities_milli

    @property
    def totals_milli(self) -> dict[StockKey, int]:
        """What it claims, by what the stock book counts under; lines of nothing are left out."""
        found: dict[StockKey, int] = {}
        for one in self.goods:
            if one.quantity_milli:
                key = one.key(self.warehouse, self.depositor)
                found[key] = found.get(key, 0) + one.quantity_milli
        return found

    def is_seen_by(self, party: str) -> bool:
        """Whether a party has a part in it; before it is issued the depositor has."""
        return bool(party) and party in (self.warehouse, self.holder, self.pledgee)

    def as_row(self) -> list[Any]:
        """The receipt as JSON."""
        return [[list(line) for line in one] if name in _LISTS else _plain(one) for name, one in self._asdict().items()]

    @staticmethod
    def from_row(row: list[Any]) -> "Receipt":
        """The receipt behind its JSON."""
        found = Receipt._make(tuple(one) if isinstance(one, list) else one for one in row)
        return found._replace(
            state=State(found.state),
            goods=tuple(GoodsLine(*line) for line in found.goods),
            deliveries=tuple(Delivery(*one) for one in found.deliveries),
        )


def is_own_id(warehouse: str, text: str) -> bool:
    """Whether a warehouse may name a new receipt so: `<warehouse>:<name>`, the name of letters, digits and hyphens."""
    mine, colon, name = text.rpartition(":")
    return mine == warehouse and bool(colon) and _OWN.fullmatch(name) is not None and len(text) <= ID_MAX


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, State) else value
