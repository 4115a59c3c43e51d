"""`pledgewatch-cloud replay`: prove a journal, also while the service runs."""

import argparse
import json

from pledgewatch_cloud import replay as replay_module
from pledgewatch_cloud.commands.options import Commands, add_data
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.progress import Progress


def add(commands: Commands) -> None:
    """The command's options."""
    replay = commands.add_parser("replay", help="decide the whole journal again and compare")
    add_data(replay)
    replay.add_argument("--by-device", action="store_true", help="print each device's count of readings too")
    replay.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    store = SqliteStore(options.data, read_only=True)
    progress = Progress("entries", store.counts().entries)
    store.close()
    found = replay_module.replay(options.data, progress)._asdict()
    if not options.by_device:
        del found["by_device"]
    print(json.dumps(found))
    return 0
