"""`pledgewatch-gateway`: the gateway's command line.

A gateway runs a station for each zone of its warehouse, in one process and with the edge's own code: each has a key, an
epoch, a spool and a connection, says that it is online, takes the cloud's `committed`, and keeps and sends whatever is
appended to its spool. What is appended comes from the sources of the site (`program.py`).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from pledgewatch_edge import command
from pledgewatch_gateway.config import GatewaySettings, check_site_files, load
from pledgewatch_gateway.documents.document_queue import Queue
from pledgewatch_gateway.program import program_of


def _parser() -> argparse.ArgumentParser:
    parser = command.new_parser(
        "pledgewatch-gateway", "Measures the zones of a warehouse by its sensors and keeps them connected."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command.add_station_commands(commands)
    claim = commands.add_parser(
        "claim", help="make zones the devices that the cloud has invited: keys, certificates and configuration"
    )
    claim.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration to complete, TOML")
    claim.add_argument("--ca-file", type=Path, metavar="FILE", help="the cloud's CA, where its server does not show it")
    roster = commands.add_parser(
        "roster", help="print which sensor is which channel of which device, one JSON object a line"
    )
    roster.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML")
    documents = commands.add_parser(
        "documents", help="print the documents that the cloud has refused, one JSON object a line, and what waits"
    )
    documents.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML")
    documents.add_argument(
        "--again", metavar="NAME", help="hand in one of them once more, or `all`; the program may be running"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    return command.guarded(lambda: _act(parsed, sys.stdout, sys.stderr), sys.stderr)


def _act(parsed: argparse.Namespace, out: TextIO, errors: TextIO) -> int:
    if parsed.command == "claim":
        from pledgewatch_gateway import claim_command  # noqa: PLC0415 - the gateway never needs it

        return claim_command.run(parsed.config, parsed.ca_file, sys.stdin, out, errors)
    settings = load(parsed.config)
    if parsed.command == "roster":
        return _print_roster(settings, out)
    if parsed.command == "documents":
        return _documents(settings, parsed.again, out, errors)
    if parsed.command == "run":
        check_site_files(settings, parsed.config)
    program = program_of(settings)
    return command.act(program.stations, parsed, out, errors, program.beside)


def _print_roster(settings: GatewaySettings, out: TextIO) -> int:
    devices = {zone.name: zone.device for zone in settings.zones}
    for row in settings.sensors:
        line = {
            "device": devices[row.zone],
            "channel": row.channel,
            "zone": row.zone,
            "bin": row.bin,
            "source": row.source,
            "sensor": row.sensor_name,
            "field": row.field,
        }
        out.write(json.dumps(line) + "\n")
    return 0


def _documents(settings: GatewaySettings, again: str | None, out: TextIO, errors: TextIO) -> int:
    """Print what was refused and what waits; first let what is named wait again."""
    if settings.documents is None:
        errors.write("this gateway has no documents; [documents] says where they come from\n")
        return command.BAD_CONFIGURATION
    queue = Queue(settings.documents_folder, settings.documents.documents_max, settings.documents.bytes_max)
    try:
        refused = queue.refused()
        if again is not None and again not in {"all", *(one.name for one in refused)}:
            errors.write(f"{again} is none that was refused; without --again they are told\n")
            return command.FAILED
        for one in refused:
            if again in {one.name, "all"}:
                queue.again(one.name)
                out.write(json.dumps({"again": one.name}) + "\n")
            else:
                out.write(json.dumps({"refused": one.name, "reasons": one.reasons}) + "\n")
        standing = queue.standing()
    except OSError as error:
        errors.write(f"{error.filename}: {error.strerror}\n")
        return command.FAILED
    out.write(json.dumps({"waiting": standing.waiting, "bytes": standing.bytes, "refused": standing.refused}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
