"""`pledgewatch-edge`: the edge agent's command line."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from pledgewatch_edge import command
from pledgewatch_edge.agent import load, station_of


def _parser() -> argparse.ArgumentParser:
    parser = command.new_parser("pledgewatch-edge", "Measures, keeps and sends the readings of one device.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command.add_station_commands(commands)
    nmea = commands.add_parser("nmea", help="print the fixes of recorded NMEA 0183 files, one JSON object a line")
    nmea.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a recording; - reads standard input")
    nmea.add_argument("--summary", action="store_true", help="end with a line of counts")
    return parser


def _act(arguments: argparse.Namespace, out: TextIO, errors: TextIO) -> int:
    if arguments.command == "nmea":
        from pledgewatch_edge import nmea_command  # noqa: PLC0415 - the agent never needs it

        return nmea_command.run(arguments.files, summary=arguments.summary, out=out)
    return command.act([station_of(load(arguments.config), arguments.config)], arguments, out, errors)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    return command.guarded(lambda: _act(parsed, sys.stdout, sys.stderr), sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
