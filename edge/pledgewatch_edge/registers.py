"""Registers of Modbus devices: where a value stands, and what number its bytes are.

A register has a type, an order of its words, and perhaps a value by which the device says that it has none. Addresses
are those of the protocol, from 0: what a manual calls 40001 is holding register 0, 30001 input register 0.
"""

import struct
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from pledgewatch_edge.config import require_within


class Table(StrEnum):
    """Where a value stands."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"


class Type(StrEnum):
    """How a register's bytes are a number."""

    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"


class WordOrder(StrEnum):
    """Which of a value's registers comes first: the high word (as the bytes in each), or the low one."""

    HIGH_FIRST = "high_first"
    LOW_FIRST = "low_first"


_FORMATS: Final = {
    Type.INT16: ">h",
    Type.UINT16: ">H",
    Type.INT32: ">i",
    Type.UINT32: ">I",
    Type.INT64: ">q",
    Type.UINT64: ">Q",
    Type.FLOAT32: ">f",
    Type.FLOAT64: ">d",
}
_SIGNIFICANT: Final = {Type.FLOAT32: 7, Type.FLOAT64: 15}  # decimal digits that such a float holds for certain


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Where one value of a device stands. `absent` is what the device gives where it has no value."""

    address: int
    table: Table = Table.HOLDING
    type: Type = Type.INT16
    word_order: WordOrder = WordOrder.HIGH_FIRST
    absent: int | None = None

    def __post_init__(self) -> None:
        require_within("address", self.address, 0, 65_536 - self.words)

    @property
    def is_bit(self) -> bool:
        """Whether it is true or false and no number; it has no type then."""
        return self.table in {Table.COIL, Table.DISCRETE}

    @property
    def words(self) -> int:
        """How many registers hold the value."""
        return 1 if self.is_bit else struct.calcsize(_FORMATS[self.type]) // 2


def number_of(register: Register, data: bytes) -> Decimal | None:
    """The number that a register's bytes are; None where the device says that it has none, or it is no number."""
    if register.word_order == WordOrder.LOW_FIRST:
        data = b"".join(data[place : place + 2] for place in range(len(data) - 2, -1, -2))
    (found,) = struct.unpack(_FORMATS[register.type], data)
    if found == register.absent:
        return None
    number = Decimal(format(found, f".{_SIGNIFICANT[register.type]}g") if register.type in _SIGNIFICANT else found)
    return number if number.is_finite() and abs(number.adjusted()) <= 30 else None
