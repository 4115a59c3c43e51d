"""The core as a program: a ledger, a listening socket, and what tells pledgewatch, until it is asked to end."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable

import httpx2
import uvicorn

from pledgewatch_sim.bank.app import create_bank
from pledgewatch_sim.bank.ledger import Ledger
from pledgewatch_sim.bank.movement_sender import MovementSender
from pledgewatch_sim.bank.settings import (
    BankFile,
    ClockSettings,
    PledgewatchSettings,
    make_secret,
    read_secrets,
    read_token,
)
from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.serving import Server, listening

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
    bank = settings.bank
    ledger = Ledger(bank.database, **_clock(settings.clock))
    try:
        with listening(bank.host, bank.port, bank.port_file) as listener:
            log.info("the sandbox core listens on http://%s:%d", bank.host, listener.getsockname()[1])
            async with _telling(settings.pledgewatch, token, ledger) as moved:
                app = create_bank(ledger, secrets, settings.misbehave, moved)
                config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_SHUTDOWN_S)
                server = Server(config)
                for number in (signal.SIGTERM, signal.SIGINT):
                    asyncio.get_running_loop().add_signal_handler(number, server.stop)
                await server.serve([listener])
        log.info("stopped")
    finally:
        ledger.close()


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
