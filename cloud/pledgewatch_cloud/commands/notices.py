"""`pledgewatch-cloud notices`: what is understood of a file that a sender would hand in. Needs no network."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pledgewatch_cloud.commands.options import Commands
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.strict_json import JsonError
from pledgewatch_cloud.decide.trade import submission
from pledgewatch_cloud.decide.trade.notice import Notice, NoticeError
from pledgewatch_cloud.notices.intake import DOCUMENT_MAX_BYTES, form_of


def add(commands: Commands) -> None:
    """The command's options."""
    notices = commands.add_parser("notices", help="read a file that a sender would hand in, and print what it says")
    notices.add_argument("file", type=Path, metavar="FILE", help="see docs/TRADE_API.md")
    notices.add_argument("--form", choices=("plain", "dcsa", "epcis"), help="default: by its content")
    notices.add_argument("--sender", default="sender", metavar="ID", help="who would hand it in")
    notices.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    try:
        understood = _understood(options.file, options.sender, options.form)
    except NoticeError as error:
        for fault in error.errors:
            print(f"{options.file}: {fault}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{options.file} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    print(json.dumps(understood))
    return 0


def _understood(path: Path, sender: str, form: str | None) -> dict[str, Any]:
    """The notices in a file, as JSON. Raises OSError, or NoticeError with every fault's place."""
    with path.open("rb") as file:
        raw = file.read(DOCUMENT_MAX_BYTES + 1)
    if len(raw) > DOCUMENT_MAX_BYTES:
        raise NoticeError([f"the file has more than {DOCUMENT_MAX_BYTES} bytes: split it"])
    try:
        form = form or form_of(raw)
        text = raw.decode("utf-8")
    except JsonError as error:
        raise NoticeError([str(error)]) from None
    except UnicodeDecodeError as error:
        raise NoticeError([f"byte {error.start}: is not UTF-8"]) from None
    return {"form": form, "notices": [_written(one) for one in submission.read(form, sender, text)]}


def _written(one: Notice) -> dict[str, Any]:
    """A notice as JSON: what it does not say is left out, moments are ISO 8601."""
    found = {name: value for name, value in one._asdict().items() if value not in ("", ())}
    for field, name, nothing in (
        ("happened_ms", "happened_at", None),
        ("until_ms", "until", NEVER),
        ("edition_ms", "edition_at", 0),
    ):
        at_ms = found.pop(field)
        if at_ms != nothing:
            found[name] = iso(at_ms)
    return found
