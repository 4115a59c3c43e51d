"""`pledgewatch-cloud devices settings`, `command` and `show`: remote care of one device, by the API of a service that
runs (docs/CARE.md)."""

import argparse
import json
import sys
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pledgewatch_cloud.commands import at_url
from pledgewatch_cloud.commands.at_url import AnswerError
from pledgewatch_cloud.commands.options import Commands


def add(acts: Commands) -> None:
    """The options of these acts."""
    settings = acts.add_parser(
        "settings", help="say what a device is to be set to; it tries it, and goes back by itself"
    )
    settings.add_argument("device", metavar="DEVICE")
    settings.add_argument(
        "file", type=Path, metavar="FILE", help="TOML, all that is set from afar; - reads it from input"
    )
    settings.add_argument("--valid-h", type=int, default=720, help="for how many hours it may be taken (%(default)s)")
    settings.add_argument(
        "--again", action="store_true", help="also what is asked for already, where the device has lost it"
    )
    settings.set_defaults(command=_settings)

    command = acts.add_parser("command", help="have a device do something once")
    what = command.add_subparsers(required=True, dest="what", metavar="WHAT")
    report = what.add_parser("report-now", help="measure with all sensors, and send all that is kept")
    again = what.add_parser("resend-range", help="send readings once more, as far as they are still kept")
    shows = what.add_parser("identify", help="show which device it is")
    tells = what.add_parser("diagnostics", help="give a bundle of how it stands; see it by `show`")
    for one in (report, again, shows, tells):
        one.add_argument("device", metavar="DEVICE")
        one.add_argument("--valid-h", type=int, default=24, help="for how many hours it may be done (%(default)s)")
        one.set_defaults(command=_command)
    for name in ("epoch", "first", "last"):
        again.add_argument(name, type=int, metavar=name.upper())
    shows.add_argument("--seconds", type=int, default=10, help="for how long (%(default)s)")

    show = acts.add_parser("show", help="what is asked of a device, and what it said of it")
    show.add_argument("device", metavar="DEVICE")
    show.add_argument("--result", type=int, metavar="ID", help="what this command has given")
    show.set_defaults(command=_show)
    for one in (settings, report, again, shows, tells, show):
        at_url.add_url(one)


def _settings(options: argparse.Namespace) -> int:
    try:
        toml = sys.stdin.read() if str(options.file) == "-" else options.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        print(f"{options.file} cannot be read: {error}", file=sys.stderr)
        return 2

    def asked() -> int:
        body = {"toml": toml, "valid_h": options.valid_h, "again": options.again}
        answer = at_url.post_json(at_url.at(options), f"/devices/{options.device}/settings", body)
        already = "that is asked for already; --again has it said once more"
        print(f"version {answer['version']} is asked for" if answer["changed"] else already)
        return 0

    return _told(asked)


def _command(options: argparse.Namespace) -> int:
    names = ("epoch", "first", "last", "seconds", "valid_h")
    body: dict[str, Any] = {name: getattr(options, name) for name in names if hasattr(options, name)}

    def asked() -> int:
        said = body | {"what": options.what.replace("-", "_")}
        answer = at_url.post_json(at_url.at(options), f"/devices/{options.device}/commands", said)
        print(f"command {answer['id']} is asked for")
        return 0

    return _told(asked)


def _show(options: argparse.Namespace) -> int:
    result = "" if options.result is None else f"/commands/{options.result}/result"

    def asked() -> int:
        print(json.dumps(at_url.get(at_url.at(options), f"/devices/{options.device}{result}").json(), indent=2))
        return 0

    return _told(asked)


def _told(asked: Callable[[], int]) -> int:
    """Ask, and say what stands against it: 1 where what is asked is refused, 2 where it cannot be asked."""
    try:
        return asked()
    except AnswerError as error:
        print(error, file=sys.stderr)
        return 1 if error.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND} else 2
