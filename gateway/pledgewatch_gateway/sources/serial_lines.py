"""A serial line on which a probe, a scale, a scanner or an RFID reader says lines (`lines.py`).

The port may vanish and come back; while it is gone, so are its sensors. A scanner that types like a keyboard is to be
set to its serial mode (USB-COM): what it types would go wherever the console is.
"""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pledgewatch_edge.config import require_name
from pledgewatch_edge.logs import World
from pledgewatch_edge.sensors.serial_port import PortLostError, SerialPort
from pledgewatch_gateway.sources import Listener, MalformedError, Value, gone
from pledgewatch_gateway.sources.lines import LINE_MAX_BYTES, LineCutter, LineForm, read

BAUDS: Final = (1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200)
REOPEN_FIRST_S: Final = 0.1
REOPEN_MAX_S: Final = 5.0
PATIENCE_S: Final = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialSettings:
    """A port. `name` is what the roster calls both source and sensor; `form` says what its lines are."""

    name: str
    port: Path
    form: LineForm
    baud: int = 9_600

    def __post_init__(self) -> None:
        require_name("name", self.name)
        if self.baud not in BAUDS:
            raise ValueError(f"baud {self.baud} is no usual speed; use one of {', '.join(map(str, BAUDS))}")


class SerialSource:
    """One port."""

    def __init__(self, settings: SerialSettings, listener: Listener) -> None:
        self.name = settings.name
        self._settings = settings
        self._listener = listener
        self._world = World(log, f"serial port {settings.port}")

    async def run(self) -> None:
        """Listen for ever."""
        wait_s = REOPEN_FIRST_S
        while True:
            try:
                with SerialPort(self._settings.port, self._settings.baud) as port:
                    self._world.back()
                    wait_s = REOPEN_FIRST_S
                    await self._listen(port)
            except PortLostError as error:
                if not self._world.is_lost:
                    self._listener.hear(self.name, [gone(self.name)])
                self._world.lost(str(error))
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, REOPEN_MAX_S)

    async def _listen(self, port: SerialPort) -> None:
        """Take lines until the port is lost (PortLostError)."""
        cutter, too_long, is_cut_off = LineCutter(), 0, False
        while True:
            data = await port.read(PATIENCE_S)
            if not data and not port.is_still_there():
                raise PortLostError(f"{self._settings.port}: now leads to another device, or nowhere")
            for line in cutter.feed(data):
                self._listener.hear(self.name, self._read(line))
            if cutter.cut_off and not is_cut_off:
                is_cut_off = True
                self._listener.complain(self.name, "line", "is the first since the port was opened, and may be a rest")
            for _ in range(cutter.too_long - too_long):
                self._listener.complain(self.name, "line", f"is longer than {LINE_MAX_BYTES} bytes")
            too_long = cutter.too_long

    def _read(self, line: bytes) -> list[Value]:
        try:
            return list(read(self._settings.form, self.name, line))
        except MalformedError as error:
            self._listener.complain(self.name, "line", str(error))
            return []
