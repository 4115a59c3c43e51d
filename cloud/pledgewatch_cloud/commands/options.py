"""Options that several commands have."""

import argparse
from pathlib import Path
from typing import TypeAlias

from pledgewatch_cloud.config import CloudSettings
from pledgewatch_cloud.decide.moments import moment_ms
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.spine.spine import recover
from pledgewatch_wire.settings import load

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no other name


def add_config(parser: argparse.ArgumentParser) -> None:
    """The configuration's file."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")


def settings_in(options: argparse.Namespace) -> CloudSettings:
    """What the configuration's file says. Raises SettingsError."""
    return load(options.config, CloudSettings)


def add_data(parser: argparse.ArgumentParser) -> None:
    """The folder that holds the journal."""
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the service's data_folder")


def state_of(folder: Path) -> State:
    """The state of a journal, also while the service runs. Raises StoreError, DamagedError."""
    store = SqliteStore(folder, read_only=True)
    try:
        return recover(store)
    finally:
        store.close()


def moments_ms(options: argparse.Namespace) -> tuple[int | None, int | None]:
    """As of and known at, None where not given. Raises MomentError."""
    given = (("--as-of", options.as_of), ("--known-at", options.known_at))
    as_of_ms, known_at_ms = (None if written is None else moment_ms(option, written) for option, written in given)
    return as_of_ms, known_at_ms
