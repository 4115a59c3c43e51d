"""`pledgewatch-cloud outbox`: look after endpoints and dead letters, also while the service runs."""

import argparse
import json
import sys
import time

from pledgewatch_cloud.commands.options import Commands, add_data
from pledgewatch_cloud.journal.outbox import CORE
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.outbox import shown
from pledgewatch_cloud.outbox.dead_letters import that_lets_money_move
from pledgewatch_cloud.outbox.point import PointError, replay_from

_IN_THE_JOURNAL = (
    "{id} lets money move: pass it over by POST /outbox/dead/{id}/pass-over?endpoint={endpoint} of the running service,"
    " with `by` and `why`; it tells the journal that its release is not booked, or nobody would know"
)


def add(commands: Commands) -> None:
    """The command's options."""
    outbox = commands.add_parser("outbox", help="endpoints and dead letters: list, send again, pass over, replay")
    add_data(outbox)
    outbox.add_argument("--endpoint", metavar="NAME", help="which one; for dead letters default: all, else the core's")
    act = outbox.add_mutually_exclusive_group()
    act.add_argument("--endpoints", action="store_true", help="list endpoints and how they stand")
    act.add_argument("--deliveries", metavar="ID", help="list who has taken this message, with the evidence")
    act.add_argument("--send-again", metavar="ID", help="put this dead letter back (`all` for every one)")
    act.add_argument("--pass-over", metavar="ID", help="give this dead letter up, unless it lets money move")
    act.add_argument("--replay-from", metavar="POINT", help="send again from an entry, a moment or facility:sequence")
    act.add_argument("--resume", action="store_true", help="lift the stop of an endpoint that had answered 410")
    outbox.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    """Do what is asked. Returns the exit code. Raises StoreError, DamagedError."""
    reads = not (options.send_again or options.pass_over or options.replay_from or options.resume)
    SqliteStore(options.data, read_only=True).close()  # a mistyped folder is named, not made
    store = SqliteStore(options.data, read_only=reads)
    try:
        return _list(store, options) if reads else _change(store, options)
    finally:
        store.close()


def _list(store: SqliteStore, options: argparse.Namespace) -> int:
    if options.endpoints:
        found = [shown.endpoint_as_json(one) for one in store.endpoints() if options.endpoint in (None, one.name)]
    elif options.deliveries:
        found = [shown.record_as_json(one) for one in store.deliveries(options.deliveries)]
    else:
        found = [shown.dead_letter_as_json(one) for one in store.dead_letters(options.endpoint or "")]
    for one in found:
        print(json.dumps(one))
    return 0


def _change(store: SqliteStore, options: argparse.Namespace) -> int:
    endpoint, now_ms = options.endpoint or CORE, time.time_ns() // 1_000_000
    if options.replay_from:
        try:
            print(json.dumps({"endpoint": endpoint, "facilities": replay_from(store, endpoint, options.replay_from)}))
        except PointError as error:
            print(error, file=sys.stderr)
            return 2
        return 0
    if options.resume:
        if store.resume(endpoint, now_ms):
            return 0
        print(f"there is no endpoint {endpoint!r}", file=sys.stderr)
        return 1
    if options.pass_over:
        if that_lets_money_move(store, endpoint, options.pass_over):
            print(_IN_THE_JOURNAL.format(id=options.pass_over, endpoint=endpoint), file=sys.stderr)
            return 1
        missing = [] if store.pass_over(endpoint, options.pass_over) else [options.pass_over]
    elif options.send_again == "all":
        dead = store.dead_letters(options.endpoint or "")
        missing = [one.message.id for one in dead if not store.send_again(one.endpoint, one.message.id, now_ms)]
    else:
        missing = [] if store.send_again(endpoint, options.send_again, now_ms) else [options.send_again]
    for message_id in missing:
        print(f"there is no dead letter {message_id} of endpoint {endpoint}", file=sys.stderr)
    return 1 if missing else 0
