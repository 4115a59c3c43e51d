"""An I²C bus with chips on it, at the seam where smbus2 meets the kernel.

`FakeSmbus(chips)` makes what smbus2.SMBus is: it is opened by a bus's number and takes smbus2's own messages
(`i2c_rdwr`); what the kernel would carry to the chips it hands to them as bytes, and writes their answers into the
messages. Nobody at an address, or a bus that was unplugged, is the error that the kernel gives.
"""

import ctypes
import errno
import math
import os
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

_READ = 0x0001  # I2C_M_RD
_SHT3X_MEASURE = b"\x24\x00"
_ADXL345_ID, _POWER, _DATA, _FIFO_STATUS = 0x00, 0x2D, 0x32, 0x39
_QUEUE = 32


class Chip(Protocol):
    """One chip on the bus."""

    def write(self, data: bytes) -> None:
        """It is sent some bytes."""
        ...

    def read(self, length: int) -> bytes:
        """It is asked for some bytes."""
        ...


class FakeSmbus:
    """Makes buses; `is_plugged` may be taken away and given back."""

    def __init__(self, chips: dict[int, Chip]) -> None:
        self.chips = chips
        self.is_plugged = True
        self.opened: list[int] = []
        self.open_now = 0

    def __call__(self, number: int) -> "_Bus":
        """Open a bus. Raises OSError where it is unplugged."""
        if not self.is_plugged:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"/dev/i2c-{number}")
        self.opened.append(number)
        self.open_now += 1
        return _Bus(self)


class _Bus:
    def __init__(self, wires: FakeSmbus) -> None:
        self._wires = wires

    def i2c_rdwr(self, *messages: Any) -> None:
        """Carry messages, as smbus2 hands them to the kernel."""
        for message in messages:
            chip = self._wires.chips.get(message.addr) if self._wires.is_plugged else None
            if chip is None:
                raise OSError(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO))
            if message.flags & _READ:
                ctypes.memmove(message.buf, chip.read(message.len), message.len)
            else:
                chip.write(bytes(message))

    def close(self) -> None:
        """Give the bus back."""
        self._wires.open_now -= 1


class Sht3x:
    """A temperature and humidity chip: a measurement when it is asked for one. `spoil` changes the six bytes."""

    def __init__(self, temperature_mc: int, humidity_cpercent: int) -> None:
        self.temperature_mc, self.humidity_cpercent = temperature_mc, humidity_cpercent
        self.spoil: Callable[[bytes], bytes] = lambda data: data
        self._measured = False

    def write(self, data: bytes) -> None:
        """See Chip."""
        if data != _SHT3X_MEASURE:
            raise OSError(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO))
        self._measured = True

    def read(self, length: int) -> bytes:
        """See Chip. Without a measurement it does not answer."""
        if not self._measured:
            raise OSError(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO))
        self._measured = False
        words = (
            round((self.temperature_mc + 45_000) * 65_535 / 175_000),
            round(self.humidity_cpercent * 65_535 / 10_000),
        )
        data = b"".join(word.to_bytes(2, "big") + bytes([_crc(word.to_bytes(2, "big"))]) for word in words)
        return self.spoil(data)[:length]


def _crc(data: bytes) -> int:
    """Sensirion's CRC-8, bit by bit over the polynomial x⁸ + x⁵ + x⁴ + 1, begun with ones."""
    bits = int.from_bytes(data, "big") << 8
    bits ^= 0xFF << (8 * len(data))
    for place in range(8 * len(data) + 7, 7, -1):
        if bits >> place & 1:
            bits ^= 0x131 << (place - 8)
    return bits & 0xFF


class Adxl345:
    """An accelerometer that lies still until it is hit. What it measures waits in its queue of 32."""

    def __init__(self, identity: int = 0xE5) -> None:
        self.registers = {_ADXL345_ID: identity, _POWER: 0}
        self._queue: deque[bytes] = deque(maxlen=_QUEUE)
        self._at = 0
        self.lost = 0

    def measure(self, x_g: float, y_g: float, z_g: float) -> None:
        """One measurement, in full resolution."""
        if not self.registers[_POWER] & 0x08:
            return
        self.lost += len(self._queue) == _QUEUE
        steps = (max(-4_096, min(4_095, round(one / 0.0039))) for one in (x_g, y_g, z_g))
        self._queue.append(b"".join(one.to_bytes(2, "little", signed=True) for one in steps))

    def rest(self, count: int, tilt: float = 0.3) -> None:
        """It lies still for so many measurements, tilted by some radians."""
        for _ in range(count):
            self.measure(math.sin(tilt), 0.0, math.cos(tilt))

    def write(self, data: bytes) -> None:
        """See Chip: a register, and its value."""
        self._at = data[0]
        if len(data) > 1:
            self.registers[data[0]] = data[1]

    def read(self, length: int) -> bytes:
        """See Chip: what the register holds that was named last."""
        if self._at == _FIFO_STATUS:
            return bytes([len(self._queue)])
        if self._at == _DATA:
            return self._queue.popleft()[:length] if self._queue else bytes(length)
        return bytes([self.registers.get(self._at, 0)])
