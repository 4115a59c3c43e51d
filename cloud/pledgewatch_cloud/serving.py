"""What programs that serve over HTTP have in common: an address, a folder to themselves, a server that leaves signals
to the program."""

import contextlib
import fcntl
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from pledgewatch_cloud.connections import bounded

_FAREWELL_S = 5
"""How long a stop waits for clients that do not take their answers."""


class ServingError(Exception):
    """The program cannot serve; the sentence says why and what to do."""


def listen(what: str, host: str, port: int, section: str) -> socket.socket:
    """A socket, before anything else is opened: what cannot be reached need not start. `section` is where it is
    configured. Raises ServingError."""
    try:
        one = socket.create_server((host, port))
    except OSError as error:
        text = f"{what} cannot listen on {host}:{port} ({error.strerror}); choose another in {section}"
        raise ServingError(text) from None
    # An answer's head and body are two writes: held together by Nagle's algorithm, the second would wait for a delayed
    # acknowledgement of the first, 40 ms. Connections have it from their listener.
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


@contextlib.contextmanager
def sole_use(folder: Path, program: str) -> Iterator[None]:
    """A journal has one writer: a lock on a file beside it, let go of by the kernel however we end. Raises
    ServingError."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((folder / "lock").open("w", encoding="ascii"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServingError(f"{folder} is in use by another {program}") from None
        except OSError as error:
            text = f"{error.filename or folder} cannot be used ({error.strerror}); choose another [service] data_folder"
            raise ServingError(text) from None
        yield


def at_the_address(
    app: ASGIApp, trusted_proxies: Iterable[str], connections_max: int, per_address: int
) -> uvicorn.Config:
    """How an application is served to everybody. Whoever may say whom they ask for would have as many addresses to be
    counted by as they like: nobody is believed but these."""
    proxies = list(trusted_proxies)
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        http=bounded(connections_max, per_address, proxies),
        ws="none",  # there are none here; the server would take such a connection out of what is counted
        lifespan="off",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=_FAREWELL_S,
    )


class Server(uvicorn.Server):
    """The program answers to signals itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield
