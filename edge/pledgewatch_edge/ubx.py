"""u-blox binary in a serial stream: frames cut out of it, and what they say against the place.

A frame is B5 62, class, identity, length (16 bits, little-endian), payload, and two sums after RFC 1145 over all of it
between. Receivers send them between sentences. What looks like a frame and whose sums do not fit is given on as it
came, so a sentence behind two bytes of noise is not lost.

Layouts as in u-blox's interface descriptions: NAV-STATUS `flags2` bits 3-4 (spoofing: 0 unknown, 1 none, 2 indicated,
3 indicated more than once), MON-HW `flags` bits 2-3 and MON-RF `flags` bits 0-1 of each block (jamming: 0 unknown,
1 none, 2 warning, 3 critical).
"""

from typing import Final, NamedTuple

SYNC: Final = b"\xb5\x62"
PAYLOAD_MAX_BYTES: Final = 1_024
_HEAD_BYTES: Final = 6
_SUM_BYTES: Final = 2
_NAV_STATUS: Final = (0x01, 0x03)
_MON_HW: Final = (0x0A, 0x09)
_MON_RF: Final = (0x0A, 0x38)
_SUSPECTED_FROM: Final = 2


class UbxFrame(NamedTuple):
    """A frame whose sums fit."""

    kind: tuple[int, int]
    payload: bytes


class Warnings(NamedTuple):
    """What a receiver has noticed. None: it has not said."""

    spoofed: bool | None = None
    jammed: bool | None = None


class UbxSplitter:
    """Takes bytes in any pieces, gives what is no frame and the frames, in their order. Holds at most one frame."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[bytes | UbxFrame]:
        """What these bytes end."""
        rest = self._held + data
        found: list[bytes | UbxFrame] = []
        while (place := _sync_in(rest)) is not None:
            frame, end = _frame(rest, place)
            if end > len(rest):
                break
            if frame is None:
                _add_text(found, rest[: place + 1])
                rest = rest[place + 1 :]
            else:
                _add_text(found, rest[:place])
                found.append(frame)
                rest = rest[end:]
        place = _sync_in(rest)
        _add_text(found, rest if place is None else rest[:place])
        self._held = b"" if place is None else rest[place:]
        return found

    def flush(self) -> bytes:
        """What was held back for a frame that nothing ends any more."""
        held, self._held = self._held, b""
        return held


def warnings_of(frame: UbxFrame) -> Warnings:
    """What a frame says against the place; nothing where it is of another kind or shorter than its kind."""
    payload = frame.payload
    if frame.kind == _NAV_STATUS and len(payload) > 7:
        return Warnings(spoofed=_suspected([payload[7] >> 3 & 3]))
    if frame.kind == _MON_HW and len(payload) > 22:
        return Warnings(jammed=_suspected([payload[22] >> 2 & 3]))
    if frame.kind == _MON_RF and len(payload) > 5:
        return Warnings(jammed=_suspected([flags & 3 for flags in payload[5 : 4 + 24 * payload[1] : 24]]))
    return Warnings()


def _suspected(states: list[int]) -> bool | None:
    return max(states) >= _SUSPECTED_FROM if any(states) else None


def _sync_in(data: bytes) -> int | None:
    """Where a frame may begin; its first byte alone at the end counts."""
    place = data.find(SYNC)
    if place >= 0:
        return place
    return len(data) - 1 if data.endswith(SYNC[:1]) else None


def _frame(data: bytes, place: int) -> tuple[UbxFrame | None, int]:
    """The frame that begins there if it is one, and where it would end."""
    if len(data) < place + _HEAD_BYTES:
        return None, len(data) + 1
    length = int.from_bytes(data[place + 4 : place + 6], "little")
    if length > PAYLOAD_MAX_BYTES:
        return None, place
    end = place + _HEAD_BYTES + length + _SUM_BYTES
    body = data[place + 2 : end - _SUM_BYTES]
    if len(data) < end or data[end - _SUM_BYTES : end] != sums(body):
        return None, end
    return UbxFrame((body[0], body[1]), body[4:]), end


def sums(body: bytes) -> bytes:
    """The two sums over class, identity, length and payload."""
    first = second = 0
    for byte in body:
        first = (first + byte) & 0xFF
        second = (second + first) & 0xFF
    return bytes((first, second))


def _add_text(found: list[bytes | UbxFrame], text: bytes) -> None:
    if text:
        found.append(text)
