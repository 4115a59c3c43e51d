"""`pledgewatch-cloud read`: a process that answers reads beside the service, which starts it (docs/ARCHITECTURE.md)."""

import argparse
import asyncio
import socket
import sys

from pledgewatch_cloud.commands.options import Commands, add_config, settings_in
from pledgewatch_cloud.logs import log_to_stderr


def add(commands: Commands) -> None:
    """The command's options."""
    read = commands.add_parser(
        "read", help="answer reads beside the service, which starts this by itself ([api] readers)"
    )
    add_config(read)
    read.add_argument(
        "--listener",
        type=int,
        required=True,
        metavar="DESCRIPTOR",
        help="the API's listening socket; standard input is the line",
    )
    read.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    """Raises StoreError, DamagedError, SeriesError."""
    settings = settings_in(options)
    from pledgewatch_cloud.readers import reader

    log_to_stderr(settings.service.log_format)
    with socket.socket(fileno=options.listener) as listener, socket.socket(fileno=sys.stdin.fileno()) as line:
        try:
            asyncio.run(reader.run(settings, listener, line))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return 0
