"""An application over real sockets, as the service runs it: how many connections it has, and what one may do."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from pledgewatch_cloud.serving import Server, at_the_address
from pledgewatch_cloud.serving_settings import ServingSettings

ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Connecting:
    """Connects to an application. All that it gave is closed with it."""

    def __init__(self, address: Any, server: Server, stack: contextlib.ExitStack) -> None:
        self.address, self._server, self._stack = address, server, stack

    def __call__(self, of: str = "127.0.0.1") -> socket.socket:
        """A connection from an address of this machine."""
        made = socket.create_connection(self.address, timeout=60, source_address=(of, 0))
        return self._stack.enter_context(made)

    def sparing(self, buffer: int) -> socket.socket:
        """A connection whose kernel takes little at once, by segments as on a real network."""
        made = self._stack.enter_context(socket.socket())
        made.settimeout(60)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1460)
        made.connect(self.address)
        return made

    @property
    def held(self) -> list[Any]:
        """What the server has of each connection that it took on."""
        return list(self._server.server_state.connections)


@contextlib.contextmanager
def served(
    app: Any, most: int = 9, share: int = 0, proxies: tuple[str, ...] = (), tls: ssl.SSLContext | None = None
) -> Iterator[Connecting]:
    """An application with so many connections at most, all of them or a share for one address."""
    listening = socket.create_server(("127.0.0.1", 0))
    where = ServingSettings(trusted_proxies=proxies, connections_max=most, connections_per_address=share or most)
    config = at_the_address(app, where, tls=tls)
    config.timeout_graceful_shutdown = 1
    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="api")
    thread.start()
    try:
        with contextlib.ExitStack() as stack:
            yield Connecting(listening.getsockname(), server, stack)
    finally:
        server.should_exit = True
        thread.join(timeout=60)
        listening.close()
    assert not thread.is_alive()


def answer(made: socket.socket, asked: bytes = ASK) -> bytes:
    """The beginning of what is answered; nothing where it is cut off."""
    with contextlib.suppress(ConnectionError):
        made.sendall(asked)
        return made.recv(2**16)
    return b""


def wait_for(is_so: Callable[[], bool]) -> None:
    """Wait until it is so; a minute at most."""
    until_s = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.02)
