"""`pledgewatch-gateway`: the gateway's command line.

A gateway is a station like an edge agent: it has a key, an epoch, a spool and an uplink, and it runs them with the
edge's own code. It connects to the broker, says that it is online, takes the cloud's `committed`, and keeps and sends
whatever is appended to its spool. It has no source of readings of its own: it reads no sensor, no warehouse management
system and no other people's devices, so today its spool stays empty.
"""

import argparse
import sys
from collections.abc import Sequence

from pledgewatch_edge import command
from pledgewatch_gateway.config import load


def _parser() -> argparse.ArgumentParser:
    parser = command.new_parser(
        "pledgewatch-gateway", "Keeps a warehouse site connected; it has no source of readings of its own."
    )
    command.add_station_commands(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    return parser


def _act(arguments: argparse.Namespace) -> int:
    settings = load(arguments.config)
    if arguments.command == "identity":
        command.print_identity(settings, sys.stdout)
        return 0
    if arguments.command == "status":
        command.print_status(settings, sys.stdout)
        return 0
    return command.run(settings, list, arguments, sys.stdout, sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    return command.guarded(lambda: _act(parsed), sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
