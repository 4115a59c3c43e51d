"""What the command lines of the edge agent and of the gateway have in common.

Errors that a person can cure are one sentence on the error stream: 2 for a configuration that cannot be used, 1 for
everything that ended a running program. Nothing but the answer asked for goes to the output stream.
"""

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TextIO

from pledgewatch_edge import agent
from pledgewatch_edge.config import StationSettings, check_files
from pledgewatch_edge.identity import StateError, load_or_create_key, public_key_hex
from pledgewatch_edge.logs import to_stream
from pledgewatch_edge.sensors import Sensor
from pledgewatch_edge.spool import SpoolCorruptError, SpoolError
from pledgewatch_edge.spool_file import status
from pledgewatch_wire import __version__
from pledgewatch_wire.settings import SettingsError

FAILED: Final = 1
BAD_CONFIGURATION: Final = 2
_LOGGER: Final = logging.getLogger(__name__)


def add_station_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add run, identity and status to a parser's commands."""
    run_parser = commands.add_parser("run", help="measure, spool and send until stopped")
    run_parser.add_argument("--check", action="store_true", help="only check the configuration; needs no network")
    identity_parser = commands.add_parser("identity", help="print who the device is, as JSON; makes its key if needed")
    status_parser = commands.add_parser("status", help="print how the spool stands, as JSON; the agent may be running")
    for parser in (run_parser, identity_parser, status_parser):
        parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML")


def new_parser(program: str, description: str) -> argparse.ArgumentParser:
    """A parser with --help and --version."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    return parser


def run(
    settings: StationSettings,
    make_sensors: Callable[[], Sequence[Sensor]],
    arguments: argparse.Namespace,
    out: TextIO,
    errors: TextIO,
) -> int:
    """`run --config FILE [--check]`."""
    check_files(settings, arguments.config)
    if arguments.check:
        out.write(f"{arguments.config}: can be used\n")
        return 0
    to_stream(errors)
    try:
        agent.run(settings, make_sensors)
    except (StateError, SpoolError, SpoolCorruptError) as error:
        _LOGGER.error("ended error=%r", str(error))
        return FAILED
    except Exception as error:  # the top of the program: say what ended it, in one line for each cause
        for leaf in _leaves(error):
            _LOGGER.error("ended error=%s %s", type(leaf).__name__, leaf, exc_info=leaf)
        return FAILED
    return 0


def print_identity(settings: StationSettings, out: TextIO) -> None:
    """`identity --config FILE`. `epoch` is 0 before the first spool. Raises StateError."""
    device = settings.device
    key = load_or_create_key(device.state_folder)
    _print_json(
        {
            "operator": device.operator,
            "device": device.name,
            "public_key": public_key_hex(key),
            "epoch": status(device.state_folder)["epoch"],
        },
        out,
    )


def print_status(settings: StationSettings, out: TextIO) -> None:
    """`status --config FILE`. Raises SpoolError."""
    device = settings.device
    _print_json({"operator": device.operator, "device": device.name, **status(device.state_folder)}, out)


def guarded(action: Callable[[], int], errors: TextIO) -> int:
    """Run a command; a person's errors become a sentence and an exit code."""
    try:
        return action()
    except SettingsError as error:
        errors.write(f"{error}\n")
        return BAD_CONFIGURATION
    except (StateError, SpoolError, SpoolCorruptError) as error:
        errors.write(f"{error}\n")
        return FAILED


def _print_json(answer: dict[str, int | str | None], out: TextIO) -> None:
    out.write(json.dumps(answer) + "\n")


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
