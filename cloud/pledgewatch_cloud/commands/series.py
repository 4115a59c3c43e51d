"""`pledgewatch-cloud series`: follow the journal, set up a bucket, build the series again."""

import argparse
import os
import select
import sys
from collections.abc import Callable

from pledgewatch_cloud.commands.options import Commands, add_config, settings_in
from pledgewatch_cloud.configured import series_of
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.logs import log_to_stderr
from pledgewatch_cloud.progress import Progress
from pledgewatch_cloud.series.feeder import Feeder
from pledgewatch_cloud.series.series import Series

_NICENESS = 10  # commits go first


def add(commands: Commands) -> None:
    """The command's options."""
    series = commands.add_parser(
        "series", help="time series: follow the journal, set up where they go, build them again"
    )
    series.add_argument("act", choices=("follow", "init", "rebuild"))
    add_config(series)
    series.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    """Raises SeriesError, StoreError."""
    settings = settings_in(options)
    log_to_stderr(settings.service.log_format)
    store = SqliteStore(settings.service.data_folder, read_only=True)
    try:
        series = series_of(settings, store.journal)
        try:
            _ACTS[options.act](store, series)
        finally:
            series.close()
    finally:
        store.close()
    return 0


def _follow(store: SqliteStore, series: Series) -> None:
    """Until standard input ends, which it does when whoever started this has ended."""
    os.nice(_NICENESS)
    Feeder(store, series).follow(_until_input_ends)


def _init(_: SqliteStore, series: Series) -> None:
    print(series.init())


def _rebuild(store: SqliteStore, series: Series) -> None:
    series.clear()
    cursor = Feeder(store, series).catch_up(Progress("entries", store.counts().entries))
    print(f"{cursor} entries carried over")


_ACTS: dict[str, Callable[[SqliteStore, Series], None]] = {"follow": _follow, "init": _init, "rebuild": _rebuild}


def _until_input_ends(wait_s: float) -> bool:
    """Wait; False as soon as standard input has ended."""
    ready, _, _ = select.select([sys.stdin], [], [], wait_s)
    return not ready or bool(os.read(sys.stdin.fileno(), 1_024))
