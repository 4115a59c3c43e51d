"""What the command lines of the edge agent and of the gateway have in common: run, identity and status of stations.

Errors that a person can cure are one sentence on the error stream: 2 for a configuration that cannot be used, 1 for
everything that ended a running station, or that kept one from being told of. Nothing but the answer asked for goes to
the output stream.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

from pledgewatch_edge import process
from pledgewatch_edge.budget import budget_status
from pledgewatch_edge.config import check_files
from pledgewatch_edge.ended import ended_of
from pledgewatch_edge.identity import StateError, load_or_create_key, public_key_hex
from pledgewatch_edge.logs import to_stream
from pledgewatch_edge.own_files import cure_of, faults_of_files
from pledgewatch_edge.ownership import as_owner_of
from pledgewatch_edge.sensors import faults_of
from pledgewatch_edge.spool.errors import SpoolCorruptError, SpoolError
from pledgewatch_edge.spool.file import status
from pledgewatch_edge.spool.reserve import room_doubt
from pledgewatch_edge.station import Station
from pledgewatch_edge.status_words import status_words
from pledgewatch_edge.tls_identity import BROKER, CLOUD, doubts, standing_of
from pledgewatch_wire import __version__
from pledgewatch_wire.piped import piped
from pledgewatch_wire.settings import SettingsError, unreadable

FAILED: Final = 1
BAD_CONFIGURATION: Final = 2


def add_station_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add run, identity and status to a parser's commands."""
    run_parser = commands.add_parser("run", help="measure, spool and send until stopped")
    run_parser.add_argument("--check", action="store_true", help="only check the configuration; needs no network")
    identity_parser = commands.add_parser(
        "identity", help="print who each device is, one JSON object a line; makes keys that are needed"
    )
    status_parser = commands.add_parser(
        "status", help="tell how each spool and certificate stand; the program may be running"
    )
    status_parser.add_argument("--json", action="store_true", help="print it for programs, one JSON object a line")
    for parser in (run_parser, identity_parser, status_parser):
        parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML")


def new_parser(program: str, description: str) -> argparse.ArgumentParser:
    """A parser with --help and --version."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    return parser


def act(
    stations: Sequence[Station],
    arguments: argparse.Namespace,
    out: TextIO,
    errors: TextIO,
    beside: Sequence[process.Beside] = (),
) -> int:
    """Run one of the commands of `add_station_commands`, with what a program runs beside its stations. Returns the exit
    code; raises SettingsError. What root does is done as the user whose the state folders are (ownership.py)."""
    match arguments.command:
        case "identity":
            return _print_each(stations, identity_of, _in_json, out, errors)
        case "status":
            return _print_each(stations, status_of, _in_json if arguments.json else _in_words, out, errors)
        case _:
            with as_owner_of([one.settings.device.state_folder for one in stations], goes_on=True):
                return _run(stations, beside, arguments, out, errors)


def identity_of(station: Station) -> Mapping[str, object]:
    """Who a station is; `epoch` is 0 before the first spool. `wrong` is there where it does not believe who it speaks
    to, for then nobody hears of it. Makes its key if needed. Raises StateError."""
    folder = station.settings.device.state_folder
    key = load_or_create_key(folder)
    found = {"public_key": public_key_hex(key), "epoch": status(folder)["epoch"]}
    wrong = doubts(folder, addresses=_addresses(station))
    return {**found, "wrong": wrong} if wrong else found


def status_of(station: Station) -> Mapping[str, object]:
    """How a station's spool, its budget and its certificate stand. Raises SpoolError."""
    device = station.settings.device
    folder = device.state_folder
    spool = status(folder)
    budget = budget_status(folder, station.settings.uplink.bytes_per_day)
    standing = standing_of(folder, device.pkcs11, addresses=_addresses(station))
    wrong = standing["wrong"]
    assert isinstance(wrong, list)
    wrong = [*wrong, *_lost(station), *faults_of_files(station.settings), *ended_of(station)]
    return {**spool, **budget, **standing, "wrong": list(dict.fromkeys(wrong))}


