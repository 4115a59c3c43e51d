"""`pledgewatch-cloud stock`: hand in what a stock system says, check it beforehand, and show the stock book.

`import` needs the running service, `check` nothing but the book's file; the others go by the journal, also while the
service runs.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path

from pledgewatch_cloud.commands import at_url
from pledgewatch_cloud.commands.options import Commands, add_data, state_of
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.moments import MomentError, moment_ms
from pledgewatch_cloud.decide.stock import intake
from pledgewatch_cloud.decide.stock.rows import DOCUMENT_MAX_BYTES, Fault, Report, StockError
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.stock import shown
from pledgewatch_cloud.stock.drop import form_of
from pledgewatch_cloud.stock.intake import told
from pledgewatch_cloud.stock.shown import Wanted
from pledgewatch_cloud.table_text import csv_text

PATIENCE_S = 120.0
"""How long the service may take for a document."""


class _CannotError(Exception):
    """It cannot be done as asked; the sentence says why."""


def add(commands: Commands) -> None:
    """The command's options."""
    stock = commands.add_parser("stock", help="hand in and check what stock systems say, and show what it adds up to")
    acts = stock.add_subparsers(required=True, metavar="ACT")
    handing = acts.add_parser("import", help="hand in a file to the running service, signed by its source")
    at_url.add_url(handing)
    handing.add_argument("--secret-file", type=Path, required=True, metavar="FILE", help="the source's whsec_ secret")
    checking = acts.add_parser("check", help="tell every fault of a file with its line; needs no network")
    checking.add_argument("--book", type=Path, required=True, metavar="FILE", help="the book that names the source")
    for act, run in ((handing, _import), (checking, _check)):
        act.add_argument("file", type=Path, metavar="FILE", help="see docs/STOCK.md")
        act.add_argument("--source", required=True, metavar="ID", help="the stock source, as the book names it")
        act.add_argument("--form", choices=intake.FORMS, help="default: by the file's ending")
        act.set_defaults(command=run)
    showing = acts.add_parser("show", help="what there is, and what is unreconciled of it, a line for each key")
    showing.add_argument("--at", metavar="MOMENT", help="what there was then; ISO 8601 with its offset")
    rolling = acts.add_parser("periods", help="how it came to that, by days or months")
    rolling.add_argument("--by", choices=shown.LENGTHS, default="month")
    rolling.add_argument("--csv", action="store_true", help="as a table")
    for act, run in ((showing, _show), (rolling, _periods)):
        for name in Wanted._fields:
            act.add_argument(f"--{name}", default="", metavar="NAME", help="only of this one")
        act.set_defaults(command=run)
    unmatched = acts.add_parser("unmatched", help="rows that take back what is not here")
    unmatched.set_defaults(command=_unmatched)
    for act in (showing, rolling, unmatched):
        add_data(act)


def _import(options: argparse.Namespace) -> int:
    """Returns 0 where all of it was taken or known, 1 where something of it was not taken."""
    from pledgewatch_cloud.credentials import CredentialError, key_in
    from pledgewatch_cloud.notices.senders import NAMED_BY
    from pledgewatch_cloud.signature import headers

    try:
        raw, form = _content(options.file), _form(options)
        signed = headers([key_in(options.secret_file)], f"stock-{canonical.sha256(raw)}", int(time.time()), raw)
        signed[NAMED_BY] = options.source
        asked = {"source": options.source, "form": form}
        found = at_url.post_bytes(options.url, "/stock/reports", raw, signed, asked, PATIENCE_S)
    except (CredentialError, _CannotError) as error:
        print(error, file=sys.stderr)
        return 2
    except at_url.AnswerError as error:
        _tell(options.file, str(error).splitlines())
        return 1 if error.status == HTTPStatus.UNPROCESSABLE_ENTITY else 2
    print(json.dumps(found))
    _tell(options.file, told(form, (Fault(one["line"], one["text"]) for one in found["faults"])))
    return 1 if found["faults"] else 0


def _tell(path: Path, faults: Iterable[str]) -> None:
    for fault in faults:
        print(f"{path}: {fault}", file=sys.stderr)


def _check(options: argparse.Namespace) -> int:
    """Returns 0 where all of the file would be taken by an empty stock book, 1 where it has faults."""
    try:
        raw, form = _content(options.file), _form(options)
        report, is_taken = _understood(options, form, raw)
    except _CannotError as error:
        print(error, file=sys.stderr)
        return 2
    left_out = [one._asdict() for one in report.left_out]
    counts = {"rows": len(report.rows), "snapshots": len(report.snapshots), "faults": len(report.faults)}
    print(json.dumps({"form": form, "taken": is_taken, **counts, "left_out": left_out}))
    _tell(options.file, told(form, report.faults))
    return 1 if report.faults else 0


def _understood(options: argparse.Namespace, form: str, raw: bytes) -> tuple[Report, bool]:
    """What would be taken of a document and what is wrong with it, and whether anything would be. Raises
    _CannotError."""
    from pledgewatch_cloud.book_file import DocumentError, read_book_file

    try:
        book = book_module.amend(book_module.empty(), read_book_file(options.book).document)
    except (BookError, DocumentError) as error:
        raise _CannotError(f"{options.book}: {error}") from None
    except OSError as error:
        raise _CannotError(f"{options.book} cannot be read: {error.strerror}") from None
    source = book.stock_sources.get(options.source)
    if source is None:
        known = ", ".join(book.stock_sources) or "none"
        raise _CannotError(f"there is no stock source {options.source!r} in {options.book}; there are {known}")
    report = intake.read(source.terms, form, raw, source.mapping)
    try:
        return intake.admitted(source.terms, report, StockBook(), time.time_ns() // 1_000_000), True
    except StockError as error:
        return Report(options.source, faults=error.faults, left_out=report.left_out), False


def _show(options: argparse.Namespace) -> int:
    try:
        at_ms = None if options.at is None else moment_ms("--at", options.at)
    except MomentError as error:
        print(error, file=sys.stderr)
        return 2
    stock = state_of(options.data).stock
    for key in shown.keys_of(stock, _wanted(options)):
        print(json.dumps(shown.on_hand(stock, key, at_ms)))
    return 0


def _periods(options: argparse.Namespace) -> int:
    stock = state_of(options.data).stock
    keys = shown.keys_of(stock, _wanted(options))
    if options.csv:
        print(csv_text(shown.TABLE_COLUMNS, shown.periods_rows(stock, keys, options.by), "\n"), end="")
        return 0
    for key in keys:
        print(json.dumps(shown.periods(stock, key, options.by)))
    return 0


def _unmatched(options: argparse.Namespace) -> int:
    for one in shown.unmatched(state_of(options.data).stock):
        print(json.dumps(one))
    return 0


def _wanted(options: argparse.Namespace) -> Wanted:
    return Wanted(*(getattr(options, name) for name in Wanted._fields))


def _content(path: Path) -> bytes:
    """The bytes of a file. Raises _CannotError."""
    try:
        with path.open("rb") as file:
            raw = file.read(DOCUMENT_MAX_BYTES + 1)
    except OSError as error:
        raise _CannotError(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > DOCUMENT_MAX_BYTES:
        raise _CannotError(f"{path} has more than {DOCUMENT_MAX_BYTES} bytes: split it")
    return raw


def _form(options: argparse.Namespace) -> str:
    """The form that is said, or that the file's ending says. Raises _CannotError."""
    form: str | None = options.form or form_of(options.file.name)
    if form is None:
        raise _CannotError(f"{options.file} tells its form by no ending: say it by --form")
    return form
