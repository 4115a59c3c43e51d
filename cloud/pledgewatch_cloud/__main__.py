"""`pledgewatch-cloud`: run the service, prove its journal, look after its outbox; see commands/."""

import argparse
import sys
from collections.abc import Callable, Sequence

import pledgewatch_cloud
from pledgewatch_cloud.commands import (
    backtest,
    base,
    broker,
    cases,
    certificate,
    devices,
    doctor,
    milestones,
    notices,
    outbox,
    quarantine,
    quotes,
    receipts,
    registry,
    replay,
    run,
    series,
    stock,
    users,
)
from pledgewatch_cloud.journal.form import DamagedError
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.series.series import SeriesError
from pledgewatch_wire.piped import piped
from pledgewatch_wire.settings import SettingsError

# In the order in which the help shows them.
_COMMANDS = (
    *(run, broker, replay, backtest, base, quotes, certificate),
    *(notices, stock, receipts, registry, cases, milestones, outbox, series, users, devices, doctor, quarantine),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code: 0 done, 1 found wrong, 2 cannot be done as asked, HAD_ENOUGH where
    nobody reads the answer any more."""
    return piped(lambda: _act(arguments))


def _act(arguments: Sequence[str] | None) -> int:
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
    for one in _COMMANDS:
        one.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
