"""The real programs as child processes: started from this very installation, watched, and never left behind."""

import asyncio
import contextlib
import ctypes
import os
import random
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

STOP_PATIENCE_S = 10.0
_PR_SET_PDEATHSIG = 1
_PORTS = range(20_000, 32_000)
"""Below those that Linux gives to who connects (ip_local_port_range)."""
_PORTS_TRIED = 1_000


class Program:
    """One program, `python -m MODULE ARGUMENTS`. Its output goes to a file in `logs`; None: to where ours goes."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], logs: Path | None) -> None:
        self.name = name
        self._command = [sys.executable, "-m", module, *arguments]
        self._log = None if logs is None else logs / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """Whether it is alive."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it."""
        descriptor = None if self._log is None else os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                preexec_fn=_die_with_parent,
                start_new_session=True,  # Ctrl-C is for us; we stop the others in order
            )
        finally:
            if descriptor is not None:
                os.close(descriptor)

    async def ended(self) -> int:
        """Wait until it ends by itself; its exit code. Only while it runs."""
        assert self._process is not None
        return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, where it runs."""
        if self._process is not None and self.running:
            self._process.send_signal(number)

    def limit_files(self, size_bytes: int) -> None:
        """Let it make no file longer than so, -1 for any length again (prlimit(2), RLIMIT_FSIZE), where it runs."""
        if self._process is not None and self.running:
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))

    async def stop(self) -> int | None:
        """SIGTERM, and SIGKILL for one that does not listen. Returns its exit code; None if it was not running."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> int | None:
        """SIGKILL."""
        return await self._end(signal.SIGKILL)

    def last_words(self, lines: int = 5) -> str:
        """The end of its output; none where that goes to where ours goes."""
        if self._log is None:
            return ""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    async def _end(self, number: signal.Signals) -> int | None:
        process = self._process
        if process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_PATIENCE_S):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()


async def output_of(module: str, *arguments: str) -> str:
    """What a program prints that runs to its end; where the waiting is cancelled, it is killed. Raises RuntimeError
    with its complaint where it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=_die_with_parent,
        start_new_session=True,  # Ctrl-C is for us
    )
    try:
        out, complaint = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise RuntimeError(f"{module} {' '.join(arguments)}: {complaint.decode(errors='replace').strip()}")
    return out.decode()


def free_port() -> int:
    """A port of the loopback address that nobody listens on now. It is listened on seconds later, and a port that the
    kernel chose could have become the near end of somebody's connection by then."""
    for port in random.SystemRandom().sample(_PORTS, _PORTS_TRIED):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise OSError(f"none of {_PORTS_TRIED} ports from {_PORTS[0]} to {_PORTS[-1]} is free")


def _die_with_parent() -> None:
    """Linux: whoever outlives us gets SIGKILL, also when we are killed ourselves (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
