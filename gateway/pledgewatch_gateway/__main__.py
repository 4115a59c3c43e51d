"""`pledgewatch-gateway`: the gateway's command line.

A gateway runs a station for each zone of its warehouse, in one process and with the edge's own code: each has a key, an
epoch, a spool and a connection, says that it is online, takes the cloud's `committed`, and keeps and sends whatever is
appended to its spool. They have no source of readings: the gateway reads no sensor, no stock system and no other
people's devices, so today the spools stay empty.
"""

import argparse
import sys
from collections.abc import Sequence

from pledgewatch_edge import command
from pledgewatch_gateway.config import load, stations_of


def _parser() -> argparse.ArgumentParser:
    parser = command.new_parser(
        "pledgewatch-gateway", "Keeps the zones of a warehouse connected; it has no source of readings of its own."
    )
    command.add_station_commands(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    return command.guarded(
        lambda: command.act(stations_of(load(parsed.config)), parsed, sys.stdout, sys.stderr), sys.stderr
    )


if __name__ == "__main__":
    sys.exit(main())
