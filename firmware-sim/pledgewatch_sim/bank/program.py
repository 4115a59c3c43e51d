"""The core as a program: a ledger, a listening socket, and what tells pledgewatch, until it is asked to end."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import httpx2
import uvicorn

from pledgewatch_sim.bank.app import create_bank
from pledgewatch_sim.bank.ledger import Ledger
from pledgewatch_sim.bank.movement_sender import MovementSender
from pledgewatch_sim.bank.settings import (
    BankFile,
    BankSettings,
    ClockSettings,
    PledgewatchSettings,
    make_secret,
    read_secrets,
    read_token,
)
from pledgewatch_sim.clock import SimulationClock

log = logging.getLogger(__name__)

_SHUTDOWN_S = 5


async def run(settings: BankFile) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises SettingsError for a secret or token that cannot be used, OSError for an address or a file that cannot.
    """
    for path in settings.bank.secret_files:
        if not path.exists():
            make_secret(path)
            log.info("made %s: who sends signs with it", path)
    secrets = read_secrets(settings.bank.secret_files)
    token = read_token(settings.pledgewatch.token_file) if settings.pledgewatch else None
    ledger = Ledger(settings.bank.database, **_clock(settings.clock))
    try:
        with _listen(settings.bank) as listener:
            async with _telling(settings.pledgewatch, token, ledger) as moved:
                app = create_bank(ledger, secrets, settings.misbehave, moved)
                config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_SHUTDOWN_S)
                server = _Server(config)
                for number in (signal.SIGTERM, signal.SIGINT):
                    asyncio.get_running_loop().add_signal_handler(number, server.stop)
                await server.serve([listener])
        log.info("stopped")
    finally:
        ledger.close()


class _Server(uvicorn.Server):
    """uvicorn's own way with signals ends the process by the signal, before the ledger is closed; this one returns."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to whoever runs us."""
        yield

    def stop(self) -> None:
        """Finish what is under way and return from `serve`."""
        self.should_exit = True


def _clock(settings: ClockSettings | None) -> dict[str, Callable[[], int]]:
    if settings is None:
        return {}
    clock = SimulationClock(settings.simulated_start_ms, settings.speed, settings.anchor_ms, settings.simulated_end_ms)
    return {"now_ms": clock.now_ms}


@contextlib.asynccontextmanager
async def _telling(
    settings: PledgewatchSettings | None, token: str | None, ledger: Ledger
) -> AsyncIterator[Callable[[], None]]:
    """While pledgewatch is told of movements; yields what is to be called when there are some."""
    if settings is None:
        yield lambda: None
        return
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(base_url=settings.url, headers=headers, timeout=settings.timeout_s) as client,
        asyncio.TaskGroup() as group,
    ):
        sender = MovementSender(ledger, client, retry_max_s=settings.retry_max_s)
        sending = group.create_task(sender.run(), name="movements")
        yield sender.wake
        sending.cancel()


def _listen(settings: BankSettings) -> socket.socket:
    """A listening socket; its port goes to `port_file` as soon as connections are taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, settings.port), family=family)
    port = listener.getsockname()[1]
    if settings.port_file is not None:
        # By rename: whoever waits for the file never reads half a number.
        fresh = settings.port_file.with_name(f"{settings.port_file.name}.new")
        fresh.write_text(f"{port}\n", encoding="ascii")
        fresh.replace(settings.port_file)
    log.info("the sandbox core listens on http://%s:%d", settings.host, port)
    return listener
