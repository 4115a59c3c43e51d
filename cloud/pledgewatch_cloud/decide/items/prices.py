"""Prices: what one unit of a SKU is worth by agreement, in minor units. Dated quotes are the market's."""

from collections.abc import Callable
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.item import Item
from pledgewatch_cloud.decide.items.sections import said
from pledgewatch_cloud.decide.money import AMOUNT_MAX_MINOR


class Price(NamedTuple):
    """What one unit of a SKU is worth by agreement: it holds until it is amended. Dated quotes are the market's."""

    sku: str
    unit_price_minor: int
    currency: str


def _price(item: Item) -> Price:
    return Price(item.text("sku"), item.integer("unit_price_minor", 0, AMOUNT_MAX_MINOR), item.currency("currency"))


READERS: dict[str, Callable[[Item], Any]] = {"prices": _price}
"""How an item of each section is read."""


def as_document(_section: str, price: Price) -> dict[str, Any]:
    """A price as an amendment says it."""
    return said(price)
