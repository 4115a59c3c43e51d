"""`pledgewatch-cloud`: run the service, prove its journal, look after its outbox."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pledgewatch_cloud
from pledgewatch_cloud import milestones_command, outbox_command
from pledgewatch_cloud.journal.form import DamagedError
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.logs import log_to_stderr
from pledgewatch_cloud.progress import Progress
from pledgewatch_cloud.series.series import SeriesError
from pledgewatch_wire.settings import SettingsError, load, unreadable

# What only `run` and `broker` need is imported there: an auditor who replays a journal has no web server installed.


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 done, 1 found wrong, 2 cannot be done as asked."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (SettingsError, StoreError, SeriesError) as error:
        print(error, file=sys.stderr)
        return 2
    except DamagedError as error:
        print(f"the journal is damaged: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pledgewatch-cloud", description=pledgewatch_cloud.__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {pledgewatch_cloud.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the service")
    run.add_argument("--config", type=Path, required=True, metavar="FILE")
    run.add_argument("--check", action="store_true", help="only check the configuration; needs no network")
    run.set_defaults(command=_run)

    broker = commands.add_parser("broker", help="run the embedded MQTT broker alone")
    broker.add_argument("--config", type=Path, required=True, metavar="FILE")
    broker.set_defaults(command=_broker)

    replay = commands.add_parser("replay", help="decide the whole journal again and compare")
    replay.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the service's data_folder")
    replay.add_argument("--by-device", action="store_true", help="print each device's count of readings too")
    replay.set_defaults(command=_replay)

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
    backtest.set_defaults(command=_backtest)

    _add_collateral(commands)

    notices = commands.add_parser("notices", help="read a file that a sender would hand in, and print what it says")
    notices.add_argument("file", type=Path, metavar="FILE", help="see docs/TRADE_API.md")
    notices.add_argument("--form", choices=("plain", "dcsa", "epcis"), help="default: by its content")
    notices.add_argument("--sender", default="sender", metavar="ID", help="who would hand it in")
    notices.set_defaults(command=_notices)

    milestones_command.add(commands)
    outbox_command.add(commands)

    series = commands.add_parser(
        "series", help="time series: follow the journal, set up where they go, build them again"
    )
    series.add_argument("act", choices=("follow", "init", "rebuild"))
    series.add_argument("--config", type=Path, required=True, metavar="FILE")
    series.set_defaults(command=_series)

    doctor = commands.add_parser("doctor", help="examine what the service needs, and say what to do about it")
    doctor.add_argument("--config", type=Path, required=True, metavar="FILE")
    doctor.set_defaults(command=_doctor)

    quarantine = commands.add_parser("quarantine", help="what could not be taken, and why")
    quarantine.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    quarantine.set_defaults(command=_quarantine)
    return parser


def _add_collateral(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The commands about what goods are worth."""
    base = commands.add_parser("base", help="a facility's borrowing base of any moment, by what was known at any other")
    base.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the service's data_folder")
    base.add_argument("--facility", required=True, metavar="ID")
    base.add_argument(
        "--as-of", metavar="MOMENT", help="what was true then; ISO 8601 with its offset, default: known at"
    )
    base.add_argument("--known-at", metavar="MOMENT", help="by what was known then; default: all that is known")
    base.add_argument("--then", metavar="MOMENT", help="beside it what is known of as-of at this later moment, and why")
    base.add_argument("--lots", action="store_true", help="with what became of each lot")
    base.set_defaults(command=_base)

    quotes = commands.add_parser("quotes", help="read a file of prices or rates and print the document to post")
    quotes.add_argument("file", type=Path, metavar="FILE", help="see docs/MARKET.md")
    quotes.add_argument("--kind", choices=("ecb", "csv", "json"), help="default: by its ending and header")
    quotes.add_argument("--until", metavar="DATE", help="only what is dated then or before")
    quotes.set_defaults(command=_quotes)

    certificate = commands.add_parser("certificate", help="make a signed borrowing-base certificate, or verify one")
    acts = certificate.add_subparsers(required=True, metavar="ACT")
    make = acts.add_parser("make", help="write a base as CSV, XLSX and PDF, each with its signature")
    make.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the service's data_folder")
    make.add_argument("--facility", required=True, metavar="ID")
    make.add_argument("--key", type=Path, required=True, metavar="PEM", help="the Ed25519 key to sign with")
    make.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the six files go")
    make.add_argument("--as-of", metavar="MOMENT", help="as for `base`")
    make.add_argument("--known-at", metavar="MOMENT", help="as for `base`")
    make.add_argument("--stated", type=Path, metavar="FILE", help="the borrower's own figures, JSON or CSV")
    make.set_defaults(command=_make_certificate)
    verify = acts.add_parser("verify", help="say whether a file is what was signed, and by which key")
    verify.add_argument("file", type=Path, metavar="FILE", help="its signature file is beside it")
    verify.add_argument(
        "--key-of", metavar="HEX", help="the signer's public key; without it, the one that the signature file names"
    )
    verify.set_defaults(command=_verify_certificate)


