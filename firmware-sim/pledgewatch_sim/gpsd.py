"""gpsd's socket as bytes: it speaks first, is asked to watch, and then tells each fix as TPV, its satellites as SKY.

Written from gpsd_json (protocol 3.14). One line a report, ended by CR LF. Whoever has not asked to watch hears nothing
but the greeting, and which devices there are where it asks for those.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Self

GREETING = {"class": "VERSION", "release": "3.25", "rev": "3.25", "proto_major": 3, "proto_minor": 14}
DEVICE = "/dev/ttyACM0"


def tpv(time_ms: int | None, latitude: float | None, longitude: float | None, **others: Any) -> dict[str, Any]:
    """A fix in three dimensions, or without a place one of none; `others` are further members, or instead of these."""
    found: dict[str, Any] = {"class": "TPV", "device": DEVICE, "mode": 1 if latitude is None else 3}
    if time_ms is not None:
        moment = datetime.fromtimestamp(time_ms / 1_000, UTC)
        found["time"] = f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1_000:03d}Z"
    if latitude is not None:
        found |= {"lat": latitude, "lon": longitude, "altMSL": 12.3, "speed": 0.514, "track": 90.0}
    return found | others


def sky(**others: Any) -> dict[str, Any]:
    """What satellites there are."""
    return {"class": "SKY", "device": DEVICE, "hdop": 0.9, "nSat": 12, "uSat": 8, **others}


class Gpsd:
    """A gpsd that says what it is told to say, to all who watch."""

    def __init__(self, device: str = DEVICE) -> None:
        self.device = device
        self.port = 0
        self.connections = 0
        self._watching: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.plug()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.unplug()

    async def plug(self) -> None:
        """Listen: at a free port the first time, then at the same."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def unplug(self) -> None:
        """Hang up on everybody and listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for one in self._watching:
            one.transport.abort()
        self._watching.clear()

    async def watched(self) -> None:
        """Wait until somebody watches."""
        while not self._watching:
            await asyncio.sleep(0.005)

    def say(self, *reports: dict[str, Any] | bytes) -> None:
        """Say some reports, or bytes as they are, to all who watch."""
        for report in reports:
            line = report if isinstance(report, bytes) else json.dumps(report).encode("ascii") + b"\r\n"
            for one in self._watching:
                one.write(line)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            writer.write(json.dumps(GREETING).encode("ascii") + b"\r\n")
            async for line in _lines(reader):
                if line.startswith(b"?WATCH=") and json.loads(line.removeprefix(b"?WATCH=").rstrip(b";\r\n ")).get(
                    "enable"
                ):
                    self._watching.add(writer)
                elif not line.startswith(b"?DEVICES;"):
                    continue
                devices = [{"class": "DEVICE", "path": self.device}]
                writer.write(json.dumps({"class": "DEVICES", "devices": devices}).encode() + b"\r\n")
        finally:
            self._watching.discard(writer)
            writer.close()


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            yield line
