"""The service, stopped for a while and started again however that ends.

Set-up needs the sensors and the state folder that the service holds, and asks questions meanwhile, over SSH, for as
long as somebody thinks. systemd does not start again what was stopped by hand. So the start does not depend on this
process: before the stop a child begins that waits at a pipe of which only we have the other end, in a session of its
own, which no terminal hangs up. When we end in whatever way (SIGKILL, no memory left), the kernel closes that end, and
the child starts the service. A hang-up and SIGTERM end us in order, so that nothing half written stays.
"""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from types import FrameType
from typing import Final

from pledgewatch_edge.install import unit

_ENDINGS: Final = (signal.SIGHUP, signal.SIGTERM)
_WAIT_AND_START: Final = f"trap '' HUP INT TERM; read -r _; exec systemctl start --no-block {unit.NAME}"


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Without the service. Raises UnitError where systemd does not stop it, or start it again."""
    starter = subprocess.Popen(  # noqa: S603 - words of our own
        ["/bin/sh", "-c", _WAIT_AND_START],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        with _ended_in_order():
            unit.systemctl("stop", unit.NAME)
            yield
    finally:
        _, said = starter.communicate()  # its end of the pipe closes first, so that Ctrl-C comes too late here
    if starter.returncode:
        raise unit.UnitError(f"systemctl start {unit.NAME}: {said.strip() or starter.returncode}")


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """A hang-up and SIGTERM as an exception; each once, for what tidies up is not to be ended as well. One that is
    ignored (nohup) stays so."""

    def end(number: int, _: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {one: signal.getsignal(one) for one in _ENDINGS if signal.getsignal(one) is not signal.SIG_IGN}
    for one in before:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