def _run(options: argparse.Namespace) -> int:
    from pledgewatch_cloud import service  # noqa: PLC0415 - see above
    from pledgewatch_cloud.config import CloudSettings  # noqa: PLC0415

    settings = load(options.config, CloudSettings)
    if options.check:
        faults = service.book_faults(settings.book.files)
        print("\n".join(faults) or f"{options.config}: can be used", file=sys.stderr if faults else sys.stdout)
        for fault in unreadable(settings.files()):
            print(f"before it is run: {fault}")
        return 2 if faults else 0
    log_to_stderr(settings.service.log_format)
    try:
        asyncio.run(service.run(settings, options.config))
    except service.ServiceError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _broker(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.broker import run_alone  # noqa: PLC0415 - see above
    from pledgewatch_cloud.config import CloudSettings  # noqa: PLC0415

    settings = load(options.config, CloudSettings)
    log_to_stderr(settings.service.log_format)
    host, port = settings.broker.host, settings.broker.port
    try:
        asyncio.run(run_alone(host, port, settings.broker.accounts_file))
    except OSError as error:
        print(f"{error.filename or f'{host}:{port}'} cannot be used: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


def _replay(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.replay import replay  # noqa: PLC0415 - see above

    store = SqliteStore(options.data, read_only=True)
    progress = Progress("entries", store.counts().entries)
    store.close()
    found = replay(options.data, progress)._asdict()
    if not options.by_device:
        del found["by_device"]
    print(json.dumps(found))
    return 0


def _backtest(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.backtest import run  # noqa: PLC0415 - see above
    from pledgewatch_cloud.backtest.readings import RowError  # noqa: PLC0415
    from pledgewatch_cloud.book_file import DocumentError  # noqa: PLC0415
    from pledgewatch_cloud.decide.moments import MomentError, moment_ms  # noqa: PLC0415

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
        since_ms = moment_ms("--from", options.since) if options.since else -(2**62)
        span = since_ms, moment_ms("--to", options.until) if options.until else 2**62
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


def _base(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.decide.moments import MomentError, iso, moment_ms  # noqa: PLC0415 - see above
    from pledgewatch_cloud.spine.base_at import BaseAtError, amendments, base_at  # noqa: PLC0415

    store = SqliteStore(options.data, read_only=True)
    try:
        found, then = base_at(store, options.facility, *_moments_ms(options)), None
        if options.then is not None:
            then_ms = moment_ms("--then", options.then)
            if then_ms < found.known_at_ms:
                print(f"--then {options.then} lies before known at {iso(found.known_at_ms)}", file=sys.stderr)
                return 2
            then = base_at(store, options.facility, found.as_of_ms, then_ms)
        print(json.dumps(found.as_json(lots=options.lots)))
        if then is not None:
            print(json.dumps(then.as_json(lots=options.lots)))
            for one in amendments(store, found, then):
                print(json.dumps(one))
    except (BaseAtError, MomentError) as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        store.close()
    return 0


def _moments_ms(options: argparse.Namespace) -> tuple[int | None, int | None]:
    """As of and known at, None where not given. Raises MomentError."""
    from pledgewatch_cloud.decide.moments import moment_ms  # noqa: PLC0415 - see above

    given = (("--as-of", options.as_of), ("--known-at", options.known_at))
    as_of_ms, known_at_ms = (None if written is None else moment_ms(option, written) for option, written in given)
    return as_of_ms, known_at_ms


def _quotes(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.market_file import MarketFileError, read_market_file  # noqa: PLC0415 - see above

    try:
        print(json.dumps(read_market_file(options.file, options.kind, options.until)))
    except MarketFileError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{options.file} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _notices(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.decide.trade.notice import NoticeError  # noqa: PLC0415 - see above
    from pledgewatch_cloud.notices.command import understood  # noqa: PLC0415

    try:
        print(json.dumps(understood(options.file, options.sender, options.form)))
    except NoticeError as error:
        for fault in error.errors:
            print(f"{options.file}: {fault}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{options.file} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _make_certificate(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.certificate import signing  # noqa: PLC0415 - see above
    from pledgewatch_cloud.certificate.build import certificate_of  # noqa: PLC0415
    from pledgewatch_cloud.certificate.stated_file import StatedError, read_stated  # noqa: PLC0415
    from pledgewatch_cloud.decide.moments import MomentError, iso  # noqa: PLC0415
    from pledgewatch_cloud.spine.base_at import BaseAtError, base_at  # noqa: PLC0415

    store = SqliteStore(options.data, read_only=True)
    try:
        key = signing.load_key(options.key)
        found = base_at(store, options.facility, *_moments_ms(options))
        if found.known_at_ms > max(found.known.recorded_at_ms, time.time_ns() // 1_000_000):
            print(f"{iso(found.known_at_ms)} is still to come: what is known then nobody can sign", file=sys.stderr)
            return 2
        stated = read_stated(options.stated, found.currency) if options.stated else None
        paths = signing.write(certificate_of(store, found, stated), options.out, key)
    except (BaseAtError, MomentError, signing.CertificateError) as error:
        print(error, file=sys.stderr)
        return 2
    except StatedError as error:
        print("\n".join(error.errors), file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename} cannot be used: {error.strerror}", file=sys.stderr)
        return 2
    finally:
        store.close()
    made = {
        "facility": found.facility,
        "as_of": iso(found.as_of_ms),
        "known_at": iso(found.known_at_ms),
        "entry": found.entry,
        "public_key": signing.public_key_hex(key),
        "files": [str(path) for path in paths],
    }
    print(json.dumps(made))
    return 0


def _verify_certificate(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.certificate import signing  # noqa: PLC0415 - see above
    from pledgewatch_cloud.certificate.model import SIGNATURE_SUFFIX  # noqa: PLC0415

    try:
        signature = options.file.with_name(options.file.name + SIGNATURE_SUFFIX).read_bytes()
        said = signing.verify(options.file.read_bytes(), signature, options.key_of)
    except signing.CertificateError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        return 2
    print(said)
    return 0


def _series(options: argparse.Namespace) -> int:
    from pledgewatch_cloud import series_command  # noqa: PLC0415 - see above
    from pledgewatch_cloud.config import CloudSettings  # noqa: PLC0415

    settings = load(options.config, CloudSettings)
    log_to_stderr(settings.service.log_format)
    return series_command.run(settings, options.act)


def _doctor(options: argparse.Namespace) -> int:
    from pledgewatch_cloud import doctor  # noqa: PLC0415 - see above
    from pledgewatch_cloud.config import CloudSettings  # noqa: PLC0415

    found = asyncio.run(doctor.examine(load(options.config, CloudSettings)))
    for one in found:
        print(f"{'ok ' if one.is_well else 'BAD'} {one.what}: {one.text}")
    return int(not all(one.is_well for one in found))


def _quarantine(options: argparse.Namespace) -> int:
    store = SqliteStore(options.data, read_only=True)
    try:
        for one in store.quarantined():
            print(json.dumps({**one._asdict(), "raw": one.raw.hex()}))
        print(json.dumps(store.quarantine_counts()))
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
