"""What programs that serve over HTTP have in common: an address, a folder to themselves, a server that leaves signals
to the program."""

import contextlib
import fcntl
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from pledgewatch_cloud.connections import bounded
from pledgewatch_cloud.serving_settings import ServingSettings

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


def secured_by(certificate_file: Path | None, key_file: Path | None, section: str) -> ssl.SSLContext | None:
    """What TLS is spoken by; None where there is no certificate. Raises ServingError."""
    if certificate_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate_file, key_file)
    except (OSError, ValueError) as error:
        text = f"{section} certificate_file {certificate_file} and its key cannot be used: {error}"
        raise ServingError(text) from None
    return context


def at_the_address(
    app: ASGIApp, where: ServingSettings, section: str = "[api]", tls: ssl.SSLContext | None = None
) -> uvicorn.Config:
    """How an application is served to everybody. Whoever may say whom they ask for would have as many addresses to be
    counted by as they like: nobody is believed but these. TLS is not for the server to begin: it counts nobody before
    hands are shaken, and waits long for them."""
    proxies = list(where.trusted_proxies)
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        http=bounded(where.connections_max, where.share_of_address, proxies, section, tls),
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
