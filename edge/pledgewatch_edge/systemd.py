"""What systemd is told while a program runs: that it has started, that it is alive, that it is ending.

systemd names a socket in NOTIFY_SOCKET and takes datagrams of `NAME=value` lines there (sd_notify(3)); a name that
begins with @ is in the kernel's abstract space. A program that is not started by systemd, or by a unit without
Type=notify, has no such name, and then nothing is said.

`WATCHDOG=1` must come within WATCHDOG_USEC, or systemd kills the program and starts it again. It is said three times in
that time, and each time by way of a thread of those that wait for disks and brokers: an event loop that hangs says
nothing, and neither does a program all of whose threads hang in a dead disk.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

SAID_WITHIN: Final = 3  # times in the time that systemd gives


class Notifier:
    """The socket that systemd has named; one that it has not named takes nothing."""

    def __init__(self, environment: Mapping[str, str] = os.environ, pid: int | None = None) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        is_ours = environment.get("WATCHDOG_PID", "") in {"", str(os.getpid() if pid is None else pid)}
        wanted = environment.get("WATCHDOG_USEC", "")
        within_us = int(wanted) if is_ours and wanted.isascii() and wanted.isdigit() else 0
        self.alive_every_s = within_us / 1_000_000 / SAID_WITHIN if within_us else None
        """How often systemd wants to hear that the program lives; None where it does not ask."""

    @property
    def is_wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def tell(self, *words: str) -> None:
        """Say some `NAME=value`. systemd that does not take it is no reason to stop measuring."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.settimeout(0.0)
            one.connect(self._address)
            one.send("\n".join(words).encode("utf-8"))


async def keep_told(notifier: Notifier, started: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
    """Say that the program has started once `started` is over, that it lives, and that it ends once `stop` is set.
    Goes on until then, or until it is cancelled."""
    if not notifier.is_wanted:
        return
    await started()
    notifier.tell("READY=1")
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while not stopping.done():
            if notifier.alive_every_s is not None:
                await asyncio.to_thread(notifier.tell, "WATCHDOG=1")
            await asyncio.wait([stopping], timeout=notifier.alive_every_s)
    finally:
        stopping.cancel()
    notifier.tell("STOPPING=1")
