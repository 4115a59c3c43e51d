"""A serial port without a wire: the device's end of a pty, with a name that stays over unplugging and plugging in."""

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import struct
import termios
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

_POLL_S = 0.005
_QUIET_POLLS = 3


class PtyPort:
    """A pty from `async with` to its end. `path` is what the agent opens: the link if one was named, else the pty."""

    def __init__(self, link: Path | None = None) -> None:
        self._link = link
        self._master = -1
        self._slave_path = ""
        self.dropped_bytes = 0

    async def __aenter__(self) -> Self:
        self.plug()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()

    @property
    def path(self) -> Path:
        """What to open at the other end."""
        return self._link if self._link is not None else Path(self._slave_path)

    @property
    def plugged(self) -> bool:
        """Whether the port is there."""
        return self._master >= 0

    def plug(self) -> None:
        """The port appears, raw: no byte is changed, none is echoed. A port that is there stays as it is."""
        if self.plugged:
            return
        if self._link is not None and self._link.exists() and not self._link.is_symlink():
            raise FileExistsError(
                errno.EEXIST, "is there already and no link: choose a name that is free", str(self._link)
            )
        master, slave = os.openpty()
        tty.setraw(master)
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._slave_path = os.ttyname(slave)
        os.close(slave)
        if self._link is not None:
            try:
                fresh = self._link.with_name(f"{self._link.name}.new")
                fresh.unlink(missing_ok=True)
                fresh.symlink_to(self._slave_path)
                fresh.replace(self._link)
            except OSError as error:  # which names the pty, where it is the link that cannot be
                os.close(master)
                raise OSError(error.errno, error.strerror, str(self._link)) from None
        self._master = master

    def unplug(self) -> None:
        """The port is gone; whoever has it open reads its end."""
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def write(self, data: bytes) -> None:
        """Send bytes down the wire, at once or never.

        As on a wire, what is sent while nobody has the port open is lost, and so is what a reader who falls behind has
        no room for: the kernel's buffer of a pty. `dropped_bytes` counts them.
        """
        sent = 0
        if self._master >= 0 and self._has_reader():
            with contextlib.suppress(BlockingIOError):
                sent = os.write(self._master, data)
        self.dropped_bytes += len(data) - sent

    async def write_all(self, data: bytes) -> None:
        """Send bytes as fast as they are read, and lose none. Raises OSError (ENODEV) where the port is unplugged."""
        view = memoryview(data)
        while view:
            self._require_plugged()
            try:
                view = view[os.write(self._master, view) :]
            except BlockingIOError:
                await asyncio.sleep(_POLL_S)

    async def wait_for_reader(self) -> None:
        """Wait until somebody has the other end open. Raises OSError (ENODEV) where the port is unplugged."""
        self._require_plugged()
        while not self._has_reader():
            await asyncio.sleep(_POLL_S)
            self._require_plugged()

    def _has_reader(self) -> bool:
        """While nobody has the other end open, poll() reports a hang-up on the master (Linux)."""
        poll = select.poll()
        poll.register(self._master, select.POLLHUP)
        return not poll.poll(0)

    async def drain(self) -> None:
        """Wait until everything written has been read. Raises OSError (ENODEV) where the port is unplugged."""
        self._require_plugged()
        slave = os.open(self._slave_path, os.O_RDWR | os.O_NOCTTY)
        try:
            # The kernel keeps bytes in two places and carries them from one to the other when there is room; only when
            # the reader's place has stayed empty for a while has everything come through.
            quiet = 0
            while quiet < _QUIET_POLLS:
                await asyncio.sleep(_POLL_S)
                self._require_plugged()
                quiet = 0 if _unread(slave) else quiet + 1
        finally:
            os.close(slave)

    def _require_plugged(self) -> None:
        if not self.plugged:
            raise OSError(errno.ENODEV, "the port is unplugged")


def _unread(descriptor: int) -> bool:
    """Whether bytes wait to be read: by poll, which lets the kernel carry on first, and by count (FIONREAD)."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if poll.poll(0):
        return True
    count: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0]
    return count > 0
