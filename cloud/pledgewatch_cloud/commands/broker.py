"""`pledgewatch-cloud broker`: the embedded MQTT broker without the service."""

import argparse
import asyncio
import sys

from pledgewatch_cloud.commands.options import Commands, add_config, settings_in
from pledgewatch_cloud.logs import log_to_stderr


def add(commands: Commands) -> None:
    """The command's options."""
    broker = commands.add_parser("broker", help="run the embedded MQTT broker alone")
    add_config(broker)
    broker.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.broker import run_alone

    settings = settings_in(options)
    log_to_stderr(settings.service.log_format)
    host, port = settings.broker.host, settings.broker.port
    try:
        asyncio.run(run_alone(host, port, settings.broker.accounts_file))
    except OSError as error:
        print(f"{error.filename or f'{host}:{port}'} cannot be used: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0
