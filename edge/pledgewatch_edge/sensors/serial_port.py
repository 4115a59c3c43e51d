"""A serial port as chunks of bytes in asyncio, until it goes away.

pyserial opens and sets the line; the bytes are then read from its file descriptor when the event loop says that there
are some. A line that pyserial cannot set (a pseudo-terminal, a socket of a tunnel) is opened plainly instead; where it
is a terminal all the same, the speed is written into its settings, for whoever is at the other end to see.

At most BUFFER_BYTES are held; beyond that the descriptor is not read, and the kernel makes the sender wait or not as
the hardware has it.
"""

import asyncio
import contextlib
import errno
import os
import termios
import tty
from pathlib import Path
from typing import Final, Self

import serial

BUFFER_BYTES: Final = 65_536
_CHUNK_BYTES: Final = 4_096
_LINE_ERRORS: Final = (None, errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP)


class PortLostError(OSError):
    """The port could not be opened, or is there no more."""


class _Port(serial.Serial):
    """pyserial throws away what came in before it was ready; a receiver's first sentences are worth having."""

    def _reset_input_buffer(self) -> None:
        pass


class SerialPort:
    """An open port. Use it as a context manager; needs a running event loop."""

    def __init__(self, path: Path, baud: int) -> None:
        """Open. Raises PortLostError where the port is not there or does not let us in."""
        self._path = path
        self._serial: serial.Serial | None = None
        try:
            self._descriptor = self._open(baud)
        except OSError as error:
            raise PortLostError(error.errno, f"{path}: {error.strerror or error}") from error
        self._device = os.fstat(self._descriptor).st_rdev
        self._buffer = bytearray()
        self._is_reading = False
        self._lost: str | None = None
        self._stirred = asyncio.Event()

    def __enter__(self) -> Self:
        self._resume()
        return self

    def __exit__(self, *_: object) -> None:
        self._pause()
        if self._serial is not None:
            self._serial.close()
        else:
            os.close(self._descriptor)

    async def read(self, patience_s: float) -> bytes:
        """What has come in, or b"" where nothing came for `patience_s`. Raises PortLostError when the port is gone."""
        if not self._buffer and self._lost is None:
            self._stirred.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._stirred.wait()
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            if self._lost is None:
                self._resume()
            return data
        if self._lost is not None:
            raise PortLostError(f"{self._path}: {self._lost}")
        return b""

    def set_baud(self, baud: int) -> None:
        """Set the speed of the line; what has come in at another is thrown away. Raises PortLostError."""
        try:
            if self._serial is not None:
                self._serial.baudrate = baud
            else:
                _set_speed(self._descriptor, baud)
        except (OSError, termios.error, ValueError) as error:
            raise PortLostError(f"{self._path}: cannot be set to {baud} baud: {error}") from error
        with contextlib.suppress(termios.error):  # no terminal
            termios.tcflush(self._descriptor, termios.TCIFLUSH)
        self._buffer.clear()

    def is_still_there(self) -> bool:
        """Whether the path still leads to the device that was opened: a silent port may have been replaced."""
        try:
            return self._path.stat().st_rdev == self._device
        except OSError:
            return False

    def _open(self, baud: int) -> int:
        try:
            self._serial = _Port(str(self._path), baud, timeout=0, exclusive=True)
        except serial.SerialException as error:
            if error.errno not in _LINE_ERRORS:
                raise
            return _open_plainly(self._path, baud)
        except ValueError:  # the driver does not know this speed
            return _open_plainly(self._path, baud)
        descriptor: int = self._serial.fileno()
        return descriptor

    def _resume(self) -> None:
        if not self._is_reading:
            try:
                asyncio.get_running_loop().add_reader(self._descriptor, self._on_readable)
            except PermissionError:  # epoll: an ordinary file, not a device
                self._lost = "is not a device that can be waited for"
                return
            self._is_reading = True

    def _pause(self) -> None:
        if self._is_reading:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._is_reading = False

    def _on_readable(self) -> None:
        try:
            data = os.read(self._descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            data = b""
            self._lost = error.strerror
        if data:
            self._buffer += data
        elif self._lost is None:
            self._lost = "the other end is closed"
        if self._lost is not None or len(self._buffer) >= BUFFER_BYTES:
            self._pause()
        self._stirred.set()


def _set_speed(descriptor: int, baud: int) -> None:
    """Write a speed into the settings of a terminal; what is none has none. Raises termios.error."""
    if os.isatty(descriptor):
        settings = termios.tcgetattr(descriptor)
        settings[4] = settings[5] = getattr(termios, f"B{baud}")
        termios.tcsetattr(descriptor, termios.TCSANOW, settings)


def _open_plainly(path: Path, baud: int) -> int:
    """A descriptor to read bytes from, unchanged by the terminal's line discipline where it is a terminal."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if os.isatty(descriptor):
            tty.setraw(descriptor)
        _set_speed(descriptor, baud)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
