"""The goods of a receipt: lines of one SKU in one bin each.

A line may be known by something that there is only once: the container it lies in, the seal on that, a device in it.
Such a line stays whole. Any other is a quantity, and can be divided.

Goods are counted in thousandths of their unit, in whole numbers.
"""

import re
from typing import Any, NamedTuple

from pledgewatch_cloud.decide import identifiers
from pledgewatch_cloud.decide.identifiers import IdentifierError
from pledgewatch_cloud.decide.moments import MomentError, moment_ms, short
from pledgewatch_cloud.decide.stock import rows
from pledgewatch_cloud.decide.stock.rows import QUANTITY_MAX_MILLI, RowError, StockKey
from pledgewatch_wire import topics
from pledgewatch_wire.reading import tag_name

LINES_MAX = 100
WINDOW_MAX_DAYS = 31
DAY_MS = 86_400_000
_SEAL = re.compile(r"[A-Z0-9]{3,32}")
_KEYS = ("sku", "quantity_milli", "unit", "bin", "container", "seal", "device")
_NEEDED = frozenset(_KEYS[:4])


class GoodsError(ValueError):
    """Goods that are none: a sentence that begins with its place, and a cure."""

    def __init__(self, why: str, cure: str) -> None:
        super().__init__(why)
        self.cure = cure


class GoodsLine(NamedTuple):
    """One line. `container`, `seal` and `device` are empty where there is none."""

    sku: str
    quantity_milli: int
    unit: str
    bin: str
    container: str = ""
    seal: str = ""
    device: str = ""

    @property
    def is_identified(self) -> bool:
        """Whether it is known by something that there is only once."""
        return bool(self.container or self.seal or self.device)

    def key(self, warehouse: str, owner: str) -> StockKey:
        """What the stock book counts it under."""
        return StockKey(warehouse, owner, self.sku, self.bin, self.unit)


class Window(NamedTuple):
    """When goods came into the warehouse, in Unix milliseconds; `until_ms` is not included."""

    from_ms: int
    until_ms: int

    @property
    def days(self) -> range:
        """The days of UTC that it touches, counted from 1970-01-01."""
        return range(self.from_ms // DAY_MS, (self.until_ms - 1) // DAY_MS + 1)


def read(where: str, value: Any) -> tuple[GoodsLine, ...]:
    """Lines of goods. Raises GoodsError."""
    if not isinstance(value, list) or not 0 < len(value) <= LINES_MAX:
        raise GoodsError(f"{where}: {short(value)} is no list of 1 to {LINES_MAX} lines", "give one line for each SKU")
    return tuple(_line(f"{where}[{number}]", one) for number, one in enumerate(value))


def window(where: str, value: Any) -> Window:
    """{"from": moment, "until": moment}. Raises GoodsError."""
    if not isinstance(value, dict) or set(value) != {"from", "until"}:
        raise GoodsError(f"{where}: {short(value)} is no window", "write two times in ISO 8601, from and until")
    try:
        found = Window(moment_ms(f"{where}.from", value["from"]), moment_ms(f"{where}.until", value["until"]))
    except MomentError as error:
        raise GoodsError(str(error), "write each time with its offset, as 2026-01-31T12:00:00Z") from None
    if not 0 < found.until_ms - found.from_ms <= WINDOW_MAX_DAYS * DAY_MS:
        raise GoodsError(
            f"{where}: from must be before until, and by at most {WINDOW_MAX_DAYS} days",
            "issue a receipt for each time that goods came in",
        )
    return found


def compared(word: str) -> str:
    """A SKU or a bin as it is compared wherever goods may be the same ones: large and small letters count as the same.
    The stock book counts each spelling by itself, as its system does."""
    return word.casefold()


def _line(where: str, value: Any) -> GoodsLine:
    if not isinstance(value, dict):
        raise GoodsError(f"{where}: {short(value)} is no object", f"give an object with {', '.join(sorted(_NEEDED))}")
    if missing := sorted(_NEEDED - value.keys()):
        raise GoodsError(f"{where}: {', '.join(missing)} is missing", "say what, how much, in which unit and which bin")
    if unknown := sorted(value.keys() - set(_KEYS)):
        raise GoodsError(f"{where}: {', '.join(map(short, unknown))}: no such key", f"keys are {', '.join(_KEYS)}")
    quantity = value["quantity_milli"]
    if type(quantity) is not int or not 0 < quantity <= QUANTITY_MAX_MILLI:
        raise GoodsError(
            f"{where}.quantity_milli: {short(quantity)} is no whole number from 1 to {QUANTITY_MAX_MILLI}",
            "write thousandths of the unit: 40 pieces are 40000",
        )
    sku, unit, place = (_word(f"{where}.{key}", value[key]) for key in ("sku", "unit", "bin"))
    return GoodsLine(
        sku,
        quantity,
        unit,
        place,
        _container(f"{where}.container", value["container"]) if "container" in value else "",
        _seal(f"{where}.seal", value["seal"]) if "seal" in value else "",
        _device(f"{where}.device", value["device"]) if "device" in value else "",
    )


def _word(where: str, value: Any) -> str:
    try:
        return rows.word(where, value if isinstance(value, str) else "")
    except RowError as error:
        raise GoodsError(str(error), "write it exactly as the stock system does") from None


def _container(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise GoodsError(f"{where}: {short(value)} is no text", "write the container's number, or leave the key out")
    try:
        return identifiers.container(value)
    except IdentifierError as error:
        raise GoodsError(f"{where}: {error}", "read the number off the container again") from None


def _seal(where: str, value: Any) -> str:
    number = tag_name(value) if isinstance(value, str) and value.isascii() else ""
    if not _SEAL.fullmatch(number):
        raise GoodsError(
            f"{where}: {short(value)} is no number of a seal: 3 to 32 letters and digits",
            "read the number off the seal again, or leave the key out",
        )
    if _is_container(number):
        raise GoodsError(
            f"{where}: {number} is the number of a container", "give it as `container`, and the seal's own as `seal`"
        )
    return number


def _is_container(number: str) -> bool:
    try:
        identifiers.container(number)
    except IdentifierError:
        return False
    return True


def _device(where: str, value: Any) -> str:
    if not isinstance(value, str) or not topics.is_name(value):
        raise GoodsError(
            f"{where}: {short(value)} is no name of a device",
            "use the name that its installation has: small letters, digits and hyphens",
        )
    return value
