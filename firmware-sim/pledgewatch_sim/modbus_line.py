"""Modbus RTU devices on a serial line, as bytes: they hear every request on it, and one answers.

A frame is unit, function, data and a CRC-16 (polynomial 0xA001, begun with ones, low byte first; MODBUS over Serial
Line V1.02, 2.5.1.2). Frames have no length of their own: the line tells by its pauses, and here requests of the
functions 1 to 4 are eight bytes. Whatever does not end in its CRC is noise, and nobody answers.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_REQUEST_BYTES: Final = 8
_READ_HOLDING, _READ_INPUT = 3, 4


@dataclass(slots=True)
class Unit:
    """One device: its registers by address."""

    holding: dict[int, int] = field(default_factory=dict)
    inputs: dict[int, int] = field(default_factory=dict)


def crc(data: bytes) -> bytes:
    """The two bytes behind a frame."""
    found = 0xFFFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = (found >> 1) ^ 0xA001 if found & 1 else found >> 1
    return found.to_bytes(2, "little")


class ModbusLine:
    """Devices by unit; `hear` takes what comes on the line and gives what is said on it."""

    def __init__(self, units: Mapping[int, Unit]) -> None:
        self.units = units
        self.requests = 0
        self._heard = b""

    def hear(self, data: bytes) -> bytes:
        """The answers to what has come; empty for what nobody answers."""
        self._heard += data
        said = b""
        while len(self._heard) >= _REQUEST_BYTES:
            frame, self._heard = self._heard[:_REQUEST_BYTES], self._heard[_REQUEST_BYTES:]
            if crc(frame[:-2]) != frame[-2:]:
                self._heard = b""
                break
            self.requests += 1
            unit = self.units.get(frame[0])
            if unit is not None:
                answer = frame[:1] + _answer(unit, frame[1:-2])
                said += answer + crc(answer)
        return said


def _answer(unit: Unit, request: bytes) -> bytes:
    function = request[0]
    first, count = struct.unpack(">HH", request[1:])
    registers = {_READ_HOLDING: unit.holding, _READ_INPUT: unit.inputs}.get(function)
    if registers is None:
        return bytes([function | 0x80, 1])
    wanted = range(first, first + count)
    if any(one not in registers for one in wanted):
        return bytes([function | 0x80, 2])
    return bytes([function, 2 * count]) + b"".join(registers[one].to_bytes(2, "big") for one in wanted)
