"""Serving HTTP within a program that has its own say about signals and ports."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn


class Server(uvicorn.Server):
    """uvicorn's own way with signals ends the process by the signal, before the program has tidied up; this one
    returns."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to whoever runs us."""
        yield

    def stop(self) -> None:
        """Finish what is under way and return from `serve`."""
        self.should_exit = True


def listening(host: str, port: int, port_file: Path | None = None) -> socket.socket:
    """A listening socket (port 0: any free one); its port goes to `port_file` as soon as connections are taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    if port_file is not None:
        # By rename: whoever waits for the file never reads half a number.
        fresh = port_file.with_name(f"{port_file.name}.new")
        fresh.write_text(f"{listener.getsockname()[1]}\n", encoding="ascii")
        fresh.replace(port_file)
    return listener
