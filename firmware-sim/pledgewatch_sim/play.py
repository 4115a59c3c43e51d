"""Plays a recorded NMEA log over a pty, so that any agent can read it as a device.

Bytes go out as they are in the file, all of them. With a speed, one receiver cycle goes out each 1/speed seconds; a
cycle ends where the time of day in a sentence changes. With speed 0 they go as fast as they are read.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

from pledgewatch_sim.pty_port import PtyPort

_TIME_OF_DAY = re.compile(rb"\$..(?:RMC|GGA|ZDA|GNS),(\d{6}(?:\.\d+)?)|\$..GLL,[^,]*,.?,[^,]*,.?,(\d{6}(?:\.\d+)?)")


def cycles(data: bytes) -> Iterator[bytes]:
    """The bytes of a log, cut before each sentence that has another time of day than the one before."""
    start, current = 0, None
    for found in _TIME_OF_DAY.finditer(data):
        time_of_day = found.group(1) or found.group(2)
        if current is not None and time_of_day != current:
            yield data[start : found.start()]
            start = found.start()
        current = time_of_day
    yield data[start:]


async def play(log: Path, port: PtyPort, *, speed: float) -> int:
    """Send the log. Returns how many bytes it was, once all of them have been read."""
    data = await asyncio.to_thread(log.read_bytes)
    for one in cycles(data):
        await port.write_all(one)
        if speed > 0:
            await asyncio.sleep(1 / speed)
    await port.drain()
    return len(data)
