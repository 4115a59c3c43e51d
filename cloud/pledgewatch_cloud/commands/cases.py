"""`pledgewatch-cloud cases` and `counts`: what does not fit in warehouses, and counts that are signed and handed in.

Cases and the counts that they ask for are shown by the journal, also while the service runs. A count is signed where
its key is, with the hashes of its photographs, and handed in to a running service.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pledgewatch_cloud.commands import at_url
from pledgewatch_cloud.commands.options import Commands, add_data, state_of
from pledgewatch_cloud.commands.signing import SaidError, add_key, document_in, signed, text_in, told
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.warehouse import counting, shown
from pledgewatch_cloud.decide.warehouse.cases import Case
from pledgewatch_cloud.decide.warehouse.counting import CountError


def add(commands: Commands) -> None:
    """The commands' options."""
    cases = commands.add_parser("cases", help="what does not fit in warehouses, and how urgent it is")
    acts = cases.add_subparsers(required=True, metavar="ACT")
    listing = acts.add_parser("list", help="open cases, a line each, the most urgent first")
    listing.add_argument("--closed", action="store_true", help="and those that are closed, the newest first")
    one = acts.add_parser("show", help="a case with what its goods are claimed, kept and counted as")
    one.add_argument("case", metavar="CASE")
    counts = commands.add_parser("counts", help="counts that cases ask for: list, fill in, sign and hand in")
    doings = counts.add_subparsers(required=True, metavar="ACT")
    tasks = doings.add_parser("list", help="the counts that open cases ask for, a line each, the most urgent first")
    form = doings.add_parser("form", help="what to fill in for a case; what should be there is not said")
    form.add_argument("case", metavar="CASE")
    form.add_argument("--by", required=True, metavar="PARTY", help="who counts")
    for some in (listing, tasks):
        some.add_argument("--warehouse", default="", metavar="ID", help="only of this one")
    for some, run in ((listing, _list), (one, _show), (tasks, _tasks), (form, _form)):
        add_data(some)
        some.set_defaults(command=run)
    sign = doings.add_parser("sign", help="sign a count that is filled in; with --url it is handed in")
    sign.add_argument("file", type=Path, metavar="COUNT.json", help="what was counted, see docs/WAREHOUSES.md")
    photos = "photographs of what was counted"
    sign.add_argument("--photo", type=Path, action="extend", nargs="+", default=[], metavar="FILE", help=photos)
    add_key(sign, is_needed=True)
    sign.add_argument("--url", help="the service to hand it in to; without it the signed text is printed")
    sign.set_defaults(command=_sign)
    handing = doings.add_parser("hand-in", help="hand in a count that is signed")
    handing.add_argument("file", type=Path, metavar="COUNT.jws")
    at_url.add_url(handing)
    handing.set_defaults(command=_hand_in)


def _list(options: argparse.Namespace) -> int:
    _print(shown.cases_of(state_of(options.data), options.warehouse, with_closed=options.closed))
    return 0


def _tasks(options: argparse.Namespace) -> int:
    _print(shown.tasks_of(state_of(options.data), options.warehouse))
    return 0


def _print(cases: Iterable[Case]) -> None:
    for one in cases:
        print(shown.line(one))


def _show(options: argparse.Namespace) -> int:
    state = state_of(options.data)
    case = state.watch.cases.get(options.case)
    if case is None:
        print(shown.unknown(options.case), file=sys.stderr)
        return 2
    print(json.dumps(shown.in_full(state, case), indent=1))
    return 0


def _form(options: argparse.Namespace) -> int:
    case = state_of(options.data).watch.cases.get(options.case)
    if case is None:
        print(shown.unknown(options.case), file=sys.stderr)
        return 2
    print(json.dumps(shown.form_of(case, options.by), indent=1))
    return 0


def _sign(options: argparse.Namespace) -> int:
    return told(lambda: _signed(options), CountError)


def _signed(options: argparse.Namespace) -> int:
    says = document_in(options.file)
    if not isinstance(says, dict):
        raise SaidError(f"{options.file}: a count is a JSON object")
    if says.get("at") in (None, ""):
        says["at"] = iso(time.time_ns() // 1_000_000)
    if options.photo:
        says["photos"] = [*_listed(says.get("photos")), *map(_hash_of, options.photo)]
    text = signed(options.key, options.kid, says)
    counting.read(text)
    print(text if options.url is None else json.dumps(_handed_in(options.url, text)))
    return 0


def _hand_in(options: argparse.Namespace) -> int:
    return told(lambda: _done(options), CountError)


def _done(options: argparse.Namespace) -> int:
    print(json.dumps(_handed_in(options.url, text_in(options.file))))
    return 0


def _handed_in(url: str, text: str) -> dict[str, Any]:
    return at_url.post_text(url, "/warehouses/counts", text)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _hash_of(path: Path) -> str:
    """The SHA-256 of a photograph. Raises SaidError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SaidError(f"{path} cannot be read: {error.strerror}") from None
