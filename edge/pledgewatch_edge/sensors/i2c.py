"""An I²C bus of the machine, `/dev/i2c-N`, for the sensors on it.

smbus2 speaks to the kernel (`pip install pledgewatch[i2c]`). Two sensors may share a bus: a transfer is one message, or
a write and the read that follows it, and the kernel lets nobody in between.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from pledgewatch_edge.logs import World

ANSWER_S: Final = 5.0
"""How long a chip and the kernel's own waiting may take; beyond it the bus hangs."""


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


class HeldBus:
    """The bus of one chip: opened when it is first used, let go where the chip does not answer, then opened again. Each
    loss is said once, and that it is back."""

    def __init__(self, open_bus: Callable[[], I2cBus], world: World, set_up: Callable[[I2cBus], None]) -> None:
        """`set_up` prepares the chip each time that the bus was opened; it may raise OSError."""
        self._open_bus, self._world, self._set_up = open_bus, world, set_up
        self._bus: I2cBus | None = None

    @contextlib.contextmanager
    def used(self) -> Iterator[I2cBus]:
        """The bus, with the chip set up. An OSError within lets it go, is said, and is raised."""
        try:
            if self._bus is None:
                self._bus = self._open_bus()
                self._set_up(self._bus)
            yield self._bus
        except OSError as error:
            self.let_go()
            self._world.lost(str(error))
            raise
        self._world.back()

    def let_go(self) -> None:
        """Close it. May be called again."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.close()
