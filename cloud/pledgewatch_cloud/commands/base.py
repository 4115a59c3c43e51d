"""`pledgewatch-cloud base`: a borrowing base of any moment, by the journal, also while the service runs."""

import argparse
import json
import sys

from pledgewatch_cloud.commands.options import Commands, add_data, moments_ms
from pledgewatch_cloud.decide.moments import MomentError, iso, moment_ms
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.spine.base_at import BaseAtError, amendments, base_at


def add(commands: Commands) -> None:
    """The command's options."""
    base = commands.add_parser("base", help="a facility's borrowing base of any moment, by what was known at any other")
    add_data(base)
    base.add_argument("--facility", required=True, metavar="ID")
    base.add_argument(
        "--as-of", metavar="MOMENT", help="what was true then; ISO 8601 with its offset, default: known at"
    )
    base.add_argument("--known-at", metavar="MOMENT", help="by what was known then; default: all that is known")
    base.add_argument("--then", metavar="MOMENT", help="beside it what is known of as-of at this later moment, and why")
    base.add_argument("--lots", action="store_true", help="with what became of each lot")
    base.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    store = SqliteStore(options.data, read_only=True)
    try:
        found, then = base_at(store, options.facility, *moments_ms(options)), None
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
