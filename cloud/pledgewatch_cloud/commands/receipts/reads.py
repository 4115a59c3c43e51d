"""`receipts show`, `list`, `acts`, `credential`, `sheet`, `status-list`, `issuer`: what a running service says."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pledgewatch_cloud.commands import at_url
from pledgewatch_cloud.commands.at_url import AnswerError
from pledgewatch_cloud.commands.options import Commands
from pledgewatch_cloud.commands.receipts.asked import path_of
from pledgewatch_cloud.decide.receipts.receipt import State

_FILTERS = ("warehouse", "holder", "pledgee")
_AT_ONCE = 1_000


def add(commands: Commands) -> None:
    """The commands' options."""
    for name, run, about in (
        ("show", _show, "one receipt as it stands, and who may do what with it"),
        ("acts", _acts, "what became of a receipt, an act a line, each as it was signed"),
        ("credential", _credential, "a receipt's credential, to be shown to others"),
        ("sheet", _sheet, "a receipt's credential as a PDF"),
    ):
        one = commands.add_parser(name, help=about)
        one.add_argument("receipt", metavar="RECEIPT")
        _add(one, run)
        if name in ("credential", "sheet"):
            _add_out(one, is_needed=name == "sheet")
    listing = commands.add_parser("list", help="receipts by id, a line each")
    for name in _FILTERS:
        listing.add_argument(f"--{name}", metavar="ID")
    listing.add_argument("--state", choices=[str(one) for one in State if one is not State.NONE])
    _add(listing, _list)
    status = commands.add_parser("status-list", help="the lists by which credentials are known to hold")
    status.add_argument("number", nargs="?", type=int, default=0, metavar="N", help="default: 0")
    _add(status, _status_list)
    _add_out(status)
    issuer = commands.add_parser("issuer", help="the key that the service signs credentials with; compare it first")
    _add(issuer, _issuer)
    _add_out(issuer)


def _add(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], Iterator[str | bytes]]) -> None:
    at_url.add_url(parser)
    parser.set_defaults(command=_command(run), out=None)


def _add_out(parser: argparse.ArgumentParser, *, is_needed: bool = False) -> None:
    parser.add_argument("--out", type=Path, required=is_needed, metavar="FILE", help="where it goes")


def _command(
    run: Callable[[argparse.Namespace], Iterator[str | bytes]],
) -> Callable[[argparse.Namespace], int]:
    """Print what is said, or write it to a file: 1 where the service says no, 2 where it cannot be asked."""

    def command(options: argparse.Namespace) -> int:
        try:
            for said in run(options):
                if options.out is None:
                    print(said)
                elif not _is_written(options.out, said.encode() if isinstance(said, str) else said):
                    return 2
        except AnswerError as error:
            print(error, file=sys.stderr)
            return 1 if error.is_refusal else 2
        return 0

    return command


def _is_written(path: Path, said: bytes) -> bool:
    """Write what is said to a file; whether it could be, and if not that is told."""
    try:
        path.write_bytes(said)
    except OSError as error:
        print(f"{path} cannot be written: {error.strerror}", file=sys.stderr)
        return False
    return True


def _show(options: argparse.Namespace) -> Iterator[str]:
    yield json.dumps(at_url.get(at_url.at(options), path_of(options.receipt)).json())


def _list(options: argparse.Namespace) -> Iterator[str]:
    asked: dict[str, Any] = {name: getattr(options, name) for name in (*_FILTERS, "state")}
    after = ""
    while True:
        page = at_url.get(at_url.at(options), "/receipts", {**asked, "after": after, "limit": _AT_ONCE}).json()
        yield from map(json.dumps, page["receipts"])
        after = page["next_after"]
        if not after:
            return


def _acts(options: argparse.Namespace) -> Iterator[str]:
    path, after = f"{path_of(options.receipt)}/acts", 0
    while True:
        page = at_url.get(at_url.at(options), path, {"after_entry": after, "limit": _AT_ONCE}).json()
        if page["next_after_entry"] == after:
            return
        yield from map(json.dumps, page["acts"])
        after = page["next_after_entry"]


def _credential(options: argparse.Namespace) -> Iterator[str]:
    yield at_url.get(at_url.at(options), f"{path_of(options.receipt)}/credential").text


def _sheet(options: argparse.Namespace) -> Iterator[bytes]:
    yield at_url.get(at_url.at(options), f"{path_of(options.receipt)}/sheet").content


def _status_list(options: argparse.Namespace) -> Iterator[str]:
    yield at_url.get(at_url.at(options), f"/receipts/status-lists/{options.number}").text.removesuffix("\n")


def _issuer(options: argparse.Namespace) -> Iterator[str]:
    yield json.dumps(at_url.get(at_url.at(options), "/receipts/issuer").json())
