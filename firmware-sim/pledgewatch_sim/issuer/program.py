"""The development issuer as a program: a key, a listening socket, and pages until it is asked to end."""

import asyncio
import logging
import signal
import time

import uvicorn

from pledgewatch_sim.issuer.app import create_issuer
from pledgewatch_sim.issuer.provider import Client, Provider, signing_key
from pledgewatch_sim.issuer.settings import IssuerFile, read_secret
from pledgewatch_sim.serving import Server, listening

log = logging.getLogger(__name__)

_SHUTDOWN_S = 5


async def run(settings: IssuerFile) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError for a secret or a key that cannot be used, OSError for an
    address or a file that cannot."""
    clients = [
        Client(
            one.id,
            "" if one.secret_file is None else read_secret(one.secret_file),
            one.redirect_urls,
            one.audience,
            one.logout_urls,
        )
        for one in settings.clients
    ]
    one = settings.issuer
    key = signing_key(one.key_file)
    with listening(one.host, one.port, one.port_file) as listener:
        host = f"[{one.host}]" if ":" in one.host else one.host
        url = f"http://{host}:{listener.getsockname()[1]}"
        provider = Provider(url, key, clients, time.time, one.token_s)
        app = create_issuer(provider, settings.people)
        log.info("the development issuer is %s", url)
        server = Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_SHUTDOWN_S))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        await server.serve([listener])
    log.info("stopped")
