"""A connection over TLS that tells of what waits as one without does.

    spoken.py ─ Secured ─► asyncio's TLS ─► Beneath ─► the kernel
        ▲                                      │
        └── what was written waits, has left ──┘

asyncio's TLS takes what is written for gone as soon as it is enciphered, however much of it waits beneath for a kernel
that takes no more; it would have who takes an answer slowly wait for nothing, and cut them off in the middle of it when
the connection is to be closed.
"""

import asyncio
import ssl
from typing import Any

_NEVER_FULL = 2**60
_FAREWELL_S = 2.0
"""How long the other side has to say farewell when it has been told all."""


class Beneath(asyncio.BufferedProtocol):
    """What hears of the kernel, before TLS does."""

    def __init__(self, secured: "Secured", tls: Any) -> None:
        self._secured, self._tls = secured, tls

    def get_buffer(self, sizehint: int) -> Any:
        """Where to read to."""
        return self._tls.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read."""
        self._tls.buffer_updated(nbytes)

    def eof_received(self) -> bool | None:
        """They say no more."""
        found: bool | None = self._tls.eof_received()
        return found

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._tls.connection_lost(exc)

    def pause_writing(self) -> None:
        """The kernel has not taken all."""
        self._tls.pause_writing()
        self._secured.wait()

    def resume_writing(self) -> None:
        """It has, but for what TLS writes now."""
        self._tls.resume_writing()
        self._secured.go_on()


class Secured(asyncio.Transport):
    """What is written to. What has not left is counted, and a close waits for it."""

    def __init__(self, tls: asyncio.Transport, beneath: asyncio.Transport, speaks: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._tls, self._beneath, self._speaks = tls, beneath, speaks
        self._is_closing = self._is_waiting = False
        tls.set_write_buffer_limits(high=_NEVER_FULL)
        beneath.set_protocol(Beneath(self, beneath.get_protocol()))

    def wait(self) -> None:
        """Something has not left."""
        if not self._is_waiting:
            self._is_waiting = True
            self._speaks.pause_writing()

    def go_on(self) -> None:
        """All has left, if that is so."""
        if self._is_waiting and not self.get_write_buffer_size():
            self._is_waiting = False
            self._speaks.resume_writing()
            if self._is_closing:
                self._tls.close()

    def get_write_buffer_size(self) -> int:
        """How many bytes have not left."""
        return self._tls.get_write_buffer_size() + self._beneath.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """From how many on it says that it waits."""
        self._beneath.set_write_buffer_limits(high, low)

    def write(self, data: Any) -> None:
        """Write it, as long as it is not to be closed."""
        if not self._is_closing:
            self._tls.write(data)

    def close(self) -> None:
        """Close it once all has left; nothing more is read."""
        if not self._is_closing:
            self._is_closing = True
            if self.get_write_buffer_size():
                self._tls.pause_reading()
            else:
                self._tls.close()

    def abort(self) -> None:
        """Cut it off."""
        self._is_closing = True
        self._tls.abort()

    def is_closing(self) -> bool:
        """Whether it is at its end."""
        return self._is_closing or self._tls.is_closing()

    def can_write_eof(self) -> bool:
        """TLS has no half that could be closed."""
        return False

    def pause_reading(self) -> None:
        """Read no more until it is resumed."""
        self._tls.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if not self._is_closing:
            self._tls.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of it."""
        return self._tls.get_extra_info(name, default)


async def secure(
    transport: asyncio.Transport, speaks: asyncio.BaseProtocol, context: ssl.SSLContext, within_s: float
) -> Secured | None:
    """Shake hands; None where they broke it off, speak no TLS or took too long. What comes with the last of TLS's own
    words is heard before this returns."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.start_tls(
            transport,
            speaks,
            context,
            server_side=True,
            ssl_handshake_timeout=within_s,
            ssl_shutdown_timeout=_FAREWELL_S,
        )
    except OSError:
        return None
    if found is None or found.is_closing():
        return None
    return Secured(found, transport, speaks)
