"""An I²C bus of the machine, `/dev/i2c-N`, for the sensors on it.

smbus2 speaks to the kernel (`pip install pledgewatch[i2c]`). Two sensors may share a bus: a transfer is one message, or
a write and the read that follows it, and the kernel lets nobody in between.
"""

import importlib
from typing import Any, Protocol


class I2cBus(Protocol):
    """A bus that is open. Its methods raise OSError where nobody answers."""

    def write(self, address: int, data: bytes) -> None:
        """Send some bytes to an address."""
        ...

    def read(self, address: int, length: int) -> bytes:
        """So many bytes from an address."""
        ...

    def ask(self, address: int, data: bytes, length: int) -> bytes:
        """Send some bytes and read without letting go of the bus in between."""
        ...

    def close(self) -> None:
        """Give the bus back."""
        ...


class SmbusBus:
    """A bus through smbus2."""

    def __init__(self, number: int) -> None:
        """Open `/dev/i2c-<number>`. Raises OSError."""
        smbus2 = importlib.import_module("smbus2")
        self._message: Any = smbus2.i2c_msg
        self._bus: Any = smbus2.SMBus(number)

    def write(self, address: int, data: bytes) -> None:
        """See I2cBus."""
        self._bus.i2c_rdwr(self._message.write(address, list(data)))

    def read(self, address: int, length: int) -> bytes:
        """See I2cBus."""
        message = self._message.read(address, length)
        self._bus.i2c_rdwr(message)
        return bytes(message)

    def ask(self, address: int, data: bytes, length: int) -> bytes:
        """See I2cBus."""
        message = self._message.read(address, length)
        self._bus.i2c_rdwr(self._message.write(address, list(data)), message)
        return bytes(message)

    def close(self) -> None:
        """See I2cBus."""
        self._bus.close()
