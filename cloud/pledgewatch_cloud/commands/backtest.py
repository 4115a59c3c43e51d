"""`pledgewatch-cloud backtest`: what a book would have said of recorded readings."""

import argparse
import json
import sys
from pathlib import Path

from pledgewatch_cloud.commands.options import Commands
from pledgewatch_cloud.decide.moments import MomentError, moment_ms

_ALWAYS_MS = -(2**62), 2**62


def add(commands: Commands) -> None:
    """The command's options."""
    backtest = commands.add_parser("backtest", help="fold recorded readings through a book and print what it says")
    backtest.add_argument(
        "--book", type=Path, required=True, metavar="BOOK", help="JSON, YAML or TOML, see docs/BOOK.md"
    )
    source = backtest.add_mutually_exclusive_group(required=True)
    source.add_argument("--readings", type=Path, nargs="+", metavar="FILE", help="CSV, or JSON lines")
    source.add_argument("--journal", type=Path, metavar="FOLDER", help="a service's data_folder")
    backtest.add_argument(
        "--map", action="append", default=[], metavar="QUANTITY=COLUMN", help="for CSV; see docs/BOOK.md"
    )
    backtest.add_argument("--device", metavar="DEVICE", help="for files whose rows name none")
    backtest.add_argument("--from", dest="since", metavar="MOMENT", help="ISO 8601 with its offset")
    backtest.add_argument("--to", dest="until", metavar="MOMENT")
    backtest.add_argument("--compare", type=Path, metavar="OTHER_BOOK", help="print only what would differ")
    backtest.add_argument("--json", action="store_true", help="one JSON object a line")
    backtest.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.backtest import run
    from pledgewatch_cloud.backtest.readings import RowError
    from pledgewatch_cloud.book_file import DocumentError

    def told(book: Path) -> run.Told:
        if options.journal is not None:
            return run.from_journal(book, options.journal, span)
        return run.from_rows(book, options.readings, columns, options.device, span)

    try:
        columns = dict(one.split("=", 1) for one in options.map)
    except ValueError:
        print("--map takes QUANTITY=COLUMN", file=sys.stderr)
        return 2
    try:
        span = _span_ms(options)
        found = told(options.book)
        other = None if options.compare is None else told(options.compare)
    except (run.BacktestError, RowError, DocumentError, MomentError) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    lines = [("", event) for event in found.events] if other is None else run.difference(found, other)
    for mark, event in lines:
        written = {"only_in": {"-": "book", "+": "compare"}[mark]} if mark else {}
        print(json.dumps(written | event.as_json()) if options.json else f"{mark} {run.as_text(event)}".lstrip())
    for device, count in found.left_out.items():
        print(f"{device} is not installed in {options.book}, or retired: {count} readings left out", file=sys.stderr)
    if not found.readings:
        print("no reading was folded: nothing was tried", file=sys.stderr)
        return 1
    return 0


def _span_ms(options: argparse.Namespace) -> tuple[int, int]:
    """What is looked at, without its end. Raises MomentError."""
    since_ms, until_ms = _ALWAYS_MS
    if options.since:
        since_ms = moment_ms("--from", options.since)
    if options.until:
        until_ms = moment_ms("--to", options.until)
    return since_ms, until_ms