def _lost(station: Station) -> list[str]:
    """What is wrong where what is shown to the broker is not there; it is looked for anew at each connection."""
    broker = station.settings.broker
    shown = {"certificate": broker.certificate_file, "key": broker.key_file, "broker's authority": broker.ca_file}
    return [
        f"its {what} {path} is not there, or cannot be read; {cure_of(path, station.settings)}"
        for what, path in shown.items()
        if path is not None and unreadable({what: path})
    ]


def _addresses(station: Station) -> Mapping[str, str]:
    """Whom a station speaks to."""
    return {BROKER: station.settings.broker.address, CLOUD: station.settings.device.cloud_url or ""}


def guarded(action: Callable[[], int], errors: TextIO | None) -> int:
    """Run a command; a configuration that cannot be used becomes a sentence and an exit code, and so do Ctrl-C, and,
    without the sentence, an answer that nobody reads to its end."""

    def acted() -> int:
        try:
            return action()
        except SettingsError as error:
            (errors or sys.stderr).write(f"{error}\n")  # None: it was closed, and is something else since
            return BAD_CONFIGURATION
        except KeyboardInterrupt:
            (errors or sys.stderr).write("\nstopped; run the same again, it goes on from what is done\n")
            return FAILED

    return piped(acted)


def _run(
    stations: Sequence[Station],
    beside: Sequence[process.Beside],
    arguments: argparse.Namespace,
    out: TextIO,
    errors: TextIO,
) -> int:
    _check_all(stations, arguments, errors)
    for station in stations:
        if doubt := room_doubt(station.settings.device.state_folder, station.settings.spool.max_mib):
            errors.write(f"{arguments.config}: {doubt}\n")
    if arguments.check:
        if faults := [fault for station in stations for fault in faults_of(station.make_sensors())]:
            raise SettingsError(arguments.config, faults)
        out.write(f"{arguments.config}: can be used\n")
        return 0
    to_stream(errors)
    return 0 if process.run(stations, beside) else FAILED


def _check_all(stations: Sequence[Station], arguments: argparse.Namespace, errors: TextIO) -> None:
    """Refuse a configuration whose files cannot be used (SettingsError). One station of several whose own cannot, for
    its disk is gone or it is still to be claimed, is told of and measures: it keeps no other from running. So is one of
    whose files the content is wrong, which may keep it from sending and not from measuring."""
    wrong, faulty = [], list[str]()
    for station in stations:
        try:
            check_files(station.settings, arguments.config)
        except SettingsError as error:
            wrong.append(error)
        else:
            faulty += faults_of_files(station.settings)
    if faulty and arguments.check:
        wrong.append(SettingsError(arguments.config, faulty))
    if wrong and (arguments.check or len(wrong) == len(stations)):
        raise SettingsError(arguments.config, list(dict.fromkeys(text for one in wrong for text in one.errors)))
    wrong += [SettingsError(arguments.config, faulty)] if faulty else []
    for one in wrong:
        errors.write(f"{one}\n")


def _print_each(
    stations: Sequence[Station],
    tell: Callable[[Station], Mapping[str, object]],
    form: Callable[[Mapping[str, object]], str],
    out: TextIO,
    errors: TextIO,
) -> int:
    """What is told of each station; one that cannot be told of keeps no other from it."""
    code = 0
    for station in stations:
        device = station.settings.device
        try:
            with as_owner_of([device.state_folder]):
                told = tell(station)
        except (StateError, SpoolError, SpoolCorruptError) as error:
            errors.write(f"{error}\n")
            code = FAILED
            continue
        out.write(form({"operator": device.operator, "device": device.name, **station.about, **told}))
    return code


def _in_json(found: Mapping[str, object]) -> str:
    return json.dumps(found) + "\n"


def _in_words(found: Mapping[str, object]) -> str:
    return "".join(f"{line}\n" for line in status_words(found))
