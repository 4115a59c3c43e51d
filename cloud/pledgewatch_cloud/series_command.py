"""`pledgewatch-cloud series`: follow the journal, set up a bucket, build the series again."""

import os
import select
import sys
from collections.abc import Callable

from pledgewatch_cloud.config import CloudSettings, SeriesKind
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.progress import Progress
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.series.feeder import Feeder
from pledgewatch_cloud.series.series import Series, SeriesError

_NICENESS = 10  # commits go first


def opened(settings: CloudSettings, journal: str) -> Series:
    """The series of a journal as configured. Raises SeriesError where they cannot be opened."""
    folder, series = settings.service.data_folder, settings.series
    if series.kind is SeriesKind.EMBEDDED:
        return EmbeddedSeries(folder, journal, retention_days=series.retention_days)
    from pledgewatch_cloud.series.influxdb import InfluxSeries  # noqa: PLC0415 - a large library that few need

    assert series.token_file is not None
    try:
        token = series.token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SeriesError(f"{series.token_file} cannot be read: {error.strerror}") from None
    return InfluxSeries(
        folder,
        journal,
        url=series.url,
        token=token,
        org=series.org,
        bucket=series.bucket,
        retention_days=series.retention_days,
        timeout_s=series.timeout_s,
    )


def run(settings: CloudSettings, act: str) -> int:
    """Do `act` (follow, init, rebuild). Returns the exit code. Raises SeriesError, StoreError."""
    store = SqliteStore(settings.service.data_folder, read_only=True)
    try:
        series = opened(settings, store.journal)
        try:
            _ACTS[act](store, series)
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
