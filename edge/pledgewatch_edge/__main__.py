"""`pledgewatch-edge`: the edge agent's command line."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from pledgewatch_edge import command
from pledgewatch_edge.agent import load, station_of
from pledgewatch_edge.install import options


def _parser() -> argparse.ArgumentParser:
    parser = command.new_parser("pledgewatch-edge", "Measures, keeps and sends the readings of one device.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command.add_station_commands(commands)
    options.add_commands(commands)
    claim = commands.add_parser(
        "claim", help="make this the device that the cloud has invited: keys, certificate and configuration"
    )
    claim.add_argument(
        "claim",
        nargs="?",
        default="-",
        metavar="CLAIM",
        help="what the cloud printed; as an argument others on this machine can read it, so better leave it out and "
        "type it, or pipe it in",
    )
    claim.add_argument(
        "--config", type=options.place, required=True, metavar="FILE", help="the configuration to complete, TOML"
    )
    claim.add_argument(
        "--state-folder", type=options.place, metavar="FOLDER", help="where keys and readings are to be kept"
    )
    claim.add_argument(
        "--ca-file", type=options.place, metavar="FILE", help="the cloud's CA, where its server does not show it"
    )
    claim.add_argument("--replace", action="store_true", help="also where the configuration says something else")
    nmea = commands.add_parser("nmea", help="print the fixes of recorded NMEA 0183 files, one JSON object a line")
    nmea.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a recording; - reads standard input")
    nmea.add_argument("--summary", action="store_true", help="end with a line of counts")
    return parser


def _act(arguments: argparse.Namespace, out: TextIO, errors: TextIO) -> int:
    if arguments.command == "nmea":
        from pledgewatch_edge import nmea_command  # noqa: PLC0415 - the agent never needs it

        return nmea_command.run(arguments.files, summary=arguments.summary, out=out)
    if arguments.command in {"setup", "self-test"}:
        from pledgewatch_edge.install import setup_command  # noqa: PLC0415 - the agent never needs it

        return setup_command.run(arguments, sys.stdin, out, errors)
    if arguments.command == "claim":
        from pledgewatch_edge import claim_command  # noqa: PLC0415 - the agent never needs it

        return claim_command.run(arguments, sys.stdin, out, errors)
    return command.act([station_of(load(arguments.config), arguments.config)], arguments, out, errors)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    return command.guarded(lambda: _act(parsed, sys.stdout, sys.stderr), sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
