"""`pledgewatch-cloud quarantine`: what could not be taken."""

import argparse
import json

from pledgewatch_cloud.commands.options import Commands, add_data
from pledgewatch_cloud.journal.sqlite import SqliteStore


def add(commands: Commands) -> None:
    """The command's options."""
    quarantine = commands.add_parser("quarantine", help="what could not be taken, and why")
    add_data(quarantine)
    quarantine.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    store = SqliteStore(options.data, read_only=True)
    try:
        for one in store.quarantined():
            print(json.dumps({**one._asdict(), "raw": one.raw.hex()}))
        print(json.dumps(store.quarantine_counts()))
    finally:
        store.close()
    return 0
