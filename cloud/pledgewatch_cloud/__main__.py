"""`pledgewatch-cloud`: run the service, prove its journal, look after its outbox."""

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pledgewatch_cloud
from pledgewatch_cloud.journal.form import DamagedError
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_wire.settings import SettingsError, load

# What only `run` and `broker` need is imported there: an auditor who replays a journal has no web server installed.


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 done, 1 found wrong, 2 cannot be done as asked."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (SettingsError, StoreError) as error:
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
    run.add_argument("--check", action="store_true", help="only read the configuration and say whether it is right")
    run.set_defaults(command=_run)

    broker = commands.add_parser("broker", help="run the embedded MQTT broker alone")
    broker.add_argument("--config", type=Path, required=True, metavar="FILE")
    broker.set_defaults(command=_broker)

    replay = commands.add_parser("replay", help="decide the whole journal again and compare")
    replay.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the service's data_folder")
    replay.set_defaults(command=_replay)

    outbox = commands.add_parser("outbox", help="the dead letters: list them, or send one again")
    outbox.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    outbox.add_argument("--send-again", metavar="ID", help="put this dead letter back (`all` for every one)")
    outbox.set_defaults(command=_outbox)

    quarantine = commands.add_parser("quarantine", help="what could not be taken, and why")
    quarantine.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    quarantine.set_defaults(command=_quarantine)
    return parser


def _run(options: argparse.Namespace) -> int:
    from pledgewatch_cloud import service  # noqa: PLC0415 - see above
    from pledgewatch_cloud.config import CloudSettings  # noqa: PLC0415

    settings = load(options.config, CloudSettings)
    if options.check:
        print(f"{options.config}: all right")
        return 0
    _log_to_stderr()
    try:
        asyncio.run(service.run(settings))
    except service.ServiceError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _broker(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.broker import run_alone  # noqa: PLC0415 - see above
    from pledgewatch_cloud.config import CloudSettings  # noqa: PLC0415

    settings = load(options.config, CloudSettings)
    _log_to_stderr()
    asyncio.run(run_alone(settings.broker.host, settings.broker.port, settings.broker.accounts_file))
    return 0


def _replay(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.replay import replay  # noqa: PLC0415 - see above

    print(json.dumps(replay(options.data)._asdict()))
    return 0


def _outbox(options: argparse.Namespace) -> int:
    store = SqliteStore(options.data)
    try:
        if options.send_again is None:
            for one in store.dead_letters():
                print(json.dumps({"id": one.id, "type": one.type, "facility": one.facility, "error": one.last_error}))
            return 0
        chosen = [one.id for one in store.dead_letters()] if options.send_again == "all" else [options.send_again]
        now_ms = time.time_ns() // 1_000_000
        missing = [one for one in chosen if not store.send_again(one, now_ms)]
    finally:
        store.close()
    for message_id in missing:
        print(f"there is no dead letter {message_id}", file=sys.stderr)
    return 1 if missing else 0


def _quarantine(options: argparse.Namespace) -> int:
    store = SqliteStore(options.data, read_only=True)
    try:
        for one in store.quarantined():
            print(json.dumps({**one._asdict(), "raw": one.raw.hex()}))
        print(json.dumps(store.quarantine_counts()))
    finally:
        store.close()
    return 0


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("httpx2").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
