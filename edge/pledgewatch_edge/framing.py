"""Cutting a serial stream into NMEA 0183 sentences, and finding the way back after anything.

A sentence is $…*hh, ended by carriage return or line feed, and its checksum is the exclusive or of the characters
between $ and *. What stands before a $ is skipped (comments, binary of other protocols, line noise), and a $ inside a
sentence that never ended begins a new one. How the bytes were split on their way changes nothing.
"""

from typing import NamedTuple

# The standard says 82 characters; receivers with long proprietary or GNS sentences say more.
SENTENCE_MAX_BYTES = 512
_DOLLAR, _STAR = ord("$"), ord("*")
_ENDS = frozenset(b"\r\n")
_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")


class Framed(NamedTuple):
    """A sentence without its $ and its end, and whether its checksum is there and right."""

    body: bytes
    is_sound: bool


class LineFramer:
    """Takes bytes in any pieces, gives sentences. Holds at most SENTENCE_MAX_BYTES."""

    def __init__(self) -> None:
        self._sentence: bytearray | None = None
        self.skipped_bytes = 0

    def feed(self, data: bytes) -> list[Framed]:
        """The sentences that these bytes end."""
        found = []
        for byte in data:
            if byte == _DOLLAR:
                self._skip(len(self._sentence or b""))
                self._sentence = bytearray()
            elif self._sentence is None:
                self._skip(byte not in _ENDS)
            elif byte in _ENDS:
                if self._sentence:
                    found.append(_framed(bytes(self._sentence)))
                self._sentence = None
            elif len(self._sentence) >= SENTENCE_MAX_BYTES:
                self._skip(len(self._sentence) + 1)
                self._sentence = None
            else:
                self._sentence.append(byte)
        return found

    def flush(self) -> list[Framed]:
        """The sentence that nothing ends any more (the end of a file), if its checksum says that it is whole."""
        sentence, self._sentence = self._sentence, None
        framed = _framed(bytes(sentence)) if sentence else None
        if framed is not None and framed.is_sound:
            return [framed]
        self._skip(len(sentence or b""))
        return []

    def _skip(self, count: int) -> None:
        self.skipped_bytes += count


def checksum(body: bytes) -> int:
    """The exclusive or of the characters."""
    result = 0
    for byte in body:
        result ^= byte
    return result


def _framed(sentence: bytes) -> Framed:
    star = sentence.rfind(_STAR)
    if star < 0 or star != len(sentence.rstrip()) - 3:
        return Framed(sentence if star < 0 else sentence[:star], is_sound=False)
    body = sentence[:star]
    given = sentence[star + 1 : star + 3]
    # int() would take signs, spaces and underscores for digits.
    return Framed(body, _HEXADECIMAL.issuperset(given) and int(given, 16) == checksum(body))
