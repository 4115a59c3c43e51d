"""A serial line that garbles: what its sender says at one speed is sampled at the speed that the reader has set.

Bits are those of 8N1: a start bit of 0, eight data bits, the lowest first, a stop bit of 1; the line at rest is 1. The
reader's UART waits for the edge of a start bit and samples the middle of each bit by its own clock, as chips do. A byte
whose stop bit is 0 (a framing error) is handed on all the same, which is what Linux does in raw mode.

The two ends are a pseudo-terminal. It carries bytes at any speed, but has a terminal's settings, in which the reader's
program writes its speed; it is read from there.
"""

import os
import termios
import tty
from pathlib import Path


class SerialLine:
    """A line behind a link. `baud` is the sender's speed and may be changed."""

    def __init__(self, link: Path, baud: int) -> None:
        self.link, self.baud = link, baud
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        link.symlink_to(os.ttyname(self._theirs))

    def close(self) -> None:
        os.close(self._ours)
        os.close(self._theirs)

    @property
    def heard_at(self) -> int:
        """The speed that the reader has set."""
        code = termios.tcgetattr(self._theirs)[5]
        return next(baud for baud in (4_800, 9_600, 19_200, 38_400, 57_600, 115_200) if _code(baud) == code)

    def say(self, data: bytes) -> None:
        """Send bytes at the sender's speed."""
        heard = sampled(data, self.baud, self.heard_at)
        assert os.write(self._ours, heard) == len(heard)


def sampled(data: bytes, sent_at: int, heard_at: int) -> bytes:
    """What a UART at `heard_at` makes of bytes that were sent at `sent_at` without a pause between them."""
    if sent_at == heard_at:
        return data
    line = [bit for byte in data for bit in (0, *(byte >> place & 1 for place in range(8)), 1)]
    ratio = sent_at / heard_at
    found = bytearray()
    at = 0.0  # in bits of the sender

    def level(moment: float) -> int:
        return line[int(moment)] if moment < len(line) else 1

    while at < len(line):
        if level(at):  # idle, or within a stop bit: look for the next edge
            at = int(at) + 1.0
            continue
        bits = [level(at + (place + 1.5) * ratio) for place in range(8)]
        found.append(sum(bit << place for place, bit in enumerate(bits)))
        at += 9.5 * ratio
    return bytes(found)


def _code(baud: int) -> int:
    code: int = getattr(termios, f"B{baud}")
    return code
