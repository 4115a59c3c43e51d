"""A board to practise set-up on: a receiver, two probes and a Modbus controller, as bytes, on any Linux computer.

What `pledgewatch-edge setup` finds by folders and addresses that it can be told: a pseudo-terminal that is named as a
receiver's stick, or gpsd; a one-wire tree; and a Modbus device, which is written into a configuration by hand as a real
one is. Chips on I²C and GPIO lines are met at a kernel's devices, which no ordinary user can make, so they are not
here. The container stands still in a harbour; its door and its light are files that are there or not.

What was pasted from one start holds after the next: ports are kept in a file and taken again where they are free, and a
map that somebody has changed stays.
"""

import asyncio
import contextlib
import errno
import fcntl
import math
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.gpsd import Gpsd, sky, tpv
from pledgewatch_sim.modbus_tcp import converter
from pledgewatch_sim.onewire import OneWireTree
from pledgewatch_sim.pty_port import PtyPort
from pledgewatch_sim.receiver import Position, Receiver

STICK: Final = "usb-u-blox_AG_u-blox_7-if00"
PROBES: Final = ("28-0316a2794e2f", "28-0316a27956b1")
HARBOUR: Final = Position(33.7405, -118.2755, 0.0, 0.0)
DOOR, LIGHT, SUPPLY = 0, 1, 10
"""Where they stand in the Modbus device: two discrete inputs, and tenths of a degree in a holding register."""
MAP: Final = f"""[[registers]]
channel = "temperature_7_mc"
address = {SUPPLY}
scale = 100
[[registers]]
channel = "door_open"
table = "discrete"
address = {DOOR}
[[registers]]
channel = "light_present"
table = "discrete"
address = {LIGHT}
"""
MAP_FILE: Final = "reefer.toml"
PORTS_FILE: Final = "board.ports"
_TURN_S: Final = 1.0
_SWING_MS: Final = 600_000


async def play(folder: Path, say: Callable[[str], None], *, has_gpsd: bool = False) -> None:
    """The board in a folder that is free or its own, until cancelled; says where it is once it is there. The receiver
    is on a line, or with `has_gpsd` behind gpsd. Raises OSError, also where another board is in the folder."""
    with _alone_in(folder):
        await _play(folder, say, has_gpsd=has_gpsd)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Make and hold a folder: of two boards in one the second would take the first's line away. It is a file that is
    locked, for whoever changes edge.toml locks the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "board.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EBUSY, "another board is in it; choose another folder", str(folder)) from None
        yield


async def _play(folder: Path, say: Callable[[str], None], *, has_gpsd: bool) -> None:
    line, one_wire = folder / "dev" / "serial" / "by-id" / STICK, folder / "w1"
    line.parent.mkdir(parents=True, exist_ok=True)
    one_wire.mkdir(exist_ok=True)
    if not (folder / MAP_FILE).exists():
        (folder / MAP_FILE).write_text(MAP, encoding="utf-8")
    gpsd_port, modbus_port = _ports_before(folder)
    clock = SimulationClock(start_ms=time.time_ns() // 1_000_000, speed=1.0)
    tree = OneWireTree(one_wire, {PROBES[0]: _swinging(4_000), PROBES[1]: _swinging(-18_500)}, clock.now_ms)
    tree.refresh()
    module = converter(lambda: {1: _registers(folder, clock.now_ms())}, modbus_port)
    gpsd = Gpsd()
    gpsd.port = gpsd_port
    async with module as modbus_port, gpsd, asyncio.TaskGroup() as group:
        (folder / PORTS_FILE).write_text(f"{gpsd.port} {modbus_port}\n", encoding="ascii")
        group.create_task(tree.run(_TURN_S), name="one-wire")
        if has_gpsd:
            line.unlink(missing_ok=True)
            group.create_task(_tell(gpsd, clock), name="gpsd")
        else:
            gpsd.unplug()
            group.create_task(_speak(line, clock), name="receiver")
        say(_where(folder, gpsd.port, modbus_port))


def _ports_before(folder: Path) -> tuple[int, int]:
    """The ports of gpsd and of the controller when this board was played before; 0 for one that is not free now."""
    try:
        gpsd, modbus = map(int, (folder / PORTS_FILE).read_text(encoding="ascii").split())
    except (FileNotFoundError, ValueError):
        return 0, 0
    return gpsd if _is_free(gpsd) else 0, modbus if _is_free(modbus) else 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server does
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


async def _speak(line: Path, clock: SimulationClock) -> None:
    async with PtyPort(line) as port:
        await Receiver(clock, lambda _: HARBOUR, port, Random(1)).run()


async def _tell(gpsd: Gpsd, clock: SimulationClock) -> None:
    while True:
        gpsd.say(sky(), tpv(clock.now_ms(), HARBOUR.latitude, HARBOUR.longitude, speed=0.0))
        await asyncio.sleep(_TURN_S)


def _swinging(middle_mc: int) -> Callable[[int], int]:
    """A temperature that goes half a degree up and down."""
    return lambda now_ms: middle_mc + round(500 * math.sin(2 * math.pi * now_ms / _SWING_MS))


def _registers(folder: Path, now_ms: int) -> dict[int, int]:
    tenths = round(_swinging(5_000)(now_ms) / 100)
    return {DOOR: (folder / "door").exists(), LIGHT: (folder / "light").exists(), SUPPLY: tenths}


def _where(folder: Path, gpsd_port: int, modbus_port: int) -> str:
    dev, one_wire, config, state, door = (
        shlex.quote(str(folder / name)) for name in ("dev", "w1", "edge.toml", "state", "door")
    )
    return f"""The board is in {folder}; Ctrl-C takes it away. To set it up, in another terminal:

pledgewatch-edge setup --devices {dev} --one-wire {one_wire} --gpsd 127.0.0.1:{gpsd_port} \\
  --config {config} --state-folder {state} --no-unit

Its controller is not found, as a real one is not; it is this section of {folder}/edge.toml:

[modbus]
host = "127.0.0.1"
port = {modbus_port}
map = "{MAP_FILE}"

`touch {door}` opens its door and `rm {door}` shuts it; {folder}/light is light in it."""
