"""`pledgewatch-cloud run`: the service, or a check of its configuration."""

import argparse
import asyncio
import contextlib
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

from pledgewatch_cloud.commands.options import Commands, add_config, settings_in
from pledgewatch_cloud.config import CloudSettings
from pledgewatch_cloud.logs import log_to_stderr
from pledgewatch_wire.settings import unreadable


def add(commands: Commands) -> None:
    """The command's options."""
    run = commands.add_parser("run", help="run the service")
    add_config(run)
    run.add_argument("--check", action="store_true", help="only check the configuration; needs no network")
    run.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    settings = settings_in(options)
    if options.check:
        return _check(options.config, settings)
    with _importing():
        from pledgewatch_cloud import service

    log_to_stderr(settings.service.log_format)
    try:
        asyncio.run(service.run(settings, options.config))
    except service.ServiceError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    """Of all that the service brings nothing is rubbish, so none is looked for meanwhile, nor among it later: a fifth
    of the time that it takes."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _unusable(settings: CloudSettings) -> list[str]:
    """What is wrong with secrets that can be read."""
    from pledgewatch_cloud.credentials import CredentialError, client_secret, member_keys, signer_of

    try:
        signer_of(settings.receipts)
        if settings.registry is not None:
            member_keys(settings.registry)
        if settings.login is not None:
            client_secret(settings.login)
    except CredentialError as error:
        return [str(error)]
    return []


def _check(config: Path, settings: CloudSettings) -> int:
    from pledgewatch_cloud.book_at_start import faults_of

    faults = faults_of(settings.book.files)
    print("\n".join(faults) or f"{config}: can be used", file=sys.stderr if faults else sys.stdout)
    for fault in unreadable(settings.files()) or _unusable(settings):
        print(f"before it is run: {fault}")
    return 2 if faults else 0
